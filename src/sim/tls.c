/* TLS by a script: both ends say hello, wait, and go on in plain text. What fails is what the script says. */
#include "internal.h"

#include <assert.h>
#include <stdlib.h>

#define HELLO_BYTES 8
static const char good_hello[HELLO_BYTES + 1] = "\x16SIM+OK\n";
static const char bad_hello[HELLO_BYTES + 1] = "\x16SIM+NO\n";

struct sim_tls_context {
	struct tls_context base;
	struct sim *sim;
	bool server, verify;
	struct sim_tls_script script;
};

struct sim_layer {
	struct tls_layer tls; /* first */
	struct sim *sim;
	tls_done_fn *on_done;
	void *owner;
	struct sim_event decision;
	char hello[HELLO_BYTES];
	size_t hello_len;
	bool running;
	enum err err;
	struct buf early; /* written or read before the handshake was done */
	struct buf unread;
	struct tls_info info;
};

static struct sim_layer *layer_of(struct io_layer *l)
{
	return CONTAINER_OF(l, struct sim_layer, tls.layer);
}

static const struct sim_tls_context *context_of(const struct sim_layer *l)
{
	return CONTAINER_OF(l->tls.context, const struct sim_tls_context, base);
}

static void deliver_unread(struct sim_layer *l)
{
	while (l->tls.layer.stream && l->unread.len && !io_layer_is_paused(&l->tls.layer)) {
		size_t most = MIN(l->unread.len, (size_t)IO_READ_BYTES), room_size;
		char *room = io_layer_room(&l->tls.layer, &room_size);

		if (!room)
			return;
		most = MIN(most, room_size);
		memcpy(room, l->unread.at, most);
		buf_drop_head(&l->unread, most);
		io_layer_deliver(&l->tls.layer, text_of(room, most));
	}
}

static void on_decision(struct sim_event *event)
{
	struct sim_layer *l = CONTAINER_OF(event, struct sim_layer, decision);
	struct text early = buf_text(&l->early);

	if (!l->tls.layer.stream)
		return;
	l->running = true;
	io_layer_read(&l->tls.layer, IO_WIRE_AS_OWNER);
	if (l->err) {
		l->on_done(l->owner, l->err, &l->info);
		if (l->tls.layer.stream)
			io_layer_fail(&l->tls.layer, l->err);
		return;
	}
	if (early.len)
		io_layer_send(&l->tls.layer, &early, 1);
	buf_fini(&l->early);
	l->on_done(l->owner, ERR_OK, &l->info);
	deliver_unread(l);
}

static void say_hello(struct sim_layer *l)
{
	struct text hello =
		text_of(context_of(l)->script.certificate_is_bad ? bad_hello : good_hello, HELLO_BYTES);

	io_layer_send(&l->tls.layer, &hello, 1);
}

/* The server speaks second, as in TLS: a client that throws away what came with the 220 loses nothing of it. */
static void judge(struct sim_layer *l)
{
	const struct sim_tls_context *c = context_of(l);
	bool peer_is_good = memcmp(l->hello, good_hello, HELLO_BYTES) == 0;

	if (c->server && !c->script.handshake_fails)
		say_hello(l);
	if (c->script.handshake_fails || (!peer_is_good && memcmp(l->hello, bad_hello, HELLO_BYTES) != 0)) {
		l->err = ERR_TLS;
		l->info.problem = TEXT("the script lets the handshake fail");
	} else if (!c->server && !peer_is_good && c->verify) {
		l->err = ERR_CERTIFICATE;
		l->info.problem = TEXT("the certificate is for another name");
	}
	l->info.version = c->script.version ? c->script.version : TLS_1_3;
	l->info.cipher = TEXT("TLS_AES_128_GCM_SHA256");
	l->info.verified = !c->server && peer_is_good && c->verify;
	l->info.resumed = c->script.resumed;
	l->info.server_name = c->script.server_name;
	l->info.has_peer = c->script.has_peer;
	l->info.peer_verified = c->script.has_peer && c->script.peer_verified;
	l->info.peer_name = c->script.peer_name;
	l->info.peer_fingerprint = c->script.peer_fingerprint;
	sim_event_at(l->sim, &l->decision, l->sim->now_at + c->script.delay_ms, on_decision);
}

