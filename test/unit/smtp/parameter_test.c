#include <postrider/smtp/parameter.h>

#include "support/check.h"

/* Refusals are told by a word of what is said; NULL: the value is good. */
static void check_why(const char *name, const char *why, const char *expected)
{
	if (!expected && why)
		fail_msg("%s: refused: %s", name, why);
	if (expected && !why)
		fail_msg("%s: taken", name);
	if (expected && text_find(text_from(why), text_from(expected)) == strlen(why))
		fail_msg("%s: \"%s\" does not say \"%s\"", name, why, expected);
}

/* ---------------------------------------------------------------- xtext */

static void xtext_stands_for_any_octets(void **state)
{
	struct buf b = BUF(100), back = BUF(100);
	const struct text octets = LIT("a+b=c d\0\xff\r\n");

	(void)state;
	smtp_xtext_add(&b, octets);
	CHECK_TEXT("coded", buf_text(&b), TEXT("a+2Bb+3Dc+20d+00+FF+0D+0A"));
	assert_int_equal(smtp_xtext_decode(buf_text(&b), &back), ERR_OK);
	CHECK_TEXT("and back", buf_text(&back), octets);
	buf_reset(&back);
	static const char *const none[] = {
		"a+", "a+2", "a+2b", "a+GG", "a=b", "a b", "caf\xc3\xa9", "a\tb"
	};

	for (size_t i = 0; i < ARRAY_LEN(none); i++) {
		assert_false(smtp_xtext_check(text_from(none[i])));
		assert_int_equal(smtp_xtext_decode(text_from(none[i]), &back), ERR_SYNTAX);
		assert_int_equal(back.len, 0);
	}
	/* what stands behind the text does not count */
	assert_true(smtp_xtext_check(TEXT("+41")));
	assert_false(smtp_xtext_check(text_head(TEXT("+41"), 2)));
	buf_fini(&b);
	buf_fini(&back);
}

/* ---------------------------------------------------------------- DSN */

#define TEN "1234567890"
#define FIFTY TEN TEN TEN TEN TEN
#define HUNDRED FIFTY FIFTY

static const struct {
	const char *value;
	const char *why;
} envids[] = {
	{ "QQ314159", NULL },     { "a+2Bb+3D<c>@d", NULL },
	{ HUNDRED, NULL },        { HUNDRED "1", "100" },
	{ "", "needed" },         { "a+3", "xtext" },
	{ "a+3d", "xtext" },      { "a+0D+0ARCPT", "printed" },
	{ "a+00", "printed" },    { "a+7F", "printed" },
	{ "a+C3+A9", "printed" },
};

static void envids_are_xtext_that_can_be_printed(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(envids); i++)
		check_why(envids[i].value, smtp_envid_check(text_from(envids[i].value)), envids[i].why);
}

static const struct {
	const char *value;
	bool smtputf8;
	const char *why;
	const char *address;
} orcpts[] = {
	{ "rfc822;Bob@Ent.NET", false, NULL, "Bob@Ent.NET" },
	{ "RFC822;a+2Bb@c", false, NULL, "a+b@c" },
	{ "rfc822;a+20b@c", false, NULL, "a b@c" },
	{ "x-mailbox-7;whatever", false, NULL, "whatever" },
	{ "rfc822;" HUNDRED HUNDRED HUNDRED HUNDRED FIFTY TEN TEN TEN TEN "123", false, NULL, NULL },
	{ "rfc822;" HUNDRED HUNDRED HUNDRED HUNDRED FIFTY TEN TEN TEN TEN "1234", false, "500", NULL },
	{ "utf-8;user@example.com", false, NULL, "user@example.com" },
	{ "utf-8;j\\x{F6}rg@example.com", false, NULL, "j\xc3\xb6rg@example.com" },
	{ "UTF-8;\\x{7528}\\x{6237}@example.com", false, NULL, "\xe7\x94\xa8\xe6\x88\xb7@example.com" },
	{ "utf-8;\\x{1F4EE}@example.com", false, NULL, "\xf0\x9f\x93\xae@example.com" },
	{ "utf-8;a\\x{2B}b\\x{3D}c\\x{5C}@d", false, NULL, "a+b=c\\@d" },
	{ "utf-8;j\xc3\xb6rg@example.com", true, NULL, "j\xc3\xb6rg@example.com" },
	{ "utf-8;j\xc3\xb6rg@example.com", false, "RFC 6533", NULL },
	{ "rfc822;j\xc3\xb6rg@example.com", true, "xtext", NULL },
	{ "utf-8;a+b@c", false, "RFC 6533", NULL },
	{ "utf-8;a\\b@c", false, "RFC 6533", NULL },
	{ "utf-8;\\x{D}\\x{A}@c", false, "RFC 6533", NULL },
	{ "utf-8;\\x{0D}\\x{0A}@c", false, "RFC 6533", NULL },
	{ "utf-8;\\x{2028}@c", false, "RFC 6533", NULL },
	{ "utf-8;\\x{85}@c", false, "RFC 6533", NULL },
	{ "utf-8;\\x{D800}@c", false, "RFC 6533", NULL },
	{ "utf-8;\\x{110000}@c", false, "RFC 6533", NULL },
	{ "utf-8;\\x{1234567}@c", false, "RFC 6533", NULL },
	{ "utf-8;\\x{100000041}@c", false, "RFC 6533", NULL },
	{ "utf-8;\\x{f6}@c", false, "RFC 6533", NULL },
	{ "utf-8;\\x{0F6}@c", false, "RFC 6533", NULL },
	{ "utf-8;\\x{F6@c", false, "RFC 6533", NULL },
	{ "utf-8;\xc3", true, "RFC 6533", NULL },
	{ "utf-8;\xe2\x80\xa8@c", true, "RFC 6533", NULL },
	{ "", false, "needed", NULL },
	{ "rfc822", false, "form", NULL },
	{ "rfc822;", false, "form", NULL },
	{ ";a@b", false, "form", NULL },
	{ "rfc 822;a@b", false, "form", NULL },
	{ "rfc822;a+0D+0ABcc:x@y", false, "printed", NULL },
	{ "rfc822;a+0Ab", false, "printed", NULL },
	{ "rfc822;a+b@c", false, "xtext", NULL },
};

