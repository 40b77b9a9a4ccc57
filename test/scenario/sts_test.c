/* MTA-STS and TLSRPT in the whole relay: what a policy does to mail, an attacker who forges names, and reports that go round by
 * the relay's own queue, over virtual days. */
#include "scripts.h"

#include <stdio.h>

#include "../support/service_peer.h"

#define YAML                                                                                     \
	"hostname: relay.test\nspool: {path: /spool}\nlisten: [{address: 127.0.0.1:2525}]\n"     \
	"routes: [{to: any, via: direct}]\ndirect: {allow_private: [10.0.0.0/8], dane: false}\n" \
	"tls_reports: {send: true, from: tls@relay.test}\n"                                      \
	"retry: {schedule: [1m, 5m, 1h], give_up_after: 30d}\n"
#define RECORD "_mta-sts.example.net. 300 TXT \"v=STSv1; id=1\"\nmta-sts.example.net. 300 A 10.0.0.80\n"
#define MX "example.net. 300 MX 10 mx.example.net.\nmx.example.net. 300 A 10.0.0.1\n"
#define TWO_MX MX "example.net. 300 MX 20 mx2.example.net.\nmx2.example.net. 300 A 10.0.0.2\n"
#define POLICY(mode, mx) "version: STSv1\nmode: " mode "\nmx: " mx "\nmax_age: 604800\n"

#define OFFERS "S: 220 mx.test\nC: EHLO relay.test\nS: 250-mx.test\nS: 250 STARTTLS\n"
#define TLS                                                                                                         \
	OFFERS "C: STARTTLS\nS: 220 go\ntls\nC: EHLO relay.test\nS: 250-mx.test\nS: 250 PIPELINING\nagain:\n" TAKES \
	       "repeat\n"
#define PLAIN TAKES_ALL

struct site {
	struct service_peer peer;
	struct tls_context *tls;
	const char *policy; /* NULL: 404 */
	unsigned requests;
};

/* ---------------------------------------------------------------- the web site */

static void on_tls(void *owner, enum err err, const struct tls_info *info)
{
	(void)owner;
	(void)err;
	(void)info;
}

static void on_input(struct service_session *s)
{
	struct site *site = s->peer->owner;
	char head[200];

	if (s->steps++ == 0) {
		assert_int_equal(tls_start(s->stream, site->tls, TEXT_EMPTY, on_tls, s), ERR_OK);
		return;
	}
	if (text_find(buf_text(&s->in), TEXT("\r\n\r\n")) == s->in.len)
		return;
	buf_reset(&s->in);
	site->requests++;
	snprintf(head, sizeof(head), "HTTP/1.1 %s\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n\r\n",
	         site->policy ? "200 OK" : "404 Not Found", site->policy ? strlen(site->policy) : 0);
	service_say(s, head);
	if (site->policy)
		service_say(s, site->policy);
}

static void open_site(struct site *site, struct relay_world *w, const char *policy)
{
	static const struct sim_tls_script good = { 0 };
	struct io_address at = service_address("10.0.0.80:443");

	*site = (struct site){ .policy = policy };
	assert_int_equal(sim_tls_context(w->sim, true, false, &good, &site->tls), ERR_OK);
	service_peer_begin(&site->peer, sim_io(w->sim), &at, on_input, site);
}

static void close_site(struct site *site)
{
	service_peer_end(&site->peer);
	tls_context_unref(&site->tls);
}

static struct sim_peer *tls_peer(struct relay_world *w, struct ip_port at, const char *script, bool is_bad)
{
	const struct sim_tls_script server = { .certificate_is_bad = is_bad };
	struct sim_peer *p = relay_world_peer(w, at, script);
	struct tls_context *context;

	assert_int_equal(sim_tls_context(w->sim, true, false, &server, &context), ERR_OK);
	sim_peer_use_tls(p, context);
	tls_context_unref(&context);
	return p;
}

/* ---------------------------------------------------------------- what a policy does */

enum { NOBODY, FIRST, SECOND };

