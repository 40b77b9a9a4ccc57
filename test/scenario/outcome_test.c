/* What a next hop says, or does not say, at each stage, and what becomes of the recipients. */
#include "scripts.h"

/* ---------------------------------------------------------------- one recipient */

static const struct {
	const char *name;
	const char *script;
	const char *outcome;
	const char *words; /* in the events */
} one_cases[] = {
	{ "421 for a greeting", "S: 421 4.3.2 busy\n", "deferred", "4.3.2 busy" },
	{ "554 for a greeting", "S: 554 5.7.1 go away\n", "bounced", "5.7.1 go away" },
	{ "a cut for a greeting", "S: drops\n", "deferred", "\"stage\":\"greeting\"" },
	{ "silence for a greeting", "after 20 m\n", "deferred", "\"stage\":\"greeting\"" },
	{ "no SMTP at all", "S: SSH-2.0-OpenSSH\n", "deferred", "\"event\":\"deferred\"" },
	{ "421 to EHLO", "S: 220 x\nC: EHLO *\nS: 421 4.3.2 later\n", "deferred", "4.3.2 later" },
	{ "silence after EHLO", "S: 220 x\nC: EHLO *\nafter 20 m\n", "deferred", "\"stage\":\"ehlo\"" },
	{ "a server that knows HELO only",
	  "S: 220 x\nC: EHLO *\nS: 500 what\nC: HELO *\nS: 250 x\nC: MAIL *\nS: 250 ok\nC: RCPT *\nS: 250 ok\nC: DATA\n"
	  "S: 354 go\nD:\nS: 250 taken\n",
	  "delivered", "taken" },
	{ "450 to MAIL", HELLO ENVELOPE "S: 450 4.1.8 no\nS: 503 no\nS: 503 no\n", "deferred", "4.1.8" },
	{ "550 to MAIL", HELLO ENVELOPE "S: 550 5.1.8 no\nS: 503 no\nS: 503 no\n", "bounced", "5.1.8" },
	{ "421 to MAIL", HELLO ENVELOPE "S: 421 4.7.0 slow down\nS: drops\n", "deferred", "4.7.0" },
	{ "a cut at MAIL", HELLO "C: MAIL *\nS: drops\n", "deferred", "\"event\":\"deferred\"" },
	{ "silence at MAIL", HELLO ENVELOPE "after 20 m\n", "deferred", "\"stage\":\"mail\"" },
	{ "greylisting", HELLO ENVELOPE "S: 250 ok\nS: 451 4.7.1 Greylisted\nS: 503 no\n", "deferred",
	  "\"reason\":\"greylisted\"" },
	{ "450 to RCPT", HELLO ENVELOPE "S: 250 ok\nS: 450 4.2.1 busy\nS: 503 no\n", "deferred", "4.2.1" },
	{ "550 to RCPT", HELLO ENVELOPE "S: 250 ok\nS: 550 5.1.1 nobody\nS: 503 no\n", "bounced",
	  "\"reason\":\"no_such_user\"" },
	{ "552 to RCPT is too many recipients", HELLO ENVELOPE "S: 250 ok\nS: 552 too many\nS: 503 no\n",
	  "deferred", "too many" },
	{ "421 to RCPT", HELLO ENVELOPE "S: 250 ok\nS: 421 4.7.0 slow down\nS: drops\n", "deferred",
	  "4.7.0" },
	{ "an unknown code counts by its first digit", HELLO ENVELOPE "S: 250 ok\nS: 599 odd\nS: 503 no\n",
	  "bounced", "599" },
	{ "a cut at RCPT", HELLO ENVELOPE "S: 250 ok\nS: drops\n", "deferred", "\"stage\":\"rcpt\"" },
	{ "silence at RCPT", HELLO ENVELOPE "S: 250 ok\nafter 20 m\n", "deferred", "\"stage\":\"rcpt\"" },
	{ "451 to DATA", HELLO ENVELOPE "S: 250 ok\nS: 250 ok\nS: 451 4.3.0 no\n", "deferred", "4.3.0" },
	{ "554 to DATA", HELLO ENVELOPE "S: 250 ok\nS: 250 ok\nS: 554 5.6.0 no\n", "bounced", "5.6.0" },
	{ "421 to DATA", HELLO ENVELOPE "S: 250 ok\nS: 250 ok\nS: 421 4.3.2 off\nS: drops\n", "deferred",
	  "4.3.2" },
	{ "a cut at DATA", HELLO ENVELOPE "S: 250 ok\nS: 250 ok\nS: drops\n", "deferred",
	  "\"stage\":\"data\"" },
	{ "silence at DATA", HELLO ENVELOPE "S: 250 ok\nS: 250 ok\nafter 20 m\n", "deferred",
	  "\"stage\":\"data\"" },
	{ "250 to DATA", HELLO ENVELOPE "S: 250 ok\nS: 250 ok\nS: 250 ok\n", "deferred",
	  "\"event\":\"deferred\"" },
	{ "451 to the dot", HELLO ENVELOPE ACCEPTS "S: 451 4.3.0 no\n", "deferred", "4.3.0" },
	{ "452 to the dot", HELLO ENVELOPE ACCEPTS "S: 452 4.2.2 full\n", "deferred", "4.2.2" },
	{ "554 to the dot", HELLO ENVELOPE ACCEPTS "S: 554 5.7.1 spam\n", "bounced", "5.7.1 spam" },
	{ "421 to the dot", HELLO ENVELOPE ACCEPTS "S: 421 4.3.2 off\nS: drops\n", "deferred", "4.3.2" },
	{ "a cut behind the dot", HELLO ENVELOPE ACCEPTS "S: drops\n", "deferred",
	  "\"reason\":\"unknown_outcome\"" },
	{ "silence behind the dot", HELLO ENVELOPE ACCEPTS "after 60 m\n", "deferred",
	  "\"reason\":\"unknown_outcome\"" },
	{ "250, and an error to QUIT", HELLO TAKES "C: QUIT\nS: 500 what\nS: drops\n", "delivered", "taken" },
	{ "250, and a cut", HELLO TAKES "S: drops\n", "delivered", "taken" },
};

