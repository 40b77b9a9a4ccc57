/* server/certificates.h - the files that a listener's TLS is made of (contexts.c), and that they are watched (certificates.c). */
#ifndef POSTRIDER_SERVER_CERTIFICATES_H
#define POSTRIDER_SERVER_CERTIFICATES_H

#include <postrider/config.h>
#include <postrider/tls.h>

/* ---------------------------------------------------------------- contexts.c */

/* What the files of one listener hold. */
struct tls_files {
	struct buf *contents; /* as server_tls_file counts */
	size_t count;
	uint32_t crc; /* of all of it */
	enum err err;
	struct buf problem; /* for people, when err is set */
};

/* The path of the i-th file that a listener's TLS is made of; empty: it has no more. */
struct text server_tls_file(const struct config_listener *l, size_t i);
/* Blocks; on any thread. Free in any case. */
void tls_files_read(struct tls_files *f, const struct config_listener *l);
void tls_files_free(struct tls_files *f);
MUST_USE enum err tls_files_context(const struct tls_files *f, struct io *io, const struct config_listener *l,
                                    struct tls_context **out, struct buf *problem);

/* ---------------------------------------------------------------- certificates.c */

struct server;
struct certificates;

MUST_USE enum err certificates_new(struct server *s, struct certificates **out);
void certificates_free(struct certificates **c); /* watching ends; a job that runs ends by itself */

/* A context was made from files: remembered until it is known whether it is going to be used. */
void certificates_note(struct certificates *c, const struct config_listener *l, uint32_t crc,
                       struct tls_context *context);
/* This configuration is in force with what was noted for its listeners: says which certificates are new, and watches their
 * files. ERR_NOMEM: they are not watched. */
MUST_USE enum err certificates_adopt(struct certificates *c, const struct config *config);
void certificates_forget(struct certificates *c); /* what was noted is not used */

/* The certificates in use, one call each. */
typedef void certificate_fn(void *owner, struct text listener, const struct tls_certificate_facts *facts);
void certificates_each(const struct certificates *c, certificate_fn *each, void *owner);

#endif
