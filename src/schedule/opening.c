/* Connections that are opened: how many, for whom, and who makes room. */
#include "internal.h"

static struct deliver_target target_of(const struct destination *d, const struct share *h,
                                       const struct task *t)
{
	return (struct deliver_target){ .way = t->choice.way,
		                        .domain = t->choice.way->upstream ? TEXT_EMPTY : d->by_key.key,
		                        .needs = t->needs,
		                        .per_address = (unsigned)share_pace(h)->connections_per_address };
}

static enum err open_one(struct destination *d, struct share *h, const struct task *t)
{
	struct schedule *s = d->schedule;
	struct deliver_target target = target_of(d, h, t);
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
			connection_finish(c);
			return;
		}
		busy = c;
	}
	if (busy)
		connection_finish(busy);
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
		connection_finish(resting);
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
				connection_finish(c);
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
	struct limit_cost cost = task_cost(t, 1);
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

		if (!task_may_go(t) || ++*waiting <= d->opening_count)
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
