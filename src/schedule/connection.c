#include "internal.h"

/* When destinations wait for a connection: what one may carry before it goes to them, and how many go at once. */
#define SHARE_OF_MESSAGES 20u
#define LEAVING_AT_ONCE 4

static const struct config_pace *pace(const struct share *h)
{
	const struct destination *d = h->destination;

	return h->limit_count ? h->limits[0]->pace : route_pace(d->schedule->config, d->by_key.key);
}

unsigned destination_window(const struct destination *d)
{
	const struct share *h = LIST_FIRST(&d->shares, const struct share, link);

	return h && h->limit_count
	               ? share_window(h)
	               : (unsigned)MAX(route_pace(d->schedule->config, d->by_key.key)->connections, UINT64_C(1));
}

/* From here on it is given nothing any more. */
static bool leave(struct connection *c)
{
	struct schedule *s = c->destination->schedule;

	if (c->finishing)
		return false;
	c->finishing = true;
	s->leaving_count++;
	share_leaves(c->share);
	io_timer_stop(s->io, &c->idle);
	list_remove(&c->idle_link);
	return true;
}

static void finish(struct connection *c)
{
	if (leave(c))
		deliver_finish(c->wire);
}

static void on_idle(void *owner)
{
	finish(owner);
}

/* ---------------------------------------------------------------- what a connection reports */

/* Who hosts a domain is known once its MX was looked up. */
static void learn_hosts(struct connection *c, const struct deliver_connection *wire)
{
	struct text hosts[HOSTS_LEARNT_MAX];

	if (!c->way->upstream)
		destination_learn_hosts(c->destination, hosts, deliver_hosts(wire, hosts, ARRAY_LEN(hosts)));
}

static void on_ready(void *owner, struct deliver_connection *wire)
{
	struct connection *c = owner;
	struct destination *d = c->destination;

	if (!c->was_ready) {
		c->was_ready = true;
		d->opening_count--;
		learn_hosts(c, wire);
		destination_succeeded(d);
	}
	destination_pump_later(d);
}

static void on_result(void *owner, struct deliver_connection *wire, struct deliver_job *job, size_t index,
                      const struct deliver_result *result)
{
	(void)wire;
	answer_take(owner, job->owner, index, result);
}

static void on_done(void *owner, struct deliver_connection *wire, struct deliver_job *job)
{
	struct task *t = job->owner;
	struct destination *d = t->destination;

	struct connection *c = owner;

	(void)wire;
	if (c->took)
		share_succeeded(c->share);
	c->took = false;
	t->connection = NULL;
	ledger_attempt_over(t);
	d->flight_count--;
	t->next = t->job_first + job->recipient_count;
	if (t->again) {
		t->again = false;
		t->next = t->job_first;
		task_make_ready(t, true);
	} else if (elsewhere_done(t) && t->outcome_count == 0) {
		task_make_ready(t, true);
	} else {
		task_settle(t);
	}
	destination_pump_later(d);
}

static void on_gate(void *owner, struct deliver_connection *wire, struct deliver_job *job)
{
	(void)owner;
	ledger_on_gate(job->owner, wire);
}

static bool has_working(const struct destination *d, const struct config_way *way)
{
	for (LIST_EACH(it, &d->connections)) {
		const struct connection *c = LIST_ITEM(it, const struct connection, link);

		if (c->was_ready && !c->finishing && c->way == way)
			return true;
	}
	return false;
}

/* What no host can prove does not matter to mail that may go without TLS (RFC 8689 section 5). */
static bool spares_some(struct destination *d, const struct connection *c, const struct deliver_result *failure)
{
	if (failure->reason != REASON_TLS_POLICY || c->needs.tls_optional)
		return false;
	for (READY_EACH_SAFE(t, d)) {
		if (t->needs.tls_optional)
			return true;
	}
	return false;
}

static void on_closed(void *owner, struct deliver_connection *wire, const struct deliver_result *failure)
{
	struct connection *c = owner;
	struct destination *d = c->destination;
	struct schedule *s = d->schedule;

	if (!c->was_ready)
		learn_hosts(c, wire);
	io_timer_stop(s->io, &c->idle);
	list_remove(&c->idle_link);
	list_remove(&c->link);
	d->connection_count--;
	s->connection_count--;
	s->leaving_count -= c->finishing;
	share_disconnected(c->share, c->finishing);
	if (!c->was_ready)
		d->opening_count--;
	if (failure && !c->was_ready && !c->finishing && !s->stopping) {
		/* that one certain host is away is nothing to those who may go to any */
		if (failure->lacking || c->needs.only.name || c->needs.except.count || spares_some(d, c, failure))
			tasks_lack(d, &c->needs, c->way, failure);
		else if (answer_failure(c, failure))
			destination_expire(d, failure);
		else
			destination_failed(d, failure, c->way, has_working(d, c->way));
	}
	free(c);
	schedule_feed_hungry(s);
	destination_pump_later(d);
}

