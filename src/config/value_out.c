/* What only the road out has: pins, patterns for replies, conditions on header fields. */
#include <postrider/base/auto.h>

#include "value.h"

static void print_text(const struct key *key, const void *place, struct buf *out)
{
	(void)key;
	buf_add(out, *(const struct text *)place);
}

/* ---------------------------------------------------------------- pins */

static bool parse_pin(struct parsing *p, struct text t, void *place)
{
	unsigned char sha256[32];
	AUTO(buf_fini) struct buf digits = BUF(64);

	if (!value_read_sha256(t, sha256)) {
		struct config_finding *f = value_refuse(p, t);

		load_hint(
			p->load, f,
			"openssl x509 -in server.pem -noout -fingerprint -sha256 prints that of a certificate");
		return false;
	}
	for (size_t i = 0; i < sizeof(sha256); i++)
		buf_add_format(&digits, "%02x", sha256[i]);
	return value_keep(p, buf_text(&digits), place);
}

const struct type type_pin = { .name = "pin",
	                       .size = sizeof(struct text),
	                       .expected = "a SHA-256: 64 hexadecimal digits",
	                       .parse = parse_pin,
	                       .print = print_text,
	                       .is_text = true,
	                       .json = "\"type\": \"string\", \"minLength\": 64" };

/* ---------------------------------------------------------------- patterns for replies */

static bool is_code_part(struct text t)
{
	for (size_t i = 0; i < t.len; i++)
		if (!ascii_is_digit(t.at[i]) && t.at[i] != '.' && !(t.at[i] == '*' && i + 1 == t.len))
			return false;
	return t.len > 0;
}

/* "421", "4*", "550 5.7.*", "* 4.7.1": a code and perhaps an enhanced code, each of them whole or begun. */
static bool parse_reply_pattern(struct parsing *p, struct text t, void *place)
{
	struct text enhanced = t, code = text_cut(&enhanced, ' ');
	size_t digits = value_count_digits(code);
	bool has_enhanced = code.len < t.len, begun = digits < code.len;

	if (is_code_part(code) && digits <= 3 && (begun ? digits + 1 == code.len : digits == 3) &&
	    (!has_enhanced || (is_code_part(enhanced) && enhanced.len <= 12)))
		return value_keep(p, t, place);
	value_refuse(p, t);
	return false;
}

const struct type type_reply_pattern = {
	.name = "reply",
	.size = sizeof(struct text),
	.expected =
		"a reply code, and behind a space an enhanced code: \"421\", \"4*\", \"550 5.7.1\", \"* 4.7.*\"",
	.parse = parse_reply_pattern,
	.print = print_text,
	.is_text = true,
	.json = "\"type\": \"string\", \"minLength\": 1"
};

/* ---------------------------------------------------------------- conditions on header fields */

/* RFC 5322 section 3.6.8: printable US-ASCII without the colon. */
static bool is_field_name(struct text t)
{
	for (size_t i = 0; i < t.len; i++)
		if (t.at[i] <= ' ' || t.at[i] > '~' || t.at[i] == ':')
			return false;
	return t.len > 0 && t.len <= 77;
}

static bool parse_header_match(struct load *load, const struct entry *entry, void *place)
{
	struct config_header_match *match = place;
	const struct node *value = entry->value;

	if (!is_field_name(entry->key)) {
		load_error(load, &entry->key_spot, "\"%.*s\" is not the name of a header field",
		           SHOWN(entry->key));
		return false;
	}
	if (value->kind != NODE_SCALAR || value->text.len == 0 || value->text.len > 500 ||
	    !value_is_printable(value->text)) {
		load_expected(load,
		              load_error(load, &value->spot, "a header field needs a value to look for"),
		              "%.*s: bulk, or %.*s: \"*\"", SHOWN(entry->key), SHOWN(entry->key));
		return false;
	}
	match->name = load_keep_text(load, entry->key);
	match->value = load_keep_text(load, value->text);
	return true;
}

static void print_header_match(const void *place, struct buf *name, struct buf *value)
{
	const struct config_header_match *match = place;

	buf_add(name, match->name);
	value_quote(match->value, false, value);
}

const struct pairs pairs_header_matches = { .size = sizeof(struct config_header_match),
	                                    .expected = "{X-Stream: bulk}",
	                                    .parse = parse_header_match,
	                                    .print = print_header_match,
	                                    .json = "\"type\": \"string\", \"minLength\": 1" };
