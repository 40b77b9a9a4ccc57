#include "internal.h"

#define PEM_MAX (1u << 20)

static enum err read_pem(struct server *s, const struct config_listener *l, struct text path, struct buf *out,
                         struct buf *problem)
{
	struct config_sources sources = { 0 };
	struct buf detail = BUF(1024), hint = BUF(1024);
	char name[256];
	enum err err;

	(void)s;
	server_use_system(&sources, name);
	err = sources.read_file(sources.owner, path, out, &detail, &hint);
	if (err) {
		config_place_add(problem, l->place);
		buf_add_format(problem, ": cannot read %.*s: %.*s", TEXT_ARGS(path),
		               TEXT_ARGS(buf_text(&detail)));
		if (hint.len)
			buf_add_format(problem, "; try: %.*s", TEXT_ARGS(buf_text(&hint)));
	}
	buf_fini(&detail);
	buf_fini(&hint);
	return err;
}

enum err server_context_from_files(void *owner, const struct config_listener *l, struct tls_context **out,
                                   struct buf *problem)
{
	struct server *s = owner;
	struct buf certificate = BUF(PEM_MAX), key = BUF(PEM_MAX), detail = BUF(1024);
	struct tls_server_options options;
	enum err err;

	*out = NULL;
	if (l->tls == CONFIG_TLS_NONE || l->cert.len == 0)
		return ERR_OK;
	err = read_pem(s, l, l->cert, &certificate, problem);
	if (!err)
		err = read_pem(s, l, l->key, &key, problem);
	options = (struct tls_server_options){ .certificate = buf_text(&certificate), .key = buf_text(&key) };
	if (!err) {
		err = tls_server_context_new(s->io, &options, out, &detail);
		if (err) {
			config_place_add(problem, l->place);
			buf_add_format(problem, ": certificate %.*s and key %.*s cannot be used: %.*s",
			               TEXT_ARGS(l->cert), TEXT_ARGS(l->key), TEXT_ARGS(buf_text(&detail)));
		}
	}
	if (key.at)
		explicit_bzero(key.at, key.len);
	buf_fini(&certificate);
	buf_fini(&key);
	buf_fini(&detail);
	return err;
}

enum err client_context_with_ca(void *owner, const struct tls_client_options *o, struct tls_context **out,
                                struct buf *problem)
{
	struct server *s = owner;

	return tls_client_context_new(s->io, o, out, problem);
}
