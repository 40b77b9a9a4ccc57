#include <postrider/base/arena.h>

#include <stdalign.h>

#include "support/alloc.h"
#include "support/check.h"

static void memory_is_zeroed_aligned_and_apart(void **state)
{
	struct arena a;
	unsigned char *taken[500];

	(void)state;
	arena_init(&a, 1u << 20);
	for (size_t i = 0; i < 500; i++) {
		size_t bytes = i * 7 % 300;

		taken[i] = arena_alloc(&a, bytes);
		assert_non_null(taken[i]);
		assert_int_equal((uintptr_t)taken[i] % alignof(max_align_t), 0);
		for (size_t k = 0; k < bytes; k++)
			assert_int_equal(taken[i][k], 0);
		memset(taken[i], (int)(i & 0xff), bytes);
	}
	for (size_t i = 0; i < 500; i++)
		for (size_t k = 0; k < i * 7 % 300; k++)
			assert_int_equal(taken[i][k], i & 0xff);
	arena_fini(&a);
}

static void the_budget_counts_what_was_asked_for(void **state)
{
	struct arena a;

	(void)state;
	arena_init(&a, 10);
	assert_non_null(arena_alloc(&a, 4));
	assert_null(arena_alloc(&a, 7));
	assert_non_null(arena_alloc(&a, 6));
	assert_non_null(arena_alloc(&a, 0));
	assert_null(arena_alloc(&a, 1));
	arena_reset(&a);
	assert_non_null(arena_alloc(&a, 10));
	arena_fini(&a);
}

static void sizes_that_overflow_are_refused(void **state)
{
	struct arena a;
	struct text out = TEXT("kept");

	(void)state;
	arena_init(&a, SIZE_MAX);
	assert_null(arena_alloc(&a, SIZE_MAX));
	assert_null(arena_alloc(&a, SIZE_MAX - 8));
	assert_int_equal(arena_text(&a, (struct text){ "a", SIZE_MAX }, &out), ERR_NOMEM);
	CHECK_TEXT("untouched", out, TEXT("kept"));
	arena_fini(&a);
}

static void large_things_do_not_spoil_the_block_at_hand(void **state)
{
	struct arena a;

	(void)state;
	arena_init(&a, 1u << 20);
	char *first = arena_alloc(&a, 16);
	char *large = arena_alloc(&a, 100000);
	char *second = arena_alloc(&a, 16);

	assert_non_null(large);
	memset(large, 'x', 100000);
	assert_ptr_equal(second, first + 16);
	arena_fini(&a);
}

static void texts_end_with_a_nul_that_is_not_counted(void **state)
{
	struct arena a;
	struct text out;

	(void)state;
	arena_init(&a, 100);
	assert_int_equal(arena_text(&a, TEXT("abc"), &out), ERR_OK);
	assert_int_equal(out.len, 3);
	assert_string_equal(out.at, "abc");
	assert_int_equal(arena_text(&a, (struct text){ NULL, 0 }, &out), ERR_OK);
	assert_string_equal(out.at, "");
	arena_fini(&a);
}

static void memory_may_run_out_anywhere(void **state)
{
	(void)state;
	for (EACH_ALLOC_FAILING) {
		struct arena a;
		int given = 0;

		arena_init(&a, 1u << 20);
		for (int i = 0; i < 10; i++)
			given += arena_alloc(&a, 3000) != NULL;
		assert_int_equal(given, alloc_has_failed() ? 9 : 10);
		assert_int_equal(a.used_bytes, given * 3000);
		arena_fini(&a);
	}
}

static void a_zeroed_one_can_be_given_back(void **state)
{
	struct arena a = { 0 };

	(void)state;
	arena_fini(&a);
	assert_null(arena_alloc(&a, 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_is_zeroed_aligned_and_apart),
		cmocka_unit_test(the_budget_counts_what_was_asked_for),
		cmocka_unit_test(sizes_that_overflow_are_refused),
		cmocka_unit_test(large_things_do_not_spoil_the_block_at_hand),
		cmocka_unit_test(texts_end_with_a_nul_that_is_not_counted),
		cmocka_unit_test(memory_may_run_out_anywhere),
		cmocka_unit_test(a_zeroed_one_can_be_given_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
