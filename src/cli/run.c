/* run: the daemon in the foreground. */
#include "demo.h"

#include <postrider/server.h>

enum exit_code run_run(struct cli *cli)
{
	if (cli_has(cli, "demo"))
		return run_demo(cli);
	if (cli_has(cli, "dir"))
		return cli_fail(cli, EXIT_USAGE, "the spool is set in the configuration",
		                "--dir is for --demo");
	struct cli_sources sources;
	enum exit_code code = cli_sources(cli, &sources);

	if (!code) {
		struct server_main_options options = { .sources = &sources.sources,
			                               .log_descriptor = cli->world->out_descriptor,
			                               .version = TEXT(POSTRIDER_VERSION),
			                               .commit = cli_commit() };

		code = (enum exit_code)server_main(&options);
	}
	cli_sources_fini(&sources);
	return code;
}
