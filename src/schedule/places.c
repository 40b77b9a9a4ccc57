/* Connections: how many those who share a limit may have, and what answers teach. */
#include "internal.h"

static unsigned most_of(const struct limit *l)
{
	unsigned most = (unsigned)MAX(l->pace->connections, UINT64_C(1));

	return limit_is_slow(l) ? MAX(most / 2, 1u) : most;
}

unsigned limit_window(const struct limit *l)
{
	if (!l->pace->adapt)
		return most_of(l);
	return window_size(&l->window, most_of(l), io_now_at(l->schedule->io));
}

unsigned share_window(const struct share *h)
{
	unsigned window = UINT32_MAX;

	for (unsigned i = 0; i < h->limit_count; i++)
		window = MIN(window, limit_window(h->limits[i]));
	return window;
}

bool share_is_over(const struct share *h)
{
	for (unsigned i = 0; i < h->limit_count; i++)
		if (h->limits[i]->connections - h->limits[i]->leaving > limit_window(h->limits[i]))
			return true;
	return false;
}

/* ---------------------------------------------------------------- who waits for one */

void limit_feed_hungry(struct limit *l)
{
	struct list *first;

	if (l->suspended_until_at || list_is_empty(&l->hungry) || l->connections >= limit_window(l))
		return;
	first = list_shift(&l->hungry);
	destination_pump_later(LIST_ITEM(first, struct share, hungry_link)->destination);
}

static void on_window_grows(void *owner)
{
	limit_feed_hungry(owner);
}

static void grow_hungry(struct share *h, struct limit *l)
{
	struct schedule *s = l->schedule;
	int64_t at = l->pace->adapt ? window_grows_at(&l->window, most_of(l), io_now_at(s->io)) : INT64_MAX;

	if (list_is_empty(&h->hungry_link))
		list_append(&l->hungry, &h->hungry_link);
	if (at != INT64_MAX && !io_timer_runs(&l->window_timer) &&
	    io_timer_start(s->io, &l->window_timer, at, on_window_grows, l))
		return; /* the watch comes by */
}

bool share_may_open(struct share *h)
{
	for (unsigned i = 0; i < h->limit_count; i++) {
		struct limit *l = h->limits[i];

		if (l->suspended_until_at)
			return false;
		if (l->connections >= limit_window(l)) {
			grow_hungry(h, l);
			return false;
		}
	}
	list_remove(&h->hungry_link);
	return true;
}

bool share_others_hungry(const struct share *h)
{
	for (unsigned i = 0; i < h->limit_count; i++) {
		const struct list *hungry = &h->limits[i]->hungry;

		if (hungry->next != hungry &&
		    (hungry->next != &h->hungry_link || hungry->prev != &h->hungry_link))
			return true;
	}
	return false;
}

void share_connected(struct share *h)
{
	h->connection_count++;
	for (unsigned i = 0; i < h->limit_count; i++)
		h->limits[i]->connections++;
}

void share_leaves(struct share *h)
{
	h->leaving_count++;
	for (unsigned i = 0; i < h->limit_count; i++)
		h->limits[i]->leaving++;
}

void share_disconnected(struct share *h, bool was_leaving)
{
	h->connection_count--;
	h->leaving_count -= was_leaving;
	for (unsigned i = 0; i < h->limit_count; i++) {
		h->limits[i]->connections--;
		h->limits[i]->leaving -= was_leaving;
		limit_feed_hungry(h->limits[i]);
	}
}

/* ---------------------------------------------------------------- what answers teach */

void share_succeeded(struct share *h)
{
	int64_t now = io_now_at(h->destination->schedule->io);

	for (unsigned i = 0; i < h->limit_count; i++) {
		struct limit *l = h->limits[i];

		window_success(&l->window, l->connections, most_of(l), now);
		limit_feed_hungry(l);
	}
}

void share_trouble(struct share *h, int64_t opened_at)
{
	int64_t now = io_now_at(h->destination->schedule->io);

	for (unsigned i = 0; i < h->limit_count; i++)
		(void)window_trouble(&h->limits[i]->window, h->limits[i]->connections, opened_at, now);
}

void share_refused(struct share *h, int64_t opened_at)
{
	int64_t now = io_now_at(h->destination->schedule->io);

	for (unsigned i = 0; i < h->limit_count; i++)
		window_refused(&h->limits[i]->window, h->limits[i]->connections, opened_at, now);
}

/* A limit that others use all the while had no outage. */
void share_restart(struct share *h)
{
	int64_t now = io_now_at(h->destination->schedule->io);

	for (unsigned i = 0; i < h->limit_count; i++)
		if (h->limits[i]->connections <= h->connection_count)
			window_restart(&h->limits[i]->window, now);
}
