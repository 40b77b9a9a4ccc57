/* When mail is tried again: the schedule, pauses of a destination, clocks that are set, a person's word. */
#include "scripts.h"

#define DEFERS_ALL \
	HELLO "again:\n" ENVELOPE "S: 250 ok\nS: 450 4.2.1 busy\nS: 503 no\nC: RSET\nS: 250 ok\nrepeat\n"

/* ---------------------------------------------------------------- the schedule */

static void steps_follow_the_schedule_with_jitter(void **state)
{
	static const int64_t steps[] = { MINUTE_MS, 5 * MINUTE_MS, HOUR_MS, HOUR_MS };
	struct relay_world w;
	struct sim_peer *p;
	bool differs = false;

	(void)state;
	relay_world_open(&w, 1, YAML_UPSTREAM, NULL);
	p = relay_world_peer(&w, NEXT_HOP, DEFERS_ALL);
	relay_world_send(&w, "a@example.com", "b@example.net", SMALL);
	relay_world_await(&w, "deferred", 1, MINUTE_MS);
	for (unsigned i = 0; i < ARRAY_LEN(steps); i++) {
		int64_t began = io_now_at(sim_io(w.sim)), passed;

		relay_world_await(&w, "deferred", i + 2, 2 * HOUR_MS);
		passed = io_now_at(sim_io(w.sim)) - began;
		assert_in_range(passed, steps[i] * 9 / 10 - 200, steps[i] * 11 / 10 + 400);
		differs = differs || passed < steps[i] * 99 / 100 || passed > steps[i] * 101 / 100;
		relay_world_check(&w);
	}
	assert_true(differs); /* jitter */
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
}

static void the_last_attempt_is_made_when_the_time_is_over(void **state)
{
	struct relay_world w;
	struct sim_peer *p;
	int64_t began, passed;

	(void)state;
	relay_world_open(&w, 2, YAML_UPSTREAM, NULL);
	p = relay_world_peer(&w, NEXT_HOP, DEFERS_ALL);
	began = io_now_at(sim_io(w.sim));
	relay_world_send(&w, "", "b@example.net", SMALL); /* bounce_give_up_after */
	relay_world_send(&w, "a@example.com", "b@example.net", SMALL);
	relay_world_await(&w, "expired", 2, 8 * DAY_MS);
	passed = io_now_at(sim_io(w.sim)) - began;
	assert_true(passed >= DAY_MS && passed < DAY_MS + 2 * HOUR_MS);
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
}

/* ---------------------------------------------------------------- pauses of a destination */

static void keep_pause(void *owner, const struct schedule_destination *d)
{
	*(int64_t *)owner = d->suspended_until_time;
}

/* Several connections fail together: that is one failure, and the host is asked again soon. */
static void a_burst_to_a_dead_host_is_tried_again_soon(void **state)
{
	struct relay_world w;
	int64_t pause_until = 0;
	struct sim_peer *p;

	(void)state;
	relay_world_open(&w, 3, YAML_UPSTREAM, NULL);
	assert_int_equal(sim_set_reach(w.sim, NEXT_HOP, SIM_SILENT), ERR_OK);
	send_many(&w, 40, "b@example.net");
	relay_world_await(&w, "deferred", 40, MINUTE_MS);
	schedule_each_destination(server_schedule(w.server), keep_pause, &pause_until);
	assert_true(pause_until > 0 && pause_until - io_now_time(sim_io(w.sim)) <= 22 * SECOND_MS);
	assert_int_equal(sim_set_reach(w.sim, NEXT_HOP, SIM_REACHABLE), ERR_OK);
	p = relay_world_peer(&w, NEXT_HOP, TAKES_ALL);
	relay_world_await(&w, "delivered", 40, 90 * SECOND_MS);
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
}

