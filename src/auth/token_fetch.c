/* Asking a source once: its files in the disk lane, then the token endpoint, or a command. */
#include "token_source.h"

#include <stdio.h>
#include <stdlib.h>

#include <postrider/base/base64.h>
#include <postrider/http/exchange.h>

#define CONNECT_MS (10 * SECOND_MS)
#define SILENCE_MS (20 * SECOND_MS)
#define TOTAL_MS (30 * SECOND_MS)
#define FORM_MAX (64u << 10)
#define STDERR_MAX 200

/* ---------------------------------------------------------------- the end of it */

static void wipe_fetch(struct token_fetch *f)
{
	buf_fini(&f->content_type);
	buf_wipe(&f->body);
	buf_wipe(&f->refresh_token);
	buf_wipe(&f->secret);
	*f = (struct token_fetch){ .runs = false };
}

static void fail(struct token_source *s, bool is_lasting, const char *format, ...) PRINTF_LIKE(3, 4);

static void fail(struct token_source *s, bool is_lasting, const char *format, ...)
{
	AUTO(buf_fini) struct buf words = BUF(TOKEN_WORDS_MAX);
	va_list args;

	va_start(args, format);
	buf_add_format_v(&words, format, args);
	va_end(args);
	wipe_fetch(&s->fetch);
	token_source_failed(s, is_lasting, buf_text(&words));
}

/* body or content: read by `read`, with `what` in front of what is wrong with it. */
static void judge(struct token_source *s, enum err (*read)(struct text, struct token_answer *, struct buf *),
                  struct text content, const char *what)
{
	AUTO(buf_fini) struct buf problem = BUF(300);
	AUTO(token_answer_fini) struct token_answer answer;

	token_answer_init(&answer);
	enum err err = read(content, &answer, &problem);

	if (err == ERR_SYNTAX) {
		fail(s, true, "%s%.*s", what, TEXT_ARGS(buf_text(&problem)));
	} else if (err) {
		fail(s, false, "could not be understood: %s", err_text(err));
	} else {
		struct token_fetch *f = &s->fetch;

		s->by_header = f->by_header;
		token_source_fetched(s, &answer);
		wipe_fetch(f);
	}
}

void token_fetch_drop(struct token_source *s)
{
	struct token_fetch *f = &s->fetch;
	struct auth_commands *c = &s->tokens->options.commands;

	if (f->reading)
		f->reading->source = NULL;
	http_call_cancel(&f->http);
	if (f->command)
		c->cancel(c->owner, &f->command);
	wipe_fetch(f);
}

/* ---------------------------------------------------------------- jobs */

static enum err read_file(struct io_disk *disk, const char *path, struct buf *out)
{
	struct io_file *file = NULL;
	char *room = buf_reserve(out, TOKEN_BODY_MAX);
	size_t got = 0;
	enum err err = room ? disk->ops->open(disk, path, IO_FILE_READ, &file) : buf_err(out);

	if (!err)
		err = disk->ops->read_at(file, 0, room, TOKEN_BODY_MAX, &got);
	if (file)
		disk->ops->close(&file);
	if (!err)
		buf_grew(out, got);
	return err;
}

static void run_reading(struct io_job *job)
{
	struct token_job *j = CONTAINER_OF(job, struct token_job, job);

	for (unsigned i = 0; i < TOKEN_FILES; i++)
		if (j->paths[i])
			j->errs[i] = read_file(j->disk, j->paths[i], &j->contents[i]);
}

/* ---------------------------------------------------------------- the token endpoint */

static void ask(struct token_source *s);

static void on_head(void *owner, int status, struct text content_type)
{
	struct token_fetch *f = &((struct token_source *)owner)->fetch;

	f->status = status;
	buf_add(&f->content_type, content_type);
}

static void on_body(void *owner, struct text piece)
{
	buf_add(&((struct token_source *)owner)->fetch.body, piece);
}

/* Servers differ in where they want the client's secret, and say invalid_client when it is not there. */
static bool ask_the_other_way(struct token_source *s, struct text code)
{
	struct token_fetch *f = &s->fetch;

	if (f->is_second || f->secret.len == 0 || !text_eq(code, TEXT("invalid_client")))
		return false;
	f->is_second = true;
	f->by_header = !f->by_header;
	buf_reset(&f->content_type);
	buf_reset(&f->body);
	ask(s);
	return true;
}

