/* Start: the directory, the lock, the store, and what the last stop was. */
#include "internal.h"
#include "store_memory.h"

#include <stdio.h>
#include <stdlib.h>

/* The map is larger than what may be used: settling needs pages too, and a group in flight was admitted
 * before. */
#define MAP_SLACK_BYTES (UINT64_C(128) << 20)

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

enum err meta_write(struct store_txn *t, const struct meta_row *meta)
{
	struct buf b = BUF(4096);

	meta_encode(&b, meta);
	enum err err =
		buf_err(&b) ? buf_err(&b) : store_put(t, TABLE_META, meta_key, buf_text(&b), STORE_PUT);

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
	return err ? err : meta_write(t, meta);
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

/* Names are as durable as their directories: without this a power cut could take the store's whole file
 * away. */
static enum err sync_names(struct queue *q)
{
	const struct shared *s = &q->shared;
	struct io_disk *disk = s->options.disk;
	char path[PATH_MAX_BYTES + 16];
	enum err err = ERR_OK;

	if (!s->options.durable)
		return ERR_OK;
	snprintf(path, sizeof(path), "%s/queue", s->path);
	if (!s->options.in_memory)
		err = disk->ops->sync_directory(disk, path);
	if (!err)
		err = disk->ops->sync_directory(disk, s->path);
	/* The directory above may be one that we may not open; then whoever made ours has to know. */
	struct text above = text_head(text_from(s->path), text_find_last_octet(text_from(s->path), '/'));

	snprintf(path, sizeof(path), "%.*s", TEXT_ARGS(above));
	if (!err && above.len > 0 && above.len < strlen(s->path)) {
		enum err unimportant = disk->ops->sync_directory(disk, path);
		(void)unimportant;
	}
	return err;
}

static enum err in_one_transaction(struct queue *q)
{
	AUTO(store_abort) struct store_txn *t = NULL;
	enum err err = store_begin(q->shared.store, true, &t);

	if (!err)
		err = complain(q, begin_run(q, t), "its own record");
	if (!err)
		err = complain(q, keys_mend(t), "counting");
	if (!err)
		err = complain(q, files_sweep(&q->shared, t), "the sweep");
	if (!err)
		err = files_count_bytes(t, &q->space.file_bytes);
	if (err)
		return err;
	store_usage(t, &q->space.usage);
	return store_commit(&t);
}

/* A start writes a few pages of its own. On a full disk they come out of the reserve, as those of a settle do: what waits can
 * leave then, and make room. */
static enum err begin(struct queue *q)
{
	struct shared *s = &q->shared;
	struct io_disk *disk = s->options.disk;
	uint64_t free_bytes;
	enum err err = in_one_transaction(q);

	if (err != ERR_IO && err != ERR_FULL)
		return err;
	if (disk->ops->free_bytes(disk, s->path, &free_bytes) || free_bytes >= FULL_DISK_BYTES ||
	    disk->ops->remove(disk, s->reserve_path))
		return err;
	if (s->options.problem)
		buf_reset(s->options.problem);
	return in_one_transaction(q);
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
	/* A disk that knows no preallocation, or is too full for it now, is none the worse for accepting
	 * mail. */
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
		err = complain(q, sync_names(q), "syncing");
	if (!err)
		err = complain(q, begin(q), "starting");
	return err ? err : complain(q, look_at_space(q), "free space");
}

void queue_free(struct queue *q)
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
	q->memory.limit_bytes =
		options->memory_budget_bytes ? options->memory_budget_bytes : DEFAULT_MEMORY_BUDGET_BYTES;
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
