#include "client.h"

#include <stdlib.h>

/* While more than this waits for the peer the body's source is not asked for more. */
#define UNSENT_BYTES (128u << 10)
#define INTERIM_MAX 16 /* responses 1xx before the real one */

static void free_call(struct http_call *c)
{
	io_timer_stop(c->io, &c->silence);
	io_timer_stop(c->io, &c->total);
	http_parser_free(&c->parser);
	tls_context_unref(&c->tls);
	buf_fini(&c->url_text);
	buf_wipe(&c->head);
	buf_wipe(&c->body);
	buf_fini(&c->piece);
	buf_fini(&c->problem);
	free(c);
}

/* The very end: nothing of ours is on the loop any more. */
static void say_done(struct http_call *c)
{
	const struct http_call_events *events = c->events;
	void *owner = c->owner;
	enum err result = c->result;
	bool is_heard = !c->cancelled;
	struct buf problem = c->problem; /* outlives the call */

	c->problem = BUF(0);
	free_call(c);
	if (is_heard)
		events->on_done(owner, result, result ? buf_text(&problem) : TEXT_EMPTY);
	buf_fini(&problem);
}

/* Only the first word counts; an address that was given up has said its own. */
void http_call_end(struct http_call *c, enum err result, struct text why)
{
	if (c->is_over)
		return;
	c->is_over = true;
	c->result = result;
	if (result && !c->cancelled && c->problem.len == 0)
		http_call_describe(c, result, why);
	http_parser_stop(c->parser);
	io_timer_stop(c->io, &c->silence);
	io_timer_stop(c->io, &c->total);
	if (c->stream) {
		io_stream_close(c->stream); /* on_closed goes on */
		return;
	}
	dns_cancel(&c->lookup);
	say_done(c);
}

static void on_total(void *owner)
{
	struct http_call *c = owner;
	AUTO(buf_fini) struct buf why = BUF(100);

	buf_add_string(&why, "not done within ");
	time_add_duration(&why, c->total_ms);
	http_call_end(c, ERR_TIMEOUT, buf_text(&why));
}

static void on_silence(void *owner)
{
	struct http_call *c = owner;
	AUTO(buf_fini) struct buf why = BUF(100);
	int64_t limit = c->step < HTTP_STEP_REQUEST ? c->connect_ms : c->timeout_ms;

	buf_add_string(&why, "no answer within ");
	time_add_duration(&why, limit);
	if (c->step < HTTP_STEP_REQUEST)
		http_call_leave_address(c, ERR_TIMEOUT, buf_text(&why));
	else
		http_call_end(c, ERR_TIMEOUT, buf_text(&why));
}

void http_call_wait(struct http_call *c, int64_t ms)
{
	if (io_timer_start(c->io, &c->silence, io_now_at(c->io) + ms, on_silence, c))
		http_call_end(c, ERR_NOMEM, TEXT_EMPTY);
}

/* ---------------------------------------------------------------- the response */

static void end_too_big(struct http_call *c)
{
	AUTO(buf_fini) struct buf why = BUF(100);

	buf_add_format(&why, "more than %llu octets", (unsigned long long)c->max_body);
	http_call_end(c, ERR_TOO_BIG, buf_text(&why));
}

static bool is_declared_too_big(const struct http_call *c)
{
	uint64_t bytes = http_parser_body_bytes(c->parser);

	return c->max_body && !c->is_head && bytes != UINT64_MAX && bytes > c->max_body;
}

static void on_head(void *owner)
{
	struct http_call *c = owner;
	int status = http_parser_status(c->parser);
	struct text type = http_parser_field(c->parser, TEXT("Content-Type"));

	/* status-code = 3DIGIT; those that are not 1xx to 5xx are none (RFC 9110 section 15) */
	if (status < 100 || status > 599) {
		http_call_end(c, ERR_SYNTAX, TEXT("a status that is none"));
		return;
	}
	if (status <
	    200) { /* 100: go on, which we do anyway. It ends with its head, whatever it says (section 15.2) */
		http_parser_skip_body(c->parser);
		return;
	}
	c->has_answer = true;
	c->step = HTTP_STEP_BODY;
	if (c->is_head)
		http_parser_skip_body(c->parser);
	if (c->events->on_head && !c->cancelled)
		c->events->on_head(c->owner, status, type.at ? type : TEXT_EMPTY);
	if (is_declared_too_big(c))
		end_too_big(c);
}

