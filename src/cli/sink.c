/* sink: the catch-all SMTP server, with a line for each message. */
#include "cli.h"

#include <signal.h>

#include <postrider/server.h>
#include <postrider/sink.h>

#define DEFAULT_ADDRESS "127.0.0.1:2526"

struct sinking {
	struct cli *cli;
	struct sink *sink;
	struct tls_context *tls;
};

/* ---------------------------------------------------------------- what happens */

static void put_message_json(struct cli *cli, const struct sink_message *m)
{
	AUTO(buf_fini) struct buf line = BUF(1u << 20);
	struct json_writer w;

	json_writer_init(&w, &line);
	json_open_object(&w, NULL);
	json_put_time(&w, "time", m->time);
	json_put_number(&w, "session", (int64_t)m->session);
	json_put_number(&w, "number", (int64_t)m->number);
	json_put_text(&w, "client", m->client);
	json_put_text(&w, "helo", m->helo);
	json_put_bool(&w, "tls", m->is_tls);
	json_put_text(&w, "from", m->reverse_path);
	json_put_text(&w, "parameters", m->parameters);
	json_open_array(&w, "to");
	for (size_t i = 0; i < m->recipient_count; i++)
		json_put_text(&w, NULL, m->recipients[i]);
	json_close_array(&w);
	json_open_array(&w, "to_parameters");
	for (size_t i = 0; i < m->recipient_count; i++)
		json_put_text(&w, NULL, m->recipient_parameters[i]);
	json_close_array(&w);
	json_put_number(&w, "size", (int64_t)m->content_bytes);
	json_close_object(&w);
	fprintf(cli->out, "%.*s\n", TEXT_ARGS(buf_text(&line)));
}

static void on_message(void *owner, const struct sink_message *m)
{
	struct cli *cli = ((struct sinking *)owner)->cli;

	if (cli->json) {
		put_message_json(cli, m);
	} else {
		cli_put(cli, m->reverse_path.len ? m->reverse_path : TEXT("<>"));
		for (size_t i = 0; i < m->recipient_count; i++) {
			fputs(i ? ", " : " → ", cli->out);
			cli_put(cli, m->recipients[i]);
		}
		fputs("  ", cli->out);
		cli_put_size(cli, (int64_t)m->content_bytes);
		fputs(m->is_tls ? "  TLS" : "", cli->out);
		fputs("  from ", cli->out);
		cli_put(cli, m->client);
		fputc('\n', cli->out);
	}
	fflush(cli->out);
}

static void on_signal(void *owner, int number)
{
	(void)number;
	io_uv_stop(((struct sinking *)owner)->cli->io);
}

/* ---------------------------------------------------------------- what was asked for */

static bool read_address(struct cli *cli, struct io_address *out)
{
	const char *value = cli_value(cli, "listen");
	struct text t = text_from(value ? value : DEFAULT_ADDRESS);

	if (text_starts(t, TEXT("unix:"))) {
		t = text_skip(t, 5);
		if (t.len == 0 || t.len >= sizeof(out->unix_path))
			return false;
		memcpy(out->unix_path, t.at, t.len);
		return true;
	}
	return ip_port_parse(t, &out->ip) == ERR_OK;
}

/* "5%", "0.5%" in millionths. */
static bool read_share(struct cli *cli, const char *flag, unsigned *ppm)
{
	const char *value = cli_value(cli, flag);
	struct text rest = text_from(value), whole;
	uint64_t percent, fraction = 0;

	if (!value)
		return true;
	bool has_sign = text_ends(rest, TEXT("%"));

	rest = text_head(rest, rest.len - has_sign);
	whole = text_cut(&rest, '.');
	if (!has_sign || text_to_u64(whole, 100, &percent) || rest.len > 2 ||
	    (rest.len > 0 && text_to_u64(rest, 99, &fraction)) || percent * 100 + fraction > 10000) {
		cli_fail(cli, EXIT_USAGE, "write 5% or 0.5%", "--%s %s is no share", flag, value);
		return false;
	}
	*ppm = (unsigned)(percent * 10000 + fraction * (rest.len == 1 ? 1000 : 100));
	return true;
}

/* Everything it knows, less a list of keywords. */
static bool read_keywords(struct cli *cli, unsigned *keywords)
{
	struct text rest = text_from(cli_value(cli, "without"));

	*keywords = SINK_ALL_KEYWORDS;
	while (rest.len) {
		struct text word = text_trim(text_cut(&rest, ','));
		unsigned keyword = ehlo_keyword_of(word);

		if (!(keyword & SINK_ALL_KEYWORDS)) {
			cli_fail(
				cli, EXIT_USAGE,
				"take some of PIPELINING, SIZE, 8BITMIME, ENHANCEDSTATUSCODES, CHUNKING, BINARYMIME, "
				"SMTPUTF8, DSN, REQUIRETLS, MT-PRIORITY, DELIVERBY, with commas between",
				"--without %.*s: the sink knows no such extension", TEXT_ARGS(word));
			return false;
		}
		*keywords &= ~keyword;
	}
	if (!(*keywords & EHLO_CHUNKING))
		*keywords &= ~(unsigned)EHLO_BINARYMIME; /* RFC 3030: never alone */
	return true;
}

