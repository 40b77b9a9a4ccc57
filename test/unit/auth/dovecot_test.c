/* The backend against a Dovecot that the test plays, in the simulated world. */
#include <stdio.h>

#include <postrider/base/base64.h>
#include <postrider/base/random.h>
#include <postrider/sim.h>

#include "support/alloc.h"
#include "support/check.h"
#include "support/service_peer.h"

#include "backend.h"

#define AT "192.0.2.12:12345"
#define CLIENTS 40
#define GREETING \
	"VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nMECH\tSCRAM-SHA-256\tmutual-auth\nSPID\t1\nCUID\t1\nCOOKIE\tx\nDONE\n"

struct client {
	struct world *w;
	struct auth_call *call;
	unsigned results;
	enum auth_verdict verdict;
	char user[64], why[128], octets[64];
	const char *next;        /* said when MORE comes */
	bool cancels;            /* when MORE comes */
	bool closes;             /* the backend, when the result comes */
	bool owed;               /* a result */
	struct client *next_one; /* logs in when LATER comes */
	int64_t asked_at;
	int64_t at;
};

struct world {
	struct sim *sim;
	struct io *io;
	struct config_endpoint endpoint;
	struct service_peer peer;
	struct auth_backend *backend;
	const char *greeting;
	/* What is said to a line about a request; %s stands for its number. NULL: nothing. */
	const char *(*respond)(struct world *w, struct text line);
	struct buf heard; /* all lines but the hello */
	struct buf news;
	struct random random;
	unsigned hellos;
	struct client clients[CLIENTS];
};

/* ---------------------------------------------------------------- Dovecot */

static struct text id_of(struct text line)
{
	text_cut(&line, '\t');
	return text_cut(&line, '\t');
}

static void say_about(struct service_session *s, const char *format, struct text id)
{
	AUTO(buf_fini) struct buf b = BUF(65536);
	struct text rest = text_from(format);

	while (rest.len) {
		struct text before = rest;
		size_t at = text_find(before, TEXT("%s"));

		buf_add(&b, text_head(before, at));
		if (at < before.len)
			buf_add(&b, id);
		rest = text_skip(before, at + 2);
	}
	service_say_text(s, buf_text(&b));
}

static void hear_line(struct service_session *s, struct text line)
{
	struct world *w = s->peer->owner;

	if (text_starts(line, TEXT("VERSION\t1\t"))) {
		w->hellos++;
		service_say(s, w->greeting);
		return;
	}
	if (text_starts(line, TEXT("CPID\t")))
		return;
	buf_add(&w->heard, line);
	buf_add_octet(&w->heard, '\n');
	const char *answer = w->respond ? w->respond(w, line) : NULL;

	if (answer)
		say_about(s, answer, id_of(line));
}

static void on_input(struct service_session *s)
{
	struct text line;

	while (service_line(s, &line)) {
		hear_line(s, line);
		service_drop_line(s);
	}
}

static void be_there(struct world *w)
{
	struct io_address at = service_address(AT);

	service_peer_begin(&w->peer, w->io, &at, on_input, w);
}

static struct service_session *session_of(struct world *w)
{
	struct service_session *s = LIST_FIRST(&w->peer.sessions, struct service_session, link);

	assert_non_null(s);
	return s;
}

static const char *says_ok(struct world *w, struct text line)
{
	(void)w;
	return text_starts(line, TEXT("AUTH\t")) ? "OK\t%s\tuser=alice\n" : NULL;
}

/* ---------------------------------------------------------------- the world */

static void prepare(struct world *w)
{
	*w = (struct world){ .greeting = GREETING, .heard = BUF(1u << 20), .news = BUF(65536) };
	assert_int_equal(sim_new(&(struct sim_options){ .seed = 3 }, &w->sim), ERR_OK);
	w->io = sim_io(w->sim);
	w->endpoint = (struct config_endpoint){ .text = TEXT(AT), .host = TEXT("192.0.2.12"), .port = 12345 };
	assert_int_equal(ip_parse(w->endpoint.host, &w->endpoint.ip), ERR_OK);
	for (unsigned i = 0; i < CLIENTS; i++)
		w->clients[i].w = w;
}

static void on_news(void *owner, bool is_bad, struct text what)
{
	struct world *w = owner;

	buf_add_format(&w->news, "%s: %.*s\n", is_bad ? "bad" : "good", TEXT_ARGS(what));
}

static void open_backend(struct world *w)
{
	const struct auth_backend_news news = { on_news, w };

	assert_int_equal(auth_dovecot_new(w->io, &w->endpoint, news, &w->backend), ERR_OK);
}

static void begin(struct world *w)
{
	prepare(w);
	be_there(w);
	open_backend(w);
	sim_run(w->sim, 100);
}

static void end(struct world *w)
{
	if (w->backend)
		w->backend->ops->close(&w->backend);
	if (w->peer.io)
		service_peer_end(&w->peer);
	sim_settle(w->sim, 60000);
	sim_free(&w->sim);
	buf_fini(&w->heard);
	buf_fini(&w->news);
}

static void log_in(struct client *c);

