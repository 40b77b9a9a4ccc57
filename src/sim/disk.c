/* A disk in memory: what was not synced is lost at a crash, it fills up, and it fails on command. */
#include "internal.h"

#include <stdlib.h>

struct sim_node {
	struct list link;
	char *path;
	bool is_directory;
	bool entry_durable; /* its directory was synced since it was made */
	bool removed;       /* and its directory not yet synced since */
	struct sim_node *
		replaced; /* whose name it took, the directory not yet synced since: a crash leaves one of both */
	bool is_lost;     /* at a crash, certainly */
	unsigned open_count;
	struct buf data;    /* as the running system sees it */
	struct buf durable; /* as of the last sync */
	uint64_t allocated;
};

struct sim_disk {
	struct io_disk base;
	struct sim *sim;
	struct list nodes;
	unsigned generation; /* files opened before a crash are of no use after it */
	uint64_t fail_after;
	enum err fail_with;
};

struct sim_file {
	struct io_file base;
	struct sim_node *node;
	unsigned generation;
};

static struct sim_disk *disk_of(struct io_disk *d)
{
	return CONTAINER_OF(d, struct sim_disk, base);
}

static struct sim_file *file_of(struct io_file *f)
{
	return CONTAINER_OF(f, struct sim_file, base);
}

static struct sim_node *find(struct sim_disk *d, const char *path)
{
	for (LIST_EACH(it, &d->nodes)) {
		struct sim_node *n = LIST_ITEM(it, struct sim_node, link);

		if (!n->removed && strcmp(n->path, path) == 0)
			return n;
	}
	return NULL;
}

static struct sim_node *node_new(struct sim_disk *d, const char *path, bool is_directory)
{
	struct sim_node *n = sim_alloc(sizeof(*n));

	n->path = text_dup(text_from(path));
	if (!n->path)
		abort();
	n->is_directory = is_directory;
	n->data = BUF(SIZE_MAX);
	n->durable = BUF(SIZE_MAX);
	list_append(&d->nodes, &n->link);
	return n;
}

static void node_free(struct sim_node *n)
{
	list_remove(&n->link);
	buf_fini(&n->data);
	buf_fini(&n->durable);
	free(n->path);
	free(n);
}

static uint64_t used_bytes(const struct sim_disk *d)
{
	uint64_t used = 0;

	for (LIST_EACH(it, &d->nodes)) {
		const struct sim_node *n = LIST_ITEM(it, const struct sim_node, link);

		used += MAX((uint64_t)n->data.len, n->allocated);
	}
	return used;
}

/* Counts a change; the disk may have been told to fail from some change on. */
static enum err next_failure(struct sim_disk *d)
{
	if (!d->fail_with)
		return ERR_OK;
	if (d->fail_after > 0) {
		d->fail_after--;
		return ERR_OK;
	}
	return d->fail_with;
}

/* ---------------------------------------------------------------- files */

static enum err open_file(struct io_disk *base, const char *path, enum io_file_mode mode,
                          struct io_file **out)
{
	struct sim_disk *d = disk_of(base);
	struct sim_node *n = find(d, path);
	struct sim_file *f;
	enum err err;

	if (mode == IO_FILE_CREATE && n)
		return ERR_EXISTS;
	if (mode != IO_FILE_CREATE && !n)
		return ERR_NOT_FOUND;
	if (mode == IO_FILE_CREATE) {
		err = next_failure(d);
		if (err)
			return err;
		n = node_new(d, path, false);
	}
	f = sim_alloc(sizeof(*f));
	f->base.disk = base;
	f->node = n;
	f->generation = d->generation;
	n->open_count++;
	*out = &f->base;
	return ERR_OK;
}

static bool is_stale(const struct sim_file *f)
{
	return f->generation != disk_of(f->base.disk)->generation;
}

static enum err read_at(struct io_file *base, uint64_t offset, void *bytes, size_t len, size_t *got)
{
	struct sim_file *f = file_of(base);

	if (is_stale(f))
		return ERR_IO;
	*got = offset >= f->node->data.len ? 0 : MIN(len, f->node->data.len - (size_t)offset);
	if (*got)
		memcpy(bytes, f->node->data.at + offset, *got);
	return ERR_OK;
}

static enum err grow(struct sim_disk *d, struct sim_node *n, uint64_t end)
{
	uint64_t have = MAX((uint64_t)n->data.len, n->allocated);
	size_t more;
	char *room;

