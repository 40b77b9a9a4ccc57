/* Loads, scans and lists as jobs of the disk lane: what waits while one job reads goes together into the
 * next, in one read transaction. None outlives its job: a reader that stays makes the file grow for good. */
#include "internal.h"

#include <stdlib.h>

#define BATCH_MAX 64

static void run_batch(struct io_job *job)
{
	struct reader *r = CONTAINER_OF(job, struct reader, job);
	struct queue *q = CONTAINER_OF(r, struct queue, reader);
	AUTO(store_abort) struct store_txn *txn = NULL;
	enum err err = store_begin(q->shared.store, false, &txn);
	struct reading reading = { .shared = &q->shared,
		                   .txn = txn,
		                   .content_allowance = r->content_allowance };

	for (LIST_EACH(it, &r->batch)) {
		struct read_request *request = LIST_ITEM(it, struct read_request, link);

		request->err = err;
		if (!err)
			request->run(request, &reading);
	}
}

static void batch_done(struct io_job *job);

static void start_batch(struct queue *q)
{
	struct reader *r = &q->reader;
	struct body_memory *b = &q->memory;

	r->running = true;
	r->job.run = run_batch;
	r->job.done = batch_done;
	r->content_allowance = b->limit_bytes - MIN(b->used_bytes, b->limit_bytes);
	for (unsigned i = 0; i < BATCH_MAX && !list_is_empty(&r->waiting); i++)
		list_append(&r->batch, list_shift(&r->waiting));
	queue_job_begun(q);
	io_job_submit(q->io, IO_LANE_DISK, &r->job);
}

static void batch_done(struct io_job *job)
{
	struct reader *r = CONTAINER_OF(job, struct reader, job);
	struct queue *q = CONTAINER_OF(r, struct queue, reader);
	struct list done;

	list_init(&done);
	list_append_all(&done, &r->batch);
	r->running = false;
	if (!list_is_empty(&r->waiting))
		start_batch(q);
	while (!list_is_empty(&done)) {
		struct read_request *request = LIST_ITEM(list_shift(&done), struct read_request, link);

		request->done(q, request);
	}
	queue_job_ended(q);
}

void reader_add(struct queue *q, struct read_request *request)
{
	list_append(&q->reader.waiting, &request->link);
	if (!q->reader.running)
		start_batch(q);
}
