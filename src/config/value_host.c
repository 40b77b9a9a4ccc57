/* Hosts with ports, IP addresses, networks. */
#include <postrider/base/auto.h>

#include "value.h"

#define UNIX_PATH_MAX 107

static void print_endpoint(const struct key *key, const void *place, struct buf *out)
{
	(void)key;
	buf_add(out, ((const struct config_endpoint *)place)->text);
}

/* "name:port", "192.0.2.1:port", "[::1]:port" */
static bool split_endpoint(struct text t, struct config_endpoint *e)
{
	struct ip_port address;
	size_t colon = text_find_last_octet(t, ':');
	uint64_t port;

	*e = (struct config_endpoint){ .text = t };
	if (colon == t.len || text_to_u64(text_skip(t, colon + 1), UINT16_MAX, &port))
		return false;
	e->port = (uint16_t)port;
	e->host = text_head(t, colon);
	if (ip_port_parse(t, &address) == ERR_OK) {
		e->ip = address.ip;
		if (e->host.at[0] == '[')
			e->host = text_of(e->host.at + 1, e->host.len - 2);
		return true;
	}
	return domain_is_valid(e->host) && e->host.at[0] != '[';
}

static bool keep_endpoint(struct parsing *p, struct config_endpoint e, struct config_endpoint *place)
{
	e.text = load_keep_text(p->load, e.text);
	e.host = load_keep_text(p->load, e.host);
	*place = e;
	return !p->load->nomem;
}

static bool parse_unix_address(struct parsing *p, struct text t, void *place)
{
	struct config_endpoint e = { .text = t, .host = text_skip(t, 5), .is_unix = true };

	if (e.host.len > 0 && e.host.len <= UNIX_PATH_MAX && value_is_printable(e.host))
		return keep_endpoint(p, e, place);
	load_expected(p->load,
	              load_error(p->load, &p->spot, "not a path for a Unix socket: \"%.*s\"", SHOWN(t)),
	              "unix: and a path of up to %d octets", UNIX_PATH_MAX);
	return false;
}

/* A name with digits and dots only is an address with a fault. */
static bool looks_like_address(struct text host)
{
	for (size_t i = 0; i < host.len; i++)
		if (!ascii_is_digit(host.at[i]) && host.at[i] != '.')
			return false;
	return true;
}

/* "host:port*3": cuts the weight off. False: it is none. */
static bool take_weight(struct text *t, unsigned *weight)
{
	size_t star = text_find_last_octet(*t, '*');
	uint64_t number = 1;

	if (star < t->len && (text_to_u64(text_skip(*t, star + 1), 1000, &number) || number == 0))
		return false;
	*t = text_head(*t, star);
	*weight = (unsigned)number;
	return true;
}

static bool parse_endpoint(struct parsing *p, struct text t, void *place)
{
	struct config_endpoint e;
	struct text address = t;
	unsigned weight;
	struct ip ip;

	if (text_starts(t, TEXT("unix:")))
		return parse_unix_address(p, t, place);
	if (take_weight(&address, &weight) && split_endpoint(address, &e) && e.port > 0 &&
	    (e.ip.family != IP_NONE || !looks_like_address(e.host))) {
		e.weight = weight;
		e.text = t;
		return keep_endpoint(p, e, place);
	}
	struct config_finding *f = value_refuse(p, t);

	if (text_find(t, TEXT("://")) < t.len)
		load_hint(
			p->load, f,
			"a URL works in the variable POSTRIDER_UPSTREAM only; here it is the host and its port");
	else if (text_find_octet(t, '*') < t.len)
		load_hint(p->load, f, "a weight is a number from 1 to 1000: mx1.example.com:25*3");
	else if (ip_parse(t, &ip) == ERR_OK && ip.family == IP_V6)
		load_hint(p->load, f, "did you mean \"[%.*s]:587\"?", SHOWN(t));
	else if (domain_is_valid(t))
		load_hint(p->load, f, "the port is missing; did you mean \"%.*s:587\"?", SHOWN(t));
	return false;
}

const struct type type_endpoint = {
	.name = "host:port",
	.size = sizeof(struct config_endpoint),
	.expected =
		"a host with its port, such as mx1.example.com:25, 192.0.2.1:25 or \"[2001:db8::1]:25\", or unix: and a path",
	.parse = parse_endpoint,
	.print = print_endpoint,
	.is_text = true,
	.json = "\"type\": \"string\", \"pattern\": \"^.+:[0-9]+([*][0-9]+)?$\""
};

/* "fd:3", "fd:smtp": the rest is a number from 3 on, or a name as systemd takes for FileDescriptorName. */
static bool parse_descriptor(struct parsing *p, struct text t, void *place)
{
	struct config_endpoint e = { .text = t, .host = text_skip(t, 3), .is_fd = true };
	bool good = e.host.len > 0 && e.host.len <= 255 && value_is_printable(e.host) &&
	            text_find_octet(e.host, ':') == e.host.len;
	uint64_t number;

	if (good && value_count_digits(e.host) == e.host.len)
		good = text_to_u64(e.host, 65535, &number) == ERR_OK && number >= 3;
	if (good)
		return keep_endpoint(p, e, place);
	load_expected(p->load,
	              load_error(p->load, &p->spot, "not a descriptor to listen on: \"%.*s\"", SHOWN(t)),
	              "fd: and a number from 3 on, or a name of LISTEN_FDNAMES");
	return false;
}

