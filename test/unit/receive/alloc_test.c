/* The inbound session with each allocation failing in turn: the client is told 451, 452 or 421, or the session ends; nothing
 * is lost in between, and nothing is accepted that was not handed over whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "../../../src/receive/session.h"

#include "support/alloc.h"

struct bench {
	struct receive_session session;
	struct buf said, content; /* with room from the start: these are not what fails */
	bool has_draft, committed, closed;
	unsigned recipients, commits;
};

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
	(void)owner;
	return (struct id){ { 1 } };
}

static enum err open_draft(void *owner, uint64_t declared_bytes)
{
	struct bench *b = owner;

	(void)declared_bytes;
	b->has_draft = true;
	buf_reset(&b->content);
	return ERR_OK;
}

static enum err write_draft(void *owner, struct text bytes)
{
	struct bench *b = owner;

	buf_add(&b->content, bytes);
	return ERR_OK;
}

static bool draft_is_busy(void *owner)
{
	(void)owner;
	return false;
}

static void abort_draft(void *owner)
{
	struct bench *b = owner;

	assert_true(b->has_draft);
	b->has_draft = false;
}

static void commit(void *owner, const struct queue_submission *s)
{
	struct bench *b = owner;

	assert_true(b->has_draft);
	b->has_draft = false;
	b->committed = true;
	b->commits++;
	b->recipients = (unsigned)s->envelope->recipient_count;
	assert_true(text_starts(s->prepended, TEXT("Received: ")));
	assert_true(text_starts(s->envelope->subject, TEXT("a")));
}

static void start_tls(void *owner)
{
	(void)owner;
}

static void close_session(void *owner)
{
	((struct bench *)owner)->closed = true;
}

static void emit(void *owner, struct event *event)
{
	(void)owner;
	(void)event;
}

static bool has_room(void *owner, uint64_t bytes)
{
	(void)owner;
	(void)bytes;
	return true;
}

static bool take(void *owner, enum receive_limit what, struct receive_limit_answer *why)
{
	(void)owner;
	(void)what;
	(void)why;
	return true;
}

static void give_back(void *owner, uint64_t recipients)
{
	(void)owner;
	(void)recipients;
}

static void take_rest(void *owner, int64_t ms)
{
	(void)owner;
	(void)ms;
}

static unsigned offered_auth(void *owner)
{
	(void)owner;
	return 0;
}

static bool ask_policy(void *owner, const struct policy_question *question)
{
	(void)owner;
	(void)question;
	return false;
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
	.ask_policy = ask_policy,
};

static const struct config *load(void)
{
	struct config_sources sources = {
		.file = TEXT("test.yaml"),
		.text = TEXT("listen: [{address: 127.0.0.1:2525}]\nrewrite: {recipients: {postmaster: a@example.com}}\n"
		             "routes: [{header: {Subject: none}, max_size: 1B, via: hold}, {to: any, via: direct}]\n"),
		.machine_name = TEXT("relay.test")
	};
	const struct config *config = NULL;
	struct config_report report;

	config_report_init(&report);
	assert_int_equal(config_load(&sources, &config, &report), ERR_OK);
	config_report_fini(&report);
	return config;
}

/* Says one line or a whole of mail data and returns the code of the last reply, 0: none, or the session has ended. */
static int say(struct bench *b, const char *words)
{
	struct text t = text_from(words), told;
	int code = 0;

	if (b->closed)
		return 0;
	(void)receive_session_feed(&b->session, t);
	if (b->committed) {
		b->committed = false;
		receive_session_decided(&b->session, &(struct queue_decision){ .err = ERR_OK, .stored = true });
	}
	told = buf_text(&b->session.out);
	while (told.len) {
		struct text line = text_cut(&told, '\n');

		assert_true(line.len >= 4 && text_ends(line, TEXT("\r")));
		code = (line.at[0] - '0') * 100 + (line.at[1] - '0') * 10 + line.at[2] - '0';
	}
	buf_fini(&b->session.out); /* as whoever writes it to a stream does */
	return code;
}

static const struct {
	const char *words;
	int code;
} steps[] = {
	{ "EHLO a.name.of.some.length.example.com\r\n", 250 },
	{ "MAIL FROM:<somebody@example.com> SIZE=100 BODY=8BITMIME\r\n", 250 },
	{ "RCPT TO:<first@example.net>\r\n", 250 },
	{ "RCPT TO:<postmaster>\r\n", 250 },
	{ "RCPT TO:<third@example.net>\r\n", 250 },
	{ "RCPT TO:<bad@@>\r\n", 501 },
	{ "DATA\r\n", 354 },
	{ "Subject: a\r\n subject\r\nMessage-ID: <1@example.com>\r\n\r\n..body\r\n.\r\n", 250 },
	{ "MAIL FROM:<x@example.com> FOO=BAR\r\n", 555 },
	{ "MAIL FROM:<j\xc3\xb6rg@b\xc3\xbc"
	  "cher.example> SMTPUTF8 RET=FULL ENVID=x MT-PRIORITY=3 BY=60;R AUTH=a\r\n",
	  555 },
	{ "MAIL FROM:<j\xc3\xb6rg@b\xc3\xbc"
	  "cher.example> SMTPUTF8 RET=FULL ENVID=x MT-PRIORITY=3 BY=60;R\r\n",
	  250 },
	{ "RCPT TO:<a@b\xc3\xbc"
	  "cher.example> NOTIFY=SUCCESS ORCPT=utf-8;j\xc3\xb6@x\r\n",
	  250 },
	{ "RSET\r\n", 250 },
	{ "HELP\r\n", 214 },
	{ "VRFY x\r\n", 252 },
	{ "QUIT\r\n", 221 },
};

static bool is_out_of_memory(int code)
{
	return code == 451 || code == 452 || code == 421;
}

static void each_allocation_that_fails_is_told(void **state)
{
	const struct config *config = load();
	struct buf content = BUF(65536);
	unsigned runs = 0;

	(void)state;
	assert_non_null(buf_reserve(&content, 65536));
	for (EACH_ALLOC_FAILING) {
		struct bench b = { .content = content };
		bool fell = false, sent_data = false;

		receive_session_init(&b.session, &ops, &b, config, &config->listen.items[0], ip_from_v4(0x7f000001),
		                     4711, false);
		b.session.may_relay = true;
		fell = b.closed;
		buf_fini(&b.session.out);
		for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
			int code;

			if (steps[i].code == 250 && strstr(steps[i].words, "Subject") && !sent_data)
				continue; /* there was no 354 */
			code = say(&b, steps[i].words);
			sent_data = sent_data || code == 354;
			if (code == steps[i].code)
				continue;
			/* the one that failed is told so; what depends on it is out of sequence */
			assert_true(code == 0 ? b.closed : is_out_of_memory(code) || (fell && code / 100 == 5));
			fell = true;
		}
		assert_true(fell || b.commits == 1);
		assert_true(b.commits == 0 || b.recipients == 3 || fell);
		receive_session_fini(&b.session);
		assert_false(b.has_draft);
		content = b.content;
		buf_reset(&content);
		runs++;
	}
	assert_true(runs > 10);
	buf_fini(&content);
	config_unref(&config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_allocation_that_fails_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
