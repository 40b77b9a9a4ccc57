#include "support/receive_bench.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "auth/internal.h"

/* ---------------------------------------------------------------- what the session asks for */

static void renew(void *owner)
{
	(void)owner;
}

static int64_t now_time(void *owner)
{
	(void)owner;
	return BENCH_NOW;
}

static struct id make_id(void *owner)
{
	(void)owner;
	return (struct id){ { 1 } };
}

static enum err open_draft(void *owner, uint64_t declared_bytes)
{
	struct bench *b = owner;

	(void)declared_bytes;
	if (!b->open_err) {
		b->has_draft = true;
		buf_reset(&b->content);
	}
	return b->open_err;
}

static enum err write_draft(void *owner, struct text bytes)
{
	struct bench *b = owner;

	assert_true(b->has_draft);
	buf_add(&b->content, bytes);
	return b->write_err;
}

static bool draft_is_busy(void *owner)
{
	struct bench *b = owner;

	return b->busy;
}

static void abort_draft(void *owner)
{
	struct bench *b = owner;

	assert_true(b->has_draft);
	b->has_draft = false;
}

static void commit(void *owner, const struct queue_submission *submission)
{
	struct bench *b = owner;
	const struct envelope *e = submission->envelope;
	struct buf all = BUF(sizeof(b->recipients) - 1);

	assert_true(b->has_draft);
	b->has_draft = false;
	b->committed = true;
	envelope_free(&b->envelope);
	assert_int_equal(envelope_copy(e, &b->envelope), ERR_OK);
	buf_reset(&b->stored);
	buf_add(&b->stored, buf_text(&b->content));
	buf_reset(&b->trace);
	buf_add(&b->trace, submission->prepended);
	buf_add_format(&all, "<%.*s>", TEXT_ARGS(e->reverse_path));
	for (size_t i = 0; i < e->recipient_count; i++)
		buf_add_format(&all, " %.*s(%.*s)%s", TEXT_ARGS(e->recipients[i].forward_path),
		               TEXT_ARGS(submission->keys[i]), submission->held[i] ? " held" : "");
	snprintf(b->recipients, sizeof(b->recipients), "%.*s", TEXT_ARGS(buf_text(&all)));
	buf_fini(&all);
}

static void start_tls(void *owner)
{
	((struct bench *)owner)->tls_asked = true;
}

static void close_session(void *owner)
{
	((struct bench *)owner)->closed = true;
}

static void emit(void *owner, struct event *event)
{
	((struct bench *)owner)->rejected += event->kind == EVENT_REJECTED;
}

static bool has_room(void *owner, uint64_t bytes)
{
	struct bench *b = owner;

	return b->room == 0 || bytes <= b->room;
}

static bool take(void *owner, enum receive_limit what, struct receive_limit_answer *why)
{
	struct bench *b = owner;

	b->taken[what]++;
	*why = (struct receive_limit_answer){
		.code = 450, .enhanced = "4.7.1", .text = "Too much", .rule = "a limit", .wait_ms = 2500
	};
	return !b->limited;
}

static void give_back(void *owner, uint64_t recipients)
{
	((struct bench *)owner)->given_back += recipients;
}

static void rest(void *owner, int64_t ms)
{
	struct bench *b = owner;

	assert_true(ms > 0);
	b->rested = true;
}

static unsigned offered_auth(void *owner)
{
	return ((struct bench *)owner)->auth_mechanisms;
}

static enum err begin_auth(void *owner, struct text mechanism, bool has_initial, struct text initial)
{
	struct bench *b = owner;

	buf_reset(&b->auth_said);
	buf_add(&b->auth_said, mechanism);
	if (has_initial) {
		buf_add_octet(&b->auth_said, ' ');
		buf_add(&b->auth_said, initial);
	}
	b->auth_runs = !b->auth_err;
	return b->auth_err;
}

static void answer_auth(void *owner, struct text line)
{
	struct bench *b = owner;

	assert_true(b->auth_runs);
	buf_reset(&b->auth_said);
	buf_add(&b->auth_said, line);
}

static void cancel_auth(void *owner)
{
	((struct bench *)owner)->auth_runs = false;
}

static enum err find_user(void *owner, struct text name, struct auth_user **out)
{
	static const struct auth nobody;

	if (text_eq(name, TEXT("shut-out")))
		return ERR_DENIED;
	return ((struct bench *)owner)->knows_users ? auth_user_new(&nobody, name, out) : ERR_OK;
}

