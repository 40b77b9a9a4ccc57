/* schedule/internal.h - what the files of this room share.
 *
 * A task is some recipients of one message that go the same way under one delivery key. It is in one place at a time:
 *
 *   READY     in its destination's order (ready.h); its message may still lie on disk
 *   LOADING   the queue reads it
 *   IN_FLIGHT a connection carries some of its recipients
 *   SETTLING  results are being written; afterwards it is READY again for recipients not yet tried, or gone
 *   WITHDRAWN a person changes rows of its message: nothing starts with it until that is on disk; then it is gone
 *
 * A destination is what shares a window of connections: one delivery key. What it has on disk beyond its tasks is known
 * only by places (backlog.h), and as "something is due at disk_due_time". */
#ifndef SCHEDULE_INTERNAL_H
#define SCHEDULE_INTERNAL_H

#include <postrider/base/arena.h>
#include <postrider/base/map.h>
#include <postrider/route.h>
#include <postrider/schedule.h>

#include "limits.h"
#include "rate_state.h"
#include "backlog.h"
#include "ready.h"

enum task_state { TASK_READY, TASK_LOADING, TASK_IN_FLIGHT, TASK_SETTLING, TASK_WITHDRAWN };

enum notice_kind {
	NOTICE_FAILED,
	NOTICE_DELAYED,
	NOTICE_RELAYED,   /* handed to a host that will not report on it (RFC 3461 section 5.2.2) */
	NOTICE_DELIVERED, /* it is in the mailbox (RFC 3461 section 5.2.4) */
	NOTICE_KINDS
};

/* What became of one recipient, kept until it is on disk. Texts live in the task's arena. */
struct task_outcome {
	struct queue_outcome outcome;
	struct text enhanced; /* for the report */
	struct text mx;
	bool reply_is_peers;
	bool was_unknown;        /* an earlier attempt may have delivered it */
	bool deadline;           /* it ended because the sender's time is over */
	bool told[NOTICE_KINDS]; /* which notices speak of it */
};

struct task {
	struct ready_item item; /* in destination->ready while READY */
	struct map_item by_id; /* in destination->tasks; key is id */
	struct destination *destination;
	struct id id;
	enum task_state state;
	enum config_class class; /* what its row says, until it is read */
	uint64_t sender;
	uint32_t *ns; /* rows of the queue; used while there is no work */
	size_t n_count;
	struct queue_work *work; /* NULL: on disk */
	size_t next, end;        /* work->recipients from next up to end are to be tried */
	size_t settled;          /* those before have their outcome on disk */
	bool claimed;            /* the queue's mark is there */
	struct list through_link; /* in destination->through while a client waits for it */
	struct gate *gate;       /* of the attempt in flight: its line of the ledger is on its way to the disk */
	bool called_off;         /* its client keeps the message: nothing of it may be tried any more */
	struct pile *pile;       /* whose rows it was made of; NULL: of none */
	int64_t due_time;        /* of those rows; 0: not known */
	bool has_more_rows;      /* there are rows of its message that it does not hold: */
	bool more_is_mixed;      /* not all of its pile */
	int64_t more_due_time;   /* the earliest of them */
	size_t counted_bytes; /* of its content, in destination->content_bytes: the queue may forget the content itself */
	unsigned
		failure_number; /* was ready at this failure of its destination, and comes to the same; 0: none */
	unsigned acts;          /* WITHDRAWN: changes that are not on disk yet */
	const struct config
		*routed_by; /* the snapshot whose routes made the choice; referenced, choice points into it */
	struct route_choice choice;
	struct buf fields;           /* header fields that its own envelope does not tell of (fields.h) */
	struct queue_work *arriving; /* LOADING: they are being read from it */
	struct deliver_needs needs; /* of those to be tried */
	bool resigned;              /* no host takes all its recipients: those that can go do, over any */
	int64_t came_at;            /* where it stands among its sender's: item.rank_at, moved by its priority */
	bool is_ranked;
	struct io_timer by_timer; /* the sender's time (DELIVERBY) */
	int64_t wait_ms;          /* from due to the attempt */

	struct deliver_job job; /* of the attempt in flight */
	uint32_t *job_recipients;
	size_t job_first; /* place in work->recipients of the job's first recipient */
	struct connection *connection;

