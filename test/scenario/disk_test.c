/* A disk that is full, one that fails, and power that does; stops of all kinds. */
#include "scripts.h"

#include <stdio.h>
#include <stdlib.h>

/* ---------------------------------------------------------------- full */

static char *message_of(size_t bytes)
{
	struct buf b = BUF(64u << 20);

	buf_add_string(
		&b,
		"EHLO c\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.net>\r\nDATA\r\nSubject: x\r\n\r\n");
	while (b.len < bytes)
		buf_add_string(
			&b,
			"a line of the body, of which there are as many as it takes to fill a disk....\r\n");
	buf_add_string(&b, ".\r\n");
	buf_add_octet(&b, 0);
	assert_int_equal(buf_err(&b), ERR_OK);
	return b.at;
}

/* New mail is refused with 452 while there is no space; what is queued is delivered, and then there is space again. */
static void a_full_disk_refuses_heals_and_loses_nothing(void **state)
{
	struct relay_world w;
	struct sim_peer *p;
	unsigned accepted = 0, refused = 0;
	char *large = message_of(300000), *small = message_of(2000);

	(void)state;
	relay_world_open_on(
		&w, 1,
		"hostname: relay.test\nspool: {path: /spool}\nlisten: [{address: 127.0.0.1:2525}]\n"
		"upstreams: {next: {hosts: [10.0.0.1:25], tls: none}}\nroutes: [{to: any, via: next}]\n" YAML_RETRY,
		NULL, 20u << 20);
	assert_int_equal(sim_set_reach(w.sim, NEXT_HOP, SIM_REFUSED), ERR_OK);
	for (unsigned i = 0; i < 200; i++) {
		const char *codes = relay_world_say(&w, i % 3 ? large : small);

		if (strstr(codes, "354 250"))
			accepted++;
		else if (strstr(codes, "452"))
			refused++;
		else
			fail_msg("neither accepted nor 452: %s", codes);
	}
	assert_true(accepted > 10 && refused > 10);
	/* the last gaps */
	for (unsigned i = 0; i < 3000 && !strstr(relay_world_say(&w, small), "452"); i++)
		accepted++;
	sim_run(w.sim, 2000);
	assert_true(relay_world_count(&w, "spool_full") >= 1);
	assert_int_equal(queue_space(server_queue(w.server)).messages, accepted);
	relay_world_check(&w);
	assert_int_equal(sim_set_reach(w.sim, NEXT_HOP, SIM_REACHABLE), ERR_OK);
	p = relay_world_peer(&w, NEXT_HOP, TAKES_ALL);
	for (unsigned i = 0; i < 120 && relay_world_count(&w, "delivered") < accepted; i++)
		sim_run(w.sim, MINUTE_MS);
	assert_int_equal(relay_world_count(&w, "delivered"), accepted);
	sim_run(w.sim, MINUTE_MS);
	assert_int_equal(queue_space(server_queue(w.server)).messages, 0);
	assert_non_null(strstr(relay_world_say(&w, small), "354 250"));
	free(large);
	free(small);
	assert_false(w.failed);
	relay_world_await(&w, "delivered", accepted + 1, MINUTE_MS);
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
}

/* ---------------------------------------------------------------- failing */

/* A disk that fails is not waited for: no 250, a clean word to the log, and the daemon ends by itself. */
static void a_failing_disk_ends_the_daemon(void **state)
{
	(void)state;
	for (unsigned after = 0; after < 12; after++) {
		struct relay_world w;
		struct sim_peer *p;
		unsigned told = 0;

		relay_world_open(&w, 30 + after, YAML_UPSTREAM, NULL);
		p = relay_world_peer(&w, NEXT_HOP, TAKES_ALL);
		queue_memory_fail_commits(w.memory, ERR_IO, after);
		for (unsigned i = 0; i < 10 && !w.failed; i++)
			told += strstr(relay_world_say(&w,
			                               "EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<b@example.net>\r\n"
			                               "DATA\r\n" SMALL ".\r\n"),
			               "354 250") != NULL;
		assert_true(sim_run_until(w.sim, &w.failed, MINUTE_MS));
		assert_true(server_has_failed(w.server));
		assert_true(relay_world_count(&w, "received") == told);
		/* whoever asks it to stop now is answered */
		relay_world_stop(&w);
		queue_memory_fail_commits(w.memory, ERR_OK, 0);
		/* a new disk, and what was answered 250 is there or was delivered */
		w.failed = false;
		relay_world_start(&w);
		sim_run(w.sim, 10 * MINUTE_MS);
		assert_true(sim_peer_messages(p) >= told);
		assert_int_equal(queue_space(server_queue(w.server)).recipients, 0);
		relay_world_check(&w);
		relay_world_stop(&w);
		sim_peer_free(&p);
		relay_world_close(&w);
	}
}

