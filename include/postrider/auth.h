/* postrider/auth.h - who a client is: SASL for SMTP (RFC 4954), the users file, lock-out. One struct auth serves the process.
 *
 * PLAIN (RFC 4616), LOGIN, SCRAM-SHA-256 and -PLUS (RFC 5802, 7677, 9266), EXTERNAL (RFC 4422), OAUTHBEARER (RFC 7628),
 * XOAUTH2. A dialogue is a struct auth_exchange: it takes the client's lines and answers each with one step, in a later
 * turn of the loop. Passwords are hashed in the CPU lane, and nothing of a credential is kept or said to anybody. */
#ifndef POSTRIDER_AUTH_H
#define POSTRIDER_AUTH_H

#include <postrider/config.h>
#include <postrider/io/io.h>

struct auth;
struct auth_exchange; /* one dialogue */
struct auth_user;     /* who logged in: immutable, counted by references, on the loop's thread */

/* Bits, the strongest first as they are announced. */
enum auth_mechanism {
	AUTH_SCRAM_SHA_256_PLUS = 1 << 0,
	AUTH_SCRAM_SHA_256 = 1 << 1,
	AUTH_EXTERNAL = 1 << 2,
	AUTH_OAUTHBEARER = 1 << 3,
	AUTH_XOAUTH2 = 1 << 4,
	AUTH_PLAIN = 1 << 5,
	AUTH_LOGIN = 1 << 6,
};
#define AUTH_MECHANISMS 7
/* A line of the dialogue without its CR LF (RFC 4954 section 4.5 asks for 12288). */
#define AUTH_LINE_MAX 12288

const char *auth_mechanism_name(enum auth_mechanism mechanism); /* "SCRAM-SHA-256-PLUS" */

/* ---------------------------------------------------------------- the process's one */

/* A file as the system has it, to see whether it changed. */
struct auth_file_mark {
	uint64_t device, inode, bytes;
	int64_t changed_ns; /* the later of mtime and ctime */
	unsigned mode;      /* permission bits */
	uint32_t uid;       /* of its owner */
};

enum auth_notice {
	AUTH_USERS_TAKEN, /* the users file was another one, and is in force */
	AUTH_USERS_ODD,   /* legal, and odd: file:line, why, what to do. Also at the start and at a reload */
	AUTH_USERS_REFUSED, /* it was another one, and wrong: file:line, why, what to do. The old users stay */
	AUTH_BACKEND_DOWN, /* Dovecot or the token service does not answer, or not sensibly: who, why, what to do */
	AUTH_BACKEND_BACK, /* it answers again */
};

struct auth_options {
	struct io *io;
	const struct config *config; /* referenced */
	unsigned hashes_at_once;     /* threads of the CPU lane that passwords may take; 0: 2. yescrypt has 16 MiB for each */
	/* The users file. Both are called before the loop runs and from jobs of the disk lane: they touch nothing of the
	 * loop's. mark: ERR_NOT_FOUND, ERR_DENIED, ... read_file as config_sources has it: detail and hint for people. */
	enum err (*mark_file)(void *owner, struct text path, struct auth_file_mark *out);
	enum err (*read_file)(void *owner, struct text path, struct buf *out, struct buf *detail,
	                      struct buf *hint);
	void *files;
	/* For the log: what is for people, lines with LF. May be NULL. */
	void (*on_notice)(void *owner, enum auth_notice notice, struct text what);
	void *owner;
};

/* problem: for people, with file:line. ERR_CONFIG: the users file has mistakes or cannot be read. */
MUST_USE enum err auth_new(const struct auth_options *options, struct auth **out, struct buf *problem);
/* A reload. ERR_CONFIG: problem says what is wrong and everything is as before. Dialogues under way go on. */
MUST_USE enum err auth_configure(struct auth *auth, const struct config *config, struct buf *problem);
/* Every exchange must be over or cancelled. Jobs in a lane may still be out: their memory goes when they end, so the loop
 * turns once more before the world is freed. NULL is fine. */
void auth_free(struct auth **auth);

struct auth_counts {
	uint64_t succeeded, failed, temporary, locked; /* dialogues, by their end */
	uint64_t hashes, cache_hits; /* passwords hashed, and found to be right without it */
	size_t users, waiting;       /* in the users file; passwords that wait to be hashed */
};
struct auth_counts auth_count(const struct auth *auth);

