/* postrider/io/layer.h - what stands between a stream's owner and the wire (TLS). One layer at most. */
#ifndef POSTRIDER_IO_LAYER_H
#define POSTRIDER_IO_LAYER_H

#include <postrider/io/stream.h>

struct io_layer;

struct io_layer_ops {
	/* Octets from the wire, all of them are the layer's now. It hands on what it makes of them by io_layer_deliver.
	 * None at all: the owner has resumed, the layer goes on with what it keeps. */
	void (*on_wire)(struct io_layer *l, struct text bytes);
	void (*on_wire_eof)(struct io_layer *l);
	/* The owner writes; the layer sends what it makes of it by io_layer_send. */
	void (*write)(struct io_layer *l, const struct text *pieces, size_t count);
	/* The owner finishes: a last word to the peer (close_notify) may be sent from inside this call. */
	void (*finish)(struct io_layer *l);
	/* How many octets the layer keeps that it has not sent yet (written during a handshake). */
	size_t (*unsent)(const struct io_layer *l);
	/* The stream has closed and forgets the layer. The layer frees itself now, or when its running job ends. */
	void (*detach)(struct io_layer *l);
};

struct io_layer {
	const struct io_layer_ops *ops;
	struct io_stream *stream;        /* NULL after detach */
};

/* Whether the stream reads from the wire under a layer. */
enum io_wire {
	IO_WIRE_AS_OWNER,        /* unless the owner has paused */
	IO_WIRE_ON,              /* also then: a handshake needs it */
	IO_WIRE_OFF              /* not now: a job works on what came */
};

/* From now on the layer stands under the stream. What was read before and not taken is forgotten, also what the
 * on_data that calls this leaves: it came before the layer and must not be taken for what came through it. */
void io_stream_set_layer(struct io_stream *s, struct io_layer *l);
struct io_layer *io_stream_layer(const struct io_stream *s);

void io_layer_read(struct io_layer *l, enum io_wire wire);
/* Memory that every layer of this world may use within one call to make plain octets in; delivering from its start
 * saves a copy. *size is what may be delivered at once. NULL: no memory. */
char *io_layer_room(struct io_layer *l, size_t *size);
/* To the owner's on_data; at most IO_READ_BYTES. While the owner has paused they are kept. */
void io_layer_deliver(struct io_layer *l, struct text plain);
void io_layer_deliver_eof(struct io_layer *l);
void io_layer_send(struct io_layer *l, const struct text *pieces, size_t count);
void io_layer_fail(struct io_layer *l, enum err why);              /* closes the stream with this reason */
/* True while the owner has paused: a layer that can wait keeps the wire's octets unread. */
bool io_layer_is_paused(const struct io_layer *l);

#endif
