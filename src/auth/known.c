#include "known.h"

#include <stdlib.h>

struct known_entry {
	struct map_item item;
	struct list link;
	struct crypto_sha256 key;
	int64_t until_at;
};

void known_init(struct known *k, size_t max, uint64_t seed)
{
	*k = (struct known){ .max = max };
	map_init(&k->map, false, seed);
	list_init(&k->oldest_first);
}

static void forget(struct known *k, struct known_entry *e)
{
	map_remove(&k->map, &e->item);
	list_remove(&e->link);
	crypto_wipe(e, sizeof(*e));
	free(e);
}

void known_fini(struct known *k)
{
	while (k->map.count)
		forget(k, LIST_FIRST(&k->oldest_first, struct known_entry, link));
	map_fini(&k->map);
}

static struct known_entry *find(struct known *k, const struct crypto_sha256 *key)
{
	struct map_item *item = map_find(&k->map, crypto_sha256_text(key));

	return item ? CONTAINER_OF(item, struct known_entry, item) : NULL;
}

bool known_has(struct known *k, const struct crypto_sha256 *key, int64_t now_at)
{
	struct known_entry *e = find(k, key);

	if (!e)
		return false;
	if (e->until_at > now_at)
		return true;
	forget(k, e);
	return false;
}

void known_note(struct known *k, const struct crypto_sha256 *key, int64_t until_at)
{
	struct known_entry *e = find(k, key);

	if (e)
		forget(k, e);
	if (k->map.count >= k->max)
		forget(k, LIST_FIRST(&k->oldest_first, struct known_entry, link));
	e = calloc(1, sizeof(*e));
	if (!e)
		return;
	e->key = *key;
	e->until_at = until_at;
	if (map_add(&k->map, &e->item, crypto_sha256_text(&e->key)) == ERR_OK)
		list_append(&k->oldest_first, &e->link);
	else
		free(e);
}
