/* The inbound session against scripts: what a client says, and what it is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>

#include "../../../src/receive/session.h"

/* ---------------------------------------------------------------- a world of one session */

struct bench {
	struct receive_session session;
	const struct config *config;
	struct buf said;    /* all that the client was told */
	struct buf content; /* the draft */
	struct buf stored;  /* the last message that was committed */
	struct buf trace;
	char recipients[512];
	bool has_draft, committed, closed, tls_asked;
	enum err open_err, write_err;
	bool busy;
	unsigned rejected;
	const char *rule;
};

static void renew(void *owner)
{
	(void)owner;
}

static int64_t now_time(void *owner)
{
	(void)owner;
	return INT64_C(1767225600000);
}

static struct id make_id(void *owner)
{
	(void)owner;
	return (struct id){ { 1 } };
}

static enum err open_draft(void *owner, uint64_t declared_bytes)
{
	struct bench *b = owner;

	(void)declared_bytes;
	if (!b->open_err) {
		b->has_draft = true;
		buf_reset(&b->content);
	}
	return b->open_err;
}

static enum err write_draft(void *owner, struct text bytes)
{
	struct bench *b = owner;

	assert_true(b->has_draft);
	buf_add(&b->content, bytes);
	return b->write_err;
}

static bool draft_is_busy(void *owner)
{
	struct bench *b = owner;

	return b->busy;
}

static void abort_draft(void *owner)
{
	struct bench *b = owner;

	assert_true(b->has_draft);
	b->has_draft = false;
}

static void commit(void *owner, const struct queue_submission *submission)
{
	struct bench *b = owner;
	const struct envelope *e = submission->envelope;
	struct buf all = BUF(sizeof(b->recipients) - 1);

	assert_true(b->has_draft);
	b->has_draft = false;
	b->committed = true;
	buf_reset(&b->stored);
	buf_add(&b->stored, buf_text(&b->content));
	buf_reset(&b->trace);
	buf_add(&b->trace, submission->prepended);
	buf_add_format(&all, "<%.*s>", TEXT_ARGS(e->reverse_path));
	for (size_t i = 0; i < e->recipient_count; i++)
		buf_add_format(&all, " %.*s(%.*s)", TEXT_ARGS(e->recipients[i].forward_path),
		               TEXT_ARGS(submission->keys[i]));
	snprintf(b->recipients, sizeof(b->recipients), "%.*s", TEXT_ARGS(buf_text(&all)));
	buf_fini(&all);
}

static void start_tls(void *owner)
{
	((struct bench *)owner)->tls_asked = true;
}

static void close_session(void *owner)
{
	((struct bench *)owner)->closed = true;
}

static void emit(void *owner, struct event *event)
{
	((struct bench *)owner)->rejected += event->kind == EVENT_REJECTED;
}

static const struct receive_session_ops ops = {
	.renew = renew,
	.now_time = now_time,
	.make_id = make_id,
	.open_draft = open_draft,
	.write_draft = write_draft,
	.draft_is_busy = draft_is_busy,
	.abort_draft = abort_draft,
	.commit = commit,
	.start_tls = start_tls,
	.close = close_session,
	.emit = emit,
};

static enum err no_files(void *owner, struct text path, struct buf *out, struct buf *detail, struct buf *hint)
{
	(void)owner;
	(void)path;
	(void)out;
	(void)detail;
	(void)hint;
	return ERR_NOT_FOUND;
}

static const struct config *load(const char *yaml)
{
	struct config_sources sources = { .file = TEXT("test.yaml"),
		                          .text = text_from(yaml),
		                          .read_file = no_files,
		                          .machine_name = TEXT("relay.test") };
	const struct config *config = NULL;
	struct config_report report;
	struct buf words = BUF(1u << 20);

	config_report_init(&report);
	if (config_load(&sources, &config, &report)) {
		config_report_print(&report, &words);
		fail_msg("%.*s", TEXT_ARGS(buf_text(&words)));
	}
	buf_fini(&words);
	config_report_fini(&report);
	return config;
}

static void bench_open(struct bench *b, const char *yaml, bool trusted)
{
	*b = (struct bench){ .config = load(yaml) };
	b->said = BUF(1u << 20);
	b->content = BUF(1u << 22);
	b->stored = BUF(1u << 22);
	b->trace = BUF(1u << 16);
	receive_session_init(&b->session, &ops, b, b->config, &b->config->listen.items[0],
	                     ip_from_v4(0x7f000001), 4711, true);
	b->session.may_relay = trusted;
}

static void collect(struct bench *b)
{
	buf_add(&b->said, buf_text(&b->session.out));
	buf_reset(&b->session.out);
}