static const struct deliver_events connection_events = {
	.on_ready = on_ready,
	.on_result = on_result,
	.on_done = on_done,
	.on_gate = on_gate,
	.on_closed = on_closed,
};

/* ---------------------------------------------------------------- giving work */

static struct text domain_of(const struct task *t, size_t i)
{
	struct text path = t->work->message->envelope->recipients[t->work->recipients[i].n].forward_path;

	return text_skip(path, text_find_last_octet(path, '@'));
}

/* How many from the front have no more than so many domains (RCPTDOMAINMAX of RFC 9422). */
static size_t within_domains(const struct task *t, size_t count, size_t domains)
{
	size_t seen = 0;

	for (size_t i = 0; domains < count && i < count; i++) {
		size_t before = 0;

		while (before < i &&
		       !text_eq_nocase(domain_of(t, t->next + before), domain_of(t, t->next + i)))
			before++;
		seen += before == i;
		if (seen > domains)
			return i;
	}
	return count;
}

/* As many as the configuration and the host want in one message. */
static size_t how_many(const struct connection *c, const struct task *t)
{
	struct deliver_limits theirs = deliver_limits(c->wire);
	size_t count = MIN(t->end - t->next, (size_t)pace(c->share)->recipients_per_message);

	count = MIN(count, (size_t)share_recipients_max(c->share));
	return within_domains(t, MIN(count, theirs.recipients), theirs.domains);
}

/* What it takes of its sender's share: of what is scarce here. */
#define COST_BYTES (16u << 10)
static uint64_t cost_of(const struct connection *c, const struct task *t, size_t recipients)
{
	const struct config_pace *p = pace(c->share);

	if (p->byte_rate.count > 0 && p->rate.count == 0 && p->recipient_rate.count == 0)
		return (t->work->message->content_bytes + COST_BYTES - 1) / COST_BYTES;
	return recipients;
}

static struct limit_cost limit_cost(const struct task *t, size_t recipients)
{
	return (struct limit_cost){ 1, recipients, t->work->message->prepended.len + t->work->message->content_bytes };
}

static bool send_task(struct connection *c, struct task *t)
{
	struct destination *d = t->destination;
	struct schedule *s = d->schedule;
	size_t count = how_many(c, t);
	struct limit_cost cost = limit_cost(t, count);
	struct body_source *body;

	if (!share_allows(c->share, &cost))
		return false; /* its destination is called when it does */
	if (outcome_reserve(t, count))
		return false;
	free(t->job_recipients); /* of an attempt that is made again */
	t->job_recipients = calloc(count, sizeof(*t->job_recipients));
	if (!t->job_recipients)
		return false;
	if (queue_message_body(s->queue, t->work->message, &body)) {
		free(t->job_recipients);
		t->job_recipients = NULL;
		return false;
	}
	for (size_t i = 0; i < count; i++)
		t->job_recipients[i] = t->work->recipients[t->next + i].n;
	t->job = (struct deliver_job){ .envelope = t->work->message->envelope,
		                       .recipients = t->job_recipients,
		                       .recipient_count = count,
		                       .body = body,
		                       .owner = t,
		                       .gated = route_is_strict(t->choice.route) };
	t->job_first = t->next;
	t->wait_ms = MAX(0, io_now_time(s->io) - t->work->due_time);
	share_take(c->share, &cost);
	c->recipient_count += count;
	task_leave_ready(t);
	ready_sent(&d->ready, &t->item, cost_of(c, t, count));
	t->state = TASK_IN_FLIGHT;
	t->connection = c;
	d->flight_count++;
	/* a gated one is marked instead, once it can deliver */
	if (!t->claimed && !t->job.gated) {
		t->claimed = true;
		queue_claim(s->queue, t->id, t->job_recipients, count, NULL, NULL);
	}
	io_timer_stop(s->io, &c->idle);
	list_remove(&c->idle_link);
	deliver_send(c->wire, &t->job);
	return true;
}

