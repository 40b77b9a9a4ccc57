/* POSTRIDER_* variables. An empty one counts as not set: compose files write them so. */
#include <postrider/base/auto.h>

#include "document.h"
#include "environment.h"

static const struct text prefix = LIT("POSTRIDER_");

/* Short forms that are more than one key, or not of this version and without a key in the table. */
static const struct variable special[] = {
	{ "UPSTREAM", "upstreams.default",
	  "a URL: smtp://user:password@host:587 (STARTTLS required), smtps://host:465 (TLS from the first octet), "
	  "smtp+plain://host:25 (no TLS)",
	  NULL, true },
	{ "UPSTREAM_HOST", "upstreams.default.hosts",
	  "the host alone; STARTTLS is required, on port 465 TLS from the first octet", NULL, true },
	{ "UPSTREAM_PORT", "upstreams.default.hosts", "its port; default 587", NULL, true },
	{ "REWRITE_FROM", "rewrite.senders", "not built yet", NULL, false },
	{ "DKIM_DOMAINS", "dkim", "not built yet", NULL, false },
	{ "DKIM_SELECTOR", "dkim", "not built yet", NULL, false },
	{ "DKIM_KEY", "dkim", "not built yet", NULL, false },
	{ "DKIM_AUTO", "dkim", "not built yet", NULL, false },
	{ "WEBHOOK", "webhooks", "not built yet", NULL, false },
};

struct visiting {
	variable_visit_fn *visit;
	void *owner;
};

/* "listen[].tls" is the first listener's, "upstreams.NAME.tls" that of the upstream "default". */
static void visit_key(void *owner, const struct key *key, struct text path)
{
	struct visiting *v = owner;
	AUTO(buf_fini) struct buf what = BUF(500);
	size_t list = text_find(path, TEXT("[]")), name = text_find(path, TEXT(".NAME"));
	size_t cut = MIN(list, name);

	if (!key->variable)
		return;
	buf_add(&what, text_head(path, cut));
	if (cut < path.len) {
		buf_add_string(&what, list < name ? "[0]" : ".default");
		buf_add(&what, text_skip(path, cut + (list < name ? 2 : 5)));
	}
	buf_add_octet(&what, '\0');
	if (buf_err(&what))
		return;
	v->visit(v->owner, &(struct variable){ key->variable, what.at, key->doc, key, key->since != NULL });
}

void variables_visit(variable_visit_fn *visit, void *owner)
{
	struct visiting v = { visit, owner };

	for (size_t i = 0; i < ARRAY_LEN(special); i++)
		visit(owner, &special[i]);
	schema_visit(&schema, visit_key, &v);
}

/* ---------------------------------------------------------------- one variable */

static bool starts_setting(struct load *load, struct node *root, struct text variable, struct setting *out)
{
	size_t equals = text_find_octet(variable, '=');
	struct text name = text_head(variable, equals), value = text_skip(variable, equals + 1);

	if (!text_starts(name, prefix) || value.len == 0)
		return false;
	*out = (struct setting){
		.load = load, .root = root, .name = text_skip(name, prefix.len), .value = value
	};
	/* injected by orchestrators for a service that is called postrider */
	if (text_starts(out->name, TEXT("PORT")) || text_starts(out->name, TEXT("SERVICE_")))
		return false;
	out->source = load_source_new(load, SOURCE_VARIABLE, name, variable);
	out->name_spot = (struct spot){ out->source, 1, 1, (unsigned)name.len };
	out->value_spot = (struct spot){ out->source, 1, (unsigned)name.len + 2, (unsigned)value.len };
	return out->source != NULL;
}

void setting_put(struct setting *s, struct text way, struct text value)
{
	struct steps steps = { .count = 0 };
	struct spot spot = s->value_spot;
	struct text rest = way;

	while (rest.len > 0 && steps.count + 2 <= STEPS_MAX) {
		struct text step = text_cut(&rest, '.');
		size_t bracket = text_find_octet(step, '[');

		steps.at[steps.count++] = text_head(step, bracket);
		if (bracket < step.len)
			steps.at[steps.count++] = text_of(step.at + bracket + 1, step.len - bracket - 2);
	}
	if (value.at >= s->value.at && value.at < s->value.at + s->value.len) {
		spot.column += (unsigned)(value.at - s->value.at);
		spot.length = (unsigned)MAX(value.len, 1);
	}
	overlay_set(s->load, s->root, &steps, s->name_spot, value, spot);
}

