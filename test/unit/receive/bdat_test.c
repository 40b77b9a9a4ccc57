/* Content in chunks (RFC 3030). Every dialogue runs whole and cut into pieces of every size. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "support/receive_bench.h"

static const char yaml[] = "hostname: relay.test\n"
			   "listen: [{name: apps, address: 127.0.0.1:2525, max_errors: 5}]\n"
			   "access: {max_message_size: 64KiB, max_hops: 5}\n"
			   "routes: [{to: any, via: direct}]\n";

static const char repairing_yaml[] = "hostname: relay.test\n"
				     "listen: [{name: apps, address: 127.0.0.1:2525, bare_lf: repair}]\n"
				     "access: {max_message_size: 64KiB}\n"
				     "routes: [{to: any, via: direct}]\n";

#define OPEN "MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.net>\r\n"
#define OPENED "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n"
#define BINARY "MAIL FROM:<a@example.com> BODY=BINARYMIME\r\nRCPT TO:<b@example.net>\r\n"
#define QUEUED "250 2.0.0 queued as 01000000000000000000000000\r\n"
#define HOPS "Received: a\r\nReceived: b\r\nReceived: c\r\n"
#define OK "250 2.0.0 Ok\r\n"

static const struct {
	const char *name;
	struct text said;   /* behind EHLO */
	const char *told;   /* "*" at the end: the rest does not matter */
	struct text stored; /* at NULL: nothing was */
} dialogues[] = {
	{ "one chunk", LIT(OPEN "BDAT 7 LAST\r\nhello\r\nNOOP\r\n"), OPENED QUEUED OK, LIT("hello\r\n") },
	{ "two chunks, cut in a line end", LIT(OPEN "BDAT 6\r\nhello\rBDAT 1 LAST\r\n\nNOOP\r\n"),
	  OPENED "250 2.0.0 6 octets taken\r\n" QUEUED OK, LIT("hello\r\n") },
	{ "an empty last chunk", LIT(OPEN "BDAT 7\r\nhello\r\nBDAT 0 LAST\r\nNOOP\r\n"),
	  OPENED "250 2.0.0 7 octets taken\r\n" QUEUED OK, LIT("hello\r\n") },
	{ "nothing but an empty last chunk", LIT(OPEN "BDAT 0 LAST\r\nNOOP\r\n"), OPENED QUEUED OK, LIT("") },
	{ "an empty chunk in between", LIT(OPEN "BDAT 0\r\nBDAT 3 last\r\na\r\nNOOP\r\n"),
	  OPENED "250 2.0.0 0 octets taken\r\n" QUEUED OK, LIT("a\r\n") },
	{ "dots are content", LIT(OPEN "BDAT 12 LAST\r\n.\r\n..\r\n.\r\n\r\nNOOP\r\n"), OPENED QUEUED OK,
	  LIT(".\r\n..\r\n.\r\n\r\n") },
	{ "what looks like commands is content",
	  LIT(OPEN "BDAT 17 LAST\r\n\r\n.\r\nRSET\r\nQUIT\r\nNOOP\r\n"), OPENED QUEUED OK,
	  LIT("\r\n.\r\nRSET\r\nQUIT\r\n") },
	{ "a bare LF",
	  LIT(OPEN "BDAT 12 LAST\r\nhello\nworld\nNOOP\r\n"),
	  OPENED "550 5.5.2 *",
	  { NULL, 0 } },
	{ "a bare CR", LIT(OPEN "BDAT 5 LAST\r\na\rb\r\nNOOP\r\n"), OPENED "550 5.5.2 *", { NULL, 0 } },
	{ "CR at the end of the last chunk",
	  LIT(OPEN "BDAT 2 LAST\r\na\rNOOP\r\n"),
	  OPENED "550 5.5.2 *",
	  { NULL, 0 } },
	{ "LF as a chunk of its own",
	  LIT(OPEN "BDAT 1\r\naBDAT 1 LAST\r\n\nNOOP\r\n"),
	  OPENED "250 2.0.0 1 octets taken\r\n550 5.5.2 *",
	  { NULL, 0 } },
	{ "LF . LF in a chunk",
	  LIT(OPEN "BDAT 21 LAST\r\na\n.\nMAIL FROM:<x@y>\r\nNOOP\r\n"),
	  OPENED "550 5.5.2 *",
	  { NULL, 0 } },
	{ "a line that begins with NUL",
	  LIT(OPEN "BDAT 8 LAST\r\na\r\n\0.\r\nbNOOP\r\n"),
	  OPENED "550 5.6.0 *",
	  { NULL, 0 } },
	{ "a last line without an end", LIT(OPEN "BDAT 1 LAST\r\naNOOP\r\n"), OPENED QUEUED OK, LIT("a") },
	{ "binary content", LIT(BINARY "BDAT 9 LAST\r\na\nb\rc\0\xff\r\n.NOOP\r\n"), OPENED QUEUED "*",
	  LIT("a\nb\rc\0\xff\r\n") },
	{ "binary content behind DATA",
	  LIT(BINARY "DATA\r\nNOOP\r\n"),
	  OPENED "503 5.5.1 BODY=BINARYMIME goes with BDAT*",
	  { NULL, 0 } },
	{ "DATA behind BDAT", LIT(OPEN "BDAT 3\r\na\r\nDATA\r\nBDAT 0 LAST\r\n"),
	  OPENED "250 2.0.0 3 octets taken\r\n503 5.5.1 The content has begun*", LIT("a\r\n") },
	{ "RCPT behind BDAT", LIT(OPEN "BDAT 3\r\na\r\nRCPT TO:<c@d>\r\nBDAT 0 LAST\r\n"),
	  OPENED "250 2.0.0 3 octets taken\r\n503 5.5.1 The content has begun*", LIT("a\r\n") },
	{ "MAIL behind BDAT", LIT(OPEN "BDAT 3\r\na\r\nMAIL FROM:<>\r\nBDAT 0 LAST\r\n"),
	  OPENED "250 2.0.0 3 octets taken\r\n503 5.5.1 A transaction is open already*", LIT("a\r\n") },
	{ "NOOP between chunks", LIT(OPEN "BDAT 3\r\na\r\nNOOP\r\nBDAT 0 LAST\r\n"),
	  OPENED "250 2.0.0 3 octets taken\r\n" OK QUEUED, LIT("a\r\n") },
	{ "RSET between chunks",
	  LIT(OPEN "BDAT 3\r\na\r\nRSET\r\nBDAT 3 LAST\r\nb\r\nNOOP\r\n"),
	  OPENED "250 2.0.0 3 octets taken\r\n250 2.0.0 Forgotten\r\n503 5.5.1 MAIL and RCPT first\r\n" OK,
	  { NULL, 0 } },
	{ "EHLO between chunks",
	  LIT(OPEN "BDAT 3\r\na\r\nHELO c\r\nBDAT 3 LAST\r\nb\r\nNOOP\r\n"),
	  OPENED "250 2.0.0 3 octets taken\r\n250 relay.test\r\n503 5.5.1 *",
	  { NULL, 0 } },
	{ "QUIT between chunks",
	  LIT(OPEN "BDAT 3\r\na\r\nQUIT\r\n"),
	  OPENED "250 2.0.0 3 octets taken\r\n221 *",
	  { NULL, 0 } },
	{ "before MAIL: its octets are no commands",
	  LIT("BDAT 6\r\nQUIT\r\nNOOP\r\n"),
	  "503 5.5.1 MAIL and RCPT first\r\n" OK,
	  { NULL, 0 } },
	{ "before RCPT",
	  LIT("MAIL FROM:<>\r\nBDAT 6 LAST\r\nQUIT\r\nRCPT TO:<b@c>\r\n"),
	  "250 2.1.0 Ok\r\n554 5.5.1 No valid recipients\r\n250 2.1.5 Ok\r\n",
	  { NULL, 0 } },
	{ "no number",
	  LIT(OPEN "BDAT six LAST\r\nQUIT\r\n"),
	  OPENED "501 5.5.4 Syntax: BDAT octets [LAST]; closing\r\n",
	  { NULL, 0 } },
	{ "no argument",
	  LIT("BDAT\r\nQUIT\r\n"),
	  "501 5.5.4 Syntax: BDAT octets [LAST]; closing\r\n",
	  { NULL, 0 } },
	{ "a third word", LIT(OPEN "BDAT 6 LAST 1\r\nQUIT\r\n"), OPENED "501 5.5.4 *", { NULL, 0 } },
	{ "a control in the line", LIT(OPEN "BDAT 6\x01\r\nQUIT\r\n"), OPENED "501 5.5.4 *", { NULL, 0 } },
	{ "a CR in the line", LIT(OPEN "BDAT 6\r LAST\r\nQUIT\r\n"), OPENED "501 5.5.4 *", { NULL, 0 } },
	{ "a NUL in the line", LIT(OPEN "BDAT 6\0 LAST\r\nQUIT\r\n"), OPENED "501 5.5.4 *", { NULL, 0 } },
	{ "a loop",
	  LIT(OPEN "BDAT 80 LAST\r\n" HOPS HOPS "\r\nNOOP\r\n"),
	  OPENED "554 5.4.6 *",
	  { NULL, 0 } },
	{ "two messages in a row",
	  LIT(OPEN "BDAT 3 LAST\r\na\r\n" OPEN "BDAT 3 LAST\r\nb\r\n" OPEN "DATA\r\nc\r\n.\r\n"),
	  OPENED QUEUED OPENED QUEUED OPENED "354 Go ahead, end with CR LF . CR LF\r\n" QUEUED,
	  LIT("c\r\n") },
	{ "a chunk that is larger than anybody waits for",
	  LIT(OPEN "BDAT 18446744073709551615 LAST\r\nQUIT\r\n"),
	  OPENED "552 5.3.4 *",
	  { NULL, 0 } },
	{ "the same where nothing is open",
	  LIT("BDAT 18446744073709551616\r\nQUIT\r\n"),
	  "503 5.5.1 MAIL and RCPT first\r\n",
	  { NULL, 0 } },
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
		for (size_t piece = 1; piece <= dialogues[i].said.len; piece++) {
			struct bench b;

			bench_open(&b, yaml, true);
			bench_say(&b, "EHLO c\r\n");
			buf_reset(&b.said);
			bench_feed(&b, dialogues[i].said, piece);
			if (!fits(dialogues[i].told, buf_text(&b.said)))
				fail_msg("%s (pieces of %zu): told\n%.*s", dialogues[i].name, piece,
				         TEXT_ARGS(buf_text(&b.said)));
			if (!dialogues[i].stored.at ? b.envelope != NULL
			                            : !text_eq(buf_text(&b.stored), dialogues[i].stored))
				fail_msg("%s (pieces of %zu): stored \"%.*s\"", dialogues[i].name, piece,
				         TEXT_ARGS(buf_text(&b.stored)));
			bench_close(&b);
		}
	}
}

