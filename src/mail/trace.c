#include <postrider/mail/trace.h>

#include <postrider/base/time.h>
#include <postrider/base/utf8.h>

#include "fold.h"

#define DATE_LENGTH 31 /* "Fri, 12 Jan 2026 03:04:05 +0000" */

/* TCP-info = address-literal / ( Domain FWS address-literal ) */
static void add_client(struct folder *f, const struct trace *t)
{
	char octets[IP_TEXT_MAX + 8];
	struct buf literal = { .at = octets, .room = sizeof(octets), .max = sizeof(octets) };

	if (t->client.family == IP_NONE) {
		folder_space(f, 7);
		folder_add(f, TEXT("(local)"));
		return;
	}
	ip_add_literal(&literal, t->client);
	folder_space(f, literal.len + 2 + (t->client_name.len ? t->client_name.len + 1 : 0));
	folder_add(f, TEXT("("));
	if (t->client_name.len) {
		folder_add_harmless(f, t->client_name);
		folder_add(f, TEXT(" "));
	}
	folder_add(f, buf_text(&literal));
	folder_add(f, TEXT(")"));
}

/* From-domain = "FROM" FWS Extended-Domain. A helo that is an address literal keeps its brackets and
 * colons. */
static void add_from(struct folder *f, const struct trace *t)
{
	struct text helo = t->helo.len ? text_head(t->helo, WORD_MAX) : TEXT("unknown");

	folder_add(f, TEXT(" from"));
	folder_space(f, helo.len);
	folder_add_harmless(f, helo);
	add_client(f, t);
}

/* A comment, where others look for it too. */
static void add_local_user(struct folder *f, struct text user)
{
	folder_space(f, 7 + user.len);
	folder_add(f, TEXT("(from"));
	while (user.len) {
		struct text word = text_cut(&user, ' ');

		folder_space(f, word.len + 1);
		folder_add_harmless(f, word);
	}
	folder_add(f, TEXT(")"));
}

/* By-domain = CFWS "BY" FWS Extended-Domain; With = CFWS "WITH" FWS Protocol; ID = CFWS "ID" FWS ( Atom /
 * msg-id ) */
static void add_by(struct folder *f, const struct trace *t)
{
	struct id_text id = id_to_text(t->id);

	if (t->local_user.len)
		folder_space(f, 3 + t->hostname.len);
	else
		folder_break(f);
	folder_add(f, TEXT("by "));
	folder_add_harmless(f, t->hostname);
	if (t->local_user.len)
		add_local_user(f, t->local_user);
	folder_space(f, 5 + t->protocol.len);
	folder_add(f, TEXT("with "));
	folder_add_harmless(f, t->protocol);
	folder_space(f, 3 + ID_CHARS);
	folder_add(f, TEXT("id "));
	folder_add(f, text_of(id.at, ID_CHARS));
}

/* A comment: the registered TLS clause (RFC 8314 section 4.3) names the cipher only. */
static void add_tls(struct folder *f, struct text tls)
{
	struct text word = text_cut(&tls, ' ');

	folder_break(f);
	folder_add(f, TEXT("("));
	folder_add_harmless(f, word);
	while (tls.len) {
		word = text_cut(&tls, ' ');
		folder_space(f, word.len + 1);
		folder_add_harmless(f, word);
	}
	folder_add(f, TEXT(")"));
}

/* For = CFWS "FOR" FWS ( Path / Mailbox ) */
static void add_for(struct folder *f, struct text forward_path, bool utf8)
{
	folder_break(f);
	folder_add(f, TEXT("for <"));
	if (utf8 && utf8_is_valid(forward_path))
		folder_add(f, forward_path); /* a path that was parsed has no controls */
	else
		folder_add_printable(f, forward_path);
	folder_add(f, TEXT(">"));
}

void trace_add_received(struct buf *b, const struct trace *t)
{
	struct folder f = folder_of_field(b, TEXT("Received"));

	if (!t->local_user.len)
		add_from(&f, t);
	add_by(&f, t);
	if (t->tls.len)
		add_tls(&f, t->tls);
	if (t->repaired) {
		folder_break(&f);
		folder_add(&f, TEXT("(line ends repaired)"));
	}
	if (t->forward_path.len)
		add_for(&f, t->forward_path, t->utf8);
	folder_add(&f, TEXT(";"));
	folder_space(&f, DATE_LENGTH);
	time_add_rfc5322(b, t->received_time);
	buf_add_string(b, "\r\n");
}

struct text trace_protocol(bool extended, bool tls, bool authenticated, bool smtputf8)
{
	static const struct text plain[] = { LIT("ESMTP"), LIT("ESMTPA"), LIT("ESMTPS"), LIT("ESMTPSA") };
	static const struct text utf8[] = { LIT("UTF8SMTP"), LIT("UTF8SMTPA"), LIT("UTF8SMTPS"),
		                            LIT("UTF8SMTPSA") };

	if (!extended)
		return TEXT("SMTP");
	return (smtputf8 ? utf8 : plain)[2 * tls + authenticated];
}
