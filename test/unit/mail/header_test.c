#include <postrider/mail/header.h>

#include "support/alloc.h"
#include "support/check.h"

/* ---------------------------------------------------------------- in memory and as it arrives */

/* One table for both ways of reading. fields: "Name=value unfolded|" in order. */
static const struct {
	const char *name;
	struct text content;
	const char *fields;
	size_t section_bytes;
	enum header_end end;
	unsigned received;
	const char *subject, *message_id;
} cases[] = {
	{ "a message", LIT("Received: by a\r\nSubject: hello\r\nMessage-ID: <1@a>\r\n\r\nSubject: body\r\n"),
	  "Received=by a|Subject=hello|Message-ID=<1@a>|", 51, HEADER_BLANK_LINE, 1, "hello", "<1@a>" },
	{ "folded", LIT("Subject: one\r\n two\r\n\tthree\r\nReceived: x\r\n y\r\n\r\n"),
	  "Subject=one two three|Received=x y|", 45, HEADER_BLANK_LINE, 1, "one two three", "" },
	{ "folded at once", LIT("Subject:\r\n hello\r\n\r\n"), "Subject=hello|", 18, HEADER_BLANK_LINE, 0,
	  "hello", "" },
	{ "the first of two counts", LIT("Subject: a\r\nsubject: b\r\n\r\n"), "Subject=a|subject=b|", 24,
	  HEADER_BLANK_LINE, 0, "a", "" },
	{ "any case", LIT("SUBJECT: a\r\nrEcEiVeD: b\r\n\r\n"), "SUBJECT=a|rEcEiVeD=b|", 25,
	  HEADER_BLANK_LINE, 1, "a", "" },
	{ "no space behind the colon", LIT("Subject:a\r\n\r\n"), "Subject=a|", 11, HEADER_BLANK_LINE, 0, "a",
	  "" },
	{ "white space before the colon", LIT("Subject \t: a\r\n\r\n"), "Subject=a|", 14, HEADER_BLANK_LINE,
	  0, "a", "" },
	{ "an empty value", LIT("Subject:\r\nTo: \r\n\r\n"), "Subject=|To=|", 16, HEADER_BLANK_LINE, 0, "",
	  "" },
	{ "no header", LIT("\r\nbody\r\n"), "", 0, HEADER_BLANK_LINE, 0, "", "" },
	{ "nothing", LIT(""), "", 0, HEADER_BLANK_LINE, 0, "", "" },
	{ "a header alone", LIT("Subject: a\r\n"), "Subject=a|", 12, HEADER_BLANK_LINE, 0, "a", "" },
	{ "a header without its last line end", LIT("Subject: a"), "Subject=a|", 10, HEADER_BLANK_LINE, 0,
	  "a", "" },
	{ "a line that is no field", LIT("Subject: a\r\nhello there\r\nReceived: x\r\n"), "Subject=a|", 12,
	  HEADER_BROKEN, 0, "a", "" },
	{ "text from the start", LIT("Hello world\r\n"), "", 0, HEADER_BROKEN, 0, "", "" },
	{ "white space at the start", LIT(" Subject: a\r\n\r\n"), "", 0, HEADER_BROKEN, 0, "", "" },
	{ "a colon at the start", LIT(": a\r\n\r\n"), "", 0, HEADER_BROKEN, 0, "", "" },
	{ "a name with a space", LIT("Sub ject: a\r\n\r\n"), "", 0, HEADER_BROKEN, 0, "", "" },
	{ "a name with octets above 127", LIT("Subj\xc3\xa9t: a\r\n\r\n"), "", 0, HEADER_BROKEN, 0, "", "" },
	{ "a name without a colon at the end", LIT("Subject"), "", 0, HEADER_BROKEN, 0, "", "" },
	{ "a mailbox separator", LIT("From ann Fri Jan  2\r\nSubject: a\r\n\r\n"), "", 0, HEADER_BROKEN, 0,
	  "", "" },
	{ "a line of white space goes on", LIT("Subject: a\r\n \r\nReceived: b\r\n\r\n"),
	  "Subject=a|Received=b|", 28, HEADER_BLANK_LINE, 1, "a", "" },
	{ "bare LF", LIT("Subject: a\nReceived: b\n\nReceived: c\n"), "Subject=a|Received=b|", 23,
	  HEADER_BLANK_LINE, 1, "a", "" },
	{ "controls in a value", LIT("Subject: a\0b\x1b[2J\r\n\r\n"), "Subject=a b [2J|", 18,
	  HEADER_BLANK_LINE, 0, "a b [2J", "" },
	{ "a longer name that begins so", LIT("Received-SPF: a\r\nSubjects: b\r\n\r\n"),
	  "Received-SPF=a|Subjects=b|", 30, HEADER_BLANK_LINE, 0, "", "" },
	{ "a very long name", LIT("Received-Received-Received-Received-Received: a\r\n\r\n"),
	  "Received-Received-Received-Received-Received=a|", 49, HEADER_BLANK_LINE, 0, "", "" },
	{ "CR before something else", LIT("Subject: a\r\n\rx\r\n"), "Subject=a|", 12, HEADER_BROKEN, 0, "a",
	  "" },
};

