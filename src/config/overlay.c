#include "overlay.h"

#include <postrider/base/auto.h>

#include "document.h"
#include "suggest.h"

/* One setting on its way into the tree. */
struct overlay {
	struct load *load;
	const struct steps *steps;
	size_t step; /* of the next name */
	struct spot name_spot;
	struct text value;
	struct spot value_spot;
};

static struct text step_text(const struct overlay *o, size_t i)
{
	return i < o->steps->count ? o->steps->at[i] : TEXT_EMPTY;
}

static bool same_name(const struct overlay *o, struct text a, struct text b)
{
	if (text_eq(a, b))
		return true;
	if (!o->steps->loose || a.len != b.len)
		return false;
	for (size_t i = 0; i < a.len; i++) {
		char x = a.at[i] == '-' || a.at[i] == '.' ? '_' : ascii_lower(a.at[i]);
		char y = b.at[i] == '-' || b.at[i] == '.' ? '_' : ascii_lower(b.at[i]);

		if (x != y)
			return false;
	}
	return true;
}

static const struct key *find_key(const struct overlay *o, const struct table *table, struct text name)
{
	for (const struct key *key = table->keys; key->name; key++)
		if (same_name(o, text_from(key->name), name))
			return key;
	return NULL;
}

/* ---------------------------------------------------------------- the value */

static struct spot spot_within(const struct overlay *o, struct text part)
{
	struct spot spot = o->value_spot;

	spot.column += (unsigned)(part.at - o->value.at);
	spot.length = (unsigned)MAX(part.len, 1);
	return spot;
}

static struct node *value_list(struct overlay *o)
{
	struct node *list = node_new(o->load, NODE_LIST, o->value_spot);
	struct text rest = o->value;

	while (list && rest.len > 0) {
		struct text item = text_trim(text_cut(&rest, ','));

		if (item.len > 0)
			node_add(o->load, list, TEXT_EMPTY, spot_within(o, item),
			         node_new_scalar(o->load, spot_within(o, item), item));
	}
	return list;
}

/* A scalar is its octets; a list its items between commas; whatever begins as YAML's [ or { is read as YAML. */
static struct node *value_node(struct overlay *o, const struct key *key)
{
	bool is_yaml = o->value.len > 0 && (o->value.at[0] == '[' || o->value.at[0] == '{');
	/* "[::1]:25" is an address */
	bool is_address = o->value.len > 0 && o->value.at[o->value.len - 1] != ']' && o->value.at[0] == '[';

	if (key->shape == SCALAR || (key->shape == LIST && (!is_yaml || is_address)))
		return key->shape == SCALAR ? node_new_scalar(o->load, o->value_spot, o->value)
		                            : value_list(o);
	if (is_yaml)
		return yaml_read(o->load, o->value_spot.source, o->value, o->value_spot.column);
	struct config_finding *f = load_error(o->load, &o->name_spot, "%s is not a single value", key->name);

	load_hint(o->load, f, key->table ? "name one of its keys" : "write it as {key: value}");
	return NULL;
}

static struct node *pair_value(struct overlay *o)
{
	if (o->value.len && o->value.at[0] == '[')
		return yaml_read(o->load, o->value_spot.source, o->value, o->value_spot.column);
	return node_new_scalar(o->load, o->value_spot, o->value);
}

static void replace(struct overlay *o, struct node *table, struct text key, struct node *value)
{
	struct entry *entry = node_find(table, key);

	if (!value)
		return;
	if (entry) {
		entry->value = value;
		entry->key_spot = o->name_spot;
	} else {
		node_add(o->load, table, key, o->name_spot, value);
	}
}

/* ---------------------------------------------------------------- the way */

