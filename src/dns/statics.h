/* statics.h - names whose addresses are known without asking: hosts file and configuration; localhost (RFC 6761). */
#ifndef POSTRIDER_SRC_DNS_STATICS_H
#define POSTRIDER_SRC_DNS_STATICS_H

#include <postrider/base/map.h>
#include <postrider/dns.h>

#include "name.h"

struct statics {
	struct map names;
};

/* ERR_SYNTAX: a name that is none. A name that comes twice has the addresses of both. */
MUST_USE enum err statics_init(struct statics *s, const struct dns_static *list, size_t count, uint64_t seed);
void statics_fini(struct statics *s); /* a zeroed one is fine */

/* Addresses of the name, also of other families than wanted: borrowed. False: nothing is known of it here. */
bool statics_find(const struct statics *s, const struct name *name, const struct ip **addresses,
                  size_t *count);

#endif
