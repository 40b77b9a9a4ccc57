/* The replies to the steps of a transaction, in their order, and those that come where none is owed. */
#include "transaction.h"

#include <postrider/smtp/reply.h>

#include "results.h"

/* ---------------------------------------------------------------- to the envelope */

static void learn_keeps(struct session *s)
{
	if (s->message_count == 0 || s->keeps_said)
		return;
	s->keeps_said = true;
	s->o.joins = true;
	s->o.out->learned(s->o.owner, SESSION_KEEPS);
}

static void on_mail_reply(struct session *s, struct transaction *t, const struct reply *reply)
{
	results_of_unfit(s, t);
	if (reply_is_positive(reply)) {
		learn_keeps(s);
		s->needs_reset = true;
		return;
	}
	results_by_reply(s, t, reply, STAGE_MAIL);
	s->needs_reset = false;
}

static void on_rcpt_reply(struct session *s, struct transaction *t, size_t index, const struct reply *reply)
{
	struct verdict v;

	if (t->fates[index] == FATE_DECIDED)
		return; /* MAIL was refused, and so is everything behind it */
	if (reply_is_positive(reply)) {
		t->fates[index] = FATE_ACCEPTED;
		t->accepted++;
		return;
	}
	v = judge_reply(reply, STAGE_RCPT);
	result_give(s, t, index, result_of_reply(s, reply, &v, STAGE_RCPT));
}

/* ---------------------------------------------------------------- to the mail data */

static void on_data_reply(struct session *s, struct transaction *t, const struct reply *reply)
{
	if (!reply_is_intermediate(reply)) {
		results_by_reply(s, t, reply, STAGE_DATA);
		return;
	}
	if (t->accepted > 0) {
		t->body = BODY_STREAMING;
		t->data_at = s->o.out->now_at(s->o.owner);
		return;
	}
	/* RFC 2033 section 4.2 forbids it; and behind the dot no reply would come */
	if (s->o.lmtp) {
		session_end(s, SESSION_END_PROTOCOL, "the host asked for a message that it has nobody for",
		            NULL);
		return;
	}
	/* RFC 2920 section 3.1: nobody is left, and the peer waits for mail data all the same */
	t->lone_dot = true;
	outbox_copy(s->o.outbox, TEXT(".\r\n"));
	transaction_note_dot(t);
}

/* A chunk that is not the last one. */
static void on_chunk_reply(struct session *s, struct transaction *t, const struct reply *reply)
{
	if (!reply_is_positive(reply))
		results_by_reply(s, t, reply, STAGE_DATA);
}

/* It offers CHUNKING, accepted somebody, and has no idea of BDAT: what stands in between may have said so for it. */
static bool knows_no_chunks(const struct transaction *t, const struct reply *reply)
{
	return t->early && t->accepted > 0 && (reply->code / 10 == 50 || reply->code == 555);
}

/* The message goes again, by DATA; it is none the worse for it. */
static void take_back_chunks(struct session *s, struct transaction *t, const struct reply *reply)
{
	struct verdict v = judge_reply(reply, STAGE_DOT);
	struct deliver_result r = result_of_reply(s, reply, &v, STAGE_DOT);

	s->o.no_chunks = true;
	s->o.out->learned(s->o.owner, SESSION_NO_CHUNKS);
	r.kind = DELIVER_TRANSIENT;
	r.enhanced = TEXT("4.5.0");
	r.untouched = true;
	result_give_all(s, t, &r);
}

/* RFC 2033 section 4.2: it is for the first one accepted that has none yet. */
static void on_recipient_reply(struct session *s, struct transaction *t, const struct reply *reply)
{
	struct verdict v = judge_reply(reply, STAGE_DOT);
	size_t i = 0;

	while (t->fates[i] != FATE_ACCEPTED)
		i++;
	t->accepted--;
	t->answered -= t->accepted > 0; /* and one more is to come */
	result_give(s, t, i, result_of_reply(s, reply, &v, STAGE_DOT));
}

