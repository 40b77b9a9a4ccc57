/* receive/session.h - one inbound session as a state machine without I/O (RFC 5321 section 4.1.4, order of commands).
 *
 *   START -> READY -> MAIL -> RCPT -> DATA or CHUNKS -> COMMIT -> READY
 *   RSET, HELO, EHLO: back to READY;  STARTTLS: READY -> TLS -> START;  any -> CLOSED
 *   AUTH: READY -> AUTH -> READY;  a policy service: MAIL, RCPT or DATA -> ASK -> MAIL, RCPT, COMMIT or READY
 *
 * START has not seen HELO or EHLO. AUTH is the dialogue of RFC 4954. ASK: a recipient, or a whole message, waits for what an
 * outside service says of it. COMMIT: the mail data is complete and the queue decides; the 250 that follows takes
 * responsibility for the message (section 6.1), so it is written in receive_session_decided and nowhere else.
 *
 * It takes events (octets, a decision, a deadline) and answers through struct receive_session_ops and by octets in `out`, which
 * whoever feeds it writes to the peer after each call. */
#ifndef POSTRIDER_RECEIVE_SESSION_H
#define POSTRIDER_RECEIVE_SESSION_H

#include <postrider/auth.h>
#include <postrider/config.h>
#include <postrider/filter/policy_service.h>
#include <postrider/mail/envelope.h>
#include <postrider/mail/header.h>
#include <postrider/observe/event.h>
#include <postrider/queue.h>
#include <postrider/smtp/command.h>
#include <postrider/smtp/data.h>
#include <postrider/smtp/ehlo.h>
#include <postrider/smtp/parameter.h>
#include <postrider/smtp/reply.h>
#include <postrider/tls.h>

enum phase {
	PHASE_START,
	PHASE_READY,
	PHASE_MAIL,
	PHASE_RCPT,
	PHASE_ASK,
	PHASE_DATA,
	PHASE_CHUNKS, /* from the first BDAT on */
	PHASE_COMMIT, /* MAIL to COMMIT: with a transaction */
	PHASE_TLS,
	PHASE_AUTH,
	PHASE_CLOSED,
	PHASE_COUNT
};

struct receive_session;

/* What is counted before it is allowed. */
enum receive_limit {
	RECEIVE_LIMIT_TLS,       /* STARTTLS */
	RECEIVE_LIMIT_MESSAGE,   /* MAIL */
	RECEIVE_LIMIT_RECIPIENT, /* RCPT, with the transaction's reverse-path */
};

/* Why not, as it is to be answered. */
struct receive_limit_answer {
	int code;
	const char *enhanced;
	const char *text;
	const char *rule;
	int64_t wait_ms; /* when it may be tried again; 0: not known */
	enum reason reason;
};

struct receive_session_ops {
	/* Between transactions: config and listener may be replaced by the present ones. */
	void (*renew)(void *owner);
	int64_t (*now_time)(void *owner);
	struct id (*make_id)(void *owner);
	/* ERR_FULL and the like: 452 or 451 is said instead of taking the message. */
	enum err (*open_draft)(void *owner, uint64_t declared_bytes);
	enum err (*write_draft)(void *owner, struct text bytes);
	bool (*draft_is_busy)(void *owner);
	void (*abort_draft)(void *owner);
	/* Takes the draft over; receive_session_decided is called later, never from inside this call. */
	void (*commit)(void *owner, const struct queue_submission *submission);
	/* What is in `out` has to be written first; receive_session_tls_done is called later. */
	void (*start_tls)(void *owner);
	/* After `out` was written. */
	void (*close)(void *owner);
	void (*emit)(void *owner, struct event *event); /* adds nothing; borrowed */

	/* Whether a message of so many octets would be taken now. */
	bool (*has_room)(void *owner, uint64_t bytes);

	/* Counts one more. False: too many, *why says which limit. */
	bool (*take)(void *owner, enum receive_limit what, struct receive_limit_answer *why);
	/* Recipients that were counted and did not become mail. */
	void (*give_back)(void *owner, uint64_t recipients);
	/* Nothing is offered for so long; receive_session_rested is called then. */
	void (*rest)(void *owner, int64_t ms);

