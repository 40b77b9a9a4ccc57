/* postrider/mail/envelope.h - what is known of a message besides its content (RFC 5321 section 2.3.1).
 * Its texts live in an arena of its own. Built by whoever accepts the message, immutable from then on. */
#ifndef POSTRIDER_MAIL_ENVELOPE_H
#define POSTRIDER_MAIL_ENVELOPE_H

#include <postrider/base/arena.h>
#include <postrider/base/auto.h>
#include <postrider/base/buf.h>
#include <postrider/base/id.h>

/* RFC 6152, RFC 3030; declared, or found in the content. Of BINARY lines may be of any length and end in anything. */
enum envelope_body { ENVELOPE_7BIT = 0, ENVELOPE_8BIT = 1, ENVELOPE_BINARY = 2 };

/* What a report returns of the message (RFC 3461 section 4.3). */
enum envelope_ret { ENVELOPE_RET_UNSAID = 0, ENVELOPE_RET_FULL = 1, ENVELOPE_RET_HDRS = 2 };

/* When to report (RFC 3461 section 4.1): 0 when nothing was said, which means failure and delay; NEVER stands alone. */
enum envelope_notify {
	ENVELOPE_NOTIFY_NEVER = BIT(0),
	ENVELOPE_NOTIFY_SUCCESS = BIT(1),
	ENVELOPE_NOTIFY_FAILURE = BIT(2),
	ENVELOPE_NOTIFY_DELAY = BIT(3),
};

/* When its time is over (RFC 2852): N sends a report and goes on, R returns the message. */
enum envelope_by { ENVELOPE_BY_NONE = 0, ENVELOPE_BY_NOTIFY = 1, ENVELOPE_BY_RETURN = 2 };

/* RFC 8689: the MAIL parameter demands TLS on every hop, the header field asks to go without it rather than not at all. */
enum envelope_tls { ENVELOPE_TLS_UNSAID = 0, ENVELOPE_TLS_REQUIRED = 1, ENVELOPE_TLS_OPTIONAL = 2 };

struct envelope_recipient {
	struct text forward_path;  /* a mailbox without angle brackets, or "postmaster" */
	struct text original_path; /* as the client gave it, when that is another one; else empty */
	struct text orcpt;         /* ORCPT as given: "rfc822;xtext"; empty: none */
	unsigned notify;           /* of enum envelope_notify */
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
	/* What routes asked for when it came, as struct header_pick has it; empty: nothing. */
	struct text fields;

	bool smtputf8;              /* RFC 6531: declared */
	bool header_8bit;           /* octets above 127 were seen in the header section */
	enum envelope_tls tls_wish; /* RFC 8689 */
	enum envelope_ret ret;
	struct text envid;     /* ENVID as given: xtext; empty: none */
	struct text submitter; /* AUTH= as given: xtext or "<>"; empty: none (RFC 4954 section 5) */
	bool has_priority;
	int priority;         /* MT-PRIORITY, -9 to 9 (RFC 6710) */
	int64_t release_time; /* not before then (RFC 4865); 0: at once */
	enum envelope_by by;
	int64_t by_time; /* delivered by then (RFC 2852); with by */
	bool by_trace;

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
/* For the last one added; orcpt is copied. */
MUST_USE enum err envelope_set_delivery_report(struct envelope *e, unsigned notify, struct text orcpt);

MUST_USE enum err envelope_copy(const struct envelope *from, struct envelope **out);

/* As a record (postrider/mail/record.h). b keeps its error as always. */
void envelope_encode(const struct envelope *e, struct buf *b);
/* Copies out of the record. Fields of tags not known are skipped. ERR_DAMAGED: no envelope; ERR_UNSUPPORTED:
 * written by a later version; ERR_NOMEM. */
MUST_USE enum err envelope_decode(struct text record, struct envelope **out);

#endif
