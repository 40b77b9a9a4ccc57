/* What upstreams, routes and rules have from each other. */
#include "check.h"

#include <postrider/base/auto.h>

#include "bind.h"
#include "providers.h"

/* ---------------------------------------------------------------- what was not written */

static bool is_written(struct load *load, struct text table, const char *key)
{
	return origin_find_format(load->snapshot, "%.*s.%s", TEXT_ARGS(table), key) != NULL;
}

/* The key of one table holds for another. */
static void inherit_origin(struct load *load, struct text from, const char *from_key, struct text table,
                           const char *key)
{
	AUTO(buf_fini) struct buf there = BUF(2000);
	AUTO(buf_fini) struct buf here = BUF(2000);

	buf_add_format(&there, "%.*s.%s", TEXT_ARGS(from), from_key);
	buf_add_format(&here, "%.*s.%s", TEXT_ARGS(table), key);
	load->nomem |= buf_err(&there) || buf_err(&here);
	if (!load->nomem)
		origin_inherit(load, buf_text(&there), buf_text(&here));
}

static const struct {
	const char *key;
	size_t at, size;
} pace_members[] = {
#define MEMBER(key, member)                                                                          \
	{                                                                                            \
		key, offsetof(struct config_pace, member), sizeof(((struct config_pace *)0)->member) \
	}
	MEMBER("connections", connections),
	MEMBER("connections_per_address", connections_per_address),
	MEMBER("messages_per_connection", messages_per_connection),
	MEMBER("recipients_per_connection", recipients_per_connection),
	MEMBER("recipients_per_message", recipients_per_message),
	MEMBER("rate", rate),
	MEMBER("recipient_rate", recipient_rate),
	MEMBER("byte_rate", byte_rate),
	MEMBER("adapt", adapt),
	MEMBER("rest_share", rest_hundredths),
#undef MEMBER
};

static void inherit_pace(struct load *load, struct text table, struct config_pace *pace)
{
	const struct config_pace *any = &load->snapshot->config.limits.any.pace;

	for (size_t i = 0; i < ARRAY_LEN(pace_members); i++) {
		if (is_written(load, table, pace_members[i].key))
			continue;
		memcpy((char *)pace + pace_members[i].at, (const char *)any + pace_members[i].at,
		       pace_members[i].size);
		inherit_origin(load, TEXT("limits.any"), pace_members[i].key, table, pace_members[i].key);
	}
}

static const struct {
	const char *key;
	size_t at, size;
} retry_members[] = {
#define MEMBER(key, member)                                          \
	{                                                            \
		"retry." key, offsetof(struct config_retry, member), \
			sizeof(((struct config_retry *)0)->member)   \
	}
	MEMBER("schedule", schedule),
	MEMBER("warn_after", warn_after_ms),
	MEMBER("give_up_after", give_up_after_ms),
	MEMBER("bounce_give_up_after", bounce_give_up_after_ms),
#undef MEMBER
};

/* from_table: "upstreams.ses", or empty for what holds for all. */
static void inherit_retry(struct load *load, struct text table, struct text from_table,
                          const struct config_retry *from, struct config_retry *retry)
{
	for (size_t i = 0; i < ARRAY_LEN(retry_members); i++) {
		const char *key = retry_members[i].key;

		if (is_written(load, table, key))
			continue;
		memcpy((char *)retry + retry_members[i].at, (const char *)from + retry_members[i].at,
		       retry_members[i].size);
		if (from_table.len)
			inherit_origin(load, from_table, key, table, key);
		else
			inherit_origin(load, TEXT("retry"), key + strlen("retry."), table, key);
	}
}

/* ---------------------------------------------------------------- secrets */

/* A secret and the file of it: the stronger source counts (an argument, a variable, a file), and two of one strength are a
 * mistake. What does not count becomes empty. */
static void choose_secret(struct load *load, struct text table, const char *key, struct text *written,
                          struct text *file)
{
	const struct origin *here = origin_find_format(load->snapshot, "%.*s.%s", TEXT_ARGS(table), key);
	const struct origin *there =
		origin_find_format(load->snapshot, "%.*s.%s_file", TEXT_ARGS(table), key);

	if (!written->len || !file->len || !here || !there)
		return;
	if (here->spot.source->kind > there->spot.source->kind)
		*file = TEXT_EMPTY;
	else if (here->spot.source->kind < there->spot.source->kind)
		*written = TEXT_EMPTY;
	else
		load_hint(load, load_error(load, &there->spot, "both %s and %s_file are set", key, key),
		          "keep the file");
}

