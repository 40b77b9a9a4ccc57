/* TLS under one stream.
 *
 *   HANDSHAKE -> OPEN; HANDSHAKE -> BROKEN; OPEN -> BROKEN
 * HANDSHAKE: each step that has input is a job of the CPU lane. While one runs it owns the ssl context, `in` and `out`,
 * and the stream reads nothing: what arrives waits in the kernel. OPEN: records are done on the loop.
 * A layer whose stream closes while a job runs frees itself when the job is done. */
#include "mbed.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>

#include <postrider/io/lane.h>

#define IN_MAX_BYTES (256 * 1024)        /* octets from the wire not worked on yet; reading stops long before */
#define OUT_MAX_BYTES (1u << 20)         /* octets made for the wire and not handed over */
#define OUT_FLUSH_BYTES (64 * 1024)      /* from this on they are */
#define EARLY_MAX_BYTES (1u << 20)       /* written by the owner before the handshake is done */
#define PROBLEM_MAX_BYTES 2048
#define GATHER_BYTES (16 * 1024)         /* small pieces are joined to records of this size */

enum phase { PHASE_HANDSHAKE, PHASE_OPEN, PHASE_BROKEN };

/* Needed until the handshake is done. */
struct handshake {
	struct io_job job;
	struct mbed_layer *layer;
	tls_done_fn *on_done;
	void *owner;
	struct buf early;              /* what the owner wrote */
	struct buf problem;
	struct ip address;             /* to be found in the certificate, when the server's name is one */
	bool has_name;
	int status;                    /* of the last step */
	atomic_bool abandoned;         /* the stream has gone: a job that has not begun need not work */
	uint64_t began_us;
};

struct mbed_layer {
	struct tls_layer base;
	mbedtls_ssl_context ssl;
	enum phase phase;
	struct handshake *handshake;   /* NULL afterwards */
	struct text borrowed;          /* octets from the wire, first `in`, then these */
	struct buf in, out;
	size_t in_used;
	bool starved;                  /* mbedTLS asked for octets and there were none */
	bool wire_eof, job_runs, eof_said;
	struct tls_info info;
};

static struct mbed_layer *mbed_of(const struct io_layer *l)
{
	return CONTAINER_OF(l, struct mbed_layer, base.layer);
}

static struct mbed_context *context_of(const struct mbed_layer *l)
{
	return CONTAINER_OF(l->base.context, struct mbed_context, base);
}

/* ---------------------------------------------------------------- octets for mbedTLS, and from it */

static size_t in_waiting(const struct mbed_layer *l)
{
	return l->in.len - l->in_used + l->borrowed.len;
}

static int on_ssl_recv(void *argument, unsigned char *bytes, size_t len)
{
	struct mbed_layer *l = argument;
	struct text kept = text_skip(buf_text(&l->in), l->in_used);
	struct text *from = kept.len > 0 ? &kept : &l->borrowed;
	size_t part = MIN(len, from->len);

	if (part == 0) {
		l->starved = true;
		return MBEDTLS_ERR_SSL_WANT_READ;
	}
	memcpy(bytes, from->at, part);
	if (from == &kept)
		l->in_used += part;
	else
		l->borrowed = text_skip(l->borrowed, part);
	return (int)part;
}

static int on_ssl_send(void *argument, const unsigned char *bytes, size_t len)
{
	struct mbed_layer *l = argument;

	buf_add_bytes(&l->out, bytes, len);
	return buf_err(&l->out) ? MBEDTLS_ERR_SSL_ALLOC_FAILED : (int)len;
}

/* Borrowed octets that were not used become ours; used ones go. */
static bool settle_in(struct mbed_layer *l)
{
	if (l->in_used == l->in.len)
		buf_fini(&l->in);
	else
		buf_drop_head(&l->in, l->in_used);
	l->in_used = 0;
	buf_add(&l->in, l->borrowed);
	l->borrowed = TEXT_EMPTY;
	return !buf_err(&l->in);
}

static void flush_out(struct mbed_layer *l)
{
	struct text made = buf_text(&l->out);

	if (made.len > 0)
		io_layer_send(&l->base.layer, &made, 1);
	buf_fini(&l->out);
}

static bool is_over(const struct mbed_layer *l)
{
	return !l->base.layer.stream || io_stream_is_closing(l->base.layer.stream);
}