static void on_wire(struct io_layer *base, struct text bytes)
{
	struct sim_layer *l = layer_of(base);
	size_t hello = MIN(bytes.len, HELLO_BYTES - l->hello_len);

	memcpy(l->hello + l->hello_len, bytes.at, hello);
	l->hello_len += hello;
	if (hello && l->hello_len == HELLO_BYTES)
		judge(l);
	buf_add(&l->unread, text_skip(bytes, hello));
	if (l->running)
		deliver_unread(l);
}

static void on_wire_eof(struct io_layer *base)
{
	struct sim_layer *l = layer_of(base);

	if (l->running)
		io_layer_deliver_eof(base);
	else
		io_layer_fail(base, ERR_CLOSED);
}

static void layer_write(struct io_layer *base, const struct text *pieces, size_t count)
{
	struct sim_layer *l = layer_of(base);

	if (l->running) {
		io_layer_send(base, pieces, count);
		return;
	}
	for (size_t i = 0; i < count; i++)
		buf_add(&l->early, pieces[i]);
}

static void layer_finish(struct io_layer *base)
{
	(void)base;
}

static size_t layer_unsent(const struct io_layer *base)
{
	return CONTAINER_OF(base, const struct sim_layer, tls.layer)->early.len;
}

static void layer_detach(struct io_layer *base)
{
	struct sim_layer *l = layer_of(base);

	sim_event_cancel(l->sim, &l->decision);
	buf_fini(&l->early);
	buf_fini(&l->unread);
	tls_context_unref(&l->tls.context);
	free(l);
}

static const struct io_layer_ops layer_ops = {
	.on_wire = on_wire,
	.on_wire_eof = on_wire_eof,
	.write = layer_write,
	.finish = layer_finish,
	.unsent = layer_unsent,
	.detach = layer_detach,
};

static enum err start(struct tls_context *base, struct io_stream *stream, struct text server_name,
                      tls_done_fn *on_done, void *owner)
{
	struct sim_tls_context *c = CONTAINER_OF(base, struct sim_tls_context, base);
	struct sim_layer *l = sim_alloc(sizeof(*l));

	(void)server_name;
	l->tls.layer.ops = &layer_ops;
	l->tls.context = tls_context_ref(base);
	l->sim = c->sim;
	l->on_done = on_done;
	l->owner = owner;
	l->early = BUF(16u << 20);
	l->unread = BUF(16u << 20);
	io_stream_set_layer(stream, &l->tls.layer);
	io_layer_read(&l->tls.layer, IO_WIRE_ON);
	if (!c->server)
		say_hello(l);
	return ERR_OK;
}

static struct tls_info info(const struct io_layer *base)
{
	return CONTAINER_OF(base, const struct sim_layer, tls.layer)->info;
}

static enum err binding(const struct io_layer *base, enum tls_binding kind, struct buf *out)
{
	const struct sim_layer *l = CONTAINER_OF(base, const struct sim_layer, tls.layer);

	(void)kind;
	if (!l->running || l->err || context_of(l)->script.has_no_binding)
		return ERR_NOT_FOUND;
	buf_add(out, TEXT("what both ends of this sim know!"));
	return buf_err(out);
}

static bool certificate(const struct tls_context *base, size_t i, struct tls_certificate_facts *out)
{
	(void)base;
	(void)i;
	(void)out;
	return false;
}

static void context_free(struct tls_context *base)
{
	free(CONTAINER_OF(base, struct sim_tls_context, base));
}

static const struct tls_context_ops context_ops = {
	.start = start, .info = info, .binding = binding, .certificate = certificate, .free = context_free
};

enum err sim_tls_context(struct sim *s, bool server, bool verify, const struct sim_tls_script *script,
                         struct tls_context **out)
{
	struct sim_tls_context *c = calloc(1, sizeof(*c));

	if (!c)
		return ERR_NOMEM;
	*c = (struct sim_tls_context){
		.base = { &context_ops, 1 }, .sim = s, .server = server, .verify = verify, .script = *script
	};
	*out = &c->base;
	return ERR_OK;
}
