/* sendmail, mailq and newaliases: which of them we are, and with which configuration. */
#include "sendmail.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "cli.h"

#define USUAL_DROP_PATH "/var/lib/postrider/drop" /* with the default of spool.path */

static const struct flag config_flag = { "config", 'c', "FILE", NULL, false };

int sendmail_fail(const struct sendmail *s, enum sysexit code, const char *format, ...)
{
	AUTO(buf_fini) struct buf words = BUF(8192);
	va_list args;

	va_start(args, format);
	buf_add_format_v(&words, format, args);
	va_end(args);
	/* What is complained about may be a stranger's. */
	s->cli->out = s->world->err;
	fputs("sendmail: ", s->world->err);
	cli_put(s->cli, buf_text(&words));
	fputc('\n', s->world->err);
	s->cli->out = s->world->out;
	return code;
}

/* ---------------------------------------------------------------- configuration */

struct reading {
	struct config_sources inner;
};

/* Who sends mail need not be able to read the relay's secrets: what is theirs to know is where the drop directory is. */
static enum err read_file(void *owner, struct text path, struct buf *out, struct buf *detail,
                          struct buf *hint)
{
	const struct reading *r = owner;
	enum err err = r->inner.read_file(r->inner.owner, path, out, detail, hint);

	if (err != ERR_DENIED || text_eq(path, r->inner.file))
		return err;
	if (!text_ends(path, TEXT(".yaml")) && !text_ends(path, TEXT(".yml")))
		buf_add(out, TEXT("unreadable"));
	return buf_err(out);
}

static enum err find_files(void *owner, struct text pattern, config_found_fn *found, void *found_by)
{
	const struct reading *r = owner;

	return r->inner.find_files(r->inner.owner, pattern, found, found_by);
}

static const struct config *load(struct cli *cli, struct buf *words, struct buf *machine)
{
	struct cli_sources sources;
	struct config_report report;
	const struct config *config = NULL;

	if (cli_sources(cli, &sources))
		return NULL;
	struct reading r = { sources.sources };

	sources.sources.read_file = read_file;
	sources.sources.find_files = find_files;
	sources.sources.owner = &r;
	buf_add(machine, sources.sources.machine_name);
	config_report_init(&report);
	if (config_load(&sources.sources, &config, &report))
		config_report_print(&report, words);
	config_report_fini(&report);
	cli_sources_fini(&sources);
	return config;
}

/* A configuration that somebody has just broken must not lose mail: what is dropped waits until it is mended. */
static int use_usual_places(struct sendmail *s, const struct buf *words, const struct buf *machine)
{
	s->max_bytes = 0;
	buf_add(&s->hostname, machine->len ? buf_text(machine) : TEXT("localhost"));
	buf_add(&s->drop_path, TEXT(USUAL_DROP_PATH));
	if (!s->args.config && access(USUAL_DROP_PATH, F_OK) == 0)
		return SYSEXIT_OK;
	fwrite(buf_text(words).at, 1, words->len, s->world->err);
	return sendmail_fail(s, SYSEXIT_CONFIG, "the configuration %s cannot be used",
	                     s->args.config ? s->args.config : CONFIG_DEFAULT_FILE);
}

static int configure(struct sendmail *s)
{
	AUTO(buf_fini) struct buf words = BUF(1u << 20), machine = BUF(300);
	struct cli *cli = s->cli;

	cli->given = calloc(1, sizeof(*cli->given));
	if (!cli->given)
		return sendmail_fail(s, SYSEXIT_TEMPFAIL, "out of memory");
	if (s->args.config)
		cli->given[cli->given_count++] = (struct given){ &config_flag, s->args.config };
	cli->config = load(cli, &words, &machine);
	cli->config_failed = !cli->config;
	if (!cli->config)
		return use_usual_places(s, &words, &machine);
	s->max_bytes = cli->config->access.max_message_size_bytes;
	buf_add(&s->hostname, cli->config->hostname);
	buf_add(&s->drop_path, cli->config->drop.path);
	return SYSEXIT_OK;
}

/* ---------------------------------------------------------------- which one */

static int run_mode(struct sendmail *s)
{
	switch (s->args.mode) {
	case SENDMAIL_DELIVER:
		return sendmail_deliver(s);
	case SENDMAIL_SMTP:
		return sendmail_smtp(s);
	case SENDMAIL_LIST:
		return sendmail_list(s);
	case SENDMAIL_FLUSH:
		return sendmail_flush(s);
	case SENDMAIL_ALIASES:
		break;
	}
	return SYSEXIT_SOFTWARE;
}

static int run(struct sendmail *s)
{
	if (s->args.mode == SENDMAIL_ALIASES) {
		fputs("nothing to do: this relay has no alias database to rebuild\n", s->world->out);
		return SYSEXIT_OK;
	}
	int code = configure(s);

	if (!code && !cli_io(s->cli))
		code = SYSEXIT_TEMPFAIL;
	return code ? code : run_mode(s);
}

int sendmail_main(const struct cli_world *world, int name_at)
{
	struct cli cli = { .world = world, .out = world->out, .err = world->err };
	struct sendmail s = { .world = world, .cli = &cli, .hostname = BUF(300), .drop_path = BUF(4096) };
	AUTO(buf_fini) struct buf problem = BUF(1000);
	int code;

	if (sendmail_parse(world->argc - name_at, world->argv + name_at, &s.args, &problem))
		code = run(&s);
	else
		code = sendmail_fail(&s, SYSEXIT_USAGE, "%.*s", TEXT_ARGS(buf_text(&problem)));
	if (fflush(world->out) != 0 && code == SYSEXIT_OK)
		code = SYSEXIT_IOERR;
	buf_fini(&s.hostname);
	buf_fini(&s.drop_path);
	free(cli.given);
	if (cli.config)
		config_unref(&cli.config);
	if (cli.io)
		io_uv_free(&cli.io);
	return code;
}

/* Options of sendmail's are none of ours: the verb was not the first word, or dispatch would not have come here. */
enum exit_code run_sendmail(struct cli *cli)
{
	return cli_fail(cli, EXIT_USAGE, "postrider sendmail -C FILE -t < message",
	                "sendmail must be the first word, and takes its own options");
}
