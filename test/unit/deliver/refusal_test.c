/* Logins that fail: every reply, cut and silence at every step, what is tried next, and what must not be shown or said. */
#include <stdio.h>

#include "deliver/session.h"
#include "support/check.h"
#include "support/session_script.h"

#define PLAIN_IR "AHVzZXIAcGVuY2ls" /* user, pencil */
#define USER64 "dXNlcg=="
#define PENCIL64 "cGVuY2ls"
#define XOAUTH2_OF_ABC "dXNlcj11c2VyAWF1dGg9QmVhcmVyIGFiYwEB"
#define XOAUTH2_OF_DEF "dXNlcj11c2VyAWF1dGg9QmVhcmVyIGRlZgEB"
#define BEARER_OF_ABC "bixhPXVzZXIsAWhvc3Q9bXguZXhhbXBsZQFwb3J0PTU4NwFhdXRoPUJlYXJlciBhYmMBAQ=="
#define SCRAM_FIRST "biwsbj11c2VyLHI9WldsbmFIUmxaVzRnYjJOMFpYUnpMaTR1"
#define PLUS_FIRST "cD10bHMtZXhwb3J0ZXIsLG49dXNlcixyPVpXbG5hSFJsWlc0Z2IyTjBaWFJ6TGk0dQ=="

static const struct config_login password = { .username = LIT("user"), .secret = LIT("pencil") };
static const struct config_login only_plain = { .mechanism = CONFIG_MECHANISM_PLAIN,
	                                        .username = LIT("user"),
	                                        .secret = LIT("pencil") };
static const struct config_login token = { .username = LIT("user"), .oauth2 = { .token_file = LIT("/t") } };

#define HELLO(list)               \
	"S: 220 mx\n"             \
	"C> EHLO relay.example\n" \
	"S: 250-mx / 250 AUTH " list "\n"
#define ASKS "asks to log in\nmay log in\n"
#define UP "up\nready\n"
#define GOODBYE "C> QUIT\nfinished\n"
#define BY_PLAIN "C> AUTH PLAIN " PLAIN_IR "\n"

static void script(const struct config_login *login, const char *text)
{
	session_script(
		&(struct session_script_options){ .tls = CONFIG_TLS_NONE, .login = login, .proves = true },
		text);
}

/* ---------------------------------------------------------------- every happening at every step */

/* What leads to the step, and what the host is waiting for us to answer is the happening's. */
static const struct {
	const char *name, *text;
} steps[] = {
	{ "AUTH PLAIN", HELLO("PLAIN") ASKS BY_PLAIN },
	{ "AUTH LOGIN", HELLO("LOGIN") ASKS "C> AUTH LOGIN\n" },
	{ "the name of LOGIN", HELLO("LOGIN") ASKS "C> AUTH LOGIN\nS: 334 VXNlcm5hbWU6\nC> " USER64 "\n" },
	{ "the password of LOGIN", HELLO("LOGIN") ASKS "C> AUTH LOGIN\nS: 334 VXNlcm5hbWU6\nC> " USER64
	                                               "\nS: 334 UGFzc3dvcmQ6\nC> " PENCIL64 "\n" },
	{ "AUTH CRAM-MD5", HELLO("CRAM-MD5") ASKS "C> AUTH CRAM-MD5\n" },
	{ "AUTH SCRAM-SHA-256", HELLO("SCRAM-SHA-256") ASKS "C> AUTH SCRAM-SHA-256 " SCRAM_FIRST "\n" },
};

