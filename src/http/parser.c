#include "parser.h"

#include <stdlib.h>

#include <llhttp.h>

struct http_span {
	size_t at, len;
};

struct http_parser {
	llhttp_t llhttp;
	const struct http_parser_events *events;
	void *owner;
	struct buf head;
	struct http_span target; /* of a request */
	struct {
		struct http_span name, value;
	} fields[HTTP_FIELDS_MAX];
	unsigned field_count;
	bool in_value;
	size_t extra;
	bool has_head, is_complete, stopped, no_body;
	int refusal;
};

static struct http_parser *parser_of(llhttp_t *llhttp)
{
	return llhttp->data;
}

static int refuse(struct http_parser *p, int status, const char *why)
{
	p->refusal = status;
	llhttp_set_error_reason(&p->llhttp, why);
	return HPE_USER;
}

/* Adds to the head and to the span, which is the last thing in it. */
static int add(struct http_parser *p, struct http_span *span, const char *at, size_t len)
{
	if (span->len == 0)
		span->at = p->head.len;
	buf_add_bytes(&p->head, at, len);
	span->len += len;
	if (buf_err(&p->head) == ERR_TOO_BIG)
		return refuse(p, 431, "the head is too long");
	return buf_err(&p->head) ? refuse(p, 503, "out of memory") : 0;
}

/* Trailers and chunk extensions: nobody wants them, and they must not go on for ever. */
static int pass_over(struct http_parser *p, size_t len)
{
	p->extra += len;
	return p->extra > HTTP_EXTRA_MAX ? refuse(p, 413, "too much around the body") : 0;
}

static int on_url(llhttp_t *llhttp, const char *at, size_t len)
{
	struct http_parser *p = parser_of(llhttp);

	return add(p, &p->target, at, len);
}

static int on_field(llhttp_t *llhttp, const char *at, size_t len)
{
	struct http_parser *p = parser_of(llhttp);

	if (p->has_head)
		return pass_over(p, len);
	if (p->field_count == 0 || p->in_value) {
		if (p->field_count == HTTP_FIELDS_MAX)
			return refuse(p, 431, "too many header fields");
		p->fields[p->field_count].name = p->fields[p->field_count].value = (struct http_span){ 0, 0 };
		p->field_count++;
		p->in_value = false;
	}
	return add(p, &p->fields[p->field_count - 1].name, at, len);
}

static int on_value(llhttp_t *llhttp, const char *at, size_t len)
{
	struct http_parser *p = parser_of(llhttp);

	if (p->has_head)
		return pass_over(p, len);
	p->in_value = true;
	return add(p, &p->fields[p->field_count - 1].value, at, len);
}

/* An empty value has no on_value: without this the next name would be taken for the rest of this one. */
static int on_value_complete(llhttp_t *llhttp)
{
	struct http_parser *p = parser_of(llhttp);

	p->in_value = true;
	return 0;
}

static int on_headers_complete(llhttp_t *llhttp)
{
	struct http_parser *p = parser_of(llhttp);

	if (llhttp->http_major != 1 || llhttp->http_minor > 1)
		return refuse(p, 505, "only HTTP/1.0 and HTTP/1.1 are spoken here");
	/* We switch to no other protocol: the request is answered as if it had not asked (RFC 9110 section 7.8). */
	llhttp->upgrade = 0;
	p->has_head = true;
	p->events->on_head(p->owner);
	return p->stopped ? HPE_PAUSED : p->no_body;
}

static int on_body(llhttp_t *llhttp, const char *at, size_t len)
{
	struct http_parser *p = parser_of(llhttp);

	if (p->stopped)
		return 0;
	p->events->on_body(p->owner, text_of(at, len));
	return 0;
}

static int on_chunk_extension(llhttp_t *llhttp, const char *at, size_t len)
{
	(void)at;
	return pass_over(parser_of(llhttp), len);
}

static int on_message_complete(llhttp_t *llhttp)
{
	struct http_parser *p = parser_of(llhttp);

	p->is_complete = true;
	if (!p->stopped)
		p->events->on_complete(p->owner);
	return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
	.on_url = on_url,
	.on_header_field = on_field,
	.on_header_value = on_value,
	.on_header_value_complete = on_value_complete,
	.on_headers_complete = on_headers_complete,
	.on_chunk_extension_name = on_chunk_extension,
	.on_chunk_extension_value = on_chunk_extension,
	.on_body = on_body,
	.on_message_complete = on_message_complete,
};

enum err http_parser_new(bool is_request, const struct http_parser_events *events, void *owner,
                         struct http_parser **out)
{
	struct http_parser *p = calloc(1, sizeof(*p));

