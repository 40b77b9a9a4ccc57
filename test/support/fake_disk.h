/* support/fake_disk.h - a disk in memory for tests: loses what was not synced when its power fails, fills up,
 * fails on command, and counts. May be used from several threads. */
#ifndef TEST_SUPPORT_FAKE_DISK_H
#define TEST_SUPPORT_FAKE_DISK_H

#include <postrider/io/disk.h>

struct fake_disk;

enum fake_disk_act {
	FAKE_DISK_CREATE,
	FAKE_DISK_WRITE,
	FAKE_DISK_SYNC,
	FAKE_DISK_REMOVE,
	FAKE_DISK_RENAME,
	FAKE_DISK_SYNC_DIRECTORY,
	FAKE_DISK_ACTS
};

struct fake_disk *fake_disk_new(uint64_t size_bytes);
void fake_disk_free(struct fake_disk **d);
struct io_disk *fake_disk_io(struct fake_disk *d);

void fake_disk_set_size(struct fake_disk *d, uint64_t size_bytes);
/* Acts of this kind fail with err after `after` more have succeeded, until it is called with ERR_OK. */
void fake_disk_fail(struct fake_disk *d, enum fake_disk_act act, enum err err, unsigned after);

/* The power fails: what is done from now on seems to succeed. When it is back, everything is as it was synced
 * before: octets of a file by sync, the names in a directory by sync_directory. What was not synced is there
 * or not by `choice`: 0 nothing of it, 1 all of it (a name may also have reached the disk early). */
void fake_disk_power_off(struct fake_disk *d, unsigned choice);
void fake_disk_power_on(struct fake_disk *d);

uint64_t fake_disk_count(const struct fake_disk *d, enum fake_disk_act act);
uint64_t fake_disk_used(struct fake_disk *d);
size_t fake_disk_files(struct fake_disk *d, const char *directory);
bool fake_disk_has(struct fake_disk *d, const char *path);
/* Octets of a file, to be damaged or cut by a test; NULL: no such file. */
struct buf *fake_disk_octets(struct fake_disk *d, const char *path);

#endif