static void fields_are_found_in_order(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char *copy = alone(cases[i].content);
		struct text content = text_of(copy, cases[i].content.len), rest = content;
		struct header_field field;
		struct buf b = BUF(1000);

		while (header_next(&rest, &field)) {
			buf_add(&b, field.name);
			buf_add_octet(&b, '=');
			header_unfold_add(&b, field.value);
			buf_add_octet(&b, '|');
			assert_ptr_equal(field.all.at + field.all.len, rest.at);
		}
		CHECK_TEXT(cases[i].name, buf_text(&b), text_from(cases[i].fields));
		CHECK_INT(cases[i].name, header_section_bytes(content), cases[i].section_bytes);
		buf_fini(&b);
		free(copy);
	}
}

static void a_scan_sees_the_same_whatever_the_cuts(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		for (size_t step = 1; step <= cases[i].content.len + 1; step++) {
			struct header_scan s;

			header_scan_init(&s);
			for (struct text rest = cases[i].content; rest.len; rest = text_skip(rest, step)) {
				char *copy = alone(text_head(rest, step));

				assert_int_equal(header_scan_feed(&s, text_of(copy, MIN(step, rest.len))),
				                 ERR_OK);
				free(copy);
			}
			header_scan_finish(&s);
			CHECK_INT(cases[i].name, s.end, cases[i].end);
			CHECK_INT(cases[i].name, s.counts[HEADER_RECEIVED], cases[i].received);
			CHECK_TEXT(cases[i].name, header_scan_value(&s, HEADER_SUBJECT),
			           text_from(cases[i].subject));
			CHECK_TEXT(cases[i].name, header_scan_value(&s, HEADER_MESSAGE_ID),
			           text_from(cases[i].message_id));
			header_scan_fini(&s);
		}
	}
}

static void all_wanted_fields_are_counted(void **state)
{
	struct header_scan s;

	(void)state;
	header_scan_init(&s);
	assert_int_equal(
		header_scan_feed(&s, TEXT("From: a\r\nFrom: b\r\nDate: c\r\nSender: d\r\nTo: e\r\nCc: f\r\n"
	                                  "Bcc: g\r\nReturn-Path: <>\r\nAuto-Submitted: no\r\nX: y\r\n\r\n")),
		ERR_OK);
	assert_int_equal(s.end, HEADER_BLANK_LINE);
	assert_int_equal(s.counts[HEADER_FROM], 2);
	assert_int_equal(s.counts[HEADER_DATE], 1);
	assert_int_equal(s.counts[HEADER_SENDER], 1);
	assert_int_equal(s.counts[HEADER_TO], 1);
	assert_int_equal(s.counts[HEADER_CC], 1);
	assert_int_equal(s.counts[HEADER_BCC], 1);
	assert_int_equal(s.counts[HEADER_RETURN_PATH], 1);
	assert_int_equal(s.counts[HEADER_AUTO_SUBMITTED], 1);
	assert_int_equal(s.counts[HEADER_RECEIVED], 0);
	CHECK_TEXT("from", header_scan_value(&s, HEADER_FROM), TEXT("a"));
	CHECK_TEXT("date", header_scan_value(&s, HEADER_DATE), TEXT("c"));
	CHECK_TEXT("counted only", header_scan_value(&s, HEADER_TO), TEXT(""));
	header_scan_fini(&s);
}

