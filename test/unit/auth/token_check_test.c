/* The backend against an HTTP service that the test plays, octet by octet, in the simulated world. */
#include <stdio.h>

#include <postrider/http/json.h>
#include <postrider/sim.h>

#include "support/alloc.h"
#include "support/check.h"
#include "support/service_peer.h"

#include "backend.h"

#define AT "127.0.0.1:9000"
#define PLAIN_URL "http://" AT "/check"
#define URL PLAIN_URL "?x=1"
#define CLIENTS 80

struct client {
	struct world *w;
	struct auth_call *call;
	unsigned results;
	enum auth_verdict verdict;
	char user[64], senders[64], why[128];
	bool has_senders;
	bool closes;
	int64_t at;
};

struct world {
	struct sim *sim;
	struct io *io;
	struct service_peer peer;
	struct auth_backend *backend;
	const char *response; /* the whole of it; NULL: silence */
	bool closes;          /* behind the response */
	unsigned requests;
	struct buf head, body; /* of the last request */
	struct buf news;
	struct client clients[CLIENTS];
};

/* ---------------------------------------------------------------- the service */

static size_t content_length(struct text head)
{
	struct text rest = text_skip(head, text_find(head, TEXT("Content-Length: ")) + 16);
	uint64_t value;

	assert_int_equal(text_to_u64(text_cut(&rest, '\r'), 1u << 20, &value), ERR_OK);
	return value;
}

static void on_input(struct service_session *s)
{
	struct world *w = s->peer->owner;
	struct text in = buf_text(&s->in);
	size_t head = text_find(in, TEXT("\r\n\r\n")) + 4;

	if (head > in.len || in.len < head + content_length(text_head(in, head)))
		return;
	w->requests++;
	buf_reset(&w->head);
	buf_add(&w->head, text_head(in, head));
	buf_reset(&w->body);
	buf_add(&w->body, text_skip(in, head));
	buf_reset(&s->in);
	if (w->response)
		service_say(s, w->response);
	if (w->closes)
		io_stream_finish(s->stream);
}

/* ---------------------------------------------------------------- the world */

static void on_news(void *owner, bool is_bad, struct text what)
{
	struct world *w = owner;

	buf_add_format(&w->news, "%s: %.*s\n", is_bad ? "bad" : "good", TEXT_ARGS(what));
}

static void begin_with(struct world *w, const char *url)
{
	struct io_address at = service_address(AT);

	*w = (struct world){ .head = BUF(65536), .body = BUF(65536), .news = BUF(65536) };
	assert_int_equal(sim_new(&(struct sim_options){ .seed = 5 }, &w->sim), ERR_OK);
	w->io = sim_io(w->sim);
	for (unsigned i = 0; i < CLIENTS; i++)
		w->clients[i].w = w;
	service_peer_begin(&w->peer, w->io, &at, on_input, w);
	const struct auth_backend_news news = { on_news, w };

	assert_int_equal(auth_token_check_new(w->io, text_from(url), news, &w->backend, NULL), ERR_OK);
}

static void begin(struct world *w)
{
	begin_with(w, URL);
}

static void end(struct world *w)
{
	if (w->backend)
		w->backend->ops->close(&w->backend);
	if (w->peer.listener)
		service_peer_end(&w->peer);
	sim_settle(w->sim, 60000);
	sim_free(&w->sim);
	buf_fini(&w->head);
	buf_fini(&w->body);
	buf_fini(&w->news);
}

static void on_result(void *owner, const struct auth_result *result)
{
	struct client *c = owner;

	assert_null(c->call);
	c->results++;
	c->verdict = result->verdict;
	c->at = io_now_at(c->w->io);
	snprintf(c->user, sizeof(c->user), "%.*s", TEXT_ARGS(result->user));
	snprintf(c->why, sizeof(c->why), "%.*s", TEXT_ARGS(result->why));
	snprintf(c->senders, sizeof(c->senders), "%.*s", TEXT_ARGS(result->senders));
	c->has_senders = result->senders.at;
	if (c->closes)
		c->w->backend->ops->close(&c->w->backend);
}

static enum err try_show(struct client *c, const char *token)
{
	const struct auth_request request = { .mechanism = AUTH_OAUTHBEARER,
		                              .has_initial = true,
		                              .initial = text_from(token),
		                              .user = TEXT("al\"ice"),
		                              .listener = TEXT("submission"),
		                              .client = ip_from_v4(0xc0000207),
		                              .tls = true,
		                              .on_result = on_result,
		                              .owner = c };
	unsigned before = c->results;
	enum err err = c->w->backend->ops->begin(c->w->backend, &request, &c->call);

