#include <postrider/base/random.h>

#include "support/check.h"

/* The state 1, 2, 3, 4 gives the published first values of xoshiro256**. */
static void the_sequence_is_xoshiros(void **state)
{
	struct random r = { { 1, 2, 3, 4 } };
	const uint64_t expected[] = { 11520, 0, 1509978240, 1215971899390074240 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(expected); i++)
		assert_true(random_u64(&r) == expected[i]);
}

static void seeds_make_sequences(void **state)
{
	struct random a, b, c;

	(void)state;
	random_init(&a, 0);
	random_init(&b, 0);
	random_init(&c, 1);
	for (int i = 0; i < 100; i++) {
		uint64_t value = random_u64(&a);

		assert_true(value == random_u64(&b));
		assert_true(value != random_u64(&c));
	}
}

static void bounds_hold_and_every_value_comes(void **state)
{
	struct random r;
	unsigned counts[6] = { 0 };

	(void)state;
	random_init(&r, 9);
	for (int i = 0; i < 60000; i++)
		counts[random_below(&r, 6)]++;
	for (int i = 0; i < 6; i++)
		assert_in_range(counts[i], 9500, 10500);
	for (int i = 0; i < 100; i++) {
		assert_int_equal(random_below(&r, 1), 0);
		assert_true(random_below(&r, UINT64_C(1) << 63) < UINT64_C(1) << 63);
		assert_true(random_below(&r, UINT64_MAX) < UINT64_MAX);
	}
}

/* With a bound of three quarters of the range, a generator that only scales would favour a third of the
 * values. */
static void large_bounds_are_fair(void **state)
{
	struct random r;
	uint64_t bound = UINT64_C(3) << 62;
	unsigned thirds[3] = { 0 };

	(void)state;
	random_init(&r, 10);
	for (int i = 0; i < 30000; i++)
		thirds[random_below(&r, bound) >> 62]++;
	for (int i = 0; i < 3; i++)
		assert_in_range(thirds[i], 9600, 10400);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_sequence_is_xoshiros),
		cmocka_unit_test(seeds_make_sequences),
		cmocka_unit_test(bounds_hold_and_every_value_comes),
		cmocka_unit_test(large_bounds_are_fair),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
