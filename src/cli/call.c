/* One request to the daemon, over its control socket, as an ordinary function: the loop runs until the answer is there. */
#include "cli.h"

#include <postrider/admin.h>
#include <postrider/http/client.h>

#define SILENCE_MS (60 * INT64_C(1000))
#define ANSWER_MAX_BYTES (64u << 20)
#define LINE_MAX_BYTES (32u << 20)
#define PLACES 2

struct conversation {
	struct cli *cli;
	const struct call *call;
	struct answer *answer;
	struct http_call *http;
	struct buf line; /* begun, its end has not come */
	bool is_enough;  /* on_line said so */
	enum err err;
};

/* ---------------------------------------------------------------- the answer as it comes */

static void on_head(void *owner, int status, struct text content_type)
{
	(void)content_type;
	((struct conversation *)owner)->answer->status = status;
}

static bool take_line(struct conversation *c, struct text line)
{
	if (line.len > 0 && !c->call->on_line(c->call->owner, line))
		c->is_enough = true;
	return !c->is_enough;
}

static void on_lines(struct conversation *c, struct text piece)
{
	while (piece.len > 0 && !c->is_enough) {
		size_t end = text_find_octet(piece, '\n');

		if (end == piece.len || c->line.len > 0)
			buf_add(&c->line, text_head(piece, end));
		if (end == piece.len)
			return;
		take_line(c, c->line.len > 0 ? buf_text(&c->line) : text_head(piece, end));
		buf_reset(&c->line);
		piece = text_skip(piece, end + 1);
	}
}

static void on_body(void *owner, struct text piece)
{
	struct conversation *c = owner;

	if (!c->call->on_line || c->answer->status != 200) {
		buf_add(&c->answer->body, piece);
		return;
	}
	on_lines(c, piece);
	if (c->is_enough) {
		http_call_cancel(&c->http);
		io_uv_stop(c->cli->io);
	}
}

static enum err more_body(void *owner, struct buf *out)
{
	struct conversation *c = owner;

	return c->call->more_body(c->call->owner, out);
}

static void on_done(void *owner, enum err err, struct text problem)
{
	struct conversation *c = owner;

	(void)problem; /* who the relay is, and where, is said there */
	c->http = NULL;
	c->err = err;
	io_uv_stop(c->cli->io);
}

static const struct http_call_events events = {
	.on_head = on_head,
	.on_body = on_body,
	.more_body = more_body,
	.on_done = on_done,
};

static enum err call_at(struct cli *cli, const struct call *call, struct text path, struct answer *out)
{
	struct conversation c = { .cli = cli, .call = call, .answer = out, .line = BUF(LINE_MAX_BYTES) };
	struct io_address address = { 0 };
	struct http_call_options options = {
		.io = cli->io,
		.to = &address,
		.method = text_from(call->method),
		.target = call->target,
		.host = LIT("postrider"),
		.content_type = text_from(call->content_type),
		.timeout_ms = SILENCE_MS,
		.events = &events,
		.owner = &c,
	};

	if (path.len >= sizeof(address.unix_path))
		return ERR_TOO_BIG;
	memcpy(address.unix_path, path.at, path.len);
	enum err err = http_call_start(&options, &c.http);

	if (!err) {
		io_uv_run(cli->io);
		err = c.err;
	}
	buf_fini(&c.line);
	return err ? err : buf_err(&out->body);
}

/* ---------------------------------------------------------------- what went wrong */

static enum exit_code exit_of_status(int status)
{
	switch (status) {
	case 403:
		return EXIT_DENIED;
	case 404:
		return EXIT_NOTHING;
	case 409:
	case 422:
		return EXIT_USAGE;
	default:
		return status < 400 ? EXIT_DONE : EXIT_FAILED;
	}
}

/* A problem (RFC 9457) that came back, or whatever else did. */
static enum exit_code report_problem(struct cli *cli, const struct answer *a)
{
	enum exit_code code = exit_of_status(a->status);
	AUTO(json_free) struct json *problem = NULL;

	if (json_parse(buf_text(&a->body), &problem, NULL))
		return cli_fail(cli, code, "see the relay's log", "the relay answered with status %d",
		                a->status);
	if (cli->json) {
		fprintf(cli->out, "%.*s", TEXT_ARGS(buf_text(&a->body)));
		return code;
	}
	struct text title = json_as_text(json_member(problem, "title"));
	struct text detail = json_as_text(json_member(problem, "detail"));
	struct text next = json_as_text(json_member(problem, "next"));
	AUTO(free_memory) char *next_step = next.len ? text_dup(next) : NULL;

