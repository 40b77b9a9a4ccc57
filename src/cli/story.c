/* A message's story as people read it: who, whither, and each attempt with the times of its parts. */
#include "cli.h"
#include "words.h"

#include <postrider/base/id.h>
#include <postrider/base/time.h>

#define LABEL_COLUMNS 11
#define MAIN_COLUMNS 58
#define INDENT "                " /* below the main column */

static struct text member_text(const struct json *v, const char *name)
{
	return json_as_text(json_member(v, name));
}

static int64_t member_number(const struct json *v, const char *name)
{
	return json_as_number(json_member(v, name), -1);
}

/* ---------------------------------------------------------------- what is known of a recipient */

struct recipient {
	int64_t number;
	struct text address;
	const struct json *living; /* of the queue; NULL: gone */
	const struct json *last;   /* its last event; NULL: none */
};

/* Recipients are few, or their number is in the thousands and each is looked for once an event: sorted by number. */
struct recipients {
	struct recipient *items;
	size_t count, room;
};

static struct recipient *recipient_of(struct recipients *all, int64_t number)
{
	size_t low = 0, high = all->count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (all->items[middle].number < number)
			low = middle + 1;
		else
			high = middle;
	}
	if (low < all->count && all->items[low].number == number)
		return &all->items[low];
	if (all->count == all->room) {
		size_t room = all->room ? all->room * 2 : 8;
		struct recipient *items = realloc(all->items, room * sizeof(*items));

		if (!items)
			return NULL;
		all->items = items;
		all->room = room;
	}
	memmove(&all->items[low + 1], &all->items[low], (all->count - low) * sizeof(*all->items));
	all->count++;
	all->items[low] = (struct recipient){ .number = number };
	return &all->items[low];
}

static void recipients_fini(struct recipients *all)
{
	free(all->items);
}

/* Whether a message is at its end for a recipient, by its last event. */
static bool is_final(struct text event)
{
	return text_eq(event, TEXT("delivered")) || text_eq(event, TEXT("bounced")) ||
	       text_eq(event, TEXT("expired")) || text_eq(event, TEXT("dropped"));
}

static void gather_living(struct recipients *all, const struct json *story)
{
	const struct json *living = json_member(json_member(story, "queue"), "recipients");

	for (size_t i = 0; i < json_count(living); i++) {
		const struct json *one = json_element(living, i);
		struct recipient *r = recipient_of(all, member_number(one, "rcpt"));

		if (!r)
			return;
		r->living = one;
		r->address = member_text(one, "address");
	}
}

static void gather(struct recipients *all, const struct json *story)
{
	const struct json *events = json_member(story, "events");

	gather_living(all, story);
	for (size_t i = 0; i < json_count(events); i++) {
		const struct json *e = json_element(events, i);
		int64_t number = member_number(e, "rcpt");
		struct recipient *r = number >= 0 ? recipient_of(all, number) : NULL;

		if (!r)
			continue;
		r->last = e;
		if (r->address.len == 0)
			r->address = member_text(e, "to");
	}
}

static const struct json *received_event(const struct json *story)
{
	const struct json *events = json_member(story, "events");

	for (size_t i = 0; i < json_count(events); i++)
		if (text_eq(member_text(json_element(events, i), "event"), TEXT("received")))
			return json_element(events, i);
	return NULL;
}

void story_outcome(const struct json *story, unsigned *waiting, unsigned *failed)
{
	AUTO(recipients_fini) struct recipients all = { 0 };
	int64_t expected = member_number(received_event(story), "recipients");

	*waiting = *failed = 0;
	gather(&all, story);
	for (size_t i = 0; i < all.count; i++) {
		struct text event = member_text(all.items[i].last, "event");

		if (all.items[i].living || !is_final(event))
			++*waiting;
		else if (!text_eq(event, TEXT("delivered")))
			++*failed;
	}
	/* A recipient whose event is not written down yet is neither here nor there. */
	if (expected > (int64_t)all.count)
		*waiting += (unsigned)(expected - (int64_t)all.count);
	if (all.count == 0 && expected <= 0)
		*waiting = 1;
}

/* ---------------------------------------------------------------- head */

static void put_pair(struct cli *cli, const char *name, struct text value)
{
	if (value.len == 0)
		return;
	fprintf(cli->out, "   %s%s", name, name[0] ? " " : "");
	cli_put(cli, value);
}

