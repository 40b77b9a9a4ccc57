/* Entries that are decided by their settle: nothing of them is on disk, and the client waits for what the next hop says.
 *
 *   WAITING -> told      all recipients are settled, and one answer can say it
 *   WAITING -> SYNCING -> STORING -> told
 *                        a recipient is deferred (or the budget ends) and the mode, or the difference between recipients,
 *                        asks for the disk: what is not settled for good goes to the writer, with the reports so far
 *   WAITING -> REPORTING -> told
 *                        some are delivered, the others refused: their reports go to the disk first
 *   any but REPORTING -> DEAD
 *                        there is no place on disk, or no time: the client keeps it. What has not begun is called off, and
 *                        settles that come later change nothing; the entry stays until they have come
 *
 * One answer covers all recipients. When some are delivered the client must not send again, so the others are stored, or
 * get the reports that their settles brought; when none is, the client is told, and nobody else. */
#include "through.h"

#include <stdlib.h>

static struct through *find(struct queue *q, struct id id)
{
	struct map_item *found = q->volatiles.count ? map_find(&q->volatiles, id_key(&id)) : NULL;

	return found ? CONTAINER_OF(found, struct through, item) : NULL;
}

bool through_has(struct queue *q, struct id id)
{
	return find(q, id) != NULL;
}

bool queue_has_client(const struct queue *q, struct id id)
{
	struct map_item *found = q->volatiles.count ? map_find(&q->volatiles, id_key(&id)) : NULL;

	return found && CONTAINER_OF(found, struct through, item)->phase != PHASE_STORING;
}

struct op *through_take_late(struct through *t)
{
	struct list *first = list_shift(&t->late);

	return first ? LIST_ITEM(first, struct op, link) : NULL;
}

void through_note_verdict(struct through *t, enum queue_verdict verdict, const struct queue_recipient *r)
{
	struct through_settled *to = r->n < t->count ? &t->settled[r->n] : NULL;

	if (!to || to->is)
		return;
	to->is = true;
	t->open--;
	t->outcomes[r->n] = (struct queue_outcome){
		.verdict = verdict,
		.recipient = { .n = r->n,
		               .unknown_outcome = r->unknown_outcome,
		               .reply = TEXT_EMPTY,
		               .remote = TEXT_EMPTY,
		               .key = TEXT_EMPTY },
		.enhanced = TEXT_EMPTY,
	};
}

void through_free(struct through *t)
{
	struct queue *q = t->queue;
	struct op *late;

	io_timer_stop(q->io, &t->budget);
	io_later_cancel(q->io, &t->later);
	io_later_cancel(q->io, &t->hurry);
	map_remove(&q->volatiles, &t->item);
	newcomers_free(q, &t->notices, &t->notice_count);
	while ((late = through_take_late(t)))
		settle_free(q, CONTAINER_OF(late, struct settle_op, op));
	for (size_t i = 0; i < t->count; i++)
		free(t->settled[i].copy);
	if (t->ticket)
		t->ticket->through = NULL;
	free(t->outcomes);
	free(t->unsure);
	free(t);
}

/* Its file goes too: the entry is not on disk. */
void through_drop_ticket(struct through *t)
{
	struct queue_ticket *ticket = TAKE(t->ticket);

	if (!ticket)
		return;
	ticket_remove_file(ticket);
	ticket_free(ticket);
}

/* ---------------------------------------------------------------- told */

/* Those that are not settled yet. */
static void describe_open(struct through *t)
{
	for (size_t i = 0; i < t->count; i++) {
		if (!t->settled[i].is)
			t->outcomes[i] = (struct queue_outcome){
				.verdict = QUEUE_DEFERRED,
				.recipient = { .n = (uint32_t)i,
				               .reply = TEXT_EMPTY,
				               .remote = TEXT_EMPTY,
				               .key = TEXT_EMPTY },
				.enhanced = TEXT_EMPTY,
			};
		if (t->unsure[i])
			t->outcomes[i].recipient.unknown_outcome = true;
	}
}

void through_tell(struct through *t, struct queue_ticket *ticket, enum err err, bool stored)
{
	describe_open(t);
	ticket_decide(ticket, &(struct queue_decision){ .err = err,
	                                                .stored = stored,
	                                                .outcomes = t->outcomes,
	                                                .outcome_count = t->count });
}

static void tell_settled(struct through *t)
{
	through_tell(t, t->ticket, ERR_OK, false);
	through_drop_ticket(t);
	through_free(t);
}

/* ---------------------------------------------------------------- the client keeps it */

