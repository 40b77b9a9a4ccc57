#include <postrider/mail/dsn.h>

#include <assert.h>

#include <postrider/base/auto.h>
#include <postrider/base/time.h>
#include <postrider/base/utf8.h>
#include <postrider/mail/header.h>
#include <postrider/smtp/data.h>

#include "dsn_parts.h"
#include "fold.h"

#define BOUNDARY_MAX 64
#define MESSAGE_ID_MAX 250

/* ---------------------------------------------------------------- what is returned */

/* Whole fields from the front of the original, max octets at most. When the caller had only the front of the
 * message, a field that ends with it may be a part of one. */
static struct text header_fields(const struct dsn *d)
{
	struct text rest = d->original;
	struct header_field field;
	size_t len = 0;
	bool is_whole = d->original.len >= d->original_bytes;

	while (header_next(&rest, &field)) {
		size_t end = (size_t)(rest.at - d->original.at);

		if (end > d->returned_max_bytes || (rest.len == 0 && !is_whole))
			break;
		len = end;
	}
	return text_head(d->original, len);
}

static struct text choose_returned(const struct dsn *d, enum dsn_return *returned)
{
	bool is_whole = d->original.len > 0 && d->original.len == d->original_bytes;

	*returned = d->returned;
	if (d->returned == DSN_RETURN_FULL && is_whole && d->original.len <= d->returned_max_bytes)
		return d->original;
	struct text fields = d->returned == DSN_RETURN_NOTHING ? TEXT_EMPTY : header_fields(d);

	*returned = fields.len ? DSN_RETURN_HEADERS : DSN_RETURN_NOTHING;
	return fields;
}

/* Stored messages are clean; what is not becomes so here, because a notice is a message like any other. */
static void add_clean(struct buf *b, struct text t)
{
	if (data_is_clean(t)) {
		buf_add(b, t);
		return;
	}
	for (size_t i = 0; i < t.len; i++) {
		bool cr = t.at[i] == '\r';

		if (cr && i + 1 < t.len && t.at[i + 1] == '\n')
			i++;
		if (cr || t.at[i] == '\n')
			buf_add_string(b, "\r\n");
		else
			buf_add_octet(b, t.at[i]);
	}
}

/* ---------------------------------------------------------------- the boundary */

struct boundary {
	char at[BOUNDARY_MAX];
};

/* "=_" cannot come out of quoted-printable or base64, and the rest cannot be foreseen; should it be in the
 * message all the same, another is taken. */
static struct boundary choose_boundary(const struct dsn *d, struct text returned)
{
	struct boundary boundary;
	struct id_text id = id_to_text(d->id);
	uint64_t number = d->random;

	do {
		struct buf b = { .at = boundary.at, .room = BOUNDARY_MAX, .max = BOUNDARY_MAX };

		buf_add_format(&b, "=_%s.%016llx", id.at, (unsigned long long)number++);
		buf_add_octet(&b, '\0');
		assert(!buf_err(&b));
	} while (text_find(returned, text_from(boundary.at)) < returned.len);
	return boundary;
}

static void add_delimiter(struct buf *b, const struct boundary *boundary, const char *end)
{
	buf_add_string(b, "\r\n--");
	buf_add_string(b, boundary->at);
	buf_add_string(b, end);
	buf_add_string(b, "\r\n");
}

/* ---------------------------------------------------------------- the header of the notice */

static void add_address(struct buf *b, struct text name, const char *display, struct text mailbox,
                        struct text domain)
{
	struct folder f = folder_of_field(b, name);

	f.utf8 = true; /* a mailbox beyond ASCII came by SMTPUTF8, and so goes the notice */
	folder_add_words(&f, text_from(display));
	folder_space(&f, mailbox.len + 2);
	folder_add(&f, TEXT("<"));
	folder_add_printable(&f, mailbox);
	if (text_find_octet(mailbox, '@') == mailbox.len) {
		folder_add(&f, TEXT("@"));
		folder_add_printable(&f, domain);
	}
	folder_add(&f, TEXT(">"));
	buf_add_string(b, "\r\n");
}

