#include <postrider/smtp/reply.h>

#include "support/alloc.h"
#include "support/check.h"

/* ---------------------------------------------------------------- peers' */

static const struct {
	const char *name;
	struct text input;
	enum err err;
	int code;
	const char *enhanced;
	struct text text, rest;
} read_cases[] = {
	{ "one line", LIT("250 OK\r\n"), ERR_OK, 250, "", LIT("OK"), LIT("") },
	{ "a code alone", LIT("250\r\n"), ERR_OK, 250, "", LIT(""), LIT("") },
	{ "a code and a space", LIT("250 \r\n"), ERR_OK, 250, "", LIT(""), LIT("") },
	{ "several lines", LIT("250-a\r\n250-b\r\n250 c\r\n"), ERR_OK, 250, "", LIT("a\nb\nc"), LIT("") },
	{ "the last line without a text", LIT("250-a\r\n250\r\n"), ERR_OK, 250, "", LIT("a\n"), LIT("") },
	{ "the next reply stays", LIT("250 a\r\n354 b\r\n"), ERR_OK, 250, "", LIT("a"), LIT("354 b\r\n") },
	{ "an enhanced code", LIT("550 5.1.1 no such user\r\n"), ERR_OK, 550, "5.1.1", LIT("no such user"),
	  LIT("") },
	{ "an enhanced code alone", LIT("250 2.0.0\r\n"), ERR_OK, 250, "2.0.0", LIT(""), LIT("") },
	{ "an enhanced code on each line", LIT("550-5.7.26 a\r\n550 5.7.26 b\r\n"), ERR_OK, 550, "5.7.26",
	  LIT("a\nb"), LIT("") },
	{ "an enhanced code in the second line", LIT("550-a\r\n550 5.7.1 b\r\n"), ERR_OK, 550, "5.7.1",
	  LIT("a\nb"), LIT("") },
	{ "enhanced codes that differ", LIT("550-5.7.1 a\r\n550 5.7.2 b\r\n"), ERR_OK, 550, "5.7.1",
	  LIT("a\n5.7.2 b"), LIT("") },
	{ "three digits in each part", LIT("550 5.100.999 a\r\n"), ERR_OK, 550, "5.100.999", LIT("a"),
	  LIT("") },
	{ "four digits are too many", LIT("550 5.1.1000 a\r\n"), ERR_OK, 550, "", LIT("5.1.1000 a"),
	  LIT("") },
	{ "an enhanced code of another class", LIT("450 5.1.1 a\r\n"), ERR_OK, 450, "", LIT("5.1.1 a"),
	  LIT("") },
	{ "an enhanced code on 3xx", LIT("354 3.0.0 go\r\n"), ERR_OK, 354, "", LIT("3.0.0 go"), LIT("") },
	{ "an address is no enhanced code", LIT("220 2.0.0.1 a\r\n"), ERR_OK, 220, "", LIT("2.0.0.1 a"),
	  LIT("") },
	{ "a version is no enhanced code", LIT("220 2.0 a\r\n"), ERR_OK, 220, "", LIT("2.0 a"), LIT("") },
	{ "an unknown code counts by its first digit", LIT("599 x\r\n"), ERR_OK, 599, "", LIT("x"), LIT("") },
	{ "an unknown second digit", LIT("288 x\r\n"), ERR_OK, 288, "", LIT("x"), LIT("") },
	{ "control octets", LIT("250 a\0b\x1b[2Jc\td\x7f\r\n"), ERR_OK, 250, "", LIT("a?b?[2Jc d?"),
	  LIT("") },
	{ "octets above 127 stay", LIT("550 caf\xc3\xa9\r\n"), ERR_OK, 550, "", LIT("caf\xc3\xa9"), LIT("") },
	{ "CR twice", LIT("250 a\r\r\n"), ERR_OK, 250, "", LIT("a?"), LIT("") },
	{ "nothing", LIT(""), ERR_MORE, 0, "", LIT(""), LIT("") },
	{ "an unfinished line", LIT("250 a"), ERR_MORE, 0, "", LIT(""), LIT("250 a") },
	{ "an unfinished reply", LIT("250-a\r\n25"), ERR_MORE, 0, "", LIT(""), LIT("25") },
	{ "a bare LF", LIT("250 a\n"), ERR_SYNTAX, 0, "", LIT(""), LIT("") },
	{ "codes that differ", LIT("250-a\r\n251 b\r\n"), ERR_SYNTAX, 0, "", LIT(""), LIT("") },
	{ "classes that differ", LIT("250-a\r\n550 b\r\n"), ERR_SYNTAX, 0, "", LIT(""), LIT("") },
	{ "a reply in a reply", LIT("250-a\r\nb\r\n"), ERR_SYNTAX, 0, "", LIT(""), LIT("") },
	{ "no code", LIT("hello\r\n"), ERR_SYNTAX, 0, "", LIT(""), LIT("") },
	{ "an empty line", LIT("\r\n"), ERR_SYNTAX, 0, "", LIT(""), LIT("") },
	{ "a code of two digits", LIT("25 a\r\n"), ERR_SYNTAX, 0, "", LIT(""), LIT("") },
	{ "a code of four digits", LIT("2500 a\r\n"), ERR_SYNTAX, 0, "", LIT(""), LIT("") },
	{ "a code of the first class", LIT("150 a\r\n"), ERR_SYNTAX, 0, "", LIT(""), LIT("") },
	{ "a code of the sixth class", LIT("650 a\r\n"), ERR_SYNTAX, 0, "", LIT(""), LIT("") },
	{ "a space before the code", LIT(" 250 a\r\n"), ERR_SYNTAX, 0, "", LIT(""), LIT("") },
	{ "HTTP", LIT("HTTP/1.1 400 Bad Request\r\n"), ERR_SYNTAX, 0, "", LIT(""), LIT("") },
};

