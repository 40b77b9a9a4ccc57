/* send: hands a message in and prints what became of it. */
#include "cli.h"
#include "words.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <postrider/base/time.h>

#define PIECE_BYTES (64u << 10)
#define POLL_MS 100
#define WAIT_DEFAULT_MS (5 * SECOND_MS)

struct sending {
	struct cli *cli;
	struct buf text; /* put together; or */
	int file;        /* read; -1: none */
	size_t given;
};

/* ---------------------------------------------------------------- a message put together */

static void add_recipients(const struct cli *cli, struct buf *out)
{
	const char *to;
	size_t at = 0;
	bool is_first = true;

	buf_add(out, TEXT("To: "));
	while ((to = cli_next_value(cli, "to", &at))) {
		if (!is_first)
			buf_add(out, TEXT(",\r\n "));
		buf_add_format(out, "<%s>", to);
		is_first = false;
	}
	buf_add(out, TEXT("\r\n"));
}

static void put_together(struct cli *cli, struct text from, struct buf *out)
{
	int64_t now = io_now_time(cli->io);
	struct text hostname = cli->config ? cli->config->hostname : TEXT("localhost");

	buf_add_format(out, "From: <%.*s>\r\n", TEXT_ARGS(from));
	add_recipients(cli, out);
	buf_add(out, TEXT("Subject: "));
	words_add_encoded(out, text_from(cli_value(cli, "subject")));
	buf_add(out, TEXT("\r\nDate: "));
	time_add_rfc5322(out, now);
	buf_add_format(out, "\r\nMessage-ID: <%llx.%llx@%.*s>\r\n", (unsigned long long)now,
	               (unsigned long long)io_random_u64(cli->io), TEXT_ARGS(hostname));
	buf_add(out, TEXT("MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
	                  "Content-Transfer-Encoding: 8bit\r\n\r\n"));
	buf_add_string(out, cli_value(cli, "body") ? cli_value(cli, "body") : "");
	buf_add(out, TEXT("\r\n"));
}

/* ---------------------------------------------------------------- handing in */

static enum err read_more(struct sending *s, struct buf *out)
{
	char *place = buf_reserve(out, PIECE_BYTES);
	ssize_t n;

	if (!place)
		return buf_err(out);
	do
		n = read(s->file, place, PIECE_BYTES);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return err_from_errno(errno);
	buf_grew(out, (size_t)n);
	return ERR_OK;
}

static enum err more_body(void *owner, struct buf *out)
{
	struct sending *s = owner;

	if (s->file >= 0)
		return read_more(s, out);
	struct text piece = text_head(text_skip(buf_text(&s->text), s->given), PIECE_BYTES);

	s->given += piece.len;
	buf_add(out, piece);
	return ERR_OK;
}

static enum exit_code open_message(struct cli *cli, struct sending *s, struct text from)
{
	const char *eml = cli_value(cli, "eml");

	if (!eml) {
		put_together(cli, from, &s->text);
		return buf_err(&s->text) ? cli_fail(cli, EXIT_USAGE, "use --eml FILE",
		                                    "the message is too large to be given so")
		                         : EXIT_DONE;
	}
	if (cli_has(cli, "body") || cli_has(cli, "subject"))
		return cli_fail(cli, EXIT_USAGE, "leave one of them out",
		                "--eml has subject and body of its own");
	s->file = text_eq(text_from(eml), TEXT("-")) ? STDIN_FILENO : open(eml, O_RDONLY | O_CLOEXEC);
	if (s->file < 0)
		return cli_fail(cli, errno == EACCES ? EXIT_DENIED : EXIT_FAILED, NULL, "cannot read %s: %s",
		                eml, err_text(err_from_errno(errno)));
	return EXIT_DONE;
}

static enum exit_code hand_in(struct cli *cli, struct json **out)
{
	struct sending s = { .cli = cli, .text = BUF(32u << 20), .file = -1 };
	AUTO(buf_fini) struct buf target = BUF(64u << 10), default_from = BUF(512);
	const char *from = cli_value(cli, "from"), *to;
	struct answer answer = { 0 };
	size_t at = 0;

