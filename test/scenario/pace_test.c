/* What a destination is given: rates, who shares them, windows. Hours in virtual time. */
#include "pour.h"

#include "../../src/schedule/internal.h"

/* ---------------------------------------------------------------- rates */

static void a_rate_is_kept_in_every_window_and_used_up(void **state)
{
	struct relay_world w;
	struct sim_peer *p;
	struct times t;

	(void)state;
	relay_world_open(&w, 1, UPSTREAM_WITH("rate: 14/s"), NULL);
	p = relay_world_peer(&w, NEXT_HOP, TAKES_ALL);
	pour(&w, 2800, "b@example.net");
	relay_world_await(&w, "delivered", 2800, 10 * MINUTE_MS);
	t = times_of(&w, "delivered", "");
	assert_true(most_in(&t, SECOND_MS - SWAY_MS) <= 14);
	assert_in_range(span(&t), 199000, 203000); /* 2800 / 14 = 200 s */
	assert_int_equal(relay_world_count(&w, "deferred"), 0);
	free(t.at);
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
}

static void all_windows_hold_at_once_for_hours(void **state)
{
	struct relay_world w;
	struct sim_peer *p;
	struct times t;

	(void)state;
	relay_world_open(&w, 2, UPSTREAM_WITH("rate: [5/s, 60/min, 500/h]"), NULL);
	p = relay_world_peer(&w, NEXT_HOP, TAKES_ALL);
	pour(&w, 2000, "b@example.net");
	relay_world_check(&w);
	sim_run(w.sim, 3 * HOUR_MS);
	relay_world_check(&w);
	t = times_of(&w, "delivered", "");
	assert_true(most_in(&t, SECOND_MS - SWAY_MS) <= 5);
	assert_true(most_in(&t, MINUTE_MS - SWAY_MS) <= 60);
	assert_true(most_in(&t, HOUR_MS - SWAY_MS) <= 500);
	assert_in_range(t.count, 1490, 1760); /* three hours and the burst of a fourth */
	free(t.at);
	assert_int_equal(relay_world_count(&w, "deferred"), 0);
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
}

#define TAKES_RCPT "C: RCPT TO:*\nS: 250 ok\n"

static void recipients_are_counted_one_by_one(void **state)
{
	struct relay_world w;
	struct sim_peer *p;
	struct times t;
	struct buf b = BUF(65536);

	(void)state;
	relay_world_open(&w, 3, UPSTREAM_WITH("recipient_rate: 60/min, recipients_per_message: 10"), NULL);
	p = relay_world_peer(
		&w, NEXT_HOP,
		"S: 220 mx\nC: EHLO *\nS: 250 mx\nagain:\nC: MAIL *\nS: 250 ok\n" TAKES_RCPT TAKES_RCPT
			TAKES_RCPT TAKES_RCPT TAKES_RCPT TAKES_RCPT TAKES_RCPT TAKES_RCPT TAKES_RCPT
				TAKES_RCPT "C: DATA\nS: 354 go\nD:\nS: 250 ok\nrepeat\n");
	buf_add_string(&b, "EHLO c\r\n");
	for (unsigned i = 0; i < 20; i++) {
		buf_add_string(&b, "MAIL FROM:<>\r\n");
		for (unsigned r = 0; r < 10; r++)
			buf_add_format(&b, "RCPT TO:<b%u.%u@example.net>\r\n", i, r);
		buf_add_string(&b, "DATA\r\n" SMALL ".\r\n");
	}
	buf_add_octet(&b, 0);
	(void)relay_world_say(&w, b.at);
	buf_fini(&b);
	relay_world_await(&w, "delivered", 200, 10 * MINUTE_MS);
	t = times_of(&w, "delivered", "");
	assert_true(most_in(&t, MINUTE_MS - SWAY_MS) <= 60);
	assert_in_range(span(&t), 2 * MINUTE_MS, 4 * MINUTE_MS);
	assert_int_equal(sim_peer_messages(p), 20);
	free(t.at);
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
}

