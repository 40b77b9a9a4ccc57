#include "cli.h"

#include <postrider/base/time.h>

static void print_check(struct cli *cli, const struct json *check)
{
	bool ok = json_as_bool(json_member(check, "ok"));

	fputs("  ", cli->out);
	cli_colour(cli, ok ? GREEN : RED);
	cli_put_cell(cli, ok ? TEXT("ok") : TEXT("bad"), 4);
	cli_colour(cli, PLAIN);
	cli_put(cli, json_as_text(json_member(check, "name")));
	if (!ok)
		fputs(": ", cli->out);
	cli_put(cli, json_as_text(json_member(check, "detail")));
	fputc('\n', cli->out);
}

static void print_health(struct cli *cli, const struct json *v)
{
	const struct json *checks = json_member(v, "checks"), *spool = json_member(v, "spool");
	bool ready = json_as_bool(json_member(v, "ready"));
	AUTO(buf_fini) struct buf up = BUF(100);

	time_add_duration(&up, json_as_number(json_member(v, "up_seconds"), 0) * SECOND_MS);
	cli_colour(cli, ready ? GREEN : RED);
	fputs(ready ? "ready" : "not ready", cli->out);
	cli_colour(cli, PLAIN);
	fprintf(cli->out, ", up %.*s\n", TEXT_ARGS(buf_text(&up)));
	for (size_t i = 0; i < json_count(checks); i++)
		print_check(cli, json_element(checks, i));
	fprintf(cli->out, "  spool: %lld messages, %lld recipients (%lld held), ",
	        (long long)json_as_number(json_member(spool, "messages"), 0),
	        (long long)json_as_number(json_member(spool, "recipients"), 0),
	        (long long)json_as_number(json_member(spool, "held_recipients"), 0));
	cli_put_size(cli, json_as_number(json_member(spool, "used_bytes"), 0));
	fputs(" of ", cli->out);
	cli_put_size(cli, json_as_number(json_member(spool, "limit_bytes"), 0));
	fputs(", disk has ", cli->out);
	cli_put_size(cli, json_as_number(json_member(spool, "disk_free_bytes"), 0));
	fputs(" free\n", cli->out);
}

enum exit_code run_health(struct cli *cli)
{
	/* Asked with ?live the answer is 200 whatever the checks say, and they are in it all the same. */
	struct call call = { .method = "GET", .target = LIT("/v1/health?live") };
	struct answer answer;
	AUTO(json_free) struct json *v = NULL;
	enum exit_code code = cli_call(cli, &call, &answer);

	if (!code && !(v = cli_answer_json(cli, &answer)))
		code = EXIT_FAILED;
	if (!code && cli->json)
		fprintf(cli->out, "%.*s", TEXT_ARGS(buf_text(&answer.body)));
	else if (!code)
		print_health(cli, v);
	if (!code && !cli_has(cli, "live") && !json_as_bool(json_member(v, "ready")))
		code = EXIT_FAILED;
	answer_fini(&answer);
	return code;
}
