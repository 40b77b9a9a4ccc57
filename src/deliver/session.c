#include "session.h"

#include <assert.h>

#include "judge.h"

#define QUIT_WAIT_MS (2 * SECOND_MS) /* nobody's mail depends on the reply to QUIT */
#define LINE_MAX_BYTES (REPLY_TEXT_MAX + 1024u)

static const struct {
	const char *name;
	enum stage stage;
	unsigned next;
} phases[SESSION_PHASE_COUNT] = {
	[SESSION_START] = { "start", STAGE_CONNECT,
	                    BIT(SESSION_GREETING) | BIT(SESSION_HANDSHAKE) | BIT(SESSION_CLOSED) },
	[SESSION_GREETING] = { "greeting", STAGE_GREETING,
	                       BIT(SESSION_EHLO) | BIT(SESSION_HELO) | BIT(SESSION_CLOSED) },
	[SESSION_EHLO] = { "EHLO", STAGE_EHLO,
	                   BIT(SESSION_HELO) | BIT(SESSION_STARTTLS) | BIT(SESSION_AUTH) | BIT(SESSION_UP) |
	                           BIT(SESSION_CLOSED) },
	[SESSION_HELO] = { "HELO", STAGE_EHLO, BIT(SESSION_AUTH) | BIT(SESSION_UP) | BIT(SESSION_CLOSED) },
	[SESSION_STARTTLS] = { "STARTTLS", STAGE_STARTTLS,
	                       BIT(SESSION_HANDSHAKE) | BIT(SESSION_AUTH) | BIT(SESSION_UP) |
	                               BIT(SESSION_CLOSED) },
	[SESSION_HANDSHAKE] = { "the handshake", STAGE_STARTTLS,
	                        BIT(SESSION_GREETING) | BIT(SESSION_EHLO) | BIT(SESSION_CLOSED) },
	[SESSION_AUTH] = { "AUTH", STAGE_AUTH, BIT(SESSION_UP) | BIT(SESSION_CLOSED) },
	[SESSION_UP] = { "up", STAGE_NONE, BIT(SESSION_QUIT) | BIT(SESSION_CLOSED) },
	[SESSION_QUIT] = { "QUIT", STAGE_QUIT, BIT(SESSION_CLOSED) },
	[SESSION_CLOSED] = { "closed", STAGE_NONE, 0 },
};

void session_enter_phase(struct session *s, enum session_phase next)
{
	assert(phases[s->phase].next & BIT(next));
	s->phase = next;
	assert(next != SESSION_CLOSED || transactions_in_hand(s) == 0);
}

static bool before_up(const struct session *s)
{
	return s->phase < SESSION_UP;
}

void session_say(struct session *s, const char *words)
{
	buf_reset(&s->line);
	buf_add_string(&s->line, words);
}

void session_say_reply(struct session *s, const struct reply *reply)
{
	buf_reset(&s->line);
	reply_add_line(&s->line, reply);
	buf_cut(&s->line, MIN(s->line.len, SESSION_LINE_KEPT_BYTES));
}

/* ---------------------------------------------------------------- sending, waiting */

void session_command(struct session *s, struct text verb, struct text argument)
{
	outbox_copy(s->o.outbox, verb);
	if (argument.len) {
		outbox_copy(s->o.outbox, TEXT(" "));
		outbox_copy(s->o.outbox, argument);
	}
	outbox_copy(s->o.outbox, TEXT("\r\n"));
}

static int64_t wait_ms(const struct session *s)
{
	switch (s->phase) {
	case SESSION_UP:
		return transactions_wait_ms(s);
	case SESSION_QUIT:
		return QUIT_WAIT_MS;
	case SESSION_START:
	case SESSION_CLOSED:
		return 0;
	case SESSION_AUTH:
		return session_login_waits_for_us(s) ? 0 : s->o.timeouts->greeting_ms;
	default:
		return s->o.timeouts->greeting_ms;
	}
}

/* Entry points come in pairs of these. What is called back may call session_send or session_finish: then
 * the outermost one goes on from there. */
