/* Mail transactions on an outbound session. What every reply, cut and silence comes to at every stage is
 * in stages_test. */
#include "support/check.h"
#include "support/session_script.h"

#define NONE (&(struct session_script_options){ .tls = CONFIG_TLS_NONE })
#define JOINS (&(struct session_script_options){ .tls = CONFIG_TLS_NONE, .joins = true })

#define HELLO "S: 220 mx\nC> EHLO relay.example\n"
#define UP HELLO "S: 250 mx\nup\nready\n"
#define UP_PIPELINING HELLO "S: 250-mx / 250 PIPELINING\nup\nready\n"
#define UP_ALL HELLO "S: 250-mx / 250-PIPELINING / 250-8BITMIME / 250 SIZE 1000000\nup\nready\n"

#define ENVELOPE_A "C> MAIL FROM:<s@example.org>\nC+ RCPT TO:<a@example.net>\nC+ DATA\n"
#define READY_ENVELOPE_A "ready\n" ENVELOPE_A
#define ENVELOPE_B "C> MAIL FROM:<s@example.org>\nC+ RCPT TO:<b@example.net>\nC+ DATA\n"
#define TAKEN_A \
	"S: 250 ok / 250 ok / 354 go\nC> hello\nC+ .\nS: 250 2.0.0 taken\na: delivered 250 2.0.0\ndone\nready\n"

/* ---------------------------------------------------------------- the envelope */

static void null_reverse_path(void **state)
{
	(void)state;
	session_script(NONE, UP "job null a\nC> MAIL FROM:<>\n");
}

static void parameters_are_sent_where_they_are_offered(void **state)
{
	(void)state;
	session_script(NONE, UP_ALL "job 8bit a\n"
	                            "C> MAIL FROM:<s@example.org> SIZE=7 BODY=8BITMIME\n"
	                            "C+ RCPT TO:<a@example.net>\n"
	                            "C+ DATA\n");
	session_script(NONE, UP_ALL "job a\n"
	                            "C> MAIL FROM:<s@example.org> SIZE=7\n"
	                            "C+ RCPT TO:<a@example.net>\n"
	                            "C+ DATA\n");
	/* eight bits go to a host that does not say 8BITMIME too */
	session_script(NONE, UP "job 8bit a\nC> MAIL FROM:<s@example.org>\n");
	session_script(NONE,
	               HELLO "S: 250-mx / 250 SIZE\nup\nready\njob a\nC> MAIL FROM:<s@example.org> SIZE=7\n");
	session_script(NONE, HELLO
	               "S: 250-mx / 250 SIZE 0\nup\nready\njob a\nC> MAIL FROM:<s@example.org> SIZE=7\n");
}

static void message_over_the_hosts_limit_is_not_sent(void **state)
{
	(void)state;
	session_script(NONE, HELLO "S: 250-mx / 250-PIPELINING / 250 SIZE 100\n"
	                           "up\n"
	                           "ready\n"
	                           "job size=101 a b\n"
	                           "a: permanent 0 5.3.4 too_large mail ~101 octets, and the host takes 100\n"
	                           "b: permanent 0 5.3.4 too_large\n"
	                           "done\n"
	                           "ready\n"
	                           "job size=100 a\n"
	                           "C> MAIL FROM:<s@example.org> SIZE=100\n"
	                           "C+ RCPT TO:<a@example.net>\n"
	                           "C+ DATA\n");
}

static void unfit_address_does_not_harm_the_others(void **state)
{
	(void)state;
	session_script(NONE, UP_PIPELINING "job unfit a\n" ENVELOPE_A "S: 250 ok\n"
	                                   "unfit: permanent 0 5.1.3 no_such_user rcpt\n"
	                                   "S: 250 ok / 354 go\n"
	                                   "C> hello\n"
	                                   "C+ .\n"
	                                   "S: 250 ok\n"
	                                   "a: delivered 250\n"
	                                   "done\n"
	                                   "ready\n");
	session_script(NONE, UP "job unfit a unfit\n"
	                        "C> MAIL FROM:<s@example.org>\n"
	                        "S: 250 ok\n"
	                        "unfit: permanent 0 5.1.3\n"
	                        "unfit: permanent 0 5.1.3\n"
	                        "C> RCPT TO:<a@example.net>\n"
	                        "S: 250 ok\n"
	                        "C> DATA\n"
	                        "S: 354 go\n"
	                        "C> hello\n"
	                        "C+ .\n"
	                        "S: 250 ok\n"
	                        "a: delivered 250\n"
	                        "done\n"
	                        "ready\n");
}

