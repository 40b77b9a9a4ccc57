/* hand_over: the client's answer is the next hop's. An oracle compares what the client was told with what is there: behind a 250
 * each recipient has a delivered copy, a row of the queue or a report; behind a refusal there is no row, and no copy but where
 * the log says that it may be there. */
#include "scripts.h"

#include <stdio.h>
#include <stdlib.h>

#define YAML_MODE(mode, more)                                                                              \
	"hostname: relay.test\nspool: {path: /spool}\nlisten: [{address: 127.0.0.1:2525, hand_over: " mode \
		more "}]\n"                                                                                \
	"upstreams: {next: {hosts: [10.0.0.1:25], tls: none}}\nroutes: [{to: any, via: next}]\n" YAML_RETRY
#define YAML_THROUGH YAML_MODE("through", "")
#define YAML_OR_STORE YAML_MODE("through_or_store", "")

/* ---------------------------------------------------------------- one recipient */

/* What is expected in either mode; NULL: the same as through. */
struct one_case {
	const char *name, *script;
	const char *through, *or_store; /* the beginning of the answer to the dot */
	bool stored;                    /* in the mode that stores */
	bool may_be_there;              /* the log says so where the client is refused */
};

static const struct one_case one_cases[] = {
	{ "taken", HELLO TAKES, "250 2.0.0 delivered as ", NULL, false, false },
	{ "refused at the dot", HELLO ENVELOPE ACCEPTS "S: 554 5.7.1 spam\n",
	  "554 5.7.1 10.0.0.1 said: 554 5.7.1 spam", NULL, false, false },
	{ "refused at RCPT", HELLO ENVELOPE "S: 250 ok\nS: 550 5.1.1 nobody\nS: 503 no\n",
	  "550 5.1.1 10.0.0.1 said: 550 5.1.1 nobody", NULL, false, false },
	{ "put off at RCPT", HELLO ENVELOPE "S: 250 ok\nS: 450 4.2.1 busy\nS: 503 no\n",
	  "451 4.2.1 10.0.0.1 said: 450 4.2.1 busy", "250 2.0.0 queued as ", true, false },
	{ "put off at the dot", HELLO ENVELOPE ACCEPTS "S: 452 4.2.2 full\n",
	  "451 4.2.2 10.0.0.1 said: 452 4.2.2 full", "250 2.0.0 queued as ", true, false },
	{ "421 to the greeting", "S: 421 4.3.2 later\n", "451 4.3.2 ", "250 2.0.0 queued as ", true, false },
	{ "a cut before the dot", HELLO ENVELOPE "S: 250 ok\nS: drops\n", "451 4.4.2 ",
	  "250 2.0.0 queued as ", true, false },
	{ "a cut behind the dot", HELLO ENVELOPE ACCEPTS "S: drops\n",
	  "451 4.4.2 the host closed the connection after the message was sent: it may have been delivered",
	  "250 2.0.0 queued as ", true, true },
	{ "a cut in the answer to the dot", HELLO ENVELOPE ACCEPTS "S: 250-2.0.0 tak\nS: drops\n",
	  "451 4.4.2 ", "250 2.0.0 queued as ", true, true },
	{ "silence before the dot", HELLO ENVELOPE "S: 250 ok\nafter 20 m\n",
	  "451 4.4.7 The next hop has not answered", "250 2.0.0 queued as ", true, false },
	{ "silence behind the dot", HELLO ENVELOPE ACCEPTS "after 20 m\nS: 250 2.0.0 late\n",
	  "451 4.4.7 The next hop has not answered", "250 2.0.0 queued as ", true, true },
	{ "an answer that comes late", HELLO ENVELOPE ACCEPTS "after 5 m\nS: 250 2.0.0 late\n",
	  "451 4.4.7 The next hop has not answered", "250 2.0.0 queued as ", true, true },
};

static const char mail_to_one[] =
	"EHLO c.test\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n" SMALL
	".\r\nNOOP\r\n";

