/* The effective configuration as YAML. */
#include <postrider/base/auto.h>

#include "bind.h"

#define ORIGIN_COLUMN 52
#define LINE_MAX_BYTES (16u << 20)

struct printer {
	const struct snapshot *snapshot;
	bool origins;
	struct buf *out;
	struct buf path;
	struct buf line;
	unsigned depth;
	size_t value_at;       /* in line: where the value begins */
	config_value_fn *each; /* instead of printing */
	void *owner;
	bool in_item;        /* the next line begins a list item */
	size_t name_at;      /* in an entry that inherits from `any`: where its name begins in path, */
	size_t inherited_at; /* and where it ends; 0: in none */
};

static size_t enter(struct printer *p, const char *format, ...) PRINTF_LIKE(2, 3);

static size_t enter(struct printer *p, const char *format, ...)
{
	size_t before = p->path.len;
	va_list args;

	va_start(args, format);
	buf_add_format_v(&p->path, format, args);
	va_end(args);
	return before;
}

static void begin_line(struct printer *p)
{
	buf_reset(&p->line);
	for (unsigned i = 0; i < p->depth; i++)
		buf_add_string(&p->line, "  ");
	if (p->in_item) {
		buf_cut(&p->line, p->line.len - 2);
		buf_add_string(&p->line, "- ");
	}
	p->in_item = false;
}

static struct config_place place_of_value(const struct printer *p)
{
	const struct origin *origin = origin_find(p->snapshot, buf_text(&p->path));

	if (!origin && p->inherited_at)
		origin = origin_find_format(p->snapshot, "%.*s.any%.*s",
		                            TEXT_ARGS(text_head(buf_text(&p->path), p->name_at)),
		                            TEXT_ARGS(text_skip(buf_text(&p->path), p->inherited_at)));
	return origin ? origin->place : (struct config_place){ .file = LIT("default") };
}

static void end_line(struct printer *p, bool has_value)
{
	if (p->each) {
		if (has_value)
			p->each(p->owner, buf_text(&p->path), text_skip(buf_text(&p->line), p->value_at),
			        place_of_value(p));
		return;
	}
	buf_add(p->out, buf_text(&p->line));
	if (p->origins && has_value) {
		for (size_t i = p->line.len; i < ORIGIN_COLUMN; i++)
			buf_add_octet(p->out, ' ');
		buf_add_string(p->out, "  # ");
		config_place_add(p->out, place_of_value(p));
	}
	buf_add_octet(p->out, '\n');
}

static void quote_if_text(const struct key *key, const void *place, bool flow, struct buf *out)
{
	AUTO(buf_fini) struct buf plain = BUF(LINE_MAX_BYTES);

	value_print(key, place, &plain);
	if (key->type->is_text)
		value_quote(buf_text(&plain), flow, out);
	else
		buf_add(out, buf_text(&plain));
}

static void print_table(struct printer *p, const struct table *table, const char *base);

static bool is_hidden(const struct key *key, const char *base)
{
	const char *login = base + key->offset - offsetof(struct config_login, username);

	if (key->flags & KEY_LOGIN_NAME)
		return ((const struct config_login *)(const void *)login)->shown_name.len == 0;
	return key->flags & KEY_SECRET;
}

static void print_scalar(struct printer *p, const struct key *key, const char *base)
{
	AUTO(buf_fini) struct buf plain = BUF(LINE_MAX_BYTES);

	if (key->has_offset && !*(const bool *)(const void *)(base + key->has_offset))
		return;
	value_print(key, base + key->offset, &plain);
	if (plain.len == 0)
		return; /* not set */
	begin_line(p);
	buf_add_format(&p->line, "%s: ", key->name);
	p->value_at = p->line.len;
	if (is_hidden(key, base))
		buf_add_string(&p->line, "\"***\""); /* without quotes it would be an alias */
	else
		quote_if_text(key, base + key->offset, false, &p->line);
	end_line(p, true);
}

static void print_list(struct printer *p, const struct key *key, const char *base)
{
	const struct any_list *list = (const void *)(base + key->offset);

	if (list->count == 0 && !key->standard)
		return;
	begin_line(p);
	buf_add_format(&p->line, "%s: [", key->name);
	p->value_at = p->line.len - 1;
	for (size_t i = 0; i < list->count; i++) {
		if (i)
			buf_add_string(&p->line, ", ");
		quote_if_text(key, (const char *)list->items + i * key->type->size, true, &p->line);
	}
	buf_add_octet(&p->line, ']');
	end_line(p, true);
}

static void print_heading(struct printer *p, struct text name)
{
	begin_line(p);
	buf_add(&p->line, name);
	buf_add_octet(&p->line, ':');
	end_line(p, false);
}

