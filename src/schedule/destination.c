#include "internal.h"

/* The first probe after a failure comes soon; a host that stays away is asked less and less, never rarer than this. */
#define SUSPEND_FIRST_MS (20 * SECOND_MS)
#define SUSPEND_MAX_MS (10 * MINUTE_MS)
#define OPENING_PAUSE_MS (5 * SECOND_MS)

static void scan(struct destination *d);

bool destination_is_suspended(const struct destination *d)
{
	return d->suspended_until_at != 0;
}

static void pump(void *owner)
{
	struct destination *d = owner;

	if (d->schedule->stopping) {
		connections_finish_idle(d);
		schedule_check_stopped(d->schedule);
		return;
	}
	tasks_load(d);
	if (!destination_is_suspended(d)) {
		connections_assign(d);
		connections_open(d);
	}
	if (d->disk_due_time != INT64_MAX && !d->scanning && !io_timer_runs(&d->disk_timer))
		destination_disk_due(d, d->disk_due_time);
	destination_forget_if_empty(d);
}

void destination_pump_later(struct destination *d)
{
	io_later_run(d->schedule->io, &d->pump, pump, d);
}

struct destination *destination_find(struct schedule *s, struct text key)
{
	struct map_item *item = map_find(&s->destinations, key);

	return item ? CONTAINER_OF(item, struct destination, by_key) : NULL;
}

struct destination *destination_get(struct schedule *s, struct text key)
{
	struct destination *d = destination_find(s, key);
	char *name;

	if (d)
		return d;
	d = calloc(1, sizeof(*d));
	name = text_dup(key);
	if (!d || !name || map_add(&s->destinations, &d->by_key, text_of(name, key.len))) {
		free(d);
		free(name);
		return NULL;
	}
	d->schedule = s;
	list_init(&d->ready);
	list_init(&d->connections);
	list_init(&d->hungry);
	list_append(&s->all, &d->all);
	map_init(&d->tasks, false, random_u64(&s->random));
	arena_init(&d->failure_arena, 8192);
	d->disk_due_time = INT64_MAX;
	s->counts.destinations++;
	return d;
}

void destination_free(struct destination *d)
{
	struct schedule *s = d->schedule;

	io_timer_stop(s->io, &d->disk_timer);
	io_timer_stop(s->io, &d->resume_timer);
	io_later_cancel(s->io, &d->pump);
	list_remove(&d->hungry);
	list_remove(&d->all);
	map_remove(&s->destinations, &d->by_key);
	map_fini(&d->tasks);
	arena_fini(&d->failure_arena);
	free((char *)d->by_key.key.at);
	free(d);
	s->counts.destinations--;
}

/* One that has nothing in memory, nothing known on disk and no connection is forgotten; its next mail makes it anew. What it
 * learned by failing is forgotten only when the suspension is over. */
void destination_forget_if_empty(struct destination *d)
{
	if (d->tasks.count == 0 && list_is_empty(&d->connections) && d->disk_due_time == INT64_MAX &&
	    !d->scanning && !destination_is_suspended(d))
		destination_free(d);
}

/* ---------------------------------------------------------------- what waits on disk */

static void on_disk_due(void *owner)
{
	scan(owner);
}

static bool has_room(const struct destination *d)
{
	return d->tasks.count < TASKS_PER_DESTINATION && d->schedule->task_count < TASKS_IN_ALL;
}

void destination_disk_due(struct destination *d, int64_t due_time)
{
	struct schedule *s = d->schedule;

	if (d->scanning)
		d->scan_missed = true;
	d->disk_due_time = MIN(d->disk_due_time, due_time);
	if (d->disk_due_time == INT64_MAX || s->stopping || d->scanning)
		return;
	/* Without memory for a timer the next pump comes here again. A suspended destination is not asked for more than
	 * it has: its tasks share the failure, what is on disk waits for the probe. */
	int64_t at = io_at_of_time(s->io, d->disk_due_time);

	if (destination_is_suspended(d))
		at = MAX(at, d->suspended_until_at);
	if (io_timer_start(s->io, &d->disk_timer, at, on_disk_due, d))
		return;
}

/* Rows of one message follow each other when they have the same due time: they become one task. */
static size_t rows_of_one_message(const struct queue_row *rows, size_t count)
{
	size_t n = 1;

	while (n < count && id_eq(rows[n].id, rows[0].id))
		n++;
	return n;
}

static bool add_rows(struct destination *d, const struct queue_row *rows, size_t count)
{
	struct task *t;

	if (map_find(&d->tasks, id_key(&rows[0].id))) {
		d->skipped_rows = true;
		return true;
	}
	if (task_new(d, rows[0].id, rows[0].sender, &t))
		return false;
	t->ns = calloc(count, sizeof(*t->ns));
	if (!t->ns) {
		task_free(t);
		return false;
	}
	for (size_t i = 0; i < count; i++)
		t->ns[i] = rows[i].n;
	t->n_count = count;
	task_make_ready(t, false);
	return true;
}

