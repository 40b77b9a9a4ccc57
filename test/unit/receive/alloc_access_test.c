/* Logins, trusted peers, a service outside and what is remembered of clients, with each allocation failing in turn: somebody is
 * told, or the session ends; nobody gets rights by it, and nothing leaks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <postrider/base/time.h>

#include "auth/internal.h"
#include "receive/clients.h"
#include "receive/session.h"
#include "support/alloc.h"

struct bench {
	struct receive_session session;
	struct buf front; /* with room from the start */
	bool has_draft, committed, closed, auth_thinks, policy_thinks;
	unsigned challenges;
	uint64_t counted;
};

static void nothing(void *owner)
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
	(void)declared_bytes;
	((struct bench *)owner)->has_draft = true;
	return ERR_OK;
}

static enum err write_draft(void *owner, struct text bytes)
{
	(void)owner;
	(void)bytes;
	return ERR_OK;
}

static bool never(void *owner)
{
	(void)owner;
	return false;
}

static bool has_room(void *owner, uint64_t bytes)
{
	(void)owner;
	(void)bytes;
	return true;
}

static void abort_draft(void *owner)
{
	((struct bench *)owner)->has_draft = false;
}

static void commit(void *owner, const struct queue_submission *s)
{
	struct bench *b = owner;

	b->has_draft = false;
	b->committed = true;
	buf_reset(&b->front);
	buf_add(&b->front, s->prepended);
	assert_true(text_ends(s->prepended, TEXT("X-Seen: yes\r\n")));
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

static bool take(void *owner, enum receive_limit what, struct receive_limit_answer *why)
{
	(void)why;
	((struct bench *)owner)->counted += what == RECEIVE_LIMIT_RECIPIENT;
	return true;
}

static void give_back(void *owner, uint64_t recipients)
{
	((struct bench *)owner)->counted -= recipients;
}

static void rest(void *owner, int64_t ms)
{
	(void)ms;
	receive_session_rested(&((struct bench *)owner)->session);
}

static unsigned offered(void *owner)
{
	(void)owner;
	return AUTH_PLAIN | AUTH_LOGIN;
}

static enum err begin(void *owner, struct text mechanism, bool has_initial, struct text initial)
{
	(void)mechanism;
	(void)has_initial;
	(void)initial;
	((struct bench *)owner)->auth_thinks = true;
	return ERR_OK;
}

static void answer(void *owner, struct text line)
{
	(void)line;
	((struct bench *)owner)->auth_thinks = true;
}

static enum err find_user(void *owner, struct text name, struct auth_user **out)
{
	static const struct auth nobody;

	(void)owner;
	return auth_user_new(&nobody, name, out);
}

static bool ask_policy(void *owner, const struct policy_question *question)
{
	(void)question;
	((struct bench *)owner)->policy_thinks = true;
	return true;
}

static bool client_changed(void *owner, struct receive_limit_answer *why)
{
	(void)owner;
	(void)why;
	return true;
}

static const struct receive_session_ops ops = {
	.renew = nothing,
	.now_time = now_time,
	.make_id = make_id,
	.open_draft = open_draft,
	.write_draft = write_draft,
	.draft_is_busy = never,
	.abort_draft = abort_draft,
	.commit = commit,
	.start_tls = nothing,
	.close = close_session,
	.emit = emit,
	.has_room = has_room,
	.take = take,
	.give_back = give_back,
	.rest = rest,
	.auth_offered = offered,
	.auth_begin = begin,
	.auth_answer = answer,
	.auth_cancel = nothing,
	.auth_find = find_user,
	.ask_policy = ask_policy,
	.client_changed = client_changed,
};

/* ---------------------------------------------------------------- a dialogue */

static bool step_auth(struct bench *b)
{
	static const struct auth nobody;
	struct auth_step step = { .kind = b->challenges++ ? AUTH_DONE : AUTH_CHALLENGE,
		                  .challenge = TEXT("VXNlcm5hbWU6") };

	b->auth_thinks = false;
	if (step.kind == AUTH_DONE && auth_user_new(&nobody, TEXT("somebody with a name"), &step.user))
		step.kind = AUTH_TEMPORARY;
	receive_session_auth_step(&b->session, &step);
	auth_user_unref(&step.user);
	return true;
}

static void answer_policy(struct bench *b)
{
	b->policy_thinks = false;
	receive_session_policy_answered(&b->session, &(struct policy_answer){ .verdict = POLICY_PREPEND,
	                                                                      .field = TEXT("X-Seen: yes") });
}

/* The code of the last answer; 0: none, or the session has ended. */
static int say(struct bench *b, const char *words)
{
	struct text told;
	int code = 0;

	if (b->closed)
		return 0;
	(void)receive_session_feed(&b->session, text_from(words));
	if (b->auth_thinks)
		step_auth(b);
	while (b->policy_thinks)
		answer_policy(b);
	if (b->committed) {
		b->committed = false;
		receive_session_decided(&b->session,
		                        &(struct queue_decision){ .err = ERR_OK, .stored = true });
	}
	told = buf_text(&b->session.out);
	while (told.len) {
		struct text line = text_cut(&told, '\n');

		assert_true(line.len >= 4 && text_ends(line, TEXT("\r")));
		code = (line.at[0] - '0') * 100 + (line.at[1] - '0') * 10 + line.at[2] - '0';
	}
	buf_fini(&b->session.out);
	return code;
}

static const struct {
	const char *words;
	int code;
} steps[] = {
	{ "EHLO a.name.of.some.length.example.com\r\n", 250 },
	{ "XCLIENT NAME=client.example.com ADDR=203.0.113.1 HELO=some.other.name.example.com PORT=4711\r\n",
	  220 },
	{ "EHLO a.name.of.some.length.example.com\r\n", 250 },
	{ "XFORWARD NAME=client.example.com ADDR=203.0.113.2 HELO=some.other.name.example.com IDENT=4711\r\n",
	  250 },
	{ "AUTH LOGIN\r\n", 334 },
	{ "c29tZWJvZHk=\r\n", 235 },
	{ "MAIL FROM:<somebody@example.com>\r\n", 250 },
	{ "RCPT TO:<first@example.net>\r\n", 250 },
	{ "RCPT TO:<second@example.net>\r\n", 250 },
	{ "DATA\r\n", 354 },
	{ "From: Some Body <somebody@example.com>\r\nSender: x@example.com\r\nSubject: a\r\n\r\nbody\r\n.\r\n",
	  250 },
	{ "XCLIENT LOGIN=another.body.with.a.long.name\r\n", 220 },
	{ "QUIT\r\n", 221 },
};

static bool is_temporary(int code)
{
	return code / 100 == 4;
}

static void logins_and_trusted_peers(void **state)
{
	struct config_sources sources = {
		.file = TEXT("test.yaml"),
		.text = TEXT(
			"listen: [{address: 127.0.0.1:2525, auth: optional, auth_plaintext: true, allow: [192.0.2.1], xclient: [127.0.0.1],\n"
			"  max_errors: 50}]\n"
			"access: {users_file: /users, policy_service: {address: '127.0.0.1:10031'}}\nroutes: [{to: any, via: direct}]\n"),
		.machine_name = TEXT("relay.test")
	};
	const struct config *config = NULL;
	struct config_report report;
	unsigned runs = 0;

	(void)state;
	config_report_init(&report);
	assert_int_equal(config_load(&sources, &config, &report), ERR_OK);
	config_report_fini(&report);
	for (EACH_ALLOC_FAILING) {
		struct bench b = { 0 };
		bool fell = false, sent_data = false, logged_in = false;

		receive_session_init(&b.session, &ops, &b, config, &config->listen.items[0],
		                     ip_from_v4(0x7f000001), 4711, false);
		fell = b.closed;
		buf_fini(&b.session.out);
		for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
			int code;

			if (strstr(steps[i].words, "Subject") && !sent_data)
				continue;
			if (strstr(steps[i].words, "c29t") && b.session.phase != PHASE_AUTH)
				continue;
			code = say(&b, steps[i].words);
			sent_data = sent_data || code == 354;
			logged_in = logged_in || code == 235;
			/* nobody relays without having become somebody */
			assert_true(b.closed || !b.session.may_relay ||
			            receive_session_user(&b.session).len > 0);
			if (code == steps[i].code)
				continue;
			assert_true(code == 0 ? b.closed : is_temporary(code) || (fell && code / 100 == 5));
			fell = true;
		}
		assert_true(fell || logged_in);
		receive_session_fini(&b.session);
		assert_false(b.has_draft);
		buf_fini(&b.front);
		runs++;
	}
	assert_true(runs > 20);
	config_unref(&config);
}

/* ---------------------------------------------------------------- who is remembered */

static void clients_and_their_windows(void **state)
{
	static const struct config_rate rate = { 3, MINUTE_MS };
	unsigned runs = 0;

	(void)state;
	for (EACH_ALLOC_FAILING) {
		struct clients t;

		clients_init(&t, 3, true, 1);
		for (uint32_t i = 0; i < 20; i++) {
			struct client *c = clients_enter(&t, ip_from_v4(i));
			struct limit_window *w = c ? client_window(c, 1, rate.window_ms) : NULL;

			if (w)
				assert_int_equal(limit_take(w, &rate, 1000, 1), 0);
			clients_leave(c);
			assert_in_range(t.map.count, 0, 3);
		}
		clients_fini(&t);
		runs++;
	}
	assert_true(runs > 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(logins_and_trusted_peers),
		cmocka_unit_test(clients_and_their_windows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
