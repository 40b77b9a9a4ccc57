#include "unit/config/world.h"

#include <postrider/http/json.h>

#include "schema.h"

static struct json *schema_of_this_version(void)
{
	AUTO(buf_fini) struct buf out = BUF(1u << 20);
	AUTO(buf_fini) struct buf problem = BUF(1000);
	struct json *json = NULL;

	config_write_schema(&out);
	if (json_parse(buf_text(&out), &json, &problem))
		fail_msg("%.*s", TEXT_ARGS(buf_text(&problem)));
	return json;
}

/* The members of the schema for a table of ours, one by one. */
static void compare(const struct table *table, const struct json *object)
{
	const struct json *properties = json_member(object, "properties");

	CHECK(table->name, json_kind_of(properties) == JSON_IS_OBJECT);
	CHECK(table->name, json_kind_of(json_member(object, "additionalProperties")) == JSON_IS_BOOL);
	for (const struct key *key = table->keys; key->name; key++) {
		const struct json *property = json_member(properties, key->name);

		CHECK(key->name, (property != NULL) == (key->since != NULL));
		if (!property)
			continue;
		CHECK_TEXT(key->name, json_as_text(json_member(property, "description")),
		           text_from(key->doc));
		if (key->shape == TABLE)
			compare(key->table, property);
		if (key->shape == TABLES)
			compare(key->table, json_member(property, "items"));
		if (key->shape == NAMED)
			compare(key->table, json_member(property, "additionalProperties"));
	}
}

static void the_schema_has_what_works_and_nothing_else(void **state)
{
	struct json *json = schema_of_this_version();

	(void)state;
	compare(&schema, json);
	json_free(&json);
}

static void words_of_later_versions_are_not_in_it(void **state)
{
	struct json *json = schema_of_this_version();
	const struct json *log = json_member(json_member(json, "properties"), "log");
	const struct json *format = json_member(json_member(log, "properties"), "format");
	const struct json *words = json_member(format, "enum");

	(void)state;
	assert_int_equal(json_count(words), 1);
	CHECK_TEXT("only", json_as_text(json_element(words, 0)), TEXT("json"));
	json_free(&json);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_schema_has_what_works_and_nothing_else),
		cmocka_unit_test(words_of_later_versions_are_not_in_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
