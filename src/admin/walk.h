/* admin/walk.h - goes over the messages that a selector means, slice by slice, without holding anything of the queue
 * between two slices. With ids only those are read, else all. */
#ifndef ADMIN_WALK_H
#define ADMIN_WALK_H

#include "internal.h"

struct walk;

struct walk_events {
	/* A message of which the selector takes the envelope and at least one recipient. False: enough for this slice. */
	bool (*on_entry)(void *owner, const struct queue_entry *entry);
	/* The slice is over, in a later turn. is_end: there is nothing further; else walk_go continues. */
	void (*on_slice)(void *owner, enum err err, bool is_end);
	/* May be NULL. An id prefix that means no living message (count 0), or more than one, said before their entries' slice
	 * ends. */
	void (*on_id)(void *owner, struct text id, unsigned count);
};

struct walk {
	struct admin *admin;
	const struct selector *selector;
	const struct walk_events *events;
	void *owner;
	struct id after;                 /* all: the last message seen */
	const struct selector_value *at; /* ids: the one being looked for */
	struct selector_id id;
	unsigned found;  /* messages that it means */
	bool has_paused; /* on_entry returned false in this slice */
};

void walk_init(struct walk *w, struct admin *a, const struct selector *s, const struct walk_events *events,
               void *owner);
void walk_go(struct walk *w);

#endif