static void long_values_are_cut(void **state)
{
	struct header_scan s;

	(void)state;
	header_scan_init(&s);
	assert_int_equal(header_scan_feed(&s, TEXT("Subject: ")), ERR_OK);
	for (int i = 0; i < 2000; i++)
		assert_int_equal(header_scan_feed(&s, TEXT("ab")), ERR_OK);
	assert_int_equal(header_scan_feed(&s, TEXT("\r\nReceived: x\r\n\r\n")), ERR_OK);
	assert_int_equal(header_scan_value(&s, HEADER_SUBJECT).len, HEADER_VALUE_MAX);
	assert_int_equal(s.counts[HEADER_RECEIVED], 1);
	header_scan_fini(&s);
}

static void a_value_that_is_too_long_at_once_is_cut_too(void **state)
{
	static char subject[HEADER_VALUE_MAX + 7];
	struct header_scan s;

	(void)state;
	memset(subject, 'x', sizeof(subject));
	header_scan_init(&s);
	assert_int_equal(header_scan_feed(&s, TEXT("Subject: a\t")), ERR_OK);
	assert_int_equal(header_scan_feed(&s, text_of(subject, sizeof(subject))), ERR_OK);
	assert_int_equal(header_scan_feed(&s, TEXT("\r\n\r\n")), ERR_OK);
	assert_int_equal(s.end, HEADER_BLANK_LINE);
	assert_int_equal(header_scan_value(&s, HEADER_SUBJECT).len, HEADER_VALUE_MAX);
	assert_true(text_starts(header_scan_value(&s, HEADER_SUBJECT), TEXT("a xxx")));
	header_scan_fini(&s);
}

static void a_header_without_an_end_is_given_up(void **state)
{
	struct header_scan s;
	uint64_t fed = 0;

	(void)state;
	header_scan_init(&s);
	while (s.end == HEADER_OPEN) {
		assert_int_equal(header_scan_feed(&s, TEXT("Received: from a by b\r\n")), ERR_OK);
		fed += 23;
	}
	assert_int_equal(s.end, HEADER_TOO_BIG);
	assert_true(fed > HEADER_SCAN_MAX && fed < HEADER_SCAN_MAX + 100);
	assert_in_range(s.counts[HEADER_RECEIVED], fed / 23 - 1, fed / 23);
	header_scan_finish(&s);
	assert_int_equal(s.end, HEADER_TOO_BIG);
	header_scan_fini(&s);
}

static void content_behind_the_header_is_not_looked_at(void **state)
{
	struct header_scan s;

	(void)state;
	header_scan_init(&s);
	assert_int_equal(header_scan_feed(&s, TEXT("Subject: a\r\n\r\nReceived: x\r\n")), ERR_OK);
	assert_int_equal(header_scan_feed(&s, TEXT("Received: y\r\n")), ERR_OK);
	header_scan_finish(&s);
	assert_int_equal(s.end, HEADER_BLANK_LINE);
	assert_int_equal(s.bytes, 14);
	assert_int_equal(s.counts[HEADER_RECEIVED], 0);
	header_scan_fini(&s);
}

static void a_field_is_found_by_name(void **state)
{
	struct header_field f;
	struct text content = TEXT("A: 1\r\nb: 2\r\n\r\nC: 3\r\n");

	(void)state;
	assert_true(header_find(content, TEXT("B"), &f));
	CHECK_TEXT("whole", f.all, TEXT("b: 2\r\n"));
	CHECK_TEXT("value", f.value, TEXT(" 2"));
	assert_false(header_find(content, TEXT("C"), &f));
	assert_false(header_find(content, TEXT(""), &f));
}

static void memory_may_run_out_anywhere(void **state)
{
	(void)state;
	for (EACH_ALLOC_FAILING) {
		struct header_scan s;

		header_scan_init(&s);
		enum err err = header_scan_feed(
			&s, TEXT("Subject: a\r\nFrom: b\r\nDate: c\r\nMessage-ID: d\r\n\r\n"));

		assert_int_equal(err, alloc_has_failed() ? ERR_NOMEM : ERR_OK);
		header_scan_fini(&s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields_are_found_in_order),
		cmocka_unit_test(a_scan_sees_the_same_whatever_the_cuts),
		cmocka_unit_test(all_wanted_fields_are_counted),
		cmocka_unit_test(long_values_are_cut),
		cmocka_unit_test(a_value_that_is_too_long_at_once_is_cut_too),
		cmocka_unit_test(a_header_without_an_end_is_given_up),
		cmocka_unit_test(content_behind_the_header_is_not_looked_at),
		cmocka_unit_test(a_field_is_found_by_name),
		cmocka_unit_test(memory_may_run_out_anywhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
