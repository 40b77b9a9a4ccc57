/* Parameters of MAIL and RCPT: what is offered, what is refused and how, and what the envelope keeps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include <postrider/base/time.h>
#include <postrider/base/utf8.h>

#include "support/receive_bench.h"

#define RELAY                                                                                     \
	"hostname: relay.test\n"                                                                  \
	"access: {max_message_size: 64KiB, max_recipients: 120, max_priority: 3, max_hold: 7d}\n" \
	"routes: [{to: any, via: direct}]\n"

static const char plain_yaml[] = RELAY
	"listen: [{name: apps, address: 127.0.0.1:2525, allow: [127.0.0.0/8], accept_for: [example.net], "
	"max_errors: 100}]\n";

static void open_greeted(struct bench *b, const char *yaml, bool trusted)
{
	bench_open(b, yaml, trusted);
	bench_say(b, "EHLO c.test\r\n");
}

/* ---------------------------------------------------------------- MAIL and RCPT */

enum who { TRUSTED = 1, STRANGER = 2, BOTH = 3 };

static const struct {
	const char *name;
	enum who who;
	const char *params;
	const char *told;
} mails[] = {
	{ "none", BOTH, "", "250 2.1.0 Ok\r\n" },
	{ "SIZE", BOTH, " SIZE=100", "250 2.1.0 " },
	{ "SIZE over the limit", BOTH, " SIZE=65537", "552 5.3.4 " },
	{ "SIZE beyond all numbers", BOTH, " SIZE=99999999999999999999", "552 5.3.4 " },
	{ "SIZE of 21 digits", BOTH, " SIZE=111111111111111111111", "501 5.5.4 " },
	{ "SIZE without a number", BOTH, " SIZE=", "501 5.5.4 " },
	{ "SIZE below zero", BOTH, " SIZE=-1", "501 5.5.4 " },
	{ "BODY", BOTH, " BODY=8bitmime", "250 2.1.0 " },
	{ "BODY=BINARYMIME", BOTH, " BODY=BINARYMIME", "250 2.1.0 " },
	{ "an unknown BODY", BOTH, " BODY=9BIT", "501 5.5.4 " },
	{ "an unknown parameter is named", BOTH, " FOO=bar", "555 5.5.4 FOO: " },
	{ "one that belongs to RCPT", BOTH, " NOTIFY=NEVER", "555 5.5.4 NOTIFY: " },
	{ "one given twice", BOTH, " RET=FULL RET=FULL", "501 5.5.4 Parameter given twice" },
	{ "RET", BOTH, " RET=full", "250 " },
	{ "RET with another word", BOTH, " RET=BODY", "501 5.5.4 RET: FULL or HDRS" },
	{ "RET without a value", BOTH, " RET", "501 5.5.4 RET: a value is needed" },
	{ "ENVID", BOTH, " ENVID=QQ314159", "250 " },
	{ "ENVID that is no xtext", BOTH, " ENVID=a+1", "501 5.5.4 ENVID: no xtext" },
	{ "ENVID with a line end", BOTH, " ENVID=a+0D+0A", "501 5.5.4 ENVID: stands for" },
	{ "SMTPUTF8", BOTH, " SMTPUTF8", "250 " },
	{ "SMTPUTF8 with a value", BOTH, " SMTPUTF8=1", "501 5.5.4 SMTPUTF8: takes no value" },
	{ "REQUIRETLS without TLS", BOTH, " REQUIRETLS", "530 5.7.10 REQUIRETLS: only inside TLS" },
	{ "MT-PRIORITY", TRUSTED, " MT-PRIORITY=3", "250 2.1.0 Ok\r\n" },
	{ "MT-PRIORITY below zero", TRUSTED, " MT-PRIORITY=-9", "250 2.1.0 Ok\r\n" },
	{ "MT-PRIORITY that is lowered", TRUSTED, " MT-PRIORITY=9", "250 2.3.6 3 " },
	{ "MT-PRIORITY of two digits", TRUSTED, " MT-PRIORITY=10", "501 5.5.4 MT-PRIORITY: " },
	{ "MT-PRIORITY of a stranger", STRANGER, " MT-PRIORITY=3",
	  "555 5.5.4 MT-PRIORITY: not offered here" },
	{ "HOLDFOR", TRUSTED, " HOLDFOR=604800", "250 " },
	{ "HOLDFOR that is too long", TRUSTED, " HOLDFOR=604801", "501 5.5.4 HOLDFOR: later than" },
	{ "HOLDFOR nothing", TRUSTED, " HOLDFOR=0", "501 5.5.4 HOLDFOR: " },
	{ "HOLDFOR of a stranger", STRANGER, " HOLDFOR=60", "555 5.5.4 HOLDFOR: not offered here" },
	{ "HOLDUNTIL", TRUSTED, " HOLDUNTIL=2026-01-08T00:00:00Z", "250 " },
	{ "HOLDUNTIL that is too late", TRUSTED, " HOLDUNTIL=2026-01-08T00:00:01Z",
	  "501 5.5.4 HOLDUNTIL: later than" },
	{ "HOLDUNTIL that is past", TRUSTED, " HOLDUNTIL=2025-12-31T00:00:00Z", "250 " },
	{ "HOLDUNTIL no day", TRUSTED, " HOLDUNTIL=2026-02-30T00:00:00Z",
	  "501 5.5.4 HOLDUNTIL: a time like" },
	{ "both", TRUSTED, " HOLDFOR=60 HOLDUNTIL=2026-01-02T00:00:00Z", "501 5.5.4 HOLDUNTIL: either" },
	{ "both, one of them long past", TRUSTED, " HOLDUNTIL=1970-01-01T00:00:00Z HOLDFOR=60",
	  "501 5.5.4 HOLDFOR: either" },
	{ "BY", BOTH, " BY=3600;RT", "250 " },
	{ "BY that is over, with a report", BOTH, " BY=-5;N", "250 " },
	{ "BY that is over, to be returned", BOTH, " BY=0;R", "501 5.5.4 BY: " },
	{ "BY of ten digits", BOTH, " BY=1234567890;N", "501 5.5.4 BY: nine digits" },
	{ "BY that ends before the release", TRUSTED, " HOLDFOR=7200 BY=3600;R",
	  "501 5.5.4 BY: over before" },
	{ "BY that ends behind the release", TRUSTED, " HOLDFOR=3600 BY=7200;R", "250 " },
	{ "AUTH without AUTH", BOTH, " AUTH=<>", "555 5.5.4 AUTH: not offered here" },
};

