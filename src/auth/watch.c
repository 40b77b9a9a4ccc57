/* The users file: read at the start, and again when it is another one. */
#include "internal.h"

#include <postrider/base/auto.h>

#define LOOK_EVERY_MS 1000
#define MISSING_LOOKS 2
#define PROBLEM_MAX (16 * 1024)

/* A look: belongs to the lane between submit and done. */
struct watch {
	struct io_job job;
	struct auth *auth; /* NULL: it is gone, and so is this after the look */
	struct io_timer timer;
	struct auth_options options;
	bool runs;
	/* ---- the lane's while it runs */
	char *path;
	struct auth_file_mark mark; /* of what was read, or could not be */
	unsigned missing;           /* looks in a row that found nothing */
	bool changed;
	enum err err;
	struct users *users;
	struct buf problem, notice;
};

static bool same(const struct auth_file_mark *a, const struct auth_file_mark *b)
{
	return a->device == b->device && a->inode == b->inode && a->bytes == b->bytes &&
	       a->changed_ns == b->changed_ns;
}

/* ---------------------------------------------------------------- reading */

static void say_unreadable(struct text path, enum err err, const struct buf *detail, const struct buf *hint,
                           struct buf *problem)
{
	buf_add_format(problem, "%.*s: error: the users file cannot be read: %.*s\n", TEXT_ARGS(path),
	               TEXT_ARGS(detail->len ? buf_text(detail) : text_from(err_text(err))));
	if (err == ERR_TOO_BIG)
		buf_add_format(problem, "  next: it may have %u octets\n", USERS_FILE_MAX_BYTES);
	else if (err == ERR_NOT_FOUND)
		buf_add_string(problem, "  next: postrider users add NAME, or take access.users_file out\n");
	else if (hint->len)
		buf_add_format(problem, "  next: %.*s\n", TEXT_ARGS(buf_text(hint)));
}

static void notice_mode(struct text path, const struct auth_file_mark *mark, struct buf *notice)
{
	if (mark->mode & 0002)
		buf_add_format(notice, "%.*s: warning: everybody on this machine can write the users file\n",
		               TEXT_ARGS(path));
	else if (mark->mode & 0004)
		buf_add_format(notice, "%.*s: warning: everybody on this machine can read the users file\n",
		               TEXT_ARGS(path));
	if (mark->mode & 0006)
		buf_add_format(notice, "  next: chmod 640 %.*s\n", TEXT_ARGS(path));
}

enum err users_load(const struct auth_options *o, struct text path, struct users **out,
                    struct auth_file_mark *mark, struct buf *problem, struct buf *notice)
{
	AUTO(buf_fini) struct buf detail = BUF(1024), hint = BUF(1024), content = BUF(USERS_FILE_MAX_BYTES);
	enum err err = o->mark_file(o->files, path, mark);

	if (!err)
		buf_reserve(&content, mark->bytes < USERS_FILE_MAX_BYTES ? (size_t)mark->bytes + 1 : 0);
	if (err != ERR_NOMEM)
		err = o->read_file(o->files, path, &content, &detail, &hint);
	if (err == ERR_NOMEM)
		return err;
	if (err) {
		say_unreadable(path, err, &detail, &hint, problem);
		return ERR_CONFIG;
	}
	size_t len;
	char *octets = buf_take(&content, &len);

	if (!octets)
		return ERR_NOMEM;
	notice_mode(path, mark, notice);
	return users_parse(path, octets, len, out, problem, notice);
}

/* ---------------------------------------------------------------- in the lane */

static bool is_as_read(const struct watch *w, struct text path)
{
	struct auth_file_mark now;

	return w->options.mark_file(w->options.files, path, &now) == ERR_OK && same(&now, &w->mark);
}

static void read_again(struct watch *w, struct text path)
{
	w->err = users_load(&w->options, path, &w->users, &w->mark, &w->problem, &w->notice);
	w->changed = true;
	if (!w->err || is_as_read(w, path))
		return;
	/* Somebody is writing it at this moment: a mistake is none yet. */
	w->mark = (struct auth_file_mark){ 0 };
	w->changed = false;
}