static void nothing_is_sent_when_no_address_is_fit(void **state)
{
	(void)state;
	session_script(NONE, UP_PIPELINING "job unfit\n"
	                                   "unfit: permanent 0 5.1.3 no_such_user\n"
	                                   "done\n"
	                                   "ready\n");
}

/* ---------------------------------------------------------------- recipients */

static void recipients_have_results_of_their_own(void **state)
{
	(void)state;
	session_script(NONE, UP_PIPELINING
	               "job a b c\n"
	               "C> MAIL FROM:<s@example.org>\n"
	               "C+ RCPT TO:<a@example.net>\n"
	               "C+ RCPT TO:<b@example.net>\n"
	               "C+ RCPT TO:<c@example.net>\n"
	               "C+ DATA\n"
	               "S: 250 ok / 550 5.1.1 no such user / 250 ok / 450 4.2.0 greylisted / 354 go\n"
	               "a: permanent 550 5.1.1 no_such_user rcpt peer\n"
	               "c: transient 450 4.2.0 greylisted rcpt peer\n"
	               "C> hello\n"
	               "C+ .\n"
	               "S: 250 ok\n"
	               "b: delivered 250\n"
	               "done\n"
	               "ready\n");
}

/* RFC 5321 section 4.5.3.1.10 */
static void too_many_recipients_is_passing(void **state)
{
	(void)state;
	session_script(NONE, UP_PIPELINING "job a b\n"
	                                   "C> MAIL FROM:<s@example.org>\n"
	                                   "C+ RCPT TO:<a@example.net>\n"
	                                   "C+ RCPT TO:<b@example.net>\n"
	                                   "C+ DATA\n"
	                                   "S: 250 ok / 250 ok / 552 too many recipients / 354 go\n"
	                                   "b: transient 552 4.0.0 rate_limited rcpt\n"
	                                   "C> hello\n"
	                                   "C+ .\n"
	                                   "S: 250 ok\n"
	                                   "a: delivered 250\n"
	                                   "done\n"
	                                   "ready\n");
}

/* RFC 2920 section 3.1 */
static void data_accepted_without_recipients_gets_a_lone_dot(void **state)
{
	(void)state;
	session_script(NONE, UP_PIPELINING "job a\n" ENVELOPE_A "S: 250 ok / 550 no / 354 go\n"
	                                   "a: permanent 550 5.0.0\n"
	                                   "C> .\n"
	                                   "S: 250 taken, whatever it was\n"
	                                   "done\n"
	                                   "ready\n"
	                                   "job b\n"
	                                   "C> RSET\n"
	                                   "C+ MAIL FROM:<s@example.org>\n"
	                                   "C+ RCPT TO:<b@example.net>\n"
	                                   "C+ DATA\n");
	session_script(NONE, UP_PIPELINING "job a\n" ENVELOPE_A "S: 550 no / 550 no / 354 go\n"
	                                   "a: permanent 550 5.0.0 policy mail\n"
	                                   "C> .\n"
	                                   "S: 554 no valid recipients\n"
	                                   "done\n"
	                                   "ready\n");
}

static void silence_after_the_lone_dot_changes_no_result(void **state)
{
	(void)state;
	session_script(NONE, UP_PIPELINING "job a\n" ENVELOPE_A "S: 250 ok / 550 no / 354 go\n"
	                                   "a: permanent 550 5.0.0\n"
	                                   "C> .\n"
	                                   "S: closes\n"
	                                   "done\n"
	                                   "closed\n");
}

/* ---------------------------------------------------------------- RSET */

