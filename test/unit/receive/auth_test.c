/* The dialogue of AUTH as the session has it: who may begin one, what goes through, how each end is told, and what waits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "auth/internal.h"
#include "support/receive_bench.h"

static const char open_yaml[] =
	"hostname: relay.test\n"
	"listen: [{name: in, address: 127.0.0.1:2525, auth: optional, allow: [192.0.2.0/24], max_errors: 8}]\n"
	"access: {users_file: /users}\n"
	"routes: [{to: any, via: direct}]\n";
static const char required_yaml[] =
	"hostname: relay.test\n"
	"listen: [{name: in, address: 127.0.0.1:2525, auth: required, auth_plaintext: true, allow: [127.0.0.0/8]}]\n"
	"access: {users_file: /users}\n"
	"routes: [{to: any, via: direct}]\n";
static const char none_yaml[] = "hostname: relay.test\n"
				"listen: [{name: in, address: 127.0.0.1:2525}]\n"
				"routes: [{to: any, via: direct}]\n";

static void open_greeted(struct bench *b, const char *yaml)
{
	bench_open(b, yaml, false);
	b->auth_mechanisms = AUTH_PLAIN | AUTH_LOGIN;
	b->knows_users = true;
	(void)bench_say(b, "EHLO c\r\n");
}

static void expect(struct bench *b, const char *words, const char *answer)
{
	struct text told = bench_say(b, words);

	if (!text_starts(told, text_from(answer)) || (answer[0] == 0 && told.len))
		fail_msg("%.100s was answered %.*s", words, TEXT_ARGS(told));
}

/* What the mechanism says, and what the client hears of it. */
static void step(struct bench *b, enum auth_step_kind kind, const char *answer)
{
	static const struct auth nobody;
	struct auth_step s = { .kind = kind,
		               .challenge = kind == AUTH_CHALLENGE ? TEXT("VXNlcm5hbWU6") : TEXT_EMPTY,
		               .mechanism = AUTH_LOGIN,
		               .name = TEXT("ann"),
		               .why = TEXT("for a reason") };

	if (kind == AUTH_DONE)
		assert_int_equal(auth_user_new(&nobody, TEXT("ann"), &s.user), ERR_OK);
	if (kind != AUTH_CHALLENGE)
		b->auth_runs = false;
	buf_reset(&b->said);
	receive_session_auth_step(&b->session, &s);
	bench_collect(b);
	auth_user_unref(&s.user);
	if (!text_starts(buf_text(&b->said), text_from(answer)))
		fail_msg("a step was answered %.*s", TEXT_ARGS(buf_text(&b->said)));
}

static void a_dialogue_begins_only_where_it_may(void **state)
{
	struct bench b;

	(void)state;
	bench_open(&b, open_yaml, false);
	b.auth_mechanisms = AUTH_PLAIN;
	expect(&b, "AUTH PLAIN\r\n", "220 relay.test ESMTP postrider\r\n503 5.5.1 EHLO first");
	expect(&b, "HELO c\r\n", "250");
	expect(&b, "AUTH PLAIN\r\n", "503 5.5.1 EHLO first");
	expect(&b, "EHLO c\r\n", "250");
	expect(&b, "AUTH\r\n", "501 5.5.4");
	expect(&b, "AUTH PLAIN AA== BB==\r\n", "501 5.5.4");
	expect(&b, "MAIL FROM:<a@example.com>\r\n", "250");
	expect(&b, "AUTH PLAIN\r\n", "503 5.5.1 Not inside a transaction");
	assert_false(b.auth_runs);
	bench_close(&b);
}

static void without_mechanisms_it_is_said_why(void **state)
{
	struct bench b;

	(void)state;
	open_greeted(&b, none_yaml);
	b.auth_mechanisms = 0;
	expect(&b, "AUTH PLAIN\r\n", "502 5.5.1 AUTH is not to be had here");
	bench_close(&b);
	open_greeted(&b, open_yaml);
	b.auth_mechanisms = 0;
	expect(&b, "AUTH PLAIN\r\n", "538 5.7.11"); /* STARTTLS is offered */
	bench_close(&b);
}