static const struct {
	const char *line, *outcome;
} happenings[] = {
	{ "S: 421 4.3.2 closing", "failed reply: transient 421 4.3.2 auth auth peer\nclosed\n" },
	{ "S: 421 closing", "failed reply: transient 421 4.0.0 auth auth peer\nclosed\n" },
	{ "S: 432 4.7.12 change it", "failed reply: transient 432 4.7.12 auth auth peer\n" GOODBYE },
	{ "S: 454 4.7.0 not now", "failed reply: transient 454 4.7.0 auth auth peer ~not now\n" GOODBYE },
	{ "S: 454 4.7.0 too many login attempts",
	  "failed reply: transient 454 rate_limited auth peer\n" GOODBYE },
	{ "S: 499 unheard of", "failed reply: transient 499 4.0.0 auth auth peer\n" GOODBYE },
	{ "S: 500 what", "failed reply: transient 500 4.0.0 auth auth peer\n" GOODBYE },
	{ "S: 503 5.5.1 not now", "failed reply: transient 503 4.5.1 auth auth peer\n" GOODBYE },
	{ "S: 504 5.5.4 no such mechanism", "failed reply: transient 504 4.5.4 auth auth peer\n" GOODBYE },
	{ "S: 530 5.7.0 no", "failed login: transient 530 4.7.0 auth auth peer\n" GOODBYE },
	{ "S: 534 5.7.9 too weak", "failed login: transient 534 4.7.9 auth auth peer ~534 5.7.9\n" GOODBYE },
	{ "S: 535 5.7.8 wrong",
	  "failed login: transient 535 4.7.8 auth auth peer ~535 5.7.8 wrong\n" GOODBYE },
	{ "S: 535-5.7.8 wrong / 535 5.7.8 really",
	  "failed login: transient 535 4.7.8 auth auth peer ~535 5.7.8 wrong really\n" GOODBYE },
	{ "S: 535 wrong", "failed login: transient 535 4.0.0 auth auth peer\n" GOODBYE },
	{ "S: 538 5.7.11 TLS first", "failed login: transient 538 4.7.11 auth auth peer\n" GOODBYE },
	{ "S: 550 no", "failed login: transient 550 4.0.0 auth auth peer\n" GOODBYE },
	{ "S: 599 unheard of", "failed login: transient 599 4.0.0 auth auth peer\n" GOODBYE },
	{ "S: 250 fine", "failed cut: transient 0 4.5.0 protocol auth ~unexpected reply to AUTH\nclosed\n" },
	{ "S: 354 go", "failed cut: transient 0 4.5.0 protocol auth\nclosed\n" },
	{ "S: 399 unheard of", "failed cut: transient 0 4.5.0 protocol auth\nclosed\n" },
	{ "S: 235-a / 535 b", "failed cut: transient 0 4.5.0 protocol auth\nclosed\n" },
	{ "S: hello", "failed cut: transient 0 4.5.0 protocol auth\nclosed\n" },
	{ "S: 150 early", "failed cut: transient 0 4.5.0 protocol auth\nclosed\n" },
	{ "S: closes", "failed cut: transient 0 4.4.2 connect auth ~before the reply to AUTH\nclosed\n" },
	{ "S: resets", "failed cut: transient 0 4.4.2 connect auth\nclosed\n" },
	{ "after 300 s",
	  "failed silence: transient 0 4.4.2 timeout auth ~before the reply to AUTH\nclosed\n" },
	{ "abort", "failed cut: transient 0 4.3.2 other auth\nclosed\n" },
};

static void every_happening_at_every_step(void **state)
{
	(void)state;
	for (size_t s = 0; s < ARRAY_LEN(steps); s++)
		for (size_t h = 0; h < ARRAY_LEN(happenings); h++) {
			char text[3000];

			snprintf(text, sizeof(text), "# %s\n%s%s\n%s", steps[s].name, steps[s].text,
			         happenings[h].line, happenings[h].outcome);
			script(&password, text);
		}
}

/* A 235 where a 334 is due is a success to mechanisms by which the host proves nothing. */
static void success_comes_early(void **state)
{
	(void)state;
	script(&password, HELLO("LOGIN") ASKS "C> AUTH LOGIN\nS: 235 ok\n" UP);
}

static void challenges_that_are_none(void **state)
{
	static const char *const lines[] = { "334 !", "334 AAA", "334 AAAA=", "334-AAAA / 334 AAAA",
		                             "334 \x01" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		char text[1000];

		snprintf(text, sizeof(text),
		         HELLO("CRAM-MD5") ASKS
		         "C> AUTH CRAM-MD5\n"
		         "S: %s\n"
		         "C> *\n"
		         "S: 501 5.7.0 cancelled\n"
		         "failed reply: transient 0 4.7.0 auth auth ~challenge is not base64\n" GOODBYE,
		         lines[i]);
		script(&password, text);
	}
	script(&password,
	       HELLO("CRAM-MD5") ASKS "C> AUTH CRAM-MD5\n"
	                              "S: 334\n"
	                              "C> *\n"
	                              "S: 501 5.7.0 cancelled\n"
	                              "failed reply: transient 0 4.7.0 auth auth ~is empty\n" GOODBYE);
}

