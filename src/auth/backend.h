/* auth/backend.h - somebody else who knows users: Dovecot (the SASL dialogue is relayed), a checker of bearer tokens.
 *
 * The engine (exchange.c) has done base64, line lengths, "*", lock-out and delays: a backend sees octets, tells what it
 * found at once, and never waits on purpose. Everything runs on the loop. */
#ifndef AUTH_BACKEND_H
#define AUTH_BACKEND_H

#include <postrider/auth.h>

#define AUTH_SENDERS_MAX 4096

struct auth_backend; /* begins with ops: see below */
struct auth_call;    /* one dialogue with it, of the backend's own making */

enum auth_verdict {
	AUTH_SAYS_MORE,  /* octets: the server's next message; auth_backend_ops.answer goes on */
	AUTH_SAYS_YES,   /* user: who it is */
	AUTH_SAYS_NO,    /* wrong password, unknown user, bad token */
	AUTH_SAYS_LATER, /* a passing failure: it is down, did not answer in time, said so itself */
};

/* Borrowed for the call. */
struct auth_result {
	enum auth_verdict verdict;
	struct text
		octets; /* MORE: the message, not base64; may be empty. YES from Dovecot: what the mechanism sends with
	                     * success (SCRAM's v=...), which the engine sends as a last challenge; else empty */
	struct text user; /* YES: the name, not empty, no control characters (checked by the engine too) */
	/* YES: the only ones it may send as, written as in the users file, whose own limits for the name count too; empty and
	 * not NULL: nobody. At NULL: nothing was said. AUTH_SENDERS_MAX octets at most, and checked. */
	struct text senders;
	struct text why; /* NO, LATER: for the log, without anything of a credential */
};

/* Once for begin and once for each answer, in a later turn, never from inside them. After YES, NO and LATER the call is over:
 * its slot is NULL before this runs. */
typedef void auth_result_fn(void *owner, const struct auth_result *result);

/* Borrowed for the call. */
struct auth_request {
	enum auth_mechanism mechanism;
	/* Dovecot: the mechanism's first message as octets; LOGIN is asked as PLAIN, which the engine puts together.
	 * token_check: the bearer token alone (RFC 6750 section 2.1, checked to be of those characters), for both mechanisms. */
	bool has_initial;
	struct text initial;
	struct text
		user; /* token_check: whom the client wants to be (OAUTHBEARER a=, XOAUTH2 user=); may be empty */
	struct text listener; /* its name */
	struct ip client;     /* IP_NONE: a Unix socket */
	bool tls;
	auth_result_fn *on_result;
	void *owner;
};

struct auth_backend_ops {
	/* Bits that it can do now; 0 while it is not known (not connected yet, down for long). Cheap: asked at each EHLO. Dovecot:
	 * among PLAIN, SCRAM-SHA-256, OAUTHBEARER, XOAUTH2 (the engine offers LOGIN where there is PLAIN). */
	unsigned (*mechanisms)(const struct auth_backend *b);
	/* An error: nothing was started, on_result never runs; the client hears 454. Credentials that are copied are wiped. */
	enum err (*begin)(struct auth_backend *b, const struct auth_request *request,
	                  struct auth_call **slot);
	/* After MORE. Octets are borrowed. token_check never says MORE: NULL there. */
	void (*answer)(struct auth_call *call, struct text octets);
	void (*cancel)(struct auth_call **slot); /* on_result runs no more; *slot may be NULL */
	/* After a reload, or at the end. Calls still under way (only after a reload) hear LATER in a later turn, and its memory goes
	 * when the last has. *b is NULL afterwards. */
	void (*close)(struct auth_backend **b);
};

struct auth_backend {
	const struct auth_backend_ops *ops;
};

/* That it is away, and that it is back, for the log: once each, however many ask. From the loop, and not from inside a call of
 * the backend's; fn calls nothing of it. */
struct auth_backend_news {
	void (*fn)(void *owner, bool is_bad, struct text what); /* NULL: nobody wants to know */
	void *owner;
};

/* dovecot.c: a client of Dovecot's auth socket (its "auth-client" protocol 1.x). Connects by itself, again and again with
 * growing pauses, when it is made; *out is valid whether or not anybody is there. Reads nothing but what it is given here. */
MUST_USE enum err auth_dovecot_new(struct io *io, const struct config_endpoint *address,
                                   struct auth_backend_news news, struct auth_backend **out);

/* token_check.c: asks an HTTP service about a bearer token. ERR_CONFIG: problem says what is wrong with the URL. mechanisms():
 * always OAUTHBEARER and XOAUTH2; a service that is down gives LATER. */
MUST_USE enum err auth_token_check_new(struct io *io, struct text url, struct auth_backend_news news,
                                       struct auth_backend **out, struct buf *problem);

#endif
