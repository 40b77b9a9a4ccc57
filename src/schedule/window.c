#include "window.h"

#include <postrider/base/auto.h>
#include <postrider/base/time.h>

#define GROWS_EVERY_MS (2 * SECOND_MS)
#define RAMP_STEP_MS SECOND_MS
#define RAMP_STEPS_MAX 20
#define CEILING_MS MINUTE_MS
#define CEILING_COUNT_MAX 5

void window_init(struct window *w, int64_t now_at)
{
	*w = (struct window){ .size = WINDOW_FIRST,
		              .probing = true,
		              .halved_at = now_at,
		              .grown_at = now_at,
		              .ramp_at = INT64_MIN };
}

bool window_is_fresh(const struct window *w)
{
	return w->probing && w->size == WINDOW_FIRST && w->ramp_at == INT64_MIN && w->ceiling == 0;
}

static unsigned ramp(const struct window *w, int64_t now_at)
{
	int64_t steps;

	if (w->ramp_at == INT64_MIN)
		return UINT32_MAX;
	steps = (now_at - w->ramp_at) / RAMP_STEP_MS;
	return steps < RAMP_STEPS_MAX ? 1u << steps : UINT32_MAX;
}

unsigned window_size(const struct window *w, unsigned most, int64_t now_at)
{
	return MAX(1u, MIN(MIN(w->size, most), ramp(w, now_at)));
}

int64_t window_grows_at(const struct window *w, unsigned most, int64_t now_at)
{
	if (ramp(w, now_at) >= MIN(w->size, most))
		return INT64_MAX;
	return w->ramp_at + ((now_at - w->ramp_at) / RAMP_STEP_MS + 1) * RAMP_STEP_MS;
}

static unsigned highest(const struct window *w, unsigned most, int64_t now_at)
{
	return w->ceiling && now_at < w->ceiling_until_at ? MIN(most, MAX(w->ceiling, 2u) - 1) : most;
}

void window_success(struct window *w, unsigned used, unsigned most, int64_t now_at)
{
	unsigned high = highest(w, most, now_at), size = window_size(w, most, now_at);

	/* a window that is not used has not been tried; while it doubles those that it allows are still on their way */
	if ((w->probing ? 2 * used <= size : used < size) || w->size >= high)
		return;
	w->successes++;
	if (!w->probing && (w->successes < w->size || now_at - w->grown_at < GROWS_EVERY_MS))
		return;
	w->size++;
	w->successes = 0;
	w->grown_at = now_at;
}

static void shrink(struct window *w, unsigned ceiling, unsigned size, int64_t now_at)
{
	/* a ceiling that is met again holds for longer */
	w->ceiling_count = w->ceiling && now_at < w->ceiling_until_at + w->ceiling_count * CEILING_MS
	                           ? MIN(w->ceiling_count + 1, CEILING_COUNT_MAX)
	                           : 1;
	w->ceiling = ceiling;
	w->ceiling_until_at = now_at + w->ceiling_count * CEILING_MS;
	w->size = MAX(size, 1u);
	w->probing = false;
	w->successes = 0;
	w->halved_at = w->grown_at = now_at;
}

bool window_trouble(struct window *w, unsigned used, int64_t opened_at, int64_t now_at)
{
	if (opened_at < w->halved_at)
		return false;
	shrink(w, MAX(used, 1u), MIN(w->size, used) / 2, now_at);
	return true;
}

void window_refused(struct window *w, unsigned bears, int64_t opened_at, int64_t now_at)
{
	if (opened_at >= w->halved_at)
		shrink(w, bears + 1, MIN(w->size, bears), now_at);
}

void window_restart(struct window *w, int64_t now_at)
{
	w->size = 1;
	w->successes = 0;
	w->probing = true;
	w->ramp_at = w->halved_at = w->grown_at = now_at;
}