static const struct {
	const char *name, *policy, *zone;
	const char *first;
	bool bad_certificate;
	int to; /* who has the message; NOBODY: it waits */
	const char *words;
} cases[] = {
	{ "enforced, and all is well", POLICY("enforce", "mx.example.net"), MX RECORD, TLS, false, FIRST,
	  "\"verified\":true,\"by\":\"mta-sts\"" },
	{ "enforced by a star", POLICY("enforce", "*.example.net"), MX RECORD, TLS, false, FIRST,
	  "\"by\":\"mta-sts\"" },
	{ "enforced, another host", POLICY("enforce", "mx.example.org"), MX RECORD, TLS, false, NOBODY,
	  "the MTA-STS policy of example.net does not allow the mail host mx.example.net" },
	{ "enforced, a label too many", POLICY("enforce", "*.net.test\nmx: *.a.example.net"), MX RECORD, TLS,
	  false, NOBODY, "does not allow the mail host mx.example.net" },
	{ "enforced, no TLS there", POLICY("enforce", "mx.example.net"), MX RECORD, PLAIN, false, NOBODY,
	  "the MTA-STS policy of example.net demands TLS" },
	{ "enforced, a bad certificate", POLICY("enforce", "mx.example.net"), MX RECORD, TLS, true, NOBODY,
	  "the MTA-STS policy of example.net demands TLS" },
	{ "enforced, only the second host is allowed", POLICY("enforce", "mx2.example.net"), TWO_MX RECORD,
	  TLS, false, SECOND, "\"by\":\"mta-sts\"" },
	{ "testing, another host", POLICY("testing", "mx.example.org"), MX RECORD, TLS, false, FIRST,
	  "\"delivered\"" },
	{ "testing, no TLS there", POLICY("testing", "mx.example.net"), MX RECORD, PLAIN, false, FIRST,
	  "\"delivered\"" },
	{ "testing, a bad certificate", POLICY("testing", "mx.example.net"), MX RECORD, TLS, true, FIRST,
	  "\"by\":\"none\"" },
	{ "none", "version: STSv1\nmode: none\nmax_age: 1\n", MX RECORD, PLAIN, false, FIRST,
	  "\"delivered\"" },
	{ "a policy that is broken", "mode: enforce\n", MX RECORD, PLAIN, false, FIRST, "it has no version" },
	{ "no policy where the record says so", NULL, MX RECORD, PLAIN, false, FIRST, "it answered 404" },
	{ "a policy that no record names", POLICY("enforce", "mx.example.org"),
	  MX "mta-sts.example.net. 300 A 10.0.0.80\n", PLAIN, false, FIRST, "\"delivered\"" },
};

static void run_case(size_t i)
{
	struct relay_world w = { 0 };
	struct sim_peer *first, *second;
	struct site site;

	relay_world_open(&w, 20 + i, YAML, cases[i].zone);
	open_site(&site, &w, cases[i].policy);
	first = tls_peer(&w, NEXT_HOP, cases[i].first, cases[i].bad_certificate);
	second = tls_peer(&w, AT(10, 0, 0, 2, 25), TLS, false);
	relay_world_send(&w, "a@example.com", "b@example.net", SMALL);
	relay_world_await(&w, cases[i].to == NOBODY ? "deferred" : "delivered", 1, 60 * SECOND_MS);
	if (!relay_world_said(&w, cases[i].words))
		fail_msg("%s: not said: %s in\n%.*s", cases[i].name, cases[i].words,
		         TEXT_ARGS(buf_text(&w.events)));
	if (sim_peer_messages(first) != (cases[i].to == FIRST) ||
	    sim_peer_messages(second) != (cases[i].to == SECOND))
		fail_msg("%s: it is elsewhere", cases[i].name);
	relay_world_stop(&w);
	close_site(&site);
	sim_peer_free(&first);
	sim_peer_free(&second);
	end_world(&w);
}

static void a_policy_decides_about_hosts(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		run_case(i);
}

static void who_forges_names_gets_no_mail_while_the_policy_lives(void **state)
{
	static const char forged[] = "example.net. 300 MX 10 mx.evil.test.\nmx.evil.test. 300 A 10.0.0.66\n";
	struct relay_world w = { 0 };
	struct sim_peer *good, *evil;
	struct site site;

	(void)state;
	relay_world_open(&w, 60, YAML, MX RECORD);
	open_site(&site, &w, POLICY("enforce", "mx.example.net"));
	good = tls_peer(&w, NEXT_HOP, TLS, false);
	evil = tls_peer(&w, AT(10, 0, 0, 66, 25), TLS, false);
	relay_world_send(&w, "a@example.com", "b@example.net", SMALL);
	relay_world_await(&w, "delivered", 1, 60 * SECOND_MS);
	sim_names_change(w.names, forged); /* also without record and web site */
	sim_run(w.sim, 10 * MINUTE_MS);
	relay_world_send(&w, "a@example.com", "b@example.net", SMALL);
	relay_world_await(&w, "deferred", 1, 60 * SECOND_MS);
	relay_world_stop(&w);
	relay_world_start(&w); /* and over a restart */
	sim_run(w.sim, 2 * DAY_MS);
	assert_int_equal(sim_peer_messages(evil), 0);
	assert_true(relay_world_said(&w, "does not allow the mail host mx.evil.test"));
	sim_names_change(w.names, MX RECORD);
	relay_world_await(&w, "delivered", 2, 3 * HOUR_MS);
	assert_int_equal(sim_peer_messages(good), 2);
	assert_int_equal(sim_peer_messages(evil), 0);
	relay_world_stop(&w);
	close_site(&site);
	sim_peer_free(&good);
	sim_peer_free(&evil);
	end_world(&w);
}

