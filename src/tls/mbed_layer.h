/* mbed_layer.h - TLS under one stream: what its beginning (mbed_handshake.c), its records (mbed_layer.c) and its rest
 * (mbed_pack.c) share.
 *
 *   HANDSHAKE -> OPEN; HANDSHAKE -> BROKEN; OPEN -> BROKEN
 * HANDSHAKE: each step that has input is a job of the CPU lane. From its turn at the gate to its end it owns the ssl
 * context, `in` and `out`, and the stream reads nothing: what arrives waits in the kernel. OPEN: records are done on the
 * loop. A layer whose stream closes while a job runs frees itself when the job is done. */
#ifndef TLS_MBED_LAYER_H
#define TLS_MBED_LAYER_H

#include <stdatomic.h>

#include <postrider/io/lane.h>

#include "mbed.h"

#define IN_MAX_BYTES (256 * 1024)        /* octets from the wire not worked on yet; reading stops long before */
#define OUT_MAX_BYTES (1u << 20)         /* octets made for the wire and not handed over */
#define EARLY_MAX_BYTES (1u << 20)       /* written by the owner before the handshake is done */

enum phase { PHASE_HANDSHAKE, PHASE_OPEN, PHASE_BROKEN };

/* Needed until the handshake is done. */
struct handshake {
	struct io_job job;
	struct gate_item at_gate;
	struct mbed_layer *layer;
	tls_done_fn *on_done;
	void *owner;
	struct buf early;              /* what the owner wrote */
	struct buf problem;
	struct ip address;             /* to be found in the certificate, when the server's name is one */
	struct tls_expectation proof;  /* clients; a job may work on it when its owner has gone: */
	void *proof_memory;            /* ours */
	bool refused;                  /* by it, and not by mbedTLS */
	enum tls_fault fault;
	bool has_name;
	bool begun;                    /* the first step was done */
	bool signs;                    /* a certificate is shown: nothing was resumed */
	char server_name[HOST_NAME_MAX_BYTES];      /* asked for by the client, lower case */
	size_t server_name_len;
	int status;                    /* of the last step */
	atomic_bool abandoned;         /* the stream has gone: a job that has not begun need not work */
	uint64_t began_us;
};

/* See mbed_pack.c. */
struct packed;

struct mbed_layer {
	struct tls_layer base;
	struct mbed_world *world;
	mbedtls_ssl_context ssl;
	struct packed *packed;         /* what mbedTLS's buffers held; NULL: they are there */
	size_t in_room, out_room;      /* how large they are; 0: not yet known */
	struct list hot;               /* in world->hot, unless packed or a job runs */
	enum phase phase;
	struct handshake *handshake;   /* NULL afterwards */
	struct text borrowed;          /* octets from the wire, first `in`, then these */
	struct buf in, out;
	struct buf told;               /* the texts of info */
	size_t in_used;
	bool starved;                  /* mbedTLS asked for octets and there were none */
	bool wire_eof, job_runs, eof_said;
	struct tls_info info;
};

static inline struct mbed_context *mbed_context_of(const struct mbed_layer *l)
{
	return CONTAINER_OF(l->base.context, struct mbed_context, base);
}

static inline bool mbed_is_over(const struct mbed_layer *l)
{
	return !l->base.layer.stream || io_stream_is_closing(l->base.layer.stream);
}

static inline size_t mbed_in_waiting(const struct mbed_layer *l)
{
	return l->in.len - l->in_used + l->borrowed.len;
}

/* ---------------------------------------------------------------- mbed_layer.c */

extern const struct io_layer_ops mbed_layer_ops;
int mbed_on_ssl_recv(void *layer, unsigned char *bytes, size_t len);
int mbed_on_ssl_send(void *layer, const unsigned char *bytes, size_t len);
bool mbed_settle_in(struct mbed_layer *l);      /* borrowed octets that were not used become ours; false: no memory */
void mbed_flush_out(struct mbed_layer *l);
void mbed_write_plain(struct mbed_layer *l, const struct text *pieces, size_t count);
void mbed_pump(struct mbed_layer *l);           /* works on what came, until there is no more or the owner pauses */
void mbed_layer_free(struct mbed_layer *l);

/* ---------------------------------------------------------------- mbed_handshake.c */

void mbed_handshake_go_on(struct mbed_layer *l);                 /* there is input */
void mbed_handshake_fail(struct mbed_layer *l, enum err err, const char *why);      /* NULL: problem says it already */
/* Nothing of it is left, or its running job is told to hurry: false. */
bool mbed_handshake_abandon(struct mbed_layer *l);
void mbed_handshake_free(struct mbed_layer *l);

/* ---------------------------------------------------------------- mbed_pack.c */

/* Before mbedTLS is called to read or write: its buffers are there. False: no memory. */
bool mbed_unpack(struct mbed_layer *l);
/* A job takes the layer: it keeps its buffers until mbed_unpack. */
void mbed_pin(struct mbed_layer *l);
void mbed_pack(struct mbed_layer *l);
void mbed_pack_free(struct mbed_layer *l);      /* with the layer */
void mbed_drop_handshake(struct mbed_layer *l); /* what mbedTLS keeps of a handshake that is done; on any thread */

#endif
