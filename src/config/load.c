#include "load.h"

#include <stdlib.h>

#include <postrider/base/auto.h>

#include "bind.h"
#include "check.h"
#include "document.h"
#include "overlay.h"
#include "providers.h"
#include "report.h"

#define SNAPSHOT_MAX_BYTES ((size_t)512 << 20)
#define SCRATCH_MAX_BYTES ((size_t)512 << 20)

void *load_keep(struct load *load, size_t bytes)
{
	void *memory = arena_alloc(&load->snapshot->arena, bytes);

	load->nomem |= !memory;
	return memory;
}

void *load_scratch(struct load *load, size_t bytes)
{
	void *memory = arena_alloc(&load->scratch, bytes);

	load->nomem |= !memory;
	return memory;
}

struct text load_keep_text(struct load *load, struct text t)
{
	struct text kept = TEXT_EMPTY;

	load->nomem |= arena_text(&load->snapshot->arena, t, &kept) != ERR_OK;
	return kept;
}

struct source *load_source_new(struct load *load, enum source_kind kind, struct text name,
                               struct text content)
{
	struct source *source = load_scratch(load, sizeof(*source));

	if (!source)
		return NULL;
	source->kind = kind;
	source->order = ++load->source_count;
	source->content = content;
	if (arena_text(&load->scratch, name, &source->name)) {
		load->nomem = true;
		return NULL;
	}
	return source;
}

struct config_place load_place(struct load *load, const struct spot *spot)
{
	struct config_place place = { .file = TEXT("default") };

	if (!spot->source)
		return place;
	place.file = load_keep_text(load, spot->source->name);
	if (spot->source->kind == SOURCE_FILE) {
		place.line = spot->line;
		place.column = spot->column;
	}
	return place;
}

/* ---------------------------------------------------------------- snapshots */

static struct snapshot *snapshot_new(void)
{
	struct snapshot *snapshot = calloc(1, sizeof(*snapshot));

	if (!snapshot)
		return NULL;
	arena_init(&snapshot->arena, SNAPSHOT_MAX_BYTES);
	map_init(&snapshot->origins, true, 1);
	atomic_init(&snapshot->references, 1);
	return snapshot;
}

static void snapshot_free(struct snapshot **snapshot)
{
	if (!*snapshot)
		return;
	pattern_index_free_all(&(*snapshot)->indexes);
	map_fini(&(*snapshot)->origins);
	arena_fini(&(*snapshot)->arena);
	free(*snapshot);
	*snapshot = NULL;
}

const struct config *config_ref(const struct config *config)
{
	struct snapshot *snapshot = CONTAINER_OF((void *)config, struct snapshot, config);

	atomic_fetch_add(&snapshot->references, 1);
	return config;
}

void config_unref(const struct config **config)
{
	if (!*config)
		return;
	struct snapshot *snapshot = CONTAINER_OF((void *)*config, struct snapshot, config);

	*config = NULL;
	if (atomic_fetch_sub(&snapshot->references, 1) == 1)
		snapshot_free(&snapshot);
}

/* ---------------------------------------------------------------- looking into one */

const struct config_rewrite_rule *config_rewrites_find(const struct config_rewrites *rewrites,
                                                       struct text mailbox)
{
	const struct config_rewrite_rule *best = NULL;

	if (rewrites->index) {
		struct config_mailbox m = config_mailbox_of(mailbox);
		size_t number = pattern_index_find(rewrites->index, &m, PATTERN_SPECIFIC_FIRST);

		return number == SIZE_MAX ? NULL : &rewrites->items[number];
	}
	for (size_t i = 0; i < rewrites->count; i++) {
		const struct config_rewrite_rule *rule = &rewrites->items[i];

		/* of two that match, the wide one covers the narrow one */
		if (config_pattern_matches(&rule->match, mailbox) &&
		    (!best || !config_pattern_covers(&rule->match, &best->match)))
			best = rule;
	}
	return best;
}

/* ---------------------------------------------------------------- loading */

