/* What intake promised by an extension, on the way out: passed on, kept here, or told that it cannot be. */
#include <stdio.h>
#include <stdlib.h>

#include "scripts.h"

#include "../../src/sim/internal.h"

#define HELLO_WITH(keywords) \
	"S: 220 mx.test\nC: EHLO relay.test\nS: 250-mx.test\n" keywords "S: 250 PIPELINING\n"
#define TAKES_ALL_WITH(keywords) HELLO_WITH(keywords) "again:\n" TAKES "repeat\n"
#define TAKEN "S: 250 2.0.0 taken\n"
#define ANSWERED "220 250 250 250 354 250 221"

static bool has(struct text t, const char *words)
{
	return text_find(t, text_from(words)) < t.len;
}

static void want(struct text t, const char *words)
{
	if (!has(t, words))
		fail_msg("no \"%s\" in\n%.*s", words, TEXT_ARGS(t));
}

static void want_not(struct text t, const char *words)
{
	if (has(t, words))
		fail_msg("\"%s\" in\n%.*s", words, TEXT_ARGS(t));
}

/* A message with these parameters of MAIL for recipients with theirs: "<b@example.net> NOTIFY=NEVER|<c@...>". */
static void submit(struct relay_world *w, const char *mail, const char *rcpts, const char *content)
{
	struct buf b = BUF(1u << 20);
	const char *heard;

	buf_add_format(&b, "EHLO c\r\nMAIL FROM:%s\r\n", mail);
	for (struct text rest = text_from(rcpts); rest.len;) {
		struct text rcpt = text_cut(&rest, '|');

		buf_add_format(&b, "RCPT TO:%.*s\r\n", TEXT_ARGS(rcpt));
	}
	buf_add_format(&b, "DATA\r\n%s.\r\n", content);
	buf_add_octet(&b, 0);
	heard = relay_world_say(w, b.at);
	if (strstr(heard, " 5") || strstr(heard, " 4") || !strstr(heard, "354 250"))
		fail_msg("%s: %.*s", heard, TEXT_ARGS(relay_world_heard(w)));
	buf_fini(&b);
}

static void submit_one(struct relay_world *w, const char *mail, const char *rcpts)
{
	submit(w, mail, rcpts, SMALL);
}

/* ---------------------------------------------------------------- DSN */

#define DSN_MAIL "<a@example.com> RET=HDRS ENVID=q+2B1"
#define DSN_RCPTS \
	"<b@example.net> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;Bee+40example.net|<c@example.net> NOTIFY=NEVER|<d@example.net>"

static void a_next_hop_with_dsn_is_told_all_and_reports_itself(void **state)
{
	struct relay_world w;
	struct sim_peer *p;

	(void)state;
	relay_world_open(&w, 1, YAML_UPSTREAM, NULL);
	p = relay_world_peer(
		&w, NEXT_HOP,
		HELLO_WITH(
			"S: 250-DSN\n") "C: MAIL FROM:<a@example.com> RET=HDRS ENVID=q+2B1\n"
					"C: RCPT TO:<b@example.net> NOTIFY=SUCCESS,FAILURE "
					"ORCPT=rfc822;Bee+40example.net\n"
					"C: RCPT TO:<c@example.net> NOTIFY=NEVER\n"
					"C: RCPT TO:<d@example.net>\n"
					"C: DATA\n"
					"S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 250 ok\nS: 354 go\nD:\n" TAKEN);
	submit_one(&w, DSN_MAIL, DSN_RCPTS);
	relay_world_await(&w, "delivered", 3, 10000);
	sim_run(w.sim, MINUTE_MS);
	assert_int_equal(sim_peer_wrong_lines(p), 0);
	assert_int_equal(relay_world_count(&w, "received"), 1);
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
}

static void a_next_hop_without_dsn_makes_us_say_relayed(void **state)
{
	struct relay_world w;
	struct sim_peer *p;
	struct text report;

	(void)state;
	relay_world_open(&w, 2, YAML_UPSTREAM, NULL);
	p = relay_world_peer(
		&w, NEXT_HOP,
		HELLO "C: MAIL FROM:<a@example.com>\nC: RCPT TO:<b@example.net>\nC: RCPT TO:<c@example.net>\n"
		      "C: RCPT TO:<d@example.net>\nC: RCPT TO:<e@example.net>\nC: DATA\n"
		      "S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 250 ok\nS: 250 ok\nS: 354 go\nD:\n" TAKEN
		      "again:\n" TAKES "repeat\n");
	submit_one(&w, DSN_MAIL, DSN_RCPTS "|<e@example.net> NOTIFY=SUCCESS");
	relay_world_await(&w, "delivered", 5, 10000);
	sim_run(w.sim, MINUTE_MS);
	assert_int_equal(sim_peer_wrong_lines(p), 0);
	assert_int_equal(sim_peer_messages(p), 2);
	report = sim_peer_message(p, 1);
	want(report, "\r\nOriginal-Envelope-Id: q+1\r\n");
	want(report,
	     "Original-Recipient: rfc822; Bee@example.net\r\nFinal-Recipient: rfc822; b@example.net\r\n"
	     "Action: relayed\r\nStatus: 2.0.0\r\n");
	want(report, "Final-Recipient: rfc822; e@example.net\r\nAction: relayed\r\n");
	want_not(report, "c@example.net");
	want_not(report, "d@example.net");
	want(report, "\r\nTo: <a@example.com>\r\n");
	want(report, "Subject: Relayed: one");
	want(sim_peer_transcript(p), "C: MAIL FROM:<>\n");
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
}

