/* From a draft to an operation, and from its commit to on_decided and on_fresh. */
#include "internal.h"

#include <stdlib.h>

#include <postrider/mail/sender.h>

/* ---------------------------------------------------------------- newcomers */

void newcomer_fini(struct queue *q, struct newcomer *in)
{
	message_unref(q, &in->message);
	free(in->recipients);
	*in = (struct newcomer){ 0 };
}

static enum err begin_recipients(const struct envelope *envelope, const struct text *keys, const bool *held,
                                 const enum config_class *classes, int64_t now_time,
                                 struct queue_recipient **out)
{
	size_t count = envelope->recipient_count;
	bool later = envelope->release_time > now_time; /* nobody sees it before (RFC 4865) */
	AUTO(free_memory) struct queue_recipient *begin = calloc(MAX(count, 1), sizeof(*begin));

	if (!begin)
		return ERR_NOMEM;
	for (size_t i = 0; i < count; i++) {
		if (!delivery_key_is_good(keys[i]))
			return ERR_SYNTAX;
		begin[i] = (struct queue_recipient){
			.n = (uint32_t)i,
			.state = held && held[i] ? QUEUE_HELD : later ? QUEUE_WAITING : QUEUE_CLAIMED,
			.due_time = later ? envelope->release_time : now_time,
			.reply = TEXT_EMPTY,
			.remote = TEXT_EMPTY,
			.key = keys[i],
			.class = classes ? classes[i] : CONFIG_CLASS_NORMAL,
		};
	}
	*out = recipients_copy(begin, count);
	return *out ? ERR_OK : ERR_NOMEM;
}

enum err newcomer_init(struct newcomer *in, struct message *message, const struct text *keys,
                       const bool *held, const enum config_class *classes, int64_t now_time)
{
	const struct envelope *e = message->envelope;
	enum err err = begin_recipients(e, keys, held, classes, now_time, &in->recipients);

	if (err)
		return err;
	in->message = message;
	in->recipient_count = e->recipient_count;
	in->sender = sender_hash(e);
	return ERR_OK;
}

size_t newcomer_bytes(const struct newcomer *in)
{
	const struct message *m = in->message;

	/* About what the rows take besides the body; pages are rarely full. */
	return 600 + m->public.prepended.len + in->recipient_count * 400 +
	       (m->in_file ? 0 : m->public.content.len * 5 / 4);
}

static int by_key(const void *a, const void *b)
{
	const struct queue_recipient *const *left = a, *const *right = b;
	int order = text_compare((*left)->key, (*right)->key);

	return order ? order : ((*left)->n > (*right)->n) - ((*left)->n < (*right)->n);
}

/* Nobody took it: the claim that it was written with is taken back. */
static void release(struct queue *q, struct id id, const struct queue_recipient *r, size_t count)
{
	AUTO(free_memory) uint32_t *ns = calloc(count, sizeof(*ns));

	if (!ns)
		return; /* as in queue_release */
	for (size_t i = 0; i < count; i++)
		ns[i] = r[i].n;
	queue_release(q, id, ns, count);
}

/* One delivery key's recipients, which stand together. */
static void announce_key(struct queue *q, const struct newcomer *in, const struct queue_recipient *r,
                         size_t count)
{
	struct id id = in->message->envelope->id;
	struct queue_work *work = NULL;

	if (q->events && q->events->on_fresh && !q->closing)
		work = work_new(id, r[0].key, r, count, in->sender, in->message);
	if (work) {
		work->through = !in->message->stored;
		work->through_until_at = in->until_at;
		work->about = in->about;
		queue_message_ref(work->message);
		q->events->on_fresh(q->events_owner, &work);
		if (!work)
			return;
	}
	queue_work_free(q, &work);
	if (in->message->stored)
		release(q, id, r, count);
	else
		through_left(q, id, r, count);
}

static void announce_many(struct queue *q, const struct newcomer *in)
{
	AUTO(free_memory)
	const struct queue_recipient **order = calloc(in->recipient_count, sizeof(const void *));
	AUTO(free_memory) struct queue_recipient *group = calloc(in->recipient_count, sizeof(*group));
	size_t n = 0, from = 0;

	if (!order || !group)
		return; /* found again by a scan, at the latest after the next start */
	for (size_t i = 0; i < in->recipient_count; i++) {
		if (in->recipients[i].state == QUEUE_CLAIMED)
			order[n++] = &in->recipients[i];
	}
	qsort(order, n, sizeof(const void *), by_key);
	for (size_t i = 0; i < n; i++) {
		group[i - from] = *order[i];
		if (i + 1 < n && text_eq(order[i + 1]->key, order[from]->key))
			continue;
		announce_key(q, in, group, i + 1 - from);
		from = i + 1;
	}
}

/* One that is released later: only when, once for each key. */
static void announce_release(struct queue *q, const struct newcomer *in)
{
	for (size_t i = 0; i < in->recipient_count; i++) {
		const struct queue_recipient *r = &in->recipients[i];
		size_t named = 0;

		if (r->state != QUEUE_WAITING)
			continue;
		while (named < i && (in->recipients[named].state != QUEUE_WAITING ||
		                     !text_eq(in->recipients[named].key, r->key)))
			named++;
		if (named == i)
			announce_due(q, &(enum queue_verdict){ QUEUE_DEFERRED }, r, 1);
	}
}

void newcomer_announce(struct queue *q, struct newcomer *in)
{
	announce_release(q, in);
	if (in->recipient_count == 1) {
		if (in->recipients[0].state == QUEUE_CLAIMED)
			announce_key(q, in, in->recipients, 1);
	} else if (in->recipient_count > 1) {
		announce_many(q, in);
	}
}

