/* auth/scram_verifier.h - what a server keeps of a password for SCRAM-SHA-256 (RFC 5802 section 3, RFC 7677): as text
 * "iterations,salt,stored,server", the last three in base64. */
#ifndef AUTH_SCRAM_VERIFIER_H
#define AUTH_SCRAM_VERIFIER_H

#include <postrider/base/buf.h>
#include <postrider/crypto.h>

#define SCRAM_SALT_MAX 64
#define SCRAM_LEAST_ITERATIONS 4096 /* RFC 7677 section 4 */
#define SCRAM_MOST_ITERATIONS 1000000
#define SCRAM_VERIFIER_MAX 256 /* characters */

struct scram_verifier {
	uint32_t iterations;
	struct text salt; /* in room, or the maker's */
	struct crypto_sha256 stored, server;
	char room[SCRAM_SALT_MAX];
};

/* ERR_SYNTAX: *why says for people what is wrong. salt points into *out, which must not move. */
MUST_USE enum err scram_verifier_parse(struct text t, struct scram_verifier *out, const char **why);

/* What a client has of its password (RFC 5802 section 3). To be wiped. */
struct scram_keys {
	struct crypto_sha256 client, stored, server;
};
/* Of a prepared password. Some milliseconds: in the CPU lane. */
struct scram_keys scram_keys_make(struct text password, struct text salt, uint32_t iterations);

/* The verifier of a prepared password. Some milliseconds: in the CPU lane. */
void scram_verifier_make(struct text password, struct text salt, uint32_t iterations,
                         struct scram_verifier *out);
void scram_verifier_add(struct buf *out, const struct scram_verifier *v);
/* The proof of a client that knows the password, 32 octets, over the AuthMessage, which comes in pieces. */
bool scram_proof_fits(const struct scram_verifier *v, const struct text *message, size_t count,
                      struct text proof);
/* What a server that has the verifier says to that. */
struct crypto_sha256 scram_signature(const struct scram_verifier *v, const struct text *message,
                                     size_t count);
/* Whether it is the password's. As slow. */
bool scram_verifier_fits(const struct scram_verifier *v, struct text password);

#endif
