/* The table of policies: who makes room for whom, when a policy is due, and its record. */
#include "sts_cache.h"

#include <stdio.h>

#include "support/alloc.h"
#include "support/check.h"

#define NOW INT64_C(1767225600000)

static struct policy_domain *policy_with(struct text domain, int64_t max_age_ms, size_t mx_count)
{
	struct text mx[STS_MX_MAX];
	struct sts_file file = {
		.mode = POLICY_MODE_ENFORCE, .max_age_ms = max_age_ms, .mx = mx, .mx_count = mx_count
	};

	for (size_t i = 0; i < mx_count; i++)
		mx[i] = TEXT("a.rather.long.name.of.a.mail.host.that.fills.memory.quickly.example.com");
	return policy_domain_new(domain, TEXT("1"), &file);
}

static struct sts_entry *put(struct sts_cache *c, const char *domain, int64_t max_age_ms, int64_t now)
{
	struct sts_entry *e = sts_cache_get(c, text_from(domain), now);

	assert_non_null(e);
	sts_cache_set(c, e, policy_with(sts_entry_name(e), max_age_ms, 1), now);
	return e;
}

static bool has(const struct sts_cache *c, const char *domain)
{
	return sts_cache_find(c, text_from(domain)) != NULL;
}

static void names_are_found_in_any_case(void **state)
{
	struct sts_cache c;

	(void)state;
	sts_cache_init(&c, 1, NULL, NULL);
	put(&c, "Example.COM", DAY_MS, NOW);
	assert_true(has(&c, "example.com") && has(&c, "EXAMPLE.com"));
	assert_false(has(&c, "example.co"));
	CHECK_TEXT("name", sts_entry_name(sts_cache_find(&c, TEXT("example.com"))), TEXT("example.com"));
	sts_cache_fini(&c);
}

static void count_leaver(void *owner, struct sts_entry *e)
{
	(void)e;
	++*(unsigned *)owner;
}

static void the_policy_that_was_used_least_recently_makes_room(void **state)
{
	struct sts_cache c;
	unsigned left = 0;
	char name[32];

	(void)state;
	sts_cache_init(&c, 1, count_leaver, &left);
	for (unsigned i = 0; i < STS_POLICIES_MAX; i++) {
		snprintf(name, sizeof(name), "d%u.example", i);
		put(&c, name, DAY_MS, NOW + i);
	}
	assert_int_equal(left, 0);
	sts_cache_used(&c, sts_cache_find(&c, TEXT("d0.example")), NOW + DAY_MS);
	sts_cache_set(&c, sts_cache_find(&c, TEXT("d1.example")), policy_with(TEXT("d1.example"), DAY_MS, 1),
	              NOW + DAY_MS); /* a refresh is no use */
	put(&c, "one.more.example", DAY_MS, NOW + DAY_MS);
	put(&c, "and.another.example", DAY_MS, NOW + DAY_MS);
	assert_int_equal(left, 2);
	assert_int_equal(c.policies, STS_POLICIES_MAX);
	assert_true(has(&c, "d0.example") && has(&c, "one.more.example"));
	assert_false(has(&c, "d1.example") || has(&c, "d2.example"));
	sts_cache_fini(&c);
	assert_int_equal(c.policies + c.others_count + c.bytes, 0);
}

static void large_policies_make_room_by_their_octets(void **state)
{
	struct sts_cache c;
	char name[32];
	unsigned i;

	(void)state;
	sts_cache_init(&c, 1, NULL, NULL);
	for (i = 0; i < 2000; i++) {
		struct sts_entry *e;

		snprintf(name, sizeof(name), "d%u.example", i);
		e = sts_cache_get(&c, text_from(name), NOW);
		sts_cache_set(&c, e, policy_with(sts_entry_name(e), DAY_MS, STS_MX_MAX), NOW);
		assert_true(c.bytes <= STS_POLICY_BYTES_MAX);
	}
	assert_in_range(c.policies, 500, 1500);
	assert_true(has(&c, "d1999.example"));
	assert_false(has(&c, "d0.example"));
	sts_cache_fini(&c);
}

