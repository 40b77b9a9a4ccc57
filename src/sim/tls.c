/* TLS by a script: both ends say hello, wait, and go on in plain text. What fails is what the script says. */
#include "internal.h"

#include <assert.h>
#include <stdlib.h>

#include "tls_certificate.h"

/* A word, how many octets follow in four digits, and those: of a client the name it asks for, of a server its certificate. */
#define WORD_BYTES 8
#define HELLO_BYTES (WORD_BYTES + 4)
#define HELLO_MAX_BYTES (HELLO_BYTES + 4096)
static const char good_hello[WORD_BYTES + 1] = "\x16SIM+OK\n";
static const char bad_hello[WORD_BYTES + 1] = "\x16SIM+NO\n";

static bool is_hello(struct text word)
{
	return text_eq(word, text_from(good_hello)) || text_eq(word, text_from(bad_hello));
}

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
	struct tls_expectation proof;
	void *proof_memory;
	char *server_name;
	struct sim_event decision;
	struct buf hello; /* the peer's, as far as it came */
	bool is_judged;
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
	const struct sim_tls_context *c = context_of(l);
	AUTO(buf_fini) struct buf about = BUF(HELLO_MAX_BYTES - HELLO_BYTES);
	AUTO(buf_fini) struct buf hello = BUF(HELLO_MAX_BYTES);

	if (c->server)
		sim_certificate_add(&about, &c->script.certificate);
	else
		buf_add_string(&about, l->server_name);
	buf_add_string(&hello, c->script.certificate_is_bad ? bad_hello : good_hello);
	buf_add_format(&hello, "%04zu", about.len);
	buf_add(&hello, buf_text(&about));
	assert(!buf_err(&hello));
	struct text all = buf_text(&hello);

	io_layer_send(&l->tls.layer, &all, 1);
}

/* A client's view: what it demands, or would have found. */
static void judge_server(struct sim_layer *l, struct text about, bool leads_to_ca)
{
	static const char *const problems[] = {
		[TLS_FAULT_NAME] = "the certificate is for another name",
		[TLS_FAULT_UNTRUSTED] = "the certificate leads to no known CA",
		[TLS_FAULT_MISMATCH] = "the certificate is none of those expected",
	};
	static const enum tls_by by[] = {
		[TLS_PROOF_CONTEXT] = TLS_BY_CA,
		[TLS_PROOF_NAMES] = TLS_BY_CA,
		[TLS_PROOF_PINS] = TLS_BY_PIN,
		[TLS_PROOF_DANE] = TLS_BY_DANE,
	};
	struct sim_tls_certificate certificate = sim_certificate_read(about);
	enum tls_proof proof = l->proof.proof;
	enum tls_fault fault = sim_certificate_judge(&certificate, &l->proof, leads_to_ca);
	bool verifies = context_of(l)->verify;

	if (proof == TLS_PROOF_CONTEXT && !fault &&
	    !sim_certificate_is_for(&certificate, text_from(l->server_name)))
		fault = TLS_FAULT_NAME;
	l->info.fault = fault;
	if (fault)
		l->info.problem = text_from(problems[fault]);
	if (fault && (proof == TLS_PROOF_CONTEXT ? verifies : proof != TLS_PROOF_NONE))
		l->err = ERR_CERTIFICATE;
	l->info.verified = !fault && (proof == TLS_PROOF_CONTEXT ? verifies : proof != TLS_PROOF_NONE);
	l->info.by = l->info.verified ? by[proof] : TLS_BY_NOBODY;
}

static void fill_info(struct sim_layer *l)
{
	const struct sim_tls_script *script = &context_of(l)->script;

	l->info.version = script->version ? script->version : TLS_1_3;
	l->info.cipher = TEXT("TLS_AES_128_GCM_SHA256");
	l->info.resumed = script->resumed;
	l->info.has_peer = script->has_peer;
	l->info.peer_verified = script->has_peer && script->peer_verified;
	l->info.peer_name = script->peer_name;
	l->info.peer_fingerprint = script->peer_fingerprint;
}

/* The server speaks second, as in TLS: a client that throws away what came with the 220 loses nothing of it. */
static void judge(struct sim_layer *l, struct text word, struct text about)
{
	const struct sim_tls_context *c = context_of(l);
	bool peer_is_good = text_eq(word, text_from(good_hello));

	if (c->server && !c->script.handshake_fails)
		say_hello(l);
	fill_info(l);
	if (c->script.handshake_fails || !is_hello(word)) {
		l->err = ERR_TLS;
		l->info.fault = TLS_FAULT_HANDSHAKE;
		l->info.problem = TEXT("the script lets the handshake fail");
	} else if (!c->server) {
		judge_server(l, about, peer_is_good);
	}
	if (c->server)
		l->info.server_name = c->script.server_name.len > 0 ? c->script.server_name : about;
	sim_event_at(l->sim, &l->decision, l->sim->now_at + c->script.delay_ms, on_decision);
}

/* How long a hello is; 0: that is not known yet. What is none ends with its word. */
static size_t hello_size(struct text so_far)
{
	size_t about = 0;

	if (so_far.len >= WORD_BYTES && !is_hello(text_head(so_far, WORD_BYTES)))
		return WORD_BYTES;
	if (so_far.len < HELLO_BYTES)
		return 0;
	for (size_t i = WORD_BYTES; i < HELLO_BYTES; i++)
		about = about * 10 + (unsigned char)(so_far.at[i] - '0') % 10;
	return MIN(HELLO_BYTES + about, (size_t)HELLO_MAX_BYTES);
}

/* Takes what belongs to it from the octets that came. */
static void take_hello(struct sim_layer *l, struct text *bytes)
{
	while (!l->is_judged && bytes->len > 0) {
		size_t size = hello_size(buf_text(&l->hello));
		size_t want = (size                        ? size
		               : l->hello.len < WORD_BYTES ? WORD_BYTES
		                                           : HELLO_BYTES) -
		              l->hello.len;

		buf_add(&l->hello, text_head(*bytes, MIN(want, bytes->len)));
		*bytes = text_skip(*bytes, MIN(want, bytes->len));
		struct text hello = buf_text(&l->hello);

		size = hello_size(hello);
		if (!size || hello.len < size)
			continue;
		l->is_judged = true;
		judge(l, text_head(hello, WORD_BYTES), text_skip(hello, HELLO_BYTES));
	}
}

static void on_wire(struct io_layer *base, struct text bytes)
{
	struct sim_layer *l = layer_of(base);

	take_hello(l, &bytes);
	buf_add(&l->unread, bytes);
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
	buf_fini(&l->hello);
	free(l->proof_memory);
	free(l->server_name);
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
                      const struct tls_expectation *expect, tls_done_fn *on_done, void *owner)
{
	struct sim_tls_context *c = CONTAINER_OF(base, struct sim_tls_context, base);
	struct sim_layer *l = sim_alloc(sizeof(*l));

	l->server_name = text_dup(server_name);
	if (!l->server_name || tls_expectation_copy(expect, &l->proof, &l->proof_memory))
		abort();
	l->hello = BUF(HELLO_MAX_BYTES);
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
