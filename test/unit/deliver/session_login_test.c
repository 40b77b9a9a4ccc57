/* The outbound session's login: every mechanism, every reply, cut and silence in its dialogue, and what a refusal leads to. */
#include <stdio.h>

#include "deliver/session.h"
#include "support/check.h"
#include "support/session_script.h"

/* user, pencil */
#define PLAIN_IR "AHVzZXIAcGVuY2ls"
#define USER64 "dXNlcg=="
#define PENCIL64 "cGVuY2ls"
#define XOAUTH2_OF_ABC "dXNlcj11c2VyAWF1dGg9QmVhcmVyIGFiYwEB"
#define BEARER_OF_ABC "bixhPXVzZXIsAWhvc3Q9bXguZXhhbXBsZQFwb3J0PTU4NwFhdXRoPUJlYXJlciBhYmMBAQ=="

static const struct config_login password = { .username = LIT("user"), .secret = LIT("pencil") };
static const struct config_login token = { .username = LIT("user"), .oauth2 = { .token_file = LIT("/t") } };
static const struct config_login nobody = { .mechanism = CONFIG_MECHANISM_EXTERNAL };

#define HELLO(list)               \
	"S: 220 mx\n"             \
	"C> EHLO relay.example\n" \
	"S: 250-mx / 250 AUTH " list "\n"
#define UP "up\nready\n"

static void script(const struct config_login *login, const char *text)
{
	session_script(
		&(struct session_script_options){ .tls = CONFIG_TLS_NONE, .login = login, .proves = true },
		text);
}

/* ---------------------------------------------------------------- one mechanism each */

static void plain(void **state)
{
	(void)state;
	script(&password, HELLO("PLAIN") "asks to log in\n"
	                                 "may log in\n"
	                                 "C> AUTH PLAIN " PLAIN_IR "\n"
	                                 "S: 235 2.7.0 welcome\n" UP);
}

/* A host that did not look at the initial response asks for it again, once. */
static void plain_is_said_again_when_it_is_asked_for(void **state)
{
	(void)state;
	script(&password,
	       HELLO("PLAIN") "asks to log in\n"
	                      "may log in\n"
	                      "C> AUTH PLAIN " PLAIN_IR "\n"
	                      "S: 334 \n"
	                      "C> " PLAIN_IR "\n"
	                      "S: 334 \n"
	                      "C> *\n"
	                      "S: 501 5.7.0 cancelled\n"
	                      "failed reply: transient 0 4.7.0 auth auth ~goes on where its reply is due\n"
	                      "C> QUIT\n"
	                      "finished\n");
}

static void login(void **state)
{
	(void)state;
	script(&password, HELLO("LOGIN") "asks to log in\n"
	                                 "may log in\n"
	                                 "C> AUTH LOGIN\n"
	                                 "S: 334 VXNlcm5hbWU6\n"
	                                 "C> " USER64 "\n"
	                                 "S: 334 UGFzc3dvcmQ6\n"
	                                 "C> " PENCIL64 "\n"
	                                 "S: 235 ok\n" UP);
	/* some say it as it is */
	script(&password, HELLO("LOGIN") "asks to log in\n"
	                                 "may log in\n"
	                                 "C> AUTH LOGIN\n"
	                                 "S: 334 Username:\n"
	                                 "C> " USER64 "\n"
	                                 "S: 334-Password / 334 please\n"
	                                 "C> " PENCIL64 "\n"
	                                 "S: 235 ok\n" UP);
}

static void login_that_asks_for_a_third_thing(void **state)
{
	(void)state;
	script(&password,
	       HELLO("LOGIN") "asks to log in\n"
	                      "may log in\n"
	                      "C> AUTH LOGIN\n"
	                      "S: 334 VXNlcm5hbWU6\n"
	                      "C> " USER64 "\n"
	                      "S: 334 UGFzc3dvcmQ6\n"
	                      "C> " PENCIL64 "\n"
	                      "S: 334 VG9rZW46\n"
	                      "C> *\n"
	                      "S: 501 cancelled\n"
	                      "failed reply: transient 0 4.7.0 auth auth ~more than a name and a password\n"
	                      "C> QUIT\n"
	                      "finished\n");
}

/* RFC 2195 section 2 */
static void cram_md5(void **state)
{
	static const struct config_login tim = { .username = LIT("tim"), .secret = LIT("tanstaaftanstaaf") };

	(void)state;
	script(&tim, HELLO("CRAM-MD5") "asks to log in\n"
	                               "may log in\n"
	                               "C> AUTH CRAM-MD5\n"
	                               "S: 334 PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+\n"
	                               "C> dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw\n"
	                               "S: 235 ok\n" UP);
}

