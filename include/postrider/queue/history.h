/* postrider/queue/history.h - the stories of messages, living and finished: what happened, by id, for `show`
 * and search. An LMDB environment of its own, written in batches by its own job, never synced for anybody's
 * sake; a damaged one is put aside and begun anew. Mail never waits for it: over its memory budget entries
 * are dropped and counted. */
#ifndef POSTRIDER_QUEUE_HISTORY_H
#define POSTRIDER_QUEUE_HISTORY_H

#include <postrider/base/id.h>
#include <postrider/io/io.h>

struct history;

struct history_options {
	struct io *io;
	struct text path;                /* a directory of its own inside the spool */
	int64_t keep_ms;                 /* older stories are removed in slices */
	uint64_t max_bytes;              /* the map; the oldest go first when it fills */
	bool in_memory;
};

MUST_USE enum err history_open(const struct history_options *o, struct history **out);      /* blocks; before the loop */
void history_close(struct history **h, void (*on_closed)(void *owner), void *owner);      /* writes what waits */

/* Adds one event of a message (a JSON line, kept as it is). Copies. */
void history_add(struct history *h, struct id id, int64_t time_us, struct text line);
uint64_t history_dropped(const struct history *h);

/* The lines of the messages whose ids lie in a range (a prefix, or one id), in order; on_done at the end. */
typedef bool history_line_fn(void *owner, struct id id, struct text line);
typedef void history_done_fn(void *owner, enum err err);
void history_read(struct history *h, struct id first, struct id last, history_line_fn *each, history_done_fn *on_done,
                  void *owner);

#endif
