/* The directory of delivery keys: how many due rows each has, kept by every group, so that a start need not
 * read them all. */
#include "internal.h"

/* Whether the counts add up to the rows there are. They go wrong by damage only; then they are made anew. */
static enum err keys_add_up(struct store_txn *t, bool *good)
{
	struct store_usage usage;
	struct store_row row;
	uint64_t sum = 0, count;
	enum err err = store_seek(t, TABLE_KEY, TEXT_EMPTY, &row);

	*good = true;
	for (; !err; err = store_next(t, TABLE_KEY, &row)) {
		if (count_decode(row.key, row.value, &count))
			*good = false;
		else
			sum += count;
	}
	store_usage(t, &usage);
	*good = *good && sum == usage.rows[TABLE_DUE];
	return err == ERR_NOT_FOUND ? ERR_OK : err;
}

static enum err put_count(struct store_txn *t, struct buf *b, struct text key, uint64_t count)
{
	buf_reset(b);
	count_encode(b, key, count);
	return buf_err(b) ? buf_err(b) : store_put(t, TABLE_KEY, key, buf_text(b), STORE_PUT);
}

static enum err remove_all_keys(struct store_txn *t)
{
	struct store_row row;
	enum err err;

	while (!(err = store_seek(t, TABLE_KEY, TEXT_EMPTY, &row))) {
		struct row_key key = { .len = MIN(row.key.len, STORE_KEY_MAX_BYTES) };

		memcpy(key.bytes, row.key.at, key.len);
		err = store_remove(t, TABLE_KEY, row_key_text(&key));
		if (err)
			return err;
	}
	return err == ERR_NOT_FOUND ? ERR_OK : err;
}

static enum err count_keys_anew(struct store_txn *t, struct buf *b)
{
	struct row_key at = { .len = 0 }; /* the delivery key being counted */
	struct store_row row;
	uint64_t count = 0;
	enum err err = remove_all_keys(t);

	if (!err)
		err = store_seek(t, TABLE_DUE, TEXT_EMPTY, &row);
	for (; !err; err = store_next(t, TABLE_DUE, &row)) {
		struct text key;
		struct id id;
		int64_t due_time;
		uint32_t n;

		if (!due_key_read(row.key, &key, &due_time, &id, &n))
			continue;
		if (!text_eq(key, row_key_text(&at))) {
			if (count > 0)
				err = put_count(t, b, row_key_text(&at), count);
			if (err)
				return err;
			memcpy(at.bytes, key.at, key.len);
			at.len = key.len;
			count = 0;
		}
		count++;
	}
	if (err != ERR_NOT_FOUND)
		return err;
	return count > 0 ? put_count(t, b, row_key_text(&at), count) : ERR_OK;
}

enum err keys_mend(struct store_txn *t)
{
	bool good;
	struct buf b = BUF(1024);
	enum err err = keys_add_up(t, &good);

	if (!err && !good)
		err = count_keys_anew(t, &b);
	buf_fini(&b);
	return err;
}

enum err queue_each_key(struct queue *q, queue_key_fn *each, void *owner)
{
	AUTO(store_abort) struct store_txn *t = NULL;
	struct store_row row, first;
	enum err err = store_begin(q->shared.store, false, &t);

	if (err)
		return err;
	for (err = store_seek(t, TABLE_KEY, TEXT_EMPTY, &row); !err; err = store_next(t, TABLE_KEY, &row)) {
		uint64_t count;
		int64_t due_time;
		struct row_key from;
		struct text key;
		struct id id;
		uint32_t n;

		if (!delivery_key_is_good(row.key) || count_decode(row.key, row.value, &count))
			continue;
		due_key_first(&from, row.key);
		if (store_seek(t, TABLE_DUE, row_key_text(&from), &first) == ERR_OK &&
		    due_key_read(first.key, &key, &due_time, &id, &n) && text_eq(key, row.key))
			each(owner, key, count, due_time);
	}
	return err == ERR_NOT_FOUND ? ERR_OK : err;
}
