/* A mail transaction's envelope: MAIL and RCPT, and who is refused, by what its address asks for or by chance. */
#include "session.h"

#include <postrider/smtp/command.h>

#include "fate.h"

#define ONE_MILLION 1000000

static const struct reply bad_sequence = { 503, "5.5.1", LIT("Bad sequence of commands") };
static const struct reply unknown_parameter = { 555, "5.5.4", LIT("Parameter not recognized") };
static const struct reply ascii_only = { 553, "5.6.7", LIT("Addresses are ASCII here") };
static const struct reply too_big = { 552, "5.3.4", LIT("Message too big") };
static const struct reply full = { 452, "4.5.3", LIT("Too many recipients") };
static const struct reply grey = { 451, "4.7.1", LIT("Greylisted, please try again later") };
static const struct reply failed = { 550, "5.1.1", LIT("No such user here (by chance)") };
static const struct reply deferred = { 451, "4.3.0", LIT("Try again later (by chance)") };

void sink_transaction_reset(struct session *s)
{
	buf_reset(&s->paths);
	buf_fini(&s->content);
	s->recipient_count = 0;
	s->fate = NULL;
}

void sink_transaction_refuse(struct session *s, const struct reply *why)
{
	if (reply_is_permanent(why))
		s->sink->counts.refused++;
	else
		s->sink->counts.deferred++;
	sink_session_say(s, *why);
}

/* ---------------------------------------------------------------- parameters and paths */

struct parameter {
	struct text keyword;
	unsigned ehlo;
};

/* What smtp_mail_parse and smtp_rcpt_parse leave to others, with the extension that brings it. */
static const struct parameter parameters[] = {
	{ LIT("RET"), EHLO_DSN },
	{ LIT("ENVID"), EHLO_DSN },
	{ LIT("NOTIFY"), EHLO_DSN },
	{ LIT("ORCPT"), EHLO_DSN },
	{ LIT("SMTPUTF8"), EHLO_SMTPUTF8 },
	{ LIT("REQUIRETLS"), EHLO_REQUIRETLS },
	{ LIT("MT-PRIORITY"), EHLO_MT_PRIORITY },
	{ LIT("BY"), EHLO_DELIVERBY },
};

static bool is_known(const struct session *s, struct text keyword)
{
	for (size_t i = 0; i < ARRAY_LEN(parameters); i++)
		if (text_eq_nocase(parameters[i].keyword, keyword))
			return sink_offered(s) & parameters[i].ehlo;
	return false;
}

static bool are_known(const struct session *s, const struct smtp_param *params, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (!is_known(s, params[i].keyword))
			return false;
	return true;
}

static bool is_body_offered(const struct session *s, enum smtp_body body)
{
	if (body == SMTP_BODY_NONE)
		return true;
	return sink_offered(s) & (body == SMTP_BODY_BINARYMIME ? EHLO_BINARYMIME : EHLO_8BITMIME);
}

/* Whoever is offered SMTPUTF8 is not held to saying it. */
static bool can_be_read(const struct session *s, const struct smtp_path *path)
{
	return !path->is_utf8 || (s->sink->o.keywords & EHLO_SMTPUTF8);
}

/* A path, and the parameters as they stand behind it in args. */
static void add_path(struct session *s, const struct smtp_path *path, struct text args)
{
	struct text behind = text_skip(args, text_find(args, path->mailbox) + path->mailbox.len);

	buf_add(&s->paths, path->mailbox);
	buf_add_octet(&s->paths, '\t');
	buf_add(&s->paths, text_trim(text_skip(behind, text_find_octet(behind, '>') + 1)));
}

static struct text reverse_path_of(const struct session *s)
{
	struct text paths = buf_text(&s->paths), line = text_cut(&paths, '\n');

	return text_cut(&line, '\t');
}

/* ---------------------------------------------------------------- MAIL */

