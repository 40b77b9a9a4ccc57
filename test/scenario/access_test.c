/* Who may send, how much, and what happens to those who only want to be in the way: the whole relay, and clients from anywhere. */
#include "scripts.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../support/guest.h"

#define HEAD "hostname: relay.test\nspool: {path: /spool}\n"
#define TAIL "routes: [{to: any, via: hold}]\n"
#define LISTEN(settings) HEAD "listen: [{address: 127.0.0.1:2525, " settings "}]\n" TAIL
#define CERTIFIED "cert: /c.pem, key: /k.pem"
#define ENVELOPE_OF(from) "MAIL FROM:<" from ">\r\nRCPT TO:<b@example.net>\r\n"

/* One command, one answer: which begins with this. */
static void expect(struct guest *g, const char *words, const char *answer)
{
	const char *told = guest_say(g, words);

	if (strncmp(told, answer, strlen(answer)) != 0)
		fail_msg("%swas answered %s", words, told);
}

static void hello(struct guest *g)
{
	expect(g, "EHLO client.example\r\n", "250-relay.test\r\n");
}

static const char *send_one(struct guest *g)
{
	(void)guest_say(g, "MAIL FROM:<a@example.com>\r\n");
	(void)guest_say(g, "RCPT TO:<b@example.net>\r\n");
	(void)guest_say(g, "DATA\r\n");
	return guest_say(g, SMALL ".\r\n");
}

static void end(struct relay_world *w)
{
	relay_world_stop(w);
	relay_world_close(w);
}

/* ---------------------------------------------------------------- the door */

static void who_is_denied_hears_554_in_place_of_the_greeting(void **state)
{
	struct relay_world w;
	struct guest g;

	(void)state;
	relay_world_open(&w, 1,
	                 HEAD "listen: [{address: 127.0.0.1:2525}]\naccess: {deny: [192.0.2.0/24]}\n" TAIL,
	                 NULL);
	guest_come_from(&w, &g, guest_ip("192.0.2.7"), RELAY_AT);
	assert_true(guest_heard(&g, "554 5.7.1 relay.test does not speak to you\r\n"));
	assert_false(guest_heard(&g, "220"));
	sim_run(w.sim, 2000);
	assert_true(g.closed);
	assert_true(relay_world_said(&w, "\"rule\":\"access.deny\""));
	guest_leave(&g);
	guest_come_from(&w, &g, guest_ip("192.0.3.7"), RELAY_AT);
	assert_true(guest_heard(&g, "220 relay.test"));
	guest_leave(&g);
	end(&w);
}

static void a_flood_of_refusals_is_no_flood_of_the_log(void **state)
{
	struct relay_world w;

	(void)state;
	relay_world_open(&w, 2,
	                 HEAD "listen: [{address: 127.0.0.1:2525}]\naccess: {deny: [192.0.2.0/24]}\n" TAIL,
	                 NULL);
	for (int i = 0; i < 50; i++) {
		struct guest g;

		guest_come_from(&w, &g, guest_ip("192.0.2.7"), RELAY_AT);
		guest_cut(&g);
	}
	assert_int_equal(receive_count(server_receive(w.server)).refused_connections, 50);
	assert_in_range(relay_world_count(&w, "rejected"), 1, 10);
	end(&w);
}

#define PROXIED LISTEN("proxy_protocol: [10.1.0.0/16], allow: [192.0.2.0/24], per_client: {sessions: 1}")
#define PROXY_IP "10.1.0.1"

static void come_by_proxy(struct relay_world *w, struct guest *g, const char *header)
{
	guest_come_from(w, g, guest_ip(PROXY_IP), RELAY_AT);
	assert_false(guest_heard(g, "220"));
	(void)guest_say(g, header);
}

static void the_client_is_whom_the_proxy_names(void **state)
{
	struct relay_world w;
	struct guest g, other;

	(void)state;
	relay_world_open(&w, 3, PROXIED, NULL);
	come_by_proxy(&w, &g, "PROXY TCP4 192.0.2.9 127.0.0.1 4711 25\r\n");
	assert_true(guest_heard(&g, "220 relay.test"));
	hello(&g);
	assert_non_null(strstr(send_one(&g), "250 2.0.0 queued"));
	assert_true(relay_world_said(&w, "\"client\":{\"ip\":\"192.0.2.9\",\"helo\":\"client.example\""));
	assert_true(relay_world_said(&w, "\"via\":\"" PROXY_IP "\""));
	/* limits count for the client, not for the proxy */
	come_by_proxy(&w, &other, "PROXY TCP4 192.0.2.9 127.0.0.1 4712 25\r\n");
	assert_true(guest_heard(&other, "421 4.7.0"));
	guest_leave(&other);
	come_by_proxy(&w, &other, "PROXY TCP4 203.0.113.9 127.0.0.1 4712 25\r\n");
	assert_true(guest_heard(&other, "220"));
	hello(&other);
	expect(&other, "MAIL FROM:<a@example.com>\r\n", "250");
	expect(&other, "RCPT TO:<b@example.net>\r\n", "550 5.7.1");
	guest_leave(&other);
	guest_leave(&g);
	end(&w);
}

static void whom_nobody_speaks_to_cannot_come_by_a_proxy(void **state)
{
	struct relay_world w;
	struct guest g;

	(void)state;
	relay_world_open(&w, 8,
	                 HEAD "listen: [{address: 127.0.0.1:2525, proxy_protocol: [10.1.0.0/16]}]\n"
	                      "access: {deny: [192.0.2.0/24]}\n" TAIL,
	                 NULL);
	come_by_proxy(&w, &g, "PROXY TCP4 192.0.2.9 127.0.0.1 4711 25\r\n");
	assert_true(guest_heard(&g, "554 5.7.1 relay.test does not speak to you\r\n"));
	assert_false(guest_heard(&g, "220"));
	assert_true(relay_world_said(&w, "\"client\":{\"ip\":\"192.0.2.9\""));
	guest_leave(&g);
	end(&w);
}

static void a_flood_of_one_client_is_no_flood_of_the_log(void **state)
{
	struct relay_world w;
	struct guest in, g;

	(void)state;
	relay_world_open(&w, 9, LISTEN("per_client: {sessions: 1}"), NULL);
	guest_come(&w, &in);
	for (int i = 0; i < 50; i++) {
		guest_come(&w, &g);
		assert_true(guest_heard(&g, "421 4.7.0"));
		guest_cut(&g);
	}
	assert_in_range(relay_world_count(&w, "rejected"), 1, 3);
	guest_leave(&in);
	end(&w);
}

/* A header and the first command in one segment; the answer to it comes behind the greeting. */
static void what_follows_a_proxy_header_is_the_clients(void **state)
{
	struct relay_world w;
	struct guest g;

	(void)state;
	relay_world_open(&w, 4, PROXIED, NULL);
	come_by_proxy(&w, &g, "PROXY TCP4 192.0.2.9 127.0.0.1 4711 25\r\nNOOP\r\nQUIT\r\n");
	assert_true(guest_heard(&g, "220 relay.test ESMTP postrider\r\n250 2.0.0 Ok\r\n221 2.0.0"));
	guest_leave(&g);
	end(&w);
}

static void a_proxy_may_speak_for_itself(void **state)
{
	static const char local[] = "\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00";
	struct relay_world w;
	struct guest g;

	(void)state;
	relay_world_open(&w, 5, PROXIED, NULL);
	come_by_proxy(&w, &g, "PROXY UNKNOWN\r\n");
	assert_true(guest_heard(&g, "220"));
	guest_leave(&g);
	guest_come_from(&w, &g, guest_ip(PROXY_IP), RELAY_AT);
	guest_put(&g, text_of(local, sizeof(local) - 1));
	sim_run(w.sim, 100);
	assert_true(guest_heard(&g, "220"));
	hello(&g);
	expect(&g, "MAIL FROM:<a@example.com>\r\n", "250");
	expect(&g, "RCPT TO:<b@example.net>\r\n", "550 5.7.1"); /* its own address is in no `allow` */
	guest_leave(&g);
	end(&w);
}

