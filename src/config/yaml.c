/* libyaml's events become nodes. Nothing is guessed about types here: a scalar is its octets. */
#include <yaml.h>

#include <postrider/base/auto.h>

#include "document.h"
#include "report.h"

struct anchor {
	struct anchor *next;
	struct text name;
	const struct node *node; /* NULL while what it names is still being read */
};

struct reader {
	struct load *load;
	const struct source *source;
	unsigned first_column;
	yaml_parser_t parser;
	struct anchor *anchors; /* newest first */
	unsigned depth;
};

static struct text text_of_yaml(const yaml_char_t *string, size_t len)
{
	return text_of((const char *)string, len);
}

static struct spot spot_of(const struct reader *r, yaml_mark_t start, yaml_mark_t end)
{
	struct spot spot = { .source = r->source,
		             .line = (unsigned)start.line + 1,
		             .column = (unsigned)start.column + 1 };

	if (start.line == end.line)
		spot.length = MAX((unsigned)(end.column - start.column), 1);
	if (start.line == 0)
		spot.column += r->first_column - 1;
	return spot;
}

static struct spot rest_of_line(const struct reader *r, yaml_mark_t start)
{
	struct spot spot = spot_of(r, start, start);

	spot.length = 0;
	return spot;
}

/* ---------------------------------------------------------------- what libyaml says, for people */

static const struct {
	struct text problem;
	const char *message;
	const char *hint;
} problems[] = {
	{ LIT("mapping values are not allowed"), "a \": \" where no key can stand",
	  "the indentation may be off here or in the line above; a value with \": \" in it needs quotes" },
	{ LIT("did not find expected key"), "this does not fit the lines above it",
	  "keys of one table stand at the same column" },
	{ LIT("did not find expected '-' indicator"), "this does not fit the list above it",
	  "items of one list stand at the same column and begin with \"- \"" },
	{ LIT("did not find expected ',' or ']'"), "a list is not closed, or a comma is missing", NULL },
	{ LIT("did not find expected node content"),
	  "a value is missing, or begins with what no value can begin with", NULL },
	{ LIT("did not find expected ',' or '}'"), "a table is not closed, or a comma is missing", NULL },
	{ LIT("could not find expected ':'"), "a key without \": \" behind it", NULL },
	{ LIT("did not find expected alphabetic or numeric character"), "a * or & that names nothing",
	  "a value that begins with * or & needs quotes; subdomains are written .example.com" },
	{ LIT("found character that cannot start any token"), "a value cannot begin with this character",
	  "put the value in quotes" },
	{ LIT("found unexpected end of stream"), "a quote that is not closed", NULL },
	{ LIT("found unknown escape character"), "a backslash that means nothing inside \"\"",
	  "write \\\\, or use single quotes" },
	{ LIT("did not find expected <document start>"), "something stands behind the end of the settings",
	  NULL },
	{ LIT("control characters are not allowed"), "a control character", NULL },
};

static void yaml_is_wrong(struct reader *r)
{
	const yaml_parser_t *p = &r->parser;
	struct text problem = text_from(p->problem);
	/* a quote that is not closed is noticed at the end of the file: show where it begins */
	bool at_end = text_eq(problem, TEXT("found unexpected end of stream")) && p->context;
	yaml_mark_t mark = at_end ? p->context_mark : p->problem_mark;

	r->load->incomplete = true;
	if (p->error == YAML_MEMORY_ERROR) {
		r->load->nomem = true;
		return;
	}
	if (p->error == YAML_READER_ERROR) {
		/* before the octets become characters there is no mark: count the lines */
		struct text before = text_head(r->source->content, p->problem_offset);
		size_t line_at = before.len;

		mark = (yaml_mark_t){ 0 };
		for (size_t i = 0; i < before.len; i++)
			mark.line += before.at[i] == '\n';
		while (line_at > 0 && before.at[line_at - 1] != '\n')
			line_at--;
		mark.column = before.len - line_at;
	}
	struct spot spot = spot_of(r, mark, mark);
	struct text line = source_line(r->source, spot.line);

	spot.length = 1;
	if (spot.column > line.len + 1)
		spot.column = (unsigned)line.len + 1;
	for (size_t i = 0; i < ARRAY_LEN(problems); i++) {
		if (!text_starts(problem, problems[i].problem))
			continue;
		struct config_finding *f = load_error(r->load, &spot, "%s", problems[i].message);

		if (text_find(line, TEXT("::")) < line.len)
			load_hint(r->load, f, "an IPv6 address needs quotes: \"::1\", \"[::1]:25\"");
		else if (problems[i].hint)
			load_hint(r->load, f, "%s", problems[i].hint);
		return;
	}
	load_error(r->load, &spot, "this is not YAML: %.*s", SHOWN(problem));
}

/* ---------------------------------------------------------------- tabs */

