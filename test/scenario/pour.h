/* What tests of limits and rules share: mail in masses, and when something happened. */
#ifndef TEST_SCENARIO_POUR_H
#define TEST_SCENARIO_POUR_H

#include "scripts.h"

#include <stdio.h>
#include <stdlib.h>

/* ---------------------------------------------------------------- many at once */

static inline void pour_from(struct relay_world *w, unsigned count, const char *from, const char *to)
{
	while (count) {
		struct buf b = BUF(1u << 20);
		unsigned n = MIN(count, 100u);

		buf_add_string(&b, "EHLO c\r\n");
		for (unsigned i = 0; i < n; i++)
			buf_add_format(&b, "MAIL FROM:<%s>\r\nRCPT TO:<%s>\r\nDATA\r\n" SMALL ".\r\n", from,
			               to);
		buf_add_octet(&b, 0);
		(void)relay_world_say(w, b.at);
		buf_fini(&b);
		count -= n;
	}
}

static inline void pour(struct relay_world *w, unsigned count, const char *to)
{
	pour_from(w, count, "a@example.com", to);
}

/* ---------------------------------------------------------------- when something happened */

struct times {
	int64_t *at; /* UTC milliseconds, in order */
	size_t count;
};

static inline bool has(struct text line, const char *words)
{
	return text_find(line, text_from(words)) < line.len;
}

static inline struct times times_of(const struct relay_world *w, const char *kind, const char *words)
{
	struct text rest = buf_text(&w->events);
	struct times t = { calloc(rest.len / 100 + 1, sizeof(int64_t)), 0 };
	char wanted[64];

	assert_non_null(t.at);
	snprintf(wanted, sizeof(wanted), "\"event\":\"%s\"", kind);
	while (rest.len) {
		struct text line = text_cut(&rest, '\n'), stamp;

		if (!has(line, wanted) || !has(line, words))
			continue;
		stamp = text_skip(line, text_find(line, TEXT("\"time\":\"")) + 8);
		stamp = text_cut(&stamp, '"');
		assert_int_equal(time_parse_rfc3339(stamp, &t.at[t.count]), ERR_OK);
		t.count++;
	}
	return t;
}

static inline size_t most_in(const struct times *t, int64_t window_ms)
{
	size_t most = 0, first = 0;

	for (size_t i = 0; i < t->count; i++) {
		while (t->at[i] - t->at[first] >= window_ms)
			first++;
		most = MAX(most, i - first + 1);
	}
	return most;
}

static inline int64_t span(const struct times *t)
{
	return t->count ? t->at[t->count - 1] - t->at[0] : 0;
}

/* Answers take a few milliseconds more or less than each other. */
#define SWAY_MS 30

/* ---------------------------------------------------------------- set-ups */

#define UPSTREAM_WITH(limits)                                                          \
	YAML_HEAD "upstreams: {next: {hosts: [10.0.0.1:25], tls: none, " limits "}}\n" \
		  "routes: [{to: any, via: next}]\n" YAML_RETRY

/* Takes a second for each message. */
#define SLOWLY HELLO "again:\n" ENVELOPE "S: 250 ok\nS: 250 ok\nS: 354 go\nD:\nafter 1 s\nS: 250 ok\nrepeat\n"

#define WITH_RULES(rules) YAML_UPSTREAM "rules:\n" rules

static inline void change(struct relay_world *w, struct sim_peer **p, const char *script)
{
	sim_peer_free(p); /* up to a minute passes, in which nobody is there */
	*p = relay_world_peer(w, NEXT_HOP, script);
}

/* Each envelope is answered so until the peer changes. */
#define SAYS(reply) \
	HELLO "again:\n" ENVELOPE "S: 250 ok\nS: " reply "\nS: 503 no\nC: RSET\nS: 250 ok\nrepeat\n"

static inline unsigned connections(struct relay_world *w)
{
	return schedule_count(server_schedule(w->server)).connections;
}

#endif
