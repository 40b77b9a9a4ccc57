/* A mail transaction's envelope: MAIL and RCPT (RFC 5321 section 3.3). Its content is content.c's. */
#include "parameters.h"

#include <postrider/mail/trace.h>
#include <postrider/route.h>

/* An envelope with 1,000 recipients of ordinary length takes about 100 KiB. As many as are allowed fit in any case, with
 * everything of the greatest length: the number is announced (LIMITS). */
#define ENVELOPE_BUDGET (2u << 20)
#define RECIPIENT_BUDGET 1536
#define PATH_BUDGET 1024

void receive_transaction_free(struct receive_session *s)
{
	struct transaction *t = s->transaction;

	if (t->counted)
		s->ops->give_back(s->owner, t->counted);
	s->transaction = NULL;
	if (t->has_draft)
		s->ops->abort_draft(s->owner);
	buf_fini(&t->fields);
	header_scan_fini(&t->header);
	header_pick_fini(&t->pick);
	envelope_free(&t->envelope);
	free(t->keys);
	free(t);
}

/* ---------------------------------------------------------------- MAIL */

static void refuse_argument(struct receive_session *s, const struct reply *refusal)
{
	receive_session_reply_format(s, refusal->code, refusal->enhanced, "%.*s", TEXT_ARGS(refusal->text));
	receive_session_count_error(s);
}

static void out_of_memory(struct receive_session *s)
{
	receive_session_reply(s, 451, "4.3.0", "Out of memory, try again");
}

/* What the paths are known as from here on: their domains as the DNS has them. */
static struct text plain_path(const struct smtp_path *path, struct buf *room, enum err *err)
{
	if (!path->is_utf8)
		return path->mailbox;
	*err = smtp_mailbox_to_ascii_domain(path, room);
	if (!*err)
		*err = buf_err(room);
	return buf_text(room);
}

static enum envelope_body body_of(enum smtp_body body, bool smtputf8)
{
	if (body == SMTP_BODY_BINARYMIME)
		return ENVELOPE_BINARY;
	/* SMTPUTF8 says 8BITMIME too (RFC 6531 section 3.1) */
	return body == SMTP_BODY_8BITMIME || smtputf8 ? ENVELOPE_8BIT : ENVELOPE_7BIT;
}

static enum err fill_envelope(struct receive_session *s, struct envelope *e, const struct smtp_mail *mail,
                              struct text reverse_path, const struct mail_wishes *wishes)
{
	struct buf b = BUF(256);
	enum err err;

	e->received_time = s->ops->now_time(s->owner);
	e->id = s->ops->make_id(s->owner);
	e->body = body_of(mail->body, wishes->smtputf8);
	e->declared_bytes = mail->has_size ? mail->size_bytes : 0;
	if (s->client.family == IP_NONE)
		buf_add_string(&b, s->is_named ? "unknown" : "unix");
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
		err = envelope_set(e, &e->reverse_path, reverse_path);
	if (!err)
		err = envelope_set(e, &e->helo, text_from(s->helo));
	if (!err)
		err = envelope_set(e, &e->listener, s->listener->name);
	if (!err)
		err = envelope_set(e, &e->user, receive_session_user(s));
	if (!err)
		err = envelope_set(e, &e->protocol,
		                   trace_protocol(s->extended, s->tls_running, s->more && s->more->user_name,
		                                  wishes->smtputf8));
	return err ? err : receive_parameters_keep(wishes, e);
}

static bool sender_is_welcome(struct receive_session *s, const struct smtp_mail *mail,
                              struct text reverse_path)
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
	if (mail->has_size && s->listener->hand_over == CONFIG_STORE &&
	    !s->ops->has_room(s->owner, mail->size_bytes)) {
		receive_content_refuse_draft(s, ERR_FULL);
		return false;
	}
	if (!route_sender_allowed(s->config, reverse_path)) {
		receive_session_refuse(s, &(struct refusal){ .code = 550,
		                                             .enhanced = "5.7.1",
		                                             .subject = reverse_path,
		                                             .text = "is not allowed here as a sender",
		                                             .rule = "access.senders",
		                                             .stage = STAGE_MAIL,
		                                             .reason = REASON_POLICY });
		return false;
	}
	return receive_auth_may_send(s, reverse_path);
}

