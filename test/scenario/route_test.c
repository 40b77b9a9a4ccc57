/* Which way mail goes, and what happens to it when the configuration changes under it. */
#include "scripts.h"

#include "../../src/schedule/internal.h"

#define UPSTREAMS \
	"upstreams: {one: {hosts: [10.0.0.1:25], tls: none}, two: {hosts: [10.0.0.2:25], tls: none}}\n"
#define TO_ONE YAML_HEAD UPSTREAMS "routes: [{to: any, via: one}]\n" YAML_RETRY
#define TO_TWO YAML_HEAD UPSTREAMS "routes: [{to: any, via: two}]\n" YAML_RETRY
#define ONLY_TWO                                                \
	YAML_HEAD                                               \
	"upstreams: {two: {hosts: [10.0.0.2:25], tls: none}}\n" \
	"routes: [{to: any, via: two}]\n" YAML_RETRY
#define SECOND_HOP AT(10, 0, 0, 2, 25)

/* Ends the pause of a destination, as a person's word does. */
static void wake(void *owner, const struct schedule_destination *d)
{
	struct relay_world *w = owner;

	destination_try_now(destination_find(server_schedule(w->server), d->key));
}

static void postmaster_has_a_destination(void **state)
{
	struct relay_world w;
	struct sim_peer *p;

	(void)state;
	relay_world_open(&w, 1, YAML_UPSTREAM "rewrite: {recipients: {postmaster: ops@example.com}}\n", NULL);
	p = relay_world_peer(&w, NEXT_HOP, TAKES_ALL);
	relay_world_send(&w, "a@example.com", "postmaster", SMALL);
	relay_world_await(&w, "delivered", 1, 10000);
	assert_true(text_find(sim_peer_transcript(p), TEXT("RCPT TO:<ops@example.com>")) <
	            sim_peer_transcript(p).len);
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
}

static void routes_without_a_next_hop_settle_what_comes(void **state)
{
	struct relay_world w;

	(void)state;
	relay_world_open(&w, 2,
	                 YAML_HEAD
	                 "routes: [{to: held.example, via: hold}, {to: gone.example, via: discard}, "
	                 "{to: any, via: reject}]\n" YAML_RETRY,
	                 NULL);
	relay_world_send(&w, "a@example.com", "b@held.example", SMALL);
	relay_world_send(&w, "a@example.com", "b@gone.example", SMALL);
	assert_string_equal(
		relay_world_say(&w, "EHLO c\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@other.example>\r\n"),
		"220 250 250 550 221");
	relay_world_await(&w, "dropped", 1, 10000);
	assert_int_equal(queue_space(server_queue(w.server)).held_recipients, 1);
	assert_int_equal(queue_space(server_queue(w.server)).recipients, 1);
	sim_run(w.sim, 3 * DAY_MS);
	assert_int_equal(queue_space(server_queue(w.server)).held_recipients, 1);
	end_world(&w);
}

/* A reload while mail waits in memory and on disk: it goes the new way, also when the old one is configured no more. */
static void waiting_mail_goes_the_new_way(const char *new_yaml, uint64_t seed)
{
	struct relay_world w;
	struct sim_peer *p;

	relay_world_open(&w, seed, TO_ONE "limits: {any: {connections: 2}}\n", NULL);
	assert_int_equal(sim_set_reach(w.sim, NEXT_HOP, SIM_REFUSED), ERR_OK);
	send_many(&w, 10, "b@example.net");
	relay_world_await(&w, "deferred", 10, MINUTE_MS); /* these are on disk */
	send_many(&w, 10, "b@example.net");               /* and these in memory, as the destination rests */
	p = relay_world_peer(&w, SECOND_HOP, TAKES_ALL);
	assert_int_equal(relay_world_reload(&w, new_yaml), ERR_OK);
	relay_world_await(&w, "delivered", 10, 5000);
	relay_world_check(&w);
	relay_world_await(&w, "delivered", 20, 10 * MINUTE_MS);
	assert_int_equal(sim_peer_messages(p), 20);
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
}

static void waiting_mail_moves_to_another_upstream(void **state)
{
	(void)state;
	waiting_mail_goes_the_new_way(TO_TWO, 3);
}

