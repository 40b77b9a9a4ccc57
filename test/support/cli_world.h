/* support/cli_world.h - commands that run in memory. */
#ifndef POSTRIDER_TEST_CLI_WORLD_H
#define POSTRIDER_TEST_CLI_WORLD_H

#include <stdbool.h>

#include <postrider/cli.h>

struct cli_run {
	char *out, *err; /* what was printed */
	int code;
};

/* Splits the line at single spaces; "''" is an empty word. The environment is empty. in: what is typed; NULL: nothing. */
void cli_run(struct cli_run *run, const char *line, const char *in, bool is_terminal);
void cli_run_fini(struct cli_run *run);

#endif
