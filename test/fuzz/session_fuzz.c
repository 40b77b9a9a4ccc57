/* Arbitrary octets of a client, in arbitrary pieces, into the inbound session: nothing breaks, every answer is a reply of
 * SMTP, and no dot is answered twice or by more than one 250.
 *
 * The first four octets choose: bits (1 trusted, 2 TLS demanded, 4 a draft may be busy, 8 the handshake fails, 16 silence after
 * the last octet, 32 the daemon stops after it, 64 limits are met, 128 line ends are repaired), the largest piece, how the queue decides (and 8 there is AUTH, 16 a
 * service is asked, 32 XCLIENT is allowed), which write fails and how logins and questions end. The rest is what the client
 * says. */
#include <assert.h>
#include <stdlib.h>

#include <postrider/base/utf8.h>
#include <postrider/smtp/reply.h>

#include "auth/internal.h"
#include "receive/session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct fuzz {
	struct receive_session session;
	struct reply_reader replies;
	unsigned char bits, pattern, failing;
	unsigned writes, commits, decisions, accepted, queued, takes, counted;
	bool has_draft, committed, closed, tls_asked, busy, rests;
	bool auth_runs, auth_thinks, policy_thinks;
	bool is_clean; /* no message may hold a bare line end, unless it is declared binary */
	bool after_cr;
};

/* ---------------------------------------------------------------- what the session asks for */

static void renew(void *owner)
{
	(void)owner;
}

static int64_t now_time(void *owner)
{
	(void)owner;
	return INT64_C(1767225600000);
}

static struct id make_id(void *owner)
{
	struct fuzz *f = owner;

	return (struct id){ { 1, (unsigned char)f->commits } };
}

static enum err open_draft(void *owner, uint64_t declared_bytes)
{
	struct fuzz *f = owner;

	(void)declared_bytes;
	assert(!f->has_draft && !f->closed);
	if (f->failing == 255)
		return ERR_FULL;
	f->has_draft = true;
	f->is_clean = true;
	f->after_cr = false;
	return ERR_OK;
}

static enum err write_draft(void *owner, struct text bytes)
{
	struct fuzz *f = owner;

	assert(f->has_draft && bytes.len > 0);
	f->writes++;
	for (size_t i = 0; i < bytes.len; i++) {
		f->is_clean = f->is_clean && (bytes.at[i] == '\n') == f->after_cr;
		f->after_cr = bytes.at[i] == '\r';
	}
	f->busy = (f->bits & 4) && f->writes % 3 == 0;
	return f->failing && f->writes % 16 == f->failing % 16 ? ERR_FULL : ERR_OK;
}

static bool draft_is_busy(void *owner)
{
	struct fuzz *f = owner;

	return f->has_draft && f->busy;
}

static void abort_draft(void *owner)
{
	struct fuzz *f = owner;

	assert(f->has_draft);
	f->has_draft = false;
}

/* What comes out again as a line of SMTP, or in a report, holds nothing that could break it. */
static void check_text(struct text t, bool utf8)
{
	assert(utf8 ? utf8_is_valid(t) : utf8_is_ascii(t));
	for (size_t i = 0; i < t.len; i++)
		assert((unsigned char)t.at[i] >= ' ' && t.at[i] != 0x7f);
}

static void check_envelope(const struct envelope *e)
{
	check_text(e->reverse_path, e->smtputf8);
	check_text(e->envid, false);
	check_text(e->submitter, false);
	assert(e->envid.len <= SMTP_ENVID_MAX && e->priority >= -9 && e->priority <= 6);
	assert(e->by || e->by_time == 0);
	for (size_t i = 0; i < e->recipient_count; i++) {
		const struct envelope_recipient *r = &e->recipients[i];

		check_text(r->forward_path, e->smtputf8);
		check_text(r->original_path, e->smtputf8);
		check_text(r->orcpt, e->smtputf8);
		assert(!(r->notify & ENVELOPE_NOTIFY_NEVER) || r->notify == ENVELOPE_NOTIFY_NEVER);
	}
}

