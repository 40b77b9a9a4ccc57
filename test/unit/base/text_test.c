#include <postrider/base/text.h>

#include <stdlib.h>

#include "support/alloc.h"
#include "support/check.h"

static const struct {
	const char *name;
	struct text a, b;
	int order, order_nocase; /* -1, 0, 1 */
} compare_cases[] = {
	{ "both empty", LIT(""), LIT(""), 0, 0 },
	{ "empty before all", LIT(""), LIT("\0"), -1, -1 },
	{ "the same", LIT("abc"), LIT("abc"), 0, 0 },
	{ "another case", LIT("abc"), LIT("aBc"), 1, 0 },
	{ "shorter first", LIT("ab"), LIT("abc"), -1, -1 },
	{ "a NUL is an octet", LIT("a\0b"), LIT("a\0c"), -1, -1 },
	{ "a longer one that is smaller", LIT("abcd"), LIT("b"), -1, -1 },
	{ "octets above 127 are large", LIT("\xc3"), LIT("z"), 1, 1 },
	{ "only ASCII letters fold", LIT("\xc3\xa9"), LIT("\xc3\x89"), 1, 1 },
	{ "brackets do not fold to braces", LIT("["), LIT("{"), -1, -1 },
	{ "at does not fold to backtick", LIT("@"), LIT("`"), -1, -1 },
};

static int sign(int order)
{
	return (order > 0) - (order < 0);
}

static void texts_compare_by_octets(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(compare_cases); i++) {
		const char *name = compare_cases[i].name;
		struct text a = compare_cases[i].a, b = compare_cases[i].b;

		CHECK_INT(name, sign(text_compare(a, b)), compare_cases[i].order);
		CHECK_INT(name, sign(text_compare(b, a)), -compare_cases[i].order);
		CHECK_INT(name, text_eq(a, b), compare_cases[i].order == 0);
		CHECK_INT(name, sign(text_compare_nocase(a, b)), compare_cases[i].order_nocase);
		CHECK_INT(name, sign(text_compare_nocase(b, a)), -compare_cases[i].order_nocase);
		CHECK_INT(name, text_eq_nocase(a, b), compare_cases[i].order_nocase == 0);
		CHECK_INT(name, text_hash(a) == text_hash(b), compare_cases[i].order == 0);
		CHECK_INT(name, text_hash_nocase(a) == text_hash_nocase(b),
		          compare_cases[i].order_nocase == 0);
	}
}

static const struct {
	const char *name;
	struct text t, part;
	bool starts, starts_nocase, ends, ends_nocase;
} affix_cases[] = {
	{ "nothing is everywhere", LIT("abc"), LIT(""), true, true, true, true },
	{ "nothing in nothing", LIT(""), LIT(""), true, true, true, true },
	{ "something in nothing", LIT(""), LIT("a"), false, false, false, false },
	{ "a whole", LIT("abc"), LIT("abc"), true, true, true, true },
	{ "longer than the whole", LIT("abc"), LIT("abcd"), false, false, false, false },
	{ "at the start", LIT("abc"), LIT("ab"), true, true, false, false },
	{ "at the end", LIT("abc"), LIT("bc"), false, false, true, true },
	{ "in another case at the start", LIT("abc"), LIT("AB"), false, true, false, false },
	{ "in another case at the end", LIT("abc"), LIT("BC"), false, false, false, true },
};

static void prefixes_and_suffixes_are_found(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(affix_cases); i++) {
		const char *name = affix_cases[i].name;
		struct text t = affix_cases[i].t, part = affix_cases[i].part;

		CHECK_INT(name, text_starts(t, part), affix_cases[i].starts);
		CHECK_INT(name, text_starts_nocase(t, part), affix_cases[i].starts_nocase);
		CHECK_INT(name, text_ends(t, part), affix_cases[i].ends);
		CHECK_INT(name, text_ends_nocase(t, part), affix_cases[i].ends_nocase);
	}
}

static void octets_and_texts_are_found(void **state)
{
	struct text t = TEXT("a.b.c"), none = { NULL, 0 };

	(void)state;
	assert_int_equal(text_find_octet(t, '.'), 1);
	assert_int_equal(text_find_last_octet(t, '.'), 3);
	assert_int_equal(text_find_octet(t, '@'), 5);
	assert_int_equal(text_find_last_octet(t, '@'), 5);
	assert_int_equal(text_find(t, TEXT(".c")), 3);
	assert_int_equal(text_find(t, TEXT("")), 0);
	assert_int_equal(text_find(t, TEXT("a.b.c.")), 5);
	assert_int_equal(text_find_octet(none, 'a'), 0);
	assert_int_equal(text_find_last_octet(none, 'a'), 0);
	assert_int_equal(text_find(none, TEXT("a")), 0);
	assert_int_equal(text_find(TEXT("a\0b"), TEXT("\0b")), 1);
}

