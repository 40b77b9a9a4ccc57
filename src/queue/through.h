/* queue/through.h - what through.c and through_store.c share. */
#ifndef POSTRIDER_QUEUE_THROUGH_H
#define POSTRIDER_QUEUE_THROUGH_H

#include "internal.h"

enum through_phase { PHASE_WAITING, PHASE_SYNCING, PHASE_STORING, PHASE_REPORTING, PHASE_DEAD };

#define ENHANCED_BYTES 12

/* What outcomes[n] points to. */
struct through_settled {
	bool is;
	struct queue_recipient *copy;
	char enhanced[ENHANCED_BYTES];
};

struct through {
	struct map_item item;
	struct id id;
	struct queue *queue;
	struct queue_ticket *ticket; /* NULL: dead */
	enum through_phase phase;
	bool announced;
	struct io_timer budget;
	struct io_later later, hurry;
	struct io_job sync_job; /* of its file, before it is stored */
	enum err sync_err;
	struct newcomer *notices;
	size_t notice_count;
	struct list late;   /* settles that came while the writer has it: they go behind it */
	size_t count, open; /* recipients; those not settled yet */
	struct queue_outcome *outcomes;
	bool *unsure;
	struct through_settled settled[];
};

struct through_tally {
	size_t taken, refused, deferred, held; /* taken: delivered, or dropped by a route */
};
struct through_tally through_tally(const struct through *t);

static inline bool through_is_final(enum queue_verdict v)
{
	return v != QUEUE_DEFERRED && v != QUEUE_ON_HOLD;
}

struct op *through_take_late(struct through *t); /* NULL: no more */
void through_note_verdict(struct through *t, enum queue_verdict verdict, const struct queue_recipient *r);
void through_tell(struct through *t, struct queue_ticket *ticket, enum err err, bool stored);
void through_consider(struct through *t);
/* The client keeps it: ticket is the caller's to free, or with give_up it is t's and freed. */
void through_die(struct through *t, struct queue_ticket *ticket, enum err err);
void through_give_up(struct through *t, enum err err);
void through_drop_ticket(struct through *t);
void through_free(struct through *t);

/* through_store.c: to the disk with what is not settled for good. */
void through_store(struct through *t);

#endif
