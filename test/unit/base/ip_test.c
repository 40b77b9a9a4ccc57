#include <postrider/base/ip.h>

#include "support/check.h"

static const struct {
	struct text text;
	const char *canonical; /* NULL: refused */
	enum ip_family family;
	bool loopback, is_private;
} addresses[] = {
	{ LIT("192.0.2.1"), "192.0.2.1", IP_V4, false, false },
	{ LIT("127.0.0.1"), "127.0.0.1", IP_V4, true, true },
	{ LIT("127.255.255.254"), "127.255.255.254", IP_V4, true, true },
	{ LIT("0.0.0.0"), "0.0.0.0", IP_V4, false, true },
	{ LIT("10.255.0.1"), "10.255.0.1", IP_V4, false, true },
	{ LIT("11.0.0.1"), "11.0.0.1", IP_V4, false, false },
	{ LIT("100.63.255.255"), "100.63.255.255", IP_V4, false, false },
	{ LIT("100.64.0.0"), "100.64.0.0", IP_V4, false, true },
	{ LIT("100.127.255.255"), "100.127.255.255", IP_V4, false, true },
	{ LIT("100.128.0.0"), "100.128.0.0", IP_V4, false, false },
	{ LIT("169.254.169.254"), "169.254.169.254", IP_V4, false, true },
	{ LIT("172.15.255.255"), "172.15.255.255", IP_V4, false, false },
	{ LIT("172.16.0.1"), "172.16.0.1", IP_V4, false, true },
	{ LIT("172.31.255.255"), "172.31.255.255", IP_V4, false, true },
	{ LIT("172.32.0.0"), "172.32.0.0", IP_V4, false, false },
	{ LIT("192.168.1.1"), "192.168.1.1", IP_V4, false, true },
	{ LIT("192.0.0.8"), "192.0.0.8", IP_V4, false, true },
	{ LIT("223.255.255.255"), "223.255.255.255", IP_V4, false, false },
	{ LIT("224.0.0.1"), "224.0.0.1", IP_V4, false, true },
	{ LIT("255.255.255.255"), "255.255.255.255", IP_V4, false, true },
	{ LIT("2001:DB8:0:0:0:0:0:1"), "2001:db8::1", IP_V6, false, false },
	{ LIT("::"), "::", IP_V6, false, true },
	{ LIT("::1"), "::1", IP_V6, true, true },
	{ LIT("::2"), "::2", IP_V6, false, true },
	{ LIT("fe80::1"), "fe80::1", IP_V6, false, true },
	{ LIT("febf::1"), "febf::1", IP_V6, false, true },
	{ LIT("fec0::1"), "fec0::1", IP_V6, false, true },
	{ LIT("fc00::1"), "fc00::1", IP_V6, false, true },
	{ LIT("fd12:3456::1"), "fd12:3456::1", IP_V6, false, true },
	{ LIT("fbff::1"), "fbff::1", IP_V6, false, false },
	{ LIT("ff02::1"), "ff02::1", IP_V6, false, true },
	{ LIT("::ffff:192.0.2.1"), "192.0.2.1", IP_V4, false, false },
	{ LIT("::ffff:127.0.0.1"), "127.0.0.1", IP_V4, true, true },
	{ LIT("::ffff:c000:201"), "192.0.2.1", IP_V4, false, false },
	{ LIT("64:ff9b::192.0.2.1"), "64:ff9b::c000:201", IP_V6, false, false },
	{ LIT("64:ff9b::10.0.0.1"), "64:ff9b::a00:1", IP_V6, false, true },
	{ LIT("64:ff9b:1::1"), "64:ff9b:1::1", IP_V6, false, true },
	{ LIT("2002:c000:201::1"), "2002:c000:201::1", IP_V6, false, false },
	{ LIT("2002:a00:1::1"), "2002:a00:1::1", IP_V6, false, true },
	{ LIT(""), NULL, 0, false, false },
	{ LIT("192.0.2"), NULL, 0, false, false },
	{ LIT("192.0.2.256"), NULL, 0, false, false },
	{ LIT("192.0.2.1.5"), NULL, 0, false, false },
	{ LIT("192.0.2.01"), NULL, 0, false, false },
	{ LIT("192.0.2.1 "), NULL, 0, false, false },
	{ LIT(" 192.0.2.1"), NULL, 0, false, false },
	{ LIT("192.0.2.1\0"), NULL, 0, false, false },
	{ LIT("0xc0.0.2.1"), NULL, 0, false, false },
	{ LIT("3221225985"), NULL, 0, false, false },
	{ LIT("fe80::1%eth0"), NULL, 0, false, false },
	{ LIT("[::1]"), NULL, 0, false, false },
	{ LIT("1:2:3:4:5:6:7:8:9"), NULL, 0, false, false },
	{ LIT("::1::2"), NULL, 0, false, false },
	{ LIT("0000:0000:0000:0000:0000:0000:0000:0000:0000:0000"), NULL, 0, false, false },
};

