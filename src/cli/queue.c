/* queue: what waits, a line a recipient, or counted by something. */
#include "cli.h"

#include <postrider/base/time.h>

#define PEOPLE_LIMIT 1000
#define WIDTH_DEFAULT 150

struct listing {
	struct cli *cli;
	struct queue_groups *groups;
	int64_t now;
	int64_t messages, recipients;
	bool out_failed;
};

/* ---------------------------------------------------------------- for people */

enum {
	COLUMN_ID = 13,
	COLUMN_AGE = 8,
	COLUMN_SIZE = 8,
	COLUMN_TRIES = 5,
	COLUMN_NEXT = 11,
	COLUMN_PATH = 26
};

static unsigned why_columns(const struct cli *cli)
{
	unsigned width = cli->world->columns ? cli->world->columns : WIDTH_DEFAULT;
	unsigned used =
		COLUMN_ID + COLUMN_AGE + COLUMN_SIZE + COLUMN_TRIES + COLUMN_NEXT + 2 * COLUMN_PATH + 7 * 2;

	return width > used + 20 ? width - used : 20;
}

static void print_heading(struct cli *cli)
{
	static const struct {
		struct text name;
		unsigned columns;
		bool right;
	} heading[] = {
		{ LIT("ID"), COLUMN_ID, false },     { LIT("AGE"), COLUMN_AGE, true },
		{ LIT("SIZE"), COLUMN_SIZE, true },  { LIT("TRIES"), COLUMN_TRIES, true },
		{ LIT("NEXT"), COLUMN_NEXT, false }, { LIT("FROM"), COLUMN_PATH, false },
		{ LIT("TO"), COLUMN_PATH, false },
	};

	cli_colour(cli, BOLD);
	for (size_t i = 0; i < ARRAY_LEN(heading); i++) {
		(heading[i].right ? cli_put_cell_right : cli_put_cell)(cli, heading[i].name,
		                                                       heading[i].columns);
		fputs("  ", cli->out);
	}
	fputs("WHY", cli->out);
	cli_colour(cli, PLAIN);
	fputc('\n', cli->out);
}

static void put_number(struct cli *cli, int64_t value, unsigned columns)
{
	AUTO(buf_fini) struct buf b = BUF(32);

	buf_add_u64(&b, (uint64_t)MAX(value, 0));
	cli_put_cell_right(cli, buf_text(&b), columns);
}

static void put_message(struct cli *cli, const struct json *message, int64_t now)
{
	AUTO(buf_fini) struct buf age = BUF(64), size = BUF(64);
	int64_t received = cli_time(json_member(message, "received"));

	time_add_duration(&age, MAX(now - received, 0) / SECOND_MS * SECOND_MS);
	cli_add_size(&size, json_as_number(json_member(message, "message_size"), 0));
	cli_put_cell(cli, text_head(json_as_text(json_member(message, "queue_id")), COLUMN_ID), COLUMN_ID);
	fputs("  ", cli->out);
	cli_put_cell_right(cli, buf_text(&age), COLUMN_AGE);
	fputs("  ", cli->out);
	cli_put_cell_right(cli, buf_text(&size), COLUMN_SIZE);
}

static void put_next(struct cli *cli, const struct json *recipient, int64_t now)
{
	struct text state = json_as_text(json_member(recipient, "state"));
	AUTO(buf_fini) struct buf when = BUF(64);

	if (text_eq(state, TEXT("waiting"))) {
		int64_t next = cli_time(json_member(recipient, "next_attempt"));

		if (next > now)
			cli_add_when(&when, next, now);
		else
			buf_add(&when, TEXT("due"));
	} else {
		buf_add(&when, state);
	}
	cli_colour(cli, text_eq(state, TEXT("held")) ? YELLOW : PLAIN);
	cli_put_cell(cli, buf_text(&when), COLUMN_NEXT);
	cli_colour(cli, PLAIN);
}

static void put_why(struct cli *cli, const struct json *recipient)
{
	struct text reason = json_as_text(json_member(recipient, "reason"));
	struct text reply = json_as_text(json_member(recipient, "delay_reason"));
	AUTO(buf_fini) struct buf why = BUF(4096);

	buf_add(&why, reason);
	if (reason.len > 0 && reply.len > 0 && !text_eq(reason, reply))
		buf_add(&why, TEXT(": "));
	if (!text_eq(reason, reply))
		buf_add(&why, reply);
	/* what was never tried has a cause as well */
	if (why.len == 0)
		buf_add(&why, json_as_text(json_member(recipient, "waits_for")));
	if (why.len == 0)
		buf_add(&why, TEXT("not tried yet"));
	cli_put_cut(cli, buf_text(&why), why_columns(cli));
}

