/* What a client is told whose message was handed to the next hop while it waited (listen.hand_over). SMTP has one answer to the
 * final dot, whatever became of each recipient:
 *
 *   taken by all                     250 with the next hop's words
 *   refused by all                   their code, so that nobody but the client has to report it
 *   put off by all                   451, or 250 once it is stored
 *   taken by some                    250: the client must not send again; the rest is stored, or reported
 *
 * What the queue could not keep and may be delivered all the same is said: in the answer, and in an event for each recipient. */
#include "session.h"

#define REPLY_SHOWN 400
#define LINES_MAX 10

struct sum {
	size_t delivered, dropped, refused, put_off, unsure;
	const struct queue_outcome *first_delivered, *first_refused, *first_put_off;
};

static void note(const struct queue_outcome **first, size_t *count, const struct queue_outcome *o)
{
	if ((*count)++ == 0)
		*first = o;
}

static struct sum sum_up(const struct queue_decision *d)
{
	struct sum sum = { 0 };
	const struct queue_outcome *ignored;

	for (size_t i = 0; i < d->outcome_count; i++) {
		const struct queue_outcome *o = &d->outcomes[i];

		switch (o->verdict) {
		case QUEUE_DELIVERED:
			note(&sum.first_delivered, &sum.delivered, o);
			break;
		case QUEUE_DROPPED:
			note(&ignored, &sum.dropped, o);
			break;
		case QUEUE_BOUNCED:
		case QUEUE_EXPIRED:
			note(&sum.first_refused, &sum.refused, o);
			break;
		case QUEUE_DEFERRED:
		case QUEUE_ON_HOLD:
			note(&sum.first_put_off, &sum.put_off, o);
			break;
		}
		sum.unsure += o->recipient.unknown_outcome;
	}
	return sum;
}

/* ---------------------------------------------------------------- words */

/* "mx1.example.net [192.0.2.1]:25" */
static struct text host_of(const struct queue_outcome *o)
{
	struct text remote = o->recipient.remote;

	return text_cut(&remote, ' ');
}

static void add_words(struct buf *b, const struct queue_outcome *o)
{
	struct text host = host_of(o);

	if (o->code && host.len)
		buf_add_format(b, "%.*s said: ", TEXT_ARGS(host));
	buf_add(b, text_head(o->recipient.reply, REPLY_SHOWN));
}

static const char *taken_by(const struct sum *sum)
{
	return sum->refused + sum->put_off + sum->dropped == 0 && sum->delivered > 1 ? " to all" : "";
}

static void say_taken(struct receive_session *s, const struct sum *sum)
{
	struct id_text id = id_to_text(s->transaction->envelope->id);
	struct buf words = BUF(2048);

	if (sum->delivered == 0) {
		buf_add_format(&words, "taken as %.*s", ID_CHARS, id.at);
	} else if (sum->refused) {
		buf_add_format(&words,
		               "delivered as %.*s to %zu of %zu, the others were refused and are reported on",
		               ID_CHARS, id.at, sum->delivered + sum->dropped,
		               sum->delivered + sum->dropped + sum->refused);
	} else {
		buf_add_format(&words, "delivered as %.*s%s; ", ID_CHARS, id.at, taken_by(sum));
		add_words(&words, sum->first_delivered);
	}
	receive_session_reply_format(s, 250, "2.0.0", "%.*s", TEXT_ARGS(buf_text(&words)));
	buf_fini(&words);
}

static void say_stored(struct receive_session *s, const struct sum *sum)
{
	struct id_text id = id_to_text(s->transaction->envelope->id);

	if (sum->delivered)
		receive_session_reply_format(s, 250, "2.0.0", "delivered to %zu, the rest queued as %.*s",
		                             sum->delivered, ID_CHARS, id.at);
	else
		receive_session_reply_format(s, 250, "2.0.0", "queued as %.*s", ID_CHARS, id.at);
}

/* ---------------------------------------------------------------- refusals */

