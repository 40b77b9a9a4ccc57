#include "internal.h"

#include <postrider/base/auto.h>

#define HASHES_AT_ONCE 2 /* when nothing is said */
#define NOTICE_MAX (16 * 1024)

/* ---------------------------------------------------------------- what is offered */

static unsigned users_can(const struct users *u, const struct auth_peer *peer)
{
	unsigned bits = 0;

	if (u && (u->with_hash || u->with_scram))
		bits |= AUTH_PLAIN | AUTH_LOGIN;
	if (u && u->with_scram)
		bits |= AUTH_SCRAM_SHA_256 | (peer->channel_binding.len ? AUTH_SCRAM_SHA_256_PLUS : 0);
	return bits;
}

static unsigned dovecot_can(const struct auth_backend *b)
{
	unsigned bits = b ? b->ops->mechanisms(b) : 0;

	bits &= AUTH_PLAIN | AUTH_SCRAM_SHA_256 | AUTH_OAUTHBEARER | AUTH_XOAUTH2;
	return bits & AUTH_PLAIN ? bits | AUTH_LOGIN : bits;
}

static unsigned token_check_can(const struct auth_backend *b)
{
	return b ? b->ops->mechanisms(b) & (AUTH_OAUTHBEARER | AUTH_XOAUTH2) : 0;
}

static unsigned allowed_by(const struct config_listener *l)
{
	unsigned bits = l->auth_mechanisms.count ? 0 : ~0u;

	for (size_t i = 0; i < l->auth_mechanisms.count; i++) {
		const struct mechanism *m = mechanism_find(l->auth_mechanisms.items[i]);

		bits |= m ? m->bit : 0;
	}
	return bits;
}

static unsigned that_show_passwords(void)
{
	const struct mechanism *m;
	unsigned bits = 0;

	for (unsigned i = 0; (m = mechanism_get(i)); i++)
		bits |= m->shows_password ? m->bit : 0;
	return bits;
}

unsigned auth_offered(const struct auth *auth, const struct auth_peer *peer)
{
	const struct config_listener *l = peer->listener;
	unsigned relayed = dovecot_can(auth->dovecot);
	unsigned bits = users_can(auth->users, peer) | relayed | token_check_can(auth->token_check);
	bool is_private =
		peer->tls || l->auth_plaintext || peer->client.family == IP_NONE; /* a Unix socket is */

	if (l->auth == CONFIG_AUTH_NONE)
		return 0;
	if (relayed & AUTH_SCRAM_SHA_256)
		bits &= ~(unsigned)
		                AUTH_SCRAM_SHA_256_PLUS; /* Dovecot's users could not use it, and clients would */
	if (peer->certificate_user.len)
		bits |= AUTH_EXTERNAL;
	return bits & allowed_by(l) & (is_private ? ~0u : ~that_show_passwords());
}

void auth_add_offered(struct buf *out, unsigned mechanisms)
{
	const struct mechanism *m;
	bool first = true;

	for (unsigned i = 0; (m = mechanism_get(i)); i++) {
		if (!(mechanisms & m->bit))
			continue;
		buf_add_string(out, first ? "" : " ");
		buf_add_string(out, m->name);
		first = false;
	}
}

const char *auth_mechanism_name(enum auth_mechanism mechanism)
{
	const struct mechanism *m;

	for (unsigned i = 0; (m = mechanism_get(i)); i++) {
		if (m->bit == mechanism)
			return m->name;
	}
	return "";
}

struct auth_words auth_words(enum auth_step_kind kind)
{
	switch (kind) {
	case AUTH_DONE:
		return (struct auth_words){ 235, "2.7.0", "Authentication successful" };
	case AUTH_WRONG:
		return (struct auth_words){ 535, "5.7.8", "Authentication credentials invalid" };
	case AUTH_LOCKED:
		return (struct auth_words){ 454, "4.7.0", "Too many failed logins; try again later" };
	case AUTH_MALFORMED:
		return (struct auth_words){ 501, "5.5.2", "Cannot decode this authentication response" };
	case AUTH_TOO_LONG:
		return (struct auth_words){ 500, "5.5.6", "Authentication exchange line is too long" };
	case AUTH_CANCELLED:
		return (struct auth_words){ 501, "5.7.0", "Authentication cancelled" };
	case AUTH_UNKNOWN_MECHANISM:
		return (struct auth_words){ 504, "5.5.4", "This authentication mechanism is not offered" };
	case AUTH_NEEDS_TLS:
		return (struct auth_words){ 538, "5.7.11",
			                    "This authentication mechanism needs TLS: send STARTTLS first" };
	case AUTH_TEMPORARY:
	case AUTH_CHALLENGE:
		break;
	}
	return (struct auth_words){ 454, "4.7.0", "Temporary authentication failure; try again later" };
}

