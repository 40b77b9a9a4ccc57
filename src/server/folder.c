#include "folder_inside.h"

#include <stdlib.h>
#include <unistd.h>

#include <postrider/base/auto.h>

#define AT_ONCE 8                /* files on their way in */
#define OWNER_MANY 10000         /* files of one owner that are worth a word */
#define PAUSE_MS (5 * SECOND_MS) /* after what may pass: a full disk */
#define WARN_EVERY_MS (60 * SECOND_MS)
#define USER_MAX 200

/* ---------------------------------------------------------------- words */

void folder_say(struct folder *f, enum event_kind kind, enum event_level level, const char *format, ...)
{
	AUTO(buf_fini) struct buf words = BUF(EVENT_TEXT_MAX);
	struct event event = EVENT(kind);
	va_list args;

	buf_add_format(&words, "%.*s directory %s: ", TEXT_ARGS(f->kind->listener), f->path.at);
	va_start(args, format);
	buf_add_format_v(&words, format, args);
	va_end(args);
	event.level = level;
	event.detail = buf_text(&words);
	observe_emit(f->options.observe, &event);
}

/* What others can make happen again and again is said once a minute. */
bool folder_may_warn(struct folder *f)
{
	int64_t now = io_now_at(f->options.io);

	if (f->warned_at && now - f->warned_at < WARN_EVERY_MS)
		return false;
	f->warned_at = now;
	return true;
}

void folder_say_rejected(struct folder_file *file, struct text to, struct text why)
{
	struct event event = EVENT(EVENT_REJECTED);
	struct folder *f = file->folder;

	event.level = LEVEL_WARN;
	event.from = f->kind->from(file);
	event.to = to;
	event.response = why;
	event.reason = REASON_POLICY;
	event.size = (int64_t)file->bytes;
	event.client_ip = buf_text(&file->user);
	event.client_listener = f->kind->listener;
	event.client_protocol = f->kind->protocol;
	event.detail = text_from(file->name);
	observe_emit(f->options.observe, &event);
}

static void look(struct folder *f);
static void check_closed(struct folder *f);

/* ---------------------------------------------------------------- rounds */

static void run_sync(struct io_job *job)
{
	struct folder *f = CONTAINER_OF(job, struct folder, sync);

	/* Or files that were removed come back with a power cut; if it fails, they only may. */
	(void)!fsync(f->fd);
}

static void rest(struct folder *f);

static void on_synced(struct io_job *job)
{
	struct folder *f = CONTAINER_OF(job, struct folder, sync);

	f->syncing = false;
	rest(f);
}

/* The round is over. */
static void end_round(struct folder *f)
{
	if (!f->options.durable || f->fd < 0) {
		rest(f);
		return;
	}
	f->syncing = true;
	f->sync = (struct io_job){ .run = run_sync, .done = on_synced };
	io_job_submit(f->options.io, IO_LANE_DISK, &f->sync);
}

static void begin_file(struct folder *f, struct folder_file *file)
{
	list_remove(&file->link);
	list_append(&f->active, &file->link);
	f->active_count++;
	folder_file_begin(file);
}

static void drop_waiting(struct folder *f)
{
	for (LIST_EACH_SAFE(it, &f->waiting))
		folder_file_free(LIST_ITEM(it, struct folder_file, link));
}

void folder_begin_next(struct folder *f)
{
	if (f->closing || f->paused || f->broken)
		drop_waiting(f);
	while (!list_is_empty(&f->waiting) && f->active_count < AT_ONCE)
		begin_file(f, LIST_ITEM(f->waiting.next, struct folder_file, link));
	if (f->active_count == 0)
		end_round(f);
}

static void on_timer(void *owner)
{
	struct folder *f = owner;

	f->paused = false;
	look(f);
}

/* Until there is news, or it is time to look. */
static void rest(struct folder *f)
{
	bool at_once = (f->more || f->news) && !f->paused;
	int64_t wait_ms = f->paused ? PAUSE_MS : at_once ? 0 : f->options.interval_ms;

	if (f->closing) {
		check_closed(f);
		return;
	}
	if (f->broken)
		return;
	if (io_timer_start(f->options.io, &f->timer, io_now_at(f->options.io) + wait_ms, on_timer, f))
		folder_say(f, EVENT_ERROR, LEVEL_ERROR, "out of memory: it is not looked at any more");
}

static void on_change(void *owner)
{
	struct folder *f = owner;

	f->news = true;
	/* While a round is under way it is seen at its end; while there is a pause, when that is over. */
	if (!f->looking && !f->syncing && f->active_count == 0 && !f->paused && !f->closing && !f->broken)
		rest(f);
}

/* ---------------------------------------------------------------- choosing */

static void add_file(struct folder *f, const char *name)
{
	struct folder_file *file = calloc(1, sizeof(*file));

	if (!file) {
		f->more = true;
		return;
	}
	file->folder = f;
	file->fd = -1;
	memcpy(file->name, name, strlen(name) + 1);
	file->user = BUF(USER_MAX);
	file->piece = BUF(FOLDER_PIECE_BYTES);
	file->problem = BUF(2000);
	arena_init(&file->arena, 16u << 20);
	list_append(&f->waiting, &file->link);
}

