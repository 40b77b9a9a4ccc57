/* Questions to a service that the test plays, in the simulated world. */
#include <stdio.h>

#include <postrider/base/random.h>
#include <postrider/filter/policy_service.h>
#include <postrider/observe/observe.h>
#include <postrider/sim.h>

#include "support/alloc.h"
#include "support/check.h"
#include "support/service_peer.h"

#define AT "192.0.2.40:10040"
#define ASKERS 60

/* What the service does with a question. */
enum manner {
	ECHOES, /* action=550 <recipient> */
	SILENT,
	SAYS,     /* w->words */
	HANGS_UP, /* closes without a word */
	SAYS_AND_CLOSES,
	SAYS_HALF_AND_CLOSES,
};

struct asker {
	struct world *w;
	struct policy_request *slot;
	unsigned answers;
	bool failed;
	enum policy_verdict verdict;
	int code;
	char text[128], problem[128];
	int64_t asked_at, answered_at;
	struct asker *asks_next, *cancels;
	bool frees_service;
};

struct world {
	struct sim *sim;
	struct io *io;
	struct observe *observe;
	struct observe_consumer consumer;
	struct buf events;
	struct service_peer peer;
	struct policy_service *service;
	struct policy_service_options options;
	struct config_endpoint endpoint;
	enum manner manner;
	const char *words;
	int64_t answer_after_ms;
	unsigned questions; /* heard by the service */
	struct asker askers[ASKERS];
};

/* ---------------------------------------------------------------- the service */

static struct text attribute(struct text question, const char *name)
{
	AUTO(buf_fini) struct buf wanted = BUF(64);

	buf_add_format(&wanted, "\n%s=", name);
	size_t at = text_find(question, buf_text(&wanted));
	struct text rest = text_skip(question, at + wanted.len);

	assert_true(at < question.len);
	return text_cut(&rest, '\n');
}

static void respond(struct world *w, struct service_session *s, struct text question)
{
	AUTO(buf_fini) struct buf b = BUF(4096);

	w->questions++;
	switch (w->manner) {
	case ECHOES:
		buf_add_format(&b, "action=550 %.*s\n\n", TEXT_ARGS(attribute(question, "recipient")));
		service_say_text(s, buf_text(&b));
		break;
	case SILENT:
		break;
	case HANGS_UP:
		service_close(s);
		break;
	case SAYS:
		service_say(s, w->words);
		break;
	case SAYS_AND_CLOSES:
		service_say(s, w->words);
		io_stream_finish(s->stream);
		break;
	case SAYS_HALF_AND_CLOSES:
		service_say(s, "action=DUN");
		io_stream_finish(s->stream);
		break;
	}
}

static void on_input(struct service_session *s)
{
	struct text in = buf_text(&s->in);
	size_t end = text_find(in, TEXT("\n\n"));

	if (end == in.len)
		return;
	/* One question at a time on a connection. */
	assert_int_equal(end + 2, in.len);
	AUTO(buf_fini) struct buf question = BUF(65536);

	buf_add(&question, in);
	buf_reset(&s->in);
	respond(s->peer->owner, s, buf_text(&question));
}

static void be_there(struct world *w)
{
	struct io_address at = service_address(AT);

	service_peer_begin(&w->peer, w->io, &at, on_input, w);
}

/* ---------------------------------------------------------------- the world */

static void on_event(void *owner, const struct event *e, int64_t time_us, struct text line)
{
	struct world *w = owner;

	(void)time_us, (void)line;
	buf_add_format(&w->events, "%.*s: %.*s\n", TEXT_ARGS(event_level_text(e->level)),
	               TEXT_ARGS(e->detail));
}

static int64_t now_us(void *clock)
{
	return io_now_time_us(clock);
}

static void begin(struct world *w)
{
	*w = (struct world){ .events = BUF(65536) };
	assert_int_equal(sim_new(&(struct sim_options){ .seed = 7 }, &w->sim), ERR_OK);
	w->io = sim_io(w->sim);
	assert_int_equal(observe_new(&(struct observe_options){ TEXT("n"), now_us, w->io }, &w->observe),
	                 ERR_OK);
	w->consumer = (struct observe_consumer){ .fn = on_event, .owner = w };
	observe_add_consumer(w->observe, &w->consumer);
	w->endpoint = (struct config_endpoint){ .text = TEXT(AT), .host = TEXT("192.0.2.40"), .port = 10040 };
	assert_int_equal(ip_parse(w->endpoint.host, &w->endpoint.ip), ERR_OK);
	w->options = (struct policy_service_options){ .io = w->io,
		                                      .observe = w->observe,
		                                      .endpoint = &w->endpoint };
	for (unsigned i = 0; i < ASKERS; i++)
		w->askers[i].w = w;
	be_there(w);
}

