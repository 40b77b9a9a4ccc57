/* receive/server.h - what listeners (listeners.c) and connections (connection.c) of this room share. */
#ifndef POSTRIDER_RECEIVE_SERVER_H
#define POSTRIDER_RECEIVE_SERVER_H

#include <postrider/base/list.h>
#include <postrider/base/map.h>
#include <postrider/receive.h>

#include "session.h"

struct listener {
	struct list link;
	struct receive *receive;
	struct io_listener *io;
	struct io_address address;            /* as the configuration says it: port 0 stays 0 */
	const struct config_listener *config; /* of receive->config */
	struct tls_context *tls;
	unsigned sessions;
	bool listed;         /* by the configuration that is being taken over */
	unsigned references; /* connections that came in here, and the list */
};

/* Sessions of one client address. */
struct client {
	struct map_item by_ip;
	struct ip ip;
	unsigned sessions;
};

struct receive {
	struct io *io;
	struct queue *queue;
	struct observe *observe;
	const struct config *config;
	struct receive_options options;
	struct id_source ids;
	struct list listeners;
	struct list connections;
	struct map clients;
	struct receive_counts counts;
	bool stopping;
	struct io_timer linger;
	struct io_later stop_check;
	void (*on_stopped)(void *owner);
	void *stop_owner;
};

struct client *receive_client_get(struct receive *r, struct ip ip); /* NULL without memory */
void receive_client_drop(struct receive *r, struct client *c);      /* one session less; NULL is fine */

void receive_listener_unref(struct listener *l);

/* listeners.c calls it for each accepted stream. */
void receive_connection_accept(void *owner, struct io_stream *stream);
bool receive_connection_stop_if_idle(struct list *link);
void receive_connection_end(struct list *link);   /* told 421 */
void receive_connection_close(struct list *link); /* at once */
void receive_check_stopped(struct receive *r);

#endif
