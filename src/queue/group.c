/* One transaction of the writer: its rows, and the counts of the delivery keys, written once a group. */
#include "internal.h"

#include <stdlib.h>

#define ENVELOPE_RECORD_MAX_BYTES ((size_t)64 << 20)

struct delta {
	struct map_item item;
	int64_t change;
	size_t key_len;
	char key[];
};

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
	g->newest_time = g->noted_time = 0;
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

enum err group_put_due(struct group *g, const struct queue_recipient *r, struct id id, uint64_t sender)
{
	const struct due_row due = { sender, r->class };
	struct row_key row_key;

	due_key(&row_key, r->key, r->due_time, id, r->n);
	buf_reset(&g->record);
	due_encode(&g->record, row_key_text(&row_key), &due);
	enum err err = buf_err(&g->record);

	if (!err)
		err = store_put(g->txn, TABLE_DUE, row_key_text(&row_key), buf_text(&g->record), STORE_NEW);
	if (err == ERR_EXISTS)
		return ERR_OK; /* counted when it came */
	return err ? err : group_count(g, r->key, 1);
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

		if (!due_key_read(row.key, &key, &due_time, &found, &found_n) || !id_eq(found, id) ||
		    (!whole && found_n != n))
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
	struct queue_recipient *p = &r->public;

	if (p->state != QUEUE_CLAIMED || r->run == s->meta.run)
		return;
	bool marked = r->marked;

	p->state = QUEUE_WAITING;
	r->marked = false;
	if (!meta_was_unclean(&s->meta, r->run))
		return;
	p->unknown_outcome = true;
	p->reason = REASON_UNKNOWN_OUTCOME;
	p->stage = STAGE_DOT;
	p->reply = marked ? TEXT("the relay ended while its host had the message in hand: it may have been delivered")
	                     : TEXT("the relay ended while it was being delivered, or about to be: it may have been delivered");
	if (!marked)
		p->remote = TEXT_EMPTY;
}

/* ---------------------------------------------------------------- counts */

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
