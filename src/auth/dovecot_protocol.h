/* auth/dovecot_protocol.h - the lines of Dovecot's auth client protocol, version 1.x, without I/O.
 *
 * Both say VERSION first; the server goes on with MECH, SPID, CUID, COOKIE and DONE, the client with CPID. Then requests, each
 * with a number of its own, so that many are under way at a time:
 *
 *   C: AUTH 1 PLAIN service=smtp nologin no-penalty rip=192.0.2.1 secured resp=...
 *   S: CONT 1 ... | OK 1 user=... | FAIL 1 temp ...
 *   C: CONT 1 ... | CANCEL 1
 *
 * The separator is HTAB, the end LF; in values octet 001 escapes (001 "t" is HTAB), and messages of mechanisms are base64. */
#ifndef AUTH_DOVECOT_PROTOCOL_H
#define AUTH_DOVECOT_PROTOCOL_H

#include <postrider/base/buf.h>

#include "backend.h"

#define DOVECOT_LINE_MAX 8192     /* of Dovecot, without its end */
#define DOVECOT_REQUEST_MAX 16000 /* of ours: Dovecot takes 16384 */
#define DOVECOT_HANDSHAKE_LINES_MAX 1000

/* A zeroed one is a fresh connection. */
struct dovecot_handshake {
	bool has_version, is_done;
	unsigned mechanisms; /* of enum auth_mechanism, those that can be relayed */
	unsigned lines;
};

enum dovecot_kind {
	DOVECOT_NOTHING, /* a part of the handshake, or what we need not know */
	DOVECOT_READY,   /* DONE: requests may be sent */
	DOVECOT_CONT,
	DOVECOT_OK,
	DOVECOT_FAIL,
};

/* Borrowed from the line; user and reason still escaped. */
struct dovecot_line {
	enum dovecot_kind kind;
	uint32_t id;
	struct text data;         /* CONT: the message; OK: that of resp=; base64 */
	struct text user, reason; /* at NULL: not said */
	bool temporary;           /* FAIL: Dovecot could not find out */
};

/* One line without its end. ERR_SYNTAX: that is not the protocol; ERR_UNSUPPORTED: another version of it; ERR_TOO_BIG: a
 * handshake without an end. In each case the connection is of no more use. */
MUST_USE enum err dovecot_read(struct dovecot_handshake *h, struct text line, struct dovecot_line *out);

/* ERR_SYNTAX: a broken escape; out then has a part of it. */
MUST_USE enum err dovecot_unescape(struct text value, struct buf *out);

void dovecot_write_hello(struct buf *out, uint32_t client_id); /* unique among those connected */
/* To be wiped: the message of the mechanism is in it. */
void dovecot_write_auth(struct buf *out, uint32_t id, const struct auth_request *request);
void dovecot_write_cont(struct buf *out, uint32_t id, struct text octets);
void dovecot_write_cancel(struct buf *out, uint32_t id);

#endif