static void mail_is_answered_for_its_parameters(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(mails); i++) {
		for (int trusted = 0; trusted < 2; trusted++) {
			struct bench b;
			char line[400];

			if (!(mails[i].who & (trusted ? TRUSTED : STRANGER)))
				continue;
			open_greeted(&b, plain_yaml, trusted);
			snprintf(line, sizeof(line), "MAIL FROM:<a@example.com>%s\r\n", mails[i].params);
			if (!text_starts(bench_say(&b, line), text_from(mails[i].told)))
				fail_msg("%s (%s): %.*s", mails[i].name, trusted ? "trusted" : "a stranger",
				         TEXT_ARGS(buf_text(&b.said)));
			/* in step, and a refused MAIL has begun nothing */
			assert_true(text_starts(bench_say(&b, "RCPT TO:<x@example.net>\r\n"),
			                        mails[i].told[0] == '2' ? TEXT("250 ") : TEXT("503 ")));
			bench_close(&b);
		}
	}
}

static const struct {
	const char *params;
	const char *told;
	unsigned notify;
	const char *orcpt;
} rcpts[] = {
	{ "", "250 2.1.5 Ok\r\n", 0, "" },
	{ " NOTIFY=NEVER", "250 ", ENVELOPE_NOTIFY_NEVER, "" },
	{ " notify=success,Delay", "250 ", ENVELOPE_NOTIFY_SUCCESS | ENVELOPE_NOTIFY_DELAY, "" },
	{ " ORCPT=rfc822;Bob@Ent.NET", "250 ", 0, "rfc822;Bob@Ent.NET" },
	{ " NOTIFY=FAILURE ORCPT=utf-8;j\\x{F6}rg@x", "250 ", ENVELOPE_NOTIFY_FAILURE, "utf-8;j\\x{F6}rg@x" },
	{ " NOTIFY=NEVER,DELAY", "501 5.5.4 NOTIFY: NEVER stands alone", 0, NULL },
	{ " NOTIFY=", "501 5.5.4 ", 0, NULL },
	{ " NOTIFY", "501 5.5.4 NOTIFY: a value is needed", 0, NULL },
	{ " NOTIFY=DELAY NOTIFY=DELAY", "501 5.5.4 Parameter given twice", 0, NULL },
	{ " ORCPT=Bob@Ent.NET", "501 5.5.4 ORCPT: not of the form", 0, NULL },
	{ " ORCPT=rfc822;a+0D+0Ab", "501 5.5.4 ORCPT: ", 0, NULL },
	{ " ORCPT=utf-8;j\xc3\xb6rg@x", "501 5.5.4 ORCPT: ", 0, NULL },
	{ " RET=FULL", "555 5.5.4 RET: no such parameter here", 0, NULL },
	{ " RRVS=2014-04-03T23:01:00Z", "555 5.5.4 RRVS: ", 0, NULL },
};

