#include "fields.h"

#include <assert.h>
#include <stdio.h>

/* Messages read ahead for a destination: enough for its connections not to wait for the disk. */
#define LOAD_AHEAD 32

enum err task_new(struct destination *d, struct id id, enum config_class class, uint64_t sender,
                  struct task **out)
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
	t->class = class;
	t->sender = sender;
	list_init(&t->item.link);
	list_init(&t->through_link);
	arena_init(&t->arena, 16u << 20);
	buf_init(&t->original, ORIGINAL_BYTES);
	d->schedule->task_count++;
	*out = t;
	return ERR_OK;
}

static void count_content(struct task *t, bool held)
{
	t->destination->content_bytes -= t->counted_bytes;
	t->counted_bytes = held && t->work->message->content.at ? t->work->message->content.len : 0;
	t->destination->content_bytes += t->counted_bytes;
}

bool task_holds(const struct task *t, uint32_t n)
{
	if (t->state == TASK_WITHDRAWN)
		return false;
	if (!t->work) {
		for (size_t i = 0; i < t->n_count; i++)
			if (t->ns[i] == n)
				return true;
		return false;
	}
	for (size_t i = t->settled; i < t->end; i++)
		if (t->work->recipients[i].n == n)
			return true;
	return false;
}

void task_free(struct task *t)
{
	struct destination *d = t->destination;

	assert(t->state != TASK_LOADING && t->state != TASK_IN_FLIGHT);
	task_leave_ready(t);
	ready_part(&d->ready, &t->item);
	if (t->has_more_rows)
		backlog_put_back_more(t);
	backlog_part(t);
	count_content(t, false);
	io_timer_stop(d->schedule->io, &t->settle_retry);
	io_timer_stop(d->schedule->io, &t->by_timer);
	map_remove(&d->tasks, &t->by_id);
	list_remove(&t->through_link);
	d->schedule->task_count--;
	body_source_release(&t->source);
	queue_work_free(d->schedule->queue, &t->work);
	elsewhere_forget(t);
	buf_fini(&t->original);
	buf_fini(&t->fields);
	config_unref(&t->routed_by);
	arena_fini(&t->arena);
	free(t->outcomes);
	free(t->ns);
	free(t->job_recipients);
	free(t);
	destination_wait_for_disk(d);
	destination_pump_later(d);
}

/* ---------------------------------------------------------------- being ready */

/* What a level of priority (RFC 6710) is worth: so much earlier than it came does a message stand among those of its sender and
 * class. So the urgent goes first, and nobody waits for more than what came in that time. */
#define PRIORITY_STEP_MS MINUTE_MS

/* What lay on disk shows its priority only when it is read: it may move up then, and never down, or reading ahead would
 * have no end. */
static void rank(struct task *t)
{
	const struct envelope *e = t->work ? t->work->message->envelope : NULL;
	int64_t now = io_now_at(t->destination->schedule->io),
		earlier = e ? e->priority * PRIORITY_STEP_MS : 0;

	if (!t->is_ranked) {
		t->is_ranked = true;
		t->came_at = now;
		t->item.rank_at = now - earlier;
	}
	t->item.rank_at = MIN(t->item.rank_at, t->came_at - earlier);
}

static void on_by_time(void *owner)
{
	struct task *t = owner;

	if (t->state != TASK_READY || !outcome_is_late(t))
		return;
	task_leave_ready(t);
	outcome_late_rest(t);
}

static void watch_by_time(struct task *t)
{
	struct schedule *s = t->destination->schedule;
	const struct envelope *e = t->work ? t->work->message->envelope : NULL;

	if (!e || !e->by || (e->by_time <= io_now_time(s->io) && !outcome_is_late(t)))
		return;
	if (io_timer_start(s->io, &t->by_timer, io_at_of_time(s->io, e->by_time), on_by_time, t))
		return; /* then it is seen when its turn comes */
}

void task_make_ready(struct task *t, bool first)
{
	struct destination *d = t->destination;

	t->state = TASK_READY;
	d->reroute = d->reroute || (t->work && t->routed_by != d->schedule->config);
	rank(t);
	ready_join(&d->ready, &t->item, t->class, t->sender);
	ready_add(&d->ready, &t->item, first);
	watch_by_time(t);
	destination_pump_later(d);
}

void task_leave_ready(struct task *t)
{
	if (!ready_has(&t->item))
		return;
	io_timer_stop(t->destination->schedule->io, &t->by_timer);
	ready_remove(&t->destination->ready, &t->item);
}

/* Over its share of memory a destination keeps only the numbers; the message is read again when its turn comes. */
void task_drop_message(struct task *t)
{
	struct queue_work *w = t->work;
	size_t count = t->end - t->next;
	uint32_t *ns = calloc(count, sizeof(*ns));

	if (!ns)
		return;
	for (size_t i = 0; i < count; i++)
		ns[i] = w->recipients[t->next + i].n;
	free(t->ns);
	t->ns = ns;
	t->n_count = count;
	count_content(t, false);
	queue_work_free(t->destination->schedule->queue, &t->work);
}

