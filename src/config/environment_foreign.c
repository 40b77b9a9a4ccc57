/* The variables of images that people come from. They are taken where nothing of ours and no file says the same, and each is
 * said once: whoever has SMTP_SERVER in the environment for another reason must see that we use it. */
#include <postrider/base/auto.h>

#include "document.h"
#include "environment.h"

static bool begin(struct load *load, struct node *root, const char *name, struct setting *s)
{
	struct text value;
	AUTO(buf_fini) struct buf whole = BUF(70000);

	if (!environment_find(load, text_from(name), &value))
		return false;
	*s = (struct setting){ .load = load, .root = root, .name = text_from(name), .value = value };
	buf_add_format(&whole, "%s=", name);
	buf_add(&whole, value);
	s->source = load_source_new(load, SOURCE_VARIABLE, s->name, setting_keep(load, &whole));
	s->name_spot = (struct spot){ s->source, 1, 1, (unsigned)s->name.len };
	s->value_spot = (struct spot){ s->source, 1, (unsigned)s->name.len + 2, (unsigned)value.len };
	return s->source != NULL;
}

static void take(struct setting *s, const char *ours, const char *way, struct text value)
{
	setting_put(s, text_from(way), value);
	load_hint(s->load, load_warn(s->load, &s->name_spot, "%.*s is taken as %s", TEXT_ARGS(s->name), ours),
	          "set %s instead", ours);
}

static void pass(struct setting *s, const struct spot *why)
{
	struct config_finding *f = load_warn(s->load, &s->name_spot, "%.*s is not taken", TEXT_ARGS(s->name));

	load_detail(s->load, f, "another setting says the same");
	load_see(s->load, f, why);
}

/* ---------------------------------------------------------------- the upstream */

/* By families: a host of one image and a password of another do not belong together. */
static const struct family {
	const char *host, *port, *username, *password, *password_file;
	const char *standard_port;
} families[] = {
	{ "RELAYHOST", NULL, "RELAYHOST_USERNAME", "RELAYHOST_PASSWORD", "RELAYHOST_PASSWORD_FILE", "25" },
	{ "SMTP_SERVER", "SMTP_PORT", "SMTP_USERNAME", "SMTP_PASSWORD", "SMTP_PASSWORD_FILE", "587" },
	{ "SMARTHOST_ADDRESS", "SMARTHOST_PORT", "SMARTHOST_USER", "SMARTHOST_PASSWORD",
	  "SMARTHOST_PASSWORD_FILE", "25" },
};

/* What already says where mail goes; NULL: nothing. */
static const struct spot *find_destination(const struct node *root)
{
	const struct entry *routes = node_find(root, TEXT("routes")),
			   *upstreams = node_find(root, TEXT("upstreams"));

	if (routes)
		return &routes->key_spot;
	if (!upstreams || upstreams->value->kind != NODE_TABLE)
		return upstreams ? &upstreams->key_spot : NULL;
	for (const struct entry *entry = upstreams->value->first; entry; entry = entry->next) {
		if (entry->value->kind != NODE_TABLE)
			return &entry->key_spot;
		const struct entry *host = node_find(entry->value, TEXT("hosts"));

		if (!host)
			host = node_find(entry->value, TEXT("provider"));
		if (host || !text_eq(entry->key, TEXT("default")))
			return host ? &host->key_spot : &entry->key_spot;
	}
	return NULL;
}

static const struct entry *find_in_default(const struct node *root, const char *key)
{
	const struct entry *upstreams = node_find(root, TEXT("upstreams"));
	const struct entry *ours = upstreams && upstreams->value->kind == NODE_TABLE
	                                   ? node_find(upstreams->value, TEXT("default"))
	                                   : NULL;

	return ours && ours->value->kind == NODE_TABLE ? node_find(ours->value, text_from(key)) : NULL;
}

/* "host", "host:port", "[host]:port" as Postfix writes what has no MX, "[2001:db8::1]:25". */
static void split_host(struct text t, struct text *host, struct text *port)
{
	if (text_starts_nocase(t, TEXT("smtp:")))
		t = text_skip(t, 5);
	if (t.len && t.at[0] == '[') {
		size_t end = text_find_octet(t, ']');
		struct text inner = text_of(t.at + 1, MIN(end, t.len) - 1);

		*host = text_find_octet(inner, ':') < inner.len ? text_head(t, end + 1) : inner;
		t = text_skip(t, end + 1);
		if (t.len > 1 && t.at[0] == ':')
			*port = text_skip(t, 1);
		return;
	}
	*host = t;
	if (text_find_octet(t, ':') == text_find_last_octet(t, ':') && text_find_octet(t, ':') < t.len) {
		*port = t;
		*host = text_cut(port, ':');
	}
}

/* Those images take TLS where it is offered. For a login that is not enough, and port 587 promises more. */
static struct text tls_of(struct text port, bool has_login)
{
	if (text_eq(port, TEXT("465")))
		return TEXT("implicit");
	return text_eq(port, TEXT("25")) && !has_login ? TEXT("opportunistic") : TEXT("require");
}

