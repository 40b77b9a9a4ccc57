/* support/fake_io.h - a world for tests of one room: virtual time that stands still until it is told to go
 * on, jobs of the lanes that run inline when the test says so. No network. */
#ifndef TEST_SUPPORT_FAKE_IO_H
#define TEST_SUPPORT_FAKE_IO_H

#include <postrider/io/lane.h>
#include <postrider/io/world.h>

#define FAKE_IO_START_TIME INT64_C(1767225600000) /* 2026-01-01 */

struct fake_io {
	struct io base;
	int64_t at_ms;
	int64_t wake_at;
	uint64_t random;
	struct list jobs[IO_LANE_COUNT];
	bool held[IO_LANE_COUNT];    /* jobs of this lane wait */
	uint64_t ran[IO_LANE_COUNT]; /* jobs that ran so far */
};

struct io *fake_io_init(struct fake_io *f);
void fake_io_fini(struct fake_io *f);

/* Runs what is due now and all jobs of lanes that are not held, until nothing is left. */
void fake_io_run(struct fake_io *f);
/* One turn of the loop, without jobs. */
void fake_io_turn(struct fake_io *f);
/* Runs one waiting job of the lane and, in a turn of its own, its done. False: there is none. */
bool fake_io_run_job(struct fake_io *f, enum io_lane lane);
/* Lets time pass, with all timers at their moments. */
void fake_io_advance(struct fake_io *f, int64_t ms);

#endif