static void load_fini(struct load *load)
{
	for (struct node *node = load->nodes_with_keys; node; node = node->next_with_keys)
		map_fini(&node->keys);
	arena_fini(&load->scratch);
	snapshot_free(&load->snapshot);
}

static struct entry *find_written(const struct node *root, const char *key)
{
	struct entry *entry = node_find(root, text_from(key));

	return entry && !node_is_nothing(entry->value) ? entry : NULL;
}

/* The table of a setting that is not there: [{}], or [{via: NAME}]. */
static void add_default(struct load *load, struct node *root, const char *key, struct text via)
{
	struct source *source = load_source_new(load, SOURCE_DEFAULT, TEXT("default"), TEXT_EMPTY);
	struct spot spot = { .source = source, .line = 1 };
	struct node *list = source ? node_new(load, NODE_LIST, spot) : NULL;
	struct node *item = list ? node_new(load, NODE_TABLE, spot) : NULL;

	if (!item)
		return;
	if (via.len)
		node_add(load, item, TEXT("via"), spot, node_new_scalar(load, spot, via));
	node_add(load, list, TEXT_EMPTY, spot, item);
	node_add(load, root, text_from(key), spot, list);
}

/* Without routes all mail takes the upstream "default" or the only one; without upstreams it goes by MX. */
static void add_default_route(struct load *load, struct node *root)
{
	const struct entry *upstreams = find_written(root, "upstreams");
	const struct node *table = upstreams ? upstreams->value : NULL;

	if (!table || (table->kind == NODE_TABLE && table->count == 0)) {
		add_default(load, root, "routes", TEXT("direct"));
	} else if (table->kind != NODE_TABLE) {
		return;
	} else if (node_find(table, TEXT("default"))) {
		add_default(load, root, "routes", TEXT("default"));
	} else if (table->count == 1) {
		add_default(load, root, "routes", table->first->key);
	} else {
		struct config_finding *f = load_error(
			load, &upstreams->key_spot,
			"there are %zu upstreams, and no routes that say when to use which", table->count);

		load_expected(load, f, "routes: [{via: %.*s}]", SHOWN(table->first->key));
	}
}

static void add_defaults(struct load *load, struct node *root)
{
	/* after a file that could not be read, nothing is guessed */
	if (!node_find(root, TEXT("listen")))
		add_default(load, root, "listen", TEXT_EMPTY);
	if (!node_find(root, TEXT("routes")) && !load->incomplete)
		add_default_route(load, root);
}

static void load_all(struct load *load)
{
	struct node *root = document_read(load);

	if (!root)
		return;
	overlay_environment(load, root);
	overlay_arguments(load, root);
	providers_apply(load, root);
	add_defaults(load, root);
	if (load->nomem)
		return;
	bind_document(load, root);
	if (!load->nomem)
		complete(load);
	if (!load->nomem)
		check(load);
}

/* The origins name sources that live in scratch: what is kept of them moves to the snapshot. */
static void keep_origins(struct load *load)
{
	struct map *origins = &load->snapshot->origins;

	for (struct map_item *it = map_next(origins, NULL); it && !load->nomem; it = map_next(origins, it)) {
		struct origin *origin = CONTAINER_OF(it, struct origin, item);

		origin->place = load_place(load, &origin->spot);
		origin->spot = (struct spot){ 0 };
	}
}

enum err config_load(const struct config_sources *sources, const struct config **out,
                     struct config_report *report)
{
	AUTO(load_fini) struct load load = { .sources = sources, .report = report };

	arena_init(&load.scratch, SCRATCH_MAX_BYTES);
	load.snapshot = snapshot_new();
	if (!load.snapshot)
		return ERR_NOMEM;
	load_all(&load);
	report_sort(report);
	if (!load.nomem && report->error_count == 0)
		keep_origins(&load);
	if (load.nomem || report->err)
		return ERR_NOMEM;
	if (report->error_count > 0 || load.incomplete)
		return ERR_CONFIG;
	*out = &TAKE(load.snapshot)->config;
	return ERR_OK;
}
