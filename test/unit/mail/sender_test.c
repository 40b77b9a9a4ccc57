#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <postrider/mail/sender.h>

#include "../../support/check.h"

static void a_name_is_what_does_not_change(void **state)
{
	static const struct {
		const char *local_part, *name;
	} rows[] = {
		{ "ann", "ann" },
		{ "", "" },
		{ "ann+orders", "ann" },
		{ "list-bounces+ann=example.com", "list-bounces" },
		{ "bounce-4711-ann=example.com", "bounce" },
		{ "bounce-4711", "bounce" },
		{ "no-reply", "no-reply" },
		{ "ann-", "ann-" },
		{ "ann-marie", "ann-marie" },
		{ "s123456", "s123456" },
		{ "john.smith2", "john.smith2" },
		{ "+ann", "+ann" },
		{ "=ann", "=ann" },
		{ "-1", "-1" },
		{ "SRS0=hash=tt=example.org=ann", "SRS0" },
		/* BATV */
		{ "prvs=0123456789=ann", "ann" },
		{ "prvs=0123456789=ann+orders", "ann" },
		{ "msprvs1=19abcDEF=bounces-7", "bounces" },
		{ "prvs=", "prvs" },
		{ "prvs", "prvs" },
		{ "prvs=0123456789", "prvs" },
		{ "prvs=0123456789=", "prvs" },
		{ "aprvs=0123456789=ann", "aprvs" },
		{ "prvsx=0123456789=ann", "prvsx" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		CHECK_TEXT(rows[i].local_part, sender_name(text_from(rows[i].local_part)),
		           text_from(rows[i].name));
}

static uint64_t hash_of(const char *user, const char *reverse_path)
{
	struct envelope e = { .user = text_from(user), .reverse_path = text_from(reverse_path) };

	return sender_hash(&e);
}

static void senders_are_told_apart(void **state)
{
	static const struct {
		const char *name, *user, *reverse_path, *other_user, *other_path;
		bool same;
	} rows[] = {
		{ "one mailbox", "", "ann@example.com", "", "ann@example.com", true },
		{ "case", "", "ann@example.com", "", "Ann@EXAMPLE.com", true },
		{ "VERP", "", "news+a=x.test@example.com", "", "news+b=y.test@example.com", true },
		{ "two mailboxes", "", "ann@example.com", "", "bob@example.com", false },
		{ "two domains", "", "ann@example.com", "", "ann@example.net", false },
		{ "one login, two paths", "ann", "ann@example.com", "ann", "news@example.com", true },
		{ "two logins, one path", "ann", "news@example.com", "bob", "news@example.com", false },
		{ "a login is no mailbox", "ann@example.com", "x@y.test", "", "ann@example.com", false },
		{ "logins have their case", "ann", "", "Ann", "", false },
		{ "null reverse-paths", "", "", "", "", true },
		{ "the null reverse-path and another", "", "", "", "a@b.test", false },
		{ "no domain", "", "root", "", "root@example.com", false },
		{ "where the @ stands", "", "a@bc.test", "", "ab@c.test", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		CHECK(rows[i].name, (hash_of(rows[i].user, rows[i].reverse_path) ==
		                     hash_of(rows[i].other_user, rows[i].other_path)) == rows[i].same);
}

/* It is stored: another value would make two senders of one. */
static void the_hash_stays_as_it_is(void **state)
{
	(void)state;
	assert_true(hash_of("", "ann@example.com") == UINT64_C(0x838a0f2c26dedbb0));
	assert_true(hash_of("ann", "") == UINT64_C(0x96bcbe83b55a9057));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_name_is_what_does_not_change),
		cmocka_unit_test(senders_are_told_apart),
		cmocka_unit_test(the_hash_stays_as_it_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
