/* What the settings of a listener say together. */
#include "check_places.h"

#include <postrider/base/auto.h>

static struct ip_network network(const char *string)
{
	struct ip_network net = { 0 };

	(void)!ip_network_parse(text_from(string), &net);
	return net;
}

static bool covers(struct ip_network outer, struct ip_network inner)
{
	return outer.prefix_bits <= inner.prefix_bits && ip_in(inner.ip, outer);
}

/* A network that no single owner has: neither inside the private ones, nor of a size that is given to one company. */
static bool is_wide_open(struct ip_network net)
{
	static const char *const private_networks[] = {
		"127.0.0.0/8",    "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10",
		"169.254.0.0/16", "::1",        "fc00::/7",      "fe80::/10"
	};

	for (size_t i = 0; i < ARRAY_LEN(private_networks); i++)
		if (covers(network(private_networks[i]), net))
			return false;
	return net.prefix_bits < (net.ip.family == IP_V4 ? 16u : 32u);
}

static bool has_any(const struct config_patterns *patterns)
{
	for (size_t i = 0; i < patterns->count; i++)
		if (patterns->items[i].kind == CONFIG_PATTERN_ANY)
			return true;
	return false;
}

static void refuse_open_relay(struct load *load, const struct config_listener *listener,
                              const struct spot *spot, const char *expected)
{
	struct config_finding *f = load_error(load, spot, "this would be an open relay");

	load_detail(load, f, "anyone who reaches %.*s could send mail to anyone through you",
	            SHOWN(listener->address.text));
	load_expected(load, f, "%s", expected);
}

static void check_open_relay(struct load *load, const struct config_listener *listener, const char *path)
{
	const struct config *config = &load->snapshot->config;

	/* from here only this machine comes in; of an inherited descriptor we do not know yet */
	if (listener->address.is_unix || ip_is_loopback(listener->address.ip))
		return;
	if (!has_any(&config->access.recipients))
		return;
	if (has_any(&listener->accept_for))
		refuse_open_relay(load, listener, check_spot(load, path, "accept_for"),
		                  "accept_for: [example.com], your own domains  or  access.recipients");
	for (size_t i = 0; i < listener->allow.count; i++) {
		if (is_wide_open(listener->allow.items[i])) {
			refuse_open_relay(load, listener, check_spot(load, path, "allow"),
			                  "allow: [10.0.0.0/8], your own networks  or  access.recipients");
			return;
		}
	}
}

static void check_certificate_pair(struct load *load, const struct config_listener *listener,
                                   const char *path)
{
	if (listener->cert.len && !listener->key.len)
		load_expected(
			load,
			load_error(load, check_spot(load, path, "cert"), "a certificate without its key"),
			"key: /etc/postrider/tls/key.pem");
	else if (listener->key.len && !listener->cert.len)
		load_expected(
			load,
			load_error(load, check_spot(load, path, "key"), "a key without its certificate"),
			"cert: /etc/postrider/tls/fullchain.pem");
}

static void check_tls(struct load *load, const struct config_listener *listener, const char *path)
{
	bool has_certificate = listener->cert.len || listener->certificates.count;
	bool asks = listener->client_ca.len || listener->client_fingerprints.count;

	check_certificate_pair(load, listener, path);
	if (listener->tls == CONFIG_TLS_REQUIRE && !has_certificate)
		load_expected(load,
		              load_error(load, check_spot(load, path, "tls"),
		                         "STARTTLS is required, but there is no certificate"),
		              "cert and key, or tls: opportunistic");
	else if (listener->tls == CONFIG_TLS_IMPLICIT && !has_certificate)
		load_expected(
			load,
			load_error(load, check_spot(load, path, "tls"), "tls: implicit needs a certificate"),
			"cert and key, or certificates");
	else if (listener->tls == CONFIG_TLS_NONE && has_certificate)
		load_hint(load,
		          load_warn(load, check_spot(load, path, "tls"),
		                    "there is a certificate, but tls: none does not use it"),
		          "tls: opportunistic offers STARTTLS");
	if (asks && (!has_certificate || listener->tls == CONFIG_TLS_NONE))
		load_hint(load,
		          load_warn(load,
		                    check_spot(load, path,
		                               listener->client_ca.len ? "client_ca" : "client_fingerprints"),
		                    "nobody can show a client certificate here: this listener has no TLS"),
		          "cert and key, and tls: require");
}

