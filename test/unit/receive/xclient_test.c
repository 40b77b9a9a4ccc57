/* XCLIENT and XFORWARD: what they take, what they do not, and that no value becomes more than a value. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "support/receive_bench.h"

static const char yaml[] =
	"hostname: relay.test\n"
	"listen: [{name: in, address: 127.0.0.1:2525, xclient: [127.0.0.1], allow: [192.0.2.0/24], max_errors: 50}]\n"
	"routes: [{to: any, via: direct}]\n";

static const struct {
	const char *command;
	const char *answer;
} cases[] = {
	{ "XCLIENT\r\n", "501 5.5.4 Say at least one" },
	{ "XCLIENT ADDR\r\n", "501 5.5.4 ADDR has no value" },
	{ "XCLIENT ADDR=\r\n", "501 5.5.4 ADDR is no address" },
	{ "XCLIENT COLOUR=red\r\n", "501 5.5.4 COLOUR is no attribute" },
	{ "XCLIENT IDENT=1\r\n", "501 5.5.4 IDENT is no attribute" },
	{ "XFORWARD LOGIN=ann\r\n", "501 5.5.4 LOGIN is no attribute" },
	{ "XCLIENT ADDR=192.0.2\r\n", "501 5.5.4 ADDR is no address" },
	{ "XCLIENT ADDR=IPV6:192.0.2.1x\r\n", "501 5.5.4 ADDR is no address" },
	{ "XCLIENT ADDR=192.0.2.1+\r\n", "501 5.5.4 ADDR is not written as xtext" },
	{ "XCLIENT ADDR=192.0.2.1=\r\n", "501 5.5.4 ADDR is not written as xtext" },
	{ "XCLIENT PORT=65536\r\n", "501 5.5.4 PORT is no port" },
	{ "XCLIENT PORT=-1\r\n", "501 5.5.4 PORT is no port" },
	{ "XCLIENT PROTO=HTTP\r\n", "501 5.5.4 PROTO is neither" },
	{ "XCLIENT NAME=a_b..example\r\n", "501 5.5.4 NAME is no host name" },
	{ "XCLIENT NAME=a.example+0D+0ANOOP\r\n", "501 5.5.4 NAME has octets" },
	{ "XCLIENT HELO=a+00b\r\n", "501 5.5.4 HELO has octets" },
	{ "XCLIENT HELO=a+20b\r\n", "501 5.5.4 HELO has octets" },
	{ "XCLIENT LOGIN=\r\n", "501 5.5.4 LOGIN is empty" },
	{ "XCLIENT DESTADDR=here\r\n", "501 5.5.4 DESTADDR is no address" },
	{ "XFORWARD SOURCE=ELSEWHERE\r\n", "501 5.5.4 SOURCE is neither" },
	{ "XFORWARD\r\n", "501 5.5.4 Say at least one" },
	{ "XCLIENT LOGIN=shut-out\r\n", "554 5.7.1 No service for this user" },
	{ "XCLIENT addr=192.0.2.1 Name=[unavailable] LOGIN=[TEMPUNAVAIL]\r\n", "220 relay.test ESMTP" },
	{ "XCLIENT   ADDR=192.0.2.1   PORT=25\r\n", "220" },
	{ "XCLIENT ADDR=IPV6:2001:db8::1 DESTADDR=192.0.2.9 DESTPORT=25 PROTO=esmtp HELO=a.example\r\n",
	  "220" },
	{ "XCLIENT ADDR=2001:db8::1\r\n", "220" },
	{ "XCLIENT NAME=a.example+2Etest\r\n", "220" },
	{ "XFORWARD NAME=a.example ADDR=192.0.2.1 PORT=25 PROTO=SMTP HELO=h IDENT=1 SOURCE=remote\r\n",
	  "250 2.0.0" },
	{ "XFORWARD ADDR=[UNAVAILABLE]\r\n", "250 2.0.0" },
};

static void commands_are_answered_as_they_deserve(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct bench b;
		struct text told;

		bench_open(&b, yaml, false);
		(void)bench_say(&b, "EHLO c\r\n");
		told = bench_say(&b, cases[i].command);
		if (!text_starts(told, text_from(cases[i].answer)))
			fail_msg("%s was answered %.*s", cases[i].command, TEXT_ARGS(told));
		bench_close(&b);
	}
}

static void what_was_wrong_in_part_changes_nothing(void **state)
{
	struct bench b;

	(void)state;
	bench_open(&b, yaml, false);
	(void)bench_say(&b, "EHLO c\r\n");
	assert_true(text_starts(bench_say(&b, "XCLIENT ADDR=192.0.2.1 LOGIN=ann PORT=x\r\n"), TEXT("501")));
	assert_true(ip_eq(b.session.client, ip_from_v4(0x7f000001)));
	assert_int_equal(receive_session_user(&b.session).len, 0);
	assert_false(b.session.may_relay);
	assert_int_equal(b.clients, 0);
	bench_close(&b);
}

static void a_new_client_has_nothing_of_the_one_before(void **state)
{
	struct bench b;

	(void)state;
	bench_open(&b, yaml, false);
	(void)bench_say(&b, "EHLO c\r\n");
	(void)bench_say(&b, "XCLIENT ADDR=203.0.113.1 LOGIN=ann NAME=a.example HELO=h\r\n");
	assert_true(b.session.may_relay && text_eq(receive_session_user(&b.session), TEXT("ann")));
	assert_true(text_eq(text_from(b.session.helo), TEXT("h")));
	(void)bench_say(&b, "XCLIENT ADDR=203.0.113.2\r\n");
	assert_false(b.session.may_relay);
	assert_int_equal(receive_session_user(&b.session).len, 0);
	assert_null(b.session.helo);
	assert_null(b.session.more->client_name);
	assert_int_equal(b.clients, 2);
	bench_close(&b);
}

/* An address that nobody knows is not that of somebody at a Unix socket. */
static void an_unknown_client_is_a_stranger_everywhere(void **state)
{
	static const char inherited[] = "hostname: relay.test\n"
					"listen: [{name: in, address: 'fd:3', xclient: [127.0.0.1]}]\n"
					"routes: [{to: any, via: direct}]\n";
	struct bench b;

	(void)state;
	bench_open(&b, inherited, true);
	(void)bench_say(&b, "EHLO c\r\n");
	assert_true(text_starts(bench_say(&b, "XCLIENT ADDR=[UNAVAILABLE]\r\n"), TEXT("220")));
	assert_int_equal(b.session.client.family, IP_NONE);
	assert_false(b.session.may_relay);
	bench_close(&b);
}