/* Editors put a new file in the place of the old one, some with a moment in between. */
static void look_for_nothing(struct watch *w, struct text path)
{
	if (++w->missing != MISSING_LOOKS)
		return;
	w->err = users_load(&w->options, path, &w->users, &w->mark, &w->problem, &w->notice);
	w->changed = true;
	w->mark = (struct auth_file_mark){ 0 };
}

static void look(struct io_job *job)
{
	struct watch *w = CONTAINER_OF(job, struct watch, job);
	struct text path = text_from(w->path);
	struct auth_file_mark now;

	if (w->options.mark_file(w->options.files, path, &now) != ERR_OK) {
		look_for_nothing(w, path);
		return;
	}
	w->missing = 0;
	if (!same(&now, &w->mark))
		read_again(w, path);
}

/* ---------------------------------------------------------------- on the loop */

static void free_watch(struct watch *w)
{
	users_free(&w->users);
	buf_fini(&w->problem);
	buf_fini(&w->notice);
	free(w->path);
	free(w);
}

static void look_soon(struct watch *w);

static void tell(const struct watch *w, enum auth_notice notice, const struct buf *what)
{
	if (w->options.on_notice && what->len)
		w->options.on_notice(w->options.owner, notice, buf_text(what));
}

static void refuse(struct watch *w)
{
	if (w->problem.len == 0)
		buf_add_format(&w->problem, "%s: error: no memory to read the users file\n", w->path);
	buf_add_string(&w->problem, "the users of before stay in force\n");
	tell(w, AUTH_USERS_REFUSED, &w->problem);
}

static void take(struct watch *w)
{
	AUTO(buf_fini) struct buf what = BUF(PROBLEM_MAX);

	users_free(&w->auth->users);
	w->auth->users = TAKE(w->users);
	buf_add_format(&what, "%s: read again, %zu users\n", w->path, w->auth->users->count);
	tell(w, AUTH_USERS_TAKEN, &what);
	tell(w, AUTH_USERS_ODD, &w->notice);
}

static void look_done(struct io_job *job)
{
	struct watch *w = CONTAINER_OF(job, struct watch, job);

	w->runs = false;
	if (!w->auth) {
		free_watch(w);
		return;
	}
	if (w->changed && w->err)
		refuse(w);
	else if (w->changed)
		take(w);
	w->changed = false;
	users_free(&w->users);
	buf_reset(&w->problem);
	buf_reset(&w->notice);
	look_soon(w);
}

static void look_now(void *owner)
{
	struct watch *w = owner;

	w->runs = true;
	io_job_submit(w->options.io, IO_LANE_DISK, &w->job);
}

static void look_soon(struct watch *w)
{
	struct io *io = w->options.io;

	/* Without memory for a timer it looks at once: that is no worse than looking never. */
	if (io_timer_start(io, &w->timer, io_now_at(io) + LOOK_EVERY_MS, look_now, w))
		look_now(w);
}

enum err watch_new(struct auth *auth, struct text path, const struct auth_file_mark *mark, struct watch **out)
{
	struct watch *w = calloc(1, sizeof(*w));

	if (!w)
		return ERR_NOMEM;
	w->auth = auth;
	w->options = auth->options;
	w->job.run = look;
	w->job.done = look_done;
	w->path = text_dup(path);
	w->mark = *mark;
	buf_init(&w->problem, PROBLEM_MAX);
	buf_init(&w->notice, PROBLEM_MAX);
	if (!w->path ||
	    io_timer_start(auth->io, &w->timer, io_now_at(auth->io) + LOOK_EVERY_MS, look_now, w)) {
		free_watch(w);
		return ERR_NOMEM;
	}
	*out = w;
	return ERR_OK;
}

void watch_free(struct watch **watch)
{
	struct watch *w = TAKE(*watch);

	if (!w)
		return;
	io_timer_stop(w->options.io, &w->timer);
	w->auth = NULL;
	if (!w->runs)
		free_watch(w);
}
