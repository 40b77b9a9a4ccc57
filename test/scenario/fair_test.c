/* Who goes first, and how much of a scarce limit each one gets: senders and classes behind an upstream that takes ten messages a
 * second. FAIR_MESSAGES says how many wait beside the urgent (100,000); FAIR_MINUTES how long it lasts (20). */
#include "scripts.h"

#include <stdio.h>
#include <stdlib.h>

#include <postrider/route.h>

#include "../../src/schedule/internal.h"

#define YAML_RATE                                                                            \
	YAML_HEAD                                                                            \
	"upstreams: {next: {hosts: [10.0.0.1:25], tls: none, rate: 10/s, connections: 4}}\n" \
	"routes:\n"                                                                          \
	"- {to: any, from: bulk.test, via: next, class: bulk}\n"                             \
	"- {to: any, from: urgent.test, via: next, class: urgent}\n"                         \
	"- {to: any, via: next}\n" YAML_RETRY

#define SENDERS 64
#define URGENT_MAX 10000
#define WINDOWS_MAX 4000
#define KEY TEXT("upstream:next")

/* What is heard of the deliveries, without a line for each being kept. */
struct fair {
	struct relay_world w;
	struct sim_peer *peer;
	struct observe_consumer consumer;
	struct id_source ids;
	size_t accepted, decided;
	size_t delivered;
	size_t had[SENDERS];   /* by the number of bulk senders: s7@bulk.test is 7 */
	size_t place[SENDERS]; /* of the last one among all that were delivered, from 1 */
	size_t urgent_place;
	size_t urgent_sent, urgent_had;
	int64_t urgent_at[URGENT_MAX], urgent_ms[URGENT_MAX];
	int64_t began_at;
	size_t windows[WINDOWS_MAX]; /* deliveries in each ten seconds */
	size_t most_tasks;
};

static size_t number_in(struct text t)
{
	size_t n = 0;

	for (size_t i = 1; i < t.len && ascii_is_digit(t.at[i]); i++)
		n = n * 10 + (size_t)(t.at[i] - '0');
	return n;
}

static void on_event(void *owner, const struct event *e, int64_t time_us, struct text line)
{
	struct fair *f = owner;
	int64_t now = io_now_at(sim_io(f->w.sim));
	size_t window = (size_t)((now - f->began_at) / 10000);

	(void)time_us;
	(void)line;
	f->w.counts[e->kind]++;
	if (e->kind != EVENT_DELIVERED)
		return;
	f->delivered++;
	if (window < WINDOWS_MAX)
		f->windows[window]++;
	if (text_find(e->from, TEXT("@urgent.test")) < e->from.len) {
		size_t n = number_in(e->from);

		assert_true(n < URGENT_MAX);
		f->urgent_ms[f->urgent_had++] = now - f->urgent_at[n];
		f->urgent_place = f->delivered;
	} else {
		size_t n = number_in(e->from);

		assert_true(n < SENDERS);
		f->had[n]++;
		f->place[n] = f->delivered;
	}
}

static void fair_open(struct fair *f, uint64_t seed, const char *yaml)
{
	memset(f, 0, sizeof(*f));
	relay_world_open(&f->w, seed, yaml, NULL);
	observe_remove_consumer(&f->w.consumer);
	f->consumer = (struct observe_consumer){ .least = LEVEL_DEBUG, .fn = on_event, .owner = f };
	observe_add_consumer(f->w.observe, &f->consumer);
	id_source_init(&f->ids, seed, 0);
	f->began_at = io_now_at(sim_io(f->w.sim));
}

static void fair_close(struct fair *f)
{
	relay_world_stop(&f->w);
	sim_peer_free(&f->peer);
	relay_world_close(&f->w);
}

static void answer(struct fair *f)
{
	f->peer = relay_world_peer(&f->w, NEXT_HOP, TAKES_ALL);
	f->began_at = io_now_at(sim_io(f->w.sim));
}

/* ---------------------------------------------------------------- mail, straight into the queue */

static void on_decided(void *owner, const struct queue_decision *decision)
{
	struct fair *f = owner;

	assert_int_equal(decision->err, ERR_OK);
	f->decided++;
}

static enum config_class class_of(const struct config *config, const char *from, struct text to)
{
	const struct route_message m = { .reverse_path = text_from(from), .is_received = true };
	struct route_choice choice;

