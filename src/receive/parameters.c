/* The parameters of MAIL and RCPT: one table of what they are and which extension they need. */
#include "parameters.h"

#include <postrider/base/time.h>

_Static_assert((int)SMTP_NOTIFY_NEVER == (int)ENVELOPE_NOTIFY_NEVER &&
                       (int)SMTP_NOTIFY_SUCCESS == (int)ENVELOPE_NOTIFY_SUCCESS &&
                       (int)SMTP_NOTIFY_FAILURE == (int)ENVELOPE_NOTIFY_FAILURE &&
                       (int)SMTP_NOTIFY_DELAY == (int)ENVELOPE_NOTIFY_DELAY,
               "NOTIFY is kept as it is read");

/* While a line's parameters are gone through. */
struct reading {
	struct receive_session *s;
	int64_t now_time;
	bool smtputf8; /* of the transaction */
	struct mail_wishes *mail;
	struct rcpt_wishes *rcpt;
};

/* ---------------------------------------------------------------- MAIL
 * Each returns NULL, or what is wrong with the value. */

static const char *take_smtputf8(struct reading *r, struct text value)
{
	(void)value;
	r->mail->smtputf8 = true;
	return NULL;
}

static const char *take_requiretls(struct reading *r, struct text value)
{
	(void)value;
	r->mail->require_tls = true;
	return NULL;
}

static const char *take_ret(struct reading *r, struct text value)
{
	if (text_eq_nocase(value, TEXT("FULL")))
		r->mail->ret = ENVELOPE_RET_FULL;
	else if (text_eq_nocase(value, TEXT("HDRS")))
		r->mail->ret = ENVELOPE_RET_HDRS;
	else
		return "FULL or HDRS";
	return NULL;
}

static const char *take_envid(struct reading *r, struct text value)
{
	r->mail->envid = value;
	return smtp_envid_check(value);
}

/* Believed of those who may relay; for others it is as if they had said that nobody is known (RFC 4954 section 5). */
static const char *take_auth(struct reading *r, struct text value)
{
	r->mail->submitter = r->s->may_relay ? value : TEXT("<>");
	return smtp_submitter_check(value);
}

static const char *take_priority(struct reading *r, struct text value)
{
	int highest = (int)MIN(r->s->config->access.max_priority, 9);
	const char *why = smtp_priority_parse(value, &r->mail->priority);

	if (why)
		return why;
	r->mail->has_priority = true;
	r->mail->priority_lowered = r->mail->priority > highest;
	r->mail->priority = MIN(r->mail->priority, highest);
	return NULL;
}

static const char *release_at(struct reading *r, int64_t release_time)
{
	if (r->mail->release_time)
		return "either HOLDFOR or HOLDUNTIL";
	if (release_time > r->now_time + r->s->config->access.max_hold_ms)
		return "later than messages are held here";
	/* one that is past: at once, but said */
	r->mail->release_time = MAX(release_time, 1);
	return NULL;
}

static const char *take_hold_for(struct reading *r, struct text value)
{
	int64_t ms;
	const char *why = smtp_hold_for_parse(value, &ms);

	return why ? why : release_at(r, r->now_time + ms);
}

static const char *take_hold_until(struct reading *r, struct text value)
{
	int64_t time;
	const char *why = smtp_hold_until_parse(value, &time);

	return why ? why : release_at(r, time);
}

static const char *take_by(struct reading *r, struct text value)
{
	const char *why = smtp_by_parse(value, &r->mail->by);

	if (why)
		return why;
	r->mail->has_by = true;
	r->mail->by_time = r->now_time + r->mail->by.seconds * SECOND_MS;
	return NULL;
}

/* ---------------------------------------------------------------- RCPT */

static const char *take_notify(struct reading *r, struct text value)
{
	return smtp_notify_parse(value, &r->rcpt->notify);
}

static const char *take_orcpt(struct reading *r, struct text value)
{
	r->rcpt->orcpt = value;
	return smtp_orcpt_check(value, r->smtputf8);
}

/* ---------------------------------------------------------------- the table */

static const struct parameter {
	struct text keyword;
	enum ehlo_keyword needs;
	bool of_rcpt, has_value;
	const char *(*take)(struct reading *r, struct text value);
} parameters[] = {
	{ LIT("NOTIFY"), EHLO_DSN, true, true, take_notify },
	{ LIT("ORCPT"), EHLO_DSN, true, true, take_orcpt },
	{ LIT("RET"), EHLO_DSN, false, true, take_ret },
	{ LIT("ENVID"), EHLO_DSN, false, true, take_envid },
	{ LIT("SMTPUTF8"), EHLO_SMTPUTF8, false, false, take_smtputf8 },
	{ LIT("AUTH"), EHLO_AUTH, false, true, take_auth },
	{ LIT("REQUIRETLS"), EHLO_REQUIRETLS, false, false, take_requiretls },
	{ LIT("MT-PRIORITY"), EHLO_MT_PRIORITY, false, true, take_priority },
	{ LIT("HOLDFOR"), EHLO_FUTURERELEASE, false, true, take_hold_for },
	{ LIT("HOLDUNTIL"), EHLO_FUTURERELEASE, false, true, take_hold_until },
	{ LIT("BY"), EHLO_DELIVERBY, false, true, take_by },
};

