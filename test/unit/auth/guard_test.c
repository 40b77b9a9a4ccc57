#include "guard.h"

#include <postrider/io/io.h>

#include "support/alloc.h"
#include "support/check.h"
#include "support/fake_io.h"

static const struct config_rate three = { 3, 3 * MINUTE_MS }; /* one drains in a minute */

struct rig {
	struct fake_io world;
	struct guard *guard;
};

static int open_rig(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	assert_int_equal(guard_new(fake_io_init(&r->world), &r->guard), ERR_OK);
	*state = r;
	return 0;
}

static int close_rig(void **state)
{
	struct rig *r = *state;

	guard_free(&r->guard);
	fake_io_fini(&r->world);
	free(r);
	return 0;
}

static struct ip v4(unsigned a, unsigned b)
{
	return ip_from_v4(0xc0000000 + (a << 8) + b); /* 192.0.a.b */
}

static struct ip v6(const char *text)
{
	struct ip ip;

	assert_int_equal(ip_parse(text_from(text), &ip), ERR_OK);
	return ip;
}

/* A waiting ticket that was told. */
struct waiter {
	struct guard_ticket ticket;
	unsigned calls;
	enum guard_answer answer;
};

static void on_answer(struct guard_ticket *ticket, enum guard_answer answer)
{
	struct waiter *w = CONTAINER_OF(ticket, struct waiter, ticket);

	w->calls++;
	w->answer = answer;
}

static enum guard_answer ask(struct rig *r, struct ip client, const char *name, struct waiter *w)
{
	*w = (struct waiter){ .ticket = { .fn = on_answer } };
	return guard_ask(r->guard, three, client, text_from(name), &w->ticket);
}

static void fail_once(struct rig *r, struct ip client, const char *name)
{
	struct waiter w;

	assert_int_equal(ask(r, client, name, &w), GUARD_GRANTED);
	guard_return(&w.ticket, true);
}

static bool is_locked(struct rig *r, struct ip client, const char *name)
{
	struct waiter w;
	enum guard_answer answer = ask(r, client, name, &w);

	assert_true(answer == GUARD_GRANTED || answer == GUARD_LOCKED);
	guard_return(&w.ticket, false);
	return answer == GUARD_LOCKED;
}

static void success_leaves_nothing_behind(void **state)
{
	struct rig *r = *state;

	for (int i = 0; i < 10; i++)
		assert_false(is_locked(r, v4(2, 1), "ann"));
	assert_int_equal(guard_entries(r->guard), 0);
}

static void failures_fill_and_time_drains(void **state)
{
	struct rig *r = *state;

	for (int i = 0; i < 3; i++)
		fail_once(r, v4(2, 1), "ann");
	assert_true(is_locked(r, v4(2, 1), "ann"));
	assert_true(is_locked(r, v4(2, 1), "bob")); /* the client is */
	fake_io_advance(&r->world, MINUTE_MS - 1);
	assert_true(is_locked(r, v4(2, 1), "ann"));
	fake_io_advance(&r->world, 1);
	fail_once(r, v4(2, 1), "ann"); /* one */
	assert_true(is_locked(r, v4(2, 1), "ann"));
	fake_io_advance(&r->world, 4 * MINUTE_MS);
	assert_false(is_locked(r, v4(2, 1), "ann"));
	assert_int_equal(guard_entries(r->guard), 0); /* empty again, and gone */
}

static void clients_are_addresses_and_networks_of_ipv6(void **state)
{
	struct rig *r = *state;

	for (int i = 0; i < 3; i++) {
		fail_once(r, v4(2, 1), i ? "a" : "b");
		fail_once(r, v6("2001:db8:1:2::1"), i ? "a" : "b");
	}
	assert_true(is_locked(r, v4(2, 1), "z"));
	assert_false(is_locked(r, v4(2, 2), "z"));
	assert_true(is_locked(r, v6("2001:db8:1:2:ffff::7"), "z")); /* the same /64 */
	assert_false(is_locked(r, v6("2001:db8:1:3::1"), "z"));
}

