/* One question and the servers it goes to: times, fail-over, truncation, answers that are none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include <postrider/base/auto.h>
#include <postrider/dns.h>
#include <postrider/io/io.h>

#include "support/dns_world.h"

#define GOOD_MX "example.com 300 MX 10 mx1.example.com."
#define GOOD_A "host.example.com 300 A 198.51.100.7"
#define MX_SAID "10 mx1.example.com of example.com"

/* ---------------------------------------------------------------- one lookup, many ways */

static const struct {
	const char *name;
	size_t servers;
	struct dns_rule rules[6];
	const char *outcome;
	int64_t done_at;
	const char *log;
} cases[] = {
	{ "a good answer", 1, { { .records = GOOD_MX } }, MX_SAID, 0, "0 #0 udp MX example.com\n" },
	{ "an answer after 800 ms",
	  1,
	  { { .records = GOOD_MX, .delay_ms = 800 } },
	  MX_SAID,
	  800,
	  "0 #0 udp MX example.com\n" },
	{ "the answer to the first of two tries counts after the second",
	  1,
	  { { .records = GOOD_MX, .delay_ms = 1200, .times = 1 }, { .does = DNS_IS_SILENT } },
	  MX_SAID,
	  1200,
	  "0 #0 udp MX example.com\n1000 #0 udp MX example.com\n" },
	{ "one server, silent",
	  1,
	  { { .does = DNS_IS_SILENT } },
	  "time-out: no answer from 192.0.2.1:53 within 5.0 s for MX of example.com",
	  5000,
	  "0 #0 udp MX example.com\n1000 #0 udp MX example.com\n3000 #0 udp MX example.com\n" },
	{ "three servers, all silent: each is asked twice",
	  3,
	  { { .does = DNS_IS_SILENT } },
	  "time-out: no answer from 192.0.2.1:53, 192.0.2.2:53, 192.0.2.3:53 within 5.0 s for MX of example.com",
	  5000,
	  "0 #0 udp MX example.com\n833 #1 udp MX example.com\n1666 #2 udp MX example.com\n"
	  "2499 #0 udp MX example.com\n4165 #1 udp MX example.com\n" },
	{ "the first is silent, the second answers",
	  2,
	  { { .does = DNS_IS_SILENT }, { .server = 1, .records = GOOD_MX } },
	  MX_SAID,
	  1000,
	  "0 #0 udp MX example.com\n1000 #1 udp MX example.com\n" },
	{ "the first answers late, while the second is asked",
	  2,
	  { { .records = GOOD_MX, .delay_ms = 1500 }, { .server = 1, .does = DNS_IS_SILENT } },
	  MX_SAID,
	  1500,
	  "0 #0 udp MX example.com\n1000 #1 udp MX example.com\n" },
	{ "an answer after the time is up",
	  1,
	  { { .records = GOOD_MX, .delay_ms = 5001, .times = 1 }, { .does = DNS_IS_SILENT } },
	  "time-out: no answer from 192.0.2.1:53 within 5.0 s for MX of example.com",
	  5000,
	  NULL },
	{ "nobody listens at the first: the second is asked at once",
	  2,
	  { { .does = DNS_PORT_CLOSED, .delay_ms = 3 }, { .server = 1, .records = GOOD_MX } },
	  MX_SAID,
	  3,
	  "0 #0 udp MX example.com\n3 #1 udp MX example.com\n" },
	{ "nobody listens anywhere: asked again later, in case one is starting",
	  1,
	  { { .does = DNS_PORT_CLOSED, .times = 2 }, { .records = GOOD_MX } },
	  MX_SAID,
	  3000,
	  "0 #0 udp MX example.com\n1000 #0 udp MX example.com\n3000 #0 udp MX example.com\n" },
	{ "nobody listens, to the end",
	  1,
	  { { .does = DNS_PORT_CLOSED } },
	  "time-out: no answer (connection refused) from 192.0.2.1:53 for MX of example.com",
	  5000,
	  NULL },
	{ "SERVFAIL from the only server ends it at once",
	  1,
	  { { .rcode = 2 } },
	  "temporary failure: SERVFAIL from 192.0.2.1:53 for MX of example.com",
	  0,
	  "0 #0 udp MX example.com\n" },
	{ "SERVFAIL from the first: the second is asked at once",
	  2,
	  { { .rcode = 2 }, { .server = 1, .records = GOOD_MX } },
	  MX_SAID,
	  0,
	  "0 #0 udp MX example.com\n0 #1 udp MX example.com\n" },
	{ "SERVFAIL from both",
	  2,
	  { { .rcode = 2 }, { .server = 1, .rcode = 5 } },
	  "temporary failure: REFUSED from 192.0.2.2:53 for MX of example.com",
	  0,
	  "0 #0 udp MX example.com\n0 #1 udp MX example.com\n" },
	{ "SERVFAIL from one and silence of the other: the other is asked to the end, and it is no absence",
	  2,
	  { { .rcode = 2 }, { .server = 1, .does = DNS_IS_SILENT } },
	  "temporary failure: SERVFAIL from 192.0.2.1:53 for MX of example.com",
	  5000,
	  "0 #0 udp MX example.com\n0 #1 udp MX example.com\n1000 #1 udp MX example.com\n"
	  "3000 #1 udp MX example.com\n" },
	{ "a late SERVFAIL of the first does not disturb the second",
	  2,
	  { { .rcode = 2, .delay_ms = 1100 }, { .server = 1, .records = GOOD_MX, .delay_ms = 600 } },
	  MX_SAID,
	  1600,
	  "0 #0 udp MX example.com\n1000 #1 udp MX example.com\n" },
	{ "REFUSED without the question in it",
	  2,
	  { { .rcode = 5, .does = DNS_HEADER_ONLY }, { .server = 1, .records = GOOD_MX } },
	  MX_SAID,
	  0,
	  NULL },
	{ "a server from before EDNS: FORMERR, then once more without",
	  1,
	  { { .only_plain = true, .records = GOOD_MX }, { .rcode = 1, .no_edns = true } },
	  MX_SAID,
	  0,
	  "0 #0 udp MX example.com\n0 #0 udp plain MX example.com\n" },
	{ "FORMERR with nothing but a header",
	  1,
	  { { .only_plain = true, .records = GOOD_MX },
	    { .rcode = 1, .no_edns = true, .does = DNS_HEADER_ONLY } },
	  MX_SAID,
	  0,
	  NULL },
	{ "BADVERS: once more without EDNS",
	  1,
	  { { .only_plain = true, .records = GOOD_MX }, { .rcode = 16 } },
	  MX_SAID,
	  0,
	  "0 #0 udp MX example.com\n0 #0 udp plain MX example.com\n" },
	{ "FORMERR without EDNS too: the next server",
	  2,
	  { { .rcode = 1 }, { .server = 1, .records = GOOD_MX } },
	  MX_SAID,
	  0,
	  "0 #0 udp MX example.com\n0 #0 udp plain MX example.com\n0 #1 udp MX example.com\n" },
	{ "truncated: over TCP",
	  1,
	  { { .records = GOOD_MX, .truncated = true } },
	  MX_SAID,
	  0,
	  "0 #0 udp MX example.com\n0 #0 tcp MX example.com\n" },
	{ "truncated in the middle of a record",
	  1,
	  { { .way = DNS_UDP, .records = GOOD_MX, .truncated = true, .does = DNS_CUT },
	    { .records = GOOD_MX } },
	  MX_SAID,
	  0,
	  "0 #0 udp MX example.com\n0 #0 tcp MX example.com\n" },
	{ "over TCP, an octet at a time",
	  1,
	  { { .records = GOOD_MX, .truncated = true, .does = DNS_TCP_BY_OCTETS } },
	  MX_SAID,
	  2,
	  NULL },
	{ "truncated, and TCP is refused: the next server",
	  2,
	  { { .way = DNS_UDP, .truncated = true },
	    { .way = DNS_TCP, .does = DNS_PORT_CLOSED },
	    { .server = 1, .records = GOOD_MX } },
	  MX_SAID,
	  0,
	  "0 #0 udp MX example.com\n0 #1 udp MX example.com\n" },
	{ "truncated, and the only server refuses TCP",
	  1,
	  { { .way = DNS_UDP, .truncated = true }, { .way = DNS_TCP, .does = DNS_PORT_CLOSED } },
	  "temporary failure: no answer over TCP from 192.0.2.1:53 for MX of example.com",
	  0,
	  NULL },
	{ "truncated, and TCP closes without an answer",
	  1,
	  { { .way = DNS_UDP, .truncated = true }, { .way = DNS_TCP, .does = DNS_TCP_CLOSES } },
	  "temporary failure: no answer over TCP from 192.0.2.1:53 for MX of example.com",
	  0,
	  NULL },
	{ "truncated, and half an answer over TCP",
	  1,
	  { { .way = DNS_UDP, .truncated = true },
	    { .way = DNS_TCP, .records = GOOD_MX, .does = DNS_TCP_HALF } },
	  "temporary failure: no answer over TCP from 192.0.2.1:53 for MX of example.com",
	  5000,
	  NULL },
	{ "truncated, silence over TCP, and half of the time left for the next server",
	  2,
	  { { .way = DNS_UDP, .truncated = true },
	    { .way = DNS_TCP, .does = DNS_IS_SILENT },
	    { .server = 1, .records = GOOD_MX } },
	  MX_SAID,
	  2500,
	  "0 #0 udp MX example.com\n0 #0 tcp MX example.com\n2500 #1 udp MX example.com\n" },
	{ "over TCP, to another question",
	  1,
	  { { .way = DNS_UDP, .truncated = true }, { .records = GOOD_MX, .does = DNS_WRONG_NAME } },
	  "temporary failure: a wrong answer over TCP from 192.0.2.1:53 for MX of example.com",
	  0,
	  NULL },
	{ "SERVFAIL over TCP: the next server",
	  2,
	  { { .way = DNS_UDP, .truncated = true }, { .rcode = 2 }, { .server = 1, .records = GOOD_MX } },
	  MX_SAID,
	  0,
	  "0 #0 udp MX example.com\n0 #0 tcp MX example.com\n0 #1 udp MX example.com\n" },
	{ "FORMERR over TCP: once more without EDNS, over TCP",
	  1,
	  { { .way = DNS_UDP, .truncated = true },
	    { .only_plain = true, .records = GOOD_MX },
	    { .rcode = 1 } },
	  MX_SAID,
	  0,
	  "0 #0 udp MX example.com\n0 #0 tcp MX example.com\n0 #0 tcp plain MX example.com\n" },
	{ "an answer of the second server arrives during TCP with the first",
	  2,
	  { { .way = DNS_UDP, .truncated = true, .delay_ms = 1100 },
	    { .way = DNS_TCP, .does = DNS_IS_SILENT },
	    { .server = 1, .records = GOOD_MX, .delay_ms = 300 } },
	  MX_SAID,
	  1300,
	  "0 #0 udp MX example.com\n1000 #1 udp MX example.com\n1100 #0 tcp MX example.com\n" },
	{ "a referral: not a resolver",
	  2,
	  { { .records = "--\ncom 300 NS a.gtld-servers.net." }, { .server = 1, .records = GOOD_MX } },
	  MX_SAID,
	  0,
	  NULL },
	{ "only a referral",
	  1,
	  { { .records = "--\ncom 300 NS a.gtld-servers.net." } },
	  "temporary failure: a referral (is it a resolver?) from 192.0.2.1:53 for MX of example.com",
	  0,
	  NULL },
	{ "no server at all",
	  0,
	  { { .records = GOOD_MX } },
	  "temporary failure: no DNS server is configured for MX of example.com",
	  0,
	  "" },
};

