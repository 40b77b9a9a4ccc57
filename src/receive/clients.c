#include "clients.h"

#include <postrider/base/auto.h>

#include <stdlib.h>

#define SWEEP_AT_ONCE 64

void clients_init(struct clients *t, size_t max, bool fold, uint64_t seed)
{
	*t = (struct clients){ .max = max };
	map_init(&t->map, fold, seed);
	list_init(&t->lately);
}

static void forget(struct clients *t, struct client *c)
{
	map_remove(&t->map, &c->by_key);
	list_remove(&c->link);
	free(c->windows);
	free(c);
}

void clients_fini(struct clients *t)
{
	if (!t->lately.next)
		return;
	for (LIST_EACH_SAFE(it, &t->lately))
		forget(t, LIST_ITEM(it, struct client, link));
	map_fini(&t->map);
}

/* ---------------------------------------------------------------- the table */

/* Two keys that fall together share what they may do; both are strange then. */
static struct text short_key(struct text key, char room[CLIENT_KEY_MAX])
{
	uint64_t hash;

	if (key.len <= CLIENT_KEY_MAX)
		return key;
	hash = text_hash_nocase(key);
	memcpy(room, key.at, CLIENT_KEY_MAX - sizeof(hash));
	memcpy(room + CLIENT_KEY_MAX - sizeof(hash), &hash, sizeof(hash));
	return text_of(room, CLIENT_KEY_MAX);
}

struct client *clients_find(const struct clients *t, struct text key)
{
	char room[CLIENT_KEY_MAX];
	struct map_item *item = map_find(&t->map, short_key(key, room));

	return item ? CONTAINER_OF(item, struct client, by_key) : NULL;
}

static void seen(struct clients *t, struct client *c)
{
	list_remove(&c->link);
	list_append(&t->lately, &c->link);
}

/* Those with sessions are met once on the way, and then stand at the end. */
static bool make_room(struct clients *t)
{
	if (t->map.count < t->max)
		return true;
	for (size_t left = t->map.count; left; left--) {
		struct client *c = LIST_FIRST(&t->lately, struct client, link);

		if (c->sessions == 0) {
			forget(t, c);
			return true;
		}
		seen(t, c);
	}
	return false;
}

static struct client *make(struct clients *t, struct text key)
{
	struct client *c;

	if (!make_room(t))
		return NULL;
	c = calloc(1, sizeof(*c) + key.len);
	if (!c)
		return NULL;
	c->key_len = (unsigned char)key.len;
	if (key.len)
		memcpy(c->key, key.at, key.len);
	if (map_add(&t->map, &c->by_key, text_of(c->key, key.len))) {
		free(c);
		return NULL;
	}
	return c;
}

struct client *clients_get(struct clients *t, struct text key)
{
	char room[CLIENT_KEY_MAX];
	struct client *c = clients_find(t, key);

	if (!c)
		c = make(t, short_key(key, room));
	if (!c)
		return NULL;
	seen(t, c);
	return c;
}

static bool counts_nothing(const struct client *c, int64_t now_at)
{
	for (unsigned i = 0; i < c->window_count; i++)
		if (!limit_is_empty(&c->windows[i], now_at))
			return false;
	return c->sessions == 0;
}

void clients_sweep(struct clients *t, int64_t now_at)
{
	unsigned looked_at = 0;

	for (LIST_EACH_SAFE(it, &t->lately)) {
		struct client *c = LIST_ITEM(it, struct client, link);

		if (looked_at++ >= SWEEP_AT_ONCE)
			return;
		if (c->sessions)
			seen(t, c);
		else if (counts_nothing(c, now_at))
			forget(t, c);
	}
}

/* ---------------------------------------------------------------- clients by address */

struct text client_network_key(char room[CLIENT_NETWORK_KEY], struct ip ip, unsigned v4_bits)
{
	size_t octets = ip.family == IP_V6 ? 8 : v4_bits / 8;

	room[0] = (char)ip.family;
	memcpy(room + 1, ip.bytes, octets);
	return text_of(room, 1 + octets);
}

struct client *clients_enter(struct clients *t, struct ip ip)
{
	char room[CLIENT_NETWORK_KEY];
	struct client *c = clients_get(t, client_network_key(room, ip, 32));

	if (c)
		c->sessions++;
	return c;
}

void clients_leave(struct client *c)
{
	if (c)
		c->sessions--;
}

struct limit_window *client_window(struct client *c, unsigned char tag, int64_t window_ms)
{
	struct limit_window *more;

	for (unsigned i = 0; i < c->window_count; i++)
		if (c->windows[i].tag == tag && c->windows[i].window_ms == window_ms)
			return &c->windows[i];
	if (c->window_count >= CLIENT_WINDOWS_MAX) {
		/* left over from configurations gone by */
		c->windows[0] = (struct limit_window){ .tag = tag, .window_ms = window_ms };
		return &c->windows[0];
	}
	more = realloc(c->windows, (c->window_count + 1u) * sizeof(*more));
	if (!more)
		return NULL;
	c->windows = more;
	more[c->window_count] = (struct limit_window){ .tag = tag, .window_ms = window_ms };
	return &more[c->window_count++];
}
