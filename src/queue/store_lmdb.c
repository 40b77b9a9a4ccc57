/* The ordered store on LMDB, in its safest form: the default sync, no WRITEMAP (a full disk would be a
 * SIGBUS), no duplicate keys (0.9.24 has faults there), no nested transactions. MDB_NOTLS: a reader slot
 * belongs to its transaction, so that any thread of a lane may read. */
#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define SMALLEST_MAP_BYTES (UINT64_C(16) << 20)
#define MAP_UNIT_BYTES (UINT64_C(1) << 20)
#define FREE_TABLE 0 /* LMDB's own table of free pages: transaction number -> count and page numbers */
#define MAIN_TABLE 1 /* LMDB's own table of tables */

struct lmdb_store {
	struct store base;
	MDB_env *env;
	MDB_dbi tables[STORE_TABLES_MAX];
	unsigned table_count;
	uint64_t page_bytes, map_bytes;
	int lock; /* of the directory; -1: not held */
	bool read_only;
};

struct lmdb_txn {
	struct store_txn base;
	MDB_txn *txn;
	MDB_cursor *cursors[STORE_TABLES_MAX]; /* opened when first needed */
};

static enum err err_from_lmdb(int rc)
{
	switch (rc) {
	case MDB_SUCCESS:
		return ERR_OK;
	case MDB_NOTFOUND:
		return ERR_NOT_FOUND;
	case MDB_KEYEXIST:
		return ERR_EXISTS;
	case MDB_MAP_FULL:
	case MDB_TXN_FULL:
		return ERR_FULL;
	case MDB_READERS_FULL:
		return ERR_BUSY;
	case MDB_VERSION_MISMATCH:
		return ERR_UNSUPPORTED;
	case MDB_CORRUPTED:
	case MDB_PAGE_NOTFOUND:
	case MDB_INVALID:
	case MDB_INCOMPATIBLE:
		return ERR_DAMAGED;
	case MDB_BAD_VALSIZE:
		return ERR_TOO_BIG;
	default:
		/* Negative ones that are left (MDB_PANIC and its like) are of an environment that failed. */
		return rc > 0 ? err_from_errno(rc) : ERR_IO;
	}
}

static MDB_val value_of(struct text t)
{
	return (MDB_val){ t.len, (void *)t.at };
}

static struct text text_of_value(MDB_val v)
{
	return (struct text){ v.mv_data, v.mv_size };
}

static struct lmdb_store *store_of(const struct store *s)
{
	return CONTAINER_OF((struct store *)s, struct lmdb_store, base);
}

static struct lmdb_txn *txn_of(struct store_txn *t)
{
	return CONTAINER_OF(t, struct lmdb_txn, base);
}

/* ---------------------------------------------------------------- transactions */

static enum err lmdb_begin(struct store *base, bool write, struct store_txn **out)
{
	struct lmdb_store *s = store_of(base);
	struct lmdb_txn *t = calloc(1, sizeof(*t));

	if (!t)
		return ERR_NOMEM;
	int rc = mdb_txn_begin(s->env, NULL, write ? 0 : MDB_RDONLY, &t->txn);

	if (rc) {
		free(t);
		return err_from_lmdb(rc);
	}
	t->base.store = base;
	*out = &t->base;
	return ERR_OK;
}

static void close_cursors(struct lmdb_txn *t)
{
	for (unsigned i = 0; i < STORE_TABLES_MAX; i++) {
		if (t->cursors[i])
			mdb_cursor_close(t->cursors[i]);
		t->cursors[i] = NULL;
	}
}

static enum err lmdb_commit(struct store_txn **base)
{
	struct lmdb_txn *t = txn_of(*base);

	close_cursors(t);
	int rc = mdb_txn_commit(t->txn);

	free(t);
	*base = NULL;
	return err_from_lmdb(rc);
}

static void lmdb_abort(struct store_txn **base)
{
	struct lmdb_txn *t = txn_of(*base);

	close_cursors(t);
	mdb_txn_abort(t->txn);
	free(t);
	*base = NULL;
}

