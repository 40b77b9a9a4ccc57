#include "secret.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include <postrider/base/auto.h>

/* ---------------------------------------------------------------- a terminal without echo */

struct silence {
	int fd, signals;
	struct termios before;
	sigset_t mask, mask_before;
};

/* Signals that end us come to a descriptor while the terminal is silent, so that it never stays so. */
static bool silence_begin(struct silence *s, int fd)
{
	struct termios silent;

	s->fd = fd;
	if (tcgetattr(fd, &s->before) != 0)
		return false;
	sigemptyset(&s->mask);
	sigaddset(&s->mask, SIGINT);
	sigaddset(&s->mask, SIGTERM);
	sigaddset(&s->mask, SIGHUP);
	sigaddset(&s->mask, SIGQUIT);
	sigaddset(&s->mask, SIGTSTP);
	s->signals = signalfd(-1, &s->mask, SFD_CLOEXEC);
	if (s->signals < 0)
		return false;
	sigprocmask(SIG_BLOCK, &s->mask, &s->mask_before);
	silent = s->before;
	silent.c_lflag &= ~(tcflag_t)ECHO;
	silent.c_lflag |= ECHONL;
	tcsetattr(fd, TCSAFLUSH, &silent);
	return true;
}

static void silence_end(struct silence *s)
{
	tcsetattr(s->fd, TCSAFLUSH, &s->before);
	sigprocmask(SIG_SETMASK, &s->mask_before, NULL);
	close(s->signals);
}

/* Until there is a line. False: a signal came instead, which runs its course when the terminal is itself again. */
static bool wait_for_line(const struct silence *s)
{
	struct pollfd fds[] = { { .fd = s->fd, .events = POLLIN }, { .fd = s->signals, .events = POLLIN } };
	struct signalfd_siginfo info;

	while (poll(fds, 2, -1) < 0 && errno == EINTR)
		;
	if (!fds[1].revents)
		return true;
	if (read(s->signals, &info, sizeof(info)) == (ssize_t)sizeof(info))
		raise((int)info.ssi_signo); /* blocked still */
	return false;
}

/* Octets up to LF. False: none came. */
static bool read_line(int fd, struct buf *out)
{
	bool any = false;
	char c;

	while (read(fd, &c, 1) == 1) {
		any = true;
		if (c == '\n')
			break;
		buf_add_octet(out, c);
	}
	return any;
}

static enum exit_code ask_once(struct cli *cli, const char *prompt, int fd, struct buf *out)
{
	struct silence silence;
	bool got;

	fprintf(cli->err, "%s: ", prompt);
	fflush(cli->err);
	if (!silence_begin(&silence, fd))
		return cli_fail(cli, EXIT_FAILED, "give the password on standard input",
		                "the terminal cannot be silenced");
	got = wait_for_line(&silence) && read_line(fd, out);
	silence_end(&silence);
	return got ? EXIT_DONE : cli_fail(cli, EXIT_FAILED, NULL, "no password");
}

static enum exit_code ask(struct cli *cli, const char *prompt, bool twice, int fd, struct buf *out)
{
	enum exit_code code = ask_once(cli, prompt, fd, out);
	struct buf again = BUF(out->max);

	if (code || !twice)
		return code;
	if (!buf_reserve(&again, out->max))
		return cli_fail(cli, EXIT_FAILED, NULL, "no memory");
	code = ask_once(cli, "the same again", fd, &again);
	if (!code && !text_eq(buf_text(&again), buf_text(out)))
		code = cli_fail(cli, EXIT_FAILED, NULL, "that was not the same");
	explicit_bzero(again.at, again.room);
	buf_fini(&again);
	return code;
}

/* ---------------------------------------------------------------- standard input */

static enum exit_code take_first_line(struct cli *cli, struct buf *out)
{
	bool any = false;
	int c;

	while ((c = getc(cli->world->in)) != EOF) {
		any = true;
		if (c == '\n')
			break;
		buf_add_octet(out, (char)c);
	}
	if (out->len && out->at[out->len - 1] == '\r')
		buf_cut(out, out->len - 1);
	return any ? EXIT_DONE
	           : cli_fail(cli, EXIT_USAGE, "one line on standard input, or a terminal", "no password");
}

enum exit_code secret_read(struct cli *cli, const char *prompt, bool twice, struct buf *out)
{
	int fd = fileno(cli->world->in);
	enum exit_code code =
		fd >= 0 && isatty(fd) ? ask(cli, prompt, twice, fd, out) : take_first_line(cli, out);

	if (!code && buf_err(out))
		return cli_fail(cli, EXIT_USAGE, NULL, "a password of more than %zu octets", out->max);
	return code;
}

/* ---------------------------------------------------------------- a locked file */

static enum exit_code cannot(struct cli *cli, const char *what, const char *path)
{
	int error = errno;

	return cli_fail(cli, error == EACCES || error == EPERM || error == EROFS ? EXIT_DENIED : EXIT_FAILED,
	                error == EACCES || error == EPERM ? "run it as the owner of the file, or as root"
	                                                  : NULL,
	                "cannot %s %s: %s", what, path, strerror(error));
}