static void rset_goes_with_the_next_envelope_when_a_transaction_is_left(void **state)
{
	(void)state;
	session_script(NONE, UP_PIPELINING "job a\n" ENVELOPE_A "S: 250 ok / 550 no / 503 no recipients\n"
	                                   "a: permanent 550 5.0.0\n"
	                                   "done\n"
	                                   "ready\n"
	                                   "job b\n"
	                                   "C> RSET\n"
	                                   "C+ MAIL FROM:<s@example.org>\n"
	                                   "C+ RCPT TO:<b@example.net>\n"
	                                   "C+ DATA\n"
	                                   "S: 250 reset / 250 ok / 250 ok / 354 go\n"
	                                   "C> hello\n"
	                                   "C+ .\n"
	                                   "S: 250 ok\n"
	                                   "b: delivered 250 reused\n"
	                                   "done\n"
	                                   "ready\n");
	session_script(NONE, UP "job a\n"
	                        "C> MAIL FROM:<s@example.org>\n"
	                        "S: 250 ok\n"
	                        "C> RCPT TO:<a@example.net>\n"
	                        "S: 450 no\n"
	                        "a: transient 450 4.0.0\n"
	                        "done\n"
	                        "ready\n"
	                        "job b\n"
	                        "C> RSET\n"
	                        "S: 250 ok\n"
	                        "C> MAIL FROM:<s@example.org>\n");
}

static void rset_is_not_sent_where_nothing_is_left(void **state)
{
	(void)state;
	session_script(NONE, UP_PIPELINING "job a\n" ENVELOPE_A "S: 550 no / 503 no / 503 no\n"
	                                   "a: permanent 550 5.0.0\n"
	                                   "done\n"
	                                   "ready\n"
	                                   "job b\n" ENVELOPE_B);
	session_script(NONE, UP_PIPELINING "job a\n" ENVELOPE_A "S: 250 ok / 250 ok / 354 go\n"
	                                   "C> hello\n"
	                                   "C+ .\n"
	                                   "S: 554 5.6.0 no\n"
	                                   "a: permanent 554 5.6.0 content dot\n"
	                                   "done\n"
	                                   "ready\n"
	                                   "job b\n" ENVELOPE_B);
}

static void refused_rset_ends_the_connection_and_not_the_message(void **state)
{
	(void)state;
	session_script(NONE, UP_PIPELINING "job a\n" ENVELOPE_A "S: 250 ok / 550 no / 503 no\n"
	                                   "a: permanent 550 5.0.0\n"
	                                   "done\n"
	                                   "ready\n"
	                                   "job b\n"
	                                   "C> RSET\n"
	                                   "C+ MAIL FROM:<s@example.org>\n"
	                                   "C+ RCPT TO:<b@example.net>\n"
	                                   "C+ DATA\n"
	                                   "S: 421 enough\n"
	                                   "b: transient 421 4.0.0 untouched reused peer\n"
	                                   "done\n"
	                                   "closed\n");
}

/* ---------------------------------------------------------------- the connection ends between messages */

static void cut_before_anything_was_said_to_a_later_message(void **state)
{
	(void)state;
	session_script(NONE, UP_PIPELINING
	               "job a\n" ENVELOPE_A TAKEN_A "job b\n" ENVELOPE_B "S: closes\n"
	               "b: transient 0 4.4.2 connect mail untouched reused ~before the reply to MAIL\n"
	               "done\n"
	               "closed\n");
	session_script(NONE, UP_PIPELINING "job a\n" ENVELOPE_A TAKEN_A "job b\n" ENVELOPE_B
	                                   "S: 421 4.7.0 too many messages\n"
	                                   "b: transient 421 4.7.0 rate_limited untouched reused peer\n"
	                                   "done\n"
	                                   "closed\n");
	session_script(NONE,
	               UP_PIPELINING "job a\n" ENVELOPE_A TAKEN_A "job b\n" ENVELOPE_B "S: 503 nested MAIL\n"
	                             "b: transient 503 4.0.0 untouched reused peer\n"
	                             "done\n"
	                             "closed\n");
}

