/* Logging in at an upstream, the whole relay: mail waits for a login that fails and does not hammer, goes when it is mended, and
 * nothing of a secret is ever said. */
#include "scripts.h"

#include <stdio.h>

#define UPSTREAM(more) "upstreams: {next: {hosts: [10.0.0.1:25], tls: require, " more "}}\n"
#define YAML(more) YAML_HEAD UPSTREAM(more) "routes: [{to: any, via: next}]\n" YAML_RETRY
#define WITH(password) YAML("username: app, password: " password)

/* app, "wrong one" and "right one" */
#define WRONG_IR "AGFwcAB3cm9uZyBvbmU="
#define RIGHT_IR "AGFwcAByaWdodCBvbmU="

#define OFFERS(mechanisms)                                                                              \
	"S: 220 mx.test\nC: EHLO relay.test\nS: 250-mx.test\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\n" \
	"tls\nC: EHLO relay.test\nS: 250-mx.test\nS: 250-PIPELINING\nS: 250 AUTH " mechanisms "\n"
#define REFUSES OFFERS("PLAIN") "C: AUTH PLAIN " WRONG_IR "\nS: 535 5.7.8 no\nC: QUIT\nS: 221 bye\n"
#define LETS_IN OFFERS("PLAIN") "C: AUTH PLAIN " RIGHT_IR "\nS: 235 2.7.0 ok\nagain:\n" TAKES "repeat\n"

static struct sim_peer *next_hop(struct relay_world *w, const char *script)
{
	struct sim_peer *p = relay_world_peer(w, NEXT_HOP, script);
	struct tls_context *context;

	assert_int_equal(sim_tls_context(w->sim, true, false, &w->server_tls, &context), ERR_OK);
	sim_peer_use_tls(p, context);
	tls_context_unref(&context);
	return p;
}

static unsigned count_of(struct text t, const char *words)
{
	struct text needle = text_from(words);
	unsigned count = 0;

	for (size_t at = text_find(t, needle); at < t.len; at = text_find(t, needle)) {
		t = text_skip(t, at + needle.len);
		count++;
	}
	return count;
}

static unsigned logins_at(struct sim_peer *p)
{
	return count_of(sim_peer_transcript(p), "C: AUTH ");
}

/* Of all that was said: events, and what the next hop was told as mail. */
static void check_secrets(struct relay_world *w, struct sim_peer *p)
{
	static const char *const secrets[] = { "wrong one", "right one",    WRONG_IR,
		                               RIGHT_IR,    "d3Jvbmcgb25l", "cmlnaHQgb25l" };

	for (size_t i = 0; i < ARRAY_LEN(secrets); i++) {
		if (relay_world_said(w, secrets[i]))
			fail_msg("an event says %s:\n%.*s", secrets[i], TEXT_ARGS(buf_text(&w->events)));
		for (unsigned n = 0; n < sim_peer_messages(p); n++)
			assert_int_equal(count_of(sim_peer_message(p, n), secrets[i]), 0);
	}
}

static void mail_goes_behind_a_login(void **state)
{
	struct relay_world w;
	struct sim_peer *p;

	(void)state;
	relay_world_open(&w, 1, WITH("right one"), NULL);
	p = next_hop(&w, LETS_IN);
	send_many(&w, 3, "b@example.net");
	relay_world_await(&w, "delivered", 3, 20000);
	assert_true(relay_world_said(&w, "\"login\":{\"user\":\"app\",\"mechanism\":\"PLAIN\"}"));
	assert_true(relay_world_said(&w, "\"auth\":"));
	assert_int_equal(sim_peer_wrong_lines(p), 0);
	check_secrets(&w, p);
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
}

static void tls_from_the_first_octet(void **state)
{
	struct relay_world w;
	struct sim_peer *p;

	(void)state;
	relay_world_open(&w, 2,
	                 YAML_HEAD "upstreams: {next: {hosts: [10.0.0.1:25], tls: implicit, username: app, "
	                           "password: right one}}\nroutes: [{to: any, via: next}]\n" YAML_RETRY,
	                 NULL);
	p = next_hop(
		&w,
		"tls\nS: 220 mx.test\nC: EHLO relay.test\nS: 250-mx.test\nS: 250-PIPELINING\nS: 250 AUTH PLAIN\n"
		"C: AUTH PLAIN " RIGHT_IR "\nS: 235 2.7.0 ok\nagain:\n" TAKES "repeat\n");
	relay_world_send(&w, "a@example.com", "b@example.net", SMALL);
	relay_world_await(&w, "delivered", 1, 20000);
	assert_int_equal(sim_peer_wrong_lines(p), 0);
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
}