static void challenge_that_is_too_long(void **state)
{
	char text[8000], challenge[5000];

	(void)state;
	memset(challenge, 'A', sizeof(challenge) - 1);
	challenge[sizeof(challenge) - 1] = 0;
	snprintf(text, sizeof(text),
	         HELLO("CRAM-MD5") ASKS "C> AUTH CRAM-MD5\n"
	                                "S: 334 %s\n"
	                                "failed cut: transient 0 4.5.0 protocol auth ~too long\nclosed\n",
	         challenge);
	script(&password, text);
}

/* "*" is an end: a host that says yes to it is not listened to. */
static void success_behind_a_cancellation(void **state)
{
	(void)state;
	script(&password, HELLO("CRAM-MD5") ASKS
	       "C> AUTH CRAM-MD5\n"
	       "S: 334 !\n"
	       "C> *\n"
	       "S: 235 welcome\n"
	       "failed no_login: transient 0 4.7.0 auth auth ~where the login was cancelled\n"
	       "closed\n");
	script(&password, HELLO("CRAM-MD5") ASKS "C> AUTH CRAM-MD5\n"
	                                         "S: 334 !\n"
	                                         "C> *\n"
	                                         "S: 334 AAAA\n"
	                                         "failed cut: transient 0 4.5.0 protocol auth\n"
	                                         "closed\n");
}

/* What is said before we asked for it, and two replies at once. */
static void replies_that_nobody_asked_for(void **state)
{
	(void)state;
	script(&password, HELLO("PLAIN") "asks to log in\n"
	                                 "S: 235 welcome\n"
	                                 "failed cut: transient 0 4.5.0 protocol auth\n"
	                                 "closed\n");
	script(&password, HELLO("PLAIN") "asks to log in\n"
	                                 "S: 421 4.3.2 idle\n"
	                                 "failed reply: transient 421 4.3.2 auth peer\n"
	                                 "closed\n");
	script(&password,
	       HELLO("LOGIN") ASKS "C> AUTH LOGIN\n"
	                           "S: 334 VXNlcm5hbWU6 / 334 UGFzc3dvcmQ6\n"
	                           "failed cut: transient 0 4.5.0 protocol auth ~before it was asked\n"
	                           "closed\n");
	/* we take our time, and the host may not */
	script(&password, HELLO("PLAIN") "asks to log in\n"
	                                 "after 4000 s\n"
	                                 "may log in\n" BY_PLAIN "S: 235 ok\n" UP);
}

/* ---------------------------------------------------------------- what is tried next */

static void next_mechanism_on_the_same_connection(void **state)
{
	static const char *const replies[] = { "504 5.5.4 no", "534 5.7.9 no", "535 5.7.8 no", "500 what",
		                               "501 no" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(replies); i++) {
		char text[1000];

		snprintf(text, sizeof(text),
		         HELLO("LOGIN PLAIN") ASKS BY_PLAIN "S: %s\n" ASKS "C> AUTH LOGIN\n"
		                                            "S: 334 VXNlcm5hbWU6\n"
		                                            "C> " USER64 "\n"
		                                            "S: 334 UGFzc3dvcmQ6\n"
		                                            "C> " PENCIL64 "\n"
		                                            "S: 235 ok\n" UP,
		         replies[i]);
		script(&password, text);
	}
}

static void a_credential_is_refused_twice_and_not_a_third_time(void **state)
{
	(void)state;
	script(&password, HELLO("CRAM-MD5 LOGIN PLAIN") ASKS BY_PLAIN
	       "S: 535 5.7.8 first\n" ASKS "C> AUTH LOGIN\n"
	       "S: 535 5.7.8 second\n"
	       "failed login: transient 535 4.7.8 auth auth peer ~535 5.7.8 second\n" GOODBYE);
}

