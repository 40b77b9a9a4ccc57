/* Outcomes, notices and claims become operations; everything is copied here. */
#include "internal.h"

#include <stdlib.h>

void newcomers_free(struct queue *q, struct newcomer **list, size_t *count)
{
	for (size_t i = 0; i < *count; i++)
		newcomer_fini(q, &(*list)[i]);
	free(*list);
	*list = NULL;
	*count = 0;
}

void settle_free(struct queue *q, struct settle_op *op)
{
	newcomers_free(q, &op->notices, &op->notice_count);
	arena_fini(&op->keys);
	free(op->recipients);
	free(op->verdicts);
	free(op);
}

/* ---------------------------------------------------------------- copying */

static enum err copy_outcomes(struct settle_op *op, const struct queue_settlement *s)
{
	AUTO(free_memory)
	struct queue_recipient *recipients = calloc(MAX(s->outcome_count, 1), sizeof(*recipients));

	op->verdicts = calloc(MAX(s->outcome_count, 1), sizeof(*op->verdicts));
	if (!recipients || !op->verdicts)
		return ERR_NOMEM;
	for (size_t i = 0; i < s->outcome_count; i++) {
		op->verdicts[i] = s->outcomes[i].verdict;
		recipients[i] = s->outcomes[i].recipient;
	}
	op->count = s->outcome_count;
	op->recipients = recipients_copy(recipients, op->count);
	return op->recipients ? ERR_OK : ERR_NOMEM;
}

static enum err copy_notice(struct queue *q, const struct queue_notice *from, struct newcomer *to)
{
	struct message *m = NULL;
	char *content = text_dup(from->content);

	if (!content)
		return ERR_NOMEM;
	enum err err = message_new(from->envelope, from->prepended, &m);

	if (err) {
		free(content);
		return err;
	}
	/* Small, and what it reports must not be lost for want of budget. */
	body_memory_force(q, from->content.len);
	message_set_content(m, content, from->content.len, from->content.len);
	err = newcomer_init(to, m, from->keys, NULL, from->classes, io_now_time(q->io));
	if (err)
		message_unref(q, &m);
	return err;
}

enum err notices_add(struct queue *q, struct newcomer **list, size_t *count, const struct queue_settlement *s)
{
	enum err err = ERR_OK;

	if (s->notice_count == 0)
		return ERR_OK;
	struct newcomer *moved = realloc(*list, (*count + s->notice_count) * sizeof(*moved));

	if (!moved)
		return ERR_NOMEM;
	*list = moved;
	for (size_t i = 0; i < s->notice_count && !err; i++) {
		moved[*count] = (struct newcomer){ .about = s->id };
		err = copy_notice(q, &s->notices[i], &moved[*count]);
		*count += !err;
	}
	return err;
}

/* ---------------------------------------------------------------- afterwards */

static void decide_settled(struct queue *q, struct op *base)
{
	struct settle_op *op = CONTAINER_OF(base, struct settle_op, op);

	for (size_t i = 0; i < op->notice_count && !base->err; i++)
		message_was_stored(q, op->notices[i].message);
	if (op->on_settled && (op->ours || !q->closing))
		op->on_settled(op->owner, base->err);
}

/* Each delivery key that has something due again is named once, with the earliest time. */
void announce_due(struct queue *q, const enum queue_verdict *verdicts,
                  const struct queue_recipient *recipients, size_t count)
{
	if (!q->events || !q->events->on_due || q->closing)
		return;
	for (size_t i = 0; i < count; i++) {
		int64_t earliest = recipients[i].due_time;
		bool named = false;

		if (verdicts[i] != QUEUE_DEFERRED || recipients[i].key.len == 0)
			continue;
		for (size_t j = 0; j < count && !named; j++) {
			if (verdicts[j] != QUEUE_DEFERRED || !text_eq(recipients[j].key, recipients[i].key))
				continue;
			named = j < i;
			earliest = MIN(earliest, recipients[j].due_time);
		}
		if (!named)
			q->events->on_due(q->events_owner, recipients[i].key, earliest);
	}
}

static void announce_settled(struct queue *q, struct op *base)
{
	struct settle_op *op = CONTAINER_OF(base, struct settle_op, op);

	if (!base->err)
		announce_due(q, op->verdicts, op->recipients, op->count);
	for (size_t i = 0; i < op->notice_count && !base->err; i++)
		newcomer_announce(q, &op->notices[i]);
	settle_free(q, op);
}

/* ---------------------------------------------------------------- public */

static struct settle_op *settle_new(struct id id, queue_settled_fn *on_settled, void *owner)
{
	struct settle_op *op = calloc(1, sizeof(*op));

	if (!op)
		return NULL;
	op->op.kind = OP_SETTLE;
	arena_init(&op->keys, SIZE_MAX);
	op->op.decide = decide_settled;
	op->op.announce = announce_settled;
	op->id = id;
	op->on_settled = on_settled;
	op->owner = owner;
	return op;
}