static void commit(void *owner, const struct queue_submission *s)
{
	struct fuzz *f = owner;

	assert(f->has_draft && !f->committed && !f->closed);
	assert(s->envelope->recipient_count > 0 && s->envelope->recipient_count <= 100);
	for (size_t i = 0; i < s->envelope->recipient_count; i++)
		assert(s->keys[i].len > 0);
	assert(text_starts(s->prepended, TEXT("Received: ")) && text_ends(s->prepended, TEXT("\r\n")));
	assert(data_is_clean(s->prepended));
	/* what leaves DATA and BDAT has CR LF and nothing else */
	assert((f->is_clean && !f->after_cr) || s->envelope->body == ENVELOPE_BINARY);
	check_envelope(s->envelope);
	f->has_draft = false;
	f->committed = true;
	f->commits++;
}

static void start_tls(void *owner)
{
	struct fuzz *f = owner;

	assert(!f->tls_asked && !f->session.tls_running);
	f->tls_asked = true;
}

static void close_session(void *owner)
{
	struct fuzz *f = owner;

	assert(!f->closed);
	f->closed = true;
}

static void emit(void *owner, struct event *event)
{
	(void)owner;
	(void)event;
}

static bool has_room(void *owner, uint64_t bytes)
{
	(void)owner;
	return bytes < 60000;
}

static bool take(void *owner, enum receive_limit what, struct receive_limit_answer *why)
{
	struct fuzz *f = owner;

	assert(what == RECEIVE_LIMIT_TLS || what == RECEIVE_LIMIT_MESSAGE || what == RECEIVE_LIMIT_RECIPIENT);
	*why = (struct receive_limit_answer){
		.code = 450, .enhanced = "4.7.1", .text = "Too much", .wait_ms = 1
	};
	f->counted += what == RECEIVE_LIMIT_RECIPIENT;
	return !(f->bits & 64) || ++f->takes % 8;
}

static void give_back(void *owner, uint64_t recipients)
{
	struct fuzz *f = owner;

	assert(recipients <= f->counted);
	f->counted -= (unsigned)recipients;
}

static void take_rest(void *owner, int64_t ms)
{
	struct fuzz *f = owner;

	assert(ms > 0 && ms < 60000);
	f->rests = true;
}

/* Pattern 8: there is AUTH. */
static unsigned offered_auth(void *owner)
{
	struct fuzz *f = owner;

	return f->pattern & 8 ? AUTH_PLAIN | AUTH_LOGIN : 0;
}

static enum err begin_auth(void *owner, struct text mechanism, bool has_initial, struct text initial)
{
	struct fuzz *f = owner;

	assert(!f->auth_runs && !f->auth_thinks && (f->pattern & 8));
	assert(mechanism.len > 0 && (has_initial || initial.len == 0));
	assert(!f->session.more || !f->session.more->user_name);
	if (f->failing % 16 == 15)
		return ERR_NOMEM;
	f->auth_runs = f->auth_thinks = true;
	return ERR_OK;
}

static void answer_auth(void *owner, struct text line)
{
	struct fuzz *f = owner;

	assert(f->auth_runs && !f->auth_thinks && line.len <= SMTP_AUTH_LINE_MAX);
	f->auth_thinks = true;
}

static void cancel_auth(void *owner)
{
	struct fuzz *f = owner;

	f->auth_runs = f->auth_thinks = false;
}

static enum err find_user(void *owner, struct text name, struct auth_user **out)
{
	static const struct auth nobody;
	struct fuzz *f = owner;

	assert(name.len > 0 && name.len <= 255);
	return f->failing % 8 == 7 ? ERR_DENIED : auth_user_new(&nobody, name, out);
}

/* Pattern 16: there is a service to ask. */
static bool ask_policy(void *owner, const struct policy_question *question)
{
	struct fuzz *f = owner;

	assert(!f->policy_thinks && question->instance.len == ID_CHARS);
	assert(question->stage == POLICY_AT_RCPT ? question->recipient.len > 0 : f->has_draft);
	f->policy_thinks = f->pattern & 16;
	return f->policy_thinks;
}