static void whoever_must_say_for_whom_it_speaks_has_to_do_so_soon(void **state)
{
	struct relay_world w;
	struct guest g;

	(void)state;
	relay_world_open(&w, 6, PROXIED, NULL);
	guest_come_from(&w, &g, guest_ip(PROXY_IP), RELAY_AT);
	(void)guest_say(&g, "PROXY TCP4 192.0");
	sim_run(w.sim, 4000);
	assert_false(g.closed);
	sim_run(w.sim, 2000);
	assert_true(g.closed && g.told.len == 1);
	assert_true(relay_world_said(&w, "no whole PROXY header came in time"));
	assert_int_equal(receive_count(server_receive(w.server)).sessions, 0);
	guest_leave(&g);
	come_by_proxy(&w, &g, "EHLO client.example\r\n");
	assert_true(g.closed && g.told.len == 1);
	guest_leave(&g);
	end(&w);
}

static void a_proxy_header_of_anybody_else_is_no_header(void **state)
{
	struct relay_world w;
	struct guest g;

	(void)state;
	relay_world_open(&w, 7, PROXIED, NULL);
	guest_come_from(&w, &g, guest_ip("203.0.113.1"), RELAY_AT);
	assert_true(guest_heard(&g, "220"));
	expect(&g, "PROXY TCP4 192.0.2.9 127.0.0.1 4711 25\r\n", "500 5.5.2");
	hello(&g);
	expect(&g, "MAIL FROM:<a@example.com>\r\n", "250");
	expect(&g, "RCPT TO:<b@example.net>\r\n", "550 5.7.1");
	guest_leave(&g);
	end(&w);
}

/* ---------------------------------------------------------------- TLS at the door */

#define IMPLICIT LISTEN("tls: implicit, " CERTIFIED ", timeout: 5m")

static void under_implicit_tls_the_greeting_comes_after_the_handshake(void **state)
{
	struct relay_world w;
	struct guest g;

	(void)state;
	relay_world_open(&w, 10, IMPLICIT, NULL);
	guest_come(&w, &g);
	assert_int_equal(g.told.len, 0);
	guest_start_tls(&g);
	assert_true(g.protected && guest_heard(&g, "220 relay.test"));
	(void)guest_say(&g, "EHLO client.example\r\n");
	assert_true(guest_heard(&g, "250-PIPELINING") && !guest_heard(&g, "STARTTLS"));
	expect(&g, "STARTTLS\r\n", "503 5.5.1");
	assert_non_null(strstr(send_one(&g), "250 2.0.0 queued"));
	assert_true(relay_world_said(&w, "\"protocol\":\"ESMTPS\""));
	guest_leave(&g);
	end(&w);
}

static void plain_text_where_tls_is_expected_is_told_so(void **state)
{
	struct relay_world w;
	struct guest g;

	(void)state;
	relay_world_open(&w, 11, IMPLICIT, NULL);
	guest_come(&w, &g);
	expect(&g, "EHLO client.example\r\n", "554 5.5.0 relay.test speaks TLS from the first octet");
	sim_run(w.sim, 2000);
	assert_true(g.closed);
	assert_true(relay_world_said(&w, "\"reason\":\"tls\",\"rule\":\"listen.tls\""));
	guest_leave(&g);
	/* as a client does that waits for a greeting */
	guest_come(&w, &g);
	sim_run(w.sim, 29000);
	assert_false(g.closed);
	sim_run(w.sim, 3000);
	assert_true(g.closed && guest_heard(&g, "421 4.4.2 relay.test waited for a TLS handshake"));
	guest_leave(&g);
	end(&w);
}

static void a_handshake_that_stops_half_way_is_cut(void **state)
{
	struct relay_world w;
	struct guest g;

	(void)state;
	relay_world_open(&w, 12, IMPLICIT, NULL);
	guest_come(&w, &g);
	guest_put(&g, TEXT("\x16SI"));
	sim_run(w.sim, 29000);
	assert_false(g.closed);
	sim_run(w.sim, 3000);
	assert_true(g.closed && g.told.len == 0);
	assert_true(relay_world_said(&w, "the handshake took too long"));
	guest_leave(&g);
	end(&w);
}

static void a_tls_client_on_the_plain_port_is_told_so(void **state)
{
	struct relay_world w;
	struct guest g;

	(void)state;
	relay_world_open(&w, 13, LISTEN(CERTIFIED), NULL);
	guest_come(&w, &g);
	expect(&g, "\x16\x03\x01\x02", "554 5.5.0 This port does not speak TLS from the first octet");
	sim_run(w.sim, 2000);
	assert_true(g.closed);
	assert_true(relay_world_said(&w, "does not speak TLS from the first octet"));
	guest_leave(&g);
	end(&w);
}

/* The handshake begins in the same segment as the header. */
static void a_proxy_header_comes_before_implicit_tls(void **state)
{
	static const struct sim_tls_script script;
	struct text header = TEXT("PROXY TCP4 192.0.2.9 127.0.0.1 4711 25\r\n");
	struct relay_world w;
	struct guest g;

	(void)state;
	relay_world_open(
		&w, 14,
		LISTEN("tls: implicit, " CERTIFIED ", proxy_protocol: [10.1.0.0/16], allow: [192.0.2.0/24]"),
		NULL);
	guest_come_from(&w, &g, guest_ip(PROXY_IP), RELAY_AT);
	guest_put(&g, header);
	guest_start_tls(&g);
	assert_true(g.protected && guest_heard(&g, "220"));
	hello(&g);
	assert_non_null(strstr(send_one(&g), "250 2.0.0 queued"));
	guest_leave(&g);
	assert_int_equal(sim_tls_context(w.sim, false, false, &script, &g.tls), ERR_OK);
	tls_context_unref(&g.tls);
	end(&w);
}

static void a_stop_does_not_wait_for_handshakes(void **state)
{
	struct relay_world w;
	struct guest half, silent, proxy, starting;
	int64_t began_at;

	(void)state;
	relay_world_open(&w, 15,
	                 HEAD "listen:\n"
	                      "  - {address: 127.0.0.1:2525, tls: implicit, " CERTIFIED
	                      ", proxy_protocol: [10.1.0.0/16]}\n"
	                      "  - {address: 127.0.0.1:2526, " CERTIFIED "}\nstop: {linger: 10m}\n" TAIL,
	                 NULL);
	guest_come(&w, &half);
	guest_put(&half, TEXT("\x16SI"));
	guest_come(&w, &silent);
	guest_come_from(&w, &proxy, guest_ip(PROXY_IP), RELAY_AT);
	guest_come_from(&w, &starting, guest_ip("127.0.0.1"), AT(127, 0, 0, 1, 2526));
	expect(&starting, "EHLO c\r\n", "250");
	expect(&starting, "STARTTLS\r\n", "220");
	assert_int_equal(receive_count(server_receive(w.server)).sessions, 4);
	began_at = io_now_at(sim_io(w.sim));
	relay_world_stop(&w);
	assert_in_range(io_now_at(sim_io(w.sim)) - began_at, 0, 5000);
	guest_leave(&half);
	guest_leave(&silent);
	guest_leave(&proxy);
	guest_leave(&starting);
	relay_world_close(&w);
}

/* ---------------------------------------------------------------- logins */

