/* What only the road out has: pins, patterns for replies, conditions on header fields. */
#include <postrider/base/auto.h>

#include "providers.h"
#include "suggest.h"
#include "value.h"

static void print_text(const struct key *key, const void *place, struct buf *out)
{
	(void)key;
	buf_add(out, *(const struct text *)place);
}

/* ---------------------------------------------------------------- providers */

static bool parse_provider(struct parsing *p, struct text t, void *place)
{
	struct suggestion nearest = suggestion_for(t);

	if (provider_find(t))
		return value_keep(p, t, place);
	struct config_finding *f = value_refuse(p, t);

	for (const struct provider *known = providers(); known->name; known++)
		suggestion_try(&nearest, text_from(known->name));
	if (nearest.best.len)
		load_hint(p->load, f, "did you mean \"%.*s\"?", TEXT_ARGS(nearest.best));
	else
		load_hint(p->load, f, "any other is written with hosts:, username: and password_file:");
	return false;
}

const struct type type_provider = {
	.name = "provider",
	.size = sizeof(struct text),
	.expected = "ses, sendgrid, mailgun, postmark, gmail, workspace, office365, mailjet or brevo",
	.parse = parse_provider,
	.print = print_text,
	.is_text = true,
	.json = "\"enum\": [\"ses\", \"sendgrid\", \"mailgun\", \"postmark\", \"gmail\", \"workspace\", "
		"\"office365\", \"mailjet\", \"brevo\"]"
};

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

/* "421", "4*", "*": whole, or begun. Only failures are asked about. */
static bool is_code(struct text t)
{
	size_t digits = value_count_digits(t);
	bool begun = digits + 1 == t.len && t.at[digits] == '*';

	if (t.len == 0 || (digits > 0 && t.at[0] != '4' && t.at[0] != '5'))
		return false;
	return begun ? digits < 3 : digits == 3 && t.len == 3;
}

/* "5.7.1", "5.7.*", "4.*", "*" (RFC 3463 section 2). */
static bool is_enhanced_code(struct text t)
{
	for (unsigned part = 0; part < 3; part++) {
		size_t digits = value_count_digits(t);
		bool last = part == 2;

		if (digits + 1 == t.len && t.at[digits] == '*')
			return true;
		if (digits < 1 || digits > 3 ||
		    (last ? digits != t.len : digits == t.len || t.at[digits] != '.'))
			return false;
		t = text_skip(t, digits + !last);
	}
	return true;
}

static bool parse_reply_pattern(struct parsing *p, struct text t, void *place)
{
	struct text enhanced = t, code = text_cut(&enhanced, ' ');
	bool has_enhanced = code.len < t.len;

	if (is_code(code) && (!has_enhanced || is_enhanced_code(enhanced)))
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
