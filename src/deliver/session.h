/* deliver/session.h - the client's side of one SMTP connection, as an engine without I/O.
 *
 *   START -> GREETING -> EHLO -> UP -> QUIT -> CLOSED
 *   EHLO -> HELO -> UP: a server that does not know EHLO
 *   EHLO -> STARTTLS -> HANDSHAKE -> EHLO -> UP; STARTTLS -> UP: refused, and TLS is not demanded
 *   START -> HANDSHAKE -> GREETING: TLS from the first octet (RFC 8314)
 *   EHLO -> AUTH -> UP: with a login (session_login.c)
 *   any -> CLOSED
 *
 * In UP mail transactions follow each other (transaction.h). It is told what happens (connected, octets,
 * drained, tls done, deadline, closed) and answers through struct session_output. RFC 5321, 2920
 * (PIPELINING), 1870 (SIZE), 6152 (8BITMIME), 3207 (STARTTLS), 3030 (BDAT), 9422 (LIMITS); parameters.h for what is passed
 * on.
 *
 * Decisions:
 * - Content with octets above 127 goes to a server without 8BITMIME too, without BODY=. RFC 6152 asks for
 *   conversion or a bounce; servers of today that do not say 8BITMIME pass eight bits all the same,
 *   conversion would break signatures, and a bounce would help nobody.
 * - After a refused STARTTLS an opportunistic session goes on without TLS on the same connection; after a
 *   failed handshake it ends (SESSION_TLS), and the caller may connect anew without. */
#ifndef DELIVER_SESSION_H
#define DELIVER_SESSION_H

#include <postrider/auth/client.h>
#include <postrider/smtp/reply.h>

#include "needs.h"
#include "outbox.h"
#include "transaction.h"

enum session_phase {
	SESSION_START,
	SESSION_GREETING,
	SESSION_EHLO,
	SESSION_HELO,
	SESSION_STARTTLS,
	SESSION_HANDSHAKE,
	SESSION_AUTH,
	SESSION_UP,
	SESSION_QUIT,
	SESSION_CLOSED,
	SESSION_PHASE_COUNT
};

/* Why a session never came up. */
enum session_fault {
	SESSION_REPLY, /* the peer said no */
	SESSION_CUT,   /* it closed the connection, or did not speak SMTP */
	SESSION_SILENCE,
	SESSION_TLS,    /* the handshake failed, or what surrounds it */
	SESSION_NO_TLS, /* demanded and not to be had */
	SESSION_LACKS,  /* it is up, and cannot take the mail it was opened for */
	SESSION_NO_LOGIN,    /* demanded and not to be had: nothing of a credential was shown */
	SESSION_LOGIN,       /* the credential was refused, as often as it may be in one attempt */
	SESSION_LOGIN_AGAIN, /* it was refused, and the connection closed; something is left to try on another one */
};

/* What a session finds out of its host, to be remembered. */
enum session_lesson {
	SESSION_KEEPS, /* it took a command after a message on the same connection */
	SESSION_CUTS,  /* it closed where the next envelope had been joined to a message */
	SESSION_NO_CHUNKS, /* it offers CHUNKING and does not know BDAT */
};

/* Of the connection, for a login. */
struct session_facts {
	bool may_be_shown;   /* the host proved its name, or nobody is in between, or somebody said that it may be */
	struct text binding; /* tls-exporter; empty: none. Until the session ends, as the next */
	struct text nonce;   /* AUTH_CLIENT_NONCE_OCTETS from the system */
};

/* Whether a login may go on. Borrowed for the call. */
struct session_permit {
	enum err err;         /* ERR_TEMPORARY, ERR_NOMEM: there is no token. ERR_DENIED: it failed lately, and is not tried */
	struct text problem;  /* with an error: for people */
	int code;             /* with ERR_DENIED: of the reply then; 0: none */
	struct text token;    /* where one was asked for */
	uint64_t serial;      /* of the token */
};