/* Its message is here, and it goes the way of the present configuration. */
static bool may_go(const struct task *t)
{
	return t->work && t->routed_by == t->destination->schedule->config;
}

static bool fits(void *owner, const struct ready_item *item)
{
	const struct connection *c = owner;
	const struct task *t = CONTAINER_OF(item, const struct task, item);

	return may_go(t) && t->choice.way == c->way && deliver_meets(c->wire, &t->needs);
}

static struct task *next_task(struct destination *d, struct connection *c)
{
	struct ready_item *item;

	d->ready.rest_hundredths = pace(c->share)->rest_hundredths;
	item = ready_next(&d->ready, fits, c);
	return item ? CONTAINER_OF(item, struct task, item) : NULL;
}

static bool others_starve(const struct destination *d)
{
	const struct list *hungry = &d->schedule->hungry;

	return hungry->next != hungry && (hungry->next != &d->hungry || hungry->prev != &d->hungry);
}

/* With all connections in use one that has done its share goes to a destination that has none; not all of them at once. */
static bool gives_way(const struct connection *c)
{
	const struct destination *d = c->destination;

	return (others_starve(d) || share_others_hungry(c->share)) &&
	       d->schedule->leaving_count < LEAVING_AT_ONCE &&
	       deliver_sent_count(c->wire) >= (c->share->connection_count > 1 ? 1u : SHARE_OF_MESSAGES);
}

static bool has_done_enough(const struct connection *c)
{
	const struct config_pace *p = pace(c->share);
	size_t most = MIN((size_t)p->messages_per_connection, deliver_limits(c->wire).messages);

	if (c->is_spared)
		return true;
	if (p->recipients_per_connection && c->recipient_count >= p->recipients_per_connection)
		return true;
	return deliver_sent_count(c->wire) >= most || share_is_over(c->share) || gives_way(c);
}

static void rest(struct connection *c)
{
	struct schedule *s = c->destination->schedule;

	if (deliver_in_flight(c->wire) || io_timer_runs(&c->idle))
		return;
	if (others_starve(c->destination) || share_others_hungry(c->share) ||
	    io_timer_start(s->io, &c->idle, io_now_at(s->io) + IDLE_CONNECTION_MS, on_idle, c))
		finish(c);
	else
		list_append(&s->idle, &c->idle_link);
}

static void assign_one(struct connection *c)
{
	while (!c->finishing && deliver_is_ready(c->wire)) {
		struct task *t;

		if (has_done_enough(c)) {
			finish(c);
			return;
		}
		t = next_task(c->destination, c);
		if (!t || !send_task(c, t)) {
			rest(c);
			return;
		}
	}
}

void connections_assign(struct destination *d)
{
	/* first to those with nothing in hand, then one more behind a dot that is still out: a second message waits
	 * for nobody while another connection stands idle */
	for (LIST_EACH_SAFE(it, &d->connections)) {
		struct connection *c = LIST_ITEM(it, struct connection, link);

		if (c->was_ready && !deliver_in_flight(c->wire))
			assign_one(c);
	}
	for (LIST_EACH_SAFE(it, &d->connections)) {
		struct connection *c = LIST_ITEM(it, struct connection, link);

		if (c->was_ready)
			assign_one(c);
	}
}

static struct deliver_target target_of(const struct destination *d, const struct task *t)
{
	return (struct deliver_target){ .way = t->choice.way,
		                        .domain = t->choice.way->upstream ? TEXT_EMPTY : d->by_key.key,
		                        .needs = t->needs };
}

static enum err open_one(struct destination *d, struct share *h, const struct task *t)
{
	struct schedule *s = d->schedule;
	struct deliver_target target = target_of(d, t);
	struct connection *c = calloc(1, sizeof(*c));
	enum err err;

	if (!c)
		return ERR_NOMEM;
	c->destination = d;
	c->way = t->choice.way;
	c->share = h;
	c->opened_at = io_now_at(s->io);
	c->needs = t->needs;
	list_init(&c->idle_link);
	target.spared_source_count = share_spared_sources(h, target.spared_sources);
	err = deliver_open(s->deliver, &target, &connection_events, c, &c->wire);
	if (err) {
		free(c);
		return err;
	}
	list_append(&d->connections, &c->link);
	d->connection_count++;
	d->opening_count++;
	s->connection_count++;
	share_connected(h);
	return ERR_OK;
}

