#include <postrider/crypto.h>

#include <stdio.h>

#include "support/check.h"

static void check_hex(const char *row, const struct crypto_sha256 *digest, const char *hex)
{
	char text[2 * CRYPTO_SHA256_BYTES + 1];

	for (size_t i = 0; i < CRYPTO_SHA256_BYTES; i++)
		snprintf(text + 2 * i, 3, "%02x", digest->at[i]);
	CHECK_TEXT(row, text_from(text), text_from(hex));
}

static void digests_are_those_of_fips_180(void **state)
{
	char thousand[1000];
	const struct text all = { thousand, sizeof(thousand) };
	struct crypto_sha256 digest;

	(void)state;
	memset(thousand, 'a', sizeof(thousand));
	digest = crypto_sha256(NULL, 0);
	check_hex("nothing", &digest, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	digest = crypto_sha256(&(struct text)LIT("abc"), 1);
	check_hex("abc", &digest, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	digest = crypto_sha256((const struct text[]){ LIT("a"), LIT(""), LIT("bc") }, 3);
	check_hex("in pieces", &digest, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	digest = crypto_sha256(&all, 1);
	check_hex("a thousand", &digest, "41edece42d63e8d9bf515a9ba6932e1c20cbc9f5a5d134645adb5db1b9737ea3");
}

/* RFC 4231 section 4 */
static void hmacs_are_those_of_rfc_4231(void **state)
{
	char key[131];
	struct crypto_sha256 digest;

	(void)state;
	memset(key, 0x0b, sizeof(key));
	digest = crypto_hmac_sha256(text_of(key, 20), &(struct text)LIT("Hi There"), 1);
	check_hex("case 1", &digest, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
	digest = crypto_hmac_sha256(TEXT("Jefe"),
	                            (const struct text[]){ LIT("what do ya want "), LIT("for nothing?") }, 2);
	check_hex("case 2", &digest, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
	memset(key, 0xaa, sizeof(key));
	digest = crypto_hmac_sha256(
		text_of(key, 131),
		&(struct text)LIT("Test Using Larger Than Block-Size Key - Hash Key First"), 1);
	check_hex("case 6", &digest, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

static const struct {
	const char *name;
	struct text password, salt;
	uint32_t iterations;
	const char *hex;
} pbkdf2_cases[] = {
	{ "once", LIT("password"), LIT("salt"), 1,
	  "120fb6cffcf8b32c43e7225256c4f837a86548c92ccc35480805987cb70be17b" },
	{ "twice", LIT("password"), LIT("salt"), 2,
	  "ae4d0c95af6b46d32d0adff928f06dd02a303f8ef3c251dfd6e2d85a95474c43" },
	{ "4096 times", LIT("password"), LIT("salt"), 4096,
	  "c5e478d59288c841aa530db6845c4c8d962893a001ce4e11a4963873aa98134a" },
	{ "long ones", LIT("passwordPASSWORDpassword"), LIT("saltSALTsaltSALTsaltSALTsaltSALTsalt"), 4096,
	  "348c89dbcbd32b2f32d814b8116e84cf2b17347ebc1800181c4e2a1fb8dd53e1" },
};

static void pbkdf2_derives_what_others_derive(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(pbkdf2_cases); i++) {
		struct crypto_sha256 digest = crypto_pbkdf2_sha256(
			pbkdf2_cases[i].password, pbkdf2_cases[i].salt, pbkdf2_cases[i].iterations);

		check_hex(pbkdf2_cases[i].name, &digest, pbkdf2_cases[i].hex);
	}
}

static void equality_looks_at_every_octet(void **state)
{
	char a[32] = { 0 }, b[32] = { 0 };

	(void)state;
	assert_true(crypto_equal(text_of(a, 32), text_of(b, 32)));
	assert_true(crypto_equal(TEXT_EMPTY, TEXT_EMPTY));
	assert_false(crypto_equal(text_of(a, 32), text_of(b, 31)));
	for (size_t i = 0; i < 32; i++) {
		for (unsigned bit = 0; bit < 8; bit++) {
			b[i] = (char)BIT(bit);
			assert_false(crypto_equal(text_of(a, 32), text_of(b, 32)));
		}
		b[i] = 0;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(digests_are_those_of_fips_180),
		cmocka_unit_test(hmacs_are_those_of_rfc_4231),
		cmocka_unit_test(pbkdf2_derives_what_others_derive),
		cmocka_unit_test(equality_looks_at_every_octet),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
