/* Checks of what mail leaves by: logins, certificates, hosts of upstreams; what routes say for some mail. */
#include "check.h"

#include <postrider/base/auto.h>
#include <postrider/base/url.h>

#include "check_places.h"
#include "providers.h"

static bool has_tokens(const struct config_oauth2 *o)
{
	return o->token_url.len || o->token_file.len || o->token_command.len;
}

/* What cannot be read was refused already. */
static bool has_password(const struct config_login *login)
{
	return login->secret.len || login->password_file.len;
}

static bool is_by_password(enum config_mechanism m)
{
	return m == CONFIG_MECHANISM_PLAIN || m == CONFIG_MECHANISM_LOGIN || m == CONFIG_MECHANISM_CRAM_MD5 ||
	       m == CONFIG_MECHANISM_SCRAM_SHA_256;
}

static bool is_by_token(enum config_mechanism m)
{
	return m == CONFIG_MECHANISM_XOAUTH2 || m == CONFIG_MECHANISM_OAUTHBEARER;
}

/* Of a key of this upstream, or of the upstream itself. */
static const struct spot *spot_of(const struct load *load, const struct config_upstream *u, const char *key)
{
	const struct origin *origin =
		origin_find_format(load->snapshot, "upstreams.%.*s.%s", TEXT_ARGS(u->name), key);

	if (!origin || origin->spot.source->kind == SOURCE_DEFAULT)
		origin = origin_find_format(load->snapshot, "upstreams.%.*s", TEXT_ARGS(u->name));
	return origin ? &origin->spot : NULL;
}

/* ---------------------------------------------------------------- logging in */

/* Secrets go there. */
static void check_token_url(struct load *load, const struct config_upstream *u)
{
	struct text text = u->login.oauth2.token_url;
	const char *why;
	struct url url;

	if (text.len == 0)
		return;
	if (url_parse(text, &url, &why))
		load_expected(load,
		              load_error(load, spot_of(load, u, "oauth2.token_url"), "the token_url %s", why),
		              "a URL such as https://login.example.com/token");
	else if (!url.is_https && !ip_is_loopback(url.ip))
		load_expected(
			load,
			load_error(load, spot_of(load, u, "oauth2.token_url"),
		                   "the token_url would send secrets over the network in clear"),
			"https://, or http:// to an address of this machine: http://127.0.0.1:9000/token");
}

static void check_oauth2(struct load *load, const struct config_upstream *u)
{
	const struct config_oauth2 *o = &u->login.oauth2;
	unsigned sources = (o->token_url.len > 0) + (o->token_file.len > 0) + (o->token_command.len > 0);
	bool has_secret = o->client_secret.len || o->client_secret_file.len,
	     has_refresh = o->refresh_token.len || o->refresh_token_file.len;

	if (sources > 1)
		load_expected(load,
		              load_error(load, spot_of(load, u, "oauth2"), "more than one source of tokens"),
		              "one of token_url, token_file, token_command");
	if (o->token_url.len && !o->client_id.len)
		load_expected(load,
		              load_error(load, spot_of(load, u, "oauth2.token_url"),
		                         "a token_url needs a client_id"),
		              "client_id:");
	if (o->token_url.len && !has_secret && !has_refresh)
		load_expected(load,
		              load_error(load, spot_of(load, u, "oauth2.token_url"),
		                         "nothing that a token would be given for"),
		              "client_secret_file:, or refresh_token_file:");
	if (!o->token_url.len && (o->client_id.len || has_secret || has_refresh))
		load_expected(load, load_error(load, spot_of(load, u, "oauth2"), "nobody to ask for a token"),
		              "token_url:");
	check_token_url(load, u);
}

/* Whether some mail goes there without a login of its route's own. */
static bool needs_login(const struct config *config, const struct config_upstream *u)
{
	bool is_used = false;

	for (size_t i = 0; i < config->routes.count; i++) {
		if (config->routes.items[i].upstream != u)
			continue;
		is_used = true;
		if (!config->routes.items[i].login.username.len)
			return true;
	}
	return !is_used;
}

