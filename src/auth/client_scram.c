/* SCRAM-SHA-256 and -PLUS, the client's side: scram.c has the dialogue. */
#include "client_internal.h"

#include <postrider/base/auto.h>
#include <postrider/base/base64.h>
#include <postrider/crypto.h>

#include "prep.h"
#include "scram_verifier.h"

#define SALT_MAX 1024
#define NONCE_MAX 1024 /* of both ends */

void client_scram_reset(struct auth_client *c)
{
	buf_reset(&c->header);
	buf_reset(&c->bare);
	buf_reset(&c->server_first);
	buf_reset(&c->without_proof);
	if (c->derivation.password.at)
		crypto_wipe(c->derivation.password.at, c->derivation.password.room);
	buf_reset(&c->derivation.password);
	buf_reset(&c->derivation.salt);
}

/* Prepared, or as it is where SASLprep has no form for it: servers do likewise. */
static void add_prepared(struct buf *out, struct text t)
{
	size_t len = out->len;

	if (prep_add(t, out) == ERR_SYNTAX) {
		buf_cut(out, len);
		buf_add(out, t);
	}
}

static void add_name(struct buf *out, struct text name)
{
	AUTO(buf_fini) struct buf prepared = BUF(AUTH_CLIENT_LINE_MAX);

	add_prepared(&prepared, name);
	for (size_t i = 0; i < prepared.len; i++) {
		if (prepared.at[i] == ',')
			buf_add_string(out, "=2C");
		else if (prepared.at[i] == '=')
			buf_add_string(out, "=3D");
		else
			buf_add_octet(out, prepared.at[i]);
	}
}

/* gs2-header, and what is bound to. "y": we could bind, and the server did not offer it: if it did, it knows that somebody
 * stands between (RFC 5802 section 6). */
static void keep_header(struct auth_client *c, const struct auth_client_start *start, const char *header)
{
	buf_add_string(&c->header, header);
	if (c->mechanism == AUTH_CLIENT_SCRAM_SHA_256_PLUS)
		buf_add(&c->header, start->binding);
}

enum auth_client_next client_scram_first(struct auth_client *c, const struct auth_client_start *start,
                                         struct buf *out)
{
	const char *header = c->mechanism == AUTH_CLIENT_SCRAM_SHA_256_PLUS ? "p=tls-exporter,,"
	                     : start->binding.len && !start->plus_offered   ? "y,,"
	                                                                    : "n,,";

	keep_header(c, start, header);
	buf_add_string(&c->bare, "n=");
	add_name(&c->bare, c->login->username);
	buf_add_string(&c->bare, ",r=");
	c->nonce_at = c->bare.len;
	base64_add(&c->bare, start->nonce);
	buf_add_string(out, header);
	buf_add(out, buf_text(&c->bare));
	return AUTH_CLIENT_SEND;
}

static bool is_printable(struct text t)
{
	for (size_t i = 0; i < t.len; i++)
		if (t.at[i] < 0x21 || t.at[i] > 0x7e)
			return false;
	return true;
}

/* r=NONCE,s=SALT,i=ITERATIONS[,extensions]; an extension that must be understood ("m=") stands first. */
static const char *take_first(struct auth_client *c, struct text rest)
{
	struct text own = text_skip(buf_text(&c->bare), c->nonce_at), nonce = text_cut(&rest, ','),
		    salt = text_cut(&rest, ','), count = text_cut(&rest, ',');
	uint64_t iterations = 0;

	if (!text_starts(nonce, TEXT("r=")) || !text_starts(salt, TEXT("s=")) ||
	    !text_starts(count, TEXT("i=")))
		return "the host's first message is not SCRAM's";
	nonce = text_skip(nonce, 2);
	if (nonce.len <= own.len || nonce.len > NONCE_MAX || !text_starts(nonce, own) || !is_printable(nonce))
		return "the host's nonce does not go on from ours";
	if (text_to_u64(text_skip(count, 2), AUTH_CLIENT_MOST_ITERATIONS, &iterations))
		return "the host wants more than 1000000 iterations of SCRAM, or says no number";
	if (iterations < AUTH_CLIENT_LEAST_ITERATIONS)
		return "the host wants less than 4096 iterations of SCRAM: the password would be easy to guess";
	salt = text_skip(salt, 2);
	if (salt.len > SALT_MAX || base64_decode(salt, &c->derivation.salt) || c->derivation.salt.len == 0)
		return "the host's salt is not base64";
	c->derivation.iterations = (uint32_t)iterations;
	buf_add_string(&c->without_proof, "c=");
	base64_add(&c->without_proof, buf_text(&c->header));
	buf_add_string(&c->without_proof, ",r=");
	buf_add(&c->without_proof, nonce);
	return NULL;
}

static enum auth_client_next take_server_first(struct auth_client *c, struct text octets)
{
	const char *fault = take_first(c, octets);
	struct buf *password = &c->derivation.password;