static void rcpt_is_answered_for_its_parameters(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rcpts); i++) {
		struct bench b;
		char line[400];

		open_greeted(&b, plain_yaml, true);
		bench_say(&b, "MAIL FROM:<a@example.com>\r\n");
		snprintf(line, sizeof(line), "RCPT TO:<b@example.net>%s\r\n", rcpts[i].params);
		if (!text_starts(bench_say(&b, line), text_from(rcpts[i].told)))
			fail_msg("%s: %.*s", rcpts[i].params, TEXT_ARGS(buf_text(&b.said)));
		if (rcpts[i].orcpt) {
			bench_say(&b, "DATA\r\nx\r\n.\r\n");
			assert_non_null(b.envelope);
			assert_int_equal(b.envelope->recipients[0].notify, rcpts[i].notify);
			assert_true(text_eq(b.envelope->recipients[0].orcpt, text_from(rcpts[i].orcpt)));
		}
		bench_close(&b);
	}
}

static void the_envelope_keeps_what_was_asked_for(void **state)
{
	struct bench b;

	(void)state;
	open_greeted(&b, plain_yaml, true);
	bench_say(
		&b,
		"MAIL FROM:<a@example.com> RET=HDRS ENVID=a+2Bb MT-PRIORITY=-4 HOLDFOR=3600 BY=7200;NT SIZE=10\r\n"
		"RCPT TO:<b@example.net>\r\nDATA\r\nx\r\n.\r\n");
	assert_non_null(b.envelope);
	assert_int_equal(b.envelope->ret, ENVELOPE_RET_HDRS);
	assert_true(text_eq(b.envelope->envid, TEXT("a+2Bb")));
	assert_true(b.envelope->has_priority);
	assert_int_equal(b.envelope->priority, -4);
	assert_true(b.envelope->release_time == BENCH_NOW + HOUR_MS);
	assert_int_equal(b.envelope->by, ENVELOPE_BY_NOTIFY);
	assert_true(b.envelope->by_time == BENCH_NOW + 2 * HOUR_MS);
	assert_true(b.envelope->by_trace);
	assert_int_equal(b.envelope->declared_bytes, 10);
	/* and nothing of it in the next one */
	bench_say(&b, "MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.net>\r\nDATA\r\nx\r\n.\r\n");
	assert_int_equal(b.envelope->ret, ENVELOPE_RET_UNSAID);
	assert_int_equal(b.envelope->envid.len, 0);
	assert_false(b.envelope->has_priority);
	assert_true(b.envelope->release_time == 0 && b.envelope->by == ENVELOPE_BY_NONE);
	bench_close(&b);
}

static void a_lowered_priority_is_the_one_that_is_kept(void **state)
{
	struct bench b;

	(void)state;
	open_greeted(&b, plain_yaml, true);
	bench_say(&b,
	          "MAIL FROM:<a@example.com> MT-PRIORITY=8\r\nRCPT TO:<b@example.net>\r\nDATA\r\nx\r\n.\r\n");
	assert_int_equal(b.envelope->priority, 3);
	bench_close(&b);
}

/* Twice the same recipient: reports that either wants, the first original recipient. */
static const struct {
	const char *first, *second;
	unsigned notify;
} twice[] = {
	{ "", "", 0 },
	{ " NOTIFY=NEVER", " NOTIFY=NEVER", ENVELOPE_NOTIFY_NEVER },
	{ " NOTIFY=NEVER", "", ENVELOPE_NOTIFY_FAILURE | ENVELOPE_NOTIFY_DELAY },
	{ "", " NOTIFY=NEVER", ENVELOPE_NOTIFY_FAILURE | ENVELOPE_NOTIFY_DELAY },
	{ " NOTIFY=NEVER", " NOTIFY=SUCCESS", ENVELOPE_NOTIFY_SUCCESS },
	{ " NOTIFY=SUCCESS", " NOTIFY=DELAY", ENVELOPE_NOTIFY_SUCCESS | ENVELOPE_NOTIFY_DELAY },
	{ " NOTIFY=SUCCESS", "", ENVELOPE_NOTIFY_SUCCESS | ENVELOPE_NOTIFY_FAILURE | ENVELOPE_NOTIFY_DELAY },
};