static bool client_changed(void *owner, struct receive_limit_answer *why)
{
	struct fuzz *f = owner;

	assert(f->session.may_xclient);
	*why = (struct receive_limit_answer){ .code = 421, .enhanced = "4.7.0", .text = "Not you" };
	return !(f->bits & 64);
}

static const struct receive_session_ops ops = {
	.renew = renew,
	.now_time = now_time,
	.make_id = make_id,
	.open_draft = open_draft,
	.write_draft = write_draft,
	.draft_is_busy = draft_is_busy,
	.abort_draft = abort_draft,
	.commit = commit,
	.start_tls = start_tls,
	.close = close_session,
	.emit = emit,
	.has_room = has_room,
	.take = take,
	.give_back = give_back,
	.rest = take_rest,
	.auth_offered = offered_auth,
	.auth_begin = begin_auth,
	.auth_answer = answer_auth,
	.auth_cancel = cancel_auth,
	.auth_find = find_user,
	.client_changed = client_changed,
	.ask_policy = ask_policy,
};

/* ---------------------------------------------------------------- what it answers */

static void read_replies(struct fuzz *f)
{
	struct text rest = buf_text(&f->session.out);
	struct reply r;

	while (rest.len) {
		enum err err = reply_read(&f->replies, &rest, &r);

		assert(!err);
		assert(r.code >= 200 && r.code <= 599);
		/* RFC 2034: the first digit of both, and none with 3xx */
		assert(!r.enhanced[0] || r.enhanced[0] - '0' == r.code / 100);
		assert(r.code / 100 != 3 || !r.enhanced[0]);
		f->queued += r.code == 250 && text_starts(r.text, TEXT("queued as "));
	}
	buf_reset(&f->session.out);
	assert(f->queued == f->accepted);
}

static void decide(struct fuzz *f)
{
	static const enum err ends[] = {
		ERR_OK, ERR_FULL, ERR_OK, ERR_IO, ERR_OK, ERR_NOMEM, ERR_OK, ERR_OK
	};
	enum err err = ends[(f->pattern + f->decisions++) % ARRAY_LEN(ends)];

	f->committed = false;
	f->accepted += !err;
	receive_session_decided(&f->session, &(struct queue_decision){ .err = err, .stored = !err });
}

static void shake_hands(struct fuzz *f)
{
	struct tls_info info = { .version = TLS_1_3, .cipher = TEXT("TLS_AES_128_GCM_SHA256") };

	f->tls_asked = false;
	receive_session_tls_done(&f->session, f->bits & 8 ? ERR_TLS : ERR_OK, &info);
}

static void step_auth(struct fuzz *f)
{
	static const enum auth_step_kind kinds[] = { AUTH_CHALLENGE, AUTH_DONE,      AUTH_CHALLENGE,
		                                     AUTH_WRONG,     AUTH_DONE,      AUTH_MALFORMED,
		                                     AUTH_CANCELLED, AUTH_TEMPORARY, AUTH_CHALLENGE,
		                                     AUTH_LOCKED,    AUTH_TOO_LONG };
	static const struct auth nobody;
	struct auth_step step = { .kind = kinds[(f->failing + f->decisions++) % ARRAY_LEN(kinds)],
		                  .challenge = TEXT("VXNlcm5hbWU6"),
		                  .name = TEXT("ann\r\n\xff"),
		                  .why = TEXT("somehow") };

	f->auth_thinks = false;
	f->auth_runs = step.kind == AUTH_CHALLENGE;
	if (step.kind == AUTH_DONE && auth_user_new(&nobody, TEXT("ann"), &step.user))
		abort();
	receive_session_auth_step(&f->session, &step);
	assert(step.kind != AUTH_DONE || f->session.may_relay);
	auth_user_unref(&step.user);
}

static void answer_policy(struct fuzz *f)
{
	struct policy_answer a = { .verdict = (enum policy_verdict)((f->failing + f->decisions++) % 5),
		                   .reply = { f->failing & 64 ? 421 : 550, "", TEXT("not \x01 so") },
		                   .field = TEXT("X-Seen: yes"),
		                   .note = f->failing & 32 ? TEXT("a note") : TEXT_EMPTY };

	memcpy(a.reply.enhanced, f->failing & 64 ? "4.7.1" : "5.7.1", 6);
	f->policy_thinks = false;
	receive_session_policy_answered(&f->session, &a);
}

