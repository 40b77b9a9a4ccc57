/* What clients ask for by extensions, through the whole relay in the simulated world. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "../support/relay_world.h"

#define RELAY                                                    \
	"hostname: relay.test\n"                                 \
	"spool: {path: /spool}\n"                                \
	"upstreams: {next: {hosts: [10.0.0.1:25], tls: none}}\n" \
	"routes: [{to: any, via: next}]\n"                       \
	"retry: {schedule: [1m, 5m, 1h], give_up_after: 1d}\n"   \
	"access:\n  max_hold: 7d\n"

static const char plain_yaml[] = RELAY "listen: [{address: 127.0.0.1:2525}]\n";
static const char repair_yaml[] = RELAY "listen: [{address: 127.0.0.1:2525, bare_lf: repair}]\n";

#define HELLO "S: 220 mx.test\nC: EHLO relay.test\nS: 250-mx.test\nS: 250-PIPELINING\nS: 250 8BITMIME\n"
#define TAKES "C: MAIL FROM:*\nC: RCPT TO:*\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 354 go\nD:\n"
#define TAKEN "S: 250 2.0.0 taken\n"

#define OPEN "EHLO client.test\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.net>\r\n"

/* ---------------------------------------------------------------- chunks */

static void a_message_in_chunks_leaves_behind_data(void **state)
{
	struct relay_world w;
	struct sim_peer *p;

	(void)state;
	relay_world_open(&w, 1, plain_yaml, NULL);
	p = relay_world_peer(&w, AT(10, 0, 0, 1, 25), HELLO TAKES TAKEN);
	/* the peer keeps what it gets, with its dots doubled. A dot alone in a line, a line end between two chunks, no line end at the end: all in one write */
	assert_string_equal(
		relay_world_say(&w, OPEN
	                        "BDAT 16\r\nSubject: one\r\n\r\nBDAT 4\r\n.\r\nxBDAT 6 LAST\r\ny\r\n..z"),
		"220 250 250 250 250 250 250 221");
	relay_world_await(&w, "delivered", 1, 10000);
	assert_int_equal(sim_peer_messages(p), 1);
	assert_int_equal(sim_peer_wrong_lines(p), 0);
	assert_true(text_ends(sim_peer_message(p, 0), TEXT("\r\nSubject: one\r\n\r\n..\r\nxy\r\n...z\r\n")));
	relay_world_stop(&w);
	sim_peer_free(&p);
	relay_world_close(&w);
}

/* In a chunk nothing ends the data, and nothing of it may become a second message at the next hop. */
static const char *const smuggled[] = {
	"\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r.\r\n", "\r\n.\r", "\n\n.\r\r\n",
};

static void line_ends_of_other_kinds_never_leave_in_whatever_way_they_came(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(smuggled); i++) {
		for (int repaired = 0; repaired < 2; repaired++) {
			struct relay_world w;
			struct sim_peer *p;
			struct buf said = BUF(10000), content = BUF(1000);

			relay_world_open(&w, 2, repaired ? repair_yaml : plain_yaml, NULL);
			p = relay_world_peer(&w, AT(10, 0, 0, 1, 25),
			                     HELLO "again:\n" TAKES TAKEN "repeat\n");
			buf_add_format(&content, "Subject: x\r\n\r\na%sMAIL FROM:<evil@example.com>\r\n",
			               smuggled[i]);
			buf_add_format(&said, "%sBDAT %zu LAST\r\n%.*s", OPEN, content.len,
			               TEXT_ARGS(buf_text(&content)));
			buf_add_octet(&said, 0);
			assert_string_equal(relay_world_say(&w, said.at),
			                    repaired ? "220 250 250 250 250 221" : "220 250 250 250 550 221");
			buf_reset(&said);
			buf_add_format(&said, "%sDATA\r\n%.*s.\r\n", OPEN, TEXT_ARGS(buf_text(&content)));
			buf_add_octet(&said, 0);
			assert_string_equal(relay_world_say(&w, said.at),
			                    repaired ? "220 250 250 250 354 250 221"
			                             : "220 250 250 250 354 550 221");
			if (repaired)
				relay_world_await(&w, "delivered", 2, 10000);
			sim_run(w.sim, 60000);
			assert_int_equal(sim_peer_messages(p), repaired ? 2 : 0);
			assert_int_equal(sim_peer_wrong_lines(p), 0);
			for (unsigned n = 0; n < sim_peer_messages(p); n++)
				assert_true(text_find(sim_peer_message(p, n), TEXT("\r\nMAIL FROM:<evil@")) <
				            sim_peer_message(p, n).len);
			buf_fini(&said);
			buf_fini(&content);
			relay_world_stop(&w);
			sim_peer_free(&p);
			relay_world_close(&w);
		}
	}
}

