/* A dialogue: lines in, steps out. */
#include "internal.h"

#include <assert.h>

#include <postrider/base/auto.h>
#include <postrider/base/base64.h>

/* The longest challenge: SCRAM's with both nonces, or what Dovecot says. */
#define CHALLENGE_MAX AUTH_LINE_MAX
#define WHY_MAX 512

/* ---------------------------------------------------------------- its end, and steps */

static void exchange_free(struct auth_exchange *x)
{
	checks_leave(&x->check);
	relay_cancel(x);
	guard_return(&x->ticket, false);
	io_timer_stop(x->auth->io, &x->timer);
	io_later_cancel(x->auth->io, &x->later);
	auth_user_unref(&x->user);
	free(x->listener);
	buf_fini(&x->certificate_user);
	secret_fini(&x->channel_binding);
	buf_fini(&x->name);
	buf_fini(&x->senders);
	secret_fini(&x->message);
	secret_fini(&x->password);
	scram_fini(&x->scram);
	buf_fini(&x->challenge);
	buf_fini(&x->why_text);
	free(x);
}

static void count_end(struct auth_counts *c, enum auth_step_kind kind)
{
	c->succeeded += kind == AUTH_DONE;
	c->failed += kind == AUTH_WRONG;
	c->temporary += kind == AUTH_TEMPORARY;
	c->locked += kind == AUTH_LOCKED;
}

static void say_challenge(struct auth_exchange *x)
{
	AUTO(buf_fini) struct buf challenge = x->challenge; /* on_step may answer at once */
	const struct auth_step step = { .kind = AUTH_CHALLENGE,
		                        .challenge = buf_text(&challenge),
		                        .mechanism = x->mechanism->bit,
		                        .name = buf_text(&x->name) };

	buf_init(&x->challenge, CHALLENGE_MAX);
	x->awaits_line = true;
	x->on_step(x->owner, &step);
}

static void say_end(struct auth_exchange *x)
{
	const struct auth_step step = { .kind = x->kind,
		                        .challenge = TEXT_EMPTY,
		                        .user = x->user,
		                        .mechanism = x->mechanism ? x->mechanism->bit : 0,
		                        .name = buf_text(&x->name),
		                        .why = x->why_text.len ? buf_text(&x->why_text) : text_from(x->why) };

	*x->slot = NULL;
	count_end(&x->auth->counts, x->kind);
	x->on_step(x->owner, &step);
	exchange_free(x);
}

static void say_step(void *owner)
{
	struct auth_exchange *x = owner;

	if (x->kind == AUTH_CHALLENGE)
		say_challenge(x);
	else
		say_end(x);
}

/* wait_ms: not before so long after the client's line. */
static void step(struct auth_exchange *x, enum auth_step_kind kind, const char *why, int64_t wait_ms)
{
	x->kind = kind;
	x->why = why;
	if (wait_ms == 0 || io_timer_start(x->auth->io, &x->timer, x->line_at + wait_ms, say_step, x))
		io_later_run(x->auth->io, &x->later, say_step, x);
}

void exchange_temporary(struct auth_exchange *x, const char *why)
{
	guard_return(&x->ticket, false);
	step(x, AUTH_TEMPORARY, why, 0);
}

void exchange_malformed(struct auth_exchange *x, const char *why)
{
	guard_return(&x->ticket, false);
	step(x, AUTH_MALFORMED, why, 0);
}

void exchange_failed(struct auth_exchange *x, enum err err, const char *why)
{
	if (err == ERR_SYNTAX)
		exchange_malformed(x, why);
	else
		exchange_temporary(x, "no memory for a message");
}

void exchange_wrong(struct auth_exchange *x, const char *why)
{
	guard_return(&x->ticket, true);
	step(x, AUTH_WRONG, why, guard_delay(x->auth->guard, x->failures, x->client));
}

void exchange_challenge(struct auth_exchange *x, struct text octets)
{
	guard_return(&x->ticket, false);
	base64_add(&x->challenge, octets);
	if (buf_err(&x->challenge))
		exchange_temporary(x, "no memory for a challenge");
	else
		step(x, AUTH_CHALLENGE, NULL, 0);
}

void exchange_challenge_then_done(struct auth_exchange *x, struct text octets)
{
	x->ends_right = true;
	exchange_challenge(x, octets);
}

