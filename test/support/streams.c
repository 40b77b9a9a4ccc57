#include "support/streams.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#define GOT_MAX (64u << 20)

static void tell(struct end *e)
{
	if (e->on_event)
		e->on_event(e);
}

static void on_connected(void *owner)
{
	struct end *e = owner;

	e->connected++;
	tell(e);
	if (e->close_when_connected)
		io_stream_close(e->stream);
}

static size_t on_data(void *owner, struct text bytes)
{
	struct end *e = owner;
	size_t taken;

	assert_int_equal(e->closed, 0);
	assert_true(bytes.len > 0);
	e->calls++;
	e->offered = bytes.len;
	if (e->on_data)
		e->on_data(e, bytes);
	taken = MIN(e->take, bytes.len);
	buf_add(&e->got, text_head(bytes, taken));
	if (e->pause_in_data)
		io_stream_pause(e->stream);
	if (e->discard_in_data)
		assert_int_equal(io_stream_discard_kept(e->stream), bytes.len);
	if (e->close_in_data)
		io_stream_close(e->stream);
	if (e->finish_in_data)
		io_stream_finish(e->stream);
	return taken;
}

static void on_eof(void *owner)
{
	struct end *e = owner;

	assert_int_equal(e->closed, 0);
	e->eofs++;
	tell(e);
}

static void on_drained(void *owner)
{
	struct end *e = owner;

	e->drained++;
	tell(e);
}

static void on_closed(void *owner, enum err why)
{
	struct end *e = owner;

	e->closed++;
	e->why = why;
	e->stream = NULL;
	tell(e);
}

const struct io_stream_events end_events = { on_connected, on_data, on_eof, on_drained, on_closed };

void end_init(struct end *e, struct io *io)
{
	*e = (struct end){ .io = io, .take = SIZE_MAX, .got = BUF(GOT_MAX) };
}

void end_fini(struct end *e)
{
	buf_fini(&e->got);
}

void end_write(struct end *e, const char *string)
{
	struct text piece = text_from(string);

	io_stream_write(e->stream, &piece, 1);
}

void end_write_many(struct end *e, char octet, size_t len)
{
	char *bytes = malloc(len);

	assert_non_null(bytes);
	memset(bytes, octet, len);
	struct text piece = text_of(bytes, len);

	io_stream_write(e->stream, &piece, 1);
	free(bytes);
}

struct text end_got(const struct end *e)
{
	return buf_text(&e->got);
}

static void on_accept(void *owner, struct io_stream *stream)
{
	struct ends *p = owner;

	p->accepted++;
	if (p->close_when_accepted) {
		io_stream_close(stream);
		return;
	}
	if (p->forget_when_accepted)
		return;
	p->server.stream = stream;
	io_stream_attach(stream, &end_events, &p->server);
}

void ends_init(struct ends *p)
{
	struct io_address any = { .ip = { .ip = ip_from_v4(0x7f000001) } };

	*p = (struct ends){ 0 };
	assert_int_equal(io_uv_new(NULL, &p->io), ERR_OK);
	assert_int_equal(io_listen(p->io, &any, 0, on_accept, p, &p->listener), ERR_OK);
	end_init(&p->client, p->io);
	end_init(&p->server, p->io);
}

void ends_connect(struct ends *p)
{
	assert_int_equal(io_connect(p->io, io_listener_address(p->listener), NULL, &end_events, &p->client,
	                            &p->client.stream), ERR_OK);
}

void ends_join(struct ends *p)
{
	ends_connect(p);
	LOOP_UNTIL(p->io, p->client.connected && p->server.stream);
}

void ends_fini(struct ends *p)
{
	io_listener_close(&p->listener);
	io_uv_free(&p->io);
	end_fini(&p->client);
	end_fini(&p->server);
}

struct stopper {
	struct io *io;
	struct io_timer timer;
};

static void stop_loop(void *owner)
{
	struct stopper *s = owner;

	io_uv_stop(s->io);
}

void loop_for(struct io *io, int64_t ms)
{
	struct stopper s = { .io = io };

	assert_int_equal(io_timer_start(io, &s.timer, io_now_at(io) + ms, stop_loop, &s), ERR_OK);
	io_uv_run(io);
}
