#include "client_internal.h"

#include <postrider/base/auto.h>
#include <postrider/base/base64.h>
#include <postrider/crypto.h>

#include "prep.h"

#define COMMAND_MAX 510    /* RFC 5321 section 4.5.3.1.4, without CR LF */
#define TOKEN_MAX 8192     /* octets: in base64 and with its name it is a line */
#define SHORT_SECRET 4     /* what is shorter is in any text by chance */
#define HEARD_MAX 300      /* of what a server says of a token */
#define CHALLENGE_MAX 9216 /* octets: AUTH_CLIENT_LINE_MAX in base64 */

/* ---------------------------------------------------------------- which one */

static const struct {
	enum auth_client_mechanism bit;
	const char *name;
	enum config_mechanism config; /* that asks for it */
} mechanisms[] = {
	{ AUTH_CLIENT_SCRAM_SHA_256_PLUS, "SCRAM-SHA-256-PLUS", CONFIG_MECHANISM_SCRAM_SHA_256 },
	{ AUTH_CLIENT_SCRAM_SHA_256, "SCRAM-SHA-256", CONFIG_MECHANISM_SCRAM_SHA_256 },
	{ AUTH_CLIENT_PLAIN, "PLAIN", CONFIG_MECHANISM_PLAIN },
	{ AUTH_CLIENT_LOGIN, "LOGIN", CONFIG_MECHANISM_LOGIN },
	{ AUTH_CLIENT_CRAM_MD5, "CRAM-MD5", CONFIG_MECHANISM_CRAM_MD5 },
	{ AUTH_CLIENT_EXTERNAL, "EXTERNAL", CONFIG_MECHANISM_EXTERNAL },
	{ AUTH_CLIENT_XOAUTH2, "XOAUTH2", CONFIG_MECHANISM_XOAUTH2 },
	{ AUTH_CLIENT_OAUTHBEARER, "OAUTHBEARER", CONFIG_MECHANISM_OAUTHBEARER },
};

const char *auth_client_name(enum auth_client_mechanism mechanism)
{
	for (size_t i = 0; i < ARRAY_LEN(mechanisms); i++)
		if (mechanisms[i].bit == mechanism)
			return mechanisms[i].name;
	return "";
}

void auth_client_add_names(struct buf *out, unsigned set)
{
	const char *before = "";

	for (size_t i = 0; i < ARRAY_LEN(mechanisms); i++) {
		if (!(set & mechanisms[i].bit))
			continue;
		buf_add_string(out, before);
		buf_add_string(out, mechanisms[i].name);
		before = ", ";
	}
	if (!set)
		buf_add_string(out, "none");
}

unsigned auth_client_offered(struct text list)
{
	unsigned offered = 0;

	while (list.len) {
		struct text name = text_cut(&list, ' ');

		for (size_t i = 0; i < ARRAY_LEN(mechanisms); i++)
			if (text_eq_nocase(name, text_from(mechanisms[i].name)))
				offered |= mechanisms[i].bit;
	}
	return offered;
}

static bool has_tokens(const struct config_oauth2 *o)
{
	return o->token_url.len || o->token_file.len || o->token_command.len;
}

/* What a login with its mechanism left open is good for. */
static unsigned all_of(const struct config_login *login, bool has_certificate)
{
	unsigned set = 0;

	if (login->username.len && login->secret.len)
		set |= AUTH_CLIENT_SCRAM_SHA_256_PLUS | AUTH_CLIENT_SCRAM_SHA_256 | AUTH_CLIENT_PLAIN |
		       AUTH_CLIENT_LOGIN | AUTH_CLIENT_CRAM_MD5;
	if (has_tokens(&login->oauth2))
		set |= AUTH_CLIENT_TOKENS;
	if (has_certificate)
		set |= AUTH_CLIENT_EXTERNAL;
	return set;
}

