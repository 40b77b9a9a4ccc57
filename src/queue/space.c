/* How much may still be taken in, and the reserve that lets what was accepted be finished on a full disk.
 *
 * What counts against the limit: pages in use, spool files, and what is on its way to either. What counts
 * against the disk: its free space and the pages of the file that are free again. */
#include "internal.h"

#define PROBE_INTERVAL_MS 1000
/* Room that new mail leaves free: a commit copies the pages it touches before it frees the old ones. */
#define FLOOR_MAX_BYTES (UINT64_C(4) << 20)

/* With less room than this nothing new is taken, however small: "full" is a state, not a matter of luck. */
#define SMALLEST_ROOM_BYTES (UINT64_C(64) << 10)

static uint64_t floor_bytes(const struct queue *q)
{
	const struct space *s = &q->space;
	uint64_t disk = s->disk_free_bytes + s->usage.file_bytes + s->file_bytes;

	return MIN(FLOOR_MAX_BYTES, MIN(s->limit_bytes, disk) / 16);
}

/* The reserve's place is kept free also while there is none. */
static uint64_t kept_free_bytes(const struct queue *q)
{
	return floor_bytes(q) + (q->space.reserve_held ? 0 : q->space.reserve_bytes);
}

/* Free space, and pages of the file that are free again. */
static uint64_t disk_room_bytes(const struct space *s)
{
	return s->disk_free_bytes + s->usage.file_bytes - MIN(s->usage.used_bytes, s->usage.file_bytes);
}

static uint64_t room_bytes(const struct queue *q)
{
	const struct space *s = &q->space;
	uint64_t used = s->usage.used_bytes + s->file_bytes + s->pending_bytes + s->pending_file_bytes;
	uint64_t on_disk = disk_room_bytes(s);
	uint64_t taken = s->pending_bytes + kept_free_bytes(q);
	uint64_t by_limit = s->limit_bytes > used ? s->limit_bytes - used : 0;
	uint64_t by_disk = on_disk > taken ? on_disk - taken : 0;

	return s->disk_full ? 0 : MIN(by_limit, by_disk);
}

void space_take(struct queue *q, uint64_t bytes)
{
	q->space.pending_bytes += bytes;
}

void space_give(struct queue *q, uint64_t bytes)
{
	q->space.pending_bytes -= MIN(bytes, q->space.pending_bytes);
}

/* Between two looks at the disk we know what we ourselves have put on it. */
static void has_grown(struct space *s, uint64_t bytes)
{
	s->disk_free_bytes -= MIN(bytes, s->disk_free_bytes);
}

void space_take_file(struct queue *q, uint64_t bytes, bool written)
{
	q->space.pending_file_bytes += bytes;
	if (written)
		has_grown(&q->space, bytes);
}

void space_give_file(struct queue *q, uint64_t bytes)
{
	q->space.pending_file_bytes -= MIN(bytes, q->space.pending_file_bytes);
}

/* ---------------------------------------------------------------- asking the disk */

enum err space_make_reserve(const struct shared *s, uint64_t bytes)
{
	struct io_disk *disk = s->options.disk;
	struct io_file *f = NULL;
	enum err err = fault_at(&s->options, FAULT_RESERVE_MAKE);

	if (err)
		return err;
	err = disk->ops->open(disk, s->reserve_path, IO_FILE_CREATE, &f);
	if (err)
		return err == ERR_EXISTS ? ERR_OK : err;
	err = disk->ops->allocate(f, bytes);
	disk->ops->close(&f);
	if (err && disk->ops->remove(disk, s->reserve_path))
		return ERR_IO;
	return err;
}

static void run_probe(struct io_job *job)
{
	struct space *s = CONTAINER_OF(job, struct space, probe);
	struct queue *q = CONTAINER_OF(s, struct queue, space);
	struct io_disk *disk = q->shared.options.disk;

	s->probe_err = disk->ops->free_bytes(disk, q->shared.path, &s->found_free_bytes);
	/* Twice its size: what was given up for want of space must not at once be the want again. */
	if (s->probe_err || !s->make_reserve || s->found_free_bytes < 2 * s->reserve_bytes)
		return;
	s->reserve_made = space_make_reserve(&q->shared, s->reserve_bytes) == ERR_OK;
	s->probe_err = disk->ops->free_bytes(disk, q->shared.path, &s->found_free_bytes);
}

static void on_timer(void *owner);

static bool wants_watching(const struct space *s)
{
	return s->disk_full || (s->reserve_bytes > 0 && !s->reserve_held);
}