/* The reply to the dot: the one behind 354. */
static struct text answer_of(struct relay_world *w)
{
	struct text heard = relay_world_heard(w);
	size_t at = text_find(heard, TEXT("\r\n354 "));
	struct text rest = text_skip(heard, at + 2);

	(void)text_cut(&rest, '\n');
	return text_cut(&rest, '\r');
}

static void check_one(const struct one_case *c, bool or_store, uint64_t seed)
{
	const char *expected = or_store && c->or_store ? c->or_store : c->through;
	bool stored = or_store && c->stored;
	struct relay_world w;
	struct sim_peer *p;

	relay_world_open(&w, seed, or_store ? YAML_OR_STORE : YAML_THROUGH, NULL);
	p = relay_world_peer(&w, NEXT_HOP, c->script);
	(void)relay_world_say(&w, mail_to_one);
	struct text answer = answer_of(&w);

	if (!text_starts(answer, text_from(expected)))
		fail_msg("%s: %.*s and not %s in\n%.*s", c->name, TEXT_ARGS(answer), expected,
		         TEXT_ARGS(buf_text(&w.events)));
	/* the NOOP that had been sent at once was answered behind it */
	assert_true(text_find(relay_world_heard(&w), TEXT("\r\n250 2.0.0 Ok\r\n221 ")) <
	            relay_world_heard(&w).len);
	sim_run(w.sim, 100);
	if (queue_space(server_queue(w.server)).messages != stored)
		fail_msg("%s: %llu messages are stored", c->name,
		         (unsigned long long)queue_space(server_queue(w.server)).messages);
	assert_true(relay_world_said(&w, "\"action\":\"stored\"") == stored);
	if (relay_world_said(&w, "unknown_outcome") != (c->may_be_there && !stored) && !or_store)
		fail_msg("%s: the log says otherwise\n%.*s", c->name, TEXT_ARGS(buf_text(&w.events)));
	sim_run(w.sim, 10 * MINUTE_MS);
	/* nobody reports what the client was told */
	if (!stored) {
		assert_int_equal(queue_space(server_queue(w.server)).messages, 0);
		assert_int_equal(relay_world_count(&w, "received"), answer.at[0] == '2');
	}
	relay_world_check(&w);
	relay_world_stop(&w);
	sim_peer_free(&p);
	relay_world_close(&w);
}

static void each_answer_is_the_next_hops(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(one_cases); i++) {
		check_one(&one_cases[i], false, 100 + i);
		check_one(&one_cases[i], true, 200 + i);
	}
}

/* ---------------------------------------------------------------- several recipients, one answer */

static const char mail_to_three[] =
	"EHLO c.test\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b1@example.net>\r\n"
	"RCPT TO:<b2@example.net>\r\nRCPT TO:<b3@example.net>\r\nDATA\r\n" SMALL ".\r\n";
#define THREE "C: MAIL *\nC: RCPT TO:<b1@*\nC: RCPT TO:<b2@*\nC: RCPT TO:<b3@*\nC: DATA\nS: 250 ok\n"