unsigned auth_client_usable(const struct config_login *login, bool has_certificate, bool has_binding)
{
	unsigned set = all_of(login, has_certificate), wanted = 0;

	for (size_t i = 0; i < ARRAY_LEN(mechanisms); i++)
		if (login->mechanism == CONFIG_MECHANISM_AUTO || login->mechanism == mechanisms[i].config)
			wanted |= mechanisms[i].bit;
	if (!has_binding)
		set &= ~(unsigned)AUTH_CLIENT_SCRAM_SHA_256_PLUS;
	return set & wanted;
}

enum auth_client_mechanism auth_client_best(unsigned set)
{
	return (enum auth_client_mechanism)(set & -set);
}

void auth_client_id(const struct config_login *login, unsigned char out[AUTH_CLIENT_ID_BYTES])
{
	const struct config_oauth2 *o = &login->oauth2;
	const struct text parts[] = { login->username,  login->secret,         o->token_url,
		                      o->client_id,     o->client_secret,      o->client_secret_file,
		                      o->refresh_token, o->refresh_token_file, o->scope,
		                      o->token_file,    o->token_command };
	struct text pieces[2 * ARRAY_LEN(parts)];
	char lengths[ARRAY_LEN(parts)][sizeof(size_t)];
	struct crypto_sha256 digest;

	/* with their lengths: "ab" and "c" is not "a" and "bc" */
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		memcpy(lengths[i], &parts[i].len, sizeof(size_t));
		pieces[2 * i] = text_of(lengths[i], sizeof(size_t));
		pieces[2 * i + 1] = parts[i];
	}
	digest = crypto_sha256(pieces, ARRAY_LEN(pieces));
	memcpy(out, digest.at, AUTH_CLIENT_ID_BYTES);
}

/* ---------------------------------------------------------------- the dialogue's memory */

void auth_client_init(struct auth_client *c)
{
	*c = (struct auth_client){ 0 };
	buf_init(&c->line, AUTH_CLIENT_LINE_MAX);
	buf_init(&c->message, AUTH_CLIENT_LINE_MAX);
	buf_init(&c->token, TOKEN_MAX);
	buf_init(&c->sent, AUTH_CLIENT_LINE_MAX);
	buf_init(&c->header, AUTH_CLIENT_LINE_MAX);
	buf_init(&c->bare, AUTH_CLIENT_LINE_MAX);
	buf_init(&c->server_first, AUTH_CLIENT_LINE_MAX);
	buf_init(&c->without_proof, AUTH_CLIENT_LINE_MAX);
	buf_init(&c->heard, CHALLENGE_MAX);
	buf_init(&c->derivation.password, AUTH_CLIENT_LINE_MAX);
	buf_init(&c->derivation.salt, CHALLENGE_MAX);
}

static void wipe_line(struct buf *b)
{
	if (b->at)
		crypto_wipe(b->at, b->room);
	buf_reset(b);
}

void auth_client_fini(struct auth_client *c)
{
	secret_fini(&c->line);
	secret_fini(&c->message);
	secret_fini(&c->token);
	secret_fini(&c->sent);
	buf_fini(&c->header);
	buf_fini(&c->bare);
	buf_fini(&c->server_first);
	buf_fini(&c->without_proof);
	buf_fini(&c->heard);
	auth_client_derivation_fini(&c->derivation);
	c->mechanism = AUTH_CLIENT_NONE;
}

/* A buf for secrets has all its room before the first octet: so it never leaves a copy behind by moving. */
static bool has_room(struct auth_client *c)
{
	struct buf *const bufs[] = { &c->line, &c->message, &c->token, &c->sent };

	for (size_t i = 0; i < ARRAY_LEN(bufs); i++) {
		wipe_line(bufs[i]);
		if (!buf_reserve(bufs[i], bufs[i]->max))
			return false;
	}
	return true;
}