/* What has nothing to do with the message. */
static bool may_begin(struct receive_session *s)
{
	struct receive_limit_answer why = { 0 };

	if (receive_auth_is_missing(s)) {
		receive_session_refuse(
			s, &(struct refusal){ .code = 530,
		                              .enhanced = "5.7.0",
		                              .text = s->tls_offered && !s->tls_running
		                                              ? "Log in first: STARTTLS, then AUTH"
		                                              : "Log in first: AUTH",
		                              .rule = "listen.auth",
		                              .stage = STAGE_MAIL,
		                              .reason = REASON_AUTH });
		return false;
	}
	if (s->hasty && !s->may_relay) {
		receive_session_refuse(s,
		                       &(struct refusal){ .code = 554,
		                                          .enhanced = "5.5.0",
		                                          .text = "You did not wait for the answer to EHLO",
		                                          .stage = STAGE_MAIL,
		                                          .reason = REASON_PROTOCOL });
		receive_session_close(s);
		return false;
	}
	if (!s->ops->take(s->owner, RECEIVE_LIMIT_MESSAGE, &why)) {
		receive_session_refuse_limit(s, &why, TEXT_EMPTY, STAGE_MAIL);
		return false;
	}
	return true;
}

/* X.3.6: the priority that counts stands in front (RFC 6710 section 4.1). */
static void welcome_sender(struct receive_session *s, const struct mail_wishes *wishes)
{
	if (wishes->priority_lowered)
		receive_session_reply_format(s, 250, "2.3.6", "%d is the highest priority here",
		                             wishes->priority);
	else
		receive_session_reply(s, 250, "2.1.0", "Ok");
}

static void begin(struct receive_session *s, const struct smtp_mail *mail, struct text reverse_path,
                  const struct mail_wishes *wishes)
{
	struct transaction *t = calloc(1, sizeof(*t));

	if (t)
		t->envelope = envelope_new(
			MAX(ENVELOPE_BUDGET, s->config->access.max_recipients * RECIPIENT_BUDGET));
	if (!t || !t->envelope || fill_envelope(s, t->envelope, mail, reverse_path, wishes)) {
		if (t)
			envelope_free(&t->envelope);
		free(t);
		out_of_memory(s);
		return;
	}
	t->limit_bytes = s->config->access.max_message_size_bytes;
	header_scan_init(&t->header);
	header_pick_init(&t->pick, s->config->routes.fields.items, s->config->routes.fields.count);
	if (t->pick.count)
		t->header.pick = &t->pick;
	s->transaction = t;
	s->chunk.failed = false;
	receive_session_enter(s, PHASE_MAIL);
	welcome_sender(s, wishes);
}

void receive_transaction_mail(struct receive_session *s, struct text args)
{
	struct smtp_mail mail;
	struct reply refusal;
	struct mail_wishes wishes;
	struct buf room = BUF(PATH_BUDGET);
	enum err err = ERR_OK;

	s->ops->renew(s->owner);
	if (!may_begin(s))
		return;
	if (smtp_mail_parse(args, &mail, &refusal)) {
		refuse_argument(s, &refusal);
		return;
	}
	if (!receive_parameters_mail(s, &mail, &wishes))
		return;
	struct text reverse_path = plain_path(&mail.reverse_path, &room, &err);

	if (err)
		out_of_memory(s);
	else if (sender_is_welcome(s, &mail, reverse_path))
		begin(s, &mail, reverse_path, &wishes);
	buf_fini(&room);
}

/* ---------------------------------------------------------------- RCPT */

static void refuse_by_route(struct receive_session *s, struct text path, const struct config_route *route)
{
	receive_session_refuse(
		s, &(struct refusal){ .code = 550,
	                              .enhanced = "5.7.1",
	                              .subject = path,
	                              .text = route ? "is rejected by a route" : "has no route here",
	                              .rule = "routes",
	                              .route = route,
	                              .stage = STAGE_RCPT,
	                              .reason = REASON_POLICY });
}

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

/* Keys, hashes, classes, holds and ledgers are one block, which begins with the keys. */
static enum err make_room(struct transaction *t)
{
	size_t room = t->key_room ? t->key_room * 2 : 2, count = t->envelope->recipient_count;
	struct text *keys;

