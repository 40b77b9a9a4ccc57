/* What a start would find wrong in the files that the configuration names, without a start. */
#include <postrider/base/auto.h>
#include <postrider/io/uv.h>

#include "certificates.h"
#include "internal.h"

#define PROBLEM_MAX (16u << 10)

struct checking {
	const struct config *config;
	struct io *io;
	server_found_fn *found;
	void *owner;
};

/* "FILE:LINE: what is wrong", and perhaps a line "  next: what to do" behind it. */
static void tell(struct checking *c, struct text problem, struct text border)
{
	size_t at = text_find(problem, border);
	struct text where = at < problem.len ? text_head(problem, at) : TEXT_EMPTY;
	struct text next = where.len ? text_skip(problem, at + border.len) : problem;
	struct text what = text_cut(&next, '\n');

	next = text_trim(text_cut(&next, '\n'));
	if (text_starts(next, TEXT("next: ")))
		next = text_skip(next, 6);
	c->found(c->owner, where, what, next);
}

static void check_listener(struct checking *c, const struct config_listener *l)
{
	AUTO(buf_fini) struct buf problem = BUF(PROBLEM_MAX);
	struct tls_context *context = NULL;
	struct tls_files files;

	if (server_tls_file(l, 0).len == 0)
		return;
	tls_files_read(&files, l);
	if (files.err)
		buf_add(&problem, buf_text(&files.problem));
	else if (tls_files_context(&files, c->io, l, &context, &problem) == ERR_NOMEM)
		buf_add_string(&problem, "no memory to read certificates");
	if (problem.len)
		tell(c, buf_text(&problem), TEXT(": "));
	tls_context_unref(&context);
	tls_files_free(&files);
}

/* A file of an upstream, as far as the configuration names one. False: problem says why it cannot be read. */
static bool read_pem(struct text path, struct buf *out, struct buf *problem)
{
	AUTO(buf_fini) struct buf detail = BUF(1024), hint = BUF(1024);
	struct config_sources sources = { 0 };
	char name[256];

	if (path.len == 0)
		return true;
	server_use_system(&sources, name);
	if (sources.read_file(sources.owner, path, out, &detail, &hint) == ERR_OK)
		return true;
	buf_add_format(problem, "cannot read %.*s: %.*s", TEXT_ARGS(path), TEXT_ARGS(buf_text(&detail)));
	return false;
}

static void try_context(struct checking *c, const struct tls_client_options *options, const char *what,
                        struct text file, struct text key, struct buf *problem)
{
	AUTO(buf_fini) struct buf detail = BUF(1024);
	struct tls_context *context = NULL;

	if (tls_client_context_new(c->io, options, &context, &detail))
		buf_add_format(problem, "%s %.*s%s%.*s cannot be used: %.*s", what, TEXT_ARGS(file),
		               key.len ? " with key " : "", TEXT_ARGS(key), TEXT_ARGS(buf_text(&detail)));
	tls_context_unref(&context);
}

static void check_upstream(struct checking *c, const struct config_upstream *u)
{
	AUTO(buf_fini)
	struct buf ca = BUF(1u << 20), cert = BUF(1u << 20), problem = BUF(PROBLEM_MAX),
		   where = BUF(PROBLEM_MAX);
	AUTO(buf_wipe) struct buf key = BUF(1u << 20);
	struct tls_client_options options = { .verify = false };

	if (u->tls == CONFIG_TLS_NONE)
		return;
	config_place_add(&where, u->place);
	if (u->ca_file.len && read_pem(u->ca_file, &ca, &problem))
		try_context(c, &(struct tls_client_options){ .verify = true, .ca = buf_text(&ca) }, "ca_file",
		            u->ca_file, TEXT_EMPTY, &problem);
	if (problem.len == 0 && u->cert.len && u->key.len && read_pem(u->cert, &cert, &problem) &&
	    read_pem(u->key, &key, &problem)) {
		options.certificate = buf_text(&cert);
		options.key = buf_text(&key);
		try_context(c, &options, "cert", u->cert, u->key, &problem);
	}
	if (problem.len)
		c->found(c->owner, buf_text(&where), buf_text(&problem), TEXT_EMPTY);
}

/* Secrets are read when a token is wanted; that they cannot be is better known before. */
static void check_oauth2(struct checking *c, const struct config_upstream *u)
{
	const struct config_oauth2 *o = &u->login.oauth2;
	const struct text secrets[] = { o->client_secret_file, o->refresh_token_file };
	AUTO(buf_fini) struct buf ca = BUF(1u << 20), problem = BUF(PROBLEM_MAX), where = BUF(PROBLEM_MAX);

	config_place_add(&where, u->place);
	if (o->ca_file.len && read_pem(o->ca_file, &ca, &problem))
		try_context(c, &(struct tls_client_options){ .verify = true, .ca = buf_text(&ca) },
		            "oauth2.ca_file", o->ca_file, TEXT_EMPTY, &problem);
	for (size_t i = 0; i < ARRAY_LEN(secrets) && problem.len == 0; i++) {
		AUTO(buf_wipe) struct buf secret = BUF(64u << 10);

		(void)read_pem(secrets[i], &secret, &problem);
	}
	if (problem.len)
		c->found(c->owner, buf_text(&where), buf_text(&problem), TEXT_EMPTY);
}

static void check_users(struct checking *c)
{
	AUTO(buf_fini) struct buf problem = BUF(PROBLEM_MAX);
	struct auth *auth = NULL;

	if (server_read_users(c->io, c->config, &auth, &problem))
		tell(c, buf_text(&problem), TEXT(": error: "));
	auth_free(&auth);
}

static void check_all(void *owner)
{
	struct checking *c = owner;

	for (size_t i = 0; i < c->config->listen.count; i++)
		check_listener(c, &c->config->listen.items[i]);
	for (size_t i = 0; i < c->config->upstreams.count; i++) {
		check_upstream(c, &c->config->upstreams.items[i]);
		check_oauth2(c, &c->config->upstreams.items[i]);
	}
	check_users(c);
	io_uv_stop(c->io);
}

enum err server_check_files(const struct config *config, server_found_fn *found, void *owner)
{
	struct checking c = { .config = config, .found = found, .owner = owner };
	struct io_later later = { 0 };
	enum err err = io_uv_new(&(struct io_uv_options){ .disk_threads = 1, .cpu_threads = 2 }, &c.io);

	if (err)
		return err;
	io_later_run(c.io, &later, check_all, &c);
	io_uv_run(c.io);
	io_uv_free(&c.io);
	return ERR_OK;
}