void session_enter(struct session *s)
{
	if (s->depth++ == 0)
		outbox_begin(s->o.outbox, s->o.out->send, s->o.owner);
}

void session_leave(struct session *s)
{
	if (s->depth > 1) {
		s->depth--;
		return;
	}
	if (s->phase == SESSION_UP)
		transactions_advance(s);
	if (s->phase == SESSION_UP && s->finishing && transactions_in_hand(s) == 0) {
		session_command(s, TEXT("QUIT"), TEXT_EMPTY);
		session_enter_phase(s, SESSION_QUIT);
	}
	if (s->phase != SESSION_CLOSED) {
		outbox_flush(s->o.outbox);
		s->unsent_seen = s->o.out->unsent(s->o.owner);
		s->o.out->deadline(s->o.owner, wait_ms(s));
	}
	s->depth--;
}

/* ---------------------------------------------------------------- the end */

static void close_now(struct session *s, bool finish)
{
	if (!finish)
		outbox_drop(s->o.outbox);
	outbox_flush(s->o.outbox);
	session_enter_phase(s, SESSION_CLOSED);
	s->o.out->deadline(s->o.owner, 0);
	s->o.out->close(s->o.owner, finish);
}

void session_end(struct session *s, enum session_end why, const char *words, const struct reply *reply)
{
	s->finishing = true; /* nothing new is taken while results go out */
	transactions_end(s, why, words, reply);
	close_now(s, false);
}

/* It never came up. What failed stands in s->line. */
void session_fail(struct session *s, enum session_fault fault, struct deliver_result *r, bool goodbye)
{
	r->reply = buf_text(&s->line);
	r->stage = phases[s->phase].stage;
	r->ms = EVENT_MS_NONE;
	s->o.out->failed(s->o.owner, fault, r);
	if (goodbye)
		session_command(s, TEXT("QUIT"), TEXT_EMPTY);
	close_now(s, goodbye);
}

void session_fail_by_reply(struct session *s, const struct reply *reply)
{
	struct verdict v = judge_reply(reply, phases[s->phase].stage);
	struct deliver_result r = {
		.kind = v.kind,
		.reason = v.reason,
		.code = reply->code,
		.enhanced = text_from(v.enhanced),
		.from_peer = true,
	};

	session_say_reply(s, reply);
	session_fail(s, SESSION_REPLY, &r, reply->code != 421);
}

void session_fail_by_us(struct session *s, enum session_fault fault, enum reason reason, const char *enhanced)
{
	struct deliver_result r = { .kind = DELIVER_TRANSIENT,
		                    .reason = reason,
		                    .enhanced = text_from(enhanced) };

	session_fail(s, fault, &r, false);
}

void session_fail_out_of_step(struct session *s)
{
	session_say(s, "the host does not speak SMTP as it should: an unexpected reply to ");
	buf_add_string(&s->line, phases[s->phase].name);
	session_fail_by_us(s, SESSION_CUT, REASON_PROTOCOL, "4.5.0");
}

static void on_reply(struct session *s, const struct reply *reply, struct text rest)
{
	switch (s->phase) {
	case SESSION_GREETING:
	case SESSION_EHLO:
	case SESSION_HELO:
	case SESSION_STARTTLS:
		session_hello_reply(s, reply, rest);
		break;
	case SESSION_AUTH:
		session_login_reply(s, reply);
		break;
	case SESSION_UP:
		transactions_reply(s, reply);
		break;
	case SESSION_QUIT:
		close_now(s, false);
		break;
	default:
		break;
	}
}

/* ---------------------------------------------------------------- events */

void session_init(struct session *s, const struct session_options *options)
{
	*s = (struct session){ .o = *options,
		               .phase = SESSION_START,
		               .limits = { SIZE_MAX, SIZE_MAX, SIZE_MAX } };
	reply_reader_init(&s->replies);
	buf_init(&s->line, LINE_MAX_BYTES);
	session_login_init(s);
}