static void octets_are_counted(void **state)
{
	struct relay_world w;
	struct sim_peer *p;
	struct times t;
	struct buf large = BUF(1u << 20);

	(void)state;
	buf_add_string(&large, "Subject: large\r\n\r\n");
	for (unsigned i = 0; i < 1000; i++)
		buf_add_string(
			&large,
			"ten times ten octets are a hundred, and that is a line of this message, which has a thousand..\r\n");
	buf_add_octet(&large, 0);
	relay_world_open(&w, 4, UPSTREAM_WITH("byte_rate: 1MB/min"), NULL);
	p = relay_world_peer(&w, NEXT_HOP, TAKES_ALL);
	for (unsigned i = 0; i < 40; i++)
		relay_world_send(&w, "a@example.com", "b@example.net", large.at);
	relay_world_await(&w, "delivered", 40, 10 * MINUTE_MS);
	t = times_of(&w, "delivered", "");
	assert_true(most_in(&t, MINUTE_MS - SWAY_MS) <= 10);
	assert_in_range(span(&t), 3 * MINUTE_MS, 6 * MINUTE_MS);
	free(t.at);
	buf_fini(&large);
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
}

/* ---------------------------------------------------------------- who shares what */

static void routes_to_one_account_share_its_rate(void **state)
{
	struct relay_world w;
	struct sim_peer *p;
	struct times t;

	(void)state;
	relay_world_open(
		&w, 5,
		YAML_HEAD
		"upstreams: {ses: {hosts: [10.0.0.1:25], tls: none, rate: 10/s}}\n"
		"routes:\n  - {from: one@example.com, via: ses, helo: one.test}\n  - {to: any, via: ses}\n" YAML_RETRY,
		NULL);
	p = relay_world_peer(&w, NEXT_HOP,
	                     "S: 220 mx.test\nC: EHLO *\nS: 250-mx.test\nS: 250 PIPELINING\nagain:\n" TAKES
	                     "repeat\n");
	pour_from(&w, 300, "one@example.com", "b@example.net");
	pour_from(&w, 300, "two@example.com", "b@example.net");
	relay_world_await(&w, "delivered", 600, 5 * MINUTE_MS);
	t = times_of(&w, "delivered", "");
	assert_true(most_in(&t, SECOND_MS - SWAY_MS) <= 10);
	assert_in_range(span(&t), 58000, 63000);
	free(t.at);
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
}

#define PROVIDER_ZONE                                                                      \
	"a.example. 300 MX 10 mx1.prov.example.\nb.example. 300 MX 10 mx2.prov.example.\n" \
	"c.example. 300 MX 10 mx1.prov.example.\nmx1.prov.example. 300 A 10.0.0.1\n"       \
	"mx2.prov.example. 300 A 10.0.0.1\nd.example. 300 MX 10 mx.d.example.\nmx.d.example. 300 A 10.0.0.1\n"

/* Each domain knows its hosts from its first connection on; until then its own limit counts. */
static void domains_of_a_provider_share_its_rate(void **state)
{
	static const char *const to[] = { "x@a.example", "x@b.example", "x@c.example", "x@d.example" };
	struct relay_world w;
	struct sim_peer *p;
	struct times t, own;

	(void)state;
	relay_world_open(&w, 6,
	                 YAML_DIRECT "limits: {prov.example: {match_mx: [.prov.example], rate: 10/s}}\n",
	                 PROVIDER_ZONE);
	p = relay_world_peer(&w, NEXT_HOP, TAKES_ALL);
	for (unsigned i = 0; i < 4; i++)
		pour(&w, 200, to[i]);
	relay_world_await(&w, "delivered", 800, 5 * MINUTE_MS);
	own = times_of(&w, "delivered", "x@d.example");
	assert_int_equal(own.count, 200);
	assert_true(span(&own) < 20 * SECOND_MS); /* another provider's */
	t = times_of(&w, "delivered", "");
	assert_in_range(span(&t), 55000, 65000);
	free(t.at);
	/* they take turns */
	for (unsigned i = 0; i < 3; i++) {
		t = times_of(&w, "delivered", to[i]);
		assert_int_equal(t.count, 200);
		assert_in_range(span(&t), 45000, 65000);
		free(t.at);
	}
	free(own.at);
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
}

