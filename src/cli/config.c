/* check and config: what the configuration says, without a daemon. */
#include "cli.h"

#include <postrider/server.h>

#define PRINT_MAX_BYTES (8u << 20)

static enum exit_code print(struct cli *cli, const struct buf *out)
{
	if (buf_err(out))
		return cli_fail(cli, EXIT_FAILED, NULL, "cannot print it: %s", err_text(buf_err(out)));
	fwrite(buf_text(out).at, 1, out->len, cli->out);
	return EXIT_DONE;
}

/* One object a line: what `jq` can look for. */
static void print_value(void *owner, struct text path, struct text value, struct config_place origin)
{
	struct cli *cli = owner;
	AUTO(buf_fini) struct buf line = BUF(PRINT_MAX_BYTES), place = BUF(4096);
	struct json_writer w;

	config_place_add(&place, origin);
	json_writer_init(&w, &line);
	json_open_object(&w, NULL);
	json_put_text(&w, "key", path);
	json_put_text(&w, "value", value);
	json_put_text(&w, "origin", buf_text(&place));
	json_close_object(&w);
	fprintf(cli->out, "%.*s\n", TEXT_ARGS(buf_text(&line)));
}

enum exit_code run_config(struct cli *cli)
{
	static const struct {
		const char *flag;
		void (*write)(struct buf *out);
	} texts[] = {
		{ "schema", config_write_schema },
		{ "env", config_write_environment },
		{ "reference", config_write_reference },
	};
	AUTO(buf_fini) struct buf out = BUF(PRINT_MAX_BYTES);

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		if (cli_has(cli, texts[i].flag)) {
			texts[i].write(&out);
			return print(cli, &out);
		}
	enum exit_code code = cli_load_config(cli);

	if (code)
		return code;
	if (cli->json) {
		enum err err = config_each_value(cli->config, print_value, cli);

		return err ? cli_fail(cli, EXIT_FAILED, NULL, "cannot print it: %s", err_text(err))
		           : EXIT_DONE;
	}
	config_print(cli->config, cli_has(cli, "origin"), &out);
	return print(cli, &out);
}

static void print_summary(struct cli *cli)
{
	const struct config *c = cli->config;

	cli_colour(cli, GREEN);
	fputs("ok", cli->out);
	cli_colour(cli, PLAIN);
	fputs(": ", cli->out);
	cli_put(cli, c->hostname);
	fprintf(cli->out, ", %zu listener%s, %zu upstream%s, %zu route%s; spool ", c->listen.count,
	        c->listen.count == 1 ? "" : "s", c->upstreams.count, c->upstreams.count == 1 ? "" : "s",
	        c->routes.count, c->routes.count == 1 ? "" : "s");
	cli_put(cli, c->spool.path);
	fputc('\n', cli->out);
}

static void on_found(void *owner, struct text where, struct text what, struct text next)
{
	config_report_add(owner, where, what, next);
}

/* ---------------------------------------------------------------- check --connect */

struct arrivals {
	struct cli *cli;
	bool some_failed;
};

static void print_arrival_json(struct cli *cli, struct text upstream, bool is_good, struct text words)
{
	AUTO(buf_fini) struct buf line = BUF(PRINT_MAX_BYTES);
	struct json_writer w;

	json_writer_init(&w, &line);
	json_open_object(&w, NULL);
	json_put_text(&w, "upstream", upstream);
	json_put_bool(&w, "ok", is_good);
	json_put_text(&w, "detail", words);
	json_close_object(&w);
	fprintf(cli->out, "%.*s\n", TEXT_ARGS(buf_text(&line)));
}

static void on_came(void *owner, struct text upstream, bool is_good, struct text words)
{
	struct arrivals *a = owner;

	a->some_failed |= !is_good;
	if (a->cli->json) {
		print_arrival_json(a->cli, upstream, is_good, words);
		return;
	}
	cli_colour(a->cli, is_good ? GREEN : RED);
	fputs(is_good ? "ok" : "failed", a->cli->out);
	cli_colour(a->cli, PLAIN);
	fputs(": ", a->cli->out);
	cli_put(a->cli, upstream);
	fputs(": ", a->cli->out);
	cli_put(a->cli, words);
	fputc('\n', a->cli->out);
}

static enum exit_code check_connect(struct cli *cli)
{
	AUTO(buf_fini) struct buf problem = BUF(4096);
	struct arrivals arrivals = { .cli = cli };
	enum err err = server_check_connect(cli->config, (const char *const *)cli->world->environment,
	                                    on_came, &arrivals, &problem);

	if (err)
		return cli_fail(cli, EXIT_FAILED, NULL, "%.*s",
		                TEXT_ARGS(problem.len ? buf_text(&problem) : text_from(err_text(err))));
	return arrivals.some_failed ? EXIT_FAILED : EXIT_DONE;
}

enum exit_code run_check(struct cli *cli)
{
	struct cli_sources sources;
	struct config_report report;
	AUTO(buf_fini) struct buf words = BUF(PRINT_MAX_BYTES);
	enum exit_code code = cli_sources(cli, &sources);

	if (code)
		return code;
	config_report_init(&report);
	enum err err = config_load(&sources.sources, &cli->config, &report);

	if (!err)
		err = server_check_files(cli->config, on_found, &report);
	if (!err && report.error_count)
		err = ERR_CONFIG;
	config_report_print(&report, &words);
	if (cli->json)
		cli_print_report_json(cli, &report);
	else
		fwrite(buf_text(&words).at, 1, words.len, cli->err);
	if (!err && !cli->json)
		print_summary(cli);
	config_report_fini(&report);
	code = !err ? EXIT_DONE : err == ERR_CONFIG ? EXIT_CONFIG : EXIT_FAILED;
	if (!err && cli_has(cli, "connect"))
		code = check_connect(cli);
	cli_sources_fini(&sources);
	return code;
}
