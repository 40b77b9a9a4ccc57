#include "cache.h"

#include <stdlib.h>

struct entry {
	struct map_item by_key;
	struct list by_use;
	struct answer *answer;
	int64_t expires_at;
	size_t bytes;
	char key[];
};

void cache_init(struct cache *c, size_t max_bytes, uint64_t seed)
{
	*c = (struct cache){ .max_bytes = max_bytes };
	map_init(&c->entries, false, seed);
	list_init(&c->by_use);
}

static void drop(struct cache *c, struct entry *e)
{
	map_remove(&c->entries, &e->by_key);
	list_remove(&e->by_use);
	c->bytes -= e->bytes;
	answer_unref(&e->answer);
	free(e);
}

void cache_clear(struct cache *c)
{
	while (!list_is_empty(&c->by_use))
		drop(c, LIST_ITEM(c->by_use.next, struct entry, by_use));
}

void cache_fini(struct cache *c)
{
	cache_clear(c);
	map_fini(&c->entries);
}

static struct entry *find(struct cache *c, struct text key)
{
	struct map_item *item = map_find(&c->entries, key);

	return item ? CONTAINER_OF(item, struct entry, by_key) : NULL;
}

struct answer *cache_find(struct cache *c, struct text key, int64_t now_at, int64_t *left_ms)
{
	struct entry *e = find(c, key);

	if (!e)
		return NULL;
	if (e->expires_at <= now_at) {
		drop(c, e);
		return NULL;
	}
	list_remove(&e->by_use);
	list_prepend(&c->by_use, &e->by_use);
	*left_ms = e->expires_at - now_at;
	return e->answer;
}

void cache_put(struct cache *c, struct text key, struct answer *answer, int64_t now_at)
{
	size_t bytes = sizeof(struct entry) + key.len + answer->bytes;
	struct entry *e = find(c, key);

	if (e)
		drop(c, e);
	if (answer->ttl_ms <= 0 || bytes > c->max_bytes)
		return;
	while (c->bytes + bytes > c->max_bytes)
		drop(c, LIST_ITEM(c->by_use.prev, struct entry, by_use));
	e = malloc(sizeof(*e) + key.len);
	if (!e)
		return;
	*e = (struct entry){ .answer = answer, .expires_at = now_at + answer->ttl_ms, .bytes = bytes };
	memcpy(e->key, key.at, key.len);
	if (map_add(&c->entries, &e->by_key, text_of(e->key, key.len))) {
		free(e);
		return;
	}
	answer_ref(answer);
	list_prepend(&c->by_use, &e->by_use);
	c->bytes += bytes;
}
