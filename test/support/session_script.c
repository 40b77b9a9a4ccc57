#include "support/session_script.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <postrider/mail/body_source.h>
#include <postrider/mail/envelope.h>

#include "deliver/session.h"

const struct config_timeouts session_script_timeouts = {
	.connect_ms = 30000,
	.greeting_ms = 300000,
	.mail_ms = 310000,
	.rcpt_ms = 320000,
	.data_ms = 120000,
	.block_ms = 180000,
	.dot_ms = 600000,
};

#define JOBS_MAX 64
#define SPAN_BYTES 40000

/* ---------------------------------------------------------------- a message */

struct script_body {
	struct body_source source;
	char *content;
	size_t len, at;
	bool slow, broken, waiting;
	bool *released;
};

static enum err next_span(struct body_source *source, struct text *span)
{
	struct script_body *b = (struct script_body *)source;
	size_t len = MIN(b->len - b->at, (size_t)SPAN_BYTES);

	if (b->slow && !b->waiting) {
		b->waiting = true;
		return ERR_MORE;
	}
	b->waiting = false;
	if (b->broken && b->at > 0)
		return ERR_DAMAGED;
	if (b->broken)
		len /= 2;
	*span = text_of(b->content + b->at, len);
	b->at += len;
	return ERR_OK;
}

static void rewind_body(struct body_source *source)
{
	((struct script_body *)source)->at = 0;
}

static void release_body(struct body_source *source)
{
	struct script_body *b = (struct script_body *)source;

	*b->released = true;
	free(b->content);
	free(b);
}

static const struct body_source_ops script_body_ops = { next_span, rewind_body, release_body };

struct script_job {
	struct deliver_job job;
	struct envelope *envelope;
	struct script_body *body;
	char names[200][16];
	bool decided[200];
	bool done, released;
};

struct script {
	const char *text; /* whole, for messages */
	unsigned line_number;
	struct text line;
	struct session session;
	struct outbox outbox;
	struct buf log;  /* what happened and was not expected yet, a line each */
	struct buf sent; /* the unfinished line of what was sent */
	bool write_begins;
	int64_t now, deadline_at; /* 0: none */
	size_t unsent;
	bool stalled, later, closed, up, binary;
	struct script_job *jobs[JOBS_MAX];
	size_t job_count;
	const struct session_script_options *options;
	struct session_login login;
	struct auth_client_derivation derivation;
	uint64_t serial; /* of tokens */
};

static void record(struct script *s, const char *format, ...) PRINTF_LIKE(2, 3);
static void record(struct script *s, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	buf_add_format_v(&s->log, format, args);
	va_end(args);
	buf_add_octet(&s->log, '\n');
}

static void stop(const struct script *s, const char *format, ...) PRINTF_LIKE(2, 3);
static void stop(const struct script *s, const char *format, ...)
{
	char words[2000];
	va_list args;

	va_start(args, format);
	vsnprintf(words, sizeof(words), format, args);
	va_end(args);
	fail_msg("%s\nscript line %u: %.*s\nstill unread:\n%.*s", words, s->line_number, TEXT_ARGS(s->line),
	         TEXT_ARGS(text_head(buf_text(&s->log), 2000)));
}

/* ---------------------------------------------------------------- what the session does */

/* Mail data of DATA and all commands are lines; only binary mail has a bare LF, shown as "|". */
static void record_line(struct script *s)
{
	bool whole = s->sent.len > 0 && s->sent.at[s->sent.len - 1] == '\r';

	assert_true(whole || s->binary);
	record(s, "C%c%s%.*s%s", s->write_begins ? '>' : '+', s->sent.len > whole ? " " : "",
	       (int)MIN(s->sent.len - whole, (size_t)200), s->sent.at, whole ? "" : "|");
}

static void on_send(void *owner, const struct text *pieces, size_t count)
{
	struct script *s = owner;

	s->write_begins = true;
	for (size_t i = 0; i < count; i++) {
		struct text rest = pieces[i];

		if (s->stalled)
			s->unsent += rest.len;
		while (rest.len) {
			size_t end = text_find_octet(rest, '\n');

			if (end == rest.len) {
				buf_add(&s->sent, rest);
				break;
			}
			buf_add(&s->sent, text_head(rest, end));
			rest = text_skip(rest, end + 1);
			record_line(s);
			s->write_begins = false;
			buf_reset(&s->sent);
		}
	}
}