/* Who is told of a failure: a table of NOTIFY. */
static const struct {
	const char *notify;
	bool told;
} failures[] = {
	{ "", true },
	{ " NOTIFY=NEVER", false },
	{ " NOTIFY=SUCCESS", false },
	{ " NOTIFY=DELAY", false },
	{ " NOTIFY=FAILURE", true },
	{ " NOTIFY=SUCCESS,FAILURE,DELAY", true },
};

static void a_failure_is_told_to_those_who_want_it(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(failures); i++) {
		struct relay_world w;
		struct sim_peer *p;
		char rcpt[100];

		relay_world_open(&w, 3, YAML_UPSTREAM, NULL);
		p = relay_world_peer(
			&w, NEXT_HOP,
			HELLO_WITH("S: 250-DSN\n") ENVELOPE
			"S: 250 ok\nS: 550 5.1.1 no such user\nS: 503 no\nC: RSET\nS: 250 ok\nagain:\n" TAKES
			"repeat\n");
		snprintf(rcpt, sizeof(rcpt), "<b@example.net>%s", failures[i].notify);
		submit_one(&w, "<a@example.com>", rcpt);
		relay_world_await(&w, "bounced", 1, 10000);
		sim_run(w.sim, MINUTE_MS);
		if (sim_peer_messages(p) != failures[i].told)
			fail_msg("%s: %u", failures[i].notify, sim_peer_messages(p));
		stop_world(&w);
		sim_peer_free(&p);
		end_world(&w);
	}
}

static const struct {
	const char *notify;
	unsigned told;
} delays[] = {
	{ "", 1 },
	{ " NOTIFY=DELAY", 1 },
	{ " NOTIFY=FAILURE", 0 },
	{ " NOTIFY=NEVER", 0 },
};

static void a_delay_is_told_to_those_who_want_it(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(delays); i++) {
		struct relay_world w;
		struct sim_peer *p;
		char rcpt[100];

		relay_world_open(&w, 4,
		                 YAML_HEAD
		                 "upstreams: {next: {hosts: [10.0.0.1:25], tls: none}}\n"
		                 "routes: [{to: any, via: next}]\n"
		                 "retry: {schedule: [1m, 5m, 1h], warn_after: 3m, give_up_after: 1d}\n",
		                 NULL);
		p = relay_world_peer(
			&w, NEXT_HOP,
			HELLO
			"again:\nC: MAIL FROM:*\nC: RCPT TO:<b@*\nC: DATA\nS: 250 ok\nS: 451 later\nS: 503 no\n"
			"C: RSET\nS: 250 ok\nrepeat\n");
		snprintf(rcpt, sizeof(rcpt), "<b@example.net>%s", delays[i].notify);
		submit_one(&w, "<a@example.com>", rcpt);
		sim_run(w.sim, 30 * MINUTE_MS);
		if (relay_world_count(&w, "received") != 1 + delays[i].told)
			fail_msg("%s: %u", delays[i].notify, relay_world_count(&w, "received"));
		stop_world(&w);
		sim_peer_free(&p);
		end_world(&w);
	}
}

static const struct {
	const char *name, *include, *mail;
	bool header, body;
} returns[] = {
	{ "nothing said", "headers", "<a@example.com>", true, false },
	{ "RET=FULL", "headers", "<a@example.com> RET=FULL", true, true },
	{ "RET=HDRS", "full", "<a@example.com> RET=HDRS", true, false },
	{ "the configuration says full", "full", "<a@example.com>", true, true },
	{ "RET counts before the configuration", "none", "<a@example.com> RET=HDRS", true, false },
	{ "the configuration says none", "none", "<a@example.com>", false, false },
};

static void ret_says_how_much_comes_back(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(returns); i++) {
		struct relay_world w;
		struct sim_peer *p;
		char yaml[1000];

		snprintf(yaml, sizeof(yaml), YAML_UPSTREAM "bounce: {include: %s}\n", returns[i].include);
		relay_world_open(&w, 5, yaml, NULL);
		p = relay_world_peer(&w, NEXT_HOP,
		                     HELLO ENVELOPE
		                     "S: 250 ok\nS: 550 5.1.1 no\nS: 503 no\nC: RSET\nS: 250 ok\n" TAKES);
		submit(&w, returns[i].mail, "<b@example.net>",
		       "Subject: one\r\nX-Mark: header\r\n\r\nsecret\r\n");
		relay_world_await(&w, "delivered", 1, 10000);
		if (has(sim_peer_message(p, 0), "X-Mark: header") != returns[i].header ||
		    has(sim_peer_message(p, 0), "secret") != returns[i].body)
			fail_msg("%s:\n%.*s", returns[i].name, TEXT_ARGS(sim_peer_message(p, 0)));
		stop_world(&w);
		sim_peer_free(&p);
		end_world(&w);
	}
}

