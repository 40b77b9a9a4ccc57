/* queue/store_memory.h - the ordered store as a model in memory (postrider/queue/memory.h is its handle). */
#ifndef POSTRIDER_QUEUE_STORE_MEMORY_H
#define POSTRIDER_QUEUE_STORE_MEMORY_H

#include <postrider/queue/memory.h>

#include "store.h"

/* memory NULL: one of its own, gone with the store. disk and path: only for queue_memory_charge_disk; the
 * file is path with ".memory" behind it. ERR_BUSY: a store is open on it. */
MUST_USE enum err store_memory_open(struct queue_memory *memory, struct io_disk *disk, const char *path,
                                    const struct store_options *o, struct store **out);

#endif
