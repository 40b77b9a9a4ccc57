/* The directories that mail comes in by: made, checked, opened, changed by a reload, closed. */
#include "folder.h"
#include "internal.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <postrider/base/auto.h>

#define DROP_MODE 01733
#define DROP_INTERVAL_MS (10 * SECOND_MS) /* hints come at once; this is for when they do not */

/* ---------------------------------------------------------------- the drop directory */

/* Who may not list the spool must still be able to go through it: to the drop directory, and to nothing else, as all the
 * others are closed. */
static void open_way(const char *spool)
{
	struct stat st;

	if (stat(spool, &st) == 0 && st.st_uid == geteuid() && (st.st_mode & 0011) != 0011 &&
	    chmod(spool, (st.st_mode & 07777) | 0011) != 0)
		return; /* then for our own user only */
}

static enum err make_drop(const char *path, struct buf *problem)
{
	struct stat st;
	bool made = mkdir(path, 0700) == 0;

	if (!made && errno != EEXIST) {
		buf_add_format(problem, "drop directory %s cannot be made: %s", path, strerror(errno));
		return err_from_errno(errno);
	}
	if (lstat(path, &st) != 0 || !S_ISDIR(st.st_mode)) {
		buf_add_format(problem, "drop directory %s is no directory: remove it, or set drop.path",
		               path);
		return ERR_SYNTAX;
	}
	if (st.st_uid != geteuid()) {
		buf_add_format(
			problem,
			"drop directory %s belongs to uid %u, and this is uid %u: chown %u %s, or set drop.path",
			path, (unsigned)st.st_uid, (unsigned)geteuid(), (unsigned)geteuid(), path);
		return ERR_DENIED;
	}
	if ((st.st_mode & 07777) != DROP_MODE && chmod(path, DROP_MODE) != 0) {
		buf_add_format(problem, "drop directory %s cannot get mode 1733: %s", path, strerror(errno));
		return err_from_errno(errno);
	}
	return ERR_OK;
}

static bool is_default(const struct config *c)
{
	return text_starts(c->drop.path, c->spool.path) &&
	       text_eq(text_skip(c->drop.path, c->spool.path.len), TEXT("/drop"));
}

static enum err prepare_drop(const struct config *c, struct buf *problem)
{
	AUTO(free_memory) char *path = text_dup(c->drop.path), *spool = text_dup(c->spool.path);

	if (!path || !spool)
		return ERR_NOMEM;
	if (is_default(c))
		open_way(spool);
	return make_drop(path, problem);
}

static enum err prepare_pickup(const struct config *c, struct buf *problem)
{
	AUTO(free_memory) char *path = text_dup(c->pickup.path);
	struct stat st;

	if (!path)
		return ERR_NOMEM;
	if (stat(path, &st) == 0 && !S_ISDIR(st.st_mode))
		errno = ENOTDIR;
	else if (stat(path, &st) == 0 && access(path, R_OK | W_OK | X_OK) == 0)
		return ERR_OK;
	buf_add_format(problem,
	               "pickup.path %s: %s: the relay (uid %u) must be able to list it and to remove from it",
	               path, strerror(errno), (unsigned)geteuid());
	return err_from_errno(errno);
}

/* ---------------------------------------------------------------- both */

static enum err open_one(struct server *s, const struct config *c, const struct folder_kind *kind,
                         struct text path, int64_t interval_ms, struct folder **out)
{
	return folder_open(&(struct folder_options){ .io = s->io,
	                                             .queue = s->queue,
	                                             .observe = s->observe,
	                                             .config = c,
	                                             .kind = kind,
	                                             .path = path,
	                                             .interval_ms = interval_ms,
	                                             .durable = c->spool.durable,
	                                             .seed = io_random_u64(s->io) },
	                   out);
}

static enum err open_drop(struct server *s, const struct config *c, struct folder **out, struct buf *problem)
{
	AUTO(buf_fini) struct buf why = BUF(8192);
	enum err err = prepare_drop(c, &why);

	if (!err)
		err = open_one(s, c, &folder_drop, c->drop.path, DROP_INTERVAL_MS, out);
	if (err == ERR_OK || err == ERR_NOMEM)
		return err;
	if (!is_default(c)) {
		buf_add(problem, buf_text(&why));
		return err;
	}
	/* Nobody asked for it: the relay works without. */
	buf_add(&why, TEXT("; `sendmail` will not work"));
	server_say(s, EVENT_WARNING, LEVEL_WARN, buf_text(&why));
	return ERR_OK;
}

static enum err open_pickup(struct server *s, const struct config *c, struct folder **out,
                            struct buf *problem)
{
	if (c->pickup.path.len == 0)
		return ERR_OK;
	enum err err = prepare_pickup(c, problem);

	return err ? err : open_one(s, c, &folder_pickup, c->pickup.path, c->pickup.interval_ms, out);
}

enum err server_open_doors(struct server *s, struct buf *problem)
{
	enum err err = s->options.has_folders ? open_drop(s, s->config, &s->drop, problem) : ERR_OK;

	if (!err && s->options.has_folders)
		err = open_pickup(s, s->config, &s->pickup, problem);
	return err;
}

static void on_gone(void *owner)
{
	struct server *s = owner;

	s->folders_going--;
	if (s->folders_going == 0 && s->on_doors_closed)
		s->on_doors_closed(s);
}

static void close_one(struct server *s, struct folder **folder)
{
	if (!*folder)
		return;
	s->folders_going++;
	folder_close(folder, on_gone, s);
}

/* What one of the two is after a reload; *opened: it is new. */
static bool stays(struct folder *folder, struct text path)
{
	return folder && text_eq(folder_path(folder), path);
}

enum err server_plan_doors(struct server *s, const struct config *c, struct doors_plan *plan,
                           struct buf *problem)
{
	enum err err = ERR_OK;

	*plan = (struct doors_plan){ .keep_drop = stays(s->drop, c->drop.path),
		                     .keep_pickup = stays(s->pickup, c->pickup.path) };
	if (!s->options.has_folders)
		return ERR_OK;
	if (!plan->keep_drop)
		err = open_drop(s, c, &plan->drop, problem);
	if (!err && !plan->keep_pickup)
		err = open_pickup(s, c, &plan->pickup, problem);
	if (err)
		server_drop_plan(s, plan);
	return err;
}

void server_drop_plan(struct server *s, struct doors_plan *plan)
{
	close_one(s, &plan->drop);
	close_one(s, &plan->pickup);
}

static void change_one(struct server *s, struct folder **folder, bool keep, struct folder *opened,
                       const struct config *c, int64_t interval_ms)
{
	if (keep) {
		folder_configure(*folder, c, interval_ms);
		return;
	}
	close_one(s, folder);
	*folder = opened;
}

void server_change_doors(struct server *s, const struct config *c, struct doors_plan *plan)
{
	if (!s->options.has_folders)
		return;
	change_one(s, &s->drop, plan->keep_drop, plan->drop, c, DROP_INTERVAL_MS);
	change_one(s, &s->pickup, plan->keep_pickup, plan->pickup, c, c->pickup.interval_ms);
}

void server_close_doors(struct server *s, void (*on_closed)(void *owner))
{
	s->on_doors_closed = on_closed;
	close_one(s, &s->drop);
	close_one(s, &s->pickup);
	if (s->folders_going == 0)
		io_later_run(s->io, &s->doors_closed, on_closed, s);
}
