/* The end of a message's data that waits for leave, and an attempt that nobody wants any longer. */
#include "support/check.h"
#include "support/session_script.h"

#define NONE (&(struct session_script_options){ .tls = CONFIG_TLS_NONE })
#define JOINS (&(struct session_script_options){ .tls = CONFIG_TLS_NONE, .joins = true })
#define UP "S: 220 mx\nC> EHLO relay.example\nS: 250-mx / 250 PIPELINING\nup\nready\n"
#define UP_CHUNKS \
	"S: 220 mx\nC> EHLO relay.example\nS: 250-mx / 250-PIPELINING / 250-BINARYMIME / 250 CHUNKING\nup\nready\n"
#define ENVELOPE "C> MAIL FROM:<s@example.org>\nC+ RCPT TO:<a@example.net>\n"
#define DATA ENVELOPE "C+ DATA\n"

/* All but the end leaves, and the end when it may. */
static void the_end_waits_for_the_gate(void **state)
{
	(void)state;
	session_script(NONE, UP "job gated a\n" DATA
	                        "S: 250 ok / 250 ok / 354 go\ngate\nC> hello\nafter 2 s\nopen\nC> .\n"
	                        "S: 250 2.0.0 taken\na: delivered 250 2.0.0\ndone\nready\n");
	/* a job that has none is as ever */
	session_script(NONE, UP "job a\n" DATA "S: 250 ok / 250 ok / 354 go\nC> hello\nC+ .\n");
}

/* With nobody accepted there is nothing to ask leave for. */
static void nobody_accepted_asks_nothing(void **state)
{
	(void)state;
	session_script(NONE, UP "job gated a\n" DATA "S: 250 ok / 550 5.1.1 no\na: permanent 550 5.1.1\n"
	                        "S: 354 go\nC> .\nS: 554 no\ndone\nready\n");
}

/* The chunk that ends the message is held back whole, and the shortcut of one write is not taken. */
static void the_last_chunk_waits_too(void **state)
{
	(void)state;
	session_script(JOINS, UP_CHUNKS "job gated a\nready\n" DATA
	                                "S: 250 ok / 250 ok / 354 go\ngate\nC> hello\nopen\nC> .\n");
	session_script(
		NONE, UP_CHUNKS
		"job gated binary a\nC> MAIL FROM:<s@example.org> BODY=BINARYMIME\n"
		"C+ RCPT TO:<a@example.net>\nS: 250 ok / 250 ok\ngate\nopen\nC> BDAT 7 LAST\nC+ hello\n"
		"S: 250 2.0.0 taken\na: delivered 250 2.0.0\ndone\nready\n");
}

/* Not delivered, and not in doubt: the connection goes before its end. */
static void a_shut_gate_cuts_the_connection(void **state)
{
	(void)state;
	session_script(NONE, UP "job gated a\n" DATA "S: 250 ok / 250 ok / 354 go\ngate\nC> hello\nshut\n"
	                        "a: transient 0 4.3.0 spool\ndone\nclosed\n");
}

static void what_is_called_off_before_its_end_never_ends(void **state)
{
	(void)state;
	session_script(NONE, UP "job a\n" DATA
	                        "call off\ncalled off\na: transient 0 4.4.7 timeout\ndone\nclosed\n");
	session_script(NONE, UP "job a\n" DATA "S: 250 ok / 250 ok\ncall off\ncalled off\n"
	                        "a: transient 0 4.4.7 timeout\ndone\nclosed\n");
	session_script(NONE, UP "job gated a\n" DATA
	                        "S: 250 ok / 250 ok / 354 go\ngate\nC> hello\ncall off\ncalled off\n"
	                        "a: transient 0 4.4.7 timeout\ndone\nclosed\n");
	session_script(
		NONE, UP
		"job a b\n" ENVELOPE "C+ RCPT TO:<b@example.net>\nC+ DATA\nS: 250 ok / 550 5.1.1 no\n"
		"a: permanent 550 5.1.1\ncall off\ncalled off\nb: transient 0 4.4.7 timeout\ndone\nclosed\n");
}

static void behind_its_end_it_is_too_late(void **state)
{
	(void)state;
	session_script(NONE,
	               UP "job a\n" DATA "S: 250 ok / 250 ok / 354 go\nC> hello\nC+ .\ncall off\ntoo late\n"
	                  "S: 250 2.0.0 taken\na: delivered 250 2.0.0\ndone\nready\n");
}

/* The one before it is none of its business: that one is answered first, and the one called off is not sent, or not ended. */
static void the_job_before_it_is_not_harmed(void **state)
{
	(void)state;
	session_script(
		JOINS,
		UP "job a\nready\n" DATA "S: 250 ok / 250 ok / 354 go\nC> hello\nC+ .\njob b\n"
		   "C> MAIL FROM:<s@example.org>\nC+ RCPT TO:<b@example.net>\nC+ DATA\ncall off\ncalled off\n"
		   "S: 250 2.0.0 taken\na: delivered 250 2.0.0\ndone\n"
		   "b: transient 0 4.4.7 timeout reused\ndone\nclosed\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_end_waits_for_the_gate),
		cmocka_unit_test(nobody_accepted_asks_nothing),
		cmocka_unit_test(the_last_chunk_waits_too),
		cmocka_unit_test(a_shut_gate_cuts_the_connection),
		cmocka_unit_test(what_is_called_off_before_its_end_never_ends),
		cmocka_unit_test(behind_its_end_it_is_too_late),
		cmocka_unit_test(the_job_before_it_is_not_harmed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
