/* Rules on replies: slow, suspend, another host, source or route, retry, bounce. */
#include "pour.h"

#include "../../src/schedule/internal.h"

static void a_rule_that_suspends_costs_no_attempt(void **state)
{
	struct relay_world w;
	struct sim_peer *p;
	unsigned attempts;

	(void)state;
	relay_world_open(&w, 14,
	                 WITH_RULES("  - {reply: \"450 4.7.*\", text: on holiday, do: suspend, for: 30m}\n"),
	                 NULL);
	p = relay_world_peer(&w, NEXT_HOP, SAYS("450 4.7.9 we are On Holiday"));
	pour(&w, 100, "b@example.net");
	sim_run(w.sim, 25 * MINUTE_MS);
	attempts = relay_world_count(&w, "deferred");
	assert_in_range(attempts, 1, 8); /* those on their way when the first answer came */
	assert_int_equal(relay_world_count(&w, "paused"), 1);
	assert_true(relay_world_said(&w, "we are On Holiday"));
	relay_world_check(&w);
	change(&w, &p, TAKES_ALL);
	relay_world_await(&w, "delivered", 100, 2 * HOUR_MS);
	assert_int_equal(relay_world_count(&w, "resumed"), 1);
	assert_int_equal(relay_world_count(&w, "deferred"), attempts);
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
}

/* A container that is started again does not go on where its account was told to stop. */
static void a_suspension_outlives_a_stop_and_a_crash(void **state)
{
	struct relay_world w;
	struct sim_peer *p;
	unsigned connections;

	(void)state;
	relay_world_open(&w, 24, WITH_RULES("  - {reply: \"450\", do: suspend, for: 1h}\n"), NULL);
	p = relay_world_peer(&w, NEXT_HOP, SAYS("450 4.2.1 no"));
	pour(&w, 20, "b@example.net");
	sim_run(w.sim, 5 * MINUTE_MS);
	connections = sim_peer_connections(p);
	relay_world_stop(&w);
	relay_world_start(&w);
	sim_run(w.sim, 20 * MINUTE_MS);
	relay_world_crash(&w);
	sim_run(w.sim, 25 * MINUTE_MS);
	assert_int_equal(sim_peer_connections(p), connections);
	assert_int_equal(relay_world_count(&w, "resumed"), 0);
	change(&w, &p, TAKES_ALL);
	relay_world_await(&w, "delivered", 20, 30 * MINUTE_MS);
	assert_int_equal(relay_world_count(&w, "paused"), 1);
	assert_int_equal(relay_world_count(&w, "resumed"), 1);
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
}

/* After it one connection asks: if nothing has changed it is left alone again. */
static void a_suspension_ends_half_open(void **state)
{
	struct relay_world w;
	struct sim_peer *p;
	unsigned after_first;

	(void)state;
	relay_world_open(&w, 15, WITH_RULES("  - {reply: \"450\", do: suspend, for: 10m}\n"), NULL);
	p = relay_world_peer(&w, NEXT_HOP, SAYS("450 4.2.1 no"));
	pour(&w, 100, "b@example.net");
	sim_run(w.sim, 5 * MINUTE_MS);
	after_first = relay_world_count(&w, "deferred");
	sim_run(w.sim, 50 * MINUTE_MS);
	assert_in_range(relay_world_count(&w, "paused"), 5, 6);
	assert_true(relay_world_count(&w, "deferred") - after_first <= 10);
	change(&w, &p, TAKES_ALL);
	relay_world_await(&w, "delivered", 100, 2 * HOUR_MS);
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
}

static void a_rule_at_the_door_costs_no_attempt_either(void **state)
{
	struct relay_world w;
	struct sim_peer *p;

	(void)state;
	relay_world_open(&w, 16, WITH_RULES("  - {reply: \"554\", do: suspend, for: 1h}\n"), NULL);
	p = relay_world_peer(&w, NEXT_HOP, "S: 554 5.7.1 your address is listed\nC: QUIT\nS: 221 bye\n");
	pour(&w, 50, "b@example.net");
	sim_run(w.sim, 50 * MINUTE_MS);
	assert_int_equal(relay_world_count(&w, "paused"), 1);
	assert_int_equal(relay_world_count(&w, "deferred") + relay_world_count(&w, "bounced"), 0);
	relay_world_check(&w);
	change(&w, &p, TAKES_ALL);
	relay_world_await(&w, "delivered", 50, 15 * MINUTE_MS);
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
}

