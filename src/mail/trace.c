#include <postrider/mail/trace.h>

#include <postrider/base/time.h>

#define LINE_SOFT_MAX 78 /* RFC 5322 section 2.1.1 */

/* Writes words and folds before the one that would pass the soft limit. Words are never cut. */
struct folder {
	struct buf *b;
	size_t column;
};

static void add_raw(struct folder *f, struct text t)
{
	buf_add(f->b, t);
	f->column += t.len;
}

/* What a peer said: octets that could end the field, its comment or its words go out as "?". */
static bool is_harmless(char c)
{
	return c > ' ' && c <= '~' && c != '(' && c != ')' && c != '\\' && c != '"' && c != ';' && c != ',' &&
	       c != '<' && c != '>';
}

static void add_harmless(struct folder *f, struct text t)
{
	for (size_t i = 0; i < t.len; i++)
		buf_add_octet(f->b, is_harmless(t.at[i]) ? t.at[i] : '?');
	f->column += t.len;
}

/* A path keeps its quotes and backslashes; it was parsed, so control octets are not in it, but must not be let out here
 * whatever happened before. */
static void add_path(struct folder *f, struct text t)
{
	for (size_t i = 0; i < t.len; i++)
		buf_add_octet(f->b, t.at[i] >= ' ' && t.at[i] <= '~' ? t.at[i] : '?');
	f->column += t.len;
}

static void fold(struct folder *f)
{
	add_raw(f, TEXT("\r\n\t"));
	f->column = 8;
}

/* A space, or a fold if `len` more octets do not fit. */
static void space_before(struct folder *f, size_t len)
{
	if (f->column + 1 + len > LINE_SOFT_MAX)
		fold(f);
	else
		add_raw(f, TEXT(" "));
}

/* TCP-info = address-literal / ( Domain FWS address-literal ) */
static void add_client(struct folder *f, const struct trace *t)
{
	char octets[IP_TEXT_MAX + 8];
	struct buf literal = { .at = octets, .room = sizeof(octets), .max = sizeof(octets) };

	if (t->client.family == IP_NONE) {
		space_before(f, 7);
		add_raw(f, TEXT("(local)"));
		return;
	}
	ip_add_literal(&literal, t->client);
	space_before(f, literal.len + 2 + (t->client_name.len ? t->client_name.len + 1 : 0));
	add_raw(f, TEXT("("));
	if (t->client_name.len) {
		add_harmless(f, t->client_name);
		add_raw(f, TEXT(" "));
	}
	add_raw(f, buf_text(&literal));
	add_raw(f, TEXT(")"));
}

/* From-domain = "FROM" FWS Extended-Domain. A helo that is an address literal keeps its brackets and colons. */
static void add_from(struct folder *f, const struct trace *t)
{
	add_raw(f, TEXT("Received: from"));
	space_before(f, t->helo.len);
	if (t->helo.len)
		add_harmless(f, t->helo);
	else
		add_raw(f, TEXT("unknown"));
	add_client(f, t);
}

static void add_by(struct folder *f, const struct trace *t)
{
	struct id_text id = id_to_text(t->id);

	fold(f);
	add_raw(f, TEXT("by "));
	add_harmless(f, t->hostname);
	space_before(f, 5 + t->protocol.len);
	add_raw(f, TEXT("with "));
	add_harmless(f, t->protocol);
	space_before(f, 3 + ID_CHARS);
	add_raw(f, TEXT("id "));
	add_raw(f, text_from(id.at));
}

static void add_tls(struct folder *f, struct text tls)
{
	bool first = true;

	fold(f);
	add_raw(f, TEXT("("));
	while (tls.len) {
		struct text word = text_cut(&tls, ' ');

		if (!first)
			space_before(f, word.len + 1);
		add_harmless(f, word);
		first = false;
	}
	add_raw(f, TEXT(")"));
}

void trace_add_received(struct buf *b, const struct trace *t)
{
	struct folder f = { .b = b };

	add_from(&f, t);
	add_by(&f, t);
	if (t->tls.len)
		add_tls(&f, t->tls);
	if (t->forward_path.len) {
		fold(&f);
		add_raw(&f, TEXT("for <"));
		add_path(&f, t->forward_path);
		add_raw(&f, TEXT(">"));
	}
	add_raw(&f, TEXT(";"));
	space_before(&f, 31); /* a date: "Fri, 12 Jan 2026 03:04:05 +0000" */
	time_add_rfc5322(b, t->received_time);
	buf_add_string(b, "\r\n");
}

struct text trace_protocol(bool extended, bool tls, bool authenticated)
{
	if (!extended)
		return TEXT("SMTP");
	if (tls)
		return authenticated ? TEXT("ESMTPSA") : TEXT("ESMTPS");
	return authenticated ? TEXT("ESMTPA") : TEXT("ESMTP");
}