/* A host that failed is asked by one connection at a time. */
static void a_failed_host_is_asked_by_one_connection(void **state)
{
	struct relay_world w;
	unsigned most = 0;

	(void)state;
	relay_world_open(&w, 4, YAML_UPSTREAM, NULL);
	assert_int_equal(sim_set_reach(w.sim, NEXT_HOP, SIM_SILENT), ERR_OK);
	send_many(&w, 30, "b@example.net");
	relay_world_await(&w, "deferred", 30, 5 * MINUTE_MS);
	for (unsigned i = 0; i < 600; i++) {
		sim_run(w.sim, SECOND_MS);
		most = MAX(most, schedule_count(server_schedule(w.server)).connections);
	}
	assert_int_equal(most, 1);
	relay_world_check(&w);
	relay_world_stop(&w);
	end_world(&w);
}

/* What arrives during a pause waits for its end, not longer, and expires if its time is over. */
static void mail_that_comes_during_a_pause_has_its_turn(void **state)
{
	struct relay_world w;
	struct sim_peer *p;

	(void)state;
	relay_world_open(&w, 5, YAML_UPSTREAM, NULL);
	assert_int_equal(sim_set_reach(w.sim, NEXT_HOP, SIM_REFUSED), ERR_OK);
	send_many(&w, 3, "b@example.net");
	relay_world_await(&w, "deferred", 3, MINUTE_MS);
	send_many(&w, 3, "b@example.net");
	relay_world_check(&w);
	assert_int_equal(sim_set_reach(w.sim, NEXT_HOP, SIM_REACHABLE), ERR_OK);
	p = relay_world_peer(&w, NEXT_HOP, TAKES_ALL);
	relay_world_await(&w, "delivered", 6, 2 * MINUTE_MS);
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
}

static void mail_to_a_host_that_stays_away_expires_on_time(void **state)
{
	struct relay_world w;
	int64_t began;

	(void)state;
	relay_world_open(&w, 6, YAML_UPSTREAM, NULL);
	assert_int_equal(sim_set_reach(w.sim, NEXT_HOP, SIM_SILENT), ERR_OK);
	began = io_now_at(sim_io(w.sim));
	for (unsigned i = 0; i < 20; i++)
		relay_world_send(&w, "", "b@example.net", SMALL);
	relay_world_await(&w, "expired", 20, 25 * HOUR_MS);
	assert_true(io_now_at(sim_io(w.sim)) - began >= DAY_MS - 10 * MINUTE_MS);
	relay_world_stop(&w);
	end_world(&w);
}

/* ---------------------------------------------------------------- the clock */

static void a_clock_set_back_by_a_day_holds_nothing_up(void **state)
{
	struct relay_world w;
	struct sim_peer *p;

	(void)state;
	relay_world_open(&w, 7, YAML_UPSTREAM, NULL);
	assert_int_equal(sim_set_reach(w.sim, NEXT_HOP, SIM_REFUSED), ERR_OK);
	send_many(&w, 25, "b@example.net");
	relay_world_await(&w, "deferred", 25, MINUTE_MS);
	relay_world_set_clock(&w, -DAY_MS);
	send_many(&w, 5, "b@example.net");
	assert_int_equal(sim_set_reach(w.sim, NEXT_HOP, SIM_REACHABLE), ERR_OK);
	p = relay_world_peer(&w, NEXT_HOP, TAKES_ALL);
	sim_run(w.sim, SECOND_MS);
	relay_world_check(&w);
	relay_world_await(&w, "delivered", 30, 5 * MINUTE_MS);
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
}

/* Those of `received` events, in their order: base 32 sorts as the ids do. */
static bool ids_rise(const struct relay_world *w)
{
	struct text rest = buf_text(&w->events), last = TEXT_EMPTY;

	while (rest.len) {
		struct text line = text_cut(&rest, '\n');
		size_t at = text_find(line, TEXT("\"id\":\""));

		if (text_find(line, TEXT("\"event\":\"received\"")) == line.len)
			continue;
		line = text_head(text_skip(line, at + 6), ID_CHARS);
		if (last.len && text_compare(line, last) <= 0)
			return false;
		last = line;
	}
	return last.len > 0;
}