static void challenges_and_answers_go_through_as_they_are(void **state)
{
	struct bench b;

	(void)state;
	open_greeted(&b, open_yaml);
	expect(&b, "auth login =\r\n", "");
	assert_true(text_eq(buf_text(&b.auth_said), TEXT("login =")));
	step(&b, AUTH_CHALLENGE, "334 VXNlcm5hbWU6\r\n");
	expect(&b, "*\r\n", "");
	assert_true(text_eq(buf_text(&b.auth_said), TEXT("*")));
	step(&b, AUTH_CANCELLED, "501 5.7.0 ");
	expect(&b, "NOOP\r\n", "250"); /* a command again */
	bench_close(&b);
}

static void what_is_said_while_a_step_is_computed_waits(void **state)
{
	struct text said = TEXT("AUTH LOGIN\r\nYW5u\r\nc2VjcmV0\r\nMAIL FROM:<a@example.com>\r\n");
	struct bench b;
	size_t taken;

	(void)state;
	open_greeted(&b, open_yaml);
	taken = receive_session_feed(&b.session, said);
	assert_int_equal(taken, 12);
	assert_false(receive_session_wants_input(&b.session));
	assert_int_equal(receive_session_feed(&b.session, text_skip(said, taken)), 0);
	step(&b, AUTH_CHALLENGE, "334 ");
	taken += receive_session_feed(&b.session, text_skip(said, taken));
	assert_true(text_eq(buf_text(&b.auth_said), TEXT("YW5u")));
	step(&b, AUTH_CHALLENGE, "334 ");
	taken += receive_session_feed(&b.session, text_skip(said, taken));
	assert_true(text_eq(buf_text(&b.auth_said), TEXT("c2VjcmV0")));
	step(&b, AUTH_DONE, "235 2.7.0 ");
	taken += receive_session_feed(&b.session, text_skip(said, taken));
	assert_int_equal(taken, said.len);
	bench_collect(&b);
	assert_true(text_ends(buf_text(&b.said), TEXT("250 2.1.0 Ok\r\n")));
	bench_close(&b);
}

static void a_login_gives_rights_until_starttls(void **state)
{
	struct bench b;

	(void)state;
	open_greeted(&b, open_yaml);
	assert_false(b.session.may_relay);
	expect(&b, "AUTH PLAIN AGFubgB4\r\n", "");
	step(&b, AUTH_DONE, "235");
	assert_true(b.session.may_relay && text_eq(receive_session_user(&b.session), TEXT("ann")));
	expect(&b, "AUTH PLAIN AGFubgB4\r\n", "503 5.5.1");
	expect(&b, "STARTTLS\r\n", "220");
	bench_protect(&b);
	assert_false(b.session.may_relay);
	assert_int_equal(receive_session_user(&b.session).len, 0);
	expect(&b, "AUTH PLAIN AGFubgB4\r\n", "503 5.5.1 EHLO first");
	expect(&b, "EHLO c\r\n", "250");
	expect(&b, "AUTH PLAIN AGFubgB4\r\n", "");
	bench_close(&b);
}

