/* Tokens from an endpoint that the test plays, from files of the simulated disk, and from scripted commands. */
#include <stdio.h>

#include <postrider/auth/tokens.h>
#include <postrider/base/time.h>
#include <postrider/sim.h>

#include "support/alloc.h"
#include "support/check.h"
#include "support/fake_disk.h"
#include "support/fake_io.h"
#include "support/service_peer.h"

#define CLIENTS 40
#define URL "https://login.example/token?key=hidden"
#define SHOWN "https://login.example/token"

struct client {
	struct world *w;
	struct auth_token_wait *slot;
	unsigned calls;
	enum err err;
	char token[100], problem[1000];
	uint64_t serial;
	void (*then)(struct client *c); /* from inside on_token */
};

struct world {
	struct sim *sim;
	struct io *io;
	struct sim_names *names;
	struct dns *dns;
	struct sim_tls_script client_script, server_script;
	struct tls_context *server_tls;
	bool contexts_fail;
	struct service_peer peer;
	const char *response; /* NULL: silence */
	const char *and_then; /* the next one; NULL: the same again */
	bool closes;
	unsigned requests;
	struct buf head, body;

	/* commands */
	struct auth_command *running; /* not NULL while one runs */
	auth_command_fn *on_command;
	void *command_owner;
	struct io_timer command_end;
	unsigned commands, kills;
	enum err run_err, command_err;
	int exit_code;
	const char *output, *first_error;
	char command[100];

	struct config config;
	struct config_way ways[3];
	struct config_login logins[3];
	struct auth_tokens *tokens;
	struct buf notices;
	struct client clients[CLIENTS];
};

/* ---------------------------------------------------------------- the endpoint */

static void on_tls(void *owner, enum err err, const struct tls_info *info)
{
	(void)owner;
	(void)err;
	(void)info;
}

static void on_input(struct service_session *s)
{
	struct world *w = s->peer->owner;
	struct text in = buf_text(&s->in);
	size_t head = text_find(in, TEXT("\r\n\r\n")) + 4;
	uint64_t body = 0;

	if (s->steps++ == 0) {
		assert_int_equal(tls_start(s->stream, w->server_tls, TEXT_EMPTY, on_tls, s), ERR_OK);
		return;
	}
	if (head > in.len)
		return;
	struct text length = text_skip(in, text_find(in, TEXT("Content-Length: ")) + 16);

	assert_int_equal(text_to_u64(text_cut(&length, '\r'), 1u << 20, &body), ERR_OK);
	if (in.len < head + body)
		return;
	w->requests++;
	buf_reset(&w->head);
	buf_add(&w->head, text_head(in, head));
	buf_reset(&w->body);
	buf_add(&w->body, text_skip(in, head));
	if (w->response)
		service_say(s, w->response);
	if (w->closes || w->response)
		io_stream_finish(s->stream);
	if (w->and_then)
		w->response = w->and_then;
}

/* ---------------------------------------------------------------- commands */

static void on_command_end(void *owner)
{
	struct world *w = owner;

	w->running = NULL;
	w->on_command(w->command_owner, w->command_err, w->exit_code, text_from(w->output),
	              text_from(w->first_error));
}

static enum err run_command(void *owner, struct text command, struct auth_command **out,
                            auth_command_fn *on_done, void *done_owner)
{
	struct world *w = owner;

	if (w->run_err)
		return w->run_err;
	assert_null(w->running);
	w->commands++;
	snprintf(w->command, sizeof(w->command), "%.*s", TEXT_ARGS(command));
	w->running = *out = (struct auth_command *)w;
	w->on_command = on_done;
	w->command_owner = done_owner;
	assert_int_equal(io_timer_start(w->io, &w->command_end, io_now_at(w->io) + 100, on_command_end, w),
	                 ERR_OK);
	return ERR_OK;
}

static void cancel_command(void *owner, struct auth_command **command)
{
	struct world *w = owner;

	w->kills++;
	w->running = NULL;
	io_timer_stop(w->io, &w->command_end);
	*command = NULL;
}

/* ---------------------------------------------------------------- the world */

static enum err client_context(void *owner, const struct tls_client_options *o, struct tls_context **out,
                               struct buf *problem)
{
	struct world *w = owner;

	assert_true(o->verify);
	if (w->contexts_fail) {
		buf_add_string(problem, "no such CA");
		return ERR_CONFIG;
	}
	return sim_tls_context(w->sim, false, o->verify, &w->client_script, out);
}

static void on_notice(void *owner, bool is_bad, struct text what)
{
	struct world *w = owner;

	buf_add_format(&w->notices, "%s: %.*s\n", is_bad ? "bad" : "good", TEXT_ARGS(what));
}

static void put_file(struct world *w, const char *path, const char *content)
{
	struct io_disk *d = sim_disk(w->sim);
	struct io_file *f = NULL;
	enum err err = d->ops->remove(d, path);

	assert_true(!err || err == ERR_NOT_FOUND);
	assert_int_equal(d->ops->open(d, path, IO_FILE_CREATE, &f), ERR_OK);
	assert_int_equal(d->ops->write_at(f, 0, content, strlen(content)), ERR_OK);
	d->ops->close(&f);
}

static void check_file(struct world *w, const char *path, const char *expected)
{
	struct io_disk *d = sim_disk(w->sim);
	struct io_file *f = NULL;
	char got[200];
	size_t len = 0;

	assert_int_equal(d->ops->open(d, path, IO_FILE_READ, &f), ERR_OK);
	assert_int_equal(d->ops->read_at(f, 0, got, sizeof(got), &len), ERR_OK);
	d->ops->close(&f);
	CHECK_TEXT(path, text_of(got, len), text_from(expected));
}