static size_t unsent(void *owner)
{
	return ((struct script *)owner)->unsent;
}

static int64_t now_at(void *owner)
{
	return ((struct script *)owner)->now;
}

static int64_t now_time(void *owner)
{
	return SESSION_SCRIPT_TIME + ((struct script *)owner)->now;
}

static void on_deadline(void *owner, int64_t wait_ms)
{
	struct script *s = owner;

	s->deadline_at = wait_ms ? s->now + wait_ms : 0;
}

static void on_start_tls(void *owner)
{
	record(owner, "starttls");
}

static void on_facts(void *owner, struct session_facts *out)
{
	struct script *s = owner;

	out->may_be_shown = s->options->proves || s->options->shows_login;
	out->binding = s->options->has_binding && session_is_secure(&s->session)
	                       ? TEXT("what both ends know of their TLS")
	                       : TEXT_EMPTY;
	out->nonce = TEXT(SESSION_SCRIPT_NONCE);
}

static void on_ask_login(void *owner, bool needs_token)
{
	record(owner, needs_token ? "asks for a token" : "asks to log in");
}

static void on_derive(void *owner, const struct auth_client_derivation *what)
{
	struct script *s = owner;

	auth_client_derivation_fini(&s->derivation);
	auth_client_derivation_copy(&s->derivation, what);
	record(s, "derives %u", (unsigned)what->iterations);
}

static void on_later(void *owner)
{
	((struct script *)owner)->later = true;
}

static void on_up(void *owner)
{
	record(owner, "up");
}

static void on_ready(void *owner)
{
	record(owner, "ready");
}

static void add_result(struct script *s, const char *who, const struct deliver_result *r)
{
	static const char *const kinds[] = { "delivered", "transient", "permanent", "unknown" };
	struct text reason = reason_text(r->reason), stage = stage_text(r->stage);

	assert_true(r->enhanced.len > 0);
	assert_true(r->kind == DELIVER_DELIVERED || r->reason != REASON_NONE);
	record(s, "%s: %s %d %.*s %.*s %.*s %s%s%s~%.*s", who, kinds[r->kind], r->code,
	       TEXT_ARGS(r->enhanced), TEXT_ARGS(reason), TEXT_ARGS(stage), r->untouched ? "untouched " : "",
	       r->reused ? "reused " : "", r->from_peer ? "peer " : "", TEXT_ARGS(r->reply));
}

static void on_result(void *owner, struct deliver_job *job, size_t index, struct deliver_result *r)
{
	struct script *s = owner;
	struct script_job *j = job->owner;

	assert_false(j->decided[index]);
	assert_false(j->done);
	assert_false(s->closed);
	j->decided[index] = true;
	add_result(s, j->names[index], r);
}

static void on_done(void *owner, struct deliver_job *job)
{
	struct script *s = owner;
	struct script_job *j = job->owner;

	assert_true(j->released);
	assert_false(j->done);
	for (size_t i = 0; i < job->recipient_count; i++)
		assert_true(j->decided[i]);
	j->done = true;
	record(s, "done");
}

static void on_failed(void *owner, enum session_fault fault, struct deliver_result *r)
{
	static const char *const faults[] = { "failed reply",    "failed cut",   "failed silence",
		                              "failed tls",      "failed no_tls", "failed lacks",
		                              "failed no_login", "failed login",  "failed login_again" };

	add_result(owner, faults[fault], r);
}

static void on_learned(void *owner, enum session_lesson lesson)
{
	record(owner, "learned %s",
	       lesson == SESSION_KEEPS  ? "keeps"
	       : lesson == SESSION_CUTS ? "cuts"
	                                : "no chunks");
}

static void on_gate(void *owner, struct deliver_job *job)
{
	record(owner, job->gated ? "gate" : "gate of a job that has none");
}

static void on_close(void *owner, bool finish)
{
	struct script *s = owner;

	assert_false(s->closed);
	s->closed = true;
	record(s, finish ? "finished" : "closed");
}

