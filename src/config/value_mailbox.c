/* Patterns for mail addresses, and the tables by names of the user's: static hosts, rewriting. */
#include <postrider/base/auto.h>

#include "value.h"

/* ---------------------------------------------------------------- patterns */

static bool parse_pattern(struct parsing *p, struct text t, void *place)
{
	enum err err = pattern_parse(&p->load->snapshot->arena, t, place);

	if (!err)
		return true;
	if (err == ERR_NOMEM) {
		p->load->nomem = true;
		return false;
	}
	struct config_finding *f = value_refuse(p, t);

	if (text_starts(t, TEXT("*.")) && domain_is_valid(text_skip(t, 2)))
		load_hint(p->load, f, "did you mean \"%.*s\"?", SHOWN(text_skip(t, 1)));
	else if (text_starts(t, TEXT("*@")) || text_starts(t, TEXT("@")))
		load_hint(p->load, f, "every address of a domain is the domain alone: \"%.*s\"",
		          SHOWN(text_skip(t, text_find_octet(t, '@') + 1)));
	else if (text_eq(t, TEXT("*")) || text_eq_nocase(t, TEXT("all")) || text_eq_nocase(t, TEXT("any")))
		load_hint(p->load, f, "did you mean \"any\"?");
	return false;
}

static void print_pattern(const struct key *key, const void *place, struct buf *out)
{
	(void)key;
	buf_add(out, ((const struct config_pattern *)place)->text);
}

static const struct config_pattern *get_pattern(const void *items, size_t i)
{
	return (const struct config_pattern *)items + i;
}

static bool index_patterns(struct load *load, void *list)
{
	struct config_patterns *patterns = list;

	if (pattern_index_make(&load->snapshot->arena, patterns->items, patterns->count, get_pattern,
	                       &load->snapshot->indexes, &patterns->index))
		load->nomem = true;
	return !load->nomem;
}

const struct type type_pattern = {
	.name = "pattern",
	.size = sizeof(struct config_pattern),
	.expected =
		"ann@example.com, example.com (every address there), .example.com (its subdomains) or any",
	.parse = parse_pattern,
	.print = print_pattern,
	.is_text = true,
	.finish = index_patterns,
	.json = "\"type\": \"string\", \"minLength\": 1"
};

static bool parse_limit_name(struct parsing *p, struct text t, void *place)
{
	if (text_find_octet(t, '@') == t.len && !text_eq(t, TEXT("<>")) &&
	    pattern_parse(&p->load->snapshot->arena, t, place) == ERR_OK)
		return true;
	load_expected(p->load,
	              load_error(p->load, &p->spot, "limits are for domains, not for \"%.*s\"", SHOWN(t)),
	              "gmail.com, .example.com (its subdomains) or any");
	return false;
}

const struct type type_limit_name = { .name = "domain",
	                              .size = sizeof(struct config_pattern),
	                              .expected = "a domain",
	                              .parse = parse_limit_name,
	                              .print = print_pattern,
	                              .is_text = true };

/* ---------------------------------------------------------------- pairs */

static int compare_ips(const struct ip *a, const struct ip *b)
{
	return a->family != b->family ? (int)a->family - (int)b->family : memcmp(a->bytes, b->bytes, 16);
}

static bool parse_host_address(struct load *load, const struct node *node, struct ip *out)
{
	if (node->kind == NODE_SCALAR && ip_parse(node->text, out) == ERR_OK)
		return true;
	load_expected(load, load_error(load, &node->spot, "not an IP address"),
	              "an IP address such as 192.0.2.25 or \"2001:db8::25\"");
	return false;
}

/* mail.internal.example: [127.0.0.7] */
static bool parse_host(struct load *load, const struct entry *entry, void *place)
{
	struct config_host *host = place;
	const struct node *value = entry->value;
	struct text name = entry->key;
	size_t count = value->kind == NODE_LIST ? value->count : 1, done = 0;

	if (name.len > 1 && name.at[name.len - 1] == '.')
		name.len--;
	if (!domain_is_valid(name) || name.at[0] == '[') {
		load_error(load, &entry->key_spot, "\"%.*s\" is not a host name", SHOWN(name));
		return false;
	}
	if (value->kind == NODE_TABLE || count == 0) {
		load_expected(load, load_error(load, &value->spot, "a host name needs addresses"),
		              "%.*s: [192.0.2.25]", SHOWN(name));
		return false;
	}
	struct ip *ips = load_keep(load, count * sizeof(*ips));
	char *lower = load_keep(load, name.len + 1);

	if (!ips || !lower)
		return false;
	for (size_t i = 0; i < name.len; i++)
		lower[i] = ascii_lower(name.at[i]);
	if (value->kind == NODE_SCALAR)
		done += parse_host_address(load, value, &ips[0]);
	for (const struct entry *item = value->first; item; item = item->next) {
		bool again = false;

		if (!parse_host_address(load, item->value, &ips[done]))
			continue;
		for (size_t i = 0; i < done; i++)
			again |= compare_ips(&ips[i], &ips[done]) == 0;
		done += !again;
	}
	host->name = text_of(lower, name.len);
	host->addresses = (struct config_ips){ ips, done };
	return true;
}

