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
#include "internal.h"

#include <stdlib.h>

enum phase { PHASE_WAITING, PHASE_SYNCING, PHASE_STORING, PHASE_REPORTING, PHASE_DEAD };

#define ENHANCED_BYTES 12

/* What outcomes[n] points to. */
struct settled {
	bool is;
	struct queue_recipient *copy;
	char enhanced[ENHANCED_BYTES];
};

struct through {
	struct map_item item;
	struct id id;
	struct queue *queue;
	struct queue_ticket *ticket; /* NULL: dead */
	enum phase phase;
	bool announced;
	struct io_timer budget;
	struct io_later later, hurry;
	struct io_job sync_job; /* of its file, before it is stored */
	enum err sync_err;
	struct newcomer *notices;
	size_t notice_count;
	struct list late;   /* settles that came while the writer has it: they go behind it */
	size_t count, open; /* recipients; those not settled yet */
	struct queue_outcome *outcomes;
	bool *unsure;
	struct settled settled[];
};

static bool is_final(enum queue_verdict v)
{
	return v != QUEUE_DEFERRED && v != QUEUE_ON_HOLD;
}

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

static struct op *take_late(struct through *t)
{
	struct list *first = list_shift(&t->late);

	return first ? LIST_ITEM(first, struct op, link) : NULL;
}

