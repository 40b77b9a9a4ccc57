/* STARTTLS in and out, by the scripted layer: what holds, what falls back, what waits. */
#include "scripts.h"

#include "../../src/sim/internal.h"

#define OUT(tls_demand, verify)                                                                          \
	YAML_HEAD "upstreams: {next: {hosts: [10.0.0.1:25], tls: " tls_demand ", verify: " verify "}}\n" \
		  "routes: [{to: any, via: next}]\n" YAML_RETRY
#define IN(tls_demand)                                                                          \
	"hostname: relay.test\nspool: {path: /spool}\n"                                         \
	"listen: [{address: 127.0.0.1:2525, tls: " tls_demand ", cert: /c.pem, key: /k.pem}]\n" \
	"upstreams: {next: {hosts: [10.0.0.1:25], tls: none}}\nroutes: [{to: any, via: next}]\n" YAML_RETRY

#define WITH_TLS                                                                                             \
	"S: 220 mx.test\nC: EHLO relay.test\nS: 250-mx.test\nS: 250-PIPELINING\nS: 250 STARTTLS\n"           \
	"C: STARTTLS\nS: 220 go\ntls\nC: EHLO relay.test\nS: 250-mx.test\nS: 250 PIPELINING\nagain:\n" TAKES \
	"repeat\n"
#define NO_LONGER                                                                                  \
	"S: 220 mx.test\nC: EHLO relay.test\nS: 250-mx.test\nS: 250-PIPELINING\nS: 250 STARTTLS\n" \
	"C: STARTTLS\nS: 454 4.7.0 not now\nagain:\n" TAKES "repeat\n"

static const struct {
	const char *name;
	const char *yaml;
	const char *script, *then; /* of the first connection, and of those behind it */
	struct sim_tls_script client, server;
	const char *outcome;
	const char *words;
} out_cases[] = {
	{ "required and there",
	  OUT("require", "false"),
	  WITH_TLS,
	  NULL,
	  { 0 },
	  { 0 },
	  "delivered",
	  "TLSv1.3" },
	{ "opportunistic and there",
	  OUT("opportunistic", "false"),
	  WITH_TLS,
	  NULL,
	  { 0 },
	  { 0 },
	  "delivered",
	  "TLSv1.3" },
	{ "opportunistic and not offered",
	  OUT("opportunistic", "false"),
	  TAKES_ALL,
	  NULL,
	  { 0 },
	  { 0 },
	  "delivered",
	  "\"code\":250" },
	{ "required and not offered",
	  OUT("require", "false"),
	  TAKES_ALL,
	  NULL,
	  { 0 },
	  { 0 },
	  "deferred",
	  "\"reason\":\"tls" },
	{ "opportunistic and refused",
	  OUT("opportunistic", "false"),
	  NO_LONGER,
	  NULL,
	  { 0 },
	  { 0 },
	  "delivered",
	  "\"code\":250" },
	{ "required and refused",
	  OUT("require", "false"),
	  NO_LONGER,
	  NULL,
	  { 0 },
	  { 0 },
	  "deferred",
	  "\"reason\":\"tls" },
	{ "the handshake fails, opportunistic: plain on a new connection",
	  OUT("opportunistic", "false"),
	  WITH_TLS,
	  TAKES_ALL,
	  { .handshake_fails = true },
	  { 0 },
	  "delivered",
	  "\"code\":250" },
	{ "the handshake fails, required",
	  OUT("require", "false"),
	  WITH_TLS,
	  WITH_TLS,
	  { .handshake_fails = true },
	  { 0 },
	  "deferred",
	  "\"reason\":\"tls" },
	{ "the peer's side of the handshake fails, opportunistic",
	  OUT("opportunistic", "false"),
	  WITH_TLS,
	  TAKES_ALL,
	  { 0 },
	  { .handshake_fails = true },
	  "delivered",
	  "\"code\":250" },
	{ "a wrong certificate where it is verified",
	  OUT("require", "true"),
	  WITH_TLS,
	  WITH_TLS,
	  { 0 },
	  { .certificate_is_bad = true },
	  "deferred",
	  "\"reason\":\"tls" },
	{ "a wrong certificate where it is not",
	  OUT("require", "false"),
	  WITH_TLS,
	  WITH_TLS,
	  { 0 },
	  { .certificate_is_bad = true },
	  "delivered",
	  "TLSv1.3" },
	{ "a good certificate where it is verified",
	  OUT("require", "true"),
	  WITH_TLS,
	  WITH_TLS,
	  { 0 },
	  { 0 },
	  "delivered",
	  "\"verified\":true" },
};

