/* deliver/client.h - one connection to one address: the session joined with its stream, TLS and timers. */
#ifndef DELIVER_CLIENT_H
#define DELIVER_CLIENT_H

#include <postrider/io/stream.h>

#include "session.h"

struct client;

struct client_events {
	void (*up)(void *owner);
	void (*ready)(void *owner);
	/* mx and the connection's own times are for the owner to fill in */
	void (*result)(void *owner, struct deliver_job *job, size_t index, struct deliver_result *r);
	void (*done)(void *owner, struct deliver_job *job);
	void (*failed)(void *owner, enum session_fault fault, struct deliver_result *r);
	/* as session_output has it: ends in session_permitted */
	void (*ask_login)(void *owner, bool needs_token);
	void (*learned)(void *owner, enum session_lesson lesson);
	void (*gate)(void *owner, struct deliver_job *job);
	void (*closed)(void *owner); /* last of all; the client is gone */
};

struct client_options {
	struct io *io;
	struct ip_port to;
	struct text unix_path;   /* instead of `to`; empty: none */
	struct ip source;        /* IP_NONE: the system chooses */
	struct text server_name; /* for TLS; borrowed for the client's life, as what session points at */
	struct tls_context *tls; /* NULL: the session must not ask for it */
	const struct tls_expectation *expect; /* what it has to prove; NULL: as the context says. Copied */
	bool shows_login; /* also to a host that has not proved its name */
	struct session_options session; /* out and owner are filled in here */
	const struct client_events *events;
	void *owner;
};

/* Begins to connect. Everything comes back in later turns: up and ready, or failed; in the end closed. */
MUST_USE enum err client_open(const struct client_options *options, struct client **out);

struct session *client_session(struct client *c);
/* The owner hears nothing more; the connection ends by itself. For one that failed. */
void client_forget(struct client *c);
/* Ends it now, from a callback of nobody: jobs in hand get their results from inside this call. */
void client_abort(struct client *c);

/* Addresses, TLS and login, into *r. */
void client_describe(const struct client *c, struct deliver_result *r);
/* How long connecting and greeting took, TLS, and logging in; -1: there was none. */
int32_t client_connect_ms(const struct client *c);
int32_t client_tls_ms(const struct client *c);
int32_t client_auth_ms(const struct client *c);
const struct event_tls *client_tls(const struct client *c); /* what was reached */
/* What was wrong with its TLS, also where that stops nobody. */
enum tls_fault client_tls_fault(const struct client *c);
struct ip client_local_ip(const struct client *c); /* ours; IP_NONE without a stream */

#endif
