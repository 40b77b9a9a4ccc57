/* Start and stop: the directory, the store, what the last stop was, and the sweep. */
#include "internal.h"
#include "store_memory.h"

#include <stdio.h>
#include <stdlib.h>

/* The map is larger than what may be used: settling needs pages too, and a group in flight was admitted before. */
#define MAP_SLACK_BYTES (UINT64_C(128) << 20)
#define FILE_SUFFIX ".body"

void file_path(const struct shared *s, struct id file, char path[FILE_PATH_BYTES])
{
	snprintf(path, FILE_PATH_BYTES, "%s/%s" FILE_SUFFIX, s->bodies_path, id_to_text(file).at);
}

static enum err complain(struct queue *q, enum err err, const char *what)
{
	struct buf *problem = q->shared.options.problem;

	if (err && problem && problem->len == 0)
		buf_add_format(problem, "%s: %s: %s", q->shared.path, what, err_text(err));
	return err;
}

/* ---------------------------------------------------------------- the run */

static enum err read_meta(struct store_txn *t, struct meta_row *meta)
{
	struct text value;
	enum err err = store_get(t, TABLE_META, meta_key, &value);

	if (err == ERR_NOT_FOUND) {
		*meta = (struct meta_row){ .clean = true };
		return ERR_OK;
	}
	return err ? err : meta_decode(value, meta);
}

static enum err write_meta(struct queue *q, struct store_txn *t, const struct meta_row *meta)
{
	struct buf b = BUF(4096);

	(void)q;
	meta_encode(&b, meta);
	enum err err = buf_err(&b) ? buf_err(&b) : store_put(t, TABLE_META, meta_key, buf_text(&b), STORE_PUT);

	buf_fini(&b);
	return err;
}

/* Notes that a run has begun: until the stop is noted, whatever ends it was no clean stop. */
static enum err begin_run(struct queue *q, struct store_txn *t)
{
	struct meta_row *meta = &q->shared.meta;
	enum err err = read_meta(t, meta);

	if (err)
		return err;
	q->was_unclean = !meta->clean;
	if (q->was_unclean)
		meta_add_unclean(meta, meta->run);
	meta->run++;
	meta->clean = false;
	q->writer.newest_time_mark = meta->newest_time;
	err = fault_at(&q->shared.options, FAULT_OPEN_MARK);
	return err ? err : write_meta(q, t, meta);
}

/* ---------------------------------------------------------------- the directory of delivery keys */

/* Whether the counts add up to the rows there are. They go wrong by damage only; then they are made anew. */
static enum err keys_add_up(struct store_txn *t, bool *good)
{
	struct store_usage usage;
	struct store_row row;
	uint64_t sum = 0, count;
	enum err err = store_seek(t, TABLE_KEY, TEXT_EMPTY, &row);

	*good = true;
	for (; !err; err = store_next(t, TABLE_KEY, &row)) {
		if (count_decode(row.key, row.value, &count))
			*good = false;
		else
			sum += count;
	}
	store_usage(t, &usage);
	*good = *good && sum == usage.rows[TABLE_DUE];
	return err == ERR_NOT_FOUND ? ERR_OK : err;
}

static enum err put_count(struct store_txn *t, struct buf *b, struct text key, uint64_t count)
{
	buf_reset(b);
	count_encode(b, key, count);
	return buf_err(b) ? buf_err(b) : store_put(t, TABLE_KEY, key, buf_text(b), STORE_PUT);
}

static enum err remove_all_keys(struct store_txn *t)
{
	struct store_row row;
	enum err err;

	while (!(err = store_seek(t, TABLE_KEY, TEXT_EMPTY, &row))) {
		struct row_key key = { .len = MIN(row.key.len, STORE_KEY_MAX_BYTES) };

		memcpy(key.bytes, row.key.at, key.len);
		err = store_remove(t, TABLE_KEY, row_key_text(&key));
		if (err)
			return err;
	}
	return err == ERR_NOT_FOUND ? ERR_OK : err;
}

static enum err count_keys_anew(struct store_txn *t, struct buf *b)
{
	struct row_key at = { .len = 0 };        /* the delivery key being counted */
	struct store_row row;
	uint64_t count = 0;
	enum err err = remove_all_keys(t);

	if (!err)
		err = store_seek(t, TABLE_DUE, TEXT_EMPTY, &row);
	for (; !err; err = store_next(t, TABLE_DUE, &row)) {
		struct text key;
		struct id id;
		int64_t due_time;
		uint32_t n;

		if (!due_key_read(row.key, &key, &due_time, &id, &n))
			continue;
		if (!text_eq(key, row_key_text(&at))) {
			if (count > 0)
				err = put_count(t, b, row_key_text(&at), count);
			if (err)
				return err;
			memcpy(at.bytes, key.at, key.len);
			at.len = key.len;
			count = 0;
		}
		count++;
	}
	if (err != ERR_NOT_FOUND)
		return err;
	return count > 0 ? put_count(t, b, row_key_text(&at), count) : ERR_OK;
}

