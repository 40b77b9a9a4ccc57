#include "fields.h"

#define WATCH_MS (30 * SECOND_MS)

/* ---------------------------------------------------------------- the queue's news */

static void on_fresh(void *owner, struct queue_work **work)
{
	static const struct id nothing;
	struct schedule *s = owner;
	struct queue_work *w = *work;
	struct destination *d = s->stopping ? NULL : destination_get(s, w->key);
	struct task *t;

	if (!id_eq(w->about, nothing))
		notice_say(s, w);
	if (!d)
		return;
	if (!w->through && !fields_lie_on_disk(s, NULL, w->message) && !backlog_admit(d, w))
		return;
	if ((!w->through && fields_lie_on_disk(s, NULL, w->message)) || map_find(&d->tasks, id_key(&w->id)) ||
	    task_new(d, w->id, CONFIG_CLASS_NORMAL, w->sender, &t)) {
		destination_disk_due(d, w->due_time);
		return;
	}
	t->due_time = w->due_time;
	if (!w->through)
		backlog_join(t, w->recipients[0].class, w->sender);
	t->claimed = true;
	for (size_t i = 0; i < w->recipient_count; i++)
		t->claimed = t->claimed && !w->recipients[i].unclaimed;
	if (w->through)
		list_append(&d->through, &t->through_link);
	if (!task_take_work(t, work) || (task_is_through(t) && through_is_hopeless(t)))
		return;
	/* A backlog keeps only numbers in memory. With nothing ahead of it a message is always kept whole. */
	if (d->content_bytes > CONTENT_PER_DESTINATION && d->ready.count > 0 && !task_is_through(t))
		task_drop_message(t);
	task_make_ready(t, false);
}

static void on_due(void *owner, struct text key, int64_t due_time)
{
	struct schedule *s = owner;
	struct destination *d = s->stopping ? NULL : destination_get(s, key);

	if (d)
		destination_disk_due(d, due_time);
}

static void on_aside(void *owner, struct id id, struct text what)
{
	struct schedule *s = owner;
	struct event event = EVENT(EVENT_ERROR);

	event.level = LEVEL_ERROR;
	event.has_id = true;
	event.id = id;
	event.reason = REASON_SPOOL;
	event.detail = what;
	observe_emit(s->observe, &event);
}

static void on_call_off(void *owner, struct id id, struct text key, bool *unsure)
{
	through_call_off(owner, id, key, unsure);
}

static const struct queue_events queue_events = { on_fresh, on_due, on_aside, on_call_off };

/* ---------------------------------------------------------------- life */

enum err schedule_new(const struct schedule_options *options, struct schedule **out)
{
	struct schedule *s = calloc(1, sizeof(*s));

	if (!s)
		return ERR_NOMEM;
	s->io = options->io;
	s->queue = options->queue;
	s->deliver = options->deliver;
	s->observe = options->observe;
	s->config = config_ref(options->config);
	s->max_connections = MAX(options->max_connections, 1u);
	s->bounds = (struct bounds){ .tasks_in_all = TASKS_IN_ALL,
	                             .tasks = TASKS_PER_DESTINATION,
	                             .at_least = TASKS_AT_LEAST,
	                             .piles = PILES_PER_CLASS,
	                             .looks = LOOKS_PER_JOB };
	random_init(&s->random, options->seed);
	id_source_init(&s->ids, random_u64(&s->random), queue_newest_time(s->queue));
	map_init(&s->destinations, true, random_u64(&s->random));
	list_init(&s->all);
	list_init(&s->hungry);
	list_init(&s->idle);
	limits_init(s);
	ledger_init(s);
	rates_open(s, options->disk, options->spool);
	*out = s;
	return ERR_OK;
}

static void on_key(void *owner, struct text key, uint64_t recipients, int64_t earliest_due_time)
{
	(void)recipients;
	on_due(owner, key, earliest_due_time);
}

/* The difference between the wall clock and the one that only goes on: it falls when the former is set back. */
static int64_t clock_offset_ms(const struct schedule *s)
{
	return io_now_time(s->io) - io_now_at(s->io);
}

