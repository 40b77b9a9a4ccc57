#include "keep.h"

#include <stdio.h>
#include <stdlib.h>

#include <postrider/base/auto.h>
#include <postrider/base/crc32c.h>
#include <postrider/base/time.h>
#include <postrider/io/lane.h>

#define PATH_MAX_BYTES 4096
#define RETRY_MS MINUTE_MS
#define PLACES 2

/* file = magic generation length crc content; numbers are little-endian, the checksum covers all but the magic */
static const char magic[8] = { 'P', 'R', 'K', 'E', 'E', 'P', '1', '\n' };
#define HEADER_BYTES (sizeof(magic) + 8 + 4 + 4)

struct keep {
	struct keep_options options;
	struct buf directory; /* with a final NUL */
	uint64_t generation;  /* of the newest file; it is at generation % PLACES */
	struct io_timer timer;
	int64_t next_at; /* not written again before */
	bool touched, failing, orphan;

	struct io_job job;
	bool writing;
	struct buf file; /* the job's while it runs */
	enum err err;    /* of the job */
	struct buf last; /* to be written behind the job, by an orphan */
};

/* ---------------------------------------------------------------- octets */

static void put_number(char *at, uint64_t value, size_t octets)
{
	for (size_t i = 0; i < octets; i++)
		at[i] = (char)(value >> (8 * i));
}

static uint64_t get_number(const char *at, size_t octets)
{
	uint64_t value = 0;

	for (size_t i = 0; i < octets; i++)
		value |= (uint64_t)(unsigned char)at[i] << (8 * i);
	return value;
}

static uint32_t checksum(struct text file)
{
	uint32_t crc = crc32c(0, file.at + sizeof(magic), 12);

	return crc32c(crc, file.at + HEADER_BYTES, file.len - HEADER_BYTES);
}

/* The header goes in front when the content is there. */
static void seal(struct buf *file, uint64_t generation)
{
	memcpy(file->at, magic, sizeof(magic));
	put_number(file->at + sizeof(magic), generation, 8);
	put_number(file->at + sizeof(magic) + 8, file->len - HEADER_BYTES, 4);
	put_number(file->at + HEADER_BYTES - 4, checksum(buf_text(file)), 4);
}

static enum err unseal(struct text file, uint64_t *generation)
{
	if (file.len < HEADER_BYTES || memcmp(file.at, magic, sizeof(magic)) != 0 ||
	    get_number(file.at + sizeof(magic) + 8, 4) != file.len - HEADER_BYTES ||
	    get_number(file.at + HEADER_BYTES - 4, 4) != checksum(file))
		return ERR_DAMAGED;
	*generation = get_number(file.at + sizeof(magic), 8);
	return ERR_OK;
}

/* ---------------------------------------------------------------- files */

static void say(struct keep *k, const char *what, enum err err)
{
	struct event event = EVENT(EVENT_WARNING);
	struct buf words = BUF(PATH_MAX_BYTES + 256);

	buf_add_format(&words, "%s in %s: %s (%s)", k->options.what, k->directory.at, what, err_text(err));
	event.level = LEVEL_WARN;
	event.detail = buf_text(&words);
	if (k->options.observe)
		observe_emit(k->options.observe, &event);
	buf_fini(&words);
}

static void path_of(const struct keep *k, const char *suffix, char out[PATH_MAX_BYTES])
{
	snprintf(out, PATH_MAX_BYTES, "%s/%s.%s", k->directory.at, k->options.name, suffix);
}

static const char *place_of(uint64_t generation)
{
	return generation % PLACES ? "1" : "0";
}

/* Over whatever was there. */
static enum err write_whole(struct keep *k, const char *suffix, struct text octets)
{
	const struct io_disk_ops *ops = k->options.disk->ops;
	struct io_file *file = NULL;
	char path[PATH_MAX_BYTES];
	enum err err;

	path_of(k, suffix, path);
	err = ops->make_directory(k->options.disk, k->directory.at);
	if (!err)
		err = ops->remove(k->options.disk, path);
	if (!err || err == ERR_NOT_FOUND)
		err = ops->open(k->options.disk, path, IO_FILE_CREATE, &file);
	if (!err)
		err = ops->write_at(file, 0, octets.at, octets.len);
	if (!err)
		err = ops->sync(file);
	if (file)
		ops->close(&file);
	return err ? err : ops->sync_directory(k->options.disk, k->directory.at);
}

static enum err read_whole(struct keep *k, const char *suffix, struct buf *out)
{
	const struct io_disk_ops *ops = k->options.disk->ops;
	struct io_file *file = NULL;
	char path[PATH_MAX_BYTES], *room;
	uint64_t bytes;
	size_t got = 0;
	enum err err;

	path_of(k, suffix, path);
	err = ops->size(k->options.disk, path, &bytes);
	if (err)
		return err;
	if (bytes > k->options.max_bytes + HEADER_BYTES)
		return ERR_DAMAGED;
	room = buf_reserve(out, (size_t)bytes + 1);
	if (!room)
		return ERR_NOMEM;
	err = ops->open(k->options.disk, path, IO_FILE_READ, &file);
	if (!err)
		err = ops->read_at(file, 0, room, (size_t)bytes, &got);
	if (file)
		ops->close(&file);
	buf_grew(out, got);
	return err;
}

void keep_set_aside(struct keep *k, struct text content)
{
	enum err err = write_whole(k, "damaged", content);

	say(k,
	    err ? "it is damaged, and could not be set aside either: it is begun anew"
	        : "it is damaged: it was set aside as a file .damaged beside it, and is begun anew",
	    err ? err : ERR_DAMAGED);
}

