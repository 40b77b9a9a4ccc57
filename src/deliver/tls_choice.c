#include "tls_choice.h"

#include <postrider/io/disk.h>

#define CA_FILE_MAX_BYTES (8u << 20)
#define READ_BYTES 65536

bool tls_choice_verifies(const struct config_upstream *upstream, enum config_tls tls)
{
	return upstream && upstream->verify && (tls == CONFIG_TLS_REQUIRE || tls == CONFIG_TLS_IMPLICIT);
}

/* ---------------------------------------------------------------- making */

static enum err read_file(struct io_disk *disk, struct text path, struct buf *out)
{
	AUTO(free_memory) char *name = text_dup(path);
	struct io_file *file = NULL;
	enum err err = name ? disk->ops->open(disk, name, IO_FILE_READ, &file) : ERR_NOMEM;
	size_t got = READ_BYTES;

	for (uint64_t at = 0; !err && got == READ_BYTES; at += got) {
		char *room = buf_reserve(out, READ_BYTES);

		if (!room)
			err = buf_err(out);
		else
			err = disk->ops->read_at(file, at, room, READ_BYTES, &got);
		if (!err)
			buf_grew(out, got);
	}
	if (file)
		disk->ops->close(&file);
	return err;
}

static struct tls_choice *find(const struct tls_choices *t, bool verify, struct text ca_file)
{
	for (size_t i = 0; i < t->count; i++)
		if (t->items[i].verify == verify && (!verify || text_eq(t->items[i].ca_file, ca_file)))
			return &t->items[i];
	return NULL;
}

static enum err make_context(const struct deliver_options *o, const struct tls_client_options *tls,
                             struct tls_context **out, struct buf *problem)
{
	if (o->client_context)
		return o->client_context(o->client_context_owner, tls, out, problem);
	return tls_client_context_new(o->io, tls, out, problem);
}

static enum err add(struct tls_choices *t, const struct deliver_options *o, bool verify, struct text ca_file,
                    struct buf *problem)
{
	AUTO(buf_fini) struct buf ca = BUF(CA_FILE_MAX_BYTES);
	struct tls_choice *choice = &t->items[t->count];
	struct tls_client_options tls = { .verify = verify };
	enum err err = ERR_OK;

	if (find(t, verify, ca_file))
		return ERR_OK;
	if (verify && ca_file.len)
		err = read_file(o->disk ? o->disk : io_disk_real(), ca_file, &ca);
	if (err) {
		if (problem)
			buf_add_format(problem, "%.*s: %s", TEXT_ARGS(ca_file), err_text(err));
		return err == ERR_NOMEM ? err : ERR_CONFIG;
	}
	tls.ca = buf_text(&ca);
	err = make_context(o, &tls, &choice->context, problem);
	if (err)
		return err;
	choice->verify = verify;
	choice->ca_file = ca_file;
	t->count++;
	return ERR_OK;
}

/* A route may demand more of an upstream than the upstream says itself. */
static bool ever_verifies(const struct config *config, const struct config_upstream *upstream)
{
	if (tls_choice_verifies(upstream, upstream->tls))
		return true;
	for (size_t i = 0; i < config->routes.count; i++) {
		const struct config_route *r = &config->routes.items[i];

		if (r->upstream == upstream && r->has_tls && tls_choice_verifies(upstream, r->tls))
			return true;
	}
	return false;
}

/* REQUIRETLS comes in by TLS only, and then TLS has to be verified on the way out, whatever the route says. */
static bool may_be_demanded(const struct config *config)
{
	for (size_t i = 0; i < config->listen.count; i++)
		if (config->listen.items[i].cert.len || config->listen.items[i].certificates.count)
			return true;
	return false;
}

/* Without CAs such mail comes back; that is no reason not to start. */
static enum err try_add(struct tls_choices *t, const struct deliver_options *o, struct text ca_file)
{
	AUTO(buf_fini) struct buf problem = BUF(1024);
	enum err err = add(t, o, true, ca_file, &problem);

	return err == ERR_NOMEM ? err : ERR_OK;
}

enum err tls_choices_make(const struct deliver_options *options, const struct config *config,
                          struct buf *problem, struct tls_choices *out)
{
	struct tls_choices t = { .items = calloc(config->upstreams.count + 1, sizeof(*t.items)) };
	enum err err = t.items ? ERR_OK : ERR_NOMEM;

	if (!err)
		err = add(&t, options, false, TEXT_EMPTY, problem);
	for (size_t i = 0; !err && i < config->upstreams.count; i++) {
		const struct config_upstream *u = &config->upstreams.items[i];

		if (ever_verifies(config, u))
			err = add(&t, options, true, u->ca_file, problem);
		else if (may_be_demanded(config))
			err = try_add(&t, options, u->ca_file);
	}
	if (err)
		tls_choices_fini(&t);
	else
		*out = t;
	return err;
}

void tls_choices_fini(struct tls_choices *t)
{
	for (size_t i = 0; i < t->count; i++)
		tls_context_unref(&t->items[i].context);
	free(t->items);
	*t = (struct tls_choices){ 0 };
}

struct tls_context *tls_choose(const struct tls_choices *t, const struct config_upstream *upstream,
                               enum config_tls tls, bool verifies)
{
	bool verify = verifies && upstream;
	struct tls_choice *choice;

	if (tls == CONFIG_TLS_NONE)
		return NULL;
	choice = find(t, verify, verify ? upstream->ca_file : TEXT_EMPTY);
	return choice ? choice->context : NULL;
}