static void a_clock_set_back_over_a_restart_holds_nothing_up(void **state)
{
	struct relay_world w;
	struct sim_peer *p;

	(void)state;
	relay_world_open(&w, 8, YAML_UPSTREAM, NULL);
	assert_int_equal(sim_set_reach(w.sim, NEXT_HOP, SIM_REFUSED), ERR_OK);
	send_many(&w, 25, "b@example.net");
	relay_world_await(&w, "deferred", 25, MINUTE_MS);
	relay_world_stop(&w);
	relay_world_set_clock(&w, -DAY_MS);
	sim_run(w.sim, 5 * SECOND_MS);
	assert_int_equal(sim_set_reach(w.sim, NEXT_HOP, SIM_REACHABLE), ERR_OK);
	p = relay_world_peer(&w, NEXT_HOP, TAKES_ALL);
	relay_world_start(&w);
	relay_world_await(&w, "delivered", 25, 5 * MINUTE_MS);
	/* ids go on above those that there were */
	send_many(&w, 1, "b@example.net");
	relay_world_await(&w, "delivered", 26, 5 * MINUTE_MS);
	assert_true(ids_rise(&w));
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
}

static void a_clock_set_forward_by_a_day_loses_nothing(void **state)
{
	struct relay_world w;
	struct sim_peer *p;

	(void)state;
	relay_world_open(&w, 9, YAML_UPSTREAM, NULL);
	assert_int_equal(sim_set_reach(w.sim, NEXT_HOP, SIM_REFUSED), ERR_OK);
	send_many(&w, 10, "b@example.net");
	relay_world_await(&w, "deferred", 10, MINUTE_MS);
	relay_world_set_clock(&w, DAY_MS / 2);
	assert_int_equal(sim_set_reach(w.sim, NEXT_HOP, SIM_REACHABLE), ERR_OK);
	p = relay_world_peer(&w, NEXT_HOP, TAKES_ALL);
	relay_world_await(&w, "delivered", 10, 5 * MINUTE_MS);
	assert_int_equal(relay_world_count(&w, "expired"), 0);
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
}

/* ---------------------------------------------------------------- a person's word */

struct found {
	struct relay_world *world;
	enum schedule_verb verb;
	unsigned asked, done, busy, gone;
	bool listed;
};

static void on_acted(void *owner, enum err err)
{
	struct found *f = owner;

	f->done += !err;
	f->busy += err == ERR_BUSY;
	f->gone += err == ERR_NOT_FOUND;
	assert_true(!err || err == ERR_BUSY || err == ERR_NOT_FOUND);
}

static bool act_on_entry(void *owner, const struct queue_entry *entry)
{
	struct found *f = owner;

	for (size_t i = 0; i < entry->recipient_count; i++) {
		f->asked++;
		schedule_act(server_schedule(f->world->server), entry->envelope->id, &entry->recipients[i],
		             f->verb, on_acted, f);
	}
	return true;
}

static void on_listed(void *owner, enum err err)
{
	assert_int_equal(err, ERR_OK);
	((struct found *)owner)->listed = true;
}

static struct found act_on_all(struct relay_world *w, enum schedule_verb verb)
{
	struct found f = { .world = w, .verb = verb };

	queue_each_message(server_queue(w->server), (struct id){ { 0 } }, act_on_entry, on_listed, &f);
	assert_true(sim_run_until(w->sim, &f.listed, 10000));
	for (unsigned i = 0; i < 100 && f.done + f.busy + f.gone < f.asked; i++)
		sim_run(w->sim, 10);
	assert_int_equal(f.done + f.busy + f.gone, f.asked);
	return f;
}

