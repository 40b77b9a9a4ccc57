/* postrider/io/io.h - the world as the rooms see it: time, timers, and the turn of the loop.
 *
 * One struct io is one world. There are two: libuv with the real clock (postrider/io/uv.h), and the simulated one
 * with virtual time (postrider/sim.h). Rooms take a struct io and cannot tell which. All calls are made on the loop's
 * thread and all callbacks run there, except where a header says otherwise (only io_job's `run`). */
#ifndef POSTRIDER_IO_IO_H
#define POSTRIDER_IO_IO_H

#include <postrider/base/heap.h>
#include <postrider/base/list.h>
#include <postrider/base/text.h>

struct io;

int64_t io_now_at(struct io *io);           /* monotonic milliseconds, the same throughout one turn of the loop */
int64_t io_now_time(struct io *io);         /* UTC milliseconds */
int64_t io_now_time_us(struct io *io);      /* UTC microseconds, for events */
uint64_t io_clock_us(struct io *io);        /* monotonic microseconds, read anew: for measuring */
uint64_t io_random_u64(struct io *io);      /* from the system; in the simulated world from the seed. For seeds and ids */

/* Where a stored time lies on the monotonic scale. When the wall clock is set while we run, the join of the two
 * scales moves with it within a second, so a message due at 10:00 leaves at 10:00 of the new clock. */
int64_t io_at_of_time(struct io *io, int64_t utc_ms);

/* A timer is the caller's memory, allocates only inside the world's heap, and is gone at once when stopped.
 * A zeroed one is a stopped one. fn runs once, from the loop, never from inside io_timer_start; the timer is stopped
 * by then and may be started again or freed. */
struct io_timer {
	struct heap_item due;
	void (*fn)(void *owner);
	void *owner;
};

/* at_ms in the past: fn runs in the next turn. A running timer is moved. ERR_NOMEM: the timer is as it was. */
MUST_USE enum err io_timer_start(struct io *io, struct io_timer *timer, int64_t at_ms, void (*fn)(void *owner),
                                 void *owner);
void io_timer_stop(struct io *io, struct io_timer *timer);

static inline bool io_timer_runs(const struct io_timer *timer)
{
	return heap_has(&timer->due);
}

/* Something to be done once in a later part of this turn or in the next one: what must not run from inside its
 * caller. The caller's memory; a zeroed one is idle. Queuing a queued one does nothing. Order is kept. Cannot fail. */
struct io_later {
	struct list link;
	void (*fn)(void *owner);
	void *owner;
};

void io_later_run(struct io *io, struct io_later *later, void (*fn)(void *owner), void *owner);
void io_later_cancel(struct io *io, struct io_later *later);

/* What a room makes once for a world and finds again there (the system's CAs). The key is the address of something of
 * the room's own. The room counts its users and takes the thing out before it frees it. */
struct io_shared {
	struct list link;
	const void *key;
};

struct io_shared *io_shared_find(struct io *io, const void *key);      /* the newest; NULL when there is none */
void io_shared_add(struct io *io, struct io_shared *shared, const void *key);
void io_shared_remove(struct io_shared *shared);

#endif