/* ---------------------------------------------------------------- beginning and end */

static void handshake_free(struct mbed_layer *l)
{
	struct handshake *h = TAKE(l->handshake);

	if (!h)
		return;
	mbedtls_ssl_set_verify(&l->ssl, NULL, NULL);      /* it had h */
	buf_fini(&h->early);
	buf_fini(&h->problem);
	free(h);
}

static void layer_free(struct mbed_layer *l)
{
	handshake_free(l);
	mbedtls_ssl_free(&l->ssl);
	buf_fini(&l->in);
	buf_fini(&l->out);
	tls_context_unref(&l->base.context);
	free(l);
}

static void on_detach(struct io_layer *layer)
{
	struct mbed_layer *l = mbed_of(layer);

	if (l->job_runs)
		atomic_store(&l->handshake->abandoned, true);
	else
		layer_free(l);
}

/* The failure is told once, and the stream ends with it. */
static void fail_handshake(struct mbed_layer *l, enum err err)
{
	struct handshake *h = l->handshake;

	l->phase = PHASE_BROKEN;
	l->info.problem = buf_text(&h->problem);
	h->on_done(h->owner, err, &l->info);
	l->info.problem = TEXT_EMPTY;
	io_layer_fail(&l->base.layer, err);
}

/* ---------------------------------------------------------------- the handshake */

static void fill_info(struct mbed_layer *l)
{
	struct handshake *h = l->handshake;
	struct mbed_context *c = context_of(l);
	uint32_t flags = mbedtls_ssl_get_verify_result(&l->ssl);
	uint64_t took_us = io_clock_us(io_stream_io(l->base.layer.stream)) - h->began_us;

	l->info.version = mbedtls_ssl_get_version_number(&l->ssl) == MBEDTLS_SSL_VERSION_TLS1_3 ? TLS_1_3 : TLS_1_2;
	l->info.cipher = mbed_cipher_name(mbedtls_ssl_get_ciphersuite_id_from_ssl(&l->ssl));
	l->info.handshake_ms = (unsigned)(took_us / 1000);
	/* A result of 0 alone proves nothing: that is also what a session without a certificate reports. */
	l->info.verified = c->is_client && c->store && h->has_name && flags == 0 && mbedtls_ssl_get_peer_cert(&l->ssl);
	if (c->is_client && !l->info.verified && h->problem.len == 0)
		buf_add_string(&h->problem, "there are no CAs to check against");
}

static void write_plain(struct mbed_layer *l, const struct text *pieces, size_t count);
static void pump(struct mbed_layer *l);

static void open_up(struct mbed_layer *l)
{
	struct handshake *h = l->handshake;
	AUTO(buf_fini) struct buf early = h->early;
	struct text waiting = buf_text(&early);

	h->early = BUF(EARLY_MAX_BYTES);
	fill_info(l);
	l->phase = PHASE_OPEN;
	if (waiting.len > 0)
		write_plain(l, &waiting, 1);
	if (is_over(l))
		return;
	l->info.problem = buf_text(&h->problem);
	h->on_done(h->owner, ERR_OK, &l->info);
	l->info.problem = TEXT_EMPTY;
	handshake_free(l);
	if (is_over(l))
		return;
	io_layer_read(&l->base.layer, IO_WIRE_AS_OWNER);
	pump(l);
}

static void start_step(struct mbed_layer *l);

static void on_step_failed(struct mbed_layer *l)
{
	struct handshake *h = l->handshake;
	enum err err = ERR_TLS;

	if (h->status == MBEDTLS_ERR_X509_CERT_VERIFY_FAILED) {
		err = ERR_CERTIFICATE;
	} else if (h->status == MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE) {
		buf_reset(&h->problem);
		mbed_add_alert(&h->problem, l->ssl.MBEDTLS_PRIVATE(in_msg)[1]);
	} else {
		buf_reset(&h->problem);
		mbed_add_error(&h->problem, "the TLS handshake failed", h->status);
	}
	fail_handshake(l, err);
}

