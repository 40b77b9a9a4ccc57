/* Bearer tokens: OAUTHBEARER (RFC 7628) and XOAUTH2, which is the same with another beginning.
 *
 *	n,a=user@example.com,^Ahost=...^Aport=587^Aauth=Bearer TOKEN^A^A       ^A is octet 1
 *	user=user@example.com^Aauth=Bearer TOKEN^A^A
 *
 * A token that is refused is answered by a challenge with JSON; the client then sends ^A, or nothing, and hears 535. */
#include "internal.h"

#include <postrider/base/auto.h>

#define SEPARATOR '\1'

/* b64token (RFC 6750 section 2.1) */
static bool is_token(struct text t)
{
	size_t i = 0;

	while (i < t.len && (ascii_is_alnum(t.at[i]) || (t.at[i] && strchr("-._~+/", t.at[i]))))
		i++;
	if (i == 0)
		return false;
	while (i < t.len && t.at[i] == '=')
		i++;
	return i == t.len;
}

static bool parse_auth(struct text value, struct text *token)
{
	static const struct text scheme = LIT("Bearer ");

	if (!text_starts_nocase(value, scheme))
		return false;
	*token = text_trim(text_skip(value, scheme.len));
	return is_token(*token);
}

/* Pairs "key=value", each with a separator behind it, and one more at the end. False: no such list, or not one token. */
static bool parse_pairs(struct text rest, struct text *token)
{
	unsigned auths = 0;

	while (rest.len > 1) {
		if (text_find_octet(rest, SEPARATOR) == rest.len)
			return false;
		struct text value = text_cut(&rest, SEPARATOR);
		struct text key = text_cut(&value, '=');

		if (key.len == 0)
			return false;
		if (!text_eq(key, TEXT("auth")))
			continue;
		auths++;
		if (!parse_auth(value, token))
			return false;
	}
	return auths == 1 && rest.len == 1 && rest.at[0] == SEPARATOR;
}

/* The token goes to whoever knows tokens. */
static void ask(struct auth_exchange *x, struct text token)
{
	if (x->auth->token_check)
		relay_token(x, token);
	else
		relay_begin(x); /* it is offered: so Dovecot has it */
}

static void take(struct auth_exchange *x, struct text name, struct text pairs)
{
	struct text token = TEXT_EMPTY;

	if (!parse_pairs(pairs, &token))
		exchange_malformed(x, "no bearer token where one should be");
	else if (name.len == 0 || exchange_take_name(x, name))
		ask(x, token);
}

void oauthbearer_take(struct auth_exchange *x, struct text octets)
{
	AUTO(buf_fini) struct buf name = BUF(AUTH_LINE_MAX);
	struct text rest = octets;
	struct gs2 gs2;

	enum err err = ERR_SYNTAX;

	if (gs2_parse(&rest, &gs2) && !text_starts(gs2.flag, TEXT("p=")) && text_starts(rest, TEXT("\1")))
		err = saslname_decode(gs2.identity, &name);
	if (err)
		exchange_failed(x, err, "no OAUTHBEARER message: it begins with n,a=NAME, and an octet 1");
	else
		take(x, buf_text(&name), text_skip(rest, 1));
}

void xoauth2_take(struct auth_exchange *x, struct text octets)
{
	struct text rest = octets, user = text_cut(&rest, SEPARATOR);

	if (text_starts_nocase(user, TEXT("user=")))
		take(x, text_skip(user, 5), rest);
	else
		exchange_malformed(x, "no XOAUTH2 message: it begins with user=");
}
