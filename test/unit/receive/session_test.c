/* The inbound session against scripts: what a client says, and what it is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "support/receive_bench.h"

static const char relay_yaml[] =
	"hostname: relay.test\n"
	"listen:\n"
	"  - {name: apps, address: 127.0.0.1:2525, allow: [127.0.0.0/8], max_errors: 6}\n"
	"access:\n"
	"  senders: [example.com]\n"
	"  max_message_size: 64KiB\n"
	"  max_recipients: 100\n"
	"  max_hops: 5\n"
	"rewrite: {recipients: {postmaster: admin@example.com}}\n"
	"routes: [{to: refused.test, via: reject}, {to: held.test, via: hold}, {to: any, via: direct}]\n";

/* ---------------------------------------------------------------- dialogues */

#define GREETING "220 relay.test ESMTP postrider\r\n"
#define HELLO "250 relay.test\r\n"
#define OPEN "HELO c.test\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.net>\r\n"
#define OPENED HELLO "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n"

static const struct {
	const char *name;
	struct text said;
	const char *told; /* behind the greeting; "*" at the end: the rest does not matter */
} dialogues[] = {
	{ "HELO", LIT("HELO c.test\r\n"), HELLO },
	{ "EHLO names the extensions", LIT("EHLO c.test\r\n"),
	  "250-relay.test\r\n250-PIPELINING\r\n250-SIZE 65536\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n250-STARTTLS\r\n"
	  "250-CHUNKING\r\n250-BINARYMIME\r\n250-SMTPUTF8\r\n250-DSN\r\n250-LIMITS RCPTMAX=100\r\n250-DELIVERBY\r\n"
	  "250-FUTURERELEASE 604800 2026-01-08T00:00:00Z\r\n250 MT-PRIORITY\r\n" },
	{ "EHLO without a name", LIT("EHLO\r\n"), "501 5.5.4 *" },
	{ "MAIL before EHLO", LIT("MAIL FROM:<a@example.com>\r\n"), "503 5.5.1 EHLO first\r\n" },
	{ "RCPT before MAIL", LIT("HELO c\r\nRCPT TO:<b@example.net>\r\n"),
	  HELLO "503 5.5.1 MAIL first\r\n" },
	{ "DATA before MAIL", LIT("HELO c\r\nDATA\r\n"), HELLO "503 5.5.1 *" },
	{ "DATA without a good RCPT", LIT("HELO c\r\nMAIL FROM:<a@example.com>\r\nDATA\r\n"),
	  HELLO "250 2.1.0 Ok\r\n554 5.5.1 No valid recipients\r\n" },
	{ "MAIL inside a transaction", LIT(OPEN "MAIL FROM:<c@example.com>\r\n"), OPENED "503 5.5.1 *" },
	{ "the null reverse-path", LIT("HELO c\r\nMAIL FROM:<>\r\n"), HELLO "250 2.1.0 Ok\r\n" },
	{ "a sender that is not allowed", LIT("HELO c\r\nMAIL FROM:<x@foo.test>\r\n"),
	  HELLO "550 5.7.1 x@foo.test is not allowed here as a sender (access.senders)\r\n" },
	{ "postmaster without a domain", LIT("HELO c\r\nMAIL FROM:<>\r\nRCPT TO:<Postmaster>\r\n"),
	  HELLO "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n" },
	{ "a source route", LIT("HELO c\r\nMAIL FROM:<>\r\nRCPT TO:<@a.test,@b.test:b@example.net>\r\n"),
	  HELLO "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n" },
	{ "an address literal", LIT("HELO c\r\nMAIL FROM:<>\r\nRCPT TO:<b@[192.0.2.1]>\r\n"),
	  HELLO "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n" },
	{ "a quoted local part", LIT("HELO c\r\nMAIL FROM:<>\r\nRCPT TO:<\"a b\"@example.net>\r\n"),
	  HELLO "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n" },
	{ "a declared size over the limit", LIT("EHLO c\r\nMAIL FROM:<a@example.com> SIZE=70000\r\n"),
	  "250-*" },
	{ "an unknown parameter", LIT("HELO c\r\nMAIL FROM:<> FOO=1\r\n"), HELLO "555 5.5.4 *" },
	{ "a parameter of RCPT", LIT("HELO c\r\nMAIL FROM:<>\r\nRCPT TO:<b@example.net> NOTIFY=NEVER\r\n"),
	  HELLO "250 2.1.0 Ok\r\n555 5.5.4 *" },
	{ "a route that rejects", LIT("HELO c\r\nMAIL FROM:<>\r\nRCPT TO:<b@refused.test>\r\n"),
	  HELLO "250 2.1.0 Ok\r\n550 5.7.1 b@refused.test is rejected by a route (routes) *" },
	{ "the second recipient stays after the first was refused",
	  LIT("HELO c\r\nMAIL FROM:<>\r\nRCPT TO:<b@refused.test>\r\nRCPT TO:<b@example.net>\r\n"),
	  HELLO
	  "250 2.1.0 Ok\r\n550 5.7.1 b@refused.test is rejected by a route (routes) [0100000000000]\r\n250 2.1.5 Ok\r\n" },
	{ "RSET forgets", LIT(OPEN "RSET\r\nDATA\r\n"), OPENED "250 2.0.0 Forgotten\r\n503 5.5.1 *" },
	{ "EHLO forgets", LIT(OPEN "HELO c\r\nDATA\r\n"), OPENED HELLO "503 5.5.1 *" },
	{ "VRFY, NOOP, HELP, EXPN", LIT("HELO c\r\nVRFY a\r\nNOOP x\r\nEXPN l\r\n"),
	  HELLO
	  "252 2.1.5 Send some mail, it will be tried\r\n250 2.0.0 Ok\r\n502 5.5.1 EXPN is not to be had here\r\n" },
	{ "HELP names what is to be had", LIT("HELP\r\nHELP bdat\r\nHELP AUTH\r\nHELP WIZ\r\n"),
	  "214 2.0.0 HELO EHLO STARTTLS MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT as in RFC 5321\r\n"
	  "214 2.0.0 BDAT octets [LAST]; then so many octets of the message\r\n"
	  "504 5.5.4 No help on that; HELP alone names the commands\r\n"
	  "504 5.5.4 No help on that; HELP alone names the commands\r\n" },
	{ "an unknown command", LIT("FOO\r\n"), "500 5.5.2 Command not recognised\r\n" },
	{ "QUIT", LIT("QUIT\r\nNOOP\r\n"), "221 2.0.0 relay.test says goodbye\r\n" },
	{ "what stands behind a bare LF is not acted on", LIT("HELO c\nNOOP\r\n"),
	  "500 5.5.2 Only CR LF ends a line; closing\r\n" },
	{ "a NUL in a command", LIT("NO\0OP\r\n"), "500 5.5.2 *" },
	{ "a browser", LIT("GET / HTTP/1.1\r\nHost: x\r\n"), "554 5.5.0 This is SMTP, not HTTP\r\n" },
	{ "too many errors", LIT("A\r\nB\r\nC\r\nD\r\nE\r\nF\r\nG\r\n"),
	  "500 5.5.2 Command not recognised\r\n500 5.5.2 Command not recognised\r\n500 5.5.2 Command not recognised\r\n"
	  "500 5.5.2 Command not recognised\r\n500 5.5.2 Command not recognised\r\n500 5.5.2 Command not recognised\r\n"
	  "421 4.7.0 Too many errors, closing\r\n" },
	{ "a message", LIT(OPEN "DATA\r\nSubject: x\r\n\r\nhello\r\n.\r\nQUIT\r\n"),
	  OPENED "354 Go ahead, end with CR LF . CR LF\r\n250 2.0.0 queued as 01000000000000000000000000\r\n"
	         "221 2.0.0 relay.test says goodbye\r\n" },
	{ "a message too large, and the next command in step",
	  LIT(OPEN "DATA\r\n"
	           "1234567890123456789012345678901234567890123456789012345678901234\r\n"
	           ".\r\nNOOP\r\n"),
	  OPENED "354 *" },
	{ "a bare LF in the data", LIT(OPEN "DATA\r\nhello\nworld\r\n.\r\nNOOP\r\n"),
	  OPENED
	  "354 Go ahead, end with CR LF . CR LF\r\n"
	  "550 5.5.2 The message has line ends other than CR LF (listen.bare_lf) [0100000000000]\r\n250 2.0.0 Ok\r\n" },
	{ "LF . LF ends nothing", LIT(OPEN "DATA\r\nhello\n.\nMAIL FROM:<x@example.com>\r\n.\r\n"),
	  OPENED "354 Go ahead, end with CR LF . CR LF\r\n550 5.5.2 *" },
	{ "CR LF . LF ends nothing", LIT(OPEN "DATA\r\nhello\r\n.\nMAIL FROM:<x@example.com>\r\n.\r\n"),
	  OPENED "354 Go ahead, end with CR LF . CR LF\r\n550 5.5.2 *" },
	{ "CR . CR ends nothing", LIT(OPEN "DATA\r\nhello\r.\rMAIL FROM:<x@example.com>\r\n.\r\n"),
	  OPENED "354 Go ahead, end with CR LF . CR LF\r\n550 5.5.2 *" },
	{ "a line that begins with NUL, and the next command in step",
	  LIT(OPEN "DATA\r\nhello\r\n\0.\r\nworld\r\n.\r\nNOOP\r\n"),
	  OPENED
	  "354 Go ahead, end with CR LF . CR LF\r\n550 5.6.0 A line of the message begins with NUL [0100000000000]\r\n250 2.0.0 Ok\r\n" },
	{ "a message that begins with NUL", LIT(OPEN "DATA\r\n\0.\r\n.\r\n"),
	  OPENED "354 Go ahead, end with CR LF . CR LF\r\n550 5.6.0 *" },
	{ "NUL inside a line", LIT(OPEN "DATA\r\nhel\0lo\r\n.\r\n"),
	  OPENED "354 Go ahead, end with CR LF . CR LF\r\n250 2.0.0 *" },
	{ "a loop",
	  LIT(OPEN
	      "DATA\r\nReceived: a\r\nReceived: b\r\nReceived: c\r\nReceived: d\r\nreceived: e\r\nRECEIVED: f\r\n\r\nx\r\n.\r\n"),
	  OPENED "354 Go ahead, end with CR LF . CR LF\r\n554 5.4.6 *" },
};

