/* The ordered store as a model in memory: each table a treap whose nodes never change once they are
 * committed. A transaction copies the path to what it changes, so readers keep the version they began with,
 * abort is forgetting, and a crash is going back to an older root. */
#include "store_memory.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define PAGE_BYTES 4096
#define ROW_OVERHEAD_BYTES 24 /* about LMDB's node header and index entry, for charging */
#define FILE_PATH_MAX_BYTES 2048

struct blob {
	unsigned references;
	size_t len;
	char bytes[];
};

struct node {
	unsigned references;
	uint64_t made_by; /* the transaction that may still change it */
	uint64_t priority;
	struct node *left, *right;
	struct blob *value;
	size_t key_len;
	char key[];
};

struct tree {
	struct node *root;
	uint64_t rows, bytes;
};

struct version {
	struct tree tables[STORE_TABLES_MAX];
};

struct queue_memory {
	pthread_mutex_t mutex; /* of all below */
	struct version current, durable;
	uint64_t next_txn;
	bool power_off, open, charge_disk;
	enum err fail_err;
	unsigned fail_after;
	uint64_t file_bytes; /* what is charged */
};

struct memory_store {
	struct store base;
	struct queue_memory *memory;
	bool owns_memory;
	pthread_mutex_t writing;
	uint64_t limit_bytes;
	struct io_disk *disk;
	char file[FILE_PATH_MAX_BYTES];
};

struct memory_txn {
	struct store_txn base;
	bool write;
	uint64_t number;
	struct version version;
	uint64_t changed_bytes;          /* pages it would copy */
	struct buf at[STORE_TABLES_MAX]; /* key of the row the walk in this table gave last */
};

static struct memory_store *store_of(const struct store *s)
{
	return CONTAINER_OF((struct store *)s, struct memory_store, base);
}

static struct memory_txn *txn_of(struct store_txn *t)
{
	return CONTAINER_OF(t, struct memory_txn, base);
}

/* ---------------------------------------------------------------- references */

static void blob_unref(struct blob *b)
{
	if (b && __atomic_sub_fetch(&b->references, 1, __ATOMIC_ACQ_REL) == 0)
		free(b);
}

static struct node *node_ref(struct node *n)
{
	if (n)
		__atomic_add_fetch(&n->references, 1, __ATOMIC_RELAXED);
	return n;
}

