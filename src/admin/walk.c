#include "walk.h"

/* An id whose prefix means more messages than this is not worth telling apart. */
#define FOUND_MAX 100

void walk_init(struct walk *w, struct admin *a, const struct selector *s, const struct walk_events *events,
               void *owner)
{
	*w = (struct walk){ .admin = a, .selector = s, .events = events, .owner = owner };
}

static bool is_meant(const struct walk *w, const struct queue_entry *entry)
{
	if (!selector_takes_message(w->selector, entry->envelope, io_now_time(w->admin->options.io)))
		return false;
	if (entry->recipient_count == 0)
		return !selector_needs_recipients(w->selector);
	for (size_t i = 0; i < entry->recipient_count; i++)
		if (selector_takes_recipient(w->selector, entry->envelope, &entry->recipients[i]))
			return true;
	return false;
}

static bool offer(struct walk *w, const struct queue_entry *entry)
{
	if (is_meant(w, entry) && !w->events->on_entry(w->owner, entry))
		w->has_paused = true;
	return !w->has_paused;
}

/* ---------------------------------------------------------------- all messages */

static bool on_each(void *owner, const struct queue_entry *entry)
{
	struct walk *w = owner;

	w->after = entry->envelope->id;
	return offer(w, entry);
}

static void on_each_done(void *owner, enum err err)
{
	struct walk *w = owner;

	w->events->on_slice(w->owner, err, !w->has_paused);
}

/* ---------------------------------------------------------------- by ids */

static void find_next(struct walk *w);

static bool on_found(void *owner, const struct queue_entry *entry)
{
	struct walk *w = owner;

	w->found++;
	/* One message at a time: pausing here would lose the place inside a prefix, so the whole prefix is offered. */
	if (is_meant(w, entry) && !w->events->on_entry(w->owner, entry))
		w->has_paused = true;
	return w->found < FOUND_MAX;
}

static void on_found_done(void *owner, enum err err)
{
	struct walk *w = owner;

	if (!err && w->events->on_id && w->found != 1)
		w->events->on_id(w->owner, w->id.text, w->found);
	w->at = selector_next_id(w->selector, w->at, &w->id);
	if (err || w->has_paused || !w->at)
		w->events->on_slice(w->owner, err, !w->at);
	else
		find_next(w);
}

static void find_next(struct walk *w)
{
	w->found = 0;
	queue_find(w->admin->options.queue, w->id.first, w->id.last, on_found, on_found_done, w);
}

void walk_go(struct walk *w)
{
	w->has_paused = false;
	if (!w->selector->ids) {
		queue_each_message(w->admin->options.queue, w->after, on_each, on_each_done, w);
		return;
	}
	if (!w->at)
		w->at = selector_next_id(w->selector, NULL, &w->id);
	find_next(w);
}
