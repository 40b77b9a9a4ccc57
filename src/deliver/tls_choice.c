#include "tls_choice.h"

#include <postrider/io/disk.h>

#include <stdlib.h>

#define PEM_MAX_BYTES (8u << 20)
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

/* What a context is made of. */
struct wish {
	bool verify;
	struct text ca_file, cert, key;
};

static struct wish wish_of(const struct config_upstream *upstream, bool verify)
{
	struct wish wish = { .verify = verify, .ca_file = TEXT_EMPTY, .cert = TEXT_EMPTY, .key = TEXT_EMPTY };

	if (upstream) {
		wish.ca_file = verify ? upstream->ca_file : TEXT_EMPTY;
		wish.cert = upstream->cert;
		wish.key = upstream->key;
	}
	return wish;
}

static struct tls_choice *find(const struct tls_choices *t, const struct wish *wish)
{
	for (size_t i = 0; i < t->count; i++) {
		struct tls_choice *c = &t->items[i];

		if (c->verify == wish->verify && text_eq(c->ca_file, wish->ca_file) &&
		    text_eq(c->cert, wish->cert) && text_eq(c->key, wish->key))
			return c;
	}
	return NULL;
}

static enum err make_context(const struct deliver_options *o, const struct tls_client_options *tls,
                             struct tls_context **out, struct buf *problem)
{
	if (o->client_context)
		return o->client_context(o->client_context_owner, tls, out, problem);
	return tls_client_context_new(o->io, tls, out, problem);
}

static enum err read_pem(const struct deliver_options *o, struct text path, struct buf *out,
                         struct buf *problem)
{
	enum err err = path.len ? read_file(o->disk ? o->disk : io_disk_real(), path, out) : ERR_OK;

	if (!err || err == ERR_NOMEM)
		return err;
	if (problem)
		buf_add_format(problem, "%.*s: %s", TEXT_ARGS(path), err_text(err));
	return ERR_CONFIG;
}

/* What the context could not take says little without the names of the files. */
static void name_files(const struct wish *wish, struct buf *problem)
{
	if (!problem)
		return;
	if (wish->ca_file.len)
		buf_add_format(problem, " (ca_file %.*s)", TEXT_ARGS(wish->ca_file));
	if (wish->cert.len)
		buf_add_format(problem, " (cert %.*s, key %.*s)", TEXT_ARGS(wish->cert),
		               TEXT_ARGS(wish->key));
}

static enum err add(struct tls_choices *t, const struct deliver_options *o, const struct wish *wish,
                    struct buf *problem)
{
	AUTO(buf_fini) struct buf ca = BUF(PEM_MAX_BYTES), cert = BUF(PEM_MAX_BYTES);
	struct buf key = BUF(PEM_MAX_BYTES);
	struct tls_choice *choice = &t->items[t->count];
	struct tls_client_options tls = { .verify = wish->verify };
	enum err err;

	if (find(t, wish))
		return ERR_OK;
	err = read_pem(o, wish->ca_file, &ca, problem);
	if (!err)
		err = read_pem(o, wish->cert, &cert, problem);
	if (!err)
		err = read_pem(o, wish->key, &key, problem);
	if (!err) {
		tls.ca = buf_text(&ca);
		tls.certificate = buf_text(&cert);
		tls.key = buf_text(&key);
		err = make_context(o, &tls, &choice->context, problem);
		if (err == ERR_CONFIG)
			name_files(wish, problem);
	}
	if (key.at)
		explicit_bzero(key.at, key.room);
	buf_fini(&key);
	if (err)
		return err;
	choice->verify = wish->verify;
	choice->ca_file = wish->ca_file;
	choice->cert = wish->cert;
	choice->key = wish->key;
	t->count++;
	return ERR_OK;
}