/* ---------------------------------------------------------------- limits and failures */

static void add_chunk(struct buf *b, size_t octets, bool last)
{
	buf_add_format(b, "BDAT %zu%s\r\n", octets, last ? " LAST" : "");
	for (size_t i = 0; i + 2 <= octets; i += 2)
		buf_add_string(b, "\r\n");
}

static void a_message_over_the_limit_is_read_and_refused(void **state)
{
	struct bench b;
	struct buf said = BUF(1u << 20);

	(void)state;
	bench_open(&b, yaml, true);
	bench_say(&b, "EHLO c\r\n");
	/* in its third chunk it is too much, and the fourth follows a failure */
	buf_add_string(&said, OPEN);
	add_chunk(&said, 30000, false);
	add_chunk(&said, 30000, false);
	add_chunk(&said, 30000, false);
	add_chunk(&said, 30000, true);
	buf_add_string(&said, "NOOP\r\n" OPEN);
	add_chunk(&said, 4, true);
	buf_reset(&b.said);
	bench_feed(&b, buf_text(&said), 1000);
	if (!fits(OPENED
	          "250 2.0.0 30000 octets taken\r\n250 2.0.0 30000 octets taken\r\n"
	          "552 5.3.4 The message is too large for this relay (access.max_message_size) [0100000000000]\r\n"
	          "503 5.5.1 A chunk before this one failed: RSET, or MAIL\r\n" OK OPENED QUEUED,
	          buf_text(&b.said)))
		fail_msg("%.*s", TEXT_ARGS(buf_text(&b.said)));
	buf_fini(&said);
	bench_close(&b);
}

