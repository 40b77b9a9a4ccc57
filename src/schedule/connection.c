#include "internal.h"

static unsigned window(const struct destination *d)
{
	const struct config *config = d->schedule->config;
	struct text prefix = TEXT("upstream:");

	if (text_starts(d->by_key.key, prefix)) {
		struct text name = text_skip(d->by_key.key, prefix.len);

		for (size_t i = 0; i < config->upstreams.count; i++)
			if (text_eq(config->upstreams.items[i].name, name))
				return (unsigned)config->upstreams.items[i].connections;
		return (unsigned)config->limits.any.connections;
	}
	return (unsigned)route_limit(config, d->by_key.key)->connections;
}

unsigned destination_window(const struct destination *d)
{
	return MAX(window(d), 1u);
}

static const struct config_limit *limits(const struct destination *d)
{
	const struct config *config = d->schedule->config;

	return text_starts(d->by_key.key, TEXT("upstream:")) ? &config->limits.any
	                                                     : route_limit(config, d->by_key.key);
}

static void finish(struct connection *c)
{
	if (c->finishing)
		return;
	c->finishing = true;
	io_timer_stop(c->destination->schedule->io, &c->idle);
	deliver_finish(c->wire);
}

static void on_idle(void *owner)
{
	finish(owner);
}

/* ---------------------------------------------------------------- what a connection reports */

static void on_ready(void *owner, struct deliver_connection *wire)
{
	struct connection *c = owner;
	struct destination *d = c->destination;

	(void)wire;
	if (!c->was_ready) {
		c->was_ready = true;
		d->opening_count--;
		destination_succeeded(d);
	}
	destination_pump_later(d);
}

static void on_result(void *owner, struct deliver_connection *wire, struct deliver_job *job, size_t index,
                      const struct deliver_result *result)
{
	struct task *t = job->owner;

	(void)owner;
	(void)wire;
	outcome_add(t, t->job_first + index, result);
}

static void on_done(void *owner, struct deliver_connection *wire, struct deliver_job *job)
{
	struct task *t = job->owner;
	struct destination *d = t->destination;

	(void)owner;
	(void)wire;
	t->connection = NULL;
	d->flight_count--;
	t->next = t->job_first + job->recipient_count;
	if (t->again) {
		t->again = false;
		t->next = t->job_first;
		task_make_ready(t, true);
	} else {
		task_settle(t);
	}
	destination_pump_later(d);
}

static void on_closed(void *owner, struct deliver_connection *wire, const struct deliver_result *failure)
{
	struct connection *c = owner;
	struct destination *d = c->destination;
	struct schedule *s = d->schedule;

	(void)wire;
	io_timer_stop(s->io, &c->idle);
	list_remove(&c->link);
	d->connection_count--;
	s->connection_count--;
	if (!c->was_ready)
		d->opening_count--;
	if (failure && !c->was_ready && !c->finishing && !s->stopping) {
		bool others_work = d->connection_count > d->opening_count;

		s->counts.attempts++;
		destination_failed(d, failure, others_work);
	}
	free(c);
	schedule_feed_hungry(s);
	destination_pump_later(d);
}

static const struct deliver_events connection_events = { on_ready, on_result, on_done, on_closed };

/* ---------------------------------------------------------------- giving work */

static bool send_task(struct connection *c, struct task *t)
{
	struct destination *d = t->destination;
	struct schedule *s = d->schedule;
	size_t count = MIN(t->end - t->next, (size_t)limits(d)->recipients_per_message);
	struct body_source *body;

	if (outcome_reserve(t, count))
		return false;
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
	t->job = (struct deliver_job){ t->work->message->envelope, t->job_recipients, count, body, t };
	t->job_first = t->next;
	t->wait_ms = MAX(0, io_now_time(s->io) - t->work->due_time);
	task_leave_ready(t);
	t->state = TASK_IN_FLIGHT;
	t->connection = c;
	d->flight_count++;
	if (!t->claimed) {
		t->claimed = true;
		queue_claim(s->queue, t->id, t->job_recipients, count, NULL, NULL);
	}
	io_timer_stop(s->io, &c->idle);
	deliver_send(c->wire, &t->job);
	return true;
}

