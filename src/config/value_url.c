/* URLs of services on this machine. */
#include "value.h"

#define URL_MAX 2000
#define UNIX_PATH_MAX 107

static enum err refuse(const char **why, const char *words)
{
	*why = words;
	return ERR_SYNTAX;
}

static bool has_odd_octets(struct text t)
{
	for (size_t i = 0; i < t.len; i++) {
		if (t.at[i] <= ' ' || t.at[i] >= 0x7f || t.at[i] == '#' || t.at[i] == '@')
			return true;
	}
	return false;
}

/* As nginx writes it. */
static enum err take_unix(struct text rest, struct config_local_url *out, const char **why)
{
	out->unix_path = text_cut(&rest, ':');
	out->host = TEXT("localhost");
	out->target = rest;
	if (out->unix_path.len == 0 || out->unix_path.at[0] != '/' || out->unix_path.len > UNIX_PATH_MAX)
		return refuse(why, "names no socket: write http://unix:/path/of/socket:/path/of/request");
	return ERR_OK;
}

static enum err take_ip(struct text rest, struct config_local_url *out, const char **why)
{
	size_t slash = text_find_octet(rest, '/');
	uint64_t port;

	out->host = text_head(rest, slash);
	out->target = text_skip(rest, slash);
	if (text_starts_nocase(out->host, TEXT("localhost:"))) {
		out->ip.ip = ip_from_v4(0x7f000001);
		if (text_to_u64(text_skip(out->host, 10), UINT16_MAX, &port) || port == 0)
			return refuse(why, "has no port that could be one");
		out->ip.port = (uint16_t)port;
	} else if (ip_port_parse(out->host, &out->ip) || out->ip.port == 0) {
		return refuse(why, "must have an IP address and a port: http://127.0.0.1:9000/check");
	}
	if (!ip_is_loopback(out->ip.ip))
		return refuse(
			why,
			"would send secrets over the network: the service must be on this machine, at a loopback "
			"address or at http://unix:/path/of/socket:/path/of/request");
	return ERR_OK;
}

enum err config_local_url_parse(struct text url, struct config_local_url *out, const char **why)
{
	static const struct text http = LIT("http://");
	struct config_local_url u = { .unix_path = TEXT_EMPTY };
	enum err err;

	if (text_starts_nocase(url, TEXT("https://")))
		return refuse(
			why,
			"must begin with http://: the service has to be on this machine, where TLS would hide "
			"nothing from anybody");
	if (!text_starts_nocase(url, http) || url.len > URL_MAX || has_odd_octets(url))
		return refuse(why, "is no URL such as http://127.0.0.1:9000/check");
	struct text rest = text_skip(url, http.len);

	err = text_starts(rest, TEXT("unix:")) ? take_unix(text_skip(rest, 5), &u, why)
	                                       : take_ip(rest, &u, why);
	if (err)
		return err;
	if (u.target.len && u.target.at[0] != '/')
		return refuse(why, "needs a / before the path of the request");
	if (u.target.len == 0)
		u.target = TEXT("/");
	*out = u;
	return ERR_OK;
}

static bool parse_url(struct parsing *p, struct text t, void *place)
{
	struct config_local_url url;
	const char *why;

	if (config_local_url_parse(t, &url, &why) == ERR_OK)
		return value_keep(p, t, place);
	load_hint(p->load, value_refuse(p, t), "it %s", why);
	return false;
}

static void print_url(const struct key *key, const void *place, struct buf *out)
{
	(void)key;
	buf_add(out, *(const struct text *)place);
}

const struct type type_url = { .name = "URL",
	                       .size = sizeof(struct text),
	                       .expected = "a URL such as http://127.0.0.1:9000/check",
	                       .parse = parse_url,
	                       .print = print_url,
	                       .is_text = true,
	                       .json = "\"type\": \"string\", \"pattern\": \"^http://\"" };
