/* postrider/http/exchange.h - one request and its response, as whoever answers it sees them.
 *
 * on_request of the server gets an exchange when the request's head is complete. It answers at once (http_respond), or
 * attaches itself to hear the body and answers later. With the end of the response the exchange is gone: no callback
 * follows and it must not be touched any more. When the peer is gone first, on_gone says so, and that too is the end. */
#ifndef POSTRIDER_HTTP_EXCHANGE_H
#define POSTRIDER_HTTP_EXCHANGE_H

#include <postrider/base/buf.h>

struct http_exchange;

/* ---------------------------------------------------------------- the request; valid as long as the exchange */

struct text http_method(const struct http_exchange *x);                  /* "GET" */
struct text http_target(const struct http_exchange *x);                  /* "/v1/queue?to=a%40b.example" */
struct text http_path(const struct http_exchange *x);                    /* "/v1/queue", not decoded */
struct text http_header(const struct http_exchange *x, struct text name);        /* the first of that name; NULL at: none */
uint64_t http_body_bytes(const struct http_exchange *x);                 /* as declared; UINT64_MAX: chunks */

/* Walks the query, a pair a call, decoded (RFC 3986 section 2.1, and + for a space) into *name and *value, which are reset
 * first. rest: http_query of the exchange to begin with. False at the end; ERR_SYNTAX in value's err for a broken escape. */
struct text http_query(const struct http_exchange *x);
bool http_query_next(struct text *rest, struct buf *name, struct buf *value);
/* Percent-encodes all but what RFC 3986 calls unreserved, for building targets. */
void http_add_encoded(struct buf *out, struct text value);
MUST_USE enum err http_add_decoded(struct buf *out, struct text encoded, bool plus_is_space);

/* ---------------------------------------------------------------- hearing more */

struct http_exchange_events {
	void (*on_body)(void *owner, struct text piece);
	void (*on_end)(void *owner);             /* the request is complete */
	void (*on_room)(void *owner);            /* the peer has taken what was added: more may follow */
	void (*on_gone)(void *owner);
};

/* From inside on_request; until then a body has not been asked for ("Expect: 100-continue" is answered by this). */
void http_attach(struct http_exchange *x, const struct http_exchange_events *events, void *owner);
/* No more on_body than what was already read from the peer, until http_resume. on_end may still come. */
void http_pause(struct http_exchange *x);
void http_resume(struct http_exchange *x);

/* ---------------------------------------------------------------- the response */

/* One more field, before the response begins. name and value are ours, or free of line ends. */
void http_put_header(struct http_exchange *x, struct text name, struct text value);

/* The whole response. A body that the peer is still sending is read and thrown away, up to a limit. */
void http_respond(struct http_exchange *x, int status, struct text content_type, struct text body);

/* In pieces, of unknown length. While http_unsent is above what the caller wants to have in memory it waits for on_room. */
void http_begin(struct http_exchange *x, int status, struct text content_type);
void http_add(struct http_exchange *x, struct text piece);
size_t http_unsent(const struct http_exchange *x);
void http_end(struct http_exchange *x);
/* The response cannot be finished: the peer sees it cut off, never as whole. */
void http_abort(struct http_exchange *x);

/* A problem (RFC 9457) with one sentence on what is wrong and one on what to do next; both may be empty. */
void http_respond_problem(struct http_exchange *x, int status, const char *title, struct text detail, struct text next_step);

#define HTTP_JSON TEXT("application/json")
#define HTTP_JSON_LINES TEXT("application/x-ndjson")
#define HTTP_PROBLEM TEXT("application/problem+json")
#define HTTP_TEXT TEXT("text/plain; charset=utf-8")

#endif