static struct auth_tokens_options options_of(struct world *w)
{
	return (struct auth_tokens_options){
		.io = w->io,
		.dns = w->dns,
		.config = &w->config,
		.disk = sim_disk(w->sim),
		.client_context = client_context,
		.client_context_owner = w,
		.commands = { run_command, cancel_command, w },
		.on_notice = on_notice,
		.owner = w,
	};
}

#define OK_HEAD "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"
#define TOKEN_1 OK_HEAD "{\"access_token\":\"one\",\"token_type\":\"Bearer\",\"expires_in\":3600}"
#define TOKEN_2 OK_HEAD "{\"access_token\":\"two\",\"token_type\":\"Bearer\",\"expires_in\":3600}"
#define REFUSAL(status, json) \
	"HTTP/1.1 " status " No\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n" json

static void add_login(struct world *w, const struct config_oauth2 *oauth2)
{
	size_t n = w->config.ways.count++;

	w->logins[n] = (struct config_login){ .username = LIT("mail@example.com"), .oauth2 = *oauth2 };
	w->ways[n] = (struct config_way){ .login = &w->logins[n] };
	w->config.ways.items = w->ways;
}

static void begin(struct world *w, const struct config_oauth2 *oauth2)
{
	struct ip_port name_server = service_address("10.0.0.53:53").ip;
	struct io_address at = service_address("192.0.2.1:443");

	*w = (struct world){
		.head = BUF(1 << 20), .body = BUF(1 << 20), .notices = BUF(1 << 20), .response = TOKEN_1
	};
	assert_int_equal(sim_new(&(struct sim_options){ .seed = 11 }, &w->sim), ERR_OK);
	w->io = sim_io(w->sim);
	assert_int_equal(sim_names_new(w->sim, name_server, "login.example. 300 A 192.0.2.1\n", &w->names),
	                 ERR_OK);
	assert_int_equal(
		dns_new(&(struct dns_options){ .io = w->io, .servers = &name_server, .server_count = 1 },
	                &w->dns),
		ERR_OK);
	assert_int_equal(sim_tls_context(w->sim, true, false, &w->server_script, &w->server_tls), ERR_OK);
	for (unsigned i = 0; i < CLIENTS; i++)
		w->clients[i].w = w;
	service_peer_begin(&w->peer, w->io, &at, on_input, w);
	if (!oauth2)
		return;
	add_login(w, oauth2);
	struct auth_tokens_options options = options_of(w);

	assert_int_equal(auth_tokens_new(&options, &w->tokens, NULL), ERR_OK);
}

static void end(struct world *w)
{
	auth_tokens_free(&w->tokens);
	if (w->peer.listener)
		service_peer_end(&w->peer);
	io_timer_stop(w->io, &w->command_end);
	dns_free(&w->dns);
	sim_names_free(&w->names);
	sim_settle(w->sim, 60000);
	tls_context_unref(&w->server_tls);
	sim_free(&w->sim);
	buf_fini(&w->head);
	buf_fini(&w->body);
	buf_fini(&w->notices);
}

static const struct config_oauth2 by_secret = { .token_url = LIT(URL),
	                                        .client_id = LIT("app id"),
	                                        .client_secret = LIT("s&cret"),
	                                        .scope = LIT("https://outlook.example/.default") };
static const struct config_oauth2 by_refresh = { .token_url = LIT(URL),
	                                         .client_id = LIT("app"),
	                                         .client_secret_file = LIT("/s/client"),
	                                         .refresh_token_file = LIT("/s/refresh") };
static const struct config_oauth2 by_file = { .token_file = LIT("/run/token") };
static const struct config_oauth2 by_command = { .token_command = LIT("/usr/bin/mail-token --secret x") };

static void on_token(void *owner, enum err err, const struct auth_token *token, struct text problem)
{
	struct client *c = owner;

	assert_null(c->slot);
	assert_int_equal(err == ERR_OK, token != NULL);
	assert_int_equal(err == ERR_OK, problem.len == 0);
	c->calls++;
	c->err = err;
	c->serial = token ? token->serial : 0;
	snprintf(c->token, sizeof(c->token), "%.*s", token ? (int)token->value.len : 0,
	         token ? token->value.at : "");
	snprintf(c->problem, sizeof(c->problem), "%.*s", TEXT_ARGS(problem));
	if (c->then)
		c->then(c);
}

static void want(struct client *c, uint64_t refused)
{
	unsigned before = c->calls;

	assert_int_equal(auth_tokens_get(c->w->tokens, &c->w->logins[0], refused, &c->slot, on_token, c),
	                 ERR_OK);
	assert_int_equal(c->calls, before);
	assert_non_null(c->slot);
}

/* Until it is answered, for a minute at most. */
static const char *get_refused(struct world *w, uint64_t refused)
{
	struct client *c = &w->clients[0];
	unsigned before = c->calls;

	want(c, refused);
	for (unsigned i = 0; i < 6000 && c->calls == before; i++)
		sim_run(w->sim, 10);
	assert_int_equal(c->calls, before + 1);
	return c->err ? c->problem : c->token;
}

static const char *get(struct world *w)
{
	return get_refused(w, 0);
}

/* ---------------------------------------------------------------- the request */

