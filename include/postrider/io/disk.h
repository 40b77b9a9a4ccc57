/* postrider/io/disk.h - files, as the queue's spool and the configuration need them. These calls block: they are made
 * from jobs of the writer and disk lanes, and before the loop runs. The simulated world has a disk in memory that
 * loses what was not synced, fills up and fails.
 * Paths are absolute or relative to the working directory, with a final NUL. */
#ifndef POSTRIDER_IO_DISK_H
#define POSTRIDER_IO_DISK_H

#include <postrider/base/text.h>

struct io_disk;
struct io_file;

enum io_file_mode { IO_FILE_READ, IO_FILE_CREATE /* for writing, must not exist, mode 0600 */, IO_FILE_UPDATE };

typedef void io_disk_name_fn(void *owner, struct text name);

struct io_disk_ops {
	enum err (*open)(struct io_disk *d, const char *path, enum io_file_mode mode, struct io_file **out);
	enum err (*read_at)(struct io_file *f, uint64_t offset, void *bytes, size_t len, size_t *got);   /* got < len: the end */
	enum err (*write_at)(struct io_file *f, uint64_t offset, const void *bytes, size_t len);
	enum err (*sync)(struct io_file *f);                       /* fdatasync */
	enum err (*allocate)(struct io_file *f, uint64_t bytes);   /* real blocks, so that they cannot run out later */
	void (*close)(struct io_file **f);
	enum err (*size)(struct io_disk *d, const char *path, uint64_t *bytes);
	enum err (*remove)(struct io_disk *d, const char *path);   /* ERR_NOT_FOUND */
	/* Within one directory. What was called `to` is replaced: others see the one or the other, also after a crash. */
	enum err (*rename)(struct io_disk *d, const char *from, const char *to);
	enum err (*sync_directory)(struct io_disk *d, const char *path);
	enum err (*make_directory)(struct io_disk *d, const char *path);      /* 0700; there already: ERR_OK */
	enum err (*list)(struct io_disk *d, const char *path, io_disk_name_fn *each, void *owner);
	enum err (*free_bytes)(struct io_disk *d, const char *path, uint64_t *bytes);
};

struct io_disk {
	const struct io_disk_ops *ops;
};

struct io_file {
	struct io_disk *disk;
};

struct io_disk *io_disk_real(void);      /* the file system of this machine; nothing to free */

#endif