static void mail_of_an_upstream_that_vanished_moves(void **state)
{
	(void)state;
	waiting_mail_goes_the_new_way(ONLY_TWO, 4);
}

/* More in memory than are asked for their new way at once, and the old way is open again at that moment. */
static void hundreds_in_memory_go_the_new_way(void **state)
{
	struct relay_world w;
	struct sim_peer *one, *two;

	(void)state;
	relay_world_open(&w, 12, TO_ONE, NULL);
	assert_int_equal(sim_set_reach(w.sim, NEXT_HOP, SIM_REFUSED), ERR_OK);
	send_many(&w, 900, "b@example.net");
	one = relay_world_peer(&w, NEXT_HOP, TAKES_ALL);
	two = relay_world_peer(&w, SECOND_HOP, TAKES_ALL);
	assert_int_equal(sim_set_reach(w.sim, NEXT_HOP, SIM_REACHABLE), ERR_OK);
	schedule_each_destination(server_schedule(w.server), wake, &w);
	assert_int_equal(relay_world_reload(&w, ONLY_TWO), ERR_OK);
	relay_world_await(&w, "delivered", 900, 5 * MINUTE_MS);
	assert_int_equal(sim_peer_messages(one), 0);
	assert_int_equal(sim_peer_messages(two), 900);
	stop_world(&w);
	sim_peer_free(&one);
	sim_peer_free(&two);
	end_world(&w);
}

static void mail_of_a_route_that_rejects_now_bounces_with_its_words(void **state)
{
	struct relay_world w;

	(void)state;
	relay_world_open(&w, 5, TO_ONE, NULL);
	assert_int_equal(sim_set_reach(w.sim, NEXT_HOP, SIM_REFUSED), ERR_OK);
	send_many(&w, 4, "b@example.net");
	assert_int_equal(
		relay_world_reload(
			&w, YAML_HEAD UPSTREAMS
			"routes: [{to: example.net, via: reject}, {to: any, via: one}]\n" YAML_RETRY),
		ERR_OK);
	relay_world_await(&w, "bounced", 4, 5 * MINUTE_MS);
	assert_true(relay_world_said(&w, "a route of this relay rejects"));
	end_world(&w);
}

static void mail_of_a_route_that_holds_now_is_held(void **state)
{
	struct relay_world w;

	(void)state;
	relay_world_open(&w, 6, TO_ONE, NULL);
	assert_int_equal(sim_set_reach(w.sim, NEXT_HOP, SIM_REFUSED), ERR_OK);
	send_many(&w, 4, "b@example.net");
	assert_int_equal(relay_world_reload(
				 &w, YAML_HEAD UPSTREAMS
				 "routes: [{to: example.net, via: hold}, {to: any, via: one}]\n" YAML_RETRY),
	                 ERR_OK);
	sim_run(w.sim, 5 * MINUTE_MS);
	assert_int_equal(queue_space(server_queue(w.server)).held_recipients, 4);
	end_world(&w);
}

/* Recipients that shared a way and now do not. */
static void recipients_that_part_ways_all_arrive(void **state)
{
	struct relay_world w;
	struct sim_peer *one, *two;

	(void)state;
	relay_world_open(&w, 7, TO_ONE, NULL);
	assert_int_equal(sim_set_reach(w.sim, NEXT_HOP, SIM_REFUSED), ERR_OK);
	send_many(&w, 1, "x@example.net"); /* rests */
	for (int i = 0; i < 5; i++)
		(void)relay_world_say(&w,
		                      "EHLO c\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b1@one.example>\r\n"
		                      "RCPT TO:<b2@two.example>\r\nRCPT TO:<b3@one.example>\r\n"
		                      "RCPT TO:<b4@two.example>\r\nDATA\r\n" SMALL ".\r\n");
	assert_int_equal(sim_set_reach(w.sim, NEXT_HOP, SIM_REACHABLE), ERR_OK);
	one = relay_world_peer(
		&w, NEXT_HOP,
		HELLO
		"again:\nC: MAIL *\nS: 250 ok\nC: RCPT *\nS: 250 ok\nC: DATA\nS: 354 go\nD:\nS: 250 ok\nrepeat\n");
	two = relay_world_peer(
		&w, SECOND_HOP,
		HELLO
		"again:\nC: MAIL *\nS: 250 ok\nC: RCPT *\nS: 250 ok\nC: DATA\nS: 354 go\nD:\nS: 250 ok\nrepeat\n");
	assert_int_equal(
		relay_world_reload(&w, YAML_HEAD UPSTREAMS
	                           "routes: [{to: two.example, via: two}, {to: any, via: one}]\n" YAML_RETRY
	                           "limits: {any: {recipients_per_message: 1}}\n"),
		ERR_OK);
	relay_world_await(&w, "delivered", 21, 10 * MINUTE_MS);
	assert_int_equal(sim_peer_messages(one), 11);
	assert_int_equal(sim_peer_messages(two), 10);
	stop_world(&w);
	sim_peer_free(&one);
	sim_peer_free(&two);
	end_world(&w);
}

