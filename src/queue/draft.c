/* A message on its way in. It begins in memory; one that is large, or that finds the budget used up, goes on
 * in a spool file as it comes. A file is a row of blocks of 64 KiB, each with its checksum behind it; two
 * pieces are in memory at the most: one that fills, one that a job of the disk lane writes. */
#include "internal.h"

#include <stdlib.h>

#include <postrider/base/crc32c.h>

#define FIRST_ROOM_BYTES ((size_t)4 << 10)
#define SMALL_PIECE_BYTES ((size_t)16 << 10) /* when memory is short; a draft may always have this much */
#define LARGE_PIECE_BYTES ((size_t)64 << 10)

struct queue_draft {
	struct queue *queue;
	void (*on_room)(void *owner);
	void *owner;
	struct queue_ticket *ticket; /* until it is accepted */
	uint64_t bytes;
	size_t expected_bytes; /* as declared; 0: not, or more than stays in memory */
	enum err err;          /* the first failure */
	char *at;              /* what fills */
	size_t len, room;
	bool in_file;
	bool through;           /* nobody waits for a disk: it may stay in memory, however large */
	bool stays;             /* and it does, for want of a place on disk */
	bool busy;              /* the owner was told to stop */
	uint64_t pending_bytes; /* of the file: counted in space */
	struct id file;
	/* a job of the disk lane, and what is the job's while it runs */
	struct io_job job;
	bool running;
	bool last, sync; /* this piece is the last: close, and sync */
	char *out;
	size_t out_len, out_room;
	struct io_file *handle;
	uint64_t offset, block;
	size_t block_len;
	uint32_t block_sum;
	enum err job_err;
	bool disk_failed;
	/* how it ends */
	bool aborted, finishing;
	struct message *message;
	void (*then)(void *owner, enum err err);
	void *then_owner;
	struct io_later later;
};

/* ---------------------------------------------------------------- in the disk lane */

static enum err write_octets(struct queue_draft *d, const void *at, size_t len)
{
	enum err err = d->handle->disk->ops->write_at(d->handle, d->offset, at, len);

	d->offset += len;
	return err;
}

static enum err end_block(struct queue_draft *d)
{
	unsigned char sum[BLOCK_CRC_BYTES];

	crc_write(sum, d->block_sum);
	d->block++;
	d->block_len = 0;
	return write_octets(d, sum, sizeof(sum));
}

static enum err write_piece(struct queue_draft *d)
{
	enum err err = fault_at(&d->queue->shared.options, FAULT_FILE_WRITE);
	size_t done = 0;

	while (done < d->out_len && !err) {
		size_t len = MIN(d->out_len - done, BLOCK_DATA_BYTES - d->block_len);

		if (d->block_len == 0)
			d->block_sum = block_crc_begin(d->file, d->block);
		d->block_sum = crc32c(d->block_sum, d->out + done, len);
		err = write_octets(d, d->out + done, len);
		d->block_len += len;
		done += len;
		if (!err && d->block_len == BLOCK_DATA_BYTES)
			err = end_block(d);
	}
	if (!err && d->last && d->block_len > 0)
		err = end_block(d);
	return err;
}

static enum err sync_file(struct queue_draft *d)
{
	const struct queue_options *o = &d->queue->shared.options;
	enum err err = fault_at(o, FAULT_FILE_SYNC);

	if (!err && o->durable)
		err = d->handle->disk->ops->sync(d->handle);
	if (!err)
		(void)fault_at(o, FAULT_FILE_SYNCED);
	if (!err || space_is_full(&d->queue->shared, err, 0))
		return err == ERR_IO ? ERR_FULL : err;
	/* Tried again it may be called done although it is not: from now on this disk is not believed. */
	d->disk_failed = err == ERR_IO;
	return err;
}

static enum err open_file(struct queue_draft *d)
{
	struct shared *s = &d->queue->shared;
	char path[FILE_PATH_BYTES];
	enum err err = fault_at(&s->options, FAULT_FILE_CREATE);

	if (err)
		return err;
	file_path(s, d->file, path);
	return s->options.disk->ops->open(s->options.disk, path, IO_FILE_CREATE, &d->handle);
}

static void close_handle(struct queue_draft *d)
{
	if (d->handle)
		d->handle->disk->ops->close(&d->handle);
}

static void run_write(struct io_job *job)
{
	struct queue_draft *d = CONTAINER_OF(job, struct queue_draft, job);
	enum err err = ERR_OK;

	if (!d->handle)
		err = open_file(d);
	if (!err)
		err = write_piece(d);
	if (!err && d->last && d->sync)
		err = sync_file(d);
	if (err || d->last)
		close_handle(d);
	d->job_err = err;
}

static void run_discard(struct io_job *job)
{
	struct queue_draft *d = CONTAINER_OF(job, struct queue_draft, job);
	struct shared *s = &d->queue->shared;
	char path[FILE_PATH_BYTES];

	close_handle(d);
	file_path(s, d->file, path);
	/* What cannot be removed is a stray, and the sweep's. */
	enum err err = s->options.disk->ops->remove(s->options.disk, path);
	(void)err;
}

