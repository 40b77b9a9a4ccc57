/* The beginning of TLS under a stream. */
#include "mbed_layer.h"

#include <assert.h>
#include <stdlib.h>

#include <mbedtls/asn1.h>

#define PROBLEM_MAX_BYTES 2048
#define TOLD_MAX_BYTES 1024
/* A hello is a few hundred octets, or two thousand with keys against quantum computers; nothing may follow it. What follows
 * a client's last words of the handshake is mail already, as much as one reading brings. */
#define HELLO_MAX_BYTES (20 * 1024)
#define RECORD_OF_HANDSHAKE 0x16

static void go_on(struct mbed_layer *l);

/* ---------------------------------------------------------------- the end, good or bad */

void mbed_handshake_free(struct mbed_layer *l)
{
	struct handshake *h = TAKE(l->handshake);

	if (!h)
		return;
	mbedtls_ssl_set_verify(&l->ssl, NULL, NULL); /* it had h */
	buf_fini(&h->early);
	buf_fini(&h->problem);
	free(h->proof_memory);
	free(h);
}

bool mbed_handshake_abandon(struct mbed_layer *l)
{
	if (!l->job_runs || gate_cancel(l->world, &l->handshake->at_gate)) {
		l->job_runs = false;
		return true;
	}
	atomic_store(&l->handshake->abandoned, true);
	return false;
}

/* The failure is told once, and the stream ends with it. */
void mbed_handshake_fail(struct mbed_layer *l, enum err err, const char *why)
{
	struct handshake *h = l->handshake;

	if (why) {
		buf_reset(&h->problem);
		buf_add_string(&h->problem, why);
	}
	l->phase = PHASE_BROKEN;
	l->info.problem = buf_text(&h->problem);
	l->info.fault = err == ERR_CERTIFICATE ? h->fault : TLS_FAULT_HANDSHAKE;
	h->on_done(h->owner, err, &l->info);
	l->info.problem = TEXT_EMPTY;
	io_layer_fail(&l->base.layer, err);
}

static void on_step_failed(struct mbed_layer *l)
{
	struct handshake *h = l->handshake;
	enum err err = ERR_TLS;

	if (h->status == MBEDTLS_ERR_X509_CERT_VERIFY_FAILED || h->refused) {
		err = ERR_CERTIFICATE;
	} else if (h->status == MBEDTLS_ERR_SSL_CA_CHAIN_REQUIRED) {
		err = ERR_CERTIFICATE;
		h->fault = TLS_FAULT_UNTRUSTED;
		buf_reset(&h->problem);
		buf_add_string(&h->problem, "there are no CAs to check the certificate against");
	} else if (h->status == MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE) {
		buf_reset(&h->problem);
		mbed_add_alert(&h->problem, l->ssl.MBEDTLS_PRIVATE(in_msg)[1]);
	} else {
		buf_reset(&h->problem);
		mbed_add_error(&h->problem, "the TLS handshake failed", h->status);
	}
	mbed_handshake_fail(l, err, NULL);
}

/* ---------------------------------------------------------------- what is known afterwards */

static struct text tell(struct mbed_layer *l, size_t from)
{
	return text_skip(buf_text(&l->told), from);
}

/* A server looks at the client's certificate. A result of 0 alone proves nothing: that is also what a session without one
 * reports, and a resumed one. */
static void fill_peer(struct mbed_layer *l, const mbedtls_x509_crt *peer, uint32_t flags)
{
	struct handshake *h = l->handshake;
	const struct mbed_context *c = mbed_context_of(l);

	if (!c->asks || !peer || l->info.resumed)
		return;
	l->info.has_peer = true;
	l->info.peer_verified = c->store && flags == 0;
	if (!c->store)
		buf_add_string(&h->problem, "there are no CAs to check the client's certificate against");
	else if (flags)
		mbed_add_verdict(&h->problem, flags, NULL);
}

/* Enough room first, so that the views stay good. */
static void fill_texts(struct mbed_layer *l, const mbedtls_x509_crt *peer)
{
	struct handshake *h = l->handshake;
	struct text name = l->info.has_peer ? mbed_peer_name(peer) : TEXT_EMPTY;
	size_t room = h->server_name_len + name.len + (l->info.has_peer ? 64 : 0);

	if (room == 0)
		return;
	if (!buf_reserve(&l->told, room)) {
		l->info.has_peer = l->info.peer_verified = false;
		return;
	}
	buf_add_bytes(&l->told, h->server_name, h->server_name_len);
	l->info.server_name = tell(l, 0);
	buf_add(&l->told, name);
	l->info.peer_name = tell(l, h->server_name_len);
	if (l->info.has_peer)
		mbed_add_fingerprint(&l->told, peer);
	l->info.peer_fingerprint = tell(l, h->server_name_len + name.len);
}

