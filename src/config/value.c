/* Values in general: saying no, writing, and the types that are texts. */
#include "value.h"

#include <postrider/base/auto.h>

#define NAME_MAX_OCTETS 64

/* ---------------------------------------------------------------- saying no */

void value_expected(const struct key *key, struct buf *out)
{
	const struct type *type = key->type;

	if (key->choices) {
		size_t said = 0, count = 0;

		for (const struct choice *c = key->choices; c->name; c++)
			count += !c->not_built;
		for (const struct choice *c = key->choices; c->name; c++) {
			if (c->not_built)
				continue;
			if (said++)
				buf_add_string(out, said == count ? " or " : ", ");
			buf_add_string(out, c->name);
		}
		return;
	}
	buf_add_string(out, type->expected);
	if (key->max == 0)
		return;
	buf_add_string(out, type == &type_number || type == &type_port ? " from " : ", from ");
	type->print(key, &key->min, out);
	if (key->flags & KEY_NEVER || key->max >= (uint64_t)CONFIG_NEVER) {
		buf_add_string(out, " on");
	} else {
		buf_add_string(out, " to ");
		type->print(key, &key->max, out);
	}
	if (key->flags & KEY_NEVER)
		buf_add_string(out, ", or never");
}

struct config_finding *value_refuse(struct parsing *p, struct text t)
{
	AUTO(buf_fini) struct buf expected = BUF(1000);
	struct config_finding *f =
		load_error(p->load, &p->spot, "%s cannot be \"%.*s\"", p->key->name, SHOWN(t));

	value_expected(p->key, &expected);
	load_expected(p->load, f, "%.*s", TEXT_ARGS(buf_text(&expected)));
	return f;
}

bool value_refuse_range(struct parsing *p, struct text t)
{
	AUTO(buf_fini) struct buf expected = BUF(1000);

	value_expected(p->key, &expected);
	load_expected(p->load,
	              load_error(p->load, &p->spot, "%s is out of range: \"%.*s\"", p->key->name, SHOWN(t)),
	              "%.*s", TEXT_ARGS(buf_text(&expected)));
	return false;
}

bool value_keep(struct parsing *p, struct text t, struct text *place)
{
	*place = load_keep_text(p->load, t);
	return !p->load->nomem;
}

size_t value_count_digits(struct text t)
{
	size_t i = 0;

	while (i < t.len && ascii_is_digit(t.at[i]))
		i++;
	return i;
}

/* ---------------------------------------------------------------- texts */

