/* The loop itself: time, turns, jobs, signals, beginning and end.
 *
 * One iteration of libuv: timers, idle, prepare, poll (reads, writes, async), closing. Our turn is the prepare step:
 * whatever reads and writes put off is done before the loop blocks again. */
#include "uv_world.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define DISK_THREADS 4
#define SPARE_DESCRIPTORS 64      /* for files, pipes, the loop's own */

struct signal_watch {
	struct list link;
	uv_signal_t handle;
	io_signal_fn *fn;
	void *owner;
};

/* ---------------------------------------------------------------- time */

static int64_t world_now_at(struct io *io)
{
	struct uv_world *w = world_of(io);

	if (!w->running)
		uv_update_time(&w->loop);
	return (int64_t)uv_now(&w->loop);
}

static int64_t world_now_time_us(struct io *io)
{
	struct timespec now;

	(void)io;
	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static uint64_t world_clock_us(struct io *io)
{
	(void)io;
	return uv_hrtime() / 1000;      /* the scale of uv_now */
}

static uint64_t world_random_u64(struct io *io)
{
	uint64_t value = 0;

	(void)io;
	while (getrandom(&value, sizeof(value), 0) != (ssize_t)sizeof(value))
		assert(errno == EINTR);
	return value;
}

/* ---------------------------------------------------------------- turns */

static void on_wake(uv_timer_t *timer)
{
	struct uv_world *w = timer->data;
	uint64_t due_us = (uint64_t)w->wake_at * 1000, now_us = uv_hrtime() / 1000;

	w->wake_at = INT64_MAX;
	if (now_us > due_us && now_us - due_us > w->lag_us)
		w->lag_us = now_us - due_us;
}

static void on_turn(uv_prepare_t *prepare)
{
	struct uv_world *w = prepare->data;

	uv_idle_stop(&w->hurry);
	io_world_turn(&w->io);
}

static void on_hurry(uv_idle_t *idle)
{
	(void)idle;
}

/* A wake-up that has become too early stays: it is cheaper to wake once for nothing than to set the timer anew
 * whenever the first deadline moves. */
static void world_wake_at(struct io *io, int64_t at_ms)
{
	struct uv_world *w = world_of(io);
	int64_t now = world_now_at(io);

	if (w->ending || at_ms == INT64_MAX)
		return;
	if (at_ms <= now) {
		uv_idle_start(&w->hurry, on_hurry);
		return;
	}
	if (at_ms >= w->wake_at)
		return;
	w->wake_at = at_ms;
	uv_timer_start(&w->wake, on_wake, (uint64_t)(at_ms - now), 0);
}

/* ---------------------------------------------------------------- other threads */

static void poke(void *owner)
{
	struct uv_world *w = owner;

	uv_async_send(&w->poke);
}

static void on_poke(uv_async_t *async)
{
	struct uv_world *w = async->data;
	size_t done = lanes_finish_done(&w->lanes);      /* may submit more */

	w->jobs -= done;
	if (atomic_load(&w->stop))
		uv_stop(&w->loop);
}

static void world_submit(struct io *io, enum io_lane lane, struct io_job *job)
{
	struct uv_world *w = world_of(io);

	w->jobs++;
	lanes_submit(&w->lanes, lane, job);
}

static unsigned world_lane_threads(struct io *io, enum io_lane lane)
{
	return world_of(io)->lanes.lane[lane].max;
}

static const struct io_world_ops uv_ops = {
	.now_at = world_now_at,
	.now_time_us = world_now_time_us,
	.clock_us = world_clock_us,
	.random_u64 = world_random_u64,
	.wake_at = world_wake_at,
	.submit = world_submit,
	.lane_threads = world_lane_threads,
	.connect = uv_world_connect,
	.listen = uv_world_listen,
	.datagram_open = uv_world_datagram_open,
	.stream_send = uv_world_send,
	.stream_read = uv_world_read,
	.stream_close = uv_world_close,
	.stream_shutdown = uv_world_shutdown,
	.listen_on = uv_world_listen_on,
	.watch_open = uv_world_watch_open,
	.watch_close = uv_world_watch_close,
	.listener_pause = uv_world_listener_pause,
	.listener_share = uv_world_listener_share,
	.listener_close = uv_world_listener_close,
	.datagram_send = uv_world_datagram_send,
	.datagram_close = uv_world_datagram_close,
};

/* ---------------------------------------------------------------- beginning */

static unsigned descriptors_allowed(void)
{
	struct rlimit limit;
	rlim_t most = 1024;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
		most = MIN(limit.rlim_cur, (rlim_t)1 << 24);
	return most > 2 * SPARE_DESCRIPTORS ? (unsigned)most - SPARE_DESCRIPTORS : (unsigned)most / 2;
}

static unsigned processors(void)
{
	long count = sysconf(_SC_NPROCESSORS_ONLN);

	return count > 2 ? (unsigned)count : 2;
}

static void world_init(struct uv_world *w, const struct io_uv_options *o)
{
	io_world_init(&w->io, &uv_ops);
	list_init(&w->streams);
	list_init(&w->listeners);
	list_init(&w->datagrams);
	list_init(&w->signals);
	list_init(&w->watches);
	w->wake_at = INT64_MAX;
	w->max_descriptors = o && o->max_descriptors ? o->max_descriptors : descriptors_allowed();
	lanes_init(&w->lanes, o && o->disk_threads ? o->disk_threads : DISK_THREADS,
	           o && o->cpu_threads ? o->cpu_threads : processors(), poke, w);
	w->wake.data = w->turn.data = w->hurry.data = w->poke.data = w;
}

/* None of these can fail: libuv only links the handles into the loop. */
static void start_handles(struct uv_world *w)
{
	uv_timer_init(&w->loop, &w->wake);
	uv_idle_init(&w->loop, &w->hurry);
	uv_prepare_init(&w->loop, &w->turn);
	uv_prepare_start(&w->turn, on_turn);
}

enum err io_uv_new(const struct io_uv_options *options, struct io **out)
{
	AUTO(free_memory) struct uv_world *w = calloc(1, sizeof(*w));

	if (!w)
		return ERR_NOMEM;
	signal(SIGPIPE, SIG_IGN);
	int status = uv_loop_init(&w->loop);

	if (status)
		return err_from_uv(status);
	status = uv_async_init(&w->loop, &w->poke, on_poke);
	if (status) {
		uv_loop_close(&w->loop);
		return err_from_uv(status);
	}
	start_handles(w);
	world_init(w, options);
	if (!io_world_read_room(&w->io)) {
		struct io *io = &w->io;

		(void)TAKE(w);
		io_uv_free(&io);
		return ERR_NOMEM;
	}
	*out = &TAKE(w)->io;
	return ERR_OK;
}

/* ---------------------------------------------------------------- running */

void io_uv_run(struct io *io)
{
	struct uv_world *w = world_of(io);

	w->running = true;
	while (!atomic_load(&w->stop))
		uv_run(&w->loop, UV_RUN_DEFAULT);
	atomic_store(&w->stop, false);
	w->running = false;
}

void io_uv_stop(struct io *io)
{
	struct uv_world *w = world_of(io);

	atomic_store(&w->stop, true);
	uv_async_send(&w->poke);
}

static void on_signal(uv_signal_t *handle, int number)
{
	struct signal_watch *watch = handle->data;

	watch->fn(watch->owner, number);
}

static void on_signal_closed(uv_handle_t *handle)
{
	free(handle->data);
}

enum err io_uv_on_signal(struct io *io, int number, io_signal_fn *fn, void *owner)
{
	struct uv_world *w = world_of(io);
	struct signal_watch *watch = calloc(1, sizeof(*watch));

	if (!watch)
		return ERR_NOMEM;
	int status = uv_signal_init(&w->loop, &watch->handle);

	if (status) {
		free(watch);
		return err_from_uv(status);
	}
	watch->fn = fn;
	watch->owner = owner;
	watch->handle.data = watch;
	status = uv_signal_start(&watch->handle, on_signal, number);
	if (status) {
		uv_close((uv_handle_t *)&watch->handle, on_signal_closed);
		return err_from_uv(status);
	}
	list_append(&w->signals, &watch->link);
	return ERR_OK;
}

unsigned io_uv_max_descriptors(const struct io *io)
{
	return CONTAINER_OF(io, const struct uv_world, io)->max_descriptors;
}

uint64_t io_uv_take_lag_us(struct io *io)
{
	struct uv_world *w = world_of(io);
	uint64_t lag_us = w->lag_us;

	w->lag_us = 0;
	return lag_us;
}

/* ---------------------------------------------------------------- the end */

static void close_signals(struct uv_world *w)
{
	struct list *link;

	while ((link = list_shift(&w->signals))) {
		struct signal_watch *watch = LIST_ITEM(link, struct signal_watch, link);

		uv_close((uv_handle_t *)&watch->handle, on_signal_closed);
	}
}

/* No timer and nothing put off runs any more: their owners may be gone. Streams hear on_closed, jobs hear done. */
void io_uv_free(struct io **io)
{
	if (!*io)
		return;
	struct uv_world *w = world_of(*io);

	*io = NULL;
	w->ending = true;
	uv_close((uv_handle_t *)&w->wake, NULL);
	uv_close((uv_handle_t *)&w->turn, NULL);
	uv_close((uv_handle_t *)&w->hurry, NULL);
	uv_world_close_listeners(w);
	uv_world_cancel_streams(w);
	uv_world_close_datagrams(w);
	uv_world_close_watches(w);
	close_signals(w);
	while (w->jobs > 0 || w->descriptors > 0)
		uv_run(&w->loop, UV_RUN_ONCE);
	lanes_fini(&w->lanes);
	uv_close((uv_handle_t *)&w->poke, NULL);
	uv_run(&w->loop, UV_RUN_DEFAULT);
	int status = uv_loop_close(&w->loop);

	assert(status == 0);
	(void)status;
	io_world_fini(&w->io);
	free(w);
}