/* What is never tried must end all the same. */
static void what_is_suspended_for_ever_expires(void **state)
{
	struct relay_world w;
	struct sim_peer *p;

	(void)state;
	relay_world_open(&w, 17, WITH_RULES("  - {reply: \"554\", do: suspend, for: 1h}\n"), NULL);
	p = relay_world_peer(&w, NEXT_HOP, "S: 554 5.7.1 your address is listed\nC: QUIT\nS: 221 bye\n");
	for (unsigned i = 0; i < 20; i++)
		relay_world_send(&w, "", "b@example.net", SMALL);
	sim_run(w.sim, 27 * HOUR_MS); /* give_up_after: 1d */
	assert_int_equal(relay_world_count(&w, "expired") + relay_world_count(&w, "bounced"), 20);
	relay_world_stop(&w);
	sim_peer_free(&p);
	end_world(&w);
}

static void a_person_ends_a_suspension(void **state)
{
	struct relay_world w;
	struct sim_peer *p;

	(void)state;
	relay_world_open(&w, 18, WITH_RULES("  - {reply: \"450\", do: suspend, for: 7d}\n"), NULL);
	p = relay_world_peer(&w, NEXT_HOP, SAYS("450 4.2.1 no"));
	pour(&w, 10, "b@example.net");
	sim_run(w.sim, MINUTE_MS);
	change(&w, &p, TAKES_ALL);
	sim_run(w.sim, HOUR_MS);
	assert_int_equal(relay_world_count(&w, "delivered"), 0);
	destination_try_now(destination_find(server_schedule(w.server), TEXT("upstream:next")));
	relay_world_await(&w, "delivered", 10, HOUR_MS);
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
}

static void a_rule_makes_a_passing_failure_of_a_final_one_and_the_other_way_round(void **state)
{
	struct relay_world w;
	struct sim_peer *p;

	(void)state;
	relay_world_open(
		&w, 19,
		WITH_RULES("  - {reply: \"550 5.7.1\", do: retry}\n  - {reply: \"450\", do: bounce}\n"),
		NULL);
	p = relay_world_peer(&w, NEXT_HOP, SAYS("550 5.7.1 come again"));
	relay_world_send(&w, "", "b@example.net", SMALL);
	relay_world_await(&w, "deferred", 1, MINUTE_MS);
	assert_true(relay_world_said(&w, "\"enhanced\":\"4.7.1\""));
	change(&w, &p, SAYS("450 4.2.1 never"));
	relay_world_await(&w, "bounced", 1, 15 * MINUTE_MS);
	assert_true(relay_world_said(&w, "\"enhanced\":\"5.2.1\""));
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
}

static void a_rule_that_slows_halves_the_rate_for_a_while(void **state)
{
	struct relay_world w;
	struct sim_peer *p;
	struct times t;
	size_t slow = 0;
	int64_t deferred;

	(void)state;
	relay_world_open(
		&w, 20,
		UPSTREAM_WITH(
			"rate: 10/s") "rules:\n  - {reply: \"450\", to: slow@example.net, do: slow, for: 1m}\n",
		NULL);
	p = relay_world_peer(
		&w, NEXT_HOP,
		"S: 220 mx.test\nC: EHLO *\nS: 250 mx.test\nC: MAIL *\nS: 250 ok\nC: RCPT *\nS: 450 4.2.1 busy\n"
		"C: RSET\nS: 250 ok\nagain:\nC: MAIL *\nS: 250 ok\nC: RCPT *\nS: 250 ok\nC: DATA\nS: 354 go\nD:\n"
		"S: 250 ok\nrepeat\n");
	assert_int_equal(
		sim_peer_add_script(
			p, "S: 220 mx.test\nC: EHLO *\nS: 250-mx.test\nS: 250 PIPELINING\nagain:\n" TAKES
			   "repeat\n"),
		ERR_OK);
	relay_world_send(&w, "", "slow@example.net", SMALL);
	relay_world_await(&w, "deferred", 1, MINUTE_MS);
	deferred = io_now_time(sim_io(w.sim));
	pour(&w, 900, "b@example.net");
	relay_world_await(&w, "delivered", 901, 10 * MINUTE_MS);
	t = times_of(&w, "delivered", "");
	for (size_t i = 0; i < t.count; i++)
		slow += t.at[i] < deferred + MINUTE_MS;
	assert_in_range(slow, 200, 302);
	assert_in_range(span(&t), 110000, 140000); /* 300 in the first minute, then ten a second */
	free(t.at);
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
}