static const struct parameter *find(struct text keyword, bool of_rcpt)
{
	for (size_t i = 0; i < ARRAY_LEN(parameters); i++)
		if (parameters[i].of_rcpt == of_rcpt && text_eq_nocase(keyword, parameters[i].keyword))
			return &parameters[i];
	return NULL;
}

static void refuse(struct receive_session *s, int code, const char *enhanced, struct text keyword,
                   const char *words)
{
	receive_session_reply_format(s, code, enhanced, "%.*s: %s", TEXT_ARGS(keyword), words);
	receive_session_count_error(s);
}

/* Known, but not to be had here and now: 555, unless the document says another code. */
static void refuse_not_offered(struct receive_session *s, const struct parameter *p)
{
	unsigned hidden = receive_extensions_hidden(s);

	if (p->needs == EHLO_REQUIRETLS && !s->tls_running && !(hidden & EHLO_REQUIRETLS))
		refuse(s, 530, "5.7.10", p->keyword, "only inside TLS");
	else if (!s->extended)
		refuse(s, 555, "5.5.4", p->keyword, "only after EHLO");
	else
		refuse(s, 555, "5.5.4", p->keyword, "not offered here");
}

static bool take_all(struct reading *r, const struct smtp_param *params, size_t count, bool of_rcpt)
{
	for (size_t i = 0; i < count; i++) {
		const struct parameter *p = find(params[i].keyword, of_rcpt);

		if (!p) {
			refuse(r->s, 555, "5.5.4", params[i].keyword, "no such parameter here");
			return false;
		}
		if (!receive_extension_is_offered(r->s, p->needs)) {
			refuse_not_offered(r->s, p);
			return false;
		}
		const char *why = p->has_value == params[i].has_value ? p->take(r, params[i].value)
		                  : p->has_value                      ? "a value is needed"
		                                                      : "takes no value";

		if (why) {
			refuse(r->s, 501, "5.5.4", params[i].keyword, why);
			return false;
		}
	}
	return true;
}

/* ---------------------------------------------------------------- SIZE and BODY */

/* They are read with the path; HELO does not forbid them (nobody means anything else by them). */
static bool basics_are_offered(struct receive_session *s, const struct smtp_mail *mail)
{
	unsigned hidden = receive_extensions_hidden(s);

	if (mail->has_size && (hidden & EHLO_SIZE))
		refuse(s, 555, "5.5.4", TEXT("SIZE"), "no such parameter here");
	else if (mail->body != SMTP_BODY_NONE && (hidden & EHLO_8BITMIME))
		refuse(s, 555, "5.5.4", TEXT("BODY"), "no such parameter here");
	else if (mail->body == SMTP_BODY_BINARYMIME && !receive_extension_is_offered(s, EHLO_BINARYMIME))
		refuse(s, 501, "5.5.4", TEXT("BODY"), "BINARYMIME is not offered here");
	else
		return true;
	return false;
}

bool receive_parameters_mail(struct receive_session *s, const struct smtp_mail *mail, struct mail_wishes *out)
{
	struct reading r = { .s = s, .mail = out };

	*out = (struct mail_wishes){ .envid = TEXT_EMPTY, .submitter = TEXT_EMPTY };
	if ((mail->has_size || mail->body != SMTP_BODY_NONE) && !basics_are_offered(s, mail))
		return false;
	if (mail->other_count) {
		r.now_time = s->ops->now_time(s->owner);
		if (!take_all(&r, mail->others, mail->other_count, false))
			return false;
	}
	if (mail->reverse_path.is_utf8 && !out->smtputf8) {
		receive_session_reply(s, 553, "5.6.7", "An address that is not ASCII needs SMTPUTF8");
		receive_session_count_error(s);
		return false;
	}
	if (out->has_by && out->release_time > r.now_time && out->by_time < out->release_time) {
		refuse(s, 501, "5.5.4", TEXT("BY"), "over before the message is released");
		return false;
	}
	return true;
}

bool receive_parameters_rcpt(struct receive_session *s, const struct smtp_rcpt *rcpt, struct rcpt_wishes *out)
{
	struct reading r = { .s = s, .rcpt = out, .smtputf8 = s->transaction->envelope->smtputf8 };

	*out = (struct rcpt_wishes){ .orcpt = TEXT_EMPTY };
	if (rcpt->other_count && !take_all(&r, rcpt->others, rcpt->other_count, true))
		return false;
	if (rcpt->forward_path.is_utf8 && !r.smtputf8) {
		receive_session_reply(s, 553, "5.6.7",
		                      "An address that is not ASCII needs SMTPUTF8 with MAIL");
		receive_session_count_error(s);
		return false;
	}
	return true;
}

enum err receive_parameters_keep(const struct mail_wishes *wishes, struct envelope *e)
{
	e->smtputf8 = wishes->smtputf8;
	e->tls_wish = wishes->require_tls ? ENVELOPE_TLS_REQUIRED : ENVELOPE_TLS_UNSAID;
	e->ret = wishes->ret;
	e->has_priority = wishes->has_priority;
	e->priority = wishes->priority;
	e->release_time = wishes->release_time;
	if (wishes->has_by) {
		e->by = wishes->by.returns ? ENVELOPE_BY_RETURN : ENVELOPE_BY_NOTIFY;
		e->by_time = wishes->by_time;
		e->by_trace = wishes->by.traces;
	}
	enum err err = envelope_set(e, &e->envid, wishes->envid);

	return err ? err : envelope_set(e, &e->submitter, wishes->submitter);
}
