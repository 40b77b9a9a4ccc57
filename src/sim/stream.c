/* Streams between users of the same world. Each end has what is on the way to it; octets arrive in pieces of seeded
 * lengths, in order, each after a delay. */
#include "internal.h"

#include <assert.h>
#include <stdlib.h>

/* What a peer that does not read takes before its sender is held up, as a kernel's buffers would. */
#define WINDOW_BYTES (128u << 10)
#define ON_THE_WAY_MAX (256u << 20)

struct sim_stream {
	struct list link; /* first: in sim->streams */
	struct io_stream base;
	struct sim *sim;
	struct sim_stream *other; /* NULL: gone, or never there */
	struct buf coming;        /* octets on the way to this end, behind `arrived` that were */
	size_t arrived;
	struct sim_event arrival, connecting, closing;
	bool reading, end_coming, end_came, wire_closed;
};

struct sim_listener {
	struct list link;
	struct io_listener base;
	bool paused, shared;
};

struct sim_reach_row {
	struct list link;
	struct ip_port to;
	enum sim_reach reach;
};

static struct sim_stream *stream_of(struct io_stream *s)
{
	return CONTAINER_OF(s, struct sim_stream, base);
}

static struct sim_stream *stream_new(struct sim *sim)
{
	struct sim_stream *s = sim_alloc(sizeof(*s));

	io_stream_world_init(&s->base, &sim->io);
	s->sim = sim;
	s->coming = BUF(ON_THE_WAY_MAX);
	list_append(&sim->streams, &s->link);
	return s;
}

/* ---------------------------------------------------------------- octets on the way */

static void arrive_later(struct sim_stream *s, int64_t delay_ms);

static struct text on_the_way(const struct sim_stream *s)
{
	return text_skip(buf_text(&s->coming), s->arrived);
}

/* Moves what is left only now and then: a client may have written hundreds of MiB at once. */
static void take(struct sim_stream *s, size_t bytes)
{
	s->arrived += bytes;
	if (s->arrived < s->coming.len / 2)
		return;
	buf_drop_head(&s->coming, s->arrived);
	s->arrived = 0;
}

static void tell_sender(struct sim_stream *s)
{
	size_t left = on_the_way(s).len, over = left > WINDOW_BYTES ? left - WINDOW_BYTES : 0;

	if (s->other && !s->other->wire_closed)
		io_stream_world_sent(&s->other->base, over);
}

static void on_arrival(struct sim_event *event)
{
	struct sim_stream *s = CONTAINER_OF(event, struct sim_stream, arrival);
	struct text coming = on_the_way(s);
	size_t most = MIN(coming.len, io_stream_world_room(&s->base));
	char *room;

	if (s->wire_closed || !s->reading || s->end_came)
		return;
	if (coming.len == 0) {
		if (s->end_coming) {
			s->end_came = true;
			s->reading = false;
			io_stream_world_eof(&s->base);
		}
		return;
	}
	if (most == 0)
		return;
	if (!s->sim->options.whole_writes)
		most = 1 + random_below(&s->sim->random, most);
	room = io_world_read_room(&s->sim->io);
	assert(room);
	memcpy(room, coming.at, most);
	take(s, most);
	sim_note(s->sim, "octets", text_of(room, most));
	arrive_later(s, on_the_way(s).len ? (int64_t)random_below(&s->sim->random, 2) : 0);
	tell_sender(s);
	io_stream_world_data(&s->base, text_of(room, most));
}

static void arrive_later(struct sim_stream *s, int64_t delay_ms)
{
	if (s->wire_closed || !s->reading || (on_the_way(s).len == 0 && !s->end_coming))
		return;
	if (!heap_has(&s->arrival.due))
		sim_event_at(s->sim, &s->arrival, s->sim->now_at + delay_ms, on_arrival);
}

void sim_stream_read(struct io_stream *base, bool on)
{
	struct sim_stream *s = stream_of(base);

	s->reading = on;
	if (on)
		arrive_later(s, 0);
	else
		sim_event_cancel(s->sim, &s->arrival);
}

