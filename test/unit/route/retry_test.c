#include "unit/config/world.h"

#include <postrider/route.h>

static const char yaml[] = "retry: {schedule: [1m, 10m, 1h]}\n"
			   "upstreams:\n"
			   "  a: {hosts: a.example:587}\n"
			   "  b: {hosts: b.example:587, retry: {schedule: [2m, 4h]}}\n"
			   "  A: {hosts: c.example:587}\n"
			   "routes:\n"
			   "  - {to: x.example, via: b, retry: {schedule: [30s, 9h, 1m]}}\n"
			   "  - {to: y.example, via: direct, retry: {schedule: 5m}}\n"
			   "  - {to: z.example, via: A, retry: {give_up_after: 3h}}\n"
			   "  - {from: x.example, via: a}\n"
			   "  - {from: y.example, via: direct}\n"
			   "  - {via: b}\n";

static void a_destination_waits_no_longer_than_the_shortest_of_its_routes(void **state)
{
	static const struct {
		const char *key;
		size_t failures;
		int64_t ms;
	} cases[] = {
		{ "upstream:a", 0, MINUTE_MS },        { "upstream:a", 1, 10 * MINUTE_MS },
		{ "upstream:a", 2, HOUR_MS },          { "upstream:a", 99, HOUR_MS },
		{ "upstream:b", 0, 30 * SECOND_MS },   { "upstream:b", 1, 4 * HOUR_MS },
		{ "upstream:b", 2, MINUTE_MS },        { "upstream:b", 9, MINUTE_MS },
		{ "upstream:A", 1, 10 * MINUTE_MS },   { "upstream:gone", 1, 5 * MINUTE_MS },
		{ "y.example", 0, MINUTE_MS },         { "y.example", 1, 5 * MINUTE_MS },
		{ "other.example", 2, 5 * MINUTE_MS },
	};
	struct world w;

	(void)state;
	if (world_load_text(&w, yaml))
		fail_msg("%.*s", TEXT_ARGS(buf_text(&w.said)));
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		CHECK_INT(cases[i].key,
		          route_shortest_step_ms(w.config, text_from(cases[i].key), cases[i].failures),
		          cases[i].ms);
	assert_int_equal(route_longest_step_ms(w.config), 9 * HOUR_MS);
	world_fini(&w);
}

static void a_route_has_its_own_retry_its_upstreams_or_that_of_all(void **state)
{
	struct world w;
	const struct config_retry *of_route, *of_upstream;

	(void)state;
	if (world_load_text(&w, yaml))
		fail_msg("%.*s", TEXT_ARGS(buf_text(&w.said)));
	of_route = w.config->routes.items[2].effective_retry;
	assert_ptr_equal(of_route, &w.config->routes.items[2].retry);
	assert_int_equal(of_route->give_up_after_ms, 3 * HOUR_MS);
	assert_int_equal(of_route->schedule.count,
	                 3); /* what it does not say is as for the upstream, or as for all */
	of_upstream = w.config->routes.items[5].effective_retry;
	assert_ptr_equal(of_upstream, &w.config->upstreams.items[1].retry);
	assert_int_equal(of_upstream->schedule.count, 2);
	assert_int_equal(of_upstream->give_up_after_ms, 5 * DAY_MS);
	assert_int_equal(w.config->routes.items[4].effective_retry->schedule.count, 3);
	world_fini(&w);
}

static void a_key_names_its_upstream_and_no_other(void **state)
{
	struct world w;

	(void)state;
	if (world_load_text(&w, yaml))
		fail_msg("%.*s", TEXT_ARGS(buf_text(&w.said)));
	assert_ptr_equal(route_upstream(w.config, TEXT("upstream:A")), &w.config->upstreams.items[2]);
	assert_null(route_upstream(w.config, TEXT("upstream:")));
	assert_null(route_upstream(w.config, TEXT("upstream:c")));
	assert_null(route_upstream(w.config, TEXT("a")));
	world_fini(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_destination_waits_no_longer_than_the_shortest_of_its_routes),
		cmocka_unit_test(a_route_has_its_own_retry_its_upstreams_or_that_of_all),
		cmocka_unit_test(a_key_names_its_upstream_and_no_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
