/* schedule/backlog.h - what of a destination lies on disk, and whose turn it is to be read into memory.
 *
 * A destination holds some thousands of tasks; the rest is rows of the due table, which only one order has: that of time. So that
 * a sender's million rows hide nobody else's, each sender of a class has a pile: its tasks in memory, and the place behind which
 * more of its rows lie. The front of a class is the place up to which every row of it is accounted for: it is in memory, or
 * behind its pile's place. Looking for what is due moves the fronts on; rows of senders that have no room are passed over where
 * they are read, and only their place is kept. A pile that runs low is filled again from its place.
 *
 * Memory is bounded: tasks by destination_has_room, piles by bounds.piles a class. With so many piles the front of that class waits,
 * and those of the others go on. */
#ifndef POSTRIDER_SCHEDULE_BACKLOG_H
#define POSTRIDER_SCHEDULE_BACKLOG_H

#include <postrider/base/map.h>
#include <postrider/queue.h>

#include "ready.h"

struct destination;
struct task;

struct pile_name {
	uint64_t sender, class; /* as the rows have them */
};

struct pile {
	struct map_item by_name;
	struct pile_name name;
	struct list link; /* in backlog.empty or .low while it waits to be filled */
	size_t count;     /* tasks */
	bool lies;        /* rows of it lie behind `from`, or may; with sought: only what came since */
	struct queue_cursor from;
	bool sought; /* the search that runs looks behind sought_from */
	struct queue_cursor sought_from;
};

struct backlog {
	struct map piles;
	size_t pile_count[READY_CLASSES];
	struct list empty[READY_CLASSES]; /* nothing of it is in memory */
	struct list low[READY_CLASSES];   /* little is */
	struct queue_cursor front[READY_CLASSES];
	bool full[READY_CLASSES]; /* too many piles: its front waits */
	/* Who was refused room: nobody of that class makes any before a task goes. By whether he has something in memory. */
	bool blocked[READY_CLASSES][2];
	int64_t news_time;     /* of what came while a search runs; INT64_MAX: nothing */
	int64_t not_before_at; /* after a failure the disk is left alone for a while */
	unsigned searched;     /* BIT of each class that the search for the fronts looks for */
	unsigned turn;
};

void backlog_init(struct backlog *b, uint64_t seed);
void backlog_fini(struct backlog *b);

/* The task is one of this pile; from backlog_part on of none. Fine without memory: then it is of none. */
void backlog_join(struct task *t, enum config_class class, uint64_t sender);
void backlog_part(struct task *t);

/* A row behind this place, of this sender and class, is in nobody's hand. */
void backlog_lies(struct destination *d, enum config_class class, uint64_t sender,
                  const struct queue_cursor *from);
/* The rows of a task that goes before it was begun; after delay_ms they are read again. */
void backlog_put_back(struct task *t, int64_t delay_ms);
/* Rows of its message that the task does not hold, left when it goes. */
void backlog_put_back_more(struct task *t);

/* Room in memory for one more message of a class, of a sender that has so many there: free, or made by giving back to the disk
 * what stands last in the line of a sender that has many. */
bool backlog_make_room(struct destination *d, enum config_class class, size_t count);
/* A fresh message: whether it is to be kept in memory; false: its rows are accounted for as lying on disk. */
bool backlog_admit(struct destination *d, const struct queue_work *work);

/* When there is something to be read; INT64_MAX: never. */
int64_t backlog_due_at(const struct destination *d);
int64_t backlog_next_due_time(const struct destination *d); /* for people */
bool backlog_is_empty(const struct destination *d);         /* nothing is known to be due there */

/* ---------------------------------------------------------------- inside: backlog.c for backlog_search.c */

struct pile *pile_find(const struct destination *d, enum config_class class, uint64_t sender); /* or NULL */
size_t pile_quota(const struct destination *d); /* tasks that each may have */
size_t pile_room(const struct destination *d, const struct pile *p);
/* After any change of it: it waits for its turn to be filled, or not, or is forgotten. */
void pile_changed(struct destination *d, struct pile *p);
/* A row behind this place is in nobody's hand. False: there is no place to remember it. */
bool pile_lies(struct destination *d, enum config_class class, uint64_t sender,
               const struct queue_cursor *from);

#endif
