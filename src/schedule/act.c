#include "internal.h"

/* Takes a recipient out of memory, so that nothing starts with it while its row is being changed; the other recipients of
 * its message are read again from their rows. False: somebody is at work with it at this moment. */
static bool leave_memory(struct schedule *s, struct id id, const struct queue_recipient *recipient)
{
	struct destination *d = destination_find(s, recipient->key);
	struct map_item *item = d ? map_find(&d->tasks, id_key(&id)) : NULL;
	struct task *t;

	if (!item)
		return true;
	t = CONTAINER_OF(item, struct task, by_id);
	if (t->state != TASK_READY)
		return false;
	d->skipped_rows = true;
	task_free(t);
	return true;
}

struct act {
	struct io_later later;
	queue_settled_fn *on_done;
	void *owner;
	enum err err;
};

static void say_later(void *owner)
{
	struct act *a = owner;

	a->on_done(a->owner, a->err);
	free(a);
}

static void answer(struct schedule *s, enum err err, queue_settled_fn *on_done, void *owner)
{
	struct act *a = calloc(1, sizeof(*a));

	if (!a) {
		on_done(owner, ERR_NOMEM);
		return;
	}
	*a = (struct act){ .on_done = on_done, .owner = owner, .err = err };
	io_later_run(s->io, &a->later, say_later, a);
}

static bool fits(enum schedule_verb verb, enum queue_state state)
{
	return verb == SCHEDULE_RELEASE ? state == QUEUE_HELD : verb == SCHEDULE_DROP || state != QUEUE_HELD;
}

void schedule_act(struct schedule *s, struct id id, const struct queue_recipient *recipient,
                  enum schedule_verb verb, queue_settled_fn *on_done, void *owner)
{
	struct queue_outcome outcome = { QUEUE_DEFERRED, *recipient };
	struct queue_settlement settlement = { .id = id, .outcomes = &outcome, .outcome_count = 1 };
	struct destination *d;

	if (!fits(verb, recipient->state)) {
		answer(s, ERR_NOT_FOUND, on_done, owner);
		return;
	}
	if (!leave_memory(s, id, recipient)) {
		answer(s, ERR_BUSY, on_done, owner);
		return;
	}
	outcome.recipient.state = QUEUE_WAITING;
	switch (verb) {
	case SCHEDULE_RETRY:
	case SCHEDULE_RELEASE:
		outcome.recipient.due_time = io_now_time(s->io);
		/* a person who says "now" means now: the destination's pause ends too */
		d = destination_find(s, recipient->key);
		if (d)
			destination_succeeded(d);
		break;
	case SCHEDULE_HOLD:
		outcome.verdict = QUEUE_ON_HOLD;
		outcome.recipient.state = QUEUE_HELD;
		outcome.recipient.reason = REASON_ADMIN;
		break;
	case SCHEDULE_DROP:
		outcome.verdict = QUEUE_DROPPED;
		break;
	}
	queue_settle(s->queue, &settlement, on_done, owner);
}