static void credentials_of_the_client_are_a_form(void **state)
{
	struct world w;

	(void)state;
	begin(&w, &by_secret);
	assert_string_equal(get(&w), "one");
	assert_true(text_starts(buf_text(&w.head),
	                        TEXT("POST /token?key=hidden HTTP/1.1\r\nHost: login.example\r\n")));
	assert_true(text_find(buf_text(&w.head), TEXT("\r\nAccept: application/json\r\n")) < w.head.len);
	assert_true(text_find(buf_text(&w.head),
	                      TEXT("\r\nContent-Type: application/x-www-form-urlencoded\r\n")) < w.head.len);
	CHECK_TEXT(
		"form", buf_text(&w.body),
		TEXT("grant_type=client_credentials&scope=https%3A%2F%2Foutlook.example%2F.default&client_id=app%20id&"
	             "client_secret=s%26cret"));
	assert_int_equal(w.notices.len, 0);
	end(&w);
}

static void a_refresh_token_and_secrets_come_from_files(void **state)
{
	struct world w;

	(void)state;
	begin(&w, &by_refresh);
	put_file(&w, "/s/client", "from file\n");
	put_file(&w, "/s/refresh", "r1\r\n");
	assert_string_equal(get(&w), "one");
	CHECK_TEXT("form", buf_text(&w.body),
	           TEXT("grant_type=refresh_token&refresh_token=r1&client_id=app&client_secret=from%20file"));
	end(&w);
}

static void files_that_are_of_no_use(void **state)
{
	struct world w;

	(void)state;
	begin(&w, &by_refresh);
	put_file(&w, "/s/client", "x");
	assert_true(text_starts(text_from(get(&w)),
	                        TEXT("no token to log in with: " SHOWN
	                             " cannot be asked: /s/refresh: no such file; asked again in ")));
	put_file(&w, "/s/refresh", "\n");
	sim_run(w.sim, 40000);
	assert_non_null(strstr(get(&w), " cannot be asked: /s/refresh is empty; asked again in "));
	put_file(&w, "/s/refresh", "a\nb\n");
	sim_run(w.sim, 80000);
	assert_non_null(strstr(get(&w), "/s/refresh holds something else than one line of ASCII"));
	assert_int_equal(w.requests, 0);
	end(&w);
}

/* RFC 6749 section 2.3.1: servers must take Basic, and some take nothing else. */
static void a_server_that_wants_basic_gets_it(void **state)
{
	struct world w;

	(void)state;
	begin(&w, &by_secret);
	w.response = REFUSAL("401", "{\"error\":\"invalid_client\"}");
	w.and_then = TOKEN_1;
	assert_string_equal(get(&w), "one");
	assert_int_equal(w.requests, 2);
	/* "app%20id:s%26cret" */
	assert_true(text_find(buf_text(&w.head),
	                      TEXT("\r\nAuthorization: Basic YXBwJTIwaWQ6cyUyNmNyZXQ=\r\n")) < w.head.len);
	assert_true(text_find(buf_text(&w.body), TEXT("client_")) ==
	            text_find(buf_text(&w.body), TEXT("client_credentials")));
	/* and is remembered */
	w.response = w.and_then = TOKEN_2;
	assert_string_equal(get_refused(&w, w.clients[0].serial), "two");
	assert_int_equal(w.requests, 3);
	assert_true(text_find(buf_text(&w.head), TEXT("Authorization: Basic")) < w.head.len);
	end(&w);
}

static void a_client_that_is_wrong_both_ways_is_asked_twice_only(void **state)
{
	struct world w;

	(void)state;
	begin(&w, &by_secret);
	w.response = REFUSAL("401", "{\"error\":\"invalid_client\",\"error_description\":\"who is s&cret\"}");
	assert_non_null(
		strstr(get(&w), SHOWN " answered 401 invalid_client: who is [secret]; asked again in "));
	assert_int_equal(w.requests, 2);
	end(&w);
}

/* ---------------------------------------------------------------- what goes wrong */

static const struct {
	const char *name, *response;
	bool closes;
	const char *problem;
} failures[] = {
	{ "an expired refresh token",
	  REFUSAL("400",
	          "{\"error\":\"invalid_grant\",\"error_description\":\"The refresh token has expired\"}"),
	  false, "answered 400 invalid_grant: The refresh token has expired; asked again in " },
	{ "400 without JSON", "HTTP/1.1 400 No\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n<p>",
	  false, "answered 400 (text/html); asked again in " },
	{ "500", "HTTP/1.1 500 No\r\nConnection: close\r\n\r\n", false, "answered 500; asked again in " },
	{ "302", "HTTP/1.1 302 Found\r\nLocation: https://evil.example/\r\nConnection: close\r\n\r\n", false,
	  "answered 302: it sends us elsewhere, where secrets are not taken; asked again in " },
	{ "an error with 200", OK_HEAD "{\"error\":\"bad_verification_code\"}", false,
	  "answered 200 bad_verification_code; asked again in " },
	{ "a page with 200", OK_HEAD "<html>Sign in", false,
	  "answered 200, but it is no JSON; asked again in " },
	{ "200 and nothing", OK_HEAD, false, "answered 200, but it is empty; asked again in " },
	{ "another type", OK_HEAD "{\"access_token\":\"a\",\"token_type\":\"mac\"}", false,
	  "answered 200, but its token_type is another than Bearer; asked again in " },
	{ "silence", NULL, false,
	  "cannot be asked: login.example [192.0.2.1]:443: waiting for the response: no answer within 20.0 s; asked again in " },
	{ "a cut", NULL, true,
	  "cannot be asked: login.example [192.0.2.1]:443: waiting for the response: connection closed" },
	{ "no HTTP", "220 hello\r\n", false,
	  "cannot be asked: login.example [192.0.2.1]:443: waiting for the response: " },
};

