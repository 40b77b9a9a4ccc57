/* Time, timers, and what is put off: the same in both worlds. */
#include <postrider/io/world.h>

#include <assert.h>
#include <stdlib.h>

#define ANCHOR_EVERY_MS 1000
#define CLOCKS_PARTED_MS 10      /* less is drift and rounding */

void io_world_init(struct io *io, const struct io_world_ops *ops)
{
	*io = (struct io){ .ops = ops };
	heap_init(&io->timers);
	list_init(&io->later);
	list_init(&io->shared);
	io->next_anchor_at = INT64_MIN;
}

/* Shared things may outlive the world: they are let go of. */
void io_world_fini(struct io *io)
{
	while (list_shift(&io->shared))
		;
	heap_fini(&io->timers);
	free(io->read_room);
	free(io->plain_room);
	io->read_room = io->plain_room = NULL;
}

static char *room_of(char **room)
{
	if (!*room)
		*room = malloc(IO_KEEP_BYTES + IO_READ_BYTES);
	return *room ? *room + IO_KEEP_BYTES : NULL;
}

char *io_world_read_room(struct io *io)
{
	return room_of(&io->read_room);
}

char *io_layer_room(struct io_layer *l, size_t *size)
{
	*size = io_stream_world_room(l->stream);
	return room_of(&l->stream->io->plain_room);
}

/* ---------------------------------------------------------------- time */

int64_t io_now_at(struct io *io)
{
	return io->ops->now_at(io);
}

/* io_now_time is made from now_at and the offset, so that a time turned into a place on the monotonic scale and a
 * look at the clock when that place is reached agree to the millisecond: nothing comes due a moment too early and
 * spins. The offset changes only at the first look of a turn. */
static int64_t wall_offset(struct io *io)
{
	int64_t at = io_now_at(io);

	if (at < io->next_anchor_at)
		return io->wall_offset_ms;
	int64_t offset = io->ops->now_time_us(io) / 1000 - (int64_t)(io->ops->clock_us(io) / 1000);
	int64_t parted = offset - io->wall_offset_ms;

	if (io->next_anchor_at == INT64_MIN || parted > CLOCKS_PARTED_MS || parted < -CLOCKS_PARTED_MS)
		io->wall_offset_ms = offset;
	io->next_anchor_at = at + ANCHOR_EVERY_MS;
	return io->wall_offset_ms;
}

int64_t io_now_time(struct io *io)
{
	return io_now_at(io) + wall_offset(io);
}

int64_t io_now_time_us(struct io *io)
{
	return io->ops->now_time_us(io);
}

uint64_t io_clock_us(struct io *io)
{
	return io->ops->clock_us(io);
}

uint64_t io_random_u64(struct io *io)
{
	return io->ops->random_u64(io);
}

int64_t io_at_of_time(struct io *io, int64_t utc_ms)
{
	return utc_ms - wall_offset(io);
}

/* ---------------------------------------------------------------- timers */

enum err io_timer_start(struct io *io, struct io_timer *timer, int64_t at_ms, void (*fn)(void *owner), void *owner)
{
	int64_t now = io_now_at(io);
	enum err err = heap_move(&io->timers, &timer->due, at_ms > now ? at_ms : now);

	if (err)
		return err;
	timer->fn = fn;
	timer->owner = owner;
	/* what was put off wakes the world before any timer */
	if (!io->in_turn && heap_first(&io->timers) == &timer->due && list_is_empty(&io->later))
		io->ops->wake_at(io, timer->due.key);
	return ERR_OK;
}

void io_timer_stop(struct io *io, struct io_timer *timer)
{
	heap_remove(&io->timers, &timer->due);
}

/* A timer started meanwhile, also for a time gone by, waits for the next turn: its key is not below now, its order
 * not below the limit, so all that was there before stands in front of it. */
static void run_timers(struct io *io)
{
	int64_t now = io_now_at(io);
	uint64_t limit = io->timers.next_order;
	struct heap_item *first;

	while ((first = heap_first(&io->timers)) && first->key <= now && first->order < limit) {
		struct io_timer *timer = CONTAINER_OF(first, struct io_timer, due);

		heap_remove(&io->timers, first);
		timer->fn(timer->owner);
	}
}

/* ---------------------------------------------------------------- later */

void io_later_run(struct io *io, struct io_later *later, void (*fn)(void *owner), void *owner)
{
	if (!list_is_empty(&later->link))
		return;
	bool first = list_is_empty(&io->later);

	later->fn = fn;
	later->owner = owner;
	list_append(&io->later, &later->link);
	if (first && !io->in_turn)
		io->ops->wake_at(io, io_now_at(io));
}

