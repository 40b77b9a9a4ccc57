#include <postrider/config/pattern.h>

#include <postrider/base/auto.h>
#include <postrider/base/utf8.h>
#include <postrider/smtp/path.h>

#include "pattern.h"

#define KEY_MAX 512
#define INDEX_SEED \
	UINT64_C(0x706f737472696465) /* keys come from the configuration: nobody chooses collisions */

bool domain_is_valid(struct text domain)
{
	struct ip ip;

	return smtp_domain_check(domain) == ERR_OK || smtp_literal_parse(domain, &ip) == ERR_OK;
}

bool mailbox_is_valid(struct text mailbox)
{
	struct smtp_path path;

	return smtp_mailbox_parse(mailbox, &path) == ERR_OK;
}

/* The @ that splits a mailbox stands behind the local part's quotes: a quoted one may hold others. */
static size_t find_at(struct text mailbox)
{
	size_t i = 0;

	if (mailbox.len && mailbox.at[0] == '"') {
		for (i = 1; i < mailbox.len && mailbox.at[i] != '"'; i++)
			i += mailbox.at[i] == '\\';
		i = MIN(i, mailbox.len);
	}
	return i + text_find_octet(text_skip(mailbox, i), '@');
}

struct config_mailbox config_mailbox_of(struct text mailbox)
{
	size_t at = find_at(mailbox);
	struct config_mailbox parts = { .local = text_head(mailbox, at),
		                        .domain = text_skip(mailbox, at + 1),
		                        .is_null = mailbox.len == 0 };
	struct text local = parts.local;

	/* "ann"@example.com is ann@example.com (RFC 5321 section 4.1.2): nobody gets around a rule by quotes */
	if (local.len >= 2 && local.at[0] == '"' && local.at[local.len - 1] == '"') {
		parts.local = text_of(local.at + 1, local.len - 2);
		parts.escaped = text_find_octet(parts.local, '\\') < parts.local.len;
	}
	if (parts.domain.len > 1 && parts.domain.at[parts.domain.len - 1] == '.')
		parts.domain.len--;
	return parts;
}

/* ---------------------------------------------------------------- matching */

static bool is_subdomain(struct text domain, struct text parent)
{
	size_t more = domain.len - parent.len;

	return domain.len > parent.len + 1 && domain.at[more - 1] == '.' && text_ends_nocase(domain, parent);
}

/* Adds the meaning of the local part to key; false: there is no room. */
static bool add_local(const struct config_mailbox *m, char *key, size_t room, size_t *len)
{
	for (size_t i = 0; i < m->local.len; i++) {
		i += m->escaped && m->local.at[i] == '\\' && i + 1 < m->local.len;
		if (*len >= room)
			return false;
		key[(*len)++] = m->local.at[i];
	}
	return true;
}

static bool is_local(const struct config_mailbox *m, struct text local)
{
	char meaning[KEY_MAX];
	size_t len = 0;

	if (!m->escaped)
		return text_eq_nocase(m->local, local);
	return add_local(m, meaning, sizeof(meaning), &len) && text_eq_nocase(text_of(meaning, len), local);
}

static bool matches_parts(const struct config_pattern *p, const struct config_mailbox *m)
{
	switch (p->kind) {
	case CONFIG_PATTERN_ANY:
		return true;
	case CONFIG_PATTERN_NULL:
		return m->is_null;
	case CONFIG_PATTERN_ADDRESS:
		return !m->is_null && text_eq_nocase(m->domain, p->domain) && is_local(m, p->local);
	case CONFIG_PATTERN_DOMAIN:
		return !m->is_null && text_eq_nocase(m->domain, p->domain);
	case CONFIG_PATTERN_SUBDOMAINS:
		return is_subdomain(m->domain, p->domain);
	}
	return false;
}

bool config_pattern_matches(const struct config_pattern *pattern, struct text mailbox)
{
	struct config_mailbox m = config_mailbox_of(mailbox);

	return matches_parts(pattern, &m);
}

bool config_pattern_covers(const struct config_pattern *wide, const struct config_pattern *narrow)
{
	const struct config_mailbox inside = { .local = narrow->local, .domain = narrow->domain };

	switch (narrow->kind) {
	case CONFIG_PATTERN_ANY:
		return wide->kind == CONFIG_PATTERN_ANY;
	case CONFIG_PATTERN_NULL:
		return wide->kind == CONFIG_PATTERN_ANY || wide->kind == CONFIG_PATTERN_NULL;
	case CONFIG_PATTERN_ADDRESS:
		return matches_parts(wide, &inside);
	case CONFIG_PATTERN_DOMAIN:
		return wide->kind != CONFIG_PATTERN_ADDRESS && matches_parts(wide, &inside);
	case CONFIG_PATTERN_SUBDOMAINS:
		return wide->kind == CONFIG_PATTERN_ANY || (wide->kind == CONFIG_PATTERN_SUBDOMAINS &&
		                                            (text_eq(wide->domain, narrow->domain) ||
		                                             is_subdomain(narrow->domain, wide->domain)));
	}
	return false;
}