static void replies_are_read_as_they_stand(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(read_cases); i++) {
		const char *name = read_cases[i].name;
		struct reply_reader r;
		struct text input = read_cases[i].input;
		struct reply reply;

		reply_reader_init(&r);
		enum err err = reply_read(&r, &input, &reply);

		CHECK_INT(name, err, read_cases[i].err);
		CHECK_TEXT(name, input, read_cases[i].rest);
		if (!err) {
			CHECK_INT(name, reply.code, read_cases[i].code);
			CHECK_TEXT(name, text_from(reply.enhanced), text_from(read_cases[i].enhanced));
			CHECK_TEXT(name, reply.text, read_cases[i].text);
			CHECK(name, !reply_reader_is_inside(&r));
		}
		reply_reader_fini(&r);
	}
}

/* All replies in octets that come `step` at a time, one line each. */
static void read_in_steps(struct text octets, size_t step, struct buf *out)
{
	struct reply_reader r;
	size_t begin = 0, end = 0;

	reply_reader_init(&r);
	while (end < octets.len) {
		end = MIN(end + step, octets.len);
		char *copy = alone(text_of(octets.at + begin, end - begin));
		struct text input = text_of(copy, end - begin);
		struct reply reply;

		while (reply_read(&r, &input, &reply) == ERR_OK) {
			reply_add_line(out, &reply);
			buf_add_octet(out, '|');
		}
		begin = end - input.len;
		free(copy);
	}
	reply_reader_fini(&r);
}

static void cuts_between_arrivals_change_nothing(void **state)
{
	struct text octets = TEXT("220 mx ESMTP\r\n250-mx\r\n250-SIZE 1000\r\n250 HELP\r\n250 2.1.0 Ok\r\n"
	                          "550-5.1.1 no\r\n550 5.1.1 really\r\n354 go\r\n");

	(void)state;
	for (size_t step = 1; step <= octets.len; step++) {
		struct buf out = BUF(1000);

		read_in_steps(octets, step, &out);
		CHECK_TEXT(
			"step", buf_text(&out),
			TEXT("220 mx ESMTP|250 mx SIZE 1000 HELP|250 2.1.0 Ok|550 5.1.1 no really|354 go|"));
		buf_fini(&out);
	}
}

static void add_lines(struct buf *b, size_t count, size_t len)
{
	for (size_t i = 0; i < count; i++) {
		buf_add_string(b, i + 1 < count ? "250-" : "250 ");
		for (size_t k = 4; k < len; k++)
			buf_add_octet(b, 'x');
		buf_add_string(b, "\r\n");
	}
}

static const struct {
	const char *name;
	size_t count, len;
	enum err err;
	size_t kept;
} limit_cases[] = {
	{ "the longest line", 1, REPLY_LINE_MAX, ERR_OK, REPLY_LINE_MAX - 4 },
	{ "a longer one", 1, REPLY_LINE_MAX + 1, ERR_TOO_BIG, 0 },
	{ "most lines", REPLY_LINES_MAX, 5, ERR_OK, 2 * REPLY_LINES_MAX - 1 },
	{ "one more", REPLY_LINES_MAX + 1, 5, ERR_TOO_BIG, 0 },
	{ "more text than is kept", 100, 1000, ERR_OK, REPLY_TEXT_MAX },
};

static void limits_hold(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(limit_cases); i++) {
		struct buf b = BUF(1u << 20);
		struct reply_reader r;
		struct reply reply;

		add_lines(&b, limit_cases[i].count, limit_cases[i].len);
		struct text input = buf_text(&b);

		reply_reader_init(&r);
		CHECK_INT(limit_cases[i].name, reply_read(&r, &input, &reply), limit_cases[i].err);
		if (!limit_cases[i].err)
			CHECK_INT(limit_cases[i].name, reply.text.len, limit_cases[i].kept);
		reply_reader_fini(&r);
		buf_fini(&b);
	}
}

