/* The outbound session against scripted peers: greeting, EHLO, TLS, and how a connection ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "support/session_script.h"

#define PLAIN (&(struct session_script_options){ .tls = CONFIG_TLS_NONE })
#define OPPORTUNISTIC (&(struct session_script_options){ .tls = CONFIG_TLS_OPPORTUNISTIC })
#define REQUIRE (&(struct session_script_options){ .tls = CONFIG_TLS_REQUIRE })

static void one_message_goes_out(void **state)
{
	(void)state;
	session_script(PLAIN, "S: 220 mx ESMTP\n"
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_message_goes_out),
	};

	(void)OPPORTUNISTIC;
	(void)REQUIRE;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