	assert_int_equal(route_find(config, &m, to, &choice), ERR_OK);
	return route_class(choice.route, 0);
}

static void put_one(struct fair *f, const char *from)
{
	struct queue *q = server_queue(f->w.server);
	struct queue_draft *draft;
	AUTO(envelope_free) struct envelope *e = envelope_new(1u << 16);
	struct text key = KEY;
	enum config_class class = class_of(f->w.config, from, TEXT("b@example.net"));

	assert_non_null(e);
	e->received_time = io_now_time(sim_io(f->w.sim));
	e->id = id_next(&f->ids, e->received_time);
	e->content_bytes = sizeof(SMALL) - 1;
	assert_int_equal(envelope_set(e, &e->reverse_path, text_from(from)), ERR_OK);
	assert_int_equal(envelope_add_recipient(e, TEXT("b@example.net"), TEXT_EMPTY), ERR_OK);
	assert_int_equal(queue_draft_open(q, 0, NULL, NULL, &draft), ERR_OK);
	assert_int_equal(queue_draft_write(draft, TEXT(SMALL)), ERR_OK);
	f->accepted++;
	queue_accept(q, &draft, &(struct queue_submission){ .envelope = e, .keys = &key, .classes = &class },
	             on_decided, f);
}

static void wait_for_disk(struct fair *f)
{
	for (unsigned i = 0; i < 10000 && f->decided < f->accepted; i++)
		sim_run(f->w.sim, 10);
	assert_int_equal(f->decided, f->accepted);
}

static void put_many(struct fair *f, size_t count, const char *from)
{
	for (size_t i = 0; i < count; i++) {
		put_one(f, from);
		if (f->accepted % 1000 == 0)
			wait_for_disk(f);
	}
	wait_for_disk(f);
}

static void put_urgent(struct fair *f)
{
	char from[40];

	assert_true(f->urgent_sent < URGENT_MAX);
	snprintf(from, sizeof(from), "u%zu@urgent.test", f->urgent_sent);
	f->urgent_at[f->urgent_sent++] = io_now_at(sim_io(f->w.sim));
	put_one(f, from);
}

static void run(struct fair *f, int64_t ms)
{
	struct schedule *s = server_schedule(f->w.server);

	for (int64_t passed = 0; passed < ms; passed += 1000) {
		sim_run(f->w.sim, MIN(ms - passed, 1000));
		f->most_tasks = MAX(f->most_tasks, s->task_count);
	}
}

/* ---------------------------------------------------------------- figures */

/* Jain's: 1 when all had the same, 1/count when one had all. */
static double jain(const size_t *had, size_t count)
{
	double sum = 0, squares = 0;

	for (size_t i = 0; i < count; i++) {
		sum += (double)had[i];
		squares += (double)had[i] * (double)had[i];
	}
	return squares > 0 ? sum * sum / ((double)count * squares) : 0;
}

