/* postrider/io/watch.h - a hint that something changed in a directory. It may come late, too often or, when the kernel lost
 * count, not at all: whoever acts on it looks by himself from time to time too. */
#ifndef POSTRIDER_IO_WATCH_H
#define POSTRIDER_IO_WATCH_H

#include <postrider/io/io.h>

struct io_watch;

/* path with a final NUL, which is not kept. on_change runs from the loop. ERR_UNSUPPORTED in the simulated world; ERR_FULL:
 * the system has no more watches to give; ERR_NOT_FOUND, ERR_DENIED. */
MUST_USE enum err io_watch_open(struct io *io, const char *path, void (*on_change)(void *owner), void *owner,
                                struct io_watch **out);
void io_watch_close(struct io_watch **w); /* no callback afterwards; NULL is fine */

#endif
