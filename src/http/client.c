#include <postrider/http/client.h>

#include <stdlib.h>

#include <postrider/base/auto.h>

#include "parser.h"

#define REQUEST_HEAD_MAX (32u << 10)
/* While more than this waits for the peer the body's source is not asked for more. */
#define UNSENT_BYTES (128u << 10)
#define PIECE_BYTES (256u << 10)

struct http_call {
	struct io *io;
	struct io_stream *stream;
	struct io_timer silence;
	int64_t timeout_ms;
	const struct http_call_events *events;
	void *owner;
	struct http_parser *parser;
	struct buf head, body, piece;
	bool has_body, is_pulled; /* the body is asked for by pieces */
	bool body_sent, is_head;
	bool has_answer; /* the response's final head is there: sending on is no use */
	bool cancelled;
	enum err result; /* what on_done is to say, once set */
	bool is_over;
};

static void end(struct http_call *c, enum err result)
{
	if (c->is_over)
		return;
	c->is_over = true;
	c->result = result;
	http_parser_stop(c->parser);
	io_stream_close(c->stream);
}

static void on_silence(void *owner)
{
	end(owner, ERR_TIMEOUT);
}

static void rearm(struct http_call *c)
{
	if (io_timer_start(c->io, &c->silence, io_now_at(c->io) + c->timeout_ms, on_silence, c))
		end(c, ERR_NOMEM);
}

/* ---------------------------------------------------------------- the response */

static void on_head(void *owner)
{
	struct http_call *c = owner;
	int status = http_parser_status(c->parser);

	if (status < 200)
		return; /* 100: go on, which we do anyway */
	c->has_answer = true;
	if (c->is_head)
		http_parser_skip_body(c->parser);
	if (c->events->on_head)
		c->events->on_head(c->owner, status, http_parser_field(c->parser, TEXT("Content-Type")));
}

static void on_body(void *owner, struct text piece)
{
	struct http_call *c = owner;

	if (!c->cancelled && c->events->on_body)
		c->events->on_body(c->owner, piece);
}

static void on_complete(void *owner)
{
	struct http_call *c = owner;

	if (c->has_answer)
		end(c, ERR_OK);
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

	rearm(c);
	while (all < octets.len && !c->is_over) {
		enum err err = http_parser_feed(c->parser, text_skip(octets, all), &taken);

		if (err) {
			end(c, err);
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
	end(c, err == ERR_MORE || !c->has_answer ? ERR_CLOSED : err);
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
		if (err) {
			end(c, err);
			return;
		}
		send_chunk(c, buf_text(&c->piece));
		if (c->piece.len == 0)
			c->body_sent = true;
	}
}

static void on_connected(void *owner)
{
	struct http_call *c = owner;
	struct text pieces[2] = { buf_text(&c->head), buf_text(&c->body) };

	rearm(c);
	io_stream_write(c->stream, pieces, c->body.len ? 2 : 1);
	send_more(c);
}

static void on_drained(void *owner)
{
	struct http_call *c = owner;

	rearm(c);
	send_more(c);
}

static void free_call(struct http_call *c)
{
	io_timer_stop(c->io, &c->silence);
	http_parser_free(&c->parser);
	buf_fini(&c->head);
	buf_fini(&c->body);
	buf_fini(&c->piece);
	free(c);
}

static void on_closed(void *owner, enum err why)
{
	struct http_call *c = owner;
	const struct http_call_events *events = c->events;
	void *events_owner = c->owner;
	enum err result = c->is_over ? c->result : why ? why : ERR_CLOSED;
	bool is_heard = !c->cancelled;

	free_call(c);
	if (is_heard)
		events->on_done(events_owner, result, TEXT_EMPTY);
}

static const struct io_stream_events stream_events = {
	.on_connected = on_connected,
	.on_data = on_data,
	.on_eof = on_eof,
	.on_drained = on_drained,
	.on_closed = on_closed,
};

static void build_head(struct http_call *c, const struct http_call_options *o)
{
	buf_add_format(&c->head, "%.*s %.*s HTTP/1.1\r\nHost: %.*s\r\nConnection: close\r\n",
	               TEXT_ARGS(o->method), TEXT_ARGS(o->target), TEXT_ARGS(o->host));
	if (c->has_body)
		buf_add_format(&c->head, "Content-Type: %.*s\r\n", TEXT_ARGS(o->content_type));
	if (c->is_pulled)
		buf_add(&c->head, TEXT("Transfer-Encoding: chunked\r\n"));
	else if (c->has_body || text_eq(o->method, TEXT("POST")))
		buf_add_format(&c->head, "Content-Length: %zu\r\n", c->body.len);
	buf_add(&c->head, TEXT("\r\n"));
}

enum err http_call_start(const struct http_call_options *o, struct http_call **out)
{
	struct http_call *c = calloc(1, sizeof(*c));

	if (!c)
		return ERR_NOMEM;
	c->io = o->io;
	c->timeout_ms = o->timeout_ms;
	c->events = o->events;
	c->owner = o->owner;
	c->has_body = o->content_type.len > 0;
	c->is_head = text_eq(o->method, TEXT("HEAD"));
	c->is_pulled = c->has_body && !o->body.at;
	buf_init(&c->head, REQUEST_HEAD_MAX);
	buf_init(&c->body, o->body.len);
	buf_init(&c->piece, PIECE_BYTES);
	if (c->has_body && !c->is_pulled)
		buf_add(&c->body, o->body);
	build_head(c, o);
	enum err err = buf_err(&c->head) ? buf_err(&c->head) : buf_err(&c->body);

	if (!err)
		err = http_parser_new(false, &parser_events, c, &c->parser);
	if (!err)
		err = io_timer_start(c->io, &c->silence, io_now_at(c->io) + c->timeout_ms, on_silence, c);
	if (!err)
		err = io_connect(o->io, o->to, NULL, &stream_events, c, &c->stream);
	if (err) {
		free_call(c);
		return err;
	}
	*out = c;
	return ERR_OK;
}

void http_call_cancel(struct http_call **call)
{
	if (!*call)
		return;
	(*call)->cancelled = true;
	end(*call, ERR_CANCELLED);
	*call = NULL;
}