static bool fits(const char *wanted, struct text told)
{
	size_t len = strlen(wanted);

	if (len && wanted[len - 1] == '*')
		return told.len >= len - 1 && memcmp(told.at, wanted, len - 1) == 0;
	return told.len == len && memcmp(told.at, wanted, len) == 0;
}

static void dialogues_go_as_written(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(dialogues); i++) {
		/* whole, and in the smallest pieces: nothing may depend on how the octets came */
		for (size_t piece = 1; piece < 5000; piece = piece * 7 + 1) {
			struct bench b;
			struct text told;

			bench_open(&b, relay_yaml, true);
			bench_feed(&b, dialogues[i].said, piece);
			told = buf_text(&b.said);
			if (!text_starts(told, TEXT(GREETING)) ||
			    !fits(dialogues[i].told, text_skip(told, strlen(GREETING))))
				fail_msg("%s (pieces of %zu): told\n%.*s", dialogues[i].name, piece,
				         TEXT_ARGS(told));
			bench_close(&b);
		}
	}
}

/* ---------------------------------------------------------------- single facts */

static void a_message_is_handed_over_whole(void **state)
{
	struct bench b;

	(void)state;
	bench_open(&b, relay_yaml, true);
	bench_feed(
		&b,
		TEXT("EHLO c.test\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@Example.NET>\r\nRCPT TO:<postmaster>\r\n"
	             "RCPT TO:<b@Example.NET>\r\nDATA\r\n..dot\r\n\r\nend\r\n.\r\n"),
		4096);
	assert_string_equal(b.recipients,
	                    "<a@example.com> b@Example.NET(example.net) admin@example.com(example.com)");
	assert_int_equal(b.stored.len, strlen(".dot\r\n\r\nend\r\n"));
	assert_memory_equal(b.stored.at, ".dot\r\n\r\nend\r\n", b.stored.len);
	assert_true(text_starts(buf_text(&b.trace), TEXT("Received: from c.test")));
	assert_true(text_find(buf_text(&b.trace), TEXT("with ESMTP id 0100000000")) < b.trace.len);
	bench_close(&b);
}

