/* The stop: what waits is committed, what runs ends, and the stop is noted as clean. */
#include "internal.h"

#include <stdlib.h>

static void run_close(struct io_job *job)
{
	struct queue *q = CONTAINER_OF(job, struct queue, close_job);
	AUTO(store_abort) struct store_txn *t = NULL;
	struct meta_row meta = q->shared.meta;

	meta.clean = true;
	meta.newest_time = q->writer.newest_time_mark;
	if (q->writer.failed || fault_at(&q->shared.options, FAULT_CLOSE_MARK) ||
	    store_begin(q->shared.store, true, &t))
		return;
	/* Without the mark the next start takes this for a stop that was not clean, and is right. */
	enum err err = meta_write(t, &meta);

	if (!err)
		err = store_commit(&t);
	(void)err;
}

static void tell_closed(void *owner)
{
	struct queue *q = owner;
	void (*on_closed)(void *owner) = q->on_closed;
	void *closed_owner = q->closed_owner;

	io_later_cancel(q->io, &q->writer.kick);
	io_timer_stop(q->io, &q->writer.patience);
	queue_free(q);
	if (on_closed)
		on_closed(closed_owner);
}

static void close_done(struct io_job *job)
{
	tell_closed(CONTAINER_OF(job, struct queue, close_job));
}

void queue_go_on_closing(struct queue *q)
{
	if (!q->closing || q->close_job.run || q->jobs > 0 || q->reader.running)
		return;
	if (!writer_is_idle(q)) {
		writer_flush(q);
		return;
	}
	q->close_job.run = run_close;
	q->close_job.done = close_done;
	io_job_submit(q->io, IO_LANE_WRITER, &q->close_job);
}

void queue_job_begun(struct queue *q)
{
	q->jobs++;
}

void queue_job_ended(struct queue *q)
{
	q->jobs--;
	queue_go_on_closing(q);
}

static void begin_closing(void *owner)
{
	queue_go_on_closing(owner);
}

void queue_close(struct queue **queue, void (*on_closed)(void *owner), void *owner)
{
	struct queue *q = TAKE(*queue);

	q->closing = true;
	q->on_closed = on_closed;
	q->closed_owner = owner;
	space_stop(q);
	through_stop_all(q);
	io_later_run(q->io, &q->closed_later, begin_closing, q);
}
