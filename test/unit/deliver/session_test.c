/* The outbound session before mail: greeting, EHLO, TLS; and how a connection ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "support/session_script.h"

#define NONE (&(struct session_script_options){ .tls = CONFIG_TLS_NONE })
#define OPPORTUNISTIC (&(struct session_script_options){ .tls = CONFIG_TLS_OPPORTUNISTIC })
#define REQUIRE (&(struct session_script_options){ .tls = CONFIG_TLS_REQUIRE })

static void one_message_goes_out(void **state)
{
	(void)state;
	session_script(NONE, "S: 220 mx ESMTP\n"
	                     "C> EHLO relay.example\n"
	                     "S: 250-mx / 250-PIPELINING / 250-SIZE 1000 / 250 8BITMIME\n"
	                     "up\n"
	                     "ready\n"
	                     "job a b\n"
	                     "C> MAIL FROM:<s@example.org> SIZE=7\n"
	                     "C+ RCPT TO:<a@example.net>\n"
	                     "C+ RCPT TO:<b@example.net>\n"
	                     "C+ DATA\n"
	                     "S: 250 ok / 250 ok / 250 ok / 354 go\n"
	                     "C> hello\n"
	                     "C+ .\n"
	                     "S: 250 2.0.0 taken\n"
	                     "a: delivered 250 2.0.0 dot peer ~250 2.0.0 taken\n"
	                     "b: delivered 250 2.0.0\n"
	                     "done\n"
	                     "ready\n"
	                     "finish\n"
	                     "C> QUIT\n"
	                     "S: 221 bye\n"
	                     "closed\n");
}

/* ---------------------------------------------------------------- greeting */

static void greeting_of_several_lines_is_waited_for(void **state)
{
	(void)state;
	session_script(NONE, "S: 220-one\n"
	                     "S: 220-two\n"
	                     "S: 220 three\n"
	                     "C> EHLO relay.example\n");
}

static void greeting_421_is_passing(void **state)
{
	(void)state;
	session_script(NONE, "S: 421 4.3.2 too busy\n"
	                     "failed reply: transient 421 4.3.2 greeting peer ~421 4.3.2 too busy\n"
	                     "closed\n");
}

static void greeting_554_is_final_and_gets_a_quit(void **state)
{
	(void)state;
	session_script(NONE, "S: 554 no mail from you\n"
	                     "failed reply: permanent 554 5.0.0 blocked greeting peer\n"
	                     "C> QUIT\n"
	                     "finished\n");
}

static void greeting_of_an_unknown_code_counts_by_its_first_digit(void **state)
{
	(void)state;
	session_script(NONE, "S: 299 hello\n"
	                     "C> EHLO relay.example\n");
	session_script(NONE, "S: 498 hm\n"
	                     "failed reply: transient 498 4.0.0 other greeting\n"
	                     "C> QUIT\n"
	                     "finished\n");
}

static void greeting_that_is_no_reply_ends_it(void **state)
{
	(void)state;
	session_script(NONE, "S: SSH-2.0-OpenSSH_9.2\n"
	                     "failed cut: transient 0 4.5.0 protocol greeting ~no SMTP reply\n"
	                     "closed\n");
	session_script(NONE, "S: 354 go\n"
	                     "failed cut: transient 0 4.5.0 protocol greeting\n"
	                     "closed\n");
	session_script(NONE, "S: 220-a / 554 b\n"
	                     "failed cut: transient 0 4.5.0 protocol greeting\n"
	                     "closed\n");
}

static void silence_before_the_greeting_is_borne_for_five_minutes(void **state)
{
	(void)state;
	session_script(NONE, "after 299 s\n"
	                     "after 1 s\n"
	                     "failed silence: transient 0 4.4.2 timeout greeting ~before the greeting\n"
	                     "closed\n");
}

