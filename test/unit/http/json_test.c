#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <math.h>

#include <cmocka.h>

#include <postrider/base/auto.h>
#include <postrider/http/json.h>

static void commas_stand_between_members_only(void **state)
{
	(void)state;
	AUTO(buf_fini) struct buf out = BUF(1000);
	struct json_writer w;

	json_writer_init(&w, &out);
	json_open_object(&w, NULL);
	json_put_text(&w, "a", TEXT("x\"y"));
	json_open_array(&w, "b");
	json_open_object(&w, NULL);
	json_close_object(&w);
	json_put_number(&w, NULL, -5);
	json_put_number(&w, NULL, INT64_MIN);
	json_close_array(&w);
	json_open_object(&w, "c");
	json_put_null(&w, "d");
	json_close_object(&w);
	json_put_bool(&w, "e", true);
	json_put_real(&w, "f", 0.25);
	json_put_real(&w, "g", (double)NAN);
	json_put_time(&w, "h", 1767355445678);
	json_put_time(&w, "i", 0);
	json_put_string(&w, "j", NULL);
	json_put_text_if(&w, "k", TEXT_EMPTY);
	json_put_raw(&w, "l", TEXT("[1]"));
	json_close_object(&w);
	buf_add_octet(&out, '\0');
	assert_int_equal(buf_err(&out), ERR_OK);
	assert_string_equal(
		out.at, "{\"a\":\"x\\\"y\",\"b\":[{},-5,-9223372036854775808],\"c\":{\"d\":null},\"e\":true,"
			"\"f\":0.25,\"g\":null,\"h\":\"2026-01-02T12:04:05.678000Z\",\"i\":null,\"j\":null,"
			"\"l\":[1]}");
}

static void what_was_written_reads_back(void **state)
{
	(void)state;
	AUTO(buf_fini) struct buf out = BUF(1000), again = BUF(1000);
	AUTO(json_free) struct json *v = NULL;
	struct json_writer w;

	json_writer_init(&w, &out);
	json_open_object(&w, NULL);
	json_put_text(&w, "control", TEXT("\x01\n\xff"));
	json_open_array(&w, "list");
	json_put_number(&w, NULL, INT64_MAX);
	json_put_bool(&w, NULL, false);
	json_close_array(&w);
	json_close_object(&w);
	assert_int_equal(json_parse(buf_text(&out), &v, NULL), ERR_OK);
	assert_true(text_eq(json_as_text(json_member(v, "control")), TEXT("\x01\n\xef\xbf\xbd")));
	assert_int_equal(json_count(json_member(v, "list")), 2);
	assert_true(json_as_number(json_element(json_member(v, "list"), 0), 0) == INT64_MAX);
	assert_int_equal(json_kind_of(json_element(json_member(v, "list"), 1)), JSON_IS_BOOL);
	json_add(&again, v);
	assert_true(text_starts(buf_text(&again), TEXT("{\"control\":\"\\u0001\\n")));
}

static const struct {
	const char *name;
	struct text in;
	enum err err;
} parse_cases[] = {
	{ "nothing", LIT(""), ERR_SYNTAX },
	{ "a bare number", LIT("1"), ERR_OK },
	{ "two values", LIT("1 2"), ERR_SYNTAX },
	{ "a member twice", LIT("{\"a\":1,\"a\":2}"), ERR_SYNTAX },
	{ "cut", LIT("{\"a\":"), ERR_SYNTAX },
	{ "not UTF-8", LIT("\"\xff\""), ERR_SYNTAX },
	{ "a NUL octet", LIT("\"a\0b\""), ERR_SYNTAX },
	{ "an escaped NUL", LIT("\"\\u0000\""), ERR_SYNTAX },
	{ "a trailing comma", LIT("[1,]"), ERR_SYNTAX },
	{ "an integer too large", LIT("99999999999999999999"), ERR_SYNTAX },
	{ "white space around", LIT(" \r\n{ } \t"), ERR_OK },
};

static void only_json_is_parsed(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(parse_cases); i++) {
		AUTO(json_free) struct json *v = NULL;
		AUTO(buf_fini) struct buf problem = BUF(1000);
		enum err err = json_parse(parse_cases[i].in, &v, &problem);

		if (err != parse_cases[i].err)
			fail_msg("%s: %s", parse_cases[i].name, err_text(err));
		assert_true(!v == (err != ERR_OK));
		assert_true((problem.len > 0) == (err != ERR_OK));
	}
}

static void endless_nesting_is_refused(void **state)
{
	(void)state;
	static char deep[100000];
	AUTO(json_free) struct json *v = NULL;

	memset(deep, '[', sizeof(deep));
	assert_int_equal(json_parse(text_of(deep, sizeof(deep)), &v, NULL), ERR_SYNTAX);
}

static void missing_and_other_kinds_give_the_stated_value(void **state)
{
	(void)state;
	AUTO(json_free) struct json *v = NULL;

	assert_int_equal(json_parse(TEXT("{\"s\":\"x\",\"r\":1.75,\"big\":1e300}"), &v, NULL), ERR_OK);
	assert_int_equal(json_kind_of(json_member(v, "no")), JSON_IS_MISSING);
	assert_null(json_member(NULL, "x"));
	assert_null(json_member(json_member(v, "s"), "x"));
	assert_null(json_as_text(json_member(v, "r")).at);
	assert_int_equal(json_as_number(json_member(v, "s"), -7), -7);
	assert_int_equal(json_as_number(json_member(v, "r"), -7), 1);
	assert_int_equal(json_as_number(json_member(v, "big"), -7), -7);
	assert_int_equal(json_count(v), 0);
	assert_null(json_element(v, 0));
	assert_false(json_as_bool(json_member(v, "s")));
}

static bool note_key(void *owner, struct text key, const struct json *value)
{
	buf_add(owner, key);
	return json_as_number(value, 0) != 2;
}

static void members_come_in_order_until_told_to_end(void **state)
{
	(void)state;
	AUTO(json_free) struct json *v = NULL;
	AUTO(buf_fini) struct buf keys = BUF(100);

	assert_int_equal(json_parse(TEXT("{\"z\":1,\"a\":1,\"m\":2,\"x\":3}"), &v, NULL), ERR_OK);
	json_each_member(v, note_key, &keys);
	assert_true(text_eq(buf_text(&keys), TEXT("zam")));
	json_each_member(json_member(v, "z"), note_key, &keys);
	assert_int_equal(keys.len, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(commas_stand_between_members_only),
		cmocka_unit_test(what_was_written_reads_back),
		cmocka_unit_test(only_json_is_parsed),
		cmocka_unit_test(endless_nesting_is_refused),
		cmocka_unit_test(missing_and_other_kinds_give_the_stated_value),
		cmocka_unit_test(members_come_in_order_until_told_to_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
