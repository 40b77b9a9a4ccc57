#include "limits.h"

#include <postrider/base/auto.h>

static int64_t slice_ms(int64_t window_ms)
{
	return MAX(window_ms / LIMIT_SLICES, (int64_t)1);
}

static int64_t slice_at(const struct limit_window *w, int64_t at)
{
	return at / slice_ms(w->window_ms);
}

/* How many octets of history a slice lies behind the newest one. */
static uint32_t count_of(const struct limit_window *w, int64_t slice)
{
	if (slice > w->slice || slice < w->slice - LIMIT_SLICES || slice < 0)
		return 0;
	return w->counts[slice % (LIMIT_SLICES + 1)];
}

uint64_t limit_used(const struct limit_window *w, int64_t now_at)
{
	uint64_t sum = 0;

	if (w->window_ms == 0)
		return 0;
	int64_t now = slice_at(w, now_at);

	/* the one that is only half behind the window counts in full */
	for (int64_t slice = now - LIMIT_SLICES; slice <= now; slice++)
		sum += count_of(w, slice);
	return sum;
}

bool limit_is_empty(const struct limit_window *w, int64_t now_at)
{
	return limit_used(w, now_at) == 0;
}

/* The slices between the last count and now were empty. */
static void move_to(struct limit_window *w, int64_t now)
{
	for (int64_t slice = MAX(w->slice + 1, now - LIMIT_SLICES); slice <= now; slice++)
		w->counts[slice % (LIMIT_SLICES + 1)] = 0;
	w->slice = MAX(w->slice, now);
}

/* When enough of what was counted has been forgotten. */
static int64_t wait_for(const struct limit_window *w, uint64_t count, int64_t now_at, uint64_t n)
{
	int64_t now = slice_at(w, now_at), length = slice_ms(w->window_ms);
	uint64_t used = limit_used(w, now_at);

	if (n > count)
		return w->window_ms;
	for (int64_t slice = now - LIMIT_SLICES; slice <= now; slice++) {
		used -= count_of(w, slice);
		if (used + n <= count)
			return (slice + LIMIT_SLICES + 1) * length - now_at;
	}
	return w->window_ms;
}

int64_t limit_ask(const struct limit_window *w, const struct config_rate *rate, int64_t now_at, uint64_t n)
{
	if (rate->count == 0)
		return 0;
	if (w->window_ms != rate->window_ms)
		return n <= rate->count ? 0 : rate->window_ms;
	return limit_used(w, now_at) + n <= rate->count ? 0 : wait_for(w, rate->count, now_at, n);
}

int64_t limit_take(struct limit_window *w, const struct config_rate *rate, int64_t now_at, uint64_t n)
{
	int64_t wait_ms = limit_ask(w, rate, now_at, n);

	if (wait_ms || rate->count == 0)
		return wait_ms;
	if (w->window_ms != rate->window_ms)
		*w = (struct limit_window){ .window_ms = rate->window_ms, .tag = w->tag };
	move_to(w, slice_at(w, now_at));

	uint32_t *count = &w->counts[w->slice % (LIMIT_SLICES + 1)];

	*count = (uint32_t)MIN(*count + n, (uint64_t)UINT32_MAX);
	return 0;
}

void limit_give_back(struct limit_window *w, int64_t now_at, uint64_t n)
{
	if (w->window_ms == 0)
		return;
	int64_t now = slice_at(w, now_at);

	for (int64_t slice = now; slice >= now - LIMIT_SLICES && n; slice--) {
		uint32_t *count = &w->counts[MAX(slice, (int64_t)0) % (LIMIT_SLICES + 1)];
		uint32_t part = (uint32_t)MIN((uint64_t)count_of(w, slice), n);

		if (part)
			*count -= part;
		n -= part;
	}
}