static void a_domain_of_its_own_has_its_own_rate(void **state)
{
	struct relay_world w;
	struct sim_peer *p;
	struct times t;

	(void)state;
	relay_world_open(&w, 7, YAML_DIRECT "limits: {any: {rate: 5/s}}\n", PROVIDER_ZONE);
	p = relay_world_peer(&w, NEXT_HOP, TAKES_ALL);
	pour(&w, 100, "x@a.example");
	pour(&w, 100, "x@d.example");
	relay_world_await(&w, "delivered", 200, 5 * MINUTE_MS);
	t = times_of(&w, "delivered", "x@a.example");
	assert_true(most_in(&t, SECOND_MS - SWAY_MS) <= 5);
	free(t.at);
	t = times_of(&w, "delivered", "");
	assert_in_range(span(&t), 18000, 22000);
	free(t.at);
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
}

/* ---------------------------------------------------------------- over a restart */

static void restart_in_the_hour(uint64_t seed, bool crash)
{
	struct relay_world w;
	struct sim_peer *p;
	struct times t;

	relay_world_open(&w, seed, UPSTREAM_WITH("rate: [100/h, 300/d]"), NULL);
	p = relay_world_peer(&w, NEXT_HOP, TAKES_ALL);
	pour(&w, 600, "b@example.net");
	for (unsigned i = 0; i < 4; i++) {
		sim_run(w.sim, 7 * MINUTE_MS);
		if (crash) {
			relay_world_crash(&w);
		} else {
			relay_world_stop(&w);
			relay_world_start(&w);
		}
	}
	sim_run(w.sim, 30 * HOUR_MS);
	t = times_of(&w, "delivered", "");
	assert_true(most_in(&t, HOUR_MS - SWAY_MS) <= 100);
	assert_true(most_in(&t, DAY_MS - SWAY_MS) <= 300);
	assert_true(
		t.count >=
		(crash ? 350 : 450)); /* 300, and the half that may go at once when the first is a day old */
	free(t.at);
	relay_world_check(&w);
	relay_world_stop(&w);
	sim_peer_free(&p);
	end_world(&w);
}

static void a_restart_keeps_the_count_of_the_hour_and_the_day(void **state)
{
	(void)state;
	restart_in_the_hour(8, false);
}

static void a_crash_keeps_the_count_as_well(void **state)
{
	(void)state;
	for (uint64_t seed = 80; seed < 84; seed++)
		restart_in_the_hour(seed, true);
}

static void a_reload_keeps_what_was_taken(void **state)
{
	struct relay_world w;
	struct sim_peer *p;
	struct times t;

	(void)state;
	relay_world_open(&w, 9, UPSTREAM_WITH("rate: 100/h"), NULL);
	p = relay_world_peer(&w, NEXT_HOP, TAKES_ALL);
	pour(&w, 300, "b@example.net");
	sim_run(w.sim, 10 * MINUTE_MS);
	assert_int_equal(relay_world_reload(&w, UPSTREAM_WITH("rate: 60/h")), ERR_OK);
	sim_run(w.sim, 2 * HOUR_MS);
	t = times_of(&w, "delivered", "");
	assert_true(most_in(&t, HOUR_MS - SWAY_MS) <= 100);
	assert_in_range(t.count, 120, 180);
	free(t.at);
	assert_int_equal(relay_world_reload(&w, UPSTREAM_WITH("rate: 600/min")), ERR_OK);
	relay_world_await(&w, "delivered", 300, MINUTE_MS);
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
}

/* ---------------------------------------------------------------- windows */

