/* Sliding windows: what fits, when it fits again, and that no window ever sees more than its rate. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <postrider/base/random.h>
#include <postrider/base/time.h>

#include "../../../src/receive/limits.h"

static const struct config_rate per_minute = { 10, MINUTE_MS };

static void as_many_as_the_rate_fit_and_no_more(void **state)
{
	struct limit_window w = { 0 };

	(void)state;
	for (int i = 0; i < 10; i++)
		assert_int_equal(limit_take(&w, &per_minute, 1000000, 1), 0);
	assert_true(limit_take(&w, &per_minute, 1000000, 1) > 0);
	assert_int_equal(limit_used(&w, 1000000), 10);
}

static void what_did_not_fit_is_not_counted(void **state)
{
	struct limit_window w = { 0 };

	(void)state;
	assert_int_equal(limit_take(&w, &per_minute, 5, 8), 0);
	assert_true(limit_take(&w, &per_minute, 5, 3) > 0);
	assert_int_equal(limit_used(&w, 5), 8);
	assert_int_equal(limit_take(&w, &per_minute, 5, 2), 0);
}

static void it_fits_again_when_it_was_said_and_not_before(void **state)
{
	(void)state;
	for (int64_t start = 0; start < 3 * MINUTE_MS; start += 977) {
		struct limit_window w = { 0 };
		int64_t wait_ms;

		assert_int_equal(limit_take(&w, &per_minute, start, 4), 0);
		assert_int_equal(limit_take(&w, &per_minute, start + 20000, 6), 0);
		wait_ms = limit_ask(&w, &per_minute, start + 30000, 3);
		assert_in_range(wait_ms, 30000, 30000 + MINUTE_MS / LIMIT_SLICES);
		assert_true(limit_ask(&w, &per_minute, start + 30000 + wait_ms - 1, 3) > 0);
		assert_int_equal(limit_take(&w, &per_minute, start + 30000 + wait_ms, 3), 0);
	}
}

static void more_than_the_window_ever_holds_waits_a_window(void **state)
{
	struct limit_window w = { 0 };

	(void)state;
	assert_int_equal(limit_take(&w, &per_minute, 5, 11), MINUTE_MS);
	assert_int_equal(limit_take(&w, &per_minute, 5, 10), 0);
}

static void no_limit_counts_nothing(void **state)
{
	struct limit_window w = { 0 };

	(void)state;
	assert_int_equal(limit_take(&w, &(struct config_rate){ 0, MINUTE_MS }, 5, 1000000), 0);
	assert_int_equal(limit_used(&w, 5), 0);
}

static void what_is_given_back_fits_again(void **state)
{
	struct limit_window w = { 0 };

	(void)state;
	assert_int_equal(limit_take(&w, &per_minute, 1000, 6), 0);
	assert_int_equal(limit_take(&w, &per_minute, 16000, 4), 0);
	limit_give_back(&w, 16500, 5); /* four of the newest slice, one of the one before */
	assert_int_equal(limit_used(&w, 16500), 5);
	limit_give_back(&w, 16500, 100);
	assert_true(limit_is_empty(&w, 16500));
	limit_give_back(&(struct limit_window){ 0 }, 16500, 1);
}

static void another_rate_begins_anew(void **state)
{
	static const struct config_rate per_hour = { 10, HOUR_MS };
	struct limit_window w = { 0 };

	(void)state;
	assert_int_equal(limit_take(&w, &per_minute, 1000, 10), 0);
	assert_int_equal(limit_take(&w, &per_hour, 1000, 10), 0);
	assert_true(limit_take(&w, &per_hour, 1000, 1) > 0);
}

static void the_first_minutes_of_the_clock_are_like_all_others(void **state)
{
	struct limit_window w = { 0 };

	(void)state;
	assert_int_equal(limit_take(&w, &per_minute, 0, 10), 0);
	assert_true(limit_take(&w, &per_minute, 0, 1) > 0);
	limit_give_back(&w, 0, 1);
	assert_int_equal(limit_take(&w, &per_minute, 0, 1), 0);
	assert_int_equal(limit_take(&w, &per_minute, 2 * MINUTE_MS, 10), 0);
}

/* The promise, against a list of all that was ever taken. */
static void no_window_sees_more_than_its_rate(void **state)
{
	enum { TAKES = 4000 };
	static int64_t at[TAKES];
	struct random random;
	uint64_t refused = 0;

	(void)state;
	random_init(&random, 4711);
	for (unsigned round = 0; round < 20; round++) {
		struct config_rate rate = { 1 + random_below(&random, 40),
			                    1 + (int64_t)random_below(&random, 100000) };
		struct limit_window w = { 0 };
		int64_t now = (int64_t)random_below(&random, 1000000);
		size_t count = 0, first = 0;

		while (count < TAKES) {
			now += (int64_t)random_below(
				       &random, (uint64_t)(2 * rate.window_ms / (int64_t)rate.count) + 2) /
			       4;
			if (limit_take(&w, &rate, now, 1)) {
				refused++;
				now += rate.window_ms / LIMIT_SLICES;
				continue;
			}
			at[count++] = now;
			while (at[first] <= now - rate.window_ms)
				first++;
			assert_in_range(count - first, 1, rate.count);
		}
	}
	assert_true(refused > 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(as_many_as_the_rate_fit_and_no_more),
		cmocka_unit_test(what_did_not_fit_is_not_counted),
		cmocka_unit_test(it_fits_again_when_it_was_said_and_not_before),
		cmocka_unit_test(more_than_the_window_ever_holds_waits_a_window),
		cmocka_unit_test(no_limit_counts_nothing),
		cmocka_unit_test(what_is_given_back_fits_again),
		cmocka_unit_test(another_rate_begins_anew),
		cmocka_unit_test(the_first_minutes_of_the_clock_are_like_all_others),
		cmocka_unit_test(no_window_sees_more_than_its_rate),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