/* ---------------------------------------------------------------- a client */

/* What is known of a connection. Borrowed for a call. */
struct auth_peer {
	const struct config_listener *listener;
	struct ip client; /* IP_NONE: a Unix socket */
	bool tls;
	struct text certificate_user; /* the identity that its checked certificate gives; empty: none */
	struct text channel_binding;  /* tls-exporter (RFC 9266), 32 octets; empty: not to be had */
};

/* The mechanisms that may be used here and now, as bits of enum auth_mechanism: those that some user can use, that the
 * listener allows, and that show no password outside TLS unless the listener says so. 0: AUTH is not announced. */
unsigned auth_offered(const struct auth *auth, const struct auth_peer *peer);
/* "SCRAM-SHA-256 PLAIN LOGIN", for the EHLO keyword AUTH. */
void auth_add_offered(struct buf *out, unsigned mechanisms);

/* ---------------------------------------------------------------- a dialogue */

enum auth_step_kind {
	AUTH_CHALLENGE,         /* 334: more is wanted */
	AUTH_DONE,              /* 235 2.7.0 */
	AUTH_WRONG,             /* 535 5.7.8 */
	AUTH_TEMPORARY,         /* 454 4.7.0: a backend is down, too much waits, no memory */
	AUTH_LOCKED,            /* 454 4.7.0: too many failures */
	AUTH_MALFORMED,         /* 501 5.5.2: no base64, or not what the mechanism says */
	AUTH_TOO_LONG,          /* 500 5.5.6 */
	AUTH_CANCELLED,         /* 501 5.7.0: the client said "*" */
	AUTH_UNKNOWN_MECHANISM, /* 504 5.5.4 */
	AUTH_NEEDS_TLS,         /* 538 5.7.11 */
};

/* Everything is borrowed for the call. */
struct auth_step {
	enum auth_step_kind kind;
	struct text challenge;         /* CHALLENGE: base64, what goes behind "334 "; may be empty */
	struct auth_user *user;        /* DONE: auth_user_ref to keep it; else NULL */
	enum auth_mechanism mechanism; /* 0: UNKNOWN_MECHANISM */
	struct text name; /* as the client called itself, octets from outside; empty: not known (yet) */
	struct text why;  /* not DONE, not CHALLENGE: for the log only, never for the client */
};

/* What the client is told at the end of a dialogue: 235, "2.7.0", "Authentication successful". Not for CHALLENGE. */
struct auth_words {
	int code;
	const char *enhanced, *text;
};
struct auth_words auth_words(enum auth_step_kind kind);

/* One for auth_begin and one for each auth_answer, in a later turn, never from inside. Failures come late, so that guessing
 * takes time. With any kind but CHALLENGE the dialogue is over and *slot is NULL before the call. */
typedef void auth_step_fn(void *owner, const struct auth_step *step);

struct auth_start {
	const struct auth_peer *peer;
	struct text mechanism; /* the first word behind AUTH, in any case */
	bool has_initial;
	struct text initial; /* base64 as it came; "=" is empty */
	auth_step_fn *on_step;
	void *owner;
};

/* An error (ERR_NOMEM): nothing was started, on_step never runs. *slot holds the dialogue until its last step. */
MUST_USE enum err auth_begin(struct auth *auth, const struct auth_start *start, struct auth_exchange **slot);
/* The client's line after a CHALLENGE, without CR LF; "*" ends the dialogue. Copied and wiped; the caller wipes its own. */
void auth_answer(struct auth_exchange *exchange, struct text line);
/* on_step runs no more. What was guessed and found wrong stays counted. *slot may be NULL. */
void auth_cancel(struct auth_exchange **slot);

/* ---------------------------------------------------------------- who logged in */

struct text auth_user_name(const struct auth_user *user);
/* Whether the mailbox of a reverse-path or of a From field is one that this user may send as. The null reverse-path always
 * is; without senders in the users file every one is. */
bool auth_user_may_send(const struct auth_user *user, struct text mailbox);
/* Somebody whom others vouch for: a certificate, a trusted peer. With what the users file says of the name's senders; a name that
 * is not there may send as everybody. ERR_DENIED: it is shut out there. */
MUST_USE enum err auth_user_new(const struct auth *auth, struct text name, struct auth_user **out);
struct auth_user *auth_user_ref(struct auth_user *user);
void auth_user_unref(struct auth_user **user);

#endif