static void orcpt_is_a_type_and_a_coded_address(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(orcpts); i++) {
		struct text value = text_from(orcpts[i].value), type;
		struct buf address = BUF(SMTP_ORCPT_MAX);

		check_why(orcpts[i].value, smtp_orcpt_check(value, orcpts[i].smtputf8), orcpts[i].why);
		if (orcpts[i].address) {
			CHECK_INT(orcpts[i].value, smtp_orcpt_decode(value, &type, &address), ERR_OK);
			CHECK_TEXT(orcpts[i].value, buf_text(&address), text_from(orcpts[i].address));
			assert_true(text_starts(value, type));
		}
		buf_fini(&address);
	}
}

static const struct {
	const char *value;
	const char *why;
	unsigned bits;
} notifies[] = {
	{ "NEVER", NULL, SMTP_NOTIFY_NEVER },
	{ "never", NULL, SMTP_NOTIFY_NEVER },
	{ "SUCCESS", NULL, SMTP_NOTIFY_SUCCESS },
	{ "Failure,delay", NULL, SMTP_NOTIFY_FAILURE | SMTP_NOTIFY_DELAY },
	{ "DELAY,SUCCESS,FAILURE", NULL, SMTP_NOTIFY_SUCCESS | SMTP_NOTIFY_FAILURE | SMTP_NOTIFY_DELAY },
	{ "NEVER,FAILURE", "alone", 0 },
	{ "SUCCESS,NEVER", "alone", 0 },
	{ "SUCCESS,SUCCESS", "twice", 0 },
	{ "", "list", 0 },
	{ "SUCCESS,", "list", 0 },
	{ ",SUCCESS", "list", 0 },
	{ "SUCCESS,,DELAY", "list", 0 },
	{ "SUCCESS;DELAY", "list", 0 },
	{ "ALWAYS", "list", 0 },
};

static void notify_is_never_or_a_list(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(notifies); i++) {
		unsigned bits = 0;

		check_why(notifies[i].value, smtp_notify_parse(text_from(notifies[i].value), &bits),
		          notifies[i].why);
		CHECK_INT(notifies[i].value, bits, notifies[i].bits);
	}
}

/* ---------------------------------------------------------------- numbers and times */

static const struct {
	const char *value;
	const char *why;
	int64_t seconds;
	bool returns, traces;
} bys[] = {
	{ "120;R", NULL, 120, true, false },
	{ "120;r", NULL, 120, true, false },
	{ "+120;N", NULL, 120, false, false },
	{ "999999999;NT", NULL, 999999999, false, true },
	{ "1;Rt", NULL, 1, true, true },
	{ "0;N", NULL, 0, false, false },
	{ "-60;N", NULL, -60, false, false },
	{ "-999999999;nt", NULL, -999999999, false, true },
	{ "0;R", "ahead", 0, 0, 0 },
	{ "-1;RT", "ahead", 0, 0, 0 },
	{ "1000000000;N", "nine", 0, 0, 0 },
	{ "0000000001;N", "nine", 0, 0, 0 },
	{ "", "form", 0, 0, 0 },
	{ "120", "form", 0, 0, 0 },
	{ "120;", "form", 0, 0, 0 },
	{ "120;X", "form", 0, 0, 0 },
	{ "120;T", "form", 0, 0, 0 },
	{ "120;NX", "form", 0, 0, 0 },
	{ "120;NTT", "form", 0, 0, 0 },
	{ "120;N;T", "form", 0, 0, 0 },
	{ ";N", "form", 0, 0, 0 },
	{ "+;N", "form", 0, 0, 0 },
	{ "--1;N", "form", 0, 0, 0 },
	{ "1.5;N", "form", 0, 0, 0 },
};

static void by_is_seconds_and_a_mode(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bys); i++) {
		struct smtp_by by = { 0 };

		check_why(bys[i].value, smtp_by_parse(text_from(bys[i].value), &by), bys[i].why);
		CHECK_INT(bys[i].value, by.seconds, bys[i].seconds);
		CHECK_INT(bys[i].value, by.returns, bys[i].returns);
		CHECK_INT(bys[i].value, by.traces, bys[i].traces);
	}
}