/* ---------------------------------------------------------------- memory */

static void drop_buffer(struct queue *q, char **at, size_t *len, size_t *room)
{
	free(*at);
	body_memory_give(q, *room);
	*at = NULL;
	*len = *room = 0;
}

static enum err resize(struct queue_draft *d, size_t room)
{
	char *moved = realloc(d->at, room);

	if (!moved) {
		body_memory_give(d->queue, room - d->room);
		return ERR_NOMEM;
	}
	d->at = moved;
	d->room = room;
	return ERR_OK;
}

/* Room for `more` octets. False: the budget is used up. A draft's first piece needs no leave. */
static bool may_grow(struct queue_draft *d, size_t room)
{
	if (body_memory_take(d->queue, room - d->room))
		return true;
	if (room > SMALL_PIECE_BYTES && !d->in_file)
		return false;
	body_memory_force(d->queue, room - d->room);
	return true;
}

static enum err add(struct queue_draft *d, struct text bytes)
{
	if (bytes.len == 0)
		return ERR_OK;
	memcpy(d->at + d->len, bytes.at, bytes.len);
	d->len += bytes.len;
	return ERR_OK;
}

static size_t piece_bytes(const struct queue_draft *d)
{
	const struct body_memory *b = &d->queue->memory;

	return b->used_bytes > b->limit_bytes / 2 ? SMALL_PIECE_BYTES : LARGE_PIECE_BYTES;
}

/* ---------------------------------------------------------------- on the loop */

static void write_done(struct io_job *job);

static void hand_over(struct queue_draft *d, bool last)
{
	struct queue *q = d->queue;

	d->out = TAKE(d->at);
	d->out_len = d->len;
	d->out_room = d->room;
	d->len = d->room = 0;
	d->last = last;
	d->running = true;
	d->job.run = run_write;
	d->job.done = write_done;
	d->pending_bytes += d->out_len;
	space_take_file(q, d->out_len, true);
	queue_job_begun(q);
	io_job_submit(q->io, IO_LANE_DISK, &d->job);
}

static void draft_free(struct queue_draft *d)
{
	struct queue *q = d->queue;

	drop_buffer(q, &d->at, &d->len, &d->room);
	drop_buffer(q, &d->out, &d->out_len, &d->out_room);
	space_give_file(q, d->pending_bytes);
	free(d->ticket);
	free(d);
}

static void discard_done(struct io_job *job)
{
	struct queue_draft *d = CONTAINER_OF(job, struct queue_draft, job);
	struct queue *q = d->queue;

	draft_free(d);
	space_look_again(q);
	queue_job_ended(q);
}

/* Also its file, if there is one. */
static void discard(struct queue_draft *d)
{
	if (!d->in_file) {
		draft_free(d);
		return;
	}
	d->job.run = run_discard;
	d->job.done = discard_done;
	queue_job_begun(d->queue);
	io_job_submit(d->queue->io, IO_LANE_DISK, &d->job);
}

static void finish(struct queue_draft *d)
{
	struct message *m = d->message;

	if (!d->err && d->in_file) {
		m->in_file = true;
		m->file = d->file;
		m->public.content_bytes = d->bytes;
		m->envelope->content_bytes = d->bytes;
	}
	void (*then)(void *owner, enum err err) = d->then;
	void *owner = d->then_owner;
	enum err err = d->err;

	if (err)
		discard(d);
	else
		draft_free(d);
	then(owner, err);
}

static bool is_busy(const struct queue_draft *d)
{
	return d->running && d->len >= piece_bytes(d);
}

/* The next piece, if it is time for it. */
static void go_on(struct queue_draft *d)
{
	if (d->running || !d->in_file || d->err)
		return;
	if (d->finishing)
		hand_over(d, true);
	else if (d->len >= piece_bytes(d))
		hand_over(d, false);
}

static void write_done(struct io_job *job)
{
	struct queue_draft *d = CONTAINER_OF(job, struct queue_draft, job);
	struct queue *q = d->queue;
	bool was_last = d->last;

	d->running = false;
	if (d->disk_failed)
		space_disk_failed(q);
	drop_buffer(q, &d->out, &d->out_len, &d->out_room);
	if (!d->err)
		d->err = d->job_err;
	if (d->aborted) {
		discard(d);
	} else if (d->finishing && (was_last || d->err)) {
		finish(d);
	} else {
		go_on(d);
		if (d->busy && !is_busy(d)) {
			d->busy = false;
			d->on_room(d->owner);
		}
	}
	queue_job_ended(q);
}

static enum err begin_file(struct queue_draft *d)
{
	struct queue *q = d->queue;
	enum err err = space_admit(q, d->bytes);

	d->stays = err && d->through;
	if (err)
		return d->stays ? ERR_OK : err;
	d->file = id_next(&q->file_ids, io_now_time(q->io));
	d->in_file = true;
	return ERR_OK;
}

