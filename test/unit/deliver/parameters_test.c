/* What clients asked for by parameters, as an outbound session passes it on, and what it does where the host lacks it. */
#include <stdio.h>

#include "support/check.h"
#include "support/session_script.h"

#define NONE (&(struct session_script_options){ .tls = CONFIG_TLS_NONE })
#define HELLO "S: 220 mx\nC> EHLO relay.example\n"
#define UP_WITH(keywords) HELLO "S: 250-mx / " keywords "\nup\nready\n"
#define MAIL "C> MAIL FROM:<s@example.org>"
#define RCPT "C+ RCPT TO:<a@example.net>"
#define PIPELINING "250-PIPELINING / "

/* The same job for a host that offers the extension and for one that does not: what follows MAIL, what follows RCPT. */
static const struct {
	const char *name, *keyword, *job, *mail, *rcpt;
} passed[] = {
	{ "RET=FULL", "DSN", "ret=full a", " RET=FULL", "" },
	{ "RET=HDRS and ENVID", "DSN", "ret=hdrs envid=QQ+2B314159 a", " RET=HDRS ENVID=QQ+2B314159", "" },
	{ "NOTIFY=NEVER", "DSN", "a notify=never", "", " NOTIFY=NEVER" },
	{ "NOTIFY with all others", "DSN", "a notify=success,failure,delay", "",
	  " NOTIFY=SUCCESS,FAILURE,DELAY" },
	{ "ORCPT as it came", "DSN", "a orcpt=rfc822;Ann+2Bx@Example.ORG", "",
	  " ORCPT=rfc822;Ann+2Bx@Example.ORG" },
	{ "ORCPT for an address that was rewritten", "DSN", "a original=a+b@example.org", "",
	  " ORCPT=rfc822;a+2Bb@example.org" },
	{ "ORCPT that came counts before a rewritten address", "DSN",
	  "a orcpt=rfc822;x@example.org original=y@example.org", "", " ORCPT=rfc822;x@example.org" },
	{ "MT-PRIORITY", "MT-PRIORITY", "priority=-9 a", " MT-PRIORITY=-9", "" },
	{ "MT-PRIORITY that is zero", "MT-PRIORITY MIXER", "priority=0 a", " MT-PRIORITY=0", "" },
	{ "BY with N", "DELIVERBY", "by=90N a", " BY=90;N", "" },
	{ "BY that is over already", "DELIVERBY", "by=-5NT a", " BY=-5;NT", "" },
	{ "BODY=8BITMIME", "8BITMIME", "8bit a", " BODY=8BITMIME", "" },
};

static void what_was_asked_for_goes_on_where_it_is_offered(void **state)
{
	char script[2000];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(passed); i++) {
		print_message("%s\n", passed[i].name);
		snprintf(script, sizeof(script),
		         HELLO "S: 250-mx / 250-PIPELINING / 250 %s\nup\nready\njob %s\n" MAIL "%s\n" RCPT
		               "%s\nC+ DATA\n",
		         passed[i].keyword, passed[i].job, passed[i].mail, passed[i].rcpt);
		session_script(NONE, script);
		snprintf(script, sizeof(script),
		         HELLO "S: 250-mx / 250 PIPELINING\nup\nready\njob %s\n" MAIL "\n" RCPT "\nC+ DATA\n",
		         passed[i].job);
		session_script(NONE, script);
	}
}

static void all_at_once(void **state)
{
	(void)state;
	session_script(
		NONE,
		UP_WITH(PIPELINING
	                "250-SIZE / 250-8BITMIME / 250-DSN / 250-SMTPUTF8 / 250-MT-PRIORITY / "
	                "250 DELIVERBY") "job 8bit utf8 8bit-header ret=full envid=e priority=9 by=3600R a notify=success "
					 "orcpt=rfc822;a@b b notify=never\n" MAIL
					 " SIZE=7 BODY=8BITMIME SMTPUTF8 RET=FULL ENVID=e MT-PRIORITY=9 BY=3600;R\n" RCPT
					 " NOTIFY=SUCCESS ORCPT=rfc822;a@b\n"
					 "C+ RCPT TO:<b@example.net> NOTIFY=NEVER\n"
					 "C+ DATA\n");
}

