#include "folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdlib.h>
#include <unistd.h>

#include <postrider/base/auto.h>
#include <postrider/mail/dsn.h>

#define AT_ONCE 8        /* files on their way in */
#define ROUND_FILES 64   /* chosen in one round */
#define OWNERS_MAX 1024  /* told apart in one round; further ones wait for the next */
#define OWNER_MANY 10000 /* files of one owner that are worth a word */
#define PIECE_BYTES (256u << 10)
#define PAUSE_MS (5 * SECOND_MS) /* after what may pass: a full disk */
#define WARN_EVERY_MS (60 * SECOND_MS)
#define NOTICE_MAX (16u << 20)
#define USER_MAX 200

struct owner {
	uint32_t uid;
	unsigned found, kept; /* files, and those whose names are here */
	char (*names)[FOLDER_NAME_MAX + 1];
};

/* A look at the directory; belongs to the job while it runs. */
struct round {
	struct io_job job;
	struct folder *folder;
	int64_t now_time;
	int fd;
	struct owner *owners;
	size_t owner_count;
	unsigned removed, stuck, strange, passed_over;
	uint32_t removed_uid;
	enum err err;
};

struct folder {
	struct folder_options options;
	const struct folder_kind *kind;
	const struct config *config;
	struct buf path; /* with a final NUL */
	int fd;
	struct round round;
	struct list waiting, active;
	unsigned active_count;
	struct io_job sync;
	bool looking, syncing, more, news, paused, broken, closing;
	struct io_timer timer;
	struct io_watch *watch;
	struct random random;
	int64_t warned_at;
	struct io_later closed;
	void (*on_closed)(void *owner);
	void *closed_owner;
};

/* ---------------------------------------------------------------- words */

static void say(struct folder *f, enum event_kind kind, enum event_level level, const char *format, ...)
	PRINTF_LIKE(4, 5);

static void say(struct folder *f, enum event_kind kind, enum event_level level, const char *format, ...)
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
static bool may_warn(struct folder *f)
{
	int64_t now = io_now_at(f->options.io);

	if (f->warned_at && now - f->warned_at < WARN_EVERY_MS)
		return false;
	f->warned_at = now;
	return true;
}

static void say_rejected(struct folder_file *file, struct text to, struct text why)
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

/* ---------------------------------------------------------------- one file: its end */

static void look(struct folder *f);
static void begin_next(struct folder *f);
static void check_closed(struct folder *f);

static void file_free(struct folder_file *file)
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

static void file_done(struct folder_file *file)
{
	struct folder *f = file->folder;

	file_free(file);
	f->active_count--;
	begin_next(f);
}

static void in_lane(struct folder_file *file, void (*run)(struct io_job *job),
                    void (*next)(struct folder_file *file));

static void on_step(struct io_job *job)
{
	struct folder_file *file = CONTAINER_OF(job, struct folder_file, job);

	/* What the queue has must go, also while we stop: else it comes again. */
	if (file->folder->closing && !file->ending)
		file_done(file);
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
static void leave(struct folder_file *file, const char *why)
{
	struct folder *f = file->folder;

	if (may_warn(f))
		say(f, EVENT_WARNING, LEVEL_WARN, "%s is left for later: %s", file->name, why);
	file_done(file);
}

/* Likewise, for a reason that holds for all. */
static void put_off(struct folder_file *file, const char *why)
{
	file->folder->paused = true;
	leave(file, why);
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
		say(f, EVENT_ERROR, LEVEL_ERROR,
		    "%s was taken and cannot be removed (%s): nothing more is taken from here until a restart; mend the "
		    "permissions and remove the file before",
		    file->name, err_text(file->err));
	} else if (file->err && may_warn(f)) {
		say(f, EVENT_WARNING, LEVEL_WARN, "%s cannot be set aside: %s", file->name,
		    err_text(file->err));
	}
	file_done(file);
}

static void remove_file(struct folder_file *file)
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

static void put_aside(struct folder_file *file)
{
	say_rejected(file, TEXT_EMPTY, buf_text(&file->problem));
	file->ending = true;
	in_lane(file, run_put_aside, on_removed);
}

/* ---------------------------------------------------------------- one file: what is refused */

static void on_notice_decided(void *owner, const struct queue_decision *decision)
{
	struct folder_file *file = owner;

	if (decision->err && decision->err != ERR_EXISTS)
		put_off(file, err_text(decision->err));
	else
		remove_file(file);
}

static struct text original_of(const struct folder_file *file)
{
	return text_head(file->content, 64u << 10);
}

static void write_notice(struct folder_file *file, struct buf *out)
{
	struct folder *f = file->folder;
	struct dsn_result result;
	const struct dsn dsn = {
		.id = handed_in_envelope(file->notice)->id,
		.random = random_u64(&f->random),
		.now_time = io_now_time(f->options.io),
		.hostname = f->config->hostname,
		.from = f->config->bounce.from,
		.to = f->kind->from(file),
		.original_id = file->id,
		.arrival_time = io_now_time(f->options.io),
		.recipients = file->refused,
		.recipient_count = file->refused_count,
		.returned = DSN_RETURN_HEADERS,
		.original = original_of(file),
		.original_bytes = file->bytes,
		.returned_max_bytes = f->config->bounce.max_size_bytes,
	};

	dsn_add(out, &dsn, &result);
}

