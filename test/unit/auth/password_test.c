#include "password.h"

#include <postrider/auth/users_file.h>
#include <postrider/crypto.h>

#include "support/alloc.h"
#include "support/check.h"

static const struct {
	const char *kind;
	struct text hash;
	const char *password;
} hashes[] = {
	{ "SHA-256 crypt", LIT("$5$rounds=1000$saltsalt$1E80wIeNUk6Tw.cvgykgsGLDhE7YCS/mO7gtCEoKze9"),
	  "pencil" },
	{ "SHA-512 crypt",
	  LIT("$6$rounds=1000$saltsalt$LAV5VE5Y7w1d73x1mFNspYWUpazfmwv2SoepNXNKJ/otop/"
	      "Zok96Hr8Q13LEv0DRY/x8v0/crpIjl8NJSAqXV/"),
	  "secret" },
	{ "bcrypt", LIT("$2y$04$ey14sSnShiVvTPtqUrQB2uEvPrXvV5YnyQobgmSF/zl2cf6or2JAC"),
	  "pencil" }, /* htpasswd -B */
	{ "bcrypt", LIT("$2b$04$abcdefghijklmnopqrstuu/FyAyuZSl3DbPdvio4KrIBdz2k2yhV2"), "pencil" },
	{ "yescrypt", LIT("$y$j75$Q0JM5aKPlcctMqwTU2FZH1$TdWtH31yu9hlXqr3FJDhks35digB1q/5G3mYPbD2nm."),
	  "pencil" }, /* mkpasswd */
};

static bool fits(struct text hash, struct text password)
{
	bool is_right = false;

	assert_int_equal(password_fits(hash, password, &is_right), ERR_OK);
	return is_right;
}

static void each_kind_knows_its_password(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(hashes); i++) {
		const char *why = NULL;

		assert_string_equal(password_hash_kind(hashes[i].hash, &why), hashes[i].kind);
		CHECK(hashes[i].kind, fits(hashes[i].hash, text_from(hashes[i].password)));
		CHECK(hashes[i].kind, !fits(hashes[i].hash, TEXT("Pencil")));
		CHECK(hashes[i].kind, !fits(hashes[i].hash, TEXT_EMPTY));
		CHECK(hashes[i].kind, !fits(hashes[i].hash, hashes[i].hash));
	}
}

static void a_new_hash_is_yescrypt_and_fits(void **state)
{
	struct buf one = BUF(PASSWORD_HASH_MAX), other = BUF(PASSWORD_HASH_MAX);
	const char *why;

	(void)state;
	assert_int_equal(password_hash_add(&one, TEXT("p\xc3\xa4ss"), TEXT("0123456789abcdef")), ERR_OK);
	assert_int_equal(password_hash_add(&other, TEXT("p\xc3\xa4ss"), TEXT("0123456789abcdeg")), ERR_OK);
	assert_string_equal(password_hash_kind(buf_text(&one), &why), "yescrypt");
	assert_false(text_eq(buf_text(&one), buf_text(&other)));
	assert_true(fits(buf_text(&one), TEXT("p\xc3\xa4ss")));
	/* what another client sends for the same letters */
	assert_true(fits(buf_text(&one), TEXT("pa\xcc\x88ss")));
	assert_false(fits(buf_text(&one), TEXT("pass")));
	buf_fini(&one);
	buf_fini(&other);
}

/* The longest that crypt(3) takes, and one more. */
static void lengths_have_an_end(void **state)
{
	char password[AUTH_PASSWORD_MAX + 1];
	struct buf hash = BUF(PASSWORD_HASH_MAX);

	(void)state;
	memset(password, 'x', sizeof(password));
	assert_int_equal(
		password_hash_add(&hash, text_of(password, AUTH_PASSWORD_MAX + 1), TEXT("0123456789abcdef")),
		ERR_TOO_BIG);
	assert_int_equal(
		password_hash_add(&hash, text_of(password, AUTH_PASSWORD_MAX), TEXT("0123456789abcdef")),
		ERR_OK);
	assert_true(fits(buf_text(&hash), text_of(password, AUTH_PASSWORD_MAX)));
	assert_false(fits(buf_text(&hash), text_of(password, AUTH_PASSWORD_MAX - 1)));
	assert_false(fits(buf_text(&hash), text_of(password, AUTH_PASSWORD_MAX + 1)));
	buf_fini(&hash);
}

static void every_failing_allocation_is_said(void **state)
{
	bool is_right = true;

	(void)state;
	for (EACH_ALLOC_FAILING) {
		enum err err = password_fits(hashes[0].hash, TEXT("wrong"), &is_right);

		assert_true(err == ERR_OK ? !is_right : err == ERR_NOMEM);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_kind_knows_its_password),
		cmocka_unit_test(a_new_hash_is_yescrypt_and_fits),
		cmocka_unit_test(lengths_have_an_end),
		cmocka_unit_test(every_failing_allocation_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