static void open_service(struct world *w)
{
	assert_int_equal(policy_service_new(&w->options, &w->service), ERR_OK);
}

static void end(struct world *w)
{
	policy_service_free(&w->service);
	if (w->peer.listener)
		service_peer_end(&w->peer);
	sim_settle(w->sim, 60000);
	observe_remove_consumer(&w->consumer);
	observe_free(&w->observe);
	sim_free(&w->sim);
	buf_fini(&w->events);
}

static bool event_says(const struct world *w, const char *words)
{
	return text_find(buf_text(&w->events), text_from(words)) < w->events.len;
}

static unsigned events_saying(const struct world *w, const char *words)
{
	struct text t = buf_text(&w->events), needle = text_from(words);
	unsigned count = 0;

	for (size_t at; (at = text_find(t, needle)) < t.len; count++)
		t = text_skip(t, at + needle.len);
	return count;
}

static void ask(struct asker *a);

static void on_answer(void *owner, const struct policy_answer *answer)
{
	struct asker *a = owner;

	assert_null(a->slot);
	a->answers++;
	a->failed = answer->failed;
	a->verdict = answer->verdict;
	a->code = answer->reply.code;
	a->answered_at = io_now_at(a->w->io);
	snprintf(a->text, sizeof(a->text), "%.*s", TEXT_ARGS(answer->reply.text));
	snprintf(a->problem, sizeof(a->problem), "%.*s", TEXT_ARGS(answer->problem));
	assert_true(answer->failed == (answer->problem.len > 0));
	if (a->asks_next)
		ask(a->asks_next);
	if (a->cancels)
		policy_service_cancel(&a->cancels->slot);
	if (a->frees_service)
		policy_service_free(&a->w->service);
}

static enum err try_ask(struct asker *a)
{
	AUTO(buf_fini) struct buf recipient = BUF(64);

	buf_add_format(&recipient, "r%d@example.net", (int)(a - a->w->askers));
	const struct policy_question q = { .stage = POLICY_AT_RCPT, .recipient = buf_text(&recipient) };
	unsigned before = a->answers;
	enum err err = policy_service_ask(a->w->service, &q, &a->slot, on_answer, a);

	assert_int_equal(a->answers, before); /* never from inside */
	return err;
}

static void ask(struct asker *a)
{
	assert_int_equal(try_ask(a), ERR_OK);
	assert_non_null(a->slot);
}

/* ---------------------------------------------------------------- answers */

static void each_asker_hears_its_own_answer(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	open_service(&w);
	for (unsigned i = 0; i < ASKERS; i++)
		ask(&w.askers[i]);
	sim_run(w.sim, 1000);
	for (unsigned i = 0; i < ASKERS; i++) {
		char expected[32];

		snprintf(expected, sizeof(expected), "r%u@example.net", i);
		assert_int_equal(w.askers[i].answers, 1);
		assert_int_equal(w.askers[i].verdict, POLICY_REFUSE);
		assert_int_equal(w.askers[i].code, 550);
		assert_string_equal(w.askers[i].text, expected);
	}
	struct policy_service_counts counts = policy_service_count(w.service);

	assert_int_equal(counts.questions, ASKERS);
	assert_int_equal(counts.failures, 0);
	assert_int_equal(counts.connections, 20);
	assert_int_equal(counts.open_connections, 20);
	assert_int_equal(counts.waiting, 0);
	assert_int_equal(w.events.len, 0);
	end(&w);
}

static void connections_stay_and_grow_old(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	open_service(&w);
	assert_int_equal(w.peer.accepted, 0); /* nothing was asked */
	for (unsigned i = 0; i < 10; i++) {
		ask(&w.askers[i]);
		sim_run(w.sim, 100);
		assert_int_equal(w.askers[i].answers, 1);
	}
	assert_int_equal(w.peer.accepted, 1);
	sim_run(w.sim, 299 * SECOND_MS);
	assert_int_equal(w.peer.open, 1);
	sim_run(w.sim, 3 * SECOND_MS);
	assert_int_equal(w.peer.open, 0);
	ask(&w.askers[11]);
	sim_run(w.sim, 100);
	assert_int_equal(w.askers[11].answers, 1);
	end(&w);
}

/* Also those that are never idle for long: who was connected before a restart may still be served by what was. */
static void connections_are_renewed(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	open_service(&w);
	for (unsigned i = 0; i < 45; i++) {
		ask(&w.askers[i]);
		sim_run(w.sim, 20 * SECOND_MS);
		assert_int_equal(w.askers[i].answers, 1);
		assert_false(w.askers[i].failed);
	}
	assert_int_equal(w.peer.accepted, 2);
	assert_int_equal(w.peer.open, 1);
	end(&w);
}