static void each_answer_has_its_outcome(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(one_cases); i++) {
		struct relay_world w;
		struct sim_peer *p;

		relay_world_open(&w, 100 + i, YAML_UPSTREAM, NULL);
		p = relay_world_peer(&w, NEXT_HOP, one_cases[i].script);
		relay_world_send(&w, "", "b@example.net", SMALL);
		for (unsigned waited = 0; waited < 40 && !relay_world_count(&w, one_cases[i].outcome);
		     waited++)
			sim_run(w.sim, MINUTE_MS);
		if (!relay_world_count(&w, one_cases[i].outcome) || !relay_world_said(&w, one_cases[i].words))
			fail_msg("%s: no %s with %s in\n%.*s%.*s", one_cases[i].name, one_cases[i].outcome,
			         one_cases[i].words, TEXT_ARGS(buf_text(&w.events)),
			         TEXT_ARGS(sim_peer_transcript(p)));
		stop_world(&w);
		sim_peer_free(&p);
		relay_world_close(&w);
	}
}

/* What is deferred today goes tomorrow: whatever happened at the first attempt, the second one is an ordinary one. */
static void what_was_deferred_is_delivered_by_the_next_attempt(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(one_cases); i++) {
		struct relay_world w;
		struct sim_peer *p;

		if (strcmp(one_cases[i].outcome, "deferred") != 0)
			continue;
		relay_world_open(&w, 200 + i, YAML_UPSTREAM, NULL);
		p = relay_world_peer(&w, NEXT_HOP, one_cases[i].script);
		/* an address without EHLO or TLS is tried once more within the same attempt */
		if (strstr(one_cases[i].name, "EHLO") || strstr(one_cases[i].name, "greeting"))
			assert_int_equal(sim_peer_add_script(p, one_cases[i].script), ERR_OK);
		assert_int_equal(sim_peer_add_script(p, TAKES_ALL), ERR_OK);
		relay_world_send(&w, "a@example.com", "b@example.net", SMALL);
		relay_world_await(&w, "delivered", 1, 3 * HOUR_MS);
		assert_int_equal(relay_world_count(&w, "delivered"), 1);
		assert_int_equal(relay_world_count(&w, "bounced"), 0);
		stop_world(&w);
		sim_peer_free(&p);
		relay_world_close(&w);
	}
}

/* ---------------------------------------------------------------- several recipients */

#define THREE "C: MAIL *\nC: RCPT TO:<b1@*\nC: RCPT TO:<b2@*\nC: RCPT TO:<b3@*\nC: DATA\nS: 250 ok\n"