/* ---------------------------------------------------------------- reports */

#define REPORTED                                                                            \
	MX RECORD "_smtp._tls.example.net. 300 TXT \"v=TLSRPTv1; rua=mailto:r@ear.test\"\n" \
		  "_smtp._tls.ear.test. 300 TXT \"v=TLSRPTv1; rua=mailto:r@ear.test\"\n"    \
		  "ear.test. 300 MX 10 mx.ear.test.\nmx.ear.test. 300 A 10.0.0.5\n"

static bool has(struct text t, const char *words)
{
	return text_find(t, text_from(words)) < t.len;
}

static void each_day_has_its_report(void **state)
{
	struct relay_world w = { 0 };
	struct sim_peer *peer, *ear;
	struct site site;

	(void)state;
	relay_world_open(&w, 70, YAML, REPORTED);
	open_site(&site, &w, POLICY("enforce", "mx.example.net"));
	peer = tls_peer(&w, NEXT_HOP, TLS, false);
	ear = relay_world_peer(&w, AT(10, 0, 0, 5, 25), PLAIN);
	for (unsigned day = 1; day <= 3; day++) {
		relay_world_send(&w, "a@example.com", "b@example.net", SMALL);
		sim_run(w.sim, DAY_MS + 5 * HOUR_MS - io_now_time(sim_io(w.sim)) % DAY_MS);
		/* of the reports themselves there is none */
		assert_int_equal(sim_peer_messages(ear), day);
	}
	assert_int_equal(sim_peer_messages(peer), 3);
	assert_true(has(sim_peer_transcript(ear), "C: MAIL FROM:<tls@relay.test>"));
	assert_true(has(sim_peer_message(ear, 0), "TLS-Report-Domain: example.net\r\n"));
	assert_true(has(sim_peer_message(ear, 0), "Report-ID: <2026-01-01."));
	assert_true(has(sim_peer_message(ear, 2), "Report-ID: <2026-01-03."));
	assert_true(relay_world_said(&w, "a report on TLS of ours"));
	relay_world_check(&w);
	relay_world_stop(&w);
	close_site(&site);
	sim_peer_free(&peer);
	sim_peer_free(&ear);
	end_world(&w);
}

/* The host that takes reports is under an enforced policy of its own, and its TLS is the very thing that is broken. */
static void a_report_goes_without_tls_rather_than_not_at_all(void **state)
{
	struct relay_world w = { 0 };
	struct sim_peer *peer;
	struct site site;

	(void)state;
	relay_world_open(&w, 71, YAML,
	                 MX RECORD
	                 "_smtp._tls.example.net. 300 TXT \"v=TLSRPTv1; rua=mailto:r@example.net\"\n");
	open_site(&site, &w, POLICY("enforce", "mx.example.net"));
	peer = relay_world_peer(&w, NEXT_HOP, PLAIN);
	relay_world_send(&w, "a@example.com", "b@example.net", SMALL);
	relay_world_await(&w, "deferred", 1, 60 * SECOND_MS);
	sim_run(w.sim, DAY_MS + 5 * HOUR_MS - io_now_time(sim_io(w.sim)) % DAY_MS);
	assert_int_equal(sim_peer_messages(peer), 1);
	assert_true(has(sim_peer_message(peer, 0), "TLS-Required: No\r\n"));
	assert_true(has(sim_peer_message(peer, 0), "TLS-Report-Domain: example.net\r\n"));
	relay_world_stop(&w);
	close_site(&site);
	sim_peer_free(&peer);
	end_world(&w);
}

static void a_power_cut_loses_no_day(void **state)
{
	(void)state;
	for (unsigned hours = 1; hours < 30; hours += 4) {
		struct relay_world w = { 0 };
		struct sim_peer *peer, *ear;
		struct site site;

		relay_world_open(&w, 80 + hours, YAML, REPORTED);
		open_site(&site, &w, POLICY("enforce", "mx.example.net"));
		peer = tls_peer(&w, NEXT_HOP, TLS, false);
		ear = relay_world_peer(&w, AT(10, 0, 0, 5, 25), PLAIN);
		relay_world_send(&w, "a@example.com", "b@example.net", SMALL);
		sim_run(w.sim, hours * HOUR_MS);
		relay_world_crash(&w);
		sim_run(w.sim, 2 * DAY_MS);
		assert_in_range(sim_peer_messages(ear), 1, 2);
		relay_world_stop(&w);
		close_site(&site);
		sim_peer_free(&peer);
		sim_peer_free(&ear);
		end_world(&w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_policy_decides_about_hosts),
		cmocka_unit_test(who_forges_names_gets_no_mail_while_the_policy_lives),
		cmocka_unit_test(each_day_has_its_report),
		cmocka_unit_test(a_report_goes_without_tls_rather_than_not_at_all),
		cmocka_unit_test(a_power_cut_loses_no_day),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
