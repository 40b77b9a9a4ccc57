/* Every reply, cut and silence at every stage of a mail transaction, for one recipient and for three, with
 * and without PIPELINING. The script of each case and what it must come to are made here, from the
 * protocol's rules and not from the session's code. */
#include <stdio.h>

#include <postrider/base/buf.h>

#include "support/check.h"
#include "support/session_script.h"

enum at { AT_MAIL, AT_RCPT, AT_DATA, AT_DOT, AT_COUNT };

static const char *const stage_words[] = { "mail", "rcpt", "data", "dot" };

static const struct happening {
	const char *line; /* of the script */
	char outcome;     /* d: positive  t: transient  p: permanent  -: no more of this connection */
	int code;
	bool closes;        /* 421: the connection goes too */
	const char *reason; /* when nothing was said; NULL: of the reply */
} happenings[] = {
	{ "S: 250 fine", 'd', 250, false, NULL },
	{ "S: 251 will forward", 'd', 251, false, NULL },
	{ "S: 299 unheard of", 'd', 299, false, NULL },
	{ "S: 250-fine / 250 in two lines", 'd', 250, false, NULL },
	{ "S: 421 closing", 't', 421, true, NULL },
	{ "S: 450 later", 't', 450, false, NULL },
	{ "S: 451-later / 451 really", 't', 451, false, NULL },
	{ "S: 452 full", 't', 452, false, NULL },
	{ "S: 499 unheard of", 't', 499, false, NULL },
	{ "S: 500 what", 'p', 500, false, NULL },
	{ "S: 550 no", 'p', 550, false, NULL },
	{ "S: 554 no", 'p', 554, false, NULL },
	{ "S: 599 unheard of", 'p', 599, false, NULL },
	{ "S: 354 go", 'i', 354, false, NULL },
	{ "S: 399 unheard of", 'i', 399, false, NULL },
	{ "S: 250-one / 550 two", '-', 0, true, "protocol" },
	{ "S: 150 early", '-', 0, true, "protocol" },
	{ "S: 650 strange", '-', 0, true, "protocol" },
	{ "S: hello", '-', 0, true, "protocol" },
	{ "S: 25", '-', 0, true, "protocol" },
	{ "S: closes", '-', 0, true, "connect" },
	{ "S: resets", '-', 0, true, "connect" },
	{ "after 599 s", '-', 0, true, "timeout" },
};

static const char *const names[] = { "a", "b", "c" };

static void add(struct buf *b, const char *format, ...) PRINTF_LIKE(2, 3);
static void add(struct buf *b, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	buf_add_format_v(b, format, args);
	va_end(args);
	buf_add_octet(b, '\n');
}

struct row {
	bool pipelining;
	size_t recipients, which; /* which recipient it happens to, AT_RCPT */
	enum at at;
	const struct happening *h;
};

static void add_commands(struct buf *b, const struct row *r)
{
	add(b, "C> MAIL FROM:<s@example.org>");
	if (!r->pipelining)
		return;
	for (size_t i = 0; i < r->recipients; i++)
		add(b, "C+ RCPT TO:<%s@example.net>", names[i]);
	add(b, "C+ DATA");
}

static const char *kind_word(char outcome)
{
	return outcome == 'd' ? "delivered" : outcome == 't' ? "transient" : "permanent";
}

/* By reply, all from `from` on but those that have a result. */
static void add_results(struct buf *b, const struct row *r, char outcome, const char *except)
{
	for (size_t i = 0; i < r->recipients; i++) {
		if (except && strcmp(names[i], except) == 0)
			continue;
		add(b, "%s: %s %d %c.0.0 %s peer", names[i], kind_word(outcome), r->h->code,
		    outcome == 'd'   ? '2'
		    : outcome == 't' ? '4'
		                     : '5',
		    stage_words[r->at]);
	}
}

static void add_lost(struct buf *b, const struct row *r, const char *reason)
{
	for (size_t i = 0; i < r->recipients; i++) {
		if (r->at == AT_DOT)
			add(b, "%s: unknown 0 4.4.2 unknown_outcome dot", names[i]);
		else
			add(b, "%s: transient 0 4.4.2 %s %s", names[i], reason, stage_words[r->at]);
	}
	add(b, "done");
	add(b, "closed");
}

static void add_end_of_connection(struct buf *b)
{
	add(b, "done");
	add(b, "closed");
}

/* What follows a refusal of the whole message before DATA was answered: the peer refuses the rest of the
 * group. */
static void refuse_rest(struct buf *b, const struct row *r, size_t replies)
{
	if (r->pipelining)
		for (size_t i = 0; i < replies; i++)
			add(b, "S: 503 no");
	add(b, "done");
	add(b, "ready");
}

static void go_to_the_end(struct buf *b, const struct row *r, const char *except)
{
	add(b, "S: 354 go");
	add(b, "C> hello");
	add(b, "C+ .");
	add(b, "S: 250 taken");
	for (size_t i = 0; i < r->recipients; i++)
		if (!except || strcmp(names[i], except) != 0)
			add(b, "%s: delivered 250 2.0.0 dot", names[i]);
	add(b, "done");
	add(b, "ready");
}

/* RCPTs from number `from` on are accepted, and DATA is out. */
static void accept_recipients(struct buf *b, const struct row *r, size_t from)
{
	for (size_t i = from; i < r->recipients; i++) {
		if (!r->pipelining)
			add(b, "C> RCPT TO:<%s@example.net>", names[i]);
		add(b, "S: 250 ok");
	}
	if (!r->pipelining)
		add(b, "C> DATA");
}

