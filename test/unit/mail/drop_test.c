#include <postrider/mail/drop.h>

#include "support/alloc.h"
#include "support/check.h"

#define HEAD "postrider-drop 1\n"
#define PAIR "from a@a.example\nto b@b.example\n"

static const struct {
	const char *name;
	struct text in;
	enum err err;
	const char *problem;
} refused[] = {
	{ "empty", LIT(""), ERR_MORE, "" },
	{ "the beginning", LIT("postrider-dr"), ERR_MORE, "" },
	{ "no blank line", LIT(HEAD PAIR), ERR_MORE, "" },
	{ "something else", LIT("MZ\x90\n\n"), ERR_SYNTAX, "this is no file of sendmail's" },
	{ "NUL", LIT("\0\n\n"), ERR_SYNTAX, "this is no file of sendmail's" },
	{ "no number", LIT("postrider-drop\n\n"), ERR_SYNTAX, "this is no file of sendmail's" },
	{ "zero", LIT("postrider-drop 0\n\n"), ERR_SYNTAX, "this is no file of sendmail's" },
	{ "later", LIT("postrider-drop 2\nx\n\n"), ERR_UNSUPPORTED,
	  "the file was written by a later version" },
	{ "nothing", LIT(HEAD "\n"), ERR_SYNTAX, "there is no sender" },
	{ "no sender", LIT(HEAD "to b@b.example\n\n"), ERR_SYNTAX, "there is no sender" },
	{ "no recipient", LIT(HEAD "from a@a.example\n\n"), ERR_SYNTAX, "there is no recipient" },
	{ "two senders", LIT(HEAD PAIR "from c@c.example\n\n"), ERR_SYNTAX, "line 4 cannot be used" },
	{ "a bad sender", LIT(HEAD "from a b@c\n"), ERR_SYNTAX, "line 2 cannot be used" },
	{ "an empty recipient", LIT(HEAD "to \n"), ERR_SYNTAX, "line 2 cannot be used" },
	{ "a recipient in brackets", LIT(HEAD "to <b@b.example>\n"), ERR_SYNTAX, "line 2 cannot be used" },
	{ "a recipient with CR", LIT(HEAD "to b@b.example\r\n"), ERR_SYNTAX, "line 2 cannot be used" },
	{ "an unknown word", LIT(HEAD PAIR "user root\n\n"), ERR_SYNTAX, "line 4 cannot be used" },
	{ "a word in capitals", LIT(HEAD "From a@a.example\n"), ERR_SYNTAX, "line 2 cannot be used" },
	{ "never and more", LIT(HEAD PAIR "notify never,delay\n\n"), ERR_SYNTAX, "line 4 cannot be used" },
	{ "the same twice", LIT(HEAD PAIR "notify delay,delay\n\n"), ERR_SYNTAX, "line 4 cannot be used" },
	{ "no word of notify", LIT(HEAD PAIR "notify \n\n"), ERR_SYNTAX, "line 4 cannot be used" },
	{ "another ret", LIT(HEAD PAIR "ret all\n\n"), ERR_SYNTAX, "line 4 cannot be used" },
	{ "an envid that is no xtext", LIT(HEAD PAIR "envid a+0\n\n"), ERR_SYNTAX, "line 4 cannot be used" },
	{ "an envid with a space", LIT(HEAD PAIR "envid a b\n\n"), ERR_SYNTAX, "line 4 cannot be used" },
};

static void test_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		AUTO(free_memory) char *copy = alone(refused[i].in);
		AUTO(buf_fini) struct buf problem = BUF(1000);
		struct text rest = text_of(copy, refused[i].in.len);
		struct drop d = { 0 };

		CHECK_INT(refused[i].name, drop_parse(&rest, &d, &problem), refused[i].err);
		CHECK_TEXT(refused[i].name, buf_text(&problem), text_from(refused[i].problem));
		CHECK_INT(refused[i].name, rest.len, refused[i].in.len);
	}
}