static enum err mend_keys(struct store_txn *t)
{
	bool good;
	struct buf b = BUF(1024);
	enum err err = keys_add_up(t, &good);

	if (!err && !good)
		err = count_keys_anew(t, &b);
	buf_fini(&b);
	return err;
}

/* ---------------------------------------------------------------- the sweep */

struct sweep {
	struct queue *queue;
	struct store_txn *txn;
	struct file_list strays;
	uint64_t named;                  /* files that records name, found in the directory */
	enum err err;
};

/* Our own pattern: an id and ".body". Everything else in the directory is somebody else's. */
static bool file_name_read(struct text name, struct id *file)
{
	const struct text suffix = LIT(FILE_SUFFIX);

	return name.len == ID_CHARS + suffix.len && text_ends(name, suffix) &&
	       id_from_text(text_head(name, ID_CHARS), file) == ERR_OK &&
	       text_eq(text_from(id_to_text(*file).at), text_head(name, ID_CHARS));
}

static void look_at_file(void *owner, struct text name)
{
	struct sweep *s = owner;
	struct text value;
	struct id file;

	if (s->err || !file_name_read(name, &file))
		return;
	enum err err = store_get(s->txn, TABLE_FILE, id_key(&file), &value);

	if (!err)
		s->named++;
	else if (err == ERR_NOT_FOUND)
		s->err = file_list_add(&s->strays, file);
	else
		s->err = err;
}

static enum err remove_strays(struct sweep *s)
{
	const struct shared *shared = &s->queue->shared;
	struct io_disk *disk = shared->options.disk;
	char path[FILE_PATH_BYTES];

	for (size_t i = 0; i < s->strays.count; i++) {
		enum err err = fault_at(&shared->options, FAULT_SWEEP_REMOVE);

		file_path(shared, s->strays.files[i], path);
		if (!err)
			err = disk->ops->remove(disk, path);
		if (err && err != ERR_NOT_FOUND)
			return err;
	}
	return ERR_OK;
}

/* Removes what a stop left behind: files that were being written, or whose messages were gone already. When files are
 * missing that records name, the records are not to be trusted with deleting, and the strays stay. */
static enum err sweep(struct queue *q, struct store_txn *t)
{
	struct sweep s = { .queue = q, .txn = t };
	struct io_disk *disk = q->shared.options.disk;
	struct store_usage usage;
	enum err err = disk->ops->list(disk, q->shared.bodies_path, look_at_file, &s);

	if (!err)
		err = s.err;
	store_usage(t, &usage);
	if (!err && s.named == usage.rows[TABLE_FILE])
		err = remove_strays(&s);
	file_list_fini(&s.strays);
	return err;
}

static enum err count_file_bytes(struct queue *q, struct store_txn *t)
{
	struct store_row row;
	struct file_row file;
	enum err err = store_seek(t, TABLE_FILE, TEXT_EMPTY, &row);

	for (; !err; err = store_next(t, TABLE_FILE, &row)) {
		if (file_decode(row.key, row.value, &file) == ERR_OK)
			q->space.file_bytes += file.file_bytes;
	}
	return err == ERR_NOT_FOUND ? ERR_OK : err;
}

/* ---------------------------------------------------------------- opening */

enum err shared_name_paths(struct shared *s)
{
	struct text path = s->options.path;
	int len = snprintf(s->path, sizeof(s->path), "%.*s", TEXT_ARGS(path));

	if (len <= 0 || (size_t)len + FILE_NAME_BYTES + sizeof("/bodies/") > sizeof(s->path))
		return ERR_TOO_BIG;
	snprintf(s->bodies_path, sizeof(s->bodies_path), "%.1000s/bodies", s->path);
	snprintf(s->reserve_path, sizeof(s->reserve_path), "%.1000s/reserve", s->path);
	return ERR_OK;
}

static enum err open_store(struct queue *q)
{
	struct shared *s = &q->shared;
	char path[PATH_MAX_BYTES + 16];
	struct store_options o = {
		.tables = table_names,
		.table_count = TABLE_COUNT,
		.max_bytes = s->options.max_bytes + s->options.reserve_bytes + MAP_SLACK_BYTES,
		.sync = s->options.durable ? STORE_SYNC : STORE_SYNC_NEVER,
		.problem = s->options.problem,
	};