static void failures_are_sentences(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(failures); i++) {
		const char *row = failures[i].name;
		struct world w;

		begin(&w, &by_secret);
		w.response = failures[i].response;
		w.closes = failures[i].closes;
		const char *problem = get(&w);

		CHECK_INT(row, w.clients[0].err, ERR_TEMPORARY);
		if (!text_starts(text_from(problem), TEXT("no token to log in with: " SHOWN " ")) ||
		    !strstr(problem, failures[i].problem))
			fail_msg("%s: %s", row, problem);
		CHECK(row, !strstr(problem, "hidden"));
		CHECK(row, text_starts(buf_text(&w.notices), TEXT("bad: " SHOWN " ")));
		CHECK(row, text_ends(buf_text(&w.notices), TEXT("; mail that needs its tokens waits\n")));
		end(&w);
	}
}

static void an_endless_answer_is_cut_off(void **state)
{
	AUTO(buf_fini) struct buf big = BUF(1 << 20);
	struct world w;

	(void)state;
	buf_add_string(&big, OK_HEAD);
	while (big.len < 100000)
		buf_add_string(&big, "          ");
	buf_add_octet(&big, 0);
	begin(&w, &by_secret);
	w.response = big.at;
	assert_non_null(strstr(
		get(&w),
		" answers more than a token: login.example [192.0.2.1]:443: reading the response: more "
		"than 65536 octets"));
	end(&w);
}

static void a_wrong_certificate_gets_no_secret(void **state)
{
	struct world w;

	(void)state;
	begin(&w, NULL);
	w.server_script.certificate_is_bad = true;
	tls_context_unref(&w.server_tls);
	assert_int_equal(sim_tls_context(w.sim, true, false, &w.server_script, &w.server_tls), ERR_OK);
	add_login(&w, &by_secret);
	struct auth_tokens_options options = options_of(&w);

	assert_int_equal(auth_tokens_new(&options, &w.tokens, NULL), ERR_OK);
	assert_non_null(
		strstr(get(&w), " cannot be asked: login.example [192.0.2.1]:443: the TLS handshake: "));
	assert_int_equal(w.requests, 0);
	end(&w);
}

static void a_host_that_is_not_there(void **state)
{
	struct world w;

	(void)state;
	begin(&w, &by_secret);
	sim_names_change(w.names, "other.example. 300 A 192.0.2.1\n");
	assert_non_null(strstr(get(&w), " cannot be asked: login.example: looking its address up: "));
	end(&w);
}

/* ---------------------------------------------------------------- sharing and keeping */

static void all_wait_for_one_request(void **state)
{
	struct world w;

	(void)state;
	begin(&w, &by_secret);
	for (unsigned i = 0; i < CLIENTS; i++)
		want(&w.clients[i], 0);
	sim_run(w.sim, 1000);
	for (unsigned i = 0; i < CLIENTS; i++)
		assert_string_equal(w.clients[i].token, "one");
	assert_int_equal(w.requests, 1);
	end(&w);
}

static void a_token_is_renewed_before_its_end(void **state)
{
	struct world w;

	(void)state;
	begin(&w, &by_secret);
	assert_string_equal(get(&w), "one");
	sim_run(w.sim, 44 * MINUTE_MS); /* of 60, less a little */
	w.response = TOKEN_2;
	assert_string_equal(get(&w), "one");
	assert_int_equal(w.requests, 1);
	sim_run(w.sim, 5 * MINUTE_MS);
	assert_string_equal(get(&w), "one"); /* good still; and asks for the next */
	sim_run(w.sim, 1000);
	assert_int_equal(w.requests, 2);
	assert_string_equal(get(&w), "two");
	assert_int_equal(w.requests, 2);
	end(&w);
}

static void an_old_token_is_given_to_nobody(void **state)
{
	struct world w;

	(void)state;
	begin(&w, &by_secret);
	assert_string_equal(get(&w), "one");
	sim_run(w.sim, HOUR_MS - 25 * SECOND_MS);
	w.response = NULL;
	assert_string_equal(get(&w), "one");
	sim_run(w.sim, 6 * SECOND_MS); /* 19 s to go: not enough to log in with */
	w.response = TOKEN_2;
	for (unsigned i = 0; i < 60 && strcmp(get(&w), "two") != 0; i++) {
		assert_int_not_equal(w.clients[0].err, ERR_OK);
		sim_run(w.sim, SECOND_MS);
	}
	assert_string_equal(w.clients[0].token, "two");
	end(&w);
}

static void a_failure_to_renew_is_nobodys_but_told(void **state)
{
	struct world w;

	(void)state;
	begin(&w, &by_secret);
	assert_string_equal(get(&w), "one");
	w.response = "HTTP/1.1 503 No\r\nConnection: close\r\n\r\n";
	sim_run(w.sim, 50 * MINUTE_MS);
	assert_string_equal(get(&w), "one");
	sim_run(w.sim, 1000);
	assert_string_equal(get(&w), "one");
	assert_int_equal(w.requests, 2);
	CHECK_TEXT("told", buf_text(&w.notices),
	           TEXT("bad: " SHOWN " answered 503; the token it gave before is good for 9m 39s more\n"));
	buf_reset(&w.notices);
	w.response = TOKEN_2;
	sim_run(w.sim, MINUTE_MS);
	assert_string_equal(get(&w), "one");
	sim_run(w.sim, 1000);
	assert_string_equal(get(&w), "two");
	CHECK_TEXT("told", buf_text(&w.notices), TEXT("good: " SHOWN " gives tokens again\n"));
	end(&w);
}