static void on_result(void *owner, const struct auth_result *result)
{
	struct client *c = owner;

	c->results++;
	c->verdict = result->verdict;
	c->at = io_now_at(c->w->io);
	snprintf(c->user, sizeof(c->user), "%.*s", TEXT_ARGS(result->user));
	snprintf(c->why, sizeof(c->why), "%.*s", TEXT_ARGS(result->why));
	snprintf(c->octets, sizeof(c->octets), "%.*s", TEXT_ARGS(result->octets));
	if (result->verdict != AUTH_SAYS_MORE) {
		assert_null(c->call);
		if (c->next_one && c->verdict == AUTH_SAYS_LATER)
			log_in(c->next_one);
		if (c->closes)
			c->w->backend->ops->close(&c->w->backend);
	} else if (c->cancels) {
		c->w->backend->ops->cancel(&c->call);
	} else if (c->next) {
		c->w->backend->ops->answer(c->call, text_from(c->next));
	}
}

static enum err try_login(struct client *c, enum auth_mechanism mechanism, struct text initial)
{
	const struct auth_request request = { .mechanism = mechanism,
		                              .has_initial = true,
		                              .initial = initial,
		                              .client = ip_from_v4(0xc0000207),
		                              .on_result = on_result,
		                              .owner = c };
	unsigned before = c->results;
	enum err err = c->w->backend->ops->begin(c->w->backend, &request, &c->call);

	assert_int_equal(c->results, before); /* never from inside */
	return err;
}

static void log_in(struct client *c)
{
	assert_int_equal(try_login(c, AUTH_PLAIN, TEXT("\0alice\0secret")), ERR_OK);
	assert_non_null(c->call);
}

/* ---------------------------------------------------------------- dialogues */

static void what_dovecot_announces_is_offered(void **state)
{
	struct world w;

	(void)state;
	prepare(&w);
	be_there(&w);
	open_backend(&w);
	assert_int_equal(w.backend->ops->mechanisms(w.backend),
	                 AUTH_PLAIN); /* not heard yet: 454 is better than no AUTH */
	sim_run(w.sim, 100);
	assert_int_equal(w.backend->ops->mechanisms(w.backend), AUTH_PLAIN | AUTH_SCRAM_SHA_256);
	/* It goes and comes back as another. */
	service_peer_end(&w.peer);
	sim_run(w.sim, 1000);
	assert_int_equal(w.backend->ops->mechanisms(w.backend), AUTH_PLAIN | AUTH_SCRAM_SHA_256);
	w.greeting = "VERSION\t1\t2\nMECH\tXOAUTH2\nDONE\n";
	be_there(&w);
	sim_run(w.sim, 15 * SECOND_MS);
	assert_int_equal(w.backend->ops->mechanisms(w.backend), AUTH_XOAUTH2);
	end(&w);
}

static void yes_names_the_user(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	w.respond = says_ok;
	log_in(&w.clients[0]);
	sim_run(w.sim, 100);
	assert_int_equal(w.clients[0].results, 1);
	assert_int_equal(w.clients[0].verdict, AUTH_SAYS_YES);
	assert_string_equal(w.clients[0].user, "alice");
	CHECK_TEXT(
		"asked", buf_text(&w.heard),
		TEXT("AUTH\t1\tPLAIN\tservice=smtp\tnologin\tno-penalty\trip=192.0.2.7\tresp=AGFsaWNlAHNlY3JldA==\n"));
	end(&w);
}

static const struct {
	const char *said;
	enum auth_verdict verdict;
	const char *why, *user;
} last_words[] = {
	{ "OK\t%s\tuser=bob@example.org\n", AUTH_SAYS_YES, "", "bob@example.org" },
	{ "OK\t%s\tx=1\tuser=b\n", AUTH_SAYS_YES, "", "b" },
	{ "OK\t%s\n", AUTH_SAYS_LATER, "Dovecot's OK names no user that could be one", "" },
	{ "OK\t%s\tuser=\n", AUTH_SAYS_LATER, "Dovecot's OK names no user that could be one", "" },
	{ "OK\t%s\tuser=a\001nb\n", AUTH_SAYS_LATER, "Dovecot's OK names no user that could be one", "" },
	{ "OK\t%s\tuser=a\001\n", AUTH_SAYS_LATER, "Dovecot's OK names no user that could be one", "" },
	{ "OK\t%s\tuser=a\tresp=!!!\n", AUTH_SAYS_LATER, "Dovecot's OK names no user that could be one", "" },
	{ "FAIL\t%s\tuser=alice\n", AUTH_SAYS_NO, "Dovecot refused", "" },
	{ "FAIL\t%s\tuser=alice\tuser_disabled\treason=on\001nholiday\n", AUTH_SAYS_NO,
	  "Dovecot refused: on?holiday", "" },
	{ "FAIL\t%s\ttemp\n", AUTH_SAYS_LATER, "Dovecot has a passing failure", "" },
	{ "FAIL\t%s\tcode=temp_fail\treason=no database\n", AUTH_SAYS_LATER,
	  "Dovecot has a passing failure: no database", "" },
	{ "CONT\t%s\tno base64\n", AUTH_SAYS_LATER, "Dovecot sent a challenge that is no base64", "" },
};