static void put_route(struct cli *cli, const struct json *story)
{
	const struct json *events = json_member(story, "events");
	const struct json *with_route = NULL;

	for (size_t i = 0; i < json_count(events); i++)
		if (member_text(json_element(events, i), "at").len > 0)
			with_route = json_element(events, i);
	struct text upstream = member_text(with_route, "upstream");

	put_pair(cli, "route", member_text(with_route, "at"));
	if (upstream.len > 0) {
		fputs(" → ", cli->out);
		cli_put(cli, upstream);
	}
}

static struct text first_of(struct text a, struct text b)
{
	return a.len > 0 ? a : b;
}

static int64_t received_time(const struct json *story)
{
	int64_t time = cli_time(json_member(json_member(story, "queue"), "received"));

	if (time == 0)
		time = cli_time(json_member(received_event(story), "created"));
	return time ? time : cli_time(json_member(received_event(story), "time"));
}

static void print_head(struct cli *cli, const struct json *story)
{
	const struct json *queue = json_member(story, "queue"), *received = received_event(story);
	const struct json *client = json_member(received, "client");
	struct text from = first_of(member_text(queue, "sender"), member_text(received, "from"));
	struct text subject = first_of(member_text(queue, "subject"),
	                               member_text(json_member(received, "headers"), "Subject"));
	int64_t size = queue ? member_number(queue, "message_size") : -1;
	AUTO(buf_fini) struct buf date = BUF(64), decoded = BUF(16384);

	time_add_rfc3339(&date, received_time(story) * 1000);
	words_add_decoded(&decoded, subject);
	cli_colour(cli, BOLD);
	cli_put(cli, member_text(story, "id"));
	cli_colour(cli, PLAIN);
	put_pair(cli, "", buf_text(&decoded));
	put_pair(cli, "", first_of(member_text(queue, "message_id"), member_text(received, "message_id")));
	size = size >= 0 ? size : member_number(received, "size");
	if (size >= 0) {
		fputs("   ", cli->out);
		cli_put_size(cli, size);
	}
	fputs("\nfrom ", cli->out);
	cli_put(cli, first_of(from, TEXT("<>")));
	put_pair(cli, "listener", first_of(member_text(client, "listener"), member_text(queue, "listener")));
	put_pair(cli, "client", first_of(member_text(client, "ip"), member_text(queue, "client")));
	put_route(cli, story);
	if (received_time(story) > 0)
		fprintf(cli->out, "   on %.10s UTC", buf_text(&date).at);
	fputc('\n', cli->out);
}

/* ---------------------------------------------------------------- lines */

/* "10:00:00.000", with the date before it on another day than the first. */
static void put_clock(struct cli *cli, int64_t time, int64_t first)
{
	AUTO(buf_fini) struct buf clock = BUF(64), date = BUF(64);

	time_add_clock(&clock, time);
	time_add_rfc3339(&date, time * 1000);
	if (time / DAY_MS != first / DAY_MS)
		fprintf(cli->out, "%.5s ", buf_text(&date).at + 5);
	else
		fputs("  ", cli->out);
	cli_put(cli, buf_text(&clock));
	fputs("  ", cli->out);
}

static void print_received(struct cli *cli, const struct json *e, int64_t first)
{
	const struct json *ms = json_member(e, "ms");
	int64_t disk = member_number(ms, "queue");

	put_clock(cli, cli_time(json_member(e, "time")), first);
	cli_put_cell(cli, TEXT("received"), LABEL_COLUMNS);
	fputc(' ', cli->out);
	cli_put_cell(cli, member_number(e, "code") > 0 ? TEXT("250 queued") : TEXT("queued"), MAIN_COLUMNS);
	if (disk >= 0)
		fprintf(cli->out, "on disk in %lld ms", (long long)disk);
	fputc('\n', cli->out);
}

static void put_where(struct cli *cli, const struct json *e)
{
	const struct json *tls = json_member(e, "tls");
	struct text remote = member_text(e, "remote"), mx = member_text(e, "mx"),
		    version = member_text(tls, "version");
	AUTO(buf_fini) struct buf where = BUF(1024);
	size_t colon = text_find_last_octet(remote, ':');

	if (mx.len > 0 && remote.len > 0 && !text_eq(mx, text_head(remote, colon)))
		buf_add_format(&where, "%.*s [%.*s]:%.*s", TEXT_ARGS(mx), TEXT_ARGS(text_head(remote, colon)),
		               TEXT_ARGS(text_skip(remote, colon + 1)));
	else
		buf_add(&where, first_of(remote, mx));
	if (version.len > 0)
		buf_add_format(&where, "  %.*s%s", TEXT_ARGS(version),
		               json_as_bool(json_member(tls, "verified")) ? " verified" : "");
	cli_put(cli, where.len ? buf_text(&where) : TEXT("no host was reached"));
}

