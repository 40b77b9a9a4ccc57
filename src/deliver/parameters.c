#include "parameters.h"

#include <postrider/base/utf8.h>
#include <postrider/smtp/ehlo.h>
#include <postrider/smtp/parameter.h>

#include "needs.h"

#define BY_SECONDS_MAX INT64_C(999999999) /* RFC 2852 section 4: nine digits */

/* What came in was checked; this stands between a mistake elsewhere and a second parameter or command. */
static bool is_value(struct text t)
{
	for (size_t i = 0; i < t.len; i++)
		if ((unsigned char)t.at[i] <= ' ' || t.at[i] == 127)
			return false;
	return t.len > 0 && t.len <= 1000;
}

static void add(struct outbox *o, struct text name, struct text value)
{
	if (!is_value(value))
		return;
	outbox_copy(o, name);
	outbox_copy(o, value);
}

static void add_number(struct outbox *o, int64_t value)
{
	if (value < 0)
		outbox_copy(o, TEXT("-"));
	outbox_copy_u64(o, value < 0 ? (uint64_t)-value : (uint64_t)value);
}

int64_t parameters_by_seconds(const struct envelope *e, int64_t now_time)
{
	int64_t left = e->by_time - now_time, seconds = left / 1000 - (left % 1000 < 0);

	return MAX(MIN(seconds, BY_SECONDS_MAX), -BY_SECONDS_MAX);
}

/* ---------------------------------------------------------------- MAIL */

static void add_body(struct outbox *o, unsigned keywords, enum envelope_body body)
{
	if (body == ENVELOPE_8BIT && (keywords & EHLO_8BITMIME))
		outbox_copy(o, TEXT(" BODY=8BITMIME"));
	else if (body == ENVELOPE_BINARY && (keywords & EHLO_BINARYMIME))
		outbox_copy(o, TEXT(" BODY=BINARYMIME"));
}

/* Where nothing is seen to need it and the content is 7-bit the client's word was too much. Eight bits may stand in the
 * header of a part, which nobody has looked at: then its word counts. */
static bool is_utf8(const struct envelope *e, bool utf8)
{
	return e->smtputf8 && (utf8 || e->body != ENVELOPE_7BIT || needs_utf8_for_all(e));
}

static void add_by(struct outbox *o, const struct envelope *e, int64_t now_time)
{
	outbox_copy(o, TEXT(" BY="));
	add_number(o, parameters_by_seconds(e, now_time));
	outbox_copy(o, e->by == ENVELOPE_BY_RETURN ? TEXT(";R") : TEXT(";N"));
	if (e->by_trace)
		outbox_copy(o, TEXT("T"));
}

void parameters_add_mail(struct outbox *o, unsigned keywords, const struct envelope *e, bool utf8,
                         int64_t now_time)
{
	add_body(o, keywords, e->body);
	if ((keywords & EHLO_SMTPUTF8) && is_utf8(e, utf8))
		outbox_copy(o, TEXT(" SMTPUTF8"));
	if ((keywords & EHLO_REQUIRETLS) && e->tls_wish == ENVELOPE_TLS_REQUIRED)
		outbox_copy(o, TEXT(" REQUIRETLS"));
	if ((keywords & EHLO_DSN) && e->ret)
		outbox_copy(o, e->ret == ENVELOPE_RET_FULL ? TEXT(" RET=FULL") : TEXT(" RET=HDRS"));
	if ((keywords & EHLO_DSN) && e->envid.len)
		add(o, TEXT(" ENVID="), e->envid);
	if ((keywords & EHLO_MT_PRIORITY) && e->has_priority) {
		outbox_copy(o, TEXT(" MT-PRIORITY="));
		add_number(o, e->priority);
	}
	if ((keywords & EHLO_DELIVERBY) && e->by)
		add_by(o, e, now_time);
}

/* ---------------------------------------------------------------- RCPT */

static const struct {
	unsigned bit;
	struct text name;
} notify_names[] = {
	{ ENVELOPE_NOTIFY_NEVER, LIT("NEVER") },
	{ ENVELOPE_NOTIFY_SUCCESS, LIT("SUCCESS") },
	{ ENVELOPE_NOTIFY_FAILURE, LIT("FAILURE") },
	{ ENVELOPE_NOTIFY_DELAY, LIT("DELAY") },
};

static void add_notify(struct outbox *o, unsigned notify)
{
	struct text before = TEXT(" NOTIFY=");

	for (size_t i = 0; i < ARRAY_LEN(notify_names); i++) {
		if (!(notify & notify_names[i].bit))
			continue;
		outbox_copy(o, before);
		outbox_copy(o, notify_names[i].name);
		before = TEXT(",");
	}
}

/* The sender's own word for a recipient that was rewritten here, so that reports from afar say what he wrote (RFC 3461
 * section 5.2.1 lets a relay add it). */
static void add_original(struct outbox *o, struct text original_path)
{
	AUTO(buf_fini) struct buf value = BUF(2000);

	if (!utf8_is_ascii(original_path))
		return;
	buf_add_string(&value, "rfc822;");
	smtp_xtext_add(&value, original_path);
	if (!buf_err(&value))
		add(o, TEXT(" ORCPT="), buf_text(&value));
}

/* "utf-8;" with octets above 127 is for sessions with SMTPUTF8; elsewhere it is written as \x{HEX} (RFC 6533 section 3). */
static void add_orcpt(struct outbox *o, unsigned keywords, struct text orcpt)
{
	AUTO(buf_fini) struct buf value = BUF(8000);

	if ((keywords & EHLO_SMTPUTF8) || utf8_is_ascii(orcpt)) {
		add(o, TEXT(" ORCPT="), orcpt);
		return;
	}
	for (struct text rest = orcpt; rest.len;) {
		uint32_t point;
		size_t len = utf8_length(rest, &point);

		if (len == 0)
			return; /* no UTF-8: better no ORCPT than a wrong one */
		if (len > 1)
			buf_add_format(&value, "\\x{%X}", (unsigned)point);
		else
			buf_add_octet(&value, rest.at[0]);
		rest = text_skip(rest, len);
	}
	if (!buf_err(&value))
		add(o, TEXT(" ORCPT="), buf_text(&value));
}

void parameters_add_rcpt(struct outbox *o, unsigned keywords, const struct envelope_recipient *r)
{
	if (!(keywords & EHLO_DSN))
		return;
	if (r->notify)
		add_notify(o, r->notify);
	if (r->orcpt.len)
		add_orcpt(o, keywords, r->orcpt);
	else if (r->original_path.len)
		add_original(o, r->original_path);
}