static void read_password(struct load *load, struct text table, struct config_login *login)
{
	const struct origin *file =
		origin_find_format(load->snapshot, "%.*s.password_file", TEXT_ARGS(table));
	AUTO(buf_fini) struct buf content = BUF(65536);

	login->secret = login->password;
	if (login->secret.len || login->password_file.len == 0 || !file ||
	    !expand_file(load, &file->spot, login->password_file, &content))
		return;
	if (content.len == 0)
		load_error(load, &file->spot, "%.*s is empty", SHOWN(login->password_file));
	login->secret = load_keep_text(load, buf_text(&content));
}

static void complete_login(struct load *load, struct text table, struct config_login *login)
{
	choose_secret(load, table, "password", &login->password, &login->password_file);
	choose_secret(load, table, "oauth2.client_secret", &login->oauth2.client_secret,
	              &login->oauth2.client_secret_file);
	choose_secret(load, table, "oauth2.refresh_token", &login->oauth2.refresh_token,
	              &login->oauth2.refresh_token_file);
	read_password(load, table, login);
	/* a token that is name and password at once */
	login->shown_name = text_eq(login->username, login->secret) ? TEXT_EMPTY : login->username;
}

/* ---------------------------------------------------------------- upstreams */

static void complete_upstream(struct load *load, struct config_upstream *upstream)
{
	struct config *config = &load->snapshot->config;
	AUTO(buf_fini) struct buf table = BUF(1000);

	buf_add_format(&table, "upstreams.%.*s", TEXT_ARGS(upstream->name));
	if (upstream->helo.len == 0)
		upstream->helo = config->hostname;
	inherit_pace(load, buf_text(&table), &upstream->pace);
	if (upstream->has_retry)
		inherit_retry(load, buf_text(&table), TEXT_EMPTY, &config->retry, &upstream->retry);
	else
		upstream->retry = config->retry;
	complete_login(load, buf_text(&table), &upstream->login);
}

void complete_upstreams(struct load *load)
{
	struct config_upstreams *upstreams = &load->snapshot->config.upstreams;

	for (size_t i = 0; i < upstreams->count; i++)
		complete_upstream(load, (struct config_upstream *)&upstreams->items[i]);
}

void complete_direct(struct load *load)
{
	struct config *config = &load->snapshot->config;

	if (config->direct.helo.len == 0)
		config->direct.helo = config->hostname;
}

/* ---------------------------------------------------------------- ways */

static bool has_tokens(const struct config_oauth2 *o)
{
	return o->token_url.len || o->token_file.len || o->token_command.len;
}

/* Whether there is anything to log in with. */
static bool can_login(const struct config_upstream *upstream, const struct config_login *login)
{
	return login->username.len || has_tokens(&login->oauth2) ||
	       login->mechanism == CONFIG_MECHANISM_EXTERNAL ||
	       (upstream->cert.len && login->mechanism == CONFIG_MECHANISM_AUTO);
}

/* A token that is name and password at once. A copy: the upstream's own name stays empty, so that nobody shows it. */
static const struct config_login *login_by_token(struct load *load, const struct config_login *login)
{
	struct config_login *copy = load_keep(load, sizeof(*copy));

	if (!copy)
		return NULL;
	*copy = *login;
	copy->username = copy->secret;
	return copy;
}

/* A route's own user has a password of its own, and nothing else of the upstream's user. */
static const struct config_login *login_of(struct load *load, const struct config_route *route)
{
	const struct config_upstream *upstream = route->upstream;
	const struct provider *provider = upstream ? provider_find(upstream->provider) : NULL;

	if (!upstream || upstream->login.mechanism == CONFIG_MECHANISM_NONE)
		return NULL;
	if (route->login.username.len)
		return &route->login;
	if (provider && provider->username_is_password && !upstream->login.username.len &&
	    upstream->login.secret.len)
		return login_by_token(load, &upstream->login);
	return can_login(upstream, &upstream->login) ? &upstream->login : NULL;
}

static struct config_way way_of(struct load *load, const struct config_route *route)
{
	const struct config *config = &load->snapshot->config;
	const struct config_upstream *upstream = route->upstream;
	struct config_way way = { .upstream = upstream, .login = login_of(load, route) };

	way.tls = route->has_tls ? route->tls : upstream ? upstream->tls : config->direct.tls;
	way.source = route->source.count ? route->source
	             : upstream          ? upstream->source
	                                 : config->direct.source;
	way.helo = route->helo.len ? route->helo : upstream ? upstream->helo : config->direct.helo;
	way.ip = route->has_ip ? route->ip : upstream ? upstream->ip : config->direct.ip;
	return way;
}

