/* sim/internal.h - what the files of this room share. */
#ifndef POSTRIDER_SIM_INTERNAL_H
#define POSTRIDER_SIM_INTERNAL_H

#include <postrider/base/buf.h>
#include <postrider/base/random.h>
#include <postrider/io/world.h>
#include <postrider/sim.h>

/* Something that happens at its time. Owned by whoever embeds it. */
struct sim_event {
	struct heap_item due;
	void (*fn)(struct sim_event *e);
};

struct sim {
	struct io io;
	struct random random;
	int64_t now_at;
	int64_t clock_offset_ms; /* UTC = now_at + this */
	int64_t wake_at;
	uint64_t trace;
	struct heap events;
	struct sim_options options;
	struct list streams, listeners, datagrams, reaches, answerers;
	unsigned next_port;
	bool isolated;
	struct io_disk *disk;
};

static inline struct sim *sim_of(struct io *io)
{
	return CONTAINER_OF(io, struct sim, io);
}

/* The simulated world cannot go on without memory: these end the program, as an assertion does. */
void *sim_alloc(size_t bytes);
void sim_event_at(struct sim *s, struct sim_event *e, int64_t at_ms, void (*fn)(struct sim_event *e));
void sim_event_cancel(struct sim *s, struct sim_event *e);
int64_t sim_delay(struct sim *s);                                  /* a seeded time on the way */
void sim_note(struct sim *s, const char *what, struct text bytes); /* into the trace */

/* stream.c */
enum err sim_connect(struct io *io, const struct io_address *to, const struct ip *source,
                     struct io_stream **out);
enum err sim_listen(struct io *io, const struct io_address *a, unsigned mode, struct io_listener **out);
void sim_stream_send(struct io_stream *s, const struct text *pieces, size_t count);
void sim_stream_read(struct io_stream *s, bool on);
void sim_stream_close(struct io_stream *s);
void sim_stream_shutdown(struct io_stream *s);
void sim_listener_pause(struct io_listener *l, bool paused);
void sim_listener_share(struct io_listener *l);
void sim_listener_close(struct io_listener *l);

/* datagram.c */
enum err sim_datagram_open(struct io *io, const struct ip_port *peer, struct io_datagram **out);
enum err sim_datagram_send(struct io_datagram *d, struct text bytes);
void sim_datagram_close(struct io_datagram *d);
void sim_forget_answerer(struct sim *s, const void *owner);

/* disk.c */
struct io_disk *sim_disk_new(struct sim *s);
void sim_disk_free(struct io_disk *d);

#endif