/* 504 says nothing of the credential; and the words are those that do. */
static void what_is_not_about_the_credential_does_not_count(void **state)
{
	(void)state;
	script(&password, HELLO("CRAM-MD5 LOGIN PLAIN") ASKS BY_PLAIN
	       "S: 504 5.5.4 no\n" ASKS "C> AUTH LOGIN\n"
	       "S: 535 5.7.8 wrong\n" ASKS "C> AUTH CRAM-MD5\n"
	       "S: 504 5.5.4 no\n"
	       "failed login: transient 535 4.7.8 auth auth peer ~535 5.7.8 wrong\n" GOODBYE);
}

/* One try was made at another host of the same attempt. */
static void what_another_host_refused_counts(void **state)
{
	struct session_script_options o = { .login = &password, .proves = true, .refused = 1 };

	(void)state;
	session_script(&o, HELLO("LOGIN PLAIN") ASKS BY_PLAIN
	               "S: 535 5.7.8 no\n"
	               "failed login: transient 535 4.7.8 auth auth peer\n" GOODBYE);
}

static void what_was_passed_over_before_is_not_tried(void **state)
{
	struct session_script_options o = { .login = &password, .proves = true };

	(void)state;
	o.passed = AUTH_CLIENT_SCRAM_SHA_256 | AUTH_CLIENT_SCRAM_SHA_256_PLUS;
	session_script(&o, HELLO("PLAIN SCRAM-SHA-256") ASKS BY_PLAIN "S: 235 ok\n" UP);
	/* unless there is nothing else */
	session_script(&o, HELLO("SCRAM-SHA-256") ASKS "C> AUTH SCRAM-SHA-256 " SCRAM_FIRST "\n");
}

/* Both look for the same verifier, and a host that has none for us says no to both. */
static void after_scram_plus_scram_is_not_tried(void **state)
{
	struct session_script_options o = { .tls = CONFIG_TLS_IMPLICIT, .login = &password, .proves = true };

	(void)state;
	o.has_binding = true;
	session_script(&o, "starttls\n"
	                   "tls ok\n" HELLO("SCRAM-SHA-256 SCRAM-SHA-256-PLUS PLAIN") ASKS
	               "C> AUTH SCRAM-SHA-256-PLUS " PLUS_FIRST "\n"
	               "S: 535 5.7.8 no\n" ASKS BY_PLAIN "S: 235 ok\n" UP);
}

static void a_host_that_closes_behind_a_refusal_is_asked_again(void **state)
{
	static const char *const ends[] = { "S: closes\n", "S: resets\n", "S: 421 4.7.0 too many errors\n" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
		char text[1000];

		snprintf(text, sizeof(text),
		         HELLO("LOGIN PLAIN") ASKS BY_PLAIN
		         "S: 535 5.7.8 no\n" ASKS "C> AUTH LOGIN\n"
		         "%s"
		         "failed login_again: transient 535 4.7.8 auth auth peer ~535 5.7.8 no\n"
		         "closed\n",
		         ends[i]);
		script(&password, text);
	}
	/* but not when there was none */
	script(&password, HELLO("LOGIN PLAIN") ASKS BY_PLAIN "S: closes\n"
	                                                     "failed cut: transient 0 4.4.2 connect auth\n"
	                                                     "closed\n");
}

/* ---------------------------------------------------------------- tokens */

/* The error comes as a challenge, and the code behind an empty line (XOAUTH2) or %x01 (RFC 7628 section 3.2.3). */
static void a_refused_token_is_replaced_once(void **state)
{
	(void)state;
	script(&token, HELLO("XOAUTH2") "asks for a token\n"
	                                "may token abc\n"
	                                "C> AUTH XOAUTH2 " XOAUTH2_OF_ABC "\n"
	                                "S: 334 eyJzdGF0dXMiOiI0MDAifQ==\n"
	                                "C>\n"
	                                "S: 535 5.7.8 no\n"
	                                "asks for a token\n"
	                                "may token def\n"
	                                "C> AUTH XOAUTH2 " XOAUTH2_OF_DEF "\n"
	                                "S: 235 ok\n" UP);
	script(&token,
	       HELLO("OAUTHBEARER") "asks for a token\n"
	                            "may token abc\n"
	                            "C> AUTH OAUTHBEARER " BEARER_OF_ABC "\n"
	                            "S: 334 eyJzdGF0dXMiOiJpbnZhbGlkX3Rva2VuIn0=\n"
	                            "C> AQ==\n"
	                            "S: 535 5.7.8 no\n"
	                            "asks for a token\n"
	                            "may token abc\n"
	                            "C> AUTH OAUTHBEARER " BEARER_OF_ABC "\n"
	                            "S: 535 5.7.8 no\n"
	                            "failed login: transient 535 4.7.8 auth auth peer ~535 5.7.8 no\n" GOODBYE);
}

