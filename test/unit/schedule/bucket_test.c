/* Limits in a time: never more in any window, nearly all of it under load, and no waves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include <postrider/base/auto.h>
#include <postrider/base/random.h>
#include <postrider/base/time.h>

#include "../../../src/schedule/bucket.h"

struct taken {
	int64_t at;
	uint64_t cost;
};

struct record {
	struct taken items[200000];
	size_t count;
};

static struct record *record_new(void)
{
	struct record *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	return r;
}

static void note(struct record *r, int64_t at, uint64_t cost)
{
	assert_true(r->count < ARRAY_LEN(r->items));
	r->items[r->count++] = (struct taken){ at, cost };
}

/* The most that any window of this length has, wherever it begins. */
static uint64_t most_in_a_window(const struct record *r, int64_t window_ms)
{
	uint64_t sum = 0, most = 0;
	size_t first = 0;

	for (size_t i = 0; i < r->count; i++) {
		sum += r->items[i].cost;
		while (r->items[i].at - r->items[first].at >= window_ms)
			sum -= r->items[first++].cost;
		most = MAX(most, sum);
	}
	return most;
}

static uint64_t total(const struct record *r)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < r->count; i++)
		sum += r->items[i].cost;
	return sum;
}

/* Takes what it can until the time is over; a timer comes up to late_ms late. */
static void load(struct bucket *b, struct record *r, int64_t *now, int64_t until, uint64_t cost,
                 struct random *random, uint64_t late_ms)
{
	while (*now < until) {
		int64_t at = bucket_allows_at(b, cost, false, *now);

		assert_true(at >= *now);
		if (at > *now) {
			*now = at + (int64_t)random_below(random, late_ms + 1);
			continue;
		}
		bucket_take(b, cost, false, *now);
		note(r, *now, cost);
	}
}

static const struct config_rate rates[] = {
	{ 1, SECOND_MS },     { 2, SECOND_MS },   { 14, SECOND_MS }, { 500, SECOND_MS },
	{ 30, MINUTE_MS },    { 600, MINUTE_MS }, { 10, HOUR_MS },   { 1000, HOUR_MS },
	{ 7, 7 * SECOND_MS }, { 50000, DAY_MS },  { 3, 1234 },
};

static void no_window_has_more_and_nearly_all_is_used(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rates); i++) {
		struct record *r = record_new();
		struct random random;
		struct bucket b;
		int64_t now = 12345 + (int64_t)i, windows = MIN(40, 150000 / (int64_t)rates[i].count);
		uint64_t used;

		random_init(&random, i);
		bucket_init(&b, rates[i]);
		load(&b, r, &now, now + windows * rates[i].window_ms, 1, &random,
		     rates[i].count < 100 ? 1 : 0);
		assert_true(most_in_a_window(r, rates[i].window_ms) <= rates[i].count);
		used = total(r) * 1000 / (rates[i].count * (uint64_t)windows);
		if (used < 990)
			fail_msg("%llu in %lld ms: %llu of a thousand are used",
			         (unsigned long long)rates[i].count, (long long)rates[i].window_ms,
			         (unsigned long long)used);
		bucket_fini(&b);
		free(r);
	}
}

/* Mail that comes as it likes, of any cost, with a number that changes, and a rule that halves it. */
static void whatever_comes_no_window_has_more(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < 300; seed++) {
		struct record *r = record_new();
		struct random random;
		int64_t now = -100000;
		uint64_t most;
		struct bucket b;
		struct config_rate rate;

		random_init(&random, seed);
		rate = rates[random_below(&random, ARRAY_LEN(rates))];
		rate.count = MAX(rate.count, UINT64_C(8));
		most = rate.count;
		bucket_init(&b, rate);
		for (int i = 0; i < 3000; i++) {
			uint64_t cost = 1 + random_below(&random, 1 + most / 4);
			bool halved = random_below(&random, 5) == 0;

			now += (int64_t)random_below(
				&random, (uint64_t)rate.window_ms / (1 + random_below(&random, 200)) + 1);
			if (random_below(&random, 300) == 0)
				bucket_change(&b, 1 + random_below(&random, most));
			if (bucket_allows_at(&b, cost, halved, now) > now)
				continue;
			bucket_take(&b, cost, halved, now);
			note(r, now, MIN(cost, b.most));
		}
		assert_true(most_in_a_window(r, rate.window_ms) <= most);
		assert_true(r->count > 10);
		bucket_fini(&b);
		free(r);
	}
}

static void what_is_said_to_be_allowed_later_is_allowed_then(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < 100; seed++) {
		struct random random;
		struct bucket b;
		int64_t now = 0;

		random_init(&random, seed);
		bucket_init(&b, rates[random_below(&random, ARRAY_LEN(rates))]);
		for (int i = 0; i < 1000; i++) {
			uint64_t cost = 1 + random_below(&random, 1 + b.most / 3);
			int64_t at = bucket_allows_at(&b, cost, false, now);

			if (at > now) /* and not before */
				assert_int_equal(bucket_allows_at(&b, cost, false, at - 1), at);
			assert_int_equal(bucket_allows_at(&b, cost, false, at), at);
			now = at;
			bucket_take(&b, cost, false, now);
		}
		bucket_fini(&b);
	}
}

