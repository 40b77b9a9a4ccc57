/* postrider/base/base64.h - base64 (RFC 4648 section 4), strictly: no line ends, no other octets, padded, and the bits that
 * padding leaves over are zero, so that one text has one meaning. */
#ifndef POSTRIDER_BASE_BASE64_H
#define POSTRIDER_BASE_BASE64_H

#include <postrider/base/buf.h>

#define BASE64_CHARS(octets) (((octets) + 2) / 3 * 4)
/* At least as many as come out; the buf that takes a secret is given so much room before, so that it never moves. */
#define BASE64_OCTETS(chars) ((chars) / 4 * 3)

void base64_add(struct buf *out, struct text octets);
/* Adds what t stands for; the empty text is fine. ERR_SYNTAX: out is as it was. Else out's own error. */
MUST_USE enum err base64_decode(struct text t, struct buf *out);
/* The same into memory of the caller's. ERR_TOO_BIG: more than room; what is there then says nothing. */
MUST_USE enum err base64_decode_to(struct text t, void *out, size_t room, size_t *len);

#endif
