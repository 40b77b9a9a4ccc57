/* support/guest.h - a client of the relay in the simulated world, from any address, that says what it is told to and keeps what
 * it hears. */
#ifndef POSTRIDER_TEST_GUEST_H
#define POSTRIDER_TEST_GUEST_H

#include "relay_world.h"

struct guest {
	struct relay_world *world;
	struct io_stream *stream;
	struct buf told;
	struct tls_context *tls;
	bool closed, protected, failed;
};

/* Connects, and lets 100 ms pass. */
void guest_come(struct relay_world *w, struct guest *g); /* from 127.0.0.1 to RELAY_AT */
void guest_come_from(struct relay_world *w, struct guest *g, struct ip from, struct ip_port to);
/* Says it and goes on at once; nothing when closed. */
void guest_put(struct guest *g, struct text words);
/* Forgets what it was told, says it, lets 100 ms pass. Returns what it was told then, with a final NUL. */
const char *guest_say(struct guest *g, const char *words);
bool guest_heard(struct guest *g, const char *words);
/* A handshake, now; 100 ms pass. */
void guest_start_tls(struct guest *g);
/* Closes if it is not closed, and lets 20 s pass. */
void guest_leave(struct guest *g);

/* The same, with a moment only. */
void guest_cut(struct guest *g);

/* "192.0.2.1", or fails the test. */
struct ip guest_ip(const char *text);

#endif
