/* http/session.h - the server's side of one connection: octets in, octets out, one exchange at a time. No I/O.
 *
 *   HEAD -> BODY -> WAIT -> HEAD ...        WAIT: the request is complete and the response is not
 *           BODY -> REST -> HEAD ...        REST: answered already; what is left of the body is thrown away
 *   any -> CLOSED
 *
 * The next request is not looked at before the response to the one before is complete. */
#ifndef HTTP_SESSION_H
#define HTTP_SESSION_H

#include <postrider/http/exchange.h>

#include "parser.h"

/* What is thrown away of a body that nobody wants, before the connection is closed instead. */
#define HTTP_REST_MAX (1u << 20)

struct http_session;

/* How a session acts. All of them are called from inside session functions, those of the exchange too. */
struct http_session_outputs {
	void (*write)(void *owner, const struct text *pieces, size_t count);
	size_t (*unsent)(void *owner);
	void (*pause)(void *owner);  /* octets not taken are kept and offered again after resume */
	void (*resume)(void *owner); /* offers them in a later turn, never from inside */
	void (*finish)(void *owner); /* send what was written, then close */
	int64_t (*now_time)(void *owner);
	/* The handler. */
	void (*on_request)(void *owner, struct http_exchange *x);
};

enum http_phase {
	HTTP_PHASE_HEAD,
	HTTP_PHASE_BODY,
	HTTP_PHASE_WAIT,
	HTTP_PHASE_REST,
	HTTP_PHASE_CLOSED,
	HTTP_PHASE_COUNT
};

/* The exchange at hand. */
struct http_exchange {
	struct http_session *session;
	const struct http_exchange_events *events; /* NULL: nobody is attached */
	void *owner;
	struct buf extra_fields;
	uint64_t body_bytes;
	bool is_open;                  /* between on_request and the end of the response */
	bool has_begun;                /* the response's head is written */
	bool is_chunked, is_head_only; /* the response: in chunks; without its body (HEAD) */
	bool expects_continue;
};

struct http_session {
	const struct http_session_outputs *outputs;
	void *owner;
	struct http_parser *parser;
	struct http_exchange exchange;
	enum http_phase phase;
	uint64_t rest_bytes;
	bool paused; /* by us or by the handler */
	bool handler_paused;
	bool close_after;  /* no request follows this one */
	bool closing_down; /* http_session_wind_up was called */
	bool peer_ended;
};

MUST_USE enum err http_session_init(struct http_session *s, const struct http_session_outputs *outputs,
                                    void *owner);
/* Whoever is attached hears on_gone. A zeroed session is fine. */
void http_session_fini(struct http_session *s);

/* Returns how many octets were taken. */
size_t http_session_feed(struct http_session *s, struct text octets);
void http_session_eof(struct http_session *s);     /* the peer sends no more */
void http_session_drained(struct http_session *s); /* it has taken what was written */
/* Nothing happened for the idle time: 408 for a request that is cut short; closes in any case. */
void http_session_timeout(struct http_session *s);
/* No further request: closes now when idle, else behind the response at hand. */
void http_session_wind_up(struct http_session *s);
bool http_session_is_idle(const struct http_session *s); /* between requests, nothing begun */
/* Whether we wait for the peer, so that its silence counts, or it waits for our handler. */
bool http_session_awaits_peer(const struct http_session *s);

#endif
