#include "support/fake_disk.h"

#include <pthread.h>
#include <stdlib.h>

#include <postrider/base/auto.h>
#include <postrider/base/buf.h>
#include <postrider/base/list.h>

/* Contents are counted: a name and the files open on it share them. */
struct content {
	unsigned references;
	struct buf now, synced;
	uint64_t allocated;
};

struct entry {
	struct list link;
	char *path;
	bool is_directory;
	bool name_synced; /* it was there at the last sync of its directory */
	bool gone;        /* removed, and the directory not synced since */
	struct content *content;
};

struct fake_disk {
	struct io_disk base;
	pthread_mutex_t mutex;
	struct list entries;
	struct list before; /* while the power is off: as it will be again */
	bool off;
	uint64_t size_bytes;
	uint64_t counts[FAKE_DISK_ACTS];
	enum err fail[FAKE_DISK_ACTS];
	unsigned fail_after[FAKE_DISK_ACTS];
};

struct fake_file {
	struct io_file base;
	struct content *content;
};

static struct fake_disk *disk_of(struct io_disk *d)
{
	return CONTAINER_OF(d, struct fake_disk, base);
}

static struct fake_file *file_of(struct io_file *f)
{
	return CONTAINER_OF(f, struct fake_file, base);
}

/* A test that lets one allocation fail means the room's, not the disk's: ask twice. */
static void *zeroed(size_t bytes)
{
	void *memory = calloc(1, bytes);

	if (!memory)
		memory = calloc(1, bytes);
	if (!memory)
		abort();
	return memory;
}

static char *path_dup(const char *path)
{
	char *copy = text_dup(text_from(path));

	if (!copy)
		copy = text_dup(text_from(path));
	if (!copy)
		abort();
	return copy;
}

static void add_octets(struct buf *b, const void *octets, size_t len)
{
	for (unsigned i = 0; i < 2; i++) {
		size_t before = b->len;
		char *room = buf_reserve(b, len);

		if (room) {
			if (!octets)
				memset(room, 0, len);
			else if (len > 0)
				memcpy(room, octets, len);
			buf_grew(b, len);
			return;
		}
		b->err = ERR_OK;
		b->len = before;
	}
	abort();
}

static struct content *content_new(void)
{
	struct content *c = zeroed(sizeof(*c));

	c->references = 1;
	buf_init(&c->now, SIZE_MAX);
	buf_init(&c->synced, SIZE_MAX);
	return c;
}

static void content_unref(struct content *c)
{
	if (!c || --c->references > 0)
		return;
	buf_fini(&c->now);
	buf_fini(&c->synced);
	free(c);
}

static struct entry *entry_new(struct list *in, const char *path, bool is_directory)
{
	struct entry *e = zeroed(sizeof(*e));

	e->path = path_dup(path);
	e->is_directory = is_directory;
	e->content = is_directory ? NULL : content_new();
	list_append(in, &e->link);
	return e;
}

static void entry_free(struct entry *e)
{
	list_remove(&e->link);
	content_unref(e->content);
	free(e->path);
	free(e);
}

static struct entry *find(struct fake_disk *d, const char *path)
{
	for (LIST_EACH(it, &d->entries)) {
		struct entry *e = LIST_ITEM(it, struct entry, link);

		if (!e->gone && strcmp(e->path, path) == 0)
			return e;
	}
	return NULL;
}

static uint64_t bytes_of(const struct content *c)
{
	return MAX((uint64_t)c->now.len, c->allocated);
}

static uint64_t used(struct fake_disk *d)
{
	uint64_t sum = 0;

	for (LIST_EACH(it, &d->entries)) {
		struct entry *e = LIST_ITEM(it, struct entry, link);

		if (e->content && !e->gone)
			sum += bytes_of(e->content);
	}
	return sum;
}