/* ---------------------------------------------------------------- power */

/* Every message has its number in the recipient; how often it arrived is counted there. */
static void count_arrivals(const struct sim_peer *p, unsigned *arrived, unsigned count)
{
	memset(arrived, 0, count * sizeof(*arrived));
	for (unsigned i = 0; i < sim_peer_messages(p); i++) {
		struct text message = sim_peer_message(p, i);
		size_t at = text_find(message, TEXT("Number: "));
		unsigned n = 0;

		for (at += 8; at < message.len && message.at[at] >= '0' && message.at[at] <= '9'; at++)
			n = n * 10 + (unsigned)(message.at[at] - '0');
		if (n < count)
			arrived[n]++;
	}
}

static void power_cuts_lose_nothing_that_was_answered(void **state)
{
	(void)state;
	for (uint64_t seed = 1000; seed < 1030; seed++) {
		struct relay_world w;
		struct sim_peer *p;
		unsigned arrived[40], doubled = 0;
		bool told[40] = { false };

		relay_world_open(&w, seed, YAML_UPSTREAM, NULL);
		p = relay_world_peer(&w, NEXT_HOP, TAKES_ALL);
		for (unsigned i = 0; i < 40; i++) {
			char lines[512];

			snprintf(
				lines, sizeof(lines),
				"EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<b@example.net>\r\nDATA\r\nNumber: %u\r\n\r\nx\r\n.\r\n",
				i);
			told[i] = strstr(relay_world_say(&w, lines), "354 250") != NULL;
			sim_run(w.sim, (int64_t)((seed * 7 + i * 13) % 9));
			if (i % 10 == 9)
				relay_world_crash(&w);
		}
		relay_world_check(&w);
		sim_run(w.sim, HOUR_MS);
		relay_world_check(&w);
		assert_int_equal(queue_space(server_queue(w.server)).recipients, 0);
		count_arrivals(p, arrived, 40);
		for (unsigned i = 0; i < 40; i++) {
			if (told[i] && !arrived[i])
				fail_msg("seed %llu: message %u was answered 250 and never arrived",
				         (unsigned long long)seed, i);
			doubled += arrived[i] > 1;
		}
		/* at most what was under way when the power failed */
		assert_true(doubled <= 4 * w.crashes);
		stop_world(&w);
		sim_peer_free(&p);
		end_world(&w);
	}
}

/* What was being delivered when the power failed says so. */
static void what_was_under_way_has_an_unknown_outcome(void **state)
{
	struct relay_world w;
	struct sim_peer *p;

	(void)state;
	relay_world_open(&w, 5, YAML_UPSTREAM, NULL);
	p = relay_world_peer(&w, NEXT_HOP, HELLO ENVELOPE ACCEPTS "after 10 s\nS: 250 ok\n");
	assert_int_equal(sim_peer_add_script(p, TAKES_ALL), ERR_OK);
	send_many(&w, 1, "b@example.net");
	sim_run(w.sim, 2000);
	relay_world_crash(&w);
	assert_true(relay_world_said(&w, "the last stop was not clean"));
	relay_world_await(&w, "delivered", 1, MINUTE_MS);
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
}

/* ---------------------------------------------------------------- stopping */

static void a_stop_lets_what_runs_end(void **state)
{
	struct relay_world w;
	struct sim_peer *p;

	(void)state;
	relay_world_open(&w, 6, YAML_UPSTREAM, NULL);
	p = relay_world_peer(&w, NEXT_HOP, HELLO ENVELOPE ACCEPTS "after 3 s\nS: 250 ok\n");
	send_many(&w, 1, "b@example.net");
	sim_run(w.sim, 500);
	relay_world_stop(&w);
	assert_int_equal(relay_world_count(&w, "delivered"), 1);
	relay_world_start(&w);
	assert_int_equal(queue_space(server_queue(w.server)).messages, 0);
	assert_false(relay_world_said(&w, "not clean"));
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
}

static void on_flag(void *owner)
{
	*(bool *)owner = true;
}

/* When the time is over what runs is broken off; behind the dot its outcome is not known. */
static void a_stop_ends_in_time(void **state)
{
	struct relay_world w;
	struct sim_peer *p;
	bool stopped = false;

	(void)state;
	relay_world_open(&w, 7, YAML_UPSTREAM "stop: {linger: 5s}\n", NULL);
	p = relay_world_peer(&w, NEXT_HOP, HELLO ENVELOPE ACCEPTS "after 5 m\nS: 250 ok\n");
	send_many(&w, 1, "b@example.net");
	sim_run(w.sim, 500);
	server_stop(w.server, on_flag, &stopped);
	assert_false(sim_run_until(w.sim, &stopped, 4000));
	assert_true(sim_run_until(w.sim, &stopped, 3000));
	assert_true(relay_world_said(&w, "\"reason\":\"unknown_outcome\""));
	server_free(&w.server);
	sim_peer_free(&p);
	relay_world_close(&w);
}

