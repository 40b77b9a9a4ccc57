#include <postrider/mail/address_list.h>

#include "support/alloc.h"
#include "support/check.h"

static const struct {
	const char *name;
	struct text value;
	enum err err;
	const char *mailboxes; /* each with a "|" behind it */
} cases[] = {
	{ "one", LIT("ann@example.com"), ERR_OK, "ann@example.com|" },
	{ "white space around", LIT("  ann@example.com \t"), ERR_OK, "ann@example.com|" },
	{ "angle brackets", LIT("<ann@example.com>"), ERR_OK, "ann@example.com|" },
	{ "a display name", LIT("Ann Smith <ann@example.com>"), ERR_OK, "ann@example.com|" },
	{ "a quoted display name", LIT("\"Smith, Ann <x@y.z>\" <ann@example.com>"), ERR_OK,
	  "ann@example.com|" },
	{ "a display name with dots", LIT("Ann B. Smith <ann@example.com>"), ERR_OK, "ann@example.com|" },
	{ "a display name of octets above 127", LIT("J\xc3\xb6rg <ann@example.com>"), ERR_OK,
	  "ann@example.com|" },
	{ "two", LIT("ann@example.com, bob@example.net"), ERR_OK, "ann@example.com|bob@example.net|" },
	{ "folded", LIT("ann@example.com,\r\n bob@example.net"), ERR_OK, "ann@example.com|bob@example.net|" },
	{ "empty places", LIT(", ann@example.com,,\tbob@example.net ,"), ERR_OK,
	  "ann@example.com|bob@example.net|" },
	{ "nothing", LIT(""), ERR_OK, "" },
	{ "white space", LIT("  "), ERR_OK, "" },
	{ "comments", LIT("(a, b) ann(c)@(d)example(e).com (f (g) \\) h)"), ERR_OK, "ann@example.com|" },
	{ "a comment as a name", LIT("ann@example.com (Smith, Ann)"), ERR_OK, "ann@example.com|" },
	{ "without a domain", LIT("root"), ERR_OK, "root|" },
	{ "without a domain, in brackets", LIT("Root <root>, postmaster"), ERR_OK, "root|postmaster|" },
	{ "dots", LIT("a.b.c@example.com"), ERR_OK, "a.b.c@example.com|" },
	{ "a quoted local part", LIT("\"a b\"@example.com"), ERR_OK, "\"a b\"@example.com|" },
	{ "a quoted @", LIT("\"a@b\"@example.com"), ERR_OK, "\"a@b\"@example.com|" },
	{ "escapes stay", LIT("\"a\\\"b\\\\\"@example.com"), ERR_OK, "\"a\\\"b\\\\\"@example.com|" },
	{ "a comma in quotes", LIT("\"a,b\"@example.com, c@d.example"), ERR_OK,
	  "\"a,b\"@example.com|c@d.example|" },
	{ "words and quotes", LIT("a.\"b c\".d@example.com"), ERR_OK, "\"a.b c.d\"@example.com|" },
	{ "an empty quoted local part", LIT("\"\"@example.com"), ERR_OK, "\"\"@example.com|" },
	{ "folded in quotes", LIT("\"a\r\n b\"@example.com"), ERR_OK, "\"a b\"@example.com|" },
	{ "spaces about the @", LIT("ann @ example . com"), ERR_OK, "ann@example.com|" },
	{ "spaces about dots", LIT("a . b@example.com"), ERR_OK, "a.b@example.com|" },
	{ "an address literal", LIT("ann@[192.0.2.1]"), ERR_OK, "ann@[192.0.2.1]|" },
	{ "an IPv6 literal", LIT("ann@[ IPv6:2001:db8::1 ]"), ERR_OK, "ann@[IPv6:2001:db8::1]|" },
	{ "a group", LIT("friends: ann@example.com, Bob <bob@example.net>;"), ERR_OK,
	  "ann@example.com|bob@example.net|" },
	{ "an empty group", LIT("undisclosed-recipients:;"), ERR_OK, "" },
	{ "a group among others", LIT("a@a.example, g: b@b.example;, c@c.example"), ERR_OK,
	  "a@a.example|b@b.example|c@c.example|" },
	{ "nothing between groups", LIT("g: a@a.example; h: b@b.example;"), ERR_OK,
	  "a@a.example|b@b.example|" },
	{ "a quoted group name", LIT("\"my: list\": a@a.example;"), ERR_OK, "a@a.example|" },
	{ "an open group", LIT("g: a@a.example"), ERR_OK, "a@a.example|" },
	{ "a source route", LIT("<@a.example,@b.example:ann@example.com>"), ERR_OK, "ann@example.com|" },
	{ "a route with spaces", LIT("Ann <@a.example , @b.example : ann@example.com>"), ERR_OK,
	  "ann@example.com|" },
	{ "a leading hyphen is for others to judge", LIT("-oQ/tmp@example.com"), ERR_OK,
	  "-oQ/tmp@example.com|" },
	{ "two words", LIT("Ann Smith"), ERR_SYNTAX, "" },
	{ "two words before @", LIT("ann smith@example.com"), ERR_SYNTAX, "" },
	{ "no comma", LIT("a@a.example b@b.example"), ERR_SYNTAX, "" },
	{ "no comma behind brackets", LIT("<a@a.example> b@b.example"), ERR_SYNTAX, "" },
	{ "two brackets", LIT("<a@a.example> <b@b.example>"), ERR_SYNTAX, "" },
	{ "empty brackets", LIT("<>"), ERR_SYNTAX, "" },
	{ "an open bracket", LIT("<a@a.example"), ERR_SYNTAX, "" },
	{ "two @", LIT("a@b@c"), ERR_SYNTAX, "" },
	{ "no local part", LIT("@example.com"), ERR_SYNTAX, "" },
	{ "no domain", LIT("ann@"), ERR_SYNTAX, "" },
	{ "a dot first", LIT(".a@example.com"), ERR_SYNTAX, "" },
	{ "a dot last", LIT("a.@example.com"), ERR_SYNTAX, "" },
	{ "two dots", LIT("a..b@example.com"), ERR_SYNTAX, "" },
	{ "a dot alone", LIT("."), ERR_SYNTAX, "" },
	{ "an open comment", LIT("a@a.example (b"), ERR_SYNTAX, "" },
	{ "a closed comment", LIT("a@a.example )"), ERR_SYNTAX, "" },
	{ "an open quote", LIT("\"a@a.example"), ERR_SYNTAX, "" },
	{ "an escape at the end", LIT("\"a\\"), ERR_SYNTAX, "" },
	{ "an escape at the end of a comment", LIT("(a\\"), ERR_SYNTAX, "" },
	{ "an open literal", LIT("a@[192.0.2.1"), ERR_SYNTAX, "" },
	{ "a quoted domain", LIT("a@\"b\""), ERR_SYNTAX, "" },
	{ "a group in a group", LIT("a: b: c@c.example;;"), ERR_SYNTAX, "" },
	{ "a semicolon alone", LIT("a@a.example; b@b.example"), ERR_SYNTAX, "" },
	{ "NUL", LIT("a\0b@example.com"), ERR_SYNTAX, "" },
	{ "NUL in quotes", LIT("\"a\0b\"@example.com"), ERR_SYNTAX, "" },
	{ "NUL in a comment", LIT("(\0) a@example.com"), ERR_SYNTAX, "" },
	{ "an escaped NUL", LIT("\"a\\\0b\"@example.com"), ERR_SYNTAX, "" },
	{ "a control", LIT("a\x1b@example.com"), ERR_SYNTAX, "" },
	{ "a control in the domain", LIT("a@ex\x01mple.com"), ERR_SYNTAX, "" },
	{ "the good before the bad", LIT("a@a.example, b@@, c@c.example"), ERR_SYNTAX, "a@a.example|" },
};

