/* deliver/connection.h - a deliver_connection: addresses are searched for and tried until a client comes up (connection.c); then
 * it carries jobs (carry.c). All steps run from connection_step_later: nothing is called back from inside deliver_open. */
#ifndef DELIVER_CONNECTION_H
#define DELIVER_CONNECTION_H

#include "client.h"
#include "internal.h"
#include "login.h"
#include "proof.h"
#include "search.h"

struct deliver_connection {
	struct list link; /* in deliver->connections */
	struct deliver *d;
	const struct config *config; /* referenced: target, way and time-outs are of it */
	const struct config_way *way;
	const struct config_upstream *upstream;
	enum config_tls tls;
	bool verifies; /* an upstream's hosts have to prove their names */
	struct proof proof;
	struct deliver_needs needs;
	struct ip spared_sources[4];
	unsigned spared_source_count;
	const struct deliver_events *events;
	void *owner;

	struct search search; /* its place is being tried, or in use */
	struct address_place place;
	struct login login;
	bool no_tls, no_ehlo; /* what that is to be tried without */
	bool once_more;       /* it is to be tried again */
	struct io_later step;
	struct client *client;
	unsigned sent_count;
	bool client_failed; /* it has said so, and ends by itself */
	bool v6_failed;     /* no connection to an IPv6 address */
	bool was_up, aborting, outdated;
	struct deliver_job *orphan; /* given when the connection had just ended */
	struct buf hint;            /* what was said, with what may help */
};

static inline const struct ip_port *connection_address(const struct deliver_connection *c)
{
	return &c->search.at.address;
}

void connection_step_later(struct deliver_connection *c);
/* Its host and its times, into what its client said. */
void connection_describe(const struct deliver_connection *c, struct deliver_result *r);

#endif