/* A route may demand more of an upstream than the upstream says itself. */
static bool ever_verifies(const struct config *config, const struct config_upstream *upstream)
{
	if (upstream->pins.count)
		return false; /* by pins, not by CAs */
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
static enum err try_add(struct tls_choices *t, const struct deliver_options *o, const struct wish *wish)
{
	AUTO(buf_fini) struct buf problem = BUF(1024);
	enum err err = add(t, o, wish, &problem);

	return err == ERR_NOMEM ? err : ERR_OK;
}

static enum err add_for(struct tls_choices *t, const struct deliver_options *o, const struct config *config,
                        const struct config_upstream *u, struct buf *problem)
{
	struct wish any = wish_of(u, false), checked = wish_of(u, true);
	enum err err = add(t, o, &any, problem);

	if (!err && ever_verifies(config, u))
		return add(t, o, &checked, problem);
	return err || !may_be_demanded(config) ? err : try_add(t, o, &checked);
}

/* ---------------------------------------------------------------- pins */

static unsigned char octet_of(const char *digits)
{
	unsigned value = 0;

	for (int i = 0; i < 2; i++)
		value = value * 16 +
		        (unsigned)(ascii_is_digit(digits[i]) ? digits[i] - '0' : digits[i] - 'a' + 10);
	return (unsigned char)value;
}

/* The configuration has seen to it that each has 64 digits in lower case. */
static enum err add_pins(struct tls_choices *t, const struct config_upstream *u)
{
	struct tls_pins *p = &t->pins[t->pins_count];

	if (u->pins.count == 0)
		return ERR_OK;
	p->pins = calloc(u->pins.count, sizeof(*p->pins));
	if (!p->pins)
		return ERR_NOMEM;
	for (size_t i = 0; i < u->pins.count; i++)
		for (size_t n = 0; n < sizeof(*p->pins); n++)
			p->pins[i][n] = octet_of(u->pins.items[i].at + 2 * n);
	p->upstream = u;
	p->expect = (struct tls_expectation){ .proof = TLS_PROOF_PINS,
		                              .pins = (const unsigned char(*)[32])p->pins,
		                              .pin_count = u->pins.count };
	t->pins_count++;
	return ERR_OK;
}

/* ---------------------------------------------------------------- the face */

enum err tls_choices_make(const struct deliver_options *options, const struct config *config,
                          struct buf *problem, struct tls_choices *out)
{
	size_t count = config->upstreams.count;
	struct tls_choices t = { .items = calloc(2 * count + 1, sizeof(*t.items)),
		                 .pins = calloc(count + 1, sizeof(*t.pins)) };
	struct wish any = wish_of(NULL, false);
	enum err err = t.items && t.pins ? ERR_OK : ERR_NOMEM;

	if (!err)
		err = add(&t, options, &any, problem);
	for (size_t i = 0; !err && i < count; i++) {
		err = add_for(&t, options, config, &config->upstreams.items[i], problem);
		if (!err)
			err = add_pins(&t, &config->upstreams.items[i]);
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
	for (size_t i = 0; i < t->pins_count; i++)
		free(t->pins[i].pins);
	free(t->items);
	free(t->pins);
	*t = (struct tls_choices){ 0 };
}

/* With pins any context will do that has our certificate. */
static bool is_pinned(const struct config_upstream *upstream)
{
	return upstream && upstream->pins.count > 0;
}

struct tls_context *tls_choose(const struct tls_choices *t, const struct config_upstream *upstream,
                               enum config_tls tls, bool verifies)
{
	struct wish wish = wish_of(upstream, verifies && upstream && !is_pinned(upstream));
	struct tls_choice *choice;

	if (tls == CONFIG_TLS_NONE)
		return NULL;
	choice = find(t, &wish);
	return choice ? choice->context : NULL;
}

const struct tls_expectation *tls_choice_expects(const struct tls_choices *t,
                                                 const struct config_upstream *upstream, enum config_tls tls)
{
	if (!is_pinned(upstream) || (tls != CONFIG_TLS_REQUIRE && tls != CONFIG_TLS_IMPLICIT))
		return NULL;
	for (size_t i = 0; i < t->pins_count; i++)
		if (t->pins[i].upstream == upstream)
			return &t->pins[i].expect;
	return NULL;
}
