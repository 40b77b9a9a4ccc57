/* hand_over under faults by a seed: a next hop that defers, refuses, cuts and falls silent, before, in and behind the dot; a disk
 * that fills up; power that fails, also at each numbered place of the queue; stops.
 *
 * The oracle, when all is healed: behind each 250 every recipient has arrived or was reported on; behind each refusal nothing was
 * reported, and nothing arrived but where the log said that it may. Nothing arrives twice without a word of doubt.
 *
 * POSTRIDER_SEEDS=5000 runs so many, from POSTRIDER_FIRST_SEED on; POSTRIDER_SEED=77 one, with its story. */
#include "scripts.h"

#include <stdio.h>
#include <stdlib.h>

#include "../../src/queue/fault.h"
#include "../support/wild_peer.h"

#define SEEDS 200
#define MAILINGS 40
#define RECIPIENTS_MAX 3

struct mailing {
	struct book *book;
	unsigned number, recipients;
	struct io_stream *stream;
	struct buf lines, told;
	bool open;
	unsigned arrived[RECIPIENTS_MAX];
	bool reported[RECIPIENTS_MAX];
	bool doubted[RECIPIENTS_MAX];  /* the log says that it may have arrived */
	bool given_up[RECIPIENTS_MAX]; /* and that it was refused for good */
	bool report_made;              /* what became of it, the next hop may have refused that too */
};

struct book {
	struct relay_world w;
	struct random random;
	struct mailing mailings[MAILINGS];
	unsigned count;
	struct wild_peer *peer;
	unsigned point, nth, passed; /* the power fails at the nth time at this place; 0: nowhere */
	bool power_is_off, tells;
	bool strict, was_full; /* strict: not even a full disk hides a doubt */
	char why[300];
};

/* Over all runs: what shows nothing must not pass. */
struct totals {
	unsigned taken, refused, doubted, twice, crashes;
};

static uint64_t below(struct book *b, uint64_t n)
{
	return random_below(&b->random, n);
}

static void wrong(struct book *b, const char *format, ...) PRINTF_LIKE(2, 3);

static void wrong(struct book *b, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	if (!b->why[0])
		vsnprintf(b->why, sizeof(b->why), format, args);
	va_end(args);
}

/* ---------------------------------------------------------------- what arrives */

static bool number_behind(struct text *t, char letter, unsigned *out)
{
	size_t i = 1;

	if (t->len < 2 || t->at[0] != letter)
		return false;
	for (*out = 0; i < t->len && t->at[i] >= '0' && t->at[i] <= '9'; i++)
		*out = *out * 10 + (unsigned)(t->at[i] - '0');
	*t = text_skip(*t, i);
	return i > 1;
}

/* "m12r1@example.net" */
static struct mailing *mailing_of(struct book *b, struct text path, unsigned *recipient)
{
	unsigned number;

	if (!number_behind(&path, 'm', &number) || !number_behind(&path, 'r', recipient) ||
	    number >= b->count)
		return NULL;
	return &b->mailings[number];
}

static void take_report(struct book *b, struct text content)
{
	while (content.len) {
		struct text line = text_cut(&content, '\n'), field = TEXT("Final-Recipient: rfc822; ");
		struct mailing *m;
		unsigned n;

		if (text_starts_nocase(line, field) && (m = mailing_of(b, text_skip(line, field.len), &n)))
			m->reported[n] = true;
	}
}

static void on_taken(void *owner, struct text forward_path, struct text content,
                     const struct wild_delivery *d)
{
	struct book *b = owner;
	unsigned n;
	struct mailing *m = mailing_of(b, forward_path, &n);

	if (b->power_is_off)
		return; /* nothing leaves any more */
	if (b->tells)
		printf("%10lld  arrives: %.*s%s\n", (long long)d->at, TEXT_ARGS(forward_path),
		       d->answer_is_lost ? ", and nobody is told" : "");
	if (m)
		m->arrived[n]++;
	else
		take_report(b, content);
}

/* ---------------------------------------------------------------- clients */

static void on_connected(void *owner)
{
	struct mailing *m = owner;
	struct text all = buf_text(&m->lines);

	io_stream_write(m->stream, &all, 1);
}

static size_t on_data(void *owner, struct text bytes)
{
	struct mailing *m = owner;

	if (!m->book->power_is_off)
		buf_add(&m->told, bytes);
	return bytes.len;
}

static void on_eof(void *owner)
{
	io_stream_close(((struct mailing *)owner)->stream);
}

static void on_drained(void *owner)
{
	(void)owner;
}

static void on_closed(void *owner, enum err why)
{
	(void)why;
	((struct mailing *)owner)->open = false;
}

static const struct io_stream_events events = { on_connected, on_data, on_eof, on_drained, on_closed };

