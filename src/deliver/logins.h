/* deliver/logins.h - what is remembered of logging in at upstreams, so that trying never locks an account.
 *
 * A login is an upstream's name, a user name and a credential. One that was refused is not tried again before 1m, then 5m,
 * 15m, 1h and 4h; a success, another credential (which is another login) and logins_forgive end that. Whoever logs in takes a
 * seat first: after a refusal, at the start and after a long calm there is one, so that many connections do not all try what
 * one of them could have found out; the others wait. */
#ifndef DELIVER_LOGINS_H
#define DELIVER_LOGINS_H

#include <postrider/base/list.h>
#include <postrider/base/map.h>
#include <postrider/deliver.h>

#define LOGINS_MAX 1024
#define LOGINS_WORDS_MAX 700
/* For so long after a success many may log in at a time. */
#define LOGINS_CALM_MS (60 * INT64_C(1000))

struct login_record;

struct logins {
	struct map by_key;
	struct list by_use; /* newest first */
};

enum login_answer {
	LOGIN_GO,
	LOGIN_WAITS,  /* fn comes, with GO or REFUSED */
	LOGIN_REFUSED /* logins_refusal has the words */
};

/* Whoever wants to log in. Zeroed: nobody. */
struct login_seat {
	struct list link; /* in the record's list of those who wait, or who log in */
	struct login_record *record;
	int64_t since_at; /* it logs in */
	bool waits;
	void (*fn)(struct login_seat *seat,
	           enum login_answer answer); /* from inside the call of whoever leaves */
};

/* Of a login that is refused for now. */
struct login_refusal {
	int code; /* of the reply; 0: our own words */
	const char *enhanced;
	struct text words; /* the last failure's; until the record changes */
	int64_t until_at;
};

void logins_init(struct logins *l, uint64_t seed);
void logins_fini(struct logins *l); /* no seat may be taken */

/* Without memory for a record nothing is remembered: LOGIN_GO. seat->fn is set. */
enum login_answer logins_take_seat(struct logins *l, const struct config_way *way, int64_t now_at,
                                   struct login_seat *seat);
/* Who waits for somebody that hears nothing from its host for so long goes as well: another host may do better. Each takes so
 * long again. True: LOGIN_GO; fn does not run. */
#define LOGINS_PATIENCE_MS (30 * INT64_C(1000))
bool logins_jump(struct login_seat *seat, int64_t now_at);
/* The dialogue's end; all three free the seat. One that is not taken is fine. */
void logins_succeeded(struct logins *l, struct login_seat *seat, unsigned passed, int64_t now_at);
void logins_failed(struct logins *l, struct login_seat *seat, const struct deliver_result *r, int64_t now_at);
void logins_leave(struct logins *l, struct login_seat *seat, int64_t now_at); /* it said nothing */

/* Whether this login is refused for now, without taking a seat. */
bool logins_refusal(struct logins *l, const struct config_way *way, int64_t now_at,
                    struct login_refusal *out);
/* Mechanisms that were refused where another one was then taken: not to be tried first. */
unsigned logins_passed(struct logins *l, const struct config_way *way);
/* All may be tried at once, but for what failed a moment ago: whoever asks for a thousand messages to be retried asks once. */
#define LOGINS_MOMENT_MS (10 * INT64_C(1000))
void logins_forgive(struct logins *l, int64_t now_at);

#endif
