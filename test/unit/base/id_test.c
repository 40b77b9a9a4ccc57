#include <postrider/base/id.h>

#include "support/check.h"

static void text_and_back_is_the_same(void **state)
{
	struct random r;

	(void)state;
	random_init(&r, 5);
	for (int i = 0; i < 1000; i++) {
		struct id id, back;

		for (int k = 0; k < ID_BYTES; k++)
			id.bytes[k] = (unsigned char)random_u64(&r);
		struct id_text text = id_to_text(id);

		assert_int_equal(text.at[ID_CHARS], '\0');
		assert_int_equal(id_from_text(text_from(text.at), &back), ERR_OK);
		assert_true(id_eq(id, back));
	}
}

static void known_ids_are_written_well(void **state)
{
	struct id zero = { { 0 } }, ones,
		  mixed = { { 0x01, 0x8d, 0xa3, 0x97, 0xe9, 0xa3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x20 } };

	(void)state;
	memset(&ones, 0xff, sizeof(ones));
	assert_string_equal(id_to_text(zero).at, "00000000000000000000000000");
	assert_string_equal(id_to_text(ones).at, "7ZZZZZZZZZZZZZZZZZZZZZZZZZ");
	assert_string_equal(id_to_text(mixed).at, "01HPHSFTD30000000000000010");
	assert_int_equal(id_time(mixed), INT64_C(0x018da397e9a3));
}

static const struct {
	const char *name;
	struct text text;
	const char *canonical; /* NULL: refused */
} parse_cases[] = {
	{ "small letters", LIT("01hphsftd3000000000000001z"), "01HPHSFTD3000000000000001Z" },
	{ "I, L and O as digits", LIT("oLIO0000000000000000000000"), "01100000000000000000000000" },
	{ "too short", LIT("0000000000000000000000000"), NULL },
	{ "too long", LIT("000000000000000000000000000"), NULL },
	{ "over 128 bits", LIT("80000000000000000000000000"), NULL },
	{ "a letter that is not in the alphabet", LIT("0000000000000000000000000U"), NULL },
	{ "a NUL",
	  LIT("0000000000000\0"
	      "000000000000"),
	  NULL },
	{ "a hyphen", LIT("0000000000000-000000000000"), NULL },
	{ "nothing", LIT(""), NULL },
};

static void only_26_characters_of_the_alphabet_are_an_id(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(parse_cases); i++) {
		struct id id;
		enum err err = id_from_text(parse_cases[i].text, &id);

		CHECK_INT(parse_cases[i].name, err, parse_cases[i].canonical ? ERR_OK : ERR_SYNTAX);
		if (!err)
			CHECK_TEXT(parse_cases[i].name, text_from(id_to_text(id).at),
			           text_from(parse_cases[i].canonical));
	}
}

static void a_prefix_spans_all_that_begin_with_it(void **state)
{
	struct id first, last, id;

	(void)state;
	assert_int_equal(id_prefix_range(TEXT("01hp"), &first, &last), ERR_OK);
	assert_string_equal(id_to_text(first).at, "01HP0000000000000000000000");
	assert_string_equal(id_to_text(last).at, "01HPZZZZZZZZZZZZZZZZZZZZZZ");
	assert_int_equal(id_prefix_range(TEXT("7"), &first, &last), ERR_OK);
	assert_string_equal(id_to_text(last).at, "7ZZZZZZZZZZZZZZZZZZZZZZZZZ");
	assert_int_equal(id_from_text(TEXT("01HPHSFTD3000000000000001Z"), &id), ERR_OK);
	assert_int_equal(id_prefix_range(TEXT("01HPHSFTD3000000000000001Z"), &first, &last), ERR_OK);
	assert_true(id_eq(first, id) && id_eq(last, id));
	assert_int_equal(id_prefix_range(TEXT(""), &first, &last), ERR_SYNTAX);
	assert_int_equal(id_prefix_range(TEXT("8"), &first, &last), ERR_SYNTAX);
	assert_int_equal(id_prefix_range(TEXT("0u"), &first, &last), ERR_SYNTAX);
	assert_int_equal(id_prefix_range(TEXT("000000000000000000000000000"), &first, &last), ERR_SYNTAX);
}

static void ids_rise_whatever_the_clock_does(void **state)
{
	struct id_source source;
	struct random r;
	struct id last = { { 0 } };
	int64_t now = 1767323045678;

	(void)state;
	random_init(&r, 11);
	id_source_init(&source, 7, 0);
	for (int i = 0; i < 100000; i++) {
		struct id id = id_next(&source, now);

		assert_true(id_compare(id, last) > 0);
		last = id;
		now += (int64_t)random_below(&r, 20) - 10;
	}
}

static void more_ids_than_fit_a_millisecond_take_the_next(void **state)
{
	struct id_source source;
	struct id last = { { 0 } };

	(void)state;
	id_source_init(&source, 7, 0);
	last = id_next(&source, 1000);
	source.counter = 0xfffffe;
	for (int i = 0; i < 4; i++) {
		struct id id = id_next(&source, 1000);

		assert_true(id_compare(id, last) > 0);
		assert_int_equal(id_time(id), i < 1 ? 1000 : 1001);
		last = id;
	}
}

static void a_clock_that_stepped_back_over_a_restart_makes_no_id_twice(void **state)
{
	struct id_source before, after;
	struct id last, next;

	(void)state;
	id_source_init(&before, 7, 0);
	last = id_next(&before, 5000);
	id_source_init(&after, 7, id_time(last));
	next = id_next(&after, 100);
	assert_true(id_compare(next, last) > 0);
}

static void the_time_of_an_id_is_when_it_was_made(void **state)
{
	struct id_source source;

	(void)state;
	id_source_init(&source, 7, 0);
	assert_int_equal(id_time(id_next(&source, 1767323045678)), 1767323045678);
	assert_int_equal(id_time(id_next(&source, INT64_MAX)), (INT64_C(1) << 48) - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_and_back_is_the_same),
		cmocka_unit_test(known_ids_are_written_well),
		cmocka_unit_test(only_26_characters_of_the_alphabet_are_an_id),
		cmocka_unit_test(a_prefix_spans_all_that_begin_with_it),
		cmocka_unit_test(ids_rise_whatever_the_clock_does),
		cmocka_unit_test(more_ids_than_fit_a_millisecond_take_the_next),
		cmocka_unit_test(a_clock_that_stepped_back_over_a_restart_makes_no_id_twice),
		cmocka_unit_test(the_time_of_an_id_is_when_it_was_made),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