/* One character of UTF-8 from the front; 0: it is none (RFC 3629: shortest form, no surrogates). */
static uint32_t next_character(struct text *t)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	unsigned char first = (unsigned char)t->at[0];
	size_t len = first < 0x80   ? 1
	             : first < 0xc0 ? 0
	             : first < 0xe0 ? 2
	             : first < 0xf0 ? 3
	             : first < 0xf8 ? 4
	                            : 0;
	uint32_t c = len == 1 ? first : first & (0xffu >> (len + 1));

	if (len == 0 || len > t->len)
		return 0;
	for (size_t i = 1; i < len; i++) {
		if (((unsigned char)t->at[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | ((unsigned char)t->at[i] & 0x3f);
	}
	*t = text_skip(*t, len);
	return c < least[len] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000) ? 0 : c;
}

/* UTF-8 without what controls a terminal or ends a line, so that every value can be shown and written as YAML. */
bool value_is_printable(struct text t)
{
	while (t.len > 0) {
		uint32_t c = next_character(&t);

		if (c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x2028 || c == 0x2029 || c == 0xfeff ||
		    c == 0xfffe || c == 0xffff)
			return false;
	}
	return true;
}

static bool parse_text(struct parsing *p, struct text t, void *place)
{
	if (value_is_printable(t) && t.len <= 4096 && t.len > 0)
		return value_keep(p, t, place);
	if (t.len == 0)
		load_error(p->load, &p->spot, "%s is empty", p->key->name);
	else
		load_error(p->load, &p->spot, "%s has octets in it that are no text, or is far too long",
		           p->key->name);
	return false;
}

static void print_text(const struct key *key, const void *place, struct buf *out)
{
	(void)key;
	buf_add(out, *(const struct text *)place);
}

const struct type type_text = { .name = "text",
	                        .size = sizeof(struct text),
	                        .expected = "a text",
	                        .parse = parse_text,
	                        .print = print_text,
	                        .is_text = true,
	                        .json = "\"type\": \"string\", \"minLength\": 1" };
const struct type type_path = { .name = "path",
	                        .size = sizeof(struct text),
	                        .expected = "a path",
	                        .parse = parse_text,
	                        .print = print_text,
	                        .is_text = true,
	                        .json = "\"type\": \"string\", \"minLength\": 1" };
const struct type type_via = { .name = "way",
	                       .size = sizeof(struct text),
	                       .expected = "an upstream, direct, discard, hold or reject",
	                       .parse = parse_text,
	                       .print = print_text,
	                       .is_text = true,
	                       .json = "\"type\": \"string\", \"minLength\": 1" };

static bool keep_lower(struct parsing *p, struct text t, struct text *place)
{
	char *copy = load_keep(p->load, t.len + 1);

	if (!copy)
		return false;
	for (size_t i = 0; i < t.len; i++)
		copy[i] = ascii_lower(t.at[i]);
	*place = text_of(copy, t.len);
	return true;
}

static bool parse_hostname(struct parsing *p, struct text t, void *place)
{
	if (domain_is_valid(t))
		return keep_lower(p, t, place);
	value_refuse(p, t);
	return false;
}

const struct type type_hostname = { .name = "host name",
	                            .size = sizeof(struct text),
	                            .expected = "a host name such as relay.app.example.com",
	                            .parse = parse_hostname,
	                            .print = print_text,
	                            .is_text = true,
	                            .json = "\"type\": \"string\", \"minLength\": 1, \"maxLength\": 255" };

static bool parse_mailbox(struct parsing *p, struct text t, void *place)
{
	/* postmaster alone is the one of our own host name; it is completed when that is known */
	if (mailbox_is_valid(t) || text_eq_nocase(t, TEXT("postmaster")))
		return value_keep(p, t, place);
	value_refuse(p, t);
	return false;
}

const struct type type_mailbox = { .name = "address",
	                           .size = sizeof(struct text),
	                           .expected = "a mail address such as postmaster@example.com, or postmaster",
	                           .parse = parse_mailbox,
	                           .print = print_text,
	                           .is_text = true,
	                           .json = "\"type\": \"string\", \"minLength\": 1" };

static bool parse_header(struct parsing *p, struct text t, void *place)
{
	bool good = t.len > 0 && t.len <= 100;

	for (size_t i = 0; i < t.len; i++)
		good &= t.at[i] > ' ' && t.at[i] < 0x7f && t.at[i] != ':';
	if (good)
		return value_keep(p, t, place);
	value_refuse(p, t);
	return false;
}

const struct type type_header = { .name = "header name",
	                          .size = sizeof(struct text),
	                          .expected = "the name of a header field, without its colon",
	                          .parse = parse_header,
	                          .print = print_text,
	                          .is_text = true,
	                          .json = "\"type\": \"string\", \"pattern\": \"^[!-9;-~]+$\"" };

static bool parse_upstream_name(struct parsing *p, struct text t, void *place)
{
	static const struct text reserved[] = { LIT("direct"), LIT("discard"), LIT("hold"), LIT("reject"),
		                                LIT("any") };
	bool good = t.len > 0 && t.len <= NAME_MAX_OCTETS;

	for (size_t i = 0; i < ARRAY_LEN(reserved); i++) {
		if (!text_eq_nocase(t, reserved[i]))
			continue;
		load_hint(p->load,
		          load_error(p->load, &p->spot, "an upstream cannot be named \"%.*s\"", SHOWN(t)),
		          "the word has a meaning of its own in routes; take another name");
		return false;
	}
	for (size_t i = 0; i < t.len; i++)
		good &= ascii_is_alnum(t.at[i]) || t.at[i] == '-' || t.at[i] == '_' || t.at[i] == '.';
	if (good)
		return value_keep(p, t, place);
	load_expected(p->load,
	              load_error(p->load, &p->spot, "an upstream cannot be named \"%.*s\"", SHOWN(t)),
	              "up to %d letters, digits, - _ .", NAME_MAX_OCTETS);
	return false;
}

const struct type type_upstream_name = { .name = "name",
	                                 .size = sizeof(struct text),
	                                 .expected = "a name",
	                                 .parse = parse_upstream_name,
	                                 .print = print_text,
	                                 .is_text = true };

/* ---------------------------------------------------------------- writing */

void value_print(const struct key *key, const void *place, struct buf *out)
{
	key->type->print(key, place, out);
}

void value_clear(const struct key *key, void *place)
{
	if (key->type->print == print_text)
		*(struct text *)place = TEXT_EMPTY;
	else if (key->type->size == sizeof(struct config_endpoint))
		*(struct config_endpoint *)place = (struct config_endpoint){ TEXT_EMPTY, .host = TEXT_EMPTY };
}

void value_quote(struct text t, bool flow, struct buf *out)
{
	static const char starts[] = "!&*-?|>@`\"'%#{[ ,:]}";
	bool plain = t.len > 0 && !memchr(starts, t.at[0], sizeof(starts) - 1) && t.at[t.len - 1] != ' ' &&
	             t.at[t.len - 1] != ':';

	for (size_t i = 0; i < t.len && plain; i++) {
		char c = t.at[i], next = i + 1 < t.len ? t.at[i + 1] : 0;

		plain = (unsigned char)c >= 0x20 && c != 0x7f &&
		        !(c == ':' && (next == ' ' || (flow && next && memchr(",?[]{}", next, 6)))) &&
		        !(c == ' ' && next == '#') && !(flow && memchr("[]{},", c, 5)) && c != '$';
	}
	if (plain) {
		buf_add(out, t);
		return;
	}
	buf_add_octet(out, '"');
	for (size_t i = 0; i < t.len; i++) {
		if (t.at[i] == '"' || t.at[i] == '\\')
			buf_add_octet(out, '\\');
		/* what would be expanded again is doubled */
		if (t.at[i] == '$' && i + 1 < t.len && t.at[i + 1] == '{')
			buf_add_octet(out, '$');
		buf_add_octet(out, t.at[i]);
	}
	buf_add_octet(out, '"');
}
