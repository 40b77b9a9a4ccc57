#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <postrider/base/auto.h>

#include "session.h"
#include "support/alloc.h"

#define NOON INT64_C(1767355445678) /* Fri, 2 Jan 2026 12:04:05 */

/* A connection without a wire: what the session says is kept, what the handler hears is written down. */
struct fixture {
	struct http_session session;
	struct buf out;
	struct buf heard; /* "POST /x|body:abc|end|" */
	struct http_exchange *x;
	bool finished;
	unsigned pauses, resumes;
	size_t unsent;
	enum { ANSWER_AT_ONCE, ANSWER_AT_END, ANSWER_LATER, REFUSE_EARLY, PAUSE_BODY } manner;
};

static void out_write(void *owner, const struct text *pieces, size_t count)
{
	struct fixture *f = owner;

	assert_false(f->finished);
	for (size_t i = 0; i < count; i++)
		buf_add(&f->out, pieces[i]);
}

static size_t out_unsent(void *owner)
{
	return ((struct fixture *)owner)->unsent;
}

static void out_pause(void *owner)
{
	((struct fixture *)owner)->pauses++;
}

static void out_resume(void *owner)
{
	((struct fixture *)owner)->resumes++;
}

static void out_finish(void *owner)
{
	struct fixture *f = owner;

	assert_false(f->finished);
	f->finished = true;
}

static int64_t out_now(void *owner)
{
	(void)owner;
	return NOON;
}

static void heard_body(void *owner, struct text piece)
{
	struct fixture *f = owner;

	buf_add(&f->heard, TEXT("body:"));
	buf_add(&f->heard, piece);
	buf_add_octet(&f->heard, '|');
	if (f->manner == PAUSE_BODY)
		http_pause(f->x);
}

static void heard_end(void *owner)
{
	struct fixture *f = owner;

	buf_add(&f->heard, TEXT("end|"));
	if (f->manner == ANSWER_AT_END)
		http_respond(f->x, 200, HTTP_TEXT, TEXT("done"));
}

static void heard_room(void *owner)
{
	buf_add(&((struct fixture *)owner)->heard, TEXT("room|"));
}

static void heard_gone(void *owner)
{
	struct fixture *f = owner;

	buf_add(&f->heard, TEXT("gone|"));
	f->x = NULL;
}

static const struct http_exchange_events exchange_events = {
	.on_body = heard_body,
	.on_end = heard_end,
	.on_room = heard_room,
	.on_gone = heard_gone,
};

static void out_request(void *owner, struct http_exchange *x)
{
	struct fixture *f = owner;

	f->x = x;
	buf_add(&f->heard, http_method(x));
	buf_add_octet(&f->heard, ' ');
	buf_add(&f->heard, http_target(x));
	buf_add_octet(&f->heard, '|');
	if (f->manner == ANSWER_AT_ONCE)
		http_respond(x, 200, HTTP_TEXT, TEXT("hello"));
	else if (f->manner == REFUSE_EARLY)
		http_respond_problem(x, 403, "Forbidden", TEXT("not you"), TEXT("ask somebody"));
	else
		http_attach(x, &exchange_events, f);
}

static const struct http_session_outputs outputs = {
	.write = out_write,
	.unsent = out_unsent,
	.pause = out_pause,
	.resume = out_resume,
	.finish = out_finish,
	.now_time = out_now,
	.on_request = out_request,
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	buf_init(&f->out, 1 << 20);
	buf_init(&f->heard, 4 << 20);
	assert_int_equal(http_session_init(&f->session, &outputs, f), ERR_OK);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	http_session_fini(&f->session);
	buf_fini(&f->out);
	buf_fini(&f->heard);
	free(f);
	return 0;
}

static const char *text_of_buf(struct buf *b)
{
	buf_add_octet(b, '\0');
	buf_cut(b, b->len - 1);
	return b->at;
}

#define assert_heard(f, what) assert_string_equal(text_of_buf(&(f)->heard), what)
#define assert_said(f, what) assert_non_null(strstr(text_of_buf(&(f)->out), what))
#define assert_not_said(f, what) assert_null(strstr(text_of_buf(&(f)->out), what))

/* As a stream does: what is not taken is offered again, as long as somebody takes something. */
static void feed(struct fixture *f, const char *octets)
{
	struct text rest = text_from(octets);

	while (rest.len > 0) {
		size_t taken = http_session_feed(&f->session, rest);

		if (taken == 0)
			return;
		rest = text_skip(rest, taken);
	}
}

