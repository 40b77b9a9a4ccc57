/* Binary mail by BDAT (RFC 3030) on an outbound session: every reply, cut and silence. */
#include "support/check.h"
#include "support/session_script.h"

#define NONE (&(struct session_script_options){ .tls = CONFIG_TLS_NONE })
#define JOINS (&(struct session_script_options){ .tls = CONFIG_TLS_NONE, .joins = true })
#define HELLO "S: 220 mx\nC> EHLO relay.example\n"
#define UP_SLOW HELLO "S: 250-mx / 250-CHUNKING / 250 BINARYMIME\nup\nready\n"
#define UP HELLO "S: 250-mx / 250-PIPELINING / 250-CHUNKING / 250 BINARYMIME\nup\nready\n"
#define ENVELOPE "C> MAIL FROM:<s@example.org> BODY=BINARYMIME\nC+ RCPT TO:<a@example.net>\n"
#define PLAIN "C> MAIL FROM:<s@example.org>\nC+ RCPT TO:<a@example.net>\nC+ DATA\n"
#define RSET_PLAIN "C> RSET\nC+ MAIL FROM:<s@example.org>\nC+ RCPT TO:<a@example.net>\nC+ DATA\n"
#define OK2 "S: 250 ok / 250 ok\n"

static void small_message_is_one_chunk(void **state)
{
	(void)state;
	session_script(NONE, UP "job binary a\n" ENVELOPE OK2 "C> BDAT 7 LAST\nC+ hello\n"
	                        "S: 250 2.0.0 taken\na: delivered 250 2.0.0\ndone\nready\n"
	                        "job a\n" PLAIN);
	session_script(NONE,
	               UP_SLOW "job binary a\nC> MAIL FROM:<s@example.org> BODY=BINARYMIME\n"
	                       "S: 250 ok\nC> RCPT TO:<a@example.net>\nS: 250 ok\nC> BDAT 7 LAST\nC+ hello\n"
	                       "S: 250 2.0.0 taken\na: delivered 250 2.0.0\ndone\nready\n");
}

static void octets_go_as_they_are(void **state)
{
	(void)state;
	/* dots are not doubled, a bare LF stays, no line end is added */
	session_script(NONE, UP "job binary text=.|..\\ bare a\n" ENVELOPE OK2
	                        "C> BDAT 10 LAST\nC+ .\nC+ ..x|\nC+ y\n"
	                        "S: 250 2.0.0 taken\na: delivered 250 2.0.0\ndone\nready\n");
}

static void message_of_two_chunks(void **state)
{
	(void)state;
	session_script(NONE, UP "job binary size=1048577 a\n" ENVELOPE OK2 "sent 1110000\n"
	                        "S: 250 1048576 octets\n"
	                        "S: 250 2.0.0 taken\na: delivered 250 2.0.0\ndone\nready\n");
	/* without PIPELINING the second waits for the answer to the first */
	session_script(NONE,
	               UP_SLOW "job binary size=1048577 a\nC> MAIL FROM:<s@example.org> BODY=BINARYMIME\n"
	                       "S: 250 ok\nC> RCPT TO:<a@example.net>\nS: 250 ok\nsent 1110000\n"
	                       "S: 250 1048576 octets\nC> BDAT 1 LAST\nC+|\n"
	                       "S: 250 2.0.0 taken\na: delivered 250 2.0.0\ndone\nready\n");
}

static void host_without_it_gets_none(void **state)
{
	(void)state;
	session_script(NONE,
	               HELLO "S: 250-mx / 250 CHUNKING\nup\nready\njob binary a\n"
	                     "a: permanent 0 5.6.3 extension mail ~BINARYMIME with CHUNKING\ndone\nready\n");
	session_script(NONE, HELLO "S: 250-mx / 250 BINARYMIME\nup\nready\njob binary a\n"
	                           "a: permanent 0 5.6.3 extension mail\ndone\nready\n");
}

static void no_chunk_without_a_recipient(void **state)
{
	(void)state;
	session_script(NONE, UP "job binary a\n" ENVELOPE
	                        "S: 250 ok / 550 5.1.1 no\na: permanent 550 5.1.1\ndone\nready\n"
	                        "job a\n" RSET_PLAIN);
	session_script(NONE,
	               UP "job binary a\n" ENVELOPE
	                  "S: 451 later / 503 what\na: transient 451 4.0.0\ndone\nready\njob a\n" PLAIN);
}

/* What is known after the chunk was refused is not: the transaction ends by RSET. */
static void refused_chunk_is_followed_by_rset(void **state)
{
	(void)state;
	session_script(NONE, UP "job binary a\n" ENVELOPE OK2 "C> BDAT 7 LAST\nC+ hello\n"
	                        "S: 554 5.6.0 no\na: permanent 554 5.6.0 content dot\ndone\nready\n"
	                        "job a\n" RSET_PLAIN);
	session_script(NONE, UP "job binary size=3000000 a\n" ENVELOPE OK2 "sent 3200000\n"
	                        "S: 552 5.3.4 too big\na: permanent 552 5.3.4 too_large data\n"
	                        "S: 503 what\nS: 503 what\ndone\nready\n"
	                        "job a\n" RSET_PLAIN);
	session_script(NONE,
	               UP_SLOW "job binary size=3000000 a\nC> MAIL FROM:<s@example.org> BODY=BINARYMIME\n"
	                       "S: 250 ok\nC> RCPT TO:<a@example.net>\nS: 250 ok\nsent 1110000\n"
	                       "S: 452 4.3.1 full\na: transient 452 4.3.1 other data\ndone\nready\n"
	                       "job a\nC> RSET\n");
}

