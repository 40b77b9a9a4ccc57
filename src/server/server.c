/* The server's life: start, what is watched while it runs, stop. Its rooms are made in rooms.c. */
#include "certificates.h"
#include "folder.h"
#include "internal.h"

#include <postrider/base/auto.h>

#define WATCH_MS SECOND_MS
#define DRAIN_LOOK_MS 50
#define ADMIN_CLOSE_MS 500

/* ---------------------------------------------------------------- events of the daemon */

void server_say(struct server *s, enum event_kind kind, enum event_level level, struct text detail)
{
	struct event event = EVENT(kind);

	event.level = level;
	event.detail = detail;
	observe_emit(s->observe, &event);
}

static void to_history(void *owner, const struct event *e, int64_t time_us, struct text line)
{
	struct server *s = owner;

	if (e->has_id && s->history)
		history_add(s->history, e->id, time_us, line);
}

/* ---------------------------------------------------------------- while it runs */

static void stop_by_itself(struct server *s)
{
	s->failed = true;
	server_say(
		s, EVENT_ERROR, LEVEL_ERROR,
		TEXT("the disk under the spool failed: stopping; check it (dmesg), then `postrider verify`"));
	server_stop(s, s->on_stopped, s->stop_owner); /* a second time: nothing is waited for */
}

/* Once a second: what nobody else tells. */
static void on_watch(void *owner)
{
	struct server *s = owner;
	struct queue_space space = queue_space(s->queue);

	if (space.full && !s->was_full)
		server_say(s, EVENT_SPOOL_FULL, LEVEL_ERROR,
		           TEXT("the spool is full: new mail is refused with 452 until there is space"));
	s->was_full = space.full;
	if (space.failed && !s->failed)
		stop_by_itself(s);
	if (io_timer_start(s->io, &s->watch, io_now_at(s->io) + WATCH_MS, on_watch, s))
		server_say(s, EVENT_WARNING, LEVEL_WARN,
		           TEXT("out of memory: the spool is no longer watched"));
}

/* ---------------------------------------------------------------- start */

static void say_listener(void *owner, struct text name, const struct io_address *address)
{
	struct server *s = owner;
	AUTO(buf_fini) struct buf words = BUF(512);

	buf_add_format(&words, "%.*s listens on ", TEXT_ARGS(name));
	if (address->ip.ip.family == IP_NONE)
		buf_add_format(&words, "unix:%s", address->unix_path);
	else
		ip_port_add(&words, address->ip);
	server_say(s, EVENT_STARTED, LEVEL_INFO, buf_text(&words));
}

static void say_ready(struct server *s)
{
	struct queue_space space = queue_space(s->queue);
	AUTO(buf_fini) struct buf words = BUF(512);

	receive_each_listener(s->receive, say_listener, s);
	if (!s->config->spool.durable)
		server_say(s, EVENT_WARNING, LEVEL_WARN,
		           TEXT("spool.durable is false: a power cut loses mail that was answered 250"));
	if (queue_was_unclean(s->queue))
		server_say(s, EVENT_WARNING, LEVEL_WARN,
		           TEXT("the last stop was not clean: what was being delivered then is tried again, "
		                "and may arrive twice"));
	buf_add_format(&words, "ready; spool %.*s holds %llu messages", TEXT_ARGS(s->config->spool.path),
	               (unsigned long long)space.messages);
	server_say(s, EVENT_READY, LEVEL_INFO, words.len ? buf_text(&words) : TEXT("ready"));
}

static void take_options(struct server *s, const struct server_options *options)
{
	s->io = options->io;
	s->disk = options->disk;
	s->observe = options->observe;
	s->options = *options;
	s->config = config_ref(options->config);
	s->server_context_owner = options->server_context ? options->tls_owner : s;
	s->client_context_owner = options->client_context ? options->tls_owner : s;
	if (!options->server_context)
		s->options.server_context = server_context_from_files;
	if (!options->client_context)
		s->options.client_context = client_context_with_ca;
}

/* The directories last: mail comes in by them as soon as they are looked at. */
static enum err open_all(struct server *s, struct buf *problem)
{
	enum err err = certificates_new(s, &s->certificates);

	if (!err)
		err = server_open_stores(s, problem);
	if (!err)
		err = server_names(s, s->config);
	if (!err)
		err = server_open_rooms(s, problem);
	if (!err)
		err = certificates_adopt(s->certificates, s->config);
	if (!err)
		err = io_timer_start(s->io, &s->watch, io_now_at(s->io) + WATCH_MS, on_watch, s);
	if (!err)
		err = server_open_doors(s, problem);
	return err;
}

static void on_closed(void *owner)
{
	(void)owner;
}

/* Nothing of it has begun to run: nobody waits for what is still being closed. */
static void give_up(struct server *s)
{
	if (s->drop)
		folder_close(&s->drop, on_closed, NULL);
	if (s->pickup)
		folder_close(&s->pickup, on_closed, NULL);
	if (s->admin)
		admin_close(&s->admin, 0, on_closed, NULL);
	certificates_free(&s->certificates);
	server_free_rooms(s);
	if (s->queue)
		queue_close(&s->queue, on_closed, NULL);
	if (s->history)
		history_close(&s->history, on_closed, NULL);
	io_timer_stop(s->io, &s->watch);
	server_free(&s);
}