static void a_callback_may_ask_cancel_and_free(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	w.options.max_connections = 1;
	open_service(&w);
	w.askers[0].asks_next = &w.askers[2];
	w.askers[0].cancels = &w.askers[1];
	w.askers[2].frees_service = true;
	ask(&w.askers[0]);
	ask(&w.askers[1]);
	ask(&w.askers[3]); /* is on the way when the service goes */
	sim_run(w.sim, 1000);
	assert_int_equal(w.askers[0].answers, 1);
	assert_int_equal(w.askers[1].answers, 0);
	assert_int_equal(w.askers[3].answers, 1);
	assert_int_equal(w.askers[2].answers, 1);
	assert_null(w.service);
	end(&w);
}

/* ---------------------------------------------------------------- no answer */

static void silence_is_answered_for_it(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	w.manner = SILENT;
	open_service(&w);
	int64_t began_at = io_now_at(w.io);

	ask(&w.askers[0]);
	sim_run(w.sim, 20 * SECOND_MS);
	assert_int_equal(w.askers[0].answers, 1);
	assert_true(w.askers[0].failed);
	assert_int_equal(w.askers[0].verdict, POLICY_REFUSE);
	assert_int_equal(w.askers[0].code, 451);
	assert_string_equal(w.askers[0].problem, "did not answer in time");
	assert_int_equal(w.askers[0].answered_at - began_at, 5000);
	assert_int_equal(w.peer.open, 0); /* its answer would be taken for another's */
	end(&w);
}

static void on_error_may_accept(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	w.manner = SILENT;
	w.options.accept_on_error = true;
	w.options.timeout_ms = 700;
	open_service(&w);
	ask(&w.askers[0]);
	sim_run(w.sim, SECOND_MS);
	assert_int_equal(w.askers[0].answers, 1);
	assert_true(w.askers[0].failed);
	assert_int_equal(w.askers[0].verdict, POLICY_PASS);
	end(&w);
}

/* Every question has its time limit, also those that never get a connection. */
static void a_service_that_hangs_holds_nobody_for_longer(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	w.manner = SILENT;
	w.options.max_connections = 2;
	open_service(&w);
	for (unsigned i = 0; i < 30; i++)
		ask(&w.askers[i]);
	sim_run(w.sim, 5 * SECOND_MS + 10);
	for (unsigned i = 0; i < 30; i++)
		assert_int_equal(w.askers[i].answers, 1);
	assert_int_equal(events_saying(&w, "is down"), 0);
	ask(&w.askers[30]);
	for (unsigned i = 0; i < 6000 && !event_says(&w, "is down"); i++)
		sim_run(w.sim, 1);
	assert_int_equal(
		events_saying(&w, "error: the policy service at " AT " is down: it did not answer in time"),
		1);
	int64_t now_at = io_now_at(w.io);

	/* In the pause nobody waits. */
	ask(&w.askers[31]);
	sim_run(w.sim, 1);
	assert_int_equal(w.askers[31].answers, 1);
	assert_true(w.askers[31].failed);
	assert_true(w.askers[31].answered_at - now_at <= 1);
	end(&w);
}

static void silence_when_connecting_is_bounded(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	assert_int_equal(sim_set_reach(w.sim, service_address(AT).ip, SIM_SILENT), ERR_OK);
	open_service(&w);
	int64_t began_at = io_now_at(w.io);

	ask(&w.askers[0]);
	sim_run(w.sim, 20 * SECOND_MS);
	assert_int_equal(w.askers[0].answers, 1);
	assert_int_equal(w.askers[0].answered_at - began_at, 5000);
	assert_int_equal(policy_service_count(w.service).open_connections, 0);
	end(&w);
}

/* ---------------------------------------------------------------- down and up */

static void a_service_that_is_away_is_said_once_and_found_again(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	service_peer_end(&w.peer);
	open_service(&w);
	int64_t began_at = io_now_at(w.io);

	/* A second is time to come back. */
	ask(&w.askers[0]);
	ask(&w.askers[1]);
	sim_run(w.sim, 900);
	assert_int_equal(w.askers[0].answers, 0);
	sim_run(w.sim, 3000);
	assert_int_equal(w.askers[0].answers, 1);
	assert_int_equal(w.askers[1].answers, 1);
	assert_true(w.askers[0].answered_at - began_at < 3000);
	assert_string_equal(w.askers[0].problem, "refused the connection");
	assert_true(policy_service_count(w.service).is_down);

	for (unsigned i = 2; i < 20; i++) {
		ask(&w.askers[i]);
		sim_run(w.sim, 2000);
		assert_int_equal(w.askers[i].answers, 1);
		assert_true(w.askers[i].failed);
	}
	assert_int_equal(events_saying(&w, "is down"), 1);
	assert_true(event_says(&w, "recipients are answered 451"));
	assert_int_equal(w.peer.accepted, 0);

	be_there(&w);
	sim_run(w.sim, 15 * SECOND_MS); /* the longest pause */
	ask(&w.askers[20]);
	sim_run(w.sim, 100);
	assert_int_equal(w.askers[20].answers, 1);
	assert_false(w.askers[20].failed);
	assert_int_equal(events_saying(&w, "info: the policy service at " AT " is back"), 1);
	assert_false(policy_service_count(w.service).is_down);
	end(&w);
}

