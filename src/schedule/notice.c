/* The notices of a settle: a report on recipients that failed, a warning on those that are late, word of those that were
 * handed on to a host that does not report. */
#include "internal.h"

#include <postrider/base/utf8.h>
#include <postrider/mail/dsn.h>

/* A report on thousands of recipients, each with a long answer. */
#define NOTICE_MAX_BYTES (16u << 20)

static struct text explanation_of(const struct task_outcome *o)
{
	if (o->deadline)
		return TEXT(
			"You asked for delivery within a certain time or not at all, and that time is over.");
	if (o->outcome.verdict == QUEUE_DELIVERED)
		return TEXT_EMPTY;
	if (o->outcome.verdict == QUEUE_EXPIRED)
		return TEXT(
			"The message was tried again and again until its time was over. The last answer is given here; "
			"it will not be tried any more.");
	switch (o->outcome.recipient.reason) {
	case REASON_NO_SUCH_USER:
		return TEXT("There is no such mailbox. Check the address, left of the @, for typing errors.");
	case REASON_NO_SUCH_DOMAIN:
		return TEXT("There is no such domain. Check the address, right of the @, for typing errors.");
	case REASON_NULL_MX:
		return TEXT("This domain says that it takes no mail at all.");
	case REASON_TOO_LARGE:
		return TEXT(
			"The message is larger than the other side takes. Send a smaller one, or a link.");
	case REASON_MAILBOX_FULL:
		return TEXT("The mailbox is full. The recipient has to make room in it.");
	case REASON_TLS:
	case REASON_TLS_POLICY:
		return TEXT("The message may only travel encrypted, and that could not be had.");
	case REASON_BLOCKED:
	case REASON_POLICY:
		return TEXT(
			"The other side refuses it by its rules. Its answer may say why; its postmaster can say more.");
	case REASON_EXTENSION:
		return TEXT("The mail system on the way there is not able to do what this message needs.");
	default:
		return TEXT_EMPTY;
	}
}

static const enum dsn_action actions[NOTICE_KINDS] = {
	[NOTICE_FAILED] = DSN_FAILED,
	[NOTICE_DELAYED] = DSN_DELAYED,
	[NOTICE_RELAYED] = DSN_RELAYED,
	[NOTICE_DELIVERED] = DSN_DELIVERED,
};

static size_t fill_recipients(const struct task *t, enum notice_kind kind,
                              struct dsn_recipient *out)
{
	const struct envelope *e = t->work->message->envelope;
	int64_t expires = outcome_expires_time(t);
	size_t count = 0;

	for (size_t i = 0; i < t->outcome_count; i++) {
		const struct task_outcome *o = &t->outcomes[i];
		const struct queue_recipient *q = &o->outcome.recipient;

		if (!o->told[kind])
			continue;
		out[count++] = (struct dsn_recipient){
			.forward_path = e->recipients[q->n].forward_path,
			.original_path = e->recipients[q->n].original_path,
			.orcpt = e->recipients[q->n].orcpt,
			.action = actions[kind],
			.status = o->enhanced,
			.reply = q->reply,
			.from_peer = o->reply_is_peers,
			.explanation = explanation_of(o),
			.remote_mta = o->mx,
			.last_attempt_time = q->last_attempt_time,
			.will_retry_until_time = kind == NOTICE_DELAYED && expires < INT64_MAX ? expires : 0,
		};
	}
	return count;
}

/* The front of the message, as much as a report may return. */
static struct text original_of(const struct task *t, size_t max_bytes, struct arena *arena)
{
	const struct queue_message *m = t->work->message;
	struct text content = m->content.at ? m->content : buf_text(&t->original);
	size_t bytes = MIN(m->prepended.len + content.len, max_bytes + m->prepended.len);
	char *all = arena_alloc(arena, bytes + 1);

	if (!all)
		return TEXT_EMPTY;
	memcpy(all, m->prepended.at, m->prepended.len);
	memcpy(all + m->prepended.len, content.at, bytes - m->prepended.len);
	return text_of(all, bytes);
}

/* RET speaks of failures only (RFC 3461 section 4.3); other reports need no more than the header. The body of what may
 * travel by TLS alone stays here (RFC 8689 section 5), and so does what is no text. */
static enum dsn_return returned_of(const struct config *config, const struct envelope *e,
                                   enum notice_kind kind)
{
	bool headers =
		kind != NOTICE_FAILED || e->tls_wish == ENVELOPE_TLS_REQUIRED || e->body == ENVELOPE_BINARY;

	if (e->ret)
		return headers || e->ret == ENVELOPE_RET_HDRS ? DSN_RETURN_HEADERS : DSN_RETURN_FULL;
	if (headers && config->bounce.include == CONFIG_INCLUDE_FULL)
		return DSN_RETURN_HEADERS;
	switch (config->bounce.include) {
	case CONFIG_INCLUDE_FULL:
		return DSN_RETURN_FULL;
	case CONFIG_INCLUDE_NONE:
		return DSN_RETURN_NOTHING;
	case CONFIG_INCLUDE_HEADERS:
		break;
	}
	return DSN_RETURN_HEADERS;
}

/* How much of a content a report may want: all of it, or as much as headers take. */
size_t notice_wanted_bytes(const struct schedule *s, const struct envelope *e, size_t content_bytes)
{
	bool full = returned_of(s->config, e, NOTICE_FAILED) == DSN_RETURN_FULL;

	return full && content_bytes <= s->config->bounce.max_size_bytes ? content_bytes : ORIGINAL_BYTES / 2;
}