/* Recipients under one key mostly stand together: one call for them. */
static void call_off(struct through *t, const struct newcomer *in)
{
	struct queue *q = t->queue;
	struct text called = TEXT_EMPTY;

	if (!q->events || !q->events->on_call_off || q->closing)
		return;
	for (size_t i = 0; i < in->recipient_count; i++) {
		const struct queue_recipient *r = &in->recipients[i];

		if (t->settled[r->n].is || text_eq(r->key, called))
			continue;
		called = r->key;
		q->events->on_call_off(q->events_owner, t->id, called, t->unsure);
	}
}

static void consider(void *owner);

/* Settles of this entry change nothing from here on; it goes when all have come. */
void through_die(struct through *t, struct queue_ticket *ticket, enum err err)
{
	t->phase = PHASE_DEAD;
	io_timer_stop(t->queue->io, &t->budget);
	call_off(t, &ticket->accept.in);
	through_tell(t, ticket, err, false);
	newcomers_free(t->queue, &t->notices, &t->notice_count);
	io_later_run(t->queue->io, &t->later, consider, t);
}

void through_give_up(struct through *t, enum err err)
{
	through_die(t, t->ticket, err);
	through_drop_ticket(t);
}

static void on_reports_stored(void *owner, enum err err)
{
	struct through *t = owner;

	/* With an error some are delivered and the others' reports have no place: the lesser harm is that the client
	 * sends again. */
	through_tell(t, t->ticket, err, false);
	through_drop_ticket(t);
	through_free(t);
}

struct through_tally through_tally(const struct through *t)
{
	struct through_tally sum = { 0 };

	for (size_t i = 0; i < t->count; i++) {
		if (!t->settled[i].is)
			continue;
		switch (t->outcomes[i].verdict) {
		case QUEUE_DELIVERED:
		case QUEUE_DROPPED:
			sum.taken++;
			break;
		case QUEUE_BOUNCED:
		case QUEUE_EXPIRED:
			sum.refused++;
			break;
		case QUEUE_DEFERRED:
			sum.deferred++;
			break;
		case QUEUE_ON_HOLD:
			sum.held++;
			break;
		}
	}
	return sum;
}

/* ---------------------------------------------------------------- deciding */

static bool may_store(const struct through *t)
{
	return t->ticket->mode == QUEUE_THROUGH_OR_STORE;
}

static void report(struct through *t)
{
	t->phase = PHASE_REPORTING;
	io_timer_stop(t->queue->io, &t->budget);
	settle_submit_notices(t->queue, t->id, &t->notices, &t->notice_count, on_reports_stored, t);
}

void through_consider(struct through *t)
{
	struct through_tally sum = through_tally(t);

	if (t->phase != PHASE_WAITING) {
		if (t->phase == PHASE_DEAD && t->open == 0)
			through_free(t);
		return;
	}
	if (sum.held > 0 || (sum.deferred > 0 && may_store(t)))
		through_store(t);
	else if (t->open > 0)
		return;
	else if (sum.deferred > 0 && sum.taken > 0)
		through_store(t);
	else if (sum.taken > 0 && t->notice_count > 0)
		report(t);
	else
		tell_settled(t);
}

static void consider(void *owner)
{
	through_consider(owner);
}

static void end_budget(struct through *t, enum err why)
{
	if (t->phase != PHASE_WAITING)
		return;
	if (may_store(t) || through_tally(t).taken > 0)
		through_store(t);
	else
		through_give_up(t, why);
}

static void on_budget(void *owner)
{
	end_budget(owner, ERR_TIMEOUT);
}

static void on_hurry(void *owner)
{
	end_budget(owner, ERR_CANCELLED);
}

/* One that has not begun sees for itself. */
void through_hurry(struct through *t)
{
	if (t->announced)
		io_later_run(t->queue->io, &t->hurry, on_hurry, t);
}

static enum err note_outcomes(struct through *t, const struct queue_settlement *s)
{
	for (size_t i = 0; i < s->outcome_count; i++) {
		const struct queue_outcome *o = &s->outcomes[i];
		uint32_t n = o->recipient.n;

		if (n >= t->count || t->settled[n].is)
			continue;
		struct through_settled *to = &t->settled[n];

		to->copy = recipients_copy(&o->recipient, 1);
		if (!to->copy)
			return ERR_NOMEM;
		through_note_verdict(t, o->verdict, to->copy);
		t->outcomes[n].recipient = *to->copy;
		t->outcomes[n].code = o->code;
		size_t len = MIN(o->enhanced.len, sizeof(to->enhanced));

		if (len)
			memcpy(to->enhanced, o->enhanced.at, len);
		t->outcomes[n].enhanced = text_of(to->enhanced, len);
	}
	return ERR_OK;
}

