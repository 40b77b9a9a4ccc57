#include "bucket.h"

#include <stdlib.h>

#include <postrider/base/auto.h>

/* Below this a window is spread over nearly its whole length, so are minutes by less; who is given hours wants to use them
 * when there is mail. */
#define SHORT_WINDOW_MS (2 * SECOND_MS)
#define MIDDLE_WINDOW_MS MINUTE_MS

#define LAG_MAX_US 50000

/* ---------------------------------------------------------------- the log */

static void log_init(struct bucket_log *l)
{
	*l = (struct bucket_log){ .room = ARRAY_LEN(l->own) };
}

/* The struct may have been moved: own is found anew each time. */
static struct bucket_slot *slots(const struct bucket_log *l)
{
	return l->slots ? l->slots : (struct bucket_slot *)l->own;
}

static struct bucket_slot *slot(const struct bucket_log *l, size_t place)
{
	return &slots(l)[(l->first + place) % l->room];
}

static bool grow(struct bucket_log *l)
{
	struct bucket_slot *more = malloc(2 * l->room * sizeof(*more));

	if (!more)
		return false;
	for (size_t i = 0; i < l->count; i++)
		more[i] = *slot(l, i);
	free(l->slots);
	l->slots = more;
	l->room *= 2;
	l->first = 0;
	return true;
}

/* Without memory the newest slot is drawn to the present: what it holds counts for longer, and never for less. */
static void log_add(struct bucket_log *l, int64_t number, uint64_t count)
{
	struct bucket_slot *last = l->count ? slot(l, l->count - 1) : NULL;

	if (!last || (last->number < number && (l->count < l->room || grow(l)))) {
		*slot(l, l->count++) = (struct bucket_slot){ number, count };
	} else {
		last->number = MAX(last->number, number);
		last->count += count;
	}
	l->sum += count;
}

/* ---------------------------------------------------------------- windows */

/* What an earlier run took may lie before this clock's beginning. */
static int64_t slot_of(const struct bucket *b, int64_t at)
{
	return at < 0 ? -((-at + b->slot_ms - 1) / b->slot_ms) : at / b->slot_ms;
}

/* When this slot's last moment has left the window. A short window is a little longer than it is called: what left us in
 * its order may arrive in less time. */
static int64_t leaves_at(const struct bucket *b, int64_t number)
{
	int64_t spare = b->window_ms <= SHORT_WINDOW_MS ? b->slot_ms : 0;

	return number * b->slot_ms + b->slot_ms - 1 + b->window_ms + spare;
}

static void forget(const struct bucket *b, struct bucket_log *l, int64_t now_at)
{
	while (l->count && leaves_at(b, slot(l, 0)->number) <= now_at) {
		l->sum -= slot(l, 0)->count;
		l->first = (l->first + 1) % l->room;
		l->count--;
	}
}

/* When the log holds no more than `most` with cost. */
static int64_t room_at(const struct bucket *b, const struct bucket_log *l, uint64_t most, uint64_t cost,
                       int64_t now_at)
{
	uint64_t sum = l->sum;

	if (cost > most)
		return INT64_MAX;
	for (size_t i = 0; i < l->count; i++) {
		if (sum + cost <= most)
			return i ? MAX(now_at, leaves_at(b, slot(l, i - 1)->number)) : now_at;
		sum -= slot(l, i)->count;
	}
	return l->count ? MAX(now_at, leaves_at(b, slot(l, l->count - 1)->number)) : now_at;
}

static uint64_t burst_of(const struct bucket *b, uint64_t most)
{
	uint64_t part = b->window_ms <= SHORT_WINDOW_MS ? 10 : b->window_ms <= MIDDLE_WINDOW_MS ? 4 : 2;

	return (most + part - 1) / part;
}

static uint64_t most_of(const struct bucket *b, bool halved)
{
	return halved ? MAX(b->most / 2, UINT64_C(1)) : b->most;
}

