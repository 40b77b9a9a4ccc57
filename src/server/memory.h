/* server/memory.h - the watch over the process's memory. */
#ifndef POSTRIDER_SERVER_MEMORY_H
#define POSTRIDER_SERVER_MEMORY_H

#include <postrider/base/err.h>

struct server;
struct memory_watch;

/* Tells s->receive, which must be there before the loop turns and until the watch is freed. *out stays NULL where the system does
 * not say how much memory we have. */
MUST_USE enum err memory_watch_new(struct server *s, struct memory_watch **out);
void memory_watch_free(struct memory_watch **w); /* NULL is fine */

#endif