static void a_line_that_never_ends_is_too_big(void **state)
{
	struct reply_reader r;
	struct reply reply;
	struct buf kept = BUF(10000);
	enum err err = ERR_MORE;

	(void)state;
	reply_reader_init(&r);
	while (err == ERR_MORE) {
		buf_add_string(&kept, "2");
		struct text input = buf_text(&kept);

		err = reply_read(&r, &input, &reply);
		buf_drop_head(&kept, kept.len - input.len);
	}
	assert_int_equal(err, ERR_TOO_BIG);
	reply_reader_fini(&r);
	buf_fini(&kept);
}

static void a_reset_forgets_half_a_reply(void **state)
{
	struct reply_reader r;
	struct reply reply;
	struct text input = TEXT("250-injected\r\n"), second = TEXT("220 ready\r\n");

	(void)state;
	reply_reader_init(&r);
	assert_int_equal(reply_read(&r, &input, &reply), ERR_MORE);
	assert_true(reply_reader_is_inside(&r));
	reply_reader_reset(&r);
	assert_false(reply_reader_is_inside(&r));
	assert_int_equal(reply_read(&r, &second, &reply), ERR_OK);
	CHECK_TEXT("text", reply.text, TEXT("ready"));
	reply_reader_fini(&r);
}

static void memory_may_run_out_anywhere(void **state)
{
	(void)state;
	for (EACH_ALLOC_FAILING) {
		struct reply_reader r;
		struct reply reply;
		struct buf b = BUF(10000);

		add_lines(&b, 8, 400);
		if (alloc_has_failed()) {
			buf_fini(&b);
			continue;
		}
		struct text input = buf_text(&b);

		reply_reader_init(&r);
		enum err err = reply_read(&r, &input, &reply);

		assert_int_equal(err, alloc_has_failed() ? ERR_NOMEM : ERR_OK);
		reply_reader_fini(&r);
		buf_fini(&b);
	}
}

static void a_reply_counts_by_its_first_digit(void **state)
{
	struct reply r = { .code = 299 };

	(void)state;
	assert_true(reply_is_positive(&r) && reply_class(&r) == REPLY_POSITIVE);
	r.code = 354;
	assert_true(reply_is_intermediate(&r) && !reply_is_positive(&r));
	r.code = 421;
	assert_true(reply_is_transient(&r) && !reply_is_permanent(&r));
	r.code = 599;
	assert_true(reply_is_permanent(&r) && !reply_is_transient(&r));
}

static void a_status_is_there_without_an_enhanced_code(void **state)
{
	struct reply full = { 550, "5.7.1", TEXT("") }, bare = { 450, "", TEXT("") };

	(void)state;
	CHECK_TEXT("given", reply_status(&full), TEXT("5.7.1"));
	CHECK_TEXT("4xx", reply_status(&bare), TEXT("4.0.0"));
	bare.code = 250;
	CHECK_TEXT("2xx", reply_status(&bare), TEXT("2.0.0"));
	bare.code = 550;
	CHECK_TEXT("5xx", reply_status(&bare), TEXT("5.0.0"));
}

static const struct {
	struct text text;
	bool is;
} enhanced_cases[] = {
	{ LIT("2.0.0"), true },   { LIT("5.123.456"), true }, { LIT("3.0.0"), false },
	{ LIT("1.0.0"), false },  { LIT("5.1"), false },      { LIT("5.1."), false },
	{ LIT("5..1"), false },   { LIT("5.1.1 "), false },   { LIT("5.1.1a"), false },
	{ LIT("51.1"), false },   { LIT("5.1234.1"), false }, { LIT(""), false },
	{ LIT("5.-1.1"), false }, { LIT("5.1.1.1"), false },
};

static void enhanced_codes_are_known(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(enhanced_cases); i++)
		CHECK_INT(enhanced_cases[i].text.at, reply_is_enhanced(enhanced_cases[i].text),
		          enhanced_cases[i].is);
}

/* ---------------------------------------------------------------- ours */

