#include "demo.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#include <postrider/server.h>
#include <postrider/sink.h>

/* Retries come soon, so that one sees them. The sink's local parts make what is worth seeing: refuse@, defer@. */
static const char configuration[] =
	"# What `postrider run --demo` runs with: a relay in front of a sink, all on loopback.\n"
	"hostname: relay.demo.example\n"
	"spool:\n"
	"  path: %s/spool\n"
	"listen:\n"
	"  - name: demo\n"
	"    address: 127.0.0.1:%u\n"
	"    allow: [127.0.0.0/8]\n"
	"upstreams:\n"
	"  sink:\n"
	"    hosts: [\"127.0.0.1:%u\"]\n"
	"    tls: none\n"
	"routes:\n"
	"  - {to: any, via: sink}\n"
	"retry:\n"
	"  schedule: [2s, 5s, 10s, 1m]\n"
	"admin:\n"
	"  socket: %s/admin.sock\n";

struct demo {
	struct cli *cli;
	char directory[256];
	bool is_temporary;
	char file[300], mails[300], spool[300];
	unsigned port, sink_port;
	struct sink *sink;
	bool failed;
};

/* ---------------------------------------------------------------- the directory */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *place)
{
	(void)st, (void)type, (void)place;
	return remove(path);
}

/* What we made ourselves under a name that nobody else has. */
static void remove_directory(struct demo *d)
{
	if (d->is_temporary && nftw(d->directory, remove_one, 16, FTW_DEPTH | FTW_PHYS) != 0)
		fprintf(d->cli->err, "postrider: %s could not be removed\n", d->directory);
}

static enum exit_code make_directories(struct demo *d)
{
	struct cli *cli = d->cli;
	const char *given = cli_value(cli, "dir");

	d->is_temporary = !given;
	if (given && text_from(given).len >= sizeof(d->directory) - 20)
		return cli_fail(cli, EXIT_USAGE, NULL, "the path %s is too long", given);
	snprintf(d->directory, sizeof(d->directory), "%s", given ? given : "/tmp/postrider-demo-XXXXXX");
	if (!given && !mkdtemp(d->directory)) {
		d->is_temporary = false;
		return cli_fail(cli, EXIT_FAILED, "name one with --dir", "no temporary directory: %s",
		                err_text(err_from_errno(errno)));
	}
	snprintf(d->file, sizeof(d->file), "%s/postrider.yaml", d->directory);
	snprintf(d->mails, sizeof(d->mails), "%s/mails", d->directory);
	snprintf(d->spool, sizeof(d->spool), "%s/spool", d->directory);
	if ((mkdir(d->mails, 0700) != 0 && errno != EEXIST) ||
	    (mkdir(d->spool, 0700) != 0 && errno != EEXIST))
		return cli_fail(cli, EXIT_FAILED, NULL, "cannot make a directory in %s: %s", d->directory,
		                err_text(err_from_errno(errno)));
	return EXIT_DONE;
}

static enum exit_code write_configuration(struct demo *d, struct buf *text)
{
	buf_add_format(text, configuration, d->directory, d->port, d->sink_port, d->directory);
	FILE *file = fopen(d->file, "we");

	if (buf_err(text) || !file || fwrite(text->at, 1, text->len, file) != text->len || fclose(file) != 0)
		return cli_fail(d->cli, EXIT_FAILED, NULL, "cannot write %s: %s", d->file,
		                err_text(err_from_errno(errno)));
	return EXIT_DONE;
}

/* ---------------------------------------------------------------- free ports */

static void on_accept(void *owner, struct io_stream *stream)
{
	(void)owner;
	io_stream_close(stream);
}

/* Two at once, so that they differ. Between here and their use somebody else may take them; then the demo says so. */
static enum exit_code choose_ports(struct demo *d)
{
	struct io_address any = { .ip = { .ip = ip_from_v4(0x7f000001) } };
	struct io_listener *first = NULL, *second = NULL;
	enum err err = io_listen(d->cli->io, &any, 0, on_accept, NULL, &first);

	if (!err)
		err = io_listen(d->cli->io, &any, 0, on_accept, NULL, &second);
	if (!err) {
		d->port = io_listener_address(first)->ip.port;
		d->sink_port = io_listener_address(second)->ip.port;
	}
	if (first)
		io_listener_close(&first);
	if (second)
		io_listener_close(&second);
	/* Closing ends with the loop. */
	io_uv_free(&d->cli->io);
	return err ? cli_fail(d->cli, EXIT_FAILED, NULL, "no free port on 127.0.0.1: %s", err_text(err))
	           : EXIT_DONE;
}

/* ---------------------------------------------------------------- running */

static void on_ready(void *owner, struct server *server, struct io *io)
{
	struct demo *d = owner;
	struct sink_options options = {
		.io = io,
		.address = { .ip = { ip_from_v4(0x7f000001), (uint16_t)d->sink_port } },
		.directory = d->mails,
		.hostname = LIT("sink.demo.example"),
	};
	enum err err = sink_open(&options, &d->sink);

	(void)server;
	if (err) {
		cli_fail(d->cli, EXIT_FAILED, NULL, "the demo's sink cannot open: %s", err_text(err));
		d->failed = true;
		io_uv_stop(io);
		return;
	}
	fprintf(d->cli->err,
	        "The demo relay takes mail on 127.0.0.1:%u and hands it to a sink, which keeps it in\n  %s\nTry:\n"
	        "  postrider -c %s send -f app@demo.example -t ann@demo.example --subject Hello --wait 10s\n"
	        "  postrider -c %s send -f app@demo.example -t refuse.bob@demo.example --wait 10s\n"
	        "  postrider -c %s send -f app@demo.example -t defer.cid@demo.example\n"
	        "  postrider -c %s queue\n"
	        "Ctrl-C ends it%s. Events follow on standard output.\n",
	        d->port, d->mails, d->file, d->file, d->file, d->file,
	        d->is_temporary ? " and removes everything" : "");
	fflush(d->cli->err);
}

static void on_end(void *owner)
{
	struct demo *d = owner;

	if (d->sink)
		sink_close(&d->sink);
}

static enum exit_code run_server(struct demo *d, struct text text)
{
	struct cli_sources sources;
	enum exit_code code = cli_sources(d->cli, &sources);

	if (code)
		return code;
	sources.sources.file = text_from(d->file);
	sources.sources.file_is_optional = false;
	sources.sources.text = text;
	sources.sources.environment = NULL; /* the demo is the same everywhere */
	struct server_main_options options = { .sources = &sources.sources,
		                               .log_descriptor = d->cli->world->out_descriptor,
		                               .is_open = true,
		                               .version = TEXT(POSTRIDER_VERSION),
		                               .commit = cli_commit(),
		                               .on_ready = on_ready,
		                               .on_end = on_end,
		                               .owner = d };

	code = (enum exit_code)server_main(&options);
	cli_sources_fini(&sources);
	return d->failed ? EXIT_FAILED : code;
}

enum exit_code run_demo(struct cli *cli)
{
	struct demo d = { .cli = cli };
	AUTO(buf_fini) struct buf text = BUF(64u << 10);

	if (cli_has(cli, "config"))
		return cli_fail(cli, EXIT_USAGE, "leave one of them out",
		                "--demo has a configuration of its own");
	if (!cli_io(cli))
		return EXIT_FAILED;
	enum exit_code code = choose_ports(&d);

	if (!code)
		code = make_directories(&d);
	if (!code)
		code = write_configuration(&d, &text);
	if (!code)
		code = run_server(&d, buf_text(&text));
	remove_directory(&d);
	return code;
}
