/* auth/checks.h - passwords against the users file: hashed in the CPU lane, a few at a time, each once however many ask; what
 * was found right is known for a while.
 *
 * A password is remembered only as an HMAC, under a key that this process made up, of it and of the user's secrets: when these
 * change in the file, nothing is known any more. What was wrong is not remembered. */
#ifndef AUTH_CHECKS_H
#define AUTH_CHECKS_H

#include <postrider/base/list.h>
#include <postrider/io/lane.h>

#include "users.h"

#define CHECKS_KNOWN_MS (15 * 60 * 1000) /* after it was hashed */
#define CHECKS_KNOWN_MAX 8192            /* users and their passwords */
#define CHECKS_WAITING_MAX 1024          /* to be hashed */

struct checks;
struct check_task;

enum check_answer {
	CHECK_WAITS, /* fn will be called */
	CHECK_RIGHT, /* it is the user's password */
	CHECK_WRONG, /* it is not, or there is no such user, or none that may log in: all take the same time */
	CHECK_BUSY,  /* too many wait */
	CHECK_FAILED, /* no memory */
};

/* Somebody who waits; zeroed: for nothing. */
struct check {
	struct list link;
	struct check_task *task;
	void (*fn)(struct check *check, enum check_answer answer);
};

/* at_once: how many are hashed at a time. */
MUST_USE enum err checks_new(struct io *io, unsigned at_once, struct checks **out);
/* Nobody waits any more. Jobs that run free themselves. */
void checks_free(struct checks **c);

/* name and password as SASL gives them, the name prepared; users may be NULL. Copied, wiped later. CHECK_WAITS: fn runs in a
 * later turn, once; else it never does. */
enum check_answer checks_ask(struct checks *c, const struct users *users, struct text name,
                             struct text password, struct check *check);
/* fn runs no more. What is being hashed is hashed to its end; what only waited for it is forgotten. */
void checks_leave(struct check *check);

struct checks_count {
	uint64_t hashes, known;
	size_t waiting, remembered;
};
struct checks_count checks_count(const struct checks *c);

#endif