static const struct {
	const char *name, *script, *through, *or_store;
	unsigned rest,
		reports; /* stored: recipients beside reports; in `through`, and in the other mode the same but for rest_or */
	unsigned rest_or;
} three_cases[] = {
	{ "all taken", HELLO THREE "S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 354 go\nD:\nS: 250 ok\n",
	  "250 2.0.0 delivered as ", NULL, 0, 0, 0 },
	{ "all refused alike", HELLO THREE "S: 550 5.1.1 a\nS: 550 5.1.1 b\nS: 550 5.1.1 c\nS: 503 no\n",
	  "550 5.1.1 10.0.0.1 said: 550 5.1.1 a", NULL, 0, 0, 0 },
	{ "each refused its own way",
	  HELLO THREE "S: 550 5.1.1 a\nS: 551 5.1.6 b\nS: 550 5.7.1 c\nS: 503 no\n",
	  "554-5.0.0 refused for all recipients", NULL, 0, 0, 0 },
	{ "taken and refused",
	  HELLO THREE "S: 250 ok\nS: 550 5.1.1 b\nS: 550 5.1.1 c\nS: 354 go\nD:\nS: 250 ok\n",
	  "250 2.0.0 delivered as ", NULL, 0, 1, 0 },
	{ "taken and put off", HELLO THREE "S: 250 ok\nS: 450 4.2.1 b\nS: 250 ok\nS: 354 go\nD:\nS: 250 ok\n",
	  "250 2.0.0 delivered to 2, the rest queued as ", NULL, 1, 0, 1 },
	{ "refused and put off", HELLO THREE "S: 550 5.1.1 a\nS: 450 4.2.1 b\nS: 450 4.2.1 c\nS: 503 no\n",
	  "451 4.2.1 10.0.0.1 said: 450 4.2.1 b", "250 2.0.0 queued as ", 0, 0, 2 },
	{ "each its own", HELLO THREE "S: 250 ok\nS: 450 4.2.1 b\nS: 550 5.1.1 c\nS: 354 go\nD:\nS: 250 ok\n",
	  "250 2.0.0 delivered to 1, the rest queued as ", NULL, 1, 1, 1 },
	{ "a cut behind the dot beside a refusal",
	  HELLO THREE "S: 250 ok\nS: 550 5.1.1 b\nS: 250 ok\nS: 354 go\nD:\nS: drops\n", "451 4.4.2 ",
	  "250 2.0.0 queued as ", 0, 0, 2 },
};

static void check_three(size_t i, bool or_store)
{
	const char *expected =
		or_store && three_cases[i].or_store ? three_cases[i].or_store : three_cases[i].through;
	unsigned rest = or_store ? three_cases[i].rest_or : three_cases[i].rest;
	/* a refusal beside what is stored is reported */
	unsigned reports = three_cases[i].reports + (or_store && three_cases[i].or_store ? 1 : 0);
	struct relay_world w;
	struct sim_peer *p;

	relay_world_open(&w, 300 + i, or_store ? YAML_OR_STORE : YAML_THROUGH, NULL);
	p = relay_world_peer(&w, NEXT_HOP, three_cases[i].script);
	assert_int_equal(sim_peer_add_script(p, "S: 421 later\n"), ERR_OK);
	(void)relay_world_say(&w, mail_to_three);
	if (!text_starts(answer_of(&w), text_from(expected)))
		fail_msg("%s: %.*s and not %s", three_cases[i].name, TEXT_ARGS(answer_of(&w)), expected);
	struct queue_space space = queue_space(server_queue(w.server));

	if (space.recipients != rest + reports)
		fail_msg("%s, %s: %llu recipients are stored, not %u and %u reports\n%.*s",
		         three_cases[i].name, or_store ? "through_or_store" : "through",
		         (unsigned long long)space.recipients, rest, reports, TEXT_ARGS(buf_text(&w.events)));
	relay_world_check(&w);
	relay_world_stop(&w);
	sim_peer_free(&p);
	relay_world_close(&w);
}

static void one_answer_says_what_becomes_of_many(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(three_cases); i++) {
		check_three(i, false);
		check_three(i, true);
	}
}

/* ---------------------------------------------------------------- no place, no way, no time */

static const char *codes_at(struct relay_world *w, const char *lines)
{
	return relay_world_say(w, lines);
}

/* Where nobody is tried for a while, a client hears so at once. */
static void a_destination_that_is_left_alone_is_told_at_once(void **state)
{
	struct relay_world w;
	int64_t began;

	(void)state;
	relay_world_open(&w, 400, YAML_THROUGH, NULL);
	assert_int_equal(sim_set_reach(w.sim, NEXT_HOP, SIM_REFUSED), ERR_OK);
	(void)codes_at(&w, mail_to_one);
	assert_true(text_starts(answer_of(&w), TEXT("451 4.4.1 ")));
	began = io_now_at(sim_io(w.sim));
	assert_int_equal(sim_set_reach(w.sim, NEXT_HOP, SIM_SILENT), ERR_OK);
	(void)codes_at(&w, mail_to_one);
	assert_true(text_starts(answer_of(&w), TEXT("451 4.4.1 ")));
	assert_true(text_find(answer_of(&w), TEXT("; again in ")) < answer_of(&w).len);
	assert_true(io_now_at(sim_io(w.sim)) - began < SECOND_MS);
	end_world(&w);
}

