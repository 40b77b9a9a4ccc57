/* postrider/http/client.h - one request to somebody else, on a connection of its own (RFC 9110, RFC 9112).
 *
 * Redirects are not followed: a 3xx is a status like others. What goes wrong before the request has left (the connection, the
 * TLS handshake) is tried with the next address of the host; what goes wrong later is the call's end. */
#ifndef POSTRIDER_HTTP_CLIENT_H
#define POSTRIDER_HTTP_CLIENT_H

#include <postrider/base/buf.h>
#include <postrider/base/ip.h>
#include <postrider/io/stream.h>

struct dns;
struct http_call;
struct tls_context;

struct http_call_events {
	/* The response's head. content_type: empty when it has none. */
	void (*on_head)(void *owner, int status, struct text content_type);
	void (*on_body)(void *owner, struct text piece);
	/* Adds the next octets of the request's body, some 64 KiB; none: that was all. An error gives the call up. */
	enum err (*more_body)(void *owner, struct buf *out);
	/* Last of all, once, in a later turn, except after http_call_cancel. ERR_OK: the response is complete, whatever its
	 * status. Else problem says in one sentence where it failed, at which step and why: "example.com [192.0.2.1]:443:
	 * connecting: refused"; nothing of what was sent stands in it.
	 * ERR_NOT_FOUND: no such host, no address (of a Unix socket: no such file). ERR_TEMPORARY: its name servers failed.
	 * ERR_REFUSED, ERR_UNREACHABLE: no connection. ERR_CERTIFICATE, ERR_TLS: the handshake. ERR_CLOSED: cut off.
	 * ERR_TIMEOUT: one of the three limits. ERR_SYNTAX: what came is no HTTP. ERR_TOO_BIG: the response's head, or more than
	 * max_body. Others as io_connect's and more_body's. */
	void (*on_done)(void *owner, enum err err, struct text problem);
};

/* One more field of the request. Free of line ends. */
struct http_field {
	struct text name, value;
};

/* All is copied but dns and tls: tls is referenced, dns must outlive the call. */
struct http_call_options {
	struct io *io;
	/* Where to: a URL (postrider/base/url.h) ... */
	struct text url;
	struct dns *dns; /* for a URL with a name */
	struct tls_context *
		tls; /* for https:, a client's. With `verify` the certificate must be the host's. SNI is sent */
	/* ... or, without a URL, one address. */
	const struct io_address *to;
	struct text target, host;
	/* Whether an address of the URL's host may be connected to; those that may not are passed over, with none left:
	 * ERR_DENIED. NULL: all may. Of `owner`. */
	bool (*may_connect)(void *owner, struct ip ip);

	struct text method;
	const struct http_field *fields;
	size_t field_count;
	struct text content_type; /* of the request's body; empty: there is none */
	struct text body; /* copied, and wiped at the end; at NULL with a content_type: more_body is asked */
	int64_t timeout_ms; /* of silence, also for connecting without a URL */
	int64_t connect_ms; /* for each address to be connected to, with its TLS handshake; 0: timeout_ms */
	int64_t total_ms;   /* for everything, name lookup included; 0: no limit */
	uint64_t max_body;  /* of the response; 0: no limit */
	const struct http_call_events *events;
	void *owner;
};

/* An error: nothing was started. ERR_SYNTAX: the URL is none. ERR_UNSUPPORTED: https: without tls, or a name without dns.
 * ERR_DENIED: an address that may not be connected to. Others as io_connect's. */
MUST_USE enum err http_call_start(const struct http_call_options *options, struct http_call **out);
void http_call_cancel(
	struct http_call **call); /* no callback afterwards; NULL is fine. Also from inside any of them */

#endif
