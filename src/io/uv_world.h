/* uv_world.h - the real world: what its parts share. */
#ifndef IO_UV_WORLD_H
#define IO_UV_WORLD_H

#include <stdatomic.h>
#include <sys/socket.h>
#include <uv.h>
#undef MIN      /* <sys/param.h>, which <uv.h> brings, and base mean the same by them */
#undef MAX

#include <postrider/io/uv.h>
#include <postrider/io/world.h>

#include "lanes.h"

struct uv_world {
	struct io io;                     /* first: a struct io of this world is one of these */
	uv_loop_t loop;
	uv_timer_t wake;                  /* for the first of io.timers */
	uv_prepare_t turn;                /* before the loop blocks: io_world_turn */
	uv_idle_t hurry;                  /* runs while something waits for the next turn: then the loop does not block */
	uv_async_t poke;                  /* other threads: jobs have ended, or io_uv_stop */
	atomic_bool stop;
	bool running, ending;
	int64_t wake_at;                  /* what `wake` is set to; INT64_MAX: not set */
	uint64_t lag_us;
	struct lanes lanes;
	size_t jobs;                      /* submitted and not done */
	unsigned descriptors, max_descriptors;
	struct list streams, listeners, datagrams, signals, watches;
};

static inline struct uv_world *world_of(struct io *io)
{
	return CONTAINER_OF(io, struct uv_world, io);
}

static inline bool world_has_descriptors(const struct uv_world *w)
{
	return w->descriptors < w->max_descriptors;
}

enum err err_from_uv(int status);

/* Addresses as the kernel writes them. */
socklen_t address_to_sockaddr(const struct io_address *a, struct sockaddr_storage *out);
void address_from_sockaddr(const struct sockaddr_storage *from, socklen_t len, struct io_address *out);
/* Who is at the other end of a Unix socket. */
void address_peer_credentials(int fd, struct io_address *a);

/* uv_stream.c */
enum err uv_world_connect(struct io *io, const struct io_address *to, const struct ip *source, struct io_stream **out);
/* Takes fd, a connected socket that is ours and does not block; closes it on failure. */
enum err uv_world_adopt(struct io *io, int fd, const struct io_address *peer, const struct io_address *local,
                        struct io_stream **out);
void uv_world_send(struct io_stream *s, const struct text *pieces, size_t count);
void uv_world_read(struct io_stream *s, bool on);
void uv_world_close(struct io_stream *s);
void uv_world_shutdown(struct io_stream *s);
void uv_world_cancel_streams(struct uv_world *w);

/* uv_listener.c */
enum err uv_world_listen(struct io *io, const struct io_address *a, unsigned mode, struct io_listener **out);
enum err uv_world_listen_on(struct io *io, int fd, bool inherited, struct io_listener **out);
void uv_world_listener_pause(struct io_listener *l, bool paused);
void uv_world_listener_share(struct io_listener *l);
void uv_world_listener_close(struct io_listener *l);
void uv_world_close_listeners(struct uv_world *w);

/* uv_watch.c */
enum err uv_world_watch_open(struct io *io, const char *path, struct io_watch **out);
void uv_world_watch_close(struct io_watch *w);
void uv_world_close_watches(struct uv_world *w);

/* uv_datagram.c */
enum err uv_world_datagram_open(struct io *io, const struct ip_port *peer, struct io_datagram **out);
enum err uv_world_datagram_send(struct io_datagram *d, struct text bytes);
void uv_world_datagram_close(struct io_datagram *d);
void uv_world_close_datagrams(struct uv_world *w);

#endif
