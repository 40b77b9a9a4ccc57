/* What a client may do to us: sessions, errors, sizes, recipients, time; and clients that go away at bad moments. */
#include "scripts.h"

#include "../support/guest.h"

static void come_from(struct relay_world *w, struct guest *g, unsigned char last)
{
	guest_come_from(w, g, (struct ip){ IP_V4, { 127, 0, 0, last } }, RELAY_AT);
}

static void put(struct guest *g, const char *words)
{
	guest_put(g, text_from(words));
}

#define LISTEN(limits)                                                                                   \
	"hostname: relay.test\nspool: {path: /spool}\nlisten: [{address: 127.0.0.1:2525, " limits "}]\n" \
	"upstreams: {next: {hosts: [10.0.0.1:25], tls: none}}\nroutes: [{to: any, via: next}]\n" YAML_RETRY

static void too_many_sessions_are_told_421(void **state)
{
	struct relay_world w;
	struct guest g[4];

	(void)state;
	relay_world_open(&w, 1, LISTEN("max_sessions: 3"), NULL);
	for (unsigned i = 0; i < 4; i++)
		guest_come(&w, &g[i]);
	assert_true(guest_heard(&g[2], "220 "));
	assert_true(guest_heard(&g[3], "421 4.7.0"));
	sim_run(w.sim, 2000);
	assert_true(g[3].closed);
	assert_int_equal(receive_count(server_receive(w.server)).refused_connections, 1);
	guest_leave(&g[0]);
	guest_leave(&g[3]);
	guest_come(&w, &g[3]);
	assert_true(guest_heard(&g[3], "220 "));
	for (unsigned i = 1; i < 4; i++)
		guest_leave(&g[i]);
	assert_int_equal(receive_count(server_receive(w.server)).sessions, 0);
	end_world(&w);
}

static void too_many_sessions_of_one_client_leave_room_for_another(void **state)
{
	struct relay_world w;
	struct guest g[4];

	(void)state;
	relay_world_open(&w, 2, LISTEN("per_client: {sessions: 2}"), NULL);
	for (unsigned i = 0; i < 3; i++)
		guest_come(&w, &g[i]);
	come_from(&w, &g[3], 9);
	assert_true(guest_heard(&g[1], "220 "));
	assert_true(guest_heard(&g[2], "421 4.7.0"));
	assert_true(guest_heard(&g[3], "220 "));
	for (unsigned i = 0; i < 4; i++)
		guest_leave(&g[i]);
	end_world(&w);
}

static void too_many_errors_end_the_session(void **state)
{
	struct relay_world w;
	struct guest g;

	(void)state;
	relay_world_open(&w, 3, LISTEN("max_errors: 5"), NULL);
	guest_come(&w, &g);
	(void)guest_say(&g, "EHLO c\r\nX\r\nX\r\nX\r\nX\r\nNOOP\r\nX\r\nNOOP\r\n");
	assert_true(guest_heard(&g, "250 2.0.0"));
	assert_true(guest_heard(&g, "421 4.7.0"));
	sim_run(w.sim, 2000);
	assert_true(g.closed);
	guest_leave(&g);
	end_world(&w);
}

static void sizes_are_checked_when_declared_and_when_counted(void **state)
{
	struct relay_world w;

	(void)state;
	relay_world_open(&w, 4, YAML_UPSTREAM "access: {max_message_size: 100KiB}\n", NULL);
	assert_string_equal(
		relay_world_say(&w, "EHLO c\r\nMAIL FROM:<> SIZE=200000\r\nMAIL FROM:<> SIZE=1000\r\n"),
		"220 250 552 250 221");
	{
		struct buf b = BUF(1u << 20);

		buf_add_string(&b, "EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n");
		for (int i = 0; i < 3000; i++)
			buf_add_string(&b, "a line of forty octets, as it happens...\r\n");
		buf_add_string(&b, ".\r\nNOOP\r\n");
		buf_add_octet(&b, 0);
		/* read to its end, so that both sides stay in step */
		assert_string_equal(relay_world_say(&w, b.at), "220 250 250 250 354 552 250 221");
		buf_fini(&b);
	}
	assert_int_equal(queue_space(server_queue(w.server)).messages, 0);
	end_world(&w);
}

static void recipients_beyond_the_limit_go_in_another_message(void **state)
{
	struct relay_world w;
	struct buf b = BUF(1u << 20);
	unsigned refused = 0;
	struct text heard_now;

	(void)state;
	relay_world_open(&w, 5, YAML_UPSTREAM "access: {max_recipients: 100}\n", NULL);
	buf_add_string(&b, "EHLO c\r\nMAIL FROM:<>\r\n");
	for (int i = 0; i < 103; i++)
		buf_add_format(&b, "RCPT TO:<b%d@example.net>\r\n", i);
	buf_add_string(&b, "DATA\r\n" SMALL ".\r\n");
	buf_add_octet(&b, 0);
	(void)relay_world_say(&w, b.at);
	heard_now = relay_world_heard(&w);
	while (heard_now.len)
		refused += text_starts(text_cut(&heard_now, '\n'), TEXT("452 4.5.3"));
	assert_int_equal(refused, 3);
	assert_int_equal(queue_space(server_queue(w.server)).recipients, 100);
	buf_fini(&b);
	end_world(&w);
}

