#include <postrider/smtp/line.h>

#include <stdio.h>

#include "support/check.h"

static const struct {
	const char *name;
	struct text input;
	enum err err;
	enum line_fault fault;
	struct text line, rest;
} cases[] = {
	{ "a line", LIT("NOOP\r\n"), ERR_OK, LINE_FINE, LIT("NOOP"), LIT("") },
	{ "an empty line", LIT("\r\nx"), ERR_OK, LINE_FINE, LIT(""), LIT("x") },
	{ "two lines", LIT("a\r\nb\r\n"), ERR_OK, LINE_FINE, LIT("a"), LIT("b\r\n") },
	{ "nothing", LIT(""), ERR_MORE, LINE_FINE, LIT(""), LIT("") },
	{ "an unfinished line", LIT("NOO"), ERR_MORE, LINE_FINE, LIT(""), LIT("NOO") },
	{ "half a line end", LIT("NOOP\r"), ERR_MORE, LINE_FINE, LIT(""), LIT("NOOP\r") },
	{ "a bare LF", LIT("NOOP\nQUIT\r\n"), ERR_OK, LINE_BARE_LF, LIT("NOOP"), LIT("QUIT\r\n") },
	{ "a bare LF at once", LIT("\nQUIT\r\n"), ERR_OK, LINE_BARE_LF, LIT(""), LIT("QUIT\r\n") },
	{ "a bare CR", LIT("NO\rOP\r\n"), ERR_OK, LINE_BARE_CR, LIT("NO\rOP"), LIT("") },
	{ "CR twice", LIT("NOOP\r\r\n"), ERR_OK, LINE_BARE_CR, LIT("NOOP\r"), LIT("") },
	{ "a NUL", LIT("NO\0OP\r\n"), ERR_OK, LINE_NUL, LIT("NO\0OP"), LIT("") },
	{ "as long as may be", LIT("0123456789\r\n"), ERR_OK, LINE_FINE, LIT("0123456789"), LIT("") },
	{ "one octet too long", LIT("0123456789a\r\nb"), ERR_OK, LINE_TOO_LONG, LIT(""), LIT("b") },
	{ "as long as may be, unfinished", LIT("0123456789\r"), ERR_MORE, LINE_FINE, LIT(""),
	  LIT("0123456789\r") },
	{ "too long, unfinished", LIT("0123456789ab"), ERR_MORE, LINE_FINE, LIT(""), LIT("") },
	{ "too long, with a bare LF", LIT("0123456789ab\nc"), ERR_OK, LINE_BARE_LF, LIT(""), LIT("c") },
};

static void lines_end_at_cr_lf_only(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct line_reader r = line_reader(10);
		struct text input = cases[i].input;
		struct line line;
		enum err err = line_read(&r, &input, &line);

		CHECK_INT(cases[i].name, err, cases[i].err);
		CHECK_TEXT(cases[i].name, input, cases[i].rest);
		if (err)
			continue;
		CHECK_INT(cases[i].name, line.fault, cases[i].fault);
		CHECK_TEXT(cases[i].name, line.text, cases[i].line);
	}
}

/* What a reader makes of octets that come `step` at a time, as one text: "[line]" or "[!fault]". */
static void read_in_steps(struct text octets, size_t step, char *out)
{
	struct line_reader r = line_reader(10);
	size_t begin = 0, end = 0;

	*out = '\0';
	while (end < octets.len) {
		end = MIN(end + step, octets.len);
		char *copy = alone(text_of(octets.at + begin, end - begin));
		struct text input = text_of(copy, end - begin);
		struct line line;

		while (line_read(&r, &input, &line) == ERR_OK)
			out += line.fault ? sprintf(out, "[!%d]", (int)line.fault)
			                  : sprintf(out, "[%.*s]", TEXT_ARGS(line.text));
		begin = end - input.len;
		assert_true(input.len <= r.max_bytes + 1);
		free(copy);
	}
}

static void cuts_between_arrivals_change_nothing(void **state)
{
	struct text octets =
		TEXT("EHLO a\r\n0123456789\r\n0123456789ab\r\nMAIL\nx\rRCPT\r\nfar too long for this one\r\n"
	             "\r\nNO\0OP\r\nfar too long again\nQUIT\r\n\r\r\n"
	             "0123456789abc\r\r\nx\r\n");
	char whole[500], pieces[500];

	(void)state;
	read_in_steps(octets, octets.len, whole);
	assert_string_equal(whole, "[EHLO a][0123456789][!1][!2][!3][!1][][!4][!2][QUIT][!3][!1][x]");
	for (size_t step = 1; step < octets.len; step++) {
		read_in_steps(octets, step, pieces);
		assert_string_equal(pieces, whole);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_end_at_cr_lf_only),
		cmocka_unit_test(cuts_between_arrivals_change_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
