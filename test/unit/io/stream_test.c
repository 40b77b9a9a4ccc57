#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <postrider/io/uv.h>

#include "support/streams.h"

static int set_up(void **state)
{
	struct ends *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	ends_init(p);
	*state = p;
	return 0;
}

static int tear_down(void **state)
{
	struct ends *p = *state;

	ends_fini(p);
	free(p);
	return 0;
}

#define assert_text(actual, expected) assert_true(text_eq(actual, TEXT(expected)))

static void join_closed(struct ends *p)
{
	LOOP_UNTIL(p->io, p->client.closed && p->server.closed);
	loop_for(p->io, 2);
	assert_int_equal(p->client.closed, 1);
	assert_int_equal(p->server.closed, 1);
}

static void close_both(struct ends *p)
{
	if (p->client.stream)
		io_stream_close(p->client.stream);
	if (p->server.stream)
		io_stream_close(p->server.stream);
	join_closed(p);
}

/* ---------------------------------------------------------------- octets both ways */

static void echo(struct end *e, struct text bytes)
{
	io_stream_write(e->stream, &bytes, 1);
}

static void octets_go_both_ways(void **state)
{
	struct ends *p = *state;

	p->server.on_data = echo;
	ends_join(p);
	end_write(&p->client, "EHLO there\r\n");
	LOOP_UNTIL(p->io, p->client.got.len == 12);
	assert_text(end_got(&p->client), "EHLO there\r\n");
	close_both(p);
	assert_int_equal(p->client.why, ERR_OK);
	assert_int_equal(p->server.why, ERR_OK);
}

static void pieces_leave_in_order_also_many_and_empty_ones(void **state)
{
	struct ends *p = *state;
	struct text pieces[300];

	for (unsigned i = 0; i < 300; i++)
		pieces[i] = i % 3 == 0 ? TEXT_EMPTY : text_of("abcdefghij" + i % 10, 1);
	ends_join(p);
	io_stream_write(p->client.stream, pieces, 300);
	io_stream_write(p->client.stream, pieces, 0);
	io_stream_write(p->client.stream, pieces, 1);
	LOOP_UNTIL(p->io, p->server.got.len == 200);
	for (unsigned i = 0, at = 0; i < 300; i++) {
		if (pieces[i].len)
			assert_int_equal(p->server.got.at[at++], *pieces[i].at);
	}
	assert_int_equal(p->client.drained, 0);
	close_both(p);
}

static void addresses_of_both_ends_fit(void **state)
{
	struct ends *p = *state;

	ends_join(p);
	const struct ip_port *a = &io_stream_local(p->client.stream)->ip, *b = &io_stream_peer(p->server.stream)->ip;
	const struct ip_port *c = &io_stream_peer(p->client.stream)->ip, *d = &io_stream_local(p->server.stream)->ip;

	assert_true(ip_eq(a->ip, b->ip) && a->port == b->port && a->port != 0);
	assert_true(ip_eq(c->ip, d->ip) && c->port == d->port && d->port != 0);
	assert_true(ip_is_loopback(a->ip));
	assert_int_equal(io_stream_peer(p->server.stream)->peer_uid, UINT32_MAX);
	assert_ptr_equal(io_stream_io(p->client.stream), p->io);
	close_both(p);
}

/* ---------------------------------------------------------------- kept octets */

static void what_is_not_taken_comes_again_in_front(void **state)
{
	struct ends *p = *state;

	p->server.take = 0;
	ends_join(p);
	end_write(&p->client, "one");
	LOOP_UNTIL(p->io, p->server.offered == 3);
	end_write(&p->client, "two");
	LOOP_UNTIL(p->io, p->server.offered == 6);
	p->server.take = 4;
	end_write(&p->client, "three");
	LOOP_UNTIL(p->io, p->server.got.len > 0);
	assert_int_equal(p->server.offered, 11);
	p->server.take = SIZE_MAX;
	end_write(&p->client, ".");
	LOOP_UNTIL(p->io, p->server.got.len == 12);
	assert_text(end_got(&p->server), "onetwothree.");
	close_both(p);
}

