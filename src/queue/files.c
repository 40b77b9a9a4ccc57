/* Spool files: their names, the sweep at the start, and their removal behind the commit that forgot them. */
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>

#define FILE_SUFFIX ".body"

void file_path(const struct shared *s, struct id file, char path[FILE_PATH_BYTES])
{
	snprintf(path, FILE_PATH_BYTES, "%s/%s" FILE_SUFFIX, s->bodies_path, id_to_text(file).at);
}

void file_list_fini(struct file_list *l)
{
	free(l->files);
	*l = (struct file_list){ 0 };
}

enum err file_list_add(struct file_list *l, struct id file)
{
	if (l->count == l->room) {
		size_t room = MAX(l->room * 2, 16);
		struct id *moved = realloc(l->files, room * sizeof(*moved));

		if (!moved)
			return ERR_NOMEM;
		l->files = moved;
		l->room = room;
	}
	l->files[l->count++] = file;
	return ERR_OK;
}

/* ---------------------------------------------------------------- the sweep */

struct sweep {
	const struct shared *shared;
	struct store_txn *txn;
	struct file_list strays;
	uint64_t named; /* files that records name, found in the directory */
	enum err err;
};

/* Our own pattern: an id and ".body". Everything else in the directory is somebody else's. */
bool file_name_read(struct text name, struct id *file)
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
	const struct shared *shared = s->shared;
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

/* Removes what a stop left behind: files that were being written, or whose messages were gone already. When
 * files are missing that records name, the records are not to be trusted with deleting, and the strays
 * stay. */
enum err files_sweep(const struct shared *shared, struct store_txn *t)
{
	struct sweep s = { .shared = shared, .txn = t };
	struct io_disk *disk = shared->options.disk;
	struct store_usage usage;
	enum err err = disk->ops->list(disk, shared->bodies_path, look_at_file, &s);

	if (!err)
		err = s.err;
	store_usage(t, &usage);
	if (!err && s.named == usage.rows[TABLE_FILE])
		err = remove_strays(&s);
	file_list_fini(&s.strays);
	return err;
}

enum err files_count_bytes(struct store_txn *t, uint64_t *bytes)
{
	struct store_row row;
	struct file_row file;
	enum err err = store_seek(t, TABLE_FILE, TEXT_EMPTY, &row);

	for (; !err; err = store_next(t, TABLE_FILE, &row)) {
		if (file_decode(row.key, row.value, &file) == ERR_OK)
			*bytes += file.file_bytes;
	}
	return err == ERR_NOT_FOUND ? ERR_OK : err;
}

/* ---------------------------------------------------------------- removal */

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
	space_look_again(q);
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