static bool serves(const struct connection *c, const struct task *t)
{
	if (c->way != t->choice.way)
		return false;
	return c->was_ready ? deliver_meets(c->wire, &t->needs) : deliver_needs_cover(&c->needs, &t->needs);
}

/* With the window full, and no connection of the kind that waits: one of another kind gives up its place, first one that
 * has nothing to do, else one as soon as it has done what is in hand. */
static void finish_another_kind(struct destination *d, const struct task *t)
{
	struct connection *busy = NULL;

	for (LIST_EACH(it, &d->connections)) {
		struct connection *c = LIST_ITEM(it, struct connection, link);

		if (c->finishing || serves(c, t))
			return; /* its turn comes */
		if (!c->was_ready)
			continue;
		if (!deliver_in_flight(c->wire)) {
			finish(c);
			return;
		}
		busy = c;
	}
	if (busy)
		finish(busy);
}

/* A host that failed is asked by one connection; one that nothing is known of by two, until one of them is up. */
static unsigned opening_max(const struct destination *d)
{
	return d->failures ? 1 : MAX(2u, d->connection_count - d->opening_count);
}

static void grow_hungry(struct destination *d)
{
	struct schedule *s = d->schedule;
	struct connection *resting = LIST_FIRST(&s->idle, struct connection, idle_link);

	if (!list_is_empty(&d->hungry))
		return;
	list_append(&s->hungry, &d->hungry);
	if (resting)
		finish(resting);
}

/* Somebody else of those who share the limit has one that it does not use. */
static void finish_resting(const struct share *h)
{
	struct schedule *s = h->destination->schedule;

	for (LIST_EACH(it, &s->idle)) {
		struct connection *c = LIST_ITEM(it, struct connection, idle_link);

		for (unsigned i = 0; c->share != h && i < h->limit_count; i++)
			if (c->share->limits[0] == h->limits[i] ||
			    c->share->limits[c->share->limit_count - 1] == h->limits[i]) {
				finish(c);
				return;
			}
	}
}

static void make_room(struct destination *d, const struct share *h, const struct task *t)
{
	if (d->opening_count == 0)
		finish_another_kind(d, t);
	if (!share_is_suspended(h))
		finish_resting(h);
}

/* One more connection for t, if there may be one. False: no more now. What another login may not have this one may. */
static bool add_connection(struct destination *d, const struct task *t)
{
	struct schedule *s = d->schedule;
	struct share *h = share_get(d, t->choice.way);
	struct limit_cost cost = limit_cost(t, 1);
	bool alone = d->shares.next->next == &d->shares;

	if (d->opening_count >= opening_max(d))
		return false;
	if (!h) {
		destination_pause_opening(d);
		return false;
	}
	if (!share_may_open(h)) {
		make_room(d, h, t);
		return !alone;
	}
	if (!share_allows(h, &cost))
		return !alone;
	if (s->connection_count >= s->max_connections) {
		grow_hungry(d);
		return false;
	}
	if (open_one(d, h, t)) {
		destination_pause_opening(d);
		return false;
	}
	return true;
}

/* A connection for each of those that will go next. Returns false when there are no more to be had. */
static bool open_for_class(struct destination *d, enum config_class class, size_t *waiting)
{
	struct ready_item *item;
	struct ready_walk walk;

	ready_walk_begin(&d->ready, class, &walk);
	while ((item = ready_walk_next(&walk))) {
		struct task *t = CONTAINER_OF(item, struct task, item);

		if (!may_go(t) || ++*waiting <= d->opening_count)
			continue;
		if (!add_connection(d, t))
			return false;
	}
	return true;
}

void connections_open(struct destination *d)
{
	size_t waiting = 0;

	if (io_timer_runs(&d->resume_timer) || d->schedule->stopping)
		return;
	for (unsigned i = 0; i < READY_CLASSES; i++)
		if (!open_for_class(d, ready_order[i], &waiting))
			return;
}

void connections_finish_idle(struct destination *d)
{
	for (LIST_EACH_SAFE(it, &d->connections)) {
		struct connection *c = LIST_ITEM(it, struct connection, link);

		if (c->was_ready)
			finish(c);
		else if (leave(c))
			deliver_abort(c->wire);
	}
}

void connections_abort(struct destination *d)
{
	for (LIST_EACH_SAFE(it, &d->connections)) {
		struct connection *c = LIST_ITEM(it, struct connection, link);

		leave(c);
		deliver_abort(c->wire);
	}
}