static bool parse_listen_address(struct parsing *p, struct text t, void *place)
{
	struct config_endpoint e;

	if (text_starts(t, TEXT("unix:")))
		return parse_unix_address(p, t, place);
	if (text_starts(t, TEXT("fd:")))
		return parse_descriptor(p, t, place);
	if (split_endpoint(t, &e) && e.ip.family != IP_NONE)
		return keep_endpoint(p, e, place);
	struct config_finding *f = value_refuse(p, t);

	if (t.len && (t.at[0] == ':' || t.at[0] == '*'))
		load_hint(p->load, f,
		          "0.0.0.0:25 means every IPv4 address of this machine, \"[::]:25\" every one");
	else if (text_starts(t, TEXT("localhost")))
		load_hint(p->load, f, "did you mean \"127.0.0.1:2525\"?");
	else if (t.len && value_count_digits(t) == t.len)
		load_hint(p->load, f, "did you mean \"127.0.0.1:%.*s\"?", SHOWN(t));
	return false;
}

const struct type type_listen_address = {
	.name = "address",
	.size = sizeof(struct config_endpoint),
	.expected =
		"an IP address with its port, such as 127.0.0.1:2525 or \"[::]:25\", unix:/run/postrider/smtp.sock, or fd:3",
	.parse = parse_listen_address,
	.print = print_endpoint,
	.is_text = true,
	.json = "\"type\": \"string\", \"pattern\": \"^(unix:.+|fd:.+|.+:[0-9]+)$\""
};

/* A service of this machine or network: host:port, or a Unix socket. */
static bool parse_service(struct parsing *p, struct text t, void *place)
{
	struct config_endpoint e;

	if (text_starts(t, TEXT("unix:")))
		return parse_unix_address(p, t, place);
	if (split_endpoint(t, &e) && e.port > 0 && e.ip.family != IP_NONE)
		return keep_endpoint(p, e, place);
	value_refuse(p, t);
	return false;
}

const struct type type_service = {
	.name = "service",
	.size = sizeof(struct config_endpoint),
	.expected = "unix: and a path, or an IP address with its port, such as 127.0.0.1:10040",
	.parse = parse_service,
	.print = print_endpoint,
	.is_text = true,
	.json = "\"type\": \"string\", \"pattern\": \"^(unix:.+|.+:[0-9]+)$\""
};

static bool parse_dns_server(struct parsing *p, struct text t, void *place)
{
	struct config_endpoint e;

	if (split_endpoint(t, &e) && e.ip.family != IP_NONE && e.port > 0)
		return keep_endpoint(p, e, place);
	e = (struct config_endpoint){ .text = t, .host = t, .port = 53 };
	if (ip_parse(t, &e.ip) == ERR_OK)
		return keep_endpoint(p, e, place);
	value_refuse(p, t);
	return false;
}

const struct type type_dns_server = {
	.name = "server",
	.size = sizeof(struct config_endpoint),
	.expected = "an IP address, with a port if it is not 53: 127.0.0.53, 127.0.0.1:5353",
	.parse = parse_dns_server,
	.print = print_endpoint,
	.is_text = true,
	.json = "\"type\": \"string\", \"minLength\": 2"
};

static bool parse_ip(struct parsing *p, struct text t, void *place)
{
	if (ip_parse(t, place) == ERR_OK)
		return true;
	value_refuse(p, t);
	return false;
}

static void print_ip(const struct key *key, const void *place, struct buf *out)
{
	(void)key;
	ip_add(out, *(const struct ip *)place);
}

const struct type type_ip = { .name = "IP address",
	                      .size = sizeof(struct ip),
	                      .expected = "an IP address such as 192.0.2.25 or \"2001:db8::25\"",
	                      .parse = parse_ip,
	                      .print = print_ip,
	                      .is_text = true,
	                      .json = "\"type\": \"string\", \"minLength\": 2" };

static void hint_network(struct parsing *p, struct config_finding *f, struct text t)
{
	struct text bits = t, address = text_cut(&bits, '/');
	struct ip_network net;
	uint64_t prefix;

	if (ip_network_parse(address, &net) || text_to_u64(bits, net.ip.family == IP_V4 ? 32 : 128, &prefix))
		return;
	/* only the host bits are wrong */
	for (unsigned bit = (unsigned)prefix; bit < (net.ip.family == IP_V4 ? 32 : 128); bit++)
		net.ip.bytes[bit / 8] &= (unsigned char)~(0x80 >> bit % 8);
	AUTO(buf_fini) struct buf b = BUF(100);

	ip_add(&b, net.ip);
	load_hint(p->load, f, "the network is %.*s/%u; one address is %.*s", TEXT_ARGS(buf_text(&b)),
	          (unsigned)prefix, TEXT_ARGS(address));
}

static bool parse_network(struct parsing *p, struct text t, void *place)
{
	if (ip_network_parse(t, place) == ERR_OK)
		return true;
	hint_network(p, value_refuse(p, t), t);
	return false;
}

static void print_network(const struct key *key, const void *place, struct buf *out)
{
	const struct ip_network *net = place;

	(void)key;
	ip_add(out, net->ip);
	if (net->prefix_bits < (net->ip.family == IP_V4 ? 32u : 128u))
		buf_add_format(out, "/%u", net->prefix_bits);
}

const struct type type_network = {
	.name = "network",
	.size = sizeof(struct ip_network),
	.expected = "an IP address or network such as 127.0.0.1, 10.0.0.0/8 or \"fc00::/7\"",
	.parse = parse_network,
	.print = print_network,
	.is_text = true,
	.json = "\"type\": \"string\", \"minLength\": 2"
};
