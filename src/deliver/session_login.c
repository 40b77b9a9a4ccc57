/* Logging in (RFC 4954): which mechanism, its dialogue, and what a refusal leads to.
 *
 *	begin -> ask (may we? a token?) -> AUTH ... 334 ... -> 235: up
 *	                                -> 504, 535 ...: the next mechanism, or a fresh token
 *	                                -> 4yz: the host cannot tell now
 *
 * A credential is refused twice in one attempt at most, so that trying does not lock an account. */
#include <stdio.h>

#include <postrider/smtp/ehlo.h>

#include "judge.h"
#include "session.h"

#define LIST_MAX_BYTES 512u
#define WORDS_MAX_BYTES 700u

void session_login_init(struct session *s)
{
	auth_client_init(&s->dialogue);
	buf_init(&s->auth_list, LIST_MAX_BYTES);
}

void session_login_fini(struct session *s)
{
	auth_client_fini(&s->dialogue);
	buf_fini(&s->auth_list);
}

void session_login_offered(struct session *s, struct text list)
{
	buf_reset(&s->auth_list);
	buf_add(&s->auth_list, text_head(list, LIST_MAX_BYTES));
	s->auth_offered = auth_client_offered(list);
}

bool session_login_waits_for_us(const struct session *s)
{
	return s->auth_asks || s->auth_derives;
}

static struct session_login *login_of(const struct session *s)
{
	return s->o.login;
}

/* ---------------------------------------------------------------- the end without a login */

/* Nothing of the credential was shown. */
static void fail_unshown(struct session *s)
{
	struct deliver_result r = { .kind = DELIVER_TRANSIENT,
		                    .reason = REASON_AUTH,
		                    .enhanced = TEXT("4.7.0") };

	session_fail(s, SESSION_NO_LOGIN, &r, true);
}

/* What the host refused last, or what was wrong with how it did. */
static void fail_refused(struct session *s, enum session_fault fault, bool goodbye)
{
	const struct session_login *l = login_of(s);
	struct deliver_result r = { .kind = DELIVER_TRANSIENT,
		                    .reason = REASON_AUTH,
		                    .code = l->code,
		                    .enhanced = text_from(l->enhanced),
		                    .from_peer = l->code != 0 };

	buf_reset(&s->line);
	buf_add_bytes(&s->line, l->words, l->words_len);
	session_fail(s, fault, &r, goodbye);
}

static void keep_words(struct session *s, int code, const char *enhanced)
{
	struct session_login *l = login_of(s);

	auth_client_hide(&s->dialogue, &s->line);
	l->words_len = MIN(s->line.len, MIN(sizeof(l->words), (size_t)WORDS_MAX_BYTES));
	memcpy(l->words, s->line.at ? s->line.at : "", l->words_len);
	l->code = code;
	snprintf(l->enhanced, sizeof(l->enhanced), "%s", enhanced);
}

/* "535 5.7.8 no", and what was said of the token before it. */
static void keep_reply(struct session *s, const struct reply *reply)
{
	struct verdict v = judge_reply(reply, STAGE_AUTH);
	struct text heard = auth_client_heard(&s->dialogue);

	session_say_reply(s, reply);
	if (heard.len) {
		buf_add_string(&s->line, " (");
		for (size_t i = 0; i < heard.len; i++)
			buf_add_octet(&s->line, heard.at[i] < ' ' || heard.at[i] > '~' ? '?' : heard.at[i]);
		buf_add_octet(&s->line, ')');
	}
	v.enhanced[0] = '4';
	keep_words(s, reply->code, v.enhanced);
}

/* ---------------------------------------------------------------- which mechanism */

static unsigned usable(const struct session *s, const struct session_facts *facts)
{
	return auth_client_usable(login_of(s)->login, login_of(s)->has_certificate, facts->binding.len > 0);
}

/* The two lists side by side: most of the time one look at them says what is wrong. */
static void fail_without_common(struct session *s, unsigned ours)
{
	struct text list = buf_text(&s->auth_list);

	session_say(s, "no common way to log in: the host offers ");
	if (list.len == 0)
		buf_add_string(&s->line, "no AUTH");
	for (size_t i = 0; i < list.len; i++)
		buf_add_octet(&s->line, list.at[i] < ' ' || list.at[i] > '~' ? '?' : list.at[i]);
	buf_add_string(&s->line, "; what is configured can do ");
	auth_client_add_names(&s->line, ours);
	fail_unshown(s);
}

