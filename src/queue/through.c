/* Entries that are decided by their settle: nothing of them is on disk, and the client waits for what the next hop says.
 *
 *   waiting -> told      all recipients are settled, and one answer can say it
 *   waiting -> storing   a recipient is deferred (or the budget ends) and the mode, or the difference between recipients,
 *                        asks for the disk: what is not settled for good goes to the writer, with the notices so far
 *   waiting -> dead      the budget ended without a place on disk: the client keeps it; later settles change nothing
 *
 * One answer covers all recipients. When some are delivered the client must not send again, so the others are stored, or
 * get the reports that their settles brought; when none is, the client is told, and nobody else. */
#include "internal.h"

#include <stdlib.h>

enum phase { PHASE_WAITING, PHASE_STORING, PHASE_DEAD };

struct settled {
	bool is;
	enum queue_verdict verdict;
	struct queue_recipient *recipient; /* a copy */
};

struct through {
	struct map_item item;
	struct id id;
	struct queue *queue;
	struct queue_ticket *ticket; /* NULL: dead */
	enum phase phase;
	struct io_timer budget;
	struct io_later later;
	struct io_job sync_job; /* of its file, before it is stored */
	enum err sync_err;
	struct newcomer *notices;
	size_t notice_count;
	size_t count, open; /* recipients; those not settled yet */
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

static void through_free(struct through *t)
{
	struct queue *q = t->queue;

	io_timer_stop(q->io, &t->budget);
	io_later_cancel(q->io, &t->later);
	map_remove(&q->volatiles, &t->item);
	newcomers_free(q, &t->notices, &t->notice_count);
	for (size_t i = 0; i < t->count; i++)
		free(t->settled[i].recipient);
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

static void tell(struct through *t)
{
	AUTO(free_memory) struct queue_outcome *outcomes = calloc(t->count, sizeof(*outcomes));
	struct queue_decision decision = { .err = outcomes ? ERR_OK : ERR_NOMEM,
		                           .outcome_count = outcomes ? t->count : 0 };

	for (size_t i = 0; outcomes && i < t->count; i++) {
		outcomes[i].verdict = t->settled[i].verdict;
		outcomes[i].recipient = *t->settled[i].recipient;
	}
	decision.outcomes = outcomes;
	ticket_decide(t->ticket, &decision);
	drop_ticket(t);
	through_free(t);
}

static void on_reports_stored(void *owner, enum err err)
{
	struct through *t = owner;

	if (!err) {
		tell(t);
		return;
	}
	/* Some are delivered and the others' reports have no place: the lesser harm is that the client sends
	 * again. */
	ticket_decide(t->ticket, &(struct queue_decision){ .err = err });
	drop_ticket(t);
	through_free(t);
}

/* ---------------------------------------------------------------- storing */

static void consider(void *owner);

/* What accept.c knows as recipients becomes what is left of them, in the state they are in now. */
static enum err keep_the_rest(struct through *t)
{
	struct newcomer *in = &t->ticket->accept.in;
	AUTO(free_memory) struct queue_recipient *rest = calloc(t->count, sizeof(*rest));
	size_t n = 0;

	if (!rest)
		return ERR_NOMEM;
	for (size_t i = 0; i < t->count; i++) {
		const struct settled *s = &t->settled[i];

		if (s->is && is_final(s->verdict))
			continue;
		rest[n] = s->is ? *s->recipient : in->recipients[i];
		if (s->is)
			rest[n].state = s->verdict == QUEUE_ON_HOLD ? QUEUE_HELD : QUEUE_WAITING;
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

static void decide_rest(struct queue *q, struct op *op)
{
	struct queue_ticket *ticket = ticket_of(op);

	ticket_give_space(ticket);
	if (!op->err)
		message_was_stored(q, ticket->accept.in.message);
	ticket_decide(ticket, &(struct queue_decision){ .err = op->err, .stored = !op->err });
}

/* Those that are under way stay with whoever took them; the others are news. An entry that was never
 * announced is. */
static void announce_rest(struct queue *q, struct op *op)
{
	struct queue_ticket *ticket = ticket_of(op);
	struct newcomer *in = &ticket->accept.in;

	for (size_t i = 0; i < in->recipient_count && !op->err && !ticket->unannounced; i++) {
		if (in->recipients[i].state == QUEUE_WAITING)
			announce_due(q, &(enum queue_verdict){ QUEUE_DEFERRED }, &in->recipients[i], 1);
	}
	if (!op->err && ticket->unannounced)
		newcomer_announce(q, in);
	for (size_t i = 0; i < ticket->accept.notice_count && !op->err; i++) {
		message_was_stored(q, ticket->accept.notices[i].message);
		newcomer_announce(q, &ticket->accept.notices[i]);
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
		ticket_decide(ticket, &(struct queue_decision){ .err = err });
		drop_ticket(t);
		through_free(t);
		return;
	}
	ticket->accept.notices = TAKE(t->notices);
	ticket->accept.notice_count = t->notice_count;
	t->notice_count = 0;
	ticket_store(ticket, decide_rest, announce_rest);
	t->ticket = NULL;
	through_free(t);
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

static void store(struct through *t)
{
	if (t->phase != PHASE_WAITING)
		return;
	t->phase = PHASE_STORING;
	io_timer_stop(t->queue->io, &t->budget);
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

struct tally {
	size_t delivered, refused, deferred;
};

static struct tally tally(const struct through *t)
{
	struct tally sum = { 0 };

	for (size_t i = 0; i < t->count; i++) {
		if (!t->settled[i].is)
			continue;
		if (t->settled[i].verdict == QUEUE_DELIVERED)
			sum.delivered++;
		else if (is_final(t->settled[i].verdict))
			sum.refused++;
		else
			sum.deferred++;
	}
	return sum;
}

static void consider(void *owner)
{
	struct through *t = owner;
	struct tally sum = tally(t);

	if (t->phase == PHASE_DEAD) {
		if (t->open == 0)
			through_free(t);
		return;
	}
	if (t->phase != PHASE_WAITING)
		return;
	if (sum.deferred > 0 && t->ticket->mode == QUEUE_THROUGH_OR_STORE) {
		store(t);
	} else if (t->open > 0) {
		return;
	} else if (sum.deferred > 0 && sum.delivered > 0) {
		store(t);
	} else if (sum.delivered > 0 && t->notice_count > 0) {
		t->phase = PHASE_STORING;
		io_timer_stop(t->queue->io, &t->budget);
		settle_submit_notices(t->queue, t->id, &t->notices, &t->notice_count, on_reports_stored, t);
	} else {
		tell(t);
	}
}

static void on_budget(void *owner)
{
	struct through *t = owner;

	if (t->ticket->mode == QUEUE_THROUGH_OR_STORE || tally(t).delivered > 0) {
		store(t);
		return;
	}
	t->phase = PHASE_DEAD;
	ticket_decide(t->ticket, &(struct queue_decision){ .err = ERR_TIMEOUT });
	drop_ticket(t);
	newcomers_free(t->queue, &t->notices, &t->notice_count);
	io_later_run(t->queue->io, &t->later, consider, t);
}

static enum err note_outcomes(struct through *t, const struct queue_settlement *s)
{
	for (size_t i = 0; i < s->outcome_count; i++) {
		const struct queue_outcome *o = &s->outcomes[i];

		if (o->recipient.n >= t->count || t->settled[o->recipient.n].is)
			continue;
		struct settled *to = &t->settled[o->recipient.n];

		to->recipient = recipients_copy(&o->recipient, 1);
		if (!to->recipient)
			return ERR_NOMEM;
		to->is = true;
		to->verdict = o->verdict;
		t->open--;
	}
	return ERR_OK;
}

bool through_settle(struct queue *q, const struct queue_settlement *s, queue_settled_fn *on_settled,
                    void *owner)
{
	struct through *t = find(q, s->id);

	if (!t)
		return false;
	enum err err = note_outcomes(t, s);

	if (!err && t->phase != PHASE_DEAD)
		err = notices_add(q, &t->notices, &t->notice_count, s->notices, s->notice_count);
	queue_tell_later(q, on_settled, owner, err);
	io_later_run(q->io, &t->later, consider, t);
	return true;
}

void through_left(struct queue *q, struct id id, const struct queue_recipient *r, size_t count)
{
	struct through *t = find(q, id);

	for (size_t i = 0; t && i < count; i++) {
		struct queue_outcome o = { .verdict = QUEUE_DEFERRED, .recipient = r[i] };
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

	if (t->ticket->budget_ms > 0 &&
	    io_timer_start(q->io, &t->budget, io_now_at(q->io) + t->ticket->budget_ms, on_budget, t)) {
		on_budget(t);
		return;
	}
	newcomer_announce(q, &t->ticket->accept.in);
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

void through_begin(struct queue_ticket *ticket)
{
	struct queue *q = ticket->queue;
	size_t count = ticket->accept.in.recipient_count;
	struct through *t = calloc(1, sizeof(*t) + count * sizeof(t->settled[0]));

	if (q->closing) {
		free(t);
		ticket_refuse(ticket, ERR_CANCELLED);
		return;
	}
	if (!t || map_add(&q->volatiles, &t->item, id_key(&ticket->accept.in.message->envelope->id))) {
		free(t);
		ticket_refuse(ticket, ERR_NOMEM);
		return;
	}
	t->id = ticket->accept.in.message->envelope->id;
	t->item.key = id_key(&t->id);
	t->queue = q;
	t->ticket = ticket;
	t->count = t->open = count;
	if (any_waits(&ticket->accept.in)) {
		io_later_run(q->io, &t->later, begin_storing, t);
	} else {
		io_later_run(q->io, &t->later, begin, t);
	}
}

void through_stop_all(struct queue *q)
{
	struct map_item *next;

	for (struct map_item *it = map_next(&q->volatiles, NULL); it; it = next) {
		struct through *t = CONTAINER_OF(it, struct through, item);

		next = map_next(&q->volatiles, it);
		if (t->phase == PHASE_STORING)
			continue; /* a job or an operation still has it */
		drop_ticket(t);
		through_free(t);
	}
}
