/* Arbitrary octets of a peer, and events in any order, into the outbound session: nothing breaks, every recipient gets one
 * result and every job one end, nothing comes after the close, and what is sent is lines.
 *
 * The first octet chooses (TLS, memory of the host, jobs), the second what the client asked for; the others are what the
 * peer says, but for these:
 *	01 deadline  02 closed  03 tls ok  04 tls fails  05 all sent  06 body ready  07 a job  0b finish  0c abort
 *	08 what a login asks for is there  0e nothing is taken any more  0f the next packet
 * A third octet of 10 says that we log in, and the fourth what there is to log in with. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include <postrider/deliver.h>
#include <postrider/mail/body_source.h>
#include <postrider/mail/envelope.h>

#include "deliver/session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum wish {
	WISH_BINARY = 1,
	WISH_UTF8 = 2,
	WISH_DSN = 4,
	WISH_RETURN = 8,
	WISH_NOTIFY = 16,
	WISH_TLS = 32,
	WISH_PRIORITY = 64,
	WISH_NEEDS = 128, /* the session was opened for it */
};

#define JOBS 8
#define RECIPIENTS 3

struct slow_body {
	struct body_source source;
	unsigned left;
	bool waiting, slow;
};

struct fuzz_job {
	struct deliver_job job;
	struct slow_body *body;
	unsigned results[RECIPIENTS];
	unsigned done;
};

struct fuzz {
	struct session session;
	struct outbox outbox;
	struct envelope *envelope;
	struct fuzz_job jobs[JOBS];
	size_t job_count;
	uint8_t choice, wishes;
	char line[1100]; /* the command at hand */
	size_t line_len;
	unsigned closed, failed, up, tls_started;
	bool stalled, later;
	bool asked, needs_token, derives, shows_login, may_be_shown;
	unsigned tokens;
	struct config_login credential;
	struct session_login login; /* its login NULL: none */
	size_t unsent;
	char last; /* octet sent */
	int64_t now;
};

/* ---------------------------------------------------------------- a body that may wait */

static const char span[] = "Subject: x\r\n.\r\n..dots\r\n\r\nno end";

static enum err next(struct body_source *source, struct text *out)
{
	struct slow_body *b = (struct slow_body *)source;

	if (b->slow && !b->waiting) {
		b->waiting = true;
		return ERR_MORE;
	}
	b->waiting = false;
	*out = b->left ? text_of(span, sizeof(span) - 1) : TEXT_EMPTY;
	if (b->left)
		b->left--;
	return ERR_OK;
}

static void rewind_body(struct body_source *source)
{
	(void)source;
}

static void release(struct body_source *source)
{
	free(source);
}

static const struct body_source_ops body_ops = { next, rewind_body, release };

static void give_job(struct fuzz *f)
{
	static const uint32_t places[RECIPIENTS] = { 0, 1, 2 };
	struct fuzz_job *j = &f->jobs[f->job_count];

	if (f->job_count == JOBS || !session_is_ready(&f->session))
		return;
	f->job_count++;
	j->body = calloc(1, sizeof(*j->body));
	assert(j->body);
	j->body->left = f->choice & 0x20 ? 5000 : 1;
	j->body->slow = f->choice & 0x40;
	j->body->source.ops = &body_ops;
	j->body->source.bytes = j->body->left * (sizeof(span) - 1);
	j->job = (struct deliver_job){ f->envelope, places, f->job_count % 2 ? RECIPIENTS : 1,
		                       &j->body->source, j };
	session_send(&f->session, &j->job);
}

/* ---------------------------------------------------------------- what the session does */

static bool has(const struct fuzz *f, const char *words)
{
	return text_find(text_of(f->line, f->line_len), text_from(words)) < f->line_len;
}