static void cut_after_an_answer_is_an_attempt(void **state)
{
	(void)state;
	session_script(NONE,
	               UP_PIPELINING "job a\n" ENVELOPE_A TAKEN_A "job b\n" ENVELOPE_B "S: 250 ok\n"
	                             "learned keeps\n"
	                             "ready\n"
	                             "S: closes\n"
	                             "b: transient 0 4.4.2 connect rcpt reused ~before the reply to RCPT\n"
	                             "done\n"
	                             "closed\n");
	/* on a fresh connection it always is */
	session_script(NONE, UP_PIPELINING "job a\n" ENVELOPE_A "S: 421 4.3.2 no\n"
	                                   "a: transient 421 4.3.2 peer ~421 4.3.2 no\n"
	                                   "done\n"
	                                   "closed\n");
	session_script(NONE, UP_PIPELINING "job a\n" ENVELOPE_A "S: 503 no\n"
	                                   "a: permanent 503 5.0.0 protocol mail\n"
	                                   "S: 503 no / 503 no\n"
	                                   "done\n"
	                                   "ready\n");
}

/* ---------------------------------------------------------------- the next envelope behind the dot */

static void peer_that_kept_a_connection_gets_the_next_envelope_with_the_dot(void **state)
{
	(void)state;
	session_script(JOINS, UP_PIPELINING "job a\n" READY_ENVELOPE_A "job b\n"
	                                    "S: 250 ok / 250 ok / 354 go\n"
	                                    "C> hello\n"
	                                    "C+ .\n"
	                                    "C+ MAIL FROM:<s@example.org>\n"
	                                    "C+ RCPT TO:<b@example.net>\n"
	                                    "C+ DATA\n"
	                                    "S: 250 2.0.0 a taken / 250 ok / 250 ok / 354 go\n"
	                                    "a: delivered 250 2.0.0 ~a taken\n"
	                                    "done\n"
	                                    "learned keeps\n"
	                                    "ready\n"
	                                    "C> hello\n"
	                                    "C+ .\n"
	                                    "S: 250 2.0.0 b taken\n"
	                                    "b: delivered 250 2.0.0 reused ~b taken\n"
	                                    "done\n");
}

static void envelope_that_comes_late_follows_the_dot_alone(void **state)
{
	(void)state;
	session_script(JOINS, UP_PIPELINING "job a\n" READY_ENVELOPE_A "S: 250 ok / 250 ok / 354 go\n"
	                                    "C> hello\n"
	                                    "C+ .\n"
	                                    "job b\n" ENVELOPE_B "S: 250 taken\n"
	                                    "a: delivered 250\n"
	                                    "done\n"
	                                    "ready\n"
	                                    "S: 250 ok / 250 ok / 354 go\n"
	                                    "learned keeps\n"
	                                    "C> hello\n"
	                                    "C+ .\n");
}

static void stranger_is_not_asked_for_so_much(void **state)
{
	(void)state;
	/* only the second message shows that it keeps connections */
	session_script(NONE, UP_PIPELINING "job a\n" ENVELOPE_A TAKEN_A "job b\n" ENVELOPE_B "S: 250 ok\n"
	                                   "learned keeps\n"
	                                   "ready\n");
	/* and without PIPELINING nothing helps */
	session_script(JOINS, UP "job a\n"
	                         "C> MAIL FROM:<s@example.org>\n"
	                         "S: 250 ok\n"
	                         "C> RCPT TO:<a@example.net>\n"
	                         "S: 250 ok\n"
	                         "C> DATA\n"
	                         "S: 354 go\n"
	                         "C> hello\n"
	                         "C+ .\n"
	                         "S: 250 ok\n"
	                         "a: delivered 250\n"
	                         "done\n"
	                         "ready\n");
}

