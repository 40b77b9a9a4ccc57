/* postrider/io/lane.h - work that must not run on the loop: disk syncs, handshakes, hashes.
 * Each lane has threads of its own, so that a storm in one does not delay another. In the simulated world jobs run
 * inline and end at a seeded virtual delay. */
#ifndef POSTRIDER_IO_LANE_H
#define POSTRIDER_IO_LANE_H

#include <postrider/io/io.h>

enum io_lane {
	IO_LANE_WRITER,      /* one thread: the queue's transactions */
	IO_LANE_DISK,        /* spool files: written, synced, read; claims */
	IO_LANE_CPU,         /* handshakes, password hashes, signatures */
	IO_LANE_COUNT
};

/* The caller's memory, not to be touched between submit and done. */
struct io_job {
	struct list link;
	void (*run)(struct io_job *job);         /* on a thread of the lane; touches only what the job owns */
	void (*done)(struct io_job *job);        /* on the loop, in a later turn, once */
};

/* Jobs of one lane begin in the order of submission. Cannot fail. */
void io_job_submit(struct io *io, enum io_lane lane, struct io_job *job);
unsigned io_lane_threads(struct io *io, enum io_lane lane);      /* how many jobs may run at once; 1 at least */

#endif
