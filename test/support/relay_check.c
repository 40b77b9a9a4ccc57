/* What must hold of the scheduler at any moment, and of the queue beside it. */
#include "relay_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>

#include <postrider/observe/observe.h>

#include "../../src/schedule/internal.h"

#define ROWS_MAX 200000
#define CHECKS 4
#define BETWEEN_CHECKS_MS 25
#define CLOCK_NOTICED_MS (31 * SECOND_MS)

/* ---------------------------------------------------------------- what the scheduler says of itself */

struct sums {
	size_t ready, flight, loading, content;
};

static void add_tasks(const struct destination *d, struct sums *sums)
{
	for (struct map_item *it = map_next(&d->tasks, NULL); it; it = map_next(&d->tasks, it)) {
		const struct task *t = CONTAINER_OF(it, const struct task, by_id);

		sums->ready += ready_has(&t->item);
		sums->flight += t->state == TASK_IN_FLIGHT;
		sums->loading += t->state == TASK_LOADING;
		sums->content += t->counted_bytes;
		assert_true((t->state == TASK_READY) == ready_has(&t->item));
		assert_true(t->settled <= t->next);
	}
}

static unsigned count_list(const struct list *head)
{
	unsigned count = 0;

	for (LIST_EACH(it, head))
		count++;
	return count;
}

static unsigned count_busy(const struct destination *d)
{
	unsigned busy = 0;

	for (LIST_EACH(it, &d->connections)) {
		const struct connection *c = LIST_ITEM(it, const struct connection, link);

		busy += c->finishing || !c->was_ready || deliver_in_flight(c->wire) > 0;
	}
	return busy;
}

/* It stands in the line of a limit, or its limits are suspended. */
static bool waits_for_limit(const struct destination *d)
{
	for (LIST_EACH(it, &d->shares)) {
		const struct share *h = LIST_ITEM(it, const struct share, link);

		if (h->line || share_is_suspended(h) || !list_is_empty(&h->hungry_link))
			return true;
	}
	return false;
}

/* Something is going to happen with what is ready. */
static bool has_next_event(const struct destination *d)
{
	if (waits_for_limit(d))
		return true;
	return io_timer_runs(&d->resume_timer) || d->loading_count || count_busy(d) ||
	       !list_is_empty(&d->hungry) || !list_is_empty(&d->pump.link);
}

/* Each task counts for its pile, and each pile is there for something. */
static void check_backlog(const struct destination *d)
{
	const struct backlog *b = &d->backlog;
	size_t in_piles = 0, with_pile = 0, piles = 0;

	for (struct map_item *it = map_next(&d->tasks, NULL); it; it = map_next(&d->tasks, it))
		with_pile += CONTAINER_OF(it, const struct task, by_id)->pile != NULL;
	for (struct map_item *it = map_next(&b->piles, NULL); it; it = map_next(&b->piles, it)) {
		const struct pile *p = CONTAINER_OF(it, const struct pile, by_name);

		in_piles += p->count;
		assert_true(p->count > 0 || p->lies || p->sought);
		assert_true(!p->sought || d->scanning);
	}
	for (unsigned i = 0; i < READY_CLASSES; i++)
		piles += b->pile_count[i];
	assert_int_equal(in_piles, with_pile);
	assert_int_equal(piles, b->piles.count);
}

static void check_destination(const struct destination *d)
{
	struct sums sums = { 0 };
	unsigned connections = 0, opening = 0;

	add_tasks(d, &sums);
	for (LIST_EACH(it, &d->connections)) {
		connections++;
		opening += !LIST_ITEM(it, const struct connection, link)->was_ready;
	}
	assert_int_equal(sums.ready, d->ready.count);
	assert_int_equal(sums.flight, d->flight_count);
	assert_int_equal(sums.loading, d->loading_count);
	assert_int_equal(sums.content, d->content_bytes);
	assert_int_equal(connections, d->connection_count);
	assert_int_equal(opening, d->opening_count);
	check_backlog(d);
	assert_true(!destination_is_suspended(d) || io_timer_runs(&d->resume_timer));
	if (d->ready.count && !has_next_event(d))
		fail_msg("%.*s: %zu tasks are ready and nothing is going to happen", TEXT_ARGS(d->by_key.key),
		         d->ready.count);
}

