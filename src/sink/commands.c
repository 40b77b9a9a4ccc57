/* The commands of a session, but for the mail transaction (transaction.c, content.c). */
#include "session.h"

#include <postrider/smtp/command.h>

unsigned sink_offered(const struct session *s)
{
	return s->sink->o.keywords & ~(s->is_tls ? 0u : (unsigned)EHLO_REQUIRETLS);
}

/* ---------------------------------------------------------------- HELO and EHLO */

static void take_helo(struct session *s, struct text args)
{
	buf_reset(&s->helo);
	buf_add(&s->helo, args);
	sink_transaction_reset(s);
	s->phase = PHASE_READY;
}

static void on_helo(struct session *s, struct text args)
{
	take_helo(s, args);
	sink_session_say(s, (struct reply){ 250, "", s->sink->o.hostname });
}

static void on_ehlo(struct session *s, struct text args)
{
	struct sink *sink = s->sink;
	struct ehlo ehlo = { .keywords = sink_offered(s),
		             .domain = sink->o.hostname,
		             .size_limit_bytes = sink->o.max_bytes };

	if (sink->o.no_ehlo) {
		SAY(s, 502, "5.5.1", "Command not implemented");
		return;
	}
	take_helo(s, args);
	if (sink->o.tls && !s->is_tls)
		ehlo.keywords |= EHLO_STARTTLS;
	ehlo_add(&sink->out, &ehlo, TEXT_EMPTY);
}

/* ---------------------------------------------------------------- STARTTLS (RFC 3207) */

static void on_tls(void *owner, enum err err, const struct tls_info *info)
{
	struct session *s = owner;

	(void)info;
	if (err)
		return; /* the stream closes by itself */
	s->sink->counts.tls_sessions++;
	s->is_tls = true;
	s->phase = PHASE_HELLO;
}

static void on_starttls(struct session *s, struct text args)
{
	if (!s->sink->o.tls || s->is_tls || s->phase != PHASE_READY) {
		SAY(s, 503, "5.5.1", "Not here");
		return;
	}
	if (args.len) {
		SAY(s, 501, "5.5.4", "No parameters, please");
		return;
	}
	SAY(s, 220, "2.0.0", "Ready");
	sink_session_flush(s);
	/* RFC 3207 section 6: what came in plain text behind it is forgotten */
	io_stream_discard_kept(s->stream);
	s->phase = PHASE_HANDSHAKE;
	if (tls_start(s->stream, s->sink->o.tls, TEXT_EMPTY, on_tls, s))
		io_stream_close(s->stream);
}

/* ---------------------------------------------------------------- the others */

static void on_data(struct session *s, struct text args)
{
	(void)args;
	sink_content_data(s);
}

static void on_rset(struct session *s, struct text args)
{
	(void)args;
	sink_transaction_reset(s);
	if (s->phase != PHASE_HELLO)
		s->phase = PHASE_READY;
	SAY(s, 250, "2.0.0", "Ok");
}

static void on_noop(struct session *s, struct text args)
{
	(void)args;
	SAY(s, 250, "2.0.0", "Ok");
}

static void on_vrfy(struct session *s, struct text args)
{
	(void)args;
	SAY(s, 252, "2.1.5", "Send it and see");
}

static void on_help(struct session *s, struct text args)
{
	(void)args;
	SAY(s, 214, "2.0.0",
	    "Everything is accepted and nothing delivered. Recipients that begin with refuse, defer, full,\n"
	    "block, content, tempdot, grey, busy, drop or silent get what they ask for");
}

static void on_quit(struct session *s, struct text args)
{
	(void)args;
	SAY(s, 221, "2.0.0", "Bye");
	sink_session_close(s);
}

static void on_browser(struct session *s, struct text args)
{
	(void)args;
	SAY(s, 421, "4.7.0", "This is no web server");
	sink_session_close(s);
}

/* ---------------------------------------------------------------- lines */

static const struct command {
	enum smtp_verb verb;
	bool before_hello;
	void (*run)(struct session *s, struct text args);
} commands[] = {
	{ SMTP_MAIL, false, sink_transaction_mail },
	{ SMTP_RCPT, false, sink_transaction_rcpt },
	{ SMTP_DATA, false, on_data },
	{ SMTP_BDAT, false, sink_content_bdat },
	{ SMTP_RSET, true, on_rset },
	{ SMTP_QUIT, true, on_quit },
	{ SMTP_EHLO, true, on_ehlo },
	{ SMTP_HELO, true, on_helo },
	{ SMTP_STARTTLS, false, on_starttls },
	{ SMTP_NOOP, true, on_noop },
	{ SMTP_VRFY, true, on_vrfy },
	{ SMTP_HELP, true, on_help },
	{ SMTP_HTTP, true, on_browser },
};

static const struct command *find_command(enum smtp_verb verb)
{
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		if (commands[i].verb == verb)
			return &commands[i];
	return NULL;
}

static void run_command(struct session *s, const struct smtp_command *c)
{
	const struct command *command = find_command(c->verb);

	if (!command)
		SAY(s, 502, "5.5.1", "Command not implemented");
	else if (s->phase == PHASE_HELLO && !command->before_hello)
		SAY(s, 503, "5.5.1", "Say EHLO first");
	else
		command->run(s, c->args);
}

bool sink_command_take(struct session *s, struct text *input)
{
	struct line line;
	struct smtp_command command;

	if (line_read(&s->lines, input, &line))
		return false;
	if (line.fault != LINE_FINE || smtp_command_parse(line.text, &command))
		SAY(s, 500, "5.5.2", "Syntax error");
	else
		run_command(s, &command);
	return true;
}
