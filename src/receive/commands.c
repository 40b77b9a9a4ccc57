/* The commands of a session, but for the mail transaction (transaction.c). */
#include "session.h"

#define HELO_MAX 255

static bool keep_helo(struct receive_session *s, struct text args)
{
	char *helo;

	if (args.len == 0) {
		receive_session_reply(s, 501, "5.5.4", "Say who you are: EHLO name");
		receive_session_count_error(s);
		return false;
	}
	helo = text_dup(text_head(args, HELO_MAX));
	if (!helo) {
		receive_session_reply(s, 451, "4.3.0", "Out of memory, try again");
		return false;
	}
	free(s->helo);
	s->helo = helo;
	s->just_greeted = true;
	return true;
}

/* A new greeting clears the transaction (RFC 5321 section 4.1.4). */
static bool greet(struct receive_session *s, struct text args)
{
	receive_session_end_transaction(s);
	s->chunk.failed = false;
	if (!keep_helo(s, args))
		return false;
	if (s->phase == PHASE_START)
		receive_session_enter(s, PHASE_READY);
	return true;
}

static void on_helo(struct receive_session *s, struct text args)
{
	if (!greet(s, args))
		return;
	s->extended = false;
	receive_session_reply_format(s, 250, "", "%.*s", TEXT_ARGS(s->config->hostname));
	receive_session_count_junk(s);
}

static void on_ehlo(struct receive_session *s, struct text args)
{
	if (!greet(s, args))
		return;
	s->extended = true;
	receive_extensions_say(s);
	s->lines.max_bytes = receive_auth_is_offered(s) ? SMTP_AUTH_LINE_MAX : SMTP_COMMAND_LINE_MAX;
	receive_session_count_junk(s);
}

static void on_starttls(struct receive_session *s, struct text args)
{
	struct receive_limit_answer why = { 0 };

	if (!s->tls_offered || s->tls_running) {
		receive_session_reply(s, s->tls_running ? 503 : 502, "5.5.1",
		                      s->tls_running ? "TLS is running already"
		                                     : "TLS is not to be had here");
		receive_session_count_error(s);
		return;
	}
	if (args.len) {
		receive_session_reply(s, 501, "5.5.4", "STARTTLS takes no parameter");
		receive_session_count_error(s);
		return;
	}
	if (!s->ops->take(s->owner, RECEIVE_LIMIT_TLS, &why)) {
		receive_session_refuse_limit(s, &why, TEXT_EMPTY, STAGE_STARTTLS);
		return;
	}
	receive_session_reply(s, 220, "2.0.0", "Go ahead");
	if (s->phase == PHASE_CLOSED)
		return;
	receive_session_enter(s, PHASE_TLS);
	s->ops->start_tls(s->owner);
}

static void on_rset(struct receive_session *s, struct text args)
{
	(void)args;
	receive_session_end_transaction(s);
	s->chunk.failed = false;
	receive_session_reply(s, 250, "2.0.0", "Forgotten");
	receive_session_count_junk(s);
}

static void on_noop(struct receive_session *s, struct text args)
{
	(void)args;
	receive_session_reply(s, 250, "2.0.0", "Ok");
	receive_session_count_junk(s);
}

static void on_quit(struct receive_session *s, struct text args)
{
	(void)args;
	receive_session_reply_format(s, 221, "2.0.0", "%.*s says goodbye", TEXT_ARGS(s->config->hostname));
	receive_session_close(s);
}

static void on_vrfy(struct receive_session *s, struct text args)
{
	if (args.len == 0) {
		receive_session_reply(s, 501, "5.5.4", "VRFY whom?");
		receive_session_count_error(s);
		return;
	}
	receive_session_reply(s, 252, "2.1.5", "Send some mail, it will be tried");
	receive_session_count_junk(s);
}

static void on_mail(struct receive_session *s, struct text args)
{
	receive_transaction_mail(s, args);
}

static void on_rcpt(struct receive_session *s, struct text args)
{
	receive_transaction_rcpt(s, args);
}

static void on_data(struct receive_session *s, struct text args)
{
	if (args.len) {
		receive_session_reply(s, 501, "5.5.4", "DATA takes no parameter");
		receive_session_count_error(s);
		return;
	}
	receive_transaction_data(s);
}