static void a_recipient_given_twice_gets_the_reports_that_either_asks_for(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(twice); i++) {
		struct bench b;
		char lines[500];

		open_greeted(&b, plain_yaml, true);
		snprintf(lines, sizeof(lines),
		         "MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.net> ORCPT=rfc822;one@x%s\r\n"
		         "RCPT TO:<b@example.net> ORCPT=rfc822;two@x%s\r\nDATA\r\nx\r\n.\r\n",
		         twice[i].first, twice[i].second);
		bench_say(&b, lines);
		assert_non_null(b.envelope);
		assert_int_equal(b.envelope->recipient_count, 1);
		if (b.envelope->recipients[0].notify != twice[i].notify)
			fail_msg("%s and %s: %u", twice[i].first, twice[i].second,
			         b.envelope->recipients[0].notify);
		assert_true(text_eq(b.envelope->recipients[0].orcpt, TEXT("rfc822;one@x")));
		bench_close(&b);
	}
}

/* ---------------------------------------------------------------- SMTPUTF8 */

static const struct {
	const char *name;
	const char *lines; /* behind EHLO */
	const char *told;
	const char *recipients; /* of the message, if there is one */
} utf8[] = {
	{ "a sender without the parameter", "MAIL FROM:<j\xc3\xb6rg@example.com>\r\n", "553 5.6.7 ", NULL },
	{ "a sender's domain without it",
	  "MAIL FROM:<a@b\xc3\xbc"
	  "cher.example>\r\n",
	  "553 5.6.7 ", NULL },
	{ "a recipient without it", "MAIL FROM:<a@b>\r\nRCPT TO:<j\xc3\xb6rg@example.com>\r\n",
	  "250 2.1.0 Ok\r\n553 5.6.7 ", NULL },
	{ "no UTF-8", "MAIL FROM:<j\xf6rg@example.com> SMTPUTF8\r\n", "501 5.1.7 ", NULL },
	{ "a separator", "MAIL FROM:<a@b> SMTPUTF8\r\nRCPT TO:<a\xe2\x80\xa8@b>\r\n",
	  "250 2.1.0 Ok\r\n501 5.1.3 ", NULL },
	{ "with it",
	  "MAIL FROM:<j\xc3\xb6rg@B\xc3\xbc"
	  "cher.example> SMTPUTF8\r\nRCPT TO:<\xe7\x94\xa8@\xe4\xbe\x8b\xe3\x81\x88.test>\r\n"
	  "DATA\r\nx\r\n.\r\n",
	  "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 ",
	  "<j\xc3\xb6rg@xn--bcher-kva.example> \xe7\x94\xa8@xn--r8jz45g.test(xn--r8jz45g.test)" },
	{ "ORCPT in UTF-8",
	  "MAIL FROM:<> SMTPUTF8\r\nRCPT TO:<a@b.test> ORCPT=utf-8;j\xc3\xb6rg@x\r\nDATA\r\nx\r\n.\r\n",
	  "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 ", "<> a@b.test(b.test)" },
	{ "an IDN and its A-label are one recipient",
	  "MAIL FROM:<> SMTPUTF8\r\nRCPT TO:<a@b\xc3\xbc"
	  "cher.example>\r\nRCPT TO:<a@xn--bcher-kva.example>\r\nDATA\r\nx\r\n.\r\n",
	  "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n250 2.1.5 Ok, once",
	  "<> a@xn--bcher-kva.example(xn--bcher-kva.example)" },
};

static void utf8_needs_its_parameter(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(utf8); i++) {
		struct bench b;

		open_greeted(&b, plain_yaml, true);
		if (!text_starts(bench_say(&b, utf8[i].lines), text_from(utf8[i].told)))
			fail_msg("%s: %.*s", utf8[i].name, TEXT_ARGS(buf_text(&b.said)));
		if (utf8[i].recipients) {
			assert_string_equal(b.recipients, utf8[i].recipients);
			assert_true(b.envelope->smtputf8);
			assert_int_equal(b.envelope->body, ENVELOPE_8BIT);
			assert_true(text_eq(b.envelope->protocol, TEXT("UTF8SMTP")));
		}
		bench_close(&b);
	}
}

