#include "session.h"

#include <assert.h>
#include <stdio.h>

static const struct {
	const char *name;
	unsigned next;
} phases[PHASE_COUNT] = {
	[PHASE_START] = { "start", BIT(PHASE_START) | BIT(PHASE_READY) | BIT(PHASE_TLS) | BIT(PHASE_CLOSED) },
	[PHASE_READY] = { "ready", BIT(PHASE_READY) | BIT(PHASE_MAIL) | BIT(PHASE_TLS) | BIT(PHASE_CLOSED) },
	[PHASE_MAIL] = { "mail", BIT(PHASE_RCPT) | BIT(PHASE_READY) | BIT(PHASE_CLOSED) },
	[PHASE_RCPT] = { "rcpt", BIT(PHASE_RCPT) | BIT(PHASE_DATA) | BIT(PHASE_READY) | BIT(PHASE_CLOSED) },
	[PHASE_DATA] = { "data", BIT(PHASE_COMMIT) | BIT(PHASE_READY) | BIT(PHASE_CLOSED) },
	[PHASE_COMMIT] = { "commit", BIT(PHASE_READY) | BIT(PHASE_CLOSED) },
	[PHASE_TLS] = { "tls", BIT(PHASE_START) | BIT(PHASE_CLOSED) },
	[PHASE_CLOSED] = { "closed", 0 },
};

void receive_session_enter(struct receive_session *s, enum phase next)
{
	assert(phases[s->phase].next & BIT(next));
	s->phase = next;
	assert(next != PHASE_RCPT || s->transaction->envelope->recipient_count > 0);
	assert(next == PHASE_CLOSED ||
	       (next >= PHASE_MAIL && next <= PHASE_COMMIT) == (s->transaction != NULL));
}

/* ---------------------------------------------------------------- replies */

/* No memory for an answer: there is no way to stay in step. What is said before is whole. */
void receive_session_check_out(struct receive_session *s, size_t before)
{
	if (!buf_err(&s->out))
		return;
	buf_cut(&s->out, before);
	receive_session_close(s);
}

static void add_reply(struct receive_session *s, int code, const char *enhanced, struct text words)
{
	struct reply reply = { .code = code, .text = words };
	size_t before = s->out.len;

	snprintf(reply.enhanced, sizeof(reply.enhanced), "%s", enhanced);
	reply_add(&s->out, &reply);
	receive_session_check_out(s, before);
}

void receive_session_reply(struct receive_session *s, int code, const char *enhanced, const char *text)
{
	add_reply(s, code, enhanced, text_from(text));
}

void receive_session_reply_format(struct receive_session *s, int code, const char *enhanced,
                                  const char *format, ...)
{
	struct buf words = BUF(2048);
	va_list args;

	va_start(args, format);
	buf_add_format_v(&words, format, args);
	va_end(args);
	add_reply(s, code, enhanced, buf_text(&words));
	buf_fini(&words);
}

static void emit_refusal(struct receive_session *s, const struct refusal *r, struct text response)
{
	struct event event = EVENT(EVENT_REJECTED);

	event.code = r->code;
	event.enhanced = text_from(r->enhanced);
	event.response = response;
	event.stage = r->stage;
	event.reason = r->reason;
	event.rule = text_from(r->rule);
	if (s->transaction) {
		event.has_id = true;
		event.id = s->transaction->envelope->id;
		event.from = s->transaction->envelope->reverse_path;
	}
	if (r->stage == STAGE_RCPT)
		event.to = r->subject;
	if (r->stage == STAGE_MAIL)
		event.from = r->subject;
	s->ops->emit(s->owner, &event);
}

void receive_session_refuse(struct receive_session *s, const struct refusal *r)
{
	struct buf words = BUF(2048);

	if (r->subject.len) {
		buf_add(&words, r->subject);
		buf_add_octet(&words, ' ');
	}
	buf_add_string(&words, r->text);
	if (r->rule && s->may_relay)
		buf_add_format(&words, " (%s)", r->rule);
	if (s->transaction && s->may_relay) {
		struct id_text id = id_to_text(s->transaction->envelope->id);

		buf_add_format(&words, " [%.*s]", ID_SHORT_CHARS, id.at);
	}
	s->rejections++;
	emit_refusal(s, r, buf_text(&words));
	add_reply(s, r->code, r->enhanced, buf_text(&words));
	buf_fini(&words);
	if (r->code >= 500)
		receive_session_count_error(s);
}

void receive_session_count_error(struct receive_session *s)
{
	if (++s->errors < s->listener->max_errors || s->phase == PHASE_CLOSED)
		return;
	receive_session_reply(s, 421, "4.7.0", "Too many errors, closing");
	receive_session_close(s);
}

/* ---------------------------------------------------------------- life */