	struct arena arena;         /* outcomes and their texts */
	uint32_t deferred_attempts; /* recipients that are put off together come again together */
	int64_t deferred_until_time;
	struct text reroute_to; /* of the outcome that is being made: the upstream it goes on by */
	struct task_outcome *outcomes;
	size_t outcome_count, outcome_room;
	struct deliver_except except; /* hosts that turned it away in this attempt */
	struct turned_away *turned_away;
	bool *is_elsewhere; /* of the job's recipients: those that go on with another host */
	size_t elsewhere_count;
	bool again; /* the attempt never reached the peer: try at once, it costs nothing */
	unsigned again_count;
	struct io_timer settle_retry;


	struct buf original; /* the front of a content on disk, read for a report */
	size_t original_wanted;
	bool original_read;
	struct body_source *source;
};

struct connection {
	struct list link; /* in destination->connections */
	struct destination *destination;
	struct deliver_connection *wire;
	const struct config_way *way; /* of the snapshot that the wire holds */
	struct share *share;
	int64_t opened_at;
	uint64_t recipient_count;   /* sent so far */
	bool is_spared;             /* from an address of ours that a rule spares: it gets no more */
	bool took;                  /* the job at hand: somebody was delivered */
	struct deliver_needs needs; /* of the task that it was opened for */
	bool was_ready;
	bool finishing;
	struct io_timer idle;
	struct list idle_link; /* in schedule->idle: it could give its place to another destination */
};

struct destination {
	struct map_item by_key;
	struct schedule *schedule;
	struct ready ready; /* tasks, READY */
	struct map tasks;  /* all tasks, by message id */
	struct list connections;
	struct list through; /* tasks whose client waits */
	struct list shares; /* in limits: one for each login */
	struct text *mx;    /* names of its MX hosts, once a connection found them; in mx_arena */
	size_t mx_count;
	struct arena mx_arena;
	unsigned connection_count, opening_count;
	size_t flight_count; /* tasks */
	size_t loading_count;
	size_t loading_of[READY_CLASSES]; /* of those, by class */
	size_t content_bytes; /* of contents held in memory by tasks */

	int64_t disk_due_time; /* of what lies behind the fronts; INT64_MAX: nothing known */
	struct io_timer disk_timer;
	bool scanning;
	struct backlog backlog;
	bool far; /* the clock was set back: rows may wait for times of the old one */
	struct queue_cursor far_cursor;

	int64_t suspended_until_at; /* 0: not suspended */
	unsigned failures;          /* connections that failed since the last success */
	int64_t last_success_at;
	struct io_timer resume_timer;
	struct arena failure_arena;
	struct deliver_result failure; /* the last one; texts in failure_arena */
	const struct config_way *failure_way; /* of the connection that failed; compared only; NULL: of an older configuration */
	unsigned failure_number;       /* rises with every failure and every success */
	bool reroute;                  /* tasks in memory may have been routed by an older configuration */

	struct list hungry; /* in schedule->hungry: waits for a connection of the common budget */
	struct io_later pump;
	struct list all; /* in schedule->all */
};

/* What is held in memory at most, and looked at in one job. */
struct bounds {
	size_t tasks_in_all;
	size_t tasks;    /* of a destination */
	size_t at_least; /* of each, whatever the others have: so that none waits for another's */
	size_t piles;    /* of a destination and class (backlog.h) */
	size_t looks;    /* rows in one job of the disk lane: some milliseconds */
};

struct schedule {
	struct io *io;
	struct queue *queue;
	struct deliver *deliver;
	struct observe *observe;
	const struct config *config;
	struct random random;
	struct id_source ids;
	struct map destinations;
	struct list all;
	struct list hungry;
	struct map limits;
	struct list limits_all;
	struct rate_state rates;
	struct map exposures; /* ledger.c */
	struct list exposures_all;
	struct list idle; /* connections with nothing in hand, those that rest longest first */
	unsigned connection_count, leaving_count, max_connections;
	int64_t clock_offset_ms; /* of the wall clock, as it was seen last */
	struct io_timer watch;
	unsigned act_count; /* schedule_act that have not answered yet */
	size_t task_count;  /* in memory, over all destinations */
	struct bounds bounds;
	struct schedule_counts counts;

