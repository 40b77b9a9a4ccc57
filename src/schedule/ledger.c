/* The ledger of unknown outcomes: an attempt whose final dot went out and whose answer never came may have delivered.
 *
 * On a strict route that is noted on disk before the dot can leave (the gate). Afterwards the route says what becomes of a
 * recipient in doubt: tried again like any other, only by the same host, or not before a person says so. How often it happens
 * is counted for each destination: what may arrive there twice. */
#include "internal.h"

#include <stdlib.h>

/* ---------------------------------------------------------------- the gate */

struct gate {
	struct schedule *schedule;
	struct task *task; /* NULL: its attempt is over */
};

void ledger_attempt_over(struct task *t)
{
	if (t->gate)
		t->gate->task = NULL;
	t->gate = NULL;
}

static void on_marked(void *owner, enum err err)
{
	struct gate *g = owner;
	struct schedule *s = g->schedule;
	struct task *t = g->task;

	free(g);
	s->act_count--;
	if (t) {
		t->gate = NULL;
		deliver_open_gate(t->connection->wire, &t->job, !err);
	}
	schedule_check_stopped(s);
}

/* Those that the host has not answered for already. */
static size_t open_recipients(const struct task *t, uint32_t *ns)
{
	size_t count = 0;

	for (size_t i = 0; i < t->job.recipient_count; i++) {
		bool has_result = false;

		for (size_t k = 0; k < t->outcome_count && !has_result; k++)
			has_result = t->outcomes[k].outcome.recipient.n == t->job.recipients[i];
		if (!has_result)
			ns[count++] = t->job.recipients[i];
	}
	return count;
}

static void add_remote(struct deliver_connection *wire, struct buf *b)
{
	struct text host;
	struct ip_port at = deliver_remote(wire, &host);

	outcome_add_remote(b, host, at);
}

void ledger_on_gate(struct task *t, struct deliver_connection *wire)
{
	struct schedule *s = t->destination->schedule;
	AUTO(free_memory) uint32_t *ns = calloc(t->job.recipient_count, sizeof(*ns));
	AUTO(buf_fini) struct buf remote = BUF(512);
	struct gate *g = calloc(1, sizeof(*g));

	add_remote(wire, &remote);
	if (!ns || !g || buf_err(&remote)) {
		free(g);
		deliver_open_gate(wire, &t->job, false);
		return;
	}
	*g = (struct gate){ s, t };
	t->gate = g;
	s->act_count++;
	queue_mark(s->queue,
	           &(struct queue_mark){ .id = t->id,
	                                 .ns = ns,
	                                 .count = open_recipients(t, ns),
	                                 .remote = buf_text(&remote),
	                                 .time = io_now_time(s->io) },
	           on_marked, g);
}

/* ---------------------------------------------------------------- what becomes of one in doubt */

enum config_unknown ledger_policy(const struct task *t)
{
	return t->choice.route ? t->choice.route->unknown : CONFIG_UNKNOWN_RETRY;
}

/* A person who lets it go has decided. */
static bool waits_for_person(const struct task *t, size_t i)
{
	const struct queue_recipient *r = &t->work->recipients[i];

	return ledger_policy(t) == CONFIG_UNKNOWN_HOLD && r->unknown_outcome && !r->released;
}

/* Empty: it may go anywhere. */
static struct text host_of(const struct task *t, size_t i)
{
	const struct queue_recipient *r = &t->work->recipients[i];

	return ledger_policy(t) == CONFIG_UNKNOWN_SAME_HOST && r->unknown_outcome ? r->remote : TEXT_EMPTY;
}

bool ledger_alike(const struct task *t, size_t a, size_t b)
{
	return waits_for_person(t, a) == waits_for_person(t, b) && text_eq(host_of(t, a), host_of(t, b));
}

bool ledger_holds(const struct task *t)
{
	return waits_for_person(t, t->next);
}

struct deliver_only ledger_only(const struct task *t)
{
	return t->next < t->end ? deliver_only_of(host_of(t, t->next)) : (struct deliver_only){ 0 };
}

/* An attempt that never came to the envelope says nothing of what an earlier one left; by a route that wants the same host nothing
 * but its answer ends the doubt. */
bool ledger_still_unknown(const struct task *t, const struct queue_recipient *before,
                          const struct deliver_result *r)
{
	bool reached = r->stage >= STAGE_MAIL && !r->untouched;

	if (!before->unknown_outcome || r->kind == DELIVER_UNKNOWN)
		return false;
	return !reached || ledger_policy(t) == CONFIG_UNKNOWN_SAME_HOST;
}

/* ---------------------------------------------------------------- counted for each destination */

#define EXPOSURES_MAX 1024

struct exposure {
	struct map_item by_key;
	struct list all;
	struct schedule_exposure seen;
	char remote[256];
	char key[];
};

void ledger_init(struct schedule *s)
{
	map_init(&s->exposures, true, random_u64(&s->random));
	list_init(&s->exposures_all);
}

void ledger_fini(struct schedule *s)
{
	struct list *first;

	while ((first = list_shift(&s->exposures_all))) {
		struct exposure *e = LIST_ITEM(first, struct exposure, all);

		map_remove(&s->exposures, &e->by_key);
		free(e);
	}
	map_fini(&s->exposures);
}

static struct exposure *exposure_find(struct schedule *s, struct text key)
{
	struct map_item *item = map_find(&s->exposures, key);

	return item ? CONTAINER_OF(item, struct exposure, by_key) : NULL;
}

/* The one that was longest without trouble gives its place. */
static void make_room(struct schedule *s)
{
	struct exposure *e;

	if (s->exposures.count < EXPOSURES_MAX)
		return;
	e = LIST_ITEM(list_shift(&s->exposures_all), struct exposure, all);
	map_remove(&s->exposures, &e->by_key);
	free(e);
}

static struct exposure *exposure_new(struct schedule *s, struct text key)
{
	struct exposure *e = calloc(1, sizeof(*e) + key.len);

	if (!e)
		return NULL;
	make_room(s);
	memcpy(e->key, key.at, key.len);
	e->seen.key = text_of(e->key, key.len);
	if (map_add(&s->exposures, &e->by_key, e->seen.key)) {
		free(e);
		return NULL;
	}
	list_init(&e->all);
	return e;
}

void ledger_count(struct task *t, const struct queue_recipient *r, bool unknown)
{
	struct schedule *s = t->destination->schedule;
	struct text key = t->destination->by_key.key;
	struct exposure *e = exposure_find(s, key);

	if (!e && unknown)
		e = exposure_new(s, key);
	if (!e)
		return;
	e->seen.attempts++;
	if (!unknown)
		return;
	e->seen.unknown++;
	e->seen.last_time = r->last_attempt_time;
	e->seen.remote = text_of(e->remote, MIN(r->remote.len, sizeof(e->remote)));
	if (e->seen.remote.len)
		memcpy(e->remote, r->remote.at, e->seen.remote.len);
	list_remove(&e->all);
	list_append(&s->exposures_all, &e->all);
}

const struct schedule_exposure *schedule_exposure(const struct schedule *s, struct text key)
{
	struct map_item *item = map_find(&s->exposures, key);

	return item ? &CONTAINER_OF(item, const struct exposure, by_key)->seen : NULL;
}

void schedule_each_exposure(struct schedule *s, schedule_exposure_fn *each, void *owner)
{
	for (LIST_EACH(it, &s->exposures_all))
		each(owner, &LIST_ITEM(it, const struct exposure, all)->seen);
}
