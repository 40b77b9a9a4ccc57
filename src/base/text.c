#include <postrider/base/text.h>

#include <stdlib.h>

bool text_eq_nocase(struct text a, struct text b)
{
	return a.len == b.len && text_starts_nocase(a, b);
}

int text_compare(struct text a, struct text b)
{
	size_t common = a.len < b.len ? a.len : b.len;
	int order = common ? memcmp(a.at, b.at, common) : 0;

	return order ? order : (a.len > b.len) - (a.len < b.len);
}

int text_compare_nocase(struct text a, struct text b)
{
	size_t common = a.len < b.len ? a.len : b.len;

	for (size_t i = 0; i < common; i++) {
		int x = (unsigned char)ascii_lower(a.at[i]), y = (unsigned char)ascii_lower(b.at[i]);

		if (x != y)
			return x - y;
	}
	return (a.len > b.len) - (a.len < b.len);
}

bool text_starts(struct text t, struct text prefix)
{
	return t.len >= prefix.len && text_eq(text_head(t, prefix.len), prefix);
}

bool text_starts_nocase(struct text t, struct text prefix)
{
	if (t.len < prefix.len)
		return false;
	for (size_t i = 0; i < prefix.len; i++)
		if (ascii_lower(t.at[i]) != ascii_lower(prefix.at[i]))
			return false;
	return true;
}

bool text_ends(struct text t, struct text suffix)
{
	return t.len >= suffix.len && text_eq(text_skip(t, t.len - suffix.len), suffix);
}

bool text_ends_nocase(struct text t, struct text suffix)
{
	return t.len >= suffix.len && text_starts_nocase(text_skip(t, t.len - suffix.len), suffix);
}

size_t text_find_octet(struct text t, char octet)
{
	const char *found = t.len ? memchr(t.at, octet, t.len) : NULL;

	return found ? (size_t)(found - t.at) : t.len;
}

size_t text_find(struct text t, struct text needle)
{
	if (needle.len == 0)
		return 0;
	const char *found = t.len ? memmem(t.at, t.len, needle.at, needle.len) : NULL;

	return found ? (size_t)(found - t.at) : t.len;
}

size_t text_find_last_octet(struct text t, char octet)
{
	const char *found = t.len ? memrchr(t.at, octet, t.len) : NULL;

	return found ? (size_t)(found - t.at) : t.len;
}

struct text text_cut(struct text *rest, char separator)
{
	struct text all = *rest;
	size_t at = text_find_octet(all, separator);

	*rest = text_skip(all, at + 1);
	return text_head(all, at);
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

struct text text_trim(struct text t)
{
	while (t.len && is_blank(t.at[0]))
		t = text_skip(t, 1);
	while (t.len && is_blank(t.at[t.len - 1]))
		t.len--;
	return t;
}

enum err text_to_u64(struct text t, uint64_t max, uint64_t *out)
{
	uint64_t value = 0;
	bool over = false;

	if (t.len == 0)
		return ERR_SYNTAX;
	for (size_t i = 0; i < t.len; i++) {
		if (!ascii_is_digit(t.at[i]))
			return ERR_SYNTAX;
		unsigned digit = (unsigned)(t.at[i] - '0');

		over = over || value > (UINT64_MAX - digit) / 10;
		value = over ? value : value * 10 + digit;
	}
	if (over || value > max)
		return ERR_TOO_BIG;
	*out = value;
	return ERR_OK;
}

char *text_dup(struct text t)
{
	char *copy = t.len < SIZE_MAX ? malloc(t.len + 1) : NULL;

	if (!copy)
		return NULL;
	if (t.len)
		memcpy(copy, t.at, t.len);
	copy[t.len] = '\0';
	return copy;
}

#define FNV_BASIS UINT64_C(0xcbf29ce484222325)
#define FNV_PRIME UINT64_C(0x100000001b3)

uint64_t text_hash_nocase(struct text t)
{
	uint64_t hash = FNV_BASIS;

	for (size_t i = 0; i < t.len; i++)
		hash = (hash ^ (unsigned char)ascii_lower(t.at[i])) * FNV_PRIME;
	return hash;
}

uint64_t text_hash(struct text t)
{
	uint64_t hash = FNV_BASIS;

	for (size_t i = 0; i < t.len; i++)
		hash = (hash ^ (unsigned char)t.at[i]) * FNV_PRIME;
	return hash;
}
