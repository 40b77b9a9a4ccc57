/* support/streams.h - streams over loopback for tests: an end that writes down what it hears. */
#ifndef TEST_SUPPORT_STREAMS_H
#define TEST_SUPPORT_STREAMS_H

#include <postrider/base/buf.h>
#include <postrider/io/stream.h>
#include <postrider/io/uv.h>

/* One end of a stream. Set the hooks and `take` before it is used. */
struct end {
	struct io *io;
	struct io_stream *stream;                    /* NULL after on_closed */
	struct buf got;                              /* all that was taken */
	unsigned calls, connected, eofs, drained, closed;
	enum err why;
	size_t take;                                 /* taken from one offer at most */
	size_t offered;                              /* by the last on_data */
	bool pause_in_data, close_in_data, finish_in_data, discard_in_data, close_when_connected;
	void (*on_data)(struct end *e, struct text bytes);      /* before anything is taken */
	void (*on_event)(struct end *e);                        /* after connected, eof, drained, closed */
	void *owner;
};

extern const struct io_stream_events end_events;

void end_init(struct end *e, struct io *io);
void end_fini(struct end *e);
void end_write(struct end *e, const char *string);
void end_write_many(struct end *e, char octet, size_t len);
struct text end_got(const struct end *e);

/* A listener on a free port of 127.0.0.1, and the two ends of one connection. */
struct ends {
	struct io *io;
	struct io_listener *listener;
	struct end client, server;
	unsigned accepted;
	bool close_when_accepted, forget_when_accepted;
};

void ends_init(struct ends *p);           /* a loop and a listener; nothing is connected yet */
void ends_connect(struct ends *p);        /* io_connect; does not run the loop */
void ends_join(struct ends *p);           /* connects and runs the loop until both ends know */
void ends_fini(struct ends *p);           /* frees the loop too */

void loop_for(struct io *io, int64_t ms);

/* Runs the loop until the expression holds; fails the test after 10 s. */
#define LOOP_UNTIL(io, expression)                                                                                     \
	do {                                                                                                           \
		uint64_t before_ = io_clock_us(io);                                                                    \
		while (!(expression)) {                                                                                \
			if (io_clock_us(io) - before_ > 10000000)                                                      \
				fail_msg("waited 10 s for: %s", #expression);                                          \
			loop_for(io, 1);                                                                               \
		}                                                                                                      \
	} while (0)

#endif
