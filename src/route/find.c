/* Which way. */
#include <postrider/route.h>

#define DOMAIN_MAX 255

static bool matches_listener(const struct config_route *route, struct text listener)
{
	for (size_t i = 0; i < route->listener.count; i++)
		if (text_eq(route->listener.items[i], listener))
			return true;
	return route->listener.count == 0;
}

static bool matches(const struct config_patterns *patterns, const struct config_mailbox *m)
{
	if (patterns->count == 1 && patterns->items[0].kind == CONFIG_PATTERN_ANY)
		return true;
	return config_patterns_find_parts(patterns, m) != NULL;
}

static size_t find_route(const struct config *config, struct text listener,
                         const struct config_mailbox *reverse_path, const struct config_mailbox *forward_path,
                         bool released)
{
	const struct config_routes *routes = &config->routes;

	/* found by its `to` at once, if there is an index; only its other conditions can send us on */
	for (size_t i = config_routes_first(routes, forward_path); i < routes->count; i++)
		if (!(released && routes->items[i].via == CONFIG_VIA_HOLD) &&
		    matches_listener(&routes->items[i], listener) &&
		    matches(&routes->items[i].to, forward_path) &&
		    matches(&routes->items[i].from, reverse_path))
			return i + 1;
	return 0;
}

static void set_key(struct route_choice *choice, struct text prefix, struct text name)
{
	memcpy(choice->key_octets, prefix.at, prefix.len);
	for (size_t i = 0; i < name.len; i++)
		choice->key_octets[prefix.len + i] = ascii_lower(name.at[i]);
	choice->key_len = prefix.len + name.len;
}

static enum config_tls tls_of(const struct config *config, const struct route_choice *choice)
{
	if (choice->route && choice->route->has_tls)
		return choice->route->tls;
	return choice->via == CONFIG_VIA_UPSTREAM ? choice->upstream->tls : config->direct.tls;
}

static enum err find(const struct config *config, struct text listener, struct text reverse_path,
                     struct text forward_path, bool released, struct route_choice *out)
{
	const struct config_mailbox from = config_mailbox_of(reverse_path),
				    to = config_mailbox_of(forward_path);

	if (to.domain.len == 0 || to.domain.len > DOMAIN_MAX)
		return ERR_SYNTAX;
	size_t number = find_route(config, listener, &from, &to, released);

	/* with no other way to go it is held on: better than to refuse what somebody wants to go */
	if (!number && released)
		number = find_route(config, listener, &from, &to, false);
	const struct config_route *route = number ? &config->routes.items[number - 1] : NULL;

	out->route = route;
	out->route_number = number;
	out->via = route ? route->via : CONFIG_VIA_REJECT;
	out->upstream = route ? route->upstream : NULL;
	out->tls = tls_of(config, out);
	switch (out->via) {
	case CONFIG_VIA_UPSTREAM:
		/* names are at most 64 octets, and equal names in other letters are other upstreams */
		set_key(out, TEXT("upstream:"), TEXT_EMPTY);
		memcpy(out->key_octets + out->key_len, out->upstream->name.at, out->upstream->name.len);
		out->key_len += out->upstream->name.len;
		break;
	case CONFIG_VIA_DIRECT:
		set_key(out, TEXT_EMPTY, to.domain);
		break;
	case CONFIG_VIA_DISCARD:
	case CONFIG_VIA_HOLD:
	case CONFIG_VIA_REJECT:
		set_key(out, TEXT("route:"), text_from(config_via_name(out->via)));
		break;
	}
	return ERR_OK;
}

enum err route_find(const struct config *config, struct text listener, struct text reverse_path,
                    struct text forward_path, struct route_choice *out)
{
	return find(config, listener, reverse_path, forward_path, false, out);
}

enum err route_find_released(const struct config *config, struct text listener, struct text reverse_path,
                             struct text forward_path, struct route_choice *out)
{
	return find(config, listener, reverse_path, forward_path, true, out);
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