static void tls_on_the_way_out(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(out_cases); i++) {
		struct relay_world w;
		struct sim_peer *p;
		struct tls_context *context;

		relay_world_open(&w, 100 + i, out_cases[i].yaml, NULL);
		w.client_tls = out_cases[i].client;
		relay_world_stop(&w); /* the contexts are made at the start */
		relay_world_start(&w);
		p = relay_world_peer(&w, NEXT_HOP, out_cases[i].script);
		if (out_cases[i].then)
			assert_int_equal(sim_peer_add_script(p, out_cases[i].then), ERR_OK);
		assert_int_equal(sim_tls_context(w.sim, true, false, &out_cases[i].server, &context), ERR_OK);
		sim_peer_use_tls(p, context);
		tls_context_unref(&context);
		relay_world_send(&w, "", "b@example.net", SMALL);
		sim_run(w.sim, 20000);
		if (relay_world_count(&w, out_cases[i].outcome) != 1 ||
		    !relay_world_said(&w, out_cases[i].words))
			fail_msg("%s: no %s with %s in\n%.*s%.*s", out_cases[i].name, out_cases[i].outcome,
			         out_cases[i].words, TEXT_ARGS(buf_text(&w.events)),
			         TEXT_ARGS(sim_peer_transcript(p)));
		/* where TLS is demanded nothing of a message goes in plain text */
		if (strstr(out_cases[i].yaml, "require") && !strcmp(out_cases[i].outcome, "deferred"))
			assert_true(text_find(sim_peer_transcript(p), TEXT("MAIL FROM")) ==
			            sim_peer_transcript(p).len);
		stop_world(&w);
		sim_peer_free(&p);
		relay_world_close(&w);
	}
}

/* ---------------------------------------------------------------- on the way in */

struct guest {
	struct relay_world *world;
	struct io_stream *stream;
	struct tls_context *context;
	struct buf told;
	bool closed, secure, failed;
};

static size_t on_data(void *owner, struct text bytes)
{
	struct guest *g = owner;

	buf_add(&g->told, bytes);
	return bytes.len;
}

static void on_nothing(void *owner)
{
	(void)owner;
}

static void on_eof(void *owner)
{
	io_stream_close(((struct guest *)owner)->stream);
}

static void on_closed(void *owner, enum err why)
{
	(void)why;
	((struct guest *)owner)->closed = true;
}

static const struct io_stream_events guest_events = { on_nothing, on_data, on_eof, on_nothing, on_closed };

static void come(struct relay_world *w, struct guest *g)
{
	*g = (struct guest){ .world = w, .told = BUF(1u << 20) };
	assert_int_equal(sim_tls_context(w->sim, false, false, &w->client_tls, &g->context), ERR_OK);
	assert_int_equal(io_connect(sim_io(w->sim), &(struct io_address){ .ip = RELAY_AT }, NULL,
	                            &guest_events, g, &g->stream),
	                 ERR_OK);
	sim_run(w->sim, 100);
}

static void put(struct guest *g, const char *words)
{
	struct text t = text_from(words);

	buf_reset(&g->told);
	if (!g->closed)
		io_stream_write(g->stream, &t, 1);
}

static const char *say(struct guest *g, const char *words)
{
	put(g, words);
	sim_run(g->world->sim, 100);
	buf_add_octet(&g->told, 0);
	return g->told.at;
}

static void on_secure(void *owner, enum err err, const struct tls_info *info)
{
	struct guest *g = owner;

	(void)info;
	g->secure = !err;
	g->failed = err != ERR_OK;
}

static void leave(struct guest *g)
{
	if (!g->closed)
		io_stream_close(g->stream);
	sim_run(g->world->sim, 20000);
	assert_true(g->closed);
	tls_context_unref(&g->context);
	buf_fini(&g->told);
}

static bool begins(const char *text, const char *head)
{
	return strncmp(text, head, strlen(head)) == 0;
}

