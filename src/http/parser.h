/* http/parser.h - one direction of an HTTP/1.1 connection, message by message (RFC 9112), on llhttp in its strict mode. */
#ifndef HTTP_PARSER_H
#define HTTP_PARSER_H

#include <postrider/base/buf.h>

#define HTTP_HEAD_MAX (16u << 10) /* target and fields of one message */
#define HTTP_FIELDS_MAX 64
/* Octets of chunk extensions and trailers, which nobody wants, before a message is refused. */
#define HTTP_EXTRA_MAX (8u << 10)

/* Called from inside http_parser_feed. Any of them may call http_parser_stop. */
struct http_parser_events {
	void (*on_head)(void *owner); /* everything but the body is there */
	void (*on_body)(void *owner, struct text piece);
	void (*on_complete)(void *owner);
};

struct http_parser;

/* For requests or for responses. Texts that the functions below return last until the next message. */
MUST_USE enum err http_parser_new(bool is_request, const struct http_parser_events *events, void *owner,
                                  struct http_parser **out);
void http_parser_free(struct http_parser **p);

/* Takes octets until they end, the message is complete, we were stopped, or there is a failure; *taken says how many.
 * ERR_SYNTAX, ERR_TOO_BIG, ERR_NOMEM: http_parser_refusal and http_parser_problem say what; nothing can follow. */
MUST_USE enum err http_parser_feed(struct http_parser *p, struct text octets, size_t *taken);
/* The peer sends no more. ERR_OK: nothing was begun, or a message that ends this way is complete now. ERR_MORE: cut off. */
MUST_USE enum err http_parser_end(struct http_parser *p);
/* No more callbacks: whoever owns the connection is giving it up. */
void http_parser_stop(struct http_parser *p);
/* From inside on_head of a response: it has no body, whatever its fields say (the answer to HEAD; RFC 9110 section 9.3.2). */
void http_parser_skip_body(struct http_parser *p);
/* After a complete message: ready for the next. */
void http_parser_next(struct http_parser *p);

struct text http_parser_method(const struct http_parser *p);
int http_parser_status(const struct http_parser *p);
struct text http_parser_target(const struct http_parser *p);
/* The first field of that name, any case; NULL at: none. */
struct text http_parser_field(const struct http_parser *p, struct text name);
unsigned http_parser_count(const struct http_parser *p, struct text name);
bool http_parser_is_version_11(const struct http_parser *p);
bool http_parser_keeps_alive(const struct http_parser *p); /* after on_complete */
/* In on_head: how long the body is; 0: there is none; UINT64_MAX: not known (chunks, or until the end). */
uint64_t http_parser_body_bytes(const struct http_parser *p);
bool http_parser_has_begun(const struct http_parser *p); /* something of the message was taken */
/* After a failure: the status that answers such a request (400, 413, 431, 503, 505), and a phrase for people. */
int http_parser_refusal(const struct http_parser *p);
const char *http_parser_problem(const struct http_parser *p);

#endif