/* While it is down one connection shows whether it is back, and not twenty. */
static void one_question_finds_out_for_all(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	service_peer_end(&w.peer);
	open_service(&w);
	ask(&w.askers[0]);
	sim_run(w.sim, 5 * SECOND_MS);
	assert_true(policy_service_count(w.service).is_down);
	be_there(&w);
	w.manner = SILENT;
	sim_run(w.sim, 15 * SECOND_MS);
	for (unsigned i = 1; i < 20; i++)
		ask(&w.askers[i]);
	sim_run(w.sim, 1000);
	assert_int_equal(w.peer.accepted, 1);
	sim_run(w.sim, 5000);
	for (unsigned i = 1; i < 20; i++)
		assert_int_equal(w.askers[i].answers, 1);
	end(&w);
}

static void a_restart_between_questions_is_not_noticed(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	open_service(&w);
	ask(&w.askers[0]);
	sim_run(w.sim, 100);
	service_peer_end(&w.peer);
	be_there(&w);
	/* Asked before the old connection's end has come. */
	ask(&w.askers[1]);
	sim_run(w.sim, 100);
	assert_int_equal(w.askers[1].answers, 1);
	assert_false(w.askers[1].failed);
	assert_int_equal(w.peer.accepted, 2);
	end(&w);
}

/* As services do that live for a number of questions. */
static void one_question_a_connection_is_fine(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	w.manner = SAYS_AND_CLOSES;
	w.words = "action=DUNNO\n\n";
	open_service(&w);
	for (unsigned i = 0; i < 10; i++) {
		ask(&w.askers[i]);
		sim_run(w.sim, 3);
	}
	sim_run(w.sim, 1000);
	for (unsigned i = 0; i < 10; i++) {
		assert_int_equal(w.askers[i].answers, 1);
		assert_false(w.askers[i].failed);
	}
	assert_int_equal(w.events.len, 0);
	end(&w);
}

static void a_service_that_hangs_up_on_every_question_is_asked_twice_at_most(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	open_service(&w);
	ask(&w.askers[0]);
	sim_run(w.sim, 100);
	assert_false(w.askers[0].failed);
	w.manner = HANGS_UP;
	w.questions = 0;
	ask(&w.askers[1]);
	sim_run(w.sim, 20 * SECOND_MS);
	assert_int_equal(w.askers[1].answers, 1);
	assert_true(w.askers[1].failed);
	assert_int_equal(w.questions, 2);
	assert_string_equal(w.askers[1].problem, "closed the connection without an answer");

	w.questions = 0; /* on a fresh connection once */
	ask(&w.askers[2]);
	sim_run(w.sim, 20 * SECOND_MS);
	assert_true(w.askers[2].failed);
	assert_int_equal(w.questions, 1);
	end(&w);
}

/* Also when the second connection had served before: it was busy when the first one broke. */
static void a_question_is_asked_twice_at_most(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	w.options.max_connections = 2;
	open_service(&w);
	ask(&w.askers[0]);
	ask(&w.askers[1]);
	sim_run(w.sim, 100);
	assert_int_equal(w.peer.open, 2);
	w.manner = SILENT;
	ask(&w.askers[2]);
	ask(&w.askers[3]);
	sim_run(w.sim, 100);
	w.manner = HANGS_UP;
	w.questions = 0;
	struct service_session *one = LIST_ITEM(w.peer.sessions.next, struct service_session, link);
	struct service_session *other = LIST_ITEM(w.peer.sessions.next->next, struct service_session, link);

	service_say(other, "action=OK\n\n");
	service_close(one);
	sim_run(w.sim, 3000);
	assert_int_equal(w.askers[2].failed + w.askers[3].failed, 1);
	assert_int_equal(w.questions, 1);
	end(&w);
}

static void a_restart_with_many_connections_is_not_noticed(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	open_service(&w);
	for (unsigned i = 0; i < 5; i++)
		ask(&w.askers[i]);
	sim_run(w.sim, 100);
	assert_int_equal(w.peer.open, 5);
	service_peer_end(&w.peer);
	be_there(&w);
	for (unsigned i = 5; i < 8; i++)
		ask(&w.askers[i]);
	sim_run(w.sim, 200);
	for (unsigned i = 5; i < 8; i++) {
		assert_int_equal(w.askers[i].answers, 1);
		assert_false(w.askers[i].failed);
	}
	end(&w);
}