static void the_250_comes_from_the_decision_only(void **state)
{
	struct bench b;
	struct text said = TEXT(OPEN "DATA\r\nhello\r\n.\r\nNOOP\r\n");
	size_t taken;

	(void)state;
	bench_open(&b, relay_yaml, true);
	taken = receive_session_feed(&b.session, said);
	bench_collect(&b);
	assert_int_equal(taken, said.len - strlen("NOOP\r\n"));
	assert_false(receive_session_wants_input(&b.session));
	assert_true(text_ends(buf_text(&b.said), TEXT("354 Go ahead, end with CR LF . CR LF\r\n")));
	bench_decide(&b, ERR_OK);
	bench_collect(&b);
	assert_true(text_ends(buf_text(&b.said), TEXT("250 2.0.0 queued as 01000000000000000000000000\r\n")));
	assert_true(receive_session_wants_input(&b.session));
	bench_close(&b);
}

static void a_full_spool_is_452(void **state)
{
	struct bench b;

	(void)state;
	bench_open(&b, relay_yaml, true);
	receive_session_feed(&b.session, TEXT(OPEN "DATA\r\nhello\r\n.\r\n"));
	bench_decide(&b, ERR_FULL);
	bench_collect(&b);
	assert_true(text_find(buf_text(&b.said), TEXT("\r\n452 4.3.1 ")) < b.said.len);
	b.open_err = ERR_FULL;
	receive_session_feed(&b.session,
	                     TEXT("MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n"));
	buf_reset(&b.said);
	bench_collect(&b);
	assert_true(text_find(buf_text(&b.said), TEXT("\r\n452 4.3.1 ")) < b.said.len);
	bench_close(&b);
}

