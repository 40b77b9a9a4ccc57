/* Routes by what a message is, with credentials and retries of their own. */
#include "scripts.h"

#include "../support/check.h"

#define UPSTREAMS \
	"upstreams: {one: {hosts: [10.0.0.1:25], tls: none}, two: {hosts: [10.0.0.2:25], tls: none}}\n"
#define SECOND_HOP AT(10, 0, 0, 2, 25)
#define CLIENT "EHLO c\r\nMAIL FROM:<a@example.com>\r\n"

/* Larger than what stays in memory: it lies in a file. */
#define LARGE_BYTES (300u << 10)

static void send_large(struct relay_world *w, const char *to, const char *header)
{
	AUTO(buf_fini) struct buf content = BUF(LARGE_BYTES + 10000);

	buf_add_string(&content, header);
	buf_add_string(&content, "\r\n");
	while (content.len < LARGE_BYTES)
		buf_add_string(&content,
		               "A line of some seventy octets that nobody reads, again and again and.\r\n");
	buf_add_octet(&content, '\0');
	relay_world_send(w, "a@example.com", to, content.at);
}

static bool saw(struct sim_peer *p, const char *words)
{
	struct text t = sim_peer_transcript(p);

	return text_find(t, text_from(words)) < t.len;
}

/* ---------------------------------------------------------------- which way */

static void header_fields_and_sizes_choose_the_way(void **state)
{
	struct relay_world w;
	struct sim_peer *one, *two;

	(void)state;
	relay_world_open(&w, 21,
	                 YAML_HEAD UPSTREAMS "routes:\n"
	                                     "  - {header: {X-Stream: '*bulk*'}, via: two}\n"
	                                     "  - {min_size: 100KB, via: two}\n"
	                                     "  - {via: one}\n" YAML_RETRY,
	                 NULL);
	one = relay_world_peer(&w, NEXT_HOP, TAKES_ALL);
	two = relay_world_peer(&w, SECOND_HOP, TAKES_ALL);
	relay_world_send(&w, "a@example.com", "plain@example.net", SMALL);
	relay_world_send(&w, "a@example.com", "bulk@example.net",
	                 "X-Stream: some\r\n bulk mail\r\n\r\nx\r\n");
	relay_world_send(&w, "a@example.com", "other@example.net", "X-Stream: other\r\n\r\nbulk\r\n");
	send_large(&w, "large@example.net", "Subject: x\r\n");
	relay_world_await(&w, "delivered", 4, MINUTE_MS);
	assert_true(saw(one, "RCPT TO:<plain@") && saw(one, "RCPT TO:<other@"));
	assert_true(saw(two, "RCPT TO:<bulk@") && saw(two, "RCPT TO:<large@"));
	assert_int_equal(sim_peer_messages(one), 2);
	assert_int_equal(sim_peer_messages(two), 2);
	stop_world(&w);
	sim_peer_free(&one);
	sim_peer_free(&two);
	end_world(&w);
}

/* One answer at the dot: the message is taken for those that it may go to, and the sender hears of the others. */
static void what_is_rejected_for_some_comes_back_as_a_report(void **state)
{
	struct relay_world w;
	struct sim_peer *one;

	(void)state;
	relay_world_open(&w, 22,
	                 YAML_HEAD UPSTREAMS
	                 "routes:\n"
	                 "  - {to: shy.example, header: {X-Stream: bulk}, via: reject}\n"
	                 "  - {to: held.example, max_size: 1MB, via: hold}\n"
	                 "  - {to: gone.example, header: {X-Stream: bulk}, via: discard}\n"
	                 "  - {via: one}\n" YAML_RETRY,
	                 NULL);
	one = relay_world_peer(&w, NEXT_HOP, TAKES_ALL);
	assert_string_equal(
		relay_world_say(&w,
	                        CLIENT "RCPT TO:<b@shy.example>\r\nDATA\r\nX-Stream: bulk\r\n\r\nx\r\n.\r\n"),
		"220 250 250 250 354 550 221");
	assert_int_equal(relay_world_count(&w, "received"), 0);
	assert_string_equal(relay_world_say(&w, CLIENT
	                                    "RCPT TO:<b@shy.example>\r\nRCPT TO:<b@held.example>\r\n"
	                                    "RCPT TO:<b@gone.example>\r\nRCPT TO:<b@ok.example>\r\nDATA\r\n"
	                                    "X-Stream: bulk\r\n\r\nx\r\n.\r\n"),
	                    "220 250 250 250 250 250 250 354 250 221");
	relay_world_await(&w, "delivered", 2, MINUTE_MS); /* and the report */
	assert_int_equal(relay_world_count(&w, "bounced"), 1);
	assert_int_equal(relay_world_count(&w, "dropped"), 1);
	assert_true(relay_world_said(&w, "a route of this relay rejects this recipient"));
	assert_int_equal(queue_space(server_queue(w.server)).held_recipients, 1);
	assert_true(saw(one, "RCPT TO:<b@ok.example>") && saw(one, "RCPT TO:<a@example.com>"));
	assert_false(saw(one, "b@shy.example>\n"));
	stop_world(&w);
	sim_peer_free(&one);
	end_world(&w);
}

