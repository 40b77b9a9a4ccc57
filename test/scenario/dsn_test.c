/* Who is told what: the tables of RFC 3461 as cases. For each NOTIFY of a recipient, what the next hop is and what becomes of the
 * message: the report that goes out, and what the next hop is told. */
#include "scripts.h"
#include "support/check.h"

#include <stdio.h>

#define YAML(protocol)                                                                              \
	YAML_HEAD "upstreams: {next: {hosts: [10.0.0.1:2400], tls: none, protocol: " protocol "}, " \
		  "reports: {hosts: [10.0.0.2:25], tls: none}}\n"                                   \
		  "routes: [{to: example.com, via: reports}, {to: any, via: next}]\n"               \
		  "retry: {schedule: [1m, 5m, 1h], warn_after: 3m, give_up_after: 1d}\n"

#define NEXT AT(10, 0, 0, 1, 2400)
#define REPORTS AT(10, 0, 0, 2, 25)

enum fate { TAKEN, TAKEN_WITH_DSN, STORED, REFUSED, LATE, EXPIRED, FATES };

static const char *const fate_names[FATES] = { "taken by a host without DSN",
	                                       "taken by a host with DSN",
	                                       "stored by LMTP",
	                                       "refused",
	                                       "late",
	                                       "expired" };

#define EHLO_OF(extensions) "S: 220 mx.test\nC: EHLO *\nS: 250-mx.test\n" extensions "S: 250 PIPELINING\n"
#define PUT_OFF "C: MAIL *\nC: RCPT *\nC: DATA\nS: 451 4.3.0 later\nS: 503 no\nS: 503 no\n"

static const char *const scripts[FATES] = {
	[TAKEN] = EHLO_OF("") "C: MAIL *\nC: RCPT *\nC: DATA\n" ACCEPTS "S: 250 2.0.0 taken\n",
	[TAKEN_WITH_DSN] =
		EHLO_OF("S: 250-DSN\n") "C: MAIL *\nC: RCPT *\nC: DATA\n" ACCEPTS "S: 250 2.0.0 taken\n",
	[STORED] =
		"S: 220 store\nC: LHLO *\nS: 250-store\nS: 250 PIPELINING\nC: MAIL *\nC: RCPT *\nC: DATA\n" ACCEPTS
		"S: 250 2.0.0 stored\n",
	[REFUSED] = EHLO_OF("") "C: MAIL *\nC: RCPT *\nC: DATA\nS: 250 ok\nS: 550 5.1.1 nobody\nS: 503 no\n",
	[LATE] = EHLO_OF("") "again:\n" PUT_OFF "repeat\n",
	[EXPIRED] = EHLO_OF("") "again:\n" PUT_OFF "repeat\n",
};

/* "": no report; else its Action. Columns as the fates. An expired message is late before, and its sender may hear both. */
static const struct {
	const char *notify;
	const char *report[FATES];
	const char *onward; /* to a host with DSN, behind RCPT TO:<b@example.net> */
} rows[] = {
	/* section 4.1: without NOTIFY failures are told, and delays as is usual */
	{ "", { "", "", "", "failed", "delayed", "delayed failed" }, "" },
	{ " NOTIFY=NEVER", { "", "", "", "", "", "" }, " NOTIFY=NEVER" },
	{ " NOTIFY=SUCCESS", { "relayed", "", "delivered", "", "", "" }, " NOTIFY=SUCCESS" },
	{ " NOTIFY=FAILURE", { "", "", "", "failed", "", "failed" }, " NOTIFY=FAILURE" },
	{ " NOTIFY=DELAY", { "", "", "", "", "delayed", "delayed" }, " NOTIFY=DELAY" },
	{ " NOTIFY=SUCCESS,FAILURE",
	  { "relayed", "", "delivered", "failed", "", "failed" },
	  " NOTIFY=SUCCESS,FAILURE" },
	{ " NOTIFY=FAILURE,DELAY",
	  { "", "", "", "failed", "delayed", "delayed failed" },
	  " NOTIFY=FAILURE,DELAY" },
	{ " NOTIFY=SUCCESS,DELAY",
	  { "relayed", "", "delivered", "", "delayed", "delayed" },
	  " NOTIFY=SUCCESS,DELAY" },
	{ " NOTIFY=SUCCESS,FAILURE,DELAY",
	  { "relayed", "", "delivered", "failed", "delayed", "delayed failed" },
	  " NOTIFY=SUCCESS,FAILURE,DELAY" },
};

static bool has(struct text t, const char *words)
{
	return text_find(t, text_from(words)) < t.len;
}