static void lines_may_be_long_in_a_dialogue_and_nowhere_else(void **state)
{
	static char line[SMTP_AUTH_LINE_MAX + 200];
	struct bench b;

	(void)state;
	open_greeted(&b, open_yaml);
	memset(line, 'A', sizeof(line));
	memcpy(line, "AUTH PLAIN ", 11);
	memcpy(line + 8000, "\r\n", 3);
	expect(&b, line, "");
	assert_int_equal(b.auth_said.len, 8000 - 5);
	step(&b, AUTH_CHALLENGE, "334 ");
	memset(line, 'A', sizeof(line));
	memcpy(line + SMTP_AUTH_LINE_MAX, "\r\n", 3);
	expect(&b, line, "");
	assert_int_equal(b.auth_said.len, SMTP_AUTH_LINE_MAX);
	step(&b, AUTH_CHALLENGE, "334 ");
	memset(line, 'A', sizeof(line));
	memcpy(line + SMTP_AUTH_LINE_MAX + 1, "\r\n", 3);
	expect(&b, line, "500 5.5.6 ");
	assert_false(b.auth_runs);
	memcpy(line, "NOOP ", 5);
	memcpy(line + SMTP_COMMAND_LINE_MAX + 1, "\r\n", 3);
	expect(&b, line, "500 5.5.2 Line too long");
	expect(&b, "NOOP\r\n", "250");
	bench_close(&b);
}

static void a_line_that_is_none_ends_the_dialogue(void **state)
{
	struct bench b;

	(void)state;
	open_greeted(&b, open_yaml);
	expect(&b, "AUTH LOGIN\r\n", "");
	step(&b, AUTH_CHALLENGE, "334 ");
	expect(&b, "YW\r5u\r\n", "501 5.5.2");
	assert_false(b.auth_runs);
	expect(&b, "AUTH LOGIN\r\n", "");
	step(&b, AUTH_CHALLENGE, "334 ");
	expect(&b, "YW5u\nMAIL FROM:<a@example.com>\r\n", "500 5.5.2 Only CR LF");
	assert_true(b.closed && !b.auth_runs);
	bench_close(&b);
}

static void failures_are_errors_and_too_many_end_the_session(void **state)
{
	struct bench b;

	(void)state;
	open_greeted(&b, open_yaml);
	for (int i = 0; i < 7; i++) {
		expect(&b, "AUTH PLAIN AGFubgB4\r\n", "");
		step(&b, i % 2 ? AUTH_WRONG : AUTH_LOCKED, i % 2 ? "535 5.7.8 " : "454 4.7.0 ");
		assert_int_equal(b.session.rests, i + 1 > 4); /* from half of them on it waits */
		receive_session_rested(&b.session);
	}
	expect(&b, "AUTH PLAIN AGFubgB4\r\n", "");
	step(&b, AUTH_WRONG, "535 5.7.8 ");
	assert_true(text_ends(buf_text(&b.said), TEXT("421 4.7.0 Too many errors, closing\r\n")));
	assert_true(b.closed);
	bench_close(&b);
}

static void no_memory_to_begin_is_temporary(void **state)
{
	struct bench b;

	(void)state;
	open_greeted(&b, open_yaml);
	b.auth_err = ERR_NOMEM;
	expect(&b, "AUTH PLAIN AGFubgB4\r\n", "454 4.7.0 ");
	expect(&b, "NOOP\r\n", "250");
	bench_close(&b);
}

static void a_dialogue_is_given_up_with_the_session(void **state)
{
	struct bench b;

	(void)state;
	open_greeted(&b, open_yaml);
	expect(&b, "AUTH LOGIN\r\n", "");
	step(&b, AUTH_CHALLENGE, "334 ");
	assert_true(b.auth_runs);
	receive_session_timed_out(&b.session);
	assert_false(b.auth_runs);
	step(&b, AUTH_DONE, ""); /* too late */
	assert_false(b.session.may_relay);
	bench_close(&b);
}

static void where_it_is_required_mail_waits_for_a_login(void **state)
{
	struct bench b;

	(void)state;
	bench_open(&b, required_yaml, true);
	b.auth_mechanisms = AUTH_PLAIN;
	b.knows_users = true;
	(void)bench_say(&b, "EHLO c\r\n");
	expect(&b, "MAIL FROM:<a@example.com>\r\n", "530 5.7.0 ");
	expect(&b, "VRFY a\r\nNOOP\r\n", "252 2.1.5 Send some mail, it will be tried\r\n250");
	expect(&b, "AUTH PLAIN AGFubgB4\r\n", "");
	step(&b, AUTH_DONE, "235");
	expect(&b, "MAIL FROM:<a@example.com>\r\n", "250");
	bench_close(&b);
}