/* At most two tries for each wave, and the waves come after 1m, 5m, 15m, 1h, 4h, however much mail comes and asks. */
static void a_wrong_password_defers_and_does_not_hammer(void **state)
{
	static const struct {
		int64_t until_minutes;
		unsigned tries;
	} most[] = { { 1, 1 }, { 6, 2 }, { 21, 3 }, { 81, 4 }, { 320, 5 } };
	struct relay_world w;
	struct sim_peer *p;
	int64_t minutes = 0;

	(void)state;
	relay_world_open(&w, 3, WITH("wrong one"), NULL);
	p = next_hop(&w, REFUSES);
	for (size_t i = 0; i < ARRAY_LEN(most); i++) {
		while (minutes < most[i].until_minutes) {
			send_many(&w, minutes < 30 ? 3 : 0, "b@example.net");
			minutes++;
			while (io_now_at(sim_io(w.sim)) < minutes * MINUTE_MS - 1000)
				sim_run(w.sim, 500);
		}
		if (logins_at(p) > most[i].tries)
			fail_msg("%u tries in %lld minutes, at most %u", logins_at(p), (long long)minutes,
			         most[i].tries);
	}
	assert_true(logins_at(p) >= 3);
	assert_int_equal(relay_world_count(&w, "bounced"), 0);
	assert_true(relay_world_said(&w, "is not tried again before"));
	assert_true(relay_world_said(&w, "\"reason\":\"auth\""));
	assert_true(relay_world_said(&w, "\"stage\":\"auth\""));
	check_secrets(&w, p);
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
}

static void another_password_by_reload_is_tried_at_once(void **state)
{
	struct relay_world w;
	struct sim_peer *p;

	(void)state;
	relay_world_open(&w, 4, WITH("wrong one"), NULL);
	p = next_hop(&w, REFUSES);
	send_many(&w, 5, "b@example.net");
	relay_world_await(&w, "deferred", 5, 20000);
	assert_int_equal(logins_at(p), 1);
	/* the same again changes nothing */
	assert_int_equal(relay_world_reload(&w, WITH("wrong one")), ERR_OK);
	send_many(&w, 1, "b@example.net");
	relay_world_await(&w, "deferred", 6, 20000);
	assert_int_equal(logins_at(p), 1);
	assert_int_equal(sim_peer_add_script(p, LETS_IN), ERR_OK);
	assert_int_equal(relay_world_reload(&w, WITH("right one")), ERR_OK);
	send_many(&w, 1, "b@example.net");
	relay_world_await(&w, "delivered", 1, 5000);
	relay_world_await(&w, "delivered", 7, 7 * MINUTE_MS);
	check_secrets(&w, p);
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
}

/* What worked is tried first the next time: each 504 or 535 on the way there may be counted against us. */
static void the_next_mechanism_is_taken_and_remembered(void **state)
{
	static const char *const replies[] = { "504 5.5.4 no", "535 5.7.8 no" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(replies); i++) {
		struct relay_world w;
		struct sim_peer *p;
		char first[2000];

		snprintf(
			first, sizeof(first),
			OFFERS("PLAIN LOGIN") "C: AUTH PLAIN " RIGHT_IR "\nS: %s\n"
					      "C: AUTH LOGIN\nS: 334 VXNlcm5hbWU6\nC: YXBw\nS: 334 UGFzc3dvcmQ6\n"
					      "C: cmlnaHQgb25l\nS: 235 ok\n" TAKES "C: QUIT\nS: 221 bye\n",
			replies[i]);
		relay_world_open(&w, 5 + i, WITH("right one"), NULL);
		p = next_hop(&w, first);
		assert_int_equal(
			sim_peer_add_script(p, OFFERS("PLAIN LOGIN") "C: AUTH LOGIN\nS: 334 VXNlcm5hbWU6\n"
		                                                     "C: YXBw\nS: 334 UGFzc3dvcmQ6\n"
		                                                     "C: cmlnaHQgb25l\nS: 235 ok\n" TAKES),
			ERR_OK);
		relay_world_send(&w, "a@example.com", "b@example.net", SMALL);
		relay_world_await(&w, "delivered", 1, 20000);
		sim_run(w.sim, 2 * MINUTE_MS);
		relay_world_send(&w, "a@example.com", "b@example.net", SMALL);
		relay_world_await(&w, "delivered", 2, 20000);
		assert_int_equal(sim_peer_wrong_lines(p), 0);
		assert_int_equal(count_of(sim_peer_transcript(p), "C: AUTH PLAIN"), 1);
		assert_int_equal(relay_world_count(&w, "deferred"), 0);
		check_secrets(&w, p);
		stop_world(&w);
		sim_peer_free(&p);
		end_world(&w);
	}
}

