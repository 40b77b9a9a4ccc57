#include "bind.h"

#include <postrider/base/auto.h>

#include "document.h"
#include "suggest.h"

#define PATH_MAX_BYTES 2000

struct binder {
	struct load *load;
	struct buf path; /* of what is being bound: "listen[0].address" */
};

/* ---------------------------------------------------------------- origins */

const struct origin *origin_find(const struct snapshot *snapshot, struct text path)
{
	struct map_item *item = snapshot->origins.count ? map_find(&snapshot->origins, path) : NULL;

	return item ? CONTAINER_OF(item, struct origin, item) : NULL;
}

struct origin *origin_find_format(const struct snapshot *snapshot, const char *format, ...)
{
	AUTO(buf_fini) struct buf path = BUF(PATH_MAX_BYTES);
	va_list args;

	va_start(args, format);
	buf_add_format_v(&path, format, args);
	va_end(args);
	struct map_item *item =
		snapshot->origins.count ? map_find(&snapshot->origins, buf_text(&path)) : NULL;

	return item ? CONTAINER_OF(item, struct origin, item) : NULL;
}

void origin_inherit(struct load *load, struct text from, struct text to)
{
	const struct origin *written = origin_find(load->snapshot, from);
	struct origin *origin = written ? load_keep(load, sizeof(*origin)) : NULL;
	struct text path = load_keep_text(load, to);

	if (!origin || load->nomem)
		return;
	*origin = (struct origin){ .spot = written->spot, .bad = written->bad, .inherited = true };
	load->nomem |= map_add(&load->snapshot->origins, &origin->item, path) != ERR_OK;
}

static struct origin *note_origin(struct binder *b, const struct spot *spot)
{
	struct load *load = b->load;
	struct origin *origin = load_keep(load, sizeof(*origin));
	struct text path = load_keep_text(load, buf_text(&b->path));

	if (!origin || load->nomem)
		return NULL;
	origin->spot = *spot;
	if (map_add(&load->snapshot->origins, &origin->item, path)) {
		load->nomem = true;
		return NULL;
	}
	return origin;
}

/* ---------------------------------------------------------------- paths */

static size_t enter(struct binder *b, struct text name)
{
	size_t before = b->path.len;

	if (before)
		buf_add_octet(&b->path, '.');
	buf_add(&b->path, name);
	return before;
}

static size_t enter_item(struct binder *b, size_t i)
{
	size_t before = b->path.len;

	buf_add_format(&b->path, "[%zu]", i);
	return before;
}

static void leave(struct binder *b, size_t before)
{
	buf_cut(&b->path, before);
}

/* ---------------------------------------------------------------- scalars */

static bool bind_scalar(struct binder *b, const struct key *key, const struct node *node, void *place)
{
	struct parsing p = { b->load, key, node->spot };
	struct text value;

	if (node->broken)
		return false;
	if (node_is_nothing(node)) {
		AUTO(buf_fini) struct buf expected = BUF(1000);

		value_expected(key, &expected);
		load_expected(b->load, load_error(b->load, &node->spot, "%s has no value", key->name), "%.*s",
		              TEXT_ARGS(buf_text(&expected)));
		return false;
	}
	if (node->kind != NODE_SCALAR) {
		AUTO(buf_fini) struct buf expected = BUF(1000);

		value_expected(key, &expected);
		load_expected(b->load,
		              load_error(b->load, &node->spot, "%s is one value, not a %s", key->name,
		                         node->kind == NODE_LIST ? "list" : "table"),
		              "%.*s", TEXT_ARGS(buf_text(&expected)));
		return false;
	}
	return expand(b->load, node, key->flags & KEY_SECRET, &value) && key->type->parse(&p, value, place);
}

/* One scalar stands for a list of it. */
static void bind_list(struct binder *b, const struct key *key, const struct node *node, struct any_list *list)
{
	struct load *load = b->load;
	size_t size = key->type->size, count = node->kind == NODE_LIST ? node->count : 1, done = 0;
	char *items = count ? load_keep(load, count * size) : NULL;

	if (count && !items)
		return;
	if (node->kind != NODE_LIST) {
		done += bind_scalar(b, key, node, items);
	} else {
		for (const struct entry *item = node->first; item && !load->nomem; item = item->next)
			done += bind_scalar(b, key, item->value, items + done * size);
	}
	*list = (struct any_list){ items, done };
	if (key->type->finish && !key->type->finish(load, list))
		load->nomem = true;
}

