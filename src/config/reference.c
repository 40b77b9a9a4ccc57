/* docs/configuration.md and the list of variables, from the table. */
#include <postrider/base/auto.h>

#include "overlay.h"

static void add_cell(struct buf *out, struct text t)
{
	for (size_t i = 0; i < t.len; i++) {
		if (t.at[i] == '|')
			buf_add_octet(out, '\\');
		buf_add_octet(out, t.at[i]);
	}
}

static void add_code(struct buf *out, struct text t)
{
	if (t.len == 0)
		return;
	buf_add_octet(out, '`');
	add_cell(out, t);
	buf_add_octet(out, '`');
}

static void add_range(struct buf *out, const struct key *key)
{
	buf_add_string(out, ", ");
	key->type->print(key, &key->min, out);
	if (key->flags & KEY_NEVER) {
		buf_add_string(out, " or more, or `never`");
		return;
	}
	buf_add_string(out, " to ");
	key->type->print(key, &key->max, out);
}

static void add_type(struct buf *out, const struct key *key)
{
	size_t said = 0;

	if (key->shape == PAIRS || key->shape == TABLES) {
		buf_add_string(out, key->shape == PAIRS ? "table" : "list of tables");
		return;
	}
	if (key->shape == LIST)
		buf_add_string(out, "list of: ");
	for (const struct choice *c = key->choices; c && c->name; c++) {
		if (c->not_built)
			continue;
		buf_add_string(out, said++ ? ", " : "");
		add_code(out, text_from(c->name));
	}
	if (said)
		return;
	buf_add_string(out, key->type->name);
	if (key->max)
		add_range(out, key);
}

static void add_standard(struct buf *out, const struct key *key)
{
	if (key->standard_doc) {
		add_cell(out, text_from(key->standard_doc));
	} else if (!key->standard) {
		buf_add_string(out, key->flags & KEY_NEEDED ? "*must be set*" : "-");
	} else if (key->shape == LIST) {
		struct text rest = text_from(key->standard);

		buf_add_string(out, "`[");
		for (bool first = true; rest.len > 0; first = false) {
			buf_add_string(out, first ? "" : ", ");
			value_quote(text_trim(text_cut(&rest, ',')), true, out);
		}
		buf_add_string(out, "]`");
	} else {
		add_code(out, text_from(key->standard));
	}
}

static void add_row(void *owner, const struct key *key, struct text path)
{
	struct buf *out = owner;

	if (!key->since || key->shape == TABLE)
		return;
	buf_add_string(out, "| ");
	add_code(out, path);
	buf_add_string(out, " | ");
	add_type(out, key);
	buf_add_string(out, " | ");
	add_standard(out, key);
	buf_add_string(out, " | ");
	add_cell(out, text_from(key->doc));
	if (key->example) {
		buf_add_string(out, ". Example: ");
		add_code(out, text_from(key->example));
	}
	buf_add_string(out, " |\n");
}

static void add_rows_head(struct buf *out)
{
	buf_add_string(out, "\n| key | value | default | meaning |\n|---|---|---|---|\n");
}

static void add_tables(struct buf *out)
{
	buf_add_string(out, "\n## The top\n");
	add_rows_head(out);
	for (const struct key *key = schema.keys; key->name; key++)
		if (key->shape == SCALAR || key->shape == LIST)
			add_row(out, key, text_from(key->name));
	for (const struct key *key = schema.keys; key->name; key++) {
		if (!key->since || !key->table)
			continue;
		buf_add_format(out, "\n## %s\n\n%s", key->name, key->table->doc);
		if (key->standard_doc)
			buf_add_format(out, " Default: %s.", key->standard_doc);
		buf_add_octet(out, '\n');
		add_rows_head(out);
		schema_visit(key->table, add_row, out);
	}
}

/* ---------------------------------------------------------------- what is to come */

struct later {
	struct buf *out;
	size_t said;
};

