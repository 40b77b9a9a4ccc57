/* Header fields that routes ask for. Those that the routes of its time asked for were kept when a message came; under a
 * configuration that asks for others they are looked up in the message itself. */
#include "fields.h"

#include <postrider/mail/header.h>

/* Of a header section on disk, for this: fields beyond it are as if they were not there. */
#define FRONT_MAX (256u << 10)

static struct text known_fields(const struct task *t, const struct queue_message *m)
{
	return t && t->fields.len ? buf_text(&t->fields) : m->envelope->fields;
}

static bool are_known(const struct schedule *s, struct text fields)
{
	const struct config_texts *names = &s->config->routes.fields;

	for (size_t i = 0; i < names->count; i++)
		if (!header_pick_knows(fields, names->items[i]))
			return false;
	return true;
}

bool fields_lie_on_disk(const struct schedule *s, const struct task *t, const struct queue_message *m)
{
	return !m->content.at && m->content_bytes > 0 && !are_known(s, known_fields(t, m));
}

static void pick(struct task *t, struct text content)
{
	const struct config_texts *names = &t->destination->schedule->config->routes.fields;
	struct header_pick p;

	header_pick_init(&p, names->items, names->count);
	header_pick_all(&p, content);
	buf_fini(&t->fields);
	/* without memory a message goes where it goes without them */
	if (!header_pick_finish(&p)) {
		t->fields = p.lines;
		p.lines = (struct buf){ 0 };
	}
	header_pick_fini(&p);
}

struct text fields_of(struct task *t)
{
	const struct queue_message *m = t->work->message;

	if (m->content.at && !are_known(t->destination->schedule, known_fields(t, m)))
		pick(t, m->content);
	return known_fields(t, m);
}

/* ---------------------------------------------------------------- from disk */

static void on_octets(void *owner)
{
	struct task *t = owner;
	struct queue_work *work = t->arriving;
	size_t skip = work->message->prepended.len;
	struct text span;
	enum err err = ERR_OK;

	while (t->original.len < t->original.max && !(err = body_source_next(t->source, &span)) &&
	       span.len > 0)
		buf_add(&t->original, text_head(span, t->original.max - t->original.len));
	if (err == ERR_MORE)
		return;
	/* of what cannot be read the attempt itself will tell */
	pick(t, text_skip(buf_text(&t->original), MIN(skip, t->original.len)));
	body_source_release(&t->source);
	buf_reset(&t->original);
	t->arriving = NULL;
	task_loaded(t, ERR_OK, work);
}

bool fields_await(struct task *t, struct queue_work *work)
{
	struct schedule *s = t->destination->schedule;
	struct queue_message *m = work->message;

	if (s->stopping || !fields_lie_on_disk(s, t, m) || queue_message_body(s->queue, m, &t->source))
		return false;
	t->arriving = work;
	t->original.max = m->prepended.len + FRONT_MAX;
	body_source_listen(t->source, on_octets, t);
	on_octets(t);
	return true;
}
