/* The stories of messages. Lines wait in memory for a second or a quarter of a MiB and go to a store of their
 * own in one transaction, by a job of the disk lane; reads are jobs too, behind what waits. The store is one
 * that a stop leaves whole but perhaps without its last commit: nobody waits for its sync. */
#include <postrider/queue/history.h>

#include <stdio.h>
#include <stdlib.h>

#include <postrider/io/lane.h>

#include "records.h"
#include "store_memory.h"

#define WAITING_MAX_BYTES ((size_t)4 << 20) /* over it lines are dropped */
#define BATCH_BYTES ((size_t)256 << 10)
#define BATCH_EVERY_MS 1000
#define LINE_MAX_BYTES ((size_t)64 << 10)
#define TRIM_ROWS 1000 /* removed with one batch, at the most */
#define SLICE_LINES 256
#define PATH_MAX_BYTES 1024
#define STORY_KEY_BYTES (ID_BYTES + 12) /* id, time, number */
#define MAP_SLACK_BYTES (UINT64_C(8) << 20)

struct line {
	struct list link;
	unsigned char key[STORY_KEY_BYTES];
	size_t len;
	char at[];
};

struct reading {
	struct list link;
	unsigned char from[STORY_KEY_BYTES];
	bool from_is_seen;
	struct id last;
	history_line_fn *each;
	history_done_fn *on_done;
	void *owner;
	/* the job's */
	struct line *lines[SLICE_LINES];
	size_t count;
	bool end;
	enum err err;
};

struct history {
	struct io *io;
	char path[PATH_MAX_BYTES];
	int64_t keep_ms;
	uint64_t max_bytes;
	bool in_memory;
	struct list waiting; /* of struct line */
	size_t waiting_bytes;
	struct list readings;
	uint64_t dropped;
	uint32_t next_number;
	struct io_timer timer;
	bool running, closing;
	void (*on_closed)(void *owner);
	void *closed_owner;
	struct io_job job;
	struct io_later closed_later;
	struct io_later refuse_later; /* a reading for which there is no memory */
	history_done_fn *refused;
	void *refused_owner;
	/* the job's */
	struct store *store; /* NULL: it could not be opened; everything is dropped */
	struct list batch;
	struct list asked;
	int64_t now_time;
	uint64_t lost; /* lines of this job that have no place */
};

enum { STORY_TABLE };
static const char *const story_tables[] = { "story" };

/* ---------------------------------------------------------------- in the disk lane */

static enum err open_store(struct history *h, struct store **out)
{
	struct store_options o = {
		.tables = story_tables,
		.table_count = 1,
		.max_bytes = h->max_bytes + MAP_SLACK_BYTES,
		.sync = STORE_SYNC_LATE,
	};

	if (h->in_memory)
		return store_memory_open(NULL, NULL, h->path, &o, out);
	enum err err = store_lmdb_open(h->path, &o, out);

	if (err != ERR_DAMAGED && err != ERR_UNSUPPORTED)
		return err;
	err = store_lmdb_put_aside(h->path);
	return err ? err : store_lmdb_open(h->path, &o, out);
}

/* What is damaged goes aside, and the stories begin anew. */
static void begin_anew(struct history *h)
{
	store_close(&h->store);
	if (!h->in_memory && store_lmdb_put_aside(h->path))
		return;
	if (open_store(h, &h->store))
		h->store = NULL;
}

static void put_number(unsigned char *at, uint64_t value, int octets)
{
	while (octets-- > 0) {
		at[octets] = (unsigned char)value;
		value >>= 8;
	}
}

static enum err put_sealed(struct store_txn *t, struct text key, const struct line *l)
{
	struct buf b = BUF(LINE_MAX_BYTES + 64);

	buf_add_bytes(&b, l->at, l->len);
	record_seal(&b, key);
	enum err err = buf_err(&b) ? buf_err(&b) : store_put(t, STORY_TABLE, key, buf_text(&b), STORE_NEW);

	buf_fini(&b);
	return err;
}

/* Numbers begin anew with each start: one that is taken in this very microsecond gives way to the next. */
static enum err put_line(struct store_txn *t, const struct line *l)
{
	unsigned char key[STORY_KEY_BYTES];
	enum err err = ERR_EXISTS;

	memcpy(key, l->key, sizeof(key));
	while (err == ERR_EXISTS) {
		err = put_sealed(t, text_of((const char *)key, sizeof(key)), l);
		for (size_t i = sizeof(key); err == ERR_EXISTS && ++key[--i] == 0;)
			;
	}
	return err;
}

/* The oldest stories go: those past their time, and as many as it takes while there is too much. */
static enum err trim(struct history *h, struct store_txn *t)
{
	struct store_usage usage;
	struct store_row row;
	enum err err = ERR_OK;