/* It is not the client's fault: nothing is counted against it. */
struct denial {
	int code;
	struct text enhanced, words;
	enum reason reason;
	enum stage stage;
	const char *rule;
	const struct queue_outcome *cause; /* NULL: nobody's answer */
};

static void emit_denial(struct receive_session *s, const struct denial *d)
{
	const struct envelope *e = s->transaction->envelope;
	struct event event = EVENT(EVENT_REJECTED);

	event.has_id = true;
	event.id = e->id;
	event.message_id = e->message_id;
	event.from = e->reverse_path;
	event.recipients = (int64_t)e->recipient_count;
	event.to = e->recipient_count == 1 ? e->recipients[0].forward_path : TEXT_EMPTY;
	event.size = (int64_t)e->content_bytes;
	event.action = TEXT("through");
	event.code = d->code;
	event.enhanced = d->enhanced;
	event.response = d->words;
	event.reason = d->reason;
	event.stage = d->stage;
	event.rule = d->rule && d->rule[0] ? text_from(d->rule) : TEXT_EMPTY;
	event.mx = d->cause ? host_of(d->cause) : TEXT_EMPTY;
	event.ms.total = (int32_t)MIN(s->ops->now_time(s->owner) - e->received_time, INT32_MAX);
	s->ops->emit(s->owner, &event);
}

static void deny(struct receive_session *s, const struct denial *d)
{
	char enhanced[REPLY_ENHANCED_MAX] = { 0 };

	memcpy(enhanced, d->enhanced.at, MIN(d->enhanced.len, sizeof(enhanced) - 1));
	s->rejections++;
	emit_denial(s, d);
	receive_session_reply_format(s, d->code, enhanced, "%.*s", TEXT_ARGS(d->words));
}

static bool is_of_class(struct text enhanced, char digit)
{
	return reply_is_enhanced(enhanced) && enhanced.at[0] == digit;
}

static void deny_deferred(struct receive_session *s, const struct sum *sum)
{
	const struct queue_outcome *o = sum->first_put_off;
	struct buf words = BUF(2048);

	if (o->recipient.reply.len)
		add_words(&words, o);
	else
		buf_add_string(&words, "it cannot go out now, send it again later");
	deny(s, &(struct denial){ .code = 451,
	                          .enhanced = is_of_class(o->enhanced, '4') ? o->enhanced : TEXT("4.4.0"),
	                          .words = buf_text(&words),
	                          .reason = o->recipient.reason,
	                          .stage = o->recipient.stage,
	                          .cause = o });
	buf_fini(&words);
}

static bool refused_alike(const struct queue_decision *d)
{
	const struct queue_outcome *a = &d->outcomes[0];

	for (size_t i = 1; i < d->outcome_count; i++) {
		const struct queue_outcome *b = &d->outcomes[i];

		if (a->code != b->code || !text_eq(a->enhanced, b->enhanced))
			return false;
	}
	return true;
}

/* With answers that differ each recipient gets a line of its own. */
static void add_each(struct receive_session *s, const struct queue_decision *d, struct buf *words)
{
	const struct envelope *e = s->transaction->envelope;

	buf_add_string(words, "refused for all recipients");
	for (size_t i = 0; i < d->outcome_count && i < LINES_MAX; i++) {
		buf_add_format(words, "\n<%.*s>: ", TEXT_ARGS(text_head(e->recipients[i].forward_path, 250)));
		add_words(words, &d->outcomes[i]);
	}
	if (d->outcome_count > LINES_MAX)
		buf_add_format(words, "\n(%zu more)", d->outcome_count - LINES_MAX);
}

static void deny_refused(struct receive_session *s, const struct queue_decision *d, const struct sum *sum)
{
	const struct queue_outcome *o = sum->first_refused;
	bool alike = refused_alike(d);
	struct buf words = BUF(16384);

	if (alike)
		add_words(&words, o);
	else
		add_each(s, d, &words);
	deny(s, &(struct denial){ .code = alike && o->code / 100 == 5 ? o->code : 554,
	                          .enhanced = alike && is_of_class(o->enhanced, '5') ? o->enhanced
	                                                                             : TEXT("5.0.0"),
	                          .words = buf_text(&words),
	                          .reason = o->recipient.reason,
	                          .stage = o->recipient.stage,
	                          .cause = o });
	buf_fini(&words);
}