struct session_output {
	outbox_send_fn *send;
	size_t (*unsent)(void *owner); /* octets given to send that have not left yet */
	int64_t (*now_at)(void *owner);
	int64_t (*now_time)(void *owner);
	void (*deadline)(void *owner, int64_t wait_ms); /* session_deadline in so many ms; 0: not any more */
	void (*start_tls)(void *owner);                 /* ends in session_tls_done */
	void (*facts)(void *owner, struct session_facts *out);
	/* May we log in? Ends in session_permitted, in a later turn; with a token where the mechanism needs one. */
	void (*ask_login)(void *owner, bool needs_token);
	/* Ends in session_derived, in a later turn. Copied. */
	void (*derive)(void *owner, const struct auth_client_derivation *what);
	void (*later)(void *owner);                     /* session_later in a later turn */
	void (*up)(void *owner);                        /* once */
	void (*ready)(void *owner);                     /* session_send may be called, also from inside */
	void (*result)(void *owner, struct deliver_job *job, size_t index, struct deliver_result *r);
	void (*done)(void *owner, struct deliver_job *job);
	/* Instead of up; close follows. */
	void (*failed)(void *owner, enum session_fault fault, struct deliver_result *r);
	void (*learned)(void *owner, enum session_lesson lesson);
	/* The mail data of a gated job leaves, all but its end: that waits for session_open_gate. */
	void (*gate)(void *owner, struct deliver_job *job);
	void (*close)(void *owner, bool finish); /* last of all; finish: what was sent should leave first */
};

#define SESSION_LOGIN_WORDS 1024
#define SESSION_REFUSALS_MAX 2 /* of a credential, in one attempt */

/* What an attempt keeps of a login, over all connections that it makes. The owner's memory. */
struct session_login {
	const struct config_login *login; /* NULL: none */
	bool has_certificate;             /* we show one in the handshake */
	struct text host;                 /* whom we connect to, for those mechanisms that say it */
	uint16_t port;
	unsigned passed;       /* mechanisms not to be tried any more at this host, of enum auth_client_mechanism */
	unsigned refused;      /* how often a credential was refused */
	uint64_t serial;       /* of the token at hand; 0: none */
	uint64_t stale_serial; /* of the token that was refused; 0: none */
	enum auth_client_mechanism used; /* the one that is being tried, or was last */
	/* The last refusal. */
	int code;
	char enhanced[REPLY_ENHANCED_MAX];
	char words[SESSION_LOGIN_WORDS];
	size_t words_len;
};

struct session_options {
	struct text helo; /* all borrowed for the session's life */
	const struct config_timeouts *timeouts;
	enum config_tls tls;
	bool no_tls;      /* a handshake with this host failed lately; only with OPPORTUNISTIC */
	bool no_ehlo;     /* this host drops the connection at EHLO */
	bool joins;       /* this host may be sent the next envelope behind a message */
	bool never_joins; /* and must not be, whatever it does */
	bool verifies;    /* a handshake that succeeds proves the host's name */
	bool lmtp;        /* RFC 2033 */
	bool no_chunks;   /* this host does not do what it says of CHUNKING */
	struct deliver_needs needs;
	struct session_login *login; /* NULL: none */
	struct outbox *outbox;
	const struct session_output *out;
	void *owner;
};

struct session {
	struct session_options o;
	enum session_phase phase;
	struct reply_reader replies;
	struct buf line;   /* the reply at hand as one line for people */
	unsigned keywords; /* of the EHLO that counts */
	uint64_t size_limit_bytes;
	uint64_t by_min_s;            /* of DELIVERBY */
	struct deliver_limits limits; /* LIMITS */
	struct auth_client dialogue;
	struct buf auth_list;        /* mechanisms of that EHLO, as they were said */
	unsigned auth_offered;       /* those of them that we know */
	bool auth_asks, auth_derives; /* we are not ready to go on */
	bool auth_cancels;           /* "*" is out */
	bool auth_was_refused;       /* on this connection */
	const char *auth_fault;      /* what was wrong with how the host speaks a mechanism; NULL: nothing */
	struct transaction slots[2];  /* in order; without a job: empty */
	unsigned given_count;         /* jobs */
	unsigned begun_count;         /* transactions */
	unsigned message_count;       /* final dots that were answered */
	int64_t heard_at;             /* the last reply */
	unsigned depth;               /* inside an entry point */
	size_t unsent_seen;
	bool secure;
	bool announced;   /* ready was said and no job came since */
	bool needs_reset; /* the peer still holds a transaction */
	bool finishing;
	bool keeps_said, cuts_said;
	bool in_later; /* what was refused by ourselves may get its results now */
};