	if (fault)
		return client_stop(c, AUTH_CLIENT_FAULT, fault);
	buf_add(&c->server_first, octets);
	if (buf_reserve(password, password->max))
		add_prepared(password, c->login->secret);
	if (buf_err(password) || buf_err(&c->server_first) || buf_err(&c->without_proof))
		return client_stop(c, AUTH_CLIENT_FAILED, "there is no memory for a dialogue");
	return AUTH_CLIENT_DERIVE;
}

enum auth_client_next client_scram_derived(struct auth_client *c)
{
	const struct text comma = LIT(",");
	const struct text message[] = { buf_text(&c->bare), comma, buf_text(&c->server_first), comma,
		                        buf_text(&c->without_proof) };
	AUTO(secret_fini) struct buf last = BUF(AUTH_CLIENT_LINE_MAX);
	struct auth_client_derivation *d = &c->derivation;
	struct crypto_sha256 proof = crypto_hmac_sha256(text_of((const char *)d->stored, sizeof(d->stored)),
	                                                message, ARRAY_LEN(message));
	struct crypto_sha256 signature = crypto_hmac_sha256(
		text_of((const char *)d->server, sizeof(d->server)), message, ARRAY_LEN(message));

	for (size_t i = 0; i < sizeof(proof.at); i++)
		proof.at[i] ^= d->client[i];
	memcpy(c->signature, signature.at, sizeof(c->signature));
	buf_add(&last, buf_text(&c->without_proof));
	buf_add_string(&last, ",p=");
	base64_add(&last, crypto_sha256_text(&proof));
	crypto_wipe(d->client, sizeof(d->client));
	crypto_wipe(d->stored, sizeof(d->stored));
	crypto_wipe(d->server, sizeof(d->server));
	if (buf_err(&last))
		return client_stop(c, AUTH_CLIENT_FAILED, "there is no memory for a dialogue");
	return client_say(c, buf_text(&last));
}

/* v=SIGNATURE, to be acknowledged; or e=what-went-wrong, and the reply code comes behind it. */
static enum auth_client_next take_server_final(struct auth_client *c, struct text octets)
{
	struct text value = text_cut(&octets, ',');
	char signature[sizeof(c->signature)];
	size_t len = 0;

	if (text_starts(value, TEXT("e="))) {
		buf_reset(&c->heard);
		buf_add(&c->heard, text_head(text_skip(value, 2), 100));
		return client_say(c, TEXT_EMPTY);
	}
	if (!text_starts(value, TEXT("v=")) ||
	    base64_decode_to(text_skip(value, 2), signature, sizeof(signature), &len) ||
	    len != sizeof(signature) ||
	    !crypto_equal(text_of(signature, len), text_of((const char *)c->signature, len)))
		return client_stop(c, AUTH_CLIENT_UNTRUSTED,
		                   "the host cannot prove that it knows us: it is not trusted");
	c->is_proved = true;
	return client_say(c, TEXT_EMPTY);
}

enum auth_client_next client_scram_challenge(struct auth_client *c, struct text octets)
{
	if (c->messages == 2)
		return take_server_first(c, octets);
	if (c->messages == 3)
		return take_server_final(c, octets);
	return client_stop(c, AUTH_CLIENT_FAULT, "the host goes on where its reply is due");
}

/* ---------------------------------------------------------------- what takes time */

void auth_client_derivation_copy(struct auth_client_derivation *to, const struct auth_client_derivation *from)
{
	to->password = BUF(AUTH_CLIENT_LINE_MAX);
	to->salt = BUF(SALT_MAX);
	to->iterations = from->iterations;
	buf_reserve(&to->password, from->password.len);
	buf_add(&to->password, buf_text(&from->password));
	buf_add(&to->salt, buf_text(&from->salt));
}

void auth_client_derivation_fini(struct auth_client_derivation *d)
{
	secret_fini(&d->password);
	buf_fini(&d->salt);
	crypto_wipe(d->client, sizeof(d->client));
	crypto_wipe(d->stored, sizeof(d->stored));
	crypto_wipe(d->server, sizeof(d->server));
}

void auth_client_derive(struct auth_client_derivation *d)
{
	struct scram_keys keys = scram_keys_make(buf_text(&d->password), buf_text(&d->salt), d->iterations);

	memcpy(d->client, keys.client.at, sizeof(d->client));
	memcpy(d->stored, keys.stored.at, sizeof(d->stored));
	memcpy(d->server, keys.server.at, sizeof(d->server));
	crypto_wipe(&keys, sizeof(keys));
}

void auth_client_take(struct auth_client *c, const struct auth_client_derivation *d)
{
	memcpy(c->derivation.client, d->client, sizeof(d->client));
	memcpy(c->derivation.stored, d->stored, sizeof(d->stored));
	memcpy(c->derivation.server, d->server, sizeof(d->server));
}
