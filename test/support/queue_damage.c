#include "support/queue_damage.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "queue/store_memory.h"
#include "support/check.h"

void damage_begin(struct damage *d, struct rig *r)
{
	char path[300];
	struct store_options o = { .tables = table_names,
		                   .table_count = TABLE_COUNT,
		                   .max_bytes = 64 << 20,
		                   .sync = STORE_SYNC_NEVER };

	rig_close(r);
	d->rig = r;
	snprintf(path, sizeof(path), "%s/queue", r->path);
	if (r->memory)
		assert_int_equal(store_memory_open(r->memory, NULL, path, &o, &d->store), ERR_OK);
	else
		assert_int_equal(store_lmdb_open(path, &o, &d->store), ERR_OK);
	assert_int_equal(store_begin(d->store, true, &d->txn), ERR_OK);
}

void damage_end_closed(struct damage *d)
{
	assert_int_equal(store_commit(&d->txn), ERR_OK);
	store_close(&d->store);
}

void damage_end(struct damage *d)
{
	damage_end_closed(d);
	if (rig_open(d->rig))
		fail_msg("%s", d->rig->problem);
}

void damage_flip(struct damage *d, enum table table, struct text key, long at)
{
	struct text value;

	assert_int_equal(store_get(d->txn, table, key, &value), ERR_OK);
	char *copy = alone(value);

	copy[at < 0 ? (long)value.len + at : at] ^= 0x10;
	assert_int_equal(store_put(d->txn, table, key, text_of(copy, value.len), STORE_PUT), ERR_OK);
	free(copy);
}

void damage_remove(struct damage *d, enum table table, struct text key)
{
	assert_int_equal(store_remove(d->txn, table, key), ERR_OK);
}

void damage_put(struct damage *d, enum table table, struct text key, struct text value)
{
	assert_int_equal(store_put(d->txn, table, key, value, STORE_PUT), ERR_OK);
}

struct text damage_only_key(struct damage *d, enum table table, char room[STORE_KEY_MAX_BYTES])
{
	struct store_row row;

	assert_int_equal(store_seek(d->txn, table, TEXT_EMPTY, &row), ERR_OK);
	memcpy(room, row.key.at, row.key.len);
	struct text key = text_of(room, row.key.len);

	assert_int_equal(store_next(d->txn, table, &row), ERR_NOT_FOUND);
	return key;
}

struct only_name {
	char name[100];
	unsigned count;
};

static void note_name(void *owner, struct text name)
{
	struct only_name *n = owner;

	n->count++;
	snprintf(n->name, sizeof(n->name), "%.*s", TEXT_ARGS(name));
}

void damage_file(struct rig *r, long at, bool cut)
{
	struct io_disk *disk = r->options.disk;
	struct only_name n = { .count = 0 };
	char directory[250], path[400];

	snprintf(directory, sizeof(directory), "%s/bodies", r->path);
	assert_int_equal(disk->ops->list(disk, directory, note_name, &n), ERR_OK);
	assert_int_equal(n.count, 1);
	snprintf(path, sizeof(path), "%s/%s", directory, n.name);
	if (r->disk) {
		struct buf *octets = fake_disk_octets(r->disk, path);

		if (cut)
			buf_cut(octets, (size_t)at);
		else
			octets->at[at] ^= 0x10;
		return;
	}
	int fd = open(path, O_RDWR);
	char octet;

	assert_true(fd >= 0);
	if (cut) {
		assert_int_equal(ftruncate(fd, at), 0);
	} else {
		assert_int_equal(pread(fd, &octet, 1, at), 1);
		octet ^= 0x10;
		assert_int_equal(pwrite(fd, &octet, 1, at), 1);
	}
	close(fd);
}