/* Microseconds that cost takes of the even stream; 0: there is none. */
static int64_t even_us(const struct bucket *b, uint64_t most, uint64_t cost)
{
	uint64_t even = most - burst_of(b, most);

	return even ? (int64_t)((double)(b->window_ms + b->slot_ms) * 1000.0 * (double)cost / (double)even)
	            : 0;
}

/* ---------------------------------------------------------------- the face */

void bucket_init(struct bucket *b, struct config_rate rate)
{
	*b = (struct bucket){ .most = rate.count, .window_ms = rate.window_ms, .granted = UINT64_MAX };
	b->slot_ms = (rate.window_ms + BUCKET_SLOTS - 1) / BUCKET_SLOTS;
	b->next_us = INT64_MIN;
	log_init(&b->all);
	log_init(&b->burst);
}

void bucket_fini(struct bucket *b)
{
	free(b->all.slots);
	free(b->burst.slots);
	*b = (struct bucket){ 0 };
}

void bucket_change(struct bucket *b, uint64_t most)
{
	b->most = most;
	b->next_us = INT64_MIN; /* of the old spacing */
}

int64_t bucket_allows_at(struct bucket *b, uint64_t cost, bool halved, int64_t now_at)
{
	uint64_t most = most_of(b, halved);
	int64_t even_at, burst_at;

	forget(b, &b->all, now_at);
	forget(b, &b->burst, now_at);
	cost = MIN(cost, most);
	even_at = even_us(b, most, cost) ? MAX(now_at, b->next_us / 1000) : INT64_MAX;
	burst_at = room_at(b, &b->burst, burst_of(b, most), cost, now_at);
	return MAX(room_at(b, &b->all, most, cost, now_at), MIN(even_at, burst_at));
}

/* A timer that comes a little late must not cost a place: the even stream may catch up so much. */
static int64_t lag_us(const struct bucket *b)
{
	return MIN(b->window_ms * 1000 / 64, LAG_MAX_US);
}

void bucket_take(struct bucket *b, uint64_t cost, bool halved, int64_t now_at)
{
	uint64_t most = most_of(b, halved);
	int64_t even = even_us(b, most, MIN(cost, most)), number = slot_of(b, now_at);

	forget(b, &b->all, now_at);
	forget(b, &b->burst, now_at);
	log_add(&b->all, number, cost);
	if (even && b->next_us / 1000 <= now_at)
		b->next_us = MAX(b->next_us, now_at * 1000 - lag_us(b)) + even;
	else
		log_add(&b->burst, number, cost);
	b->taken_since += cost;
	if (b->granted != UINT64_MAX)
		b->granted -= MIN(b->granted, cost);
}

uint64_t bucket_used(struct bucket *b, int64_t now_at)
{
	forget(b, &b->all, now_at);
	return b->all.sum;
}

/* ---------------------------------------------------------------- over a restart */

bool bucket_is_long(const struct bucket *b)
{
	return b->window_ms >= BUCKET_LONG_MS;
}

uint64_t bucket_grant(const struct bucket *b)
{
	return MAX(MAX(b->most / 16, b->grant_wanted), UINT64_C(1));
}

bool bucket_slot_at(const struct bucket *b, size_t place, int64_t *at, uint64_t *count)
{
	if (place >= b->all.count)
		return false;
	*at = slot(&b->all, place)->number * b->slot_ms + b->slot_ms - 1;
	*count = slot(&b->all, place)->count;
	return true;
}

void bucket_restore(struct bucket *b, int64_t at, uint64_t count, int64_t now_at)
{
	uint64_t burst = burst_of(b, b->most), left = burst - MIN(burst, b->burst.sum);
	/* a clock that was set back must not make it count for longer than a window */
	int64_t number = slot_of(b, MIN(at, now_at));

	log_add(&b->all, number, count);
	if (left)
		log_add(&b->burst, number, MIN(count, left));
}
