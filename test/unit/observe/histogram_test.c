#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <postrider/base/random.h>
#include <postrider/observe/histogram.h>

static void an_empty_one_has_zero_quantiles(void **state)
{
	(void)state;
	struct histogram h = { 0 };

	assert_int_equal(histogram_quantile(&h, 500), 0);
	assert_int_equal(histogram_quantile(&h, 1000), 0);
	assert_int_equal(histogram_at_most(&h, UINT64_MAX), 0);
}

static void small_values_are_exact(void **state)
{
	(void)state;
	struct histogram h = { 0 };

	for (int i = 0; i < 16; i++)
		histogram_add(&h, i);
	assert_int_equal(histogram_quantile(&h, 500), 7);
	assert_int_equal(histogram_quantile(&h, 1000), 15);
	assert_int_equal(histogram_quantile(&h, 0), 0);
	assert_int_equal(histogram_at_most(&h, 3), 4);
	assert_int_equal(h.sum, 120);
}

static void negative_counts_as_zero(void **state)
{
	(void)state;
	struct histogram h = { 0 };

	histogram_add(&h, -5);
	assert_int_equal(h.count, 1);
	assert_int_equal(h.sum, 0);
	assert_int_equal(histogram_quantile(&h, 1000), 0);
}

static void one_value_of_any_size_is_found_to_a_sixteenth(void **state)
{
	(void)state;
	for (unsigned bit = 0; bit < HISTOGRAM_BITS; bit++)
		for (int off = -1; off <= 1; off++) {
			struct histogram h = { 0 };
			uint64_t value = (UINT64_C(1) << bit) + (uint64_t)off;

			histogram_add(&h, (int64_t)value);
			histogram_add(&h, INT64_MAX); /* so that max does not hide the bucket's end */
			uint64_t found = histogram_quantile(&h, 500);

			assert_true(found >= value);
			assert_true(found - value <= value / 16);
			assert_int_equal(histogram_at_most(&h, found), 1);
		}
}

static void values_over_the_range_are_kept_in_the_last_bucket(void **state)
{
	(void)state;
	struct histogram h = { 0 };

	histogram_add(&h, INT64_MAX);
	assert_int_equal(h.buckets[HISTOGRAM_BUCKETS - 1], 1);
	assert_int_equal(h.max, INT64_MAX);
}

static void quantiles_of_many_values_are_near_the_true_ones(void **state)
{
	(void)state;
	struct histogram h = { 0 };
	struct random random;

	random_init(&random, 7);
	for (int i = 0; i < 200000; i++)
		histogram_add(&h, (int64_t)random_below(&random, 1000000));
	for (unsigned q = 100; q < 1000; q += 100) {
		uint64_t found = histogram_quantile(&h, q);

		assert_in_range(found, q * 980, q * 1080);
	}
	assert_int_equal(histogram_at_most(&h, 1048575), 200000);
}

static void merging_adds_up(void **state)
{
	(void)state;
	struct histogram a = { 0 }, b = { 0 };

	histogram_add(&a, 10);
	histogram_add(&b, 3000);
	histogram_add(&b, 12);
	histogram_merge(&a, &b);
	assert_int_equal(a.count, 3);
	assert_int_equal(a.sum, 3022);
	assert_int_equal(a.max, 3000);
	assert_int_equal(histogram_quantile(&a, 500), 12);
	assert_int_equal(histogram_quantile(&a, 1000), 3000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_one_has_zero_quantiles),
		cmocka_unit_test(small_values_are_exact),
		cmocka_unit_test(negative_counts_as_zero),
		cmocka_unit_test(one_value_of_any_size_is_found_to_a_sixteenth),
		cmocka_unit_test(values_over_the_range_are_kept_in_the_last_bucket),
		cmocka_unit_test(quantiles_of_many_values_are_near_the_true_ones),
		cmocka_unit_test(merging_adds_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
