#include "rights.h"

#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <postrider/base/auto.h>

/* ---------------------------------------------------------------- reading */

static void remember(struct reading *r, struct text path)
{
	if (r->count == r->room) {
		size_t room = r->room ? r->room * 2 : 8;
		struct text *items = realloc(r->items, room * sizeof(*items));

		if (!items)
			return; /* a reload that replaces this file will find it closed, and say so */
		r->items = items;
		r->room = room;
	}
	char *copy = text_dup(path);

	if (copy)
		r->items[r->count++] = text_of(copy, path.len);
}

void reading_add(struct reading *r, struct text path)
{
	remember(r, path);
}

static enum err read_file(void *owner, struct text path, struct buf *out, struct buf *detail,
                          struct buf *hint)
{
	struct reading *r = owner;

	remember(r, path);
	if (!r->sandbox || sandbox_allows_file(r->sandbox, path))
		return r->inner->read_file(r->inner->owner, path, out, detail, hint);
	if (detail)
		buf_add(detail, TEXT("it lies outside of what the sandbox allowed at the start"));
	if (hint)
		buf_add(hint,
		        TEXT("restart the relay, or place the file beside those that it reads already"));
	return ERR_DENIED;
}

static enum err find_files(void *owner, struct text pattern, config_found_fn *found, void *found_by)
{
	struct reading *r = owner;

	remember(r, pattern);
	return r->inner->find_files(r->inner->owner, pattern, found, found_by);
}

struct config_sources reading_begin(struct reading *r, const struct config_sources *inner,
                                    const struct sandbox *sandbox)
{
	struct config_sources sources = *inner;

	*r = (struct reading){ .inner = inner, .sandbox = sandbox };
	sources.read_file = inner->read_file ? read_file : NULL;
	sources.find_files = inner->find_files ? find_files : NULL;
	sources.owner = r;
	return sources;
}

void reading_fini(struct reading *r)
{
	for (size_t i = 0; i < r->count; i++)
		free((char *)r->items[i].at);
	free(r->items);
	*r = (struct reading){ 0 };
}

static struct config_texts files_of(const struct reading *r)
{
	return (struct config_texts){ r->items, r->count };
}

/* ---------------------------------------------------------------- settling */

/* What the sandbox opens must be there: these would be made a moment later anyway. */
static void make_directories(const struct config *config)
{
	AUTO(free_memory) char *spool = text_dup(config->spool.path), *drop = text_dup(config->drop.path);

	/* Whoever needs them says what is wrong, with more to say. */
	if (spool)
		(void)!mkdir(spool, 0711);
	if (drop)
		(void)!mkdir(drop, 0700);
}

/* Modules of the C library that look users up are loaded from files: while we may. */
static void warm_up(void)
{
	(void)getpwuid(geteuid());
}

enum err rights_settle(struct rights *r, const struct config *config, const struct reading *reading,
                       const char *const *environment, struct buf *problem)
{
	const struct config_texts files = files_of(reading);

	*r = (struct rights){ .sockets = { .items = NULL }, .runner = { .fd = -1 } };
	activation_read(&r->activation, environment, getpid());
	activation_keep_private(&r->activation);
	r->used = calloc(r->activation.count + 1, sizeof(*r->used));
	if (!r->used)
		return ERR_NOMEM;
	enum err err = privilege_find_user(config, &r->privilege, problem);

	if (!err)
		err = privilege_bind(config, &r->sockets, problem);
	if (!err)
		err = privilege_give_away(config, &r->privilege, problem);
	if (!err)
		err = privilege_drop(&r->privilege, problem);
	if (!err)
		err = privilege_check_spool(config, problem);
	if (err)
		return err;
	make_directories(config);
	warm_up();
	err = runner_start(config, environment, RUNNER_TIME_MS, &r->runner, problem);
	return err ? err : sandbox_enter(config, &files, &r->sandbox, problem);
}

void rights_fini(struct rights *r)
{
	privilege_sockets_fini(&r->sockets);
	sandbox_fini(&r->sandbox);
	runner_fini(&r->runner);
	free(r->used);
	r->used = NULL;
}