static void the_window_grows_with_success(void **state)
{
	struct relay_world w;
	struct sim_peer *p;
	unsigned early, most = 0;

	(void)state;
	relay_world_open(&w, 10, UPSTREAM_WITH("connections: 16"), NULL);
	p = relay_world_peer(&w, NEXT_HOP, SLOWLY);
	pour(&w, 600, "b@example.net");
	early = connections(&w);
	for (unsigned i = 0; i < 100; i++) {
		sim_run(w.sim, 100);
		most = MAX(most, connections(&w));
	}
	assert_in_range(early, 1, 8);
	assert_int_equal(most, 16);
	relay_world_await(&w, "delivered", 600, 2 * MINUTE_MS);
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
}

/* Two that are opened together and find nobody say nothing of how many the host bears. */
static void connections_that_fail_together_are_no_limit(void **state)
{
	struct relay_world w;
	struct sim_peer *p;
	unsigned most = 0;

	(void)state;
	relay_world_open(&w, 25, UPSTREAM_WITH("connections: 10"), NULL);
	pour(&w, 200, "b@example.net");
	sim_run(w.sim, SECOND_MS);
	assert_int_equal(relay_world_count(&w, "upstream_down"), 1);
	p = relay_world_peer(&w, NEXT_HOP, SLOWLY);
	relay_world_await(&w, "delivered", 1, 5 * MINUTE_MS);
	for (unsigned i = 0; i < 100; i++) {
		sim_run(w.sim, 100);
		most = MAX(most, connections(&w));
	}
	assert_int_equal(most, 10);
	relay_world_await(&w, "delivered", 200, 5 * MINUTE_MS);
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
}

static void without_adapt_all_connections_are_there_at_once(void **state)
{
	struct relay_world w;
	struct sim_peer *p;

	(void)state;
	relay_world_open(&w, 11, UPSTREAM_WITH("connections: 12, adapt: false"), NULL);
	p = relay_world_peer(&w, NEXT_HOP, SLOWLY);
	pour(&w, 100, "b@example.net");
	sim_run(w.sim, 500);
	assert_int_equal(connections(&w), 12);
	relay_world_await(&w, "delivered", 100, MINUTE_MS);
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
}

/* A peer that bears three: the others are told 421 at the door. Nothing is deferred for it. */
static void a_421_at_the_door_shrinks_the_window(void **state)
{
	struct relay_world w;
	struct sim_peer *p;
	unsigned before;

	(void)state;
	relay_world_open(&w, 12, UPSTREAM_WITH("messages_per_connection: 1000000"), NULL);
	assert_int_equal(sim_peer_new(w.sim, NEXT_HOP, &p), ERR_OK);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(sim_peer_add_script(p, SLOWLY), ERR_OK);
	assert_int_equal(sim_peer_add_script(p, "S: 421 4.7.0 too many connections\nS: drops\n"), ERR_OK);
	pour(&w, 900, "b@example.net");
	sim_run(w.sim, MINUTE_MS);
	before = sim_peer_connections(p);
	relay_world_await(&w, "delivered", 900, 10 * MINUTE_MS);
	/* it knocks seldom */
	assert_true(sim_peer_connections(p) - before <= 8);
	assert_int_equal(relay_world_count(&w, "deferred"), 0);
	assert_true(destination_find(server_schedule(w.server), TEXT("upstream:next")) != NULL);
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
}

static void recipients_per_connection_end_it(void **state)
{
	struct relay_world w;
	struct sim_peer *p;

	(void)state;
	relay_world_open(&w, 13, UPSTREAM_WITH("connections: 1, recipients_per_connection: 5"), NULL);
	p = relay_world_peer(&w, NEXT_HOP, TAKES_ALL);
	pour(&w, 50, "b@example.net");
	relay_world_await(&w, "delivered", 50, MINUTE_MS);
	assert_in_range(sim_peer_connections(p), 10, 11);
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
}

/* ---------------------------------------------------------------- an outage */

static size_t most_per(const struct times *t, int64_t from, int64_t slot_ms, size_t slots)
{
	size_t most = 0;

	for (size_t s = 0; s < slots; s++) {
		size_t n = 0;

		for (size_t i = 0; i < t->count; i++)
			n += t->at[i] >= from + (int64_t)s * slot_ms &&
			     t->at[i] < from + (int64_t)(s + 1) * slot_ms;
		most = MAX(most, n);
	}
	return most;
}

