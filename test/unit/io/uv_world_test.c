#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>

#include <postrider/io/uv.h>

/* One loop; what happened is written down as letters. */
struct world {
	struct io *io;
	char said[64];
	size_t said_len;
	struct io_timer timers[8], end;
	struct io_later later[4];
	unsigned turns;
};

static void say(struct world *w, char c)
{
	assert_true(w->said_len < sizeof(w->said) - 1);
	w->said[w->said_len++] = c;
}

static int set_up(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	assert_int_equal(io_uv_new(NULL, &w->io), ERR_OK);
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;

	io_uv_free(&w->io);
	free(w);
	return 0;
}

static void say_a(void *owner)
{
	say(owner, 'a');
}

static void say_b(void *owner)
{
	say(owner, 'b');
}

static void say_c(void *owner)
{
	say(owner, 'c');
}

static void stop_loop(void *owner)
{
	struct world *w = owner;

	io_uv_stop(w->io);
}

static void start(struct world *w, unsigned i, int64_t in_ms, void (*fn)(void *owner))
{
	assert_int_equal(io_timer_start(w->io, &w->timers[i], io_now_at(w->io) + in_ms, fn, w), ERR_OK);
}

static void run_for(struct world *w, int64_t ms)
{
	assert_int_equal(io_timer_start(w->io, &w->end, io_now_at(w->io) + ms, stop_loop, w), ERR_OK);
	io_uv_run(w->io);
}

static void timers_run_in_the_order_of_their_times(void **state)
{
	struct world *w = *state;

	start(w, 0, 9, say_c);
	start(w, 1, 3, say_a);
	start(w, 2, 6, say_b);
	run_for(w, 12);
	assert_string_equal(w->said, "abc");
}

static void timers_of_the_same_time_run_in_the_order_of_starting(void **state)
{
	struct world *w = *state;
	int64_t at = io_now_at(w->io) + 3;

	assert_int_equal(io_timer_start(w->io, &w->timers[0], at, say_b, w), ERR_OK);
	assert_int_equal(io_timer_start(w->io, &w->timers[1], at, say_a, w), ERR_OK);
	assert_int_equal(io_timer_start(w->io, &w->timers[2], at, say_c, w), ERR_OK);
	run_for(w, 8);
	assert_string_equal(w->said, "bac");
}

static void a_timer_does_not_run_before_its_time(void **state)
{
	struct world *w = *state;
	uint64_t before = io_clock_us(w->io);

	run_for(w, 25);
	assert_true(io_clock_us(w->io) - before >= 24 * 1000);
}

static void a_timer_that_ran_is_stopped(void **state)
{
	struct world *w = *state;

	start(w, 0, 1, say_a);
	assert_true(io_timer_runs(&w->timers[0]));
	run_for(w, 5);
	assert_false(io_timer_runs(&w->timers[0]));
	assert_string_equal(w->said, "a");
}

static void stop_others(void *owner)
{
	struct world *w = owner;

	say(w, 's');
	io_timer_stop(w->io, &w->timers[1]);
	io_timer_stop(w->io, &w->timers[2]);
	io_timer_stop(w->io, &w->timers[2]);
}

static void a_timer_stopped_by_another_of_the_same_turn_does_not_run(void **state)
{
	struct world *w = *state;

	start(w, 0, 3, stop_others);
	start(w, 1, 3, say_a);
	start(w, 2, 3, say_b);
	start(w, 3, 3, say_c);
	run_for(w, 8);
	assert_string_equal(w->said, "sc");
}

static void restart_in_the_past(void *owner)
{
	struct world *w = owner;

	say(w, 'r');
	if (w->said_len < 5)
		start(w, 0, -100, restart_in_the_past);
}

static void a_timer_restarted_for_the_past_runs_in_later_turns_and_lets_others_run(void **state)
{
	struct world *w = *state;

	start(w, 0, 0, restart_in_the_past);
	start(w, 1, 0, say_a);
	run_for(w, 20);
	assert_string_equal(w->said, "rarrr");
}

static void a_running_timer_is_moved(void **state)
{
	struct world *w = *state;

	start(w, 0, 2, say_a);
	start(w, 1, 5, say_b);
	start(w, 0, 9, say_c);
	run_for(w, 14);
	assert_string_equal(w->said, "bc");
}

static void many_timers_all_run(void **state)
{
	enum { COUNT = 5000 };
	struct world *w = *state;
	struct io_timer *timers = calloc(COUNT, sizeof(*timers));
	unsigned count = 0;

	assert_non_null(timers);
	for (unsigned i = 0; i < COUNT; i++)
		assert_int_equal(io_timer_start(w->io, &timers[i], io_now_at(w->io) + (i * 7919) % 30, say_a, w), ERR_OK);
	for (unsigned i = 0; i < COUNT; i++) {
		if (i % 100)
			io_timer_stop(w->io, &timers[i]);
	}
	run_for(w, 40);
	for (unsigned i = 0; i < COUNT; i++)
		count += io_timer_runs(&timers[i]);
	free(timers);
	assert_int_equal(count, 0);
	assert_int_equal(w->said_len, 50);
}

static void again(void *owner)
{
	struct world *w = owner;

	if (w->turns++ < 50)
		io_later_run(w->io, &w->later[1], again, w);
}

static void later_keeps_its_order_and_runs_once(void **state)
{
	struct world *w = *state;

	io_later_run(w->io, &w->later[0], say_b, w);
	io_later_run(w->io, &w->later[1], say_a, w);
	io_later_run(w->io, &w->later[0], say_b, w);
	io_later_run(w->io, &w->later[2], say_c, w);
	assert_int_equal(w->said_len, 0);
	run_for(w, 3);
	assert_string_equal(w->said, "bac");
}

