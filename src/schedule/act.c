/* What a person does to a recipient that waits. Its message is withdrawn from memory first, so that nothing starts with it
 * while its row is being changed; afterwards the message's other recipients are read again from their rows. The row is read
 * anew: what the person saw may be over by now. */
#include "internal.h"

struct act {
	struct io_later later;
	struct schedule *schedule;
	struct task *task; /* NULL: nothing had to be withdrawn */
	struct id id;
	uint32_t n;
	enum schedule_verb verb;
	queue_settled_fn *on_done;
	void *owner;
	enum err err;
	size_t key_len;
	char key[];
};

/* ---------------------------------------------------------------- withdrawing */

static bool is_at_work(const struct task *t, uint32_t n)
{
	if (t->state == TASK_READY || t->state == TASK_WITHDRAWN)
		return false;
	return t->state == TASK_LOADING || task_holds(t, n);
}

/* *out NULL: another recipient of the message is on its way, and this one is none of that task's. ERR_BUSY: it is. */
static enum err withdraw(struct schedule *s, struct id id, const struct queue_recipient *r, struct task **out)
{
	struct destination *d = destination_get(s, r->key);
	struct map_item *item = d ? map_find(&d->tasks, id_key(&id)) : NULL;
	struct task *t = item ? CONTAINER_OF(item, struct task, by_id) : NULL;
	bool was_there;

	*out = NULL;
	was_there = t && t->state != TASK_WITHDRAWN;
	if (!d)
		return ERR_NOMEM;
	if (t && is_at_work(t, r->n))
		return ERR_BUSY;
	if (t && (t->state == TASK_IN_FLIGHT || t->state == TASK_SETTLING))
		return ERR_OK;
	if (!t && task_new(d, id, CONFIG_CLASS_NORMAL, 0, &t)) {
		destination_pump_later(d);
		return ERR_NOMEM;
	}
	task_leave_ready(t);
	t->state = TASK_WITHDRAWN;
	if (was_there)
		task_has_more(t);
	t->acts++;
	*out = t;
	return ERR_OK;
}

static void give_back(struct act *a)
{
	struct task *t = a->task;

	a->task = NULL;
	if (t && --t->acts == 0)
		task_free(t);
}

/* ---------------------------------------------------------------- the answer */

static void on_settled(void *owner, enum err err)
{
	struct act *a = owner;
	struct destination *d;

	a->schedule->act_count--;
	give_back(a);
	schedule_check_stopped(a->schedule);
	d = destination_find(a->schedule, text_of(a->key, a->key_len));
	/* a person who says "now" means now: the destination's pause ends too */
	if ((a->verb == SCHEDULE_RETRY || a->verb == SCHEDULE_RELEASE) && !err && d)
		destination_try_now(d);
	if (a->verb == SCHEDULE_RETRY && !err)
		deliver_forgive_logins(a->schedule->deliver);
	a->on_done(a->owner, err);
	free(a);
}

static void say_later(void *owner)
{
	struct act *a = owner;

	on_settled(a, a->err);
}

static bool fits(enum schedule_verb verb, enum queue_state state)
{
	return verb == SCHEDULE_RELEASE ? state == QUEUE_HELD : verb == SCHEDULE_DROP || state != QUEUE_HELD;
}

static struct queue_outcome outcome_of(struct schedule *s, enum schedule_verb verb,
                                       const struct queue_recipient *recipient)
{
	struct queue_outcome outcome = { .verdict = QUEUE_DEFERRED, .recipient = *recipient };

	outcome.recipient.state = QUEUE_WAITING;
	switch (verb) {
	case SCHEDULE_RELEASE:
		outcome.recipient.released = true;
		outcome.recipient.due_time = io_now_time(s->io);
		break;
	case SCHEDULE_RETRY:
		outcome.recipient.due_time = io_now_time(s->io);
		break;
	case SCHEDULE_HOLD:
		outcome.verdict = QUEUE_ON_HOLD;
		outcome.recipient.state = QUEUE_HELD;
		outcome.recipient.released = false;
		outcome.recipient.reason = REASON_ADMIN;
		break;
	case SCHEDULE_DROP:
		outcome.verdict = QUEUE_DROPPED;
		break;
	}
	return outcome;
}

/* ---------------------------------------------------------------- the change */

/* release_time: of the message, which "now" overrides; 0: not known. */
static void change(struct act *a, const struct queue_recipient *recipient, int64_t release_time)
{
	struct queue_outcome outcome = outcome_of(a->schedule, a->verb, recipient);
	struct queue_settlement settlement = { .id = a->id, .outcomes = &outcome, .outcome_count = 1 };

	if (a->verb == SCHEDULE_RETRY && release_time > io_now_time(a->schedule->io))
		outcome.recipient.released = true;
	queue_settle(a->schedule->queue, &settlement, on_settled, a);
}

static void on_loaded(void *owner, enum err err, struct queue_work *work)
{
	struct act *a = owner;
	struct queue *queue = a->schedule->queue;
	const struct queue_recipient *found = NULL;

	for (size_t i = 0; work && i < work->recipient_count; i++)
		if (work->recipients[i].n == a->n)
			found = &work->recipients[i];
	if (found)
		change(a, found, work->message->envelope->release_time);
	else
		on_settled(a, err == ERR_DAMAGED || !err ? ERR_NOT_FOUND : err);
	queue_work_free(queue, &work);
}

static struct act *act_new(struct schedule *s, struct text key, queue_settled_fn *on_done, void *owner)
{
	struct act *a = calloc(1, sizeof(*a) + key.len);

	if (!a)
		return NULL;
	a->schedule = s;
	a->on_done = on_done;
	a->owner = owner;
	a->key_len = key.len;
	memcpy(a->key, key.at, key.len);
	return a;
}

void schedule_act(struct schedule *s, struct id id, const struct queue_recipient *recipient,
                  enum schedule_verb verb, queue_settled_fn *on_done, void *owner)
{
	struct act *a = act_new(s, recipient->key, on_done, owner);
	bool is_held = recipient->state == QUEUE_HELD;

	if (!a) {
		on_done(owner, ERR_NOMEM);
		return;
	}
	a->id = id;
	a->n = recipient->n;
	a->verb = verb;
	s->act_count++;
	a->err = s->stopping ? ERR_BUSY : fits(verb, recipient->state) ? ERR_OK : ERR_NOT_FOUND;
	/* nothing in memory is at work with what is held, and nobody but a person changes it */
	if (!a->err && !is_held)
		a->err = withdraw(s, id, recipient, &a->task);
	if (a->err)
		io_later_run(s->io, &a->later, say_later, a);
	else if (is_held)
		change(a, recipient, 0);
	else
		queue_load(s->queue, id, recipient->key, &recipient->n, 1, on_loaded, a);
}