static enum err act(struct fake_disk *d, enum fake_disk_act act)
{
	d->counts[act]++;
	if (!d->fail[act])
		return ERR_OK;
	if (d->fail_after[act] == 0)
		return d->fail[act];
	d->fail_after[act]--;
	return ERR_OK;
}

/* ---------------------------------------------------------------- files */

static enum err open_locked(struct fake_disk *d, const char *path, enum io_file_mode mode,
                            struct io_file **out)
{
	struct entry *e = find(d, path);

	if (mode == IO_FILE_CREATE && e)
		return ERR_EXISTS;
	if (mode != IO_FILE_CREATE && (!e || e->is_directory))
		return ERR_NOT_FOUND;
	if (mode == IO_FILE_CREATE) {
		enum err err = act(d, FAKE_DISK_CREATE);

		if (err)
			return err;
		e = entry_new(&d->entries, path, false);
	}
	struct fake_file *f = zeroed(sizeof(*f));

	f->base.disk = &d->base;
	f->content = e->content;
	f->content->references++;
	*out = &f->base;
	return ERR_OK;
}

static enum err disk_open(struct io_disk *base, const char *path, enum io_file_mode mode,
                          struct io_file **out)
{
	struct fake_disk *d = disk_of(base);

	pthread_mutex_lock(&d->mutex);
	enum err err = open_locked(d, path, mode, out);

	pthread_mutex_unlock(&d->mutex);
	return err;
}

static enum err disk_read_at(struct io_file *base, uint64_t offset, void *bytes, size_t len, size_t *got)
{
	struct fake_disk *d = disk_of(base->disk);
	struct buf *now = &file_of(base)->content->now;

	pthread_mutex_lock(&d->mutex);
	*got = offset >= now->len ? 0 : MIN(len, now->len - (size_t)offset);
	if (*got > 0)
		memcpy(bytes, now->at + offset, *got);
	pthread_mutex_unlock(&d->mutex);
	return ERR_OK;
}

static enum err grow(struct fake_disk *d, struct content *c, uint64_t end)
{
	uint64_t have = bytes_of(c);

	if (end > have && used(d) + (end - have) > d->size_bytes)
		return ERR_FULL;
	if (end > c->now.len)
		add_octets(&c->now, NULL, (size_t)end - c->now.len);
	return ERR_OK;
}

static enum err disk_write_at(struct io_file *base, uint64_t offset, const void *bytes, size_t len)
{
	struct fake_disk *d = disk_of(base->disk);
	struct content *c = file_of(base)->content;

	pthread_mutex_lock(&d->mutex);
	enum err err = act(d, FAKE_DISK_WRITE);

	if (!err)
		err = grow(d, c, offset + len);
	if (!err && len > 0)
		memcpy(c->now.at + offset, bytes, len);
	pthread_mutex_unlock(&d->mutex);
	return err;
}

static enum err disk_sync(struct io_file *base)
{
	struct fake_disk *d = disk_of(base->disk);
	struct content *c = file_of(base)->content;

	pthread_mutex_lock(&d->mutex);
	enum err err = act(d, FAKE_DISK_SYNC);

	if (!err) {
		buf_reset(&c->synced);
		add_octets(&c->synced, c->now.at, c->now.len);
	}
	pthread_mutex_unlock(&d->mutex);
	return err;
}

static enum err disk_allocate(struct io_file *base, uint64_t bytes)
{
	struct fake_disk *d = disk_of(base->disk);
	struct content *c = file_of(base)->content;
	enum err err = ERR_OK;

	pthread_mutex_lock(&d->mutex);
	if (bytes > bytes_of(c) && used(d) + (bytes - bytes_of(c)) > d->size_bytes)
		err = ERR_FULL;
	else
		c->allocated = MAX(c->allocated, bytes);
	pthread_mutex_unlock(&d->mutex);
	return err;
}

static void disk_close(struct io_file **slot)
{
	struct io_file *base = TAKE(*slot);

	if (!base)
		return;
	struct fake_disk *d = disk_of(base->disk);

	pthread_mutex_lock(&d->mutex);
	content_unref(file_of(base)->content);
	pthread_mutex_unlock(&d->mutex);
	free(file_of(base));
}