static void a_client_comes_under_tls_and_is_told_of_in_the_trace(void **state)
{
	struct relay_world w;
	struct sim_peer *p;
	struct guest g;
	struct text content;

	(void)state;
	relay_world_open(&w, 1, IN("opportunistic"), NULL);
	p = relay_world_peer(&w, NEXT_HOP, TAKES_ALL);
	come(&w, &g);
	assert_non_null(strstr(say(&g, "EHLO before\r\n"), "STARTTLS"));
	assert_string_equal(say(&g, "STARTTLS\r\n"), "220 2.0.0 Go ahead\r\n");
	assert_int_equal(tls_start(g.stream, g.context, TEXT_EMPTY, on_secure, &g), ERR_OK);
	sim_run(w.sim, 100);
	assert_true(g.secure);
	assert_true(begins(say(&g, "MAIL FROM:<>\r\n"), "503")); /* the EHLO before is forgotten too */
	assert_null(strstr(say(&g, "EHLO after\r\n"), "STARTTLS"));
	assert_true(begins(say(&g, "STARTTLS\r\n"), "503"));
	assert_true(begins(say(&g, "MAIL FROM:<>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n"), "250"));
	assert_true(begins(say(&g, SMALL ".\r\n"), "250"));
	relay_world_await(&w, "delivered", 1, 10000);
	content = sim_peer_message(p, 0);
	assert_true(text_find(content, TEXT("with ESMTPS")) < content.len);
	assert_true(text_find(content, TEXT("from after")) < content.len);
	assert_true(text_find(content, TEXT("TLSv1.3")) < content.len);
	leave(&g);
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
}

/* ---------------------------------------------------------------- REQUIRETLS, in and out */

#define THROUGH(out)                                                                               \
	"hostname: relay.test\nspool: {path: /spool}\n"                                            \
	"listen: [{address: 127.0.0.1:2525, tls: opportunistic, cert: /c.pem, key: /k.pem}]\n" out \
		YAML_RETRY
#define BY_UPSTREAM(tls)                                     \
	"upstreams: {next: {hosts: [10.0.0.1:25], tls: " tls \
	", verify: false}}\nroutes: [{to: any, via: next}]\n"
#define BY_MX "routes: [{to: any, via: direct}]\ndirect: {allow_private: [10.0.0.0/8], tls: opportunistic}\n"

#define SECURE_WITH(keyword)                                                                       \
	"S: 220 mx.test\nC: EHLO relay.test\nS: 250-mx.test\nS: 250-PIPELINING\nS: 250 STARTTLS\n" \
	"C: STARTTLS\nS: 220 go\ntls\nC: EHLO relay.test\nS: 250-mx.test\n" keyword "S: 250 PIPELINING\n"
#define TAKES_REQUIRETLS                                                                                   \
	"again:\nC: MAIL FROM:<* REQUIRETLS\nC: RCPT TO:*\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 354 go\nD:\n" \
	"S: 250 2.0.0 taken\nrepeat\n"

static const struct {
	const char *name, *yaml, *script;
	struct sim_tls_script server;
	const char *outcome;
	const char *words;
} requiretls_cases[] = {
	{ "the next hop offers it",
	  THROUGH(BY_UPSTREAM("require")),
	  SECURE_WITH("S: 250-REQUIRETLS\n") TAKES_REQUIRETLS,
	  { 0 },
	  "delivered",
	  "TLSv1.3" },
	{ "a route without TLS is raised to it, and verified",
	  THROUGH(BY_UPSTREAM("none")),
	  SECURE_WITH("S: 250-REQUIRETLS\n") TAKES_REQUIRETLS,
	  { 0 },
	  "delivered",
	  "TLSv1.3" },
	{ "a certificate that proves nothing",
	  THROUGH(BY_UPSTREAM("require")),
	  SECURE_WITH("S: 250-REQUIRETLS\n") TAKES_REQUIRETLS,
	  { .certificate_is_bad = true },
	  "bounced",
	  "\"enhanced\":\"5.7.30\"" },
	{ "not offered within TLS",
	  THROUGH(BY_UPSTREAM("require")),
	  SECURE_WITH("") TAKES_REQUIRETLS,
	  { 0 },
	  "bounced",
	  "does not offer REQUIRETLS" },
	{ "no STARTTLS at all",
	  THROUGH(BY_UPSTREAM("opportunistic")),
	  TAKES_ALL,
	  { 0 },
	  "bounced",
	  "5.7.30" },
	{ "a handshake that fails may heal",
	  THROUGH(BY_UPSTREAM("opportunistic")),
	  SECURE_WITH("S: 250-REQUIRETLS\n") TAKES_REQUIRETLS,
	  { .handshake_fails = true },
	  "deferred",
	  "\"reason\":\"tls_policy\"" },
	{ "by MX nobody can prove who he is", THROUGH(BY_MX), TAKES_ALL, { 0 }, "bounced", "cannot prove" },
};

static void come_securely(struct relay_world *w, struct guest *g)
{
	come(w, g);
	(void)say(g, "EHLO c\r\n");
	(void)say(g, "STARTTLS\r\n");
	assert_int_equal(tls_start(g->stream, g->context, TEXT_EMPTY, on_secure, g), ERR_OK);
	sim_run(w->sim, 100);
	assert_true(g->secure);
	assert_non_null(strstr(say(g, "EHLO c\r\n"), "REQUIRETLS"));
}

