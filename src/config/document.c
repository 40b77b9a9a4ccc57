#include "document.h"

#include <postrider/base/auto.h>

struct node *node_new(struct load *load, enum node_kind kind, struct spot spot)
{
	if (load->node_count++ >= NODE_COUNT_MAX) {
		if (load->node_count == NODE_COUNT_MAX + 1)
			load_error(load, &spot, "more than %d values", NODE_COUNT_MAX);
		load->incomplete = true;
		return NULL;
	}
	struct node *node = load_scratch(load, sizeof(*node));

	if (!node)
		return NULL;
	node->kind = kind;
	node->spot = spot;
	node->text = TEXT_EMPTY;
	return node;
}

struct node *node_new_scalar(struct load *load, struct spot spot, struct text t)
{
	struct node *node = node_new(load, NODE_SCALAR, spot);

	if (node) {
		node->text = t;
		node->quoted = true;
	}
	return node;
}

/* From here on a table is searched by hash: a map with 100,000 addresses is fine. */
#define KEYS_FROM 32

static void index_keys(struct load *load, struct node *table)
{
	enum err err = ERR_OK;

	if (table->count > KEYS_FROM) {
		err = map_add(&table->keys, &table->last->item, table->last->key);
	} else {
		map_init(&table->keys, false, 1);
		table->next_with_keys = load->nodes_with_keys;
		load->nodes_with_keys = table;
		for (struct entry *entry = table->first; entry && !err; entry = entry->next)
			err = map_add(&table->keys, &entry->item, entry->key);
	}
	load->nomem |= err != ERR_OK;
}

void node_add(struct load *load, struct node *parent, struct text key, struct spot key_spot,
              struct node *value)
{
	struct entry *entry = load_scratch(load, sizeof(*entry));

	if (!entry || !value)
		return;
	*entry = (struct entry){ .key = key, .key_spot = key_spot, .value = value };
	if (parent->last)
		parent->last->next = entry;
	else
		parent->first = entry;
	parent->last = entry;
	if (++parent->count >= KEYS_FROM && parent->kind == NODE_TABLE)
		index_keys(load, parent);
}

struct entry *node_find(const struct node *table, struct text key)
{
	if (table->keys.count) {
		struct map_item *found = map_find(&table->keys, key);

		return found ? CONTAINER_OF(found, struct entry, item) : NULL;
	}
	for (struct entry *entry = table->first; entry; entry = entry->next)
		if (text_eq(entry->key, key))
			return entry;
	return NULL;
}

struct node *node_copy(struct load *load, const struct node *node)
{
	struct node *copy = node_new(load, node->kind, node->spot);

	if (!copy)
		return NULL;
	copy->text = node->text;
	copy->quoted = node->quoted;
	copy->broken = node->broken;
	for (const struct entry *entry = node->first; entry; entry = entry->next) {
		struct node *value = node_copy(load, entry->value);

		if (!value)
			return NULL;
		node_add(load, copy, entry->key, entry->key_spot, value);
	}
	return copy;
}

bool node_is_nothing(const struct node *node)
{
	return node->kind == NODE_SCALAR && !node->quoted && node->text.len == 0;
}

/* ---------------------------------------------------------------- several files as one */

/* A file being joined to what was read before. */
struct joining {
	struct load *load;
	struct node *root;
	const struct source *main; /* the only one that may include */
};

static void join_tables(struct load *load, struct node *into, const struct node *from);

static bool holds_tables(const struct node *list)
{
	return list->kind == NODE_LIST && list->first && list->first->value->kind == NODE_TABLE;
}

static void join_entry(struct load *load, struct node *into, const struct entry *entry)
{
	struct entry *had = node_find(into, entry->key);

	if (!had) {
		node_add(load, into, entry->key, entry->key_spot, entry->value);
	} else if (had->value->kind == NODE_TABLE && entry->value->kind == NODE_TABLE) {
		join_tables(load, had->value, entry->value);
	} else if (holds_tables(had->value) && holds_tables(entry->value)) {
		for (const struct entry *item = entry->value->first; item; item = item->next)
			node_add(load, had->value, item->key, item->key_spot, item->value);
	} else {
		struct config_finding *f = load_error(
			load, &entry->key_spot, "\"%.*s\" is set in another file too", SHOWN(entry->key));

		load_hint(load, f, "keep one of them");
		load_see(load, f, &had->key_spot);
	}
}

static void join_tables(struct load *load, struct node *into, const struct node *from)
{
	for (const struct entry *entry = from->first; entry; entry = entry->next)
		join_entry(load, into, entry);
}

/* why: where the file was asked for; NULL: it is the main one. */
static struct source *read_source(struct load *load, struct text path, const struct spot *why)
{
	const struct config_sources *from = load->sources;
	struct source *source = load_source_new(load, SOURCE_FILE, path, TEXT_EMPTY);
	AUTO(buf_fini) struct buf content = BUF(CONFIG_FILE_MAX_BYTES);
	AUTO(buf_fini) struct buf detail = BUF(1000);
	AUTO(buf_fini) struct buf hint = BUF(1000);

	if (!source)
		return NULL;
	enum err err = from->read_file ? from->read_file(from->owner, path, &content, &detail, &hint)
	                               : ERR_UNSUPPORTED;