/* Larger than what is kept of a message for headers, in a spool file: RET=FULL returns all of it all the same. */
static void a_large_message_comes_back_whole(void **state)
{
	struct relay_world w;
	struct sim_peer *p;
	struct buf content = BUF(1u << 20);

	(void)state;
	relay_world_open(&w, 6, YAML_UPSTREAM "bounce: {max_size: 1MiB}\n", NULL);
	p = relay_world_peer(&w, NEXT_HOP,
	                     HELLO ENVELOPE
	                     "S: 250 ok\nS: 550 5.1.1 no\nS: 503 no\nC: RSET\nS: 250 ok\n" TAKES);
	buf_add_string(&content, "Subject: large\r\n\r\n");
	for (unsigned i = 0; i < 5000; i++)
		buf_add_format(&content, "line %u of a message that is no small one\r\n", i);
	buf_add_octet(&content, 0);
	submit(&w, "<a@example.com> RET=FULL", "<b@example.net>", content.at);
	relay_world_await(&w, "delivered", 1, 10000);
	want(sim_peer_message(p, 0), "Content-Type: message/rfc822");
	want(sim_peer_message(p, 0), "line 4999 of");
	buf_fini(&content);
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
}

/* ---------------------------------------------------------------- hosts that lack what a message needs */

#define ZONE                                                                                 \
	"example.net. 300 MX 10 one.example.net.\nexample.net. 300 MX 20 two.example.net.\n" \
	"one.example.net. 300 A 10.0.0.1\ntwo.example.net. 300 A 10.0.0.2\n"                 \
	"example.com. 300 MX 10 home.example.com.\nhome.example.com. 300 A 10.0.0.3\n"

struct hosts {
	struct sim_peer *one, *two, *home; /* MX 10, MX 20, and where reports go */
};

static void open_hosts(struct relay_world *w, struct hosts *h, const char *one, const char *two)
{
	relay_world_open(w, 7, YAML_DIRECT, ZONE);
	h->one = relay_world_peer(w, AT(10, 0, 0, 1, 25), one);
	h->two = relay_world_peer(w, AT(10, 0, 0, 2, 25), two);
	h->home = relay_world_peer(w, AT(10, 0, 0, 3, 25),
	                           TAKES_ALL_WITH("S: 250-SMTPUTF8\nS: 250-8BITMIME\n"));
}

static void close_hosts(struct relay_world *w, struct hosts *h)
{
	stop_world(w);
	sim_peer_free(&h->one);
	sim_peer_free(&h->two);
	sim_peer_free(&h->home);
	end_world(w);
}

#define LINE "0123456789012345678901234567890123456789012345678901234567890123456789\r\n"
#define BIG "Subject: big\r\n\r\n" LINE LINE LINE LINE LINE LINE LINE

static const struct {
	const char *name, *one, *two; /* what the hosts say besides PIPELINING */
	const char *mail, *rcpt, *content;
	unsigned at_one, at_two;
	const char *bounce; /* in the event */
} lacks[] = {
	{ "SIZE: the second takes it", "S: 250-SIZE 500\n", "S: 250-SIZE 100000\n", "<a@example.com>",
	  "<b@example.net>", BIG, 0, 1, NULL },
	{ "SIZE: neither does", "S: 250-SIZE 500\n", "S: 250-SIZE 490\n", "<a@example.com>",
	  "<b@example.net>", BIG, 0, 0, "the host takes" },
	{ "SMTPUTF8: the second does", "", "S: 250-8BITMIME\nS: 250-SMTPUTF8\n", "<a@example.com> SMTPUTF8",
	  "<\xc3\xbc@example.net>", SMALL, 0, 1, NULL },
	{ "SMTPUTF8: neither does", "", "S: 250-8BITMIME\n", "<a@example.com> SMTPUTF8",
	  "<\xc3\xbc@example.net>", SMALL, 0, 0, "does not offer SMTPUTF8" },
	{ "SMTPUTF8 for a header", "", "S: 250-8BITMIME\n", "<a@example.com> BODY=8BITMIME SMTPUTF8",
	  "<b@example.net>", "Subject: \xc3\xbc\r\n\r\nx\r\n", 0, 0, "does not offer SMTPUTF8" },
	{ "SMTPUTF8 that nothing needs", "", "", "<a@example.com> SMTPUTF8", "<b@example.net>", SMALL, 1, 0,
	  NULL },
	{ "DELIVERBY with R: the second does", "", "S: 250-DELIVERBY\n", "<a@example.com> BY=600;R",
	  "<b@example.net>", SMALL, 0, 1, NULL },
	{ "DELIVERBY with R: neither does", "", "", "<a@example.com> BY=600;R", "<b@example.net>", SMALL, 0,
	  0, "does not offer DELIVERBY" },
	{ "DELIVERBY with N goes anywhere", "", "", "<a@example.com> BY=600;N",
	  "<b@example.net> NOTIFY=NEVER", SMALL, 1, 0, NULL },
};

