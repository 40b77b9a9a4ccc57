#include "check.h"

#include <postrider/base/auto.h>

#include "check_places.h"

/* Comparisons of routes with each other; with thousands of routes the rest is not compared. */
#define COMPARISONS_MAX 2000000

/* ---------------------------------------------------------------- upstreams */

static bool is_ours(const struct config_endpoint *host, const struct config_endpoint *listener)
{
	if (listener->is_unix || listener->is_fd || host->port != listener->port)
		return false;
	if (host->ip.family == IP_NONE)
		return text_eq_nocase(host->host, TEXT("localhost")) &&
		       (ip_is_loopback(listener->ip) || check_is_unspecified(listener->ip));
	return ip_eq(host->ip, listener->ip) ||
	       (check_is_unspecified(listener->ip) && ip_is_loopback(host->ip));
}

static void check_hosts(struct load *load, const struct config_upstream *upstream, const struct spot *spot)
{
	const struct config *config = &load->snapshot->config;

	for (size_t h = 0; h < upstream->hosts.count; h++) {
		const struct config_endpoint *host = &upstream->hosts.items[h];

		for (size_t i = 0; i < config->listen.count; i++) {
			if (!is_ours(host, &config->listen.items[i].address))
				continue;
			load_detail(load,
			            load_warn(load, spot, "%.*s is our own listener \"%.*s\"",
			                      SHOWN(host->text), SHOWN(config->listen.items[i].name)),
			            "mail would go around in circles until access.max_hops");
		}
		if (host->port == 25 && upstream->protocol == CONFIG_LMTP)
			load_detail(load, load_error(load, spot, "LMTP must not be spoken on port 25"),
			            "a server there may be meant for SMTP (RFC 2033 section 5)");
		if (host->port == 465 && upstream->tls != CONFIG_TLS_IMPLICIT)
			load_hint(load, load_warn(load, spot, "port 465 expects TLS from the first octet"),
			          "tls: implicit");
	}
}

static bool is_used(const struct config *config, const struct config_upstream *upstream)
{
	for (size_t i = 0; i < config->routes.count; i++)
		if (config->routes.items[i].upstream == upstream)
			return true;
	return false;
}

static void check_upstreams(struct load *load)
{
	const struct config *config = &load->snapshot->config;

	for (size_t i = 0; i < config->upstreams.count; i++) {
		const struct config_upstream *upstream = &config->upstreams.items[i];
		const struct origin *origin = WRITTEN(load, "upstreams.%.*s", TEXT_ARGS(upstream->name));
		const struct origin *hosts = WRITTEN(load, "upstreams.%.*s.hosts", TEXT_ARGS(upstream->name));
		const struct origin *verify =
			WRITTEN(load, "upstreams.%.*s.verify", TEXT_ARGS(upstream->name));

		if (!origin)
			continue;
		if (upstream->hosts.count)
			check_hosts(load, upstream, hosts ? &hosts->spot : &origin->spot);
		else if (hosts || !origin_find_format(load->snapshot, "upstreams.%.*s.provider",
		                                      TEXT_ARGS(upstream->name)))
			load_expected(load,
			              load_error(load, hosts ? &hosts->spot : &origin->spot,
			                         "this upstream has no hosts"),
			              hosts ? "hosts: [mx1.corp.example:25]"
			                    : "hosts: [mx1.corp.example:25], or provider:");
		if (!upstream->verify && verify && check_requires_tls(config, upstream))
			load_detail(load,
			            load_warn(load, &verify->spot,
			                      "the certificate of upstream \"%.*s\" is not checked",
			                      SHOWN(upstream->name)),
			            "anyone between us and it can read and change the mail");
		/* after an error in a route this would be a guess */
		if (!is_used(config, upstream) && !load->incomplete && load->report->error_count == 0)
			load_warn(load, &origin->spot, "no route goes via upstream \"%.*s\"",
			          SHOWN(upstream->name));
	}
}

/* ---------------------------------------------------------------- routes */

/* `any` is whoever has logged in. */
static bool covers_users(const struct config_texts *wide, const struct config_texts *narrow)
{
	for (size_t i = 0; i < wide->count; i++)
		if (text_eq(wide->items[i], TEXT("any")))
			return narrow->count > 0;
	return check_covers_texts(wide, narrow);
}

/* What wide asks of a header field, narrow asks too. */
static bool covers_fields(const struct config_header_matches *wide,
                          const struct config_header_matches *narrow)
{
	for (size_t w = 0; w < wide->count; w++) {
		bool asked = false;

		for (size_t n = 0; n < narrow->count; n++)
			asked |= text_eq_nocase(wide->items[w].name, narrow->items[n].name) &&
			         (text_eq(wide->items[w].value, TEXT("*")) ||
			          text_eq_nocase(wide->items[w].value, narrow->items[n].value));
		if (!asked)
			return false;
	}
	return true;
}

static bool covers_sizes(const struct config_route *wide, const struct config_route *narrow)
{
	return wide->min_size_bytes <= narrow->min_size_bytes &&
	       (!wide->max_size_bytes ||
	        (narrow->max_size_bytes && narrow->max_size_bytes <= wide->max_size_bytes));
}

static bool covers_route(const struct config_route *wide, const struct config_route *narrow, size_t *budget)
{
	return covers_users(&wide->user, &narrow->user) && covers_fields(&wide->header, &narrow->header) &&
	       covers_sizes(wide, narrow) && check_covers_texts(&wide->listener, &narrow->listener) &&
	       check_covers_patterns(&wide->to, &narrow->to, budget) &&
	       check_covers_patterns(&wide->from, &narrow->from, budget);
}