enum auth_client_next client_stop(struct auth_client *c, enum auth_client_next how, const char *problem)
{
	c->problem = problem;
	wipe_line(&c->line);
	buf_add_octet(&c->line, '*'); /* RFC 4954 section 4: "If the client wishes to cancel" */
	return how;
}

enum auth_client_next client_say(struct auth_client *c, struct text octets)
{
	wipe_line(&c->line);
	base64_add(&c->line, octets);
	wipe_line(&c->sent);
	buf_add(&c->sent, buf_text(&c->line));
	if (buf_err(&c->line))
		return client_stop(c, AUTH_CLIENT_FAILED, "the answer to a challenge would be too long");
	return AUTH_CLIENT_SEND;
}

/* ---------------------------------------------------------------- the first message of each */

static void add_plain(struct auth_client *c, struct buf *out)
{
	buf_add_octet(out, 0);
	buf_add(out, c->login->username);
	buf_add_octet(out, 0);
	buf_add(out, c->login->secret);
}

static void add_xoauth2(struct auth_client *c, struct buf *out)
{
	buf_add_string(out, "user=");
	buf_add(out, c->login->username);
	buf_add_string(out, "\1auth=Bearer ");
	buf_add(out, buf_text(&c->token));
	buf_add_string(out, "\1\1");
}

/* saslname of RFC 5801 section 4 */
static void add_saslname(struct buf *out, struct text name)
{
	for (size_t i = 0; i < name.len; i++) {
		if (name.at[i] == ',')
			buf_add_string(out, "=2C");
		else if (name.at[i] == '=')
			buf_add_string(out, "=3D");
		else
			buf_add_octet(out, name.at[i]);
	}
}

/* RFC 7628 section 3.1 */
static void add_oauthbearer(struct auth_client *c, struct buf *out)
{
	buf_add_string(out, "n,");
	if (c->login->username.len) {
		buf_add_string(out, "a=");
		add_saslname(out, c->login->username);
	}
	buf_add_string(out, ",\1");
	if (c->host.len)
		buf_add_format(out, "host=%.*s\1port=%u\1", TEXT_ARGS(c->host), (unsigned)c->port);
	buf_add_string(out, "auth=Bearer ");
	buf_add(out, buf_text(&c->token));
	buf_add_string(out, "\1\1");
}

/* b64token of RFC 6750 section 2.1, a little wider: what cannot end the field, nor the line. */
static bool is_token(struct text t)
{
	for (size_t i = 0; i < t.len; i++)
		if (t.at[i] <= ' ' || t.at[i] > '~')
			return false;
	return t.len > 0;
}

static bool has_octet_below_space(struct text t)
{
	for (size_t i = 0; i < t.len; i++)
		if ((unsigned char)t.at[i] < ' ')
			return true;
	return false;
}

/* False: it begins with the server's challenge. */
static bool begins(struct auth_client *c, const struct auth_client_start *start, struct buf *out)
{
	switch (c->mechanism) {
	case AUTH_CLIENT_SCRAM_SHA_256_PLUS:
	case AUTH_CLIENT_SCRAM_SHA_256:
		client_scram_first(c, start, out);
		return true;
	case AUTH_CLIENT_PLAIN:
		add_plain(c, out);
		return true;
	case AUTH_CLIENT_EXTERNAL:
		buf_add(out, c->login->username);
		return true;
	case AUTH_CLIENT_XOAUTH2:
		add_xoauth2(c, out);
		return true;
	case AUTH_CLIENT_OAUTHBEARER:
		add_oauthbearer(c, out);
		return true;
	default:
		return false;
	}
}

/* What no mechanism can carry; NULL: it is fine. */
static const char *unfit(const struct auth_client_start *start)
{
	if (has_octet_below_space(start->login->username))
		return "the username has a control character in it";
	if (text_find_octet(start->login->secret, 0) < start->login->secret.len)
		return "the password has a NUL in it";
	if ((start->mechanism & AUTH_CLIENT_TOKENS) && start->token.len > TOKEN_MAX)
		return "the token is longer than 8192 octets";
	if ((start->mechanism & AUTH_CLIENT_TOKENS) && !is_token(start->token))
		return "the token is not one: it is empty, or has spaces or control characters in it";
	return NULL;
}

