/* Many messages and many destinations: none in another's way, memory bounded, large ones in pieces. */
#include "scripts.h"

#include <stdio.h>
#include <stdlib.h>

#include "../../src/schedule/internal.h"

/* ---------------------------------------------------------------- how long things take */

/* The milliseconds from accept to delivery of all recipients at a domain, in the order of the events. */
static size_t delays_of(const struct relay_world *w, const char *domain, int64_t *out, size_t room)
{
	struct text rest = buf_text(&w->events);
	size_t count = 0;

	while (rest.len && count < room) {
		struct text line = text_cut(&rest, '\n'), at;
		uint64_t ms = 0;

		if (text_find(line, TEXT("\"event\":\"delivered\"")) == line.len ||
		    text_find(line, text_from(domain)) == line.len)
			continue;
		at = text_skip(line, text_find(line, TEXT("\"queue\":")) + 8);
		for (size_t i = 0; i < at.len && at.at[i] >= '0' && at.at[i] <= '9'; i++)
			ms = ms * 10 + (uint64_t)(at.at[i] - '0');
		out[count++] = (int64_t)ms;
	}
	return count;
}

static int by_size(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static int64_t p99(int64_t *values, size_t count)
{
	qsort(values, count, sizeof(*values), by_size);
	return values[count * 99 / 100];
}

#define ZONE                             \
	"dead.example. 300 A 10.0.0.1\n" \
	"slow.example. 300 A 10.0.0.2\n" \
	"good.example. 300 A 10.0.0.3\n"
#define SLOW_SCRIPT                                                                                                    \
	"after 10 s\nS: 220 mx.test\nC: EHLO relay.test\nS: 250-mx.test\nS: 250 PIPELINING\nagain:\nafter 5 s\n" TAKES \
	"repeat\n"

static void a_dead_and_a_slow_destination_leave_the_good_one_alone(void **state)
{
	static int64_t alone[400], beside[400];
	int64_t p99s[2];

	(void)state;
	for (int with_others = 0; with_others < 2; with_others++) {
		struct relay_world w;
		struct sim_peer *slow, *good;

		relay_world_open(&w, 20, YAML_DIRECT, ZONE);
		assert_int_equal(sim_set_reach(w.sim, AT(10, 0, 0, 1, 25), SIM_SILENT), ERR_OK);
		slow = relay_world_peer(&w, AT(10, 0, 0, 2, 25), SLOW_SCRIPT);
		good = relay_world_peer(&w, AT(10, 0, 0, 3, 25), TAKES_ALL);
		for (unsigned i = 0; i < 300; i++) {
			if (with_others) {
				send_many(&w, 1, "b@dead.example");
				send_many(&w, 1, "b@slow.example");
			}
			send_many(&w, 1, "b@good.example");
		}
		sim_run(w.sim, 5000);
		p99s[with_others] = 0;
		assert_int_equal(delays_of(&w, "@good.example", with_others ? beside : alone, 400), 300);
		p99s[with_others] = p99(with_others ? beside : alone, 300);
		relay_world_check(&w);
		relay_world_stop(&w);
		sim_peer_free(&slow);
		sim_peer_free(&good);
		relay_world_close(&w);
	}
	assert_true(p99s[1] <= p99s[0] + 10);
}

/* ---------------------------------------------------------------- a backlog */

static void ten_thousand_for_one_destination_all_arrive_once(void **state)
{
	struct relay_world w;
	struct sim_peer *p;
	struct schedule *s;

	(void)state;
	relay_world_open(&w, 21, YAML_UPSTREAM "limits: {any: {connections: 20}}\n", NULL);
	assert_int_equal(sim_set_reach(w.sim, NEXT_HOP, SIM_REFUSED), ERR_OK);
	for (unsigned i = 0; i < 100; i++) {
		struct buf b = BUF(1u << 20);

		buf_add_string(&b, "EHLO c\r\n");
		for (unsigned j = 0; j < 100; j++)
			buf_add_string(&b,
			               "MAIL FROM:<>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n" SMALL ".\r\n");
		buf_add_octet(&b, 0);
		(void)relay_world_say(&w, b.at);
		buf_fini(&b);
	}
	assert_int_equal(relay_world_count(&w, "received"), 10000);
	s = server_schedule(w.server);
	assert_true(s->task_count <= TASKS_PER_DESTINATION);
	relay_world_check(&w);
	assert_int_equal(sim_set_reach(w.sim, NEXT_HOP, SIM_REACHABLE), ERR_OK);
	p = relay_world_peer(&w, NEXT_HOP, TAKES_ALL);
	for (unsigned i = 0; i < 20 && relay_world_count(&w, "delivered") < 10000; i++) {
		sim_run(w.sim, 10 * SECOND_MS);
		assert_true(s->task_count <= TASKS_PER_DESTINATION);
		relay_world_check(&w);
	}
	assert_int_equal(relay_world_count(&w, "delivered"), 10000);
	assert_int_equal(queue_space(server_queue(w.server)).recipients, 0);
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
}

/* The same after a restart: everything comes from disk, slice by slice. */
static void a_backlog_on_disk_is_found_after_a_restart(void **state)
{
	struct relay_world w;
	struct sim_peer *p;

	(void)state;
	relay_world_open(&w, 22, YAML_UPSTREAM, NULL);
	assert_int_equal(sim_set_reach(w.sim, NEXT_HOP, SIM_REFUSED), ERR_OK);
	send_many(&w, 1500, "b@example.net");
	relay_world_stop(&w);
	assert_int_equal(sim_set_reach(w.sim, NEXT_HOP, SIM_REACHABLE), ERR_OK);
	p = relay_world_peer(&w, NEXT_HOP, TAKES_ALL);
	relay_world_start(&w);
	relay_world_check(&w);
	relay_world_await(&w, "delivered", 1500, 5 * MINUTE_MS);
	assert_int_equal(sim_peer_messages(p), 1500);
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
}

/* ---------------------------------------------------------------- connections are few */

#define FEW 3

static void destinations_share_a_few_connections(void **state)
{
	struct relay_world w;
	struct sim_peer *peers[12];
	struct buf zone = BUF(65536);

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(peers); i++)
		buf_add_format(&zone, "d%u.example. 300 A 10.0.1.%u\n", i, i + 1);
	buf_add_octet(&zone, 0);
	relay_world_open(&w, 23, YAML_DIRECT "limits: {any: {connections: 10}}\n", zone.at);
	server_schedule(w.server)->max_connections = FEW;
	for (unsigned i = 0; i < ARRAY_LEN(peers); i++)
		peers[i] = relay_world_peer(&w, AT(10, 0, 1, (unsigned char)(i + 1), 25), TAKES_ALL);
	for (unsigned i = 0; i < 240; i++) {
		char to[64];

		snprintf(to, sizeof(to), "b@d%u.example", i < 120 ? 0 : i % 12);
		send_many(&w, 1, to);
		assert_true(schedule_count(server_schedule(w.server)).connections <= FEW);
	}
	relay_world_await(&w, "delivered", 240, 30 * SECOND_MS);
	relay_world_check(&w);
	relay_world_stop(&w);
	for (unsigned i = 0; i < ARRAY_LEN(peers); i++)
		sim_peer_free(&peers[i]);
	buf_fini(&zone);
	end_world(&w);
}