/* A result of 0 alone proves nothing: that is also what a session without a certificate reports. */
static bool is_proved(const struct mbed_layer *l, const mbedtls_x509_crt *peer, uint32_t flags)
{
	const struct handshake *h = l->handshake;
	const struct mbed_context *c = mbed_context_of(l);

	if (!c->is_client || !peer || !h->signs)
		return false;
	switch (h->proof.proof) {
	case TLS_PROOF_PINS:
	case TLS_PROOF_DANE:
		return !h->refused;
	case TLS_PROOF_NAMES:
		return c->store && flags == 0;
	case TLS_PROOF_CONTEXT:
		return c->store && h->has_name && flags == 0;
	case TLS_PROOF_NONE:
		break;
	}
	return false;
}

static enum tls_by by_of(enum tls_proof proof)
{
	switch (proof) {
	case TLS_PROOF_PINS:
		return TLS_BY_PIN;
	case TLS_PROOF_DANE:
		return TLS_BY_DANE;
	case TLS_PROOF_NAMES:
	case TLS_PROOF_CONTEXT:
		return TLS_BY_CA;
	case TLS_PROOF_NONE:
		break;
	}
	return TLS_BY_NOBODY;
}

static void fill_info(struct mbed_layer *l)
{
	struct handshake *h = l->handshake;
	const struct mbed_context *c = mbed_context_of(l);
	const mbedtls_x509_crt *peer = mbedtls_ssl_get_peer_cert(&l->ssl);
	uint32_t flags = mbedtls_ssl_get_verify_result(&l->ssl);
	uint64_t took_us = io_clock_us(io_stream_io(l->base.layer.stream)) - h->began_us;

	l->info.version =
		mbedtls_ssl_get_version_number(&l->ssl) == MBEDTLS_SSL_VERSION_TLS1_3 ? TLS_1_3 : TLS_1_2;
	l->info.cipher = mbed_cipher_name(mbedtls_ssl_get_ciphersuite_id_from_ssl(&l->ssl));
	l->info.handshake_ms = (unsigned)(took_us / 1000);
	l->info.resumed = !h->signs;
	l->info.verified = is_proved(l, peer, flags);
	if (l->info.verified) {
		l->info.by = by_of(h->proof.proof);
	} else if (c->is_client) {
		l->info.fault = flags ? mbed_fault_of(flags) : TLS_FAULT_NONE;
		if (h->problem.len == 0 && !c->store)
			buf_add_string(&h->problem, "there are no CAs to check against");
	}
	fill_peer(l, peer, flags);
	fill_texts(l, peer);
}

static void open_up(struct mbed_layer *l)
{
	struct handshake *h = l->handshake;
	AUTO(buf_fini) struct buf early = h->early;
	struct text waiting = buf_text(&early);

	h->early = BUF(EARLY_MAX_BYTES);
	fill_info(l);
	l->phase = PHASE_OPEN;
	if (waiting.len > 0)
		mbed_write_plain(l, &waiting, 1);
	if (mbed_is_over(l))
		return;
	l->info.problem = buf_text(&h->problem);
	h->on_done(h->owner, ERR_OK, &l->info);
	l->info.problem = TEXT_EMPTY;
	mbed_handshake_free(l);
	if (mbed_is_over(l))
		return;
	io_layer_read(&l->base.layer, IO_WIRE_AS_OWNER);
	mbed_pump(l);
}

/* ---------------------------------------------------------------- steps */

static void on_step_done(struct io_job *job)
{
	struct handshake *h = CONTAINER_OF(job, struct handshake, job);
	struct mbed_layer *l = h->layer;

	gate_leave(l->world);
	l->job_runs = false;
	h->begun = true;
	if (!l->base.layer.stream) {
		mbed_layer_free(l);
		return;
	}
	if (!mbed_is_over(l))
		mbed_flush_out(l);
	if (mbed_is_over(l))
		return;
	if (!mbed_settle_in(l) || !mbed_unpack(l))
		io_layer_fail(&l->base.layer, ERR_NOMEM);
	else if (h->status == 0)
		open_up(l);
	else if (h->status != MBEDTLS_ERR_SSL_WANT_READ && h->status != MBEDTLS_ERR_SSL_WANT_WRITE)
		on_step_failed(l);
	else if (mbed_in_waiting(l) > 0)
		go_on(l);
	else
		io_layer_read(&l->base.layer, IO_WIRE_ON);
}