static const char *last_word;

static const char *says_last_word(struct world *w, struct text line)
{
	(void)w, (void)line;
	return last_word;
}

static void dovecots_last_words_are_understood(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(last_words); i++) {
		struct world w;

		begin(&w);
		last_word = last_words[i].said;
		w.respond = says_last_word;
		log_in(&w.clients[0]);
		sim_run(w.sim, 100);
		CHECK_INT(last_word, w.clients[0].results, 1);
		CHECK_INT(last_word, w.clients[0].verdict, last_words[i].verdict);
		CHECK_TEXT(last_word, text_from(w.clients[0].why), text_from(last_words[i].why));
		CHECK_TEXT(last_word, text_from(w.clients[0].user), text_from(last_words[i].user));
		end(&w);
	}
}

static const char *says_scram(struct world *w, struct text line)
{
	(void)w;
	if (text_starts(line, TEXT("AUTH\t")))
		return "CONT\t%s\tcj1hYmM=\n";   /* r=abc */
	if (text_ends(line, TEXT("\tYz1iaXdz"))) /* c=biws */
		return "CONT\t%s\tdj14eXo=\n";   /* v=xyz */
	return text_starts(line, TEXT("CONT\t")) ? "OK\t%s\tuser=alice\n" : NULL;
}

static void a_dialogue_is_relayed(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	w.respond = says_scram;
	struct client *c = &w.clients[0];

	assert_int_equal(try_login(c, AUTH_SCRAM_SHA_256, TEXT("n,,n=alice,r=ab")), ERR_OK);
	sim_run(w.sim, 100);
	assert_int_equal(c->verdict, AUTH_SAYS_MORE);
	assert_string_equal(c->octets, "r=abc");
	sim_run(w.sim, 20 * SECOND_MS); /* the client may think */
	w.backend->ops->answer(c->call, TEXT("c=biws"));
	sim_run(w.sim, 100);
	assert_string_equal(c->octets, "v=xyz");
	w.backend->ops->answer(c->call, TEXT(""));
	sim_run(w.sim, 100);
	assert_int_equal(c->results, 3);
	assert_int_equal(c->verdict, AUTH_SAYS_YES);
	assert_string_equal(c->user, "alice");
	end(&w);
}

/* Answers come in any order, each to its own. */
static void many_dialogues_share_a_connection(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	for (unsigned i = 0; i < CLIENTS; i++)
		log_in(&w.clients[i]);
	sim_run(w.sim, 100);
	for (unsigned i = CLIENTS; i-- > 0;) {
		char line[64];

		snprintf(line, sizeof(line), i % 3 ? "OK\t%u\tuser=u%u\n" : "FAIL\t%u\tuser=u%u\n", i + 1, i);
		service_say(session_of(&w), line);
	}
	sim_run(w.sim, 100);
	for (unsigned i = 0; i < CLIENTS; i++) {
		char user[16];

		snprintf(user, sizeof(user), "u%u", i);
		assert_int_equal(w.clients[i].results, 1);
		assert_int_equal(w.clients[i].verdict, i % 3 ? AUTH_SAYS_YES : AUTH_SAYS_NO);
		assert_string_equal(w.clients[i].user, i % 3 ? user : "");
	}
	assert_int_equal(w.peer.accepted, 1);
	end(&w);
}

static void words_about_nobody_are_passed_over(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	service_say(session_of(&w), "OK\t99\tuser=mallory\nFAIL\t98\nCONT\t97\tAAAA\nNEWS\t1\n\n");
	w.respond = says_ok;
	log_in(&w.clients[0]);
	sim_run(w.sim, 100);
	assert_int_equal(w.clients[0].verdict, AUTH_SAYS_YES);
	end(&w);
}

/* ---------------------------------------------------------------- it is away */

static void a_dovecot_that_is_down_is_later_at_once(void **state)
{
	struct world w;

	(void)state;
	prepare(&w);
	open_backend(&w);
	sim_run(w.sim, 5 * SECOND_MS);
	int64_t began_at = io_now_at(w.io);

	log_in(&w.clients[0]);
	sim_run(w.sim, 10);
	assert_int_equal(w.clients[0].results, 1);
	assert_int_equal(w.clients[0].verdict, AUTH_SAYS_LATER);
	assert_string_equal(w.clients[0].why, "Dovecot is down");
	assert_true(w.clients[0].at - began_at <= 1);
	/* It comes, and is found without anybody asking. */
	be_there(&w);
	w.respond = says_ok;
	sim_run(w.sim, 13 * SECOND_MS);
	log_in(&w.clients[1]);
	sim_run(w.sim, 100);
	assert_int_equal(w.clients[1].verdict, AUTH_SAYS_YES);
	CHECK_TEXT("news", buf_text(&w.news),
	           TEXT("bad: the Dovecot at " AT
	                " checks no logins: Dovecot is down; until it is back they are answered "
	                "454. Look whether it runs.\n"
	                "good: the Dovecot at " AT " is back\n"));
	end(&w);
}