/* Connections that rest go at once to those that have none. */
static void what_rests_makes_room(void **state)
{
	struct relay_world w;
	struct sim_peer *peers[12];
	struct buf zone = BUF(65536);

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(peers); i++)
		buf_add_format(&zone, "d%u.example. 300 A 10.0.1.%u\n", i, i + 1);
	buf_add_octet(&zone, 0);
	relay_world_open(&w, 29, YAML_DIRECT, zone.at);
	server_schedule(w.server)->max_connections = 2;
	for (unsigned i = 0; i < ARRAY_LEN(peers); i++)
		peers[i] = relay_world_peer(&w, AT(10, 0, 1, (unsigned char)(i + 1), 25), TAKES_ALL);
	for (unsigned i = 0; i < ARRAY_LEN(peers); i++) {
		char to[64];

		snprintf(to, sizeof(to), "b@d%u.example", i);
		send_many(&w, 1, to);
		if (i == 1)
			sim_run(w.sim, SECOND_MS); /* both rest now */
	}
	relay_world_await(&w, "delivered", 12, 3 * SECOND_MS);
	stop_world(&w);
	for (unsigned i = 0; i < ARRAY_LEN(peers); i++)
		sim_peer_free(&peers[i]);
	buf_fini(&zone);
	end_world(&w);
}