void session_init(struct session *s, const struct session_options *options);
void session_fini(struct session *s);

/* Events. All but session_send may end in out->close; nothing is called back after it. */
void session_connected(struct session *s);
size_t session_data(struct session *s, struct text bytes); /* how many were taken */
void session_drained(struct session *s);
void session_body_ready(struct session *s); /* of the body_source that is being sent */
void session_tls_done(struct session *s, enum err err, struct text problem);
void session_permitted(struct session *s, const struct session_permit *permit);
void session_derived(struct session *s, const struct auth_client_derivation *done);
void session_deadline(struct session *s);
void session_later(struct session *s);
void session_closed(struct session *s, enum err why); /* by the peer or the network */

/* As in deliver.h. */
void session_send(struct session *s, struct deliver_job *job);
void session_finish(struct session *s);
void session_abort(struct session *s);
void session_open_gate(struct session *s, struct deliver_job *job, bool may);
bool session_call_off(struct session *s, struct deliver_job *job);

static inline bool session_is_ready(const struct session *s)
{
	return s->announced && s->phase == SESSION_UP && !s->finishing;
}

static inline bool session_is_secure(const struct session *s)
{
	return s->secure;
}

bool session_meets(const struct session *s, const struct deliver_needs *needs);
/* What it lacks of needs; words in s->line. */
bool session_lacks(struct session *s, const struct deliver_needs *needs, struct needs_lack *out);

static inline bool tls_is_demanded(enum config_tls tls)
{
	return tls == CONFIG_TLS_REQUIRE || tls == CONFIG_TLS_IMPLICIT;
}

/* ---------------------------------------------------------------- between session.c, session_hello.c, session_login.c */

#define SESSION_LINE_KEPT_BYTES 1024u /* of a reply, for events and reports */

void session_enter(struct session *s);
void session_leave(struct session *s);
void session_enter_phase(struct session *s, enum session_phase next);
void session_command(struct session *s, struct text verb, struct text argument); /* argument may be empty */
void session_come_up(struct session *s);
/* It never comes up; what failed stands in s->line. */
void session_fail(struct session *s, enum session_fault fault, struct deliver_result *r, bool goodbye);
void session_fail_by_reply(struct session *s, const struct reply *reply);
void session_fail_by_us(struct session *s, enum session_fault fault, enum reason reason, const char *enhanced);
void session_fail_out_of_step(struct session *s);

void session_say_hello(struct session *s, enum session_phase phase); /* EHLO or HELO */
void session_hello_reply(struct session *s, const struct reply *reply, struct text rest);
/* TLS could not be had as it is demanded. is_final: the host does not have it, rather than that it failed. */
void session_fail_tls(struct session *s, enum session_fault fault, const char *enhanced, bool is_final);

void session_login_init(struct session *s);
void session_login_fini(struct session *s);
void session_login_offered(struct session *s, struct text list); /* an EHLO's; empty: none any more */
void session_login_begin(struct session *s);
void session_login_reply(struct session *s, const struct reply *reply);
bool session_login_waits_for_us(const struct session *s);
/* The host closed. False: that is all there is to say; else the session has ended. */
bool session_login_cut(struct session *s);

/* ---------------------------------------------------------------- between session.c and transaction.c */

/* Ends an established session: all jobs in hand get their results (transactions_end), the connection is
 * closed. */
void session_end(struct session *s, enum session_end why, const char *words, const struct reply *reply);
void session_say(struct session *s, const char *words);               /* s->line = words */
void session_say_reply(struct session *s, const struct reply *reply); /* s->line = the reply, bounded */

#endif
