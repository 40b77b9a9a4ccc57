#include "internal.h"

#include <assert.h>

/* Messages read ahead for a destination: enough for its connections not to wait for the disk. */
#define LOAD_AHEAD 32

enum err task_new(struct destination *d, struct id id, uint64_t sender, struct task **out)
{
	struct task *t = calloc(1, sizeof(*t));

	if (!t)
		return ERR_NOMEM;
	t->id = id;
	if (map_add(&d->tasks, &t->by_id, id_key(&t->id))) {
		free(t);
		return ERR_NOMEM;
	}
	t->destination = d;
	t->sender = sender;
	list_init(&t->link);
	arena_init(&t->arena, 1u << 20);
	buf_init(&t->original, ORIGINAL_BYTES);
	d->schedule->task_count++;
	*out = t;
	return ERR_OK;
}

static void count_content(struct task *t, bool held)
{
	size_t bytes = t->work && t->work->message->content.at ? t->work->message->content.len : 0;

	if (held == t->counted)
		return;
	t->counted = held;
	t->destination->content_bytes += held ? bytes : (size_t)0 - bytes;
}

void task_free(struct task *t)
{
	struct destination *d = t->destination;
	bool was_full = d->tasks.count >= TASKS_PER_DESTINATION || d->schedule->task_count >= TASKS_IN_ALL;

	assert(t->state != TASK_LOADING && t->state != TASK_IN_FLIGHT);
	task_leave_ready(t);
	count_content(t, false);
	io_timer_stop(d->schedule->io, &t->settle_retry);
	map_remove(&d->tasks, &t->by_id);
	d->schedule->task_count--;
	body_source_release(&t->source);
	queue_work_free(d->schedule->queue, &t->work);
	buf_fini(&t->original);
	config_unref(&t->routed_by);
	arena_fini(&t->arena);
	free(t->outcomes);
	free(t->ns);
	free(t->job_recipients);
	free(t);
	if (d->skipped_rows) {
		d->skipped_rows = false;
		d->cursor.set = false;
		destination_disk_due(d, io_now_time(d->schedule->io));
	} else if (was_full) {
		destination_disk_due(d, d->disk_due_time);
	}
	destination_pump_later(d);
}

void task_make_ready(struct task *t, bool first)
{
	struct destination *d = t->destination;

	t->state = TASK_READY;
	if (first)
		list_prepend(&d->ready, &t->link);
	else
		list_append(&d->ready, &t->link);
	d->ready_count++;
	destination_pump_later(d);
}

void task_leave_ready(struct task *t)
{
	if (list_is_empty(&t->link))
		return;
	list_remove(&t->link);
	t->destination->ready_count--;
}

/* Over its share of memory a destination keeps only the numbers; the message is read again when its turn comes. */
void task_drop_message(struct task *t)
{
	struct queue_work *w = t->work;
	uint32_t *ns = calloc(w->recipient_count, sizeof(*ns));

	if (!ns)
		return;
	for (size_t i = 0; i < w->recipient_count; i++)
		ns[i] = w->recipients[i].n;
	free(t->ns);
	t->ns = ns;
	t->n_count = w->recipient_count;
	count_content(t, false);
	queue_work_free(t->destination->schedule->queue, &t->work);
}

/* ---------------------------------------------------------------- routes, matched again at every claim */

static void settle_elsewhere(struct task *t, const struct route_choice *choice)
{
	switch (choice->via) {
	case CONFIG_VIA_HOLD:
		outcome_hold_rest(t);
		return;
	case CONFIG_VIA_DISCARD:
		outcome_discard_rest(t);
		return;
	case CONFIG_VIA_REJECT: {
		struct deliver_result refused = {
			.kind = DELIVER_PERMANENT,
			.reason = REASON_POLICY,
			.enhanced = TEXT("5.7.1"),
			.reply = choice->route ? TEXT("a route of this relay rejects this recipient")
			                       : TEXT("no route of this relay matches this recipient"),
			.ms = EVENT_MS_NONE
		};
		outcome_fail_rest(t, &refused);
		return;
	}
	case CONFIG_VIA_UPSTREAM:
	case CONFIG_VIA_DIRECT:
		outcome_rekey_rest(t, route_key(choice));
		return;
	}
}