/* What must not leave without a word is not sent without it. */
static void check_line(const struct fuzz *f)
{
	/* nothing of a credential goes to somebody who has not proved his name, and no mail goes without a login */
	assert(!text_starts(text_of(f->line, f->line_len), TEXT("AUTH ")) || f->may_be_shown ||
	       (has(f, "AUTH EXTERNAL") && f->tls_started == 2));
	if (!text_starts(text_of(f->line, f->line_len), TEXT("MAIL FROM:")))
		return;
	assert(!(f->wishes & WISH_TLS) || (has(f, " REQUIRETLS") && f->tls_started == 2));
	assert(!(f->wishes & WISH_RETURN) || has(f, " BY="));
	assert(!(f->wishes & WISH_BINARY) || has(f, " BODY=BINARYMIME"));
	assert(!(f->wishes & WISH_UTF8) || has(f, " SMTPUTF8"));
}

static void hear_line(struct fuzz *f, char c)
{
	if (f->line_len < sizeof(f->line))
		f->line[f->line_len++] = c;
	if (c != '\n')
		return;
	check_line(f);
	f->line_len = 0;
}

static void on_send(void *owner, const struct text *pieces, size_t count)
{
	struct fuzz *f = owner;

	assert(!f->closed);
	for (size_t i = 0; i < count; i++) {
		assert(pieces[i].len > 0);
		for (size_t n = 0; n < pieces[i].len; n++) {
			char c = pieces[i].at[n];

			assert((c == '\n') == (f->last == '\r'));
			f->last = c;
			hear_line(f, c);
		}
		if (f->stalled)
			f->unsent += pieces[i].len;
	}
	assert(f->unsent < 400000);
}

static size_t unsent(void *owner)
{
	return ((struct fuzz *)owner)->unsent;
}

static int64_t now_at(void *owner)
{
	return ((struct fuzz *)owner)->now;
}

static int64_t now_time(void *owner)
{
	return 1000000 + ((struct fuzz *)owner)->now;
}

static void on_deadline(void *owner, int64_t wait_ms)
{
	(void)owner;
	assert(wait_ms >= 0);
}

static void on_start_tls(void *owner)
{
	struct fuzz *f = owner;

	assert(f->last == '\n' && f->tls_started == 0);
	f->tls_started = 1;
}

static void on_later(void *owner)
{
	((struct fuzz *)owner)->later = true;
}

static void on_up(void *owner)
{
	struct fuzz *f = owner;

	assert(f->up++ == 0 && !f->failed);
}

static void on_ready(void *owner)
{
	struct fuzz *f = owner;

	if (f->choice & 0x10)
		give_job(f);
}

static void on_result(void *owner, struct deliver_job *job, size_t index, struct deliver_result *r)
{
	struct fuzz *f = owner;
	struct fuzz_job *j = job->owner;

	assert(!f->closed && !j->done && index < job->recipient_count);
	assert(j->results[index]++ == 0);
	assert(r->enhanced.len > 0 && r->reply.len > 0);
	assert((r->kind == DELIVER_DELIVERED) == (r->reason == REASON_NONE));
	assert(!r->untouched || r->kind == DELIVER_TRANSIENT);
}

static void on_done(void *owner, struct deliver_job *job)
{
	struct fuzz *f = owner;
	struct fuzz_job *j = job->owner;

	assert(!f->closed && j->done++ == 0);
	assert(j == f->jobs || (j - 1)->done);
	for (size_t i = 0; i < job->recipient_count; i++)
		assert(j->results[i] == 1);
}

static void on_failed(void *owner, enum session_fault fault, struct deliver_result *r)
{
	struct fuzz *f = owner;

	(void)fault;
	assert(f->failed++ == 0 && !f->up && !f->closed);
	assert(r->enhanced.len > 0 && r->reply.len > 0 && r->reason != REASON_NONE);
}

static void on_learned(void *owner, enum session_lesson lesson)
{
	(void)owner;
	(void)lesson;
}

static void on_close(void *owner, bool finish)
{
	struct fuzz *f = owner;

	(void)finish;
	assert(f->closed++ == 0);
	assert(f->up || f->failed);
}

static void on_facts(void *owner, struct session_facts *out)
{
	struct fuzz *f = owner;

	out->may_be_shown = f->shows_login || f->tls_started == 2;
	out->binding = f->tls_started == 2 ? TEXT("0123456789abcdef0123456789abcdef") : TEXT_EMPTY;
	out->nonce = TEXT("eighteen octets...");
	f->may_be_shown = out->may_be_shown;
}

