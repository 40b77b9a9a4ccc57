/* receive/proxy.h - the header by which a proxy says whom it speaks for: the PROXY protocol, versions 1 (a line) and 2 (binary).
 * A function of its octets. Who may send one, and who must, is for the caller to say. */
#ifndef POSTRIDER_RECEIVE_PROXY_H
#define POSTRIDER_RECEIVE_PROXY_H

#include <postrider/base/ip.h>

#define PROXY_V1_MAX 107 /* octets with CR LF */
#define PROXY_V2_HEAD 16
#define PROXY_V2_MAX \
	(PROXY_V2_HEAD + 4096) /* more is nothing that a proxy in front of a mail server has to say */

struct proxy_header {
	size_t bytes; /* its length; what follows is the client's */
	/* The proxy speaks for itself (LOCAL: a health check; UNKNOWN: it cannot say for whom): the addresses of the connection
	 * are the true ones. */
	bool is_local;
	struct ip_port client,
		server; /* the addresses of the client's connection to the proxy; IP_NONE: a Unix socket */
};

/* ERR_OK: *out. ERR_MORE: so far it may become one. ERR_SYNTAX, ERR_TOO_BIG, ERR_UNSUPPORTED (datagrams), ERR_DAMAGED (its
 * checksum): it is none; *why says it in words for people. */
MUST_USE enum err proxy_header_parse(struct text bytes, struct proxy_header *out, const char **why);

#endif
