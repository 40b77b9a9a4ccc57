/* Group commit: one job at a time in the writer lane takes everything that waited while the one before was
 * syncing. No timer is involved for new mail: an idle relay commits at once, a busy one in large groups.
 *
 * A group that does not fit on the disk is taken apart: what is new is refused, and what gives space back
 * (settles, claims, removals) goes again alone; when that does not fit either, the reserve is given up for
 * it. */
#include "internal.h"

#include <stdlib.h>

#define GROUP_MAX_BYTES ((size_t)16 << 20)
#define GROUP_MAX_OPS 4096
/* Ids of the next so many milliseconds count as given out, so that meta need not be written for each. */
#define NEWEST_TIME_STEP_MS (10 * INT64_C(1000))

/* ---------------------------------------------------------------- the job's side */

static bool is_of_the_disk(enum err err)
{
	return err == ERR_FULL || err == ERR_IO;
}

static bool is_full(struct queue *q, enum err err, size_t weight_bytes)
{
	return space_is_full(&q->shared, err, 2 * weight_bytes);
}

static enum err note_newest(struct queue *q, struct group *g)
{
	struct writer *w = &q->writer;
	struct meta_row meta = q->shared.meta;

	if (g->newest_time <= w->newest_time_mark)
		return ERR_OK;
	meta.clean = false;
	meta.newest_time = g->noted_time = g->newest_time + NEWEST_TIME_STEP_MS;
	buf_reset(&g->record);
	meta_encode(&g->record, &meta);
	return buf_err(&g->record) ? buf_err(&g->record)
	                           : store_put(g->txn, TABLE_META, meta_key, buf_text(&g->record), STORE_PUT);
}

static enum err sync_new_files(struct queue *q, struct group *g)
{
	struct io_disk *disk = q->shared.options.disk;

	if (!g->new_files || !q->shared.options.durable)
		return ERR_OK;
	return disk->ops->sync_directory(disk, q->shared.bodies_path);
}

static enum err finish_group(struct queue *q, struct group *g)
{
	const struct queue_options *o = &q->shared.options;
	enum err err = group_finish(g);

	if (!err)
		err = note_newest(q, g);
	if (!err)
		err = fault_at(o, FAULT_GROUP_APPLIED);
	if (!err)
		err = sync_new_files(q, g);
	if (!err)
		err = fault_at(o, FAULT_GROUP_COMMIT);
	return err;
}

static void keep_result(struct queue *q, struct group *g, const struct store_usage *usage)
{
	struct writer *w = &q->writer;

	w->result.usage = *usage;
	w->result.usage_known = true;
	w->result.file_bytes_delta += g->file_bytes_delta;
	w->newest_time_mark = MAX(w->newest_time_mark, g->noted_time);
	for (size_t i = 0; i < g->forgotten.count; i++) {
		/* What cannot be listed for want of memory stays for the sweep of the next start. */
		if (file_list_add(&w->result.forgotten, g->forgotten.files[i]))
			break;
	}
}

/* One try at one transaction. *bad: the operation that failed alone; the others can go without it. */
static enum err try_ops(struct queue *q, struct group *g, struct op **ops, size_t count, struct op **bad)
{
	struct store_usage usage;
	enum err err = fault_at(&q->shared.options, FAULT_GROUP_BEGIN);

	*bad = NULL;
	if (!err)
		err = group_begin(g);
	if (err)
		return err;
	for (size_t i = 0; i < count && !err; i++) {
		err = group_apply(g, ops[i]);
		if (err && !is_of_the_disk(err))
			*bad = ops[i];
	}
	if (!err)
		err = finish_group(q, g);
	if (err) {
		group_abort(g);
		return err;
	}
	err = group_commit(g, &usage);
	if (err)
		return err;
	(void)fault_at(&q->shared.options, FAULT_GROUP_COMMITTED);
	keep_result(q, g, &usage);
	return ERR_OK;
}

static void set_err(struct op **ops, size_t count, enum err err)
{
	for (size_t i = 0; i < count; i++)
		ops[i]->err = err;
}

