#include "runner.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <postrider/base/auto.h>

typedef enum err command_fn(void *owner, struct text command);

static enum err each_command(const struct config *config, command_fn *fn, void *owner)
{
	enum err err = ERR_OK;

	for (size_t i = 0; i < config->ways.count && !err; i++) {
		const struct config_login *login = config->ways.items[i].login;

		if (login && login->oauth2.token_command.len)
			err = fn(owner, login->oauth2.token_command);
	}
	return err;
}

size_t runner_find(const struct runner *r, struct text command)
{
	size_t i = 0;

	while (i < r->count && !text_eq(text_from(r->commands[i]), command))
		i++;
	return i;
}

static enum err add(void *owner, struct text command)
{
	struct runner *r = owner;

	if (runner_find(r, command) < r->count)
		return ERR_OK;
	char **commands = realloc(r->commands, (r->count + 1) * sizeof(*commands));

	if (!commands)
		return ERR_NOMEM;
	r->commands = commands;
	r->commands[r->count] = text_dup(command);
	return r->commands[r->count] ? (r->count++, ERR_OK) : ERR_NOMEM;
}

/* By way of a child that ends at once, so that nobody here has to wait for the runner's end. */
static enum err split_off(const struct runner *r, int ours, int theirs, const char *const *environment)
{
	pid_t first = fork();
	int status = 0;

	if (first < 0)
		return err_from_errno(errno);
	if (first == 0) {
		pid_t second = fork();

		if (second != 0)
			_exit(second < 0);
		close(ours);
		runner_run(r, theirs, environment);
	}
	while (waitpid(first, &status, 0) < 0)
		if (errno != EINTR)
			return err_from_errno(errno);
	return status == 0 ? ERR_OK : ERR_NOMEM;
}

enum err runner_start(const struct config *config, const char *const *environment, int64_t time_ms,
                      struct runner *out, struct buf *problem)
{
	int ends[2] = { -1, -1 };

	*out = (struct runner){ .fd = -1, .time_ms = time_ms };
	enum err err = each_command(config, add, out);

	if (err || out->count == 0)
		return err;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
		err = err_from_errno(errno);
	else
		err = split_off(out, ends[0], ends[1], environment);
	if (!err && fcntl(ends[0], F_SETFL, O_NONBLOCK) != 0)
		err = err_from_errno(errno);
	if (ends[1] >= 0)
		close(ends[1]);
	out->fd = ends[0];
	if (err)
		buf_add_format(problem, "token_command: the process that runs commands cannot be started: %s",
		               err_text(err));
	return err;
}

void runner_fini(struct runner *r)
{
	if (r->fd >= 0)
		close(r->fd);
	for (size_t i = 0; i < r->count; i++)
		free(r->commands[i]);
	free(r->commands);
	*r = (struct runner){ .fd = -1 };
}

struct checking {
	const struct runner *runner;
	struct buf *problem;
};

static enum err check(void *owner, struct text command)
{
	struct checking *c = owner;

	if (runner_find(c->runner, command) < c->runner->count)
		return ERR_OK;
	/* its arguments may be secrets */
	buf_add_format(
		c->problem,
		"token_command %.*s was not in the configuration that the relay started with, and it runs only those: "
		"restart",
		TEXT_ARGS(text_head(command, text_find_octet(command, ' '))));
	return ERR_CONFIG;
}

enum err runner_check(const struct runner *r, const struct config *config, struct buf *problem)
{
	struct checking c = { r, problem };

	return each_command(config, check, &c);
}