	return cli_fail(cli, code, next_step, "%.*s%s%.*s", TEXT_ARGS(title), detail.len ? ": " : "",
	                TEXT_ARGS(detail));
}

static enum exit_code report_unreachable(struct cli *cli, enum err err, const struct buf *tried)
{
	if (err == ERR_DENIED)
		return cli_fail(cli, EXIT_DENIED,
		                "be root, or the user or in the group that the relay runs as",
		                "the control socket is not for you: %.*s", TEXT_ARGS(buf_text(tried)));
	return cli_fail(cli, EXIT_UNREACHABLE,
	                "start it with `postrider run`, or say with -c which configuration it runs with",
	                "the relay does not answer: %.*s", TEXT_ARGS(buf_text(tried)));
}

/* What an err says of a place where nobody may be; others happened after somebody answered. */
static bool is_absence(enum err err)
{
	return err == ERR_NOT_FOUND || err == ERR_REFUSED || err == ERR_DENIED || err == ERR_UNREACHABLE ||
	       err == ERR_TOO_BIG;
}

/* Where the socket may be. With a configuration that cannot be read there is still the usual place: whoever has just
 * broken the file must be able to look at the queue. */
static bool place(struct cli *cli, unsigned n, struct buf *path)
{
	if (cli->config)
		return admin_socket_place(cli->config, n, path);
	buf_add(path, TEXT("/run/postrider/admin.sock"));
	return n == 0;
}

static enum exit_code prepare(struct cli *cli)
{
	if (!cli->config && !cli->config_failed && cli_load_config(cli) != EXIT_DONE) {
		cli->config_failed = true;
		fputs("postrider: looking for the relay in its usual place all the same\n", cli->err);
	}
	return cli_io(cli) ? EXIT_DONE : EXIT_FAILED;
}

enum exit_code cli_call(struct cli *cli, const struct call *call, struct answer *out)
{
	AUTO(buf_fini) struct buf tried = BUF(8192);
	enum exit_code code = prepare(cli);
	enum err err = ERR_NOT_FOUND, worst = ERR_NOT_FOUND;

	*out = (struct answer){ .body = BUF(ANSWER_MAX_BYTES) };
	if (code)
		return code;
	for (unsigned n = 0; n < PLACES; n++) {
		AUTO(buf_fini) struct buf path = BUF(4096);

		if (!place(cli, n, &path))
			break;
		err = call_at(cli, call, buf_text(&path), out);
		if (!is_absence(err))
			break;
		if (err == ERR_DENIED)
			worst = err;
		buf_add_format(&tried, "%s%.*s: %s", tried.len ? ", " : "", TEXT_ARGS(buf_text(&path)),
		               err == ERR_NOT_FOUND ? "no such file" : err_text(err));
	}
	if (is_absence(err))
		return report_unreachable(cli, worst, &tried);
	if (out->status >= 400)
		return report_problem(cli, out);
	if (err)
		return cli_fail(cli, EXIT_FAILED, "see the relay's log",
		                "the relay's answer did not come whole: %s", err_text(err));
	return EXIT_DONE;
}

void answer_fini(struct answer *a)
{
	buf_fini(&a->body);
}

struct json *cli_answer_json(struct cli *cli, const struct answer *a)
{
	AUTO(buf_fini) struct buf problem = BUF(1000);
	struct json *v = NULL;

	if (json_parse(buf_text(&a->body), &v, &problem) == ERR_OK)
		return v;
	cli_fail(cli, EXIT_FAILED, "is the relay of the same version? (`postrider version`)",
	         "the relay's answer is not understood: %.*s", TEXT_ARGS(buf_text(&problem)));
	return NULL;
}

/* ---------------------------------------------------------------- the selector as a query */

void cli_add_parameter(struct buf *target, const char *name, struct text value)
{
	buf_add_octet(target, text_find_octet(buf_text(target), '?') < target->len ? '&' : '?');
	buf_add_string(target, name);
	buf_add_octet(target, '=');
	http_add_encoded(target, value);
}

bool cli_add_query(const struct cli *cli, struct buf *target)
{
	bool any = false;

	for (size_t i = 0; i < cli->given_count; i++) {
		const struct given *g = &cli->given[i];
		bool selects = !g->flag || (g->flag >= cli_selector_flags &&
		                            g->flag < cli_selector_flags + cli_selector_flag_count);

		if (!selects)
			continue;
		cli_add_parameter(target, g->flag ? g->flag->name : "id", text_from(g->value));
		any = true;
	}
	return any;
}