static void a_second_stop_ends_at_once(void **state)
{
	struct relay_world w;
	struct sim_peer *p;
	bool stopped = false;

	(void)state;
	for (int drains = 0; drains < 2; drains++) {
		relay_world_open(&w, 8,
		                 drains ? YAML_UPSTREAM "stop: {linger: 5m, drain: 10m}\n"
		                        : YAML_UPSTREAM "stop: {linger: 5m}\n",
		                 NULL);
		p = relay_world_peer(&w, NEXT_HOP, HELLO ENVELOPE ACCEPTS "after 20 m\nS: 250 ok\n");
		send_many(&w, 3, "b@example.net");
		sim_run(w.sim, 500);
		stopped = false;
		server_stop(w.server, on_flag, &stopped);
		assert_false(sim_run_until(w.sim, &stopped, 20000));
		server_stop(w.server, on_flag, &stopped);
		assert_true(sim_run_until(w.sim, &stopped, 1500));
		server_free(&w.server);
		sim_peer_free(&p);
		relay_world_close(&w);
	}
}

static void a_drain_empties_the_queue_first(void **state)
{
	struct relay_world w;
	struct sim_peer *p;

	(void)state;
	relay_world_open(&w, 9, YAML_UPSTREAM "stop: {drain: 10m}\n", NULL);
	assert_int_equal(sim_set_reach(w.sim, NEXT_HOP, SIM_REFUSED), ERR_OK);
	send_many(&w, 30, "b@example.net");
	assert_int_equal(sim_set_reach(w.sim, NEXT_HOP, SIM_REACHABLE), ERR_OK);
	p = relay_world_peer(&w, NEXT_HOP, TAKES_ALL);
	relay_world_stop(&w);
	assert_int_equal(relay_world_count(&w, "delivered"), 30);
	sim_peer_free(&p);
	relay_world_close(&w);
}

/* TERM while mail comes in and goes out from many places, at every moment; what was answered is kept. */
static void a_stop_under_load_keeps_what_was_answered(void **state)
{
	(void)state;
	for (int64_t at_ms = 0; at_ms < 40; at_ms += 2) {
		struct relay_world w;
		struct sim_peer *p;
		bool stopped = false;
		unsigned told;

		relay_world_open(&w, 1100 + (uint64_t)at_ms, YAML_UPSTREAM, NULL);
		p = relay_world_peer(&w, NEXT_HOP, TAKES_ALL);
		send_many(&w, 20, "b@example.net");
		{
			struct buf b = BUF(1u << 20);

			buf_add_string(&b, "EHLO c\r\n");
			for (unsigned i = 0; i < 20; i++)
				buf_add_string(&b, "MAIL FROM:<>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n" SMALL
				                   ".\r\n");
			buf_add_octet(&b, 0);
			relay_world_say_until(&w, b.at, at_ms);
			buf_fini(&b);
		}
		server_stop(w.server, on_flag, &stopped);
		assert_int_equal(relay_world_reload(&w, YAML_UPSTREAM), ERR_BUSY);
		assert_true(sim_run_until(w.sim, &stopped, 10 * MINUTE_MS));
		sim_run(w.sim, 30000);
		told = relay_world_count(&w, "received");
		server_free(&w.server);
		relay_world_start(&w);
		sim_run(w.sim, 10 * MINUTE_MS);
		assert_int_equal(sim_peer_messages(p), told);
		assert_int_equal(queue_space(server_queue(w.server)).recipients, 0);
		assert_false(relay_world_said(&w, "not clean"));
		stop_world(&w);
		sim_peer_free(&p);
		end_world(&w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_full_disk_refuses_heals_and_loses_nothing),
		cmocka_unit_test(a_failing_disk_ends_the_daemon),
		cmocka_unit_test(power_cuts_lose_nothing_that_was_answered),
		cmocka_unit_test(what_was_under_way_has_an_unknown_outcome),
		cmocka_unit_test(a_stop_lets_what_runs_end),
		cmocka_unit_test(a_stop_ends_in_time),
		cmocka_unit_test(a_second_stop_ends_at_once),
		cmocka_unit_test(a_drain_empties_the_queue_first),
		cmocka_unit_test(a_stop_under_load_keeps_what_was_answered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
