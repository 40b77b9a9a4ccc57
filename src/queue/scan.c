/* Rows of one delivery key in the order in which they are due. */
#include "internal.h"

#include <stdlib.h>

struct scan {
	struct read_request request;
	struct queue_cursor after;
	int64_t until_time;
	size_t max_rows;
	queue_rows_fn *on_rows;
	void *owner;
	/* what was found */
	struct queue_row *rows;
	size_t count, room;
	int64_t next_due_time;
	struct row_key damaged; /* one a scan: the next one finds the next */
	size_t key_len;
	char key[];
};

/* ---------------------------------------------------------------- in the disk lane */

static enum err add_row(struct scan *s, const struct queue_row *row)
{
	if (s->count == s->room) {
		size_t room = MIN(MAX(s->room * 2, 16), s->max_rows);
		struct queue_row *moved = realloc(s->rows, room * sizeof(*moved));

		if (!moved)
			return ERR_NOMEM;
		s->rows = moved;
		s->room = room;
	}
	s->rows[s->count++] = *row;
	return ERR_OK;
}

enum err due_row_read(struct reading *reading, const struct store_row *from, struct queue_row *row)
{
	struct row_key key;
	struct text value;
	struct due_row due;
	enum err err = due_decode(from->key, from->value, &due);

	if (err)
		return err;
	row->sender = due.sender;
	row->class = due.class;
	recipient_key(&key, row->id, row->n);
	err = store_get(reading->txn, TABLE_RECIPIENT, row_key_text(&key), &value);
	return err == ERR_NOT_FOUND ? ERR_DAMAGED : err;
}

static void note_damaged(struct scan *s, struct text key)
{
	if (s->damaged.len > 0)
		return;
	memcpy(s->damaged.bytes, key.at, key.len);
	s->damaged.len = key.len;
}

/* ERR_NOT_FOUND: the end of this key, or of what is asked for. */
static enum err take_row(struct scan *s, struct reading *reading, const struct store_row *from)
{
	struct queue_row row;
	struct text key;

	if (!due_key_read(from->key, &key, &row.due_time, &row.id, &row.n)) {
		note_damaged(s, from->key);
		return ERR_OK;
	}
	if (s->after.set && row.due_time == s->after.due_time && id_eq(row.id, s->after.id) &&
	    row.n == s->after.n)
		return ERR_OK;
	if (row.due_time > s->until_time || s->count == s->max_rows) {
		s->next_due_time = row.due_time;
		return ERR_NOT_FOUND;
	}
	enum err err = due_row_read(reading, from, &row);

	if (err == ERR_DAMAGED || err == ERR_UNSUPPORTED) {
		note_damaged(s, from->key);
		return ERR_OK;
	}
	return err ? err : add_row(s, &row);
}

static void run_scan(struct read_request *request, struct reading *reading)
{
	struct scan *s = CONTAINER_OF(request, struct scan, request);
	struct text key = text_of(s->key, s->key_len);
	struct row_key first, from;
	struct store_row row;

	due_key_first(&first, key);
	from = first;
	if (s->after.set)
		due_key(&from, key, s->after.due_time, s->after.id, s->after.n);
	enum err err = store_seek(reading->txn, TABLE_DUE, row_key_text(&from), &row);

	while (!err && text_starts(row.key, row_key_text(&first))) {
		err = take_row(s, reading, &row);
		if (!err)
			err = store_next(reading->txn, TABLE_DUE, &row);
	}
	request->err = err == ERR_NOT_FOUND ? ERR_OK : err;
}

/* ---------------------------------------------------------------- on the loop */

static void scan_done(struct queue *q, struct read_request *request)
{
	struct scan *s = CONTAINER_OF(request, struct scan, request);

	if (s->damaged.len > 0)
		mend_submit(q, row_key_text(&s->damaged));
	if (!q->closing)
		s->on_rows(s->owner, request->err, s->rows, request->err ? 0 : s->count, s->next_due_time);
	free(s->rows);
	free(s);
}

void queue_scan(struct queue *q, struct text key, const struct queue_cursor *after, int64_t until_time,
                size_t max_rows, queue_rows_fn *on_rows, void *owner)
{
	bool good = delivery_key_is_good(key);
	struct scan *s = good ? calloc(1, sizeof(*s) + key.len) : NULL;

	if (!s) {
		queue_answer_later(q, &(struct answer){ .on_rows = on_rows,
		                                        .owner = owner,
		                                        .err = good ? ERR_NOMEM : ERR_SYNTAX });
		return;
	}
	s->request.run = run_scan;
	s->request.done = scan_done;
	s->after = *after;
	s->until_time = until_time;
	s->max_rows = MAX(max_rows, 1);
	s->on_rows = on_rows;
	s->owner = owner;
	s->next_due_time = INT64_MAX;
	s->key_len = key.len;
	memcpy(s->key, key.at, key.len);
	reader_add(q, &s->request);
}