void settle_hand_in(struct queue *q, struct settle_op *op)
{
	op->op.weight_bytes = 200 * op->count;
	/* with notices of ours a client waits for it */
	op->op.patient = !op->ours && q->shared.options.settle_wait_ms > 0;
	for (size_t i = 0; i < op->notice_count; i++)
		op->op.weight_bytes += newcomer_bytes(&op->notices[i]);
	writer_add(q, &op->op);
}

void settle_submit_notices(struct queue *q, struct id id, struct newcomer **notices, size_t *count,
                           queue_settled_fn *on_settled, void *owner)
{
	struct settle_op *op = settle_new(id, on_settled, owner);

	if (!op) {
		newcomers_free(q, notices, count);
		queue_tell_later(q, on_settled, owner, ERR_NOMEM);
		return;
	}
	op->ours = true;
	op->notices = TAKE(*notices);
	op->notice_count = *count;
	*count = 0;
	settle_hand_in(q, op);
}

struct settle_op *settle_make(struct queue *q, const struct queue_settlement *s, queue_settled_fn *on_settled,
                              void *owner)
{
	struct settle_op *op = settle_new(s->id, on_settled, owner);
	enum err err = op ? copy_outcomes(op, s) : ERR_NOMEM;

	if (!err)
		err = notices_add(q, &op->notices, &op->notice_count, s);
	if (!err)
		return op;
	if (op)
		settle_free(q, op);
	queue_tell_later(q, on_settled, owner, err);
	return NULL;
}

void settle_submit(struct queue *q, const struct queue_settlement *s, queue_settled_fn *on_settled,
                   void *owner)
{
	struct settle_op *op = settle_make(q, s, on_settled, owner);

	if (op)
		settle_hand_in(q, op);
}

void queue_settle(struct queue *q, const struct queue_settlement *s, queue_settled_fn *on_settled,
                  void *owner)
{
	if (through_settle(q, s, on_settled, owner))
		return;
	settle_submit(q, s, on_settled, owner);
}

static void decide_claimed(struct queue *q, struct op *base)
{
	struct claim_op *op = CONTAINER_OF(base, struct claim_op, op);

	if (op->on_settled && !q->closing)
		op->on_settled(op->owner, base->err);
}

void queue_claim(struct queue *q, struct id id, const uint32_t *ns, size_t count,
                 queue_settled_fn *on_settled, void *owner)
{
	struct claim_op *op;

	if (through_has(q, id)) {
		queue_tell_later(q, on_settled, owner, ERR_OK);
		return;
	}
	op = calloc(1, sizeof(*op) + count * sizeof(op->ns[0]));
	if (!op) {
		queue_tell_later(q, on_settled, owner, ERR_NOMEM);
		return;
	}
	op->op.kind = OP_CLAIM;
	op->op.decide = decide_claimed;
	op->op.weight_bytes = 100 * count;
	op->op.patient = !on_settled && q->shared.options.settle_wait_ms > 0;
	op->id = id;
	op->count = count;
	op->on_settled = on_settled;
	op->owner = owner;
	memcpy(op->ns, ns, count * sizeof(ns[0]));
	writer_add(q, &op->op);
}

static void announce_marked(struct queue *q, struct op *base)
{
	struct claim_op *op = CONTAINER_OF(base, struct claim_op, op);

	(void)q;
	free(op->remote);
	free(op);
}

void queue_mark(struct queue *q, const struct queue_mark *m, queue_settled_fn *on_marked, void *owner)
{
	struct claim_op *op;

	if (through_has(q, m->id)) {
		queue_tell_later(q, on_marked, owner, ERR_OK);
		return;
	}
	op = calloc(1, sizeof(*op) + m->count * sizeof(op->ns[0]));
	if (op)
		op->remote = text_dup(m->remote);
	if (!op || !op->remote) {
		free(op);
		queue_tell_later(q, on_marked, owner, ERR_NOMEM);
		return;
	}
	op->op.kind = OP_MARK;
	op->op.decide = decide_claimed;
	op->op.announce = announce_marked;
	op->op.weight_bytes = (200 + m->remote.len) * m->count;
	op->id = m->id;
	op->remote_len = m->remote.len;
	op->time = m->time;
	op->count = m->count;
	op->on_settled = on_marked;
	op->owner = owner;
	memcpy(op->ns, m->ns, m->count * sizeof(m->ns[0]));
	writer_add(q, &op->op);
}

void queue_release(struct queue *q, struct id id, const uint32_t *ns, size_t count)
{
	struct claim_op *op = calloc(1, sizeof(*op) + count * sizeof(op->ns[0]));

	if (!op)
		return; /* then it stays marked: at worst told as an unknown outcome after an unclean stop */
	op->op.kind = OP_RELEASE;
	op->op.lazy = true;
	op->id = id;
	op->count = count;
	memcpy(op->ns, ns, count * sizeof(ns[0]));
	writer_add(q, &op->op);
}