static void answers_are_in_utf8_only_for_those_who_asked(void **state)
{
	struct bench b;

	(void)state;
	open_greeted(&b, RELAY "listen: [{address: 127.0.0.1:25, accept_for: [example.net]}]\n", false);
	bench_say(&b, "MAIL FROM:<a@example.com> SMTPUTF8\r\n");
	assert_true(text_starts(bench_say(&b, "RCPT TO:<j\xc3\xb6rg@elsewhere.example>\r\n"),
	                        TEXT("550 5.7.1 j\xc3\xb6rg@elsewhere.example may not")));
	assert_true(text_starts(bench_say(&b, "RSET\r\nMAIL FROM:<a@example.com>\r\nVRFY j\xc3\xb6rg\r\n"
	                                      "F\xc3\xb6 \r\n"),
	                        TEXT("250 ")));
	/* what somebody else says in an answer */
	receive_session_reply(&b.session, 450, "4.7.1", "caf\xc3\xa9");
	assert_true(text_eq(bench_say(&b, ""), TEXT("450 4.7.1 caf??\r\n")));
	bench_close(&b);
}

static void the_trace_names_a_recipient_as_the_client_wrote_it(void **state)
{
	struct bench b;

	(void)state;
	open_greeted(&b, plain_yaml, true);
	bench_say(&b, "MAIL FROM:<> SMTPUTF8\r\nRCPT TO:<j\xc3\xb6rg@b\xc3\xbc"
	              "cher.example>\r\nDATA\r\nx\r\n.\r\n");
	assert_true(text_find(buf_text(&b.trace), TEXT("with UTF8SMTP id")) < b.trace.len);
	assert_true(text_find(buf_text(&b.trace), TEXT("for <j\xc3\xb6rg@b\xc3\xbc"
	                                               "cher.example>")) < b.trace.len);
	assert_true(text_eq(b.envelope->recipients[0].original_path, TEXT("j\xc3\xb6rg@b\xc3\xbc"
	                                                                  "cher.example")));
	bench_close(&b);
}

/* ---------------------------------------------------------------- TLS */

static const char tls_yaml[] =
	RELAY "listen: [{address: 127.0.0.1:25, tls: opportunistic, cert: a, key: b}]\n";

static void open_protected(struct bench *b)
{
	bench_open(b, tls_yaml, true);
	bench_say(b, "EHLO c\r\nSTARTTLS\r\n");
	bench_protect(b);
	bench_say(b, "EHLO c\r\n");
}

static void requiretls_is_offered_and_taken_inside_tls(void **state)
{
	struct bench b;

	(void)state;
	open_protected(&b);
	assert_true(text_find(buf_text(&b.said), TEXT("REQUIRETLS\r\n")) < b.said.len);
	bench_say(&b, "MAIL FROM:<a@example.com> REQUIRETLS\r\nRCPT TO:<b@example.net>\r\nDATA\r\n"
	              "TLS-Required: No\r\n\r\nx\r\n.\r\n");
	assert_int_equal(b.envelope->tls_wish, ENVELOPE_TLS_REQUIRED);
	assert_true(text_starts(bench_say(&b, "MAIL FROM:<a@example.com> REQUIRETLS=1\r\n"),
	                        TEXT("501 5.5.4 REQUIRETLS: takes no value")));
	bench_close(&b);
}

static const struct {
	const char *header;
	enum envelope_tls wish;
} wishes[] = {
	{ "TLS-Required: No\r\n", ENVELOPE_TLS_OPTIONAL },
	{ "tls-required:  nO \r\n", ENVELOPE_TLS_OPTIONAL },
	{ "Subject: x\r\nTLS-Required: No\r\nTo: y\r\n", ENVELOPE_TLS_OPTIONAL },
	{ "TLS-Required: Yes\r\n", ENVELOPE_TLS_UNSAID },
	{ "TLS-Required: No, really\r\n", ENVELOPE_TLS_UNSAID },
	{ "TLS-Required: No\r\nTLS-Required: No\r\n", ENVELOPE_TLS_UNSAID },
	{ "Subject: TLS-Required: No\r\n", ENVELOPE_TLS_UNSAID },
	{ "\r\nTLS-Required: No\r\n", ENVELOPE_TLS_UNSAID },
};

