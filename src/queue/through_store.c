/* A volatile entry on its way to the disk. */
#include "through.h"

#include <stdlib.h>

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

		if (is && through_is_final(o->verdict))
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

/* It could not be stored: what was settled meanwhile counts as an outcome, and goes nowhere. */
static void take_back_late(struct through *t)
{
	struct op *late;

	while ((late = through_take_late(t))) {
		struct settle_op *op = CONTAINER_OF(late, struct settle_op, op);

		for (size_t i = 0; i < op->count; i++)
			through_note_verdict(t, op->verdicts[i], &op->recipients[i]);
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
		through_die(t, ticket, op->err);
		return;
	}
	message_was_stored(q, ticket->accept.in.message);
	through_tell(t, ticket, ERR_OK, true);
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
		while ((late = through_take_late(t)))
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
		through_consider(t);
		return;
	}
	if (err) {
		through_give_up(t, err);
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
		through_drop_ticket(t);
		through_free(t);
	} else {
		hand_to_writer(t);
	}
	queue_job_ended(q);
}

/* With some of its recipients delivered it must have a place: as a settle has. */
static enum err find_place(struct through *t)
{
	struct accept_op *op = &t->ticket->accept;
	const struct message *m = op->in.message;

	op->owed = through_tally(t).taken > 0;
	return op->owed ? ERR_OK : space_admit(t->queue, m->in_file ? 0 : m->public.content_bytes);
}

void through_store(struct through *t)
{
	enum err err;

	if (t->phase != PHASE_WAITING)
		return;
	io_timer_stop(t->queue->io, &t->budget);
	err = find_place(t);
	if (err) {
		through_give_up(t, err);
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
