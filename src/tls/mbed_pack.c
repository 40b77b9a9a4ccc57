/* An idle connection gives up its buffers.
 *
 * mbedTLS keeps two buffers of 16 KiB and more for each connection, and an idle one needs of them only the record counter in
 * the first octets of the input buffer. So the hot_max streams that were used last keep theirs, and of the others what the
 * buffers hold is copied to a block of its size (8 octets as a rule) and they are freed, until the stream is used again.
 * For this we look into mbedTLS: the pointers of the record layer all point into the two buffers. A version that we
 * have not read keeps its buffers. */
#include "mbed_layer.h"

#include <malloc.h>
#include <stdlib.h>

#include <mbedtls/platform.h>
#include <mbedtls/platform_util.h>

#define COUNTER_BYTES 8
#define KEPT_MAX_BYTES 4096 /* a record that has begun to come, a hello that is being answered */

#define IS_KNOWN (MBEDTLS_VERSION_NUMBER >= 0x03060000 && MBEDTLS_VERSION_NUMBER < 0x03070000)

#if IS_KNOWN && !defined(MBEDTLS_SSL_VARIABLE_BUFFER_LENGTH)

#	define SSL(member) l->ssl.MBEDTLS_PRIVATE(member)

enum { IN_POINTERS = 7, OUT_POINTERS = 6 };

struct packed {
	uint16_t in_at[IN_POINTERS], out_at[OUT_POINTERS];
	uint16_t in_len;
	unsigned char in[];
};

/* NULL where this build of mbedTLS has none. in_offt may be NULL at any time, and is while nothing is to be read. */
static void in_pointers(struct mbed_layer *l, unsigned char **out[IN_POINTERS])
{
	unsigned char **all[IN_POINTERS] = { &SSL(in_ctr), &SSL(in_hdr),  &SSL(in_len), &SSL(in_iv),
		                             &SSL(in_msg), &SSL(in_offt), NULL };

#	if defined(MBEDTLS_SSL_DTLS_CONNECTION_ID)
	all[6] = &SSL(in_cid);
#	endif
	memcpy(out, all, sizeof(all));
}

static void out_pointers(struct mbed_layer *l, unsigned char **out[OUT_POINTERS])
{
	unsigned char **all[OUT_POINTERS] = { &SSL(out_ctr), &SSL(out_hdr), &SSL(out_len),
		                              &SSL(out_iv),  &SSL(out_msg), NULL };

#	if defined(MBEDTLS_SSL_DTLS_CONNECTION_ID)
	all[5] = &SSL(out_cid);
#	endif
	memcpy(out, all, sizeof(all));
}

/* Between two records nothing but the counter is of use. Else all up to the last octet that is not zero: buffers begin as
 * zeros, so that nothing is lost whatever lies there. */
static size_t used_of_in(struct mbed_layer *l, size_t room)
{
	if (l->phase != PHASE_HANDSHAKE && SSL(in_left) == 0 && SSL(in_msglen) == 0 && SSL(in_hslen) == 0)
		return COUNTER_BYTES;
	while (room > COUNTER_BYTES && SSL(in_buf)[room - 1] == 0)
		room--;
	return room;
}

static void save_pointers(unsigned char **const *pointers, size_t count, const unsigned char *base,
                          uint16_t *at)
{
	for (size_t i = 0; i < count; i++)
		at[i] = pointers[i] && *pointers[i] ? (uint16_t)(*pointers[i] - base) : UINT16_MAX;
}

static void restore_pointers(unsigned char **const *pointers, size_t count, unsigned char *base,
                             const uint16_t *at)
{
	for (size_t i = 0; i < count; i++) {
		if (pointers[i])
			*pointers[i] = at[i] == UINT16_MAX ? NULL : base + at[i];
	}
}

static void drop_buffer(unsigned char **buffer, size_t room)
{
	mbedtls_platform_zeroize(*buffer, room);
	mbedtls_free(TAKE(*buffer));
}

static void leave_hot(struct mbed_layer *l)
{
	if (!list_is_empty(&l->hot))
		l->world->hot_count--;
	list_remove(&l->hot);
}

/* mbedTLS does not tell how large its buffers are, and the C library only how large they may be: as the first were, so are
 * all that follow. */
