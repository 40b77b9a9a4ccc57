#include "deliver/hosts.h"
#include "support/alloc.h"
#include "support/check.h"

#define MINUTE (60 * INT64_C(1000))

static struct ip_port host(unsigned n)
{
	return (struct ip_port){ ip_from_v4(0xC0000200u + n), 25 };
}

static void stranger_has_no_marks(void **state)
{
	struct hosts h;
	struct ip_port a = host(1);

	(void)state;
	hosts_init(&h, 10, 1);
	assert_int_equal(hosts_marks(&h, &a, 1000), 0);
	hosts_heal(&h, &a);
	hosts_fini(&h);
}

static void each_mark_lasts_its_time(void **state)
{
	static const struct {
		enum host_mark mark;
		int64_t ms;
	} marks[] = {
		{ HOST_FAILING, HOST_FAILING_MIN_MS }, { HOST_NO_TLS, HOST_NO_TLS_MS },
		{ HOST_NO_EHLO, HOST_NO_EHLO_MS },     { HOST_KEEPS, HOST_KEEPS_MS },
		{ HOST_CUTS, HOST_CUTS_MS },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(marks); i++) {
		struct hosts h;
		struct ip_port a = host(1), b = host(2);

		hosts_init(&h, 10, 1);
		hosts_mark(&h, &a, marks[i].mark, 5000);
		assert_int_equal(hosts_marks(&h, &a, 5000 + marks[i].ms - 1), marks[i].mark);
		assert_int_equal(hosts_marks(&h, &a, 5000 + marks[i].ms), 0);
		assert_int_equal(hosts_marks(&h, &b, 5000), 0);
		hosts_fini(&h);
	}
}

static void port_and_family_make_another_host(void **state)
{
	struct hosts h;
	struct ip_port a = host(1), port = a, v6 = { .port = 25 };

	(void)state;
	hosts_init(&h, 10, 1);
	port.port = 2525;
	assert_int_equal(ip_parse(TEXT("2001:db8::1"), &v6.ip), ERR_OK);
	hosts_mark(&h, &a, HOST_KEEPS, 0);
	assert_int_equal(hosts_marks(&h, &port, 1), 0);
	assert_int_equal(hosts_marks(&h, &v6, 1), 0);
	hosts_mark(&h, &v6, HOST_CUTS, 0);
	assert_int_equal(hosts_marks(&h, &v6, 1), HOST_CUTS);
	assert_int_equal(hosts_marks(&h, &a, 1), HOST_KEEPS);
	hosts_fini(&h);
}

/* What lies behind the four octets of an IPv4 address is nobody's business. */
static void unused_octets_do_not_count(void **state)
{
	struct hosts h;
	struct ip_port a = host(1), b = a;

	(void)state;
	hosts_init(&h, 10, 1);
	memset(b.ip.bytes + 4, 0xEE, 12);
	hosts_mark(&h, &a, HOST_KEEPS, 0);
	assert_int_equal(hosts_marks(&h, &b, 1), HOST_KEEPS);
	hosts_fini(&h);
}

static void failing_again_and_again_lasts_longer(void **state)
{
	struct hosts h;
	struct ip_port a = host(1);
	int64_t now = 0, lasts = HOST_FAILING_MIN_MS;

	(void)state;
	hosts_init(&h, 10, 1);
	for (unsigned i = 0; i < 10; i++) {
		hosts_mark(&h, &a, HOST_FAILING, now);
		assert_int_equal(hosts_marks(&h, &a, now + lasts - 1), HOST_FAILING);
		assert_int_equal(hosts_marks(&h, &a, now + lasts), 0);
		now += lasts;
		lasts = MIN(lasts * 2, HOST_FAILING_MAX_MS);
	}
	hosts_fini(&h);
}

static void many_failures_at_once_are_one(void **state)
{
	struct hosts h;
	struct ip_port a = host(1);

	(void)state;
	hosts_init(&h, 10, 1);
	for (unsigned i = 0; i < 50; i++)
		hosts_mark(&h, &a, HOST_FAILING, i);
	assert_int_equal(hosts_marks(&h, &a, HOST_FAILING_MIN_MS), 0);
	hosts_fini(&h);
}

static void first_success_heals(void **state)
{
	struct hosts h;
	struct ip_port a = host(1);

	(void)state;
	hosts_init(&h, 10, 1);
	hosts_mark(&h, &a, HOST_KEEPS, 0);
	for (unsigned i = 0; i < 3; i++)
		hosts_mark(&h, &a, HOST_FAILING, i * MINUTE);
	hosts_heal(&h, &a);
	assert_int_equal(hosts_marks(&h, &a, 2 * MINUTE), HOST_KEEPS);
	/* and the next failure is a first one */
	hosts_mark(&h, &a, HOST_FAILING, 3 * MINUTE);
	assert_int_equal(hosts_marks(&h, &a, 3 * MINUTE + HOST_FAILING_MIN_MS), HOST_KEEPS);
	hosts_fini(&h);
}

static void longest_unused_is_forgotten_first(void **state)
{
	struct hosts h;
	struct ip_port first = host(1), later;

	(void)state;
	hosts_init(&h, 100, 1);
	for (unsigned i = 1; i <= 150; i++) {
		later = host(i);
		hosts_mark(&h, &later, HOST_KEEPS, 0);
		assert_int_equal(hosts_marks(&h, &first, 1), HOST_KEEPS); /* and so it is in use */
	}
	assert_int_equal(h.by_address.count, 100);
	later = host(2);
	assert_int_equal(hosts_marks(&h, &later, 1), 0);
	later = host(150);
	assert_int_equal(hosts_marks(&h, &later, 1), HOST_KEEPS);
	hosts_fini(&h);
}

static void without_memory_nothing_is_remembered(void **state)
{
	(void)state;
	for (EACH_ALLOC_FAILING) {
		struct hosts h;
		struct ip_port a = host(1);

		hosts_init(&h, 10, 1);
		hosts_mark(&h, &a, HOST_KEEPS, 0);
		assert_int_equal(hosts_marks(&h, &a, 1), alloc_has_failed() ? 0 : HOST_KEEPS);
		hosts_fini(&h);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stranger_has_no_marks),
		cmocka_unit_test(each_mark_lasts_its_time),
		cmocka_unit_test(port_and_family_make_another_host),
		cmocka_unit_test(unused_octets_do_not_count),
		cmocka_unit_test(failing_again_and_again_lasts_longer),
		cmocka_unit_test(many_failures_at_once_are_one),
		cmocka_unit_test(first_success_heals),
		cmocka_unit_test(longest_unused_is_forgotten_first),
		cmocka_unit_test(without_memory_nothing_is_remembered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