static const struct session_output script_output = {
	.send = on_send,
	.unsent = unsent,
	.now_at = now_at,
	.now_time = now_time,
	.deadline = on_deadline,
	.start_tls = on_start_tls,
	.facts = on_facts,
	.ask_login = on_ask_login,
	.derive = on_derive,
	.later = on_later,
	.up = on_up,
	.ready = on_ready,
	.result = on_result,
	.done = on_done,
	.failed = on_failed,
	.learned = on_learned,
	.gate = on_gate,
	.close = on_close,
};

/* ---------------------------------------------------------------- what the script does */

static void say(struct script *s, struct text bytes)
{
	size_t taken = session_data(&s->session, bytes);

	/* what was not taken comes again with what follows: here nothing does, so it must be an unfinished
	 * reply */
	if (taken < bytes.len && text_ends(bytes, TEXT("\r\n")) && !s->closed)
		stop(s, "the session left a whole line unread");
}

static void peer_acts(struct script *s, struct text what)
{
	struct buf line = BUF(1 << 20);

	if (text_eq(what, TEXT("closes"))) {
		session_closed(&s->session, ERR_CLOSED);
	} else if (text_eq(what, TEXT("resets"))) {
		session_closed(&s->session, ERR_IO);
	} else if (text_eq(what, TEXT("takes nothing"))) {
		s->stalled = true;
	} else if (text_eq(what, TEXT("takes some"))) {
		s->unsent /= 2;
	} else if (text_eq(what, TEXT("takes all"))) {
		s->stalled = false;
		s->unsent = 0;
		session_drained(&s->session);
	} else {
		/* "250 a / 250 b": two replies in one packet */
		while (what.len) {
			struct text one = text_head(what, text_find(what, TEXT(" / ")));

			buf_add(&line, one);
			buf_add_string(&line, "\r\n");
			what = text_skip(what, one.len + 3);
		}
		say(s, buf_text(&line));
	}
	buf_fini(&line);
}

/* Octets without a line end behind them; " | " is one within. */
static void say_part(struct script *s, struct text what)
{
	struct buf bytes = BUF(4096);
	size_t bar = text_find(what, TEXT(" | "));

	buf_add(&bytes, text_head(what, bar));
	if (bar < what.len) {
		buf_add_string(&bytes, "\r\n");
		buf_add(&bytes, text_skip(what, bar + 3));
	}
	say(s, buf_text(&bytes));
	buf_fini(&bytes);
}

static void pass_time(struct script *s, struct text amount)
{
	uint64_t seconds;
	int64_t until;

	assert_int_equal(text_to_u64(text_cut(&amount, ' '), 100000000, &seconds), ERR_OK);
	until = s->now + (int64_t)seconds * 1000;
	while (s->deadline_at && s->deadline_at <= until) {
		s->now = s->deadline_at;
		s->deadline_at = 0;
		session_deadline(&s->session);
	}
	s->now = until;
}

static char *content_of(size_t size, struct text words, struct text bare, size_t *len)
{
	struct buf b = BUF(64 << 20);

	if (words.len) {
		while (words.len) {
			struct text line = text_cut(&words, '|');

			buf_add(&b, line);
			if (words.len || !text_ends(line, TEXT("\\")))
				buf_add_string(&b, "\r\n");
			else
				buf_cut(&b, b.len - 1);
		}
	} else if (size) {
		while (b.len < size)
			buf_add_format(
				&b, "%.*s\r\n", (int)MIN(size - b.len > 2 ? size - b.len - 2 : 0, (size_t)70),
				"0123456789012345678901234567890123456789012345678901234567890123456789");
	} else {
		buf_add_string(&b, "hello\r\n");
	}
	buf_add(&b, bare);
	return buf_take(&b, len);
}

static int number_of(struct text t)
{
	bool negative = text_starts(t, TEXT("-"));
	uint64_t value;

	assert_int_equal(text_to_u64(text_skip(t, negative), 1 << 30, &value), ERR_OK);
	return negative ? -(int)value : (int)value;
}

static void set_text(struct envelope *e, struct text *field, struct text value)
{
	assert_int_equal(envelope_set(e, field, value), ERR_OK);
}