static void on_step_done(struct io_job *job)
{
	struct handshake *h = CONTAINER_OF(job, struct handshake, job);
	struct mbed_layer *l = h->layer;

	l->job_runs = false;
	if (!l->base.layer.stream) {
		layer_free(l);
		return;
	}
	if (!is_over(l))
		flush_out(l);
	if (is_over(l))
		return;
	if (!settle_in(l)) {
		io_layer_fail(&l->base.layer, ERR_NOMEM);
	} else if (h->status == 0) {
		open_up(l);
	} else if (h->status != MBEDTLS_ERR_SSL_WANT_READ && h->status != MBEDTLS_ERR_SSL_WANT_WRITE) {
		on_step_failed(l);
	} else if (in_waiting(l) > 0) {
		start_step(l);
	} else {
		io_layer_read(&l->base.layer, IO_WIRE_ON);
	}
}

/* On a thread of the CPU lane. */
static void run_step(struct io_job *job)
{
	struct handshake *h = CONTAINER_OF(job, struct handshake, job);

	if (!atomic_load(&h->abandoned))
		h->status = mbedtls_ssl_handshake(&h->layer->ssl);
}

static void start_step(struct mbed_layer *l)
{
	struct handshake *h = l->handshake;

	io_layer_read(&l->base.layer, IO_WIRE_OFF);
	l->job_runs = true;
	h->job = (struct io_job){ .run = run_step, .done = on_step_done };
	io_job_submit(io_stream_io(l->base.layer.stream), IO_LANE_CPU, &h->job);
}

/* ---------------------------------------------------------------- records */

/* Decrypts up to `size` octets. What stopped it: 0 (the room is full), WANT_READ (starved), or the end. */
static int read_records(struct mbed_layer *l, char *room, size_t size, size_t *got)
{
	for (*got = 0; *got < size;) {
		l->starved = false;
		int status = mbedtls_ssl_read(&l->ssl, (unsigned char *)room + *got, size - *got);

		if (status > 0)
			*got += (size_t)status;
		else if (status == 0)
			return MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY;
		else if (status == MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET)
			continue;
		/* WANT_READ alone does not mean that all was read: it also follows what mbedTLS takes for itself. */
		else if (status != MBEDTLS_ERR_SSL_WANT_READ || l->starved)
			return status;
	}
	return 0;
}

static void end_reading(struct mbed_layer *l, int status)
{
	if (status == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY) {
		l->eof_said = true;
		io_layer_deliver_eof(&l->base.layer);
		return;
	}
	l->phase = PHASE_BROKEN;
	io_layer_fail(&l->base.layer, ERR_TLS);
}

/* Works on what came from the wire until there is no more or the owner pauses. */
static void pump(struct mbed_layer *l)
{
	int status = 0;

	while (status == 0 && !l->eof_said && !is_over(l) && !io_layer_is_paused(&l->base.layer)) {
		size_t size, got;
		char *room = io_layer_room(&l->base.layer, &size);

		if (!room) {
			io_layer_fail(&l->base.layer, ERR_NOMEM);
			return;
		}
		status = read_records(l, room, size, &got);
		flush_out(l);
		if (got > 0 && !is_over(l))
			io_layer_deliver(&l->base.layer, text_of(room, got));
		if (is_over(l))
			return;
		if (status != 0 && status != MBEDTLS_ERR_SSL_WANT_READ)
			end_reading(l, status);
	}
	if (is_over(l))
		return;
	if (!settle_in(l))
		io_layer_fail(&l->base.layer, ERR_NOMEM);
	else if (l->wire_eof && !l->eof_said && in_waiting(l) == 0 && !io_layer_is_paused(&l->base.layer))
		io_layer_fail(&l->base.layer, ERR_CLOSED);      /* cut short: RFC 8446 section 6.1 */
}

static void on_wire(struct io_layer *layer, struct text bytes)
{
	struct mbed_layer *l = mbed_of(layer);

	if (l->phase == PHASE_BROKEN || l->eof_said)
		return;
	if (l->phase == PHASE_OPEN) {
		l->borrowed = bytes;
		pump(l);
		return;
	}
	if (bytes.len == 0)
		return;
	assert(!l->job_runs);      /* nothing is read then */
	buf_add(&l->in, bytes);
	if (buf_err(&l->in))
		io_layer_fail(layer, ERR_NOMEM);
	else
		start_step(l);
}