/* ---------------------------------------------------------------- repair */

static void a_device_that_ends_lines_its_own_way_gets_its_mail_through(void **state)
{
	struct relay_world w;
	struct sim_peer *p;
	struct text content;

	(void)state;
	relay_world_open(&w, 3, repair_yaml, NULL);
	p = relay_world_peer(&w, AT(10, 0, 0, 1, 25), HELLO TAKES TAKEN);
	assert_string_equal(
		relay_world_say(&w, OPEN
	                        "DATA\r\nSubject: scan\nMessage-ID: <7@device>\n\nhello\n..dot\n\r\n.\r\n"),
		"220 250 250 250 354 250 221");
	relay_world_await(&w, "delivered", 1, 10000);
	content = sim_peer_message(p, 0);
	assert_true(text_ends(
		content, TEXT("\r\nSubject: scan\r\nMessage-ID: <7@device>\r\n\r\nhello\r\n..dot\r\n\r\n")));
	assert_true(text_find(content, TEXT("(line ends repaired)")) < content.len);
	assert_true(relay_world_said(&w, "<7@device>"));
	relay_world_stop(&w);
	sim_peer_free(&p);
	relay_world_close(&w);
}

/* ---------------------------------------------------------------- release */

static void a_message_is_not_delivered_before_its_release(void **state)
{
	struct relay_world w;
	struct sim_peer *p;

	(void)state;
	relay_world_open(&w, 4, plain_yaml, NULL);
	p = relay_world_peer(&w, AT(10, 0, 0, 1, 25), HELLO "again:\n" TAKES TAKEN "repeat\n");
	assert_string_equal(
		relay_world_say(&w, "EHLO c\r\nMAIL FROM:<a@example.com> HOLDFOR=259200\r\n"
	                            "RCPT TO:<b@example.net>\r\nDATA\r\nSubject: later\r\n\r\nx\r\n.\r\n"),
		"220 250 250 250 354 250 221");
	relay_world_send(&w, "a@example.com", "b@example.net", "Subject: now\r\n\r\nx\r\n");
	relay_world_await(&w, "delivered", 1, 10000);
	assert_true(text_find(sim_peer_message(p, 0), TEXT("Subject: now")) < sim_peer_message(p, 0).len);
	/* longer than the life span of mail, but not that long */
	sim_run(w.sim, INT64_C(258000) * 1000);
	assert_int_equal(sim_peer_messages(p), 1);
	assert_int_equal(relay_world_count(&w, "expired"), 0);
	relay_world_check(&w);
	relay_world_await(&w, "delivered", 2, 1300 * 1000);
	assert_int_equal(sim_peer_messages(p), 2);
	relay_world_balance(&w);
	relay_world_stop(&w);
	sim_peer_free(&p);
	relay_world_close(&w);
}

static void a_release_is_kept_over_a_crash(void **state)
{
	struct relay_world w;
	struct sim_peer *p;

	(void)state;
	relay_world_open(&w, 5, plain_yaml, NULL);
	p = relay_world_peer(&w, AT(10, 0, 0, 1, 25), HELLO TAKES TAKEN);
	assert_string_equal(
		relay_world_say(&w, "EHLO c\r\nMAIL FROM:<a@example.com> HOLDFOR=3600\r\n"
	                            "RCPT TO:<b@example.net>\r\nDATA\r\nSubject: later\r\n\r\nx\r\n.\r\n"),
		"220 250 250 250 354 250 221");
	relay_world_crash(&w);
	sim_run(w.sim, 3500 * 1000);
	assert_int_equal(sim_peer_messages(p), 0);
	relay_world_await(&w, "delivered", 1, 200 * 1000);
	assert_int_equal(sim_peer_messages(p), 1);
	/* nobody had begun to deliver it */
	assert_false(relay_world_said(&w, "unknown_outcome"));
	relay_world_stop(&w);
	sim_peer_free(&p);
	relay_world_close(&w);
}