/* A full memory keeps the place up to which it has read; what comes before that place, as the clock was set back a little,
 * is found all the same. */
static void what_is_due_before_the_place_read_up_to_is_found(void **state)
{
	struct relay_world w;
	struct sim_peer *p;

	(void)state;
	relay_world_open(&w, 30, YAML_UPSTREAM "limits: {any: {connections: 1}}\n", NULL);
	assert_int_equal(sim_set_reach(w.sim, NEXT_HOP, SIM_REFUSED), ERR_OK);
	send_many(&w, 2600, "b@example.net");
	relay_world_stop(&w);
	assert_int_equal(sim_set_reach(w.sim, NEXT_HOP, SIM_SILENT), ERR_OK);
	sim_run(w.sim, 10 * MINUTE_MS);
	relay_world_start(&w);
	sim_run(w.sim, 5 * SECOND_MS); /* the memory is full, a connection is tried */
	assert_int_equal(server_schedule(w.server)->task_count, TASKS_PER_DESTINATION);
	sim_set_clock(w.sim, io_now_time(sim_io(w.sim)) - 20 * MINUTE_MS);
	sim_run(w.sim, 2 * SECOND_MS);
	send_many(&w, 3, "b@example.net");
	relay_world_check(&w);
	assert_int_equal(sim_set_reach(w.sim, NEXT_HOP, SIM_REACHABLE), ERR_OK);
	p = relay_world_peer(&w, NEXT_HOP, TAKES_ALL);
	relay_world_await(&w, "delivered", 2603, 3 * HOUR_MS);
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
}

/* One that always has more to send than its share does not keep the others out. */
static void a_busy_destination_lets_another_in(void **state)
{
	struct relay_world w;
	struct sim_peer *busy, *other;

	(void)state;
	relay_world_open(&w, 24,
	                 YAML_DIRECT "limits: {any: {connections: 10, messages_per_connection: 100000}}\n",
	                 "busy.example. 300 A 10.0.0.2\nother.example. 300 A 10.0.0.3\n");
	server_schedule(w.server)->max_connections = 2;
	busy = relay_world_peer(&w, AT(10, 0, 0, 2, 25),
	                        "S: 220 x\nC: EHLO *\nS: 250-x\nS: 250 PIPELINING\nagain:\n" ENVELOPE
	                        "after 1 s\n" ACCEPTS "S: 250 ok\nrepeat\n");
	other = relay_world_peer(&w, AT(10, 0, 0, 3, 25), TAKES_ALL);
	send_many(&w, 600, "b@busy.example");
	send_many(&w, 1, "b@other.example");
	relay_world_await(&w, "delivered", 1, MINUTE_MS);
	for (unsigned i = 0; i < 60 && !sim_peer_messages(other); i++)
		sim_run(w.sim, SECOND_MS);
	assert_int_equal(sim_peer_messages(other), 1);
	assert_true(sim_peer_messages(busy) < 300);
	relay_world_check(&w);
	relay_world_stop(&w);
	sim_peer_free(&busy);
	sim_peer_free(&other);
	relay_world_close(&w);
}

