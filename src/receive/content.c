/* The content of a message: from DATA or BDAT into a draft, checked, and to the queue. */
#include "session.h"

#include <postrider/mail/trace.h>

#define SUBJECT_KEPT 200

void receive_content_refuse_draft(struct receive_session *s, enum err err)
{
	if (err == ERR_FULL)
		receive_session_refuse(s, &(struct refusal){ .code = 452,
		                                             .enhanced = "4.3.1",
		                                             .text = "No space left here, come back later",
		                                             .rule = "spool.max_size",
		                                             .stage = STAGE_DATA,
		                                             .reason = REASON_SPOOL });
	else
		receive_session_refuse(s, &(struct refusal){ .code = 451,
		                                             .enhanced = "4.3.0",
		                                             .text = "Could not store the message, try again",
		                                             .stage = STAGE_DATA,
		                                             .reason = REASON_SPOOL });
}

void receive_content_open(struct receive_session *s)
{
	struct transaction *t = s->transaction;

	t->err = s->ops->open_draft(s->owner, t->envelope->declared_bytes);
	t->has_draft = !t->err;
	t->repairs = s->listener->bare_lf == CONFIG_BARE_LF_REPAIR && t->envelope->body != ENVELOPE_BINARY;
	data_decoder_init(&t->decoder);
	data_repairer_init(&t->repairer, s->phase != PHASE_CHUNKS);
}

void receive_transaction_data(struct receive_session *s)
{
	struct transaction *t = s->transaction;

	if (t->envelope->body == ENVELOPE_BINARY) {
		receive_session_reply(s, 503, "5.5.1", "BODY=BINARYMIME goes with BDAT, not with DATA");
		receive_session_count_error(s);
		return;
	}
	receive_content_open(s);
	if (t->err) {
		receive_content_refuse_draft(s, t->err);
		receive_session_end_transaction(s);
		return;
	}
	receive_session_reply(s, 354, "", "Go ahead, end with CR LF . CR LF");
	if (s->phase != PHASE_CLOSED)
		receive_session_enter(s, PHASE_DATA);
}

static void drop_draft(struct receive_session *s)
{
	struct transaction *t = s->transaction;

	if (t->has_draft)
		s->ops->abort_draft(s->owner);
	t->has_draft = false;
}

void receive_content_too_large(struct receive_session *s)
{
	s->transaction->over_limit = true;
	drop_draft(s);
}

/* What cannot be kept is still read to its end, so that both sides stay in step. */
static void keep_span(struct receive_session *s, struct text span)
{
	struct transaction *t = s->transaction;

	if (t->err || t->over_limit)
		return;
	t->content_bytes += span.len;
	if (t->limit_bytes && t->content_bytes > t->limit_bytes) {
		receive_content_too_large(s);
		return;
	}
	t->err = header_scan_feed(&t->header, span);
	if (!t->err)
		t->err = s->ops->write_draft(s->owner, span);
	if (t->err)
		drop_draft(s);
}

void receive_content_take(struct receive_session *s, struct text span)
{
	struct transaction *t = s->transaction;
	struct text piece;

	if (!t->repairs && span.len)
		keep_span(s, span);
	while (t->repairs && data_repair(&t->repairer, &span, &piece) == ERR_OK)
		keep_span(s, piece);
}

static bool refuse_line_ends(struct receive_session *s)
{
	const struct data_decoder *d = &s->transaction->decoder;

	if ((!d->bare_lf_count && !d->bare_cr_count) || s->transaction->repairs ||
	    s->transaction->envelope->body == ENVELOPE_BINARY)
		return false;
	receive_session_refuse(s, &(struct refusal){ .code = 550,
	                                             .enhanced = "5.5.2",
	                                             .text = "The message has line ends other than CR LF",
	                                             .rule = "listen.bare_lf",
	                                             .stage = STAGE_DATA,
	                                             .reason = REASON_PROTOCOL });
	receive_session_end_transaction(s);
	if (++s->bare_line_ends > 1 && s->phase != PHASE_CLOSED) {
		receive_session_reply(s, 421, "4.7.0", "Line ends other than CR LF again, closing");
		receive_session_close(s);
	}
	return true;
}

/* "CR LF NUL . CR LF" is the end of the data for a server that leaves out NULs, and would leave here as it came. */
static bool refuse_nuls(struct receive_session *s)
{
	if (!s->transaction->decoder.nul_first_count || s->transaction->envelope->body == ENVELOPE_BINARY)
		return false;
	receive_session_refuse(s, &(struct refusal){ .code = 550,
	                                             .enhanced = "5.6.0",
	                                             .text = "A line of the message begins with NUL",
	                                             .stage = STAGE_DATA,
	                                             .reason = REASON_PROTOCOL });
	receive_session_end_transaction(s);
	return true;
}