/* The first host turns some recipients away: they go on with the second within the same attempt, those that it took do not. */
static void a_rule_asks_the_next_host_in_the_same_attempt(void **state)
{
	struct relay_world w;
	struct sim_peer *first, *second;

	(void)state;
	relay_world_open(&w, 24,
	                 YAML_HEAD "upstreams: {next: {hosts: [10.0.0.1:25, 10.0.0.2:25], tls: none}}\n"
	                           "routes: [{to: any, via: next}]\n" YAML_RETRY
	                           "rules:\n  - {reply: \"451\", do: other-host}\n",
	                 NULL);
	first = relay_world_peer(&w, NEXT_HOP,
	                         HELLO
	                         "C: MAIL *\nC: RCPT *\nC: RCPT *\nC: RCPT *\nC: DATA\nS: 250 ok\nS: 250 ok\n"
	                         "S: 451 4.3.0 not here\nS: 250 ok\nS: 354 go\nD:\nS: 250 ok\n");
	second = relay_world_peer(&w, AT(10, 0, 0, 2, 25), TAKES_ALL);
	assert_string_equal(
		relay_world_say(&w, "EHLO c\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b1@example.net>\r\n"
	                            "RCPT TO:<b2@example.net>\r\nRCPT TO:<b3@example.net>\r\nDATA\r\n" SMALL
	                            ".\r\n"),
		"220 250 250 250 250 250 354 250 221");
	relay_world_await(&w, "delivered", 3, MINUTE_MS);
	assert_int_equal(relay_world_count(&w, "deferred"), 0);
	assert_int_equal(sim_peer_messages(first), 1);
	assert_int_equal(sim_peer_messages(second), 1);
	assert_true(has(sim_peer_transcript(second), "RCPT TO:<b2@example.net>"));
	assert_false(has(sim_peer_transcript(second), "RCPT TO:<b1@example.net>"));
	assert_false(relay_world_said(&w, "\"attempt\":2"));
	stop_world(&w);
	sim_peer_free(&first);
	sim_peer_free(&second);
	end_world(&w);
}

/* With no other host left the last one's words count, and it is one attempt. */
static void without_another_host_the_last_words_count(void **state)
{
	struct relay_world w;
	struct sim_peer *first, *second;

	(void)state;
	relay_world_open(&w, 25,
	                 YAML_HEAD "upstreams: {next: {hosts: [10.0.0.1:25, 10.0.0.2:25], tls: none}}\n"
	                           "routes: [{to: any, via: next}]\n" YAML_RETRY
	                           "rules:\n  - {reply: \"45*\", do: other-host}\n",
	                 NULL);
	first = relay_world_peer(&w, NEXT_HOP, SAYS("450 4.2.1 not here"));
	second = relay_world_peer(&w, AT(10, 0, 0, 2, 25), SAYS("451 4.3.0 nor here"));
	relay_world_send(&w, "a@example.com", "b@example.net", SMALL);
	relay_world_await(&w, "deferred", 1, 10 * SECOND_MS);
	assert_true(relay_world_said(&w, "nor here"));
	assert_true(has(sim_peer_transcript(first), "RCPT TO:") &&
	            has(sim_peer_transcript(second), "RCPT TO:"));
	/* the next attempt begins with the first again */
	relay_world_await(&w, "deferred", 2, 2 * MINUTE_MS);
	assert_true(relay_world_said(&w, "\"attempt\":2"));
	assert_false(relay_world_said(&w, "\"attempt\":3"));
	stop_world(&w);
	sim_peer_free(&first);
	sim_peer_free(&second);
	end_world(&w);
}

static void a_rule_takes_another_of_our_addresses(void **state)
{
	struct relay_world w;
	struct sim_peer *p;
	struct times from[2];

	(void)state;
	relay_world_open(
		&w, 26,
		UPSTREAM_WITH(
			"source: [10.0.1.1, 10.0.1.2]") "rules:\n  - {reply: \"550 5.7.*\", do: other-source, for: 2h}\n",
		NULL);
	assert_int_equal(sim_peer_new(w.sim, NEXT_HOP, &p), ERR_OK);
	assert_int_equal(sim_peer_add_script(p, SAYS("550 5.7.1 your address is listed")), ERR_OK);
	assert_int_equal(sim_peer_add_script(p, TAKES_ALL), ERR_OK);
	relay_world_send(&w, "a@example.com", "b@example.net", SMALL);
	relay_world_await(&w, "deferred", 1, MINUTE_MS);
	for (unsigned i = 0; i < 20; i++) {
		sim_run(w.sim, 20 * SECOND_MS); /* each on a connection of its own */
		relay_world_send(&w, "a@example.com", "b@example.net", SMALL);
	}
	relay_world_await(&w, "delivered", 21, 5 * MINUTE_MS);
	assert_int_equal(relay_world_count(&w, "deferred"), 1);
	/* all but the first left from the other one */
	from[0] = times_of(&w, "delivered", "\"local\":\"10.0.1.1:");
	from[1] = times_of(&w, "delivered", "\"local\":\"10.0.1.2:");
	assert_true((from[0].count == 0 && from[1].count == 21) ||
	            (from[0].count == 21 && from[1].count == 0));
	free(from[0].at);
	free(from[1].at);
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
}

