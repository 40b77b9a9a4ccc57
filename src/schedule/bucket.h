/* schedule/bucket.h - so many in a time: never more than `most` in any window of that length, wherever it begins.
 *
 * What was taken is kept in slots, each a 256th of the window; a slot counts until its last moment has left the window, so the
 * limit is kept exactly and less than a hundredth of it is lost. Besides, what is taken is spread: a part of `most` (a burst)
 * may be taken at once, the rest comes evenly over the window, so that under load nobody waits for the window's end. A short
 * window has a small burst: "14/s" is one every eightieth of a second and two ahead, not fourteen at the stroke of the second.
 *
 * Times are monotonic milliseconds and may not go back. */
#ifndef SCHEDULE_BUCKET_H
#define SCHEDULE_BUCKET_H

#include <postrider/config.h>

#define BUCKET_SLOTS 256 /* of a window */

struct bucket_slot {
	int64_t number; /* of the slot: its time divided by slot_ms */
	uint64_t count;
};

/* What was taken within a window, oldest first. */
struct bucket_log {
	struct bucket_slot *slots; /* a ring; own until it needs more */
	struct bucket_slot own[4];
	size_t first, count, room;
	uint64_t sum;
};

struct bucket {
	uint64_t most;
	int64_t window_ms, slot_ms;
	struct bucket_log all, burst;   /* burst: that part of all which did not wait for the even stream */
	int64_t next_us;                /* when the even stream has its next place */
	uint64_t grant_wanted;          /* as much as this at once */
	uint64_t granting, taken_since; /* what the save that runs will grant; taken since it began */
	uint64_t granted; /* may be taken before what was taken is on disk; UINT64_MAX: no need */
};

/* rate.count is 1 or more. */
void bucket_init(struct bucket *b, struct config_rate rate);
void bucket_fini(struct bucket *b); /* a zeroed one is fine */
/* Another number for the same window: what was taken stays. */
void bucket_change(struct bucket *b, uint64_t most);

/* When cost may be taken, if nobody takes anything before: now, or a later time. What costs more than the window has may be
 * taken when the window is empty. halved: half of it all. Grants are not looked at. */
int64_t bucket_allows_at(struct bucket *b, uint64_t cost, bool halved, int64_t now_at);
/* Counts it, whether it was allowed or not. */
void bucket_take(struct bucket *b, uint64_t cost, bool halved, int64_t now_at);
/* How much of `most` the window holds now. */
uint64_t bucket_used(struct bucket *b, int64_t now_at);

/* ---------------------------------------------------------------- over a restart */

/* Windows shorter than this are over before a daemon that crashed is back. */
#define BUCKET_LONG_MS (10 * SECOND_MS)
bool bucket_is_long(const struct bucket *b);
/* What may be taken between two writes to disk: so much is counted as taken after a crash. */
uint64_t bucket_grant(const struct bucket *b);

/* Slots from the oldest: from place 0 on until it says false. at: the slot's last moment. */
bool bucket_slot_at(const struct bucket *b, size_t place, int64_t *at, uint64_t *count);
/* What an earlier run took; oldest first, before anything is taken now. It counts as burst as far as that goes. */
void bucket_restore(struct bucket *b, int64_t at, uint64_t count, int64_t now_at);

#endif