static void add_later(void *owner, const struct key *key, struct text path)
{
	struct later *later = owner;

	if (!key->since) {
		buf_add_string(later->out, later->said++ ? ", " : "");
		add_code(later->out, path);
	}
	for (const struct choice *c = key->choices; key->since && c && c->name; c++) {
		if (!c->not_built)
			continue;
		buf_add_string(later->out, later->said++ ? ", " : "");
		buf_add_format(later->out, "`%.*s: %s`", TEXT_ARGS(path), c->name);
	}
}

/* ---------------------------------------------------------------- variables */

static void add_variable_row(void *owner, const struct variable *v)
{
	if (v->built)
		buf_add_format(owner, "| `POSTRIDER_%s` | `%s` | %s |\n", v->name, v->what, v->doc);
}

static void add_variable_line(void *owner, const struct variable *v)
{
	if (v->built)
		buf_add_format(owner, "POSTRIDER_%-25s %-40s %s\n", v->name, v->what, v->doc);
}

static void add_foreign_line(void *owner, const char *name, const char *ours)
{
	buf_add_format(owner, "%-35s %-40s %s\n", name, ours,
	               "of another image: taken where nothing else says the same");
}

static void add_foreign_row(void *owner, const char *name, const char *ours)
{
	buf_add_format(owner, "| `%s` | `%s` |\n", name, ours);
}

void config_write_environment(struct buf *out)
{
	variables_visit(add_variable_line, out);
	buf_add_format(
		out, "POSTRIDER_%-25s %-40s %s\n", "_TABLE__KEY", "table.key",
		"any other key; POSTRIDER__LISTEN__0__TLS, POSTRIDER__UPSTREAMS__NAME__HOSTS; lists with commas");
	foreign_visit(add_foreign_line, out);
}

/* ---------------------------------------------------------------- the page */

static const char opening[] =
	"<!-- Made from the table in src/config/schema.c; a test compares the two. -->\n"
	"# Configuration\n"
	"\n"
	"postrider reads one YAML file, `/etc/postrider/postrider.yaml` or what `-c FILE` names, and runs without one. Each setting has a\n"
	"name and a meaning of its own; what is not known, not built yet, or makes no sense refuses the start with the place and the next\n"
	"step. Mail comes in by `listen`, `routes` say which way it goes, `upstreams` how.\n"
	"\n"
	"```yaml\n"
	"listen:\n"
	"  - name: apps\n"
	"    address: 127.0.0.1:2525\n"
	"    allow: [127.0.0.0/8, \"::1\"]\n"
	"\n"
	"upstreams:\n"
	"  office:\n"
	"    hosts: [smtp.corp.example:587]\n"
	"\n"
	"routes:\n"
	"  - {to: [bank.example, .bank.example], via: direct, tls: require}\n"
	"  - {to: any, via: office}\n"
	"```\n"
	"\n"
	"`postrider check` says whether a file is good, `postrider config --origin` prints every value that counts and where it comes\n"
	"from, `postrider config --schema` a JSON schema for editors. A setting may come from four places; the stronger wins:\n"
	"`--set key=value`, the environment, files, defaults.\n"
	"\n"
	"## Values\n"
	"\n"
	"- The type of a value is known from its key; YAML guesses nothing. `no` is a text where a text is due; true or false may be\n"
	"  written `yes`, `no`, `on`, `off` too.\n"
	"- Durations have a unit: `200ms`, `30s`, `5m`, `4h`, `5d`. Sizes too: `512B`, `64KiB`, `25MB`, `2GB` (KB is 1000, KiB 1024).\n"
	"  Shares are `5%`. A number alone is refused where a unit is due.\n"
	"- Where a list is due, one value stands for a list of it: `to: any`.\n"
	"- An IPv6 address needs quotes in YAML: `\"::1\"`, `\"[::1]:25\"`.\n"
	"- Patterns for mail addresses: `ann@example.com`, `example.com` (every address there), `.example.com` (those in its subdomains),\n"
	"  `any`, and `<>` for the null reverse-path of bounces. Letters compare without case.\n"
	"- Networks: `192.0.2.1`, `10.0.0.0/8`, `\"fc00::/7\"`. A network of IPv6 never holds an IPv4 client.\n"
	"- `tls` means the same everywhere: `none`; `opportunistic`: STARTTLS if the other side has it; `require`: STARTTLS or no mail.\n"
	"  Towards an upstream `require` also checks the certificate.\n"
	"- `${env:NAME}` and `${file:PATH}` are put in inside any value (`$${` is `${` itself); a missing one is an error. One line end at\n"
	"  the end of a file is left out.\n"
	"- `include: [conf.d/*.yaml]` reads more files, relative to the main one, at the place where it stands. Tables join, lists of tables\n"
	"  append; the same value in two files is an error.\n"
	"- YAML anchors work. Tabs, tags, keys written twice and second documents are errors.\n";