	store_usage(t, &usage);
	bool too_much = usage.used_bytes > h->max_bytes;

	for (unsigned i = 0; i < TRIM_ROWS; i++) {
		struct id id;
		char key[STORE_KEY_MAX_BYTES];

		err = store_seek(t, STORY_TABLE, TEXT_EMPTY, &row);
		if (err)
			break;
		if (!too_much && row.key.len == STORY_KEY_BYTES &&
		    id_read(text_head(row.key, ID_BYTES), &id) && id_time(id) >= h->now_time - h->keep_ms)
			break;
		memcpy(key, row.key.at, row.key.len);
		err = store_remove(t, STORY_TABLE, text_of(key, row.key.len));
		if (err)
			break;
	}
	return err == ERR_NOT_FOUND ? ERR_OK : err;
}

static enum err write_batch(struct history *h, bool lines)
{
	AUTO(store_abort) struct store_txn *t = NULL;
	enum err err = h->store ? store_begin(h->store, true, &t) : ERR_IO;

	if (!err)
		err = trim(h, t);
	for (LIST_EACH(it, &h->batch)) {
		if (lines && !err)
			err = put_line(t, LIST_ITEM(it, struct line, link));
	}
	return err ? err : store_commit(&t);
}

static void run_batch(struct history *h)
{
	if (list_is_empty(&h->batch))
		return;
	enum err err = write_batch(h, true);

	if (err == ERR_DAMAGED) {
		begin_anew(h);
		err = write_batch(h, true);
	} else if (err == ERR_FULL && !write_batch(h, false)) {
		err = write_batch(h, true);
	}
	for (LIST_EACH(it, &h->batch))
		h->lost += err != ERR_OK;
}

static struct line *line_new(const void *key, struct text text)
{
	struct line *l = malloc(sizeof(*l) + text.len + 1);

	if (!l)
		return NULL;
	memcpy(l->key, key, sizeof(l->key));
	l->len = text.len;
	memcpy(l->at, text.at, text.len);
	l->at[text.len] = '\0';
	return l;
}

static enum err take_line(struct reading *r, const struct store_row *row)
{
	struct text line;
	struct id id;

	if (row->key.len != STORY_KEY_BYTES || !id_read(text_head(row->key, ID_BYTES), &id))
		return ERR_OK;
	if (id_compare(id, r->last) > 0)
		return ERR_NOT_FOUND;
	bool seen = r->from_is_seen && memcmp(row->key.at, r->from, STORY_KEY_BYTES) == 0;

	/* A damaged line is left out. */
	if (seen || record_unseal(row->key, row->value, &line))
		return ERR_OK;
	r->lines[r->count] = line_new(row->key.at, line);
	if (!r->lines[r->count])
		return ERR_NOMEM;
	r->count++;
	return ERR_OK;
}

static void run_reading(struct history *h, struct reading *r)
{
	AUTO(store_abort) struct store_txn *t = NULL;
	struct store_row row;
	enum err err = h->store ? store_begin(h->store, false, &t) : ERR_IO;

	if (!err)
		err = store_seek(t, STORY_TABLE, text_of((const char *)r->from, sizeof(r->from)), &row);
	while (!err && r->count < SLICE_LINES) {
		err = take_line(r, &row);
		if (!err)
			err = store_next(t, STORY_TABLE, &row);
	}
	r->end = err == ERR_NOT_FOUND;
	r->err = r->end ? ERR_OK : err;
}

static void run_job(struct io_job *job)
{
	struct history *h = CONTAINER_OF(job, struct history, job);

	run_batch(h);
	for (LIST_EACH(it, &h->asked))
		run_reading(h, LIST_ITEM(it, struct reading, link));
	if (h->closing)
		store_close(&h->store);
}

/* ---------------------------------------------------------------- on the loop */

static void free_lines(struct list *lines)
{
	while (!list_is_empty(lines))
		free(LIST_ITEM(list_shift(lines), struct line, link));
}

static void start_job(struct history *h);
static void job_done(struct io_job *job);

static void on_timer(void *owner)
{
	start_job(owner);
}

static void consider(struct history *h)
{
	if (h->running)
		return;
	if (h->closing || h->waiting_bytes >= BATCH_BYTES || !list_is_empty(&h->readings)) {
		start_job(h);
	} else if (!list_is_empty(&h->waiting) && !io_timer_runs(&h->timer)) {
		/* Without memory for a timer the lines wait for the next one that is added. */
		enum err err =
			io_timer_start(h->io, &h->timer, io_now_at(h->io) + BATCH_EVERY_MS, on_timer, h);
		(void)err;
	}
}

