/* Calls by URL against servers that the test plays, octet by octet, in the simulated world. */
#include <stdio.h>

#include <postrider/base/random.h>
#include <postrider/base/time.h>
#include <postrider/dns.h>
#include <postrider/http/client.h>
#include <postrider/io/uv.h>
#include <postrider/sim.h>
#include <postrider/tls.h>

#include "support/alloc.h"
#include "support/check.h"
#include "support/service_peer.h"

#define NAME_SERVER "10.0.0.53:53"
#define SERVERS 3

static const char zone[] = "web.example. 300 A 192.0.2.1\n"
			   "three.example. 300 A 192.0.2.1\n"
			   "three.example. 300 A 192.0.2.2\n"
			   "three.example. 300 A 192.0.2.3\n"
			   "both.example. 300 A 192.0.2.1\n"
			   "both.example. 300 A 192.0.2.2\n"
			   "both.example. 300 AAAA 2001:db8::1\n"
			   "both.example. 300 AAAA 2001:db8::2\n"
			   "broken.example. SERVFAIL\n"
			   "mute.example. SILENCE\n"
			   "mailonly.example. 300 MX 10 web.example.\n";

struct world {
	struct sim *sim;
	struct io *io;
	struct sim_names *names;
	struct dns *dns;
	struct tls_context *client_tls, *server_tls;
	struct service_peer servers[SERVERS];
	const char *response; /* the whole of it; NULL: silence */
	const char *more;     /* 1 s later */
	struct io_timer later;
	struct service_session *asked; /* the last one */
	bool closes;                   /* behind the response */
	bool with_tls, no_memory_for_response;
	struct buf request;
	unsigned requests;

	struct http_call *call;
	struct http_call_options options; /* for the next one */
	unsigned heads, dones;
	int status;
	char content_type[64], problem[400];
	struct buf body;
	enum err err;
	int64_t done_at;
	enum { NOWHERE, IN_HEAD, IN_BODY } cancel_in;
};

/* ---------------------------------------------------------------- the servers */

static void say_more(void *owner)
{
	struct world *w = owner;

	if (w->asked)
		service_say(w->asked, w->more);
}

static void answer(struct world *w, struct service_session *s)
{
	w->requests++;
	w->asked = s;
	buf_reset(&w->request);
	buf_add(&w->request, buf_text(&s->in));
	buf_reset(&s->in);
	if (w->response)
		service_say(s, w->response);
	if (w->no_memory_for_response)
		alloc_fail_nth(1);
	if (w->closes)
		io_stream_finish(s->stream);
	else if (w->more)
		assert_int_equal(io_timer_start(w->io, &w->later, io_now_at(w->io) + 1000, say_more, w),
		                 ERR_OK);
}

static bool is_whole(struct text in)
{
	size_t head = text_find(in, TEXT("\r\n\r\n")) + 4;
	size_t length = text_find(in, TEXT("Content-Length: ")) + 16;
	uint64_t body = 0;

	if (head > in.len)
		return false;
	if (length < head) {
		struct text rest = text_skip(in, length);

		assert_int_equal(text_to_u64(text_cut(&rest, '\r'), 1u << 20, &body), ERR_OK);
	}
	return in.len >= head + body;
}

static void on_tls(void *owner, enum err err, const struct tls_info *info)
{
	(void)owner;
	(void)err;
	(void)info;
}

static void on_input(struct service_session *s)
{
	struct world *w = s->peer->owner;

	if (w->with_tls && s->steps++ == 0) {
		assert_int_equal(tls_start(s->stream, w->server_tls, TEXT_EMPTY, on_tls, s), ERR_OK);
		return;
	}
	if (is_whole(buf_text(&s->in)))
		answer(w, s);
}

/* ---------------------------------------------------------------- the world */

