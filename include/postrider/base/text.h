/* postrider/base/text.h - a view of octets that somebody else owns. May hold any octet, NUL too, and has no
 * final NUL. Everything that is read travels as one of these by value. */
#ifndef POSTRIDER_BASE_TEXT_H
#define POSTRIDER_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <postrider/base/err.h>

struct text {
	const char *at;
	size_t len;
};

/* clang-format off */
#define LIT(literal) { literal, sizeof(literal) - 1 }                    /* as an initialiser */
#define TEXT(literal) ((struct text){ literal, sizeof(literal) - 1 })    /* as an expression */
#define TEXT_EMPTY ((struct text){ "", 0 })
#define TEXT_ARGS(t) (int)(t).len, (t).at                                /* for "%.*s" */
/* clang-format on */

static inline struct text text_of(const char *at, size_t len)
{
	return (struct text){ at, len };
}

/* Of a string with a final NUL, as argv and libraries hand out; NULL is empty. */
static inline struct text text_from(const char *string)
{
	return string ? (struct text){ string, strlen(string) } : TEXT_EMPTY;
}

static inline bool text_eq(struct text a, struct text b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

/* From the octet at `from` on; past the end is empty. A zeroed text stays zeroed. */
static inline struct text text_skip(struct text t, size_t from)
{
	if (from >= t.len)
		from = t.len;
	return (struct text){ t.len ? t.at + from : t.at, t.len - from };
}

static inline struct text text_head(struct text t, size_t len)
{
	return (struct text){ t.at, len < t.len ? len : t.len };
}

bool text_eq_nocase(struct text a, struct text b); /* ASCII letters only */
int text_compare(struct text a, struct text b);    /* by octets, shorter first */
int text_compare_nocase(struct text a, struct text b);
bool text_starts(struct text t, struct text prefix);
bool text_starts_nocase(struct text t, struct text prefix);
bool text_ends(struct text t, struct text suffix);
bool text_ends_nocase(struct text t, struct text suffix);

/* The place of the first occurrence, or t.len when there is none. */
size_t text_find_octet(struct text t, char octet);
size_t text_find(struct text t, struct text needle);
size_t text_find_last_octet(struct text t, char octet);

/* Cuts *rest at the first separator: returns what stands before it and leaves what follows it in *rest.
 * Without a separator all of it is returned and *rest is empty. */
struct text text_cut(struct text *rest, char separator);

/* Without SP and HTAB at both ends. */
struct text text_trim(struct text t);

/* Decimal digits only, no sign, no space. ERR_SYNTAX: not digits or empty; ERR_TOO_BIG: over max. */
MUST_USE enum err text_to_u64(struct text t, uint64_t max, uint64_t *out);

/* A copy on the heap with a final NUL behind it (not counted), to be freed by the caller; NULL without
 * memory. */
char *text_dup(struct text t);

static inline char ascii_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

static inline bool ascii_is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static inline bool ascii_is_alpha(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static inline bool ascii_is_alnum(char c)
{
	return ascii_is_alpha(c) || ascii_is_digit(c);
}

/* FNV-1a of the octets, with ASCII letters folded: for tables whose keys are names. */
uint64_t text_hash_nocase(struct text t);
uint64_t text_hash(struct text t);

#endif