void sim_stream_send(struct io_stream *base, const struct text *pieces, size_t count)
{
	struct sim_stream *s = stream_of(base), *to = s->other;

	if (!to || to->wire_closed) {
		io_stream_world_send_failed(base, ERR_CLOSED);
		return;
	}
	for (size_t i = 0; i < count; i++)
		buf_add(&to->coming, pieces[i]);
	assert(!buf_err(&to->coming));
	arrive_later(to, sim_delay(s->sim));
	if (on_the_way(to).len > WINDOW_BYTES)
		io_stream_world_sent(base, on_the_way(to).len - WINDOW_BYTES);
}

void sim_stream_shutdown(struct io_stream *base)
{
	struct sim_stream *s = stream_of(base);

	if (s->other) {
		s->other->end_coming = true;
		arrive_later(s->other, sim_delay(s->sim));
	}
}

static void on_close(struct sim_event *event)
{
	struct sim_stream *s = CONTAINER_OF(event, struct sim_stream, closing);

	list_remove(&s->link);
	io_stream_world_closed(&s->base);
	buf_fini(&s->coming);
	free(s);
}

void sim_stream_close(struct io_stream *base)
{
	struct sim_stream *s = stream_of(base);

	s->wire_closed = true;
	sim_event_cancel(s->sim, &s->arrival);
	sim_event_cancel(s->sim, &s->connecting);
	if (s->other) {
		s->other->end_coming = true;
		arrive_later(s->other, sim_delay(s->sim));
		s->other->other = NULL;
	}
	s->other = NULL;
	sim_event_at(s->sim, &s->closing, s->sim->now_at, on_close);
}

/* ---------------------------------------------------------------- connecting */

static bool same_place(const struct io_address *listening, const struct io_address *to)
{
	static const struct ip any4 = { .family = IP_V4 }, any6 = { .family = IP_V6 };

	if (to->ip.ip.family == IP_NONE)
		return strcmp(listening->unix_path, to->unix_path) == 0;
	return listening->ip.port == to->ip.port &&
	       (ip_eq(listening->ip.ip, to->ip.ip) || ip_eq(listening->ip.ip, any4) ||
	        ip_eq(listening->ip.ip, any6));
}

static struct sim_listener *find_listener(struct sim *s, const struct io_address *to)
{
	for (LIST_EACH(it, &s->listeners)) {
		struct sim_listener *l = LIST_ITEM(it, struct sim_listener, link);

		if (same_place(&l->base.address, to))
			return l;
	}
	return NULL;
}

static enum sim_reach reach_of(struct sim *s, struct ip_port to)
{
	for (LIST_EACH(it, &s->reaches)) {
		struct sim_reach_row *row = LIST_ITEM(it, struct sim_reach_row, link);

		if (ip_eq(row->to.ip, to.ip) && (row->to.port == 0 || row->to.port == to.port))
			return row->reach;
	}
	return SIM_REACHABLE;
}

static void meet(struct sim_stream *caller, struct sim_listener *l)
{
	struct sim_stream *callee = stream_new(caller->sim);

	callee->other = caller;
	caller->other = callee;
	callee->base.peer = caller->base.local;
	callee->base.local = caller->base.peer;
	callee->base.connected = true;
	l->base.on_accept(l->base.owner, &callee->base);
	if (!callee->base.events)
		io_stream_close(&callee->base);
	if (!caller->wire_closed)
		io_stream_world_connected(&caller->base);
}

static void on_connecting(struct sim_event *event)
{
	struct sim_stream *s = CONTAINER_OF(event, struct sim_stream, connecting);
	struct sim_listener *l = find_listener(s->sim, &s->base.peer);

	switch (s->sim->isolated ? SIM_UNREACHABLE : reach_of(s->sim, s->base.peer.ip)) {
	case SIM_SILENT:
		return;
	case SIM_UNREACHABLE:
		io_stream_world_failed(&s->base, ERR_UNREACHABLE);
		return;
	case SIM_REFUSED:
		io_stream_world_failed(&s->base, ERR_REFUSED);
		return;
	case SIM_REACHABLE:
		break;
	}
	if (!l)
		io_stream_world_failed(&s->base, ERR_REFUSED);
	else if (l->paused)
		sim_event_at(s->sim, &s->connecting, s->sim->now_at + 10, on_connecting);
	else
		meet(s, l);
}