	bool stopping;
	struct io_timer stop_timer;
	struct io_later stop_check;
	void (*on_stopped)(void *owner);
	void *stop_owner;
};

/* Limits on what is held in memory. */
#define TASKS_PER_DESTINATION 2000
#define TASKS_IN_ALL 50000
#define PILES_PER_CLASS 2000
#define LOOKS_PER_JOB 20000
#define TASKS_AT_LEAST 8
#define CONTENT_PER_DESTINATION (8u << 20)
#define ORIGINAL_BYTES (64u << 10) /* of a message on disk, for a report */
#define HOSTS_LEARNT_MAX 20 /* MX hosts of a domain */
#define IDLE_CONNECTION_MS (10 * SECOND_MS)
#define SETTLE_AGAIN_MS (5 * SECOND_MS)

/* destination.c */
struct destination *destination_find(struct schedule *s, struct text key);
struct destination *destination_get(struct schedule *s, struct text key); /* makes it; NULL without memory */
void destination_free(struct destination *d);
void destination_pump_later(struct destination *d);
bool destination_has_room(const struct destination *d);             /* for one more task */
/* In backlog.c. News: a row that no task holds; and waiting for what is known to lie there. */
void destination_disk_due(struct destination *d, int64_t due_time);
void destination_wait_for_disk(struct destination *d);
void destination_succeeded(struct destination *d);
void destination_try_now(struct destination *d); /* a person says so: no pause any more */
/* A connection of this way failed; others_work: one like it is open. */
void destination_failed(struct destination *d, const struct deliver_result *failure, const struct config_way *way,
                        bool others_work);
void destination_pause_opening(struct destination *d);
bool destination_shares_failure(const struct destination *d, const struct task *t);
unsigned destination_window(const struct destination *d);
void destination_forget_if_empty(struct destination *d);
bool destination_is_suspended(const struct destination *d);

/* The ready tasks of a destination, in no order; the one at hand may leave. */
static inline struct task *task_any_ready(struct destination *d, const struct task *after)
{
	struct ready_item *item = ready_any(&d->ready, after ? &after->item : NULL);

	return item ? CONTAINER_OF(item, struct task, item) : NULL;
}
/* clang-format off */
#define READY_EACH_SAFE(t, d) \
	struct task *t = task_any_ready(d, NULL), *t##_next = t ? task_any_ready(d, t) : NULL; t; \
		t = t##_next, t##_next = t ? task_any_ready(d, t) : NULL
/* clang-format on */

void destination_expire(struct destination *d, const struct deliver_result *failure);
void destination_learn_hosts(struct destination *d, const struct text *hosts, size_t count);

/* connection.c */
extern const struct deliver_events connection_events;
void connection_finish(struct connection *c); /* after what is in hand */
const struct config_pace *share_pace(const struct share *h);
struct limit_cost task_cost(const struct task *t, size_t recipients);
bool task_may_go(const struct task *t); /* its message is here, and it goes the way of the present configuration */
void connections_assign(struct destination *d); /* gives ready tasks to ready connections */
void connections_leave_lines(struct destination *d);
void connections_finish_idle(struct destination *d);
void connections_abort(struct destination *d);

/* opening.c */
void connections_open(struct destination *d); /* as many as work and windows allow */

/* answer.c: what a reply comes to, by the rules */
void answer_take(struct connection *c, struct task *t, size_t index, const struct deliver_result *result);
/* Of a connection that never carried mail; others_work: one like it is open, so the host bears no more. True: what waits is left
 * alone for a time, and nothing is counted. */
bool answer_failure(struct connection *c, const struct deliver_result *failure, bool others_work);

/* elsewhere.c: another host within the same attempt */
bool elsewhere_put(struct task *t, size_t index, const struct deliver_result *r); /* false: it cannot be */
/* The job is over. True: task->next stands before those that go on; what is decided is settled first. */
bool elsewhere_done(struct task *t);
const struct deliver_result *elsewhere_result(const struct task *t); /* of the last host; NULL: none turned it away */
void elsewhere_forget(struct task *t);

/* task.c */
MUST_USE enum err task_new(struct destination *d, struct id id, enum config_class class, uint64_t sender,
                           struct task **out);