static void run_case(size_t i)
{
	struct dns_world w;
	struct dns_outcome o = { 0 };
	struct dns_options options = { .server_count = cases[i].servers, .timeout_ms = 5000 };

	dns_world_init(&w, cases[i].rules, ARRAY_LEN(cases[i].rules), &options);
	dns_world_find_mx(&w, "example.com", &o);
	assert_int_equal(o.calls, 0);
	dns_world_run(&w);
	assert_int_equal(o.calls, 1);
	assert_string_equal(o.text, cases[i].outcome);
	assert_int_equal(o.done_at, cases[i].done_at);
	if (cases[i].log)
		assert_string_equal(dns_world_log(&w), cases[i].log);
	assert_int_equal(w.open_sockets, 0);
	assert_int_equal(w.open_streams, 0);
	assert_int_equal(dns_count(w.dns).in_flight, 0);
	dns_world_fini(&w);
}

static void one_lookup_ends_as_its_servers_make_it(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		print_message("  %s\n", cases[i].name);
		run_case(i);
	}
}

/* ---------------------------------------------------------------- answers that are none */

static void answers_that_are_none_are_passed_over(void **state)
{
	static const struct {
		const char *name;
		enum dns_does does;
	} spoiled[] = {
		{ "another id", DNS_WRONG_ID },
		{ "another name", DNS_WRONG_NAME },
		{ "another type", DNS_WRONG_TYPE },
		{ "a question, not an answer", DNS_NO_RESPONSE_BIT },
		{ "another opcode", DNS_WRONG_OPCODE },
		{ "two questions", DNS_TWO_QUESTIONS },
		{ "junk behind the question", DNS_GARBAGE },
		{ "five octets", DNS_SHORT },
		{ "cut without saying so", DNS_CUT },
		{ "success without a question", DNS_HEADER_ONLY },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(spoiled); i++) {
		const struct dns_rule rules[] = {
			{ .times = 1, .does = spoiled[i].does, .records = GOOD_MX },
			{ .records = GOOD_MX },
		};
		struct dns_world w;
		struct dns_outcome o = { 0 };

		print_message("  %s\n", spoiled[i].name);
		dns_world_init(&w, rules, ARRAY_LEN(rules), NULL);
		dns_world_find_mx(&w, "example.com", &o);
		dns_world_run(&w);
		assert_string_equal(o.text, MX_SAID);
		assert_int_equal(o.done_at, 1000);
		assert_int_equal(dns_count(w.dns).answers, 1);
		dns_world_fini(&w);
	}
}