static void use_tls(struct world *w, const struct sim_tls_script *client, const struct sim_tls_script *server)
{
	tls_context_unref(&w->client_tls);
	tls_context_unref(&w->server_tls);
	assert_int_equal(sim_tls_context(w->sim, false, true, client, &w->client_tls), ERR_OK);
	assert_int_equal(sim_tls_context(w->sim, true, false, server, &w->server_tls), ERR_OK);
	w->with_tls = true;
}

static void serve(struct world *w, unsigned n, const char *at)
{
	struct io_address address = service_address(at);

	service_peer_begin(&w->servers[n], w->io, &address, on_input, w);
}

static void begin(struct world *w)
{
	struct ip_port name_server = service_address(NAME_SERVER).ip;

	*w = (struct world){ .request = BUF(1 << 20), .body = BUF(1 << 20) };
	assert_int_equal(sim_new(&(struct sim_options){ .seed = 7 }, &w->sim), ERR_OK);
	w->io = sim_io(w->sim);
	assert_int_equal(sim_names_new(w->sim, name_server, zone, &w->names), ERR_OK);
	assert_int_equal(
		dns_new(&(struct dns_options){ .io = w->io, .servers = &name_server, .server_count = 1 },
	                &w->dns),
		ERR_OK);
	w->options = (struct http_call_options){
		.io = w->io,
		.dns = w->dns,
		.method = LIT("GET"),
		.timeout_ms = 5000,
		.connect_ms = 3000,
		.total_ms = 20000,
		.max_body = 1000,
	};
	w->response = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello";
}

static void end(struct world *w)
{
	http_call_cancel(&w->call);
	io_timer_stop(w->io, &w->later);
	for (unsigned i = 0; i < SERVERS; i++)
		if (w->servers[i].listener)
			service_peer_end(&w->servers[i]);
	dns_free(&w->dns);
	sim_names_free(&w->names);
	sim_settle(w->sim, 60000);
	tls_context_unref(&w->client_tls);
	tls_context_unref(&w->server_tls);
	sim_free(&w->sim);
	buf_fini(&w->request);
	buf_fini(&w->body);
}

static void on_head(void *owner, int status, struct text content_type)
{
	struct world *w = owner;

	w->heads++;
	w->status = status;
	assert_non_null(content_type.at);
	snprintf(w->content_type, sizeof(w->content_type), "%.*s", TEXT_ARGS(content_type));
	if (w->cancel_in == IN_HEAD)
		http_call_cancel(&w->call);
}

static void on_body(void *owner, struct text piece)
{
	struct world *w = owner;

	assert_non_null(w->call);
	buf_add(&w->body, piece);
	if (w->cancel_in == IN_BODY)
		http_call_cancel(&w->call);
}

static void on_done(void *owner, enum err err, struct text problem)
{
	struct world *w = owner;

	assert_int_equal(err == ERR_OK, problem.len == 0);
	w->call = NULL;
	w->dones++;
	w->err = err;
	w->done_at = io_now_at(w->io);
	snprintf(w->problem, sizeof(w->problem), "%.*s", TEXT_ARGS(problem));
}

static const struct http_call_events events = { .on_head = on_head, .on_body = on_body, .on_done = on_done };

static enum err start(struct world *w, const char *url)
{
	w->options.url = text_from(url);
	w->options.tls = w->client_tls;
	w->options.events = &events;
	w->options.owner = w;
	buf_reset(&w->body);
	w->heads = w->dones = 0;
	enum err err = http_call_start(&w->options, &w->call);

	assert_int_equal(w->dones, 0);
	return err;
}

static void call(struct world *w, const char *url)
{
	assert_int_equal(start(w, url), ERR_OK);
	sim_run(w->sim, 60000);
	assert_int_equal(w->dones, 1);
	assert_null(w->call);
}

static void check_hello(struct world *w)
{
	assert_string_equal(w->problem, "");
	assert_int_equal(w->err, ERR_OK);
	assert_int_equal(w->heads, 1);
	assert_int_equal(w->status, 200);
	CHECK_TEXT("the body", buf_text(&w->body), TEXT("hello"));
}

