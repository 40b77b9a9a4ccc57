/* Operations as changes of rows. */
#include "internal.h"

/* ---------------------------------------------------------------- accept */

static enum err put_file(struct group *g, const struct message *m)
{
	struct file_row row = { .message_id = m->envelope->id,
		                .file_bytes = bytes_with_blocks(m->public.content_bytes) };

	buf_reset(&g->record);
	file_encode(&g->record, id_key(&m->file), &row);
	if (buf_err(&g->record))
		return buf_err(&g->record);
	g->new_files = true;
	g->file_bytes_delta += (int64_t)row.file_bytes;
	return store_put(g->txn, TABLE_FILE, id_key(&m->file), buf_text(&g->record), STORE_NEW);
}

static enum err put_message(struct group *g, const struct message *m)
{
	const struct id *id = &m->envelope->id;
	char *room;

	buf_reset(&g->envelope);
	buf_reset(&g->record);
	envelope_encode(m->envelope, &g->envelope);
	if (buf_err(&g->envelope))
		return buf_err(&g->envelope);
	struct message_head head = {
		.envelope = buf_text(&g->envelope),
		.prepended = m->public.prepended,
		.content_bytes = m->public.content_bytes,
		.in_file = m->in_file,
		.file = m->file,
	};

	message_head_encode(&g->record, *id, &head);
	if (buf_err(&g->record))
		return buf_err(&g->record);
	bool highest = id_compare(*id, g->last_message) > 0;
	enum err err = store_reserve(g->txn, TABLE_MESSAGE, id_key(id), message_row_bytes(&g->record, &head),
	                             STORE_NEW | (highest ? STORE_APPEND : 0), &room);

	if (err)
		return err;
	message_row_write(room, &g->record, *id, &head, m->in_file ? TEXT_EMPTY : m->public.content);
	if (highest)
		g->last_message = *id;
	return m->in_file ? put_file(g, m) : ERR_OK;
}

static enum err put_newcomer(struct group *g, const struct newcomer *in)
{
	struct id id = in->message->envelope->id;
	enum err err = put_message(g, in->message);

	for (size_t i = 0; i < in->recipient_count && !err; i++) {
		const struct queue_recipient *r = &in->recipients[i];
		bool claimed = r->state == QUEUE_CLAIMED && !r->unclaimed;
		struct recipient_row row = {
			.public = *r,
			.run = claimed ? g->shared->meta.run : 0,
			.sender = in->sender,
			.unknown_fields = TEXT_EMPTY,
		};

		if (r->state == QUEUE_CLAIMED && !claimed)
			row.public.state = QUEUE_WAITING;
		err = group_put_recipient(g, id, &row);
		if (!err && r->state != QUEUE_HELD)
			err = group_put_due(g, r, id, in->sender);
	}
	/* Only now: recipients of one message rise by n, all above what was last before. */
	if (id_compare(id, g->last_recipient) > 0)
		g->last_recipient = id;
	g->newest_time = MAX(g->newest_time, id_time(id));
	return err;
}

static enum err apply_accept(struct group *g, const struct accept_op *op)
{
	enum err err = put_newcomer(g, &op->in);

	for (size_t i = 0; i < op->notice_count && !err; i++)
		err = put_newcomer(g, &op->notices[i]);
	return err;
}

/* ---------------------------------------------------------------- settle */

/* Removes the message's own row; what its file was goes to the list. */
enum err group_remove_message(struct group *g, struct id id)
{
	struct text row, blocks, value;
	struct message_head head;
	struct file_row file;
	enum err err = store_get(g->txn, TABLE_MESSAGE, id_key(&id), &row);