static void cut_before_the_greeting(void **state)
{
	(void)state;
	session_script(
		NONE,
		"S: closes\n"
		"failed cut: transient 0 4.4.2 connect greeting ~closed the connection before the greeting\n"
		"closed\n");
	session_script(NONE, "S- 220 mx\n"
	                     "S: resets\n"
	                     "failed cut: transient 0 4.4.2 connect greeting\n"
	                     "closed\n");
}

/* ---------------------------------------------------------------- EHLO and HELO */

static void helo_follows_a_refused_ehlo(void **state)
{
	(void)state;
	session_script(NONE, "S: 220 old\n"
	                     "C> EHLO relay.example\n"
	                     "S: 500 what\n"
	                     "C> HELO relay.example\n"
	                     "S: 250 old\n"
	                     "up\n"
	                     "ready\n"
	                     "job a\n"
	                     "C> MAIL FROM:<s@example.org>\n"
	                     "S: 250 ok\n"
	                     "C> RCPT TO:<a@example.net>\n"
	                     "S: 250 ok\n"
	                     "C> DATA\n"
	                     "S: 354 go\n"
	                     "C> hello\n"
	                     "C+ .\n"
	                     "S: 250 ok\n"
	                     "a: delivered 250 2.0.0\n"
	                     "done\n"
	                     "ready\n");
}

static void refused_helo_fails_the_host(void **state)
{
	(void)state;
	session_script(NONE, "S: 220 mx\n"
	                     "C> EHLO relay.example\n"
	                     "S: 502 no\n"
	                     "C> HELO relay.example\n"
	                     "S: 550 5.7.1 who are you\n"
	                     "failed reply: permanent 550 5.7.1 policy ehlo peer\n"
	                     "C> QUIT\n"
	                     "finished\n");
}

static void passing_refusal_of_ehlo_fails_the_host(void **state)
{
	(void)state;
	session_script(NONE, "S: 220 mx\n"
	                     "C> EHLO relay.example\n"
	                     "S: 421 busy\n"
	                     "failed reply: transient 421 4.0.0 ehlo\n"
	                     "closed\n");
	session_script(NONE, "S: 220 mx\n"
	                     "C> EHLO relay.example\n"
	                     "S: 451 busy\n"
	                     "failed reply: transient 451 4.0.0 ehlo\n"
	                     "C> QUIT\n"
	                     "finished\n");
}

static void ehlo_without_an_answer(void **state)
{
	(void)state;
	session_script(NONE, "S: 220 mx\n"
	                     "C> EHLO relay.example\n"
	                     "S: closes\n"
	                     "failed cut: transient 0 4.4.2 connect ehlo ~before the reply to EHLO\n"
	                     "closed\n");
	session_script(NONE, "S: 220 mx\n"
	                     "C> EHLO relay.example\n"
	                     "after 300 s\n"
	                     "failed silence: transient 0 4.4.2 timeout ehlo\n"
	                     "closed\n");
	session_script(NONE, "S: 220 mx\n"
	                     "C> EHLO relay.example\n"
	                     "S: 354 what\n"
	                     "failed cut: transient 0 4.5.0 protocol ehlo\n"
	                     "closed\n");
	session_script(NONE, "S: 220 mx\n"
	                     "C> EHLO relay.example\n"
	                     "S: nonsense\n"
	                     "failed cut: transient 0 4.5.0 protocol ehlo\n"
	                     "closed\n");
}

static void host_that_cannot_bear_ehlo_gets_helo_at_once(void **state)
{
	(void)state;
	session_script(&(struct session_script_options){ .no_ehlo = true }, "S: 220 old\n"
	                                                                    "C> HELO relay.example\n"
	                                                                    "S: 250 old\n"
	                                                                    "up\n"
	                                                                    "ready\n");
}

static void reply_before_its_command_ends_it(void **state)
{
	(void)state;
	session_script(NONE, "S: 220 mx / 250 mx\n"
	                     "failed cut: transient 0 4.5.0 protocol ehlo ~before it was asked\n"
	                     "closed\n");
	session_script(NONE, "S: 220 mx\n"
	                     "C> EHLO relay.example\n"
	                     "S: 500 no / 250 mx\n"
	                     "failed cut: transient 0 4.5.0 protocol ehlo\n"
	                     "closed\n");
}

