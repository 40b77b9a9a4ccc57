#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "cli.h"

#define NOW INT64_C(1767348600000) /* 2026-01-02T10:10:00Z */

static const char *const messages[] = {
	"{\"sender\":\"a@x.example\",\"received\":\"2026-01-02T10:09:00.000000Z\",\"recipients\":["
	"{\"address\":\"ann@one.example\",\"reason\":\"timeout\",\"key\":\"upstream:ses\",\"next_attempt\":\"2026-01-02T10:20:00.000000Z\"},"
	"{\"address\":\"bob@ONE.example\",\"reason\":\"greylisted\",\"key\":\"one.example\"}]}",
	"{\"sender\":\"\",\"received\":\"2026-01-02T05:10:00.000000Z\",\"recipients\":["
	"{\"address\":\"cid@one.example\",\"reason\":\"timeout\",\"key\":\"upstream:ses\",\"next_attempt\":\"2026-01-02T10:15:00.000000Z\"},"
	"{\"address\":\"dan@two.example\",\"key\":\"route:hold\"}]}",
};

static char *table(const char *by, bool json)
{
	struct queue_groups *g = queue_groups_new(by);
	struct cli cli = { .json = json, .err = stderr };
	char *out;
	size_t len;

	assert_non_null(g);
	for (size_t i = 0; i < ARRAY_LEN(messages); i++) {
		AUTO(json_free) struct json *v = NULL;

		assert_int_equal(json_parse(text_from(messages[i]), &v, NULL), ERR_OK);
		queue_groups_add(g, v, NOW);
	}
	cli.out = open_memstream(&out, &len);
	queue_groups_print(&cli, g, NOW);
	fclose(cli.out);
	queue_groups_free(&g);
	return out;
}

static const struct {
	const char *by;
	const char *lines;
} cases[] = {
	{ "domain",
	  "{\"domain\":\"one.example\",\"recipients\":3,\"messages\":2,\"oldest\":\"2026-01-02T05:10:00.000000Z\","
	  "\"next_attempt\":\"2026-01-02T10:15:00.000000Z\"}\n"
	  "{\"domain\":\"two.example\",\"recipients\":1,\"messages\":1,\"oldest\":\"2026-01-02T05:10:00.000000Z\","
	  "\"next_attempt\":null}\n" },
	{ "reason",
	  "{\"reason\":\"timeout\",\"recipients\":2,\"messages\":2,\"oldest\":\"2026-01-02T05:10:00.000000Z\","
	  "\"next_attempt\":\"2026-01-02T10:15:00.000000Z\"}\n"
	  "{\"reason\":\"greylisted\",\"recipients\":1,\"messages\":1,\"oldest\":\"2026-01-02T10:09:00.000000Z\","
	  "\"next_attempt\":null}\n"
	  "{\"reason\":\"not tried yet\",\"recipients\":1,\"messages\":1,\"oldest\":\"2026-01-02T05:10:00.000000Z\","
	  "\"next_attempt\":null}\n" },
	{ "sender",
	  "{\"sender\":\"<>\",\"recipients\":2,\"messages\":1,\"oldest\":\"2026-01-02T05:10:00.000000Z\","
	  "\"next_attempt\":\"2026-01-02T10:15:00.000000Z\"}\n"
	  "{\"sender\":\"a@x.example\",\"recipients\":2,\"messages\":1,\"oldest\":\"2026-01-02T10:09:00.000000Z\","
	  "\"next_attempt\":\"2026-01-02T10:20:00.000000Z\"}\n" },
	{ "age",
	  "{\"age\":\"under 5m\",\"recipients\":2,\"messages\":1,\"oldest\":\"2026-01-02T10:09:00.000000Z\","
	  "\"next_attempt\":\"2026-01-02T10:20:00.000000Z\"}\n"
	  "{\"age\":\"4h to 1d\",\"recipients\":2,\"messages\":1,\"oldest\":\"2026-01-02T05:10:00.000000Z\","
	  "\"next_attempt\":\"2026-01-02T10:15:00.000000Z\"}\n" },
};

static void what_waits_is_counted_by_each_way(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char *out = table(cases[i].by, true);

		assert_string_equal(out, cases[i].lines);
		free(out);
	}
}

static void people_get_a_table(void **state)
{
	(void)state;
	char *out = table("route", false);

	assert_string_equal(
		out,
		"route                                     recipients    messages      oldest  next try\n"
		"upstream:ses                                       2           2       5h 0m  in 5m 0s\n"
		"one.example                                        1           1       1m 0s  \n"
		"route:hold                                         1           1       5h 0m  \n");
	free(out);
}

static void other_ways_there_are_none(void **state)
{
	(void)state;
	assert_null(queue_groups_new("colour"));
	assert_null(queue_groups_new(""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_waits_is_counted_by_each_way),
		cmocka_unit_test(people_get_a_table),
		cmocka_unit_test(other_ways_there_are_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