	if (count < t->key_room)
		return ERR_OK;
	keys = malloc(room * (sizeof(*t->keys) + sizeof(*t->hashes) + sizeof(*t->classes) + sizeof(*t->held) +
	                      sizeof(*t->strict)));
	if (!keys)
		return ERR_NOMEM;
	uint32_t *hashes = (uint32_t *)(void *)(keys + room);
	enum config_class *classes = (enum config_class *)(void *)(hashes + room);
	bool *held = (bool *)(void *)(classes + room), *strict = held + room;

	if (count) {
		memcpy(keys, t->keys, count * sizeof(*keys));
		memcpy(hashes, t->hashes, count * sizeof(*hashes));
		memcpy(classes, t->classes, count * sizeof(*classes));
		memcpy(held, t->held, count * sizeof(*held));
		memcpy(strict, t->strict, count * sizeof(*strict));
	}
	free(t->keys);
	t->keys = keys;
	t->hashes = hashes;
	t->classes = classes;
	t->held = held;
	t->strict = strict;
	t->key_room = room;
	return ERR_OK;
}

static enum err add_recipient(struct receive_session *s, struct text given, struct text path,
                              const struct route_choice *choice, const struct rcpt_wishes *wishes)
{
	struct transaction *t = s->transaction;
	struct envelope *e = t->envelope;
	size_t n = e->recipient_count;
	struct text key;

	if (make_room(t) || arena_text(&e->arena, route_key(choice), &key) ||
	    envelope_add_recipient(e, path, text_eq(given, path) ? TEXT_EMPTY : given))
		return ERR_NOMEM;
	if ((wishes->notify || wishes->orcpt.len) &&
	    envelope_set_delivery_report(e, wishes->notify, wishes->orcpt)) {
		e->recipient_count--;
		return ERR_NOMEM;
	}
	t->keys[n] = key;
	t->hashes[n] = (uint32_t)text_hash(path);
	t->classes[n] = route_class(choice->route, e->priority);
	t->held[n] = choice->via == CONFIG_VIA_HOLD;
	t->strict[n] = route_is_strict(choice->route);
	t->provisional = t->provisional || choice->provisional;
	return ERR_OK;
}

#define NOTIFY_UNSAID (ENVELOPE_NOTIFY_FAILURE | ENVELOPE_NOTIFY_DELAY)

/* The reports that either asked for; what was not said is failure and delay, NEVER is none. */
static unsigned merged_notify(unsigned a, unsigned b)
{
	unsigned all = (a ? a : NOTIFY_UNSAID) | (b ? b : NOTIFY_UNSAID);

	if (a == b)
		return a;
	return all == ENVELOPE_NOTIFY_NEVER ? all : all & ~(unsigned)ENVELOPE_NOTIFY_NEVER;
}

/* Sent twice, delivered once: the same forward-path again is answered 250 and not added. The reports are those that either asks
 * for, the original recipient is the first one's. */
static bool merge_recipient(struct transaction *t, struct text path, const struct rcpt_wishes *wishes)
{
	uint32_t hash = (uint32_t)text_hash(path);

	for (size_t i = 0; i < t->envelope->recipient_count; i++) {
		struct envelope_recipient *r = &t->envelope->recipients[i];

		if (t->hashes[i] != hash || !text_eq(r->forward_path, path))
			continue;
		r->notify = merged_notify(r->notify, wishes->notify);
		return true;
	}
	return false;
}

/* Counted as long as the transaction lives, and for good when it becomes mail. */
static bool count_recipient(struct receive_session *s, struct text given)
{
	struct receive_limit_answer why = { 0 };

	if (s->ops->take(s->owner, RECEIVE_LIMIT_RECIPIENT, &why)) {
		s->transaction->counted++;
		return true;
	}
	receive_session_refuse_limit(s, &why, given, STAGE_RCPT);
	return false;
}