static bool refuse_data(struct receive_session *s)
{
	struct transaction *t = s->transaction;

	if (refuse_line_ends(s) || refuse_nuls(s))
		return true;
	if (t->over_limit) {
		receive_session_refuse(s,
		                       &(struct refusal){ .code = 552,
		                                          .enhanced = "5.3.4",
		                                          .text = "The message is too large for this relay",
		                                          .rule = "access.max_message_size",
		                                          .stage = STAGE_DATA,
		                                          .reason = REASON_TOO_LARGE });
	} else if (t->header.counts[HEADER_RECEIVED] > s->config->access.max_hops) {
		receive_session_refuse(
			s, &(struct refusal){
				   .code = 554,
				   .enhanced = "5.4.6",
				   .text = "Too many Received fields: this mail goes round in circles",
				   .rule = "access.max_hops",
				   .stage = STAGE_DATA,
				   .reason = REASON_POLICY });
	} else if (t->err) {
		receive_content_refuse_draft(s, t->err);
	} else if (receive_auth_header_fits(s) && receive_transaction_reroute(s)) {
		return false;
	}
	receive_session_end_transaction(s);
	return true;
}

static void add_trace(struct receive_session *s, struct buf *out)
{
	const struct envelope *e = s->transaction->envelope;
	struct text only = TEXT_EMPTY;

	if (e->recipient_count == 1)
		only = e->recipients[0].original_path.len ? e->recipients[0].original_path
		                                          : e->recipients[0].forward_path;
	trace_add_received(
		out, &(struct trace){ .helo = e->helo,
	                              .client = s->client,
	                              .client_name = s->more ? text_from(s->more->client_name) : TEXT_EMPTY,
	                              .hostname = s->config->hostname,
	                              .protocol = e->protocol,
	                              .tls = e->tls,
	                              .repaired = s->transaction->repairer.repaired_count > 0,
	                              .utf8 = e->smtputf8,
	                              .id = e->id,
	                              .forward_path = only,
	                              .received_time = e->received_time });
}

/* Which of both happened, where both may. */
static struct text action_of(const struct receive_session *s, const struct queue_decision *decision)
{
	if (s->listener->hand_over == CONFIG_STORE)
		return TEXT_EMPTY;
	return decision->outcomes && !decision->stored ? TEXT("through") : TEXT("stored");
}

static void emit_received(struct receive_session *s, const struct queue_decision *decision)
{
	const struct envelope *e = s->transaction->envelope;
	struct event event = EVENT(EVENT_RECEIVED);

	event.action = action_of(s, decision);

	event.has_id = true;
	event.id = e->id;
	event.message_id = e->message_id;
	event.from = e->reverse_path;
	event.recipients = (int64_t)e->recipient_count;
	event.to = e->recipient_count == 1 ? e->recipients[0].forward_path : TEXT_EMPTY;
	event.size = (int64_t)e->content_bytes;
	event.created_time = e->received_time;
	event.subject = e->subject;
	event.next_attempt_time = e->release_time > e->received_time ? e->release_time : 0;
	if (s->transaction->repairer.repaired_count)
		event.detail = TEXT("line ends were repaired");
	event.code = 250;
	event.ms.total = (int32_t)MIN(s->ops->now_time(s->owner) - e->received_time, INT32_MAX);
	if (decision->stored)
		event.ms.queue = decision->disk_ms;
	s->ops->emit(s->owner, &event);
}

/* What a service outside wants nobody to get: taken like any other message, and gone. */
static void discard(struct receive_session *s)
{
	const struct envelope *e = s->transaction->envelope;
	struct id_text id = id_to_text(e->id);
	struct event event = EVENT(EVENT_DROPPED);

	emit_received(s, &(struct queue_decision){ 0 });
	event.has_id = true;
	event.id = e->id;
	event.from = e->reverse_path;
	event.rule = TEXT("access.policy_service");
	event.reason = REASON_POLICY;
	for (size_t i = 0; i < e->recipient_count; i++) {
		event.rcpt = (int64_t)i;
		event.to = e->recipients[i].forward_path;
		s->ops->emit(s->owner, &event);
	}
	s->transaction->counted = 0;
	s->messages++;
	s->recipients += e->recipient_count;
	receive_session_reply_format(s, 250, "2.0.0", "taken as %.*s", ID_CHARS, id.at);
	receive_session_end_transaction(s);
}

/* What goes in front: our trace on top (RFC 5321 section 4.4), then what a service outside has added. */
static enum err build_front(struct receive_session *s, struct buf *out)
{
	add_trace(s, out);
	buf_add(out, buf_text(&s->transaction->fields));
	return buf_err(out) ? buf_err(out) : buf_err(&s->transaction->fields);
}

