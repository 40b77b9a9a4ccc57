/* LMTP (RFC 2033): a reply for each recipient behind the end of the data. */
#include "support/check.h"
#include "support/session_script.h"

#define LMTP (&(struct session_script_options){ .tls = CONFIG_TLS_NONE, .lmtp = true })
#define HELLO "S: 220 store\nC> LHLO relay.example\n"
#define UP HELLO "S: 250-store / 250-PIPELINING / 250 ENHANCEDSTATUSCODES\nup\nready\n"
#define THREE                                                                                               \
	"job a b c\nC> MAIL FROM:<s@example.org>\nC+ RCPT TO:<a@example.net>\nC+ RCPT TO:<b@example.net>\n" \
	"C+ RCPT TO:<c@example.net>\nC+ DATA\n"
#define SENT "C> hello\nC+ .\n"

static void each_recipient_has_its_reply(void **state)
{
	(void)state;
	session_script(LMTP, UP THREE "S: 250 ok / 250 ok / 250 ok / 250 ok / 354 go\n" SENT
	                              "S: 250 2.0.0 a\na: delivered 250 2.0.0\n"
	                              "S: 452 4.2.2 b is full\nb: transient 452 4.2.2 mailbox_full dot\n"
	                              "S: 552 5.2.2 c is full\nc: permanent 552 5.2.2\ndone\nready\n");
	/* all in one write of the store */
	session_script(
		LMTP, UP THREE
		"S: 250 ok / 250 ok / 250 ok / 250 ok / 354 go\n" SENT
		"S: 250 2.0.0 a / 250 2.0.0 b / 250 2.0.0 c\n"
		"a: delivered 250 2.0.0\nb: delivered 250 2.0.0\nc: delivered 250 2.0.0\ndone\nready\n");
}

/* Only those that RCPT accepted have one. */
static void refused_recipients_have_none(void **state)
{
	(void)state;
	session_script(LMTP, UP THREE "S: 250 ok / 250 ok / 550 5.1.1 no b\nb: permanent 550 5.1.1\n"
	                              "S: 250 ok / 354 go\n" SENT "S: 250 2.0.0 a\na: delivered 250 2.0.0\n"
	                              "S: 250 2.0.0 c\nc: delivered 250 2.0.0\ndone\nready\n");
	session_script(LMTP,
	               UP "job a\nC> MAIL FROM:<s@example.org>\nC+ RCPT TO:<a@example.net>\nC+ DATA\n"
	                  "S: 250 ok / 550 5.1.1 no\na: permanent 550 5.1.1\nS: 503 nobody\ndone\nready\n");
}

/* RFC 2033 section 4.2: DATA must fail then; behind the dot of such a host no reply would come. */
static void data_for_nobody_ends_the_connection(void **state)
{
	(void)state;
	session_script(LMTP,
	               UP "job a\nC> MAIL FROM:<s@example.org>\nC+ RCPT TO:<a@example.net>\nC+ DATA\n"
	                  "S: 250 ok / 550 5.1.1 no\na: permanent 550 5.1.1\nS: 354 go\ndone\nclosed\n");
}

/* Those that were answered have their result, the others' is not known. */
static void cut_between_the_replies(void **state)
{
	(void)state;
	session_script(LMTP,
	               UP THREE "S: 250 ok / 250 ok / 250 ok / 250 ok / 354 go\n" SENT
	                        "S: 250 2.0.0 a\na: delivered 250 2.0.0\nS: resets\n"
	                        "b: unknown 0 4.4.2 unknown_outcome dot\nc: unknown 0 4.4.2\ndone\nclosed\n");
	session_script(LMTP, UP THREE "S: 250 ok / 250 ok / 250 ok / 250 ok / 354 go\n" SENT
	                              "S: 250 2.0.0 a\na: delivered 250 2.0.0\nS: 421 4.3.2 bye\n"
	                              "b: transient 421 4.3.2\nc: transient 421 4.3.2\ndone\nclosed\n");
}

static void store_that_only_speaks_smtp(void **state)
{
	(void)state;
	session_script(LMTP, HELLO
	               "S: 500 5.5.1 what?\nfailed reply: permanent 500 5.5.1 ehlo\nC> QUIT\nfinished\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_recipient_has_its_reply),
		cmocka_unit_test(refused_recipients_have_none),
		cmocka_unit_test(data_for_nobody_ends_the_connection),
		cmocka_unit_test(cut_between_the_replies),
		cmocka_unit_test(store_that_only_speaks_smtp),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