/* Passwords are "secret". */
#define HASH \
	"$6$rounds=1000$abcdefgh$nhYjN017qxiYztzyUpZtPnUQcnLy62KsunSLHNeLahp2EHPlAKmFFlrjEwSXGo2kgY5hR2.peKEg2VGUqIJJu1"
#define PLAIN_ANN "AUTH PLAIN AGFubgBzZWNyZXQ=\r\n"
#define PLAIN_BOB "AUTH PLAIN AGJvYgBzZWNyZXQ=\r\n"
#define PLAIN_WRONG "AUTH PLAIN AGFubgB3cm9uZw==\r\n"

static char users_path[64];
static char yaml_room[4096];

static const char *with_users(const char *listener, const char *access)
{
	static const char users[] = "ann:" HASH ":ann@example.com,.lists.example.com\nbob:" HASH "\n";
	FILE *f;
	int fd;

	snprintf(users_path, sizeof(users_path), "access_test_users_XXXXXX");
	fd = mkstemp(users_path);
	assert_true(fd >= 0);
	f = fdopen(fd, "w");
	assert_true(f && fwrite(users, 1, sizeof(users) - 1, f) == sizeof(users) - 1 && fclose(f) == 0);
	snprintf(yaml_room, sizeof(yaml_room),
	         HEAD
	         "listen: [{address: 127.0.0.1:2525, allow: [], auth: optional, auth_plaintext: true, %s}]\n"
	         "access: {users_file: %s, %s}\n" TAIL,
	         listener, users_path, access);
	return yaml_room;
}

static void come_and_greet(struct relay_world *w, struct guest *g, const char *from)
{
	guest_come_from(w, g, guest_ip(from), RELAY_AT);
	hello(g);
}

static void a_login_makes_a_stranger_a_user(void **state)
{
	struct relay_world w;
	struct guest g;

	(void)state;
	relay_world_open(&w, 20, with_users("max_errors: 20", ""), NULL);
	come_and_greet(&w, &g, "203.0.113.1");
	expect(&g, "MAIL FROM:<bob@example.com>\r\n", "250");
	expect(&g, "RCPT TO:<b@example.net>\r\n", "550 5.7.1");
	expect(&g, "RSET\r\n", "250");
	guest_put(&g, TEXT(PLAIN_WRONG));
	sim_run(w.sim, 20000);
	assert_true(guest_heard(&g, "535 5.7.8"));
	expect(&g, PLAIN_BOB, "235 2.7.0");
	expect(&g, PLAIN_BOB, "503 5.5.1");
	assert_non_null(strstr(send_one(&g), "250 2.0.0 queued"));
	assert_true(relay_world_said(&w, "\"protocol\":\"ESMTPA\""));
	assert_true(relay_world_said(&w, "\"user\":\"bob\""));
	assert_int_equal(relay_world_count(&w, "auth"), 2);
	assert_false(relay_world_said(&w, "secret") || relay_world_said(&w, "wrong\"") ||
	             relay_world_said(&w, "AGJvYgBz"));
	assert_int_equal(observe_counters(w.observe)->auth_attempts[COUNTER_AUTH_SUCCEEDED], 1);
	assert_int_equal(observe_counters(w.observe)->auth_attempts[COUNTER_AUTH_FAILED], 1);
	guest_leave(&g);
	end(&w);
	unlink(users_path);
}

static void commands_behind_auth_wait_for_its_end(void **state)
{
	struct relay_world w;
	struct guest g;

	(void)state;
	relay_world_open(&w, 21, with_users("max_errors: 20", ""), NULL);
	come_and_greet(&w, &g, "203.0.113.1");
	(void)guest_say(&g, PLAIN_BOB ENVELOPE_OF("bob@example.com") "NOOP\r\n");
	assert_true(guest_heard(
		&g,
		"235 2.7.0 Authentication successful\r\n250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n250 2.0.0 Ok\r\n"));
	guest_leave(&g);
	end(&w);
	unlink(users_path);
}

static void where_a_login_is_required_nobody_sends_without(void **state)
{
	struct relay_world w;
	struct guest g;

	(void)state;
	relay_world_open(&w, 22, with_users("max_errors: 20", ""), NULL);
	assert_int_equal(
		relay_world_reload(&w, HEAD
	                           "listen: [{address: 127.0.0.1:2525, allow: [127.0.0.0/8], auth: required, "
	                           "auth_plaintext: true}]\naccess: {users_file: none}\n" TAIL),
		ERR_CONFIG);
	snprintf(
		yaml_room, sizeof(yaml_room),
		HEAD
		"listen: [{address: 127.0.0.1:2525, allow: [127.0.0.0/8], auth: required, auth_plaintext: true}]\n"
		"access: {users_file: %s}\n" TAIL,
		users_path);
	assert_int_equal(relay_world_reload(&w, yaml_room), ERR_OK);
	come_and_greet(&w, &g, "127.0.0.1"); /* also from a network in `allow` */
	expect(&g, "MAIL FROM:<a@example.com>\r\n", "530 5.7.0 Log in first: AUTH");
	expect(&g, PLAIN_BOB, "235");
	expect(&g, "MAIL FROM:<a@example.com>\r\n", "250");
	guest_leave(&g);
	end(&w);
	unlink(users_path);
}

static void a_user_sends_only_as_the_senders_of_its_line(void **state)
{
	static const struct {
		const char *header;
		const char *answer;
	} messages[] = {
		{ "From: ann@example.com\r\n", "250" },
		{ "From: \"Ann, of course\" <ANN@example.com> (me)\r\n", "250" },
		{ "From: ann@example.com, all@x.lists.example.com\r\n", "250" },
		{ "Subject: from nobody\r\n", "250" },
		{ "From: bob@example.com\r\n", "550 5.7.1 The From" },
		{ "From: ann@example.com, bob@example.com\r\n", "550 5.7.1 The From" },
		{ "From: ann@example.com\r\n <bob@example.com>\r\n", "550 5.7.1 The From" },
		{ "From: \"ann@example.com\" <bob@example.com>\r\n", "550 5.7.1 The From" },
		{ "From: ann@example.com\r\nFrom: ann@example.com\r\n",
		  "550 5.7.1 The header has more than one From" },
		{ "From: ann@example.com\r\nSender: bob@example.com\r\n", "550 5.7.1 The Sender" },
		{ "From: ann@example.com <\r\n", "550 5.7.1 The From of the header is no list" },
		{ "no field\r\nFrom: bob@example.com\r\n", "550 5.7.1 The header cannot be read" },
		{ "FROM : bob@example.com\r\n", "550 5.7.1 The From" },
	};
	struct relay_world w;
	struct guest g;

	(void)state;
	relay_world_open(&w, 23, with_users("max_errors: 100", ""), NULL);
	come_and_greet(&w, &g, "203.0.113.1");
	expect(&g, PLAIN_ANN, "235");
	expect(&g, "MAIL FROM:<bob@example.com>\r\n",
	       "550 5.7.1 bob@example.com is no sender that your login may use");
	for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++) {
		char words[512];

		expect(&g, "MAIL FROM:<ann@example.com>\r\n", "250");
		expect(&g, "RCPT TO:<b@example.net>\r\n", "250");
		expect(&g, "DATA\r\n", "354");
		snprintf(words, sizeof(words), "%s\r\nx\r\n.\r\n", messages[i].header);
		expect(&g, words, messages[i].answer);
	}
	expect(&g, "MAIL FROM:<>\r\n", "250"); /* the null reverse-path is everybody's */
	guest_leave(&g);
	end(&w);
	unlink(users_path);
}

