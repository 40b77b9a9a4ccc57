/* The part of a notice that programs read (RFC 3464). */
#include "dsn_parts.h"

#include <postrider/base/time.h>
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

static void add_typed(struct buf *b, struct text name, struct text type, struct text value)
{
	struct folder f = folder_of_field(b, name);

	folder_add(&f, TEXT(" "));
	folder_add(&f, type);
	folder_add(&f, TEXT(";"));
	folder_add_words(&f, value);
	buf_add_string(b, "\r\n");
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

static void add_recipient(struct buf *b, const struct dsn_recipient *r)
{
	buf_add_string(b, "\r\n");
	if (r->original_path.len)
		add_typed(b, TEXT("Original-Recipient"), TEXT("rfc822"), r->original_path);
	add_typed(b, TEXT("Final-Recipient"), TEXT("rfc822"), r->forward_path);
	buf_add_string(b, "Action: ");
	buf_add(b, dsn_action_text(r->action));
	buf_add_string(b, "\r\n");
	add_status_code(b, r);
	if (r->remote_mta.len)
		add_typed(b, TEXT("Remote-MTA"), TEXT("dns"), r->remote_mta);
	if (r->from_peer && r->reply.len)
		add_typed(b, TEXT("Diagnostic-Code"), TEXT("smtp"), r->reply);
	if (r->last_attempt_time)
		add_date(b, TEXT("Last-Attempt-Date"), r->last_attempt_time);
	if (r->action == DSN_DELAYED && r->will_retry_until_time)
		add_date(b, TEXT("Will-Retry-Until"), r->will_retry_until_time);
}

/* per-message-fields, then for each recipient a blank line and per-recipient-fields */
void dsn_add_status(struct buf *b, const struct dsn *d)
{
	add_typed(b, TEXT("Reporting-MTA"), TEXT("dns"), d->hostname);
	add_date(b, TEXT("Arrival-Date"), d->arrival_time);
	for (size_t i = 0; i < d->recipient_count; i++)
		add_recipient(b, &d->recipients[i]);
}
