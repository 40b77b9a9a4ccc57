/* The configuration as a command sees it: from the same sources as the daemon. */
#include "cli.h"

#include <postrider/server.h>

struct io *cli_io(struct cli *cli)
{
	/* A command needs no crowd of threads. */
	struct io_uv_options options = { .disk_threads = 1, .cpu_threads = 1 };
	enum err err = cli->io ? ERR_OK : io_uv_new(&options, &cli->io);

	if (err)
		cli_fail(cli, EXIT_FAILED, NULL, "cannot begin: %s", err_text(err));
	return cli->io;
}

void cli_sources_fini(struct cli_sources *s)
{
	free(s->sets);
	s->sets = NULL;
}

enum exit_code cli_sources(struct cli *cli, struct cli_sources *out)
{
	const char *file = cli_value(cli, "config"), *value;
	size_t at = 0;

	*out = (struct cli_sources){ .sets = calloc(cli->given_count + 1, sizeof(*out->sets)) };
	if (!out->sets)
		return cli_fail(cli, EXIT_FAILED, NULL, "out of memory");
	struct config_sources *sources = &out->sources;

	sources->file = file ? text_from(file) : TEXT(CONFIG_DEFAULT_FILE);
	sources->file_is_optional = !file;
	sources->environment = (const char *const *)cli->world->environment;
	sources->sets = out->sets;
	while ((value = cli_next_value(cli, "set", &at)))
		out->sets[sources->set_count++] = text_from(value);
	server_use_system(sources, out->machine_name);
	return EXIT_DONE;
}

enum exit_code cli_load_config(struct cli *cli)
{
	struct cli_sources sources;
	struct config_report report;
	AUTO(buf_fini) struct buf words = BUF(1u << 20);

	if (cli->config)
		return EXIT_DONE;
	enum exit_code code = cli_sources(cli, &sources);

	if (code)
		return code;
	config_report_init(&report);
	enum err err = config_load(&sources.sources, &cli->config, &report);

	if (err && cli->json)
		cli_print_report_json(cli, &report);
	if (err) {
		config_report_print(&report, &words);
		fwrite(buf_text(&words).at, 1, words.len, cli->err);
	}
	config_report_fini(&report);
	cli_sources_fini(&sources);
	return !err ? EXIT_DONE : err == ERR_CONFIG ? EXIT_CONFIG : EXIT_FAILED;
}

/* ---------------------------------------------------------------- findings as JSON */

static void put_place(struct json_writer *w, const char *key, struct config_place place)
{
	json_open_object(w, key);
	json_put_text(w, "file", place.file);
	if (place.line)
		json_put_number(w, "line", place.line);
	if (place.column)
		json_put_number(w, "column", place.column);
	json_close_object(w);
}

static void put_finding(struct json_writer *w, const struct config_finding *f)
{
	json_open_object(w, NULL);
	json_put_string(w, "level", f->is_error ? "error" : "warning");
	put_place(w, "place", f->place);
	json_put_text(w, "message", f->message);
	json_put_text_if(w, "detail", f->detail);
	json_put_text_if(w, "expected", f->expected);
	json_put_text_if(w, "hint", f->hint);
	json_put_text_if(w, "source", f->source);
	if (f->see.file.len > 0)
		put_place(w, "see", f->see);
	json_close_object(w);
}

void cli_print_report_json(struct cli *cli, const struct config_report *report)
{
	AUTO(buf_fini) struct buf out = BUF(4u << 20);
	struct json_writer w;

	json_writer_init(&w, &out);
	json_open_object(&w, NULL);
	json_put_bool(&w, "ok", report->error_count == 0);
	json_put_number(&w, "errors", (int64_t)report->error_count);
	json_put_number(&w, "warnings", (int64_t)report->warning_count);
	json_open_array(&w, "findings");
	for (size_t i = 0; i < report->count; i++)
		put_finding(&w, &report->findings[i]);
	json_close_array(&w);
	json_close_object(&w);
	fprintf(cli->out, "%.*s\n", TEXT_ARGS(buf_text(&out)));
}