/* ---------------------------------------------------------------- requests */

static void a_url_is_asked_for(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	serve(&w, 0, "192.0.2.1:8080");
	call(&w, "http://Web.example:8080/a?b=c");
	check_hello(&w);
	assert_string_equal(w.content_type, "text/plain");
	CHECK_TEXT("the request", buf_text(&w.request),
	           TEXT("GET /a?b=c HTTP/1.1\r\nHost: Web.example:8080\r\nConnection: close\r\n"
	                "User-Agent: postrider\r\nAccept-Encoding: identity\r\n\r\n"));
	end(&w);
}

static void a_url_without_a_path_gets_one(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	serve(&w, 0, "192.0.2.1:80");
	call(&w, "http://web.example?x");
	assert_true(text_starts(buf_text(&w.request), TEXT("GET /?x HTTP/1.1\r\nHost: web.example\r\n")));
	call(&w, "http://web.example");
	assert_true(text_starts(buf_text(&w.request), TEXT("GET / HTTP/1.1\r\nHost: web.example\r\n")));
	end(&w);
}

static void fields_and_a_body_go_with_it(void **state)
{
	static const struct http_field fields[] = { { LIT("Accept"), LIT("application/json") },
		                                    { LIT("Authorization"), LIT("Basic YTpi") } };
	struct world w;

	(void)state;
	begin(&w);
	serve(&w, 0, "192.0.2.1:80");
	w.options.method = TEXT("POST");
	w.options.fields = fields;
	w.options.field_count = ARRAY_LEN(fields);
	w.options.content_type = TEXT("application/x-www-form-urlencoded");
	w.options.body = TEXT("a=b&c=d");
	call(&w, "http://web.example/token");
	check_hello(&w);
	struct text head = buf_text(&w.request);

	assert_true(text_find(head, TEXT("\r\nAccept: application/json\r\nAuthorization: Basic YTpi\r\n")) <
	            head.len);
	assert_true(text_find(head, TEXT("\r\nContent-Length: 7\r\n")) < head.len);
	assert_true(text_ends(head, TEXT("\r\n\r\na=b&c=d")));
	end(&w);
}

static void what_cannot_be_asked_for_is_not_begun(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	assert_int_equal(start(&w, "https://web.example/"), ERR_UNSUPPORTED);
	assert_int_equal(start(&w, "http://user@web.example/"), ERR_SYNTAX);
	assert_int_equal(start(&w, "gopher://web.example/"), ERR_SYNTAX);
	w.options.dns = NULL;
	assert_int_equal(start(&w, "http://web.example/"), ERR_UNSUPPORTED);
	assert_null(w.call);
	end(&w);
}

/* ---------------------------------------------------------------- responses */

