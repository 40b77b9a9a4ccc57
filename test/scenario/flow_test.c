/* Mail through the whole relay in the simulated world: from a client, through the queue, to a next hop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "../support/relay_world.h"

static const char upstream_yaml[] = "hostname: relay.test\n"
				    "spool: {path: /spool}\n"
				    "listen: [{address: 127.0.0.1:2525}]\n"
				    "upstreams: {next: {hosts: [10.0.0.1:25], tls: none}}\n"
				    "routes: [{to: any, via: next}]\n"
				    "retry: {schedule: [1m, 5m, 1h], give_up_after: 1d}\n";

static const char direct_yaml[] = "hostname: relay.test\n"
				  "spool: {path: /spool}\n"
				  "listen: [{address: 127.0.0.1:2525}]\n"
				  "routes: [{to: any, via: direct}]\n"
				  "direct: {allow_private: [10.0.0.0/8], tls: none}\n"
				  "retry: {schedule: [1m, 5m, 1h], give_up_after: 1d}\n";

#define HELLO "S: 220 mx.test\nC: EHLO relay.test\nS: 250-mx.test\nS: 250-PIPELINING\nS: 250 8BITMIME\n"
#define TAKES "C: MAIL FROM:*\nC: RCPT TO:*\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 354 go\nD:\n"

static void a_message_arrives_with_our_trace_on_top(void **state)
{
	struct relay_world w;
	struct sim_peer *p;
	struct text content;

	(void)state;
	relay_world_open(&w, 1, upstream_yaml, NULL);
	p = relay_world_peer(&w, AT(10, 0, 0, 1, 25), HELLO TAKES "S: 250 2.0.0 taken\n");
	relay_world_send(&w, "a@example.com", "b@example.net", "Subject: one\r\n\r\n..two\r\n");
	relay_world_await(&w, "delivered", 1, 10000);
	assert_int_equal(sim_peer_messages(p), 1);
	assert_int_equal(sim_peer_wrong_lines(p), 0);
	content = sim_peer_message(p, 0);
	assert_true(text_starts(content, TEXT("Received: from client.test")));
	assert_true(text_ends(content, TEXT("\r\nSubject: one\r\n\r\n..two\r\n")));
	relay_world_stop(&w);
	sim_peer_free(&p);
	relay_world_close(&w);
}

static void a_greylisted_message_goes_at_the_second_try(void **state)
{
	struct relay_world w;
	struct sim_peer *p;

	(void)state;
	relay_world_open(&w, 2, upstream_yaml, NULL);
	p = relay_world_peer(
		&w, AT(10, 0, 0, 1, 25),
		HELLO
		"C: MAIL FROM:*\nC: RCPT TO:*\nC: DATA\nS: 250 ok\nS: 451 4.7.1 Greylisted, come back\nS: 503 no\n");
	assert_int_equal(sim_peer_add_script(p, HELLO TAKES "S: 250 2.0.0 taken\n"), ERR_OK);
	relay_world_send(&w, "a@example.com", "b@example.net", "Subject: one\r\n\r\nx\r\n");
	relay_world_await(&w, "deferred", 1, 10000);
	assert_int_equal(sim_peer_messages(p), 0);
	relay_world_await(&w, "delivered", 1, 2 * 60 * 1000);
	assert_int_equal(sim_peer_messages(p), 1);
	relay_world_stop(&w);
	sim_peer_free(&p);
	relay_world_close(&w);
}

static void a_refused_message_comes_back_as_a_report(void **state)
{
	struct relay_world w;
	struct sim_peer *p;
	struct text report;

	(void)state;
	relay_world_open(&w, 3, upstream_yaml, NULL);
	p = relay_world_peer(&w, AT(10, 0, 0, 1, 25),
	                     HELLO
	                     "C: MAIL FROM:<a@example.com>*\nC: RCPT TO:<b@example.net>\nC: DATA\nS: 250 ok\n"
	                     "S: 550 5.1.1 no such user\nS: 503 no\nC: RSET\nS: 250 ok\nagain:\n" TAKES
	                     "S: 250 ok\nrepeat\n");
	assert_int_equal(sim_peer_add_script(p, HELLO TAKES "S: 250 2.0.0 taken\n"), ERR_OK);
	relay_world_send(&w, "a@example.com", "b@example.net", "Subject: one\r\n\r\nx\r\n");
	relay_world_await(&w, "bounced", 1, 10000);
	relay_world_await(&w, "delivered", 1, 10000);
	assert_int_equal(sim_peer_messages(p), 1);
	report = sim_peer_message(p, 0);
	assert_true(text_find(report, TEXT("\r\nTo: a@example.com\r\n")) < report.len ||
	            text_find(report, TEXT("\r\nTo: <a@example.com>\r\n")) < report.len);
	assert_true(text_find(report, TEXT("Status: 5.1.1")) < report.len);
	assert_true(text_find(report, TEXT("no such user")) < report.len);
	relay_world_stop(&w);
	sim_peer_free(&p);
	relay_world_close(&w);
}

static void mail_is_routed_by_mx_and_the_second_host_is_tried(void **state)
{
	struct relay_world w;
	struct sim_peer *second;

	(void)state;
	relay_world_open(&w, 4, direct_yaml,
	                 "example.net. 300 MX 10 mx1.example.net.\n"
	                 "example.net. 300 MX 20 mx2.example.net.\n"
	                 "mx1.example.net. 300 A 10.0.0.1\n"
	                 "mx2.example.net. 300 A 10.0.0.2\n");
	second = relay_world_peer(&w, AT(10, 0, 0, 2, 25), HELLO TAKES "S: 250 2.0.0 taken\n");
	relay_world_send(&w, "a@example.com", "b@example.net", "Subject: one\r\n\r\nx\r\n");
	relay_world_await(&w, "delivered", 1, 60000);
	assert_int_equal(sim_peer_messages(second), 1);
	assert_int_equal(relay_world_count(&w, "deferred"), 0);
	relay_world_stop(&w);
	sim_peer_free(&second);
	relay_world_close(&w);
}

static const struct {
	const char *name;
	const char *zone;
	const char *outcome;
	const char *word; /* in the event */
} name_cases[] = {
	{ "a null MX", "example.net. 300 MX 0 .\n", "bounced", "\"reason\":\"null_mx\"" },
	{ "no such domain", "example.org. 300 A 10.0.0.1\n", "bounced", "\"reason\":\"no_such_domain\"" },
	{ "SERVFAIL", "example.net. SERVFAIL\n", "deferred", "\"reason\":\"dns\"" },
	{ "silence", "example.net. SILENCE\n", "deferred", "\"reason\":\"dns\"" },
};