static bool same_login(const struct config_login *a, const struct config_login *b)
{
	if (!a || !b || a == b)
		return a == b;
	return a->mechanism == b->mechanism && text_eq(a->username, b->username) &&
	       text_eq(a->secret, b->secret) && !has_tokens(&a->oauth2) && !has_tokens(&b->oauth2);
}

static bool same_source(const struct config_ips *a, const struct config_ips *b)
{
	bool same = a->count == b->count;

	for (size_t i = 0; same && i < a->count; i++)
		same = ip_eq(a->items[i], b->items[i]);
	return same;
}

static bool same_way(const struct config_way *a, const struct config_way *b)
{
	return a->upstream == b->upstream && a->tls == b->tls && same_login(a->login, b->login) &&
	       same_source(&a->source, &b->source) && text_eq_nocase(a->helo, b->helo) && a->ip == b->ip;
}

static const struct config_way *share_way(struct config_way *ways, size_t *count, struct config_way way)
{
	for (size_t i = 0; i < *count; i++)
		if (same_way(&ways[i], &way))
			return &ways[i];
	ways[*count] = way;
	return &ways[(*count)++];
}

static void complete_route(struct load *load, struct config_route *route, size_t number)
{
	const struct config_upstream *upstream = route->upstream;
	const struct config_retry *retry = upstream ? &upstream->retry : &load->snapshot->config.retry;
	AUTO(buf_fini) struct buf table = BUF(100);
	AUTO(buf_fini) struct buf from = BUF(1000);

	if (upstream && upstream->has_retry)
		buf_add_format(&from, "upstreams.%.*s", TEXT_ARGS(upstream->name));
	buf_add_format(&table, "routes[%zu]", number);
	if (route->has_retry)
		inherit_retry(load, buf_text(&table), buf_text(&from), retry, &route->retry);
	route->effective_retry = route->has_retry ? &route->retry : retry;
	complete_login(load, buf_text(&table), &route->login);
	if (upstream)
		route->login.mechanism = upstream->login.mechanism;
}

void complete_ways(struct load *load)
{
	struct config *config = &load->snapshot->config;
	struct config_way *ways =
		load_keep(load, (config->routes.count + config->rules.count + 1) * sizeof(*ways));
	size_t count = 0;

	for (size_t i = 0; ways && i < config->routes.count; i++) {
		struct config_route *route = (struct config_route *)&config->routes.items[i];

		complete_route(load, route, i);
		if (route->via == CONFIG_VIA_DIRECT || (route->via == CONFIG_VIA_UPSTREAM && route->upstream))
			route->way = share_way(ways, &count, way_of(load, route));
	}
	config->ways = (struct config_ways){ ways, count };
}

/* ---------------------------------------------------------------- header fields */

/* They are kept with every message. */
#define FIELDS_MAX 64

void complete_fields(struct load *load)
{
	struct config_routes *routes = &load->snapshot->config.routes;
	size_t room = 0, count = 0;

	for (size_t i = 0; i < routes->count; i++)
		room += routes->items[i].header.count;
	struct text *names = room ? load_keep(load, room * sizeof(*names)) : NULL;

	for (size_t i = 0; names && i < routes->count; i++) {
		const struct config_header_matches *asked = &routes->items[i].header;

		for (size_t h = 0; h < asked->count; h++) {
			bool known = false;

			for (size_t k = 0; k < count && !known; k++)
				known = text_eq_nocase(names[k], asked->items[h].name);
			if (known)
				continue;
			if (count == FIELDS_MAX) {
				load_error(load, &origin_find_format(load->snapshot, "routes[%zu]", i)->spot,
				           "routes ask for more than %d header fields", FIELDS_MAX);
				return;
			}
			names[count++] = asked->items[h].name;
		}
	}
	routes->fields = (struct config_texts){ names, count };
}

/* ---------------------------------------------------------------- rules */

/* As a route without words of its own would have it. There is room for one way of each rule. */
static const struct config_way *upstream_way(struct load *load, const struct config_upstream *upstream)
{
	struct config_ways *ways = &load->snapshot->config.ways;
	const struct config_route route = { .via = CONFIG_VIA_UPSTREAM, .upstream = upstream };

	return ways->items ? share_way((struct config_way *)ways->items, &ways->count, way_of(load, &route))
	                   : NULL;
}

void complete_rules(struct load *load)
{
	struct config *config = &load->snapshot->config;

	for (size_t i = 0; i < config->rules.count; i++) {
		struct config_rule *rule = (struct config_rule *)&config->rules.items[i];

		for (size_t u = 0; u < config->upstreams.count; u++)
			if (text_eq(rule->via_name, config->upstreams.items[u].name))
				rule->upstream_to = &config->upstreams.items[u];
		if (rule->upstream_to)
			rule->way = upstream_way(load, rule->upstream_to);
	}
}