/* A report is as urgent as what it is about (RFC 6710 section 4.1), and travels as it had to (RFC 8689 section 5). */
static enum err make_envelope(struct schedule *s, const struct envelope *original, enum notice_kind kind,
                              struct envelope **out)
{
	const struct config_texts *copies = &s->config->bounce.copy_to;
	AUTO(envelope_free) struct envelope *e = envelope_new(64u << 10);

	if (!e)
		return ERR_NOMEM;
	e->received_time = io_now_time(s->io);
	e->id = id_next(&s->ids, e->received_time);
	e->has_priority = original->has_priority;
	e->priority = original->priority;
	if (original->tls_wish == ENVELOPE_TLS_REQUIRED)
		e->tls_wish = ENVELOPE_TLS_REQUIRED;
	e->smtputf8 = e->header_8bit = !utf8_is_ascii(original->reverse_path);
	if (envelope_add_recipient(e, original->reverse_path, TEXT_EMPTY) ||
	    envelope_set(e, &e->protocol, TEXT("LOCAL")) || envelope_set(e, &e->client, TEXT("local")))
		return ERR_NOMEM;
	for (size_t i = 0; kind == NOTICE_FAILED && i < copies->count; i++)
		if (envelope_add_recipient(e, copies->items[i], TEXT_EMPTY))
			return ERR_NOMEM;
	*out = TAKE(e);
	return ERR_OK;
}

/* ERR_SYNTAX: the first recipient, whom it is for, cannot be reached. A copy that leads nowhere waits under the same key and
 * comes to nothing there. */
static enum err choose_ways(struct schedule *s, const struct envelope *e, struct arena *arena,
                            struct queue_notice *out)
{
	const struct route_message message = { .is_received = true };
	struct text *keys = arena_alloc(arena, e->recipient_count * sizeof(*keys));
	enum config_class *classes = arena_alloc(arena, e->recipient_count * sizeof(*classes));

	if (!keys || !classes)
		return ERR_NOMEM;
	for (size_t i = 0; i < e->recipient_count; i++) {
		struct route_choice choice;

		if (route_find(s->config, &message, e->recipients[i].forward_path, &choice)) {
			if (i == 0)
				return ERR_SYNTAX;
			keys[i] = keys[0];
			classes[i] = classes[0];
			continue;
		}
		classes[i] = route_class(choice.route, e->priority);
		if (arena_text(arena, route_key(&choice), &keys[i]))
			return ERR_NOMEM;
	}
	out->keys = keys;
	out->classes = classes;
	return ERR_OK;
}

/* It is on disk: what its story begins with. Said once, with the part that goes to the sender: copies may go elsewhere. */
void notice_say(struct schedule *s, const struct queue_work *w)
{
	const struct envelope *e = w->message->envelope;
	struct id_text about = id_to_text(w->about);
	struct event event = EVENT(EVENT_RECEIVED);

	if (w->recipients[0].n != 0)
		return;
	event.has_id = true;
	event.id = e->id;
	event.recipients = (int64_t)e->recipient_count;
	event.from = TEXT("");
	event.to = e->recipients[0].forward_path;
	event.size = (int64_t)e->content_bytes;
	event.created_time = e->received_time;
	event.client_protocol = TEXT("LOCAL");
	event.subject = e->subject;
	event.action = text_of(about.at, ID_CHARS);
	event.detail = TEXT("a report of ours");
	observe_emit(s->observe, &event);
}

/* Everything in *out lives in arena, except *envelope, which the caller frees after the settle was handed in.
 * ERR_SYNTAX: the reverse-path leads nowhere, so that there is nobody to tell. */
enum err notice_build(struct schedule *s, struct task *t, enum notice_kind kind, struct arena *arena,
                      struct envelope **envelope, struct queue_notice *out)
{
	const struct envelope *original = t->work->message->envelope;
	struct dsn_recipient *recipients = arena_alloc(arena, (t->outcome_count + 1) * sizeof(*recipients));
	struct buf b = BUF(NOTICE_MAX_BYTES);
	struct dsn_result result;
	struct dsn dsn;
	enum err err;

	if (!recipients)
		return ERR_NOMEM;
	err = make_envelope(s, original, kind, envelope);
	if (err)
		return err;
	dsn = (struct dsn){ .id = (*envelope)->id,
		            .random = random_u64(&s->random),
		            .now_time = (*envelope)->received_time,
		            .hostname = s->config->hostname,
		            .from = s->config->bounce.from,
		            .to = original->reverse_path,
		            .original_id = original->id,
		            .arrival_time = original->received_time,
		            .message_id = original->message_id,
		            .subject = original->subject,
		            .envid = original->envid,
		            .utf8 = original->smtputf8,
		            .recipients = recipients,
		            .recipient_count = fill_recipients(t, kind, recipients),
		            .returned = returned_of(s->config, original, kind),
		            .original = original_of(t, s->config->bounce.max_size_bytes, arena),
		            .original_bytes =
		                    t->work->message->prepended.len + t->work->message->content_bytes,
		            .returned_max_bytes = s->config->bounce.max_size_bytes };
	dsn_add(&b, &dsn, &result);
	(*envelope)->body = result.is_8bit ? ENVELOPE_8BIT : ENVELOPE_7BIT;
	(*envelope)->content_bytes = b.len;
	*out = (struct queue_notice){ .envelope = *envelope, .prepended = TEXT_EMPTY };
	err = buf_err(&b);
	if (!err)
		err = arena_text(arena, buf_text(&b), &out->content);
	if (!err)
		err = choose_ways(s, *envelope, arena, out);
	buf_fini(&b);
	return err;
}