static void what_is_said_of_a_token_is_told(void **state)
{
	(void)state;
	script(&token,
	       HELLO("XOAUTH2") "asks for a token\n"
	                        "may token abc\n"
	                        "C> AUTH XOAUTH2 " XOAUTH2_OF_ABC "\n"
	                        "S: 535 5.7.8 no\n"
	                        "asks for a token\n"
	                        "may token def\n"
	                        "C> AUTH XOAUTH2 " XOAUTH2_OF_DEF "\n"
	                        "S: 334 eyJzdGF0dXMiOiI0MDAifQ==\n"
	                        "C>\n"
	                        "S: 535 5.7.8 no\n"
	                        "failed login: transient 535 4.7.8 auth auth peer ~no ({\"status\":\"400\"})\n" GOODBYE);
}

static void without_a_token_the_mail_waits(void **state)
{
	(void)state;
	script(&token,
	       HELLO("XOAUTH2") "asks for a token\n"
	                        "may no token login.example.com says: invalid_grant\n"
	                        "failed no_login: transient 0 4.7.0 auth auth ~login.example.com says: invalid_grant\n" GOODBYE);
	/* one that is none is not sent */
	script(&token, HELLO("XOAUTH2") "asks for a token\n"
	                                "may token a\x01"
	                                "b\n"
	                                "failed no_login: transient 0 4.7.0 auth auth ~the token is not one\n"
	                                "closed\n");
}

static void the_other_kind_of_token_where_one_is_not_known(void **state)
{
	(void)state;
	script(&token, HELLO("OAUTHBEARER XOAUTH2") "asks for a token\n"
	                                            "may token abc\n"
	                                            "C> AUTH XOAUTH2 " XOAUTH2_OF_ABC "\n"
	                                            "S: 504 5.5.4 no\n"
	                                            "asks for a token\n"
	                                            "may token abc\n"
	                                            "C> AUTH OAUTHBEARER " BEARER_OF_ABC "\n"
	                                            "S: 235 ok\n" UP);
}

/* RFC 4954 section 4: an initial response must not make the command longer than a command may be. */
static void a_long_token_waits_for_the_challenge(void **state)
{
	char text[4000], abc[600];

	(void)state;
	memset(abc, 'a', sizeof(abc) - 1);
	abc[sizeof(abc) - 1] = 0;
	snprintf(text, sizeof(text),
	         HELLO("XOAUTH2") "asks for a token\n"
	                          "may token %s\n"
	                          "C> AUTH XOAUTH2\n"
	                          "S: 334 \n"
	                          "sent 300\n"
	                          "S: 235 ok\n" UP,
	         abc);
	script(&token, text);
}

/* ---------------------------------------------------------------- what is not shown */

static void nothing_is_shown_to_a_host_that_has_not_proved_its_name(void **state)
{
	static const struct config_login *const logins[] = { &password, &only_plain, &token };
	struct session_script_options o = { .tls = CONFIG_TLS_NONE };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(logins); i++) {
		o.login = logins[i];
		session_script(
			&o,
			HELLO("SCRAM-SHA-256 CRAM-MD5 PLAIN LOGIN XOAUTH2 OAUTHBEARER") "failed no_login: transient 0 4.7.0 auth auth ~has not proved its name\n" GOODBYE);
	}
	o.login = &password;
	o.shows_login = true;
	session_script(&o, HELLO("PLAIN") ASKS BY_PLAIN "S: 235 ok\n" UP);
}

