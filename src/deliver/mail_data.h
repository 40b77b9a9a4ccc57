/* deliver/mail_data.h - a message on its way out: from its source, with dots doubled, into the outbox.
 *
 * Memory is bounded: no more than a slice lies in the outbox, and no more than a slice and a little unsent with
 * the stream. What belongs into one write stays in the outbox: prepended fields, content, the end. */
#ifndef DELIVER_MAIL_DATA_H
#define DELIVER_MAIL_DATA_H

#include <postrider/mail/body_source.h>
#include <postrider/smtp/data.h>

#include "outbox.h"

#define MAIL_DATA_SLICE_BYTES (128u * 1024) /* given to the stream at once */
#define MAIL_DATA_UNSENT_MAX (16u * 1024)   /* with more than this unsent the source waits */
#define MAIL_DATA_COPIED_BYTES 4096         /* a whole span up to this is copied, to go with the next */

struct mail_data {
	struct body_source *source; /* borrowed */
	struct data_encoder encoder;
	struct text span;     /* what is left of the source's last span */
	uint64_t given_bytes; /* by the source, so far */
};

void mail_data_init(struct mail_data *m, struct body_source *source);
uint64_t mail_data_left(const struct mail_data *m); /* octets not in the outbox yet */

/* As much as goes now. ERR_OK: all of it is in the outbox, with its end. ERR_BUSY: the stream takes no more for
 * now; ERR_MORE: the source gives no more for now: come again. ERR_SYNTAX: a bare CR or LF, which must not leave;
 * others: the source failed. After those the end must never be sent. */
MUST_USE enum err mail_data_send(struct mail_data *m, struct outbox *o, size_t (*unsent)(void *owner),
                                 void *owner);

#endif
