/* What became of recipients goes to the disk with the reports it causes, in one transaction. */
#include "internal.h"

/* ---------------------------------------------------------------- and what is left of the task */

static void settle_again(void *owner)
{
	task_settle(owner);
}

static void settle_later(struct task *t)
{
	struct schedule *s = t->destination->schedule;

	if (!s->stopping &&
	    !io_timer_start(s->io, &t->settle_retry, io_now_at(s->io) + SETTLE_AGAIN_MS, settle_again, t))
		return;
	/* It stays claimed on disk: a restart finds it and says that its outcome is not known. */
	task_free(t);
	schedule_check_stopped(s);
}

static void on_settled(void *owner, enum err err)
{
	struct task *t = owner;
	struct destination *d = t->destination;
	struct schedule *s = d->schedule;

	if (err) {
		settle_later(t);
		return;
	}
	for (size_t i = 0; i < t->outcome_count; i++) {
		const struct queue_outcome *o = &t->outcomes[i].outcome;

		if (o->verdict == QUEUE_DEFERRED && text_eq(o->recipient.key, d->by_key.key) &&
		    !task_is_through(t))
			destination_disk_due(d, o->recipient.due_time);
	}
	t->outcome_count = 0;
	t->deferred_attempts = 0;
	t->settled = t->next;
	arena_reset(&t->arena);
	free(t->job_recipients);
	t->job_recipients = NULL;
	t->original_read = false;
	buf_reset(&t->original);
	if (t->next == t->end && task_takes_rest(t))
		t->again_count = 0;
	if (t->next < t->end && t->called_off) {
		through_fail_rest(t);
		return;
	}
	if (t->next < t->end && !s->stopping) {
		t->claimed = false;
		task_make_ready(t, true);
		return;
	}
	task_free(t);
	schedule_check_stopped(s);
}

/* ---------------------------------------------------------------- the message itself, for a report */

static void read_original(void *owner)
{
	struct task *t = owner;
	size_t skip = t->work->message->prepended.len;
	struct text span;
	enum err err = ERR_OK;

	while (t->original.len < t->original_wanted && !(err = body_source_next(t->source, &span)) &&
	       span.len > 0)
		buf_add(&t->original, text_head(span, t->original.max - t->original.len));
	if (err == ERR_MORE)
		return;
	/* a body that cannot be read must not keep its sender from hearing of the failure */
	buf_drop_head(&t->original, MIN(skip, t->original.len));
	body_source_release(&t->source);
	t->original_read = true;
	task_settle(t);
}

/* True: it has to be read first, and task_settle is called again then. */
static bool awaits_original(struct task *t)
{
	struct queue_message *m = t->work->message;

	if (t->original_read || m->content.at || m->content_bytes == 0)
		return false;
	t->original_wanted = m->prepended.len +
	                     notice_wanted_bytes(t->destination->schedule, m->envelope, m->content_bytes);
	t->original.max = t->original_wanted + ORIGINAL_BYTES / 2;
	if (queue_message_body(t->destination->schedule->queue, m, &t->source))
		return false;
	body_source_listen(t->source, read_original, t);
	read_original(t);
	return true;
}

/* ---------------------------------------------------------------- together in one transaction */

static enum err add_notice(struct task *t, enum notice_kind kind, struct arena *arena,
                           struct envelope **envelope, struct queue_settlement *settlement,
                           struct queue_notice *notices)
{
	struct schedule *s = t->destination->schedule;
	enum err err = notice_build(s, t, kind, arena, envelope, &notices[settlement->notice_count]);

	if (err == ERR_SYNTAX)
		return ERR_OK; /* a reverse-path that leads nowhere: nobody can be told */
	if (!err)
		settlement->notice_count++;
	return err;
}

/* What fails for its only recipient its client is told, and nobody else. */
static bool is_told(const struct task *t, enum notice_kind kind)
{
	if ((kind == NOTICE_FAILED || kind == NOTICE_DELAYED) &&
	    t->work->message->envelope->recipient_count == 1 && through_client_waits(t))
		return false;
	for (size_t i = 0; i < t->outcome_count; i++)
		if (t->outcomes[i].told[kind])
			return true;
	return false;
}

void task_settle(struct task *t)
{
	struct schedule *s = t->destination->schedule;
	AUTO(free_memory) struct queue_outcome *outcomes = NULL;
	AUTO(arena_fini) struct arena arena = { 0 };
	struct envelope *envelopes[NOTICE_KINDS] = { NULL };
	struct queue_notice notices[NOTICE_KINDS];
	struct queue_settlement settlement = { .id = t->id, .notices = notices };
	bool told = false;
	enum err err = ERR_OK;

	t->state = TASK_SETTLING;
	for (int kind = 0; kind < NOTICE_KINDS; kind++)
		told = told || is_told(t, kind);
	if (told && awaits_original(t))
		return;
	arena_init(&arena, 64u << 20);
	for (int kind = 0; told && !err && kind < NOTICE_KINDS; kind++)
		if (is_told(t, kind))
			err = add_notice(t, kind, &arena, &envelopes[kind], &settlement, notices);
	outcomes = calloc(MAX(t->outcome_count, (size_t)1), sizeof(*outcomes));
	for (size_t i = 0; outcomes && i < t->outcome_count; i++)
		outcomes[i] = t->outcomes[i].outcome;
	for (size_t i = 0; outcomes && i < t->outcome_count; i++)
		outcomes[i].enhanced = t->outcomes[i].enhanced;
	settlement.outcomes = outcomes;
	settlement.outcome_count = t->outcome_count;
	if (err || !outcomes)
		settle_later(t);
	else
		queue_settle(s->queue, &settlement, on_settled, t);
	for (int kind = 0; kind < NOTICE_KINDS; kind++)
		envelope_free(&envelopes[kind]);
}
