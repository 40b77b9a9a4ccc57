/* postrider/base/ip.h - IP addresses, ports and networks as values; text both ways. No I/O.
 * An IPv4 address inside IPv6 (::ffff:192.0.2.1) becomes IPv4 when it is read or taken from a socket. */
#ifndef POSTRIDER_BASE_IP_H
#define POSTRIDER_BASE_IP_H

#include <postrider/base/buf.h>

enum ip_family { IP_NONE = 0, IP_V4 = 4, IP_V6 = 6 };

struct ip {
	enum ip_family family;
	unsigned char bytes[16]; /* IPv4 uses the first four */
};

struct ip_port {
	struct ip ip;
	uint16_t port;
};

struct ip_network {
	struct ip ip; /* bits behind the prefix are zero */
	unsigned prefix_bits;
};

#define IP_TEXT_MAX 46 /* the longest IPv6 text with a final NUL */

MUST_USE enum err ip_parse(struct text t, struct ip *out); /* 192.0.2.1, 2001:db8::1 */
/* 10.0.0.0/8, or one address. ERR_SYNTAX when bits behind the prefix are set. */
MUST_USE enum err ip_network_parse(struct text t, struct ip_network *out);
MUST_USE enum err ip_port_parse(struct text t, struct ip_port *out); /* 192.0.2.1:25, [2001:db8::1]:25 */

void ip_add(struct buf *b, struct ip ip);
/* [192.0.2.1], [IPv6:2001:db8::1] (RFC 5321 section 4.1.3) */
void ip_add_literal(struct buf *b, struct ip ip);
void ip_port_add(struct buf *b, struct ip_port a); /* 192.0.2.1:25, [2001:db8::1]:25 */

struct ip ip_from_v4(uint32_t host_order);
struct ip ip_from_bytes16(const unsigned char bytes[16]); /* v4-mapped becomes IPv4 */
bool ip_eq(struct ip a, struct ip b);
bool ip_in(struct ip ip, struct ip_network network);
bool ip_is_loopback(struct ip ip);
/* Not for the public internet: loopback, private, link-local, shared (100.64/10), unique local, multicast,
 * unspecified, and the same IPv4 addresses in the words of IPv6 (RFC 6890). */
bool ip_is_private(struct ip ip);

#endif
