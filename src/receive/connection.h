/* receive/connection.h - one client's connection, as connection.c (the dialogue), door.c (what comes before it) and admission.c
 * (what is counted) share it.
 *
 * A connection goes through doors before it has a session:
 *   PROXY (from a peer that must say whom it speaks for) -> HELLO (implicit TLS, nothing said yet) -> HANDSHAKE -> OPEN
 * each of which many skip. Only behind the last one is there a session, and a greeting. */
#ifndef POSTRIDER_RECEIVE_CONNECTION_H
#define POSTRIDER_RECEIVE_CONNECTION_H

#include "server.h"

enum door {
	DOOR_PROXY,
	DOOR_HELLO,
	DOOR_HANDSHAKE,
	DOOR_OPEN,
	DOOR_SHUT, /* refused: what still comes is thrown away */
};

/* What few connections have. */
struct connection_more {
	struct ip_port via; /* the proxy that speaks for the client; IP_NONE: nobody does */
	struct auth_exchange *auth;
	struct policy_request *policy;
	struct io_timer rest;
};

struct connection {
	struct list link; /* in receive->connections */
	struct receive *receive;
	struct listener *listener;
	/* What the listener was told when the client came; a reference, until the session has one of its own. A reload may take
	 * the listener away, and what it points at with it. */
	const struct config *config;
	const struct config_listener *settings; /* of config, or of the session's */
	struct client *client;                  /* NULL while nobody knows who it is: before a PROXY header */
	struct tls_context *tls;                /* what EHLO offered; a reference, NULL: none */
	struct io_stream *stream;               /* NULL once it is closed */
	struct receive_session session;         /* zeroed before the last door */
	struct queue_draft *draft;
	struct queue_ticket *ticket;  /* a message that the queue decides on */
	struct connection_more *more; /* NULL: nothing of it */
	struct io_timer deadline;
	struct ip_port shown;  /* the client: the peer, or whom a PROXY header names */
	int64_t limit_at;      /* the client has until then */
	unsigned commands;     /* of the session, when limit_at was last moved */
	struct io_later flush; /* writes what the session says, after all that waits was offered to it */
	enum door door;
	bool paused, closing, tls_wanted;
	bool behind; /* the client has said more than was taken */
};

struct connection_more *connection_more(struct connection *c); /* NULL without memory */
void connection_flush(struct connection *c);
/* The session begins, with its greeting. info: of a handshake at the door, else NULL. */
void connection_open_session(struct connection *c, struct ip_port client, const struct tls_info *info);
/* Octets for the session. Returns how many were taken. */
size_t connection_talk(struct connection *c, struct text bytes);
/* From now on it has until at_ms, and then on_deadline runs. */
void connection_set_limit(struct connection *c, int64_t at_ms);
extern const struct io_stream_events connection_stream_events;

/* What was waited for has come: the client has all its time again, and what it said meanwhile is taken. */
void connection_go_on(struct connection *c);

/* asks.c: for the session, whose owner is the connection (struct receive_session_ops) */
void asks_emit(void *owner, struct event *event);
bool asks_take(void *owner, enum receive_limit what, struct receive_limit_answer *why);
void asks_give_back(void *owner, uint64_t recipients);
unsigned asks_auth_offered(void *owner);
enum err asks_auth_begin(void *owner, struct text mechanism, bool has_initial, struct text initial);
void asks_auth_answer(void *owner, struct text line);
void asks_auth_cancel(void *owner);
enum err asks_auth_find(void *owner, struct text name, struct auth_user **out);
bool asks_client_changed(void *owner, struct receive_limit_answer *why);
bool asks_policy(void *owner, const struct policy_question *asked);

/* door.c */
size_t door_take(struct connection *c, struct text bytes); /* octets in front of a door */
void door_timed_out(struct connection *c);
/* A refusal in the log: one for each client in a while. */
void door_say_refused(struct connection *c, enum stage stage, enum reason reason,
                      const struct receive_limit_answer *why, struct text detail);

/* admission.c: false: *why says what to answer */
bool admission_of_connection(struct receive *r, const struct listener *l, struct ip client,
                             struct receive_limit_answer *why);
bool admission_of_client(const struct connection *c, const struct config_listener *settings,
                         struct client *client, struct ip ip, struct receive_limit_answer *why);
bool admission_take(struct connection *c, enum receive_limit what, struct receive_limit_answer *why);
void admission_give_back(struct connection *c, uint64_t recipients);

#endif