/* The first time, and again with words as long. */
static void write_file(struct relay_world *w, enum io_file_mode mode, const char *name, const char *words)
{
	struct io_disk *disk = sim_disk(w->sim);
	struct io_file *file = NULL;

	assert_int_equal(disk->ops->open(disk, name, mode, &file), ERR_OK);
	assert_int_equal(disk->ops->write_at(file, 0, words, strlen(words)), ERR_OK);
	disk->ops->close(&file);
}

/* "user=app^Aauth=Bearer stale^A^A", and the same with "fresh" */
#define STALE "dXNlcj1hcHABYXV0aD1CZWFyZXIgc3RhbGUBAQ=="
#define FRESH "dXNlcj1hcHABYXV0aD1CZWFyZXIgZnJlc2gBAQ=="

static void a_token_is_replaced_once_when_it_is_refused(void **state)
{
	struct relay_world w;
	struct sim_peer *p;

	(void)state;
	relay_world_open(&w, 7, YAML("username: app, oauth2: {token_file: /token}"), NULL);
	write_file(&w, IO_FILE_CREATE, "/token", "stale\n");
	p = next_hop(&w, OFFERS("PLAIN XOAUTH2") "C: AUTH XOAUTH2 " STALE "\nafter 5 s\nS: 535 5.7.8 no\n"
	                                         "C: AUTH XOAUTH2 " FRESH "\nS: 235 ok\nagain:\n" TAKES
	                                         "repeat\n");
	relay_world_send(&w, "a@example.com", "b@example.net", SMALL);
	sim_run(w.sim, 2000);
	write_file(&w, IO_FILE_UPDATE, "/token", "fresh\n");
	relay_world_await(&w, "delivered", 1, 20000);
	assert_int_equal(sim_peer_wrong_lines(p), 0);
	assert_int_equal(relay_world_count(&w, "deferred"), 0);
	assert_false(relay_world_said(&w, "stale") || relay_world_said(&w, STALE) ||
	             relay_world_said(&w, FRESH));
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
}

static void tokens_that_are_refused_defer(void **state)
{
	struct relay_world w;
	struct sim_peer *p;

	(void)state;
	relay_world_open(&w, 8, YAML("username: app, oauth2: {token_file: /token}"), NULL);
	write_file(&w, IO_FILE_CREATE, "/token", "stale\n");
	p = next_hop(&w, OFFERS("XOAUTH2") "C: AUTH XOAUTH2 " STALE
	                                   "\nS: 334 eyJzdGF0dXMiOiI0MDAifQ==\nC:\nS: 535 5.7.8 no\n"
	                                   "C: QUIT\nS: 221 bye\n");
	send_many(&w, 3, "b@example.net");
	relay_world_await(&w, "deferred", 3, 20000);
	assert_int_equal(relay_world_count(&w, "bounced"), 0);
	assert_int_equal(logins_at(p), 1);
	assert_true(relay_world_said(&w, "\"reason\":\"auth\""));
	assert_false(relay_world_said(&w, STALE));
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
}

/* Ten connections are wanted at once, and one finds out for all. */
static void one_connection_finds_out(void **state)
{
	struct relay_world w;
	struct sim_peer *p;

	(void)state;
	relay_world_open(&w, 9, YAML("username: app, password: wrong one, connections: 10"), NULL);
	p = next_hop(&w, OFFERS("PLAIN") "C: AUTH PLAIN " WRONG_IR
	                                 "\nafter 10 s\nS: 535 5.7.8 no\nC: QUIT\nS: 221 bye\n");
	for (unsigned i = 0; i < 40; i++) {
		relay_world_send(&w, "a@example.com", "b@example.net", SMALL);
		sim_run(w.sim, 200);
	}
	relay_world_await(&w, "deferred", 40, 40000);
	assert_int_equal(logins_at(p), 1);
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
}

