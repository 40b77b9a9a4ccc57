/* Checks of what follows when something fails, and of limits: retries, rules, shared limits. */
#include "check.h"

#include <postrider/base/auto.h>

#include "check_places.h"

/* Comparisons of rules with each other; of thousands of rules the rest is not compared. */
#define COMPARISONS_MAX 1000000

/* ---------------------------------------------------------------- retries */

static void check_retry_of(struct load *load, const struct config_retry *retry, const char *path)
{
	const struct origin *schedule = WRITTEN(load, "%s.schedule", path);
	const struct origin *warn = WRITTEN(load, "%s.warn_after", path);

	if (schedule && retry->schedule.count == 0)
		load_expected(load, load_error(load, &schedule->spot, "a schedule without times"),
		              "schedule: [1m, 5m, 15m, 1h, 4h]");
	else if (schedule && retry->schedule.items[0] >= retry->give_up_after_ms)
		load_warn(load, &schedule->spot, "mail is given up before its second attempt");
	if (warn && retry->warn_after_ms < CONFIG_NEVER && retry->warn_after_ms >= retry->give_up_after_ms)
		load_hint(load, load_warn(load, &warn->spot, "mail is given up before anyone is warned"),
		          "warn_after: never says the same");
}

static void check_retries(struct load *load)
{
	const struct config *config = &load->snapshot->config;
	AUTO(buf_fini) struct buf path = BUF(1000);

	check_retry_of(load, &config->retry, "retry");
	for (size_t i = 0; i < config->upstreams.count; i++) {
		buf_reset(&path);
		buf_add_format(&path, "upstreams.%.*s.retry", TEXT_ARGS(config->upstreams.items[i].name));
		buf_add_octet(&path, 0);
		if (config->upstreams.items[i].has_retry && !buf_err(&path))
			check_retry_of(load, &config->upstreams.items[i].retry, path.at);
	}
	for (size_t i = 0; i < config->routes.count; i++) {
		buf_reset(&path);
		buf_add_format(&path, "routes[%zu].retry", i);
		buf_add_octet(&path, 0);
		if (config->routes.items[i].has_retry && !buf_err(&path))
			check_retry_of(load, &config->routes.items[i].retry, path.at);
	}
}

/* ---------------------------------------------------------------- limits */

/* The others begin as copies of `any`: its hosts would be everybody's. */
static void check_limits(struct load *load)
{
	const struct origin *match = WRITTEN(load, "limits.any.match_mx");

	if (match && load->snapshot->config.limits.any.match_mx.count)
		load_expected(
			load,
			load_error(load, &match->spot, "match_mx is for a provider's limits, not for `any`"),
			"limits: {gmail.com: {match_mx: .google.com}}");
}

/* ---------------------------------------------------------------- rules */

static void check_rule_way(struct load *load, const struct config_rule *rule, const char *path)
{
	bool goes = rule->action == CONFIG_RULE_OTHER_ROUTE;

	if (goes && !rule->upstream_to)
		load_expected(load,
		              load_error(load, check_spot(load, path, rule->via_name.len ? "via" : "do"),
		                         rule->via_name.len ? "there is no upstream \"%.*s\""
		                                            : "other-route needs an upstream%.*s",
		                         SHOWN(rule->via_name)),
		              "via: and the name of an upstream");
	else if (!goes && rule->via_name.len)
		load_error(load, check_spot(load, path, "via"), "via belongs to do: other-route");
	if (rule->action != CONFIG_RULE_SLOW && rule->action != CONFIG_RULE_SUSPEND) {
		const struct origin *lasts = WRITTEN(load, "%s.for", path);

		if (lasts)
			load_warn(load, &lasts->spot, "`for` has a meaning with slow and suspend only");
	}
}

static void check_rule_upstreams(struct load *load, const struct config_rule *rule, const char *path)
{
	const struct config_upstreams *upstreams = &load->snapshot->config.upstreams;

	for (size_t i = 0; i < rule->upstream.count; i++) {
		bool found = text_eq(rule->upstream.items[i], TEXT("direct"));

		for (size_t u = 0; u < upstreams->count; u++)
			found |= text_eq(rule->upstream.items[i], upstreams->items[u].name);
		if (!found)
			load_expected(load,
			              load_error(load, check_spot(load, path, "upstream"),
			                         "there is no upstream \"%.*s\"",
			                         SHOWN(rule->upstream.items[i])),
			              "the name of an upstream, or direct");
	}
}

static bool covers_part(struct text wide, struct text narrow)
{
	if (wide.len && wide.at[wide.len - 1] == '*')
		return text_starts(narrow, text_head(wide, wide.len - 1));
	return text_eq(wide, narrow);
}

/* "4*" covers "421" and "421 4.7.*"; without an enhanced code any is meant. */
static bool covers_reply(struct text wide, struct text narrow)
{
	struct text wide_rest = wide, wide_code = text_cut(&wide_rest, ' ');
	struct text narrow_rest = narrow, narrow_code = text_cut(&narrow_rest, ' ');

	return covers_part(wide_code, narrow_code) && (!wide_rest.len || covers_part(wide_rest, narrow_rest));
}

static bool contains_nocase(struct text whole, struct text part)
{
	for (size_t i = 0; i + part.len <= whole.len; i++)
		if (text_eq_nocase(text_of(whole.at + i, part.len), part))
			return true;
	return part.len == 0;
}

static bool covers_rule(const struct config_rule *wide, const struct config_rule *narrow, size_t *budget)
{
	return covers_reply(wide->reply, narrow->reply) && contains_nocase(narrow->text, wide->text) &&
	       check_covers_texts(&wide->upstream, &narrow->upstream) &&
	       check_covers_patterns(&wide->to, &narrow->to, budget);
}

static void check_reached(struct load *load, size_t number, size_t *budget)
{
	const struct config_rules *rules = &load->snapshot->config.rules;

	for (size_t i = 0; i<number && * budget> 0; i++, --*budget) {
		const struct origin *first = WRITTEN(load, "rules[%zu]", i);
		const struct origin *second = WRITTEN(load, "rules[%zu]", number);

		if (!first || !second || !covers_rule(&rules->items[i], &rules->items[number], budget))
			continue;
		struct config_finding *f =
			load_warn(load, &second->spot,
		                  "this rule is never reached: rule #%zu matches all that it would", i + 1);

		load_hint(load, f, "put the narrower rule first");
		load_see(load, f, &first->spot);
		return;
	}
}

static void check_rules(struct load *load)
{
	const struct config_rules *rules = &load->snapshot->config.rules;
	size_t budget = COMPARISONS_MAX;

	for (size_t i = 0; i < rules->count; i++) {
		struct item_path path = check_item_path("rules", i);
		const struct origin *origin = origin_find(load->snapshot, text_from(path.at));

		if (!origin || origin->bad)
			continue;
		if (!load->incomplete) {
			check_rule_way(load, &rules->items[i], path.at);
			check_rule_upstreams(load, &rules->items[i], path.at);
		}
		check_reached(load, i, &budget);
	}
}

void check_pace(struct load *load)
{
	check_retries(load);
	check_limits(load);
	check_rules(load);
}
