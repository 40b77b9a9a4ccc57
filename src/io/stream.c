/* What streams of both worlds have in common: kept octets, pause, layer, end.
 *
 * An end comes in three ways, and all pass through io_stream_close, whose second half is io_stream_world_closed:
 * the owner's close; a failure; a finish, which is SENDING (finishing) -> WAITING for the peer (half_closed) -> close. */
#include <postrider/io/world.h>

#include <assert.h>
#include <stdlib.h>

#define PAUSED_READ_BYTES 4096      /* read at most once while the owner has paused */
#define SEND_LINGER_MS (10 * 1000)
#define PEER_LINGER_MS 1000

/* ---------------------------------------------------------------- small parts */

static bool is_over(const struct io_stream *s)
{
	return s->closing || s->finishing;
}

static void forget_kept(struct io_stream *s)
{
	free(s->kept);
	s->kept = NULL;
	s->kept_len = s->kept_room = 0;
}

static void fail(struct io_stream *s, enum err why)
{
	if (s->closing)
		return;
	s->why = why;
	io_stream_close(s);
}

static bool wants_wire(const struct io_stream *s)
{
	if (!s->connected || s->closing || s->wire_eof)
		return false;
	if (s->finishing)
		return true;
	if (s->wire != IO_WIRE_AS_OWNER)
		return s->wire == IO_WIRE_ON;
	return !s->paused && !s->offer_due;
}

static void update_reading(struct io_stream *s)
{
	bool want = wants_wire(s);

	if (want == s->reading)
		return;
	s->reading = want;
	s->io->ops->stream_read(s, want);
}

static void on_later(void *owner);

static void put_off(struct io_stream *s)
{
	io_later_run(s->io, &s->later, on_later, s);
}

/* ---------------------------------------------------------------- octets that arrive */

/* The octets may lie inside s->kept itself. */
static void keep(struct io_stream *s, const char *at, size_t len)
{
	if (len == 0) {
		forget_kept(s);
		return;
	}
	if (len > s->kept_room || s->kept_room > 2 * len + 256) {
		char *kept = malloc(len);

		if (!kept) {
			fail(s, ERR_NOMEM);
			return;
		}
		memcpy(kept, at, len);
		free(s->kept);
		s->kept = kept;
		s->kept_room = len;
	} else {
		memmove(s->kept, at, len);
	}
	s->kept_len = len;
}

static void keep_more(struct io_stream *s, struct text bytes)
{
	size_t len = s->kept_len + bytes.len;

	if (len > IO_KEEP_BYTES + IO_READ_BYTES) {
		fail(s, ERR_TOO_BIG);
		return;
	}
	if (len > s->kept_room) {
		char *kept = realloc(s->kept, len);

		if (!kept) {
			fail(s, ERR_NOMEM);
			return;
		}
		s->kept = kept;
		s->kept_room = len;
	}
	memcpy(s->kept + s->kept_len, bytes.at, bytes.len);
	s->kept_len = len;
}

/* Offers octets that lie outside s->kept, or are all of it. Afterwards s->kept is what was left. */
static void offer(struct io_stream *s, const char *at, size_t len)
{
	for (;;) {
		size_t part = MIN(len, (size_t)IO_READ_BYTES);

		s->kept_len = part;
		s->in_data = true;
		size_t taken = s->events->on_data(s->owner, text_of(at, part));
		s->in_data = false;
		assert(taken <= part);
		at += taken;
		len -= taken;
		if (s->discard || is_over(s)) {
			s->discard = false;
			forget_kept(s);
			return;
		}
		if (s->paused || s->offer_due) {
			keep(s, at, len);
			return;
		}
		if (len == 0 || taken == 0 || len + taken == part)
			break;
	}
	if (len > IO_KEEP_BYTES)
		fail(s, ERR_TOO_BIG);
	else
		keep(s, at, len);
}

/* `room` has IO_KEEP_BYTES in front of it and IO_READ_BYTES behind; bytes may lie at its start. */
static void deliver(struct io_stream *s, struct text bytes, char *room)
{
	if (s->paused || s->offer_due) {
		keep_more(s, bytes);
		return;
	}
	if (s->kept_len == 0) {
		offer(s, bytes.at, bytes.len);
		return;
	}
	assert(bytes.len <= IO_READ_BYTES && s->kept_len <= IO_KEEP_BYTES);
	if (!room) {
		fail(s, ERR_NOMEM);
		return;
	}
	if (bytes.at != room)
		memmove(room, bytes.at, bytes.len);
	char *start = room - s->kept_len;

	memcpy(start, s->kept, s->kept_len);
	offer(s, start, s->kept_len + bytes.len);
}

static void say_eof(struct io_stream *s)
{
	s->eof_due = false;
	s->eof_said = true;
	s->events->on_eof(s->owner);
}

static void deliver_eof(struct io_stream *s)
{
	if (is_over(s) || s->eof_said)
		return;
	if (s->paused || s->offer_due)
		s->eof_due = true;
	else
		say_eof(s);
}

