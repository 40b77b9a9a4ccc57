/* The ledger of unknown outcomes: what it says is what is true, and "unknown" only where nobody on this side can know. */
#include "scripts.h"

#include <stdio.h>
#include <stdlib.h>

#include "../../src/queue/fault.h"

#define YAML_LEDGER(more)                                                               \
	YAML_HEAD "upstreams: {next: {hosts: [10.0.0.1:25, 10.0.0.2:25], tls: none}}\n" \
		  "routes: [{to: any, via: next" more "}]\n" YAML_RETRY
#define OTHER_HOST AT(10, 0, 0, 2, 25)

/* ---------------------------------------------------------------- a row */

struct look {
	bool found;
	struct queue_recipient recipient;
	char remote[200], reply[300];
	bool over;
};

static bool on_entry(void *owner, const struct queue_entry *entry)
{
	struct look *l = owner;
	const struct queue_recipient *r = &entry->recipients[0];

	l->found = entry->recipient_count > 0;
	if (l->found) {
		l->recipient = *r;
		snprintf(l->remote, sizeof(l->remote), "%.*s", TEXT_ARGS(r->remote));
		snprintf(l->reply, sizeof(l->reply), "%.*s", TEXT_ARGS(r->reply));
	}
	return false;
}

static void on_over(void *owner, enum err err)
{
	(void)err;
	((struct look *)owner)->over = true;
}

static struct look first_row(struct relay_world *w)
{
	static const struct id from;
	struct look l = { 0 };

	queue_each_message(server_queue(w->server), from, on_entry, on_over, &l);
	assert_true(sim_run_until(w->sim, &l.over, MINUTE_MS));
	return l;
}

/* ---------------------------------------------------------------- a cut at each octet */

/* A next hop that takes so many octets of the mail data, and gives so many of its answer to the dot, and then is gone. */
struct cutter {
	struct sim *sim;
	struct io_listener *listener;
	struct io_stream *stream;
	size_t data_octets, reply_octets; /* SIZE_MAX: all */
	size_t taken;                     /* of the mail data */
	unsigned lines;
	bool has_all, said_all, open;
};

static const char cut_data[] = "Subject: one\r\n\r\nx\r\n.\r\n";
static const char cut_reply[] = "250 2.0.0 taken\r\n";

static void say(struct cutter *c, const char *words, size_t len)
{
	struct text t = text_of(words, len);

	io_stream_write(c->stream, &t, 1);
}

static void finish(struct cutter *c)
{
	c->open = false;
	io_stream_finish(c->stream);
}

static void answer_dot(struct cutter *c)
{
	size_t len = MIN(c->reply_octets, sizeof(cut_reply) - 1);

	c->has_all = true;
	c->said_all = len == sizeof(cut_reply) - 1;
	if (len)
		say(c, cut_reply, len);
	if (!c->said_all)
		finish(c);
}

/* The Received field comes first: what counts are the last octets, those of cut_data. */
static size_t take_data(struct cutter *c, struct text bytes)
{
	for (size_t i = 0; i < bytes.len && c->open; i++) {
		size_t tail = sizeof(cut_data) - 1;

		if (c->taken == 0) {
			if (bytes.len - i < tail || memcmp(bytes.at + i, cut_data, 8) != 0)
				continue;
		}
		if (c->taken == c->data_octets) {
			finish(c);
			return bytes.len;
		}
		if (++c->taken == tail)
			answer_dot(c);
	}
	return bytes.len;
}

static size_t on_data(void *owner, struct text bytes)
{
	static const char *const replies[] = { "250-x\r\n250 PIPELINING\r\n", "250 ok\r\n", "250 ok\r\n",
		                               "354 go\r\n" };
	struct cutter *c = owner;
	size_t used = 0;

	if (!c->open)
		return bytes.len;
	while (c->lines < 4 && text_find_octet(text_skip(bytes, used), '\n') < bytes.len - used) {
		used += text_find_octet(text_skip(bytes, used), '\n') + 1;
		say(c, replies[c->lines], strlen(replies[c->lines]));
		c->lines++;
	}
	return c->lines < 4 || used ? MAX(used, (size_t)0) : take_data(c, bytes);
}

