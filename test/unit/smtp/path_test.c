#include <postrider/smtp/path.h>

#include "support/check.h"

#define TEN "0123456789"
#define SIXTY TEN TEN TEN TEN TEN TEN
#define LABEL63 SIXTY "abc"

enum { REVERSE = 1, FORWARD = 2, BOTH = 3 };

static const struct {
	const char *name;
	struct text input;
	int as; /* in which places it is good; elsewhere ERR_SYNTAX */
	struct text mailbox, local_part, domain, rest;
} good[] = {
	{ "a mailbox", LIT("<ann@example.com>"), BOTH, LIT("ann@example.com"), LIT("ann"), LIT("example.com"),
	  LIT("") },
	{ "what follows stays", LIT("<a@b> SIZE=3"), BOTH, LIT("a@b"), LIT("a"), LIT("b"), LIT(" SIZE=3") },
	{ "the null path", LIT("<>"), REVERSE, LIT(""), LIT(""), LIT(""), LIT("") },
	{ "postmaster", LIT("<postmaster>"), FORWARD, LIT("postmaster"), LIT("postmaster"), LIT(""),
	  LIT("") },
	{ "Postmaster", LIT("<PostMaster>"), FORWARD, LIT("PostMaster"), LIT("PostMaster"), LIT(""),
	  LIT("") },
	{ "postmaster with a domain", LIT("<postmaster@a.b>"), BOTH, LIT("postmaster@a.b"), LIT("postmaster"),
	  LIT("a.b"), LIT("") },
	{ "a source route", LIT("<@a.example:ann@b.example>"), BOTH, LIT("ann@b.example"), LIT("ann"),
	  LIT("b.example"), LIT("") },
	{ "a long source route", LIT("<@a,@[192.0.2.1],@c:ann@d>"), BOTH, LIT("ann@d"), LIT("ann"), LIT("d"),
	  LIT("") },
	{ "all of atext", LIT("<!#$%&'*+-/=?^_`{|}~09azAZ@a>"), BOTH, LIT("!#$%&'*+-/=?^_`{|}~09azAZ@a"),
	  LIT("!#$%&'*+-/=?^_`{|}~09azAZ"), LIT("a"), LIT("") },
	{ "a quoted local part", LIT("<\"a b\"@c>"), BOTH, LIT("\"a b\"@c"), LIT("\"a b\""), LIT("c"),
	  LIT("") },
	{ "quoted angle brackets", LIT("<\"a>b<c@d\"@e>"), BOTH, LIT("\"a>b<c@d\"@e"), LIT("\"a>b<c@d\""),
	  LIT("e"), LIT("") },
	{ "a quoted quote", LIT("<\"a\\\"b\\\\\"@c>"), BOTH, LIT("\"a\\\"b\\\\\"@c"), LIT("\"a\\\"b\\\\\""),
	  LIT("c"), LIT("") },
	{ "an empty quoted local part", LIT("<\"\"@c>"), BOTH, LIT("\"\"@c"), LIT("\"\""), LIT("c"),
	  LIT("") },
	{ "dots anywhere", LIT("<.a..b.@c>"), BOTH, LIT(".a..b.@c"), LIT(".a..b."), LIT("c"), LIT("") },
	{ "an IPv4 literal", LIT("<a@[192.0.2.1]>"), BOTH, LIT("a@[192.0.2.1]"), LIT("a"), LIT("[192.0.2.1]"),
	  LIT("") },
	{ "an IPv6 literal", LIT("<a@[IPv6:2001:db8::1]>"), BOTH, LIT("a@[IPv6:2001:db8::1]"), LIT("a"),
	  LIT("[IPv6:2001:db8::1]"), LIT("") },
	{ "an IPv6 literal in small letters", LIT("<a@[ipv6:::1]>"), BOTH, LIT("a@[ipv6:::1]"), LIT("a"),
	  LIT("[ipv6:::1]"), LIT("") },
	{ "an underscore in a domain", LIT("<a@_b_.c_d>"), BOTH, LIT("a@_b_.c_d"), LIT("a"), LIT("_b_.c_d"),
	  LIT("") },
	{ "the longest local part", LIT("<" SIXTY "abcd@a>"), BOTH, LIT(SIXTY "abcd@a"), LIT(SIXTY "abcd"),
	  LIT("a"), LIT("") },
	{ "the longest label", LIT("<a@" LABEL63 ">"), BOTH, LIT("a@" LABEL63), LIT("a"), LIT(LABEL63),
	  LIT("") },
	{ "the longest path", LIT("<a@" LABEL63 "." LABEL63 "." LABEL63 "." SIXTY ">"), BOTH,
	  LIT("a@" LABEL63 "." LABEL63 "." LABEL63 "." SIXTY), LIT("a"),
	  LIT(LABEL63 "." LABEL63 "." LABEL63 "." SIXTY), LIT("") },
};

