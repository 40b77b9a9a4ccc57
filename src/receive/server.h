/* receive/server.h - what listeners (listeners.c) and connections (connection.c) of this room share. */
#ifndef POSTRIDER_RECEIVE_SERVER_H
#define POSTRIDER_RECEIVE_SERVER_H

#include <postrider/base/list.h>
#include <postrider/base/map.h>
#include <postrider/receive.h>

#include "clients.h"
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
	bool wanted;         /* by the one that may be */
	unsigned references; /* connections that came in here, and the list */
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
	/* by address, by the user's name, by reverse-path, by network */
	struct clients clients, users, senders, networks;
	struct policy_service *policy; /* borrowed; NULL: none */
	enum receive_pressure pressure;
	int64_t tell_again_at; /* when the next refusal at the door may be said in the log */
	struct receive_counts counts;
	bool stopping;
	struct io_timer sweep;
	struct io_timer linger;
	struct io_later stop_check;
	void (*on_stopped)(void *owner);
	void *stop_owner;
};

void receive_listener_unref(struct listener *l);

/* listeners.c calls it for each accepted stream. */
void receive_connection_accept(void *owner, struct io_stream *stream);
bool receive_connection_stop_if_idle(struct list *link);
void receive_connection_end(struct list *link);   /* told 421 */
void receive_connection_close(struct list *link); /* at once */
void receive_check_stopped(struct receive *r);
void receive_sweep_later(struct receive *r); /* forgets clients that went, in a while */

#endif