static void quotas_of_a_user_hold_over_all_their_windows(void **state)
{
	struct relay_world w;
	struct guest g;

	(void)state;
	relay_world_open(&w, 24, with_users("timeout: 1h", "quotas: {per_user: [3/min, 5/h]}"), NULL);
	come_and_greet(&w, &g, "203.0.113.1");
	expect(&g, PLAIN_BOB, "235");
	for (int i = 0; i < 3; i++)
		assert_non_null(strstr(send_one(&g), "250 2.0.0 queued"));
	expect(&g, "MAIL FROM:<a@example.com>\r\n", "250");
	expect(&g, "RCPT TO:<b@example.net>\r\n",
	       "452 4.7.1 b@example.net is one recipient too many for your login, come back in");
	assert_true(guest_heard(&g, "(access.quotas.per_user)"));
	expect(&g, "RSET\r\n", "250");
	sim_run(w.sim, 70 * SECOND_MS);
	/* what was refused or given up is not counted */
	for (int i = 0; i < 3; i++) {
		expect(&g, "MAIL FROM:<a@example.com>\r\n", "250");
		expect(&g, "RCPT TO:<b@example.net>\r\n", "250");
		expect(&g, "RSET\r\n", "250");
	}
	for (int i = 0; i < 2; i++)
		assert_non_null(strstr(send_one(&g), "250 2.0.0 queued"));
	sim_run(w.sim, 70 * SECOND_MS);
	expect(&g, "MAIL FROM:<a@example.com>\r\n", "250");
	expect(&g, "RCPT TO:<b@example.net>\r\n", "452 4.7.1");
	expect(&g, "RSET\r\n", "250");
	/* a reload forgets nothing */
	assert_int_equal(relay_world_reload(&w, yaml_room), ERR_OK);
	expect(&g, "MAIL FROM:<a@example.com>\r\n", "250");
	expect(&g, "RCPT TO:<b@example.net>\r\n", "452 4.7.1");
	expect(&g, "QUIT\r\n", "221");
	sim_run(w.sim, 70 * MINUTE_MS);
	guest_leave(&g);
	come_and_greet(&w, &g, "203.0.113.1");
	expect(&g, PLAIN_BOB, "235");
	assert_non_null(strstr(send_one(&g), "250 2.0.0 queued"));
	guest_leave(&g);
	end(&w);
	unlink(users_path);
}

/* ---------------------------------------------------------------- rates */

static void quotas_of_senders_and_networks_are_counted_apart(void **state)
{
	struct relay_world w;
	struct guest g;

	(void)state;
	relay_world_open(
		&w, 30,
		HEAD
		"listen: [{address: 127.0.0.1:2525, allow: [0.0.0.0/0]}]\n"
		"access: {quotas: {per_sender: [1/h], per_network: [2/h]}, recipients: [example.net]}\n" TAIL,
		NULL);
	come_and_greet(&w, &g, "192.0.2.1");
	expect(&g, ENVELOPE_OF("a@example.com"), "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n");
	expect(&g, "RCPT TO:<c@example.net>\r\n",
	       "452 4.7.1 c@example.net is one recipient too many for this sender");
	expect(&g, "DATA\r\n", "354");
	expect(&g, SMALL ".\r\n", "250");
	expect(&g, ENVELOPE_OF("A@Example.COM"), "250 2.1.0 Ok\r\n452 4.7.1"); /* the same mailbox */
	expect(&g, "RSET\r\n", "250");
	guest_leave(&g);
	come_and_greet(&w, &g, "192.0.2.200"); /* the same network, another sender */
	expect(&g, ENVELOPE_OF("b@example.com"), "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n");
	expect(&g, "DATA\r\n", "354");
	expect(&g, SMALL ".\r\n", "250");
	expect(&g, ENVELOPE_OF("c@example.com"),
	       "250 2.1.0 Ok\r\n452 4.7.1 b@example.net is one recipient too many for your network");
	guest_leave(&g);
	come_and_greet(&w, &g, "192.0.3.1");
	expect(&g, ENVELOPE_OF("c@example.com"), "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n");
	guest_leave(&g);
	end(&w);
}

static void a_client_has_its_rates_over_all_its_connections(void **state)
{
	struct relay_world w;
	struct guest g;

	(void)state;
	relay_world_open(
		&w, 31,
		LISTEN("allow: [192.0.2.1], per_client: {connections: 3/min, messages: 2/min, recipients: 4/min}"),
		NULL);
	come_and_greet(&w, &g, "192.0.2.1");
	expect(&g, ENVELOPE_OF("a@example.com"), "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n");
	expect(&g, "RCPT TO:<c@example.net>\r\nRCPT TO:<d@example.net>\r\n",
	       "250 2.1.5 Ok\r\n250 2.1.5 Ok\r\n");
	guest_leave(&g); /* what was tried counts, whatever became of it */
	come_and_greet(&w, &g, "192.0.2.1");
	expect(&g, ENVELOPE_OF("a@example.com"), "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n");
	expect(&g, "RCPT TO:<c@example.net>\r\n",
	       "450 4.7.1 c@example.net is one recipient too many from you, come back in");
	expect(&g, "RSET\r\n", "250");
	expect(&g, "MAIL FROM:<a@example.com>\r\n", "450 4.7.1 Too much mail from you, come back in");
	assert_true(guest_heard(&g, "(listen.per_client.messages)"));
	guest_cut(&g);
	guest_come_from(&w, &g, guest_ip("192.0.2.1"), RELAY_AT);
	assert_true(guest_heard(&g, "220"));
	guest_cut(&g);
	guest_come_from(&w, &g, guest_ip("192.0.2.1"), RELAY_AT);
	assert_true(
		guest_heard(&g, "421 4.7.0 relay.test has had too many connections from you, come back in"));
	assert_true(guest_heard(&g, "(listen.per_client.connections)"));
	guest_leave(&g);
	sim_run(w.sim, 70 * SECOND_MS);
	come_and_greet(&w, &g, "192.0.2.1");
	assert_non_null(strstr(send_one(&g), "250 2.0.0 queued"));
	guest_leave(&g);
	end(&w);
}

static void clients_of_ipv6_are_counted_by_their_64(void **state)
{
	struct relay_world w;
	struct guest a, b, c;
	struct ip_port at = RELAY_AT;

	(void)state;
	relay_world_open(&w, 32, LISTEN("per_client: {sessions: 1}"), NULL);
	guest_come_from(&w, &a, guest_ip("2001:db8:1:2::1"), at);
	assert_true(guest_heard(&a, "220"));
	guest_come_from(&w, &b, guest_ip("2001:db8:1:2:ffff::1"), at);
	assert_true(guest_heard(&b, "421"));
	guest_come_from(&w, &c, guest_ip("2001:db8:1:3::1"), at);
	assert_true(guest_heard(&c, "220"));
	guest_leave(&a);
	guest_leave(&b);
	guest_leave(&c);
	end(&w);
}

/* Strangers from one place may fill nearly all of the door, but not the last of it. */
static void one_flooding_stranger_leaves_room_for_others(void **state)
{
	enum { PLACES = 64 };
	struct relay_world w;
	struct guest g[PLACES];
	struct guest other;
	unsigned admitted = 0;

	(void)state;
	relay_world_open(&w, 33, LISTEN("max_sessions: 64, allow: [127.0.0.1]"), NULL);
	for (unsigned i = 0; i < PLACES; i++) {
		guest_come_from(&w, &g[i], guest_ip("203.0.113.1"), RELAY_AT);
		admitted += guest_heard(&g[i], "220");
	}
	assert_in_range(admitted, PLACES - PLACES / 8, PLACES - 1);
	guest_come_from(&w, &other, guest_ip("198.51.100.1"), RELAY_AT);
	assert_true(guest_heard(&other, "220"));
	guest_leave(&other);
	for (unsigned i = 0; i < PLACES; i++) {
		guest_cut(&g[i]);
	}
	end(&w);
}