/* Some of its rows, or all, are in nobody's hand when it goes. Those of its pile are read from there; recipients of a fresh
 * message may be of several classes. */
void task_has_more(struct task *t)
{
	if (task_is_through(t))
		return;
	t->more_due_time = t->has_more_rows ? MIN(t->more_due_time, t->due_time) : t->due_time;
	t->more_is_mixed = t->more_is_mixed || !t->pile;
	for (size_t i = 0; t->pile && t->work && i < t->work->recipient_count; i++)
		t->more_is_mixed = t->more_is_mixed || t->work->recipients[i].class != t->pile->name.class;
	t->has_more_rows = true;
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

/* A rule on replies sent it to another upstream than its route says. It stays there as long as that rule does, and while the route
 * is one that delivers. */
static void keep_to(const struct config *config, struct text upstream, struct route_choice *choice)
{
	if (choice->via != CONFIG_VIA_UPSTREAM && choice->via != CONFIG_VIA_DIRECT)
		return;
	for (size_t i = 0; i < config->rules.count; i++) {
		const struct config_rule *rule = &config->rules.items[i];
		int n;

		if (rule->action != CONFIG_RULE_OTHER_ROUTE || !rule->way || !text_eq(rule->upstream_to->name, upstream))
			continue;
		n = snprintf(choice->key_octets, sizeof(choice->key_octets), "upstream:%.*s", TEXT_ARGS(upstream));
		choice->key_len = (size_t)MAX(n, 0);
		choice->via = CONFIG_VIA_UPSTREAM;
		choice->way = rule->way;
		return;
	}
}

static enum err find_way(struct task *t, size_t index, struct route_choice *out)
{
	const struct envelope *e = t->work->message->envelope;
	const struct queue_recipient *r = &t->work->recipients[index];
	const struct route_message message = { .listener = e->listener,
		                               .user = e->user,
		                               .reverse_path = e->reverse_path,
		                               .fields = fields_of(t),
		                               .content_bytes = t->work->message->content_bytes,
		                               .is_received = true,
		                               .released = r->released };

	enum err err = route_find(t->destination->schedule->config, &message, e->recipients[r->n].forward_path, out);

	if (!err && r->via.len)
		keep_to(t->destination->schedule->config, r->via, out);
	return err;
}

/* Whether what goes by one can go by the other, in one attempt and with one outcome. */
static bool agree(const struct route_choice *a, const struct route_choice *b)
{
	const struct config_route *x = a->route, *y = b->route;

	if (a->via != b->via || a->way != b->way || !text_eq(route_key(a), route_key(b)))
		return false;
	return x == y || (x && y && x->effective_retry == y->effective_retry && x->class == y->class &&
	                  x->ledger == y->ledger && x->unknown == y->unknown);
}

/* All recipients of a task share a key; whether they still share one under a new configuration is asked of each. The first
 * run of recipients that agree decides what is done with the whole: those that differ get their own row and come again. */
bool task_route(struct task *t)
{
	struct schedule *s = t->destination->schedule;

	if (t->routed_by == s->config)
		return true;
	config_unref(&t->routed_by);
	t->routed_by = config_ref(s->config);
	if (find_way(t, t->next, &t->choice)) {
		t->choice.via = CONFIG_VIA_REJECT;
		t->choice.route = NULL;
		t->choice.way = NULL;
		t->choice.key_len = 0;
	}
	t->class = task_is_through(t) ? CONFIG_CLASS_URGENT /* a client waits */
	                              : route_class(t->choice.route, t->work->message->envelope->priority);
	for (size_t i = t->next + 1; i < t->end; i++) {
		struct route_choice other;

		if (find_way(t, i, &other) || !agree(&other, &t->choice) || !ledger_alike(t, t->next, i)) {
			/* they keep their rows and come when this task is done */
			t->end = i;
			task_has_more(t);
			break;
		}
	}
	if (text_eq(route_key(&t->choice), t->destination->by_key.key) &&
	    (t->choice.via == CONFIG_VIA_UPSTREAM || t->choice.via == CONFIG_VIA_DIRECT)) {
		t->needs.only = ledger_only(t);
		if (!ledger_holds(t))
			return true;
		task_leave_ready(t);
		outcome_hold_doubtful_rest(t);
		return false;
	}
	task_leave_ready(t);
	settle_elsewhere(t, &t->choice);
	return false;
}

/* ---------------------------------------------------------------- what a message asks for */

static void note_needs(struct task *t)
{
	const struct queue_message *m = t->work->message;

	t->needs = deliver_needs_of(m->envelope, m->prepended.len + m->content_bytes);
	t->needs.only = ledger_only(t);
	t->needs.except = t->except;
	for (size_t i = t->next; m->envelope->smtputf8 && !t->resigned && i < t->end; i++)
		deliver_needs_add(&t->needs, m->envelope, t->work->recipients[i].n);
}

/* Of what is handed through no rows lie on disk: those that go another way come when the first ones are done. */
bool task_takes_rest(struct task *t)
{
	if (!task_is_through(t) || t->end == t->work->recipient_count)
		return false;
	t->end = t->work->recipient_count;
	config_unref(&t->routed_by);
	t->choice.route = NULL; /* it was of that snapshot */
	note_needs(t);
	return true;
}

/* RFC 4865: not before, unless a person says so. */
static bool awaits_release(const struct task *t)
{
	return t->work->message->envelope->release_time > io_now_time(t->destination->schedule->io) &&
	       !t->work->recipients[t->next].released;
}

/* Only some of its recipients want SMTPUTF8, and nobody offers it: the others need not suffer for them. Over any connection
 * each recipient gets the answer that fits it. */
static bool resigns(struct task *t, const struct deliver_needs *needs, const struct deliver_result *failure)
{
	struct deliver_needs before = t->needs;

	if (t->resigned || failure->kind != DELIVER_PERMANENT)
		return false;
	t->resigned = true;
	note_needs(t);
	if (!deliver_needs_cover(&t->needs, needs))
		return true;
	t->resigned = false;
	t->needs = before;
	return false;
}

void tasks_lack(struct destination *d, const struct deliver_needs *needs, const struct config_way *way,
                const struct deliver_result *failure)
{
	for (READY_EACH_SAFE(t, d)) {
		if (!t->work || t->routed_by != d->schedule->config || t->choice.way != way ||
		    !deliver_needs_cover(&t->needs, needs) || resigns(t, needs, failure))
			continue;
		task_leave_ready(t);
		outcome_fail_rest(t, elsewhere_result(t) ? elsewhere_result(t) : failure);
	}
}

/* Work of the queue becomes the task's. False: it was settled without an attempt. */
bool task_take_work(struct task *t, struct queue_work **work)
{
	struct destination *d = t->destination;

	t->work = *work;
	*work = NULL;
	t->next = t->settled = 0;
	t->end = t->work->recipient_count;
	t->sender = t->work->sender;
	free(t->ns);
	t->ns = NULL;
	count_content(t, true);
	note_needs(t);
	if (!task_route(t))
		return false;
	if (awaits_release(t)) {
		outcome_await_release(t);
		return false;
	}
	if (outcome_is_late(t)) {
		outcome_late_rest(t);
		return false;
	}
	if (!destination_shares_failure(d, t))
		return true;
	outcome_fail_rest(t, &d->failure);
	return false;
}

/* Asked at once for what lies in memory, or a message would go to an upstream that is configured no more. */
#define REROUTED_AT_ONCE 256

void tasks_reroute(struct destination *d)
{
	unsigned asked = 0;

	for (READY_EACH_SAFE(t, d)) {
		if (!t->work || t->routed_by == d->schedule->config)
			continue;
		if (asked++ == REROUTED_AT_ONCE) {
			destination_pump_later(d);
			return;
		}
		if (!task_is_through(t) && fields_lie_on_disk(d->schedule, t, t->work->message)) {
			task_drop_message(t); /* read again, with its header section */
			if (!t->work)
				continue;
		}
		if (task_route(t) && t->class != t->item.flow->class) { /* else it has left the order */
			task_leave_ready(t);
			task_make_ready(t, false);
		}
	}
	d->reroute = false;
}

/* ---------------------------------------------------------------- reading what lies on disk */

void task_loaded(struct task *t, enum err err, struct queue_work *work)
{
	struct destination *d = t->destination;

	d->loading_count--;
	d->loading_of[t->class]--;
	t->state = TASK_READY;
	if (d->schedule->stopping || (err && err != ERR_NOT_FOUND && err != ERR_DAMAGED)) {
		/* read again in a while; nothing was changed on disk */
		queue_work_free(d->schedule->queue, &work);
		backlog_put_back(t, 5 * SECOND_MS);
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

static void on_loaded(void *owner, enum err err, struct queue_work *work)
{
	if (err || !fields_await(owner, work))
		task_loaded(owner, err, work);
}

static void load(struct task *t)
{
	struct destination *d = t->destination;

	task_leave_ready(t);
	t->state = TASK_LOADING;
	d->loading_count++;
	d->loading_of[t->class]++;
	queue_load(d->schedule->queue, t->id, d->by_key.key, t->ns, t->n_count, on_loaded, t);
}

static void load_class(struct destination *d, enum config_class class, size_t most)
{
	size_t ahead = d->loading_of[class];
	struct ready_item *item;
	struct ready_walk walk;

	ready_walk_begin(&d->ready, class, &walk);
	while (ahead < most && (item = ready_walk_next(&walk))) {
		struct task *t = CONTAINER_OF(item, struct task, item);

		if (destination_is_suspended(d) && t->failure_number != d->failure_number)
			continue;
		ahead++;
		if (!t->work)
			load(t);
	}
}

/* Those that go first are read first; of the others a few are always there for their share. */
void tasks_load(struct destination *d)
{
	size_t most = LOAD_AHEAD;

	for (unsigned i = 0; i < READY_CLASSES; i++) {
		enum config_class class = ready_order[i];
		size_t there = d->ready.classes[class].count + d->loading_of[class];

		load_class(d, class, most);
		most -= MIN(there, most - LOAD_AHEAD / 4);
	}
}