static void check_good(size_t i, struct text *rest, enum err err, const struct smtp_path *path)
{
	const char *name = good[i].name;

	CHECK_INT(name, err, ERR_OK);
	CHECK_TEXT(name, path->mailbox, good[i].mailbox);
	CHECK_TEXT(name, path->local_part, good[i].local_part);
	CHECK_TEXT(name, path->domain, good[i].domain);
	CHECK_TEXT(name, *rest, good[i].rest);
	CHECK_INT(name, path->is_literal, path->domain.len && path->domain.at[0] == '[');
}

static void good_paths_are_taken_apart(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		char *copy = alone(good[i].input);
		struct text whole = text_of(copy, good[i].input.len), rest = whole;
		struct smtp_path path;
		enum err err = smtp_reverse_path_parse(&rest, &path);

		if (good[i].as & REVERSE)
			check_good(i, &rest, err, &path);
		else
			CHECK_INT(good[i].name, err, ERR_SYNTAX);
		rest = whole;
		err = smtp_forward_path_parse(&rest, &path);
		if (good[i].as & FORWARD)
			check_good(i, &rest, err, &path);
		else
			CHECK_INT(good[i].name, err, ERR_SYNTAX);
		free(copy);
	}
}

static const struct {
	const char *name;
	struct text input;
	bool is_utf8;
	const char *ascii; /* the mailbox with an ASCII domain */
} utf8_paths[] = {
	{ "ASCII", LIT("<Ann@Example.com>"), false, "Ann@Example.com" },
	{ "a local part", LIT("<j\xc3\xb6rg@Example.com>"), true, "j\xc3\xb6rg@Example.com" },
	{ "a local part in Chinese", LIT("<\xe7\x94\xa8\xe6\x88\xb7@example.com>"), true,
	  "\xe7\x94\xa8\xe6\x88\xb7@example.com" },
	{ "a character of four octets", LIT("<\xf0\x9f\x93\xae@example.com>"), true,
	  "\xf0\x9f\x93\xae@example.com" },
	{ "in quotes", LIT("<\"j\xc3\xb6rg b\"@c>"), true, "\"j\xc3\xb6rg b\"@c" },
	{ "a domain",
	  LIT("<ann@b\xc3\xbc"
	      "cher.example>"),
	  true, "ann@xn--bcher-kva.example" },
	{ "a domain in capital letters",
	  LIT("<ann@B\xc3\x9c"
	      "CHER.Example>"),
	  true, "ann@xn--bcher-kva.example" },
	{ "a decomposed domain",
	  LIT("<ann@bu\xcc\x88"
	      "cher.example>"),
	  true, "ann@xn--bcher-kva.example" },
	{ "a sharp s stays",
	  LIT("<ann@stra\xc3\x9f"
	      "e.example>"),
	  true, "ann@xn--strae-oqa.example" },
	{ "an A-label among U-labels", LIT("<a@xn--bcher-kva.\xe4\xbe\x8b\xe3\x81\x88>"), true,
	  "a@xn--bcher-kva.xn--r8jz45g" },
};

static void utf8_is_told_and_domains_have_an_ascii_form(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(utf8_paths); i++) {
		char *copy = alone(utf8_paths[i].input);
		struct text rest = text_of(copy, utf8_paths[i].input.len);
		struct smtp_path path;
		struct buf ascii = BUF(SMTP_PATH_MAX);

		CHECK_INT(utf8_paths[i].name, smtp_forward_path_parse(&rest, &path), ERR_OK);
		CHECK_INT(utf8_paths[i].name, path.is_utf8, utf8_paths[i].is_utf8);
		CHECK_INT(utf8_paths[i].name, smtp_mailbox_to_ascii_domain(&path, &ascii), ERR_OK);
		CHECK_TEXT(utf8_paths[i].name, buf_text(&ascii), text_from(utf8_paths[i].ascii));
		struct smtp_path again;

		CHECK_INT(utf8_paths[i].name, smtp_mailbox_parse_utf8(buf_text(&ascii), &again), ERR_OK);
		CHECK_INT(utf8_paths[i].name, smtp_path_eq(&path, &again), true);
		CHECK_INT(utf8_paths[i].name, smtp_mailbox_parse(path.mailbox, &again),
		          path.is_utf8 ? ERR_SYNTAX : ERR_OK);
		buf_fini(&ascii);
		free(copy);
	}
}