/* The owner has resumed: first what the stream keeps, then what the layer keeps, then the end of it. */
static void go_on_offering(struct io_stream *s)
{
	if (!s->offer_due)
		return;
	s->offer_due = false;
	if (s->paused)
		return;
	if (s->kept_len > 0)
		offer(s, s->kept, s->kept_len);
	if (s->layer && !s->paused && !is_over(s))
		s->layer->ops->on_wire(s->layer, TEXT_EMPTY);
	if (s->eof_due && !s->paused && !is_over(s))
		say_eof(s);
}

/* ---------------------------------------------------------------- the end */

static void on_linger(void *owner)
{
	struct io_stream *s = owner;

	if (s->finishing && s->why == ERR_OK && io_stream_unsent(s) > 0)
		s->why = ERR_TIMEOUT;
	io_stream_close(s);
}

static void linger(struct io_stream *s, int64_t ms)
{
	if (io_timer_start(s->io, &s->linger, io_now_at(s->io) + ms, on_linger, s))
		fail(s, ERR_NOMEM);
}

static void end_when_sent(struct io_stream *s)
{
	if (s->half_closed || io_stream_unsent(s) > 0)
		return;
	if (s->wire_eof || !s->io->ops->stream_shutdown) {
		io_stream_close(s);
		return;
	}
	s->half_closed = true;
	s->io->ops->stream_shutdown(s);
	if (!s->closing)
		linger(s, PEER_LINGER_MS);
}

void io_stream_finish(struct io_stream *s)
{
	if (is_over(s))
		return;
	if (!s->connected || s->send_failed) {
		io_stream_close(s);
		return;
	}
	if (s->layer)
		s->layer->ops->finish(s->layer);
	if (is_over(s))
		return;
	s->finishing = true;
	s->paused = false;
	if (!s->in_data)
		forget_kept(s);
	linger(s, SEND_LINGER_MS);
	if (!s->closing)
		end_when_sent(s);
	if (!s->closing)
		update_reading(s);
}

void io_stream_close(struct io_stream *s)
{
	if (s->closing)
		return;
	s->closing = true;
	s->reading = false;
	io_timer_stop(s->io, &s->linger);
	io_later_cancel(s->io, &s->later);
	s->io->ops->stream_close(s);
}

void io_stream_world_closed(struct io_stream *s)
{
	struct io_layer *layer = s->layer;

	s->closing = true;
	io_timer_stop(s->io, &s->linger);
	io_later_cancel(s->io, &s->later);
	s->layer = NULL;
	if (layer) {
		layer->stream = NULL;
		layer->ops->detach(layer);
	}
	if (s->events)
		s->events->on_closed(s->owner, s->why);
	forget_kept(s);
}

/* What was put off: the end of a blocked time, offers, the end. */
static void on_later(void *owner)
{
	struct io_stream *s = owner;

	if (s->finishing) {
		if (s->send_failed)
			io_stream_close(s);
		else
			end_when_sent(s);
		return;
	}
	if (s->was_blocked && !s->send_failed && io_stream_unsent(s) == 0) {
		s->was_blocked = false;
		s->events->on_drained(s->owner);
	}
	if (!is_over(s))
		go_on_offering(s);
	if (!s->closing)
		update_reading(s);
	if (s->send_failed && s->wire_eof && !s->paused)
		io_stream_close(s);
}

/* ---------------------------------------------------------------- what the world says */

void io_stream_world_init(struct io_stream *s, struct io *io)
{
	s->io = io;
	s->peer.peer_uid = s->peer.peer_gid = UINT32_MAX;
	s->local.peer_uid = s->local.peer_gid = UINT32_MAX;
}

void io_stream_world_connected(struct io_stream *s)
{
	if (s->closing)
		return;
	s->connected = true;
	s->events->on_connected(s->owner);
	if (!s->closing)
		update_reading(s);
}

size_t io_stream_world_room(const struct io_stream *s)
{
	size_t room = IO_KEEP_BYTES + IO_READ_BYTES - MIN(s->kept_len, (size_t)(IO_KEEP_BYTES + IO_READ_BYTES));

	if (s->layer && s->wire == IO_WIRE_ON)
		return IO_READ_BYTES;
	if (s->paused || s->offer_due)
		return MIN(room, (size_t)PAUSED_READ_BYTES);
	return IO_READ_BYTES - MIN(s->kept_len, (size_t)IO_READ_BYTES);
}

void io_stream_world_data(struct io_stream *s, struct text bytes)
{
	bool was_paused = s->paused || s->offer_due;

	if (is_over(s))
		return;
	if (s->layer)
		s->layer->ops->on_wire(s->layer, bytes);
	else
		deliver(s, bytes, io_world_read_room(s->io));
	if (was_paused && !s->closing)
		update_reading(s);
}

void io_stream_world_eof(struct io_stream *s)
{
	if (s->closing)
		return;
	s->wire_eof = true;
	s->reading = false;
	if (s->half_closed)
		io_stream_close(s);
	else if (s->finishing)
		return;
	else if (s->send_failed)
		put_off(s);
	else if (s->layer)
		s->layer->ops->on_wire_eof(s->layer);
	else
		deliver_eof(s);
}

