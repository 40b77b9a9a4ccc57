/* The table of `queue --by`: how much waits for each domain, reason, sender, route or age. */
#include "cli.h"

#include <postrider/base/map.h>
#include <postrider/base/time.h>

#define KEY_MAX_BYTES 320

struct group {
	struct map_item item;
	char key[KEY_MAX_BYTES];
	int64_t messages, recipients, oldest, next;
	int64_t order;        /* of ages, which are not sorted by number */
	int64_t last_message; /* the number of the one counted last, so that each counts once */
};

typedef struct text key_fn(const struct json *message, const struct json *recipient, int64_t now,
                           int64_t *order);

struct queue_groups {
	const char *by;
	key_fn *key;
	struct map map;
	int64_t messages;
	bool is_cut; /* no memory for another one */
};

/* ---------------------------------------------------------------- the ways to count */

static struct text by_domain(const struct json *message, const struct json *recipient, int64_t now,
                             int64_t *order)
{
	struct text address = json_as_text(json_member(recipient, "address"));
	size_t at = text_find_last_octet(address, '@');

	(void)message, (void)now, (void)order;
	return at < address.len ? text_skip(address, at + 1) : address;
}

static struct text by_reason(const struct json *message, const struct json *recipient, int64_t now,
                             int64_t *order)
{
	struct text reason = json_as_text(json_member(recipient, "reason"));

	(void)message, (void)now, (void)order;
	return reason.len ? reason : TEXT("not tried yet");
}

static struct text by_sender(const struct json *message, const struct json *recipient, int64_t now,
                             int64_t *order)
{
	struct text sender = json_as_text(json_member(message, "sender"));

	(void)recipient, (void)now, (void)order;
	return sender.len ? sender : TEXT("<>");
}

static struct text by_route(const struct json *message, const struct json *recipient, int64_t now,
                            int64_t *order)
{
	(void)message, (void)now, (void)order;
	return json_as_text(json_member(recipient, "key"));
}

static struct text by_age(const struct json *message, const struct json *recipient, int64_t now,
                          int64_t *order)
{
	static const struct {
		int64_t below_ms;
		struct text name;
	} ages[] = {
		{ 5 * MINUTE_MS, LIT("under 5m") }, { HOUR_MS, LIT("5m to 1h") },
		{ 4 * HOUR_MS, LIT("1h to 4h") },   { DAY_MS, LIT("4h to 1d") },
		{ 5 * DAY_MS, LIT("1d to 5d") },    { INT64_MAX, LIT("over 5d") },
	};
	int64_t age = now - cli_time(json_member(message, "received"));
	size_t i = 0;

	(void)recipient;
	while (age >= ages[i].below_ms)
		i++;
	*order = (int64_t)i + 1;
	return ages[i].name;
}

static const struct {
	const char *name;
	key_fn *key;
} ways[] = {
	{ "domain", by_domain }, { "reason", by_reason }, { "sender", by_sender },
	{ "route", by_route },   { "age", by_age },
};

/* ---------------------------------------------------------------- counting */

struct queue_groups *queue_groups_new(const char *by)
{
	for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
		if (!text_eq(text_from(ways[i].name), text_from(by)))
			continue;
		struct queue_groups *g = calloc(1, sizeof(*g));

		if (!g)
			return NULL;
		g->by = ways[i].name;
		g->key = ways[i].key;
		map_init(&g->map, true, (uint64_t)(uintptr_t)g);
		return g;
	}
	return NULL;
}

void queue_groups_free(struct queue_groups **g)
{
	struct map_item *next;

	if (!*g)
		return;
	for (struct map_item *it = map_next(&(*g)->map, NULL); it; it = next) {
		next = map_next(&(*g)->map, it);
		map_remove(&(*g)->map, it);
		free(CONTAINER_OF(it, struct group, item));
	}
	map_fini(&(*g)->map);
	free(*g);
	*g = NULL;
}

static struct group *find_or_make(struct queue_groups *g, struct text key)
{
	struct text kept = text_head(key, KEY_MAX_BYTES);
	struct map_item *found = map_find(&g->map, kept);

	if (found)
		return CONTAINER_OF(found, struct group, item);
	struct group *made = calloc(1, sizeof(*made));

	if (!made)
		return NULL;
	memcpy(made->key, kept.at, kept.len);
	if (map_add(&g->map, &made->item, text_of(made->key, kept.len))) {
		free(made);
		return NULL;
	}
	return made;
}