/* A rate that lets it go only after the client's patience. */
static void a_limit_that_lasts_longer_than_the_client_waits_is_told_at_once(void **state)
{
	struct relay_world w;
	struct sim_peer *p;
	int64_t began;

	(void)state;
	relay_world_open(
		&w, 401,
		"hostname: relay.test\nspool: {path: /spool}\n"
		"listen: [{address: 127.0.0.1:2525, hand_over: through, hand_over_timeout: 10s}]\n"
		"upstreams: {next: {hosts: [10.0.0.1:25], tls: none, rate: 2/h}}\nroutes: [{to: any, via: next}]\n" YAML_RETRY,
		NULL);
	p = relay_world_peer(&w, NEXT_HOP, TAKES_ALL);
	(void)codes_at(&w, mail_to_one);
	assert_true(text_starts(answer_of(&w), TEXT("250 ")));
	(void)codes_at(&w, mail_to_one);
	(void)codes_at(&w, mail_to_one);
	began = io_now_at(sim_io(w.sim));
	(void)codes_at(&w, mail_to_one);
	if (!text_starts(answer_of(&w), TEXT("451 4.4.5 ")))
		fail_msg("%.*s", TEXT_ARGS(answer_of(&w)));
	assert_true(io_now_at(sim_io(w.sim)) - began < SECOND_MS);
	relay_world_check(&w);
	relay_world_stop(&w);
	sim_peer_free(&p);
	relay_world_close(&w);
}

/* With the disk full, through goes on; what would have to be stored is refused, and the attempt that was under way is stopped. */
static void a_full_disk_stops_only_what_it_must(void **state)
{
	struct relay_world w;
	struct sim_peer *p;

	(void)state;
	for (unsigned or_store = 0; or_store < 2; or_store++) {
		relay_world_open(&w, 402 + or_store, or_store ? YAML_OR_STORE : YAML_THROUGH, NULL);
		p = relay_world_peer(&w, NEXT_HOP,
		                     HELLO TAKES TAKES "C: MAIL *\nS: 250 ok\nafter 1 m\nS: drops\n");
		queue_memory_fail_commits(w.memory, ERR_FULL, 0);
		sim_disk_set_size(w.sim, 1000);
		sim_run(w.sim, 3000);
		for (unsigned i = 0; i < 2; i++) {
			(void)codes_at(&w, mail_to_one);
			if (!text_starts(answer_of(&w), TEXT("250 2.0.0 delivered")))
				fail_msg("%.*s", TEXT_ARGS(answer_of(&w)));
		}
		(void)codes_at(&w, mail_to_one);
		assert_true(text_starts(answer_of(&w), or_store ? TEXT("452 4.3.1 ") : TEXT("451 4.4.2 ")));
		sim_run(w.sim, MINUTE_MS);
		assert_int_equal(sim_peer_messages(p), 2);
		assert_int_equal(queue_space(server_queue(w.server)).messages, 0);
		assert_false(relay_world_said(&w, "unknown_outcome"));
		assert_false(w.failed);
		queue_memory_fail_commits(w.memory, ERR_OK, 0);
		relay_world_stop(&w);
		sim_peer_free(&p);
		relay_world_close(&w);
	}
}

/* Where nothing is synced nothing is stored for a client that has its own queue. */
static void without_a_durable_place_the_client_keeps_it(void **state)
{
	struct relay_world w;
	struct sim_peer *p;

	(void)state;
	relay_world_open(
		&w, 410,
		"hostname: relay.test\nspool: {path: /spool, durable: false}\n"
		"listen: [{address: 127.0.0.1:2525, hand_over: through_or_store}]\n"
		"upstreams: {next: {hosts: [10.0.0.1:25], tls: none}}\nroutes: [{to: any, via: next}]\n" YAML_RETRY,
		NULL);
	p = relay_world_peer(&w, NEXT_HOP, HELLO TAKES ENVELOPE "S: 250 ok\nS: 450 4.2.1 busy\nS: 503 no\n");
	(void)codes_at(&w, mail_to_one);
	assert_true(text_starts(answer_of(&w), TEXT("250 2.0.0 delivered")));
	(void)codes_at(&w, mail_to_one);
	assert_true(text_starts(answer_of(&w), TEXT("451 4.2.1 ")));
	assert_int_equal(queue_space(server_queue(w.server)).messages, 0);
	relay_world_stop(&w);
	sim_peer_free(&p);
	relay_world_close(&w);
}

