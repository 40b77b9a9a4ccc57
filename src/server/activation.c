#include "activation.h"

#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <postrider/base/auto.h>

static struct text variable(const char *const *environment, const char *name)
{
	size_t len = strlen(name);

	for (; environment && *environment; environment++)
		if (strncmp(*environment, name, len) == 0 && (*environment)[len] == '=')
			return text_from(*environment + len + 1);
	return TEXT_EMPTY;
}

static uint64_t number(const char *const *environment, const char *name)
{
	uint64_t value = 0;

	return text_to_u64(variable(environment, name), INT64_MAX, &value) ? 0 : value;
}

/* ---------------------------------------------------------------- sockets */

void activation_read(struct activation *a, const char *const *environment, pid_t pid)
{
	*a = (struct activation){ 0 };
	/* Meant for another process, which has passed its environment on: those descriptors are not ours. */
	if (number(environment, "LISTEN_PID") != (uint64_t)pid)
		return;
	a->count = (unsigned)MIN(number(environment, "LISTEN_FDS"), (uint64_t)1024);
	a->names = variable(environment, "LISTEN_FDNAMES");
}

void activation_keep_private(const struct activation *a)
{
	for (unsigned i = 0; i < a->count; i++) {
		int fd = ACTIVATION_FIRST + (int)i, flags = fcntl(fd, F_GETFD);

		if (flags >= 0 && fcntl(fd, F_SETFD, flags | FD_CLOEXEC) != 0)
			return; /* we start no programs */
	}
}

static void say_what_there_is(const struct activation *a, struct buf *problem)
{
	if (a->count == 0) {
		buf_add(problem,
		        TEXT("none was passed (LISTEN_FDS is not set for this process): start it by its socket unit, "
		             "or give an address"));
		return;
	}
	buf_add_format(problem, "there are %u from fd:%d on", a->count, ACTIVATION_FIRST);
	if (a->names.len > 0)
		buf_add_format(problem, ", called %.*s", TEXT_ARGS(text_head(a->names, 500)));
}

static enum err find_number(const struct activation *a, uint64_t wanted, int *fd, struct buf *problem)
{
	if (wanted < ACTIVATION_FIRST || wanted >= ACTIVATION_FIRST + (uint64_t)a->count) {
		buf_add_format(problem,
		               "there is no inherited descriptor %llu: ", (unsigned long long)wanted);
		say_what_there_is(a, problem);
		return ERR_NOT_FOUND;
	}
	*fd = (int)wanted;
	return ERR_OK;
}

static enum err find_name(const struct activation *a, struct text wanted, int *fd, struct buf *problem)
{
	struct text rest = a->names;
	int found = -1;

	for (int i = 0; i < (int)a->count && rest.len > 0; i++) {
		if (!text_eq(text_cut(&rest, ':'), wanted))
			continue;
		if (found >= 0) {
			buf_add_format(
				problem,
				"%.*s is the name of several inherited descriptors: give them names of their own "
				"(FileDescriptorName=), or write fd:%d and fd:%d",
				TEXT_ARGS(wanted), found, ACTIVATION_FIRST + i);
			return ERR_EXISTS;
		}
		found = ACTIVATION_FIRST + i;
	}
	if (found < 0) {
		buf_add_format(problem, "no inherited descriptor is called %.*s: ", TEXT_ARGS(wanted));
		say_what_there_is(a, problem);
		return ERR_NOT_FOUND;
	}
	*fd = found;
	return ERR_OK;
}

static int option(int fd, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, name, &value, &len) == 0 ? value : -1;
}

static const char *what_is_wrong(int fd)
{
	int family = option(fd, SO_DOMAIN);

	if (family < 0)
		return "is no socket, or not open";
	if (family != AF_INET && family != AF_INET6 && family != AF_UNIX)
		return "is no TCP or Unix socket";
	if (option(fd, SO_TYPE) != SOCK_STREAM)
		return "is no stream socket: the unit needs ListenStream=";
	if (option(fd, SO_ACCEPTCONN) != 1)
		return "is not listening: the unit needs Accept=no";
	return NULL;
}

enum err activation_find(const struct activation *a, struct text wanted, int *fd, struct buf *problem)
{
	uint64_t value;
	enum err err = text_to_u64(wanted, UINT32_MAX, &value) ? find_name(a, wanted, fd, problem)
	                                                       : find_number(a, value, fd, problem);
	const char *wrong = err ? NULL : what_is_wrong(*fd);

	if (wrong) {
		buf_add_format(problem, "the inherited descriptor %d %s", *fd, wrong);
		return ERR_SYNTAX;
	}
	return err;
}

/* ---------------------------------------------------------------- reports */

void notify_open(struct notify *n, const char *const *environment, pid_t pid)
{
	struct text path = variable(environment, "NOTIFY_SOCKET");
	uint64_t watchdog_us = number(environment, "WATCHDOG_USEC"),
		 watched = number(environment, "WATCHDOG_PID");

	*n = (struct notify){ .fd = -1, .to = { .sun_family = AF_UNIX } };
	if (path.len < 2 || path.len >= sizeof(n->to.sun_path) || (path.at[0] != '/' && path.at[0] != '@'))
		return;
	memcpy(n->to.sun_path, path.at, path.len);
	n->to_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path.len + (path.at[0] == '/'));
	if (path.at[0] == '@')
		n->to.sun_path[0] = '\0'; /* an abstract name */
	n->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (watched == 0 || watched == (uint64_t)pid)
		n->watchdog_ms = (int64_t)(watchdog_us / 1000 / 2);
}

void notify_say(const struct notify *n, const char *format, ...)
{
	AUTO(buf_fini) struct buf words = BUF(4096);
	va_list args;

	if (n->fd < 0)
		return;
	va_start(args, format);
	buf_add_format_v(&words, format, args);
	va_end(args);
	/* Nobody is told when it is lost: the manager notices the silence by itself. */
	(void)!sendto(n->fd, words.at ? words.at : "", words.len, MSG_NOSIGNAL,
	              (const struct sockaddr *)&n->to, n->to_len);
}

void notify_close(struct notify *n)
{
	if (n->fd >= 0)
		close(n->fd);
	n->fd = -1;
}