	assert_int_equal(c->results, before);
	return err;
}

static void show(struct client *c, const char *token)
{
	assert_int_equal(try_show(c, token), ERR_OK);
	assert_non_null(c->call);
}

#define OK_JSON(json) "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n" json

/* ---------------------------------------------------------------- the question */

static void the_question_is_json(void **state)
{
	struct world w;
	struct json *j;

	(void)state;
	begin(&w);
	assert_int_equal(w.backend->ops->mechanisms(w.backend), AUTH_OAUTHBEARER | AUTH_XOAUTH2);
	show(&w.clients[0], "aXk_-.~+/=");
	sim_run(w.sim, 100);
	assert_true(
		text_starts(buf_text(&w.head), TEXT("POST /check?x=1 HTTP/1.1\r\nHost: 127.0.0.1:9000\r\n")));
	assert_true(text_find(buf_text(&w.head), TEXT("\r\nContent-Type: application/json\r\n")) <
	            w.head.len);
	assert_int_equal(json_parse(buf_text(&w.body), &j, NULL), ERR_OK);
	CHECK_TEXT("mechanism", json_as_text(json_member(j, "mechanism")), TEXT("OAUTHBEARER"));
	CHECK_TEXT("user", json_as_text(json_member(j, "user")), TEXT("al\"ice"));
	CHECK_TEXT("token", json_as_text(json_member(j, "token")), TEXT("aXk_-.~+/="));
	CHECK_TEXT("client", json_as_text(json_member(j, "client")), TEXT("192.0.2.7"));
	CHECK_TEXT("listener", json_as_text(json_member(j, "listener")), TEXT("submission"));
	assert_true(json_as_bool(json_member(j, "tls")));
	json_free(&j);
	end(&w);
}

/* ---------------------------------------------------------------- the answer */

static const struct {
	const char *name, *response;
	enum auth_verdict verdict;
	const char *user, *why;
} responses[] = {
	{ "yes", OK_JSON("{\"user\":\"alice\"}"), AUTH_SAYS_YES, "alice", "" },
	{ "yes, with more", OK_JSON("{\"sub\":1,\"user\":\"alice@example.org\",\"x\":[{}]}"), AUTH_SAYS_YES,
	  "alice@example.org", "" },
	{ "401", "HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n", AUTH_SAYS_NO, "",
	  "the token check answered 401" },
	{ "403", "HTTP/1.1 403 No\r\nConnection: close\r\n\r\n{\"user\":\"alice\"}", AUTH_SAYS_NO, "",
	  "the token check answered 403" },
	{ "500", "HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\nno", AUTH_SAYS_LATER, "",
	  "the token check answered 500" },
	{ "404", "HTTP/1.1 404 Oh\r\nContent-Length: 0\r\n\r\n", AUTH_SAYS_LATER, "",
	  "the token check answered 404" },
	{ "204", "HTTP/1.1 204 None\r\n\r\n", AUTH_SAYS_LATER, "", "the token check answered 204" },
	{ "201", "HTTP/1.1 201 Made\r\nConnection: close\r\n\r\n{\"user\":\"alice\"}", AUTH_SAYS_LATER, "",
	  "the token check answered 201" },
	{ "a redirection", "HTTP/1.1 302 There\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
	  AUTH_SAYS_LATER, "", "the token check answered 302" },
	{ "100 first", "HTTP/1.1 100 Continue\r\n\r\n" OK_JSON("{\"user\":\"alice\"}"), AUTH_SAYS_YES,
	  "alice", "" },
	{ "no user", OK_JSON("{}"), AUTH_SAYS_LATER, "",
	  "the token check said 200 without a user that could be one" },
	{ "an empty user", OK_JSON("{\"user\":\"\"}"), AUTH_SAYS_LATER, "",
	  "the token check said 200 without a user that could be one" },
	{ "a user that is a number", OK_JSON("{\"user\":7}"), AUTH_SAYS_LATER, "",
	  "the token check said 200 without a user that could be one" },
	{ "a user with a line end", OK_JSON("{\"user\":\"a\\nb\"}"), AUTH_SAYS_LATER, "",
	  "the token check said 200 without a user that could be one" },
	{ "two users", OK_JSON("{\"user\":\"a\",\"user\":\"b\"}"), AUTH_SAYS_LATER, "",
	  "the token check said 200 with what is no JSON object" },
	{ "an array", OK_JSON("[\"alice\"]"), AUTH_SAYS_LATER, "",
	  "the token check said 200 with what is no JSON object" },
	{ "no JSON", OK_JSON("alice"), AUTH_SAYS_LATER, "",
	  "the token check said 200 with what is no JSON object" },
	{ "nothing", OK_JSON(""), AUTH_SAYS_LATER, "",
	  "the token check said 200 with what is no JSON object" },
	{ "half of it", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"user\":\"alice\"}", AUTH_SAYS_LATER,
	  "", "the token check closed the connection without an answer" },
	{ "half a head", "HTTP/1.1 200 OK\r\nConte", AUTH_SAYS_LATER, "",
	  "the token check closed the connection without an answer" },
	{ "no HTTP", "+OK ready\r\n", AUTH_SAYS_LATER, "", "the token check does not answer in HTTP" },
	{ "not a word", "", AUTH_SAYS_LATER, "", "the token check closed the connection without an answer" },
};