static void addresses_are_read_written_and_sorted(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(addresses); i++) {
		const char *name = addresses[i].text.at;
		struct ip ip;
		struct buf b = BUF(100);
		enum err err = ip_parse(addresses[i].text, &ip);

		CHECK_INT(name, err, addresses[i].canonical ? ERR_OK : ERR_SYNTAX);
		if (err)
			continue;
		ip_add(&b, ip);
		CHECK_TEXT(name, buf_text(&b), text_from(addresses[i].canonical));
		CHECK_INT(name, ip.family, addresses[i].family);
		CHECK_INT(name, ip_is_loopback(ip), addresses[i].loopback);
		CHECK_INT(name, ip_is_private(ip), addresses[i].is_private);
		buf_fini(&b);
	}
	assert_true(ip_is_private((struct ip){ .family = IP_NONE }));
	assert_false(ip_is_loopback((struct ip){ .family = IP_NONE }));
}

static const struct {
	struct text network, address;
	bool good, in;
} networks[] = {
	{ LIT("10.0.0.0/8"), LIT("10.255.255.255"), true, true },
	{ LIT("10.0.0.0/8"), LIT("11.0.0.0"), true, false },
	{ LIT("192.0.2.128/25"), LIT("192.0.2.128"), true, true },
	{ LIT("192.0.2.128/25"), LIT("192.0.2.127"), true, false },
	{ LIT("192.0.2.1"), LIT("192.0.2.1"), true, true },
	{ LIT("192.0.2.1/32"), LIT("192.0.2.0"), true, false },
	{ LIT("0.0.0.0/0"), LIT("255.255.255.255"), true, true },
	{ LIT("0.0.0.0/0"), LIT("2001:db8::1"), true, false },
	{ LIT("::/0"), LIT("2001:db8::1"), true, true },
	{ LIT("::/0"), LIT("192.0.2.1"), true, false },
	{ LIT("2001:db8::/32"), LIT("2001:db8:ffff::1"), true, true },
	{ LIT("2001:db8::/33"), LIT("2001:db8:8000::1"), true, false },
	{ LIT("2001:db8::1/128"), LIT("2001:db8::1"), true, true },
	{ LIT("10.0.0.0/8"), LIT("::ffff:10.1.1.1"), true, true },
	{ LIT("10.0.0.1/8"), LIT("10.0.0.1"), false, false },
	{ LIT("10.0.0.0/33"), LIT("10.0.0.1"), false, false },
	{ LIT("10.0.0.0/"), LIT("10.0.0.1"), false, false },
	{ LIT("10.0.0.0/8/8"), LIT("10.0.0.1"), false, false },
	{ LIT("10.0.0.0/-1"), LIT("10.0.0.1"), false, false },
	{ LIT("/8"), LIT("10.0.0.1"), false, false },
	{ LIT("10/8"), LIT("10.0.0.1"), false, false },
	{ LIT(""), LIT("10.0.0.1"), false, false },
	{ LIT("::/129"), LIT("::1"), false, false },
};

static void networks_hold_their_addresses(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(networks); i++) {
		struct ip_network network;
		struct ip ip;
		enum err err = ip_network_parse(networks[i].network, &network);

		CHECK_INT(networks[i].network.at, err, networks[i].good ? ERR_OK : ERR_SYNTAX);
		assert_int_equal(ip_parse(networks[i].address, &ip), ERR_OK);
		if (!err)
			CHECK_INT(networks[i].network.at, ip_in(ip, network), networks[i].in);
	}
	assert_false(ip_in((struct ip){ .family = IP_NONE }, (struct ip_network){ .prefix_bits = 0 }));
}

static const struct {
	struct text text;
	const char *canonical;
} ports[] = {
	{ LIT("192.0.2.1:25"), "192.0.2.1:25" },
	{ LIT("[2001:db8::1]:587"), "[2001:db8::1]:587" },
	{ LIT("0.0.0.0:65535"), "0.0.0.0:65535" },
	{ LIT("192.0.2.1:65536"), NULL },
	{ LIT("192.0.2.1:"), NULL },
	{ LIT("192.0.2.1"), NULL },
	{ LIT("2001:db8::1:25"), NULL },
	{ LIT("[192.0.2.1]:25"), NULL },
	{ LIT("[::1]"), NULL },
	{ LIT("[::1:25"), NULL },
	{ LIT(":25"), NULL },
	{ LIT("localhost:25"), NULL },
};

static void ports_follow_addresses(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(ports); i++) {
		struct ip_port a;
		struct buf b = BUF(100);
		enum err err = ip_port_parse(ports[i].text, &a);

		CHECK_INT(ports[i].text.at, err, ports[i].canonical ? ERR_OK : ERR_SYNTAX);
		if (err)
			continue;
		ip_port_add(&b, a);
		CHECK_TEXT(ports[i].text.at, buf_text(&b), text_from(ports[i].canonical));
		buf_fini(&b);
	}
}

static void literals_are_as_smtp_writes_them(void **state)
{
	struct buf b = BUF(200);
	struct ip v6;

	(void)state;
	assert_int_equal(ip_parse(TEXT("2001:db8::1"), &v6), ERR_OK);
	ip_add_literal(&b, ip_from_v4(0xc0000201));
	ip_add_literal(&b, v6);
	ip_add(&b, (struct ip){ .family = IP_NONE });
	CHECK_TEXT("all", buf_text(&b), TEXT("[192.0.2.1][IPv6:2001:db8::1]unknown"));
	assert_false(ip_eq(v6, ip_from_v4(0xc0000201)));
	assert_true(ip_eq(v6, v6));
	buf_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_are_read_written_and_sorted),
		cmocka_unit_test(networks_hold_their_addresses),
		cmocka_unit_test(ports_follow_addresses),
		cmocka_unit_test(literals_are_as_smtp_writes_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