/* Tries until no single operation stands in the way. Those that failed alone have their err, and leave the
 * array. */
static enum err commit_ops(struct queue *q, struct group *g, struct op **ops, size_t *count)
{
	struct op *bad;

	while (*count > 0) {
		enum err err = try_ops(q, g, ops, *count, &bad);

		if (!bad)
			return err;
		size_t at = 0;

		while (ops[at] != bad)
			at++;
		bad->err = err;
		memmove(ops + at, ops + at + 1, (--*count - at) * sizeof(*ops));
	}
	return ERR_OK;
}

static size_t weight_of(struct op *const *ops, size_t count)
{
	size_t bytes = 0;

	for (size_t i = 0; i < count; i++)
		bytes += ops[i]->weight_bytes;
	return bytes;
}

static bool give_up_reserve(struct queue *q)
{
	const struct shared *s = &q->shared;
	struct io_disk *disk = s->options.disk;

	if (disk->ops->remove(disk, s->reserve_path))
		return false;
	q->writer.result.reserve_given_up = true;
	(void)fault_at(&s->options, FAULT_RESERVE_GIVEN_UP);
	return true;
}

static bool is_new_mail(const struct op *op)
{
	return op->kind == OP_ACCEPT && !CONTAINER_OF(op, const struct accept_op, op)->owed;
}

/* ops is ordered: new mail first. */
static enum err take_apart(struct queue *q, struct group *g, struct op **ops, size_t count)
{
	size_t accepts = 0;

	q->writer.result.found_full = true;
	while (accepts < count && is_new_mail(ops[accepts]))
		accepts++;
	set_err(ops, accepts, ERR_FULL);
	ops += accepts;
	count -= accepts;
	enum err err = accepts ? commit_ops(q, g, ops, &count) : ERR_FULL;

	if (err && is_full(q, err, weight_of(ops, count)) && give_up_reserve(q))
		err = commit_ops(q, g, ops, &count);
	if (err && is_full(q, err, weight_of(ops, count)))
		err = ERR_FULL;
	set_err(ops, count, err);
	return err;
}

static void commit_all(struct queue *q, struct group *g, struct op **ops, size_t count)
{
	size_t left = count;
	enum err err = q->writer.failed ? ERR_IO : commit_ops(q, g, ops, &left);

	if (err && !q->writer.failed && is_full(q, err, weight_of(ops, left)))
		err = take_apart(q, g, ops, left);
	else
		set_err(ops, left, err);
	/* "Full" heals; anything else of the disk does not, and a sync that failed must never be taken for
	 * done. */
	if (err == ERR_IO || err == ERR_DAMAGED)
		q->writer.failed = true;
}

static int accepts_first(const void *a, const void *b)
{
	const struct op *left = *(const struct op *const *)a, *right = *(const struct op *const *)b;
	const struct accept_op *l = CONTAINER_OF(left, const struct accept_op, op);
	const struct accept_op *r = CONTAINER_OF(right, const struct accept_op, op);

	if (l->owed != r->owed)
		return l->owed ? 1 : -1;
	return id_compare(l->in.message->envelope->id, r->in.message->envelope->id);
}

/* Accepts in the order of their ids, so that rows are appended, those that are owed a place last; the rest behind them as they came (a settle
 * may be of a message that enters with this very group). */
static size_t order_ops(struct list *group, struct op **ops)
{
	size_t count = 0, accepts;

	for (LIST_EACH(it, group)) {
		struct op *op = LIST_ITEM(it, struct op, link);

		if (op->kind == OP_ACCEPT)
			ops[count++] = op;
	}
	accepts = count;
	for (LIST_EACH(it, group)) {
		struct op *op = LIST_ITEM(it, struct op, link);

		if (op->kind != OP_ACCEPT)
			ops[count++] = op;
	}
	qsort(ops, accepts, sizeof(*ops), accepts_first);
	return count;
}