static void a_chunk_that_alone_is_too_large_is_never_kept(void **state)
{
	struct bench b;
	struct buf said = BUF(1u << 20);

	(void)state;
	bench_open(&b, yaml, true);
	bench_say(&b, "EHLO c\r\n" OPEN "BDAT 70000 LAST\r\n");
	assert_false(b.has_draft);
	for (int i = 0; i < 70000; i++)
		buf_add_octet(&said, 'x');
	buf_add_string(&said, "NOOP\r\n");
	buf_reset(&b.said);
	bench_feed(&b, buf_text(&said), 5000);
	assert_true(fits("552 5.3.4 *", buf_text(&b.said)));
	assert_true(text_ends(buf_text(&b.said), TEXT(OK)));
	assert_int_equal(b.content.len, 0);
	buf_fini(&said);
	bench_close(&b);
}

static void chunks_that_are_too_large_together_are_not_kept(void **state)
{
	struct bench b;
	struct buf said = BUF(1u << 20);

	(void)state;
	bench_open(&b, yaml, true);
	add_chunk(&said, 30000, false);
	bench_say(&b, "EHLO c\r\n" OPEN);
	bench_feed(&b, buf_text(&said), 5000);
	assert_true(b.has_draft);
	bench_say(&b, "BDAT 35537\r\n");
	assert_false(b.has_draft);
	bench_say(&b, "");
	buf_fini(&said);
	bench_close(&b);
	/* and with what just fits */
	bench_open(&b, yaml, true);
	said = BUF(1u << 20);
	add_chunk(&said, 30000, false);
	bench_say(&b, "EHLO c\r\n" OPEN);
	bench_feed(&b, buf_text(&said), 5000);
	bench_say(&b, "BDAT 35536\r\n");
	assert_true(b.has_draft);
	buf_fini(&said);
	bench_close(&b);
}