/* The client keeps it, and this recipient may get it all the same. */
static void say_unsure(struct receive_session *s, const struct queue_decision *d)
{
	const struct envelope *e = s->transaction->envelope;

	for (size_t i = 0; i < d->outcome_count; i++) {
		const struct queue_outcome *o = &d->outcomes[i];
		struct event event = EVENT(EVENT_ATTEMPT);
		bool is_there = o->verdict == QUEUE_DELIVERED;

		if (!is_there && !o->recipient.unknown_outcome)
			continue;
		event.has_id = true;
		event.id = e->id;
		event.rcpt = (int64_t)i;
		event.from = e->reverse_path;
		event.to = e->recipients[i].forward_path;
		event.action = TEXT("through");
		event.reason = REASON_UNKNOWN_OUTCOME;
		event.stage = STAGE_DOT;
		event.detail =
			is_there
				? TEXT("it is delivered, and the client was told that it keeps the message")
				: TEXT("it may be delivered, and the client was told that it keeps the message");
		s->ops->emit(s->owner, &event);
	}
}

static void add_unsure(struct buf *words, const struct sum *sum)
{
	if (sum->unsure + sum->delivered)
		buf_add_format(words, " (%zu of its recipients may have it)", sum->unsure + sum->delivered);
}

/* Neither delivered nor stored, by no answer of a next hop's. */
static void deny_failed(struct receive_session *s, const struct queue_decision *d, const struct sum *sum)
{
	struct buf words = BUF(2048);
	struct denial denial = { .code = 451, .stage = STAGE_DATA };

	switch (d->err) {
	case ERR_TIMEOUT:
		buf_add_string(&words, "The next hop has not answered in time, send it again later");
		denial.enhanced = TEXT("4.4.7");
		denial.reason = REASON_TIMEOUT;
		denial.rule = "listen.hand_over_timeout";
		break;
	case ERR_CANCELLED:
		buf_add_string(&words, "This relay is about to stop, send it again later");
		denial.enhanced = TEXT("4.3.2");
		denial.reason = REASON_ADMIN;
		break;
	case ERR_FULL:
		buf_add_string(&words, "It cannot go out now, and there is no space left to keep it here");
		denial.code = 452;
		denial.enhanced = TEXT("4.3.1");
		denial.reason = REASON_SPOOL;
		denial.rule = "spool.max_size";
		break;
	default:
		buf_add_string(&words, "Could not store the message, try again");
		denial.enhanced = TEXT("4.3.0");
		denial.reason = REASON_SPOOL;
	}
	add_unsure(&words, sum);
	denial.words = buf_text(&words);
	deny(s, &denial);
	buf_fini(&words);
}

/* ---------------------------------------------------------------- the answer */

enum hand_over_end receive_hand_over_end(const struct queue_decision *d)
{
	struct sum sum = sum_up(d);

	if (d->err || (!d->stored && sum.delivered + sum.dropped == 0))
		return HAND_OVER_REFUSED;
	return d->stored ? HAND_OVER_STORED : HAND_OVER_DELIVERED;
}

void receive_hand_over_answer(struct receive_session *s, const struct queue_decision *d)
{
	struct sum sum = sum_up(d);

	switch (receive_hand_over_end(d)) {
	case HAND_OVER_STORED:
		say_stored(s, &sum);
		return;
	case HAND_OVER_DELIVERED:
		say_taken(s, &sum);
		return;
	case HAND_OVER_REFUSED:
		break;
	}
	say_unsure(s, d);
	if (d->err)
		deny_failed(s, d, &sum);
	else if (sum.put_off)
		deny_deferred(s, &sum);
	else
		deny_refused(s, d, &sum);
}
