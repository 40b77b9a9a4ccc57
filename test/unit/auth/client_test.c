/* The client's half of SASL: which mechanism, what stands for a credential, what is hidden, and dialogues without memory. The
 * dialogues themselves are in test/unit/deliver, as conversations with the session. */
#include <postrider/auth/client.h>

#include "support/alloc.h"
#include "support/check.h"

static const struct config_login password = { .username = LIT("user"), .secret = LIT("pencil") };
static const struct config_login token = { .username = LIT("user"),
	                                   .oauth2 = { .token_url = LIT("https://x/") } };
static const struct config_login both = { .username = LIT("user"),
	                                  .secret = LIT("pencil"),
	                                  .oauth2 = { .token_command = LIT("x") } };
static const struct config_login nothing = { .mechanism = CONFIG_MECHANISM_AUTO };

/* ---------------------------------------------------------------- choosing */

static const struct choice {
	const char *name, *offered;
	const struct config_login *login;
	enum config_mechanism mechanism;
	bool certificate, binding;
	const char *best;
} choices[] = {
	{ "the strongest", "LOGIN PLAIN CRAM-MD5 SCRAM-SHA-256", &password, 0, false, false,
	  "SCRAM-SHA-256" },
	{ "bound where it can be", "PLAIN SCRAM-SHA-256 SCRAM-SHA-256-PLUS", &password, 0, false, true,
	  "SCRAM-SHA-256-PLUS" },
	{ "not bound where it cannot", "PLAIN SCRAM-SHA-256 SCRAM-SHA-256-PLUS", &password, 0, false, false,
	  "SCRAM-SHA-256" },
	{ "PLAIN before LOGIN", "LOGIN PLAIN", &password, 0, false, false, "PLAIN" },
	{ "LOGIN before CRAM-MD5", "CRAM-MD5 LOGIN", &password, 0, false, false, "LOGIN" },
	{ "any case of letters, any spaces", "  cram-md5   x ", &password, 0, false, false, "CRAM-MD5" },
	{ "none in common", "GSSAPI NTLM PLAINER XPLAIN", &password, 0, false, false, "" },
	{ "nothing offered", "", &password, 0, true, true, "" },
	{ "one of them", "PLAIN LOGIN SCRAM-SHA-256", &password, CONFIG_MECHANISM_LOGIN, false, false,
	  "LOGIN" },
	{ "one that is not offered", "PLAIN LOGIN", &password, CONFIG_MECHANISM_CRAM_MD5, false, false, "" },
	{ "scram, bound", "SCRAM-SHA-256-PLUS PLAIN", &password, CONFIG_MECHANISM_SCRAM_SHA_256, false, true,
	  "SCRAM-SHA-256-PLUS" },
	{ "none wanted", "PLAIN", &password, CONFIG_MECHANISM_NONE, false, false, "" },
	{ "a token", "PLAIN OAUTHBEARER XOAUTH2", &token, 0, false, false, "XOAUTH2" },
	{ "a token, by the standard", "OAUTHBEARER PLAIN", &token, 0, false, false, "OAUTHBEARER" },
	{ "a token is no password", "PLAIN LOGIN", &token, 0, false, false, "" },
	{ "a password is no token", "XOAUTH2", &password, 0, false, false, "" },
	{ "a password is not for xoauth2", "PLAIN XOAUTH2", &password, CONFIG_MECHANISM_XOAUTH2, false, false,
	  "" },
	{ "both", "XOAUTH2 PLAIN", &both, 0, false, false, "PLAIN" },
	{ "a certificate", "PLAIN EXTERNAL", &nothing, 0, true, false, "EXTERNAL" },
	{ "without a certificate", "EXTERNAL", &nothing, CONFIG_MECHANISM_EXTERNAL, false, false, "" },
	{ "a password before a certificate", "EXTERNAL PLAIN", &password, 0, true, false, "PLAIN" },
	{ "the certificate, if it is wanted", "EXTERNAL PLAIN", &password, CONFIG_MECHANISM_EXTERNAL, true,
	  false, "EXTERNAL" },
};