static void learn_rooms(struct mbed_layer *l)
{
	if (l->in_room > 0)
		return;
	l->in_room = malloc_usable_size(SSL(in_buf));
	l->out_room = malloc_usable_size(SSL(out_buf));
}

/* Without memory for the small block all stays as it is. */
void mbed_pack(struct mbed_layer *l)
{
	unsigned char **in[IN_POINTERS], **out[OUT_POINTERS];

	leave_hot(l);
	if (l->packed || !SSL(in_buf) || !SSL(out_buf) || SSL(out_left) > 0 || SSL(in_offt))
		return;
	learn_rooms(l);
	size_t len = used_of_in(l, l->in_room);
	struct packed *p = len <= KEPT_MAX_BYTES ? malloc(sizeof(*p) + len) : NULL;

	if (!p)
		return;
	p->in_len = (uint16_t)len;
	memcpy(p->in, SSL(in_buf), len);
	in_pointers(l, in);
	out_pointers(l, out);
	save_pointers(in, IN_POINTERS, SSL(in_buf), p->in_at);
	save_pointers(out, OUT_POINTERS, SSL(out_buf), p->out_at);
	drop_buffer(&SSL(in_buf), l->in_room);
	drop_buffer(&SSL(out_buf), l->out_room);
	l->packed = p;
}

static bool restore(struct mbed_layer *l)
{
	unsigned char **in[IN_POINTERS], **out[OUT_POINTERS];
	struct packed *p = l->packed;
	unsigned char *in_buf = mbedtls_calloc(1, l->in_room), *out_buf = mbedtls_calloc(1, l->out_room);

	if (!in_buf || !out_buf) {
		mbedtls_free(in_buf);
		mbedtls_free(out_buf);
		return false;
	}
	memcpy(in_buf, p->in, p->in_len);
	SSL(in_buf) = in_buf;
	SSL(out_buf) = out_buf;
	in_pointers(l, in);
	out_pointers(l, out);
	restore_pointers(in, IN_POINTERS, in_buf, p->in_at);
	restore_pointers(out, OUT_POINTERS, out_buf, p->out_at);
	mbed_pack_free(l);
	return true;
}

/* Under TLS 1.3 mbedTLS keeps what it needed for the handshake until the end of the connection, 6 KiB. A server over TCP
 * has no use for it any more; a client might, for tickets. We let mbedTLS free it as the rest of a context that has nothing
 * else. */
void mbed_drop_handshake(struct mbed_layer *l)
{
	mbedtls_ssl_context rest;

	if (mbed_context_of(l)->is_client || !SSL(handshake) || SSL(session_negotiate))
		return;
	mbedtls_ssl_init(&rest);
	rest.MBEDTLS_PRIVATE(conf) = SSL(conf);
	rest.MBEDTLS_PRIVATE(handshake) = TAKE(SSL(handshake));
#	if defined(MBEDTLS_SSL_PROTO_TLS1_2)
	rest.MBEDTLS_PRIVATE(transform_negotiate) = TAKE(SSL(transform_negotiate));
#	endif
	mbedtls_ssl_free(&rest);
}

bool mbed_unpack(struct mbed_layer *l)
{
	struct mbed_world *w = l->world;

	if (l->packed && !restore(l))
		return false;
	leave_hot(l);
	list_prepend(&w->hot, &l->hot);
	w->hot_count++;
	if (w->hot_count > w->hot_max)
		mbed_pack(LIST_ITEM(w->hot.prev, struct mbed_layer, hot));
	return true;
}

void mbed_pin(struct mbed_layer *l)
{
	leave_hot(l);
}

void mbed_pack_free(struct mbed_layer *l)
{
	struct packed *p = TAKE(l->packed);

	leave_hot(l);
	if (p)
		mbedtls_platform_zeroize(p->in, p->in_len);
	free(p);
}

#else

void mbed_drop_handshake(struct mbed_layer *l)
{
	(void)l;
}

bool mbed_unpack(struct mbed_layer *l)
{
	(void)l;
	return true;
}

void mbed_pin(struct mbed_layer *l)
{
	(void)l;
}

void mbed_pack(struct mbed_layer *l)
{
	(void)l;
}

void mbed_pack_free(struct mbed_layer *l)
{
	(void)l;
}

#endif
