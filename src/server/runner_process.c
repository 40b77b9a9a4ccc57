/* The process that runs commands: one thread, one loop, no memory but what is here. */
#include "runner.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <postrider/base/auto.h>

#define SOCKET 3
#define SHELL "/bin/sh"
#define VARIABLES_MAX 1000

struct run {
	pid_t pid; /* 0: this place is free */
	uint32_t number;
	int64_t until_ms;
	int output, error; /* -1: at its end */
	enum err err;
	size_t output_len, error_len;
	char said[RUNNER_OUTPUT_MAX + 1], complaint[RUNNER_ERROR_MAX];
};

struct process {
	const struct runner *runner;
	char **environment;
	struct run runs[RUNNER_AT_ONCE];
	char in[sizeof(struct runner_order)];
	size_t in_len;
};

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

/* ---------------------------------------------------------------- to the relay */

static void send_all(const void *bytes, size_t len)
{
	const char *at = bytes;

	while (len > 0) {
		ssize_t n = send(SOCKET, at, len, MSG_NOSIGNAL);

		if (n < 0 && errno != EINTR)
			return; /* it is gone: the loop sees that */
		if (n > 0) {
			at += n;
			len -= (size_t)n;
		}
	}
}

static void report(uint32_t number, enum err err, int exit_code, struct text output, struct text complaint)
{
	const struct runner_report r = { .number = number,
		                         .err = err,
		                         .exit_code = exit_code,
		                         .output_bytes = (uint32_t)output.len,
		                         .error_bytes = (uint32_t)complaint.len };

	send_all(&r, sizeof(r));
	send_all(output.at, output.len);
	send_all(complaint.at, complaint.len);
}

/* ---------------------------------------------------------------- a command */

static void close_if(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static int set_attributes(posix_spawnattr_t *attributes, posix_spawn_file_actions_t *actions, int output,
                          int error)
{
	sigset_t all, none;
	int status;

	sigfillset(&all);
	sigemptyset(&none);
	status = posix_spawnattr_setsigdefault(attributes, &all);
	if (!status)
		status = posix_spawnattr_setsigmask(attributes, &none);
	if (!status)
		status = posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK |
		                                                      POSIX_SPAWN_SETSID);
	if (!status)
		status = posix_spawn_file_actions_adddup2(actions, output, STDOUT_FILENO);
	if (!status)
		status = posix_spawn_file_actions_adddup2(actions, error, STDERR_FILENO);
	return status;
}

/* Not by fork: what a library does in a fork's child may be meant for descriptors that were closed here. */
static int spawn(const struct process *p, const char *command, int output, int error, pid_t *pid)
{
	char shell[] = "sh", option[] = "-c";
	char *const arguments[] = { shell, option, (char *)(uintptr_t)command, NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	int status = posix_spawnattr_init(&attributes);

	if (status)
		return status;
	status = posix_spawn_file_actions_init(&actions);
	if (!status)
		status = set_attributes(&attributes, &actions, output, error);
	if (!status)
		status = posix_spawn(pid, SHELL, &actions, &attributes, arguments, p->environment);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attributes);
	return status;
}

static enum err start(const struct process *p, const char *command, struct run *r)
{
	int output[2] = { -1, -1 }, error[2] = { -1, -1 };
	bool has_pipes = pipe2(output, O_CLOEXEC) == 0 && pipe2(error, O_CLOEXEC) == 0;
	enum err err = err_from_errno(has_pipes ? spawn(p, command, output[1], error[1], &r->pid) : errno);

	close_if(&output[1]);
	close_if(&error[1]);
	if (err) {
		close_if(&output[0]);
		close_if(&error[0]);
		r->pid = 0;
		return err;
	}
	(void)fcntl(output[0], F_SETFL, O_NONBLOCK);
	(void)fcntl(error[0], F_SETFL, O_NONBLOCK);
	r->output = output[0];
	r->error = error[0];
	return ERR_OK;
}

static struct run *find_run(struct process *p, pid_t pid, uint32_t number)
{
	for (size_t i = 0; i < RUNNER_AT_ONCE; i++)
		if (p->runs[i].pid == pid && (!pid || p->runs[i].number == number))
			return &p->runs[i];
	return NULL;
}

static void begin(struct process *p, const struct runner_order *order)
{
	struct run *r = find_run(p, 0, 0);

	if (order->command >= p->runner->count || !r) {
		report(order->number, r ? ERR_DENIED : ERR_BUSY, 0, TEXT_EMPTY, TEXT_EMPTY);
		return;
	}
	*r = (struct run){ .number = order->number, .until_ms = now_ms() + p->runner->time_ms };
	enum err err = start(p, p->runner->commands[order->command], r);

	if (err)
		report(order->number, err, 0, TEXT_EMPTY, TEXT_EMPTY);
}