/* NULL: nothing is against it. */
static const struct reply *why_not_mail(const struct session *s, const struct smtp_mail *mail)
{
	if (!are_known(s, mail->others, mail->other_count) || !is_body_offered(s, mail->body))
		return &unknown_parameter;
	if (!can_be_read(s, &mail->reverse_path))
		return &ascii_only;
	if (mail->has_size && mail->size_bytes > s->sink->o.max_bytes)
		return &too_big;
	return NULL;
}

void sink_transaction_mail(struct session *s, struct text args)
{
	struct smtp_mail mail;
	struct reply refusal;
	const struct reply *no = &refusal;

	if (s->phase != PHASE_READY)
		no = &bad_sequence;
	else if (!smtp_mail_parse(args, &mail, &refusal))
		no = why_not_mail(s, &mail);
	if (no) {
		sink_session_say(s, *no);
		return;
	}
	sink_transaction_reset(s);
	add_path(s, &mail.reverse_path, args);
	s->phase = PHASE_MAIL;
	SAY(s, 250, "2.1.0", "Ok");
}

/* ---------------------------------------------------------------- RCPT */

/* NULL: it is a command that makes sense here. */
static const struct reply *why_not_rcpt(const struct session *s, const struct smtp_rcpt *rcpt)
{
	if (!are_known(s, rcpt->others, rcpt->other_count))
		return &unknown_parameter;
	return can_be_read(s, &rcpt->forward_path) ? NULL : &ascii_only;
}

static bool happens(struct sink *sink, unsigned ppm)
{
	return ppm && random_below(&sink->random, ONE_MILLION) < ppm;
}

static bool is_too_early(const struct session *s, const struct smtp_path *path, const struct fate *fate)
{
	struct sink *sink = s->sink;

	if (!sink->o.greylist && !(fate && fate->kind == FATE_GREYLISTED))
		return false;
	return !greylist_passes(&sink->greylist, reverse_path_of(s), path->mailbox, io_now_at(sink->o.io),
	                        sink->o.greylist_ms);
}

/* NULL: taken. */
static const struct reply *judge(struct session *s, const struct smtp_path *path)
{
	struct sink *sink = s->sink;
	const struct fate *fate = fate_of(path->local_part);

	if (s->recipient_count >= sink->o.max_recipients)
		return &full;
	if (fate && (fate->kind == FATE_REFUSED || fate->kind == FATE_CLOSED))
		return &fate->reply;
	if (happens(sink, sink->o.fail_ppm))
		return &failed;
	if (happens(sink, sink->o.defer_ppm))
		return &deferred;
	if (is_too_early(s, path, fate)) {
		sink->counts.greylisted++;
		return &grey;
	}
	if (fate && !s->fate && fate->kind != FATE_GREYLISTED)
		s->fate = fate;
	return NULL;
}

static void add_recipient(struct session *s, const struct smtp_path *path, struct text args)
{
	buf_add_octet(&s->paths, '\n');
	add_path(s, path, args);
	if (buf_err(&s->paths)) {
		SAY(s, 452, "4.3.1", "Out of memory for recipients");
		return;
	}
	s->recipient_count++;
	s->phase = PHASE_RCPT;
	SAY(s, 250, "2.1.5", "Ok");
}

void sink_transaction_rcpt(struct session *s, struct text args)
{
	struct smtp_rcpt rcpt;
	struct reply refusal;
	const struct reply *no = &refusal;

	if (s->phase != PHASE_MAIL && s->phase != PHASE_RCPT)
		no = &bad_sequence;
	else if (!smtp_rcpt_parse(args, &rcpt, &refusal))
		no = why_not_rcpt(s, &rcpt);
	if (no) {
		sink_session_say(s, *no);
		return;
	}
	no = judge(s, &rcpt.forward_path);
	if (!no) {
		add_recipient(s, &rcpt.forward_path, args);
		return;
	}
	sink_transaction_refuse(s, no);
	if (no->code == 421)
		sink_session_close(s);
}
