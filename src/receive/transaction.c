/* A mail transaction: MAIL, RCPT, the data, and the queue's decision (RFC 5321 section 3.3). */
#include "session.h"

#include <postrider/mail/trace.h>
#include <postrider/route.h>

/* An envelope with 1,000 recipients of ordinary length takes about 100 KiB. */
#define ENVELOPE_BUDGET (2u << 20)
#define RECIPIENT_BUDGET 1024
#define SUBJECT_KEPT 200

void receive_transaction_free(struct receive_session *s)
{
	struct transaction *t = s->transaction;

	s->transaction = NULL;
	if (t->has_draft)
		s->ops->abort_draft(s->owner);
	header_scan_fini(&t->header);
	envelope_free(&t->envelope);
	free(t->keys);
	free(t->held);
	free(t);
}

/* ---------------------------------------------------------------- MAIL */

static void refuse_argument(struct receive_session *s, const struct reply *refusal)
{
	receive_session_reply_format(s, refusal->code, refusal->enhanced, "%.*s", TEXT_ARGS(refusal->text));
	receive_session_count_error(s);
}

static bool refuse_parameters(struct receive_session *s, const struct smtp_param *params, size_t count)
{
	if (count == 0)
		return false;
	receive_session_reply_format(s, 555, "5.5.4", "Parameter %.*s is not known here",
	                             TEXT_ARGS(params[0].keyword));
	receive_session_count_error(s);
	return true;
}

static void out_of_memory(struct receive_session *s)
{
	receive_session_reply(s, 451, "4.3.0", "Out of memory, try again");
}

static enum err fill_envelope(struct receive_session *s, struct envelope *e, const struct smtp_mail *mail)
{
	struct buf b = BUF(256);
	enum err err;

	e->received_time = s->ops->now_time(s->owner);
	e->id = s->ops->make_id(s->owner);
	e->body = mail->body == SMTP_BODY_8BITMIME ? ENVELOPE_8BIT : ENVELOPE_7BIT;
	e->declared_bytes = mail->has_size ? mail->size_bytes : 0;
	if (s->client.family == IP_NONE)
		buf_add_string(&b, "unix");
	else
		ip_port_add(&b, (struct ip_port){ s->client, s->client_port });
	err = buf_err(&b);
	if (!err)
		err = envelope_set(e, &e->client, buf_text(&b));
	buf_reset(&b);
	if (s->tls_running)
		buf_add_format(&b, "%s %.*s", tls_version_text(s->tls.version), TEXT_ARGS(s->tls.cipher));
	if (!err)
		err = envelope_set(e, &e->tls, buf_text(&b));
	buf_fini(&b);
	if (!err)
		err = envelope_set(e, &e->reverse_path, mail->reverse_path.mailbox);
	if (!err)
		err = envelope_set(e, &e->helo, text_from(s->helo));
	if (!err)
		err = envelope_set(e, &e->listener, s->listener->name);
	if (!err)
		err = envelope_set(e, &e->protocol, trace_protocol(s->extended, s->tls_running, false));
	return err;
}

static bool sender_is_welcome(struct receive_session *s, const struct smtp_mail *mail)
{
	uint64_t limit = s->config->access.max_message_size_bytes;

	if (mail->has_size && limit && mail->size_bytes > limit) {
		receive_session_refuse(
			s, &(struct refusal){ .code = 552,
		                              .enhanced = "5.3.4",
		                              .text = "A message of that size is too large for this relay",
		                              .rule = "access.max_message_size",
		                              .stage = STAGE_MAIL,
		                              .reason = REASON_TOO_LARGE });
		return false;
	}
	if (!route_sender_allowed(s->config, mail->reverse_path.mailbox)) {
		receive_session_refuse(s, &(struct refusal){ .code = 550,
		                                             .enhanced = "5.7.1",
		                                             .subject = mail->reverse_path.mailbox,
		                                             .text = "is not allowed here as a sender",
		                                             .rule = "access.senders",
		                                             .stage = STAGE_MAIL,
		                                             .reason = REASON_POLICY });
		return false;
	}
	return true;
}

void receive_transaction_mail(struct receive_session *s, struct text args)
{
	struct smtp_mail mail;
	struct reply refusal;
	struct transaction *t;

	s->ops->renew(s->owner);
	if (smtp_mail_parse(args, &mail, &refusal)) {
		refuse_argument(s, &refusal);
		return;
	}
	if (mail.body == SMTP_BODY_BINARYMIME) {
		receive_session_reply(s, 501, "5.5.4", "BODY=BINARYMIME is not to be had here");
		receive_session_count_error(s);
		return;
	}
	if (refuse_parameters(s, mail.others, mail.other_count) || !sender_is_welcome(s, &mail))
		return;
	t = calloc(1, sizeof(*t));
	if (t)
		t->envelope = envelope_new(ENVELOPE_BUDGET);
	if (!t || !t->envelope || fill_envelope(s, t->envelope, &mail)) {
		if (t)
			envelope_free(&t->envelope);
		free(t);
		out_of_memory(s);
		return;
	}
	t->limit_bytes = s->config->access.max_message_size_bytes;
	header_scan_init(&t->header);
	s->transaction = t;
	receive_session_enter(s, PHASE_MAIL);
	receive_session_reply(s, 250, "2.1.0", "Ok");
}

