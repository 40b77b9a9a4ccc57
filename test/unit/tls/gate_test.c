/* The order in which handshakes come to the CPU lane. The world stands still: jobs run when the test says so. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "mbed.h"
#include "support/fake_io.h"

enum { ITEMS = 100 };

struct item {
	struct gate_item gate;
	struct io_job job;
	struct bench *bench;
	unsigned number;
};

struct bench {
	struct fake_io fake;
	struct mbed_world *world;
	struct item items[ITEMS];
	unsigned ran[ITEMS], count;
};

static void on_run(struct io_job *job)
{
	struct item *i = CONTAINER_OF(job, struct item, job);

	i->bench->ran[i->bench->count++] = i->number;
}

static void on_done(struct io_job *job)
{
	gate_leave(CONTAINER_OF(job, struct item, job)->bench->world);
}

static void enter(struct bench *b, unsigned number, bool begun, const char *peer)
{
	struct item *i = &b->items[number];
	struct ip ip = { .family = IP_NONE };

	assert_true(peer[0] == 0 || ip_parse(text_from(peer), &ip) == ERR_OK);
	*i = (struct item){ .bench = b, .number = number, .job = { .run = on_run, .done = on_done } };
	gate_enter(b->world, &i->gate, &i->job, begun, ip);
}

static int set_up(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));

	assert_non_null(b);
	fake_io_init(&b->fake);
	b->fake.held[IO_LANE_CPU] = true;
	assert_int_equal(mbed_world_ref(&b->fake.base, &b->world), ERR_OK);
	*state = b;
	return 0;
}

static int tear_down(void **state)
{
	struct bench *b = *state;

	mbed_world_unref(&b->world);
	fake_io_fini(&b->fake);
	free(b);
	return 0;
}

static void run_all(struct bench *b)
{
	while (fake_io_run_job(&b->fake, IO_LANE_CPU))
		;
}

static void the_lane_gets_two_for_each_thread(void **state)
{
	struct bench *b = *state;

	for (unsigned i = 0; i < 10; i++)
		enter(b, i, false, "192.0.2.1");
	assert_int_equal(b->world->running, 2);
	assert_int_equal(b->world->fresh_count, 8);
	run_all(b);
	assert_int_equal(b->count, 10);
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(b->ran[i], i);
	assert_int_equal(b->world->running, 0);
}

static void who_has_begun_goes_first(void **state)
{
	struct bench *b = *state;

	for (unsigned i = 0; i < 8; i++)
		enter(b, i, i >= 6, "192.0.2.1");
	run_all(b);
	const unsigned expected[] = { 0, 1, 6, 7, 2, 3, 4, 5 };

	assert_memory_equal(b->ran, expected, sizeof(expected));
}

/* A flood from one address, and one client from elsewhere behind it: it is third to come to the lane. */
static void a_flood_is_one_turn_among_others(void **state)
{
	struct bench *b = *state;

	for (unsigned i = 0; i < 90; i++)
		enter(b, i, false, "192.0.2.1");
	enter(b, 90, false, "198.51.100.7");
	enter(b, 91, false, "2001:db8::1");
	run_all(b);
	assert_int_equal(b->count, 92);
	unsigned place[2] = { 0, 0 };

	for (unsigned i = 0; i < 92; i++) {
		if (b->ran[i] >= 90)
			place[b->ran[i] - 90] = i;
	}
	assert_in_range(place[0], 2, 5);
	assert_in_range(place[1], 2, 5);
}

static void who_leaves_is_not_waited_for(void **state)
{
	struct bench *b = *state;

	for (unsigned i = 0; i < 8; i++)
		enter(b, i, i == 5, i % 2 ? "192.0.2.1" : "");
	assert_false(gate_cancel(b->world, &b->items[0].gate)); /* with the lane already */
	for (unsigned i = 2; i < 8; i++)
		assert_true(gate_cancel(b->world, &b->items[i].gate));
	assert_false(gate_cancel(b->world, &b->items[3].gate));
	assert_int_equal(b->world->fresh_count, 0);
	enter(b, 8, false, "192.0.2.1");
	run_all(b);
	assert_int_equal(b->count, 3);
	assert_int_equal(b->ran[2], 8);
	assert_false(gate_cancel(b->world, &b->items[8].gate));
}

static void all_of_one_loop_share_a_world(void **state)
{
	struct bench *b = *state;
	struct mbed_world *again = NULL;

	assert_int_equal(mbed_world_ref(&b->fake.base, &again), ERR_OK);
	assert_ptr_equal(again, b->world);
	mbed_world_unref(&again);
	assert_null(again);
	mbed_world_unref(&again);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_lane_gets_two_for_each_thread), TEST(who_has_begun_goes_first),
		TEST(a_flood_is_one_turn_among_others),  TEST(who_leaves_is_not_waited_for),
		TEST(all_of_one_loop_share_a_world),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
