#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include <postrider/io/lane.h>
#include <postrider/io/uv.h>

#include "support/streams.h"

#define JOBS 200
#define PATIENCE_MS 20000      /* a machine as slow as this is broken */

struct task {
	struct io_job job;
	struct world *world;
	unsigned number;
	unsigned began;             /* the place in the order of beginning */
	pthread_t ran_on;
	bool done;
	unsigned company;           /* how many jobs it wants to see at work at once before it ends; 0: none */
	bool waits;                 /* ends only when the world says so */
};

struct world {
	struct io *io;
	struct task tasks[JOBS];
	atomic_uint begun, running, most_running;
	atomic_bool go;
	unsigned done, order[JOBS];
	pthread_t loop;
	unsigned chain;
};

static int set_up(void **state)
{
	struct io_uv_options options = { .disk_threads = 3, .cpu_threads = 2 };
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	assert_int_equal(io_uv_new(&options, &w->io), ERR_OK);
	w->loop = pthread_self();
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

static void run(struct io_job *job)
{
	struct task *t = CONTAINER_OF(job, struct task, job);
	struct timespec moment = { .tv_nsec = 1000000L };
	unsigned running = atomic_fetch_add(&t->world->running, 1) + 1;
	unsigned most = atomic_load(&t->world->most_running);

	while (running > most && !atomic_compare_exchange_weak(&t->world->most_running, &most, running))
		;
	t->began = atomic_fetch_add(&t->world->begun, 1);
	t->ran_on = pthread_self();
	for (unsigned ms = 0; ms < PATIENCE_MS && atomic_load(&t->world->most_running) < t->company; ms++)
		nanosleep(&moment, NULL);
	for (unsigned ms = 0; ms < PATIENCE_MS && t->waits && !atomic_load(&t->world->go); ms++)
		nanosleep(&moment, NULL);
	atomic_fetch_sub(&t->world->running, 1);
}

static void done(struct io_job *job)
{
	struct task *t = CONTAINER_OF(job, struct task, job);

	assert_false(t->done);
	t->done = true;
	assert_true(pthread_equal(pthread_self(), t->world->loop));
	t->world->order[t->world->done++] = t->number;
}

static void submit(struct world *w, enum io_lane lane, unsigned i, unsigned company)
{
	w->tasks[i].job = (struct io_job){ .run = run, .done = done };
	w->tasks[i].world = w;
	w->tasks[i].number = i;
	w->tasks[i].company = company;
	io_job_submit(w->io, lane, &w->tasks[i].job);
}

static void a_lane_of_one_thread_keeps_the_order(void **state)
{
	struct world *w = *state;

	for (unsigned i = 0; i < JOBS; i++)
		submit(w, IO_LANE_WRITER, i, 0);
	assert_int_equal(w->done, 0);
	LOOP_UNTIL(w->io, w->done == JOBS);
	for (unsigned i = 0; i < JOBS; i++) {
		assert_int_equal(w->tasks[i].began, i);
		assert_int_equal(w->order[i], i);
	}
	assert_int_equal(atomic_load(&w->most_running), 1);
}

static void jobs_run_beside_the_loop(void **state)
{
	struct world *w = *state;

	submit(w, IO_LANE_CPU, 0, 0);
	LOOP_UNTIL(w->io, w->done == 1);
	assert_false(pthread_equal(w->tasks[0].ran_on, w->loop));
}

static void a_lane_uses_all_its_threads_and_no_more(void **state)
{
	struct world *w = *state;

	for (unsigned i = 0; i < 12; i++)
		submit(w, IO_LANE_DISK, i, 3);
	LOOP_UNTIL(w->io, w->done == 12);
	assert_int_equal(atomic_load(&w->most_running), 3);
}

static void a_busy_lane_does_not_hold_up_another(void **state)
{
	struct world *w = *state;

	for (unsigned i = 0; i < 4; i++) {
		w->tasks[i].waits = true;
		submit(w, IO_LANE_CPU, i, 0);
	}
	submit(w, IO_LANE_WRITER, 4, 0);
	LOOP_UNTIL(w->io, w->tasks[4].done);
	assert_int_equal(w->done, 1);
	atomic_store(&w->go, true);
	LOOP_UNTIL(w->io, w->done == 5);
}

static void again(struct io_job *job)
{
	struct task *t = CONTAINER_OF(job, struct task, job);

	if (++t->world->chain < 100)
		io_job_submit(t->world->io, IO_LANE_CPU, &t->job);
	else
		t->done = true;
}

static void a_job_can_be_submitted_again_from_its_done(void **state)
{
	struct world *w = *state;

	w->tasks[0] = (struct task){ .job = { .run = run, .done = again }, .world = w };
	io_job_submit(w->io, IO_LANE_CPU, &w->tasks[0].job);
	LOOP_UNTIL(w->io, w->tasks[0].done);
	assert_int_equal(w->chain, 100);
	assert_int_equal(atomic_load(&w->begun), 100);
}

static void freeing_the_world_lets_all_jobs_end(void **state)
{
	struct world *w = *state;

	for (unsigned i = 0; i < 20; i++)
		submit(w, i % 2 ? IO_LANE_DISK : IO_LANE_WRITER, i, 2);
	io_uv_free(&w->io);
	assert_int_equal(w->done, 20);
}

static void *stop_from_another_thread(void *io)
{
	struct timespec nap = { .tv_nsec = 20000000 };

	nanosleep(&nap, NULL);
	io_uv_stop(io);
	return NULL;
}

static void the_loop_stops_for_another_thread_and_runs_again(void **state)
{
	struct world *w = *state;
	pthread_t thread;

	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(pthread_create(&thread, NULL, stop_from_another_thread, w->io), 0);
		io_uv_run(w->io);
		pthread_join(thread, NULL);
	}
	submit(w, IO_LANE_CPU, 0, 0);
	LOOP_UNTIL(w->io, w->done == 1);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_lane_of_one_thread_keeps_the_order),
		TEST(jobs_run_beside_the_loop),
		TEST(a_lane_uses_all_its_threads_and_no_more),
		TEST(a_busy_lane_does_not_hold_up_another),
		TEST(a_job_can_be_submitted_again_from_its_done),
		TEST(freeing_the_world_lets_all_jobs_end),
		TEST(the_loop_stops_for_another_thread_and_runs_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
