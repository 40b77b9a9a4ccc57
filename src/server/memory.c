/* How much memory the process has, once a second, and what it may have: above that no new work comes in (access.max_memory).
 * Read in the disk lane from a descriptor that was opened at the start, before the process gave its rights away. */
#include "memory.h"

#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <unistd.h>

#include <postrider/io/lane.h>

#include "internal.h"

#define LOOK_MS SECOND_MS
#define CGROUP_ROOT "/sys/fs/cgroup"
/* Back at ease with a sixteenth less than the limit, so that it does not go back and forth. */
#define EASE_SHARE 16

struct memory_watch {
	struct server *server;
	struct io_timer timer;
	struct io_job job;
	int fd;
	uint64_t allowed_bytes; /* by cgroup and machine */
	uint64_t limit_bytes;   /* for the job */
	uint64_t used_bytes;    /* its result; 0: not known */
	bool under_pressure, job_runs, freed;
};

/* ---------------------------------------------------------------- what it may have */

static uint64_t read_number(const char *path)
{
	char text[64] = "";
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;
	uint64_t number;

	if (fd >= 0)
		close(fd);
	/* "max" is no number, and no limit */
	if (got <= 0 || text_to_u64(text_head(text_of(text, (size_t)got),
	                                      text_find_octet(text_of(text, (size_t)got), '\n')),
	                            UINT64_MAX, &number))
		return UINT64_MAX;
	return number;
}

/* Each group above ours counts as well. */
static uint64_t of_groups(struct text group, const char *before, const char *file)
{
	uint64_t least = UINT64_MAX;
	char path[1024];

	for (;;) {
		while (group.len && group.at[group.len - 1] == '/')
			group.len--;
		snprintf(path, sizeof(path), CGROUP_ROOT "%s%.*s/%s", before, TEXT_ARGS(group), file);
		least = MIN(least, read_number(path));
		if (group.len == 0)
			return least;
		group.len = text_find_last_octet(group, '/');
	}
}

/* /proc/self/cgroup: "0::/path" of version 2, "7:memory:/path" of version 1. */
static uint64_t of_cgroup(void)
{
	char text[4096];
	int fd = open("/proc/self/cgroup", O_RDONLY | O_CLOEXEC);
	ssize_t got = fd >= 0 ? read(fd, text, sizeof(text)) : -1;
	struct text rest = text_of(text, got > 0 ? (size_t)got : 0);
	uint64_t least = UINT64_MAX;

	if (fd >= 0)
		close(fd);
	while (rest.len) {
		struct text path = text_cut(&rest, '\n'), number = text_cut(&path, ':'),
			    names = text_cut(&path, ':');

		if (text_eq(number, TEXT("0")) && names.len == 0)
			least = MIN(least, of_groups(path, "", "memory.max"));
		else if (text_eq(names, TEXT("memory")))
			least = MIN(least, of_groups(path, "/memory", "memory.limit_in_bytes"));
	}
	return least;
}

static uint64_t of_machine(void)
{
	long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);

	return pages > 0 && size > 0 ? (uint64_t)pages * (uint64_t)size : UINT64_MAX;
}

static uint64_t limit_of(const struct memory_watch *w)
{
	uint64_t said = w->server->config->access.max_memory_bytes;

	return said ? said : w->allowed_bytes / 5 * 4;
}

/* ---------------------------------------------------------------- what it has */

/* "size resident shared ...", in pages */
static uint64_t read_resident(int fd)
{
	char text[256];
	ssize_t got = pread(fd, text, sizeof(text), 0);
	struct text rest = text_of(text, got > 0 ? (size_t)got : 0);
	uint64_t pages;

	text_cut(&rest, ' ');
	if (text_to_u64(text_cut(&rest, ' '), UINT32_MAX, &pages))
		return 0;
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* What was freed may still be the process's: before anybody is refused for it, it is given back. */
static void look(struct io_job *job)
{
	struct memory_watch *w = CONTAINER_OF(job, struct memory_watch, job);

	w->used_bytes = read_resident(w->fd);
	if (w->used_bytes <= w->limit_bytes - w->limit_bytes / EASE_SHARE)
		return;
	malloc_trim(0);
	w->used_bytes = read_resident(w->fd);
}

static void say_change(struct memory_watch *w)
{
	struct event event = EVENT(EVENT_WARNING);
	struct buf words = BUF(512);

	event.level = w->under_pressure ? LEVEL_WARN : LEVEL_INFO;
	event.rule = TEXT("access.max_memory");
	buf_add_format(
		&words,
		w->under_pressure
			? "%llu MiB of memory are in use, over the limit of %llu MiB: new connections and mail "
			  "are told to come later"
			: "%llu MiB of memory are in use, below the limit of %llu MiB again: mail is taken",
		(unsigned long long)(w->used_bytes >> 20), (unsigned long long)(w->limit_bytes >> 20));
	event.detail = buf_text(&words);
	observe_emit(w->server->observe, &event);
	buf_fini(&words);
}

static void judge(struct memory_watch *w)
{
	bool over = w->used_bytes > w->limit_bytes;
	bool at_ease = w->used_bytes <= w->limit_bytes - w->limit_bytes / EASE_SHARE;

	if (w->under_pressure ? !at_ease : !over)
		return;
	w->under_pressure = !w->under_pressure;
	say_change(w);
	receive_set_pressure(w->server->receive,
	                     w->under_pressure ? RECEIVE_UNDER_PRESSURE : RECEIVE_AT_EASE);
}

static void on_look(void *owner);

static void look_again(struct memory_watch *w)
{
	struct io *io = w->server->io;

	if (!io_timer_start(io, &w->timer, io_now_at(io) + LOOK_MS, on_look, w))
		return;
	/* nobody looks any more: better to take mail than to refuse it for good */
	w->under_pressure = false;
	receive_set_pressure(w->server->receive, RECEIVE_AT_EASE);
}

static void looked(struct io_job *job)
{
	struct memory_watch *w = CONTAINER_OF(job, struct memory_watch, job);

	w->job_runs = false;
	if (w->freed) {
		close(w->fd);
		free(w);
		return;
	}
	if (w->used_bytes)
		judge(w);
	look_again(w);
}

static void on_look(void *owner)
{
	struct memory_watch *w = owner;

	w->limit_bytes = limit_of(w);
	w->job = (struct io_job){ .run = look, .done = looked };
	w->job_runs = true;
	io_job_submit(w->server->io, IO_LANE_DISK, &w->job);
}

enum err memory_watch_new(struct server *s, struct memory_watch **out)
{
	struct memory_watch *w = calloc(1, sizeof(*w));

	if (!w)
		return ERR_NOMEM;
	w->server = s;
	w->allowed_bytes = MIN(of_cgroup(), of_machine());
	w->fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	if (w->fd < 0) {
		free(w); /* no /proc: nobody knows, nobody is refused */
		return ERR_OK;
	}
	*out = w;
	on_look(w);
	return ERR_OK;
}

void memory_watch_free(struct memory_watch **slot)
{
	struct memory_watch *w = TAKE(*slot);

	if (!w)
		return;
	io_timer_stop(w->server->io, &w->timer);
	if (w->job_runs) {
		w->freed = true; /* the job's end frees it */
		return;
	}
	close(w->fd);
	free(w);
}