/* One that failed for a moment, long ago, has not been failing ever since. */
static void an_answer_makes_old_failures_forgotten(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	w.manner = HANGS_UP;
	open_service(&w);
	ask(&w.askers[0]);
	sim_run(w.sim, 100);
	assert_true(w.askers[0].failed);
	w.manner = ECHOES;
	ask(&w.askers[1]);
	sim_run(w.sim, 5000);
	assert_false(w.askers[1].failed);
	w.manner = HANGS_UP;
	ask(&w.askers[2]);
	sim_run(w.sim, 1000);
	assert_true(w.askers[2].failed);
	assert_false(policy_service_count(w.service).is_down);
	assert_int_equal(w.events.len, 0);
	end(&w);
}

/* Its idle time does not run while it works. */
static void a_connection_at_work_is_not_idle(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	open_service(&w);
	ask(&w.askers[0]);
	sim_run(w.sim, 298 * SECOND_MS);
	w.manner = SILENT;
	ask(&w.askers[1]);
	sim_run(w.sim, 4 * SECOND_MS);
	service_say(LIST_FIRST(&w.peer.sessions, struct service_session, link), "action=HOLD\n\n");
	sim_run(w.sim, 100);
	assert_int_equal(w.askers[1].answers, 1);
	assert_int_equal(w.askers[1].verdict, POLICY_HOLD);
	end(&w);
}

static void connections_that_were_needed_once_grow_old(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	open_service(&w);
	for (unsigned i = 0; i < 5; i++)
		ask(&w.askers[i]);
	sim_run(w.sim, 100);
	assert_int_equal(w.peer.open, 5);
	for (unsigned i = 5; i < 14; i++) {
		ask(&w.askers[i]);
		sim_run(w.sim, 40 * SECOND_MS);
	}
	assert_int_equal(w.peer.open, 1);
	assert_int_equal(w.peer.accepted, 5);
	end(&w);
}

/* It has no room for more connections, and takes its time: those that wait are not told that it is down. */
static void a_full_service_is_not_down(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	open_service(&w);
	ask(&w.askers[0]);
	sim_run(w.sim, 100);
	io_listener_close(&w.peer.listener);
	w.manner = SILENT;
	ask(&w.askers[1]);
	ask(&w.askers[2]);
	sim_run(w.sim, 3000);
	assert_int_equal(w.askers[2].answers, 0);
	w.manner = ECHOES;
	service_say(LIST_FIRST(&w.peer.sessions, struct service_session, link), "action=OK\n\n");
	sim_run(w.sim, 100);
	assert_int_equal(w.askers[2].answers, 1);
	assert_false(w.askers[2].failed);
	assert_int_equal(w.events.len, 0);
	end(&w);
}

/* Connections beyond what the service takes are refused; those that it took serve all. */
static void few_connections_serve_many_questions(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	w.options.max_connections = 1;
	open_service(&w);
	ask(&w.askers[0]);
	sim_run(w.sim, 100);
	io_listener_close(&w.peer.listener); /* the one connection stays */
	w.options.max_connections = 5;
	assert_int_equal(policy_service_configure(w.service, &w.options), ERR_OK);
	for (unsigned i = 1; i < 30; i++)
		ask(&w.askers[i]);
	sim_run(w.sim, 4000);
	for (unsigned i = 1; i < 30; i++) {
		assert_int_equal(w.askers[i].answers, 1);
		assert_false(w.askers[i].failed);
	}
	assert_false(event_says(&w, "is down"));
	end(&w);
}

/* ---------------------------------------------------------------- nonsense */

static const struct {
	const char *words;
	const char *problem;
	bool keeps_connection;
} nonsense[] = {
	{ "220 mail.example.org ESMTP\r\n", "sent what is no answer", false },
	{ "x=y\n\n", "sent what is no answer", false },
	{ "\n", "sent what is no answer", false },
	{ "action=FILTER smtp:[127.0.0.1]\n\n", "its action FILTER is not one of those that work here",
	  true },
	{ "action=PREPEND oops\n\n",
	  "its action PREPEND needs a header field behind it (Name: value, plain ASCII, one line)", true },
	{ "action=\n\n", "its action is empty", true },
};

static void nonsense_is_no_permission(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(nonsense); i++) {
		struct world w;

		begin(&w);
		w.manner = SAYS;
		w.words = nonsense[i].words;
		open_service(&w);
		ask(&w.askers[0]);
		sim_run(w.sim, 100);
		CHECK_INT(nonsense[i].words, w.askers[0].answers, 1);
		CHECK_INT(nonsense[i].words, w.askers[0].failed, true);
		CHECK_INT(nonsense[i].words, w.askers[0].code, 451);
		CHECK_TEXT(nonsense[i].words, text_from(w.askers[0].problem), text_from(nonsense[i].problem));
		CHECK_INT(nonsense[i].words, w.peer.open, nonsense[i].keeps_connection);
		CHECK_INT(nonsense[i].words, events_saying(&w, "is not understood"), 1);
		end(&w);
	}
}