void session_fini(struct session *s)
{
	assert(transactions_in_hand(s) == 0);
	transaction_fini(&s->slots[0]);
	transaction_fini(&s->slots[1]);
	reply_reader_fini(&s->replies);
	session_login_fini(s);
	buf_fini(&s->line);
}

void session_connected(struct session *s)
{
	if (s->phase != SESSION_START)
		return;
	session_enter(s);
	if (s->o.tls == CONFIG_TLS_IMPLICIT) {
		session_enter_phase(s, SESSION_HANDSHAKE);
		s->o.out->start_tls(s->o.owner);
	} else {
		session_enter_phase(s, SESSION_GREETING);
	}
	session_leave(s);
}

/* ERR_EXISTS: a second reply came with the first one, to a command that has not been sent yet. */
static void on_bad_reply(struct session *s, enum err err)
{
	const char *words = err == ERR_TOO_BIG  ? "the host's reply was too long"
	                    : err == ERR_NOMEM  ? "there was no memory for the host's reply"
	                    : err == ERR_EXISTS ? "the host replied before it was asked"
	                                        : "the host sent something that is no SMTP reply";

	if (s->phase == SESSION_QUIT) {
		close_now(s, false);
	} else if (s->phase == SESSION_UP) {
		session_end(s, err == ERR_NOMEM ? SESSION_END_ABORT : SESSION_END_PROTOCOL, words, NULL);
	} else {
		session_say(s, words);
		session_fail_by_us(s, SESSION_CUT, err == ERR_NOMEM ? REASON_OTHER : REASON_PROTOCOL, "4.5.0");
	}
}

size_t session_data(struct session *s, struct text bytes)
{
	struct text rest = bytes;
	struct reply reply;
	enum err err = ERR_OK;

	if (s->phase == SESSION_START || s->phase == SESSION_HANDSHAKE || s->phase == SESSION_CLOSED)
		return bytes.len;
	session_enter(s);
	while (s->phase != SESSION_CLOSED && s->phase != SESSION_HANDSHAKE &&
	       !(err = reply_read(&s->replies, &rest, &reply))) {
		if (s->o.outbox->bytes > 0) {
			err = ERR_EXISTS;
			break;
		}
		s->heard_at = s->o.out->now_at(s->o.owner);
		on_reply(s, &reply, rest);
	}
	if (err && err != ERR_MORE)
		on_bad_reply(s, err);
	session_leave(s);
	return s->phase == SESSION_CLOSED || s->phase == SESSION_HANDSHAKE ? bytes.len : bytes.len - rest.len;
}

void session_drained(struct session *s)
{
	if (s->phase != SESSION_UP)
		return;
	session_enter(s);
	session_leave(s);
}

void session_body_ready(struct session *s)
{
	if (s->phase != SESSION_UP || !s->slots[0].job)
		return;
	session_enter(s);
	s->slots[0].body_waits = false;
	session_leave(s);
}

void session_tls_done(struct session *s, enum err err, struct text problem)
{
	if (s->phase != SESSION_HANDSHAKE)
		return;
	session_enter(s);
	if (!err) {
		s->secure = true;
		session_login_offered(s, TEXT_EMPTY);
		s->keywords = 0; /* what was offered in plain text is forgotten (RFC 3207 section 4.2) */
		s->size_limit_bytes = s->by_min_s = 0;
		s->limits = (struct deliver_limits){ SIZE_MAX, SIZE_MAX, SIZE_MAX };
		if (s->o.tls == CONFIG_TLS_IMPLICIT)
			session_enter_phase(s, SESSION_GREETING);
		else
			session_say_hello(s, SESSION_EHLO);
	} else {
		session_say(s, err == ERR_CERTIFICATE ? "the host's certificate is not the one demanded"
		                                      : "the TLS handshake failed");
		if (problem.len) {
			buf_add_string(&s->line, ": ");
			buf_add(&s->line, text_head(problem, SESSION_LINE_KEPT_BYTES));
		}
		session_fail_tls(s, SESSION_TLS, "4.7.5", err == ERR_CERTIFICATE);
	}
	session_leave(s);
}

