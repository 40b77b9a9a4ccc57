/* Checks of what mail leaves by: logins, rules. */
#include "check.h"

#include <postrider/base/auto.h>

#include "check_places.h"

static bool has_tokens(const struct config_oauth2 *o)
{
	return o->token_url.len || o->token_file.len || o->token_command.len;
}

static bool shows_a_password(enum config_mechanism m)
{
	return m == CONFIG_MECHANISM_PLAIN || m == CONFIG_MECHANISM_LOGIN || m == CONFIG_MECHANISM_CRAM_MD5 ||
	       m == CONFIG_MECHANISM_SCRAM_SHA_256;
}

static bool takes_a_token(enum config_mechanism m)
{
	return m == CONFIG_MECHANISM_XOAUTH2 || m == CONFIG_MECHANISM_OAUTHBEARER;
}

/* Of a key of this upstream, or of the upstream itself. */
static const struct spot *spot_of(const struct load *load, const struct config_upstream *u, const char *key)
{
	const struct origin *origin =
		origin_find_format(load->snapshot, "upstreams.%.*s.%s", TEXT_ARGS(u->name), key);

	if (!origin)
		origin = origin_find_format(load->snapshot, "upstreams.%.*s", TEXT_ARGS(u->name));
	return origin ? &origin->spot : NULL;
}

static void check_oauth2(struct load *load, const struct config_upstream *u)
{
	const struct config_oauth2 *o = &u->login.oauth2;
	unsigned sources = (o->token_url.len > 0) + (o->token_file.len > 0) + (o->token_command.len > 0);

	if (sources > 1)
		load_expected(load,
		              load_error(load, spot_of(load, u, "oauth2"), "more than one source of tokens"),
		              "one of token_url, token_file, token_command");
	if (o->token_url.len && !o->client_id.len)
		load_error(load, spot_of(load, u, "oauth2"), "oauth2.token_url needs oauth2.client_id");
	if ((o->client_secret.len && o->client_secret_file.len) ||
	    (o->refresh_token.len && o->refresh_token_file.len))
		load_hint(load,
		          load_error(load, spot_of(load, u, "oauth2"),
		                     "both a secret and the file of that secret are set"),
		          "keep the file");
}

static void check_login(struct load *load, const struct config_upstream *u)
{
	const struct config_login *login = &u->login;
	const struct spot *spot = spot_of(load, u, "auth");

	check_oauth2(load, u);
	if (shows_a_password(login->mechanism) && (!login->username.len || !login->secret.len))
		load_expected(load, load_error(load, spot, "this mechanism needs a name and a password"),
		              "username: and password_file:");
	if (takes_a_token(login->mechanism) && (!login->username.len || !has_tokens(&login->oauth2)))
		load_expected(load, load_error(load, spot, "this mechanism needs a name and tokens"),
		              "username: and oauth2:");
	if (login->mechanism == CONFIG_MECHANISM_AUTO && login->username.len && !login->secret.len &&
	    !has_tokens(&login->oauth2) && load->report->error_count == 0)
		load_expected(load,
		              load_error(load, spot_of(load, u, "username"),
		                         "a username without a password and without tokens"),
		              "password_file: or oauth2:");
	if (!login->username.len && login->secret.len)
		load_expected(
			load,
			load_error(load, spot_of(load, u, "password_file"), "a password without a username"),
			"username:");
	if ((u->cert.len > 0) != (u->key.len > 0))
		load_error(load, spot_of(load, u, u->cert.len ? "cert" : "key"),
		           "cert and key belong together");
}

static void check_rules(struct load *load)
{
	const struct config_rules *rules = &load->snapshot->config.rules;

	for (size_t i = 0; i < rules->count; i++) {
		const struct config_rule *rule = &rules->items[i];
		struct item_path path = check_item_path("rules", i);
		bool goes = rule->action == CONFIG_RULE_OTHER_ROUTE;

		if (goes && !rule->upstream_to)
			load_expected(load,
			              load_error(load, check_spot(load, path.at, "via"),
			                         rule->via_name.len ? "there is no upstream \"%.*s\""
			                                            : "other-route needs an upstream%.*s",
			                         SHOWN(rule->via_name)),
			              "via: and the name of an upstream");
		else if (!goes && rule->via_name.len)
			load_error(load, check_spot(load, path.at, "via"), "via belongs to do: other-route");
	}
}

void check_out(struct load *load)
{
	const struct config_upstreams *upstreams = &load->snapshot->config.upstreams;

	for (size_t i = 0; i < upstreams->count; i++)
		check_login(load, &upstreams->items[i]);
	check_rules(load);
}
