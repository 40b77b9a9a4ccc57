/* From MX records to hosts in order, from addresses to theirs. */
#include "deliver/target.h"
#include "support/alloc.h"
#include "support/check.h"

static struct dns_mx_list list(const struct dns_mx *hosts, size_t count)
{
	return (struct dns_mx_list){ .hosts = hosts, .count = count };
}

static void names_of(const struct target_hosts *hosts, struct buf *out)
{
	for (size_t i = 0; i < hosts->count; i++)
		buf_add_format(out, "%s%.*s", i ? " " : "", TEXT_ARGS(hosts->items[i].name));
}

/* ---------------------------------------------------------------- MX */

/* clang-format off */
static const struct {
	const char *name;
	struct dns_mx mx[6];
	size_t count;
	const char *hosts;
	bool own;
} mx_cases[] = {
	{ "by preference", { { LIT("a.example"), 10 }, { LIT("b.example"), 20 }, { LIT("c.example"), 30 } }, 3, "a.example b.example c.example", false },
	{ "one", { { LIT("a.example"), 0 } }, 1, "a.example", false },
	{ "cut at our own name", { { LIT("a.example"), 10 }, { LIT("us.example"), 20 }, { LIT("c.example"), 30 } }, 3, "a.example", true },
	{ "equals of our own go too", { { LIT("a.example"), 10 }, { LIT("b.example"), 20 }, { LIT("us.example"), 20 }, { LIT("d.example"), 20 } }, 4, "a.example", true },
	{ "our own name in other letters", { { LIT("a.example"), 10 }, { LIT("US.Example"), 20 } }, 2, "a.example", true },
	{ "we are the best", { { LIT("us.example"), 10 }, { LIT("b.example"), 20 } }, 2, "", true },
	{ "a null MX among others is left out", { { LIT(""), 0 }, { LIT("b.example"), 20 } }, 2, "b.example", false },
	{ "nothing but that", { { LIT(""), 0 }, { LIT(""), 10 } }, 2, "", false },
};
/* clang-format on */

static void mx_hosts_are_sorted_and_cut(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(mx_cases); i++) {
		struct dns_mx_list mx = list(mx_cases[i].mx, mx_cases[i].count);
		struct buf names = BUF(1000);
		struct target_hosts hosts;
		struct random random;
		struct arena arena;
		bool own;

		arena_init(&arena, 10000);
		random_init(&random, 7);
		assert_int_equal(target_of_mx(&mx, 25, TEXT("us.example"), &random, &arena, &hosts, &own),
		                 ERR_OK);
		names_of(&hosts, &names);
		CHECK_TEXT(mx_cases[i].name, buf_text(&names), text_from(mx_cases[i].hosts));
		CHECK_INT(mx_cases[i].name, own, mx_cases[i].own);
		for (size_t h = 0; h < hosts.count; h++)
			CHECK_INT(mx_cases[i].name, hosts.items[h].port, 25);
		buf_fini(&names);
		arena_fini(&arena);
	}
}

static void equals_are_shuffled_within_their_preference(void **state)
{
	static const struct dns_mx hosts[] = { { LIT("a"), 5 },  { LIT("b"), 10 }, { LIT("c"), 10 },
		                               { LIT("d"), 10 }, { LIT("e"), 20 }, { LIT("f"), 20 } };
	struct dns_mx_list mx = list(hosts, ARRAY_LEN(hosts));
	unsigned first[3] = { 0 }, fifth[2] = { 0 };
	struct random random;

	(void)state;
	random_init(&random, 1);
	for (unsigned i = 0; i < 6000; i++) {
		struct target_hosts out;
		struct arena arena;
		bool own;

		arena_init(&arena, 10000);
		assert_int_equal(target_of_mx(&mx, 25, TEXT("us"), &random, &arena, &out, &own), ERR_OK);
		assert_int_equal(out.count, 6);
		assert_int_equal(out.items[0].name.at[0], 'a');
		first[out.items[1].name.at[0] - 'b']++;
		fifth[out.items[4].name.at[0] - 'e']++;
		arena_fini(&arena);
	}
	for (unsigned i = 0; i < 3; i++)
		assert_in_range(first[i], 1850, 2150);
	for (unsigned i = 0; i < 2; i++)
		assert_in_range(fifth[i], 2850, 3150);
}

static void no_more_hosts_than_may_be_tried(void **state)
{
	static struct dns_mx hosts[100];
	struct dns_mx_list mx = list(hosts, ARRAY_LEN(hosts));
	struct target_hosts out;
	struct random random;
	struct arena arena;
	bool own;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(hosts); i++)
		hosts[i] = (struct dns_mx){ TEXT("h.example"), (uint16_t)i };
	random_init(&random, 1);
	arena_init(&arena, 100000);
	assert_int_equal(target_of_mx(&mx, 25, TEXT("us"), &random, &arena, &out, &own), ERR_OK);
	assert_int_equal(out.count, TARGET_HOSTS_MAX);
	assert_int_equal(out.items[TARGET_HOSTS_MAX - 1].preference, TARGET_HOSTS_MAX - 1);
	arena_fini(&arena);
}

