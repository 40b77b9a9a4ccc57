/* Routes by header field and size: what is said at RCPT, and at the dot when the content is known. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "support/check.h"
#include "support/receive_bench.h"

static const char yaml[] =
	"hostname: relay.test\n"
	"listen: [{address: 127.0.0.1:2525}]\n"
	"upstreams: {a: {hosts: [a.test:587]}, b: {hosts: [b.test:587]}}\n"
	"routes:\n"
	"  - {to: header.test, header: {X-Stream: bulk}, via: b}\n"
	"  - {to: spam.test, header: {X-Spam: 'yes*'}, via: reject}\n"
	"  - {to: big.test, min_size: 1KB, via: reject}\n"
	"  - {to: held.test, header: {Subject: '*secret*'}, via: hold}\n"
	"  - {to: gone.test, header: {X-Stream: bulk}, via: discard}\n"
	"  - {to: only.test, max_size: 1KB, via: a}\n"
	"  - {to: only.test, via: reject}\n"
	"  - {to: never.test, header: {X-Stream: bulk}, via: reject}\n"
	"  - {to: never.test, via: reject}\n"
	"  - {to: none.test, header: {X-Stream: bulk}, via: a}\n"
	"  - {to: [header.test, spam.test, big.test, held.test, gone.test, other.test], via: a}\n";

#define LONG_LINE                                                                                                    \
	"0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345" \
	"6789\r\n"
#define BODY \
	LONG_LINE LONG_LINE LONG_LINE LONG_LINE LONG_LINE LONG_LINE LONG_LINE LONG_LINE LONG_LINE LONG_LINE

static const struct {
	const char *name;
	const char *recipients; /* domains, separated by spaces */
	const char *content;
	const char *told; /* codes behind MAIL's */
	const char *ways; /* of what was committed */
} cases[] = {
	{ "no header field", "header.test", "Subject: x\r\n\r\n", "250 354 250",
	  "<s@sender.test> x@header.test(upstream:a)" },
	{ "the header field", "header.test", "X-Stream: BULK\r\n\r\n", "250 354 250",
	  "<s@sender.test> x@header.test(upstream:b)" },
	{ "the header field in the body", "header.test", "\r\nX-Stream: bulk\r\n", "250 354 250",
	  "<s@sender.test> x@header.test(upstream:a)" },
	{ "folded", "header.test", "X-Stream:\r\n bulk\r\n\r\n", "250 354 250",
	  "<s@sender.test> x@header.test(upstream:b)" },
	{ "rejected by its content", "spam.test", "X-Spam: yes, very\r\n\r\n", "250 354 550", NULL },
	{ "not rejected by its content", "spam.test", "X-Spam: no\r\n\r\n", "250 354 250",
	  "<s@sender.test> x@spam.test(upstream:a)" },
	{ "rejected for one of two", "spam.test other.test", "X-Spam: yes\r\n\r\n", "250 250 354 250",
	  "<s@sender.test> x@spam.test(route:reject) x@other.test(upstream:a)" },
	{ "rejected for both", "spam.test big.test", "X-Spam: yes\r\n\r\n" BODY, "250 250 354 550", NULL },
	{ "too big", "big.test", BODY, "250 354 550", NULL },
	{ "not too big", "big.test", "\r\nx\r\n", "250 354 250", "<s@sender.test> x@big.test(upstream:a)" },
	{ "held by its content", "held.test other.test", "Subject: a Secret thing\r\n\r\n", "250 250 354 250",
	  "<s@sender.test> x@held.test(route:hold) held x@other.test(upstream:a)" },
	{ "discarded by its content", "gone.test", "X-Stream: bulk\r\n\r\n", "250 354 250",
	  "<s@sender.test> x@gone.test(route:discard)" },
	{ "no route but for the small: one", "only.test", "\r\nx\r\n", "250 354 250",
	  "<s@sender.test> x@only.test(upstream:a)" },
	{ "no route but for the small: a large one", "only.test", BODY, "250 354 550", NULL },
	{ "rejected whatever comes", "never.test", "", "550 554", NULL },
	{ "no route but for some", "none.test", "X-Stream: bulk\r\n\r\n", "250 354 250",
	  "<s@sender.test> x@none.test(upstream:a)" },
	{ "no route for this one", "none.test", "X-Stream: other\r\n\r\n", "250 354 550", NULL },
	{ "nobody asks for the content", "other.test", "X-Stream: bulk\r\n\r\n", "250 354 250",
	  "<s@sender.test> x@other.test(upstream:a)" },
};

static void codes_of(struct text said, struct buf *out)
{
	while (said.len) {
		struct text line = text_cut(&said, '\n');

		if (line.len < 4 || line.at[3] == '-')
			continue;
		if (out->len)
			buf_add_octet(out, ' ');
		buf_add(out, text_head(line, 3));
	}
}

