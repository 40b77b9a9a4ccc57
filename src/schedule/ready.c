#include "ready.h"

#include <assert.h>
#include <stdlib.h>

/* What a flow gets each turn: one recipient, or one unit of octets. */
#define QUANTUM 1

/* Of the front of all lines, how many are looked at: it is being read, and waiting for it is better than a search. */
#define LOOKS_MAX 64

const enum config_class ready_order[READY_CLASSES] = { CONFIG_CLASS_URGENT, CONFIG_CLASS_NORMAL,
	                                               CONFIG_CLASS_BULK };

static void flow_init(struct ready_flow *f, enum config_class class, uint64_t sender)
{
	list_init(&f->link);
	list_init(&f->items);
	f->class = class;
	f->sender = sender;
	f->balance = QUANTUM;
}

void ready_init(struct ready *r, uint64_t seed)
{
	*r = (struct ready){ 0 };
	for (unsigned i = 0; i < READY_CLASSES; i++) {
		struct ready_class *c = &r->classes[i];

		list_init(&c->line);
		map_init(&c->flows, false, seed);
		flow_init(&c->common, (enum config_class)i, 0);
		c->common.common = true;
	}
}

void ready_fini(struct ready *r)
{
	for (unsigned i = 0; i < READY_CLASSES; i++) {
		assert(r->classes[i].flows.count == 0);
		map_fini(&r->classes[i].flows);
	}
}

/* ---------------------------------------------------------------- flows */

static struct text sender_key(const uint64_t *sender)
{
	return (struct text){ (const char *)sender, sizeof(*sender) };
}

static struct ready_flow *flow_get(struct ready_class *c, enum config_class class, uint64_t sender)
{
	struct map_item *there = map_find(&c->flows, sender_key(&sender));
	struct ready_flow *f;

	if (there)
		return CONTAINER_OF(there, struct ready_flow, by_sender);
	f = calloc(1, sizeof(*f));
	if (!f)
		return &c->common;
	flow_init(f, class, sender);
	if (map_add(&c->flows, &f->by_sender, sender_key(&f->sender))) {
		free(f);
		return &c->common;
	}
	return f;
}

void ready_join(struct ready *r, struct ready_item *item, enum config_class class, uint64_t sender)
{
	struct ready_flow *old = item->flow;

	assert(!ready_has(item));
	if (old && old->class == class && old->sender == sender && !old->common)
		return;
	item->flow = flow_get(&r->classes[class], class, sender);
	item->flow->users++;
	if (old) {
		struct ready_item leaving = { .flow = old };

		ready_part(r, &leaving);
	}
}

void ready_part(struct ready *r, struct ready_item *item)
{
	struct ready_flow *f = item->flow;

	if (!f)
		return;
	ready_remove(r, item);
	item->flow = NULL;
	if (--f->users > 0 || f->common)
		return;
	map_remove(&r->classes[f->class].flows, &f->by_sender);
	free(f);
}

/* ---------------------------------------------------------------- the line */

/* Plain mail finds its place at once: whoever came before it stands before it. */
static void put_in_line(struct list *items, struct ready_item *item, bool first)
{
	struct list *at = first ? items->next : items;

	if (first)
		while (at != items && LIST_ITEM(at, struct ready_item, link)->rank_at < item->rank_at)
			at = at->next;
	else
		while (at->prev != items &&
		       LIST_ITEM(at->prev, struct ready_item, link)->rank_at > item->rank_at)
			at = at->prev;
	list_insert_before(at, &item->link);
}

void ready_add(struct ready *r, struct ready_item *item, bool first)
{
	struct ready_flow *f = item->flow;
	struct ready_class *c = &r->classes[f->class];

	put_in_line(&f->items, item, first);
	if (f->count++ == 0)
		list_append(&c->line, &f->link);
	c->count++;
	r->count++;
}

void ready_remove(struct ready *r, struct ready_item *item)
{
	struct ready_flow *f = item->flow;

	if (!ready_has(item))
		return;
	list_remove(&item->link);
	if (--f->count == 0)
		list_remove(&f->link);
	r->classes[f->class].count--;
	r->count--;
}

/* ---------------------------------------------------------------- whose turn it is */

struct search {
	ready_fits_fn *fits;
	void *owner;
	unsigned looks;
};

static struct ready_item *fitting_of(const struct ready_flow *f, struct search *s)
{
	for (LIST_EACH(it, &f->items)) {
		struct ready_item *item = LIST_ITEM(it, struct ready_item, link);

		if (s->looks == 0)
			return NULL;
		s->looks--;
		if (s->fits(s->owner, item))
			return item;
	}
	return NULL;
}

/* Who still owes for what it had waits a turn for each quantum. Alone in the line it waits for nobody. */
static void wait_a_turn(struct ready_class *c, struct ready_flow *f)
{
	f->balance = c->line.next == c->line.prev ? QUANTUM : f->balance + QUANTUM;
	list_remove(&f->link);
	list_append(&c->line, &f->link);
}

static struct ready_item *next_of_class(struct ready_class *c, struct search *s)
{
	struct list *it = c->line.next;

	while (it != &c->line && s->looks > 0) {
		struct ready_flow *f = LIST_ITEM(it, struct ready_flow, link);
		struct ready_item *item;
		struct list *next = it->next;

		if (f->balance <= 0) {
			wait_a_turn(c, f);
			it = next == &c->line ? &f->link : next;
			continue;
		}
		item = fitting_of(f, s);
		if (item)
			return item;
		it = next;
	}
	return NULL;
}

static size_t behind(const struct ready *r, unsigned place)
{
	size_t count = 0;

	for (unsigned i = place + 1; i < READY_CLASSES; i++)
		count += r->classes[ready_order[i]].count;
	return count;
}

