#include "secret_key.h"

#include <postrider/base/auto.h>

void random_octets(struct io *io, void *out, size_t len)
{
	char *at = out;

	while (len > 0) {
		uint64_t word = io_random_u64(io);
		size_t take = MIN(len, sizeof(word));

		memcpy(at, &word, take);
		at += take;
		len -= take;
	}
}

void secret_key_init(struct secret_key *k, struct io *io)
{
	random_octets(io, k->words, sizeof(k->words));
}

struct crypto_sha256 secret_key_hmac(const struct secret_key *k, const struct text *pieces, size_t count)
{
	return crypto_hmac_sha256(text_of((const char *)k->words, sizeof(k->words)), pieces, count);
}