static void check_reached(struct load *load, size_t number, size_t *budget)
{
	const struct config_routes *routes = &load->snapshot->config.routes;

	for (size_t i = 0; i<number && * budget> 0; i++, --*budget) {
		if (!covers_route(&routes->items[i], &routes->items[number], budget))
			continue;
		const struct origin *first = WRITTEN(load, "routes[%zu]", i);
		const struct origin *second = WRITTEN(load, "routes[%zu]", number);

		/* a route with an error may look wider than it is meant */
		if (!first || !second)
			continue;
		struct config_finding *f =
			load_warn(load, &second->spot,
		                  "this route is never reached: route #%zu matches all that it would", i + 1);

		load_hint(load, f, "put the narrower route first");
		load_see(load, f, &first->spot);
		return;
	}
}

/* What comes in without a listener is matched by these names: the control socket and the two directories. */
static bool is_other_door(struct text name)
{
	return text_eq(name, TEXT("admin")) || text_eq(name, TEXT("drop")) || text_eq(name, TEXT("pickup"));
}

static void check_listener_names(struct load *load, size_t number)
{
	const struct config *config = &load->snapshot->config;
	const struct config_texts *names = &config->routes.items[number].listener;
	struct item_path path = check_item_path("routes", number);

	for (size_t n = 0; n < names->count; n++) {
		bool found = is_other_door(names->items[n]);

		for (size_t i = 0; i < config->listen.count; i++)
			found |= text_eq(config->listen.items[i].name, names->items[n]);
		if (found)
			continue;
		AUTO(buf_fini) struct buf expected = BUF(1000);

		for (size_t i = 0; i < config->listen.count && i < 20; i++)
			buf_add_format(&expected, "%s%.*s", i ? ", " : "",
			               TEXT_ARGS(config->listen.items[i].name));
		buf_add(&expected, TEXT(", admin, drop, pickup"));
		load_expected(load,
		              load_error(load, check_spot(load, path.at, "listener"),
		                         "there is no listener \"%.*s\"", SHOWN(names->items[n])),
		              "one of %.*s", TEXT_ARGS(buf_text(&expected)));
	}
}

/* Whether anybody can have a name there: by a login, a certificate, or because a peer says so. */
static bool knows_users(const struct config *config)
{
	for (size_t i = 0; i < config->listen.count; i++) {
		const struct config_listener *l = &config->listen.items[i];

		if (l->auth != CONFIG_AUTH_NONE || l->client_ca.len || l->client_fingerprints.count ||
		    l->xclient.count)
			return true;
	}
	return false;
}

static void check_empty_lists(struct load *load, const struct config_route *route, const char *path)
{
	if (route->to.count == 0)
		load_expected(load, load_error(load, check_spot(load, path, "to"), "a route to nobody"),
		              "to: any");
	if (route->from.count == 0)
		load_expected(load, load_error(load, check_spot(load, path, "from"), "a route from nobody"),
		              "from: any");
}

static void check_routes(struct load *load)
{
	const struct config *config = &load->snapshot->config;
	size_t budget = COMPARISONS_MAX;
	bool any_direct = false;

	for (size_t i = 0; i < config->routes.count; i++) {
		const struct config_route *route = &config->routes.items[i];
		struct item_path path = check_item_path("routes", i);
		const struct origin *origin = origin_find(load->snapshot, text_from(path.at));

		if (!origin || origin->bad)
			continue;
		any_direct |= route->via == CONFIG_VIA_DIRECT;
		check_empty_lists(load, route, path.at);
		if (!load->incomplete)
			check_listener_names(load, i);
		check_reached(load, i, &budget);
		if (route->user.count && !load->incomplete && !knows_users(config))
			load_hint(load,
			          load_warn(load, check_spot(load, path.at, "user"),
			                    "nobody can log in, and no mail has a user"),
			          "listen: [{auth: optional}] and access.users_file");
	}
	if (any_direct && text_find_octet(config->hostname, '.') == config->hostname.len) {
		const struct origin *origin = origin_find(load->snapshot, TEXT("hostname"));

		load_hint(load,
		          load_warn(load, origin ? &origin->spot : NULL,
		                    "hostname \"%.*s\" is not a full name: servers may refuse mail from it",
		                    SHOWN(config->hostname)),
		          "set hostname to a name that leads to this machine");
	}
}

/* ---------------------------------------------------------------- the rest */

static void check_sizes(struct load *load)
{
	const struct config *config = &load->snapshot->config;
	const struct origin *message = WRITTEN(load, "access.max_message_size");
	const struct origin *spool = WRITTEN(load, "spool.max_size");
	const struct origin *durable = WRITTEN(load, "spool.durable");

	if ((message || spool) && config->access.max_message_size_bytes >
	                                  config->spool.max_size_bytes - config->spool.reserve_bytes)
		load_expected(load,
		              load_error(load, message ? &message->spot : &spool->spot,
		                         "a message of access.max_message_size would not fit into the spool"),
		              "spool.max_size, without its reserve, above access.max_message_size");
	if (durable && !config->spool.durable)
		load_detail(
			load,
			load_warn(load, &durable->spot, "spool.durable is off: nothing is synced to disk"),
			"a crash of the machine loses mail that was accepted");
}

void check(struct load *load)
{
	check_listeners(load);
	check_upstreams(load);
	check_routes(load);
	check_sizes(load);
	check_out(load);
}