static void a_domain_has_one_form_in_the_dns(void **state)
{
	struct buf out = BUF(SMTP_DOMAIN_MAX);
	struct buf longest = BUF(400);

	(void)state;
	assert_int_equal(smtp_domain_to_ascii(TEXT("Mail.EXAMPLE.com"), &out), ERR_OK);
	CHECK_TEXT("small letters", buf_text(&out), TEXT("mail.example.com"));
	buf_reset(&out);
	assert_int_equal(smtp_domain_to_ascii(TEXT("a..b"), &out), ERR_SYNTAX);
	assert_int_equal(smtp_domain_to_ascii(TEXT("\xc3\xbc\0.b"), &out), ERR_SYNTAX);
	assert_int_equal(smtp_domain_to_ascii(TEXT("\xff.b"), &out), ERR_SYNTAX);
	assert_int_equal(smtp_domain_to_ascii(TEXT("\xc3\xbc..b"), &out), ERR_SYNTAX);
	assert_int_equal(smtp_domain_to_ascii(TEXT("\xc3\xbc.b/c"), &out), ERR_SYNTAX);
	/* characters whose plain form is no letter: "a/c", "@", ">", a space */
	assert_int_equal(smtp_domain_to_ascii(TEXT("\xe2\x84\x80.example"), &out), ERR_SYNTAX);
	assert_int_equal(smtp_domain_to_ascii(TEXT("a\xef\xbc\xa0" "b.example"), &out), ERR_SYNTAX);
	assert_int_equal(smtp_domain_to_ascii(TEXT("a\xef\xbc\x9e" "b.example"), &out), ERR_SYNTAX);
	assert_int_equal(smtp_domain_to_ascii(TEXT("a\xe3\x80\x80" "b.example"), &out), ERR_SYNTAX);
	assert_int_equal(smtp_domain_to_ascii(TEXT("\xef\xbc\xbb" "192.0.2.1\xef\xbc\xbd"), &out), ERR_SYNTAX);
	buf_add_string(&longest, "\xc3\xbc");
	for (int i = 0; i < 60; i++)
		buf_add_octet(&longest, 'a');
	assert_int_equal(smtp_domain_to_ascii(buf_text(&longest), &out), ERR_TOO_BIG);
	for (int i = 0; i < 100; i++)
		buf_add_string(&longest, "a\xc3\xbc");
	assert_int_equal(smtp_domain_to_ascii(buf_text(&longest), &out), ERR_TOO_BIG);
	assert_int_equal(out.len, 0);
	buf_fini(&longest);
	buf_fini(&out);
}

