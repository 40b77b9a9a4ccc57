#include "session.h"

#include <assert.h>
#include <stdio.h>

#include <postrider/base/auto.h>
#include <postrider/base/time.h>
#include <postrider/http/json.h>

#define EXTRA_FIELDS_MAX 4096
#define RESPONSE_HEAD_MAX 8192

static const unsigned may_follow[HTTP_PHASE_COUNT] = {
	[HTTP_PHASE_HEAD] = BIT(HTTP_PHASE_BODY) | BIT(HTTP_PHASE_CLOSED),
	[HTTP_PHASE_BODY] = BIT(HTTP_PHASE_WAIT) | BIT(HTTP_PHASE_REST) | BIT(HTTP_PHASE_CLOSED),
	[HTTP_PHASE_WAIT] = BIT(HTTP_PHASE_HEAD) | BIT(HTTP_PHASE_CLOSED),
	[HTTP_PHASE_REST] = BIT(HTTP_PHASE_HEAD) | BIT(HTTP_PHASE_CLOSED),
};

static void enter_phase(struct http_session *s, enum http_phase next)
{
	assert(may_follow[s->phase] & BIT(next));
	s->phase = next;
}

static const char *status_phrase(int status)
{
	static const struct {
		int status;
		const char *phrase;
	} table[] = {
		{ 200, "OK" },
		{ 202, "Accepted" },
		{ 204, "No Content" },
		{ 400, "Bad Request" },
		{ 401, "Unauthorized" },
		{ 403, "Forbidden" },
		{ 404, "Not Found" },
		{ 405, "Method Not Allowed" },
		{ 408, "Request Timeout" },
		{ 409, "Conflict" },
		{ 411, "Length Required" },
		{ 413, "Content Too Large" },
		{ 415, "Unsupported Media Type" },
		{ 422, "Unprocessable Content" },
		{ 429, "Too Many Requests" },
		{ 431, "Request Header Fields Too Large" },
		{ 500, "Internal Server Error" },
		{ 503, "Service Unavailable" },
		{ 504, "Gateway Timeout" },
		{ 505, "HTTP Version Not Supported" },
		{ 507, "Insufficient Storage" },
	};

	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		if (table[i].status == status)
			return table[i].phrase;
	return "Other";
}

static void write_one(struct http_session *s, struct text t)
{
	if (t.len > 0)
		s->outputs->write(s->owner, &t, 1);
}

/* ---------------------------------------------------------------- reading on and off */

/* Nothing more is to be read while the handler says so or while it owes the response to a complete request. */
static void settle_pause(struct http_session *s)
{
	bool wanted = s->handler_paused || s->phase == HTTP_PHASE_WAIT;

	if (s->phase == HTTP_PHASE_CLOSED || wanted == s->paused)
		return;
	s->paused = wanted;
	if (wanted)
		s->outputs->pause(s->owner);
	else
		s->outputs->resume(s->owner);
}

static void close_session(struct http_session *s)
{
	if (s->phase == HTTP_PHASE_CLOSED)
		return;
	enter_phase(s, HTTP_PHASE_CLOSED);
	http_parser_stop(s->parser);
	s->outputs->finish(s->owner);
}

/* The response is complete, and so is the request: on to the next, or the end. */
static void next_request(struct http_session *s)
{
	if (s->close_after || s->closing_down || s->peer_ended || !http_parser_keeps_alive(s->parser)) {
		close_session(s);
		return;
	}
	http_parser_next(s->parser);
	s->exchange = (struct http_exchange){ .session = s };
	s->rest_bytes = 0;
	enter_phase(s, HTTP_PHASE_HEAD);
	settle_pause(s);
}

static void exchange_over(struct http_session *s)
{
	struct http_exchange *x = &s->exchange;

	x->is_open = false;
	x->events = NULL;
	buf_fini(&x->extra_fields);
	s->handler_paused = false;
	if (s->phase == HTTP_PHASE_CLOSED)
		return;
	if (s->phase == HTTP_PHASE_WAIT) {
		next_request(s);
		return;
	}
	enter_phase(s, HTTP_PHASE_REST);
	settle_pause(s);
	/* Nobody will send a body that it was not told to go on with. */
	if (x->expects_continue || (x->body_bytes != UINT64_MAX && x->body_bytes > HTTP_REST_MAX))
		close_session(s);
}

