/* The system's resolv.conf and hosts file: what they say is taken at once. Looked at rather than watched: both are often links
 * to somewhere else, or mounted, where nobody tells of a change. */
#include "internal.h"

#include <stdlib.h>

#include <postrider/base/time.h>
#include <postrider/io/lane.h>

#define LOOK_MS SECOND_MS
#define SETTLE_MS 200 /* a file that is being written is left alone */

enum { RESOLV_CONF, HOSTS, FILES };

static const char *const paths[FILES] = { "/etc/resolv.conf", "/etc/hosts" };

struct names_watch {
	struct server *server;
	struct io_timer timer;
	struct io_job job;
	struct auth_file_mark seen[FILES], last[FILES], now[FILES]; /* in use; the last look; this look */
	bool has_seen, job_runs, is_over;
};

static void look_later(struct names_watch *w, int64_t ms);

static bool same(const struct auth_file_mark *a, const struct auth_file_mark *b)
{
	return a->device == b->device && a->inode == b->inode && a->bytes == b->bytes &&
	       a->changed_ns == b->changed_ns;
}

static bool same_all(const struct auth_file_mark *a, const struct auth_file_mark *b)
{
	return same(&a[RESOLV_CONF], &b[RESOLV_CONF]) && same(&a[HOSTS], &b[HOSTS]);
}

/* ---------------------------------------------------------------- taking them */

static void say_servers(struct names_watch *w)
{
	AUTO(buf_fini) struct buf words = BUF(1024);

	buf_add_format(&words, "%s changed: names are looked up at ", paths[RESOLV_CONF]);
	for (size_t i = 0; i < w->server->name_server_count; i++) {
		buf_add_string(&words, i ? ", " : "");
		ip_port_add(&words, w->server->name_servers[i]);
	}
	server_say(w->server, EVENT_RELOADED, LEVEL_INFO, buf_text(&words));
}

static void say_hosts(struct names_watch *w)
{
	AUTO(buf_fini) struct buf words = BUF(256);

	buf_add_format(&words, "%s changed: its names are in force", paths[HOSTS]);
	server_say(w->server, EVENT_RELOADED, LEVEL_INFO, buf_text(&words));
}

/* A file that cannot be read any more says nothing: what it said before holds. */
static bool are_readable(struct names_watch *w)
{
	AUTO(buf_fini) struct buf words = BUF(1024);

	for (int i = 0; i < FILES; i++) {
		enum err err = server_try_file(paths[i]);

		if (!err || err == ERR_NOT_FOUND)
			continue;
		buf_add_format(&words,
		               "%s changed and cannot be read (%s): what it said before holds; restart "
		               "to take it",
		               paths[i], err_text(err));
		server_say(w->server, EVENT_WARNING, LEVEL_WARN, buf_text(&words));
		return false;
	}
	return true;
}

static bool has_servers(const struct server *s, const struct ip_port *before, size_t count)
{
	if (s->name_server_count != count)
		return false;
	for (size_t i = 0; i < count; i++) {
		if (!ip_eq(s->name_servers[i].ip, before[i].ip) || s->name_servers[i].port != before[i].port)
			return false;
	}
	return true;
}

static void take(struct names_watch *w)
{
	struct server *s = w->server;
	struct ip_port before[SERVER_NAMES_MAX];
	size_t count = s->name_server_count;
	bool hosts_changed = !same(&w->seen[HOSTS], &w->now[HOSTS]);
	AUTO(buf_fini) struct buf words = BUF(256);

	memcpy(before, s->name_servers, sizeof(before));
	memcpy(w->seen, w->now, sizeof(w->seen));
	if (!are_readable(w))
		return;
	if (server_names(s, s->config)) {
		buf_add_string(&words,
		               "out of memory: a change of /etc/resolv.conf or /etc/hosts was not taken");
		server_say(w->server, EVENT_WARNING, LEVEL_WARN, buf_text(&words));
		return;
	}
	if (!has_servers(s, before, count))
		say_servers(w);
	if (hosts_changed)
		say_hosts(w);
}

/* ---------------------------------------------------------------- looking */

static void watch_free(struct names_watch *w)
{
	free(w);
}

/* In the disk lane. */
static void run_look(struct io_job *job)
{
	struct names_watch *w = CONTAINER_OF(job, struct names_watch, job);

	for (int i = 0; i < FILES; i++) {
		if (server_mark_file(NULL, text_from(paths[i]), &w->now[i]))
			w->now[i] = (struct auth_file_mark){ 0 };
	}
}

static void on_looked(struct io_job *job)
{
	struct names_watch *w = CONTAINER_OF(job, struct names_watch, job);
	struct auth_file_mark last[FILES];

	w->job_runs = false;
	if (w->is_over) {
		watch_free(w);
		return;
	}
	memcpy(last, w->last, sizeof(last));
	memcpy(w->last, w->now, sizeof(w->last));
	if (!w->has_seen)
		memcpy(w->seen, w->now, sizeof(w->seen));
	w->has_seen = true;
	bool changed = !same_all(w->seen, w->now), settled = same_all(last, w->now);

	if (changed && settled)
		take(w);
	look_later(w, changed && !settled ? SETTLE_MS : LOOK_MS);
}

static void look(void *owner)
{
	struct names_watch *w = owner;

	w->job_runs = true;
	w->job = (struct io_job){ .run = run_look, .done = on_looked };
	io_job_submit(w->server->io, IO_LANE_DISK, &w->job);
}

static void look_later(struct names_watch *w, int64_t ms)
{
	AUTO(buf_fini) struct buf words = BUF(256);

	if (io_timer_start(w->server->io, &w->timer, io_now_at(w->server->io) + ms, look, w) == ERR_OK)
		return;
	buf_add_string(&words, "out of memory: /etc/resolv.conf and /etc/hosts are no longer watched");
	server_say(w->server, EVENT_WARNING, LEVEL_WARN, buf_text(&words));
}

/* ---------------------------------------------------------------- the face */

enum err names_watch_new(struct server *s, struct names_watch **out)
{
	struct names_watch *w = calloc(1, sizeof(*w));

	if (!w)
		return ERR_NOMEM;
	w->server = s;
	look(w);
	*out = w;
	return ERR_OK;
}

void names_watch_free(struct names_watch **slot)
{
	struct names_watch *w = TAKE(*slot);

	if (!w)
		return;
	io_timer_stop(w->server->io, &w->timer);
	w->is_over = true;
	if (!w->job_runs)
		watch_free(w);
}
