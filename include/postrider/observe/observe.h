/* postrider/observe/observe.h - where events go. The server makes one struct observe and hands it to the rooms, which
 * need only observe_emit. Whoever wants events (log, history) is registered as a consumer by the server.
 * Nothing here blocks, does I/O or reads a clock of its own. One thread: the loop's. */
#ifndef POSTRIDER_OBSERVE_OBSERVE_H
#define POSTRIDER_OBSERVE_OBSERVE_H

#include <postrider/base/buf.h>
#include <postrider/base/list.h>
#include <postrider/observe/counters.h>
#include <postrider/observe/event.h>

struct observe_options {
	struct text node;                            /* who says it: the host's name, in each line; copied */
	int64_t (*now_time_us)(void *clock);         /* UTC microseconds */
	void *clock;
};

MUST_USE enum err observe_new(const struct observe_options *options, struct observe **out);
void observe_free(struct observe **o);

/* time_us is the event's time, line its JSON object without a line end; all is borrowed for the call.
 * A consumer may emit another event: all consumers hear it before the rest of them hear the present one. It must not add
 * or remove consumers. */
typedef void observe_consumer_fn(void *owner, const struct event *e, int64_t time_us, struct text line);

struct observe_consumer {
	struct list link;
	enum event_level least;                      /* events below this level pass it by; may be changed at any time */
	observe_consumer_fn *fn;
	void *owner;
};

/* The consumer is the caller's memory, its fields filled in, and heard in the order of adding. */
void observe_add_consumer(struct observe *o, struct observe_consumer *consumer);
void observe_remove_consumer(struct observe_consumer *consumer);

struct counters *observe_counters(struct observe *o);

/* The line that consumers would get for an event now, without counting it or handing it out: what the log says of its own
 * gaps. */
void observe_add_line(struct observe *o, const struct event *e, struct buf *out);

/* The line of an event, as consumers get it. For lines that are made outside of a daemon, and for tests. */
void observe_event_line(struct text node, const struct event *e, int64_t time_us, struct buf *out);

#endif