static void who_comes_while_it_greets_waits(void **state)
{
	struct world w;

	(void)state;
	prepare(&w);
	be_there(&w);
	w.respond = says_ok;
	open_backend(&w);
	log_in(&w.clients[0]);
	sim_run(w.sim, 100);
	assert_int_equal(w.clients[0].results, 1);
	assert_int_equal(w.clients[0].verdict, AUTH_SAYS_YES);
	end(&w);
}

static void a_restart_is_later_for_those_under_way_and_nobody_else(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	sim_run(w.sim, 2 * SECOND_MS);
	w.respond = says_scram;
	assert_int_equal(try_login(&w.clients[0], AUTH_SCRAM_SHA_256, TEXT("n,,")), ERR_OK);
	sim_run(w.sim, 100);
	w.respond = NULL;
	log_in(&w.clients[1]);
	sim_run(w.sim, 100);
	service_peer_hang_up(&w.peer);
	sim_run(w.sim, 20);
	assert_int_equal(w.clients[1].results, 1);
	assert_int_equal(w.clients[1].verdict, AUTH_SAYS_LATER);
	assert_string_equal(w.clients[1].why, "Dovecot closed the connection");
	assert_int_equal(w.clients[0].results, 1); /* it is the client's turn */
	w.respond = says_ok;
	log_in(&w.clients[2]);
	sim_run(w.sim, 200);
	assert_int_equal(w.clients[2].verdict, AUTH_SAYS_YES);
	w.backend->ops->answer(w.clients[0].call, TEXT("c=biws"));
	sim_run(w.sim, 100);
	assert_int_equal(w.clients[0].results, 2);
	assert_int_equal(w.clients[0].verdict, AUTH_SAYS_LATER);
	assert_int_equal(w.news.len, 0); /* not worth a word */
	end(&w);
}

/* Its old auth process serves those who are connected for as long as they stay. */
static void the_connection_is_made_anew_now_and_then(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	w.respond = says_scram;
	assert_int_equal(try_login(&w.clients[0], AUTH_SCRAM_SHA_256, TEXT("n,,")), ERR_OK);
	assert_int_equal(try_login(&w.clients[1], AUTH_SCRAM_SHA_256, TEXT("n,,")), ERR_OK);
	sim_run(w.sim, 100);
	w.greeting = "VERSION\t1\t2\nMECH\tXOAUTH2\nDONE\n";
	sim_run(w.sim, 30 * SECOND_MS);
	assert_int_equal(w.peer.accepted, 2);
	assert_int_equal(w.peer.open, 2); /* the old one for the dialogues that are on it */
	assert_int_equal(w.backend->ops->mechanisms(w.backend), AUTH_XOAUTH2);
	w.clients[0].next = "";
	w.backend->ops->answer(w.clients[0].call, TEXT("c=biws"));
	sim_run(w.sim, 100);
	assert_int_equal(w.clients[0].verdict, AUTH_SAYS_YES);
	/* But not for ever. */
	sim_run(w.sim, 30 * SECOND_MS);
	assert_int_equal(w.peer.accepted, 3);
	assert_int_equal(w.peer.open, 1);
	w.backend->ops->answer(w.clients[1].call, TEXT("c=biws"));
	sim_run(w.sim, 100);
	assert_int_equal(w.clients[1].verdict, AUTH_SAYS_LATER);
	assert_string_equal(w.clients[1].why, "Dovecot was started anew");
	sim_run(w.sim, 300 * SECOND_MS);
	assert_int_equal(w.peer.accepted, 13);
	assert_int_equal(w.peer.open, 1);
	end(&w);
}

/* Stopped: what is left of it gets no new dialogues, and may end those that it has. */
static void a_dovecot_that_listens_no_more_is_down(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	w.respond = says_scram;
	assert_int_equal(try_login(&w.clients[0], AUTH_SCRAM_SHA_256, TEXT("n,,")), ERR_OK);
	io_listener_close(&w.peer.listener);
	sim_run(w.sim, 31 * SECOND_MS);
	assert_int_equal(w.peer.open, 1);
	log_in(&w.clients[1]);
	sim_run(w.sim, 10);
	assert_int_equal(w.clients[1].verdict, AUTH_SAYS_LATER);
	assert_string_equal(w.clients[1].why, "Dovecot is down");
	w.clients[0].next = "";
	w.backend->ops->answer(w.clients[0].call, TEXT("c=biws"));
	sim_run(w.sim, 100);
	assert_int_equal(w.clients[0].verdict, AUTH_SAYS_YES);
	sim_run(w.sim, 15 * SECOND_MS);
	assert_int_equal(w.peer.open, 0);
	end(&w);
}

/* As when it has as many clients as it wants. */
static void a_dovecot_that_takes_no_more_connections_serves_on_the_old_one(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	w.respond = says_ok;
	assert_int_equal(sim_set_reach(w.sim, service_address(AT).ip, SIM_SILENT), ERR_OK);
	for (unsigned i = 0; i < 30; i++) {
		sim_run(w.sim, 7 * SECOND_MS);
		log_in(&w.clients[i]);
		sim_run(w.sim, 100);
		assert_int_equal(w.clients[i].verdict, AUTH_SAYS_YES);
	}
	assert_int_equal(w.peer.open, 1);
	end(&w);
}

