/* The part of a notice that people read. */
#include "dsn_parts.h"

#include <postrider/base/auto.h>
#include <postrider/base/time.h>
#include <postrider/base/utf8.h>

#include "fold.h"

#define SUBJECT_SHOWN 200 /* octets of the message's subject */

/* Gravest first. */
static const struct {
	const char *subject;    /* before the message's own */
	const char *one, *many; /* recipients */
	const char *advice;
} wordings[] = {
	[DSN_FAILED] = {
		"Undeliverable",
		"Your message could not be delivered to this recipient, and no further attempt will be made:",
		"Your message could not be delivered to these recipients, and no further attempt will be made:",
		"Please check the address and send the message again if it was mistyped. Otherwise the people who run "
		"the recipient's mail system can help; show them this report.",
	},
	[DSN_DELAYED] = {
		"Delayed",
		"Your message could not be delivered to this recipient yet:",
		"Your message could not be delivered to these recipients yet:",
		"You need not do anything: further attempts will be made, and you will hear from us again only if the "
		"last of them fails.",
	},
	[DSN_DELIVERED] = {
		"Delivered",
		"Your message was delivered to this recipient:",
		"Your message was delivered to these recipients:",
		NULL,
	},
	[DSN_RELAYED] = {
		"Relayed",
		"Your message was handed on for this recipient, to a mail system that may not report its delivery:",
		"Your message was handed on for these recipients, to a mail system that may not report their delivery:",
		NULL,
	},
	[DSN_EXPANDED] = {
		"Delivered",
		"Your message was delivered to this address and sent on from there to several:",
		"Your message was delivered to these addresses and sent on from there to several:",
		NULL,
	},
};

enum dsn_action dsn_gravest(const struct dsn *d)
{
	enum dsn_action gravest = DSN_EXPANDED;

	for (size_t i = 0; i < d->recipient_count; i++)
		gravest = MIN(gravest, d->recipients[i].action);
	return gravest;
}

/* ---------------------------------------------------------------- subject */

/* One encoded-word of RFC 2047, in the Q encoding, of whole characters from the front of *rest. */
static void add_encoded_word(struct folder *f, struct text *rest)
{
	char octets[75];
	struct buf word = { .at = octets, .room = sizeof(octets), .max = sizeof(octets) };

	buf_add_string(&word, "=?utf-8?Q?");
	while (rest->len) {
		size_t len = utf8_length(*rest, NULL), taken = len ? len : 1;

		if (word.len + 3 * taken + 2 > word.max)
			break;
		for (size_t i = 0; i < taken; i++) {
			char c = len ? rest->at[i] : '?';

			if (ascii_is_alnum(c))
				buf_add_octet(&word, c);
			else if (c == ' ')
				buf_add_octet(&word, '_');
			else
				buf_add_format(&word, "=%02X", (unsigned)(unsigned char)c);
		}
		*rest = text_skip(*rest, taken);
	}
	buf_add_string(&word, "?=");
	folder_space(f, word.len);
	folder_add(f, buf_text(&word));
}

/* Not more than SUBJECT_SHOWN octets, and no part of a word (an encoded one would be spoilt). */
static struct text shortened(struct text t)
{
	if (t.len <= SUBJECT_SHOWN)
		return t;
	t = text_head(t, SUBJECT_SHOWN);
	size_t space = text_find_last_octet(t, ' ');

	return space < t.len ? text_head(t, space) : t;
}

void dsn_add_subject(struct buf *b, const struct dsn *d)
{
	struct folder f = folder_of_field(b, TEXT("Subject"));
	struct text subject = shortened(d->subject);

	folder_add(&f, TEXT(" "));
	folder_add(&f, text_from(wordings[dsn_gravest(d)].subject));
	if (subject.len)
		folder_add(&f, TEXT(":"));
	if (utf8_is_ascii(subject))
		folder_add_words(&f, subject);
	else
		while (subject.len)
			add_encoded_word(&f, &subject);
	buf_add_string(b, "\r\n");
}

/* ---------------------------------------------------------------- text */

static struct folder paragraph(struct buf *b, const char *line_break)
{
	struct folder f = { .b = b, .line_break = line_break, .indent = strlen(line_break) - 2 };

	f.column = f.indent;
	buf_add_string(b, line_break + 2);
	return f;
}

static void add_paragraph(struct buf *b, const char *string)
{
	struct folder f = paragraph(b, "\r\n");
	struct text rest = text_from(string), first = text_cut(&rest, ' ');

	folder_add(&f, first);
	folder_add_words(&f, rest);
	buf_add_string(b, "\r\n\r\n");
}