void exchange_challenge_then_wrong(struct auth_exchange *x, struct text octets, const char *why)
{
	int64_t delay_ms;

	guard_return(&x->ticket, true);
	delay_ms = guard_delay(x->auth->guard, x->failures, x->client);
	x->ends_wrong = true;
	x->ends_why = why;
	base64_add(&x->challenge, octets);
	if (buf_err(&x->challenge)) {
		exchange_temporary(x, "no memory for a challenge");
		return;
	}
	step(x, AUTH_CHALLENGE, NULL, delay_ms);
}

void exchange_done(struct auth_exchange *x)
{
	enum err err = auth_user_new(x->auth, buf_text(&x->name), &x->user);

	if (!err && x->has_senders)
		err = auth_user_limit(x->user, buf_text(&x->senders));
	if (err == ERR_DENIED) {
		exchange_wrong(x, "this user is shut out in the users file");
	} else if (err) {
		auth_user_unref(&x->user);
		exchange_temporary(x, "no memory for the user");
	} else {
		guard_return(&x->ticket, false);
		step(x, AUTH_DONE, NULL, 0);
	}
}

bool exchange_take_name(struct auth_exchange *x, struct text name)
{
	buf_reset(&x->name);
	enum err err = name.len > AUTH_NAME_MAX ? ERR_SYNTAX : prep_add(name, &x->name);

	if (!err)
		return true;
	buf_reset(&x->name);
	if (err == ERR_NOMEM)
		exchange_temporary(x, "no memory for a name");
	else
		exchange_wrong(x, "this cannot be the name of a user");
	return false;
}

bool exchange_is_own_identity(const struct auth_exchange *x, struct text identity)
{
	AUTO(buf_fini) struct buf prepared = BUF(AUTH_NAME_MAX);

	return identity.len == 0 || (prep_add(identity, &prepared) == ERR_OK &&
	                             text_eq_nocase(buf_text(&prepared), buf_text(&x->name)));
}

/* ---------------------------------------------------------------- guessing is counted */

static void on_ticket(struct guard_ticket *ticket, enum guard_answer answer)
{
	struct auth_exchange *x = CONTAINER_OF(ticket, struct auth_exchange, ticket);

	if (answer == GUARD_GRANTED)
		x->when_granted(x);
	else if (answer == GUARD_LOCKED)
		step(x, AUTH_LOCKED, "too many failures of this client, or for this name from its network",
		     guard_delay(x->auth->guard, x->failures, x->client));
	else if (answer == GUARD_FAILED)
		exchange_temporary(x, "no memory to count failures");
}

void exchange_guarded(struct auth_exchange *x, void (*go)(struct auth_exchange *x))
{
	x->ticket.fn = on_ticket;
	x->when_granted = go;
	on_ticket(&x->ticket,
	          guard_ask(x->auth->guard, x->failures, x->client, buf_text(&x->name), &x->ticket));
}

/* ---------------------------------------------------------------- passwords */

static void on_checked(struct check *check, enum check_answer answer)
{
	struct auth_exchange *x = CONTAINER_OF(check, struct auth_exchange, check);

	if (answer == CHECK_RIGHT)
		exchange_done(x);
	else if (answer == CHECK_WRONG)
		exchange_wrong(x, "wrong name or password");
	else if (answer == CHECK_BUSY)
		exchange_temporary(x, "too many passwords wait to be checked");
	else if (answer == CHECK_FAILED)
		exchange_temporary(x, "no memory to check a password");
}

static void check_now(struct auth_exchange *x)
{
	x->check.fn = on_checked;
	on_checked(&x->check, checks_ask(x->auth->checks, x->auth->users, buf_text(&x->name),
	                                 buf_text(&x->password), &x->check));
}

void exchange_check_password(struct auth_exchange *x)
{
	if (x->password.len == 0)
		exchange_wrong(x, "an empty password");
	else if (relay_knows(x, AUTH_PLAIN))
		relay_password(x);
	else
		exchange_guarded(x, check_now);
}

/* ---------------------------------------------------------------- lines */

static void take_octets(struct auth_exchange *x)
{
	struct text octets = buf_text(&x->message);

	x->messages++;
	if (x->ends_wrong)
		step(x, AUTH_WRONG, x->ends_why, 0);
	else if (x->ends_right && octets.len)
		exchange_malformed(x, "something where an empty line should end the dialogue");
	else if (x->ends_right)
		exchange_done(x);
	else if (x->relays)
		relay_go_on(x);
	else
		x->mechanism->take(x, octets);
}

