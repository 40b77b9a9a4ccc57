/* Every kind of fault at every stage, for a message to one recipient and for one to a hundred: who is put off, who is returned,
 * and that the next attempt delivers to all that are left and to nobody else. */
#include "scripts.h"
#include "support/check.h"

#include <stdio.h>
#include <stdlib.h>

#define EHLO_SAID "S: 220 mx.test\nC: EHLO *\nS: 250-mx.test\nS: 250-PIPELINING\nS: 250 8BITMIME\n"

enum place {
	AT_GREETING,
	AT_EHLO,
	AT_MAIL,
	AT_FIRST_RCPT,
	AT_MIDDLE_RCPT,
	AT_LAST_RCPT,
	AT_DATA,
	AT_DOT,
	PLACES
};
enum fault { REPLY_4, REPLY_5, REPLY_421, CUT, SILENCE, NO_SMTP, WRONG_CLASS, FAULTS };

static const char *const place_names[PLACES] = { "the greeting",  "EHLO",          "MAIL", "the first RCPT",
	                                         "a middle RCPT", "the last RCPT", "DATA", "the dot" };
static const char *const fault_names[FAULTS] = {
	"4xx", "5xx", "421", "a cut", "silence", "no SMTP", "a reply of the wrong class"
};

/* What the peer says in the place of what is due there. */
static void add_fault(struct buf *script, enum place place, enum fault fault)
{
	switch (fault) {
	case REPLY_4:
		buf_add_string(script, "S: 451 4.3.0 not now\n");
		return;
	case REPLY_5:
		buf_add_string(script, "S: 550 5.7.1 not here\n");
		return;
	case REPLY_421:
		buf_add_string(script, "S: 421 4.3.2 going down\nS: drops\n");
		return;
	case CUT:
		buf_add_string(script, "S: drops\n");
		return;
	case SILENCE:
		buf_add_string(script, "after 30 m\nS: drops\n");
		return;
	case NO_SMTP:
		buf_add_string(script, "S: hello there\n");
		return;
	default:
		buf_add_string(script, place == AT_DATA ? "S: 250 ok\n" : "S: 354 go\n");
		return;
	}
}

/* Whether what comes behind is still said: a negative reply to one recipient only. */
static bool goes_on(enum place place, enum fault fault)
{
	return (fault == REPLY_4 || fault == REPLY_5) && place >= AT_FIRST_RCPT && place <= AT_LAST_RCPT;
}

static unsigned faulty_recipient(enum place place, unsigned count)
{
	return place == AT_FIRST_RCPT ? 0 : place == AT_MIDDLE_RCPT ? count / 2 : count - 1;
}

static void add_envelope(struct buf *script, unsigned count)
{
	buf_add_string(script, "C: MAIL FROM:*\n");
	for (unsigned i = 0; i < count; i++)
		buf_add_string(script, "C: RCPT TO:*\n");
	buf_add_string(script, "C: DATA\n");
}

/* The rest of a group whose command failed: the peer refuses it too. */
static void refuse_rest(struct buf *script, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		buf_add_string(script, "S: 503 5.5.1 no\n");
}

static void make_script(struct buf *script, enum place place, enum fault fault, unsigned count)
{
	if (place == AT_GREETING) {
		add_fault(script, place, fault);
		return;
	}
	if (place == AT_EHLO) {
		buf_add_string(script, "S: 220 mx.test\nC: EHLO *\n");
		add_fault(script, place, fault);
		/* 5xx: it may know HELO, and does not */
		if (fault == REPLY_5)
			buf_add_string(script, "C: HELO *\nS: 550 5.7.1 not here\n");
		return;
	}
	buf_add_string(script, EHLO_SAID);
	add_envelope(script, count);
	if (place == AT_MAIL) {
		add_fault(script, place, fault);
		refuse_rest(script, fault == REPLY_4 || fault == REPLY_5 ? count + 1 : 0);
		return;
	}
	buf_add_string(script, "S: 250 ok\n");
	for (unsigned i = 0; i < count; i++) {
		if (place > AT_LAST_RCPT || i != faulty_recipient(place, count)) {
			buf_add_string(script, "S: 250 ok\n");
			continue;
		}
		add_fault(script, place, fault);
		if (!goes_on(place, fault))
			return;
	}
	if (goes_on(place, fault) && count == 1) {
		refuse_rest(script, 1);
		return;
	}
	if (place == AT_DATA) {
		add_fault(script, place, fault);
		return;
	}
	buf_add_string(script, "S: 354 go\nD:\n");
	if (place == AT_DOT)
		add_fault(script, place, fault);
	else
		buf_add_string(script, "S: 250 2.0.0 taken\n");
}