static uint64_t share(const struct ready *r)
{
	return MIN(r->rest_hundredths, READY_HUNDREDTHS);
}

/* Those behind have their share now. */
static bool yields(const struct ready *r, unsigned place)
{
	const struct ready_class *c = &r->classes[ready_order[place]];

	return share(r) > 0 && c->owed >= (int64_t)(READY_HUNDREDTHS - share(r)) && behind(r, place) > 0;
}

/* The order for the next send: each class by itself, or behind those that it yields to. */
static void order_now(const struct ready *r, enum config_class out[READY_CLASSES])
{
	bool urgent_yields = yields(r, 0), normal_yields = yields(r, 1);
	unsigned n = 0;

	if (!urgent_yields)
		out[n++] = ready_order[0];
	out[n++] = ready_order[normal_yields ? 2 : 1];
	out[n++] = ready_order[normal_yields ? 1 : 2];
	if (urgent_yields)
		out[n++] = ready_order[0];
}

struct ready_item *ready_next(struct ready *r, ready_fits_fn *fits, void *owner)
{
	enum config_class order[READY_CLASSES];

	order_now(r, order);
	for (unsigned i = 0; i < READY_CLASSES; i++) {
		struct search s = { fits, owner, LOOKS_MAX };
		struct ready_item *item = next_of_class(&r->classes[order[i]], &s);

		if (item)
			return item;
	}
	return NULL;
}

/* What one message counts at most: one to thousands of recipients must not stop others for hours. */
#define COST_MAX 1000u
/* No more is owed: when those behind could not go for a long time the urgent would wait as long. */
#define OWED_MAX (10 * (int64_t)READY_HUNDREDTHS)
#define OWED_MIN (-(int64_t)COST_MAX * READY_HUNDREDTHS)

/* A class that goes before others owes them their share; what those behind it get pays for it. Without anybody before them they
 * take what is lent, and that counts for nothing. */
static void account(struct ready *r, enum config_class class, uint64_t cost)
{
	for (unsigned place = 0; place < READY_CLASSES - 1; place++) {
		struct ready_class *c = &r->classes[ready_order[place]];

		if (ready_order[place] == class) {
			if (behind(r, place) > 0)
				c->owed = MIN(c->owed + (int64_t)(share(r) * cost), OWED_MAX);
			return;
		}
		c->owed = MAX(c->owed - (int64_t)((READY_HUNDREDTHS - share(r)) * cost),
		              c->count > 0 ? OWED_MIN : 0);
	}
}

void ready_sent(struct ready *r, const struct ready_item *item, uint64_t cost)
{
	struct ready_flow *f = item->flow;
	struct ready_class *c = &r->classes[f->class];

	cost = MIN(MAX(cost, 1u), COST_MAX);
	account(r, f->class, cost);
	f->balance -= (int64_t)cost;
	if (f->balance > 0)
		return;
	f->balance += QUANTUM;
	if (f->count > 0) {
		list_remove(&f->link);
		list_append(&c->line, &f->link);
	}
}

/* ---------------------------------------------------------------- walks */

static void next_round(struct ready_walk *w, struct ready_flow *f)
{
	f->round_next = NULL;
	if (w->last)
		w->last->round_next = f;
	else
		w->first = f;
	w->last = f;
}

void ready_walk_begin(struct ready *r, enum config_class class, struct ready_walk *w)
{
	*w = (struct ready_walk){ 0 };
	for (LIST_EACH(it, &r->classes[class].line)) {
		struct ready_flow *f = LIST_ITEM(it, struct ready_flow, link);

		f->round_at = f->items.next;
		next_round(w, f);
	}
	w->flow = w->first;
	w->first = w->last = NULL;
}

struct ready_item *ready_walk_next(struct ready_walk *w)
{
	struct ready_flow *f = w->flow;
	struct ready_item *item;

	if (!f) {
		f = w->first;
		w->first = w->last = NULL;
	}
	if (!f)
		return NULL;
	item = LIST_ITEM(f->round_at, struct ready_item, link);
	w->flow = f->round_next;
	f->round_at = item->link.next;
	if (f->round_at != &f->items)
		next_round(w, f);
	return item;
}

static struct ready_item *first_of_class(const struct ready_class *c)
{
	const struct ready_flow *f = LIST_FIRST(&c->line, const struct ready_flow, link);

	return f ? LIST_FIRST(&f->items, struct ready_item, link) : NULL;
}

static struct ready_item *first_behind(struct ready *r, unsigned class)
{
	for (unsigned i = class; i < READY_CLASSES; i++)
		if (r->classes[i].count > 0)
			return first_of_class(&r->classes[i]);
	return NULL;
}

struct ready_item *ready_any(struct ready *r, const struct ready_item *after)
{
	const struct ready_flow *f, *next;

	if (!after)
		return first_behind(r, 0);
	f = after->flow;
	if (after->link.next != &f->items)
		return LIST_ITEM(after->link.next, struct ready_item, link);
	if (f->link.next == &r->classes[f->class].line)
		return first_behind(r, (unsigned)f->class + 1);
	next = LIST_ITEM(f->link.next, const struct ready_flow, link);
	return LIST_FIRST(&next->items, struct ready_item, link);
}

struct ready_flow *ready_longest(struct ready *r, enum config_class class)
{
	struct ready_flow *longest = NULL;

	for (LIST_EACH(it, &r->classes[class].line)) {
		struct ready_flow *f = LIST_ITEM(it, struct ready_flow, link);

		if (!longest || f->count > longest->count)
			longest = f;
	}
	return longest;
}
