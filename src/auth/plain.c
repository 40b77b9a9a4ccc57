/* PLAIN (RFC 4616), LOGIN, EXTERNAL (RFC 4422 appendix A), and the table of mechanisms. */
#include "internal.h"

#include <postrider/base/auto.h>

/* Sets x->password; the exchange is over when that fails. */
static bool take_password(struct auth_exchange *x, struct text password)
{
	secret_fini(&x->password);
	buf_reserve(&x->password, password.len);
	buf_add(&x->password, password);
	if (buf_err(&x->password)) {
		exchange_temporary(x, "no memory for a password");
		return false;
	}
	return true;
}

/* message = [authzid] NUL authcid NUL passwd */
void plain_take(struct auth_exchange *x, struct text octets)
{
	size_t nuls = 0;

	for (size_t i = 0; i < octets.len; i++)
		nuls += octets.at[i] == 0;
	if (nuls != 2) {
		exchange_malformed(x, "PLAIN is an identity, a name and a password with NUL between them");
		return;
	}
	struct text identity = text_cut(&octets, 0), name = text_cut(&octets, 0);

	if (!exchange_take_name(x, name))
		return;
	if (!exchange_is_own_identity(x, identity))
		exchange_wrong(x, "an authorization identity that is another name");
	else if (take_password(x, octets))
		exchange_check_password(x);
}

void login_take(struct auth_exchange *x, struct text octets)
{
	if (text_find_octet(octets, 0) < octets.len)
		exchange_malformed(x, "a NUL in a name or password");
	else if (x->messages == 1 && exchange_take_name(x, octets))
		exchange_challenge(x, TEXT("Password:"));
	else if (x->messages == 2 && take_password(x, octets))
		exchange_check_password(x);
}

/* The message is the identity that the client wants; TLS has said already who it is. */
void external_take(struct auth_exchange *x, struct text octets)
{
	if (!exchange_take_name(x, buf_text(&x->certificate_user)))
		return;
	if (exchange_is_own_identity(x, octets))
		exchange_done(x);
	else
		exchange_wrong(x, "an authorization identity that is not the certificate's");
}

/* By strength, as they are announced. */
static const struct mechanism mechanisms[AUTH_MECHANISMS] = {
	{ AUTH_SCRAM_SHA_256_PLUS, "SCRAM-SHA-256-PLUS", false, LIT(""), scram_take },
	{ AUTH_SCRAM_SHA_256, "SCRAM-SHA-256", false, LIT(""), scram_take },
	{ AUTH_EXTERNAL, "EXTERNAL", false, LIT(""), external_take },
	{ AUTH_OAUTHBEARER, "OAUTHBEARER", true, LIT(""), oauthbearer_take },
	{ AUTH_XOAUTH2, "XOAUTH2", true, LIT(""), xoauth2_take },
	{ AUTH_PLAIN, "PLAIN", true, LIT(""), plain_take },
	{ AUTH_LOGIN, "LOGIN", true, LIT("Username:"), login_take },
};

const struct mechanism *mechanism_get(unsigned number)
{
	return number < ARRAY_LEN(mechanisms) ? &mechanisms[number] : NULL;
}

const struct mechanism *mechanism_find(struct text name)
{
	for (size_t i = 0; i < ARRAY_LEN(mechanisms); i++) {
		if (text_eq_nocase(name, text_from(mechanisms[i].name)))
			return &mechanisms[i];
	}
	return NULL;
}