static enum err build_notice(struct folder_file *file)
{
	struct folder *f = file->folder;
	AUTO(buf_fini) struct buf content = BUF(NOTICE_MAX), unused = BUF(1000);
	struct id id = file->id;

	id.bytes[ID_BYTES - 1] ^= 1; /* as sure to be the same as the message's own */
	enum err err = handed_in_new(&(struct handed_in_options){ .io = f->options.io,
	                                                          .queue = f->options.queue,
	                                                          .config = f->config,
	                                                          .id = id,
	                                                          .listener = f->kind->listener,
	                                                          .protocol = LIT("LOCAL"),
	                                                          .client = LIT("local") },
	                             &file->notice);

	if (!err)
		err = handed_in_from(file->notice, TEXT_EMPTY, &unused);
	if (!err)
		err = handed_in_to(file->notice, f->kind->from(file), &unused);
	if (!err)
		write_notice(file, &content);
	if (!err)
		err = buf_err(&content);
	if (!err)
		err = handed_in_open(file->notice, content.len);
	if (!err)
		err = handed_in_write(file->notice, buf_text(&content));
	if (!err)
		err = handed_in_finish(file->notice, &unused);
	return err ? err
	           : handed_in_commit(file->notice, TEXT_EMPTY, f->options.observe, 0, on_notice_decided,
	                              file);
}

static void put_refused_aside(struct folder_file *file)
{
	for (size_t i = 0; i < file->refused_count && file->problem.len == 0; i++)
		buf_add(&file->problem, file->refused[i].reply);
	put_aside(file);
}

/* Whom the message goes to is settled. The sender hears of the others, if there is one and wants to. */
static void tell_sender(struct folder_file *file)
{
	struct folder *f = file->folder;
	bool may_tell = f->kind->tells_sender && f->kind->from(file).len > 0 &&
	                !(file->drop.notify & ENVELOPE_NOTIFY_NEVER);
	enum err err = file->refused_count == 0 ? ERR_OK : may_tell ? build_notice(file) : ERR_SYNTAX;

	if (file->refused_count == 0)
		remove_file(file);
	else if (err == ERR_SYNTAX)
		put_refused_aside(file); /* nobody can be told: the file stays for people */
	else if (err)
		put_off(file, err_text(err));
}

static enum err keep_refusal(struct folder_file *file, struct text to, struct text why, size_t room)
{
	if (!file->refused)
		file->refused = calloc(room, sizeof(*file->refused));
	if (!file->refused)
		return ERR_NOMEM;
	struct dsn_recipient *r = &file->refused[file->refused_count];

	*r = (struct dsn_recipient){ .forward_path = to, .action = DSN_FAILED, .status = TEXT("5.7.1") };
	if (arena_text(&file->arena, why, &r->reply))
		return ERR_NOMEM;
	file->refused_count++;
	say_rejected(file, to, r->reply);
	return ERR_OK;
}

/* ---------------------------------------------------------------- one file: handing it in */

static void refuse_whole(struct folder_file *file, enum err err)
{
	if (err == ERR_TOO_BIG && file->problem.len == 0)
		buf_add(&file->problem, TEXT("larger than this relay takes (access.max_message_size)"));
	if (err == ERR_NOMEM || err == ERR_FULL || err == ERR_IO) {
		put_off(file, err == ERR_FULL ? "the spool has no room" : err_text(err));
		return;
	}
	if (file->problem.len == 0) {
		leave(file, err_text(err));
		return;
	}
	handed_in_free(&file->message);
	struct folder *f = file->folder;
	size_t count;
	const struct text *to = f->kind->to(file, &count);

	/* Who is refused as a sender is not written to: anybody may have used the name. */
	if (err != ERR_TOO_BIG || !f->kind->tells_sender) {
		put_aside(file);
		return;
	}
	file->refused_count = 0;
	free(file->refused);
	file->refused = NULL;
	for (size_t i = 0; i < count; i++)
		if (keep_refusal(file, to[i], buf_text(&file->problem), count)) {
			put_off(file, err_text(ERR_NOMEM));
			return;
		}
	tell_sender(file);
}

static void on_decided(void *owner, const struct queue_decision *decision)
{
	struct folder_file *file = owner;

	if (decision->err && decision->err != ERR_EXISTS) {
		put_off(file, decision->err == ERR_FULL ? "the spool has no room" : err_text(decision->err));
		return;
	}
	file->delivered = true;
	tell_sender(file);
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
	room = buf_reserve(&file->piece, PIECE_BYTES);
	if (!room) {
		file->err = ERR_NOMEM;
		return;
	}
	do
		n = read(file->fd, room, PIECE_BYTES);
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
			err = keep_refusal(file, to[i], buf_text(&why), count);
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
		file_done(file);
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
		tell_sender(file);
		return;
	}
	fill_envelope(file);
	err = give_front(file);
	if (err)
		refuse_whole(file, err);
	else
		go_on(file);
}

