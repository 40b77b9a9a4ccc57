/* postrider/cli.h - the commands. */
#ifndef POSTRIDER_CLI_H
#define POSTRIDER_CLI_H

#include <stdio.h>

/* What a command runs in; main fills it from the process, tests from memory. */
struct cli_world {
	int argc;
	char **argv;
	char **environment;      /* NAME=value, NULL at the end */
	FILE *in, *out, *err;
	int out_descriptor;      /* behind out: the log of `run` goes there */
	int is_terminal;         /* in and out are one: colour, questions */
	unsigned columns;        /* of the terminal; 0: not known */
};

/* Returns the exit code: 0 done, 1 what was asked failed, 2 usage, 3 daemon not reachable, 4 nothing matched, 5 not
 * permitted, 78 configuration. */
int cli_main(const struct cli_world *world);

#endif
