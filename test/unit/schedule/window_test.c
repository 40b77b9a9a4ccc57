/* The window of connections: small at first, as large as the peer bears, small again after an outage. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <postrider/base/auto.h>
#include <postrider/base/random.h>
#include <postrider/base/time.h>

#include "../../../src/schedule/window.h"

#define MOST 20
#define CEILING_SEEN_MS 60000

static struct window begun(int64_t now)
{
	struct window w;

	window_init(&w, now);
	return w;
}

/* As many messages as there are connections. */
static void round_of_success(struct window *w, int64_t now)
{
	unsigned used = window_size(w, MOST, now);

	for (unsigned i = 0; i < used; i++)
		window_success(w, used, MOST, now);
}

static void it_doubles_in_a_round_until_most(void **state)
{
	struct window w = begun(0);

	(void)state;
	assert_int_equal(window_size(&w, MOST, 0), WINDOW_FIRST);
	assert_int_equal(window_size(&w, 2, 0), 2);
	round_of_success(&w, 1);
	assert_int_equal(window_size(&w, MOST, 1), 2 * WINDOW_FIRST);
	for (int i = 0; i < 10; i++)
		round_of_success(&w, 2);
	assert_int_equal(window_size(&w, MOST, 2), MOST);
	assert_int_equal(window_grows_at(&w, MOST, 2), INT64_MAX);
}

static void what_is_not_used_does_not_grow(void **state)
{
	struct window w = begun(0);

	(void)state;
	for (int i = 0; i < 1000; i++)
		window_success(&w, WINDOW_FIRST / 2, MOST, i);
	assert_int_equal(window_size(&w, MOST, 1000), WINDOW_FIRST);
}

static void trouble_halves_it_once_for_all_that_was_open(void **state)
{
	struct window w = begun(0);

	(void)state;
	for (int i = 0; i < 10; i++)
		round_of_success(&w, 0);
	for (unsigned i = 0; i < MOST; i++)
		assert_int_equal(window_trouble(&w, MOST, 50, 1000), i == 0);
	assert_int_equal(window_size(&w, MOST, 1000), MOST / 2);
	assert_true(window_trouble(&w, 10, 1500, 2000));
	assert_int_equal(window_size(&w, MOST, 2000), MOST / 4);
	for (int i = 0; i < 10; i++)
		(void)window_trouble(&w, 2, 3000 + i, 3000 + i);
	assert_int_equal(window_size(&w, MOST, 4000), 1);
}

/* A peer that bears five: it is found, and knocked at again seldom. */
static void a_hidden_limit_is_found_and_kept(void **state)
{
	struct window w = begun(0);
	unsigned troubles = 0, late_troubles = 0;
	uint64_t sum = 0;

	(void)state;
	for (int64_t now = 0; now < HOUR_MS; now += 100) {
		unsigned used = window_size(&w, MOST, now);

		if (used > 5) {
			assert_true(window_trouble(&w, used, now, now));
			troubles++;
			late_troubles += now > 10 * MINUTE_MS;
			continue;
		}
		sum += used;
		round_of_success(&w, now);
	}
	assert_in_range(troubles, 5, 40);
	assert_in_range(late_troubles, 3, 15);
	assert_true(sum / 36000 >= 4);
}

static void a_refusal_at_the_door_says_how_many_it_bears(void **state)
{
	struct window w = begun(0);

	(void)state;
	round_of_success(&w, 0);
	round_of_success(&w, 0);
	window_refused(&w, 7, 100, 200);
	assert_int_equal(window_size(&w, MOST, 200), 7);
	window_refused(&w, 3, 150, 300); /* opened before that */
	assert_int_equal(window_size(&w, MOST, 300), 7);
	for (int64_t now = 300; now < CEILING_SEEN_MS; now += 100)
		round_of_success(&w, now);
	assert_int_equal(window_size(&w, MOST, 50000), 7);
	for (int64_t now = 61000; now < 70000; now += 100)
		round_of_success(&w, now);
	assert_true(window_size(&w, MOST, 70000) > 7);
}

static void after_an_outage_it_doubles_once_a_second(void **state)
{
	static const unsigned sizes[] = { 1, 2, 4, 8, 16, MOST, MOST };
	struct window w = begun(0);

	(void)state;
	for (int i = 0; i < 10; i++)
		round_of_success(&w, 100);
	window_restart(&w, 5000);
	for (int64_t now = 5000; now < 5000 + (int64_t)ARRAY_LEN(sizes) * 1000; now += 10) {
		assert_true(window_size(&w, MOST, now) <= sizes[(now - 5000) / 1000]);
		round_of_success(&w, now);
	}
	assert_int_equal(window_size(&w, MOST, 12000), MOST);
	window_restart(&w, 20000);
	w.size = 8;
	assert_int_equal(window_grows_at(&w, MOST, 20100), 21000);
	assert_int_equal(window_grows_at(&w, MOST, 21500), 22000);
	assert_int_equal(window_grows_at(&w, MOST, 23000), INT64_MAX);
}

/* Whatever happens it is at least one and at most what may be. */
static void it_stays_within_its_bounds(void **state)
{
	struct random random;

	(void)state;
	for (uint64_t seed = 0; seed < 200; seed++) {
		struct window w = begun(0);
		int64_t now = 0;

		random_init(&random, seed);
		for (int i = 0; i < 2000; i++) {
			unsigned most = 1 + (unsigned)random_below(&random, 50), used;

			now += (int64_t)random_below(&random, 3000);
			used = window_size(&w, most, now);
			assert_in_range(used, 1, most);
			switch (random_below(&random, 10)) {
			case 0:
				(void)window_trouble(&w, (unsigned)random_below(&random, 60),
				                     now - (int64_t)random_below(&random, 3000), now);
				break;
			case 1:
				if (random_below(&random, 10) == 0)
					window_restart(&w, now);
				break;
			default:
				window_success(&w, used, most, now);
			}
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_doubles_in_a_round_until_most),
		cmocka_unit_test(what_is_not_used_does_not_grow),
		cmocka_unit_test(trouble_halves_it_once_for_all_that_was_open),
		cmocka_unit_test(a_hidden_limit_is_found_and_kept),
		cmocka_unit_test(a_refusal_at_the_door_says_how_many_it_bears),
		cmocka_unit_test(after_an_outage_it_doubles_once_a_second),
		cmocka_unit_test(it_stays_within_its_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