void receive_session_init(struct receive_session *s, const struct receive_session_ops *ops, void *owner,
                          const struct config *config, const struct config_listener *listener,
                          struct ip client, uint16_t client_port, bool tls_offered)
{
	*s = (struct receive_session){ .ops = ops,
		                       .owner = owner,
		                       .config = config_ref(config),
		                       .listener = listener,
		                       .client = client,
		                       .client_port = client_port,
		                       .tls_offered = tls_offered,
		                       .phase = PHASE_START,
		                       .lines = line_reader(SMTP_COMMAND_LINE_MAX) };
	buf_init(&s->out, SESSION_OUT_MAX);
	receive_session_reply_format(s, 220, "", "%.*s ESMTP postrider", TEXT_ARGS(config->hostname));
}

void receive_session_fini(struct receive_session *s)
{
	if (s->transaction)
		receive_transaction_free(s);
	free(s->helo);
	s->helo = NULL;
	buf_fini(&s->out);
	config_unref(&s->config);
}

void receive_session_end_transaction(struct receive_session *s)
{
	if (s->transaction)
		receive_transaction_free(s);
	if (s->phase != PHASE_CLOSED && s->phase != PHASE_START)
		receive_session_enter(s, PHASE_READY);
}

void receive_session_close(struct receive_session *s)
{
	if (s->phase == PHASE_CLOSED)
		return;
	s->phase = PHASE_CLOSED;
	s->ops->close(s->owner);
}

bool receive_session_is_idle(const struct receive_session *s)
{
	return s->phase == PHASE_START || s->phase == PHASE_READY || s->phase == PHASE_CLOSED;
}

void receive_session_end(struct receive_session *s)
{
	if (s->phase != PHASE_CLOSED && s->phase != PHASE_TLS)
		receive_session_reply_format(s, 421, "4.3.2", "%.*s is stopping, come back soon",
		                             TEXT_ARGS(s->config->hostname));
	receive_session_close(s);
}

bool receive_session_stop(struct receive_session *s)
{
	if (!receive_session_is_idle(s))
		return false;
	receive_session_end(s);
	return true;
}

void receive_session_timed_out(struct receive_session *s)
{
	if (s->phase == PHASE_CLOSED)
		return;
	if (s->phase != PHASE_TLS)
		receive_session_reply_format(s, 421, "4.4.2", "%.*s timed out waiting for you",
		                             TEXT_ARGS(s->config->hostname));
	receive_session_close(s);
}

/* ---------------------------------------------------------------- what comes in */

bool receive_session_wants_input(const struct receive_session *s)
{
	if (s->out.len > SESSION_OUT_HIGH)
		return false;
	switch (s->phase) {
	case PHASE_COMMIT:
	case PHASE_TLS:
	case PHASE_CLOSED:
		return false;
	case PHASE_DATA:
		return !s->ops->draft_is_busy(s->owner);
	default:
		return true;
	}
}

static void faulty_line(struct receive_session *s, enum line_fault fault)
{
	if (fault == LINE_BARE_LF) {
		/* What stands behind it may be part of what somebody put into an address: not acted on. */
		receive_session_reply(s, 500, "5.5.2", "Only CR LF ends a line; closing");
		receive_session_close(s);
		return;
	}
	if (fault == LINE_TOO_LONG)
		receive_session_reply(s, 500, "5.5.2", "Line too long");
	else
		receive_session_reply(s, 500, "5.5.2", "Only CR LF ends a line, and NUL has no place in one");
	receive_session_count_error(s);
}

size_t receive_session_feed(struct receive_session *s, struct text bytes)
{
	struct text rest = bytes;
	struct line line;

	while (rest.len && receive_session_wants_input(s)) {
		if (s->phase == PHASE_DATA) {
			receive_transaction_take(s, &rest);
			continue;
		}
		if (line_read(&s->lines, &rest, &line))
			break;
		if (line.fault)
			faulty_line(s, line.fault);
		else
			receive_command_run(s, line.text);
	}
	return bytes.len - rest.len;
}

void receive_session_decided(struct receive_session *s, const struct queue_decision *decision)
{
	if (s->phase == PHASE_COMMIT)
		receive_transaction_decided(s, decision);
}

/* After the handshake everything said before it is forgotten (RFC 3207 section 4.2). */
void receive_session_tls_done(struct receive_session *s, enum err err, const struct tls_info *info)
{
	if (s->phase != PHASE_TLS)
		return;
	if (err) {
		receive_session_close(s);
		return;
	}
	s->tls_running = true;
	s->tls.version = info->version;
	s->tls.cipher = info->cipher;
	free(s->helo);
	s->helo = NULL;
	s->extended = false;
	receive_session_enter(s, PHASE_START);
}
