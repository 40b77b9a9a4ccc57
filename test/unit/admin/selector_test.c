#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <postrider/admin/selector.h>
#include <postrider/base/auto.h>
#include <postrider/base/time.h>

#include "support/alloc.h"

#define NOW INT64_C(1767355445678)
#define ID "01ARZ3NDEKTSV4RRFFQ69G5FAV"

static struct envelope_recipient paths[] = {
	{ .forward_path = LIT("Ann@Example.COM") },
	{ .forward_path = LIT("bob@sub.example.com") },
};

static struct envelope message(void)
{
	struct envelope e = { .received_time = NOW - HOUR_MS,
		              .reverse_path = LIT("app@news.example.org"),
		              .recipients = paths,
		              .recipient_count = 2 };

	assert_int_equal(id_from_text(TEXT(ID), &e.id), ERR_OK);
	return e;
}

static const struct {
	const char *name;
	const char *values[4]; /* name=value */
	bool message, first, second;
} cases[] = {
	{ "nothing said", { NULL }, true, true, true },
	{ "all", { "all=" }, true, true, true },
	{ "the whole id", { "id=" ID }, true, true, true },
	{ "the beginning of the id, other case", { "id=01arz3n" }, true, true, true },
	{ "another id", { "id=01BRZ" }, false, true, true },
	{ "one of two ids", { "id=01BRZ", "id=01A" }, true, true, true },
	{ "a recipient's address in any case", { "to=ann@example.com" }, true, true, false },
	{ "a recipient's domain", { "to=example.com" }, true, true, false },
	{ "a recipient's subdomain", { "to=.example.com" }, true, false, true },
	{ "two recipients", { "to=ann@example.com", "to=bob@sub.example.com" }, true, true, true },
	{ "domain", { "domain=SUB.example.com" }, true, false, true },
	{ "to and domain that do not meet",
	  { "to=ann@example.com", "domain=sub.example.com" },
	  true,
	  false,
	  false },
	{ "the sender", { "from=app@news.example.org" }, true, true, true },
	{ "the sender's domain", { "from=.example.org" }, true, true, true },
	{ "another sender", { "from=example.org" }, false, true, true },
	{ "the null sender", { "from=<>" }, false, true, true },
	{ "an upstream by its name", { "route=ses" }, true, true, false },
	{ "an upstream by its key", { "route=upstream:ses" }, true, true, false },
	{ "direct", { "route=direct" }, true, false, true },
	{ "a reason", { "reason=greylisted" }, true, true, false },
	{ "one of two reasons", { "reason=greylisted", "reason=timeout" }, true, true, true },
	{ "held", { "state=held" }, true, false, true },
	{ "waiting or active", { "state=waiting", "state=active" }, true, true, false },
	{ "older than less", { "older=59m" }, true, true, true },
	{ "older than just that", { "older=1h" }, true, true, true },
	{ "older than more", { "older=61m" }, false, true, true },
};

static void fill(struct selector *s, const char *const values[4])
{
	AUTO(buf_fini) struct buf problem = BUF(1000);

	selector_init(s);
	for (int i = 0; i < 4 && values[i]; i++) {
		struct text rest = text_from(values[i]), name = text_cut(&rest, '=');

		if (selector_add(s, name, rest, &problem))
			fail_msg("%s: %.*s", values[i], TEXT_ARGS(buf_text(&problem)));
	}
}

static void values_of_one_name_are_alternatives_and_names_narrow(void **state)
{
	(void)state;
	struct envelope e = message();
	struct queue_recipient first = {
		.n = 0, .state = QUEUE_WAITING, .reason = REASON_GREYLISTED, .key = LIT("upstream:ses")
	};
	struct queue_recipient second = {
		.n = 1, .state = QUEUE_HELD, .reason = REASON_TIMEOUT, .key = LIT("sub.example.com")
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct selector s;

		fill(&s, cases[i].values);
		if (selector_takes_message(&s, &e, NOW) != cases[i].message ||
		    selector_takes_recipient(&s, &e, &first) != cases[i].first ||
		    selector_takes_recipient(&s, &e, &second) != cases[i].second)
			fail_msg("%s", cases[i].name);
		assert_true(s.is_empty == !cases[i].values[0]);
		selector_fini(&s);
	}
}

