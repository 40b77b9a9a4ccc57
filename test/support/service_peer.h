/* support/service_peer.h - a service that a test plays: it listens in any world, and what to say to what it hears is the
 * test's. */
#ifndef TEST_SUPPORT_SERVICE_PEER_H
#define TEST_SUPPORT_SERVICE_PEER_H

#include <postrider/base/buf.h>
#include <postrider/base/list.h>
#include <postrider/io/stream.h>

struct service_peer;

struct service_session {
	struct list link;
	struct service_peer *peer; /* NULL: the peer has ended */
	struct io_stream *stream;
	struct buf in;   /* heard and not taken; the hook drops what it has dealt with (buf_drop_head) */
	unsigned number; /* from 0 */
	unsigned steps;  /* the hook's */
	bool eof;
};

struct service_peer {
	struct io *io;
	struct io_listener *listener;
	struct list sessions;
	unsigned accepted, open;
	/* Something was heard, or (in.len 0, steps 0) the connection has just come. */
	void (*on_input)(struct service_session *s);
	void *owner;
};

/* May be opened again after service_peer_end. */
void service_peer_begin(struct service_peer *p, struct io *io, const struct io_address *at,
                        void (*on_input)(struct service_session *s), void *owner);
/* Nobody listens any more, and every connection is closed. */
void service_peer_end(struct service_peer *p);
/* Closes the connections and goes on listening. */
void service_peer_hang_up(struct service_peer *p);

void service_say(struct service_session *s, const char *string);
void service_say_text(struct service_session *s, struct text t);
void service_close(struct service_session *s); /* now */

/* A line at the front of s->in without its end, to be dropped with service_drop_line. False: there is none. */
bool service_line(const struct service_session *s, struct text *line);
void service_drop_line(struct service_session *s);

struct io_address service_address(const char *ip_and_port);

#endif
