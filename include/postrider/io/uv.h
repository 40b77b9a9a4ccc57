/* postrider/io/uv.h - the real world: a libuv loop with its lanes. For server, cli, sink and tests. */
#ifndef POSTRIDER_IO_UV_H
#define POSTRIDER_IO_UV_H

#include <postrider/base/ip.h>
#include <postrider/io/stream.h>

struct io_uv_options {
	unsigned disk_threads;        /* 0: 4 */
	unsigned cpu_threads;         /* 0: as many as processors, 2 at least */
	unsigned max_descriptors;     /* streams, listeners and datagrams together; 0: the process's limit less 64 */
};

/* One for each thread that wants a loop. SIGPIPE is ignored from here on. */
MUST_USE enum err io_uv_new(const struct io_uv_options *options, struct io **out);
/* Runs until io_uv_stop. Returns with everything as it was; can be run again. */
void io_uv_run(struct io *io);
void io_uv_stop(struct io *io);       /* also from another thread or a signal callback */
/* Ends the lanes after what they have, closes every handle, frees. Streams still open hear on_closed. */
void io_uv_free(struct io **io);

typedef void io_signal_fn(void *owner, int number);
MUST_USE enum err io_uv_on_signal(struct io *io, int number, io_signal_fn *fn, void *owner);

/* A TCP socket bound to the address and not listening yet, for io_listen_on: for a port that we may bind now and not any
 * more when the loop runs. */
MUST_USE enum err io_uv_bind(const struct ip_port *address, int *fd);

/* A connected Unix stream socket that does not block, taken over, also after an error: as one from on_accept. */
MUST_USE enum err io_uv_stream_open(struct io *io, int fd, const struct io_stream_events *events, void *owner,
                                    struct io_stream **out);

/* The addresses of this machine's interfaces, max at most; returns how many. */
size_t io_uv_own_addresses(struct ip *out, size_t max);

unsigned io_uv_max_descriptors(const struct io *io);
/* The largest delay between a timer's time and its turn since the last call, in microseconds. */
uint64_t io_uv_take_lag_us(struct io *io);

#endif