/* ---------------------------------------------------------------- TLS */

static void tls_is_used_where_it_is_offered(void **state)
{
	(void)state;
	session_script(OPPORTUNISTIC, "S: 220 mx\n"
	                              "C> EHLO relay.example\n"
	                              "S: 250-mx / 250-PIPELINING / 250 STARTTLS\n"
	                              "C> STARTTLS\n"
	                              "S: 220 go\n"
	                              "starttls\n"
	                              "tls ok\n"
	                              "C> EHLO relay.example\n"
	                              "S: 250-mx / 250 SIZE\n"
	                              "up\n"
	                              "ready\n"
	                              "job a\n"
	                              /* the first list offered PIPELINING, and does not count any more */
	                              "C> MAIL FROM:<s@example.org> SIZE=7\n");
}

static void starttls_offered_again_under_tls_is_ignored(void **state)
{
	(void)state;
	session_script(REQUIRE, "S: 220 mx\n"
	                        "C> EHLO relay.example\n"
	                        "S: 250-mx / 250 STARTTLS\n"
	                        "C> STARTTLS\n"
	                        "S: 220 go\n"
	                        "starttls\n"
	                        "tls ok\n"
	                        "C> EHLO relay.example\n"
	                        "S: 250-mx / 250 STARTTLS\n"
	                        "up\n"
	                        "ready\n");
}

static void without_an_offer_opportunistic_goes_on_in_plain_text(void **state)
{
	(void)state;
	session_script(OPPORTUNISTIC, "S: 220 mx\n"
	                              "C> EHLO relay.example\n"
	                              "S: 250 mx\n"
	                              "up\n"
	                              "ready\n");
}

static void without_an_offer_require_fails(void **state)
{
	(void)state;
	session_script(REQUIRE, "S: 220 mx\n"
	                        "C> EHLO relay.example\n"
	                        "S: 250-mx / 250 PIPELINING\n"
	                        "failed no_tls: transient 0 4.7.4 tls ehlo ~does not offer STARTTLS\n"
	                        "C> QUIT\n"
	                        "finished\n");
	session_script(REQUIRE, "S: 220 mx\n"
	                        "C> EHLO relay.example\n"
	                        "S: 502 no\n"
	                        "C> HELO relay.example\n"
	                        "S: 250 mx\n"
	                        "failed no_tls: transient 0 4.7.4 tls ehlo\n"
	                        "C> QUIT\n"
	                        "finished\n");
}

static void refused_starttls(void **state)
{
	(void)state;
	session_script(OPPORTUNISTIC, "S: 220 mx\n"
	                              "C> EHLO relay.example\n"
	                              "S: 250-mx / 250-STARTTLS / 250 PIPELINING\n"
	                              "C> STARTTLS\n"
	                              "S: 454 4.7.0 not now\n"
	                              "up\n"
	                              "ready\n"
	                              "job a\n"
	                              "C> MAIL FROM:<s@example.org>\n"
	                              "C+ RCPT TO:<a@example.net>\n"
	                              "C+ DATA\n");
	session_script(REQUIRE,
	               "S: 220 mx\n"
	               "C> EHLO relay.example\n"
	               "S: 250-mx / 250 STARTTLS\n"
	               "C> STARTTLS\n"
	               "S: 454 4.7.0 not now\n"
	               "failed no_tls: transient 0 4.7.4 tls starttls ~refused STARTTLS: 454 4.7.0 not now\n"
	               "C> QUIT\n"
	               "finished\n");
	session_script(OPPORTUNISTIC, "S: 220 mx\n"
	                              "C> EHLO relay.example\n"
	                              "S: 250-mx / 250 STARTTLS\n"
	                              "C> STARTTLS\n"
	                              "S: 421 bye\n"
	                              "failed reply: transient 421 4.0.0 starttls\n"
	                              "closed\n");
}