enum auth_client_next auth_client_begin(struct auth_client *c, const struct auth_client_start *start)
{
	AUTO(secret_fini) struct buf first = BUF(AUTH_CLIENT_LINE_MAX);
	const char *fault = unfit(start);

	c->login = start->login;
	c->mechanism = start->mechanism;
	c->host = start->host;
	c->port = start->port;
	c->messages = 0;
	c->problem = "there is no memory for a dialogue";
	c->is_proved = false;
	buf_reset(&c->heard);
	client_scram_reset(c);
	if (fault || !has_room(c) || !buf_reserve(&first, first.max))
		return client_stop(c, AUTH_CLIENT_FAILED, fault ? fault : c->problem);
	if (start->mechanism & AUTH_CLIENT_TOKENS)
		buf_add(&c->token, start->token);
	buf_add_string(&c->line, "AUTH ");
	buf_add_string(&c->line, auth_client_name(c->mechanism));
	if (!begins(c, start, &first))
		return AUTH_CLIENT_SEND;
	base64_add(&c->message, buf_text(&first));
	buf_add(&c->sent, buf_text(&c->message));
	if (buf_err(&first) || buf_err(&c->message) || buf_err(&c->bare) || buf_err(&c->header))
		return client_stop(c, AUTH_CLIENT_FAILED,
		                   "the name and what proves it are too long for a line");
	if (c->line.len + 1 + c->message.len <= COMMAND_MAX) {
		buf_add_octet(&c->line, ' ');
		buf_add(&c->line, c->message.len ? buf_text(&c->message) : TEXT("="));
		c->messages = 1;
	}
	return AUTH_CLIENT_SEND;
}

/* ---------------------------------------------------------------- challenges */

static enum auth_client_next say_message(struct auth_client *c)
{
	wipe_line(&c->line);
	buf_add(&c->line, buf_text(&c->message));
	return AUTH_CLIENT_SEND;
}

/* RFC 2195: NAME, and the digest in hexadecimal */
static enum auth_client_next answer_cram(struct auth_client *c, struct text challenge)
{
	struct crypto_md5 digest = crypto_hmac_md5(c->login->secret, &challenge, 1);
	AUTO(secret_fini) struct buf answer = BUF(AUTH_CLIENT_LINE_MAX);

	if (challenge.len == 0)
		return client_stop(c, AUTH_CLIENT_FAULT, "the host's challenge for CRAM-MD5 is empty");
	buf_add(&answer, c->login->username);
	buf_add_octet(&answer, ' ');
	for (size_t i = 0; i < sizeof(digest.at); i++)
		buf_add_format(&answer, "%02x", digest.at[i]);
	return client_say(c, buf_text(&answer));
}

/* Nobody has written down what LOGIN's challenges say; most say "Username:" and "Password:". */
static enum auth_client_next answer_login(struct auth_client *c)
{
	if (c->messages > 2)
		return client_stop(c, AUTH_CLIENT_FAULT, "the host asks for more than a name and a password");
	return client_say(c, c->messages == 1 ? c->login->username : c->login->secret);
}

/* The token was refused, and the reply code comes when the error is acknowledged (RFC 7628 section 3.2.3). */
static enum auth_client_next answer_token_error(struct auth_client *c, struct text octets)
{
	if (c->messages > 2)
		return client_stop(c, AUTH_CLIENT_FAULT, "the host goes on where its reply is due");
	buf_reset(&c->heard);
	buf_add(&c->heard, text_head(octets, HEARD_MAX));
	wipe_line(&c->line);
	if (c->mechanism == AUTH_CLIENT_OAUTHBEARER)
		base64_add(&c->line, TEXT("\1"));
	return AUTH_CLIENT_SEND;
}

