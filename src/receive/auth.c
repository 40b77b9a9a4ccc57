/* AUTH (RFC 4954), and what a login allows. Mechanisms and passwords are postrider/auth.h's. */
#include "session.h"

#include <postrider/mail/address_list.h>

#define NAME_SHOWN \
	64 /* octets of a name that somebody tried; who mixes up the fields should not find all of it in a log */

/* ---------------------------------------------------------------- the command */

static void refuse(struct receive_session *s, int code, const char *enhanced, const char *words)
{
	receive_session_reply(s, code, enhanced, words);
	receive_session_count_error(s);
}

bool receive_auth_is_offered(const struct receive_session *s)
{
	return s->ops->auth_offered(s->owner) != 0;
}

void receive_auth_add_mechanisms(const struct receive_session *s, struct buf *b)
{
	auth_add_offered(b, s->ops->auth_offered(s->owner));
}

/* Why there is no mechanism to choose from. */
static void refuse_without_mechanisms(struct receive_session *s)
{
	if (s->listener->auth == CONFIG_AUTH_NONE)
		refuse(s, 502, "5.5.1", "AUTH is not to be had here");
	else if (s->tls_offered && !s->tls_running)
		refuse(s, 538, "5.7.11", "Not without encryption: STARTTLS first");
	else
		refuse(s, 504, "5.5.4", "There is no mechanism that anybody could use here");
}

static bool may_log_in(struct receive_session *s)
{
	if (!s->extended) {
		refuse(s, 503, "5.5.1", "EHLO first");
		return false;
	}
	if (s->more && s->more->user_name) {
		refuse(s, 503, "5.5.1", "You have logged in already");
		return false;
	}
	if (s->ops->auth_offered(s->owner) == 0) {
		refuse_without_mechanisms(s);
		return false;
	}
	return true;
}

static void end_dialogue(struct receive_session *s)
{
	s->auth_thinks = false;
	s->lines.max_bytes = SMTP_COMMAND_LINE_MAX;
	if (s->phase == PHASE_AUTH)
		receive_session_enter(s, PHASE_READY);
}

/* AUTH SP mechanism [SP initial-response] */
void receive_auth_command(struct receive_session *s, struct text args)
{
	struct text initial = args, mechanism = text_cut(&initial, ' ');
	bool has_initial = mechanism.len < args.len;

	s->ops->renew(s->owner);
	s->heard_secret = true;
	if (!may_log_in(s))
		return;
	initial = text_trim(initial);
	if (mechanism.len == 0 || text_find_octet(initial, ' ') < initial.len) {
		refuse(s, 501, "5.5.4", "AUTH mechanism [initial-response]");
		return;
	}
	receive_session_enter(s, PHASE_AUTH);
	s->auth_thinks = true;
	s->lines.max_bytes = SMTP_AUTH_LINE_MAX;
	if (s->ops->auth_begin(s->owner, mechanism, has_initial, initial)) {
		end_dialogue(s);
		receive_session_reply(s, 454, "4.7.0", "Out of memory, try again");
	}
}

void receive_auth_line(struct receive_session *s, struct text line, enum line_fault fault)
{
	s->heard_secret = true;
	if (fault == LINE_FINE) {
		s->auth_thinks = true;
		s->ops->auth_answer(s->owner, line);
		return;
	}
	s->ops->auth_cancel(s->owner);
	end_dialogue(s);
	if (fault == LINE_TOO_LONG)
		refuse(s, 500, "5.5.6", "That line is too long for any mechanism");
	else
		refuse(s, 501, "5.5.2", "That is no base64");
}

/* ---------------------------------------------------------------- the steps */

static void say_challenge(struct receive_session *s, struct text challenge)
{
	size_t before = s->out.len;

	/* as it is, on one line, however long */
	buf_add_string(&s->out, "334 ");
	buf_add(&s->out, challenge);
	buf_add_string(&s->out, "\r\n");
	receive_session_check_out(s, before);
	s->auth_thinks = false;
}

static void emit(struct receive_session *s, const struct auth_step *step, const struct auth_words *words)
{
	struct event event = EVENT(EVENT_AUTH);

	event.level = step->kind == AUTH_DONE ? LEVEL_INFO : LEVEL_WARN;
	event.code = words->code;
	event.enhanced = text_from(words->enhanced);
	event.stage = STAGE_AUTH;
	event.reason = step->kind == AUTH_DONE ? REASON_NONE : REASON_AUTH;
	event.client_user = text_head(step->name, NAME_SHOWN);
	event.mechanism = step->mechanism ? text_from(auth_mechanism_name(step->mechanism)) : TEXT_EMPTY;
	event.detail = step->kind == AUTH_DONE ? TEXT_EMPTY : step->why;
	s->ops->emit(s->owner, &event);
}

