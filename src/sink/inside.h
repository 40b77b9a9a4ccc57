/* inside.h - the sink, as the files of this room share them. */
#ifndef POSTRIDER_SRC_SINK_INSIDE_H
#define POSTRIDER_SRC_SINK_INSIDE_H

#include <postrider/base/random.h>
#include <postrider/sink.h>

#include "greylist.h"
#include "keeper.h"

struct sink {
	struct sink_options o; /* texts in it are ours, defaults are filled in */
	char *hostname, *ledger_field;
	struct io_listener *listener;
	struct keeper *keeper; /* NULL: nothing is written */
	struct greylist greylist;
	struct random random;
	struct list sessions;
	struct buf out; /* the replies of one call from io: empty between calls */
	struct sink_counts counts;
};

/* session.c. Attaches a session to an accepted stream. */
void sink_session_begin(struct sink *s, struct io_stream *stream);
/* Closes the stream and forgets the sink; link is one of sink->sessions. */
void sink_session_abandon(struct list *link);

#endif
