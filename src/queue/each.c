/* All messages in the order of their ids, in slices: for people. */
#include "internal.h"

#include <stdlib.h>

#define SLICE_MESSAGES 64

struct found {
	struct envelope *envelope;
	struct queue_recipient *recipients;
	size_t recipient_count;
	uint64_t content_bytes;
	bool damaged;
};

struct each {
	struct read_request request;
	struct id from, last;
	bool from_is_seen; /* the first is the one behind `from` */
	queue_entry_fn *each;
	queue_settled_fn *on_done;
	void *owner;
	struct found found[SLICE_MESSAGES];
	size_t count;
	bool end;
};

static void forget_found(struct each *e)
{
	for (size_t i = 0; i < e->count; i++) {
		envelope_free(&e->found[i].envelope);
		free(e->found[i].recipients);
	}
	e->count = 0;
}

/* ---------------------------------------------------------------- in the disk lane */

static enum err read_envelope(struct id id, struct text row, struct found *f)
{
	struct message_head head;
	struct text blocks;
	enum err err = message_row_read(id, row, &head, &blocks);

	if (!err)
		err = envelope_decode(head.envelope, &f->envelope);
	if (!err) {
		f->content_bytes = head.content_bytes;
		return ERR_OK;
	}
	if (err == ERR_NOMEM)
		return err;
	f->damaged = true;
	f->envelope = envelope_new(1024);
	if (!f->envelope)
		return ERR_NOMEM;
	f->envelope->id = id;
	return ERR_OK;
}

static enum err read_recipients(struct reading *reading, struct id id, struct found *f)
{
	AUTO(free_memory) struct queue_recipient *rows = NULL;
	size_t room = 0;
	struct store_row row;
	enum err err = store_seek(reading->txn, TABLE_RECIPIENT, id_key(&id), &row);

	for (; !err && text_starts(row.key, id_key(&id));
	     err = store_next(reading->txn, TABLE_RECIPIENT, &row)) {
		struct recipient_row r;

		err = recipient_decode(row.key, row.value, &r, NULL);
		if (err) {
			f->damaged = true;
			continue;
		}
		if (f->recipient_count == room) {
			room = MAX(room * 2, 4);
			struct queue_recipient *moved = realloc(rows, room * sizeof(*moved));

			if (!moved)
				return ERR_NOMEM;
			rows = moved;
		}
		recipient_row_join_run(reading->shared, &r);
		rows[f->recipient_count++] = r.public;
	}
	f->recipients = recipients_copy(rows, f->recipient_count);
	if (!f->recipients)
		return ERR_NOMEM;
	return err == ERR_NOT_FOUND ? ERR_OK : err;
}

static enum err read_message(struct each *e, struct reading *reading, const struct store_row *row)
{
	struct found *f = &e->found[e->count];
	struct id id;

	if (!id_read(row->key, &id) || (e->from_is_seen && id_eq(id, e->from)))
		return ERR_OK;
	if (id_compare(id, e->last) > 0)
		return ERR_NOT_FOUND;
	*f = (struct found){ 0 };
	e->count++;
	enum err err = read_envelope(id, row->value, f);

	return err ? err : read_recipients(reading, id, f);
}

static void run_each(struct read_request *request, struct reading *reading)
{
	struct each *e = CONTAINER_OF(request, struct each, request);
	struct store_row row;
	enum err err = store_seek(reading->txn, TABLE_MESSAGE, id_key(&e->from), &row);

	while (!err && e->count < SLICE_MESSAGES) {
		err = read_message(e, reading, &row);
		if (!err)
			err = store_next(reading->txn, TABLE_MESSAGE, &row);
	}
	e->end = err == ERR_NOT_FOUND;
	request->err = e->end ? ERR_OK : err;
}

/* ---------------------------------------------------------------- on the loop */

static void each_done(struct queue *q, struct read_request *request)
{
	struct each *e = CONTAINER_OF(request, struct each, request);
	bool go_on = !request->err && !e->end;

	for (size_t i = 0; i < e->count && !request->err && !q->closing; i++) {
		struct found *f = &e->found[i];
		struct queue_entry entry = {
			.envelope = f->envelope,
			.content_bytes = f->content_bytes,
			.recipients = f->recipients,
			.recipient_count = f->recipient_count,
			.damaged = f->damaged,
		};

		e->from = f->envelope->id;
		e->from_is_seen = true;
		if (!e->each(e->owner, &entry)) {
			go_on = false;
			break;
		}
	}
	forget_found(e);
	if (go_on && !q->closing) {
		reader_add(q, &e->request);
		return;
	}
	if (!q->closing)
		e->on_done(e->owner, request->err);
	free(e);
}

static void start(struct queue *q, struct id from, bool from_is_seen, struct id last, queue_entry_fn *each,
                  queue_settled_fn *on_done, void *owner)
{
	struct each *e = calloc(1, sizeof(*e));

	if (!e) {
		queue_tell_later(q, on_done, owner, ERR_NOMEM);
		return;
	}
	e->request.run = run_each;
	e->request.done = each_done;
	e->from = from;
	e->from_is_seen = from_is_seen;
	e->last = last;
	e->each = each;
	e->on_done = on_done;
	e->owner = owner;
	reader_add(q, &e->request);
}

void queue_each_message(struct queue *q, struct id after, queue_entry_fn *each, queue_settled_fn *on_done,
                        void *owner)
{
	struct id last;

	memset(&last, 0xff, sizeof(last));
	start(q, after, true, last, each, on_done, owner);
}

void queue_find(struct queue *q, struct id first, struct id last, queue_entry_fn *each,
                queue_settled_fn *on_done, void *owner)
{
	start(q, first, false, last, each, on_done, owner);
}
