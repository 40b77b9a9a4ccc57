/* Rows of one delivery key for those that have room: what belongs to others is passed over here, in the disk lane, so that a
 * sender's million rows hide nobody's. */
#include "internal.h"

#include <stdlib.h>

struct share {
	struct queue_share public;
	size_t place;   /* in the wish */
	size_t had;     /* messages given */
	struct id last; /* of them */
};

struct search {
	struct read_request request;
	struct queue_wish wish;
	struct share *shares;       /* sorted */
	struct queue_share *filled; /* in the order of the wish */
	const struct share *leader; /* NULL: none */
	struct queue_cursor begin;
	size_t looks;
	queue_found_fn *on_found;
	void *owner;
	/* what was found */
	struct queue_row *rows;
	size_t count, room;
	struct queue_found found;
	struct row_key damaged; /* one a search: the next one finds the next */
	size_t key_len;
	char key[];
};

/* ---------------------------------------------------------------- places */

int queue_cursor_compare(const struct queue_cursor *a, const struct queue_cursor *b)
{
	int order = (a->set > b->set) - (a->set < b->set);

	if (order || !a->set)
		return order;
	order = (a->due_time > b->due_time) - (a->due_time < b->due_time);
	if (!order)
		order = id_compare(a->id, b->id);
	return order ? order : (a->n > b->n) - (a->n < b->n);
}

/* The number below, as if id and n were one; there is always one: no id is zero. */
struct queue_cursor queue_cursor_before(int64_t due_time, struct id id, uint32_t n)
{
	struct queue_cursor c = { due_time, id, n - 1, true };

	for (size_t i = ID_BYTES; n == 0 && i > 0; i--)
		if (c.id.bytes[i - 1]-- != 0)
			break;
	return c;
}

static struct queue_cursor place_of(const struct queue_row *row)
{
	return (struct queue_cursor){ row->due_time, row->id, row->n, true };
}

static bool lies_behind(const struct queue_row *row, const struct queue_cursor *c)
{
	struct queue_cursor place = place_of(row);

	return queue_cursor_compare(&place, c) > 0;
}

/* ---------------------------------------------------------------- whose rows are wanted */

static int by_sender(const void *a, const void *b)
{
	const struct queue_share *x = &((const struct share *)a)->public,
				 *y = &((const struct share *)b)->public;
	int order = (x->sender > y->sender) - (x->sender < y->sender);

	return order ? order : (x->class > y->class) - (x->class < y->class);
}

static struct share *share_of(struct search *s, const struct queue_row *row)
{
	struct share wanted = { .public = { .sender = row->sender, .class = row->class } };

	if (s->wish.share_count == 0)
		return NULL;
	return bsearch(&wanted, s->shares, s->wish.share_count, sizeof(wanted), by_sender);
}

/* Rows of one message go together. */
static bool has_room(const struct share *share, const struct queue_row *row)
{
	return share->had < share->public.room || (share->had > 0 && id_eq(share->last, row->id));
}

static bool is_wanted(struct search *s, const struct queue_row *row)
{
	struct share *share;

	if (!(s->wish.classes & BIT(row->class)) || !lies_behind(row, &s->wish.after[row->class]))
		return false;
	share = share_of(s, row);
	if (!share)
		return s->wish.others;
	if (!lies_behind(row, &share->public.after))
		return false;
	if (has_room(share, row))
		return true;
	if (!share->public.left_some) {
		share->public.left_some = true;
		share->public.left = queue_cursor_before(row->due_time, row->id, row->n);
	}
	return false;
}

static void count_row(struct search *s, const struct queue_row *row)
{
	struct share *share = share_of(s, row);

	if (!share || (share->had > 0 && id_eq(share->last, row->id)))
		return;
	share->had++;
	share->last = row->id;
}

/* ---------------------------------------------------------------- in the disk lane */

static enum err add_row(struct search *s, const struct queue_row *row)
{
	if (s->count == s->room) {
		size_t room = MIN(MAX(s->room * 2, 16), s->wish.max_rows);
		struct queue_row *moved = realloc(s->rows, room * sizeof(*moved));

		if (!moved)
			return ERR_NOMEM;
		s->rows = moved;
		s->room = room;
	}
	s->rows[s->count++] = *row;
	count_row(s, row);
	return ERR_OK;
}

static void note_damaged(struct search *s, struct text key)
{
	if (s->damaged.len > 0)
		return;
	memcpy(s->damaged.bytes, key.at, key.len);
	s->damaged.len = key.len;
}

/* This row is for the next search. */
static bool ends_before(const struct search *s, const struct queue_row *row)
{
	return s->looks >= s->wish.max_looks || s->count >= s->wish.max_rows ||
	       (s->leader && s->leader->had >= s->leader->public.room && !has_room(s->leader, row));
}

/* What it says of itself is enough to pass it over; what is wanted must also have its recipient. */
static enum err look_at(struct search *s, struct reading *reading, const struct store_row *from,
                        struct queue_row *row)
{
	struct due_row due;
	enum err err = due_decode(from->key, from->value, &due);