static void a_token_that_ends_soon_is_used_and_renewed(void **state)
{
	struct world w;

	(void)state;
	begin(&w, &by_secret);
	w.response = OK_HEAD "{\"access_token\":\"one\",\"expires_in\":0}";
	w.and_then = TOKEN_2;
	assert_string_equal(get(&w), "one");
	sim_run(w.sim, 2000);
	assert_string_equal(get(&w), "two");
	end(&w);
}

static void a_broken_server_is_not_hammered(void **state)
{
	struct world w;

	(void)state;
	begin(&w, &by_secret);
	w.response = REFUSAL("400", "{\"error\":\"invalid_grant\"}");
	for (unsigned i = 0; i < 3600; i++) {
		get(&w);
		sim_run(w.sim, SECOND_MS);
	}
	assert_in_range(w.requests, 10, 20); /* 30 s, 1 m, 2 m, 4 m, then every 5 */
	assert_in_range(w.clients[0].calls, 3600, 3600);
	/* once in ten minutes */
	unsigned lines = 0;

	for (size_t i = 0; i < w.notices.len; i++)
		lines += w.notices.at[i] == '\n';
	assert_in_range(lines, 4, 7);
	w.response = TOKEN_1;
	sim_run(w.sim, 6 * MINUTE_MS);
	assert_string_equal(get(&w), "one");
	end(&w);
}

/* ---------------------------------------------------------------- refused tokens */

static void a_refused_token_is_replaced(void **state)
{
	struct world w;

	(void)state;
	begin(&w, &by_secret);
	assert_string_equal(get(&w), "one");
	uint64_t first = w.clients[0].serial;

	sim_run(w.sim, 10 * MINUTE_MS);
	w.response = TOKEN_2;
	for (unsigned i = 0; i < CLIENTS; i++)
		want(&w.clients[i], first);
	sim_run(w.sim, 1000);
	for (unsigned i = 0; i < CLIENTS; i++)
		assert_string_equal(w.clients[i].token, "two");
	assert_int_equal(w.requests, 2); /* one for all whose token was refused */
	assert_int_not_equal(w.clients[0].serial, first);
	assert_string_equal(get_refused(&w, first), "two");
	assert_int_equal(w.requests, 2);
	end(&w);
}

static void new_tokens_that_are_refused_too_are_not_asked_for_for_ever(void **state)
{
	char response[200];
	struct world w;

	(void)state;
	begin(&w, &by_secret);
	w.response = response;
	for (unsigned i = 0; i < 600; i++) {
		snprintf(response, sizeof(response), OK_HEAD "{\"access_token\":\"t%u\",\"expires_in\":3600}",
		         i);
		get_refused(&w, w.clients[0].serial);
		sim_run(w.sim, SECOND_MS);
	}
	assert_in_range(w.requests, 4, 9);
	assert_non_null(strstr(w.clients[0].problem,
	                       SHOWN " gives tokens that the server refuses, new ones too; asked again in "));
	end(&w);
}

static void the_same_token_again_is_no_new_one(void **state)
{
	struct world w;

	(void)state;
	begin(&w, &by_secret);
	assert_string_equal(get(&w), "one");
	assert_non_null(strstr(get_refused(&w, w.clients[0].serial),
	                       SHOWN " still has the token that the server refuses; "));
	assert_int_equal(w.requests, 2);
	end(&w);
}

/* ---------------------------------------------------------------- another refresh token */

#define ROTATED(token, refresh) \
	OK_HEAD "{\"access_token\":\"" token "\",\"expires_in\":60,\"refresh_token\":\"" refresh "\"}"

static void begin_rotating(struct world *w)
{
	begin(w, &by_refresh);
	put_file(w, "/s/client", "x");
	put_file(w, "/s/refresh", "r1\n");
	w->response = ROTATED("one", "r2");
	w->and_then = TOKEN_2;
	assert_string_equal(get(w), "one");
	sim_run(w->sim, 1000);
}

static bool asked_with(const struct world *w, const char *refresh)
{
	AUTO(buf_fini) struct buf pair = BUF(100);

	buf_add_format(&pair, "&refresh_token=%s&", refresh);
	return text_find(buf_text(&w->body), buf_text(&pair)) < w->body.len;
}

static void it_is_written_back_and_used(void **state)
{
	struct world w;

	(void)state;
	begin_rotating(&w);
	check_file(&w, "/s/refresh", "r2\n");
	assert_int_equal(w.notices.len, 0);
	sim_run(w.sim, MINUTE_MS);
	assert_string_equal(get(&w), "two");
	assert_true(asked_with(&w, "r2"));
	end(&w);
}

static void what_somebody_puts_there_goes_first(void **state)
{
	struct world w;

	(void)state;
	begin_rotating(&w);
	put_file(&w, "/s/refresh", "r9\n");
	sim_run(w.sim, MINUTE_MS);
	assert_string_equal(get(&w), "two");
	assert_true(asked_with(&w, "r9"));
	end(&w);
}

static void where_nothing_can_be_written_it_is_kept_in_memory(void **state)
{
	struct world w;

	(void)state;
	begin(&w, &by_refresh);
	put_file(&w, "/s/client", "x");
	put_file(&w, "/s/refresh", "r1\n");
	sim_disk_fail_after(w.sim, 0, ERR_DENIED);
	w.response = ROTATED("one", "r2");
	w.and_then = ROTATED("two", "r3");
	assert_string_equal(get(&w), "one");
	sim_run(w.sim, MINUTE_MS);
	assert_string_equal(get(&w), "two");
	assert_true(asked_with(&w, "r2"));
	sim_run(w.sim, MINUTE_MS);
	get(&w);
	assert_true(asked_with(&w, "r3"));
	check_file(&w, "/s/refresh", "r1\n");
	CHECK_TEXT("told once", buf_text(&w.notices),
	           TEXT("bad: " SHOWN
	                " gave another refresh token, which is kept in memory only and lost at a restart: "
	                "/s/refresh: its directory must be writable for the relay\n"));
	/* and when somebody makes it right */
	sim_disk_fail_after(w.sim, 0, ERR_OK);
	w.response = ROTATED("four", "r4");
	sim_run(w.sim, 2 * MINUTE_MS);
	get(&w);
	sim_run(w.sim, 1000);
	check_file(&w, "/s/refresh", "r4\n");
	end(&w);
}