enum err server_start(const struct server_options *options, struct server **out, struct buf *problem)
{
	struct server *s = calloc(1, sizeof(*s));
	enum err err;

	if (!s)
		return ERR_NOMEM;
	take_options(s, options);
	s->to_history = (struct observe_consumer){ .least = LEVEL_INFO, .fn = to_history, .owner = s };
	observe_add_consumer(s->observe, &s->to_history);
	err = open_all(s, problem);
	if (err) {
		if (!problem->len)
			buf_add_string(problem, err_text(err));
		give_up(s);
		return err;
	}
	say_ready(s);
	*out = s;
	return ERR_OK;
}

/* ---------------------------------------------------------------- stop */

/* Who asked for the stop is told, also who asked for it when it was over. */
static void tell_stopped(void *owner)
{
	struct server *s = owner;
	void (*on_stopped)(void *owner) = s->on_stopped;

	s->on_stopped = NULL;
	if (on_stopped)
		on_stopped(s->stop_owner);
	else if (s->failed && s->options.on_failed)
		s->options.on_failed(s->options.owner);
}

static void finished(struct server *s)
{
	server_say(s, EVENT_STOPPED, LEVEL_INFO, TEXT("stopped"));
	s->is_over = true;
	tell_stopped(s);
}

static void on_store_closed(void *owner)
{
	struct server *s = owner;

	if (--s->waits == 0)
		finished(s);
}

static void on_admin_closed(void *owner)
{
	struct server *s = owner;

	server_free_rooms(s);
	io_timer_stop(s->io, &s->watch);
	s->waits = s->history ? 2 : 1;
	if (s->history)
		history_close(&s->history, on_store_closed, s);
	queue_close(&s->queue, on_store_closed, s);
}

/* The control socket answers until the end: a probe hears that we are stopping. */
static void on_rooms_stopped(void *owner)
{
	struct server *s = owner;

	if (--s->waits > 0)
		return;
	if (s->admin)
		admin_close(&s->admin, ADMIN_CLOSE_MS, on_admin_closed, s);
	else
		on_admin_closed(s);
}

static void stop_schedule(struct server *s)
{
	io_timer_stop(s->io, &s->drain);
	s->drain_until_at = 0;
	schedule_stop(s->schedule, s->hurried ? 0 : s->config->stop.linger_ms, on_rooms_stopped, s);
}

/* A second time: what runs is broken off. */
static void hurry(struct server *s)
{
	s->hurried = true;
	if (s->waits == 0 || !s->receive)
		return; /* nothing runs any more but the last writing */
	receive_hurry(s->receive);
	if (s->drain_until_at)
		stop_schedule(s);
	else
		schedule_hurry(s->schedule);
}

static void on_drain(void *owner)
{
	struct server *s = owner;
	struct queue_space space = queue_space(s->queue);

	if (space.recipients == space.held_recipients || io_now_at(s->io) >= s->drain_until_at ||
	    io_timer_start(s->io, &s->drain, io_now_at(s->io) + DRAIN_LOOK_MS, on_drain, s))
		stop_schedule(s);
}

void server_stop(struct server *s, void (*on_stopped)(void *owner), void *owner)
{
	if (on_stopped) {
		s->on_stopped = on_stopped;
		s->stop_owner = owner;
	}
	if (s->is_over) {
		io_later_run(s->io, &s->over, tell_stopped, s);
		return;
	}
	if (s->stopping) {
		hurry(s);
		return;
	}
	s->stopping = true;
	certificates_free(&s->certificates);
	s->waits = 3;
	server_say(s, EVENT_STOPPING, LEVEL_INFO, TEXT("stopping: no new mail; what runs is finished"));
	server_close_doors(s, on_rooms_stopped);
	receive_stop(s->receive, s->config->stop.linger_ms, on_rooms_stopped, s);
	s->drain_until_at = io_now_at(s->io) + s->config->stop.drain_ms;
	on_drain(s);
}

void server_free(struct server **slot)
{
	struct server *s = *slot;

	*slot = NULL;
	if (!s)
		return;
	io_later_cancel(s->io, &s->over);
	io_later_cancel(s->io, &s->doors_closed);
	observe_remove_consumer(&s->to_history);
	config_unref(&s->config);
	free(s);
}

/* ---------------------------------------------------------------- views */

struct queue *server_queue(struct server *s)
{
	return s->queue;
}

struct schedule *server_schedule(struct server *s)
{
	return s->schedule;
}

struct receive *server_receive(struct server *s)
{
	return s->receive;
}

struct history *server_history(struct server *s)
{
	return s->history;
}

const struct config *server_config(struct server *s)
{
	return s->config;
}

bool server_has_failed(const struct server *s)
{
	return s->failed;
}