/* A person's word counts before the client's, and a message in hold does not slip out with it. */
static void a_retry_overrides_a_release_time(void **state)
{
	struct relay_world w;
	struct sim_peer *p;
	struct found f;

	(void)state;
	relay_world_open(&w, 10, YAML_UPSTREAM, NULL);
	p = relay_world_peer(&w, NEXT_HOP, TAKES_ALL);
	assert_string_equal(relay_world_say(&w, "EHLO c\r\nMAIL FROM:<a@example.com> HOLDFOR=7200\r\n"
	                                        "RCPT TO:<b@example.net>\r\nDATA\r\n" SMALL ".\r\n"),
	                    "220 250 250 250 354 250 221");
	sim_run(w.sim, 10 * MINUTE_MS);
	assert_int_equal(sim_peer_messages(p), 0);
	f = act_on_all(&w, SCHEDULE_HOLD);
	assert_int_equal(f.done, 1);
	sim_run(w.sim, 10 * MINUTE_MS);
	assert_int_equal(sim_peer_messages(p), 0);
	f = act_on_all(&w, SCHEDULE_RELEASE);
	assert_int_equal(f.done, 1);
	relay_world_await(&w, "delivered", 1, 2000);
	assert_string_equal(relay_world_say(&w, "EHLO c\r\nMAIL FROM:<a@example.com> HOLDFOR=7200\r\n"
	                                        "RCPT TO:<b@example.net>\r\nDATA\r\n" SMALL ".\r\n"),
	                    "220 250 250 250 354 250 221");
	sim_run(w.sim, 10 * MINUTE_MS);
	assert_int_equal(sim_peer_messages(p), 1);
	f = act_on_all(&w, SCHEDULE_RETRY);
	assert_int_equal(f.done, 1);
	relay_world_await(&w, "delivered", 2, 2000);
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
}

/* Rows that wait for times hours away look as if they were of another clock when it is set back: they are read, and wait on. */
static void a_clock_that_is_set_back_releases_nothing(void **state)
{
	struct relay_world w;
	struct sim_peer *p;

	(void)state;
	relay_world_open(&w, 11, YAML_UPSTREAM, NULL);
	p = relay_world_peer(&w, NEXT_HOP, TAKES_ALL);
	assert_string_equal(relay_world_say(&w, "EHLO c\r\nMAIL FROM:<a@example.com> HOLDFOR=14400\r\n"
	                                        "RCPT TO:<b@example.net>\r\nDATA\r\n" SMALL ".\r\n"),
	                    "220 250 250 250 354 250 221");
	relay_world_set_clock(&w, -2 * HOUR_MS);
	sim_run(w.sim, 5 * HOUR_MS);
	assert_int_equal(sim_peer_messages(p), 0);
	relay_world_check(&w);
	relay_world_await(&w, "delivered", 1, 2 * HOUR_MS);
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
}

static void a_retry_ends_the_pause(void **state)
{
	struct relay_world w;
	struct sim_peer *p;
	struct found f;

	(void)state;
	relay_world_open(&w, 10, YAML_UPSTREAM, NULL);
	assert_int_equal(sim_set_reach(w.sim, NEXT_HOP, SIM_REFUSED), ERR_OK);
	send_many(&w, 5, "b@example.net");
	sim_run(w.sim, 20 * MINUTE_MS);
	assert_int_equal(sim_set_reach(w.sim, NEXT_HOP, SIM_REACHABLE), ERR_OK);
	p = relay_world_peer(&w, NEXT_HOP, TAKES_ALL);
	f = act_on_all(&w, SCHEDULE_RETRY);
	assert_int_equal(f.done + f.busy, f.asked);
	relay_world_await(&w, "delivered", 5, 2000);
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
}

