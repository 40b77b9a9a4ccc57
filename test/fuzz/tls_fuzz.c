/* Octets of a stranger where a server waits for a TLS handshake, cut as the first octets say: a hello, a certificate, records,
 * or rubbish. mbedTLS is the real one, the network simulated. Whatever comes: on_done runs once at most and not with success, no
 * octet of it reaches the owner as if it were mail, the stream ends, and nothing is left. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <postrider/sim.h>
#include <postrider/tls.h>

#include "support/certificates.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

#define PORT 2525

/* Made once: they are keys. Never freed, so that the search ends as it pleases. */
struct servers {
	struct sim *sim;
	struct tls_context *contexts[4]; /* bit 0: asks for a certificate; bit 1: 1.2 at most */
};

static struct servers servers;

struct fuzz {
	struct tls_context *context;
	struct io_stream *client, *server;
	struct text octets;
	size_t piece;
	unsigned done, closed;
	struct io_timer next;
};

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct certificates certificates;

	(void)argc;
	(void)argv;
	certificates_make(&certificates);
	if (sim_new(&(struct sim_options){ .seed = 1 }, &servers.sim))
		abort();
	for (unsigned i = 0; i < 4; i++) {
		struct tls_server_options o = { certificate_pem(&certificates.server),
			                        certificate_key(&certificates.server), .ask_client = i & 1,
			                        .client_ca = certificate_pem(&certificates.ca),
			                        .highest = i & 2 ? TLS_1_2 : TLS_NONE };

		if (tls_server_context_new(sim_io(servers.sim), &o, &servers.contexts[i], NULL))
			abort();
	}
	return 0;
}

/* ---------------------------------------------------------------- the server */

static void on_done(void *owner, enum err err, const struct tls_info *info)
{
	struct fuzz *f = owner;

	f->done++;
	assert(f->done == 1 && err != ERR_OK);
	assert(info->version == TLS_NONE && !info->has_peer && !info->peer_verified);
	assert(info->problem.len > 0);
}

static size_t on_server_data(void *owner, struct text bytes)
{
	(void)owner;
	assert(!"what came before the handshake was done is no mail");
	return bytes.len;
}

static void on_server_eof(void *owner)
{
	struct fuzz *f = owner;

	io_stream_close(f->server);
}

static void on_server_closed(void *owner, enum err why)
{
	struct fuzz *f = owner;

	(void)why;
	f->server = NULL;
	f->closed++;
}

static const struct io_stream_events server_events = { .on_data = on_server_data,
	                                               .on_eof = on_server_eof,
	                                               .on_closed = on_server_closed };

static void on_accept(void *owner, struct io_stream *stream)
{
	struct fuzz *f = owner;

	f->server = stream;
	io_stream_attach(stream, &server_events, f);
	if (tls_start(stream, f->context, TEXT_EMPTY, on_done, f))
		abort();
}

/* ---------------------------------------------------------------- the stranger */

static void send_next(void *owner)
{
	struct fuzz *f = owner;
	struct text piece = text_head(f->octets, f->piece);

	if (!f->client)
		return;
	f->octets = text_skip(f->octets, piece.len);
	if (piece.len == 0) {
		io_stream_finish(f->client);
		return;
	}
	io_stream_write(f->client, &piece, 1);
	if (io_timer_start(io_stream_io(f->client), &f->next, io_now_at(io_stream_io(f->client)) + 20,
	                   send_next, f))
		abort();
}

static size_t on_client_data(void *owner, struct text bytes)
{
	(void)owner;
	return bytes.len;
}

static void on_client_closed(void *owner, enum err why)
{
	struct fuzz *f = owner;

	(void)why;
	f->client = NULL;
	f->closed++;
}

static const struct io_stream_events client_events = { .on_connected = send_next,
	                                               .on_data = on_client_data,
	                                               .on_closed = on_client_closed,
	                                               .on_eof = send_next };

/* ---------------------------------------------------------------- one run */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct io_address address = { .ip = { .ip = ip_from_v4(0x7f000001), .port = PORT } };
	struct io_listener *listener = NULL;
	struct sim *sim = NULL;
	struct fuzz f = { 0 };

	if (size < 2 || size > 64 * 1024)
		return 0;
	if (sim_new(&(struct sim_options){ .seed = 1, .whole_writes = true }, &sim))
		abort();
	f.context = servers.contexts[data[0] & 3];
	f.octets = text_of((const char *)data + 2, size - 2);
	f.piece = data[1] ? data[1] * (data[0] & 4 ? 16u : 1u) : size;
	if (io_listen(sim_io(sim), &address, 0, on_accept, &f, &listener) ||
	    io_connect(sim_io(sim), &address, NULL, &client_events, &f, &f.client))
		abort();
	sim_settle(sim, 3600 * 1000);
	io_timer_stop(sim_io(sim), &f.next);
	if (f.client)
		io_stream_close(f.client);
	if (f.server)
		io_stream_close(f.server);
	io_listener_close(&listener);
	sim_settle(sim, 60 * 1000);
	assert(f.closed == 2);
	sim_free(&sim);
	return 0;
}
