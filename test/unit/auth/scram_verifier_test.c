#include "scram_verifier.h"

#include <postrider/base/base64.h>
#include <postrider/crypto.h>

#include "support/check.h"

/* RFC 7677 section 3: user "user", password "pencil" */
#define RFC_SALT "W22ZaJ0SNY7soEsUEjb6gQ=="
#define RFC_FIRST "n=user,r=rOprNGfwEbeRWgbNEkqO"
#define RFC_NONCE "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
#define RFC_SERVER_FIRST RFC_NONCE ",s=" RFC_SALT ",i=4096"
#define RFC_FINAL "c=biws," RFC_NONCE
#define RFC_PROOF "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
#define RFC_SIGNATURE "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="

static const struct text rfc_message[] = { LIT(RFC_FIRST "," RFC_SERVER_FIRST ","), LIT(RFC_FINAL) };

static void octets_of(const char *base64, struct buf *out)
{
	*out = BUF(64);
	assert_int_equal(base64_decode(text_from(base64), out), ERR_OK);
}

static void make_rfcs(struct scram_verifier *v, const char *password)
{
	struct buf salt;

	octets_of(RFC_SALT, &salt);
	scram_verifier_make(text_from(password), buf_text(&salt), 4096, v);
	buf_fini(&salt);
}

static void proof_and_signature_are_rfc_7677s(void **state)
{
	struct scram_verifier v;
	struct crypto_sha256 signature;
	struct buf proof, expected;

	(void)state;
	make_rfcs(&v, "pencil");
	octets_of(RFC_PROOF, &proof);
	octets_of(RFC_SIGNATURE, &expected);
	assert_true(scram_proof_fits(&v, rfc_message, 2, buf_text(&proof)));
	signature = scram_signature(&v, rfc_message, 2);
	CHECK_TEXT("signature", crypto_sha256_text(&signature), buf_text(&expected));
	buf_fini(&proof);
	buf_fini(&expected);
}

static void no_other_proof_fits(void **state)
{
	struct scram_verifier v, other;
	struct buf proof;

	(void)state;
	make_rfcs(&v, "pencil");
	make_rfcs(&other, "Pencil");
	octets_of(RFC_PROOF, &proof);
	assert_false(scram_proof_fits(&other, rfc_message, 2, buf_text(&proof)));
	assert_false(scram_proof_fits(&v, rfc_message, 1, buf_text(&proof)));
	assert_false(scram_proof_fits(&v, rfc_message, 2, text_head(buf_text(&proof), 31)));
	assert_false(scram_proof_fits(&v, rfc_message, 2, TEXT_EMPTY));
	for (size_t i = 0; i < 32; i++) {
		proof.at[i] ^= 1;
		assert_false(scram_proof_fits(&v, rfc_message, 2, buf_text(&proof)));
		proof.at[i] ^= 1;
	}
	buf_fini(&proof);
}

static void a_verifier_goes_through_text(void **state)
{
	struct scram_verifier v, again;
	struct buf text = BUF(SCRAM_VERIFIER_MAX);
	const char *why;

	(void)state;
	make_rfcs(&v, "pencil");
	scram_verifier_add(&text, &v);
	CHECK_TEXT("text", buf_text(&text),
	           TEXT("4096," RFC_SALT ",WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,"
	                "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="));
	assert_int_equal(scram_verifier_parse(buf_text(&text), &again, &why), ERR_OK);
	assert_int_equal(again.iterations, 4096);
	CHECK_TEXT("salt", again.salt, v.salt);
	CHECK_TEXT("stored", crypto_sha256_text(&again.stored), crypto_sha256_text(&v.stored));
	CHECK_TEXT("server", crypto_sha256_text(&again.server), crypto_sha256_text(&v.server));
	assert_true(scram_verifier_fits(&again, TEXT("pencil")));
	assert_false(scram_verifier_fits(&again, TEXT("pencils")));
	buf_fini(&text);
}

#define KEY "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

static const struct {
	const char *name;
	struct text text;
	enum err err;
} texts[] = {
	{ "the least", LIT("4096,AA==," KEY "," KEY), ERR_OK },
	{ "the most",
	  LIT("1000000,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==," KEY
	      "," KEY),
	  ERR_OK },
	{ "nothing", LIT(""), ERR_SYNTAX },
	{ "too few iterations", LIT("4095,AA==," KEY "," KEY), ERR_SYNTAX },
	{ "too many", LIT("1000001,AA==," KEY "," KEY), ERR_SYNTAX },
	{ "iterations that overflow", LIT("18446744073709551617,AA==," KEY "," KEY), ERR_SYNTAX },
	{ "iterations with a sign", LIT("+4096,AA==," KEY "," KEY), ERR_SYNTAX },
	{ "no salt", LIT("4096,," KEY "," KEY), ERR_SYNTAX },
	{ "a salt that is no base64", LIT("4096,AA=," KEY "," KEY), ERR_SYNTAX },
	{ "a salt of 65 octets",
	  LIT("4096,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=," KEY
	      "," KEY),
	  ERR_SYNTAX },
	{ "no server key", LIT("4096,AA==," KEY), ERR_SYNTAX },
	{ "a short key", LIT("4096,AA==,AAAA," KEY), ERR_SYNTAX },
	{ "something behind", LIT("4096,AA==," KEY "," KEY ","), ERR_SYNTAX },
	{ "the notation of another server", LIT("SCRAM-SHA-256$4096:AA==$" KEY ":" KEY), ERR_SYNTAX },
};

static void texts_are_taken_or_explained(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct scram_verifier v;
		const char *why = NULL;
		char *copy = alone(texts[i].text);

		CHECK_INT(texts[i].name, scram_verifier_parse(text_of(copy, texts[i].text.len), &v, &why),
		          texts[i].err);
		CHECK(texts[i].name, (why != NULL) == (texts[i].err != ERR_OK));
		free(copy);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(proof_and_signature_are_rfc_7677s),
		cmocka_unit_test(no_other_proof_fits),
		cmocka_unit_test(a_verifier_goes_through_text),
		cmocka_unit_test(texts_are_taken_or_explained),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