static void print_timings(struct cli *cli, const struct json *e)
{
	static const char *const parts[] = { "dns", "connect", "tls", "auth", "envelope", "data" };
	const struct json *ms = json_member(e, "ms");

	if (member_number(ms, "total") < 0)
		return;
	fputs(INDENT, cli->out);
	cli_colour(cli, DIM);
	if (member_number(ms, "connect") < 0 && member_text(e, "remote").len > 0)
		fputs("reused connection  ", cli->out);
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		if (member_number(ms, parts[i]) >= 0)
			fprintf(cli->out, "%s %lld  ", parts[i], (long long)member_number(ms, parts[i]));
	fprintf(cli->out, "in all %lld ms", (long long)member_number(ms, "total"));
	cli_colour(cli, PLAIN);
	fputc('\n', cli->out);
}

static const char *stage_words(struct text stage)
{
	static const struct {
		struct text stage;
		const char *words;
	} table[] = {
		{ LIT("connect"), "while connecting" },
		{ LIT("greeting"), "as a greeting" },
		{ LIT("ehlo"), "to EHLO" },
		{ LIT("starttls"), "in STARTTLS" },
		{ LIT("auth"), "to AUTH" },
		{ LIT("mail"), "to MAIL" },
		{ LIT("rcpt"), "to RCPT" },
		{ LIT("data"), "to DATA" },
		{ LIT("dot"), "after end of data" },
		{ LIT("quit"), "to QUIT" },
	};

	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		if (text_eq(stage, table[i].stage))
			return table[i].words;
	return NULL;
}

static void print_reply(struct cli *cli, const struct json *e)
{
	struct text event = member_text(e, "event"), reason = member_text(e, "reason");
	const char *words = text_eq(event, TEXT("delivered")) ? NULL : stage_words(member_text(e, "stage"));
	int64_t time = cli_time(json_member(e, "time")), next = cli_time(json_member(e, "next_attempt"));
	AUTO(buf_fini) struct buf when = BUF(64);
	struct text response = first_of(member_text(e, "response"), member_text(e, "detail"));

	fputs(INDENT, cli->out);
	cli_colour(cli, text_eq(event, TEXT("delivered")) ? GREEN
	                : text_eq(event, TEXT("bounced")) ? RED
	                                                  : YELLOW);
	cli_put(cli, first_of(response, reason));
	cli_colour(cli, PLAIN);
	if (words)
		fprintf(cli->out, " (%s)", words);
	if (reason.len > 0 && response.len > 0) {
		fputs("  ", cli->out);
		cli_put(cli, reason);
	}
	if (next > 0) {
		cli_add_when(&when, MAX(next, time + 1), time);
		fprintf(cli->out, "  → next try %.*s", TEXT_ARGS(buf_text(&when)));
	}
	fputc('\n', cli->out);
}

static void print_attempt(struct cli *cli, const struct json *e, int64_t first)
{
	AUTO(buf_fini) struct buf label = BUF(64);

	buf_add_format(&label, "attempt %lld", (long long)member_number(e, "attempt"));
	put_clock(cli, cli_time(json_member(e, "time")), first);
	cli_put_cell(cli, buf_text(&label), LABEL_COLUMNS);
	fputc(' ', cli->out);
	put_where(cli, e);
	fputc('\n', cli->out);
	print_timings(cli, e);
	print_reply(cli, e);
}

static void print_other(struct cli *cli, const struct json *e, int64_t first)
{
	struct text reason = member_text(e, "reason");
	struct text words = first_of(member_text(e, "response"), member_text(e, "detail"));

	put_clock(cli, cli_time(json_member(e, "time")), first);
	cli_put_cell(cli, member_text(e, "event"), LABEL_COLUMNS);
	fputc(' ', cli->out);
	if (text_eq(reason, TEXT("admin")))
		cli_put(cli, first_of(words, TEXT("by a person")));
	else
		cli_put(cli, first_of(words, reason));
	fputc('\n', cli->out);
}