/* All recipients of a task share a key; whether they still share one under a new configuration is asked of each. The first
 * run of recipients that agree decides what is done with the whole: those that differ get their own row and come again. */
bool task_route(struct task *t)
{
	struct schedule *s = t->destination->schedule;
	const struct envelope *e = t->work->message->envelope;
	struct text forward_path = e->recipients[t->work->recipients[t->next].n].forward_path;

	if (t->routed_by == s->config)
		return true;
	config_unref(&t->routed_by);
	t->routed_by = config_ref(s->config);
	if (route_find(s->config, e->listener, e->reverse_path, forward_path, &t->choice)) {
		t->choice.via = CONFIG_VIA_REJECT;
		t->choice.route = NULL;
		t->choice.upstream = NULL;
		t->choice.key_len = 0;
	}
	for (size_t i = t->next + 1; i < t->end; i++) {
		struct route_choice other;

		forward_path = e->recipients[t->work->recipients[i].n].forward_path;
		if (route_find(s->config, e->listener, e->reverse_path, forward_path, &other) ||
		    other.via != t->choice.via || other.tls != t->choice.tls ||
		    !text_eq(route_key(&other), route_key(&t->choice))) {
			/* they keep their rows and come when this task is done */
			t->end = i;
			t->destination->skipped_rows = true;
			break;
		}
	}
	if (text_eq(route_key(&t->choice), t->destination->by_key.key) &&
	    (t->choice.via == CONFIG_VIA_UPSTREAM || t->choice.via == CONFIG_VIA_DIRECT)) {
		return true;
	}
	task_leave_ready(t);
	settle_elsewhere(t, &t->choice);
	return false;
}

/* Work of the queue becomes the task's. False: it was settled without an attempt. */
bool task_take_work(struct task *t, struct queue_work **work)
{
	struct destination *d = t->destination;

	t->work = *work;
	*work = NULL;
	t->next = 0;
	t->end = t->work->recipient_count;
	free(t->ns);
	t->ns = NULL;
	count_content(t, true);
	if (t->shares_failure && destination_is_suspended(d)) {
		outcome_fail_rest(t, &d->failure);
		return false;
	}
	t->shares_failure = false;
	return task_route(t);
}

/* ---------------------------------------------------------------- reading what lies on disk */

static void on_loaded(void *owner, enum err err, struct queue_work *work)
{
	struct task *t = owner;
	struct destination *d = t->destination;

	d->loading_count--;
	t->state = TASK_READY;
	if (d->schedule->stopping || (err && err != ERR_NOT_FOUND && err != ERR_DAMAGED)) {
		/* read again in a while; nothing was changed on disk */
		queue_work_free(d->schedule->queue, &work);
		d->cursor.set = false;
		destination_disk_due(d, io_now_time(d->schedule->io) + 5 * SECOND_MS);
		task_free(t);
		return;
	}
	if (err) {
		task_free(t);
		return;
	}
	if (task_take_work(t, &work))
		task_make_ready(t, true);
}

static void load(struct task *t)
{
	struct destination *d = t->destination;

	task_leave_ready(t);
	t->state = TASK_LOADING;
	d->loading_count++;
	queue_load(d->schedule->queue, t->id, d->by_key.key, t->ns, t->n_count, on_loaded, t);
}

void tasks_load(struct destination *d)
{
	size_t ahead = d->loading_count;

	for (LIST_EACH_SAFE(it, &d->ready)) {
		struct task *t = LIST_ITEM(it, struct task, link);

		if (ahead >= LOAD_AHEAD)
			return;
		if (destination_is_suspended(d) && !t->shares_failure)
			continue;
		ahead++;
		if (!t->work)
			load(t);
	}
}
