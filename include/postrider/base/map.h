/* postrider/base/map.h - a hash table through members of its elements. Keys are octets that live in the
 * element (the map borrows them); with `fold` ASCII letters compare equal, as names in mail do. */
#ifndef POSTRIDER_BASE_MAP_H
#define POSTRIDER_BASE_MAP_H

#include <postrider/base/text.h>

struct map_item {
	struct map_item *next;
	uint64_t hash;
	struct text key;
};

struct map {
	struct map_item **buckets;
	size_t bucket_count;
	size_t count;
	uint64_t seed; /* against chosen collisions */
	bool fold;
};

/* seed: from a random source in the daemon, anything in tests. */
void map_init(struct map *m, bool fold, uint64_t seed);
void map_fini(struct map *m); /* the elements are the caller's; a zeroed map is fine */

struct map_item *map_find(const struct map *m, struct text key);
/* item->key set by this call to key, which must live as long as the item is in the map and must not be in it
 * yet. ERR_NOMEM: nothing changed. */
MUST_USE enum err map_add(struct map *m, struct map_item *item, struct text key);
void map_remove(struct map *m, struct map_item *item); /* must be in it */

/* Walks all: for (it = map_next(m, NULL); it; it = map_next(m, it)). Removing the one at hand: take the next
 * first. */
struct map_item *map_next(const struct map *m, const struct map_item *after);

#endif
