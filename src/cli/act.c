/* retry, hold, release, drop. */
#include "cli.h"

#define ASKED_ABOVE 10

struct counts {
	int64_t messages, recipients, done, busy, gone, failed;
};

static int64_t number(const struct json *v, const char *name)
{
	return json_as_number(json_member(v, name), 0);
}

static enum exit_code call_verb(struct cli *cli, bool dry_run, struct json **out)
{
	AUTO(buf_fini) struct buf target = BUF(64u << 10);
	struct answer answer;

	buf_add_format(&target, "/v1/queue/%s", cli->verb->name);
	if (!cli_add_query(cli, &target))
		return cli_fail(cli, EXIT_USAGE, "give ids, or --domain, --reason, --older, ..., or --all",
		                "%s what? nothing is selected", cli->verb->name);
	if (dry_run)
		cli_add_parameter(&target, "dry_run", TEXT_EMPTY);
	if (buf_err(&target))
		return cli_fail(cli, EXIT_USAGE, "give fewer ids at a time", "too much is selected at once");
	struct call call = { .method = "POST", .target = buf_text(&target) };
	enum exit_code code = cli_call(cli, &call, &answer);

	if (!code && !(*out = cli_answer_json(cli, &answer)))
		code = EXIT_FAILED;
	answer_fini(&answer);
	return code;
}

static void print_count(struct cli *cli, const struct counts *c)
{
	fprintf(cli->out, "%lld recipient%s of %lld message%s to %s", (long long)c->recipients,
	        c->recipients == 1 ? "" : "s", (long long)c->messages, c->messages == 1 ? "" : "s",
	        cli->verb->name);
}

static bool is_wanted(struct cli *cli, const struct counts *c)
{
	char line[100];

	if (c->recipients <= ASKED_ABOVE || cli_has(cli, "yes") || !cli->world->is_terminal || cli->json)
		return true;
	fprintf(cli->out, "; go on? [y/N] ");
	fflush(cli->out);
	return fgets(line, sizeof(line), cli->world->in) && ascii_lower(line[0]) == 'y';
}

static void print_missing(struct cli *cli, const struct json *answer)
{
	const struct json *missing = json_member(answer, "missing");

	for (size_t i = 0; i < json_count(missing); i++)
		fprintf(cli->err, "postrider: no living message begins with %.*s\n",
		        TEXT_ARGS(json_as_text(json_element(missing, i))));
}

static enum exit_code print_result(struct cli *cli, const struct json *answer)
{
	struct counts c = { .done = number(answer, "done"),
		            .busy = number(answer, "busy"),
		            .gone = number(answer, "gone"),
		            .failed = number(answer, "failed") };

	if (cli->json) {
		AUTO(buf_fini) struct buf line = BUF(1u << 20);

		json_add(&line, answer);
		fprintf(cli->out, "%.*s\n", TEXT_ARGS(buf_text(&line)));
	} else {
		fprintf(cli->out, "%lld done", (long long)c.done);
		if (c.busy)
			fprintf(cli->out, ", %lld being delivered at this moment (left alone: try again)",
			        (long long)c.busy);
		if (c.gone)
			fprintf(cli->out, ", %lld gone meanwhile", (long long)c.gone);
		if (c.failed)
			fprintf(cli->out, ", %lld failed: %.*s", (long long)c.failed,
			        TEXT_ARGS(json_as_text(json_member(answer, "failure"))));
		fputc('\n', cli->out);
	}
	return c.failed > 0 || (c.busy > 0 && c.done == 0) ? EXIT_FAILED : EXIT_DONE;
}

enum exit_code run_act(struct cli *cli)
{
	AUTO(json_free) struct json *found = NULL, *done = NULL;
	enum exit_code code = call_verb(cli, true, &found);

	if (code)
		return code;
	struct counts c = { .messages = number(found, "messages"),
		            .recipients = number(found, "recipients") };

	print_missing(cli, found);
	if (cli->json && cli_has(cli, "dry-run"))
		print_result(cli, found);
	if (c.recipients == 0)
		return cli->json ? EXIT_NOTHING
		                 : cli_fail(cli, EXIT_NOTHING,
		                            "`postrider queue` with the same selection shows what is there",
		                            "nothing to %s matches", cli->verb->name);
	if (!cli->json)
		print_count(cli, &c);
	if (cli_has(cli, "dry-run")) {
		fputs(cli->json ? "" : "; nothing was changed\n", cli->out);
		return EXIT_DONE;
	}
	if (!is_wanted(cli, &c)) {
		fputs("nothing was changed\n", cli->out);
		return EXIT_FAILED;
	}
	if (!cli->json)
		fputs(": ", cli->out);
	code = call_verb(cli, false, &done);
	return code ? code : print_result(cli, done);
}