static void print_recipient(struct cli *cli, const struct json *message, const struct json *recipient,
                            bool is_first, int64_t now)
{
	struct text sender = json_as_text(json_member(message, "sender"));

	if (is_first)
		put_message(cli, message, now);
	else
		cli_put_cell(cli, TEXT_EMPTY, COLUMN_ID + COLUMN_AGE + COLUMN_SIZE + 4);
	fputs("  ", cli->out);
	put_number(cli, json_as_number(json_member(recipient, "attempts"), 0), COLUMN_TRIES);
	fputs("  ", cli->out);
	put_next(cli, recipient, now);
	fputs("  ", cli->out);
	cli_put_cell(cli, !is_first ? TEXT_EMPTY : sender.len ? sender : TEXT("<>"), COLUMN_PATH);
	fputs("  ", cli->out);
	cli_put_cell(cli, json_as_text(json_member(recipient, "address")), COLUMN_PATH);
	fputs("  ", cli->out);
	put_why(cli, recipient);
	fputc('\n', cli->out);
}

static void print_message(struct listing *l, const struct json *message)
{
	const struct json *recipients = json_member(message, "recipients");

	if (l->messages == 0)
		print_heading(l->cli);
	for (size_t i = 0; i < json_count(recipients); i++)
		print_recipient(l->cli, message, json_element(recipients, i), i == 0, l->now);
	if (json_count(recipients) == 0) {
		put_message(l->cli, message, l->now);
		fputs("  damaged: set aside, never to be sent; see `postrider verify`\n", l->cli->out);
	}
}

/* ---------------------------------------------------------------- lines */

static bool on_line(void *owner, struct text line)
{
	struct listing *l = owner;
	AUTO(json_free) struct json *message = NULL;

	if (l->cli->json && !l->groups) {
		l->messages++;
		return fprintf(l->cli->out, "%.*s\n", TEXT_ARGS(line)) > 0;
	}
	if (json_parse(line, &message, NULL))
		return true;
	if (l->groups)
		queue_groups_add(l->groups, message, l->now);
	else
		print_message(l, message);
	l->messages++;
	l->recipients += (int64_t)json_count(json_member(message, "recipients"));
	return !ferror(l->cli->out);
}

static enum exit_code build_target(struct cli *cli, struct buf *target, int64_t *limit)
{
	const char *value = cli_value(cli, "limit");
	uint64_t number = 0;

	buf_add(target, TEXT("/v1/queue"));
	cli_add_query(cli, target);
	if (value && (text_to_u64(text_from(value), INT64_MAX, &number) || number == 0))
		return cli_fail(cli, EXIT_USAGE, NULL, "--limit %s is no number from 1", value);
	*limit = value ? (int64_t)number : cli->json || cli_has(cli, "by") ? 0 : PEOPLE_LIMIT;
	if (*limit > 0) {
		AUTO(buf_fini) struct buf digits = BUF(32);

		buf_add_u64(&digits, (uint64_t)*limit);
		cli_add_parameter(target, "limit", buf_text(&digits));
	}
	return buf_err(target) ? cli_fail(cli, EXIT_USAGE, "give fewer ids", "too much is selected at once")
	                       : EXIT_DONE;
}

static void print_end(struct listing *l, int64_t limit)
{
	struct cli *cli = l->cli;

	if (l->groups) {
		queue_groups_print(cli, l->groups, l->now);
		return;
	}
	if (cli->json)
		return;
	if (l->messages == 0) {
		fputs("nothing waits\n", cli->out);
		return;
	}
	fprintf(cli->out, "%lld message%s, %lld recipient%s%s\n", (long long)l->messages,
	        l->messages == 1 ? "" : "s", (long long)l->recipients, l->recipients == 1 ? "" : "s",
	        l->messages == limit ? ", and perhaps more (--limit, --by)" : "");
}

enum exit_code run_queue(struct cli *cli)
{
	const char *by = cli_value(cli, "by");
	AUTO(queue_groups_free) struct queue_groups *groups = by ? queue_groups_new(by) : NULL;
	AUTO(buf_fini) struct buf target = BUF(64u << 10);
	struct listing l = { .cli = cli, .groups = groups };
	struct answer answer;
	int64_t limit = 0;

	if (by && !groups)
		return cli_fail(cli, EXIT_USAGE, "--by domain, reason, sender, route or age",
		                "the queue is not counted by %s", by);
	enum exit_code code = build_target(cli, &target, &limit);

	if (code)
		return code;
	if (!cli_io(cli))
		return EXIT_FAILED;
	l.now = io_now_time(cli->io);
	struct call call = { .method = "GET", .target = buf_text(&target), .on_line = on_line, .owner = &l };

	code = cli_call(cli, &call, &answer);
	answer_fini(&answer);
	if (code)
		return code;
	print_end(&l, limit);
	/* An empty queue is no failure; a selection that finds nothing is. */
	buf_reset(&target);
	return l.messages == 0 && cli_add_query(cli, &target) ? EXIT_NOTHING : EXIT_DONE;
}
