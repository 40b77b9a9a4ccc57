/* key.h - a question as octets to be looked up by: the type, then the name. */
#ifndef POSTRIDER_SRC_DNS_KEY_H
#define POSTRIDER_SRC_DNS_KEY_H

#include "name.h"

struct question_key {
	char at[2 + NAME_MAX_OCTETS];
	size_t len;
};

static inline struct question_key question_key(const struct name *name, uint16_t type)
{
	struct question_key key;

	key.at[0] = (char)(type >> 8);
	key.at[1] = (char)type;
	memcpy(key.at + 2, name->at, name->len);
	key.len = 2u + name->len;
	return key;
}

static inline struct text key_text(const struct question_key *key)
{
	return (struct text){ key->at, key->len };
}

#endif