/* A tab outside quotes and comments. libyaml takes some and trips over others with a message about something else;
 * none of them looks like what it does. */
static bool find_tab(struct text t, size_t *out)
{
	char quote = 0, last = '\n';

	for (size_t i = 0; i < t.len; last = t.at[i++]) {
		char c = t.at[i];
		bool starts = last == '\n' || last == ' ' || last == '\t' || last == '[' || last == '{' ||
		              last == ',';

		if (quote) {
			if (quote == '"' && c == '\\')
				i++;
			else if (c == quote)
				quote = 0;
			if (i >= t.len)
				break;
		} else if (c == '\t') {
			*out = i;
			return true;
		} else if (c == '#' && starts) {
			i += text_find_octet(text_skip(t, i), '\n');
			if (i >= t.len)
				break;
		} else if ((c == '"' || c == '\'') && starts) {
			quote = c;
		}
	}
	return false;
}

static bool refuse_tab(struct reader *r, struct text t)
{
	size_t at;
	yaml_mark_t mark = { 0 };

	if (!find_tab(t, &at))
		return false;
	for (size_t i = 0; i < at; i++) {
		bool next = t.at[i] == '\n';

		mark.line += next;
		mark.column = next ? 0 : mark.column + (((unsigned char)t.at[i] & 0xc0) != 0x80);
	}
	struct spot spot = spot_of(r, mark, mark);

	load_hint(r->load, load_error(r->load, &spot, "a tab: YAML is indented with spaces"),
	          "replace it by spaces; inside quotes a tab is fine");
	r->load->incomplete = true;
	return true;
}

/* ---------------------------------------------------------------- events to nodes */

static bool next_event(struct reader *r, yaml_event_t *event)
{
	if (yaml_parser_parse(&r->parser, event))
		return true;
	yaml_is_wrong(r);
	return false;
}

static void event_fini(yaml_event_t *event)
{
	yaml_event_delete(event); /* fine for a zeroed one */
}

static struct anchor *add_anchor(struct reader *r, const yaml_char_t *name)
{
	if (!name)
		return NULL;
	struct anchor *anchor = load_scratch(r->load, sizeof(*anchor));
	struct text text = text_from((const char *)name);

	if (!anchor || arena_text(&r->load->scratch, text, &anchor->name)) {
		r->load->nomem = true;
		return NULL;
	}
	anchor->next = r->anchors;
	r->anchors = anchor;
	return anchor;
}

static struct node *read_alias(struct reader *r, const yaml_event_t *event)
{
	struct text name = text_from((const char *)event->data.alias.anchor);
	struct spot spot = spot_of(r, event->start_mark, event->end_mark);
	struct anchor *anchor = r->anchors;

	while (anchor && !text_eq(anchor->name, name))
		anchor = anchor->next;
	if (anchor && anchor->node)
		return node_copy(r->load, anchor->node);
	struct config_finding *f = load_error(r->load, &spot,
	                                      anchor ? "*%.*s stands inside what it names"
	                                             : "*%.*s names nothing: there is no &%.*s above",
	                                      SHOWN(name), SHOWN(name));

	load_hint(r->load, f, "a value that begins with * needs quotes");
	r->load->incomplete = true;
	struct node *broken = node_new_scalar(r->load, spot, TEXT_EMPTY);

	if (broken)
		broken->broken = true;
	return broken;
}

static void refuse_tag(struct reader *r, const yaml_char_t *tag, struct spot spot)
{
	if (tag)
		load_hint(r->load,
		          load_error(r->load, &spot, "the tag %.*s has no use here",
		                     SHOWN(text_from((const char *)tag))),
		          "remove it: the type of each value is known");
}

static struct node *read_node(struct reader *r, const yaml_event_t *event);

static struct node *read_scalar(struct reader *r, const yaml_event_t *event)
{
	struct spot spot = spot_of(r, event->start_mark, event->end_mark);
	struct node *node = node_new(r->load, NODE_SCALAR, spot);

	refuse_tag(r, event->data.scalar.tag, spot);
	if (!node)
		return NULL;
	node->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
	if (arena_text(&r->load->scratch, text_of_yaml(event->data.scalar.value, event->data.scalar.length),
	               &node->text))
		r->load->nomem = true;
	return node;
}

static struct node *read_list(struct reader *r, const yaml_event_t *start)
{
	struct node *list = node_new(r->load, NODE_LIST, rest_of_line(r, start->start_mark));

	refuse_tag(r, start->data.sequence_start.tag, spot_of(r, start->start_mark, start->end_mark));
	while (list) {
		AUTO(event_fini) yaml_event_t event = { 0 };

		if (!next_event(r, &event))
			return NULL;
		if (event.type == YAML_SEQUENCE_END_EVENT)
			return list;
		struct node *value = read_node(r, &event);

		if (!value)
			return NULL;
		node_add(r->load, list, TEXT_EMPTY, value->spot, value);
	}
	return NULL;
}