static size_t number_of(const struct map *map, struct text key)
{
	struct map_item *found = map->count ? map_find(map, key) : NULL;

	return found ? CONTAINER_OF(found, struct indexed_pattern, item)->number : SIZE_MAX;
}

static size_t number_of_address(const struct map *map, const struct config_mailbox *m)
{
	char key[KEY_MAX];
	size_t len = 0;

	if (map->count == 0 || !add_local(m, key, sizeof(key), &len) || m->domain.len + 1 > sizeof(key) - len)
		return SIZE_MAX;
	key[len++] = '@';
	if (m->domain.len)
		memcpy(key + len, m->domain.at, m->domain.len);
	return number_of(map, text_of(key, len + m->domain.len));
}

size_t pattern_index_find(const struct config_pattern_index *index, const struct config_mailbox *m,
                          enum pattern_order order)
{
	if (m->is_null)
		return MIN(index->null, index->any);
	size_t best = number_of_address(&index->addresses, m), found;

	if (order == PATTERN_SPECIFIC_FIRST && best != SIZE_MAX)
		return best;
	found = number_of(&index->domains, m->domain);
	best = MIN(best, found);
	/* a domain that begins with a dot is in no domain */
	struct text rest = m->domain.len && m->domain.at[0] == '.' ? TEXT_EMPTY : m->domain;

	while (rest.len && index->parents.count) {
		if (order == PATTERN_SPECIFIC_FIRST && best != SIZE_MAX)
			return best;
		rest = text_skip(rest, text_find_octet(rest, '.') + 1);
		found = rest.len ? number_of(&index->parents, rest) : SIZE_MAX;
		best = MIN(best, found);
	}
	if (order == PATTERN_SPECIFIC_FIRST && best != SIZE_MAX)
		return best;
	return MIN(best, index->any);
}

const struct config_pattern *config_patterns_find_parts(const struct config_patterns *patterns,
                                                        const struct config_mailbox *m)
{
	if (patterns->index) {
		size_t number = pattern_index_find(patterns->index, m, PATTERN_FIRST_WRITTEN);

		return number == SIZE_MAX ? NULL : &patterns->items[number];
	}
	for (size_t i = 0; i < patterns->count; i++)
		if (matches_parts(&patterns->items[i], m))
			return &patterns->items[i];
	return NULL;
}

const struct config_pattern *config_patterns_find(const struct config_patterns *patterns, struct text mailbox)
{
	struct config_mailbox m = config_mailbox_of(mailbox);

	return config_patterns_find_parts(patterns, &m);
}

/* ---------------------------------------------------------------- making */

static enum err copy_lower(struct arena *arena, struct text t, struct text *out)
{
	char *copy = arena_alloc(arena, t.len + 1);

	if (!copy)
		return ERR_NOMEM;
	for (size_t i = 0; i < t.len; i++)
		copy[i] = ascii_lower(t.at[i]);
	*out = text_of(copy, t.len);
	return ERR_OK;
}

/* In small letters and as the DNS has it: the addresses of envelopes come so. */
static enum err copy_domain(struct arena *arena, struct text t, struct text *out)
{
	struct buf ascii = BUF(SMTP_DOMAIN_MAX);

	if (utf8_is_ascii(t))
		return copy_lower(arena, t, out);
	enum err err = smtp_domain_to_ascii(t, &ascii);

	if (!err)
		err = arena_text(arena, buf_text(&ascii), out);
	buf_fini(&ascii);
	return err == ERR_TOO_BIG ? ERR_SYNTAX : err;
}

static enum err parse_address(struct arena *arena, struct text t, struct config_pattern *p)
{
	struct smtp_path path;

	/* a star may stand in a local part, but who writes it here means something else */
	if (smtp_mailbox_parse_utf8(t, &path) || text_find_octet(t, '*') < t.len)
		return ERR_SYNTAX;
	enum err err = arena_text(arena, t, &p->text);

	if (err)
		return err;
	struct config_mailbox m = config_mailbox_of(p->text);
	char *local = arena_alloc(arena, m.local.len + 1);
	size_t len = 0;

	if (!local || !add_local(&m, local, m.local.len, &len))
		return ERR_NOMEM;
	p->kind = CONFIG_PATTERN_ADDRESS;
	p->local = text_of(local, len);
	return copy_domain(arena, m.domain, &p->domain);
}

enum err pattern_parse(struct arena *arena, struct text t, struct config_pattern *out)
{
	struct config_pattern p = { .text = TEXT_EMPTY, .local = TEXT_EMPTY, .domain = TEXT_EMPTY };
	enum err err = ERR_OK;