static const struct {
	const char *name;
	struct text input;
	enum err err;
} bad[] = {
	{ "nothing", LIT(""), ERR_SYNTAX },
	{ "no angle brackets", LIT("ann@example.com"), ERR_SYNTAX },
	{ "an open bracket", LIT("<"), ERR_SYNTAX },
	{ "not closed", LIT("<a@b"), ERR_SYNTAX },
	{ "not opened", LIT("a@b>"), ERR_SYNTAX },
	{ "two opened", LIT("<<a@b>>"), ERR_SYNTAX },
	{ "no domain", LIT("<ann>"), ERR_SYNTAX },
	{ "an empty domain", LIT("<ann@>"), ERR_SYNTAX },
	{ "an empty local part", LIT("<@b>"), ERR_SYNTAX },
	{ "two at signs", LIT("<a@b@c>"), ERR_SYNTAX },
	{ "a space inside", LIT("<a b@c>"), ERR_SYNTAX },
	{ "a space at the front", LIT("< a@c>"), ERR_SYNTAX },
	{ "a space in the domain", LIT("<a@b c>"), ERR_SYNTAX },
	{ "a space at the end", LIT("<a@b >"), ERR_SYNTAX },
	{ "a name before the address", LIT("Ann <a@b>"), ERR_SYNTAX },
	{ "a NUL in the local part", LIT("<a\0b@c>"), ERR_SYNTAX },
	{ "a NUL in the domain", LIT("<a@b\0c>"), ERR_SYNTAX },
	{ "a NUL in quotes", LIT("<\"a\0b\"@c>"), ERR_SYNTAX },
	{ "a quoted NUL", LIT("<\"a\\\0b\"@c>"), ERR_SYNTAX },
	{ "CR and LF in quotes", LIT("<\"a\r\nRCPT TO:<x@y>\"@c>"), ERR_SYNTAX },
	{ "a quoted LF", LIT("<\"a\\\nb\"@c>"), ERR_SYNTAX },
	{ "LF in the local part", LIT("<a\nb@c>"), ERR_SYNTAX },
	{ "LF in the domain", LIT("<a@b\n>"), ERR_SYNTAX },
	{ "HTAB in quotes", LIT("<\"a\tb\"@c>"), ERR_SYNTAX },
	{ "DEL", LIT("<a\x7f@c>"), ERR_SYNTAX },
	{ "an octet of no UTF-8 in the local part", LIT("<caf\xe9@c>"), ERR_SYNTAX },
	{ "UTF-8 that is cut in the local part", LIT("<caf\xc3@c>"), ERR_SYNTAX },
	{ "an octet of no UTF-8 in the domain", LIT("<a@caf\xe9>"), ERR_SYNTAX },
	{ "an octet of no UTF-8 in quotes", LIT("<\"\xff\"@c>"), ERR_SYNTAX },
	{ "an over-long form", LIT("<a\xc1\x81@c>"), ERR_SYNTAX },
	{ "an over-long at sign", LIT("<a\xe0\x81\x80@c>"), ERR_SYNTAX },
	{ "a surrogate", LIT("<a\xed\xa0\x80@c>"), ERR_SYNTAX },
	{ "above U+10FFFF", LIT("<a\xf4\x90\x80\x80@c>"), ERR_SYNTAX },
	{ "NEXT LINE", LIT("<a\xc2\x85@c>"), ERR_SYNTAX },
	{ "a C1 control", LIT("<a\xc2\x9b@c>"), ERR_SYNTAX },
	{ "LINE SEPARATOR", LIT("<a\xe2\x80\xa8@c>"), ERR_SYNTAX },
	{ "PARAGRAPH SEPARATOR in quotes", LIT("<\"a\xe2\x80\xa9\"@c>"), ERR_SYNTAX },
	{ "a noncharacter", LIT("<a\xef\xbf\xbf@c>"), ERR_SYNTAX },
	{ "UTF-8 behind a backslash", LIT("<\"\\\xc3\xa9\"@c>"), ERR_SYNTAX },
	{ "a domain of symbols that no label may have", LIT("<a@\xe2\x80\x8b.example>"), ERR_SYNTAX },
	{ "a label that begins with a combining mark",
	  LIT("<a@\xcc\x81"
	      "a.example>"),
	  ERR_SYNTAX },
	{ "quotes not closed", LIT("<\"a@c>"), ERR_SYNTAX },
	{ "quotes that end with a backslash and the input", LIT("<\"a\\"), ERR_SYNTAX },
	{ "quotes that end in a backslash", LIT("<\"a\\\"@c>"), ERR_SYNTAX },
	{ "something behind the quotes", LIT("<\"a\"b@c>"), ERR_SYNTAX },
	{ "quotes inside an atom", LIT("<a\"b\"@c>"), ERR_SYNTAX },
	{ "a comma", LIT("<a,b@c>"), ERR_SYNTAX },
	{ "a semicolon", LIT("<a;b@c>"), ERR_SYNTAX },
	{ "a colon", LIT("<a:b@c>"), ERR_SYNTAX },
	{ "a comment", LIT("<a(b)@c>"), ERR_SYNTAX },
	{ "a backslash", LIT("<a\\b@c>"), ERR_SYNTAX },
	{ "a dot at the end of the domain", LIT("<a@b.>"), ERR_SYNTAX },
	{ "a dot at the front of the domain", LIT("<a@.b>"), ERR_SYNTAX },
	{ "two dots in the domain", LIT("<a@b..c>"), ERR_SYNTAX },
	{ "a hyphen at the front of a label", LIT("<a@b.-c>"), ERR_SYNTAX },
	{ "a hyphen at the end of a label", LIT("<a@b-.c>"), ERR_SYNTAX },
	{ "a literal not closed", LIT("<a@[192.0.2.1>"), ERR_SYNTAX },
	{ "an empty literal", LIT("<a@[]>"), ERR_SYNTAX },
	{ "a literal that is no address", LIT("<a@[192.0.2.256]>"), ERR_SYNTAX },
	{ "a literal of three numbers", LIT("<a@[192.0.2]>"), ERR_SYNTAX },
	{ "IPv6 without its tag", LIT("<a@[2001:db8::1]>"), ERR_SYNTAX },
	{ "IPv4 with the tag of IPv6", LIT("<a@[IPv6:192.0.2.1]>"), ERR_SYNTAX },
	{ "a general literal", LIT("<a@[x400:abc]>"), ERR_SYNTAX },
	{ "something behind a literal", LIT("<a@[192.0.2.1].b>"), ERR_SYNTAX },
	{ "a space in a literal", LIT("<a@[192.0.2.1 ]>"), ERR_SYNTAX },
	{ "a bracket in a literal", LIT("<a@[192.0.2.1>]>"), ERR_SYNTAX },
	{ "a source route alone", LIT("<@a:>"), ERR_SYNTAX },
	{ "a source route without a colon", LIT("<@a,@b>"), ERR_SYNTAX },
	{ "a source route that ends in a comma", LIT("<@a,:c@d>"), ERR_SYNTAX },
	{ "a source route without a comma", LIT("<@a@b:c@d>"), ERR_SYNTAX },
	{ "a source route twice", LIT("<@a:@b:c@d>"), ERR_SYNTAX },
	{ "a source route with a bad domain", LIT("<@a..b:c@d>"), ERR_SYNTAX },
	{ "a source route before postmaster", LIT("<@a:postmaster>"), ERR_SYNTAX },
	{ "a source route before nothing", LIT("<@a"), ERR_SYNTAX },
	{ "postmaster in quotes without a domain", LIT("<\"postmaster\">"), ERR_SYNTAX },
	{ "a local part that is too long", LIT("<" SIXTY "abcde@a>"), ERR_TOO_BIG },
	{ "a quoted one that is too long", LIT("<\"" SIXTY "abc\"@a>"), ERR_TOO_BIG },
	{ "a label that is too long", LIT("<a@" LABEL63 "d>"), ERR_TOO_BIG },
	{ "a domain that is too long", LIT("<a@" LABEL63 "." LABEL63 "." LABEL63 "." LABEL63 ".a>"),
	  ERR_TOO_BIG },
	{ "a path that is too long", LIT("<ab@" LABEL63 "." LABEL63 "." LABEL63 "." SIXTY ">"), ERR_TOO_BIG },
};