static void answers_are_understood(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(responses); i++) {
		const char *row = responses[i].name;
		struct world w;

		begin(&w);
		w.response = responses[i].response;
		w.closes = true;
		show(&w.clients[0], "token");
		sim_run(w.sim, 1000);
		CHECK_INT(row, w.clients[0].results, 1);
		CHECK_INT(row, w.clients[0].verdict, responses[i].verdict);
		CHECK_TEXT(row, text_from(w.clients[0].user), text_from(responses[i].user));
		CHECK_TEXT(row, text_from(w.clients[0].why), text_from(responses[i].why));
		end(&w);
	}
}

#define NO_SENDERS "the token check said 200 with senders that cannot be such"

static const struct {
	const char *json;
	bool has_senders;
	const char *senders, *why;
} sender_cases[] = {
	{ "[\"ann@example.org\",\"example.net\",\".example.com\"]", true,
	  "ann@example.org,example.net,.example.com", "" },
	{ "[]", true, "", "" },
	{ "[\"any\"]", true, "any", "" },
	{ "null", false, "", NO_SENDERS },
	{ "\"ann@example.org\"", false, "", NO_SENDERS },
	{ "[7]", false, "", NO_SENDERS },
	{ "[\"\"]", false, "", NO_SENDERS },
	{ "[\"a@example.org,any\"]", false, "", NO_SENDERS },
	{ "[\"a@b@c\"]", false, "", NO_SENDERS },
};

/* What is not understood is no permission. */
static void senders_are_handed_on(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sender_cases); i++) {
		const char *row = sender_cases[i].json;
		char response[512];
		struct world w;

		begin(&w);
		snprintf(response, sizeof(response), "%s{\"user\":\"a\",\"expires_in\":60,\"senders\":%s}",
		         OK_JSON(""), row);
		w.response = response;
		w.closes = true;
		for (unsigned k = 0; k < 2; k++) { /* the second time it is known */
			show(&w.clients[k], "token");
			sim_run(w.sim, 100);
			CHECK_INT(row, w.clients[k].verdict,
			          sender_cases[i].why[0] ? AUTH_SAYS_LATER : AUTH_SAYS_YES);
			CHECK_INT(row, w.clients[k].has_senders, sender_cases[i].has_senders);
			CHECK_TEXT(row, text_from(w.clients[k].senders), text_from(sender_cases[i].senders));
			CHECK_TEXT(row, text_from(w.clients[k].why), text_from(sender_cases[i].why));
		}
		CHECK_INT(row, w.requests, sender_cases[i].why[0] ? 2 : 1);
		end(&w);
	}
}

static void an_endless_answer_is_cut(void **state)
{
	static char many[200000];
	struct world w;

	(void)state;
	begin(&w);
	snprintf(many, sizeof(many), "%s", OK_JSON("{\"user\":\""));
	memset(many + strlen(many), 'a', sizeof(many) - 1 - strlen(many));
	w.response = many;
	show(&w.clients[0], "token");
	sim_run(w.sim, 1000);
	assert_int_equal(w.clients[0].results, 1);
	assert_int_equal(w.clients[0].verdict, AUTH_SAYS_LATER);
	assert_string_equal(w.clients[0].why, "the token check's answer is too long");
	end(&w);
}

/* ---------------------------------------------------------------- it is away, or slow */

