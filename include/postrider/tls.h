/* postrider/tls.h - TLS as a layer of a stream; mbedTLS behind it, a script in the simulated world.
 * Handshakes run in the CPU lane. TLS 1.2 and 1.3 only, no renegotiation (RFC 8314, RFC 3207). */
#ifndef POSTRIDER_TLS_H
#define POSTRIDER_TLS_H

#include <postrider/io/layer.h>

struct tls_context;      /* certificate, key, CAs: shared and immutable, counted by references */

enum tls_version { TLS_NONE, TLS_1_2, TLS_1_3 };

/* What proved who a server is. */
enum tls_by { TLS_BY_NOBODY, TLS_BY_CA, TLS_BY_PIN, TLS_BY_DANE };

/* What was wrong, as far as one word says it (RFC 8460 section 4.3 asks for one). */
enum tls_fault {
	TLS_FAULT_NONE,
	TLS_FAULT_HANDSHAKE,     /* TLS itself did not come about */
	TLS_FAULT_NAME,          /* the certificate is for another name */
	TLS_FAULT_DATES,         /* it has expired, or is not valid yet */
	TLS_FAULT_UNTRUSTED,     /* it leads to no CA, or to none that counts */
	TLS_FAULT_MISMATCH,      /* it is none of those that pins or TLSA records name */
	TLS_FAULT_OTHER,
};

/* Texts live as long as the stream's layer, which is until on_closed returns; `problem` does not. */
struct tls_info {
	enum tls_version version;
	struct text cipher;              /* IANA name, static */
	bool verified;                   /* clients: the server's certificate was checked and matched */
	enum tls_by by;                  /* clients: NOBODY unless verified */
	enum tls_fault fault;            /* clients: of what failed, or would have */
	/* Why it was not, or what failed; for people. Lives until on_done returns, empty in tls_info_of. */
	struct text problem;
	unsigned handshake_ms;
	bool resumed;                    /* from a ticket: no certificate was shown this time */
	struct text server_name;         /* servers: the name the client asked for (SNI), lower case; empty: none */
	/* Servers that ask for a certificate. peer_verified: it leads to client_ca, is valid now and for clients. A peer
	 * without one has no right from it; nor has a resumed session (those who ask issue no tickets). */
	bool has_peer, peer_verified;
	struct text peer_name;           /* its first DNS name or mailbox, else its common name; may be empty */
	struct text peer_fingerprint;    /* SHA-256 of the certificate, 64 digits in lower case */
};

/* A chain with its key. For the names: host names, or "*.example.com", which covers one label. */
struct tls_certificate {
	struct text chain, key;          /* PEM; borrowed for the call */
	const struct text *names;        /* that a client may ask for; count 0: those in the certificate */
	size_t name_count;
};

/* Which certificate: of those for the name the client asks for, else of those for the first name of the first one, the
 * first whose key the client can use. So an ECDSA and an RSA certificate for the same name serve all. */
struct tls_server_options {
	struct text certificate;         /* PEM, chain; borrowed for the call. Empty: the first of `certificates` instead */
	struct text key;                 /* PEM */
	enum tls_version highest;        /* TLS_NONE: the newest we have */
	const struct tls_certificate *certificates;
	size_t certificate_count;
	bool ask_client;                 /* asks for a certificate, takes any or none: see tls_info. Switches tickets off */
	struct text client_ca;           /* PEM: what peer_verified means; empty: nobody is verified */
	bool no_tickets;                 /* no session is resumed */
};

/* What people want to know of a certificate in use. */
struct tls_certificate_facts {
	struct text name;                /* the first it is for */
	struct text serial;              /* hexadecimal, lower case */
	int64_t not_before_time, not_after_time;      /* UTC milliseconds */
	bool rsa;
};

/* Without verify any certificate will do, and tls_info says whether it would have passed. */
struct tls_client_options {
	bool verify;                     /* demand a certificate that matches the server name and leads to a CA */
	struct text ca;                  /* PEM; empty: the system's CAs, loaded once for each world and shared */
	enum tls_version highest;        /* TLS_NONE: the newest we have. TLS_1_2 helps against peers whose 1.3 is odd */
	struct text certificate, key;    /* PEM, shown to servers that ask; empty: none */
};

/* problem (may be NULL): for ERR_CONFIG a text for people is added. With verify and no CA at all: ERR_CONFIG.
 * The CPU time of reading keys and CAs is a few milliseconds: for start and reload. */
MUST_USE enum err tls_server_context_new(struct io *io, const struct tls_server_options *o, struct tls_context **out,
                                         struct buf *problem);
MUST_USE enum err tls_client_context_new(struct io *io, const struct tls_client_options *o, struct tls_context **out,
                                         struct buf *problem);
struct tls_context *tls_context_ref(struct tls_context *c);
void tls_context_unref(struct tls_context **c);
/* The i-th certificate of a server's context, 0 is the first; false: it has no more. The texts live as long as the context. */
bool tls_context_certificate(const struct tls_context *c, size_t i, struct tls_certificate_facts *out);