struct expected {
	unsigned delivered, deferred, bounced;
	bool unknown;
};

/* A reply speaks of whom it answers; everything else leaves all open that had no answer of their own. */
static struct expected expect(enum place place, enum fault fault, unsigned count)
{
	bool one = place >= AT_FIRST_RCPT && place <= AT_LAST_RCPT;

	if (fault == REPLY_5)
		return one ? (struct expected){ .delivered = count - 1, .bounced = 1 }
		           : (struct expected){ .bounced = count };
	if (fault == REPLY_4 && one)
		return (struct expected){ .delivered = count - 1, .deferred = 1 };
	return (struct expected){ .deferred = count,
		                  .unknown = place == AT_DOT && fault != REPLY_4 && fault != REPLY_421 };
}

static void send_to(struct relay_world *w, unsigned count)
{
	AUTO(buf_fini) struct buf lines = BUF(1u << 20);

	buf_add_string(&lines, "EHLO client.example\r\nMAIL FROM:<>\r\n");
	for (unsigned i = 0; i < count; i++)
		buf_add_format(&lines, "RCPT TO:<b%u@example.net>\r\n", i);
	buf_add_string(&lines, "DATA\r\n" SMALL ".\r\n");
	buf_add_octet(&lines, 0);
	relay_world_say(w, buf_text(&lines).at);
}

static void await_all(struct relay_world *w, unsigned count)
{
	for (unsigned waited = 0; waited < 200; waited++) {
		if (relay_world_count(w, "delivered") + relay_world_count(w, "deferred") +
		            relay_world_count(w, "bounced") >=
		    count)
			return;
		sim_run(w->sim, 10 * SECOND_MS); /* less than the first pause between attempts */
	}
}

static void check(struct relay_world *w, const char *name, enum place place, enum fault fault, unsigned count)
{
	struct expected e = expect(place, fault, count);

	CHECK_INT(name, relay_world_count(w, "delivered"), e.delivered);
	CHECK_INT(name, relay_world_count(w, "deferred"), e.deferred);
	CHECK_INT(name, relay_world_count(w, "bounced"), e.bounced);
	CHECK_INT(name, relay_world_said(w, "\"reason\":\"unknown_outcome\""), e.unknown);
}

static void run_one(enum place place, enum fault fault, unsigned count)
{
	AUTO(buf_fini) struct buf script = BUF(1u << 20);
	AUTO(buf_fini) struct buf takes = BUF(1u << 20);
	struct relay_world w;
	struct sim_peer *p;
	char name[120];

	snprintf(name, sizeof(name), "%s at %s, %u recipients", fault_names[fault], place_names[place],
	         count);
	make_script(&script, place, fault, count);
	buf_add_octet(&script, 0);
	relay_world_open(&w, 1 + place * 100 + fault * 10 + count, YAML_UPSTREAM, NULL);
	p = relay_world_peer(&w, NEXT_HOP, buf_text(&script).at);
	/* a server that hangs up at EHLO is asked by HELO within the same attempt */
	if (place == AT_EHLO && fault == CUT)
		assert_int_equal(sim_peer_add_script(p, "S: 220 mx.test\nC: HELO *\nS: drops\n"), ERR_OK);
	send_to(&w, count);
	await_all(&w, count);
	check(&w, name, place, fault, count);

	/* and then everything that is left, once */
	unsigned left = relay_world_count(&w, "deferred");

	buf_add_string(&takes, EHLO_SAID);
	add_envelope(&takes, left);
	for (unsigned i = 0; i < left + 1; i++)
		buf_add_string(&takes, "S: 250 ok\n");
	buf_add_string(&takes, "S: 354 go\nD:\nS: 250 2.0.0 taken\n");
	buf_add_octet(&takes, 0);
	assert_int_equal(sim_peer_add_script(p, buf_text(&takes).at), ERR_OK);
	if (left) {
		relay_world_await(&w, "delivered", count - relay_world_count(&w, "bounced"), 3 * HOUR_MS);
		CHECK_INT(name, relay_world_count(&w, "deferred"), left);
	}
	stop_world(&w);
	sim_peer_free(&p);
	relay_world_close(&w);
}