/* POSTRIDER__TABLE__KEY */
static void set_long(struct setting *s)
{
	struct steps steps = { .loose = true };
	struct text rest = text_skip(s->name, 1);

	while (rest.len > 0 && steps.count < STEPS_MAX) {
		size_t end = text_find(rest, TEXT("__"));
		struct text step = text_head(rest, end);
		char *lower = load_scratch(s->load, step.len + 1);

		if (!lower)
			return;
		for (size_t i = 0; i < step.len; i++)
			lower[i] = ascii_lower(step.at[i]);
		steps.at[steps.count++] = text_of(lower, step.len);
		rest = text_skip(rest, end + 2);
	}
	if (steps.count == 0)
		load_expected(s->load, load_error(s->load, &s->name_spot, "this sets nothing"),
		              "POSTRIDER__SPOOL__PATH=...");
	else
		overlay_set(s->load, s->root, &steps, s->name_spot, s->value, s->value_spot);
}

struct text setting_keep(struct load *load, struct buf *b)
{
	struct text kept = TEXT_EMPTY;

	if (buf_err(b) || arena_text(&load->scratch, buf_text(b), &kept))
		load->nomem = true;
	return kept;
}

bool environment_find(const struct load *load, struct text name, struct text *value)
{
	for (const char *const *at = load->sources->environment; at && *at; at++) {
		struct text variable = text_from(*at);

		if (text_find_octet(variable, '=') != name.len || !text_starts(variable, name) ||
		    name.len + 1 >= variable.len)
			continue;
		*value = text_skip(variable, name.len + 1);
		return true;
	}
	return false;
}

/* ---------------------------------------------------------------- all of them */

/* A short form for the first of several listeners would surprise somebody. */
static bool is_ambiguous(struct setting *s, const struct variable *v)
{
	struct text what = text_from(v->what);
	const struct entry *listen = node_find(s->root, TEXT("listen"));

	if (!text_starts(what, TEXT("listen[0].")) || !listen || listen->value->kind != NODE_LIST ||
	    listen->value->count < 2)
		return false;
	AUTO(buf_fini) struct buf key = BUF(100);

	for (const char *c = v->key->name; *c; c++)
		buf_add_octet(&key, *c >= 'a' && *c <= 'z' ? (char)(*c - 'a' + 'A') : *c);
	load_hint(s->load,
	          load_error(s->load, &s->name_spot, "POSTRIDER_%s is for one listener, and there are %zu",
	                     v->name, listen->value->count),
	          "say which: POSTRIDER__LISTEN__0__%.*s", TEXT_ARGS(buf_text(&key)));
	return true;
}

static void try_variable(void *owner, const struct variable *v)
{
	struct setting *s = owner;
	struct text name = text_from(v->name), bare = s->name;

	if (text_ends(bare, TEXT("_FILE")) && !v->built && !text_eq(bare, name))
		bare.len -= 5; /* the twin of a secret */
	suggestion_try(&s->nearest, name);
	if (s->found || !text_eq(name, bare))
		return;
	s->found = true;
	if (!v->built)
		load_hint(s->load,
		          load_error(s->load, &s->name_spot,
		                     "POSTRIDER_%.*s is not built yet in this version", SHOWN(s->name)),
		          "remove it; `postrider config --env` lists what works");
	else if (!is_ambiguous(s, v))
		setting_put(s, text_from(v->what), s->value);
}

static bool is_quoted(struct setting *s)
{
	char first = s->value.at[0], last = s->value.at[s->value.len - 1];

	if (s->value.len < 2 || first != last || (first != '"' && first != '\''))
		return false;
	load_hint(s->load,
	          load_error(s->load, &s->value_spot, "the value stands in quotes, and they are part of it"),
	          "remove them: files of variables (--env-file) take quotes literally");
	return true;
}

static void set_variable(struct setting *s)
{
	s->nearest = suggestion_for(s->name);
	if (is_quoted(s))
		return;
	if (s->name.len && s->name.at[0] == '_') {
		set_long(s);
		return;
	}
	if (environment_set_upstream(s))
		return;
	variables_visit(try_variable, s);
	if (s->found)
		return;
	struct config_finding *f =
		load_error(s->load, &s->name_spot, "unknown variable POSTRIDER_%.*s", SHOWN(s->name));

	if (s->nearest.best.len)
		load_hint(s->load, f, "did you mean POSTRIDER_%.*s?", TEXT_ARGS(s->nearest.best));
	else
		load_hint(s->load, f,
		          "`postrider config --env` lists them; any key is POSTRIDER__TABLE__KEY");
}

/* The URL first: POSTRIDER_TLS and the like change what it sets. Long forms last: they are more exact. */
static unsigned rank(const struct setting *s)
{
	if (text_starts(s->name, TEXT("UPSTREAM")))
		return 0;
	return s->name.len && s->name.at[0] == '_' ? 2 : 1;
}

void overlay_environment(struct load *load, struct node *root)
{
	for (unsigned turn = 0; turn < 3; turn++) {
		for (const char *const *at = load->sources->environment; at && *at && !load->nomem; at++) {
			struct setting s;

			if (text_starts(text_from(*at), prefix) &&
			    starts_setting(load, root, text_from(*at), &s) && rank(&s) == turn)
				set_variable(&s);
		}
	}
	if (!load->nomem)
		environment_take_foreign(load, root);
}
