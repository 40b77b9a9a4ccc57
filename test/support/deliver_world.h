/* support/deliver_world.h - the deliver room in the simulated world: names, peers, and connections that
 * write down what they hear. */
#ifndef TEST_SUPPORT_DELIVER_WORLD_H
#define TEST_SUPPORT_DELIVER_WORLD_H

#include <postrider/deliver.h>
#include <postrider/sim.h>

struct deliver_world {
	struct sim *sim;
	struct sim_names *names;
	struct dns *dns;
	const struct config *config;
	struct deliver *deliver;
	struct observe *observe;
	struct sim_tls_script client_tls, server_tls;
	struct sim_peer *peers[16];
	size_t peer_count;
	const struct ip *own; /* for deliver_options */
	size_t own_count;
	bool whole_log; /* also "ready" */
	struct buf log; /* of all connections, a line each */
};

struct courier { /* one connection and the messages for it */
	struct config_way way;
	struct deliver_world *world;
	struct deliver_connection *connection; /* NULL after on_closed */
	unsigned to_send, sent,
		done;           /* a message is given at each on_ready while there are any; then finish */
	bool keep_open;         /* no finish */
	bool give_at_once;      /* from inside on_ready, else a turn later */
	const char *recipients; /* "a b": of each message */
	const char *text;       /* of each message; "|" and the octet behind it are a line end */
	size_t size;            /* of each message; 0: small */
	struct io_later give;
	bool closed, failed;
	struct deliver_result failure; /* numbers only */
	int64_t closed_at;
	struct courier_job *jobs[2000];
	struct event_ms times[2000]; /* of the first recipient of each message */
};

/* yaml: the configuration but for hostname (relay.example), listen (127.0.0.1) and dns. */
void deliver_world_open(struct deliver_world *w, const char *yaml, const char *zone);
void deliver_world_close(struct deliver_world *w);
const struct config *deliver_world_load(const char *yaml);
void deliver_world_configure(struct deliver_world *w, const char *yaml);

/* address: "192.0.2.1:25", "[2001:db8::1]:25"; the script as for sim_peer, with TLS in it if it says so. */
struct sim_peer *deliver_world_peer(struct deliver_world *w, const char *address, const char *script);
void deliver_world_reach(struct deliver_world *w, const char *address, enum sim_reach reach);

/* to: a domain, or "upstream NAME". Opens; deliver_world_run lets it go on. */
void courier_open(struct courier *c, struct deliver_world *w, const char *to, enum config_tls tls);
void courier_give_anyway(struct courier *c);
void courier_give(struct courier *c); /* the next message, or finish, if the connection is ready */
struct text courier_content(const struct courier *c, unsigned n); /* of message n, with a size */
void courier_fini(struct courier *c);

/* One connection with so many messages, run to its end; the log since the last call is compared with
 * expected: lines of
 *	a: delivered 250 2.0.0 mx.example 192.0.2.1:25 ~words      (who, kind, code, enhanced, reason and what else is there)
 *	failed: permanent 0 5.1.10 null_mx
 *	done, closed
 * where each expected word must be among those of the line, and what follows ~ in the reply. */
void deliver_world_expect(struct deliver_world *w, const char *expected);
void deliver_world_deliver(struct deliver_world *w, const char *to, enum config_tls tls, unsigned messages,
                           const char *expected);

#endif