static enum err write_to_file(struct queue_draft *d, struct text bytes)
{
	size_t room = MAX(piece_bytes(d), d->len + bytes.len);
	enum err err = space_admit(d->queue, bytes.len);

	if (!err && d->len + bytes.len > d->room) {
		err = may_grow(d, room) ? resize(d, room) : ERR_NOMEM;
	}
	if (!err)
		err = add(d, bytes);
	if (!err)
		go_on(d);
	return err;
}

static enum err write_to_memory(struct queue_draft *d, struct text bytes, bool *full)
{
	size_t needed = d->len + bytes.len, room = d->room;
	size_t most = d->stays ? SIZE_MAX : d->queue->shared.options.inline_max_bytes;

	*full = needed > most;
	if (*full)
		return ERR_OK;
	if (needed > room) {
		room = MAX(MAX(needed, MAX(room * 2, d->expected_bytes)), FIRST_ROOM_BYTES);
		room = MIN(room, MAX(needed, most));
		*full = !may_grow(d, room);
		if (*full)
			return ERR_OK;
		enum err err = resize(d, room);

		if (err)
			return err;
	}
	return add(d, bytes);
}

enum err queue_draft_write(struct queue_draft *d, struct text bytes)
{
	bool full = false;

	if (d->err)
		return d->err;
	d->bytes += bytes.len;
	if (!d->in_file) {
		d->err = write_to_memory(d, bytes, &full);
		if (full && d->stays)
			d->err = ERR_FULL;
		else if (full)
			d->err = begin_file(d);
		if (full && d->stays && !d->err) {
			d->err = write_to_memory(d, bytes, &full);
			d->err = full ? ERR_FULL : d->err;
		}
	}
	if (d->in_file && !d->err)
		d->err = write_to_file(d, bytes);
	d->busy = is_busy(d);
	return d->err;
}

/* ---------------------------------------------------------------- from open to accept */

static enum err open_draft(struct queue *q, uint64_t declared_bytes, bool through, void (*on_room)(void *owner),
                           void *owner, struct queue_draft **out)
{
	struct queue_draft *d = calloc(1, sizeof(*d));
	struct queue_ticket *ticket = calloc(1, sizeof(*ticket));
	enum err err = ERR_OK;

	if (!d || !ticket) {
		free(d);
		free(ticket);
		return ERR_NOMEM;
	}
	d->queue = q;
	d->ticket = ticket;
	d->through = through;
	d->on_room = on_room;
	d->owner = owner;
	if (declared_bytes > q->shared.options.inline_max_bytes)
		err = begin_file(d);
	else
		d->expected_bytes = (size_t)declared_bytes;
	if (err) {
		draft_free(d);
		return err;
	}
	*out = d;
	return ERR_OK;
}

enum err queue_draft_open(struct queue *q, uint64_t declared_bytes, void (*on_room)(void *owner), void *owner,
                          struct queue_draft **out)
{
	enum err err = space_admit(q, declared_bytes);

	return err ? err : open_draft(q, declared_bytes, false, on_room, owner, out);
}

enum err queue_draft_open_through(struct queue *q, uint64_t declared_bytes, void (*on_room)(void *owner),
                                  void *owner, struct queue_draft **out)
{
	return open_draft(q, declared_bytes, true, on_room, owner, out);
}

bool queue_draft_is_busy(const struct queue_draft *d)
{
	return d->busy;
}

uint64_t queue_draft_bytes(const struct queue_draft *d)
{
	return d->bytes;
}

size_t draft_memory_bytes(const struct queue_draft *d)
{
	return d->len;
}

struct queue_ticket *draft_take_ticket(struct queue_draft *d)
{
	return TAKE(d->ticket);
}

void queue_draft_abort(struct queue_draft **draft)
{
	struct queue_draft *d = TAKE(*draft);

	if (!d)
		return;
	if (d->running)
		d->aborted = true;
	else
		discard(d);
}

static void finish_later(void *owner)
{
	finish(owner);
}

/* Gives back what doubling took too much. */
static void shrink(struct queue_draft *d)
{
	size_t room = MAX(d->len, 1);
	char *moved;

	if (d->room - room < 1024 || !(moved = realloc(d->at, room)))
		return;
	d->at = moved;
	body_memory_give(d->queue, d->room - room);
	d->room = room;
}

void draft_finish(struct queue_draft *d, bool sync, struct message *m,
                  void (*then)(void *owner, enum err err), void *owner)
{
	d->finishing = true;
	d->sync = sync;
	d->message = m;
	d->then = then;
	d->then_owner = owner;
	if (d->in_file && !d->err) {
		go_on(d);
		return;
	}
	if (d->running)
		return; /* failed meanwhile: write_done finishes */
	if (!d->err && !d->at && may_grow(d, 1))
		d->err = resize(d, 1); /* an empty message is content too */
	if (d->err) {
		io_later_run(d->queue->io, &d->later, finish_later, d);
		return;
	}
	shrink(d);
	message_set_content(m, d->at, d->len, d->room);
	d->at = NULL;
	d->len = d->room = 0;
	draft_free(d);
	then(owner, ERR_OK);
}