static void silence_is_bounded(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	int64_t began_at = io_now_at(w.io);

	show(&w.clients[0], "token");
	sim_run(w.sim, 20 * SECOND_MS);
	assert_int_equal(w.clients[0].results, 1);
	assert_int_equal(w.clients[0].verdict, AUTH_SAYS_LATER);
	assert_true(w.clients[0].at - began_at <= 10 * SECOND_MS);
	assert_int_equal(w.peer.open, 0);
	end(&w);
}

/* An octet now and then is no progress. */
static void a_trickle_is_bounded_too(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	w.response = "HTTP/1.1 200 OK\r\nX: ";
	int64_t began_at = io_now_at(w.io);

	show(&w.clients[0], "token");
	for (unsigned i = 0; i < 20; i++) {
		sim_run(w.sim, SECOND_MS);
		if (!list_is_empty(&w.peer.sessions))
			service_say(LIST_FIRST(&w.peer.sessions, struct service_session, link), "x");
	}
	assert_int_equal(w.clients[0].results, 1);
	assert_int_equal(w.clients[0].verdict, AUTH_SAYS_LATER);
	assert_int_equal(w.clients[0].at - began_at, 10 * SECOND_MS);
	end(&w);
}

static void one_that_is_down_is_later(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	service_peer_end(&w.peer);
	show(&w.clients[0], "token");
	sim_run(w.sim, 100);
	assert_int_equal(w.clients[0].verdict, AUTH_SAYS_LATER);
	assert_string_equal(w.clients[0].why, "the token check is down");
	end(&w);
}

static void that_it_is_of_no_use_is_said_once(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	w.closes = true;
	w.response = "HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n";
	sim_run(w.sim, 1000);
	for (unsigned i = 0; i < 5; i++) {
		show(&w.clients[i], "token");
		sim_run(w.sim, 100);
	}
	w.response = "HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n";
	show(&w.clients[5], "token");
	sim_run(w.sim, 100);
	CHECK_TEXT("news", buf_text(&w.news),
	           TEXT("bad: the token service at " PLAIN_URL
	                " is of no use now: the token check answered 500; until it is, "
	                "logins with tokens are answered 454\n"
	                "good: the token service at " PLAIN_URL " answers again\n"));
	/* Whoever finds out how to make it fail fills no log. */
	buf_reset(&w.news);
	for (unsigned i = 0; i < 50; i++) {
		w.response = i % 2 ? "HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n" : "nonsense\r\n\r\n";
		show(&w.clients[i], "token");
		sim_run(w.sim, 100);
	}
	assert_int_equal(w.news.len, 0);
	sim_run(w.sim, MINUTE_MS);
	w.response = "nonsense\r\n\r\n";
	show(&w.clients[50], "token");
	sim_run(w.sim, 100);
	assert_true(text_starts(buf_text(&w.news), TEXT("bad: ")));
	end(&w);
}

static void only_so_many_connections_at_a_time(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	for (unsigned i = 0; i < CLIENTS; i++)
		show(&w.clients[i], "token");
	sim_run(w.sim, 100);
	assert_int_equal(w.peer.open, 50);
	w.response = OK_JSON("{\"user\":\"alice\"}");
	w.closes = true;
	for (LIST_EACH(it, &w.peer.sessions)) {
		struct service_session *s = LIST_ITEM(it, struct service_session, link);

		service_say(s, w.response);
		io_stream_finish(s->stream);
	}
	sim_run(w.sim, 1000);
	for (unsigned i = 0; i < CLIENTS; i++) {
		assert_int_equal(w.clients[i].results, 1);
		assert_int_equal(w.clients[i].verdict, AUTH_SAYS_YES);
	}
	assert_int_equal(w.requests, CLIENTS);
	end(&w);
}

/* ---------------------------------------------------------------- what is kept */

static void a_yes_is_kept_as_long_as_the_service_says(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	w.response = OK_JSON("{\"user\":\"alice\",\"expires_in\":60}");
	w.closes = true;
	for (unsigned i = 0; i < 3; i++) {
		show(&w.clients[i], "token");
		sim_run(w.sim, 100);
		assert_int_equal(w.clients[i].verdict, AUTH_SAYS_YES);
		assert_string_equal(w.clients[i].user, "alice");
	}
	assert_int_equal(w.requests, 1);
	show(&w.clients[3], "tokem"); /* another one is another question */
	sim_run(w.sim, 100);
	assert_int_equal(w.requests, 2);
	sim_run(w.sim, 60 * SECOND_MS);
	w.response = "HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n";
	show(&w.clients[4], "token");
	sim_run(w.sim, 100);
	assert_int_equal(w.requests, 3);
	assert_int_equal(w.clients[4].verdict, AUTH_SAYS_NO);
	end(&w);
}

