/* Virtual time: what is due next, and the turn of the world. */
#include "internal.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define START_TIME INT64_C(1767225600000) /* 2026-01-01T00:00:00Z */

void *sim_alloc(size_t bytes)
{
	void *memory = calloc(1, bytes ? bytes : 1);

	if (!memory) {
		fputs("simulated world: out of memory\n", stderr);
		abort();
	}
	return memory;
}

void sim_note(struct sim *s, const char *what, struct text bytes)
{
	uint64_t parts[3] = { s->trace, (uint64_t)s->now_at, text_hash(bytes) };

	s->trace = text_hash(text_of((const char *)parts, sizeof(parts))) ^ text_hash(text_from(what));
}

void sim_event_at(struct sim *s, struct sim_event *e, int64_t at_ms, void (*fn)(struct sim_event *e))
{
	e->fn = fn;
	if (heap_move(&s->events, &e->due, MAX(at_ms, s->now_at)))
		abort();
}

void sim_event_cancel(struct sim *s, struct sim_event *e)
{
	heap_remove(&s->events, &e->due);
}

int64_t sim_delay(struct sim *s)
{
	int64_t least = s->options.latency_ms;

	return least + (int64_t)random_below(&s->random, (uint64_t)least + 1);
}

/* ---------------------------------------------------------------- the table of the world */

static int64_t now_at(struct io *io)
{
	return sim_of(io)->now_at;
}

static int64_t now_time_us(struct io *io)
{
	struct sim *s = sim_of(io);

	return (s->now_at + s->clock_offset_ms) * 1000;
}

static uint64_t clock_us(struct io *io)
{
	return (uint64_t)sim_of(io)->now_at * 1000;
}

static uint64_t random_number(struct io *io)
{
	return random_u64(&sim_of(io)->random);
}

static void wake_at(struct io *io, int64_t at_ms)
{
	sim_of(io)->wake_at = at_ms;
}

struct job_end {
	struct sim_event event;
	struct sim *sim;
	struct io_job *job;
};

static void on_job_end(struct sim_event *event)
{
	struct job_end *end = CONTAINER_OF(event, struct job_end, event);
	struct io_job *job = end->job;

	free(end);
	job->done(job);
}

/* The work is done at once and its end is heard later: in a lane's order for the writer, which has one thread, and in
 * any order for the others. */
static void submit(struct io *io, enum io_lane lane, struct io_job *job)
{
	struct sim *s = sim_of(io);
	struct job_end *end = sim_alloc(sizeof(*end));
	char name = (char)('0' + (int)lane);

	end->sim = s;
	end->job = job;
	job->run(job);
	sim_note(s, "job", text_of(&name, 1));
	sim_event_at(s, &end->event,
	             s->now_at + (lane == IO_LANE_WRITER ? 1 : (int64_t)random_below(&s->random, 4)),
	             on_job_end);
}

static const struct io_world_ops world_ops = {
	.now_at = now_at,
	.now_time_us = now_time_us,
	.clock_us = clock_us,
	.random_u64 = random_number,
	.wake_at = wake_at,
	.submit = submit,
	.connect = sim_connect,
	.listen = sim_listen,
	.datagram_open = sim_datagram_open,
	.stream_send = sim_stream_send,
	.stream_read = sim_stream_read,
	.stream_close = sim_stream_close,
	.stream_shutdown = sim_stream_shutdown,
	.listener_pause = sim_listener_pause,
	.listener_share = sim_listener_share,
	.listener_close = sim_listener_close,
	.datagram_send = sim_datagram_send,
	.datagram_close = sim_datagram_close,
};

/* ---------------------------------------------------------------- running */

static int64_t next_at(const struct sim *s)
{
	struct heap_item *first = heap_first(&s->events);

	return MIN(first ? first->key : INT64_MAX, s->wake_at);
}

/* One thing: the next event, or a turn for timers and what was put off. */
static void step(struct sim *s)
{
	struct heap_item *first = heap_first(&s->events);

	s->now_at = MAX(s->now_at, next_at(s));
	if (first && first->key <= s->now_at) {
		struct sim_event *e = CONTAINER_OF(first, struct sim_event, due);

		heap_remove(&s->events, first);
		e->fn(e);
	}
	s->wake_at = INT64_MAX;
	io_world_turn(&s->io);
}

bool sim_run_until(struct sim *s, const bool *flag, int64_t limit_ms)
{
	int64_t end_at = s->now_at + limit_ms;

	while (!(flag && *flag) && next_at(s) <= end_at)
		step(s);
	if (flag && *flag)
		return true;
	s->now_at = end_at;
	return false;
}

void sim_run(struct sim *s, int64_t ms)
{
	sim_run_until(s, NULL, ms);
}

void sim_settle(struct sim *s, int64_t limit_ms)
{
	int64_t end_at = s->now_at + limit_ms;

	while (next_at(s) <= end_at)
		step(s);
}

/* ---------------------------------------------------------------- life */

enum err sim_new(const struct sim_options *options, struct sim **out)
{
	struct sim *s = calloc(1, sizeof(*s));

	if (!s)
		return ERR_NOMEM;
	s->options = *options;
	if (s->options.latency_ms <= 0)
		s->options.latency_ms = 1;
	if (!s->options.disk_bytes)
		s->options.disk_bytes = 1ull << 30;
	random_init(&s->random, options->seed);
	heap_init(&s->events);
	s->now_at = 1000 * 1000; /* a machine that has been up for a while */
	s->clock_offset_ms = (options->start_time ? options->start_time : START_TIME) - s->now_at;
	s->wake_at = INT64_MAX;
	s->next_port = 20000;
	list_init(&s->streams);
	list_init(&s->listeners);
	list_init(&s->datagrams);
	list_init(&s->reaches);
	list_init(&s->answerers);
	s->disk = sim_disk_new(s);
	io_world_init(&s->io, &world_ops);
	*out = s;
	return ERR_OK;
}

static void free_all(struct list *all)
{
	struct list *first;

	/* the link is the first member of what stands in these lists */
	while ((first = list_shift(all)))
		free(first);
}

void sim_free(struct sim **slot)
{
	struct sim *s = *slot;

	*slot = NULL;
	if (!s)
		return;
	assert(list_is_empty(&s->streams) && list_is_empty(&s->listeners) && list_is_empty(&s->datagrams));
	free_all(&s->reaches);
	free_all(&s->answerers);
	io_world_fini(&s->io);
	heap_fini(&s->events);
	sim_disk_free(s->disk);
	free(s);
}

struct io *sim_io(struct sim *s)
{
	return &s->io;
}

struct io_disk *sim_disk(struct sim *s)
{
	return s->disk;
}

uint64_t sim_trace(const struct sim *s)
{
	return s->trace;
}

void sim_set_clock(struct sim *s, int64_t utc_ms)
{
	s->clock_offset_ms = utc_ms - s->now_at;
}
