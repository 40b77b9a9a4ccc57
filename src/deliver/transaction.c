/* What a transaction sends, and when. What it makes of the replies is transaction_replies.c's. */
#include "transaction.h"

#include <assert.h>

#include <postrider/base/utf8.h>
#include <postrider/mail/body_source.h>
#include <postrider/smtp/ehlo.h>

#include "gate.h"
#include "parameters.h"
#include "results.h"

static bool pipelines(const struct session *s)
{
	return s->keywords & EHLO_PIPELINING;
}

size_t transactions_in_hand(const struct session *s)
{
	return s->slots[0].job ? s->slots[1].job ? 2 : 1 : 0;
}

void transaction_fini(struct transaction *t)
{
	free(t->fates);
	*t = (struct transaction){ 0 };
}

/* ---------------------------------------------------------------- what cannot be sent */

/* No octets that would end a line or a path, and none above 127 without SMTPUTF8. The queue holds only what the parser let
 * in; this stands between a mistake elsewhere and a second command in the line. */
static bool is_fit(struct text mailbox, bool utf8)
{
	for (size_t i = 0; i < mailbox.len; i++) {
		unsigned char c = (unsigned char)mailbox.at[i];

		if (c < ' ' || c == 127 || (c > 127 && !utf8))
			return false;
	}
	return mailbox.len <= 1000;
}

/* Recipients that only SMTPUTF8 reaches are refused each for itself: the others need not suffer. */
static struct deliver_needs needs_of_all(const struct transaction *t)
{
	return deliver_needs_of(t->job->envelope, body_source_bytes(t->job->body));
}

static void refuse(struct transaction *t, enum deliver_kind kind, enum reason reason, const char *enhanced,
                   const char *words)
{
	t->failed_here = true;
	t->refusal_kind = kind;
	t->refusal_reason = reason;
	t->refusal_enhanced = enhanced;
	t->refusal_words = words;
}

static size_t mark_unfit(const struct session *s, struct transaction *t)
{
	const struct envelope *e = t->job->envelope;
	bool utf8 = e->smtputf8 && (s->keywords & EHLO_SMTPUTF8);
	size_t unfit = 0;

	memset(t->fates, FATE_OPEN, t->job->recipient_count);
	for (size_t i = 0; i < t->job->recipient_count; i++) {
		struct text path = e->recipients[t->job->recipients[i]].forward_path;

		t->utf8 = t->utf8 || (utf8 && !utf8_is_ascii(path));
		if (path.len && is_fit(path, utf8))
			continue;
		t->fates[i] = FATE_UNFIT;
		unfit++;
	}
	return unfit;
}

/* Whether the next envelope may follow the mail data before its reply has come. */
static bool joins(const struct session *s)
{
	return pipelines(s) && s->o.joins && !s->o.never_joins && !s->cuts_said;
}

/* With more than this a refused envelope would cost more than a round trip is worth. */
#define EARLY_BYTES (64u * 1024)
/* The peer said something so lately that it has hardly closed the connection since. */
#define EARLY_HEARD_MS SECOND_MS

static bool saves_a_trip(const struct session *s, const struct transaction *t)
{
	return t == &s->slots[0] && !t->job->gated && joins(s) && (s->keywords & EHLO_CHUNKING) &&
	       !s->o.no_chunks && body_source_bytes(t->job->body) <= EARLY_BYTES &&
	       body_source_bytes(t->job->body) > 0 &&
	       s->o.out->now_at(s->o.owner) - s->heard_at < EARLY_HEARD_MS;
}

static void inspect(struct session *s, struct transaction *t)
{
	const struct envelope *e = t->job->envelope;
	struct deliver_needs needs = needs_of_all(t);
	struct needs_lack lack;

	if (t->job->recipient_count > t->fate_room) {
		free(t->fates);
		t->fates = malloc(t->job->recipient_count);
		t->fate_room = t->fates ? t->job->recipient_count : 0;
	}
	if (!t->fates) {
		refuse(t, DELIVER_TRANSIENT, REASON_OTHER, "4.3.0", "there was no memory for this message");
		return;
	}
	t->all_unfit = mark_unfit(s, t) == t->job->recipient_count;
	if (session_lacks(s, &needs, &lack))
		refuse(t, DELIVER_PERMANENT, lack.reason, lack.enhanced, NULL);
	else if (!is_fit(e->reverse_path, e->smtputf8))
		refuse(t, DELIVER_PERMANENT, REASON_PROTOCOL, "5.1.7",
		       "the reverse-path cannot be sent by SMTP");
	else if (t->all_unfit)
		t->failed_here = true;
	else if (e->body == ENVELOPE_BINARY)
		t->chunks = mail_data_chunks(&t->data);
	else if ((t->early = saves_a_trip(s, t)))
		t->chunks = 1;
}

static void on_body_ready(void *owner)
{
	session_body_ready(owner);
}