/* Of its whole session, as far as it did not leave it. */
static void kill_run(struct run *r)
{
	(void)kill(-r->pid, SIGKILL);
	(void)kill(r->pid, SIGKILL);
}

static void give_up(struct run *r, enum err why)
{
	if (!r->err)
		r->err = why;
	kill_run(r);
}

static void cancel(struct process *p, uint32_t number)
{
	for (size_t i = 0; i < RUNNER_AT_ONCE; i++)
		if (p->runs[i].pid && p->runs[i].number == number)
			give_up(&p->runs[i], ERR_CANCELLED);
}

/* ---------------------------------------------------------------- what it says */

static void read_output(struct run *r)
{
	while (r->output >= 0) {
		ssize_t n = read(r->output, r->said + r->output_len, sizeof(r->said) - r->output_len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0)
			close_if(&r->output);
		else
			r->output_len += (size_t)n;
		if (r->output_len > RUNNER_OUTPUT_MAX) {
			close_if(&r->output);
			give_up(r, ERR_TOO_BIG);
		}
	}
}

/* To its end, so that nobody hangs in a full pipe; what is more than a little is forgotten. */
static void read_error(struct run *r)
{
	char more[1000];

	while (r->error >= 0) {
		ssize_t n = read(r->error, more, sizeof(more));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0)
			close_if(&r->error);
		for (ssize_t i = 0; i < n && r->error_len < RUNNER_ERROR_MAX; i++)
			r->complaint[r->error_len++] = more[i];
	}
}

static struct text first_line(const struct run *r)
{
	struct text t = text_of(r->complaint, r->error_len);

	while (t.len && (t.at[0] == '\n' || t.at[0] == '\r'))
		t = text_skip(t, 1);
	return text_head(t, text_find_octet(t, '\n'));
}

static void end(struct run *r, int status)
{
	int exit_code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);

	read_output(r);
	read_error(r);
	close_if(&r->output);
	close_if(&r->error);
	if (r->err != ERR_CANCELLED)
		report(r->number, r->err, exit_code, r->err ? TEXT_EMPTY : text_of(r->said, r->output_len),
		       first_line(r));
	explicit_bzero(r, sizeof(*r));
}

/* What it has left running goes first: as long as it is not waited for, nobody else can have its number. */
static void end_if_over(struct run *r)
{
	siginfo_t info = { .si_pid = 0 };
	int status = 0;

	if (waitid(P_PID, (id_t)r->pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0)
		return;
	(void)kill(-r->pid, SIGKILL);
	if (waitpid(r->pid, &status, 0) == r->pid)
		end(r, status);
}

/* ---------------------------------------------------------------- from the relay */

static void kill_all(struct process *p)
{
	for (size_t i = 0; i < RUNNER_AT_ONCE; i++)
		if (p->runs[i].pid)
			kill_run(&p->runs[i]);
}

static void obey(struct process *p)
{
	struct runner_order order;

	memcpy(&order, p->in, sizeof(order));
	p->in_len = 0;
	if (order.command == RUNNER_CANCEL)
		cancel(p, order.number);
	else
		begin(p, &order);
}

static void read_orders(struct process *p)
{
	for (;;) {
		ssize_t n = recv(SOCKET, p->in + p->in_len, sizeof(p->in) - p->in_len, MSG_DONTWAIT);

		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			return;
		if (n <= 0) { /* the relay is gone */
			kill_all(p);
			_exit(0);
		}
		p->in_len += (size_t)n;
		if (p->in_len == sizeof(p->in))
			obey(p);
	}
}

/* ---------------------------------------------------------------- the loop */

static void wait_for_news(struct process *p, const sigset_t *while_waiting)
{
	struct pollfd fds[1 + 2 * RUNNER_AT_ONCE] = { { .fd = SOCKET, .events = POLLIN } };
	nfds_t count = 1;
	int64_t until = INT64_MAX, now = now_ms();

	for (size_t i = 0; i < RUNNER_AT_ONCE; i++) {
		const struct run *r = &p->runs[i];

		if (!r->pid)
			continue;
		until = MIN(until, r->until_ms);
		fds[count++] = (struct pollfd){ .fd = r->output, .events = POLLIN };
		fds[count++] = (struct pollfd){ .fd = r->error, .events = POLLIN };
	}
	int64_t left = MAX(until - now, INT64_C(0));
	const struct timespec timeout = { .tv_sec = (time_t)(left / 1000),
		                          .tv_nsec = (long)(left % 1000) * 1000000 };

	(void)ppoll(fds, count, until == INT64_MAX ? NULL : &timeout, while_waiting);
}

static void look_after(struct run *r)
{
	read_output(r);
	read_error(r);
	if (now_ms() >= r->until_ms) {
		give_up(r, ERR_TIMEOUT);
		r->until_ms = INT64_MAX; /* its end is on its way */
	}
	end_if_over(r);
}

static void on_child(int number)
{
	(void)number; /* only so that ppoll returns */
}

/* The service manager and the terminal tell all of us to stop; the relay may still need a token for what it finishes. */
static void set_signals(sigset_t *while_waiting)
{
	const int ignored[] = { SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGPIPE, SIGUSR1, SIGUSR2, SIGALRM };
	struct sigaction ignore = { .sa_handler = SIG_IGN }, wake = { .sa_handler = on_child };
	sigset_t child;

	for (size_t i = 0; i < ARRAY_LEN(ignored); i++)
		(void)sigaction(ignored[i], &ignore, NULL);
	(void)sigaction(SIGCHLD, &wake, NULL);
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, NULL);
	sigemptyset(while_waiting);
}

