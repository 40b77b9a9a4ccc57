/* receive/limits.h - how much of something there was in the time just gone by. Functions of their arguments.
 *
 * A window is cut into slices, and what lies behind it is forgotten a slice at a time: so no window of that length ever sees
 * more than its rate, wherever it begins, and what is used up comes back an eighth of the window late at most. */
#ifndef POSTRIDER_RECEIVE_LIMITS_H
#define POSTRIDER_RECEIVE_LIMITS_H

#include <postrider/config.h>

#define LIMIT_SLICES 8

/* Zeroed: nothing yet. */
struct limit_window {
	int64_t window_ms; /* 0: not in use */
	int64_t slice;     /* number of the newest one since the clock's beginning */
	uint32_t counts[LIMIT_SLICES + 1];
	unsigned char tag; /* of the owner: what is counted here */
};

/* How much there was in the window that ends now. */
uint64_t limit_used(const struct limit_window *w, int64_t now_at);
/* 0: n more fit into rate and are counted. Else nothing is, and the result is how many milliseconds from now n may fit: the
 * whole window when they are more than it ever holds. A rate of another length than before begins anew. */
int64_t limit_take(struct limit_window *w, const struct config_rate *rate, int64_t now_at, uint64_t n);
/* Whether they would fit, without counting them: as limit_take. */
int64_t limit_ask(const struct limit_window *w, const struct config_rate *rate, int64_t now_at, uint64_t n);
/* What was counted lately and was nothing after all. */
void limit_give_back(struct limit_window *w, int64_t now_at, uint64_t n);
/* Nothing in it that still counts. */
bool limit_is_empty(const struct limit_window *w, int64_t now_at);

#endif
