/* postrider/base/url.h - URLs of web servers: http: and https: (RFC 3986, RFC 9110 section 4.2). Reads only what can be asked for:
 * no user information, no fragment, no zone of an IPv6 address, and names in ASCII (A-labels). */
#ifndef POSTRIDER_BASE_URL_H
#define POSTRIDER_BASE_URL_H

#include <postrider/base/ip.h>

#define URL_MAX_BYTES 2048

/* Texts point into what was parsed. */
struct url {
	bool is_https;
	struct text
		host; /* a name without a final dot, or an address without brackets; in the case it was written in */
	struct ip ip;  /* of an address; IP_NONE: host is a name */
	uint16_t port; /* 443 or 80 when none was written */
	struct text
		target; /* path and query; begins with "/", or with "?", or is empty: then a "/" goes before it */
};

/* ERR_SYNTAX: *why (may be NULL) says what is wrong with it, for behind "it " or "the URL ". */
MUST_USE enum err url_parse(struct text t, struct url *out, const char **why);
/* "example.com", "example.com:8443", "[2001:db8::1]": as in the Host field; the scheme's own port is left out. */
void url_add_authority(struct buf *out, const struct url *u);

#endif