static void priorities_have_one_digit(void **state)
{
	static const char *const none[] = { "", "-", "+3", "-0", "00", "03", "10", "-10", "a", "3 ", "--3" };
	int priority = 99;

	(void)state;
	for (int i = -9; i <= 9; i++) {
		char value[4] = { 0 };

		value[i < 0] = (char)('0' + (i < 0 ? -i : i));
		if (i < 0)
			value[0] = '-';
		assert_null(smtp_priority_parse(text_from(value), &priority));
		CHECK_INT(value, priority, i);
	}
	for (size_t i = 0; i < ARRAY_LEN(none); i++)
		check_why(none[i], smtp_priority_parse(text_from(none[i]), &priority), "-9 to 9");
	assert_int_equal(priority, 9);
}

static void a_release_is_a_wait_or_a_date(void **state)
{
	int64_t ms = 0;

	(void)state;
	assert_null(smtp_hold_for_parse(TEXT("1"), &ms));
	assert_int_equal(ms, 1000);
	assert_null(smtp_hold_for_parse(TEXT("999999999"), &ms));
	assert_int_equal(ms, INT64_C(999999999000));
	check_why("zero", smtp_hold_for_parse(TEXT("0"), &ms), "seconds");
	check_why("ten digits", smtp_hold_for_parse(TEXT("1000000000"), &ms), "seconds");
	check_why("negative", smtp_hold_for_parse(TEXT("-1"), &ms), "seconds");
	check_why("a word", smtp_hold_for_parse(TEXT("soon"), &ms), "seconds");
	assert_null(smtp_hold_until_parse(TEXT("2026-01-02T03:04:05Z"), &ms));
	assert_int_equal(ms, INT64_C(1767323045000));
	check_why("no date", smtp_hold_until_parse(TEXT("2026-02-30T03:04:05Z"), &ms),
	          "2026-01-02T03:04:05Z");
	check_why("a number", smtp_hold_until_parse(TEXT("1767323045"), &ms), "2026-01-02T03:04:05Z");
}

static void a_submitter_is_xtext_or_nobody(void **state)
{
	(void)state;
	assert_null(smtp_submitter_check(TEXT("<>")));
	assert_null(smtp_submitter_check(TEXT("e+3Dmc2@example.com")));
	check_why("nothing", smtp_submitter_check(TEXT("")), "needed");
	check_why("no xtext", smtp_submitter_check(TEXT("a+b@c")), "xtext");
	check_why("CR LF", smtp_submitter_check(TEXT("a+0D+0A@c")), "printed");
	check_why("long", smtp_submitter_check(TEXT(HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED "1")), "500");
}

/* ---------------------------------------------------------------- BDAT */

static const struct {
	const char *args;
	enum err err;
	uint64_t bytes;
	bool last;
} chunks[] = {
	{ "0", ERR_OK, 0, false },
	{ "1000", ERR_OK, 1000, false },
	{ "0 LAST", ERR_OK, 0, true },
	{ "86 last", ERR_OK, 86, true },
	{ "86  LAST", ERR_OK, 86, true },
	{ "00086", ERR_OK, 86, false },
	{ "18446744073709551615", ERR_OK, UINT64_MAX, false },
	{ "18446744073709551616 LAST", ERR_OK, UINT64_MAX, true },
	{ "99999999999999999999999999999999", ERR_OK, UINT64_MAX, false },
	{ "", ERR_SYNTAX, 0, false },
	{ "LAST", ERR_SYNTAX, 0, false },
	{ "-1", ERR_SYNTAX, 0, false },
	{ "+1", ERR_SYNTAX, 0, false },
	{ "0x10", ERR_SYNTAX, 0, false },
	{ "10LAST", ERR_SYNTAX, 0, false },
	{ "10 LASTING", ERR_SYNTAX, 0, false },
	{ "10 20", ERR_SYNTAX, 0, false },
	{ "10 LAST LAST", ERR_SYNTAX, 0, false },
};

static void a_chunk_says_its_octets(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(chunks); i++) {
		struct smtp_chunk chunk = { 0 };

		CHECK_INT(chunks[i].args, smtp_chunk_parse(text_from(chunks[i].args), &chunk), chunks[i].err);
		if (chunks[i].err)
			continue;
		assert_true(chunk.bytes == chunks[i].bytes);
		CHECK_INT(chunks[i].args, chunk.last, chunks[i].last);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(xtext_stands_for_any_octets),
		cmocka_unit_test(envids_are_xtext_that_can_be_printed),
		cmocka_unit_test(orcpt_is_a_type_and_a_coded_address),
		cmocka_unit_test(notify_is_never_or_a_list),
		cmocka_unit_test(by_is_seconds_and_a_mode),
		cmocka_unit_test(priorities_have_one_digit),
		cmocka_unit_test(a_release_is_a_wait_or_a_date),
		cmocka_unit_test(a_submitter_is_xtext_or_nobody),
		cmocka_unit_test(a_chunk_says_its_octets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
