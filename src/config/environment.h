/* One variable on its way into the tree of settings. */
#ifndef CONFIG_ENVIRONMENT_PRIVATE_H
#define CONFIG_ENVIRONMENT_PRIVATE_H

#include "overlay.h"
#include "suggest.h"

struct setting {
	struct load *load;
	struct node *root;
	struct text name; /* without the prefix POSTRIDER_ */
	struct text value;
	const struct source *source;
	struct spot name_spot, value_spot;
	bool found;
	struct suggestion nearest;
};

/* Sets the key at the way ("upstreams.default.hosts"); value need not be a part of the variable's. */
void setting_put(struct setting *s, struct text way, struct text value);
/* Memory of the load. */
struct text setting_keep(struct load *load, struct buf *b);
/* The whole name; an empty value counts as not set. */
bool environment_find(const struct load *load, struct text name, struct text *value);

/* POSTRIDER_UPSTREAM, _UPSTREAM_HOST and _UPSTREAM_PORT: environment_upstream.c. False: it is another variable. */
bool environment_set_upstream(struct setting *s);
/* The names that other images of relays use, behind all of ours: environment_foreign.c */
void environment_take_foreign(struct load *load, struct node *root);

#endif