static const struct {
	const char *name;
	const char *script;
	unsigned delivered, deferred, bounced;
} three_cases[] = {
	{ "each its own",
	  HELLO THREE "S: 250 ok\nS: 450 4.2.1 busy\nS: 550 5.1.1 no\nS: 354 go\nD:\nS: 250 ok\n", 1, 1, 1 },
	{ "all taken", HELLO THREE "S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 354 go\nD:\nS: 250 ok\n", 3, 0, 0 },
	{ "the dot refused for those accepted",
	  HELLO THREE "S: 250 ok\nS: 450 4.2.1 busy\nS: 250 ok\nS: 354 go\nD:\nS: 554 5.7.1 no\n", 0, 1, 2 },
	{ "the dot deferred for those accepted",
	  HELLO THREE "S: 250 ok\nS: 550 5.1.1 no\nS: 250 ok\nS: 354 go\nD:\nS: 451 4.3.0 no\n", 0, 2, 1 },
	{ "a cut in the middle of RCPT: what was said counts", HELLO THREE "S: 550 5.1.1 no\nS: drops\n", 0,
	  2, 1 },
	{ "a cut behind the dot: those refused were refused",
	  HELLO THREE "S: 250 ok\nS: 550 5.1.1 no\nS: 250 ok\nS: 354 go\nD:\nS: drops\n", 0, 2, 1 },
	{ "354 though all were refused gets an empty message",
	  HELLO THREE "S: 550 5.1.1 no\nS: 550 5.1.1 no\nS: 450 4.2.1 no\nS: 354 go\nD:\nS: 554 no\n", 0, 1,
	  2 },
};

static void recipients_do_not_harm_each_other(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(three_cases); i++) {
		struct relay_world w;
		struct sim_peer *p;

		relay_world_open(&w, 300 + i, YAML_UPSTREAM, NULL);
		p = relay_world_peer(&w, NEXT_HOP, three_cases[i].script);
		assert_string_equal(relay_world_say(&w,
		                                    "EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<b1@example.net>\r\n"
		                                    "RCPT TO:<b2@example.net>\r\nRCPT TO:<b3@example.net>\r\n"
		                                    "DATA\r\n" SMALL ".\r\n"),
		                    "220 250 250 250 250 250 354 250 221");
		sim_run(w.sim, 20000);
		if (relay_world_count(&w, "delivered") != three_cases[i].delivered ||
		    relay_world_count(&w, "deferred") != three_cases[i].deferred ||
		    relay_world_count(&w, "bounced") != three_cases[i].bounced)
			fail_msg("%s: other outcomes in\n%.*s", three_cases[i].name,
			         TEXT_ARGS(buf_text(&w.events)));
		stop_world(&w);
		sim_peer_free(&p);
		relay_world_close(&w);
	}
}

/* ---------------------------------------------------------------- connections */

static void two_messages_share_a_connection(void **state)
{
	struct relay_world w;
	struct sim_peer *p;

	(void)state;
	relay_world_open(&w, 400, YAML_UPSTREAM, NULL);
	p = relay_world_peer(&w, NEXT_HOP, TAKES_ALL);
	send_many(&w, 1, "b@example.net");
	relay_world_await(&w, "delivered", 1, 5000);
	send_many(&w, 1, "b@example.net");
	relay_world_await(&w, "delivered", 2, 5000);
	assert_int_equal(sim_peer_connections(p), 1);
	/* it rests for a while, then it goes */
	assert_int_equal(schedule_count(server_schedule(w.server)).connections, 1);
	sim_run(w.sim, 20000);
	assert_int_equal(schedule_count(server_schedule(w.server)).connections, 0);
	assert_int_equal(schedule_count(server_schedule(w.server)).destinations, 0);
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
}

static void a_connection_carries_no_more_than_its_share(void **state)
{
	struct relay_world w;
	struct sim_peer *p;

	(void)state;
	relay_world_open(&w, 401,
	                 YAML_UPSTREAM "limits: {any: {connections: 1, messages_per_connection: 5}}\n", NULL);
	p = relay_world_peer(&w, NEXT_HOP, TAKES_ALL);
	assert_int_equal(sim_set_reach(w.sim, NEXT_HOP, SIM_REFUSED), ERR_OK);
	send_many(&w, 20, "b@example.net");
	assert_int_equal(sim_set_reach(w.sim, NEXT_HOP, SIM_REACHABLE), ERR_OK);
	relay_world_await(&w, "delivered", 20, 10 * MINUTE_MS);
	assert_int_equal(sim_peer_messages(p), 20);
	assert_true(sim_peer_connections(p) >= 4);
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
}

