/* Who may send what to whom. */
#include <postrider/route.h>

#define DOMAIN_MAX 255

static bool networks_have(const struct config_networks *networks, struct ip ip)
{
	for (size_t i = 0; i < networks->count; i++)
		if (ip_in(ip, networks->items[i]))
			return true;
	return false;
}

bool route_may_relay(const struct config_listener *listener, struct ip client)
{
	/* An inherited socket may be one too: then, and only then, its client has no IP address. */
	if (listener->address.is_unix || (listener->address.is_fd && client.family == IP_NONE))
		return client.family == IP_NONE;
	return networks_have(&listener->allow, client);
}

bool route_is_denied(const struct config *config, struct ip client)
{
	return networks_have(&config->access.deny, client);
}

bool route_is_proxy(const struct config_listener *listener, struct ip client)
{
	return networks_have(&listener->proxy_protocol, client);
}

bool route_may_xclient(const struct config_listener *listener, struct ip client)
{
	return networks_have(&listener->xclient, client);
}

bool route_sender_allowed(const struct config *config, struct text reverse_path)
{
	return reverse_path.len == 0 || config_patterns_find(&config->access.senders, reverse_path);
}

static bool is_postmaster(const struct config *config, struct text forward_path)
{
	struct config_mailbox m = config_mailbox_of(forward_path);

	return text_eq_nocase(m.local, TEXT("postmaster")) &&
	       (m.domain.len == 0 || text_eq_nocase(m.domain, config->hostname));
}

/* postmaster and postmaster@<hostname> are one mailbox, under whichever of the two a rule speaks of it. */
static const struct config_rewrite_rule *find_rule(const struct config *config, struct text forward_path)
{
	const struct config_rewrites *rules = &config->rewrite.recipients;
	const struct text bare = LIT("postmaster");
	char whole[sizeof("postmaster@") + DOMAIN_MAX];

	if (!is_postmaster(config, forward_path))
		return config_rewrites_find(rules, forward_path);
	const struct config_rewrite_rule *rule = config_rewrites_find(rules, bare);

	if ((rule && rule->match.kind == CONFIG_PATTERN_ADDRESS) || config->hostname.len > DOMAIN_MAX)
		return rule;
	memcpy(whole, bare.at, bare.len);
	whole[bare.len] = '@';
	memcpy(whole + bare.len + 1, config->hostname.at, config->hostname.len);
	return config_rewrites_find(rules, text_of(whole, bare.len + 1 + config->hostname.len));
}

/* "ann%elsewhere.example@example.com": some servers behind us would send it on to elsewhere.example. */
static bool routes_inside(struct text forward_path)
{
	struct text local = config_mailbox_of(forward_path).local;

	for (size_t i = 0; i < local.len; i++)
		if (local.at[i] == '%' || local.at[i] == '!' || local.at[i] == '@')
			return true;
	return false;
}

enum route_admission route_admit_recipient(const struct config *config,
                                           const struct config_listener *listener, bool may_relay,
                                           struct text forward_path)
{
	/* "MUST be supported" (RFC 5321 section 4.5.1), for strangers as far as it leads somewhere */
	if (is_postmaster(config, forward_path) && (may_relay || find_rule(config, forward_path)))
		return ROUTE_ADMITTED;
	if (!may_relay &&
	    (routes_inside(forward_path) || !config_patterns_find(&listener->accept_for, forward_path)))
		return ROUTE_RELAY_DENIED;
	if (!config_patterns_find(&config->access.recipients, forward_path))
		return ROUTE_RECIPIENT_DENIED;
	return ROUTE_ADMITTED;
}

const struct config_rewrite_rule *route_rewrite_recipient(const struct config *config,
                                                          struct text forward_path, struct buf *out)
{
	const struct config_rewrite_rule *rule = find_rule(config, forward_path);

	if (rule && rule->address.len) {
		buf_add(out, rule->address);
	} else if (rule) {
		/* as written, with its quotes */
		struct text domain = config_mailbox_of(forward_path).domain;

		buf_add(out, text_head(forward_path, (size_t)(domain.at - forward_path.at)));
		if (domain.len == 0)
			buf_add_octet(out, '@');
		buf_add(out, rule->domain);
	} else {
		buf_add(out, forward_path);
		if (is_postmaster(config, forward_path) && config_mailbox_of(forward_path).domain.len == 0) {
			buf_add_octet(out, '@');
			buf_add(out, config->hostname);
		}
	}
	return rule;
}

bool route_target_allowed(const struct config *config, struct ip ip, const struct config_ips *own,
                          const char **why)
{
	const char *reason = NULL;

	if (ip_is_loopback(ip))
		reason = "a loopback address";
	else if (ip_is_private(ip))
		reason = "a private address";
	for (size_t i = 0; i < own->count && !reason; i++)
		if (ip_eq(own->items[i], ip))
			reason = "our own address";
	if (!reason || networks_have(&config->direct.allow_private, ip))
		return true;
	if (why)
		*why = reason;
	return false;
}