static void a_dovecot_that_throws_everybody_out_is_asked_ever_more_seldom(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	for (unsigned i = 0; i < 600; i++) {
		service_peer_hang_up(&w.peer);
		sim_run(w.sim, 100);
	}
	assert_true(w.peer.accepted < 20);
	end(&w);
}

static void a_dovecot_that_hangs_is_left(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	for (unsigned i = 0; i < 3; i++)
		log_in(&w.clients[i]);
	sim_run(w.sim, 29 * SECOND_MS);
	assert_int_equal(w.clients[0].results, 0);
	sim_run(w.sim, 2 * SECOND_MS);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(w.clients[i].results, 1);
		assert_int_equal(w.clients[i].verdict, AUTH_SAYS_LATER);
		assert_string_equal(w.clients[i].why, "Dovecot did not answer in time");
	}
	assert_int_equal(w.peer.accepted, 2); /* three in a row: another connection may do better */
	end(&w);
}

/* Neither answers nor greetings: whoever comes now does not wait for half a minute any more. */
static void a_frozen_dovecot_is_left_after_three_silences(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	w.greeting = "";
	for (unsigned i = 0; i < 2; i++)
		log_in(&w.clients[i]);
	sim_run(w.sim, 31 * SECOND_MS);
	assert_int_equal(w.clients[1].verdict, AUTH_SAYS_LATER);
	w.respond = says_ok;
	log_in(&w.clients[2]); /* it lives: those two do not count */
	sim_run(w.sim, 100);
	assert_int_equal(w.clients[2].verdict, AUTH_SAYS_YES);
	w.respond = NULL;
	log_in(&w.clients[3]);
	sim_run(w.sim, 31 * SECOND_MS);
	assert_int_equal(w.clients[3].verdict, AUTH_SAYS_LATER);
	for (unsigned i = 4; i < 6; i++) {
		w.respond = i == 4 ? says_ok : NULL;
		log_in(&w.clients[i]);
		sim_run(w.sim, 100);
	}
	assert_int_equal(w.clients[4].verdict, AUTH_SAYS_YES); /* still the same connection */
	for (unsigned i = 6; i < 8; i++)
		log_in(&w.clients[i]);
	sim_run(w.sim, 31 * SECOND_MS);
	int64_t began_at = io_now_at(w.io);

	log_in(&w.clients[8]);
	sim_run(w.sim, 31 * SECOND_MS);
	assert_int_equal(w.clients[8].verdict, AUTH_SAYS_LATER);
	assert_true(w.clients[8].at - began_at <= 6 * SECOND_MS);
	end(&w);
}

/* What the old connection says of a dialogue on the new one is nothing. */
static void connections_do_not_speak_for_each_other(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	w.respond = says_scram;
	assert_int_equal(try_login(&w.clients[0], AUTH_SCRAM_SHA_256, TEXT("n,,")), ERR_OK);
	sim_run(w.sim, 31 * SECOND_MS);
	assert_int_equal(w.peer.open, 2);
	w.respond = NULL;
	log_in(&w.clients[1]);
	sim_run(w.sim, 100);
	service_say(session_of(&w), "OK\t2\tuser=mallory\n");
	sim_run(w.sim, 100);
	assert_int_equal(w.clients[1].results, 0);
	service_say(LIST_ITEM(w.peer.sessions.prev, struct service_session, link), "OK\t2\tuser=alice\n");
	sim_run(w.sim, 100);
	assert_string_equal(w.clients[1].user, "alice");
	w.backend->ops->cancel(&w.clients[0].call);
	end(&w);
}

/* It was away once; that it breaks now means no more than that it was restarted. */
static void old_failures_are_forgotten(void **state)
{
	struct world w;

	(void)state;
	prepare(&w);
	open_backend(&w);
	sim_run(w.sim, 2 * SECOND_MS);
	be_there(&w);
	w.respond = says_ok;
	sim_run(w.sim, 15 * SECOND_MS);
	w.respond = NULL;
	w.clients[0].next_one = &w.clients[1];
	log_in(&w.clients[0]);
	sim_run(w.sim, 100);
	w.respond = says_ok;
	service_peer_hang_up(&w.peer);
	sim_run(w.sim, 100);
	assert_int_equal(w.clients[0].verdict, AUTH_SAYS_LATER);
	assert_int_equal(w.clients[1].verdict,
	                 AUTH_SAYS_YES); /* at once, and waited for the new connection */
	end(&w);
}

static void one_that_is_never_answered_is_cancelled(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	log_in(&w.clients[0]);
	sim_run(w.sim, 31 * SECOND_MS);
	assert_int_equal(w.clients[0].verdict, AUTH_SAYS_LATER);
	assert_true(text_ends(buf_text(&w.heard), TEXT("\nCANCEL\t1\n")));
	w.respond = says_ok;
	service_say(session_of(&w), "OK\t1\tuser=late\n");
	log_in(&w.clients[1]);
	sim_run(w.sim, 100);
	assert_string_equal(w.clients[1].user, "alice");
	end(&w);
}