/* Whether anybody can log in here at all. */
static void check_auth(struct load *load, const struct config_listener *listener, const char *path)
{
	const struct config_access *access = &load->snapshot->config.access;
	bool has_users = access->users_file.len || access->dovecot.text.len || access->token_check.len ||
	                 listener->client_ca.len || listener->client_fingerprints.count;
	const struct spot *plaintext = check_spot(load, path, "auth_plaintext");

	if (listener->auth != CONFIG_AUTH_NONE && !has_users && !load->incomplete)
		load_expected(load,
		              load_error(load, check_spot(load, path, "auth"),
		                         "clients shall log in, but there is nobody who could"),
		              "access.users_file, access.dovecot, access.token_check or client_ca");
	else if (listener->auth != CONFIG_AUTH_NONE && !listener->auth_plaintext && !listener->cert.len &&
	         !listener->certificates.count && !listener->address.is_unix)
		load_hint(load,
		          load_warn(load, check_spot(load, path, "auth"),
		                    "without a certificate only SCRAM-SHA-256 can be used to log in"),
		          "cert and key, so that clients can use TLS");
	if (listener->auth_plaintext && listener->auth != CONFIG_AUTH_NONE)
		load_detail(load,
		            load_warn(load, plaintext,
		                      "passwords may come in without TLS on listener \"%.*s\"",
		                      SHOWN(listener->name)),
		            "whoever can listen to the network can read them");
}

/* What only believes a network must not believe everybody: the client's address and rights are what these say. */
static void check_believed(struct load *load, const struct config_networks *networks, const char *path,
                           const char *key)
{
	for (size_t i = 0; i < networks->count; i++) {
		if (networks->items[i].prefix_bits > 0)
			continue;
		load_detail(load,
		            load_error(load, check_spot(load, path, key), "%s would believe everybody", key),
		            "whoever connects could claim to be any client");
		return;
	}
}

/* Whether both cannot be listened on. Port 0 is a free one each time. */
static bool same_address(const struct config_endpoint *a, const struct config_endpoint *b)
{
	if (a->is_fd || b->is_fd)
		return a->is_fd && b->is_fd && text_eq(a->host, b->host);
	if (a->is_unix || b->is_unix)
		return a->is_unix && b->is_unix && text_eq(a->host, b->host);
	if (a->port != b->port || a->port == 0)
		return false;
	if (ip_eq(a->ip, b->ip))
		return true;
	/* [::] takes IPv4 too */
	if ((check_is_unspecified(a->ip) && a->ip.family == IP_V6) ||
	    (check_is_unspecified(b->ip) && b->ip.family == IP_V6))
		return true;
	return a->ip.family == b->ip.family && (check_is_unspecified(a->ip) || check_is_unspecified(b->ip));
}

static void check_twins(struct load *load, size_t number)
{
	const struct config_listeners *listen = &load->snapshot->config.listen;
	const struct config_listener *this = &listen->items[number];
	struct item_path path = check_item_path("listen", number);

	for (size_t i = 0; i < number; i++) {
		const struct config_listener *other = &listen->items[i];
		const struct origin *first = WRITTEN(load, "listen[%zu]", i);
		struct config_finding *f = NULL;

		if (!first)
			continue;
		if (same_address(&this->address, &other->address))
			f = load_error(load, check_spot(load, path.at, "address"),
			               "%.*s is taken by the listener \"%.*s\"", SHOWN(this->address.text),
			               SHOWN(other->name));
		else if (text_eq(this->name, other->name))
			f = load_error(load, check_spot(load, path.at, "name"),
			               "a second listener named \"%.*s\"", SHOWN(this->name));
		load_see(load, f, &first->spot);
	}
}

static void check_hand_over(struct load *load, const struct config_listener *listener, const char *path)
{
	if (listener->has_hand_over_timeout && listener->hand_over == CONFIG_STORE)
		load_hint(load,
		          load_warn(load, check_spot(load, path, "hand_over_timeout"),
		                    "hand_over_timeout has no meaning with hand_over: store"),
		          "hand_over: through_or_store");
}

void check_listeners(struct load *load)
{
	const struct config_listeners *listen = &load->snapshot->config.listen;

	for (size_t i = 0; i < listen->count; i++) {
		struct item_path path = check_item_path("listen", i);
		const struct origin *origin = origin_find(load->snapshot, text_from(path.at));

		if (origin && origin->bad)
			continue;
		check_open_relay(load, &listen->items[i], path.at);
		check_tls(load, &listen->items[i], path.at);
		check_auth(load, &listen->items[i], path.at);
		check_believed(load, &listen->items[i].proxy_protocol, path.at, "proxy_protocol");
		check_believed(load, &listen->items[i].xclient, path.at, "xclient");
		check_hand_over(load, &listen->items[i], path.at);
		check_twins(load, i);
	}
}