static void on_ask_login(void *owner, bool needs_token)
{
	struct fuzz *f = owner;

	assert(f->login.login && !f->asked && f->login.refused < SESSION_REFUSALS_MAX);
	f->asked = true;
	f->needs_token = needs_token;
}

/* As far as the dialogue goes any keys will do, and the iterations of a hostile server would only take time. */
static void on_derive(void *owner, const struct auth_client_derivation *what)
{
	struct fuzz *f = owner;

	assert(what->password.len && what->salt.len);
	assert(what->iterations >= AUTH_CLIENT_LEAST_ITERATIONS &&
	       what->iterations <= AUTH_CLIENT_MOST_ITERATIONS);
	f->derives = true;
}

static const struct session_output output = {
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
	.close = on_close,
};

/* ---------------------------------------------------------------- events */

static void wake_body(struct fuzz *f)
{
	for (size_t i = 0; i < f->job_count; i++) {
		struct fuzz_job *j = &f->jobs[i];

		if (!j->done && j->body->waiting) {
			j->body->source.on_ready(j->body->source.owner);
			return;
		}
	}
}

/* What the session asked for: a permit, a token, a derivation. */
static void answer(struct fuzz *f)
{
	static const struct auth_client_derivation keys = { .iterations = 1 };
	struct session_permit p = { .err = f->choice & 0x80 ? ERR_TEMPORARY : ERR_OK, .problem = TEXT("no") };

	if (f->asked) {
		f->asked = false;
		if (!p.err && f->needs_token)
			p.token = TEXT("a-token"), p.serial = ++f->tokens;
		session_permitted(&f->session, &p);
	} else if (f->derives) {
		f->derives = false;
		session_derived(&f->session, &keys);
	}
}

static void happen(struct fuzz *f, uint8_t event)
{
	struct session *s = &f->session;

	f->now += 1000;
	switch (event) {
	case 1:
		session_deadline(s);
		break;
	case 2:
		session_closed(s, ERR_CLOSED);
		break;
	case 3:
	case 4:
		if (f->tls_started == 1) {
			f->tls_started = 2;
			session_tls_done(s, event == 3 ? ERR_OK : ERR_TLS, TEXT("x"));
		}
		break;
	case 8:
		answer(f);
		break;
	case 5:
		f->stalled = false;
		f->unsent = 0;
		session_drained(s);
		break;
	case 6:
		wake_body(f);
		break;
	case 7:
		give_job(f);
		break;
	case 11:
		session_finish(s);
		break;
	case 12:
		session_abort(s);
		break;
	case 14:
		f->stalled = true;
		break;
	default:
		break;
	}
	while (f->later) {
		f->later = false;
		session_later(s);
	}
}

static bool is_event(uint8_t octet)
{
	return (octet >= 1 && octet <= 8) || octet == 11 || octet == 12 || octet == 14 || octet == 15;
}

/* The octets lie in a block of their own size, what was left of the last ones before them. */
static char *hear(struct fuzz *f, char *kept, size_t *kept_len, const uint8_t *data, size_t len)
{
	char *bytes = malloc(*kept_len + len + 1);
	size_t taken, left;
	char *rest;

	assert(bytes);
	memcpy(bytes, kept, *kept_len);
	memcpy(bytes + *kept_len, data, len);
	free(kept);
	bytes = realloc(bytes, *kept_len + len + (*kept_len + len == 0));
	taken = session_data(&f->session, text_of(bytes, *kept_len + len));
	assert(taken <= *kept_len + len);
	left = *kept_len + len - taken;
	assert(left <= 16384);
	rest = malloc(left + 1);
	assert(rest);
	memcpy(rest, bytes + taken, left);
	free(bytes);
	*kept_len = left;
	return rest;
}

static void run(struct fuzz *f, const uint8_t *data, size_t size)
{
	char *kept = malloc(1);
	size_t kept_len = 0;

	session_connected(&f->session);
	while (size > 0 && !f->closed) {
		size_t len = 0;

		while (len < size && !is_event(data[len]))
			len++;
		if (len)
			kept = hear(f, kept, &kept_len, data, len);
		while (f->later) {
			f->later = false;
			session_later(&f->session);
		}
		if (len < size)
			happen(f, data[len++]);
		data += len;
		size -= len;
	}
	free(kept);
}

