/* postrider/config/net.h - IP addresses and networks as values.
 * An IPv4 address is kept as its IPv4-mapped IPv6 address (RFC 4291 section 2.5.5.2), so that a client that came
 * in through a [::] listener equals the same client on an IPv4 listener, and one comparison serves both. */
#ifndef POSTRIDER_CONFIG_NET_H
#define POSTRIDER_CONFIG_NET_H

#include <sys/socket.h>

#include <postrider/base/buf.h>

struct config_ip {
	unsigned char octets[16];
};

struct config_net {
	struct config_ip ip;            /* host bits are zero */
	unsigned prefix;                /* 0..128, counted on the 16 octets: 10.0.0.0/8 has 104 */
};

struct config_nets {
	const struct config_net *items;
	size_t count;
};

struct config_ips {
	const struct config_ip *items;
	size_t count;
};

/* "192.0.2.1", "2001:db8::1"; no brackets, no zone, no port. ERR_SYNTAX otherwise. */
MUST_USE enum err config_ip_parse(struct text t, struct config_ip *out);
/* "10.0.0.0/8", "::1" (one address), "fe80::/10". ERR_SYNTAX; ERR_UNSUPPORTED: host bits set below the prefix. */
MUST_USE enum err config_net_parse(struct text t, struct config_net *out);

bool config_ip_is_v4(struct config_ip ip);
bool config_ip_eq(struct config_ip a, struct config_ip b);
bool config_net_has(struct config_net net, struct config_ip ip);
bool config_net_covers(struct config_net outer, struct config_net inner);
bool config_nets_have(const struct config_nets *nets, struct config_ip ip);

/* false: neither AF_INET nor AF_INET6. */
bool config_ip_from_sockaddr(const struct sockaddr *address, struct config_ip *out);
/* An AF_INET address for what is IPv4. Returns its length. */
socklen_t config_ip_to_sockaddr(struct config_ip ip, uint16_t port, struct sockaddr_storage *out);

void config_ip_add(struct buf *b, struct config_ip ip);         /* "192.0.2.1", "2001:db8::1" */
void config_net_add(struct buf *b, struct config_net net);      /* "10.0.0.0/8"; one address without a prefix */

#endif