static const struct {
	const char *name, *response;
	bool closes;
	enum err err;
	int status;
	const char *body, *content_type, *problem;
} responses[] = {
	{ "a length", "HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nContent-Length: 2\r\n\r\nok", false, ERR_OK,
	  200, "ok", "a/b", "" },
	{ "no type", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", false, ERR_OK, 200, "ok", "", "" },
	{ "chunks",
	  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n3;x=y\r\ncde\r\n0\r\nT: v\r\n\r\n",
	  false, ERR_OK, 200, "abcde", "", "" },
	{ "until the end", "HTTP/1.0 200 OK\r\n\r\nok", true, ERR_OK, 200, "ok", "", "" },
	{ "no body", "HTTP/1.1 204 No Content\r\n\r\n", false, ERR_OK, 204, "", "", "" },
	{ "a redirect is not followed",
	  "HTTP/1.1 302 Found\r\nLocation: http://web.example/b\r\nContent-Length: 0\r\n\r\n", false, ERR_OK,
	  302, "", "", "" },
	{ "an error's body", "HTTP/1.1 503 Busy\r\nContent-Length: 2\r\n\r\nno", false, ERR_OK, 503, "no", "",
	  "" },
	{ "100 first", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", false,
	  ERR_OK, 200, "ok", "", "" },
	{ "one that claims a body",
	  "HTTP/1.1 103 Early\r\nContent-Length: 500\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
	  false, ERR_OK, 200, "ok", "", "" },
	{ "more behind it", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 500 No\r\n\r\n", false,
	  ERR_OK, 200, "ok", "", "" },
	{ "no HTTP", "220 mail.example ESMTP\r\n", false, ERR_SYNTAX, 0, "", "", NULL },
	{ "HTTP/2", "HTTP/2.0 200 OK\r\n\r\n", false, ERR_SYNTAX, 0, "", "", NULL },
	{ "a status that is none",
	  "HTTP/1.1 000 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", false, ERR_SYNTAX, 0,
	  "", "", "web.example [192.0.2.1]:80: waiting for the response: a status that is none" },
	{ "a status too high", "HTTP/1.1 600 OK\r\nContent-Length: 2\r\n\r\nok", false, ERR_SYNTAX, 0, "", "",
	  NULL },
	{ "nothing", "", true, ERR_CLOSED, 0, "", "",
	  "web.example [192.0.2.1]:80: waiting for the response: connection closed" },
	{ "half a head", "HTTP/1.1 200 OK\r\nContent-Le", true, ERR_CLOSED, 0, "", "",
	  "web.example [192.0.2.1]:80: waiting for the response: connection closed" },
	{ "half a body", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", true, ERR_CLOSED, 200, "hel", "",
	  "web.example [192.0.2.1]:80: reading the response: connection closed" },
	{ "chunks without an end", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n", true,
	  ERR_CLOSED, 200, "ab", "", "web.example [192.0.2.1]:80: reading the response: connection closed" },
	{ "a chunk that is none", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", false,
	  ERR_SYNTAX, 200, "", "", NULL },
	{ "two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc", false,
	  ERR_SYNTAX, 0, "", "", NULL },
	{ "silence", NULL, false, ERR_TIMEOUT, 0, "", "",
	  "web.example [192.0.2.1]:80: waiting for the response: no answer within 5.0 s" },
	{ "silence in the middle", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", false, ERR_TIMEOUT, 200,
	  "hel", "", "web.example [192.0.2.1]:80: reading the response: no answer within 5.0 s" },
};

static void what_comes_is_what_on_done_says(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(responses); i++) {
		const char *row = responses[i].name;
		struct world w;

		begin(&w);
		serve(&w, 0, "192.0.2.1:80");
		w.response = responses[i].response;
		w.closes = responses[i].closes;
		call(&w, "http://web.example/");
		CHECK_INT(row, w.err, responses[i].err);
		CHECK_INT(row, w.status, responses[i].status);
		CHECK_TEXT(row, buf_text(&w.body), text_from(responses[i].body));
		CHECK_TEXT(row, text_from(w.content_type), text_from(responses[i].content_type));
		if (responses[i].problem)
			CHECK_TEXT(row, text_from(w.problem), text_from(responses[i].problem));
		end(&w);
	}
}

static void a_response_to_head_has_no_body(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	serve(&w, 0, "192.0.2.1:80");
	w.options.method = TEXT("HEAD");
	w.response = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
	call(&w, "http://web.example/");
	assert_int_equal(w.err, ERR_OK);
	end(&w);
}

static void a_body_over_the_limit_is_cut_off(void **state)
{
	static const char big[] =
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\naaaaa\r\n5\r\nbbbbb\r\n0\r\n\r\n";
	struct world w;

	(void)state;
	begin(&w);
	serve(&w, 0, "192.0.2.1:80");
	w.response = big;
	w.options.max_body = 10;
	call(&w, "http://web.example/");
	assert_int_equal(w.err, ERR_OK);
	w.options.max_body = 9;
	call(&w, "http://web.example/");
	assert_int_equal(w.err, ERR_TOO_BIG);
	assert_true(w.body.len <= 9);
	assert_string_equal(w.problem,
	                    "web.example [192.0.2.1]:80: reading the response: more than 9 octets");
	end(&w);
}