static void send_one(struct book *b)
{
	struct mailing *m = &b->mailings[b->count];
	struct io_address to = { .ip = RELAY_AT };

	m->book = b;
	m->number = b->count++;
	m->recipients = 1 + (unsigned)below(b, RECIPIENTS_MAX);
	m->lines = m->told = BUF(4u << 20);
	buf_add_format(&m->lines, "EHLO c.test\r\nMAIL FROM:<s%u@example.com>\r\n", m->number);
	for (unsigned i = 0; i < m->recipients; i++)
		buf_add_format(&m->lines, "RCPT TO:<m%ur%u@example.net>\r\n", m->number, i);
	buf_add_string(&m->lines, "DATA\r\nSubject: x\r\n\r\n");
	for (unsigned i = below(b, 6) ? 1 : 3000; i > 0; i--)
		buf_add_string(&m->lines,
		               "a line of the body, one of few, or one of those that make it a file\r\n");
	buf_add_string(&m->lines, ".\r\nQUIT\r\n");
	m->open = io_connect(sim_io(b->w.sim), &to, NULL, &events, m, &m->stream) == ERR_OK;
}

/* Of the answer to the dot; 0: none came. */
static int code_of(const struct mailing *m)
{
	struct text told = buf_text(&m->told);
	struct text rest = text_skip(told, text_find(told, TEXT("\r\n354 ")) + 2);
	uint64_t code;

	(void)text_cut(&rest, '\n');
	if (text_find_octet(rest, '\n') == rest.len || text_to_u64(text_head(rest, 3), 999, &code))
		return 0;
	return (int)code;
}

/* ---------------------------------------------------------------- faults */

static enum err at_place(void *owner, unsigned point)
{
	struct book *b = owner;

	/* until the next start nothing comes to the disk */
	if (b->power_is_off)
		return point == FAULT_OPEN_MARK || point == FAULT_SWEEP_REMOVE || point == FAULT_RESERVE_MAKE
		               ? ERR_OK
		               : ERR_IO;
	if (point != b->point || ++b->passed != b->nth)
		return ERR_OK;
	b->power_is_off = true;
	queue_memory_power_off(b->w.memory);
	return ERR_OK;
}

static void start_again(struct book *b)
{
	if (b->tells)
		printf("%10lld  the power fails\n", (long long)io_now_at(sim_io(b->w.sim)));
	b->power_is_off = true;
	queue_memory_fail_commits(b->w.memory, ERR_OK, 0); /* none starts on a full disk */
	relay_world_crash(&b->w);
	b->power_is_off = false;
	b->point = 0;
}

static void go_wrong(struct book *b)
{
	switch (below(b, 14)) {
	case 0:
		start_again(b);
		return;
	case 1:
		b->point = 1 + (unsigned)below(b, FAULT_COUNT - 1);
		b->nth = 1 + (unsigned)below(b, 3);
		b->passed = 0;
		return;
	case 2:
		queue_memory_fail_commits(b->w.memory, ERR_FULL, (unsigned)below(b, 3));
		b->was_full = true;
		return;
	case 3:
		queue_memory_fail_commits(b->w.memory, ERR_OK, 0);
		return;
	case 4:
		sim_cut(b->w.sim, NEXT_HOP);
		return;
	case 5:
		wild_peer_set_malice(b->peer, (unsigned)below(b, 300));
		return;
	case 6:
		queue_memory_fail_commits(b->w.memory, ERR_OK, 0);
		relay_world_stop(&b->w);
		relay_world_start(&b->w);
		return;
	default:
		return;
	}
}

/* ---------------------------------------------------------------- the oracle */

static bool line_says(struct text line, const char *words)
{
	return text_find(line, text_from(words)) < line.len;
}

static void read_line(struct book *b, struct text line, struct text to)
{
	unsigned n;
	struct mailing *m = mailing_of(b, to, &n);

	if (m) {
		m->doubted[n] |= line_says(line, "unknown_outcome");
		m->given_up[n] |=
			line_says(line, "\"event\":\"bounced\"") || line_says(line, "\"event\":\"expired\"");
	} else if (line_says(line, "\"from\":\"\"") && number_behind(&to, 's', &n) && n < b->count) {
		/* nobody else writes to them; the line that says that it was made may have gone with the power */
		b->mailings[n].report_made = true;
	}
}

static void read_log(struct book *b)
{
	struct text rest = buf_text(&b->w.events), key = TEXT("\"to\":\"");

	while (rest.len) {
		struct text line = text_cut(&rest, '\n');

		if (text_find(line, key) < line.len)
			read_line(b, line, text_skip(line, text_find(line, key) + key.len));
	}
}

static void judge(struct book *b, const struct mailing *m, unsigned n)
{
	int code = code_of(m);
	bool reported = m->reported[n] || (m->given_up[n] && m->report_made);

	if (code == 250 && !m->arrived[n] && !reported)
		wrong(b, "m%ur%u was answered 250, and neither arrived nor was reported on", m->number, n);
	if (code >= 400 && m->arrived[n] && !m->doubted[n])
		wrong(b, "m%ur%u was answered %d and arrived, and nothing was said of it", m->number, n,
		      code);
	if (code >= 400 && m->report_made)
		wrong(b, "m%ur%u was answered %d and reported on as well", m->number, n, code);
	/* nobody waits for a lazy claim: a disk that was full and then lost its power may never have had it */
	if (m->arrived[n] > 1 && !m->doubted[n] && (b->strict || !b->was_full))
		wrong(b, "m%ur%u arrived %u times, and nothing was said of it", m->number, n, m->arrived[n]);
}