struct heard {
	struct buf text;
	enum err answer;
	unsigned calls;
};

static enum err hear(void *owner, struct text mailbox)
{
	struct heard *h = owner;

	buf_add(&h->text, mailbox);
	buf_add_octet(&h->text, '|');
	h->calls++;
	return h->answer;
}

static void test_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO(free_memory) char *copy = alone(cases[i].value);
		struct heard h = { .text = BUF(4096) };
		enum err err = address_list_each(text_of(copy, cases[i].value.len), hear, &h);

		CHECK_INT(cases[i].name, err, cases[i].err);
		CHECK_TEXT(cases[i].name, buf_text(&h.text), text_from(cases[i].mailboxes));
		buf_fini(&h.text);
	}
}

static void test_listener_ends_it(void **state)
{
	struct heard h = { .text = BUF(100), .answer = ERR_FULL };

	(void)state;
	assert_int_equal(address_list_each(TEXT("a@a.example, b@b.example"), hear, &h), ERR_FULL);
	assert_int_equal(h.calls, 1);
	buf_fini(&h.text);
}

/* A name may be long, a mailbox may not; neither may nesting cost stack. */
static void test_lengths(void **state)
{
	AUTO(buf_fini) struct buf value = BUF(8u << 20);
	struct heard h = { .text = BUF(8192) };

	(void)state;
	for (unsigned i = 0; i < 3000; i++)
		buf_add(&value, TEXT("name "));
	buf_add(&value, TEXT("<ann@example.com>"));
	assert_int_equal(address_list_each(buf_text(&value), hear, &h), ERR_OK);
	assert_int_equal(h.calls, 1);
	buf_reset(&value);
	for (unsigned i = 0; i < ADDRESS_MAX; i++)
		buf_add_octet(&value, 'a');
	buf_add(&value, TEXT("@example.com"));
	assert_int_equal(address_list_each(buf_text(&value), hear, &h), ERR_TOO_BIG);
	buf_reset(&value);
	for (unsigned i = 0; i < 1000000; i++)
		buf_add_octet(&value, '(');
	assert_int_equal(address_list_each(buf_text(&value), hear, &h), ERR_SYNTAX);
	assert_int_equal(h.calls, 1);
	buf_fini(&h.text);
}

static void test_no_memory(void **state)
{
	(void)state;
	for (EACH_ALLOC_FAILING) {
		struct heard h = { .text = BUF(4096) };
		enum err err =
			address_list_each(TEXT("x.\"y z\".w@example.com, Ann <ann@example.com>"), hear, &h);

		if (!alloc_has_failed())
			assert_int_equal(h.calls, 2);
		assert_true(err == ERR_NOMEM || buf_err(&h.text) == ERR_NOMEM || h.calls == 2);
		buf_fini(&h.text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_listener_ends_it),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
