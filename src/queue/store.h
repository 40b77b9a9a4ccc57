/* queue/store.h - an ordered store under the queue: tables of rows sorted by the octets of their keys,
 * changed in transactions. Two implementations: LMDB (store_lmdb.c), and a model in memory that can crash,
 * fill up and fail (store_memory.c).
 *
 * One write transaction at a time, any number of readers beside it, each seeing the store as it was when it
 * began. A transaction is used by one thread and never outlives the function that began it. */
#ifndef POSTRIDER_QUEUE_STORE_H
#define POSTRIDER_QUEUE_STORE_H

#include <postrider/base/auto.h>
#include <postrider/base/buf.h>
#include <postrider/io/disk.h>

#define STORE_TABLES_MAX 8
#define STORE_KEY_MAX_BYTES 511 /* LMDB's */

struct store;
struct store_txn;

struct store_row {
	struct text key, value; /* lasts until the next change in the transaction, or its end */
};

struct store_usage {
	uint64_t used_bytes; /* pages in use */
	uint64_t file_bytes; /* what the file has taken from the disk; pages not in use are used again */
	uint64_t rows[STORE_TABLES_MAX];
};

/* How a row is put. */
#define STORE_PUT 0u        /* new, or in place of the old one */
#define STORE_NEW BIT(0)    /* ERR_EXISTS when there is one */
#define STORE_APPEND BIT(1) /* the caller knows that the key is above all others: fills pages better */

struct store_ops {
	enum err (*begin)(struct store *s, bool write, struct store_txn **out);
	enum err (*get)(struct store_txn *t, unsigned table, struct text key, struct text *value);
	/* *room: where the caller writes the value's `len` octets before its next call. */
	enum err (*put)(struct store_txn *t, unsigned table, struct text key, size_t len, unsigned how,
	                char **room);
	enum err (*remove)(struct store_txn *t, unsigned table, struct text key);
	enum err (*seek)(struct store_txn *t, unsigned table, struct text key, struct store_row *row);
	enum err (*next)(struct store_txn *t, unsigned table, struct store_row *row);
	enum err (*last)(struct store_txn *t, unsigned table, struct store_row *row);
	void (*usage)(struct store_txn *t, struct store_usage *out);
	enum err (*commit)(struct store_txn **t);
	void (*abort)(struct store_txn **t);
	uint64_t (*limit_bytes)(const struct store *s);
	void (*close)(struct store **s);
};

struct store {
	const struct store_ops *ops;
};

struct store_txn {
	struct store *store;
};

enum store_sync {
	STORE_SYNC,       /* a commit is on disk when it returns */
	STORE_SYNC_LATE,  /* whole after any stop, but the last commit may be missing */
	STORE_SYNC_NEVER, /* nothing is synced */
};

struct store_options {
	const char *const *tables; /* their names; a table's number is its place here */
	unsigned table_count;
	uint64_t max_bytes; /* the map: address space, not disk */
	enum store_sync sync;
	bool read_only;      /* beside a running daemon; nothing is made that is not there */
	struct buf *problem; /* for people, when opening fails; may be NULL */
};

/* A directory of its own, made if it is not there. ERR_DAMAGED: not ours, or shorter than its own tree says.
 * ERR_NOT_FOUND: read_only, and there is nothing. */
MUST_USE enum err store_lmdb_open(const char *path, const struct store_options *o, struct store **out);
/* Moves the files of a damaged store out of the way, to be looked at: data.mdb becomes data.mdb.damaged. */
MUST_USE enum err store_lmdb_put_aside(const char *path);

/* Short names; errors as the members say. */

/* ERR_BUSY: no reader slot is free. ERR_IO: the store failed before and takes nothing any more. */
MUST_USE static inline enum err store_begin(struct store *s, bool write, struct store_txn **out)
{
	return s->ops->begin(s, write, out);
}

/* ERR_NOT_FOUND. */
MUST_USE static inline enum err store_get(struct store_txn *t, unsigned table, struct text key,
                                          struct text *value)
{
	return t->store->ops->get(t, table, key, value);
}

/* ERR_FULL: the map or the transaction is; the transaction can only be aborted then. ERR_EXISTS with
 * STORE_NEW. */
MUST_USE static inline enum err store_reserve(struct store_txn *t, unsigned table, struct text key,
                                              size_t len, unsigned how, char **room)
{
	return t->store->ops->put(t, table, key, len, how, room);
}

MUST_USE static inline enum err store_put(struct store_txn *t, unsigned table, struct text key,
                                          struct text value, unsigned how)
{
	char *room;
	enum err err = t->store->ops->put(t, table, key, value.len, how, &room);

	if (!err && value.len > 0)
		memcpy(room, value.at, value.len);
	return err;
}

/* ERR_NOT_FOUND: nothing changed. */
MUST_USE static inline enum err store_remove(struct store_txn *t, unsigned table, struct text key)
{
	return t->store->ops->remove(t, table, key);
}

/* The first row whose key is not below `key` (empty: the first of all). ERR_NOT_FOUND. One walk at a time in
 * a table. */
MUST_USE static inline enum err store_seek(struct store_txn *t, unsigned table, struct text key,
                                           struct store_row *row)
{
	return t->store->ops->seek(t, table, key, row);
}

/* The row behind the one that the last seek or next in this table gave, which must still be there and the
 * table unchanged since. ERR_NOT_FOUND at the end. */
MUST_USE static inline enum err store_next(struct store_txn *t, unsigned table, struct store_row *row)
{
	return t->store->ops->next(t, table, row);
}

MUST_USE static inline enum err store_last(struct store_txn *t, unsigned table, struct store_row *row)
{
	return t->store->ops->last(t, table, row);
}

/* Also counts what this transaction changed. */
static inline void store_usage(struct store_txn *t, struct store_usage *out)
{
	t->store->ops->usage(t, out);
}

/* Ends the transaction whatever comes out; *t is NULL afterwards. ERR_FULL, ERR_IO: nothing of it is in the
 * store. */
MUST_USE static inline enum err store_commit(struct store_txn **t)
{
	return (*t)->store->ops->commit(t);
}

static inline void store_abort(struct store_txn **t) /* NULL is fine; for AUTO */
{
	if (*t)
		(*t)->store->ops->abort(t);
}

/* How much address space could be had: the pages in use never pass it. */
static inline uint64_t store_limit_bytes(const struct store *s)
{
	return s->ops->limit_bytes(s);
}

static inline void store_close(struct store **s) /* no transaction may be open; NULL is fine */
{
	if (*s)
		(*s)->ops->close(s);
}

#endif
