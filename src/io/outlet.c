#include <postrider/io/outlet.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <postrider/base/auto.h>

#define DEFAULT_BYTES (4u << 20)
#define DEFAULT_PAUSE_MS 5
/* What one write(2) is given at most, so that room in the buffer shows while a slow reader reads. */
#define CHUNK_BYTES (64u << 10)
#define GAP_LINE_MAX 4096
/* A buffer that grew beyond this in a stall is given back. */
#define KEEP_BYTES (256u << 10)

struct io_outlet {
	int descriptor;
	size_t buffer_bytes;
	unsigned pause_ms;
	io_outlet_gap_fn *on_gap;
	void *owner;

	pthread_t thread;

	pthread_mutex_t lock;   /* guards all below */
	pthread_cond_t changed; /* CLOCK_MONOTONIC: to the thread, work or stop; from it, ended */
	struct buf waiting;
	size_t being_written; /* octets the thread has taken and not written */
	uint64_t lost;
	uint64_t unsaid; /* of them, those for which on_gap has not been called */
	bool full;       /* lines are dropped until a quarter of the buffer is free */
	bool asleep;     /* the thread waits for work and needs a signal */
	bool stop, ended;
	bool abandoned; /* io_outlet_free did not wait longer: the thread frees, if it ever gets that far */

	struct buf taken; /* the thread's own */
	bool mid_line;    /* a write failed inside a line: the next begins with LF */
};

static struct timespec monotonic_in(int64_t ms)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += (time_t)(ms / 1000);
	t.tv_nsec += (long)(ms % 1000) * 1000000;
	if (t.tv_nsec >= 1000000000) {
		t.tv_sec++;
		t.tv_nsec -= 1000000000;
	}
	return t;
}

static uint64_t count_line_ends(struct text t)
{
	uint64_t count = 0;

	for (const char *p = t.at; (p = memchr(p, '\n', t.len - (size_t)(p - t.at))); p++)
		count++;
	return count;
}

/* One write(2) that waits as long as it takes. Returns what was written; 0: it failed for good. */
static size_t write_some(int descriptor, struct text t)
{
	for (;;) {
		ssize_t written = write(descriptor, t.at, MIN(t.len, CHUNK_BYTES));

		if (written > 0)
			return (size_t)written;
		if (written < 0 && errno == EINTR)
			continue;
		if (written >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK))
			return 0;
		/* Whoever shares the open file with us has made it non-blocking. */
		struct pollfd ready = { .fd = descriptor, .events = POLLOUT };

		if (poll(&ready, 1, -1) < 0 && errno != EINTR)
			return 0;
	}
}

/* false: nobody wants the rest any more. */
static bool note_written(struct io_outlet *o, size_t written)
{
	pthread_mutex_lock(&o->lock);
	o->being_written -= written;
	bool is_wanted = !o->abandoned;

	pthread_mutex_unlock(&o->lock);
	return is_wanted;
}

static void note_failed(struct io_outlet *o, struct text rest)
{
	uint64_t lines = count_line_ends(rest);

	pthread_mutex_lock(&o->lock);
	o->being_written -= rest.len;
	o->lost += lines;
	o->unsaid += lines;
	pthread_mutex_unlock(&o->lock);
}

static void write_taken(struct io_outlet *o)
{
	struct text rest = buf_text(&o->taken);

	if (o->mid_line && write_some(o->descriptor, TEXT("\n")) > 0)
		o->mid_line = false;
	while (rest.len > 0) {
		size_t written = o->mid_line ? 0 : write_some(o->descriptor, rest);

		if (written == 0) {
			/* What was begun stays a torso, and the line is counted as lost. */
			o->mid_line = o->mid_line || (rest.at > o->taken.at && rest.at[-1] != '\n');
			note_failed(o, rest);
			return;
		}
		if (!note_written(o, written))
			return;
		rest = text_skip(rest, written);
	}
}

/* With the lock held. Sleeps until there is something to write; false: there is nothing, and we are to stop. */
static bool wait_for_lines(struct io_outlet *o)
{
	while (o->waiting.len == 0) {
		if (o->stop)
			return false;
		o->asleep = true;
		pthread_cond_wait(&o->changed, &o->lock);
		o->asleep = false;
	}
	return true;
}

/* With the lock held. Under load lines gather here and go out together: a write and a switch of threads for each would
 * cost more than building them. A single line on an idle outlet never waits, because the pause comes behind it. */
static void let_lines_gather(struct io_outlet *o)
{
	struct timespec until = monotonic_in(o->pause_ms);

	while (!o->stop && pthread_cond_timedwait(&o->changed, &o->lock, &until) != ETIMEDOUT)
		;
}

static void free_all(struct io_outlet *o)
{
	pthread_cond_destroy(&o->changed);
	pthread_mutex_destroy(&o->lock);
	buf_fini(&o->waiting);
	buf_fini(&o->taken);
	free(o);
}

