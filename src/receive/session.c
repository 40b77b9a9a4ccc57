#include "session.h"

#include <postrider/base/time.h>
#include <postrider/route.h>

#include <assert.h>

static const struct {
	const char *name;
	unsigned next;
} phases[PHASE_COUNT] = {
	[PHASE_START] = { "start", BIT(PHASE_START) | BIT(PHASE_READY) | BIT(PHASE_TLS) | BIT(PHASE_CLOSED) },
	[PHASE_READY] = { "ready", BIT(PHASE_READY) | BIT(PHASE_START) | BIT(PHASE_MAIL) | BIT(PHASE_TLS) |
	                                   BIT(PHASE_AUTH) | BIT(PHASE_CLOSED) },
	[PHASE_MAIL] = { "mail", BIT(PHASE_RCPT) | BIT(PHASE_ASK) | BIT(PHASE_READY) | BIT(PHASE_CLOSED) },
	[PHASE_RCPT] = { "rcpt", BIT(PHASE_RCPT) | BIT(PHASE_ASK) | BIT(PHASE_DATA) | BIT(PHASE_CHUNKS) |
	                                 BIT(PHASE_READY) | BIT(PHASE_CLOSED) },
	[PHASE_ASK] = { "ask", BIT(PHASE_MAIL) | BIT(PHASE_RCPT) | BIT(PHASE_COMMIT) | BIT(PHASE_READY) |
	                               BIT(PHASE_CLOSED) },
	[PHASE_DATA] = { "data", BIT(PHASE_ASK) | BIT(PHASE_COMMIT) | BIT(PHASE_READY) | BIT(PHASE_CLOSED) },
	[PHASE_CHUNKS] = { "chunks",
	                   BIT(PHASE_ASK) | BIT(PHASE_COMMIT) | BIT(PHASE_READY) | BIT(PHASE_CLOSED) },
	[PHASE_COMMIT] = { "commit", BIT(PHASE_READY) | BIT(PHASE_CLOSED) },
	[PHASE_TLS] = { "tls", BIT(PHASE_START) | BIT(PHASE_CLOSED) },
	[PHASE_AUTH] = { "auth", BIT(PHASE_READY) | BIT(PHASE_CLOSED) },
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
	struct reply reply = { .code = code,
		               .text = words,
		               .utf8 = s->transaction && s->transaction->envelope->smtputf8 };
	size_t before = s->out.len;

	/* zeroed: a NUL stays behind it */
	memcpy(reply.enhanced, enhanced, MIN(strlen(enhanced), sizeof(reply.enhanced) - 1));
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
	struct buf place = BUF(4096);

	if (r->route)
		config_place_add(&place, r->route->place);
	event.at = buf_text(&place);
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
	buf_fini(&place);
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

/* "(access.quotas); come back in 4m 10s": the time is told to everybody, the rule to those it may be told. */
void receive_session_refuse_limit(struct receive_session *s, const struct receive_limit_answer *why,
                                  struct text subject, enum stage stage)
{
	struct buf words = BUF(512);

	buf_add_string(&words, why->text);
	if (why->wait_ms > 0) {
		buf_add_string(&words, ", come back in ");
		time_add_duration(&words, why->wait_ms + SECOND_MS - 1 - (why->wait_ms - 1) % SECOND_MS);
	}
	buf_add_octet(&words, 0);
	receive_session_refuse(s, &(struct refusal){ .code = why->code,
	                                             .enhanced = why->enhanced,
	                                             .text = buf_err(&words) ? why->text : words.at,
	                                             .subject = subject,
	                                             .rule = why->rule,
	                                             .stage = stage,
	                                             .reason = why->reason });
	buf_fini(&words);
	if (why->code == 421)
		receive_session_close(s);
}

/* From half of its errors on a stranger has to wait a little longer after each: what guesses gets slow, and what is merely
 * wrong does not notice. */
#define SLOWER_MS 500
#define SLOWEST_MS (5 * SECOND_MS)

static void slow_down(struct receive_session *s)
{
	unsigned free_of_charge = (unsigned)(s->listener->max_errors / 2);

	if (s->may_relay || s->errors <= free_of_charge || s->phase == PHASE_TLS)
		return;
	s->rests = true;
	s->ops->rest(s->owner, MIN((int64_t)(s->errors - free_of_charge) * SLOWER_MS, SLOWEST_MS));
}

void receive_session_rested(struct receive_session *s)
{
	s->rests = false;
}

void receive_session_count_error(struct receive_session *s)
{
	s->errors++;
	if (s->phase == PHASE_CLOSED)
		return;
	if (s->errors < s->listener->max_errors) {
		slow_down(s);
		return;
	}
	receive_session_reply(s, 421, "4.7.0", "Too many errors, closing");
	receive_session_close(s);
}

#define JUNK_MAX 100

void receive_session_count_junk(struct receive_session *s)
{
	if (++s->junk > JUNK_MAX)
		receive_session_count_error(s);
}

/* ---------------------------------------------------------------- who it is */

struct session_more *receive_session_more(struct receive_session *s)
{
	if (!s->more)
		s->more = calloc(1, sizeof(*s->more));
	return s->more;
}

struct text receive_session_user(const struct receive_session *s)
{
	if (!s->more)
		return TEXT_EMPTY;
	return text_from(s->more->user_name ? s->more->user_name : s->more->certificate_user);
}

void receive_session_renew_rights(struct receive_session *s)
{
	bool is_known = s->client.family != IP_NONE || !s->is_named;

	s->may_relay =
		(is_known && route_may_relay(s->listener, s->client)) || receive_session_user(s).len > 0;
}

static void more_free(struct receive_session *s)
{
	struct session_more *m = TAKE(s->more);

	if (!m)
		return;
	auth_user_unref(&m->user);
	free(m->user_name);
	free(m->certificate_user);
	free(m->client_name);
	free(m->forwarded_name);
	free(m->forwarded_addr);
	free(m->forwarded_port);
	free(m->forwarded_proto);
	free(m->forwarded_helo);
	free(m->forwarded_ident);
	free(m->forwarded_source);
	free(m);
}

/* ---------------------------------------------------------------- life */

void receive_session_greet(struct receive_session *s)
{
	receive_session_reply_format(s, 220, "", "%.*s ESMTP postrider", TEXT_ARGS(s->config->hostname));
}

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
		                       .may_xclient = route_may_xclient(listener, client),
		                       .tls_offered = tls_offered,
		                       .phase = PHASE_START,
		                       .lines = line_reader(SMTP_COMMAND_LINE_MAX) };
	buf_init(&s->out, SESSION_OUT_MAX);
	receive_session_greet(s);
}