#define TWO_UPSTREAMS(rules)                                                                                \
	YAML_HEAD                                                                                           \
	"upstreams: {next: {hosts: [10.0.0.1:25], tls: none}, backup: {hosts: [10.0.0.2:25], tls: none}}\n" \
	"routes: [{to: any, via: next}]\n" YAML_RETRY "rules:\n" rules

static void a_rule_sends_it_by_another_upstream_and_there_it_stays(void **state)
{
	struct relay_world w;
	struct sim_peer *next, *backup;

	(void)state;
	relay_world_open(
		&w, 27,
		TWO_UPSTREAMS("  - {reply: \"4*\", upstream: [next], do: other-route, via: backup}\n"
	                      "  - {reply: \"4*\", upstream: [backup], do: other-route, via: next}\n"),
		NULL);
	next = relay_world_peer(&w, NEXT_HOP, SAYS("450 4.7.1 quota"));
	backup = relay_world_peer(&w, AT(10, 0, 0, 2, 25), SAYS("450 4.2.1 busy"));
	relay_world_send(&w, "a@example.com", "b@example.net", SMALL);
	relay_world_await(&w, "deferred", 2, MINUTE_MS);
	assert_true(relay_world_said(&w, "\"action\":\"other-route\""));
	assert_true(has(sim_peer_transcript(backup), "RCPT TO:"));
	/* a rule sends on once: now it waits as any other, also over a restart */
	assert_int_equal(sim_peer_connections(next), 1);
	relay_world_check(&w);
	relay_world_stop(&w);
	relay_world_start(&w);
	sim_peer_free(&backup);
	sim_run(w.sim, 100);
	backup = relay_world_peer(&w, AT(10, 0, 0, 2, 25), TAKES_ALL);
	relay_world_await(&w, "delivered", 1, 10 * MINUTE_MS);
	assert_int_equal(sim_peer_connections(next), 1);
	assert_int_equal(sim_peer_messages(backup), 1);
	stop_world(&w);
	sim_peer_free(&next);
	sim_peer_free(&backup);
	end_world(&w);
}

/* The rule is gone: what it sent away comes back to its route. */
static void without_its_rule_it_comes_back(void **state)
{
	struct relay_world w;
	struct sim_peer *next, *backup;

	(void)state;
	relay_world_open(
		&w, 28,
		TWO_UPSTREAMS("  - {reply: \"4*\", upstream: [next], do: other-route, via: backup}\n"), NULL);
	next = relay_world_peer(&w, NEXT_HOP, SAYS("450 4.7.1 quota"));
	backup = relay_world_peer(&w, AT(10, 0, 0, 2, 25), SAYS("450 4.2.1 busy"));
	relay_world_send(&w, "a@example.com", "b@example.net", SMALL);
	relay_world_await(&w, "deferred", 2, MINUTE_MS);
	change(&w, &next, TAKES_ALL);
	assert_int_equal(relay_world_reload(&w, TWO_UPSTREAMS("  - {reply: \"599\", do: retry}\n")), ERR_OK);
	relay_world_await(&w, "delivered", 1, 10 * MINUTE_MS);
	assert_int_equal(sim_peer_messages(next), 1);
	stop_world(&w);
	sim_peer_free(&next);
	sim_peer_free(&backup);
	end_world(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_rule_that_suspends_costs_no_attempt),
		cmocka_unit_test(a_suspension_outlives_a_stop_and_a_crash),
		cmocka_unit_test(a_suspension_ends_half_open),
		cmocka_unit_test(a_rule_at_the_door_costs_no_attempt_either),
		cmocka_unit_test(what_is_suspended_for_ever_expires),
		cmocka_unit_test(a_person_ends_a_suspension),
		cmocka_unit_test(a_rule_makes_a_passing_failure_of_a_final_one_and_the_other_way_round),
		cmocka_unit_test(a_rule_that_slows_halves_the_rate_for_a_while),
		cmocka_unit_test(a_rule_asks_the_next_host_in_the_same_attempt),
		cmocka_unit_test(without_another_host_the_last_words_count),
		cmocka_unit_test(a_rule_takes_another_of_our_addresses),
		cmocka_unit_test(a_rule_sends_it_by_another_upstream_and_there_it_stays),
		cmocka_unit_test(without_its_rule_it_comes_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
