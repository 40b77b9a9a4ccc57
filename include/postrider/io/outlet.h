/* postrider/io/outlet.h - lines for a descriptor that somebody else reads (standard output), without ever waiting for
 * them. Lines go into a bounded buffer, and a thread of the outlet's own writes them with blocking write(2): O_NONBLOCK
 * belongs to the open file, which we share with whoever gave it to us, and is never set.
 * While the buffer is full, lines are dropped and counted. */
#ifndef POSTRIDER_IO_OUTLET_H
#define POSTRIDER_IO_OUTLET_H

#include <postrider/base/buf.h>

struct io_outlet;

/* Lines were lost and there is room again: adds a line that says so (without its end), or nothing. Called from inside
 * io_outlet_put or io_outlet_free; calls nothing of the outlet. */
typedef void io_outlet_gap_fn(void *owner, uint64_t lost, struct buf *line);

struct io_outlet_options {
	int descriptor;                  /* borrowed; left open for a thread that hangs */
	size_t buffer_bytes;             /* waiting and being written together; 0: 4 MiB */
	unsigned pause_ms;               /* how long a writer that has just written lets lines gather; 0: 5 */
	io_outlet_gap_fn *on_gap;        /* may be NULL */
	void *owner;
};

MUST_USE enum err io_outlet_new(const struct io_outlet_options *options, struct io_outlet **out);

/* A line without its LF. From one thread only. Never blocks; false: it did not fit and is counted as lost. */
bool io_outlet_put(struct io_outlet *o, struct text line);

/* Lines not written so far for want of room, or because write(2) failed (a closed pipe, a full disk). */
uint64_t io_outlet_lost(struct io_outlet *o);

/* Writes what waits, for deadline_ms at most: a reader that has stalled cannot hold up our end. Then frees. A thread that
 * still hangs in write(2) by then is left behind with its memory and goes when the reader does, or with the process. */
void io_outlet_free(struct io_outlet **o, int64_t deadline_ms);

#endif