/* ---------------------------------------------------------------- defaults */

static struct source *default_source(struct load *load)
{
	return load_source_new(load, SOURCE_DEFAULT, TEXT("default"), TEXT_EMPTY);
}

static void set_default(struct binder *b, const struct key *key, void *place)
{
	struct load *load = b->load;
	struct spot spot = { .source = NULL };

	if (!key->standard || load->nomem)
		return;
	struct text rest = text_from(key->standard);

	if (key->shape == SCALAR) {
		struct node value = { .kind = NODE_SCALAR, .quoted = true, .spot = spot, .text = rest };

		(void)bind_scalar(b, key, &value, place);
		return;
	}
	struct node *list = node_new(load, NODE_LIST, spot);

	while (list && rest.len > 0) {
		struct text item = text_trim(text_cut(&rest, ','));

		node_add(load, list, TEXT_EMPTY, spot, node_new_scalar(load, spot, item));
	}
	if (list)
		bind_list(b, key, list, place);
}

/* ---------------------------------------------------------------- unknown keys */

struct search {
	struct suggestion nearest;
	struct text elsewhere; /* path of a key with exactly this name in another table */
	struct load *load;
};

static void search_elsewhere(void *owner, const struct key *key, struct text path)
{
	struct search *s = owner;

	if (s->elsewhere.len == 0 && key->since && text_eq(text_from(key->name), s->nearest.wrong) &&
	    arena_text(&s->load->scratch, path, &s->elsewhere))
		s->load->nomem = true;
}

static struct text table_name(const struct table *table)
{
	return table->name[0] ? text_from(table->name) : TEXT("the settings");
}

static void refuse_unknown(struct load *load, const struct table *table, const struct entry *entry)
{
	struct search s = { suggestion_for(entry->key), TEXT_EMPTY, load };
	struct config_finding *f;

	if (table->name[0])
		f = load_error(load, &entry->key_spot, "unknown key \"%.*s\" in %s", SHOWN(entry->key),
		               table->name);
	else
		f = load_error(load, &entry->key_spot, "unknown key \"%.*s\"", SHOWN(entry->key));
	for (const struct key *key = table->keys; key->name; key++)
		suggestion_try(&s.nearest, text_from(key->name));
	schema_visit(&schema, search_elsewhere, &s);
	if (s.nearest.best.len && s.nearest.distance <= 1)
		s.elsewhere = TEXT_EMPTY;
	if (s.elsewhere.len)
		load_hint(load, f, "\"%.*s\" stands elsewhere: %.*s", SHOWN(entry->key),
		          TEXT_ARGS(s.elsewhere));
	else if (s.nearest.best.len)
		load_hint(load, f, "did you mean \"%.*s\"?", TEXT_ARGS(s.nearest.best));
}

static void refuse_not_built(struct load *load, const struct table *table, const struct entry *entry)
{
	struct config_finding *f =
		load_error(load, &entry->key_spot, "\"%.*s\"%s%s is not built yet in this version",
	                   SHOWN(entry->key), table->name[0] ? " in " : "", table->name);

	load_hint(load, f, "remove it; `postrider config --schema` lists what works");
}

static void check_keys(struct load *load, const struct table *table, const struct node *node)
{
	for (const struct entry *entry = node->first; entry; entry = entry->next) {
		const struct key *key = schema_find(table, entry->key);

		if (!key)
			refuse_unknown(load, table, entry);
		else if (key->flags & KEY_FILES)
			load_error(load, &entry->key_spot, "\"%s\" can stand in the file only", key->name);
		else if (!key->since)
			refuse_not_built(load, table, entry);
	}
}

/* ---------------------------------------------------------------- tables */

static void bind_table(struct binder *b, const struct table *table, const struct node *node, void *base,
                       bool inherits);

