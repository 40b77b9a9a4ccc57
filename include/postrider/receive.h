/* postrider/receive.h - inbound SMTP: listeners and sessions (RFC 5321 and the extensions that EHLO names).
 *
 * A session decides, this room joins it with streams and the queue. Responsibility for a message passes at the 250 to its
 * final dot, which is written from the queue's decision and from nowhere else. */
#ifndef POSTRIDER_RECEIVE_H
#define POSTRIDER_RECEIVE_H

#include <postrider/auth.h>
#include <postrider/config.h>
#include <postrider/filter/policy_service.h>
#include <postrider/io/stream.h>
#include <postrider/observe/event.h>
#include <postrider/queue.h>
#include <postrider/tls.h>

struct receive;

/* A socket that is there before its listener is opened. fd -1: there is none, and the address is bound. */
struct receive_socket {
	int fd;
	bool inherited; /* see io_listen_on */
};

struct receive_options {
	struct io *io;
	struct queue *queue;
	struct observe *observe;
	const struct config *config;     /* referenced */
	uint64_t seed;                   /* ids */
	int64_t newest_id_time;          /* ids are made above it */
	unsigned max_sessions;           /* over all listeners */
	struct auth *auth;               /* borrowed; NULL: nobody can log in */
	struct policy_service *policy;   /* borrowed; NULL: there is none to ask */
	/* The certificate of a listener that has one, as a reference; *out NULL: STARTTLS is not offered. problem: for people. */
	enum err (*server_context)(void *owner, const struct config_listener *listener, struct tls_context **out,
	                           struct buf *problem);
	void *owner;
	/* Asked before a listener is opened; may be NULL. An error: problem says which descriptor is missing, and what to do. */
	enum err (*find_socket)(void *owner, const struct config_listener *listener, struct receive_socket *out,
	                        struct buf *problem);
	void *socket_owner;
};

MUST_USE enum err receive_new(const struct receive_options *options, struct receive **out);

/* Opens what the configuration lists and is not open, closes what it does not list any more; addresses are compared, so a
 * reload leaves running ones alone. On a failure everything is as before, and *problem says which listener and why. */
MUST_USE enum err receive_configure(struct receive *r, const struct config *config, struct buf *problem);

/* A service that a reload has brought. The one before it must have been NULL, or is this one. */
void receive_set_policy_service(struct receive *r, struct policy_service *policy);

/* How the process stands. UNDER_PRESSURE: it has more memory than it should; nobody new comes in (421 4.3.2), no message begins
 * (452 4.3.1) and no handshake (454 4.3.1), until it is at ease again. What is under way goes on. */
enum receive_pressure { RECEIVE_AT_EASE, RECEIVE_UNDER_PRESSURE };
void receive_set_pressure(struct receive *r, enum receive_pressure pressure);

/* The addresses that are open, with the ports that were chosen for port 0. */
typedef void receive_listener_fn(void *owner, struct text name, const struct io_address *address);
void receive_each_listener(struct receive *r, receive_listener_fn *each, void *owner);

/* The listener of this name takes this context, a reference, for those who come from now on; for a certificate that was renewed.
 * ERR_NOT_FOUND: there is no such listener. */
MUST_USE enum err receive_set_tls(struct receive *r, struct text listener, struct tls_context *context);

/* No new sessions; idle ones are told 421 and closed; those inside a transaction may finish it until linger_ms has passed.
 * on_stopped when the last has gone. */
void receive_stop(struct receive *r, int64_t linger_ms, void (*on_stopped)(void *owner), void *owner);
/* The time is over now: whoever is still there is cut off; on_stopped comes as before. */
void receive_hurry(struct receive *r);
void receive_free(struct receive **r);       /* after on_stopped, or before the loop ran */

struct receive_counts {
	uint64_t connections, refused_connections, messages, recipients, bytes, rejections;
	unsigned sessions;
};
struct receive_counts receive_count(const struct receive *r);

#endif