/* A client certificate, by each of the ways in which one counts. */
static void shake_hands(struct bench *b, bool has_peer, bool verified, const char *name,
                        const char *fingerprint)
{
	struct tls_info info = { .version = TLS_1_3,
		                 .cipher = TEXT("TLS_AES_128_GCM_SHA256"),
		                 .has_peer = has_peer,
		                 .peer_verified = verified,
		                 .peer_name = text_from(name),
		                 .peer_fingerprint = text_from(fingerprint) };

	(void)bench_say(b, "EHLO c\r\n");
	expect(b, "STARTTLS\r\n", "220");
	b->tls_asked = false;
	receive_session_tls_done(&b->session, ERR_OK, &info);
	expect(b, "EHLO c\r\n", "250");
}

#define KNOWN "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define UNKNOWN "00112233445566778899aabbccddeeff00112233445566778899aabbccddeefe"

static const char certificates_yaml[] =
	"hostname: relay.test\n"
	"listen: [{name: in, address: 127.0.0.1:2525, auth: required, allow: [], tls: require, cert: /c, key: /k, client_ca: /ca,\n"
	"  client_fingerprints: {" KNOWN ": printer}}]\n"
	"access: {users_file: /users}\n"
	"routes: [{to: any, via: direct}]\n";

static void a_certificate_may_be_a_login(void **state)
{
	static const struct {
		const char *what;
		bool has_peer, verified;
		const char *name, *fingerprint;
		const char *user;
	} cases[] = {
		{ "none", false, false, "", "", "" },
		{ "one of nobody we know", true, false, "evil", UNKNOWN, "" },
		{ "one of our authority", true, true, "app.example", UNKNOWN, "app.example" },
		{ "one of our authority without a name", true, true, "", UNKNOWN, UNKNOWN },
		{ "one that is listed", true, false, "whatever", KNOWN, "printer" },
		{ "one that is both", true, true, "app.example", KNOWN, "printer" },
		{ "a resumed session, which shows none", false, true, "app.example", KNOWN, "" },
		{ "a user who is shut out", true, true, "shut-out", UNKNOWN, "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct text user = text_from(cases[i].user);
		struct bench b;

		bench_open(&b, certificates_yaml, false);
		b.knows_users = true;
		shake_hands(&b, cases[i].has_peer, cases[i].verified, cases[i].name, cases[i].fingerprint);
		if (!text_eq(receive_session_user(&b.session), user) || b.session.may_relay != (user.len > 0))
			fail_msg("%s: %.*s", cases[i].what, TEXT_ARGS(receive_session_user(&b.session)));
		expect(&b, "MAIL FROM:<a@example.com>\r\n", user.len ? "250" : "530 5.7.0");
		bench_close(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_dialogue_begins_only_where_it_may),
		cmocka_unit_test(without_mechanisms_it_is_said_why),
		cmocka_unit_test(challenges_and_answers_go_through_as_they_are),
		cmocka_unit_test(what_is_said_while_a_step_is_computed_waits),
		cmocka_unit_test(a_login_gives_rights_until_starttls),
		cmocka_unit_test(lines_may_be_long_in_a_dialogue_and_nowhere_else),
		cmocka_unit_test(a_line_that_is_none_ends_the_dialogue),
		cmocka_unit_test(failures_are_errors_and_too_many_end_the_session),
		cmocka_unit_test(no_memory_to_begin_is_temporary),
		cmocka_unit_test(a_dialogue_is_given_up_with_the_session),
		cmocka_unit_test(where_it_is_required_mail_waits_for_a_login),
		cmocka_unit_test(a_certificate_may_be_a_login),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