static void the_best_common_mechanism(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(choices); i++) {
		const struct choice *c = &choices[i];
		struct config_login login = *c->login;
		unsigned set;

		login.mechanism = c->mechanism;
		set = auth_client_offered(text_from(c->offered)) &
		      auth_client_usable(&login, c->certificate, c->binding);
		CHECK_TEXT(c->name, text_from(auth_client_name(auth_client_best(set))), text_from(c->best));
	}
}

static void names_in_order(void **state)
{
	struct buf b = BUF(200);

	(void)state;
	auth_client_add_names(&b, AUTH_CLIENT_LOGIN | AUTH_CLIENT_SCRAM_SHA_256 | AUTH_CLIENT_OAUTHBEARER);
	CHECK_TEXT("three", buf_text(&b), TEXT("SCRAM-SHA-256, LOGIN, OAUTHBEARER"));
	buf_reset(&b);
	auth_client_add_names(&b, 0);
	CHECK_TEXT("none", buf_text(&b), TEXT("none"));
	buf_fini(&b);
}

/* ---------------------------------------------------------------- what stands for a credential */

static void same(const char *name, const struct config_login *a, const struct config_login *b, bool expected)
{
	unsigned char first[AUTH_CLIENT_ID_BYTES], second[AUTH_CLIENT_ID_BYTES];

	auth_client_id(a, first);
	auth_client_id(b, second);
	CHECK(name, (memcmp(first, second, sizeof(first)) == 0) == expected);
}

static void a_credential_is_known_again(void **state)
{
	struct config_login a = password, b = password;

	(void)state;
	same("the same", &a, &b, true);
	b.mechanism = CONFIG_MECHANISM_PLAIN;
	same("by another mechanism", &a, &b, true);
	b.password_file = TEXT("/where/it/stands");
	same("from a file", &a, &b, true);
	b.secret = TEXT("Pencil");
	same("another password", &a, &b, false);
	b = a;
	b.username = TEXT("use");
	b.secret = TEXT("rpencil");
	same("the border between name and password", &a, &b, false);
	a = token;
	b = token;
	same("the same tokens", &a, &b, true);
	b.oauth2.client_id = TEXT("other");
	same("tokens of another client", &a, &b, false);
}

/* ---------------------------------------------------------------- what is hidden */

static void start(struct auth_client *c, enum auth_client_mechanism mechanism,
                  const struct config_login *login, enum auth_client_next expected)
{
	struct auth_client_start s = { .mechanism = mechanism,
		                       .login = login,
		                       .token = TEXT("a-token"),
		                       .nonce = TEXT("eighteen octets..."),
		                       .host = TEXT("mx.example"),
		                       .port = 587 };

	assert_int_equal(auth_client_begin(c, &s), expected);
}

static void what_is_secret_is_hidden(void **state)
{
	static const struct {
		const char *words, *clean;
	} rows[] = {
		{ "nothing of it", "nothing of it" },
		{ "pencil", "***" },
		{ "a pencil and a pencil", "a *** and a ***" },
		{ "AHVzZXIAcGVuY2ls!", "***!" },
		{ "=cGVuY2ls=", "=***=" },
		{ "Pencil", "Pencil" },
		{ "", "" },
	};
	struct auth_client c;

	(void)state;
	auth_client_init(&c);
	start(&c, AUTH_CLIENT_PLAIN, &password, AUTH_CLIENT_SEND);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct buf words = BUF(1000);

		buf_add_string(&words, rows[i].words);
		auth_client_hide(&c, &words);
		CHECK_TEXT(rows[i].words, buf_text(&words), text_from(rows[i].clean));
		buf_fini(&words);
	}
	auth_client_fini(&c);
}

/* "abc" is in any sentence: hiding it would tell that it is the password, and hide the sentence. */
static void a_secret_that_is_in_any_text_is_not_hidden(void **state)
{
	static const struct config_login tiny = { .username = LIT("user"), .secret = LIT("abc") };
	struct auth_client c;
	struct buf words = BUF(1000);

	(void)state;
	auth_client_init(&c);
	start(&c, AUTH_CLIENT_PLAIN, &tiny, AUTH_CLIENT_SEND);
	buf_add_string(&words, "abc YWJj");
	auth_client_hide(&c, &words);
	CHECK_TEXT("tiny", buf_text(&words), TEXT("abc ***"));
	buf_fini(&words);
	auth_client_fini(&c);
}