/* What the user has to say, in the provider's words. False: something is missing. */
static bool check_provider(struct load *load, const struct config_upstream *u)
{
	const struct provider *p = provider_find(u->provider);
	const struct config_login *login = &u->login;
	const struct spot *spot = spot_of(load, u, "provider");
	bool by_name = is_by_password(login->mechanism) || is_by_token(login->mechanism) ||
	               (login->mechanism == CONFIG_MECHANISM_AUTO && !u->cert.len);
	size_t errors = load->report->error_count;

	if (!p || !by_name || !needs_login(&load->snapshot->config, u))
		return true;
	if (p->open && !login->username.len && !has_password(login) && !has_tokens(&login->oauth2))
		return true;
	if (p->username && !p->username_is_password && !login->username.len)
		load_expected(load, load_error(load, spot, "provider %s needs a username", p->name),
		              "username: %s", p->username);
	if (!has_password(login) && !has_tokens(&login->oauth2))
		load_expected(load, load_error(load, spot, "provider %s needs a password", p->name),
		              "password_file: with %s", p->password);
	return load->report->error_count == errors;
}

static void check_login(struct load *load, const struct config_upstream *u)
{
	const struct config_login *login = &u->login;
	const struct provider *provider = provider_find(u->provider);
	const struct spot *spot = spot_of(load, u, "auth");
	bool has_name = login->username.len || (provider && provider->username_is_password);

	check_oauth2(load, u);
	if (!check_provider(load, u) || !needs_login(&load->snapshot->config, u))
		return;
	if (is_by_password(login->mechanism) && (!has_name || !has_password(login)))
		load_expected(load, load_error(load, spot, "this mechanism needs a name and a password"),
		              "username: and password_file:");
	else if (is_by_token(login->mechanism) && (!login->username.len || !has_tokens(&login->oauth2)))
		load_expected(load, load_error(load, spot, "this mechanism needs a name and tokens"),
		              "username: and oauth2:");
	else if (login->mechanism == CONFIG_MECHANISM_EXTERNAL && !u->cert.len)
		load_expected(load, load_error(load, spot, "external means the certificate that we show"),
		              "cert: and key:");
	else if (login->mechanism == CONFIG_MECHANISM_AUTO && login->username.len && !has_password(login) &&
	         !has_tokens(&login->oauth2))
		load_expected(load,
		              load_error(load, spot_of(load, u, "username"),
		                         "a username without a password and without tokens"),
		              "password_file: or oauth2:");
	else if (login->mechanism == CONFIG_MECHANISM_NONE && (login->username.len || has_password(login)))
		load_warn(load, spot, "auth: none: nobody is logged in, whatever stands beside it");
	if (!has_name && has_password(login))
		load_expected(load,
		              load_error(load,
		                         spot_of(load, u, login->password.len ? "password" : "password_file"),
		                         "a password without a username"),
		              "username:");
}

/* Nobody is in between. */
static bool is_local(const struct config_upstream *u)
{
	for (size_t i = 0; i < u->hosts.count; i++)
		if (u->mx || !(u->hosts.items[i].is_unix || ip_is_loopback(u->hosts.items[i].ip)))
			return false;
	return u->hosts.count > 0;
}

/* Why a login would be shown to whoever answers; NULL: it would not. */
static const char *exposure(const struct config_way *way)
{
	const struct config_upstream *u = way->upstream;

	if (way->tls != CONFIG_TLS_REQUIRE && way->tls != CONFIG_TLS_IMPLICIT)
		return "TLS is not demanded";
	if (!u->verify)
		return "verify: false takes any certificate";
	if (u->mx && !u->server_name.len && !u->pins.count && !u->dane)
		return "the DNS says which host it is (mx: true), and that is what its certificate is compared with";
	return NULL;
}

