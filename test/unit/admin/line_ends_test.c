#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <postrider/base/auto.h>
#include <postrider/base/buf.h>

#include "line_ends.h"

static const struct {
	const char *name;
	struct text in, out;
	bool has_8bit;
} cases[] = {
	{ "as mail has it", LIT("a\r\nb\r\n"), LIT("a\r\nb\r\n"), false },
	{ "as files have it", LIT("a\nb\n"), LIT("a\r\nb\r\n"), false },
	{ "no end of the last line", LIT("a\nb"), LIT("a\r\nb\r\n"), false },
	{ "a CR alone", LIT("a\rb\r"), LIT("a\r\nb\r\n"), false },
	{ "a CR before CR LF", LIT("a\r\r\nb"), LIT("a\r\n\r\nb\r\n"), false },
	{ "LF CR", LIT("a\n\rb"), LIT("a\r\n\r\nb\r\n"), false },
	{ "empty lines", LIT("\n\n\r\n"), LIT("\r\n\r\n\r\n"), false },
	{ "nothing", LIT(""), LIT(""), false },
	{ "8-bit and NUL", LIT("\xc3\xbc\0\n"), LIT("\xc3\xbc\0\r\n"), true },
	{ "a dot alone", LIT("\n.\n"), LIT("\r\n.\r\n"), false },
};

static void line_ends_become_those_of_mail_however_they_are_cut(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		for (size_t step = 1; step <= 4; step++) {
			struct line_ends l = { 0 };
			AUTO(buf_fini) struct buf out = BUF(100);

			for (size_t at = 0; at < cases[i].in.len; at += step)
				line_ends_add(&l, text_head(text_skip(cases[i].in, at), step), &out);
			line_ends_finish(&l, &out);
			if (!text_eq(buf_text(&out), cases[i].out) || l.has_8bit != cases[i].has_8bit)
				fail_msg("%s, cut by %zu", cases[i].name, step);
		}
}

static void octets_at_most_double(void **state)
{
	(void)state;
	struct line_ends l = { 0 };
	AUTO(buf_fini) struct buf out = BUF(10);

	line_ends_add(&l, TEXT("\n\n\n\n\n"), &out);
	line_ends_finish(&l, &out);
	assert_int_equal(buf_err(&out), ERR_OK);
	assert_int_equal(out.len, 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(line_ends_become_those_of_mail_however_they_are_cut),
		cmocka_unit_test(octets_at_most_double),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