/* On a thread of the CPU lane. A certificate shows that keys are agreed on anew. To mbedTLS a handshake is over when its
 * tickets have yet to be written: it is to us when nothing of it is left. */
static void run_step(struct io_job *job)
{
	struct handshake *h = CONTAINER_OF(job, struct handshake, job);
	mbedtls_ssl_context *ssl = &h->layer->ssl;
	const int *state = &ssl->MBEDTLS_PRIVATE(state);

	if (atomic_load(&h->abandoned))
		return;
	do {
		h->signs |= *state == MBEDTLS_SSL_SERVER_CERTIFICATE;
		h->status = mbedtls_ssl_handshake_step(ssl);
	} while (h->status == 0 && *state != MBEDTLS_SSL_HANDSHAKE_OVER);
	if (h->status == 0)
		mbed_drop_handshake(h->layer);
}

static void go_on(struct mbed_layer *l)
{
	struct handshake *h = l->handshake;
	struct io_stream *stream = l->base.layer.stream;

	if (!mbed_unpack(l)) {
		io_layer_fail(&l->base.layer, ERR_NOMEM);
		return;
	}
	mbed_pin(l);
	io_layer_read(&l->base.layer, IO_WIRE_OFF);
	l->job_runs = true;
	h->job = (struct io_job){ .run = run_step, .done = on_step_done };
	gate_enter(l->world, &h->at_gate, &h->job, h->begun || mbed_context_of(l)->is_client,
	           io_stream_peer(stream)->ip.ip);
}

/* What is no TLS at all need not wait for a turn to be told so. */
void mbed_handshake_go_on(struct mbed_layer *l)
{
	bool begins = !l->handshake->begun && !mbed_context_of(l)->is_client;

	if (begins && l->in.at[0] != RECORD_OF_HANDSHAKE)
		mbed_handshake_fail(l, ERR_TLS, "the peer does not speak TLS");
	else if (begins && l->in.len > HELLO_MAX_BYTES)
		mbed_handshake_fail(l, ERR_TLS, "the peer sent too much before the TLS handshake");
	else
		go_on(l);
}

/* ---------------------------------------------------------------- what mbedTLS asks */

/* Called for each certificate of the chain, the server's own last. Addresses are our business: mbedTLS would send
 * them as a name. */
static int on_verify(void *argument, mbedtls_x509_crt *certificate, int depth, uint32_t *flags)
{
	struct handshake *h = argument;

	if (depth > 0) {
		*flags &= ~(uint32_t)MBEDTLS_X509_BADCERT_CN_MISMATCH;
		if (*flags) {
			mbed_add_verdict(&h->problem, *flags, NULL);
			h->fault = mbed_fault_of(*flags);
		}
		return 0;
	}
	if (h->proof.proof == TLS_PROOF_CONTEXT && !h->has_name)
		*flags |= MBEDTLS_X509_BADCERT_OTHER;
	else if (h->proof.proof == TLS_PROOF_CONTEXT && h->address.family != IP_NONE &&
	         !mbed_has_address(certificate, h->address))
		*flags |= MBEDTLS_X509_BADCERT_CN_MISMATCH;
	h->refused = !mbed_proof_judge(&h->proof, certificate, flags, &h->problem, &h->fault);
	return h->refused ? MBEDTLS_ERR_X509_FATAL_ERROR : 0;
}

static void note_server_name(struct handshake *h, struct text name)
{
	if (text_ends(name, TEXT(".")))
		name = text_head(name, name.len - 1);
	h->server_name_len = 0;
	if (!mbed_is_host_name(name))
		return;
	for (size_t i = 0; i < name.len; i++)
		h->server_name[h->server_name_len++] = ascii_lower(name.at[i]);
}

static int offer(void *ssl, struct mbed_pair *p)
{
	return mbedtls_ssl_set_hs_own_cert(ssl, &p->chain, mbed_pair_key(p));
}

static int offer_other(void *argument, struct mbed_pair *p)
{
	mbedtls_ssl_context *ssl = argument;
	struct mbed_layer *l = mbedtls_ssl_get_user_data_p(ssl);

	return p == mbed_context_of(l)->pairs ? 0 : offer(ssl, p);
}

/* For those who ask for no name we know: the first certificate, and others for its first name. Many clients do not look, and
 * those that do say better than we what is wrong. */
static int offer_first(mbedtls_ssl_context *ssl, struct mbed_context *c)
{
	size_t found;
	int status = offer(ssl, &c->pairs[0]);

	if (status || c->pairs[0].name_count == 0)
		return status;
	return mbed_pairs_for(c->pairs, c->pair_count, c->pairs[0].names[0], offer_other, ssl, &found);
}