static void print_host(const void *place, struct buf *name, struct buf *value)
{
	const struct config_host *host = place;

	buf_add(name, host->name);
	buf_add_octet(value, '[');
	for (size_t i = 0; i < host->addresses.count; i++) {
		AUTO(buf_fini) struct buf b = BUF(100);

		if (i)
			buf_add_string(value, ", ");
		ip_add(&b, host->addresses.items[i]);
		value_quote(buf_text(&b), true, value);
	}
	buf_add_octet(value, ']');
}

const struct pairs pairs_hosts = {
	.size = sizeof(struct config_host),
	.expected = "{mail.internal.example: [127.0.0.7]}",
	.parse = parse_host,
	.print = print_host,
	.json = "\"anyOf\": [{\"type\": \"string\"}, {\"type\": \"array\", \"items\": {\"type\": \"string\"}}]"
};

static bool parse_rewrite_match(struct load *load, const struct entry *entry, struct config_pattern *match)
{
	enum err err;

	if (text_eq_nocase(entry->key, TEXT("postmaster"))) {
		*match = (struct config_pattern){ CONFIG_PATTERN_ADDRESS, TEXT("postmaster"),
			                          TEXT("postmaster"), TEXT_EMPTY };
		return true;
	}
	err = text_eq(entry->key, TEXT("<>")) ? ERR_SYNTAX
	                                      : pattern_parse(&load->snapshot->arena, entry->key, match);
	if (!err)
		return true;
	load->nomem |= err == ERR_NOMEM;
	load_expected(load,
	              load_error(load, &entry->key_spot, "\"%.*s\" is not a pattern for addresses",
	                         SHOWN(entry->key)),
	              "%s, or postmaster", type_pattern.expected);
	return false;
}

/* ann@old.example: ann@new.example; old.example: new.example (the local part stays); postmaster: ops@example.com */
static bool parse_rewrite(struct load *load, const struct entry *entry, void *place)
{
	struct config_rewrite_rule *rule = place;
	const struct node *value = entry->value;

	rule->place = load_place(load, &entry->key_spot);
	rule->address = rule->domain = TEXT_EMPTY;
	if (!parse_rewrite_match(load, entry, &rule->match))
		return false;
	if (value->kind == NODE_LIST) {
		load_error(load, &value->spot,
		           "several destinations for one address are not built yet in this version");
		return false;
	}
	bool is_domain = value->kind == NODE_SCALAR && domain_is_valid(value->text) &&
	                 rule->match.kind != CONFIG_PATTERN_ADDRESS;

	if (is_domain) {
		rule->domain = load_keep_text(load, value->text);
	} else if (value->kind == NODE_SCALAR && mailbox_is_valid(value->text)) {
		rule->address = load_keep_text(load, value->text);
	} else {
		load_expected(
			load, load_error(load, &value->spot, "this is not where mail can be sent"),
			rule->match.kind == CONFIG_PATTERN_ADDRESS
				? "a mail address such as ops@example.com"
				: "a mail address such as ops@example.com, or a domain (the local part stays)");
		return false;
	}
	return true;
}

static void print_rewrite(const void *place, struct buf *name, struct buf *value)
{
	const struct config_rewrite_rule *rule = place;

	buf_add(name, rule->match.text);
	value_quote(rule->address.len ? rule->address : rule->domain, false, value);
}

static const struct config_pattern *get_rewrite_pattern(const void *items, size_t i)
{
	return &((const struct config_rewrite_rule *)items)[i].match;
}

static bool index_rewrites(struct load *load, void *list)
{
	struct config_rewrites *rewrites = list;

	if (pattern_index_make(&load->snapshot->arena, rewrites->items, rewrites->count, get_rewrite_pattern,
	                       &load->snapshot->indexes, &rewrites->index))
		load->nomem = true;
	return !load->nomem;
}

const struct pairs pairs_rewrites = { .size = sizeof(struct config_rewrite_rule),
	                              .expected = "{postmaster: ops@example.com, old.example: new.example}",
	                              .parse = parse_rewrite,
	                              .print = print_rewrite,
	                              .finish = index_rewrites,
	                              .json = "\"type\": \"string\", \"minLength\": 3" };
