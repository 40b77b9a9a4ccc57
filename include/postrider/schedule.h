/* postrider/schedule.h - who is delivered when: a queue for each destination with its own window of connections.
 *
 * Takes fresh mail from the queue's memory, loads what is due from disk, opens and reuses connections, settles every result
 * with a typed reason, a next time or a notice. One destination never holds up another: each has its own window, and those
 * that have work share the rest of the descriptors. State is rebuilt at start from the directory of delivery keys. */
#ifndef POSTRIDER_SCHEDULE_H
#define POSTRIDER_SCHEDULE_H

#include <postrider/config.h>
#include <postrider/deliver.h>
#include <postrider/observe/event.h>
#include <postrider/queue.h>

struct schedule;

struct schedule_options {
	struct io *io;
	struct queue *queue;
	struct deliver *deliver;
	struct observe *observe;
	const struct config *config;     /* referenced */
	struct io_disk *disk;            /* with spool: what rates have given is kept there; NULL: it is not */
	struct text spool;               /* a directory that is there; copied */
	uint64_t seed;                   /* jitter, ids of notices */
	unsigned max_connections;        /* outbound, over all destinations */
};

MUST_USE enum err schedule_new(const struct schedule_options *options, struct schedule **out);
/* Reads the directory and begins. */
MUST_USE enum err schedule_start(struct schedule *s);
/* A new snapshot: routes are matched anew when something is claimed next. */
void schedule_configure(struct schedule *s, const struct config *config);
/* No new attempts; what runs has until the deadline, then it is aborted; on_stopped once every settle is on disk. */
void schedule_stop(struct schedule *s, int64_t linger_ms, void (*on_stopped)(void *owner), void *owner);
/* The deadline is now; on_stopped comes as before. */
void schedule_hurry(struct schedule *s);
void schedule_free(struct schedule **s);     /* after on_stopped */

/* What a person does to one recipient that waits. */
enum schedule_verb { SCHEDULE_RETRY, SCHEDULE_HOLD, SCHEDULE_RELEASE, SCHEDULE_DROP };
/* on_done: ERR_BUSY: it is being delivered at this moment, or the daemon stops; ERR_NOT_FOUND: gone, or not in a state for this. */
void schedule_act(struct schedule *s, struct id id, const struct queue_recipient *recipient, enum schedule_verb verb,
                  queue_settled_fn *on_done, void *owner);

/* For show and queue: what the scheduler knows of a destination right now. */
struct schedule_destination {
	struct text key;
	size_t ready, in_flight;         /* recipients in memory, waiting and on their way */
	unsigned connections, window;
	int64_t next_due_time;           /* INT64_MAX: nothing known to wait */
	int64_t suspended_until_time;    /* 0: not */
	enum reason reason;              /* of the suspension */
	struct text problem;
	/* What binds it now: a rate, a window of connections, a rule that slows or suspends; empty: nothing. A sentence. */
	struct text limit;
	int64_t limited_until_time;      /* it allows the next then, or ends; 0: not known */
	int64_t slow_until_time;         /* 0: not slow */
};
typedef void schedule_destination_fn(void *owner, const struct schedule_destination *d);
void schedule_each_destination(struct schedule *s, schedule_destination_fn *each, void *owner);

/* Of a destination that had unknown outcomes: how often an attempt may have delivered without an answer, among those since the
 * first time; what may arrive there twice. Kept while the daemon runs, for the 1,024 that had one last. */
struct schedule_exposure {
	struct text key;
	uint64_t unknown, attempts;      /* recipients */
	int64_t last_time;
	struct text remote;              /* the host of the last one: "mx1.example.net [192.0.2.1]:25" */
};
typedef void schedule_exposure_fn(void *owner, const struct schedule_exposure *e);
void schedule_each_exposure(struct schedule *s, schedule_exposure_fn *each, void *owner);
const struct schedule_exposure *schedule_exposure(const struct schedule *s, struct text key);    /* NULL: none */

/* What one recipient of this key waits for besides its time: a limit, a rule, a next hop that is away. A sentence into out; *until_time:
 * when that is over, 0: not known. False: for nothing, or it is under way. */
bool schedule_waits_for(struct schedule *s, struct id id, const struct queue_recipient *recipient, struct buf *out,
                        int64_t *until_time);

struct schedule_counts {
	uint64_t delivered, deferred, bounced, expired, unknown_outcomes, attempts;
	unsigned connections, destinations;
	size_t ready, in_flight;
};
struct schedule_counts schedule_count(const struct schedule *s);

#endif