static void wish(struct fuzz *f)
{
	struct envelope *e = f->envelope;

	e->body = f->wishes & WISH_BINARY ? ENVELOPE_BINARY : ENVELOPE_7BIT;
	e->smtputf8 = e->header_8bit = f->wishes & WISH_UTF8;
	e->tls_wish = f->wishes & WISH_TLS ? ENVELOPE_TLS_REQUIRED : ENVELOPE_TLS_UNSAID;
	e->has_priority = f->wishes & WISH_PRIORITY;
	e->priority = -3;
	e->by = f->wishes & WISH_RETURN   ? ENVELOPE_BY_RETURN
	        : f->wishes & WISH_NOTIFY ? ENVELOPE_BY_NOTIFY
	                                  : ENVELOPE_BY_NONE;
	e->by_time = 1060000;
	if (!(f->wishes & WISH_DSN))
		return;
	e->ret = ENVELOPE_RET_HDRS;
	if (envelope_set(e, &e->envid, TEXT("x+2B")) ||
	    envelope_set_delivery_report(e, ENVELOPE_NOTIFY_SUCCESS | ENVELOPE_NOTIFY_DELAY,
	                                 TEXT("utf-8;\xc3\xbc@x")))
		abort();
}

static void log_in(struct fuzz *f, uint8_t with)
{
	struct config_login *c = &f->credential;

	c->mechanism = (enum config_mechanism)(with >> 3 & 7);
	c->username = TEXT("user,=");
	c->secret = with & 1 ? TEXT("a pass word") : TEXT_EMPTY;
	c->oauth2.token_file = with & 2 ? TEXT("/token") : TEXT_EMPTY;
	f->login.login = c;
	f->login.has_certificate = with & 4;
	f->shows_login = with & 0x40;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct config_timeouts timeouts = { 1, 2, 3, 4, 5, 6, 7 };
	static const enum config_tls tls[] = { CONFIG_TLS_NONE, CONFIG_TLS_OPPORTUNISTIC, CONFIG_TLS_REQUIRE,
		                               CONFIG_TLS_OPPORTUNISTIC };
	struct fuzz *f;
	struct session_options o = { .helo = TEXT("relay.example"), .timeouts = &timeouts, .out = &output };

	if (size < 2)
		return 0;
	f = calloc(1, sizeof(*f));
	assert(f);
	f->choice = data[0];
	f->wishes = data[1];
	f->last = '\n';
	f->envelope = envelope_new(10000);
	assert(f->envelope);
	for (unsigned i = 0; i < RECIPIENTS; i++)
		if (envelope_add_recipient(f->envelope,
		                           i == 2 && (f->wishes & WISH_UTF8) ? TEXT("\xc3\xbc@example.net")
		                           : i == 1 && (f->choice & 0x80)    ? TEXT("un\rfit")
		                                                             : TEXT("a@example.net"),
		                           TEXT_EMPTY))
			abort();
	o.tls = tls[f->choice & 3];
	o.no_tls = (f->choice & 3) == 3;
	o.joins = f->choice & 4;
	o.no_ehlo = f->choice & 8;
	o.outbox = &f->outbox;
	o.owner = f;
	o.verifies = f->wishes & WISH_TLS;
	wish(f);
	if (f->wishes & WISH_NEEDS)
		o.needs = deliver_needs_of(f->envelope, 1000);
	if (size > 3 && data[2] == 0x10) {
		log_in(f, data[3]);
		o.login = &f->login;
		data += 2;
		size -= 2;
	}
	session_init(&f->session, &o);
	run(f, data + 2, size - 2);
	session_abort(&f->session);
	assert(f->closed == 1);
	assert(f->login.refused <= SESSION_REFUSALS_MAX);
	for (size_t i = 0; i < f->job_count; i++)
		assert(f->jobs[i].done == 1);
	session_fini(&f->session);
	envelope_free(&f->envelope);
	free(f);
	return 0;
}