static void failed_handshake_ends_the_connection(void **state)
{
	(void)state;
	session_script(OPPORTUNISTIC,
	               "S: 220 mx\n"
	               "C> EHLO relay.example\n"
	               "S: 250-mx / 250 STARTTLS\n"
	               "C> STARTTLS\n"
	               "S: 220 go\n"
	               "starttls\n"
	               "tls fails\n"
	               "failed tls: transient 0 4.7.5 tls starttls ~handshake failed: no common version\n"
	               "closed\n");
	session_script(REQUIRE,
	               "S: 220 mx\n"
	               "C> EHLO relay.example\n"
	               "S: 250-mx / 250 STARTTLS\n"
	               "C> STARTTLS\n"
	               "S: 220 go\n"
	               "starttls\n"
	               "tls wrong certificate\n"
	               "failed tls: transient 0 4.7.5 tls starttls ~certificate is not the one demanded\n"
	               "closed\n");
}

static void handshake_without_an_end(void **state)
{
	(void)state;
	session_script(OPPORTUNISTIC, "S: 220 mx\n"
	                              "C> EHLO relay.example\n"
	                              "S: 250-mx / 250 STARTTLS\n"
	                              "C> STARTTLS\n"
	                              "S: 220 go\n"
	                              "starttls\n"
	                              "after 300 s\n"
	                              "failed tls: transient 0 4.7.5 tls starttls ~in the handshake\n"
	                              "closed\n");
	session_script(OPPORTUNISTIC, "S: 220 mx\n"
	                              "C> EHLO relay.example\n"
	                              "S: 250-mx / 250 STARTTLS\n"
	                              "C> STARTTLS\n"
	                              "S: 220 go\n"
	                              "starttls\n"
	                              "S: closes\n"
	                              "failed tls: transient 0 4.7.5 tls starttls\n"
	                              "closed\n");
}

/* A reply behind the 220, read later as if it had come through TLS. No way round to plain text either. */
static void octets_behind_the_220_end_the_connection(void **state)
{
	(void)state;
	session_script(OPPORTUNISTIC,
	               "S: 220 mx\n"
	               "C> EHLO relay.example\n"
	               "S: 250-mx / 250 STARTTLS\n"
	               "C> STARTTLS\n"
	               "S: 220 go / 250-mx / 250 AUTH PLAIN\n"
	               "failed cut: transient 0 4.7.5 tls starttls ~somebody may be in between\n"
	               "closed\n");
}

static void half_a_reply_behind_the_220_ends_the_connection(void **state)
{
	(void)state;
	session_script(REQUIRE, "S: 220 mx\n"
	                        "C> EHLO relay.example\n"
	                        "S: 250-mx / 250 STARTTLS\n"
	                        "C> STARTTLS\n"
	                        "S- 220 go | 2\n"
	                        "failed cut: transient 0 4.7.5 tls starttls\n"
	                        "closed\n");
}

static void host_whose_tls_failed_is_not_asked_again(void **state)
{
	(void)state;
	session_script(&(struct session_script_options){ .tls = CONFIG_TLS_OPPORTUNISTIC, .no_tls = true },
	               "S: 220 mx\n"
	               "C> EHLO relay.example\n"
	               "S: 250-mx / 250 STARTTLS\n"
	               "up\n"
	               "ready\n");
	/* what is demanded is demanded */
	session_script(&(struct session_script_options){ .tls = CONFIG_TLS_REQUIRE, .no_tls = true },
	               "S: 220 mx\n"
	               "C> EHLO relay.example\n"
	               "S: 250-mx / 250 STARTTLS\n"
	               "C> STARTTLS\n");
}

static void without_tls_starttls_is_not_sent(void **state)
{
	(void)state;
	session_script(NONE, "S: 220 mx\n"
	                     "C> EHLO relay.example\n"
	                     "S: 250-mx / 250 STARTTLS\n"
	                     "up\n"
	                     "ready\n");
}