void transactions_give(struct session *s, struct deliver_job *job)
{
	struct transaction *t = &s->slots[s->slots[0].job ? 1 : 0];
	struct transaction fresh = { .job = job, .fates = t->fates, .fate_room = t->fate_room };

	assert(!t->job && job->recipient_count > 0);
	*t = fresh;
	t->open = job->recipient_count;
	mail_data_init(&t->data, job->body, job->envelope->body == ENVELOPE_BINARY);
	body_source_listen(job->body, on_body_ready, s);
	inspect(s, t);
}

/* What the host lacked when the job was given it lacks still. */
static void decide_refused(struct session *s, struct transaction *t)
{
	struct deliver_needs needs = needs_of_all(t);
	struct needs_lack lack;
	struct deliver_result r;

	if (!t->refusal_enhanced) {
		results_of_unfit(s, t);
		return;
	}
	if (t->refusal_words)
		session_say(s, t->refusal_words);
	else if (!session_lacks(s, &needs, &lack))
		session_say(s, "the host cannot take this message");
	r = result_own(s, t->refusal_kind, t->refusal_reason, STAGE_MAIL, t->refusal_enhanced);
	result_give_all(s, t, &r);
}

/* ---------------------------------------------------------------- sending the envelope */

static void send_mail(struct session *s, const struct transaction *t)
{
	struct outbox *o = s->o.outbox;
	const struct envelope *e = t->job->envelope;

	outbox_copy(o, TEXT("MAIL FROM:<"));
	outbox_copy(o, e->reverse_path);
	outbox_copy(o, TEXT(">"));
	if (s->keywords & EHLO_SIZE) {
		outbox_copy(o, TEXT(" SIZE="));
		outbox_copy_u64(o, body_source_bytes(t->job->body));
	}
	parameters_add_mail(o, s->keywords, e, t->utf8, s->o.out->now_time(s->o.owner));
	outbox_copy(o, TEXT("\r\n"));
}

static void send_rcpt(struct session *s, const struct transaction *t, size_t index)
{
	struct outbox *o = s->o.outbox;
	const struct envelope_recipient *r = &t->job->envelope->recipients[t->job->recipients[index]];

	outbox_copy(o, TEXT("RCPT TO:<"));
	outbox_copy(o, r->forward_path);
	outbox_copy(o, TEXT(">"));
	parameters_add_rcpt(o, s->keywords, r);
	outbox_copy(o, TEXT("\r\n"));
}

static void send_step(struct session *s, const struct transaction *t, size_t step)
{
	if (step == STEP_RSET)
		outbox_copy(s->o.outbox, TEXT("RSET\r\n"));
	else if (step == STEP_MAIL)
		send_mail(s, t);
	else if (step < step_data(t))
		send_rcpt(s, t, step - STEP_RCPT);
	else
		outbox_copy(s->o.outbox, TEXT("DATA\r\n"));
}

static void begin(struct session *s, struct transaction *t)
{
	t->begun = true;
	t->number = s->begun_count++;
	t->begun_at = s->o.out->now_at(s->o.owner);
	t->joined = t == &s->slots[1];
	/* the dot it is joined to ends what the peer holds (RFC 5321 section 4.1.1.4) */
	if (t->joined || !s->needs_reset)
		t->sent = t->answered = STEP_MAIL;
}

/* Sends as many steps up to DATA as may go now. */
static void send_envelope(struct session *s, struct transaction *t)
{
	if (!t->begun)
		begin(s, t);
	while (t->sent < envelope_steps(t) && (pipelines(s) || t->answered == t->sent)) {
		if (!transaction_step_is_unfit(t, t->sent))
			send_step(s, t, t->sent);
		else if (t->answered == t->sent)
			t->answered++;
		t->sent++;
	}
}

/* ---------------------------------------------------------------- sending the mail data, and its end */

/* The source failed, or the content may not leave as it is: the dot must not be sent, so the connection
 * has to go. */
static void cut_body(struct session *s, struct transaction *t, enum err err)
{
	bool unfit = err == ERR_SYNTAX;
	struct deliver_result r;

	session_say(s,
	            unfit ? "the message holds a CR or LF that is not part of a line end and cannot be sent"
	                  : "the message could not be read from the spool");
	r = result_own(s, unfit ? DELIVER_PERMANENT : DELIVER_TRANSIENT,
	               unfit ? REASON_CONTENT : REASON_SPOOL, STAGE_DATA, unfit ? "5.6.0" : "4.3.0");
	outbox_drop(s->o.outbox);
	result_give_all(s, t, &r);
	session_end(s, SESSION_END_ABORT, "the mail data could not be finished", NULL);
}

static void pump_data(struct session *s, struct transaction *t)
{
	enum err err = mail_data_send(&t->data, s->o.outbox, s->o.out->unsent, s->o.owner);

	if (!err && !gate_lets_end(t))
		return;
	if (!err)
		err = mail_data_end(&t->data, s->o.outbox);
	if (err == ERR_MORE)
		t->body_waits = true;
	else if (!err)
		transaction_note_dot(t);
	else if (err != ERR_BUSY)
		cut_body(s, t, err);
}

