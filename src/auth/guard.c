#include "guard.h"

#include <postrider/base/auto.h>
#include <postrider/base/map.h>
#include <postrider/crypto.h>

#include "prep.h"
#include "secret_key.h"

#define LEAST_DELAY_MS 1000
#define MOST_DELAY_MS 8000

/* One count. It fills by `step` a failure and drains by itself: empty_at is when it is empty again. */
struct guard_entry {
	struct map_item item;
	struct list link;
	struct list waiting; /* tickets */
	struct crypto_sha256 key;
	int64_t empty_at;
	unsigned out;        /* tickets granted and not returned */
	unsigned references; /* of tickets, also of those that wait somewhere */
};

struct guard {
	struct io *io;
	struct secret_key key;
	struct map map;
	struct list oldest_first;
	struct list answered; /* tickets that waited and will be told */
	struct io_later later;
};

/* ---------------------------------------------------------------- counts */

static struct ip network_of(struct ip ip, unsigned v4_bits, unsigned v6_bits)
{
	unsigned bits = ip.family == IP_V4 ? v4_bits : v6_bits;

	for (unsigned i = 0; i < sizeof(ip.bytes); i++) {
		unsigned keep = bits > 8 * i ? MIN(bits - 8 * i, 8) : 0;

		ip.bytes[i] &= (unsigned char)(0xff00 >> keep);
	}
	return ip;
}

static struct crypto_sha256 key_of(const struct guard *g, struct config_rate rate, struct ip network,
                                   struct text name)
{
	char room[AUTH_NAME_MAX];
	const struct text pieces[] = {
		{ (const char *)&rate.count, sizeof(rate.count) },
		{ (const char *)&rate.window_ms, sizeof(rate.window_ms) },
		{ (const char *)&network.family, sizeof(network.family) },
		{ (const char *)network.bytes, sizeof(network.bytes) },
		prep_fold(name, room),
	};

	return secret_key_hmac(&g->key, pieces, ARRAY_LEN(pieces));
}

static struct guard_entry *find(const struct guard *g, const struct crypto_sha256 *key)
{
	struct map_item *item = map_find(&g->map, crypto_sha256_text(key));

	return item ? CONTAINER_OF(item, struct guard_entry, item) : NULL;
}

static void forget(struct guard *g, struct guard_entry *e)
{
	map_remove(&g->map, &e->item);
	list_remove(&e->link);
	free(e);
}

static void make_room(struct guard *g)
{
	for (LIST_EACH_SAFE(it, &g->oldest_first)) {
		struct guard_entry *e = CONTAINER_OF(it, struct guard_entry, link);

		if (g->map.count < GUARD_ENTRIES_MAX)
			return;
		if (e->references == 0)
			forget(g, e);
	}
}

static struct guard_entry *find_or_make(struct guard *g, const struct crypto_sha256 *key)
{
	struct guard_entry *e = find(g, key);

	if (e)
		return e;
	make_room(g);
	e = calloc(1, sizeof(*e));
	if (!e)
		return NULL;
	e->key = *key;
	list_init(&e->link);
	list_init(&e->waiting);
	if (map_add(&g->map, &e->item, crypto_sha256_text(&e->key))) {
		free(e);
		return NULL;
	}
	list_append(&g->oldest_first, &e->link);
	return e;
}

static void unref(struct guard *g, struct guard_entry *e)
{
	if (e && --e->references == 0 && e->empty_at <= io_now_at(g->io))
		forget(g, e);
}

/* ---------------------------------------------------------------- one count and a ticket */

static int64_t step_of(struct config_rate rate)
{
	return MAX(rate.window_ms / (int64_t)rate.count, 1);
}

/* Whether one more may fail, when `out` of those under way do. */
static bool has_room(const struct guard_entry *e, struct config_rate rate, unsigned out, int64_t now_at)
{
	int64_t step = step_of(rate);
	int64_t filled = MAX(e->empty_at - now_at, 0);

	return (uint64_t)out < rate.count && filled + (int64_t)out * step <= ((int64_t)rate.count - 1) * step;
}

static enum guard_answer look(const struct guard_entry *e, struct config_rate rate, int64_t now_at)
{
	if (!e || has_room(e, rate, e->out, now_at))
		return GUARD_GRANTED;
	return has_room(e, rate, 0, now_at) ? GUARD_WAITS : GUARD_LOCKED;
}

/* Both counts must agree; a ticket waits at the one that does not. */
static enum guard_answer grant(struct guard_ticket *t)
{
	int64_t now_at = io_now_at(t->guard->io);
	enum guard_answer client = look(t->client, t->rate, now_at), name = look(t->name, t->rate, now_at);

	if (client == GUARD_LOCKED || name == GUARD_LOCKED)
		return GUARD_LOCKED;
	if (client == GUARD_WAITS || name == GUARD_WAITS) {
		list_append(client == GUARD_WAITS ? &t->client->waiting : &t->name->waiting, &t->link);
		return GUARD_WAITS;
	}
	t->granted = true;
	if (t->client)
		t->client->out++;
	if (t->name)
		t->name->out++;
	return GUARD_GRANTED;
}

