#include <postrider/smtp/path.h>

#include <postrider/base/auto.h>
#include <postrider/base/utf8.h>

/* ---------------------------------------------------------------- UTF-8 */

bool smtp_code_point_is_fit(uint32_t c)
{
	return c >= ' ' && !(c >= 0x7f && c <= 0x9f) && c != 0x2028 && c != 0x2029 &&
	       !(c >= 0xd800 && c <= 0xdfff) && (c & 0xfffe) != 0xfffe && c <= 0x10ffff;
}

/* UTF8-non-ASCII (RFC 6532 section 3.1): the octets of the character at place at; 0: none that may stand here. */
static size_t utf8_at(struct text t, size_t at)
{
	uint32_t code_point;
	size_t len = utf8_length(text_skip(t, at), &code_point);

	return len > 1 && smtp_code_point_is_fit(code_point) ? len : 0;
}

/* ---------------------------------------------------------------- domains */

/* sub-domain = Let-dig [Ldh-str], and underscores */
static enum err check_label(struct text label)
{
	if (label.len == 0 || label.at[0] == '-' || label.at[label.len - 1] == '-')
		return ERR_SYNTAX;
	for (size_t i = 0; i < label.len; i++)
		if (!ascii_is_alnum(label.at[i]) && label.at[i] != '-' && label.at[i] != '_')
			return ERR_SYNTAX;
	return label.len > SMTP_LABEL_MAX ? ERR_TOO_BIG : ERR_OK;
}

enum err smtp_domain_check(struct text domain)
{
	if (domain.len > SMTP_DOMAIN_MAX)
		return ERR_TOO_BIG;
	for (;;) {
		size_t dot = text_find_octet(domain, '.');
		enum err err = check_label(text_head(domain, dot));

		if (err || dot == domain.len)
			return err;
		domain = text_skip(domain, dot + 1);
	}
}

enum err smtp_literal_parse(struct text t, struct ip *out)
{
	const struct text tag = LIT("IPv6:");

	if (t.len < 2 || t.at[0] != '[' || t.at[t.len - 1] != ']')
		return ERR_SYNTAX;
	struct text inside = text_of(t.at + 1, t.len - 2);
	bool is_v6 = text_starts_nocase(inside, tag);

	if (is_v6)
		inside = text_skip(inside, tag.len);
	if ((text_find_octet(inside, ':') < inside.len) != is_v6)
		return ERR_SYNTAX;
	return ip_parse(inside, out) ? ERR_SYNTAX : ERR_OK;
}

enum err smtp_helo_check(struct text helo)
{
	struct ip ip;

	if (helo.len && helo.at[0] == '[')
		return smtp_literal_parse(helo, &ip);
	return smtp_domain_check(helo);
}

/* ---------------------------------------------------------------- local parts */

static bool is_atext(char c)
{
	return ascii_is_alnum(c) || (c && strchr("!#$%&'*+-/=?^_`{|}~", c));
}

/* Quoted-string = DQUOTE *QcontentSMTP DQUOTE; returns its length, 0 if there is none at the front. */
static size_t quoted_length(struct text t)
{
	for (size_t i = 1, len; i < t.len; i += len) {
		len = (unsigned char)t.at[i] < 0x80 ? 1 : utf8_at(t, i);
		if (t.at[i] == '"')
			return i + 1;
		/* quoted-pairSMTP: ASCII behind the backslash */
		if (t.at[i] == '\\' && ++i == t.len)
			return 0;
		if (len == 0 || (len == 1 && (t.at[i] < ' ' || t.at[i] > '~')))
			return 0;
	}
	return 0;
}

/* Local-part = Dot-string / Quoted-string. Dots at the ends and two in a row are no Dot-string, but such
 * mailboxes exist and are written so; nothing else can be meant by them. */
