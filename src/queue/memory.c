/* Messages in memory, the budget for their bodies, and copies of recipients. */
#include "internal.h"

#include <stdlib.h>

/* ---------------------------------------------------------------- budget */

void body_memory_force(struct queue *q, size_t bytes)
{
	q->memory.used_bytes += bytes;
}

void body_memory_give(struct queue *q, size_t bytes)
{
	q->memory.used_bytes -= MIN(bytes, q->memory.used_bytes);
}

void message_forget_content(struct queue *q, struct message *m)
{
	list_remove(&m->evictable);
	body_memory_give(q, m->content_room);
	free(m->content);
	m->content = NULL;
	m->content_room = 0;
	m->public.content = (struct text){ NULL, 0 };
}

bool body_memory_take(struct queue *q, size_t bytes)
{
	struct body_memory *b = &q->memory;

	if (bytes > b->limit_bytes)
		return false;
	while (b->used_bytes > b->limit_bytes - bytes) {
		struct message *oldest = LIST_FIRST(&b->evictable, struct message, evictable);

		if (!oldest)
			return false;
		message_forget_content(q, oldest);
	}
	b->used_bytes += bytes;
	return true;
}

/* ---------------------------------------------------------------- messages */

static void message_free(struct message **m)
{
	if (!*m)
		return;
	envelope_free(&(*m)->envelope);
	free((*m)->prepended);
	free((*m)->content);
	free(*m);
	*m = NULL;
}

enum err message_take(struct envelope *envelope, struct text prepended, struct message **out)
{
	struct message *m = calloc(1, sizeof(*m));

	if (m)
		m->prepended = text_dup(prepended);
	if (!m || !m->prepended) {
		free(m);
		envelope_free(&envelope);
		return ERR_NOMEM;
	}
	list_init(&m->evictable);
	m->envelope = envelope;
	m->public = (struct queue_message){
		.envelope = envelope,
		.prepended = text_of(m->prepended, prepended.len),
		.references = 1,
	};
	*out = m;
	return ERR_OK;
}

enum err message_new(const struct envelope *envelope, struct text prepended, struct message **out)
{
	struct envelope *copy;
	enum err err = envelope_copy(envelope, &copy);

	return err ? err : message_take(copy, prepended, out);
}

void message_set_content(struct message *m, char *content, size_t len, size_t room)
{
	m->content = content;
	m->content_room = room;
	m->public.content = text_of(content, len);
	m->public.content_bytes = len;
	m->envelope->content_bytes = len;
}

/* Evictable is a content that is in memory and on disk, and that nobody reads at the moment. */
static void file_content(struct queue *q, struct message *m)
{
	bool may_go = m->content && m->stored && m->pins == 0;

	list_remove(&m->evictable);
	if (may_go)
		list_append(&q->memory.evictable, &m->evictable);
}

void message_was_stored(struct queue *q, struct message *m)
{
	m->stored = true;
	file_content(q, m);
}

void message_pin(struct message *m)
{
	m->pins++;
	list_remove(&m->evictable);
}

void message_unpin(struct queue *q, struct message *m)
{
	m->pins--;
	file_content(q, m);
}

struct queue_message *queue_message_ref(struct queue_message *m)
{
	m->references++;
	return m;
}

void message_unref(struct queue *q, struct message **m)
{
	if (!*m)
		return;
	if (--(*m)->public.references == 0) {
		message_forget_content(q, *m);
		message_free(m);
	}
	*m = NULL;
}

void queue_message_unref(struct queue *q, struct queue_message **m)
{
	if (*m) {
		struct message *message = message_of(*m);

		message_unref(q, &message);
	}
	*m = NULL;
}

/* ---------------------------------------------------------------- recipients and works */

static size_t texts_bytes(const struct queue_recipient *r, size_t count)
{
	size_t bytes = 0;

	for (size_t i = 0; i < count; i++)
		bytes += r[i].reply.len + r[i].remote.len + r[i].key.len + r[i].via.len;
	return bytes;
}

static struct text copy_text(char **at, struct text t)
{
	char *to = *at;

	if (t.len == 0)
		return TEXT_EMPTY;
	memcpy(to, t.at, t.len);
	*at += t.len;
	return text_of(to, t.len);
}

static void copy_recipients(struct queue_recipient *to, const struct queue_recipient *from, size_t count,
                            char **texts)
{
	for (size_t i = 0; i < count; i++) {
		to[i] = from[i];
		to[i].reply = copy_text(texts, from[i].reply);
		to[i].remote = copy_text(texts, from[i].remote);
		to[i].key = copy_text(texts, from[i].key);
		to[i].via = copy_text(texts, from[i].via);
	}
}

struct queue_recipient *recipients_copy(const struct queue_recipient *from, size_t count)
{
	struct queue_recipient *copy = malloc(count * sizeof(*copy) + texts_bytes(from, count) + 1);

	if (copy) {
		char *texts = (char *)(copy + count);

		copy_recipients(copy, from, count, &texts);
	}
	return copy;
}

struct queue_work *work_new(struct id id, struct text key, const struct queue_recipient *recipients,
                            size_t count, uint64_t sender, struct message *message)
{
	struct queue_work *w = malloc(sizeof(*w) + count * sizeof(*recipients) +
	                              texts_bytes(recipients, count) + key.len + 1);

	if (!w)
		return NULL;
	struct queue_recipient *copy = (struct queue_recipient *)(w + 1);
	char *texts = (char *)(copy + count);

	*w = (struct queue_work){
		.id = id,
		.message = message ? &message->public : NULL,
		.recipients = copy,
		.recipient_count = count,
		.due_time = INT64_MAX,
		.sender = sender,
	};
	copy_recipients(copy, recipients, count, &texts);
	w->key = copy_text(&texts, key);
	for (size_t i = 0; i < count; i++)
		w->due_time = MIN(w->due_time, recipients[i].due_time);
	return w;
}

void queue_work_free(struct queue *q, struct queue_work **w)
{
	if (*w) {
		queue_message_unref(q, &(*w)->message);
		free(*w);
	}
	*w = NULL;
}