/* Takes whole lines only. */
static void take_lines(struct end *e, struct text bytes)
{
	size_t end = text_find_last_octet(bytes, '\n');

	e->take = end == bytes.len ? 0 : end + 1;
}

static void lines_arrive_whole_wherever_they_are_split(void **state)
{
	static const char input[] = "MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.org>\r\n";
	struct ends *p = *state;

	p->server.on_data = take_lines;
	ends_join(p);
	for (size_t first = 1; first < sizeof(input) - 1; first++) {
		for (size_t second = first; second < sizeof(input) - 1; second += 7) {
			struct text part = text_of(input, first);

			buf_reset(&p->server.got);
			io_stream_write(p->client.stream, &part, 1);
			loop_for(p->io, 0);
			part = text_of(input + first, second - first);
			io_stream_write(p->client.stream, &part, 1);
			loop_for(p->io, 0);
			part = text_from(input + second);
			io_stream_write(p->client.stream, &part, 1);
			LOOP_UNTIL(p->io, p->server.got.len == sizeof(input) - 1);
			assert_memory_equal(p->server.got.at, input, sizeof(input) - 1);
		}
	}
	close_both(p);
}

static void to_leave_too_much_ends_the_stream(void **state)
{
	struct ends *p = *state;

	p->server.take = 0;
	ends_join(p);
	end_write_many(&p->client, 'x', IO_KEEP_BYTES);
	LOOP_UNTIL(p->io, p->server.offered == IO_KEEP_BYTES);
	loop_for(p->io, 5);
	assert_int_equal(p->server.closed, 0);
	end_write(&p->client, "y");
	LOOP_UNTIL(p->io, p->server.closed);
	assert_int_equal(p->server.why, ERR_TOO_BIG);
	close_both(p);
}

static void discarding_inside_on_data_forgets_what_the_call_leaves(void **state)
{
	struct ends *p = *state;

	p->server.take = 10;
	p->server.discard_in_data = true;
	ends_join(p);
	end_write(&p->client, "STARTTLS\r\nMAIL FROM:<evil@example.org>\r\n");
	LOOP_UNTIL(p->io, p->server.calls == 1);
	p->server.discard_in_data = false;
	end_write(&p->client, "later");
	LOOP_UNTIL(p->io, p->server.got.len == 15);
	assert_text(end_got(&p->server), "STARTTLS\r\nlater");
	close_both(p);
}

static void discarding_later_forgets_what_was_kept(void **state)
{
	struct ends *p = *state;

	p->server.take = 2;
	ends_join(p);
	end_write(&p->client, "abcdef");
	LOOP_UNTIL(p->io, p->server.calls == 1);
	assert_int_equal(io_stream_discard_kept(p->server.stream), 4);
	assert_int_equal(io_stream_discard_kept(p->server.stream), 0);
	end_write(&p->client, "gh");
	LOOP_UNTIL(p->io, p->server.got.len == 4);
	assert_text(end_got(&p->server), "abgh");
	close_both(p);
}

/* ---------------------------------------------------------------- pause */

static void nothing_is_offered_while_paused(void **state)
{
	struct ends *p = *state;

	ends_join(p);
	io_stream_pause(p->server.stream);
	end_write(&p->client, "now");
	loop_for(p->io, 20);
	end_write(&p->client, " and then");
	loop_for(p->io, 20);
	assert_int_equal(p->server.calls, 0);
	io_stream_resume(p->server.stream);
	assert_int_equal(p->server.calls, 0);
	LOOP_UNTIL(p->io, p->server.got.len == 12);
	assert_text(end_got(&p->server), "now and then");
	close_both(p);
}

static void a_paused_stream_reads_a_little_at_most(void **state)
{
	struct ends *p = *state;

	ends_join(p);
	io_stream_pause(p->server.stream);
	for (unsigned i = 0; i < 500; i++)
		end_write_many(&p->client, 'x', 65536);
	loop_for(p->io, 50);
	assert_true(io_stream_unsent(p->client.stream) > 10u << 20);
	assert_in_range(io_stream_discard_kept(p->server.stream), 1, 8192);
	close_both(p);
}