	if (!err) {
		row->sender = due.sender;
		row->class = due.class;
		if (!is_wanted(s, row))
			return ERR_OK;
		err = due_row_read(reading, from, row);
	}
	if (err == ERR_DAMAGED || err == ERR_UNSUPPORTED) {
		note_damaged(s, from->key);
		return ERR_OK;
	}
	return err ? err : add_row(s, row);
}

/* ERR_NOT_FOUND: the end of this key, or of what is asked for. */
static enum err take_row(struct search *s, struct reading *reading, const struct store_row *from)
{
	struct queue_row row;
	struct text key;

	if (!due_key_read(from->key, &key, &row.due_time, &row.id, &row.n)) {
		note_damaged(s, from->key);
		return ERR_OK;
	}
	if (s->begin.set && !lies_behind(&row, &s->begin))
		return ERR_OK; /* the last one of the search before */
	if (row.due_time > s->wish.until_time || ends_before(s, &row)) {
		s->found.next_due_time = row.due_time;
		s->found.is_end = row.due_time > s->wish.until_time;
		return ERR_NOT_FOUND;
	}
	s->looks++;
	enum err err = look_at(s, reading, from, &row);

	if (!err)
		s->found.end = place_of(&row);
	return err;
}

/* The earliest place from which something is wanted. */
static struct queue_cursor begin_of(const struct queue_wish *w)
{
	struct queue_cursor begin = { 0 };
	bool any = false;

	for (unsigned i = 0; i < QUEUE_CLASSES; i++) {
		if (!(w->classes & BIT(i)) || (any && queue_cursor_compare(&w->after[i], &begin) >= 0))
			continue;
		begin = w->after[i];
		any = true;
	}
	return begin;
}

static void sort_shares(struct search *s)
{
	size_t count = s->wish.share_count;

	if (count > 0)
		qsort(s->shares, count, sizeof(*s->shares), by_sender);
	for (size_t i = 0; i < count && s->wish.leader < count; i++)
		if (s->shares[i].place == s->wish.leader)
			s->leader = &s->shares[i];
}

static void run_search(struct read_request *request, struct reading *reading)
{
	struct search *s = CONTAINER_OF(request, struct search, request);
	struct text key = text_of(s->key, s->key_len);
	struct queue_cursor begin = s->begin = begin_of(&s->wish);
	struct row_key first, from;
	struct store_row row;

	due_key_first(&first, key);
	from = first;
	if (begin.set)
		due_key(&from, key, begin.due_time, begin.id, begin.n);
	enum err err = store_seek(reading->txn, TABLE_DUE, row_key_text(&from), &row);

	sort_shares(s);
	s->found.is_end = true;
	while (!err && text_starts(row.key, row_key_text(&first))) {
		err = take_row(s, reading, &row);
		if (!err)
			err = store_next(reading->txn, TABLE_DUE, &row);
	}
	request->err = err == ERR_NOT_FOUND ? ERR_OK : err;
}

/* ---------------------------------------------------------------- on the loop */

static void search_free(struct search *s)
{
	free(s->shares);
	free(s->filled);
	free(s->rows);
	free(s);
}

static void tell(struct search *s, enum err err)
{
	for (size_t i = 0; i < s->wish.share_count; i++)
		s->filled[s->shares[i].place] = s->shares[i].public;
	s->found.err = err;
	s->found.rows = s->rows;
	s->found.count = err ? 0 : s->count;
	s->found.shares = s->filled;
	s->found.share_count = s->wish.share_count;
	s->on_found(s->owner, &s->found);
}

static void search_done(struct queue *q, struct read_request *request)
{
	struct search *s = CONTAINER_OF(request, struct search, request);

	if (s->damaged.len > 0)
		mend_submit(q, row_key_text(&s->damaged));
	if (!q->closing)
		tell(s, request->err);
	search_free(s);
}

static struct search *search_new(struct text key, const struct queue_wish *wish)
{
	struct search *s = calloc(1, sizeof(*s) + key.len);
	size_t count = wish->share_count;

	if (!s)
		return NULL;
	s->shares = calloc(MAX(count, 1), sizeof(*s->shares));
	s->filled = calloc(MAX(count, 1), sizeof(*s->filled));
	if (!s->shares || !s->filled) {
		search_free(s);
		return NULL;
	}
	for (size_t i = 0; i < count; i++)
		s->shares[i] = (struct share){ .public = wish->shares[i], .place = i };
	s->wish = *wish;
	s->wish.shares = NULL;
	s->wish.max_rows = MAX(wish->max_rows, 1);
	s->wish.max_looks = MAX(wish->max_looks, 1);
	s->found.next_due_time = INT64_MAX;
	s->key_len = key.len;
	memcpy(s->key, key.at, key.len);
	return s;
}

void queue_search(struct queue *q, struct text key, const struct queue_wish *wish, queue_found_fn *on_found,
                  void *owner)
{
	bool good = delivery_key_is_good(key);
	struct search *s = good ? search_new(key, wish) : NULL;

	if (!s) {
		queue_answer_later(q, &(struct answer){ .on_found = on_found,
		                                        .owner = owner,
		                                        .err = good ? ERR_NOMEM : ERR_SYNTAX });
		return;
	}
	s->request.run = run_search;
	s->request.done = search_done;
	s->on_found = on_found;
	s->owner = owner;
	reader_add(q, &s->request);
}