static const char *const bad_greetings[] = {
	"220 mail.example.org ESMTP\r\n", "VERSION\t3\t0\nMECH\tPLAIN\nDONE\n", "DONE\n", "\n",
	"VERSION\t1\t2\nDONE\nOK\tx\n",
};

static void whoever_is_not_dovecot_is_left(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad_greetings); i++) {
		struct world w;

		prepare(&w);
		w.greeting = bad_greetings[i];
		be_there(&w);
		open_backend(&w);
		log_in(&w.clients[0]);
		sim_run(w.sim, 20 * SECOND_MS);
		CHECK_INT(bad_greetings[i], w.clients[0].results, 1);
		CHECK_INT(bad_greetings[i], w.clients[0].verdict, AUTH_SAYS_LATER);
		CHECK(bad_greetings[i], w.peer.accepted > 2 && w.peer.accepted < 12);
		end(&w);
	}
}

static void a_greeting_that_never_ends_is_left(void **state)
{
	static char many[20000];
	struct world w;

	(void)state;
	prepare(&w);
	w.greeting = "VERSION\t1\t2\n"; /* and nothing more */
	be_there(&w);
	open_backend(&w);
	log_in(&w.clients[0]);
	sim_run(w.sim, 6 * SECOND_MS);
	assert_int_equal(w.clients[0].verdict, AUTH_SAYS_LATER);
	assert_string_equal(w.clients[0].why, "Dovecot did not greet in time");
	end(&w);

	prepare(&w);
	memset(many, 'x', sizeof(many) - 1);
	w.greeting = many;
	be_there(&w);
	open_backend(&w);
	log_in(&w.clients[0]);
	sim_run(w.sim, 1000);
	assert_int_equal(w.clients[0].verdict, AUTH_SAYS_LATER);
	assert_string_equal(w.clients[0].why, "Dovecot sent a line that is too long");
	end(&w);
}

static void silence_when_connecting_is_bounded(void **state)
{
	struct world w;

	(void)state;
	prepare(&w);
	assert_int_equal(sim_set_reach(w.sim, service_address(AT).ip, SIM_SILENT), ERR_OK);
	open_backend(&w);
	log_in(&w.clients[0]);
	sim_run(w.sim, 6 * SECOND_MS);
	assert_int_equal(w.clients[0].verdict, AUTH_SAYS_LATER);
	assert_string_equal(w.clients[0].why, "Dovecot did not take the connection in time");
	end(&w);
}

/* ---------------------------------------------------------------- cancelling, closing, limits */

static void a_cancelled_dialogue_says_nothing_more(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	log_in(&w.clients[0]);
	w.backend->ops->cancel(&w.clients[0].call);
	assert_null(w.clients[0].call);
	w.clients[1].cancels = true;
	sim_run(w.sim, 100);
	w.respond = says_scram;
	assert_int_equal(try_login(&w.clients[1], AUTH_SCRAM_SHA_256, TEXT("n,,")), ERR_OK);
	sim_run(w.sim, 100);
	assert_int_equal(w.clients[0].results, 0);
	assert_int_equal(w.clients[1].results, 1);
	assert_true(text_find(buf_text(&w.heard), TEXT("CANCEL\t1\n")) < w.heard.len);
	assert_true(text_find(buf_text(&w.heard), TEXT("CANCEL\t2\n")) < w.heard.len);
	end(&w);
}

static void closing_is_later_for_all(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	w.respond = says_scram;
	assert_int_equal(try_login(&w.clients[0], AUTH_SCRAM_SHA_256, TEXT("n,,")), ERR_OK);
	sim_run(w.sim, 100);
	w.respond = NULL;
	log_in(&w.clients[1]);
	const struct auth_backend_ops *ops = w.backend->ops;

	ops->close(&w.backend);
	assert_null(w.backend);
	sim_run(w.sim, 100);
	assert_int_equal(w.clients[1].verdict, AUTH_SAYS_LATER);
	ops->answer(w.clients[0].call, TEXT("c=biws"));
	sim_run(w.sim, 100);
	assert_int_equal(w.clients[0].verdict, AUTH_SAYS_LATER);
	end(&w);
}

static void a_result_may_close_the_backend(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	w.respond = says_ok;
	w.clients[0].closes = true;
	log_in(&w.clients[0]);
	log_in(&w.clients[1]);
	sim_run(w.sim, 100);
	assert_int_equal(w.clients[0].verdict, AUTH_SAYS_YES);
	assert_int_equal(w.clients[1].results, 1);
	assert_null(w.backend);
	end(&w);
}

