/* Operations as changes of rows in one transaction. Runs in the writer lane. */
#include "internal.h"

#include <stdlib.h>

#define ENVELOPE_RECORD_MAX_BYTES ((size_t)64 << 20)

struct delta {
	struct map_item item;
	int64_t change;
	size_t key_len;
	char key[];
};

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

void group_init(struct group *g, const struct shared *shared, uint64_t seed)
{
	*g = (struct group){ .shared = shared };
	buf_init(&g->envelope, ENVELOPE_RECORD_MAX_BYTES);
	buf_init(&g->record, 2 * ENVELOPE_RECORD_MAX_BYTES);
	buf_init(&g->value, 4 * RECIPIENT_RECORD_MAX_BYTES);
	buf_init(&g->unknown, RECIPIENT_RECORD_MAX_BYTES);
	map_init(&g->deltas, false, seed);
}

static void forget_deltas(struct group *g)
{
	struct map_item *next;

	for (struct map_item *it = map_next(&g->deltas, NULL); it; it = next) {
		next = map_next(&g->deltas, it);
		map_remove(&g->deltas, it);
		free(CONTAINER_OF(it, struct delta, item));
	}
}

void group_fini(struct group *g)
{
	forget_deltas(g);
	map_fini(&g->deltas);
	buf_fini(&g->envelope);
	buf_fini(&g->record);
	buf_fini(&g->value);
	buf_fini(&g->unknown);
	file_list_fini(&g->forgotten);
}

static void last_keys(struct group *g)
{
	struct store_row row;
	uint32_t n;

	g->last_message = g->last_recipient = (struct id){ { 0 } };
	if (store_last(g->txn, TABLE_MESSAGE, &row) == ERR_OK && row.key.len == ID_BYTES)
		id_read(row.key, &g->last_message);
	if (store_last(g->txn, TABLE_RECIPIENT, &row) == ERR_OK)
		recipient_key_read(row.key, &g->last_recipient, &n);
}

enum err group_begin(struct group *g)
{
	g->file_bytes_delta = 0;
	g->new_files = false;
	g->newest_time = 0;
	g->forgotten.count = 0;
	forget_deltas(g);
	enum err err = store_begin(g->shared->store, true, &g->txn);

	if (!err)
		last_keys(g);
	return err;
}

void group_abort(struct group *g)
{
	store_abort(&g->txn);
}

enum err group_commit(struct group *g, struct store_usage *usage)
{
	store_usage(g->txn, usage);
	return store_commit(&g->txn);
}

/* ---------------------------------------------------------------- rows */

enum err group_count(struct group *g, struct text key, int64_t change)
{
	struct map_item *found = map_find(&g->deltas, key);

	if (found) {
		CONTAINER_OF(found, struct delta, item)->change += change;
		return ERR_OK;
	}
	struct delta *d = malloc(sizeof(*d) + key.len);

	if (!d)
		return ERR_NOMEM;
	d->change = change;
	d->key_len = key.len;
	memcpy(d->key, key.at, key.len);
	if (map_add(&g->deltas, &d->item, text_of(d->key, key.len))) {
		free(d);
		return ERR_NOMEM;
	}
	return ERR_OK;
}

enum err group_put_due(struct group *g, struct text key, int64_t due_time, struct id id, uint32_t n, uint64_t sender)
{
	struct row_key row_key;

	due_key(&row_key, key, due_time, id, n);
	buf_reset(&g->record);
	due_encode(&g->record, row_key_text(&row_key), sender);
	enum err err = buf_err(&g->record);

	if (!err)
		err = store_put(g->txn, TABLE_DUE, row_key_text(&row_key), buf_text(&g->record), STORE_NEW);
	if (err == ERR_EXISTS)
		return ERR_OK; /* counted when it came */
	return err ? err : group_count(g, key, 1);
}

enum err group_remove_due(struct group *g, struct text key, int64_t due_time, struct id id, uint32_t n)
{
	struct row_key row_key;

	due_key(&row_key, key, due_time, id, n);
	enum err err = store_remove(g->txn, TABLE_DUE, row_key_text(&row_key));

	if (err == ERR_NOT_FOUND)
		return ERR_OK;
	return err ? err : group_count(g, key, -1);
}

/* The first row at or behind *from that is of this recipient (or, `whole`, of any of the message). */
static enum err find_due(struct group *g, struct row_key *from, struct id id, uint32_t n, bool whole)
{
	struct store_row row;
	enum err err = store_seek(g->txn, TABLE_DUE, row_key_text(from), &row);

	for (; !err; err = store_next(g->txn, TABLE_DUE, &row)) {
		struct text key;
		struct id found;
		uint32_t found_n;
		int64_t due_time;

		if (!due_key_read(row.key, &key, &due_time, &found, &found_n) || !id_eq(found, id) || (!whole && found_n != n))
			continue;
		memcpy(from->bytes, row.key.at, row.key.len);
		from->len = row.key.len;
		return ERR_OK;
	}
	return err;
}

