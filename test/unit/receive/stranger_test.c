/* What strangers are held to, and those who may relay are not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>

#include "support/receive_bench.h"

static const char yaml[] =
	"hostname: relay.test\n"
	"listen: [{name: in, address: 127.0.0.1:2525, accept_for: [example.net], max_errors: 10}]\n"
	"routes: [{to: any, via: direct}]\n";

static bool begins(struct text told, const char *words)
{
	return text_starts(told, text_from(words));
}

static bool has(struct text told, const char *words)
{
	return text_find(told, text_from(words)) < told.len;
}

static void mail_in_one_breath_with_ehlo_is_refused(void **state)
{
	static const char *const greetings[] = { "EHLO c\r\n", "HELO c\r\n" };
	struct bench b;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(greetings); i++) {
		char said[200];

		snprintf(said, sizeof(said), "%sMAIL FROM:<a@example.com>\r\n", greetings[i]);
		bench_open(&b, yaml, false);
		assert_true(has(bench_say(&b, said), "554 5.5.0 You did not wait"));
		assert_true(b.closed);
		bench_close(&b);
		bench_open(&b, yaml, true);
		assert_true(has(bench_say(&b, said), "250 2.1.0 Ok"));
		bench_close(&b);
	}
	bench_open(&b, yaml, false);
	(void)bench_say(&b, "EHLO c\r\nNOOP\r\n"); /* nothing but MAIL matters */
	(void)bench_say(&b, "EHLO c\r\n");         /* and it may begin anew */
	assert_true(begins(bench_say(&b, "MAIL FROM:<a@example.com>\r\n"), "250"));
	bench_close(&b);
}

static void content_before_the_354_is_refused_and_nothing_of_it_kept(void **state)
{
	struct bench b;

	(void)state;
	bench_open(&b, yaml, false);
	(void)bench_say(&b, "EHLO c\r\n");
	/* a group may end in DATA */
	(void)bench_say(&b, "MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n");
	assert_true(begins(bench_say(&b, "Subject: x\r\n\r\nx\r\n.\r\n"), "250 2.0.0 queued"));
	assert_true(has(
		bench_say(
			&b,
			"MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.net>\r\nDATA\r\nSubject: y\r\n\r\ny\r\n.\r\n"),
		"554 5.5.0 The content came before"));
	assert_false(has(buf_text(&b.said), "354"));
	assert_true(b.closed && !b.has_draft == (b.session.transaction == NULL));
	assert_true(has(buf_text(&b.stored), "Subject: x"));
	bench_close(&b);
	bench_open(&b, yaml, true);
	(void)bench_say(&b, "EHLO c\r\n");
	assert_true(has(
		bench_say(
			&b,
			"MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.net>\r\nDATA\r\nSubject: y\r\n\r\ny\r\n.\r\n"),
		"250 2.0.0 queued"));
	bench_close(&b);
}

static void a_record_of_tls_is_no_command(void **state)
{
	struct bench b;

	(void)state;
	bench_open(&b, yaml, true);
	bench_feed(&b, TEXT("\x16\x03\x01\x00\x05hello\r\n"), 1);
	assert_true(has(buf_text(&b.said), "554 5.5.0 This port does not speak TLS from the first octet"));
	assert_true(b.closed);
	bench_close(&b);
	bench_open(&b, yaml, true);
	(void)bench_say(&b, "EHLO c\r\n");
	assert_true(begins(bench_say(&b, "\x16\x03\x01\r\n"), "500 5.5.2")); /* later it is only odd */
	bench_close(&b);
}

static void errors_make_a_stranger_wait_and_nobody_else(void **state)
{
	struct bench b;

	(void)state;
	for (int trusted = 0; trusted < 2; trusted++) {
		bench_open(&b, yaml, trusted);
		for (int i = 1; i < 10; i++) {
			assert_int_equal(receive_session_feed(&b.session, TEXT("FOO\r\n")), 5);
			assert_int_equal(b.session.rests, !trusted && i > 5);
			receive_session_rested(&b.session);
		}
		assert_true(has(bench_say(&b, "FOO\r\n"), "421 4.7.0 Too many errors"));
		assert_true(b.closed);
		bench_close(&b);
	}
}

static void while_it_waits_nothing_is_taken(void **state)
{
	struct bench b;

	(void)state;
	bench_open(&b, yaml, false);
	b.session.errors = 7;
	assert_int_equal(receive_session_feed(&b.session, TEXT("FOO\r\nNOOP\r\n")), 5);
	assert_true(b.rested && !receive_session_wants_input(&b.session));
	assert_int_equal(receive_session_feed(&b.session, TEXT("NOOP\r\n")), 0);
	receive_session_rested(&b.session);
	assert_int_equal(receive_session_feed(&b.session, TEXT("NOOP\r\n")), 6);
	bench_close(&b);
}

static void a_hundred_commands_that_lead_nowhere_are_free(void **state)
{
	static const char *const junk[] = { "NOOP\r\n", "RSET\r\n",   "VRFY a\r\n",
		                            "HELP\r\n", "HELO c\r\n", "EHLO c\r\n" };
	struct bench b;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(junk); i++) {
		unsigned n = 0;

		bench_open(&b, yaml, true);
		while (!b.closed && n < 1000) {
			(void)bench_say(&b, junk[i]);
			n++;
		}
		assert_in_range(n, 110, 110); /* a hundred, and max_errors */
		bench_close(&b);
	}
}

