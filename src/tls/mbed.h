/* mbed.h - TLS by mbedTLS: what its parts share. */
#ifndef TLS_MBED_H
#define TLS_MBED_H

#include <mbedtls/build_info.h>
#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/pk.h>
#include <mbedtls/ssl.h>
#include <mbedtls/ssl_ticket.h>
#include <mbedtls/x509_crt.h>

#include <postrider/tls.h>

#if MBEDTLS_VERSION_NUMBER < 0x03060000
#error "mbedTLS 3.6 or later is needed: run `sh config/setup`"
#endif
#if !defined(MBEDTLS_THREADING_C)
#error "mbedTLS must be built for several threads: handshakes run beside the loop"
#endif

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

/* Used by several threads at once; mbedTLS locks the generator, the key and the tickets. */
struct mbed_context {
	struct tls_context base;
	bool is_client, verify;
	mbedtls_ssl_config config;
	mbedtls_entropy_context entropy;
	mbedtls_ctr_drbg_context random;
	mbedtls_x509_crt certificate;
	mbedtls_pk_context key;
	mbedtls_ssl_ticket_context tickets;
	struct ca_store *store;      /* clients only; NULL: no certificate can be verified */
};

/* mbed_layer.c: the operations of a context that are about one stream. */
enum err mbed_layer_start(struct tls_context *c, struct io_stream *stream, struct text server_name,
                          tls_done_fn *on_done, void *owner);
struct tls_info mbed_layer_info(const struct io_layer *layer);
enum err mbed_layer_binding(const struct io_layer *layer, enum tls_binding kind, struct buf *out);

/* mbed_text.c: for people. */
void mbed_add_error(struct buf *b, const char *what, int error);          /* "what: reason" */
void mbed_add_alert(struct buf *b, unsigned char alert);
/* Why a certificate was not accepted, by the flags of the check, and for which names it was made. */
void mbed_add_verdict(struct buf *b, uint32_t flags, const mbedtls_x509_crt *certificate);
struct text mbed_cipher_name(int id);                                     /* IANA's */
/* PEM as mbedTLS wants it: a copy with a final NUL, wiped when freed. NULL: no memory. */
char *mbed_pem_copy(struct text pem, size_t *size);
void mbed_pem_free(char **copy, size_t size);

#endif
