/* The part of a notice that programs read (RFC 3464). */
#include "dsn_parts.h"

#include <postrider/base/auto.h>
#include <postrider/base/time.h>
#include <postrider/base/utf8.h>
#include <postrider/smtp/parameter.h>
#include <postrider/smtp/reply.h>

#include "fold.h"

struct text dsn_action_text(enum dsn_action action)
{
	switch (action) {
	case DSN_FAILED:
		return TEXT("failed");
	case DSN_DELAYED:
		return TEXT("delayed");
	case DSN_DELIVERED:
		return TEXT("delivered");
	case DSN_RELAYED:
		return TEXT("relayed");
	case DSN_EXPANDED:
		return TEXT("expanded");
	}
	return TEXT("failed");
}

/* "Name: type;value" */
static void add_typed(struct buf *b, struct text name, struct text type, struct text value, bool utf8)
{
	struct folder f = folder_of_field(b, name);

	f.utf8 = utf8;
	folder_add(&f, TEXT(" "));
	folder_add(&f, type);
	folder_add(&f, TEXT(";"));
	folder_add_words(&f, value);
	buf_add_string(b, "\r\n");
}

/* An address as it is: of type rfc822, or utf-8 where it is not ASCII (RFC 6533 section 3). */
static void add_address(struct buf *b, struct text name, struct text address, bool utf8)
{
	bool is_utf8 = utf8 && !utf8_is_ascii(address);

	add_typed(b, name, is_utf8 ? TEXT("utf-8") : TEXT("rfc822"), address, is_utf8);
}

/* What the sender gave by ORCPT, decoded (RFC 3461 section 6.3); of an address beyond ASCII, in a report that must not hold
 * it, as he gave it: "utf-8;\x{FC}@example.com". */
static void add_original(struct buf *b, const struct dsn_recipient *r, bool utf8)
{
	char octets[SMTP_ORCPT_MAX];
	struct buf address = { .at = octets, .room = sizeof(octets), .max = sizeof(octets) };
	struct text name = TEXT("Original-Recipient"), type = TEXT_EMPTY, rest = r->orcpt;

	if (r->orcpt.len && smtp_orcpt_decode(r->orcpt, &type, &address) == ERR_OK && !buf_err(&address)) {
		if (utf8 || utf8_is_ascii(buf_text(&address))) {
			add_typed(b, name, type, buf_text(&address), utf8);
		} else if (utf8_is_ascii(r->orcpt)) {
			(void)text_cut(&rest, ';');
			add_typed(b, name, type, rest, false);
		}
	} else if (r->original_path.len) {
		add_address(b, name, r->original_path, utf8);
	}
}

static void add_date(struct buf *b, struct text name, int64_t time)
{
	buf_add(b, name);
	buf_add_string(b, ": ");
	time_add_rfc5322(b, time);
	buf_add_string(b, "\r\n");
}

/* RFC 3464 section 2.3.4: the class must go with the action. What failed after days of 4xx keeps its 4. */
static void add_status_code(struct buf *b, const struct dsn_recipient *r)
{
	bool has_code = reply_is_enhanced(r->status);
	char class = has_code ? r->status.at[0] : '\0';

	if (r->action == DSN_DELAYED)
		class = '4';
	else if (r->action != DSN_FAILED)
		class = '2';
	else if (class != '4')
		class = '5';
	buf_add_string(b, "Status: ");
	buf_add_octet(b, class);
	buf_add(b, has_code ? text_skip(r->status, 1) : TEXT(".0.0"));
	buf_add_string(b, "\r\n");
}

static void add_recipient(struct buf *b, const struct dsn_recipient *r, bool utf8)
{
	buf_add_string(b, "\r\n");
	add_original(b, r, utf8);
	add_address(b, TEXT("Final-Recipient"), r->forward_path, utf8);
	buf_add_string(b, "Action: ");
	buf_add(b, dsn_action_text(r->action));
	buf_add_string(b, "\r\n");
	add_status_code(b, r);
	if (r->remote_mta.len)
		add_typed(b, TEXT("Remote-MTA"), TEXT("dns"), r->remote_mta, false);
	if (r->from_peer && r->reply.len)
		add_typed(b, TEXT("Diagnostic-Code"), TEXT("smtp"), r->reply, utf8);
	if (r->last_attempt_time)
		add_date(b, TEXT("Last-Attempt-Date"), r->last_attempt_time);
	if (r->action == DSN_DELAYED && r->will_retry_until_time)
		add_date(b, TEXT("Will-Retry-Until"), r->will_retry_until_time);
}

static void add_envelope_id(struct buf *b, struct text envid)
{
	char octets[SMTP_ENVID_MAX];
	struct buf id = { .at = octets, .room = sizeof(octets), .max = sizeof(octets) };
	struct folder f;

	if (envid.len == 0 || smtp_xtext_decode(envid, &id) || buf_err(&id))
		return;
	f = folder_of_field(b, TEXT("Original-Envelope-Id"));
	folder_add_words(&f, buf_text(&id));
	buf_add_string(b, "\r\n");
}

bool dsn_is_global(const struct dsn *d)
{
	if (!utf8_is_ascii(d->to))
		return true;
	for (size_t i = 0; d->utf8 && i < d->recipient_count; i++) {
		const struct dsn_recipient *r = &d->recipients[i];

		if (!utf8_is_ascii(r->forward_path) || !utf8_is_ascii(r->original_path) ||
		    !utf8_is_ascii(r->orcpt))
			return true;
	}
	return false;
}

/* per-message-fields, then for each recipient a blank line and per-recipient-fields */
void dsn_add_status(struct buf *b, const struct dsn *d)
{
	add_envelope_id(b, d->envid);
	add_typed(b, TEXT("Reporting-MTA"), TEXT("dns"), d->hostname, false);
	add_date(b, TEXT("Arrival-Date"), d->arrival_time);
	for (size_t i = 0; i < d->recipient_count; i++)
		add_recipient(b, &d->recipients[i], dsn_is_global(d));
}
