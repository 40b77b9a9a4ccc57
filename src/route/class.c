#include <postrider/route.h>

#define RAISED_FROM 4 /* RFC 6710 appendix A: what profiles call high begins there */

static enum config_class one_up(enum config_class class)
{
	return class == CONFIG_CLASS_BULK ? CONFIG_CLASS_NORMAL : CONFIG_CLASS_URGENT;
}

static enum config_class one_down(enum config_class class)
{
	return class == CONFIG_CLASS_URGENT ? CONFIG_CLASS_NORMAL : CONFIG_CLASS_BULK;
}

enum config_class route_class(const struct config_route *route, int priority)
{
	enum config_class class = route ? route->class : CONFIG_CLASS_NORMAL;

	if (priority >= RAISED_FROM)
		return one_up(class);
	return priority < 0 ? one_down(class) : class;
}