static void bad_paths_are_refused_and_nothing_is_taken(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		char *copy = alone(bad[i].input);
		struct text rest = text_of(copy, bad[i].input.len);
		struct smtp_path path;

		CHECK_INT(bad[i].name, smtp_reverse_path_parse(&rest, &path), bad[i].err);
		CHECK_TEXT(bad[i].name, rest, bad[i].input);
		CHECK_INT(bad[i].name, smtp_forward_path_parse(&rest, &path), bad[i].err);
		CHECK_TEXT(bad[i].name, rest, bad[i].input);
		free(copy);
	}
}

static void a_mailbox_stands_without_brackets(void **state)
{
	struct smtp_path path;

	(void)state;
	assert_int_equal(smtp_mailbox_parse(TEXT("\"a b\"@[192.0.2.1]"), &path), ERR_OK);
	CHECK_TEXT("domain", path.domain, TEXT("[192.0.2.1]"));
	assert_true(path.is_literal && ip_eq(path.literal, ip_from_v4(0xc0000201)));
	assert_int_equal(smtp_mailbox_parse(TEXT("a@b "), &path), ERR_SYNTAX);
	assert_int_equal(smtp_mailbox_parse(TEXT("a@b>"), &path), ERR_SYNTAX);
	assert_int_equal(smtp_mailbox_parse(TEXT("<a@b>"), &path), ERR_SYNTAX);
	assert_int_equal(smtp_mailbox_parse(TEXT("postmaster"), &path), ERR_SYNTAX);
	assert_int_equal(smtp_mailbox_parse(TEXT(""), &path), ERR_SYNTAX);
	assert_int_equal(smtp_mailbox_parse(TEXT("@a:b@c"), &path), ERR_SYNTAX);
}