/* Refused while its octets are still leaving: what was promised has to come, and no more. */
static void chunk_refused_in_its_middle_is_finished(void **state)
{
	(void)state;
	session_script(NONE, UP "job binary slow size=1200000 a\n" ENVELOPE OK2 "C> BDAT 1048576\n"
	                        "S: 552 5.3.4 too big\na: permanent 552 5.3.4 too_large data\n"
	                        "body\nsent 41000\nabort\ndone\nclosed\n");
	session_script(NONE, UP "job binary slow size=70000 a\n" ENVELOPE OK2 "C> BDAT 70000 LAST\n"
	                        "S: 552 5.3.4 too big\na: permanent 552 5.3.4 too_large dot\n"
	                        "body\nsent 41000\nbody\nsent 32000\ndone\nready\njob a\n" RSET_PLAIN);
}

static void answer_before_the_octets_is_none(void **state)
{
	(void)state;
	session_script(NONE, UP "job binary slow size=70000 a\n" ENVELOPE OK2 "C> BDAT 70000 LAST\n"
	                        "S: 250 2.0.0 taken\na: transient 0 4.4.2 protocol\ndone\nclosed\n");
	session_script(NONE, UP "job binary a\n" ENVELOPE OK2 "C> BDAT 7 LAST\nC+ hello\n"
	                        "S: 354 go\na: unknown 0 4.4.2\ndone\nclosed\n");
}

static void cut_before_the_end_may_be_tried_again(void **state)
{
	(void)state;
	session_script(
		NONE, UP
		"job binary slow size=70000 a\n" ENVELOPE OK2 "C> BDAT 70000 LAST\n"
		"S: closes\na: transient 0 4.4.2 connect data ~in the middle of the message\ndone\nclosed\n");
	session_script(NONE, UP "job binary a\n" ENVELOPE
	                        "S: 250 ok\nS: closes\na: transient 0 4.4.2 connect rcpt\ndone\nclosed\n");
	session_script(NONE,
	               UP "job binary a\n" ENVELOPE OK2 "C> BDAT 7 LAST\nC+ hello\nS: resets\n"
	                  "a: unknown 0 4.4.2 unknown_outcome dot ~may have been delivered\ndone\nclosed\n");
	session_script(NONE, UP "job binary a\n" ENVELOPE OK2 "C> BDAT 7 LAST\nC+ hello\nS: 421 4.3.2 bye\n"
	                        "a: transient 421 4.3.2\ndone\nclosed\n");
}

static void silence_after_the_last_chunk(void **state)
{
	(void)state;
	session_script(NONE,
	               UP "job binary a\n" ENVELOPE OK2 "C> BDAT 7 LAST\nC+ hello\n"
	                  "after 599 s\nafter 1 s\na: unknown 0 4.4.2 unknown_outcome dot\ndone\nclosed\n");
	session_script(NONE,
	               UP_SLOW "job binary size=1048577 a\nC> MAIL FROM:<s@example.org> BODY=BINARYMIME\n"
	                       "S: 250 ok\nC> RCPT TO:<a@example.net>\nS: 250 ok\nsent 1110000\n"
	                       "after 179 s\nafter 1 s\na: transient 0 4.4.2 timeout data\ndone\nclosed\n");
}

static void source_that_fails_never_ends_the_message(void **state)
{
	(void)state;
	session_script(NONE, UP "job binary broken size=70000 a\n" ENVELOPE OK2 "sent 21000\n"
	                        "a: transient 0 4.3.0 spool data ~could not be read\ndone\nclosed\n");
}

/* LAST ends the group (RFC 3030 section 4.2): nothing is joined behind it, but it may itself be joined to a dot. */
static void nothing_is_joined_behind_the_last_chunk(void **state)
{
	(void)state;
	session_script(JOINS, UP "job binary a\n" ENVELOPE OK2 "C> BDAT 7 LAST\nC+ hello\n"
	                         "S: 250 2.0.0 taken\na: delivered 250 2.0.0\ndone\nready\n");
	session_script(
		&(struct session_script_options){ .tls = CONFIG_TLS_NONE, .joins = true, .no_chunks = true }, UP
		"job a\nready\n" PLAIN "job binary b\nS: 250 ok / 250 ok / 354 go\n"
		"C> hello\nC+ .\nC+ MAIL FROM:<s@example.org> BODY=BINARYMIME\nC+ RCPT TO:<b@example.net>\n"
		"S: 250 2.0.0 taken\na: delivered 250 2.0.0\ndone\n"
		"S: 250 ok\nlearned keeps\nS: 250 ok\nC> BDAT 7 LAST\nC+ hello\n"
		"S: 250 2.0.0 taken\nb: delivered 250 2.0.0\ndone\nready\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(small_message_is_one_chunk),
		cmocka_unit_test(octets_go_as_they_are),
		cmocka_unit_test(message_of_two_chunks),
		cmocka_unit_test(host_without_it_gets_none),
		cmocka_unit_test(no_chunk_without_a_recipient),
		cmocka_unit_test(refused_chunk_is_followed_by_rset),
		cmocka_unit_test(chunk_refused_in_its_middle_is_finished),
		cmocka_unit_test(answer_before_the_octets_is_none),
		cmocka_unit_test(cut_before_the_end_may_be_tried_again),
		cmocka_unit_test(silence_after_the_last_chunk),
		cmocka_unit_test(source_that_fails_never_ends_the_message),
		cmocka_unit_test(nothing_is_joined_behind_the_last_chunk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