static void on_body(void *owner, struct text piece)
{
	struct http_call *c = owner;

	c->body_bytes += piece.len;
	if (c->max_body && c->body_bytes > c->max_body) {
		end_too_big(c);
		return;
	}
	if (!c->is_over && c->events->on_body)
		c->events->on_body(c->owner, piece);
}

static void on_complete(void *owner)
{
	struct http_call *c = owner;

	if (c->has_answer)
		http_call_end(c, ERR_OK, TEXT_EMPTY);
	else if (++c->interims > INTERIM_MAX)
		http_call_end(c, ERR_SYNTAX, TEXT("too many responses that are none (1xx)"));
	else
		http_parser_next(c->parser);
}

static const struct http_parser_events parser_events = {
	.on_head = on_head,
	.on_body = on_body,
	.on_complete = on_complete,
};

static size_t on_data(void *owner, struct text octets)
{
	struct http_call *c = owner;
	size_t all = 0, taken;

	http_call_wait(c, c->timeout_ms);
	while (all < octets.len && !c->is_over) {
		enum err err = http_parser_feed(c->parser, text_skip(octets, all), &taken);

		if (err) {
			http_call_end(c, err, text_from(http_parser_problem(c->parser)));
			break;
		}
		all += taken;
	}
	return octets.len;
}

static void on_eof(void *owner)
{
	struct http_call *c = owner;
	enum err err = http_parser_end(c->parser);

	/* A body without a length ends here, and on_complete has said so. */
	http_call_end(c, err == ERR_MORE || !c->has_answer ? ERR_CLOSED : err, TEXT_EMPTY);
}

/* ---------------------------------------------------------------- the request */

static void send_chunk(struct http_call *c, struct text t)
{
	AUTO(buf_fini) struct buf size = BUF(32);

	buf_add_format(&size, "%zx\r\n", t.len);
	struct text pieces[3] = { buf_text(&size), t, TEXT("\r\n") };

	io_stream_write(c->stream, pieces, ARRAY_LEN(pieces));
}

static void send_more(struct http_call *c)
{
	while (c->is_pulled && !c->body_sent && !c->has_answer && !c->is_over &&
	       io_stream_unsent(c->stream) < UNSENT_BYTES) {
		buf_reset(&c->piece);
		enum err err = c->events->more_body(c->owner, &c->piece);

		if (!err)
			err = buf_err(&c->piece);
		if (err)
			http_call_end(c, err, TEXT_EMPTY);
		if (c->is_over)
			return;
		send_chunk(c, buf_text(&c->piece));
		if (c->piece.len == 0)
			c->body_sent = true;
	}
}

void http_call_send(struct http_call *c)
{
	struct text pieces[2] = { buf_text(&c->head), buf_text(&c->body) };

	c->step = HTTP_STEP_REQUEST;
	http_call_wait(c, c->timeout_ms);
	if (c->is_over)
		return;
	io_stream_write(c->stream, pieces, c->body.len ? 2 : 1);
	buf_wipe(&c->head);
	buf_wipe(&c->body);
	send_more(c);
}

static void on_drained(void *owner)
{
	struct http_call *c = owner;

	if (c->step < HTTP_STEP_REQUEST)
		return; /* the handshake's */
	http_call_wait(c, c->timeout_ms);
	if (!c->is_over)
		send_more(c);
}

static void on_closed(void *owner, enum err why)
{
	struct http_call *c = owner;

	c->stream = NULL;
	if (c->is_over)
		say_done(c);
	else if (c->step < HTTP_STEP_REQUEST)
		http_call_next_address(c, why);
	else
		http_call_end(c, why ? why : ERR_CLOSED, TEXT_EMPTY);
}

const struct io_stream_events http_call_stream_events = {
	.on_connected = http_call_connected,
	.on_data = on_data,
	.on_eof = on_eof,
	.on_drained = on_drained,
	.on_closed = on_closed,
};

/* ---------------------------------------------------------------- the beginning */