static void ask(struct session *s)
{
	s->auth_asks = true;
	s->o.out->ask_login(s->o.owner, login_of(s)->used & AUTH_CLIENT_TOKENS);
}

/* The best that is left. False: none. */
static bool choose(struct session *s, const struct session_facts *facts)
{
	struct session_login *l = login_of(s);

	l->used = auth_client_best(usable(s, facts) & s->auth_offered & ~l->passed);
	return l->used != AUTH_CLIENT_NONE;
}

/* EXTERNAL shows nothing that was not shown in the handshake. */
static bool may_be_shown(const struct session *s, const struct session_facts *facts)
{
	return facts->may_be_shown || (login_of(s)->used == AUTH_CLIENT_EXTERNAL && s->secure);
}

static void try_next(struct session *s)
{
	struct session_facts facts = { .may_be_shown = false };

	s->o.out->facts(s->o.owner, &facts);
	if (!choose(s, &facts)) {
		fail_refused(s, login_of(s)->refused ? SESSION_LOGIN : SESSION_REPLY, true);
	} else if (!may_be_shown(s, &facts)) {
		session_say(s, "the login is not shown to a host that has not proved its name");
		fail_unshown(s);
	} else {
		ask(s);
	}
}

void session_login_begin(struct session *s)
{
	struct session_login *l = login_of(s);
	struct session_facts facts = { .may_be_shown = false };
	unsigned common;

	s->o.out->facts(s->o.owner, &facts);
	session_enter_phase(s, SESSION_AUTH);
	common = usable(s, &facts) & s->auth_offered;
	if (!common) {
		fail_without_common(s, usable(s, &facts));
		return;
	}
	if (!(common & ~l->passed) && !l->refused)
		l->passed = 0; /* what was known of the host does not hold any more */
	try_next(s);
}

/* ---------------------------------------------------------------- one dialogue */

static void send_line(struct session *s)
{
	outbox_copy(s->o.outbox, auth_client_line(&s->dialogue));
	outbox_copy(s->o.outbox, TEXT("\r\n"));
}

static void go_on(struct session *s, enum auth_client_next next)
{
	switch (next) {
	case AUTH_CLIENT_SEND:
		send_line(s);
		break;
	case AUTH_CLIENT_DERIVE:
		s->auth_derives = true;
		s->o.out->derive(s->o.owner, &s->dialogue.derivation);
		break;
	case AUTH_CLIENT_FAULT:
		s->auth_fault = auth_client_problem(&s->dialogue);
		s->auth_cancels = true;
		send_line(s);
		break;
	case AUTH_CLIENT_UNTRUSTED:
	case AUTH_CLIENT_FAILED:
		session_say(s, auth_client_problem(&s->dialogue));
		session_fail_by_us(s, SESSION_NO_LOGIN, REASON_AUTH, "4.7.0");
		break;
	}
}

static void begin_dialogue(struct session *s, const struct session_permit *permit)
{
	const struct session_login *l = login_of(s);
	struct session_facts facts = { .may_be_shown = false };

	s->o.out->facts(s->o.owner, &facts);
	s->auth_cancels = false;
	s->auth_fault = NULL;
	go_on(s, auth_client_begin(&s->dialogue,
	                           &(struct auth_client_start){
					   .mechanism = l->used,
					   .login = l->login,
					   .token = permit->token,
					   .binding = facts.binding,
					   .nonce = facts.nonce,
					   .plus_offered = s->auth_offered & AUTH_CLIENT_SCRAM_SHA_256_PLUS,
					   .host = l->host,
					   .port = l->port,
				   }));
}

/* It failed lately: the words of then, and nothing is tried. Or there is no token. */
static void fail_unpermitted(struct session *s, const struct session_permit *permit)
{
	struct deliver_result r = { .kind = DELIVER_TRANSIENT,
		                    .reason = permit->err == ERR_NOMEM ? REASON_OTHER : REASON_AUTH,
		                    .code = permit->code,
		                    .enhanced = permit->err == ERR_NOMEM ? TEXT("4.3.0") : TEXT("4.7.0") };

	buf_reset(&s->line);
	buf_add(&s->line, text_head(permit->problem, WORDS_MAX_BYTES));
	if (!s->line.len)
		buf_add_string(&s->line, err_text(permit->err));
	session_fail(s, SESSION_NO_LOGIN, &r, true);
}