static void limits_are_told_with_their_time_and_to_friends_with_their_name(void **state)
{
	struct bench b;

	(void)state;
	bench_open(&b, yaml, true);
	(void)bench_say(&b, "EHLO c\r\n");
	b.limited = true;
	assert_true(begins(bench_say(&b, "MAIL FROM:<a@example.com>\r\n"),
	                   "450 4.7.1 Too much, come back in 3.0 s (a limit)\r\n"));
	assert_int_equal(b.session.errors, 0); /* to have too much to send is no error */
	b.limited = false;
	(void)bench_say(&b, "MAIL FROM:<a@example.com>\r\n");
	b.limited = true;
	assert_true(begins(bench_say(&b, "RCPT TO:<b@example.net>\r\n"),
	                   "450 4.7.1 b@example.net Too much, come back in 3.0 s (a limit)"));
	assert_true(begins(bench_say(&b, "RSET\r\nSTARTTLS\r\n"), "250 2.0.0 Forgotten\r\n450 4.7.1"));
	bench_close(&b);
	bench_open(&b, yaml, false);
	(void)bench_say(&b, "EHLO c\r\n");
	b.limited = true;
	assert_true(begins(bench_say(&b, "MAIL FROM:<a@example.com>\r\n"),
	                   "450 4.7.1 Too much, come back in 3.0 s\r\n"));
	bench_close(&b);
}

static void say_of_recipient(struct bench *b, enum policy_verdict verdict)
{
	assert_true(b->policy_runs);
	b->policy_runs = false;
	receive_session_policy_answered(
		&b->session,
		&(struct policy_answer){ .verdict = verdict, .reply = { 550, "5.7.1", TEXT("not so") } });
	bench_collect(b);
}

/* Whom the service refuses is given back once, and is none of the message. */
static void what_a_service_refuses_is_given_back_once(void **state)
{
	static const char asking[] = "hostname: relay.test\n"
				     "listen: [{name: in, address: 127.0.0.1:2525}]\n"
				     "access: {policy_service: {address: '127.0.0.1:10031'}}\n"
				     "routes: [{to: any, via: direct}]\n";
	struct bench b;

	(void)state;
	bench_open(&b, asking, true);
	b.has_policy = true;
	(void)bench_say(&b, "EHLO c\r\n");
	(void)bench_say(&b, "MAIL FROM:<a@example.com>\r\n");
	(void)bench_say(&b, "RCPT TO:<b@example.net>\r\n");
	say_of_recipient(&b, POLICY_REFUSE);
	assert_true(begins(buf_text(&b.said), "550 5.7.1 b@example.net not so"));
	assert_int_equal(b.session.phase, PHASE_MAIL);
	(void)bench_say(&b, "RCPT TO:<c@example.net>\r\n");
	say_of_recipient(&b, POLICY_PASS);
	(void)bench_say(&b, "RCPT TO:<d@example.net>\r\n");
	say_of_recipient(&b, POLICY_REFUSE);
	assert_int_equal(b.session.transaction->envelope->recipient_count, 1);
	assert_int_equal(b.taken[RECEIVE_LIMIT_RECIPIENT], 3);
	assert_int_equal(b.given_back, 2);
	(void)bench_say(&b, "RSET\r\n");
	assert_int_equal(b.given_back, 3);
	bench_close(&b);
}

static void recipients_are_given_back_when_no_mail_comes_of_them(void **state)
{
	struct bench b;

	(void)state;
	bench_open(&b, yaml, true);
	(void)bench_say(&b, "EHLO c\r\n");
	(void)bench_say(&b,
	                "MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.net>\r\nRCPT TO:<c@example.net>\r\n"
	                "RCPT TO:<b@example.net>\r\nRCPT TO:<bad@@>\r\n");
	assert_int_equal(b.taken[RECEIVE_LIMIT_RECIPIENT], 2); /* once is enough, and a bad one is none */
	(void)bench_say(&b, "RSET\r\n");
	assert_int_equal(b.given_back, 2);
	(void)bench_say(&b, "MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.net>\r\n");
	(void)bench_say(&b, "DATA\r\nSubject: x\r\n\r\nx\r\n.\r\n");
	assert_int_equal(b.given_back, 2); /* that one became mail */
	(void)bench_say(&b, "MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.net>\r\n");
	b.open_err = ERR_FULL;
	(void)bench_say(&b, "DATA\r\n");
	assert_int_equal(b.given_back, 3);
	bench_close(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mail_in_one_breath_with_ehlo_is_refused),
		cmocka_unit_test(content_before_the_354_is_refused_and_nothing_of_it_kept),
		cmocka_unit_test(a_record_of_tls_is_no_command),
		cmocka_unit_test(errors_make_a_stranger_wait_and_nobody_else),
		cmocka_unit_test(while_it_waits_nothing_is_taken),
		cmocka_unit_test(a_hundred_commands_that_lead_nowhere_are_free),
		cmocka_unit_test(limits_are_told_with_their_time_and_to_friends_with_their_name),
		cmocka_unit_test(what_a_service_refuses_is_given_back_once),
		cmocka_unit_test(recipients_are_given_back_when_no_mail_comes_of_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
