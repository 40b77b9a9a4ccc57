/* Whether a connection for one message will do for another. */
#include "needs.h"

#include "support/check.h"

static const struct {
	const char *name;
	struct deliver_needs of, for_it;
	bool covers;
} rows[] = {
	{ "nothing and nothing", { 0 }, { 0 }, true },
	{ "more keywords",
	  { .keywords = EHLO_SMTPUTF8 | EHLO_REQUIRETLS },
	  { .keywords = EHLO_SMTPUTF8 },
	  true },
	{ "another keyword", { .keywords = EHLO_SMTPUTF8 }, { .keywords = EHLO_REQUIRETLS }, false },
	{ "more octets", { .bytes = 10 }, { .bytes = 10 }, true },
	{ "fewer octets", { .bytes = 9 }, { .bytes = 10 }, false },
	{ "mail that may go without TLS, by a strict one", { 0 }, { .tls_optional = true }, true },
	{ "strict mail, by one that may go without", { .tls_optional = true }, { 0 }, false },
	{ "both may", { .tls_optional = true }, { .tls_optional = true }, true },
	{ "required, by one that may go without",
	  { .tls_optional = true },
	  { .keywords = EHLO_REQUIRETLS },
	  false },
};

static void needs_cover_others_or_do_not(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		CHECK_INT(rows[i].name, deliver_needs_cover(&rows[i].of, &rows[i].for_it), rows[i].covers);
}

static void a_message_says_what_it_needs(void **state)
{
	struct envelope *e = envelope_new(10000);

	(void)state;
	assert_non_null(e);
	assert_false(deliver_needs_of(e, 5).tls_optional);
	e->tls_wish = ENVELOPE_TLS_OPTIONAL;
	assert_true(deliver_needs_of(e, 5).tls_optional);
	assert_int_equal(deliver_needs_of(e, 5).keywords & EHLO_REQUIRETLS, 0);
	e->tls_wish = ENVELOPE_TLS_REQUIRED;
	assert_false(deliver_needs_of(e, 5).tls_optional);
	assert_true(deliver_needs_of(e, 5).keywords & EHLO_REQUIRETLS);
	envelope_free(&e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(needs_cover_others_or_do_not),
		cmocka_unit_test(a_message_says_what_it_needs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