static void a_length_over_the_limit_is_not_waited_for(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	serve(&w, 0, "192.0.2.1:80");
	w.response = "HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n";
	call(&w, "http://web.example/");
	assert_int_equal(w.err, ERR_TOO_BIG);
	assert_int_equal(w.status, 200);
	end(&w);
}

static void a_head_over_the_limit_is_cut_off(void **state)
{
	AUTO(buf_fini) struct buf big = BUF(100000);
	struct world w;

	(void)state;
	buf_add_string(&big, "HTTP/1.1 200 OK\r\n");
	for (unsigned i = 0; i < 60; i++)
		buf_add_format(&big, "X-%u: %0500u\r\n", i, i);
	buf_add_octet(&big, 0);
	begin(&w);
	serve(&w, 0, "192.0.2.1:80");
	w.response = big.at;
	call(&w, "http://web.example/");
	assert_int_equal(w.err, ERR_TOO_BIG);
	assert_string_equal(w.problem,
	                    "web.example [192.0.2.1]:80: waiting for the response: the head is too long");
	end(&w);
}

static void interim_responses_come_to_an_end(void **state)
{
	AUTO(buf_fini) struct buf many = BUF(100000);
	struct world w;

	(void)state;
	for (unsigned i = 0; i < 100; i++)
		buf_add_string(&many, "HTTP/1.1 102 Processing\r\n\r\n");
	buf_add_octet(&many, 0);
	begin(&w);
	serve(&w, 0, "192.0.2.1:80");
	w.response = many.at;
	call(&w, "http://web.example/");
	assert_int_equal(w.err, ERR_SYNTAX);
	end(&w);
}

/* An octet a second is no silence: only the limit for the whole ends it. */
static void a_response_that_drips_ends_at_the_total(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	serve(&w, 0, "192.0.2.1:80");
	w.options.total_ms = 2500;
	w.response = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nh";
	w.more = "e";
	int64_t before = io_now_at(w.io);

	call(&w, "http://web.example/");
	assert_int_equal(w.err, ERR_TIMEOUT);
	assert_int_equal(w.done_at - before, 2500);
	assert_string_equal(w.problem,
	                    "web.example [192.0.2.1]:80: reading the response: not done within 2.5 s");
	end(&w);
}

/* ---------------------------------------------------------------- names and addresses */

static void names_that_lead_nowhere(void **state)
{
	static const struct {
		const char *url;
		enum err err;
		const char *problem;
	} rows[] = {
		{ "http://none.example/", ERR_NOT_FOUND, "none.example: looking its address up: " },
		{ "http://mailonly.example/", ERR_NOT_FOUND, "mailonly.example: looking its address up: " },
		{ "http://broken.example/", ERR_TEMPORARY,
		  "broken.example: looking its address up: SERVFAIL" },
		{ "http://mute.example/", ERR_TIMEOUT, "mute.example: looking its address up: " },
	};
	struct world w;

	(void)state;
	begin(&w);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		call(&w, rows[i].url);
		CHECK_INT(rows[i].url, w.err, rows[i].err);
		if (!text_starts(text_from(w.problem), text_from(rows[i].problem)))
			fail_msg("%s: %s", rows[i].url, w.problem);
	}
	end(&w);
}

static void the_total_counts_the_lookup(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	w.options.total_ms = 1000;
	int64_t before = io_now_at(w.io);

	call(&w, "http://mute.example/");
	assert_int_equal(w.err, ERR_TIMEOUT);
	assert_int_equal(w.done_at - before, 1000);
	assert_string_equal(w.problem, "mute.example: looking its address up: not done within 1.0 s");
	end(&w);
}

static void reach(struct world *w, const char *at, enum sim_reach reach)
{
	assert_int_equal(sim_set_reach(w->sim, service_address(at).ip, reach), ERR_OK);
}