/* The share of the fullest minute in when those that failed lately are tried again, of a hundred. */
static unsigned fullest_minute(const struct relay_world *w, int64_t since)
{
	static unsigned minutes[24 * 60];
	struct text rest = buf_text(&w->events);
	unsigned total = 0, most = 0;

	memset(minutes, 0, sizeof(minutes));
	while (rest.len) {
		struct text line = text_cut(&rest, '\n'), stamp;
		int64_t time, next;

		if (!has(line, "\"event\":\"deferred\""))
			continue;
		stamp = text_skip(line, text_find(line, TEXT("\"time\":\"")) + 8);
		assert_int_equal(time_parse_rfc3339(text_cut(&stamp, '"'), &time), ERR_OK);
		stamp = text_skip(line, text_find(line, TEXT("\"next_attempt\":\"")) + 16);
		assert_int_equal(time_parse_rfc3339(text_cut(&stamp, '"'), &next), ERR_OK);
		if (time < since)
			continue;
		total++;
		most = MAX(most, ++minutes[(next - since) / MINUTE_MS]);
	}
	return total ? most * 100 / total : 0;
}

#define TENTH_OF_A_SECOND \
	HELLO "again:\n" ENVELOPE "S: 250 ok\nS: 250 ok\nS: 354 go\nD:\nafter 100 ms\nS: 250 ok\nrepeat\n"

/* Ten thousand wait for two hours: the healed peer gets them in a flow that begins small, and what was tried in vain does not
 * come back together. */
static void after_an_outage_the_load_is_smooth(void **state)
{
	static const size_t first_seconds[] = { 15, 25, 45, 85, 165 };
	struct relay_world w;
	struct sim_peer *p;
	struct times t;
	int64_t healed;

	(void)state;
	relay_world_open(&w, 21, YAML_UPSTREAM, NULL);
	assert_int_equal(sim_set_reach(w.sim, NEXT_HOP, SIM_SILENT), ERR_OK);
	pour(&w, 10000, "b@example.net");
	sim_run(w.sim, 2 * HOUR_MS);
	assert_int_equal(relay_world_count(&w, "upstream_down"), 1);
	healed = io_now_time(sim_io(w.sim));
	assert_in_range(fullest_minute(&w, healed - HOUR_MS), 1, 25);
	assert_int_equal(sim_set_reach(w.sim, NEXT_HOP, SIM_REACHABLE), ERR_OK);
	p = relay_world_peer(&w, NEXT_HOP, TENTH_OF_A_SECOND);
	sim_run(w.sim, 90 * MINUTE_MS);
	assert_int_equal(relay_world_count(&w, "upstream_up"), 1);
	assert_int_equal(relay_world_count(&w, "delivered"), 10000);
	t = times_of(&w, "delivered", "");
	assert_true(t.at[0] - healed <= 12 * MINUTE_MS); /* the pause, and its probe */
	for (size_t i = 0; i < ARRAY_LEN(first_seconds); i++)
		assert_true(most_per(&t, t.at[0] + (int64_t)i * SECOND_MS, SECOND_MS, 1) <= first_seconds[i]);
	assert_true(most_in(&t, SECOND_MS) <= 200); /* twenty connections, ten each: never more */
	free(t.at);
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
}

/* ---------------------------------------------------------------- beside each other */

#define BESIDE_ZONE                                                    \
	"dead.example. 300 A 10.0.0.1\nslow.example. 300 A 10.0.0.2\n" \
	"throttling.example. 300 A 10.0.0.4\ngood.example. 300 A 10.0.0.3\n"
#define SLOW_HOST                                                                                                      \
	"after 10 s\nS: 220 mx.test\nC: EHLO relay.test\nS: 250-mx.test\nS: 250 PIPELINING\nagain:\nafter 5 s\n" TAKES \
	"repeat\n"
#define THROTTLING_HOST                                                                                  \
	HELLO TAKES TAKES TAKES ENVELOPE "S: 451 4.7.28 unusual rate, slow down\nS: 503 no\nS: 503 no\n" \
					 "again:\nC: *\nS: 421 4.7.0 too much\nS: drops\n"