static void a_failure_is_forgotten_with_its_transaction(void **state)
{
	static const char *const forgetting[] = { "RSET\r\n", "EHLO c\r\n", "MAIL FROM:<>\r\nRSET\r\n" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(forgetting); i++) {
		struct bench b;

		bench_open(&b, yaml, true);
		bench_say(&b, "EHLO c\r\n");
		b.open_err = ERR_FULL;
		bench_say(&b, OPEN "BDAT 2\r\n\r\n");
		assert_true(
			fits("503 5.5.1 A chunk before this one failed*", bench_say(&b, "BDAT 2\r\n\r\n")));
		bench_say(&b, forgetting[i]);
		assert_true(fits("503 5.5.1 MAIL and RCPT first\r\n", bench_say(&b, "BDAT 2\r\n\r\n")));
		bench_close(&b);
	}
}

/* The client has sent all its chunks before it could know of the failure: that is no row of errors. */
static void chunks_that_follow_a_failure_do_not_end_the_session(void **state)
{
	struct bench b;
	struct buf said = BUF(1u << 20);

	(void)state;
	bench_open(&b, yaml, true);
	bench_say(&b, "EHLO c\r\n");
	b.write_err = ERR_FULL;
	buf_add_string(&said, OPEN);
	for (int i = 0; i < 50; i++)
		add_chunk(&said, 1000, i == 49);
	buf_add_string(&said, "RSET\r\nNOOP\r\n");
	buf_reset(&b.said);
	bench_feed(&b, buf_text(&said), 4096);
	assert_false(b.closed);
	assert_true(fits(OPENED "452 4.3.1 *", buf_text(&b.said)));
	assert_true(text_ends(buf_text(&b.said), TEXT("250 2.0.0 Forgotten\r\n" OK)));
	buf_fini(&said);
	bench_close(&b);
}

static void empty_chunks_without_end_end_the_session(void **state)
{
	struct bench b;

	(void)state;
	bench_open(&b, yaml, true);
	bench_say(&b, "EHLO c\r\n" OPEN);
	for (int i = 0; i < 50; i++)
		assert_true(fits("250 2.0.0 0 octets taken\r\n", bench_say(&b, "BDAT 0\r\n")));
	for (int i = 0; i < 200 && !b.closed; i++)
		bench_say(&b, "BDAT 0\r\n");
	assert_true(b.closed);
	bench_close(&b);
}

static void a_full_spool_is_said_behind_the_octets(void **state)
{
	struct bench b;

	(void)state;
	bench_open(&b, yaml, true);
	bench_say(&b, "EHLO c\r\n");
	b.open_err = ERR_FULL;
	assert_true(fits(OPENED, bench_say(&b, OPEN "BDAT 6 LAST\r\nQU")));
	assert_true(fits("452 4.3.1 *", bench_say(&b, "IT\r\nNOOP\r\n")));
	assert_true(text_ends(buf_text(&b.said), TEXT(OK)));
	bench_close(&b);
}