static void on_wire_eof(struct io_layer *layer)
{
	struct mbed_layer *l = mbed_of(layer);

	l->wire_eof = true;
	assert(!l->job_runs);
	if (l->phase == PHASE_OPEN) {
		pump(l);
	} else if (l->phase == PHASE_HANDSHAKE) {
		buf_reset(&l->handshake->problem);
		buf_add_string(&l->handshake->problem, "the peer closed the connection during the TLS handshake");
		fail_handshake(l, ERR_TLS);
	}
}

/* One record after the other; with our BIO a write is never refused, only short. */
static bool encrypt(struct mbed_layer *l, struct text plain)
{
	while (plain.len > 0) {
		int status = mbedtls_ssl_write(&l->ssl, (const unsigned char *)plain.at, plain.len);

		if (status <= 0)
			return false;
		plain = text_skip(plain, (size_t)status);
		if (l->out.len >= OUT_FLUSH_BYTES)
			flush_out(l);
	}
	return true;
}

/* Pieces that are small share a record. */
static bool encrypt_pieces(struct mbed_layer *l, const struct text *pieces, size_t count)
{
	char gathered[GATHER_BYTES];
	size_t len = 0;

	for (size_t i = 0; i < count; i++) {
		if (len + pieces[i].len > sizeof(gathered)) {
			if (!encrypt(l, text_of(gathered, len)))
				return false;
			len = 0;
		}
		if (pieces[i].len >= sizeof(gathered) / 2) {
			if (!encrypt(l, text_of(gathered, len)) || !encrypt(l, pieces[i]))
				return false;
			len = 0;
		} else {
			memcpy(gathered + len, pieces[i].at, pieces[i].len);
			len += pieces[i].len;
		}
	}
	return encrypt(l, text_of(gathered, len));
}

static void write_plain(struct mbed_layer *l, const struct text *pieces, size_t count)
{
	if (!encrypt_pieces(l, pieces, count)) {
		l->phase = PHASE_BROKEN;
		io_layer_fail(&l->base.layer, ERR_TLS);
		return;
	}
	flush_out(l);
}

static void on_write(struct io_layer *layer, const struct text *pieces, size_t count)
{
	struct mbed_layer *l = mbed_of(layer);

	if (l->phase == PHASE_OPEN)
		write_plain(l, pieces, count);
	if (l->phase != PHASE_HANDSHAKE)
		return;
	for (size_t i = 0; i < count; i++)
		buf_add(&l->handshake->early, pieces[i]);
	if (buf_err(&l->handshake->early))
		io_layer_fail(layer, buf_err(&l->handshake->early));
}

static void on_finish(struct io_layer *layer)
{
	struct mbed_layer *l = mbed_of(layer);

	if (l->phase == PHASE_HANDSHAKE)
		buf_fini(&l->handshake->early);
	if (l->phase != PHASE_OPEN)
		return;
	(void)mbedtls_ssl_close_notify(&l->ssl);      /* it fails only for want of memory: the stream closes anyway */
	flush_out(l);
}

static size_t on_unsent(const struct io_layer *layer)
{
	const struct mbed_layer *l = mbed_of(layer);

	return l->handshake ? l->handshake->early.len : 0;
}

static const struct io_layer_ops layer_ops = {
	.on_wire = on_wire,
	.on_wire_eof = on_wire_eof,
	.write = on_write,
	.finish = on_finish,
	.unsent = on_unsent,
	.detach = on_detach,
};

/* ---------------------------------------------------------------- starting */

static bool has_address(const mbedtls_x509_crt *certificate, struct ip ip)
{
	size_t len = ip.family == IP_V4 ? 4 : 16;

	for (const mbedtls_x509_sequence *s = &certificate->subject_alt_names; s && s->buf.p; s = s->next) {
		if (((unsigned)s->buf.tag & MBEDTLS_ASN1_TAG_VALUE_MASK) == MBEDTLS_X509_SAN_IP_ADDRESS &&
		    s->buf.len == len && memcmp(s->buf.p, ip.bytes, len) == 0)
			return true;
	}
	return false;
}

/* Called for each certificate of the chain, the server's own last. Addresses are our business: mbedTLS would send
 * them as a name. */