	if (err)
		return err == ERR_NOT_FOUND ? ERR_OK : err;
	/* A head that does not say any more which file it was: the file stays named in its table, and verify
	 * tells. */
	if (message_row_is_in_file(row) && message_row_read(id, row, &head, &blocks) == ERR_OK) {
		if (store_get(g->txn, TABLE_FILE, id_key(&head.file), &value) == ERR_OK &&
		    file_decode(id_key(&head.file), value, &file) == ERR_OK)
			g->file_bytes_delta -= (int64_t)file.file_bytes;
		err = store_remove(g->txn, TABLE_FILE, id_key(&head.file));
		if (!err || err == ERR_NOT_FOUND)
			err = file_list_add(&g->forgotten, head.file);
	}
	return err ? err : store_remove(g->txn, TABLE_MESSAGE, id_key(&id));
}

static enum err remove_message_if_last(struct group *g, struct id id)
{
	struct store_row row;
	enum err err = store_seek(g->txn, TABLE_RECIPIENT, id_key(&id), &row);

	if (!err && text_starts(row.key, id_key(&id)))
		return ERR_OK;
	if (err && err != ERR_NOT_FOUND)
		return err;
	return group_remove_message(g, id);
}

/* Into g->value: the row's own memory may move with the next change. */
static enum err copy_value(struct group *g, enum table table, struct text row_key)
{
	struct text value;
	enum err err = store_get(g->txn, table, row_key, &value);

	if (err)
		return err;
	buf_reset(&g->value);
	buf_add(&g->value, value);
	return buf_err(&g->value);
}

static bool verdict_is_final(enum queue_verdict v)
{
	return v != QUEUE_DEFERRED && v != QUEUE_ON_HOLD;
}

/* Takes the due row away that goes with the recipient's row as it stands. With a damaged one the outcome
 * counts all the same: what the attempt came to is newer than anything the row could say. */
static enum err take_old(struct group *g, struct id id, uint32_t n, struct text row_key, struct text value,
                         struct recipient_row *old)
{
	enum err err = recipient_decode(row_key, value, old, &g->unknown);

	if (err == ERR_NOMEM)
		return err;
	if (err) {
		*old = (struct recipient_row){ .public = { .key = TEXT_EMPTY },
			                       .unknown_fields = TEXT_EMPTY };
		return group_find_and_remove_due(g, id, n, false);
	}
	if (old->public.state == QUEUE_HELD)
		return ERR_OK;
	return group_remove_due(g, old->public.key, old->public.due_time, id, n);
}

static enum err put_outcome(struct group *g, struct settle_op *op, size_t i, const struct recipient_row *old)
{
	enum queue_verdict verdict = op->verdicts[i];
	struct queue_recipient *r = &op->recipients[i];
	struct recipient_row row = { .public = *r,
		                     .sender = old->sender,
		                     .unknown_fields = old->unknown_fields };

	row.public.state = verdict == QUEUE_ON_HOLD ? QUEUE_HELD : QUEUE_WAITING;
	if (row.public.key.len == 0)
		row.public.key = old->public.key;
	if (!delivery_key_is_good(row.public.key))
		return ERR_SYNTAX;
	enum err err = group_put_recipient(g, op->id, &row);

	if (!err && verdict == QUEUE_DEFERRED)
		err = group_put_due(g, &row.public, op->id, row.sender);
	if (!err && r->key.len == 0)
		err = arena_text(&op->keys, row.public.key, &r->key);
	return err;
}

static enum err settle_one(struct group *g, struct settle_op *op, size_t i)
{
	struct row_key row_key;
	struct recipient_row old;
	uint32_t n = op->recipients[i].n;

	recipient_key(&row_key, op->id, n);
	enum err err = copy_value(g, TABLE_RECIPIENT, row_key_text(&row_key));

	if (err == ERR_NOT_FOUND)
		return ERR_OK; /* gone already */
	if (!err)
		err = take_old(g, op->id, n, row_key_text(&row_key), buf_text(&g->value), &old);
	if (err)
		return err;
	if (verdict_is_final(op->verdicts[i]))
		return store_remove(g->txn, TABLE_RECIPIENT, row_key_text(&row_key));
	return put_outcome(g, op, i, &old);
}