/* ---------------------------------------------------------------- what cannot be sent */

static void what_no_mechanism_can_carry(void **state)
{
	static const struct config_login bad[] = {
		{ .username = LIT("us\ner"), .secret = LIT("pencil") },
		{ .username = LIT("us\0er"), .secret = LIT("pencil") },
		{ .username = LIT("user"), .secret = LIT("pen\0cil") },
	};
	struct auth_client c;

	(void)state;
	auth_client_init(&c);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		start(&c, AUTH_CLIENT_PLAIN, &bad[i], AUTH_CLIENT_FAILED);
		assert_non_null(auth_client_problem(&c));
		assert_true(text_find(auth_client_line(&c), TEXT("AUTH")) == auth_client_line(&c).len);
	}
	auth_client_fini(&c);
}

static void names_are_escaped_and_prepared(void **state)
{
	static const struct config_login odd = { .username = LIT("a,b=c\xc2\xa0\xc2\xaa"),
		                                 .secret = LIT("x") };
	struct auth_client c;

	(void)state;
	auth_client_init(&c);
	start(&c, AUTH_CLIENT_SCRAM_SHA_256, &odd, AUTH_CLIENT_SEND);
	/* RFC 4013: a no-break space is a space, the feminine ordinal indicator is "a" */
	assert_true(text_starts(buf_text(&c.bare), TEXT("n=a=2Cb=3Dc a,r=")));
	auth_client_fini(&c);
}

/* ---------------------------------------------------------------- without memory */

/* Whole dialogues; false: they failed, and said so. */
static bool talk(struct auth_client *c)
{
	struct auth_client_start s = { .mechanism = AUTH_CLIENT_SCRAM_SHA_256,
		                       .login = &password,
		                       .nonce = TEXT("eighteen octets...") };
	struct auth_client_derivation d = { .iterations = 0 };
	bool derived;

	if (auth_client_begin(c, &s) != AUTH_CLIENT_SEND)
		return false;
	/* r=NONCEserver,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096 */
	if (auth_client_challenge(
		    c, TEXT("cj1aV2xuYUhSbFpXNGdiMk4wWlhSekxpNHVzZXJ2ZXIscz1XMjJaYUowU05ZN3NvRXNVRWpi"
	                    "NmdRPT0saT00MDk2")) != AUTH_CLIENT_DERIVE)
		return false;
	auth_client_derivation_copy(&d, &c->derivation);
	derived = !buf_err(&d.password) && !buf_err(&d.salt);
	if (derived) {
		auth_client_derive(&d);
		auth_client_take(c, &d);
	}
	auth_client_derivation_fini(&d);
	if (!derived || auth_client_derived(c) != AUTH_CLIENT_SEND)
		return false;
	if (auth_client_challenge(c,
	                          TEXT("dj1uYTZHN3Y0ZmFRY3JwNTM1bkZ4NGg4MnRLbmN1NGwva0VjNlh2TDFVRjZNPQ==")) !=
	    AUTH_CLIENT_SEND)
		return false;
	return auth_client_succeeded(c);
}

static void each_allocation_fails(void **state)
{
	unsigned failures = 0;

	(void)state;
	for (EACH_ALLOC_FAILING) {
		struct auth_client c;
		bool done;

		auth_client_init(&c);
		done = talk(&c);
		assert_int_equal(done, !alloc_has_failed());
		failures += alloc_has_failed();
		auth_client_fini(&c);
	}
	assert_true(failures > 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_best_common_mechanism),
		cmocka_unit_test(names_in_order),
		cmocka_unit_test(a_credential_is_known_again),
		cmocka_unit_test(what_is_secret_is_hidden),
		cmocka_unit_test(a_secret_that_is_in_any_text_is_not_hidden),
		cmocka_unit_test(what_no_mechanism_can_carry),
		cmocka_unit_test(names_are_escaped_and_prepared),
		cmocka_unit_test(each_allocation_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