static void a_client_that_may_not_come_in_is_told_and_gone(void **state)
{
	struct bench b;

	(void)state;
	bench_open(&b, yaml, false);
	(void)bench_say(&b, "EHLO c\r\n");
	b.limited = true;
	assert_true(text_starts(bench_say(&b, "XCLIENT ADDR=192.0.2.1\r\n"), TEXT("421 4.7.0 Too many")));
	assert_true(b.closed);
	bench_close(&b);
}

static void forwarded_names_are_forgotten_with_the_transaction(void **state)
{
	struct bench b;

	(void)state;
	bench_open(&b, yaml, true);
	(void)bench_say(&b, "EHLO c\r\nXFORWARD ADDR=192.0.2.1 HELO=h\r\n");
	assert_non_null(b.session.more->forwarded_addr);
	(void)bench_say(&b, "XFORWARD IDENT=4711\r\n");
	assert_non_null(b.session.more->forwarded_addr); /* several add up */
	(void)bench_say(&b, "MAIL FROM:<a@example.com>\r\nRSET\r\n");
	assert_null(b.session.more->forwarded_addr);
	assert_null(b.session.more->forwarded_ident);
	bench_close(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(commands_are_answered_as_they_deserve),
		cmocka_unit_test(what_was_wrong_in_part_changes_nothing),
		cmocka_unit_test(a_new_client_has_nothing_of_the_one_before),
		cmocka_unit_test(an_unknown_client_is_a_stranger_everywhere),
		cmocka_unit_test(a_client_that_may_not_come_in_is_told_and_gone),
		cmocka_unit_test(forwarded_names_are_forgotten_with_the_transaction),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
