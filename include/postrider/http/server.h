/* postrider/http/server.h - HTTP/1.1 (RFC 9112) for others: requests over streams that somebody has accepted. */
#ifndef POSTRIDER_HTTP_SERVER_H
#define POSTRIDER_HTTP_SERVER_H

#include <postrider/http/exchange.h>
#include <postrider/io/stream.h>

struct http_server;

struct http_server_options {
	struct io *io;
	/* A request's head is complete: answer, or http_attach, before returning. Never NULL. */
	void (*on_request)(void *owner, struct http_exchange *x);
	void *owner;
	unsigned max_connections;        /* 0: 64; more are closed at once */
	int64_t idle_ms;                 /* for a request to begin or go on, and for the peer to take ours; 0: 60 s */
};

MUST_USE enum err http_server_new(const struct http_server_options *options, struct http_server **out);
/* Takes over a stream, from inside on_accept. */
void http_server_accept(struct http_server *s, struct io_stream *stream);
unsigned http_server_connections(const struct http_server *s);

/* No new requests: idle connections close, running exchanges have until deadline_ms. on_closed runs once in a later turn,
 * when all are gone; *s is set to NULL and its memory goes then. */
void http_server_close(struct http_server **s, int64_t deadline_ms, void (*on_closed)(void *owner), void *owner);

/* Who asks: the address, with user and group for a Unix socket. */
const struct io_address *http_peer(const struct http_exchange *x);

#endif
