/* Server and client of ours over a Unix socket of the real loop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include <postrider/base/auto.h>
#include <postrider/http/client.h>
#include <postrider/http/server.h>

#include "support/streams.h"

struct fixture {
	struct io *io;
	struct io_address address;
	struct io_listener *listener;
	struct http_server *server;
	bool server_closed;

	/* the server's side */
	struct http_exchange *x;
	uint64_t body_bytes;
	unsigned requests, gone, rooms;
	uint64_t to_send; /* by /stream */
	uint32_t peer_uid;

	/* the client's */
	struct http_call *call;
	struct buf got;
	uint64_t got_bytes;
	uint64_t to_give; /* by more_body */
	enum err give_err;
	int status;
	unsigned dones;
	enum err result;
};

static void on_accept(void *owner, struct io_stream *stream)
{
	http_server_accept(((struct fixture *)owner)->server, stream);
}

static void count_body(void *owner, struct text piece)
{
	((struct fixture *)owner)->body_bytes += piece.len;
}

static void answer_end(void *owner)
{
	struct fixture *f = owner;

	if (text_eq(http_path(f->x), TEXT("/never")))
		return;
	struct http_exchange *x = f->x;

	f->x = NULL;
	http_respond(x, 200, HTTP_TEXT, TEXT("taken"));
}

static void send_some(void *owner)
{
	static const char zeros[10000];
	struct fixture *f = owner;

	f->rooms++;
	while (f->to_send > 0 && http_unsent(f->x) < 65536) {
		size_t len = MIN(f->to_send, sizeof(zeros));

		http_add(f->x, text_of(zeros, len));
		f->to_send -= len;
	}
	if (f->to_send == 0) {
		struct http_exchange *x = f->x;

		f->x = NULL;
		http_end(x);
	}
}

static void note_gone(void *owner)
{
	struct fixture *f = owner;

	f->gone++;
	f->x = NULL;
}

static const struct http_exchange_events taking = {
	.on_body = count_body,
	.on_end = answer_end,
	.on_gone = note_gone,
};

static void nothing(void *owner)
{
	(void)owner;
}

static const struct http_exchange_events streaming = {
	.on_body = count_body,
	.on_end = nothing,
	.on_room = send_some,
	.on_gone = note_gone,
};

static void on_request(void *owner, struct http_exchange *x)
{
	struct fixture *f = owner;
	struct text path = http_path(x);

	f->requests++;
	f->peer_uid = http_peer(x)->peer_uid;
	f->x = x;
	if (text_eq(path, TEXT("/refuse"))) {
		f->x = NULL;
		http_respond_problem(x, 413, "Too large", TEXT_EMPTY, TEXT_EMPTY);
	} else if (text_eq(path, TEXT("/stream"))) {
		http_attach(x, &streaming, f);
		http_begin(x, 200, HTTP_TEXT);
		send_some(f);
	} else {
		http_attach(x, &taking, f);
	}
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct io_uv_options uv = { 0 };

	assert_int_equal(io_uv_new(&uv, &f->io), ERR_OK);
	struct http_server_options options = {
		.io = f->io, .on_request = on_request, .owner = f, .max_connections = 2, .idle_ms = 200
	};

	snprintf(f->address.unix_path, sizeof(f->address.unix_path), "/tmp/postrider-http-test.%d",
	         (int)getpid());
	assert_int_equal(http_server_new(&options, &f->server), ERR_OK);
	assert_int_equal(io_listen(f->io, &f->address, 0660, on_accept, f, &f->listener), ERR_OK);
	buf_init(&f->got, 1 << 20);
	*state = f;
	return 0;
}

static void on_server_closed(void *owner)
{
	((struct fixture *)owner)->server_closed = true;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	http_call_cancel(&f->call);
	io_listener_close(&f->listener);
	if (f->server) {
		http_server_close(&f->server, 0, on_server_closed, f);
		LOOP_UNTIL(f->io, f->server_closed);
	}
	io_uv_free(&f->io);
	buf_fini(&f->got);
	free(f);
	return 0;
}

static void on_head(void *owner, int status, struct text content_type)
{
	assert_true(content_type.len > 0);
	((struct fixture *)owner)->status = status;
}