static void nonsense_is_said_once_a_minute(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	w.manner = SAYS;
	w.words = "action=REDIRECT a@example.org\n\n";
	open_service(&w);
	for (unsigned i = 0; i < 50; i++) {
		ask(&w.askers[i]);
		sim_run(w.sim, 1000);
	}
	assert_int_equal(events_saying(&w, "is not understood"), 1);
	sim_run(w.sim, 20 * SECOND_MS);
	ask(&w.askers[50]);
	sim_run(w.sim, 100);
	assert_int_equal(events_saying(&w, "is not understood"), 2);
	end(&w);
}

static void half_an_answer_is_none(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	w.manner = SAYS_HALF_AND_CLOSES;
	open_service(&w);
	ask(&w.askers[0]);
	sim_run(w.sim, 20 * SECOND_MS);
	assert_int_equal(w.askers[0].answers, 1);
	assert_true(w.askers[0].failed);
	end(&w);
}

static void an_endless_answer_is_cut(void **state)
{
	static char many[100000];
	struct world w;

	(void)state;
	begin(&w);
	memset(many, 'a', sizeof(many) - 1);
	w.manner = SAYS;
	w.words = many;
	open_service(&w);
	ask(&w.askers[0]);
	sim_run(w.sim, 1000);
	assert_int_equal(w.askers[0].answers, 1);
	assert_string_equal(w.askers[0].problem, "sent an answer that is too long");
	assert_int_equal(w.peer.open, 0);
	end(&w);
}

/* A second answer would be taken for that to the next question. */
static void more_than_was_asked_for_ends_the_connection(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	w.manner = SAYS;
	w.words = "action=REJECT\n\naction=OK\n\n";
	open_service(&w);
	ask(&w.askers[0]);
	sim_run(w.sim, 100);
	assert_int_equal(w.askers[0].verdict, POLICY_REFUSE);
	w.manner = ECHOES;
	ask(&w.askers[1]);
	sim_run(w.sim, 100);
	assert_int_equal(w.askers[1].verdict, POLICY_REFUSE);
	assert_int_equal(w.peer.accepted, 2);
	end(&w);
}

static void speaking_without_being_asked_ends_the_connection(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	open_service(&w);
	ask(&w.askers[0]);
	sim_run(w.sim, 100);
	service_say(LIST_FIRST(&w.peer.sessions, struct service_session, link), "action=OK\n\n");
	sim_run(w.sim, 100);
	assert_int_equal(w.peer.open, 0);
	ask(&w.askers[1]);
	sim_run(w.sim, 100);
	assert_int_equal(w.askers[1].verdict, POLICY_REFUSE);
	end(&w);
}

/* ---------------------------------------------------------------- cancelling, reload, limits */

static void a_late_answer_is_not_taken_for_anothers(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	w.options.max_connections = 1;
	w.manner = SILENT;
	open_service(&w);
	ask(&w.askers[0]);
	sim_run(w.sim, 100);
	assert_int_equal(w.questions, 1);
	policy_service_cancel(&w.askers[0].slot);
	assert_null(w.askers[0].slot);
	w.manner = ECHOES;
	ask(&w.askers[1]);
	sim_run(w.sim, 100);
	assert_int_equal(w.questions, 1); /* waits until the first is answered */
	service_say(LIST_FIRST(&w.peer.sessions, struct service_session, link), "action=OK\n\n");
	sim_run(w.sim, 100);
	assert_int_equal(w.askers[0].answers, 0);
	assert_int_equal(w.askers[1].answers, 1);
	assert_string_equal(w.askers[1].text, "r1@example.net");
	assert_int_equal(w.peer.accepted, 1);
	end(&w);
}

static void a_cancelled_question_does_not_keep_a_connection(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	w.manner = SILENT;
	w.options.max_connections = 1;
	open_service(&w);
	ask(&w.askers[0]);
	ask(&w.askers[1]);
	policy_service_cancel(&w.askers[1].slot); /* still waiting */
	sim_run(w.sim, 100);
	policy_service_cancel(&w.askers[0].slot);
	sim_run(w.sim, 6000);
	assert_int_equal(w.peer.open, 0);
	assert_int_equal(w.askers[0].answers + w.askers[1].answers, 0);
	end(&w);
}

static void only_so_many_wait(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	w.manner = SILENT;
	w.options.max_connections = 1;
	w.options.max_waiting = 3;
	open_service(&w);
	ask(&w.askers[0]);
	sim_run(w.sim, 100);
	for (unsigned i = 1; i < 6; i++)
		ask(&w.askers[i]);
	sim_run(w.sim, 10);
	assert_int_equal(policy_service_count(w.service).waiting, 3);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(w.askers[i].answers, 0);
	for (unsigned i = 4; i < 6; i++) {
		assert_true(w.askers[i].failed);
		assert_string_equal(w.askers[i].problem, "has too many questions waiting for it");
	}
	end(&w);
}