static void a_policy_that_grows_makes_room_and_stays(void **state)
{
	struct sts_cache c;
	struct sts_entry *first;
	char name[32];
	size_t large = 0;

	(void)state;
	sts_cache_init(&c, 1, NULL, NULL);
	first = put(&c, "first.example", DAY_MS, NOW); /* the least recently used */
	for (unsigned i = 0; c.bytes + large <= STS_POLICY_BYTES_MAX; i++) {
		struct sts_entry *e;

		snprintf(name, sizeof(name), "d%u.example", i);
		e = sts_cache_get(&c, text_from(name), NOW);
		sts_cache_set(&c, e, policy_with(sts_entry_name(e), DAY_MS, STS_MX_MAX), NOW);
		large = policy_domain_bytes(e->policy);
	}
	assert_true(has(&c, "d0.example"));
	sts_cache_set(&c, first, policy_with(sts_entry_name(first), DAY_MS, STS_MX_MAX), NOW);
	assert_true(has(&c, "first.example"));
	assert_false(has(&c, "d0.example"));
	assert_true(c.bytes <= STS_POLICY_BYTES_MAX);
	sts_cache_fini(&c);
}

static void domains_without_a_policy_push_out_none_with_one(void **state)
{
	struct sts_cache c;
	char name[32];

	(void)state;
	sts_cache_init(&c, 1, NULL, NULL);
	put(&c, "example.com", DAY_MS, NOW);
	for (unsigned i = 0; i < 3 * STS_OTHERS_MAX; i++) {
		snprintf(name, sizeof(name), "x%u.example", i);
		assert_non_null(sts_cache_get(&c, text_from(name), NOW + i));
	}
	assert_int_equal(c.others_count, STS_OTHERS_MAX);
	assert_true(has(&c, "example.com"));
	sts_cache_fini(&c);
}

static void who_is_being_asked_stays(void **state)
{
	struct sts_cache c;
	struct list waiter;
	char name[32];

	(void)state;
	sts_cache_init(&c, 1, NULL, NULL);
	list_init(&waiter);
	list_append(&sts_cache_get(&c, TEXT("busy.example"), NOW)->waiters, &waiter);
	for (unsigned i = 0; i < 2 * STS_OTHERS_MAX; i++) {
		snprintf(name, sizeof(name), "x%u.example", i);
		assert_non_null(sts_cache_get(&c, text_from(name), NOW + i));
	}
	assert_true(has(&c, "busy.example"));
	list_remove(&waiter);
	sts_cache_fini(&c);
}

/* ---------------------------------------------------------------- times */

static const struct {
	const char *name;
	int64_t max_age_ms, used_after_ms, now_ms; /* since it was fetched */
	enum policy_mode mode;
	int64_t least_ms, most_ms; /* of the next look at it; without chance and with the most */
} times[] = {
	{ "a week: each day", 7 * DAY_MS, 0, 0, POLICY_MODE_ENFORCE, DAY_MS - DAY_MS / 10, DAY_MS },
	{ "a year: each day", 365 * DAY_MS, 0, 0, POLICY_MODE_TESTING, DAY_MS - DAY_MS / 10, DAY_MS },
	{ "a day: at its half", DAY_MS, 0, 0, POLICY_MODE_ENFORCE, DAY_MS / 2 - DAY_MS / 20, DAY_MS / 2 },
	{ "an hour: at its end", HOUR_MS, 0, 0, POLICY_MODE_ENFORCE, HOUR_MS, HOUR_MS },
	{ "nothing: a minute", 0, 0, 0, POLICY_MODE_ENFORCE, MINUTE_MS, MINUTE_MS },
	{ "mode none: at its end", 7 * DAY_MS, 0, 0, POLICY_MODE_NONE, 7 * DAY_MS, 7 * DAY_MS },
	{ "not used for long: at its end", 365 * DAY_MS, -32 * DAY_MS, 0, POLICY_MODE_ENFORCE, 365 * DAY_MS,
	  365 * DAY_MS },
	{ "overdue: within an hour", 7 * DAY_MS, 0, 3 * DAY_MS, POLICY_MODE_ENFORCE, 3 * DAY_MS,
	  3 * DAY_MS + HOUR_MS },
	{ "overdue, and soon over: before that", 7 * DAY_MS, 0, 7 * DAY_MS - 10 * MINUTE_MS,
	  POLICY_MODE_ENFORCE, 7 * DAY_MS - 10 * MINUTE_MS, 7 * DAY_MS - 5 * MINUTE_MS },
};

static void a_policy_is_due_before_it_ends(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(times); i++) {
		struct sts_cache c;
		struct sts_entry *e;

		sts_cache_init(&c, 1, NULL, NULL);
		e = put(&c, "example.com", times[i].max_age_ms, NOW);
		e->policy->mode = times[i].mode;
		e->used_time = NOW + times[i].used_after_ms;
		for (unsigned chance = 0; chance < 1000; chance += 111) {
			int64_t next = sts_entry_next_time(e, NOW + times[i].now_ms, chance) - NOW;

			CHECK(times[i].name, next >= times[i].least_ms && next <= times[i].most_ms);
		}
		sts_cache_fini(&c);
	}
}