static void the_header_may_ask_for_delivery_without_tls(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(wishes); i++) {
		struct bench b;
		char lines[300];

		open_greeted(&b, plain_yaml, true);
		snprintf(lines, sizeof(lines),
		         "MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n%s\r\nx\r\n.\r\n",
		         wishes[i].header);
		bench_say(&b, lines);
		if (b.envelope->tls_wish != wishes[i].wish)
			fail_msg("%s: %d", wishes[i].header, (int)b.envelope->tls_wish);
		bench_close(&b);
	}
}

/* ---------------------------------------------------------------- AUTH= */

static void a_submitter_is_believed_of_those_who_may_relay(void **state)
{
	(void)state;
	for (int trusted = 0; trusted < 2; trusted++) {
		struct bench b;

		bench_open(&b, plain_yaml, trusted);
		b.auth_mechanisms = 1;
		bench_say(&b, "EHLO c\r\n");
		bench_say(&b, "MAIL FROM:<a@example.com> AUTH=e+3Dmc2@example.com\r\n"
		              "RCPT TO:<b@example.net>\r\nDATA\r\n");
		bench_say(&b, "x\r\n.\r\n");
		assert_non_null(b.envelope);
		assert_true(
			text_eq(b.envelope->submitter, trusted ? TEXT("e+3Dmc2@example.com") : TEXT("<>")));
		assert_true(text_starts(bench_say(&b, "MAIL FROM:<a@example.com> AUTH=a+b\r\n"),
		                        TEXT("501 5.5.4 AUTH: no xtext")));
		bench_close(&b);
	}
}

/* ---------------------------------------------------------------- what is offered */

static bool offers(struct bench *b, const char *keyword)
{
	char line[100];

	snprintf(line, sizeof(line), "%s\r\n", keyword);
	return text_find(buf_text(&b->said), text_from(line)) < b->said.len;
}

static void a_stranger_is_offered_less(void **state)
{
	struct bench b;

	(void)state;
	open_greeted(&b, plain_yaml, false);
	assert_true(offers(&b, "CHUNKING") && offers(&b, "DSN") && offers(&b, "SMTPUTF8"));
	assert_true(offers(&b, "LIMITS RCPTMAX=120"));
	assert_false(offers(&b, "MT-PRIORITY"));
	assert_true(text_find(buf_text(&b.said), TEXT("FUTURERELEASE")) == b.said.len);
	bench_close(&b);
	open_greeted(&b, plain_yaml, true);
	assert_true(offers(&b, "MT-PRIORITY"));
	assert_true(offers(&b, "FUTURERELEASE 604800 2026-01-08T00:00:00Z"));
	assert_false(offers(&b, "REQUIRETLS"));
	bench_close(&b);
	open_greeted(
		&b,
		"access: {max_hold: 0s}\nlisten: [{address: 127.0.0.1:25}]\nroutes: [{to: any, via: direct}]\n",
		true);
	assert_true(text_find(buf_text(&b.said), TEXT("FUTURERELEASE")) == b.said.len);
	assert_true(text_starts(bench_say(&b, "MAIL FROM:<> HOLDFOR=1\r\n"), TEXT("555 5.5.4 HOLDFOR: ")));
	bench_close(&b);
}

static const struct {
	const char *hide;
	const char *line;
	const char *told;
} hidden[] = {
	{ "DSN", "MAIL FROM:<> RET=FULL", "555 5.5.4 RET: " },
	{ "SIZE", "MAIL FROM:<> SIZE=10", "555 5.5.4 SIZE: " },
	{ "8BITMIME", "MAIL FROM:<> BODY=8BITMIME", "555 5.5.4 BODY: " },
	{ "8BITMIME", "MAIL FROM:<> SMTPUTF8", "555 5.5.4 SMTPUTF8: " },
	{ "8BITMIME", "MAIL FROM:<> BODY=BINARYMIME", "555 5.5.4 BODY: " },
	{ "CHUNKING", "MAIL FROM:<> BODY=BINARYMIME", "501 5.5.4 BODY: BINARYMIME" },
	{ "BINARYMIME", "MAIL FROM:<> BODY=BINARYMIME", "501 5.5.4 BODY: BINARYMIME" },
	{ "SMTPUTF8", "MAIL FROM:<> SMTPUTF8", "555 5.5.4 SMTPUTF8: " },
	{ "MT-PRIORITY", "MAIL FROM:<> MT-PRIORITY=1", "555 5.5.4 MT-PRIORITY: " },
	{ "FUTURERELEASE", "MAIL FROM:<> HOLDFOR=1", "555 5.5.4 HOLDFOR: " },
	{ "DELIVERBY", "MAIL FROM:<> BY=1;N", "555 5.5.4 BY: " },
	{ "REQUIRETLS", "MAIL FROM:<> REQUIRETLS", "555 5.5.4 REQUIRETLS: " },
	{ "CHUNKING", "BDAT 4\r\nNOOP", "502 5.5.1 BDAT is not to be had here\r\n" },
	{ "STARTTLS", "STARTTLS", "502 5.5.1 STARTTLS is not to be had here\r\n" },
};