/* The client waits for the next hops' answers, and the ways are those of the content all the same. */
static void also_where_the_client_waits(void **state)
{
	struct relay_world w;
	struct sim_peer *one, *two;

	(void)state;
	relay_world_open(&w, 29,
	                 "hostname: relay.test\nspool: {path: /spool}\n"
	                 "listen: [{address: 127.0.0.1:2525, hand_over: through}]\n" UPSTREAMS "routes:\n"
	                 "  - {to: shy.example, header: {X-Stream: bulk}, via: reject}\n"
	                 "  - {header: {X-Stream: bulk}, via: two}\n"
	                 "  - {via: one}\n" YAML_RETRY,
	                 NULL);
	one = relay_world_peer(&w, NEXT_HOP, TAKES_ALL);
	two = relay_world_peer(&w, SECOND_HOP, TAKES_ALL);
	assert_string_equal(
		relay_world_say(&w,
	                        CLIENT "RCPT TO:<b@shy.example>\r\nDATA\r\nX-Stream: bulk\r\n\r\nx\r\n.\r\n"),
		"220 250 250 250 354 550 221");
	assert_string_equal(
		relay_world_say(&w,
	                        CLIENT "RCPT TO:<b@ok.example>\r\nDATA\r\nX-Stream: bulk\r\n\r\nx\r\n.\r\n"),
		"220 250 250 250 354 250 221");
	assert_int_equal(sim_peer_messages(two), 1);
	assert_string_equal(relay_world_say(&w, CLIENT
	                                    "RCPT TO:<b@shy.example>\r\nRCPT TO:<c@ok.example>\r\nDATA\r\n"
	                                    "X-Stream: bulk\r\n\r\nx\r\n.\r\n"),
	                    "220 250 250 250 250 354 250 221");
	relay_world_await(&w, "delivered", 3, MINUTE_MS); /* with the report */
	assert_int_equal(relay_world_count(&w, "bounced"), 1);
	assert_int_equal(sim_peer_messages(two), 2);
	assert_int_equal(sim_peer_messages(one), 1);
	stop_world(&w);
	sim_peer_free(&one);
	sim_peer_free(&two);
	end_world(&w);
}

/* ---------------------------------------------------------------- under another configuration */

#define ALL_TO_ONE YAML_HEAD UPSTREAMS "routes: [{via: one}]\n" YAML_RETRY
#define BULK_TO_TWO \
	YAML_HEAD UPSTREAMS "routes: [{header: {X-Stream: bulk}, via: two}, {via: one}]\n" YAML_RETRY