static void a_message_goes_to_the_host_that_can_take_it_or_comes_back(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lacks); i++) {
		struct relay_world w;
		struct hosts h;
		char one[1000], two[1000];

		snprintf(one, sizeof(one), HELLO_WITH("%s") "again:\n" TAKES "repeat\n", lacks[i].one);
		snprintf(two, sizeof(two), HELLO_WITH("%s") "again:\n" TAKES "repeat\n", lacks[i].two);
		open_hosts(&w, &h, one, two);
		submit(&w, lacks[i].mail, lacks[i].rcpt, lacks[i].content);
		sim_run(w.sim, MINUTE_MS);
		if (sim_peer_messages(h.one) != lacks[i].at_one ||
		    sim_peer_messages(h.two) != lacks[i].at_two ||
		    relay_world_count(&w, "bounced") != (lacks[i].bounce != NULL) ||
		    (lacks[i].bounce && !relay_world_said(&w, lacks[i].bounce)))
			fail_msg("%s:\n%.*s", lacks[i].name, TEXT_ARGS(buf_text(&w.events)));
		assert_int_equal(sim_peer_messages(h.home), lacks[i].bounce != NULL);
		/* the destination is not to blame: other mail goes on at once */
		submit_one(&w, "<a@example.com>", "<c@example.net>");
		relay_world_await(&w, "delivered", 2, 20000);
		assert_int_equal(sim_peer_wrong_lines(h.one) + sim_peer_wrong_lines(h.two), 0);
		close_hosts(&w, &h);
	}
}

/* One host lacks it, the other cannot be reached: that one may be able, so it waits. */
static void a_host_that_is_away_may_be_the_one(void **state)
{
	struct relay_world w;
	struct hosts h;

	(void)state;
	open_hosts(&w, &h, TAKES_ALL_WITH("S: 250-SIZE 500\n"), TAKES_ALL_WITH("S: 250-SIZE 100000\n"));
	assert_int_equal(sim_set_reach(w.sim, AT(10, 0, 0, 2, 25), SIM_REFUSED), ERR_OK);
	submit(&w, "<a@example.com>", "<b@example.net>", BIG);
	relay_world_await(&w, "deferred", 1, 20000);
	assert_int_equal(relay_world_count(&w, "bounced"), 0);
	submit_one(&w, "<a@example.com>", "<c@example.net>");
	relay_world_await(&w, "delivered", 1, 2000); /* nothing is suspended for it */
	assert_int_equal(sim_set_reach(w.sim, AT(10, 0, 0, 2, 25), SIM_REACHABLE), ERR_OK);
	relay_world_await(&w, "delivered", 2, 3 * MINUTE_MS);
	assert_int_equal(sim_peer_messages(h.two), 1);
	close_hosts(&w, &h);
}

/* The same with a host that says why it is not to be had: that is not what the other mail comes to. */
static void a_host_that_refuses_all_is_no_reason_for_the_rest(void **state)
{
	struct relay_world w;
	struct hosts h;

	(void)state;
	open_hosts(&w, &h, TAKES_ALL_WITH("S: 250-SIZE 500\n"), "S: 421 4.3.2 too busy\nS: drops\n");
	submit(&w, "<a@example.com>", "<b@example.net>", BIG);
	submit_one(&w, "<a@example.com>", "<c@example.net>");
	relay_world_await(&w, "deferred", 1, 20000);
	relay_world_await(&w, "delivered", 1, 2000);
	assert_true(relay_world_said(&w, "\"reason\":\"too_large\""));
	assert_int_equal(relay_world_count(&w, "bounced"), 0);
	close_hosts(&w, &h);
}

/* What waits in line behind the message that nobody takes is not returned with it. */
static void only_mail_with_the_same_need_comes_back(void **state)
{
	struct relay_world w;
	struct sim_peer *p;

	(void)state;
	relay_world_open(&w, 34,
	                 YAML_HEAD "upstreams: {next: {hosts: [10.0.0.1:25], tls: none, connections: 1}}\n"
	                           "routes: [{to: any, via: next}]\n" YAML_RETRY,
	                 NULL);
	p = relay_world_peer(&w, NEXT_HOP, "after 2 s\n" TAKES_ALL_WITH("S: 250-SIZE 700\n"));
	submit(&w, "<>", "<b@example.net>", BIG BIG);
	submit_one(&w, "<a@example.com>", "<c@example.net>");
	submit(&w, "<>", "<d@example.net>", BIG BIG BIG);
	relay_world_await(&w, "bounced", 2, 20000);
	relay_world_await(&w, "delivered", 1, 20000);
	assert_int_equal(relay_world_count(&w, "bounced"), 2);
	assert_int_equal(sim_peer_messages(p), 1);
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
}

