/* mbed.h - TLS by mbedTLS: what its parts share.
 *
 *   mbed_context  what is offered and accepted          mbed_handshake  the beginning of a stream's TLS
 *   mbed_pairs    certificates with their keys          mbed_layer      records under a stream
 *   mbed_peer     what a certificate says               mbed_world      what all streams of a loop share
 *   mbed_text     words for people                      mbed_pack       an idle connection gives up its buffers
 *   mbed_proof    what a server's certificate has to be mbed_dane       the same by TLSA records */
#ifndef TLS_MBED_H
#define TLS_MBED_H

#include <stdatomic.h>

#include <mbedtls/build_info.h>
#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/pk.h>
#include <mbedtls/ssl.h>
#include <mbedtls/ssl_ticket.h>
#include <mbedtls/x509_crt.h>

#include <postrider/base/list.h>
#include <postrider/tls.h>

#if MBEDTLS_VERSION_NUMBER < 0x03060000
#error "mbedTLS 3.6 or later is needed: run `sh config/setup`"
#endif
#if !defined(MBEDTLS_THREADING_C)
#error "mbedTLS must be built for several threads: handshakes run beside the loop"
#endif

#define HOST_NAME_MAX_BYTES 255

/* ---------------------------------------------------------------- ca_store.c */

/* CAs, counted by the contexts that use them. The system's are found again through io_shared. */
struct ca_store {
	struct io_shared shared;
	mbedtls_x509_crt chain;
	unsigned references;
	uint32_t crc;                /* of the octets it was made from */
	size_t len;
};

MUST_USE enum err ca_store_parse(struct text pem, struct ca_store **out, struct buf *problem);
/* ERR_NOT_FOUND: this system has none where we look. */
MUST_USE enum err ca_store_system(struct io *io, struct ca_store **out);
void ca_store_unref(struct ca_store **store);

/* ---------------------------------------------------------------- mbed_world.c */

#define GATE_BUCKETS 64

/* A step of a handshake that waits for its turn. */
struct gate_item {
	struct list link;
	struct io_job *job;
	unsigned bucket;             /* by the peer's address */
};

/* What the contexts and streams of one loop share, counted by both. */
struct mbed_world {
	struct io_shared shared;
	struct io *io;
	unsigned references;

	/* For all contexts; set up with the first. Tickets outlive contexts: a reload does not make clients strangers. */
	bool has_random, has_tickets;
	mbedtls_entropy_context entropy;
	mbedtls_ctr_drbg_context random;      /* locked by mbedTLS, as the tickets are */
	mbedtls_ssl_ticket_context tickets;   /* its key is changed every TICKET_LIFETIME_S; the one before stays good */

	/* Handshakes in the CPU lane, and those that wait: begun ones first, then new ones in turn by the peer's address. */
	unsigned running;
	struct list begun, fresh[GATE_BUCKETS];
	size_t fresh_count;
	unsigned next_bucket;

	/* Streams whose TLS has its buffers, the last used first; hot_max (1 at least) of them. */
	struct list hot;
	unsigned hot_count, hot_max;
};

/* The one of this loop, made when there is none. */
MUST_USE enum err mbed_world_ref(struct io *io, struct mbed_world **out);
void mbed_world_unref(struct mbed_world **world);
MUST_USE enum err mbed_world_random(struct mbed_world *w);
MUST_USE enum err mbed_world_tickets(struct mbed_world *w);

/* The job goes to the CPU lane now or when its turn comes; its `done` must call gate_leave first. */
void gate_enter(struct mbed_world *w, struct gate_item *item, struct io_job *job, bool begun, struct ip peer);
void gate_leave(struct mbed_world *w);
/* True: it waited, and its job will not run. */
bool gate_cancel(struct mbed_world *w, struct gate_item *item);

/* ---------------------------------------------------------------- mbed_pairs.c */

#define KEYS_MAX 8

/* A certificate with its chain and key, and the names it is chosen for. mbedTLS locks an RSA key while it is used: of those
 * there is a copy for each thread of the CPU lane, taken in turn. */
struct mbed_pair {
	mbedtls_x509_crt chain;
	mbedtls_pk_context keys[KEYS_MAX];
	unsigned key_count;
	atomic_uint next_key;
	struct text *names;          /* lower case, without a final dot; the octets lie behind them */
	size_t name_count;
	struct tls_certificate_facts facts;
	char *serial;
};

MUST_USE enum err mbed_pair_read(struct mbed_pair *p, const struct tls_certificate *from, struct mbed_world *w,
                                 struct buf *problem);
