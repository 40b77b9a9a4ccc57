/* Making patterns and indexes over long lists of them. */
#ifndef CONFIG_PATTERN_PRIVATE_H
#define CONFIG_PATTERN_PRIVATE_H

#include <postrider/base/arena.h>
#include <postrider/base/map.h>
#include <postrider/config.h>

/* Up to here a list is compared one by one, which is faster than hashing. */
#define PATTERN_INDEX_FROM 9

struct indexed_pattern {
	struct map_item item;
	size_t number; /* place in the list */
};

struct config_pattern_index {
	struct config_pattern_index *next; /* all of one snapshot, for pattern_index_free_all */
	struct map addresses;              /* "local@domain" */
	struct map domains;
	struct map parents; /* SUBDOMAINS, by the domain without its dot */
	size_t any;         /* number of the first `any`; SIZE_MAX: none */
	size_t null;
};

/* ERR_SYNTAX: not a pattern. Texts are copied into arena. */
MUST_USE enum err pattern_parse(struct arena *arena, struct text t, struct config_pattern *out);

/* `get(items, i)` gives the pattern of an element. *all takes the index into its chain. *out stays NULL for a short
 * list. Of equal patterns the first counts. */
typedef const struct config_pattern *pattern_get_fn(const void *items, size_t i);
MUST_USE enum err pattern_index_make(struct arena *arena, const void *items, size_t count,
                                     pattern_get_fn *get, struct config_pattern_index **all,
                                     const struct config_pattern_index **out);

/* The number of the pattern that matches, SIZE_MAX without one: the first of the list, or the most specific (address,
 * domain, longest subdomains, any). */
enum pattern_order { PATTERN_FIRST_WRITTEN, PATTERN_SPECIFIC_FIRST };
size_t pattern_index_find(const struct config_pattern_index *index, const struct config_mailbox *m,
                          enum pattern_order order);
void pattern_index_free_all(struct config_pattern_index **all);

/* All patterns of all routes in one index: which route may be the first? */
struct config_route_index {
	const struct config_pattern_index *patterns;
	const struct route_pattern *items;
};

struct route_pattern {
	const struct config_pattern *pattern;
	size_t route;
};

MUST_USE enum err route_index_make(struct arena *arena, struct config_routes *routes,
                                   struct config_pattern_index **all);

bool domain_is_valid(struct text domain); /* a domain or an address literal */
bool mailbox_is_valid(struct text mailbox);

#endif