	if (end > have && used_bytes(d) + (end - have) > d->sim->options.disk_bytes)
		return ERR_FULL;
	if (end <= n->data.len)
		return ERR_OK;
	more = (size_t)end - n->data.len;
	room = buf_reserve(&n->data, more);
	if (!room)
		abort();
	memset(room, 0, more);
	buf_grew(&n->data, more);
	return ERR_OK;
}

static enum err write_at(struct io_file *base, uint64_t offset, const void *bytes, size_t len)
{
	struct sim_file *f = file_of(base);
	struct sim_disk *d = disk_of(base->disk);
	enum err err = is_stale(f) ? ERR_IO : next_failure(d);

	if (!err)
		err = grow(d, f->node, offset + len);
	if (!err && len)
		memcpy(f->node->data.at + offset, bytes, len);
	return err;
}

static enum err sync_file(struct io_file *base)
{
	struct sim_file *f = file_of(base);
	enum err err = is_stale(f) ? ERR_IO : next_failure(disk_of(base->disk));

	if (err)
		return err;
	buf_reset(&f->node->durable);
	buf_add(&f->node->durable, buf_text(&f->node->data));
	return ERR_OK;
}

static enum err allocate(struct io_file *base, uint64_t bytes)
{
	struct sim_file *f = file_of(base);
	struct sim_disk *d = disk_of(base->disk);
	uint64_t have = MAX((uint64_t)f->node->data.len, f->node->allocated);

	if (is_stale(f))
		return ERR_IO;
	if (bytes > have && used_bytes(d) + (bytes - have) > d->sim->options.disk_bytes)
		return ERR_FULL;
	f->node->allocated = MAX(f->node->allocated, bytes);
	return ERR_OK;
}

static void close_file(struct io_file **slot)
{
	struct sim_file *f = *slot ? file_of(*slot) : NULL;

	*slot = NULL;
	if (!f)
		return;
	if (!is_stale(f) && --f->node->open_count == 0 && f->node->removed)
		buf_fini(&f->node->data);
	free(f);
}

/* ---------------------------------------------------------------- names */

static enum err file_size(struct io_disk *base, const char *path, uint64_t *bytes)
{
	struct sim_node *n = find(disk_of(base), path);

	if (!n)
		return ERR_NOT_FOUND;
	*bytes = n->data.len;
	return ERR_OK;
}

/* Whoever has it open reads on, as everywhere. */
static void take_away(struct sim_node *n)
{
	n->removed = true;
	n->allocated = 0;
	if (n->open_count == 0)
		buf_fini(&n->data);
}

static enum err remove_file(struct io_disk *base, const char *path)
{
	struct sim_disk *d = disk_of(base);
	struct sim_node *n = find(d, path);
	enum err err;

	if (!n)
		return ERR_NOT_FOUND;
	err = next_failure(d);
	if (err)
		return err;
	take_away(n);
	return ERR_OK;
}

/* Of several in a row the first counts: it is what is on disk. */
static void replace(struct sim_node *n, struct sim_node *old)
{
	n->replaced = old->replaced ? old->replaced : old;
	old->is_lost = old->replaced != NULL;
	old->replaced = NULL;
	take_away(old);
}

static enum err rename_file(struct io_disk *base, const char *from, const char *to)
{
	struct sim_disk *d = disk_of(base);
	struct sim_node *n = find(d, from), *old = find(d, to);
	enum err err = n ? next_failure(d) : ERR_NOT_FOUND;

	if (err || n == old)
		return err;
	free(n->path);
	n->path = text_dup(text_from(to));
	if (!n->path)
		abort();
	n->entry_durable = false;
	if (old)
		replace(n, old);
	return ERR_OK;
}

static struct text directory_of(const char *path)
{
	struct text t = text_from(path);

	return text_head(t, text_find_last_octet(t, '/'));
}

static enum err sync_directory(struct io_disk *base, const char *path)
{
	struct sim_disk *d = disk_of(base);
	enum err err = next_failure(d);

	if (err)
		return err;
	for (LIST_EACH_SAFE(it, &d->nodes)) {
		struct sim_node *n = LIST_ITEM(it, struct sim_node, link);

		if (!text_eq(directory_of(n->path), text_from(path)))
			continue;
		n->entry_durable = true;
		n->replaced = NULL; /* which goes in this same round, or when it is closed */
		if (n->removed && n->open_count == 0)
			node_free(n);
	}
	return ERR_OK;
}