static void what_is_held_waits_for_its_release_and_does_not_expire(void **state)
{
	struct relay_world w;
	struct sim_peer *p;
	unsigned before;

	(void)state;
	relay_world_open(&w, 11, YAML_UPSTREAM, NULL);
	assert_int_equal(sim_set_reach(w.sim, NEXT_HOP, SIM_REFUSED), ERR_OK);
	send_many(&w, 5, "b@example.net");
	relay_world_await(&w, "deferred", 5, MINUTE_MS);
	assert_int_equal(act_on_all(&w, SCHEDULE_HOLD).done, 5);
	assert_int_equal(queue_space(server_queue(w.server)).held_recipients, 5);
	before = relay_world_count(&w, "deferred");
	sim_run(w.sim, 3 * DAY_MS);
	relay_world_check(&w);
	assert_int_equal(relay_world_count(&w, "expired"), 0);
	assert_int_equal(relay_world_count(&w, "deferred"), before);
	assert_int_equal(act_on_all(&w, SCHEDULE_HOLD).gone, 5); /* it is held already */
	assert_int_equal(sim_set_reach(w.sim, NEXT_HOP, SIM_REACHABLE), ERR_OK);
	p = relay_world_peer(&w, NEXT_HOP, TAKES_ALL);
	assert_int_equal(act_on_all(&w, SCHEDULE_RELEASE).done, 5);
	relay_world_await(&w, "delivered", 5, 2000);
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
}

/* A pause keeps messages ready in memory; those that a person takes away there must not start while their rows change. */
static void what_is_dropped_or_held_is_not_sent_meanwhile(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 20; round++) {
		struct relay_world w;
		struct sim_peer *p;
		struct found f;
		bool hold = round % 2;
		unsigned before;

		relay_world_open(&w, 500 + round, YAML_UPSTREAM "limits: {any: {connections: 1}}\n", NULL);
		assert_int_equal(sim_set_reach(w.sim, NEXT_HOP, SIM_REFUSED), ERR_OK);
		send_many(&w, 3, "b@example.net");
		relay_world_await(&w, "deferred", 3, MINUTE_MS);
		send_many(&w, 60, "b@example.net"); /* these are ready in memory */
		assert_int_equal(sim_set_reach(w.sim, NEXT_HOP, SIM_REACHABLE), ERR_OK);
		p = relay_world_peer(&w, NEXT_HOP, TAKES_ALL);
		relay_world_await(&w, "delivered", 5 + round, 2 * MINUTE_MS);
		before = relay_world_count(&w, "delivered");
		f = act_on_all(&w, hold ? SCHEDULE_HOLD : SCHEDULE_DROP);
		assert_true(f.done > 0);
		relay_world_check(&w);
		sim_run(w.sim, 10 * MINUTE_MS);
		/* what was done was done, the rest went its way: nothing of both */
		assert_int_equal(sim_peer_messages(p) + f.done, 63);
		assert_true(sim_peer_messages(p) >= before);
		assert_int_equal(queue_space(server_queue(w.server)).recipients, hold ? f.done : 0);
		relay_world_stop(&w);
		sim_peer_free(&p);
		relay_world_close(&w);
	}
}

struct seen {
	struct id ids[8];
	struct queue_recipient recipients[8];
	unsigned count;
	bool listed;
};

static bool keep_entry(void *owner, const struct queue_entry *entry)
{
	struct seen *seen = owner;

	seen->ids[seen->count] = entry->envelope->id;
	seen->recipients[seen->count] = entry->recipients[0];
	seen->recipients[seen->count].key = TEXT("upstream:next");
	seen->recipients[seen->count].reply = seen->recipients[seen->count].remote = TEXT_EMPTY;
	seen->count++;
	return true;
}

static void on_seen(void *owner, enum err err)
{
	assert_int_equal(err, ERR_OK);
	((struct seen *)owner)->listed = true;
}