static const enum queue_mode modes[] = { [CONFIG_STORE] = QUEUE_STORE,
	                                 [CONFIG_THROUGH] = QUEUE_THROUGH,
	                                 [CONFIG_THROUGH_OR_STORE] = QUEUE_THROUGH_OR_STORE };

void receive_transaction_go_on(struct receive_session *s)
{
	struct transaction *t = s->transaction;
	struct buf front = BUF(4096 + RECEIVE_FIELDS_MAX);

	if (t->discarded_by_policy) {
		discard(s);
		return;
	}
	for (size_t i = 0; i < t->envelope->recipient_count && t->held_by_policy; i++)
		t->held[i] = true;
	t->err = build_front(s, &front);
	if (t->err) {
		receive_content_refuse_draft(s, t->err);
		receive_session_end_transaction(s);
	} else {
		struct queue_submission submission = { .envelope = t->envelope,
			                               .prepended = buf_text(&front),
			                               .keys = t->keys,
			                               .held = t->held,
			                               .classes = t->classes,
			                               .strict = t->strict,
			                               .mode = modes[s->listener->hand_over],
			                               .budget_ms = s->listener->hand_over_timeout_ms };

		receive_session_enter(s, PHASE_COMMIT);
		t->has_draft = false;
		s->ops->commit(s->owner, &submission);
	}
	buf_fini(&front);
}

/* What the content says about itself goes to the envelope. */
static void describe(struct transaction *t)
{
	struct envelope *e = t->envelope;

	e->content_bytes = t->content_bytes;
	e->header_8bit = t->header.is_8bit;
	if (t->decoder.has_8bit && e->body == ENVELOPE_7BIT)
		e->body = ENVELOPE_8BIT;
	/* the parameter is the stronger word (RFC 8689 section 4.2) */
	if (e->tls_wish == ENVELOPE_TLS_UNSAID && header_scan_wants_no_tls(&t->header))
		e->tls_wish = ENVELOPE_TLS_OPTIONAL;
	if (!t->err)
		t->err = envelope_set(e, &e->message_id, header_scan_value(&t->header, HEADER_MESSAGE_ID));
	if (!t->err)
		t->err = envelope_set(e, &e->subject,
		                      text_head(header_scan_value(&t->header, HEADER_SUBJECT), SUBJECT_KEPT));
	if (!t->err)
		t->err = header_pick_finish(&t->pick);
	if (!t->err)
		t->err = envelope_set(e, &e->fields, buf_text(&t->pick.lines));
}

/* All is there: checked, and then the queue decides. */
void receive_content_end(struct receive_session *s)
{
	struct transaction *t = s->transaction;
	struct text piece;

	data_decoder_count_end(&t->decoder);
	while (t->repairs && data_repair_end(&t->repairer, &piece) == ERR_OK)
		keep_span(s, piece);
	header_scan_finish(&t->header);
	describe(t);
	if (!refuse_data(s) && !receive_policy_ask_message(s))
		receive_transaction_go_on(s);
}

/* A chunk could not be kept. */
void receive_content_refuse(struct receive_session *s)
{
	if (!refuse_data(s))
		receive_session_end_transaction(s);
}

void receive_transaction_take(struct receive_session *s, struct text *bytes)
{
	struct transaction *t = s->transaction;
	struct text span;

	for (;;) {
		switch (data_decode(&t->decoder, bytes, &span)) {
		case DATA_SPAN:
			receive_content_take(s, span);
			if (t->has_draft && s->ops->draft_is_busy(s->owner))
				return;
			break;
		case DATA_MORE:
			return;
		case DATA_END:
			receive_content_end(s);
			return;
		}
	}
}

/* ---------------------------------------------------------------- the decision */

static void count_taken(struct receive_session *s)
{
	struct transaction *t = s->transaction;

	s->messages++;
	s->recipients += t->envelope->recipient_count;
	s->junk = 0;
	t->counted = 0;
}

void receive_transaction_decided(struct receive_session *s, const struct queue_decision *decision)
{
	struct id_text id = id_to_text(s->transaction->envelope->id);
	bool through = decision->outcomes != NULL;

	if (through ? receive_hand_over_end(decision) != HAND_OVER_REFUSED : !decision->err) {
		count_taken(s);
		emit_received(s, decision);
	}
	if (through)
		receive_hand_over_answer(s, decision);
	else if (decision->err)
		receive_content_refuse_draft(s, decision->err);
	else
		receive_session_reply_format(s, 250, "2.0.0", "queued as %.*s", ID_CHARS, id.at);
	receive_session_end_transaction(s);
}