static const struct {
	const char *name;
	struct reply reply;
	struct text wire, line;
} write_cases[] = {
	{ "one line", { 250, "2.1.0", LIT("Ok") }, LIT("250 2.1.0 Ok\r\n"), LIT("250 2.1.0 Ok") },
	{ "no enhanced code",
	  { 220, "", LIT("relay ESMTP") },
	  LIT("220 relay ESMTP\r\n"),
	  LIT("220 relay ESMTP") },
	{ "no text", { 250, "", LIT("") }, LIT("250 \r\n"), LIT("250") },
	{ "two lines",
	  { 550, "5.7.1", LIT("a\nb") },
	  LIT("550-5.7.1 a\r\n550 5.7.1 b\r\n"),
	  LIT("550 5.7.1 a b") },
	{ "a line break at the end", { 550, "", LIT("a\n") }, LIT("550-a\r\n550 \r\n"), LIT("550 a ") },
	{ "line breaks alone", { 550, "", LIT("\n\n") }, LIT("550-\r\n550-\r\n550 \r\n"), LIT("550   ") },
	{ "another class", { 450, "5.7.1", LIT("a") }, LIT("450 a\r\n"), LIT("450 a") },
	{ "3xx has no enhanced code", { 354, "2.0.0", LIT("go") }, LIT("354 go\r\n"), LIT("354 go") },
	{ "injected lines stay in the reply",
	  { 550, "5.1.1", LIT("<a\r\n250 ok>") },
	  LIT("550-5.1.1 <a?\r\n550 5.1.1 250 ok>\r\n"),
	  LIT("550 5.1.1 <a? 250 ok>") },
	{ "controls",
	  { 550, "", LIT("a\0b\x1b[2J\tc\x7f\rd") },
	  LIT("550 a?b?[2J?c??d\r\n"),
	  LIT("550 a?b?[2J?c??d") },
	{ "octets above 127", { 550, "", LIT("caf\xc3\xa9") }, LIT("550 caf??\r\n"), LIT("550 caf\xc3\xa9") },
	{ "UTF-8 for those who asked",
	  { 550, "", LIT("caf\xc3\xa9 \xf0\x9f\x93\xae"), true },
	  LIT("550 caf\xc3\xa9 \xf0\x9f\x93\xae\r\n"),
	  LIT("550 caf\xc3\xa9 \xf0\x9f\x93\xae") },
	{ "no UTF-8 for those who asked",
	  { 550, "", LIT("caf\xe9 \xc3 \xed\xa0\x80 \xc2\x85 \xe2\x80\xa8 \x01"), true },
	  LIT("550 caf? ? ??? ?? ??? ?\r\n"),
	  LIT("550 caf\xe9 \xc3 \xed\xa0\x80 \xc2\x85 \xe2\x80\xa8 ?") },
};

static void replies_are_written_without_a_way_out(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(write_cases); i++) {
		struct buf b = BUF(1000);

		reply_add(&b, &write_cases[i].reply);
		CHECK_TEXT(write_cases[i].name, buf_text(&b), write_cases[i].wire);
		buf_reset(&b);
		reply_add_line(&b, &write_cases[i].reply);
		CHECK_TEXT(write_cases[i].name, buf_text(&b), write_cases[i].line);
		buf_fini(&b);
	}
}

static void no_line_of_ours_passes_512_octets(void **state)
{
	(void)state;
	for (size_t len = 490; len<1600; len += len> 530 ? 97 : 1) {
		struct reply reply = { 550, "5.7.1", TEXT_EMPTY };
		struct buf text = BUF(2000), wire = BUF(4000), joined = BUF(4000);

		for (size_t i = 0; i < len; i++)
			buf_add_octet(&text, (char)('a' + i % 26));
		reply.text = buf_text(&text);
		reply_add(&wire, &reply);
		struct text rest = buf_text(&wire);
		bool last = false;

		while (rest.len) {
			size_t end = text_find(rest, TEXT("\r\n"));

			assert_false(last);
			assert_true(end + 2 <= 512);
			last = rest.at[3] == ' ';
			assert_true(text_starts(text_skip(rest, 4), TEXT("5.7.1 ")));
			buf_add(&joined, text_skip(text_head(rest, end), 10));
			rest = text_skip(rest, end + 2);
		}
		assert_true(last);
		CHECK_TEXT("joined", buf_text(&joined), reply.text);
		buf_fini(&text);
		buf_fini(&wire);
		buf_fini(&joined);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(replies_are_read_as_they_stand),
		cmocka_unit_test(cuts_between_arrivals_change_nothing),
		cmocka_unit_test(limits_hold),
		cmocka_unit_test(a_line_that_never_ends_is_too_big),
		cmocka_unit_test(a_reset_forgets_half_a_reply),
		cmocka_unit_test(memory_may_run_out_anywhere),
		cmocka_unit_test(a_reply_counts_by_its_first_digit),
		cmocka_unit_test(a_status_is_there_without_an_enhanced_code),
		cmocka_unit_test(enhanced_codes_are_known),
		cmocka_unit_test(replies_are_written_without_a_way_out),
		cmocka_unit_test(no_line_of_ours_passes_512_octets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