static void let_go(struct guard_ticket *t)
{
	struct guard *g = TAKE(t->guard);

	list_remove(&t->link);
	t->granted = false;
	unref(g, TAKE(t->client));
	unref(g, TAKE(t->name));
}

static struct guard_entry *take_entry(struct guard *g, struct config_rate rate, struct ip network,
                                      struct text name)
{
	struct crypto_sha256 key = key_of(g, rate, network, name);
	struct guard_entry *e = find_or_make(g, &key);

	if (e)
		e->references++;
	return e;
}

enum guard_answer guard_ask(struct guard *g, struct config_rate rate, struct ip client, struct text name,
                            struct guard_ticket *t)
{
	enum guard_answer answer = GUARD_FAILED;

	if (rate.count == 0)
		return GUARD_GRANTED;
	t->guard = g;
	t->rate = rate;
	list_init(&t->link);
	if (client.family != IP_NONE)
		t->client = take_entry(g, rate, network_of(client, 32, 64), TEXT_EMPTY);
	if (name.len)
		t->name = take_entry(g, rate, network_of(client, 24, 48), name);
	if ((t->client || client.family == IP_NONE) && (t->name || !name.len))
		answer = grant(t);
	if (answer == GUARD_LOCKED || answer == GUARD_FAILED)
		let_go(t);
	return answer;
}

/* ---------------------------------------------------------------- returning */

static void count_failure(struct guard *g, struct guard_entry *e, struct config_rate rate)
{
	e->empty_at = MAX(e->empty_at, io_now_at(g->io)) + step_of(rate);
	list_remove(&e->link);
	list_append(&g->oldest_first, &e->link);
}

static void tell_answered(void *owner)
{
	struct guard *g = owner;
	struct list *link;

	while ((link = list_shift(&g->answered))) {
		struct guard_ticket *t = CONTAINER_OF(link, struct guard_ticket, link);
		enum guard_answer answer = t->granted ? GUARD_GRANTED : GUARD_LOCKED;

		if (answer == GUARD_LOCKED)
			let_go(t);
		t->fn(t, answer);
	}
}

/* Those who wait for this count are looked at again, in order, as long as something comes of it. */
static void wake(struct guard *g, struct guard_entry *e)
{
	while (e && !list_is_empty(&e->waiting)) {
		struct guard_ticket *t = CONTAINER_OF(e->waiting.next, struct guard_ticket, link);

		if (look(e, t->rate, io_now_at(g->io)) == GUARD_WAITS)
			return;
		list_remove(&t->link);
		if (grant(t) == GUARD_WAITS)
			continue; /* at the other count now */
		list_append(&g->answered, &t->link);
		io_later_run(g->io, &g->later, tell_answered, g);
	}
}

static void take_back(struct guard_ticket *t, struct guard_entry *e, bool failed)
{
	if (!e)
		return;
	e->out--;
	if (failed)
		count_failure(t->guard, e, t->rate);
}

void guard_return(struct guard_ticket *t, bool failed)
{
	struct guard *g = t->guard;

	if (!g)
		return;
	if (t->granted) {
		take_back(t, t->client, failed);
		take_back(t, t->name, failed);
		wake(g, t->client);
		wake(g, t->name);
	}
	let_go(t);
}

int64_t guard_delay(struct guard *g, struct config_rate rate, struct ip client)
{
	struct guard_entry *e = NULL;
	int64_t delay_ms = LEAST_DELAY_MS;

	if (rate.count && client.family != IP_NONE) {
		struct crypto_sha256 key = key_of(g, rate, network_of(client, 32, 64), TEXT_EMPTY);

		e = find(g, &key);
	}
	if (!e)
		return delay_ms;
	for (int64_t filled = e->empty_at - io_now_at(g->io) - step_of(rate);
	     filled > 0 && delay_ms < MOST_DELAY_MS; filled -= step_of(rate))
		delay_ms *= 2;
	return delay_ms;
}

size_t guard_entries(const struct guard *g)
{
	return g->map.count;
}

enum err guard_new(struct io *io, struct guard **out)
{
	struct guard *g = calloc(1, sizeof(*g));

	if (!g)
		return ERR_NOMEM;
	g->io = io;
	secret_key_init(&g->key, io);
	map_init(&g->map, false, io_random_u64(io));
	list_init(&g->oldest_first);
	list_init(&g->answered);
	*out = g;
	return ERR_OK;
}

void guard_free(struct guard **guard)
{
	struct guard *g = TAKE(*guard);

	if (!g)
		return;
	io_later_cancel(g->io, &g->later);
	for (LIST_EACH_SAFE(it, &g->oldest_first))
		forget(g, CONTAINER_OF(it, struct guard_entry, link));
	map_fini(&g->map);
	free(g);
}