/* What lies in memory for destinations that do not answer must not keep another from having a place there. */
static void a_full_memory_has_a_place_for_each_destination(void **state)
{
	struct relay_world w;
	struct sim_peer *p;

	(void)state;
	relay_world_open(&w, 25, YAML_DIRECT, ZONE);
	assert_int_equal(sim_set_reach(w.sim, AT(10, 0, 0, 1, 25), SIM_SILENT), ERR_OK);
	p = relay_world_peer(&w, AT(10, 0, 0, 3, 25), TAKES_ALL);
	send_many(&w, 20, "b@dead.example");
	server_schedule(w.server)->task_count += TASKS_IN_ALL; /* as if thousands of others had taken all */
	send_many(&w, 50, "b@good.example");
	relay_world_await(&w, "delivered", 50, 10 * SECOND_MS);
	server_schedule(w.server)->task_count -= TASKS_IN_ALL;
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
}

/* ---------------------------------------------------------------- large ones, many recipients */

static char *large_message(size_t bytes)
{
	struct buf b = BUF(512u << 20);
	char line[1000];

	memset(line, 'x', sizeof(line));
	memcpy(line + 998, "\r\n", 2);
	buf_add_string(
		&b,
		"EHLO c\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.net>\r\nDATA\r\nSubject: large\r\n\r\n");
	while (b.len < bytes)
		buf_add_bytes(&b, line, sizeof(line));
	buf_add_string(&b, ".\r\n");
	buf_add_octet(&b, 0);
	assert_int_equal(buf_err(&b), ERR_OK);
	return b.at;
}

static void a_message_larger_than_all_memory_passes_through(void **state)
{
	struct relay_world w;
	struct sim_peer *p;
	char *lines = large_message(40u << 20);

	(void)state;
	relay_world_open(&w, 26, YAML_UPSTREAM "access: {max_message_size: 100MiB}\n", NULL);
	p = relay_world_peer(&w, NEXT_HOP, TAKES_ALL);
	assert_string_equal(relay_world_say(&w, lines), "220 250 250 250 354 250 221");
	assert_true(queue_space(server_queue(w.server)).body_memory_bytes < (1u << 20));
	relay_world_await(&w, "delivered", 1, 10 * MINUTE_MS);
	assert_true(sim_peer_message(p, 0).len > (40u << 20));
	free(lines);
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
}

static void many_recipients_go_in_portions(void **state)
{
	struct relay_world w;
	struct sim_peer *p;
	struct buf b = BUF(1u << 20), script = BUF(1u << 20);

	(void)state;
	relay_world_open(&w, 27, YAML_UPSTREAM "limits: {any: {recipients_per_message: 7}}\n", NULL);
	buf_add_string(&script, HELLO "again:\nC: MAIL *\nS: 250 ok\n");
	for (int i = 0; i < 7; i++)
		buf_add_format(&script, "C: RCPT *\nS: %d x\n", i == 3 ? 450 : i == 5 ? 550 : 250);
	buf_add_string(&script, "C: DATA\nS: 354 go\nD:\nS: 250 ok\nrepeat\n");
	buf_add_octet(&script, 0);
	p = relay_world_peer(&w, NEXT_HOP, script.at);
	buf_add_string(&b, "EHLO c\r\nMAIL FROM:<>\r\n");
	for (int i = 0; i < 35; i++)
		buf_add_format(&b, "RCPT TO:<b%d@example.net>\r\n", i);
	buf_add_string(&b, "DATA\r\n" SMALL ".\r\n");
	buf_add_octet(&b, 0);
	(void)relay_world_say(&w, b.at);
	sim_run(w.sim, 10000);
	assert_int_equal(relay_world_count(&w, "delivered"), 25);
	assert_int_equal(relay_world_count(&w, "deferred"), 5);
	assert_int_equal(relay_world_count(&w, "bounced"), 5);
	assert_int_equal(queue_space(server_queue(w.server)).recipients, 5);
	buf_fini(&b);
	stop_world(&w);
	sim_peer_free(&p);
	buf_fini(&script);
	relay_world_close(&w);
}

/* ---------------------------------------------------------------- two demands of TLS under one key */