	if (!p)
		return ERR_NOMEM;
	llhttp_init(&p->llhttp, is_request ? HTTP_REQUEST : HTTP_RESPONSE, &settings);
	p->llhttp.data = p;
	p->events = events;
	p->owner = owner;
	buf_init(&p->head, HTTP_HEAD_MAX);
	*out = p;
	return ERR_OK;
}

void http_parser_free(struct http_parser **p)
{
	if (!*p)
		return;
	buf_fini(&(*p)->head);
	free(*p);
	*p = NULL;
}

void http_parser_stop(struct http_parser *p)
{
	p->stopped = true;
}

void http_parser_skip_body(struct http_parser *p)
{
	p->no_body = true;
}

void http_parser_next(struct http_parser *p)
{
	buf_reset(&p->head);
	p->target = (struct http_span){ 0, 0 };
	p->field_count = 0;
	p->in_value = false;
	p->extra = 0;
	p->has_head = p->is_complete = p->stopped = p->no_body = false;
	p->refusal = 0;
}

static enum err failed(struct http_parser *p)
{
	if (p->refusal == 503)
		return ERR_NOMEM;
	if (p->refusal == 431 || p->refusal == 413)
		return ERR_TOO_BIG;
	return ERR_SYNTAX;
}

enum err http_parser_feed(struct http_parser *p, struct text octets, size_t *taken)
{
	*taken = 0;
	if (p->stopped || p->is_complete || octets.len == 0)
		return ERR_OK;
	llhttp_errno_t rc = llhttp_execute(&p->llhttp, octets.at, octets.len);

	if (rc == HPE_OK) {
		*taken = octets.len;
		return ERR_OK;
	}
	if (rc != HPE_PAUSED)
		return failed(p);
	*taken = (size_t)(llhttp_get_error_pos(&p->llhttp) - octets.at);
	llhttp_resume(&p->llhttp);
	return ERR_OK;
}

enum err http_parser_end(struct http_parser *p)
{
	if (p->stopped || p->is_complete)
		return ERR_OK;
	llhttp_errno_t rc = llhttp_finish(&p->llhttp);

	if (rc == HPE_OK || rc == HPE_PAUSED)
		return p->head.len > 0 && !p->is_complete ? ERR_MORE : ERR_OK;
	p->refusal = 400;
	return ERR_MORE;
}

static struct text span_text(const struct http_parser *p, struct http_span span)
{
	return text_of(p->head.at + span.at, span.len);
}

struct text http_parser_method(const struct http_parser *p)
{
	return text_from(llhttp_method_name((llhttp_method_t)p->llhttp.method));
}

int http_parser_status(const struct http_parser *p)
{
	return p->llhttp.status_code;
}

struct text http_parser_target(const struct http_parser *p)
{
	return p->target.len ? span_text(p, p->target) : TEXT_EMPTY;
}

struct text http_parser_field(const struct http_parser *p, struct text name)
{
	for (unsigned i = 0; i < p->field_count; i++)
		if (text_eq_nocase(span_text(p, p->fields[i].name), name))
			return text_trim(span_text(p, p->fields[i].value));
	return (struct text){ NULL, 0 };
}

unsigned http_parser_count(const struct http_parser *p, struct text name)
{
	unsigned count = 0;

	for (unsigned i = 0; i < p->field_count; i++)
		count += text_eq_nocase(span_text(p, p->fields[i].name), name);
	return count;
}

bool http_parser_is_version_11(const struct http_parser *p)
{
	return p->llhttp.http_minor == 1;
}

bool http_parser_keeps_alive(const struct http_parser *p)
{
	return llhttp_should_keep_alive(&p->llhttp);
}

uint64_t http_parser_body_bytes(const struct http_parser *p)
{
	if (p->llhttp.flags & F_CHUNKED)
		return UINT64_MAX;
	if (p->llhttp.flags & F_CONTENT_LENGTH)
		return p->llhttp.content_length;
	/* A request without either has no body (RFC 9112 section 6.3); a response then lasts until the end. */
	return llhttp_get_type((llhttp_t *)(uintptr_t)&p->llhttp) == HTTP_REQUEST ? 0 : UINT64_MAX;
}

const char *http_parser_problem(const struct http_parser *p)
{
	const char *reason = llhttp_get_error_reason(&p->llhttp);

	return reason ? reason : "cut off";
}

bool http_parser_has_begun(const struct http_parser *p)
{
	return p->head.len > 0;
}

int http_parser_refusal(const struct http_parser *p)
{
	return p->refusal ? p->refusal : 400;
}