/* The peer closed while the connection rested: no attempt was made, none is counted, and it goes at once. */
static void a_connection_that_died_resting_costs_no_attempt(void **state)
{
	struct relay_world w;
	struct sim_peer *p;

	(void)state;
	relay_world_open(&w, 402, YAML_UPSTREAM, NULL);
	p = relay_world_peer(&w, NEXT_HOP, HELLO TAKES "C: MAIL *\nS: drops\n");
	assert_int_equal(sim_peer_add_script(p, TAKES_ALL), ERR_OK);
	send_many(&w, 1, "b@example.net");
	relay_world_await(&w, "delivered", 1, 5000);
	assert_string_equal(
		relay_world_say(&w, "EHLO c\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b1@example.net>\r\n"
	                            "RCPT TO:<b2@example.net>\r\nDATA\r\n" SMALL ".\r\n"),
		"220 250 250 250 250 354 250 221");
	sim_run(w.sim, 5000);
	assert_int_equal(relay_world_count(&w, "deferred"), 0);
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
}

/* Again and again: after a few times it is an attempt like any other, for all recipients of the job alike. */
static void a_host_that_always_cuts_in_the_second_message_does_not_loop(void **state)
{
	struct relay_world w;
	struct sim_peer *p;

	(void)state;
	relay_world_open(&w, 403, YAML_UPSTREAM "limits: {any: {connections: 1}}\n", NULL);
	p = relay_world_peer(&w, NEXT_HOP, HELLO TAKES "C: MAIL *\nS: drops\n");
	for (unsigned i = 0; i < 6; i++)
		send_many(&w, 1, "b@example.net");
	assert_string_equal(
		relay_world_say(&w, "EHLO c\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b1@example.net>\r\n"
	                            "RCPT TO:<b2@example.net>\r\nDATA\r\n" SMALL ".\r\n"),
		"220 250 250 250 250 354 250 221");
	for (unsigned i = 0; i < 6; i++)
		send_many(&w, 1, "b@example.net");
	sim_run(w.sim, 30 * MINUTE_MS);
	assert_true(relay_world_count(&w, "delivered") >= 6);
	stop_world(&w);
	sim_peer_free(&p);
	relay_world_close(&w);
}

/* A message that five resting connections cut off one after the other: three times that is no attempt, the fourth time it is
 * one, for both recipients, and once for each; and they stay together. */
static void what_is_cut_off_untouched_counts_at_the_fourth_time(void **state)
{
	static const char cuts[] = HELLO ENVELOPE "after 1 s\n" ACCEPTS "S: 250 ok\nC: MAIL *\nS: drops\n";
	struct relay_world w;
	struct sim_peer *p;

	(void)state;
	relay_world_open(&w, 404, YAML_UPSTREAM "limits: {any: {connections: 5}}\n", NULL);
	p = relay_world_peer(&w, NEXT_HOP, cuts);
	for (unsigned i = 1; i < 5; i++)
		assert_int_equal(sim_peer_add_script(p, cuts), ERR_OK);
	assert_int_equal(sim_peer_add_script(p, HELLO
	                                     "C: MAIL *\nC: RCPT *\nC: RCPT *\nC: DATA\nS: 250 ok\n" ACCEPTS
	                                     "S: 250 ok\n"),
	                 ERR_OK);
	send_many(&w, 5, "b@example.net");
	sim_run(w.sim, 4 * SECOND_MS);
	assert_int_equal(sim_peer_connections(p), 5);
	assert_int_equal(schedule_count(server_schedule(w.server)).connections, 5);
	(void)relay_world_say(&w, "EHLO c\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b1@example.net>\r\n"
	                          "RCPT TO:<b2@example.net>\r\nDATA\r\n" SMALL ".\r\n");
	sim_run(w.sim, 2 * SECOND_MS);
	assert_int_equal(relay_world_count(&w, "deferred"), 2);
	relay_world_await(&w, "delivered", 7, 2 * MINUTE_MS);
	assert_int_equal(relay_world_count(&w, "deferred"), 2);
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_answer_has_its_outcome),
		cmocka_unit_test(what_was_deferred_is_delivered_by_the_next_attempt),
		cmocka_unit_test(recipients_do_not_harm_each_other),
		cmocka_unit_test(two_messages_share_a_connection),
		cmocka_unit_test(a_connection_carries_no_more_than_its_share),
		cmocka_unit_test(a_connection_that_died_resting_costs_no_attempt),
		cmocka_unit_test(what_is_cut_off_untouched_counts_at_the_fourth_time),
		cmocka_unit_test(a_host_that_always_cuts_in_the_second_message_does_not_loop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
