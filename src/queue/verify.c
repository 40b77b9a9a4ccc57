/* Reads everything and compares: each message with its recipients and its body, each recipient with its due
 * row, each due row with its recipient, the counts of the delivery keys with the rows, the files with their
 * names in the records. Slice by slice, each in a read transaction of its own, so that a running daemon's
 * file does not grow for it; what changes between two slices is seen as it is in its own slice. */
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>

#define SLICE_ROWS 512

/* A body in a file: read when the slice's transaction has ended, for that takes its time. */
struct file_body {
	struct id id, file;
	uint64_t bytes;
};

struct verify {
	struct shared shared;
	struct store_txn *txn;
	struct queue_verify_report report;
	queue_problem_fn *each;
	void *owner;
	char *block;
	struct file_body *bodies; /* of this slice */
	size_t body_count;
};

static void PRINTF_LIKE(2, 3) tell(struct verify *v, const char *format, ...)
{
	char line[400];
	va_list args;

	va_start(args, format);
	int len = vsnprintf(line, sizeof(line), format, args);

	va_end(args);
	if (v->each && len > 0)
		v->each(v->owner, text_of(line, MIN((size_t)len, sizeof(line) - 1)));
}

/* ---------------------------------------------------------------- bodies */

/* Whether the message is there now: a running daemon may have removed it, and its file, since the slice was
 * read. */
static bool is_still_there(struct verify *v, struct id id)
{
	AUTO(store_abort) struct store_txn *now = NULL;
	struct text value;

	return store_begin(v->shared.store, false, &now) ||
	       store_get(now, TABLE_MESSAGE, id_key(&id), &value) == ERR_OK;
}

static enum err read_blocks(struct verify *v, struct io_file *f, const struct file_body *b)
{
	uint64_t left = b->bytes;

	for (uint64_t number = 0; left > 0; number++) {
		size_t len = (size_t)MIN(left, BLOCK_DATA_BYTES), got = 0;
		enum err err =
			f->disk->ops->read_at(f, number * BLOCK_BYTES, v->block, len + BLOCK_CRC_BYTES, &got);

		if (err)
			return err;
		if (got != len + BLOCK_CRC_BYTES ||
		    crc_read(v->block + len) != block_crc(b->file, number, v->block, len))
			return ERR_DAMAGED;
		left -= len;
	}
	return ERR_OK;
}

static void check_file(struct verify *v, const struct file_body *b)
{
	struct io_disk *disk = v->shared.options.disk;
	char path[FILE_PATH_BYTES];
	struct io_file *f = NULL;

	file_path(&v->shared, b->file, path);
	enum err err = disk->ops->open(disk, path, IO_FILE_READ, &f);

	if (err == ERR_NOT_FOUND && !is_still_there(v, b->id))
		return;
	v->report.missing_files += err == ERR_NOT_FOUND;
	if (!err)
		err = read_blocks(v, f, b);
	if (f)
		disk->ops->close(&f);
	if (!err)
		return;
	v->report.damaged_messages++;
	tell(v, "%s: its body %s: %s", id_to_text(b->id).at,
	     err == ERR_DAMAGED ? "is damaged" : err_text(err), path);
}

static void check_files_of_slice(struct verify *v)
{
	for (size_t i = 0; i < v->body_count; i++)
		check_file(v, &v->bodies[i]);
	v->body_count = 0;
}

static enum err check_body(struct verify *v, struct id id, const struct message_head *head,
                           struct text blocks)
{
	v->report.body_bytes += head->content_bytes;
	if (head->in_file) {
		v->bodies[v->body_count++] = (struct file_body){ id, head->file, head->content_bytes };
		return ERR_OK;
	}
	enum err err = message_content_read(id, blocks, head->content_bytes, NULL);

	if (err)
		tell(v, "%s: its body is damaged", id_to_text(id).at);
	return err;
}

/* ---------------------------------------------------------------- rows */

static bool has_recipients(struct verify *v, struct id id)
{
	struct store_row row;

	return store_seek(v->txn, TABLE_RECIPIENT, id_key(&id), &row) == ERR_OK &&
	       text_starts(row.key, id_key(&id));
}

static void check_message(struct verify *v, const struct store_row *row)
{
	struct message_head head;
	struct text blocks;
	struct id id;
	AUTO(envelope_free) struct envelope *e = NULL;

	v->report.messages++;
	if (!id_read(row->key, &id)) {
		v->report.damaged_messages++;
		tell(v, "a message under a key that is no id");
		return;
	}
	enum err err = message_row_read(id, row->value, &head, &blocks);

	if (!err)
		err = envelope_decode(head.envelope, &e);
	if (err)
		tell(v, "%s: its envelope cannot be read: %s", id_to_text(id).at, err_text(err));
	else
		err = check_body(v, id, &head, blocks);
	if (!err && !has_recipients(v, id)) {
		tell(v, "%s: a message without recipients", id_to_text(id).at);
		err = ERR_DAMAGED;
	}
	v->report.damaged_messages += err != ERR_OK;
}