static void addresses_are_tried_in_turn(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	reach(&w, "192.0.2.1:80", SIM_REFUSED);
	reach(&w, "192.0.2.2:80", SIM_SILENT);
	serve(&w, 0, "192.0.2.3:80");
	int64_t before = io_now_at(w.io);

	call(&w, "http://three.example/");
	check_hello(&w);
	assert_in_range(w.done_at - before, 0, 3100); /* one silence of connect_ms */
	end(&w);
}

static void the_last_address_is_what_is_said(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	reach(&w, "192.0.2.1:80", SIM_REFUSED);
	reach(&w, "192.0.2.2:80", SIM_REFUSED);
	reach(&w, "192.0.2.3:80", SIM_REFUSED);
	call(&w, "http://three.example/");
	assert_int_equal(w.err, ERR_REFUSED);
	assert_non_null(strstr(w.problem, ":80: connecting: connection refused (the last of 3 addresses)"));
	end(&w);
}

static void an_address_that_is_silent_is_a_time_out(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	reach(&w, "192.0.2.1:80", SIM_SILENT);
	call(&w, "http://web.example/");
	assert_int_equal(w.err, ERR_TIMEOUT);
	assert_string_equal(w.problem, "web.example [192.0.2.1]:80: connecting: no answer within 3.0 s");
	call(&w, "http://192.0.2.1/");
	assert_int_equal(w.err, ERR_TIMEOUT);
	assert_string_equal(w.problem, "192.0.2.1:80: connecting: no answer within 3.0 s");
	end(&w);
}

/* Two silent IPv6 addresses in front would cost 6 s. */
static void families_take_turns(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	reach(&w, "[2001:db8::1]:80", SIM_SILENT);
	reach(&w, "[2001:db8::2]:80", SIM_SILENT);
	serve(&w, 0, "192.0.2.1:80");
	serve(&w, 1, "192.0.2.2:80");
	int64_t before = io_now_at(w.io);

	call(&w, "http://both.example/");
	check_hello(&w);
	assert_in_range(w.done_at - before, 3000, 3100);
	end(&w);
}

static void addresses_need_no_name_server(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	serve(&w, 0, "[2001:db8::9]:8080");
	w.options.dns = NULL;
	call(&w, "http://[2001:DB8::9]:8080/");
	check_hello(&w);
	assert_true(text_find(buf_text(&w.request), TEXT("\r\nHost: [2001:db8::9]:8080\r\n")) <
	            w.request.len);
	assert_int_equal(sim_names_queries(w.names), 0);
	end(&w);
}

/* What has been sent is not sent to somebody else. */
static void a_cut_behind_the_request_is_the_end(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	serve(&w, 0, "192.0.2.1:80");
	serve(&w, 1, "192.0.2.2:80");
	serve(&w, 2, "192.0.2.3:80");
	w.response = "";
	w.closes = true;
	call(&w, "http://three.example/");
	assert_int_equal(w.err, ERR_CLOSED);
	assert_int_equal(w.requests, 1);
	end(&w);
}

/* ---------------------------------------------------------------- TLS */

static void https_goes_through_tls(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	use_tls(&w, &(struct sim_tls_script){ 0 }, &(struct sim_tls_script){ 0 });
	serve(&w, 0, "192.0.2.1:443");
	call(&w, "https://web.example/a");
	check_hello(&w);
	assert_int_equal(w.client_tls->references, 1); /* the call's is given back */
	end(&w);
}

static void a_wrong_certificate_gets_no_request(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	use_tls(&w, &(struct sim_tls_script){ 0 }, &(struct sim_tls_script){ .certificate_is_bad = true });
	serve(&w, 0, "192.0.2.1:443");
	call(&w, "https://web.example/");
	assert_int_equal(w.err, ERR_CERTIFICATE);
	assert_int_equal(w.requests, 0);
	assert_true(
		text_starts(text_from(w.problem), TEXT("web.example [192.0.2.1]:443: the TLS handshake: ")));
	end(&w);
}