/* Nobody asked for the header field when these came: those in memory, in the store, and in a file. */
static void fields_that_were_not_kept_are_looked_up(uint64_t seed, bool crash, const char *new_yaml)
{
	struct relay_world w;
	struct sim_peer *one, *two;

	relay_world_open(&w, seed, ALL_TO_ONE, NULL);
	assert_int_equal(sim_set_reach(w.sim, NEXT_HOP, SIM_REFUSED), ERR_OK);
	relay_world_send(&w, "a@example.com", "small@example.net", "X-Stream: bulk\r\n\r\nx\r\n");
	relay_world_send(&w, "a@example.com", "plain@example.net", SMALL);
	send_large(&w, "large@example.net", "X-Stream: bulk\r\n");
	send_large(&w, "heavy@example.net", "X-Stream: other\r\n");
	relay_world_await(&w, "deferred", 4, MINUTE_MS);
	relay_world_send(&w, "a@example.com", "fresh@example.net", "X-Stream: bulk\r\n\r\nx\r\n");
	send_large(&w, "late@example.net", "X-Stream: bulk\r\n");
	one = relay_world_peer(&w, NEXT_HOP, TAKES_ALL);
	two = relay_world_peer(&w, SECOND_HOP, TAKES_ALL);
	assert_int_equal(relay_world_reload(&w, new_yaml), ERR_OK);
	if (crash)
		relay_world_crash(&w);
	assert_int_equal(sim_set_reach(w.sim, NEXT_HOP, SIM_REACHABLE), ERR_OK);
	relay_world_await(&w, "delivered", 6, 10 * MINUTE_MS);
	assert_true(saw(one, "<plain@") && saw(one, "<heavy@"));
	assert_true(saw(two, "<small@") && saw(two, "<large@") && saw(two, "<fresh@") && saw(two, "<late@"));
	assert_int_equal(sim_peer_messages(one), 2);
	assert_int_equal(sim_peer_messages(two), 4);
	stop_world(&w);
	sim_peer_free(&one);
	sim_peer_free(&two);
	end_world(&w);
}

static void a_new_route_by_header_field_moves_what_waits(void **state)
{
	(void)state;
	fields_that_were_not_kept_are_looked_up(23, false, BULK_TO_TWO);
}

static void also_after_a_crash(void **state)
{
	(void)state;
	fields_that_were_not_kept_are_looked_up(24, true, BULK_TO_TWO);
}

/* The stop comes while headers are being read. */
static void a_stop_waits_for_what_is_being_read(void **state)
{
	struct relay_world w;
	struct sim_peer *one;

	(void)state;
	for (int64_t ms = 0; ms < 12; ms++) {
		relay_world_open(&w, 25 + (uint64_t)ms, ALL_TO_ONE, NULL);
		assert_int_equal(sim_set_reach(w.sim, NEXT_HOP, SIM_REFUSED), ERR_OK);
		for (unsigned i = 0; i < 8; i++)
			send_large(&w, "b@example.net", "X-Stream: bulk\r\n");
		relay_world_await(&w, "deferred", 8, MINUTE_MS);
		one = relay_world_peer(&w, NEXT_HOP, TAKES_ALL);
		assert_int_equal(sim_set_reach(w.sim, NEXT_HOP, SIM_REACHABLE), ERR_OK);
		assert_int_equal(relay_world_reload(&w, BULK_TO_TWO), ERR_OK);
		sim_run(w.sim, 60 * SECOND_MS + ms);
		relay_world_stop(&w);
		sim_peer_free(&one);
		relay_world_close(&w);
	}
}

/* ---------------------------------------------------------------- retries */

static void a_route_has_its_own_patience(void **state)
{
	struct relay_world w;

	(void)state;
	relay_world_open(
		&w, 40,
		YAML_HEAD UPSTREAMS
		"routes:\n"
		"  - {to: code.example, via: one, retry: {schedule: [10s], give_up_after: 2m, warn_after: never}}\n"
		"  - {via: one}\n"
		"retry: {schedule: [1m, 5m, 1h], give_up_after: 1d, warn_after: 30m}\n",
		NULL);
	struct sim_peer *one = relay_world_peer(&w, NEXT_HOP,
	                                        HELLO "again:\nC: MAIL *\nC: RCPT *\nC: DATA\n"
	                                              "S: 250 ok\nS: 451 not now\nS: 554 none\nrepeat\n");

	relay_world_send(&w, "a@example.com", "x@code.example", SMALL);
	relay_world_send(&w, "a@example.com", "x@other.example", SMALL);
	sim_run(w.sim, 90 * SECOND_MS);
	assert_int_equal(relay_world_count(&w, "expired"), 0);
	assert_true(relay_world_count(&w, "deferred") >=
	            8); /* seven times or more for the code, once or twice for the other */
	sim_run(w.sim, 2 * MINUTE_MS);
	assert_int_equal(relay_world_count(&w, "expired"), 1);
	assert_true(relay_world_said(&w, "x@code.example"));
	stop_world(&w);
	sim_peer_free(&one);
	end_world(&w);
}