/* ---------------------------------------------------------------- HELP */

static const struct {
	enum smtp_verb verb;
	const char *syntax;
} helps[] = {
	{ SMTP_HELO, "HELO name" },
	{ SMTP_EHLO, "EHLO name; names the extensions" },
	{ SMTP_STARTTLS, "STARTTLS; EHLO again behind it" },
	{ SMTP_AUTH, "AUTH mechanism [initial response in base64]" },
	{ SMTP_MAIL, "MAIL FROM:<address> [parameters of the extensions that EHLO names]" },
	{ SMTP_RCPT, "RCPT TO:<address> [parameters of the extensions that EHLO names]" },
	{ SMTP_DATA, "DATA; then the message, and a dot alone in a line" },
	{ SMTP_BDAT, "BDAT octets [LAST]; then so many octets of the message" },
	{ SMTP_RSET, "RSET; forgets the transaction" },
	{ SMTP_NOOP, "NOOP; does nothing" },
	{ SMTP_VRFY, "VRFY address; is never told more than that mail will be tried" },
	{ SMTP_HELP, "HELP [command]" },
	{ SMTP_QUIT, "QUIT" },
};

/* Commands that an extension brings go with it when it is hidden. BDAT refuses by itself, behind its octets. */
static bool is_hidden(const struct receive_session *s, enum smtp_verb verb)
{
	if (s->listener->hide.count == 0 || verb == SMTP_BDAT)
		return false;
	return ehlo_keyword_of(smtp_verb_text(verb)) & receive_extensions_hidden(s);
}

static bool is_to_be_had(const struct receive_session *s, enum smtp_verb verb)
{
	if (verb == SMTP_STARTTLS && !s->tls_offered)
		return false;
	if (verb == SMTP_AUTH && s->listener->auth == CONFIG_AUTH_NONE)
		return false;
	if (verb == SMTP_BDAT && (receive_extensions_hidden(s) & EHLO_CHUNKING))
		return false;
	return !is_hidden(s, verb);
}

static bool help_on(struct receive_session *s, enum smtp_verb verb)
{
	for (size_t i = 0; i < ARRAY_LEN(helps); i++) {
		if (helps[i].verb != verb || !is_to_be_had(s, verb))
			continue;
		receive_session_reply(s, 214, "2.0.0", helps[i].syntax);
		return true;
	}
	return false;
}

static void on_help(struct receive_session *s, struct text args)
{
	struct smtp_command topic;
	struct buf words = BUF(512);

	receive_session_count_junk(s);
	if (args.len) {
		if (smtp_command_parse(args, &topic) || !help_on(s, topic.verb)) {
			receive_session_reply(s, 504, "5.5.4", "No help on that; HELP alone names the commands");
			receive_session_count_error(s);
		}
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(helps); i++) {
		if (!is_to_be_had(s, helps[i].verb))
			continue;
		buf_add(&words, smtp_verb_text(helps[i].verb));
		buf_add_octet(&words, ' ');
	}
	receive_session_reply_format(s, 214, "2.0.0", "%.*sas in RFC 5321", TEXT_ARGS(buf_text(&words)));
	buf_fini(&words);
}

/* ---------------------------------------------------------------- the table */

#define BEFORE_MAIL (BIT(PHASE_START) | BIT(PHASE_READY))
#define ANY_TIME (BEFORE_MAIL | BIT(PHASE_MAIL) | BIT(PHASE_RCPT) | BIT(PHASE_CHUNKS))