static void what_a_pausing_call_leaves_is_kept_however_much(void **state)
{
	struct ends *p = *state;

	p->server.take = 1;
	p->server.pause_in_data = true;
	ends_join(p);
	io_stream_pause(p->server.stream);
	end_write_many(&p->client, 'x', 200000);
	LOOP_UNTIL(p->io, io_stream_unsent(p->client.stream) == 0);
	for (unsigned i = 0; i < 20; i++) {
		unsigned calls = p->server.calls;

		if (i == 19) {
			p->server.take = SIZE_MAX;
			p->server.pause_in_data = false;
		}
		io_stream_resume(p->server.stream);
		LOOP_UNTIL(p->io, p->server.calls > calls);
		loop_for(p->io, 1);
		if (i < 19)
			assert_int_equal(p->server.calls, calls + 1);
	}
	LOOP_UNTIL(p->io, p->server.got.len == 200000);
	assert_true(p->server.offered <= IO_READ_BYTES);
	close_both(p);
}

static void pause_and_resume_in_data(struct end *e, struct text bytes)
{
	(void)bytes;
	io_stream_pause(e->stream);
	io_stream_resume(e->stream);
}

static void resuming_inside_on_data_offers_again_without_new_octets(void **state)
{
	struct ends *p = *state;

	p->server.take = 1;
	p->server.on_data = pause_and_resume_in_data;
	ends_join(p);
	end_write(&p->client, "abcdef");
	LOOP_UNTIL(p->io, p->server.got.len == 6);
	assert_text(end_got(&p->server), "abcdef");
	assert_int_equal(p->server.calls, 6);
	close_both(p);
}

static void the_end_of_the_peer_waits_for_what_is_kept(void **state)
{
	struct ends *p = *state;

	p->server.take = 3;
	p->server.pause_in_data = true;
	ends_join(p);
	end_write(&p->client, "abcdef");
	io_stream_finish(p->client.stream);
	loop_for(p->io, 30);
	assert_text(end_got(&p->server), "abc");
	assert_int_equal(p->server.eofs, 0);
	p->server.pause_in_data = false;
	io_stream_resume(p->server.stream);
	LOOP_UNTIL(p->io, p->server.eofs == 1);
	assert_text(end_got(&p->server), "abcdef");
	end_write(&p->server, "still here");
	close_both(p);
	assert_int_equal(p->server.eofs, 1);
}

static void an_end_behind_an_unfinished_line_is_heard(void **state)
{
	struct ends *p = *state;

	p->server.take = 0;
	ends_join(p);
	end_write(&p->client, "QUI");
	io_stream_finish(p->client.stream);
	LOOP_UNTIL(p->io, p->server.eofs == 1);
	assert_int_equal(p->server.offered, 3);
	close_both(p);
}

/* ---------------------------------------------------------------- much to write */

static void what_the_kernel_does_not_take_is_kept_and_drains(void **state)
{
	struct ends *p = *state;
	size_t total = 0;

	ends_join(p);
	for (unsigned i = 0; i < 200; i++) {
		end_write_many(&p->client, (char)('a' + i % 26), 50000 + i);
		total += 50000 + i;
	}
	assert_true(io_stream_unsent(p->client.stream) > 0);
	LOOP_UNTIL(p->io, p->server.got.len == total);
	LOOP_UNTIL(p->io, p->client.drained == 1);
	assert_int_equal(io_stream_unsent(p->client.stream), 0);
	for (size_t i = 0, at = 0; i < 200; at += 50000 + i, i++) {
		assert_int_equal(p->server.got.at[at], 'a' + i % 26);
		assert_int_equal(p->server.got.at[at + 50000 + i - 1], 'a' + i % 26);
	}
	close_both(p);
}