static void on_eof(void *owner)
{
	struct cutter *c = owner;

	c->open = false;
	io_stream_close(c->stream);
}

static void on_drained(void *owner)
{
	(void)owner;
}

static void on_closed(void *owner, enum err why)
{
	(void)owner;
	(void)why;
}

static const struct io_stream_events events = {
	.on_data = on_data, .on_eof = on_eof, .on_drained = on_drained, .on_closed = on_closed
};

static void on_accept(void *owner, struct io_stream *stream)
{
	struct cutter *c = owner;

	c->stream = stream;
	c->open = true;
	c->lines = 0;
	io_stream_attach(stream, &events, c);
	say(c, "220 x\r\n", 7);
}

static void check_cut(const char *ledger, size_t data_octets, size_t reply_octets)
{
	struct cutter c = { .data_octets = data_octets, .reply_octets = reply_octets };
	struct relay_world w;
	char yaml[600];

	snprintf(yaml, sizeof(yaml),
	         YAML_HEAD "upstreams: {next: {hosts: [10.0.0.1:25], tls: none}}\n"
	                   "routes: [{to: any, via: next, ledger: %s}]\n" YAML_RETRY,
	         ledger);
	relay_world_open(&w, 1 + data_octets + reply_octets, yaml, NULL);
	c.sim = w.sim;
	assert_int_equal(io_listen(sim_io(w.sim), &(struct io_address){ .ip = NEXT_HOP }, 0, on_accept, &c,
	                           &c.listener),
	                 ERR_OK);
	relay_world_send(&w, "a@example.com", "b@example.net", SMALL);
	sim_run(w.sim, 5 * SECOND_MS);
	struct look l = first_row(&w);

	/* of a host that said all there is nothing to wonder about */
	if (l.found == c.said_all)
		fail_msg("%s, %zu octets and %zu: the row is %s", ledger, data_octets, reply_octets,
		         l.found ? "there" : "gone");
	/* what the host may have has to be called unknown */
	if (c.has_all && l.found &&
	    (!l.recipient.unknown_outcome || l.recipient.reason != REASON_UNKNOWN_OUTCOME))
		fail_msg("%s, %zu octets and %zu: the host has it, and the ledger does not know: %s", ledger,
		         data_octets, reply_octets, l.reply);
	/* what never came to its dot is called so: no octet of it had left when the host went away */
	if (l.found && l.recipient.unknown_outcome)
		assert_non_null(strstr(l.remote, "[10.0.0.1]:25"));
	io_listener_close(&c.listener);
	if (c.open)
		io_stream_close(c.stream);
	relay_world_check(&w);
	relay_world_stop(&w);
	relay_world_close(&w);
}

static void a_cut_at_each_octet_is_told_as_it_is(void **state)
{
	(void)state;
	for (unsigned strict = 0; strict < 2; strict++) {
		for (size_t n = 0; n < sizeof(cut_data); n++)
			check_cut(strict ? "strict" : "lazy", n, SIZE_MAX);
		for (size_t n = 0; n < sizeof(cut_reply); n++)
			check_cut(strict ? "strict" : "lazy", SIZE_MAX, n);
	}
}

/* ---------------------------------------------------------------- power */

struct power {
	struct relay_world *w;
	unsigned commits, at; /* the power fails behind this commit */
	bool off;
};

static enum err at_place(void *owner, unsigned point)
{
	struct power *p = owner;

	if (p->off)
		return point == FAULT_OPEN_MARK || point == FAULT_SWEEP_REMOVE || point == FAULT_RESERVE_MAKE
		               ? ERR_OK
		               : ERR_IO;
	if (point != FAULT_GROUP_COMMITTED || !p->at || ++p->commits != p->at)
		return ERR_OK;
	p->off = true;
	queue_memory_power_off(p->w->memory);
	return ERR_OK;
}