static void check_sums(struct schedule *s)
{
	size_t tasks = 0;
	unsigned connections = 0, destinations = 0, leaving = 0;

	for (LIST_EACH(it, &s->all)) {
		const struct destination *d = LIST_ITEM(it, const struct destination, all);

		check_destination(d);
		destinations++;
		tasks += d->tasks.count;
		connections += d->connection_count;
		for (LIST_EACH(jt, &d->connections))
			leaving += LIST_ITEM(jt, const struct connection, link)->finishing;
	}
	assert_int_equal(tasks, s->task_count);
	assert_int_equal(connections, s->connection_count);
	assert_int_equal(leaving, s->leaving_count);
	assert_int_equal(destinations, s->counts.destinations);
	assert_true(connections <= s->max_connections);
	assert_true(count_list(&s->idle) <= connections);
}

/* ---------------------------------------------------------------- rows on disk */

struct suspect {
	struct id id;
	uint32_t n;
	unsigned seen;
	const char *why;
	char where[200];
};

struct search {
	struct relay_world *world;
	struct schedule *schedule;
	struct text key;
	bool done;
	struct suspect suspects[64];
	size_t suspect_count;
	unsigned round;
};

/* And that is going to be filled, or has enough in memory for now. */
static bool lies_on_its_pile(const struct destination *d, const struct queue_row *r)
{
	const struct queue_cursor place = { r->due_time, r->id, r->n, true };
	struct pile_name name = { r->sender, r->class };
	struct map_item *item = map_find(&d->backlog.piles, text_of((const char *)&name, sizeof(name)));
	const struct pile *p = item ? CONTAINER_OF(item, const struct pile, by_name) : NULL;

	if (!p || !p->lies || queue_cursor_compare(&place, &p->from) <= 0)
		return false;
	if (p->count == 0 && list_is_empty(&p->link))
		fail_msg("a pile waits for nothing");
	return p->count > 0 || io_timer_runs(&d->disk_timer) || !destination_has_room(d);
}

/* NULL: somebody is going to come for it. */
static const char *what_is_wrong(const struct relay_world *w, struct schedule *s, struct text key,
                                 const struct queue_row *r)
{
	struct destination *d = destination_find(s, key);
	struct map_item *item = d ? map_find(&d->tasks, id_key(&r->id)) : NULL;
	const struct task *t = item ? CONTAINER_OF(item, const struct task, by_id) : NULL;
	const struct queue_cursor place = { r->due_time, r->id, r->n, true };
	int64_t at;

	if (!d)
		return "its destination is not known";
	if ((t && (task_holds(t, r->n) || t->has_more_rows)) || d->scanning || d->far)
		return NULL;
	if (w->clock_set_at && io_now_at(s->io) < w->clock_set_at + CLOCK_NOTICED_MS)
		return NULL; /* timers are of the clock as it was */
	if (lies_on_its_pile(d, r))
		return NULL;
	if (queue_cursor_compare(&place, &d->backlog.front[r->class]) <= 0)
		return "the front is past it, and it lies on no pile";
	if (d->backlog.full[r->class])
		return d->backlog.pile_count[r->class] ? NULL : "nothing wakes its class";
	if (!io_timer_runs(&d->disk_timer))
		return "no timer runs for it";
	at = MAX(MAX(io_at_of_time(s->io, r->due_time), io_now_at(s->io)), d->suspended_until_at);
	at = MAX(at, d->backlog.not_before_at);
	if (d->disk_timer.due.key > at)
		return "the timer runs for something later";
	return NULL;
}

static void describe(const struct search *search, const struct queue_row *r, char *out, size_t room)
{
	struct destination *d = destination_find(search->schedule, search->key);
	struct map_item *item = d ? map_find(&d->tasks, id_key(&r->id)) : NULL;
	const struct task *t = item ? CONTAINER_OF(item, const struct task, by_id) : NULL;

	snprintf(out, room, "%.*s, due %lld ago, known %lld ago, %s %d, settled %zu, next %zu, end %zu",
	         TEXT_ARGS(text_head(search->key, 40)),
	         (long long)(io_now_time(search->schedule->io) - r->due_time),
	         d ? (long long)(io_now_time(search->schedule->io) - d->disk_due_time) : 0,
	         t ? "task" : "no task", t ? (int)t->state : -1, t ? t->settled : 0, t ? t->next : 0,
	         t ? t->end : 0);
}