static void through_free(struct through *t)
{
	struct queue *q = t->queue;
	struct op *late;

	io_timer_stop(q->io, &t->budget);
	io_later_cancel(q->io, &t->later);
	io_later_cancel(q->io, &t->hurry);
	map_remove(&q->volatiles, &t->item);
	newcomers_free(q, &t->notices, &t->notice_count);
	while ((late = take_late(t)))
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
static void drop_ticket(struct through *t)
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

static void tell(struct through *t, struct queue_ticket *ticket, enum err err, bool stored)
{
	describe_open(t);
	ticket_decide(ticket, &(struct queue_decision){ .err = err,
	                                                .stored = stored,
	                                                .outcomes = t->outcomes,
	                                                .outcome_count = t->count });
}

static void tell_settled(struct through *t)
{
	tell(t, t->ticket, ERR_OK, false);
	drop_ticket(t);
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
static void die(struct through *t, struct queue_ticket *ticket, enum err err)
{
	t->phase = PHASE_DEAD;
	io_timer_stop(t->queue->io, &t->budget);
	call_off(t, &ticket->accept.in);
	tell(t, ticket, err, false);
	newcomers_free(t->queue, &t->notices, &t->notice_count);
	io_later_run(t->queue->io, &t->later, consider, t);
}

static void give_up(struct through *t, enum err err)
{
	die(t, t->ticket, err);
	drop_ticket(t);
}

static void on_reports_stored(void *owner, enum err err)
{
	struct through *t = owner;

	/* With an error some are delivered and the others' reports have no place: the lesser harm is that the client
	 * sends again. */
	tell(t, t->ticket, err, false);
	drop_ticket(t);
	through_free(t);
}

/* ---------------------------------------------------------------- storing */

/* What accept.c knows as recipients becomes what is left of them, in the state they are in now. */
static enum err keep_the_rest(struct through *t)
{
	struct newcomer *in = &t->ticket->accept.in;
	AUTO(free_memory) struct queue_recipient *rest = calloc(t->count, sizeof(*rest));
	size_t n = 0;

	if (!rest)
		return ERR_NOMEM;
	for (size_t i = 0; i < t->count; i++) {
		const struct queue_outcome *o = &t->outcomes[i];
		bool is = t->settled[i].is;

		if (is && is_final(o->verdict))
			continue;
		rest[n] = is ? o->recipient : in->recipients[i];
		if (is)
			rest[n].state = o->verdict == QUEUE_ON_HOLD ? QUEUE_HELD : QUEUE_WAITING;
		else
			rest[n].unclaimed = false; /* it is under way, and no mark was written for it */
		if (rest[n].key.len == 0)
			rest[n].key = in->recipients[i].key;
		n++;
	}
	struct queue_recipient *copy = recipients_copy(rest, n);

	if (!copy)
		return ERR_NOMEM;
	free(in->recipients);
	in->recipients = copy;
	in->recipient_count = n;
	return ERR_OK;
}

static struct queue_ticket *ticket_of(struct op *op)
{
	return CONTAINER_OF(CONTAINER_OF(op, struct accept_op, op), struct queue_ticket, accept);
}

static void note_verdict(struct through *t, enum queue_verdict verdict, const struct queue_recipient *r)
{
	struct settled *to = r->n < t->count ? &t->settled[r->n] : NULL;

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

/* It could not be stored: what was settled meanwhile counts as an outcome, and goes nowhere. */
static void take_back_late(struct through *t)
{
	struct op *late;

	while ((late = take_late(t))) {
		struct settle_op *op = CONTAINER_OF(late, struct settle_op, op);

		for (size_t i = 0; i < op->count; i++)
			note_verdict(t, op->verdicts[i], &op->recipients[i]);
		queue_tell_later(t->queue, op->on_settled, op->owner, ERR_OK);
		settle_free(t->queue, op);
	}
}

static void decide_rest(struct queue *q, struct op *op)
{
	struct queue_ticket *ticket = ticket_of(op);
	struct through *t = ticket->through;

	ticket_give_space(ticket);
	if (op->err) {
		take_back_late(t);
		die(t, ticket, op->err);
		return;
	}
	message_was_stored(q, ticket->accept.in.message);
	tell(t, ticket, ERR_OK, true);
}

/* Those that are under way stay with whoever took them; the others are news. An entry that was never
 * announced is. */
static void announce_stored(struct queue *q, struct queue_ticket *ticket)
{
	struct newcomer *in = &ticket->accept.in;

	for (size_t i = 0; i < in->recipient_count && !ticket->unannounced; i++) {
		if (in->recipients[i].state == QUEUE_WAITING)
			announce_due(q, &(enum queue_verdict){ QUEUE_DEFERRED }, &in->recipients[i], 1);
	}
	if (ticket->unannounced)
		newcomer_announce(q, in);
	for (size_t i = 0; i < ticket->accept.notice_count; i++) {
		message_was_stored(q, ticket->accept.notices[i].message);
		newcomer_announce(q, &ticket->accept.notices[i]);
	}
}

static void announce_rest(struct queue *q, struct op *op)
{
	struct queue_ticket *ticket = ticket_of(op);
	struct through *t = TAKE(ticket->through);
	struct op *late;

	if (!op->err) {
		/* from here on it is a message of the queue like any other */
		while ((late = take_late(t)))
			settle_hand_in(q, CONTAINER_OF(late, struct settle_op, op));
		through_free(t);
		announce_stored(q, ticket);
	}
	ticket_stored_or_not(ticket);
	ticket_free(ticket);
}

/* From here on the writer has it, and settles of its recipients go behind it. */
static void hand_to_writer(struct through *t)
{
	struct queue_ticket *ticket = t->ticket;
	enum err err = t->sync_err ? t->sync_err : keep_the_rest(t);

	if (!err && ticket->accept.in.recipient_count == 0) {
		t->phase = PHASE_WAITING; /* all were settled for good while the file was synced */
		consider(t);
		return;
	}
	if (err) {
		give_up(t, err);
		return;
	}
	t->phase = PHASE_STORING;
	ticket->accept.notices = TAKE(t->notices);
	ticket->accept.notice_count = t->notice_count;
	t->notice_count = 0;
	t->ticket = NULL;
	ticket_store(ticket, decide_rest, announce_rest);
}

static void run_sync(struct io_job *job)
{
	struct through *t = CONTAINER_OF(job, struct through, sync_job);
	const struct shared *s = &t->queue->shared;
	struct io_disk *disk = s->options.disk;
	struct io_file *f = NULL;
	char path[FILE_PATH_BYTES];
	enum err err = fault_at(&s->options, FAULT_FILE_SYNC);

	file_path(s, t->ticket->accept.in.message->file, path);
	if (!err)
		err = disk->ops->open(disk, path, IO_FILE_UPDATE, &f);
	if (!err && s->options.durable)
		err = disk->ops->sync(f);
	if (f)
		disk->ops->close(&f);
	if (!err)
		(void)fault_at(&s->options, FAULT_FILE_SYNCED);
	t->sync_err = err;
	if (space_is_full(s, err, 0))
		t->sync_err = ERR_FULL;
}

static void sync_done(struct io_job *job)
{
	struct through *t = CONTAINER_OF(job, struct through, sync_job);
	struct queue *q = t->queue;

	if (t->sync_err == ERR_IO)
		space_disk_failed(q);
	if (q->closing) {
		drop_ticket(t);
		through_free(t);
	} else {
		hand_to_writer(t);
	}
	queue_job_ended(q);
}

struct tally {
	size_t taken, refused, deferred, held; /* taken: delivered, or dropped by a route */
};

static struct tally tally(const struct through *t)
{
	struct tally sum = { 0 };

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

/* With some of its recipients delivered it must have a place: as a settle has. */
static enum err find_place(struct through *t)
{
	struct accept_op *op = &t->ticket->accept;
	const struct message *m = op->in.message;

	op->owed = tally(t).taken > 0;
	return op->owed ? ERR_OK : space_admit(t->queue, m->in_file ? 0 : m->public.content_bytes);
}

static void store(struct through *t)
{
	enum err err;

	if (t->phase != PHASE_WAITING)
		return;
	io_timer_stop(t->queue->io, &t->budget);
	err = find_place(t);
	if (err) {
		give_up(t, err);
		return;
	}
	t->phase = PHASE_SYNCING;
	if (!t->ticket->accept.in.message->in_file) {
		hand_to_writer(t);
		return;
	}
	t->sync_job.run = run_sync;
	t->sync_job.done = sync_done;
	queue_job_begun(t->queue);
	io_job_submit(t->queue->io, IO_LANE_DISK, &t->sync_job);
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

static void consider(void *owner)
{
	struct through *t = owner;
	struct tally sum = tally(t);

	if (t->phase != PHASE_WAITING) {
		if (t->phase == PHASE_DEAD && t->open == 0)
			through_free(t);
		return;
	}
	if (sum.held > 0 || (sum.deferred > 0 && may_store(t)))
		store(t);
	else if (t->open > 0)
		return;
	else if (sum.deferred > 0 && sum.taken > 0)
		store(t);
	else if (sum.taken > 0 && t->notice_count > 0)
		report(t);
	else
		tell_settled(t);
}

static void end_budget(struct through *t, enum err why)
{
	if (t->phase != PHASE_WAITING)
		return;
	if (may_store(t) || tally(t).taken > 0)
		store(t);
	else
		give_up(t, why);
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
		struct settled *to = &t->settled[n];

		to->copy = recipients_copy(&o->recipient, 1);
		if (!to->copy)
			return ERR_NOMEM;
		note_verdict(t, o->verdict, to->copy);
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
	store(t);
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
		drop_ticket(t);
		through_free(t);
	}
}