static void refuse_way(struct overlay *o, const struct table *table, struct text name)
{
	struct suggestion nearest = suggestion_for(name);
	struct config_finding *f;

	if (name.len == 0)
		f = load_error(o->load, &o->name_spot, "this names a table, not a setting in it");
	else if (table->name[0])
		f = load_error(o->load, &o->name_spot, "unknown key \"%.*s\" in %s", SHOWN(name),
		               table->name);
	else
		f = load_error(o->load, &o->name_spot, "unknown key \"%.*s\"", SHOWN(name));
	for (const struct key *key = table->keys; key->name && name.len; key++)
		suggestion_try(&nearest, text_from(key->name));
	if (nearest.best.len)
		load_hint(o->load, f, "did you mean \"%.*s\"?", TEXT_ARGS(nearest.best));
}

static void set_in_table(struct overlay *o, const struct table *table, struct node *node);

/* The value of an entry as a table, made if it is not there. */
static struct node *table_at(struct overlay *o, struct node *node, struct text key)
{
	struct entry *entry = node_find(node, key);

	if (entry && entry->value->kind == NODE_TABLE)
		return entry->value;
	struct node *table = node_new(o->load, NODE_TABLE, o->name_spot);

	if (table)
		replace(o, node, key, table);
	return table;
}

static struct node *find_item(const struct overlay *o, const struct node *list, struct text name)
{
	uint64_t number;
	bool by_number = text_to_u64(name, 1000, &number) == ERR_OK;
	size_t i = 0;

	for (const struct entry *item = list->first; item; item = item->next, i++) {
		const struct entry *named =
			item->value->kind == NODE_TABLE ? node_find(item->value, TEXT("name")) : NULL;

		if (by_number ? i == number : named && same_name(o, named->value->text, name))
			return item->value;
	}
	return NULL;
}

static bool table_has_names(const struct table *table)
{
	return schema_find(table, TEXT("name")) != NULL;
}

/* A new item at the end of the list: the next number, or a name. */
static struct node *add_item(struct overlay *o, const struct key *key, struct node *parent, struct node *list,
                             struct text name)
{
	size_t count = list ? list->count : 0;
	uint64_t number;
	bool is_number = text_to_u64(name, 1000, &number) == ERR_OK;

	if (is_number ? number != count : name.len == 0 || !table_has_names(key->table)) {
		load_expected(o->load,
		              load_error(o->load, &o->name_spot, "there is no \"%.*s\" in %s", SHOWN(name),
		                         key->name),
		              table_has_names(key->table) ? "a name, or a number from 0 to %zu"
		                                          : "a number from 0 to %zu",
		              count);
		return NULL;
	}
	if (!list) {
		list = node_new(o->load, NODE_LIST, o->name_spot);
		replace(o, parent, text_from(key->name), list);
	}
	struct node *item = list ? node_new(o->load, NODE_TABLE, o->name_spot) : NULL;

	if (!item)
		return NULL;
	node_add(o->load, list, TEXT_EMPTY, o->name_spot, item);
	if (!is_number)
		node_add(o->load, item, TEXT("name"), o->name_spot,
		         node_new_scalar(o->load, o->name_spot, name));
	return item;
}

static void set_in_tables(struct overlay *o, const struct key *key, struct node *parent)
{
	struct text name = step_text(o, o->step++);
	struct entry *entry = node_find(parent, text_from(key->name));
	struct node *list = entry && entry->value->kind == NODE_LIST ? entry->value : NULL;
	struct node *item = list ? find_item(o, list, name) : NULL;

	if (!item)
		item = add_item(o, key, parent, list, name);
	if (item && item->kind == NODE_TABLE)
		set_in_table(o, key->table, item);
}

/* A name of the user's may have dots: it goes on until a word that is a key. */
static struct text name_from_steps(struct overlay *o, const struct table *table)
{
	AUTO(buf_fini) struct buf name = BUF(1000);
	struct text kept = TEXT_EMPTY;

	buf_add(&name, step_text(o, o->step++));
	while (o->step < o->steps->count && !(table && find_key(o, table, o->steps->at[o->step]))) {
		buf_add_octet(&name, '.');
		buf_add(&name, o->steps->at[o->step++]);
	}
	if (buf_err(&name) || arena_text(&o->load->scratch, buf_text(&name), &kept))
		o->load->nomem = true;
	return kept;
}