static void a_handshake_that_fails_is_tried_elsewhere(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	use_tls(&w, &(struct sim_tls_script){ .handshake_fails = true }, &(struct sim_tls_script){ 0 });
	serve(&w, 0, "192.0.2.1:443");
	serve(&w, 1, "192.0.2.2:443");
	serve(&w, 2, "192.0.2.3:443");
	call(&w, "https://three.example/");
	assert_int_equal(w.err, ERR_TLS);
	assert_int_equal(w.requests, 0);
	assert_int_equal(w.servers[0].accepted + w.servers[1].accepted + w.servers[2].accepted, 3);
	assert_non_null(strstr(w.problem, ":443: the TLS handshake: "));
	end(&w);
}

/* An MTU that swallows the certificate: connected at once, and then nothing. */
static void a_handshake_that_hangs_is_tried_elsewhere(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	use_tls(&w, &(struct sim_tls_script){ .delay_ms = 100000 }, &(struct sim_tls_script){ 0 });
	serve(&w, 0, "192.0.2.1:443");
	int64_t before = io_now_at(w.io);

	call(&w, "https://web.example/");
	assert_int_equal(w.err, ERR_TIMEOUT);
	assert_in_range(w.done_at - before, 3000, 3100);
	assert_string_equal(w.problem,
	                    "web.example [192.0.2.1]:443: the TLS handshake: no answer within 3.0 s");
	end(&w);
}

static void a_server_without_tls_is_a_failure(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	use_tls(&w, &(struct sim_tls_script){ 0 }, &(struct sim_tls_script){ 0 });
	w.with_tls = false;
	serve(&w, 0, "192.0.2.1:443");
	call(&w, "https://web.example/");
	assert_int_not_equal(w.err, ERR_OK);
	assert_int_equal(w.requests, 0);
	end(&w);
}

/* ---------------------------------------------------------------- ends */

/* After any number of milliseconds of the whole way: nothing is heard, nothing stays behind (sim_free and the sanitizer see it). */
static void cancelled_at_any_moment(void **state)
{
	(void)state;
	for (int64_t ms = 0; ms < 60; ms++) {
		struct world w;

		begin(&w);
		use_tls(&w, &(struct sim_tls_script){ .delay_ms = 3 },
		        &(struct sim_tls_script){ .delay_ms = 3 });
		serve(&w, 0, "192.0.2.1:443");
		assert_int_equal(start(&w, "https://web.example/"), ERR_OK);
		sim_run(w.sim, ms);
		unsigned before = w.heads + w.dones;

		http_call_cancel(&w.call);
		http_call_cancel(&w.call);
		sim_run(w.sim, 30000);
		assert_int_equal(w.heads + w.dones, before);
		end(&w);
	}
}

static void cancelled_from_inside(void **state)
{
	(void)state;
	for (unsigned where = IN_HEAD; where <= IN_BODY; where++) {
		struct world w;

		begin(&w);
		serve(&w, 0, "192.0.2.1:80");
		w.cancel_in = where;
		assert_int_equal(start(&w, "http://web.example/"), ERR_OK);
		sim_run(w.sim, 30000);
		assert_int_equal(w.heads, 1);
		assert_int_equal(w.dones, 0);
		assert_null(w.call);
		end(&w);
	}
}

/* In the real world: the simulated one has no memory to run out of. */
static void memory_that_runs_out_at_the_start_is_an_error(void **state)
{
	struct http_call_options options = { .url = LIT("http://127.0.0.1:1/"),
		                             .method = LIT("POST"),
		                             .content_type = LIT("a/b"),
		                             .body = LIT("body"),
		                             .timeout_ms = 1000,
		                             .total_ms = 1000,
		                             .events = &events };
	struct http_call *c = NULL;
	unsigned failed = 0;

	(void)state;
	assert_int_equal(io_uv_new(&(struct io_uv_options){ 0 }, &options.io), ERR_OK);
	for (;; failed++) {
		alloc_fail_nth(failed + 1);
		enum err err = http_call_start(&options, &c);

		alloc_fail_nth(0);
		if (!err)
			break;
		assert_int_equal(err, ERR_NOMEM);
		assert_null(c);
	}
	assert_in_range(failed, 5, 100);
	http_call_cancel(&c);
	io_uv_free(&options.io);
}

