#include "provider.h"

#include <stdlib.h>

#include <postrider/base/auto.h>
#include <postrider/route.h>

static bool host_matches(const struct config_pattern *p, struct text host)
{
	if (p->kind == CONFIG_PATTERN_DOMAIN)
		return text_eq_nocase(p->domain, host);
	return p->kind == CONFIG_PATTERN_SUBDOMAINS && host.len > p->domain.len + 1 &&
	       host.at[host.len - p->domain.len - 1] == '.' && text_ends_nocase(host, p->domain);
}

static bool has_host(const struct config_limit *limit, const struct text *hosts, size_t count)
{
	for (size_t i = 0; i < limit->match_mx.count; i++)
		for (size_t h = 0; h < count; h++)
			if (host_matches(&limit->match_mx.items[i], hosts[h]))
				return true;
	return false;
}

const struct config_limit *provider_by_hosts(const struct config *config, const struct text *hosts,
                                             size_t count)
{
	for (size_t i = 0; i < config->limits.count; i++)
		if (has_host(&config->limits.items[i], hosts, count))
			return &config->limits.items[i];
	return NULL;
}

const struct config_limit *provider_by_domain(const struct config *config, struct text domain)
{
	const struct config_limit *limit = route_limit(config, domain);

	return limit == &config->limits.any ? NULL : limit;
}

static int by_name(const void *a, const void *b)
{
	const struct text *x = a, *y = b;

	return text_compare_nocase(*x, *y);
}

void provider_add_name(struct buf *out, const struct text *hosts, size_t count)
{
	struct text sorted[32];
	uint64_t hash = 0;
	bool cut = false;

	count = MIN(count, ARRAY_LEN(sorted));
	memcpy(sorted, hosts, count * sizeof(*sorted));
	qsort(sorted, count, sizeof(*sorted), by_name);
	for (size_t i = 0; i < count; i++) {
		if (i && text_eq_nocase(sorted[i], sorted[i - 1]))
			continue;
		hash = hash * 31 + text_hash_nocase(sorted[i]);
		cut = cut || out->len + sorted[i].len + 24 > out->max;
		if (cut)
			continue;
		if (i)
			buf_add_octet(out, ',');
		for (size_t j = 0; j < sorted[i].len; j++)
			buf_add_octet(out, ascii_lower(sorted[i].at[j]));
	}
	if (cut)
		buf_add_format(out, "#%08x", (unsigned)(hash ^ hash >> 32));
}
