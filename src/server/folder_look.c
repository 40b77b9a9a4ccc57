/* A look at the directory, in the lane: whose files there are, and what does not belong there. */
#include "folder_inside.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct owner *owner_of(struct round *r, uint32_t uid)
{
	for (size_t i = 0; i < r->owner_count; i++)
		if (r->owners[i].uid == uid)
			return &r->owners[i];
	if (r->owner_count == FOLDER_OWNERS_MAX)
		return NULL;
	struct owner *o = &r->owners[r->owner_count];

	*o = (struct owner){ .uid = uid, .names = calloc(FOLDER_ROUND_FILES, sizeof(*o->names)) };
	if (!o->names)
		return NULL;
	r->owner_count++;
	return o;
}

static void keep_name(struct round *r, const char *name, uint32_t uid)
{
	struct owner *o = owner_of(r, uid);

	if (!o) {
		r->passed_over++;
		return;
	}
	o->found++;
	if (o->kept < FOLDER_ROUND_FILES)
		memcpy(o->names[o->kept++], name, strlen(name) + 1);
}

static void look_at(struct round *r, const char *name)
{
	struct stat st;

	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strlen(name) > FOLDER_NAME_MAX ||
	    fstatat(r->fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return;
	switch (r->folder->kind->look(name, &st, r->now_time)) {
	case FOLDER_TAKE:
		keep_name(r, name, st.st_uid);
		break;
	case FOLDER_REMOVE:
		if (unlinkat(r->fd, name, S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0) == 0)
			r->removed++;
		else
			r->stuck++;
		r->removed_uid = st.st_uid;
		break;
	case FOLDER_STRANGE:
		r->strange++;
		break;
	case FOLDER_LEAVE:
		break;
	}
}

void folder_run_look(struct io_job *job)
{
	struct round *r = CONTAINER_OF(job, struct round, job);
	int fd = open(r->folder->path.at, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *all = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	r->fd = fd;
	r->owners = calloc(FOLDER_OWNERS_MAX, sizeof(*r->owners));
	if (!all || !r->owners) {
		r->err = !all ? err_from_errno(errno) : ERR_NOMEM;
		if (all)
			closedir(all);
		else if (fd >= 0)
			close(fd);
		r->fd = -1;
		return;
	}
	while ((entry = readdir(all)))
		look_at(r, entry->d_name);
	r->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	r->err = r->fd < 0 ? err_from_errno(errno) : ERR_OK;
	closedir(all);
}