static unsigned count_of(struct buf *b, const char *needle)
{
	unsigned count = 0;

	for (const char *p = text_of_buf(b); (p = strstr(p, needle)); p++)
		count++;
	return count;
}

static void a_get_is_answered_and_the_connection_stays(void **state)
{
	struct fixture *f = *state;

	feed(f, "GET /v1/version?a=b HTTP/1.1\r\nHost: x\r\n\r\n");
	assert_heard(f, "GET /v1/version?a=b|");
	assert_string_equal(text_of_buf(&f->out),
	                    "HTTP/1.1 200 OK\r\nDate: Fri, 02 Jan 2026 12:04:05 GMT\r\n"
	                    "Content-Type: text/plain; charset=utf-8\r\nCache-Control: no-store\r\n"
	                    "X-Content-Type-Options: nosniff\r\nContent-Length: 5\r\n\r\nhello");
	assert_false(f->finished);
	assert_true(http_session_is_idle(&f->session));
}

static void requests_cut_anywhere_are_the_same(void **state)
{
	struct fixture *f = *state;
	const char *request = "POST /m HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc";

	f->manner = ANSWER_AT_END;
	for (const char *p = request; *p; p++)
		assert_int_equal(http_session_feed(&f->session, text_of(p, 1)), 1);
	assert_heard(f, "POST /m|body:a|body:b|body:c|end|");
	assert_said(f, "\r\n\r\ndone");
}