/* ---------------------------------------------------------------- its life */

/* What a configuration brings, all or nothing. */
struct parts {
	struct users *users;
	struct watch *watch;
	struct auth_backend *dovecot, *token_check;
};

static void close_backend(struct auth_backend **b)
{
	if (*b)
		(*b)->ops->close(b);
}

static void free_parts(struct parts *p)
{
	watch_free(&p->watch);
	users_free(&p->users);
	close_backend(&p->dovecot);
	close_backend(&p->token_check);
}

static enum err make_users(struct auth *auth, struct text path, struct parts *p, struct buf *problem)
{
	AUTO(buf_fini) struct buf notice = BUF(NOTICE_MAX);
	struct auth_file_mark mark = { 0 };
	enum err err;

	if (path.len == 0)
		return ERR_OK;
	err = users_load(&auth->options, path, &p->users, &mark, problem, &notice);
	if (!err)
		err = watch_new(auth, path, &mark, &p->watch);
	if (!err && notice.len && auth->options.on_notice)
		auth->options.on_notice(auth->options.owner, AUTH_USERS_ODD, buf_text(&notice));
	return err;
}

/* A backend whose place in the configuration is the same stays, with its connections, what it knows, and the dialogues that
 * are under way. */
static bool keeps_dovecot(const struct auth *auth, const struct config *config)
{
	struct text now = config->access.dovecot.text;

	return auth->dovecot && now.len && text_eq(auth->config->access.dovecot.text, now);
}

static bool keeps_token_check(const struct auth *auth, const struct config *config)
{
	struct text now = config->access.token_check;

	return auth->token_check && now.len && text_eq(auth->config->access.token_check, now);
}

static void on_backend_news(void *owner, bool is_bad, struct text what)
{
	const struct auth *auth = owner;

	if (auth->options.on_notice)
		auth->options.on_notice(auth->options.owner, is_bad ? AUTH_BACKEND_DOWN : AUTH_BACKEND_BACK,
		                        what);
}

static enum err make_parts(struct auth *auth, const struct config *config, struct parts *p,
                           struct buf *problem)
{
	const struct config_access *access = &config->access;
	const struct auth_backend_news news = { on_backend_news, auth };
	enum err err = make_users(auth, access->users_file, p, problem);

	if (!err && access->dovecot.text.len && !keeps_dovecot(auth, config))
		err = auth_dovecot_new(auth->io, &access->dovecot, news, &p->dovecot);
	if (!err && access->token_check.len && !keeps_token_check(auth, config))
		err = auth_token_check_new(auth->io, access->token_check, news, &p->token_check, problem);
	return err;
}

enum err auth_configure(struct auth *auth, const struct config *config, struct buf *problem)
{
	AUTO(free_parts) struct parts p = { 0 };
	enum err err = make_parts(auth, config, &p, problem);

	if (err)
		return err;
	if (keeps_dovecot(auth, config))
		p.dovecot = TAKE(auth->dovecot);
	if (keeps_token_check(auth, config))
		p.token_check = TAKE(auth->token_check);
	struct parts old = { auth->users, auth->watch, auth->dovecot, auth->token_check };

	auth->users = p.users;
	auth->watch = p.watch;
	auth->dovecot = p.dovecot;
	auth->token_check = p.token_check;
	p = old; /* goes now */
	config_unref(&auth->config);
	auth->config = config_ref(config);
	return ERR_OK;
}

enum err auth_new(const struct auth_options *options, struct auth **out, struct buf *problem)
{
	AUTO(auth_free) struct auth *auth = calloc(1, sizeof(*auth));
	enum err err;

	if (!auth)
		return ERR_NOMEM;
	auth->options = *options;
	auth->io = options->io;
	secret_key_init(&auth->pretence, auth->io);
	err = guard_new(auth->io, &auth->guard);
	if (!err)
		err = checks_new(auth->io, options->hashes_at_once ? options->hashes_at_once : HASHES_AT_ONCE,
		                 &auth->checks);
	if (!err)
		err = auth_configure(auth, options->config, problem);
	if (!err)
		*out = TAKE(auth);
	return err;
}

void auth_free(struct auth **auth)
{
	struct auth *a = TAKE(*auth);

	if (!a)
		return;
	free_parts(&(struct parts){ a->users, a->watch, a->dovecot, a->token_check });
	checks_free(&a->checks);
	guard_free(&a->guard);
	config_unref(&a->config);
	crypto_wipe(a, sizeof(*a));
	free(a);
}

struct auth_counts auth_count(const struct auth *auth)
{
	struct auth_counts c = auth->counts;
	struct checks_count checks = checks_count(auth->checks);

	c.hashes = checks.hashes;
	c.cache_hits = checks.known;
	c.waiting = checks.waiting;
	c.users = auth->users ? auth->users->count : 0;
	return c;
}
