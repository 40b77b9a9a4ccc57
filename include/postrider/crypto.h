/* postrider/crypto.h - digests and what is made of them; mbedTLS behind it. Functions of their arguments: no state, no
 * random source, nothing kept. Any thread. */
#ifndef POSTRIDER_CRYPTO_H
#define POSTRIDER_CRYPTO_H

#include <postrider/base/text.h>

#define CRYPTO_SHA256_BYTES 32

struct crypto_sha256 {
	unsigned char at[CRYPTO_SHA256_BYTES];
};

static inline struct text crypto_sha256_text(const struct crypto_sha256 *digest)
{
	return (struct text){ (const char *)digest->at, CRYPTO_SHA256_BYTES };
}

/* SHA-256 (FIPS 180-4) of the pieces one behind the other. */
struct crypto_sha256 crypto_sha256(const struct text *pieces, size_t count);

/* HMAC-SHA-256 (RFC 2104, RFC 4231). */
struct crypto_sha256 crypto_hmac_sha256(struct text key, const struct text *pieces, size_t count);

/* PBKDF2 with HMAC-SHA-256 (RFC 8018 section 5.2), one block of 32 octets: SCRAM's Hi(). About a microsecond an iteration: in the
 * CPU lane. iterations > 0. */
struct crypto_sha256 crypto_pbkdf2_sha256(struct text password, struct text salt, uint32_t iterations);

#define CRYPTO_MD5_BYTES 16

struct crypto_md5 {
	unsigned char at[CRYPTO_MD5_BYTES];
};

/* HMAC-MD5 (RFC 2104), for CRAM-MD5 (RFC 2195) and nothing else: MD5 by itself is broken. */
struct crypto_md5 crypto_hmac_md5(struct text key, const struct text *pieces, size_t count);

/* Takes as long for equal octets as for others; lengths are no secret. */
bool crypto_equal(struct text a, struct text b);

/* Clears memory that held a secret; the compiler keeps it. */
void crypto_wipe(void *memory, size_t bytes);

#endif