/* ---------------------------------------------------------------- literals, upstreams */

static void literals_are_addresses(void **state)
{
	static const struct {
		struct text domain;
		enum err err;
		enum ip_family family;
	} cases[] = {
		{ LIT("[192.0.2.1]"), ERR_OK, IP_V4 },     { LIT("[IPv6:2001:db8::1]"), ERR_OK, IP_V6 },
		{ LIT("[192.0.2]"), ERR_SYNTAX, IP_NONE }, { LIT("[tag:x]"), ERR_SYNTAX, IP_NONE },
		{ LIT("[]"), ERR_SYNTAX, IP_NONE },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct target_hosts out = { 0 };
		struct arena arena;

		arena_init(&arena, 1000);
		CHECK_INT(cases[i].domain.at, target_of_literal(cases[i].domain, 2525, &arena, &out),
		          cases[i].err);
		if (cases[i].err == ERR_OK) {
			assert_int_equal(out.count, 1);
			assert_int_equal(out.items[0].ip.family, cases[i].family);
			assert_int_equal(out.items[0].port, 2525);
			CHECK_TEXT("literal", out.items[0].name, cases[i].domain);
		}
		arena_fini(&arena);
	}
}

static void upstream_hosts_keep_their_order(void **state)
{
	static const struct config_endpoint endpoints[] = {
		{ .host = LIT("b.example"), .port = 587 },
		{ .host = LIT("192.0.2.9"), .port = 25, .ip = { IP_V4, { 192, 0, 2, 9 } } },
		{ .host = LIT("a.example"), .port = 2525 },
	};
	struct config_upstream upstream = { .hosts = { endpoints, ARRAY_LEN(endpoints) } };
	struct random random;
	struct buf names = BUF(1000);
	struct target_hosts out;
	struct arena arena;

	(void)state;
	arena_init(&arena, 10000);
	random_init(&random, 1);
	assert_int_equal(target_of_upstream(&upstream, &random, &arena, &out), ERR_OK);
	names_of(&out, &names);
	CHECK_TEXT("order", buf_text(&names), TEXT("b.example 192.0.2.9 a.example"));
	assert_int_equal(out.items[0].port, 587);
	assert_int_equal(out.items[0].ip.family, IP_NONE);
	assert_int_equal(out.items[1].ip.family, IP_V4);
	buf_fini(&names);
	arena_fini(&arena);
}

/* Weights of 3, 1 and 1: first in three of five draws, and the others follow in every order. */
static void hosts_are_drawn_by_their_weights(void **state)
{
	static const struct config_endpoint endpoints[] = {
		{ .host = LIT("a"), .port = 25, .weight = 3 },
		{ .host = LIT("b"), .port = 25, .weight = 1 },
		{ .host = LIT("c"), .port = 25, .weight = 1 },
	};
	struct config_upstream upstream = { .hosts = { endpoints, ARRAY_LEN(endpoints) },
		                            .balance = CONFIG_BALANCE_WEIGHTED };
	unsigned first[3] = { 0 }, second[3] = { 0 };
	struct random random;

	(void)state;
	random_init(&random, 7);
	for (unsigned i = 0; i < 10000; i++) {
		struct target_hosts out;
		struct arena arena;

		arena_init(&arena, 10000);
		assert_int_equal(target_of_upstream(&upstream, &random, &arena, &out), ERR_OK);
		assert_int_equal(out.count, 3);
		first[out.items[0].name.at[0] - 'a']++;
		second[out.items[1].name.at[0] - 'a']++;
		assert_true(out.items[0].name.at[0] + out.items[1].name.at[0] + out.items[2].name.at[0] ==
		            'a' + 'b' + 'c');
		arena_fini(&arena);
	}
	assert_in_range(first[0], 5800, 6200);
	assert_in_range(first[1], 1850, 2150);
	/* b first leaves a three times out of four */
	assert_in_range(second[0], 2850, 3150);
}

static void unix_socket_is_a_host(void **state)
{
	static const struct config_endpoint endpoint = { .text = LIT("unix:/run/lmtp"),
		                                         .host = LIT("/run/lmtp"),
		                                         .is_unix = true };
	struct config_upstream upstream = { .hosts = { &endpoint, 1 } };
	struct target_hosts out;
	struct random random;
	struct arena arena;

	(void)state;
	arena_init(&arena, 10000);
	random_init(&random, 1);
	assert_int_equal(target_of_upstream(&upstream, &random, &arena, &out), ERR_OK);
	CHECK_TEXT("path", out.items[0].unix_path, TEXT("/run/lmtp"));
	arena_fini(&arena);
}