static void take_line(struct auth_exchange *x, struct text line)
{
	x->line_at = io_now_at(x->auth->io);
	secret_fini(&x->message);
	if (line.len > AUTH_LINE_MAX) {
		step(x, AUTH_TOO_LONG, "a line of more than 12288 octets", 0);
		return;
	}
	buf_reserve(&x->message, BASE64_OCTETS(line.len));
	enum err err = base64_decode(line, &x->message);

	if (err)
		exchange_failed(x, err, "no base64");
	else
		take_octets(x);
}

void auth_answer(struct auth_exchange *x, struct text line)
{
	assert(x->awaits_line);
	x->awaits_line = false;
	if (text_eq(line, TEXT("*")))
		step(x, AUTH_CANCELLED, "the client gave up", 0);
	else
		take_line(x, line);
}

void auth_cancel(struct auth_exchange **slot)
{
	struct auth_exchange *x = *slot;

	*slot = NULL;
	if (x)
		exchange_free(x);
}

/* ---------------------------------------------------------------- its begin */

static enum err take_peer(struct auth_exchange *x, const struct auth_peer *peer)
{
	x->client = peer->client;
	x->tls = peer->tls;
	x->failures = peer->listener->per_client.auth_failures;
	buf_add(&x->certificate_user, peer->certificate_user);
	buf_add(&x->channel_binding, peer->channel_binding);
	x->listener = text_dup(peer->listener->name);
	if (!x->listener || buf_err(&x->certificate_user) || buf_err(&x->channel_binding))
		return ERR_NOMEM;
	return ERR_OK;
}

static struct auth_exchange *exchange_new(struct auth *auth, const struct auth_start *start)
{
	struct auth_exchange *x = calloc(1, sizeof(*x));

	if (!x)
		return NULL;
	x->auth = auth;
	x->on_step = start->on_step;
	x->owner = start->owner;
	x->line_at = io_now_at(auth->io);
	buf_init(&x->certificate_user, AUTH_LINE_MAX);
	buf_init(&x->channel_binding, CHANNEL_BINDING_MAX);
	buf_init(&x->name, AUTH_NAME_MAX);
	buf_init(&x->senders, AUTH_SENDERS_MAX);
	buf_init(&x->message, AUTH_LINE_MAX);
	buf_init(&x->password, AUTH_LINE_MAX);
	buf_init(&x->challenge, CHALLENGE_MAX);
	buf_init(&x->why_text, WHY_MAX);
	scram_init(&x->scram);
	if (take_peer(x, start->peer) == ERR_OK)
		return x;
	exchange_free(x);
	return NULL;
}

/* What would be to be had if the client had done STARTTLS. */
static bool only_tls_is_missing(const struct auth *auth, const struct auth_peer *peer,
                                enum auth_mechanism bit)
{
	struct auth_peer inside = *peer;

	inside.tls = true;
	return !peer->tls && (auth_offered(auth, &inside) & bit);
}

static void begin(struct auth_exchange *x, const struct auth_start *start)
{
	unsigned offered = auth_offered(x->auth, start->peer);

	x->plus_offered = offered & AUTH_SCRAM_SHA_256_PLUS;
	if (!x->mechanism)
		step(x, AUTH_UNKNOWN_MECHANISM, "a mechanism that is not known", 0);
	else if (!(offered & x->mechanism->bit) &&
	         only_tls_is_missing(x->auth, start->peer, x->mechanism->bit))
		step(x, AUTH_NEEDS_TLS, "a mechanism that shows the password, outside TLS", 0);
	else if (!(offered & x->mechanism->bit))
		step(x, AUTH_UNKNOWN_MECHANISM, "a mechanism that is not offered here", 0);
	else if (!start->has_initial)
		exchange_challenge(x, x->mechanism->first_challenge);
	else
		take_line(x, text_eq(start->initial, TEXT("=")) ? TEXT_EMPTY : start->initial);
}

enum err auth_begin(struct auth *auth, const struct auth_start *start, struct auth_exchange **slot)
{
	struct auth_exchange *x = exchange_new(auth, start);

	if (!x)
		return ERR_NOMEM;
	x->mechanism = mechanism_find(start->mechanism);
	x->slot = slot;
	*slot = x;
	begin(x, start);
	return ERR_OK;
}