static const struct {
	const char *value;
	enum err err;
	const char *says;
} bad_cases[] = {
	{ "id=", ERR_SYNTAX, "expected an id" },
	{ "id=01ARZ3NDEKTSV4RRFFQ69G5FAVX", ERR_SYNTAX, "beginning" },
	{ "id=not!", ERR_SYNTAX, "expected an id" },
	{ "to=", ERR_SYNTAX, "an address" },
	{ "domain=a@b", ERR_SYNTAX, "a domain" },
	{ "reason=tired", ERR_SYNTAX, "greylisted" },
	{ "state=sleeping", ERR_SYNTAX, "waiting, active or held" },
	{ "older=4", ERR_SYNTAX, "unit" },
	{ "older=4 h", ERR_SYNTAX, "unit" },
	{ "older=-4h", ERR_SYNTAX, "unit" },
	{ "older=99999999999999999999d", ERR_SYNTAX, "unit" },
	{ "all=no", ERR_SYNTAX, "no value" },
	{ "colour=red", ERR_NOT_FOUND, "no \"colour\"" },
};

static void what_is_wrong_is_said_with_what_would_be_right(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad_cases); i++) {
		struct selector s;
		AUTO(buf_fini) struct buf problem = BUF(1000);
		struct text rest = text_from(bad_cases[i].value), name = text_cut(&rest, '=');

		selector_init(&s);
		assert_int_equal(selector_add(&s, name, rest, &problem), bad_cases[i].err);
		if (text_find(buf_text(&problem), text_from(bad_cases[i].says)) == problem.len)
			fail_msg("%s: %.*s", bad_cases[i].value, TEXT_ARGS(buf_text(&problem)));
		assert_true(s.is_empty);
		selector_fini(&s);
	}
}

static void too_much_is_refused(void **state)
{
	(void)state;
	struct selector s;
	AUTO(buf_fini) struct buf problem = BUF(1000);
	enum err err = ERR_OK;

	selector_init(&s);
	for (int i = 0; i < 100000 && !err; i++)
		err = selector_add(&s, TEXT("to"), TEXT("a@example.com"), &problem);
	assert_int_equal(err, ERR_NOMEM);
	assert_true(problem.len > 0);
	selector_fini(&s);
}

static void every_allocation_may_fail(void **state)
{
	(void)state;
	for (EACH_ALLOC_FAILING) {
		struct selector s;
		AUTO(buf_fini) struct buf problem = BUF(1000);
		struct envelope e = message();

		selector_init(&s);
		enum err err = selector_add(&s, TEXT("to"), TEXT("ann@example.com"), &problem);

		assert_true(err == ERR_OK || err == ERR_NOMEM);
		if (!err)
			err = selector_add(&s, TEXT("id"), TEXT(ID), &problem);
		assert_true(err || selector_takes_message(&s, &e, NOW));
		selector_fini(&s);
	}
}

static void ids_are_walked_in_order(void **state)
{
	(void)state;
	const char *const values[4] = { "id=01", "id=02", NULL };
	const struct selector_value *at = NULL;
	struct selector s;
	struct selector_id id;

	fill(&s, values);
	at = selector_next_id(&s, at, &id);
	assert_true(text_eq(id.text, TEXT("01")));
	assert_true(id_compare(id.first, id.last) < 0);
	at = selector_next_id(&s, at, &id);
	assert_true(text_eq(id.text, TEXT("02")));
	assert_null(selector_next_id(&s, at, &id));
	selector_fini(&s);
}

static void a_recipient_that_the_envelope_does_not_have_is_never_meant(void **state)
{
	(void)state;
	struct envelope e = message();
	struct queue_recipient r = { .n = 7, .state = QUEUE_WAITING, .key = LIT("x") };
	struct selector s;

	selector_init(&s);
	assert_false(selector_takes_recipient(&s, &e, &r));
	selector_fini(&s);
}

static void durations_have_a_unit(void **state)
{
	(void)state;
	int64_t ms = 0;

	assert_int_equal(selector_parse_duration(TEXT("250ms"), &ms), ERR_OK);
	assert_int_equal(ms, 250);
	assert_int_equal(selector_parse_duration(TEXT("5d"), &ms), ERR_OK);
	assert_int_equal(ms, 5 * DAY_MS);
	assert_int_equal(selector_parse_duration(TEXT("5w"), &ms), ERR_SYNTAX);
	assert_int_equal(selector_parse_duration(TEXT("s"), &ms), ERR_SYNTAX);
	assert_int_equal(selector_parse_duration(TEXT(""), &ms), ERR_SYNTAX);
	assert_int_equal(ms, 5 * DAY_MS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_of_one_name_are_alternatives_and_names_narrow),
		cmocka_unit_test(what_is_wrong_is_said_with_what_would_be_right),
		cmocka_unit_test(too_much_is_refused),
		cmocka_unit_test(every_allocation_may_fail),
		cmocka_unit_test(ids_are_walked_in_order),
		cmocka_unit_test(a_recipient_that_the_envelope_does_not_have_is_never_meant),
		cmocka_unit_test(durations_have_a_unit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
