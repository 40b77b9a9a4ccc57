/* What no single key can know: completing values from others, and checks between them. */
#ifndef CONFIG_CHECK_PRIVATE_H
#define CONFIG_CHECK_PRIVATE_H

#include "load.h"

void complete(struct load *load); /* host name, helo, names of listeners, upstreams of routes */
void check(struct load *load);    /* errors and warnings */

#endif
