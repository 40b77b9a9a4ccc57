/* The whole relay in the simulated world, with clients, next hops and names around it. */
#ifndef POSTRIDER_TEST_RELAY_WORLD_H
#define POSTRIDER_TEST_RELAY_WORLD_H

#include <postrider/queue/memory.h>
#include <postrider/server.h>
#include <postrider/sim.h>

struct relay_world {
	struct sim *sim;
	uint64_t seed;
	struct sim_names *names;
	struct server *server;
	struct observe *observe;
	const struct config *config;
	struct observe_consumer consumer;
	struct buf events; /* all lines, with LF */
	unsigned counts[EVENT_COUNT];
	bool stopped;
	struct buf heard;
	struct list talks; /* of relay_world_say_until */
	struct sim_tls_script server_tls, client_tls;
	struct queue_memory *memory; /* what outlives the relay */
	bool prints;                 /* each event as it comes */
	bool is_crashing;            /* what is said now is said by nobody */
	bool failed;                 /* it stopped by itself */
	unsigned crashes;
	int64_t clock_set_at; /* by relay_world_set_clock; 0: never */
	/* Before relay_world_start: numbered places of the queue (queue_options.fault); NULL: none. */
	enum err (*fault)(void *owner, unsigned point);
	void *fault_owner;
};

/* 127.0.0.1:2525 is the relay, 10.0.0.53:53 the name server. */
#define RELAY_AT ((struct ip_port){ { IP_V4, { 127, 0, 0, 1 } }, 2525 })
#define AT(a, b, c, d, port_number) ((struct ip_port){ { IP_V4, { a, b, c, d } }, port_number })

void relay_world_open(struct relay_world *w, uint64_t seed, const char *yaml, const char *zone);
/* The same with a disk of so many octets, of which the queue's store takes its part. */
void relay_world_open_on(struct relay_world *w, uint64_t seed, const char *yaml, const char *zone,
                         uint64_t disk_bytes);
void relay_world_start(struct relay_world *w);
void relay_world_stop(struct relay_world *w); /* TERM, and everything closed */
void relay_world_close(struct relay_world *w);
/* HUP: ERR_OK or what server_reload says. w->config is the new one then. */
enum err relay_world_reload(struct relay_world *w, const char *yaml);
/* The power fails: what was not synced is gone, all connections are cut, and the relay starts again. */
void relay_world_crash(struct relay_world *w);

/* The scheduler gets memory for almost nothing, until the next start. (relay_check.c) */
void relay_world_squeeze(struct relay_world *w, size_t tasks, size_t piles, size_t looks);

/* The wall clock is set by so much. The scheduler notices within half a minute. */
void relay_world_set_clock(struct relay_world *w, int64_t by_ms);

/* Compares what lies in the queue with what the scheduler holds or has timers for: every recipient that lives must have a
 * next event. Fails the test; lets a little time pass. (relay_check.c) */
void relay_world_check(struct relay_world *w);
/* Recipients taken in are those that ended and those that are queued. Only when nothing is under way, without crashes. */
void relay_world_balance(struct relay_world *w);

/* How many events of a kind there were: relay_world_count(w, "delivered"). */
unsigned relay_world_count(const struct relay_world *w, const char *kind);
/* Whether these octets stand in some event. */
bool relay_world_said(const struct relay_world *w, const char *words);
/* Runs until the events have that many of a kind; fails the test after limit_ms. */
void relay_world_await(struct relay_world *w, const char *kind, unsigned count, int64_t limit_ms);

/* A client that says all of `lines` (each with CR LF) without waiting, then QUIT; returns the codes it was told, in order, as
 * text "220 250 ...". */
const char *relay_world_say(struct relay_world *w, const char *lines);
/* The same, but lets only limit_ms pass; the client goes on by itself until it is closed, and is waited for at the end. */
void relay_world_say_until(struct relay_world *w, const char *lines, int64_t limit_ms);
/* The same as it came, with CR LF; of the last relay_world_say. Valid until the next one. */
struct text relay_world_heard(struct relay_world *w);
/* One message, answered 250 or the test fails. */
void relay_world_send(struct relay_world *w, const char *from, const char *to, const char *content);

/* A scripted peer with one script. */
struct sim_peer *relay_world_peer(struct relay_world *w, struct ip_port at, const char *script);

#endif