/* What a host does not do for one message is not remembered against it. */
static void a_host_that_lacks_something_is_still_the_first(void **state)
{
	struct relay_world w;
	struct hosts h;

	(void)state;
	open_hosts(&w, &h, TAKES_ALL_WITH("S: 250-SIZE 500\n"), TAKES_ALL_WITH("S: 250-SIZE 100000\n"));
	submit(&w, "<a@example.com>", "<b@example.net>", BIG);
	relay_world_await(&w, "delivered", 1, 5000);
	assert_int_equal(sim_peer_messages(h.two), 1);
	sim_run(w.sim, 15000); /* until the connection is given up */
	submit_one(&w, "<a@example.com>", "<c@example.net>");
	relay_world_await(&w, "delivered", 2, 5000);
	assert_int_equal(sim_peer_messages(h.one), 1);
	close_hosts(&w, &h);
}

/* The connection that is open to the first host serves what it can; the large message takes another. */
static void mail_that_fits_goes_on_beside_mail_that_does_not(void **state)
{
	struct relay_world w;
	struct hosts h;

	(void)state;
	open_hosts(&w, &h, TAKES_ALL_WITH("S: 250-SIZE 500\n"), TAKES_ALL_WITH("S: 250-SIZE 100000\n"));
	for (unsigned i = 0; i < 5; i++) {
		submit_one(&w, "<a@example.com>", "<b@example.net>");
		submit(&w, "<a@example.com>", "<b@example.net>", BIG);
	}
	relay_world_await(&w, "delivered", 10, MINUTE_MS);
	assert_int_equal(sim_peer_messages(h.two), 5 + 5 - sim_peer_messages(h.one));
	for (unsigned i = 0; i < sim_peer_messages(h.one); i++)
		want_not(sim_peer_message(h.one, i), "Subject: big");
	close_hosts(&w, &h);
}

static void recipients_in_ascii_do_not_suffer_for_others(void **state)
{
	struct relay_world w;
	struct hosts h;

	(void)state;
	open_hosts(&w, &h, TAKES_ALL_WITH(""), TAKES_ALL_WITH(""));
	submit_one(&w, "<a@example.com> SMTPUTF8", "<b@example.net>|<\xc3\xbc@example.net>");
	relay_world_await(&w, "bounced", 1, 20000);
	relay_world_await(&w, "delivered", 2, 20000); /* and the report */
	assert_int_equal(sim_peer_messages(h.one), 1);
	want(sim_peer_message(h.home, 0), "Final-Recipient: utf-8; \xc3\xbc@example.net\r\n");
	want(sim_peer_message(h.home, 0), "Status: 5.6.7");
	want(sim_peer_message(h.home, 0), "Content-Type: message/global-delivery-status\r\n");
	want(sim_peer_message(h.home, 0), "report-type=global-delivery-status;");
	/* its own addresses are ASCII: 8BITMIME is enough to bring it home */
	want(sim_peer_transcript(h.home), "C: MAIL FROM:<> BODY=8BITMIME\n");
	close_hosts(&w, &h);
}

static void a_sender_beyond_ascii_gets_his_report(void **state)
{
	struct relay_world w;
	struct hosts h;

	(void)state;
	open_hosts(&w, &h, TAKES_ALL_WITH(""), TAKES_ALL_WITH(""));
	submit_one(&w, "<\xc3\xa4@example.com> SMTPUTF8", "<b@example.net>");
	relay_world_await(&w, "delivered", 1, 20000);
	assert_int_equal(relay_world_count(&w, "bounced"), 1);
	want(sim_peer_transcript(h.home),
	     "C: MAIL FROM:<> BODY=8BITMIME SMTPUTF8\nC: RCPT TO:<\xc3\xa4@example.com>\n");
	want(sim_peer_message(h.home, 0), "\r\nTo: <\xc3\xa4@example.com>\r\n");
	close_hosts(&w, &h);
}

/* ---------------------------------------------------------------- binary mail */

static void say_binary(struct relay_world *w)
{
	assert_string_equal(relay_world_say(w, "EHLO c\r\nMAIL FROM:<a@example.com> BODY=BINARYMIME\r\n"
	                                       "RCPT TO:<b@example.net>\r\nBDAT 21 LAST\r\n"
	                                       "Subject: b\r\n\r\na\nb\rc\r\n"),
	                    "220 250 250 250 250 221");
}

static void binary_mail_leaves_octet_by_octet(void **state)
{
	struct relay_world w;
	struct sim_peer *p;

	(void)state;
	relay_world_open(&w, 8, YAML_UPSTREAM, NULL);
	p = relay_world_peer(
		&w, NEXT_HOP,
		HELLO_WITH(
			"S: 250-CHUNKING\nS: 250-BINARYMIME\n") "C: MAIL FROM:<a@example.com> BODY=BINARYMIME\n"
								"C: RCPT TO:*\nS: 250 ok\nS: 250 ok\nB:\n" TAKEN);
	say_binary(&w);
	relay_world_await(&w, "delivered", 1, 10000);
	assert_int_equal(sim_peer_messages(p), 1);
	assert_true(text_ends(sim_peer_message(p, 0), TEXT("Subject: b\r\n\r\na\nb\rc\r\n")));
	assert_int_equal(sim_peer_wrong_lines(p), 0);
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
}