/* "60R", "-5N", "60NT": seconds from now on. */
static void set_by(struct script *s, struct envelope *e, struct text value)
{
	size_t mode = 0;

	while (mode < value.len && (value.at[mode] == '-' || ascii_is_digit(value.at[mode])))
		mode++;
	e->by = value.at[mode] == 'R' ? ENVELOPE_BY_RETURN : ENVELOPE_BY_NOTIFY;
	e->by_trace = value.len > mode + 1;
	e->by_time = now_time(s) + number_of(text_head(value, mode)) * INT64_C(1000);
}

static void set_notify(struct envelope_recipient *r, struct text value)
{
	static const char *const names[] = { "never", "success", "failure", "delay" };

	while (value.len) {
		struct text word = text_cut(&value, ',');

		for (unsigned i = 0; i < ARRAY_LEN(names); i++)
			if (text_eq(word, text_from(names[i])))
				r->notify |= BIT(i);
	}
}

/* What a client would have said by a parameter. False: it is no such word. */
static bool take_wish(struct script *s, struct envelope *e, struct text word)
{
	struct text value = word, name = text_cut(&value, '=');
	struct envelope_recipient *r = e->recipient_count ? &e->recipients[e->recipient_count - 1] : NULL;

	if (text_eq(word, TEXT("binary")))
		e->body = ENVELOPE_BINARY, s->binary = true;
	else if (text_eq(word, TEXT("8bit")))
		e->body = ENVELOPE_8BIT;
	else if (text_eq(word, TEXT("utf8")))
		e->smtputf8 = true;
	else if (text_eq(word, TEXT("8bit-header")))
		e->header_8bit = true;
	else if (text_eq(word, TEXT("requiretls")))
		e->tls_wish = ENVELOPE_TLS_REQUIRED;
	else if (text_eq(name, TEXT("priority")))
		e->has_priority = true, e->priority = number_of(value);
	else if (text_eq(name, TEXT("by")))
		set_by(s, e, value);
	else if (text_eq(name, TEXT("ret")))
		e->ret = text_eq(value, TEXT("full")) ? ENVELOPE_RET_FULL : ENVELOPE_RET_HDRS;
	else if (text_eq(name, TEXT("envid")))
		set_text(e, &e->envid, value);
	else if (text_eq(name, TEXT("notify")))
		set_notify(r, value);
	else if (text_eq(name, TEXT("orcpt")))
		set_text(e, &r->orcpt, value);
	else if (text_eq(name, TEXT("original")))
		set_text(e, &r->original_path, value);
	else
		return false;
	return true;
}

static void give_job(struct script *s, struct text words)
{
	struct script_job *j = calloc(1, sizeof(*j));
	static uint32_t places[200];
	struct text text = TEXT_EMPTY, bare = TEXT_EMPTY;
	uint64_t size = 0;
	bool null_path = false;

	assert_true(s->job_count < JOBS_MAX);
	s->jobs[s->job_count++] = j;
	j->body = calloc(1, sizeof(*j->body));
	j->envelope = envelope_new(1 << 20);
	while (words.len) {
		struct text word = text_cut(&words, ' ');
		char path[300];

		if (text_starts(word, TEXT("size="))) {
			assert_int_equal(text_to_u64(text_skip(word, 5), 1 << 30, &size), ERR_OK);
			continue;
		}
		if (text_starts(word, TEXT("text="))) {
			text = text_skip(word, 5);
			continue;
		}
		if (take_wish(s, j->envelope, word))
			continue;
		if (text_eq(word, TEXT("slow")))
			j->body->slow = true;
		else if (text_eq(word, TEXT("broken")))
			j->body->broken = true;
		else if (text_eq(word, TEXT("bare")))
			bare = TEXT("x\ny\r\n");
		else if (text_eq(word, TEXT("null")))
			null_path = true;
		else if (text_eq(word, TEXT("gated")))
			j->job.gated = true;
		else {
			size_t n = j->job.recipient_count++;

			places[n] = (uint32_t)n;
			snprintf(j->names[n], sizeof(j->names[n]), "%.*s", TEXT_ARGS(word));
			snprintf(path, sizeof(path), "%.*s%s", TEXT_ARGS(word),
			         text_eq(word, TEXT("unfit")) ? "\r\nDATA" : "@example.net");
			assert_int_equal(envelope_add_recipient(j->envelope, text_from(path), TEXT_EMPTY),
			                 ERR_OK);
		}
	}
	if (!null_path)
		assert_int_equal(envelope_set(j->envelope, &j->envelope->reverse_path, TEXT("s@example.org")),
		                 ERR_OK);
	j->body->content = content_of(size, text, bare, &j->body->len);
	j->body->source.ops = &script_body_ops;
	j->body->source.bytes = j->body->len;
	j->body->released = &j->released;
	j->job.envelope = j->envelope;
	j->job.recipients = places;
	j->job.body = &j->body->source;
	j->job.owner = j;
	if (!session_is_ready(&s->session))
		stop(s, "the session takes no job here");
	session_send(&s->session, &j->job);
}