static bool ask_policy(void *owner, const struct policy_question *question)
{
	struct bench *b = owner;

	if (!b->has_policy)
		return false;
	b->asked_stage = question->stage;
	buf_reset(&b->asked);
	buf_add_format(&b->asked, "%.*s %.*s>%.*s %llu", TEXT_ARGS(question->protocol_name),
	               TEXT_ARGS(question->sender), TEXT_ARGS(question->recipient),
	               (unsigned long long)question->recipient_count);
	b->policy_runs = true;
	return true;
}

static bool client_changed(void *owner, struct receive_limit_answer *why)
{
	struct bench *b = owner;

	*why = (struct receive_limit_answer){
		.code = 421, .enhanced = "4.7.0", .text = "Too many", .rule = "a limit"
	};
	b->clients++;
	return !b->limited;
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
	.rest = rest,
	.auth_offered = offered_auth,
	.auth_begin = begin_auth,
	.auth_answer = answer_auth,
	.auth_cancel = cancel_auth,
	.auth_find = find_user,
	.client_changed = client_changed,
	.ask_policy = ask_policy,
};

static enum err no_files(void *owner, struct text path, struct buf *out, struct buf *detail, struct buf *hint)
{
	(void)owner;
	(void)path;
	(void)out;
	(void)detail;
	(void)hint;
	return ERR_NOT_FOUND;
}

const struct config *bench_config(const char *yaml)
{
	struct config_sources sources = { .file = TEXT("test.yaml"),
		                          .text = text_from(yaml),
		                          .read_file = no_files,
		                          .machine_name = TEXT("relay.test") };
	const struct config *config = NULL;
	struct config_report report;
	struct buf words = BUF(1u << 20);

	config_report_init(&report);
	if (config_load(&sources, &config, &report)) {
		config_report_print(&report, &words);
		fail_msg("%.*s", TEXT_ARGS(buf_text(&words)));
	}
	buf_fini(&words);
	config_report_fini(&report);
	return config;
}

void bench_open(struct bench *b, const char *yaml, bool trusted)
{
	*b = (struct bench){ .config = bench_config(yaml) };
	b->said = BUF(1u << 20);
	b->auth_said = BUF(16384);
	b->asked = BUF(4096);
	b->content = BUF(1u << 22);
	b->stored = BUF(1u << 22);
	b->trace = BUF(1u << 16);
	receive_session_init(&b->session, &ops, b, b->config, &b->config->listen.items[0],
	                     ip_from_v4(0x7f000001), 4711, true);
	b->session.may_relay = trusted;
}

void bench_collect(struct bench *b)
{
	buf_add(&b->said, buf_text(&b->session.out));
	buf_reset(&b->session.out);
}

void bench_decide(struct bench *b, enum err err)
{
	struct queue_decision decision = { .err = err, .stored = true };

	assert_true(b->committed);
	b->committed = false;
	receive_session_decided(&b->session, &decision);
}

/* Feeds in pieces of `piece` octets as a stream would: what is not taken comes again with more behind it. */
void bench_feed(struct bench *b, struct text all, size_t piece)
{
	size_t start = 0, end = 0;

	while (start < all.len && !b->closed) {
		size_t taken;

		end = MIN(end + piece, all.len);
		taken = receive_session_feed(&b->session, text_of(all.at + start, end - start));
		start += taken;
		if (b->committed)
			bench_decide(b, ERR_OK);
		else if (b->rested)
			receive_session_rested(&b->session);
		else if (end == all.len && taken == 0)
			break;
		b->rested = false;
	}
	bench_collect(b);
}

void bench_close(struct bench *b)
{
	receive_session_fini(&b->session);
	assert_false(b->has_draft);
	envelope_free(&b->envelope);
	buf_fini(&b->said);
	buf_fini(&b->content);
	buf_fini(&b->stored);
	buf_fini(&b->trace);
	buf_fini(&b->auth_said);
	buf_fini(&b->asked);
	config_unref(&b->config);
}

struct text bench_say(struct bench *b, const char *words)
{
	buf_reset(&b->said);
	bench_feed(b, text_from(words), SIZE_MAX / 2);
	return buf_text(&b->said);
}

void bench_protect(struct bench *b)
{
	struct tls_info info = { .version = TLS_1_3, .cipher = TEXT("TLS_AES_128_GCM_SHA256") };

	assert_true(b->tls_asked);
	b->tls_asked = false;
	receive_session_tls_done(&b->session, ERR_OK, &info);
	bench_collect(b);
}