static void binary_mail_comes_back_where_nobody_takes_it(void **state)
{
	struct relay_world w;
	struct sim_peer *p;

	(void)state;
	relay_world_open(&w, 9, YAML_UPSTREAM "bounce: {include: full}\n", NULL);
	p = relay_world_peer(&w, NEXT_HOP, TAKES_ALL_WITH("S: 250-CHUNKING\n"));
	say_binary(&w);
	relay_world_await(&w, "delivered", 1, 10000);
	assert_true(relay_world_said(&w, "\"reason\":\"extension\""));
	want(sim_peer_message(p, 0), "Status: 5.6.3");
	want(sim_peer_message(p, 0), "the host does not offer BINARYMIME");
	want_not(sim_peer_message(p, 0), "a\nb"); /* what is no text is not returned */
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
}

/* Whatever the answer to the chunk, whenever the connection ends: one outcome, and nothing is lost. */
static const struct {
	const char *name, *end, *outcome;
} chunk_ends[] = {
	{ "refused for good", "B:\nS: 554 5.6.0 no\n", "bounced" },
	{ "refused for now", "B:\nS: 452 4.3.1 full\n", "deferred" },
	{ "cut before the chunk", "S: drops\n", "deferred" },
	{ "cut instead of an answer", "B:\nS: drops\n", "\"reason\":\"unknown_outcome\"" },
	{ "421 instead of an answer", "B:\nS: 421 4.3.2 going down\nS: drops\n", "deferred" },
	{ "no BDAT after all", "C: BDAT*\nS: 500 5.5.1 what\nS: drops\n", "bounced" },
};

static void every_end_of_a_chunk_is_one_outcome(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(chunk_ends); i++) {
		struct relay_world w;
		struct sim_peer *p;
		char script[1000];

		relay_world_open(&w, 10 + i, YAML_UPSTREAM, NULL);
		snprintf(script, sizeof(script),
		         HELLO_WITH("S: 250-CHUNKING\nS: 250-BINARYMIME\n") "C: MAIL FROM:*\nC: RCPT TO:*\n"
		                                                            "S: 250 ok\nS: 250 ok\n%s",
		         chunk_ends[i].end);
		p = relay_world_peer(&w, NEXT_HOP, script);
		say_binary(&w);
		sim_run(w.sim, 20000);
		if (!relay_world_said(&w, chunk_ends[i].outcome))
			fail_msg("%s: no %s in\n%.*s", chunk_ends[i].name, chunk_ends[i].outcome,
			         TEXT_ARGS(buf_text(&w.events)));
		assert_int_equal(sim_peer_messages(p), 0);
		stop_world(&w);
		sim_peer_free(&p);
		end_world(&w);
	}
}

/* ---------------------------------------------------------------- DELIVERBY */

static void what_is_not_delivered_in_time_is_returned(void **state)
{
	struct relay_world w;
	struct sim_peer *p;
	int64_t begin, took;

	(void)state;
	relay_world_open(&w, 20, YAML_UPSTREAM, NULL);
	p = relay_world_peer(
		&w, NEXT_HOP,
		HELLO_WITH(
			"S: 250-DELIVERBY\n") "again:\nC: MAIL FROM:*\nC: RCPT TO:*\nC: DATA\nS: 250 ok\n"
					      "S: 451 4.2.1 busy\nS: 503 no\nC: RSET\nS: 250 ok\nrepeat\n");
	begin = io_now_time(sim_io(w.sim));
	submit_one(&w, "<a@example.com> BY=150;R", "<b@example.net>");
	relay_world_await(&w, "expired", 1, 10 * MINUTE_MS);
	took = io_now_time(sim_io(w.sim)) - begin;
	assert_in_range(took, 150000, 152000);
	assert_true(relay_world_said(&w, "DELIVERBY"));
	assert_true(relay_world_said(&w, "5.4.7"));
	assert_true(relay_world_said(&w, "the last answer was: 451 4.2.1 busy"));
	want(sim_peer_transcript(p), "C: MAIL FROM:<a@example.com> BY=149;R\n");
	sim_run(w.sim, 1000);
	assert_int_equal(relay_world_count(&w, "received"), 2);
	relay_world_stop(&w);
	sim_peer_free(&p);
	relay_world_close(&w);
}

/* It waits in memory for a host that is asked by nobody for a while: its time ends all the same. */
static void time_ends_for_mail_that_waits_in_memory_too(void **state)
{
	struct relay_world w;
	int64_t begin, took;

	(void)state;
	relay_world_open(&w, 21, YAML_UPSTREAM, NULL);
	assert_int_equal(sim_set_reach(w.sim, NEXT_HOP, SIM_SILENT), ERR_OK);
	begin = io_now_time(sim_io(w.sim));
	submit_one(&w, "<a@example.com> BY=10;R", "<b@example.net>");
	relay_world_await(&w, "expired", 1, MINUTE_MS);
	took = io_now_time(sim_io(w.sim)) - begin;
	assert_in_range(took, 10000, 11500);
	relay_world_stop(&w);
	relay_world_close(&w);
}

