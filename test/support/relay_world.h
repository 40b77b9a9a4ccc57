/* The whole relay in the simulated world, with clients, next hops and names around it. */
#ifndef POSTRIDER_TEST_RELAY_WORLD_H
#define POSTRIDER_TEST_RELAY_WORLD_H

#include <postrider/server.h>
#include <postrider/sim.h>

struct relay_world {
	struct sim *sim;
	struct sim_names *names;
	struct server *server;
	struct observe *observe;
	const struct config *config;
	struct observe_consumer consumer;
	struct buf events; /* all lines, with LF */
	bool stopped;
	struct sim_tls_script server_tls, client_tls;
	void *store; /* what outlives a crash of the relay; see relay_world_crash */
};

/* 127.0.0.1:2525 is the relay, 10.0.0.53:53 the name server. */
#define RELAY_AT ((struct ip_port){ { IP_V4, { 127, 0, 0, 1 } }, 2525 })
#define AT(a, b, c, d, port_number) ((struct ip_port){ { IP_V4, { a, b, c, d } }, port_number })

void relay_world_open(struct relay_world *w, uint64_t seed, const char *yaml, const char *zone);
void relay_world_start(struct relay_world *w);
void relay_world_stop(struct relay_world *w); /* TERM, and everything closed */
void relay_world_close(struct relay_world *w);

/* How many events of a kind there were: relay_world_count(w, "delivered"). */
unsigned relay_world_count(const struct relay_world *w, const char *kind);
/* Runs until the events have that many of a kind; fails the test after limit_ms. */
void relay_world_await(struct relay_world *w, const char *kind, unsigned count, int64_t limit_ms);

/* A client that says all of `lines` (each with CR LF) without waiting, then QUIT; returns the codes it was told, in order, as
 * text "220 250 ...". */
const char *relay_world_say(struct relay_world *w, const char *lines);
/* One message, answered 250 or the test fails. */
void relay_world_send(struct relay_world *w, const char *from, const char *to, const char *content);

#endif
