/* The scenarios of test/agree in the simulated world; test/peer/agree_test plays the same files on loopback, and both have to
 * come to what the file says. */
#include "scripts.h"
#include "support/check.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include <postrider/http/json.h>

#define HOPS_MAX 8
#define LATE_MS 700 /* of an event, besides a fifth of the time */

struct scenario {
	struct buf file;
	struct buf relay, client;
	struct buf hops[HOPS_MAX];
	size_t hop_count;
	struct text events;
};

static void read_file(const char *path, struct buf *out)
{
	FILE *f = fopen(path, "r");
	char line[4096];

	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		buf_add_string(out, line);
	fclose(f);
}

/* HOP is where the next hop listens here. */
static void add_replaced(struct buf *out, struct text line)
{
	size_t at = text_find(line, TEXT("HOP"));

	buf_add(out, text_head(line, at));
	if (at < line.len) {
		buf_add_string(out, "10.0.0.1:25");
		buf_add(out, text_skip(line, at + 3));
	}
}

static void open_scenario(struct scenario *s, const char *path)
{
	struct buf *section = NULL;
	struct text rest;

	*s = (struct scenario){ .file = BUF(1u << 20), .relay = BUF(1u << 20), .client = BUF(1u << 20) };
	read_file(path, &s->file);
	buf_add_string(&s->relay, YAML_HEAD);
	rest = buf_text(&s->file);
	while (rest.len) {
		struct text line = text_cut(&rest, '\n');

		if (text_eq(line, TEXT("[relay]"))) {
			section = &s->relay;
		} else if (text_eq(line, TEXT("[hop]"))) {
			assert_true(s->hop_count < HOPS_MAX);
			section = &s->hops[s->hop_count++];
			*section = BUF(1u << 20);
		} else if (text_eq(line, TEXT("[client]"))) {
			section = &s->client;
			buf_add_string(section, "EHLO client.example\r\n");
		} else if (text_eq(line, TEXT("[events]"))) {
			s->events = rest;
			return;
		} else if (section) {
			add_replaced(section, line);
			buf_add_string(section, section == &s->client ? "\r\n" : "\n");
		}
	}
	fail_msg("%s: no [events]", path);
}

static void close_scenario(struct scenario *s)
{
	buf_fini(&s->file);
	buf_fini(&s->relay);
	buf_fini(&s->client);
	for (size_t i = 0; i < s->hop_count; i++)
		buf_fini(&s->hops[i]);
}

/* The events that speak of an outcome, as the files have them, and when each came. */
static bool add_outcome(struct text line, struct buf *out, int64_t *time_ms)
{
	struct json *event = NULL;
	struct text kind;
	bool is_one;

	assert_int_equal(json_parse(line, &event, NULL), ERR_OK);
	kind = json_as_text(json_member(event, "event"));
	is_one = text_eq(kind, TEXT("delivered")) || text_eq(kind, TEXT("deferred")) ||
	         text_eq(kind, TEXT("bounced")) || text_eq(kind, TEXT("expired"));
	if (is_one) {
		struct text to = json_as_text(json_member(event, "to")),
			    reason = json_as_text(json_member(event, "reason")),
			    stage = json_as_text(json_member(event, "stage"));

		buf_add_format(out, "%.*s %.*s", TEXT_ARGS(kind), TEXT_ARGS(to));
		if (!text_eq(kind, TEXT("delivered")))
			buf_add_format(out, " %.*s %.*s", TEXT_ARGS(reason), TEXT_ARGS(stage));
		buf_add_format(out, " %lld", (long long)json_as_number(json_member(event, "code"), 0));
		assert_int_equal(time_parse_rfc3339(json_as_text(json_member(event, "time")), time_ms),
		                 ERR_OK);
	}
	json_free(&event);
	return is_one;
}

static void compare(const char *name, struct text expected, struct text said)
{
	int64_t before = 0;

	while (said.len) {
		struct text line = text_cut(&said, '\n'), wanted;
		AUTO(buf_fini) struct buf outcome = BUF(4096);
		size_t plus;
		int64_t at;
		uint64_t after_s;

		if (!line.len || !add_outcome(line, &outcome, &at))
			continue;
		wanted = text_cut(&expected, '\n');
		plus = text_find(wanted, TEXT(" +"));
		CHECK_TEXT(name, buf_text(&outcome), text_head(wanted, plus));
		assert_int_equal(text_to_u64(text_skip(wanted, plus + 2), 1000, &after_s), ERR_OK);
		if (before && llabs(at - before - (int64_t)after_s * SECOND_MS) >
		                      LATE_MS + (int64_t)after_s * SECOND_MS / 5)
			fail_msg("%s: %.*s after %lld ms", name, TEXT_ARGS(wanted), (long long)(at - before));
		before = at;
	}
	CHECK_TEXT(name, text_trim(expected), TEXT_EMPTY);
}

static void play(const char *path, const char *name)
{
	struct relay_world w;
	struct scenario s;
	struct sim_peer *p;

	open_scenario(&s, path);
	buf_add_octet(&s.relay, 0);
	relay_world_open(&w, 7, buf_text(&s.relay).at, NULL);
	assert_int_equal(sim_peer_new(w.sim, NEXT_HOP, &p), ERR_OK);
	for (size_t i = 0; i < s.hop_count; i++) {
		buf_add_octet(&s.hops[i], 0);
		assert_int_equal(sim_peer_add_script(p, buf_text(&s.hops[i]).at), ERR_OK);
	}
	buf_add_octet(&s.client, 0);
	relay_world_say(&w, buf_text(&s.client).at);
	sim_run(w.sim, 2 * MINUTE_MS);
	compare(name, s.events, buf_text(&w.events));
	stop_world(&w);
	sim_peer_free(&p);
	relay_world_close(&w);
	close_scenario(&s);
}

static void each_file_comes_to_what_it_says(void **state)
{
	const char *root = getenv("POSTRIDER_SOURCE_DIR");
	AUTO(buf_fini) struct buf folder = BUF(4096);
	unsigned played = 0;
	struct dirent *entry;
	DIR *dir;

	(void)state;
	buf_add_format(&folder, "%s/test/agree", root ? root : ".");
	buf_add_octet(&folder, 0);
	dir = opendir(buf_text(&folder).at);
	assert_non_null(dir);
	while ((entry = readdir(dir))) {
		AUTO(buf_fini) struct buf path = BUF(4096);

		if (!text_ends(text_from(entry->d_name), TEXT(".agree")))
			continue;
		buf_add_format(&path, "%s/%s", buf_text(&folder).at, entry->d_name);
		buf_add_octet(&path, 0);
		play(buf_text(&path).at, entry->d_name);
		played++;
	}
	closedir(dir);
	assert_true(played >= 12);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_file_comes_to_what_it_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