static void write_more(struct end *e)
{
	if (e->drained && e->drained < 5 && !e->closed && io_stream_unsent(e->stream) == 0)
		end_write_many(e, 'z', 8 << 20);
}

static void a_writer_can_go_on_from_on_drained(void **state)
{
	struct ends *p = *state;

	p->client.on_event = write_more;
	ends_join(p);
	end_write_many(&p->client, 'z', 8 << 20);
	LOOP_UNTIL(p->io, p->client.drained == 5);
	LOOP_UNTIL(p->io, p->server.got.len == 5u * (8 << 20));
	close_both(p);
}

/* ---------------------------------------------------------------- ends */

static void finish_sends_all_and_then_closes(void **state)
{
	struct ends *p = *state;

	ends_join(p);
	io_stream_pause(p->server.stream);
	end_write_many(&p->client, 'x', 20 << 20);
	io_stream_finish(p->client.stream);
	assert_true(io_stream_is_closing(p->client.stream));
	end_write(&p->client, "not this");
	loop_for(p->io, 20);
	assert_int_equal(p->client.closed, 0);
	io_stream_resume(p->server.stream);
	LOOP_UNTIL(p->io, p->server.eofs == 1);
	assert_int_equal(p->server.got.len, 20 << 20);
	io_stream_close(p->server.stream);
	join_closed(p);
	assert_int_equal(p->client.why, ERR_OK);
	assert_int_equal(p->client.drained, 0);
}

static void finish_with_nothing_unsent_ends_when_the_peer_does(void **state)
{
	struct ends *p = *state;
	uint64_t before;

	ends_join(p);
	before = io_clock_us(p->io);
	io_stream_finish(p->client.stream);
	LOOP_UNTIL(p->io, p->server.eofs == 1);
	assert_int_equal(p->client.closed, 0);
	io_stream_close(p->server.stream);
	join_closed(p);
	assert_int_equal(p->client.why, ERR_OK);
	assert_true(io_clock_us(p->io) - before < 900000);
}

static void finish_waits_a_second_for_the_peer_and_no_longer(void **state)
{
	struct ends *p = *state;
	uint64_t before;

	ends_join(p);
	before = io_clock_us(p->io);
	io_stream_finish(p->client.stream);
	LOOP_UNTIL(p->io, p->client.closed == 1);
	assert_in_range(io_clock_us(p->io) - before, 900000, 3000000);
	assert_int_equal(p->client.why, ERR_OK);
	close_both(p);
}

/* Without reading on, the kernel would answer these octets with RST and throw the reply away. */
static void a_last_reply_arrives_though_the_peer_goes_on_sending(void **state)
{
	struct ends *p = *state;

	p->server.pause_in_data = true;
	ends_join(p);
	end_write_many(&p->client, 'x', 3 << 20);
	LOOP_UNTIL(p->io, p->server.calls == 1);
	end_write(&p->server, "421 too much\r\n");
	io_stream_finish(p->server.stream);
	end_write_many(&p->client, 'x', 3 << 20);
	LOOP_UNTIL(p->io, p->client.eofs == 1);
	assert_text(end_got(&p->client), "421 too much\r\n");
	close_both(p);
	assert_int_equal(p->server.why, ERR_OK);
	assert_int_equal(p->server.calls, 1);
}

static void finish_towards_a_peer_that_does_not_read_gives_up(void **state)
{
	struct ends *p = *state;
	uint64_t before;

	ends_join(p);
	io_stream_pause(p->server.stream);
	end_write_many(&p->client, 'x', 20 << 20);
	before = io_clock_us(p->io);
	io_stream_finish(p->client.stream);
	while (!p->client.closed && io_clock_us(p->io) - before < 14000000)
		loop_for(p->io, 50);
	assert_int_equal(p->client.closed, 1);
	assert_in_range(io_clock_us(p->io) - before, 9900000, 12000000);
	assert_int_equal(p->client.why, ERR_TIMEOUT);
	close_both(p);
}