static bool read_key(struct reader *r, const yaml_event_t *event, struct text *key, struct spot *spot)
{
	*spot = spot_of(r, event->start_mark, event->end_mark);
	if (event->type != YAML_SCALAR_EVENT) {
		load_error(r->load, spot, "a key must be a single word");
		r->load->incomplete = true;
		return false;
	}
	struct text value = text_of_yaml(event->data.scalar.value, event->data.scalar.length);

	if (arena_text(&r->load->scratch, value, key)) {
		r->load->nomem = true;
		return false;
	}
	return true;
}

static void refuse_second(struct reader *r, struct text key, const struct spot *spot,
                          const struct entry *first)
{
	struct config_finding *f =
		load_error(r->load, spot, "\"%.*s\" is set twice in this table", SHOWN(key));

	load_hint(r->load, f, "keep one of them");
	load_see(r->load, f, &first->key_spot);
}

static struct node *read_table(struct reader *r, const yaml_event_t *start)
{
	struct node *table = node_new(r->load, NODE_TABLE, rest_of_line(r, start->start_mark));

	refuse_tag(r, start->data.mapping_start.tag, spot_of(r, start->start_mark, start->end_mark));
	while (table) {
		AUTO(event_fini) yaml_event_t key_event = { 0 };
		AUTO(event_fini) yaml_event_t value_event = { 0 };
		struct text key;
		struct spot key_spot;

		if (!next_event(r, &key_event))
			return NULL;
		if (key_event.type == YAML_MAPPING_END_EVENT)
			return table;
		if (!read_key(r, &key_event, &key, &key_spot) || !next_event(r, &value_event))
			return NULL;
		struct node *value = read_node(r, &value_event);

		if (!value)
			return NULL;
		struct entry *first = node_find(table, key);

		if (first)
			refuse_second(r, key, &key_spot, first);
		else
			node_add(r->load, table, key, key_spot, value);
	}
	return NULL;
}

static struct node *read_deep(struct reader *r, const yaml_event_t *event)
{
	struct node *node = NULL;

	if (r->depth++ < NODE_DEPTH_MAX) {
		node = event->type == YAML_SEQUENCE_START_EVENT ? read_list(r, event) : read_table(r, event);
	} else {
		struct spot spot = spot_of(r, event->start_mark, event->end_mark);

		load_error(r->load, &spot, "nested too deeply");
		r->load->incomplete = true;
	}
	r->depth--;
	return node;
}

/* NULL: an error was added, or memory ran out. */
static struct node *read_node(struct reader *r, const yaml_event_t *event)
{
	struct anchor *anchor;
	struct node *node;

	switch (event->type) {
	case YAML_ALIAS_EVENT:
		return read_alias(r, event);
	case YAML_SCALAR_EVENT:
		anchor = add_anchor(r, event->data.scalar.anchor);
		node = read_scalar(r, event);
		break;
	case YAML_SEQUENCE_START_EVENT:
		anchor = add_anchor(r, event->data.sequence_start.anchor);
		node = read_deep(r, event);
		break;
	case YAML_MAPPING_START_EVENT:
		anchor = add_anchor(r, event->data.mapping_start.anchor);
		node = read_deep(r, event);
		break;
	default:
		return NULL;
	}
	if (anchor)
		anchor->node = node;
	return r->load->nomem ? NULL : node;
}

static struct node *read_stream(struct reader *r)
{
	struct node *root = NULL;

	for (;;) {
		AUTO(event_fini) yaml_event_t event = { 0 };

		if (!next_event(r, &event))
			return NULL;
		if (event.type == YAML_STREAM_END_EVENT)
			return root;
		if (event.type == YAML_STREAM_START_EVENT || event.type == YAML_DOCUMENT_START_EVENT ||
		    event.type == YAML_DOCUMENT_END_EVENT)
			continue;
		struct spot spot = spot_of(r, event.start_mark, event.end_mark);

		if (root) {
			load_error(r->load, &spot, "a second document in one file");
			r->load->incomplete = true;
			return NULL;
		}
		root = read_node(r, &event);
		if (!root)
			return NULL;
	}
}

struct node *yaml_read(struct load *load, const struct source *source, struct text text,
                       unsigned first_column)
{
	struct reader r = { .load = load, .source = source, .first_column = first_column };
	const struct text mark = LIT("\xef\xbb\xbf"); /* of UTF-8, as some editors write it */

	if (text_starts(text, mark))
		text = text_skip(text, mark.len);
	if (refuse_tab(&r, text))
		return NULL;
	if (!yaml_parser_initialize(&r.parser)) {
		load->nomem = true;
		return NULL;
	}
	yaml_parser_set_input_string(&r.parser, (const unsigned char *)text.at, text.len);
	yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
	struct node *root = read_stream(&r);

	yaml_parser_delete(&r.parser);
	return root;
}
