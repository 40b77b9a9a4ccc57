/* Octets as a server may answer a request: the first octet chooses how they come and what is asked. What a call promises is
 * checked: one end, one head, no more body than was allowed, a sentence with every failure. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <postrider/http/client.h>
#include <postrider/sim.h>

#define MAX_BODY 100

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct world {
	struct io *io;
	struct text response;
	unsigned
		manner; /* 1: HEAD. 2: the server closes behind it. 4: octet by octet. 8: the call is cancelled in on_head */
	struct io_stream *server;
	struct http_call *call;
	unsigned heads, dones;
	size_t body;
	enum err err;
	bool done;
};

static size_t take_request(void *owner, struct text octets)
{
	struct world *w = owner;

	for (size_t i = 0; i < w->response.len; i += w->manner & 4 ? 1 : w->response.len) {
		struct text piece = text_head(text_skip(w->response, i), w->manner & 4 ? 1 : w->response.len);

		io_stream_write(w->server, &piece, 1);
	}
	w->response = TEXT_EMPTY;
	if (w->manner & 2)
		io_stream_finish(w->server);
	return octets.len;
}

static void nothing(void *owner)
{
	(void)owner;
}

static void on_eof(void *owner)
{
	io_stream_close(((struct world *)owner)->server);
}

static void on_closed(void *owner, enum err why)
{
	(void)why;
	((struct world *)owner)->server = NULL;
}

static const struct io_stream_events server_events = {
	.on_data = take_request,
	.on_eof = on_eof,
	.on_drained = nothing,
	.on_closed = on_closed,
};

static void on_accept(void *owner, struct io_stream *stream)
{
	((struct world *)owner)->server = stream;
	io_stream_attach(stream, &server_events, owner);
}

static void on_head(void *owner, int status, struct text content_type)
{
	struct world *w = owner;

	assert(w->call && w->heads++ == 0 && status >= 200 && content_type.at);
	if (w->manner & 8) {
		http_call_cancel(&w->call);
		w->done = true;
	}
}

static void on_body(void *owner, struct text piece)
{
	struct world *w = owner;

	assert(w->call && w->heads == 1 && !(w->manner & 1));
	w->body += piece.len;
	assert(w->body <= MAX_BODY);
}

static void on_done(void *owner, enum err err, struct text problem)
{
	struct world *w = owner;

	assert(w->call && w->dones++ == 0);
	assert(err ? problem.len > 0 : problem.len == 0 && w->heads == 1);
	w->call = NULL;
	w->done = true;
}

static const struct http_call_events call_events = { .on_head = on_head,
	                                             .on_body = on_body,
	                                             .on_done = on_done };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct io_address at = { .peer_uid = UINT32_MAX, .peer_gid = UINT32_MAX };
	struct io_listener *listener = NULL;
	struct sim *sim = NULL;
	struct world w = { .heads = 0 };

	if (size == 0)
		return 0;
	w.manner = data[0] & 15;
	w.response = text_of((const char *)data + 1, size - 1);
	if (sim_new(&(struct sim_options){ .seed = 1 + data[0], .whole_writes = data[0] & 16 }, &sim) ||
	    ip_port_parse(TEXT("192.0.2.1:80"), &at.ip))
		abort();
	w.io = sim_io(sim);
	const struct http_call_options options = {
		.io = w.io,
		.url = LIT("http://192.0.2.1/"),
		.method = w.manner & 1 ? TEXT("HEAD") : TEXT("GET"),
		.timeout_ms = 1000,
		.total_ms = 5000,
		.max_body = MAX_BODY,
		.events = &call_events,
		.owner = &w,
	};

	if (io_listen(w.io, &at, 0600, on_accept, &w, &listener) || http_call_start(&options, &w.call))
		abort();
	assert(sim_run_until(sim, &w.done, 10000));
	io_listener_close(&listener);
	if (w.server)
		io_stream_close(w.server);
	sim_settle(sim, 10000);
	assert(!w.call && w.dones == (w.manner & 8 && w.heads ? 0 : 1));
	sim_free(&sim);
	return 0;
}