static int by_size(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static int64_t urgent_p99(struct fair *f)
{
	qsort(f->urgent_ms, f->urgent_had, sizeof(*f->urgent_ms), by_size);
	return f->urgent_had ? f->urgent_ms[f->urgent_had * 99 / 100] : -1;
}

/* In any ten seconds by the clock no more than a hundred, and one that was on its way when they began. */
static void check_limit(const struct fair *f)
{
	for (size_t i = 0; i < WINDOWS_MAX; i++)
		assert_true(f->windows[i] <= 101);
}

static size_t from_environment(const char *name, size_t otherwise)
{
	const char *value = getenv(name);

	return value ? (size_t)strtoul(value, NULL, 10) : otherwise;
}

/* ---------------------------------------------------------------- one urgent message beside a mailing */

#define EQUALS 4

static void urgent_mail_beside_a_mailing(void **state)
{
	static struct fair f;
	size_t count = from_environment("FAIR_MESSAGES", 40000),
	       minutes = from_environment("FAIR_MINUTES", 10);
	double used, index;
	int64_t p99;

	(void)state;
	fair_open(&f, 500, YAML_RATE);
	answer(&f);
	/* one after the other: who comes last stands behind all the others on disk */
	for (unsigned s = 0; s < EQUALS; s++) {
		char from[40];

		snprintf(from, sizeof(from), "s%u@bulk.test", s);
		put_many(&f, count / EQUALS, from);
	}
	run(&f, 10000);
	memset(f.had, 0, sizeof(f.had));
	f.delivered = 0;
	for (size_t m = 0; m < minutes; m++) {
		run(&f, (int64_t)(m * 7919 % 60) * 1000 + (int64_t)(m * 131 % 1000));
		put_urgent(&f);
		run(&f, MINUTE_MS - (int64_t)(m * 7919 % 60) * 1000 - (int64_t)(m * 131 % 1000));
	}
	used = (double)f.delivered / ((double)minutes * 600);
	index = jain(f.had, EQUALS);
	p99 = urgent_p99(&f);
	printf("%zu waiting, %zu minutes: urgent p99 %lld ms, %.2f%% of the limit used, Jain %.5f, %zu tasks in memory\n",
	       count, minutes, (long long)p99, used * 100, index, f.most_tasks);
	assert_int_equal(f.urgent_had, f.urgent_sent);
	assert_true(p99 < 2000);
	assert_true(used >= 0.99);
	assert_true(used <= 1.001);
	check_limit(&f);
	assert_true(index > 0.99);
	assert_true(f.most_tasks <= TASKS_PER_DESTINATION + 20);
	if (count <= 100000)
		relay_world_check(&f.w);
	fair_close(&f);
}

/* ---------------------------------------------------------------- few beside many */

static void put_bulk(struct fair *f, unsigned sender, size_t count)
{
	char from[40];

	snprintf(from, sizeof(from), "s%u@bulk.test", sender);
	put_many(f, count, from);
}

static void who_has_few_does_not_wait_for_many(void **state)
{
	static struct fair f;

	(void)state;
	fair_open(&f, 501, YAML_RATE);
	answer(&f);
	put_bulk(&f, 0, 10000);
	run(&f, 30000);
	put_bulk(&f, 1, 10);
	run(&f, 3000); /* ten rounds of two */
	assert_int_equal(f.had[1], 10);
	assert_true(f.had[0] >= 300);
	relay_world_check(&f.w);
	fair_close(&f);
}

/* What one had while the others had nothing is lent: it costs him nothing, and the others get their share from the first message
 * on. */
static void a_lent_share_is_given_back_at_once(void **state)
{
	static struct fair f;
	size_t before;

	(void)state;
	fair_open(&f, 502, YAML_RATE);
	answer(&f);
	put_bulk(&f, 0, 5000);
	run(&f, 120000);
	assert_in_range(f.had[0], 1180, 1210);
	before = f.had[0];
	put_bulk(&f, 1, 1000);
	run(&f, 20000);
	assert_in_range(f.had[1], 97, 103);
	assert_in_range(f.had[0] - before, 97, 105);
	fair_close(&f);
}

/* ---------------------------------------------------------------- the rest has its share */

static void urgent_mail_without_end_leaves_a_tenth(void **state)
{
	static struct fair f;

	(void)state;
	fair_open(&f, 503, YAML_RATE);
	answer(&f);
	put_bulk(&f, 0, 1000);
	for (unsigned i = 0; i < 3000; i++) {
		put_urgent(&f);
		if (i % 500 == 0)
			wait_for_disk(&f);
	}
	wait_for_disk(&f);
	f.had[0] = f.urgent_had = 0;
	run(&f, 100000);
	assert_in_range(f.had[0], 95, 105);
	assert_in_range(f.urgent_had, 885, 915);
	relay_world_check(&f.w);
	fair_close(&f);
}

/* ---------------------------------------------------------------- after a restart */

/* Nothing is in memory, and who comes last lies behind everybody else. */
static void a_restart_changes_nothing(void **state)
{
	static struct fair f;
	size_t before[2];

	(void)state;
	fair_open(&f, 504, YAML_RATE);
	assert_int_equal(sim_set_reach(f.w.sim, NEXT_HOP, SIM_REFUSED), ERR_OK);
	put_bulk(&f, 0, 15000);
	put_bulk(&f, 1, 3000);
	put_urgent(&f);
	wait_for_disk(&f);
	relay_world_stop(&f.w);
	assert_int_equal(sim_set_reach(f.w.sim, NEXT_HOP, SIM_REACHABLE), ERR_OK);
	/* all of it is due again */
	sim_set_clock(f.w.sim, io_now_time(sim_io(f.w.sim)) + 10 * MINUTE_MS);
	f.delivered = 0;
	answer(&f);
	relay_world_start(&f.w);
	run(&f, 2000);
	assert_int_equal(f.urgent_had, 1);
	run(&f, 5000);
	memcpy(before, f.had, sizeof(before));
	run(&f, 60000);
	assert_in_range(f.had[0] - before[0], 297, 303);
	assert_in_range(f.had[1] - before[1], 297, 303);
	relay_world_check(&f.w);
	relay_world_crash(&f.w);
	run(&f, 5000);
	memcpy(before, f.had, sizeof(before));
	run(&f, 60000);
	assert_in_range(f.had[0] - before[0], 297, 303);
	assert_in_range(f.had[1] - before[1], 297, 303);
	fair_close(&f);
}

/* ---------------------------------------------------------------- room is made */

#define YAML_SLOW                                                                             \
	YAML_HEAD                                                                             \
	"upstreams: {next: {hosts: [10.0.0.1:25], tls: none, rate: 6/min, connections: 1}}\n" \
	"routes:\n"                                                                           \
	"- {to: any, from: bulk.test, via: next, class: bulk}\n"                              \
	"- {to: any, from: urgent.test, via: next, class: urgent}\n"                          \
	"- {to: any, via: next}\n" YAML_RETRY

/* Memory is full, and frees a place with each send only: who may not wait for that gets one from who has many. */
static void who_has_many_gives_way_in_memory(void **state)
{
	static struct fair f;
	size_t before;

	(void)state;
	fair_open(&f, 507, YAML_SLOW);
	relay_world_squeeze(&f.w, 20, 0, 0);
	answer(&f);
	put_bulk(&f, 0, 100);
	run(&f, 2 * MINUTE_MS + 34 * SECOND_MS); /* between two times at which one may go */
	put_bulk(&f, 0, 20);                     /* to the brim */
	assert_int_equal(server_schedule(f.w.server)->task_count, 20);
	before = f.delivered;
	put_urgent(&f);
	wait_for_disk(&f);
	sim_run(f.w.sim, 100);
	assert_int_equal(
		destination_find(server_schedule(f.w.server), KEY)->ready.classes[CONFIG_CLASS_URGENT].count,
		1);
	put_bulk(&f, 1, 1);
	run(&f, 2 * MINUTE_MS);
	assert_int_equal(f.urgent_had, 1);
	assert_int_equal(f.urgent_place, before + 1);
	assert_int_equal(f.had[1], 1);
	assert_in_range(f.place[1], before + 2, before + 3); /* the other may have had his turn */
	assert_true(f.most_tasks <= 20);
	relay_world_check(&f.w);
	fair_close(&f);
}

/* ---------------------------------------------------------------- the row and the route */

struct rows {
	bool told;
	size_t count;
	enum config_class class;
	uint64_t sender;
};

static void on_rows(void *owner, enum err err, const struct queue_row *rows, size_t count,
                    int64_t next_due_time)
{
	struct rows *r = owner;

	(void)next_due_time;
	assert_int_equal(err, ERR_OK);
	r->told = true;
	r->count = count;
	if (count > 0) {
		r->class = rows[0].class;
		r->sender = rows[0].sender;
	}
}

static struct rows rows_of(struct fair *f)
{
	struct rows r = { 0 };

	queue_scan(server_queue(f->w.server), KEY, &(struct queue_cursor){ 0 }, INT64_MAX, 10, on_rows, &r);
	assert_true(sim_run_until(f->w.sim, &r.told, 1000));
	return r;
}

#define YAML_PROMOTED                                                                        \
	YAML_HEAD                                                                            \
	"upstreams: {next: {hosts: [10.0.0.1:25], tls: none, rate: 10/s, connections: 4}}\n" \
	"routes: [{to: any, via: next, class: urgent}]\n" YAML_RETRY

/* The class of a row is what was true when it was written: with the next attempt it is what the routes say by then. */
static void a_class_follows_its_route_at_the_next_attempt(void **state)
{
	static struct fair f;
	struct rows before, after;

	(void)state;
	fair_open(&f, 506, YAML_RATE);
	assert_int_equal(sim_set_reach(f.w.sim, NEXT_HOP, SIM_REFUSED), ERR_OK);
	put_bulk(&f, 0, 1);
	run(&f, 2000);
	before = rows_of(&f);
	assert_int_equal(before.count, 1);
	assert_int_equal(before.class, CONFIG_CLASS_BULK);
	assert_int_equal(relay_world_reload(&f.w, YAML_PROMOTED), ERR_OK);
	run(&f, 2 * MINUTE_MS);
	after = rows_of(&f);
	assert_int_equal(after.count, 1);
	assert_int_equal(after.class, CONFIG_CLASS_URGENT);
	assert_true(after.sender == before.sender);
	relay_world_check(&f.w);
	fair_close(&f);
}

/* ---------------------------------------------------------------- little memory */

#define YAML_FAST                                                                             \
	YAML_HEAD                                                                             \
	"upstreams: {next: {hosts: [10.0.0.1:25], tls: none, rate: 100/s, connections: 4}}\n" \
	"routes:\n"                                                                           \
	"- {to: any, from: bulk.test, via: next, class: bulk}\n"                              \
	"- {to: any, from: urgent.test, via: next, class: urgent}\n"                          \
	"- {to: any, via: next}\n" YAML_RETRY

/* Room for almost nothing: all arrives, once, and who has much goes on giving way to who has little. */
static void little_memory_loses_nobody(void **state)
{
	static const struct {
		size_t tasks, piles, looks;
		unsigned senders;
		size_t each;
	} rows[] = {
		{ 20, 100, 20000, 30, 40 }, { 2, 3, 7, 30, 20 },      { 40, 10, 50, 60, 10 },
		{ 100, 5, 1, 10, 30 },      { 10, 1000, 13, 5, 200 },
	};

	(void)state;
	for (size_t r = 0; r < ARRAY_LEN(rows); r++) {
		static struct fair f;
		size_t all = rows[r].senders * rows[r].each + 20;

		fair_open(&f, 600 + r, YAML_FAST);
		relay_world_squeeze(&f.w, rows[r].tasks, rows[r].piles, rows[r].looks);
		answer(&f);
		for (unsigned i = 0; i < rows[r].senders; i++)
			put_bulk(&f, i, rows[r].each);
		for (unsigned i = 0; i < 20; i++) {
			put_urgent(&f);
			run(&f, 500);
			if (i % 5 == 0)
				relay_world_check(&f.w);
		}
		for (unsigned i = 0; i < 100 && f.delivered < all; i++)
			run(&f, 1000);
		if (f.delivered < all)
			relay_world_check(&f.w);
		assert_int_equal(f.delivered, all);
		assert_int_equal(sim_peer_messages(f.peer), all);
		assert_int_equal(f.urgent_had, 20);
		assert_true(urgent_p99(&f) < 2000);
		assert_true(f.most_tasks <= rows[r].tasks + 16);
		relay_world_check(&f.w);
		fair_close(&f);
	}
}

/* Many senders, each with little, more of them than have a pile: the urgent are found behind all of them after a restart. */
static void too_many_senders_hide_nobody_urgent(void **state)
{
	static struct fair f;

	(void)state;
	fair_open(&f, 505, YAML_RATE);
	assert_int_equal(sim_set_reach(f.w.sim, NEXT_HOP, SIM_REFUSED), ERR_OK);
	for (unsigned i = 0; i < SENDERS; i++)
		put_bulk(&f, i, 20);
	put_urgent(&f);
	wait_for_disk(&f);
	relay_world_stop(&f.w);
	assert_int_equal(sim_set_reach(f.w.sim, NEXT_HOP, SIM_REACHABLE), ERR_OK);
	sim_set_clock(f.w.sim, io_now_time(sim_io(f.w.sim)) + 10 * MINUTE_MS);
	answer(&f);
	relay_world_start(&f.w);
	relay_world_squeeze(&f.w, 20, 10, 100);
	run(&f, 2000);
	assert_int_equal(f.urgent_had, 1);
	run(&f, 10 * MINUTE_MS);
	assert_int_equal(f.delivered, SENDERS * 20 + 1);
	assert_int_equal(sim_peer_messages(f.peer), SENDERS * 20 + 1);
	relay_world_check(&f.w);
	fair_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(urgent_mail_beside_a_mailing),
		cmocka_unit_test(who_has_few_does_not_wait_for_many),
		cmocka_unit_test(a_lent_share_is_given_back_at_once),
		cmocka_unit_test(urgent_mail_without_end_leaves_a_tenth),
		cmocka_unit_test(a_restart_changes_nothing),
		cmocka_unit_test(who_has_many_gives_way_in_memory),
		cmocka_unit_test(a_class_follows_its_route_at_the_next_attempt),
		cmocka_unit_test(little_memory_loses_nobody),
		cmocka_unit_test(too_many_senders_hide_nobody_urgent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