static void memory_that_runs_out_for_the_response_is_an_error(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	serve(&w, 0, "192.0.2.1:80");
	w.no_memory_for_response = true;
	call(&w, "http://192.0.2.1/");
	assert_true(alloc_has_failed());
	alloc_fail_nth(0);
	assert_int_equal(w.err, ERR_NOMEM);
	end(&w);
}

/* ---------------------------------------------------------------- who may be connected to */

static bool is_not_private(void *owner, struct ip ip)
{
	(void)owner;
	return !ip_is_private(ip);
}

static void addresses_that_are_not_for_it_are_passed_over(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	sim_names_change(w.names, "mixed.example. 300 A 10.0.0.1\nmixed.example. 300 A 198.51.100.1\n"
	                          "inside.example. 300 A 127.0.0.1\n");
	w.options.may_connect = is_not_private;
	serve(&w, 0, "10.0.0.1:80");
	serve(&w, 1, "198.51.100.1:80");
	serve(&w, 2, "127.0.0.1:80");
	call(&w, "http://mixed.example/");
	check_hello(&w);
	assert_int_equal(w.servers[0].accepted, 0);
	call(&w, "http://inside.example/");
	assert_int_equal(w.err, ERR_DENIED);
	assert_string_equal(
		w.problem,
		"inside.example: looking its address up: none of its addresses may be connected to");
	assert_int_equal(start(&w, "http://127.0.0.1/"), ERR_DENIED);
	assert_int_equal(w.servers[2].accepted, 0);
	end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_url_is_asked_for),
		cmocka_unit_test(a_url_without_a_path_gets_one),
		cmocka_unit_test(fields_and_a_body_go_with_it),
		cmocka_unit_test(what_cannot_be_asked_for_is_not_begun),
		cmocka_unit_test(what_comes_is_what_on_done_says),
		cmocka_unit_test(a_response_to_head_has_no_body),
		cmocka_unit_test(a_body_over_the_limit_is_cut_off),
		cmocka_unit_test(a_length_over_the_limit_is_not_waited_for),
		cmocka_unit_test(a_head_over_the_limit_is_cut_off),
		cmocka_unit_test(interim_responses_come_to_an_end),
		cmocka_unit_test(a_response_that_drips_ends_at_the_total),
		cmocka_unit_test(names_that_lead_nowhere),
		cmocka_unit_test(the_total_counts_the_lookup),
		cmocka_unit_test(addresses_are_tried_in_turn),
		cmocka_unit_test(the_last_address_is_what_is_said),
		cmocka_unit_test(an_address_that_is_silent_is_a_time_out),
		cmocka_unit_test(families_take_turns),
		cmocka_unit_test(addresses_need_no_name_server),
		cmocka_unit_test(a_cut_behind_the_request_is_the_end),
		cmocka_unit_test(https_goes_through_tls),
		cmocka_unit_test(a_wrong_certificate_gets_no_request),
		cmocka_unit_test(a_handshake_that_fails_is_tried_elsewhere),
		cmocka_unit_test(a_handshake_that_hangs_is_tried_elsewhere),
		cmocka_unit_test(a_server_without_tls_is_a_failure),
		cmocka_unit_test(cancelled_at_any_moment),
		cmocka_unit_test(cancelled_from_inside),
		cmocka_unit_test(memory_that_runs_out_at_the_start_is_an_error),
		cmocka_unit_test(memory_that_runs_out_for_the_response_is_an_error),
		cmocka_unit_test(addresses_that_are_not_for_it_are_passed_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