static void cut_at_the_joined_dot(void **state)
{
	(void)state;
	/* the first may have arrived, the second cannot have */
	session_script(JOINS,
	               UP_PIPELINING "job a\n" READY_ENVELOPE_A "job b\n"
	                             "S: 250 ok / 250 ok / 354 go\n"
	                             "C> hello\n"
	                             "C+ .\n"
	                             "C+ MAIL FROM:<s@example.org>\n"
	                             "C+ RCPT TO:<b@example.net>\n"
	                             "C+ DATA\n"
	                             "S: closes\n"
	                             "a: unknown 0 4.4.2 unknown_outcome dot ~may have been delivered\n"
	                             "done\n"
	                             "learned cuts\n"
	                             "b: transient 0 4.4.2 connect mail untouched reused\n"
	                             "done\n"
	                             "closed\n");
	session_script(JOINS, UP_PIPELINING "job a\n" READY_ENVELOPE_A "job b\n"
	                                    "S: 250 ok / 250 ok / 354 go\n"
	                                    "C> hello\n"
	                                    "C+ .\n"
	                                    "C+ MAIL FROM:<s@example.org>\n"
	                                    "C+ RCPT TO:<b@example.net>\n"
	                                    "C+ DATA\n"
	                                    "S: 250 ok / 421 that was enough\n"
	                                    "a: delivered 250\n"
	                                    "done\n"
	                                    "learned cuts\n"
	                                    "b: transient 421 4.0.0 untouched reused\n"
	                                    "done\n"
	                                    "closed\n");
	session_script(JOINS, UP_PIPELINING "job a\n" READY_ENVELOPE_A "job b\n"
	                                    "S: 250 ok / 250 ok / 354 go\n"
	                                    "C> hello\n"
	                                    "C+ .\n"
	                                    "C+ MAIL FROM:<s@example.org>\n"
	                                    "C+ RCPT TO:<b@example.net>\n"
	                                    "C+ DATA\n"
	                                    "S: 421 4.3.2 going down\n"
	                                    "a: transient 421 4.3.2 dot peer\n"
	                                    "done\n"
	                                    "learned cuts\n"
	                                    "b: transient 421 4.3.2 untouched reused\n"
	                                    "done\n"
	                                    "closed\n");
}

static void refused_message_does_not_harm_the_one_behind_it(void **state)
{
	(void)state;
	session_script(JOINS, UP_PIPELINING "job a\n" READY_ENVELOPE_A "job b\n"
	                                    "S: 250 ok / 250 ok / 354 go\n"
	                                    "C> hello\n"
	                                    "C+ .\n"
	                                    "C+ MAIL FROM:<s@example.org>\n"
	                                    "C+ RCPT TO:<b@example.net>\n"
	                                    "C+ DATA\n"
	                                    "S: 554 5.7.1 spam\n"
	                                    "a: permanent 554 5.7.1 content dot\n"
	                                    "done\n"
	                                    "ready\n"
	                                    "S: 250 ok / 250 ok / 354 go\n"
	                                    "learned keeps\n"
	                                    "C> hello\n"
	                                    "C+ .\n");
	/* all recipients of the first refused: its dot was never sent, so the second starts anew */
	session_script(JOINS, UP_PIPELINING "job a\n" READY_ENVELOPE_A "job b\n"
	                                    "S: 250 ok / 550 no / 554 no recipients\n"
	                                    "a: permanent 550 5.0.0\n"
	                                    "done\n"
	                                    "ready\n"
	                                    "C> RSET\n"
	                                    "C+ MAIL FROM:<s@example.org>\n"
	                                    "C+ RCPT TO:<b@example.net>\n"
	                                    "C+ DATA\n");
}

static void second_message_too_big_for_the_host_waits_for_its_result(void **state)
{
	(void)state;
	session_script(JOINS, HELLO "S: 250-mx / 250-PIPELINING / 250 SIZE 100\n"
	                            "up\n"
	                            "ready\n"
	                            "job a\n"
	                            "ready\n"
	                            "C> MAIL FROM:<s@example.org> SIZE=7\n"
	                            "C+ RCPT TO:<a@example.net>\n"
	                            "C+ DATA\n"
	                            "job size=500 b\n"
	                            "S: 250 ok / 250 ok / 354 go\n"
	                            "C> hello\n"
	                            "C+ .\n"
	                            "S: 250 ok\n"
	                            "a: delivered 250\n"
	                            "done\n"
	                            "b: permanent 0 5.3.4 too_large\n"
	                            "done\n"
	                            "ready\n");
}