/* What was delivered since a person saw it is not dropped, held or sent once more. */
static void what_is_over_is_not_found(void **state)
{
	(void)state;
	for (enum schedule_verb verb = SCHEDULE_RETRY; verb <= SCHEDULE_DROP; verb++) {
		struct relay_world w;
		struct sim_peer *p;
		struct seen seen = { 0 };
		struct found f = { 0 };

		if (verb == SCHEDULE_RELEASE)
			continue;
		relay_world_open(&w, 600 + verb, YAML_UPSTREAM, NULL);
		assert_int_equal(sim_set_reach(w.sim, NEXT_HOP, SIM_REFUSED), ERR_OK);
		send_many(&w, 5, "b@example.net");
		queue_each_message(server_queue(w.server), (struct id){ { 0 } }, keep_entry, on_seen, &seen);
		assert_true(sim_run_until(w.sim, &seen.listed, 10000));
		assert_int_equal(seen.count, 5);
		assert_int_equal(sim_set_reach(w.sim, NEXT_HOP, SIM_REACHABLE), ERR_OK);
		p = relay_world_peer(&w, NEXT_HOP, TAKES_ALL);
		relay_world_await(&w, "delivered", 5, 5 * MINUTE_MS);
		sim_run(w.sim, SECOND_MS);
		for (unsigned i = 0; i < seen.count; i++)
			schedule_act(server_schedule(w.server), seen.ids[i], &seen.recipients[i], verb,
			             on_acted, &f);
		sim_run(w.sim, MINUTE_MS);
		assert_int_equal(f.gone, 5);
		assert_int_equal(sim_peer_messages(p), 5);
		stop_world(&w);
		sim_peer_free(&p);
		end_world(&w);
	}
}

/* The first recipients wait for their second attempt while the message's last ones still have their first. */
static void a_recipient_is_due_while_its_message_is_at_work(void **state)
{
	struct relay_world w;
	struct sim_peer *p;

	(void)state;
	relay_world_open(&w, 12, YAML_UPSTREAM "limits: {any: {recipients_per_message: 1, connections: 1}}\n",
	                 NULL);
	p = relay_world_peer(
		&w, NEXT_HOP,
		HELLO
		"C: MAIL *\nC: RCPT *\nC: DATA\nS: 250 ok\nS: 450 4.2.1 busy\nS: 503 no\nC: RSET\nS: 250 ok\n"
		"again:\n" ENVELOPE "after 40 s\n" ACCEPTS "S: 250 ok\nrepeat\n");
	assert_int_equal(sim_peer_add_script(p, TAKES_ALL), ERR_OK);
	(void)relay_world_say(
		&w, "EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<b0@example.net>\r\nRCPT TO:<b1@example.net>\r\n"
		    "RCPT TO:<b2@example.net>\r\nRCPT TO:<b3@example.net>\r\nDATA\r\n" SMALL ".\r\n");
	relay_world_await(&w, "delivered", 4, 10 * MINUTE_MS);
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(steps_follow_the_schedule_with_jitter),
		cmocka_unit_test(the_last_attempt_is_made_when_the_time_is_over),
		cmocka_unit_test(a_burst_to_a_dead_host_is_tried_again_soon),
		cmocka_unit_test(a_failed_host_is_asked_by_one_connection),
		cmocka_unit_test(mail_that_comes_during_a_pause_has_its_turn),
		cmocka_unit_test(mail_to_a_host_that_stays_away_expires_on_time),
		cmocka_unit_test(a_clock_set_back_by_a_day_holds_nothing_up),
		cmocka_unit_test(a_clock_set_back_over_a_restart_holds_nothing_up),
		cmocka_unit_test(a_clock_set_forward_by_a_day_loses_nothing),
		cmocka_unit_test(a_retry_ends_the_pause),
		cmocka_unit_test(a_retry_overrides_a_release_time),
		cmocka_unit_test(a_clock_that_is_set_back_releases_nothing),
		cmocka_unit_test(what_is_held_waits_for_its_release_and_does_not_expire),
		cmocka_unit_test(what_is_dropped_or_held_is_not_sent_meanwhile),
		cmocka_unit_test(what_is_over_is_not_found),
		cmocka_unit_test(a_recipient_is_due_while_its_message_is_at_work),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