static void a_disk_that_fails_in_the_data_is_451_after_the_dot(void **state)
{
	struct bench b;

	(void)state;
	bench_open(&b, relay_yaml, true);
	b.write_err = ERR_IO;
	bench_feed(&b, TEXT(OPEN "DATA\r\nhello\r\nworld\r\n.\r\nNOOP\r\n"), 9);
	assert_true(text_find(buf_text(&b.said), TEXT("451 4.3.0 ")) < b.said.len);
	assert_true(text_ends(buf_text(&b.said), TEXT("250 2.0.0 Ok\r\n")));
	bench_close(&b);
}

static void a_message_over_the_limit_is_read_to_its_end(void **state)
{
	struct bench b;
	struct buf said = BUF(1u << 20);

	(void)state;
	bench_open(&b, relay_yaml, true);
	buf_add_string(&said, OPEN "DATA\r\n");
	for (int i = 0; i < 2000; i++)
		buf_add_string(&said, "a line that is repeated until the message is too large\r\n");
	buf_add_string(&said, ".\r\nNOOP\r\n");
	bench_feed(&b, buf_text(&said), 1000);
	assert_true(
		text_ends(buf_text(&b.said),
	                  TEXT("552 5.3.4 The message is too large for this relay (access.max_message_size) "
	                       "[0100000000000]\r\n250 2.0.0 Ok\r\n")));
	buf_fini(&said);
	bench_close(&b);
}

static void a_stranger_may_not_relay_and_learns_no_rule(void **state)
{
	struct bench b;

	(void)state;
	bench_open(&b, relay_yaml, false);
	/* waits for the answer to HELO, as a stranger has to */
	bench_feed(&b, TEXT("HELO c\r\n"), 100);
	bench_feed(&b, TEXT("MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.net>\r\n"), 100);
	assert_true(text_find(buf_text(&b.said), TEXT("550 5.7.1 b@example.net may not be sent to")) <
	            b.said.len);
	assert_true(text_find(buf_text(&b.said), TEXT("(")) == b.said.len);
	bench_close(&b);
}

static void what_follows_starttls_is_not_acted_on(void **state)
{
	struct bench b;
	struct text said = TEXT("EHLO c\r\nSTARTTLS\r\nRSET\r\n");
	struct tls_info info = { .version = TLS_1_3, .cipher = TEXT("TLS_AES_128_GCM_SHA256") };
	size_t taken;

	(void)state;
	bench_open(&b, relay_yaml, true);
	taken = receive_session_feed(&b.session, said);
	assert_true(b.tls_asked);
	assert_int_equal(taken, said.len - strlen("RSET\r\n"));
	assert_false(receive_session_wants_input(&b.session));
	receive_session_tls_done(&b.session, ERR_OK, &info);
	buf_reset(&b.session.out);
	/* the EHLO from before is forgotten, and TLS is not offered again */
	bench_feed(&b, TEXT("MAIL FROM:<>\r\nSTARTTLS\r\nEHLO c\r\n"), 100);
	assert_true(text_starts(buf_text(&b.said),
	                        TEXT("503 5.5.1 EHLO first\r\n503 5.5.1 TLS is running already\r\n250-")));
	assert_true(text_find(buf_text(&b.said), TEXT("STARTTLS")) == b.said.len);
	bench_close(&b);
}

static void where_tls_is_demanded_nothing_passes_before_it(void **state)
{
	struct bench b;

	(void)state;
	bench_open(&b,
	           "hostname: relay.test\nlisten: [{address: 127.0.0.1:25, tls: require, cert: a, key: b}]\n"
	           "routes: [{to: any, via: direct}]\n",
	           true);
	bench_feed(&b, TEXT("EHLO c\r\nMAIL FROM:<>\r\nNOOP\r\n"), 100);
	assert_true(text_find(buf_text(&b.said), TEXT("\r\n530 5.7.0 STARTTLS first\r\n250 2.0.0 Ok\r\n")) <
	            b.said.len);
	bench_close(&b);
}