/* Behind its acceptance: nothing was tried. Behind the next commit on a strict route, which is the line of the ledger: it may
 * have been delivered, by that host, then. On a lazy one what was accepted may have been, and nobody knows by whom. */
static void a_crash_leaves_what_the_ledger_says(void **state)
{
	static const struct {
		bool strict;
		unsigned at;
		bool unknown, has_host, was_taken;
	} cases[] = {
		{ true, 1, false, false, false },
		{ true, 2, true, true, false },
		{ false, 1, true, false, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct relay_world w;
		struct power p = { .w = &w };
		struct sim_peer *peer;

		relay_world_open(&w, 50 + i,
		                 cases[i].strict ? YAML_LEDGER(", ledger: strict") : YAML_LEDGER(""), NULL);
		relay_world_stop(&w);
		w.fault = at_place;
		w.fault_owner = &p;
		relay_world_start(&w);
		peer = relay_world_peer(&w, NEXT_HOP, TAKES_ALL);
		p.at = cases[i].at;
		p.commits = 0;
		relay_world_say_until(
			&w,
			"EHLO c\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n" SMALL
			".\r\n",
			1);
		assert_true(sim_run_until(w.sim, &p.off, MINUTE_MS));
		/* the record is there before the dot: at this moment nothing has arrived */
		if (cases[i].strict)
			assert_int_equal(sim_peer_messages(peer), 0);
		assert_int_equal(sim_set_reach(w.sim, NEXT_HOP, SIM_REFUSED), ERR_OK);
		p.at = 0;
		relay_world_crash(&w);
		p.off = false;
		struct look l = first_row(&w);

		assert_true(l.found);
		assert_true(l.recipient.unknown_outcome == cases[i].unknown);
		assert_true((strcmp(l.remote, "10.0.0.1 [10.0.0.1]:25") == 0) == cases[i].has_host);
		assert_true((l.recipient.last_attempt_time > 0) == cases[i].has_host);
		assert_int_equal(l.recipient.attempts, cases[i].has_host ? 1 : 0);
		if (cases[i].unknown)
			assert_int_equal(l.recipient.reason, REASON_UNKNOWN_OUTCOME);
		assert_int_equal(sim_set_reach(w.sim, NEXT_HOP, SIM_REACHABLE), ERR_OK);
		relay_world_await(&w, "delivered", 1, HOUR_MS);
		/* and the delivery says that it may be the second one */
		assert_true(relay_world_said(&w, "an earlier attempt may have delivered it") ==
		            cases[i].unknown);
		relay_world_stop(&w);
		sim_peer_free(&peer);
		relay_world_close(&w);
	}
}

/* ---------------------------------------------------------------- what becomes of it */

static void send_in_doubt(struct relay_world *w, struct sim_peer **one, struct sim_peer **two)
{
	*one = relay_world_peer(w, NEXT_HOP, HELLO ENVELOPE ACCEPTS "S: drops\n");
	assert_int_equal(sim_peer_add_script(*one, "S: 421 4.3.2 not now\n"), ERR_OK);
	*two = relay_world_peer(w, OTHER_HOST, TAKES_ALL);
	relay_world_send(w, "a@example.com", "b@example.net", SMALL);
	sim_run(w->sim, 5 * SECOND_MS);
}

static void end_peers(struct relay_world *w, struct sim_peer *one, struct sim_peer *two)
{
	relay_world_check(w);
	relay_world_stop(w);
	sim_peer_free(&one);
	sim_peer_free(&two);
	relay_world_close(w);
}

static void on_exposure(void *owner, const struct schedule_exposure *e)
{
	*(struct schedule_exposure *)owner = *e;
}

/* Any host will do: the other one takes it while the first is away. */
static void retry_goes_to_any_host(void **state)
{
	struct schedule_exposure seen = { 0 };
	struct relay_world w;
	struct sim_peer *one, *two;

	(void)state;
	relay_world_open(&w, 60, YAML_LEDGER(""), NULL);
	send_in_doubt(&w, &one, &two);
	assert_true(first_row(&w).recipient.unknown_outcome);
	relay_world_await(&w, "delivered", 1, 10 * MINUTE_MS);
	assert_int_equal(sim_peer_messages(two), 1);
	assert_int_equal(schedule_count(server_schedule(w.server)).unknown_outcomes, 1);
	schedule_each_exposure(server_schedule(w.server), on_exposure, &seen);
	assert_true(text_eq(seen.key, TEXT("upstream:next")));
	assert_int_equal(seen.unknown, 1);
	assert_int_equal(seen.attempts, 2);
	assert_true(text_eq(seen.remote, TEXT("10.0.0.1 [10.0.0.1]:25")));
	end_peers(&w, one, two);
}

/* Only the host that may have it: while it is away nobody gets it, and other mail goes on. */
static void same_host_waits_for_the_same_host(void **state)
{
	struct relay_world w;
	struct sim_peer *one, *two;

	(void)state;
	relay_world_open(&w, 61, YAML_LEDGER(", unknown: same-host"), NULL);
	send_in_doubt(&w, &one, &two);
	sim_run(w.sim, 20 * MINUTE_MS);
	assert_int_equal(sim_peer_messages(two), 0);
	struct look l = first_row(&w);

	assert_true(l.recipient.unknown_outcome); /* still: that host has not answered */
	assert_true(l.recipient.attempts >= 3);
	assert_string_equal(l.remote, "10.0.0.1 [10.0.0.1]:25");
	relay_world_send(&w, "a@example.com", "c@example.net", SMALL);
	sim_run(w.sim, SECOND_MS);
	assert_int_equal(sim_peer_messages(two), 1);
	sim_peer_free(&one);
	one = relay_world_peer(&w, NEXT_HOP, TAKES_ALL);
	relay_world_await(&w, "delivered", 2, 3 * HOUR_MS);
	assert_int_equal(sim_peer_messages(one), 1);
	assert_int_equal(sim_peer_messages(two), 1);
	end_peers(&w, one, two);
}

/* An attempt that never came to the envelope says nothing of what an earlier one left. */
static void a_host_that_is_away_ends_no_doubt(void **state)
{
	struct relay_world w;
	struct sim_peer *one, *two;

	(void)state;
	relay_world_open(&w, 65, YAML_LEDGER(""), NULL);
	send_in_doubt(&w, &one, &two);
	assert_int_equal(sim_set_reach(w.sim, NEXT_HOP, SIM_REFUSED), ERR_OK);
	assert_int_equal(sim_set_reach(w.sim, OTHER_HOST, SIM_REFUSED), ERR_OK);
	sim_run(w.sim, 3 * MINUTE_MS);
	struct look l = first_row(&w);

	assert_true(l.recipient.attempts >= 2);
	assert_int_equal(l.recipient.reason, REASON_CONNECT);
	assert_true(l.recipient.unknown_outcome);
	assert_string_equal(l.remote, "10.0.0.1 [10.0.0.1]:25");
	end_peers(&w, one, two);
}

static void on_acted(void *owner, enum err err)
{
	assert_int_equal(err, ERR_OK);
	*(bool *)owner = true;
}

/* A person decides, also behind a crash. */
static void hold_waits_for_a_person(void **state)
{
	struct relay_world w;
	struct sim_peer *one, *two;
	bool acted = false;

	(void)state;
	relay_world_open(&w, 62, YAML_LEDGER(", unknown: hold, ledger: strict"), NULL);
	send_in_doubt(&w, &one, &two);
	assert_int_equal(relay_world_count(&w, "held"), 1);
	sim_run(w.sim, 2 * HOUR_MS);
	struct look l = first_row(&w);

	assert_int_equal(l.recipient.state, QUEUE_HELD);
	assert_int_equal(l.recipient.reason, REASON_UNKNOWN_OUTCOME);
	assert_int_equal(sim_peer_messages(two), 0);
	struct queue_recipient r = l.recipient;

	r.key = TEXT("upstream:next");
	r.reply = r.remote = TEXT_EMPTY;
	static const struct id from;
	struct id id = from;
	struct text all = buf_text(&w.events), key = TEXT("\"event\":\"held\"");
	struct text line = text_skip(all, text_find(all, key));

	assert_int_equal(
		id_from_text(text_head(text_skip(line, text_find(line, TEXT("\"id\":\"")) + 6), ID_CHARS),
	                     &id),
		ERR_OK);
	schedule_act(server_schedule(w.server), id, &r, SCHEDULE_RELEASE, on_acted, &acted);
	assert_true(sim_run_until(w.sim, &acted, MINUTE_MS));
	relay_world_await(&w, "delivered", 1, 10 * MINUTE_MS);
	assert_int_equal(sim_peer_messages(two), 1);
	end_peers(&w, one, two);
}

/* What a crash leaves in doubt is held too, when its turn comes. */
static void hold_holds_what_a_crash_left_in_doubt(void **state)
{
	struct relay_world w;
	struct power p = { .w = &w, .at = 0 };
	struct sim_peer *peer;

	(void)state;
	relay_world_open(&w, 63, YAML_LEDGER(", unknown: hold, ledger: strict"), NULL);
	relay_world_stop(&w);
	w.fault = at_place;
	w.fault_owner = &p;
	relay_world_start(&w);
	peer = relay_world_peer(&w, NEXT_HOP, TAKES_ALL);
	p.commits = 0;
	p.at = 2;
	relay_world_say_until(
		&w,
		"EHLO c\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n" SMALL ".\r\n",
		1);
	assert_true(sim_run_until(w.sim, &p.off, MINUTE_MS));
	p.at = 0;
	relay_world_crash(&w);
	p.off = false;
	relay_world_await(&w, "held", 1, 10 * MINUTE_MS);
	assert_int_equal(first_row(&w).recipient.state, QUEUE_HELD);
	assert_true(relay_world_said(&w, "unknown: hold"));
	relay_world_stop(&w);
	sim_peer_free(&peer);
	relay_world_close(&w);
}

/* A disk that does not take the line lets nothing go: not delivered, and not in doubt. */
static void without_its_line_nothing_leaves(void **state)
{
	struct relay_world w;
	struct sim_peer *p;

	(void)state;
	relay_world_open(&w, 64, YAML_LEDGER(", ledger: strict"), NULL);
	p = relay_world_peer(&w, NEXT_HOP,
	                     HELLO ENVELOPE "S: 250 ok\nS: 250 ok\nafter 2 s\nS: 354 go\nD:\nS: 250 ok\n");
	assert_int_equal(sim_peer_add_script(p, TAKES_ALL), ERR_OK);
	relay_world_send(&w, "a@example.com", "b@example.net", SMALL);
	queue_memory_fail_commits(w.memory, ERR_FULL, 0);
	sim_run(w.sim, 10 * SECOND_MS);
	assert_int_equal(sim_peer_messages(p), 0);
	assert_true(relay_world_said(&w, "could not be noted on disk"));
	queue_memory_fail_commits(w.memory, ERR_OK, 0);
	relay_world_await(&w, "delivered", 1, 10 * MINUTE_MS);
	assert_int_equal(sim_peer_messages(p), 1);
	assert_false(relay_world_said(&w, "unknown_outcome"));
	stop_world(&w);
	sim_peer_free(&p);
	relay_world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_cut_at_each_octet_is_told_as_it_is),
		cmocka_unit_test(a_crash_leaves_what_the_ledger_says),
		cmocka_unit_test(retry_goes_to_any_host),
		cmocka_unit_test(same_host_waits_for_the_same_host),
		cmocka_unit_test(a_host_that_is_away_ends_no_doubt),
		cmocka_unit_test(hold_waits_for_a_person),
		cmocka_unit_test(hold_holds_what_a_crash_left_in_doubt),
		cmocka_unit_test(without_its_line_nothing_leaves),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
