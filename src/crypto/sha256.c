#include <postrider/crypto.h>

#include <assert.h>

#include <mbedtls/sha256.h>

#define BLOCK_BYTES 64

/* mbedTLS's own SHA-256 fails only on a misuse of its interface. */
static void must(int status)
{
	assert(status == 0);
	(void)status;
}

static void begin(mbedtls_sha256_context *c)
{
	mbedtls_sha256_init(c);
	must(mbedtls_sha256_starts(c, 0));
}

static void add(mbedtls_sha256_context *c, struct text t)
{
	if (t.len)
		must(mbedtls_sha256_update(c, (const unsigned char *)t.at, t.len));
}

static struct crypto_sha256 end(mbedtls_sha256_context *c)
{
	struct crypto_sha256 digest;

	must(mbedtls_sha256_finish(c, digest.at));
	mbedtls_sha256_free(c); /* wipes */
	return digest;
}

struct crypto_sha256 crypto_sha256(const struct text *pieces, size_t count)
{
	mbedtls_sha256_context c;

	begin(&c);
	for (size_t i = 0; i < count; i++)
		add(&c, pieces[i]);
	return end(&c);
}

/* A key that has gone through its first block: each HMAC under it starts from copies of these. */
struct hmac_key {
	mbedtls_sha256_context inner, outer;
};

static void hmac_key_init(struct hmac_key *k, struct text key)
{
	unsigned char block[BLOCK_BYTES] = { 0 };

	if (key.len > BLOCK_BYTES) {
		struct crypto_sha256 digest = crypto_sha256(&key, 1);

		memcpy(block, digest.at, sizeof(digest.at));
		crypto_wipe(&digest, sizeof(digest));
	} else if (key.len) {
		memcpy(block, key.at, key.len);
	}
	begin(&k->inner);
	begin(&k->outer);
	for (size_t i = 0; i < BLOCK_BYTES; i++)
		block[i] ^= 0x36;
	add(&k->inner, text_of((char *)block, BLOCK_BYTES));
	for (size_t i = 0; i < BLOCK_BYTES; i++)
		block[i] ^= 0x36 ^ 0x5c;
	add(&k->outer, text_of((char *)block, BLOCK_BYTES));
	crypto_wipe(block, sizeof(block));
}

static void hmac_key_fini(struct hmac_key *k)
{
	mbedtls_sha256_free(&k->inner);
	mbedtls_sha256_free(&k->outer);
}

static struct crypto_sha256 hmac(const struct hmac_key *k, const struct text *pieces, size_t count)
{
	mbedtls_sha256_context inner, outer;
	struct crypto_sha256 digest;

	mbedtls_sha256_init(&inner);
	mbedtls_sha256_init(&outer);
	mbedtls_sha256_clone(&inner, &k->inner);
	mbedtls_sha256_clone(&outer, &k->outer);
	for (size_t i = 0; i < count; i++)
		add(&inner, pieces[i]);
	digest = end(&inner);
	add(&outer, crypto_sha256_text(&digest));
	return end(&outer);
}

struct crypto_sha256 crypto_hmac_sha256(struct text key, const struct text *pieces, size_t count)
{
	struct hmac_key k;
	struct crypto_sha256 digest;

	hmac_key_init(&k, key);
	digest = hmac(&k, pieces, count);
	hmac_key_fini(&k);
	return digest;
}

struct crypto_sha256 crypto_pbkdf2_sha256(struct text password, struct text salt, uint32_t iterations)
{
	const struct text first[] = { salt, { "\0\0\0\1", 4 } };
	struct crypto_sha256 sum, last;
	struct hmac_key k;

	assert(iterations > 0);
	hmac_key_init(&k, password);
	last = sum = hmac(&k, first, 2);
	while (--iterations > 0) {
		const struct text piece = crypto_sha256_text(&last);

		last = hmac(&k, &piece, 1);
		for (size_t i = 0; i < sizeof(sum.at); i++)
			sum.at[i] ^= last.at[i];
	}
	hmac_key_fini(&k);
	crypto_wipe(&last, sizeof(last));
	return sum;
}

bool crypto_equal(struct text a, struct text b)
{
	volatile unsigned char differs = 0;

	if (a.len != b.len)
		return false;
	for (size_t i = 0; i < a.len; i++)
		differs |= (unsigned char)(a.at[i] ^ b.at[i]);
	return differs == 0;
}

void crypto_wipe(void *memory, size_t bytes)
{
	if (bytes)
		explicit_bzero(memory, bytes);
}
