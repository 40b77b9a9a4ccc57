#include "cli.h"

/* Both from the build: the commit, and "name version" of each library with commas between them. */
#ifndef POSTRIDER_COMMIT
#	define POSTRIDER_COMMIT "unknown"
#endif
#ifdef __clang__
#	define COMPILER __VERSION__
#else
#	define COMPILER "gcc " __VERSION__
#endif
#ifndef POSTRIDER_LIBRARIES
#	define POSTRIDER_LIBRARIES ""
#endif

struct text cli_commit(void)
{
	return TEXT(POSTRIDER_COMMIT);
}

static void print_json(struct cli *cli)
{
	AUTO(buf_fini) struct buf out = BUF(4096);
	struct text rest = TEXT(POSTRIDER_LIBRARIES);
	struct json_writer w;

	json_writer_init(&w, &out);
	json_open_object(&w, NULL);
	json_put_string(&w, "version", POSTRIDER_VERSION);
	json_put_string(&w, "commit", POSTRIDER_COMMIT);
	json_put_string(&w, "compiler", COMPILER);
	json_open_object(&w, "libraries");
	while (rest.len > 0) {
		struct text version = text_cut(&rest, ',');
		struct text name = text_cut(&version, ' ');
		AUTO(free_memory) char *key = text_dup(name);

		if (key)
			json_put_text(&w, key, version);
	}
	json_close_object(&w);
	json_close_object(&w);
	fprintf(cli->out, "%.*s\n", TEXT_ARGS(buf_text(&out)));
}

enum exit_code run_version(struct cli *cli)
{
	struct text rest = TEXT(POSTRIDER_LIBRARIES);

	if (cli->json) {
		print_json(cli);
		return EXIT_DONE;
	}
	fprintf(cli->out, "postrider %s\ncommit    %s\ncompiler  %s\nlibraries", POSTRIDER_VERSION,
	        POSTRIDER_COMMIT, COMPILER);
	while (rest.len > 0) {
		struct text library = text_cut(&rest, ',');

		fprintf(cli->out, " %.*s%s", TEXT_ARGS(library), rest.len ? "," : "");
	}
	fputc('\n', cli->out);
	return EXIT_DONE;
}
