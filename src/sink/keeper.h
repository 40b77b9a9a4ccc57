/* keeper.h - writes messages to a directory and a ledger, in the disk lane: whatever waits when a job has ended goes
 * into the next one together. */
#ifndef POSTRIDER_SRC_SINK_KEEPER_H
#define POSTRIDER_SRC_SINK_KEEPER_H

#include <postrider/sink.h>

struct keeper;

/* What is written of one message. */
struct keeper_item {
	struct list link;
	struct buf line;     /* of the ledger, with its end */
	struct buf envelope; /* NAME.json */
	struct buf content;  /* NAME.eml */
	char name[64];
	enum err err;
	/* Runs on the loop when it is written, or could not be. NULL: nobody asks any more. */
	void (*on_kept)(void *owner, enum err err);
	void *owner;
};

/* Opens the ledger and makes the directory, if they are wanted. */
MUST_USE enum err keeper_new(const struct sink_options *o, struct keeper **out);
/* Takes the item over, and frees it after on_kept, which runs in a later turn. */
void keeper_add(struct keeper *k, struct keeper_item *item);
void keeper_item_free(struct keeper_item **item);
/* Items not yet begun are forgotten, nobody hears of the others. NULL is fine. */
void keeper_free(struct keeper **k);

bool keeper_has_ledger(const struct keeper *k);
bool keeper_has_directory(const struct keeper *k);

#endif