static void a_policy_counts_until_its_end(void **state)
{
	struct sts_cache c;
	struct sts_entry *e;

	(void)state;
	sts_cache_init(&c, 1, NULL, NULL);
	e = put(&c, "example.com", DAY_MS, NOW);
	assert_non_null(sts_entry_policy(e, NOW));
	assert_non_null(sts_entry_policy(e, NOW + DAY_MS - 1));
	assert_null(sts_entry_policy(e, NOW + DAY_MS));
	assert_non_null(sts_entry_policy(e, NOW - HOUR_MS));
	assert_null(sts_entry_policy(e, NOW - 2 * DAY_MS)); /* the clock was set */
	assert_null(sts_entry_policy(sts_cache_get(&c, TEXT("example.net"), NOW), NOW));
	sts_cache_fini(&c);
}

/* ---------------------------------------------------------------- record */

static void what_is_over_is_not_kept(void **state)
{
	struct sts_cache c, again;
	struct buf record = BUF(1 << 20);

	(void)state;
	sts_cache_init(&c, 1, NULL, NULL);
	put(&c, "short.example", HOUR_MS, NOW);
	put(&c, "long.example", 7 * DAY_MS, NOW);
	put(&c, "longer.example", 30 * DAY_MS, NOW);
	sts_cache_encode(&c, NOW + 2 * HOUR_MS, &record);
	sts_cache_init(&again, 2, NULL, NULL);
	assert_int_equal(sts_cache_decode(&again, buf_text(&record), NOW + 10 * DAY_MS), ERR_OK);
	assert_int_equal(again.policies, 1);
	assert_true(has(&again, "longer.example"));
	sts_cache_fini(&c);
	sts_cache_fini(&again);
	buf_fini(&record);
}

static void many_are_kept_in_the_order_of_their_use(void **state)
{
	struct sts_cache c, again;
	struct buf record = BUF(16u << 20), second = BUF(16u << 20);
	char name[32];

	(void)state;
	sts_cache_init(&c, 1, NULL, NULL);
	for (unsigned i = 0; i < 5000; i++) {
		snprintf(name, sizeof(name), "d%u.example", i);
		put(&c, name, 7 * DAY_MS, NOW + i);
	}
	sts_cache_encode(&c, NOW, &record);
	assert_int_equal(buf_err(&record), ERR_OK);
	sts_cache_init(&again, 2, NULL, NULL);
	assert_int_equal(sts_cache_decode(&again, buf_text(&record), NOW), ERR_OK);
	sts_cache_encode(&again, NOW, &second);
	assert_true(text_eq(buf_text(&record), buf_text(&second)));
	sts_cache_fini(&c);
	sts_cache_fini(&again);
	buf_fini(&record);
	buf_fini(&second);
}

static void memory_that_runs_out_is_no_damage(void **state)
{
	struct sts_cache c;
	struct buf record = BUF(1 << 20);

	(void)state;
	sts_cache_init(&c, 1, NULL, NULL);
	put(&c, "one.example", 7 * DAY_MS, NOW);
	put(&c, "two.example", 7 * DAY_MS, NOW);
	sts_cache_encode(&c, NOW, &record);
	for (EACH_ALLOC_FAILING) {
		struct sts_cache again;
		enum err err;

		sts_cache_init(&again, 2, NULL, NULL);
		err = sts_cache_decode(&again, buf_text(&record), NOW);
		assert_true(err == ERR_OK || err == ERR_NOMEM);
		sts_cache_fini(&again);
	}
	sts_cache_fini(&c);
	buf_fini(&record);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_found_in_any_case),
		cmocka_unit_test(the_policy_that_was_used_least_recently_makes_room),
		cmocka_unit_test(large_policies_make_room_by_their_octets),
		cmocka_unit_test(a_policy_that_grows_makes_room_and_stays),
		cmocka_unit_test(domains_without_a_policy_push_out_none_with_one),
		cmocka_unit_test(who_is_being_asked_stays),
		cmocka_unit_test(a_policy_is_due_before_it_ends),
		cmocka_unit_test(a_policy_counts_until_its_end),
		cmocka_unit_test(what_is_over_is_not_kept),
		cmocka_unit_test(many_are_kept_in_the_order_of_their_use),
		cmocka_unit_test(memory_that_runs_out_is_no_damage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
