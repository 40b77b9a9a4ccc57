/* Each allocation of a conversation fails in turn: it ends early or not at all, and nothing is lost or leaked. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <postrider/io/datagram.h>
#include <postrider/io/lane.h>
#include <postrider/io/uv.h>

#include "support/alloc.h"
#include "support/streams.h"

static void a_world_is_made_or_not(void **state)
{
	(void)state;
	for (EACH_ALLOC_FAILING) {
		struct io *io = NULL;
		enum err err = io_uv_new(NULL, &io);

		if (err)
			assert_int_equal(err, ERR_NOMEM);
		else
			assert_non_null(io);
		io_uv_free(&io);
	}
}

/* Room for timers is made once: the test's own timers must not fail. */
static void warm_up(struct io *io)
{
	struct io_timer timers[16] = { 0 };

	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(io_timer_start(io, &timers[i], io_now_at(io), NULL, NULL), ERR_OK);
	for (unsigned i = 0; i < 16; i++)
		io_timer_stop(io, &timers[i]);
}

static char many[300000];

static void send_much(struct end *e)
{
	struct text pieces[] = { text_of(many, sizeof(many)), LIT("end"), text_of(many, 7) };

	if (e->connected == 1 && !e->closed && e->eofs == 0 && e->drained == 0 && !io_stream_is_closing(e->stream)) {
		io_stream_write(e->stream, pieces, 3);
		io_stream_finish(e->stream);
	}
}

/* Leaves some each time, to be offered again. */
static void take_some(struct end *e, struct text bytes)
{
	e->take = bytes.len > 1000 ? bytes.len - bytes.len / 10 : bytes.len;
	io_stream_pause(e->stream);
	io_stream_resume(e->stream);
}

static void a_conversation_ends_whatever_fails(void **state)
{
	bool failed = true;

	(void)state;
	for (unsigned nth = 1; failed; nth++) {
		struct ends p;
		enum err err;

		ends_init(&p);
		warm_up(p.io);
		p.client.on_event = send_much;
		p.server.on_data = take_some;
		alloc_fail_nth(nth);
		err = io_connect(p.io, io_listener_address(p.listener), NULL, &end_events, &p.client, &p.client.stream);
		if (err)
			assert_int_equal(err, ERR_NOMEM);
		else
			LOOP_UNTIL(p.io, p.client.closed && (!p.accepted || p.server.closed || p.server.eofs));
		failed = alloc_has_failed();
		alloc_fail_nth(0);
		if (!failed)
			assert_int_equal(p.server.got.len, sizeof(many) + 10);
		ends_fini(&p);
	}
}

static void on_datagram(void *owner, enum err err, struct text bytes)
{
	(void)owner;
	(void)err;
	(void)bytes;
}

static void a_datagram_is_opened_or_not(void **state)
{
	struct ip_port peer = { ip_from_v4(0x7f000001), 9 };
	struct io *io;

	(void)state;
	assert_int_equal(io_uv_new(NULL, &io), ERR_OK);
	for (EACH_ALLOC_FAILING) {
		struct io_datagram *d = NULL;
		enum err err = io_datagram_open(io, &peer, on_datagram, NULL, &d);

		assert_true(err ? err == ERR_NOMEM && !d : d != NULL);
		io_datagram_close(&d);
		loop_for(io, 0);
	}
	io_uv_free(&io);
}

static void on_accept(void *owner, struct io_stream *stream)
{
	(void)owner;
	io_stream_close(stream);
}

static void a_listener_is_made_or_not(void **state)
{
	struct io_address any = { .ip = { .ip = ip_from_v4(0x7f000001) } };
	struct io *io;

	(void)state;
	assert_int_equal(io_uv_new(NULL, &io), ERR_OK);
	for (EACH_ALLOC_FAILING) {
		struct io_listener *l = NULL;
		enum err err = io_listen(io, &any, 0, on_accept, NULL, &l);

		assert_true(err ? err == ERR_NOMEM && !l : l != NULL);
		io_listener_close(&l);
	}
	io_uv_free(&io);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_world_is_made_or_not),
		cmocka_unit_test(a_conversation_ends_whatever_fails),
		cmocka_unit_test(a_datagram_is_opened_or_not),
		cmocka_unit_test(a_listener_is_made_or_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
