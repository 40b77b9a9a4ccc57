/* postrider/admin/handed_in.h - a message that comes in without SMTP: by the control socket, from the drop directory, from
 * the pick-up directory. What holds for a client of an SMTP listener holds here: senders, recipients, size, hops, routes.
 *
 *	new, from, to..., open, write..., finish, commit; free at any time but between commit and on_decided. */
#ifndef POSTRIDER_ADMIN_HANDED_IN_H
#define POSTRIDER_ADMIN_HANDED_IN_H

#include <postrider/config.h>
#include <postrider/observe/observe.h>
#include <postrider/queue.h>

struct handed_in;

struct handed_in_options {
	struct io *io;
	struct queue *queue;
	const struct config *config; /* referenced */
	struct id id;                /* of the message */
	/* Copied. listener: as routes see it, "admin"; protocol: "HTTP"; client: "unix". */
	struct text listener, protocol, client;
	struct text
		local_user; /* for the Received field, "userid 1000"; empty: it says where the message was taken */
	bool add_missing;             /* Date, Message-ID and From are put on top where there are none */
	void (*on_room)(void *owner); /* a busy draft can take more */
	void *owner;
};

MUST_USE enum err handed_in_new(const struct handed_in_options *options, struct handed_in **out);
void handed_in_free(struct handed_in **h); /* NULL is fine */

/* Once, and before the recipients: routes may depend on it. "" and "<>" are the null reverse-path. ERR_SYNTAX: problem says
 * why it is refused. */
MUST_USE enum err handed_in_from(struct handed_in *h, struct text mailbox, struct buf *problem);
/* ERR_SYNTAX: this one is refused, problem says why; others may be added all the same. The same one again counts once. */
MUST_USE enum err handed_in_to(struct handed_in *h, struct text mailbox, struct buf *problem);
/* Whoever has more to say of it (DSN) fills it in before the commit. */
struct envelope *handed_in_envelope(struct handed_in *h);

/* declared_bytes: 0 unknown. ERR_FULL, ERR_TOO_BIG. */
MUST_USE enum err handed_in_open(struct handed_in *h, uint64_t declared_bytes);
/* Octets as files and programs have them: line ends are mended. ERR_TOO_BIG: over access.max_message_size. */
MUST_USE enum err handed_in_write(struct handed_in *h, struct text octets);
bool handed_in_is_busy(const struct handed_in *h); /* write no more until on_room */

/* The content is over. ERR_SYNTAX: problem says why it is no message that can be taken; ERR_DENIED: why the routes, who know
 * it now, let nobody get it. Before, handed_in_scan tells
 * nothing. */
MUST_USE enum err handed_in_finish(struct handed_in *h, struct buf *problem);

/* Commits. fields: header fields that are put on top, under our Received field. on_decided hears what the queue decided; the
 * event `received` has been written by then. ERR_NOMEM: nothing was begun. */
MUST_USE enum err handed_in_commit(struct handed_in *h, struct text fields, struct observe *observe, int code,
                                   queue_decided_fn *on_decided, void *owner);
bool handed_in_is_deciding(const struct handed_in *h);

#endif
