#include "results.h"

#include <assert.h>

#include <postrider/base/utf8.h>

#include "judge.h"
#include "session.h"

static const char *step_name(const struct transaction *t, size_t step)
{
	if (step == STEP_RSET)
		return "RSET";
	if (step == STEP_MAIL)
		return "MAIL";
	if (step < step_data(t))
		return "RCPT";
	return t->chunks ? "BDAT" : "DATA";
}

/* Whether the connection carried anything before this job. */
static bool is_reused(const struct session *s, const struct transaction *t)
{
	return t->begun ? t->number > 0 : s->begun_count > 0;
}

static struct event_ms times(struct session *s, const struct transaction *t)
{
	struct event_ms ms = EVENT_MS_NONE;
	int64_t now = s->o.out->now_at(s->o.owner);

	if (!t->begun)
		return ms;
	ms.envelope = (int32_t)((t->data_at ? t->data_at : now) - t->begun_at);
	if (t->data_at)
		ms.data = (int32_t)(now - t->data_at);
	return ms;
}

void result_give(struct session *s, struct transaction *t, size_t index, struct deliver_result r)
{
	if (t->fates) {
		assert(t->fates[index] < FATE_DECIDED);
		t->fates[index] = t->fates[index] == FATE_UNFIT ? FATE_UNFIT_DECIDED : FATE_DECIDED;
	}
	t->open--;
	r.ms = times(s, t);
	r.reused = is_reused(s, t);
	r.is_final = s->o.lmtp;
	r.keeps_dsn = s->keywords & EHLO_DSN;
	r.keeps_by = s->keywords & EHLO_DELIVERBY;
	s->o.out->result(s->o.owner, t->job, index, &r);
}

void result_give_all(struct session *s, struct transaction *t, const struct deliver_result *r)
{
	/* without memory for the fates nobody had one: then all go the same way, once, here */
	for (size_t i = 0; t->open > 0; i++)
		if (!t->fates || t->fates[i] < FATE_DECIDED)
			result_give(s, t, i, *r);
}

struct deliver_result result_own(struct session *s, enum deliver_kind kind, enum reason reason,
                                 enum stage stage, const char *enhanced)
{
	return (struct deliver_result){
		.kind = kind,
		.reason = reason,
		.stage = stage,
		.enhanced = text_from(enhanced),
		.reply = buf_text(&s->line),
	};
}

struct deliver_result result_of_reply(struct session *s, const struct reply *reply, const struct verdict *v,
                                      enum stage stage)
{
	session_say_reply(s, reply);
	return (struct deliver_result){
		.kind = v->kind,
		.reason = v->reason,
		.stage = stage,
		.code = reply->code,
		.enhanced = text_from(v->enhanced),
		.reply = buf_text(&s->line),
		.from_peer = true,
	};
}

void results_by_reply(struct session *s, struct transaction *t, const struct reply *reply, enum stage stage)
{
	struct verdict v = judge_reply(reply, stage);
	struct deliver_result r = result_of_reply(s, reply, &v, stage);

	result_give_all(s, t, &r);
}

static struct deliver_result result_of_address(struct session *s, struct text path)
{
	struct needs_lack lack;

	if (!utf8_is_ascii(path) &&
	    session_lacks(s, &(struct deliver_needs){ .keywords = EHLO_SMTPUTF8 }, &lack))
		return result_own(s, DELIVER_PERMANENT, lack.reason, STAGE_RCPT, lack.enhanced);
	session_say(s, "this address cannot be sent by SMTP");
	return result_own(s, DELIVER_PERMANENT, REASON_NO_SUCH_USER, STAGE_RCPT, "5.1.3");
}

void results_of_unfit(struct session *s, struct transaction *t)
{
	struct deliver_result r;

	for (size_t i = 0; i < t->job->recipient_count; i++) {
		if (t->fates[i] != FATE_UNFIT)
			continue;
		r = result_of_address(s, t->job->envelope->recipients[t->job->recipients[i]].forward_path);
		result_give(s, t, i, r);
	}
}

void transaction_finish_first(struct session *s)
{
	struct transaction *t = &s->slots[0];
	struct transaction first = *t;

	assert(t->open == 0);
	*t = s->slots[1];
	s->slots[1] = (struct transaction){ .fates = first.fates, .fate_room = first.fate_room };
	if (t->job && t->begun)
		t->begun_at = s->o.out->now_at(s->o.owner);
	body_source_release(&first.job->body);
	s->o.out->done(s->o.owner, first.job);
}

/* ---------------------------------------------------------------- the end of the connection */

static void learn_cuts(struct session *s, const struct transaction *t)
{
	if (!t->joined || s->cuts_said)
		return;
	s->cuts_said = true;
	s->o.out->learned(s->o.owner, SESSION_CUTS);
}

static enum reason reason_of_end(enum session_end why)
{
	switch (why) {
	case SESSION_END_SILENCE:
		return REASON_TIMEOUT;
	case SESSION_END_PROTOCOL:
		return REASON_PROTOCOL;
	case SESSION_END_ABORT:
		return REASON_OTHER;
	default:
		return REASON_CONNECT;
	}
}

static struct deliver_result lost_result(struct session *s, const struct transaction *t, enum session_end why,
                                         const char *words)
{
	bool streaming = t->body == BODY_STREAMING;
	enum stage stage = !t->begun ? STAGE_MAIL : streaming ? STAGE_DATA : stage_of_step(t, t->answered);

	buf_reset(&s->line);
	buf_add_string(&s->line, words);
	if (transaction_dot_is_out(t)) {
		buf_add_string(&s->line, " after the message was sent: it may have been delivered");
		return result_own(s, DELIVER_UNKNOWN, REASON_UNKNOWN_OUTCOME, STAGE_DOT, "4.4.2");
	}
	if (streaming)
		buf_add_string(&s->line, " in the middle of the message");
	else if (t->begun)
		buf_add_format(&s->line, " %s the reply to %s", why == SESSION_END_PROTOCOL ? "in" : "before",
		               step_name(t, t->answered));
	return result_own(s, DELIVER_TRANSIENT, reason_of_end(why), stage, "4.4.2");
}

void transactions_end(struct session *s, enum session_end why, const char *words, const struct reply *reply)
{
	struct transaction *t = &s->slots[0];

	while (t->job) {
		struct verdict v;
		struct deliver_result r;

		if (reply) {
			v = judge_reply(reply, STAGE_MAIL);
			v.kind = DELIVER_TRANSIENT;
			v.enhanced[0] = '4';
			r = result_of_reply(s, reply, &v, STAGE_MAIL);
		} else {
			r = lost_result(s, t, why, words);
		}
		if (why != SESSION_END_ABORT && is_reused(s, t) && t->heard == 0 && !t->called_off && !t->gate_shut) {
			r.untouched = reply || !transaction_dot_is_out(t);
			learn_cuts(s, t);
		}
		result_give_all(s, t, &r);
		transaction_finish_first(s);
	}
}