static enum err read_pem(struct cli *cli, const char *flag, struct buf *out)
{
	struct config_sources sources = { 0 };
	char name[256];
	const char *path = cli_value(cli, flag);

	if (!path) {
		cli_fail(cli, EXIT_USAGE, "--starttls --cert FILE --key FILE", "--starttls needs --%s", flag);
		return ERR_NOT_FOUND;
	}
	server_use_system(&sources, name);
	enum err err = sources.read_file(sources.owner, text_from(path), out, NULL, NULL);

	if (err)
		cli_fail(cli, EXIT_FAILED, NULL, "cannot read %s: %s", path, err_text(err));
	return err;
}

static enum err make_tls(struct cli *cli, struct tls_context **out)
{
	AUTO(buf_fini) struct buf certificate = BUF(1u << 20), key = BUF(1u << 20), problem = BUF(4096);

	if (!cli_has(cli, "starttls"))
		return ERR_OK;
	enum err err = read_pem(cli, "cert", &certificate);

	if (!err)
		err = read_pem(cli, "key", &key);
	if (err)
		return err;
	struct tls_server_options options = { .certificate = buf_text(&certificate), .key = buf_text(&key) };

	err = tls_server_context_new(cli->io, &options, out, &problem);
	if (err)
		cli_fail(cli, EXIT_FAILED, NULL, "the certificate and its key cannot be used: %.*s",
		         TEXT_ARGS(buf_text(&problem)));
	return err;
}

static enum exit_code read_options(struct cli *cli, struct sink_options *o)
{
	if (!read_address(cli, &o->address))
		return cli_fail(cli, EXIT_USAGE, "write 127.0.0.1:2526, [::1]:2526 or unix:/path",
		                "--listen %s is no address", cli_value(cli, "listen"));
	if (!read_share(cli, "fail", &o->fail_ppm) || !read_share(cli, "defer", &o->defer_ppm) ||
	    !cli_duration(cli, "slow", &o->slow_ms) || !read_keywords(cli, &o->keywords))
		return EXIT_USAGE;
	o->greylist = cli_has(cli, "greylist");
	o->directory = cli_value(cli, "save");
	o->ledger = cli_value(cli, "ledger");
	return make_tls(cli, &o->tls) ? EXIT_FAILED : EXIT_DONE;
}

/* ---------------------------------------------------------------- running */

static void say_where(struct cli *cli, const struct sink *sink)
{
	const struct io_address *a = sink_address(sink);
	AUTO(buf_fini) struct buf where = BUF(256);

	if (a->ip.ip.family == IP_NONE)
		buf_add_format(&where, "unix:%s", a->unix_path);
	else
		ip_port_add(&where, a->ip);
	/* On err: out is for messages, and whoever reads JSON there wants nothing else. */
	fprintf(cli->err, "the sink listens on %.*s; end it with Ctrl-C\n", TEXT_ARGS(buf_text(&where)));
	fflush(cli->err);
}

static void say_counts(struct cli *cli, const struct sink *sink)
{
	struct sink_counts c = sink_count(sink);

	fprintf(cli->err,
	        "%llu messages for %llu recipients in %llu sessions; %llu deferred (%llu greylisted), %llu refused\n",
	        (unsigned long long)c.messages, (unsigned long long)c.recipients,
	        (unsigned long long)c.sessions, (unsigned long long)c.deferred,
	        (unsigned long long)c.greylisted, (unsigned long long)c.refused);
}

static enum exit_code run_until_signal(struct sinking *s, struct sink_options *o)
{
	struct cli *cli = s->cli;
	enum err err = sink_open(o, &s->sink);

	if (err)
		return cli_fail(cli, err == ERR_DENIED ? EXIT_DENIED : EXIT_FAILED,
		                err == ERR_BUSY ? "choose another port with --listen" : NULL,
		                "the sink cannot open: %s", err_text(err));
	err = io_uv_on_signal(cli->io, SIGINT, on_signal, s);
	if (!err)
		err = io_uv_on_signal(cli->io, SIGTERM, on_signal, s);
	if (!err) {
		say_where(cli, s->sink);
		io_uv_run(cli->io);
		say_counts(cli, s->sink);
	}
	sink_close(&s->sink);
	return err ? cli_fail(cli, EXIT_FAILED, NULL, "cannot watch signals: %s", err_text(err)) : EXIT_DONE;
}

enum exit_code run_sink(struct cli *cli)
{
	struct sinking s = { .cli = cli };
	struct sink_options o = { .on_message = on_message, .owner = &s };

	o.io = cli_io(cli);
	if (!o.io)
		return EXIT_FAILED;
	enum exit_code code = read_options(cli, &o);

	if (!code)
		code = run_until_signal(&s, &o);
	tls_context_unref(&o.tls);
	return code;
}