/* Only what is surely one msg-id is repeated. */
static bool is_message_id(struct text t)
{
	if (t.len < 3 || t.len > MESSAGE_ID_MAX || t.at[0] != '<' || t.at[t.len - 1] != '>')
		return false;
	for (size_t i = 1; i < t.len - 1; i++)
		if (t.at[i] <= ' ' || t.at[i] > '~' || t.at[i] == '<' || t.at[i] == '>')
			return false;
	return true;
}

static void add_references(struct buf *b, struct text message_id)
{
	if (!is_message_id(message_id))
		return;
	buf_add_string(b, "In-Reply-To: ");
	buf_add(b, message_id);
	buf_add_string(b, "\r\nReferences: ");
	buf_add(b, message_id);
	buf_add_string(b, "\r\n");
}

static void add_header(struct buf *b, const struct dsn *d, const struct boundary *boundary, bool global,
                       bool is_8bit)
{
	struct id_text id = id_to_text(d->id);

	add_address(b, TEXT("From"), "Mail Delivery System", d->from, d->hostname);
	add_address(b, TEXT("To"), "", d->to, d->hostname);
	dsn_add_subject(b, d);
	buf_add_string(b, "Date: ");
	time_add_rfc5322(b, d->now_time);
	buf_add_string(b, "\r\nMessage-ID: <");
	buf_add_string(b, id.at);
	buf_add_octet(b, '@');
	buf_add(b, d->hostname);
	buf_add_string(b, ">\r\n");
	add_references(b, d->message_id);
	buf_add_string(b, "Auto-Submitted: auto-replied\r\n"
	                  "MIME-Version: 1.0\r\n"
	                  "Content-Type: multipart/report; report-type=");
	buf_add_string(b, global ? "global-delivery-status" : "delivery-status");
	buf_add_string(b, ";\r\n\tboundary=\"");
	buf_add_string(b, boundary->at);
	buf_add_string(b, is_8bit ? "\"\r\nContent-Transfer-Encoding: 8bit\r\n" : "\"\r\n");
}

static void add_part_header(struct buf *b, const char *description, const char *type, bool is_8bit)
{
	buf_add_string(b, "Content-Description: ");
	buf_add_string(b, description);
	buf_add_string(b, "\r\nContent-Type: ");
	buf_add_string(b, type);
	buf_add_string(b, is_8bit ? "\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" : "\r\n\r\n");
}

/* A header section beyond ASCII has types of its own (RFC 6533 section 4). */
static const char *returned_type(const struct dsn *d, struct text returned, bool full)
{
	bool global = d->utf8 && !utf8_is_ascii(text_head(returned, header_section_bytes(returned)));

	if (full)
		return global ? "message/global" : "message/rfc822";
	return global ? "message/global-headers" : "text/rfc822-headers";
}

void dsn_add(struct buf *b, const struct dsn *d, struct dsn_result *result)
{
	struct text returned = choose_returned(d, &result->returned);
	struct boundary boundary = choose_boundary(d, returned);
	bool full = result->returned == DSN_RETURN_FULL, global = dsn_is_global(d);

	assert(d->recipient_count > 0 && d->to.len > 0);
	result->is_8bit = global || !utf8_is_ascii(returned);
	add_header(b, d, &boundary, global, result->is_8bit);
	add_delimiter(b, &boundary, "");
	add_part_header(b, "Notification",
	                global ? "text/plain; charset=utf-8" : "text/plain; charset=us-ascii", global);
	dsn_add_explanation(b, d, result->returned);
	add_delimiter(b, &boundary, "");
	add_part_header(b, "Delivery report",
	                global ? "message/global-delivery-status" : "message/delivery-status", global);
	dsn_add_status(b, d);
	if (returned.len) {
		add_delimiter(b, &boundary, "");
		add_part_header(b, full ? "Undelivered message" : "Header of the message",
		                returned_type(d, returned, full), !utf8_is_ascii(returned));
		add_clean(b, returned);
	}
	add_delimiter(b, &boundary, "--");
}