static void at_mail(struct buf *b, const struct row *r)
{
	add(b, "%s", r->h->line);
	switch (r->h->outcome) {
	case 'd':
		accept_recipients(b, r, 0);
		go_to_the_end(b, r, NULL);
		break;
	case 'i':
		add_lost(b, r, "protocol");
		break;
	case '-':
		add_lost(b, r, r->h->reason);
		break;
	default:
		add_results(b, r, r->h->outcome, NULL);
		if (r->h->closes)
			add_end_of_connection(b);
		else
			refuse_rest(b, r, r->recipients + 1);
	}
}

/* The one it happens to is refused; the others are delivered if there are any. */
static void one_is_refused(struct buf *b, const struct row *r)
{
	const char *who = names[r->which];
	char outcome = r->h->outcome;

	add(b, "%s: %s %d %c.0.0 rcpt peer", who, kind_word(outcome), r->h->code, outcome == 't' ? '4' : '5');
	if (r->recipients == 1) {
		refuse_rest(b, r, 1);
		return;
	}
	accept_recipients(b, r, r->which + 1);
	go_to_the_end(b, r, who);
}

static void at_rcpt(struct buf *b, const struct row *r)
{
	add(b, "S: 250 ok");
	for (size_t i = 0; i < r->which; i++) {
		if (!r->pipelining)
			add(b, "C> RCPT TO:<%s@example.net>", names[i]);
		add(b, "S: 250 ok");
	}
	if (!r->pipelining)
		add(b, "C> RCPT TO:<%s@example.net>", names[r->which]);
	add(b, "%s", r->h->line);
	switch (r->h->outcome) {
	case 'd':
		accept_recipients(b, r, r->which + 1);
		go_to_the_end(b, r, NULL);
		break;
	case 'i':
		add_lost(b, r, "protocol");
		break;
	case '-':
		add_lost(b, r, r->h->reason);
		break;
	default:
		if (!r->h->closes) {
			one_is_refused(b, r);
			break;
		}
		add(b, "%s: transient 421 4.0.0 rcpt peer", names[r->which]);
		add_results(b, r, 't', names[r->which]);
		add_end_of_connection(b);
	}
}

static void at_data(struct buf *b, const struct row *r)
{
	add(b, "S: 250 ok");
	accept_recipients(b, r, 0);
	if (r->h->outcome == 'i') {
		add(b, "%s", r->h->line);
		add(b, "C> hello");
		add(b, "C+ .");
		return;
	}
	add(b, "%s", r->h->line);
	switch (r->h->outcome) {
	case 'd':
		add_lost(b, r, "protocol"); /* 2xx is no answer to DATA */
		break;
	case '-':
		add_lost(b, r, r->h->reason);
		break;
	default:
		add_results(b, r, r->h->outcome, NULL);
		if (r->h->closes)
			add_end_of_connection(b);
		else
			refuse_rest(b, r, 0);
	}
}

static void at_dot(struct buf *b, const struct row *r)
{
	add(b, "S: 250 ok");
	accept_recipients(b, r, 0);
	add(b, "S: 354 go");
	add(b, "C> hello");
	add(b, "C+ .");
	if (r->h->reason && strcmp(r->h->reason, "timeout") == 0)
		add(b, "after 1 s"); /* 600 s in all */
	add(b, "%s", r->h->line);
	switch (r->h->outcome) {
	case 'i':
	case '-':
		add_lost(b, r, NULL);
		break;
	default:
		add_results(b, r, r->h->outcome, NULL);
		if (r->h->closes)
			add_end_of_connection(b);
		else
			refuse_rest(b, r, 0);
	}
}

static void run(const struct row *r)
{
	static void (*const parts[])(struct buf * b, const struct row *r) = { at_mail, at_rcpt, at_data,
		                                                              at_dot };
	struct session_script_options options = { .tls = CONFIG_TLS_NONE };
	struct buf b = BUF(1 << 20);

	add(&b, "S: 220 mx");
	add(&b, "C> EHLO relay.example");
	add(&b, r->pipelining ? "S: 250-mx / 250 PIPELINING" : "S: 250 mx");
	add(&b, "up");
	add(&b, "ready");
	add(&b, r->recipients == 1 ? "job a" : "job a b c");
	add_commands(&b, r);
	parts[r->at](&b, r);
	buf_add_octet(&b, 0);
	assert_int_equal(buf_err(&b), ERR_OK);
	session_script(&options, b.at);
	buf_fini(&b);
}

static void run_stage(enum at at)
{
	for (unsigned pipelining = 0; pipelining < 2; pipelining++)
		for (size_t recipients = 1; recipients <= 3; recipients += 2)
			for (size_t which = 0; which < (at == AT_RCPT ? recipients : 1); which++)
				for (size_t i = 0; i < ARRAY_LEN(happenings); i++)
					run(&(struct row){ pipelining, recipients, which, at,
					                   &happenings[i] });
}

static void everything_at_mail(void **state)
{
	(void)state;
	run_stage(AT_MAIL);
}

static void everything_at_rcpt(void **state)
{
	(void)state;
	run_stage(AT_RCPT);
}

static void everything_at_data(void **state)
{
	(void)state;
	run_stage(AT_DATA);
}

static void everything_at_the_dot(void **state)
{
	(void)state;
	run_stage(AT_DOT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everything_at_mail),
		cmocka_unit_test(everything_at_rcpt),
		cmocka_unit_test(everything_at_data),
		cmocka_unit_test(everything_at_the_dot),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
