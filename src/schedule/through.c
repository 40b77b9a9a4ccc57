/* Messages whose client waits for the next hop's answer: what is different for them.
 *
 * They are not on disk: nothing of them may be dropped from memory, or left to a scan. They go first, and where it is known that
 * they cannot go soon they come back at once. When the client is told to keep its message they are called off. */
#include "internal.h"

#include <postrider/base/time.h>

bool task_is_through(const struct task *t)
{
	return t->work && t->work->through;
}

/* It is told what becomes of the message, and nobody else; unless the message is stored by then. */
bool through_client_waits(const struct task *t)
{
	return task_is_through(t) && queue_has_client(t->destination->schedule->queue, t->id);
}

/* ---------------------------------------------------------------- calling off */

static void fail_untried(struct task *t, const char *words)
{
	outcome_fail_rest(t, &(struct deliver_result){ .kind = DELIVER_TRANSIENT,
	                                               .reason = REASON_TIMEOUT,
	                                               .enhanced = TEXT("4.4.7"),
	                                               .reply = text_from(words),
	                                               .ms = EVENT_MS_NONE });
}

void through_fail_rest(struct task *t)
{
	fail_untried(t, "not tried: whoever sent it waits no longer");
}

static bool may_be_there(const struct task_outcome *o)
{
	return o->outcome.verdict == QUEUE_DELIVERED || o->outcome.recipient.unknown_outcome;
}

/* Results that came and are not with the queue yet. */
static void note_results(const struct task *t, bool *unsure)
{
	for (size_t i = 0; i < t->outcome_count; i++)
		if (may_be_there(&t->outcomes[i]))
			unsure[t->outcomes[i].outcome.recipient.n] = true;
}

/* Those of the job that have no result yet. */
static void note_job(const struct task *t, bool *unsure)
{
	for (size_t i = 0; i < t->job.recipient_count; i++) {
		bool has_result = false;

		for (size_t k = 0; k < t->outcome_count && !has_result; k++)
			has_result = t->outcomes[k].outcome.recipient.n == t->job.recipients[i];
		if (!has_result)
			unsure[t->job.recipients[i]] = true;
	}
}

void through_call_off(struct schedule *s, struct id id, struct text key, bool *unsure)
{
	struct destination *d = destination_find(s, key);
	struct map_item *item = d ? map_find(&d->tasks, id_key(&id)) : NULL;
	struct task *t = item ? CONTAINER_OF(item, struct task, by_id) : NULL;

	if (!t || !task_is_through(t))
		return;
	t->called_off = true;
	switch (t->state) {
	case TASK_READY:
		task_leave_ready(t);
		through_fail_rest(t);
		return;
	case TASK_IN_FLIGHT:
		note_results(t, unsure);
		if (!deliver_call_off(t->connection->wire, &t->job))
			note_job(t, unsure);
		return;
	case TASK_SETTLING:
		note_results(t, unsure);
		return;
	case TASK_LOADING:
	case TASK_WITHDRAWN:
		return;
	}
}

/* ---------------------------------------------------------------- no way to go soon */

static void say_when(struct buf *b, struct schedule *s, int64_t until_at)
{
	int64_t wait_ms = until_at - io_now_at(s->io);

	if (until_at && wait_ms > 0)
		buf_add_format(b, "; again in %lld s", (long long)((wait_ms + SECOND_MS - 1) / SECOND_MS));
}

/* Nobody could be reached a moment ago, and nobody is tried for a while: a client need not wait to hear that. */
bool through_is_hopeless(struct task *t)
{
	struct destination *d = t->destination;
	struct deliver_result r = d->failure;
	AUTO(buf_fini) struct buf words = BUF(2500);

	if (!destination_is_suspended(d))
		return false;
	buf_add(&words, d->failure.reply);
	say_when(&words, d->schedule, d->suspended_until_at);
	r.reply = buf_text(&words);
	r.ms = EVENT_MS_NONE;
	outcome_fail_rest(t, &r);
	return true;
}

/* A limit that ends before the client's patience does is waited for; so is one of which nobody knows when it ends, and that is
 * none of a rule that says "not now". */
static bool is_bound_too_long(struct task *t, struct buf *words)
{
	struct share *h = share_get(t->destination, t->choice.way);
	int64_t until_at = 0, patience_at = t->work->through_until_at;

	if (!h || !share_binding(h, words, &until_at))
		return false;
	if (!share_is_suspended(h) && (!patience_at || until_at <= patience_at))
		return false;
	say_when(words, t->destination->schedule, until_at);
	return true;
}

void through_check(struct destination *d)
{
	for (LIST_EACH_SAFE(it, &d->through)) {
		struct task *t = LIST_ITEM(it, struct task, through_link);
		AUTO(buf_fini) struct buf words = BUF(2500);

		/* what is stored by now waits like other mail */
		if (!queue_has_client(d->schedule->queue, t->id)) {
			list_remove(it);
			continue;
		}
		if (t->state != TASK_READY || !t->work || t->routed_by != d->schedule->config ||
		    !is_bound_too_long(t, &words))
			continue;
		task_leave_ready(t);
		outcome_fail_rest(t, &(struct deliver_result){ .kind = DELIVER_TRANSIENT,
		                                               .reason = REASON_RATE_LIMITED,
		                                               .enhanced = TEXT("4.4.5"),
		                                               .reply = buf_text(&words),
		                                               .ms = EVENT_MS_NONE });
	}
}
