#include <postrider/base/map.h>

#include <stdlib.h>

#define FIRST_BUCKETS 16

void map_init(struct map *m, bool fold, uint64_t seed)
{
	*m = (struct map){ .fold = fold, .seed = seed };
}

void map_fini(struct map *m)
{
	free(m->buckets);
	m->buckets = NULL;
	m->bucket_count = 0;
	m->count = 0;
}

/* Eight octets a step, the seed in the state from the first step on. With fold, each octet of a word that is
 * a capital gets bit 5: the additions find capitals in all eight octets at once (an octet over 0x7f is
 * none). */
static uint64_t fold_word(uint64_t word)
{
	const uint64_t ones = UINT64_C(0x0101010101010101), tops = ones * 0x80;
	uint64_t low = word & ~tops;
	uint64_t from_a = low + ones * (0x80 - 'A'), past_z = low + ones * (0x80 - 'Z' - 1);
	uint64_t capitals = from_a & ~past_z & ~word & tops;

	return word | capitals >> 2;
}

static uint64_t mix(uint64_t hash, uint64_t word)
{
	__uint128_t product = (__uint128_t)(hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);

	return (uint64_t)product ^ (uint64_t)(product >> 64) ^ UINT64_C(0xd6e8feb86659fd93);
}

static uint64_t hash_of(const struct map *m, struct text key)
{
	uint64_t hash = mix(m->seed ^ UINT64_C(0xa0761d6478bd642f), key.len);

	while (key.len > 0) {
		uint64_t word = 0;
		size_t step = key.len < sizeof(word) ? key.len : sizeof(word);

		memcpy(&word, key.at, step);
		hash = mix(hash, m->fold ? fold_word(word) : word) + m->seed;
		key = text_skip(key, step);
	}
	return mix(hash, m->seed);
}

static bool same_key(const struct map *m, struct text a, struct text b)
{
	return m->fold ? text_eq_nocase(a, b) : text_eq(a, b);
}

static struct map_item **bucket_of(const struct map *m, uint64_t hash)
{
	return &m->buckets[hash & (m->bucket_count - 1)];
}

struct map_item *map_find(const struct map *m, struct text key)
{
	if (m->count == 0)
		return NULL;
	uint64_t hash = hash_of(m, key);

	for (struct map_item *item = *bucket_of(m, hash); item; item = item->next)
		if (item->hash == hash && same_key(m, item->key, key))
			return item;
	return NULL;
}

static enum err grow(struct map *m)
{
	size_t bucket_count = m->bucket_count ? m->bucket_count * 2 : FIRST_BUCKETS;
	struct map_item **buckets = calloc(bucket_count, sizeof(struct map_item *));

	if (!buckets)
		return ERR_NOMEM;
	for (size_t i = 0; i < m->bucket_count; i++) {
		for (struct map_item *item = m->buckets[i], *next; item; item = next) {
			struct map_item **bucket = &buckets[item->hash & (bucket_count - 1)];

			next = item->next;
			item->next = *bucket;
			*bucket = item;
		}
	}
	free(m->buckets);
	m->buckets = buckets;
	m->bucket_count = bucket_count;
	return ERR_OK;
}

enum err map_add(struct map *m, struct map_item *item, struct text key)
{
	if (m->count == m->bucket_count && grow(m) != ERR_OK)
		return ERR_NOMEM;
	item->key = key;
	item->hash = hash_of(m, key);
	struct map_item **bucket = bucket_of(m, item->hash);

	item->next = *bucket;
	*bucket = item;
	m->count++;
	return ERR_OK;
}

void map_remove(struct map *m, struct map_item *item)
{
	struct map_item **link = bucket_of(m, item->hash);

	while (*link != item)
		link = &(*link)->next;
	*link = item->next;
	item->next = NULL;
	m->count--;
}

struct map_item *map_next(const struct map *m, const struct map_item *after)
{
	if (after && after->next)
		return after->next;
	for (size_t i = after ? (after->hash & (m->bucket_count - 1)) + 1 : 0; i < m->bucket_count; i++)
		if (m->buckets[i])
			return m->buckets[i];
	return NULL;
}
