#include "cli.h"
#include "sendmail.h"

static enum exit_code dispatch(struct cli *cli)
{
	enum exit_code code = cli_parse(cli);

	if (code)
		return code;
	if (!cli->verb) {
		if (cli_has(cli, "help")) {
			cli_print_help(cli, NULL);
			return EXIT_DONE;
		}
		cli->out = cli->err;
		cli_print_help(cli, NULL);
		return EXIT_USAGE;
	}
	if (cli_has(cli, "help")) {
		cli_print_help(cli, cli->verb);
		return EXIT_DONE;
	}
	return cli->verb->run(cli);
}

int cli_main(const struct cli_world *world)
{
	int name_at = sendmail_name_at(world->argc, world->argv);

	if (name_at >= 0)
		return sendmail_main(world, name_at);
	struct cli cli = { .world = world, .out = world->out, .err = world->err };
	enum exit_code code = dispatch(&cli);

	/* What was printed must have arrived: a full disk or a closed pipe is a failure too. */
	if (fflush(world->out) != 0 && code == EXIT_DONE)
		code = EXIT_FAILED;
	free(cli.given);
	if (cli.config)
		config_unref(&cli.config);
	if (cli.io)
		io_uv_free(&cli.io);
	return code;
}
