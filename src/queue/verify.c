/* Reads everything and compares: each message with its recipients and its body, each recipient with its due
 * row, each due row with its recipient, the counts of the delivery keys with the rows, the files with their
 * names in the records. Slice by slice, each in a read transaction of its own, so that a running daemon's
 * file does not grow for it; what changes between two slices is seen as it is in its own slice. */
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>

#define SLICE_ROWS 512

struct verify {
	struct shared shared;
	struct store_txn *txn;
	struct queue_verify_report report;
	queue_problem_fn *each;
	void *owner;
	char *block;
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

static enum err check_file(struct verify *v, struct id id, const struct message_head *head)
{
	struct io_disk *disk = v->shared.options.disk;
	char path[FILE_PATH_BYTES];
	struct io_file *f = NULL;
	uint64_t left = head->content_bytes;

	file_path(&v->shared, head->file, path);
	enum err err = disk->ops->open(disk, path, IO_FILE_READ, &f);

	if (err == ERR_NOT_FOUND) {
		v->report.missing_files++;
		tell(v, "%s: its body is missing: %s", id_to_text(id).at, path);
		return ERR_DAMAGED;
	}
	for (uint64_t number = 0; left > 0 && !err; number++) {
		size_t len = (size_t)MIN(left, BLOCK_DATA_BYTES), got = 0;

		err = disk->ops->read_at(f, number * BLOCK_BYTES, v->block, len + BLOCK_CRC_BYTES, &got);
		if (!err && (got != len + BLOCK_CRC_BYTES ||
		             crc_read(v->block + len) != block_crc(head->file, number, v->block, len)))
			err = ERR_DAMAGED;
		left -= len;
	}
	if (f)
		disk->ops->close(&f);
	if (err)
		tell(v, "%s: its body is damaged: %s: %s", id_to_text(id).at, path, err_text(err));
	return err;
}

static enum err check_body(struct verify *v, struct id id, const struct message_head *head,
                           struct text blocks)
{
	v->report.body_bytes += head->content_bytes;
	if (head->in_file)
		return check_file(v, id, head);
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
	uint64_t sender;

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
	    due_decode(row_key_text(&due), value, &sender)) {
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
	/* A missing body of a living message was told with the message. */
	if (disk->ops->size(disk, path, &bytes) &&
	    store_get(v->txn, TABLE_MESSAGE, id_key(&file.message_id), &value)) {
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

	if (name.len < ID_CHARS || id_from_text(text_head(name, ID_CHARS), &id) ||
	    store_begin(v->shared.store, false, &v->txn))
		return;
	/* Beside a running daemon a body that is on its way looks like this too. */
	if (store_get(v->txn, TABLE_FILE, id_key(&id), &value)) {
		v->report.stray_files++;
		tell(v, "%.*s: no record names this file", TEXT_ARGS(name));
	}
	store_abort(&v->txn);
}

static enum err check_all(struct verify *v)
{
	struct io_disk *disk = v->shared.options.disk;
	enum err err = check_table(v, TABLE_MESSAGE, check_message);

	if (!err)
		err = check_table(v, TABLE_RECIPIENT, check_recipient);
	if (!err)
		err = check_table(v, TABLE_DUE, check_due);
	if (!err)
		err = check_table(v, TABLE_KEY, check_key);
	if (!err)
		err = check_table(v, TABLE_FILE, check_file_row);
	if (!err)
		err = check_table(v, TABLE_ASIDE, count_aside);
	return err ? err : disk->ops->list(disk, v->shared.bodies_path, look_at_file, v);
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
		v->shared.options = (struct queue_options){ .disk = disk, .path = path };
		err = v->block ? shared_name_paths(&v->shared) : ERR_NOMEM;
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
	}
	free(v);
	return err;
}
