/* postrider/queue/memory.h - the memory twin of the store: what it holds outlives the queues that are opened
 * on it, so that the simulated world and tests can play a stop, a crash, a full and a broken disk. Nothing is
 * written anywhere. */
#ifndef POSTRIDER_QUEUE_MEMORY_H
#define POSTRIDER_QUEUE_MEMORY_H

#include <postrider/base/err.h>

#include <stdbool.h>

struct queue_memory;

struct queue_memory *queue_memory_new(void);             /* NULL: no memory */
void queue_memory_free(struct queue_memory **m);         /* no queue is open on it */

/* The power fails now: what is committed from here on seems to succeed and is gone once the queue has been
 * closed. May be called on any thread, also from a fault point. */
void queue_memory_power_off(struct queue_memory *m);

/* Commits fail with err after `after` more have succeeded, until this is called with ERR_OK. */
void queue_memory_fail_commits(struct queue_memory *m, enum err err, unsigned after);

/* What it holds is charged to the disk of the queue's options as a file that grows by pages and never
 * shrinks, as LMDB's does: a commit that finds no room fails with ERR_IO, as LMDB's does. Before a queue is
 * opened on it. */
void queue_memory_charge_disk(struct queue_memory *m, bool on);

#endif
