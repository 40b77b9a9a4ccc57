/* The file system of this machine. */
#include <postrider/io/disk.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <postrider/base/auto.h>

struct real_file {
	struct io_file base;
	int fd;
};

static int fd_of(struct io_file *f)
{
	return CONTAINER_OF(f, struct real_file, base)->fd;
}

static enum err last_err(void)
{
	return err_from_errno(errno);
}

static enum err disk_open(struct io_disk *d, const char *path, enum io_file_mode mode, struct io_file **out)
{
	static const int flags[] = {
		[IO_FILE_READ] = O_RDONLY,
		[IO_FILE_CREATE] = O_WRONLY | O_CREAT | O_EXCL,
		[IO_FILE_UPDATE] = O_RDWR,
	};
	struct real_file *f = calloc(1, sizeof(*f));

	if (!f)
		return ERR_NOMEM;
	do {
		f->fd = open(path, flags[mode] | O_CLOEXEC, 0600);
	} while (f->fd < 0 && errno == EINTR);
	if (f->fd < 0) {
		enum err err = last_err();

		free(f);
		return err;
	}
	f->base.disk = d;
	*out = &f->base;
	return ERR_OK;
}

static enum err disk_read_at(struct io_file *f, uint64_t offset, void *bytes, size_t len, size_t *got)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = pread(fd_of(f), (char *)bytes + done, len - done, (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return last_err();
		if (n == 0)
			break;
		done += (size_t)n;
	}
	*got = done;
	return ERR_OK;
}

static enum err disk_write_at(struct io_file *f, uint64_t offset, const void *bytes, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = pwrite(fd_of(f), (const char *)bytes + done, len - done, (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return last_err();
		if (n == 0)
			return ERR_IO;
		done += (size_t)n;
	}
	return ERR_OK;
}

static enum err disk_sync(struct io_file *f)
{
	return fdatasync(fd_of(f)) == 0 ? ERR_OK : last_err();
}

/* Where the file system cannot reserve blocks they are written. */
static enum err write_zeros(struct io_file *f, uint64_t bytes)
{
	static const char zeros[64 * 1024];
	struct stat now;

	if (fstat(fd_of(f), &now) != 0)
		return last_err();
	for (uint64_t at = (uint64_t)now.st_size; at < bytes;) {
		size_t part = (size_t)MIN(bytes - at, (uint64_t)sizeof(zeros));
		enum err err = disk_write_at(f, at, zeros, part);

		if (err)
			return err;
		at += part;
	}
	return ERR_OK;
}

static enum err disk_allocate(struct io_file *f, uint64_t bytes)
{
	int result;

	if (bytes == 0)
		return ERR_OK;
	do {
		result = fallocate(fd_of(f), 0, 0, (off_t)bytes);
	} while (result != 0 && errno == EINTR);
	if (result != 0 && (errno == EOPNOTSUPP || errno == ENOSYS))
		return write_zeros(f, bytes);
	return result == 0 ? ERR_OK : last_err();
}

static void disk_close(struct io_file **f)
{
	if (!*f)
		return;
	struct real_file *file = CONTAINER_OF(TAKE(*f), struct real_file, base);

	close(file->fd);
	free(file);
}

static enum err disk_size(struct io_disk *d, const char *path, uint64_t *bytes)
{
	struct stat now;

	(void)d;
	if (stat(path, &now) != 0)
		return last_err();
	*bytes = (uint64_t)now.st_size;
	return ERR_OK;
}

static enum err disk_remove(struct io_disk *d, const char *path)
{
	(void)d;
	return unlink(path) == 0 ? ERR_OK : last_err();
}

static enum err disk_rename(struct io_disk *d, const char *from, const char *to)
{
	(void)d;
	return rename(from, to) == 0 ? ERR_OK : last_err();
}

static enum err disk_sync_directory(struct io_disk *d, const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	enum err err = ERR_OK;

	(void)d;
	if (fd < 0)
		return last_err();
	if (fsync(fd) != 0)
		err = last_err();
	close(fd);
	return err;
}

static enum err disk_make_directory(struct io_disk *d, const char *path)
{
	struct stat now;

	(void)d;
	if (mkdir(path, 0700) == 0)
		return ERR_OK;
	enum err err = last_err();

	if (err == ERR_EXISTS && stat(path, &now) == 0 && S_ISDIR(now.st_mode))
		return ERR_OK;
	return err;
}

static bool is_dots(const char *name)
{
	return name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
}

static enum err disk_list(struct io_disk *d, const char *path, io_disk_name_fn *each, void *owner)
{
	DIR *directory = opendir(path);
	struct dirent *entry;

	(void)d;
	if (!directory)
		return last_err();
	while (errno = 0, (entry = readdir(directory))) {
		if (!is_dots(entry->d_name))
			each(owner, text_from(entry->d_name));
	}
	enum err err = last_err();

	closedir(directory);
	return err;
}

static enum err disk_free_bytes(struct io_disk *d, const char *path, uint64_t *bytes)
{
	struct statvfs now;

	(void)d;
	if (statvfs(path, &now) != 0)
		return last_err();
	*bytes = (uint64_t)now.f_bavail * now.f_frsize;
	return ERR_OK;
}

static const struct io_disk_ops real_ops = {
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

struct io_disk *io_disk_real(void)
{
	static const struct io_disk real = { .ops = &real_ops };

	return (struct io_disk *)&real;      /* nobody writes to it */
}
