/* What is damaged goes out of the way of the rest, as it was found: its rows move to a table of their own,
 * the file of its body stays where it is and stays named, and nothing of it is ever sent. */
#include "internal.h"

#include <stdlib.h>
#include <stdio.h>

/* ---------------------------------------------------------------- in the transaction */

static enum err keep_evidence(struct group *g, struct aside_op *op, uint32_t n, enum table table,
                              struct text value)
{
	struct row_key key;
	struct aside_row row = { .time = op->time, .what = text_from(op->what), .value = value };

	op->found = true;
	aside_key(&key, op->id, n, table);
	buf_reset(&g->record);
	aside_encode(&g->record, row_key_text(&key), &row);
	return buf_err(&g->record)
	               ? buf_err(&g->record)
	               : store_put(g->txn, TABLE_ASIDE, row_key_text(&key), buf_text(&g->record), STORE_PUT);
}

static enum err move_recipient(struct group *g, struct aside_op *op, struct text key, uint32_t n)
{
	struct recipient_row row;
	struct text value;
	enum err err = store_get(g->txn, TABLE_RECIPIENT, key, &value);

	if (err)
		return err == ERR_NOT_FOUND ? ERR_OK : err;
	bool readable = recipient_decode(key, value, &row, NULL) == ERR_OK;
	int64_t due_time = readable ? row.public.due_time : 0;
	char delivery_key[DELIVERY_KEY_MAX_BYTES];
	size_t len = readable ? row.public.key.len : 0;

	if (readable)
		memcpy(delivery_key, row.public.key.at, len);
	err = keep_evidence(g, op, n, TABLE_RECIPIENT, value);
	if (!err)
		err = store_remove(g->txn, TABLE_RECIPIENT, key);
	if (err)
		return err;
	return readable ? group_remove_due(g, text_of(delivery_key, len), due_time, op->id, n)
	                : group_find_and_remove_due(g, op->id, n, false);
}

static enum err move_message(struct group *g, struct aside_op *op)
{
	struct text value;
	enum err err = store_get(g->txn, TABLE_MESSAGE, id_key(&op->id), &value);

	if (err)
		return err == ERR_NOT_FOUND ? ERR_OK : err;
	err = keep_evidence(g, op, 0, TABLE_MESSAGE, value);
	return err ? err : store_remove(g->txn, TABLE_MESSAGE, id_key(&op->id));
}

static enum err move_all(struct group *g, struct aside_op *op)
{
	struct store_row row;
	struct row_key key;
	struct id id;
	uint32_t n;
	enum err err;

	while (!(err = store_seek(g->txn, TABLE_RECIPIENT, id_key(&op->id), &row)) &&
	       recipient_key_read(row.key, &id, &n) && id_eq(id, op->id)) {
		recipient_key(&key, id, n);
		err = move_recipient(g, op, row_key_text(&key), n);
		if (err)
			return err;
	}
	return err && err != ERR_NOT_FOUND ? err : move_message(g, op);
}

enum err group_apply_aside(struct group *g, struct aside_op *op)
{
	struct row_key key;
	struct store_row row;

	if (op->whole)
		return move_all(g, op);
	recipient_key(&key, op->id, op->n);
	enum err err = move_recipient(g, op, row_key_text(&key), op->n);

	if (err)
		return err;
	/* The last one of its message: the message itself is evidence too (who it was for, what it was). */
	err = store_seek(g->txn, TABLE_RECIPIENT, id_key(&op->id), &row);
	if (!err && text_starts(row.key, id_key(&op->id)))
		return ERR_OK;
	return err && err != ERR_NOT_FOUND ? err : move_message(g, op);
}

/* A due row that is damaged, or that leads nowhere: its recipient's own record says where its row is to
 * be. */
enum err group_apply_mend(struct group *g, const struct aside_op *op)
{
	struct text row_key = text_of(op->row_key, op->row_key_len), key, value;
	struct row_key at;
	struct recipient_row row;
	struct id id;
	uint32_t n;
	int64_t due_time;
	bool ours = due_key_read(row_key, &key, &due_time, &id, &n);
	enum err err = store_remove(g->txn, TABLE_DUE, row_key);

	if (err)
		return err == ERR_NOT_FOUND ? ERR_OK : err;
	if (!ours)
		return ERR_OK;
	err = group_count(g, key, -1);
	if (err)
		return err;
	recipient_key(&at, id, n);
	err = store_get(g->txn, TABLE_RECIPIENT, row_key_text(&at), &value);
	if (err)
		return err == ERR_NOT_FOUND ? ERR_OK : err;
	buf_reset(&g->value);
	buf_add(&g->value, value);
	err = buf_err(&g->value) ? buf_err(&g->value)
	                         : recipient_decode(row_key_text(&at), buf_text(&g->value), &row, NULL);
	if (err) {
		struct aside_op damaged = {
			.id = id, .n = n, .time = op->time, .what = "its record is damaged"
		};

		return err == ERR_NOMEM ? err : group_apply_aside(g, &damaged);
	}
	if (row.public.state == QUEUE_HELD)
		return ERR_OK;
	return group_put_due(g, &row.public, id, row.sender);
}

/* ---------------------------------------------------------------- on the loop */

static void decide(struct queue *q, struct op *base)
{
	struct aside_op *op = CONTAINER_OF(base, struct aside_op, op);

	(void)q;
	if (op->then)
		op->then(op->owner, base->err);
}

/* Whoever looks for what is due may have come by already. */
static void announce_mended(struct queue *q, const struct aside_op *op)
{
	struct text key;
	struct id id;
	uint32_t n;
	int64_t due_time;

	if (due_key_read(text_of(op->row_key, op->row_key_len), &key, &due_time, &id, &n) && q->events &&
	    q->events->on_due && !q->closing)
		q->events->on_due(q->events_owner, key, due_time);
}

static void announce(struct queue *q, struct op *base)
{
	struct aside_op *op = CONTAINER_OF(base, struct aside_op, op);

	if (!base->err && base->kind == OP_MEND)
		announce_mended(q, op);
	if (!base->err && op->found && q->events && q->events->on_aside && !q->closing)
		q->events->on_aside(q->events_owner, op->id, text_from(op->what));
	free(op);
}

static struct aside_op *op_new(struct queue *q, enum op_kind kind)
{
	struct aside_op *op = calloc(1, sizeof(*op));

	if (!op)
		return NULL;
	op->op.kind = kind;
	op->op.decide = decide;
	op->op.announce = announce;
	op->op.weight_bytes = 1000;
	op->time = io_now_time(q->io);
	return op;
}

void aside_submit(struct queue *q, struct id id, uint32_t n, bool whole, const char *what,
                  void (*then)(void *owner, enum err err), void *owner)
{
	struct aside_op *op = op_new(q, OP_ASIDE);

	if (!op) {
		/* It stays where it is, and is found again by whoever loads it next. */
		if (then)
			queue_tell_later(q, then, owner, ERR_NOMEM);
		return;
	}
	op->id = id;
	op->n = n;
	op->whole = whole;
	op->then = then;
	op->owner = owner;
	snprintf(op->what, sizeof(op->what), "%s", what);
	writer_add(q, &op->op);
}

void mend_submit(struct queue *q, struct text due_row_key)
{
	struct aside_op *op = op_new(q, OP_MEND);

	if (!op)
		return;
	op->row_key_len = MIN(due_row_key.len, sizeof(op->row_key));
	memcpy(op->row_key, due_row_key.at, op->row_key_len);
	writer_add(q, &op->op);
}