static void on_dot_reply(struct session *s, struct transaction *t, const struct reply *reply)
{
	/* after a chunk that failed nobody knows what the other side holds (RFC 3030 section 2) */
	s->needs_reset = t->lone_dot || (t->chunks && !reply_is_positive(reply));
	s->message_count++;
	if (knows_no_chunks(t, reply))
		take_back_chunks(s, t, reply);
	else if (s->o.lmtp && t->accepted > 0 && reply->code != 421)
		on_recipient_reply(s, t, reply);
	else
		results_by_reply(s, t, reply, STAGE_DOT);
}

/* ---------------------------------------------------------------- in their order, or not */

/* RSET must succeed (RFC 5321 section 4.1.1.5); a peer that refuses it is not to be trusted with the next
 * message. */
static bool on_reset_reply(struct session *s, const struct reply *reply)
{
	s->needs_reset = false;
	if (reply_is_positive(reply))
		learn_keeps(s);
	return reply_is_positive(reply);
}

/* A reply that has no place here: the two sides are out of step. */
static bool is_out_of_step(const struct transaction *t, size_t step, const struct reply *reply)
{
	if (step == step_data(t) && !t->chunks)
		return reply_is_positive(reply);
	/* of a chunk that is not all there yet */
	if (reply_is_positive(reply) && t->in_chunk && step + 1 == t->sent)
		return true;
	return reply_is_intermediate(reply);
}

/* The peer speaks of the connection and not of a message it has heard nothing of: 421, or 503 to MAIL
 * where the one before was not taken for finished. */
static bool speaks_of_connection(const struct transaction *t, size_t step, const struct reply *reply)
{
	return t->number > 0 && t->heard == 0 &&
	       (reply->code == 421 || (step == STEP_MAIL && reply->code == 503));
}

/* A negative reply where nothing is owed: in the middle of the mail data, or between messages. */
static void unasked_reply(struct session *s, struct transaction *t, const struct reply *reply)
{
	if (t->job && t->body == BODY_STREAMING && !reply_is_positive(reply) && !reply_is_intermediate(reply))
		results_by_reply(s, t, reply, STAGE_DATA);
	session_end(s, SESSION_END_PROTOCOL, "the host replied without being asked", NULL);
}

static void take_reply(struct session *s, struct transaction *t, size_t step, const struct reply *reply)
{
	t->heard++;
	if (step == STEP_MAIL)
		on_mail_reply(s, t, reply);
	else if (step < step_data(t))
		on_rcpt_reply(s, t, step - STEP_RCPT, reply);
	else if (step < step_dot(t))
		(t->chunks ? on_chunk_reply : on_data_reply)(s, t, reply);
	else
		on_dot_reply(s, t, reply);
}

static void pass_over_unfit(struct transaction *t)
{
	while (t->answered < t->sent && transaction_step_is_unfit(t, t->answered))
		t->answered++;
}

void transactions_reply(struct session *s, const struct reply *reply)
{
	struct transaction *t = &s->slots[0];
	size_t step;

	if (!t->job || t->answered == t->sent) {
		unasked_reply(s, t, reply);
		return;
	}
	step = t->answered;
	if (is_out_of_step(t, step, reply)) {
		session_end(s, SESSION_END_PROTOCOL, "the host broke the protocol", NULL);
		return;
	}
	t->answered++;
	pass_over_unfit(t);
	if (speaks_of_connection(t, step, reply) || (step == STEP_RSET && !on_reset_reply(s, reply))) {
		session_end(s, SESSION_END_REPLY, NULL, reply);
		return;
	}
	if (step != STEP_RSET)
		take_reply(s, t, step, reply);
	if (s->phase != SESSION_UP)
		return;
	if (reply->code == 421) {
		results_by_reply(s, t, reply, stage_of_step(t, step));
		session_end(s, SESSION_END_REPLY, NULL, reply);
		return;
	}
	if (transaction_is_over(t))
		transaction_finish_first(s);
}