/* 4xx but for those that pass by themselves: time-outs and too many requests. */
static bool is_lasting(int status)
{
	return status >= 300 && status < 500 && status != 408 && status != 425 && status != 429;
}

static void judge_refusal(struct token_source *s)
{
	struct token_fetch *f = &s->fetch;
	const struct text secrets[] = { buf_text(&f->refresh_token), buf_text(&f->secret) };
	AUTO(buf_fini) struct buf words = BUF(TOKEN_WORDS_MAX);
	AUTO(buf_fini) struct buf code = BUF(TOKEN_WORDS_MAX);

	token_refusal_add(&words, f->status, buf_text(&f->content_type), buf_text(&f->body), secrets,
	                  ARRAY_LEN(secrets), &code);
	if (ask_the_other_way(s, buf_text(&code)))
		return;
	fail(s, is_lasting(f->status), "answered %.*s%s", TEXT_ARGS(buf_text(&words)),
	     f->status >= 300 && f->status < 400 ? ": it sends us elsewhere, where secrets are not taken"
	                                         : "");
}

/* "error" with 200 is not in the book, and done. */
static bool is_refusal(const struct token_fetch *f)
{
	AUTO(buf_fini) struct buf words = BUF(TOKEN_WORDS_MAX);
	AUTO(buf_fini) struct buf code = BUF(TOKEN_WORDS_MAX);

	if (f->status < 200 || f->status > 299)
		return true;
	token_refusal_add(&words, f->status, TEXT_EMPTY, buf_text(&f->body), NULL, 0, &code);
	return code.len > 0;
}

static void on_done(void *owner, enum err err, struct text problem)
{
	struct token_source *s = owner;
	struct token_fetch *f = &s->fetch;
	char what[64];

	f->http = NULL;
	if (err == ERR_TOO_BIG)
		fail(s, true, "answers more than a token: %.*s", TEXT_ARGS(problem));
	else if (err)
		fail(s, false, "cannot be asked: %.*s", TEXT_ARGS(problem));
	else if (buf_err(&f->body) || buf_err(&f->content_type))
		fail(s, false, "cannot be asked: %s", err_text(ERR_NOMEM));
	else if (is_refusal(f))
		judge_refusal(s);
	else {
		snprintf(what, sizeof(what), "answered %d, but ", f->status);
		judge(s, token_answer_parse, buf_text(&f->body), what);
	}
}

static const struct http_call_events http_events = {
	.on_head = on_head,
	.on_body = on_body,
	.on_done = on_done,
};

static void add_pair(struct buf *form, const char *name, struct text value)
{
	if (value.len == 0)
		return;
	if (form->len > 0)
		buf_add_octet(form, '&');
	buf_add_format(form, "%s=", name);
	http_add_encoded(form, value);
}

/* RFC 6749 section 6, or 4.4.2 without a refresh token. */
static void add_form(const struct token_source *s, struct buf *form)
{
	const struct token_fetch *f = &s->fetch;
	const struct config_oauth2 *c = &s->config;

	buf_reserve(form, 300 + 3 * (f->refresh_token.len + f->secret.len + c->client_id.len + c->scope.len));
	add_pair(form, "grant_type",
	         f->refresh_token.len ? TEXT("refresh_token") : TEXT("client_credentials"));
	add_pair(form, "refresh_token", buf_text(&f->refresh_token));
	add_pair(form, "scope", c->scope);
	if (!f->by_header || f->secret.len == 0) {
		add_pair(form, "client_id", c->client_id);
		add_pair(form, "client_secret", buf_text(&f->secret));
	}
}

/* RFC 6749 section 2.3.1: both are encoded as in a form before they are joined. */
static void add_basic(const struct token_source *s, struct buf *value)
{
	size_t most = 3 * (s->config.client_id.len + s->fetch.secret.len) + 1;
	AUTO(buf_wipe) struct buf pair = BUF(most);

	buf_reserve(&pair, most);
	http_add_encoded(&pair, s->config.client_id);
	buf_add_octet(&pair, ':');
	http_add_encoded(&pair, buf_text(&s->fetch.secret));
	buf_reserve(value, 6 + BASE64_CHARS(pair.len));
	buf_add_string(value, "Basic ");
	base64_add(value, buf_text(&pair));
}

