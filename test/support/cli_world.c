#include "support/cli_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define WORDS_MAX 64

void cli_run(struct cli_run *run, const char *line, const char *in, bool is_terminal)
{
	char *words[WORDS_MAX + 1] = { NULL }, *copy = strdup(line), *rest = copy, *word;
	char *environment[] = { NULL };
	size_t out_len, err_len;
	struct cli_world world = { .argv = words,
		                   .environment = environment,
		                   .out_descriptor = STDOUT_FILENO,
		                   .is_terminal = is_terminal };

	words[world.argc++] = (char[]){ "postrider" };
	while ((word = strsep(&rest, " "))) {
		assert_true(world.argc < WORDS_MAX);
		if (*word)
			words[world.argc++] = strcmp(word, "''") == 0 ? word + 2 : word;
	}
	world.in = in ? fmemopen((void *)(uintptr_t)in, strlen(in), "r") : fopen("/dev/null", "r");
	world.out = open_memstream(&run->out, &out_len);
	world.err = open_memstream(&run->err, &err_len);
	assert_true(world.in && world.out && world.err);
	run->code = cli_main(&world);
	fclose(world.in);
	fclose(world.out);
	fclose(world.err);
	free(copy);
}

void cli_run_fini(struct cli_run *run)
{
	free(run->out);
	free(run->err);
	*run = (struct cli_run){ 0 };
}