static void next_message_is_asked_for_near_the_end_of_a_long_one(void **state)
{
	(void)state;
	session_script(JOINS,
	               UP_PIPELINING "job size=200000 slow a\n" ENVELOPE_A "S: 250 ok / 250 ok / 354 go\n"
	                             "body\n"
	                             "sent 41000\n"
	                             "body\n"
	                             "sent 41000\n"
	                             "ready\n"
	                             "job b\n"
	                             "body\n"
	                             "sent 41000\n"
	                             "body\n"
	                             "sent 41000\n"
	                             "body\n"
	                             "sent 41000\n"
	                             "S: 250 ok / 250 ok / 250 ok / 354 go\n"
	                             "a: delivered 250\n"
	                             "done\n"
	                             "learned keeps\n"
	                             "ready\n"
	                             "C> hello\n"
	                             "C+ .\n");
}

static void quit_is_never_behind_a_dot(void **state)
{
	(void)state;
	session_script(JOINS, UP_PIPELINING "job a\n" READY_ENVELOPE_A "finish\n"
	                                    "S: 250 ok / 250 ok / 354 go\n"
	                                    "C> hello\n"
	                                    "C+ .\n"
	                                    "S: 250 ok\n"
	                                    "a: delivered 250\n"
	                                    "done\n"
	                                    "C> QUIT\n"
	                                    "S: closes\n"
	                                    "closed\n");
}

/* ---------------------------------------------------------------- mail data */

static void dots_are_doubled(void **state)
{
	(void)state;
	session_script(NONE,
	               UP_PIPELINING "job text=.|..|.x|a.b|| a\n" ENVELOPE_A "S: 250 ok / 250 ok / 354 go\n"
	                             "C> ..\n"
	                             "C+ ...\n"
	                             "C+ ..x\n"
	                             "C+ a.b\n"
	                             "C+\n"
	                             "C+ .\n");
}

static void missing_last_line_end_is_added_once(void **state)
{
	(void)state;
	session_script(NONE, UP_PIPELINING "job text=one|two\\ a\n" ENVELOPE_A "S: 250 ok / 250 ok / 354 go\n"
	                                   "C> one\n"
	                                   "C+ two\n"
	                                   "C+ .\n");
}

static void long_body_waits_while_the_peer_takes_nothing(void **state)
{
	(void)state;
	session_script(NONE, UP_PIPELINING "job size=1000000 a\n" ENVELOPE_A "S: takes nothing\n"
	                                   "S: 250 ok / 250 ok / 354 go\n"
	                                   "sent 60000\n"
	                                   "after 179 s\n"
	                                   "after 1 s\n"
	                                   "a: transient 0 4.4.2 timeout data ~took no more octets\n"
	                                   "done\n"
	                                   "closed\n");
}

static void peer_that_takes_slowly_is_borne(void **state)
{
	(void)state;
	session_script(NONE, UP_PIPELINING "job size=1000000 a\n" ENVELOPE_A "S: takes nothing\n"
	                                   "S: 250 ok / 250 ok / 354 go\n"
	                                   "sent 60000\n"
	                                   "S: takes some\n"
	                                   "after 200 s\n"
	                                   "after 100 s\n"
	                                   "S: takes all\n"
	                                   "sent 1100000\n"
	                                   "S: 250 ok\n"
	                                   "a: delivered 250\n"
	                                   "done\n"
	                                   "ready\n");
}

static void slow_source_is_waited_for(void **state)
{
	(void)state;
	session_script(NONE, UP_PIPELINING "job slow a\n" ENVELOPE_A "S: 250 ok / 250 ok / 354 go\n"
	                                   "body\n"
	                                   "C> hello\n"
	                                   "C+ .\n"
	                                   "S: 250 ok\n"
	                                   "a: delivered 250\n"
	                                   "done\n"
	                                   "ready\n");
}

static void broken_source_never_ends_in_a_dot(void **state)
{
	(void)state;
	session_script(NONE, UP_PIPELINING "job size=1000 broken a b\n"
	                                   "C> MAIL FROM:<s@example.org>\n"
	                                   "C+ RCPT TO:<a@example.net>\n"
	                                   "C+ RCPT TO:<b@example.net>\n"
	                                   "C+ DATA\n"
	                                   "S: 250 ok / 250 ok / 550 no / 354 go\n"
	                                   "b: permanent 550 5.0.0\n"
	                                   "a: transient 0 4.3.0 spool data\n"
	                                   "done\n"
	                                   "closed\n");
}