static void print_event(struct cli *cli, const struct json *e, int64_t first)
{
	if (text_eq(member_text(e, "event"), TEXT("received")))
		print_received(cli, e, first);
	else if (member_number(e, "attempt") > 0 && json_member(e, "ms"))
		print_attempt(cli, e, first);
	else
		print_other(cli, e, first);
}

/* ---------------------------------------------------------------- a recipient */

static enum colour put_state_words(struct buf *out, const struct recipient *r, int64_t received, int64_t now)
{
	struct text event = member_text(r->last, "event"), state = member_text(r->living, "state");
	int64_t next = cli_time(json_member(r->living, "next_attempt"));

	if (!r->living && is_final(event)) {
		for (size_t i = 0; i < event.len; i++)
			buf_add_octet(out, (char)(event.at[i] - 'a' + 'A'));
		buf_add(out, TEXT(" after "));
		time_add_duration(out, MAX(cli_time(json_member(r->last, "time")) - received, 0));
		return text_eq(event, TEXT("delivered")) ? GREEN : RED;
	}
	if (text_eq(state, TEXT("held"))) {
		buf_add(out, TEXT("HELD, until released"));
	} else if (text_eq(state, TEXT("active"))) {
		buf_add(out, member_text(r->living, "waits_for").len ? TEXT("WAITING") : TEXT("BEING DELIVERED"));
	} else if (r->living) {
		buf_add(out, TEXT("WAITING, next try "));
		if (next > now)
			cli_add_when(out, next, now);
		else
			buf_add(out, TEXT("is due"));
	} else if (text_eq(member_text(r->last, "action"), TEXT("through"))) {
		buf_add(out, TEXT("NOT TAKEN, its client keeps it"));
	} else {
		buf_add(out, TEXT("NOT KNOWN"));
	}
	if (member_text(r->living, "waits_for").len) {
		int64_t until = cli_time(json_member(r->living, "waits_until"));

		buf_add_string(out, "; waits because ");
		buf_add(out, text_head(member_text(r->living, "waits_for"), 300));
		if (until > now) {
			buf_add_string(out, " (over ");
			cli_add_when(out, until, now);
			buf_add_octet(out, ')');
		}
	}
	if (json_as_bool(json_member(r->living, "unknown_outcome")))
		buf_add(out, TEXT("; may have been delivered (unknown_outcome)"));
	return YELLOW;
}

/* Of what the history no longer knows the queue still has the last attempt. */
static void print_last_attempt(struct cli *cli, const struct json *living)
{
	int64_t attempts = member_number(living, "attempts");

	if (attempts <= 0)
		return;
	fprintf(cli->out, "%s%lld attempt%s, the last one: ", INDENT, (long long)attempts,
	        attempts == 1 ? "" : "s");
	cli_put(cli, member_text(living, "delay_reason"));
	put_pair(cli, "from", member_text(living, "remote"));
	fputc('\n', cli->out);
}

static void print_recipient(struct cli *cli, const struct json *story, const struct recipient *r, int64_t now)
{
	const struct json *events = json_member(story, "events");
	int64_t first = received_time(story);
	AUTO(buf_fini) struct buf state = BUF(200);
	enum colour colour = put_state_words(&state, r, first, now);

	cli_put_cell(cli, r->address, LABEL_COLUMNS + MAIN_COLUMNS + 4);
	fputc(' ', cli->out);
	cli_colour(cli, colour);
	cli_put(cli, buf_text(&state));
	cli_colour(cli, PLAIN);
	fputc('\n', cli->out);
	for (size_t i = 0; i < json_count(events); i++) {
		const struct json *e = json_element(events, i);
		int64_t number = member_number(e, "rcpt");

		if (number == r->number || number < 0)
			print_event(cli, e, first);
	}
	if (!r->last && r->living)
		print_last_attempt(cli, r->living);
}

void print_story(struct cli *cli, const struct json *story, int64_t now)
{
	AUTO(recipients_fini) struct recipients all = { 0 };
	const struct json *events = json_member(story, "events");

	gather(&all, story);
	print_head(cli, story);
	for (size_t i = 0; i < all.count; i++)
		print_recipient(cli, story, &all.items[i], now);
	for (size_t i = 0; i < json_count(events) && all.count == 0; i++)
		print_event(cli, json_element(events, i), received_time(story));
	if (json_as_bool(json_member(story, "events_cut")))
		fputs("(not everything that happened is known any more)\n", cli->out);
}