static void suspect(struct search *search, const struct queue_row *r, const char *why)
{
	for (size_t i = 0; i < search->suspect_count; i++) {
		struct suspect *known = &search->suspects[i];

		if (id_eq(known->id, r->id) && known->n == r->n) {
			known->seen++;
			known->why = why;
			describe(search, r, known->where, sizeof(known->where));
			return;
		}
	}
	if (search->suspect_count < ARRAY_LEN(search->suspects))
		search->suspects[search->suspect_count++] = (struct suspect){ r->id, r->n, 1, why };
}

static void on_rows(void *owner, enum err err, const struct queue_row *rows, size_t count, int64_t next)
{
	struct search *search = owner;

	(void)next;
	assert_int_equal(err, ERR_OK);
	for (size_t i = 0; i < count; i++) {
		const char *why = what_is_wrong(search->world, search->schedule, search->key, &rows[i]);

		if (why)
			suspect(search, &rows[i], why);
	}
	search->done = true;
}

struct keys {
	struct text items[512];
	size_t count;
};

static void on_key(void *owner, struct text key, uint64_t recipients, int64_t earliest)
{
	struct keys *keys = owner;

	(void)recipients;
	(void)earliest;
	if (keys->count == ARRAY_LEN(keys->items))
		return;
	keys->items[keys->count].at = text_dup(key);
	keys->items[keys->count++].len = key.len;
}

static void look_at_rows(struct search *search)
{
	struct queue *q = server_queue(search->world->server);
	struct queue_cursor from = { 0 };
	struct keys *keys = calloc(1, sizeof(*keys));

	assert_non_null(keys);
	assert_int_equal(queue_each_key(q, on_key, keys), ERR_OK);
	for (size_t i = 0; i < keys->count; i++) {
		search->key = keys->items[i];
		search->done = false;
		queue_scan(q, search->key, &from, INT64_MAX, ROWS_MAX, on_rows, search);
		assert_true(sim_run_until(search->world->sim, &search->done, 60000));
		free((char *)keys->items[i].at);
	}
	free(keys);
}

/* A row may be found between its commit and its announcement, or between a settle and its callback: what is wrong stays so. */
void relay_world_check(struct relay_world *w)
{
	struct search search = { .world = w, .schedule = server_schedule(w->server) };

	for (unsigned i = 0; i < CHECKS; i++) {
		check_sums(search.schedule);
		look_at_rows(&search);
		if (search.suspect_count == 0)
			return;
		sim_run(w->sim, BETWEEN_CHECKS_MS);
	}
	for (size_t i = 0; i < search.suspect_count; i++) {
		struct id_text id = id_to_text(search.suspects[i].id);

		if (search.suspects[i].seen == CHECKS)
			fail_msg("seed %llu: recipient %u of %s has no next event: %s (%s)\n%.*s",
			         (unsigned long long)w->seed, search.suspects[i].n, id.at,
			         search.suspects[i].why, search.suspects[i].where,
			         TEXT_ARGS(buf_text(&w->events)));
	}
}

/* ---------------------------------------------------------------- the balance */

void relay_world_balance(struct relay_world *w)
{
	const struct counters *c = observe_counters(w->observe);
	struct queue_space space;
	uint64_t ended;

	sim_run(w->sim, 200); /* an outcome is told before it is on disk */
	space = queue_space(server_queue(w->server));
	ended = c->delivered + c->bounced + c->expired + c->dropped;
	if (c->recipients_received != ended + space.recipients)
		fail_msg(
			"%llu recipients were taken in, %llu ended (delivered %llu, bounced %llu, expired %llu, "
			"dropped %llu) and %llu are queued",
			(unsigned long long)c->recipients_received, (unsigned long long)ended,
			(unsigned long long)c->delivered, (unsigned long long)c->bounced,
			(unsigned long long)c->expired, (unsigned long long)c->dropped,
			(unsigned long long)space.recipients);
}

void relay_world_squeeze(struct relay_world *w, size_t tasks, size_t piles, size_t looks)
{
	struct bounds *b = &server_schedule(w->server)->bounds;

	b->tasks = tasks ? tasks : b->tasks;
	b->at_least = MIN(b->tasks, b->at_least);
	b->piles = piles ? piles : b->piles;
	b->looks = looks ? looks : b->looks;
}
