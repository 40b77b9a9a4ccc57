#include "cli.h"

#include <postrider/queue.h>

static void on_problem(void *owner, struct text line)
{
	struct cli *cli = owner;
	FILE *out = cli->out;

	cli->out = cli->json ? cli->err : out;
	cli_colour(cli, RED);
	cli_put(cli, line);
	cli_colour(cli, PLAIN);
	fputc('\n', cli->out);
	cli->out = out;
}

struct line {
	const char *name, *words;
	uint64_t value;
	bool is_bad; /* something other than 0 is damage */
	bool is_odd; /* ... is worth a look */
};

static void print_json(struct cli *cli, const struct line *lines, size_t count, bool ok)
{
	AUTO(buf_fini) struct buf out = BUF(4096);
	struct json_writer w;

	json_writer_init(&w, &out);
	json_open_object(&w, NULL);
	json_put_bool(&w, "ok", ok);
	for (size_t i = 0; i < count; i++)
		json_put_number(&w, lines[i].name, (int64_t)lines[i].value);
	json_close_object(&w);
	fprintf(cli->out, "%.*s\n", TEXT_ARGS(buf_text(&out)));
}

static enum exit_code print_report(struct cli *cli, const struct queue_verify_report *r)
{
	const struct line lines[] = {
		{ "messages", "messages", r->messages, false, false },
		{ "recipients", "recipients", r->recipients, false, false },
		{ "due_rows", "rows of the schedule", r->due_rows, false, false },
		{ "keys", "destinations", r->keys, false, false },
		{ "spool_files", "spool files", r->spool_files, false, false },
		{ "body_bytes", "octets of bodies", r->body_bytes, false, false },
		{ "damaged_messages", "damaged messages", r->damaged_messages, true, false },
		{ "damaged_recipients", "damaged recipients", r->damaged_recipients, true, false },
		{ "lost_due_rows", "recipients that nothing will wake", r->lost_due_rows, true, false },
		{ "wrong_counts", "counts that are not right", r->wrong_counts, true, false },
		{ "unreadable_tables", "tables that cannot be read to their end", r->unreadable_tables, true,
		  false },
		{ "missing_files", "spool files that are missing", r->missing_files, true, false },
		{ "stray_files", "spool files that nobody names (removed at the next start)", r->stray_files,
		  false, true },
		{ "set_aside", "damaged messages that were set aside", r->set_aside, false, true },
	};
	bool ok = true;

	for (size_t i = 0; i < ARRAY_LEN(lines); i++)
		ok = ok && !(lines[i].is_bad && lines[i].value > 0);
	if (cli->json) {
		print_json(cli, lines, ARRAY_LEN(lines), ok);
		return ok ? EXIT_DONE : EXIT_FAILED;
	}
	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		if ((lines[i].is_bad || lines[i].is_odd) && lines[i].value == 0)
			continue;
		cli_colour(cli, lines[i].is_bad ? RED : lines[i].is_odd ? YELLOW : PLAIN);
		fprintf(cli->out, "%12llu  %s", (unsigned long long)lines[i].value, lines[i].words);
		cli_colour(cli, PLAIN);
		fputc('\n', cli->out);
	}
	if (!ok)
		return cli_fail(cli, EXIT_FAILED,
		                "keep a copy of the spool before anything else is done with it",
		                "the spool is damaged");
	fputs("the spool is whole\n", cli->out);
	return EXIT_DONE;
}

enum exit_code run_verify(struct cli *cli)
{
	struct queue_verify_report report = { 0 };
	size_t at = 0;
	const char *given = cli_next_value(cli, NULL, &at);
	enum exit_code code = given ? EXIT_DONE : cli_load_config(cli);

	if (code)
		return code;
	struct text path = given ? text_from(given) : cli->config->spool.path;
	enum err err = queue_verify(io_disk_real(), path, on_problem, cli, &report);

	if (err == ERR_NOT_FOUND)
		return cli_fail(cli, EXIT_NOTHING, "say which with `postrider verify SPOOL`, or with -c",
		                "there is no spool in %.*s", TEXT_ARGS(path));
	if (err == ERR_DENIED)
		return cli_fail(cli, EXIT_DENIED, "be root, or the user that the relay runs as",
		                "the spool %.*s is not for you", TEXT_ARGS(path));
	if (err)
		return cli_fail(cli, EXIT_FAILED, "look at the disk (dmesg)",
		                "the spool %.*s cannot be read: %s", TEXT_ARGS(path), err_text(err));
	return print_report(cli, &report);
}