/* Its time begins at the release: an upstream that is away then has as long as for any other message. */
static void the_life_span_begins_at_the_release(void **state)
{
	struct relay_world w;
	struct sim_peer *p;

	(void)state;
	relay_world_open(&w, 6, plain_yaml, NULL);
	p = relay_world_peer(
		&w, AT(10, 0, 0, 1, 25),
		"S: 220 mx.test\nC: EHLO relay.test\nS: 250 mx.test\nC: MAIL FROM:*\nS: 451 4.3.0 not now\n"
		"C: *\nS: 250 ok\n");
	assert_int_equal(sim_peer_add_script(p, HELLO TAKES TAKEN), ERR_OK);
	assert_string_equal(
		relay_world_say(&w, "EHLO c\r\nMAIL FROM:<a@example.com> HOLDFOR=172800\r\n"
	                            "RCPT TO:<b@example.net>\r\nDATA\r\nSubject: later\r\n\r\nx\r\n.\r\n"),
		"220 250 250 250 354 250 221");
	relay_world_await(&w, "deferred", 1, INT64_C(172900) * 1000);
	assert_int_equal(relay_world_count(&w, "expired"), 0);
	relay_world_await(&w, "delivered", 1, 600 * 1000);
	relay_world_stop(&w);
	sim_peer_free(&p);
	relay_world_close(&w);
}

/* ---------------------------------------------------------------- size and space */

static void a_size_that_does_not_fit_is_452_at_mail(void **state)
{
	struct relay_world w;

	(void)state;
	relay_world_open_on(&w, 7, RELAY "  max_message_size: 60MiB\nlisten: [{address: 127.0.0.1:2525}]\n",
	                    NULL, 64u << 20);
	assert_string_equal(relay_world_say(&w,
	                                    "EHLO c\r\nMAIL FROM:<a@example.com> SIZE=20000000\r\nRSET\r\n"
	                                    "MAIL FROM:<a@example.com> SIZE=62000000\r\n"
	                                    "MAIL FROM:<a@example.com> SIZE=100000\r\n"),
	                    "220 250 250 250 452 250 221");
	relay_world_stop(&w);
	relay_world_close(&w);
}

/* ---------------------------------------------------------------- internationalised */

static void an_international_domain_is_found_by_its_ascii_form(void **state)
{
	struct relay_world w;
	struct sim_peer *p;

	(void)state;
	relay_world_open(&w, 8,
	                 "hostname: relay.test\n"
	                 "spool: {path: /spool}\n"
	                 "listen: [{address: 127.0.0.1:2525}]\n"
	                 "routes: [{to: b\xc3\xbc"
	                 "cher.example, via: direct}, {to: any, via: reject}]\n"
	                 "direct: {allow_private: [10.0.0.0/8], tls: none}\n",
	                 "xn--bcher-kva.example. 300 MX 10 mx1.example.net.\n"
	                 "mx1.example.net. 300 A 10.0.0.1\n");
	p = relay_world_peer(&w, AT(10, 0, 0, 1, 25),
	                     HELLO
	                     "C: MAIL FROM:<a@example.com>*\nC: RCPT TO:<b@xn--bcher-kva.example>\nC: DATA\n"
	                     "S: 250 ok\nS: 250 ok\nS: 354 go\nD:\n" TAKEN);
	assert_string_equal(relay_world_say(&w, "EHLO c\r\nMAIL FROM:<a@example.com> SMTPUTF8\r\n"
	                                        "RCPT TO:<b@B\xc3\x9c"
	                                        "cher.example>\r\nDATA\r\nSubject: x\r\n\r\nx\r\n.\r\n"),
	                    "220 250 250 250 354 250 221");
	relay_world_await(&w, "delivered", 1, 60000);
	assert_int_equal(sim_peer_wrong_lines(p), 0);
	relay_world_stop(&w);
	sim_peer_free(&p);
	relay_world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_message_in_chunks_leaves_behind_data),
		cmocka_unit_test(line_ends_of_other_kinds_never_leave_in_whatever_way_they_came),
		cmocka_unit_test(a_device_that_ends_lines_its_own_way_gets_its_mail_through),
		cmocka_unit_test(a_message_is_not_delivered_before_its_release),
		cmocka_unit_test(a_release_is_kept_over_a_crash),
		cmocka_unit_test(the_life_span_begins_at_the_release),
		cmocka_unit_test(a_size_that_does_not_fit_is_452_at_mail),
		cmocka_unit_test(an_international_domain_is_found_by_its_ascii_form),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
