#include <postrider/mail/record.h>

#include "support/check.h"

static const uint64_t numbers[] = {
	0, 1, 127, 128, 16383, 16384, UINT32_MAX, INT64_MAX, UINT64_MAX - 1, UINT64_MAX
};
static const int64_t signed_numbers[] = { 0, -1, 1, -64, 64, INT32_MIN, INT64_MAX, INT64_MIN };

static void what_is_written_is_read(void **state)
{
	struct buf b = BUF(1000);
	struct record_reader r;
	struct record_field f;

	(void)state;
	record_begin(&b, 3);
	record_add_text(&b, 1, TEXT("a\0b"));
	record_add_text(&b, 4000000000u, TEXT(""));
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		record_add_u64(&b, 2, numbers[i]);
	for (size_t i = 0; i < ARRAY_LEN(signed_numbers); i++)
		record_add_i64(&b, 5, signed_numbers[i]);
	record_open(&r, buf_text(&b), 3);
	assert_int_equal(r.format, 3);
	assert_true(record_next(&r, &f) && f.tag == 1);
	CHECK_TEXT("text", f.value, TEXT("a\0b"));
	assert_true(record_next(&r, &f) && f.tag == 4000000000u);
	CHECK_TEXT("an empty text", f.value, TEXT(""));
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		assert_true(record_next(&r, &f) && f.tag == 2 &&
		            record_u64(&r, &f, UINT64_MAX) == numbers[i]);
	for (size_t i = 0; i < ARRAY_LEN(signed_numbers); i++)
		assert_true(record_next(&r, &f) && f.tag == 5 && record_i64(&r, &f) == signed_numbers[i]);
	assert_false(record_next(&r, &f));
	assert_int_equal(r.err, ERR_OK);
	buf_fini(&b);
}

static void records_stand_inside_records(void **state)
{
	(void)state;
	for (size_t len = 0; len < 20000; len += len < 200 ? 1 : 997) {
		struct buf b = BUF(40000), inside = BUF(40000);
		struct record_reader outer, inner;
		struct record_field f;

		for (size_t i = 0; i < len; i++)
			buf_add_octet(&inside, (char)i);
		record_begin(&b, 1);
		size_t mark = record_open_field(&b, 7);

		record_add_text(&b, 8, buf_text(&inside));
		record_close_field(&b, mark);
		record_add_u64(&b, 9, 1);
		record_open(&outer, buf_text(&b), 1);
		assert_true(record_next(&outer, &f) && f.tag == 7);
		record_open_inner(&inner, f.value);
		assert_true(record_next(&inner, &f) && f.tag == 8);
		CHECK_TEXT("inside", f.value, buf_text(&inside));
		assert_false(record_next(&inner, &f) || inner.err);
		assert_true(record_next(&outer, &f) && f.tag == 9);
		assert_false(record_next(&outer, &f) || outer.err);
		buf_fini(&b);
		buf_fini(&inside);
	}
}

/* The stored form is a promise: it is written out here. */
static void the_octets_are_these(void **state)
{
	struct buf b = BUF(100);

	(void)state;
	record_begin(&b, 1);
	record_add_text(&b, 2, TEXT("ab"));
	record_add_u64(&b, 300, 300);
	record_add_i64(&b, 3, -1);
	size_t mark = record_open_field(&b, 4);

	record_add_u64(&b, 5, 0);
	record_close_field(&b, mark);
	CHECK_TEXT("octets", buf_text(&b),
	           TEXT("\x01\x02\x02"
	                "ab\xac\x02\x02\xac\x02\x03\x01\x01\x04\x03\x05\x01\0"));
	buf_fini(&b);
}

static const struct {
	const char *name;
	struct text record;
	enum err err;
	unsigned fields; /* read before it was seen */
} bad_cases[] = {
	{ "nothing", LIT(""), ERR_DAMAGED, 0 },
	{ "format 0", LIT("\0"), ERR_DAMAGED, 0 },
	{ "a later format", LIT("\x02\x01\x01x"), ERR_UNSUPPORTED, 0 },
	{ "a format that never ends", LIT("\xff\xff"), ERR_DAMAGED, 0 },
	{ "a tag alone", LIT("\x01\x01"), ERR_DAMAGED, 0 },
	{ "a value that is too short",
	  LIT("\x01\x01\x03"
	      "ab"),
	  ERR_DAMAGED, 0 },
	{ "after a good field", LIT("\x01\x01\x01x\x02"), ERR_DAMAGED, 1 },
	{ "a length over 64 bits", LIT("\x01\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f"), ERR_DAMAGED, 0 },
	{ "the largest length", LIT("\x01\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), ERR_DAMAGED, 0 },
	{ "a length that never ends", LIT("\x01\x01\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"),
	  ERR_DAMAGED, 0 },
	{ "a tag over 32 bits", LIT("\x01\x80\x80\x80\x80\x10\0"), ERR_DAMAGED, 0 },
};

static void damage_is_seen_and_kept(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad_cases); i++) {
		char *copy = alone(bad_cases[i].record);
		struct record_reader r;
		struct record_field f;
		unsigned fields = 0;

		record_open(&r, text_of(copy, bad_cases[i].record.len), 1);
		while (record_next(&r, &f))
			fields++;
		CHECK_INT(bad_cases[i].name, r.err, bad_cases[i].err);
		CHECK_INT(bad_cases[i].name, fields, bad_cases[i].fields);
		CHECK(bad_cases[i].name, !record_next(&r, &f));
		free(copy);
	}
}

static const struct {
	const char *name;
	struct text value;
	uint64_t max;
	enum err err;
	uint64_t number;
} number_cases[] = {
	{ "a number", LIT("\x07"), 7, ERR_OK, 7 },
	{ "over the maximum", LIT("\x08"), 7, ERR_DAMAGED, 0 },
	{ "no octet", LIT(""), 7, ERR_DAMAGED, 0 },
	{ "an octet behind", LIT("\x07\0"), 7, ERR_DAMAGED, 0 },
	{ "unfinished", LIT("\x87"), 700, ERR_DAMAGED, 0 },
	{ "over 64 bits", LIT("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"), UINT64_MAX, ERR_DAMAGED, 0 },
};

static void numbers_are_checked(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(number_cases); i++) {
		struct record_reader r;
		struct record_field f = { 1, number_cases[i].value };

		record_open_inner(&r, TEXT("\x01\x01x"));
		CHECK(number_cases[i].name,
		      record_u64(&r, &f, number_cases[i].max) == number_cases[i].number);
		CHECK_INT(number_cases[i].name, r.err, number_cases[i].err);
		CHECK_INT(number_cases[i].name, record_next(&r, &f), !number_cases[i].err);
	}
}

static void a_buf_that_is_full_keeps_its_error(void **state)
{
	(void)state;
	for (size_t max = 0; max < 12; max++) {
		struct buf b = BUF(max);

		record_begin(&b, 1);
		size_t mark = record_open_field(&b, 2);

		record_add_text(&b, 3, TEXT("abcdef"));
		record_close_field(&b, mark);
		assert_int_equal(buf_err(&b), max < 11 ? ERR_TOO_BIG : ERR_OK);
		assert_true(b.len <= max);
		buf_fini(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_is_read),
		cmocka_unit_test(records_stand_inside_records),
		cmocka_unit_test(the_octets_are_these),
		cmocka_unit_test(damage_is_seen_and_kept),
		cmocka_unit_test(numbers_are_checked),
		cmocka_unit_test(a_buf_that_is_full_keeps_its_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