static void check_same(const struct drop *a, const struct drop *b)
{
	CHECK_TEXT("from", a->from, b->from);
	CHECK_INT("count", a->to_count, b->to_count);
	for (size_t i = 0; i < a->to_count; i++)
		CHECK_TEXT("to", a->to[i], b->to[i]);
	CHECK_INT("notify", a->notify, b->notify);
	CHECK_INT("ret", a->ret, b->ret);
	CHECK_TEXT("envid", a->envid, b->envid);
}

static void test_there_and_back(void **state)
{
	struct text to[] = { LIT("b@b.example"), LIT("\"c d\"@[192.0.2.1]"), LIT("postmaster") };
	const struct drop all[] = {
		{ .from = LIT("a@a.example"), .to = to, .to_count = 1 },
		{ .from = LIT(""), .to = to, .to_count = 3 },
		{ .from = LIT("a@a.example"),
		  .to = to,
		  .to_count = 2,
		  .ret = ENVELOPE_RET_FULL,
		  .notify = ENVELOPE_NOTIFY_NEVER,
		  .envid = LIT("a+2Bb") },
		{ .from = LIT("a@a.example"),
		  .to = to,
		  .to_count = 2,
		  .ret = ENVELOPE_RET_HDRS,
		  .notify = ENVELOPE_NOTIFY_SUCCESS | ENVELOPE_NOTIFY_FAILURE | ENVELOPE_NOTIFY_DELAY },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		AUTO(buf_fini) struct buf b = BUF(4096), problem = BUF(1000);
		struct drop d = { 0 };

		drop_add(&b, &all[i]);
		buf_add(&b, TEXT("Subject: x\r\n"));
		struct text rest = buf_text(&b);

		assert_int_equal(drop_parse(&rest, &d, &problem), ERR_OK);
		check_same(&all[i], &d);
		CHECK_TEXT("rest", rest, TEXT("Subject: x\r\n"));
		drop_fini(&d);
	}
}

static void test_bounds(void **state)
{
	AUTO(buf_fini) struct buf b = BUF(DROP_HEAD_MAX + 100), problem = BUF(1000);
	struct drop d = { 0 };

	(void)state;
	buf_add_string(&b, HEAD "from \n");
	for (unsigned i = 0; i < DROP_RECIPIENTS_MAX; i++)
		buf_add_format(&b, "to r%u@example.com\n", i);
	size_t len = b.len;

	buf_add_octet(&b, '\n');
	struct text rest = buf_text(&b);

	assert_int_equal(drop_parse(&rest, &d, &problem), ERR_OK);
	assert_int_equal(d.to_count, DROP_RECIPIENTS_MAX);
	drop_fini(&d);
	buf_cut(&b, len);
	buf_add_string(&b, "to one@more.example\n\n");
	rest = buf_text(&b);
	assert_int_equal(drop_parse(&rest, &d, &problem), ERR_TOO_BIG);
	buf_cut(&b, len);
	buf_add_string(&b, "to ");
	while (!buf_err(&b))
		buf_add_octet(&b, 'a');
	rest = buf_text(&b);
	assert_int_equal(drop_parse(&rest, &d, &problem), ERR_TOO_BIG);
}

static void test_xtext(void **state)
{
	AUTO(buf_fini) struct buf b = BUF(100);

	(void)state;
	drop_add_xtext(&b, TEXT("a+b=c d\xff~"));
	CHECK_TEXT("xtext", buf_text(&b), TEXT("a+2Bb+3Dc+20d+FF~"));
}

static void test_no_memory(void **state)
{
	(void)state;
	for (EACH_ALLOC_FAILING) {
		AUTO(buf_fini) struct buf problem = BUF(1000);
		struct text rest = TEXT(HEAD PAIR "\n");
		struct drop d = { 0 };
		enum err err = drop_parse(&rest, &d, &problem);

		assert_int_equal(err, alloc_has_failed() ? ERR_NOMEM : ERR_OK);
		drop_fini(&d);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused),   cmocka_unit_test(test_there_and_back),
		cmocka_unit_test(test_bounds),    cmocka_unit_test(test_xtext),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