void session_permitted(struct session *s, const struct session_permit *permit)
{
	if (s->phase != SESSION_AUTH || !s->auth_asks)
		return;
	session_enter(s);
	s->auth_asks = false;
	login_of(s)->serial = permit->serial;
	if (permit->err)
		fail_unpermitted(s, permit);
	else
		begin_dialogue(s, permit);
	session_leave(s);
}

void session_derived(struct session *s, const struct auth_client_derivation *done)
{
	if (s->phase != SESSION_AUTH || !s->auth_derives)
		return;
	session_enter(s);
	s->auth_derives = false;
	auth_client_take(&s->dialogue, done);
	go_on(s, auth_client_derived(&s->dialogue));
	session_leave(s);
}

/* ---------------------------------------------------------------- replies */

/* Whether the reply says that the credential is wrong, and not that the mechanism is not to be had. */
static bool is_about_credential(const struct session *s, const struct reply *reply)
{
	return !s->auth_cancels && (reply->code == 535 || reply->code == 534 || reply->code / 10 != 50);
}

/* What is of no use any more at this host. A verifier that SCRAM-SHA-256-PLUS does not find is not there for SCRAM-SHA-256
 * either: a second try with it would be one of two. */
static void pass(struct session_login *l)
{
	l->passed |= l->used;
	if (l->used == AUTH_CLIENT_SCRAM_SHA_256_PLUS)
		l->passed |= AUTH_CLIENT_SCRAM_SHA_256;
}

static void on_refused(struct session *s, const struct reply *reply)
{
	struct session_login *l = login_of(s);
	bool is_token = l->used & AUTH_CLIENT_TOKENS;

	s->auth_was_refused = true;
	if (is_about_credential(s, reply)) {
		l->refused++;
		keep_reply(s, reply);
		l->stale_serial = l->serial;
	} else if (!l->refused && s->auth_fault) {
		session_say(s, s->auth_fault);
		keep_words(s, 0, "4.7.0");
	} else if (!l->refused) {
		keep_reply(s, reply);
	}
	if (l->refused >= SESSION_REFUSALS_MAX) {
		fail_refused(s, SESSION_LOGIN, true);
	} else if (is_token && l->refused) {
		ask(s); /* the same again with another token */
	} else {
		pass(l);
		try_next(s);
	}
}

/* RFC 4954 section 6: 454; 432 and others. The host cannot tell, and says nothing of the credential. */
static void on_not_now(struct session *s, const struct reply *reply)
{
	struct verdict v = judge_reply(reply, STAGE_AUTH);
	struct deliver_result r = { .kind = DELIVER_TRANSIENT,
		                    .reason = v.reason == REASON_RATE_LIMITED || v.reason == REASON_BLOCKED ||
		                                              v.reason == REASON_TLS_POLICY
		                                      ? v.reason
		                                      : REASON_AUTH,
		                    .code = reply->code,
		                    .enhanced = text_from(v.enhanced),
		                    .from_peer = true };

	session_say_reply(s, reply);
	auth_client_hide(&s->dialogue, &s->line);
	session_fail(s, SESSION_REPLY, &r, reply->code != 421);
}

static void on_success(struct session *s)
{
	if (s->auth_cancels || !auth_client_succeeded(&s->dialogue)) {
		session_say(s, s->auth_cancels
		                       ? "the host says that we are logged in where the login was cancelled"
		                       : auth_client_problem(&s->dialogue));
		session_fail_by_us(s, SESSION_NO_LOGIN, REASON_AUTH, "4.7.0");
		return;
	}
	auth_client_fini(&s->dialogue);
	session_come_up(s);
}

void session_login_reply(struct session *s, const struct reply *reply)
{
	if (session_login_waits_for_us(s)) {
		reply->code == 421 ? session_fail_by_reply(s, reply) : session_fail_out_of_step(s);
	} else if (reply->code == 334 && !s->auth_cancels) {
		go_on(s, auth_client_challenge(&s->dialogue, reply->text));
	} else if (reply_is_intermediate(reply)) {
		session_fail_out_of_step(s);
	} else if (reply_is_positive(reply)) {
		reply->code == 235 ? on_success(s) : session_fail_out_of_step(s);
	} else if (reply_is_transient(reply)) {
		if (reply->code != 421 || !session_login_cut(s))
			on_not_now(s, reply);
	} else {
		on_refused(s, reply);
	}
}

/* A host may close behind a refusal: what is left to be tried is tried on another connection. */
bool session_login_cut(struct session *s)
{
	if (!s->auth_was_refused)
		return false;
	fail_refused(s, SESSION_LOGIN_AGAIN, false);
	return true;
}