/* A stop waits for its linger and no longer: the client is told, and what can be stopped does not arrive. */
static void a_stop_ends_the_waiting(void **state)
{
	struct relay_world w;
	struct sim_peer *p;

	(void)state;
	for (unsigned or_store = 0; or_store < 2; or_store++) {
		relay_world_open(&w, 420 + or_store,
		                 or_store ? YAML_MODE("through_or_store", ", hand_over_timeout: 5m")
		                          : YAML_MODE("through", ", hand_over_timeout: 9m"),
		                 NULL);
		p = relay_world_peer(&w, NEXT_HOP, HELLO ENVELOPE "after 20 m\nS: 250 ok\n");
		relay_world_say_until(&w, mail_to_one, SECOND_MS);
		relay_world_stop(&w);
		assert_int_equal(sim_peer_messages(p), 0);
		assert_true(relay_world_said(&w, or_store ? "\"action\":\"stored\"" : "about to stop"));
		sim_peer_free(&p);
		relay_world_close(&w);
	}
}

/* A client that goes away takes nothing with it: what runs goes on, and is told of. */
static void a_client_that_goes_away_changes_nothing(void **state)
{
	struct relay_world w;
	struct sim_peer *p;

	(void)state;
	relay_world_open(&w, 430, YAML_THROUGH, NULL);
	p = relay_world_peer(&w, NEXT_HOP, HELLO ENVELOPE ACCEPTS "after 10 s\nS: 250 2.0.0 taken\n");
	relay_world_say_until(&w, mail_to_one, 2 * SECOND_MS);
	sim_cut(w.sim, RELAY_AT);
	sim_run(w.sim, MINUTE_MS);
	assert_int_equal(sim_peer_messages(p), 1);
	assert_int_equal(relay_world_count(&w, "delivered"), 1);
	assert_true(relay_world_said(&w, "\"action\":\"through\""));
	relay_world_stop(&w);
	sim_peer_free(&p);
	relay_world_close(&w);
}

/* What waits for its time, or for a person, waits in the queue. */
static void what_waits_by_its_nature_is_stored(void **state)
{
	struct relay_world w;
	struct sim_peer *p;

	(void)state;
	relay_world_open(
		&w, 440,
		"hostname: relay.test\nspool: {path: /spool}\nlisten: [{address: 127.0.0.1:2525, hand_over: through}]\n"
		"upstreams: {next: {hosts: [10.0.0.1:25], tls: none}}\n"
		"routes: [{to: held.test, via: hold}, {to: gone.test, via: discard}, {to: any, via: next}]\n" YAML_RETRY,
		NULL);
	p = relay_world_peer(&w, NEXT_HOP, TAKES_ALL);
	(void)codes_at(
		&w,
		"EHLO c\r\nMAIL FROM:<a@example.com> HOLDFOR=3600\r\nRCPT TO:<b@example.net>\r\nDATA\r\n" SMALL
		".\r\n");
	assert_true(text_starts(answer_of(&w), TEXT("250 2.0.0 queued as ")));
	(void)codes_at(&w, "EHLO c\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@held.test>\r\nDATA\r\n" SMALL
	                   ".\r\n");
	assert_true(text_starts(answer_of(&w), TEXT("250 2.0.0 queued as ")));
	(void)codes_at(&w, "EHLO c\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@gone.test>\r\nDATA\r\n" SMALL
	                   ".\r\n");
	assert_true(text_starts(answer_of(&w), TEXT("250 2.0.0 taken as ")));
	assert_int_equal(relay_world_count(&w, "dropped"), 1);
	assert_int_equal(queue_space(server_queue(w.server)).messages, 2);
	relay_world_check(&w);
	relay_world_stop(&w);
	sim_peer_free(&p);
	relay_world_close(&w);
}