static void finish_ends_at_once_when_the_peer_is_dead(void **state)
{
	struct ends *p = *state;

	ends_join(p);
	io_stream_pause(p->server.stream);
	end_write_many(&p->client, 'x', 20 << 20);
	io_stream_finish(p->client.stream);
	loop_for(p->io, 5);
	io_stream_close(p->server.stream);      /* with octets unread: RST */
	join_closed(p);
	assert_int_equal(p->client.why, ERR_CLOSED);
}

static void closing_inside_on_data_is_the_last_word(void **state)
{
	struct ends *p = *state;

	p->server.close_in_data = true;
	p->server.take = 1;
	ends_join(p);
	end_write(&p->client, "abc");
	LOOP_UNTIL(p->io, p->server.closed == 1);
	assert_int_equal(p->server.calls, 1);
	assert_int_equal(p->server.why, ERR_OK);
	close_both(p);
}

static void finishing_inside_on_data_is_the_last_word(void **state)
{
	struct ends *p = *state;

	p->server.finish_in_data = true;
	ends_join(p);
	end_write(&p->client, "QUIT\r\n");
	LOOP_UNTIL(p->io, p->client.eofs == 1);
	end_write(&p->client, "one more");
	loop_for(p->io, 5);
	io_stream_close(p->client.stream);
	join_closed(p);
	assert_int_equal(p->server.calls, 1);
	assert_int_equal(p->server.eofs, 0);
	assert_int_equal(p->server.why, ERR_OK);
}

static void closing_inside_on_data_of_kept_octets_is_safe(void **state)
{
	struct ends *p = *state;

	p->server.take = 0;
	p->server.pause_in_data = true;
	ends_join(p);
	end_write(&p->client, "abc");
	LOOP_UNTIL(p->io, p->server.calls == 1);
	p->server.close_in_data = true;
	p->server.take = 3;
	io_stream_resume(p->server.stream);
	LOOP_UNTIL(p->io, p->server.closed == 1);
	assert_text(end_got(&p->server), "abc");
	close_both(p);
}

static void on_closed_never_comes_from_inside_a_call(void **state)
{
	struct ends *p = *state;

	ends_join(p);
	io_stream_close(p->client.stream);
	io_stream_close(p->client.stream);
	io_stream_finish(p->client.stream);
	io_stream_pause(p->client.stream);
	io_stream_resume(p->client.stream);
	end_write(&p->client, "nothing");
	assert_int_equal(p->client.closed, 0);
	LOOP_UNTIL(p->io, p->client.closed == 1);
	close_both(p);
}

static void closing_inside_on_connected(void **state)
{
	struct ends *p = *state;

	p->client.close_when_connected = true;
	ends_connect(p);
	LOOP_UNTIL(p->io, p->client.closed == 1 && p->accepted == 1);
	assert_int_equal(p->client.connected, 1);
	close_both(p);
}

static void closing_before_it_is_connected(void **state)
{
	struct ends *p = *state;

	ends_connect(p);
	io_stream_close(p->client.stream);
	LOOP_UNTIL(p->io, p->client.closed == 1);
	assert_int_equal(p->client.connected, 0);
	assert_int_equal(p->client.why, ERR_OK);
	loop_for(p->io, 5);
	if (p->server.stream)
		close_both(p);
}

static void finishing_before_it_is_connected(void **state)
{
	struct ends *p = *state;

	ends_connect(p);
	io_stream_finish(p->client.stream);
	LOOP_UNTIL(p->io, p->client.closed == 1);
	assert_int_equal(p->client.connected, 0);
	loop_for(p->io, 5);
	if (p->server.stream)
		close_both(p);
}

static void closing_inside_on_accept(void **state)
{
	struct ends *p = *state;

	p->close_when_accepted = true;
	ends_connect(p);
	LOOP_UNTIL(p->io, p->client.eofs == 1 || p->client.closed == 1);
	assert_int_equal(p->accepted, 1);
	if (p->client.stream)
		io_stream_close(p->client.stream);
	LOOP_UNTIL(p->io, p->client.closed == 1);
}