static void a_question_in_capitals_comes_back_as_good(void **state)
{
	static const struct dns_rule rules[] = { { .does = DNS_UPPER_CASE, .records = GOOD_MX } };
	struct dns_world w;
	struct dns_outcome o = { 0 };

	(void)state;
	dns_world_init(&w, rules, ARRAY_LEN(rules), NULL);
	dns_world_find_mx(&w, "Example.COM.", &o);
	dns_world_run(&w);
	assert_string_equal(o.text, MX_SAID);
	assert_int_equal(o.done_at, 0);
	dns_world_fini(&w);
}

/* Octets sent to the resolver's socket by somebody else: only what a real server would not do. */
static void many_wrong_answers_lead_to_tcp(void **state)
{
	static const struct dns_rule rules[] = {
		{ .way = DNS_TCP, .records = GOOD_MX },
		{ .does = DNS_WRONG_ID,
		  .records = "example.com 300 MX 10 evil.example.net.",
		  .delay_ms = 10 },
	};
	struct dns_world w;
	struct dns_outcome o = { 0 };

	(void)state;
	dns_world_init(&w, rules, ARRAY_LEN(rules), NULL);
	dns_world_find_mx(&w, "example.com", &o);
	dns_world_run_until(&w, 5);
	dns_world_repeat_event(&w, 15);
	dns_world_run(&w);
	assert_string_equal(o.text, MX_SAID);
	assert_int_equal(o.done_at, 10);
	dns_world_fini(&w);
}