static void external(void **state)
{
	struct session_script_options o = { .tls = CONFIG_TLS_REQUIRE,
		                            .login = &nobody,
		                            .has_certificate = true };

	(void)state;
	/* nothing is shown that the handshake has not shown: the host need not have proved its name */
	session_script(&o, "S: 220 mx\n"
	                   "C> EHLO relay.example\n"
	                   "S: 250-mx / 250-AUTH EXTERNAL / 250 STARTTLS\n"
	                   "C> STARTTLS\n"
	                   "S: 220 go\n"
	                   "starttls\n"
	                   "tls ok\n"
	                   "C> EHLO relay.example\n"
	                   "S: 250-mx / 250 AUTH EXTERNAL PLAIN\n"
	                   "asks to log in\n"
	                   "may log in\n"
	                   "C> AUTH EXTERNAL =\n"
	                   "S: 235 ok\n" UP);
}

static void tokens(void **state)
{
	(void)state;
	script(&token, HELLO("PLAIN LOGIN XOAUTH2 OAUTHBEARER") "asks for a token\n"
	                                                        "may token abc\n"
	                                                        "C> AUTH XOAUTH2 " XOAUTH2_OF_ABC "\n"
	                                                        "S: 235 ok\n" UP);
	script(&token, HELLO("PLAIN OAUTHBEARER") "asks for a token\n"
	                                          "may token abc\n"
	                                          "C> AUTH OAUTHBEARER " BEARER_OF_ABC "\n"
	                                          "S: 235 ok\n" UP);
}

/* ---------------------------------------------------------------- SCRAM */

#define NONCE64 "ZWlnaHRlZW4gb2N0ZXRzLi4u"
/* n,,n=user,r=NONCE64 */
#define SCRAM_FIRST "biwsbj11c2VyLHI9WldsbmFIUmxaVzRnYjJOMFpYUnpMaTR1"
/* r=NONCE64+server,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096 */
#define SCRAM_CHALLENGE \
	"cj1aV2xuYUhSbFpXNGdiMk4wWlhSekxpNHVzZXJ2ZXIscz1XMjJaYUowU05ZN3NvRXNVRWpiNmdRPT0saT00MDk2"
/* c=biws,r=NONCE64+server,p=..., and v=..., as Python's hashlib has worked them out */
#define SCRAM_FINAL \
	"Yz1iaXdzLHI9WldsbmFIUmxaVzRnYjJOMFpYUnpMaTR1c2VydmVyLHA9RDJtc3ZCbXNNdzM1VmF4d3BnbmZnTGdkRUhDbS81dXRHYmFZdUd3cVQ1MD0="
#define SCRAM_SIGNATURE "dj1uYTZHN3Y0ZmFRY3JwNTM1bkZ4NGg4MnRLbmN1NGwva0VjNlh2TDFVRjZNPQ=="

struct scram_case {
	const char *challenge; /* of the server */
	const char *problem;
};

static const struct scram_case bad_firsts[] = {
	{ "!!", "not base64" },
	{ "", "not SCRAM's" },
	{ "bm9uc2Vuc2U=", "not SCRAM's" },
	/* m=x,r=...,s=...,i=4096 */
	{ "bT14LHI9WldsbmFIUmxaVzRnYjJOMFpYUnpMaTR1c2VydmVyLHM9QUFBQSxpPTQwOTY=", "not SCRAM's" },
	/* r=other,s=AAAA,i=4096 */
	{ "cj1vdGhlcixzPUFBQUEsaT00MDk2", "does not go on from ours" },
	/* r=NONCE64,s=AAAA,i=4096 */
	{ "cj1aV2xuYUhSbFpXNGdiMk4wWlhSekxpNHUscz1BQUFBLGk9NDA5Ng==", "does not go on from ours" },
	/* r=NONCE64server,s=AAAA,i=4095 */
	{ "cj1aV2xuYUhSbFpXNGdiMk4wWlhSekxpNHVzZXJ2ZXIscz1BQUFBLGk9NDA5NQ==", "less than 4096 iterations" },
	/* i=1000001 */
	{ "cj1aV2xuYUhSbFpXNGdiMk4wWlhSekxpNHVzZXJ2ZXIscz1BQUFBLGk9MTAwMDAwMQ==",
	  "more than 1000000 iterations" },
	/* s=A */
	{ "cj1aV2xuYUhSbFpXNGdiMk4wWlhSekxpNHVzZXJ2ZXIscz1BLGk9NDA5Ng==", "salt is not base64" },
	/* s= */
	{ "cj1aV2xuYUhSbFpXNGdiMk4wWlhSekxpNHVzZXJ2ZXIscz0saT00MDk2", "salt is not base64" },
};

static void scram_first_messages_that_are_none(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad_firsts); i++) {
		char text[2000];

		snprintf(text, sizeof(text),
		         HELLO("SCRAM-SHA-256") "asks to log in\n"
		                                "may log in\n"
		                                "C> AUTH SCRAM-SHA-256 " SCRAM_FIRST "\n"
		                                "S: 334 %s\n"
		                                "C> *\n"
		                                "S: 501 cancelled\n"
		                                "failed reply: transient 0 4.7.0 auth auth ~%s\n"
		                                "C> QUIT\n"
		                                "finished\n",
		         bad_firsts[i].challenge, bad_firsts[i].problem);
		script(&password, text);
	}
}