static void bare_line_feed_never_leaves(void **state)
{
	(void)state;
	session_script(NONE, UP_PIPELINING "job bare a\n" ENVELOPE_A "S: 250 ok / 250 ok / 354 go\n"
	                                   "a: permanent 0 5.6.0 content data\n"
	                                   "done\n"
	                                   "closed\n");
}

static void reply_in_the_middle_of_the_data_counts(void **state)
{
	(void)state;
	session_script(NONE, UP_PIPELINING "job size=1000000 a\n" ENVELOPE_A "S: takes nothing\n"
	                                   "S: 250 ok / 250 ok / 354 go\n"
	                                   "sent 60000\n"
	                                   "S: 552 5.3.4 too much\n"
	                                   "a: permanent 552 5.3.4 too_large data peer\n"
	                                   "done\n"
	                                   "closed\n");
	session_script(NONE, UP_PIPELINING "job slow a\n" ENVELOPE_A "S: 250 ok / 250 ok / 354 go\n"
	                                   "S: 250 thank you\n"
	                                   "a: transient 0 4.4.2 protocol data\n"
	                                   "done\n"
	                                   "closed\n");
}

static void cut_in_the_middle_of_the_data(void **state)
{
	(void)state;
	session_script(NONE, UP_PIPELINING "job slow a\n" ENVELOPE_A "S: 250 ok / 250 ok / 354 go\n"
	                                   "S: closes\n"
	                                   "a: transient 0 4.4.2 connect data ~in the middle of the message\n"
	                                   "done\n"
	                                   "closed\n");
}

static void wait_for_the_dot_begins_when_it_has_left(void **state)
{
	(void)state;
	session_script(NONE, UP_PIPELINING "job a\n" ENVELOPE_A "S: takes nothing\n"
	                                   "S: 250 ok / 250 ok / 354 go\n"
	                                   "C> hello\n"
	                                   "C+ .\n"
	                                   "after 179 s\n"
	                                   "S: takes all\n"
	                                   "after 599 s\n"
	                                   "S: 250 ok\n"
	                                   "a: delivered 250\n"
	                                   "done\n"
	                                   "ready\n");
}

/* ---------------------------------------------------------------- waits */

