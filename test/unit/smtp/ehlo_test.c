#include <postrider/smtp/ehlo.h>

#include "support/check.h"

static const struct {
	const char *name;
	struct text text;
	unsigned keywords;
	const char *domain;
	uint64_t size;
	const char *auth, *limits;
} cases[] = {
	{ "one line", LIT("mx.example.com"), 0, "mx.example.com", 0, "", "" },
	{ "a greeting", LIT("mx.example.com Hello [192.0.2.1]\nPIPELINING"), EHLO_PIPELINING,
	  "mx.example.com", 0, "", "" },
	{ "a keyword in the first line is none", LIT("STARTTLS\nHELP"), EHLO_HELP, "STARTTLS", 0, "", "" },
	{ "nothing at all", LIT(""), 0, "", 0, "", "" },
	{ "any case", LIT("mx\nStartTls\n8bitmime"), EHLO_STARTTLS | EHLO_8BITMIME, "mx", 0, "", "" },
	{ "SIZE", LIT("mx\nSIZE 35882577"), EHLO_SIZE, "mx", 35882577, "", "" },
	{ "SIZE without a limit", LIT("mx\nSIZE"), EHLO_SIZE, "mx", 0, "", "" },
	{ "SIZE of 0", LIT("mx\nSIZE 0"), EHLO_SIZE, "mx", 0, "", "" },
	{ "SIZE that is no number", LIT("mx\nSIZE lots"), EHLO_SIZE, "mx", 0, "", "" },
	{ "SIZE twice", LIT("mx\nSIZE 10\nSIZE 20"), EHLO_SIZE, "mx", 10, "", "" },
	{ "AUTH", LIT("mx\nAUTH PLAIN  LOGIN"), EHLO_AUTH, "mx", 0, "PLAIN  LOGIN", "" },
	{ "the old AUTH", LIT("mx\nAUTH=LOGIN"), EHLO_AUTH, "mx", 0, "LOGIN", "" },
	{ "both", LIT("mx\nAUTH=LOGIN\nAUTH PLAIN LOGIN"), EHLO_AUTH, "mx", 0, "PLAIN LOGIN", "" },
	{ "LIMITS", LIT("mx\nLIMITS RCPTMAX=20 MAILMAX=5"), EHLO_LIMITS, "mx", 0, "",
	  "RCPTMAX=20 MAILMAX=5" },
	{ "unknown words", LIT("mx\nXFOO\nX-BAR 1\n\n \nDSN"), EHLO_DSN, "mx", 0, "", "" },
	{ "a keyword that goes on", LIT("mx\nSTARTTLSX\nSIZES 3"), 0, "mx", 0, "", "" },
	{ "white space", LIT("mx\n DSN \nCHUNKING "), EHLO_DSN | EHLO_CHUNKING, "mx", 0, "", "" },
};

static void offers_are_understood(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *name = cases[i].name;
		struct reply reply = { 250, "", cases[i].text };
		struct ehlo e;

		ehlo_parse(&reply, &e);
		CHECK_INT(name, e.keywords, cases[i].keywords);
		CHECK_TEXT(name, e.domain, text_from(cases[i].domain));
		CHECK(name, e.size_limit_bytes == cases[i].size);
		CHECK_TEXT(name, e.auth, text_from(cases[i].auth));
		CHECK_TEXT(name, e.limits, text_from(cases[i].limits));
	}
}

static void mechanisms_are_words(void **state)
{
	struct ehlo e = { .auth = TEXT("PLAIN  login XOAUTH2") };

	(void)state;
	assert_true(ehlo_has_auth(&e, TEXT("plain")));
	assert_true(ehlo_has_auth(&e, TEXT("LOGIN")));
	assert_false(ehlo_has_auth(&e, TEXT("XOAUTH")));
	assert_false(ehlo_has_auth(&e, TEXT("")));
}

static const struct {
	struct text limits;
	enum err err;
	uint64_t value;
} limit_cases[] = {
	{ LIT("MAILMAX=5 RCPTMAX=20"), ERR_OK, 20 },  { LIT("rcptmax=999999"), ERR_OK, 999999 },
	{ LIT("RCPTMAX=1000000"), ERR_NOT_FOUND, 0 }, { LIT("RCPTMAX=0"), ERR_NOT_FOUND, 0 },
	{ LIT("RCPTMAX"), ERR_NOT_FOUND, 0 },         { LIT("RCPTMAX=x"), ERR_NOT_FOUND, 0 },
	{ LIT("XRCPTMAX=3"), ERR_NOT_FOUND, 0 },      { LIT(""), ERR_NOT_FOUND, 0 },
};

static void limits_are_small_positive_numbers(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(limit_cases); i++) {
		struct ehlo e = { .limits = limit_cases[i].limits };
		uint64_t value = 0;

		CHECK_INT(limit_cases[i].limits.at, ehlo_limit(&e, TEXT("RCPTMAX"), &value),
		          limit_cases[i].err);
		CHECK(limit_cases[i].limits.at, value == limit_cases[i].value);
	}
}

static void what_we_offer_is_read_back_the_same(void **state)
{
	struct ehlo ours = {
		.keywords = EHLO_PIPELINING | EHLO_SIZE | EHLO_8BITMIME | EHLO_ENHANCEDSTATUSCODES |
		            EHLO_STARTTLS | EHLO_AUTH | EHLO_LIMITS,
		.domain = TEXT("relay.example.com"),
		.size_limit_bytes = 52428800,
		.auth = TEXT("PLAIN LOGIN"),
		.limits = TEXT("RCPTMAX=1000"),
	};
	struct ehlo theirs;
	struct buf b = BUF(1000);
	struct reply_reader r;
	struct reply reply;

	(void)state;
	ehlo_add(&b, &ours, TEXT("at your service"));
	CHECK_TEXT("wire", buf_text(&b),
	           TEXT("250-relay.example.com at your service\r\n250-PIPELINING\r\n250-SIZE 52428800\r\n"
	                "250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n250-STARTTLS\r\n250-AUTH PLAIN LOGIN\r\n"
	                "250 LIMITS RCPTMAX=1000\r\n"));
	struct text input = buf_text(&b);

	reply_reader_init(&r);
	assert_int_equal(reply_read(&r, &input, &reply), ERR_OK);
	ehlo_parse(&reply, &theirs);
	assert_int_equal(theirs.keywords, ours.keywords);
	assert_true(theirs.size_limit_bytes == ours.size_limit_bytes);
	CHECK_TEXT("auth", theirs.auth, ours.auth);
	reply_reader_fini(&r);
	buf_fini(&b);
}

static void an_offer_of_nothing_is_one_line(void **state)
{
	struct ehlo ours = { .domain = TEXT("relay.example.com") };
	struct buf b = BUF(1000);

	(void)state;
	ehlo_add(&b, &ours, TEXT(""));
	CHECK_TEXT("wire", buf_text(&b), TEXT("250 relay.example.com\r\n"));
	buf_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(offers_are_understood),
		cmocka_unit_test(mechanisms_are_words),
		cmocka_unit_test(limits_are_small_positive_numbers),
		cmocka_unit_test(what_we_offer_is_read_back_the_same),
		cmocka_unit_test(an_offer_of_nothing_is_one_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