static void without_a_file_that_is_told(void **state)
{
	struct config_oauth2 oauth2 = by_secret;
	struct world w;

	(void)state;
	oauth2.refresh_token = TEXT("r1");
	begin(&w, &oauth2);
	w.response = ROTATED("one", "r2");
	w.and_then = TOKEN_2;
	assert_string_equal(get(&w), "one");
	assert_true(asked_with(&w, "r1"));
	CHECK_TEXT(
		"told", buf_text(&w.notices),
		TEXT("bad: " SHOWN
	             " gave another refresh token, which is kept in memory only and lost at a restart: give it a "
	             "place: refresh_token_file\n"));
	sim_run(w.sim, MINUTE_MS);
	assert_string_equal(get(&w), "two");
	assert_true(asked_with(&w, "r2"));
	end(&w);
}

/* ---------------------------------------------------------------- files and commands */

static void a_token_file_is_read_when_it_changes(void **state)
{
	struct world w;

	(void)state;
	begin(&w, &by_file);
	assert_string_equal(
		get(&w),
		"no token to log in with: token_file /run/token cannot be read: no such file; asked again in 1.0 s");
	put_file(&w, "/run/token", "t1\n");
	sim_run(w.sim, 2000);
	assert_string_equal(get(&w), "t1");
	uint64_t first = w.clients[0].serial;

	sim_run(w.sim, 2000);
	assert_string_equal(get(&w), "t1");
	assert_int_equal(w.clients[0].serial, first);
	assert_string_equal(get_refused(&w, first),
	                    "no token to log in with: token_file /run/token still has the token that the "
	                    "server refuses; asked again in 1.0 s");
	put_file(&w, "/run/token", "t2\n");
	sim_run(w.sim, 2000);
	assert_string_equal(get(&w), "t2");
	assert_int_equal(w.requests, 0);
	end(&w);
}

/* The server may have been wrong. */
static void a_refused_token_is_tried_again_after_a_while(void **state)
{
	struct world w;

	(void)state;
	begin(&w, &by_file);
	put_file(&w, "/run/token", "t1\n");
	assert_string_equal(get(&w), "t1");
	get_refused(&w, w.clients[0].serial);
	assert_int_not_equal(w.clients[0].err, ERR_OK);
	sim_run(w.sim, 6 * MINUTE_MS);
	assert_string_equal(get(&w), "t1");
	end(&w);
}

static void a_command_says_a_token(void **state)
{
	struct world w;

	(void)state;
	begin(&w, &by_command);
	w.output = "t1\n";
	want(&w.clients[1], 0);
	assert_string_equal(get(&w), "t1");
	assert_string_equal(w.clients[1].token, "t1");
	assert_string_equal(w.command, "/usr/bin/mail-token --secret x");
	assert_int_equal(w.commands, 1);
	sim_run(w.sim, 4 * MINUTE_MS);
	assert_string_equal(get(&w), "t1");
	assert_int_equal(w.commands, 1);
	sim_run(w.sim, 2 * MINUTE_MS);
	w.output = "{\"access_token\":\"t2\",\"expires_in\":3600}";
	assert_string_equal(get(&w), "t2");
	assert_int_equal(w.commands, 2);
	sim_run(w.sim, 30 * MINUTE_MS);
	assert_string_equal(get(&w), "t2");
	assert_int_equal(w.commands, 2);
	w.output = "t3";
	assert_string_equal(get_refused(&w, w.clients[0].serial), "t3");
	end(&w);
}

static const struct {
	const char *name;
	enum err run_err, err;
	int exit_code;
	const char *output, *first_error, *problem;
} commands[] = {
	{ "it fails", ERR_OK, ERR_OK, 3, "", "mail-token: no\x1b[0m key",
	  "ended with exit code 3: mail-token: no [0m key; asked" },
	{ "it fails in silence", ERR_OK, ERR_OK, 1, "t", "",
	  "ended with exit code 1 and no word of why; asked" },
	{ "it hangs", ERR_OK, ERR_TIMEOUT, 0, "", "",
	  "was still running after its time, and was killed; asked" },
	{ "it says too much", ERR_OK, ERR_TOO_BIG, 0, "", "", "says more than a token; asked" },
	{ "nothing comes", ERR_OK, ERR_OK, 0, "\n", "", "said what is of no use: it is empty; asked" },
	{ "two lines", ERR_OK, ERR_OK, 0, "a\nb", "", "said what is of no use: it is no token: neither" },
	{ "it is not known", ERR_DENIED, ERR_OK, 0, "", "",
	  "cannot be run: it is not among the commands that the relay was started with: restart it; asked" },
	{ "nobody can run it", ERR_OK, ERR_CLOSED, 0, "", "",
	  "cannot be run: the process that runs commands has ended: restart" },
};