static void a_name_is_guarded_in_its_network(void **state)
{
	struct rig *r = *state;

	for (unsigned i = 0; i < 3; i++) {
		fail_once(r, v4(2, i), "ann");
		fail_once(r, i ? v6("2001:db8:1:2::1") : v6("2001:db8:1:3::1"), "ann");
	}
	assert_true(is_locked(r, v4(2, 99), "ann"));
	assert_true(is_locked(r, v4(2, 99), "aNn")); /* the same */
	assert_false(is_locked(r, v4(2, 99), "bob"));
	assert_false(is_locked(r, v4(3, 99), "ann"));
	assert_true(is_locked(r, v6("2001:db8:1:99::1"), "ann")); /* the same /48 */
	assert_false(is_locked(r, v6("2001:db8:2:99::1"), "ann"));
}

static void a_unix_socket_is_guarded_by_name_alone(void **state)
{
	struct rig *r = *state;
	const struct ip none = { 0 };

	for (int i = 0; i < 3; i++)
		fail_once(r, none, "ann");
	assert_true(is_locked(r, none, "ann"));
	assert_false(is_locked(r, none, "bob"));
	assert_false(is_locked(r, none, ""));
}

static void no_rate_is_no_limit(void **state)
{
	struct rig *r = *state;
	const struct config_rate none = { 0 };

	for (int i = 0; i < 100; i++) {
		struct guard_ticket t = { 0 };

		assert_int_equal(guard_ask(r->guard, none, v4(2, 1), TEXT("ann"), &t), GUARD_GRANTED);
		guard_return(&t, true);
	}
	assert_int_equal(guard_entries(r->guard), 0);
	assert_int_equal(guard_delay(r->guard, none, v4(2, 1)), 1000);
}

static void one_a_day_is_one(void **state)
{
	struct rig *r = *state;
	const struct config_rate one = { 1, DAY_MS };
	struct guard_ticket t = { 0 };

	assert_int_equal(guard_ask(r->guard, one, v4(2, 1), TEXT_EMPTY, &t), GUARD_GRANTED);
	guard_return(&t, true);
	assert_int_equal(guard_ask(r->guard, one, v4(2, 1), TEXT_EMPTY, &t), GUARD_LOCKED);
	fake_io_advance(&r->world, DAY_MS);
	assert_int_equal(guard_ask(r->guard, one, v4(2, 1), TEXT_EMPTY, &t), GUARD_GRANTED);
	guard_return(&t, false);
}

static void no_more_are_out_than_may_fail(void **state)
{
	struct rig *r = *state;
	struct waiter w[5];

	for (int i = 0; i < 3; i++)
		assert_int_equal(ask(r, v4(2, 1), "ann", &w[i]), GUARD_GRANTED);
	assert_int_equal(ask(r, v4(2, 1), "ann", &w[3]), GUARD_WAITS);
	assert_int_equal(ask(r, v4(2, 1), "bob", &w[4]), GUARD_WAITS);
	guard_return(&w[0].ticket, false);
	assert_int_equal(w[3].calls, 0); /* not from inside */
	fake_io_run(&r->world);
	assert_int_equal(w[3].calls, 1);
	assert_int_equal(w[3].answer, GUARD_GRANTED);
	assert_int_equal(w[4].calls, 0);
	guard_return(&w[1].ticket, true);
	guard_return(&w[2].ticket, true);
	guard_return(&w[3].ticket, true);
	fake_io_run(&r->world);
	assert_int_equal(w[4].calls, 1);
	assert_int_equal(w[4].answer, GUARD_LOCKED);
}