/* ---------------------------------------------------------------- which server */

static void the_server_that_answered_is_asked_first_next_time(void **state)
{
	static const struct dns_rule rules[] = {
		{ .does = DNS_IS_SILENT, .name = "example.com" },
		{ .server = 1, .records = GOOD_MX, .name = "example.com" },
		{ .server = 1, .records = "example.net 300 MX 5 mx.example.net." },
	};
	struct dns_world w;
	struct dns_options options = { .server_count = 2 };
	struct dns_outcome o = { 0 };

	(void)state;
	dns_world_init(&w, rules, ARRAY_LEN(rules), &options);
	dns_world_find_mx(&w, "example.com", &o);
	dns_world_run(&w);
	dns_world_log(&w);
	dns_world_find_mx(&w, "example.net", &o);
	dns_world_run(&w);
	assert_string_equal(dns_world_log(&w), "1000 #1 udp MX example.net\n");
	assert_string_equal(o.text, "5 mx.example.net of example.net");
	dns_world_fini(&w);
}

static void a_server_without_edns_is_asked_plainly_for_ten_minutes(void **state)
{
	static const struct dns_rule rules[] = {
		{ .only_plain = true, .records = "example.com 0 MX 10 mx1.example.com." },
		{ .rcode = 1, .no_edns = true },
	};
	struct dns_world w;
	struct dns_outcome o = { 0 };

	(void)state;
	dns_world_init(&w, rules, ARRAY_LEN(rules), NULL);
	dns_world_find_mx(&w, "example.com", &o);
	dns_world_run(&w);
	dns_world_log(&w);
	dns_world_run_until(&w, 599999);
	dns_world_find_mx(&w, "example.com", &o);
	dns_world_run(&w);
	assert_string_equal(dns_world_log(&w), "599999 #0 udp plain MX example.com\n");
	dns_world_run_until(&w, 600000);
	dns_world_find_mx(&w, "example.com", &o);
	dns_world_run(&w);
	assert_string_equal(dns_world_log(&w),
	                    "600000 #0 udp MX example.com\n600000 #0 udp plain MX example.com\n");
	dns_world_fini(&w);
}

