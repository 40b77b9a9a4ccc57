/* One file on its way in: opened and read in the lane, handed in on the loop, removed when the queue has it. */
#include "folder_inside.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <postrider/base/auto.h>

/* ---------------------------------------------------------------- its end */

void folder_file_free(struct folder_file *file)
{
	if (file->fd >= 0)
		close(file->fd);
	handed_in_free(&file->message);
	handed_in_free(&file->notice);
	buf_fini(&file->user);
	buf_fini(&file->head);
	buf_fini(&file->piece);
	buf_fini(&file->problem);
	drop_fini(&file->drop);
	submission_fini(&file->submission);
	arena_fini(&file->arena);
	free(file->refused);
	list_remove(&file->link);
	free(file);
}

static void folder_file_done(struct folder_file *file)
{
	struct folder *f = file->folder;

	folder_file_free(file);
	f->active_count--;
	folder_begin_next(f);
}

static void in_lane(struct folder_file *file, void (*run)(struct io_job *job),
                    void (*next)(struct folder_file *file));

static void on_step(struct io_job *job)
{
	struct folder_file *file = CONTAINER_OF(job, struct folder_file, job);

	/* What the queue has must go, also while we stop: else it comes again. */
	if (file->folder->closing && !file->ending)
		folder_file_done(file);
	else
		file->next(file);
}

static void in_lane(struct folder_file *file, void (*run)(struct io_job *job),
                    void (*next)(struct folder_file *file))
{
	file->job = (struct io_job){ .run = run, .done = on_step };
	file->next = next;
	io_job_submit(file->folder->options.io, IO_LANE_DISK, &file->job);
}

/* Left where it is, for a reason of its own. */
void folder_file_leave(struct folder_file *file, const char *why)
{
	struct folder *f = file->folder;

	if (folder_may_warn(f))
		folder_say(f, EVENT_WARNING, LEVEL_WARN, "%s is left for later: %s", file->name, why);
	folder_file_done(file);
}

/* Likewise, for a reason that holds for all. */
void folder_file_put_off(struct folder_file *file, const char *why)
{
	file->folder->paused = true;
	folder_file_leave(file, why);
}

static enum err remove_name(const struct folder_file *file)
{
	return unlinkat(file->folder->fd, file->name, 0) == 0 || errno == ENOENT ? ERR_OK
	                                                                         : err_from_errno(errno);
}

static void run_remove(struct io_job *job)
{
	struct folder_file *file = CONTAINER_OF(job, struct folder_file, job);

	file->err = remove_name(file);
}

/* What the queue has and we cannot remove would be sent again and again. */
static void on_removed(struct folder_file *file)
{
	struct folder *f = file->folder;

	if (file->err && file->delivered && !f->broken) {
		f->broken = true;
		folder_say(
			f, EVENT_ERROR, LEVEL_ERROR,
			"%s was taken and cannot be removed (%s): nothing more is taken from here until a restart; mend the "
			"permissions and remove the file before",
			file->name, err_text(file->err));
	} else if (file->err && folder_may_warn(f)) {
		folder_say(f, EVENT_WARNING, LEVEL_WARN, "%s cannot be set aside: %s", file->name,
		           err_text(file->err));
	}
	folder_file_done(file);
}

void folder_file_remove(struct folder_file *file)
{
	file->ending = true;
	in_lane(file, run_remove, on_removed);
}

/* What cannot even be renamed (the sandbox lets us make no FIFO or link, under no name) goes. */
static void run_put_aside(struct io_job *job)
{
	struct folder_file *file = CONTAINER_OF(job, struct folder_file, job);

	file->err = file->folder->kind->put_aside(file, file->folder->fd);
	if (file->err)
		file->err = remove_name(file);
}

void folder_file_put_aside(struct folder_file *file)
{
	folder_say_rejected(file, TEXT_EMPTY, buf_text(&file->problem));
	file->ending = true;
	in_lane(file, run_put_aside, on_removed);
}

/* ---------------------------------------------------------------- handing it in */