/* The better of what was found so far and of this place. */
static enum err read_place(struct keep *k, unsigned place, struct buf *best)
{
	AUTO(buf_fini) struct buf file = BUF(k->options.max_bytes + HEADER_BYTES + 1);
	uint64_t generation = 0;
	enum err err = read_whole(k, place_of(place), &file);

	if (!err)
		err = unseal(buf_text(&file), &generation);
	if (err == ERR_DAMAGED && best->len == 0)
		buf_add(best, buf_text(&file));
	if (err)
		return err;
	if (generation <= k->generation)
		return ERR_OK;
	k->generation = generation;
	buf_reset(best);
	buf_add(best, buf_text(&file));
	return buf_err(best);
}

/* A place that is damaged beside a good one is what a crash leaves. */
enum err keep_read(struct keep *k, struct buf *out)
{
	AUTO(buf_fini) struct buf best = BUF(k->options.max_bytes + HEADER_BYTES + 1);
	enum err err = ERR_NOT_FOUND;

	for (unsigned place = 0; place < PLACES; place++) {
		enum err one = read_place(k, place, &best);

		if (one == ERR_NOMEM)
			return one;
		if (one != ERR_NOT_FOUND)
			err = one;
	}
	if (k->generation > 0) {
		buf_add(out, text_skip(buf_text(&best), HEADER_BYTES));
		return buf_err(out);
	}
	if (err == ERR_DAMAGED)
		keep_set_aside(k, buf_text(&best));
	else if (err && err != ERR_NOT_FOUND)
		say(k, "it cannot be read", err);
	return err;
}

/* ---------------------------------------------------------------- writing */

static void arm(struct keep *k, int64_t at);

static enum err fill(struct keep *k, struct buf *file)
{
	char *header;

	buf_init(file, k->options.max_bytes + HEADER_BYTES);
	header = buf_reserve(file, HEADER_BYTES);
	if (header) {
		buf_grew(file, HEADER_BYTES);
		k->options.fill(k->options.owner, file);
	}
	if (buf_err(file))
		return buf_err(file);
	seal(file, k->generation + 1);
	return ERR_OK;
}

static enum err write_file(struct keep *k, const struct buf *file)
{
	return write_whole(k, place_of(k->generation + 1), buf_text(file));
}

static void run_write(struct io_job *job)
{
	struct keep *k = CONTAINER_OF(job, struct keep, job);

	k->err = write_file(k, &k->file);
}

static void give_back(struct keep *k)
{
	buf_fini(&k->file);
	buf_fini(&k->last);
	buf_fini(&k->directory);
	free(k);
}

/* Once about a disk that fails, and once more when it does again after it healed. */
static void on_result(struct keep *k, enum err err)
{
	if (err && !k->failing)
		say(k, "it cannot be written; it is tried again each minute, and lost when we stop before",
		    err);
	k->failing = err != ERR_OK;
	if (!err)
		k->generation++;
}

static void finish_orphan(struct keep *k)
{
	if (k->last.len) {
		seal(&k->last, k->generation + 1);
		on_result(k, write_file(k, &k->last));
	}
	give_back(k);
}

static void on_written(struct io_job *job)
{
	struct keep *k = CONTAINER_OF(job, struct keep, job);

	k->writing = false;
	buf_fini(&k->file);
	if (k->orphan) {
		if (!k->err)
			k->generation++;
		k->options.observe = NULL; /* it may be gone */
		finish_orphan(k);
		return;
	}
	on_result(k, k->err);
	k->next_at = io_now_at(k->options.io) + (k->err ? RETRY_MS : k->options.interval_ms);
	if (k->err)
		k->touched = true;
	if (k->touched)
		arm(k, k->next_at);
}

static void on_timer(void *owner)
{
	struct keep *k = owner;
	enum err err;

	k->touched = false;
	err = fill(k, &k->file);
	if (err) {
		buf_fini(&k->file);
		on_result(k, err);
		k->touched = true;
		arm(k, io_now_at(k->options.io) + RETRY_MS);
		return;
	}
	k->writing = true;
	k->job = (struct io_job){ .run = run_write, .done = on_written };
	io_job_submit(k->options.io, IO_LANE_DISK, &k->job);
}

/* Without memory for a timer the next touch tries again, and keep_free in any case. */
static void arm(struct keep *k, int64_t at)
{
	if (io_timer_start(k->options.io, &k->timer, at, on_timer, k))
		k->failing = true;
}

void keep_touch(struct keep *k)
{
	int64_t at = io_now_at(k->options.io) + k->options.delay_ms;

	k->touched = true;
	if (!k->writing && !io_timer_runs(&k->timer))
		arm(k, MAX(at, k->next_at));
}

/* ---------------------------------------------------------------- life */

enum err keep_new(const struct keep_options *options, struct keep **out)
{
	struct keep *k = calloc(1, sizeof(*k));

	if (!k)
		return ERR_NOMEM;
	k->options = *options;
	k->directory = BUF(PATH_MAX_BYTES / 2);
	buf_add(&k->directory, options->directory);
	buf_add_octet(&k->directory, 0);
	if (buf_err(&k->directory)) {
		enum err err = buf_err(&k->directory);

		give_back(k);
		return err;
	}
	*out = k;
	return ERR_OK;
}

void keep_free(struct keep **slot)
{
	struct keep *k = *slot;

	*slot = NULL;
	if (!k)
		return;
	io_timer_stop(k->options.io, &k->timer);
	if (k->touched && fill(k, &k->last))
		buf_fini(&k->last);
	k->orphan = k->writing;
	if (!k->writing)
		finish_orphan(k);
}