static void an_upstream_that_wants_a_login_is_a_fault_of_ours(void **state)
{
	struct relay_world w;
	struct sim_peer *p;

	(void)state;
	relay_world_open(&w, 10, YAML("verify: false"), NULL);
	p = next_hop(
		&w,
		OFFERS("PLAIN") "again:\nC: MAIL FROM:*\nC: RCPT TO:*\nC: DATA\nS: 530 5.7.0 Authentication required\n"
				"S: 503 5.5.1 no\nS: 503 5.5.1 no\nrepeat\n");
	relay_world_send(&w, "a@example.com", "b@example.net", SMALL);
	relay_world_await(&w, "deferred", 1, 20000);
	assert_int_equal(relay_world_count(&w, "bounced"), 0);
	assert_true(relay_world_said(&w, "username: and password_file:, or oauth2:"));
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
}

/* One host knows the login and the other does not: the mail goes in the same attempt, with one try at each. */
static void the_next_host_may_know_us(void **state)
{
	struct relay_world w;
	struct sim_peer *first, *second;
	struct tls_context *context;

	(void)state;
	relay_world_open(&w, 12,
	                 YAML_HEAD
	                 "upstreams: {next: {hosts: [\"10.0.0.1:25\", \"10.0.0.2:25\"], tls: require, "
	                 "username: app, password: right one}}\nroutes: [{to: any, via: next}]\n" YAML_RETRY,
	                 NULL);
	first = next_hop(&w, OFFERS("PLAIN") "C: AUTH PLAIN " RIGHT_IR
	                                     "\nS: 535 5.7.8 no\nC: QUIT\nS: 221 bye\n");
	second = relay_world_peer(&w, AT(10, 0, 0, 2, 25), LETS_IN);
	assert_int_equal(sim_tls_context(w.sim, true, false, &w.server_tls, &context), ERR_OK);
	sim_peer_use_tls(second, context);
	tls_context_unref(&context);
	relay_world_send(&w, "a@example.com", "b@example.net", SMALL);
	relay_world_await(&w, "delivered", 1, 20000);
	assert_int_equal(relay_world_count(&w, "deferred"), 0);
	assert_int_equal(logins_at(first), 1);
	assert_int_equal(logins_at(second), 1);
	stop_world(&w);
	sim_peer_free(&first);
	sim_peer_free(&second);
	end_world(&w);
}

/* Of two hosts that both fail the one that was spoken to says more. */
static void what_the_login_lacks_is_told_before_what_cannot_be_reached(void **state)
{
	struct relay_world w;
	struct sim_peer *p;

	(void)state;
	relay_world_open(&w, 16,
	                 YAML_HEAD
	                 "upstreams: {next: {hosts: [\"10.0.0.1:25\", \"10.0.0.2:25\"], tls: require, "
	                 "username: app, password: right one}}\nroutes: [{to: any, via: next}]\n" YAML_RETRY,
	                 NULL);
	p = next_hop(&w, OFFERS("GSSAPI NTLM") "C: QUIT\nS: 221 bye\n");
	relay_world_send(&w, "a@example.com", "b@example.net", SMALL);
	relay_world_await(&w, "deferred", 1, 20000);
	assert_true(relay_world_said(
		&w, "the host offers GSSAPI NTLM; what is configured can do SCRAM-SHA-256-PLUS, "));
	assert_int_equal(logins_at(p), 0);
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
}

/* And when three do not know it, the third is not asked: two refusals are all there may be. */
static void a_third_host_is_not_asked(void **state)
{
	struct sim_peer *peers[3];
	struct relay_world w;

	(void)state;
	relay_world_open(&w, 13,
	                 YAML_HEAD
	                 "upstreams: {next: {hosts: [\"10.0.0.1:25\", \"10.0.0.2:25\", \"10.0.0.3:25\"], "
	                 "tls: require, username: app, password: wrong one}}\n"
	                 "routes: [{to: any, via: next}]\n" YAML_RETRY,
	                 NULL);
	for (size_t i = 0; i < ARRAY_LEN(peers); i++) {
		struct tls_context *context;

		peers[i] = relay_world_peer(&w, AT(10, 0, 0, (unsigned char)(i + 1), 25), REFUSES);
		assert_int_equal(sim_tls_context(w.sim, true, false, &w.server_tls, &context), ERR_OK);
		sim_peer_use_tls(peers[i], context);
		tls_context_unref(&context);
	}
	relay_world_send(&w, "a@example.com", "b@example.net", SMALL);
	relay_world_await(&w, "deferred", 1, 20000);
	assert_int_equal(logins_at(peers[0]) + logins_at(peers[1]) + logins_at(peers[2]), 2);
	assert_int_equal(logins_at(peers[2]), 0);
	stop_world(&w);
	for (size_t i = 0; i < ARRAY_LEN(peers); i++)
		sim_peer_free(&peers[i]);
	end_world(&w);
}

