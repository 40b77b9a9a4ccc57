/* Which way. */
#include <postrider/route.h>

#include <postrider/mail/header.h>

#define DOMAIN_MAX 255

static bool has_text(const struct config_texts *texts, struct text t)
{
	for (size_t i = 0; i < texts->count; i++)
		if (text_eq(texts->items[i], t))
			return true;
	return false;
}

static bool matches_listener(const struct config_route *route, struct text listener)
{
	return route->listener.count == 0 || has_text(&route->listener, listener);
}

static bool matches_user(const struct config_route *route, struct text user)
{
	if (route->user.count == 0)
		return true;
	return user.len > 0 && (has_text(&route->user, user) || has_text(&route->user, TEXT("any")));
}

static bool matches(const struct config_patterns *patterns, const struct config_mailbox *m)
{
	if (patterns->count == 1 && patterns->items[0].kind == CONFIG_PATTERN_ANY)
		return true;
	return config_patterns_find_parts(patterns, m) != NULL;
}

static bool asks_for_content(const struct config_route *route)
{
	return route->header.count || route->min_size_bytes || route->max_size_bytes;
}

/* ---------------------------------------------------------------- conditions on the content */

/* `*` in the pattern stands for any octets. The last star that was met takes one more octet whenever the rest does not fit. */
static bool fits(struct text pattern, struct text value)
{
	size_t p = 0, v = 0, star = pattern.len, taken = 0;

	while (v < value.len) {
		if (p < pattern.len && pattern.at[p] == '*') {
			star = p++;
			taken = v;
		} else if (p < pattern.len && ascii_lower(pattern.at[p]) == ascii_lower(value.at[v])) {
			p++;
			v++;
		} else if (star < pattern.len) {
			p = star + 1;
			v = ++taken;
		} else {
			return false;
		}
	}
	while (p < pattern.len && pattern.at[p] == '*')
		p++;
	return p == pattern.len;
}

static bool has_field(struct text fields, const struct config_header_match *wanted)
{
	struct text name, value;

	while (header_pick_next(&fields, &name, &value))
		if (text_eq_nocase(name, wanted->name) && fits(wanted->value, value))
			return true;
	return false;
}

static bool matches_content(const struct config_route *route, const struct route_message *m)
{
	if (route->min_size_bytes && m->content_bytes < route->min_size_bytes)
		return false;
	if (route->max_size_bytes && m->content_bytes > route->max_size_bytes)
		return false;
	for (size_t i = 0; i < route->header.count; i++)
		if (!has_field(m->fields, &route->header.items[i]))
			return false;
	return true;
}

/* ---------------------------------------------------------------- the first that matches */

struct search {
	const struct config *config;
	const struct route_message *message;
	struct config_mailbox from, to;
	bool passes_holds;
	/* those that were passed over and may match when the content is there: that reject, and that do not */
	bool may_reject, may_go;
};

static bool matches_envelope(const struct search *s, const struct config_route *route)
{
	return matches_listener(route, s->message->listener) && matches_user(route, s->message->user) &&
	       matches(&route->to, &s->to) && matches(&route->from, &s->from);
}

/* From 1; 0: none. */
static size_t find_route(struct search *s)
{
	const struct config_routes *routes = &s->config->routes;

	/* found by its `to` at once, if there is an index; only its other conditions can send us on */
	for (size_t i = config_routes_first(routes, &s->to); i < routes->count; i++) {
		const struct config_route *route = &routes->items[i];

		if ((s->passes_holds && route->via == CONFIG_VIA_HOLD) || !matches_envelope(s, route))
			continue;
		if (asks_for_content(route) && !s->message->is_received)
			*(route->via == CONFIG_VIA_REJECT ? &s->may_reject : &s->may_go) = true;
		else if (matches_content(route, s->message))
			return i + 1;
	}
	return 0;
}

static void set_key(struct route_choice *choice, struct text prefix, struct text name)
{
	memcpy(choice->key_octets, prefix.at, prefix.len);
	for (size_t i = 0; i < name.len; i++)
		choice->key_octets[prefix.len + i] = ascii_lower(name.at[i]);
	choice->key_len = prefix.len + name.len;
}

enum err route_find(const struct config *config, const struct route_message *message,
                    struct text forward_path, struct route_choice *out)
{
	struct search s = { .config = config,
		            .message = message,
		            .from = config_mailbox_of(message->reverse_path),
		            .to = config_mailbox_of(forward_path),
		            .passes_holds = message->released };

	if (s.to.domain.len == 0 || s.to.domain.len > DOMAIN_MAX)
		return ERR_SYNTAX;
	size_t number = find_route(&s);

	/* with no other way to go it is held on: better than to refuse what somebody wants to go */
	if (!number && s.passes_holds) {
		s.passes_holds = false;
		number = find_route(&s);
	}
	const struct config_route *route = number ? &config->routes.items[number - 1] : NULL;

	out->route = route;
	out->route_number = number;
	out->via = route ? route->via : CONFIG_VIA_REJECT;
	out->way = route ? route->way : NULL;
	/* rejected one way or the other is rejected */
	out->provisional = s.may_go || (s.may_reject && out->via != CONFIG_VIA_REJECT);
	switch (out->via) {
	case CONFIG_VIA_UPSTREAM:
		/* names are at most 64 octets, and equal names in other letters are other upstreams */
		set_key(out, TEXT("upstream:"), TEXT_EMPTY);
		memcpy(out->key_octets + out->key_len, route->upstream->name.at, route->upstream->name.len);
		out->key_len += route->upstream->name.len;
		break;
	case CONFIG_VIA_DIRECT:
		set_key(out, TEXT_EMPTY, s.to.domain);
		break;
	case CONFIG_VIA_DISCARD:
	case CONFIG_VIA_HOLD:
	case CONFIG_VIA_REJECT:
		set_key(out, TEXT("route:"), text_from(config_via_name(out->via)));
		break;
	}
	return ERR_OK;
}

const struct config_limit *route_limit(const struct config *config, struct text domain)
{
	const struct config_limits *limits = &config->limits;
	const struct config_limit *best = &limits->any;

	for (size_t i = 0; i < limits->count; i++) {
		const struct config_pattern *p = &limits->items[i].domain;
		bool is_parent = p->kind == CONFIG_PATTERN_SUBDOMAINS && domain.len > p->domain.len + 1 &&
		                 domain.at[domain.len - p->domain.len - 1] == '.' &&
		                 text_ends_nocase(domain, p->domain);

		if (p->kind == CONFIG_PATTERN_DOMAIN && text_eq_nocase(domain, p->domain))
			return &limits->items[i];
		if (is_parent && (best == &limits->any || p->domain.len > best->domain.domain.len))
			best = &limits->items[i];
	}
	return best;
}

const struct config_upstream *route_upstream(const struct config *config, struct text key)
{
	struct text prefix = TEXT("upstream:");

	for (size_t i = 0; text_starts(key, prefix) && i < config->upstreams.count; i++)
		if (text_eq(config->upstreams.items[i].name, text_skip(key, prefix.len)))
			return &config->upstreams.items[i];
	return NULL;
}

const struct config_pace *route_pace(const struct config *config, struct text key)
{
	const struct config_upstream *upstream = route_upstream(config, key);

	if (upstream)
		return &upstream->pace;
	return text_starts(key, TEXT("upstream:")) ? &config->limits.any.pace
	                                           : &route_limit(config, key)->pace;
}
