#include "rules.h"

#include <stdio.h>

/* ---------------------------------------------------------------- patterns */

static bool part_matches(struct text pattern, struct text t)
{
	if (pattern.len && pattern.at[pattern.len - 1] == '*')
		return text_starts_nocase(t, text_head(pattern, pattern.len - 1));
	return text_eq_nocase(pattern, t);
}

bool rule_reply_matches(struct text pattern, int code, struct text enhanced)
{
	struct text wanted = pattern, first = text_cut(&wanted, ' ');
	char digits[16];
	int n = snprintf(digits, sizeof(digits), "%d", code);

	wanted = text_trim(wanted);
	return part_matches(first, text_of(digits, (size_t)n)) &&
	       (wanted.len == 0 || part_matches(wanted, enhanced));
}

static bool has_words(struct text reply, struct text words)
{
	for (size_t i = 0; i + words.len <= reply.len; i++)
		if (text_eq_nocase(text_head(text_skip(reply, i), words.len), words))
			return true;
	return false;
}

/* ---------------------------------------------------------------- the configuration's */

static bool is_any(const struct config_patterns *patterns)
{
	return patterns->count == 0 ||
	       (patterns->count == 1 && patterns->items[0].kind == CONFIG_PATTERN_ANY);
}

static bool domain_matches(const struct config_patterns *patterns, struct text domain)
{
	for (size_t i = 0; i < patterns->count; i++) {
		const struct config_pattern *p = &patterns->items[i];
		bool inside = domain.len > p->domain.len + 1 &&
		              domain.at[domain.len - p->domain.len - 1] == '.' &&
		              text_ends_nocase(domain, p->domain);

		if (p->kind == CONFIG_PATTERN_ANY ||
		    (p->kind == CONFIG_PATTERN_DOMAIN && text_eq_nocase(p->domain, domain)) ||
		    (p->kind == CONFIG_PATTERN_SUBDOMAINS && inside))
			return true;
	}
	return false;
}

static bool is_for(const struct config_rule *rule, struct text forward_path, struct text domain)
{
	if (is_any(&rule->to))
		return true;
	return forward_path.len ? config_patterns_find(&rule->to, forward_path) != NULL
	                        : domain.len && domain_matches(&rule->to, domain);
}

static bool says_so(const struct config_rule *rule, const struct config_upstream *upstream)
{
	struct text name = upstream ? upstream->name : TEXT("direct");

	for (size_t i = 0; i < rule->upstream.count; i++)
		if (text_eq(rule->upstream.items[i], name))
			return true;
	return rule->upstream.count == 0;
}

/* ---------------------------------------------------------------- our own */

/* What every operator wants, until a rule says otherwise. Each asks for all that it names. A recipient who gets too much mail, or a
 * message with too many recipients, says nothing of the peer. */
static const struct {
	struct text reply;
	enum reason reason; /* REASON_NONE: any */
	int64_t for_ms;
	bool escalates;
} own_rules[] = {
	{ LIT("421"), REASON_NONE, MINUTE_MS, false },
	{ LIT("4* 4.7.*"), REASON_RATE_LIMITED, 5 * MINUTE_MS, true },
	{ LIT("4* 4.3.2"), REASON_RATE_LIMITED, 5 * MINUTE_MS, true },
	{ LIT("4* 4.4.5"), REASON_NONE, 5 * MINUTE_MS, true }, /* system congestion */
	{ LIT("4* 4.0.0"), REASON_RATE_LIMITED, 5 * MINUTE_MS, true },
};

static bool find_own(const struct deliver_result *r, struct rule_match *out)
{
	/* 452 to RCPT is about this message */
	if (r->kind != DELIVER_TRANSIENT || (r->code == 452 && r->stage == STAGE_RCPT))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(own_rules); i++) {
		if (!rule_reply_matches(own_rules[i].reply, r->code, r->enhanced) ||
		    (own_rules[i].reason && own_rules[i].reason != r->reason))
			continue;
		*out = (struct rule_match){ .action = CONFIG_RULE_SLOW,
			                    .for_ms = own_rules[i].for_ms,
			                    .is_general = r->stage != STAGE_RCPT || r->code == 421,
			                    .escalates = own_rules[i].escalates };
		return true;
	}
	return false;
}

/* ---------------------------------------------------------------- the face */

bool rules_find(const struct config *config, const struct deliver_result *r, struct text forward_path,
                struct text domain, const struct config_upstream *upstream, struct rule_match *out)
{
	if (!r->from_peer || r->kind == DELIVER_DELIVERED || r->code == 0)
		return false;
	for (size_t i = 0; i < config->rules.count; i++) {
		const struct config_rule *rule = &config->rules.items[i];

		if (!rule_reply_matches(rule->reply, r->code, r->enhanced) ||
		    (rule->text.len && !has_words(r->reply, rule->text)) ||
		    !is_for(rule, forward_path, domain) || !says_so(rule, upstream))
			continue;
		*out = (struct rule_match){ .rule = rule,
			                    .action = rule->action,
			                    .for_ms = rule->for_ms,
			                    .is_general = is_any(&rule->to) && r->stage != STAGE_RCPT };
		return true;
	}
	return find_own(r, out);
}
