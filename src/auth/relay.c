/* What somebody else knows: Dovecot, whose dialogue is handed on, and the checker of tokens. */
#include "internal.h"

#include <postrider/base/auto.h>

/* RFC 7628 section 3.2.2; XOAUTH2's looks the same. */
static const char token_error[] = "{\"status\":\"invalid_token\",\"schemes\":\"bearer\"}";

static struct auth_backend *backend_of(const struct auth_exchange *x)
{
	return x->asks_token_check ? x->auth->token_check : x->auth->dovecot;
}

/* ---------------------------------------------------------------- what it says */

static void take_yes(struct auth_exchange *x, const struct auth_result *result)
{
	/* Who names himself gets that name or none. */
	if (x->asks_token_check && x->name.len && !text_eq_nocase(buf_text(&x->name), result->user)) {
		exchange_challenge_then_wrong(x, text_from(token_error), "the token is another user's");
		return;
	}
	if (!exchange_take_name(x, result->user))
		return;
	x->has_senders = result->senders.at;
	buf_add(&x->senders, result->senders);
	if (buf_err(&x->senders)) {
		exchange_temporary(x, "no memory for the senders of a user");
		return;
	}
	if (result->octets.len)
		exchange_challenge_then_done(x, result->octets);
	else
		exchange_done(x);
}

static void on_result(void *owner, const struct auth_result *result)
{
	struct auth_exchange *x = owner;

	if (x->awaits_line)
		return; /* it was closed meanwhile: relay_go_on finds no call */
	if (result->verdict == AUTH_SAYS_NO || result->verdict == AUTH_SAYS_LATER)
		buf_add(&x->why_text, text_head(result->why, x->why_text.max));
	switch (result->verdict) {
	case AUTH_SAYS_MORE:
		if (x->relays) {
			exchange_challenge(x, result->octets);
			break;
		}
		relay_cancel(x);
		exchange_temporary(x, "the backend wants more than there is");
		break;
	case AUTH_SAYS_YES:
		take_yes(x, result);
		break;
	case AUTH_SAYS_NO:
		if (x->asks_token_check)
			exchange_challenge_then_wrong(x, text_from(token_error), "the token was refused");
		else
			exchange_wrong(x, "refused by the backend");
		break;
	case AUTH_SAYS_LATER:
		exchange_temporary(x, "the backend has no answer now");
		break;
	}
}

/* ---------------------------------------------------------------- what it is asked */

static void begin(struct auth_exchange *x)
{
	const struct auth_request request = { .mechanism = x->asks,
		                              .has_initial = true,
		                              .initial = buf_text(&x->message),
		                              .user = buf_text(&x->name),
		                              .listener = text_from(x->listener),
		                              .client = x->client,
		                              .tls = x->tls,
		                              .on_result = on_result,
		                              .owner = x };

	struct auth_backend *backend = backend_of(x); /* a reload may have taken it away while we waited */

	x->ops = backend ? backend->ops : NULL;
	if (!backend || backend->ops->begin(backend, &request, &x->call))
		exchange_temporary(x, "the backend cannot be asked");
}

static void ask(struct auth_exchange *x, enum auth_mechanism mechanism)
{
	x->asks = mechanism;
	exchange_guarded(x, begin);
}

static void answer(struct auth_exchange *x)
{
	if (x->call)
		x->ops->answer(x->call, buf_text(&x->message));
	else
		exchange_temporary(x, "the backend is gone");
}

bool relay_knows(const struct auth_exchange *x, enum auth_mechanism mechanism)
{
	const struct auth_backend *b = x->auth->dovecot;
	struct user user;

	return b && (b->ops->mechanisms(b) & mechanism) &&
	       !users_find(x->auth->users, buf_text(&x->name), &user);
}

/* PLAIN and LOGIN are one for a backend: an authorization identity that is not said, name, password. */
void relay_password(struct auth_exchange *x)
{
	secret_fini(&x->message);
	buf_reserve(&x->message, 2 + x->name.len + x->password.len);
	buf_add_octet(&x->message, 0);
	buf_add(&x->message, buf_text(&x->name));
	buf_add_octet(&x->message, 0);
	buf_add(&x->message, buf_text(&x->password));
	if (buf_err(&x->message))
		exchange_temporary(x, "no memory for a password, or it is too long");
	else
		ask(x, AUTH_PLAIN);
}

void relay_begin(struct auth_exchange *x)
{
	x->relays = true;
	ask(x, x->mechanism->bit);
}

void relay_go_on(struct auth_exchange *x)
{
	exchange_guarded(x, answer);
}

void relay_token(struct auth_exchange *x, struct text token)
{
	AUTO(secret_fini) struct buf copy = BUF(AUTH_LINE_MAX);

	buf_reserve(&copy, token.len);
	buf_add(&copy, token);
	if (buf_err(&copy)) {
		exchange_temporary(x, "no memory for a token");
		return;
	}
	secret_fini(&x->message); /* token stood in it */
	x->message = copy;
	copy = BUF(0);
	x->asks_token_check = true;
	ask(x, x->mechanism->bit);
}

void relay_cancel(struct auth_exchange *x)
{
	if (x->call)
		x->ops->cancel(&x->call);
}