/* "    mx1.example.net said: 550 5.1.1 no such user", over several lines if need be. */
static void add_reply(struct buf *b, const struct dsn_recipient *r, bool utf8)
{
	struct folder f = paragraph(b, "\r\n     ");

	f.utf8 = utf8;
	if (!r->from_peer)
		folder_add(&f, TEXT("reason:"));
	else if (r->remote_mta.len)
		folder_add_harmless(&f, r->remote_mta);
	else
		folder_add(&f, TEXT("the other side"));
	if (r->from_peer)
		folder_add(&f, TEXT(" said:"));
	folder_add_words(&f, r->reply);
	buf_add_string(b, "\r\n");
}

static void add_indented(struct buf *b, struct text words)
{
	struct folder f = { .b = b, .line_break = "\r\n     ", .indent = 5, .column = 5 };

	buf_add_string(b, "    ");
	folder_add_words(&f, words);
	buf_add_string(b, "\r\n");
}

static void add_recipient(struct buf *b, const struct dsn_recipient *r, bool utf8)
{
	struct folder f = paragraph(b, "\r\n  ");

	f.utf8 = utf8;
	folder_add(&f, TEXT("<"));
	folder_add_printable(&f, r->forward_path);
	folder_add(&f, TEXT(">"));
	if (r->original_path.len) {
		folder_space(&f, r->original_path.len + 19);
		folder_add(&f, TEXT("(you wrote to <"));
		folder_add_printable(&f, r->original_path);
		folder_add(&f, TEXT(">)"));
	}
	buf_add_string(b, "\r\n");
	if (r->reply.len)
		add_reply(b, r, utf8);
	if (r->explanation.len)
		add_indented(b, r->explanation);
	if (r->action == DSN_DELAYED && r->will_retry_until_time) {
		buf_add_string(b, "     attempts go on until ");
		time_add_rfc5322(b, r->will_retry_until_time);
		buf_add_string(b, "\r\n");
	}
	buf_add_string(b, "\r\n");
}

static void add_group(struct buf *b, const struct dsn *d, enum dsn_action action)
{
	size_t count = 0;

	for (size_t i = 0; i < d->recipient_count; i++)
		count += d->recipients[i].action == action;
	if (count == 0)
		return;
	add_paragraph(b, count == 1 ? wordings[action].one : wordings[action].many);
	for (size_t i = 0; i < d->recipient_count; i++)
		if (d->recipients[i].action == action)
			add_recipient(b, &d->recipients[i], dsn_is_global(d));
	if (wordings[action].advice)
		add_paragraph(b, wordings[action].advice);
}

static void add_labelled(struct buf *b, const char *label, struct text value)
{
	struct folder f = { .b = b, .line_break = "\r\n              ", .indent = 14, .column = 14 };

	buf_add_format(b, "  %-12s", label);
	folder_add_words(&f, value);
	buf_add_string(b, "\r\n");
}

/* Which message this is about. */
static void add_message(struct buf *b, const struct dsn *d)
{
	struct id_text id = id_to_text(d->original_id);

	add_paragraph(b, "The message:");
	if (d->subject.len && utf8_is_ascii(d->subject))
		add_labelled(b, "Subject:", shortened(d->subject));
	if (d->message_id.len)
		add_labelled(b, "Message-ID:", d->message_id);
	buf_add_string(b, "  Received:    ");
	time_add_rfc5322(b, d->arrival_time);
	buf_add_string(b, "\r\n");
	add_labelled(b, "Our number:", text_of(id.at, ID_CHARS));
	buf_add_string(b, "\r\n");
}

void dsn_add_explanation(struct buf *b, const struct dsn *d, enum dsn_return returned)
{
	struct folder f = paragraph(b, "\r\n");

	folder_add(&f, TEXT("This is the mail system at"));
	folder_add_words(&f, d->hostname);
	folder_add(&f, TEXT("."));
	buf_add_string(b, "\r\n\r\n");
	for (int action = DSN_FAILED; action <= DSN_EXPANDED; action++)
		add_group(b, d, (enum dsn_action)action);
	add_message(b, d);
	if (returned == DSN_RETURN_FULL)
		add_paragraph(b, "A report for mail programs and a copy of the message are attached.");
	else if (returned == DSN_RETURN_HEADERS)
		add_paragraph(b, "A report for mail programs and the header of the message are attached.");
	else
		add_paragraph(b, "A report for mail programs is attached.");
}