/* ---------------------------------------------------------------- in the way */

static void open_data(struct guest *g)
{
	hello(g);
	expect(g, "MAIL FROM:<a@example.com>\r\n", "250");
	expect(g, "RCPT TO:<b@example.net>\r\n", "250");
	expect(g, "DATA\r\n", "354");
}

static void content_that_trickles_is_cut_off(void **state)
{
	struct relay_world w;
	struct guest g;

	(void)state;
	relay_world_open(&w, 40, LISTEN("timeout: 2m"), NULL);
	guest_come(&w, &g);
	open_data(&g);
	for (int i = 0; i < 10 && !g.closed; i++) {
		guest_put(&g, TEXT("x"));
		sim_run(w.sim, 20 * SECOND_MS);
	}
	assert_true(g.closed && guest_heard(&g, "421 4.4.2"));
	guest_leave(&g);
	end(&w);
}

static void content_that_is_slow_and_steady_is_not(void **state)
{
	struct relay_world w;
	struct guest g;

	(void)state;
	relay_world_open(&w, 41, LISTEN("timeout: 2m"), NULL);
	guest_come(&w, &g);
	open_data(&g);
	for (int i = 0; i < 60; i++) {
		for (int n = 0; n < 48; n++)
			guest_put(
				&g,
				TEXT("one hundred and twenty-eight octets make a line of this content, which takes its time but "
			             "comes, and comes, and comes.......\r\n"));
		sim_run(w.sim, MINUTE_MS);
		assert_false(g.closed);
	}
	expect(&g, ".\r\n", "250");
	guest_leave(&g);
	end(&w);
}

static void a_line_without_end_is_silence(void **state)
{
	struct relay_world w;
	struct guest g;

	(void)state;
	relay_world_open(&w, 42, LISTEN("timeout: 2m"), NULL);
	guest_come(&w, &g);
	for (int i = 0; i < 10 && !g.closed; i++) {
		/* however much of it there is */
		for (int n = 0; n < 3000 && !g.closed; n++)
			guest_put(&g, TEXT("xxxxxxxxxx"));
		sim_run(w.sim, 20 * SECOND_MS);
	}
	assert_true(g.closed && guest_heard(&g, "421 4.4.2"));
	guest_leave(&g);
	end(&w);
}

static void commands_that_lead_nowhere_end_the_session(void **state)
{
	struct relay_world w;
	struct guest g;
	unsigned answers = 0;

	(void)state;
	relay_world_open(&w, 43, LISTEN("max_errors: 10"), NULL);
	guest_come(&w, &g);
	hello(&g);
	for (int i = 0; i < 1000 && !g.closed; i++) {
		guest_put(&g, TEXT("NOOP\r\n"));
		sim_run(w.sim, 10);
	}
	sim_run(w.sim, 2000);
	assert_true(g.closed && guest_heard(&g, "421 4.7.0 Too many errors"));
	for (size_t i = 0; i < g.told.len; i++)
		answers += g.told.at[i] == '\n';
	assert_in_range(answers, 100, 130);
	guest_leave(&g);
	end(&w);
}

static void mail_makes_up_for_commands_that_led_nowhere(void **state)
{
	struct relay_world w;
	struct guest g;

	(void)state;
	relay_world_open(&w, 44, LISTEN("max_errors: 10"), NULL);
	guest_come(&w, &g);
	hello(&g);
	for (int i = 0; i < 5; i++) {
		for (int n = 0; n < 80; n++)
			guest_put(&g, TEXT("RSET\r\n"));
		assert_non_null(strstr(send_one(&g), "250 2.0.0 queued"));
	}
	guest_leave(&g);
	end(&w);
}

static int64_t time_to_err_out(struct relay_world *w, const char *from)
{
	struct guest g;
	int64_t began_at;

	guest_come_from(w, &g, guest_ip(from), RELAY_AT);
	began_at = io_now_at(sim_io(w->sim));
	for (int i = 0; i < 10; i++)
		guest_put(&g, TEXT("FOO\r\n"));
	while (!g.closed)
		sim_run(w->sim, 100);
	assert_true(guest_heard(&g, "421 4.7.0 Too many errors"));
	began_at = io_now_at(sim_io(w->sim)) - began_at;
	guest_leave(&g);
	return began_at;
}

static void strangers_who_err_get_slower_and_friends_do_not(void **state)
{
	struct relay_world w;

	(void)state;
	relay_world_open(&w, 45, LISTEN("max_errors: 10"), NULL);
	assert_in_range(time_to_err_out(&w, "127.0.0.1"), 0, 3000);
	assert_in_range(time_to_err_out(&w, "203.0.113.1"), 5000, 20000);
	end(&w);
}

static void a_stranger_who_does_not_wait_is_not_listened_to(void **state)
{
	struct relay_world w;
	struct guest g;

	(void)state;
	relay_world_open(&w, 46, LISTEN("allow: [127.0.0.1], accept_for: [example.net]"), NULL);
	guest_come_from(&w, &g, guest_ip("203.0.113.1"), RELAY_AT);
	guest_put(&g, TEXT("EHLO c\r\nMAIL FROM:<a@example.com>\r\n"));
	sim_run(w.sim, 2000);
	/* octets may come in pieces: when they did, the answer to EHLO was there in time */
	assert_true(guest_heard(&g, "554 5.5.0 You did not wait") || guest_heard(&g, "250 2.1.0"));
	guest_leave(&g);
	/* but an impatient farewell is fine */
	guest_come_from(&w, &g, guest_ip("203.0.113.1"), RELAY_AT);
	expect(&g, "EHLO c\r\nQUIT\r\n", "250-");
	assert_true(guest_heard(&g, "221"));
	guest_leave(&g);
	end(&w);
}

/* ---------------------------------------------------------------- overload */

static void under_pressure_nothing_new_begins(void **state)
{
	struct relay_world w;
	struct guest in, late;

	(void)state;
	relay_world_open(&w, 50, LISTEN(CERTIFIED), NULL);
	guest_come(&w, &in);
	open_data(&in);
	receive_set_pressure(server_receive(w.server), RECEIVE_UNDER_PRESSURE);
	guest_come(&w, &late);
	assert_true(guest_heard(&late, "421 4.3.2 relay.test is short of memory"));
	guest_leave(&late);
	expect(&in, SMALL ".\r\n", "250 2.0.0 queued"); /* what is under way goes on */
	expect(&in, "MAIL FROM:<a@example.com>\r\n", "452 4.3.1 Short of memory");
	expect(&in, "STARTTLS\r\n", "454 4.3.1");
	receive_set_pressure(server_receive(w.server), RECEIVE_AT_EASE);
	expect(&in, "MAIL FROM:<a@example.com>\r\n", "250");
	guest_leave(&in);
	end(&w);
}

static void a_queue_that_is_long_enough_takes_no_more(void **state)
{
	struct relay_world w;
	struct guest g;

	(void)state;
	relay_world_open(
		&w, 51,
		"hostname: relay.test\nspool: {path: /spool, max_messages: 2}\nlisten: [{address: 127.0.0.1:2525}]\n" TAIL,
		NULL);
	guest_come(&w, &g);
	hello(&g);
	assert_non_null(strstr(send_one(&g), "250 2.0.0 queued"));
	assert_non_null(strstr(send_one(&g), "250 2.0.0 queued"));
	expect(&g, "MAIL FROM:<a@example.com>\r\n", "452 4.3.1 Too many messages wait here already");
	assert_true(guest_heard(&g, "(spool.max_messages)"));
	guest_leave(&g);
	end(&w);
}