/* A value that would end the line, or the parameter, is not sent. */
static void value_that_cannot_be_one_is_left_out(void **state)
{
	(void)state;
	session_script(NONE, UP_WITH("250 DSN") "job envid=a\tb a orcpt=\x7f\n" MAIL
	                                        "\nS: 250 ok\nC> RCPT TO:<a@example.net>\n");
}

/* Time passes between the message and its MAIL. */
static void by_counts_down(void **state)
{
	(void)state;
	session_script(
		&(struct session_script_options){ .joins = true },
		UP_WITH(PIPELINING
	                "250 DELIVERBY") "job a\nready\n" MAIL "\n" RCPT "\nC+ DATA\n"
					 "job by=90N b\n"
					 "after 30 s\n"
					 "S: 250 ok / 250 ok / 354 go\nC> hello\nC+ .\n"
					 "C+ MAIL FROM:<s@example.org> BY=60;N\nC+ RCPT TO:<b@example.net>\nC+ DATA\n");
}

/* ---------------------------------------------------------------- SMTPUTF8 */

static void smtputf8_is_said_when_something_needs_it(void **state)
{
	(void)state;
	session_script(NONE, UP_WITH("250 SMTPUTF8") "job utf8 a\n" MAIL "\n");
	session_script(NONE, UP_WITH("250 SMTPUTF8") "job utf8 8bit 8bit-header a\n" MAIL " SMTPUTF8\n");
	session_script(NONE, UP_WITH("250 SMTPUTF8") "job utf8 \xc3\xbc\n" MAIL " SMTPUTF8\n"
	                                             "S: 250 ok\nC> RCPT TO:<\xc3\xbc@example.net>\n");
	/* the header of a part may need it: nobody has looked */
	session_script(NONE, UP_WITH("250 SMTPUTF8") "job utf8 8bit a\n" MAIL " SMTPUTF8\n");
	/* eight bits in the header without the client's word are the client's affair */
	session_script(NONE, UP_WITH("250 SMTPUTF8") "job 8bit 8bit-header a\n" MAIL "\n");
}

static void mail_that_needs_no_smtputf8_goes_without(void **state)
{
	(void)state;
	session_script(NONE, UP_WITH("250 8BITMIME") "job utf8 8bit a\n" MAIL " BODY=8BITMIME\n");
}

static void header_in_utf8_stays_where_smtputf8_is_not_offered(void **state)
{
	(void)state;
	session_script(
		NONE, UP_WITH("250 8BITMIME") "job utf8 8bit 8bit-header a b\n"
					      "a: permanent 0 5.6.7 extension mail ~does not offer SMTPUTF8\n"
					      "b: permanent 0 5.6.7 extension mail\n"
					      "done\nready\n"
					      "job a\n" MAIL "\n");
}

static void only_the_recipients_that_need_smtputf8_are_refused(void **state)
{
	(void)state;
	session_script(
		NONE,
		UP_WITH("250 PIPELINING") "job utf8 a \xc3\xbc\n" MAIL "\n" RCPT "\nC+ DATA\n"
					  "S: 250 ok\n"
					  "\xc3\xbc: permanent 0 5.6.7 extension rcpt ~does not offer SMTPUTF8\n"
					  "S: 250 ok / 354 go\nC> hello\nC+ .\nS: 250 2.0.0 taken\na: delivered 250 2.0.0\ndone\nready\n");
	session_script(NONE, UP_WITH("250 PIPELINING") "job utf8 \xc3\xbc unfit\n"
	                                               "\xc3\xbc: permanent 0 5.6.7 extension rcpt\n"
	                                               "unfit: permanent 0 5.1.3 no_such_user rcpt\n"
	                                               "done\nready\n");
}