static void settle_behind(struct through *t, const struct queue_settlement *s, queue_settled_fn *on_settled,
                          void *owner)
{
	struct settle_op *op = settle_make(t->queue, s, on_settled, owner);

	if (op)
		list_append(&t->late, &op->op.link);
}

bool through_settle(struct queue *q, const struct queue_settlement *s, queue_settled_fn *on_settled,
                    void *owner)
{
	struct through *t = find(q, s->id);

	if (!t)
		return false;
	if (t->phase == PHASE_STORING) {
		settle_behind(t, s, on_settled, owner);
		return true;
	}
	enum err err = note_outcomes(t, s);

	if (!err && t->phase != PHASE_DEAD)
		err = notices_add(q, &t->notices, &t->notice_count, s);
	queue_tell_later(q, on_settled, owner, err);
	io_later_run(q->io, &t->later, consider, t);
	return true;
}

void through_left(struct queue *q, struct id id, const struct queue_recipient *r, size_t count)
{
	struct through *t = find(q, id);

	for (size_t i = 0; t && i < count; i++) {
		struct queue_outcome o = { .verdict = QUEUE_DEFERRED,
			                   .recipient = r[i],
			                   .enhanced = TEXT_EMPTY };
		enum err err =
			note_outcomes(t, &(struct queue_settlement){ .outcomes = &o, .outcome_count = 1 });

		(void)err; /* without memory it stays open until the budget ends */
	}
	if (t)
		io_later_run(q->io, &t->later, consider, t);
}

/* ---------------------------------------------------------------- beginning and end */

static void begin(void *owner)
{
	struct through *t = owner;
	struct queue *q = t->queue;
	int64_t budget_ms = t->ticket->budget_ms;

	if (t->ticket->hurry) {
		t->ticket->unannounced = true;
		end_budget(t, ERR_CANCELLED);
	} else if (budget_ms > 0 &&
	           io_timer_start(q->io, &t->budget, io_now_at(q->io) + budget_ms, on_budget, t)) {
		t->ticket->unannounced = true;
		end_budget(t, ERR_NOMEM);
	} else {
		t->announced = true;
		t->ticket->accept.in.until_at = budget_ms > 0 ? io_now_at(q->io) + budget_ms : 0;
		newcomer_announce(q, &t->ticket->accept.in);
	}
}

static void begin_storing(void *owner)
{
	struct through *t = owner;

	t->ticket->unannounced = true;
	through_store(t);
}

/* A recipient that begins held waits for a person, one that is released later for its time: no client waits so long. */
static bool any_waits(const struct newcomer *in)
{
	for (size_t i = 0; i < in->recipient_count; i++) {
		if (in->recipients[i].state != QUEUE_CLAIMED)
			return true;
	}
	return false;
}

static struct through *through_new(struct queue *q, const struct newcomer *in)
{
	size_t count = in->recipient_count;
	struct through *t = calloc(1, sizeof(*t) + count * sizeof(t->settled[0]));

	if (!t)
		return NULL;
	t->outcomes = calloc(MAX(count, 1), sizeof(*t->outcomes));
	t->unsure = calloc(MAX(count, 1), sizeof(*t->unsure));
	t->id = in->message->envelope->id;
	t->item.key = id_key(&t->id);
	if (!t->outcomes || !t->unsure || map_add(&q->volatiles, &t->item, t->item.key)) {
		free(t->outcomes);
		free(t->unsure);
		free(t);
		return NULL;
	}
	t->queue = q;
	t->count = t->open = count;
	list_init(&t->late);
	return t;
}

void through_begin(struct queue_ticket *ticket)
{
	struct queue *q = ticket->queue;
	struct through *t;

	if (q->closing) {
		ticket_refuse(ticket, ERR_CANCELLED);
		return;
	}
	t = through_new(q, &ticket->accept.in);
	if (!t) {
		ticket_refuse(ticket, ERR_NOMEM);
		return;
	}
	t->ticket = ticket;
	ticket->through = t;
	io_later_run(q->io, &t->later, any_waits(&ticket->accept.in) ? begin_storing : begin, t);
}

void through_stop_all(struct queue *q)
{
	struct map_item *next;

	for (struct map_item *it = map_next(&q->volatiles, NULL); it; it = next) {
		struct through *t = CONTAINER_OF(it, struct through, item);

		next = map_next(&q->volatiles, it);
		if (t->phase != PHASE_WAITING && t->phase != PHASE_DEAD)
			continue; /* a job or an operation still has it */
		through_drop_ticket(t);
		through_free(t);
	}
}