static void each_question_has_an_id_and_a_socket_of_its_own(void **state)
{
	static const struct dns_rule rules[] = { { .does = DNS_IS_SILENT } };
	struct dns_world w;
	struct dns_outcome o[32] = { { 0 } };
	char name[32];
	unsigned equal = 0;

	(void)state;
	dns_world_init(&w, rules, ARRAY_LEN(rules), NULL);
	for (unsigned i = 0; i < ARRAY_LEN(o); i++) {
		snprintf(name, sizeof(name), "d%u.example", i);
		dns_world_find_mx(&w, name, &o[i]);
	}
	assert_int_equal(w.open_sockets, ARRAY_LEN(o));
	assert_int_equal(w.ids_count, ARRAY_LEN(o));
	for (unsigned i = 1; i < ARRAY_LEN(o); i++)
		equal += w.ids[i] == w.ids[i - 1] || w.ids[i] == w.ids[i - 1] + 1;
	assert_int_equal(equal, 0);
	dns_world_fini(&w);
}

static void without_sockets_it_tries_again_later(void **state)
{
	static const struct dns_rule rules[] = { { .records = GOOD_MX } };
	struct dns_world w;
	struct dns_outcome o = { 0 };

	(void)state;
	dns_world_init(&w, rules, ARRAY_LEN(rules), NULL);
	w.sending_fails = true;
	dns_world_find_mx(&w, "example.com", &o);
	dns_world_run_until(&w, 500);
	assert_int_equal(o.calls, 0);
	assert_int_equal(w.open_sockets, 0);
	w.sending_fails = false;
	dns_world_run(&w);
	assert_string_equal(o.text, MX_SAID);
	assert_int_equal(o.done_at, 1000);
	dns_world_fini(&w);
}

static void never_able_to_send_is_a_time_out(void **state)
{
	static const struct dns_rule rules[] = { { .records = GOOD_MX } };
	struct dns_world w;
	struct dns_options options = { .server_count = 2 };
	struct dns_outcome o = { 0 };

	(void)state;
	dns_world_init(&w, rules, ARRAY_LEN(rules), &options);
	w.sending_fails = true;
	dns_world_find_mx(&w, "example.com", &o);
	dns_world_run(&w);
	assert_int_equal(o.err, ERR_TIMEOUT);
	assert_string_equal(o.text,
	                    "time-out: no answer (no route to host) from 192.0.2.2:53 for MX of example.com");
	assert_int_equal(o.done_at, 5000);
	dns_world_fini(&w);
}

/* Every rcode that is no answer: never an absence. */
static void no_rcode_but_nxdomain_is_an_absence(void **state)
{
	(void)state;
	for (unsigned rcode = 0; rcode < 32; rcode++) {
		const struct dns_rule rules[] = { { .rcode = rcode } };
		struct dns_world w;
		struct dns_outcome o = { 0 };

		if (rcode == 16)
			continue; /* BADVERS has a way of its own: above */
		dns_world_init(&w, rules, ARRAY_LEN(rules), NULL);
		dns_world_find_mx(&w, "example.com", &o);
		dns_world_run(&w);
		if (rcode == 0)
			assert_string_equal(o.text, "implicit example.com");
		else if (rcode == 3)
			assert_int_equal(o.err, ERR_NOT_FOUND);
		else
			assert_int_equal(o.err, ERR_TEMPORARY);
		assert_int_equal(o.done_at, 0);
		dns_world_fini(&w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_lookup_ends_as_its_servers_make_it),
		cmocka_unit_test(answers_that_are_none_are_passed_over),
		cmocka_unit_test(a_question_in_capitals_comes_back_as_good),
		cmocka_unit_test(many_wrong_answers_lead_to_tcp),
		cmocka_unit_test(the_server_that_answered_is_asked_first_next_time),
		cmocka_unit_test(a_server_without_edns_is_asked_plainly_for_ten_minutes),
		cmocka_unit_test(each_question_has_an_id_and_a_socket_of_its_own),
		cmocka_unit_test(without_sockets_it_tries_again_later),
		cmocka_unit_test(never_able_to_send_is_a_time_out),
		cmocka_unit_test(no_rcode_but_nxdomain_is_an_absence),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