/* A table, or nothing: `spool:` above lines that are comments. */
static bool is_table(struct load *load, const char *name, const struct node *node)
{
	if (node->broken)
		return false;
	if (node->kind == NODE_TABLE || node_is_nothing(node))
		return true;
	load_expected(load,
	              load_error(load, &node->spot, "%s is a table, not a %s", name,
	                         node->kind == NODE_LIST ? "list" : "single value"),
	              "lines of the form \"key: value\", indented below it");
	return false;
}

static void set_place(struct binder *b, const struct table *table, const struct spot *spot, char *item)
{
	*(struct config_place *)(void *)(item + table->place_offset) = load_place(b->load, spot);
}

static void bind_tables(struct binder *b, const struct key *key, const struct node *node,
                        struct any_list *list)
{
	struct load *load = b->load;
	const struct table *table = key->table;
	size_t done = 0;

	if (key->min == 0 && node_is_nothing(node))
		return;
	if (node->kind != NODE_LIST || node->count < key->min) {
		load_expected(load,
		              load_error(load, &node->spot,
		                         node->kind == NODE_LIST ? "%s is empty" : "%s is a list of tables",
		                         key->name),
		              "items that begin with \"- \"");
		return;
	}
	char *items = load_keep(load, node->count * table->size);

	for (const struct entry *entry = node->first; entry && items && !load->nomem; entry = entry->next) {
		char *item = items + done * table->size;
		size_t before = enter_item(b, done), errors = load->report->error_count;
		struct origin *origin = note_origin(b, &entry->value->spot);

		if (is_table(load, "each item", entry->value)) {
			set_place(b, table, &entry->value->spot, item);
			bind_table(b, table, entry->value, item, false);
		}
		if (origin)
			origin->bad = load->report->error_count != errors;
		done++;
		leave(b, before);
	}
	*list = (struct any_list){ items, done };
}

/* standard: what the item has where it says nothing; NULL: the schema's defaults. */
static void bind_named_one(struct binder *b, const struct key *key, const struct entry *entry, char *item,
                           const void *standard)
{
	struct load *load = b->load;
	const struct table *table = key->table;
	struct parsing p = { load, key, entry->key_spot };
	size_t before = enter(b, entry->key), errors = load->report->error_count;
	struct origin *origin = note_origin(b, &entry->key_spot);

	if (standard)
		memcpy(item, standard, table->size);
	set_place(b, table, &entry->key_spot, item);
	(void)table->name_type->parse(&p, entry->key, item + table->name_offset);
	if (is_table(load, "each entry", entry->value))
		bind_table(b, table, entry->value, item, standard != NULL);
	if (origin)
		origin->bad = load->report->error_count != errors;
	leave(b, before);
}

/* The entry `any` is bound first: the others begin as copies of it. */
static void bind_any(struct binder *b, const struct key *key, const struct node *node, char *any)
{
	struct spot spot = { .source = default_source(b->load), .line = 1 };
	struct entry *given = node->kind == NODE_TABLE ? node_find(node, TEXT("any")) : NULL;
	struct node nothing = { .kind = NODE_TABLE, .spot = spot };
	struct entry standard = { .key = TEXT("any"), .key_spot = spot, .value = &nothing };

	bind_named_one(b, key, given ? given : &standard, any, NULL);
}

static void bind_named(struct binder *b, const struct key *key, const struct node *node, void *place,
                       void *any)
{
	struct load *load = b->load;
	size_t size = key->table->size, done = 0;

	if (any)
		bind_any(b, key, node, any);
	if (!is_table(load, key->name, node))
		return;
	char *items = node->count ? load_keep(load, node->count * size) : NULL;

	for (const struct entry *entry = node->first; entry && items && !load->nomem; entry = entry->next) {
		if (any && text_eq(entry->key, TEXT("any")))
			continue;
		bind_named_one(b, key, entry, items + done * size, any);
		done++;
	}
	*(struct any_list *)place = (struct any_list){ items, done };
}

static void bind_pairs(struct binder *b, const struct key *key, const struct node *node,
                       struct any_list *list)
{
	struct load *load = b->load;
	const struct pairs *pairs = key->pairs;
	size_t done = 0;