static int by_size(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* How long the healthy destination's mail takes from accept to delivery, for 99 of a hundred. */
static int64_t p99_of(const struct relay_world *w)
{
	struct text rest = buf_text(&w->events);
	int64_t *ms = calloc(4000, sizeof(*ms)), p99;
	size_t count = 0;

	assert_non_null(ms);
	while (rest.len) {
		struct text line = text_cut(&rest, '\n'), at;
		uint64_t value = 0;

		if (!has(line, "\"event\":\"delivered\"") || !has(line, "@good.example"))
			continue;
		at = text_skip(line, text_find(line, TEXT("\"queue\":")) + 8);
		for (size_t i = 0; i < at.len && ascii_is_digit(at.at[i]); i++)
			value = value * 10 + (uint64_t)(at.at[i] - '0');
		assert_true(count < 4000);
		ms[count++] = (int64_t)value;
	}
	assert_int_equal(count, 2000);
	qsort(ms, count, sizeof(*ms), by_size);
	p99 = ms[count * 99 / 100];
	free(ms);
	return p99;
}

/* So many wait for each of the three. */
static int64_t healthy_p99(uint64_t seed, unsigned waiting)
{
	static const char *const to[] = { "b@dead.example", "b@slow.example", "b@throttling.example" };
	struct sim_peer *slow, *good, *throttling;
	struct relay_world w;
	int64_t p99;

	relay_world_open(&w, seed, YAML_DIRECT, BESIDE_ZONE);
	assert_int_equal(sim_set_reach(w.sim, AT(10, 0, 0, 1, 25), SIM_SILENT), ERR_OK);
	slow = relay_world_peer(&w, AT(10, 0, 0, 2, 25), SLOW_HOST);
	good = relay_world_peer(&w, AT(10, 0, 0, 3, 25), TAKES_ALL);
	throttling = relay_world_peer(&w, AT(10, 0, 0, 4, 25), THROTTLING_HOST);
	for (unsigned i = 0; i < 3 && waiting; i++)
		pour(&w, waiting, to[i]);
	for (unsigned i = 0; i < 2000; i++) {
		send_many(&w, 1, "b@good.example");
		sim_run(w.sim, 150);
	}
	sim_run(w.sim, 5000);
	p99 = p99_of(&w);
	assert_int_equal(relay_world_count(&w, "bounced"), 0);
	relay_world_stop(&w);
	sim_peer_free(&slow);
	sim_peer_free(&good);
	sim_peer_free(&throttling);
	relay_world_close(&w);
	return p99;
}

/* POSTRIDER_WAITING: how many wait for each of the three; 33,334 make a hundred thousand, and take a while. */
static void a_dead_a_slow_and_a_throttling_one_leave_the_healthy_one_alone(void **state)
{
	const char *asked = getenv("POSTRIDER_WAITING");
	unsigned waiting = asked ? (unsigned)atoi(asked) : 3000;
	int64_t calm = healthy_p99(30, 0), beside = healthy_p99(30, waiting);

	(void)state;
	printf("p99 of the healthy one: %lld ms calm, %lld ms beside %u waiting\n", (long long)calm,
	       (long long)beside, 3 * waiting);
	assert_true(beside <= 2 * calm);
}

/* ---------------------------------------------------------------- by chance */

#define CHANCE(limits)                                                                                       \
	YAML_DIRECT                                                                                          \
		"limits: {any: {connections: 6}, prov.example: {match_mx: [.prov.example], " limits "}}\n"   \
		"rules:\n  - {reply: \"450\", do: suspend, for: 5m}\n  - {reply: \"451\", do: other-host}\n" \
		"  - {reply: \"452\", do: slow, for: 2m}\n"
#define CHANCE_ZONE                                                                        \
	"a.example. 300 MX 10 mx1.prov.example.\nb.example. 300 MX 10 mx1.prov.example.\n" \
	"b.example. 300 MX 20 mx2.prov.example.\nc.example. 300 MX 10 mx2.prov.example.\n" \
	"d.example. 300 MX 10 mx.d.example.\nmx1.prov.example. 300 A 10.0.0.1\n"           \
	"mx2.prov.example. 300 A 10.0.0.2\nmx.d.example. 300 A 10.0.0.2\n"
#define MOODY(reply)                                                                       \
	HELLO TAKES TAKES ENVELOPE "S: 250 ok\nS: " reply "\nS: 503 no\nC: *\nS: 250 ok\n" \
				   "again:\n" TAKES "repeat\n"

static void something_happens(struct relay_world *w, struct random *r)
{
	static const char *const yaml[] = { CHANCE("rate: [10/s, 300/min, 3000/h]"),
		                            CHANCE("rate: [5/s, 200/min, 3000/h]"),
		                            CHANCE("rate: [10/s, 300/min, 3000/h], connections: 2") };
	static const char *const to[] = { "x@a.example", "x@b.example", "x@c.example", "x@d.example" };
	const struct ip_port host = AT(10, 0, 0, (unsigned char)(1 + random_below(r, 2)), 25);

	switch (random_below(r, 10)) {
	case 0:
		sim_cut(w->sim, host);
		return;
	case 1:
		assert_int_equal(sim_set_reach(w->sim, host, SIM_REFUSED), ERR_OK);
		return;
	case 2:
	case 3:
		assert_int_equal(sim_set_reach(w->sim, host, SIM_REACHABLE), ERR_OK);
		return;
	case 4:
		assert_int_equal(relay_world_reload(w, yaml[random_below(r, ARRAY_LEN(yaml))]), ERR_OK);
		return;
	case 5:
		if (random_below(r, 3) == 0) {
			relay_world_stop(w);
			relay_world_start(w);
		}
		return;
	default:
		pour(w, 1 + (unsigned)random_below(r, 60), to[random_below(r, ARRAY_LEN(to))]);
	}
}

/* Cuts, outages, moods, reloads and restarts: all arrives once, and the provider's limit was kept all the while. */
static void whatever_happens_the_limit_is_kept_and_all_arrives(void **state)
{
	(void)state;
	for (uint64_t seed = 900; seed < 912; seed++) {
		struct sim_peer *peers[2];
		struct relay_world w;
		struct random r;
		struct times t;

		random_init(&r, seed);
		relay_world_open(&w, seed, CHANCE("rate: [10/s, 300/min, 3000/h]"), CHANCE_ZONE);
		for (unsigned i = 0; i < 2; i++) {
			assert_int_equal(
				sim_peer_new(w.sim, AT(10, 0, 0, (unsigned char)(1 + i), 25), &peers[i]),
				ERR_OK);
			assert_int_equal(sim_peer_add_script(peers[i], MOODY("451 4.3.0 elsewhere")), ERR_OK);
			assert_int_equal(sim_peer_add_script(peers[i], MOODY("452 4.2.0 slowly")), ERR_OK);
			assert_int_equal(sim_peer_add_script(peers[i], MOODY("450 4.2.1 later")), ERR_OK);
			assert_int_equal(sim_peer_add_script(peers[i], "S: 421 4.3.2 away\nS: drops\n"),
			                 ERR_OK);
			assert_int_equal(sim_peer_add_script(peers[i], TAKES_ALL), ERR_OK);
		}
		for (unsigned i = 0; i < 60; i++) {
			something_happens(&w, &r);
			sim_run(w.sim, (int64_t)random_below(&r, 20 * SECOND_MS));
			if (i % 10 == 0)
				relay_world_check(&w);
		}
		for (unsigned i = 0; i < 2; i++)
			assert_int_equal(
				sim_set_reach(w.sim, AT(10, 0, 0, (unsigned char)(1 + i), 25), SIM_REACHABLE),
				ERR_OK);
		for (unsigned i = 0;
		     i < 20 && relay_world_count(&w, "delivered") < relay_world_count(&w, "received"); i++)
			sim_run(w.sim, HOUR_MS);
		assert_int_equal(relay_world_count(&w, "delivered"), relay_world_count(&w, "received"));
		t = times_of(&w, "delivered", "prov.example");
		assert_true(most_in(&t, HOUR_MS - SWAY_MS) <= 3000);
		assert_true(most_in(&t, MINUTE_MS - SWAY_MS) <= 300);
		free(t.at);
		stop_world(&w);
		sim_peer_free(&peers[0]);
		sim_peer_free(&peers[1]);
		relay_world_close(&w);
	}
}

/* ---------------------------------------------------------------- for people */

struct seen {
	struct buf limit;
	int64_t until;
	unsigned window;
};

static void keep(void *owner, const struct schedule_destination *d)
{
	struct seen *seen = owner;

	buf_reset(&seen->limit);
	buf_add(&seen->limit, d->limit);
	buf_add_octet(&seen->limit, 0);
	seen->until = d->limited_until_time;
	seen->window = d->window;
}

static void people_see_what_binds(void **state)
{
	struct seen seen = { .limit = BUF(4096) };
	struct relay_world w;
	struct sim_peer *p;

	(void)state;
	relay_world_open(&w, 22, UPSTREAM_WITH("rate: 10/h"), NULL);
	p = relay_world_peer(&w, NEXT_HOP, TAKES_ALL);
	pour(&w, 20, "b@example.net");
	sim_run(w.sim, MINUTE_MS);
	schedule_each_destination(server_schedule(w.server), keep, &seen);
	assert_string_equal(seen.limit.at, "upstream:next may have 10 messages in 1h 0m");
	assert_true(seen.until > io_now_time(sim_io(w.sim)) &&
	            seen.until < io_now_time(sim_io(w.sim)) + HOUR_MS);
	relay_world_stop(&w);
	sim_peer_free(&p);
	relay_world_close(&w);
	relay_world_open(&w, 23, WITH_RULES("  - {reply: \"450\", do: suspend, for: 1h}\n"), NULL);
	p = relay_world_peer(&w, NEXT_HOP, SAYS("450 4.2.1 no"));
	pour(&w, 2, "b@example.net");
	sim_run(w.sim, MINUTE_MS);
	schedule_each_destination(server_schedule(w.server), keep, &seen);
	assert_true(has(text_from(seen.limit.at), "upstream:next is suspended by "));
	assert_true(has(text_from(seen.limit.at), "on \"450 4.2.1 no\""));
	assert_in_range(seen.until - io_now_time(sim_io(w.sim)), 50 * MINUTE_MS, HOUR_MS);
	relay_world_stop(&w);
	sim_peer_free(&p);
	relay_world_close(&w);
	buf_fini(&seen.limit);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_rate_is_kept_in_every_window_and_used_up),
		cmocka_unit_test(all_windows_hold_at_once_for_hours),
		cmocka_unit_test(recipients_are_counted_one_by_one),
		cmocka_unit_test(octets_are_counted),
		cmocka_unit_test(routes_to_one_account_share_its_rate),
		cmocka_unit_test(domains_of_a_provider_share_its_rate),
		cmocka_unit_test(a_domain_of_its_own_has_its_own_rate),
		cmocka_unit_test(a_restart_keeps_the_count_of_the_hour_and_the_day),
		cmocka_unit_test(a_crash_keeps_the_count_as_well),
		cmocka_unit_test(a_reload_keeps_what_was_taken),
		cmocka_unit_test(the_window_grows_with_success),
		cmocka_unit_test(connections_that_fail_together_are_no_limit),
		cmocka_unit_test(without_adapt_all_connections_are_there_at_once),
		cmocka_unit_test(a_421_at_the_door_shrinks_the_window),
		cmocka_unit_test(recipients_per_connection_end_it),
		cmocka_unit_test(after_an_outage_the_load_is_smooth),
		cmocka_unit_test(a_dead_a_slow_and_a_throttling_one_leave_the_healthy_one_alone),
		cmocka_unit_test(whatever_happens_the_limit_is_kept_and_all_arrives),
		cmocka_unit_test(people_see_what_binds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