/* ---------------------------------------------------------------- later */

enum err rights_find_socket(void *owner, const struct config_listener *l, struct receive_socket *out,
                            struct buf *problem)
{
	struct rights *r = owner;
	struct ip_port address = { l->address.ip, l->address.port };

	if (!l->address.is_fd) {
		out->inherited = false;
		out->fd = l->address.is_unix ? -1 : privilege_take_socket(&r->sockets, &address);
		return ERR_OK;
	}
	AUTO(buf_fini) struct buf why = BUF(2000);
	enum err err = activation_find(&r->activation, l->address.host, &out->fd, &why);

	if (err) {
		config_place_add(problem, l->place);
		buf_add_format(problem, ": listener %.*s: %.*s", TEXT_ARGS(l->name),
		               TEXT_ARGS(buf_text(&why)));
		return err;
	}
	out->inherited = true;
	r->used[out->fd - ACTIVATION_FIRST] = true;
	return ERR_OK;
}

enum err rights_check(const struct rights *r, const struct config *config, const struct reading *reading,
                      struct buf *problem)
{
	const struct config_texts files = files_of(reading);

	enum err err = runner_check(&r->runner, config, problem);

	return err ? err : sandbox_check(&r->sandbox, config, &files, problem);
}

static void say(struct observe *observe, enum event_kind kind, enum event_level level,
                const struct buf *words)
{
	struct event event = EVENT(kind);

	event.level = level;
	event.detail = buf_text(words);
	observe_emit(observe, &event);
}

static void say_user(const struct rights *r, const struct config *config, struct observe *observe)
{
	AUTO(buf_fini) struct buf words = BUF(1000);
	AUTO(free_memory) char *file = text_dup(config->listen.items[0].place.file);

	if (r->privilege.stays_root) {
		buf_add(&words,
		        TEXT("running as root: set `user` to become somebody else after binding (useradd --system "
		             "postrider, then user: postrider)"));
		say(observe, EVENT_STARTED, LEVEL_WARN, &words);
		return;
	}
	buf_add_format(&words, "runs as uid %u%s%s, without capabilities", (unsigned)r->privilege.uid,
	               r->privilege.name[0] ? ", " : "", r->privilege.name);
	say(observe, EVENT_STARTED, LEVEL_INFO, &words);
	if (!r->privilege.drops || !file || file[0] != '/' || access(file, R_OK) == 0 ||
	    access(file, F_OK) != 0)
		return;
	buf_reset(&words);
	buf_add_format(
		&words,
		"a reload will fail: %s was read as root and %s may not read it: chgrp %u %s && chmod g+r %s",
		file, r->privilege.name, (unsigned)r->privilege.gid, file, file);
	say(observe, EVENT_WARNING, LEVEL_WARN, &words);
}

static void say_runner(const struct rights *r, struct observe *observe)
{
	AUTO(buf_fini) struct buf words = BUF(500);

	if (r->runner.count == 0)
		return;
	buf_add_format(&words,
	               "token_command: %zu command%s run by a process of its own, outside of the sandbox and for nothing else",
	               r->runner.count, r->runner.count == 1 ? " is" : "s are");
	say(observe, EVENT_STARTED, LEVEL_INFO, &words);
}

static void say_unused(const struct rights *r, struct observe *observe)
{
	for (unsigned i = 0; i < r->activation.count; i++) {
		AUTO(buf_fini) struct buf words = BUF(500);

		if (r->used[i])
			continue;
		buf_add_format(
			&words,
			"the inherited descriptor fd:%u is named by no listener: connections that come in there wait in vain",
			ACTIVATION_FIRST + i);
		say(observe, EVENT_WARNING, LEVEL_WARN, &words);
	}
}

void rights_say(const struct rights *r, const struct config *config, struct observe *observe)
{
	say_user(r, config, observe);
	if (r->sandbox.words.len > 0)
		say(observe, EVENT_STARTED, LEVEL_INFO, &r->sandbox.words);
	say_runner(r, observe);
	say_unused(r, observe);
}