static void node_unref(struct node *n)
{
	if (!n || __atomic_sub_fetch(&n->references, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	node_unref(n->left);
	node_unref(n->right);
	blob_unref(n->value);
	free(n);
}

static struct version version_ref(const struct version *v)
{
	for (unsigned i = 0; i < STORE_TABLES_MAX; i++)
		node_ref(v->tables[i].root);
	return *v;
}

static void version_unref(struct version *v)
{
	for (unsigned i = 0; i < STORE_TABLES_MAX; i++)
		node_unref(v->tables[i].root);
	*v = (struct version){ 0 };
}

/* ---------------------------------------------------------------- the tree */

static struct text key_of(const struct node *n)
{
	return text_of(n->key, n->key_len);
}

static struct text value_of(const struct node *n)
{
	return text_of(n->value->bytes, n->value->len);
}

static uint64_t mix(uint64_t x)
{
	x ^= x >> 31;
	x *= UINT64_C(0x9e3779b97f4a7c15);
	return x ^ x >> 29;
}

static struct node *node_new(uint64_t made_by, struct text key, struct blob *value)
{
	struct node *n = malloc(sizeof(*n) + key.len);

	if (!n)
		return NULL;
	*n = (struct node){
		.references = 1,
		.made_by = made_by,
		.priority = mix(text_hash(key)),
		.value = value,
		.key_len = key.len,
	};
	memcpy(n->key, key.at, key.len);
	return n;
}

/* Makes the node at *place one that this transaction may change. */
static bool own(struct memory_txn *t, struct node **place)
{
	struct node *old = *place;

	if (old->made_by == t->number)
		return true;
	struct node *copy = node_new(t->number, key_of(old), old->value);

	if (!copy)
		return false;
	__atomic_add_fetch(&old->value->references, 1, __ATOMIC_RELAXED);
	copy->left = node_ref(old->left);
	copy->right = node_ref(old->right);
	*place = copy;
	node_unref(old);
	return true;
}

static void rotate_right(struct node **place)
{
	struct node *top = *place, *left = top->left;

	top->left = left->right;
	left->right = top;
	*place = left;
}

static void rotate_left(struct node **place)
{
	struct node *top = *place, *right = top->right;

	top->right = right->left;
	right->left = top;
	*place = right;
}

/* Puts value at key. All memory is taken on the way down, so that a failure leaves a sound tree. Takes value
 * over on success. */
static bool insert(struct memory_txn *t, struct node **place, struct text key, struct blob *value,
                   struct blob **old)
{
	if (!*place) {
		*place = node_new(t->number, key, value);
		return *place;
	}
	if (!own(t, place))
		return false;
	struct node *n = *place;
	int order = text_compare(key, key_of(n));

	if (order == 0) {
		*old = n->value;
		n->value = value;
		return true;
	}
	if (!insert(t, order < 0 ? &n->left : &n->right, key, value, old))
		return false;
	if (n->left && n->left->priority > n->priority)
		rotate_right(place);
	else if (n->right && n->right->priority > n->priority)
		rotate_left(place);
	return true;
}

/* Moves the node down until it has no children, and takes it out. */
static bool sink(struct memory_txn *t, struct node **place)
{
	struct node *n = *place;

	if (!n->left || !n->right) {
		*place = n->left ? n->left : n->right;
		n->left = n->right = NULL;
		node_unref(n);
		return true;
	}
	if (n->left->priority > n->right->priority) {
		if (!own(t, &n->left))
			return false;
		rotate_right(place);
		return sink(t, &(*place)->right);
	}
	if (!own(t, &n->right))
		return false;
	rotate_left(place);
	return sink(t, &(*place)->left);
}

static bool extract(struct memory_txn *t, struct node **place, struct text key)
{
	if (!own(t, place))
		return false;
	int order = text_compare(key, key_of(*place));

	if (order == 0)
		return sink(t, place);
	return extract(t, order < 0 ? &(*place)->left : &(*place)->right, key);
}

static struct node *find(struct node *n, struct text key)
{
	while (n) {
		int order = text_compare(key, key_of(n));

		if (order == 0)
			return n;
		n = order < 0 ? n->left : n->right;
	}
	return NULL;
}

/* The first whose key is above `key`, or not below it. */
static struct node *find_behind(struct node *n, struct text key, bool equal_too)
{
	struct node *best = NULL;

	while (n) {
		int order = text_compare(key, key_of(n));

		if (order < 0 || (order == 0 && equal_too)) {
			best = n;
			n = n->left;
		} else {
			n = n->right;
		}
	}
	return best;
}

/* ---------------------------------------------------------------- transactions */

static enum err memory_begin(struct store *base, bool write, struct store_txn **out)
{
	struct memory_store *s = store_of(base);
	struct memory_txn *t = calloc(1, sizeof(*t));

	if (!t)
		return ERR_NOMEM;
	if (write)
		pthread_mutex_lock(&s->writing);
	t->base.store = base;
	t->write = write;
	for (unsigned i = 0; i < STORE_TABLES_MAX; i++)
		buf_init(&t->at[i], STORE_KEY_MAX_BYTES);
	pthread_mutex_lock(&s->memory->mutex);
	t->number = ++s->memory->next_txn;
	t->version = version_ref(&s->memory->current);
	pthread_mutex_unlock(&s->memory->mutex);
	*out = &t->base;
	return ERR_OK;
}

static void memory_abort(struct store_txn **base)
{
	struct memory_txn *t = txn_of(*base);
	struct memory_store *s = store_of(t->base.store);

	version_unref(&t->version);
	for (unsigned i = 0; i < STORE_TABLES_MAX; i++)
		buf_fini(&t->at[i]);
	if (t->write)
		pthread_mutex_unlock(&s->writing);
	free(t);
	*base = NULL;
}

static uint64_t bytes_of(const struct version *v)
{
	uint64_t bytes = 0;

	for (unsigned i = 0; i < STORE_TABLES_MAX; i++)
		bytes += v->tables[i].bytes;
	return bytes;
}

static uint64_t pages_bytes(uint64_t bytes)
{
	return (bytes + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
}

/* The file grows to hold the old pages and the copies of those that change. */
static enum err charge(struct memory_store *s, const struct memory_txn *t)
{
	struct queue_memory *m = s->memory;
	uint64_t needed = pages_bytes(bytes_of(&m->current)) + pages_bytes(t->changed_bytes) + 8 * PAGE_BYTES;
	struct io_file *f = NULL;

	if (!m->charge_disk || needed <= m->file_bytes)
		return ERR_OK;
	if (s->disk->ops->open(s->disk, s->file, m->file_bytes ? IO_FILE_UPDATE : IO_FILE_CREATE, &f))
		return ERR_IO;
	enum err err = s->disk->ops->allocate(f, needed);

	s->disk->ops->close(&f);
	if (err)
		return ERR_IO;
	m->file_bytes = needed;
	return ERR_OK;
}

static enum err commit_locked(struct memory_store *s, struct memory_txn *t)
{
	struct queue_memory *m = s->memory;

	if (m->fail_err && m->fail_after == 0)
		return m->fail_err;
	enum err err = charge(s, t);

	if (err)
		return err;
	if (m->fail_err)
		m->fail_after--;
	struct version old = m->current;

	m->current = t->version;
	t->version = old;
	return ERR_OK;
}

static enum err memory_commit(struct store_txn **base)
{
	struct memory_txn *t = txn_of(*base);
	struct memory_store *s = store_of(t->base.store);
	enum err err = ERR_OK;

	if (t->write) {
		pthread_mutex_lock(&s->memory->mutex);
		err = commit_locked(s, t);
		pthread_mutex_unlock(&s->memory->mutex);
	}
	memory_abort(base);
	return err;
}

static enum err memory_get(struct store_txn *base, unsigned table, struct text key, struct text *value)
{
	struct node *n = find(txn_of(base)->version.tables[table].root, key);

	if (!n)
		return ERR_NOT_FOUND;
	*value = value_of(n);
	return ERR_OK;
}

static enum err memory_put(struct store_txn *base, unsigned table, struct text key, size_t len, unsigned how,
                           char **room)
{
	struct memory_txn *t = txn_of(base);
	struct tree *tree = &t->version.tables[table];
	struct blob *value, *old = NULL;

	if (key.len == 0 || key.len > STORE_KEY_MAX_BYTES)
		return ERR_TOO_BIG;
	if ((how & STORE_NEW) && find(tree->root, key))
		return ERR_EXISTS;
	if ((how & STORE_APPEND) && find_behind(tree->root, key, true))
		return ERR_EXISTS;
	value = malloc(sizeof(*value) + len);
	if (!value)
		return ERR_NOMEM;
	value->references = 1;
	value->len = len;
	if (!insert(t, &tree->root, key, value, &old)) {
		free(value);
		return ERR_NOMEM;
	}
	tree->rows += !old;
	tree->bytes += len + (old ? 0 : key.len + ROW_OVERHEAD_BYTES) - (old ? old->len : 0);
	t->changed_bytes += MAX(len + key.len + ROW_OVERHEAD_BYTES, 512);
	blob_unref(old);
	*room = value->bytes;
	return ERR_OK;
}

static enum err memory_remove(struct store_txn *base, unsigned table, struct text key)
{
	struct memory_txn *t = txn_of(base);
	struct tree *tree = &t->version.tables[table];
	struct node *n = find(tree->root, key);

	if (!n)
		return ERR_NOT_FOUND;
	size_t bytes = n->value->len + key.len + ROW_OVERHEAD_BYTES;

	if (!extract(t, &tree->root, key))
		return ERR_NOMEM;
	tree->rows--;
	tree->bytes -= bytes;
	t->changed_bytes += 512;
	return ERR_OK;
}

static enum err give(struct memory_txn *t, unsigned table, struct node *n, struct store_row *row)
{
	if (!n)
		return ERR_NOT_FOUND;
	buf_reset(&t->at[table]);
	buf_add(&t->at[table], key_of(n));
	row->key = key_of(n);
	row->value = value_of(n);
	return buf_err(&t->at[table]);
}

static enum err memory_seek(struct store_txn *base, unsigned table, struct text key, struct store_row *row)
{
	struct memory_txn *t = txn_of(base);

	return give(t, table, find_behind(t->version.tables[table].root, key, true), row);
}

static enum err memory_next(struct store_txn *base, unsigned table, struct store_row *row)
{
	struct memory_txn *t = txn_of(base);

	return give(t, table, find_behind(t->version.tables[table].root, buf_text(&t->at[table]), false),
	            row);
}

static enum err memory_last(struct store_txn *base, unsigned table, struct store_row *row)
{
	struct memory_txn *t = txn_of(base);
	struct node *n = t->version.tables[table].root;

	while (n && n->right)
		n = n->right;
	return give(t, table, n, row);
}

static void memory_usage(struct store_txn *base, struct store_usage *out)
{
	struct memory_txn *t = txn_of(base);
	struct queue_memory *m = store_of(base->store)->memory;

	*out = (struct store_usage){ .used_bytes = pages_bytes(bytes_of(&t->version)) };
	for (unsigned i = 0; i < STORE_TABLES_MAX; i++)
		out->rows[i] = t->version.tables[i].rows;
	pthread_mutex_lock(&m->mutex);
	out->file_bytes = MAX(m->file_bytes, out->used_bytes);
	pthread_mutex_unlock(&m->mutex);
}

static uint64_t memory_limit_bytes(const struct store *base)
{
	return store_of(base)->limit_bytes;
}

static void memory_close(struct store **base)
{
	struct memory_store *s = store_of(*base);
	struct queue_memory *m = s->memory;

	pthread_mutex_lock(&m->mutex);
	m->open = false;
	if (m->power_off) {
		m->power_off = false;
		version_unref(&m->current);
		m->current = m->durable;
		m->durable = (struct version){ 0 };
	}
	pthread_mutex_unlock(&m->mutex);
	if (s->owns_memory)
		queue_memory_free(&m);
	pthread_mutex_destroy(&s->writing);
	free(s);
	*base = NULL;
}

static const struct store_ops memory_ops = {
	.begin = memory_begin,
	.get = memory_get,
	.put = memory_put,
	.remove = memory_remove,
	.seek = memory_seek,
	.next = memory_next,
	.last = memory_last,
	.usage = memory_usage,
	.commit = memory_commit,
	.abort = memory_abort,
	.limit_bytes = memory_limit_bytes,
	.close = memory_close,
};

/* ---------------------------------------------------------------- opening, and what befalls it */

static bool take_for_one_store(struct queue_memory *m)
{
	pthread_mutex_lock(&m->mutex);
	bool was_open = m->open;

	m->open = true;
	pthread_mutex_unlock(&m->mutex);
	return !was_open;
}

enum err store_memory_open(struct queue_memory *memory, struct io_disk *disk, const char *path,
                           const struct store_options *o, struct store **out)
{
	struct memory_store *s = calloc(1, sizeof(*s));

	if (!s)
		return ERR_NOMEM;
	s->owns_memory = !memory;
	s->memory = memory ? memory : queue_memory_new();
	if (!s->memory) {
		free(s);
		return ERR_NOMEM;
	}
	if (!take_for_one_store(s->memory)) {
		free(s);
		return ERR_BUSY;
	}
	s->base.ops = &memory_ops;
	s->limit_bytes = o->max_bytes;
	s->disk = disk;
	snprintf(s->file, sizeof(s->file), "%s.memory", path);
	pthread_mutex_init(&s->writing, NULL);
	*out = &s->base;
	return ERR_OK;
}

struct queue_memory *queue_memory_new(void)
{
	struct queue_memory *m = calloc(1, sizeof(*m));

	if (m)
		pthread_mutex_init(&m->mutex, NULL);
	return m;
}

void queue_memory_free(struct queue_memory **m)
{
	if (!*m)
		return;
	version_unref(&(*m)->current);
	version_unref(&(*m)->durable);
	pthread_mutex_destroy(&(*m)->mutex);
	free(*m);
	*m = NULL;
}

void queue_memory_power_off(struct queue_memory *m)
{
	pthread_mutex_lock(&m->mutex);
	if (!m->power_off)
		m->durable = version_ref(&m->current);
	m->power_off = true;
	pthread_mutex_unlock(&m->mutex);
}

void queue_memory_fail_commits(struct queue_memory *m, enum err err, unsigned after)
{
	pthread_mutex_lock(&m->mutex);
	m->fail_err = err;
	m->fail_after = after;
	pthread_mutex_unlock(&m->mutex);
}

void queue_memory_charge_disk(struct queue_memory *m, bool on)
{
	pthread_mutex_lock(&m->mutex);
	m->charge_disk = on;
	pthread_mutex_unlock(&m->mutex);
}