/* Fourteen a second is not fourteen at once and then none: under load the longest silence is short. */
static void a_short_window_is_spread(void **state)
{
	struct record *r = record_new();
	struct random random;
	struct bucket b;
	int64_t now = 0, longest = 0;

	(void)state;
	random_init(&random, 1);
	bucket_init(&b, (struct config_rate){ 14, SECOND_MS });
	load(&b, r, &now, MINUTE_MS, 1, &random, 0);
	for (size_t i = 1; i < r->count; i++)
		longest = MAX(longest, r->items[i].at - r->items[i - 1].at);
	assert_in_range(longest, 1, 170);
	assert_true(most_in_a_window(r, 100) <= 4);
	bucket_fini(&b);
	free(r);
}

/* Who has a thousand an hour may send five hundred at once, and under load something goes every few seconds. */
static void a_long_window_allows_a_burst_and_has_no_standstill(void **state)
{
	struct record *r = record_new();
	struct random random;
	struct bucket b;
	int64_t now = 0, longest = 0;

	(void)state;
	random_init(&random, 1);
	bucket_init(&b, (struct config_rate){ 1000, HOUR_MS });
	load(&b, r, &now, 10 * HOUR_MS, 1, &random, 0);
	assert_int_equal(r->items[499].at, 0);
	assert_true(r->items[510].at > 0);
	for (size_t i = 1; i < r->count; i++)
		longest = MAX(longest, r->items[i].at - r->items[i - 1].at);
	assert_in_range(longest, 1, 30 * SECOND_MS);
	bucket_fini(&b);
	free(r);
}

static void what_is_larger_than_the_window_goes_alone(void **state)
{
	struct bucket b;

	(void)state;
	bucket_init(&b, (struct config_rate){ 1000, HOUR_MS });
	assert_int_equal(bucket_allows_at(&b, 5000, false, 10), 10);
	bucket_take(&b, 5000, false, 10);
	assert_true(bucket_allows_at(&b, 1, false, 20) >= HOUR_MS);
	assert_true(bucket_allows_at(&b, 1, false, 20) <= HOUR_MS * 101 / 100);
	bucket_fini(&b);
	bucket_init(&b, (struct config_rate){ 1000, HOUR_MS });
	bucket_take(&b, 1, false, 10);
	assert_true(bucket_allows_at(&b, 5000, false, 20) >= HOUR_MS);
	bucket_fini(&b);
}

/* What an earlier run took counts on: together they keep the limit. */
static void a_restart_in_the_middle_changes_nothing(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < 50; seed++) {
		static const struct config_rate longs[] = { { 30, MINUTE_MS },
			                                    { 1000, HOUR_MS },
			                                    { 5000, DAY_MS } };
		struct config_rate rate = longs[seed % 3];
		struct record *r = record_new();
		struct random random;
		int64_t now = 0, at;
		struct bucket b, next;
		uint64_t count;

		random_init(&random, seed);
		bucket_init(&b, rate);
		for (int run = 0; run < 5; run++) {
			load(&b, r, &now, now + (int64_t)random_below(&random, (uint64_t)rate.window_ms), 1,
			     &random, 1);
			bucket_init(&next, rate);
			/* the new run's clock began anew: what was before has negative times */
			for (size_t i = 0; bucket_slot_at(&b, i, &at, &count); i++)
				bucket_restore(&next, at, count, now);
			bucket_fini(&b);
			b = next;
			now += (int64_t)random_below(&random, 3000);
		}
		load(&b, r, &now, now + 3 * rate.window_ms, 1, &random, 0);
		assert_true(most_in_a_window(r, rate.window_ms) <= rate.count);
		bucket_fini(&b);
		free(r);
	}
}

static void the_log_stays_small(void **state)
{
	struct record *r = record_new();
	struct random random;
	struct bucket b;
	int64_t now = 0;

	(void)state;
	random_init(&random, 1);
	bucket_init(&b, (struct config_rate){ 50000, DAY_MS });
	load(&b, r, &now, 3 * DAY_MS, 1, &random, 0);
	assert_true(b.all.room <= 512 && b.burst.room <= 512);
	bucket_fini(&b);
	free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_window_has_more_and_nearly_all_is_used),
		cmocka_unit_test(whatever_comes_no_window_has_more),
		cmocka_unit_test(what_is_said_to_be_allowed_later_is_allowed_then),
		cmocka_unit_test(a_short_window_is_spread),
		cmocka_unit_test(a_long_window_allows_a_burst_and_has_no_standstill),
		cmocka_unit_test(what_is_larger_than_the_window_goes_alone),
		cmocka_unit_test(a_restart_in_the_middle_changes_nothing),
		cmocka_unit_test(the_log_stays_small),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