static void what_is_hidden_is_neither_offered_nor_taken(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(hidden); i++) {
		struct bench b;
		char yaml[500], line[100];

		snprintf(yaml, sizeof(yaml),
		         "%slisten: [{address: 127.0.0.1:25, max_errors: 100, hide: [%s]}]\n", RELAY,
		         hidden[i].hide);
		open_greeted(&b, yaml, true);
		assert_true(text_find(buf_text(&b.said), text_from(hidden[i].hide)) == b.said.len);
		snprintf(line, sizeof(line), "%s\r\n", hidden[i].line);
		if (!text_starts(bench_say(&b, line), text_from(hidden[i].told)))
			fail_msg("%s without %s: %.*s", hidden[i].line, hidden[i].hide,
			         TEXT_ARGS(buf_text(&b.said)));
		bench_close(&b);
	}
}

static void behind_helo_there_are_no_extensions(void **state)
{
	struct bench b;

	(void)state;
	bench_open(&b, plain_yaml, true);
	bench_say(&b, "HELO c\r\n");
	assert_true(text_starts(bench_say(&b, "MAIL FROM:<> RET=FULL\r\n"),
	                        TEXT("555 5.5.4 RET: only after EHLO")));
	assert_true(text_starts(bench_say(&b, "MAIL FROM:<> SIZE=10 BODY=7BIT\r\n"), TEXT("250 ")));
	bench_close(&b);
}

static void no_room_is_said_at_mail(void **state)
{
	struct bench b;

	(void)state;
	open_greeted(&b, plain_yaml, true);
	b.room = 1000;
	assert_true(text_starts(bench_say(&b, "MAIL FROM:<> SIZE=1001\r\n"), TEXT("452 4.3.1 ")));
	assert_true(text_starts(bench_say(&b, "MAIL FROM:<> SIZE=1000\r\n"), TEXT("250 ")));
	bench_close(&b);
}

/* What LIMITS says is a promise, whatever comes with each of them. */
static void as_many_recipients_as_are_announced_fit(void **state)
{
	struct bench b;
	char orcpt[501], line[1200];

	(void)state;
	memset(orcpt, 'x', 493);
	orcpt[493] = '\0';
	bench_open(&b,
	           "hostname: relay.test\naccess: {max_recipients: 5000}\nroutes: [{to: any, via: direct}]\n"
	           "listen: [{address: 127.0.0.1:25}]\n",
	           true);
	assert_true(text_find(bench_say(&b, "EHLO c\r\n"), TEXT("LIMITS RCPTMAX=5000\r\n")) < b.said.len);
	bench_say(&b, "MAIL FROM:<a@example.com>\r\n");
	for (int i = 0; i < 5000; i++) {
		snprintf(line, sizeof(line),
		         "RCPT TO:<%060d@%060d.%060d.%060d.example> NOTIFY=SUCCESS ORCPT=rfc822;%s\r\n", i, i,
		         i, i, orcpt);
		if (!text_eq(bench_say(&b, line), TEXT("250 2.1.5 Ok\r\n")))
			fail_msg("%d: %.*s", i, TEXT_ARGS(buf_text(&b.said)));
		if (i % 500 == 0)
			assert_true(text_eq(bench_say(&b, line), TEXT("250 2.1.5 Ok, once is enough\r\n")));
	}
	assert_true(text_starts(bench_say(&b, "RCPT TO:<one@more.example>\r\n"), TEXT("452 4.5.3 ")));
	assert_int_equal(b.session.transaction->envelope->recipient_count, 5000);
	bench_close(&b);
}