static void a_new_endpoint_counts_for_the_next_question(void **state)
{
	struct service_peer other = { 0 };
	struct io_address there = service_address("192.0.2.41:10040");
	struct world w;

	(void)state;
	begin(&w);
	w.manner = SILENT;
	open_service(&w);
	ask(&w.askers[0]);
	sim_run(w.sim, 100);
	service_peer_begin(&other, w.io, &there, on_input, &w);
	w.endpoint = (struct config_endpoint){ .text = TEXT("new"), .ip = there.ip.ip, .port = 10040 };
	assert_int_equal(policy_service_configure(w.service, &w.options), ERR_OK);
	w.manner = ECHOES;
	ask(&w.askers[1]);
	sim_run(w.sim, 100);
	assert_int_equal(other.accepted, 1);
	assert_int_equal(w.askers[1].answers, 1);
	/* The question that was under way is still answered by the old one, whose connection goes then. */
	service_say(LIST_FIRST(&w.peer.sessions, struct service_session, link), "action=HOLD\n\n");
	sim_run(w.sim, 100);
	assert_int_equal(w.askers[0].verdict, POLICY_HOLD);
	assert_int_equal(w.peer.open, 0);
	service_peer_end(&other);
	end(&w);
}

static void endpoints_that_are_none_are_refused(void **state)
{
	static char path[200];
	struct world w;

	(void)state;
	begin(&w);
	memset(path, 'p', sizeof(path));
	w.endpoint = (struct config_endpoint){ .text = TEXT("policyd:10040"),
		                               .host = TEXT("policyd"),
		                               .port = 10040 };
	assert_int_equal(policy_service_new(&w.options, &w.service), ERR_CONFIG);
	w.endpoint = (struct config_endpoint){ .host = text_of(path, sizeof(path)), .is_unix = true };
	assert_int_equal(policy_service_new(&w.options, &w.service), ERR_CONFIG);
	assert_null(w.service);
	end(&w);
}

static void unix_sockets_serve_too(void **state)
{
	struct io_address at = { .unix_path = "/run/policyd.sock" };
	struct world w;

	(void)state;
	begin(&w);
	service_peer_end(&w.peer);
	service_peer_begin(&w.peer, w.io, &at, on_input, &w);
	w.endpoint = (struct config_endpoint){ .text = TEXT("unix:/run/policyd.sock"),
		                               .host = TEXT("/run/policyd.sock"),
		                               .is_unix = true };
	open_service(&w);
	ask(&w.askers[0]);
	sim_run(w.sim, 100);
	assert_int_equal(w.askers[0].answers, 1);
	assert_false(w.askers[0].failed);
	end(&w);
}

/* Whatever the service does and whoever leaves: each question has its own answer, once, in its time. */
static void act_at_random(struct world *w, struct random *r)
{
	static const char *const words[] = { "action=DUNNO\n\n", "action=HOLD\n\n", "nonsense\n\n", "x=y\n",
		                             "\n" };
	struct asker *a = &w->askers[random_below(r, ASKERS)];

	switch (random_below(r, 60)) {
	case 0:
		w->manner = (enum manner)random_below(r, SAYS_HALF_AND_CLOSES + 1);
		w->words = words[random_below(r, ARRAY_LEN(words))];
		break;
	case 1:
		if (w->peer.listener)
			service_peer_end(&w->peer);
		break;
	case 2 ... 5:
		if (!w->peer.listener)
			be_there(w);
		w->manner = random_below(r, 3) ? ECHOES : SAYS;
		w->words = words[random_below(r, 2)];
		break;
	case 6:
		service_peer_hang_up(&w->peer);
		break;
	case 7 ... 10:
		if (a->slot) {
			policy_service_cancel(&a->slot);
			a->asked_at = 0;
		}
		break;
	default:
		if (a->slot)
			break;
		a->asked_at = io_now_at(w->io);
		a->answers = 0;
		ask(a);
		break;
	}
}

static void check_askers(struct world *w, unsigned seed)
{
	char row[64], own[32];

	snprintf(row, sizeof(row), "seed %u", seed);
	for (unsigned i = 0; i < ASKERS; i++) {
		struct asker *a = &w->askers[i];

		if (a->asked_at == 0)
			continue;
		CHECK_INT(row, a->answers, a->slot ? 0 : 1);
		if (a->slot)
			CHECK(row, io_now_at(w->io) - a->asked_at <= 5001);
		else
			CHECK(row, a->answered_at - a->asked_at <= 5001);
		snprintf(own, sizeof(own), "r%u@example.net", i);
		if (!a->slot && a->code == 550)
			CHECK_TEXT(row, text_from(a->text), text_from(own));
	}
}