static const char on_postmaster[] =
	"\n## postmaster\n"
	"\n"
	"`RCPT TO:<postmaster>` (RFC 5321, section 4.5.1) is always taken from those who may send. `rewrite.recipients` gives it a\n"
	"destination, and then everyone may write to it: `{postmaster: ops@example.com}`. Without one it is `postmaster@` and `hostname`,\n"
	"and goes the way that the routes say; strangers are refused. `postmaster` and `postmaster@` with our host name are one address.\n";

static const char on_open_relays[] =
	"\n## Open relays\n"
	"\n"
	"A listener that anyone can reach must not let anyone send to anyone. These refuse the start, unless the listener is a Unix socket or\n"
	"a loopback address, or `access.recipients` is not `any`: a network in `allow` that is neither private nor as narrow as /16 (IPv4)\n"
	"or /32 (IPv6), and `any` in `accept_for`. Through `accept_for` strangers never reach a local part with another address inside\n"
	"(`ann%elsewhere.example@example.com`).\n";

static const char on_variables[] =
	"\n## Environment\n"
	"\n"
	"Any key is a variable: `POSTRIDER__TABLE__KEY`, with two underscores between names: `POSTRIDER__SPOOL__MAX_SIZE=2GB`,\n"
	"`POSTRIDER__LISTEN__0__TLS=none` (the first listener, or one by its name), `POSTRIDER__UPSTREAMS__OFFICE__HOSTS=a:25,b:25`. Lists have\n"
	"commas; what begins with `[` or `{` is read as YAML. An empty variable counts as not set, quotes around a value are an error, and\n"
	"so is an unknown `POSTRIDER_*`, except `POSTRIDER_PORT*` and `POSTRIDER_SERVICE_*`, which orchestrators set.\n"
	"\n"
	"With nothing but `POSTRIDER_UPSTREAM` it runs: mail from this machine to port 2525 goes there.\n"
	"\n"
	"| variable | sets | meaning |\n|---|---|---|\n";

static const char on_foreign_names[] =
	"\nNames of images that people come from are taken too, where no variable of ours and no file says the same; each is said once.\n"
	"\n"
	"| variable | taken as |\n|---|---|\n";

static const char on_arguments[] =
	"\nOn the command line: `--set spool.max_size=2GB`, `--set listen[0].tls=none`, `--set listen.apps.tls=none`,\n"
	"`--set limits.gmail.com.connections=5`.\n";

void config_write_reference(struct buf *out)
{
	struct later later = { out, 0 };

	buf_add_string(out, opening);
	add_tables(out);
	buf_add_string(out, on_postmaster);
	buf_add_string(out, on_open_relays);
	buf_add_string(out, on_variables);
	variables_visit(add_variable_row, out);
	buf_add_string(out, on_foreign_names);
	foreign_visit(add_foreign_row, out);
	buf_add_string(out, on_arguments);
	buf_add_string(
		out,
		"\n## Not built yet\n\nThese are known and refused, so that none is ever taken silently: ");
	schema_visit(&schema, add_later, &later);
	buf_add_string(out, ".\n");
}
