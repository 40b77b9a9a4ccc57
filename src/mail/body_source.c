#include <postrider/mail/body_source.h>

#include <stdlib.h>

#include <postrider/base/auto.h>

void body_source_listen(struct body_source *s, void (*on_ready)(void *owner), void *owner)
{
	s->on_ready = on_ready;
	s->owner = owner;
}

enum err body_source_next(struct body_source *s, struct text *span)
{
	return s->ops->next(s, span);
}

void body_source_rewind(struct body_source *s)
{
	s->ops->rewind(s);
}

void body_source_release(struct body_source **s)
{
	struct body_source *released = TAKE(*s);

	if (released)
		released->ops->release(released);
}

/* ---------------------------------------------------------------- in memory */

struct memory_source {
	struct body_source source;
	struct text parts[2]; /* prepended fields, content */
	size_t next;
	void (*on_release)(void *owner);
	void *owner;
};

static enum err memory_next(struct body_source *s, struct text *span)
{
	struct memory_source *m = CONTAINER_OF(s, struct memory_source, source);

	*span = TEXT_EMPTY;
	while (m->next < ARRAY_LEN(m->parts) && span->len == 0)
		*span = m->parts[m->next++];
	return ERR_OK;
}

static void memory_rewind(struct body_source *s)
{
	CONTAINER_OF(s, struct memory_source, source)->next = 0;
}

static void memory_release(struct body_source *s)
{
	struct memory_source *m = CONTAINER_OF(s, struct memory_source, source);

	if (m->on_release)
		m->on_release(m->owner);
	free(m);
}

static const struct body_source_ops memory_ops = { memory_next, memory_rewind, memory_release };

enum err body_source_memory(struct text prepended, struct text content, void (*on_release)(void *owner),
                            void *owner, struct body_source **out)
{
	struct memory_source *m = malloc(sizeof(*m));

	if (!m)
		return ERR_NOMEM;
	*m = (struct memory_source){
		.source = { .ops = &memory_ops, .bytes = (uint64_t)prepended.len + content.len },
		.parts = { prepended, content },
		.on_release = on_release,
		.owner = owner,
	};
	*out = &m->source;
	return ERR_OK;
}

/* ---------------------------------------------------------------- fields before another source */

struct prepended_source {
	struct body_source source;
	struct body_source *content;
	char *fields;
	size_t fields_len;
	bool fields_given;
};

static struct prepended_source *prepended_of(struct body_source *s)
{
	return CONTAINER_OF(s, struct prepended_source, source);
}

static enum err prepended_next(struct body_source *s, struct text *span)
{
	struct prepended_source *p = prepended_of(s);

	if (p->fields_given)
		return body_source_next(p->content, span);
	p->fields_given = true;
	*span = text_of(p->fields, p->fields_len);
	return p->fields_len ? ERR_OK : body_source_next(p->content, span);
}

static void prepended_rewind(struct body_source *s)
{
	struct prepended_source *p = prepended_of(s);

	p->fields_given = false;
	body_source_rewind(p->content);
}

static void prepended_release(struct body_source *s)
{
	struct prepended_source *p = prepended_of(s);

	body_source_release(&p->content);
	free(p->fields);
	free(p);
}

static const struct body_source_ops prepended_ops = { prepended_next, prepended_rewind, prepended_release };

static void on_content_ready(void *owner)
{
	struct prepended_source *p = owner;

	if (p->source.on_ready)
		p->source.on_ready(p->source.owner);
}

enum err body_source_prepend(struct text prepended, struct body_source **content, struct body_source **out)
{
	AUTO(body_source_release) struct body_source *taken = TAKE(*content);
	AUTO(free_memory) char *fields = text_dup(prepended);
	struct prepended_source *p = fields ? malloc(sizeof(*p)) : NULL;

	if (!p)
		return ERR_NOMEM;
	*p = (struct prepended_source){
		.source = { .ops = &prepended_ops, .bytes = prepended.len + taken->bytes },
		.fields_len = prepended.len,
	};
	p->fields = TAKE(fields);
	p->content = TAKE(taken);
	body_source_listen(p->content, on_content_ready, p);
	*out = &p->source;
	return ERR_OK;
}
