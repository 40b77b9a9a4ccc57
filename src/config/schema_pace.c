/* The part of the table that says how much at a time, and what follows when something fails. */
#include "schema_rows.h"

/* ---------------------------------------------------------------- limits */

#define LIMIT(member) offsetof(struct config_limit, member)
static const struct key limit_keys[] = {
	{ .name = "match_mx",
	  .shape = LIST,
	  .type = &type_pattern,
	  .offset = LIMIT(match_mx),
	  .since = FIRST,
	  .example = ".google.com",
	  .doc = "names of MX hosts: all domains that are hosted there share this limit" },
	PACE_ROWS(LIMIT(pace), NULL, NULL),
	END
};
const struct table schema_limit = {
	.name = "limits",
	.keys = limit_keys,
	.size = sizeof(struct config_limit),
	.place_offset = LIMIT(place),
	.name_offset = LIMIT(domain),
	.name_type = &type_limit_name,
	.doc = "What a destination is given. A table by domain (`gmail.com`, `.example.com`); the longest match counts. `any` is for all "
	       "others, and gives the values that a domain or an upstream does not name."
};

/* ---------------------------------------------------------------- retries */

#define RETRY(key_name, member, row_shape, value, least, most, row_flags, short_name, what)          \
	{                                                                                            \
		.name = key_name, .shape = row_shape, .type = &type_duration,                        \
		.offset = offsetof(struct config_retry, member), .standard = value, .min = least,    \
		.max = most, .flags = row_flags, .variable = short_name, .since = FIRST, .doc = what \
	}
#define RETRY_ROWS(give_up_variable)                                                                       \
	RETRY("schedule", schedule, LIST, "1m, 5m, 15m, 1h, 4h", 10, 7 * DAY_MS, 0, NULL,                  \
	      "pauses between attempts; the last one repeats; each varies by 10%"),                        \
		RETRY("warn_after", warn_after_ms, SCALAR, "4h", 1000, 30 * DAY_MS, KEY_NEVER, NULL,       \
	              "the sender is told that the mail is late"),                                         \
		RETRY("give_up_after", give_up_after_ms, SCALAR, "5d", 1000, 60 * DAY_MS, 0,               \
	              give_up_variable, "the mail is returned"),                                           \
		RETRY("bounce_give_up_after", bounce_give_up_after_ms, SCALAR, "1d", 1000, 60 * DAY_MS, 0, \
	              NULL, "the same for mail with a null reverse-path, which is then dropped")

static const struct key retry_keys[] = { RETRY_ROWS("GIVE_UP_AFTER"), END };
const struct table schema_retry = { .name = "retry",
	                            .keys = retry_keys,
	                            .doc = "When an attempt failed for now." };

static const struct key own_retry_keys[] = { RETRY_ROWS(NULL), END };
const struct table schema_own_retry = {
	.name = "retry",
	.keys = own_retry_keys,
	.doc = "Retries of their own; what is not said here is as in `retry`."
};

/* ---------------------------------------------------------------- rules on replies */

static const struct choice action[] = { { "slow", CONFIG_RULE_SLOW, false },
	                                { "suspend", CONFIG_RULE_SUSPEND, false },
	                                { "other-host", CONFIG_RULE_OTHER_HOST, false },
	                                { "other-source", CONFIG_RULE_OTHER_SOURCE, false },
	                                { "other-route", CONFIG_RULE_OTHER_ROUTE, false },
	                                { "retry", CONFIG_RULE_RETRY, false },
	                                { "bounce", CONFIG_RULE_BOUNCE, false },
	                                { NULL, 0, false } };

#define RULE(member) offsetof(struct config_rule, member)
static const struct key rule_keys[] = {
	{ .name = "reply",
	  .shape = SCALAR,
	  .type = &type_reply_pattern,
	  .offset = RULE(reply),
	  .flags = KEY_NEEDED,
	  .since = FIRST,
	  .example = "\"421\"",
	  .doc = "the reply's code, and behind a space its enhanced code; `4*`, `550 5.7.*` stand for all that begin so" },
	{ .name = "text",
	  .shape = SCALAR,
	  .type = &type_text,
	  .offset = RULE(text),
	  .since = FIRST,
	  .example = "too many",
	  .doc = "what the reply must contain, in any case" },
	{ .name = "to",
	  .shape = LIST,
	  .type = &type_pattern,
	  .offset = RULE(to),
	  .standard = "any",
	  .since = FIRST,
	  .example = "gmail.com",
	  .doc = "recipients it is for" },
	{ .name = "upstream",
	  .shape = LIST,
	  .type = &type_text,
	  .offset = RULE(upstream),
	  .standard_doc = "whoever says so",
	  .since = FIRST,
	  .example = "ses",
	  .doc = "names of upstreams that say so; `direct`: MX hosts" },
	{ .name = "do",
	  .shape = SCALAR,
	  .type = &type_choice,
	  .choices = action,
	  .offset = RULE(action),
	  .flags = KEY_NEEDED,
	  .since = FIRST,
	  .example = "suspend",
	  .doc = "slow: half the connections and half the rate; suspend: nothing more to this destination, and no attempt is counted; "
	         "other-host, other-source, other-route: try again so; retry: as a 4xx; bounce: as a 5xx" },
	{ .name = "for",
	  .shape = SCALAR,
	  .type = &type_duration,
	  .offset = RULE(for_ms),
	  .standard = "15m",
	  .min = 1000,
	  .max = 7 * DAY_MS,
	  .since = FIRST,
	  .doc = "how long slow and suspend last" },
	{ .name = "via",
	  .shape = SCALAR,
	  .type = &type_text,
	  .offset = RULE(via_name),
	  .since = FIRST,
	  .example = "backup",
	  .doc = "the upstream of other-route" },
	END
};
const struct table schema_rule = {
	.name = "rules",
	.keys = rule_keys,
	.size = sizeof(struct config_rule),
	.place_offset = RULE(place),
	.doc = "What to do on a peer's reply. A list, read from top to bottom: the first rule that matches "
	       "counts."
};

/* ---------------------------------------------------------------- reports on TLS */

#define REPORTS(member) offsetof(struct config_tls_reports, member)
static const struct key tls_reports_keys[] = {
	{ .name = "send",
	  .shape = SCALAR,
	  .type = &type_bool,
	  .offset = REPORTS(send),
	  .standard = "false",
	  .since = FIRST,
	  .doc = "domains that ask for it are told once a day how TLS towards them went (RFC 8460)" },
	{ .name = "from",
	  .shape = SCALAR,
	  .type = &type_mailbox,
	  .offset = REPORTS(from),
	  .standard = "postmaster",
	  .since = FIRST,
	  .doc = "who they come from, and whom to ask; without a domain, at `hostname`" },
	{ .name = "organization",
	  .shape = SCALAR,
	  .type = &type_text,
	  .offset = REPORTS(organization),
	  .standard_doc = "`hostname`",
	  .since = FIRST,
	  .example = "Example Ltd",
	  .doc = "its name in them" },
	END
};
const struct table schema_tls_reports = { .name = "tls_reports",
	                                  .keys = tls_reports_keys,
	                                  .doc = "Reports on TLS." };
