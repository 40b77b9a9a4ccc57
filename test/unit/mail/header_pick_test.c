#include <postrider/mail/header.h>

#include "support/alloc.h"
#include "support/check.h"

static const struct text names[] = { LIT("X-Stream"), LIT("List-Id") };

static const struct {
	const char *name;
	struct text content;
	const char *lines;
} cases[] = {
	{ "a field", LIT("X-Stream: bulk\r\n\r\n"), "X-Stream: bulk\nList-Id\n" },
	{ "in other letters", LIT("x-STREAM:bulk\r\n\r\n"), "X-Stream: bulk\nList-Id\n" },
	{ "none", LIT("Subject: x\r\n\r\nX-Stream: bulk\r\n"), "X-Stream\nList-Id\n" },
	{ "an empty message", LIT(""), "X-Stream\nList-Id\n" },
	{ "twice", LIT("X-Stream: a\r\nX-Stream: b\r\n\r\n"), "X-Stream: a\nX-Stream: b\nList-Id\n" },
	{ "both", LIT("List-Id: <a.b>\r\nX-Stream: b\r\n\r\n"), "List-Id: <a.b>\nX-Stream: b\n" },
	{ "folded", LIT("X-Stream: a\r\n\tb\r\n  c \r\nSubject: x\r\n\r\n"), "X-Stream: a b  c\nList-Id\n" },
	{ "folded before its value", LIT("X-Stream:\r\n a\r\n\r\n"), "X-Stream: a\nList-Id\n" },
	{ "empty", LIT("X-Stream:  \r\n\r\n"), "X-Stream: \nList-Id\n" },
	{ "a colon in the value", LIT("X-Stream: a:b\r\n\r\n"), "X-Stream: a:b\nList-Id\n" },
	{ "white space before the colon", LIT("X-Stream \t: a\r\n\r\n"), "X-Stream: a\nList-Id\n" },
	{ "a name that goes on", LIT("X-Stream-2: a\r\n\r\n"), "X-Stream\nList-Id\n" },
	{ "a name that is cut", LIT("X-Strea: a\r\n\r\n"), "X-Stream\nList-Id\n" },
	{ "octets that are no text", LIT("X-Stream: a\x01\x7f\xff z\r\n\r\n"),
	  "X-Stream: a  \xff z\nList-Id\n" },
	{ "line ends of another kind", LIT("X-Stream: a\nList-Id: b\n\n"), "X-Stream: a\nList-Id: b\n" },
	{ "a line that is no field ends them", LIT("X-Stream: a\r\nno field\r\nList-Id: b\r\n\r\n"),
	  "X-Stream: a\nList-Id\n" },
	{ "the message ends in a field", LIT("X-Stream: a"), "X-Stream: a\nList-Id\n" },
};

static void lines_are(const char *name, struct header_pick *p, struct text lines)
{
	CHECK_INT(name, header_pick_finish(p), ERR_OK);
	CHECK_TEXT(name, buf_text(&p->lines), lines);
	header_pick_fini(p);
}

static void fields_in_memory_become_lines(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct header_pick p;

		header_pick_init(&p, names, ARRAY_LEN(names));
		header_pick_all(&p, cases[i].content);
		lines_are(cases[i].name, &p, text_from(cases[i].lines));
	}
}

static void fields_that_arrive_piece_by_piece_become_the_same_lines(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		for (size_t piece = 1; piece < 9; piece++) {
			struct header_scan s;
			struct header_pick p;
			struct text rest = cases[i].content;

			header_scan_init(&s);
			header_pick_init(&p, names, ARRAY_LEN(names));
			s.pick = &p;
			for (; rest.len; rest = text_skip(rest, piece))
				assert_int_equal(header_scan_feed(&s, text_head(rest, piece)), ERR_OK);
			header_scan_finish(&s);
			lines_are(cases[i].name, &p, text_from(cases[i].lines));
			header_scan_fini(&s);
		}
	}
}

static void a_value_is_cut_and_all_of_them_are_bounded(void **state)
{
	AUTO(buf_fini) struct buf content = BUF(1u << 20);
	struct header_pick p;
	struct text lines, name, value;
	size_t count = 0;

	(void)state;
	for (unsigned i = 0; i < 100; i++) {
		buf_add_format(&content, "X-Stream: %03u", i);
		for (unsigned j = 0; j < 900; j++)
			buf_add_octet(&content, 'v');
		buf_add_string(&content, "\r\n");
	}
	header_pick_init(&p, names, ARRAY_LEN(names));
	header_pick_all(&p, buf_text(&content));
	assert_int_equal(header_pick_finish(&p), ERR_OK);
	assert_true(p.lines.len <= HEADER_PICK_MAX + 64);
	for (lines = buf_text(&p.lines); header_pick_next(&lines, &name, &value); count++) {
		CHECK_TEXT("name", name, names[0]);
		assert_true(value.len <= HEADER_PICK_VALUE_MAX);
		assert_true(count > 6 || value.len == HEADER_PICK_VALUE_MAX);
	}
	assert_int_equal(count, 8);
	assert_true(header_pick_knows(buf_text(&p.lines), names[1]));
	header_pick_fini(&p);
}

static void a_thousand_empty_fields_are_bounded_too(void **state)
{
	AUTO(buf_fini) struct buf content = BUF(1u << 20);
	struct header_pick p;

	(void)state;
	for (unsigned i = 0; i < 10000; i++)
		buf_add_string(&content, "List-Id:\r\n");
	header_pick_init(&p, names, ARRAY_LEN(names));
	header_pick_all(&p, buf_text(&content));
	assert_int_equal(header_pick_finish(&p), ERR_OK);
	assert_true(p.lines.len <= HEADER_PICK_MAX + 64);
	assert_true(header_pick_knows(buf_text(&p.lines), names[0]));
	header_pick_fini(&p);
}

static void what_was_asked_for_can_be_told_from_what_was_not(void **state)
{
	struct text lines = LIT("X-Stream: bulk\nList-Id\n"), name, value;

	(void)state;
	assert_true(header_pick_knows(lines, TEXT("x-stream")));
	assert_true(header_pick_knows(lines, TEXT("List-ID")));
	assert_false(header_pick_knows(lines, TEXT("X-Stre")));
	assert_false(header_pick_knows(lines, TEXT("bulk")));
	assert_false(header_pick_knows(TEXT_EMPTY, TEXT("X-Stream")));
	assert_true(header_pick_next(&lines, &name, &value));
	CHECK_TEXT("value", value, TEXT("bulk"));
	assert_false(header_pick_next(&lines, &name, &value));
}

static void each_allocation_may_fail(void **state)
{
	(void)state;
	for (EACH_ALLOC_FAILING) {
		struct header_pick p;

		header_pick_init(&p, names, ARRAY_LEN(names));
		header_pick_all(&p, TEXT("X-Stream: bulk\r\n"));
		assert_int_equal(header_pick_finish(&p), alloc_has_failed() ? ERR_NOMEM : ERR_OK);
		header_pick_fini(&p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields_in_memory_become_lines),
		cmocka_unit_test(fields_that_arrive_piece_by_piece_become_the_same_lines),
		cmocka_unit_test(a_value_is_cut_and_all_of_them_are_bounded),
		cmocka_unit_test(a_thousand_empty_fields_are_bounded_too),
		cmocka_unit_test(what_was_asked_for_can_be_told_from_what_was_not),
		cmocka_unit_test(each_allocation_may_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
