/* What an outside service says of recipients and messages, before they are answered (access.policy_service). */
#include "session.h"

static struct policy_question question_of(const struct receive_session *s)
{
	const struct envelope *e = s->transaction->envelope;
	const struct session_more *m = s->more;
	struct policy_question q = { .protocol_name = s->extended ? TEXT("ESMTP") : TEXT("SMTP"),
		                     .helo_name = text_from(s->helo),
		                     .sender = e->reverse_path,
		                     .client = { s->client, s->client_port },
		                     .size = e->declared_bytes };

	if (s->tls_running) {
		q.encryption_protocol = text_from(tls_version_text(s->tls.version));
		q.encryption_cipher = s->tls.cipher;
	}
	if (m) {
		q.client_name = text_from(m->client_name);
		q.sasl_username = text_from(m->user_name);
		q.sasl_method = m->mechanism ? text_from(auth_mechanism_name(m->mechanism)) : TEXT_EMPTY;
		q.sasl_sender = e->submitter;
	}
	return q;
}

/* Without memory for the question: as without an answer to it. */
static void could_not_ask(struct receive_session *s)
{
	struct policy_answer answer = { .verdict = POLICY_PASS, .failed = true };

	if (s->config->access.policy_service.on_error == CONFIG_ON_ERROR_TEMPFAIL) {
		answer.verdict = POLICY_REFUSE;
		answer.reply = (struct reply){ 451, "4.3.5",
			                       TEXT("The policy service cannot be asked, try again later") };
	}
	receive_session_policy_answered(s, &answer);
}

static bool ask(struct receive_session *s, struct policy_question *q)
{
	struct id_text id = id_to_text(s->transaction->envelope->id);

	q->queue_id = q->instance = text_of(id.at, ID_CHARS);
	receive_session_enter(s, PHASE_ASK);
	if (!s->ops->ask_policy(s->owner, q))
		could_not_ask(s);
	return true;
}

bool receive_policy_ask_recipient(struct receive_session *s, struct text given)
{
	struct transaction *t = s->transaction;
	struct policy_question q;

	if (s->config->access.policy_service.address.text.len == 0)
		return false;
	q = question_of(s);
	q.stage = POLICY_AT_RCPT;
	q.recipient = given;
	if (arena_text(&t->envelope->arena, given, &t->asked_path))
		t->asked_path = TEXT_EMPTY;
	return ask(s, &q);
}

bool receive_policy_ask_message(struct receive_session *s)
{
	struct transaction *t = s->transaction;
	const struct envelope *e = t->envelope;
	struct policy_question q;

	if (t->at_end || s->config->access.policy_service.address.text.len == 0)
		return false;
	t->at_end = true;
	q = question_of(s);
	q.stage = POLICY_AT_END_OF_MESSAGE;
	q.recipient_count = e->recipient_count;
	q.recipient = e->recipient_count == 1 ? e->recipients[0].forward_path : TEXT_EMPTY;
	q.size = e->content_bytes;
	return ask(s, &q);
}

/* ---------------------------------------------------------------- the answer */

static void note(struct receive_session *s, struct text words, enum event_level level)
{
	struct event event = EVENT(EVENT_WARNING);

	event.level = level;
	event.has_id = true;
	event.id = s->transaction->envelope->id;
	event.from = s->transaction->envelope->reverse_path;
	event.to = s->transaction->at_end ? TEXT_EMPTY : s->transaction->asked_path;
	event.rule = TEXT("access.policy_service");
	event.detail = words;
	s->ops->emit(s->owner, &event);
}

/* HOLD, DISCARD and PREPEND are about the whole message, whenever they are said. */
static void keep_wishes(struct receive_session *s, const struct policy_answer *a)
{
	struct transaction *t = s->transaction;

	t->held_by_policy |= a->verdict == POLICY_HOLD;
	t->discarded_by_policy |= a->verdict == POLICY_DISCARD;
	if (a->verdict == POLICY_PREPEND) {
		t->fields.max = RECEIVE_FIELDS_MAX;
		buf_add(&t->fields, a->field);
		buf_add_string(&t->fields, "\r\n");
	}
	if (a->note.len)
		note(s, a->note, a->level);
}

static void refuse(struct receive_session *s, const struct policy_answer *a)
{
	char words[512];
	struct text text = text_head(a->reply.text, sizeof(words) - 1);

	memcpy(words, text.at, text.len);
	words[text.len] = 0;
	receive_session_refuse(s, &(struct refusal){ .code = a->reply.code,
	                                             .enhanced = a->reply.enhanced,
	                                             .text = words,
	                                             .subject = s->transaction->at_end
	                                                                ? TEXT_EMPTY
	                                                                : s->transaction->asked_path,
	                                             .rule = "access.policy_service",
	                                             .stage = s->transaction->at_end ? STAGE_DOT : STAGE_RCPT,
	                                             .reason = REASON_POLICY });
	if (a->reply.code == 421 || a->reply.code == 521)
		receive_session_close(s);
}

static void go_on_with_recipient(struct receive_session *s, const struct policy_answer *a)
{
	struct envelope *e = s->transaction->envelope;
	bool refused = a->verdict == POLICY_REFUSE;

	if (refused) {
		e->recipient_count--; /* the last one, which was asked about */
		s->ops->give_back(s->owner, 1);
		s->transaction->counted--;
	}
	receive_session_enter(s, e->recipient_count ? PHASE_RCPT : PHASE_MAIL);
	if (refused)
		refuse(s, a);
	else
		receive_session_reply(s, 250, "2.1.5", "Ok");
}

static void go_on_with_message(struct receive_session *s, const struct policy_answer *a)
{
	if (a->verdict != POLICY_REFUSE) {
		receive_transaction_go_on(s);
		return;
	}
	refuse(s, a);
	receive_session_end_transaction(s);
}

void receive_session_policy_answered(struct receive_session *s, const struct policy_answer *answer)
{
	if (s->phase != PHASE_ASK)
		return;
	keep_wishes(s, answer);
	if (s->transaction->at_end)
		go_on_with_message(s, answer);
	else
		go_on_with_recipient(s, answer);
}
