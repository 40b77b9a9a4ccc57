/* Who is remembered, and for how long; and that strangers make nothing grow. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>

#include <postrider/base/time.h>

#include "../../../src/receive/clients.h"

static const struct config_rate rate = { 5, MINUTE_MS };

static struct ip ip_of(const char *text)
{
	struct ip ip;

	assert_int_equal(ip_parse(text_from(text), &ip), ERR_OK);
	return ip;
}

static void an_address_is_one_client(void **state)
{
	struct clients t;
	struct client *a, *b;

	(void)state;
	clients_init(&t, 10, false, 1);
	a = clients_enter(&t, ip_of("192.0.2.1"));
	b = clients_enter(&t, ip_of("192.0.2.1"));
	assert_ptr_equal(a, b);
	assert_int_equal(a->sessions, 2);
	assert_ptr_not_equal(a, clients_enter(&t, ip_of("192.0.2.2")));
	clients_fini(&t);
}

static void a_64_of_ipv6_is_one_client(void **state)
{
	struct clients t;
	struct client *a;

	(void)state;
	clients_init(&t, 10, false, 1);
	a = clients_enter(&t, ip_of("2001:db8:1:2::1"));
	assert_ptr_equal(a, clients_enter(&t, ip_of("2001:db8:1:2:ffff:ffff:ffff:ffff")));
	assert_ptr_not_equal(a, clients_enter(&t, ip_of("2001:db8:1:3::1")));
	clients_fini(&t);
}

static void networks_of_ipv4_are_24_bits_when_asked(void **state)
{
	char a[CLIENT_NETWORK_KEY], b[CLIENT_NETWORK_KEY];

	(void)state;
	assert_true(text_eq(client_network_key(a, ip_of("192.0.2.1"), 24),
	                    client_network_key(b, ip_of("192.0.2.254"), 24)));
	assert_false(text_eq(client_network_key(a, ip_of("192.0.2.1"), 24),
	                     client_network_key(b, ip_of("192.0.3.1"), 24)));
	assert_false(text_eq(client_network_key(a, ip_of("192.0.2.1"), 32),
	                     client_network_key(b, ip_of("192.0.2.254"), 32)));
}

static void names_compare_without_case(void **state)
{
	struct clients t;

	(void)state;
	clients_init(&t, 10, true, 1);
	assert_ptr_equal(clients_get(&t, TEXT("Ann@Example.com")), clients_get(&t, TEXT("ann@example.COM")));
	clients_fini(&t);
}

static void long_keys_are_kept_apart(void **state)
{
	char a[300], b[300];
	struct clients t;

	(void)state;
	memset(a, 'x', sizeof(a));
	memset(b, 'x', sizeof(b));
	b[299] = 'y';
	clients_init(&t, 10, true, 1);
	assert_ptr_not_equal(clients_get(&t, text_of(a, 300)), clients_get(&t, text_of(b, 300)));
	assert_ptr_equal(clients_get(&t, text_of(a, 300)), clients_find(&t, text_of(a, 300)));
	clients_fini(&t);
}

static void a_flood_of_addresses_makes_nothing_grow(void **state)
{
	struct clients t;
	struct client *stays;

	(void)state;
	clients_init(&t, 100, false, 1);
	stays = clients_enter(&t, ip_of("192.0.2.1"));
	for (unsigned i = 0; i < 100000; i++) {
		struct ip ip = { IP_V6,
			         { 0x20, 0x01, 0x0d, 0xb8, 0, (unsigned char)(i >> 16),
			           (unsigned char)(i >> 8), (unsigned char)i } };
		struct client *c = clients_enter(&t, ip);
		struct limit_window *w = client_window(c, 1, rate.window_ms);

		assert_non_null(w);
		assert_int_equal(limit_take(w, &rate, 1000, 1), 0);
		clients_leave(c);
		assert_in_range(t.map.count, 1, 100);
	}
	assert_ptr_equal(clients_enter(&t, ip_of("192.0.2.1")), stays);
	clients_fini(&t);
}

static void a_table_full_of_sessions_takes_nobody(void **state)
{
	struct clients t;
	struct client *first;

	(void)state;
	clients_init(&t, 2, false, 1);
	first = clients_enter(&t, ip_of("192.0.2.1"));
	assert_non_null(clients_enter(&t, ip_of("192.0.2.2")));
	assert_null(clients_enter(&t, ip_of("192.0.2.3")));
	clients_leave(first);
	assert_non_null(clients_enter(&t, ip_of("192.0.2.3")));
	assert_int_equal(t.map.count, 2);
	clients_fini(&t);
}

static void whoever_was_seen_last_is_forgotten_last(void **state)
{
	struct clients t;

	(void)state;
	clients_init(&t, 2, false, 1);
	clients_get(&t, TEXT("a"));
	clients_get(&t, TEXT("b"));
	clients_get(&t, TEXT("a"));
	clients_get(&t, TEXT("c"));
	assert_non_null(clients_find(&t, TEXT("a")));
	assert_null(clients_find(&t, TEXT("b")));
	clients_fini(&t);
}

static void what_counts_no_more_is_swept_and_what_counts_is_kept(void **state)
{
	struct clients t;
	struct client *c;

	(void)state;
	clients_init(&t, 10, false, 1);
	c = clients_enter(&t, ip_of("192.0.2.1"));
	assert_int_equal(limit_take(client_window(c, 1, rate.window_ms), &rate, 1000, 1), 0);
	clients_sweep(&t, 10 * MINUTE_MS);
	assert_int_equal(t.map.count, 1); /* it has a session */
	clients_leave(c);
	clients_sweep(&t, 1000 + MINUTE_MS / 2);
	assert_int_equal(t.map.count, 1); /* it did something half a minute ago */
	clients_sweep(&t, 3 * MINUTE_MS);
	assert_int_equal(t.map.count, 0);
	clients_fini(&t);
}

static void windows_of_one_client_are_by_what_and_how_long(void **state)
{
	struct clients t;
	struct client *c;

	(void)state;
	clients_init(&t, 10, false, 1);
	c = clients_get(&t, TEXT("a"));
	client_window(c, 1, MINUTE_MS)->counts[0] = 7;
	assert_int_equal(client_window(c, 2, MINUTE_MS)->counts[0], 0);
	assert_int_equal(client_window(c, 1, HOUR_MS)->counts[0], 0);
	assert_int_equal(client_window(c, 1, MINUTE_MS)->counts[0], 7);
	for (int64_t ms = 1; ms < 1000; ms++)
		assert_non_null(client_window(c, 3, ms));
	assert_in_range(c->window_count, 1, CLIENT_WINDOWS_MAX);
	clients_fini(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_address_is_one_client),
		cmocka_unit_test(a_64_of_ipv6_is_one_client),
		cmocka_unit_test(networks_of_ipv4_are_24_bits_when_asked),
		cmocka_unit_test(names_compare_without_case),
		cmocka_unit_test(long_keys_are_kept_apart),
		cmocka_unit_test(a_flood_of_addresses_makes_nothing_grow),
		cmocka_unit_test(a_table_full_of_sessions_takes_nobody),
		cmocka_unit_test(whoever_was_seen_last_is_forgotten_last),
		cmocka_unit_test(what_counts_no_more_is_swept_and_what_counts_is_kept),
		cmocka_unit_test(windows_of_one_client_are_by_what_and_how_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
