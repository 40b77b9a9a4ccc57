#include <postrider/base/ip.h>

#include <arpa/inet.h>

static const unsigned char mapped_prefix[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

struct ip ip_from_v4(uint32_t host_order)
{
	return (struct ip){ IP_V4,
		            { (unsigned char)(host_order >> 24), (unsigned char)(host_order >> 16),
		              (unsigned char)(host_order >> 8), (unsigned char)host_order } };
}

struct ip ip_from_bytes16(const unsigned char bytes[16])
{
	struct ip ip = { IP_V6, { 0 } };

	if (memcmp(bytes, mapped_prefix, sizeof(mapped_prefix)) == 0) {
		ip.family = IP_V4;
		memcpy(ip.bytes, bytes + 12, 4);
	} else {
		memcpy(ip.bytes, bytes, 16);
	}
	return ip;
}

enum err ip_parse(struct text t, struct ip *out)
{
	char string[IP_TEXT_MAX];
	unsigned char bytes[16];

	if (t.len == 0 || t.len >= sizeof(string) || memchr(t.at, 0, t.len))
		return ERR_SYNTAX;
	memcpy(string, t.at, t.len);
	string[t.len] = 0;
	if (inet_pton(AF_INET, string, bytes) == 1) {
		*out = (struct ip){ IP_V4, { bytes[0], bytes[1], bytes[2], bytes[3] } };
		return ERR_OK;
	}
	if (inet_pton(AF_INET6, string, bytes) != 1)
		return ERR_SYNTAX;
	*out = ip_from_bytes16(bytes);
	return ERR_OK;
}

static bool has_host_bits(struct ip ip, unsigned prefix_bits)
{
	unsigned total = ip.family == IP_V4 ? 32 : 128;

	for (unsigned bit = prefix_bits; bit < total; bit++)
		if (ip.bytes[bit / 8] & (0x80 >> (bit % 8)))
			return true;
	return false;
}

enum err ip_network_parse(struct text t, struct ip_network *out)
{
	struct ip_network network;
	struct text address = text_cut(&t, '/');
	bool whole = t.len == 0 && address.at + address.len == t.at;
	uint64_t bits;

	if (ip_parse(address, &network.ip))
		return ERR_SYNTAX;
	uint64_t max = network.ip.family == IP_V4 ? 32 : 128;
	/* "::ffff:10.0.0.0/104" names an IPv4 network in IPv6 words: say it as 10.0.0.0/8 */
	if (whole)
		bits = max;
	else if (text_to_u64(t, max, &bits))
		return ERR_SYNTAX;
	if (has_host_bits(network.ip, (unsigned)bits))
		return ERR_SYNTAX;
	network.prefix_bits = (unsigned)bits;
	*out = network;
	return ERR_OK;
}

enum err ip_port_parse(struct text t, struct ip_port *out)
{
	struct ip_port a;
	uint64_t port;
	size_t colon = text_find_last_octet(t, ':');
	struct text host = text_head(t, colon);

	if (colon == t.len || text_to_u64(text_skip(t, colon + 1), 65535, &port))
		return ERR_SYNTAX;
	bool bracketed = host.len >= 2 && host.at[0] == '[' && host.at[host.len - 1] == ']';
	if (bracketed)
		host = text_of(host.at + 1, host.len - 2);
	if (ip_parse(host, &a.ip))
		return ERR_SYNTAX;
	/* an IPv6 address without brackets cannot be told from its port */
	if (bracketed != (text_find_octet(host, ':') < host.len))
		return ERR_SYNTAX;
	a.port = (uint16_t)port;
	*out = a;
	return ERR_OK;
}

/* inet_ntop goes through sprintf for these, and there are six in what is said of a message. */
static void add_v4(struct buf *b, const unsigned char bytes[4])
{
	for (int i = 0; i < 4; i++) {
		if (i > 0)
			buf_add_octet(b, '.');
		buf_add_u64(b, bytes[i]);
	}
}

void ip_add(struct buf *b, struct ip ip)
{
	char string[IP_TEXT_MAX];

	if (ip.family == IP_NONE)
		buf_add_string(b, "unknown");
	else if (ip.family == IP_V4)
		add_v4(b, ip.bytes);
	else if (inet_ntop(AF_INET6, ip.bytes, string, sizeof(string)))
		buf_add_string(b, string);
}

void ip_add_literal(struct buf *b, struct ip ip)
{
	buf_add_string(b, ip.family == IP_V6 ? "[IPv6:" : "[");
	ip_add(b, ip);
	buf_add_octet(b, ']');
}

void ip_port_add(struct buf *b, struct ip_port a)
{
	if (a.ip.family == IP_V6)
		buf_add_octet(b, '[');
	ip_add(b, a.ip);
	if (a.ip.family == IP_V6)
		buf_add_octet(b, ']');
	buf_add_octet(b, ':');
	buf_add_u64(b, a.port);
}

bool ip_eq(struct ip a, struct ip b)
{
	return a.family == b.family && memcmp(a.bytes, b.bytes, a.family == IP_V4 ? 4 : 16) == 0;
}

bool ip_in(struct ip ip, struct ip_network network)
{
	unsigned whole = network.prefix_bits / 8, rest = network.prefix_bits % 8;

	if (ip.family != network.ip.family || ip.family == IP_NONE)
		return false;
	if (memcmp(ip.bytes, network.ip.bytes, whole) != 0)
		return false;
	if (rest == 0)
		return true;
	return ((ip.bytes[whole] ^ network.ip.bytes[whole]) & (0xff << (8 - rest)) & 0xff) == 0;
}

bool ip_is_loopback(struct ip ip)
{
	static const unsigned char v6_loopback[16] = { [15] = 1 };

	if (ip.family == IP_V4)
		return ip.bytes[0] == 127;
	return ip.family == IP_V6 && memcmp(ip.bytes, v6_loopback, 16) == 0;
}

static bool is_private_v4(const unsigned char b[4])
{
	return b[0] == 0 || b[0] == 10 || b[0] == 127 ||  /* this network, private, loopback */
	       (b[0] == 100 && (b[1] & 0xc0) == 64) ||    /* shared, 100.64.0.0/10 */
	       (b[0] == 169 && b[1] == 254) ||            /* link-local */
	       (b[0] == 172 && (b[1] & 0xf0) == 16) ||    /* private */
	       (b[0] == 192 && b[1] == 168) ||            /* private */
	       (b[0] == 192 && b[1] == 0 && b[2] == 0) || /* protocol assignments */
	       b[0] >= 224;                               /* multicast, reserved, broadcast */
}

bool ip_is_private(struct ip ip)
{
	static const unsigned char unspecified[16] = { 0 };
	static const unsigned char nat64[12] = { 0x00, 0x64, 0xff, 0x9b };
	static const unsigned char local_nat64[6] = { 0x00, 0x64, 0xff, 0x9b, 0x00, 0x01 }; /* RFC 8215 */

	if (ip.family == IP_V4)
		return is_private_v4(ip.bytes);
	if (ip.family != IP_V6 || ip_is_loopback(ip) || memcmp(ip.bytes, unspecified, 16) == 0)
		return true;
	if (memcmp(ip.bytes, nat64, sizeof(nat64)) == 0 || memcmp(ip.bytes, unspecified, 12) == 0)
		return is_private_v4(ip.bytes + 12); /* an IPv4 address in other words */
	if (ip.bytes[0] == 0x20 && ip.bytes[1] == 0x02)
		return is_private_v4(ip.bytes + 2); /* 6to4 */
	if (memcmp(ip.bytes, local_nat64, sizeof(local_nat64)) == 0)
		return true;
	return (ip.bytes[0] & 0xfe) == 0xfc ||                 /* unique local */
	       (ip.bytes[0] == 0xfe && ip.bytes[1] >= 0x80) || /* link-local, and site-local of old */
	       ip.bytes[0] == 0xff;                            /* multicast */
}
