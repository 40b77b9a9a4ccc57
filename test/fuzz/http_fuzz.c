/* Octets as an HTTP client may send them: the first octet chooses what the handler does and how the rest is cut. What the
 * session promises is checked: it takes no more than it was given, says nothing after its end, and tells a handler of the
 * end of its exchange once. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <postrider/http/json.h>

#include "http/session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct world {
	struct http_session session;
	struct http_exchange *open; /* attached and neither answered nor gone */
	unsigned manner;
	unsigned requests;
	bool finished;
};

static void out_write(void *owner, const struct text *pieces, size_t count)
{
	struct world *w = owner;

	assert(!w->finished);
	for (size_t i = 0; i < count; i++)
		assert(pieces[i].len == 0 || pieces[i].at);
}

static size_t out_unsent(void *owner)
{
	(void)owner;
	return 0;
}

static void out_nothing(void *owner)
{
	(void)owner;
}

static void out_finish(void *owner)
{
	struct world *w = owner;

	assert(!w->finished);
	w->finished = true;
}

static int64_t out_now(void *owner)
{
	(void)owner;
	return INT64_C(1767355445678);
}

static void answer(struct world *w)
{
	struct http_exchange *x = w->open;

	w->open = NULL;
	if (w->manner & 1) {
		http_respond(x, 200, HTTP_TEXT, http_path(x));
		return;
	}
	http_begin(x, 200, HTTP_TEXT);
	http_add(x, http_target(x));
	http_end(x);
}

static void on_body(void *owner, struct text piece)
{
	struct world *w = owner;

	assert(w->open && piece.len > 0);
	if (w->manner & 4)
		answer(w);
}

static void on_end(void *owner)
{
	struct world *w = owner;

	assert(w->open);
	if (w->manner & 2)
		answer(w);
}

static void on_gone(void *owner)
{
	struct world *w = owner;

	assert(w->open);
	w->open = NULL;
}

static const struct http_exchange_events events = { .on_body = on_body,
	                                            .on_end = on_end,
	                                            .on_gone = on_gone };

static void read_query(struct http_exchange *x)
{
	struct text rest = http_query(x);
	struct buf name = BUF(1 << 14), value = BUF(1 << 14);

	while (http_query_next(&rest, &name, &value))
		assert(buf_err(&value) == ERR_OK || buf_err(&value) == ERR_SYNTAX);
	buf_fini(&name);
	buf_fini(&value);
}

static void on_request(void *owner, struct http_exchange *x)
{
	struct world *w = owner;

	assert(!w->open);
	w->requests++;
	read_query(x);
	w->open = x;
	if (w->manner & 8)
		answer(w);
	else
		http_attach(x, &events, w);
}

static const struct http_session_outputs outputs = {
	.write = out_write,
	.unsent = out_unsent,
	.pause = out_nothing,
	.resume = out_nothing,
	.finish = out_finish,
	.now_time = out_now,
	.on_request = on_request,
};

static void feed(struct world *w, struct text rest, size_t step)
{
	while (rest.len > 0 && !w->finished) {
		struct text piece = text_head(rest, step);
		size_t taken = http_session_feed(&w->session, piece);

		assert(taken <= piece.len);
		rest = text_skip(rest, taken);
		if (taken < piece.len && w->open)
			answer(w);
		else if (taken == 0)
			return;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct world w = { .manner = size ? data[0] : 0 };
	struct json *v = NULL;

	if (size == 0 || http_session_init(&w.session, &outputs, &w))
		return 0;
	struct text octets = text_of((const char *)data + 1, size - 1);

	feed(&w, octets, (w.manner & 16) ? 1 : (w.manner & 32) ? 7 : size);
	if (w.manner & 64)
		http_session_timeout(&w.session);
	http_session_eof(&w.session);
	if (w.open && (w.manner & 2))
		answer(&w);
	http_session_fini(&w.session);
	assert(!w.open);
	if (!json_parse(octets, &v, NULL))
		json_free(&v);
	return 0;
}
