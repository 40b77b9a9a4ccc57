/* The JSON schema of what this version takes: editors complete and check with it. */
#include <postrider/base/auto.h>

#include "schema.h"

static void add_string(struct buf *out, struct text t)
{
	buf_add_octet(out, '"');
	for (size_t i = 0; i < t.len; i++) {
		if (t.at[i] == '"' || t.at[i] == '\\')
			buf_add_octet(out, '\\');
		buf_add_octet(out, t.at[i]);
	}
	buf_add_octet(out, '"');
}

static void indent(struct buf *out, unsigned depth)
{
	buf_add_octet(out, '\n');
	for (unsigned i = 0; i < depth; i++)
		buf_add_string(out, "  ");
}

/* The members that say what a scalar is. */
static void add_scalar(struct buf *out, const struct key *key)
{
	size_t said = 0;

	if (key->type->json) {
		buf_add_string(out, key->type->json);
		return;
	}
	if (!key->choices) {
		buf_add_format(out, "\"type\": \"integer\", \"minimum\": %llu, \"maximum\": %llu",
		               (unsigned long long)key->min, (unsigned long long)key->max);
		return;
	}
	buf_add_string(out, "\"enum\": [");
	for (const struct choice *c = key->choices; c->name; c++) {
		if (c->not_built)
			continue;
		buf_add_string(out, said++ ? ", " : "");
		add_string(out, text_from(c->name));
	}
	buf_add_octet(out, ']');
}

static void add_table(struct buf *out, const struct table *table, unsigned depth);

static void add_shape(struct buf *out, const struct key *key, unsigned depth)
{
	switch (key->shape) {
	case SCALAR:
		add_scalar(out, key);
		break;
	case LIST:
		buf_add_string(out, "\"anyOf\": [{");
		add_scalar(out, key);
		buf_add_string(out, "}, {\"type\": \"array\", \"items\": {");
		add_scalar(out, key);
		buf_add_string(out, "}}]");
		break;
	case TABLE:
		add_table(out, key->table, depth);
		break;
	case TABLES:
		buf_add_string(out, "\"type\": \"array\", \"minItems\": 1, \"items\": {");
		add_table(out, key->table, depth);
		buf_add_octet(out, '}');
		break;
	case NAMED:
		buf_add_string(out, "\"type\": \"object\", \"additionalProperties\": {");
		add_table(out, key->table, depth);
		buf_add_octet(out, '}');
		break;
	case PAIRS:
		buf_add_format(out, "\"type\": \"object\", \"additionalProperties\": {%s}", key->pairs->json);
		break;
	}
}

static void add_default(struct buf *out, const struct key *key)
{
	struct text standard = text_from(key->standard);

	if (key->shape == TABLES || key->shape == TABLE || !key->standard)
		return;
	buf_add_string(out, ", \"default\": ");
	if (key->shape == LIST) {
		buf_add_octet(out, '[');
		for (bool first = true; standard.len > 0; first = false) {
			buf_add_string(out, first ? "" : ", ");
			add_string(out, text_trim(text_cut(&standard, ',')));
		}
		buf_add_octet(out, ']');
	} else if (key->choices || text_starts(text_from(key->type->json), TEXT("\"type\": \"string\""))) {
		add_string(out, standard);
	} else {
		buf_add(out, standard); /* numbers and truth */
	}
}

static void add_required(struct buf *out, const struct table *table)
{
	size_t said = 0;

	for (const struct key *key = table->keys; key->name; key++) {
		if (!key->since || !(key->flags & KEY_NEEDED))
			continue;
		buf_add_string(out, said++ ? ", " : ", \"required\": [");
		add_string(out, text_from(key->name));
	}
	if (said)
		buf_add_octet(out, ']');
}

static void add_table(struct buf *out, const struct table *table, unsigned depth)
{
	bool first = true;

	buf_add_string(out, "\"type\": \"object\", \"additionalProperties\": false");
	add_required(out, table);
	buf_add_string(out, ", \"properties\": {");
	for (const struct key *key = table->keys; key->name; key++) {
		if (!key->since)
			continue;
		buf_add_string(out, first ? "" : ",");
		first = false;
		indent(out, depth + 1);
		add_string(out, text_from(key->name));
		buf_add_string(out, ": {\"description\": ");
		add_string(out, text_from(key->doc));
		buf_add_string(out, ", ");
		add_shape(out, key, depth + 1);
		add_default(out, key);
		buf_add_octet(out, '}');
	}
	indent(out, depth);
	buf_add_octet(out, '}');
}

void config_write_schema(struct buf *out)
{
	AUTO(buf_fini) struct buf top = BUF(1u << 20);

	add_table(&top, &schema, 1);
	buf_add_string(out, "{\n  \"$schema\": \"http://json-schema.org/draft-07/schema#\",\n"
	                    "  \"title\": \"postrider.yaml\",\n  ");
	buf_add(out, buf_text(&top));
	buf_add_string(out, "\n}\n");
	if (!out->err)
		out->err = buf_err(&top);
}