static void send_message(struct bench *b, const char *domains, const char *content)
{
	AUTO(buf_fini) struct buf said = BUF(100000);
	struct text rest = text_from(domains);

	bench_feed(b, TEXT("HELO c\r\nMAIL FROM:<s@sender.test>\r\n"), 100);
	buf_reset(&b->said);
	while (rest.len) {
		struct text domain = text_cut(&rest, ' ');

		buf_add_format(&said, "RCPT TO:<x@%.*s>\r\n", TEXT_ARGS(domain));
	}
	buf_add_string(&said, "DATA\r\n");
	if (content[0])
		buf_add_format(&said, "%s.\r\n", content);
	bench_feed(b, buf_text(&said), 77);
}

static void the_way_is_decided_at_the_dot(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO(buf_fini) struct buf codes = BUF(1000);
		struct bench b;

		bench_open(&b, yaml, true);
		send_message(&b, cases[i].recipients, cases[i].content);
		codes_of(buf_text(&b.said), &codes);
		CHECK_TEXT(cases[i].name, buf_text(&codes), text_from(cases[i].told));
		CHECK_INT(cases[i].name, b.recipients[0] != 0, cases[i].ways != NULL);
		if (cases[i].ways)
			CHECK_TEXT(cases[i].name, text_from(b.recipients), text_from(cases[i].ways));
		bench_close(&b);
	}
}

static void fields_that_routes_ask_for_are_kept(void **state)
{
	struct bench b;

	(void)state;
	bench_open(&b, yaml, true);
	send_message(&b, "other.test", "X-Other: 1\r\nx-spam: no\r\nSubject: one\r\n two\r\n\r\n");
	CHECK_TEXT("fields", b.envelope->fields, TEXT("X-Spam: no\nSubject: one two\nX-Stream\n"));
	bench_close(&b);
	bench_open(&b, "hostname: relay.test\nlisten: [{address: 127.0.0.1:25}]\nroutes: [{via: direct}]\n",
	           true);
	send_message(&b, "other.test", "X-Stream: bulk\r\n\r\n");
	CHECK_TEXT("nobody asks", b.envelope->fields, TEXT_EMPTY);
	bench_close(&b);
}

static void the_refusal_names_the_setting(void **state)
{
	struct bench b;

	(void)state;
	bench_open(&b, yaml, true);
	send_message(&b, "spam.test", "X-Spam: yes\r\n\r\n");
	assert_true(text_find(buf_text(&b.said),
	                      TEXT("550 5.7.1 The message is rejected by a route (routes)")) < b.said.len);
	send_message(&b, "none.test", "X-Spam: yes\r\n\r\n");
	assert_true(text_find(buf_text(&b.said), TEXT("550 5.7.1 The message has no route here (routes)")) <
	            b.said.len);
	bench_close(&b);
}

static void chunks_are_asked_too(void **state)
{
	struct bench b;

	(void)state;
	bench_open(&b, yaml, true);
	bench_feed(
		&b,
		TEXT("EHLO c\r\nMAIL FROM:<s@sender.test>\r\nRCPT TO:<x@header.test>\r\nBDAT 10\r\nX-Stream: "
	             "BDAT 10 LAST\r\nbulk\r\n\r\nxx"),
		7);
	CHECK_TEXT("way", text_from(b.recipients), TEXT("<s@sender.test> x@header.test(upstream:b)"));
	bench_close(&b);
	bench_open(&b, yaml, true);
	bench_feed(
		&b,
		TEXT("EHLO c\r\nMAIL FROM:<s@sender.test>\r\nRCPT TO:<x@spam.test>\r\nBDAT 15 LAST\r\nX-Spam: yes\r\n\r\n"),
		100);
	assert_true(text_find(buf_text(&b.said), TEXT("\r\n550 5.7.1 The message is rejected by a route")) <
	            b.said.len);
	assert_int_equal(b.recipients[0], 0);
	bench_close(&b);
}

/* Each message is asked about its own fields. */
static void a_second_message_is_not_the_first(void **state)
{
	struct bench b;

	(void)state;
	bench_open(&b, yaml, true);
	send_message(&b, "header.test", "X-Stream: bulk\r\n\r\n");
	CHECK_TEXT("first", text_from(b.recipients), TEXT("<s@sender.test> x@header.test(upstream:b)"));
	send_message(&b, "header.test", "Subject: x\r\n\r\n");
	CHECK_TEXT("second", text_from(b.recipients), TEXT("<s@sender.test> x@header.test(upstream:a)"));
	bench_close(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_way_is_decided_at_the_dot),
		cmocka_unit_test(fields_that_routes_ask_for_are_kept),
		cmocka_unit_test(the_refusal_names_the_setting),
		cmocka_unit_test(chunks_are_asked_too),
		cmocka_unit_test(a_second_message_is_not_the_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