static void decide(struct bench *b, enum err err)
{
	struct queue_decision decision = { .err = err, .stored = true };

	assert_true(b->committed);
	b->committed = false;
	receive_session_decided(&b->session, &decision);
}

/* Feeds in pieces of `piece` octets as a stream would: what is not taken comes again with more behind it. */
static void feed(struct bench *b, struct text all, size_t piece)
{
	size_t start = 0, end = 0;

	while (start < all.len && !b->closed) {
		size_t taken;

		end = MIN(end + piece, all.len);
		taken = receive_session_feed(&b->session, text_of(all.at + start, end - start));
		start += taken;
		if (b->committed)
			decide(b, ERR_OK);
		else if (end == all.len && taken == 0)
			break;
	}
	collect(b);
}

static void bench_close(struct bench *b)
{
	receive_session_fini(&b->session);
	assert_false(b->has_draft);
	buf_fini(&b->said);
	buf_fini(&b->content);
	buf_fini(&b->stored);
	buf_fini(&b->trace);
	config_unref(&b->config);
}

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
	  "250-relay.test\r\n250-PIPELINING\r\n250-SIZE 65536\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n250 STARTTLS\r\n" },
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
			feed(&b, dialogues[i].said, piece);
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
	feed(&b,
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
	collect(&b);
	assert_int_equal(taken, said.len - strlen("NOOP\r\n"));
	assert_false(receive_session_wants_input(&b.session));
	assert_true(text_ends(buf_text(&b.said), TEXT("354 Go ahead, end with CR LF . CR LF\r\n")));
	decide(&b, ERR_OK);
	collect(&b);
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
	decide(&b, ERR_FULL);
	collect(&b);
	assert_true(text_find(buf_text(&b.said), TEXT("\r\n452 4.3.1 ")) < b.said.len);
	b.open_err = ERR_FULL;
	receive_session_feed(&b.session,
	                     TEXT("MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n"));
	buf_reset(&b.said);
	collect(&b);
	assert_true(text_find(buf_text(&b.said), TEXT("\r\n452 4.3.1 ")) < b.said.len);
	bench_close(&b);
}

static void a_disk_that_fails_in_the_data_is_451_after_the_dot(void **state)
{
	struct bench b;

	(void)state;
	bench_open(&b, relay_yaml, true);
	b.write_err = ERR_IO;
	feed(&b, TEXT(OPEN "DATA\r\nhello\r\nworld\r\n.\r\nNOOP\r\n"), 9);
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
	feed(&b, buf_text(&said), 1000);
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
	feed(&b, TEXT("HELO c\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.net>\r\n"), 100);
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
	feed(&b, TEXT("MAIL FROM:<>\r\nSTARTTLS\r\nEHLO c\r\n"), 100);
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
	feed(&b, TEXT("EHLO c\r\nMAIL FROM:<>\r\nNOOP\r\n"), 100);
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
	feed(&b, TEXT("HELO c\r\nMAIL FROM:<>\r\n"), 100);
	for (int i = 0; i < 101; i++) {
		int n = snprintf(line, sizeof(line), "RCPT TO:<user%d@example.net>\r\n", i);

		buf_reset(&b.said);
		feed(&b, text_of(line, (size_t)n), 100);
		assert_true(
			text_starts(buf_text(&b.said), i < 100 ? TEXT("250 2.1.5 ") : TEXT("452 4.5.3 ")));
	}
	feed(&b, TEXT("DATA\r\nx\r\n.\r\n"), 100);
	assert_true(text_ends(buf_text(&b.said), TEXT("250 2.0.0 queued as 01000000000000000000000000\r\n")));
	bench_close(&b);
}

static void silence_is_421(void **state)
{
	struct bench b;

	(void)state;
	bench_open(&b, relay_yaml, true);
	feed(&b, TEXT(OPEN "DATA\r\nhalf a mess"), 100);
	receive_session_timed_out(&b.session);
	collect(&b);
	assert_true(b.closed);
	assert_true(text_find(buf_text(&b.said), TEXT("421 4.4.2 relay.test ")) < b.said.len);
	bench_close(&b);
}

static void a_stop_waits_for_the_transaction(void **state)
{
	struct bench b;

	(void)state;
	bench_open(&b, relay_yaml, true);
	feed(&b, TEXT(OPEN), 100);
	assert_false(receive_session_stop(&b.session));
	feed(&b, TEXT("DATA\r\nx\r\n.\r\n"), 100);
	assert_true(text_ends(buf_text(&b.said), TEXT("queued as 01000000000000000000000000\r\n")));
	assert_true(receive_session_stop(&b.session));
	collect(&b);
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
	feed(&b,
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
	feed(&b, TEXT("more\r\n.\r\n"), 100);
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
