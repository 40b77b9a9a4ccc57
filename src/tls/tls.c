/* What TLS of both worlds has in common: contexts are counted, calls go to whoever brought the context. */
#include <postrider/tls.h>

#include <assert.h>

struct tls_context *tls_context_ref(struct tls_context *c)
{
	c->references++;
	return c;
}

void tls_context_unref(struct tls_context **c)
{
	struct tls_context *context = TAKE(*c);

	if (!context)
		return;
	assert(context->references > 0);
	if (--context->references == 0)
		context->ops->free(context);
}

enum err tls_start(struct io_stream *stream, struct tls_context *context, struct text server_name,
                   tls_done_fn *on_done, void *owner)
{
	assert(!io_stream_layer(stream));
	return context->ops->start(context, stream, server_name, on_done, owner);
}

struct tls_info tls_info_of(const struct io_stream *stream)
{
	struct io_layer *layer = io_stream_layer(stream);

	if (!layer)
		return (struct tls_info){ .cipher = TEXT_EMPTY, .problem = TEXT_EMPTY };
	return CONTAINER_OF(layer, struct tls_layer, layer)->context->ops->info(layer);
}

enum err tls_channel_binding(const struct io_stream *stream, enum tls_binding kind, struct buf *out)
{
	struct io_layer *layer = io_stream_layer(stream);

	if (!layer)
		return ERR_NOT_FOUND;
	return CONTAINER_OF(layer, struct tls_layer, layer)->context->ops->binding(layer, kind, out);
}

bool tls_context_certificate(const struct tls_context *c, size_t i, struct tls_certificate_facts *out)
{
	return c->ops->certificate(c, i, out);
}

const char *tls_version_text(enum tls_version version)
{
	switch (version) {
	case TLS_1_2:
		return "TLSv1.2";
	case TLS_1_3:
		return "TLSv1.3";
	case TLS_NONE:
		break;
	}
	return "none";
}
