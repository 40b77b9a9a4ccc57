/* receive/session.h - one inbound session as a state machine without I/O (RFC 5321 section 4.1.4, order of commands).
 *
 *   START -> READY -> MAIL -> RCPT -> DATA -> COMMIT -> READY
 *   RSET, HELO, EHLO: back to READY;  STARTTLS: READY -> TLS -> START;  any -> CLOSED
 *
 * START has not seen HELO or EHLO. COMMIT: the mail data is complete and the queue decides; the 250 that follows takes
 * responsibility for the message (section 6.1), so it is written in receive_session_decided and nowhere else.
 *
 * It takes events (octets, a decision, a deadline) and answers through struct receive_session_ops and by octets in `out`, which
 * whoever feeds it writes to the peer after each call. */
#ifndef POSTRIDER_RECEIVE_SESSION_H
#define POSTRIDER_RECEIVE_SESSION_H

#include <postrider/config.h>
#include <postrider/mail/envelope.h>
#include <postrider/mail/header.h>
#include <postrider/observe/event.h>
#include <postrider/queue.h>
#include <postrider/smtp/command.h>
#include <postrider/smtp/data.h>
#include <postrider/tls.h>

enum phase {
	PHASE_START,
	PHASE_READY,
	PHASE_MAIL,
	PHASE_RCPT,
	PHASE_DATA,
	PHASE_COMMIT,
	PHASE_TLS,
	PHASE_CLOSED,
	PHASE_COUNT
};

struct receive_session;

struct receive_session_ops {
	/* Between transactions: config, listener and may_relay may be replaced by the present ones. */
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
};

/* From MAIL to the end of the transaction. */
struct transaction {
	struct envelope *envelope;
	struct text *keys; /* of each recipient; in envelope->arena */
	bool *held;
	size_t key_room;
	struct data_decoder decoder;
	struct header_scan header;
	uint64_t limit_bytes;
	bool has_draft;
	bool over_limit;
	enum err err; /* the first failure of the draft */
	int64_t began_time;
	uint64_t began_us;
};

struct receive_session {
	const struct receive_session_ops *ops;
	void *owner;
	const struct config *config;            /* referenced; renewed between transactions */
	const struct config_listener *listener; /* of config */
	struct ip client;                       /* IP_NONE: a Unix socket */
	uint16_t client_port;
	bool may_relay;
	bool tls_offered, tls_running, extended;
	struct tls_info tls;
	enum phase phase;
	unsigned errors;
	unsigned bare_line_ends; /* messages refused for them */
	struct line_reader lines;
	char *helo;                      /* with a final NUL; NULL: none yet */
	struct transaction *transaction; /* from MAIL on */
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
/* False while a decision, a handshake or a busy draft is awaited, while `out` is full, and after the close: then offer
 * nothing. */
bool receive_session_wants_input(const struct receive_session *s);

void receive_session_decided(struct receive_session *s, const struct queue_decision *decision);
void receive_session_tls_done(struct receive_session *s, enum err err, const struct tls_info *info);
void receive_session_timed_out(struct receive_session *s);
/* The daemon stops: 421 now when nothing is under way (true), else after the transaction. */
bool receive_session_stop(struct receive_session *s);
void receive_session_end(struct receive_session *s);           /* 421 now, whatever is under way */
bool receive_session_is_idle(const struct receive_session *s); /* no transaction under way */

/* ---------------------------------------------------------------- inside the room */

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
	enum stage stage;
	enum reason reason;
};
void receive_session_refuse(struct receive_session *s, const struct refusal *r);

void receive_command_run(struct receive_session *s, struct text line);      /* commands.c */
void receive_transaction_mail(struct receive_session *s, struct text args); /* transaction.c */
void receive_transaction_rcpt(struct receive_session *s, struct text args);
void receive_transaction_data(struct receive_session *s);
/* Takes mail data from the front of *bytes; ends in PHASE_COMMIT or, refused, in PHASE_READY. */
void receive_transaction_take(struct receive_session *s, struct text *bytes);
void receive_transaction_decided(struct receive_session *s, const struct queue_decision *decision);
void receive_transaction_free(struct receive_session *s);

#endif