static void a_busy_draft_holds_up_a_chunk(void **state)
{
	struct bench b;

	(void)state;
	bench_open(&b, yaml, true);
	bench_say(&b, "EHLO c\r\n" OPEN "BDAT 8 LAST\r\nab");
	b.busy = true;
	assert_false(receive_session_wants_input(&b.session));
	assert_int_equal(receive_session_feed(&b.session, TEXT("cd")), 0);
	b.busy = false;
	assert_true(fits(QUEUED, bench_say(&b, "cdef\r\n")));
	assert_true(text_eq(buf_text(&b.stored), TEXT("abcdef\r\n")));
	bench_close(&b);
}

static void where_tls_is_demanded_octets_are_read_all_the_same(void **state)
{
	struct bench b;

	(void)state;
	bench_open(&b,
	           "hostname: relay.test\nlisten: [{address: 127.0.0.1:25, tls: require, cert: a, key: b}]\n"
	           "routes: [{to: any, via: direct}]\n",
	           true);
	bench_say(&b, "EHLO c\r\n");
	assert_true(fits("530 5.7.0 STARTTLS first\r\n" OK, bench_say(&b, "BDAT 6\r\nQUIT\r\nNOOP\r\n")));
	bench_close(&b);
}

static void a_session_that_ends_in_a_chunk_leaves_nothing(void **state)
{
	struct bench b;

	(void)state;
	bench_open(&b, yaml, true);
	bench_say(&b, "EHLO c\r\n" OPEN "BDAT 100\r\nhalf");
	assert_false(receive_session_is_idle(&b.session));
	receive_session_timed_out(&b.session);
	bench_collect(&b);
	assert_true(b.closed);
	assert_true(text_find(buf_text(&b.said), TEXT("421 4.4.2 ")) < b.said.len);
	bench_close(&b);
}

/* ---------------------------------------------------------------- repair */

static const struct {
	const char *name;
	struct text content;
	struct text stored;
	bool told; /* in the trace */
} repairs[] = {
	{ "nothing to do", LIT("a\r\n.\r\nb\r\n"), LIT("a\r\n.\r\nb\r\n"), false },
	{ "bare LF", LIT("Subject: x\n\nbody\n"), LIT("Subject: x\r\n\r\nbody\r\n"), true },
	{ "bare CR", LIT("a\rb\r"), LIT("a\r\nb\r\n"), true },
	{ "CR CR LF is one line end", LIT("a\r\r\nb\r\n"), LIT("a\r\nb\r\n"), true },
	{ "a dot stays in a chunk", LIT("a\n.\nb\n"), LIT("a\r\n.\r\nb\r\n"), true },
};

static void line_ends_are_repaired_in_chunks(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(repairs); i++) {
		for (size_t piece = 1; piece <= repairs[i].content.len; piece++) {
			struct bench b;
			struct buf said = BUF(1000);

			bench_open(&b, repairing_yaml, true);
			bench_say(&b, "EHLO c\r\n" OPEN);
			/* and cut into chunks at every octet */
			for (size_t at = 0; at < repairs[i].content.len; at += piece) {
				struct text chunk = text_head(text_skip(repairs[i].content, at), piece);

				buf_add_format(&said, "BDAT %zu\r\n", chunk.len);
				buf_add(&said, chunk);
			}
			buf_add_string(&said, "BDAT 0 LAST\r\n");
			bench_feed(&b, buf_text(&said), 7);
			if (!b.envelope || !text_eq(buf_text(&b.stored), repairs[i].stored))
				fail_msg("%s: stored \"%.*s\"", repairs[i].name,
				         TEXT_ARGS(buf_text(&b.stored)));
			assert_int_equal(b.envelope->content_bytes, b.stored.len);
			assert_true((text_find(buf_text(&b.trace), TEXT("(line ends repaired)")) <
			             b.trace.len) == repairs[i].told);
			buf_fini(&said);
			bench_close(&b);
		}
	}
}