static void who_waits_may_leave(void **state)
{
	struct rig *r = *state;
	struct waiter w[6];

	for (int i = 0; i < 3; i++)
		assert_int_equal(ask(r, v4(2, 1), "ann", &w[i]), GUARD_GRANTED);
	for (int i = 3; i < 6; i++)
		assert_int_equal(ask(r, v4(2, 1), "ann", &w[i]), GUARD_WAITS);
	guard_return(&w[3].ticket, false); /* waiting */
	guard_return(&w[0].ticket, false);
	guard_return(&w[4].ticket, false); /* granted by now, and not told yet */
	fake_io_run(&r->world);
	assert_int_equal(w[3].calls + w[4].calls, 0);
	assert_int_equal(w[5].calls, 1);
	assert_int_equal(w[5].answer, GUARD_GRANTED);
	for (int i = 0; i < 6; i++)
		guard_return(&w[i].ticket, false);
	assert_int_equal(guard_entries(r->guard), 0);
}

static void a_ticket_waits_for_both_counts(void **state)
{
	struct rig *r = *state;
	struct waiter same_name[3], w;

	/* ann's count is full of tickets of a neighbour */
	for (int i = 0; i < 3; i++)
		assert_int_equal(ask(r, v4(2, 7), "ann", &same_name[i]), GUARD_GRANTED);
	assert_int_equal(ask(r, v4(2, 1), "ann", &w), GUARD_WAITS);
	assert_false(is_locked(r, v4(2, 1), "bob")); /* does not wait: the client's own count is empty */
	guard_return(&same_name[0].ticket, false);
	fake_io_run(&r->world);
	assert_int_equal(w.calls, 1);
	assert_int_equal(w.answer, GUARD_GRANTED);
	guard_return(&w.ticket, false);
	guard_return(&same_name[1].ticket, false);
	guard_return(&same_name[2].ticket, false);
}

static void delays_double(void **state)
{
	struct rig *r = *state;
	const struct config_rate rate = { 8, DAY_MS };
	static const int64_t expected[] = { 1000, 2000, 4000, 8000, 8000 };

	for (size_t i = 0; i < ARRAY_LEN(expected); i++) {
		struct guard_ticket t = { 0 };

		assert_int_equal(guard_ask(r->guard, rate, v4(2, 1), TEXT("ann"), &t), GUARD_GRANTED);
		guard_return(&t, true);
		assert_int_equal(guard_delay(r->guard, rate, v4(2, 1)), expected[i]);
	}
	assert_int_equal(guard_delay(r->guard, rate, v4(2, 2)), 1000);
}

static void memory_has_an_end(void **state)
{
	struct rig *r = *state;

	for (unsigned i = 0; i < GUARD_ENTRIES_MAX; i++) {
		struct guard_ticket t = { 0 };

		assert_int_equal(guard_ask(r->guard, three, ip_from_v4(0x0a000000 + i), TEXT_EMPTY, &t),
		                 GUARD_GRANTED);
		guard_return(&t, true);
	}
	assert_int_equal(guard_entries(r->guard), GUARD_ENTRIES_MAX);
	fail_once(r, v4(2, 1), "ann");
	assert_int_equal(guard_entries(r->guard), GUARD_ENTRIES_MAX);
}

static void every_failing_allocation_is_said(void **state)
{
	struct rig *r = *state;

	for (EACH_ALLOC_FAILING) {
		struct waiter w;
		enum guard_answer answer = ask(r, v4(2, 1), "ann", &w);

		assert_true(answer == GUARD_GRANTED || answer == GUARD_FAILED);
		guard_return(&w.ticket, false);
	}
	assert_int_equal(guard_entries(r->guard), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_rig, close_rig)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(success_leaves_nothing_behind),
		TEST(failures_fill_and_time_drains),
		TEST(clients_are_addresses_and_networks_of_ipv6),
		TEST(a_name_is_guarded_in_its_network),
		TEST(a_unix_socket_is_guarded_by_name_alone),
		TEST(no_rate_is_no_limit),
		TEST(one_a_day_is_one),
		TEST(no_more_are_out_than_may_fail),
		TEST(who_waits_may_leave),
		TEST(a_ticket_waits_for_both_counts),
		TEST(delays_double),
		TEST(memory_has_an_end),
		TEST(every_failing_allocation_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