static void probe_done(struct io_job *job)
{
	struct space *s = CONTAINER_OF(job, struct space, probe);
	struct queue *q = CONTAINER_OF(s, struct queue, space);

	s->probing = false;
	s->probed_at = io_now_at(q->io);
	if (!s->probe_err) {
		s->disk_free_bytes = s->found_free_bytes;
		s->disk_full = s->disk_full && disk_room_bytes(s) < kept_free_bytes(q) + floor_bytes(q);
	}
	s->reserve_held = s->reserve_held || s->reserve_made;
	if (wants_watching(s) && !q->closing) {
		/* Without memory for the timer the next message that is refused asks again. */
		enum err err =
			io_timer_start(q->io, &s->timer, s->probed_at + PROBE_INTERVAL_MS, on_timer, q);
		(void)err;
	}
	queue_job_ended(q);
}

static void start_probe(struct queue *q)
{
	struct space *s = &q->space;

	if (s->probing || q->closing)
		return;
	s->probing = true;
	s->reserve_made = false;
	s->make_reserve = s->reserve_bytes > 0 && !s->reserve_held && !s->failed;
	s->probe.run = run_probe;
	s->probe.done = probe_done;
	queue_job_begun(q);
	io_job_submit(q->io, IO_LANE_DISK, &s->probe);
}

static void on_timer(void *owner)
{
	start_probe(owner);
}

bool space_is_full(const struct shared *s, enum err err, uint64_t wanted_bytes)
{
	struct io_disk *disk = s->options.disk;
	uint64_t free_bytes;

	if (err != ERR_IO)
		return err == ERR_FULL;
	return disk->ops->free_bytes(disk, s->path, &free_bytes) == ERR_OK &&
	       free_bytes < FULL_DISK_BYTES + wanted_bytes;
}

void space_disk_failed(struct queue *q)
{
	q->space.failed = true;
}

void space_look_again(struct queue *q)
{
	start_probe(q);
}

enum err space_admit(struct queue *q, uint64_t bytes)
{
	struct space *s = &q->space;

	if (s->failed)
		return ERR_IO;
	if (io_now_at(q->io) - s->probed_at >= PROBE_INTERVAL_MS)
		start_probe(q);
	/* bytes may be what a client has declared, up to any number */
	uint64_t room = room_bytes(q);

	return room >= SMALLEST_ROOM_BYTES && bytes <= room - SMALLEST_ROOM_BYTES ? ERR_OK : ERR_FULL;
}

bool queue_has_room(struct queue *q, uint64_t bytes)
{
	return space_admit(q, bytes) != ERR_FULL;
}

void space_after_group(struct queue *q, const struct writer_result *r)
{
	struct space *s = &q->space;

	if (r->usage_known) {
		if (r->usage.file_bytes > s->usage.file_bytes)
			has_grown(s, r->usage.file_bytes - s->usage.file_bytes);
		s->usage = r->usage;
	}
	s->file_bytes = r->file_bytes_delta < 0 && (uint64_t)-r->file_bytes_delta > s->file_bytes
	                        ? 0
	                        : s->file_bytes + (uint64_t)r->file_bytes_delta;
	s->failed = s->failed || r->failed;
	if (r->reserve_given_up)
		s->reserve_held = false;
	if (r->found_full) {
		s->disk_full = true;
		start_probe(q);
	}
}

void space_stop(struct queue *q)
{
	io_timer_stop(q->io, &q->space.timer);
}

struct queue_space queue_space(const struct queue *q)
{
	const struct space *s = &q->space;
	uint64_t recipients = s->usage.rows[TABLE_RECIPIENT], due = s->usage.rows[TABLE_DUE];

	return (struct queue_space){
		.used_bytes = s->usage.used_bytes + s->file_bytes,
		.limit_bytes = s->limit_bytes,
		.disk_free_bytes = s->disk_free_bytes,
		.messages = s->usage.rows[TABLE_MESSAGE],
		.recipients = recipients,
		.held_recipients = recipients - MIN(due, recipients),
		.files = s->usage.rows[TABLE_FILE],
		.file_bytes = s->file_bytes,
		.body_memory_bytes = q->memory.used_bytes,
		.commits = q->writer.commits,
		.committed_operations = q->writer.committed_ops,
		.commit_us = q->writer.commit_us,
		.full = !s->failed && room_bytes(q) < SMALLEST_ROOM_BYTES,
		.failed = s->failed,
	};
}