static void count(struct queue_groups *g, const struct json *message, const struct json *recipient,
                  int64_t now)
{
	int64_t order = 0, next = cli_time(json_member(recipient, "next_attempt"));
	int64_t received = cli_time(json_member(message, "received"));
	struct group *group = find_or_make(g, g->key(message, recipient, now, &order));

	if (!group) {
		g->is_cut = true;
		return;
	}
	group->order = order;
	group->recipients++;
	group->messages += group->last_message != g->messages;
	group->last_message = g->messages;
	if (group->oldest == 0 || received < group->oldest)
		group->oldest = received;
	if (next > 0 && (group->next == 0 || next < group->next))
		group->next = next;
}

void queue_groups_add(struct queue_groups *g, const struct json *message, int64_t now)
{
	const struct json *recipients = json_member(message, "recipients");

	g->messages++;
	for (size_t i = 0; i < json_count(recipients); i++)
		count(g, message, json_element(recipients, i), now);
}

/* ---------------------------------------------------------------- printing */

/* Ages in their order, all others by how much there is. */
static int compare(const void *a, const void *b)
{
	const struct group *x = *(struct group *const *)a, *y = *(struct group *const *)b;

	if (x->order != y->order)
		return x->order < y->order ? -1 : 1;
	if (x->recipients != y->recipients)
		return x->recipients > y->recipients ? -1 : 1;
	return text_compare(x->item.key, y->item.key);
}

static void print_json(struct cli *cli, const struct queue_groups *g, const struct group *group)
{
	AUTO(buf_fini) struct buf line = BUF(1u << 14);
	struct json_writer w;

	json_writer_init(&w, &line);
	json_open_object(&w, NULL);
	json_put_text(&w, g->by, group->item.key);
	json_put_number(&w, "recipients", group->recipients);
	json_put_number(&w, "messages", group->messages);
	json_put_time(&w, "oldest", group->oldest);
	json_put_time(&w, "next_attempt", group->next);
	json_close_object(&w);
	fprintf(cli->out, "%.*s\n", TEXT_ARGS(buf_text(&line)));
}

static void print_row(struct cli *cli, const struct group *group, int64_t now)
{
	AUTO(buf_fini) struct buf age = BUF(64), next = BUF(64);

	time_add_duration(&age, MAX(now - group->oldest, 0) / SECOND_MS * SECOND_MS);
	if (group->next > 0 && group->next <= now)
		buf_add(&next, TEXT("due"));
	else if (group->next > 0)
		cli_add_when(&next, group->next, now);
	cli_put_cell(cli, group->item.key, 40);
	fprintf(cli->out, "%12lld%12lld  ", (long long)group->recipients, (long long)group->messages);
	cli_put_cell_right(cli, buf_text(&age), 10);
	fputs("  ", cli->out);
	cli_put(cli, buf_text(&next));
	fputc('\n', cli->out);
}

static void print_all(struct cli *cli, struct queue_groups *g, struct group **sorted, size_t count_of,
                      int64_t now)
{
	if (!cli->json && count_of > 0) {
		cli_colour(cli, BOLD);
		cli_put_cell(cli, text_from(g->by), 40);
		fprintf(cli->out, "%12s%12s  %10s  %s", "recipients", "messages", "oldest", "next try");
		cli_colour(cli, PLAIN);
		fputc('\n', cli->out);
	}
	for (size_t i = 0; i < count_of; i++) {
		if (cli->json)
			print_json(cli, g, sorted[i]);
		else
			print_row(cli, sorted[i], now);
	}
	if (!cli->json && count_of == 0)
		fputs("nothing waits\n", cli->out);
	if (g->is_cut)
		fputs("postrider: out of memory: not everything is counted\n", cli->err);
}

void queue_groups_print(struct cli *cli, struct queue_groups *g, int64_t now)
{
	struct group **sorted = calloc(g->map.count + 1, sizeof(*sorted));
	size_t n = 0;

	if (!sorted) {
		fputs("postrider: out of memory\n", cli->err);
		return;
	}
	for (struct map_item *it = map_next(&g->map, NULL); it; it = map_next(&g->map, it))
		sorted[n++] = CONTAINER_OF(it, struct group, item);
	qsort(sorted, n, sizeof(struct group *), compare);
	print_all(cli, g, sorted, n, now);
	free(sorted);
}
