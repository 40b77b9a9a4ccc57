/* A small message whose one chunk goes behind its envelope, in one round trip (RFC 3030 with RFC 2920). */
#include "support/check.h"
#include "support/session_script.h"

#define NONE (&(struct session_script_options){ .tls = CONFIG_TLS_NONE })
#define JOINS (&(struct session_script_options){ .tls = CONFIG_TLS_NONE, .joins = true })
#define HELLO "S: 220 mx\nC> EHLO relay.example\n"
#define UP HELLO "S: 250-mx / 250-PIPELINING / 250 CHUNKING\nup\nready\n"
#define ENVELOPE "C> MAIL FROM:<s@example.org>\nC+ RCPT TO:<a@example.net>\n"
#define EARLY ENVELOPE "C+ BDAT 7 LAST\nC+ hello\n"
#define DATA ENVELOPE "C+ DATA\n"

static void all_leaves_in_one_write(void **state)
{
	(void)state;
	session_script(JOINS, UP "job a\n" EARLY "S: 250 ok / 250 ok / 250 2.0.0 taken\n"
	                         "a: delivered 250 2.0.0\ndone\nready\njob a\n" EARLY
	                         "S: 250 ok\nlearned keeps\nS: 250 ok / 250 2.0.0 taken\n"
	                         "a: delivered 250 2.0.0 reused\ndone\nready\n");
	session_script(JOINS,
	               UP "job a b\n" ENVELOPE "C+ RCPT TO:<b@example.net>\nC+ BDAT 7 LAST\nC+ hello\n"
	                  "S: 250 ok / 550 5.1.1 no\na: permanent 550 5.1.1\nS: 250 ok / 250 2.0.0 taken\n"
	                  "b: delivered 250 2.0.0\ndone\nready\n");
}

/* A host that nothing is known of, one that does not offer it, one that lied about it, and a message too large. */
static void others_get_data(void **state)
{
	(void)state;
	session_script(NONE, UP "job a\n" DATA);
	session_script(JOINS, HELLO "S: 250-mx / 250 PIPELINING\nup\nready\njob a\nready\n" DATA);
	session_script(JOINS,
	               HELLO "S: 250-mx / 250 CHUNKING\nup\nready\njob a\nC> MAIL FROM:<s@example.org>\n");
	session_script(
		&(struct session_script_options){ .tls = CONFIG_TLS_NONE, .joins = true, .no_chunks = true },
		UP "job a\nready\n" DATA);
	session_script(JOINS, UP "job size=65537 a\nready\n" DATA);
}

/* The host may have closed the connection since: then it must be certain that it has nothing. */
static void connection_that_rested_gets_data(void **state)
{
	(void)state;
	session_script(JOINS, UP "after 2 s\njob a\nready\n" DATA
	                         "S: closes\na: transient 0 4.4.2 connect\ndone\nclosed\n");
	session_script(JOINS, UP "job a\n" EARLY "S: 250 ok / 250 ok / 250 2.0.0 taken\n"
	                         "a: delivered 250 2.0.0\ndone\nready\nafter 2 s\njob a\nready\n" DATA
	                         "S: closes\na: transient 0 4.4.2 connect reused untouched\ndone\nclosed\n");
}

static void refused_envelope(void **state)
{
	(void)state;
	session_script(JOINS,
	               UP "job a\n" EARLY "S: 250 ok / 550 5.1.1 no\na: permanent 550 5.1.1\n"
	                  "S: 554 5.5.1 nobody\ndone\nready\njob a\nC> RSET\nC+ MAIL FROM:<s@example.org>\n"
	                  "C+ RCPT TO:<a@example.net>\nC+ BDAT 7 LAST\nC+ hello\n");
	session_script(JOINS, UP "job a\n" EARLY "S: 451 4.7.1 later\na: transient 451 4.7.1\n"
	                         "S: 503 what\nS: 503 what\ndone\nready\n");
	session_script(JOINS, UP "job a\n" EARLY "S: 250 ok / 250 ok / 552 5.3.4 big\n"
	                         "a: permanent 552 5.3.4 too_large dot\ndone\nready\n");
}

/* 421 before anything else: the message is none the worse for it. */
static void host_that_wants_no_more(void **state)
{
	(void)state;
	session_script(JOINS,
	               UP "job a\n" EARLY "S: 250 ok / 250 ok / 250 2.0.0 taken\n"
	                  "a: delivered 250 2.0.0\ndone\nready\njob a\n" EARLY
	                  "S: 421 4.7.0 enough\na: transient 421 4.7.0 reused untouched\ndone\nclosed\n");
}

/* It offers CHUNKING, and somebody in between does not know BDAT: the message goes again by DATA, over any connection. */
static void host_that_knows_no_bdat(void **state)
{
	(void)state;
	session_script(JOINS, UP
	               "job a\n" EARLY "S: 250 ok / 250 ok / 500 5.5.1 BDAT?\nlearned no chunks\n"
	               "a: transient 500 4.5.0 untouched\ndone\nready\n"
	               "job a\nready\nC> RSET\nC+ MAIL FROM:<s@example.org>\nC+ RCPT TO:<a@example.net>\nC+ DATA\n");
}

static void cuts_and_silence(void **state)
{
	(void)state;
	session_script(JOINS, UP "job a\n" EARLY
	                         "S: closes\na: unknown 0 4.4.2 unknown_outcome dot\ndone\nclosed\n");
	session_script(JOINS, UP "job a\n" EARLY "S: 250 ok / 250 ok\nS: resets\n"
	                         "a: unknown 0 4.4.2 unknown_outcome dot\ndone\nclosed\n");
	session_script(JOINS, UP "job a\n" EARLY "S: 250 ok / 250 ok\nafter 599 s\nafter 1 s\n"
	                         "a: unknown 0 4.4.2 unknown_outcome dot\ndone\nclosed\n");
}

/* What must not leave by DATA must not leave by BDAT: the octets promised never come to an end. */
static void bare_line_feed_never_leaves(void **state)
{
	(void)state;
	session_script(JOINS, UP "job bare a\na: permanent 0 5.6.0 content data\ndone\nclosed\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_leaves_in_one_write),
		cmocka_unit_test(others_get_data),
		cmocka_unit_test(connection_that_rested_gets_data),
		cmocka_unit_test(refused_envelope),
		cmocka_unit_test(host_that_wants_no_more),
		cmocka_unit_test(host_that_knows_no_bdat),
		cmocka_unit_test(cuts_and_silence),
		cmocka_unit_test(bare_line_feed_never_leaves),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