static void take_host(struct setting *s, const struct family *family)
{
	struct text host = TEXT_EMPTY, port = text_from(family->standard_port), ignored;
	AUTO(buf_fini) struct buf endpoint = BUF(1000);
	struct setting other;

	split_host(s->value, &host, &port);
	if (family->port && begin(s->load, s->root, family->port, &other)) {
		port = other.value;
		load_hint(s->load,
		          load_warn(s->load, &other.name_spot, "%s is taken as POSTRIDER_UPSTREAM_PORT",
		                    family->port),
		          "set POSTRIDER_UPSTREAM_PORT instead");
	}
	buf_add_format(&endpoint, "%.*s:%.*s", TEXT_ARGS(host), TEXT_ARGS(port));
	take(s, "POSTRIDER_UPSTREAM_HOST", "upstreams.default.hosts", setting_keep(s->load, &endpoint));
	if (!find_in_default(s->root, "tls"))
		setting_put(s, TEXT("upstreams.default.tls"),
		            tls_of(port, environment_find(s->load, text_from(family->username), &ignored) ||
		                                 find_in_default(s->root, "username")));
}

static void take_family(struct load *load, struct node *root, const struct family *family)
{
	const struct {
		const char *name, *ours, *way, *key;
	} rest[] = { { family->username, "POSTRIDER_USERNAME", "upstreams.default.username", "username" },
		     { family->password, "POSTRIDER_PASSWORD", "upstreams.default.password", "password" },
		     { family->password_file, "POSTRIDER_PASSWORD_FILE", "upstreams.default.password_file",
		       "password_file" } };
	const struct spot *destination = find_destination(root);
	struct setting s;

	if (!begin(load, root, family->host, &s))
		return;
	if (destination) {
		pass(&s, destination);
		return;
	}
	take_host(&s, family);
	for (size_t i = 0; i < ARRAY_LEN(rest); i++) {
		const struct entry *had = find_in_default(root, rest[i].key);

		if (!begin(load, root, rest[i].name, &s))
			continue;
		if (had)
			pass(&s, &had->key_spot);
		else
			take(&s, rest[i].ours, rest[i].way, s.value);
	}
}

/* ---------------------------------------------------------------- the rest */

/* Lists with commas or spaces; IPv6 in brackets, as Postfix writes it. */
static struct text as_list(struct load *load, struct text t)
{
	AUTO(buf_fini) struct buf b = BUF(70000);

	for (size_t i = 0; i < t.len; i++)
		if (t.at[i] != '[' && t.at[i] != ']')
			buf_add_octet(&b,
			              t.at[i] == ' ' || t.at[i] == '\t' || t.at[i] == '\n' || t.at[i] == ';'
			                      ? ','
			                      : t.at[i]);
	return setting_keep(load, &b);
}

static struct text as_octets(struct load *load, struct text t)
{
	AUTO(buf_fini) struct buf b = BUF(1000);

	buf_add_format(&b, "%.*sB", TEXT_ARGS(t));
	return setting_keep(load, &b);
}

static const struct foreign {
	const char *name, *ours, *table, *key, *way;
	struct text (*convert)(struct load *load, struct text t); /* NULL: as it is */
} foreigners[] = {
	{ "SERVER_HOSTNAME", "POSTRIDER_HOSTNAME", NULL, "hostname", "hostname", NULL },
	{ "MAILNAME", "POSTRIDER_HOSTNAME", NULL, "hostname", "hostname", NULL },
	{ "POSTFIX_myhostname", "POSTRIDER_HOSTNAME", NULL, "hostname", "hostname", NULL },
	{ "ALLOWED_SENDER_DOMAINS", "POSTRIDER_SENDERS", "access", "senders", "access.senders", as_list },
	{ "POSTFIX_mynetworks", "POSTRIDER_ALLOW", NULL, "listen", "listen[0].allow", as_list },
	{ "POSTFIX_message_size_limit", "POSTRIDER_MAX_MESSAGE_SIZE", "access", "max_message_size",
	  "access.max_message_size", as_octets },
};

/* What says the same already. Of listeners only a list in a file does, or the first one's `allow`. */
static const struct entry *find_same(const struct node *root, const struct foreign *f)
{
	const struct entry *in = f->table ? node_find(root, text_from(f->table)) : NULL;
	const struct entry *found;

	if (f->table)
		return in && in->value->kind == NODE_TABLE ? node_find(in->value, text_from(f->key)) : in;
	found = node_find(root, text_from(f->key));
	if (!found || !text_eq(found->key, TEXT("listen")) || found->value->kind != NODE_LIST ||
	    !found->value->first || found->key_spot.source->kind == SOURCE_FILE ||
	    found->value->first->value->kind != NODE_TABLE)
		return found;
	return node_find(found->value->first->value, TEXT("allow"));
}

void foreign_visit(foreign_visit_fn *visit, void *owner)
{
	for (size_t i = 0; i < ARRAY_LEN(families); i++) {
		visit(owner, families[i].host, "POSTRIDER_UPSTREAM_HOST");
		if (families[i].port)
			visit(owner, families[i].port, "POSTRIDER_UPSTREAM_PORT");
		visit(owner, families[i].username, "POSTRIDER_USERNAME");
		visit(owner, families[i].password, "POSTRIDER_PASSWORD");
		visit(owner, families[i].password_file, "POSTRIDER_PASSWORD_FILE");
	}
	for (size_t i = 0; i < ARRAY_LEN(foreigners); i++)
		visit(owner, foreigners[i].name, foreigners[i].ours);
}

void environment_take_foreign(struct load *load, struct node *root)
{
	struct setting s;

	for (size_t i = 0; i < ARRAY_LEN(families); i++)
		take_family(load, root, &families[i]);
	for (size_t i = 0; i < ARRAY_LEN(foreigners) && !load->nomem; i++) {
		const struct foreign *f = &foreigners[i];

		if (!begin(load, root, f->name, &s))
			continue;
		const struct entry *had = find_same(root, f);

		if (had)
			pass(&s, &had->key_spot);
		else
			take(&s, f->ours, f->way, f->convert ? f->convert(load, s.value) : s.value);
	}
}