/* Sockets that the relay listens on, and the log, are not ours to hold open. */
static void keep_only(int fd)
{
	struct rlimit limit = { .rlim_cur = 65536 };
	int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);

	(void)getrlimit(RLIMIT_NOFILE, &limit);
	if (nothing < 0 || dup2(nothing, STDIN_FILENO) < 0 || dup2(nothing, STDOUT_FILENO) < 0)
		_exit(1);
	/* dup3 refuses equal ones, and then it is there already */
	if (fd != SOCKET && dup3(fd, SOCKET, O_CLOEXEC) < 0)
		_exit(1);
	if (close_range(SOCKET + 1, ~0u, 0) == 0)
		return;
	for (int other = SOCKET + 1; (rlim_t)other < MIN(limit.rlim_cur, (rlim_t)65536); other++)
		close(other);
}

static bool is_ours_alone(struct text variable)
{
	static const struct text prefixes[] = { LIT("POSTRIDER_"), LIT("NOTIFY_SOCKET="), LIT("LISTEN_"),
		                                LIT("WATCHDOG_"),  LIT("HOME="),          LIT("USER="),
		                                LIT("LOGNAME=") };

	for (size_t i = 0; i < ARRAY_LEN(prefixes); i++)
		if (text_starts(variable, prefixes[i]))
			return true;
	return false;
}

static char *join(const char *name, const char *value)
{
	struct buf b = BUF(8192);
	size_t len;

	buf_add_format(&b, "%s=%s", name, value);
	return buf_take(&b, &len);
}

/* That of the relay, with a home that is the user's; secrets that were given by variables stay with us. */
static char **make_environment(const char *const *given)
{
	char **out = calloc(VARIABLES_MAX + 5, sizeof(*out));
	const struct passwd *user = getpwuid(geteuid());
	bool has_path = false;
	size_t count = 0;

	if (!out)
		_exit(1);
	for (size_t i = 0; given && given[i] && count < VARIABLES_MAX; i++) {
		if (is_ours_alone(text_from(given[i])))
			continue;
		has_path = has_path || text_starts(text_from(given[i]), TEXT("PATH="));
		out[count++] = (char *)(uintptr_t)given[i];
	}
	if (!has_path)
		out[count++] = join("PATH", "/usr/local/bin:/usr/bin:/bin");
	if (user) {
		out[count++] = join("HOME", user->pw_dir);
		out[count++] = join("USER", user->pw_name);
		out[count] = join("LOGNAME", user->pw_name);
	}
	return out;
}

_Noreturn void runner_run(const struct runner *r, int fd, const char *const *environment)
{
	struct process *p = calloc(1, sizeof(*p));
	sigset_t while_waiting;

	if (!p)
		_exit(1);
	p->runner = r;
	setsid();
	keep_only(fd);
	set_signals(&while_waiting);
	(void)prctl(PR_SET_NAME, "postrider-run", 0, 0, 0);
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	p->environment = make_environment(environment);
	for (;;) {
		wait_for_news(p, &while_waiting);
		read_orders(p);
		for (size_t i = 0; i < RUNNER_AT_ONCE; i++)
			if (p->runs[i].pid)
				look_after(&p->runs[i]);
	}
}