void receive_session_fini(struct receive_session *s)
{
	if (s->transaction)
		receive_transaction_free(s);
	free(s->helo);
	s->helo = NULL;
	more_free(s);
	buf_fini(&s->out);
	config_unref(&s->config);
}

void receive_session_end_transaction(struct receive_session *s)
{
	if (s->transaction)
		receive_transaction_free(s);
	receive_xforward_forget(s);
	if (s->phase != PHASE_CLOSED && s->phase != PHASE_START)
		receive_session_enter(s, PHASE_READY);
}

void receive_session_close(struct receive_session *s)
{
	if (s->phase == PHASE_CLOSED)
		return;
	if (s->phase == PHASE_AUTH)
		s->ops->auth_cancel(s->owner);
	s->phase = PHASE_CLOSED;
	s->ops->close(s->owner);
}

bool receive_session_is_in_data(const struct receive_session *s)
{
	return s->phase == PHASE_DATA || s->chunk.reading;
}

bool receive_session_is_idle(const struct receive_session *s)
{
	return s->phase == PHASE_START || s->phase == PHASE_READY || s->phase == PHASE_TLS ||
	       s->phase == PHASE_AUTH || s->phase == PHASE_CLOSED;
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
	if (s->out.len > SESSION_OUT_HIGH || s->rests)
		return false;
	switch (s->phase) {
	case PHASE_AUTH:
		return !s->auth_thinks;
	case PHASE_ASK:
	case PHASE_COMMIT:
	case PHASE_TLS:
	case PHASE_CLOSED:
		return false;
	case PHASE_DATA:
	case PHASE_CHUNKS:
		return !s->ops->draft_is_busy(s->owner);
	default:
		return true;
	}
}

static void refuse_and_close(struct receive_session *s, const char *words)
{
	const struct refusal refusal = { .code = 554,
		                         .enhanced = "5.5.0",
		                         .text = words,
		                         .stage = STAGE_EHLO,
		                         .reason = REASON_PROTOCOL };

	receive_session_refuse(s, &refusal);
	receive_session_close(s);
}

static void faulty_line(struct receive_session *s, const struct line *line)
{
	if (line->fault == LINE_BARE_LF) {
		/* What stands behind it may be part of what somebody put into an address: not acted on. */
		receive_session_reply(s, 500, "5.5.2", "Only CR LF ends a line; closing");
		receive_session_close(s);
		return;
	}
	receive_command_faulty(s, line->text,
	                       line->fault == LINE_TOO_LONG
	                               ? "Line too long"
	                               : "Only CR LF ends a line, and NUL has no place in one");
}

/* A record of TLS in place of a first command: the client believes that this port speaks TLS from the first octet. */
static bool is_tls_hello(const struct receive_session *s, struct text bytes)
{
	return s->phase == PHASE_START && s->commands == 0 && !s->tls_running && bytes.at[0] == 0x16 &&
	       (bytes.len < 2 || bytes.at[1] == 3);
}

