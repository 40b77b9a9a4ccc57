#include <postrider/base/buf.h>

#include <stdlib.h>

#include "support/alloc.h"
#include "support/check.h"

static void what_is_added_is_there(void **state)
{
	struct buf b = BUF(1000);

	(void)state;
	CHECK_TEXT("new", buf_text(&b), TEXT(""));
	buf_add(&b, TEXT("a\0b"));
	buf_add_octet(&b, '-');
	buf_add_string(&b, "cd");
	buf_add_u64(&b, 0);
	buf_add_u64(&b, UINT64_MAX);
	buf_add_format(&b, "[%s %d]", "x", 7);
	buf_add(&b, (struct text){ NULL, 0 });
	CHECK_TEXT("all", buf_text(&b), TEXT("a\0b-cd018446744073709551615[x 7]"));
	assert_int_equal(buf_err(&b), ERR_OK);
	buf_fini(&b);
}

static void the_maximum_holds_to_the_octet(void **state)
{
	struct buf b = BUF(100);

	(void)state;
	for (int i = 0; i < 100; i++)
		buf_add_octet(&b, 'x');
	assert_int_equal(buf_err(&b), ERR_OK);
	buf_add_octet(&b, 'y');
	assert_int_equal(buf_err(&b), ERR_TOO_BIG);
	assert_int_equal(b.len, 100);
	buf_fini(&b);
}

static void the_first_failure_is_kept_and_nothing_is_added_behind_it(void **state)
{
	struct buf b = BUF(4);

	(void)state;
	buf_add_string(&b, "ab");
	buf_add_string(&b, "cde");
	assert_int_equal(buf_err(&b), ERR_TOO_BIG);
	buf_add_string(&b, "c");
	buf_add_format(&b, "c");
	buf_grew(&b, 1);
	assert_null(buf_reserve(&b, 1));
	CHECK_TEXT("what fitted", buf_text(&b), TEXT("ab"));
	buf_reset(&b);
	buf_add_string(&b, "abcd");
	CHECK_TEXT("after a reset", buf_text(&b), TEXT("abcd"));
	buf_fini(&b);
	assert_int_equal(b.max, 4);
}

static void a_zeroed_buf_takes_nothing(void **state)
{
	struct buf b = { 0 };

	(void)state;
	buf_add(&b, TEXT(""));
	assert_int_equal(buf_err(&b), ERR_OK);
	buf_add(&b, TEXT("a"));
	assert_int_equal(buf_err(&b), ERR_TOO_BIG);
	buf_fini(&b);
}

static void sizes_that_overflow_are_too_big(void **state)
{
	struct buf b = BUF(SIZE_MAX);

	(void)state;
	buf_add_octet(&b, 'a');
	assert_null(buf_reserve(&b, SIZE_MAX));
	assert_int_equal(buf_err(&b), ERR_TOO_BIG);
	buf_fini(&b);
}

static void long_formats_fit_exactly(void **state)
{
	(void)state;
	for (int len = 250; len < 262; len++) {
		struct buf b = BUF((size_t)len);

		buf_add_format(&b, "%*d", len, 7);
		assert_int_equal(buf_err(&b), ERR_OK);
		assert_int_equal(b.len, len);
		assert_int_equal(b.at[len - 1], '7');
		buf_fini(&b);
	}
}

static void octets_leave_at_both_ends(void **state)
{
	struct buf b = BUF(100);

	(void)state;
	buf_add_string(&b, "abcdef");
	buf_drop_head(&b, 2);
	CHECK_TEXT("head", buf_text(&b), TEXT("cdef"));
	buf_cut(&b, 3);
	CHECK_TEXT("tail", buf_text(&b), TEXT("cde"));
	buf_cut(&b, 100);
	CHECK_TEXT("a cut behind the end", buf_text(&b), TEXT("cde"));
	buf_drop_head(&b, 100);
	CHECK_TEXT("all", buf_text(&b), TEXT(""));
	buf_fini(&b);
	buf_drop_head(&b, 1);
	buf_cut(&b, 1);
}

static void reserved_room_is_filled_by_the_caller(void **state)
{
	struct buf b = BUF(10);
	char *room = buf_reserve(&b, 10);

	(void)state;
	assert_non_null(room);
	memcpy(room, "abc", 3);
	buf_grew(&b, 3);
	CHECK_TEXT("grown", buf_text(&b), TEXT("abc"));
	assert_null(buf_reserve(&b, 8));
	buf_fini(&b);
}

static void taken_octets_end_with_a_nul(void **state)
{
	struct buf b = BUF(3);
	size_t len = 99;

	(void)state;
	buf_add_string(&b, "abc");
	char *taken = buf_take(&b, &len);

	assert_string_equal(taken, "abc");
	assert_int_equal(len, 3);
	free(taken);
	CHECK_TEXT("empty afterwards", buf_text(&b), TEXT(""));
	taken = buf_take(&b, &len);
	assert_string_equal(taken, "");
	assert_int_equal(len, 0);
	free(taken);
	buf_add_string(&b, "abcd");
	assert_null(buf_take(&b, &len));
	assert_int_equal(buf_err(&b), ERR_TOO_BIG);
}

static void memory_may_run_out_anywhere(void **state)
{
	(void)state;
	for (EACH_ALLOC_FAILING) {
		struct buf b = BUF(100000);
		size_t len;

		for (int i = 0; i < 100; i++)
			buf_add_format(&b, "%300d", i);
		enum err err = buf_err(&b);
		char *taken = buf_take(&b, &len);

		if (alloc_has_failed()) {
			assert_null(taken);
			assert_true(err == ERR_OK || err == ERR_NOMEM);
			assert_int_equal(buf_err(&b), ERR_NOMEM);
		} else {
			assert_int_equal(len, 30000);
		}
		free(taken);
		buf_fini(&b);
	}
}

static void growth_is_by_doubling(void **state)
{
	struct buf b = BUF(SIZE_MAX);
	size_t growths = 0, room = 0;

	(void)state;
	for (int i = 0; i < 1000000; i++) {
		buf_add_octet(&b, 'x');
		growths += b.room != room;
		room = b.room;
	}
	assert_true(growths < 20);
	buf_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_added_is_there),
		cmocka_unit_test(the_maximum_holds_to_the_octet),
		cmocka_unit_test(the_first_failure_is_kept_and_nothing_is_added_behind_it),
		cmocka_unit_test(a_zeroed_buf_takes_nothing),
		cmocka_unit_test(sizes_that_overflow_are_too_big),
		cmocka_unit_test(long_formats_fit_exactly),
		cmocka_unit_test(octets_leave_at_both_ends),
		cmocka_unit_test(reserved_room_is_filled_by_the_caller),
		cmocka_unit_test(taken_octets_end_with_a_nul),
		cmocka_unit_test(memory_may_run_out_anywhere),
		cmocka_unit_test(growth_is_by_doubling),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