static void what_is_too_long_for_dovecot_is_not_sent(void **state)
{
	static char many[13000];
	struct world w;

	(void)state;
	begin(&w);
	memset(many, 'a', sizeof(many));
	assert_int_equal(try_login(&w.clients[0], AUTH_PLAIN, text_of(many, sizeof(many))), ERR_TOO_BIG);
	assert_null(w.clients[0].call);
	w.respond = says_scram;
	assert_int_equal(try_login(&w.clients[0], AUTH_SCRAM_SHA_256, TEXT("n,,")), ERR_OK);
	sim_run(w.sim, 100);
	w.backend->ops->answer(w.clients[0].call, text_of(many, sizeof(many)));
	sim_run(w.sim, 100);
	assert_int_equal(w.clients[0].verdict, AUTH_SAYS_LATER);
	assert_true(text_ends(buf_text(&w.heard), TEXT("CANCEL\t2\n")));
	/* As long as a client may send: 12288 octets of base64. */
	w.respond = says_ok;
	assert_int_equal(try_login(&w.clients[1], AUTH_PLAIN, text_of(many, 12288 / 4 * 3)), ERR_OK);
	sim_run(w.sim, 100);
	assert_int_equal(w.clients[1].verdict, AUTH_SAYS_YES);
	end(&w);
}

static void a_dovecot_that_does_not_read_for_a_while_gets_it_all_later(void **state)
{
	static char many[9000];
	struct world w;

	(void)state;
	begin(&w);
	memset(many, 'a', sizeof(many));
	w.respond = says_ok;
	io_stream_pause(session_of(&w)->stream);
	for (unsigned i = 0; i < CLIENTS; i++)
		assert_int_equal(try_login(&w.clients[i], AUTH_PLAIN, text_of(many, sizeof(many))), ERR_OK);
	sim_run(w.sim, 2000);
	assert_int_equal(w.clients[0].results, 0);
	io_stream_resume(session_of(&w)->stream);
	sim_run(w.sim, 1000);
	for (unsigned i = 0; i < CLIENTS; i++)
		assert_int_equal(w.clients[i].verdict, AUTH_SAYS_YES);
	end(&w);
}

static void there_is_a_limit_to_dialogues(void **state)
{
	static struct client crowd[1001];
	struct world w;

	(void)state;
	begin(&w);
	for (unsigned i = 0; i < 1001; i++) {
		crowd[i] = (struct client){ .w = &w };
		assert_int_equal(try_login(&crowd[i], AUTH_PLAIN, TEXT("x")), i < 1000 ? ERR_OK : ERR_BUSY);
	}
	for (unsigned i = 0; i < 1000; i++)
		w.backend->ops->cancel(&crowd[i].call);
	end(&w);
}

/* ---------------------------------------------------------------- anything, in any order */

/* The name stands behind "u=" in each message; what is known of a request is its number, so it is kept by that. */
static const char *says_anything(struct world *w, struct text line)
{
	static const char *const last[] = { "FAIL\t%s\tuser=x\n", "FAIL\t%s\ttemp\n", "CONT\t%s\tAAAA\n",
		                            NULL };
	static char ok[64];
	struct buf octets = BUF(1024);
	struct text resp = text_skip(line, text_find_last_octet(line, '\t') + 1);
	unsigned kind = (unsigned)random_below(&w->random, 8);

	if (text_starts(resp, TEXT("resp=")))
		resp = text_skip(resp, 5);
	if (text_starts(line, TEXT("CANCEL")) || base64_decode(resp, &octets)) {
		buf_fini(&octets);
		return NULL;
	}
	snprintf(ok, sizeof(ok), "OK\t%%s\tuser=%.*s\n", TEXT_ARGS(buf_text(&octets)));
	buf_fini(&octets);
	return kind < ARRAY_LEN(last) ? last[kind] : ok;
}

static void check_client(struct world *w, struct client *c, const char *row)
{
	char own[16];

	CHECK_INT(row, c->results, c->owed ? 0 : 1);
	if (c->owed) {
		CHECK(row, io_now_at(w->io) - c->asked_at <= 30002);
		return;
	}
	CHECK(row, c->at - c->asked_at <= 30002);
	snprintf(own, sizeof(own), "u%u", (unsigned)(c - w->clients));
	if (c->verdict == AUTH_SAYS_YES)
		CHECK_TEXT(row, text_from(c->user), text_from(own));
	CHECK(row, (c->verdict == AUTH_SAYS_MORE) == (c->call != NULL));
}

static void check_clients(struct world *w, unsigned seed)
{
	char row[32];

	snprintf(row, sizeof(row), "seed %u", seed);
	for (unsigned i = 0; i < CLIENTS; i++) {
		struct client *c = &w->clients[i];

		if (c->asked_at == 0)
			continue;
		if (c->results)
			c->owed = false;
		check_client(w, c, row);
	}
}

static void expect(struct client *c)
{
	c->asked_at = io_now_at(c->w->io);
	c->owed = true;
	c->results = 0;
}

static void client_acts(struct world *w, struct client *c)
{
	char message[16];

	snprintf(message, sizeof(message), "u%u", (unsigned)(c - w->clients));
	if (!c->call) {
		assert_int_equal(try_login(c, random_below(&w->random, 2) ? AUTH_PLAIN : AUTH_SCRAM_SHA_256,
		                           text_from(message)),
		                 ERR_OK);
		expect(c);
	} else if (random_below(&w->random, 8) == 0) {
		w->backend->ops->cancel(&c->call);
		c->asked_at = 0;
	} else if (!c->owed) {
		w->backend->ops->answer(c->call, text_from(message));
		expect(c);
	}
}