static void pipelined_requests_are_answered_in_turn(void **state)
{
	struct fixture *f = *state;

	feed(f, "GET /1 HTTP/1.1\r\nHost: x\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
	assert_heard(f, "GET /1|GET /2|");
	assert_int_equal(count_of(&f->out, "HTTP/1.1 200 OK"), 2);
	assert_int_equal(count_of(&f->out, "Connection: close"), 1);
	assert_true(f->finished);
}

static void the_next_request_waits_for_the_response_before(void **state)
{
	struct fixture *f = *state;
	struct text second = TEXT("GET /2 HTTP/1.1\r\nHost: x\r\n\r\n");

	f->manner = ANSWER_LATER;
	feed(f, "GET /1 HTTP/1.1\r\nHost: x\r\n\r\n");
	assert_int_equal(f->pauses, 1);
	assert_int_equal(http_session_feed(&f->session, second), 0);
	assert_heard(f, "GET /1|end|");
	assert_false(http_session_awaits_peer(&f->session));
	http_respond(f->x, 204, TEXT_EMPTY, TEXT_EMPTY);
	assert_int_equal(f->resumes, 1);
	assert_int_equal(http_session_feed(&f->session, second), second.len);
	assert_heard(f, "GET /1|end|GET /2|end|");
	assert_not_said(f, "Content-Length");
}

static void a_chunked_body_arrives_whole(void **state)
{
	struct fixture *f = *state;

	f->manner = ANSWER_AT_END;
	feed(f, "POST /m HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
	        "3;ext=1\r\nabc\r\n2\r\nde\r\n0\r\nTrailer: x\r\n\r\n");
	assert_heard(f, "POST /m|body:abc|body:de|end|");
	assert_false(f->finished);
}

static void a_response_in_pieces_is_chunked(void **state)
{
	struct fixture *f = *state;

	f->manner = ANSWER_LATER;
	feed(f, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
	http_put_header(f->x, TEXT("X-Count"), TEXT("2"));
	http_begin(f->x, 200, HTTP_JSON_LINES);
	http_add(f->x, TEXT("{}\n"));
	http_add(f->x, TEXT_EMPTY);
	f->unsent = 3;
	assert_int_equal(http_unsent(f->x), 3);
	http_session_drained(&f->session);
	http_add(f->x, TEXT("0123456789abcdef"));
	http_end(f->x);
	assert_said(
		f,
		"X-Count: 2\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{}\n\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n");
	assert_heard(f, "GET /|end|room|");
	assert_false(f->finished);
}

static void http_1_0_gets_no_chunks_and_the_end_of_the_connection(void **state)
{
	struct fixture *f = *state;

	f->manner = ANSWER_LATER;
	feed(f, "GET / HTTP/1.0\r\n\r\n");
	http_begin(f->x, 200, HTTP_TEXT);
	http_add(f->x, TEXT("abc"));
	http_end(f->x);
	assert_said(f, "Connection: close\r\n\r\nabc");
	assert_not_said(f, "chunked");
	assert_true(f->finished);
}

static void head_gets_no_body(void **state)
{
	struct fixture *f = *state;

	feed(f, "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n");
	assert_said(f, "Content-Length: 5\r\n\r\n");
	assert_not_said(f, "hello");
}

static void a_peer_that_goes_is_told_to_the_handler_once(void **state)
{
	struct fixture *f = *state;

	f->manner = ANSWER_LATER;
	feed(f, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc");
	http_session_eof(&f->session);
	assert_heard(f, "POST /|body:abc|gone|");
	assert_true(f->finished);
	http_session_fini(&f->session);
	assert_heard(f, "POST /|body:abc|gone|");
	assert_int_equal(http_session_init(&f->session, &outputs, f), ERR_OK);
}

static void a_half_closed_peer_still_gets_its_response(void **state)
{
	struct fixture *f = *state;

	f->manner = ANSWER_LATER;
	feed(f, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
	http_session_eof(&f->session);
	assert_false(f->finished);
	http_respond(f->x, 200, HTTP_TEXT, TEXT("late"));
	assert_said(f, "Connection: close\r\n\r\nlate");
	assert_true(f->finished);
}

static void a_refused_body_is_thrown_away_and_the_connection_stays(void **state)
{
	struct fixture *f = *state;

	f->manner = REFUSE_EARLY;
	feed(f,
	     "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabcGET /2 HTTP/1.1\r\nHost: x\r\n\r\n");
	assert_heard(f, "POST /|GET /2|");
	assert_said(f,
	            "{\"type\":\"about:blank\",\"title\":\"Forbidden\",\"status\":403,\"detail\":\"not you\","
	            "\"next\":\"ask somebody\"}\n");
	assert_false(f->finished);
}

static void a_refused_body_too_long_to_throw_away_ends_the_connection(void **state)
{
	struct fixture *f = *state;
	char *some = malloc(100001);

	f->manner = REFUSE_EARLY;
	memset(some, 'x', 100000);
	some[100000] = '\0';
	feed(f, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffff\r\n");
	for (int i = 0; i < 11; i++)
		feed(f, some);
	assert_true(f->finished);
	assert_said(f, "Connection: close");
	free(some);
}

static void a_body_that_waits_for_a_100_is_not_waited_for(void **state)
{
	struct fixture *f = *state;

	f->manner = REFUSE_EARLY;
	feed(f, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
	assert_true(f->finished);
	assert_not_said(f, "100 Continue");
}

static void an_attached_handler_asks_for_the_body(void **state)
{
	struct fixture *f = *state;

	f->manner = ANSWER_AT_END;
	feed(f, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
	assert_string_equal(text_of_buf(&f->out), "HTTP/1.1 100 Continue\r\n\r\n");
	feed(f, "abc");
	assert_said(f, "HTTP/1.1 200 OK");
	assert_false(f->finished);
}

static void a_paused_body_waits_outside(void **state)
{
	struct fixture *f = *state;

	f->manner = PAUSE_BODY;
	feed(f, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nabc");
	assert_int_equal(f->pauses, 1);
	assert_int_equal(http_session_feed(&f->session, TEXT("def")), 0);
	http_resume(f->x);
	assert_int_equal(f->resumes, 1);
	assert_int_equal(http_session_feed(&f->session, TEXT("def")), 3);
	assert_heard(f, "POST /|body:abc|body:def|end|");
}

static void an_aborted_response_is_seen_as_cut_off(void **state)
{
	struct fixture *f = *state;

	f->manner = ANSWER_LATER;
	feed(f, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
	http_begin(f->x, 200, HTTP_TEXT);
	http_add(f->x, TEXT("abc"));
	http_abort(f->x);
	assert_true(f->finished);
	assert_not_said(f, "\r\n0\r\n");
	assert_heard(f, "GET /|end|");
}

static void a_silent_peer_in_the_middle_gets_408(void **state)
{
	struct fixture *f = *state;

	f->manner = ANSWER_LATER;
	feed(f, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nabc");
	assert_true(http_session_awaits_peer(&f->session));
	http_session_timeout(&f->session);
	assert_said(f, "HTTP/1.1 408 Request Timeout");
	assert_heard(f, "POST /|body:abc|gone|");
	assert_true(f->finished);
}

static void an_idle_connection_just_closes(void **state)
{
	struct fixture *f = *state;

	feed(f, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
	size_t said = f->out.len;

	http_session_timeout(&f->session);
	assert_int_equal(f->out.len, said);
	assert_true(f->finished);
}

static void winding_up_finishes_what_runs(void **state)
{
	struct fixture *f = *state;

	f->manner = ANSWER_LATER;
	feed(f, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
	http_session_wind_up(&f->session);
	assert_false(f->finished);
	http_respond(f->x, 200, HTTP_TEXT, TEXT("last"));
	assert_said(f, "Connection: close\r\n\r\nlast");
	assert_true(f->finished);
}

static const struct {
	const char *name;
	const char *in;
	int status;
} bad_cases[] = {
	{ "not HTTP", "EHLO x\r\n\r\n", 400 },
	{ "no Host", "GET / HTTP/1.1\r\n\r\n", 400 },
	{ "two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400 },
	{ "HTTP/2", "GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505 },
	{ "HTTP/0.9", "GET / HTTP/0.9\r\n\r\n", 505 },
	{ "length and chunks",
	  "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 400 },
	{ "two lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n",
	  400 },
	{ "a negative length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -3\r\n\r\n", 400 },
	{ "a huge length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n",
	  400 },
	{ "a space before the colon", "GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400 },
	{ "a bare LF", "GET / HTTP/1.1\nHost: a\n\n", 400 },
	{ "a control in a field", "GET / HTTP/1.1\r\nHost: a\001\r\n\r\n", 400 },
};

static void what_is_not_http_is_refused_and_ends_the_connection(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(bad_cases); i++) {
		tear_down(state);
		set_up(state);
		struct fixture *f = *state;
		AUTO(buf_fini) struct buf want = BUF(100);

		feed(f, bad_cases[i].in);
		buf_add_format(&want, "HTTP/1.1 %d ", bad_cases[i].status);
		if (!text_starts(buf_text(&f->out), buf_text(&want)) || !f->finished)
			fail_msg("%s: %s", bad_cases[i].name, text_of_buf(&f->out));
		assert_string_equal(text_of_buf(&f->heard), "");
	}
}

static void a_bad_chunk_ends_the_exchange(void **state)
{
	struct fixture *f = *state;

	f->manner = ANSWER_LATER;
	feed(f, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n");
	assert_heard(f, "POST /|body:abc|gone|");
	assert_said(f, "HTTP/1.1 400 ");
	assert_true(f->finished);
}

static void long_heads_are_refused(void **state)
{
	struct fixture *f = *state;

	feed(f, "GET / HTTP/1.1\r\nHost: x\r\n");
	for (int i = 0; i < 2000 && !f->finished; i++)
		feed(f, "X-Long: 0123456789012345678901234567890123456789\r\n");
	assert_said(f, "HTTP/1.1 431 ");
	tear_down(state);
	set_up(state);
	f = *state;
	feed(f, "GET /");
	for (int i = 0; i < 2000 && !f->finished; i++)
		feed(f, "0123456789012345678901234567890123456789");
	assert_said(f, "HTTP/1.1 431 ");
	assert_heard(f, "");
}

static void endless_trailers_are_refused(void **state)
{
	struct fixture *f = *state;

	f->manner = ANSWER_LATER;
	feed(f, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n");
	for (int i = 0; i < 2000 && !f->finished; i++)
		feed(f, "X-Long: 0123456789012345678901234567890123456789\r\n");
	assert_said(f, "HTTP/1.1 413 ");
	assert_heard(f, "POST /|gone|");
}

static void an_empty_field_does_not_swallow_the_next_name(void **state)
{
	struct fixture *f = *state;

	f->manner = ANSWER_LATER;
	feed(f, "GET / HTTP/1.1\r\nX-Empty:\r\nHost: x\r\nX-Last:  a b \r\n\r\n");
	assert_non_null(http_header(f->x, TEXT("x-empty")).at);
	assert_int_equal(http_header(f->x, TEXT("x-empty")).len, 0);
	assert_true(text_eq(http_header(f->x, TEXT("X-LAST")), TEXT("a b")));
	assert_null(http_header(f->x, TEXT("X-None")).at);
}

static void an_upgrade_is_not_taken_up(void **state)
{
	struct fixture *f = *state;

	feed(f,
	     "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\n\r\n");
	assert_heard(f, "GET /|GET /2|");
}

static void queries_are_decoded(void **state)
{
	(void)state;
	struct text rest = TEXT("to=a%40b.example&&flag&x=1+2%2B3&bad=%4&last=%00");
	AUTO(buf_fini) struct buf name = BUF(100), value = BUF(100);

	assert_true(http_query_next(&rest, &name, &value));
	assert_true(text_eq(buf_text(&name), TEXT("to")));
	assert_true(text_eq(buf_text(&value), TEXT("a@b.example")));
	assert_true(http_query_next(&rest, &name, &value));
	assert_true(text_eq(buf_text(&name), TEXT("flag")));
	assert_int_equal(value.len, 0);
	assert_true(http_query_next(&rest, &name, &value));
	assert_true(text_eq(buf_text(&value), TEXT("1 2+3")));
	assert_true(http_query_next(&rest, &name, &value));
	assert_int_equal(buf_err(&value), ERR_SYNTAX);
	assert_true(http_query_next(&rest, &name, &value));
	assert_true(text_eq(buf_text(&value), TEXT("\0")));
	assert_false(http_query_next(&rest, &name, &value));
}

static void what_is_encoded_decodes_to_the_same(void **state)
{
	(void)state;
	char all[256];
	AUTO(buf_fini) struct buf encoded = BUF(1000), decoded = BUF(1000);

	for (int i = 0; i < 256; i++)
		all[i] = (char)i;
	http_add_encoded(&encoded, text_of(all, sizeof(all)));
	assert_int_equal(http_add_decoded(&decoded, buf_text(&encoded), true), ERR_OK);
	assert_true(text_eq(buf_text(&decoded), text_of(all, sizeof(all))));
}

/* Whatever allocation fails: nothing is written after the end, nobody hears of the end twice, nothing leaks. */
static void every_allocation_may_fail(void **state)
{
	tear_down(state);
	for (EACH_ALLOC_FAILING) {
		struct fixture f = { .out = BUF(1 << 20), .heard = BUF(1 << 20), .manner = ANSWER_AT_END };

		if (http_session_init(&f.session, &outputs, &f) == ERR_OK) {
			feed(&f, "POST /m?a=b HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
			         "GET /2 HTTP/1.1\r\nHost: x\r\n\r\n");
			http_session_eof(&f.session);
			assert_true(f.finished);
			http_session_fini(&f.session);
		}
		buf_fini(&f.out);
		buf_fini(&f.heard);
	}
	set_up(state);
}

#define WITH_SESSION(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_SESSION(a_get_is_answered_and_the_connection_stays),
		WITH_SESSION(requests_cut_anywhere_are_the_same),
		WITH_SESSION(pipelined_requests_are_answered_in_turn),
		WITH_SESSION(the_next_request_waits_for_the_response_before),
		WITH_SESSION(a_chunked_body_arrives_whole),
		WITH_SESSION(a_response_in_pieces_is_chunked),
		WITH_SESSION(http_1_0_gets_no_chunks_and_the_end_of_the_connection),
		WITH_SESSION(head_gets_no_body),
		WITH_SESSION(a_peer_that_goes_is_told_to_the_handler_once),
		WITH_SESSION(a_half_closed_peer_still_gets_its_response),
		WITH_SESSION(a_refused_body_is_thrown_away_and_the_connection_stays),
		WITH_SESSION(a_refused_body_too_long_to_throw_away_ends_the_connection),
		WITH_SESSION(a_body_that_waits_for_a_100_is_not_waited_for),
		WITH_SESSION(an_attached_handler_asks_for_the_body),
		WITH_SESSION(a_paused_body_waits_outside),
		WITH_SESSION(an_aborted_response_is_seen_as_cut_off),
		WITH_SESSION(a_silent_peer_in_the_middle_gets_408),
		WITH_SESSION(an_idle_connection_just_closes),
		WITH_SESSION(winding_up_finishes_what_runs),
		WITH_SESSION(what_is_not_http_is_refused_and_ends_the_connection),
		WITH_SESSION(a_bad_chunk_ends_the_exchange),
		WITH_SESSION(long_heads_are_refused),
		WITH_SESSION(endless_trailers_are_refused),
		WITH_SESSION(an_empty_field_does_not_swallow_the_next_name),
		WITH_SESSION(an_upgrade_is_not_taken_up),
		WITH_SESSION(every_allocation_may_fail),
		cmocka_unit_test(queries_are_decoded),
		cmocka_unit_test(what_is_encoded_decodes_to_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