static void whatever_happens_each_question_has_its_answer(void **state)
{
	unsigned own = 0, failed = 0, others = 0;

	(void)state;
	for (unsigned seed = 1; seed <= 100; seed++) {
		struct random r;
		struct world w;

		random_init(&r, seed);
		begin(&w);
		w.options.max_connections = 1 + (unsigned)random_below(&r, 5);
		open_service(&w);
		for (unsigned i = 0; i < 300; i++) {
			act_at_random(&w, &r);
			if (random_below(&r, 3) == 0)
				sim_run(w.sim, (int64_t)random_below(&r, random_below(&r, 8) ? 30 : 2000));
			check_askers(&w, seed);
			assert_true(policy_service_count(w.service).open_connections <=
			            w.options.max_connections);
		}
		sim_run(w.sim, 6 * SECOND_MS);
		check_askers(&w, seed);
		assert_int_equal(policy_service_count(w.service).waiting, 0);
		for (unsigned i = 0; i < ASKERS; i++) {
			own += w.askers[i].code == 550;
			failed += w.askers[i].failed;
			others += w.askers[i].answers && !w.askers[i].failed && w.askers[i].code != 550;
		}
		/* And it is none the worse for it. */
		if (!w.peer.listener)
			be_there(&w);
		w.manner = ECHOES;
		sim_run(w.sim, 15 * SECOND_MS);
		struct asker *a = &w.askers[0];

		a->answers = 0;
		ask(a);
		sim_run(w.sim, 1000);
		assert_int_equal(a->answers, 1);
		assert_false(a->failed);
		assert_string_equal(a->text, "r0@example.net");
		end(&w);
	}
	assert_true(own > 300 && failed > 300 && others > 100); /* each of them was seen often */
}

static void memory_that_runs_out_loses_no_question(void **state)
{
	(void)state;
	for (EACH_ALLOC_FAILING) {
		unsigned nth = nth_;
		struct world w;

		alloc_fail_nth(0);
		begin(&w);
		open_service(&w);
		alloc_fail_nth(nth);
		enum err err = try_ask(&w.askers[0]);
		bool failed = alloc_has_failed();

		if (err)
			assert_null(w.askers[0].slot);
		sim_run(w.sim, 7000);
		failed |= alloc_has_failed();
		alloc_fail_nth(0);
		assert_int_equal(w.askers[0].answers, err ? 0 : 1);
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
		cmocka_unit_test(each_asker_hears_its_own_answer),
		cmocka_unit_test(connections_stay_and_grow_old),
		cmocka_unit_test(connections_are_renewed),
		cmocka_unit_test(a_callback_may_ask_cancel_and_free),
		cmocka_unit_test(silence_is_answered_for_it),
		cmocka_unit_test(on_error_may_accept),
		cmocka_unit_test(a_service_that_hangs_holds_nobody_for_longer),
		cmocka_unit_test(silence_when_connecting_is_bounded),
		cmocka_unit_test(a_service_that_is_away_is_said_once_and_found_again),
		cmocka_unit_test(one_question_finds_out_for_all),
		cmocka_unit_test(a_restart_between_questions_is_not_noticed),
		cmocka_unit_test(one_question_a_connection_is_fine),
		cmocka_unit_test(a_service_that_hangs_up_on_every_question_is_asked_twice_at_most),
		cmocka_unit_test(a_question_is_asked_twice_at_most),
		cmocka_unit_test(a_restart_with_many_connections_is_not_noticed),
		cmocka_unit_test(an_answer_makes_old_failures_forgotten),
		cmocka_unit_test(a_connection_at_work_is_not_idle),
		cmocka_unit_test(connections_that_were_needed_once_grow_old),
		cmocka_unit_test(a_full_service_is_not_down),
		cmocka_unit_test(few_connections_serve_many_questions),
		cmocka_unit_test(nonsense_is_no_permission),
		cmocka_unit_test(nonsense_is_said_once_a_minute),
		cmocka_unit_test(half_an_answer_is_none),
		cmocka_unit_test(an_endless_answer_is_cut),
		cmocka_unit_test(more_than_was_asked_for_ends_the_connection),
		cmocka_unit_test(speaking_without_being_asked_ends_the_connection),
		cmocka_unit_test(a_late_answer_is_not_taken_for_anothers),
		cmocka_unit_test(a_cancelled_question_does_not_keep_a_connection),
		cmocka_unit_test(only_so_many_wait),
		cmocka_unit_test(a_new_endpoint_counts_for_the_next_question),
		cmocka_unit_test(endpoints_that_are_none_are_refused),
		cmocka_unit_test(unix_sockets_serve_too),
		cmocka_unit_test(whatever_happens_each_question_has_its_answer),
		cmocka_unit_test(memory_that_runs_out_loses_no_question),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
