/* postrider/tls.h - TLS as a layer of a stream; mbedTLS behind it, a script in the simulated world.
 * Handshakes run in the CPU lane. TLS 1.2 and 1.3 only, no renegotiation (RFC 8314, RFC 3207). */
#ifndef POSTRIDER_TLS_H
#define POSTRIDER_TLS_H

#include <postrider/io/layer.h>

struct tls_context;      /* certificate, key, CAs: shared and immutable, counted by references */

enum tls_version { TLS_NONE, TLS_1_2, TLS_1_3 };

struct tls_info {
	enum tls_version version;
	struct text cipher;              /* IANA name, static */
	bool verified;                   /* the peer's certificate was checked and matched */
	struct text problem;             /* why it was not, or what failed; lives until on_done returns. For people */
	unsigned handshake_ms;
};

struct tls_server_options {
	struct text certificate;         /* PEM, chain; borrowed for the call */
	struct text key;                 /* PEM */
};

struct tls_client_options {
	bool verify;                     /* demand a certificate that matches the server name and leads to a CA */
	struct text ca;                  /* PEM; empty: the system's CAs, loaded once and shared */
};

/* *problem: for ERR_CONFIG a text for people, static or empty. */
MUST_USE enum err tls_server_context_new(struct io *io, const struct tls_server_options *o, struct tls_context **out,
                                         struct buf *problem);
MUST_USE enum err tls_client_context_new(struct io *io, const struct tls_client_options *o, struct tls_context **out,
                                         struct buf *problem);
struct tls_context *tls_context_ref(struct tls_context *c);
void tls_context_unref(struct tls_context **c);

/* Puts TLS under a running stream. What was read and not taken before must be gone (io_stream_discard_kept). The
 * owner's on_data stays silent until on_done; what it writes meanwhile is kept. on_done runs once, in a later turn:
 * ERR_OK, ERR_TLS, ERR_CERTIFICATE; after a failure the stream closes with it. If the stream closes first (also by the
 * owner's io_stream_close) on_done never runs. The deadline is the owner's timer. server_name: for SNI and the check,
 * copied; empty towards a bare address. */
typedef void tls_done_fn(void *owner, enum err err, const struct tls_info *info);
MUST_USE enum err tls_start(struct io_stream *stream, struct tls_context *context, struct text server_name,
                            tls_done_fn *on_done, void *owner);

/* Of a stream whose handshake is done; version TLS_NONE for one without. */
struct tls_info tls_info_of(const struct io_stream *stream);
const char *tls_version_text(enum tls_version version);      /* "TLSv1.3" */

/* For whoever brings TLS: a context begins with this. */
struct tls_context_ops {
	enum err (*start)(struct tls_context *c, struct io_stream *stream, struct text server_name, tls_done_fn *on_done,
	                  void *owner);
	struct tls_info (*info)(const struct io_layer *layer);
	void (*free)(struct tls_context *c);
};

struct tls_context {
	const struct tls_context_ops *ops;
	unsigned references;             /* only the loop's thread counts */
};

#endif
