#include "gate.h"

#include "results.h"

/* Asked for as soon as the host takes the mail data: it leaves meanwhile, all but its end. */
void gate_ask(struct session *s, struct transaction *t)
{
	if (!t->job->gated || t->gate_asked)
		return;
	t->gate_asked = true;
	s->o.out->gate(s->o.owner, t->job);
}

bool gate_lets_end(const struct transaction *t)
{
	return !t->job->gated || t->gate_open;
}

static struct transaction *transaction_of(struct session *s, const struct deliver_job *job)
{
	return s->slots[0].job == job ? &s->slots[0] : s->slots[1].job == job ? &s->slots[1] : NULL;
}

void transactions_open_gate(struct session *s, const struct deliver_job *job, bool may)
{
	struct transaction *t = transaction_of(s, job);

	if (!t)
		return;
	t->gate_open = may;
	t->gate_shut = !may;
}

bool transactions_call_off(struct session *s, const struct deliver_job *job)
{
	struct transaction *t = transaction_of(s, job);

	if (t && t->body == BODY_SENT && !t->lone_dot)
		return false;
	if (t)
		t->called_off = true;
	return true;
}

/* The connection goes with it where the host has heard of it already: that the other job in hand is none of it is told by its
 * result. */
void gate_stop_short(struct session *s, struct transaction *t)
{
	bool shut = t->gate_shut, begun = t->begun;
	struct deliver_result r;

	session_say(s, shut ? "it could not be noted on disk that the message may be delivered from now on"
	                    : "called off: whoever sent it waits no longer");
	r = result_own(s, DELIVER_TRANSIENT, shut ? REASON_SPOOL : REASON_TIMEOUT, STAGE_DATA,
	               shut ? "4.3.0" : "4.4.7");
	if (begun)
		outbox_drop(s->o.outbox);
	result_give_all(s, t, &r);
	if (begun)
		session_end(s, SESSION_END_CUT, "the connection was given up for another message", NULL);
	else
		transaction_finish_first(s);
}

bool gate_stops(const struct transaction *t)
{
	return t->job && (t->called_off || t->gate_shut) && t->body != BODY_SENT;
}