/* In one message: each recipient by its own route. */
static void recipients_of_one_message_have_patience_of_their_own(void **state)
{
	struct relay_world w;

	(void)state;
	relay_world_open(&w, 41,
	                 YAML_HEAD UPSTREAMS "routes:\n"
	                                     "  - {to: code.example, via: one, retry: {give_up_after: 10m}}\n"
	                                     "  - {via: one}\n" YAML_RETRY,
	                 NULL);
	assert_int_equal(sim_set_reach(w.sim, NEXT_HOP, SIM_REFUSED), ERR_OK);
	assert_string_equal(
		relay_world_say(&w, CLIENT
	                        "RCPT TO:<x@code.example>\r\nRCPT TO:<x@other.example>\r\nDATA\r\n" SMALL
	                        ".\r\n"),
		"220 250 250 250 250 354 250 221");
	sim_run(w.sim, 20 * MINUTE_MS);
	assert_int_equal(relay_world_count(&w, "expired"), 1);
	relay_world_check(&w);
	end_world(&w);
}

/* ---------------------------------------------------------------- credentials */

#define AS(user, password) "username: " user ", password: " password
#define LOGS_IN "tls: none, auth: plain, auth_plaintext: true, "
#define LOGIN_HELLO \
	"S: 220 mx.test\nC: EHLO relay.test\nS: 250-mx.test\nS: 250-PIPELINING\nS: 250 AUTH PLAIN\nC: AUTH PLAIN *\nS: 235 ok\n"
#define LOGIN_TAKES_ALL LOGIN_HELLO "again:\n" TAKES "repeat\n"
#define ANN "AGFubgBwYQ==" /* NUL ann NUL pa */
#define BOB "AGJvYgBwYg=="

/* Of each MAIL in a transcript of connections one after the other: whether the login before it is the sender's own. */
static void each_went_as(struct sim_peer *p, const char *const logins[][2], unsigned count, unsigned messages)
{
	struct text rest = sim_peer_transcript(p), login = TEXT_EMPTY;
	unsigned seen = 0;

	while (rest.len) {
		struct text line = text_cut(&rest, '\n');

		if (text_starts(line, TEXT("C: AUTH PLAIN ")))
			login = text_skip(line, 14);
		if (!text_starts(line, TEXT("C: MAIL FROM:<")))
			continue;
		seen++;
		for (unsigned i = 0; i < count; i++)
			if (text_starts(text_skip(line, 14), text_from(logins[i][0])))
				CHECK_TEXT(logins[i][0], login, text_from(logins[i][1]));
	}
	assert_int_equal(seen, messages);
}

/* The value of a member of an event, up to its quotation mark. */
static struct text member(struct text line, const char *name)
{
	struct text rest = text_skip(line, MIN(text_find(line, text_from(name)) + strlen(name), line.len));

	return text_cut(&rest, '"');
}

