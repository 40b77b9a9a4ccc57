/* HMAC-MD5 against the values of RFC 2202 section 2 and RFC 2195 section 2. */
#include <postrider/crypto.h>

#include <stdio.h>

#include "support/check.h"

static const char ones[] = "\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b";

static void check(const char *name, struct text key, struct text data, const char *expected)
{
	const struct text pieces[] = { text_head(data, data.len / 2), TEXT_EMPTY,
		                       text_skip(data, data.len / 2) };
	struct crypto_md5 digest = crypto_hmac_md5(key, pieces, ARRAY_LEN(pieces));
	char hex[2 * CRYPTO_MD5_BYTES + 1];

	for (size_t i = 0; i < sizeof(digest.at); i++)
		snprintf(hex + 2 * i, 3, "%02x", digest.at[i]);
	CHECK_TEXT(name, text_from(hex), text_from(expected));
}

static void rfc_2202_case(void **state)
{
	char many[80], fifty[50];

	(void)state;
	memset(many, 0xaa, sizeof(many));
	memset(fifty, 0xdd, sizeof(fifty));
	check("1", text_of(ones, 16), TEXT("Hi There"), "9294727a3638bb1c13f48ef8158bfc9d");
	check("2", TEXT("Jefe"), TEXT("what do ya want for nothing?"), "750c783e6ab0b503eaa86e310a5db738");
	check("3", text_of(many, 16), text_of(fifty, 50), "56be34521d144c88dbb8c733f0e8b3f6");
	check("6: a key longer than a block", text_of(many, 80),
	      TEXT("Test Using Larger Than Block-Size Key - Hash Key First"),
	      "6b1ab7fe4bd7bf8f0b62e6ce61b9d0cd");
	check("7: key and data longer than a block", text_of(many, 80),
	      TEXT("Test Using Larger Than Block-Size Key and Larger Than One Block-Size Data"),
	      "6f630fad67cda0ee1fb1f562db3aa53e");
}

static void rfc_2195_example(void **state)
{
	(void)state;
	check("tim", TEXT("tanstaaftanstaaf"), TEXT("<1896.697170952@postoffice.reston.mci.net>"),
	      "b913a602c7eda7a495b4e6e7334d3890");
}

static void nothing_at_all(void **state)
{
	(void)state;
	check("empty", TEXT_EMPTY, TEXT_EMPTY, "74e6f7298a9c2d168935f58c001bad88");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rfc_2202_case),
		cmocka_unit_test(rfc_2195_example),
		cmocka_unit_test(nothing_at_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
