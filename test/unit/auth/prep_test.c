#include "prep.h"

#include <postrider/crypto.h>

#include "support/alloc.h"
#include "support/check.h"

static const struct {
	const char *name;
	struct text in;
	enum err err;
	struct text out;
} cases[] = {
	/* RFC 4013 section 3 */
	{ "a soft hyphen is nothing", LIT("I\xc2\xadX"), ERR_OK, LIT("IX") },
	{ "no change", LIT("user"), ERR_OK, LIT("user") },
	{ "case stays", LIT("USER"), ERR_OK, LIT("USER") },
	{ "an ordinal indicator is a letter", LIT("\xc2\xaa"), ERR_OK, LIT("a") },
	{ "a Roman numeral is letters", LIT("\xe2\x85\xa8"), ERR_OK, LIT("IX") },
	{ "a bell", LIT("\x07"), ERR_SYNTAX, { NULL, 0 } },
	{ "two directions", LIT("\xd8\xa7\x31"), ERR_SYNTAX, { NULL, 0 } },
	/* and more */
	{ "nothing", LIT(""), ERR_SYNTAX, { NULL, 0 } },
	{ "nothing is left", LIT("\xc2\xad"), ERR_SYNTAX, { NULL, 0 } },
	{ "a space", LIT("a b"), ERR_OK, LIT("a b") },
	{ "another space",
	  LIT("a\xc2\xa0"
	      "b"),
	  ERR_OK, LIT("a b") },
	{ "decomposed", LIT("u\xcc\x88"), ERR_OK, LIT("\xc3\xbc") },
	{ "a NUL", LIT("a\0b"), ERR_SYNTAX, { NULL, 0 } },
	{ "a NUL among others", LIT("\xc3\xbc\0b"), ERR_SYNTAX, { NULL, 0 } },
	{ "DEL", LIT("a\x7f"), ERR_SYNTAX, { NULL, 0 } },
	{ "a line end", LIT("a\nb"), ERR_SYNTAX, { NULL, 0 } },
	{ "a C1 control", LIT("a\xc2\x85"), ERR_SYNTAX, { NULL, 0 } },
	{ "private use", LIT("\xee\x80\x80"), ERR_SYNTAX, { NULL, 0 } },
	{ "no UTF-8", LIT("\xff"), ERR_SYNTAX, { NULL, 0 } },
	{ "UTF-8 that ends too early", LIT("a\xc3"), ERR_SYNTAX, { NULL, 0 } },
	{ "a surrogate", LIT("\xed\xa0\x80"), ERR_SYNTAX, { NULL, 0 } },
	{ "an overlong slash", LIT("\xc0\xaf"), ERR_SYNTAX, { NULL, 0 } },
	{ "younger than Unicode 3.2", LIT("\xf0\x9f\x94\x91"), ERR_OK, LIT("\xf0\x9f\x94\x91") },
};

static void texts_are_prepared_or_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct buf out = BUF(64);
		char *copy = alone(cases[i].in);

		CHECK_INT(cases[i].name, prep_add(text_of(copy, cases[i].in.len), &out), cases[i].err);
		if (!cases[i].err)
			CHECK_TEXT(cases[i].name, buf_text(&out), cases[i].out);
		free(copy);
		buf_fini(&out);
	}
}

static void what_grows_too_long_is_refused(void **state)
{
	char many[3000], one[3] = { '\xef', '\xb7', '\xba' }; /* one letter that is eighteen */
	struct buf out = BUF(AUTH_NAME_MAX);

	(void)state;
	for (size_t i = 0; i < sizeof(many); i++)
		many[i] = one[i % 3];
	assert_int_equal(prep_add(text_of(many, 3000), &out), ERR_TOO_BIG);
	assert_int_equal(prep_add(text_of(many, 300), &out), ERR_TOO_BIG);
	assert_int_equal(prep_add(text_of(many, 30), &out), ERR_TOO_BIG);
	buf_fini(&out);
}

static const struct {
	const char *name;
	struct text in;
	bool is;
} names[] = {
	{ "a word", LIT("ann"), true },
	{ "an address", LIT("ann@example.com"), true },
	{ "a space inside", LIT("ann b"), true },
	{ "composed", LIT("J\xc3\xbcrgen"), true },
	{ "decomposed", LIT("Ju\xcc\x88rgen"), false },
	{ "nothing", LIT(""), false },
	{ "a colon", LIT("a:b"), false },
	{ "a control character", LIT("a\tb"), false },
	{ "Latin-1", LIT("J\xfcrgen"), false },
};

static void names_stand_as_they_are_compared(void **state)
{
	char longest[AUTH_NAME_MAX + 1];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		CHECK(names[i].name, prep_is_name(names[i].in) == names[i].is);
	memset(longest, 'a', sizeof(longest));
	assert_true(prep_is_name(text_of(longest, AUTH_NAME_MAX)));
	assert_false(prep_is_name(text_of(longest, AUTH_NAME_MAX + 1)));
}

static void secrets_are_wiped(void **state)
{
	struct buf b = BUF(64);
	char *at;

	(void)state;
	buf_reserve(&b, 64);
	buf_add_string(&b, "secret");
	at = b.at;
	crypto_wipe(b.at, b.room); /* what secret_fini does before it frees */
	for (size_t i = 0; i < 6; i++)
		assert_int_equal(at[i], 0);
	secret_fini(&b);
	assert_null(b.at);
	secret_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(texts_are_prepared_or_refused),
		cmocka_unit_test(what_grows_too_long_is_refused),
		cmocka_unit_test(names_stand_as_they_are_compared),
		cmocka_unit_test(secrets_are_wiped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
