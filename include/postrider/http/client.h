/* postrider/http/client.h - one request to somebody else, on a connection of its own. */
#ifndef POSTRIDER_HTTP_CLIENT_H
#define POSTRIDER_HTTP_CLIENT_H

#include <postrider/base/buf.h>
#include <postrider/io/stream.h>

struct http_call;

struct http_call_events {
	/* The response's head. */
	void (*on_head)(void *owner, int status, struct text content_type);
	void (*on_body)(void *owner, struct text piece);
	/* Adds the next octets of the request's body, some 64 KiB; none: that was all. An error gives the call up. */
	enum err (*more_body)(void *owner, struct buf *out);
	/* Last of all, once, in a later turn, except after http_call_cancel. ERR_OK: the response is complete. ERR_SYNTAX: it is
	 * none. ERR_CLOSED: cut off. ERR_TIMEOUT. Others as io_connect's and more_body's. */
	void (*on_done)(void *owner, enum err err);
};

struct http_call_options {
	struct io *io;
	const struct io_address *to;
	struct text method, target, host;
	struct text content_type;        /* of the request's body; empty: there is none */
	struct text body;                /* copied; at NULL with a content_type: more_body is asked */
	int64_t timeout_ms;              /* of silence, also for connecting */
	const struct http_call_events *events;
	void *owner;
};

/* An error: nothing was started. */
MUST_USE enum err http_call_start(const struct http_call_options *options, struct http_call **out);
void http_call_cancel(struct http_call **call);      /* no callback afterwards; NULL is fine */

#endif