static void two_users_of_one_upstream_share_no_connection(void **state)
{
	struct relay_world w;
	struct sim_peer *one;
	struct text events;
	unsigned compared = 0;

	(void)state;
	relay_world_open(&w, 50,
	                 YAML_HEAD "upstreams: {one: {hosts: [10.0.0.1:25], connections: 1, " LOGS_IN AS(
				 "ann", "pa") "}}\n"
	                                      "routes: [{from: bob.example, via: one, " AS(
						      "bob", "pb") "}, {via: one}]\n" YAML_RETRY,
	                 NULL);
	one = relay_world_peer(&w, NEXT_HOP, LOGIN_TAKES_ALL);
	for (unsigned i = 0; i < 10; i++) {
		relay_world_send(&w, "ann@ann.example", "x@example.net", SMALL);
		relay_world_send(&w, "bob@bob.example", "x@example.net", SMALL);
	}
	relay_world_await(&w, "delivered", 20, 10 * MINUTE_MS);
	assert_true(saw(one, "C: AUTH PLAIN " ANN) && saw(one, "C: AUTH PLAIN " BOB));
	/* a connection is known by our port */
	events = buf_text(&w.events);
	while (events.len) {
		struct text line = text_cut(&events, '\n'), others = buf_text(&w.events);

		if (text_find(line, TEXT("\"delivered\"")) == line.len)
			continue;
		while (others.len) {
			struct text other = text_cut(&others, '\n');

			if (text_find(other, TEXT("\"delivered\"")) == other.len ||
			    !text_eq(member(line, "\"local\":\""), member(other, "\"local\":\"")))
				continue;
			CHECK_TEXT("sender", member(line, "\"from\":\""), member(other, "\"from\":\""));
			compared++;
		}
	}
	assert_true(compared > 20);
	stop_world(&w);
	sim_peer_free(&one);
	end_world(&w);
}

/* Where one of them may not log in, his mail is not sent in the name of the other. */
static void a_user_who_is_refused_borrows_no_connection(void **state)
{
	struct relay_world w;
	struct sim_peer *one;

	(void)state;
	relay_world_open(&w, 54,
	                 YAML_HEAD "upstreams: {one: {hosts: [10.0.0.1:25], " LOGS_IN AS(
				 "ann", "pa") "}}\n"
	                                      "routes: [{from: bob.example, via: one, " AS(
						      "bob", "pb") "}, {via: one}]\n" YAML_RETRY,
	                 NULL);
	one = relay_world_peer(
		&w, NEXT_HOP,
		"S: 220 mx.test\nC: EHLO relay.test\nS: 250-mx.test\nS: 250-PIPELINING\nS: 250 AUTH PLAIN\n"
		"C: AUTH PLAIN " ANN "\nS: 235 ok\nagain:\n" TAKES "repeat\n");
	for (unsigned i = 0; i < 10; i++) {
		relay_world_send(&w, "ann@ann.example", "x@example.net", SMALL);
		relay_world_send(&w, "bob@bob.example", "x@example.net", SMALL);
	}
	sim_run(w.sim, 30 * MINUTE_MS);
	assert_int_equal(relay_world_count(&w, "delivered"), 10);
	assert_true(saw(one, "C: AUTH PLAIN " BOB));
	assert_false(saw(one, "C: MAIL FROM:<bob@"));
	stop_world(&w);
	sim_peer_free(&one);
	end_world(&w);
}

/* What waits goes with the credentials of now, to the upstream of now. */
static void a_reload_changes_upstream_and_credentials_of_what_waits(void **state)
{
	static const char *const logins[][2] = { { "a@", BOB } };
	struct relay_world w;
	struct sim_peer *one, *two;

	(void)state;
	relay_world_open(&w, 51,
	                 YAML_HEAD
	                 "upstreams: {one: {hosts: [10.0.0.1:25], " LOGS_IN AS("ann", "pa") "}}\n" YAML_RETRY,
	                 NULL);
	one = relay_world_peer(
		&w, NEXT_HOP,
		"S: 220 mx.test\nC: EHLO relay.test\nS: 250-mx.test\nS: 250 AUTH PLAIN\nC: AUTH PLAIN *\n"
		"S: 454 4.7.0 not now\nC: QUIT\nS: 221 bye\n");
	send_many(&w, 5, "b@example.net");
	sim_run(w.sim, 10 * SECOND_MS);
	assert_true(saw(one, "C: AUTH PLAIN " ANN));
	two = relay_world_peer(&w, SECOND_HOP, LOGIN_TAKES_ALL);
	assert_int_equal(
		relay_world_reload(&w, YAML_HEAD "upstreams: {two: {hosts: [10.0.0.2:25], " LOGS_IN AS(
					       "bob", "pb") "}}\n"
	                                                    "limits: {any: {connections: 1}}\n" YAML_RETRY),
		ERR_OK);
	relay_world_await(&w, "delivered", 5, 10 * MINUTE_MS);
	each_went_as(two, logins, 1, 5);
	assert_int_equal(sim_peer_messages(one), 0);
	stop_world(&w);
	sim_peer_free(&one);
	sim_peer_free(&two);
	end_world(&w);
}

