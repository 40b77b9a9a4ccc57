/* lanes.h - the threads behind io_job_submit: for each lane a queue and threads of its own, started when first needed. */
#ifndef IO_LANES_H
#define IO_LANES_H

#include <pthread.h>

#include <postrider/io/lane.h>

#define LANE_THREADS_MAX 64

struct lane {
	pthread_mutex_t lock;          /* over all below */
	pthread_cond_t wake;
	struct list queue;
	unsigned idle;                 /* threads that sleep and were not woken */
	unsigned wakes;                /* threads woken that still sleep */
	unsigned started, max;
	bool ending;
	pthread_t threads[LANE_THREADS_MAX];
	struct lanes *lanes;
	const char *name;
};

struct lanes {
	struct lane lane[IO_LANE_COUNT];
	pthread_mutex_t done_lock;     /* over done */
	struct list done;
	void (*poke)(void *owner);     /* from any thread: done has something */
	void *owner;
};

void lanes_init(struct lanes *l, unsigned disk_threads, unsigned cpu_threads, void (*poke)(void *owner), void *owner);
/* Waits for the running jobs and ends the threads. Nothing may be queued or submitted any more. */
void lanes_fini(struct lanes *l);
void lanes_submit(struct lanes *l, enum io_lane lane, struct io_job *job);
/* Calls done for what has ended so far; returns how many that were. On the loop. */
size_t lanes_finish_done(struct lanes *l);

#endif