/* ---------------------------------------------------------------- addresses */

/* clang-format off */
static const struct {
	const char *name;
	const char *in;                  /* 4 and 6: addresses of that family, the letter behind tells them apart */
	enum config_ip_choice ip;
	unsigned families;
	const char *out;
} order_cases[] = {
	{ "in turn, IPv6 first", "4a 4b 6c 6d", CONFIG_IP_ANY, DNS_ANY, "6c 4a 6d 4b" },
	{ "one family runs out", "4a 4b 4c 6d", CONFIG_IP_ANY, DNS_ANY, "6d 4a 4b 4c" },
	{ "only one there", "4a 4b", CONFIG_IP_ANY, DNS_ANY, "4a 4b" },
	{ "only the other", "6a 6b", CONFIG_IP_ANY, DNS_ANY, "6a 6b" },
	{ "IPv4 only", "4a 6b 4c", CONFIG_IP_V4, DNS_ANY, "4a 4c" },
	{ "IPv6 only", "4a 6b 4c", CONFIG_IP_V6, DNS_ANY, "6b" },
	{ "IPv6 only, none there", "4a", CONFIG_IP_V6, DNS_ANY, "" },
	{ "IPv4 first", "6a 4b 6c 4d", CONFIG_IP_PREFER_V4, DNS_ANY, "4b 4d 6a 6c" },
	{ "IPv6 first", "4a 6b 4c 6d", CONFIG_IP_PREFER_V6, DNS_ANY, "6b 6d 4a 4c" },
	{ "IPv4 first, none there", "6a 6b", CONFIG_IP_PREFER_V4, DNS_ANY, "6a 6b" },
	{ "a source of IPv4 alone", "4a 6b", CONFIG_IP_ANY, DNS_V4, "4a" },
	{ "a source of IPv6 alone, IPv4 preferred", "4a 6b", CONFIG_IP_PREFER_V4, DNS_V6, "6b" },
	{ "nothing", "", CONFIG_IP_ANY, DNS_ANY, "" },
	{ "more than may be tried", "4a 4b 4c 4d 4e 4f 4g 4h 4i 6j", CONFIG_IP_ANY, DNS_ANY, "6j 4a 4b 4c 4d 4e 4f 4g" },
};
/* clang-format on */

static void addresses_are_ordered(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(order_cases); i++) {
		struct text rest = text_from(order_cases[i].in);
		struct ip addresses[16] = { 0 };
		struct buf out = BUF(1000);
		size_t count = 0;

		while (rest.len) {
			struct text one = text_cut(&rest, ' ');

			addresses[count].family = one.at[0] == '4' ? IP_V4 : IP_V6;
			addresses[count++].bytes[0] = (unsigned char)one.at[1];
		}
		count = target_order_addresses(addresses, count, order_cases[i].ip, order_cases[i].families);
		for (size_t n = 0; n < count; n++)
			buf_add_format(&out, "%s%d%c", n ? " " : "", addresses[n].family == IP_V4 ? 4 : 6,
			               addresses[n].bytes[0]);
		CHECK_TEXT(order_cases[i].name, buf_text(&out), text_from(order_cases[i].out));
		buf_fini(&out);
	}
}

static void out_of_memory_is_said(void **state)
{
	static const struct dns_mx hosts[] = { { LIT("a.example"), 5 }, { LIT("b.example"), 10 } };
	struct dns_mx_list mx = list(hosts, ARRAY_LEN(hosts));

	(void)state;
	for (EACH_ALLOC_FAILING) {
		struct target_hosts out;
		struct random random;
		struct arena arena;
		enum err err;
		bool own;

		random_init(&random, 1);
		arena_init(&arena, 10000);
		err = target_of_mx(&mx, 25, TEXT("us"), &random, &arena, &out, &own);
		assert_int_equal(err, alloc_has_failed() ? ERR_NOMEM : ERR_OK);
		arena_fini(&arena);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mx_hosts_are_sorted_and_cut),
		cmocka_unit_test(equals_are_shuffled_within_their_preference),
		cmocka_unit_test(no_more_hosts_than_may_be_tried),
		cmocka_unit_test(literals_are_addresses),
		cmocka_unit_test(upstream_hosts_keep_their_order),
		cmocka_unit_test(hosts_are_drawn_by_their_weights),
		cmocka_unit_test(unix_socket_is_a_host),
		cmocka_unit_test(addresses_are_ordered),
		cmocka_unit_test(out_of_memory_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
