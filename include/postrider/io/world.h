/* postrider/io/world.h - what a world has to bring: the table behind io.h, stream.h, datagram.h and lane.h.
 * Only the two worlds include this. Timers and later-work are the same code in both: the world keeps time and calls
 * io_world_turn. */
#ifndef POSTRIDER_IO_WORLD_H
#define POSTRIDER_IO_WORLD_H

#include <postrider/io/datagram.h>
#include <postrider/io/lane.h>
#include <postrider/io/layer.h>
#include <postrider/io/watch.h>

struct io_world_ops {
	int64_t (*now_at)(struct io *io);
	int64_t (*now_time_us)(struct io *io);
	uint64_t (*clock_us)(struct io *io);
	uint64_t (*random_u64)(struct io *io);
	void (*wake_at)(struct io *io, int64_t at_ms);       /* INT64_MAX: nothing is due. Also called for "now" */
	void (*submit)(struct io *io, enum io_lane lane, struct io_job *job);
	unsigned (*lane_threads)(struct io *io, enum io_lane lane);      /* NULL: one each */

	enum err (*connect)(struct io *io, const struct io_address *to, const struct ip *source, struct io_stream **out);
	enum err (*listen)(struct io *io, const struct io_address *a, unsigned mode, struct io_listener **out);
	/* NULL: this world has no descriptors. */
	enum err (*listen_on)(struct io *io, int fd, bool inherited, struct io_listener **out);
	enum err (*datagram_open)(struct io *io, const struct ip_port *peer, struct io_datagram **out);
	enum err (*watch_open)(struct io *io, const char *path, struct io_watch **out); /* NULL: no files either */
	void (*watch_close)(struct io_watch *w);

	/* The wire under a stream; the parts common to both worlds (kept octets, layer, pause, deadlines) are in stream.c. */
	void (*stream_send)(struct io_stream *s, const struct text *pieces, size_t count);
	void (*stream_read)(struct io_stream *s, bool on);
	void (*stream_close)(struct io_stream *s);           /* ends in io_stream_world_closed, in a later turn */
	void (*stream_shutdown)(struct io_stream *s);        /* we send no more; all was sent. NULL: finish closes at once */
	void (*listener_pause)(struct io_listener *l, bool paused);
	void (*listener_share)(struct io_listener *l);
	void (*listener_close)(struct io_listener *l);
	enum err (*datagram_send)(struct io_datagram *d, struct text bytes);
	void (*datagram_close)(struct io_datagram *d);
};

struct io {
	const struct io_world_ops *ops;
	struct heap timers;
	struct list later;
	struct list shared;
	int64_t wall_offset_ms;         /* utc = at + offset, anchored anew when the clocks part */
	int64_t next_anchor_at;
	char *read_room, *plain_room;   /* IO_KEEP_BYTES + IO_READ_BYTES each, made when first needed */
	bool in_turn;
};

struct io_stream {
	struct io *io;
	const struct io_stream_events *events;
	void *owner;
	struct io_layer *layer;
	struct io_address peer, local;
	char *kept;                     /* octets read and not taken; NULL when there are none */
	size_t kept_len, kept_room;     /* during on_data kept_len is what it was offered */
	size_t unsent;                  /* octets the world holds for the wire */
	struct io_later later;          /* to offer what is kept, to say that all was sent, to end */
	struct io_timer linger;
	enum err why;
	enum io_wire wire;              /* what the layer wants; without one IO_WIRE_AS_OWNER */
	bool connected, reading, paused, offer_due, in_data, discard;
	bool wire_eof, eof_due, eof_said;
	bool was_blocked, send_failed, finishing, half_closed, closing;
};

struct io_listener {
	struct io *io;
	struct io_address address;
	io_accept_fn *on_accept;
	void *owner;
};

struct io_watch {
	struct io *io;
	void (*on_change)(void *owner);
	void *owner;
};

struct io_datagram {
	struct io *io;
	struct ip_port peer;
	io_datagram_fn *on_datagram;
	void *owner;
};

void io_world_init(struct io *io, const struct io_world_ops *ops);
void io_world_fini(struct io *io);
/* Runs what is due and what was put off; afterwards the world hears wake_at with the next time. Not from inside
 * itself. What this turn makes due or puts off waits for the next one. */
void io_world_turn(struct io *io);
/* Where the world may put what it reads, to be handed to io_stream_world_data in the same breath: IO_READ_BYTES behind
 * IO_KEEP_BYTES of room, so that what was kept can be copied in front. NULL: no memory. */
char *io_world_read_room(struct io *io);

/* What the world says of a stream; all from the loop, never from inside one of the operations above except
 * io_stream_world_sent and _send_failed, which stream_send may call. A stream begins zeroed, then _init; peer and local are filled
 * in before on_accept, or before _connected. */
void io_stream_world_init(struct io_stream *s, struct io *io);
void io_stream_world_connected(struct io_stream *s);
size_t io_stream_world_room(const struct io_stream *s);      /* the most that it can take now; 0: stop reading */
void io_stream_world_data(struct io_stream *s, struct text bytes);
void io_stream_world_eof(struct io_stream *s);               /* the world reads no more by itself */
void io_stream_world_sent(struct io_stream *s, size_t unsent_now);
/* Sending failed: what the peer said before is still read, then the stream ends with this reason. */
void io_stream_world_send_failed(struct io_stream *s, enum err why);
void io_stream_world_failed(struct io_stream *s, enum err why);
/* The wire is closed: tells the layer and the owner and frees what stream.c keeps; the world frees s afterwards. */
void io_stream_world_closed(struct io_stream *s);

#endif
