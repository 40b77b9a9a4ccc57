/* schedule/provider.h - who hosts a domain's mail, by the names of its MX hosts. Functions of their arguments. */
#ifndef SCHEDULE_PROVIDER_H
#define SCHEDULE_PROVIDER_H

#include <postrider/config.h>

/* The entry of `limits` that all domains with one of these hosts share; NULL: none. */
const struct config_limit *provider_by_hosts(const struct config *config, const struct text *hosts,
                                             size_t count);
/* The entry of `limits` that names this domain, not `any`; NULL: none. */
const struct config_limit *provider_by_domain(const struct config *config, struct text domain);
/* One name for a set of hosts, in whatever order they come: sorted, lower case, each once, with commas. Cut when it gets
 * longer than out->max; then a hash of all stands at its end. */
void provider_add_name(struct buf *out, const struct text *hosts, size_t count);

#endif
