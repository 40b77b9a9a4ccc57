#include "scram_verifier.h"

#include <assert.h>

#include <postrider/base/base64.h>

static bool decode_digest(struct text chars, struct crypto_sha256 *out)
{
	size_t len = 0;

	return base64_decode_to(chars, out->at, sizeof(out->at), &len) == ERR_OK && len == sizeof(out->at);
}

enum err scram_verifier_parse(struct text t, struct scram_verifier *out, const char **why)
{
	struct text rest = t;
	uint64_t iterations = 0;
	size_t salt_len = 0;
	struct text count = text_cut(&rest, ','), salt = text_cut(&rest, ','), stored = text_cut(&rest, ','),
		    server = rest;

	*why = NULL;
	if (text_to_u64(count, SCRAM_MOST_ITERATIONS, &iterations))
		*why = "the iterations before the first comma are not a number up to 1000000";
	else if (iterations < SCRAM_LEAST_ITERATIONS)
		*why = "less than 4096 iterations are too few";
	else if (base64_decode_to(salt, out->room, sizeof(out->room), &salt_len) || salt_len == 0)
		*why = "the salt is not base64 of 1 to 64 octets";
	else if (!decode_digest(stored, &out->stored))
		*why = "the stored key is not base64 of 32 octets";
	else if (!decode_digest(server, &out->server))
		*why = "the server key is not base64 of 32 octets";
	if (*why)
		return ERR_SYNTAX;
	out->iterations = (uint32_t)iterations;
	out->salt = text_of(out->room, salt_len);
	return ERR_OK;
}

static struct crypto_sha256 key_of(const struct crypto_sha256 *salted, const char *what)
{
	const struct text piece = text_from(what);

	return crypto_hmac_sha256(crypto_sha256_text(salted), &piece, 1);
}

struct scram_keys scram_keys_make(struct text password, struct text salt, uint32_t iterations)
{
	struct crypto_sha256 salted = crypto_pbkdf2_sha256(password, salt, iterations);
	struct scram_keys keys = { .client = key_of(&salted, "Client Key"),
		                   .server = key_of(&salted, "Server Key") };
	const struct text piece = crypto_sha256_text(&keys.client);

	keys.stored = crypto_sha256(&piece, 1);
	crypto_wipe(&salted, sizeof(salted));
	return keys;
}

void scram_verifier_make(struct text password, struct text salt, uint32_t iterations,
                         struct scram_verifier *out)
{
	struct scram_keys keys = scram_keys_make(password, salt, iterations);

	assert(salt.len <= sizeof(out->room));
	memcpy(out->room, salt.at, salt.len);
	out->salt = text_of(out->room, salt.len);
	out->iterations = iterations;
	out->stored = keys.stored;
	out->server = keys.server;
	crypto_wipe(&keys, sizeof(keys));
}

void scram_verifier_add(struct buf *out, const struct scram_verifier *v)
{
	buf_add_u64(out, v->iterations);
	buf_add_octet(out, ',');
	base64_add(out, v->salt);
	buf_add_octet(out, ',');
	base64_add(out, crypto_sha256_text(&v->stored));
	buf_add_octet(out, ',');
	base64_add(out, crypto_sha256_text(&v->server));
}

bool scram_verifier_fits(const struct scram_verifier *v, struct text password)
{
	struct scram_keys keys = scram_keys_make(password, v->salt, v->iterations);
	bool fits = crypto_equal(crypto_sha256_text(&keys.stored), crypto_sha256_text(&v->stored));

	crypto_wipe(&keys, sizeof(keys));
	return fits;
}

/* ClientKey = proof XOR HMAC(StoredKey, AuthMessage); is StoredKey its digest? */
bool scram_proof_fits(const struct scram_verifier *v, const struct text *message, size_t count,
                      struct text proof)
{
	struct crypto_sha256 key = crypto_hmac_sha256(crypto_sha256_text(&v->stored), message, count), digest;
	const struct text piece = crypto_sha256_text(&key);

	if (proof.len != sizeof(key.at))
		return false;
	for (size_t i = 0; i < sizeof(key.at); i++)
		key.at[i] ^= (unsigned char)proof.at[i];
	digest = crypto_sha256(&piece, 1);
	crypto_wipe(&key, sizeof(key));
	return crypto_equal(crypto_sha256_text(&digest), crypto_sha256_text(&v->stored));
}

struct crypto_sha256 scram_signature(const struct scram_verifier *v, const struct text *message, size_t count)
{
	return crypto_hmac_sha256(crypto_sha256_text(&v->server), message, count);
}