static void check_recipient(struct verify *v, const struct store_row *row)
{
	struct recipient_row r;
	struct row_key due;
	struct text value;
	struct id id;
	uint32_t n;
	struct due_row found;

	v->report.recipients++;
	enum err err = recipient_key_read(row->key, &id, &n)
	                       ? recipient_decode(row->key, row->value, &r, NULL)
	                       : ERR_DAMAGED;

	if (err) {
		v->report.damaged_recipients++;
		tell(v, "%s: recipient %u cannot be read: %s",
		     row->key.len >= ID_BYTES ? id_to_text(id).at : "?", n, err_text(err));
		return;
	}
	if (store_get(v->txn, TABLE_MESSAGE, id_key(&id), &value)) {
		v->report.damaged_recipients++;
		tell(v, "%s: recipient %u has no message", id_to_text(id).at, n);
	}
	if (r.public.state == QUEUE_HELD)
		return;
	due_key(&due, r.public.key, r.public.due_time, id, n);
	if (store_get(v->txn, TABLE_DUE, row_key_text(&due), &value) ||
	    due_decode(row_key_text(&due), value, &found)) {
		v->report.lost_due_rows++;
		tell(v, "%s: recipient %u is not in the table of what is due", id_to_text(id).at, n);
	}
}

static void check_due(struct verify *v, const struct store_row *row)
{
	struct recipient_row r;
	struct row_key at;
	struct text key, value;
	struct id id;
	int64_t due_time;
	uint32_t n;

	v->report.due_rows++;
	if (!due_key_read(row->key, &key, &due_time, &id, &n)) {
		v->report.lost_due_rows++;
		tell(v, "a row of what is due under a key that is none");
		return;
	}
	recipient_key(&at, id, n);
	if (store_get(v->txn, TABLE_RECIPIENT, row_key_text(&at), &value)) {
		v->report.lost_due_rows++;
		tell(v, "%s: recipient %u is due and not there", id_to_text(id).at, n);
		return;
	}
	/* A record that cannot be read was told where it stands. */
	if (recipient_decode(row_key_text(&at), value, &r, NULL))
		return;
	if (r.public.state == QUEUE_HELD || r.public.due_time != due_time || !text_eq(r.public.key, key)) {
		v->report.lost_due_rows++;
		tell(v, "%s: recipient %u is due at a time that is not its own", id_to_text(id).at, n);
	}
}

static void check_key(struct verify *v, const struct store_row *row)
{
	struct row_key first;
	struct store_row due;
	uint64_t count = 0, found = 0;

	v->report.keys++;
	enum err err =
		delivery_key_is_good(row->key) ? count_decode(row->key, row->value, &count) : ERR_DAMAGED;

	if (!err) {
		due_key_first(&first, row->key);
		for (err = store_seek(v->txn, TABLE_DUE, row_key_text(&first), &due);
		     !err && text_starts(due.key, row_key_text(&first));
		     err = store_next(v->txn, TABLE_DUE, &due))
			found++;
		err = err == ERR_NOT_FOUND ? ERR_OK : err;
	}
	if (!err && found == count)
		return;
	v->report.wrong_counts++;
	tell(v, "%.*s: %llu are due, and the directory says %llu", TEXT_ARGS(row->key),
	     (unsigned long long)found, (unsigned long long)count);
}

static bool is_file_named_now(struct verify *v, struct id file)
{
	AUTO(store_abort) struct store_txn *now = NULL;
	struct text value;

	return store_begin(v->shared.store, false, &now) ||
	       store_get(now, TABLE_FILE, id_key(&file), &value) == ERR_OK;
}

static void check_file_row(struct verify *v, const struct store_row *row)
{
	struct io_disk *disk = v->shared.options.disk;
	char path[FILE_PATH_BYTES];
	struct file_row file;
	struct text value;
	struct id id;
	uint64_t bytes;

	v->report.spool_files++;
	if (!id_read(row->key, &id) || file_decode(row->key, row->value, &file)) {
		v->report.missing_files++;
		tell(v, "a file's record cannot be read");
		return;
	}
	file_path(&v->shared, id, path);
	/* A missing body of a living message was told with the message; one that a daemon removes just now is
	 * none. */
	if (disk->ops->size(disk, path, &bytes) &&
	    store_get(v->txn, TABLE_MESSAGE, id_key(&file.message_id), &value) && is_file_named_now(v, id)) {
		v->report.missing_files++;
		tell(v, "%s: its body is missing: %s", id_to_text(file.message_id).at, path);
	}
}