/* ---------------------------------------------------------------- names */

static enum err disk_size(struct io_disk *base, const char *path, uint64_t *bytes)
{
	struct fake_disk *d = disk_of(base);

	pthread_mutex_lock(&d->mutex);
	struct entry *e = find(d, path);

	if (e && e->content)
		*bytes = bytes_of(e->content);
	pthread_mutex_unlock(&d->mutex);
	return e ? ERR_OK : ERR_NOT_FOUND;
}

static enum err disk_remove(struct io_disk *base, const char *path)
{
	struct fake_disk *d = disk_of(base);

	pthread_mutex_lock(&d->mutex);
	struct entry *e = find(d, path);
	enum err err = e ? act(d, FAKE_DISK_REMOVE) : ERR_NOT_FOUND;

	if (!err && e->name_synced)
		e->gone = true;
	else if (!err)
		entry_free(e);
	pthread_mutex_unlock(&d->mutex);
	return err;
}

static enum err disk_rename(struct io_disk *base, const char *from, const char *to)
{
	struct fake_disk *d = disk_of(base);

	pthread_mutex_lock(&d->mutex);
	struct entry *e = find(d, from), *old = find(d, to);
	enum err err = e ? act(d, FAKE_DISK_RENAME) : ERR_NOT_FOUND;

	if (!err && old != e) {
		free(e->path);
		e->path = path_dup(to);
		e->name_synced = false;
		if (old && old->name_synced)
			old->gone = true;
		else if (old)
			entry_free(old);
	}
	pthread_mutex_unlock(&d->mutex);
	return err;
}

static bool is_in(const struct entry *e, const char *directory)
{
	struct text path = text_from(e->path);

	return text_eq(text_head(path, text_find_last_octet(path, '/')), text_from(directory));
}

static enum err disk_sync_directory(struct io_disk *base, const char *path)
{
	struct fake_disk *d = disk_of(base);

	pthread_mutex_lock(&d->mutex);
	enum err err = act(d, FAKE_DISK_SYNC_DIRECTORY);

	for (LIST_EACH_SAFE(it, &d->entries)) {
		struct entry *e = LIST_ITEM(it, struct entry, link);

		if (err || !is_in(e, path))
			continue;
		e->name_synced = true;
		if (e->gone)
			entry_free(e);
	}
	pthread_mutex_unlock(&d->mutex);
	return err;
}

static enum err disk_make_directory(struct io_disk *base, const char *path)
{
	struct fake_disk *d = disk_of(base);

	pthread_mutex_lock(&d->mutex);
	if (!find(d, path))
		entry_new(&d->entries, path, true)->name_synced = true;
	pthread_mutex_unlock(&d->mutex);
	return ERR_OK;
}

static enum err disk_list(struct io_disk *base, const char *path, io_disk_name_fn *each, void *owner)
{
	struct fake_disk *d = disk_of(base);

	for (LIST_EACH_SAFE(it, &d->entries)) {
		struct entry *e = LIST_ITEM(it, struct entry, link);

		if (!e->gone && is_in(e, path))
			each(owner, text_skip(text_from(e->path), strlen(path) + 1));
	}
	return ERR_OK;
}

static enum err disk_free_bytes(struct io_disk *base, const char *path, uint64_t *bytes)
{
	struct fake_disk *d = disk_of(base);

	(void)path;
	pthread_mutex_lock(&d->mutex);
	*bytes = d->size_bytes - MIN(used(d), d->size_bytes);
	pthread_mutex_unlock(&d->mutex);
	return ERR_OK;
}

static const struct io_disk_ops fake_ops = {
	.open = disk_open,
	.read_at = disk_read_at,
	.write_at = disk_write_at,
	.sync = disk_sync,
	.allocate = disk_allocate,
	.close = disk_close,
	.size = disk_size,
	.remove = disk_remove,
	.rename = disk_rename,
	.sync_directory = disk_sync_directory,
	.make_directory = disk_make_directory,
	.list = disk_list,
	.free_bytes = disk_free_bytes,
};

