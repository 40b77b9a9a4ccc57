/* From the files that the configuration names to TLS contexts. */
#include <postrider/base/auto.h>
#include <postrider/base/crc32c.h>

#include "certificates.h"
#include "internal.h"

#define PEM_MAX (1u << 20)
#define CA_MAX (16u << 20)
#define PROBLEM_MAX (4u << 10)

/* ---------------------------------------------------------------- files */

static size_t pair_count(const struct config_listener *l)
{
	return (l->cert.len > 0) + l->certificates.count;
}

static struct text pair_file(const struct config_listener *l, size_t pair, bool key)
{
	if (l->cert.len > 0 && pair == 0)
		return key ? l->key : l->cert;
	const struct config_certificate *c = &l->certificates.items[pair - (l->cert.len > 0)];

	return key ? c->key : c->cert;
}

struct text server_tls_file(const struct config_listener *l, size_t i)
{
	size_t pairs = l->tls == CONFIG_TLS_NONE ? 0 : pair_count(l);

	if (i < 2 * pairs)
		return pair_file(l, i / 2, i % 2);
	return i == 2 * pairs && pairs > 0 ? l->client_ca : TEXT_EMPTY;
}

static void read_one(struct tls_files *f, const struct config_listener *l, struct text path, struct buf *out)
{
	struct config_sources sources = { 0 };
	struct buf detail = BUF(1024), hint = BUF(1024);
	char name[256];

	server_use_system(&sources, name);
	f->err = sources.read_file(sources.owner, path, out, &detail, &hint);
	if (f->err) {
		config_place_add(&f->problem, l->place);
		buf_add_format(&f->problem, ": cannot read %.*s: %.*s", TEXT_ARGS(path),
		               TEXT_ARGS(buf_text(&detail)));
		if (hint.len)
			buf_add_format(&f->problem, "; try: %.*s", TEXT_ARGS(buf_text(&hint)));
	}
	f->crc = crc32c(f->crc, out->at, out->len);
	buf_fini(&detail);
	buf_fini(&hint);
}

void tls_files_read(struct tls_files *f, const struct config_listener *l)
{
	size_t count = 0;

	while (server_tls_file(l, count).len > 0)
		count++;
	*f = (struct tls_files){ .contents = calloc(count + 1, sizeof(*f->contents)),
		                 .problem = BUF(PROBLEM_MAX) };
	if (!f->contents)
		f->err = ERR_NOMEM;
	while (!f->err && f->count < count) {
		f->contents[f->count] = BUF(PEM_MAX);
		read_one(f, l, server_tls_file(l, f->count), &f->contents[f->count]);
		f->count++;
	}
}

/* Keys are among them. */
void tls_files_free(struct tls_files *f)
{
	for (size_t i = 0; i < f->count; i++) {
		if (f->contents[i].at)
			explicit_bzero(f->contents[i].at, f->contents[i].len);
		buf_fini(&f->contents[i]);
	}
	free(f->contents);
	buf_fini(&f->problem);
	*f = (struct tls_files){ 0 };
}

/* ---------------------------------------------------------------- contexts */

static struct tls_certificate certificate_of(const struct tls_files *f, const struct config_listener *l,
                                             size_t pair)
{
	struct tls_certificate c = { .chain = buf_text(&f->contents[2 * pair]),
		                     .key = buf_text(&f->contents[2 * pair + 1]) };

	if (l->cert.len == 0 || pair > 0) {
		const struct config_texts *names = &l->certificates.items[pair - (l->cert.len > 0)].names;

		c.names = names->items;
		c.name_count = names->count;
	}
	return c;
}

/* Which file it was, found by trying each pair alone. */
static void blame(const struct tls_files *f, struct io *io, const struct config_listener *l,
                  struct buf *problem)
{
	struct buf detail = BUF(PROBLEM_MAX);

	config_place_add(problem, l->place);
	for (size_t i = 0; i < pair_count(l); i++) {
		struct tls_certificate pair = certificate_of(f, l, i);
		struct tls_server_options alone = { .certificates = &pair, .certificate_count = 1 };
		struct tls_context *context = NULL;
		bool is_good = tls_server_context_new(io, &alone, &context, &detail) != ERR_CONFIG;

		tls_context_unref(&context);
		if (is_good)
			continue;
		buf_add_format(problem, ": certificate %.*s and key %.*s cannot be used: %.*s",
		               TEXT_ARGS(pair_file(l, i, false)), TEXT_ARGS(pair_file(l, i, true)),
		               TEXT_ARGS(buf_text(&detail)));
		buf_fini(&detail);
		return;
	}
	buf_add_format(problem, ": client_ca %.*s cannot be used", TEXT_ARGS(l->client_ca));
}

enum err tls_files_context(const struct tls_files *f, struct io *io, const struct config_listener *l,
                           struct tls_context **out, struct buf *problem)
{
	size_t count = pair_count(l);
	struct tls_certificate *certificates = calloc(count, sizeof(*certificates));
	struct tls_server_options options = { .certificates = certificates,
		                              .certificate_count = count,
		                              .ask_client = l->client_ca.len > 0 ||
		                                            l->client_fingerprints.count > 0 };
	enum err err;

	if (!certificates)
		return ERR_NOMEM;
	for (size_t i = 0; i < count; i++)
		certificates[i] = certificate_of(f, l, i);
	if (l->client_ca.len > 0)
		options.client_ca = buf_text(&f->contents[2 * count]);
	err = tls_server_context_new(io, &options, out, NULL);
	if (err == ERR_CONFIG)
		blame(f, io, l, problem);
	free(certificates);
	return err;
}

enum err server_context_from_files(void *owner, const struct config_listener *l, struct tls_context **out,
                                   struct buf *problem)
{
	struct server *s = owner;
	struct tls_files files;
	enum err err;

	*out = NULL;
	if (server_tls_file(l, 0).len == 0)
		return ERR_OK;
	tls_files_read(&files, l);
	err = files.err;
	if (err)
		buf_add(problem, buf_text(&files.problem));
	else
		err = tls_files_context(&files, s->io, l, out, problem);
	if (!err)
		certificates_note(s->certificates, l, files.crc, *out);
	tls_files_free(&files);
	return err;
}

static enum err read_ca(struct text path, struct buf *out, struct buf *problem)
{
	AUTO(buf_fini) struct buf detail = BUF(1024);
	AUTO(buf_fini) struct buf hint = BUF(1024);
	struct config_sources sources = { 0 };
	char name[256];
	enum err err;

	server_use_system(&sources, name);
	err = sources.read_file(sources.owner, path, out, &detail, &hint);
	if (err && problem)
		buf_add_format(problem, "cannot read %.*s (SSL_CERT_FILE): %.*s", TEXT_ARGS(path),
		               TEXT_ARGS(buf_text(&detail)));
	return err;
}

enum err client_context_with_ca(void *owner, const struct tls_client_options *o, struct tls_context **out,
                                struct buf *problem)
{
	struct server *s = owner;
	AUTO(buf_fini) struct buf ca = BUF(CA_MAX);
	struct tls_client_options with = *o;

	/* without verify it says whether it would have passed, and what proves a host by its name is asked of it too */
	if (o->ca.len > 0 || s->options.ca_file.len == 0)
		return tls_client_context_new(s->io, o, out, problem);
	if (read_ca(s->options.ca_file, &ca, problem))
		return ERR_CONFIG;
	with.ca = buf_text(&ca);
	return tls_client_context_new(s->io, &with, out, problem);
}