static void commands_that_fail_are_sentences(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		const char *row = commands[i].name;
		struct world w;

		begin(&w, &by_command);
		w.run_err = commands[i].run_err;
		w.command_err = commands[i].err;
		w.exit_code = commands[i].exit_code;
		w.output = commands[i].output;
		w.first_error = commands[i].first_error;
		const char *problem = get(&w);

		CHECK_INT(row, w.clients[0].err, ERR_TEMPORARY);
		if (!text_starts(text_from(problem),
		                 TEXT("no token to log in with: token_command /usr/bin/mail-token ")) ||
		    !strstr(problem, commands[i].problem))
			fail_msg("%s: %s", row, problem);
		CHECK(row, !strstr(problem, "--secret"));
		end(&w);
	}
}

/* ---------------------------------------------------------------- cancelling, reload, the end */

static void cancelled_ones_hear_nothing(void **state)
{
	(void)state;
	for (int64_t ms = 0; ms < 40; ms += 2) {
		struct world w;

		begin(&w, &by_secret);
		want(&w.clients[0], 0);
		want(&w.clients[1], 0);
		sim_run(w.sim, ms);
		unsigned before = w.clients[0].calls;

		auth_tokens_cancel(&w.clients[0].slot);
		auth_tokens_cancel(&w.clients[0].slot);
		sim_run(w.sim, 1000);
		assert_int_equal(w.clients[0].calls, before);
		assert_string_equal(w.clients[1].token, "one");
		end(&w);
	}
}

static void the_end_may_come_at_any_moment(void **state)
{
	static const struct config_oauth2 *const kinds[] = { &by_secret, &by_refresh, &by_file, &by_command };

	(void)state;
	for (size_t kind = 0; kind < ARRAY_LEN(kinds); kind++) {
		for (int64_t ms = 0; ms < 40; ms += 2) {
			struct world w;

			begin(&w, kinds[kind]);
			put_file(&w, "/s/client", "x");
			put_file(&w, "/s/refresh", "r1\n");
			w.response = ROTATED("one", "r2");
			want(&w.clients[0], 0);
			sim_run(w.sim, ms);
			unsigned before = w.clients[0].calls;

			auth_tokens_free(&w.tokens);
			assert_null(w.clients[0].slot);
			sim_run(w.sim, 1000);
			assert_int_equal(w.clients[0].calls, before);
			end(&w);
		}
	}
}

static void free_all(struct client *c)
{
	auth_tokens_free(&c->w->tokens);
}

static void the_end_may_come_from_inside(void **state)
{
	struct world w;

	(void)state;
	begin(&w, &by_secret);
	w.clients[0].then = free_all;
	want(&w.clients[0], 0);
	want(&w.clients[1], 0);
	sim_run(w.sim, 1000);
	assert_int_equal(w.clients[0].calls, 1);
	assert_int_equal(w.clients[1].calls, 0);
	assert_null(w.clients[1].slot);
	end(&w);
}

static void want_again(struct client *c)
{
	if (c->calls < 5)
		want(c, c->serial);
}

static void asking_again_from_inside_comes_to_an_end(void **state)
{
	struct world w;

	(void)state;
	begin(&w, &by_secret);
	w.clients[0].then = want_again;
	want(&w.clients[0], 0);
	sim_run(w.sim, 10000);
	assert_int_equal(w.clients[0].calls, 5);
	assert_in_range(w.requests, 1, 3);
	end(&w);
}

static void a_reload_keeps_what_stays_as_it_was(void **state)
{
	struct world w;

	(void)state;
	begin(&w, &by_secret);
	assert_string_equal(get(&w), "one");
	assert_int_equal(auth_tokens_configure(w.tokens, &w.config, NULL), ERR_OK);
	assert_string_equal(get(&w), "one");
	assert_int_equal(w.requests, 1);
	w.logins[0].oauth2.scope = TEXT("another");
	assert_int_equal(auth_tokens_configure(w.tokens, &w.config, NULL), ERR_OK);
	w.response = TOKEN_2;
	assert_string_equal(get(&w), "two");
	end(&w);
}

static void who_waits_at_what_is_gone_hears_so(void **state)
{
	struct world w;

	(void)state;
	begin(&w, &by_secret);
	w.response = NULL;
	want(&w.clients[0], 0);
	sim_run(w.sim, 100);
	w.config.ways.count = 0;
	assert_int_equal(auth_tokens_configure(w.tokens, &w.config, NULL), ERR_OK);
	sim_run(w.sim, 100);
	assert_int_equal(w.clients[0].calls, 1);
	assert_int_equal(w.clients[0].err, ERR_TEMPORARY);
	assert_string_equal(get(&w),
	                    "no token to log in with: the configuration has another source of tokens by now");
	end(&w);
}

static void a_reload_that_fails_leaves_all_as_it_was(void **state)
{
	AUTO(buf_fini) struct buf problem = BUF(300);
	struct config_oauth2 other = by_secret;
	struct world w;

	(void)state;
	begin(&w, &by_secret);
	assert_string_equal(get(&w), "one");
	other.ca_file = TEXT("/tls/ca.pem");
	add_login(&w, &other);
	assert_int_equal(auth_tokens_configure(w.tokens, &w.config, &problem), ERR_CONFIG);
	CHECK_TEXT("problem", buf_text(&problem), TEXT("oauth2.ca_file /tls/ca.pem: no such file"));
	assert_string_equal(get(&w), "one");
	w.contexts_fail = true;
	put_file(&w, "/tls/ca.pem", "pem");
	assert_int_equal(auth_tokens_configure(w.tokens, &w.config, &problem), ERR_CONFIG);
	w.contexts_fail = false;
	assert_int_equal(auth_tokens_configure(w.tokens, &w.config, &problem), ERR_OK);
	w.config.ways.count = 1;
	assert_int_equal(auth_tokens_configure(w.tokens, &w.config, &problem), ERR_OK);
	assert_string_equal(get(&w), "one");
	assert_int_equal(w.requests, 1);
	end(&w);
}