static enum err call(struct token_source *s, struct text form, struct text basic)
{
	const struct http_field fields[] = { { TEXT("Accept"), TEXT("application/json") },
		                             { TEXT("Authorization"), basic } };
	const struct http_call_options options = {
		.io = s->tokens->options.io,
		.url = s->config.token_url,
		.dns = s->tokens->options.dns,
		.tls = s->tls,
		.method = TEXT("POST"),
		.fields = fields,
		.field_count = basic.len ? 2 : 1,
		.content_type = TEXT("application/x-www-form-urlencoded"),
		.body = form,
		.timeout_ms = SILENCE_MS,
		.connect_ms = CONNECT_MS,
		.total_ms = TOTAL_MS,
		.max_body = TOKEN_BODY_MAX,
		.events = &http_events,
		.owner = s,
	};

	return http_call_start(&options, &s->fetch.http);
}

static void ask(struct token_source *s)
{
	struct token_fetch *f = &s->fetch;
	AUTO(buf_wipe) struct buf form = BUF(FORM_MAX);
	AUTO(buf_wipe) struct buf basic = BUF(FORM_MAX);

	add_form(s, &form);
	if (f->by_header && f->secret.len)
		add_basic(s, &basic);
	f->asked_at = io_now_at(s->tokens->options.io);
	enum err err = buf_err(&form) ? buf_err(&form) : buf_err(&basic);

	if (!err)
		err = call(s, buf_text(&form), buf_text(&basic));
	if (err)
		fail(s, false, "cannot be asked: %s", err_text(err));
}

/* ---------------------------------------------------------------- what the files say */

static struct text path_of(const struct token_source *s, enum token_file file)
{
	const struct config_oauth2 *c = &s->config;

	return file == TOKEN_FILE_TOKEN     ? c->token_file
	       : file == TOKEN_FILE_REFRESH ? c->refresh_token_file
	                                    : c->client_secret_file;
}

/* Of a file of this job, or as the configuration has it. False: it failed, and that was said. */
static bool take_secret(struct token_source *s, struct token_job *j, enum token_file file,
                        struct text otherwise, struct text *out)
{
	struct text path = path_of(s, file);
	const char *why;

	*out = otherwise;
	if (!j->paths[file])
		return true;
	if (j->errs[file]) {
		fail(s, j->errs[file] == ERR_NOT_FOUND || j->errs[file] == ERR_DENIED,
		     "cannot be asked: %.*s: %s", TEXT_ARGS(path),
		     j->errs[file] == ERR_NOT_FOUND ? "no such file" : err_text(j->errs[file]));
		return false;
	}
	if (token_secret_read(buf_text(&j->contents[file]), out, &why) == ERR_OK)
		return true;
	fail(s, true, "cannot be asked: %.*s %s", TEXT_ARGS(path), why);
	return false;
}

/* What the server gave last goes before what the file says, unless somebody has put another one there since. */
static struct text newest_refresh_token(struct token_source *s, const struct token_job *j,
                                        struct text from_file)
{
	if (j->paths[TOKEN_FILE_REFRESH] && !s->fetch.is_between) {
		struct crypto_sha256 digest = crypto_sha256(&from_file, 1);

		if (!crypto_equal(crypto_sha256_text(&digest), crypto_sha256_text(&s->refresh_file)))
			buf_wipe(&s->refresh);
		s->refresh_file = digest;
	}
	return s->refresh.len ? buf_text(&s->refresh) : from_file;
}

static void take_secrets(struct token_source *s, struct token_job *j)
{
	struct token_fetch *f = &s->fetch;
	struct text refresh, secret;

	if (!take_secret(s, j, TOKEN_FILE_SECRET, s->config.client_secret, &secret) ||
	    !take_secret(s, j, TOKEN_FILE_REFRESH, s->config.refresh_token, &refresh))
		return;
	refresh = newest_refresh_token(s, j, refresh);
	buf_reserve(&f->secret, secret.len);
	buf_add(&f->secret, secret);
	buf_reserve(&f->refresh_token, refresh.len);
	buf_add(&f->refresh_token, refresh);
	if (buf_err(&f->secret) || buf_err(&f->refresh_token))
		fail(s, false, "cannot be asked: %s", err_text(ERR_NOMEM));
	else
		ask(s);
}

