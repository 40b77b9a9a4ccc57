/* Who may log in: auth's files are the system's, and what it says of them goes to the log. */
#include <errno.h>
#include <sys/stat.h>

#include <postrider/base/auto.h>

#include "internal.h"

#define WORDS_MAX 4096

static int64_t ns_of(struct timespec t)
{
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static enum err mark_file(void *owner, struct text path, struct auth_file_mark *out)
{
	AUTO(free_memory) char *name = text_dup(path);
	struct stat st;

	(void)owner;
	if (!name)
		return ERR_NOMEM;
	if (stat(name, &st) != 0)
		return err_from_errno(errno);
	*out = (struct auth_file_mark){ .device = st.st_dev,
		                        .inode = st.st_ino,
		                        .bytes = (uint64_t)st.st_size,
		                        .changed_ns = MAX(ns_of(st.st_mtim), ns_of(st.st_ctim)),
		                        .mode = st.st_mode & 07777,
		                        .uid = st.st_uid };
	return ERR_OK;
}

static enum err read_file(void *owner, struct text path, struct buf *out, struct buf *detail,
                          struct buf *hint)
{
	struct config_sources sources = { 0 };
	char name[256];

	(void)owner;
	server_use_system(&sources, name);
	return sources.read_file(sources.owner, path, out, detail, hint);
}

/* Lines for people, as one of the log. */
static void add_line(struct buf *words, struct text lines)
{
	while (lines.len) {
		struct text line = text_trim(text_cut(&lines, '\n'));

		if (line.len > words->max - words->len - 2)
			return;
		buf_add_string(words, words->len ? "; " : "");
		buf_add(words, line);
	}
}

static void on_notice(void *owner, enum auth_notice notice, struct text what)
{
	static const struct {
		enum event_kind kind;
		enum event_level level;
	} events[] = {
		[AUTH_USERS_TAKEN] = { EVENT_RELOADED, LEVEL_INFO },
		[AUTH_USERS_ODD] = { EVENT_WARNING, LEVEL_WARN },
		[AUTH_USERS_REFUSED] = { EVENT_RELOAD_FAILED, LEVEL_ERROR },
		[AUTH_BACKEND_DOWN] = { EVENT_WARNING, LEVEL_ERROR },
		[AUTH_BACKEND_BACK] = { EVENT_WARNING, LEVEL_INFO },
	};
	struct server *s = owner;
	struct buf words = BUF(WORDS_MAX);
	struct event event = EVENT(events[notice].kind);

	add_line(&words, what);
	event.level = events[notice].level;
	event.detail = buf_text(&words);
	observe_emit(s->observe, &event);
	buf_fini(&words);
}

enum err server_read_users(struct io *io, const struct config *config, struct auth **out, struct buf *problem)
{
	return auth_new(&(struct auth_options){ .io = io, .config = config, .mark_file = mark_file, .read_file = read_file },
	                out, problem);
}

enum err server_open_auth(struct server *s, struct buf *problem)
{
	return auth_new(&(struct auth_options){ .io = s->io,
	                                        .config = s->config,
	                                        .mark_file = mark_file,
	                                        .read_file = read_file,
	                                        .on_notice = on_notice,
	                                        .owner = s },
	                &s->auth, problem);
}