static void a_start_that_fails_leaves_nothing(void **state)
{
	AUTO(buf_fini) struct buf problem = BUF(300);
	struct world w;

	(void)state;
	begin(&w, NULL);
	add_login(&w, &by_secret);
	w.contexts_fail = true;
	struct auth_tokens_options options = options_of(&w);

	assert_int_equal(auth_tokens_new(&options, &w.tokens, &problem), ERR_CONFIG);
	assert_null(w.tokens);
	end(&w);
}

/* ---------------------------------------------------------------- no memory */

struct
try {
	struct auth_token_wait *slot;
	unsigned calls, tokens;
};

static void on_try(void *owner, enum err err, const struct auth_token *token, struct text problem)
{
	struct try *t = owner;

	assert_true(token ? !err : err == ERR_TEMPORARY || err == ERR_NOMEM);
	(void)problem;
	t->calls++;
	t->tokens += token != NULL;
}

static void put_token(struct io_disk *d)
{
	struct io_file *f = NULL;

	assert_int_equal(d->ops->open(d, "/run/token", IO_FILE_CREATE, &f), ERR_OK);
	assert_int_equal(d->ops->write_at(f, 0, "t1\n", 3), ERR_OK);
	d->ops->close(&f);
}

/* With the nth allocation failing; false: it needed fewer. */
static bool try_without_memory(unsigned nth, struct try *t)
{
	const struct config_login login = { .oauth2 = by_file };
	const struct config_way way = { .login = &login };
	const struct config config = { .ways = { &way, 1 } };
	struct fake_disk *disk = fake_disk_new(1 << 20);
	struct auth_tokens *tokens = NULL;
	struct fake_io world;
	struct auth_tokens_options options = { .config = &config, .disk = fake_disk_io(disk) };

	put_token(fake_disk_io(disk));
	options.io = fake_io_init(&world);
	alloc_fail_nth(nth);
	enum err err = auth_tokens_new(&options, &tokens, NULL);

	assert_int_equal(err != ERR_OK, tokens == NULL);
	if (!err)
		err = auth_tokens_get(tokens, &login, 0, &t->slot, on_try, t);
	assert_true(!err || err == ERR_NOMEM);
	fake_io_run(&world);
	bool has_failed = alloc_has_failed();

	alloc_fail_nth(0);
	assert_int_equal(t->calls, err ? 0 : 1);
	auth_tokens_free(&tokens);
	fake_io_run(&world);
	fake_io_fini(&world);
	fake_disk_free(&disk);
	return has_failed;
}

static void memory_that_runs_out_is_no_token(void **state)
{
	unsigned nth = 1, without = 0;

	(void)state;
	for (;; nth++) {
		struct try t = { .calls = 0 };

		if (!try_without_memory(nth, &t)) {
			assert_int_equal(t.tokens, 1);
			break;
		}
		without += t.tokens == 0;
	}
	assert_in_range(without, 8, nth);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(credentials_of_the_client_are_a_form),
		cmocka_unit_test(a_refresh_token_and_secrets_come_from_files),
		cmocka_unit_test(files_that_are_of_no_use),
		cmocka_unit_test(a_server_that_wants_basic_gets_it),
		cmocka_unit_test(a_client_that_is_wrong_both_ways_is_asked_twice_only),
		cmocka_unit_test(failures_are_sentences),
		cmocka_unit_test(an_endless_answer_is_cut_off),
		cmocka_unit_test(a_wrong_certificate_gets_no_secret),
		cmocka_unit_test(a_host_that_is_not_there),
		cmocka_unit_test(all_wait_for_one_request),
		cmocka_unit_test(a_token_is_renewed_before_its_end),
		cmocka_unit_test(an_old_token_is_given_to_nobody),
		cmocka_unit_test(a_failure_to_renew_is_nobodys_but_told),
		cmocka_unit_test(a_token_that_ends_soon_is_used_and_renewed),
		cmocka_unit_test(a_broken_server_is_not_hammered),
		cmocka_unit_test(a_refused_token_is_replaced),
		cmocka_unit_test(new_tokens_that_are_refused_too_are_not_asked_for_for_ever),
		cmocka_unit_test(the_same_token_again_is_no_new_one),
		cmocka_unit_test(it_is_written_back_and_used),
		cmocka_unit_test(what_somebody_puts_there_goes_first),
		cmocka_unit_test(where_nothing_can_be_written_it_is_kept_in_memory),
		cmocka_unit_test(without_a_file_that_is_told),
		cmocka_unit_test(a_token_file_is_read_when_it_changes),
		cmocka_unit_test(a_refused_token_is_tried_again_after_a_while),
		cmocka_unit_test(a_command_says_a_token),
		cmocka_unit_test(commands_that_fail_are_sentences),
		cmocka_unit_test(cancelled_ones_hear_nothing),
		cmocka_unit_test(the_end_may_come_at_any_moment),
		cmocka_unit_test(the_end_may_come_from_inside),
		cmocka_unit_test(asking_again_from_inside_comes_to_an_end),
		cmocka_unit_test(a_reload_keeps_what_stays_as_it_was),
		cmocka_unit_test(who_waits_at_what_is_gone_hears_so),
		cmocka_unit_test(a_reload_that_fails_leaves_all_as_it_was),
		cmocka_unit_test(a_start_that_fails_leaves_nothing),
		cmocka_unit_test(memory_that_runs_out_is_no_token),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