static bool take_user(struct receive_session *s, const struct auth_step *step)
{
	struct session_more *more = receive_session_more(s);
	char *name = more ? text_dup(auth_user_name(step->user)) : NULL;

	if (!name)
		return false;
	free(more->user_name);
	more->user_name = name;
	auth_user_unref(&more->user);
	more->user = auth_user_ref(step->user);
	more->mechanism = step->mechanism;
	receive_session_renew_rights(s);
	return true;
}

void receive_session_auth_step(struct receive_session *s, const struct auth_step *step)
{
	struct auth_words words;

	if (s->phase != PHASE_AUTH)
		return;
	if (step->kind == AUTH_CHALLENGE) {
		say_challenge(s, step->challenge);
		return;
	}
	end_dialogue(s);
	words = auth_words(step->kind);
	if (step->kind == AUTH_DONE && !take_user(s, step))
		words = auth_words(AUTH_TEMPORARY);
	emit(s, step, &words);
	receive_session_reply(s, words.code, words.enhanced, words.text);
	if (step->kind != AUTH_DONE)
		receive_session_count_error(s);
}

enum err receive_auth_vouch(struct receive_session *s, char **place, struct text name)
{
	struct auth_user *user = NULL;
	char *copy = text_dup(name);
	enum err err = copy ? s->ops->auth_find(s->owner, name, &user) : ERR_NOMEM;

	if (err) {
		free(copy);
		return err;
	}
	free(*place);
	*place = copy;
	auth_user_unref(&s->more->user);
	s->more->user = user;
	return ERR_OK;
}

void receive_auth_forget(struct receive_session *s)
{
	if (!s->more)
		return;
	auth_user_unref(&s->more->user);
	free(s->more->user_name);
	s->more->user_name = NULL;
	free(s->more->certificate_user);
	s->more->certificate_user = NULL;
	s->more->mechanism = 0;
}

/* ---------------------------------------------------------------- what a login allows */

/* Everybody has to log in, also from a network in `allow`: behind a forwarding proxy all the world comes from there. A client
 * certificate that was checked is a login. */
bool receive_auth_is_missing(const struct receive_session *s)
{
	return s->listener->auth == CONFIG_AUTH_REQUIRED && receive_session_user(s).len == 0;
}

bool receive_auth_may_send(struct receive_session *s, struct text reverse_path)
{
	if (!s->more || !s->more->user || auth_user_may_send(s->more->user, reverse_path))
		return true;
	receive_session_refuse(s, &(struct refusal){ .code = 550,
	                                             .enhanced = "5.7.1",
	                                             .subject = reverse_path,
	                                             .text = "is no sender that your login may use",
	                                             .rule = "access.users_file",
	                                             .stage = STAGE_MAIL,
	                                             .reason = REASON_POLICY });
	return false;
}

static enum err is_allowed(void *owner, struct text mailbox)
{
	const struct receive_session *s = owner;

	return auth_user_may_send(s->more->user, mailbox) ? ERR_OK : ERR_DENIED;
}

/* What cannot be read with certainty could be anything: only who may send as anybody may send it. */
static bool may_be_anybody(const struct receive_session *s)
{
	return auth_user_may_send(s->more->user, TEXT("?"));
}

static const char *refuse_field(struct receive_session *s, enum header_wanted field)
{
	const struct header_scan *header = &s->transaction->header;

	if (header->counts[field] == 0)
		return NULL;
	if (header->counts[field] > 1)
		return field == HEADER_FROM ? "The header has more than one From"
		                            : "The header has more than one Sender";
	if (header->values[field].len >= HEADER_VALUE_MAX)
		return field == HEADER_FROM ? "The From of the header is too long to be checked"
		                            : "The Sender of the header is too long to be checked";
	switch (address_list_each(header_scan_value(header, field), is_allowed, s)) {
	case ERR_OK:
		return NULL;
	case ERR_DENIED:
		return field == HEADER_FROM ? "The From of the header is no sender that your login may use"
		                            : "The Sender of the header is no sender that your login may use";
	default:
		return field == HEADER_FROM ? "The From of the header is no list of addresses"
		                            : "The Sender of the header is no address";
	}
}

/* From and Sender of a user who may send only as some: RFC 6409 section 6.1. */
bool receive_auth_header_fits(struct receive_session *s)
{
	const struct header_scan *header = &s->transaction->header;
	const char *words;

	if (!s->more || !s->more->user || may_be_anybody(s))
		return true;
	words = header->end == HEADER_BLANK_LINE ? refuse_field(s, HEADER_FROM)
	                                         : "The header cannot be read to its end";
	if (!words)
		words = refuse_field(s, HEADER_SENDER);
	if (!words)
		return true;
	receive_session_refuse(s, &(struct refusal){ .code = 550,
	                                             .enhanced = "5.7.1",
	                                             .text = words,
	                                             .rule = "access.users_file",
	                                             .stage = STAGE_DATA,
	                                             .reason = REASON_POLICY });
	return false;
}