static void later_from_inside_later_does_not_wait_and_does_not_starve_timers(void **state)
{
	struct world *w = *state;
	uint64_t before = io_clock_us(w->io);

	io_later_run(w->io, &w->later[0], again, w);
	start(w, 0, 0, say_a);
	start(w, 1, 2000, stop_loop);
	io_later_run(w->io, &w->later[3], say_b, w);
	run_for(w, 30);
	assert_int_equal(w->turns, 51);
	assert_true(io_clock_us(w->io) - before < 1900 * 1000);
	assert_string_equal(w->said, "ab");
	io_timer_stop(w->io, &w->timers[1]);
}

static void cancel_next(void *owner)
{
	struct world *w = owner;

	say(w, 'x');
	io_later_cancel(w->io, &w->later[1]);
	io_later_cancel(w->io, &w->later[3]);
}

static void later_can_be_cancelled_by_one_before_it(void **state)
{
	struct world *w = *state;

	io_later_run(w->io, &w->later[0], cancel_next, w);
	io_later_run(w->io, &w->later[1], say_a, w);
	io_later_run(w->io, &w->later[2], say_b, w);
	run_for(w, 3);
	assert_string_equal(w->said, "xb");
}

static void times_and_places_on_the_scale_agree(void **state)
{
	struct world *w = *state;
	int64_t now = io_now_time(w->io), us = io_now_time_us(w->io);

	assert_int_equal(io_at_of_time(w->io, now), io_now_at(w->io));
	assert_int_equal(io_at_of_time(w->io, now + 5000), io_now_at(w->io) + 5000);
	assert_in_range(us / 1000 - now + 50, 0, 100);
}

static void random_numbers_differ(void **state)
{
	struct world *w = *state;

	assert_true(io_random_u64(w->io) != io_random_u64(w->io));
}

static void block(void *owner)
{
	struct world *w = owner;
	uint64_t until = io_clock_us(w->io) + 30000;

	while (io_clock_us(w->io) < until)
		;
}

static void the_lag_of_a_busy_loop_shows(void **state)
{
	struct world *w = *state;

	run_for(w, 5);
	(void)io_uv_take_lag_us(w->io);
	start(w, 0, 5, block);
	start(w, 1, 10, say_a);
	run_for(w, 12);
	assert_true(io_uv_take_lag_us(w->io) >= 20000);
	assert_int_equal(io_uv_take_lag_us(w->io), 0);
}

/* ---------------------------------------------------------------- signals */

static void on_signal(void *owner, int number)
{
	struct world *w = owner;

	say(w, number == SIGUSR1 ? '1' : number == SIGUSR2 ? '2' : '?');
	io_uv_stop(w->io);
}

static void a_signal_is_heard_on_the_loop(void **state)
{
	struct world *w = *state;

	assert_int_equal(io_uv_on_signal(w->io, SIGUSR1, on_signal, w), ERR_OK);
	assert_int_equal(io_uv_on_signal(w->io, SIGUSR2, on_signal, w), ERR_OK);
	raise(SIGUSR2);
	assert_int_equal(w->said_len, 0);
	io_uv_run(w->io);
	raise(SIGUSR1);
	io_uv_run(w->io);
	assert_string_equal(w->said, "21");
}

static void a_signal_that_cannot_be_caught_is_an_error(void **state)
{
	struct world *w = *state;

	assert_int_not_equal(io_uv_on_signal(w->io, SIGKILL, on_signal, w), ERR_OK);
	run_for(w, 1);
}

static void a_closed_pipe_does_not_kill(void **state)
{
	(void)state;
	raise(SIGPIPE);
}

static void loopback_is_one_of_our_addresses(void **state)
{
	struct ip own[256];
	size_t count = io_uv_own_addresses(own, ARRAY_LEN(own));
	bool found = false;

	(void)state;
	for (size_t i = 0; i < count; i++)
		found = found || ip_is_loopback(own[i]);
	assert_true(found);
	assert_int_equal(io_uv_own_addresses(own, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(timers_run_in_the_order_of_their_times, set_up, tear_down),
		cmocka_unit_test_setup_teardown(timers_of_the_same_time_run_in_the_order_of_starting, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_timer_does_not_run_before_its_time, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_timer_that_ran_is_stopped, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_timer_stopped_by_another_of_the_same_turn_does_not_run, set_up,
		                                tear_down),
		cmocka_unit_test_setup_teardown(a_timer_restarted_for_the_past_runs_in_later_turns_and_lets_others_run,
		                                set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_running_timer_is_moved, set_up, tear_down),
		cmocka_unit_test_setup_teardown(many_timers_all_run, set_up, tear_down),
		cmocka_unit_test_setup_teardown(later_keeps_its_order_and_runs_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(later_from_inside_later_does_not_wait_and_does_not_starve_timers, set_up,
		                                tear_down),
		cmocka_unit_test_setup_teardown(later_can_be_cancelled_by_one_before_it, set_up, tear_down),
		cmocka_unit_test_setup_teardown(times_and_places_on_the_scale_agree, set_up, tear_down),
		cmocka_unit_test_setup_teardown(random_numbers_differ, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_lag_of_a_busy_loop_shows, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_signal_is_heard_on_the_loop, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_signal_that_cannot_be_caught_is_an_error, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_closed_pipe_does_not_kill, set_up, tear_down),
		cmocka_unit_test(loopback_is_one_of_our_addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