/* The Actions of all reports, in the order they came. */
static void add_actions(struct sim_peer *reports, struct buf *out)
{
	for (unsigned i = 0; i < sim_peer_messages(reports); i++) {
		struct text rest = sim_peer_message(reports, i), field = TEXT("\r\nAction: ");
		size_t at = text_find(rest, field);
		struct text action = text_skip(rest, at + field.len);

		buf_add_string(out, out->len ? " " : "");
		buf_add(out, text_head(action, text_find_octet(action, '\r')));
	}
}

static void check_report(const char *name, struct sim_peer *reports)
{
	struct text report = sim_peer_message(reports, 0);

	CHECK(name, has(report, "\r\nOriginal-Envelope-Id: q2\r\n"));
	CHECK(name, has(report, "\r\nOriginal-Recipient: rfc822; Bee@example.net\r\n"));
	CHECK(name, has(report, "\r\nFinal-Recipient: rfc822; b@example.net\r\n"));
	CHECK(name, has(report, "\r\nAuto-Submitted: auto-replied"));
	CHECK(name, has(sim_peer_transcript(reports), "C: MAIL FROM:<>"));
}

static void check_onward(const char *name, struct sim_peer *next, const char *onward)
{
	char line[200];

	snprintf(line, sizeof(line), "C: RCPT TO:<b@example.net>%s ORCPT=rfc822;Bee@example.net\n", onward);
	CHECK(name, has(sim_peer_transcript(next), line));
	CHECK(name, has(sim_peer_transcript(next), " ENVID=q2\n"));
}

static void run_one(size_t row, enum fate fate)
{
	AUTO(buf_fini) struct buf actions = BUF(1000);
	struct sim_peer *next, *reports;
	struct relay_world w;
	char name[160], lines[400];

	snprintf(name, sizeof(name), "\"%s\", %s", rows[row].notify, fate_names[fate]);
	relay_world_open(&w, 10 + row * FATES + fate, fate == STORED ? YAML("lmtp") : YAML("smtp"), NULL);
	next = relay_world_peer(&w, NEXT, scripts[fate]);
	reports = relay_world_peer(&w, REPORTS, TAKES_ALL);
	snprintf(lines, sizeof(lines),
	         "EHLO c\r\nMAIL FROM:<a@example.com> ENVID=q2\r\n"
	         "RCPT TO:<b@example.net>%s ORCPT=rfc822;Bee@example.net\r\nDATA\r\n" SMALL ".\r\n",
	         rows[row].notify);
	relay_world_say(&w, lines);
	sim_run(w.sim, fate == EXPIRED ? 26 * HOUR_MS : fate == LATE ? 20 * MINUTE_MS : MINUTE_MS / 2);
	add_actions(reports, &actions);
	CHECK_TEXT(name, buf_text(&actions), text_from(rows[row].report[fate]));
	if (actions.len)
		check_report(name, reports);
	if (fate == TAKEN_WITH_DSN)
		check_onward(name, next, rows[row].onward);
	stop_world(&w);
	sim_peer_free(&next);
	sim_peer_free(&reports);
	relay_world_close(&w);
}

static void who_is_told_what(void **state)
{
	(void)state;
	for (size_t row = 0; row < ARRAY_LEN(rows); row++)
		for (enum fate fate = 0; fate < FATES; fate++)
			run_one(row, fate);
}

/* bounce.copy_to: reports on failures, and nothing else. */
static void somebody_else_gets_a_copy(void **state)
{
	struct sim_peer *next, *reports;
	struct relay_world w;

	(void)state;
	relay_world_open(&w, 3, YAML("smtp") "bounce: {copy_to: [post@copies.example.com, postmaster]}\n",
	                 NULL);
	next = relay_world_peer(
		&w, NEXT,
		EHLO_OF("") "C: MAIL *\nC: RCPT *\nC: DATA\nS: 250 ok\nS: 550 5.1.1 nobody\nS: 503 no\n"
			    "C: RSET\nC: MAIL *\nC: RCPT *\nC: RCPT *\nC: DATA\n"
			    "S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 250 ok\nS: 354 go\nD:\nS: 250 taken\n");
	reports = relay_world_peer(&w, REPORTS, TAKES_ALL);
	relay_world_send(&w, "a@example.com", "b@example.net", SMALL);
	relay_world_await(&w, "delivered", 3, MINUTE_MS);
	CHECK("the sender", has(sim_peer_transcript(reports), "C: RCPT TO:<a@example.com>\n"));
	CHECK("a copy", has(sim_peer_transcript(next), "C: RCPT TO:<post@copies.example.com>"));
	CHECK("a copy at this machine", has(sim_peer_transcript(next), "C: RCPT TO:<postmaster@relay.test>"));
	stop_world(&w);
	sim_peer_free(&next);
	sim_peer_free(&reports);
	relay_world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_is_told_what),
		cmocka_unit_test(somebody_else_gets_a_copy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