/* All was said. A host that did not listen to the initial response asks for it, without a word. */
static enum auth_client_next answer_again(struct auth_client *c, struct text octets)
{
	if (c->messages > 2 || octets.len)
		return client_stop(c, AUTH_CLIENT_FAULT, "the host goes on where its reply is due");
	return say_message(c);
}

static enum auth_client_next answer(struct auth_client *c, struct text octets)
{
	switch (c->mechanism) {
	case AUTH_CLIENT_LOGIN:
		return answer_login(c);
	case AUTH_CLIENT_CRAM_MD5:
		return c->messages == 1 ? answer_cram(c, octets) : answer_again(c, TEXT("?"));
	case AUTH_CLIENT_SCRAM_SHA_256_PLUS:
	case AUTH_CLIENT_SCRAM_SHA_256:
		return c->messages == 1 ? say_message(c) : client_scram_challenge(c, octets);
	case AUTH_CLIENT_XOAUTH2:
	case AUTH_CLIENT_OAUTHBEARER:
		return c->messages == 1 ? say_message(c) : answer_token_error(c, octets);
	default:
		return c->messages == 1 ? say_message(c) : answer_again(c, octets);
	}
}

enum auth_client_next auth_client_challenge(struct auth_client *c, struct text challenge)
{
	AUTO(buf_fini) struct buf octets = BUF(CHALLENGE_MAX);
	/* LOGIN's challenges are for people, and some hosts say them as they are. */
	bool is_read = c->mechanism != AUTH_CLIENT_LOGIN;
	enum err err = ERR_OK;

	c->messages++;
	challenge = text_trim(challenge);
	if (is_read && !text_eq(challenge, TEXT("=")))
		err = base64_decode(challenge, &octets);
	if (err == ERR_NOMEM)
		return client_stop(c, AUTH_CLIENT_FAILED, "there is no memory for a dialogue");
	if (err)
		return client_stop(c, AUTH_CLIENT_FAULT, "the host's challenge is not base64");
	return answer(c, buf_text(&octets));
}

enum auth_client_next auth_client_derived(struct auth_client *c)
{
	return client_scram_derived(c);
}

bool auth_client_succeeded(struct auth_client *c)
{
	bool proves = c->mechanism & (AUTH_CLIENT_SCRAM_SHA_256 | AUTH_CLIENT_SCRAM_SHA_256_PLUS);

	wipe_line(&c->line);
	if (!proves || c->is_proved)
		return true;
	c->problem = "the host says that we are logged in and has not proved that it knows us";
	return false;
}

/* ---------------------------------------------------------------- keeping it to ourselves */

static void hide(struct buf *words, struct text secret)
{
	AUTO(buf_fini) struct buf clean = BUF(words->max);
	struct text rest = buf_text(words);

	if (secret.len < SHORT_SECRET || text_find(rest, secret) == rest.len)
		return;
	while (rest.len) {
		size_t at = text_find(rest, secret);

		buf_add(&clean, text_head(rest, at));
		if (at < rest.len)
			buf_add_string(&clean, "***");
		rest = text_skip(rest, at + secret.len);
	}
	buf_reset(words);
	buf_add(words, buf_err(&clean) ? TEXT("***") : buf_text(&clean));
}

void auth_client_hide(const struct auth_client *c, struct buf *words)
{
	AUTO(secret_fini) struct buf base64 = BUF(AUTH_CLIENT_LINE_MAX);

	if (!c->login)
		return;
	if (!buf_reserve(&base64, BASE64_CHARS(c->login->secret.len))) {
		buf_reset(words);
		return;
	}
	base64_add(&base64, c->login->secret);
	hide(words, buf_text(&c->sent));
	hide(words, buf_text(&c->token));
	hide(words, c->login->secret);
	hide(words, buf_text(&base64));
}