static int on_verify(void *argument, mbedtls_x509_crt *certificate, int depth, uint32_t *flags)
{
	struct handshake *h = argument;

	if (depth > 0) {
		if (*flags)
			mbed_add_verdict(&h->problem, *flags & ~(uint32_t)MBEDTLS_X509_BADCERT_CN_MISMATCH, NULL);
		return 0;
	}
	if (!h->has_name)
		*flags |= MBEDTLS_X509_BADCERT_OTHER;
	else if (h->address.family != IP_NONE && !has_address(certificate, h->address))
		*flags |= MBEDTLS_X509_BADCERT_CN_MISMATCH;
	if (*flags) {
		buf_reset(&h->problem);
		mbed_add_verdict(&h->problem, *flags, certificate);
	}
	return 0;
}

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

static struct mbed_layer *layer_new(struct mbed_context *c)
{
	struct mbed_layer *l = calloc(1, sizeof(*l));
	struct handshake *h = calloc(1, sizeof(*h));

	if (!l || !h) {
		free(l);
		free(h);
		return NULL;
	}
	*h = (struct handshake){
		.layer = l,
		.early = BUF(EARLY_MAX_BYTES),
		.problem = BUF(PROBLEM_MAX_BYTES),
	};
	l->base.layer.ops = &layer_ops;
	l->base.context = tls_context_ref(&c->base);
	l->handshake = h;
	l->borrowed = TEXT_EMPTY;
	l->in = BUF(IN_MAX_BYTES);
	l->out = BUF(OUT_MAX_BYTES);
	l->info.cipher = l->info.problem = TEXT_EMPTY;
	mbedtls_ssl_init(&l->ssl);
	return l;
}

static int set_up(struct mbed_layer *l, struct mbed_context *c, struct text server_name)
{
	int status = mbedtls_ssl_setup(&l->ssl, &c->config);

	if (status)
		return status;
	mbedtls_ssl_set_bio(&l->ssl, l, on_ssl_send, on_ssl_recv, NULL);
	if (!c->is_client)
		return 0;
	mbedtls_ssl_set_verify(&l->ssl, on_verify, l->handshake);
	return set_name(l, server_name);
}

enum err mbed_layer_start(struct tls_context *base, struct io_stream *stream, struct text server_name,
                          tls_done_fn *on_done, void *owner)
{
	struct mbed_context *c = CONTAINER_OF(base, struct mbed_context, base);
	struct mbed_layer *l = layer_new(c);

	if (!l)
		return ERR_NOMEM;
	int status = set_up(l, c, server_name);

	if (status) {
		layer_free(l);
		return status == MBEDTLS_ERR_SSL_ALLOC_FAILED ? ERR_NOMEM : ERR_TLS;
	}
	l->handshake->on_done = on_done;
	l->handshake->owner = owner;
	l->handshake->began_us = io_clock_us(io_stream_io(stream));
	io_stream_set_layer(stream, &l->base.layer);
	if (is_over(l))
		return ERR_OK;
	if (c->is_client)
		start_step(l);
	else
		io_layer_read(&l->base.layer, IO_WIRE_ON);
	return ERR_OK;
}

struct tls_info mbed_layer_info(const struct io_layer *layer)
{
	const struct mbed_layer *l = mbed_of(layer);

	if (l->phase == PHASE_HANDSHAKE)
		return (struct tls_info){ .cipher = TEXT_EMPTY, .problem = TEXT_EMPTY };
	return l->info;
}

/* RFC 9266. Under 1.2 it would also take the extended master secret, and mbedTLS does not tell whether it was used. */
enum err mbed_layer_binding(const struct io_layer *layer, enum tls_binding kind, struct buf *out)
{
	static const char label[] = "EXPORTER-Channel-Binding";
	struct mbed_layer *l = CONTAINER_OF(layer, struct mbed_layer, base.layer);
	unsigned char key[TLS_BINDING_BYTES];

	if (kind != TLS_BINDING_EXPORTER || l->phase != PHASE_OPEN || l->info.version != TLS_1_3)
		return ERR_NOT_FOUND;
	if (mbedtls_ssl_export_keying_material(&l->ssl, key, sizeof(key), label, sizeof(label) - 1, NULL, 0, 0))
		return ERR_NOT_FOUND;
	buf_add_bytes(out, key, sizeof(key));
	return buf_err(out);
}
