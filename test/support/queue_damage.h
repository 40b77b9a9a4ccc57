/* support/queue_damage.h - rows and files changed behind the queue's back, while it is closed. */
#ifndef TEST_SUPPORT_QUEUE_DAMAGE_H
#define TEST_SUPPORT_QUEUE_DAMAGE_H

#include "queue/records.h"
#include "support/queue_rig.h"

struct damage {
	struct rig *rig;
	struct store *store;
	struct store_txn *txn;
};

/* Closes the queue. */
void damage_begin(struct damage *d, struct rig *r);
/* Commits and opens the queue again. */
void damage_end(struct damage *d);
/* Commits and leaves the queue closed. */
void damage_end_closed(struct damage *d);
/* One bit of one octet of the value; `at` counts from the end when negative. */
void damage_flip(struct damage *d, enum table table, struct text key, long at);
void damage_remove(struct damage *d, enum table table, struct text key);
void damage_put(struct damage *d, enum table table, struct text key, struct text value);
/* The one spool file there is. */
void damage_file(struct rig *r, long at, bool cut);
struct text damage_only_key(struct damage *d, enum table table, char room[STORE_KEY_MAX_BYTES]);

#endif