static void lateness_is_told_once_and_attempts_go_on(void **state)
{
	struct relay_world w;
	struct sim_peer *p;

	(void)state;
	relay_world_open(&w, 22, YAML_UPSTREAM, NULL);
	p = relay_world_peer(
		&w, NEXT_HOP,
		HELLO_WITH(
			"S: 250-DELIVERBY\n") "again:\nC: MAIL FROM:*\nC: RCPT TO:*\nC: DATA\nS: 250 ok\n"
					      "S: 451 4.2.1 busy\nS: 503 no\nC: RSET\nS: 250 ok\nrepeat\n");
	submit_one(&w, "<a@example.com> BY=100;N", "<b@example.net> NOTIFY=FAILURE");
	sim_run(w.sim, 99000);
	assert_int_equal(relay_world_count(&w, "received"), 1);
	sim_run(w.sim, 4000);
	assert_int_equal(relay_world_count(&w, "received"), 2);
	sim_run(w.sim, 60 * MINUTE_MS);
	assert_int_equal(relay_world_count(&w, "received"), 2);
	assert_true(relay_world_count(&w, "deferred") > 3);
	want(sim_peer_transcript(p), " BY=-"); /* the next hop is told how late it is */
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
}

static const struct {
	const char *name, *keywords, *mail, *rcpt;
	unsigned reports;
} relays[] = {
	{ "N to a host that knows it", "S: 250-DELIVERBY\n", "<a@example.com> BY=100;N", "<b@example.net>",
	  0 },
	{ "N to a host that does not", "", "<a@example.com> BY=100;N", "<b@example.net>", 1 },
	{ "N with NEVER", "", "<a@example.com> BY=100;N", "<b@example.net> NOTIFY=NEVER", 0 },
	{ "a trace", "S: 250-DELIVERBY\n", "<a@example.com> BY=100;RT", "<b@example.net>", 1 },
};

static void a_host_that_knows_no_time_is_reported(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(relays); i++) {
		struct relay_world w;
		struct sim_peer *p;
		char script[1000];

		relay_world_open(&w, 23, YAML_UPSTREAM, NULL);
		snprintf(script, sizeof(script), HELLO_WITH("%s") "again:\n" TAKES "repeat\n",
		         relays[i].keywords);
		p = relay_world_peer(&w, NEXT_HOP, script);
		submit_one(&w, relays[i].mail, relays[i].rcpt);
		relay_world_await(&w, "delivered", 1 + relays[i].reports, 20000);
		sim_run(w.sim, 5 * MINUTE_MS);
		if (relay_world_count(&w, "received") != 1 + relays[i].reports)
			fail_msg("%s", relays[i].name);
		if (relays[i].reports)
			want(sim_peer_message(p, 1), "Action: relayed");
		stop_world(&w);
		sim_peer_free(&p);
		end_world(&w);
	}
}

/* ---------------------------------------------------------------- priority, limits of the host */

#define YAML_NARROW                                                                        \
	YAML_HEAD "access: {max_priority: 9}\n"                                            \
		  "upstreams: {next: {hosts: [10.0.0.1:25], tls: none, connections: 1}}\n" \
		  "routes: [{to: any, via: next}]\n" YAML_RETRY

static void the_urgent_goes_first_and_says_so(void **state)
{
	static const char *const order[] = { "9", "3", "0", "-9" };
	struct relay_world w;
	struct sim_peer *p;
	struct text seen;

	(void)state;
	relay_world_open(&w, 30, YAML_NARROW, NULL);
	p = relay_world_peer(&w, NEXT_HOP, "after 30 s\n" TAKES_ALL_WITH("S: 250-MT-PRIORITY\n"));
	submit_one(&w, "<a@example.com> MT-PRIORITY=-9", "<b@example.net>");
	submit_one(&w, "<a@example.com> MT-PRIORITY=0", "<b@example.net>");
	submit_one(&w, "<a@example.com> MT-PRIORITY=3", "<b@example.net>");
	submit_one(&w, "<a@example.com> MT-PRIORITY=9", "<b@example.net>");
	relay_world_await(&w, "delivered", 4, 2 * MINUTE_MS);
	seen = sim_peer_transcript(p);
	for (size_t i = 0; i < ARRAY_LEN(order); i++) {
		char line[100];

		snprintf(line, sizeof(line), "MT-PRIORITY=%s\n", order[i]);
		want(seen, line);
		seen = text_skip(seen, text_find(seen, text_from(line)));
	}
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
}

/* Urgent mail without end, and one message that is not. Priority 5 is another class, which leaves a tenth of the sends to those behind
 * it: the patient one comes after nine that went from the moment on when it was there, not after all, and not before them. */