void task_free(struct task *t);                    /* from READY, or at the end of SETTLING or WITHDRAWN */
bool task_holds(const struct task *t, uint32_t n); /* whether it speaks for this recipient's row */
void task_make_ready(struct task *t, bool first);
void task_leave_ready(struct task *t);
bool task_take_work(struct task *t, struct queue_work **work);
bool task_takes_rest(struct task *t);   /* true: there are more to be tried, by another way */
bool task_route(struct task *t);        /* false: it goes no further here (another key, hold, reject ...) */
void task_loaded(struct task *t, enum err err, struct queue_work *work); /* of a LOADING task: work is taken over */
void tasks_load(struct destination *d); /* reads the messages of the first ready tasks */
void tasks_reroute(struct destination *d); /* after a reload; some at a time */
void task_drop_message(struct task *t);
void task_has_more(struct task *t);     /* rows of its message are in nobody's hand when it goes */
/* No host has what these needs want: those in memory that want it too come to the same. */
void tasks_lack(struct destination *d, const struct deliver_needs *needs, const struct config_way *way,
                const struct deliver_result *failure);

/* outcome.c */
MUST_USE enum err outcome_reserve(struct task *t,
                                  size_t count); /* before outcome_add is called count times */
void outcome_add(struct task *t, size_t index, const struct deliver_result *result);
/* As outcome_add for a transient failure, and goes on by this upstream at once. */
void outcome_reroute(struct task *t, size_t index, const struct deliver_result *result, struct text upstream);
void outcome_fail_rest(struct task *t, const struct deliver_result *result);
void outcome_rekey_rest(struct task *t, struct text key);
void outcome_hold_rest(struct task *t);
void outcome_discard_rest(struct task *t);
void outcome_await_release(struct task *t); /* its release time has not come */
void outcome_late_rest(struct task *t);     /* the sender's time is over: returned, or told that it is late */
/* The schedule that its route gives it. */
const struct config_retry *outcome_retry(const struct task *t);
/* When it is given up: the sender's time counts, if he wants it returned then. INT64_MAX: never. */
int64_t outcome_expires_time(const struct task *t);
/* From when on its life counts (RFC 4865: not before its release). */
static inline int64_t outcome_begin_time(const struct envelope *e)
{
	return MAX(e->received_time, e->release_time);
}
/* Whether the sender's time is over and somebody has to be told, or it has to be returned. */
bool outcome_is_late(const struct task *t);
void outcome_hold_doubtful_rest(struct task *t); /* its route holds what may have been delivered */
void outcome_add_remote(struct buf *b, struct text host, struct ip_port at);

/* settle.c */
void task_settle(struct task *t); /* writes its outcomes */

/* ledger.c */
void ledger_init(struct schedule *s);
void ledger_fini(struct schedule *s);
void ledger_on_gate(struct task *t, struct deliver_connection *wire);
void ledger_attempt_over(struct task *t);
enum config_unknown ledger_policy(const struct task *t);
/* Whether two of its recipients may go in one attempt, as far as a doubt about an earlier one is concerned. */
bool ledger_alike(const struct task *t, size_t a, size_t b);
bool ledger_holds(const struct task *t); /* those to be tried wait for a person */
struct deliver_only ledger_only(const struct task *t);
bool ledger_still_unknown(const struct task *t, const struct queue_recipient *before, const struct deliver_result *r);
void ledger_count(struct task *t, const struct queue_recipient *r, bool unknown);

/* through.c */
bool task_is_through(const struct task *t);
bool through_client_waits(const struct task *t);
bool through_is_hopeless(struct task *t);  /* true: it was settled, since nobody is tried for now */
void through_fail_rest(struct task *t);    /* called off before it was tried */
void through_check(struct destination *d); /* those that a limit keeps for longer than their client waits come back now */
/* queue_events.on_call_off. */
void through_call_off(struct schedule *s, struct id id, struct text key, bool *unsure);

/* notice.c */
size_t notice_wanted_bytes(const struct schedule *s, const struct envelope *e, size_t content_bytes);
MUST_USE enum err notice_build(struct schedule *s, struct task *t, enum notice_kind kind, struct arena *arena,
                               struct envelope **envelope, struct queue_notice *out);
void notice_say(struct schedule *s, const struct queue_work *w); /* a report is on disk */

/* schedule.c */
void schedule_check_stopped(struct schedule *s);
void schedule_feed_hungry(struct schedule *s);

#endif
