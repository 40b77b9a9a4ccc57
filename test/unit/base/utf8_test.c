#include <postrider/base/utf8.h>

#include "support/check.h"

static const struct {
	const char *name;
	struct text octets;
	size_t len; /* of the sequence at the front */
	uint32_t code_point;
} sequences[] = {
	{ "nothing", LIT(""), 0, 0 },
	{ "NUL", LIT("\0"), 1, 0 },
	{ "a letter", LIT("ab"), 1, 'a' },
	{ "DEL", LIT("\x7f"), 1, 0x7f },
	{ "the first of two", LIT("\xc2\x80x"), 2, 0x80 },
	{ "the last of two", LIT("\xdf\xbf"), 2, 0x7ff },
	{ "the first of three", LIT("\xe0\xa0\x80"), 3, 0x800 },
	{ "before the surrogates", LIT("\xed\x9f\xbf"), 3, 0xd7ff },
	{ "behind the surrogates", LIT("\xee\x80\x80"), 3, 0xe000 },
	{ "the last of three", LIT("\xef\xbf\xbf"), 3, 0xffff },
	{ "the first of four", LIT("\xf0\x90\x80\x80"), 4, 0x10000 },
	{ "the last of all", LIT("\xf4\x8f\xbf\xbf"), 4, 0x10ffff },
	{ "a continuation alone", LIT("\x80"), 0, 0 },
	{ "over-long, two", LIT("\xc0\x80"), 0, 0 },
	{ "over-long, two, the other", LIT("\xc1\xbf"), 0, 0 },
	{ "over-long, three", LIT("\xe0\x9f\xbf"), 0, 0 },
	{ "over-long, four", LIT("\xf0\x8f\xbf\xbf"), 0, 0 },
	{ "the first surrogate", LIT("\xed\xa0\x80"), 0, 0 },
	{ "the last surrogate", LIT("\xed\xbf\xbf"), 0, 0 },
	{ "above all", LIT("\xf4\x90\x80\x80"), 0, 0 },
	{ "far above all", LIT("\xf5\x80\x80\x80"), 0, 0 },
	{ "no octet of UTF-8", LIT("\xff"), 0, 0 },
	{ "cut behind one", LIT("\xe4"), 0, 0 },
	{ "cut behind two", LIT("\xe4\xbe"), 0, 0 },
	{ "cut behind three", LIT("\xf0\x9f\x93"), 0, 0 },
	{ "a letter in between",
	  LIT("\xe4\xbe"
	      "a"),
	  0, 0 },
};

static void a_sequence_is_well_formed_or_none(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sequences); i++) {
		uint32_t code_point = 0;

		CHECK_INT(sequences[i].name, utf8_length(sequences[i].octets, &code_point), sequences[i].len);
		CHECK_INT(sequences[i].name, code_point, sequences[i].code_point);
	}
}

static void a_text_is_valid_as_a_whole(void **state)
{
	(void)state;
	assert_true(utf8_is_valid(TEXT("")));
	assert_true(utf8_is_valid(TEXT("caf\xc3\xa9 \xf0\x9f\x93\xae")));
	assert_false(utf8_is_valid(TEXT("caf\xe9")));
	assert_false(utf8_is_valid(TEXT("caf\xc3")));
	/* what stands behind the text does not count */
	assert_int_equal(utf8_length(text_head(TEXT("\xe4\xbe\x8b"), 2), NULL), 0);
	assert_false(utf8_is_valid(text_head(TEXT("a\xf0\x9f\x93\xae"), 4)));
	assert_true(utf8_is_ascii(TEXT("caf\x7f")));
	assert_false(utf8_is_ascii(TEXT("caf\xc3\xa9")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_sequence_is_well_formed_or_none),
		cmocka_unit_test(a_text_is_valid_as_a_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