/* The next chunk begins, if it may: without PIPELINING once the one before is answered. */
static bool open_chunk(struct session *s, struct transaction *t)
{
	if (t->in_chunk)
		return true;
	if ((!pipelines(s) && t->answered != t->sent) || (t->sent == step_dot(t) && !gate_lets_end(t)))
		return false;
	mail_data_open_chunk(&t->data, s->o.outbox);
	t->in_chunk = true;
	t->sent++;
	return true;
}

/* RFC 3030 section 2: once a chunk was refused the rest need not come, and the transaction ends by RSET. What the last
 * command promised came all the same. */
static void stop_chunks(struct transaction *t)
{
	t->chunks = t->sent - step_data(t);
	t->body = BODY_SENT;
}

static void pump_chunks(struct session *s, struct transaction *t)
{
	enum err err = ERR_OK;

	while (t->body == BODY_STREAMING && !err && open_chunk(s, t)) {
		err = mail_data_send_chunk(&t->data, s->o.outbox, s->o.out->unsent, s->o.owner);
		if (err)
			break;
		t->in_chunk = false;
		if (t->sent > step_dot(t))
			transaction_note_dot(t);
		else if (t->open == 0)
			stop_chunks(t);
	}
	if (err == ERR_MORE)
		t->body_waits = true;
	else if (err && err != ERR_BUSY)
		cut_body(s, t, err);
}

static void pump(struct session *s, struct transaction *t)
{
	if (t->chunks)
		pump_chunks(s, t);
	else
		pump_data(s, t);
}

/* The envelope was answered, and somebody is left to send to; or it is out and what it comes to is not waited for. */
static void begin_chunks(struct session *s, struct transaction *t)
{
	bool may = t->early ? t->sent == step_data(t) : t->answered == step_data(t) && t->accepted > 0;

	if (!t->chunks || t->body != BODY_NOT_YET || !may)
		return;
	t->body = BODY_STREAMING;
	t->data_at = s->o.out->now_at(s->o.owner);
}

/* ---------------------------------------------------------------- going on */

static bool may_announce(const struct session *s)
{
	const struct transaction *t = &s->slots[0];

	if (s->phase != SESSION_UP || s->announced || s->finishing)
		return false;
	if (!t->job)
		return true;
	return !s->slots[1].job && joins(s) && !gate_stops(t) && t->begun && !t->chunks &&
	       t->sent > step_data(t) && !t->lone_dot &&
	       mail_data_left(&t->data) <= TRANSACTION_NEAR_END_BYTES;
}

static void announce(struct session *s)
{
	if (!may_announce(s))
		return;
	s->announced = true;
	s->o.out->ready(s->o.owner);
}

static void advance_first(struct session *s)
{
	struct transaction *t = &s->slots[0];

	while (t->job && (t->failed_here || gate_stops(t))) {
		if (!s->in_later) {
			s->o.out->later(s->o.owner);
			return;
		}
		if (gate_stops(t)) {
			gate_stop_short(s, t);
		} else {
			decide_refused(s, t);
			transaction_finish_first(s);
		}
	}
	if (!t->job || s->phase != SESSION_UP)
		return;
	send_envelope(s, t);
	begin_chunks(s, t);
	if (t->body == BODY_STREAMING)
		gate_ask(s, t);
	if (t->body == BODY_STREAMING && !t->body_waits) {
		announce(s);
		pump(s, t);
	}
	/* a chunk that was refused in its middle is all out now */
	if (t->job && t->chunks && transaction_is_over(t)) {
		outbox_flush(s->o.outbox); /* it may point into the body */
		transaction_finish_first(s);
	}
}

void transactions_advance(struct session *s)
{
	struct transaction *second = &s->slots[1];

	advance_first(s);
	announce(s);
	/* what came from inside the announcement */
	if (s->phase == SESSION_UP && s->slots[0].job && !s->slots[0].begun)
		advance_first(s);
	if (s->phase == SESSION_UP && second->job && !second->failed_here && !gate_stops(second) &&
	    transaction_dot_is_out(&s->slots[0]) && !s->slots[0].lone_dot && !s->slots[0].chunks && joins(s))
		send_envelope(s, second);
}

int64_t transactions_wait_ms(const struct session *s)
{
	const struct config_timeouts *limit = s->o.timeouts;
	const struct transaction *t = &s->slots[0];

	if (!t->job || !t->begun)
		return 0;
	if (t->body == BODY_STREAMING)
		return limit->block_ms;
	switch (t->answered == STEP_RSET ? STAGE_NONE : stage_of_step(t, t->answered)) {
	case STAGE_MAIL:
		return limit->mail_ms;
	case STAGE_RCPT:
		return limit->rcpt_ms;
	case STAGE_DATA:
		return limit->data_ms;
	case STAGE_DOT:
		/* what has not left yet is still a block that the peer has to take */
		return s->unsent_seen ? limit->block_ms : limit->dot_ms;
	default:
		return limit->greeting_ms;
	}
}