/* ---------------------------------------------------------------- RCPT */

static void refuse_recipient(struct receive_session *s, struct text path, int code, const char *enhanced,
                             const char *words, const char *rule)
{
	receive_session_refuse(s, &(struct refusal){ .code = code,
	                                             .enhanced = enhanced,
	                                             .subject = path,
	                                             .text = words,
	                                             .rule = rule,
	                                             .stage = STAGE_RCPT,
	                                             .reason = REASON_POLICY });
}

static bool recipient_is_welcome(struct receive_session *s, struct text path)
{
	switch (route_admit_recipient(s->config, s->listener, s->may_relay, path)) {
	case ROUTE_ADMITTED:
		return true;
	case ROUTE_RELAY_DENIED:
		refuse_recipient(s, path, 550, "5.7.1",
		                 "may not be sent to from where you are: relaying denied", "listen.allow");
		return false;
	case ROUTE_RECIPIENT_DENIED:
		refuse_recipient(s, path, 550, "5.7.1", "is not allowed here as a recipient",
		                 "access.recipients");
		return false;
	}
	return false;
}

static enum err make_room(struct transaction *t)
{
	size_t room = t->key_room ? t->key_room * 2 : 2;
	struct text *keys;
	bool *held;

	if (t->envelope->recipient_count < t->key_room)
		return ERR_OK;
	keys = realloc(t->keys, room * sizeof(*keys));
	if (!keys)
		return ERR_NOMEM;
	t->keys = keys;
	held = realloc(t->held, room * sizeof(*held));
	if (!held)
		return ERR_NOMEM;
	t->held = held;
	t->key_room = room;
	return ERR_OK;
}

static enum err add_recipient(struct receive_session *s, struct text given, struct text path,
                              const struct route_choice *choice)
{
	struct transaction *t = s->transaction;
	struct envelope *e = t->envelope;
	size_t n = e->recipient_count;
	struct text key;

	if (make_room(t) || arena_text(&e->arena, route_key(choice), &key) ||
	    envelope_add_recipient(e, path, text_eq(given, path) ? TEXT_EMPTY : given))
		return ERR_NOMEM;
	t->keys[n] = key;
	t->held[n] = choice->via == CONFIG_VIA_HOLD;
	return ERR_OK;
}

/* Sent twice, delivered once: the same forward-path again is answered 250 and not added. */
static bool has_recipient(const struct envelope *e, struct text path)
{
	for (size_t i = 0; i < e->recipient_count; i++)
		if (text_eq(e->recipients[i].forward_path, path))
			return true;
	return false;
}

static void admit_recipient(struct receive_session *s, struct text given, struct text path)
{
	struct envelope *e = s->transaction->envelope;
	struct route_choice choice;

	if (route_find(s->config, s->listener->name, e->reverse_path, path, &choice)) {
		refuse_recipient(s, given, 550, "5.1.3", "is no address that mail can go to", NULL);
	} else if (choice.via == CONFIG_VIA_REJECT) {
		refuse_recipient(s, given, 550, "5.7.1",
		                 choice.route ? "is rejected by a route" : "has no route here", "routes");
	} else if (has_recipient(e, path)) {
		receive_session_reply(s, 250, "2.1.5", "Ok, once is enough");
	} else if (add_recipient(s, given, path, &choice)) {
		receive_session_reply(s, 452, "4.3.1",
		                      "No memory for this recipient, send it in another message");
	} else {
		if (s->phase == PHASE_MAIL)
			receive_session_enter(s, PHASE_RCPT);
		receive_session_reply(s, 250, "2.1.5", "Ok");
	}
}

void receive_transaction_rcpt(struct receive_session *s, struct text args)
{
	struct smtp_rcpt rcpt;
	struct reply refusal;
	struct buf path = BUF(RECIPIENT_BUDGET);

	if (smtp_rcpt_parse(args, &rcpt, &refusal)) {
		refuse_argument(s, &refusal);
		return;
	}
	if (refuse_parameters(s, rcpt.others, rcpt.other_count))
		return;
	if (s->transaction->envelope->recipient_count >= s->config->access.max_recipients) {
		receive_session_reply_format(s, 452, "4.5.3",
		                             "Too many recipients%s, send the rest in another message",
		                             s->may_relay ? " (access.max_recipients)" : "");
		return;
	}
	if (!recipient_is_welcome(s, rcpt.forward_path.mailbox))
		return;
	route_rewrite_recipient(s->config, rcpt.forward_path.mailbox, &path);
	if (buf_err(&path))
		out_of_memory(s);
	else
		admit_recipient(s, rcpt.forward_path.mailbox, buf_text(&path));
	buf_fini(&path);
}

/* ---------------------------------------------------------------- the data */

