#include <postrider/mail/local_text.h>

#include "support/check.h"

static const struct {
	const char *name;
	struct text in, out;
	bool dot_ends, ended, has_nul, has_bare_cr, has_8bit;
} cases[] = {
	{ "LF", LIT("a\nb\n"), LIT("a\r\nb\r\n") },
	{ "CR LF", LIT("a\r\nb\r\n"), LIT("a\r\nb\r\n") },
	{ "both", LIT("a\r\nb\nc\r\n"), LIT("a\r\nb\r\nc\r\n") },
	{ "no last end", LIT("a"), LIT("a\r\n") },
	{ "nothing", LIT(""), LIT("") },
	{ "empty lines", LIT("\n\r\n\n"), LIT("\r\n\r\n\r\n") },
	{ "CR alone", LIT("a\rb\n"), LIT("a\r\nb\r\n"), .has_bare_cr = true },
	{ "two CR", LIT("a\r\r\n"), LIT("a\r\n\r\n"), .has_bare_cr = true },
	{ "CR at the end", LIT("a\r"), LIT("a\r\n"), .has_bare_cr = true },
	{ "CR at the start", LIT("\ra"), LIT("\r\na\r\n"), .has_bare_cr = true },
	{ "8 bit", LIT("\xc3\xa4\n"), LIT("\xc3\xa4\r\n"), .has_8bit = true },
	{ "NUL", LIT("a\0b\n"), LIT("a\0b\r\n"), .has_nul = true },
	{ "a dot is a dot", LIT("a\n.\nb\n"), LIT("a\r\n.\r\nb\r\n") },
	{ "a dot ends", LIT("a\n.\nb\n"), LIT("a\r\n"), .dot_ends = true, .ended = true },
	{ "a dot ends with CR LF", LIT("a\r\n.\r\nb\r\n"), LIT("a\r\n"), .dot_ends = true, .ended = true },
	{ "a dot first", LIT(".\n"), LIT(""), .dot_ends = true, .ended = true },
	{ "a dot without its end", LIT("a\n."), LIT("a\r\n"), .dot_ends = true, .ended = true },
	{ "a dot and CR at the end", LIT("a\n.\r"), LIT("a\r\n"), .dot_ends = true, .ended = true },
	{ "two dots", LIT("a\n..\nb\n"), LIT("a\r\n..\r\nb\r\n"), .dot_ends = true },
	{ "a dot and more", LIT(".a\n. \n"), LIT(".a\r\n. \r\n"), .dot_ends = true },
	{ "a dot not first", LIT("a.\nb\n"), LIT("a.\r\nb\r\n"), .dot_ends = true },
	{ "a dot and a CR inside", LIT(".\rb\n"), LIT(".\r\nb\r\n"), .dot_ends = true, .has_bare_cr = true },
	{ "a dot behind CR alone", LIT("a\r.\rb\n"), LIT("a\r\n.\r\nb\r\n"), .dot_ends = true,
	  .has_bare_cr = true },
	{ "NUL behind the dot is not seen", LIT(".\n\0"), LIT(""), .dot_ends = true, .ended = true },
};

static void check(size_t i, size_t step)
{
	struct local_text l = { .dot_ends = cases[i].dot_ends };
	AUTO(buf_fini) struct buf out = BUF(1000);
	AUTO(free_memory) char *copy = alone(cases[i].in);

	for (struct text rest = text_of(copy, cases[i].in.len); rest.len > 0; rest = text_skip(rest, step))
		local_text_add(&l, text_head(rest, step), &out);
	local_text_finish(&l, &out);
	CHECK_TEXT(cases[i].name, buf_text(&out), cases[i].out);
	CHECK_INT(cases[i].name, l.ended, cases[i].ended);
	CHECK_INT(cases[i].name, l.has_nul, cases[i].has_nul);
	CHECK_INT(cases[i].name, l.has_bare_cr, cases[i].has_bare_cr);
	CHECK_INT(cases[i].name, l.has_8bit, cases[i].has_8bit);
}

static void test_table_cut_anywhere(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		for (size_t step = 1; step <= 8; step++)
			check(i, step);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table_cut_anywhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