	buf_add_format(&default_from, "postmaster@%.*s", TEXT_ARGS(cli->config->hostname));
	struct text sender = from ? text_from(from) : buf_text(&default_from);

	buf_add(&target, TEXT("/v1/messages"));
	cli_add_parameter(&target, "from", sender);
	while ((to = cli_next_value(cli, "to", &at)))
		cli_add_parameter(&target, "to", text_from(to));
	enum exit_code code =
		buf_err(&target) ? cli_fail(cli, EXIT_USAGE, "give fewer at a time", "too many recipients")
				 : open_message(cli, &s, sender);

	if (!code) {
		struct call call = { .method = "POST",
			             .target = buf_text(&target),
			             .content_type = "message/rfc822",
			             .more_body = more_body,
			             .owner = &s };

		code = cli_call(cli, &call, &answer);
	}
	if (!code && !(*out = cli_answer_json(cli, &answer)))
		code = EXIT_FAILED;
	answer_fini(&answer);
	buf_fini(&s.text);
	if (s.file > STDIN_FILENO)
		close(s.file);
	return code;
}

/* ---------------------------------------------------------------- what became of it */

static void on_pause_over(void *owner)
{
	io_uv_stop(owner);
}

static bool pause_for(struct io *io, int64_t ms)
{
	struct io_timer timer = { 0 };

	if (io_timer_start(io, &timer, io_now_at(io) + ms, on_pause_over, io))
		return false;
	io_uv_run(io);
	return true;
}

static enum exit_code fetch_story(struct cli *cli, struct text id, struct buf *text, struct json **out)
{
	AUTO(buf_fini) struct buf target = BUF(256);
	struct answer answer;

	buf_add_format(&target, "/v1/messages/%.*s", TEXT_ARGS(id));
	struct call call = { .method = "GET", .target = buf_text(&target) };
	enum exit_code code = cli_call(cli, &call, &answer);

	if (!code && !(*out = cli_answer_json(cli, &answer)))
		code = EXIT_FAILED;
	buf_reset(text);
	buf_add(text, buf_text(&answer.body));
	answer_fini(&answer);
	return code;
}

/* Until the message is at its end for all, or the time is over. */
static enum exit_code wait_and_print(struct cli *cli, struct text id, int64_t wait_ms)
{
	AUTO(buf_fini) struct buf text = BUF(64u << 20);
	AUTO(json_free) struct json *story = NULL;
	uint64_t start = io_clock_us(cli->io);
	unsigned waiting = 0, failed = 0;

	for (;;) {
		enum exit_code code = fetch_story(cli, id, &text, &story);

		if (code)
			return code;
		story_outcome(story, &waiting, &failed);
		if (waiting == 0 || (int64_t)((io_clock_us(cli->io) - start) / 1000) >= wait_ms ||
		    !pause_for(cli->io, POLL_MS))
			break;
		json_free(&story);
	}
	if (cli->json)
		fprintf(cli->out, "%.*s", TEXT_ARGS(buf_text(&text)));
	else
		print_story(cli, story, io_now_time(cli->io));
	if (waiting > 0 && !cli->json)
		fprintf(cli->out, "still on its way; later: postrider show %.*s\n",
		        TEXT_ARGS(text_head(id, 13)));
	return failed > 0 || (waiting > 0 && cli_has(cli, "wait")) ? EXIT_FAILED : EXIT_DONE;
}

enum exit_code run_send(struct cli *cli)
{
	int64_t wait_ms = WAIT_DEFAULT_MS;
	AUTO(json_free) struct json *accepted = NULL;

	if (!cli_has(cli, "to"))
		return cli_fail(cli, EXIT_USAGE, "say it with -t ADDRESS", "whom should it go to?");
	if (!cli_duration(cli, "wait", &wait_ms))
		return EXIT_USAGE;
	enum exit_code code = cli_load_config(cli);

	if (!code && !cli_io(cli))
		code = EXIT_FAILED;
	if (!code)
		code = hand_in(cli, &accepted);
	if (code)
		return code;
	return wait_and_print(cli, json_as_text(json_member(accepted, "id")), wait_ms);
}
