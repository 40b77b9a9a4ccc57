#include <postrider/base/auto.h>

#include "support/check.h"

static void note_call(int **p)
{
	if (*p)
		++**p;
}

static int *hand_over(int *counter)
{
	AUTO(note_call) int *kept = counter;

	return TAKE(kept);
}

static void cleanup_runs_on_the_way_out_unless_taken(void **state)
{
	int calls = 0;

	(void)state;
	{
		AUTO(note_call) int *kept = &calls;

		assert_int_equal(*kept, 0);
	}
	assert_int_equal(calls, 1);
	assert_ptr_equal(hand_over(&calls), &calls);
	assert_int_equal(calls, 1);
}

static void memory_is_freed_and_forgotten(void **state)
{
	char *p = malloc(1);

	(void)state;
	free_memory(&p);
	assert_null(p);
	free_memory(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cleanup_runs_on_the_way_out_unless_taken),
		cmocka_unit_test(memory_is_freed_and_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
