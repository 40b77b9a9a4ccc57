#include "inside.h"

#include <stdlib.h>

#define DEFAULT_MAX_BYTES (64 * 1024 * 1024)
#define DEFAULT_MAX_RECIPIENTS 1000
#define OUT_BYTES (1024 * 1024)

static enum err keep_text(struct text from, char **copy, struct text *view)
{
	*copy = text_dup(from);
	*view = text_of(*copy, from.len);
	return *copy ? ERR_OK : ERR_NOMEM;
}

static enum err take_options(struct sink *s, const struct sink_options *o)
{
	struct text hostname = o->hostname.len ? o->hostname : TEXT("sink.invalid");

	s->o = *o;
	s->o.tls = o->tls ? tls_context_ref(o->tls) : NULL;
	if (!s->o.keywords)
		s->o.keywords = SINK_KEYWORDS;
	if (!s->o.max_bytes)
		s->o.max_bytes = DEFAULT_MAX_BYTES;
	if (!s->o.max_recipients)
		s->o.max_recipients = DEFAULT_MAX_RECIPIENTS;
	if (keep_text(hostname, &s->hostname, &s->o.hostname))
		return ERR_NOMEM;
	return keep_text(o->ledger_field.len ? o->ledger_field : TEXT_EMPTY, &s->ledger_field,
	                 &s->o.ledger_field);
}

static void on_accept(void *owner, struct io_stream *stream)
{
	sink_session_begin(owner, stream);
}

enum err sink_open(const struct sink_options *options, struct sink **out)
{
	AUTO(sink_close) struct sink *s = calloc(1, sizeof(*s));

	if (!s)
		return ERR_NOMEM;
	list_init(&s->sessions);
	random_init(&s->random, io_random_u64(options->io));
	greylist_init(&s->greylist, io_random_u64(options->io));
	s->out = BUF(OUT_BYTES);
	enum err err = take_options(s, options);

	if (!err && (options->directory || options->ledger))
		err = keeper_new(options, &s->keeper);
	if (!err)
		err = io_listen(options->io, &options->address, 0600, on_accept, s, &s->listener);
	if (!err)
		*out = TAKE(s);
	return err;
}

const struct io_address *sink_address(const struct sink *s)
{
	return io_listener_address(s->listener);
}

void sink_close(struct sink **pointer)
{
	struct sink *s = TAKE(*pointer);

	if (!s)
		return;
	io_listener_close(&s->listener);
	while (!list_is_empty(&s->sessions))
		sink_session_abandon(s->sessions.next);
	keeper_free(&s->keeper);
	greylist_fini(&s->greylist);
	if (s->o.tls)
		tls_context_unref(&s->o.tls);
	buf_fini(&s->out);
	free(s->hostname);
	free(s->ledger_field);
	free(s);
}

void sink_set_faults(struct sink *s, unsigned fail_ppm, unsigned defer_ppm, int64_t slow_ms)
{
	s->o.fail_ppm = fail_ppm;
	s->o.defer_ppm = defer_ppm;
	s->o.slow_ms = slow_ms;
}

struct sink_counts sink_count(const struct sink *s)
{
	return s->counts;
}