/* Only AUTH may have a longer line than the others, for what a mechanism says at once (RFC 4954 section 4). */
static bool is_too_long(const struct line *line)
{
	return line->text.len > SMTP_COMMAND_LINE_MAX && !text_starts_nocase(line->text, TEXT("AUTH "));
}

static void take_line(struct receive_session *s, struct line *line)
{
	s->commands++;
	if (!line->fault && is_too_long(line) && s->phase != PHASE_AUTH)
		line->fault = LINE_TOO_LONG;
	if (s->phase == PHASE_AUTH && line->fault != LINE_BARE_LF)
		receive_auth_line(s, line->text, line->fault);
	else if (line->fault)
		faulty_line(s, line);
	else
		receive_command_run(s, line->text);
}

/* A stranger who sends the content before the 354 came wrote it blindly: so works who lets somebody else's program, a browser
 * or a web application, speak SMTP for him (RFC 2920 section 3.1). Those who may relay are spared. */
static bool is_blind_content(const struct receive_session *s, struct text rest)
{
	return s->phase == PHASE_DATA && rest.len && !s->may_relay;
}

size_t receive_session_feed(struct receive_session *s, struct text bytes)
{
	struct text rest = bytes;
	struct line line;

	if (bytes.len && is_tls_hello(s, bytes)) {
		refuse_and_close(
			s, "This port does not speak TLS from the first octet: STARTTLS, or the port for it");
		return bytes.len;
	}
	while (rest.len && receive_session_wants_input(s)) {
		size_t before = s->out.len;

		if (s->phase == PHASE_DATA) {
			receive_transaction_take(s, &rest);
			continue;
		}
		if (s->chunk.reading) {
			receive_bdat_take(s, &rest);
			continue;
		}
		if (line_read(&s->lines, &rest, &line))
			break;
		take_line(s, &line);
		if (s->just_greeted)
			s->hasty = rest.len > 0;
		s->just_greeted = false;
		if (is_blind_content(s, rest)) {
			buf_cut(&s->out, MIN(before, s->out.len)); /* the 354 */
			refuse_and_close(s, "The content came before our answer to DATA");
		}
	}
	return bytes.len - rest.len;
}

void receive_session_decided(struct receive_session *s, const struct queue_decision *decision)
{
	if (s->phase == PHASE_COMMIT)
		receive_transaction_decided(s, decision);
}

/* Whom the users file shuts out no certificate lets in. */
static enum err keep_certificate_user(struct receive_session *s, struct text user)
{
	enum err err;

	if (user.len == 0)
		return ERR_OK;
	if (!receive_session_more(s))
		return ERR_NOMEM;
	err = receive_auth_vouch(s, &s->more->certificate_user, user);
	return err == ERR_DENIED ? ERR_OK : err;
}

static int hex_digit(char c)
{
	return ascii_is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool is_fingerprint(const unsigned char sha256[32], struct text hex)
{
	if (hex.len != 64)
		return false;
	for (size_t i = 0; i < 32; i++)
		if (hex_digit(hex.at[2 * i]) != sha256[i] >> 4 ||
		    hex_digit(hex.at[2 * i + 1]) != (sha256[i] & 15))
			return false;
	return true;
}

/* A certificate that the listener lists by its fingerprint is whom it says there, one that client_ca signed is whom it names
 * itself. A resumed session showed none. */
static struct text user_of_certificate(const struct receive_session *s, const struct tls_info *info)
{
	const struct config_fingerprints *known = &s->listener->client_fingerprints;

	if (!info->has_peer)
		return TEXT_EMPTY;
	for (size_t i = 0; i < known->count; i++)
		if (is_fingerprint(known->items[i].sha256, info->peer_fingerprint))
			return known->items[i].user;
	if (!info->peer_verified || s->listener->client_ca.len == 0)
		return TEXT_EMPTY;
	return info->peer_name.len ? info->peer_name : info->peer_fingerprint;
}

static enum err protect(struct receive_session *s, const struct tls_info *info)
{
	enum err err = keep_certificate_user(s, user_of_certificate(s, info));

	if (err)
		return err;
	s->tls_running = true;
	s->tls.version = info->version;
	s->tls.cipher = info->cipher;
	receive_session_renew_rights(s);
	return ERR_OK;
}

void receive_session_protected(struct receive_session *s, const struct tls_info *info)
{
	if (protect(s, info))
		receive_session_close(s);
}

/* After the handshake everything said before it is forgotten (RFC 3207 section 4.2). */
void receive_session_tls_done(struct receive_session *s, enum err err, const struct tls_info *info)
{
	if (s->phase != PHASE_TLS)
		return;
	receive_auth_forget(s);
	if (err || protect(s, info)) {
		receive_session_close(s);
		return;
	}
	free(s->helo);
	s->helo = NULL;
	s->extended = false;
	receive_session_enter(s, PHASE_START);
}
