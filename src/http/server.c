#include <postrider/http/server.h>

#include <assert.h>
#include <stdlib.h>

#include <postrider/base/auto.h>

#include "session.h"

#define DEFAULT_CONNECTIONS 64
#define DEFAULT_IDLE_MS (60 * INT64_C(1000))

struct connection {
	struct list link;
	struct http_server *server;
	struct io_stream *stream;
	struct io_timer idle;
	struct http_session session;
};

struct http_server {
	struct io *io;
	void (*on_request)(void *owner, struct http_exchange *x);
	void *owner;
	unsigned max_connections;
	int64_t idle_ms;
	struct list connections;
	unsigned count;

	bool closing;
	struct io_timer deadline;
	struct io_later closed;
	void (*on_closed)(void *owner);
	void *closed_owner;
};

/* ---------------------------------------------------------------- a connection */

static void on_idle(void *owner);

static void rearm(struct connection *c)
{
	struct http_server *server = c->server;

	/* Without memory for the timer a silent peer is not thrown out: no harm to anybody else. */
	if (io_timer_start(server->io, &c->idle, io_now_at(server->io) + server->idle_ms, on_idle, c))
		return;
}

static void on_idle(void *owner)
{
	struct connection *c = owner;

	if (http_session_awaits_peer(&c->session))
		http_session_timeout(&c->session);
	rearm(c);
}

static void out_write(void *owner, const struct text *pieces, size_t count)
{
	struct connection *c = owner;

	rearm(c);
	io_stream_write(c->stream, pieces, count);
}

static size_t out_unsent(void *owner)
{
	return io_stream_unsent(((struct connection *)owner)->stream);
}

static void out_pause(void *owner)
{
	io_stream_pause(((struct connection *)owner)->stream);
}

static void out_resume(void *owner)
{
	io_stream_resume(((struct connection *)owner)->stream);
}

static void out_finish(void *owner)
{
	io_stream_finish(((struct connection *)owner)->stream);
}

static int64_t out_now_time(void *owner)
{
	return io_now_time(((struct connection *)owner)->server->io);
}

static void out_request(void *owner, struct http_exchange *x)
{
	struct http_server *server = ((struct connection *)owner)->server;

	server->on_request(server->owner, x);
}

static const struct http_session_outputs outputs = {
	.write = out_write,
	.unsent = out_unsent,
	.pause = out_pause,
	.resume = out_resume,
	.finish = out_finish,
	.now_time = out_now_time,
	.on_request = out_request,
};

static size_t on_data(void *owner, struct text octets)
{
	struct connection *c = owner;

	rearm(c);
	return http_session_feed(&c->session, octets);
}

static void on_eof(void *owner)
{
	http_session_eof(&((struct connection *)owner)->session);
}

static void on_drained(void *owner)
{
	struct connection *c = owner;

	rearm(c);
	http_session_drained(&c->session);
}

static void say_closed(void *owner)
{
	struct http_server *server = owner;

	io_timer_stop(server->io, &server->deadline);
	server->on_closed(server->closed_owner);
	free(server);
}

static void closed_if_empty(struct http_server *server)
{
	if (server->closing && server->count == 0)
		io_later_run(server->io, &server->closed, say_closed, server);
}

static void on_stream_closed(void *owner, enum err why)
{
	struct connection *c = owner;
	struct http_server *server = c->server;

	(void)why; /* a peer may go when it likes */
	io_timer_stop(server->io, &c->idle);
	list_remove(&c->link);
	server->count--;
	http_session_fini(&c->session);
	free(c);
	closed_if_empty(server);
}

static const struct io_stream_events stream_events = {
	.on_data = on_data,
	.on_eof = on_eof,
	.on_drained = on_drained,
	.on_closed = on_stream_closed,
};

void http_server_accept(struct http_server *server, struct io_stream *stream)
{
	struct connection *c =
		server->closing || server->count >= server->max_connections ? NULL : calloc(1, sizeof(*c));

	if (!c || http_session_init(&c->session, &outputs, c)) {
		free(c);
		io_stream_close(stream);
		return;
	}
	c->server = server;
	c->stream = stream;
	list_append(&server->connections, &c->link);
	server->count++;
	io_stream_attach(stream, &stream_events, c);
	rearm(c);
}

const struct io_address *http_peer(const struct http_exchange *x)
{
	const struct connection *c = x->session->owner;

	return io_stream_peer(c->stream);
}

/* ---------------------------------------------------------------- the server */

enum err http_server_new(const struct http_server_options *options, struct http_server **out)
{
	struct http_server *server = calloc(1, sizeof(*server));

	if (!server)
		return ERR_NOMEM;
	assert(options->on_request);
	server->io = options->io;
	server->on_request = options->on_request;
	server->owner = options->owner;
	server->max_connections = options->max_connections ? options->max_connections : DEFAULT_CONNECTIONS;
	server->idle_ms = options->idle_ms ? options->idle_ms : DEFAULT_IDLE_MS;
	list_init(&server->connections);
	*out = server;
	return ERR_OK;
}

unsigned http_server_connections(const struct http_server *server)
{
	return server->count;
}

static void close_all(void *owner)
{
	struct http_server *server = owner;

	for (LIST_EACH_SAFE(it, &server->connections))
		io_stream_close(LIST_ITEM(it, struct connection, link)->stream);
}

void http_server_close(struct http_server **slot, int64_t deadline_ms, void (*on_closed)(void *owner),
                       void *owner)
{
	struct http_server *server = *slot;

	*slot = NULL;
	server->closing = true;
	server->on_closed = on_closed;
	server->closed_owner = owner;
	for (LIST_EACH_SAFE(it, &server->connections))
		http_session_wind_up(&LIST_ITEM(it, struct connection, link)->session);
	if (server->count > 0 && io_timer_start(server->io, &server->deadline,
	                                        io_now_at(server->io) + deadline_ms, close_all, server))
		close_all(server);
	closed_if_empty(server);
}
