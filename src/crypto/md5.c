#include <postrider/crypto.h>

#include <assert.h>

#include <mbedtls/md5.h>

#define BLOCK_BYTES 64

/* mbedTLS's own MD5 fails only on a misuse of its interface. */
static void must(int status)
{
	assert(status == 0);
	(void)status;
}

static void add(mbedtls_md5_context *c, struct text t)
{
	if (t.len)
		must(mbedtls_md5_update(c, (const unsigned char *)t.at, t.len));
}

/* Of a block and the pieces behind it. */
static struct crypto_md5 digest(struct text block, const struct text *pieces, size_t count)
{
	mbedtls_md5_context c;
	struct crypto_md5 out;

	mbedtls_md5_init(&c);
	must(mbedtls_md5_starts(&c));
	add(&c, block);
	for (size_t i = 0; i < count; i++)
		add(&c, pieces[i]);
	must(mbedtls_md5_finish(&c, out.at));
	mbedtls_md5_free(&c); /* wipes */
	return out;
}

static void flip(unsigned char block[BLOCK_BYTES], unsigned char by)
{
	for (size_t i = 0; i < BLOCK_BYTES; i++)
		block[i] ^= by;
}

struct crypto_md5 crypto_hmac_md5(struct text key, const struct text *pieces, size_t count)
{
	unsigned char block[BLOCK_BYTES] = { 0 };
	const struct text start = { (const char *)block, BLOCK_BYTES };
	struct crypto_md5 inner;
	struct text piece;

	if (key.len > BLOCK_BYTES) {
		inner = digest(key, NULL, 0);
		memcpy(block, inner.at, sizeof(inner.at));
	} else if (key.len) {
		memcpy(block, key.at, key.len);
	}
	flip(block, 0x36);
	inner = digest(start, pieces, count);
	flip(block, 0x36 ^ 0x5c);
	piece = text_of((const char *)inner.at, sizeof(inner.at));
	inner = digest(start, &piece, 1);
	crypto_wipe(block, sizeof(block));
	return inner;
}