static const struct {
	const char *name;
	struct text data; /* behind DATA, with its end */
	struct text stored;
} data_repairs[] = {
	{ "bare LF", LIT("Subject: x\n\nbody\n\r\n.\r\n"), LIT("Subject: x\r\n\r\nbody\r\n\r\n") },
	{ "LF . LF does not end it", LIT("a\n.\nb\r\n.\r\n"), LIT("a\r\n\r\nb\r\n") },
	{ "LF . CR LF does not end it", LIT("a\n.\r\nb\r\n.\r\n"), LIT("a\r\n\r\nb\r\n") },
	{ "CR LF . LF does not end it", LIT("a\r\n.\nb\r\n.\r\n"), LIT("a\r\n\r\nb\r\n") },
	{ "CR . CR does not end it", LIT("a\r.\rb\r\n.\r\n"), LIT("a\r\n\r\nb\r\n") },
	{ "CR LF . CR does not end it", LIT("a\r\n.\rb\r\n.\r\n"), LIT("a\r\n\r\nb\r\n") },
	{ "a dot that was doubled behind a bare LF", LIT("a\n..b\r\n.\r\n"), LIT("a\r\n.b\r\n") },
	{ "a dot that was doubled behind CR LF", LIT("a\r\n..b\r\n.\r\n"), LIT("a\r\n.b\r\n") },
};

static void line_ends_are_repaired_behind_data_and_only_the_strict_end_ends(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(data_repairs); i++) {
		for (size_t piece = 1; piece <= data_repairs[i].data.len; piece++) {
			struct bench b;

			bench_open(&b, repairing_yaml, true);
			bench_say(&b, "EHLO c\r\n" OPEN "DATA\r\n");
			bench_feed(&b, data_repairs[i].data, piece);
			if (!b.envelope || !text_eq(buf_text(&b.stored), data_repairs[i].stored))
				fail_msg("%s (pieces of %zu): stored \"%.*s\"", data_repairs[i].name, piece,
				         TEXT_ARGS(buf_text(&b.stored)));
			assert_true(text_find(buf_text(&b.trace), TEXT("(line ends repaired)")) <
			                    b.trace.len ||
			            i == 7);
			bench_close(&b);
		}
	}
}

static void binary_content_is_not_repaired(void **state)
{
	struct bench b;

	(void)state;
	bench_open(&b, repairing_yaml, true);
	bench_say(&b, "EHLO c\r\n" BINARY "BDAT 4 LAST\r\na\nb\r");
	assert_true(text_eq(buf_text(&b.stored), TEXT("a\nb\r")));
	assert_int_equal(b.envelope->body, ENVELOPE_BINARY);
	bench_close(&b);
}

static void the_header_is_read_after_the_repair(void **state)
{
	struct bench b;

	(void)state;
	bench_open(&b, repairing_yaml, true);
	bench_say(&b, "EHLO c\r\n" OPEN
	              "DATA\r\nMessage-ID: <1@x>\nSubject: a\n b\n\nTLS-Required: No\n\r\n.\r\n");
	assert_true(text_eq(b.envelope->message_id, TEXT("<1@x>")));
	assert_true(text_eq(b.envelope->subject, TEXT("a b")));
	assert_int_equal(b.envelope->tls_wish, ENVELOPE_TLS_UNSAID);
	bench_close(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dialogues_go_as_written),
		cmocka_unit_test(a_message_over_the_limit_is_read_and_refused),
		cmocka_unit_test(a_chunk_that_alone_is_too_large_is_never_kept),
		cmocka_unit_test(chunks_that_are_too_large_together_are_not_kept),
		cmocka_unit_test(a_failure_is_forgotten_with_its_transaction),
		cmocka_unit_test(chunks_that_follow_a_failure_do_not_end_the_session),
		cmocka_unit_test(empty_chunks_without_end_end_the_session),
		cmocka_unit_test(a_full_spool_is_said_behind_the_octets),
		cmocka_unit_test(a_busy_draft_holds_up_a_chunk),
		cmocka_unit_test(where_tls_is_demanded_octets_are_read_all_the_same),
		cmocka_unit_test(a_session_that_ends_in_a_chunk_leaves_nothing),
		cmocka_unit_test(line_ends_are_repaired_in_chunks),
		cmocka_unit_test(line_ends_are_repaired_behind_data_and_only_the_strict_end_ends),
		cmocka_unit_test(binary_content_is_not_repaired),
		cmocka_unit_test(the_header_is_read_after_the_repair),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
