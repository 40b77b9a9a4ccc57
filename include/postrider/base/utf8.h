/* postrider/base/utf8.h - well-formed UTF-8 (RFC 3629 section 4): no over-long forms, no surrogates, nothing above
 * U+10FFFF. */
#ifndef POSTRIDER_BASE_UTF8_H
#define POSTRIDER_BASE_UTF8_H

#include <postrider/base/text.h>

/* The length of the sequence at the front of t, 1 to 4 octets; 0: there is none, or it is not well-formed. code_point may
 * be NULL. */
size_t utf8_length(struct text t, uint32_t *code_point);

static inline bool utf8_is_ascii(struct text t)
{
	for (size_t i = 0; i < t.len; i++)
		if ((unsigned char)t.at[i] > 0x7f)
			return false;
	return true;
}

/* All of it is well-formed. */
bool utf8_is_valid(struct text t);

#endif