static void cutting_leaves_what_follows(void **state)
{
	struct text rest = TEXT("a,,b");

	(void)state;
	CHECK_TEXT("first", text_cut(&rest, ','), TEXT("a"));
	CHECK_TEXT("an empty one", text_cut(&rest, ','), TEXT(""));
	CHECK_TEXT("what is left", rest, TEXT("b"));
	CHECK_TEXT("the last", text_cut(&rest, ','), TEXT("b"));
	CHECK_TEXT("behind the last", text_cut(&rest, ','), TEXT(""));
	rest = TEXT("a,");
	CHECK_TEXT("before a final separator", text_cut(&rest, ','), TEXT("a"));
	CHECK_TEXT("behind a final separator", rest, TEXT(""));
}

static void parts_stay_inside(void **state)
{
	struct text t = TEXT("abc");

	(void)state;
	CHECK_TEXT("skip", text_skip(t, 1), TEXT("bc"));
	CHECK_TEXT("skip all", text_skip(t, 3), TEXT(""));
	CHECK_TEXT("skip more", text_skip(t, SIZE_MAX), TEXT(""));
	CHECK_TEXT("head", text_head(t, 2), TEXT("ab"));
	CHECK_TEXT("head of more", text_head(t, SIZE_MAX), TEXT("abc"));
	CHECK_TEXT("trim", text_trim(TEXT(" \t a b\t ")), TEXT("a b"));
	CHECK_TEXT("trim only blanks", text_trim(TEXT(" \t ")), TEXT(""));
	CHECK_TEXT("trim leaves line ends", text_trim(TEXT(" a\r\n")), TEXT("a\r\n"));
	CHECK_TEXT("no string", text_from(NULL), TEXT(""));
	CHECK_TEXT("a zeroed text", text_skip((struct text){ NULL, 0 }, 1), TEXT(""));
}

static const struct {
	const char *name;
	struct text t;
	uint64_t max;
	enum err err;
	uint64_t value;
} number_cases[] = {
	{ "nothing", LIT(""), 9, ERR_SYNTAX, 0 },
	{ "zero", LIT("0"), 0, ERR_OK, 0 },
	{ "leading zeros", LIT("00000000000000000000000007"), 7, ERR_OK, 7 },
	{ "over the maximum", LIT("8"), 7, ERR_TOO_BIG, 0 },
	{ "the largest", LIT("18446744073709551615"), UINT64_MAX, ERR_OK, UINT64_MAX },
	{ "one more than the largest", LIT("18446744073709551616"), UINT64_MAX, ERR_TOO_BIG, 0 },
	{ "far more", LIT("99999999999999999999999999"), UINT64_MAX, ERR_TOO_BIG, 0 },
	{ "far more, and no number", LIT("99999999999999999999999999x"), UINT64_MAX, ERR_SYNTAX, 0 },
	{ "a sign", LIT("+1"), 9, ERR_SYNTAX, 0 },
	{ "a minus", LIT("-1"), 9, ERR_SYNTAX, 0 },
	{ "a space", LIT(" 1"), 9, ERR_SYNTAX, 0 },
	{ "a NUL behind", LIT("1\0"), 9, ERR_SYNTAX, 0 },
	{ "hexadecimal", LIT("0x1"), 9, ERR_SYNTAX, 0 },
};

static void numbers_are_decimal_digits_only(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(number_cases); i++) {
		uint64_t value = 12345;
		enum err err = text_to_u64(number_cases[i].t, number_cases[i].max, &value);

		CHECK_INT(number_cases[i].name, err, number_cases[i].err);
		CHECK(number_cases[i].name, value == (err ? 12345 : number_cases[i].value));
	}
}

static void a_copy_ends_with_a_nul(void **state)
{
	char *copy = text_dup(text_head(TEXT("abcdef"), 3));

	(void)state;
	assert_string_equal(copy, "abc");
	free(copy);
	copy = text_dup((struct text){ NULL, 0 });
	assert_string_equal(copy, "");
	free(copy);
	alloc_fail_nth(1);
	assert_null(text_dup(TEXT("a")));
	assert_null(text_dup((struct text){ "a", SIZE_MAX }));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(texts_compare_by_octets),
		cmocka_unit_test(prefixes_and_suffixes_are_found),
		cmocka_unit_test(octets_and_texts_are_found),
		cmocka_unit_test(cutting_leaves_what_follows),
		cmocka_unit_test(parts_stay_inside),
		cmocka_unit_test(numbers_are_decimal_digits_only),
		cmocka_unit_test(a_copy_ends_with_a_nul),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
