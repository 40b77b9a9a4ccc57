/* Writing into the drop directory, as a user who may not list it. */
#include "sendmail.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <postrider/base/auto.h>

/* Nobody may list the directory, so a name that cannot be guessed keeps a file from being read by other users; the daemon
 * is another user, and must be able to. Where the directory is ours, so is the daemon. */
static mode_t mode_of_file(const char *directory)
{
	struct stat st;

	return stat(directory, &st) == 0 && st.st_uid == geteuid() ? 0600 : 0644;
}

static char *path_of(const struct drop_file *f, const char *prefix)
{
	char *path = NULL;

	return asprintf(&path, "%s/%s%.*s", f->directory, prefix, ID_CHARS, f->id.at) < 0 ? NULL : path;
}

/* A file without a name goes by itself when we are killed. */
static int open_nameless(const char *directory)
{
	if (access("/proc/self/fd", X_OK) != 0)
		return -1;
	return open(directory, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
}

static enum err open_named(struct drop_file *f)
{
	f->name = path_of(f, "tmp.");
	if (!f->name)
		return ERR_NOMEM;
	f->fd = open(f->name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	return f->fd < 0 ? err_from_errno(errno) : ERR_OK;
}

enum err drop_file_open(struct text directory, struct id id, struct drop_file *out)
{
	enum err err;

	*out = (struct drop_file){ .fd = -1, .directory = text_dup(directory), .id = id_to_text(id) };
	if (!out->directory)
		return ERR_NOMEM;
	out->fd = open_nameless(out->directory);
	err = out->fd >= 0 ? ERR_OK : open_named(out);
	if (!err && fchmod(out->fd, mode_of_file(out->directory)) != 0)
		err = err_from_errno(errno);
	return err;
}

enum err drop_file_write(struct drop_file *f, struct text octets)
{
	while (octets.len > 0) {
		ssize_t n = write(f->fd, octets.at, octets.len);

		if (n < 0 && errno != EINTR)
			return err_from_errno(errno);
		octets = text_skip(octets, n > 0 ? (size_t)n : 0);
	}
	return ERR_OK;
}

static enum err give_name(struct drop_file *f, const char *path)
{
	char self[64];

	if (f->name)
		return rename(f->name, path) == 0 ? ERR_OK : err_from_errno(errno);
	snprintf(self, sizeof(self), "/proc/self/fd/%d", f->fd);
	return linkat(AT_FDCWD, self, AT_FDCWD, path, AT_SYMLINK_FOLLOW) == 0 ? ERR_OK
	                                                                      : err_from_errno(errno);
}

/* The octets first, then the name; a sync of the file brings its new name to disk too, as the directory itself is not ours
 * to open. */
enum err drop_file_finish(struct drop_file *f)
{
	AUTO(free_memory) char *path = path_of(f, "");

	if (!path)
		return ERR_NOMEM;
	if (fsync(f->fd) != 0)
		return err_from_errno(errno);
	enum err err = give_name(f, path);

	if (err)
		return err;
	free(f->name);
	f->name = NULL;
	return fsync(f->fd) == 0 ? ERR_OK : err_from_errno(errno);
}

void drop_file_fini(struct drop_file *f)
{
	if (f->name)
		unlink(f->name);
	if (f->fd >= 0)
		close(f->fd);
	free(f->name);
	free(f->directory);
	*f = (struct drop_file){ .fd = -1 };
}
