#include "internal.h"

/* When destinations wait for a connection: what one may carry before it goes to them, and how many go at once. */
#define SHARE_OF_MESSAGES 20u
#define LEAVING_AT_ONCE 4

const struct config_pace *share_pace(const struct share *h)
{
	const struct destination *d = h->destination;

	return h->limit_count ? h->limits[0]->pace : route_pace(d->schedule->config, d->by_key.key);
}

unsigned destination_window(const struct destination *d)
{
	const struct share *h = LIST_FIRST(&d->shares, const struct share, link);

	return h && h->limit_count
	               ? share_window(h)
	               : (unsigned)MAX(route_pace(d->schedule->config, d->by_key.key)->connections,
	                               UINT64_C(1));
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

void connection_finish(struct connection *c)
{
	if (leave(c))
		deliver_finish(c->wire);
}

static void on_idle(void *owner)
{
	connection_finish(owner);
}

/* ---------------------------------------------------------------- what a connection reports */

/* Who hosts a domain is known once its MX was looked up. */
static void learn_hosts(struct connection *c, const struct deliver_connection *wire)
{
	struct text hosts[HOSTS_LEARNT_MAX];

	if (!c->way->upstream)
		destination_learn_hosts(c->destination, hosts, deliver_hosts(wire, hosts, ARRAY_LEN(hosts)));
}

/* One that has nothing in hand makes room at the address. */
static void on_waits(void *owner, struct deliver_connection *wire)
{
	struct connection *c = owner;
	struct ip ip;
	unsigned count;

	if (!deliver_waits(wire, &ip, &count))
		return;
	for (LIST_EACH(it, &c->destination->schedule->idle)) {
		struct connection *resting = LIST_ITEM(it, struct connection, idle_link);
		struct text host;

		if (ip_eq(deliver_remote(resting->wire, &host).ip, ip)) {
			connection_finish(resting);
			return;
		}
	}
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
static bool spares_some(struct destination *d, const struct connection *c,
                        const struct deliver_result *failure)
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
	bool others_work;

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
	others_work = has_working(d, c->way);
	if (failure && !c->was_ready && !c->finishing && !s->stopping) {
		if (failure->crowded)
			destination_pause_opening(d);
		/* that one certain host is away is nothing to those who may go to any */
		else if (failure->lacking || c->needs.only.name || c->needs.except.count ||
		         spares_some(d, c, failure))
			tasks_lack(d, &c->needs, c->way, failure);
		else if (answer_failure(c, failure, others_work))
			destination_expire(d, failure);
		else
			destination_failed(d, failure, c->way, others_work);
	}
	free(c);
	schedule_feed_hungry(s);
	destination_pump_later(d);
}

const struct deliver_events connection_events = {
	.on_waits = on_waits,
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
	size_t count = MIN(t->end - t->next, (size_t)share_pace(c->share)->recipients_per_message);

	count = MIN(count, (size_t)share_recipients_max(c->share));
	return within_domains(t, MIN(count, theirs.recipients), theirs.domains);
}

/* What it takes of its sender's share: of what is scarce here. */
#define COST_BYTES (16u << 10)
static uint64_t cost_of(const struct connection *c, const struct task *t, size_t recipients)
{
	const struct config_pace *p = share_pace(c->share);

	if (p->byte_rate.count > 0 && p->rate.count == 0 && p->recipient_rate.count == 0)
		return (t->work->message->content_bytes + COST_BYTES - 1) / COST_BYTES;
	return recipients;
}

struct limit_cost task_cost(const struct task *t, size_t recipients)
{
	return (struct limit_cost){ 1, recipients,
		                    t->work->message->prepended.len + t->work->message->content_bytes };
}

static bool send_task(struct connection *c, struct task *t)
{
	struct destination *d = t->destination;
	struct schedule *s = d->schedule;
	size_t count = how_many(c, t);
	struct limit_cost cost = task_cost(t, count);
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

bool task_may_go(const struct task *t)
{
	return t->work && t->routed_by == t->destination->schedule->config;
}

static bool fits(void *owner, const struct ready_item *item)
{
	const struct connection *c = owner;
	const struct task *t = CONTAINER_OF(item, const struct task, item);

	return task_may_go(t) && t->choice.way == c->way && deliver_meets(c->wire, &t->needs);
}

static struct task *next_task(struct destination *d, struct connection *c)
{
	struct ready_item *item;

	d->ready.rest_hundredths = share_pace(c->share)->rest_hundredths;
	item = ready_next(&d->ready, fits, c);
	return item ? CONTAINER_OF(item, struct task, item) : NULL;
}

static bool others_starve(const struct destination *d)
{
	const struct list *hungry = &d->schedule->hungry;

	return hungry->next != hungry && (hungry->next != &d->hungry || hungry->prev != &d->hungry);
}

/* Somebody else waits for its place. */
static bool is_wanted(const struct connection *c)
{
	return others_starve(c->destination) || share_others_hungry(c->share) || deliver_others_wait(c->wire);
}

/* With all connections in use one that has done its share goes to a destination that has none; not all of them at once. */
static bool gives_way(const struct connection *c)
{
	const struct destination *d = c->destination;

	return is_wanted(c) && d->schedule->leaving_count < LEAVING_AT_ONCE &&
	       deliver_sent_count(c->wire) >= (c->share->connection_count > 1 ? 1u : SHARE_OF_MESSAGES);
}

static bool has_done_enough(const struct connection *c)
{
	const struct config_pace *p = share_pace(c->share);
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
	if (is_wanted(c) ||
	    io_timer_start(s->io, &c->idle, io_now_at(s->io) + IDLE_CONNECTION_MS, on_idle, c))
		connection_finish(c);
	else
		list_append(&s->idle, &c->idle_link);
}

static void assign_one(struct connection *c)
{
	while (!c->finishing && deliver_is_ready(c->wire)) {
		struct task *t;

		if (has_done_enough(c)) {
			connection_finish(c);
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

/* Those that stand in line for an address while there is nothing to carry. */
void connections_leave_lines(struct destination *d)
{
	struct ip ip;
	unsigned count;

	for (LIST_EACH_SAFE(it, &d->connections)) {
		struct connection *c = LIST_ITEM(it, struct connection, link);

		if (!c->was_ready && deliver_waits(c->wire, &ip, &count))
			connection_finish(c);
	}
}

void connections_finish_idle(struct destination *d)
{
	for (LIST_EACH_SAFE(it, &d->connections)) {
		struct connection *c = LIST_ITEM(it, struct connection, link);

		if (c->was_ready)
			connection_finish(c);
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
