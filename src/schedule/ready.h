/* schedule/ready.h - in which order the ready tasks of one destination go, when they cannot all go at once.
 *
 * Three classes: urgent before normal before bulk. A class that goes first leaves a share of the sends (rest_hundredths) to
 * those behind it while they have something: of all to what is not urgent, and of that again to what is bulk. A share that
 * nobody asks for is lent, and nothing is owed for it.
 *
 * Inside a class senders take turns (deficit round robin; what a message cost beyond its turn is waited for in the turns that
 * follow, so nothing need be known of a message before it goes). A sender's flow lives as long as one task of it, ready or
 * not; so does what it owes. Inside a flow: by rank_at, then in the order in which they came.
 *
 * Knows nothing of tasks: they carry a struct ready_item. No time, no I/O; allocates flows only, and without memory for one a
 * sender shares the class's common flow. */
#ifndef POSTRIDER_SCHEDULE_READY_H
#define POSTRIDER_SCHEDULE_READY_H

#include <postrider/base/list.h>
#include <postrider/base/map.h>
#include <postrider/config.h>

#define READY_CLASSES 3 /* of enum config_class */
#define READY_HUNDREDTHS 10000u

struct ready_flow;

struct ready_item { /* zeroed: in no flow */
	struct list link;
	struct ready_flow *flow;
	int64_t rank_at;
};

struct ready_flow {
	struct map_item by_sender;
	struct list link; /* in its class's line while an item of it is ready */
	struct list items;
	uint64_t sender;
	enum config_class class;
	bool common;
	size_t users;                  /* items that belong to it, ready or not */
	size_t count;                  /* ready ones */
	int64_t balance;               /* what it may send before the next one's turn */
	struct ready_flow *round_next; /* of a walk */
	struct list *round_at;
};

struct ready_class {
	struct list line; /* flows, the one whose turn it is first */
	struct map flows;
	struct ready_flow common;
	size_t count; /* ready items */
	int64_t owed; /* to the classes behind it, in units of cost times READY_HUNDREDTHS */
};

struct ready {
	struct ready_class classes[READY_CLASSES];
	size_t count;
	uint64_t rest_hundredths; /* the caller's to set at any time; at most READY_HUNDREDTHS */
};

void ready_init(struct ready *r, uint64_t seed);
void ready_fini(struct ready *r); /* no item belongs to it any more */

/* The item belongs to this sender's flow of this class from here on; it must not be ready. */
void ready_join(struct ready *r, struct ready_item *item, enum config_class class, uint64_t sender);
void ready_part(struct ready *r, struct ready_item *item); /* belongs to none; fine when it is zeroed */

/* Into its flow's line, at the end of those of its rank_at; with first at their beginning. */
void ready_add(struct ready *r, struct ready_item *item, bool first);
void ready_remove(struct ready *r, struct ready_item *item); /* fine when it is not ready */
static inline bool ready_has(const struct ready_item *item)
{
	return !list_is_empty(&item->link);
}

/* The next one to go that fits, or NULL: none among the first of the line. Nothing is charged yet: ask as often as you like. */
typedef bool ready_fits_fn(void *owner, const struct ready_item *item);
struct ready_item *ready_next(struct ready *r, ready_fits_fn *fits, void *owner);
/* It goes, ready or just removed: its flow and its class have had so much. cost is at least 1. */
void ready_sent(struct ready *r, const struct ready_item *item, uint64_t cost);

/* All of a class, about in the order in which they will go: the first of each flow, then the second of each ... The one at hand
 * may be removed. One walk at a time. */
struct ready_walk {
	struct ready_flow *first, *last; /* of the next round */
	struct ready_flow *flow;         /* this round goes on with it */
};
void ready_walk_begin(struct ready *r, enum config_class class, struct ready_walk *w);
struct ready_item *ready_walk_next(struct ready_walk *w);

/* All, in no order worth knowing; the one at hand may be removed, and so may others if the walk begins anew then.
 * for (it = ready_any(r, NULL); it; it = next) { next = ready_any(r, it); ... } */
struct ready_item *ready_any(struct ready *r, const struct ready_item *after);

/* The flow of a class that has most ready; NULL: none has any. */
struct ready_flow *ready_longest(struct ready *r, enum config_class class);

/* Classes in the order in which they go. */
extern const enum config_class ready_order[READY_CLASSES];

#endif