static void print_tables(struct printer *p, const struct key *key, const char *base)
{
	const struct any_list *list = (const void *)(base + key->offset);

	if (list->count == 0)
		return;
	print_heading(p, text_from(key->name));
	for (size_t i = 0; i < list->count; i++) {
		size_t before = enter(p, "[%zu]", i);

		p->depth += 2;
		p->in_item = true;
		print_table(p, key->table, (const char *)list->items + i * key->table->size);
		p->in_item = false;
		p->depth -= 2;
		buf_cut(&p->path, before);
	}
}

static void print_named_one(struct printer *p, const struct table *table, const char *item, bool inherits)
{
	AUTO(buf_fini) struct buf name = BUF(2000);
	AUTO(buf_fini) struct buf quoted = BUF(4000);

	table->name_type->print(NULL, item + table->name_offset, &name);
	value_quote(buf_text(&name), false, &quoted);
	size_t before = enter(p, ".%.*s", TEXT_ARGS(buf_text(&name)));

	p->name_at = before;
	p->inherited_at = inherits ? p->path.len : 0;
	p->depth++;
	print_heading(p, buf_text(&quoted));
	p->depth++;
	print_table(p, table, item);
	p->depth -= 2;
	p->inherited_at = 0;
	buf_cut(&p->path, before);
}

static void print_named(struct printer *p, const struct key *key, const char *base)
{
	const struct any_list *list = (const void *)(base + key->offset);

	if (list->count == 0 && !key->any_offset)
		return;
	print_heading(p, text_from(key->name));
	for (size_t i = 0; i < list->count; i++)
		print_named_one(p, key->table, (const char *)list->items + i * key->table->size,
		                key->any_offset);
	if (key->any_offset)
		print_named_one(p, key->table, base + key->offset + key->any_offset, false);
}

static void print_pairs(struct printer *p, const struct key *key, const char *base)
{
	const struct any_list *list = (const void *)(base + key->offset);

	if (list->count == 0)
		return;
	print_heading(p, text_from(key->name));
	p->depth++;
	for (size_t i = 0; i < list->count; i++) {
		AUTO(buf_fini) struct buf name = BUF(2000);
		AUTO(buf_fini) struct buf value = BUF(LINE_MAX_BYTES);

		key->pairs->print((const char *)list->items + i * key->pairs->size, &name, &value);
		size_t before = enter(p, ".%.*s", TEXT_ARGS(buf_text(&name)));

		begin_line(p);
		value_quote(buf_text(&name), false, &p->line);
		buf_add_string(&p->line, ": ");
		p->value_at = p->line.len;
		buf_add(&p->line, buf_text(&value));
		end_line(p, true);
		buf_cut(&p->path, before);
	}
	p->depth--;
}

static void print_inner(struct printer *p, const struct key *key, const char *base)
{
	size_t before = p->out->len;

	if (key->has_offset && !*(const bool *)(const void *)(base + key->has_offset))
		return;
	print_heading(p, text_from(key->name));
	size_t headed = p->out->len;

	p->depth++;
	print_table(p, key->table, base + key->offset);
	p->depth--;
	if (p->out->len == headed)
		buf_cut(p->out, before); /* nothing in it is set */
}

static void print_table(struct printer *p, const struct table *table, const char *base)
{
	for (const struct key *key = table->keys; key->name; key++) {
		if (!key_is_bound(key))
			continue;
		size_t before = enter(p, p->path.len ? ".%s" : "%s", key->name);

		switch (key->shape) {
		case SCALAR:
			print_scalar(p, key, base);
			break;
		case LIST:
			print_list(p, key, base);
			break;
		case TABLE:
			print_inner(p, key, base);
			break;
		case TABLES:
			print_tables(p, key, base);
			break;
		case NAMED:
			print_named(p, key, base);
			break;
		case PAIRS:
			print_pairs(p, key, base);
			break;
		}
		buf_cut(&p->path, before);
	}
}

static enum err print_all(struct printer *p, const struct config *config)
{
	p->snapshot = CONTAINER_OF((void *)config, struct snapshot, config);
	buf_init(&p->path, 4000);
	buf_init(&p->line, LINE_MAX_BYTES);
	print_table(p, &schema, (const char *)config);
	enum err err = p->line.err ? p->line.err : p->path.err;

	buf_fini(&p->path);
	buf_fini(&p->line);
	return err;
}

void config_print(const struct config *config, bool origins, struct buf *out)
{
	struct printer p = { .origins = origins, .out = out };
	enum err err = print_all(&p, config);

	if (!out->err)
		out->err = err;
}

enum err config_each_value(const struct config *config, config_value_fn *each, void *owner)
{
	struct buf unused = { 0 };
	struct printer p = { .out = &unused, .each = each, .owner = owner };

	return print_all(&p, config);
}