static void each_fault_at_each_stage(unsigned count)
{
	for (enum place place = 0; place < PLACES; place++)
		for (enum fault fault = 0; fault < FAULTS; fault++)
			run_one(place, fault, count);
}

static void for_one_recipient(void **state)
{
	(void)state;
	each_fault_at_each_stage(1);
}

static void for_a_hundred(void **state)
{
	(void)state;
	each_fault_at_each_stage(100);
}

/* ---------------------------------------------------------------- names */

static const struct {
	const char *name, *zone;
	const char *outcome, *reason;
} name_cases[] = {
	{ "no such domain", "other.example. 300 A 10.0.0.1\n", "bounced", "no_such_domain" },
	{ "SERVFAIL for the MX", "example.net. SERVFAIL\n", "deferred", "dns" },
	{ "REFUSED for the MX", "example.net. REFUSED\n", "deferred", "dns" },
	{ "silence for the MX", "example.net. SILENCE\n", "deferred", "dns" },
	{ "a null MX", "example.net. 300 MX 0 .\n", "bounced", "null_mx" },
	{ "an MX without an address",
	  "example.net. 300 MX 10 mx.example.net.\nmx.example.net. 300 TXT \"x\"\n", "bounced", "no_mx" },
	{ "an MX that does not exist", "example.net. 300 MX 10 mx.example.net.\n", "bounced", "no_mx" },
	{ "SERVFAIL for the address", "example.net. 300 MX 10 mx.example.net.\nmx.example.net. SERVFAIL\n",
	  "deferred", "dns" },
	{ "silence for the address", "example.net. 300 MX 10 mx.example.net.\nmx.example.net. SILENCE\n",
	  "deferred", "dns" },
	{ "no MX and no address", "example.net. 300 TXT \"x\"\n", "bounced", "no_mx" },
	{ "nobody listens", "example.net. 300 MX 10 mx.example.net.\nmx.example.net. 300 A 10.0.0.77\n",
	  "deferred", "connect" },
	{ "the first host is dead, its name too",
	  "example.net. 300 MX 10 gone.example.net.\nexample.net. 300 MX 20 dead.example.net.\n"
	  "example.net. 300 MX 30 mx.example.net.\ndead.example.net. 300 A 10.0.0.77\nmx.example.net. 300 A 10.0.0.1\n",
	  "delivered", NULL },
};

static void each_answer_of_the_dns(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(name_cases); i++) {
		struct relay_world w;
		struct sim_peer *p;
		char reason[80];

		relay_world_open(&w, 500 + i, YAML_DIRECT, name_cases[i].zone);
		p = relay_world_peer(&w, NEXT_HOP, TAKES_ALL);
		relay_world_send(&w, "", "b@example.net", SMALL);
		for (unsigned waited = 0; waited < 10 && !relay_world_count(&w, name_cases[i].outcome);
		     waited++)
			sim_run(w.sim, MINUTE_MS);
		snprintf(reason, sizeof(reason), "\"reason\":\"%s\"",
		         name_cases[i].reason ? name_cases[i].reason : "");
		if (!relay_world_count(&w, name_cases[i].outcome) ||
		    (name_cases[i].reason && !relay_world_said(&w, reason)))
			fail_msg("%s: no %s with %s in\n%.*s", name_cases[i].name, name_cases[i].outcome,
			         reason, TEXT_ARGS(buf_text(&w.events)));
		stop_world(&w);
		sim_peer_free(&p);
		relay_world_close(&w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(for_one_recipient),
		cmocka_unit_test(for_a_hundred),
		cmocka_unit_test(each_answer_of_the_dns),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
