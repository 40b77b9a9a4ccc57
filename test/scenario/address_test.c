/* Connections to one address are limited, whoever has them. */
#include "scripts.h"

#include <stdio.h>

#define LIMIT(number) "limits: {any: {connections_per_address: " #number ", connections: 10, adapt: false}}\n"
#define SLOWLY HELLO "again:\n" ENVELOPE "S: 250 ok\nS: 250 ok\nS: 354 go\nD:\nafter 1 s\nS: 250 ok\nrepeat\n"


/* Two domains that know nothing of each other, and one host behind both. */
static void domains_share_the_limit_of_their_address(void **state)
{
	struct relay_world w;
	struct sim_peer *p;

	(void)state;
	relay_world_open(&w, 1, YAML_DIRECT LIMIT(3),
	                 "a.example. 300 MX 10 mx.a.example.\nmx.a.example. 300 A 10.0.0.1\n"
	                 "b.example. 300 MX 10 mx.b.example.\nmx.b.example. 300 A 10.0.0.1\n");
	p = relay_world_peer(&w, NEXT_HOP, SLOWLY);
	send_many(&w, 40, "x@a.example");
	send_many(&w, 40, "x@b.example");
	/* neither has all of it: 3 in a second, so both are done at about the same time */
	relay_world_await(&w, "delivered", 60, 40 * SECOND_MS);
	assert_true(relay_world_said(&w, "x@b.example"));
	relay_world_await(&w, "delivered", 80, 40 * SECOND_MS);
	assert_int_equal(sim_peer_most_at_once(p), 3);
	assert_int_equal(relay_world_count(&w, "deferred"), 0);
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
}

/* Of equal hosts the one with room is taken; the second choice is no way round. */
static void equal_hosts_are_used_and_the_second_choice_is_not(void **state)
{
	struct relay_world w;
	struct sim_peer *one, *two, *spare;

	(void)state;
	relay_world_open(&w, 2, YAML_DIRECT LIMIT(2),
	                 "a.example. 300 MX 10 mx1.a.example.\na.example. 300 MX 10 mx2.a.example.\n"
	                 "a.example. 300 MX 20 mx3.a.example.\nmx1.a.example. 300 A 10.0.0.1\n"
	                 "mx2.a.example. 300 A 10.0.0.2\nmx3.a.example. 300 A 10.0.0.3\n");
	one = relay_world_peer(&w, NEXT_HOP, SLOWLY);
	two = relay_world_peer(&w, AT(10, 0, 0, 2, 25), SLOWLY);
	spare = relay_world_peer(&w, AT(10, 0, 0, 3, 25), SLOWLY);
	send_many(&w, 40, "x@a.example");
	relay_world_await(&w, "delivered", 40, 30 * SECOND_MS);
	assert_int_equal(sim_peer_most_at_once(one), 2);
	assert_int_equal(sim_peer_most_at_once(two), 2);
	assert_int_equal(sim_peer_connections(spare), 0);
	stop_world(&w);
	sim_peer_free(&one);
	sim_peer_free(&two);
	sim_peer_free(&spare);
	end_world(&w);
}

/* A full first host is waited for; a dead one is passed over. */
static void a_dead_host_is_no_full_one(void **state)
{
	struct relay_world w;
	struct sim_peer *spare;

	(void)state;
	relay_world_open(&w, 3, YAML_DIRECT LIMIT(1),
	                 "a.example. 300 MX 10 mx1.a.example.\na.example. 300 MX 20 mx2.a.example.\n"
	                 "mx1.a.example. 300 A 10.0.0.1\nmx2.a.example. 300 A 10.0.0.2\n");
	spare = relay_world_peer(&w, AT(10, 0, 0, 2, 25), SLOWLY);
	send_many(&w, 10, "x@a.example");
	relay_world_await(&w, "delivered", 10, MINUTE_MS);
	assert_int_equal(sim_peer_most_at_once(spare), 1);
	stop_world(&w);
	sim_peer_free(&spare);
	end_world(&w);
}

/* More domains than the line has places: the others come again, and no attempt is counted. */
#define DOMAINS 150
static void many_domains_at_one_address_all_get_their_turn(void **state)
{
	struct buf zone = BUF(64u << 10);
	struct relay_world w;
	struct sim_peer *p;

	(void)state;
	for (unsigned i = 0; i < DOMAINS; i++)
		buf_add_format(&zone, "d%u.example. 300 MX 10 mx.d%u.example.\nmx.d%u.example. 300 A 10.0.0.1\n", i, i, i);
	buf_add_octet(&zone, 0);
	relay_world_open(&w, 4, YAML_DIRECT LIMIT(2), zone.at);
	p = relay_world_peer(&w, NEXT_HOP, SLOWLY);
	for (unsigned i = 0; i < 2 * DOMAINS; i++) {
		char to[32];

		snprintf(to, sizeof(to), "x@d%u.example", i % DOMAINS);
		relay_world_send(&w, "a@example.com", to, SMALL);
	}
	relay_world_await(&w, "delivered", 2 * DOMAINS, 10 * MINUTE_MS);
	assert_int_equal(sim_peer_most_at_once(p), 2);
	assert_int_equal(relay_world_count(&w, "deferred"), 0);
	assert_false(relay_world_said(&w, "\"attempt\":2"));
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
	buf_fini(&zone);
}