static const struct command {
	unsigned allowed_in;
	bool before_tls;       /* also where TLS is demanded and not running yet (RFC 3207 section 4) */
	const char *otherwise; /* what to say out of sequence */
	void (*run)(struct receive_session *s, struct text args);
} commands[SMTP_VERB_COUNT] = {
	[SMTP_HELO] = { ANY_TIME, true, NULL, on_helo },
	[SMTP_EHLO] = { ANY_TIME, true, NULL, on_ehlo },
	[SMTP_STARTTLS] = { BEFORE_MAIL, true, "Not inside a transaction", on_starttls },
	[SMTP_AUTH] = { BEFORE_MAIL, false, "Not inside a transaction", receive_auth_command },
	[SMTP_XCLIENT] = { BEFORE_MAIL, true, "Not inside a transaction", receive_xclient_command },
	[SMTP_XFORWARD] = { BEFORE_MAIL, false, "Not inside a transaction", receive_xforward_command },
	[SMTP_MAIL] = { BIT(PHASE_READY), false, NULL, on_mail },
	[SMTP_RCPT] = { BIT(PHASE_MAIL) | BIT(PHASE_RCPT), false, "MAIL first", on_rcpt },
	[SMTP_DATA] = { BIT(PHASE_RCPT), false, NULL, on_data },
	[SMTP_BDAT] = { ANY_TIME, true, NULL, receive_bdat_command }, /* reads its octets whatever is wrong */
	[SMTP_RSET] = { ANY_TIME, true, NULL, on_rset },
	[SMTP_NOOP] = { ANY_TIME, true, NULL, on_noop },
	[SMTP_QUIT] = { ANY_TIME, true, NULL, on_quit },
	[SMTP_VRFY] = { ANY_TIME, false, NULL, on_vrfy },
	[SMTP_HELP] = { ANY_TIME, true, NULL, on_help },
};

/* ---------------------------------------------------------------- running */

static void out_of_sequence(struct receive_session *s, enum smtp_verb verb, const struct command *c)
{
	if (verb == SMTP_MAIL && s->phase == PHASE_START)
		receive_session_reply(s, 503, "5.5.1", "EHLO first");
	else if (verb == SMTP_MAIL)
		receive_session_reply(s, 503, "5.5.1", "A transaction is open already: RSET, or go on");
	else if (s->phase == PHASE_CHUNKS)
		receive_session_reply(s, 503, "5.5.1", "The content has begun: BDAT, or RSET");
	else if (verb == SMTP_DATA)
		/* RFC 2920 section 3.1: what a group of refused RCPT ends in; 554 where RCPT failed, 503 without any */
		receive_session_reply(s, s->phase == PHASE_MAIL ? 554 : 503, "5.5.1",
		                      s->phase == PHASE_MAIL ? "No valid recipients" : "MAIL and RCPT first");
	else
		receive_session_reply(s, 503, "5.5.1", c->otherwise ? c->otherwise : "Not now");
	receive_session_count_error(s);
}

static void refuse_browser(struct receive_session *s)
{
	static const struct refusal refusal = {
		.code = 554, .enhanced = "5.5.0", .text = "This is SMTP, not HTTP", .reason = REASON_PROTOCOL
	};

	receive_session_refuse(s, &refusal);
	receive_session_close(s);
}

static void refuse_unknown(struct receive_session *s, const struct smtp_command *command)
{
	if (command->verb == SMTP_UNKNOWN)
		receive_session_reply(s, 500, "5.5.2", "Command not recognised");
	else
		receive_session_reply_format(s, 502, "5.5.1", "%.*s is not to be had here",
		                             TEXT_ARGS(command->name));
	receive_session_count_error(s);
}

void receive_command_faulty(struct receive_session *s, struct text line, const char *words)
{
	/* octets that nobody has counted follow: they must not be taken for commands */
	if (text_starts_nocase(line, TEXT("BDAT"))) {
		receive_bdat_command(s, TEXT_EMPTY);
		return;
	}
	receive_session_reply(s, 500, "5.5.2", words);
	receive_session_count_error(s);
}

void receive_command_run(struct receive_session *s, struct text line)
{
	struct smtp_command command;
	const struct command *c;

	if (smtp_command_parse(line, &command)) {
		receive_command_faulty(s, line, "That is no command");
		return;
	}
	if (command.verb == SMTP_HTTP) {
		refuse_browser(s);
		return;
	}
	c = &commands[command.verb];
	if (!c->run || is_hidden(s, command.verb)) {
		refuse_unknown(s, &command);
	} else if (!c->before_tls && s->listener->tls == CONFIG_TLS_REQUIRE && !s->tls_running) {
		receive_session_reply(s, 530, "5.7.0", "STARTTLS first");
		receive_session_count_error(s);
	} else if (!(c->allowed_in & BIT(s->phase))) {
		out_of_sequence(s, command.verb, c);
	} else {
		c->run(s, command.args);
	}
}