static void no_common_mechanism_shows_both_lists(void **state)
{
	(void)state;
	script(&password,
	       HELLO("GSSAPI NTLM X-OWN") "failed no_login: transient 0 4.7.0 auth auth ~offers GSSAPI NTLM "
	                                  "X-OWN; what is configured can do SCRAM-SHA-256, PLAIN, LOGIN, CRAM-MD5\n" GOODBYE);
	script(&only_plain,
	       HELLO("LOGIN") "failed no_login: transient 0 4.7.0 auth auth ~offers LOGIN; what is "
	                      "configured can do PLAIN\n" GOODBYE);
	script(&token,
	       HELLO("PLAIN") "failed no_login: transient 0 4.7.0 auth auth ~can do XOAUTH2, OAUTHBEARER\n" GOODBYE);
	script(&password, "S: 220 mx\n"
	                  "C> EHLO relay.example\n"
	                  "S: 250 mx\n"
	                  "failed no_login: transient 0 4.7.0 auth auth ~offers no AUTH\n" GOODBYE);
	script(&password, "S: 220 mx\n"
	                  "C> EHLO relay.example\n"
	                  "S: 500 what\n"
	                  "C> HELO relay.example\n"
	                  "S: 250 mx\n"
	                  "failed no_login: transient 0 4.7.0 auth auth ~offers no AUTH\n" GOODBYE);
}

/* What was offered before TLS says nothing of what is offered within (RFC 3207 section 4.2). */
static void what_was_offered_in_plain_text_is_forgotten(void **state)
{
	struct session_script_options o = { .tls = CONFIG_TLS_REQUIRE, .login = &password, .proves = true };

	(void)state;
	session_script(&o, "S: 220 mx\n"
	                   "C> EHLO relay.example\n"
	                   "S: 250-mx / 250-AUTH PLAIN / 250 STARTTLS\n"
	                   "C> STARTTLS\n"
	                   "S: 220 go\n"
	                   "starttls\n"
	                   "tls ok\n"
	                   "C> EHLO relay.example\n"
	                   "S: 250 mx\n"
	                   "failed no_login: transient 0 4.7.0 auth auth ~offers no AUTH\n" GOODBYE);
}

static void a_login_that_failed_lately_is_not_tried(void **state)
{
	(void)state;
	script(&password,
	       HELLO("PLAIN") "asks to log in\n"
	                      "may refused 535 5.7.8 no - not tried again before 12:00\n"
	                      "failed no_login: transient 535 4.7.0 auth auth ~not tried again before 12:00\n" GOODBYE);
}

/* It would be left again at once. */
static void nobody_logs_in_at_a_host_that_cannot_take_the_mail(void **state)
{
	struct session_script_options o = { .login = &password,
		                            .proves = true,
		                            .needs = { .keywords = EHLO_SMTPUTF8 } };

	(void)state;
	session_script(&o, HELLO("PLAIN") "failed lacks: permanent 0 5.6.7 extension ehlo\n" GOODBYE);
	session_script(&o, "S: 220 mx\n"
	                   "C> EHLO relay.example\n"
	                   "S: 250-mx / 250-SMTPUTF8 / 250-8BITMIME / 250 AUTH PLAIN\n" ASKS BY_PLAIN
	                   "S: 235 ok\n" UP);
}

/* A host that says back what it was told puts nothing of it into a log. */
static void what_is_secret_is_cut_from_the_words_of_others(void **state)
{
	static const char *const echoes[] = { "pencil", PENCIL64, PLAIN_IR };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(echoes); i++) {
		char text[1000];

		snprintf(
			text, sizeof(text),
			HELLO("PLAIN") ASKS BY_PLAIN
			"S: 535 5.7.8 wrong: %s, yes %s\n"
			"failed login: transient 535 4.7.8 auth auth peer ~535 5.7.8 wrong: ***, yes ***\n" GOODBYE,
			echoes[i], echoes[i]);
		script(&password, text);
		snprintf(text, sizeof(text),
		         HELLO("PLAIN") ASKS BY_PLAIN
		         "S: 454 4.7.0 %s\n"
		         "failed reply: transient 454 auth auth peer ~454 4.7.0 ***\n" GOODBYE,
		         echoes[i]);
		script(&password, text);
	}
	script(&token,
	       HELLO("XOAUTH2") "asks for a token\n"
	                        "may token abcdefgh\n"
	                        "C> AUTH XOAUTH2 dXNlcj11c2VyAWF1dGg9QmVhcmVyIGFiY2RlZmdoAQE=\n"
	                        "S: 454 4.7.0 abcdefgh dXNlcj11c2VyAWF1dGg9QmVhcmVyIGFiY2RlZmdoAQE=\n"
	                        "failed reply: transient 454 auth auth peer ~454 4.7.0 *** ***\n" GOODBYE);
}