static void a_demand_for_tls_is_kept_or_the_mail_comes_back(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(requiretls_cases); i++) {
		struct relay_world w;
		struct sim_peer *p;
		struct guest g;
		struct tls_context *context;
		bool delivered = !strcmp(requiretls_cases[i].outcome, "delivered");

		relay_world_open(&w, 90 + i, requiretls_cases[i].yaml,
		                 "example.net. 300 MX 10 mx.example.net.\nmx.example.net. 300 A 10.0.0.1\n");
		p = relay_world_peer(&w, NEXT_HOP, requiretls_cases[i].script);
		w.server_tls = requiretls_cases[i].server;
		assert_int_equal(sim_tls_context(w.sim, true, false, &w.server_tls, &context), ERR_OK);
		sim_peer_use_tls(p, context);
		tls_context_unref(&context);
		w.server_tls = (struct sim_tls_script){ 0 };
		come_securely(&w, &g);
		w.server_tls = requiretls_cases[i].server;
		(void)say(
			&g,
			"MAIL FROM:<a@example.com> REQUIRETLS RET=FULL\r\nRCPT TO:<b@example.net>\r\nDATA\r\n");
		assert_true(begins(say(&g, "Subject: one\r\n\r\nsecret\r\n.\r\n"), "250"));
		relay_world_await(&w, requiretls_cases[i].outcome, 1, 20000);
		if (!relay_world_said(&w, requiretls_cases[i].words))
			fail_msg("%s: no %s in\n%.*s", requiretls_cases[i].name, requiretls_cases[i].words,
			         TEXT_ARGS(buf_text(&w.events)));
		assert_int_equal(sim_peer_messages(p), delivered);
		if (!delivered) /* nothing of it in plain text, nor to anybody who proves nothing */
			assert_true(text_find(sim_peer_transcript(p), TEXT("C: RCPT TO:<b@")) ==
			            sim_peer_transcript(p).len);
		leave(&g);
		relay_world_stop(&w);
		sim_peer_free(&p);
		relay_world_close(&w);
	}
}

/* RFC 9422 section 4: what was said in plain text is no promise, and no bound. */
static void limits_said_in_plain_text_are_forgotten(void **state)
{
	struct relay_world w;
	struct sim_peer *p;
	struct tls_context *context;

	(void)state;
	relay_world_open(&w, 97, OUT("require", "false"), NULL);
	p = relay_world_peer(
		&w, NEXT_HOP,
		"S: 220 mx.test\nC: EHLO relay.test\nS: 250-mx.test\nS: 250-LIMITS RCPTMAX=1 MAILMAX=1\n"
		"S: 250-SIZE 10\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\ntls\nC: EHLO relay.test\n"
		"S: 250-mx.test\nS: 250 PIPELINING\nC: MAIL FROM:*\nC: RCPT TO:*\nC: RCPT TO:*\nC: DATA\n"
		"S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 354 go\nD:\nS: 250 2.0.0 taken\n");
	assert_int_equal(sim_tls_context(w.sim, true, false, &w.server_tls, &context), ERR_OK);
	sim_peer_use_tls(p, context);
	tls_context_unref(&context);
	(void)relay_world_say(&w, "EHLO c\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.net>\r\n"
	                          "RCPT TO:<c@example.net>\r\nDATA\r\n" SMALL ".\r\n");
	relay_world_await(&w, "delivered", 2, 20000);
	assert_int_equal(sim_peer_messages(p), 1);
	assert_int_equal(sim_peer_wrong_lines(p), 0);
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
}

/* The report on it is bound by the same demand, and holds no body, whatever RET says. */
static void a_report_on_it_travels_as_it_had_to(void **state)
{
	struct relay_world w;
	struct sim_peer *p;
	struct guest g;
	struct tls_context *context;
	struct text report;

	(void)state;
	relay_world_open(&w, 99, THROUGH(BY_UPSTREAM("require")), NULL);
	p = relay_world_peer(
		&w, NEXT_HOP,
		SECURE_WITH(
			"S: 250-REQUIRETLS\n") "C: MAIL FROM:<a@* REQUIRETLS*\nC: RCPT TO:*\nC: DATA\n"
					       "S: 250 ok\nS: 550 5.1.1 no\nS: 503 no\nC: RSET\nS: 250 ok\n" TAKES_REQUIRETLS);
	assert_int_equal(sim_tls_context(w.sim, true, false, &w.server_tls, &context), ERR_OK);
	sim_peer_use_tls(p, context);
	tls_context_unref(&context);
	come_securely(&w, &g);
	(void)say(&g, "MAIL FROM:<a@example.com> REQUIRETLS RET=FULL\r\nRCPT TO:<b@example.net>\r\nDATA\r\n");
	assert_true(begins(say(&g, "Subject: one\r\n\r\nsecret\r\n.\r\n"), "250"));
	relay_world_await(&w, "delivered", 1, 20000);
	report = sim_peer_message(p, 0);
	assert_true(text_find(sim_peer_transcript(p), TEXT("C: MAIL FROM:<> REQUIRETLS\n")) <
	            sim_peer_transcript(p).len);
	assert_true(text_find(report, TEXT("Subject: one")) < report.len);
	assert_true(text_find(report, TEXT("secret")) == report.len);
	leave(&g);
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
}

