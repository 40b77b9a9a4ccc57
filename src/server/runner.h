/* server/runner.h - the process that runs commands (token_command). The relay itself cannot once its sandbox is shut, so a
 * small process is forked before: as the relay's user, without capabilities, outside of the sandbox. It holds the commands
 * that the configuration had then and runs those and no others, whatever it is asked for.
 *
 * A command runs by /bin/sh in a session of its own, with nothing on standard input, for time_ms at most; what it leaves
 * running is killed with it. The runner ends, and all its commands with it, when the relay's end of the socket closes. */
#ifndef SERVER_RUNNER_H
#define SERVER_RUNNER_H

#include <postrider/config.h>

#define RUNNER_TIME_MS 30000
#define RUNNER_OUTPUT_MAX (16u << 10)
#define RUNNER_ERROR_MAX 1000 /* of the first line of standard error */
#define RUNNER_AT_ONCE 64

/* Relay to runner: number, and which command; RUNNER_CANCEL: the run of that number is not wanted any more. */
#define RUNNER_CANCEL UINT32_MAX
struct runner_order {
	uint32_t number, command;
};

/* Runner to relay; output and error follow. */
struct runner_report {
	uint32_t number;
	uint32_t err; /* enum err */
	int32_t exit_code;
	uint32_t output_bytes, error_bytes;
};

struct runner {
	int fd; /* of the relay's end; -1: none is needed, or somebody has taken it */
	int64_t time_ms;
	char **commands;
	size_t count;
};

/* Forks it, if the configuration has commands. Before the first thread is made. environment: of which the commands get all
 * but what is the relay's own. */
MUST_USE enum err runner_start(const struct config *config, const char *const *environment, int64_t time_ms,
                               struct runner *out, struct buf *problem);
void runner_fini(struct runner *r); /* a zeroed one with fd -1 is fine */
/* The number of a command; count: none of those that it was started with. */
size_t runner_find(const struct runner *r, struct text command);
/* ERR_CONFIG: another configuration has a command that the runner has not. */
MUST_USE enum err runner_check(const struct runner *r, const struct config *config, struct buf *problem);

/* runner_process.c: the process itself; never returns. */
_Noreturn void runner_run(const struct runner *r, int fd, const char *const *environment);

#endif