static void a_stream_that_nobody_attaches_is_closed(void **state)
{
	struct ends *p = *state;

	p->forget_when_accepted = true;
	ends_connect(p);
	LOOP_UNTIL(p->io, p->client.eofs == 1 || p->client.closed == 1);
	if (p->client.stream)
		io_stream_close(p->client.stream);
	LOOP_UNTIL(p->io, p->client.closed == 1);
}

static void a_reset_by_the_peer_closes(void **state)
{
	struct ends *p = *state;

	ends_join(p);
	io_stream_pause(p->server.stream);
	end_write(&p->client, "unread");
	loop_for(p->io, 5);
	end_write(&p->client, "unread too");
	loop_for(p->io, 5);
	io_stream_close(p->server.stream);
	LOOP_UNTIL(p->io, p->client.closed == 1);
	assert_int_equal(p->client.why, ERR_CLOSED);
	assert_int_equal(p->client.eofs, 0);
}

/* A peer that says 421 and is gone before we write: the write fails, the 421 must not be lost. */
static void what_the_peer_said_before_it_broke_is_still_read(void **state)
{
	struct ends *p = *state;

	ends_join(p);
	io_stream_pause(p->client.stream);
	end_write(&p->server, "4");
	loop_for(p->io, 5);
	end_write(&p->server, "21 bye\r\n");
	io_stream_close(p->server.stream);
	loop_for(p->io, 5);
	end_write(&p->client, "first");      /* answered by RST */
	loop_for(p->io, 5);
	io_stream_resume(p->client.stream);
	end_write(&p->client, "second");
	LOOP_UNTIL(p->io, p->client.closed == 1);
	assert_text(end_got(&p->client), "421 bye\r\n");
	assert_int_equal(p->client.why, ERR_CLOSED);
}

static void a_write_to_a_dead_peer_ends_in_a_later_turn(void **state)
{
	struct ends *p = *state;

	ends_join(p);
	io_stream_pause(p->client.stream);
	io_stream_close(p->server.stream);
	loop_for(p->io, 5);
	for (unsigned i = 0; i < 10 && !p->client.closed; i++) {
		end_write(&p->client, "hello?");
		end_write(&p->client, "hello?");
		assert_int_equal(p->client.closed, 0);
		loop_for(p->io, 1);
		if (!p->client.stream)
			break;
	}
	LOOP_UNTIL(p->io, p->client.closed == 1);
	assert_int_equal(p->client.why, ERR_CLOSED);
}

static void nobody_listening_is_refused(void **state)
{
	struct ends *p = *state;
	struct io_address gone = *io_listener_address(p->listener);

	io_listener_close(&p->listener);
	loop_for(p->io, 1);
	assert_int_equal(io_connect(p->io, &gone, NULL, &end_events, &p->client, &p->client.stream), ERR_OK);
	assert_int_equal(p->client.closed, 0);
	LOOP_UNTIL(p->io, p->client.closed == 1);
	assert_int_equal(p->client.connected, 0);
	assert_int_equal(p->client.why, ERR_REFUSED);
}

static void connecting_from_a_source_address(void **state)
{
	struct ends *p = *state;
	struct ip source = ip_from_v4(0x7f00000b);

	assert_int_equal(io_connect(p->io, io_listener_address(p->listener), &source, &end_events, &p->client,
	                            &p->client.stream), ERR_OK);
	LOOP_UNTIL(p->io, p->client.connected && p->server.stream);
	assert_true(ip_eq(io_stream_peer(p->server.stream)->ip.ip, source));
	close_both(p);
}

static void a_source_address_that_is_not_ours_starts_nothing(void **state)
{
	struct ends *p = *state;
	struct ip source = ip_from_v4(0xc0000201);      /* 192.0.2.1 */

	assert_int_equal(io_connect(p->io, io_listener_address(p->listener), &source, &end_events, &p->client,
	                            &p->client.stream), ERR_UNREACHABLE);
	loop_for(p->io, 5);
	assert_int_equal(p->client.closed, 0);
}