static void the_101st_recipient_is_452(void **state)
{
	struct bench b;
	char line[64];

	(void)state;
	bench_open(&b, relay_yaml, true);
	bench_feed(&b, TEXT("HELO c\r\nMAIL FROM:<>\r\n"), 100);
	for (int i = 0; i < 101; i++) {
		int n = snprintf(line, sizeof(line), "RCPT TO:<user%d@example.net>\r\n", i);

		buf_reset(&b.said);
		bench_feed(&b, text_of(line, (size_t)n), 100);
		assert_true(
			text_starts(buf_text(&b.said), i < 100 ? TEXT("250 2.1.5 ") : TEXT("452 4.5.3 ")));
	}
	bench_feed(&b, TEXT("DATA\r\nx\r\n.\r\n"), 100);
	assert_true(text_ends(buf_text(&b.said), TEXT("250 2.0.0 queued as 01000000000000000000000000\r\n")));
	bench_close(&b);
}

static void silence_is_421(void **state)
{
	struct bench b;

	(void)state;
	bench_open(&b, relay_yaml, true);
	bench_feed(&b, TEXT(OPEN "DATA\r\nhalf a mess"), 100);
	receive_session_timed_out(&b.session);
	bench_collect(&b);
	assert_true(b.closed);
	assert_true(text_find(buf_text(&b.said), TEXT("421 4.4.2 relay.test ")) < b.said.len);
	bench_close(&b);
}

static void a_stop_waits_for_the_transaction(void **state)
{
	struct bench b;

	(void)state;
	bench_open(&b, relay_yaml, true);
	bench_feed(&b, TEXT(OPEN), 100);
	assert_false(receive_session_stop(&b.session));
	bench_feed(&b, TEXT("DATA\r\nx\r\n.\r\n"), 100);
	assert_true(text_ends(buf_text(&b.said), TEXT("queued as 01000000000000000000000000\r\n")));
	assert_true(receive_session_stop(&b.session));
	bench_collect(&b);
	assert_true(
		text_ends(buf_text(&b.said), TEXT("421 4.3.2 relay.test is stopping, come back soon\r\n")));
	assert_true(b.closed);
	bench_close(&b);
}

static void a_second_message_with_bare_line_ends_ends_the_session(void **state)
{
	struct bench b;

	(void)state;
	bench_open(&b, relay_yaml, true);
	bench_feed(
		&b,
		TEXT(OPEN
	             "DATA\r\na\nb\r\n.\r\nMAIL FROM:<>\r\nRCPT TO:<b@example.net>\r\nDATA\r\na\nb\r\n.\r\nNOOP\r\n"),
		50);
	assert_true(b.closed);
	assert_true(text_ends(buf_text(&b.said),
	                      TEXT("421 4.7.0 Line ends other than CR LF again, closing\r\n")));
	bench_close(&b);
}

static void a_busy_draft_holds_up_the_input(void **state)
{
	struct bench b;
	struct text said = TEXT(OPEN "DATA\r\nfirst line\r\n");

	(void)state;
	bench_open(&b, relay_yaml, true);
	receive_session_feed(&b.session, said);
	b.busy = true;
	assert_false(receive_session_wants_input(&b.session));
	assert_int_equal(receive_session_feed(&b.session, TEXT("more\r\n")), 0);
	b.busy = false;
	bench_feed(&b, TEXT("more\r\n.\r\n"), 100);
	assert_int_equal(b.stored.len, strlen("first line\r\nmore\r\n"));
	bench_close(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dialogues_go_as_written),
		cmocka_unit_test(a_message_is_handed_over_whole),
		cmocka_unit_test(the_250_comes_from_the_decision_only),
		cmocka_unit_test(a_full_spool_is_452),
		cmocka_unit_test(a_disk_that_fails_in_the_data_is_451_after_the_dot),
		cmocka_unit_test(a_message_over_the_limit_is_read_to_its_end),
		cmocka_unit_test(a_stranger_may_not_relay_and_learns_no_rule),
		cmocka_unit_test(what_follows_starttls_is_not_acted_on),
		cmocka_unit_test(where_tls_is_demanded_nothing_passes_before_it),
		cmocka_unit_test(the_101st_recipient_is_452),
		cmocka_unit_test(silence_is_421),
		cmocka_unit_test(a_stop_waits_for_the_transaction),
		cmocka_unit_test(a_second_message_with_bare_line_ends_ends_the_session),
		cmocka_unit_test(a_busy_draft_holds_up_the_input),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