static void start_job(struct history *h)
{
	if (h->running)
		return;
	h->running = true;
	io_timer_stop(h->io, &h->timer);
	list_append_all(&h->batch, &h->waiting);
	list_append_all(&h->asked, &h->readings);
	h->waiting_bytes = 0;
	h->lost = 0;
	h->now_time = io_now_time(h->io);
	h->job.run = run_job;
	h->job.done = job_done;
	io_job_submit(h->io, IO_LANE_DISK, &h->job);
}

/* False: the reading is at its end. */
static bool hand_on(struct history *h, struct reading *r)
{
	bool go_on = !r->end && !r->err && !h->closing;

	for (size_t i = 0; i < r->count; i++) {
		struct line *l = r->lines[i];
		struct id id;

		memcpy(id.bytes, l->key, ID_BYTES);
		memcpy(r->from, l->key, sizeof(r->from));
		if (!h->closing && !r->err && r->each && !r->each(r->owner, id, text_of(l->at, l->len))) {
			r->each = NULL; /* no more */
			go_on = false;
		}
		free(l);
	}
	r->from_is_seen = true;
	r->count = 0;
	return go_on;
}

static void history_free(struct history *h)
{
	void (*on_closed)(void *owner) = h->on_closed;
	void *owner = h->closed_owner;

	store_close(&h->store);
	free(h);
	if (on_closed)
		on_closed(owner);
}

static void job_done(struct io_job *job)
{
	struct history *h = CONTAINER_OF(job, struct history, job);
	struct list asked;

	list_init(&asked);
	list_append_all(&asked, &h->asked);
	free_lines(&h->batch);
	h->dropped += h->lost;
	h->running = false;
	while (!list_is_empty(&asked)) {
		struct reading *r = LIST_ITEM(list_shift(&asked), struct reading, link);

		if (hand_on(h, r)) {
			list_append(&h->readings, &r->link);
			continue;
		}
		if (!h->closing)
			r->on_done(r->owner, r->err);
		free(r);
	}
	if (h->closing && !h->store)
		history_free(h);
	else
		consider(h);
}

void history_add(struct history *h, struct id id, int64_t time_us, struct text line)
{
	unsigned char key[STORY_KEY_BYTES];
	struct line *l = NULL;

	memcpy(key, id.bytes, ID_BYTES);
	put_number(key + ID_BYTES, (uint64_t)MAX(time_us, 0), 8);
	put_number(key + ID_BYTES + 8, h->next_number++, 4);
	if (!h->closing && line.len <= LINE_MAX_BYTES && h->waiting_bytes + line.len <= WAITING_MAX_BYTES)
		l = line_new(key, line);
	if (!l) {
		h->dropped++;
		return;
	}
	list_append(&h->waiting, &l->link);
	h->waiting_bytes += sizeof(*l) + line.len;
	consider(h);
}

uint64_t history_dropped(const struct history *h)
{
	return h->dropped;
}

static void refuse(void *owner)
{
	struct history *h = owner;
	history_done_fn *refused = h->refused;

	h->refused = NULL;
	if (refused && !h->closing)
		refused(h->refused_owner, ERR_NOMEM);
}

void history_read(struct history *h, struct id first, struct id last, history_line_fn *each,
                  history_done_fn *on_done, void *owner)
{
	struct reading *r = calloc(1, sizeof(*r));

	if (!r) {
		if (h->refused)
			refuse(h); /* the one before hears it now */
		h->refused = on_done;
		h->refused_owner = owner;
		io_later_run(h->io, &h->refuse_later, refuse, h);
		return;
	}
	memcpy(r->from, first.bytes, ID_BYTES);
	r->last = last;
	r->each = each;
	r->on_done = on_done;
	r->owner = owner;
	list_append(&h->readings, &r->link);
	consider(h);
}

enum err history_open(const struct history_options *o, struct history **out)
{
	struct history *h = calloc(1, sizeof(*h));

	if (!h)
		return ERR_NOMEM;
	h->io = o->io;
	h->keep_ms = o->keep_ms;
	h->max_bytes = o->max_bytes;
	h->in_memory = o->in_memory;
	list_init(&h->waiting);
	list_init(&h->readings);
	list_init(&h->batch);
	list_init(&h->asked);
	enum err err = o->path.len < sizeof(h->path) ? ERR_OK : ERR_TOO_BIG;

	if (!err) {
		snprintf(h->path, sizeof(h->path), "%.*s", TEXT_ARGS(o->path));
		err = open_store(h, &h->store);
	}
	if (err)
		free(h);
	else
		*out = h;
	return err;
}

static void begin_closing(void *owner)
{
	consider(owner);
}

void history_close(struct history **history, void (*on_closed)(void *owner), void *owner)
{
	struct history *h = TAKE(*history);

	h->closing = true;
	h->on_closed = on_closed;
	h->closed_owner = owner;
	io_timer_stop(h->io, &h->timer);
	io_later_cancel(h->io, &h->refuse_later);
	io_later_run(h->io, &h->closed_later, begin_closing, h);
}