	/* The dialogue of AUTH (postrider/auth.h); receive_session_auth_step is called later. offered: bits of enum
	 * auth_mechanism, 0: no AUTH here and now. */
	unsigned (*auth_offered)(void *owner);
	enum err (*auth_begin)(void *owner, struct text mechanism, bool has_initial, struct text initial);
	void (*auth_answer)(void *owner, struct text line);
	void (*auth_cancel)(void *owner); /* fine when there is none */
	/* A user whom a certificate or a trusted peer names: auth_user_new. */
	enum err (*auth_find)(void *owner, struct text name, struct auth_user **out);

	/* Only with an access.policy_service. receive_session_policy_answered is called later. False: no memory to ask, which
	 * counts as no answer. */
	bool (*ask_policy)(void *owner, const struct policy_question *question);

	/* XCLIENT made `client` and client_port those of another one: what hangs on them follows. False: it is not to be spoken
	 * to, *why says so. */
	bool (*client_changed)(void *owner, struct receive_limit_answer *why);
};

/* From MAIL to the end of the transaction. */
struct transaction {
	struct envelope *envelope;
	struct text *keys; /* of each recipient; their octets in envelope->arena */
	uint32_t *hashes;  /* of its forward-path */
	enum config_class *classes; /* for what else waits for the same destination */
	bool *held, *strict;
	size_t key_room;
	struct data_decoder decoder;
	struct data_repairer repairer;
	struct header_scan header;
	struct header_pick pick; /* of the header fields that routes ask for */
	bool provisional;        /* some recipient's way may be another one when the content is known */
	uint64_t limit_bytes;
	uint64_t content_bytes; /* kept so far */
	bool repairs;           /* line ends are mended rather than refused */
	bool has_draft;
	bool over_limit;
	enum err err; /* the first failure of the draft */
	int64_t began_time;
	uint64_t began_us;
	/* what a policy service said */
	bool at_end; /* it was, or is, asked about the whole message */
	bool held_by_policy, discarded_by_policy;
	struct buf fields;         /* to stand in front of the message, with their line ends */
	struct text asked_path;    /* the recipient in question as the client gave it, in envelope->arena */
	uint64_t counted;          /* recipients that limits have counted */
};

/* One BDAT (bdat.c). */
struct chunk {
	bool reading; /* its octets are being read */
	bool last;
	bool failed;             /* a chunk of the last transaction did: others may follow it */
	uint64_t bytes, left;
	const struct reply *why; /* it is no content: what is said behind it; static */
};

/* What few sessions have: who they are when the address does not say it. */
struct session_more {
	struct auth_user *user;  /* whose senders count: who has logged in, else whom the certificate names; NULL: nobody */
	char *user_name;         /* of AUTH or XCLIENT; NULL: nobody has logged in */
	char *certificate_user;  /* of a client certificate that was checked */
	char *client_name;       /* of XCLIENT, a host name; NULL: not known */
	enum auth_mechanism mechanism;
	/* XFORWARD: who the peer says its client is, for the log */
	char *forwarded_name, *forwarded_addr, *forwarded_port, *forwarded_proto, *forwarded_helo, *forwarded_ident,
		*forwarded_source;
};

struct receive_session {
	const struct receive_session_ops *ops;
	void *owner;
	const struct config *config;            /* referenced; renewed between transactions */
	const struct config_listener *listener; /* of config */
	struct ip client;                       /* IP_NONE: a Unix socket */
	uint16_t client_port;
	bool may_relay;
	bool is_named;    /* somebody else said who the client is: one without an address is unknown, and no local one */
	bool may_xclient; /* the peer, whoever the client is that it speaks for */
	bool tls_offered, tls_running, extended;
	struct {
		enum tls_version version;
		struct text cipher; /* static */
	} tls;
	enum phase phase;
	unsigned errors;
	unsigned bare_line_ends; /* messages refused for them */
	unsigned junk;           /* commands that lead nowhere, since the last message */
	unsigned commands;       /* whole ones so far: whether the client gets on */
	bool auth_thinks;        /* PHASE_AUTH: a step is awaited, else a line */
	bool heard_secret;       /* what was taken holds a credential: who owns those octets wipes them and resets this */
	bool rests;
	bool just_greeted; /* HELO or EHLO is answered in this step */
	bool hasty; /* the client went on talking without waiting for the answer to its EHLO */
	struct line_reader lines;
	char *helo;                      /* with a final NUL; NULL: none yet */
	struct transaction *transaction; /* from MAIL on */
	struct chunk chunk;
	struct session_more *more;       /* NULL: nothing of it */
	struct buf out;                  /* replies to be written */
	uint64_t messages, recipients, rejections;
};

