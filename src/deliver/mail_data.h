/* deliver/mail_data.h - a message on its way out: from its source into the outbox, as mail data with dots doubled, or as
 * it is in chunks of BDAT (RFC 3030).
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
#define MAIL_DATA_CHUNK_BYTES (1024u * 1024)

struct mail_data {
	struct body_source *source; /* borrowed */
	struct data_encoder encoder;
	struct data_checker checker;
	bool is_binary;       /* chunks may hold any octets; else a bare CR or LF must not leave in them either */
	struct text span;     /* what is left of the source's last span */
	uint64_t given_bytes; /* by the source, so far */
	uint64_t chunk_left;  /* of the chunk at hand */
};

void mail_data_init(struct mail_data *m, struct body_source *source, bool is_binary);
uint64_t mail_data_left(const struct mail_data *m); /* octets not in the outbox yet */

/* As much as goes now. ERR_OK: all of it is in the outbox, and mail_data_end comes next. ERR_BUSY: the stream takes no more for
 * now; ERR_MORE: the source gives no more for now: come again. ERR_SYNTAX: a bare CR or LF, which must not leave;
 * others: the source failed. After those the end must never be sent. */
MUST_USE enum err mail_data_send(struct mail_data *m, struct outbox *o, size_t (*unsent)(void *owner),
                                 void *owner);

/* The end: a last line without its own gets one, and the dot. ERR_SYNTAX: a CR that is no part of a line end stands last. */
MUST_USE enum err mail_data_end(struct mail_data *m, struct outbox *o);

/* How many chunks the message makes: one at least. */
size_t mail_data_chunks(const struct mail_data *m);
/* Between chunks: the command of the next one, into the outbox. mail_data_send_chunk then is as mail_data_send, up to
 * the end of the chunk; nothing is added behind a last line without its end. */
void mail_data_open_chunk(struct mail_data *m, struct outbox *o);
MUST_USE enum err mail_data_send_chunk(struct mail_data *m, struct outbox *o, size_t (*unsent)(void *owner),
                                       void *owner);

#endif