static size_t local_part_length(struct text t)
{
	size_t len = 0;

	if (t.len && t.at[0] == '"')
		return quoted_length(t);
	while (len < t.len && (is_atext(t.at[len]) || t.at[len] == '.'))
		len++;
	/* rarely more than this: atext =/ UTF8-non-ASCII */
	for (size_t more; len < t.len; len += more) {
		more = is_atext(t.at[len]) || t.at[len] == '.' ? 1 : utf8_at(t, len);
		if (more == 0)
			break;
	}
	return len;
}

/* The octets of a local part as they are meant, one at a time; -1 at the end. */
struct meaning {
	struct text rest;
	bool quoted;
};

static struct meaning meaning_of(struct text local_part)
{
	if (local_part.len >= 2 && local_part.at[0] == '"')
		return (struct meaning){ text_of(local_part.at + 1, local_part.len - 2), true };
	return (struct meaning){ local_part, false };
}

static int next_meant(struct meaning *m)
{
	if (m->quoted && m->rest.len > 1 && m->rest.at[0] == '\\')
		m->rest = text_skip(m->rest, 1);
	if (m->rest.len == 0)
		return -1;
	int octet = (unsigned char)m->rest.at[0];

	m->rest = text_skip(m->rest, 1);
	return octet;
}

void smtp_local_part_add(struct buf *b, struct text local_part)
{
	struct meaning m = meaning_of(local_part);

	for (int octet; (octet = next_meant(&m)) >= 0;)
		buf_add_octet(b, (char)octet);
}

static bool same_local_part(struct text x, struct text y)
{
	struct meaning a = meaning_of(x), b = meaning_of(y);

	for (;;) {
		int octet = next_meant(&a);

		if (octet != next_meant(&b))
			return false;
		if (octet < 0)
			return true;
	}
}

static bool same_domain(struct text a, struct text b)
{
	struct buf x = BUF(SMTP_DOMAIN_MAX), y = BUF(SMTP_DOMAIN_MAX);

	if (text_eq_nocase(a, b))
		return true;
	if (utf8_is_ascii(a) && utf8_is_ascii(b))
		return false;
	bool same = !smtp_domain_to_ascii(a, &x) && !smtp_domain_to_ascii(b, &y) &&
	            text_eq(buf_text(&x), buf_text(&y));

	buf_fini(&x);
	buf_fini(&y);
	return same;
}

bool smtp_path_eq(const struct smtp_path *a, const struct smtp_path *b)
{
	if (a->is_literal != b->is_literal || !same_local_part(a->local_part, b->local_part))
		return false;
	return a->is_literal ? ip_eq(a->literal, b->literal) : same_domain(a->domain, b->domain);
}

/* ---------------------------------------------------------------- paths */

/* How far a domain or address literal at the front of t may reach. */
static size_t domain_length(struct text t)
{
	size_t len = 0;

	if (t.len && t.at[0] == '[') {
		size_t end = text_find_octet(t, ']');

		return end < t.len ? end + 1 : 0;
	}
	while (len < t.len && (ascii_is_alnum(t.at[len]) || strchr("-_.", t.at[len])) && t.at[len])
		len++;
	for (size_t more; len < t.len && t.at[len]; len += more) {
		more = ascii_is_alnum(t.at[len]) || strchr("-_.", t.at[len]) ? 1 : utf8_at(t, len);
		if (more == 0)
			break;
	}
	return len;
}

/* sub-domain =/ U-label (RFC 6531 section 3.3): what has an ASCII form. */
static enum err check_utf8_domain(struct text domain)
{
	struct buf ascii = BUF(SMTP_DOMAIN_MAX);
	enum err err = smtp_domain_to_ascii(domain, &ascii);

	buf_fini(&ascii);
	return err;
}

static enum err parse_domain(struct text *rest, struct smtp_path *out)
{
	struct text domain = text_head(*rest, domain_length(*rest));
	enum err err;

	out->domain = domain;
	out->is_literal = domain.len && domain.at[0] == '[';
	if (domain.len > SMTP_DOMAIN_MAX)
		err = ERR_TOO_BIG;
	else if (out->is_literal)
		err = smtp_literal_parse(domain, &out->literal);
	else if (utf8_is_ascii(domain))
		err = smtp_domain_check(domain);
	else
		err = check_utf8_domain(domain);
	*rest = text_skip(*rest, domain.len);
	return err;
}