#define TWO_KINDS(connections)                                                                 \
	YAML_HEAD                                                                              \
	"upstreams: {next: {hosts: [10.0.0.1:25], tls: none, connections: " connections "}}\n" \
	"routes: [{to: secret.example, via: next, tls: require}, {to: any, via: next}]\n" YAML_RETRY

/* A failure of one kind is no failure of the other: not for what waits together with it in memory ... */
static void a_demand_that_fails_leaves_the_other_alone(void **state)
{
	struct relay_world w;
	struct sim_peer *p;

	(void)state;
	relay_world_open(&w, 28, TWO_KINDS("1"), NULL);
	assert_int_equal(sim_set_reach(w.sim, NEXT_HOP, SIM_REFUSED), ERR_OK);
	send_many(&w, 1, "x@other.example"); /* and now it rests */
	for (unsigned i = 0; i < 20; i++) {
		send_many(&w, 1, "b@secret.example");
		send_many(&w, 1, "b@open.example");
	}
	p = relay_world_peer(&w, NEXT_HOP, TAKES_ALL); /* no STARTTLS */
	assert_int_equal(sim_set_reach(w.sim, NEXT_HOP, SIM_REACHABLE), ERR_OK);
	relay_world_await(&w, "delivered", 21, 2 * MINUTE_MS);
	relay_world_await(&w, "deferred", 21, 2 * MINUTE_MS);
	assert_int_equal(sim_peer_messages(p), 21);
	assert_int_equal(relay_world_count(&w, "deferred"), 21);
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
}

/* ... nor is the success of one a success of the other, so that it would wait beside it for ever. */
static void a_demand_that_fails_is_told_beside_one_that_works(void **state)
{
	struct relay_world w;
	struct sim_peer *p;

	(void)state;
	relay_world_open(&w, 31, TWO_KINDS("5"), NULL);
	p = relay_world_peer(&w, NEXT_HOP, TAKES_ALL);
	for (unsigned i = 0; i < 60; i++) {
		send_many(&w, 1, "b@open.example");
		if (i == 10)
			send_many(&w, 1, "c@secret.example");
		sim_run(w.sim, SECOND_MS);
	}
	assert_true(relay_world_count(&w, "deferred") >= 1);
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
}

/* With the only connection always at work for one kind the other has its turn. */
static void a_kind_that_never_rests_lets_the_other_in(void **state)
{
	struct relay_world w;
	struct sim_peer *p;

	(void)state;
	relay_world_open(&w, 32, TWO_KINDS("1"), NULL);
	p = relay_world_peer(&w, NEXT_HOP,
	                     HELLO "again:\n" ENVELOPE "after 1 s\n" ACCEPTS "S: 250 ok\nrepeat\n");
	send_many(&w, 2, "b@open.example");
	send_many(&w, 1, "b@secret.example");
	send_many(&w, 50, "b@open.example");
	relay_world_await(&w, "deferred", 1, 20 * SECOND_MS);
	assert_true(relay_world_count(&w, "delivered") < 40);
	sim_run(w.sim, 2 * MINUTE_MS);
	assert_int_equal(relay_world_count(&w, "delivered"), 52);
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_dead_and_a_slow_destination_leave_the_good_one_alone),
		cmocka_unit_test(ten_thousand_for_one_destination_all_arrive_once),
		cmocka_unit_test(a_backlog_on_disk_is_found_after_a_restart),
		cmocka_unit_test(destinations_share_a_few_connections),
		cmocka_unit_test(what_rests_makes_room),
		cmocka_unit_test(what_is_due_before_the_place_read_up_to_is_found),
		cmocka_unit_test(a_busy_destination_lets_another_in),
		cmocka_unit_test(a_full_memory_has_a_place_for_each_destination),
		cmocka_unit_test(a_message_larger_than_all_memory_passes_through),
		cmocka_unit_test(many_recipients_go_in_portions),
		cmocka_unit_test(a_demand_that_fails_leaves_the_other_alone),
		cmocka_unit_test(a_demand_that_fails_is_told_beside_one_that_works),
		cmocka_unit_test(a_kind_that_never_rests_lets_the_other_in),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