/* Puts TLS under a running, connected stream, also from inside on_connected or on_data. What was read and not taken
 * before is thrown away (RFC 3207 section 6). The owner's on_data stays silent until on_done; what it writes meanwhile
 * is kept. on_done runs once, in a later turn: ERR_OK, ERR_TLS, ERR_CERTIFICATE; after a failure the stream closes with
 * it. The peer's end of sending is such a failure. If the stream closes first (reset by the peer, or the owner's
 * io_stream_close or _finish) on_done never runs. A pause does not hold up the handshake. The deadline is the owner's
 * timer.
 * server_name: for SNI and the check, copied; a host name, or an address, which is looked for among the certificate's
 * addresses and not sent. Empty: no SNI, and whoever verifies gets ERR_CERTIFICATE. Ignored by servers.
 * Afterwards on_eof is the peer's close_notify; octets that end without one end in on_closed with ERR_CLOSED. */
typedef void tls_done_fn(void *owner, enum err err, const struct tls_info *info);
MUST_USE enum err tls_start(struct io_stream *stream, struct tls_context *context, struct text server_name,
                            tls_done_fn *on_done, void *owner);

/* What a server's certificate has to be, where that differs from what the context says (clients only). */
enum tls_proof {
	TLS_PROOF_CONTEXT, /* as the context says: its CAs and the server name, or anything */
	TLS_PROOF_NONE,    /* any certificate, and none is called verified */
	TLS_PROOF_NAMES,   /* by the context's CAs, and one of `names` (RFC 8461 section 4.1, RFC 6125) */
	TLS_PROOF_PINS,    /* one of `pins`, whoever signed it, whatever its name */
	TLS_PROOF_DANE,    /* one of `tlsa` (RFC 7672); with usage 2 also one of `names` */
};

/* A TLSA record (RFC 6698 section 2.1). Usage 3 is the server's own certificate: its names, dates and chain do not matter
 * (RFC 7672 section 3.1.1). Usage 2 is an issuer of it, sent along, or wholly in the record: names and dates count. Usages
 * 0 and 1 and what is unknown fit nothing (section 3.1.3). */
struct tls_tlsa {
	uint8_t usage, selector, matching;
	struct text data;
};

#define TLS_TLSA_MAX 32 /* more records than that are not looked at */

/* Copied. */
struct tls_expectation {
	enum tls_proof proof;
	const struct text *names; /* host names, or addresses; "*.example.com" covers one label */
	size_t name_count;
	const unsigned char (*pins)[32]; /* SHA-256 of a certificate of the chain's end, or of its public key (SPKI) */
	size_t pin_count;
	const struct tls_tlsa *tlsa;
	size_t tlsa_count;
};

/* As tls_start; expect may be NULL: TLS_PROOF_CONTEXT. What is expected is demanded: ERR_CERTIFICATE, with a sentence in
 * tls_info.problem, when it is not met. A session is resumed only under the proof it was verified by. */
MUST_USE enum err tls_start_expecting(struct io_stream *stream, struct tls_context *context, struct text server_name,
                                      const struct tls_expectation *expect, tls_done_fn *on_done, void *owner);

/* Of a stream whose handshake is done; version TLS_NONE for one without. */
struct tls_info tls_info_of(const struct io_stream *stream);
const char *tls_version_text(enum tls_version version);      /* "TLSv1.3" */

/* Octets that only the two ends of this TLS connection know: what SCRAM binds to (RFC 9266). ERR_NOT_FOUND: none to be had,
 * as without TLS, before the handshake is done, or under 1.2 without the extended master secret. */
enum tls_binding { TLS_BINDING_EXPORTER };
#define TLS_BINDING_BYTES 32
MUST_USE enum err tls_channel_binding(const struct io_stream *stream, enum tls_binding kind, struct buf *out);

/* For whoever brings TLS: a context begins with struct tls_context, a layer with struct tls_layer. */
struct tls_context_ops {
	/* expect: NULL: as the context says. */
	enum err (*start)(struct tls_context *c, struct io_stream *stream, struct text server_name,
	                  const struct tls_expectation *expect, tls_done_fn *on_done, void *owner);
	struct tls_info (*info)(const struct io_layer *layer);
	enum err (*binding)(const struct io_layer *layer, enum tls_binding kind, struct buf *out);
	bool (*certificate)(const struct tls_context *c, size_t i, struct tls_certificate_facts *out);
	void (*free)(struct tls_context *c);
};

struct tls_context {
	const struct tls_context_ops *ops;
	unsigned references;             /* only the loop's thread counts; 1 to begin with */
};

/* In one piece of memory, to be freed. e: NULL: TLS_PROOF_CONTEXT. */
MUST_USE enum err tls_expectation_copy(const struct tls_expectation *e, struct tls_expectation *out, void **memory);

struct tls_layer {
	struct io_layer layer;
	struct tls_context *context;     /* counted */
};

#endif