static void on_body(void *owner, struct text piece)
{
	struct fixture *f = owner;

	f->got_bytes += piece.len;
	buf_add(&f->got, piece);
}

static enum err more_body(void *owner, struct buf *out)
{
	struct fixture *f = owner;
	size_t len = MIN(f->to_give, 65536);
	char *place = buf_reserve(out, len);

	if (place) {
		memset(place, 'x', len);
		buf_grew(out, len);
	}
	f->to_give -= len;
	return f->to_give == 0 ? f->give_err : ERR_OK;
}

static void on_done(void *owner, enum err err, struct text problem)
{
	struct fixture *f = owner;

	(void)problem;
	f->dones++;
	f->result = err;
	f->call = NULL;
}

static const struct http_call_events call_events = {
	.on_head = on_head,
	.on_body = on_body,
	.more_body = more_body,
	.on_done = on_done,
};

static void call(struct fixture *f, const char *method, const char *target, const char *content_type,
                 struct text body)
{
	struct http_call_options options = {
		.io = f->io,
		.to = &f->address,
		.method = text_from(method),
		.target = text_from(target),
		.host = LIT("postrider"),
		.content_type = text_from(content_type),
		.body = body,
		.timeout_ms = 5000,
		.events = &call_events,
		.owner = f,
	};

	assert_int_equal(http_call_start(&options, &f->call), ERR_OK);
}

#define NO_BODY ((struct text){ NULL, 0 })

static void a_call_brings_its_answer(void **state)
{
	struct fixture *f = *state;

	call(f, "GET", "/x", NULL, NO_BODY);
	LOOP_UNTIL(f->io, f->dones);
	assert_int_equal(f->result, ERR_OK);
	assert_int_equal(f->status, 200);
	assert_true(text_eq(buf_text(&f->got), TEXT("taken")));
	assert_int_equal(f->peer_uid, getuid());
	LOOP_UNTIL(f->io, http_server_connections(f->server) == 0);
}

static void a_body_in_memory_arrives(void **state)
{
	struct fixture *f = *state;

	call(f, "POST", "/x", "text/plain", TEXT("hello"));
	LOOP_UNTIL(f->io, f->dones);
	assert_int_equal(f->result, ERR_OK);
	assert_int_equal(f->body_bytes, 5);
}

static void a_large_body_is_asked_for_by_pieces(void **state)
{
	struct fixture *f = *state;

	f->to_give = 20000000;
	call(f, "POST", "/x", "text/plain", NO_BODY);
	LOOP_UNTIL(f->io, f->dones);
	assert_int_equal(f->result, ERR_OK);
	assert_int_equal(f->body_bytes, 20000000);
}

static void a_refusal_is_heard_before_the_body_is_sent(void **state)
{
	struct fixture *f = *state;

	f->to_give = UINT64_C(1) << 40;
	call(f, "POST", "/refuse", "text/plain", NO_BODY);
	LOOP_UNTIL(f->io, f->dones);
	assert_int_equal(f->result, ERR_OK);
	assert_int_equal(f->status, 413);
}

static void a_source_that_fails_ends_the_call_and_the_exchange(void **state)
{
	struct fixture *f = *state;

	f->to_give = 1000000;
	f->give_err = ERR_IO;
	call(f, "POST", "/x", "text/plain", NO_BODY);
	LOOP_UNTIL(f->io, f->dones && f->gone);
	assert_int_equal(f->result, ERR_IO);
	assert_int_equal(f->gone, 1);
}

static void a_large_answer_is_sent_as_it_is_taken(void **state)
{
	struct fixture *f = *state;

	f->to_send = 30000000;
	buf_init(&f->got, 64 << 20);
	call(f, "GET", "/stream", NULL, NO_BODY);
	LOOP_UNTIL(f->io, f->dones);
	assert_int_equal(f->result, ERR_OK);
	assert_int_equal(f->got_bytes, 30000000);
	assert_true(f->rooms > 10);
}

static void a_cancelled_call_says_nothing_and_the_handler_hears_of_it(void **state)
{
	struct fixture *f = *state;

	call(f, "GET", "/never", NULL, NO_BODY);
	LOOP_UNTIL(f->io, f->requests);
	http_call_cancel(&f->call);
	LOOP_UNTIL(f->io, http_server_connections(f->server) == 0 || f->x);
	assert_int_equal(f->dones, 0);
}