static void scram(void **state)
{
	(void)state;
	script(&password, HELLO("SCRAM-SHA-256 PLAIN") "asks to log in\n"
	                                               "may log in\n"
	                                               "C> AUTH SCRAM-SHA-256 " SCRAM_FIRST "\n"
	                                               "S: 334 " SCRAM_CHALLENGE "\n"
	                                               "derives 4096\n"
	                                               "worked out\n"
	                                               "C> " SCRAM_FINAL "\n"
	                                               "S: 334 " SCRAM_SIGNATURE "\n"
	                                               "C>\n"
	                                               "S: 235 ok\n" UP);
}

static void scram_host_that_proves_nothing_is_left(void **state)
{
	(void)state;
	/* another signature */
	script(&password,
	       HELLO("SCRAM-SHA-256 PLAIN") "asks to log in\n"
	                                    "may log in\n"
	                                    "C> AUTH SCRAM-SHA-256 " SCRAM_FIRST "\n"
	                                    "S: 334 " SCRAM_CHALLENGE "\n"
	                                    "derives 4096\n"
	                                    "worked out\n"
	                                    "C> " SCRAM_FINAL "\n"
	                                    "S: 334 dj1BQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBPQ==\n"
	                                    "failed no_login: transient 0 4.7.0 auth auth ~cannot prove that it knows us\n"
	                                    "closed\n");
	/* none */
	script(&password,
	       HELLO("SCRAM-SHA-256 PLAIN") "asks to log in\n"
	                                    "may log in\n"
	                                    "C> AUTH SCRAM-SHA-256 " SCRAM_FIRST "\n"
	                                    "S: 334 " SCRAM_CHALLENGE "\n"
	                                    "derives 4096\n"
	                                    "worked out\n"
	                                    "C> " SCRAM_FINAL "\n"
	                                    "S: 235 ok\n"
	                                    "failed no_login: transient 0 4.7.0 auth auth ~has not proved\n"
	                                    "closed\n");
	/* at once */
	script(&password,
	       HELLO("SCRAM-SHA-256") "asks to log in\n"
	                              "may log in\n"
	                              "C> AUTH SCRAM-SHA-256 " SCRAM_FIRST "\n"
	                              "S: 235 ok\n"
	                              "failed no_login: transient 0 4.7.0 auth auth ~has not proved\n"
	                              "closed\n");
}

static void scram_error_and_then_the_code(void **state)
{
	(void)state;
	script(&password,
	       HELLO("SCRAM-SHA-256") "asks to log in\n"
	                              "may log in\n"
	                              "C> AUTH SCRAM-SHA-256 " SCRAM_FIRST "\n"
	                              "S: 334 " SCRAM_CHALLENGE "\n"
	                              "derives 4096\n"
	                              "worked out\n"
	                              "C> " SCRAM_FINAL "\n"
	                              "S: 334 ZT1pbnZhbGlkLXByb29m\n"
	                              "C>\n"
	                              "S: 535 5.7.8 no\n"
	                              "failed login: transient 535 4.7.8 auth auth peer ~535 5.7.8 no (invalid-proof)\n"
	                              "C> QUIT\n"
	                              "finished\n");
}

/* "y": we could bind, and the host did not offer it. */
static void scram_says_that_it_could_have_bound(void **state)
{
	struct session_script_options o = { .tls = CONFIG_TLS_IMPLICIT, .login = &password, .proves = true };

	(void)state;
	o.has_binding = true;
	session_script(
		&o,
		"starttls\n"
		"tls ok\n" HELLO(
			"SCRAM-SHA-256") "asks to log in\n"
					 "may log in\n"
					 "C> AUTH SCRAM-SHA-256 eSwsbj11c2VyLHI9WldsbmFIUmxaVzRnYjJOMFpYUnpMaTR1\n");
	session_script(
		&o,
		"starttls\n"
		"tls ok\n" HELLO(
			"SCRAM-SHA-256 SCRAM-SHA-256-PLUS") "asks to log in\n"
							    "may log in\n"
							    "C> AUTH SCRAM-SHA-256-PLUS cD10bHMtZXhwb3J0ZXIsLG49dXNlcixyPVpXbG5hSFJsWlc0Z2IyTjBaWFJ6TGk0dQ==\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain),
		cmocka_unit_test(plain_is_said_again_when_it_is_asked_for),
		cmocka_unit_test(login),
		cmocka_unit_test(login_that_asks_for_a_third_thing),
		cmocka_unit_test(cram_md5),
		cmocka_unit_test(external),
		cmocka_unit_test(tokens),
		cmocka_unit_test(scram),
		cmocka_unit_test(scram_first_messages_that_are_none),
		cmocka_unit_test(scram_host_that_proves_nothing_is_left),
		cmocka_unit_test(scram_error_and_then_the_code),
		cmocka_unit_test(scram_says_that_it_could_have_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