static void nobody_starves(void **state)
{
	struct relay_world w;
	struct sim_peer *p;
	unsigned place = 0;

	(void)state;
	relay_world_open(&w, 31, YAML_NARROW, NULL);
	p = relay_world_peer(&w, NEXT_HOP,
	                     HELLO_WITH("S: 250-MT-PRIORITY\n") "again:\n" ENVELOPE ACCEPTS
	                                                        "after 20 s\n" TAKEN "repeat\n");
	for (unsigned i = 0; i < 90; i++) {
		submit(&w, "<a@example.com> MT-PRIORITY=5", "<b@example.net>",
		       "Subject: urgent\r\n\r\nx\r\n");
		if (i == 5)
			submit(&w, "<a@example.com>", "<b@example.net>", "Subject: patient\r\n\r\nx\r\n");
		sim_run(w.sim, 10000);
	}
	sim_run(w.sim, 30 * MINUTE_MS);
	while (place < sim_peer_messages(p) && !has(sim_peer_message(p, place), "Subject: patient"))
		place++;
	assert_in_range(place, 11, 14); /* three or four had gone when it came */
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
}

static void a_report_is_as_urgent_as_its_message(void **state)
{
	struct relay_world w;
	struct sim_peer *p;

	(void)state;
	relay_world_open(&w, 32, YAML_NARROW, NULL);
	p = relay_world_peer(&w, NEXT_HOP,
	                     HELLO_WITH("S: 250-MT-PRIORITY\n") ENVELOPE
	                     "S: 250 ok\nS: 550 5.1.1 no\nS: 503 no\nC: RSET\nS: 250 ok\n" TAKES);
	submit_one(&w, "<a@example.com> MT-PRIORITY=4", "<b@example.net>");
	relay_world_await(&w, "delivered", 1, 20000);
	want(sim_peer_transcript(p), "C: MAIL FROM:<> MT-PRIORITY=4\n");
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
}

static void limits_of_the_host_are_obeyed(void **state)
{
	struct relay_world w;
	struct sim_peer *p;

	(void)state;
	relay_world_open(&w, 33, YAML_NARROW, NULL);
	p = relay_world_peer(
		&w, NEXT_HOP,
		HELLO_WITH(
			"S: 250-LIMITS MAILMAX=2 RCPTMAX=2 RCPTDOMAINMAX=1\n") "again:\nC: MAIL FROM:*\n"
									       "C: RCPT TO:<*@one.test>\nC: RCPT TO:<*@one.test>\nC: DATA\n"
									       "S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 354 go\nD:\n" TAKEN
									       "C: MAIL FROM:*\nC: RCPT TO:<d@one.test>\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 354 go\nD:\n" TAKEN
									       "C: QUIT\nS: 221 bye\nS: drops\n");
	assert_int_equal(sim_peer_add_script(p, TAKES_ALL_WITH("S: 250-LIMITS RCPTMAX=1\n")), ERR_OK);
	submit_one(&w, "<a@example.com>", "<b@one.test>|<c@one.test>|<d@one.test>|<e@two.test>|<f@one.test>");
	relay_world_await(&w, "delivered", 5, 2 * MINUTE_MS);
	if (sim_peer_wrong_lines(p))
		fail_msg("%.*s", TEXT_ARGS(sim_peer_transcript(p)));
	assert_int_equal(sim_peer_messages(p), 4);
	assert_int_equal(sim_peer_connections(p), 2);
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_next_hop_with_dsn_is_told_all_and_reports_itself),
		cmocka_unit_test(a_next_hop_without_dsn_makes_us_say_relayed),
		cmocka_unit_test(a_failure_is_told_to_those_who_want_it),
		cmocka_unit_test(a_delay_is_told_to_those_who_want_it),
		cmocka_unit_test(ret_says_how_much_comes_back),
		cmocka_unit_test(a_large_message_comes_back_whole),
		cmocka_unit_test(a_message_goes_to_the_host_that_can_take_it_or_comes_back),
		cmocka_unit_test(a_host_that_is_away_may_be_the_one),
		cmocka_unit_test(a_host_that_refuses_all_is_no_reason_for_the_rest),
		cmocka_unit_test(only_mail_with_the_same_need_comes_back),
		cmocka_unit_test(a_host_that_lacks_something_is_still_the_first),
		cmocka_unit_test(mail_that_fits_goes_on_beside_mail_that_does_not),
		cmocka_unit_test(recipients_in_ascii_do_not_suffer_for_others),
		cmocka_unit_test(a_sender_beyond_ascii_gets_his_report),
		cmocka_unit_test(binary_mail_leaves_octet_by_octet),
		cmocka_unit_test(binary_mail_comes_back_where_nobody_takes_it),
		cmocka_unit_test(every_end_of_a_chunk_is_one_outcome),
		cmocka_unit_test(what_is_not_delivered_in_time_is_returned),
		cmocka_unit_test(time_ends_for_mail_that_waits_in_memory_too),
		cmocka_unit_test(lateness_is_told_once_and_attempts_go_on),
		cmocka_unit_test(a_host_that_knows_no_time_is_reported),
		cmocka_unit_test(the_urgent_goes_first_and_says_so),
		cmocka_unit_test(nobody_starves),
		cmocka_unit_test(a_report_is_as_urgent_as_its_message),
		cmocka_unit_test(limits_of_the_host_are_obeyed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
