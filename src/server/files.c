/* What the system has in files: texts for the configuration, its host name. */
#include <postrider/server.h>

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "internal.h"

static void add_user(struct buf *b, uid_t uid)
{
	struct passwd entry, *found = NULL;
	char room[1024];

	if (getpwuid_r(uid, &entry, room, sizeof(room), &found) == 0 && found)
		buf_add_string(b, found->pw_name);
	else
		buf_add_format(b, "uid %u", (unsigned)uid);
}

static void explain(const char *path, int error, struct buf *detail, struct buf *hint)
{
	struct stat st;

	if (detail)
		buf_add_string(detail, strerror(error));
	if (error != EACCES || stat(path, &st) != 0)
		return;
	if (detail) {
		buf_add_string(detail, ": it belongs to ");
		add_user(detail, st.st_uid);
		buf_add_format(detail, " with mode %04o, and this is ", (unsigned)(st.st_mode & 07777));
		add_user(detail, geteuid());
	}
	if (hint) {
		buf_add_string(hint, "chown ");
		add_user(hint, geteuid());
		buf_add_format(hint, " %s", path);
	}
}

static enum err read_all(int fd, struct buf *out)
{
	for (;;) {
		char *room = buf_reserve(out, 16384);
		ssize_t n;

		if (!room)
			return buf_err(out);
		n = read(fd, room, 16384);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_from_errno(errno);
		if (n == 0)
			return ERR_OK;
		buf_grew(out, (size_t)n);
	}
}

static enum err read_file(void *owner, struct text path, struct buf *out, struct buf *detail,
                          struct buf *hint)
{
	AUTO(free_memory) char *name = text_dup(path);
	enum err err;
	int fd;

	(void)owner;
	if (!name)
		return ERR_NOMEM;
	fd = open(name, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		int why = errno; /* explaining looks things up, and changes errno */

		explain(name, why, detail, hint);
		return err_from_errno(why);
	}
	err = read_all(fd, out);
	if (err && detail)
		buf_add_string(detail, err == ERR_TOO_BIG ? "the file is too large" : strerror(errno));
	close(fd);
	return err;
}

static enum err find_files(void *owner, struct text pattern, config_found_fn *found, void *found_by)
{
	AUTO(free_memory) char *name = text_dup(pattern);
	glob_t all;

	(void)owner;
	if (!name)
		return ERR_NOMEM;
	switch (glob(name, 0, NULL, &all)) {
	case 0:
		for (size_t i = 0; i < all.gl_pathc; i++)
			found(found_by, text_from(all.gl_pathv[i]));
		globfree(&all);
		return ERR_OK;
	case GLOB_NOMATCH:
		return ERR_OK;
	default:
		return ERR_IO;
	}
}

static int64_t ns_of(struct timespec t)
{
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

enum err server_mark_file(void *owner, struct text path, struct auth_file_mark *out)
{
	AUTO(free_memory) char *name = text_dup(path);
	struct stat st;

	(void)owner;
	if (!name)
		return ERR_NOMEM;
	if (stat(name, &st) != 0)
		return err_from_errno(errno);
	*out = (struct auth_file_mark){ .device = st.st_dev,
		                        .inode = st.st_ino,
		                        .bytes = (uint64_t)st.st_size,
		                        .changed_ns = MAX(ns_of(st.st_mtim), ns_of(st.st_ctim)),
		                        .mode = st.st_mode & 07777,
		                        .uid = st.st_uid };
	return ERR_OK;
}

void server_use_system(struct config_sources *sources, char name[256])
{
	sources->read_file = read_file;
	sources->find_files = find_files;
	if (gethostname(name, 255) != 0)
		name[0] = 0;
	name[255] = 0;
	sources->machine_name = text_from(name);
}