static void original_recipient_in_utf8_is_escaped_where_it_has_to_be(void **state)
{
	(void)state;
	session_script(
		NONE,
		UP_WITH("250 DSN") "job a orcpt=utf-8;\xc3\xbc\xf0\x9f\x98\x80@x\n" MAIL "\n"
				   "S: 250 ok\nC> RCPT TO:<a@example.net> ORCPT=utf-8;\\x{FC}\\x{1F600}@x\n");
	session_script(
		NONE,
		UP_WITH("250-SMTPUTF8 / 250 DSN") "job a orcpt=utf-8;\xc3\xbc@x\n" MAIL "\n"
						  "S: 250 ok\nC> RCPT TO:<a@example.net> ORCPT=utf-8;\xc3\xbc@x\n");
}

/* ---------------------------------------------------------------- REQUIRETLS, DELIVERBY */

#define REQUIRE (&(struct session_script_options){ .tls = CONFIG_TLS_REQUIRE, .verifies = true })
#define SECURE_WITH(keywords)                                                                               \
	HELLO "S: 250-mx / 250 STARTTLS\nC> STARTTLS\nS: 220 go\nstarttls\ntls ok\nC> EHLO relay.example\n" \
	      "S: 250-mx / " keywords "\n"

static void requiretls_needs_tls_a_proved_name_and_the_word(void **state)
{
	(void)state;
	session_script(REQUIRE,
	               SECURE_WITH("250 REQUIRETLS") "up\nready\njob requiretls a\n" MAIL " REQUIRETLS\n");
	session_script(
		REQUIRE,
		SECURE_WITH(
			"250 SIZE") "up\nready\njob requiretls a\n"
				    "a: permanent 0 5.7.30 tls_policy mail ~does not offer REQUIRETLS\ndone\nready\n");
	session_script(
		&(struct session_script_options){ .tls = CONFIG_TLS_OPPORTUNISTIC },
		SECURE_WITH(
			"250 REQUIRETLS") "up\nready\njob requiretls a\n"
					  "a: permanent 0 5.7.30 tls_policy mail ~does not prove\ndone\nready\n");
	session_script(NONE, UP_WITH("250 REQUIRETLS") "job requiretls a\n"
	                                               "a: permanent 0 5.7.30 tls_policy\ndone\nready\n");
	/* the header field "TLS-Required: No" and no wish at all: nothing is said */
	session_script(REQUIRE, SECURE_WITH("250 REQUIRETLS") "up\nready\njob a\n" MAIL "\n");
}

static void mail_with_a_time_limit_is_not_handed_to_who_knows_none(void **state)
{
	(void)state;
	session_script(
		NONE,
		UP_WITH("250 SIZE") "job by=60R a\n"
				    "a: permanent 0 5.3.3 extension mail ~does not offer DELIVERBY\ndone\nready\n");
	session_script(
		NONE,
		UP_WITH("250 DELIVERBY 120") "job by=119R a\n"
					     "a: permanent 0 5.4.7 deadline mail ~120 seconds at least\ndone\nready\n"
					     "job by=120R b\n" MAIL " BY=120;R\n");
	session_script(NONE, UP_WITH("250 DELIVERBY 120") "job by=5N a\n" MAIL " BY=5;N\n");
	session_script(NONE, UP_WITH("250 DELIVERBY") "job by=-1R a\n"
	                                              "a: permanent 0 5.4.7 deadline mail\ndone\nready\n");
}

/* ---------------------------------------------------------------- a session that was opened for what it cannot do */