static void take_token(struct token_source *s, struct token_job *j)
{
	enum err err = j->errs[TOKEN_FILE_TOKEN];

	s->fetch.asked_at = io_now_at(s->tokens->options.io);
	if (err)
		fail(s, err == ERR_NOT_FOUND || err == ERR_DENIED, "cannot be read: %s",
		     err == ERR_NOT_FOUND ? "no such file" : err_text(err));
	else
		judge(s, token_answer_read, buf_text(&j->contents[TOKEN_FILE_TOKEN]), "is of no use: ");
}

static void done_reading(struct io_job *job)
{
	struct token_job *j = CONTAINER_OF(job, struct token_job, job);
	struct token_source *s = j->source;

	if (s) {
		s->fetch.reading = NULL;
		if (s->way == TOKEN_BY_FILE)
			take_token(s, j);
		else
			take_secrets(s, j);
	}
	token_job_free(j);
}

static enum err begin_reading(struct token_source *s)
{
	struct token_job *j = token_job_new(s);
	bool is_whole = j != NULL;

	for (unsigned i = 0; is_whole && i < TOKEN_FILES; i++) {
		struct text path = path_of(s, i);

		if (path.len && !(j->paths[i] = text_dup(path)))
			is_whole = false;
	}
	if (!is_whole) {
		if (j)
			token_job_free(j);
		return ERR_NOMEM;
	}
	s->fetch.is_between = s->writing != NULL;
	j->job.run = run_reading;
	j->job.done = done_reading;
	s->fetch.reading = j;
	io_job_submit(s->tokens->options.io, IO_LANE_DISK, &j->job);
	return ERR_OK;
}

/* ---------------------------------------------------------------- a command */

static void fail_command(struct token_source *s, enum err err)
{
	const char *what =
		err == ERR_TIMEOUT   ? "was still running after its time, and was killed"
		: err == ERR_TOO_BIG ? "says more than a token"
		: err == ERR_DENIED  ? "is not among those that the relay was started with: restart it"
		: err == ERR_CLOSED
			? "cannot be run: the process that runs commands has ended: restart the relay"
			: NULL;

	if (what)
		fail(s, true, "%s", what);
	else
		fail(s, false, "cannot be run: %s", err_text(err));
}

static void on_command(void *owner, enum err err, int exit_code, struct text output, struct text first_error)
{
	struct token_source *s = owner;
	AUTO(buf_fini) struct buf words = BUF(TOKEN_WORDS_MAX);

	s->fetch.command = NULL;
	token_words_add(&words, first_error, STDERR_MAX, NULL, 0);
	if (err)
		fail_command(s, err);
	else if (exit_code)
		fail(s, true, "ended with exit code %d%s%.*s", exit_code,
		     words.len ? ": " : " and no word of why", TEXT_ARGS(buf_text(&words)));
	else
		judge(s, token_answer_read, output, "said what is of no use: ");
}

/* ---------------------------------------------------------------- the beginning */

static enum err begin_command(struct token_source *s)
{
	const struct auth_commands *c = &s->tokens->options.commands;

	if (!c->run)
		return ERR_DENIED;
	s->fetch.asked_at = io_now_at(s->tokens->options.io);
	return c->run(c->owner, s->config.token_command, &s->fetch.command, on_command, s);
}

enum err token_fetch_begin(struct token_source *s)
{
	enum err err;

	s->fetch = (struct token_fetch){ .runs = true,
		                         .content_type = BUF(1000),
		                         .body = BUF(TOKEN_BODY_MAX),
		                         .refresh_token = BUF(TOKEN_MAX_BYTES),
		                         .secret = BUF(TOKEN_MAX_BYTES),
		                         .by_header = s->by_header };
	if (s->way == TOKEN_BY_COMMAND)
		err = begin_command(s);
	else
		err = begin_reading(s);
	if (err)
		wipe_fetch(&s->fetch);
	return err;
}