	snprintf(path, sizeof(path), "%s/queue", s->path);
	if (s->options.in_memory)
		return store_memory_open(s->options.memory, s->options.disk, path, &o, &s->store);
	return store_lmdb_open(path, &o, &s->store);
}

static enum err make_directories(struct queue *q)
{
	const struct shared *s = &q->shared;
	struct io_disk *disk = s->options.disk;
	enum err err = disk->ops->make_directory(disk, s->path);

	return err ? err : disk->ops->make_directory(disk, s->bodies_path);
}

static enum err in_one_transaction(struct queue *q)
{
	AUTO(store_abort) struct store_txn *t = NULL;
	enum err err = store_begin(q->shared.store, true, &t);

	if (!err)
		err = complain(q, begin_run(q, t), "its own record");
	if (!err)
		err = complain(q, mend_keys(t), "counting");
	if (!err)
		err = complain(q, sweep(q, t), "the sweep");
	if (!err)
		err = count_file_bytes(q, t);
	if (err)
		return err;
	store_usage(t, &q->space.usage);
	return store_commit(&t);
}

/* On a small disk a smaller one: a tenth of what is free. */
static enum err look_at_space(struct queue *q)
{
	struct shared *s = &q->shared;
	struct io_disk *disk = s->options.disk;
	uint64_t slack = s->options.reserve_bytes + MAP_SLACK_BYTES, map = store_limit_bytes(s->store);
	uint64_t size = 0;

	q->space.limit_bytes = MIN(s->options.max_bytes, map > slack ? map - slack : map / 2);
	q->space.probed_at = io_now_at(q->io);
	enum err err = disk->ops->free_bytes(disk, s->path, &q->space.disk_free_bytes);

	if (err)
		return err;
	q->space.reserve_held = disk->ops->size(disk, s->reserve_path, &size) == ERR_OK;
	q->space.reserve_bytes = size ? size : MIN(s->options.reserve_bytes, q->space.disk_free_bytes / 10);
	if (q->space.reserve_held || q->space.reserve_bytes == 0)
		return ERR_OK;
	/* A disk that knows no preallocation, or is too full for it now, is none the worse for accepting mail. */
	q->space.reserve_held = space_make_reserve(s, q->space.reserve_bytes) == ERR_OK;
	return disk->ops->free_bytes(disk, s->path, &q->space.disk_free_bytes);
}

static enum err open_all(struct queue *q)
{
	enum err err = complain(q, shared_name_paths(&q->shared), "the path");

	if (!err)
		err = complain(q, make_directories(q), "cannot be made");
	if (!err)
		err = complain(q, open_store(q), "cannot be opened");
	if (!err)
		err = complain(q, in_one_transaction(q), "starting");
	return err ? err : complain(q, look_at_space(q), "free space");
}

static void queue_free(struct queue *q)
{
	store_close(&q->shared.store);
	map_fini(&q->volatiles);
	free(q);
}

enum err queue_open(const struct queue_options *options, struct queue **out)
{
	struct queue *q = calloc(1, sizeof(*q));

	if (!q)
		return ERR_NOMEM;
	q->io = options->io;
	q->shared.options = *options;
	if (q->shared.options.inline_max_bytes == 0)
		q->shared.options.inline_max_bytes = DEFAULT_INLINE_MAX_BYTES;
	q->memory.limit_bytes = options->memory_budget_bytes ? options->memory_budget_bytes : DEFAULT_MEMORY_BUDGET_BYTES;
	list_init(&q->memory.evictable);
	list_init(&q->writer.waiting);
	list_init(&q->writer.group);
	list_init(&q->reader.waiting);
	list_init(&q->reader.batch);
	map_init(&q->volatiles, false, options->seed);
	enum err err = open_all(q);

	if (err) {
		queue_free(q);
		return err;
	}
	id_source_init(&q->file_ids, options->seed ^ q->shared.meta.run, q->shared.meta.newest_time);
	q->shared.options.path = TEXT_EMPTY;
	q->shared.options.problem = NULL;
	*out = q;
	return ERR_OK;
}

bool queue_was_unclean(const struct queue *q)
{
	return q->was_unclean;
}

int64_t queue_newest_time(const struct queue *q)
{
	return q->shared.meta.newest_time;
}

void queue_listen(struct queue *q, const struct queue_events *events, void *owner)
{
	q->events = events;
	q->events_owner = owner;
}

enum err queue_each_key(struct queue *q, queue_key_fn *each, void *owner)
{
	AUTO(store_abort) struct store_txn *t = NULL;
	struct store_row row, first;
	enum err err = store_begin(q->shared.store, false, &t);