#define SESSION_OUT_MAX (256u << 10)
/* With more than this in `out` nothing is taken: it has to be written first. */
#define SESSION_OUT_HIGH (64u << 10)

/* Writes the greeting. config is referenced; listener is one of its listeners. */
void receive_session_init(struct receive_session *s, const struct receive_session_ops *ops, void *owner,
                          const struct config *config, const struct config_listener *listener,
                          struct ip client, uint16_t client_port, bool tls_offered);
void receive_session_fini(struct receive_session *s); /* aborts a draft; a zeroed session is fine */

/* The next octets. Returns how many were taken. What is left belongs to a command that is not whole, or has to wait:
 * receive_session_wants_input says which. */
size_t receive_session_feed(struct receive_session *s, struct text bytes);
/* False while a decision, a handshake, a step of AUTH, an answer of the policy service or a busy draft is awaited, while it
 * rests or `out` is full, and after the close: then offer nothing. */
bool receive_session_wants_input(const struct receive_session *s);

bool receive_session_is_in_data(const struct receive_session *s); /* the next octets are content */

void receive_session_decided(struct receive_session *s, const struct queue_decision *decision);
/* TLS was there before the session: once, behind receive_session_init. */
void receive_session_protected(struct receive_session *s, const struct tls_info *info);
void receive_session_tls_done(struct receive_session *s, enum err err, const struct tls_info *info);
void receive_session_auth_step(struct receive_session *s, const struct auth_step *step);
void receive_session_policy_answered(struct receive_session *s, const struct policy_answer *answer);
void receive_session_rested(struct receive_session *s);
void receive_session_timed_out(struct receive_session *s);
/* The daemon stops: 421 now when nothing is under way (true), else after the transaction. */
bool receive_session_stop(struct receive_session *s);
void receive_session_end(struct receive_session *s);           /* 421 now, whatever is under way */
bool receive_session_is_idle(const struct receive_session *s); /* no transaction under way */

/* Who has logged in, by AUTH, XCLIENT or certificate; empty: nobody. */
struct text receive_session_user(const struct receive_session *s);
/* Works may_relay out anew, from listener, client and user. */
void receive_session_renew_rights(struct receive_session *s);

/* ---------------------------------------------------------------- inside the room */

struct session_more *receive_session_more(struct receive_session *s); /* made when needed; NULL without memory */
void receive_session_greet(struct receive_session *s);                /* the 220 */
/* A refusal by a limit: its code, the rule for those it may be told, when to come again. */
void receive_session_refuse_limit(struct receive_session *s, const struct receive_limit_answer *why,
                                  struct text subject, enum stage stage);
/* A command that leads nowhere (NOOP, RSET, HELO, VRFY, ...): from some number on each counts as an error. */
void receive_session_count_junk(struct receive_session *s);

void receive_session_reply(struct receive_session *s, int code, const char *enhanced, const char *text);
void receive_session_reply_format(struct receive_session *s, int code, const char *enhanced,
                                  const char *format, ...) PRINTF_LIKE(4, 5);
/* After an answer was added behind `before` octets of out by other means than these. */
void receive_session_check_out(struct receive_session *s, size_t before);
void receive_session_enter(struct receive_session *s, enum phase next);
void receive_session_end_transaction(struct receive_session *s); /* back to READY (or START) */
void receive_session_close(struct receive_session *s);
/* A command that failed; too many of them end the session. Call after its reply. */
void receive_session_count_error(struct receive_session *s);

/* A refusal: reply, event, and an error counted. rule names the setting that decided; to strangers it is not said. */
struct refusal {
	int code;
	const char *enhanced;
	const char *text;
	struct text subject; /* what it is about, put in front of the text; may be empty */
	const char *rule;    /* NULL: none */
	const struct config_route *route; /* that decided; NULL: none did */
	enum stage stage;
	enum reason reason;
};
void receive_session_refuse(struct receive_session *s, const struct refusal *r);

