/* Who hosts a domain's mail. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <postrider/base/auto.h>

#include "../../../src/schedule/provider.h"

static const struct config *configuration(void)
{
	struct config_sources sources = { 0 };
	struct config_report report;
	const struct config *config = NULL;

	sources.file = TEXT("t.yaml");
	sources.text =
		TEXT("hostname: relay.test\nspool: {path: /spool}\nlisten: [{address: 127.0.0.1:2525}]\n"
	             "routes: [{to: any, via: direct}]\n"
	             "limits:\n  gmail.com: {match_mx: [.google.com, .googlemail.com]}\n"
	             "  outlook.com: {match_mx: [.protection.outlook.com, one.example]}\n"
	             "  .example.org: {connections: 3}\n");
	config_report_init(&report);
	assert_int_equal(config_load(&sources, &config, &report), ERR_OK);
	config_report_fini(&report);
	return config;
}

static void an_entry_is_found_by_any_of_the_hosts(void **state)
{
	static const struct {
		struct text hosts[3];
		size_t count;
		const char *entry;
	} rows[] = {
		{ { LIT("aspmx.l.google.com"), LIT("alt1.aspmx.l.google.com") }, 2, "gmail.com" },
		{ { LIT("mx.example.com"), LIT("ALT.GoogleMail.com") }, 2, "gmail.com" },
		{ { LIT("google.com") }, 1, NULL },
		{ { LIT("evilgoogle.com") }, 1, NULL },
		{ { LIT("contoso-com.mail.protection.outlook.com") }, 1, "outlook.com" },
		{ { LIT("one.example") }, 1, "outlook.com" },
		{ { LIT("a.one.example") }, 1, NULL },
		{ { LIT("") }, 0, NULL },
	};
	const struct config *config = configuration();

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct config_limit *found = provider_by_hosts(config, rows[i].hosts, rows[i].count);

		if (rows[i].entry ? !found || !text_eq(found->domain.text, text_from(rows[i].entry))
		                  : !!found)
			fail_msg("row %zu", i);
	}
	assert_null(provider_by_domain(config, TEXT("example.org")));
	assert_non_null(provider_by_domain(config, TEXT("a.example.org")));
	config_unref(&config);
}

static void a_set_has_one_name_in_any_order(void **state)
{
	struct text a[] = { LIT("b.example"), LIT("A.example"), LIT("b.example") },
		    b[] = { LIT("a.example"), LIT("B.example") }, many[20];
	AUTO(buf_fini) struct buf x = BUF(200);
	AUTO(buf_fini) struct buf y = BUF(200);
	char names[20][41];

	(void)state;
	provider_add_name(&x, a, 3);
	provider_add_name(&y, b, 2);
	assert_true(text_eq(buf_text(&x), TEXT("a.example,b.example")));
	assert_true(text_eq(buf_text(&x), buf_text(&y)));
	/* what does not fit still differs */
	for (size_t i = 0; i < ARRAY_LEN(many); i++) {
		memset(names[i], 'a' + (int)i, sizeof(names[i]));
		many[i] = text_of(names[i], sizeof(names[i]));
	}
	buf_reset(&x);
	buf_reset(&y);
	provider_add_name(&x, many, 19);
	provider_add_name(&y, many, 20);
	assert_int_equal(buf_err(&x), ERR_OK);
	assert_int_equal(buf_err(&y), ERR_OK);
	assert_false(text_eq(buf_text(&x), buf_text(&y)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_entry_is_found_by_any_of_the_hosts),
		cmocka_unit_test(a_set_has_one_name_in_any_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