void mbed_pair_fini(struct mbed_pair *p);
mbedtls_pk_context *mbed_pair_key(struct mbed_pair *p);      /* from any thread */
/* Calls `each` for those that serve the name: exact ones, then wildcards of a kind of key that none of those has. Returns the
 * first answer that is not 0. *found: how many there were. */
typedef int mbed_pair_fn(void *owner, struct mbed_pair *p);
int mbed_pairs_for(struct mbed_pair *pairs, size_t count, struct text name, mbed_pair_fn *each, void *owner, size_t *found);

/* ---------------------------------------------------------------- mbed_context.c */

/* Used by several threads at once; mbedTLS locks the generator, the keys and the tickets. */
struct mbed_context {
	struct tls_context base;
	struct mbed_world *world;
	bool is_client, verify;
	bool asks;                   /* servers: for the client's certificate */
	mbedtls_ssl_config config;
	mbedtls_ssl_config other;    /* clients: demands a CA's word if `config` does not, and the other way round */
	struct mbed_pair *pairs;
	size_t pair_count;
	struct ca_store *store;      /* NULL: no certificate can be verified */
};

/* ---------------------------------------------------------------- mbed_handshake.c, mbed_layer.c */

/* The operations of a context that are about one stream. */
enum err mbed_layer_start(struct tls_context *c, struct io_stream *stream, struct text server_name,
                          const struct tls_expectation *expect, tls_done_fn *on_done, void *owner);
struct tls_info mbed_layer_info(const struct io_layer *layer);
enum err mbed_layer_binding(const struct io_layer *layer, enum tls_binding kind, struct buf *out);
/* mbedTLS asks which certificate a client gets. */
int mbed_choose_certificate(mbedtls_ssl_context *ssl);

/* ---------------------------------------------------------------- mbed_proof.c */

/* Whether a CA's word is demanded: mbedTLS refuses where there is none. */
bool mbed_proof_needs_ca(const struct tls_expectation *p, bool context_verifies);
/* The server's certificate with what it sent behind it, and what was found wrong with it by the context's CAs. What has to be
 * overlooked is taken from the flags. False: it must not pass. The problem, emptied before, says why. */
bool mbed_proof_judge(const struct tls_expectation *p, mbedtls_x509_crt *chain, uint32_t *flags, struct buf *problem,
                      enum tls_fault *fault);
bool mbed_has_address(const mbedtls_x509_crt *certificate, struct ip ip);
bool mbed_fits_names(const mbedtls_x509_crt *certificate, const struct text *names, size_t count);
enum tls_fault mbed_fault_of(uint32_t flags);

/* ---------------------------------------------------------------- mbed_dane.c */

bool mbed_fits_tlsa(const struct tls_expectation *p, mbedtls_x509_crt *chain, struct buf *problem, enum tls_fault *fault);

/* ---------------------------------------------------------------- mbed_peer.c */

/* Calls `each` for the names a certificate is for: the alternative host names, else the common name. */
typedef void mbed_name_fn(void *owner, struct text name);
void mbed_each_name(const mbedtls_x509_crt *certificate, mbed_name_fn *each, void *owner);
/* The first alternative host name or mailbox, else the common name; empty when there is none that is a clean word. */
struct text mbed_peer_name(const mbedtls_x509_crt *certificate);
void mbed_add_fingerprint(struct buf *b, const mbedtls_x509_crt *certificate);
void mbed_add_hex(struct buf *b, const unsigned char *bytes, size_t len);
/* A host name as it may stand in SNI, without a final dot: letters, digits, hyphen, underscore, dots. */
bool mbed_is_host_name(struct text name);

/* ---------------------------------------------------------------- mbed_text.c: for people */

void mbed_add_error(struct buf *b, const char *what, int error);          /* "what: reason" */
void mbed_add_alert(struct buf *b, unsigned char alert);
/* Why a certificate was not accepted, by the flags of the check, and for which names it was made. */
void mbed_add_verdict(struct buf *b, uint32_t flags, const mbedtls_x509_crt *certificate);
/* "; it is for a, b, issued by CN=..., valid until 2027-01-01" */
void mbed_add_description(struct buf *b, const mbedtls_x509_crt *certificate);
struct text mbed_cipher_name(int id);                                     /* IANA's */
/* PEM as mbedTLS wants it: a copy with a final NUL, wiped when freed. NULL: no memory. */
char *mbed_pem_copy(struct text pem, size_t *size);
void mbed_pem_free(char **copy, size_t size);
enum err mbed_wrong(struct buf *problem, const char *text);               /* adds the text; ERR_CONFIG */

#endif
