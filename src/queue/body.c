/* The octets of a message: from memory, or block by block through the disk lane, from its row or from its
 * file. Each block is checked before any of it is given. */
#include "internal.h"

#include <stdlib.h>

struct disk_source {
	struct body_source source;
	struct queue *queue;
	struct message *message;
	struct io_job job;
	bool running, released;
	bool awaited;   /* on_ready is owed */
	uint64_t block; /* the next one to give */
	/* the job's */
	struct io_file *file;
	uint64_t wanted;
	enum err err;
	size_t len;
	bool filled; /* octets hold block `wanted` */
	size_t room;
	char octets[];
};

/* ---------------------------------------------------------------- in the disk lane */

static enum err read_from_store(struct disk_source *d)
{
	AUTO(store_abort) struct store_txn *txn = NULL;
	struct message_head head;
	struct text row, blocks;
	struct id id = d->message->envelope->id;
	enum err err = store_begin(d->queue->shared.store, false, &txn);

	if (!err)
		err = store_get(txn, TABLE_MESSAGE, id_key(&id), &row);
	if (!err)
		err = message_row_read(id, row, &head, &blocks);
	if (!err)
		err = message_block_read(id, blocks, head.content_bytes, d->wanted, d->octets, &d->len);
	return err == ERR_NOT_FOUND ? ERR_DAMAGED : err;
}

static enum err open_file(struct disk_source *d)
{
	struct shared *s = &d->queue->shared;
	char path[FILE_PATH_BYTES];

	if (d->file)
		return ERR_OK;
	file_path(s, d->message->file, path);
	return s->options.disk->ops->open(s->options.disk, path, IO_FILE_READ, &d->file);
}

static enum err read_from_file(struct disk_source *d)
{
	uint64_t from = d->wanted * BLOCK_DATA_BYTES;
	size_t len = (size_t)MIN(d->message->public.content_bytes - from, BLOCK_DATA_BYTES), got;
	enum err err = open_file(d);

	if (!err)
		err = d->file->disk->ops->read_at(d->file, d->wanted * BLOCK_BYTES, d->octets,
		                                  len + BLOCK_CRC_BYTES, &got);
	if (err)
		return err == ERR_NOT_FOUND ? ERR_DAMAGED : err;
	if (got != len + BLOCK_CRC_BYTES ||
	    crc_read(d->octets + len) != block_crc(d->message->file, d->wanted, d->octets, len))
		return ERR_DAMAGED;
	d->len = len;
	return ERR_OK;
}

static void run_read(struct io_job *job)
{
	struct disk_source *d = CONTAINER_OF(job, struct disk_source, job);

	d->err = d->message->in_file ? read_from_file(d) : read_from_store(d);
	d->filled = !d->err;
}

static void run_close(struct io_job *job)
{
	struct disk_source *d = CONTAINER_OF(job, struct disk_source, job);

	d->file->disk->ops->close(&d->file);
}

/* ---------------------------------------------------------------- on the loop */

static void free_source(struct disk_source *d)
{
	struct queue *q = d->queue;

	message_unref(q, &d->message);
	body_memory_give(q, d->room);
	free(d);
}

static void close_done(struct io_job *job)
{
	struct disk_source *d = CONTAINER_OF(job, struct disk_source, job);
	struct queue *q = d->queue;

	free_source(d);
	queue_job_ended(q);
}

static void submit(struct disk_source *d, void (*run)(struct io_job *), void (*done)(struct io_job *))
{
	d->job.run = run;
	d->job.done = done;
	queue_job_begun(d->queue);
	io_job_submit(d->queue->io, IO_LANE_DISK, &d->job);
}

static void end(struct disk_source *d)
{
	if (d->file)
		submit(d, run_close, close_done);
	else
		free_source(d);
}

static void read_done(struct io_job *job);

static void start_reading(struct disk_source *d)
{
	d->running = true;
	d->wanted = d->block;
	submit(d, run_read, read_done);
}

static void read_done(struct io_job *job)
{
	struct disk_source *d = CONTAINER_OF(job, struct disk_source, job);
	struct queue *q = d->queue;

	d->running = false;
	if (d->err == ERR_DAMAGED && !q->closing)
		aside_submit(q, d->message->envelope->id, 0, true, "its content is damaged", NULL, NULL);
	if (d->released) {
		end(d);
	} else if (d->awaited && d->wanted != d->block && !d->err) {
		start_reading(d); /* rewound meanwhile */
	} else if (d->awaited) {
		d->awaited = false;
		if (d->source.on_ready)
			d->source.on_ready(d->source.owner);
	}
	queue_job_ended(q);
}

static enum err disk_next(struct body_source *base, struct text *span)
{
	struct disk_source *d = CONTAINER_OF(base, struct disk_source, source);

	if (d->block >= blocks_of(d->message->public.content_bytes)) {
		*span = TEXT_EMPTY;
		return ERR_OK;
	}
	if (!d->running && d->err)
		return d->err;
	if (!d->running && d->filled && d->wanted == d->block) {
		*span = text_of(d->octets, d->len);
		d->block++;
		return ERR_OK;
	}
	d->awaited = true;
	if (!d->running)
		start_reading(d);
	return ERR_MORE;
}

static void disk_rewind(struct body_source *base)
{
	struct disk_source *d = CONTAINER_OF(base, struct disk_source, source);

	d->block = 0;
	d->awaited = false;
}

static void disk_release(struct body_source *base)
{
	struct disk_source *d = CONTAINER_OF(base, struct disk_source, source);

	d->released = true;
	if (!d->running)
		end(d);
}

static const struct body_source_ops disk_ops = {
	.next = disk_next,
	.rewind = disk_rewind,
	.release = disk_release,
};

static enum err open_disk(struct queue *q, struct message *m, struct body_source **out)
{
	size_t room = (size_t)MIN(m->public.content_bytes, BLOCK_DATA_BYTES) + BLOCK_CRC_BYTES;
	struct disk_source *d = malloc(sizeof(*d) + room);
	struct body_source *content;

	if (!d)
		return ERR_NOMEM;
	*d = (struct disk_source){ .room = room };
	d->source.ops = &disk_ops;
	d->source.bytes = m->public.content_bytes;
	d->queue = q;
	d->message = m;
	queue_message_ref(&m->public);
	body_memory_force(q, room);
	content = &d->source;
	return body_source_prepend(m->public.prepended, &content, out);
}

/* What a source in memory holds: the message, and a pin on its content. */
struct pinned {
	struct queue *queue;
	struct message *message;
};

static void unpin(void *owner)
{
	struct pinned *p = owner;

	message_unpin(p->queue, p->message);
	message_unref(p->queue, &p->message);
	free(p);
}

static enum err open_memory(struct queue *q, struct message *m, struct body_source **out)
{
	struct pinned *p = malloc(sizeof(*p));

	if (!p)
		return ERR_NOMEM;
	*p = (struct pinned){ q, m };
	enum err err = body_source_memory(m->public.prepended, m->public.content, unpin, p, out);

	if (err) {
		free(p);
		return err;
	}
	message_pin(m);
	queue_message_ref(&m->public);
	return ERR_OK;
}

enum err queue_message_body(struct queue *q, struct queue_message *public, struct body_source **out)
{
	struct message *m = message_of(public);

	return m->content ? open_memory(q, m, out) : open_disk(q, m, out);
}