static void nobody_there_is_said(void **state)
{
	struct fixture *f = *state;

	io_listener_close(&f->listener);
	struct http_call_options options = {
		.io = f->io,
		.to = &f->address,
		.method = LIT("GET"),
		.target = LIT("/"),
		.host = LIT("x"),
		.timeout_ms = 5000,
		.events = &call_events,
		.owner = f,
	};
	enum err err = http_call_start(&options, &f->call);

	if (!err)
		LOOP_UNTIL(f->io, f->dones);
	assert_true((err ? err : f->result) == ERR_NOT_FOUND || (err ? err : f->result) == ERR_REFUSED);
}

static void silence_ends_a_call(void **state)
{
	struct fixture *f = *state;
	struct http_call_options options = {
		.io = f->io,
		.to = &f->address,
		.method = LIT("GET"),
		.target = LIT("/never"),
		.host = LIT("x"),
		.timeout_ms = 100,
		.events = &call_events,
		.owner = f,
	};

	assert_int_equal(http_call_start(&options, &f->call), ERR_OK);
	LOOP_UNTIL(f->io, f->dones);
	assert_int_equal(f->result, ERR_TIMEOUT);
}

static void a_silent_peer_is_thrown_out(void **state)
{
	struct fixture *f = *state;
	struct end e;

	end_init(&e, f->io);
	e.take = 1 << 20;
	assert_int_equal(io_connect(f->io, &f->address, NULL, &end_events, &e, &e.stream), ERR_OK);
	LOOP_UNTIL(f->io, e.connected);
	end_write(&e, "GET / HT");
	LOOP_UNTIL(f->io, (e.eofs || e.closed) && http_server_connections(f->server) == 0);
	assert_true(text_starts(end_got(&e), TEXT("HTTP/1.1 408 ")));
	if (e.stream)
		io_stream_close(e.stream);
	LOOP_UNTIL(f->io, e.closed);
	end_fini(&e);
}

static void connections_are_limited(void **state)
{
	struct fixture *f = *state;
	struct end ends[3];

	for (int i = 0; i < 3; i++) {
		end_init(&ends[i], f->io);
		assert_int_equal(io_connect(f->io, &f->address, NULL, &end_events, &ends[i], &ends[i].stream),
		                 ERR_OK);
	}
	LOOP_UNTIL(f->io, ends[0].connected && ends[1].connected && (ends[2].eofs || ends[2].closed));
	assert_int_equal(http_server_connections(f->server), 2);
	for (int i = 0; i < 3; i++) {
		if (ends[i].stream)
			io_stream_close(ends[i].stream);
		LOOP_UNTIL(f->io, ends[i].closed);
		end_fini(&ends[i]);
	}
}

static void closing_waits_for_what_runs_and_not_longer(void **state)
{
	struct fixture *f = *state;

	call(f, "GET", "/never", NULL, NO_BODY);
	LOOP_UNTIL(f->io, f->x);
	http_server_close(&f->server, 50, on_server_closed, f);
	assert_false(f->server_closed);
	LOOP_UNTIL(f->io, f->server_closed && f->dones);
	assert_int_equal(f->gone, 1);
	assert_true(f->result != ERR_OK);
}

#define WITH_SERVER(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_SERVER(a_call_brings_its_answer),
		WITH_SERVER(a_body_in_memory_arrives),
		WITH_SERVER(a_large_body_is_asked_for_by_pieces),
		WITH_SERVER(a_refusal_is_heard_before_the_body_is_sent),
		WITH_SERVER(a_source_that_fails_ends_the_call_and_the_exchange),
		WITH_SERVER(a_large_answer_is_sent_as_it_is_taken),
		WITH_SERVER(a_cancelled_call_says_nothing_and_the_handler_hears_of_it),
		WITH_SERVER(nobody_there_is_said),
		WITH_SERVER(silence_ends_a_call),
		WITH_SERVER(a_silent_peer_is_thrown_out),
		WITH_SERVER(connections_are_limited),
		WITH_SERVER(closing_waits_for_what_runs_and_not_longer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