/* In turns: nobody's thousand files keep another's one waiting. */
static void choose(struct folder *f, const struct round *r)
{
	size_t chosen = 0;

	f->more = r->passed_over > 0;
	for (unsigned turn = 0; turn < FOLDER_ROUND_FILES; turn++)
		for (size_t i = 0; i < r->owner_count; i++) {
			if (turn >= r->owners[i].kept)
				continue;
			if (chosen == FOLDER_ROUND_FILES) {
				f->more = true;
				return;
			}
			add_file(f, r->owners[i].names[turn]);
			chosen++;
		}
	for (size_t i = 0; i < r->owner_count; i++)
		f->more = f->more || r->owners[i].found > r->owners[i].kept;
}

static void warn_of(struct folder *f, const struct round *r)
{
	if ((r->removed > 0 || r->stuck > 0) && folder_may_warn(f))
		folder_say(f, EVENT_WARNING, LEVEL_WARN,
		           "%u entries that do not belong there were removed%s (one was of uid %u)",
		           r->removed, r->stuck ? ", and some could not be" : "", r->removed_uid);
	if (r->strange > 0 && folder_may_warn(f))
		folder_say(
			f, EVENT_WARNING, LEVEL_WARN,
			"%u entries are no ordinary files and are left alone: links, FIFOs and the like are not taken",
			r->strange);
	for (size_t i = 0; i < r->owner_count; i++)
		if (r->owners[i].found > OWNER_MANY && folder_may_warn(f))
			folder_say(f, EVENT_WARNING, LEVEL_WARN, "%u files of uid %u wait in it",
			           r->owners[i].found, r->owners[i].uid);
}

static void on_looked(struct io_job *job)
{
	struct round *r = CONTAINER_OF(job, struct round, job);
	struct folder *f = r->folder;

	f->looking = false;
	if (r->err && folder_may_warn(f))
		folder_say(f, EVENT_WARNING, LEVEL_WARN, "it cannot be read: %s", err_text(r->err));
	if (f->fd >= 0)
		close(f->fd);
	f->fd = r->fd;
	f->more = false;
	if (!r->err) {
		warn_of(f, r);
		choose(f, r);
	}
	for (size_t i = 0; i < r->owner_count; i++)
		free(r->owners[i].names);
	free(r->owners);
	f->paused = r->err != ERR_OK;
	if (list_is_empty(&f->waiting) || f->closing || f->paused) {
		drop_waiting(f);
		rest(f);
	} else {
		folder_begin_next(f);
	}
}

static void look(struct folder *f)
{
	f->looking = true;
	f->news = false;
	f->round = (struct round){ .job = { .run = folder_run_look, .done = on_looked },
		                   .folder = f,
		                   .fd = -1,
		                   .now_time = io_now_time(f->options.io) };
	io_job_submit(f->options.io, IO_LANE_DISK, &f->round.job);
}

/* ---------------------------------------------------------------- life */

static void folder_free(struct folder *f)
{
	if (f->fd >= 0)
		close(f->fd);
	config_unref(&f->config);
	buf_fini(&f->path);
	free(f);
}

enum err folder_open(const struct folder_options *options, struct folder **out)
{
	struct folder *f = calloc(1, sizeof(*f));

	if (!f)
		return ERR_NOMEM;
	f->options = *options;
	f->kind = options->kind;
	f->config = config_ref(options->config);
	f->fd = -1;
	buf_init(&f->path, 4096);
	buf_add(&f->path, options->path);
	buf_add_octet(&f->path, '\0');
	list_init(&f->waiting);
	list_init(&f->active);
	random_init(&f->random, options->seed);
	if (buf_err(&f->path)) {
		enum err err = buf_err(&f->path);

		folder_free(f);
		return err;
	}
	/* Without hints (no inotify left) the interval does. */
	if (io_watch_open(options->io, f->path.at, on_change, f, &f->watch))
		f->watch = NULL;
	look(f);
	*out = f;
	return ERR_OK;
}

void folder_configure(struct folder *f, const struct config *config, int64_t interval_ms)
{
	config_unref(&f->config);
	f->config = config_ref(config);
	f->options.interval_ms = interval_ms;
}

struct text folder_path(const struct folder *f)
{
	return text_head(buf_text(&f->path), f->path.len - 1);
}

static void say_closed(void *owner)
{
	struct folder *f = owner;
	void (*on_closed)(void *owner) = f->on_closed;
	void *closed_owner = f->closed_owner;

	folder_free(f);
	on_closed(closed_owner);
}

static void check_closed(struct folder *f)
{
	if (f->closing && !f->looking && !f->syncing && f->active_count == 0)
		io_later_run(f->options.io, &f->closed, say_closed, f);
}

/* A file that waits for room in the queue is not waited for. */
static void let_go(struct folder *f)
{
	for (LIST_EACH_SAFE(it, &f->active)) {
		struct folder_file *file = LIST_ITEM(it, struct folder_file, link);

		folder_file_let_go(file);
	}
}

void folder_close(struct folder **slot, void (*on_closed)(void *owner), void *owner)
{
	struct folder *f = *slot;

	*slot = NULL;
	f->closing = true;
	f->on_closed = on_closed;
	f->closed_owner = owner;
	io_timer_stop(f->options.io, &f->timer);
	io_watch_close(&f->watch);
	drop_waiting(f);
	let_go(f);
	check_closed(f);
}