/* Again and again while mail flows: the snapshot of a moment ago is still in use in many places. */
static void reloads_under_load_lose_nothing(void **state)
{
	struct relay_world w;
	struct sim_peer *one, *two;

	(void)state;
	relay_world_open(&w, 8, TO_ONE, NULL);
	one = relay_world_peer(&w, NEXT_HOP, TAKES_ALL);
	two = relay_world_peer(&w, SECOND_HOP, TAKES_ALL);
	for (unsigned i = 0; i < 60; i++) {
		send_many(&w, 5, "b@example.net");
		assert_int_equal(relay_world_reload(&w, i % 3 == 0   ? ONLY_TWO
		                                        : i % 3 == 1 ? TO_ONE
		                                                     : TO_TWO),
		                 ERR_OK);
	}
	relay_world_await(&w, "delivered", 300, 5 * MINUTE_MS);
	assert_int_equal(sim_peer_messages(one) + sim_peer_messages(two), 300);
	stop_world(&w);
	sim_peer_free(&one);
	sim_peer_free(&two);
	end_world(&w);
}

/* ---------------------------------------------------------------- listeners */

#define AT_PORT(port) "hostname: relay.test\nspool: {path: /spool}\nlisten: [{address: 127.0.0.1:" port "}]\n"
#define ELSEWHERE       \
	AT_PORT("2626") \
	"upstreams: {next: {hosts: [10.0.0.1:25], tls: none}}\nroutes: [{to: any, via: next}]\n" YAML_RETRY

struct visitor {
	struct io_stream *stream;
	struct buf told;
	bool closed;
};

static size_t on_data(void *owner, struct text bytes)
{
	buf_add(&((struct visitor *)owner)->told, bytes);
	return bytes.len;
}

static void on_nothing(void *owner)
{
	(void)owner;
}

static void on_eof(void *owner)
{
	io_stream_close(((struct visitor *)owner)->stream);
}

static void on_closed(void *owner, enum err why)
{
	(void)why;
	((struct visitor *)owner)->closed = true;
}

static const struct io_stream_events visitor_events = { on_nothing, on_data, on_eof, on_nothing, on_closed };

static void visit(struct relay_world *w, struct visitor *v, struct ip_port at)
{
	*v = (struct visitor){ .told = BUF(1u << 20) };
	assert_int_equal(io_connect(sim_io(w->sim), &(struct io_address){ .ip = at }, NULL, &visitor_events,
	                            v, &v->stream),
	                 ERR_OK);
	sim_run(w->sim, 100);
}

static void say(struct relay_world *w, struct visitor *v, const char *words, const char *answer)
{
	struct text t = text_from(words);

	buf_reset(&v->told);
	io_stream_write(v->stream, &t, 1);
	sim_run(w->sim, 100);
	if (!text_starts(buf_text(&v->told), text_from(answer)))
		fail_msg("to %s: %.*s instead of %s", words, TEXT_ARGS(buf_text(&v->told)), answer);
}

