/* postrider/observe/reason.h - why something did not succeed, and how far it had come. Closed lists: the words are
 * part of what users see (events, metrics, JSON), and the numbers are stored in the queue: never renumber. */
#ifndef POSTRIDER_OBSERVE_REASON_H
#define POSTRIDER_OBSERVE_REASON_H

#include <postrider/base/text.h>

enum reason {
	REASON_NONE = 0,
	REASON_DNS = 1,              /* dns */
	REASON_NO_MX = 2,            /* no_mx */
	REASON_NULL_MX = 3,          /* null_mx */
	REASON_CONNECT = 4,          /* connect */
	REASON_TLS = 5,              /* tls */
	REASON_TLS_POLICY = 6,       /* tls_policy */
	REASON_AUTH = 7,             /* auth */
	REASON_GREYLISTED = 8,       /* greylisted */
	REASON_RATE_LIMITED = 9,     /* rate_limited */
	REASON_MAILBOX_FULL = 10,    /* mailbox_full */
	REASON_NO_SUCH_USER = 11,    /* no_such_user */
	REASON_NO_SUCH_DOMAIN = 12,  /* no_such_domain */
	REASON_BLOCKED = 13,         /* blocked */
	REASON_CONTENT = 14,         /* content */
	REASON_TOO_LARGE = 15,       /* too_large */
	REASON_POLICY = 16,          /* policy */
	REASON_TIMEOUT = 17,         /* timeout */
	REASON_PROTOCOL = 18,        /* protocol */
	REASON_SPOOL = 19,           /* spool */
	REASON_ADMIN = 20,           /* admin */
	REASON_UNKNOWN_OUTCOME = 21, /* unknown_outcome */
	REASON_OTHER = 22,           /* other */
	REASON_EXTENSION = 23,       /* extension: the next hop lacks one that the message needs */
	REASON_DEADLINE = 24,        /* deadline: the sender's, by DELIVERBY */
	REASON_COUNT
};

enum stage {
	STAGE_NONE = 0,
	STAGE_CONNECT = 1,
	STAGE_GREETING = 2,
	STAGE_EHLO = 3,
	STAGE_STARTTLS = 4,
	STAGE_AUTH = 5,
	STAGE_MAIL = 6,
	STAGE_RCPT = 7,
	STAGE_DATA = 8,
	STAGE_DOT = 9,
	STAGE_QUIT = 10,
	STAGE_COUNT
};

struct text reason_text(enum reason reason);      /* "no_such_user"; REASON_NONE: empty */
struct text stage_text(enum stage stage);
MUST_USE enum err reason_from_text(struct text t, enum reason *out);

#endif
