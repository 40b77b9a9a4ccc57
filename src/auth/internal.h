/* auth/internal.h - what the files of the room share. */
#ifndef AUTH_INTERNAL_H
#define AUTH_INTERNAL_H

#include <postrider/auth.h>

#include "backend.h"
#include "checks.h"
#include "guard.h"
#include "prep.h"
#include "secret_key.h"
#include "users.h"

#define CHANNEL_BINDING_MAX 64

struct watch;

struct auth {
	struct auth_options options;
	struct io *io;
	const struct config *config;
	struct users *users; /* NULL: there is no users file */
	struct watch *watch; /* NULL: likewise */
	struct checks *checks;
	struct guard *guard;
	struct auth_backend *dovecot, *token_check; /* NULL: not configured */
	struct secret_key pretence;                 /* for SCRAM when nobody has a verifier */
	struct auth_counts counts;
};

/* ---------------------------------------------------------------- watch.c: the users file */

/* Reads and checks it, blocking: before the loop runs, or at a reload. NULL: no file is configured. */
MUST_USE enum err users_load(const struct auth_options *options, struct text path, struct users **out,
                             struct auth_file_mark *mark, struct buf *problem, struct buf *notice);
/* Looks once a second whether the file is another one, in the disk lane, and puts what it reads in auth->users. */
MUST_USE enum err watch_new(struct auth *auth, struct text path, const struct auth_file_mark *mark,
                            struct watch **out);
void watch_free(struct watch **w);

/* ---------------------------------------------------------------- auth_user.c */

/* Of those whom it might, it may send only as these, which were checked before. ERR_NOMEM: as nobody. */
MUST_USE enum err auth_user_limit(struct auth_user *user, struct text senders);

/* ---------------------------------------------------------------- exchange.c: for mechanisms */

/* A mechanism takes the client's octets, one message after the other, and for each calls one of the exchange_ functions below,
 * at once or later, once. */
struct mechanism {
	enum auth_mechanism bit;
	const char *name;
	bool shows_password;         /* to whoever listens: in TLS only */
	struct text first_challenge; /* when nothing came with the command */
	void (*take)(struct auth_exchange *x, struct text octets);
};
const struct mechanism *mechanism_find(struct text name);
/* By strength, as they are announced; NULL: no more. */
const struct mechanism *mechanism_get(unsigned number);

/* What a SCRAM dialogue keeps between its messages. */
struct scram_state {
	struct buf header; /* gs2-header */
	struct buf bare;   /* client-first-message-bare */
	struct buf server_first;
	size_t nonce_len; /* of both, behind the "r=" of server_first */
	struct scram_verifier verifier;
	bool pretends;
};

struct auth_exchange {
	struct auth *auth;
	struct auth_exchange **slot;
	auth_step_fn *on_step;
	void *owner;
	const struct mechanism *mechanism; /* NULL: not known */

	/* what is known of the client */
	struct ip client;
	bool tls, plus_offered;
	struct config_rate failures;
	char *listener; /* its name */
	struct buf certificate_user, channel_binding;

	/* the dialogue */
	unsigned messages;  /* that came so far */
	int64_t line_at;    /* when the last one did */
	struct buf name;    /* whom the client wants to be */
	struct buf senders; /* whom a backend lets it send as, if it has said so */
	bool has_senders;
	struct buf message, password;
	struct scram_state scram;

	bool awaits_line; /* a challenge was said */

	/* what is under way: at most one of them */
	struct guard_ticket ticket;
	void (*when_granted)(struct auth_exchange *x);
	struct check check;
	bool asks_token_check;              /* or Dovecot */
	const struct auth_backend_ops *ops; /* of call */
	struct auth_call *call;
	enum auth_mechanism asks; /* the mechanism that backend was asked with */
	bool relays;              /* every message goes to backend */
	struct io_timer timer;
	struct io_later later;

	/* the step that comes next */
	enum auth_step_kind kind;
	struct buf challenge;
	const char *why;
	struct buf why_text; /* a backend's */
	struct auth_user *user;
	/* Whatever comes after the challenge, it is over. */
	bool ends_wrong, ends_right;
	const char *ends_why;
};

void exchange_challenge(struct auth_exchange *x, struct text octets);
/* Says octets, and after the client's next message it is right, or wrong: SCRAM's v=, the error of a bearer mechanism. */
void exchange_challenge_then_done(struct auth_exchange *x, struct text octets);
void exchange_challenge_then_wrong(struct auth_exchange *x, struct text octets, const char *why);
void exchange_done(struct auth_exchange *x); /* x->name is it */
void exchange_wrong(struct auth_exchange *x, const char *why);
/* By what a parser said: ERR_SYNTAX is malformed, the others are ours. */
void exchange_failed(struct auth_exchange *x, enum err err, const char *why);
void exchange_malformed(struct auth_exchange *x, const char *why);
void exchange_temporary(struct auth_exchange *x, const char *why);
/* Sets x->name. False: it cannot be one, and the exchange is over. */
bool exchange_take_name(struct auth_exchange *x, struct text name);
/* Whether an authorization identity is none, or x->name again: nobody acts for somebody else here. */
bool exchange_is_own_identity(const struct auth_exchange *x, struct text identity);
/* Calls go, now or later, when this client may guess. x->name is set. */
void exchange_guarded(struct auth_exchange *x, void (*go)(struct auth_exchange *x));
/* x->name and x->password against the users file or the backend that has such users. */
void exchange_check_password(struct auth_exchange *x);

/* ---------------------------------------------------------------- relay.c: for dialogues and tokens that somebody else knows */

/* Whether Dovecot does this mechanism and is to be asked about x->name: it is not in the users file. */
bool relay_knows(const struct auth_exchange *x, enum auth_mechanism mechanism);
void relay_password(struct auth_exchange *x);
/* The dialogue is Dovecot's from its first message on, which x->message holds. */
void relay_begin(struct auth_exchange *x);
void relay_go_on(struct auth_exchange *x);
/* x->name: whom the client wants to be, may be empty. */
void relay_token(struct auth_exchange *x, struct text token);
void relay_cancel(struct auth_exchange *x);

/* ---------------------------------------------------------------- the mechanisms */

void plain_take(struct auth_exchange *x, struct text octets);
void login_take(struct auth_exchange *x, struct text octets);
void external_take(struct auth_exchange *x, struct text octets);

/* gs2-header = gs2-cbind-flag "," [ authzid ] "," (RFC 5801 section 4), which OAUTHBEARER has too. Cut from *rest. */
struct gs2 {
	struct text flag;     /* "n", "y", or "p=..." */
	struct text identity; /* a saslname still */
	struct text header;   /* all of it */
};
bool gs2_parse(struct text *rest, struct gs2 *out);
/* saslname: "," is =2C and "=" is =3D, nothing else stands behind a "=". */
MUST_USE enum err saslname_decode(struct text t, struct buf *out);
void scram_take(struct auth_exchange *x, struct text octets);
void scram_init(struct scram_state *s);
void scram_fini(struct scram_state *s);
void oauthbearer_take(struct auth_exchange *x, struct text octets);
void xoauth2_take(struct auth_exchange *x, struct text octets);

#endif
