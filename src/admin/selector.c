#include <postrider/admin/selector.h>

#include <postrider/base/auto.h>
#include <postrider/base/time.h>
#include <postrider/config/pattern.h>

struct selector_value {
	struct selector_value *next;
	struct text text;
	struct config_pattern pattern; /* of addresses and domains */
	struct id first, last;         /* of ids */
};

void selector_init(struct selector *s)
{
	*s = (struct selector){ .older_ms = -1, .is_empty = true };
	arena_init(&s->arena, SELECTOR_BUDGET);
}

void selector_fini(struct selector *s)
{
	arena_fini(&s->arena);
}

/* ---------------------------------------------------------------- values */

enum err selector_parse_duration(struct text t, int64_t *ms)
{
	static const struct {
		struct text name;
		int64_t ms;
	} units[] = {
		{ LIT("ms"), 1 },      { LIT("s"), SECOND_MS }, { LIT("m"), MINUTE_MS },
		{ LIT("h"), HOUR_MS }, { LIT("d"), DAY_MS },
	};
	size_t digits = 0;
	uint64_t number;

	while (digits < t.len && ascii_is_digit(t.at[digits]))
		digits++;
	if (text_to_u64(text_head(t, digits), INT64_MAX / DAY_MS, &number))
		return ERR_SYNTAX;
	for (size_t i = 0; i < ARRAY_LEN(units); i++)
		if (text_eq(text_skip(t, digits), units[i].name)) {
			*ms = (int64_t)number * units[i].ms;
			return ERR_OK;
		}
	return ERR_SYNTAX;
}

static enum err new_value(struct selector *s, struct text text, struct selector_value **out)
{
	struct selector_value *v = arena_alloc(&s->arena, sizeof(*v));

	if (!v || arena_text(&s->arena, text, &v->text))
		return ERR_NOMEM;
	*out = v;
	return ERR_OK;
}

static void append(struct selector_value **list, struct selector_value *v)
{
	while (*list)
		list = &(*list)->next;
	*list = v;
}

static void lower(struct text t)
{
	for (size_t i = 0; i < t.len; i++)
		((char *)(uintptr_t)t.at)[i] = ascii_lower(t.at[i]); /* our own copy */
}

/* What a pattern means is for config to say; here only its form is found out. */
static enum err add_pattern(struct selector *s, struct selector_value **list, struct text text,
                            bool domain_only)
{
	struct selector_value *v;

	if (text.len == 0 || (domain_only && text_find_octet(text, '@') < text.len))
		return ERR_SYNTAX;
	if (new_value(s, text, &v))
		return ERR_NOMEM;
	struct config_mailbox mailbox = config_mailbox_of(v->text);

	v->pattern.text = v->text;
	if (text_eq(v->text, TEXT("any"))) {
		v->pattern.kind = CONFIG_PATTERN_ANY;
	} else if (text_eq(v->text, TEXT("<>"))) {
		v->pattern.kind = CONFIG_PATTERN_NULL;
	} else if (mailbox.domain.len > 0) {
		v->pattern.kind = CONFIG_PATTERN_ADDRESS;
		v->pattern.local = mailbox.local;
		v->pattern.domain = mailbox.domain;
	} else if (v->text.at[0] == '.') {
		v->pattern.kind = CONFIG_PATTERN_SUBDOMAINS;
		v->pattern.domain = text_skip(v->text, 1);
	} else {
		v->pattern.kind = CONFIG_PATTERN_DOMAIN;
		v->pattern.domain = v->text;
	}
	lower(v->pattern.domain);
	append(list, v);
	return ERR_OK;
}

static enum err add_to(struct selector *s, struct text value)
{
	return add_pattern(s, &s->to, value, false);
}

static enum err add_from(struct selector *s, struct text value)
{
	return add_pattern(s, &s->from, value, false);
}

static enum err add_domain(struct selector *s, struct text value)
{
	return add_pattern(s, &s->domains, value, true);
}

static enum err add_id(struct selector *s, struct text value)
{
	struct selector_value *v;
	struct id first, last;

	if (id_prefix_range(value, &first, &last))
		return ERR_SYNTAX;
	if (new_value(s, value, &v))
		return ERR_NOMEM;
	v->first = first;
	v->last = last;
	append(&s->ids, v);
	s->id_count++;
	return ERR_OK;
}

static enum err add_route(struct selector *s, struct text value)
{
	struct selector_value *v;

	if (value.len == 0)
		return ERR_SYNTAX;
	if (new_value(s, value, &v))
		return ERR_NOMEM;
	append(&s->routes, v);
	return ERR_OK;
}

static enum err add_reason(struct selector *s, struct text value)
{
	enum reason reason;

	if (reason_from_text(value, &reason))
		return ERR_SYNTAX;
	s->reasons |= BIT(reason);
	return ERR_OK;
}

static enum err add_older(struct selector *s, struct text value)
{
	int64_t ms;

	if (selector_parse_duration(value, &ms))
		return ERR_SYNTAX;
	s->older_ms = MAX(s->older_ms, ms);
	return ERR_OK;
}

