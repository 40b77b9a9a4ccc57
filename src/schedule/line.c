/* Rates: who may take, and who stands in line. */
#include "internal.h"

static uint64_t cost_in(const struct limit_cost *cost, const struct limit_rate *rate)
{
	return MAX(*(const uint64_t *)(const void *)((const char *)cost + rate->unit), UINT64_C(1));
}

static int64_t allowed_at(struct limit *l, const struct limit_cost *cost, int64_t now)
{
	int64_t at = now;

	for (size_t i = 0; i < l->rate_count; i++)
		at = MAX(at, bucket_allows_at(&l->rates[i].bucket, cost_in(cost, &l->rates[i]),
		                              limit_is_slow(l), now));
	return at;
}

/* Whether it would still be counted after a crash. If not, the state goes to disk first. */
static bool is_granted(struct limit *l, const struct limit_cost *cost)
{
	bool granted = true;

	for (size_t i = 0; i < l->rate_count; i++) {
		struct bucket *b = &l->rates[i].bucket;
		uint64_t wanted = MIN(cost_in(cost, &l->rates[i]), b->most);

		if (b->granted >= wanted)
			continue;
		b->grant_wanted = wanted;
		granted = false;
	}
	return granted;
}

/* ---------------------------------------------------------------- the line */

static void on_turn(void *owner);

static struct share *first_in(const struct limit *l)
{
	return LIST_FIRST(&l->line, struct share, line_link);
}

void line_leave(struct share *h)
{
	struct limit *l = h->line;

	if (!l)
		return;
	if (l->called == h)
		l->called = NULL;
	list_remove(&h->line_link);
	h->line = NULL;
	limit_call_next(l);
}

static void stand(struct share *h, struct limit *l, const struct limit_cost *cost)
{
	if (h->line != l) {
		line_leave(h);
		list_append(&l->line, &h->line_link);
		h->line = l;
	}
	h->wants = *cost;
	l->answered = l->answered || l->called == h;
}

/* Without memory for a timer the schedule's watch comes by. */
static void wait_until(struct limit *l, int64_t at)
{
	if (io_timer_start(l->schedule->io, &l->rate_timer, at, on_turn, l))
		return;
}

/* The one whose turn it was did not ask, or did not want it: it asks again when it has a use for it. */
static void on_check(void *owner)
{
	struct limit *l = owner;
	struct share *h = l->called;

	l->called = NULL;
	if (h && h == first_in(l) && !l->answered)
		line_leave(h);
}

static void on_turn(void *owner)
{
	struct limit *l = owner;
	struct share *h = first_in(l);
	int64_t now = io_now_at(l->schedule->io), at;

	if (!h || l->called || l->suspended_until_at)
		return; /* when that is over all are called */
	at = allowed_at(l, &h->wants, now);
	if (at > now) {
		wait_until(l, at);
		return;
	}
	if (!is_granted(l, &h->wants))
		return; /* limits_granted comes */
	l->called = h;
	l->answered = false;
	destination_pump_later(h->destination);
	/* behind that */
	io_later_run(l->schedule->io, &l->check, on_check, l);
}

void limit_call_next(struct limit *l)
{
	if (first_in(l))
		io_later_run(l->schedule->io, &l->turn, on_turn, l);
}

/* ---------------------------------------------------------------- the face */

static bool limit_allows(struct limit *l, struct share *h, const struct limit_cost *cost)
{
	struct share *first = first_in(l);
	int64_t now = io_now_at(l->schedule->io), at;

	if (l->suspended_until_at)
		return false;
	if (l->rate_count == 0)
		return true;
	if (first && first != h) {
		stand(h, l, cost);
		return false;
	}
	at = allowed_at(l, cost, now);
	if (at <= now && is_granted(l, cost))
		return true;
	stand(h, l, cost);
	if (at > now)
		wait_until(l, at);
	else
		rates_save_soon(l->schedule);
	return false;
}

bool share_allows(struct share *h, const struct limit_cost *cost)
{
	for (unsigned i = 0; i < h->limit_count; i++)
		if (!limit_allows(h->limits[i], h, cost))
			return false;
	return true;
}

void share_take(struct share *h, const struct limit_cost *cost)
{
	int64_t now = io_now_at(h->destination->schedule->io);

	for (unsigned i = 0; i < h->limit_count; i++) {
		struct limit *l = h->limits[i];

		for (size_t r = 0; r < l->rate_count; r++) {
			bucket_take(&l->rates[r].bucket, cost_in(cost, &l->rates[r]), limit_is_slow(l), now);
			if (bucket_is_long(&l->rates[r].bucket))
				rates_changed(l->schedule, &l->rates[r].bucket);
		}
	}
	line_leave(h);
}

uint64_t share_recipients_max(const struct share *h)
{
	uint64_t most = UINT64_MAX;

	for (unsigned i = 0; i < h->limit_count; i++)
		for (size_t r = 0; r < h->limits[i]->rate_count; r++)
			if (h->limits[i]->rates[r].unit == offsetof(struct limit_cost, recipients))
				most = MIN(most, h->limits[i]->rates[r].bucket.most / 2);
	return MAX(most, UINT64_C(1));
}

void limits_granted(struct schedule *s)
{
	for (LIST_EACH(it, &s->limits_all))
		limit_call_next(LIST_ITEM(it, struct limit, all));
}