/* RFC 5321 section 4.5.3.1.4 and what each extension adds to a line. */
static void the_longest_lines_are_taken(void **state)
{
	struct bench b;
	char local[65], label[64], text[501], domain[260];

	(void)state;
	memset(local, 'l', 64);
	memset(label, 'd', 63);
	memset(text, 'x', 500);
	local[64] = label[63] = text[500] = '\0';
	snprintf(domain, sizeof(domain), "%.60s.%.60s.%.59s.example", label, label, label);
	bench_open(&b, plain_yaml, true);
	b.auth_mechanisms = 1;
	bench_say(&b, "EHLO c\r\n");
	struct buf line = BUF(4096);

	buf_add_format(
		&line,
		"MAIL FROM:<%s@%s> SIZE=00000000000000000100 BODY=8BITMIME SMTPUTF8 RET=FULL ENVID=%.100s AUTH=%s "
		"MT-PRIORITY=-1 HOLDUNTIL=2026-01-02T00:00:00.000+00:00 BY=+999999999;RT%700s\r\n",
		local, domain, text, text, "");
	assert_true(line.len > 1700);
	bench_feed(&b, buf_text(&line), 4096);
	if (!text_ends(buf_text(&b.said), TEXT("250 2.1.0 Ok\r\n")))
		fail_msg("%.*s", TEXT_ARGS(buf_text(&b.said)));
	buf_reset(&line);
	buf_add_format(&line, "RCPT TO:<@%s:%s@%s> NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=rfc822;%.493s\r\n",
	               domain, local, domain, text);
	buf_reset(&b.said);
	bench_feed(&b, buf_text(&line), 4096);
	assert_true(text_eq(buf_text(&b.said), TEXT("250 2.1.5 Ok\r\n")));
	/* and what is longer is refused in step */
	buf_reset(&line);
	buf_add_format(&line, "NOOP %2100s\r\nNOOP\r\n", "");
	buf_reset(&b.said);
	bench_feed(&b, buf_text(&line), 4096);
	assert_true(text_eq(buf_text(&b.said), TEXT("500 5.5.2 Line too long\r\n250 2.0.0 Ok\r\n")));
	buf_fini(&line);
	bench_close(&b);
}

static void a_refused_parameter_names_no_other_line(void **state)
{
	struct bench b;

	(void)state;
	open_greeted(&b, plain_yaml, true);
	/* a keyword of any length is said back cut to a line, and nothing of it ends one */
	struct buf line = BUF(4096);

	buf_add_string(&line, "MAIL FROM:<> ");
	for (int i = 0; i < 1500; i++)
		buf_add_octet(&line, 'X');
	buf_add_string(&line, "=1\r\nNOOP\r\n");
	bench_feed(&b, buf_text(&line), 100);
	assert_true(text_ends(buf_text(&b.said), TEXT("250 2.0.0 Ok\r\n")));
	for (struct text rest = buf_text(&b.said); rest.len;)
		assert_true(text_cut(&rest, '\n').len < 512);
	buf_fini(&line);
	bench_close(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mail_is_answered_for_its_parameters),
		cmocka_unit_test(rcpt_is_answered_for_its_parameters),
		cmocka_unit_test(the_envelope_keeps_what_was_asked_for),
		cmocka_unit_test(a_lowered_priority_is_the_one_that_is_kept),
		cmocka_unit_test(a_recipient_given_twice_gets_the_reports_that_either_asks_for),
		cmocka_unit_test(utf8_needs_its_parameter),
		cmocka_unit_test(answers_are_in_utf8_only_for_those_who_asked),
		cmocka_unit_test(the_trace_names_a_recipient_as_the_client_wrote_it),
		cmocka_unit_test(requiretls_is_offered_and_taken_inside_tls),
		cmocka_unit_test(the_header_may_ask_for_delivery_without_tls),
		cmocka_unit_test(a_submitter_is_believed_of_those_who_may_relay),
		cmocka_unit_test(a_stranger_is_offered_less),
		cmocka_unit_test(what_is_hidden_is_neither_offered_nor_taken),
		cmocka_unit_test(behind_helo_there_are_no_extensions),
		cmocka_unit_test(no_room_is_said_at_mail),
		cmocka_unit_test(as_many_recipients_as_are_announced_fit),
		cmocka_unit_test(the_longest_lines_are_taken),
		cmocka_unit_test(a_refused_parameter_names_no_other_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