static struct text known_name(const struct overlay *o, const struct node *table, struct text name)
{
	for (const struct entry *entry = table->first; entry; entry = entry->next)
		if (same_name(o, entry->key, name))
			return entry->key;
	return name;
}

static void set_deeper(struct overlay *o, const struct key *key, struct node *node)
{
	struct text name = text_from(key->name);

	switch (key->shape) {
	case SCALAR:
	case LIST:
		load_error(o->load, &o->name_spot, "%s is a value, there is no \"%.*s\" in it", key->name,
		           SHOWN(step_text(o, o->step)));
		return;
	case TABLE:
		node = table_at(o, node, name);
		if (node)
			set_in_table(o, key->table, node);
		return;
	case TABLES:
		set_in_tables(o, key, node);
		return;
	case NAMED:
		node = table_at(o, node, name);
		name = name_from_steps(o, key->table);
		node = node ? table_at(o, node, known_name(o, node, name)) : NULL;
		if (node)
			set_in_table(o, key->table, node);
		return;
	case PAIRS:
		node = table_at(o, node, name);
		name = name_from_steps(o, NULL);
		if (node)
			replace(o, node, known_name(o, node, name), pair_value(o));
		return;
	}
}

static void set_in_table(struct overlay *o, const struct table *table, struct node *node)
{
	struct text name = step_text(o, o->step++);
	const struct key *key = find_key(o, table, name);

	if (!key)
		refuse_way(o, table, name);
	else if (!key->since)
		load_hint(o->load,
		          load_error(o->load, &o->name_spot, "\"%s\" is not built yet in this version",
		                     key->name),
		          "remove it; `postrider config --schema` lists what works");
	else if (o->step == o->steps->count)
		replace(o, node, text_from(key->name), value_node(o, key));
	else
		set_deeper(o, key, node);
}

void overlay_set(struct load *load, struct node *root, const struct steps *steps, struct spot name_spot,
                 struct text value, struct spot value_spot)
{
	struct overlay o = { load, steps, 0, name_spot, value, value_spot };

	set_in_table(&o, &schema, root);
}

/* ---------------------------------------------------------------- --set listen[0].address=... */

/* At dots; a number in brackets is a step too. */
static bool split_way(struct text way, struct steps *steps)
{
	struct text rest = way;

	while (rest.len > 0) {
		struct text step = text_cut(&rest, '.');
		size_t bracket = text_find_octet(step, '[');

		if (steps->count + 2 > STEPS_MAX)
			return false;
		steps->at[steps->count++] = text_head(step, bracket);
		if (bracket == step.len)
			continue;
		if (step.at[step.len - 1] != ']')
			return false;
		steps->at[steps->count++] = text_of(step.at + bracket + 1, step.len - bracket - 2);
	}
	return steps->count > 0;
}

static void set_argument(struct load *load, struct node *root, struct text argument)
{
	size_t equals = text_find_octet(argument, '=');
	struct text way = text_head(argument, equals);
	struct steps steps = { .count = 0 };
	AUTO(buf_fini) struct buf name = BUF(1000);

	buf_add_string(&name, "--set ");
	buf_add(&name, text_head(way, 200));
	struct source *source = load_source_new(load, SOURCE_ARGUMENT, buf_text(&name), argument);

	if (!source)
		return;
	struct spot name_spot = { source, 1, 1, (unsigned)way.len };
	struct spot value_spot = { source, 1, (unsigned)equals + 2, (unsigned)(argument.len - equals) };

	if (equals == argument.len || !split_way(way, &steps)) {
		load_expected(load, load_error(load, &name_spot, "this sets nothing"),
		              "--set spool.path=/var/lib/postrider");
		return;
	}
	value_spot.length = (unsigned)MAX(argument.len - equals - 1, 1);
	overlay_set(load, root, &steps, name_spot, text_skip(argument, equals + 1), value_spot);
}

void overlay_arguments(struct load *load, struct node *root)
{
	for (size_t i = 0; i < load->sources->set_count && !load->nomem; i++)
		set_argument(load, root, load->sources->sets[i]);
}
