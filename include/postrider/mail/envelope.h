/* postrider/mail/envelope.h - what is known of a message besides its content (RFC 5321 section 2.3.1).
 * Its texts live in an arena of its own. Built by whoever accepts the message, immutable from then on. */
#ifndef POSTRIDER_MAIL_ENVELOPE_H
#define POSTRIDER_MAIL_ENVELOPE_H

#include <postrider/base/arena.h>
#include <postrider/base/buf.h>
#include <postrider/base/id.h>

enum envelope_body { ENVELOPE_7BIT = 0, ENVELOPE_8BIT = 1 }; /* RFC 6152; declared, or found in the content */

struct envelope_recipient {
	struct text forward_path;  /* a mailbox without angle brackets, or "postmaster" */
	struct text original_path; /* as the client gave it, when that is another one; else empty */
};

struct envelope {
	struct id id;
	int64_t received_time;
	struct text reverse_path; /* a mailbox without angle brackets; empty: the null reverse-path */
	struct envelope_recipient *recipients;
	size_t recipient_count;
	enum envelope_body body;
	uint64_t declared_bytes; /* SIZE= of the client; 0: not said */
	uint64_t content_bytes;  /* without prepended fields; 0 until it is known */
	struct text helo;
	struct text client;     /* "192.0.2.1:4711", "unix" */
	struct text user;       /* who authenticated, else empty */
	struct text listener;   /* its name in the configuration */
	struct text protocol;   /* with-keyword: "ESMTPS" (RFC 3848) */
	struct text tls;        /* "TLSv1.3 TLS_AES_128_GCM_SHA256"; empty: no TLS */
	struct text message_id; /* of the header: with its angle brackets; empty: none */
	struct text subject;    /* of the header, unfolded and cut */

	struct arena arena; /* of all texts */
	size_t recipient_room;
};

/* budget_bytes limits all that the envelope can come to hold. NULL: no memory. */
struct envelope *envelope_new(size_t budget_bytes);
void envelope_free(struct envelope **e);

/* Copies value into the arena: envelope_set(e, &e->helo, helo). ERR_NOMEM: over the budget, or no memory. */
MUST_USE enum err envelope_set(struct envelope *e, struct text *field, struct text value);
/* Copies; original_path may be empty. */
MUST_USE enum err envelope_add_recipient(struct envelope *e, struct text forward_path,
                                         struct text original_path);

MUST_USE enum err envelope_copy(const struct envelope *from, struct envelope **out);

/* As a record (postrider/mail/record.h). b keeps its error as always. */
void envelope_encode(const struct envelope *e, struct buf *b);
/* Copies out of the record. Fields of tags not known are skipped. ERR_DAMAGED: no envelope; ERR_UNSUPPORTED:
 * written by a later version; ERR_NOMEM. */
MUST_USE enum err envelope_decode(struct text record, struct envelope **out);

#endif
