#include "cli.h"

enum exit_code run_show(struct cli *cli)
{
	AUTO(buf_fini) struct buf target = BUF(4096);
	AUTO(json_free) struct json *story = NULL;
	struct answer answer;
	size_t at = 0;

	buf_add(&target, TEXT("/v1/messages/"));
	http_add_encoded(&target, text_from(cli_next_value(cli, NULL, &at)));
	if (buf_err(&target))
		return cli_fail(cli, EXIT_USAGE, NULL, "an id has 26 characters at most");
	struct call call = { .method = "GET", .target = buf_text(&target) };
	enum exit_code code = cli_call(cli, &call, &answer);

	if (!code && !(story = cli_answer_json(cli, &answer)))
		code = EXIT_FAILED;
	if (!code && cli->json)
		fprintf(cli->out, "%.*s", TEXT_ARGS(buf_text(&answer.body)));
	else if (!code)
		print_story(cli, story, io_now_time(cli->io));
	answer_fini(&answer);
	return code;
}