/* A-d-l ":" = At-domain *( "," At-domain ) ":"  (appendix C: ignored) */
static enum err skip_source_route(struct text *rest)
{
	struct smtp_path ignored;

	while (rest->len && rest->at[0] == '@') {
		*rest = text_skip(*rest, 1);
		enum err err = parse_domain(rest, &ignored);

		if (err)
			return err;
		if (rest->len == 0 || (rest->at[0] != ',' && rest->at[0] != ':'))
			return ERR_SYNTAX;
		bool last = rest->at[0] == ':';

		*rest = text_skip(*rest, 1);
		if (last)
			return rest->len && rest->at[0] == '@' ? ERR_SYNTAX : ERR_OK;
		if (rest->len == 0 || rest->at[0] != '@')
			return ERR_SYNTAX;
	}
	return ERR_OK;
}

/* Mailbox = Local-part "@" ( Domain / address-literal ). alone: what may stand without "@", or empty. */
static enum err parse_mailbox(struct text *rest, struct text alone, struct smtp_path *out)
{
	struct text from = *rest;
	size_t len = local_part_length(from);
	enum err err = ERR_OK;

	*out = (struct smtp_path){ .local_part = text_head(from, len), .domain = TEXT_EMPTY };
	if (len == 0)
		return ERR_SYNTAX;
	if (len > SMTP_LOCAL_PART_MAX)
		return ERR_TOO_BIG;
	*rest = text_skip(*rest, len);
	if (rest->len && rest->at[0] == '@') {
		*rest = text_skip(*rest, 1);
		err = parse_domain(rest, out);
	} else if (alone.len == 0 || !text_eq_nocase(out->local_part, alone)) {
		err = ERR_SYNTAX;
	}
	out->mailbox = text_head(from, (size_t)(rest->at - from.at));
	out->is_utf8 = !utf8_is_ascii(out->mailbox);
	if (!err && out->mailbox.len + 2 > SMTP_PATH_MAX)
		err = ERR_TOO_BIG;
	return err;
}

/* Path = "<" [ A-d-l ":" ] Mailbox ">" */
static enum err parse_path(struct text *rest, bool null_allowed, struct text alone, struct smtp_path *out)
{
	struct text t = *rest;
	struct smtp_path path;

	if (t.len < 2 || t.at[0] != '<')
		return ERR_SYNTAX;
	t = text_skip(t, 1);
	if (null_allowed && t.at[0] == '>') {
		*out = (struct smtp_path){ .mailbox = TEXT_EMPTY,
			                   .local_part = TEXT_EMPTY,
			                   .domain = TEXT_EMPTY };
		*rest = text_skip(t, 1);
		return ERR_OK;
	}
	bool routed = t.at[0] == '@';
	enum err err = skip_source_route(&t);

	if (!err)
		err = parse_mailbox(&t, routed ? TEXT_EMPTY : alone, &path);
	if (err)
		return err;
	if (t.len == 0 || t.at[0] != '>')
		return ERR_SYNTAX;
	*rest = text_skip(t, 1);
	*out = path;
	return ERR_OK;
}

enum err smtp_reverse_path_parse(struct text *rest, struct smtp_path *out)
{
	return parse_path(rest, true, TEXT_EMPTY, out);
}

enum err smtp_forward_path_parse(struct text *rest, struct smtp_path *out)
{
	return parse_path(rest, false, TEXT("postmaster"), out);
}

enum err smtp_mailbox_parse_utf8(struct text t, struct smtp_path *out)
{
	struct smtp_path path;
	enum err err = parse_mailbox(&t, TEXT_EMPTY, &path);

	if (err)
		return err;
	if (t.len)
		return ERR_SYNTAX;
	*out = path;
	return ERR_OK;
}

enum err smtp_mailbox_parse(struct text t, struct smtp_path *out)
{
	return utf8_is_ascii(t) ? smtp_mailbox_parse_utf8(t, out) : ERR_SYNTAX;
}