/* What stands behind STARTTLS in the same segment came in plain text: forgotten. What comes in the next one is no
 * handshake. */
static void plain_text_behind_starttls_is_never_a_command(void **state)
{
	unsigned secure = 0, broken = 0;

	(void)state;
	for (uint64_t seed = 50; seed < 70; seed++) {
		struct relay_world w;
		struct guest g;

		relay_world_open(&w, seed, IN("opportunistic"), NULL);
		w.sim->options.whole_writes = seed % 2;
		come(&w, &g);
		(void)say(&g, "EHLO c\r\n");
		put(&g, "STARTTLS\r\nEHLO x\r\nMAIL FROM:<evil@example.com>\r\n");
		while (!g.told.len && !g.closed)
			sim_run(w.sim, 1);
		if (!g.closed)
			assert_int_equal(tls_start(g.stream, g.context, TEXT_EMPTY, on_secure, &g), ERR_OK);
		sim_run(w.sim, 1000);
		secure += g.secure && !g.closed;
		broken += g.closed;
		if (g.secure && !g.closed)
			assert_true(begins(say(&g, "RCPT TO:<b@example.net>\r\n"), "503"));
		leave(&g);
		end_world(&w);
	}
	assert_true(secure >= 10 && broken > 0); /* both ways were gone */
}

static void where_tls_is_demanded_nothing_goes_without(void **state)
{
	struct relay_world w;
	struct guest g;

	(void)state;
	relay_world_open(&w, 2, IN("require"), NULL);
	come(&w, &g);
	assert_true(begins(say(&g, "EHLO c\r\n"), "250"));
	assert_true(begins(say(&g, "MAIL FROM:<>\r\n"), "530 5.7.0"));
	leave(&g);
	end_world(&w);
}

static void a_handshake_that_fails_or_never_comes_ends_the_session(void **state)
{
	struct relay_world w;
	struct guest g;

	(void)state;
	relay_world_open(&w, 3, IN("opportunistic"), NULL);
	w.client_tls.handshake_fails = true;
	come(&w, &g);
	(void)say(&g, "EHLO c\r\nSTARTTLS\r\n");
	assert_int_equal(tls_start(g.stream, g.context, TEXT_EMPTY, on_secure, &g), ERR_OK);
	sim_run(w.sim, 1000);
	assert_true(g.failed);
	leave(&g);
	w.client_tls.handshake_fails = false;
	come(&w, &g);
	(void)say(&g, "EHLO c\r\nSTARTTLS\r\n");
	sim_run(w.sim, 10 * MINUTE_MS); /* not one octet of a handshake */
	assert_true(g.closed);
	assert_int_equal(receive_count(server_receive(w.server)).sessions, 0);
	leave(&g);
	end_world(&w);
}

static void no_certificate_no_starttls(void **state)
{
	struct relay_world w;
	struct guest g;

	(void)state;
	relay_world_open(&w, 4, YAML_UPSTREAM, NULL);
	come(&w, &g);
	assert_null(strstr(say(&g, "EHLO c\r\n"), "STARTTLS"));
	assert_true(begins(say(&g, "STARTTLS\r\n"), "502"));
	leave(&g);
	end_world(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tls_on_the_way_out),
		cmocka_unit_test(a_client_comes_under_tls_and_is_told_of_in_the_trace),
		cmocka_unit_test(a_demand_for_tls_is_kept_or_the_mail_comes_back),
		cmocka_unit_test(limits_said_in_plain_text_are_forgotten),
		cmocka_unit_test(a_report_on_it_travels_as_it_had_to),
		cmocka_unit_test(plain_text_behind_starttls_is_never_a_command),
		cmocka_unit_test(where_tls_is_demanded_nothing_goes_without),
		cmocka_unit_test(a_handshake_that_fails_or_never_comes_ends_the_session),
		cmocka_unit_test(no_certificate_no_starttls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