static void heal(struct book *b)
{
	b->point = 0;
	if (b->power_is_off)
		start_again(b);
	queue_memory_fail_commits(b->w.memory, ERR_OK, 0);
	wild_peer_set_malice(b->peer, 0);
	sim_run(b->w.sim, 6 * HOUR_MS);
}

static void add_up(const struct book *b, struct totals *sum)
{
	sum->crashes += b->w.crashes;
	for (unsigned i = 0; i < b->count; i++) {
		const struct mailing *m = &b->mailings[i];

		sum->taken += code_of(m) == 250;
		sum->refused += code_of(m) >= 400;
		for (unsigned n = 0; n < m->recipients; n++) {
			sum->doubted += m->doubted[n];
			sum->twice += m->arrived[n] > 1;
		}
	}
}

static bool runs_well(uint64_t seed, bool tells, struct totals *sum, char why[300])
{
	static struct book b;
	static const char *const modes[] = { "through", "through_or_store" };
	char yaml[900];

	b = (struct book){ .tells = tells };
	random_init(&b.random, seed);
	b.strict = below(&b, 2);
	snprintf(
		yaml, sizeof(yaml),
		"hostname: relay.test\nspool: {path: /spool}\n"
		"listen: [{address: 127.0.0.1:2525, hand_over: %s, hand_over_timeout: %us}]\n"
		"upstreams: {next: {hosts: [10.0.0.1:25], tls: none}}\n"
		"routes: [{to: any, via: next, ledger: %s}]\n"
		"stop: {drain: 5s}\nretry: {schedule: [1m, 5m], give_up_after: 30d, bounce_give_up_after: 30d, warn_after: never}\n",
		modes[below(&b, 2)], 2 + (unsigned)below(&b, 60), b.strict ? "strict" : "lazy");
	relay_world_open(&b.w, seed, yaml, NULL);
	b.w.prints = tells;
	b.w.fault = at_place;
	b.w.fault_owner = &b;
	relay_world_stop(&b.w);
	relay_world_start(&b.w); /* with the places */
	assert_int_equal(wild_peer_new(b.w.sim, NEXT_HOP, seed, on_taken, &b, &b.peer), ERR_OK);
	wild_peer_set_malice(b.peer, (unsigned)below(&b, 150));
	for (unsigned i = 0; i < MAILINGS; i++) {
		send_one(&b);
		/* without power nothing goes on */
		if (sim_run_until(b.w.sim, &b.power_is_off, (int64_t)below(&b, below(&b, 4) ? 300 : 60000)))
			start_again(&b);
		go_wrong(&b);
	}
	heal(&b);
	read_log(&b);
	for (unsigned i = 0; i < b.count; i++) {
		for (unsigned n = 0; n < b.mailings[i].recipients; n++)
			judge(&b, &b.mailings[i], n);
	}
	if (queue_space(server_queue(b.w.server)).messages)
		wrong(&b, "%llu messages are left",
		      (unsigned long long)queue_space(server_queue(b.w.server)).messages);
	add_up(&b, sum);
	relay_world_check(&b.w);
	relay_world_stop(&b.w);
	for (unsigned i = 0; i < b.count; i++) {
		if (b.mailings[i].open)
			io_stream_close(b.mailings[i].stream);
	}
	wild_peer_free(&b.peer);
	relay_world_close(&b.w);
	for (unsigned i = 0; i < b.count; i++) {
		buf_fini(&b.mailings[i].lines);
		buf_fini(&b.mailings[i].told);
	}
	memcpy(why, b.why, sizeof(b.why));
	return !b.why[0];
}

static void the_oracle_finds_nothing(void **state)
{
	const char *one = getenv("POSTRIDER_SEED"), *many = getenv("POSTRIDER_SEEDS");
	const char *from = getenv("POSTRIDER_FIRST_SEED");
	uint64_t count = many ? strtoull(many, NULL, 10) : SEEDS, first = from ? strtoull(from, NULL, 10) : 1;
	struct totals sum = { 0 };
	char why[300];

	(void)state;
	if (one) {
		if (!runs_well(strtoull(one, NULL, 10), true, &sum, why))
			fail_msg("%s", why);
		return;
	}
	for (uint64_t seed = first; seed < first + count; seed++)
		if (!runs_well(seed, false, &sum, why))
			fail_msg("POSTRIDER_SEED=%llu: %s", (unsigned long long)seed, why);
	print_message("%u taken, %u refused; %u recipients in doubt, %u got it twice; %u crashes\n",
	              sum.taken, sum.refused, sum.doubted, sum.twice, sum.crashes);
	assert_true(sum.taken > 3 * count && sum.refused > 3 * count && sum.doubted > 0 &&
	            sum.crashes > count / 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_oracle_finds_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