static void refuse_draft(struct receive_session *s, enum err err)
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

void receive_transaction_data(struct receive_session *s)
{
	struct transaction *t = s->transaction;
	enum err err = s->ops->open_draft(s->owner, t->envelope->declared_bytes);

	if (err) {
		refuse_draft(s, err);
		receive_session_end_transaction(s);
		return;
	}
	t->has_draft = true;
	data_decoder_init(&t->decoder);
	receive_session_reply(s, 354, "", "Go ahead, end with CR LF . CR LF");
	if (s->phase != PHASE_CLOSED)
		receive_session_enter(s, PHASE_DATA);
}

/* What cannot be kept is still read to its end, so that both sides stay in step. */
static void keep_span(struct receive_session *s, struct text span)
{
	struct transaction *t = s->transaction;

	if (t->err || t->over_limit)
		return;
	if (t->limit_bytes && t->decoder.content_bytes > t->limit_bytes) {
		t->over_limit = true;
	} else {
		t->err = header_scan_feed(&t->header, span);
		if (!t->err)
			t->err = s->ops->write_draft(s->owner, span);
	}
	if (t->err || t->over_limit) {
		t->has_draft = false;
		s->ops->abort_draft(s->owner);
	}
}

static bool refuse_line_ends(struct receive_session *s)
{
	const struct data_decoder *d = &s->transaction->decoder;

	if (!d->bare_lf_count && !d->bare_cr_count)
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

static bool refuse_data(struct receive_session *s)
{
	struct transaction *t = s->transaction;

	if (refuse_line_ends(s))
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
		refuse_draft(s, t->err);
	} else {
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
	trace_add_received(out, &(struct trace){ .helo = e->helo,
	                                         .client = s->client,
	                                         .hostname = s->config->hostname,
	                                         .protocol = e->protocol,
	                                         .tls = e->tls,
	                                         .id = e->id,
	                                         .forward_path = only,
	                                         .received_time = e->received_time });
}

/* All is there and checked: the queue decides. */
static void commit(struct receive_session *s)
{
	struct transaction *t = s->transaction;
	struct envelope *e = t->envelope;
	struct buf trace = BUF(4096);

	header_scan_finish(&t->header);
	e->content_bytes = t->decoder.content_bytes;
	if (t->decoder.has_8bit)
		e->body = ENVELOPE_8BIT;
	if (!t->err)
		t->err = envelope_set(e, &e->message_id, header_scan_value(&t->header, HEADER_MESSAGE_ID));
	if (!t->err)
		t->err = envelope_set(e, &e->subject,
		                      text_head(header_scan_value(&t->header, HEADER_SUBJECT), SUBJECT_KEPT));
	add_trace(s, &trace);
	if (!t->err)
		t->err = buf_err(&trace);
	if (!refuse_data(s)) {
		struct queue_submission submission = { .envelope = e,
			                               .prepended = buf_text(&trace),
			                               .keys = t->keys,
			                               .held = t->held,
			                               .mode = QUEUE_STORE };

		receive_session_enter(s, PHASE_COMMIT);
		t->has_draft = false;
		s->ops->commit(s->owner, &submission);
	}
	buf_fini(&trace);
}

void receive_transaction_take(struct receive_session *s, struct text *bytes)
{
	struct transaction *t = s->transaction;
	struct text span;

	for (;;) {
		switch (data_decode(&t->decoder, bytes, &span)) {
		case DATA_SPAN:
			keep_span(s, span);
			if (t->has_draft && s->ops->draft_is_busy(s->owner))
				return;
			break;
		case DATA_MORE:
			return;
		case DATA_END:
			commit(s);
			return;
		}
	}
}

/* ---------------------------------------------------------------- the decision */

static void emit_received(struct receive_session *s, const struct queue_decision *decision)
{
	const struct envelope *e = s->transaction->envelope;
	struct event event = EVENT(EVENT_RECEIVED);

	event.has_id = true;
	event.id = e->id;
	event.message_id = e->message_id;
	event.from = e->reverse_path;
	event.recipients = (int64_t)e->recipient_count;
	event.to = e->recipient_count == 1 ? e->recipients[0].forward_path : TEXT_EMPTY;
	event.size = (int64_t)e->content_bytes;
	event.created_time = e->received_time;
	event.subject = e->subject;
	event.code = 250;
	event.ms.total = (int32_t)MIN(s->ops->now_time(s->owner) - e->received_time, INT32_MAX);
	event.ms.queue = decision->disk_ms;
	s->ops->emit(s->owner, &event);
}

void receive_transaction_decided(struct receive_session *s, const struct queue_decision *decision)
{
	struct transaction *t = s->transaction;
	struct id_text id = id_to_text(t->envelope->id);

	if (decision->err) {
		refuse_draft(s, decision->err);
	} else {
		s->messages++;
		s->recipients += t->envelope->recipient_count;
		emit_received(s, decision);
		receive_session_reply_format(s, 250, "2.0.0", "queued as %.*s", ID_CHARS, id.at);
	}
	receive_session_end_transaction(s);
}
