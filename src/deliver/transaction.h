/* deliver/transaction.h - one mail transaction on an established session (RFC 5321 section 3.3).
 *
 * A transaction is a row of steps; the session counts how many were sent and how many answered:
 *
 *   RSET (when the peer holds an old one)   MAIL   RCPT (for each recipient)   DATA   the data and its dot
 *
 * Binary mail goes by BDAT (RFC 3030): its chunks are steps in the place of the last two, and the first of them leaves when
 * some recipient was accepted. A small message for which nothing else is under way goes by BDAT too, behind its envelope and
 * in the same write: that saves the round trip of the 354. Only towards a host that has kept a connection through a message
 * before, and right behind something it said: a connection that it has closed meanwhile would leave us not knowing whether
 * it has the message.
 *
 * A server that speaks LMTP (RFC 2033) answers the end of the data once for each recipient that it had accepted, in order.
 * With PIPELINING all steps up to DATA leave in one write, without it one by one. Two transactions may be
 * under way: the second one's envelope is sent once the first one's dot is out, in the same write if it is
 * known by then (RFC 2920 section 3.1), and only towards a peer that has kept a connection through a
 * message before. */
#ifndef DELIVER_TRANSACTION_H
#define DELIVER_TRANSACTION_H

#include <postrider/deliver.h>

#include "mail_data.h"

struct session;
struct reply;

enum session_end {
	SESSION_END_CUT,
	SESSION_END_SILENCE,
	SESSION_END_PROTOCOL,
	SESSION_END_ABORT,
	SESSION_END_REPLY
};

/* The next job is asked for when no more than this of the body is left. */
#define TRANSACTION_NEAR_END_BYTES (128u * 1024)

/* Steps before and behind those of the recipients. */
#define STEP_RSET 0
#define STEP_MAIL 1
#define STEP_RCPT 2

enum fate {
	FATE_OPEN,
	FATE_ACCEPTED,
	FATE_UNFIT, /* an address that cannot be sent; its result comes with the answer to MAIL */
	FATE_DECIDED,
	FATE_UNFIT_DECIDED,
};

enum transaction_body { BODY_NOT_YET, BODY_STREAMING, BODY_SENT };

struct transaction {
	struct deliver_job *job; /* NULL: the slot is free */
	unsigned char *fates;    /* enum fate of each recipient; kept for the next job of the slot */
	size_t fate_room;
	unsigned number;       /* transactions begun before it on this connection */
	size_t sent, answered; /* steps */
	size_t heard;          /* replies to this job, without RSET */
	size_t open;           /* recipients without a result */
	size_t accepted;       /* at RCPT */
	size_t chunks;         /* of BDAT; 0: DATA */
	enum transaction_body body;
	struct mail_data data;
	bool begun;       /* sending has started */
	bool joined;      /* its envelope went behind the dot of the one before */
	bool body_waits;  /* for session_body_ready */
	bool utf8;        /* some recipient needs SMTPUTF8 */
	bool all_unfit;   /* no recipient is left to send to */
	bool early;       /* its one chunk goes behind the envelope, and waits for no reply */
	bool in_chunk;    /* the command of a chunk is out, its octets are not */
	bool lone_dot;    /* no recipient was accepted: the 354 gets an empty message */
	bool gate_asked, gate_open; /* of a gated job */
	bool gate_shut;   /* the end of its mail data may not leave */
	bool called_off;  /* nobody wants it done any longer, and the end of its mail data has not left */
	bool failed_here; /* not to be sent: refusal_* say why */
	enum deliver_kind refusal_kind;
	enum reason refusal_reason;
	const char *refusal_enhanced;
	const char *refusal_words; /* NULL: what the host lacks */
	int64_t begun_at;          /* the envelope's turn came */
	int64_t data_at;           /* the 354 came; 0: not yet */
};

static inline size_t step_data(const struct transaction *t)
{
	return STEP_RCPT + t->job->recipient_count;
}

/* The one whose reply decides. */
static inline size_t step_dot(const struct transaction *t)
{
	return step_data(t) + (t->chunks ? t->chunks - 1 : 1);
}

/* Those that leave before the mail data. */
static inline size_t envelope_steps(const struct transaction *t)
{
	return step_data(t) + (t->chunks ? 0 : 1);
}

static inline enum stage stage_of_step(const struct transaction *t, size_t step)
{
	if (step <= STEP_MAIL)
		return STAGE_MAIL;
	if (step < step_data(t))
		return STAGE_RCPT;
	return step < step_dot(t) ? STAGE_DATA : STAGE_DOT;
}

/* It is not sent, and no reply to it comes. */
static inline bool transaction_step_is_unfit(const struct transaction *t, size_t step)
{
	unsigned char fate;

	if (step < STEP_RCPT || step >= step_data(t))
		return false;
	fate = t->fates[step - STEP_RCPT];
	return fate == FATE_UNFIT || fate == FATE_UNFIT_DECIDED;
}

/* The final dot is in the outbox. */
static inline void transaction_note_dot(struct transaction *t)
{
	t->body = BODY_SENT;
	t->sent = step_dot(t) + 1;
}

/* transaction_finish_first is due. */
static inline bool transaction_is_over(const struct transaction *t)
{
	return t->open == 0 && t->answered == t->sent && !t->in_chunk;
}

static inline bool transaction_dot_is_out(const struct transaction *t)
{
	return t->body == BODY_SENT;
}

void transaction_fini(struct transaction *t);

/* Takes a job; there must be a free slot. */
void transactions_give(struct session *s, struct deliver_job *job);
/* Sends whatever can be sent now, asks for the next job where it is due. */
void transactions_advance(struct session *s);
/* A reply on an established session (transaction_replies.c). */
void transactions_reply(struct session *s, const struct reply *reply);
/* Gives every job in hand its results, because the connection ends: by reply, which speaks of the
 * connection and whose line stands in s->line, or, without one, as words say ("the connection was lost"). */
void transactions_end(struct session *s, enum session_end why, const char *words, const struct reply *reply);
void transactions_open_gate(struct session *s, const struct deliver_job *job, bool may);
/* False: too late. What it does is done by the next transactions_advance from session_later. */
bool transactions_call_off(struct session *s, const struct deliver_job *job);
/* How long what is awaited now may take; 0: nothing is awaited. */
int64_t transactions_wait_ms(const struct session *s);
size_t transactions_in_hand(const struct session *s);

#endif