static const struct {
	struct text text;
	enum err err;
} domain_cases[] = {
	{ LIT("example.com"), ERR_OK },
	{ LIT("localhost"), ERR_OK },
	{ LIT("xn--caf-dma.example"), ERR_OK },
	{ LIT("1.2.3.4"), ERR_OK },
	{ LIT("_dmarc.a_b.c"), ERR_OK },
	{ LIT(LABEL63 "." LABEL63 "." LABEL63 "." LABEL63), ERR_OK },
	{ LIT(LABEL63 "." LABEL63 "." LABEL63 "." LABEL63 "."), ERR_TOO_BIG },
	{ LIT(""), ERR_SYNTAX },
	{ LIT("."), ERR_SYNTAX },
	{ LIT("a."), ERR_SYNTAX },
	{ LIT("-a"), ERR_SYNTAX },
	{ LIT("a b"), ERR_SYNTAX },
	{ LIT("a\0b"), ERR_SYNTAX },
	{ LIT("a/b"), ERR_SYNTAX },
	{ LIT("[192.0.2.1]"), ERR_SYNTAX },
};

static void domains_are_labels_with_dots_between(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(domain_cases); i++)
		CHECK_INT(domain_cases[i].text.at, smtp_domain_check(domain_cases[i].text),
		          domain_cases[i].err);
	assert_int_equal(smtp_helo_check(TEXT("mail.example.com")), ERR_OK);
	assert_int_equal(smtp_helo_check(TEXT("[192.0.2.1]")), ERR_OK);
	assert_int_equal(smtp_helo_check(TEXT("[IPv6:::1]")), ERR_OK);
	assert_int_equal(smtp_helo_check(TEXT("[localhost]")), ERR_SYNTAX);
	assert_int_equal(smtp_helo_check(TEXT("[")), ERR_SYNTAX);
	assert_int_equal(smtp_helo_check(TEXT("[192.0.2.1")), ERR_SYNTAX);
	assert_int_equal(smtp_helo_check(TEXT("my computer")), ERR_SYNTAX);
	assert_int_equal(smtp_helo_check(TEXT("")), ERR_SYNTAX);
}

static const struct {
	const char *name;
	struct text a, b;
	bool same;
} same_cases[] = {
	{ "domains in another case", LIT("ann@Example.COM"), LIT("ann@example.com"), true },
	{ "local parts in another case", LIT("Ann@example.com"), LIT("ann@example.com"), false },
	{ "quotes without need", LIT("\"a.b\"@c"), LIT("a.b@c"), true },
	{ "backslashes without need", LIT("\"a\\b\"@c"), LIT("ab@c"), true },
	{ "a quoted backslash", LIT("\"a\\\\b\"@c"), LIT("\"ab\"@c"), false },
	{ "one is the start of the other", LIT("ab@c"), LIT("a@c"), false },
	{ "literals in other words", LIT("a@[IPv6:2001:DB8:0:0::1]"), LIT("a@[IPv6:2001:db8::1]"), true },
	{ "IPv4 in the words of IPv6", LIT("a@[IPv6:::ffff:192.0.2.1]"), LIT("a@[192.0.2.1]"), true },
	{ "a literal and a domain", LIT("a@[192.0.2.1]"), LIT("a@192.0.2.1"), false },
};

static void mailboxes_compare_by_meaning(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(same_cases); i++) {
		struct smtp_path a, b;

		CHECK_INT(same_cases[i].name, smtp_mailbox_parse(same_cases[i].a, &a), ERR_OK);
		CHECK_INT(same_cases[i].name, smtp_mailbox_parse(same_cases[i].b, &b), ERR_OK);
		CHECK_INT(same_cases[i].name, smtp_path_eq(&a, &b), same_cases[i].same);
		CHECK_INT(same_cases[i].name, smtp_path_eq(&b, &a), same_cases[i].same);
	}
}

static void a_local_part_is_written_as_it_is_meant(void **state)
{
	struct buf b = BUF(100);

	(void)state;
	smtp_local_part_add(&b, TEXT("a.b"));
	smtp_local_part_add(&b, TEXT("\"c \\\"d\\\\\""));
	smtp_local_part_add(&b, TEXT("\"\""));
	smtp_local_part_add(&b, TEXT(""));
	CHECK_TEXT("all", buf_text(&b), TEXT("a.bc \"d\\"));
	buf_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_paths_are_taken_apart),
		cmocka_unit_test(utf8_is_told_and_domains_have_an_ascii_form),
		cmocka_unit_test(a_domain_has_one_form_in_the_dns),
		cmocka_unit_test(bad_paths_are_refused_and_nothing_is_taken),
		cmocka_unit_test(a_mailbox_stands_without_brackets),
		cmocka_unit_test(domains_are_labels_with_dots_between),
		cmocka_unit_test(mailboxes_compare_by_meaning),
		cmocka_unit_test(a_local_part_is_written_as_it_is_meant),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
