/* Values that only listeners have: extensions, SASL mechanisms, names and fingerprints of certificates. */
#include <postrider/base/auto.h>

#include "suggest.h"
#include "value.h"

static void print_word(const struct key *key, const void *place, struct buf *out)
{
	(void)key;
	buf_add(out, *(const struct text *)place);
}

/* One of the words in any case of letters, kept as the table writes it. */
static bool parse_word(struct parsing *p, struct text t, const struct text *words, size_t count,
                       struct text *place)
{
	struct suggestion nearest = suggestion_for(t);

	for (size_t i = 0; i < count; i++) {
		if (text_eq_nocase(t, words[i])) {
			*place = words[i];
			return true;
		}
		suggestion_try(&nearest, words[i]);
	}
	struct config_finding *f = value_refuse(p, t);

	if (nearest.best.len)
		load_hint(p->load, f, "did you mean \"%.*s\"?", TEXT_ARGS(nearest.best));
	return false;
}

static bool parse_keyword(struct parsing *p, struct text t, void *place)
{
	static const struct text keywords[] = {
		LIT("PIPELINING"), LIT("SIZE"),        LIT("8BITMIME"),      LIT("ENHANCEDSTATUSCODES"),
		LIT("STARTTLS"),   LIT("AUTH"),        LIT("CHUNKING"),      LIT("BINARYMIME"),
		LIT("SMTPUTF8"),   LIT("DSN"),         LIT("LIMITS"),        LIT("REQUIRETLS"),
		LIT("DELIVERBY"),  LIT("MT-PRIORITY"), LIT("FUTURERELEASE"), LIT("XCLIENT"),
		LIT("XFORWARD"),
	};

	return parse_word(p, t, keywords, ARRAY_LEN(keywords), place);
}

const struct type type_keyword = { .name = "keyword",
	                           .size = sizeof(struct text),
	                           .expected = "a keyword of EHLO, such as CHUNKING or DSN",
	                           .parse = parse_keyword,
	                           .print = print_word,
	                           .is_text = true,
	                           .json = "\"type\": \"string\", \"minLength\": 1" };

static bool parse_mechanism(struct parsing *p, struct text t, void *place)
{
	static const struct text mechanisms[] = {
		LIT("SCRAM-SHA-256-PLUS"), LIT("SCRAM-SHA-256"), LIT("PLAIN"),  LIT("LOGIN"),
		LIT("EXTERNAL"),           LIT("OAUTHBEARER"),   LIT("XOAUTH2")
	};

	return parse_word(p, t, mechanisms, ARRAY_LEN(mechanisms), place);
}

const struct type type_mechanism = {
	.name = "mechanism",
	.size = sizeof(struct text),
	.expected = "SCRAM-SHA-256-PLUS, SCRAM-SHA-256, PLAIN, LOGIN, EXTERNAL, OAUTHBEARER or XOAUTH2",
	.parse = parse_mechanism,
	.print = print_word,
	.is_text = true,
	.json = "\"type\": \"string\", \"minLength\": 1"
};

/* "mail.example.org", "*.example.net": a wildcard stands for one label, the leftmost. */
static bool parse_server_name(struct parsing *p, struct text t, void *place)
{
	struct text name = text_starts(t, TEXT("*.")) ? text_skip(t, 2) : t;
	char *lower;

	if (!domain_is_valid(name) || name.at[0] == '[') {
		value_refuse(p, t);
		return false;
	}
	lower = load_keep(p->load, t.len);
	if (!lower)
		return false;
	for (size_t i = 0; i < t.len; i++)
		lower[i] = ascii_lower(t.at[i]);
	*(struct text *)place = text_of(lower, t.len);
	return true;
}

const struct type type_server_name = { .name = "host name",
	                               .size = sizeof(struct text),
	                               .expected =
	                                       "a host name such as mail.example.org or \"*.example.net\"",
	                               .parse = parse_server_name,
	                               .print = print_word,
	                               .is_text = true,
	                               .json = "\"type\": \"string\", \"minLength\": 1" };

/* ---------------------------------------------------------------- fingerprints */

static int hex_value(char c)
{
	if (ascii_is_digit(c))
		return c - '0';
	c = ascii_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool value_read_sha256(struct text t, unsigned char *out)
{
	size_t digits = 0;

	if (text_starts_nocase(t, TEXT("sha256:")))
		t = text_skip(t, 7);
	for (size_t i = 0; i < t.len; i++) {
		int value = hex_value(t.at[i]);

		if (t.at[i] == ':' && digits % 2 == 0)
			continue;
		if (value < 0 || digits == 64)
			return false;
		out[digits / 2] = (unsigned char)(digits % 2 ? out[digits / 2] << 4 | value : value);
		digits++;
	}
	return digits == 64;
}

static bool parse_fingerprint(struct load *load, const struct entry *entry, void *place)
{
	struct config_fingerprint *f = place;
	const struct node *value = entry->value;

	if (!value_read_sha256(entry->key, f->sha256)) {
		struct config_finding *finding =
			load_error(load, &entry->key_spot, "\"%.*s\" is not the SHA-256 of a certificate",
		                   SHOWN(entry->key));

		load_expected(load, finding, "64 hexadecimal digits");
		load_hint(load, finding,
		          "openssl x509 -in client.pem -noout -fingerprint -sha256 prints them");
		return false;
	}
	if (value->kind != NODE_SCALAR || value->text.len == 0 || value->text.len > 255 ||
	    !value_is_printable(value->text)) {
		load_expected(load, load_error(load, &value->spot, "a fingerprint needs a user's name"),
		              "%.*s: printer", SHOWN(entry->key));
		return false;
	}
	f->user = load_keep_text(load, value->text);
	return true;
}

static void print_fingerprint(const void *place, struct buf *name, struct buf *value)
{
	const struct config_fingerprint *f = place;

	for (size_t i = 0; i < sizeof(f->sha256); i++)
		buf_add_format(name, "%02x", f->sha256[i]);
	value_quote(f->user, false, value);
}

static int compare_fingerprints(const void *a, const void *b)
{
	return memcmp(((const struct config_fingerprint *)a)->sha256,
	              ((const struct config_fingerprint *)b)->sha256, 32);
}

static bool sort_fingerprints(struct load *load, void *list)
{
	struct any_list *l = list;

	(void)load;
	if (l->count > 1)
		qsort(l->items, l->count, sizeof(struct config_fingerprint), compare_fingerprints);
	return true;
}

const struct pairs pairs_fingerprints = { .size = sizeof(struct config_fingerprint),
	                                  .expected = "{SHA-256 of a certificate: user}",
	                                  .parse = parse_fingerprint,
	                                  .print = print_fingerprint,
	                                  .finish = sort_fingerprints,
	                                  .json = "\"type\": \"string\", \"minLength\": 1" };
