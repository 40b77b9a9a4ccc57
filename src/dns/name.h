/* name.h - domain names as text: lower case, without the final dot. Only letters, digits, "-" and "_" stand in a
 * label; what else the DNS could carry is no name of a mail host. */
#ifndef POSTRIDER_SRC_DNS_NAME_H
#define POSTRIDER_SRC_DNS_NAME_H

#include <postrider/base/text.h>

#define NAME_MAX_OCTETS 253 /* RFC 1035 section 2.3.4: 255 on the wire */
#define NAME_MAX_LABEL 63

struct name {
	unsigned char len;            /* 0: the root */
	char at[NAME_MAX_OCTETS + 1]; /* with a final NUL */
};

static inline struct text name_text(const struct name *n)
{
	return (struct text){ n->at, n->len };
}

static inline bool name_eq(const struct name *a, const struct name *b)
{
	return a->len == b->len && memcmp(a->at, b->at, a->len) == 0;
}

/* Any case, with or without the final dot. ERR_SYNTAX: no domain name, or the root alone. */
MUST_USE enum err name_from_text(struct text t, struct name *out);

/* From labels behind their lengths, without compression, and nothing behind the root label. The root is a name here. */
MUST_USE enum err name_from_wire(struct text wire, struct name *out);

/* True when n is zone or below it; everything is below the root. */
bool name_is_under(const struct name *n, const struct name *zone);
bool name_is_localhost(const struct name *name); /* or below it (RFC 6761 section 6.3) */

#endif