static void a_session_outlives_its_listener(void **state)
{
	struct relay_world w;
	struct visitor old, new;

	(void)state;
	relay_world_open(&w, 9, YAML_UPSTREAM, NULL);
	visit(&w, &old, RELAY_AT);
	say(&w, &old, "EHLO c\r\nMAIL FROM:<>\r\n", "250");
	assert_int_equal(relay_world_reload(&w, ELSEWHERE), ERR_OK);
	assert_int_equal(relay_world_reload(&w, ELSEWHERE), ERR_OK);
	visit(&w, &new, RELAY_AT);
	assert_true(new.closed &&new.told.len == 0);
	buf_fini(&new.told);
	visit(&w, &new, AT(127, 0, 0, 1, 2626));
	assert_true(text_starts(buf_text(&new.told), TEXT("220 ")));
	say(&w, &old, "RCPT TO:<b@example.net>\r\n", "250");
	say(&w, &old, "DATA\r\n", "354");
	say(&w, &old, SMALL ".\r\n", "250");
	say(&w, &old, "MAIL FROM:<>\r\n", "250");
	say(&w, &old, "QUIT\r\n", "221");
	say(&w, &new, "QUIT\r\n", "221");
	sim_run(w.sim, 20000);
	assert_true(old.closed && new.closed);
	buf_fini(&old.told);
	buf_fini(&new.told);
	end_world(&w);
}

/* What cannot be opened leaves all as it was. */
static void a_listener_that_cannot_be_opened_keeps_the_old_configuration(void **state)
{
	struct relay_world w;
	struct sim_peer *p, *squatter;

	(void)state;
	relay_world_open(&w, 10, YAML_UPSTREAM, NULL);
	p = relay_world_peer(&w, NEXT_HOP, TAKES_ALL);
	squatter = relay_world_peer(&w, AT(127, 0, 0, 1, 2626), "S: 220 x\n");
	assert_int_equal(relay_world_reload(&w, ELSEWHERE), ERR_BUSY);
	assert_int_equal(relay_world_count(&w, "reload_failed"), 1);
	send_many(&w, 3, "b@example.net");
	relay_world_await(&w, "delivered", 3, 10000);
	stop_world(&w);
	sim_peer_free(&p);
	sim_peer_free(&squatter);
	end_world(&w);
}

/* A session between two transactions learns of the new configuration, one inside goes on under the old. */
static void a_session_learns_between_transactions(void **state)
{
	struct relay_world w;
	struct visitor v;

	(void)state;
	relay_world_open(&w, 11, YAML_UPSTREAM, NULL);
	visit(&w, &v, RELAY_AT);
	say(&w, &v, "EHLO c\r\n", "250");
	say(&w, &v, "MAIL FROM:<>\r\n", "250");
	assert_int_equal(relay_world_reload(&w, YAML_UPSTREAM "access: {recipients: [other.example]}\n"),
	                 ERR_OK);
	say(&w, &v, "RCPT TO:<b@example.net>\r\n", "250");
	say(&w, &v, "RSET\r\n", "250");
	say(&w, &v, "MAIL FROM:<>\r\n", "250");
	say(&w, &v, "RCPT TO:<b@example.net>\r\n", "550");
	say(&w, &v, "QUIT\r\n", "221");
	sim_run(w.sim, 20000);
	buf_fini(&v.told);
	end_world(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(postmaster_has_a_destination),
		cmocka_unit_test(routes_without_a_next_hop_settle_what_comes),
		cmocka_unit_test(waiting_mail_moves_to_another_upstream),
		cmocka_unit_test(mail_of_an_upstream_that_vanished_moves),
		cmocka_unit_test(hundreds_in_memory_go_the_new_way),
		cmocka_unit_test(mail_of_a_route_that_rejects_now_bounces_with_its_words),
		cmocka_unit_test(mail_of_a_route_that_holds_now_is_held),
		cmocka_unit_test(recipients_that_part_ways_all_arrive),
		cmocka_unit_test(reloads_under_load_lose_nothing),
		cmocka_unit_test(a_session_outlives_its_listener),
		cmocka_unit_test(a_listener_that_cannot_be_opened_keeps_the_old_configuration),
		cmocka_unit_test(a_session_learns_between_transactions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