/* ---------------------------------------------------------------- for tests */

struct fake_disk *fake_disk_new(uint64_t size_bytes)
{
	struct fake_disk *d = zeroed(sizeof(*d));

	d->base.ops = &fake_ops;
	d->size_bytes = size_bytes;
	pthread_mutex_init(&d->mutex, NULL);
	list_init(&d->entries);
	list_init(&d->before);
	return d;
}

static void free_entries(struct list *entries)
{
	for (LIST_EACH_SAFE(it, entries))
		entry_free(LIST_ITEM(it, struct entry, link));
}

void fake_disk_free(struct fake_disk **d)
{
	if (!*d)
		return;
	free_entries(&(*d)->entries);
	free_entries(&(*d)->before);
	pthread_mutex_destroy(&(*d)->mutex);
	free(*d);
	*d = NULL;
}

struct io_disk *fake_disk_io(struct fake_disk *d)
{
	return &d->base;
}

void fake_disk_set_size(struct fake_disk *d, uint64_t size_bytes)
{
	pthread_mutex_lock(&d->mutex);
	d->size_bytes = size_bytes;
	pthread_mutex_unlock(&d->mutex);
}

void fake_disk_fail(struct fake_disk *d, enum fake_disk_act what, enum err err, unsigned after)
{
	pthread_mutex_lock(&d->mutex);
	d->fail[what] = err;
	d->fail_after[what] = after;
	pthread_mutex_unlock(&d->mutex);
}

/* What a restart finds of one name. */
static void keep_for_later(struct fake_disk *d, const struct entry *e, bool all)
{
	bool there = all ? !e->gone : e->name_synced;

	if (!there)
		return;
	struct entry *copy = entry_new(&d->before, e->path, e->is_directory);

	copy->name_synced = true;
	if (e->is_directory)
		return;
	const struct buf *from = all ? &e->content->now : &e->content->synced;

	add_octets(&copy->content->now, from->at, from->len);
	add_octets(&copy->content->synced, from->at, from->len);
	copy->content->allocated = e->content->allocated;
}

void fake_disk_power_off(struct fake_disk *d, unsigned choice)
{
	pthread_mutex_lock(&d->mutex);
	for (LIST_EACH(it, &d->entries)) {
		if (!d->off)
			keep_for_later(d, LIST_ITEM(it, struct entry, link), choice == 1);
	}
	d->off = true;
	pthread_mutex_unlock(&d->mutex);
}

void fake_disk_power_on(struct fake_disk *d)
{
	pthread_mutex_lock(&d->mutex);
	if (d->off) {
		free_entries(&d->entries);
		list_append_all(&d->entries, &d->before);
	}
	d->off = false;
	pthread_mutex_unlock(&d->mutex);
}

uint64_t fake_disk_count(const struct fake_disk *d, enum fake_disk_act what)
{
	return d->counts[what];
}

uint64_t fake_disk_used(struct fake_disk *d)
{
	pthread_mutex_lock(&d->mutex);
	uint64_t sum = used(d);

	pthread_mutex_unlock(&d->mutex);
	return sum;
}

size_t fake_disk_files(struct fake_disk *d, const char *directory)
{
	size_t count = 0;

	for (LIST_EACH(it, &d->entries)) {
		struct entry *e = LIST_ITEM(it, struct entry, link);

		count += !e->gone && !e->is_directory && is_in(e, directory);
	}
	return count;
}

bool fake_disk_has(struct fake_disk *d, const char *path)
{
	return find(d, path) != NULL;
}

struct buf *fake_disk_octets(struct fake_disk *d, const char *path)
{
	struct entry *e = find(d, path);

	return e && e->content ? &e->content->now : NULL;
}