/* Whatever is waited for comes. */
static void go_on(struct fuzz *f)
{
	read_replies(f);
	if (f->committed)
		decide(f);
	if (f->tls_asked && !f->closed)
		shake_hands(f);
	if (f->auth_thinks && !f->closed)
		step_auth(f);
	if (f->policy_thinks && !f->closed)
		answer_policy(f);
	f->busy = false;
	if (f->rests && !f->closed)
		receive_session_rested(&f->session);
	f->rests = false;
	read_replies(f);
}

static void talk(struct fuzz *f, struct text said, size_t piece)
{
	size_t start = 0, end = 0;

	while (start < said.len && !f->closed) {
		size_t taken;

		end = MIN(end + piece, said.len);
		taken = receive_session_feed(&f->session, text_of(said.at + start, end - start));
		assert(taken <= end - start);
		assert(!f->committed || !receive_session_wants_input(&f->session));
		assert(!f->auth_thinks || !receive_session_wants_input(&f->session));
		assert(!f->policy_thinks || !receive_session_wants_input(&f->session));
		start += taken;
		if (f->tls_asked)
			start = end; /* came in plain text: forgotten */
		if (taken == 0 && end == said.len && receive_session_wants_input(&f->session))
			break;
		go_on(f);
	}
	if (!f->closed && (f->bits & 16))
		receive_session_timed_out(&f->session);
	else if (f->bits & 32)
		receive_session_end(&f->session);
	read_replies(f);
	assert(f->closed == (f->session.phase == PHASE_CLOSED));
	/* nothing is said after the end */
	assert(!f->closed || receive_session_feed(&f->session, TEXT("NOOP\r\n")) == 0);
	assert(f->session.out.len == 0);
}

/* ---------------------------------------------------------------- one run */

static const struct config *load(bool tls_demanded, bool repair)
{
	struct config_sources sources = { .file = TEXT("fuzz.yaml"), .machine_name = TEXT("relay.test") };
	const struct config *config = NULL;
	struct config_report report;

	sources.text =
		tls_demanded
			? TEXT("listen: [{address: 127.0.0.1:2525, tls: require, cert: /c, key: /k, max_errors: 20, hide: [size]}]\n"
	                       "access: {max_message_size: 64KiB, max_recipients: 100}\n"
	                       "routes: [{to: any, via: direct}]\n")
		: repair
			? TEXT("listen: [{address: 127.0.0.1:2525, max_errors: 20, bare_lf: repair, xclient: [127.0.0.1]}]\n"
	                       "access: {max_recipients: 100}\nroutes: [{to: any, via: direct}]\n")
			: TEXT("listen: [{address: 127.0.0.1:2525, max_errors: 20}]\n"
	                       "access: {max_message_size: 64KiB, max_recipients: 100, senders: [example.com]}\n"
	                       "rewrite: {recipients: {postmaster: admin@example.com}}\n"
	                       "routes: [{to: refused.test, via: reject}, {to: any, via: direct}]\n");
	config_report_init(&report);
	if (config_load(&sources, &config, &report))
		abort();
	config_report_fini(&report);
	return config;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz f = { 0 };
	const struct config *config;

	if (size < 4)
		return 0;
	f.bits = data[0];
	f.pattern = data[2];
	f.failing = data[3];
	config = load(f.bits & 2, f.bits & 128);
	reply_reader_init(&f.replies);
	receive_session_init(&f.session, &ops, &f, config, &config->listen.items[0], ip_from_v4(0x7f000001),
	                     4711, true);
	f.session.may_relay = f.bits & 1;
	f.session.may_xclient |= f.pattern & 32;
	talk(&f, text_of((const char *)data + 4, size - 4), (size_t)data[1] + 1);
	receive_session_fini(&f.session);
	assert(!f.has_draft);
	assert(!reply_reader_is_inside(&f.replies));
	reply_reader_fini(&f.replies);
	config_unref(&config);
	return 0;
}