static void tell_gone(struct http_session *s)
{
	struct http_exchange *x = &s->exchange;
	const struct http_exchange_events *events = x->events;

	x->is_open = false;
	x->events = NULL;
	buf_fini(&x->extra_fields);
	if (events)
		events->on_gone(x->owner);
}

/* ---------------------------------------------------------------- the response */

/* IMF-fixdate (RFC 9110 section 5.6.7) */
static void add_date(struct buf *b, int64_t utc_ms)
{
	static const char days[7][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
	static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
		                            "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
	struct calendar c = calendar_from_time(utc_ms);

	buf_add_format(b, "Date: %s, %02d %s %04d %02d:%02d:%02d GMT\r\n", days[c.weekday], c.day,
	               months[c.month - 1], c.year, c.hour, c.minute, c.second);
}

/* Whether the connection ends behind this response; must be known when its head is written. */
static bool ends_behind(const struct http_session *s)
{
	const struct http_exchange *x = &s->exchange;
	bool is_unread = s->phase == HTTP_PHASE_BODY;

	return s->close_after || s->closing_down || s->peer_ended ||
	       (x->has_begun && !x->is_chunked && !x->is_head_only) ||
	       (is_unread &&
	        (x->expects_continue || x->body_bytes == UINT64_MAX || x->body_bytes > HTTP_REST_MAX)) ||
	       !http_parser_keeps_alive(s->parser);
}

static void add_head(struct http_session *s, struct buf *b, int status, struct text content_type)
{
	buf_add_format(b, "HTTP/1.1 %d %s\r\n", status, status_phrase(status));
	add_date(b, s->outputs->now_time(s->owner));
	if (content_type.len > 0) {
		buf_add(b, TEXT("Content-Type: "));
		buf_add(b, content_type);
		buf_add(b, TEXT("\r\n"));
	}
	buf_add(b, TEXT("Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"));
	buf_add(b, buf_text(&s->exchange.extra_fields));
}

static void send_whole(struct http_session *s, int status, struct text content_type, struct text body)
{
	AUTO(buf_fini) struct buf head = BUF(RESPONSE_HEAD_MAX);

	if (ends_behind(s))
		s->close_after = true;
	add_head(s, &head, status, content_type);
	if (status != 204)
		buf_add_format(&head, "Content-Length: %zu\r\n", body.len);
	if (s->close_after)
		buf_add(&head, TEXT("Connection: close\r\n"));
	buf_add(&head, TEXT("\r\n"));
	if (buf_err(&head)) {
		close_session(s);
		return;
	}
	struct text pieces[2] = { buf_text(&head), body };

	s->outputs->write(s->owner, pieces,
	                  body.len > 0 && !s->exchange.is_head_only && status != 204 ? 2 : 1);
}

void http_respond(struct http_exchange *x, int status, struct text content_type, struct text body)
{
	struct http_session *s = x->session;

	assert(x->is_open && !x->has_begun);
	send_whole(s, status, content_type, body);
	exchange_over(s);
}

void http_begin(struct http_exchange *x, int status, struct text content_type)
{
	struct http_session *s = x->session;
	AUTO(buf_fini) struct buf head = BUF(RESPONSE_HEAD_MAX);

	assert(x->is_open && !x->has_begun);
	x->has_begun = true;
	/* HTTP/1.0 knows no chunks: there the end of the connection is the end of the body. */
	x->is_chunked = http_parser_is_version_11(s->parser);
	if (ends_behind(s))
		s->close_after = true;
	add_head(s, &head, status, content_type);
	if (x->is_chunked)
		buf_add(&head, TEXT("Transfer-Encoding: chunked\r\n"));
	if (s->close_after)
		buf_add(&head, TEXT("Connection: close\r\n"));
	buf_add(&head, TEXT("\r\n"));
	if (buf_err(&head))
		close_session(s);
	else
		write_one(s, buf_text(&head));
}

void http_add(struct http_exchange *x, struct text piece)
{
	struct http_session *s = x->session;

	assert(x->is_open && x->has_begun);
	if (piece.len == 0 || x->is_head_only || s->phase == HTTP_PHASE_CLOSED)
		return;
	if (!x->is_chunked) {
		write_one(s, piece);
		return;
	}
	char size[24];
	int len = snprintf(size, sizeof(size), "%zx\r\n", piece.len);
	struct text pieces[3] = { text_of(size, (size_t)len), piece, TEXT("\r\n") };

	s->outputs->write(s->owner, pieces, ARRAY_LEN(pieces));
}

size_t http_unsent(const struct http_exchange *x)
{
	return x->session->outputs->unsent(x->session->owner);
}

void http_end(struct http_exchange *x)
{
	struct http_session *s = x->session;

	assert(x->is_open && x->has_begun);
	if (x->is_chunked && !x->is_head_only && s->phase != HTTP_PHASE_CLOSED)
		write_one(s, TEXT("0\r\n\r\n"));
	exchange_over(s);
}

void http_abort(struct http_exchange *x)
{
	struct http_session *s = x->session;

	assert(x->is_open);
	close_session(s);
	exchange_over(s);
}

void http_put_header(struct http_exchange *x, struct text name, struct text value)
{
	buf_add(&x->extra_fields, name);
	buf_add(&x->extra_fields, TEXT(": "));
	buf_add(&x->extra_fields, value);
	buf_add(&x->extra_fields, TEXT("\r\n"));
}

static void add_problem(struct buf *b, int status, const char *title, struct text detail,
                        struct text next_step)
{
	struct json_writer w;

	json_writer_init(&w, b);
	json_open_object(&w, NULL);
	json_put_string(&w, "type", "about:blank");
	json_put_string(&w, "title", title);
	json_put_number(&w, "status", status);
	json_put_text_if(&w, "detail", detail);
	json_put_text_if(&w, "next", next_step);
	json_close_object(&w);
	buf_add_octet(b, '\n');
}

void http_respond_problem(struct http_exchange *x, int status, const char *title, struct text detail,
                          struct text next_step)
{
	AUTO(buf_fini) struct buf body = BUF(1u << 16);

	add_problem(&body, status, title, detail, next_step);
	http_respond(x, status, HTTP_PROBLEM, buf_err(&body) ? TEXT_EMPTY : buf_text(&body));
}

/* ---------------------------------------------------------------- the request */

struct text http_method(const struct http_exchange *x)
{
	return http_parser_method(x->session->parser);
}

struct text http_target(const struct http_exchange *x)
{
	return http_parser_target(x->session->parser);
}

struct text http_path(const struct http_exchange *x)
{
	struct text target = http_target(x);

	return text_cut(&target, '?');
}

struct text http_query(const struct http_exchange *x)
{
	struct text target = http_target(x);

	text_cut(&target, '?');
	return target;
}

struct text http_header(const struct http_exchange *x, struct text name)
{
	return http_parser_field(x->session->parser, name);
}

uint64_t http_body_bytes(const struct http_exchange *x)
{
	return x->body_bytes;
}

void http_attach(struct http_exchange *x, const struct http_exchange_events *events, void *owner)
{
	struct http_session *s = x->session;

	assert(x->is_open && !x->events);
	x->events = events;
	x->owner = owner;
	if (x->expects_continue) {
		x->expects_continue = false;
		write_one(s, TEXT("HTTP/1.1 100 Continue\r\n\r\n"));
	}
}

void http_pause(struct http_exchange *x)
{
	x->session->handler_paused = true;
	settle_pause(x->session);
}

void http_resume(struct http_exchange *x)
{
	x->session->handler_paused = false;
	settle_pause(x->session);
}

/* RFC 9112 section 3.2: a request of HTTP/1.1 has one Host field. */
static bool has_right_host(const struct http_parser *p)
{
	unsigned count = http_parser_count(p, TEXT("Host"));

	return count == 1 || (count == 0 && !http_parser_is_version_11(p));
}

static void on_head(void *owner)
{
	struct http_session *s = owner;
	struct http_exchange *x = &s->exchange;

	enter_phase(s, HTTP_PHASE_BODY);
	*x = (struct http_exchange){ .session = s, .is_open = true, .extra_fields = BUF(EXTRA_FIELDS_MAX) };
	x->body_bytes = http_parser_body_bytes(s->parser);
	x->is_head_only = text_eq(http_parser_method(s->parser), TEXT("HEAD"));
	x->expects_continue =
		x->body_bytes > 0 && http_parser_is_version_11(s->parser) &&
		text_eq_nocase(http_parser_field(s->parser, TEXT("Expect")), TEXT("100-continue"));
	if (!has_right_host(s->parser)) {
		s->close_after = true;
		http_respond_problem(x, 400, "Bad request", TEXT("the request must have one Host field"),
		                     TEXT_EMPTY);
		return;
	}
	s->outputs->on_request(s->owner, x);
	assert(!x->is_open || x->events);
}

static void on_body(void *owner, struct text piece)
{
	struct http_session *s = owner;

	if (s->phase == HTTP_PHASE_BODY) {
		s->exchange.events->on_body(s->exchange.owner, piece);
		return;
	}
	if (s->phase != HTTP_PHASE_REST)
		return;
	s->rest_bytes += piece.len;
	if (s->rest_bytes > HTTP_REST_MAX)
		close_session(s);
}

static void on_complete(void *owner)
{
	struct http_session *s = owner;

	if (s->phase == HTTP_PHASE_REST) {
		next_request(s);
		return;
	}
	if (s->phase != HTTP_PHASE_BODY)
		return;
	enter_phase(s, HTTP_PHASE_WAIT);
	settle_pause(s);
	s->exchange.events->on_end(s->exchange.owner);
}

static const struct http_parser_events parser_events = {
	.on_head = on_head,
	.on_body = on_body,
	.on_complete = on_complete,
};

/* What cannot be understood is answered, if an answer is still possible, and ends the connection. */
static void refuse(struct http_session *s, int status, const char *why)
{
	struct http_exchange *x = &s->exchange;
	bool has_begun = x->is_open && x->has_begun;
	bool is_answered = s->phase == HTTP_PHASE_REST;

	if (x->is_open)
		tell_gone(s);
	if (!has_begun && !is_answered && s->phase != HTTP_PHASE_CLOSED) {
		AUTO(buf_fini) struct buf body = BUF(1u << 16);
		s->close_after = true;
		add_problem(&body, status, status_phrase(status), text_from(why), TEXT_EMPTY);
		send_whole(s, status, HTTP_PROBLEM, buf_text(&body));
	}
	close_session(s);
}

size_t http_session_feed(struct http_session *s, struct text octets)
{
	size_t all = 0, taken;

	while (all < octets.len && s->phase != HTTP_PHASE_CLOSED && !s->paused) {
		enum err err = http_parser_feed(s->parser, text_skip(octets, all), &taken);

		all += taken;
		if (err) {
			refuse(s, http_parser_refusal(s->parser), http_parser_problem(s->parser));
			break;
		}
	}
	return s->phase == HTTP_PHASE_CLOSED ? octets.len : all;
}

void http_session_eof(struct http_session *s)
{
	s->peer_ended = true;
	if (s->phase == HTTP_PHASE_WAIT || s->phase == HTTP_PHASE_CLOSED)
		return; /* it may still read the response */
	if (s->exchange.is_open)
		tell_gone(s);
	close_session(s);
}

void http_session_drained(struct http_session *s)
{
	if (s->exchange.is_open && s->exchange.events && s->exchange.events->on_room)
		s->exchange.events->on_room(s->exchange.owner);
}

void http_session_timeout(struct http_session *s)
{
	if (s->phase == HTTP_PHASE_CLOSED)
		return;
	if (http_session_is_idle(s)) {
		close_session(s);
		return;
	}
	refuse(s, 408, "nothing came for too long");
}

void http_session_wind_up(struct http_session *s)
{
	s->closing_down = true;
	if (http_session_is_idle(s))
		close_session(s);
}

bool http_session_is_idle(const struct http_session *s)
{
	return s->phase == HTTP_PHASE_HEAD && !http_parser_has_begun(s->parser);
}

bool http_session_awaits_peer(const struct http_session *s)
{
	return !s->paused || s->outputs->unsent(s->owner) > 0;
}

enum err http_session_init(struct http_session *s, const struct http_session_outputs *outputs, void *owner)
{
	*s = (struct http_session){ .outputs = outputs, .owner = owner, .exchange = { .session = s } };
	return http_parser_new(true, &parser_events, s, &s->parser);
}

void http_session_fini(struct http_session *s)
{
	if (s->exchange.is_open)
		tell_gone(s);
	s->phase = HTTP_PHASE_CLOSED;
	http_parser_free(&s->parser);
}
