/* hand_over: the client's answer is the next hop's. An oracle compares what the client was told with what is there: behind a 250
 * each recipient has a delivered copy, a row of the queue or a report; behind a refusal there is no row, and no copy but where
 * the log says that it may be there. */
#include "scripts.h"

#include <stdio.h>
#include <stdlib.h>

#define YAML_MODE(mode, more)                                                                                             \
	"hostname: relay.test\nspool: {path: /spool}\nlisten: [{address: 127.0.0.1:2525, hand_over: " mode more "}]\n" \
	"upstreams: {next: {hosts: [10.0.0.1:25], tls: none}}\nroutes: [{to: any, via: next}]\n" YAML_RETRY
#define YAML_THROUGH YAML_MODE("through", "")
#define YAML_OR_STORE YAML_MODE("through_or_store", "")

/* ---------------------------------------------------------------- one recipient */

/* What is expected in either mode; NULL: the same as through. */
struct one_case {
	const char *name, *script;
	const char *through, *or_store; /* the beginning of the answer to the dot */
	bool stored;                    /* in the mode that stores */
	bool may_be_there;              /* the log says so where the client is refused */
};

static const struct one_case one_cases[] = {
	{ "taken", HELLO TAKES, "250 2.0.0 delivered as ", NULL, false, false },
	{ "refused at the dot", HELLO ENVELOPE ACCEPTS "S: 554 5.7.1 spam\n",
	  "554 5.7.1 10.0.0.1 said: 554 5.7.1 spam", NULL, false, false },
	{ "refused at RCPT", HELLO ENVELOPE "S: 250 ok\nS: 550 5.1.1 nobody\nS: 503 no\n",
	  "550 5.1.1 10.0.0.1 said: 550 5.1.1 nobody", NULL, false, false },
	{ "put off at RCPT", HELLO ENVELOPE "S: 250 ok\nS: 450 4.2.1 busy\nS: 503 no\n",
	  "451 4.2.1 10.0.0.1 said: 450 4.2.1 busy", "250 2.0.0 queued as ", true, false },
	{ "put off at the dot", HELLO ENVELOPE ACCEPTS "S: 452 4.2.2 full\n",
	  "451 4.2.2 10.0.0.1 said: 452 4.2.2 full", "250 2.0.0 queued as ", true, false },
	{ "421 to the greeting", "S: 421 4.3.2 later\n", "451 4.3.2 ", "250 2.0.0 queued as ", true, false },
	{ "a cut before the dot", HELLO ENVELOPE "S: 250 ok\nS: drops\n", "451 4.4.2 ", "250 2.0.0 queued as ", true,
	  false },
	{ "a cut behind the dot", HELLO ENVELOPE ACCEPTS "S: drops\n",
	  "451 4.4.2 the host closed the connection after the message was sent: it may have been delivered",
	  "250 2.0.0 queued as ", true, true },
	{ "a cut in the answer to the dot", HELLO ENVELOPE ACCEPTS "S: 250-2.0.0 tak\nS: drops\n", "451 4.4.2 ",
	  "250 2.0.0 queued as ", true, true },
	{ "silence before the dot", HELLO ENVELOPE "S: 250 ok\nafter 20 m\n", "451 4.4.7 The next hop has not answered",
	  "250 2.0.0 queued as ", true, false },
	{ "silence behind the dot", HELLO ENVELOPE ACCEPTS "after 20 m\nS: 250 2.0.0 late\n",
	  "451 4.4.7 The next hop has not answered", "250 2.0.0 queued as ", true, true },
	{ "an answer that comes late", HELLO ENVELOPE ACCEPTS "after 5 m\nS: 250 2.0.0 late\n",
	  "451 4.4.7 The next hop has not answered", "250 2.0.0 queued as ", true, true },
};

static const char mail_to_one[] = "EHLO c.test\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n" SMALL
				  ".\r\nNOOP\r\n";

/* The reply to the dot: the one behind 354. */
static struct text answer_of(struct relay_world *w)
{
	struct text heard = relay_world_heard(w);
	size_t at = text_find(heard, TEXT("\r\n354 "));
	struct text rest = text_skip(heard, at + 2);

	(void)text_cut(&rest, '\n');
	return text_cut(&rest, '\r');
}

static void check_one(const struct one_case *c, bool or_store, uint64_t seed)
{
	const char *expected = or_store && c->or_store ? c->or_store : c->through;
	bool stored = or_store && c->stored;
	struct relay_world w;
	struct sim_peer *p;

	relay_world_open(&w, seed, or_store ? YAML_OR_STORE : YAML_THROUGH, NULL);
	p = relay_world_peer(&w, NEXT_HOP, c->script);
	(void)relay_world_say(&w, mail_to_one);
	struct text answer = answer_of(&w);

	if (!text_starts(answer, text_from(expected)))
		fail_msg("%s: %.*s and not %s in\n%.*s", c->name, TEXT_ARGS(answer), expected,
		         TEXT_ARGS(buf_text(&w.events)));
	/* the NOOP that had been sent at once was answered behind it */
	assert_true(text_find(relay_world_heard(&w), TEXT("\r\n250 2.0.0 Ok\r\n221 ")) < relay_world_heard(&w).len);
	sim_run(w.sim, 100);
	if (queue_space(server_queue(w.server)).messages != stored)
		fail_msg("%s: %llu messages are stored", c->name,
		         (unsigned long long)queue_space(server_queue(w.server)).messages);
	assert_true(relay_world_said(&w, "\"action\":\"stored\"") == stored);
	if (relay_world_said(&w, "unknown_outcome") != (c->may_be_there && !stored) && !or_store)
		fail_msg("%s: the log says otherwise\n%.*s", c->name, TEXT_ARGS(buf_text(&w.events)));
	sim_run(w.sim, 10 * MINUTE_MS);
	/* nobody reports what the client was told */
	if (!stored) {
		assert_int_equal(queue_space(server_queue(w.server)).messages, 0);
		assert_int_equal(relay_world_count(&w, "received"), answer.at[0] == '2');
	}
	relay_world_check(&w);
	relay_world_stop(&w);
	sim_peer_free(&p);
	relay_world_close(&w);
}

static void each_answer_is_the_next_hops(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(one_cases); i++) {
		check_one(&one_cases[i], false, 100 + i);
		check_one(&one_cases[i], true, 200 + i);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_answer_is_the_next_hops),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
