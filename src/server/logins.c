/* Who may log in: auth's files are the system's, and what it says of them goes to the log. */
#include <unistd.h>

#include "internal.h"

#define WORDS_MAX 4096

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

	add_line(&words, what);
	server_say(s, events[notice].kind, events[notice].level, buf_text(&words));
	buf_fini(&words);
}

enum err server_read_users(struct io *io, const struct config *config, struct auth **out, struct buf *problem)
{
	return auth_new(
		&(struct auth_options){
			.io = io, .config = config, .mark_file = server_mark_file, .read_file = read_file },
		out, problem);
}

/* Half of the CPU lane, which handshakes use too; and not more memory than some 128 MiB at a time. */
static unsigned hashes_at_once(void)
{
	long processors = sysconf(_SC_NPROCESSORS_ONLN);

	return (unsigned)MIN(MAX(processors / 2, 2), 8);
}

enum err server_open_auth(struct server *s, struct buf *problem)
{
	return auth_new(&(struct auth_options){ .io = s->io,
	                                        .config = s->config,
	                                        .hashes_at_once = hashes_at_once(),
	                                        .mark_file = server_mark_file,
	                                        .read_file = read_file,
	                                        .on_notice = on_notice,
	                                        .owner = s },
	                &s->auth, problem);
}