/* The same upstream, another password: no connection that was opened with the old one takes new mail. */
static void a_reload_with_another_password_opens_another_connection(void **state)
{
	struct relay_world w;
	struct sim_peer *one;
	unsigned before;

	(void)state;
	relay_world_open(&w, 52,
	                 YAML_HEAD
	                 "upstreams: {one: {hosts: [10.0.0.1:25], " LOGS_IN AS("ann", "pa") "}}\n" YAML_RETRY,
	                 NULL);
	one = relay_world_peer(&w, NEXT_HOP, LOGIN_TAKES_ALL);
	send_many(&w, 3, "b@example.net");
	relay_world_await(&w, "delivered", 3, MINUTE_MS);
	before = sim_peer_connections(one);
	assert_int_equal(
		relay_world_reload(&w, YAML_HEAD "upstreams: {one: {hosts: [10.0.0.1:25], " LOGS_IN AS(
					       "bob", "pb") "}}\n" YAML_RETRY),
		ERR_OK);
	send_many(&w, 1, "b@example.net");
	relay_world_await(&w, "delivered", 4, MINUTE_MS);
	assert_true(sim_peer_connections(one) > before);
	assert_true(saw(one, "C: AUTH PLAIN " ANN) && saw(one, "C: AUTH PLAIN " BOB));
	stop_world(&w);
	sim_peer_free(&one);
	end_world(&w);
}

/* No password is in any event, whatever is said of it. */
static void no_event_has_a_secret(void **state)
{
	struct relay_world w;
	struct sim_peer *one;

	(void)state;
	relay_world_open(&w, 53,
	                 YAML_HEAD "upstreams: {one: {hosts: [10.0.0.1:25], " LOGS_IN AS(
				 "swordfish", "swordfish") "}}\n" YAML_RETRY,
	                 NULL);
	one = relay_world_peer(
		&w, NEXT_HOP,
		"S: 220 mx.test\nC: EHLO relay.test\nS: 250-mx.test\nS: 250 AUTH PLAIN\nC: AUTH PLAIN *\n"
		"S: 535 5.7.8 no\nC: QUIT\nS: 221 bye\n");
	send_many(&w, 1, "b@example.net");
	sim_run(w.sim, 2 * MINUTE_MS);
	assert_true(relay_world_count(&w, "deferred") > 0);
	assert_false(relay_world_said(&w, "swordfish"));
	assert_false(relay_world_said(&w, "c3dvcmRmaXNo")); /* in base64, in each of its three places */
	assert_false(relay_world_said(&w, "N3b3JkZmlza"));
	assert_false(relay_world_said(&w, "zd29yZGZpc2"));
	relay_world_stop(&w);
	sim_peer_free(&one);
	relay_world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(header_fields_and_sizes_choose_the_way),
		cmocka_unit_test(what_is_rejected_for_some_comes_back_as_a_report),
		cmocka_unit_test(also_where_the_client_waits),
		cmocka_unit_test(a_new_route_by_header_field_moves_what_waits),
		cmocka_unit_test(also_after_a_crash),
		cmocka_unit_test(a_stop_waits_for_what_is_being_read),
		cmocka_unit_test(a_route_has_its_own_patience),
		cmocka_unit_test(recipients_of_one_message_have_patience_of_their_own),
		cmocka_unit_test(two_users_of_one_upstream_share_no_connection),
		cmocka_unit_test(a_user_who_is_refused_borrows_no_connection),
		cmocka_unit_test(a_reload_changes_upstream_and_credentials_of_what_waits),
		cmocka_unit_test(a_reload_with_another_password_opens_another_connection),
		cmocka_unit_test(no_event_has_a_secret),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
