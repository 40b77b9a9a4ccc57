/* POSTRIDER_UPSTREAM and its parts. */
#include <postrider/base/auto.h>

#include "environment.h"

static void refuse_url(struct setting *s, const char *message, const char *hint)
{
	struct config_finding *f = load_error(s->load, &s->name_spot, "%s", message);

	load_expected(
		s->load, f,
		"smtp://host:587 (STARTTLS required), smtps://host (TLS from the first octet) or smtp+plain://host:25 (no "
		"TLS)");
	if (hint)
		load_hint(s->load, f, "%s", hint);
}

static const struct scheme {
	struct text name, tls, port;
} schemes[] = { { LIT("smtp"), LIT("require"), LIT("587") },
	        { LIT("smtps"), LIT("implicit"), LIT("465") },
	        { LIT("smtp+plain"), LIT("none"), LIT("25") } };

static const struct scheme *find_scheme(struct text name)
{
	for (size_t i = 0; i < ARRAY_LEN(schemes); i++)
		if (text_eq_nocase(name, schemes[i].name))
			return &schemes[i];
	return NULL;
}

/* ---------------------------------------------------------------- the login */

static int hex_value(char c)
{
	if (ascii_is_digit(c))
		return c - '0';
	c = ascii_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* %40 is @ (RFC 3986 section 2.1). */
static bool decode(struct setting *s, struct text t, struct text *out)
{
	AUTO(buf_fini) struct buf b = BUF(10000);

	for (size_t i = 0; i < t.len; i++) {
		if (t.at[i] != '%') {
			buf_add_octet(&b, t.at[i]);
			continue;
		}
		int high = i + 2 < t.len ? hex_value(t.at[i + 1]) : -1,
		    low = high < 0 ? -1 : hex_value(t.at[i + 2]);

		if (low < 0) {
			refuse_url(s, "a % in the login is not followed by two hexadecimal digits",
			           "% itself is written %25");
			return false;
		}
		buf_add_octet(&b, (char)(high * 16 + low));
		i += 2;
	}
	*out = setting_keep(s->load, &b);
	return true;
}

/* What stands in the URL must not stand in a variable of its own too. */
static bool stands_twice(struct setting *s, const char *variable)
{
	struct text ignored;

	if (!environment_find(s->load, text_from(variable), &ignored))
		return false;
	load_hint(s->load,
	          load_error(s->load, &s->name_spot, "the URL has a login, and %s is set too", variable),
	          "keep one of them");
	return true;
}

static void set_login(struct setting *s, struct text login)
{
	struct text password = login, user = text_cut(&password, ':');

	if (stands_twice(s, "POSTRIDER_USERNAME") || !decode(s, user, &user) ||
	    !decode(s, password, &password))
		return;
	if (user.len == 0) {
		refuse_url(s, "the URL has a password and no user", NULL);
		return;
	}
	setting_put(s, TEXT("upstreams.default.username"), user);
	if (password.len && !stands_twice(s, "POSTRIDER_PASSWORD") &&
	    !stands_twice(s, "POSTRIDER_PASSWORD_FILE"))
		setting_put(s, TEXT("upstreams.default.password"), password);
}

/* ---------------------------------------------------------------- the URL */

/* Names may be followed by a port, addresses of IPv6 stand in brackets. */
static void set_host(struct setting *s, struct text host, struct text port)
{
	struct text last = host.at[0] == '[' ? text_skip(host, text_find_octet(host, ']')) : host;
	AUTO(buf_fini) struct buf endpoint = BUF(1000);

	buf_add(&endpoint, host);
	buf_add_octet(&endpoint, ':');
	buf_add(&endpoint, port);
	setting_put(s, TEXT("upstreams.default.hosts"),
	            text_find_octet(last, ':') == last.len ? setting_keep(s->load, &endpoint) : host);
}

/* scheme://[user[:password]@]host[:port][/]; what stands before the last @ is the login, whatever octets it has. */
static void set_url(struct setting *s)
{
	size_t scheme_end = text_find(s->value, TEXT("://"));
	const struct scheme *scheme = find_scheme(text_head(s->value, scheme_end));
	struct text host = text_skip(s->value, scheme_end + 3), login = TEXT_EMPTY;
	size_t at = text_find_last_octet(host, '@');

	if (scheme_end == s->value.len) {
		refuse_url(s, "this is not a URL", "put smtp:// in front of the host");
		return;
	}
	if (!scheme) {
		refuse_url(s, "this is not the URL of an SMTP server", NULL);
		return;
	}
	if (at < host.len) {
		login = text_head(host, at);
		host = text_skip(host, at + 1);
	}
	if (host.len && host.at[host.len - 1] == '/')
		host.len--;
	if (host.len == 0 || text_find_octet(host, '/') < host.len || text_find_octet(host, '?') < host.len) {
		refuse_url(s, host.len ? "the URL has a path or a query" : "the URL has no host",
		           text_find_octet(login, '@') < login.len || !login.len
		                   ? NULL
		                   : "in a password @ / ? : % are written %40 %2F %3F %3A %25");
		return;
	}
	set_host(s, host, scheme->port);
	setting_put(s, TEXT("upstreams.default.tls"), scheme->tls);
	if (at < text_skip(s->value, scheme_end + 3).len)
		set_login(s, login);
}

/* ---------------------------------------------------------------- the host alone */

static void set_upstream_host(struct setting *s)
{
	AUTO(buf_fini) struct buf host = BUF(1000);
	struct text port = TEXT("587"), ignored;
	bool is_v6 = text_find_octet(s->value, ':') < s->value.len && s->value.at[0] != '[';

	if (environment_find(s->load, TEXT("POSTRIDER_UPSTREAM"), &ignored)) {
		load_hint(s->load,
		          load_error(s->load, &s->name_spot,
		                     "POSTRIDER_UPSTREAM and POSTRIDER_UPSTREAM_HOST are both set"),
		          "keep one of them");
		return;
	}
	(void)environment_find(s->load, TEXT("POSTRIDER_UPSTREAM_PORT"), &port);
	buf_add_format(&host, is_v6 ? "[%.*s]:%.*s" : "%.*s:%.*s", TEXT_ARGS(s->value), TEXT_ARGS(port));
	setting_put(s, TEXT("upstreams.default.hosts"), setting_keep(s->load, &host));
	if (text_eq(port, TEXT("465")))
		setting_put(s, TEXT("upstreams.default.tls"), TEXT("implicit"));
}

static void check_upstream_port(struct setting *s)
{
	struct text ignored;

	if (!environment_find(s->load, TEXT("POSTRIDER_UPSTREAM_HOST"), &ignored))
		load_hint(s->load,
		          load_error(s->load, &s->name_spot,
		                     "POSTRIDER_UPSTREAM_PORT without POSTRIDER_UPSTREAM_HOST"),
		          "put the port into POSTRIDER_UPSTREAM, or set POSTRIDER_UPSTREAM_HOST");
}

bool environment_set_upstream(struct setting *s)
{
	static const struct {
		struct text name;
		void (*set)(struct setting *s);
	} setters[] = { { LIT("UPSTREAM"), set_url },
		        { LIT("UPSTREAM_HOST"), set_upstream_host },
		        { LIT("UPSTREAM_PORT"), check_upstream_port } };

	for (size_t i = 0; i < ARRAY_LEN(setters); i++) {
		if (!text_eq(s->name, setters[i].name))
			continue;
		setters[i].set(s);
		return true;
	}
	return false;
}