/* Now and then: whether the clock was set, and whether a destination could not get a timer for want of memory. */
static void on_watch(void *owner)
{
	struct schedule *s = owner;
	bool set_back = clock_offset_ms(s) < s->clock_offset_ms - MINUTE_MS;

	s->clock_offset_ms = clock_offset_ms(s);
	limits_sweep(s);
	for (LIST_EACH(it, &s->all)) {
		struct destination *d = LIST_ITEM(it, struct destination, all);

		d->far = d->far || set_back;
		destination_wait_for_disk(d); /* its timer is of the clock as it was */
		destination_pump_later(d);
	}
	if (io_timer_start(s->io, &s->watch, io_now_at(s->io) + WATCH_MS, on_watch, s))
		return; /* it cannot: its place in the heap was given back only now */
}

enum err schedule_start(struct schedule *s)
{
	enum err err = io_timer_start(s->io, &s->watch, io_now_at(s->io) + WATCH_MS, on_watch, s);

	if (err)
		return err;
	s->clock_offset_ms = clock_offset_ms(s);
	queue_listen(s->queue, &queue_events, s);
	err = queue_each_key(s->queue, on_key, s);
	/* set back while we were not running */
	for (LIST_EACH(it, &s->all))
		LIST_ITEM(it, struct destination, all)->far =
			queue_newest_time(s->queue) > io_now_time(s->io);
	return err;
}

void schedule_configure(struct schedule *s, const struct config *config)
{
	const struct config *old = s->config;

	s->config = config_ref(config);
	limits_configure(s);
	config_unref(&old);
	for (LIST_EACH_SAFE(it, &s->all)) {
		struct destination *d = LIST_ITEM(it, struct destination, all);

		/* deliver closes what belongs to the old snapshot; tasks ask the new routes */
		d->reroute = true;
		d->failure_way = NULL;
		connections_finish_idle(d);
		destination_pump_later(d);
	}
}

/* ---------------------------------------------------------------- connections are a common good */

void schedule_feed_hungry(struct schedule *s)
{
	struct list *first;

	if (s->connection_count >= s->max_connections)
		return;
	first = list_shift(&s->hungry);
	if (first)
		destination_pump_later(LIST_ITEM(first, struct destination, hungry));
}

/* ---------------------------------------------------------------- stopping */

static bool has_stopped(const struct schedule *s)
{
	if (s->act_count)
		return false;
	for (LIST_EACH(it, &s->all)) {
		const struct destination *d = LIST_ITEM(it, const struct destination, all);

		if (d->flight_count || d->loading_count || d->scanning || !list_is_empty(&d->connections))
			return false;
		for (struct map_item *item = map_next(&d->tasks, NULL); item;
		     item = map_next(&d->tasks, item))
			if (CONTAINER_OF(item, struct task, by_id)->state >= TASK_SETTLING)
				return false;
	}
	return true;
}

static void check_stopped(void *owner)
{
	struct schedule *s = owner;
	void (*on_stopped)(void *owner) = s->on_stopped;

	if (!on_stopped || !has_stopped(s) || !rates_close(s))
		return;
	io_timer_stop(s->io, &s->stop_timer);
	s->on_stopped = NULL;
	on_stopped(s->stop_owner);
}

void schedule_check_stopped(struct schedule *s)
{
	if (s->stopping)
		io_later_run(s->io, &s->stop_check, check_stopped, s);
}

static void on_linger_over(void *owner)
{
	struct schedule *s = owner;

	for (LIST_EACH_SAFE(it, &s->all))
		connections_abort(LIST_ITEM(it, struct destination, all));
	schedule_check_stopped(s);
}

void schedule_hurry(struct schedule *s)
{
	if (s->stopping && s->on_stopped)
		on_linger_over(s);
}

void schedule_stop(struct schedule *s, int64_t linger_ms, void (*on_stopped)(void *owner), void *owner)
{
	s->stopping = true;
	io_timer_stop(s->io, &s->watch);
	s->on_stopped = on_stopped;
	s->stop_owner = owner;
	for (LIST_EACH_SAFE(it, &s->all))
		connections_finish_idle(LIST_ITEM(it, struct destination, all));
	if (io_timer_start(s->io, &s->stop_timer, io_now_at(s->io) + linger_ms, on_linger_over, s))
		on_linger_over(s);
	schedule_check_stopped(s);
}

static void free_tasks(struct destination *d)
{
	struct map_item *item;

	while ((item = map_next(&d->tasks, NULL)))
		task_free(CONTAINER_OF(item, struct task, by_id));
}