void io_later_cancel(struct io *io, struct io_later *later)
{
	(void)io;
	list_remove(&later->link);
}

static void run_later(struct io *io)
{
	struct list now;
	struct list *link;

	list_init(&now);
	list_append_all(&now, &io->later);
	while ((link = list_shift(&now))) {
		struct io_later *later = LIST_ITEM(link, struct io_later, link);

		later->fn(later->owner);
	}
}

void io_world_turn(struct io *io)
{
	assert(!io->in_turn);
	io->in_turn = true;
	run_timers(io);
	run_later(io);
	io->in_turn = false;

	struct heap_item *first = heap_first(&io->timers);

	if (!list_is_empty(&io->later))
		io->ops->wake_at(io, io_now_at(io));
	else
		io->ops->wake_at(io, first ? first->key : INT64_MAX);
}

/* ---------------------------------------------------------------- shared things */

struct io_shared *io_shared_find(struct io *io, const void *key)
{
	for (LIST_EACH(it, &io->shared)) {
		struct io_shared *shared = LIST_ITEM(it, struct io_shared, link);

		if (shared->key == key)
			return shared;
	}
	return NULL;
}

void io_shared_add(struct io *io, struct io_shared *shared, const void *key)
{
	shared->key = key;
	list_prepend(&io->shared, &shared->link);
}

void io_shared_remove(struct io_shared *shared)
{
	list_remove(&shared->link);
}

/* ---------------------------------------------------------------- lanes, listeners, datagrams */

void io_job_submit(struct io *io, enum io_lane lane, struct io_job *job)
{
	io->ops->submit(io, lane, job);
}

unsigned io_lane_threads(struct io *io, enum io_lane lane)
{
	return io->ops->lane_threads ? io->ops->lane_threads(io, lane) : 1;
}

enum err io_listen(struct io *io, const struct io_address *address, unsigned mode, io_accept_fn *on_accept, void *owner,
                   struct io_listener **out)
{
	struct io_listener *l = NULL;
	enum err err = io->ops->listen(io, address, mode, &l);

	if (err)
		return err;
	l->on_accept = on_accept;
	l->owner = owner;
	*out = l;
	return ERR_OK;
}

enum err io_listen_on(struct io *io, int fd, bool inherited, io_accept_fn *on_accept, void *owner,
                      struct io_listener **out)
{
	struct io_listener *l = NULL;
	enum err err = io->ops->listen_on ? io->ops->listen_on(io, fd, inherited, &l) : ERR_UNSUPPORTED;

	if (err)
		return err;
	l->on_accept = on_accept;
	l->owner = owner;
	*out = l;
	return ERR_OK;
}

const struct io_address *io_listener_address(const struct io_listener *l)
{
	return &l->address;
}

void io_listener_pause(struct io_listener *l)
{
	l->io->ops->listener_pause(l, true);
}

void io_listener_resume(struct io_listener *l)
{
	l->io->ops->listener_pause(l, false);
}

void io_listener_share(struct io_listener *l)
{
	l->io->ops->listener_share(l);
}

void io_listener_close(struct io_listener **l)
{
	struct io_listener *listener = *l;

	*l = NULL;
	if (listener)
		listener->io->ops->listener_close(listener);
}

enum err io_datagram_open(struct io *io, const struct ip_port *peer, io_datagram_fn *on_datagram, void *owner,
                          struct io_datagram **out)
{
	struct io_datagram *d = NULL;
	enum err err = io->ops->datagram_open(io, peer, &d);

	if (err)
		return err;
	d->on_datagram = on_datagram;
	d->owner = owner;
	*out = d;
	return ERR_OK;
}

enum err io_datagram_send(struct io_datagram *d, struct text bytes)
{
	return d->io->ops->datagram_send(d, bytes);
}

void io_datagram_close(struct io_datagram **d)
{
	struct io_datagram *datagram = *d;

	*d = NULL;
	if (datagram)
		datagram->io->ops->datagram_close(datagram);
}

/* ---------------------------------------------------------------- watches */

enum err io_watch_open(struct io *io, const char *path, void (*on_change)(void *owner), void *owner,
                       struct io_watch **out)
{
	struct io_watch *w = NULL;
	enum err err = io->ops->watch_open ? io->ops->watch_open(io, path, &w) : ERR_UNSUPPORTED;

	if (err)
		return err;
	w->on_change = on_change;
	w->owner = owner;
	*out = w;
	return ERR_OK;
}

void io_watch_close(struct io_watch **w)
{
	struct io_watch *watch = *w;

	*w = NULL;
	if (watch)
		watch->io->ops->watch_close(watch);
}