	if (!err && buf_err(&content))
		err = buf_err(&content);
	if (err == ERR_NOT_FOUND && !why && from->file_is_optional)
		return NULL;
	if (err == ERR_NOMEM)
		load->nomem = true;
	if (!err && arena_text(&load->scratch, buf_text(&content), &source->content))
		load->nomem = true;
	if (load->nomem)
		return NULL;
	if (!err)
		return source;
	struct spot whole = { .source = source };
	struct config_finding *f = load_error(load, why ? why : &whole, "cannot read %.*s: %s", SHOWN(path),
	                                      err == ERR_TOO_BIG ? "more than 4 MiB" : err_text(err));

	if (detail.len)
		load_detail(load, f, "%.*s", TEXT_ARGS(buf_text(&detail)));
	if (hint.len)
		load_hint(load, f, "%.*s", TEXT_ARGS(buf_text(&hint)));
	load->incomplete = true;
	return NULL;
}

static void join_file(struct joining *j, const struct source *source);

/* Paths are relative to the main file. */
static struct text beside_main(const struct joining *j, struct text path)
{
	struct text main = j->main->name;
	size_t slash = text_find_last_octet(main, '/');
	AUTO(buf_fini) struct buf b = BUF(8192);
	struct text joined = TEXT_EMPTY;

	if (path.len && path.at[0] == '/')
		return path;
	if (slash < main.len)
		buf_add(&b, text_head(main, slash + 1));
	buf_add(&b, path);
	if (arena_text(&j->load->scratch, buf_text(&b), &joined))
		j->load->nomem = true;
	return joined;
}

struct found_files {
	struct load *load;
	struct node *paths; /* a list of scalars, sorted */
	struct spot spot;
};

static void on_found(void *found_by, struct text path)
{
	struct found_files *found = found_by;
	struct text kept = TEXT_EMPTY;
	struct entry **place = &found->paths->first;

	if (arena_text(&found->load->scratch, path, &kept)) {
		found->load->nomem = true;
		return;
	}
	struct entry *entry = load_scratch(found->load, sizeof(*entry));

	if (!entry)
		return;
	while (*place && text_compare((*place)->key, kept) < 0)
		place = &(*place)->next;
	*entry = (struct entry){ .next = *place, .key = kept };
	*place = entry;
}

static void include_one(struct joining *j, const struct node *item)
{
	struct load *load = j->load;
	const struct config_sources *from = load->sources;

	if (item->kind != NODE_SCALAR || item->text.len == 0) {
		load_expected(load, load_error(load, &item->spot, "not the path of a file"),
		              "include: [conf.d/*.yaml]");
		return;
	}
	struct text path = beside_main(j, item->text);
	bool pattern = text_find_octet(path, '*') < path.len || text_find_octet(path, '?') < path.len;

	if (!pattern) {
		const struct source *source = read_source(load, path, &item->spot);

		if (source)
			join_file(j, source);
		return;
	}
	struct found_files found = { load, node_new(load, NODE_LIST, item->spot), item->spot };
	enum err err = !found.paths       ? ERR_NOMEM
	               : from->find_files ? from->find_files(from->owner, path, on_found, &found)
	                                  : ERR_UNSUPPORTED;

	if (err == ERR_NOMEM) {
		load->nomem = true;
		return;
	}
	if (err && err != ERR_NOT_FOUND) {
		load_error(load, &item->spot, "cannot look for %.*s: %s", SHOWN(path), err_text(err));
		load->incomplete = true;
		return;
	}
	for (const struct entry *entry = found.paths->first; entry && !load->nomem; entry = entry->next) {
		const struct source *source = read_source(load, entry->key, &item->spot);

		if (source)
			join_file(j, source);
	}
}

static void include(struct joining *j, const struct node *value)
{
	if (value->kind == NODE_LIST)
		for (const struct entry *item = value->first; item && !j->load->nomem; item = item->next)
			include_one(j, item->value);
	else
		include_one(j, value);
}

static void join_file(struct joining *j, const struct source *source)
{
	struct load *load = j->load;
	struct node *root = yaml_read(load, source, source->content, 1);

	if (!root || node_is_nothing(root))
		return;
	if (root->kind != NODE_TABLE) {
		load_expected(load, load_error(load, &root->spot, "settings are a table"),
		              "lines of the form \"key: value\"");
		load->incomplete = true;
		return;
	}
	for (const struct entry *entry = root->first; entry && !load->nomem; entry = entry->next) {
		if (!text_eq(entry->key, TEXT("include")))
			join_entry(load, j->root, entry);
		else if (source == j->main)
			include(j, entry->value);
		else
			load_hint(
				load,
				load_error(load, &entry->key_spot, "an included file cannot include others"),
				"list all of them in %.*s", SHOWN(j->main->name));
	}
}

struct node *document_read(struct load *load)
{
	const struct config_sources *from = load->sources;
	struct spot nowhere = { 0 };
	struct joining j = { .load = load, .root = node_new(load, NODE_TABLE, nowhere) };

	if (!j.root)
		return NULL;
	if (from->text.at)
		j.main = load_source_new(load, SOURCE_FILE, from->file, from->text);
	else if (from->file.len)
		j.main = read_source(load, from->file, NULL);
	if (j.main)
		join_file(&j, j.main);
	return load->nomem ? NULL : j.root;
}
