/* postrider/admin.h - control: the paths under /v1 on a Unix socket, JSON both ways. The commands speak to it.
 *
 *   GET  /v1/health                    live, ready, and what that consists of; 503 when not ready
 *   GET  /v1/version                   version and commit
 *   GET  /v1/config                    the effective configuration as YAML; ?origin
 *   GET  /v1/counters                  numbers since the start
 *   GET  /v1/queue?SELECTOR            what waits, one JSON object a line and message
 *   GET  /v1/messages/ID               the story of a message; ID may be a unique prefix
 *   POST /v1/messages?from=&to=        takes a message (message/rfc822): 202 with its id once it is on disk
 *   POST /v1/queue/VERB?SELECTOR       retry, hold, release, drop; with &dry_run only counts
 *
 * SELECTOR: postrider/admin/selector.h. Who may ask: root, our own user, our own group. Errors are problems (RFC 9457)
 * with a member `next` that says what to do. */
#ifndef POSTRIDER_ADMIN_H
#define POSTRIDER_ADMIN_H

#include <postrider/config.h>
#include <postrider/io/io.h>
#include <postrider/observe/observe.h>
#include <postrider/queue.h>
#include <postrider/queue/history.h>
#include <postrider/schedule.h>

struct admin;

/* What only the server knows. */
struct admin_health {
	bool listening;                  /* every listener of the configuration is open */
	bool stopping;                   /* draining or going down */
};

/* A certificate in use by a listener. */
typedef void admin_certificate_fn(void *owner, struct text listener, struct text name, struct text serial,
                                  int64_t not_after_time);

struct admin_options {
	struct io *io;
	struct queue *queue;
	struct history *history;         /* NULL: finished messages have no story */
	struct schedule *schedule;
	struct observe *observe;
	const struct config *config;     /* referenced */
	uint64_t seed;                   /* ids of messages handed in */
	struct text version, commit;     /* copied */
	uint32_t uid, gid;               /* ours */
	void (*health)(void *owner, struct admin_health *out);
	void (*each_certificate)(void *owner, admin_certificate_fn *each, void *to);      /* NULL: nobody knows */
	void *owner;
};

MUST_USE enum err admin_new(const struct admin_options *options, struct admin **out);

/* Opens the control socket: admin.socket, or the first of the two places of admin_socket_place that can be had. A failure
 * leaves nothing open; problem says why and what to do. */
MUST_USE enum err admin_listen(struct admin *a, struct buf *problem);
const char *admin_socket_path(const struct admin *a);      /* empty: not listening */

/* A new snapshot; the socket stays where it is. */
void admin_configure(struct admin *a, const struct config *config);

/* Closes the socket at once; requests that run have until deadline_ms. on_closed runs once in a later turn, when nothing
 * of admin's is left in queue, history or schedule: before that they must not close. */
void admin_close(struct admin **a, int64_t deadline_ms, void (*on_closed)(void *owner), void *owner);

/* Where the control socket may lie, n = 0, 1: /run/postrider/admin.sock, then admin.sock in the spool; with admin.socket set
 * only there. False: no such place. */
bool admin_socket_place(const struct config *config, unsigned n, struct buf *path);

#endif