/* Comes twice where the client's first hello did not do. */
int mbed_choose_certificate(mbedtls_ssl_context *ssl)
{
	struct mbed_layer *l = mbedtls_ssl_get_user_data_p(ssl);
	struct mbed_context *c = mbed_context_of(l);
	struct handshake *h = l->handshake;
	size_t len = 0, found;
	const unsigned char *name = mbedtls_ssl_get_hs_sni(ssl, &len);
	int status = mbedtls_ssl_set_hs_own_cert(ssl, NULL, NULL);

	if (status)
		return status;
	if (name && len > 0)
		note_server_name(h, text_of((const char *)name, len));
	status = mbed_pairs_for(c->pairs, c->pair_count, text_of(h->server_name, h->server_name_len), offer,
	                        ssl, &found);
	return status || found > 0 ? status : offer_first(ssl, c);
}

/* ---------------------------------------------------------------- starting */

static int set_name(struct mbed_layer *l, struct text name)
{
	struct handshake *h = l->handshake;

	if (text_ends(name, TEXT(".")))
		name = text_head(name, name.len - 1);
	h->has_name = name.len > 0;
	if (ip_parse(name, &h->address) != ERR_OK)
		h->address = (struct ip){ .family = IP_NONE };
	if (!h->has_name || h->address.family != IP_NONE)
		return mbedtls_ssl_set_hostname(&l->ssl, NULL);
	char *copy = text_dup(name);
	int status = copy ? mbedtls_ssl_set_hostname(&l->ssl, copy) : MBEDTLS_ERR_SSL_ALLOC_FAILED;

	free(copy);
	return status;
}

static struct mbed_layer *layer_new(struct mbed_context *c, struct io *io)
{
	struct mbed_layer *l = calloc(1, sizeof(*l));
	struct handshake *h = calloc(1, sizeof(*h));

	if (!l || !h || mbed_world_ref(io, &l->world)) {
		free(l);
		free(h);
		return NULL;
	}
	*h = (struct handshake){
		.layer = l,
		.early = BUF(EARLY_MAX_BYTES),
		.problem = BUF(PROBLEM_MAX_BYTES),
	};
	l->base.layer.ops = &mbed_layer_ops;
	l->base.context = tls_context_ref(&c->base);
	l->handshake = h;
	l->borrowed = TEXT_EMPTY;
	l->in = BUF(IN_MAX_BYTES);
	l->out = BUF(OUT_MAX_BYTES);
	l->told = BUF(TOLD_MAX_BYTES);
	mbedtls_ssl_init(&l->ssl);
	return l;
}

static const mbedtls_ssl_config *config_for(const struct mbed_context *c, const struct tls_expectation *proof)
{
	return !c->is_client || mbed_proof_needs_ca(proof, c->verify) == c->verify ? &c->config : &c->other;
}

static int set_up(struct mbed_layer *l, struct mbed_context *c, struct text server_name)
{
	int status = mbedtls_ssl_setup(&l->ssl, config_for(c, &l->handshake->proof));

	if (status)
		return status;
	mbedtls_ssl_set_bio(&l->ssl, l, mbed_on_ssl_send, mbed_on_ssl_recv, NULL);
	mbedtls_ssl_set_user_data_p(&l->ssl, l);
	mbed_pack(l); /* until the peer speaks: who connects and says nothing costs little */
	if (!c->is_client)
		return 0;
	mbedtls_ssl_set_verify(&l->ssl, on_verify, l->handshake);
	return set_name(l, server_name);
}

enum err mbed_layer_start(struct tls_context *base, struct io_stream *stream, struct text server_name,
                          const struct tls_expectation *expect, tls_done_fn *on_done, void *owner)
{
	struct mbed_context *c = CONTAINER_OF(base, struct mbed_context, base);
	struct mbed_layer *l = layer_new(c, io_stream_io(stream));

	if (!l)
		return ERR_NOMEM;
	struct handshake *h = l->handshake;
	int status = tls_expectation_copy(expect, &h->proof, &h->proof_memory) ? MBEDTLS_ERR_SSL_ALLOC_FAILED
	                                                                       : set_up(l, c, server_name);

	if (status) {
		mbed_layer_free(l);
		return status == MBEDTLS_ERR_SSL_ALLOC_FAILED ? ERR_NOMEM : ERR_TLS;
	}
	h->on_done = on_done;
	h->owner = owner;
	h->began_us = io_clock_us(io_stream_io(stream));
	io_stream_set_layer(stream, &l->base.layer);
	if (mbed_is_over(l))
		return ERR_OK;
	if (c->is_client)
		go_on(l);
	else
		io_layer_read(&l->base.layer, IO_WIRE_ON);
	return ERR_OK;
}
