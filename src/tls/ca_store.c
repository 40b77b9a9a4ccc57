#include "mbed.h"

#include <stdlib.h>

#include <postrider/base/crc32c.h>
#include <postrider/io/disk.h>

#define SYSTEM_MAX_BYTES (16u << 20)

static void store_free(struct ca_store **store)
{
	struct ca_store *s = TAKE(*store);

	if (!s)
		return;
	mbedtls_x509_crt_free(&s->chain);
	free(s);
}

void ca_store_unref(struct ca_store **store)
{
	struct ca_store *s = TAKE(*store);

	if (!s || --s->references > 0)
		return;
	io_shared_remove(&s->shared);
	store_free(&s);
}

/* Some of a large bundle may be of a kind we cannot read; one that we can is enough. */
enum err ca_store_parse(struct text pem, struct ca_store **out, struct buf *problem)
{
	AUTO(store_free) struct ca_store *s = calloc(1, sizeof(*s));
	size_t size;
	char *copy = mbed_pem_copy(pem, &size);

	if (!s || !copy) {
		free(copy);
		return ERR_NOMEM;
	}
	mbedtls_x509_crt_init(&s->chain);
	int status = mbedtls_x509_crt_parse(&s->chain, (const unsigned char *)copy, size);

	mbed_pem_free(&copy, size);
	if (status < 0 || !s->chain.raw.p) {
		mbed_add_error(problem, "the CA certificates cannot be read", status);
		return ERR_CONFIG;
	}
	s->references = 1;
	s->len = pem.len;
	s->crc = crc32c(0, pem.at, pem.len);
	*out = TAKE(s);
	return ERR_OK;
}

static enum err read_file(struct io_disk *disk, const char *path, struct buf *out)
{
	struct io_file *file = NULL;
	uint64_t size;
	size_t got = 0;
	enum err err = disk->ops->size(disk, path, &size);

	if (!err)
		err = disk->ops->open(disk, path, IO_FILE_READ, &file);
	if (err)
		return err;
	char *room = size < SYSTEM_MAX_BYTES ? buf_reserve(out, (size_t)size) : NULL;

	err = room ? disk->ops->read_at(file, 0, room, (size_t)size, &got) : ERR_TOO_BIG;
	if (!err)
		buf_grew(out, got);
	disk->ops->close(&file);
	return err;
}

/* Found again as long as the bundle has not changed: after an update a reload takes the new one. */
static enum err system_store(struct io *io, struct text pem, struct ca_store **out)
{
	static const char key;
	struct io_shared *shared = io_shared_find(io, &key);

	if (shared) {
		struct ca_store *s = CONTAINER_OF(shared, struct ca_store, shared);

		if (s->len == pem.len && s->crc == crc32c(0, pem.at, pem.len)) {
			s->references++;
			*out = s;
			return ERR_OK;
		}
	}
	enum err err = ca_store_parse(pem, out, NULL);

	if (!err)
		io_shared_add(io, &(*out)->shared, &key);
	return err;
}

enum err ca_store_system(struct io *io, struct ca_store **out)
{
	static const char *const paths[] = {
		"/etc/ssl/certs/ca-certificates.crt",      /* Debian, Arch, Alpine */
		"/etc/pki/tls/certs/ca-bundle.crt",        /* Fedora and its relatives */
		"/etc/ssl/ca-bundle.pem",                  /* SUSE */
		"/etc/ssl/cert.pem",
	};
	enum err err = ERR_NOT_FOUND;

	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		AUTO(buf_fini) struct buf pem = BUF(SYSTEM_MAX_BYTES);

		if (read_file(io_disk_real(), paths[i], &pem))
			continue;
		err = system_store(io, buf_text(&pem), out);
		if (!err || err == ERR_NOMEM)
			return err;
	}
	return err == ERR_NOMEM ? err : ERR_NOT_FOUND;
}