void receive_command_run(struct receive_session *s, struct text line); /* commands.c */
void receive_command_faulty(struct receive_session *s, struct text line, const char *words); /* 500 */
void receive_transaction_mail(struct receive_session *s, struct text args); /* transaction.c */
void receive_transaction_rcpt(struct receive_session *s, struct text args);
void receive_transaction_data(struct receive_session *s);
/* Takes mail data from the front of *bytes; ends in PHASE_COMMIT or, refused, in PHASE_READY. */
void receive_transaction_take(struct receive_session *s, struct text *bytes);
/* The message is complete and nothing is against it: to the queue. From PHASE_ASK too. */
void receive_transaction_go_on(struct receive_session *s);
void receive_transaction_decided(struct receive_session *s, const struct queue_decision *decision);
void receive_transaction_free(struct receive_session *s);
/* The content is known: each recipient's way is looked up again where routes ask for it. False: refused as a whole. */
bool receive_transaction_reroute(struct receive_session *s);

/* content.c: what DATA and BDAT have in common */
void receive_content_open(struct receive_session *s);                       /* a failure is kept in transaction->err */
void receive_content_take(struct receive_session *s, struct text span);     /* content without its dots */
void receive_content_too_large(struct receive_session *s);                  /* known before it has come */
void receive_content_end(struct receive_session *s);                        /* ends in PHASE_COMMIT, ASK or, refused, READY */
void receive_content_refuse(struct receive_session *s);                     /* what failed, and the transaction with it */
void receive_content_refuse_draft(struct receive_session *s, enum err err); /* only the reply */

/* hand_over.c: what is said of a message that was handed through, or should have been */
enum hand_over_end { HAND_OVER_DELIVERED, HAND_OVER_STORED, HAND_OVER_REFUSED };
enum hand_over_end receive_hand_over_end(const struct queue_decision *d);
void receive_hand_over_answer(struct receive_session *s, const struct queue_decision *d);

/* bdat.c */
void receive_bdat_command(struct receive_session *s, struct text args);
void receive_bdat_take(struct receive_session *s, struct text *bytes); /* while chunk.reading */

/* extensions.c: bits of enum ehlo_keyword */
unsigned receive_extensions_hidden(const struct receive_session *s);
unsigned receive_extensions_offered(const struct receive_session *s);
bool receive_extension_is_offered(const struct receive_session *s, enum ehlo_keyword keyword);
void receive_extensions_say(struct receive_session *s); /* the answer to EHLO */

/* auth.c: AUTH, and what a login allows */
bool receive_auth_is_offered(const struct receive_session *s);
void receive_auth_add_mechanisms(const struct receive_session *s, struct buf *b);
void receive_auth_command(struct receive_session *s, struct text args);
void receive_auth_line(struct receive_session *s, struct text line, enum line_fault fault);
void receive_auth_forget(struct receive_session *s); /* at STARTTLS and XCLIENT */
/* Whom others vouch for is the user from now on, under the name in *place, which is one of `more`. ERR_DENIED: the users file
 * shuts it out; nothing has changed. */
MUST_USE enum err receive_auth_vouch(struct receive_session *s, char **place, struct text name);
/* Whether MAIL has to wait for a login. */
bool receive_auth_is_missing(const struct receive_session *s);
/* Refused already when false. */
bool receive_auth_may_send(struct receive_session *s, struct text reverse_path);
bool receive_auth_header_fits(struct receive_session *s);

#define RECEIVE_FIELDS_MAX (16u << 10) /* octets of all that a service may put in front of one message */
/* policy.c: the service outside. True: it is asked, and receive_session_policy_answered goes on. */
bool receive_policy_ask_recipient(struct receive_session *s, struct text given);
bool receive_policy_ask_message(struct receive_session *s);

/* xclient.c */
bool receive_xclient_is_offered(const struct receive_session *s);
void receive_xclient_add_attributes(const struct receive_session *s, struct buf *b);
void receive_xforward_add_attributes(const struct receive_session *s, struct buf *b);
void receive_xclient_command(struct receive_session *s, struct text args);
void receive_xforward_command(struct receive_session *s, struct text args);
void receive_xforward_forget(struct receive_session *s); /* when a transaction ends */

#endif