enum err sim_connect(struct io *io, const struct io_address *to, const struct ip *source,
                     struct io_stream **out)
{
	struct sim *sim = sim_of(io);
	struct sim_stream *s = stream_new(sim);

	s->base.peer = *to;
	if (to->ip.ip.family != IP_NONE) {
		s->base.local.ip.ip = source && source->family != IP_NONE ? *source : ip_from_v4(0x7f000001);
		s->base.local.ip.port = (uint16_t)sim->next_port;
		sim->next_port = sim->next_port == 65535 ? 20000 : sim->next_port + 1;
	}
	sim_event_at(sim, &s->connecting, sim->now_at + sim_delay(sim), on_connecting);
	*out = &s->base;
	return ERR_OK;
}

/* ---------------------------------------------------------------- listening */

static bool is_taken(struct sim *s, const struct io_address *address, bool beside)
{
	for (LIST_EACH(it, &s->listeners)) {
		const struct sim_listener *l = LIST_ITEM(it, struct sim_listener, link);

		if ((same_place(&l->base.address, address) || same_place(address, &l->base.address)) &&
		    !(beside && l->shared))
			return true;
	}
	return false;
}

void sim_listener_share(struct io_listener *base)
{
	CONTAINER_OF(base, struct sim_listener, base)->shared = true;
}

enum err sim_listen(struct io *io, const struct io_address *a, unsigned mode, struct io_listener **out)
{
	struct sim *sim = sim_of(io);
	struct io_address address = *a;
	struct sim_listener *l;

	if (address.ip.ip.family != IP_NONE && address.ip.port == 0)
		address.ip.port = (uint16_t)sim->next_port++;
	if (is_taken(sim, &address, mode & IO_LISTEN_BESIDE))
		return ERR_BUSY;
	l = sim_alloc(sizeof(*l));
	l->base.io = io;
	l->base.address = address;
	list_append(&sim->listeners, &l->link);
	*out = &l->base;
	return ERR_OK;
}

void sim_listener_pause(struct io_listener *base, bool paused)
{
	CONTAINER_OF(base, struct sim_listener, base)->paused = paused;
}

void sim_listener_close(struct io_listener *base)
{
	struct sim_listener *l = CONTAINER_OF(base, struct sim_listener, base);

	list_remove(&l->link);
	free(l);
}

/* ---------------------------------------------------------------- faults */

enum err sim_set_reach(struct sim *s, struct ip_port to, enum sim_reach reach)
{
	struct sim_reach_row *row;

	for (LIST_EACH(it, &s->reaches)) {
		row = LIST_ITEM(it, struct sim_reach_row, link);
		if (ip_eq(row->to.ip, to.ip) && row->to.port == to.port) {
			row->reach = reach;
			return ERR_OK;
		}
	}
	row = calloc(1, sizeof(*row));
	if (!row)
		return ERR_NOMEM;
	row->to = to;
	row->reach = reach;
	list_append(&s->reaches, &row->link);
	return ERR_OK;
}

static bool touches(const struct io_address *a, struct ip_port address)
{
	return ip_eq(a->ip.ip, address.ip) && (address.port == 0 || a->ip.port == address.port);
}

void sim_half_close(struct io_stream *stream)
{
	sim_stream_shutdown(stream);
}

static void cut_stream(struct sim_stream *s)
{
	buf_reset(&s->coming); /* what was on the way is lost, as by a reset */
	s->arrived = 0;
	io_stream_world_failed(&s->base, ERR_CLOSED);
}

void sim_cut(struct sim *s, struct ip_port address)
{
	for (LIST_EACH_SAFE(it, &s->streams)) {
		struct sim_stream *one = LIST_ITEM(it, struct sim_stream, link);

		if (!one->wire_closed && one->base.connected &&
		    (touches(&one->base.peer, address) || touches(&one->base.local, address)))
			cut_stream(one);
	}
}

void sim_isolate(struct sim *s, bool isolated)
{
	s->isolated = isolated;
	for (LIST_EACH_SAFE(it, &s->streams)) {
		struct sim_stream *one = LIST_ITEM(it, struct sim_stream, link);

		if (isolated && !one->wire_closed && one->base.connected)
			cut_stream(one);
	}
}
