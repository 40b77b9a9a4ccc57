/* What a configuration is loaded from in tests: files in memory, variables, arguments. */
#ifndef TEST_CONFIG_WORLD_H
#define TEST_CONFIG_WORLD_H

#include <postrider/config.h>

#include "support/check.h"

struct world_file {
	const char *path;
	const char *content; /* NULL: may not be read */
};

#define WORLD_FILES 8

struct world {
	struct world_file files[WORLD_FILES]; /* the first is the main one */
	const char *environment[WORLD_FILES];
	const char *sets[WORLD_FILES];
	const struct config *config;
	struct config_report report;
	struct buf said;
};

static inline enum err world_read(void *owner, struct text path, struct buf *out, struct buf *detail,
                                  struct buf *hint)
{
	const struct world *w = owner;

	for (size_t i = 0; i < WORLD_FILES && w->files[i].path; i++) {
		if (!text_eq(path, text_from(w->files[i].path)))
			continue;
		if (w->files[i].content) {
			buf_add_string(out, w->files[i].content);
			return ERR_OK;
		}
		buf_add_string(detail, "it belongs to root, mode 0600; we are nobody");
		buf_add_string(hint, "chmod 0640 ");
		buf_add(hint, path);
		return ERR_DENIED;
	}
	return ERR_NOT_FOUND;
}

/* The star stands for anything in the last part of a path. */
static inline enum err world_find(void *owner, struct text pattern, config_found_fn *found, void *found_by)
{
	const struct world *w = owner;
	struct text after = pattern, before = text_cut(&after, '*');

	for (size_t i = WORLD_FILES; i-- > 0;) /* backwards: sorting is not ours */
		if (w->files[i].path && text_starts(text_from(w->files[i].path), before) &&
		    text_ends(text_from(w->files[i].path), after))
			found(found_by, text_from(w->files[i].path));
	return ERR_OK;
}

static inline enum err world_load(struct world *w)
{
	struct text sets[WORLD_FILES];
	struct config_sources sources = {
		.file = w->files[0].path ? text_from(w->files[0].path) : TEXT_EMPTY,
		.environment = w->environment,
		.sets = sets,
		.machine_name = TEXT("machine.example.net"),
		.read_file = world_read,
		.find_files = world_find,
		.owner = w,
	};

	while (sources.set_count < WORLD_FILES && w->sets[sources.set_count]) {
		sets[sources.set_count] = text_from(w->sets[sources.set_count]);
		sources.set_count++;
	}
	config_report_init(&w->report);
	w->said = BUF(1u << 20);
	enum err err = config_load(&sources, &w->config, &w->report);

	config_report_print(&w->report, &w->said);
	return err;
}

static inline void world_fini(struct world *w)
{
	config_unref(&w->config);
	config_report_fini(&w->report);
	buf_fini(&w->said);
}

/* Loads a text as the file c.yaml, without anything else. */
static inline enum err world_load_text(struct world *w, const char *text)
{
	*w = (struct world){ .files = { { "c.yaml", text } } };
	return world_load(w);
}

/* Whether the report reads so; tells both when not, so that one run shows all rows that are wrong. */
static inline bool world_said(const struct world *w, const char *row, const char *said)
{
	if (text_eq(buf_text(&w->said), text_from(said)))
		return true;
	print_error("%s\n--- said\n%.*s--- should say\n%s---\n", row, TEXT_ARGS(buf_text(&w->said)), said);
	return false;
}

/* Loads what must be good, or fails the test with what was said. */
static inline void world_must_load(struct world *w)
{
	if (world_load(w))
		fail_msg("not loaded: %.*s", TEXT_ARGS(buf_text(&w->said)));
}

#endif