/* Whether the path still names what was opened: somebody may have replaced it while we waited for the lock. */
static bool is_still_there(const struct locked_file *f, const struct stat *opened)
{
	struct stat now;

	return stat(f->path, &now) == 0 && now.st_ino == opened->st_ino && now.st_dev == opened->st_dev;
}

/* NULL: no memory. */
static char *directory_of(const char *path)
{
	struct text t = text_from(path), directory = text_head(t, text_find_last_octet(t, '/'));

	if (directory.len == t.len)
		return text_dup(TEXT("."));
	return text_dup(directory.len ? directory : TEXT("/"));
}

/* A daemon that runs as its own user reads it through the group of the directory, if anybody thought of that. */
static void give_to_group_of_directory(const struct locked_file *f)
{
	AUTO(free_memory) char *directory = directory_of(f->path);
	struct stat st;

	if (directory && stat(directory, &st) == 0 && fchown(f->fd, (uid_t)-1, st.st_gid) != 0)
		return; /* then it stays as it is */
}

static bool open_once(struct locked_file *f, bool create)
{
	f->is_new = false;
	f->fd = open(f->path, O_RDWR | O_CLOEXEC);
	if (f->fd < 0 && errno == ENOENT && create) {
		f->fd = open(f->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
		f->is_new = f->fd >= 0;
		if (f->is_new)
			give_to_group_of_directory(f);
		if (f->fd < 0 && errno == EEXIST)
			f->fd = open(f->path, O_RDWR | O_CLOEXEC);
	}
	return f->fd >= 0;
}

enum exit_code locked_file_open(struct cli *cli, const char *path, bool create, struct locked_file *f)
{
	struct stat opened;

	*f = (struct locked_file){ .fd = -1, .path = realpath(path, NULL) };
	if (!f->path)
		f->path = text_dup(text_from(path));
	if (!f->path)
		return cli_fail(cli, EXIT_FAILED, NULL, "no memory");
	for (;;) {
		if (!open_once(f, create))
			return cannot(cli, "open", path);
		if (flock(f->fd, LOCK_EX) != 0 || fstat(f->fd, &opened) != 0)
			return cannot(cli, "lock", path);
		if (is_still_there(f, &opened))
			break;
		close(f->fd);
	}
	f->mode = opened.st_mode & 07777;
	f->uid = opened.st_uid;
	f->gid = opened.st_gid;
	return EXIT_DONE;
}

enum exit_code locked_file_read(struct cli *cli, struct locked_file *f, struct buf *out)
{
	for (;;) {
		char *room = buf_reserve(out, 16384);
		ssize_t n = room ? read(f->fd, room, 16384) : 0;

		if (n < 0 && errno == EINTR)
			continue;
		if (!room || n < 0)
			return room ? cannot(cli, "read", f->path)
			            : cli_fail(cli, EXIT_FAILED, NULL, "%s is too large", f->path);
		if (n == 0)
			return EXIT_DONE;
		buf_grew(out, (size_t)n);
	}
}

static bool write_all(int fd, struct text t)
{
	while (t.len) {
		ssize_t n = write(fd, t.at, t.len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return false;
		t = text_skip(t, (size_t)n);
	}
	return fsync(fd) == 0;
}

static void sync_directory_of(const char *path)
{
	AUTO(free_memory) char *directory = directory_of(path);
	int fd = directory ? open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

	if (fd < 0)
		return;
	(void)fsync(fd);
	close(fd);
}

/* Mode and owner first, so that nobody ever reads who could not before. Only root can give a file away. */
static bool fill(const struct locked_file *f, int fd, struct text content)
{
	if ((f->uid != geteuid() || f->gid != getegid()) && fchown(fd, f->uid, f->gid) != 0)
		return false;
	return fchmod(fd, f->mode) == 0 && write_all(fd, content);
}

enum exit_code locked_file_replace(struct cli *cli, struct locked_file *f, struct text content)
{
	struct buf name = BUF(8192);
	enum exit_code code = EXIT_DONE;

	buf_add_format(&name, "%s.XXXXXX", f->path);
	buf_add_octet(&name, 0);
	int fd = buf_err(&name) ? -1 : mkostemp(name.at, O_CLOEXEC);

	if (fd < 0) {
		code = cannot(cli, "make a file beside", f->path);
	} else if (!fill(f, fd, content) || rename(name.at, f->path) != 0) {
		code = cannot(cli, "replace", f->path);
		unlink(name.at);
	} else {
		sync_directory_of(f->path);
		f->is_new = false;
	}
	if (fd >= 0)
		close(fd);
	buf_fini(&name);
	return code;
}

void locked_file_close(struct locked_file *f)
{
	if (f->fd >= 0 && f->is_new)
		unlink(f->path);
	if (f->fd >= 0)
		close(f->fd);
	f->fd = -1;
	free(f->path);
	f->path = NULL;
}