/* The phase says what was waited for. */
static void say_lost(struct session *s, const char *how)
{
	session_say(s, how);
	buf_add_string(&s->line, s->phase == SESSION_HANDSHAKE  ? " in "
	                         : s->phase == SESSION_GREETING ? " before the "
	                                                        : " before the reply to ");
	buf_add_string(&s->line, phases[s->phase].name);
}

static void fail_lost(struct session *s, enum session_fault fault, enum reason reason)
{
	if (s->phase == SESSION_HANDSHAKE)
		session_fail_tls(s, SESSION_TLS, "4.7.5", false);
	else
		session_fail_by_us(s, fault, reason, "4.4.2");
}

void session_deadline(struct session *s)
{
	size_t unsent;

	if (s->phase == SESSION_CLOSED)
		return;
	session_enter(s);
	unsent = s->o.out->unsent(s->o.owner);
	if (s->phase == SESSION_QUIT) {
		close_now(s, false);
	} else if (s->phase != SESSION_UP) {
		say_lost(s, "the host was silent for too long");
		fail_lost(s, SESSION_SILENCE, REASON_TIMEOUT);
	} else if (unsent >= s->unsent_seen) {
		session_end(s, SESSION_END_SILENCE,
		            unsent ? "the host took no more octets" : "the host was silent for too long",
		            NULL);
	}
	session_leave(s); /* slow but alive: it took some since the last look */
}

void session_later(struct session *s)
{
	if (s->phase != SESSION_UP)
		return;
	session_enter(s);
	s->in_later = true;
	session_leave(s);
	s->in_later = false;
}

void session_closed(struct session *s, enum err why)
{
	if (s->phase == SESSION_CLOSED)
		return;
	session_enter(s);
	if (s->phase == SESSION_QUIT) {
		close_now(s, false);
	} else if (s->phase == SESSION_UP) {
		session_end(s, SESSION_END_CUT, "the host closed the connection", NULL);
	} else if (s->phase == SESSION_START) {
		session_say(s, "no connection: ");
		buf_add_string(&s->line, err_text(why));
		session_fail_by_us(s, SESSION_CUT, REASON_CONNECT, "4.4.1");
	} else if (s->phase != SESSION_AUTH || !session_login_cut(s)) {
		say_lost(s, why == ERR_CLOSED ? "the host closed the connection" : "the connection was lost");
		fail_lost(s, SESSION_CUT, REASON_CONNECT);
	}
	session_leave(s);
}

void session_send(struct session *s, struct deliver_job *job)
{
	assert(session_is_ready(s));
	s->announced = false;
	session_enter(s);
	s->given_count++;
	transactions_give(s, job);
	session_leave(s);
}

void session_open_gate(struct session *s, struct deliver_job *job, bool may)
{
	if (s->phase != SESSION_UP)
		return;
	session_enter(s);
	transactions_open_gate(s, job, may);
	if (!may)
		s->o.out->later(s->o.owner);
	session_leave(s);
}

/* The results come in a later turn. */
bool session_call_off(struct session *s, struct deliver_job *job)
{
	bool done = transactions_call_off(s, job);

	if (done && s->phase == SESSION_UP)
		s->o.out->later(s->o.owner);
	return done;
}

void session_finish(struct session *s)
{
	if (s->phase == SESSION_CLOSED || s->finishing)
		return;
	s->finishing = true;
	if (before_up(s) && s->phase != SESSION_START)
		return;
	session_enter(s);
	session_leave(s);
}

void session_abort(struct session *s)
{
	if (s->phase == SESSION_CLOSED)
		return;
	session_enter(s);
	if (s->phase == SESSION_UP) {
		session_end(s, SESSION_END_ABORT, "we ended the connection", NULL);
	} else if (s->phase == SESSION_QUIT) {
		close_now(s, false);
	} else {
		session_say(s, "we ended the connection");
		session_fail_by_us(s, SESSION_CUT, REASON_OTHER, "4.3.2");
	}
	session_leave(s);
}