static struct task *next_task(struct destination *d, const struct connection *c)
{
	unsigned looked = 0;

	for (LIST_EACH(it, &d->ready)) {
		struct task *t = LIST_ITEM(it, struct task, link);

		if (t->work && t->choice.tls == c->tls)
			return t;
		if (++looked == 64)
			break; /* the front is being read: wait for it rather than search the whole list */
	}
	return NULL;
}

static void assign_one(struct connection *c)
{
	struct destination *d = c->destination;
	struct schedule *s = d->schedule;

	while (!c->finishing && deliver_is_ready(c->wire)) {
		struct task *t;

		if (deliver_sent_count(c->wire) >= limits(d)->messages_per_connection) {
			finish(c);
			return;
		}
		t = next_task(d, c);
		if (!t || !send_task(c, t)) {
			if (!deliver_in_flight(c->wire) && !io_timer_runs(&c->idle) &&
			    io_timer_start(s->io, &c->idle, io_now_at(s->io) + IDLE_CONNECTION_MS, on_idle,
			                   c))
				finish(c);
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
	return (struct deliver_target){ t->choice.upstream, t->choice.upstream ? TEXT_EMPTY : d->by_key.key,
		                        t->choice.tls };
}

static enum err open_one(struct destination *d, const struct task *t)
{
	struct schedule *s = d->schedule;
	struct deliver_target target = target_of(d, t);
	struct connection *c = calloc(1, sizeof(*c));
	enum err err;

	if (!c)
		return ERR_NOMEM;
	c->destination = d;
	c->tls = t->choice.tls;
	err = deliver_open(s->deliver, &target, &connection_events, c, &c->wire);
	if (err) {
		free(c);
		return err;
	}
	list_append(&d->connections, &c->link);
	d->connection_count++;
	d->opening_count++;
	s->connection_count++;
	return ERR_OK;
}

/* A connection that carries another TLS demand than what waits gives up its place. */
static bool finish_another_kind(struct destination *d, enum config_tls tls)
{
	for (LIST_EACH(it, &d->connections)) {
		struct connection *c = LIST_ITEM(it, struct connection, link);

		if (c->tls != tls && c->was_ready && !c->finishing && !deliver_in_flight(c->wire)) {
			finish(c);
			return true;
		}
	}
	return false;
}

void connections_open(struct destination *d)
{
	struct schedule *s = d->schedule;
	size_t waiting = 0;

	if (io_timer_runs(&d->resume_timer) || s->stopping)
		return;
	for (LIST_EACH(it, &d->ready)) {
		struct task *t = LIST_ITEM(it, struct task, link);

		if (!t->work)
			continue;
		if (++waiting <= d->opening_count)
			continue;
		if (d->connection_count >= destination_window(d)) {
			if (d->opening_count == 0)
				finish_another_kind(d, t->choice.tls);
			return;
		}
		if (s->connection_count >= s->max_connections || open_one(d, t)) {
			if (list_is_empty(&d->hungry))
				list_append(&s->hungry, &d->hungry);
			return;
		}
	}
}

void connections_finish_idle(struct destination *d)
{
	for (LIST_EACH_SAFE(it, &d->connections)) {
		struct connection *c = LIST_ITEM(it, struct connection, link);

		if (!c->was_ready && !c->finishing) {
			c->finishing = true;
			deliver_abort(c->wire);
		} else {
			finish(c);
		}
	}
}

void connections_abort(struct destination *d)
{
	for (LIST_EACH_SAFE(it, &d->connections)) {
		struct connection *c = LIST_ITEM(it, struct connection, link);

		c->finishing = true;
		deliver_abort(c->wire);
	}
}