	if (err)
		return err;
	for (err = store_seek(t, TABLE_KEY, TEXT_EMPTY, &row); !err; err = store_next(t, TABLE_KEY, &row)) {
		uint64_t count;
		int64_t due_time;
		struct row_key from;
		struct text key;
		struct id id;
		uint32_t n;

		if (!delivery_key_is_good(row.key) || count_decode(row.key, row.value, &count))
			continue;
		due_key_first(&from, row.key);
		if (store_seek(t, TABLE_DUE, row_key_text(&from), &first) == ERR_OK &&
		    due_key_read(first.key, &key, &due_time, &id, &n) && text_eq(key, row.key))
			each(owner, key, count, due_time);
	}
	return err == ERR_NOT_FOUND ? ERR_OK : err;
}

/* ---------------------------------------------------------------- answers, jobs, files */

static void give_answer(void *owner)
{
	struct answer *a = owner;
	struct queue *q = a->queue;
	struct answer given = *a;

	if (a->spare)
		a->used = false;
	else
		free(a);
	if (!q->closing) {
		if (given.on_settled)
			given.on_settled(given.owner, given.err);
		else if (given.on_loaded)
			given.on_loaded(given.owner, given.err, NULL);
		else
			given.on_rows(given.owner, given.err, NULL, 0, INT64_MAX);
	}
	queue_job_ended(q);
}

static struct answer *answer_new(struct queue *q)
{
	struct answer *a = calloc(1, sizeof(*a));

	for (size_t i = 0; !a && i < SPARE_ANSWERS; i++) {
		if (!q->spare_answers[i].used) {
			a = &q->spare_answers[i];
			*a = (struct answer){ .spare = true, .used = true };
		}
	}
	return a;
}

void queue_answer_later(struct queue *q, const struct answer *answer)
{
	struct answer *a = answer_new(q);

	/* With no memory at all and every spare one under way there is no way to keep a promise. */
	if (!a)
		return;
	a->queue = q;
	a->on_settled = answer->on_settled;
	a->on_loaded = answer->on_loaded;
	a->on_rows = answer->on_rows;
	a->owner = answer->owner;
	a->err = answer->err;
	queue_job_begun(q);
	io_later_run(q->io, &a->later, give_answer, a);
}

void queue_tell_later(struct queue *q, queue_settled_fn *on_settled, void *owner, enum err err)
{
	if (on_settled)
		queue_answer_later(q, &(struct answer){ .on_settled = on_settled, .owner = owner, .err = err });
}

struct removal {
	struct io_job job;
	struct queue *queue;
	struct file_list files;
};

static void run_removal(struct io_job *job)
{
	struct removal *r = CONTAINER_OF(job, struct removal, job);
	const struct shared *s = &r->queue->shared;
	struct io_disk *disk = s->options.disk;
	char path[FILE_PATH_BYTES];

	for (size_t i = 0; i < r->files.count; i++) {
		if (fault_at(&s->options, FAULT_FILE_REMOVE))
			return;
		file_path(s, r->files.files[i], path);
		/* What cannot be removed is a stray: the sweep's. */
		enum err err = disk->ops->remove(disk, path);
		(void)err;
	}
}

static void removal_done(struct io_job *job)
{
	struct removal *r = CONTAINER_OF(job, struct removal, job);
	struct queue *q = r->queue;

	file_list_fini(&r->files);
	free(r);
	queue_job_ended(q);
}

void queue_remove_files(struct queue *q, struct file_list *files)
{
	struct removal *r = files->count ? calloc(1, sizeof(*r)) : NULL;

	if (!r) {
		file_list_fini(files);
		return;
	}
	r->queue = q;
	r->files = *files;
	*files = (struct file_list){ 0 };
	r->job.run = run_removal;
	r->job.done = removal_done;
	queue_job_begun(q);
	io_job_submit(q->io, IO_LANE_DISK, &r->job);
}

/* ---------------------------------------------------------------- closing */

static void run_close(struct io_job *job)
{
	struct queue *q = CONTAINER_OF(job, struct queue, close_job);
	AUTO(store_abort) struct store_txn *t = NULL;
	struct meta_row meta = q->shared.meta;

	meta.clean = true;
	meta.newest_time = q->writer.newest_time_mark;
	if (q->writer.failed || fault_at(&q->shared.options, FAULT_CLOSE_MARK) || store_begin(q->shared.store, true, &t))
		return;
	/* Without the mark the next start takes this for a stop that was not clean, and is right. */
	enum err err = write_meta(q, t, &meta);

	if (!err)
		err = store_commit(&t);
	(void)err;
}

static void tell_closed(void *owner)
{
	struct queue *q = owner;
	void (*on_closed)(void *owner) = q->on_closed;
	void *closed_owner = q->closed_owner;

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