static void refuse_whole(struct folder_file *file, enum err err)
{
	if (err == ERR_TOO_BIG && file->problem.len == 0)
		buf_add(&file->problem, TEXT("larger than this relay takes (access.max_message_size)"));
	if (err == ERR_NOMEM || err == ERR_FULL || err == ERR_IO) {
		folder_file_put_off(file, err == ERR_FULL ? "the spool has no room" : err_text(err));
		return;
	}
	if (file->problem.len == 0) {
		folder_file_leave(file, err_text(err));
		return;
	}
	handed_in_free(&file->message);
	struct folder *f = file->folder;
	size_t count;
	const struct text *to = f->kind->to(file, &count);

	/* Who is refused as a sender is not written to: anybody may have used the name. */
	if ((err != ERR_TOO_BIG && err != ERR_DENIED) || !f->kind->tells_sender) {
		folder_file_put_aside(file);
		return;
	}
	file->refused_count = 0;
	free(file->refused);
	file->refused = NULL;
	for (size_t i = 0; i < count; i++)
		if (folder_file_keep_refusal(file, to[i], buf_text(&file->problem), count)) {
			folder_file_put_off(file, err_text(ERR_NOMEM));
			return;
		}
	folder_file_tell_sender(file);
}

static void on_decided(void *owner, const struct queue_decision *decision)
{
	struct folder_file *file = owner;

	if (decision->err && decision->err != ERR_EXISTS) {
		folder_file_put_off(file, decision->err == ERR_FULL ? "the spool has no room"
		                                                    : err_text(decision->err));
		return;
	}
	file->delivered = true;
	folder_file_tell_sender(file);
}

static void commit(struct folder_file *file)
{
	struct folder *f = file->folder;
	enum err err = handed_in_finish(file->message, &file->problem);

	if (!err)
		err = handed_in_commit(file->message, TEXT_EMPTY, f->options.observe, 250, on_decided, file);
	if (err)
		refuse_whole(file, err);
}

static void run_read(struct io_job *job)
{
	struct folder_file *file = CONTAINER_OF(job, struct folder_file, job);
	char *room;
	ssize_t n;

	buf_reset(&file->piece);
	room = buf_reserve(&file->piece, FOLDER_PIECE_BYTES);
	if (!room) {
		file->err = ERR_NOMEM;
		return;
	}
	do
		n = read(file->fd, room, FOLDER_PIECE_BYTES);
	while (n < 0 && errno == EINTR);
	file->err = n < 0 ? err_from_errno(errno) : ERR_OK;
	file->at_end = n == 0;
	if (n > 0)
		buf_grew(&file->piece, (size_t)n);
}

static void go_on(struct folder_file *file);

static void on_piece(struct folder_file *file)
{
	enum err err = file->err ? file->err : handed_in_write(file->message, buf_text(&file->piece));

	if (err)
		refuse_whole(file, err);
	else
		go_on(file);
}

static void on_room(void *owner)
{
	struct folder_file *file = owner;

	/* Told while a read is under way, it is seen when that ends. */
	if (file->next == go_on)
		go_on(file);
}

static void go_on(struct folder_file *file)
{
	if (file->at_end) {
		commit(file);
		return;
	}
	if (handed_in_is_busy(file->message)) {
		file->next = go_on;
		return;
	}
	in_lane(file, run_read, on_piece);
}

/* The header that was changed, or the front as it was read. */
static enum err give_front(struct folder_file *file)
{
	enum err err = handed_in_open(file->message, file->bytes);

	if (!err)
		err = handed_in_write(file->message, buf_text(&file->submission.header));
	if (!err)
		err = handed_in_write(file->message, file->content);
	return err;
}

static enum err admit(struct folder_file *file)
{
	struct folder *f = file->folder;
	AUTO(buf_fini) struct buf why = BUF(2000);
	size_t count;
	const struct text *to = f->kind->to(file, &count);
	enum err err = handed_in_from(file->message, f->kind->from(file), &file->problem);

	for (size_t i = 0; i < count && !err; i++) {
		buf_reset(&why);
		err = handed_in_to(file->message, to[i], &why);
		if (err == ERR_SYNTAX)
			err = folder_file_keep_refusal(file, to[i], buf_text(&why), count);
	}
	return err;
}

static void fill_envelope(struct folder_file *file)
{
	struct envelope *e = handed_in_envelope(file->message);

	e->ret = file->drop.ret;
	if (file->drop.envid.len > 0 && envelope_set(e, &e->envid, file->drop.envid))
		e->envid = TEXT_EMPTY; /* a report without it is better than none */
	for (size_t i = 0; i < e->recipient_count; i++)
		e->recipients[i].notify = file->drop.notify;
}

