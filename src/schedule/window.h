/* schedule/window.h - how many connections a peer bears, as its answers say.
 *
 * Begins with a few and grows while they are in use: by one for each message taken until the first trouble (so it doubles in a
 * round), then by one for as many messages as it has connections, and not faster than one in two seconds. Trouble (421, "too
 * many") halves it; a connection that is refused while others are there says how many it bears. What was opened before the last
 * halving says nothing new. The number at which there was trouble is not tried again for a while. After an outage it begins
 * with one connection and may double once a second.
 *
 * No time but the one it is given, monotonic milliseconds. */
#ifndef SCHEDULE_WINDOW_H
#define SCHEDULE_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

struct window {
	unsigned size;          /* connections, before `most` and the ramp */
	unsigned successes;     /* since it grew last */
	bool probing;           /* no trouble yet: it doubles */
	unsigned ceiling;       /* there was trouble with so many; 0: never */
	unsigned ceiling_count; /* how often, without much in between: the longer it holds */
	int64_t ceiling_until_at;
	int64_t halved_at; /* or begun */
	int64_t grown_at;
	int64_t ramp_at; /* the outage ended; INT64_MIN: none */
};

#define WINDOW_FIRST 5

void window_init(struct window *w, int64_t now_at);
/* It has learnt nothing that is worth keeping. */
bool window_is_fresh(const struct window *w);
/* How many connections there may be now: 1 .. most. */
unsigned window_size(const struct window *w, unsigned most, int64_t now_at);
/* When a larger window is allowed by the ramp alone; INT64_MAX: it does not hold it back. */
int64_t window_grows_at(const struct window *w, unsigned most, int64_t now_at);
/* A message was taken while `used` connections were open. */
void window_success(struct window *w, unsigned used, unsigned most, int64_t now_at);
/* A connection, or what it was told, brought trouble; it was opened at opened_at, and `used` were open with it. True: that
 * halved it. */
bool window_trouble(struct window *w, unsigned used, int64_t opened_at, int64_t now_at);
/* One more was refused at the door while `bears` others are there: so many it bears. */
void window_refused(struct window *w, unsigned bears, int64_t opened_at, int64_t now_at);
/* Nothing went for a while, and now it may again. */
void window_restart(struct window *w, int64_t now_at);

#endif