/* BDAT, a body that lies in a file, and one recipient by each of two ways under one key. */
static void chunks_large_bodies_and_two_ways_go_through(void **state)
{
	struct relay_world w;
	struct sim_peer *one, *two;
	struct buf large = BUF(2u << 20);

	(void)state;
	relay_world_open(
		&w, 450,
		"hostname: relay.test\nspool: {path: /spool}\nlisten: [{address: 127.0.0.1:2525, hand_over: through}]\n"
		"direct: {allow_private: [10.0.0.0/8], tls: none}\n"
		"routes: [{to: c@d.test, via: direct, helo: other.test}, {to: any, via: direct}]\n" YAML_RETRY,
		"d.test. 300 A 10.0.0.1\n");
	one = relay_world_peer(
		&w, NEXT_HOP, "S: 220 x\nC: EHLO *\nS: 250-mx\nS: 250 PIPELINING\nagain:\n" TAKES "repeat\n");
	two = NULL;
	(void)codes_at(
		&w,
		"EHLO c\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@d.test>\r\nBDAT 5\r\nA: b\nBDAT 9 LAST\r\n\r\n\r\nx\r\n\r\n");
	assert_true(text_find(relay_world_heard(&w), TEXT("250 2.0.0 delivered as ")) <
	                    relay_world_heard(&w).len ||
	            text_find(relay_world_heard(&w), TEXT("550 5.5.2")) < relay_world_heard(&w).len);
	buf_add_string(
		&large,
		"EHLO c\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@d.test>\r\nDATA\r\nSubject: x\r\n\r\n");
	while (large.len < 600000)
		buf_add_string(&large,
		               "a line of the body, of which there are as many as it takes for a file\r\n");
	buf_add_string(&large, ".\r\n");
	buf_add_octet(&large, 0);
	(void)codes_at(&w, large.at);
	if (!text_starts(answer_of(&w), TEXT("250 2.0.0 delivered as ")))
		fail_msg("%.*s\n%.*s", TEXT_ARGS(answer_of(&w)), TEXT_ARGS(buf_text(&w.events)));
	assert_true(sim_peer_message(one, sim_peer_messages(one) - 1).len > 600000 - 1000);
	sim_run(w.sim, SECOND_MS);
	assert_int_equal(queue_space(server_queue(w.server)).files, 0);
	(void)codes_at(
		&w,
		"EHLO c\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@d.test>\r\nRCPT TO:<c@d.test>\r\nDATA\r\n" SMALL
		".\r\n");
	if (!text_starts(answer_of(&w), TEXT("250 2.0.0 delivered as ")))
		fail_msg("%.*s\n%.*s", TEXT_ARGS(answer_of(&w)), TEXT_ARGS(buf_text(&w.events)));
	assert_true(text_find(sim_peer_transcript(one), TEXT("EHLO other.test")) <
	            sim_peer_transcript(one).len);
	relay_world_check(&w);
	relay_world_stop(&w);
	sim_peer_free(&one);
	sim_peer_free(&two);
	relay_world_close(&w);
	buf_fini(&large);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_answer_is_the_next_hops),
		cmocka_unit_test(one_answer_says_what_becomes_of_many),
		cmocka_unit_test(a_destination_that_is_left_alone_is_told_at_once),
		cmocka_unit_test(a_limit_that_lasts_longer_than_the_client_waits_is_told_at_once),
		cmocka_unit_test(a_full_disk_stops_only_what_it_must),
		cmocka_unit_test(without_a_durable_place_the_client_keeps_it),
		cmocka_unit_test(a_stop_ends_the_waiting),
		cmocka_unit_test(a_client_that_goes_away_changes_nothing),
		cmocka_unit_test(what_waits_by_its_nature_is_stored),
		cmocka_unit_test(chunks_large_bodies_and_two_ways_go_through),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