static enum err make_message(struct folder_file *file)
{
	struct folder *f = file->folder;
	AUTO(buf_fini) struct buf user = BUF(100);

	buf_add_format(&user, "userid %u", file->uid);
	return handed_in_new(&(struct handed_in_options){ .io = f->options.io,
	                                                  .queue = f->options.queue,
	                                                  .config = f->config,
	                                                  .id = file->id,
	                                                  .listener = f->kind->listener,
	                                                  .protocol = f->kind->protocol,
	                                                  .client = buf_text(&file->user),
	                                                  .local_user = buf_text(&user),
	                                                  .add_missing = true,
	                                                  .on_room = on_room,
	                                                  .owner = file },
	                     &file->message);
}

static void on_opened(struct folder_file *file)
{
	enum err err = file->err;

	if (err == ERR_NOT_FOUND) { /* its owner took it back */
		folder_file_done(file);
		return;
	}
	if (!err)
		err = make_message(file);
	if (!err)
		err = admit(file);
	if (err) {
		refuse_whole(file, err);
		return;
	}
	if (handed_in_envelope(file->message)->recipient_count == 0) {
		folder_file_tell_sender(file);
		return;
	}
	fill_envelope(file);
	err = give_front(file);
	if (err)
		refuse_whole(file, err);
	else
		go_on(file);
}

/* ---------------------------------------------------------------- opening it, in the lane */

static void name_user(struct folder_file *file)
{
	struct passwd entry, *found = NULL;
	char room[4096];

	buf_add_format(&file->user, "uid %u", file->uid);
	if (getpwuid_r(file->uid, &entry, room, sizeof(room), &found) == 0 && found)
		buf_add_format(&file->user, " (%.64s)", found->pw_name);
}

/* What could be anything is opened so that nothing happens by it: no link is followed, no FIFO or device waited for. */
static enum err open_file(struct folder_file *file, struct stat *st)
{
	file->fd = openat(file->folder->fd, file->name,
	                  O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (file->fd < 0) {
		enum err err = errno == ELOOP ? ERR_SYNTAX : err_from_errno(errno);

		if (err != ERR_NOT_FOUND)
			buf_add_format(&file->problem, "it cannot be opened: %s",
			               errno == ELOOP ? "a symbolic link is not followed" : strerror(errno));
		return err;
	}
	if (fstat(file->fd, st) != 0)
		return err_from_errno(errno);
	if (!S_ISREG(st->st_mode))
		buf_add(&file->problem, TEXT("it is no ordinary file"));
	else if (st->st_nlink > 1)
		buf_add(&file->problem,
		        TEXT("it has a second name (a hard link): it may be somebody else's"));
	return file->problem.len > 0 ? ERR_SYNTAX : ERR_OK;
}

static enum err read_front(struct folder_file *file)
{
	size_t max = file->folder->kind->front_bytes;

	buf_init(&file->head, max);
	while (file->head.len < max && !file->at_end) {
		size_t want = MIN(max - file->head.len, (size_t)65536);
		char *room = buf_reserve(&file->head, want);
		ssize_t n;

		if (!room)
			return ERR_NOMEM;
		n = read(file->fd, room, want);
		if (n < 0 && errno != EINTR)
			return err_from_errno(errno);
		file->at_end = n == 0;
		if (n > 0)
			buf_grew(&file->head, (size_t)n);
	}
	return ERR_OK;
}

static void run_open(struct io_job *job)
{
	struct folder_file *file = CONTAINER_OF(job, struct folder_file, job);
	const struct folder_kind *kind = file->folder->kind;
	struct stat st;

	file->err = kind->claim ? kind->claim(file, file->folder->fd) : ERR_OK;
	if (!file->err)
		file->err = open_file(file, &st);
	if (file->err)
		return;
	file->uid = st.st_uid;
	file->bytes = (uint64_t)MAX(st.st_size, (off_t)0);
	file->id = kind->make_id(file, &st);
	name_user(file);
	file->err = read_front(file);
	if (!file->err)
		file->err = kind->parse(file);
}

/* ---------------------------------------------------------------- for the rounds */

void folder_file_begin(struct folder_file *file)
{
	in_lane(file, run_open, on_opened);
}

void folder_file_let_go(struct folder_file *file)
{
	if (file->next == go_on)
		folder_file_done(file);
}