static enum err lmdb_get(struct store_txn *base, unsigned table, struct text key, struct text *value)
{
	struct lmdb_txn *t = txn_of(base);
	MDB_val k = value_of(key), v;
	int rc = mdb_get(t->txn, store_of(base->store)->tables[table], &k, &v);

	if (rc)
		return err_from_lmdb(rc);
	*value = text_of_value(v);
	return ERR_OK;
}

static enum err lmdb_put(struct store_txn *base, unsigned table, struct text key, size_t len, unsigned how,
                         char **room)
{
	struct lmdb_txn *t = txn_of(base);
	MDB_val k = value_of(key), v = { len, NULL };
	unsigned flags = MDB_RESERVE;

	if (how & STORE_NEW)
		flags |= MDB_NOOVERWRITE;
	if (how & STORE_APPEND)
		flags |= MDB_APPEND;
	int rc = mdb_put(t->txn, store_of(base->store)->tables[table], &k, &v, flags);

	if (rc)
		return err_from_lmdb(rc);
	*room = v.mv_data;
	return ERR_OK;
}

static enum err lmdb_remove(struct store_txn *base, unsigned table, struct text key)
{
	struct lmdb_txn *t = txn_of(base);
	MDB_val k = value_of(key);

	return err_from_lmdb(mdb_del(t->txn, store_of(base->store)->tables[table], &k, NULL));
}

static enum err move_cursor(struct store_txn *base, unsigned table, MDB_val key, MDB_cursor_op op,
                            struct store_row *row)
{
	struct lmdb_txn *t = txn_of(base);
	MDB_val value;
	int rc = 0;

	if (!t->cursors[table])
		rc = mdb_cursor_open(t->txn, store_of(base->store)->tables[table], &t->cursors[table]);
	if (!rc)
		rc = mdb_cursor_get(t->cursors[table], &key, &value, op);
	if (rc)
		return err_from_lmdb(rc);
	row->key = text_of_value(key);
	row->value = text_of_value(value);
	return ERR_OK;
}

static enum err lmdb_seek(struct store_txn *base, unsigned table, struct text key, struct store_row *row)
{
	return move_cursor(base, table, value_of(key), key.len ? MDB_SET_RANGE : MDB_FIRST, row);
}

static enum err lmdb_next(struct store_txn *base, unsigned table, struct store_row *row)
{
	return move_cursor(base, table, (MDB_val){ 0, NULL }, MDB_NEXT, row);
}

static enum err lmdb_last(struct store_txn *base, unsigned table, struct store_row *row)
{
	return move_cursor(base, table, (MDB_val){ 0, NULL }, MDB_LAST, row);
}

static uint64_t pages_of(MDB_txn *txn, MDB_dbi table, uint64_t *rows)
{
	MDB_stat stat;

	if (mdb_stat(txn, table, &stat))
		return 0;
	if (rows)
		*rows = stat.ms_entries;
	return (uint64_t)stat.ms_branch_pages + stat.ms_leaf_pages + stat.ms_overflow_pages;
}

static void lmdb_usage(struct store_txn *base, struct store_usage *out)
{
	struct lmdb_txn *t = txn_of(base);
	struct lmdb_store *s = store_of(base->store);
	uint64_t pages = 2; /* the two meta pages */
	MDB_envinfo info;

	*out = (struct store_usage){ 0 };
	pages += pages_of(t->txn, FREE_TABLE, NULL) + pages_of(t->txn, MAIN_TABLE, NULL);
	for (unsigned i = 0; i < s->table_count; i++)
		pages += pages_of(t->txn, s->tables[i], &out->rows[i]);
	mdb_env_info(s->env, &info);
	out->used_bytes = pages * s->page_bytes;
	out->file_bytes = ((uint64_t)info.me_last_pgno + 1) * s->page_bytes;
}

static uint64_t lmdb_limit_bytes(const struct store *base)
{
	return store_of(base)->map_bytes;
}

static void lmdb_close(struct store **base)
{
	struct lmdb_store *s = store_of(*base);

	if (s->env)
		mdb_env_close(s->env);
	if (s->lock >= 0)
		close(s->lock);
	free(s);
	*base = NULL;
}

