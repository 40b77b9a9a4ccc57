/* Which rule a reply comes to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <postrider/base/auto.h>
#include <postrider/base/time.h>

#include "../../../src/schedule/rules.h"

static const struct {
	const char *pattern;
	int code;
	const char *enhanced;
	bool matches;
} patterns[] = {
	{ "421", 421, "4.3.2", true },         { "421", 422, "4.3.2", false },
	{ "4*", 450, "4.2.1", true },          { "4*", 550, "5.1.1", false },
	{ "42*", 421, "4.0.0", true },         { "*", 550, "5.1.1", true },
	{ "550 5.7.*", 550, "5.7.1", true },   { "550 5.7.*", 550, "5.1.1", false },
	{ "550 5.7.*", 554, "5.7.1", false },  { "550 5.7.1", 550, "5.7.1", true },
	{ "550 5.7.1", 550, "5.7.10", false }, { "* 4.7.*", 451, "4.7.650", true },
	{ "* 4.7.*", 451, "4.2.1", false },    { "5* *", 554, "5.0.0", true },
};

static void replies_match_by_code_and_enhanced_code(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(patterns); i++)
		if (rule_reply_matches(text_from(patterns[i].pattern), patterns[i].code,
		                       text_from(patterns[i].enhanced)) != patterns[i].matches)
			fail_msg("%s and %d %s", patterns[i].pattern, patterns[i].code, patterns[i].enhanced);
}

/* ---------------------------------------------------------------- a configuration's */

static const struct config_upstream ses = { .name = LIT("ses") }, other = { .name = LIT("other") };

static const struct config *configuration(const char *rules)
{
	AUTO(buf_fini) struct buf yaml = BUF(65536);
	struct config_sources sources = { 0 };
	struct config_report report;
	const struct config *config = NULL;

	buf_add_string(
		&yaml,
		"hostname: relay.test\nspool: {path: /spool}\nlisten: [{address: 127.0.0.1:2525}]\n"
		"upstreams: {ses: {hosts: [10.0.0.1:25], tls: none}, other: {hosts: [10.0.0.2:25], tls: none}}\n"
		"routes: [{to: any, via: ses}]\nrules:\n");
	buf_add_string(&yaml, rules);
	sources.file = TEXT("t.yaml");
	sources.text = buf_text(&yaml);
	config_report_init(&report);
	assert_int_equal(config_load(&sources, &config, &report), ERR_OK);
	config_report_fini(&report);
	return config;
}

static struct deliver_result said(int code, const char *enhanced, const char *reply)
{
	return (struct deliver_result){ .kind = code >= 500 ? DELIVER_PERMANENT : DELIVER_TRANSIENT,
		                        .reason = REASON_OTHER,
		                        .stage = STAGE_DOT,
		                        .code = code,
		                        .enhanced = text_from(enhanced),
		                        .reply = text_from(reply),
		                        .from_peer = true };
}

static int number_of(const struct config *config, const struct rule_match *m)
{
	return m->rule ? (int)(m->rule - config->rules.items) : -1;
}

#define RULES                                                                                \
	"  - {reply: \"550 5.7.*\", text: Block List, do: suspend, for: 2h}\n"               \
	"  - {reply: \"4*\", to: [gmail.com, .example.org], upstream: [direct], do: slow}\n" \
	"  - {reply: \"4*\", upstream: [ses], do: other-route, via: other}\n"                \
	"  - {reply: \"5*\", to: ann@example.net, do: retry}\n"                              \
	"  - {reply: \"421\", do: other-host}\n"

