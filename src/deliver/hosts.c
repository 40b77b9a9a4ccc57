#include "hosts.h"

struct host {
	struct map_item by_address;
	struct list by_use;
	unsigned char key[19]; /* family, address, port */
	unsigned failures;     /* in a row */
	int64_t until_at[HOST_MARK_COUNT];
};

static void make_key(const struct ip_port *host, unsigned char key[19])
{
	key[0] = (unsigned char)host->ip.family;
	memcpy(key + 1, host->ip.bytes, 16);
	if (host->ip.family == IP_V4)
		memset(key + 5, 0, 12);
	key[17] = (unsigned char)(host->port >> 8);
	key[18] = (unsigned char)host->port;
}

void hosts_init(struct hosts *h, size_t max, uint64_t seed)
{
	map_init(&h->by_address, false, seed);
	list_init(&h->by_use);
	h->max = max;
}

static void forget(struct hosts *h, struct host *host)
{
	map_remove(&h->by_address, &host->by_address);
	list_remove(&host->by_use);
	free(host);
}

void hosts_fini(struct hosts *h)
{
	if (!h->by_use.next)
		return;
	while (!list_is_empty(&h->by_use))
		forget(h, LIST_ITEM(h->by_use.next, struct host, by_use));
	map_fini(&h->by_address);
}

static struct host *find(struct hosts *h, const struct ip_port *address)
{
	unsigned char key[19];
	struct map_item *item;

	make_key(address, key);
	item = map_find(&h->by_address, text_of((const char *)key, sizeof(key)));
	return item ? CONTAINER_OF(item, struct host, by_address) : NULL;
}

static struct host *add(struct hosts *h, const struct ip_port *address)
{
	struct host *host = calloc(1, sizeof(*host));

	if (!host)
		return NULL;
	make_key(address, host->key);
	if (map_add(&h->by_address, &host->by_address, text_of((const char *)host->key, sizeof(host->key)))) {
		free(host);
		return NULL;
	}
	list_prepend(&h->by_use, &host->by_use);
	if (h->by_address.count > h->max)
		forget(h, LIST_ITEM(h->by_use.prev, struct host, by_use));
	return host;
}

unsigned hosts_marks(struct hosts *h, const struct ip_port *address, int64_t now_at)
{
	struct host *host = find(h, address);
	unsigned marks = 0;

	if (!host)
		return 0;
	list_remove(&host->by_use);
	list_prepend(&h->by_use, &host->by_use);
	for (unsigned i = 0; i < HOST_MARK_COUNT; i++)
		if (host->until_at[i] > now_at)
			marks |= BIT(i);
	return marks;
}

static int64_t failing_ms(struct host *host)
{
	int64_t ms = HOST_FAILING_MIN_MS;

	for (unsigned i = 0; i < host->failures && ms < HOST_FAILING_MAX_MS; i++)
		ms *= 2;
	host->failures++;
	return MIN(ms, HOST_FAILING_MAX_MS);
}

static int64_t lasts_ms(struct host *host, enum host_mark mark)
{
	switch (mark) {
	case HOST_FAILING:
		return failing_ms(host);
	case HOST_NO_TLS:
		return HOST_NO_TLS_MS;
	case HOST_NO_EHLO:
		return HOST_NO_EHLO_MS;
	case HOST_KEEPS:
		return HOST_KEEPS_MS;
	case HOST_NO_CHUNKS:
		return HOST_NO_CHUNKS_MS;
	default:
		return HOST_CUTS_MS;
	}
}

void hosts_mark(struct hosts *h, const struct ip_port *address, enum host_mark mark, int64_t now_at)
{
	struct host *host = find(h, address);

	if (!host)
		host = add(h, address);
	if (!host)
		return;
	/* many connections failing at once are one failure */
	if (mark == HOST_FAILING && host->until_at[__builtin_ctz(HOST_FAILING)] > now_at)
		return;
	host->until_at[__builtin_ctz(mark)] = now_at + lasts_ms(host, mark);
}

void hosts_heal(struct hosts *h, const struct ip_port *address)
{
	struct host *host = find(h, address);

	if (!host)
		return;
	host->failures = 0;
	host->until_at[__builtin_ctz(HOST_FAILING)] = 0;
}
