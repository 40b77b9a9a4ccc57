/* server/activation.h - what a service manager gives to those that it starts: listening sockets (sd_listen_fds(3)) and an
 * address to report to (sd_notify(3)). Both are a few variables and a datagram; no library is needed. */
#ifndef SERVER_ACTIVATION_H
#define SERVER_ACTIVATION_H

#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

#include <postrider/config.h>

/* ---------------------------------------------------------------- sockets */

#define ACTIVATION_FIRST 3

struct activation {
	unsigned count;    /* descriptors ACTIVATION_FIRST and following */
	struct text names; /* of the environment: "smtp:submission"; empty: none */
};

/* LISTEN_FDS and LISTEN_FDNAMES, if LISTEN_PID is pid. environment: NAME=value, NULL at the end; may be NULL; borrowed. */
void activation_read(struct activation *a, const char *const *environment, pid_t pid);
/* So that no program started by us has them too. */
void activation_keep_private(const struct activation *a);

/* wanted: a number from 3 on, or a name. ERR_NOT_FOUND, ERR_EXISTS (the name is given to several), ERR_SYNTAX (it does not
 * listen, is no stream, ...): problem says what to do. */
MUST_USE enum err activation_find(const struct activation *a, struct text wanted, int *fd,
                                  struct buf *problem);

/* ---------------------------------------------------------------- reports */

struct notify {
	int fd; /* -1: nobody wants to know */
	struct sockaddr_un to;
	socklen_t to_len;
	int64_t watchdog_ms; /* between two signs of life; 0: none are wanted */
};

/* NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID. */
void notify_open(struct notify *n, const char *const *environment, pid_t pid);
/* "READY=1\nSTATUS=...": sent or, when that would block, not. */
void notify_say(const struct notify *n, const char *format, ...) PRINTF_LIKE(2, 3);
void notify_close(struct notify *n);

#endif