static void add_where(struct http_call *c, const struct http_call_options *o)
{
	bool is_url = o->url.len > 0;
	struct text target = is_url ? c->url.target : o->target;

	buf_add_format(&c->head, "%.*s %s%.*s HTTP/1.1\r\nHost: ", TEXT_ARGS(o->method),
	               text_starts(target, TEXT("/")) || !is_url ? "" : "/", TEXT_ARGS(target));
	if (is_url)
		url_add_authority(&c->head, &c->url);
	else
		buf_add(&c->head, o->host);
	buf_add(&c->head, TEXT("\r\nConnection: close\r\n"));
	/* Some web servers turn away whoever has no name; and what is packed nobody here unpacks. */
	if (is_url)
		buf_add(&c->head, TEXT("User-Agent: postrider\r\nAccept-Encoding: identity\r\n"));
}

static void build_head(struct http_call *c, const struct http_call_options *o)
{
	size_t about = o->url.len + o->target.len + o->host.len + o->content_type.len + 512;

	for (size_t i = 0; i < o->field_count; i++)
		about += o->fields[i].name.len + o->fields[i].value.len + 4;
	/* At once, so that no copy of a secret is left behind where it grew. */
	buf_reserve(&c->head, about);
	add_where(c, o);
	for (size_t i = 0; i < o->field_count; i++)
		buf_add_format(&c->head, "%.*s: %.*s\r\n", TEXT_ARGS(o->fields[i].name),
		               TEXT_ARGS(o->fields[i].value));
	if (c->has_body)
		buf_add_format(&c->head, "Content-Type: %.*s\r\n", TEXT_ARGS(o->content_type));
	if (c->is_pulled)
		buf_add(&c->head, TEXT("Transfer-Encoding: chunked\r\n"));
	else if (c->has_body || text_eq(o->method, TEXT("POST")))
		buf_add_format(&c->head, "Content-Length: %zu\r\n", c->body.len);
	buf_add(&c->head, TEXT("\r\n"));
}

static enum err take_options(struct http_call *c, const struct http_call_options *o)
{
	c->io = o->io;
	c->dns = o->dns;
	c->timeout_ms = o->timeout_ms;
	c->connect_ms = o->connect_ms ? o->connect_ms : o->timeout_ms;
	c->total_ms = o->total_ms;
	c->may_connect = o->may_connect;
	c->max_body = o->max_body;
	c->events = o->events;
	c->owner = o->owner;
	c->has_body = o->content_type.len > 0;
	c->is_head = text_eq(o->method, TEXT("HEAD"));
	c->is_pulled = c->has_body && !o->body.at;
	buf_init(&c->url_text, URL_MAX_BYTES);
	buf_init(&c->head, HTTP_REQUEST_HEAD_MAX);
	buf_init(&c->body, o->body.len);
	buf_init(&c->piece, HTTP_PIECE_MAX);
	buf_init(&c->problem, HTTP_PROBLEM_MAX);
	enum err err = o->url.len > 0 ? http_call_take_url(c, o) : ERR_OK;

	if (err)
		return err;
	if (c->has_body && !c->is_pulled)
		buf_add(&c->body, o->body);
	build_head(c, o);
	return buf_err(&c->head) ? buf_err(&c->head) : buf_err(&c->body);
}

static enum err begin(struct http_call *c, const struct http_call_options *o)
{
	enum err err = take_options(c, o);

	if (!err)
		err = http_parser_new(false, &parser_events, c, &c->parser);
	if (!err && c->total_ms)
		err = io_timer_start(c->io, &c->total, io_now_at(c->io) + c->total_ms, on_total, c);
	return err ? err : http_call_find(c, o->to);
}

enum err http_call_start(const struct http_call_options *o, struct http_call **out)
{
	struct http_call *c = calloc(1, sizeof(*c));

	if (!c)
		return ERR_NOMEM;
	enum err err = begin(c, o);

	if (err) {
		free_call(c);
		return err;
	}
	*out = c;
	return ERR_OK;
}

void http_call_cancel(struct http_call **call)
{
	struct http_call *c = *call;

	*call = NULL;
	if (!c)
		return;
	c->cancelled = true;
	http_call_end(c, ERR_CANCELLED, TEXT_EMPTY);
}
