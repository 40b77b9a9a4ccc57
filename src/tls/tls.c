/* What TLS of both worlds has in common: contexts are counted, calls go to whoever brought the context. */
#include <postrider/tls.h>

#include <assert.h>
#include <stdlib.h>

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
	return tls_start_expecting(stream, context, server_name, NULL, on_done, owner);
}

enum err tls_start_expecting(struct io_stream *stream, struct tls_context *context, struct text server_name,
                             const struct tls_expectation *expect, tls_done_fn *on_done, void *owner)
{
	assert(!io_stream_layer(stream));
	return context->ops->start(context, stream, server_name, expect, on_done, owner);
}

/* ---------------------------------------------------------------- expectations */

static size_t octets_of(const struct tls_expectation *e, size_t tlsa_count)
{
	size_t sum = 0;

	for (size_t i = 0; i < e->name_count; i++)
		sum += e->names[i].len;
	for (size_t i = 0; i < tlsa_count; i++)
		sum += e->tlsa[i].data.len;
	return sum;
}

static struct text keep(char **end, struct text t)
{
	struct text kept = text_of(*end, t.len);

	if (t.len > 0)
		memcpy(*end, t.at, t.len);
	*end += t.len;
	return kept;
}

/* First what has to be aligned, then octets. */
static void copy_parts(const struct tls_expectation *e, struct tls_expectation *out, void *memory)
{
	struct text *names = memory;
	struct tls_tlsa *tlsa = (void *)(names + e->name_count);
	unsigned char(*pins)[32] = (void *)(tlsa + out->tlsa_count);
	char *end = (char *)(pins + e->pin_count);

	for (size_t i = 0; i < e->name_count; i++)
		names[i] = keep(&end, e->names[i]);
	for (size_t i = 0; i < out->tlsa_count; i++) {
		tlsa[i] = e->tlsa[i];
		tlsa[i].data = keep(&end, e->tlsa[i].data);
	}
	if (e->pin_count > 0)
		memcpy(pins, e->pins, e->pin_count * sizeof(*pins));
	out->names = names;
	out->tlsa = tlsa;
	out->pins = (const unsigned char(*)[32])pins;
}

enum err tls_expectation_copy(const struct tls_expectation *e, struct tls_expectation *out, void **memory)
{
	*out = e ? *e : (struct tls_expectation){ .proof = TLS_PROOF_CONTEXT };
	*memory = NULL;
	if (!e)
		return ERR_OK;
	out->tlsa_count = MIN(e->tlsa_count, (size_t)TLS_TLSA_MAX);
	*memory = malloc(e->name_count * sizeof(*e->names) + out->tlsa_count * sizeof(*e->tlsa) +
	                 e->pin_count * sizeof(*e->pins) + octets_of(e, out->tlsa_count) + 1);
	if (!*memory)
		return ERR_NOMEM;
	copy_parts(e, out, *memory);
	return ERR_OK;
}

/* ---------------------------------------------------------------- streams */

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