/* ---------------------------------------------------------------- a door that moves */

static void a_listener_moves_from_all_addresses_to_one_and_back(void **state)
{
	static const char wide[] =
		HEAD "listen: [{name: door, address: 0.0.0.0:2525, allow: [127.0.0.0/8]}]\n" TAIL;
	static const char narrow[] = HEAD "listen: [{name: door, address: 127.0.0.1:2525}]\n" TAIL;
	struct relay_world w;
	struct guest g, other;

	(void)state;
	relay_world_open(&w, 55, wide, NULL);
	guest_come(&w, &g);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(relay_world_reload(&w, narrow), ERR_OK);
		guest_come(&w, &other);
		assert_true(guest_heard(&other, "220"));
		guest_leave(&other);
		assert_int_equal(relay_world_reload(&w, wide), ERR_OK);
		guest_come(&w, &other);
		assert_true(guest_heard(&other, "220"));
		guest_leave(&other);
	}
	expect(&g, "NOOP\r\n", "250"); /* who is in stays */
	guest_leave(&g);
	end(&w);
}

/* Two reloads take the listener and its configuration away while clients stand in every door of it. */
static void whoever_stands_in_a_door_that_goes_is_served_or_cut(void **state)
{
	static const char first[] =
		HEAD "listen: [{address: 127.0.0.1:2525, tls: implicit, " CERTIFIED
		     ", proxy_protocol: [10.1.0.0/16],"
		     " per_client: {sessions: 2}}, {address: 127.0.0.1:2526, timeout: 2m}]\n" TAIL;
	static const char other[] = HEAD "listen: [{address: 127.0.0.1:2527}]\n" TAIL;
	static const char third[] = HEAD "listen: [{address: 127.0.0.1:2528}]\n" TAIL;
	struct relay_world w;
	struct guest proxy, hello_waits, half, data, early;

	(void)state;
	relay_world_open(&w, 56, first, NULL);
	guest_come_from(&w, &proxy, guest_ip(PROXY_IP), RELAY_AT);
	guest_come(&w, &hello_waits);
	guest_come(&w, &half);
	guest_put(&half, TEXT("\x16SI"));
	guest_come_from(&w, &data, guest_ip("127.0.0.1"), AT(127, 0, 0, 1, 2526));
	open_data(&data);
	guest_come_from(&w, &early, guest_ip("127.0.0.1"), AT(127, 0, 0, 1, 2526));
	assert_int_equal(relay_world_reload(&w, first), ERR_OK);
	assert_int_equal(relay_world_reload(&w, other), ERR_OK);
	assert_int_equal(relay_world_reload(&w, third), ERR_OK);
	guest_put(&proxy, TEXT("PROXY TCP4 192.0.2.9 127.0.0.1 4711 25\r\n"));
	guest_start_tls(&proxy);
	assert_true(proxy.protected && guest_heard(&proxy, "220"));
	guest_start_tls(&hello_waits);
	assert_true(hello_waits.protected && guest_heard(&hello_waits, "220"));
	guest_put(&half, TEXT("M+OK\n"));
	expect(&data, SMALL ".\r\n", "250 2.0.0 queued");
	expect(&early, "EHLO c\r\n", "250");
	sim_run(w.sim, 20 * MINUTE_MS);
	assert_true(proxy.closed && hello_waits.closed && half.closed && data.closed && early.closed);
	assert_int_equal(receive_count(server_receive(w.server)).sessions, 0);
	guest_leave(&proxy);
	guest_leave(&hello_waits);
	guest_leave(&half);
	guest_leave(&data);
	guest_leave(&early);
	end(&w);
}

/* ---------------------------------------------------------------- peers that may say who the client is */

#define TRUSTING LISTEN("allow: [192.0.2.0/24], xclient: [10.2.0.1], accept_for: [any]")

static void xclient_makes_the_client_another_one(void **state)
{
	struct relay_world w;
	struct guest g;

	(void)state;
	relay_world_open(&w, 60,
	                 HEAD
	                 "listen: [{address: 127.0.0.1:2525, allow: [192.0.2.0/24], xclient: [10.2.0.1]}]\n"
	                 "access: {deny: [198.51.100.0/24]}\n" TAIL,
	                 NULL);
	guest_come_from(&w, &g, guest_ip("10.2.0.1"), RELAY_AT);
	expect(&g, "EHLO c\r\n", "250");
	assert_true(guest_heard(&g, "XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT\r\n"));
	expect(&g, "MAIL FROM:<a@example.com>\r\n", "250");
	expect(&g, "XCLIENT ADDR=192.0.2.9\r\n", "503 5.5.1 Not inside a transaction");
	expect(&g, "RCPT TO:<b@example.net>\r\n", "550 5.7.1"); /* no rights of its own */
	expect(&g, "RSET\r\n", "250");
	expect(&g, "XCLIENT ADDR=192.0.2.9 NAME=client.example PORT=4711\r\n", "220 relay.test");
	expect(&g, "MAIL FROM:<a@example.com>\r\n", "503 5.5.1 EHLO first"); /* back at the greeting */
	hello(&g);
	assert_non_null(strstr(send_one(&g), "250 2.0.0 queued"));
	assert_true(relay_world_said(&w, "\"client\":{\"ip\":\"192.0.2.9\""));
	assert_true(relay_world_said(&w, "\"via\":\"10.2.0.1\""));
	expect(&g, "XCLIENT ADDR=203.0.113.9\r\n", "220");
	hello(&g);
	expect(&g, "MAIL FROM:<a@example.com>\r\n", "250");
	expect(&g, "RCPT TO:<b@example.net>\r\n", "550 5.7.1"); /* and none that the one before had */
	expect(&g, "RSET\r\n", "250");
	expect(&g, "XCLIENT LOGIN=bob\r\n", "220");
	hello(&g);
	assert_non_null(strstr(send_one(&g), "250 2.0.0 queued"));
	assert_true(relay_world_said(&w, "\"user\":\"bob\""));
	expect(&g, "XCLIENT ADDR=IPV6:2001:db8::1 LOGIN=[UNAVAILABLE]\r\n", "220");
	hello(&g);
	expect(&g, "MAIL FROM:<a@example.com>\r\n", "250");
	expect(&g, "RCPT TO:<b@example.net>\r\n", "550 5.7.1");
	expect(&g, "RSET\r\n", "250");
	expect(&g, "XCLIENT ADDR=198.51.100.1\r\n", "554 5.7.1");
	sim_run(w.sim, 2000);
	assert_true(g.closed);
	guest_leave(&g);
	end(&w);
}

/* A session counts for whom it is now, and for nobody when it is over. */
static void xclient_takes_the_session_along(void **state)
{
	struct relay_world w;
	struct guest g;

	(void)state;
	relay_world_open(&w, 63, LISTEN("xclient: [10.2.0.1], per_client: {sessions: 2}"), NULL);
	for (int i = 0; i < 6; i++) {
		come_and_greet(&w, &g, "10.2.0.1");
		expect(&g, "XCLIENT ADDR=192.0.2.9\r\n", "220");
		expect(&g, "XCLIENT ADDR=192.0.2.10\r\n", "220");
		guest_cut(&g);
	}
	end(&w);
}