/* A login that anyone on the way may read, or take from us by claiming to be the upstream. */
static void check_exposure(struct load *load, const struct config_upstream *u)
{
	const struct config *config = &load->snapshot->config;

	for (size_t i = 0; i < config->ways.count; i++) {
		const struct config_way *way = &config->ways.items[i];
		const char *why = way->upstream == u ? exposure(way) : NULL;
		struct config_finding *f;

		if (!why || !way->login || way->login->mechanism == CONFIG_MECHANISM_EXTERNAL || is_local(u))
			continue;
		if (u->auth_plaintext) {
			f = load_warn(load, spot_of(load, u, "auth_plaintext"),
			              "the login at upstream \"%.*s\" is shown to whoever answers there",
			              SHOWN(u->name));
			load_detail(load, f, "%s", why);
			return;
		}
		f = load_error(load, spot_of(load, u, u->verify ? "tls" : "verify"),
		               "the login at upstream \"%.*s\" would be shown to whoever answers there",
		               SHOWN(u->name));
		load_detail(load, f, "%s", why);
		load_hint(load, f, "%s",
		          u->verify && u->mx ? "server_name:"
		                             : "tls: require with verify: true; or auth_plaintext: true");
		return;
	}
}

/* ---------------------------------------------------------------- certificates */

bool check_requires_tls(const struct config *config, const struct config_upstream *u)
{
	bool requires = u->tls == CONFIG_TLS_REQUIRE || u->tls == CONFIG_TLS_IMPLICIT;

	for (size_t i = 0; i < config->ways.count; i++)
	requires |= config->ways.items[i].upstream == u && (config->ways.items[i].tls == CONFIG_TLS_REQUIRE ||
	                                                    config->ways.items[i].tls == CONFIG_TLS_IMPLICIT);
	return requires;
}

static void check_proof(struct load *load, const struct config_upstream *u)
{
	const struct {
		const char *key;
		bool written;
		bool contradicts; /* verify: false */
	} proofs[] = { { "pins", u->pins.count > 0, true },
		       { "dane", u->dane, true },
		       { "server_name", u->server_name.len > 0, false },
		       { "ca_file", u->ca_file.len > 0, false } };
	bool requires = check_requires_tls(&load->snapshot->config, u);

	for (size_t i = 0; i < ARRAY_LEN(proofs); i++) {
		const struct spot *spot = spot_of(load, u, proofs[i].key);

		if (!proofs[i].written)
			continue;
		if (!u->verify && proofs[i].contradicts)
			load_expected(load,
			              load_error(load, spot,
			                         "verify: false takes any certificate, and %s does not",
			                         proofs[i].key),
			              "one of the two");
		else if (!u->verify)
			load_warn(load, spot, "%s is not looked at with verify: false", proofs[i].key);
		else if (!requires)
			load_hint(load,
			          load_warn(load, spot,
			                    "%s is not looked at without `tls: require` or `implicit`",
			                    proofs[i].key),
			          "tls: require");
	}
	if ((u->cert.len > 0) != (u->key.len > 0))
		load_expected(load,
		              load_error(load, spot_of(load, u, u->cert.len ? "cert" : "key"),
		                         u->cert.len ? "a certificate without its key"
		                                     : "a key without its certificate"),
		              u->cert.len ? "key:" : "cert:");
}

/* ---------------------------------------------------------------- hosts */

static void check_weights(struct load *load, const struct config_upstream *u)
{
	size_t weighted = 0;

	for (size_t i = 0; i < u->hosts.count; i++)
		weighted += u->hosts.items[i].weight > 1;
	if (weighted && u->balance == CONFIG_BALANCE_ORDER)
		load_hint(load,
		          load_warn(load, spot_of(load, u, "hosts"),
		                    "weights have no meaning with balance: order"),
		          "balance: weighted");
}

static void check_mx(struct load *load, const struct config_upstream *u)
{
	for (size_t i = 0; u->mx && i < u->hosts.count; i++)
		if (u->hosts.items[i].ip.family != IP_NONE) {
			load_expected(load,
			              load_error(load, spot_of(load, u, "hosts"),
			                         "an address has no MX hosts: %.*s",
			                         SHOWN(u->hosts.items[i].text)),
			              "a domain, or mx: false");
			return;
		}
	if (u->mx && u->protocol == CONFIG_LMTP)
		load_warn(load, spot_of(load, u, "mx"), "MX hosts speak SMTP, not LMTP");
}