static void on_rows(void *owner, enum err err, const struct queue_row *rows, size_t count,
                    int64_t next_due_time)
{
	struct destination *d = owner;
	bool missed = d->scan_missed;
	size_t used = 0;

	d->scanning = false;
	d->scan_missed = false;
	if (d->schedule->stopping) {
		schedule_check_stopped(d->schedule);
		return;
	}
	while (!err && used < count && has_room(d)) {
		size_t n = rows_of_one_message(rows + used, count - used);

		if (!add_rows(d, rows + used, n))
			break;
		d->cursor = (struct queue_cursor){ rows[used + n - 1].due_time, rows[used + n - 1].id,
			                           rows[used + n - 1].n, true };
		used += n;
	}
	if (used < count) {
		/* no room for more now: go on behind what was taken when tasks have gone */
		d->disk_due_time = rows[used].due_time;
	} else {
		d->disk_due_time = next_due_time;
		if (next_due_time > io_now_time(d->schedule->io))
			d->cursor.set = false; /* the end of what is due: the next scan begins at the front */
	}
	if (err || missed) {
		/* What came meanwhile may lie before the cursor. After a failure ask again shortly. */
		d->cursor.set = false;
		d->disk_due_time = io_now_time(d->schedule->io) + (err ? SECOND_MS : 0);
	}
	if (has_room(d) || err)
		destination_disk_due(d, d->disk_due_time);
	destination_pump_later(d);
}

static void scan(struct destination *d)
{
	struct schedule *s = d->schedule;

	if (d->scanning || s->stopping)
		return;
	if (!has_room(d))
		return; /* task_free comes back here through destination_disk_due */
	d->scanning = true;
	d->scan_missed = false;
	d->skipped_rows = false;
	d->disk_due_time = INT64_MAX;
	queue_scan(s->queue, d->by_key.key, &d->cursor, io_now_time(s->io), SCAN_ROWS, on_rows, d);
}

/* ---------------------------------------------------------------- failure and healing */

static void on_resume(void *owner)
{
	struct destination *d = owner;

	d->suspended_until_at = 0;
	destination_disk_due(d, d->disk_due_time);
	destination_pump_later(d);
}

void destination_succeeded(struct destination *d)
{
	d->failures = 0;
	d->last_success_at = io_now_at(d->schedule->io);
	if (!destination_is_suspended(d))
		return;
	io_timer_stop(d->schedule->io, &d->resume_timer);
	on_resume(d);
}

static enum err keep_failure(struct destination *d, const struct deliver_result *failure)
{
	struct deliver_result kept = *failure;

	arena_reset(&d->failure_arena);
	if (arena_text(&d->failure_arena, failure->enhanced, &kept.enhanced) ||
	    arena_text(&d->failure_arena, text_head(failure->reply, 2000), &kept.reply) ||
	    arena_text(&d->failure_arena, failure->mx, &kept.mx))
		return ERR_NOMEM;
	kept.tls = (struct event_tls){ TEXT_EMPTY, TEXT_EMPTY, false };
	d->failure = kept;
	return ERR_OK;
}

/* Nobody could be reached: every task in memory comes to the same, without trying each in turn. Those whose message lies on
 * disk come to it when it is read. What is not in memory waits for the next probe. */
static void share_failure(struct destination *d)
{
	for (LIST_EACH_SAFE(it, &d->ready)) {
		struct task *t = LIST_ITEM(it, struct task, link);

		t->shares_failure = true;
		if (t->work) {
			task_leave_ready(t);
			outcome_fail_rest(t, &d->failure);
		}
	}
}

/* The peer wants no more connections than it has, or there is no memory to say more: the others go on, and none is opened
 * for a moment. */
static void pause_opening(struct destination *d)
{
	struct schedule *s = d->schedule;

	if (io_timer_start(s->io, &d->resume_timer, io_now_at(s->io) + OPENING_PAUSE_MS, on_resume, d))
		return; /* then there is no pause */
}

/* How long nobody is tried: longer each time, and never longer than a message with as many attempts would wait. */
static int64_t pause_ms(const struct destination *d)
{
	const struct config_durations *steps = &d->schedule->config->retry.schedule;
	int64_t step = steps->items[MIN((size_t)d->failures, steps->count - 1)];

	return MIN(MIN(SUSPEND_FIRST_MS << MIN(d->failures, 8u), SUSPEND_MAX_MS), step);
}

static void suspend(struct destination *d)
{
	struct schedule *s = d->schedule;
	int64_t pause = pause_ms(d);

	d->failures++;
	pause = pause * 9 / 10 + (int64_t)random_below(&s->random, (uint64_t)(pause / 5) + 1);
	d->suspended_until_at = io_now_at(s->io) + pause;
	if (io_timer_start(s->io, &d->resume_timer, d->suspended_until_at, on_resume, d))
		d->suspended_until_at = 0; /* better to ask again at once than never */
}

void destination_failed(struct destination *d, const struct deliver_result *failure, bool others_work)
{
	if (others_work || keep_failure(d, failure)) {
		pause_opening(d);
		return;
	}
	/* "No such domain" is an answer, not an outage: the next mail may ask again at once. */
	if (failure->kind != DELIVER_PERMANENT)
		suspend(d);
	share_failure(d);
}
