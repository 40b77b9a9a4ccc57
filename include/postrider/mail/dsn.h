/* postrider/mail/dsn.h - delivery status notifications: what we write to a sender about mail that did not
 * arrive, is late, or did arrive. RFC 3461 section 6, RFC 6522 (multipart/report), RFC 3464
 * (delivery-status), RFC 3834; RFC 6533 for addresses beyond ASCII. */
#ifndef POSTRIDER_MAIL_DSN_H
#define POSTRIDER_MAIL_DSN_H

#include <postrider/base/buf.h>
#include <postrider/base/id.h>

enum dsn_action { DSN_FAILED, DSN_DELAYED, DSN_DELIVERED, DSN_RELAYED, DSN_EXPANDED };

enum dsn_return { DSN_RETURN_HEADERS, DSN_RETURN_FULL, DSN_RETURN_NOTHING };

struct dsn_recipient {
	struct text forward_path;
	struct text original_path; /* as the sender wrote it, when that is another one; else empty */
	struct text orcpt;         /* ORCPT as given, which counts before original_path; empty: none */
	enum dsn_action action;
	/* "5.1.1". A class that goes ill with the action is corrected; what failed after days of 4.x.x keeps it. */
	struct text status;
	struct text reply;       /* "550 5.1.1 no such user", as the peer said or our own words; any octets */
	bool from_peer;          /* the reply is a peer's: becomes Diagnostic-Code */
	struct text explanation; /* a sentence for people, or empty */
	struct text remote_mta;  /* host name, empty when none was reached */
	int64_t last_attempt_time;     /* 0: none */
	int64_t will_retry_until_time; /* DSN_DELAYED: when we give up */
};

struct dsn {
	struct id id; /* of the notice: makes its Message-ID and, with `random`, its boundary */
	uint64_t random;
	int64_t now_time;
	struct text hostname; /* Reporting-MTA, and the right side of the Message-ID */
	struct text from;     /* mailbox of the From field: "postmaster@relay.example.com" */
	struct text to;       /* reverse-path of the message; not empty */
	struct id original_id;
	int64_t arrival_time;
	struct text message_id; /* of the message: "<...>"; empty: none */
	struct text subject;    /* likewise; any octets */
	struct text envid;      /* ENVID as given: xtext; empty: none */
	bool utf8; /* the message came with SMTPUTF8: where an address is not ASCII the notice is not either */
	const struct dsn_recipient *recipients;
	size_t recipient_count; /* one at least */
	enum dsn_return returned;
	struct text original;    /* prepended fields and content from the start, as much as the caller has */
	uint64_t original_bytes; /* how long it is in all: FULL needs it whole, else headers are returned */
	size_t returned_max_bytes; /* longer: headers only; longer headers are cut at a field */
};

struct dsn_result {
	bool is_8bit;             /* the notice must be sent as BODY=8BITMIME */
	enum dsn_return returned; /* what became of it */
};

/* Adds the whole notice, header and body, with CR LF; to be sent with the null reverse-path. Errors are kept
 * by b. */
void dsn_add(struct buf *b, const struct dsn *d, struct dsn_result *result);

struct text dsn_action_text(enum dsn_action action); /* "failed" */

#endif