static void wake_body(struct script *s)
{
	for (size_t i = 0; i < s->job_count; i++) {
		struct script_job *j = s->jobs[i];

		if (!j->done && j->body->waiting) {
			j->body->source.on_ready(j->body->source.owner);
			return;
		}
	}
	stop(s, "no body waits");
}

static void permit(struct script *s, struct text what)
{
	struct session_permit p = { .err = ERR_OK };

	if (text_starts(what, TEXT("token "))) {
		p.token = text_skip(what, 6);
		p.serial = ++s->serial;
	} else if (text_starts(what, TEXT("refused "))) {
		p = (struct session_permit){ .err = ERR_DENIED, .code = 535, .problem = text_skip(what, 8) };
	} else if (text_starts(what, TEXT("no token "))) {
		p = (struct session_permit){ .err = ERR_TEMPORARY, .problem = text_skip(what, 9) };
	}
	session_permitted(&s->session, &p);
}

static void derive(struct script *s)
{
	auth_client_derive(&s->derivation);
	session_derived(&s->session, &s->derivation);
}

static bool act(struct script *s, struct text line)
{
	if (text_starts(line, TEXT("S: ")))
		peer_acts(s, text_skip(line, 3));
	else if (text_starts(line, TEXT("S- ")))
		say_part(s, text_skip(line, 3));
	else if (text_starts(line, TEXT("after ")))
		pass_time(s, text_skip(line, 6));
	else if (text_starts(line, TEXT("job ")))
		give_job(s, text_skip(line, 4));
	else if (text_eq(line, TEXT("tls ok")))
		session_tls_done(&s->session, ERR_OK, TEXT_EMPTY);
	else if (text_eq(line, TEXT("tls fails")))
		session_tls_done(&s->session, ERR_TLS, TEXT("no common version"));
	else if (text_eq(line, TEXT("tls wrong certificate")))
		session_tls_done(&s->session, ERR_CERTIFICATE, TEXT("for another name"));
	else if (text_starts(line, TEXT("may ")))
		permit(s, text_skip(line, 4));
	else if (text_eq(line, TEXT("worked out")))
		derive(s);
	else if (text_eq(line, TEXT("body")))
		wake_body(s);
	else if (text_eq(line, TEXT("open")) || text_eq(line, TEXT("shut")))
		session_open_gate(&s->session, &s->jobs[s->job_count - 1]->job, text_eq(line, TEXT("open")));
	else if (text_eq(line, TEXT("call off")))
		record(s, session_call_off(&s->session, &s->jobs[s->job_count - 1]->job) ? "called off" : "too late");
	else if (text_eq(line, TEXT("finish")))
		session_finish(&s->session);
	else if (text_eq(line, TEXT("abort")))
		session_abort(&s->session);
	else
		return false;
	while (s->later) {
		s->later = false;
		session_later(&s->session);
	}
	return true;
}

/* ---------------------------------------------------------------- what it expects */

static bool words_match(struct text expected, struct text seen)
{
	struct text reply = seen;

	(void)text_cut(&reply, '~');
	while (expected.len) {
		struct text word;

		if (expected.at[0] == '~')
			return text_find(reply, text_skip(expected, 1)) < reply.len ||
			       text_eq(reply, text_skip(expected, 1));
		word = text_cut(&expected, ' ');
		for (struct text rest = text_head(seen, text_find_octet(seen, '~')), w;;) {
			if (rest.len == 0)
				return false;
			w = text_cut(&rest, ' ');
			if (text_eq(w, word))
				break;
		}
	}
	return true;
}