static void nobody_else_may_use_xclient(void **state)
{
	struct relay_world w;
	struct guest g;

	(void)state;
	relay_world_open(&w, 61, TRUSTING, NULL);
	come_and_greet(&w, &g, "203.0.113.1");
	assert_false(guest_heard(&g, "XCLIENT") || guest_heard(&g, "XFORWARD"));
	expect(&g, "XCLIENT ADDR=192.0.2.9\r\n", "550 5.7.0");
	expect(&g, "XFORWARD ADDR=192.0.2.9\r\n", "550 5.7.0");
	/* and by XCLIENT nobody becomes somebody who may */
	guest_leave(&g);
	come_and_greet(&w, &g, "10.2.0.1");
	expect(&g, "XCLIENT ADDR=203.0.113.1\r\n", "220");
	hello(&g);
	expect(&g, "XCLIENT ADDR=192.0.2.9\r\n", "220"); /* the peer may, whomever it speaks for */
	guest_leave(&g);
	end(&w);
}

static void xforward_changes_what_the_log_says_for_one_message(void **state)
{
	struct relay_world w;
	struct guest g;

	(void)state;
	relay_world_open(&w, 62, TRUSTING, NULL);
	come_and_greet(&w, &g, "10.2.0.1");
	expect(&g, "XFORWARD ADDR=192.0.2.9 HELO=app.example PROTO=ESMTP\r\n", "250");
	expect(&g, "XFORWARD IDENT=4711 SOURCE=LOCAL\r\n", "250");
	assert_non_null(strstr(send_one(&g), "250 2.0.0 queued"));
	assert_true(relay_world_said(&w, "\"client\":{\"ip\":\"192.0.2.9\",\"helo\":\"app.example\""));
	assert_true(relay_world_said(&w, "\"via\":\"10.2.0.1\""));
	assert_non_null(strstr(send_one(&g), "250 2.0.0 queued"));
	assert_true(relay_world_said(&w, "\"client\":{\"ip\":\"10.2.0.1\",\"helo\":\"client.example\""));
	guest_leave(&g);
	end(&w);
}

/* ---------------------------------------------------------------- a service outside */

/* Answers every question with the next action of its list, the last one again and again. */
struct service {
	struct io_listener *listener;
	struct io_stream *stream;
	struct buf asked, questions;
	const char *actions[8];
	unsigned answered;
	int64_t delay_ms;
};

#define SERVICE_AT AT(10, 0, 0, 9, 10031)

static size_t on_question(void *owner, struct text bytes)
{
	struct service *v = owner;
	char words[256];
	struct text t;

	buf_add(&v->asked, bytes);
	buf_add(&v->questions, bytes);
	if (!text_ends(buf_text(&v->asked), TEXT("\n\n")))
		return bytes.len;
	buf_reset(&v->asked);
	snprintf(words, sizeof(words), "action=%s\n\n", v->actions[v->answered]);
	if (v->actions[v->answered + 1])
		v->answered++;
	t = text_from(words);
	io_stream_write(v->stream, &t, 1);
	return bytes.len;
}

static void on_nothing(void *owner)
{
	(void)owner;
}

static void on_service_eof(void *owner)
{
	io_stream_close(((struct service *)owner)->stream);
}

static void on_service_closed(void *owner, enum err why)
{
	(void)why;
	((struct service *)owner)->stream = NULL;
}

static const struct io_stream_events service_events = { on_nothing, on_question, on_service_eof, on_nothing,
	                                                on_service_closed };

static void on_asker(void *owner, struct io_stream *stream)
{
	struct service *v = owner;

	if (v->stream) {
		io_stream_close(stream);
		return;
	}
	v->stream = stream;
	io_stream_attach(stream, &service_events, v);
}

#define ASKING \
	HEAD "listen: [{address: 127.0.0.1:2525}]\naccess: {policy_service: {address: \"10.0.0.9:10031\", timeout: 3s}}\n" TAIL

static void service_open(struct relay_world *w, struct service *v, uint64_t seed)
{
	v->asked = BUF(1u << 20);
	v->questions = BUF(1u << 20);
	relay_world_open(w, seed, ASKING, NULL);
	assert_int_equal(io_listen(sim_io(w->sim), &(struct io_address){ .ip = SERVICE_AT }, 0, on_asker, v,
	                           &v->listener),
	                 ERR_OK);
}

static void service_close(struct relay_world *w, struct service *v)
{
	end(w);
	(void)v;
}

static void service_end(struct relay_world *w, struct service *v)
{
	if (v->listener)
		io_listener_close(&v->listener);
	if (v->stream)
		io_stream_close(v->stream);
	sim_run(w->sim, 10);
	service_close(w, v);
	buf_fini(&v->asked);
	buf_fini(&v->questions);
}

static bool was_asked(const struct service *v, const char *words)
{
	return text_find(buf_text(&v->questions), text_from(words)) < v->questions.len;
}

static void a_service_is_asked_about_each_recipient_and_each_message(void **state)
{
	struct service v = { .actions = { "DUNNO", "REJECT not today", "DUNNO", NULL } };
	struct relay_world w;
	struct guest g;

	(void)state;
	service_open(&w, &v, 70);
	guest_come(&w, &g);
	hello(&g);
	/* what is said meanwhile waits */
	expect(&g,
	       "MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.net>\r\nRCPT TO:<c@example.net>\r\nNOOP\r\n",
	       "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n554 5.7.1 c@example.net not today");
	assert_true(guest_heard(&g, "(access.policy_service)"));
	assert_true(guest_heard(&g, "250 2.0.0 Ok\r\n"));
	expect(&g, "DATA\r\n", "354");
	expect(&g, SMALL ".\r\n", "250 2.0.0 queued");
	assert_true(was_asked(&v, "protocol_state=RCPT\n") && was_asked(&v, "recipient=c@example.net\n"));
	assert_true(was_asked(&v, "protocol_state=END-OF-MESSAGE\n") && was_asked(&v, "recipient_count=1\n"));
	assert_true(was_asked(&v, "client_address=127.0.0.1\n") &&
	            was_asked(&v, "helo_name=client.example\n"));
	assert_true(relay_world_said(&w, "\"recipients\":1"));
	guest_leave(&g);
	service_end(&w, &v);
}

static void a_service_may_refuse_a_message_whole(void **state)
{
	struct service v = { .actions = { "DUNNO", "DEFER come back later", NULL } };
	struct relay_world w;
	struct guest g;

	(void)state;
	service_open(&w, &v, 71);
	guest_come(&w, &g);
	open_data(&g);
	expect(&g, SMALL ".\r\nNOOP\r\n", "450 4.7.1 come back later");
	assert_true(guest_heard(&g, "250 2.0.0 Ok\r\n"));
	assert_int_equal(relay_world_count(&w, "received"), 0);
	assert_int_equal(queue_space(server_queue(w.server)).body_memory_bytes, 0);
	guest_leave(&g);
	service_end(&w, &v);
}

static void a_service_may_have_a_message_discarded(void **state)
{
	struct service v = { .actions = { "DISCARD spam", "DUNNO", NULL } };
	struct relay_world w;
	struct guest g;

	(void)state;
	service_open(&w, &v, 72);
	guest_come(&w, &g);
	open_data(&g);
	expect(&g, SMALL ".\r\n", "250 2.0.0 taken as");
	assert_int_equal(relay_world_count(&w, "received"), 1);
	assert_int_equal(relay_world_count(&w, "dropped"), 1);
	assert_int_equal(queue_space(server_queue(w.server)).messages, 0);
	guest_leave(&g);
	service_end(&w, &v);
}

