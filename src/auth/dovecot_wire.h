/* auth/dovecot_wire.h - one connection to Dovecot's auth socket: made, greeted, lines in, lines out. */
#ifndef AUTH_DOVECOT_WIRE_H
#define AUTH_DOVECOT_WIRE_H

#include <postrider/io/stream.h>

#include "dovecot_protocol.h"

struct dovecot_wire;

/* From the loop, never from inside a call of the owner's. Each may drop the wire. */
struct dovecot_wire_events {
	void (*on_up)(void *owner, struct dovecot_wire *w);
	void (*on_said)(void *owner, struct dovecot_wire *w, const struct dovecot_line *line);
	/* Last of all; the wire is to be dropped then. err as a stream's or dovecot_read's, why for people. */
	void (*on_broken)(void *owner, struct dovecot_wire *w, enum err err, const char *why);
};

struct dovecot_wire_options {
	struct io *io;
	const struct io_address *to;
	uint32_t client_id;  /* among those connected at a time another one for each wire, whoever made it */
	int64_t greeting_ms; /* for connecting and the greeting together */
	const struct dovecot_wire_events *events;
	void *owner;
};

MUST_USE enum err dovecot_wire_new(const struct dovecot_wire_options *options, struct dovecot_wire **out);
/* No event follows; closes by itself. NULL is fine. */
void dovecot_wire_drop(struct dovecot_wire **w);

void dovecot_wire_send(struct dovecot_wire *w, struct text lines); /* only when it is up */
unsigned dovecot_wire_mechanisms(const struct dovecot_wire *w);

const char *dovecot_wire_problem(enum err err); /* why a connection could not be made */

#endif