	if (node->kind != NODE_TABLE && !node_is_nothing(node)) {
		load_expected(load, load_error(load, &node->spot, "%s is a table", key->name), "%s",
		              pairs->expected);
		return;
	}
	char *items = node->count ? load_keep(load, node->count * pairs->size) : NULL;

	for (const struct entry *entry = node->first; entry && items && !load->nomem; entry = entry->next) {
		size_t before = enter(b, entry->key);

		(void)note_origin(b, &entry->value->spot);
		done += !entry->value->broken && pairs->parse(load, entry, items + done * pairs->size);
		leave(b, before);
	}
	*list = (struct any_list){ items, done };
	if (pairs->finish && !pairs->finish(load, list))
		load->nomem = true;
}

/* ---------------------------------------------------------------- keys */

static void bind_written(struct binder *b, const struct key *key, const struct entry *entry, char *base,
                         bool inherits)
{
	const struct node *node = entry->value;
	size_t before = enter(b, text_from(key->name)), errors = b->load->report->error_count;
	void *place = base + key->offset;
	struct origin *origin = note_origin(b, &node->spot);

	switch (node->broken ? SCALAR : key->shape) {
	case SCALAR:
		if (bind_scalar(b, key, node, place) && key->has_offset)
			*(bool *)(void *)(base + key->has_offset) = true;
		break;
	case LIST:
		bind_list(b, key, node, place);
		break;
	case TABLE:
		if (is_table(b->load, key->name, node))
			bind_table(b, key->table, node, place, inherits);
		if (key->has_offset)
			*(bool *)(void *)(base + key->has_offset) = true;
		break;
	case TABLES:
		bind_tables(b, key, node, place);
		break;
	case NAMED:
		bind_named(b, key, node, place,
		           key->any_offset ? base + key->offset + key->any_offset : NULL);
		break;
	case PAIRS:
		bind_pairs(b, key, node, place);
		break;
	}
	if (origin)
		origin->bad = b->load->report->error_count != errors;
	leave(b, before);
}

static void bind_absent(struct binder *b, const struct key *key, char *base)
{
	static const struct node nothing = { .kind = NODE_TABLE };
	size_t before = enter(b, text_from(key->name));
	void *place = base + key->offset;

	if (key->shape == TABLE)
		bind_table(b, key->table, &nothing, place, false);
	else if (key->shape == NAMED && key->any_offset)
		bind_named(b, key, &nothing, place, base + key->offset + key->any_offset);
	else if (key->shape == SCALAR || key->shape == LIST)
		set_default(b, key, place);
	leave(b, before);
}

static void refuse_absent(struct binder *b, const struct table *table, const struct key *key,
                          const struct node *node)
{
	AUTO(buf_fini) struct buf expected = BUF(1000);
	struct config_finding *f = load_error(b->load, &node->spot, "%s is missing in %.*s", key->name,
	                                      TEXT_ARGS(table_name(table)));

	buf_add_format(&expected, "%s: ", key->name);
	if (key->example)
		buf_add_string(&expected, key->example);
	load_expected(b->load, f, "%.*s", TEXT_ARGS(buf_text(&expected)));
}

static void bind_table(struct binder *b, const struct table *table, const struct node *node, void *base,
                       bool inherits)
{
	check_keys(b->load, table, node);
	for (const struct key *key = table->keys; key->name && !b->load->nomem; key++) {
		if (!key_is_bound(key))
			continue;
		const struct entry *entry = node_find(node, text_from(key->name));

		if (key->shape == SCALAR && !inherits)
			value_clear(key, (char *)base + key->offset);
		if (entry)
			bind_written(b, key, entry, base, inherits);
		else if (key->flags & KEY_NEEDED)
			refuse_absent(b, table, key, node);
		else if (!inherits)
			bind_absent(b, key, base);
	}
}

void bind_document(struct load *load, const struct node *root)
{
	struct binder b = { load, BUF(PATH_MAX_BYTES) };

	bind_table(&b, &schema, root, &load->snapshot->config, false);
	buf_fini(&b.path);
}
