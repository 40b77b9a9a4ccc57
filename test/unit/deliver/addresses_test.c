#include "deliver/addresses.h"
#include "support/alloc.h"
#include "support/check.h"

struct visitor {
	struct address_place place;
	unsigned turns;
};

static void on_turn(void *owner)
{
	((struct visitor *)owner)->turns++;
}

static struct visitor visitor(unsigned limit, const char *group)
{
	return (struct visitor){ .place = { .limit = limit, .group = text_from(group), .on_turn = on_turn } };
}

static enum address_answer take(struct addresses *a, uint32_t ip, struct visitor *v)
{
	v->place.owner = v;
	return addresses_take(a, ip_from_v4(ip), &v->place);
}

static void those_beyond_the_limit_wait_in_order(void **state)
{
	struct visitor v[4] = { visitor(2, "a"), visitor(2, "b"), visitor(2, "c"), visitor(2, "d") };
	struct addresses a;

	(void)state;
	addresses_init(&a, 1);
	assert_false(addresses_are_full(&a, ip_from_v4(1), 2));
	assert_int_equal(take(&a, 1, &v[0]), ADDRESS_TAKEN);
	assert_int_equal(take(&a, 1, &v[1]), ADDRESS_TAKEN);
	assert_true(addresses_are_full(&a, ip_from_v4(1), 2));
	assert_false(addresses_are_full(&a, ip_from_v4(1), 3));
	assert_false(addresses_are_full(&a, ip_from_v4(1), 0));
	assert_false(addresses_are_full(&a, ip_from_v4(2), 2));
	assert_int_equal(take(&a, 1, &v[2]), ADDRESS_WAITS);
	assert_int_equal(take(&a, 1, &v[3]), ADDRESS_WAITS);
	assert_int_equal(addresses_count(&v[2].place), 2);
	addresses_leave(&a, &v[1].place);
	assert_int_equal(v[2].turns, 1);
	assert_int_equal(v[3].turns, 0);
	addresses_leave(&a, &v[0].place);
	assert_int_equal(v[3].turns, 1);
	addresses_leave(&a, &v[2].place);
	addresses_leave(&a, &v[3].place);
	assert_int_equal(a.by_ip.count, 0);
	addresses_fini(&a);
}

/* Each by its own limit: who may have more is not held up by who may not. */
static void limits_differ(void **state)
{
	struct visitor v[5] = { visitor(0, "a"), visitor(0, "a"), visitor(1, "b"), visitor(3, "c"), visitor(2, "d") };
	struct addresses a;

	(void)state;
	addresses_init(&a, 1);
	assert_int_equal(take(&a, 1, &v[0]), ADDRESS_TAKEN);
	assert_int_equal(take(&a, 1, &v[1]), ADDRESS_TAKEN);
	assert_int_equal(take(&a, 1, &v[2]), ADDRESS_WAITS);
	assert_int_equal(take(&a, 1, &v[3]), ADDRESS_TAKEN);
	assert_int_equal(take(&a, 1, &v[4]), ADDRESS_WAITS);
	addresses_leave(&a, &v[3].place);
	assert_int_equal(v[2].turns + v[4].turns, 0);
	addresses_leave(&a, &v[0].place);
	assert_int_equal(v[4].turns, 1);
	assert_int_equal(v[2].turns, 0);
	addresses_leave(&a, &v[1].place);
	addresses_leave(&a, &v[4].place);
	assert_int_equal(v[2].turns, 1);
	addresses_leave(&a, &v[2].place);
	addresses_leave(&a, &v[2].place); /* twice is fine */
	assert_int_equal(a.by_ip.count, 0);
	addresses_fini(&a);
}

static void who_gives_up_leaves_the_line(void **state)
{
	struct visitor v[3] = { visitor(1, "a"), visitor(1, "b"), visitor(1, "c") };
	struct addresses a;

	(void)state;
	addresses_init(&a, 1);
	assert_int_equal(take(&a, 1, &v[0]), ADDRESS_TAKEN);
	assert_int_equal(take(&a, 1, &v[1]), ADDRESS_WAITS);
	assert_int_equal(take(&a, 1, &v[2]), ADDRESS_WAITS);
	addresses_leave(&a, &v[1].place);
	addresses_leave(&a, &v[0].place);
	assert_int_equal(v[1].turns, 0);
	assert_int_equal(v[2].turns, 1);
	addresses_leave(&a, &v[2].place);
	addresses_fini(&a);
}

static void only_others_are_given_way_to(void **state)
{
	struct visitor v[3] = { visitor(1, "a"), visitor(1, "a"), visitor(1, "b") };
	struct addresses a;

	(void)state;
	addresses_init(&a, 1);
	(void)take(&a, 1, &v[0]);
	(void)take(&a, 1, &v[1]);
	assert_false(addresses_others_wait(&v[0].place));
	(void)take(&a, 1, &v[2]);
	assert_true(addresses_others_wait(&v[0].place));
	assert_false(addresses_others_wait(&v[1].place));
	for (unsigned i = 3; i-- > 0;)
		addresses_leave(&a, &v[i].place);
	addresses_fini(&a);
}

static void the_line_has_an_end(void **state)
{
	struct visitor v[ADDRESS_LINE_MAX + 2];
	struct addresses a;

	(void)state;
	addresses_init(&a, 1);
	for (unsigned i = 0; i < ARRAY_LEN(v); i++) {
		v[i] = visitor(1, "a");
		assert_int_equal(take(&a, 1, &v[i]), i == 0                      ? ADDRESS_TAKEN
		                                     : i <= ADDRESS_LINE_MAX ? ADDRESS_WAITS
		                                                             : ADDRESS_CROWDED);
	}
	addresses_leave(&a, &v[ARRAY_LEN(v) - 1].place); /* it has none */
	for (unsigned i = 0; i < ARRAY_LEN(v) - 1; i++)
		addresses_leave(&a, &v[i].place);
	assert_int_equal(a.by_ip.count, 0);
	addresses_fini(&a);
}

static void without_memory_nobody_is_counted(void **state)
{
	(void)state;
	for (EACH_ALLOC_FAILING) {
		struct visitor v[2] = { visitor(1, "a"), visitor(1, "b") };
		struct addresses a;

		addresses_init(&a, 1);
		assert_int_equal(take(&a, 1, &v[0]), ADDRESS_TAKEN);
		assert_int_equal(take(&a, 1, &v[1]), alloc_has_failed() ? ADDRESS_TAKEN : ADDRESS_WAITS);
		addresses_leave(&a, &v[0].place);
		addresses_leave(&a, &v[1].place);
		assert_int_equal(a.by_ip.count, 0);
		addresses_fini(&a);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(those_beyond_the_limit_wait_in_order),
		cmocka_unit_test(limits_differ),
		cmocka_unit_test(who_gives_up_leaves_the_line),
		cmocka_unit_test(only_others_are_given_way_to),
		cmocka_unit_test(the_line_has_an_end),
		cmocka_unit_test(without_memory_nobody_is_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