static enum err make_directory(struct io_disk *base, const char *path)
{
	struct sim_disk *d = disk_of(base);

	if (!find(d, path))
		node_new(d, path, true)->entry_durable = true;
	return ERR_OK;
}

static enum err list_directory(struct io_disk *base, const char *path, io_disk_name_fn *each, void *owner)
{
	struct sim_disk *d = disk_of(base);

	for (LIST_EACH_SAFE(it, &d->nodes)) {
		struct sim_node *n = LIST_ITEM(it, struct sim_node, link);
		struct text whole = text_from(n->path), directory = directory_of(n->path);

		if (!n->removed && text_eq(directory, text_from(path)))
			each(owner, text_skip(whole, directory.len + 1));
	}
	return ERR_OK;
}

static enum err free_bytes(struct io_disk *base, const char *path, uint64_t *bytes)
{
	struct sim_disk *d = disk_of(base);
	uint64_t used = used_bytes(d);

	(void)path;
	*bytes = used >= d->sim->options.disk_bytes ? 0 : d->sim->options.disk_bytes - used;
	return ERR_OK;
}

static const struct io_disk_ops disk_ops = {
	.open = open_file,
	.read_at = read_at,
	.write_at = write_at,
	.sync = sync_file,
	.allocate = allocate,
	.close = close_file,
	.size = file_size,
	.remove = remove_file,
	.rename = rename_file,
	.sync_directory = sync_directory,
	.make_directory = make_directory,
	.list = list_directory,
	.free_bytes = free_bytes,
};

/* ---------------------------------------------------------------- life and faults */

struct io_disk *sim_disk_new(struct sim *s)
{
	struct sim_disk *d = sim_alloc(sizeof(*d));

	d->base.ops = &disk_ops;
	d->sim = s;
	list_init(&d->nodes);
	return &d->base;
}

void sim_disk_free(struct io_disk *base)
{
	struct sim_disk *d = disk_of(base);

	for (LIST_EACH_SAFE(it, &d->nodes))
		node_free(LIST_ITEM(it, struct sim_node, link));
	free(d);
}

/* One file after the cut: a name that was not synced may be there or not, a removal likewise; octets that were not synced
 * are there in part, or not at all. */
static void lose_power(struct sim_disk *d, struct sim_node *n)
{
	struct random *random = &d->sim->random;
	size_t unsynced, kept;

	if (n->is_directory)
		return;
	if (n->is_lost) {
		node_free(n);
		return;
	}
	if (n->removed ? random_below(random, 2) : !n->entry_durable && random_below(random, 2)) {
		node_free(n);
		return;
	}
	unsynced = n->data.len > n->durable.len ? n->data.len - n->durable.len : 0;
	kept = unsynced ? random_below(random, unsynced + 1) : 0;
	if (!n->removed && kept)
		buf_add_bytes(&n->durable, n->data.at + n->durable.len, kept);
	buf_reset(&n->data);
	buf_add(&n->data, buf_text(&n->durable));
	n->removed = false;
	n->entry_durable = true;
	n->open_count = 0;
	n->allocated = 0;
}

/* Of what took a name and what had it. */
static void choose_one(struct sim_disk *d, struct sim_node *n)
{
	struct sim_node *old = TAKE(n->replaced);

	if (!old)
		return;
	bool is_new = random_below(&d->sim->random, 2);

	(is_new ? old : n)->is_lost = true;
	(is_new ? n : old)->entry_durable = true;
	old->removed = false;
}

void sim_disk_crash(struct sim *s)
{
	struct sim_disk *d = disk_of(s->disk);

	d->generation++;
	for (LIST_EACH(it, &d->nodes))
		choose_one(d, LIST_ITEM(it, struct sim_node, link));
	for (LIST_EACH_SAFE(it, &d->nodes))
		lose_power(d, LIST_ITEM(it, struct sim_node, link));
}

void sim_disk_set_size(struct sim *s, uint64_t bytes)
{
	s->options.disk_bytes = bytes;
}

void sim_disk_fail_after(struct sim *s, uint64_t count, enum err err)
{
	struct sim_disk *d = disk_of(s->disk);

	d->fail_after = count;
	d->fail_with = err;
}
