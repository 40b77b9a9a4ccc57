#include <postrider/base/url.h>

#include <postrider/base/auto.h>

#define HTTP_PORT 80
#define HTTPS_PORT 443
#define NAME_MAX_BYTES 253
#define LABEL_MAX_BYTES 63

static enum err refuse(const char **why, const char *words)
{
	if (why)
		*why = words;
	return ERR_SYNTAX;
}

static bool is_hex(char c)
{
	return ascii_is_digit(c) || (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'f');
}

/* Label as the host names of RFC 1123 section 2.1 have it, with the "_" that some servers' names have. */
static bool is_label(struct text label)
{
	if (label.len == 0 || label.len > LABEL_MAX_BYTES || label.at[0] == '-' ||
	    label.at[label.len - 1] == '-')
		return false;
	for (size_t i = 0; i < label.len; i++)
		if (!ascii_is_alnum(label.at[i]) && label.at[i] != '-' && label.at[i] != '_')
			return false;
	return true;
}

/* "127.1", "0x7f000001" and the like: some take them for addresses, and no name ends so (RFC 3696 section 2). */
static bool is_number(struct text label)
{
	uint64_t value;

	return text_to_u64(label, UINT64_MAX, &value) != ERR_SYNTAX || text_starts_nocase(label, TEXT("0x"));
}

static bool is_name(struct text name)
{
	struct text rest = name, label = TEXT_EMPTY;

	if (name.len == 0 || name.len > NAME_MAX_BYTES || name.at[name.len - 1] == '.')
		return false;
	while (rest.len) {
		label = text_cut(&rest, '.');
		if (!is_label(label))
			return false;
	}
	return !is_number(label);
}

static bool has_eighth_bit(struct text t)
{
	for (size_t i = 0; i < t.len; i++)
		if ((unsigned char)t.at[i] >= 0x80)
			return true;
	return false;
}

static enum err take_scheme(struct text *rest, struct url *u, const char **why)
{
	static const struct text http = LIT("http://"), https = LIT("https://");

	u->is_https = text_starts_nocase(*rest, https);
	if (!u->is_https && !text_starts_nocase(*rest, http))
		return refuse(why, "does not begin with https:// or http://");
	*rest = text_skip(*rest, u->is_https ? https.len : http.len);
	return ERR_OK;
}

/* port = *DIGIT  (RFC 3986 section 3.2.3); nothing behind the colon is the scheme's own. */
static enum err take_port(struct text port, struct url *u, const char **why)
{
	uint64_t value = u->is_https ? HTTPS_PORT : HTTP_PORT;

	if (port.len && (text_to_u64(port, UINT16_MAX, &value) || value == 0))
		return refuse(why, "has no port that could be one");
	u->port = (uint16_t)value;
	return ERR_OK;
}

/* host = IP-literal / IPv4address / reg-name  (RFC 3986 section 3.2.2); of IP-literals those that are addresses without a zone. */
static enum err take_host(struct text host, struct url *u, const char **why)
{
	bool is_bracketed = host.len >= 2 && host.at[0] == '[';

	if (is_bracketed) {
		u->host = text_of(host.at + 1, host.len - 2);
		if (text_find_octet(u->host, ':') == u->host.len || ip_parse(u->host, &u->ip))
			return refuse(why, "has no IPv6 address between its brackets");
		return ERR_OK;
	}
	if (text_ends(host, TEXT(".")))
		host = text_head(host, host.len - 1);
	u->host = host;
	if (host.len == 0)
		return refuse(why, "names no host");
	if (text_find_octet(host, ':') == host.len && ip_parse(host, &u->ip) == ERR_OK)
		return ERR_OK;
	if (has_eighth_bit(host))
		return refuse(why, "must have the host's name in its ASCII form, with xn--");
	if (!is_name(host))
		return refuse(why, "has a host that is neither a name nor an address");
	return ERR_OK;
}

static enum err take_authority(struct text authority, struct url *u, const char **why)
{
	bool is_bracketed = authority.len && authority.at[0] == '[';
	size_t host_len =
		is_bracketed ? text_find_octet(authority, ']') + 1 : text_find_octet(authority, ':');
	struct text rest = text_skip(authority, host_len);

	if (text_find_octet(authority, '@') < authority.len)
		return refuse(why, "must not have a user or a password in front of its host");
	if (host_len > authority.len)
		return refuse(why, "has no end of its IPv6 address: a ] is missing");
	if (rest.len && rest.at[0] != ':')
		return refuse(why, "has something between its host and its port");
	enum err err = take_host(text_head(authority, host_len), u, why);

	return err ? err : take_port(text_skip(rest, 1), u, why);
}

/* Whatever stands in a request's first line must not end it, or begin another word. */
static enum err take_target(struct text target, struct url *u, const char **why)
{
	for (size_t i = 0; i < target.len; i++) {
		unsigned char c = (unsigned char)target.at[i];

		if (c == '#')
			return refuse(why, "must not have a fragment (#)");
		if (c <= ' ' || c >= 0x7f || c == '"' || c == '<' || c == '>' || c == '\\' || c == '^' ||
		    c == '`' || c == '{' || c == '|' || c == '}')
			return refuse(why, "has an octet that must be written with %");
		if (c == '%' &&
		    (target.len - i < 3 || !is_hex(target.at[i + 1]) || !is_hex(target.at[i + 2])))
			return refuse(why, "has a % without two hexadecimal digits behind it");
	}
	u->target = target;
	return ERR_OK;
}

static size_t end_of_authority(struct text t)
{
	size_t end = MIN(text_find_octet(t, '/'), text_find_octet(t, '?'));

	return MIN(end, text_find_octet(t, '#'));
}

enum err url_parse(struct text t, struct url *out, const char **why)
{
	struct url u = { .host = TEXT_EMPTY };
	struct text rest = t;

	if (t.len > URL_MAX_BYTES)
		return refuse(why, "is too long");
	enum err err = take_scheme(&rest, &u, why);

	if (!err)
		err = take_authority(text_head(rest, end_of_authority(rest)), &u, why);
	if (!err)
		err = take_target(text_skip(rest, end_of_authority(rest)), &u, why);
	if (!err)
		*out = u;
	return err;
}

void url_add_authority(struct buf *out, const struct url *u)
{
	if (u->ip.family == IP_V6) {
		buf_add_octet(out, '[');
		ip_add(out, u->ip);
		buf_add_octet(out, ']');
	} else if (u->ip.family == IP_V4) {
		ip_add(out, u->ip);
	} else {
		buf_add(out, u->host);
	}
	if (u->port != (u->is_https ? HTTPS_PORT : HTTP_PORT))
		buf_add_format(out, ":%u", u->port);
}