static bool matches(struct text expected, struct text seen)
{
	size_t colon = text_find(expected, TEXT(": "));

	if (text_starts(expected, TEXT("C")) && (expected.len == 2 || expected.at[2] == ' '))
		return seen.len >= 2 && seen.at[0] == 'C' &&
		       (expected.at[1] == ':' || expected.at[1] == seen.at[1]) &&
		       text_eq(text_skip(expected, 2), text_skip(seen, 2));
	if (colon == expected.len)
		return text_eq(expected, seen);
	return text_starts(seen, text_head(expected, colon + 2)) &&
	       words_match(text_skip(expected, colon + 2), text_skip(seen, colon + 2));
}

/* Mail data of some length: its lines are not compared, only counted. */
static void expect_sent(struct script *s, struct text amount)
{
	uint64_t most = 0, seen = 0;
	struct text log = buf_text(&s->log);

	assert_int_equal(text_to_u64(amount, UINT64_MAX, &most), ERR_OK);
	while (text_starts(log, TEXT("C")))
		seen += text_cut(&log, '\n').len;
	if (seen > most || seen < most / 2)
		stop(s, "sent about %llu octets", (unsigned long long)seen);
	buf_drop_head(&s->log, s->log.len - log.len);
	buf_reset(&s->sent);
}

static void expect(struct script *s, struct text line)
{
	struct text log = buf_text(&s->log), seen = text_cut(&log, '\n');

	if (s->log.len == 0 || !matches(line, seen))
		stop(s, "expected: %.*s\nseen: %.*s", TEXT_ARGS(line), TEXT_ARGS(seen));
	buf_drop_head(&s->log, s->log.len - log.len);
}

static bool is_action(struct text line)
{
	static const char *const starts[] = { "S: ",  "S- ",  "after ", "job ",
		                              "tls ", "body", "finish", "abort",  "may ", "worked out",
		                              "open",   "shut",   "call off" };

	if (text_eq(line, TEXT("finished")))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(starts); i++)
		if (text_starts(line, text_from(starts[i])))
			return true;
	return false;
}

static void run(struct script *s)
{
	struct text rest = text_from(s->text);

	session_connected(&s->session);
	while (rest.len) {
		s->line = text_trim(text_cut(&rest, '\n'));
		s->line_number++;
		if (s->line.len == 0 || s->line.at[0] == '#')
			continue;
		if (text_starts(s->line, TEXT("sent "))) {
			expect_sent(s, text_skip(s->line, 5));
			continue;
		}
		if (!is_action(s->line)) {
			expect(s, s->line);
			continue;
		}
		if (s->log.len)
			stop(s, "this was not expected before the next action");
		act(s, s->line);
	}
	s->line = TEXT("(end)");
	if (s->log.len)
		stop(s, "this was not expected at the end");
}

void session_script(const struct session_script_options *options, const char *script)
{
	struct script *s = calloc(1, sizeof(*s));
	struct session_options o = {
		.helo = TEXT("relay.example"),
		.timeouts = &session_script_timeouts,
		.tls = options->tls,
		.no_tls = options->no_tls,
		.no_ehlo = options->no_ehlo,
		.joins = options->joins,
		.verifies = options->verifies,
		.lmtp = options->lmtp,
		.no_chunks = options->no_chunks,
		.needs = options->needs,
		.outbox = &s->outbox,
		.out = &script_output,
		.owner = s,
	};

	s->options = options;
	if (options->login) {
		s->login = (struct session_login){ .login = options->login, .has_certificate = options->has_certificate };
		s->login.host = TEXT("mx.example");
		s->login.port = 587;
		s->login.passed = options->passed;
		s->login.refused = options->refused;
		o.login = &s->login;
	}
	s->text = script;
	s->now = 1000;
	buf_init(&s->log, 64 << 20);
	buf_init(&s->sent, 1 << 20);
	session_init(&s->session, &o);
	run(s);
	if (!s->closed)
		session_abort(&s->session);
	session_fini(&s->session);
	for (size_t i = 0; i < s->job_count; i++) {
		assert_true(s->jobs[i]->done);
		envelope_free(&s->jobs[i]->envelope);
		free(s->jobs[i]);
	}
	buf_fini(&s->log);
	buf_fini(&s->sent);
	auth_client_derivation_fini(&s->derivation);
	free(s);
}