/* Hosts that close behind a 535 are connected to again for the next mechanism. */
static void the_next_mechanism_on_another_connection(void **state)
{
	struct relay_world w;
	struct sim_peer *p;

	(void)state;
	relay_world_open(&w, 14, WITH("right one"), NULL);
	p = next_hop(&w, OFFERS("PLAIN LOGIN") "C: AUTH PLAIN " RIGHT_IR "\nS: 535 5.7.8 no\nS: drops\n");
	assert_int_equal(
		sim_peer_add_script(p, OFFERS("PLAIN LOGIN") "C: AUTH LOGIN\nS: 334 VXNlcm5hbWU6\nC: YXBw\n"
	                                                     "S: 334 UGFzc3dvcmQ6\nC: cmlnaHQgb25l\n"
	                                                     "S: 235 ok\nagain:\n" TAKES "repeat\n"),
		ERR_OK);
	relay_world_send(&w, "a@example.com", "b@example.net", SMALL);
	relay_world_await(&w, "delivered", 1, 20000);
	assert_int_equal(sim_peer_connections(p), 2);
	assert_int_equal(relay_world_count(&w, "deferred"), 0);
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
}

/* 454 says nothing of the password: the next one may be tried at once, and the destination's pause bounds it. */
static void an_upstream_that_cannot_tell_now_is_asked_again(void **state)
{
	struct relay_world w;
	struct sim_peer *p;

	(void)state;
	relay_world_open(&w, 15, WITH("right one"), NULL);
	p = next_hop(&w, OFFERS("PLAIN") "C: AUTH PLAIN " RIGHT_IR
	                                 "\nS: 454 4.7.0 not now\nC: QUIT\nS: 221 bye\n");
	assert_int_equal(sim_peer_add_script(p, LETS_IN), ERR_OK);
	send_many(&w, 5, "b@example.net");
	relay_world_await(&w, "delivered", 5, 2 * MINUTE_MS);
	assert_int_equal(relay_world_count(&w, "bounced"), 0);
	check_secrets(&w, p);
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
}

/* Two users at one upstream: the one whose password is wrong does not hold up the other. */
static void another_routes_login_goes_on(void **state)
{
	struct relay_world w;
	struct sim_peer *p;

	(void)state;
	relay_world_open(
		&w, 11,
		YAML_HEAD UPSTREAM(
			"username: app, password: right one") "routes:\n- {to: other.example, via: next, username: app, password: wrong one}\n"
							      "- {to: any, via: next}\n" YAML_RETRY,
		NULL);
	p = next_hop(&w, REFUSES);
	relay_world_send(&w, "a@example.com", "b@other.example", SMALL);
	relay_world_await(&w, "deferred", 1, 20000);
	assert_int_equal(sim_peer_add_script(p, LETS_IN), ERR_OK);
	send_many(&w, 3, "b@example.net");
	relay_world_await(&w, "delivered", 3, 20000);
	relay_world_send(&w, "a@example.com", "b@other.example", SMALL);
	relay_world_await(&w, "deferred", 2, 20000);
	assert_int_equal(count_of(sim_peer_transcript(p), WRONG_IR), 1);
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mail_goes_behind_a_login),
		cmocka_unit_test(tls_from_the_first_octet),
		cmocka_unit_test(a_wrong_password_defers_and_does_not_hammer),
		cmocka_unit_test(another_password_by_reload_is_tried_at_once),
		cmocka_unit_test(the_next_mechanism_is_taken_and_remembered),
		cmocka_unit_test(a_token_is_replaced_once_when_it_is_refused),
		cmocka_unit_test(tokens_that_are_refused_defer),
		cmocka_unit_test(one_connection_finds_out),
		cmocka_unit_test(an_upstream_that_wants_a_login_is_a_fault_of_ours),
		cmocka_unit_test(another_routes_login_goes_on),
		cmocka_unit_test(the_next_host_may_know_us),
		cmocka_unit_test(what_the_login_lacks_is_told_before_what_cannot_be_reached),
		cmocka_unit_test(a_third_host_is_not_asked),
		cmocka_unit_test(the_next_mechanism_on_another_connection),
		cmocka_unit_test(an_upstream_that_cannot_tell_now_is_asked_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
