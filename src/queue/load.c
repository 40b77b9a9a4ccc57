/* Recipients of a message, loaded as a work: what is gone, held or under another key is left out, what is
 * damaged is set aside. */
#include "internal.h"

#include <stdlib.h>

#include <postrider/mail/sender.h>

struct load {
	struct read_request request;
	struct queue *queue;
	struct id id;
	char *key;
	size_t key_len;
	queue_loaded_fn *on_loaded;
	void *owner;
	/* what was found */
	struct message *message;
	struct queue_work *work;
	bool whole_damaged;
	const char *what;
	uint32_t *damaged; /* numbers of recipients */
	size_t damaged_count;
	size_t count;
	uint32_t ns[];
};

static void load_free(struct queue *q, struct load *l)
{
	queue_work_free(q, &l->work);
	message_unref(q, &l->message);
	free(l->damaged);
	free(l->key);
	free(l);
}

/* ---------------------------------------------------------------- in the disk lane */

/* Those of the message's recipients that are asked for and may be given; texts point into the store. */
static enum err read_recipients(struct load *l, struct reading *reading, struct queue_recipient *found,
                                size_t *count)
{
	for (size_t i = 0; i < l->count; i++) {
		struct row_key key;
		struct recipient_row row;
		struct text value;

		recipient_key(&key, l->id, l->ns[i]);
		enum err err = store_get(reading->txn, TABLE_RECIPIENT, row_key_text(&key), &value);

		if (err == ERR_NOT_FOUND)
			continue;
		if (!err)
			err = recipient_decode(row_key_text(&key), value, &row, NULL);
		if (err == ERR_DAMAGED || err == ERR_UNSUPPORTED) {
			l->damaged[l->damaged_count++] = l->ns[i];
			continue;
		}
		if (err)
			return err;
		recipient_row_join_run(reading->shared, &row);
		if (row.public.state == QUEUE_HELD || !text_eq(row.public.key, text_of(l->key, l->key_len)))
			continue;
		found[(*count)++] = row.public;
	}
	return ERR_OK;
}

static enum err read_content(struct load *l, struct reading *reading, const struct message_head *head,
                             struct text blocks)
{
	struct message *m = l->message;
	size_t len = (size_t)head->content_bytes;

	m->in_file = head->in_file;
	m->file = head->file;
	m->public.content_bytes = head->content_bytes;
	if (head->in_file || len > reading->content_allowance)
		return ERR_OK;
	char *content = malloc(MAX(len, 1));

	if (!content)
		return ERR_NOMEM;
	enum err err = message_content_read(l->id, blocks, head->content_bytes, content);

	if (err) {
		free(content);
		return err;
	}
	reading->content_allowance -= len;
	message_set_content(m, content, len, len);
	return ERR_OK;
}

static enum err read_message(struct load *l, struct reading *reading)
{
	struct message_head head;
	struct text row, blocks;
	AUTO(envelope_free) struct envelope *envelope = NULL;
	enum err err = store_get(reading->txn, TABLE_MESSAGE, id_key(&l->id), &row);

	if (err) {
		l->what = "its recipients are there, and it is not";
		return err == ERR_NOT_FOUND ? ERR_DAMAGED : err;
	}
	l->what = "its envelope is damaged";
	err = message_row_read(l->id, row, &head, &blocks);
	if (!err)
		err = envelope_decode(head.envelope, &envelope);
	if (!err && !id_eq(envelope->id, l->id))
		err = ERR_DAMAGED;
	if (!err)
		err = message_take(TAKE(envelope), head.prepended, &l->message);
	if (err)
		return err;
	l->what = "its content is damaged";
	return read_content(l, reading, &head, blocks);
}

static void run_load(struct read_request *request, struct reading *reading)
{
	struct load *l = CONTAINER_OF(request, struct load, request);
	AUTO(free_memory) struct queue_recipient *found = calloc(MAX(l->count, 1), sizeof(*found));
	size_t count = 0;

	l->damaged = calloc(MAX(l->count, 1), sizeof(*l->damaged));
	if (!found || !l->damaged) {
		request->err = ERR_NOMEM;
		return;
	}
	request->err = read_recipients(l, reading, found, &count);
	if (request->err)
		return;
	if (count == 0) {
		request->err = l->damaged_count ? ERR_DAMAGED : ERR_NOT_FOUND;
		return;
	}
	request->err = read_message(l, reading);
	/* What a later version wrote is not damaged, but not to be sent by this one either. */
	l->whole_damaged = request->err == ERR_DAMAGED || request->err == ERR_UNSUPPORTED;
	if (request->err)
		return;
	for (size_t i = 0; i < count; i++) {
		if (found[i].n >= l->message->envelope->recipient_count)
			l->whole_damaged = true;
	}
	if (l->whole_damaged)
		request->err = ERR_DAMAGED;
	else
		l->work = work_new(l->id, text_of(l->key, l->key_len), found, count,
		                   sender_hash(l->message->envelope), NULL);
	if (!request->err && !l->work)
		request->err = ERR_NOMEM;
}

/* ---------------------------------------------------------------- on the loop */

static void tell_damaged(void *owner, enum err err)
{
	struct load *l = owner;
	struct queue *q = l->queue;

	(void)err; /* set aside or not: it is not to be sent */
	if (!q->closing)
		l->on_loaded(l->owner, ERR_DAMAGED, NULL);
	load_free(q, l);
}

static void load_done(struct queue *q, struct read_request *request)
{
	struct load *l = CONTAINER_OF(request, struct load, request);

	if (q->closing) {
		load_free(q, l);
		return;
	}
	if (l->message && l->message->content)
		body_memory_force(q, l->message->content_room);
	if (l->whole_damaged) {
		aside_submit(q, l->id, 0, true, l->what, tell_damaged, l);
		return;
	}
	bool told = false;

	for (size_t i = 0; i < l->damaged_count && !q->closing; i++) {
		/* The last of them answers, if there is nothing else to answer with. */
		bool answers = request->err == ERR_DAMAGED && i + 1 == l->damaged_count;

		aside_submit(q, l->id, l->damaged[i], false, "its record is damaged",
		             answers ? tell_damaged : NULL, l);
		told = told || answers;
	}
	if (told)
		return;
	struct queue_work *work = TAKE(l->work);

	if (work) {
		message_was_stored(q, l->message);
		work->message = &TAKE(l->message)->public;
	}
	l->on_loaded(l->owner, request->err, work);
	load_free(q, l);
}

void queue_load(struct queue *q, struct id id, struct text key, const uint32_t *ns, size_t count,
                queue_loaded_fn *on_loaded, void *owner)
{
	struct load *l = calloc(1, sizeof(*l) + count * sizeof(l->ns[0]));

	if (l)
		l->key = text_dup(key);
	if (!l || !l->key) {
		free(l);
		queue_answer_later(
			q, &(struct answer){ .on_loaded = on_loaded, .owner = owner, .err = ERR_NOMEM });
		return;
	}
	l->queue = q;
	l->request.run = run_load;
	l->request.done = load_done;
	l->id = id;
	l->key_len = key.len;
	l->on_loaded = on_loaded;
	l->owner = owner;
	l->count = count;
	l->what = "";
	memcpy(l->ns, ns, count * sizeof(ns[0]));
	reader_add(q, &l->request);
}