static enum err apply_settle(struct group *g, struct settle_op *op)
{
	bool any_final = false;
	enum err err = ERR_OK;

	for (size_t i = 0; i < op->count && !err; i++) {
		err = settle_one(g, op, i);
		any_final = any_final || verdict_is_final(op->verdicts[i]);
	}
	if (!err && any_final)
		err = remove_message_if_last(g, op->id);
	for (size_t i = 0; i < op->notice_count && !err; i++)
		err = put_newcomer(g, &op->notices[i]);
	return err;
}

/* ---------------------------------------------------------------- claim, release */

static enum err claim_one(struct group *g, struct id id, uint32_t n, bool release)
{
	struct row_key row_key;
	struct recipient_row row;

	recipient_key(&row_key, id, n);
	enum err err = copy_value(g, TABLE_RECIPIENT, row_key_text(&row_key));

	if (err)
		return err == ERR_NOT_FOUND ? ERR_OK : err;
	err = recipient_decode(row_key_text(&row_key), buf_text(&g->value), &row, &g->unknown);
	if (err)
		return err == ERR_NOMEM ? err : ERR_OK; /* damaged: whoever loads it finds that out */
	recipient_row_join_run(g->shared, &row);
	if (row.public.state != (release ? QUEUE_CLAIMED : QUEUE_WAITING))
		return ERR_OK;
	row.public.state = release ? QUEUE_WAITING : QUEUE_CLAIMED;
	row.run = release ? 0 : g->shared->meta.run;
	row.marked = false;
	return group_put_recipient(g, id, &row);
}

/* An attempt that begins anew on another connection is the same attempt. */
static enum err mark_one(struct group *g, const struct claim_op *op, uint32_t n)
{
	struct row_key row_key;
	struct recipient_row row;

	recipient_key(&row_key, op->id, n);
	enum err err = copy_value(g, TABLE_RECIPIENT, row_key_text(&row_key));

	if (!err)
		err = recipient_decode(row_key_text(&row_key), buf_text(&g->value), &row, &g->unknown);
	if (err)
		return err == ERR_NOMEM ? err : ERR_OK; /* gone, or damaged: its settle makes it anew */
	recipient_row_join_run(g->shared, &row);
	if (row.public.state == QUEUE_HELD)
		return ERR_OK;
	row.public.attempts += !row.marked;
	row.public.state = QUEUE_CLAIMED;
	row.public.last_attempt_time = op->time;
	row.public.remote = text_of(op->remote, op->remote_len);
	row.run = g->shared->meta.run;
	row.marked = true;
	return group_put_recipient(g, op->id, &row);
}

static enum err apply_mark(struct group *g, const struct claim_op *op)
{
	enum err err = ERR_OK;

	for (size_t i = 0; i < op->count && !err; i++)
		err = mark_one(g, op, op->ns[i]);
	return err;
}

static enum err apply_claim(struct group *g, const struct claim_op *op)
{
	enum err err = ERR_OK;

	for (size_t i = 0; i < op->count && !err; i++)
		err = claim_one(g, op->id, op->ns[i], op->op.kind == OP_RELEASE);
	return err;
}

/* ---------------------------------------------------------------- all */

enum err group_apply(struct group *g, struct op *op)
{
	switch (op->kind) {
	case OP_ACCEPT:
		return apply_accept(g, CONTAINER_OF(op, const struct accept_op, op));
	case OP_SETTLE:
		return apply_settle(g, CONTAINER_OF(op, struct settle_op, op));
	case OP_CLAIM:
	case OP_RELEASE:
		return apply_claim(g, CONTAINER_OF(op, const struct claim_op, op));
	case OP_MARK:
		return apply_mark(g, CONTAINER_OF(op, const struct claim_op, op));
	case OP_ASIDE:
		return group_apply_aside(g, CONTAINER_OF(op, struct aside_op, op));
	case OP_MEND:
		return group_apply_mend(g, CONTAINER_OF(op, struct aside_op, op));
	}
	return ERR_UNSUPPORTED;
}