static void five_minutes_are_the_most(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	w.response = OK_JSON("{\"user\":\"alice\",\"expires_in\":86400}");
	w.closes = true;
	show(&w.clients[0], "token");
	sim_run(w.sim, 299 * SECOND_MS);
	show(&w.clients[1], "token");
	sim_run(w.sim, 10 * SECOND_MS);
	assert_int_equal(w.requests, 1);
	show(&w.clients[2], "token");
	sim_run(w.sim, 100);
	assert_int_equal(w.requests, 2);
	end(&w);
}

static void nothing_is_kept_unless_it_says_so(void **state)
{
	static const char *const answers[] = { OK_JSON("{\"user\":\"a\"}"),
		                               OK_JSON("{\"user\":\"a\",\"expires_in\":0}"),
		                               OK_JSON("{\"user\":\"a\",\"expires_in\":-5}"),
		                               OK_JSON("{\"user\":\"a\",\"expires_in\":\"60\"}"),
		                               "HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
		struct world w;

		begin(&w);
		w.response = answers[i];
		w.closes = true;
		show(&w.clients[0], "token");
		sim_run(w.sim, 100);
		show(&w.clients[1], "token");
		sim_run(w.sim, 100);
		CHECK_INT(answers[i], w.requests, 2);
		end(&w);
	}
}

static void only_so_much_is_kept(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	w.response = OK_JSON("{\"user\":\"alice\",\"expires_in\":300}");
	w.closes = true;
	for (unsigned i = 0; i < 1001; i++) {
		char token[16];

		snprintf(token, sizeof(token), "t%u", i);
		show(&w.clients[0], token);
		sim_run(w.sim, 50);
	}
	assert_int_equal(w.requests, 1001);
	show(&w.clients[0], "t1"); /* the oldest but one is still there */
	sim_run(w.sim, 50);
	assert_int_equal(w.requests, 1001);
	show(&w.clients[0], "t0");
	sim_run(w.sim, 50);
	assert_int_equal(w.requests, 1002);
	end(&w);
}

/* ---------------------------------------------------------------- cancelling, closing */

static void a_cancelled_question_says_nothing_more(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	w.response = OK_JSON("{\"user\":\"alice\",\"expires_in\":60}");
	w.closes = true;
	show(&w.clients[0], "token");
	w.backend->ops->cancel(&w.clients[0].call);
	assert_null(w.clients[0].call);
	show(&w.clients[1], "token");
	sim_run(w.sim, 100);
	show(&w.clients[2], "token"); /* known, and said later */
	w.backend->ops->cancel(&w.clients[2].call);
	sim_run(w.sim, 100);
	assert_int_equal(w.clients[0].results, 0);
	assert_int_equal(w.clients[1].results, 1);
	assert_int_equal(w.clients[2].results, 0);
	end(&w);
}

static void closing_is_later_for_all(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	for (unsigned i = 0; i < CLIENTS; i++)
		show(&w.clients[i], "token");
	sim_run(w.sim, 100);
	w.backend->ops->close(&w.backend);
	sim_run(w.sim, 100);
	for (unsigned i = 0; i < CLIENTS; i++) {
		assert_int_equal(w.clients[i].results, 1);
		assert_int_equal(w.clients[i].verdict, AUTH_SAYS_LATER);
	}
	end(&w);

	begin(&w);
	w.response = OK_JSON("{\"user\":\"alice\"}");
	w.closes = true;
	w.clients[0].closes = true;
	show(&w.clients[0], "token");
	sim_run(w.sim, 100);
	assert_null(w.backend);
	end(&w);
}

/* ---------------------------------------------------------------- URLs */