static void act_at_random(struct world *w)
{
	switch (random_below(&w->random, 120)) {
	case 0:
		service_peer_end(&w->peer);
		break;
	case 1:
		service_peer_hang_up(&w->peer);
		break;
	case 2:
		io_listener_close(&w->peer.listener);
		break;
	case 3:
		w->respond = random_below(&w->random, 4) ? says_anything : NULL;
		break;
	case 4 ... 6:
		service_peer_end(&w->peer);
		be_there(w);
		w->respond = says_anything;
		break;
	default:
		client_acts(w, &w->clients[random_below(&w->random, CLIENTS)]);
	}
}

static void whatever_happens_each_turn_has_its_answer(void **state)
{
	unsigned verdicts[AUTH_SAYS_LATER + 1] = { 0 };

	(void)state;
	for (unsigned seed = 1; seed <= 60; seed++) {
		struct world w;

		begin(&w);
		random_init(&w.random, seed);
		w.respond = says_anything;
		for (unsigned i = 0; i < 400; i++) {
			act_at_random(&w);
			check_clients(&w, seed);
			if (random_below(&w.random, 3) == 0)
				sim_run(w.sim, (int64_t)random_below(&w.random,
				                                     random_below(&w.random, 8) ? 30 : 4000));
			check_clients(&w, seed);
			assert_true(w.peer.open <= 3);
		}
		sim_run(w.sim, 31 * SECOND_MS);
		check_clients(&w, seed);
		for (unsigned i = 0; i < CLIENTS; i++) {
			verdicts[w.clients[i].verdict] += w.clients[i].asked_at != 0;
			w.backend->ops->cancel(&w.clients[i].call);
		}
		/* And it is none the worse for it. */
		service_peer_end(&w.peer);
		be_there(&w);
		w.respond = says_ok;
		sim_run(w.sim, 15 * SECOND_MS);
		w.clients[0].results = 0;
		log_in(&w.clients[0]);
		sim_run(w.sim, 1000);
		assert_int_equal(w.clients[0].verdict, AUTH_SAYS_YES);
		end(&w);
	}
	for (unsigned i = 0; i < ARRAY_LEN(verdicts); i++)
		assert_true(verdicts[i] > 50); /* each of them was seen often */
}

static void memory_that_runs_out_is_later(void **state)
{
	(void)state;
	for (EACH_ALLOC_FAILING) {
		unsigned nth = nth_;
		struct world w;

		alloc_fail_nth(0);
		begin(&w);
		w.respond = says_ok;
		alloc_fail_nth(nth);
		enum err err = try_login(&w.clients[0], AUTH_PLAIN, TEXT("\0alice\0secret"));

		sim_run(w.sim, 31 * SECOND_MS);
		bool failed = alloc_has_failed();

		alloc_fail_nth(0);
		assert_int_equal(w.clients[0].results, err ? 0 : 1);
		if (err)
			assert_null(w.clients[0].call);
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
		cmocka_unit_test(what_dovecot_announces_is_offered),
		cmocka_unit_test(yes_names_the_user),
		cmocka_unit_test(dovecots_last_words_are_understood),
		cmocka_unit_test(a_dialogue_is_relayed),
		cmocka_unit_test(many_dialogues_share_a_connection),
		cmocka_unit_test(words_about_nobody_are_passed_over),
		cmocka_unit_test(a_dovecot_that_is_down_is_later_at_once),
		cmocka_unit_test(who_comes_while_it_greets_waits),
		cmocka_unit_test(a_restart_is_later_for_those_under_way_and_nobody_else),
		cmocka_unit_test(the_connection_is_made_anew_now_and_then),
		cmocka_unit_test(a_dovecot_that_listens_no_more_is_down),
		cmocka_unit_test(a_dovecot_that_takes_no_more_connections_serves_on_the_old_one),
		cmocka_unit_test(a_dovecot_that_throws_everybody_out_is_asked_ever_more_seldom),
		cmocka_unit_test(a_dovecot_that_hangs_is_left),
		cmocka_unit_test(a_frozen_dovecot_is_left_after_three_silences),
		cmocka_unit_test(connections_do_not_speak_for_each_other),
		cmocka_unit_test(old_failures_are_forgotten),
		cmocka_unit_test(one_that_is_never_answered_is_cancelled),
		cmocka_unit_test(whoever_is_not_dovecot_is_left),
		cmocka_unit_test(a_greeting_that_never_ends_is_left),
		cmocka_unit_test(silence_when_connecting_is_bounded),
		cmocka_unit_test(a_cancelled_dialogue_says_nothing_more),
		cmocka_unit_test(closing_is_later_for_all),
		cmocka_unit_test(a_result_may_close_the_backend),
		cmocka_unit_test(what_is_too_long_for_dovecot_is_not_sent),
		cmocka_unit_test(a_dovecot_that_does_not_read_for_a_while_gets_it_all_later),
		cmocka_unit_test(there_is_a_limit_to_dialogues),
		cmocka_unit_test(whatever_happens_each_turn_has_its_answer),
		cmocka_unit_test(memory_that_runs_out_is_later),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
