/* http/client.h - a call: what its two files share. client.c speaks HTTP on a stream, client_way.c finds the stream. */
#ifndef HTTP_CLIENT_PRIVATE_H
#define HTTP_CLIENT_PRIVATE_H

#include <postrider/base/auto.h>
#include <postrider/base/time.h>
#include <postrider/base/url.h>
#include <postrider/dns.h>
#include <postrider/http/client.h>
#include <postrider/tls.h>

#include "parser.h"

#define HTTP_REQUEST_HEAD_MAX (32u << 10)
#define HTTP_PIECE_MAX (256u << 10)
#define HTTP_PROBLEM_MAX 1000
#define HTTP_ADDRESSES_MAX 8

/* Up to HTTP_STEP_TLS nothing of the request has left: another address may be tried. */
enum http_step {
	HTTP_STEP_LOOKUP,
	HTTP_STEP_CONNECT,
	HTTP_STEP_TLS,
	HTTP_STEP_REQUEST,
	HTTP_STEP_BODY,
};

/* On the loop there is always one of: the lookup, the stream. */
struct http_call {
	struct io *io;
	const struct http_call_events *events;
	void *owner;

	/* where to */
	struct buf url_text;
	struct url url; /* of url_text; host.len 0: a single address was given */
	struct dns *dns;
	struct dns_lookup *lookup;
	struct tls_context *tls;
	struct io_address to;                           /* what is tried now */
	bool (*may_connect)(void *owner, struct ip ip); /* NULL: all may */
	struct ip addresses[HTTP_ADDRESSES_MAX];
	size_t address_count, address_next;
	struct io_stream *stream;
	enum http_step step;
	enum err left_because; /* of the present address, when it was not the stream's own end */

	struct io_timer silence, total;
	int64_t timeout_ms, connect_ms, total_ms;

	struct http_parser *parser;
	struct buf head, body, piece;
	uint64_t max_body, body_bytes;
	unsigned interims;
	bool has_body, is_pulled; /* the body is asked for by pieces */
	bool body_sent, is_head;
	bool has_answer; /* the response's final head is there: sending on is no use */
	bool cancelled, is_over;
	enum err result;    /* what on_done is to say, once it is over */
	struct buf problem; /* of the last failure */
};

/* client.c */
extern const struct io_stream_events http_call_stream_events;
/* why may be empty: then the error speaks for itself. */
void http_call_end(struct http_call *c, enum err result, struct text why);
void http_call_wait(struct http_call *c, int64_t ms); /* for a sign of life; may end the call */
void http_call_send(struct http_call *c);             /* the stream is there */

/* client_way.c */
enum err http_call_take_url(struct http_call *c, const struct http_call_options *o);
enum err http_call_find(struct http_call *c, const struct io_address *to);
void http_call_connected(void *owner);
/* Gives the present address up; on_closed of its stream goes on to the next. */
void http_call_leave_address(struct http_call *c, enum err why, struct text words);
/* The stream of the present address is gone. */
void http_call_next_address(struct http_call *c, enum err why);
/* Writes c->problem. */
void http_call_describe(struct http_call *c, enum err err, struct text why);

#endif