static const struct {
	const char *url;
	enum err err;
	const char *says; /* in the problem; or the target */
} urls[] = {
	{ "http://127.0.0.1:9000/check", ERR_OK, "POST /check HTTP" },
	{ "http://127.0.0.1:9000", ERR_OK, "POST / HTTP" },
	{ "HTTP://localhost:9000/a", ERR_OK, "POST /a HTTP" },
	{ "http://192.0.2.1:9000/check", ERR_CONFIG, "would send secrets over the network" },
	{ "http://[2001:db8::1]:9000/check", ERR_CONFIG, "would send secrets over the network" },
	{ "https://127.0.0.1:9000/check", ERR_CONFIG, "must begin with http://" },
	{ "http://example.org/check", ERR_CONFIG, "must have an IP address and a port" },
	{ "http://127.0.0.1/check", ERR_CONFIG, "must have an IP address and a port" },
	{ "http://127.0.0.1:0/check", ERR_CONFIG, "must have an IP address and a port" },
	{ "http://localhost:x/check", ERR_CONFIG, "has no port that could be one" },
	{ "http://localhost:70000/check", ERR_CONFIG, "has no port that could be one" },
	{ "http://127.0.0.1:9000?x", ERR_CONFIG, "must have an IP address and a port" },
	{ "http://unix:run/check:/", ERR_CONFIG, "names no socket" },
	{ "http://unix:/run/check.sock:check", ERR_CONFIG, "needs a / before the path" },
	{ "http://unix::/check", ERR_CONFIG, "names no socket" },
};

static void urls_are_checked(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
		struct buf problem = BUF(1024);
		struct auth_backend *other = NULL;
		struct world w;

		begin(&w);
		CHECK_INT(urls[i].url,
		          auth_token_check_new(w.io, text_from(urls[i].url), (struct auth_backend_news){ 0 },
		                               &other, &problem),
		          urls[i].err);
		if (other) {
			w.backend->ops->close(&w.backend);
			w.backend = other;
			show(&w.clients[0], "token");
			sim_run(w.sim, 100);
			CHECK(urls[i].url, text_starts(buf_text(&w.head), text_from(urls[i].says)));
		} else {
			CHECK(urls[i].url, text_starts(buf_text(&problem), TEXT("access.token_check: ")));
			CHECK(urls[i].url,
			      text_find(buf_text(&problem), text_from(urls[i].says)) < problem.len);
		}
		buf_fini(&problem);
		end(&w);
	}
}

static void a_unix_socket_serves_too(void **state)
{
	struct io_address at = { .unix_path = "/run/check.sock" };
	struct world w;

	(void)state;
	begin_with(&w, "http://unix:/run/check.sock:/a/b");
	service_peer_end(&w.peer);
	service_peer_begin(&w.peer, w.io, &at, on_input, &w);
	w.response = OK_JSON("{\"user\":\"alice\"}");
	w.closes = true;
	show(&w.clients[0], "token");
	sim_run(w.sim, 100);
	assert_int_equal(w.clients[0].verdict, AUTH_SAYS_YES);
	assert_true(text_starts(buf_text(&w.head), TEXT("POST /a/b HTTP/1.1\r\nHost: localhost\r\n")));
	end(&w);
}

static void memory_that_runs_out_is_later(void **state)
{
	(void)state;
	for (EACH_ALLOC_FAILING) {
		unsigned nth = nth_;
		struct world w;

		alloc_fail_nth(0);
		begin(&w);
		w.response = OK_JSON("{\"user\":\"alice\",\"expires_in\":60}");
		w.closes = true;
		alloc_fail_nth(nth);
		enum err err = try_show(&w.clients[0], "token");

		sim_run(w.sim, 11 * SECOND_MS);
		bool failed = alloc_has_failed();

		alloc_fail_nth(0);
		assert_int_equal(w.clients[0].results, err ? 0 : 1);
		end(&w);
		if (failed) { /* for EACH_ALLOC_FAILING, which asks for it */
			alloc_fail_nth(1);
			free(malloc(1));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_question_is_json),
		cmocka_unit_test(answers_are_understood),
		cmocka_unit_test(senders_are_handed_on),
		cmocka_unit_test(an_endless_answer_is_cut),
		cmocka_unit_test(silence_is_bounded),
		cmocka_unit_test(a_trickle_is_bounded_too),
		cmocka_unit_test(one_that_is_down_is_later),
		cmocka_unit_test(that_it_is_of_no_use_is_said_once),
		cmocka_unit_test(only_so_many_connections_at_a_time),
		cmocka_unit_test(a_yes_is_kept_as_long_as_the_service_says),
		cmocka_unit_test(five_minutes_are_the_most),
		cmocka_unit_test(nothing_is_kept_unless_it_says_so),
		cmocka_unit_test(only_so_much_is_kept),
		cmocka_unit_test(a_cancelled_question_says_nothing_more),
		cmocka_unit_test(closing_is_later_for_all),
		cmocka_unit_test(urls_are_checked),
		cmocka_unit_test(a_unix_socket_serves_too),
		cmocka_unit_test(memory_that_runs_out_is_later),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