static enum err add_state(struct selector *s, struct text value)
{
	if (text_eq(value, TEXT("waiting")))
		s->states |= BIT(QUEUE_WAITING);
	else if (text_eq(value, TEXT("active")))
		s->states |= BIT(QUEUE_CLAIMED);
	else if (text_eq(value, TEXT("held")))
		s->states |= BIT(QUEUE_HELD);
	else
		return ERR_SYNTAX;
	return ERR_OK;
}

static enum err add_all(struct selector *s, struct text value)
{
	if (value.len > 0 && !text_eq(value, TEXT("1")) && !text_eq(value, TEXT("true")))
		return ERR_SYNTAX;
	s->all = true;
	return ERR_OK;
}

static const struct {
	struct text name;
	enum err (*add)(struct selector *s, struct text value);
	const char *expected;
} names[] = {
	{ LIT("id"), add_id, "an id or its beginning, as `postrider queue` shows them" },
	{ LIT("to"), add_to, "an address, a domain, .domain for its subdomains, or any" },
	{ LIT("from"), add_from, "an address, a domain, .domain for its subdomains, <> or any" },
	{ LIT("domain"), add_domain, "a domain, or .domain for its subdomains" },
	{ LIT("route"), add_route, "the name of an upstream, direct or hold" },
	{ LIT("reason"), add_reason,
	  "one of dns no_mx null_mx connect tls tls_policy auth greylisted rate_limited mailbox_full no_such_user no_such_domain "
	  "blocked content too_large policy timeout protocol spool admin unknown_outcome other extension deadline" },
	{ LIT("older"), add_older, "a time with its unit: 90s, 15m, 4h, 5d" },
	{ LIT("state"), add_state, "waiting, active or held" },
	{ LIT("all"), add_all, "no value" },
};

enum err selector_add(struct selector *s, struct text name, struct text value, struct buf *problem)
{
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (!text_eq(name, names[i].name))
			continue;
		enum err err = names[i].add(s, value);

		if (err == ERR_SYNTAX)
			buf_add_format(problem, "%.*s \"%.*s\": expected %s", TEXT_ARGS(name),
			               TEXT_ARGS(text_head(value, 100)), names[i].expected);
		else if (err)
			buf_add_format(problem, "more was selected than fits into %u KiB",
			               SELECTOR_BUDGET >> 10);
		if (!err)
			s->is_empty = false;
		return err;
	}
	buf_add_format(problem, "there is no \"%.*s\" to select by", TEXT_ARGS(text_head(name, 100)));
	return ERR_NOT_FOUND;
}

/* ---------------------------------------------------------------- matching */

const struct selector_value *selector_next_id(const struct selector *s, const struct selector_value *after,
                                              struct selector_id *out)
{
	const struct selector_value *v = after ? after->next : s->ids;

	if (v)
		*out = (struct selector_id){ v->text, v->first, v->last };
	return v;
}

static bool matches_any(const struct selector_value *list, struct text mailbox)
{
	for (const struct selector_value *v = list; v; v = v->next)
		if (config_pattern_matches(&v->pattern, mailbox))
			return true;
	return !list;
}

static bool has_id(const struct selector *s, struct id id)
{
	for (const struct selector_value *v = s->ids; v; v = v->next)
		if (id_compare(v->first, id) <= 0 && id_compare(id, v->last) <= 0)
			return true;
	return !s->ids;
}

/* A delivery key is "upstream:NAME", "route:hold" and the like, or a domain for direct delivery. */
static bool goes_by(struct text key, struct text route)
{
	static const struct text upstream = LIT("upstream:"), other = LIT("route:");

	if (text_eq_nocase(key, route))
		return true;
	if (text_starts(key, upstream))
		return text_eq(text_skip(key, upstream.len), route);
	if (text_starts(key, other))
		return text_eq(text_skip(key, other.len), route);
	return text_eq(route, TEXT("direct"));
}

static bool goes_by_any(const struct selector_value *routes, struct text key)
{
	for (const struct selector_value *v = routes; v; v = v->next)
		if (goes_by(key, v->text))
			return true;
	return !routes;
}

bool selector_takes_message(const struct selector *s, const struct envelope *e, int64_t now_time)
{
	return has_id(s, e->id) && matches_any(s->from, e->reverse_path) &&
	       (s->older_ms < 0 || now_time - e->received_time >= s->older_ms);
}

static bool has_reason(const struct selector *s, enum reason reason)
{
	return s->reasons == 0 || ((unsigned)reason < REASON_COUNT && (s->reasons & BIT(reason)));
}

static bool has_state(const struct selector *s, enum queue_state state)
{
	return s->states == 0 || ((unsigned)state <= QUEUE_HELD && (s->states & BIT(state)));
}

bool selector_takes_recipient(const struct selector *s, const struct envelope *e,
                              const struct queue_recipient *r)
{
	if (r->n >= e->recipient_count)
		return false;
	struct text forward_path = e->recipients[r->n].forward_path;

	return matches_any(s->to, forward_path) && matches_any(s->domains, forward_path) &&
	       goes_by_any(s->routes, r->key) && has_reason(s, r->reason) && has_state(s, r->state);
}

bool selector_needs_recipients(const struct selector *s)
{
	return s->to || s->domains || s->routes || s->reasons || s->states;
}
