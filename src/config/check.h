/* What no single key can know: completing values from others, and checks between them. */
#ifndef CONFIG_CHECK_PRIVATE_H
#define CONFIG_CHECK_PRIVATE_H

#include "load.h"

void complete(struct load *load); /* host name, helo, names of listeners, upstreams of routes */
/* complete_out.c */
void complete_upstreams(struct load *load); /* helo, secrets, what they have from `limits.any` and `retry` */
void complete_direct(struct load *load);
void complete_ways(struct load *load);   /* behind the routes' upstreams: how each route's mail leaves */
void complete_fields(struct load *load); /* what routes ask for */
void complete_rules(struct load *load);  /* behind the upstreams */
void check(struct load *load);           /* errors and warnings */

#endif