static const struct store_ops lmdb_ops = {
	.begin = lmdb_begin,
	.get = lmdb_get,
	.put = lmdb_put,
	.remove = lmdb_remove,
	.seek = lmdb_seek,
	.next = lmdb_next,
	.last = lmdb_last,
	.usage = lmdb_usage,
	.commit = lmdb_commit,
	.abort = lmdb_abort,
	.limit_bytes = lmdb_limit_bytes,
	.close = lmdb_close,
};

/* ---------------------------------------------------------------- opening */

static enum err complain(const struct store_options *o, enum err err, const char *path, const char *what)
{
	if (o->problem)
		buf_add_format(o->problem, "%s: %s", path, what);
	return err;
}

/* One owner: an advisory lock that the kernel drops with the process. */
static enum err lock_directory(struct lmdb_store *s, const char *path, const struct store_options *o)
{
	char file[4096];

	if (snprintf(file, sizeof(file), "%s/owner.lock", path) >= (int)sizeof(file))
		return complain(o, ERR_TOO_BIG, path, "the path is too long");
	s->lock = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (s->lock < 0)
		return complain(o, err_from_errno(errno), file, strerror(errno));
	if (flock(s->lock, LOCK_EX | LOCK_NB) == 0)
		return ERR_OK;
	if (errno == EWOULDBLOCK)
		return complain(o, ERR_BUSY, path, "another process has this spool");
	return complain(o, err_from_errno(errno), file, strerror(errno));
}

/* LMDB knows its map's size when it is opened; address space may be short (limits, 32 bits), so ask for less
 * and less. */
static enum err open_environment(struct lmdb_store *s, const char *path, const struct store_options *o)
{
	unsigned flags = MDB_NOTLS;
	uint64_t wanted = MAX(o->max_bytes, SMALLEST_MAP_BYTES);

	if (o->sync == STORE_SYNC_LATE)
		flags |= MDB_NOMETASYNC;
	else if (o->sync == STORE_SYNC_NEVER)
		flags |= MDB_NOSYNC;
	if (o->read_only)
		flags |= MDB_RDONLY;
	wanted = (wanted + MAP_UNIT_BYTES - 1) / MAP_UNIT_BYTES * MAP_UNIT_BYTES;
	for (;;) {
		int rc = mdb_env_create(&s->env);

		if (!rc)
			rc = mdb_env_set_maxdbs(s->env, o->table_count);
		/* A reader takes the size that the writer has noted in the file. */
		if (!rc && !o->read_only)
			rc = wanted > SIZE_MAX ? ENOMEM : mdb_env_set_mapsize(s->env, (size_t)wanted);
		if (!rc)
			rc = mdb_env_open(s->env, path, flags, 0600);
		if (!rc)
			return ERR_OK;
		mdb_env_close(s->env);
		s->env = NULL;
		if ((rc != ENOMEM && rc != EFBIG && rc != EINVAL) || wanted <= SMALLEST_MAP_BYTES ||
		    o->read_only)
			return complain(o, err_from_lmdb(rc), path, mdb_strerror(rc));
		wanted = MAX(wanted / 2 / MAP_UNIT_BYTES * MAP_UNIT_BYTES, SMALLEST_MAP_BYTES);
	}
}

/* Whether every page from `first` on is free. LMDB does not write a page that was taken and given back within
 * one transaction, so a sound file may end before its last page. */
static enum err check_pages_are_free(MDB_txn *txn, uint64_t first, uint64_t last)
{
	MDB_cursor *cursor;
	MDB_val key, value;
	uint64_t found = 0;
	int rc = mdb_cursor_open(txn, FREE_TABLE, &cursor);

	if (rc)
		return err_from_lmdb(rc);
	while ((rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
		size_t count, page;

		if (value.mv_size < sizeof(count))
			break;
		memcpy(&count, value.mv_data, sizeof(count));
		for (size_t i = 1; i <= count && (i + 1) * sizeof(page) <= value.mv_size; i++) {
			memcpy(&page, (char *)value.mv_data + i * sizeof(page), sizeof(page));
			if (page >= first && page <= last)
				found++;
		}
	}
	mdb_cursor_close(cursor);
	if (rc && rc != MDB_NOTFOUND)
		return err_from_lmdb(rc);
	return found == last - first + 1 ? ERR_OK : ERR_DAMAGED;
}

/* A file that lost its end would be a SIGBUS in the middle of some later read. */
static enum err check_file_size(struct lmdb_store *s, const char *path, const struct store_options *o)
{
	MDB_envinfo info;
	struct stat stat;
	int fd;
	AUTO(store_abort) struct store_txn *t = NULL;

