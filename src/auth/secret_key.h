/* auth/secret_key.h - keys that this process makes up and tells nobody, and random octets for dialogues. */
#ifndef AUTH_SECRET_KEY_H
#define AUTH_SECRET_KEY_H

#include <postrider/crypto.h>
#include <postrider/io/io.h>

struct secret_key {
	uint64_t words[4];
};

void random_octets(struct io *io, void *out, size_t len);
void secret_key_init(struct secret_key *k, struct io *io);
struct crypto_sha256 secret_key_hmac(const struct secret_key *k, const struct text *pieces, size_t count);

#endif