/* ---------------------------------------------------------------- one file: opening it, in the lane */

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
	in_lane(file, run_open, on_opened);
}

static void drop_waiting(struct folder *f)
{
	for (LIST_EACH_SAFE(it, &f->waiting))
		file_free(LIST_ITEM(it, struct folder_file, link));
}

static void begin_next(struct folder *f)
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
		say(f, EVENT_ERROR, LEVEL_ERROR, "out of memory: it is not looked at any more");
}

static void on_change(void *owner)
{
	struct folder *f = owner;

	f->news = true;
	/* While a round is under way it is seen at its end; while there is a pause, when that is over. */
	if (!f->looking && !f->syncing && f->active_count == 0 && !f->paused && !f->closing && !f->broken)
		rest(f);
}

/* ---------------------------------------------------------------- looking, in the lane */

static struct owner *owner_of(struct round *r, uint32_t uid)
{
	for (size_t i = 0; i < r->owner_count; i++)
		if (r->owners[i].uid == uid)
			return &r->owners[i];
	if (r->owner_count == OWNERS_MAX)
		return NULL;
	struct owner *o = &r->owners[r->owner_count];

	*o = (struct owner){ .uid = uid, .names = calloc(ROUND_FILES, sizeof(*o->names)) };
	if (!o->names)
		return NULL;
	r->owner_count++;
	return o;
}

static void keep_name(struct round *r, const char *name, uint32_t uid)
{
	struct owner *o = owner_of(r, uid);

	if (!o) {
		r->passed_over++;
		return;
	}
	o->found++;
	if (o->kept < ROUND_FILES)
		memcpy(o->names[o->kept++], name, strlen(name) + 1);
}

static void look_at(struct round *r, const char *name)
{
	struct stat st;

	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strlen(name) > FOLDER_NAME_MAX ||
	    fstatat(r->fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return;
	switch (r->folder->kind->look(name, &st, r->now_time)) {
	case FOLDER_TAKE:
		keep_name(r, name, st.st_uid);
		break;
	case FOLDER_REMOVE:
		if (unlinkat(r->fd, name, S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0) == 0)
			r->removed++;
		else
			r->stuck++;
		r->removed_uid = st.st_uid;
		break;
	case FOLDER_STRANGE:
		r->strange++;
		break;
	case FOLDER_LEAVE:
		break;
	}
}

static void run_look(struct io_job *job)
{
	struct round *r = CONTAINER_OF(job, struct round, job);
	int fd = open(r->folder->path.at, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *all = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	r->fd = fd;
	r->owners = calloc(OWNERS_MAX, sizeof(*r->owners));
	if (!all || !r->owners) {
		r->err = !all ? err_from_errno(errno) : ERR_NOMEM;
		if (all)
			closedir(all);
		else if (fd >= 0)
			close(fd);
		r->fd = -1;
		return;
	}
	while ((entry = readdir(all)))
		look_at(r, entry->d_name);
	r->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	r->err = r->fd < 0 ? err_from_errno(errno) : ERR_OK;
	closedir(all);
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
	file->piece = BUF(PIECE_BYTES);
	file->problem = BUF(2000);
	arena_init(&file->arena, 16u << 20);
	list_append(&f->waiting, &file->link);
}

/* In turns: nobody's thousand files keep another's one waiting. */
static void choose(struct folder *f, const struct round *r)
{
	size_t chosen = 0;

	f->more = r->passed_over > 0;
	for (unsigned turn = 0; turn < ROUND_FILES; turn++)
		for (size_t i = 0; i < r->owner_count; i++) {
			if (turn >= r->owners[i].kept)
				continue;
			if (chosen == ROUND_FILES) {
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
	if ((r->removed > 0 || r->stuck > 0) && may_warn(f))
		say(f, EVENT_WARNING, LEVEL_WARN,
		    "%u entries that do not belong there were removed%s (one was of uid %u)", r->removed,
		    r->stuck ? ", and some could not be" : "", r->removed_uid);
	if (r->strange > 0 && may_warn(f))
		say(f, EVENT_WARNING, LEVEL_WARN,
		    "%u entries are no ordinary files and are left alone: links, FIFOs and the like are not taken",
		    r->strange);
	for (size_t i = 0; i < r->owner_count; i++)
		if (r->owners[i].found > OWNER_MANY && may_warn(f))
			say(f, EVENT_WARNING, LEVEL_WARN, "%u files of uid %u wait in it", r->owners[i].found,
			    r->owners[i].uid);
}

static void on_looked(struct io_job *job)
{
	struct round *r = CONTAINER_OF(job, struct round, job);
	struct folder *f = r->folder;

	f->looking = false;
	if (r->err && may_warn(f))
		say(f, EVENT_WARNING, LEVEL_WARN, "it cannot be read: %s", err_text(r->err));
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
		begin_next(f);
	}
}

static void look(struct folder *f)
{
	f->looking = true;
	f->news = false;
	f->round = (struct round){ .job = { .run = run_look, .done = on_looked },
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

		if (file->next == go_on)
			file_done(file);
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