static void the_first_that_matches_counts(void **state)
{
	static const struct {
		int code;
		const char *enhanced, *reply, *to, *domain;
		const struct config_upstream *upstream;
		int rule; /* -1: none or one of our own */
	} rows[] = {
		{ 550, "5.7.1", "550 5.7.1 you are on the BLOCK LIST", "b@example.com", "", &ses, 0 },
		{ 550, "5.7.1", "550 5.7.1 no", "b@example.com", "", &ses, -1 },
		{ 451, "4.2.1", "451 busy", "b@gmail.com", "gmail.com", NULL, 1 },
		{ 451, "4.2.1", "451 busy", "b@a.example.org", "a.example.org", NULL, 1 },
		{ 451, "4.2.1", "451 busy", "b@example.org", "example.org", NULL, -1 },
		{ 451, "4.2.1", "451 busy", "b@gmail.com", "", &ses, 2 },
		{ 451, "4.2.1", "451 busy", "b@gmail.com", "", &other, -1 },
		{ 550, "5.1.1", "550 no", "ann@example.net", "", &other, 3 },
		{ 550, "5.1.1", "550 no", "bob@example.net", "", &other, -1 },
		{ 421, "4.3.2", "421 away", "b@example.net", "", &other, 4 },
		/* of a connection: by the domain it was for */
		{ 421, "4.3.2", "421 away", "", "gmail.com", NULL, 1 },
		{ 421, "4.3.2", "421 away", "", "example.com", NULL, 4 },
	};
	const struct config *config = configuration(RULES);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct deliver_result r = said(rows[i].code, rows[i].enhanced, rows[i].reply);
		struct rule_match m = { 0 };
		bool found = rules_find(config, &r, text_from(rows[i].to), text_from(rows[i].domain),
		                        rows[i].upstream, &m);

		if ((found ? number_of(config, &m) : -1) != rows[i].rule)
			fail_msg("row %zu: %d", i, found ? number_of(config, &m) : -1);
	}
	config_unref(&config);
}

static void what_no_peer_said_matches_nothing(void **state)
{
	const struct config *config = configuration("  - {reply: \"*\", do: bounce}\n");
	struct deliver_result r = said(421, "4.3.2", "421 away");
	struct rule_match m;

	(void)state;
	assert_true(rules_find(config, &r, TEXT("b@example.com"), TEXT(""), &ses, &m));
	r.from_peer = false;
	assert_false(rules_find(config, &r, TEXT("b@example.com"), TEXT(""), &ses, &m));
	r.from_peer = true;
	r.kind = DELIVER_DELIVERED;
	assert_false(rules_find(config, &r, TEXT("b@example.com"), TEXT(""), &ses, &m));
	config_unref(&config);
}

static void a_rule_of_the_user_stands_before_our_own(void **state)
{
	const struct config *config = configuration("  - {reply: \"421\", text: shutting down, do: retry}\n");
	struct deliver_result r = said(421, "4.3.2", "421 4.3.2 shutting down");
	struct rule_match m;

	(void)state;
	assert_true(rules_find(config, &r, TEXT("b@example.com"), TEXT(""), &ses, &m));
	assert_int_equal(m.action, CONFIG_RULE_RETRY);
	r = said(421, "4.7.0", "421 4.7.0 too much mail");
	assert_true(rules_find(config, &r, TEXT("b@example.com"), TEXT(""), &ses, &m));
	assert_null(m.rule);
	assert_int_equal(m.action, CONFIG_RULE_SLOW);
	config_unref(&config);
}

/* What is said of one recipient or one message slows nobody else. */
static void our_own_rules_are_about_the_peer(void **state)
{
	static const struct {
		int code;
		const char *enhanced;
		enum reason reason;
		enum stage stage;
		bool slows;
	} rows[] = {
		{ 421, "4.0.0", REASON_OTHER, STAGE_MAIL, true },
		{ 451, "4.7.0", REASON_RATE_LIMITED, STAGE_MAIL, true },
		{ 450, "4.7.28", REASON_RATE_LIMITED, STAGE_DOT, true },
		{ 451, "4.7.1", REASON_GREYLISTED, STAGE_RCPT, false },
		{ 452, "4.5.3", REASON_RATE_LIMITED, STAGE_RCPT, false },
		{ 452, "4.0.0", REASON_RATE_LIMITED, STAGE_RCPT, false },
		{ 450, "4.2.1", REASON_RATE_LIMITED, STAGE_RCPT, false },
		{ 452, "4.2.2", REASON_MAILBOX_FULL, STAGE_RCPT, false },
		{ 554, "5.7.1", REASON_RATE_LIMITED, STAGE_DOT, false },
	};
	const struct config *config = configuration("  - {reply: \"599\", do: retry}\n");

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct deliver_result r = said(rows[i].code, rows[i].enhanced, "words");
		struct rule_match m;

		r.reason = rows[i].reason;
		r.stage = rows[i].stage;
		if (rules_find(config, &r, TEXT("b@example.com"), TEXT("example.com"), NULL, &m) !=
		    rows[i].slows)
			fail_msg("row %zu", i);
	}
	config_unref(&config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(replies_match_by_code_and_enhanced_code),
		cmocka_unit_test(the_first_that_matches_counts),
		cmocka_unit_test(what_no_peer_said_matches_nothing),
		cmocka_unit_test(a_rule_of_the_user_stands_before_our_own),
		cmocka_unit_test(our_own_rules_are_about_the_peer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