	mdb_env_info(s->env, &info);
	if (mdb_env_get_fd(s->env, &fd) || fstat(fd, &stat))
		return complain(o, ERR_IO, path, "the size of data.mdb is not to be had");
	uint64_t pages = (uint64_t)stat.st_size / s->page_bytes, wanted = (uint64_t)info.me_last_pgno + 1;

	if (pages >= wanted)
		return ERR_OK;
	/* Reading past the end is the fault itself: make it longer first, and as it was if it turns out
	 * damaged. */
	if (s->read_only || ftruncate(fd, (off_t)(wanted * s->page_bytes)))
		return complain(o, ERR_DAMAGED, path, "data.mdb is shorter than its own tree says");
	enum err err = lmdb_begin(&s->base, false, &t);

	if (!err)
		err = check_pages_are_free(txn_of(t)->txn, pages, wanted - 1);
	if (err && ftruncate(fd, stat.st_size))
		return complain(o, ERR_IO, path,
		                "data.mdb is shorter than its own tree says, and cannot be changed");
	return err ? complain(o, err, path, "data.mdb is shorter than its own tree says") : ERR_OK;
}

static enum err open_tables(struct lmdb_store *s, const struct store_options *o)
{
	struct store_txn *t = NULL;
	enum err err = lmdb_begin(&s->base, !o->read_only, &t);

	if (err)
		return err;
	for (unsigned i = 0; i < o->table_count && !err; i++)
		err = err_from_lmdb(mdb_dbi_open(txn_of(t)->txn, o->tables[i], o->read_only ? 0 : MDB_CREATE,
		                                 &s->tables[i]));
	s->table_count = o->table_count;
	/* A read transaction too must be committed for its table handles to stay. */
	if (!err)
		return lmdb_commit(&t);
	lmdb_abort(&t);
	return err;
}

static enum err open_all(struct lmdb_store *s, const char *path, const struct store_options *o)
{
	MDB_stat stat;
	MDB_envinfo info;
	int dead;
	enum err err = ERR_OK;

	if (!o->read_only && mkdir(path, 0700) && errno != EEXIST)
		return complain(o, err_from_errno(errno), path, strerror(errno));
	if (!o->read_only)
		err = lock_directory(s, path, o);
	if (!err)
		err = open_environment(s, path, o);
	if (err)
		return err;
	mdb_env_stat(s->env, &stat);
	mdb_env_info(s->env, &info);
	s->page_bytes = stat.ms_psize;
	s->map_bytes = info.me_mapsize;
	mdb_reader_check(s->env, &dead);
	err = check_file_size(s, path, o);
	if (err)
		return err;
	err = open_tables(s, o);
	return err ? complain(o, err, path, "its tables cannot be opened") : ERR_OK;
}

enum err store_lmdb_open(const char *path, const struct store_options *o, struct store **out)
{
	struct lmdb_store *s = calloc(1, sizeof(*s));

	if (!s)
		return ERR_NOMEM;
	s->base.ops = &lmdb_ops;
	s->lock = -1;
	s->read_only = o->read_only;
	enum err err = open_all(s, path, o);
	struct store *base = &s->base;

	if (err)
		lmdb_close(&base);
	else
		*out = base;
	return err;
}

enum err store_lmdb_put_aside(const char *path)
{
	char from[4096], to[4096];

	if (snprintf(from, sizeof(from), "%s/data.mdb", path) >= (int)sizeof(from) ||
	    snprintf(to, sizeof(to), "%s/data.mdb.damaged", path) >= (int)sizeof(to))
		return ERR_TOO_BIG;
	return rename(from, to) ? err_from_errno(errno) : ERR_OK;
}