static void check_region(struct load *load, const struct config_upstream *u)
{
	const struct provider *p = provider_find(u->provider);

	if (!u->provider.len && u->region.len)
		load_expected(load,
		              load_error(load, spot_of(load, u, "region"), "a region belongs to a provider"),
		              "provider:");
	else if (p && p->any_region && !u->hosts.count &&
	         !origin_find_format(load->snapshot, "upstreams.%.*s.region", TEXT_ARGS(u->name)))
		load_expected(
			load,
			load_error(load, spot_of(load, u, "provider"), "provider %s needs a region", p->name),
			"region: %s", p->any_region);
}

/* ---------------------------------------------------------------- routes */

static const struct {
	const char *key;
	bool upstream_only;
} road_keys[] = { { "tls", false },    { "username", true }, { "password", true }, { "password_file", true },
	          { "source", false }, { "helo", false },    { "ip", false },      { "retry", false },
	          { "class", false },  { "ledger", false },  { "unknown", false } };

/* What is said of a road that is not taken. */
static void check_road(struct load *load, const struct config_route *route, const char *path)
{
	bool leaves = route->via == CONFIG_VIA_UPSTREAM || route->via == CONFIG_VIA_DIRECT;

	for (size_t i = 0; i < ARRAY_LEN(road_keys); i++) {
		const struct origin *origin = WRITTEN(load, "%s.%s", path, road_keys[i].key);

		if (!origin)
			continue;
		if (!leaves || (road_keys[i].upstream_only && route->via == CONFIG_VIA_DIRECT))
			load_warn(load, &origin->spot, "%s has no meaning via %.*s", road_keys[i].key,
			          SHOWN(route->via_name));
	}
}

static void check_route_login(struct load *load, const struct config_route *route, const char *path)
{
	const struct config_login *login = &route->login;
	const struct config_upstream *u = route->upstream;

	if (!u)
		return;
	if (login->username.len && !has_password(login))
		load_expected(
			load,
			load_error(load, check_spot(load, path, "username"), "a username without a password"),
			"password_file:");
	if (!login->username.len && has_password(login))
		load_expected(
			load,
			load_error(load,
		                   check_spot(load, path, login->password.len ? "password" : "password_file"),
		                   "a password without a username"),
			"username:");
	if (!login->username.len)
		return;
	if (u->login.mechanism == CONFIG_MECHANISM_NONE || u->login.mechanism == CONFIG_MECHANISM_EXTERNAL ||
	    is_by_token(u->login.mechanism))
		load_expected(load,
		              load_error(load, check_spot(load, path, "username"),
		                         "upstream \"%.*s\" takes no passwords", SHOWN(u->name)),
		              "auth: auto there, or an upstream of its own with other credentials");
}

static void check_sizes(struct load *load, const struct config_route *route, const char *path)
{
	uint64_t most = load->snapshot->config.access.max_message_size_bytes;

	if (route->max_size_bytes && route->min_size_bytes > route->max_size_bytes)
		load_error(load, check_spot(load, path, "min_size"),
		           "no message is larger than min_size and "
		           "smaller than max_size");
	else if (route->min_size_bytes && most && route->min_size_bytes > most)
		load_warn(load, check_spot(load, path, "min_size"),
		          "no message of that size is taken: access.max_message_size is smaller");
}

static void check_routes(struct load *load)
{
	const struct config_routes *routes = &load->snapshot->config.routes;

	for (size_t i = 0; i < routes->count; i++) {
		struct item_path path = check_item_path("routes", i);
		const struct origin *origin = origin_find(load->snapshot, text_from(path.at));

		if (!origin || origin->bad)
			continue;
		check_road(load, &routes->items[i], path.at);
		check_route_login(load, &routes->items[i], path.at);
		check_sizes(load, &routes->items[i], path.at);
	}
}

/* ---------------------------------------------------------------- all of it */

void check_out(struct load *load)
{
	const struct config *config = &load->snapshot->config;

	for (size_t i = 0; i < config->upstreams.count; i++) {
		const struct config_upstream *u = &config->upstreams.items[i];

		if (!WRITTEN(load, "upstreams.%.*s", TEXT_ARGS(u->name)))
			continue;
		check_region(load, u);
		check_login(load, u);
		check_exposure(load, u);
		check_proof(load, u);
		check_weights(load, u);
		check_mx(load, u);
	}
	check_routes(load);
	check_pace(load);
}