static void a_service_may_put_a_field_in_front(void **state)
{
	struct service v = { .actions = { "PREPEND X-Seen: yes", "PREPEND X-Size: small", "DUNNO", NULL } };
	struct sim_peer *p;
	struct relay_world w;
	struct guest g;

	(void)state;
	service_open(&w, &v, 73);
	assert_int_equal(
		relay_world_reload(
			&w, HEAD
			"listen: [{address: 127.0.0.1:2525}]\nupstreams: {next: {hosts: [10.0.0.1:25], tls: none}}\n"
			"access: {policy_service: {address: \"10.0.0.9:10031\", timeout: 3s}}\n"
			"routes: [{to: any, via: next}]\n"),
		ERR_OK);
	p = relay_world_peer(&w, NEXT_HOP, TAKES_ALL);
	guest_come(&w, &g);
	open_data(&g);
	expect(&g, SMALL ".\r\n", "250 2.0.0 queued");
	sim_run(w.sim, 10000);
	assert_true(text_find(sim_peer_message(p, 0),
	                      TEXT("\r\nX-Seen: yes\r\nX-Size: small\r\nSubject: one\r\n")) <
	            sim_peer_message(p, 0).len);
	guest_leave(&g);
	relay_world_stop(&w);
	sim_peer_free(&p);
	if (v.stream)
		io_stream_close(v.stream);
	io_listener_close(&v.listener);
	sim_run(w.sim, 10);
	relay_world_close(&w);
	buf_fini(&v.asked);
	buf_fini(&v.questions);
}

static void a_service_may_have_a_message_held(void **state)
{
	struct service v = { .actions = { "DUNNO", "HOLD for a person", NULL } };
	struct relay_world w;
	struct guest g;

	(void)state;
	service_open(&w, &v, 74);
	guest_come(&w, &g);
	open_data(&g);
	expect(&g, SMALL ".\r\n", "250 2.0.0 queued");
	assert_int_equal(queue_space(server_queue(w.server)).held_recipients, 1);
	guest_leave(&g);
	service_end(&w, &v);
}

static void without_its_service_mail_waits(void **state)
{
	struct service v = { .actions = { "DUNNO", NULL } };
	struct relay_world w;
	struct guest g;

	(void)state;
	service_open(&w, &v, 75);
	io_listener_close(&v.listener);
	guest_come(&w, &g);
	hello(&g);
	expect(&g, "MAIL FROM:<a@example.com>\r\n", "250");
	guest_put(&g, TEXT("RCPT TO:<b@example.net>\r\n"));
	sim_run(w.sim, 5000);
	assert_true(guest_heard(&g, "451 4.3.5"));
	expect(&g, "DATA\r\n", "554 5.5.1");
	guest_leave(&g);
	service_end(&w, &v);
}

/* At every moment between the dot and the 250. */
static void a_client_that_says_no_more_hears_what_the_service_decided(void **state)
{
	(void)state;
	for (int64_t ms = 0; ms < 24; ms++) {
		struct service v = { .actions = { "DUNNO", NULL } };
		struct relay_world w;
		struct guest g;

		service_open(&w, &v, 780 + (uint64_t)ms);
		guest_come(&w, &g);
		open_data(&g);
		guest_put(&g, TEXT(SMALL ".\r\n"));
		sim_run(w.sim, ms);
		sim_half_close(g.stream);
		sim_run(w.sim, 10000);
		if (!guest_heard(&g, "250 2.0.0 queued"))
			fail_msg("closed %lld ms after the dot: %.*s", (long long)ms,
			         TEXT_ARGS(buf_text(&g.told)));
		assert_true(g.closed);
		guest_leave(&g);
		service_end(&w, &v);
	}
}

/* Whoever goes while a question is out leaves nothing behind. */
static void a_client_may_go_while_the_service_thinks(void **state)
{
	struct service v = { .actions = { "DUNNO", NULL } };
	struct relay_world w;
	struct guest g;

	(void)state;
	for (int64_t ms = 0; ms < 12; ms++) {
		v = (struct service){ .actions = { "DUNNO", NULL } };
		service_open(&w, &v, 760 + (uint64_t)ms);
		guest_come(&w, &g);
		hello(&g);
		guest_put(&g, TEXT("MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.net>\r\n"));
		sim_run(w.sim, ms);
		sim_cut(w.sim, RELAY_AT);
		sim_run(w.sim, 5000);
		assert_int_equal(receive_count(server_receive(w.server)).sessions, 0);
		guest_leave(&g);
		service_end(&w, &v);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_is_denied_hears_554_in_place_of_the_greeting),
		cmocka_unit_test(a_flood_of_refusals_is_no_flood_of_the_log),
		cmocka_unit_test(the_client_is_whom_the_proxy_names),
		cmocka_unit_test(whom_nobody_speaks_to_cannot_come_by_a_proxy),
		cmocka_unit_test(a_flood_of_one_client_is_no_flood_of_the_log),
		cmocka_unit_test(what_follows_a_proxy_header_is_the_clients),
		cmocka_unit_test(a_proxy_may_speak_for_itself),
		cmocka_unit_test(whoever_must_say_for_whom_it_speaks_has_to_do_so_soon),
		cmocka_unit_test(a_proxy_header_of_anybody_else_is_no_header),
		cmocka_unit_test(under_implicit_tls_the_greeting_comes_after_the_handshake),
		cmocka_unit_test(plain_text_where_tls_is_expected_is_told_so),
		cmocka_unit_test(a_handshake_that_stops_half_way_is_cut),
		cmocka_unit_test(a_tls_client_on_the_plain_port_is_told_so),
		cmocka_unit_test(a_proxy_header_comes_before_implicit_tls),
		cmocka_unit_test(a_stop_does_not_wait_for_handshakes),
		cmocka_unit_test(a_login_makes_a_stranger_a_user),
		cmocka_unit_test(commands_behind_auth_wait_for_its_end),
		cmocka_unit_test(where_a_login_is_required_nobody_sends_without),
		cmocka_unit_test(a_user_sends_only_as_the_senders_of_its_line),
		cmocka_unit_test(quotas_of_a_user_hold_over_all_their_windows),
		cmocka_unit_test(quotas_of_senders_and_networks_are_counted_apart),
		cmocka_unit_test(a_client_has_its_rates_over_all_its_connections),
		cmocka_unit_test(clients_of_ipv6_are_counted_by_their_64),
		cmocka_unit_test(one_flooding_stranger_leaves_room_for_others),
		cmocka_unit_test(content_that_trickles_is_cut_off),
		cmocka_unit_test(content_that_is_slow_and_steady_is_not),
		cmocka_unit_test(a_line_without_end_is_silence),
		cmocka_unit_test(commands_that_lead_nowhere_end_the_session),
		cmocka_unit_test(mail_makes_up_for_commands_that_led_nowhere),
		cmocka_unit_test(strangers_who_err_get_slower_and_friends_do_not),
		cmocka_unit_test(a_stranger_who_does_not_wait_is_not_listened_to),
		cmocka_unit_test(under_pressure_nothing_new_begins),
		cmocka_unit_test(a_queue_that_is_long_enough_takes_no_more),
		cmocka_unit_test(a_listener_moves_from_all_addresses_to_one_and_back),
		cmocka_unit_test(whoever_stands_in_a_door_that_goes_is_served_or_cut),
		cmocka_unit_test(xclient_makes_the_client_another_one),
		cmocka_unit_test(xclient_takes_the_session_along),
		cmocka_unit_test(nobody_else_may_use_xclient),
		cmocka_unit_test(xforward_changes_what_the_log_says_for_one_message),
		cmocka_unit_test(a_service_is_asked_about_each_recipient_and_each_message),
		cmocka_unit_test(a_service_may_refuse_a_message_whole),
		cmocka_unit_test(a_service_may_have_a_message_discarded),
		cmocka_unit_test(a_service_may_put_a_field_in_front),
		cmocka_unit_test(a_service_may_have_a_message_held),
		cmocka_unit_test(without_its_service_mail_waits),
		cmocka_unit_test(a_client_that_says_no_more_hears_what_the_service_decided),
		cmocka_unit_test(a_client_may_go_while_the_service_thinks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