void schedule_free(struct schedule **slot)
{
	struct schedule *s = *slot;

	*slot = NULL;
	if (!s)
		return;
	s->stopping = true;
	io_timer_stop(s->io, &s->watch);
	for (LIST_EACH_SAFE(it, &s->all)) {
		struct destination *d = LIST_ITEM(it, struct destination, all);

		free_tasks(d);
		destination_free(d);
	}
	io_timer_stop(s->io, &s->stop_timer);
	io_later_cancel(s->io, &s->stop_check);
	map_fini(&s->destinations);
	limits_fini(s);
	ledger_fini(s);
	rates_free(s);
	config_unref(&s->config);
	free(s);
}

/* ---------------------------------------------------------------- what people see */

static int64_t wall_time(struct schedule *s, int64_t at)
{
	return at ? io_now_time(s->io) + (at - io_now_at(s->io)) : 0;
}

static size_t recipients_in(const struct destination *d, bool in_flight)
{
	size_t count = 0;

	for (struct map_item *item = map_next(&d->tasks, NULL); item; item = map_next(&d->tasks, item)) {
		const struct task *t = CONTAINER_OF(item, struct task, by_id);

		if ((t->state == TASK_IN_FLIGHT) == in_flight)
			count += t->work ? t->end - t->next : t->n_count;
	}
	return count;
}

/* The first of its logins that something binds speaks for it. */
static void view_limits(struct destination *d, struct schedule_destination *view, struct buf *words)
{
	struct schedule *s = d->schedule;
	int64_t until = 0;

	buf_reset(words);
	for (LIST_EACH(it, &d->shares)) {
		struct share *h = LIST_ITEM(it, struct share, link);

		view->slow_until_time = MAX(view->slow_until_time, wall_time(s, share_slow_until_at(h)));
		if (words->len == 0 && share_binding(h, words, &until))
			view->limited_until_time = wall_time(s, until);
	}
	view->limit = buf_text(words);
}

void schedule_each_destination(struct schedule *s, schedule_destination_fn *each, void *owner)
{
	AUTO(buf_fini) struct buf words = BUF(4096);

	for (LIST_EACH_SAFE(it, &s->all)) {
		struct destination *d = LIST_ITEM(it, struct destination, all);
		struct schedule_destination view = { .key = d->by_key.key,
			                             .ready = recipients_in(d, false),
			                             .in_flight = recipients_in(d, true),
			                             .connections = d->connection_count,
			                             .window = destination_window(d),
			                             .next_due_time = backlog_next_due_time(d),
			                             .suspended_until_time =
			                                     wall_time(s, d->suspended_until_at) };

		if (destination_is_suspended(d)) {
			view.reason = d->failure.reason;
			view.problem = d->failure.reply;
		}
		view_limits(d, &view, &words);
		each(owner, &view);
	}
}

static bool is_under_way(const struct destination *d, struct id id, uint32_t n)
{
	struct map_item *item = map_find(&d->tasks, id_key(&id));
	const struct task *t = item ? CONTAINER_OF(item, const struct task, by_id) : NULL;

	return t && (t->state == TASK_IN_FLIGHT || t->state == TASK_SETTLING) && task_holds(t, n);
}

bool schedule_waits_for(struct schedule *s, struct id id, const struct queue_recipient *recipient, struct buf *out,
                        int64_t *until_time)
{
	struct destination *d = destination_find(s, recipient->key);
	int64_t until = 0;
	bool binds = false;

	if (!d || recipient->state == QUEUE_HELD || is_under_way(d, id, recipient->n))
		return false;
	if (destination_is_suspended(d)) {
		buf_add_format(out, "%.*s could not be reached: ", TEXT_ARGS(d->by_key.key));
		buf_add(out, d->failure.reply);
		*until_time = wall_time(s, d->suspended_until_at);
		return true;
	}
	for (LIST_EACH(it, &d->shares))
		binds = binds || share_binding(LIST_ITEM(it, struct share, link), out, &until);
	*until_time = wall_time(s, until);
	return binds;
}

struct schedule_counts schedule_count(const struct schedule *s)
{
	struct schedule_counts counts = s->counts;

	counts.connections = s->connection_count;
	for (LIST_EACH(it, &s->all)) {
		const struct destination *d = LIST_ITEM(it, const struct destination, all);

		counts.ready += d->ready.count + d->loading_count;
		counts.in_flight += d->flight_count;
	}
	return counts;
}