/* ---------------------------------------------------------------- tickets */

void ticket_decide(struct queue_ticket *t, const struct queue_decision *decision)
{
	struct queue_decision told = *decision;
	queue_decided_fn *on_decided = t->on_decided;

	told.disk_ms = (int32_t)MIN((io_clock_us(t->queue->io) - t->began_us) / 1000, INT32_MAX);
	t->on_decided = NULL;
	if (on_decided && !t->queue->closing)
		on_decided(t->owner, &told);
}

void ticket_free(struct queue_ticket *t)
{
	newcomer_fini(t->queue, &t->accept.in);
	newcomers_free(t->queue, &t->accept.notices, &t->accept.notice_count);
	free(t);
}

void queue_accept_forget(struct queue_ticket *ticket)
{
	ticket->on_decided = NULL;
}

void queue_accept_hurry(struct queue_ticket *ticket)
{
	ticket->hurry = true;
	if (ticket->through)
		through_hurry(ticket->through);
}

static struct queue_ticket *ticket_of(struct op *op)
{
	return CONTAINER_OF(CONTAINER_OF(op, struct accept_op, op), struct queue_ticket, accept);
}

static uint64_t file_bytes_of(const struct queue_ticket *t)
{
	const struct message *m = t->accept.in.message;

	return m->in_file ? m->public.content_bytes : 0;
}

void ticket_give_space(struct queue_ticket *t)
{
	space_give(t->queue, t->accept.op.weight_bytes);
	space_give_file(t->queue, file_bytes_of(t));
}

void ticket_remove_file(struct queue_ticket *t)
{
	const struct message *m = t->accept.in.message;
	struct file_list files = { 0 };

	/* What cannot be listed for want of memory is the next sweep's. */
	if (m && m->in_file && file_list_add(&files, m->file) == ERR_OK)
		queue_remove_files(t->queue, &files);
}

/* After a broken commit nobody knows whether the record is on disk: then its file is the next start's to
 * judge. */
void ticket_stored_or_not(struct queue_ticket *t)
{
	if (t->accept.op.err && t->accept.op.err != ERR_IO)
		ticket_remove_file(t);
}

static void decide_stored(struct queue *q, struct op *op)
{
	struct queue_ticket *t = ticket_of(op);

	ticket_give_space(t);
	if (!op->err)
		message_was_stored(q, t->accept.in.message);
	ticket_decide(t, &(struct queue_decision){ .err = op->err, .stored = !op->err });
}

static void announce_stored(struct queue *q, struct op *op)
{
	struct queue_ticket *t = ticket_of(op);

	ticket_stored_or_not(t);
	if (!op->err)
		newcomer_announce(q, &t->accept.in);
	ticket_free(t);
}

void ticket_store(struct queue_ticket *t, void (*decide)(struct queue *q, struct op *op),
                  void (*announce)(struct queue *q, struct op *op))
{
	t->accept.op.kind = OP_ACCEPT;
	t->accept.op.weight_bytes = newcomer_bytes(&t->accept.in);
	t->accept.op.decide = decide;
	t->accept.op.announce = announce;
	space_take(t->queue, t->accept.op.weight_bytes);
	space_take_file(t->queue, file_bytes_of(t), false);
	writer_add(t->queue, &t->accept.op);
}

static void refuse(void *owner)
{
	struct queue_ticket *t = owner;
	struct queue *q = t->queue;

	ticket_decide(t, &(struct queue_decision){ .err = t->early });
	ticket_remove_file(t);
	ticket_free(t);
	queue_job_ended(q);
}

void ticket_refuse(struct queue_ticket *t, enum err err)
{
	t->early = err;
	queue_job_begun(t->queue);
	io_later_run(t->queue->io, &t->later, refuse, t);
}

static void on_draft_finished(void *owner, enum err err)
{
	struct queue_ticket *t = owner;
	struct queue *q = t->queue;

	if (err) {
		ticket_decide(t, &(struct queue_decision){ .err = err });
		ticket_free(t);
	} else if (t->mode == QUEUE_STORE) {
		ticket_store(t, decide_stored, announce_stored);
	} else {
		through_begin(t);
	}
	queue_job_ended(q);
}

struct queue_ticket *queue_accept(struct queue *q, struct queue_draft **draft,
                                  const struct queue_submission *s, queue_decided_fn *on_decided, void *owner)
{
	struct queue_draft *d = TAKE(*draft);
	struct queue_ticket *t = draft_take_ticket(d);
	struct message *m = NULL;

	t->queue = q;
	t->on_decided = on_decided;
	t->owner = owner;
	t->mode = s->mode == QUEUE_THROUGH_OR_STORE && !q->shared.options.durable ? QUEUE_THROUGH : s->mode;
	t->budget_ms = s->budget_ms;
	t->began_us = io_clock_us(q->io);
	enum err err = message_new(s->envelope, s->prepended, &m);

	if (!err)
		err = newcomer_init(&t->accept.in, m, s->keys, s->held, s->classes, io_now_time(q->io));
	for (size_t i = 0; i < t->accept.in.recipient_count && s->strict; i++)
		t->accept.in.recipients[i].unclaimed = s->strict[i];
	if (err)
		message_unref(q, &m);
	if (!err && s->mode == QUEUE_STORE)
		err = space_admit(q, draft_memory_bytes(d));
	if (err) {
		queue_draft_abort(&d);
		ticket_refuse(t, err);
	} else {
		queue_job_begun(q);
		draft_finish(d, s->mode == QUEUE_STORE, m, on_draft_finished, t);
	}
	return t;
}