static void run_group(struct io_job *job)
{
	struct writer *w = CONTAINER_OF(job, struct writer, job);
	struct queue *q = CONTAINER_OF(w, struct queue, writer);
	struct group g;
	size_t count = 0;

	for (LIST_EACH(it, &w->group))
		count++;
	AUTO(free_memory) struct op **ops = calloc(MAX(count, 1), sizeof(*ops));

	if (!ops) {
		for (LIST_EACH(it, &w->group))
			LIST_ITEM(it, struct op, link)->err = ERR_NOMEM;
		return;
	}
	group_init(&g, &q->shared, q->shared.options.seed);
	count = order_ops(&w->group, ops);
	commit_all(q, &g, ops, count);
	group_fini(&g);
	w->result.failed = w->failed;
}

/* ---------------------------------------------------------------- the loop's side */

static void group_done(struct io_job *job);

static void start_group(void *owner)
{
	struct queue *q = owner;
	struct writer *w = &q->writer;
	size_t bytes = 0, count = 0;

	io_timer_stop(q->io, &w->patience);
	if (w->running || list_is_empty(&w->waiting))
		return;
	w->running = true;
	w->began_us = io_clock_us(q->io);
	w->result = (struct writer_result){ 0 };
	while (!list_is_empty(&w->waiting) && count < GROUP_MAX_OPS && bytes < GROUP_MAX_BYTES) {
		struct op *op = LIST_ITEM(list_shift(&w->waiting), struct op, link);

		list_append(&w->group, &op->link);
		bytes += op->weight_bytes;
		count++;
		if (op->patient)
			w->patient--;
		else if (!op->lazy)
			w->eager--;
	}
	w->job.run = run_group;
	w->job.done = group_done;
	io_job_submit(q->io, IO_LANE_WRITER, &w->job);
}

/* A client waits for the sync of its message, and nobody for that of a settle: a settle that went at once
 * would make the next client wait for a sync that is not its own. Without new mail it goes alone, a moment
 * later. */
static void be_patient(struct queue *q)
{
	struct writer *w = &q->writer;

	if (w->running || io_timer_runs(&w->patience))
		return;
	if (io_timer_start(q->io, &w->patience, io_now_at(q->io) + q->shared.options.settle_wait_ms,
	                   start_group, q))
		start_group(q);
}

static void note_commit(struct queue *q, const struct list *done)
{
	struct writer *w = &q->writer;

	w->commits++;
	w->commit_us += io_clock_us(q->io) - w->began_us;
	for (LIST_EACH(it, done))
		w->committed_ops++;
}

static void group_done(struct io_job *job)
{
	struct writer *w = CONTAINER_OF(job, struct writer, job);
	struct queue *q = CONTAINER_OF(w, struct queue, writer);
	struct list done;

	list_init(&done);
	list_append_all(&done, &w->group);
	w->running = false;
	note_commit(q, &done);
	space_after_group(q, &w->result);
	queue_remove_files(q, &w->result.forgotten);
	/* The next sync runs while those who waited for this one are told. */
	if (w->eager > 0 || q->closing)
		start_group(q);
	else if (w->patient > 0)
		be_patient(q);
	for (LIST_EACH(it, &done)) {
		struct op *op = LIST_ITEM(it, struct op, link);

		if (op->decide)
			op->decide(q, op);
	}
	while (!list_is_empty(&done)) {
		struct op *op = LIST_ITEM(list_shift(&done), struct op, link);

		if (op->announce)
			op->announce(q, op);
		else
			free(op);
	}
	queue_go_on_closing(q);
}

void writer_add(struct queue *q, struct op *op)
{
	struct writer *w = &q->writer;

	list_append(&w->waiting, &op->link);
	if (op->lazy)
		return;
	if (op->patient) {
		w->patient++;
		be_patient(q);
		return;
	}
	w->eager++;
	/* At the end of the turn: what came in together goes together. */
	if (!w->running)
		io_later_run(q->io, &w->kick, start_group, q);
}

bool writer_is_idle(const struct queue *q)
{
	return !q->writer.running && list_is_empty(&q->writer.waiting);
}

void writer_flush(struct queue *q)
{
	start_group(q);
}