/* One that has nothing to do makes room at once, and does not rest for its ten seconds. */
static void an_idle_connection_makes_room(void **state)
{
	struct relay_world w;
	struct sim_peer *p;

	(void)state;
	relay_world_open(&w, 5, YAML_DIRECT LIMIT(1),
	                 "a.example. 300 MX 10 mx.a.example.\nmx.a.example. 300 A 10.0.0.1\n"
	                 "b.example. 300 MX 10 mx.b.example.\nmx.b.example. 300 A 10.0.0.1\n");
	p = relay_world_peer(&w, NEXT_HOP, TAKES_ALL);
	send_many(&w, 1, "x@a.example");
	relay_world_await(&w, "delivered", 1, SECOND_MS);
	send_many(&w, 1, "x@b.example");
	relay_world_await(&w, "delivered", 2, 2 * SECOND_MS);
	assert_int_equal(sim_peer_most_at_once(p), 1);
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
}

/* A second connection that is no longer wanted does not end the first one. */
static void a_destination_does_not_push_itself_out(void **state)
{
	struct relay_world w;
	struct sim_peer *p;

	(void)state;
	relay_world_open(&w, 6, YAML_DIRECT LIMIT(1), "a.example. 300 MX 10 mx.a.example.\nmx.a.example. 300 A 10.0.0.1\n");
	p = relay_world_peer(&w, NEXT_HOP, SLOWLY);
	for (unsigned i = 1; i <= 5; i++) {
		send_many(&w, 4, "x@a.example");
		relay_world_await(&w, "delivered", 4 * i, 10 * SECOND_MS);
		sim_run(w.sim, SECOND_MS);
	}
	assert_int_equal(sim_peer_connections(p), 1);
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
}

/* A stop and a reload while some stand in line. */
static void a_line_ends_with_the_relay(void **state)
{
	static const char zone[] = "a.example. 300 MX 10 mx.a.example.\nmx.a.example. 300 A 10.0.0.1\n"
				   "b.example. 300 MX 10 mx.b.example.\nmx.b.example. 300 A 10.0.0.1\n";
	struct relay_world w;
	struct sim_peer *p;

	(void)state;
	relay_world_open(&w, 7, YAML_DIRECT LIMIT(1), zone);
	p = relay_world_peer(&w, NEXT_HOP, SLOWLY);
	send_many(&w, 10, "x@a.example");
	send_many(&w, 10, "x@b.example");
	sim_run(w.sim, 1500);
	assert_int_equal(relay_world_reload(&w, YAML_DIRECT LIMIT(4)), ERR_OK);
	relay_world_await(&w, "delivered", 20, 20 * SECOND_MS);
	assert_int_equal(sim_peer_most_at_once(p), 4);
	assert_int_equal(relay_world_reload(&w, YAML_DIRECT LIMIT(1)), ERR_OK);
	send_many(&w, 10, "x@a.example");
	send_many(&w, 10, "x@b.example");
	sim_run(w.sim, 1500);
	relay_world_stop(&w);
	relay_world_start(&w);
	relay_world_await(&w, "delivered", 40, 2 * MINUTE_MS);
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
}

static void keep_limit(void *owner, const struct schedule_destination *d)
{
	if (d->limit.len)
		buf_add(owner, d->limit);
}

static void people_see_the_line(void **state)
{
	struct buf words = BUF(4096);
	struct relay_world w;
	struct sim_peer *p;

	(void)state;
	relay_world_open(&w, 8, YAML_DIRECT LIMIT(1),
	                 "a.example. 300 MX 10 mx.a.example.\nmx.a.example. 300 A 10.0.0.1\n"
	                 "b.example. 300 MX 10 mx.b.example.\nmx.b.example. 300 A 10.0.0.1\n");
	p = relay_world_peer(&w, NEXT_HOP, HELLO "again:\n" ENVELOPE
	                                         "S: 250 ok\nS: 250 ok\nS: 354 go\nD:\nafter 60 s\nS: 250 ok\nrepeat\n");
	send_many(&w, 1, "x@a.example");
	send_many(&w, 1, "x@b.example");
	sim_run(w.sim, 5 * SECOND_MS);
	schedule_each_destination(server_schedule(w.server), keep_limit, &words);
	buf_add_octet(&words, 0);
	assert_string_equal(words.at, "10.0.0.1 has 1 connection, as many as connections_per_address allows");
	relay_world_await(&w, "delivered", 2, 3 * MINUTE_MS);
	stop_world(&w);
	sim_peer_free(&p);
	end_world(&w);
	buf_fini(&words);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(domains_share_the_limit_of_their_address),
		cmocka_unit_test(equal_hosts_are_used_and_the_second_choice_is_not),
		cmocka_unit_test(a_dead_host_is_no_full_one),
		cmocka_unit_test(many_domains_at_one_address_all_get_their_turn),
		cmocka_unit_test(an_idle_connection_makes_room),
		cmocka_unit_test(a_destination_does_not_push_itself_out),
		cmocka_unit_test(a_line_ends_with_the_relay),
		cmocka_unit_test(people_see_the_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
