/* Time and turns on a world of the test's own, whose clocks it sets. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <postrider/io/world.h>

#define NEW_YEAR_MS INT64_C(1767225600000)

struct world {
	struct io io;
	int64_t at_ms, time_ms, wake_at;
	unsigned wakes, clock_reads, runs;
	struct io_timer timer;
	struct io_later later;
};

static struct world *world_of(struct io *io)
{
	return CONTAINER_OF(io, struct world, io);
}

static int64_t now_at(struct io *io)
{
	return world_of(io)->at_ms;
}

static int64_t now_time_us(struct io *io)
{
	world_of(io)->clock_reads++;
	return world_of(io)->time_ms * 1000;
}

static uint64_t clock_us(struct io *io)
{
	return (uint64_t)world_of(io)->at_ms * 1000;
}

static void wake_at(struct io *io, int64_t at_ms)
{
	world_of(io)->wakes++;
	world_of(io)->wake_at = at_ms;
}

static const struct io_world_ops ops = {
	.now_at = now_at, .now_time_us = now_time_us, .clock_us = clock_us, .wake_at = wake_at
};

static int set_up(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	io_world_init(&w->io, &ops);
	w->at_ms = 5000;
	w->time_ms = NEW_YEAR_MS;
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;

	io_world_fini(&w->io);
	free(w);
	return 0;
}

static void pass(struct world *w, int64_t ms)
{
	w->at_ms += ms;
	w->time_ms += ms;
}

static void run(void *owner)
{
	struct world *w = owner;

	w->runs++;
}

static void a_time_has_its_place_on_the_monotonic_scale(void **state)
{
	struct world *w = *state;

	assert_int_equal(io_now_time(&w->io), NEW_YEAR_MS);
	assert_int_equal(io_at_of_time(&w->io, NEW_YEAR_MS + 1500), 6500);
	pass(w, 1500);
	assert_int_equal(io_now_time(&w->io), NEW_YEAR_MS + 1500);
	assert_int_equal(io_at_of_time(&w->io, NEW_YEAR_MS + 1500), io_now_at(&w->io));
}

static void when_the_clock_is_set_the_join_follows_within_a_second(void **state)
{
	struct world *w = *state;

	assert_int_equal(io_at_of_time(&w->io, NEW_YEAR_MS + 3600000), 3605000);
	w->time_ms += 3600000;      /* an hour forward */
	pass(w, 999);
	assert_int_equal(io_at_of_time(&w->io, NEW_YEAR_MS + 3600000), 3605000);
	pass(w, 1);
	assert_int_equal(io_at_of_time(&w->io, NEW_YEAR_MS + 3600000), 5000);
	assert_int_equal(io_now_time(&w->io), NEW_YEAR_MS + 3601000);
	w->time_ms -= 7200000;      /* two hours back */
	pass(w, 1000);
	assert_int_equal(io_now_time(&w->io), NEW_YEAR_MS - 3598000);
}

static void drift_of_a_few_milliseconds_moves_nothing(void **state)
{
	struct world *w = *state;

	(void)io_now_time(&w->io);
	w->time_ms += 9;
	pass(w, 2000);
	assert_int_equal(io_now_time(&w->io), NEW_YEAR_MS + 2000);
	w->time_ms += 9;
	pass(w, 2000);
	assert_int_equal(io_now_time(&w->io), NEW_YEAR_MS + 4018);
}

static void the_wall_clock_is_read_once_a_second(void **state)
{
	struct world *w = *state;

	for (unsigned i = 0; i < 1000; i++) {
		(void)io_now_time(&w->io);
		(void)io_at_of_time(&w->io, NEW_YEAR_MS);
		pass(w, 10);
	}
	assert_in_range(w->clock_reads, 10, 11);
}

static void the_world_hears_of_the_first_timer_only(void **state)
{
	struct world *w = *state;
	struct io_timer second = { 0 };

	assert_int_equal(io_timer_start(&w->io, &w->timer, 7000, run, w), ERR_OK);
	assert_int_equal(w->wake_at, 7000);
	assert_int_equal(io_timer_start(&w->io, &second, 9000, run, w), ERR_OK);
	assert_int_equal(w->wakes, 1);
	pass(w, 2000);
	io_world_turn(&w->io);
	assert_int_equal(w->runs, 1);
	assert_int_equal(w->wake_at, 9000);
	pass(w, 2000);
	io_world_turn(&w->io);
	assert_int_equal(w->runs, 2);
	assert_true(w->wake_at == INT64_MAX);
}

static void a_timer_for_the_past_is_due_now(void **state)
{
	struct world *w = *state;

	assert_int_equal(io_timer_start(&w->io, &w->timer, -1, run, w), ERR_OK);
	assert_int_equal(w->wake_at, 5000);
	assert_int_equal(w->runs, 0);
	io_world_turn(&w->io);
	assert_int_equal(w->runs, 1);
}

static void run_again(void *owner)
{
	struct world *w = owner;

	w->runs++;
	io_later_run(&w->io, &w->later, run_again, w);
}

static void what_is_put_off_in_a_turn_waits_for_the_next(void **state)
{
	struct world *w = *state;

	io_later_run(&w->io, &w->later, run_again, w);
	assert_int_equal(w->wake_at, 5000);
	for (unsigned i = 1; i < 4; i++) {
		w->wake_at = 0;
		io_world_turn(&w->io);
		assert_int_equal(w->runs, i);
		assert_int_equal(w->wake_at, 5000);
	}
	io_later_cancel(&w->io, &w->later);
	io_world_turn(&w->io);
	assert_int_equal(w->runs, 3);
	assert_true(w->wake_at == INT64_MAX);
}

static void a_timer_puts_off_nothing_that_waits_for_the_next_turn(void **state)
{
	struct world *w = *state;
	struct io_later later = { 0 };
	struct io_timer timer = { 0 };

	io_later_run(&w->io, &later, run, w);
	assert_int_equal(io_timer_start(&w->io, &timer, 9000, run, w), ERR_OK);
	assert_int_equal(w->wake_at, 5000);
	io_later_cancel(&w->io, &later);
	io_timer_stop(&w->io, &timer);
}

static void shared_things_are_found_by_their_key(void **state)
{
	struct world *w = *state;
	struct io_shared a, b, newer;
	char key_a = 0, key_b = 0;

	assert_null(io_shared_find(&w->io, &key_a));
	io_shared_add(&w->io, &a, &key_a);
	io_shared_add(&w->io, &b, &key_b);
	assert_ptr_equal(io_shared_find(&w->io, &key_a), &a);
	io_shared_add(&w->io, &newer, &key_a);
	assert_ptr_equal(io_shared_find(&w->io, &key_a), &newer);
	io_shared_remove(&newer);
	assert_ptr_equal(io_shared_find(&w->io, &key_a), &a);
	io_shared_remove(&a);
	assert_null(io_shared_find(&w->io, &key_a));
	io_world_fini(&w->io);
	io_shared_remove(&b);      /* it has outlived its world */
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_time_has_its_place_on_the_monotonic_scale),
		TEST(when_the_clock_is_set_the_join_follows_within_a_second),
		TEST(drift_of_a_few_milliseconds_moves_nothing),
		TEST(the_wall_clock_is_read_once_a_second),
		TEST(the_world_hears_of_the_first_timer_only),
		TEST(a_timer_for_the_past_is_due_now),
		TEST(what_is_put_off_in_a_turn_waits_for_the_next),
		TEST(a_timer_puts_off_nothing_that_waits_for_the_next_turn),
		TEST(shared_things_are_found_by_their_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