	if (text_eq(t, TEXT("any"))) {
		p.kind = CONFIG_PATTERN_ANY;
		p.text = TEXT("any");
	} else if (text_eq(t, TEXT("<>"))) {
		p.kind = CONFIG_PATTERN_NULL;
		p.text = TEXT("<>");
	} else if (find_at(t) < t.len) {
		err = parse_address(arena, t, &p);
	} else {
		bool subdomains = t.len > 1 && t.at[0] == '.';
		struct text domain = text_skip(t, subdomains);

		if (utf8_is_ascii(t) && !domain_is_valid(domain))
			return ERR_SYNTAX;
		p.kind = subdomains ? CONFIG_PATTERN_SUBDOMAINS : CONFIG_PATTERN_DOMAIN;
		err = copy_lower(arena, t, &p.text);
		if (!err)
			err = copy_domain(arena, domain, &p.domain);
	}
	if (!err)
		*out = p;
	return err;
}

enum err config_pattern_parse(struct arena *arena, struct text t, struct config_pattern *out)
{
	return pattern_parse(arena, t, out);
}

static enum err index_text(struct arena *arena, struct map *map, struct text key, size_t number)
{
	if (map_find(map, key))
		return ERR_OK;
	struct indexed_pattern *indexed = arena_alloc(arena, sizeof(*indexed));

	if (!indexed)
		return ERR_NOMEM;
	indexed->number = number;
	return map_add(map, &indexed->item, key);
}

static enum err index_address(struct arena *arena, struct map *map, const struct config_pattern *p,
                              size_t number)
{
	size_t len = p->local.len + 1 + p->domain.len;
	char *key = arena_alloc(arena, len);

	if (!key)
		return ERR_NOMEM;
	memcpy(key, p->local.at, p->local.len);
	key[p->local.len] = '@';
	if (p->domain.len)
		memcpy(key + p->local.len + 1, p->domain.at, p->domain.len);
	return index_text(arena, map, text_of(key, len), number);
}

static enum err index_one(struct arena *arena, struct config_pattern_index *index,
                          const struct config_pattern *p, size_t number)
{
	switch (p->kind) {
	case CONFIG_PATTERN_ANY:
		index->any = MIN(index->any, number);
		return ERR_OK;
	case CONFIG_PATTERN_NULL:
		index->null = MIN(index->null, number);
		return ERR_OK;
	case CONFIG_PATTERN_ADDRESS:
		return index_address(arena, &index->addresses, p, number);
	case CONFIG_PATTERN_DOMAIN:
		return index_text(arena, &index->domains, p->domain, number);
	case CONFIG_PATTERN_SUBDOMAINS:
		return index_text(arena, &index->parents, p->domain, number);
	}
	return ERR_OK;
}

enum err pattern_index_make(struct arena *arena, const void *items, size_t count, pattern_get_fn *get,
                            struct config_pattern_index **all, const struct config_pattern_index **out)
{
	if (count < PATTERN_INDEX_FROM)
		return ERR_OK;
	struct config_pattern_index *index = arena_alloc(arena, sizeof(*index));

	if (!index)
		return ERR_NOMEM;
	map_init(&index->addresses, true, INDEX_SEED);
	map_init(&index->domains, true, INDEX_SEED);
	map_init(&index->parents, true, INDEX_SEED);
	index->any = index->null = SIZE_MAX;
	index->next = *all;
	*all = index;
	for (size_t i = 0; i < count; i++) {
		enum err err = index_one(arena, index, get(items, i), i);

		if (err)
			return err;
	}
	*out = index;
	return ERR_OK;
}

static const struct config_pattern *get_route_pattern(const void *items, size_t i)
{
	return ((const struct route_pattern *)items)[i].pattern;
}

enum err route_index_make(struct arena *arena, struct config_routes *routes,
                          struct config_pattern_index **all)
{
	size_t count = 0, done = 0;

	for (size_t i = 0; i < routes->count; i++)
		count += routes->items[i].to.count;
	if (routes->count < PATTERN_INDEX_FROM || count < PATTERN_INDEX_FROM)
		return ERR_OK;
	struct config_route_index *index = arena_alloc(arena, sizeof(*index));
	struct route_pattern *items = arena_alloc(arena, count * sizeof(*items));

	if (!index || !items)
		return ERR_NOMEM;
	for (size_t i = 0; i < routes->count; i++)
		for (size_t p = 0; p < routes->items[i].to.count; p++)
			items[done++] = (struct route_pattern){ &routes->items[i].to.items[p], i };
	index->items = items;
	enum err err = pattern_index_make(arena, items, count, get_route_pattern, all, &index->patterns);

	if (!err)
		routes->index = index;
	return err;
}

size_t config_routes_first(const struct config_routes *routes, const struct config_mailbox *forward_path)
{
	if (routes->index) {
		size_t number =
			pattern_index_find(routes->index->patterns, forward_path, PATTERN_FIRST_WRITTEN);

		return number == SIZE_MAX ? routes->count : routes->index->items[number].route;
	}
	for (size_t i = 0; i < routes->count; i++)
		if (config_patterns_find_parts(&routes->items[i].to, forward_path))
			return i;
	return routes->count;
}

void pattern_index_free_all(struct config_pattern_index **all)
{
	for (struct config_pattern_index *index = *all; index; index = index->next) {
		map_fini(&index->addresses);
		map_fini(&index->domains);
		map_fini(&index->parents);
	}
	*all = NULL;
}