/* ---------------------------------------------------------------- the end */

#define UP "S: 220 mx\nC> EHLO relay.example\nS: 250 mx\nup\nready\n"

static void quit_is_not_waited_for_long(void **state)
{
	(void)state;
	session_script(NONE, UP "finish\n"
	                        "C> QUIT\n"
	                        "after 2 s\n"
	                        "closed\n");
	session_script(NONE, UP "finish\n"
	                        "C> QUIT\n"
	                        "S: closes\n"
	                        "closed\n");
	session_script(NONE, UP "finish\n"
	                        "C> QUIT\n"
	                        "S: rubbish\n"
	                        "closed\n");
}

static void finish_before_it_is_up(void **state)
{
	(void)state;
	session_script(NONE, "S: 220 mx\n"
	                     "C> EHLO relay.example\n"
	                     "finish\n"
	                     "S: 250 mx\n"
	                     "up\n"
	                     "C> QUIT\n"
	                     "S: 221 bye\n"
	                     "closed\n");
}

static void idle_connection_that_the_peer_ends(void **state)
{
	(void)state;
	session_script(NONE, UP "S: closes\nclosed\n");
	session_script(NONE, UP "S: 421 idle for too long\nclosed\n");
	session_script(NONE, UP "S: 250 what\nclosed\n");
	session_script(NONE, UP "after 100000 s\nS: closes\nclosed\n");
}

static void abort_at_every_stage(void **state)
{
	(void)state;
	session_script(NONE, "abort\n"
	                     "failed cut: transient 0 4.3.2 other greeting\n"
	                     "closed\n");
	session_script(NONE, "S: 220 mx\n"
	                     "C> EHLO relay.example\n"
	                     "abort\n"
	                     "failed cut: transient 0 4.3.2 other ehlo\n"
	                     "closed\n");
	session_script(NONE, UP "abort\nclosed\n");
	session_script(NONE, UP "finish\nC> QUIT\nabort\nclosed\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_message_goes_out),
		cmocka_unit_test(greeting_of_several_lines_is_waited_for),
		cmocka_unit_test(greeting_421_is_passing),
		cmocka_unit_test(greeting_554_is_final_and_gets_a_quit),
		cmocka_unit_test(greeting_of_an_unknown_code_counts_by_its_first_digit),
		cmocka_unit_test(greeting_that_is_no_reply_ends_it),
		cmocka_unit_test(silence_before_the_greeting_is_borne_for_five_minutes),
		cmocka_unit_test(cut_before_the_greeting),
		cmocka_unit_test(helo_follows_a_refused_ehlo),
		cmocka_unit_test(refused_helo_fails_the_host),
		cmocka_unit_test(passing_refusal_of_ehlo_fails_the_host),
		cmocka_unit_test(ehlo_without_an_answer),
		cmocka_unit_test(host_that_cannot_bear_ehlo_gets_helo_at_once),
		cmocka_unit_test(reply_before_its_command_ends_it),
		cmocka_unit_test(tls_is_used_where_it_is_offered),
		cmocka_unit_test(starttls_offered_again_under_tls_is_ignored),
		cmocka_unit_test(without_an_offer_opportunistic_goes_on_in_plain_text),
		cmocka_unit_test(without_an_offer_require_fails),
		cmocka_unit_test(refused_starttls),
		cmocka_unit_test(failed_handshake_ends_the_connection),
		cmocka_unit_test(handshake_without_an_end),
		cmocka_unit_test(octets_behind_the_220_end_the_connection),
		cmocka_unit_test(half_a_reply_behind_the_220_ends_the_connection),
		cmocka_unit_test(host_whose_tls_failed_is_not_asked_again),
		cmocka_unit_test(without_tls_starttls_is_not_sent),
		cmocka_unit_test(quit_is_not_waited_for_long),
		cmocka_unit_test(finish_before_it_is_up),
		cmocka_unit_test(idle_connection_that_the_peer_ends),
		cmocka_unit_test(abort_at_every_stage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