void io_stream_world_sent(struct io_stream *s, size_t unsent_now)
{
	s->unsent = unsent_now;
	if (unsent_now > 0)
		s->was_blocked = true;
	else if (!s->closing && (s->finishing || s->was_blocked) && io_stream_unsent(s) == 0)
		put_off(s);
}

/* The peer has probably closed, and may have said why before: 421 and the like. That lies in our socket still. Read
 * it to its end, which is near. */
void io_stream_world_send_failed(struct io_stream *s, enum err why)
{
	if (s->closing || s->send_failed)
		return;
	s->send_failed = true;
	s->unsent = 0;
	s->why = why;
	linger(s, PEER_LINGER_MS);
	if (!s->closing)
		put_off(s);
}

void io_stream_world_failed(struct io_stream *s, enum err why)
{
	if (s->closing)
		return;
	if (s->half_closed)
		io_stream_close(s);      /* all was sent: how the peer hangs up does not matter */
	else
		fail(s, s->send_failed ? s->why : why);
}

/* ---------------------------------------------------------------- the layer */

void io_stream_set_layer(struct io_stream *s, struct io_layer *l)
{
	assert(!s->layer && !is_over(s));
	(void)io_stream_discard_kept(s);
	s->layer = l;
	l->stream = s;
	if (s->wire_eof)
		fail(s, ERR_CLOSED);
}

struct io_layer *io_stream_layer(const struct io_stream *s)
{
	return s->layer;
}

void io_layer_read(struct io_layer *l, enum io_wire wire)
{
	struct io_stream *s = l->stream;

	if (!s || s->closing)
		return;
	s->wire = wire;
	update_reading(s);
}

void io_layer_deliver(struct io_layer *l, struct text plain)
{
	struct io_stream *s = l->stream;
	size_t size;

	if (!s || is_over(s) || plain.len == 0)
		return;
	deliver(s, plain, s->kept_len > 0 ? io_layer_room(l, &size) : NULL);
}

void io_layer_deliver_eof(struct io_layer *l)
{
	if (l->stream)
		deliver_eof(l->stream);
}

void io_layer_send(struct io_layer *l, const struct text *pieces, size_t count)
{
	struct io_stream *s = l->stream;

	if (!s || s->closing || s->send_failed)
		return;
	s->io->ops->stream_send(s, pieces, count);
	if (!s->closing && (s->was_blocked || s->finishing) && io_stream_unsent(s) == 0)
		put_off(s);
}

void io_layer_fail(struct io_layer *l, enum err why)
{
	if (l->stream)
		fail(l->stream, why);
}

bool io_layer_is_paused(const struct io_layer *l)
{
	return l->stream && (l->stream->paused || l->stream->offer_due);
}

/* ---------------------------------------------------------------- what the owner says */

enum err io_connect(struct io *io, const struct io_address *to, const struct ip *source,
                    const struct io_stream_events *events, void *owner, struct io_stream **out)
{
	struct io_stream *s = NULL;
	enum err err = io->ops->connect(io, to, source, &s);

	if (err)
		return err;
	s->events = events;
	s->owner = owner;
	*out = s;
	return ERR_OK;
}

void io_stream_attach(struct io_stream *s, const struct io_stream_events *events, void *owner)
{
	assert(!s->events && !s->closing);
	s->events = events;
	s->owner = owner;
	s->connected = true;
	update_reading(s);
}

void io_stream_write(struct io_stream *s, const struct text *pieces, size_t count)
{
	if (is_over(s) || s->send_failed)
		return;
	if (!s->layer) {
		s->io->ops->stream_send(s, pieces, count);
		return;
	}
	s->layer->ops->write(s->layer, pieces, count);
	if (!s->closing && io_stream_unsent(s) > 0)
		s->was_blocked = true;
}

size_t io_stream_unsent(const struct io_stream *s)
{
	return s->unsent + (s->layer ? s->layer->ops->unsent(s->layer) : 0);
}

/* Reading goes on until something comes: most pauses end before. */
void io_stream_pause(struct io_stream *s)
{
	if (is_over(s))
		return;
	s->paused = true;
	if (io_stream_world_room(s) == 0)
		update_reading(s);
}

void io_stream_resume(struct io_stream *s)
{
	if (is_over(s) || !s->paused)
		return;
	s->paused = false;
	if (s->in_data || s->kept_len > 0 || s->layer || s->eof_due) {
		s->offer_due = true;
		put_off(s);
	} else if (!s->offer_due) {
		update_reading(s);
	}
}

size_t io_stream_discard_kept(struct io_stream *s)
{
	size_t len = s->kept_len;

	if (s->in_data)
		s->discard = true;
	else
		forget_kept(s);
	return len;
}

struct io *io_stream_io(const struct io_stream *s)
{
	return s->io;
}

const struct io_address *io_stream_peer(const struct io_stream *s)
{
	return &s->peer;
}

const struct io_address *io_stream_local(const struct io_stream *s)
{
	return &s->local;
}

bool io_stream_is_closing(const struct io_stream *s)
{
	return is_over(s);
}
