/* Records under a stream whose handshake is done, and what both phases need. */
#include "mbed_layer.h"

#include <assert.h>
#include <stdlib.h>

#define OUT_FLUSH_BYTES (64 * 1024) /* from this on what was made is handed over */
#define GATHER_BYTES (16 * 1024)    /* small pieces are joined to records of this size */

static struct mbed_layer *mbed_of(const struct io_layer *l)
{
	return CONTAINER_OF(l, struct mbed_layer, base.layer);
}

/* ---------------------------------------------------------------- octets for mbedTLS, and from it */

int mbed_on_ssl_recv(void *argument, unsigned char *bytes, size_t len)
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

int mbed_on_ssl_send(void *argument, const unsigned char *bytes, size_t len)
{
	struct mbed_layer *l = argument;

	buf_add_bytes(&l->out, bytes, len);
	return buf_err(&l->out) ? MBEDTLS_ERR_SSL_ALLOC_FAILED : (int)len;
}

bool mbed_settle_in(struct mbed_layer *l)
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

void mbed_flush_out(struct mbed_layer *l)
{
	struct text made = buf_text(&l->out);

	if (made.len > 0)
		io_layer_send(&l->base.layer, &made, 1);
	buf_fini(&l->out);
}

void mbed_layer_free(struct mbed_layer *l)
{
	mbed_handshake_free(l);
	mbed_pack_free(l);
	mbedtls_ssl_free(&l->ssl);
	buf_fini(&l->in);
	buf_fini(&l->out);
	buf_fini(&l->told);
	tls_context_unref(&l->base.context);
	mbed_world_unref(&l->world);
	free(l);
}

static void on_detach(struct io_layer *layer)
{
	struct mbed_layer *l = mbed_of(layer);

	if (mbed_handshake_abandon(l))
		mbed_layer_free(l);
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

/* Who has no buffers has nothing in them. */
static bool has_input(const struct mbed_layer *l)
{
	return mbed_in_waiting(l) > 0 || !l->packed;
}

void mbed_pump(struct mbed_layer *l)
{
	int status = 0;

	while (status == 0 && !l->eof_said && !mbed_is_over(l) && !io_layer_is_paused(&l->base.layer) &&
	       has_input(l)) {
		size_t size, got;
		char *room = io_layer_room(&l->base.layer, &size);

		if (!room || !mbed_unpack(l)) {
			io_layer_fail(&l->base.layer, ERR_NOMEM);
			return;
		}
		status = read_records(l, room, size, &got);
		mbed_flush_out(l);
		if (got > 0 && !mbed_is_over(l))
			io_layer_deliver(&l->base.layer, text_of(room, got));
		if (mbed_is_over(l))
			return;
		if (status != 0 && status != MBEDTLS_ERR_SSL_WANT_READ)
			end_reading(l, status);
	}
	if (mbed_is_over(l))
		return;
	if (!mbed_settle_in(l))
		io_layer_fail(&l->base.layer, ERR_NOMEM);
	else if (l->wire_eof && !l->eof_said && mbed_in_waiting(l) == 0 &&
	         !io_layer_is_paused(&l->base.layer))
		io_layer_fail(&l->base.layer, ERR_CLOSED); /* cut short: RFC 8446 section 6.1 */
}

static void on_wire(struct io_layer *layer, struct text bytes)
{
	struct mbed_layer *l = mbed_of(layer);

	if (l->phase == PHASE_BROKEN || l->eof_said)
		return;
	if (l->phase == PHASE_OPEN) {
		l->borrowed = bytes;
		mbed_pump(l);
		return;
	}
	if (bytes.len == 0)
		return;
	assert(!l->job_runs); /* nothing is read then */
	buf_add(&l->in, bytes);
	if (buf_err(&l->in))
		io_layer_fail(layer, ERR_NOMEM);
	else
		mbed_handshake_go_on(l);
}

static void on_wire_eof(struct io_layer *layer)
{
	struct mbed_layer *l = mbed_of(layer);

	l->wire_eof = true;
	assert(!l->job_runs);
	if (l->phase == PHASE_OPEN) {
		mbed_pump(l);
	} else if (l->phase == PHASE_HANDSHAKE) {
		mbed_handshake_fail(l, ERR_TLS, "the peer closed the connection during the TLS handshake");
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
			mbed_flush_out(l);
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

void mbed_write_plain(struct mbed_layer *l, const struct text *pieces, size_t count)
{
	if (!mbed_unpack(l) || !encrypt_pieces(l, pieces, count)) {
		l->phase = PHASE_BROKEN;
		io_layer_fail(&l->base.layer, ERR_TLS);
		return;
	}
	mbed_flush_out(l);
}

static void on_write(struct io_layer *layer, const struct text *pieces, size_t count)
{
	struct mbed_layer *l = mbed_of(layer);

	if (l->phase == PHASE_OPEN)
		mbed_write_plain(l, pieces, count);
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
	if (mbed_unpack(l)) /* this and that fails only for want of memory: the stream closes anyway */
		(void)mbedtls_ssl_close_notify(&l->ssl);
	mbed_flush_out(l);
}

static size_t on_unsent(const struct io_layer *layer)
{
	const struct mbed_layer *l = mbed_of(layer);

	return l->handshake ? l->handshake->early.len : 0;
}

const struct io_layer_ops mbed_layer_ops = {
	.on_wire = on_wire,
	.on_wire_eof = on_wire_eof,
	.write = on_write,
	.finish = on_finish,
	.unsent = on_unsent,
	.detach = on_detach,
};

/* ---------------------------------------------------------------- views */

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
	if (mbedtls_ssl_export_keying_material(&l->ssl, key, sizeof(key), label, sizeof(label) - 1, NULL, 0,
	                                       0))
		return ERR_NOT_FOUND;
	buf_add_bytes(out, key, sizeof(key));
	return buf_err(out);
}
