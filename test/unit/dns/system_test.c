#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <postrider/base/auto.h>
#include <postrider/dns.h>

static const struct {
	const char *name;
	const char *in;
	const char *out; /* the servers; empty: ERR_NOT_FOUND */
} resolv_cases[] = {
	{ "one server", "nameserver 127.0.0.53\noptions edns0\nsearch example.com\n", "127.0.0.53:53 " },
	{ "three, with tabs, comments and no final newline",
	  "# by hand\n; too\nnameserver\t192.0.2.1\nnameserver  2001:db8::1 \nnameserver 192.0.2.3",
	  "192.0.2.1:53 [2001:db8::1]:53 192.0.2.3:53 " },
	{ "CRLF", "nameserver 192.0.2.1\r\n", "192.0.2.1:53 " },
	{ "more than fit",
	  "nameserver 192.0.2.1\nnameserver 192.0.2.2\nnameserver 192.0.2.3\nnameserver 192.0.2.4\n",
	  "192.0.2.1:53 192.0.2.2:53 192.0.2.3:53 " },
	{ "something behind the address", "nameserver 192.0.2.1 # here\n", "192.0.2.1:53 " },
	{ "an address with a zone", "nameserver fe80::1%eth0\nnameserver 192.0.2.2\n", "192.0.2.2:53 " },
	{ "a commented line", "#nameserver 192.0.2.1\n", "" },
	{ "a longer word", "nameservers 192.0.2.1\n", "" },
	{ "no address", "nameserver\nnameserver dns.example\n", "" },
	{ "nothing", "", "" },
};

static void resolv_conf_names_servers(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(resolv_cases); i++) {
		struct ip_port servers[3];
		size_t count = 77;
		struct buf said = BUF(1024);
		enum err err = dns_parse_resolv_conf(text_from(resolv_cases[i].in), servers,
		                                     ARRAY_LEN(servers), &count);

		print_message("  %s\n", resolv_cases[i].name);
		for (size_t k = 0; k < count; k++) {
			ip_port_add(&said, servers[k]);
			buf_add_octet(&said, ' ');
		}
		assert_true(text_eq(buf_text(&said), text_from(resolv_cases[i].out)));
		assert_int_equal(err, resolv_cases[i].out[0] ? ERR_OK : ERR_NOT_FOUND);
		buf_fini(&said);
	}
}

static void note(void *owner, struct text name, struct ip ip)
{
	struct buf *said = owner;

	buf_add(said, name);
	buf_add_octet(said, '=');
	ip_add(said, ip);
	buf_add_octet(said, ' ');
}

static const struct {
	const char *name;
	const char *in;
	const char *out;
} hosts_cases[] = {
	{ "names and aliases", "127.0.0.1 localhost\n192.0.2.1\thost.example.com  host # ours\n",
	  "localhost=127.0.0.1 host.example.com=192.0.2.1 host=192.0.2.1 " },
	{ "IPv6 and no final newline", "::1 localhost ip6-localhost", "localhost=::1 ip6-localhost=::1 " },
	{ "a comment without a space", "192.0.2.1 a#b c\n", "a=192.0.2.1 " },
	{ "CRLF", "192.0.2.1 a\r\n192.0.2.2 b\r\n", "a=192.0.2.1 b=192.0.2.2 " },
	{ "a name that is none", "192.0.2.1 a*b fine b..c also.fine.\n",
	  "fine=192.0.2.1 also.fine.=192.0.2.1 " },
	{ "lines that make no sense", "host 192.0.2.1\n192.0.2.1\nfe80::1%lo0 a\n\n \n192.0.2.300 b\n", "" },
};

static void a_hosts_file_names_hosts(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(hosts_cases); i++) {
		struct buf said = BUF(1024);

		print_message("  %s\n", hosts_cases[i].name);
		dns_parse_hosts(text_from(hosts_cases[i].in), note, &said);
		assert_true(text_eq(buf_text(&said), text_from(hosts_cases[i].out)));
		buf_fini(&said);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(resolv_conf_names_servers),
		cmocka_unit_test(a_hosts_file_names_hosts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
