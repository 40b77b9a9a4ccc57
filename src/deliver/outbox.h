/* deliver/outbox.h - what is about to be written, gathered so that it leaves in one write.
 *
 * Long pieces are only pointed at, short ones (commands, doubled dots) are copied side by side. One outbox
 * serves all connections of a room: whoever fills it empties it before the turn goes on. */
#ifndef DELIVER_OUTBOX_H
#define DELIVER_OUTBOX_H

#include <postrider/base/buf.h>

#define OUTBOX_PIECES 128
#define OUTBOX_COPY_BYTES (24u * 1024)
#define OUTBOX_SHORT_BYTES 512 /* up to here copying is cheaper than another piece */

typedef void outbox_send_fn(void *owner, const struct text *pieces, size_t count);

struct outbox {
	outbox_send_fn *send; /* set by outbox_begin; NULL between */
	void *owner;
	struct text pieces[OUTBOX_PIECES];
	size_t count;
	size_t bytes;  /* in all pieces */
	size_t copied; /* octets of copies in use */
	bool borrows;  /* some pieces are not copies: what they point at must stay until the flush */
	char copies[OUTBOX_COPY_BYTES];
};

/* Fills for one connection until outbox_flush. An outbox in use by another must not be taken. */
void outbox_begin(struct outbox *o, outbox_send_fn *send, void *owner);
/* Octets that stay where they are until outbox_flush. When there is no room the outbox is flushed in
 * between. */
void outbox_add(struct outbox *o, struct text t);
/* Octets that may go at once: always copied. */
void outbox_copy(struct outbox *o, struct text t);
void outbox_copy_u64(struct outbox *o, uint64_t value);
/* Sends what is there, if anything. */
void outbox_flush(struct outbox *o);
/* Forgets what is there. */
void outbox_drop(struct outbox *o);

#endif
