#include "exchange.h"

#include <stdlib.h>

#define LENGTH_BYTES 2
#define MESSAGE_MAX (LENGTH_BYTES + 65535)

/* Lives until the stream has closed, which may be later than its owner. */
struct exchange {
	struct io_stream *stream; /* NULL: closed, or on its way there */
	exchange_fn *fn;
	void *owner; /* NULL: nobody listens any more */
	bool over;   /* fn has heard an error */
	struct buf in;
	size_t query_len;
	char query[]; /* behind its length octets */
};

static void say(struct exchange *e, enum err err, struct text message)
{
	if (!e->owner || e->over)
		return;
	e->over = err != ERR_OK;
	e->fn(e->owner, err, message);
}

static void on_connected(void *owner)
{
	struct exchange *e = owner;
	struct text query = { e->query, e->query_len };

	io_stream_write(e->stream, &query, 1);
}

static size_t message_end(const struct buf *in)
{
	const unsigned char *at = (const unsigned char *)in->at;

	return in->len < LENGTH_BYTES ? SIZE_MAX : LENGTH_BYTES + ((size_t)at[0] << 8 | at[1]);
}

static size_t on_data(void *owner, struct text octets)
{
	struct exchange *e = owner;

	buf_add(&e->in, octets);
	if (buf_err(&e->in)) {
		say(e, buf_err(&e->in), TEXT_EMPTY);
		return octets.len;
	}
	for (;;) {
		size_t end = message_end(&e->in);

		if (end > e->in.len || !e->owner)
			return octets.len;
		say(e, ERR_OK, text_skip(text_head(buf_text(&e->in), end), LENGTH_BYTES));
		buf_drop_head(&e->in, end);
	}
}

static void on_eof(void *owner)
{
	say(owner, ERR_CLOSED, TEXT_EMPTY);
}

static void on_drained(void *owner)
{
	(void)owner;
}

static void free_exchange(struct exchange *e)
{
	buf_fini(&e->in);
	free(e);
}

static void on_closed(void *owner, enum err why)
{
	struct exchange *e = owner;

	e->stream = NULL;
	if (!e->owner)
		free_exchange(e);
	else
		say(e, why ? why : ERR_CLOSED, TEXT_EMPTY); /* the owner may free us in it */
}

static const struct io_stream_events events = {
	.on_connected = on_connected,
	.on_data = on_data,
	.on_eof = on_eof,
	.on_drained = on_drained,
	.on_closed = on_closed,
};

enum err exchange_open(struct io *io, const struct ip_port *server, struct text query, exchange_fn *fn,
                       void *owner, struct exchange **out)
{
	struct exchange *e = malloc(sizeof(*e) + LENGTH_BYTES + query.len);

	if (!e)
		return ERR_NOMEM;
	*e = (struct exchange){
		.fn = fn, .owner = owner, .in = BUF(2 * MESSAGE_MAX), .query_len = LENGTH_BYTES + query.len
	};
	e->query[0] = (char)(query.len >> 8);
	e->query[1] = (char)query.len;
	memcpy(e->query + LENGTH_BYTES, query.at, query.len);

	struct io_address to = { .ip = *server, .peer_uid = UINT32_MAX, .peer_gid = UINT32_MAX };
	enum err err = io_connect(io, &to, NULL, &events, e, &e->stream);

	if (err) {
		free(e);
		return err;
	}
	*out = e;
	return ERR_OK;
}

void exchange_close(struct exchange **pointer)
{
	struct exchange *e = TAKE(*pointer);

	if (!e)
		return;
	e->owner = NULL;
	if (e->stream)
		io_stream_close(e->stream);
	else
		free_exchange(e);
}