enum err group_find_and_remove_due(struct group *g, struct id id, uint32_t n, bool whole)
{
	struct row_key at = { .len = 0 };
	enum err err;

	while (!(err = find_due(g, &at, id, n, whole))) {
		err = store_remove(g->txn, TABLE_DUE, row_key_text(&at));
		if (!err)
			err = group_count(g, text_cut(&(struct text){ (char *)at.bytes, at.len }, '\0'), -1);
		if (err)
			return err;
	}
	return err == ERR_NOT_FOUND ? ERR_OK : err;
}

enum err group_put_recipient(struct group *g, struct id id, const struct recipient_row *r)
{
	struct row_key row_key;
	bool highest = id_compare(id, g->last_recipient) > 0;

	recipient_key(&row_key, id, r->public.n);
	buf_reset(&g->record);
	recipient_encode(&g->record, row_key_text(&row_key), r);
	if (buf_err(&g->record))
		return buf_err(&g->record);
	return store_put(g->txn, TABLE_RECIPIENT, row_key_text(&row_key), buf_text(&g->record),
	                 highest ? STORE_APPEND : STORE_PUT);
}

void recipient_row_join_run(const struct shared *s, struct recipient_row *r)
{
	if (r->public.state != QUEUE_CLAIMED || r->run == s->meta.run)
		return;
	r->public.unknown_outcome = r->public.unknown_outcome || meta_was_unclean(&s->meta, r->run);
	r->public.state = QUEUE_WAITING;
}

/* ---------------------------------------------------------------- accept */

static enum err put_file(struct group *g, const struct message *m)
{
	struct file_row row = { .message_id = m->envelope->id, .file_bytes = bytes_with_blocks(m->public.content_bytes) };

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
		struct recipient_row row = {
			.public = *r,
			.run = r->state == QUEUE_CLAIMED ? g->shared->meta.run : 0,
			.sender = in->sender,
			.unknown_fields = TEXT_EMPTY,
		};

		err = group_put_recipient(g, id, &row);
		if (!err && r->state != QUEUE_HELD)
			err = group_put_due(g, r->key, r->due_time, id, r->n, in->sender);
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
	/* A head that does not say any more which file it was: the file stays named in its table, and verify tells. */
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

/* Takes the due row away that goes with the recipient's row as it stands. With a damaged one the outcome counts all the
 * same: what the attempt came to is newer than anything the row could say. */
static enum err take_old(struct group *g, struct id id, uint32_t n, struct text row_key, struct text value,
                         struct recipient_row *old)
{
	enum err err = recipient_decode(row_key, value, old, &g->unknown);

	if (err == ERR_NOMEM)
		return err;
	if (err) {
		*old = (struct recipient_row){ .public = { .key = TEXT_EMPTY }, .unknown_fields = TEXT_EMPTY };
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
	struct recipient_row row = { .public = *r, .sender = old->sender, .unknown_fields = old->unknown_fields };

	row.public.state = verdict == QUEUE_ON_HOLD ? QUEUE_HELD : QUEUE_WAITING;
	if (row.public.key.len == 0)
		row.public.key = old->public.key;
	if (!delivery_key_is_good(row.public.key))
		return ERR_SYNTAX;
	enum err err = group_put_recipient(g, op->id, &row);

	if (!err && verdict == QUEUE_DEFERRED)
		err = group_put_due(g, row.public.key, row.public.due_time, op->id, r->n, row.sender);
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
	return group_put_recipient(g, id, &row);
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
	case OP_ASIDE:
		return group_apply_aside(g, CONTAINER_OF(op, struct aside_op, op));
	case OP_MEND:
		return group_apply_mend(g, CONTAINER_OF(op, struct aside_op, op));
	}
	return ERR_UNSUPPORTED;
}

static enum err write_count(struct group *g, const struct delta *d)
{
	struct text key = text_of(d->key, d->key_len), value;
	uint64_t count = 0;
	enum err err = store_get(g->txn, TABLE_KEY, key, &value);

	if (!err && count_decode(key, value, &count))
		count = 0; /* damaged: counted anew at the next start */
	else if (err && err != ERR_NOT_FOUND)
		return err;
	bool there = !err;

	count = d->change < 0 && (uint64_t)-d->change > count ? 0 : count + (uint64_t)d->change;
	if (count == 0)
		return there ? store_remove(g->txn, TABLE_KEY, key) : ERR_OK;
	buf_reset(&g->record);
	count_encode(&g->record, key, count);
	return buf_err(&g->record) ? buf_err(&g->record)
	                           : store_put(g->txn, TABLE_KEY, key, buf_text(&g->record), STORE_PUT);
}

enum err group_finish(struct group *g)
{
	enum err err = ERR_OK;

	for (struct map_item *it = map_next(&g->deltas, NULL); it && !err; it = map_next(&g->deltas, it)) {
		struct delta *d = CONTAINER_OF(it, struct delta, item);

		if (d->change)
			err = write_count(g, d);
	}
	return err;
}