static void freeing_the_world_tells_open_streams(void **state)
{
	struct ends *p = *state;

	ends_join(p);
	end_write_many(&p->client, 'x', 30 << 20);
	io_listener_close(&p->listener);
	io_uv_free(&p->io);
	assert_int_equal(p->client.closed, 1);
	assert_int_equal(p->server.closed, 1);
	assert_int_equal(p->client.why, ERR_CANCELLED);
}

static void over_the_descriptor_budget_connecting_is_refused(void **state)
{
	struct io_uv_options options = { .max_descriptors = 2 };
	struct ends *p = *state;
	struct end a, b;

	io_listener_close(&p->listener);
	io_uv_free(&p->io);
	assert_int_equal(io_uv_new(&options, &p->io), ERR_OK);
	assert_int_equal(io_uv_max_descriptors(p->io), 2);
	end_init(&a, p->io);
	end_init(&b, p->io);
	struct io_address to = { .ip = { .ip = ip_from_v4(0x7f000001), .port = 1 } };

	assert_int_equal(io_connect(p->io, &to, NULL, &end_events, &a, &a.stream), ERR_OK);
	assert_int_equal(io_connect(p->io, &to, NULL, &end_events, &b, &b.stream), ERR_OK);
	assert_int_equal(io_connect(p->io, &to, NULL, &end_events, &p->client, &p->client.stream), ERR_BUSY);
	LOOP_UNTIL(p->io, a.closed && b.closed);
	assert_int_equal(io_connect(p->io, &to, NULL, &end_events, &p->client, &p->client.stream), ERR_OK);
	LOOP_UNTIL(p->io, p->client.closed);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(octets_go_both_ways),
		TEST(pieces_leave_in_order_also_many_and_empty_ones),
		TEST(addresses_of_both_ends_fit),
		TEST(what_is_not_taken_comes_again_in_front),
		TEST(lines_arrive_whole_wherever_they_are_split),
		TEST(to_leave_too_much_ends_the_stream),
		TEST(discarding_inside_on_data_forgets_what_the_call_leaves),
		TEST(discarding_later_forgets_what_was_kept),
		TEST(nothing_is_offered_while_paused),
		TEST(a_paused_stream_reads_a_little_at_most),
		TEST(what_a_pausing_call_leaves_is_kept_however_much),
		TEST(resuming_inside_on_data_offers_again_without_new_octets),
		TEST(the_end_of_the_peer_waits_for_what_is_kept),
		TEST(an_end_behind_an_unfinished_line_is_heard),
		TEST(what_the_kernel_does_not_take_is_kept_and_drains),
		TEST(a_writer_can_go_on_from_on_drained),
		TEST(finish_sends_all_and_then_closes),
		TEST(finish_with_nothing_unsent_ends_when_the_peer_does),
		TEST(finish_waits_a_second_for_the_peer_and_no_longer),
		TEST(a_last_reply_arrives_though_the_peer_goes_on_sending),
		TEST(finish_towards_a_peer_that_does_not_read_gives_up),
		TEST(finish_ends_at_once_when_the_peer_is_dead),
		TEST(closing_inside_on_data_is_the_last_word),
		TEST(finishing_inside_on_data_is_the_last_word),
		TEST(closing_inside_on_data_of_kept_octets_is_safe),
		TEST(on_closed_never_comes_from_inside_a_call),
		TEST(closing_inside_on_connected),
		TEST(closing_before_it_is_connected),
		TEST(finishing_before_it_is_connected),
		TEST(closing_inside_on_accept),
		TEST(a_stream_that_nobody_attaches_is_closed),
		TEST(a_reset_by_the_peer_closes),
		TEST(what_the_peer_said_before_it_broke_is_still_read),
		TEST(a_write_to_a_dead_peer_ends_in_a_later_turn),
		TEST(nobody_listening_is_refused),
		TEST(connecting_from_a_source_address),
		TEST(a_source_address_that_is_not_ours_starts_nothing),
		TEST(freeing_the_world_tells_open_streams),
		TEST(over_the_descriptor_budget_connecting_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