static void needs_are_asked_before_it_is_up(void **state)
{
	struct session_script_options o = { .needs = { .keywords = EHLO_SMTPUTF8, .bytes = 500 } };

	(void)state;
	session_script(&o, UP_WITH("250-SIZE 500 / 250 SMTPUTF8"));
	session_script(&o,
	               HELLO "S: 250-mx / 250 SIZE 500\n"
	                     "failed lacks: permanent 0 5.6.7 extension ehlo ~SMTPUTF8\nC> QUIT\nfinished\n");
	session_script(&o, HELLO
	               "S: 250-mx / 250-SIZE 499 / 250 SMTPUTF8\n"
	               "failed lacks: permanent 0 5.3.4 too_large ehlo ~500 octets\nC> QUIT\nfinished\n");
	session_script(&o, HELLO "S: 502 what\nC> HELO relay.example\nS: 250 mx\n"
	                         "failed lacks: permanent 0 5.6.7 extension ehlo\nC> QUIT\nfinished\n");
	/* nothing of the first EHLO counts where the second is not understood */
	session_script(
		&(struct session_script_options){ .tls = CONFIG_TLS_REQUIRE }, HELLO
		"S: 250-mx / 250-SIZE 5 / 250-DSN / 250 STARTTLS\nC> STARTTLS\nS: 220 go\nstarttls\ntls ok\n"
		"C> EHLO relay.example\nS: 502 what\nC> HELO relay.example\nS: 250 mx\nup\nready\n"
		"job ret=full a\n" MAIL "\n");
	/* only the second EHLO counts */
	o.tls = CONFIG_TLS_OPPORTUNISTIC;
	session_script(&o, HELLO "S: 250-mx / 250 STARTTLS\nC> STARTTLS\nS: 220 go\nstarttls\ntls ok\n"
	                         "C> EHLO relay.example\nS: 250-mx / 250 SMTPUTF8\nup\nready\n");
	session_script(&o, HELLO
	               "S: 250-mx / 250-SMTPUTF8 / 250 STARTTLS\nC> STARTTLS\nS: 220 go\nstarttls\ntls ok\n"
	               "C> EHLO relay.example\nS: 250-mx / 250 SIZE\n"
	               "failed lacks: permanent 0 5.6.7 extension\nC> QUIT\nfinished\n");
}

static void requiretls_makes_a_want_of_tls_final(void **state)
{
	struct session_script_options o = { .tls = CONFIG_TLS_REQUIRE,
		                            .verifies = true,
		                            .needs = { .keywords = EHLO_REQUIRETLS } };

	(void)state;
	session_script(
		&o, HELLO
		"S: 250 mx\nfailed no_tls: permanent 0 5.7.30 tls_policy ~REQUIRETLS\nC> QUIT\nfinished\n");
	session_script(&o,
	               HELLO "S: 250-mx / 250 STARTTLS\nC> STARTTLS\nS: 502 no\n"
	                     "failed no_tls: permanent 0 5.7.30 tls_policy ~REQUIRETLS\nC> QUIT\nfinished\n");
	session_script(&o,
	               HELLO "S: 250-mx / 250 STARTTLS\nC> STARTTLS\nS: 454 not now\n"
	                     "failed no_tls: transient 0 4.7.30 tls_policy ~REQUIRETLS\nC> QUIT\nfinished\n");
	session_script(&o, HELLO
	               "S: 250-mx / 250 STARTTLS\nC> STARTTLS\nS: 220 go\nstarttls\ntls wrong certificate\n"
	               "failed tls: permanent 0 5.7.30 tls_policy ~for another name\nclosed\n");
	session_script(&o, HELLO "S: 250-mx / 250 STARTTLS\nC> STARTTLS\nS: 220 go\nstarttls\ntls fails\n"
	                         "failed tls: transient 0 4.7.30 tls_policy\nclosed\n");
	session_script(&o, HELLO "S: 250-mx / 250 STARTTLS\nC> STARTTLS\nS: 220 go\nstarttls\nS: closes\n"
	                         "failed tls: transient 0 4.7.30 tls_policy ~in the handshake\nclosed\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_asked_for_goes_on_where_it_is_offered),
		cmocka_unit_test(all_at_once),
		cmocka_unit_test(value_that_cannot_be_one_is_left_out),
		cmocka_unit_test(by_counts_down),
		cmocka_unit_test(smtputf8_is_said_when_something_needs_it),
		cmocka_unit_test(mail_that_needs_no_smtputf8_goes_without),
		cmocka_unit_test(header_in_utf8_stays_where_smtputf8_is_not_offered),
		cmocka_unit_test(only_the_recipients_that_need_smtputf8_are_refused),
		cmocka_unit_test(original_recipient_in_utf8_is_escaped_where_it_has_to_be),
		cmocka_unit_test(requiretls_needs_tls_a_proved_name_and_the_word),
		cmocka_unit_test(mail_with_a_time_limit_is_not_handed_to_who_knows_none),
		cmocka_unit_test(needs_are_asked_before_it_is_up),
		cmocka_unit_test(requiretls_makes_a_want_of_tls_final),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
