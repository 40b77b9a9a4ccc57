#include "keeper.h"

#include <stdlib.h>

#include <postrider/io/lane.h>

#define PATH_BYTES 4096
#define LINES_BYTES (64 * 1024 * 1024)

/* Between submit and done the job owns `batch`, the ledger and its size; the rest is the loop's. */
struct keeper {
	struct io_job job;
	struct io *io;
	struct io_disk *disk;
	char *directory;        /* NULL: none */
	struct io_file *ledger; /* NULL: none */
	uint64_t ledger_bytes;
	struct list batch;   /* items being written */
	struct list waiting; /* items for the next job */
	bool busy;
	bool closed; /* nobody has it any more: frees itself when the job is done */
};

bool keeper_has_ledger(const struct keeper *k)
{
	return k && k->ledger;
}

bool keeper_has_directory(const struct keeper *k)
{
	return k && k->directory;
}

/* ---------------------------------------------------------------- on the lane */

static enum err write_file(struct io_disk *disk, const char *path, struct text octets)
{
	struct io_file *file = NULL;
	enum err err = disk->ops->open(disk, path, IO_FILE_CREATE, &file);

	if (!err && octets.len > 0)
		err = disk->ops->write_at(file, 0, octets.at, octets.len);
	if (file)
		disk->ops->close(&file);
	return err;
}

static enum err write_part(const struct keeper *k, const struct keeper_item *item, const char *suffix,
                           const struct buf *part)
{
	char path[PATH_BYTES];
	struct buf b = BUF(sizeof(path) - 1);

	buf_add_format(&b, "%s/%s.%s", k->directory, item->name, suffix);
	enum err err = buf_err(&b);

	if (!err) {
		memcpy(path, b.at, b.len);
		path[b.len] = '\0';
	}
	buf_fini(&b);
	return err ? err : write_file(k->disk, path, buf_text(part));
}

/* The envelope first: who finds the content finds it, too. */
static void write_files(struct keeper *k)
{
	for (LIST_EACH(it, &k->batch)) {
		struct keeper_item *item = LIST_ITEM(it, struct keeper_item, link);

		item->err = write_part(k, item, "json", &item->envelope);
		if (!item->err)
			item->err = write_part(k, item, "eml", &item->content);
	}
}

/* All lines in one write. Failing, they are tried at the same place with the next ones. */
static enum err write_lines(struct keeper *k)
{
	struct buf lines = BUF(LINES_BYTES);

	for (LIST_EACH(it, &k->batch)) {
		const struct keeper_item *item = LIST_ITEM(it, struct keeper_item, link);

		if (!item->err)
			buf_add(&lines, buf_text(&item->line));
	}
	enum err err = buf_err(&lines);

	if (!err && lines.len > 0)
		err = k->disk->ops->write_at(k->ledger, k->ledger_bytes, lines.at, lines.len);
	if (!err)
		k->ledger_bytes += lines.len;
	buf_fini(&lines);
	return err;
}

static void run(struct io_job *job)
{
	struct keeper *k = CONTAINER_OF(job, struct keeper, job);
	enum err err = ERR_OK;

	if (k->directory)
		write_files(k);
	if (k->ledger)
		err = write_lines(k);
	for (LIST_EACH(it, &k->batch)) {
		struct keeper_item *item = LIST_ITEM(it, struct keeper_item, link);

		if (!item->err)
			item->err = err;
	}
}

/* ---------------------------------------------------------------- on the loop */

void keeper_item_free(struct keeper_item **pointer)
{
	struct keeper_item *item = TAKE(*pointer);

	if (!item)
		return;
	buf_fini(&item->line);
	buf_fini(&item->envelope);
	buf_fini(&item->content);
	free(item);
}

static void drop_all(struct list *items)
{
	struct list *link;

	while ((link = list_shift(items))) {
		struct keeper_item *item = LIST_ITEM(link, struct keeper_item, link);

		keeper_item_free(&item);
	}
}

static void free_now(struct keeper *k)
{
	drop_all(&k->batch);
	drop_all(&k->waiting);
	if (k->ledger)
		k->disk->ops->close(&k->ledger);
	free(k->directory);
	free(k);
}

static void done(struct io_job *job);

static void begin(struct keeper *k)
{
	if (k->busy || list_is_empty(&k->waiting))
		return;
	list_append_all(&k->batch, &k->waiting);
	k->busy = true;
	k->job.run = run;
	k->job.done = done;
	io_job_submit(k->io, IO_LANE_DISK, &k->job);
}

/* on_kept may close the sink, and so us: not before the loop is through. */
static void done(struct io_job *job)
{
	struct keeper *k = CONTAINER_OF(job, struct keeper, job);
	struct list *link;

	while ((link = list_shift(&k->batch))) {
		struct keeper_item *item = LIST_ITEM(link, struct keeper_item, link);

		if (item->on_kept && !k->closed)
			item->on_kept(item->owner, item->err);
		keeper_item_free(&item);
	}
	k->busy = false;
	if (k->closed)
		free_now(k);
	else
		begin(k);
}

void keeper_add(struct keeper *k, struct keeper_item *item)
{
	list_append(&k->waiting, &item->link);
	begin(k);
}

static enum err open_ledger(struct keeper *k, const char *path)
{
	enum err err = k->disk->ops->size(k->disk, path, &k->ledger_bytes);

	if (err == ERR_NOT_FOUND)
		return k->disk->ops->open(k->disk, path, IO_FILE_CREATE, &k->ledger);
	if (err)
		return err;
	return k->disk->ops->open(k->disk, path, IO_FILE_UPDATE, &k->ledger);
}

enum err keeper_new(const struct sink_options *o, struct keeper **out)
{
	struct keeper *k = calloc(1, sizeof(*k));
	enum err err = ERR_OK;

	if (!k)
		return ERR_NOMEM;
	k->io = o->io;
	k->disk = o->disk ? o->disk : io_disk_real();
	list_init(&k->batch);
	list_init(&k->waiting);
	if (o->directory) {
		k->directory = text_dup(text_from(o->directory));
		err = k->directory ? k->disk->ops->make_directory(k->disk, k->directory) : ERR_NOMEM;
	}
	if (!err && o->ledger)
		err = open_ledger(k, o->ledger);
	if (err)
		free_now(k);
	else
		*out = k;
	return err;
}

void keeper_free(struct keeper **pointer)
{
	struct keeper *k = TAKE(*pointer);

	if (!k)
		return;
	k->closed = true;
	if (!k->busy)
		free_now(k);
}
