/* filter/policy_internal.h - questions, connections ("lines"), and what becomes of a question when its line breaks.
 *
 *   asked -> waiting -> on a line -> answered
 *               ^           |
 *               +-- once ---+  the line had served before and closed without a word: the service was restarted
 *
 * After a failure no line is made until a pause is over, and each pause is longer than the one before it. When this has gone on
 * for POLICY_DOWN_AFTER_MS without an answer the service is down: then questions are answered at once until the pause is
 * over, and the one line that is made after it shows whether the service is back. */
#ifndef POSTRIDER_FILTER_POLICY_INTERNAL_H
#define POSTRIDER_FILTER_POLICY_INTERNAL_H

#include <postrider/base/list.h>
#include <postrider/base/random.h>
#include <postrider/io/stream.h>

#include "policy_protocol.h"

#define POLICY_DOWN_AFTER_MS SECOND_MS

struct policy_service {
	struct io *io;
	struct observe *observe;
	struct io_address address;
	struct buf name; /* the endpoint as written, for people */
	int64_t timeout_ms;
	bool accept_on_error;
	unsigned max_connections, max_waiting;
	struct list lines;
	struct list waiting; /* requests without a line */
	struct list asked;   /* all others */
	unsigned waiting_count, line_count;
	unsigned pauses; /* one after the other without an answer between them */
	int64_t failing_since_at;
	struct io_timer retry; /* runs during a pause */
	bool is_down;
	int64_t complained_at;
	bool has_complained;
	struct random random;
	struct policy_service_counts counts;
};

struct policy_request {
	struct list link;
	bool is_waiting;
	struct policy_service *service;
	struct policy_request **slot;
	policy_answer_fn *on_answer;
	void *owner;
	struct policy_line *line; /* that it was written to; NULL: none */
	struct buf question;
	struct io_timer deadline;
	struct io_later later; /* to tell a failure that was known at once */
	const char *problem;
	bool was_retried;
};

/* One connection. Its memory goes in on_closed, which may be after the service's. */
struct policy_line {
	struct list link;
	struct policy_service *service; /* NULL: closing, nobody wants it any more */
	struct io *io;
	struct io_stream *stream;
	struct policy_request *request; /* whose answer comes next */
	bool is_up;
	bool owes;       /* an answer for somebody who has gone */
	bool has_served; /* at least one answer */
	bool is_spent;   /* not to be used again */
	int64_t up_at;
	struct io_timer timer; /* connecting, idle, or owing */
};

/* ---------------------------------------------------------------- policy_service.c: questions */

void policy_request_wait(struct policy_request *r, bool in_front);
/* On to a line, or to its end. */
void policy_request_take(struct policy_request *r);
/* on_error decides; heard in a later turn, one by one: so nobody's callback can change what is being walked. */
void policy_request_fail(struct policy_request *r, const char *problem);
/* What the service said, or err with the problem in it. The last thing that is done in a turn: the owner may ask again, cancel
 * others, or free the service. */
void policy_request_answer(struct policy_request *r, struct policy_answer *answer, enum err err);

/* ---------------------------------------------------------------- policy_news.c: what people hear */

void policy_say_down(struct policy_service *s, const char *problem);
void policy_say_up(struct policy_service *s);
/* An answer that makes no sense; said once a minute, for it comes as often as mail does. */
void policy_complain(struct policy_service *s, struct text problem);

/* ---------------------------------------------------------------- policy_line.c: connections */

/* Gives waiting questions to idle lines, and makes lines for the others. */
void policy_lines_dispatch(struct policy_service *s);
bool policy_lines_pausing(const struct policy_service *s);
/* Idle ones go now, the others after their answer; what was known of the service is forgotten. */
void policy_lines_retire(struct policy_service *s);
void policy_lines_drop(struct policy_service *s);
/* Nobody waits for the answer any more, which will come all the same. */
void policy_line_owes(struct policy_line *l);
/* The answer did not come in time. */
void policy_line_is_late(struct policy_line *l, const char *problem);

#endif