static void names_decide_between_now_never_and_later(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(name_cases); i++) {
		struct relay_world w;

		relay_world_open(&w, 5 + i, direct_yaml, name_cases[i].zone);
		relay_world_send(&w, "", "b@example.net", "Subject: one\r\n\r\nx\r\n");
		relay_world_await(&w, name_cases[i].outcome, 1, 60000);
		if (text_find(buf_text(&w.events), text_from(name_cases[i].word)) == w.events.len)
			fail_msg("%s: no %s in\n%.*s", name_cases[i].name, name_cases[i].word,
			         TEXT_ARGS(buf_text(&w.events)));
		relay_world_close(&w);
	}
}

static void mail_that_nobody_takes_expires_with_a_report(void **state)
{
	struct relay_world w;

	(void)state;
	relay_world_open(&w, 9, upstream_yaml, NULL);
	relay_world_send(&w, "a@example.com", "b@example.net", "Subject: one\r\n\r\nx\r\n");
	relay_world_await(&w, "deferred", 3, 3 * 60 * 60 * 1000);
	relay_world_await(&w, "expired", 1, (int64_t)26 * 60 * 60 * 1000);
	assert_true(text_find(buf_text(&w.events), TEXT("\"reason\":\"connect\"")) < w.events.len);
	/* the warning after four hours and the report are mail like any other, and wait now */
	assert_int_equal(queue_space(server_queue(w.server)).messages, 2);
	relay_world_close(&w);
}

static void a_dead_destination_costs_the_others_nothing(void **state)
{
	struct relay_world w;
	struct sim_peer *p;

	(void)state;
	relay_world_open(&w, 10, direct_yaml,
	                 "dead.example. 300 A 10.0.0.1\n"
	                 "live.example. 300 A 10.0.0.2\n");
	assert_int_equal(sim_set_reach(w.sim, AT(10, 0, 0, 1, 25), SIM_SILENT), ERR_OK);
	p = relay_world_peer(&w, AT(10, 0, 0, 2, 25), HELLO "again:\n" TAKES "S: 250 ok\nrepeat\n");
	for (int i = 0; i < 50; i++)
		relay_world_send(&w, "a@example.com", "b@dead.example", "Subject: one\r\n\r\nx\r\n");
	relay_world_send(&w, "a@example.com", "b@live.example", "Subject: one\r\n\r\nx\r\n");
	relay_world_await(&w, "delivered", 1, 1000);
	relay_world_await(&w, "deferred", 50, 120000);
	relay_world_stop(&w);
	sim_peer_free(&p);
	relay_world_close(&w);
}

static uint64_t trace_of(uint64_t seed)
{
	struct relay_world w;
	struct sim_peer *p;
	uint64_t trace;

	relay_world_open(&w, seed, direct_yaml, "example.net. 300 A 10.0.0.2\n");
	p = relay_world_peer(&w, AT(10, 0, 0, 2, 25), HELLO "again:\n" TAKES "S: 250 ok\nrepeat\n");
	for (int i = 0; i < 5; i++)
		relay_world_send(&w, "a@example.com", "b@example.net", "Subject: one\r\n\r\nx\r\n");
	relay_world_await(&w, "delivered", 5, 10000);
	relay_world_stop(&w);
	sim_peer_free(&p);
	trace = sim_trace(w.sim);
	relay_world_close(&w);
	return trace;
}

static void the_same_seed_gives_the_same_run(void **state)
{
	(void)state;
	assert_true(trace_of(77) == trace_of(77));
	assert_true(trace_of(77) != trace_of(78));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_message_arrives_with_our_trace_on_top),
		cmocka_unit_test(a_greylisted_message_goes_at_the_second_try),
		cmocka_unit_test(a_refused_message_comes_back_as_a_report),
		cmocka_unit_test(mail_is_routed_by_mx_and_the_second_host_is_tried),
		cmocka_unit_test(names_decide_between_now_never_and_later),
		cmocka_unit_test(mail_that_nobody_takes_expires_with_a_report),
		cmocka_unit_test(a_dead_destination_costs_the_others_nothing),
		cmocka_unit_test(the_same_seed_gives_the_same_run),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