static void admit_recipient(struct receive_session *s, struct text given, struct text path,
                            const struct rcpt_wishes *wishes)
{
	struct envelope *e = s->transaction->envelope;
	const struct route_message message = { .listener = s->listener->name,
		                               .user = e->user,
		                               .reverse_path = e->reverse_path };
	struct route_choice choice;

	if (route_find(s->config, &message, path, &choice)) {
		refuse_recipient(s, given, 550, "5.1.3", "is no address that mail can go to", NULL);
	} else if (choice.via == CONFIG_VIA_REJECT && !choice.provisional) {
		refuse_by_route(s, given, choice.route);
	} else if (merge_recipient(s->transaction, path, wishes)) {
		receive_session_reply(s, 250, "2.1.5", "Ok, once is enough");
	} else if (!count_recipient(s, given)) {
		return;
	} else if (add_recipient(s, given, path, &choice, wishes)) {
		receive_session_reply(s, 452, "4.3.1",
		                      "No memory for this recipient, send it in another message");
	} else if (!receive_policy_ask_recipient(s, given)) {
		if (s->phase == PHASE_MAIL)
			receive_session_enter(s, PHASE_RCPT);
		receive_session_reply(s, 250, "2.1.5", "Ok");
	}
}

/* Those that are rejected go to the queue beside the others, and come back as a report: at the dot there is one answer for all
 * of them, and it has to be true for each. */
bool receive_transaction_reroute(struct receive_session *s)
{
	struct transaction *t = s->transaction;
	struct envelope *e = t->envelope;
	const struct route_message message = { .listener = s->listener->name,
		                               .user = e->user,
		                               .reverse_path = e->reverse_path,
		                               .fields = e->fields,
		                               .content_bytes = e->content_bytes,
		                               .is_received = true };
	struct route_choice choice = { .route = NULL };
	size_t rejected = 0;

	if (!t->provisional)
		return true;
	for (size_t i = 0; i < e->recipient_count && !t->err; i++) {
		if (route_find(s->config, &message, e->recipients[i].forward_path, &choice)) {
			t->err = ERR_SYNTAX; /* it had a way at RCPT */
			break;
		}
		t->held[i] = choice.via == CONFIG_VIA_HOLD;
		t->strict[i] = route_is_strict(choice.route);
		t->classes[i] = route_class(choice.route, e->priority);
		t->err = arena_text(&e->arena, route_key(&choice), &t->keys[i]);
		rejected += choice.via == CONFIG_VIA_REJECT;
	}
	if (t->err) {
		receive_content_refuse_draft(s, t->err);
		return false;
	}
	if (rejected < e->recipient_count)
		return true;
	receive_session_refuse(s,
	                       &(struct refusal){ .code = 550,
	                                          .enhanced = "5.7.1",
	                                          .text = choice.route ? "The message is rejected by a route"
	                                                               : "The message has no route here",
	                                          .rule = "routes",
	                                          .route = choice.route,
	                                          .stage = STAGE_DATA,
	                                          .reason = REASON_POLICY });
	return false;
}

static bool may_have_more(struct receive_session *s)
{
	if (s->transaction->envelope->recipient_count < s->config->access.max_recipients)
		return true;
	receive_session_reply_format(s, 452, "4.5.3",
	                             "Too many recipients%s, send the rest in another message",
	                             s->may_relay ? " (access.max_recipients)" : "");
	return false;
}

void receive_transaction_rcpt(struct receive_session *s, struct text args)
{
	struct smtp_rcpt rcpt;
	struct rcpt_wishes wishes;
	struct reply refusal;
	struct buf room = BUF(PATH_BUDGET), path = BUF(PATH_BUDGET);
	enum err err = ERR_OK;

	if (smtp_rcpt_parse(args, &rcpt, &refusal)) {
		refuse_argument(s, &refusal);
		return;
	}
	if (!receive_parameters_rcpt(s, &rcpt, &wishes) || !may_have_more(s))
		return;
	struct text plain = plain_path(&rcpt.forward_path, &room, &err);

	if (err) {
		out_of_memory(s);
	} else if (recipient_is_welcome(s, plain)) {
		route_rewrite_recipient(s->config, plain, &path);
		if (buf_err(&path))
			out_of_memory(s);
		else
			admit_recipient(s, rcpt.forward_path.mailbox, buf_text(&path), &wishes);
	}
	buf_fini(&room);
	buf_fini(&path);
}