static void *run(void *arg)
{
	struct io_outlet *o = arg;

	pthread_mutex_lock(&o->lock);
	while (!o->abandoned && wait_for_lines(o)) {
		struct buf empty = o->taken;

		o->taken = o->waiting;
		o->waiting = empty;
		buf_reset(&o->waiting);
		o->being_written = o->taken.len;
		pthread_mutex_unlock(&o->lock);
		write_taken(o);
		if (o->taken.room > KEEP_BYTES)
			buf_fini(&o->taken);
		pthread_mutex_lock(&o->lock);
		let_lines_gather(o);
	}
	bool is_ours = o->abandoned;

	o->ended = true;
	pthread_cond_broadcast(&o->changed);
	pthread_mutex_unlock(&o->lock);
	if (is_ours)
		free_all(o);
	return NULL;
}

/* The thread hears no signals: they are the loop's. */
static enum err start_thread(struct io_outlet *o)
{
	sigset_t all, before;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int rc = pthread_create(&o->thread, NULL, run, o);

	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return rc == 0 ? ERR_OK : err_from_errno(rc);
}

enum err io_outlet_new(const struct io_outlet_options *options, struct io_outlet **out)
{
	struct io_outlet *o = calloc(1, sizeof(*o));
	pthread_condattr_t monotonic;

	if (!o)
		return ERR_NOMEM;
	o->descriptor = options->descriptor;
	o->buffer_bytes = options->buffer_bytes ? options->buffer_bytes : DEFAULT_BYTES;
	o->pause_ms = options->pause_ms ? options->pause_ms : DEFAULT_PAUSE_MS;
	o->on_gap = options->on_gap;
	o->owner = options->owner;
	buf_init(&o->waiting, o->buffer_bytes);
	buf_init(&o->taken, o->buffer_bytes);
	pthread_mutex_init(&o->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&o->changed, &monotonic);
	pthread_condattr_destroy(&monotonic);
	enum err err = start_thread(o);

	if (err)
		free_all(o);
	else
		*out = o;
	return err;
}

/* The rest is with the lock held. */

static bool has_room(struct io_outlet *o, size_t octets)
{
	size_t used = o->waiting.len + o->being_written;

	if (o->full && used > o->buffer_bytes / 4 * 3)
		return false;
	o->full = octets > o->buffer_bytes - used;
	return !o->full;
}

static bool append(struct io_outlet *o, struct text line)
{
	char *place = has_room(o, line.len + 1) ? buf_reserve(&o->waiting, line.len + 1) : NULL;

	if (!place) {
		o->waiting.err = ERR_OK; /* no memory: what waits is whole */
		o->lost++;
		o->unsaid++;
		return false;
	}
	memcpy(place, line.at, line.len);
	place[line.len] = '\n';
	buf_grew(&o->waiting, line.len + 1);
	if (o->asleep)
		pthread_cond_signal(&o->changed);
	return true;
}

/* Says what was lost as soon as there is room for that. */
static void say_gap(struct io_outlet *o)
{
	uint64_t unsaid = o->unsaid;

	if (unsaid == 0 || !has_room(o, GAP_LINE_MAX))
		return;
	AUTO(buf_fini) struct buf line = BUF(GAP_LINE_MAX - 1);

	o->unsaid = 0;
	if (o->on_gap)
		o->on_gap(o->owner, unsaid, &line);
	if (line.len > 0 && !buf_err(&line))
		append(o, buf_text(&line));
}

bool io_outlet_put(struct io_outlet *o, struct text line)
{
	pthread_mutex_lock(&o->lock);
	say_gap(o);
	bool is_in = append(o, line);

	pthread_mutex_unlock(&o->lock);
	return is_in;
}

uint64_t io_outlet_lost(struct io_outlet *o)
{
	pthread_mutex_lock(&o->lock);
	uint64_t lost = o->lost;

	pthread_mutex_unlock(&o->lock);
	return lost;
}

void io_outlet_free(struct io_outlet **outlet, int64_t deadline_ms)
{
	struct io_outlet *o = *outlet;

	if (!o)
		return;
	struct timespec until = monotonic_in(deadline_ms);
	pthread_t thread = o->thread;

	*outlet = NULL;
	pthread_mutex_lock(&o->lock);
	say_gap(o);
	o->stop = true;
	pthread_cond_broadcast(&o->changed);
	while (!o->ended && pthread_cond_timedwait(&o->changed, &o->lock, &until) != ETIMEDOUT)
		;
	bool ended = o->ended;

	/* A thread inside write(2) cannot be called back; the end of the process ends it. */
	o->abandoned = !ended;
	pthread_mutex_unlock(&o->lock);
	if (!ended) {
		pthread_detach(thread);
		return;
	}
	pthread_join(thread, NULL);
	free_all(o);
}
