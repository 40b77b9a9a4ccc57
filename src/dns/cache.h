/* cache.h - answers kept as long as their TTL says, the least used ones given up first when memory runs short. */
#ifndef POSTRIDER_SRC_DNS_CACHE_H
#define POSTRIDER_SRC_DNS_CACHE_H

#include <postrider/base/list.h>
#include <postrider/base/map.h>

#include "answer.h"
#include "key.h"

struct cache {
	struct map entries;
	struct list by_use; /* the latest used first */
	size_t bytes, max_bytes;
};

void cache_init(struct cache *c, size_t max_bytes, uint64_t seed);
void cache_fini(struct cache *c);
void cache_clear(struct cache *c);

/* NULL, or an answer that the cache goes on owning; *left_ms is what remains of its time. */
struct answer *cache_find(struct cache *c, struct text key, int64_t now_at, int64_t *left_ms);

/* Keeps a reference for answer->ttl_ms, in the place of an older answer. Without memory nothing is kept. */
void cache_put(struct cache *c, struct text key, struct answer *answer, int64_t now_at);

#endif