static void each_wait_has_a_limit_of_its_own(void **state)
{
	static const char up[] = UP "job a\nC> MAIL FROM:<s@example.org>\n";
	static const struct {
		const char *script;
		unsigned wait_s;
		const char *result;
	} waits[] = {
		{ "", 310, "a: transient timeout mail ~before the reply to MAIL\n" },
		{ "S: 250 ok\nC> RCPT TO:<a@example.net>\n", 320,
		  "a: transient timeout rcpt ~before the reply to RCPT\n" },
		{ "S: 250 ok\nC> RCPT TO:<a@example.net>\nS: 250 ok\nC> DATA\n", 120,
		  "a: transient timeout data ~before the reply to DATA\n" },
		{ "S: 250 ok\nC> RCPT TO:<a@example.net>\nS: 250 ok\nC> DATA\nS: 354 go\nC> hello\nC+ .\n",
		  600, "a: unknown unknown_outcome dot\n" },
		{ "S: 250 ok\nC> RCPT TO:<a@example.net>\nS: 550 ok\na: permanent 550\ndone\nready\njob b\nC> RSET\n",
		  300, "b: transient timeout mail untouched ~before the reply to RSET\n" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(waits); i++) {
		struct buf script = BUF(10000);

		buf_add_format(&script, "%s%safter %u s\nafter 1 s\n%sdone\nclosed\n", up, waits[i].script,
		               waits[i].wait_s - 1, waits[i].result);
		buf_add_octet(&script, 0);
		session_script(NONE, script.at);
		buf_fini(&script);
	}
}

/* ---------------------------------------------------------------- our own end */

static void abort_in_the_middle(void **state)
{
	(void)state;
	session_script(NONE, UP_PIPELINING "job a\n" ENVELOPE_A "abort\n"
	                                   "a: transient 0 4.4.2 other mail ~we ended the connection\n"
	                                   "done\n"
	                                   "closed\n");
	session_script(NONE, UP_PIPELINING "job a\n" ENVELOPE_A "S: 250 ok / 250 ok / 354 go\n"
	                                   "C> hello\n"
	                                   "C+ .\n"
	                                   "abort\n"
	                                   "a: unknown 0 4.4.2 unknown_outcome dot\n"
	                                   "done\n"
	                                   "closed\n");
}

static void finish_lets_what_is_in_hand_go_on(void **state)
{
	(void)state;
	session_script(JOINS, UP_PIPELINING "job a\n" READY_ENVELOPE_A "job b\n"
	                                    "finish\n"
	                                    "S: 250 ok / 250 ok / 354 go\n"
	                                    "C> hello\n"
	                                    "C+ .\n"
	                                    "C+ MAIL FROM:<s@example.org>\n"
	                                    "C+ RCPT TO:<b@example.net>\n"
	                                    "C+ DATA\n"
	                                    "S: 250 ok / 250 ok / 250 ok / 354 go\n"
	                                    "a: delivered 250\n"
	                                    "done\n"
	                                    "learned keeps\n"
	                                    "C> hello\n"
	                                    "C+ .\n"
	                                    "S: 250 ok\n"
	                                    "b: delivered 250\n"
	                                    "done\n"
	                                    "C> QUIT\n"
	                                    "S: 221 bye\n"
	                                    "closed\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(null_reverse_path),
		cmocka_unit_test(parameters_are_sent_where_they_are_offered),
		cmocka_unit_test(message_over_the_hosts_limit_is_not_sent),
		cmocka_unit_test(unfit_address_does_not_harm_the_others),
		cmocka_unit_test(nothing_is_sent_when_no_address_is_fit),
		cmocka_unit_test(recipients_have_results_of_their_own),
		cmocka_unit_test(too_many_recipients_is_passing),
		cmocka_unit_test(data_accepted_without_recipients_gets_a_lone_dot),
		cmocka_unit_test(silence_after_the_lone_dot_changes_no_result),
		cmocka_unit_test(rset_goes_with_the_next_envelope_when_a_transaction_is_left),
		cmocka_unit_test(rset_is_not_sent_where_nothing_is_left),
		cmocka_unit_test(refused_rset_ends_the_connection_and_not_the_message),
		cmocka_unit_test(cut_before_anything_was_said_to_a_later_message),
		cmocka_unit_test(cut_after_an_answer_is_an_attempt),
		cmocka_unit_test(peer_that_kept_a_connection_gets_the_next_envelope_with_the_dot),
		cmocka_unit_test(envelope_that_comes_late_follows_the_dot_alone),
		cmocka_unit_test(stranger_is_not_asked_for_so_much),
		cmocka_unit_test(cut_at_the_joined_dot),
		cmocka_unit_test(refused_message_does_not_harm_the_one_behind_it),
		cmocka_unit_test(second_message_too_big_for_the_host_waits_for_its_result),
		cmocka_unit_test(next_message_is_asked_for_near_the_end_of_a_long_one),
		cmocka_unit_test(quit_is_never_behind_a_dot),
		cmocka_unit_test(dots_are_doubled),
		cmocka_unit_test(missing_last_line_end_is_added_once),
		cmocka_unit_test(long_body_waits_while_the_peer_takes_nothing),
		cmocka_unit_test(peer_that_takes_slowly_is_borne),
		cmocka_unit_test(slow_source_is_waited_for),
		cmocka_unit_test(broken_source_never_ends_in_a_dot),
		cmocka_unit_test(bare_line_feed_never_leaves),
		cmocka_unit_test(reply_in_the_middle_of_the_data_counts),
		cmocka_unit_test(cut_in_the_middle_of_the_data),
		cmocka_unit_test(wait_for_the_dot_begins_when_it_has_left),
		cmocka_unit_test(each_wait_has_a_limit_of_its_own),
		cmocka_unit_test(abort_in_the_middle),
		cmocka_unit_test(finish_lets_what_is_in_hand_go_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