/* Thousands of answers in one write: none is lost, the session stays. */
static void a_very_long_pipelined_group_is_answered_in_full(void **state)
{
	struct relay_world w;
	struct guest g;
	struct buf b = BUF(16u << 20);
	unsigned answers = 0;

	(void)state;
	relay_world_open(&w, 6, YAML_UPSTREAM "access: {max_recipients: 100}\n", NULL);
	guest_come(&w, &g);
	buf_add_string(&b, "EHLO c\r\nMAIL FROM:<>\r\n");
	for (int i = 0; i < 20000; i++)
		buf_add_string(&b, "RCPT TO:<b@x>\r\n");
	for (int i = 0; i < 20000; i++)
		buf_add_format(&b, "RCPT TO:<b%d@x>\r\n", i);
	for (int i = 0; i < 20000; i++)
		buf_add_string(&b, "RCPT TO:<b@x>\r\n");
	buf_add_octet(&b, 0);
	(void)guest_say(&g, b.at);
	sim_run(w.sim, 60000);
	for (size_t i = 0; i < g.told.len; i++)
		answers += g.told.at[i] == '\n';
	assert_false(g.closed);
	assert_true(answers >= 60000 + 5);
	guest_leave(&g);
	buf_fini(&b);
	end_world(&w);
}

static void silence_is_told_421_at_every_place(void **state)
{
	static const char *const places[] = {
		"",
		"EHLO c\r\n",
		"EHLO c\r\nMAIL FROM:<>\r\n",
		"EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<b@x.test>\r\n",
		"EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<b@x.test>\r\nDATA\r\nhalf a li",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		struct relay_world w;
		struct guest g;

		relay_world_open(&w, 700 + i, LISTEN("timeout: 2m"), NULL);
		guest_come(&w, &g);
		(void)guest_say(&g, places[i]);
		sim_run(w.sim, MINUTE_MS);
		assert_false(g.closed);
		sim_run(w.sim, 2 * MINUTE_MS);
		assert_true(g.closed && guest_heard(&g, "421 4.4.2"));
		assert_int_equal(receive_count(server_receive(w.server)).sessions, 0);
		assert_int_equal(queue_space(server_queue(w.server)).body_memory_bytes, 0);
		guest_leave(&g);
		end_world(&w);
	}
}

/* One letter a minute is no command. */
static void a_command_that_never_gets_whole_is_silence(void **state)
{
	struct relay_world w;
	struct guest g;

	(void)state;
	relay_world_open(&w, 8, LISTEN("timeout: 2m"), NULL);
	guest_come(&w, &g);
	(void)guest_say(&g, "EHLO c\r\n");
	for (int i = 0; i < 6 && !g.closed; i++) {
		(void)guest_say(&g, "N");
		sim_run(w.sim, MINUTE_MS);
	}
	assert_true(g.closed);
	guest_leave(&g);
	end_world(&w);
}

/* ---------------------------------------------------------------- clients that go */

#define WHOLE "EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n" SMALL ".\r\n"

/* It is ours as soon as it is on disk, whoever still listens; and it is told of. */
static void a_client_gone_behind_its_dot_is_counted(void **state)
{
	(void)state;
	for (int64_t after_ms = 0; after_ms < 24; after_ms++) {
		struct relay_world w;
		struct sim_peer *p;
		struct guest g;

		relay_world_open(&w, 800 + (uint64_t)after_ms, YAML_UPSTREAM, NULL);
		p = relay_world_peer(&w, NEXT_HOP, TAKES_ALL);
		guest_come(&w, &g);
		put(&g, WHOLE);
		sim_run(w.sim, after_ms);
		sim_cut(w.sim, RELAY_AT);
		sim_run(w.sim, 10000);
		assert_true(g.closed);
		assert_int_equal(relay_world_count(&w, "received"), relay_world_count(&w, "delivered"));
		assert_int_equal(sim_peer_messages(p), relay_world_count(&w, "received"));
		assert_int_equal(receive_count(server_receive(w.server)).sessions, 0);
		guest_leave(&g);
		stop_world(&w);
		sim_peer_free(&p);
		end_world(&w);
	}
}

/* A client that closes its half behind the dot, at every moment of the commit, is told 250. */
static void half_close_after(const char *words, const char *last)
{
	for (int64_t after_ms = 0; after_ms < 24; after_ms++) {
		struct relay_world w;
		struct sim_peer *p;
		struct guest g;

		relay_world_open(&w, 900 + (uint64_t)after_ms, YAML_UPSTREAM, NULL);
		p = relay_world_peer(&w, NEXT_HOP, TAKES_ALL);
		guest_come(&w, &g);
		put(&g, words);
		sim_run(w.sim, after_ms);
		sim_half_close(g.stream);
		sim_run(w.sim, 10000);
		if (!guest_heard(&g, "queued as") || !guest_heard(&g, last))
			fail_msg("closed %lld ms after the dot: %.*s", (long long)after_ms,
			         TEXT_ARGS(buf_text(&g.told)));
		assert_int_equal(sim_peer_messages(p), 1);
		guest_leave(&g);
		stop_world(&w);
		sim_peer_free(&p);
		end_world(&w);
	}
}

static void a_half_closed_client_gets_its_250(void **state)
{
	(void)state;
	half_close_after(WHOLE, "250 2.0.0 queued");
	half_close_after(WHOLE "NOOP\r\nVRFY x\r\n", "252 ");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(too_many_sessions_are_told_421),
		cmocka_unit_test(too_many_sessions_of_one_client_leave_room_for_another),
		cmocka_unit_test(too_many_errors_end_the_session),
		cmocka_unit_test(sizes_are_checked_when_declared_and_when_counted),
		cmocka_unit_test(recipients_beyond_the_limit_go_in_another_message),
		cmocka_unit_test(a_very_long_pipelined_group_is_answered_in_full),
		cmocka_unit_test(silence_is_told_421_at_every_place),
		cmocka_unit_test(a_command_that_never_gets_whole_is_silence),
		cmocka_unit_test(a_client_gone_behind_its_dot_is_counted),
		cmocka_unit_test(a_half_closed_client_gets_its_250),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