static void count_aside(struct verify *v, const struct store_row *row)
{
	struct aside_row a;

	v->report.set_aside++;
	if (aside_decode(row->key, row->value, &a) == ERR_OK && row->key.len > ID_BYTES) {
		struct id id;

		memcpy(id.bytes, row->key.at, ID_BYTES);
		tell(v, "%s: set aside: %.*s", id_to_text(id).at, TEXT_ARGS(a.what));
	}
}

/* ---------------------------------------------------------------- slices */

static enum err check_slice(struct verify *v, enum table table, struct row_key *after, bool *more,
                            void (*check)(struct verify *v, const struct store_row *row))
{
	struct store_row row;
	bool first = after->len == 0;
	enum err err = store_begin(v->shared.store, false, &v->txn);

	if (err)
		return err;
	err = store_seek(v->txn, table, row_key_text(after), &row);
	for (unsigned i = 0; !err && i < SLICE_ROWS; err = store_next(v->txn, table, &row)) {
		if (!first && text_eq(row.key, row_key_text(after)))
			continue;
		check(v, &row);
		memcpy(after->bytes, row.key.at, row.key.len);
		after->len = row.key.len;
		first = false;
		i++;
	}
	store_abort(&v->txn);
	check_files_of_slice(v);
	*more = !err;
	return err == ERR_NOT_FOUND ? ERR_OK : err;
}

static enum err check_table(struct verify *v, enum table table,
                            void (*check)(struct verify *v, const struct store_row *row))
{
	struct row_key after = { .len = 0 };
	bool more = true;
	enum err err = ERR_OK;

	while (more && !err)
		err = check_slice(v, table, &after, &more, check);
	return err;
}

static void look_at_file(void *owner, struct text name)
{
	struct verify *v = owner;
	struct text value;
	struct id id;

	if (!file_name_read(name, &id) || store_begin(v->shared.store, false, &v->txn))
		return;
	/* Beside a running daemon a body that is on its way looks like this too. */
	if (store_get(v->txn, TABLE_FILE, id_key(&id), &value)) {
		v->report.stray_files++;
		tell(v, "%.*s: no record names this file", TEXT_ARGS(name));
	}
	store_abort(&v->txn);
}

/* A table that cannot be read to its end does not keep the others from being read. */
static enum err check_all(struct verify *v)
{
	static const struct {
		enum table table;
		void (*check)(struct verify *v, const struct store_row *row);
	} tables[] = {
		{ TABLE_MESSAGE, check_message }, { TABLE_RECIPIENT, check_recipient },
		{ TABLE_DUE, check_due },         { TABLE_KEY, check_key },
		{ TABLE_FILE, check_file_row },   { TABLE_ASIDE, count_aside },
	};
	struct io_disk *disk = v->shared.options.disk;

	for (size_t i = 0; i < ARRAY_LEN(tables); i++) {
		enum err err = check_table(v, tables[i].table, tables[i].check);

		if (err == ERR_NOMEM || err == ERR_BUSY)
			return err;
		if (!err)
			continue;
		v->report.unreadable_tables++;
		tell(v, "the table of %ss cannot be read to its end: %s", table_names[tables[i].table],
		     err_text(err));
	}
	return disk->ops->list(disk, v->shared.bodies_path, look_at_file, v);
}

enum err queue_verify(struct io_disk *disk, struct text path, queue_problem_fn *each, void *owner,
                      struct queue_verify_report *out)
{
	struct verify *v = calloc(1, sizeof(*v));
	struct store_options o = { .tables = table_names, .table_count = TABLE_COUNT, .read_only = true };
	char store_path[PATH_MAX_BYTES + 16];
	enum err err = v ? ERR_OK : ERR_NOMEM;

	if (!err) {
		v->each = each;
		v->owner = owner;
		v->block = malloc(BLOCK_BYTES);
		v->bodies = calloc(SLICE_ROWS, sizeof(*v->bodies));
		v->shared.options = (struct queue_options){ .disk = disk, .path = path };
		err = v->block && v->bodies ? shared_name_paths(&v->shared) : ERR_NOMEM;
	}
	if (!err) {
		snprintf(store_path, sizeof(store_path), "%s/queue", v->shared.path);
		err = store_lmdb_open(store_path, &o, &v->shared.store);
	}
	if (!err)
		err = check_all(v);
	if (!err)
		*out = v->report;
	if (v) {
		store_close(&v->shared.store);
		free(v->block);
		free(v->bodies);
	}
	free(v);
	return err;
}
