/* postrider/config/pattern.h - patterns for mail addresses.
 *   ann@example.com   this address            example.com    every address there, not in its subdomains
 *   .example.com      every address in its subdomains, not in itself
 *   any               every address           <>             the null reverse-path (`any` matches it too)
 * Letters compare without case in both parts: RFC 5321 section 2.4 allows a case-sensitive local part, and nobody
 * who writes a pattern means it. An address literal is written as in mail: ann@[192.0.2.1], [192.0.2.1].
 * Domains may be written in UTF-8: they are kept, and compared, as A-labels, which is what the addresses of envelopes have. */
#ifndef POSTRIDER_CONFIG_PATTERN_H
#define POSTRIDER_CONFIG_PATTERN_H

#include <postrider/base/arena.h>

enum config_pattern_kind {
	CONFIG_PATTERN_ANY,
	CONFIG_PATTERN_ADDRESS,
	CONFIG_PATTERN_DOMAIN,
	CONFIG_PATTERN_SUBDOMAINS,
	CONFIG_PATTERN_NULL,
};

struct config_pattern {
	enum config_pattern_kind kind;
	struct text text;   /* as written, letters of the domain lower-cased */
	struct text local;  /* ADDRESS: before the @, what it means: without quotes and backslashes */
	struct text domain; /* lower-cased, without the leading dot */
};

struct config_pattern_index; /* opaque: a hash table over a long list */

struct config_patterns {
	const struct config_pattern *items;
	size_t count;
	const struct config_pattern_index *index; /* NULL for a short list */
};

/* A mailbox taken apart. mailbox is what stands between < and > without a source route: "ann@example.com",
 * "\"a b\"@example.com", "postmaster", "" (the null reverse-path). domain is empty without an @. */
struct config_mailbox {
	struct text local; /* without quotes */
	struct text domain;
	bool escaped; /* local still has backslashes, which mean nothing */
	bool is_null; /* the null reverse-path */
};

struct config_mailbox config_mailbox_of(struct text mailbox);

/* For patterns that stand outside the configuration. Texts are copied into arena. ERR_SYNTAX: not a pattern. */
MUST_USE enum err config_pattern_parse(struct arena *arena, struct text t, struct config_pattern *out);

bool config_pattern_matches(const struct config_pattern *pattern, struct text mailbox);
bool config_pattern_covers(const struct config_pattern *wide, const struct config_pattern *narrow);

/* The first pattern of the list that matches; NULL when none does. With an index the list's order is kept. The second
 * form is for a mailbox that is looked up in many lists. */
const struct config_pattern *config_patterns_find(const struct config_patterns *patterns, struct text mailbox);
const struct config_pattern *config_patterns_find_parts(const struct config_patterns *patterns,
                                                        const struct config_mailbox *m);

#endif