/* ---------------------------------------------------------------- TLS from the first octet */

static void tls_comes_before_the_greeting(void **state)
{
	struct session_script_options o = { .tls = CONFIG_TLS_IMPLICIT };

	(void)state;
	session_script(&o, "starttls\n"
	                   "tls ok\n"
	                   "S: 220 mx\n"
	                   "C> EHLO relay.example\n"
	                   "S: 250-mx / 250 STARTTLS\n" UP);
	session_script(&o, "starttls\n"
	                   "tls fails\n"
	                   "failed tls: transient 0 4.7.5 tls starttls ~no common version\n"
	                   "closed\n");
	session_script(&o, "starttls\n"
	                   "tls wrong certificate\n"
	                   "failed tls: transient 0 4.7.5 tls starttls ~for another name\n"
	                   "closed\n");
	session_script(&o,
	               "starttls\n"
	               "after 300 s\n"
	               "failed tls: transient 0 4.7.5 tls starttls ~silent for too long in the handshake\n"
	               "closed\n");
	session_script(&o, "starttls\n"
	                   "S: closes\n"
	                   "failed tls: transient 0 4.7.5 tls starttls\n"
	                   "closed\n");
	session_script(&o, "starttls\n"
	                   "tls ok\n"
	                   "after 300 s\n"
	                   "failed silence: transient 0 4.4.2 timeout greeting\n"
	                   "closed\n");
	session_script(&o, "starttls\n"
	                   "tls ok\n"
	                   "S: 554 no\n"
	                   "failed reply: permanent 554 blocked greeting peer\n" GOODBYE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_happening_at_every_step),
		cmocka_unit_test(success_comes_early),
		cmocka_unit_test(challenges_that_are_none),
		cmocka_unit_test(challenge_that_is_too_long),
		cmocka_unit_test(success_behind_a_cancellation),
		cmocka_unit_test(replies_that_nobody_asked_for),
		cmocka_unit_test(next_mechanism_on_the_same_connection),
		cmocka_unit_test(a_credential_is_refused_twice_and_not_a_third_time),
		cmocka_unit_test(what_is_not_about_the_credential_does_not_count),
		cmocka_unit_test(what_another_host_refused_counts),
		cmocka_unit_test(what_was_passed_over_before_is_not_tried),
		cmocka_unit_test(after_scram_plus_scram_is_not_tried),
		cmocka_unit_test(a_host_that_closes_behind_a_refusal_is_asked_again),
		cmocka_unit_test(a_refused_token_is_replaced_once),
		cmocka_unit_test(what_is_said_of_a_token_is_told),
		cmocka_unit_test(without_a_token_the_mail_waits),
		cmocka_unit_test(the_other_kind_of_token_where_one_is_not_known),
		cmocka_unit_test(a_long_token_waits_for_the_challenge),
		cmocka_unit_test(nothing_is_shown_to_a_host_that_has_not_proved_its_name),
		cmocka_unit_test(no_common_mechanism_shows_both_lists),
		cmocka_unit_test(what_was_offered_in_plain_text_is_forgotten),
		cmocka_unit_test(a_login_that_failed_lately_is_not_tried),
		cmocka_unit_test(nobody_logs_in_at_a_host_that_cannot_take_the_mail),
		cmocka_unit_test(what_is_secret_is_cut_from_the_words_of_others),
		cmocka_unit_test(tls_comes_before_the_greeting),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
