/* Lookups: what callers hear, and when; MX rules, chains, cache, sharing, cancelling. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include <postrider/base/auto.h>
#include <postrider/base/time.h>
#include <postrider/dns.h>
#include <postrider/io/io.h>

#include "support/alloc.h"
#include "support/dns_world.h"

#define SOA(zone, ttl, minimum) "--\n" zone " " ttl " SOA ns." zone ". h." zone ". 1 3600 600 86400 " minimum

static void start(struct dns_world *w, const struct dns_rule *rules, size_t count)
{
	dns_world_init(w, rules, count, NULL);
}

/* ---------------------------------------------------------------- MX */

static const struct {
	const char *name;
	struct dns_rule rules[4];
	const char *outcome;
	const char *log; /* NULL: one question */
} mx_cases[] = {
	{ "sorted by preference, equals as they came",
	  { { .records = "example.com 60 MX 20 c.example.\nexample.com 60 MX 10 b.example.\n"
	                 "example.com 60 MX 20 a.example.\nexample.com 60 MX 5 d.example." } },
	  "5 d.example, 10 b.example, 20 c.example, 20 a.example of example.com",
	  NULL },
	{ "names in lower case",
	  { { .records = "EXAMPLE.com 60 MX 1 Mx.EXAMPLE.NET." } },
	  "1 mx.example.net of example.com",
	  NULL },
	{ "a host twice counts once, at its better preference",
	  { { .records = "example.com 60 MX 20 a.example.\nexample.com 60 MX 10 A.example." } },
	  "10 a.example of example.com",
	  NULL },
	{ "the null MX", { { .records = "example.com 60 MX 0 ." } }, "null", NULL },
	{ "a null MX among others is dropped",
	  { { .records = "example.com 60 MX 0 .\nexample.com 60 MX 10 mx.example." } },
	  "10 mx.example of example.com",
	  NULL },
	{ "the root with another preference is no null MX, and no host",
	  { { .records = "example.com 60 MX 10 ." } },
	  "no such thing: no usable record from 192.0.2.1:53 for MX of example.com",
	  NULL },
	{ "an address where a host should be",
	  { { .records = "example.com 60 MX 10 198.51.100.1.\nexample.com 60 MX 20 mx.example." } },
	  "20 mx.example of example.com",
	  NULL },
	{ "a host that is no host name",
	  { { .records = "example.com 60 MX 10 a\\032b.example.\nexample.com 60 MX 20 mx_1.example." } },
	  "20 mx_1.example of example.com",
	  NULL },
	{ "no MX: the domain itself",
	  { { .records = SOA("example.com", "60", "60") } },
	  "implicit example.com",
	  NULL },
	{ "no MX, and no SOA that says so", { { .records = "" } }, "implicit example.com", NULL },
	{ "name servers without SOA in an authoritative answer are no referral",
	  { { .records = "--\nexample.com 60 NS ns.example.com.", .authoritative = true } },
	  "implicit example.com",
	  NULL },
	{ "no such domain",
	  { { .rcode = 3, .records = SOA("com", "60", "60") } },
	  "no such thing: NXDOMAIN from 192.0.2.1:53 for MX of example.com",
	  NULL },
	{ "records of other names and types do not count",
	  { { .records =
	              "example.com 60 A 192.0.2.9\nother.example 60 MX 1 evil.example.\nexample.com 60 MX 2 mx.example." } },
	  "2 mx.example of example.com",
	  NULL },
	{ "an alias inside the answer",
	  { { .records =
	              "example.com 60 CNAME a.example.\na.example 60 CNAME b.example.\nb.example 60 MX 7 mx.example." } },
	  "7 mx.example of b.example",
	  NULL },
	{ "an alias inside the answer, its end first",
	  { { .records =
	              "b.example 60 MX 7 mx.example.\na.example 60 CNAME b.example.\nexample.com 60 CNAME a.example." } },
	  "7 mx.example of b.example",
	  NULL },
	{ "an alias whose end has to be asked for",
	  { { .name = "example.com", .records = "example.com 60 CNAME a.example." },
	    { .name = "a.example", .records = "a.example 60 CNAME b.example." },
	    { .name = "b.example", .records = "b.example 60 MX 7 mx.example." } },
	  "7 mx.example of b.example",
	  "0 #0 udp MX example.com\n0 #0 udp MX a.example\n0 #0 udp MX b.example\n" },
	{ "an alias to a name without MX: that name is the host",
	  { { .records = "example.com 60 CNAME a.example.\n" SOA("example", "60", "60") } },
	  "implicit a.example",
	  NULL },
	{ "an alias to nothing",
	  { { .rcode = 3, .records = "example.com 60 CNAME a.example.\n" SOA("example", "60", "60") } },
	  "no such thing: NXDOMAIN from 192.0.2.1:53 for MX of a.example, to which example.com leads",
	  NULL },
	{ "the SOA of the alias's own zone says nothing about where it leads",
	  { { .name = "example.com",
	      .records = "example.com 60 CNAME a.example.net.\n" SOA("example.com", "60", "60") },
	    { .records = "a.example.net 60 MX 7 mx.example." } },
	  "7 mx.example of a.example.net",
	  "0 #0 udp MX example.com\n0 #0 udp MX a.example.net\n" },
	{ "an alias to itself",
	  { { .records = "example.com 60 CNAME example.com." } },
	  "temporary failure: a CNAME chain that leads nowhere from 192.0.2.1:53 for MX of example.com",
	  NULL },
	{ "a loop inside one answer",
	  { { .records = "example.com 60 CNAME a.example.\na.example 60 CNAME example.com." } },
	  "temporary failure: a CNAME chain that leads nowhere from 192.0.2.1:53 for MX of example.com",
	  NULL },
	{ "a loop over two questions",
	  { { .name = "example.com", .records = "example.com 60 CNAME a.example." },
	    { .name = "a.example", .records = "a.example 60 CNAME example.com." } },
	  "temporary failure: a CNAME chain that leads nowhere from 192.0.2.1:53 for MX of example.com",
	  "" },
	{ "an alias to the root",
	  { { .records = "example.com 60 CNAME ." } },
	  "temporary failure: a CNAME chain that leads nowhere from 192.0.2.1:53 for MX of example.com",
	  NULL },
	{ "SERVFAIL for the end of the chain is no absence",
	  { { .name = "example.com", .records = "example.com 60 CNAME a.example." }, { .rcode = 2 } },
	  "temporary failure: SERVFAIL from 192.0.2.1:53 for MX of a.example, to which example.com leads",
	  "0 #0 udp MX example.com\n0 #0 udp MX a.example\n" },
};

static void mx_hosts_are_what_the_rfcs_say(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(mx_cases); i++) {
		struct dns_world w;
		struct dns_outcome o = { 0 };
		const char *log;

		print_message("  %s\n", mx_cases[i].name);
		start(&w, mx_cases[i].rules, ARRAY_LEN(mx_cases[i].rules));
		dns_world_find_mx(&w, "example.com", &o);
		dns_world_run(&w);
		assert_string_equal(o.text, mx_cases[i].outcome);
		log = dns_world_log(&w);
		if (!mx_cases[i].log)
			assert_string_equal(log, "0 #0 udp MX example.com\n");
		else if (mx_cases[i].log[0])
			assert_string_equal(log, mx_cases[i].log);
		dns_world_fini(&w);
	}
}

/* example.com -> a1.example -> a2.example ... with `links` CNAMEs in all, then an MX. */
static void chain_of(unsigned links, bool in_one_answer, const char *outcome)
{
	static char records[16][128];
	char all[2048] = "", names[17][32];
	struct dns_rule rules[17] = { 0 };
	struct dns_world w;
	struct dns_outcome o = { 0 };

	for (unsigned i = 0; i <= links; i++)
		snprintf(names[i], sizeof(names[i]), i ? "a%u.example" : "example.com", i);
	for (unsigned i = 0; i <= links; i++) {
		if (i < links)
			snprintf(records[i], sizeof(records[i]), "%s 60 CNAME %s.", names[i], names[i + 1]);
		else
			snprintf(records[i], sizeof(records[i]), "%s 60 MX 1 mx.example.", names[i]);
		rules[i].name = in_one_answer ? NULL : names[i];
		rules[i].records = in_one_answer ? all : records[i];
		strcat(strcat(all, i ? "\n" : ""), records[i]);
	}
	start(&w, rules, in_one_answer ? 1 : links + 1);
	dns_world_find_mx(&w, "example.com", &o);
	dns_world_run(&w);
	assert_string_equal(o.text, outcome);
	dns_world_fini(&w);
}

static void chains_have_ten_links_at_most(void **state)
{
	(void)state;
	chain_of(10, true, "1 mx.example of a10.example");
	chain_of(10, false, "1 mx.example of a10.example");
	chain_of(
		11, true,
		"temporary failure: a CNAME chain that leads nowhere from 192.0.2.1:53 for MX of example.com");
	chain_of(
		11, false,
		"temporary failure: a CNAME chain that leads nowhere from 192.0.2.1:53 for MX of a10.example, to "
		"which example.com leads");
}

static void of_very_many_mx_the_most_preferred_are_kept(void **state)
{
	struct buf records = BUF(65536);
	struct dns_world w;
	struct dns_outcome o = { 0 };

	(void)state;
	for (unsigned i = 400; i > 0; i--)
		buf_add_format(&records, "example.com 60 MX %u h%u.example.\n", i, i);
	buf_add_octet(&records, '\0');
	const struct dns_rule rules[] = { { .records = records.at, .limit = true } };

	start(&w, rules, 1);
	dns_world_find_mx(&w, "example.com", &o);
	dns_world_run(&w);
	assert_true(text_starts(text_from(o.text), TEXT("1 h1.example, 2 h2.example, 3 h3.example")));
	assert_true(text_ends(text_from(o.text), TEXT("128 h128.example of example.com")));
	assert_string_equal(dns_world_log(&w), "0 #0 udp MX example.com\n0 #0 tcp MX example.com\n");
	dns_world_fini(&w);
	buf_fini(&records);
}

/* ---------------------------------------------------------------- addresses */

static const struct {
	const char *name;
	enum dns_families families;
	struct dns_rule rules[4];
	const char *outcome;
	int64_t done_at;
} address_cases[] = {
	{ "IPv4 alone",
	  DNS_V4,
	  { { .records = "h.example 60 A 198.51.100.1\nh.example 60 A 198.51.100.2" } },
	  "198.51.100.1 198.51.100.2",
	  0 },
	{ "IPv6 alone", DNS_V6, { { .records = "h.example 60 AAAA 2001:db8::1" } }, "2001:db8::1", 0 },
	{ "both, IPv6 first",
	  DNS_ANY,
	  { { .type = "A", .records = "h.example 60 A 198.51.100.1" },
	    { .records = "h.example 60 AAAA 2001:db8::1" } },
	  "2001:db8::1 198.51.100.1",
	  0 },
	{ "both wanted, only IPv4 there",
	  DNS_ANY,
	  { { .type = "A", .records = "h.example 60 A 198.51.100.1" },
	    { .records = SOA("example", "60", "60") } },
	  "198.51.100.1",
	  0 },
	{ "both wanted, SERVFAIL for IPv6: what there is counts",
	  DNS_ANY,
	  { { .type = "A", .records = "h.example 60 A 198.51.100.1" }, { .rcode = 2 } },
	  "198.51.100.1",
	  0 },
	{ "both wanted, silence for IPv4, IPv6 there",
	  DNS_ANY,
	  { { .type = "A", .does = DNS_IS_SILENT }, { .records = "h.example 60 AAAA 2001:db8::1" } },
	  "2001:db8::1",
	  5000 },
	{ "SERVFAIL for one, nothing for the other: no absence",
	  DNS_ANY,
	  { { .type = "A", .rcode = 2 }, { .records = SOA("example", "60", "60") } },
	  "temporary failure: SERVFAIL from 192.0.2.1:53 for A of h.example",
	  0 },
	{ "NXDOMAIN for IPv6 of a broken server, SERVFAIL for IPv4: no absence",
	  DNS_ANY,
	  { { .type = "A", .rcode = 2 }, { .rcode = 3, .records = SOA("example", "60", "60") } },
	  "temporary failure: SERVFAIL from 192.0.2.1:53 for A of h.example",
	  0 },
	{ "silence for one, nothing for the other: no absence",
	  DNS_ANY,
	  { { .type = "A", .does = DNS_IS_SILENT }, { .records = SOA("example", "60", "60") } },
	  "time-out: no answer from 192.0.2.1:53 within 5.0 s for A of h.example",
	  5000 },
	{ "nothing for both",
	  DNS_ANY,
	  { { .records = SOA("example", "60", "60") } },
	  "no such thing: no record from 192.0.2.1:53 for AAAA of h.example; no record from 192.0.2.1:53 for A of "
	  "h.example",
	  0 },
	{ "no such name",
	  DNS_ANY,
	  { { .rcode = 3 } },
	  "no such thing: NXDOMAIN from 192.0.2.1:53 for AAAA of h.example",
	  0 },
	{ "behind an alias",
	  DNS_ANY,
	  { { .type = "A", .records = "h.example 60 CNAME g.example.\ng.example 60 A 198.51.100.1" },
	    { .records = "h.example 60 CNAME g.example.\ng.example 60 AAAA 2001:db8::1" } },
	  "2001:db8::1 198.51.100.1",
	  0 },
	{ "an IPv4 address in the words of IPv6 is one",
	  DNS_V6,
	  { { .records = "h.example 60 AAAA ::ffff:198.51.100.1" } },
	  "198.51.100.1",
	  0 },
};

static void addresses_of_both_families_are_found(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(address_cases); i++) {
		struct dns_world w;
		struct dns_outcome o = { 0 };

		print_message("  %s\n", address_cases[i].name);
		start(&w, address_cases[i].rules, ARRAY_LEN(address_cases[i].rules));
		dns_world_find(&w, "h.example", address_cases[i].families, &o);
		dns_world_run(&w);
		assert_string_equal(o.text, address_cases[i].outcome);
		assert_int_equal(o.done_at, address_cases[i].done_at);
		dns_world_fini(&w);
	}
}

static const struct {
	const char *asked;
	enum dns_families families;
	const char *outcome;
} local_cases[] = {
	{ "192.0.2.77", DNS_ANY, "192.0.2.77" },
	{ "[192.0.2.77]", DNS_ANY, "192.0.2.77" },
	{ "2001:db8::1", DNS_ANY, "2001:db8::1" },
	{ "[IPv6:2001:db8::1]", DNS_V6, "2001:db8::1" },
	{ "192.0.2.77", DNS_V6, "no such thing: no address of the family wanted" },
	{ "localhost", DNS_ANY, "::1 127.0.0.1" },
	{ "LocalHost.", DNS_V4, "127.0.0.1" },
	{ "a.localhost", DNS_V6, "::1" },
	{ "mail.internal.example", DNS_ANY, "127.0.0.7 2001:db8::7" },
	{ "MAIL.internal.example.", DNS_V6, "2001:db8::7" },
	{ "four.internal.example", DNS_V6, "no such thing: no address of the family wanted" },
};

static const struct ip seven[] = { { IP_V4, { 127, 0, 0, 7 } },
	                           { IP_V6, { 0x20, 0x01, 0x0d, 0xb8, [15] = 7 } } };
static const struct dns_static statics[] = {
	{ LIT("mail.internal.example"), &seven[0], 1 },
	{ LIT("four.internal.example."), &seven[0], 1 },
	{ LIT("Mail.Internal.Example"), seven, 2 },
};

static void what_is_known_here_is_not_asked_for(void **state)
{
	struct dns_options options = { .server_count = 1,
		                       .statics = statics,
		                       .static_count = ARRAY_LEN(statics) };
	struct dns_world w;

	(void)state;
	dns_world_init(&w, NULL, 0, &options);
	for (size_t i = 0; i < ARRAY_LEN(local_cases); i++) {
		struct dns_outcome o = { 0 };

		print_message("  %s\n", local_cases[i].asked);
		dns_world_find(&w, local_cases[i].asked, local_cases[i].families, &o);
		assert_int_equal(o.calls, 0);
		dns_world_run(&w);
		assert_string_equal(o.text, local_cases[i].outcome);
	}
	assert_string_equal(dns_world_log(&w), "");
	dns_world_fini(&w);
}

static void mx_of_what_is_known_here(void **state)
{
	static const struct dns_rule rules[] = {
		{ .name = "mail.internal.example", .rcode = 3 },
		{ .name = "four.internal.example", .records = "four.internal.example 60 MX 1 mx.example." },
	};
	struct dns_options options = { .server_count = 1,
		                       .statics = statics,
		                       .static_count = ARRAY_LEN(statics) };
	struct dns_world w;
	struct dns_outcome o = { 0 };

	(void)state;
	dns_world_init(&w, rules, ARRAY_LEN(rules), &options);
	dns_world_find_mx(&w, "[192.0.2.77]", &o);
	dns_world_run(&w);
	assert_string_equal(o.text, "implicit [192.0.2.77]");
	dns_world_find_mx(&w, "localhost", &o);
	dns_world_run(&w);
	assert_string_equal(o.text, "implicit localhost");
	assert_string_equal(dns_world_log(&w), "");
	/* the hosts file knows addresses, not where mail goes: that is asked */
	dns_world_find_mx(&w, "mail.internal.example", &o);
	dns_world_run(&w);
	assert_string_equal(o.text, "implicit mail.internal.example");
	dns_world_find_mx(&w, "four.internal.example", &o);
	dns_world_run(&w);
	assert_string_equal(o.text, "1 mx.example of four.internal.example");
	dns_world_fini(&w);
}

static void a_static_name_is_enough_without_any_server(void **state)
{
	struct dns_options options = { .server_count = 0,
		                       .statics = statics,
		                       .static_count = ARRAY_LEN(statics) };
	struct dns_world w;
	struct dns_outcome o = { 0 };

	(void)state;
	dns_world_init(&w, NULL, 0, &options);
	dns_world_find_mx(&w, "mail.internal.example", &o);
	dns_world_run(&w);
	assert_string_equal(o.text, "implicit mail.internal.example");
	dns_world_fini(&w);
}

static void what_is_no_name_is_refused_at_once(void **state)
{
	static const char *const names[] = { "",    ".",   "a..b",   ".a",    "a b", "b\xc3\xbc.example",
		                             "a@b", "a/b", "[1.2.3", "[x.y]", "*",   "a\\.b" };
	struct dns_world w;
	char long_label[70];

	(void)state;
	dns_world_init(&w, NULL, 0, NULL);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct dns_outcome o = { 0 };

		dns_world_find_mx(&w, names[i], &o);
		assert_int_equal(o.err, ERR_SYNTAX);
		dns_world_find(&w, names[i], DNS_ANY, &o);
		assert_int_equal(o.err, ERR_SYNTAX);
	}
	memset(long_label, 'a', 64);
	long_label[64] = '\0';
	struct dns_outcome o = { 0 };

	dns_world_find_mx(&w, long_label, &o);
	assert_int_equal(o.err, ERR_SYNTAX);
	dns_world_run(&w);
	dns_world_fini(&w);
}

/* ---------------------------------------------------------------- AD */

static const struct {
	const char *name;
	enum dns_trust trust;
	const char *server;
	bool authentic;
	const char *outcome;
} trust_cases[] = {
	{ "a loopback resolver says so", DNS_TRUST_LOOPBACK, "127.0.0.53:53", true,
	  "1 mx.example of example.com (secure)" },
	{ "a loopback resolver does not", DNS_TRUST_LOOPBACK, "127.0.0.53:53", false,
	  "1 mx.example of example.com" },
	{ "one from afar says so", DNS_TRUST_LOOPBACK, "192.0.2.1:53", true, "1 mx.example of example.com" },
	{ "one from afar, and all are trusted", DNS_TRUST_ALL, "192.0.2.1:53", true,
	  "1 mx.example of example.com (secure)" },
	{ "nobody is trusted", DNS_TRUST_NONE, "127.0.0.53:53", true, "1 mx.example of example.com" },
};

static void the_ad_bit_counts_from_those_who_are_trusted(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(trust_cases); i++) {
		const struct dns_rule rules[] = { { .authentic = trust_cases[i].authentic,
			                            .records = "example.com 60 MX 1 mx.example." } };
		struct dns_options options = { .server_count = 1, .trust = trust_cases[i].trust };
		struct ip_port server;
		struct dns_world w;
		struct dns_outcome o = { 0 };

		print_message("  %s\n", trust_cases[i].name);
		assert_int_equal(ip_port_parse(text_from(trust_cases[i].server), &server), ERR_OK);
		options.servers = &server;
		dns_world_init(&w, rules, 1, &options);
		w.servers[0] = server;
		dns_world_find_mx(&w, "example.com", &o);
		dns_world_run(&w);
		assert_string_equal(o.text, trust_cases[i].outcome);
		/* from the cache the same */
		dns_world_find_mx(&w, "example.com", &o);
		dns_world_run(&w);
		assert_string_equal(o.text, trust_cases[i].outcome);
		dns_world_fini(&w);
	}
}

static void one_insecure_link_makes_a_chain_insecure(void **state)
{
	static const struct dns_rule rules[] = {
		{ .name = "example.com", .records = "example.com 60 CNAME a.example." },
		{ .name = "a.example", .records = "a.example 60 MX 1 mx.example.", .authentic = true },
	};
	struct dns_options options = { .server_count = 1, .trust = DNS_TRUST_ALL };
	struct dns_world w;
	struct dns_outcome o = { 0 };

	(void)state;
	dns_world_init(&w, rules, ARRAY_LEN(rules), &options);
	dns_world_find_mx(&w, "a.example", &o);
	dns_world_run(&w);
	assert_string_equal(o.text, "1 mx.example of a.example (secure)");
	dns_world_find_mx(&w, "example.com", &o); /* its end from the cache */
	dns_world_run(&w);
	assert_string_equal(o.text, "1 mx.example of a.example");
	dns_world_fini(&w);
}

static void an_insecure_link_and_a_secure_end_are_insecure(void **state)
{
	static const struct dns_rule rules[] = {
		{ .name = "example.com", .records = "example.com 60 CNAME a.example." },
		{ .name = "a.example", .records = "a.example 60 MX 1 mx.example.", .authentic = true },
	};
	struct dns_options options = { .server_count = 1, .trust = DNS_TRUST_ALL };
	struct dns_world w;
	struct dns_outcome o = { 0 };

	(void)state;
	dns_world_init(&w, rules, ARRAY_LEN(rules), &options);
	dns_world_find_mx(&w, "example.com", &o);
	dns_world_run(&w);
	assert_string_equal(o.text, "1 mx.example of a.example");
	dns_world_fini(&w);
}

static const struct {
	const char *name;
	struct dns_rule v4, v6;
	const char *outcome;
} secure_pairs[] = {
	{ "both secure",
	  { .type = "A", .authentic = true, .records = "h.example 60 A 198.51.100.1" },
	  { .type = "AAAA", .authentic = true, .records = "h.example 60 AAAA 2001:db8::1" },
	  "2001:db8::1 198.51.100.1 (secure)" },
	{ "one of them",
	  { .type = "A", .authentic = true, .records = "h.example 60 A 198.51.100.1" },
	  { .type = "AAAA", .records = "h.example 60 AAAA 2001:db8::1" },
	  "2001:db8::1 198.51.100.1 (secure)" },
	{ "the other of them",
	  { .type = "A", .records = "h.example 60 A 198.51.100.1" },
	  { .type = "AAAA", .authentic = true, .records = "h.example 60 AAAA 2001:db8::1" },
	  "2001:db8::1 198.51.100.1 (secure)" },
	{ "none of them",
	  { .type = "A", .records = "h.example 60 A 198.51.100.1" },
	  { .type = "AAAA", .records = "h.example 60 AAAA 2001:db8::1" },
	  "2001:db8::1 198.51.100.1" },
	{ "an absence that is proven, and an address that is not",
	  { .type = "A", .records = "h.example 60 A 198.51.100.1" },
	  { .type = "AAAA", .authentic = true, .records = SOA("example", "60", "60") },
	  "198.51.100.1" },
	{ "one, and the other is proven not to be",
	  { .type = "A", .authentic = true, .records = "h.example 60 A 198.51.100.1" },
	  { .type = "AAAA", .authentic = true, .records = SOA("example", "60", "60") },
	  "198.51.100.1 (secure)" },
	{ "one, and the other is said not to be",
	  { .type = "A", .authentic = true, .records = "h.example 60 A 198.51.100.1" },
	  { .type = "AAAA", .records = SOA("example", "60", "60") },
	  "198.51.100.1 (secure)" },
	{ "one, and nobody knows about the other",
	  { .type = "A", .authentic = true, .records = "h.example 60 A 198.51.100.1" },
	  { .type = "AAAA", .rcode = 2 },
	  "198.51.100.1 (secure)" },
};

static void addresses_are_secure_when_those_of_a_family_are(void **state)
{
	struct dns_options options = { .server_count = 1, .trust = DNS_TRUST_ALL };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(secure_pairs); i++) {
		const struct dns_rule rules[] = { secure_pairs[i].v4, secure_pairs[i].v6 };
		struct dns_world w;
		struct dns_outcome o = { 0 };

		print_message("  %s\n", secure_pairs[i].name);
		dns_world_init(&w, rules, ARRAY_LEN(rules), &options);
		dns_world_find(&w, "h.example", DNS_ANY, &o);
		dns_world_run(&w);
		assert_string_equal(o.text, secure_pairs[i].outcome);
		dns_world_fini(&w);
	}
}

/* ---------------------------------------------------------------- cache */

static const struct {
	const char *name;
	struct dns_rule rule;
	int64_t kept_ms; /* the last moment at which it is still known is one before */
} ttl_cases[] = {
	{ "by its TTL", { .records = "example.com 300 MX 1 mx.example." }, 300 * SECOND_MS },
	{ "the least TTL of the set",
	  { .records = "example.com 300 MX 1 a.example.\nexample.com 30 MX 2 b.example." },
	  30 * SECOND_MS },
	{ "the least TTL of the chain",
	  { .records = "example.com 20 CNAME a.example.\na.example 300 MX 1 mx.example." },
	  20 * SECOND_MS },
	{ "a day at most", { .records = "example.com 1000000 MX 1 mx.example." }, DAY_MS },
	{ "TTL 0: not at all", { .records = "example.com 0 MX 1 mx.example." }, 0 },
	{ "the top bit set: TTL 0", { .records = "example.com 2147483648 MX 1 mx.example." }, 0 },
	{ "no data: the minimum of the SOA", { .records = SOA("example.com", "900", "77") }, 77 * SECOND_MS },
	{ "no data: the TTL of the SOA", { .records = SOA("example.com", "66", "900") }, 66 * SECOND_MS },
	{ "no such name: the same", { .rcode = 3, .records = SOA("com", "900", "77") }, 77 * SECOND_MS },
	{ "an absence: an hour at most", { .rcode = 3, .records = SOA("com", "86400", "86400") }, HOUR_MS },
	{ "an absence without SOA: not at all", { .rcode = 3 }, 0 },
	{ "an absence by the SOA of another zone: not at all",
	  { .rcode = 3, .records = SOA("example.net", "900", "900") },
	  0 },
	{ "an absence behind an alias: the TTL of the alias",
	  { .rcode = 3, .records = "example.com 5 CNAME a.example.\n" SOA("example", "900", "900") },
	  5 * SECOND_MS },
	{ "the null MX", { .records = "example.com 300 MX 0 ." }, 300 * SECOND_MS },
	{ "SERVFAIL: not at all", { .rcode = 2 }, 0 },
	{ "a loop: not at all", { .records = "example.com 60 CNAME example.com." }, 0 },
};

static unsigned questions(struct dns_world *w)
{
	unsigned count = 0;

	for (const char *at = dns_world_log(w); *at; at++)
		count += *at == '\n';
	return count;
}

static void answers_are_kept_as_long_as_they_say(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(ttl_cases); i++) {
		struct dns_world w;
		struct dns_outcome first = { 0 }, o = { 0 };

		print_message("  %s\n", ttl_cases[i].name);
		start(&w, &ttl_cases[i].rule, 1);
		dns_world_find_mx(&w, "example.com", &first);
		dns_world_run(&w);
		assert_int_equal(questions(&w), 1);
		if (ttl_cases[i].kept_ms > 0) {
			dns_world_run_until(&w, ttl_cases[i].kept_ms - 1);
			dns_world_find_mx(&w, "EXAMPLE.com", &o);
			dns_world_run(&w);
			assert_int_equal(questions(&w), 0);
			assert_string_equal(o.text, first.text);
			assert_int_equal(dns_count(w.dns).cache_hits, 1);
		}
		dns_world_run_until(&w, ttl_cases[i].kept_ms);
		dns_world_find_mx(&w, "example.com", &o);
		dns_world_run(&w);
		assert_int_equal(questions(&w), 1);
		assert_string_equal(o.text, first.text);
		dns_world_fini(&w);
	}
}

static void a_link_shortens_how_long_its_end_is_kept(void **state)
{
	static const struct dns_rule rules[] = {
		{ .name = "example.com", .records = "example.com 20 CNAME a.example." },
		{ .name = "a.example", .records = "a.example 300 MX 1 mx.example." },
	};
	struct dns_world w;
	struct dns_outcome o = { 0 };

	(void)state;
	start(&w, rules, ARRAY_LEN(rules));
	dns_world_find_mx(&w, "example.com", &o);
	dns_world_run(&w);
	assert_int_equal(questions(&w), 2);
	dns_world_run_until(&w, 20 * SECOND_MS - 1);
	dns_world_find_mx(&w, "example.com", &o);
	dns_world_run(&w);
	assert_int_equal(questions(&w), 0);
	dns_world_run_until(&w, 20 * SECOND_MS);
	dns_world_find_mx(&w, "example.com", &o);
	dns_world_run(&w);
	assert_int_equal(questions(&w), 2);
	dns_world_fini(&w);
}

static void a_cached_end_of_a_chain_shortens_what_is_kept(void **state)
{
	static const struct dns_rule rules[] = {
		{ .name = "example.com", .records = "example.com 300 CNAME a.example." },
		{ .name = "a.example", .records = "a.example 100 MX 1 mx.example." },
	};
	struct dns_world w;
	struct dns_outcome o = { 0 };

	(void)state;
	start(&w, rules, ARRAY_LEN(rules));
	dns_world_find_mx(&w, "a.example", &o);
	dns_world_run_until(&w, 60 * SECOND_MS);
	dns_world_find_mx(&w, "example.com", &o);
	dns_world_run(&w);
	assert_string_equal(o.text, "1 mx.example of a.example");
	assert_string_equal(dns_world_log(&w), "0 #0 udp MX a.example\n60000 #0 udp MX example.com\n");
	dns_world_run_until(&w, 100 * SECOND_MS - 1);
	dns_world_find_mx(&w, "example.com", &o);
	dns_world_run(&w);
	assert_int_equal(questions(&w), 0);
	dns_world_run_until(&w, 100 * SECOND_MS);
	dns_world_find_mx(&w, "example.com", &o);
	dns_world_run(&w);
	assert_int_equal(questions(&w), 2);
	dns_world_fini(&w);
}

static void find_one(struct dns_world *w, unsigned number, struct dns_outcome *o)
{
	char name[32];

	snprintf(name, sizeof(name), "d%u.example", number);
	dns_world_find_mx(w, name, o);
}

static void the_cache_keeps_to_its_size_and_gives_up_the_least_used(void **state)
{
	static const struct dns_rule rules[] = { { .rcode = 3, .records = SOA("example", "3600", "3600") } };
	struct dns_options options = { .server_count = 1, .cache_max_bytes = 16 * 1024 };
	struct dns_world w;
	struct dns_outcome o = { 0 };

	(void)state;
	dns_world_init(&w, rules, 1, &options);
	for (unsigned i = 0; i < 1000; i++) {
		find_one(&w, i, &o);
		dns_world_run(&w);
		find_one(&w, 0, &o); /* used all the time */
		dns_world_run(&w);
		assert_true(dns_count(w.dns).cache_bytes <= 16 * 1024);
	}
	assert_in_range(dns_count(w.dns).cache_entries, 30, 100);
	assert_int_equal(questions(&w), 1000);
	find_one(&w, 1, &o);
	dns_world_run(&w);
	assert_int_equal(questions(&w), 1); /* was given up */
	dns_world_fini(&w);
}

static void new_servers_begin_with_an_empty_cache(void **state)
{
	static const struct dns_rule rules[] = {
		{ .records = "example.com 300 MX 1 old.example." },
		{ .server = 1, .records = "example.com 300 MX 1 new.example." },
	};
	struct dns_world w;
	struct dns_outcome o = { 0 };

	(void)state;
	start(&w, rules, ARRAY_LEN(rules));
	dns_world_find_mx(&w, "example.com", &o);
	dns_world_run(&w);
	assert_string_equal(o.text, "1 old.example of example.com");
	struct dns_options options = dns_world_options(&w, 1);

	options.servers = &w.servers[1];
	assert_int_equal(dns_configure(w.dns, &options), ERR_OK);
	assert_int_equal(dns_count(w.dns).cache_entries, 0);
	dns_world_find_mx(&w, "example.com", &o);
	dns_world_run(&w);
	assert_string_equal(o.text, "1 new.example of example.com");
	dns_world_fini(&w);
}

static void lookups_in_flight_outlive_a_reconfiguration_and_are_not_joined(void **state)
{
	static const struct dns_rule rules[] = {
		{ .records = "example.com 300 MX 1 old.example.", .delay_ms = 100 },
		{ .server = 1, .records = "example.com 300 MX 1 new.example.", .delay_ms = 50 },
	};
	struct dns_world w;
	struct dns_outcome old = { 0 }, new = { 0 }, again = { 0 };

	(void)state;
	start(&w, rules, ARRAY_LEN(rules));
	dns_world_find_mx(&w, "example.com", &old);
	struct dns_options options = dns_world_options(&w, 1);

	options.servers = &w.servers[1];
	assert_int_equal(dns_configure(w.dns, &options), ERR_OK);
	dns_world_find_mx(&w, "example.com", &new);
	dns_world_run(&w);
	assert_string_equal(old.text, "1 old.example of example.com");
	assert_string_equal(new.text, "1 new.example of example.com");
	/* the old servers' answer came last and is not what is kept */
	dns_world_find_mx(&w, "example.com", &again);
	dns_world_run(&w);
	assert_string_equal(again.text, "1 new.example of example.com");
	assert_int_equal(questions(&w), 2);
	dns_world_fini(&w);
}

/* ---------------------------------------------------------------- sharing, cancelling, order */

#define GOOD                                                                   \
	{                                                                      \
		.records = "example.com 300 MX 1 mx.example.", .delay_ms = 100 \
	}

static void equal_questions_in_flight_are_asked_once(void **state)
{
	static const struct dns_rule rules[] = { GOOD };
	struct dns_world w;
	struct dns_outcome o[5] = { { 0 } };

	(void)state;
	start(&w, rules, 1);
	for (size_t i = 0; i < ARRAY_LEN(o); i++)
		dns_world_find_mx(&w, i % 2 ? "example.com" : "EXAMPLE.COM.", &o[i]);
	dns_world_run(&w);
	for (size_t i = 0; i < ARRAY_LEN(o); i++)
		assert_string_equal(o[i].text, "1 mx.example of example.com");
	assert_int_equal(questions(&w), 1);
	assert_int_equal(dns_count(w.dns).shared, 4);
	dns_world_fini(&w);
}

static void cancelling_one_leaves_the_others(void **state)
{
	static const struct dns_rule rules[] = { GOOD };
	struct dns_world w;
	struct dns_outcome o[3] = { { 0 } };

	(void)state;
	start(&w, rules, 1);
	for (size_t i = 0; i < ARRAY_LEN(o); i++)
		dns_world_find_mx(&w, "example.com", &o[i]);
	dns_cancel(&o[0].slot);
	assert_null(o[0].slot);
	dns_cancel(&o[0].slot);
	dns_world_run(&w);
	assert_int_equal(o[0].calls, 0);
	assert_int_equal(o[1].calls, 1);
	assert_int_equal(o[2].calls, 1);
	dns_world_fini(&w);
}

static void a_question_nobody_waits_for_is_given_up(void **state)
{
	static const struct dns_rule rules[] = { GOOD };
	struct dns_world w;
	struct dns_outcome o = { 0 };

	(void)state;
	start(&w, rules, 1);
	dns_world_find_mx(&w, "example.com", &o);
	assert_int_equal(w.open_sockets, 1);
	dns_cancel(&o.slot);
	assert_int_equal(w.open_sockets, 0);
	assert_int_equal(dns_count(w.dns).in_flight, 0);
	dns_world_run(&w);
	assert_int_equal(o.calls, 0);
	dns_world_fini(&w);
}

static void cancelled_during_tcp(void **state)
{
	static const struct dns_rule rules[] = {
		{ .records = "example.com 300 MX 1 mx.example.", .truncated = true, .delay_ms = 5 }
	};
	struct dns_world w;

	(void)state;
	for (int64_t at = 0; at < 10; at++) {
		struct dns_outcome o = { 0 };

		start(&w, rules, 1);
		dns_world_find_mx(&w, "example.com", &o);
		dns_world_run_until(&w, at);
		dns_cancel(&o.slot);
		dns_world_run(&w);
		assert_int_equal(o.calls, 0);
		dns_world_fini(&w);
	}
}

static void cancel_the_other(struct dns_outcome *o)
{
	struct dns_outcome *other = o->with;

	dns_cancel(&other->slot);
}

static void a_callback_may_cancel_another_that_is_due(void **state)
{
	static const struct dns_rule rules[] = { GOOD };
	struct dns_world w;
	struct dns_outcome a = { .then = cancel_the_other }, b = { .then = cancel_the_other };

	(void)state;
	a.with = &b;
	b.with = &a;
	start(&w, rules, 1);
	dns_world_find_mx(&w, "example.com", &a);
	dns_world_find_mx(&w, "example.com", &b);
	dns_world_run(&w);
	assert_int_equal(a.calls, 1);
	assert_int_equal(b.calls, 0);
	dns_world_fini(&w);
}

static void free_everything(struct dns_outcome *o)
{
	dns_free(&o->world->dns);
}

static void a_callback_may_free_the_resolver(void **state)
{
	static const struct dns_rule rules[] = { GOOD };
	struct dns_world w;
	struct dns_outcome o = { .then = free_everything }, same = { 0 }, other = { 0 };

	(void)state;
	start(&w, rules, 1);
	dns_world_find_mx(&w, "example.com", &o);
	dns_world_find_mx(&w, "example.com", &same);
	dns_world_find_mx(&w, "example.net", &other);
	dns_world_run(&w);
	assert_int_equal(o.calls, 1);
	assert_int_equal(same.calls, 0);
	assert_int_equal(other.calls, 0);
	assert_null(same.slot);
	assert_null(other.slot);
	dns_world_fini(&w);
}

static void ask_again(struct dns_outcome *o)
{
	o->then = NULL;
	o->calls = 0;
	dns_world_find_mx(o->world, "example.com", o);
}

static void a_callback_may_ask_again_and_hears_in_a_later_turn(void **state)
{
	static const struct dns_rule rules[] = { GOOD };
	struct dns_world w;
	struct dns_outcome o = { .then = ask_again };

	(void)state;
	start(&w, rules, 1);
	dns_world_find_mx(&w, "example.com", &o);
	dns_world_run(&w);
	assert_int_equal(o.calls, 1);
	assert_int_equal(questions(&w), 1);
	assert_int_equal(dns_count(w.dns).cache_hits, 1);
	dns_world_fini(&w);
}

static void freeing_the_resolver_forgets_lookups(void **state)
{
	static const struct dns_rule rules[] = { GOOD };
	struct dns_world w;
	struct dns_outcome mx = { 0 }, both = { 0 }, local = { 0 };

	(void)state;
	start(&w, rules, 1);
	dns_world_find_mx(&w, "example.com", &mx);
	dns_world_find(&w, "example.com", DNS_ANY, &both);
	dns_world_find(&w, "127.0.0.1", DNS_ANY, &local);
	dns_free(&w.dns);
	assert_null(mx.slot);
	assert_null(both.slot);
	assert_null(local.slot);
	dns_world_run(&w);
	assert_int_equal(mx.calls + both.calls + local.calls, 0);
	dns_world_fini(&w);
}

static void more_questions_than_the_limit_wait_in_order(void **state)
{
	static const struct dns_rule rules[] = { { .rcode = 3, .delay_ms = 10 } };
	struct dns_options options = { .server_count = 1, .max_in_flight = 2 };
	struct dns_world w;
	struct dns_outcome o[7] = { { 0 } };

	(void)state;
	dns_world_init(&w, rules, 1, &options);
	for (unsigned i = 0; i < ARRAY_LEN(o); i++)
		find_one(&w, i, &o[i]);
	assert_int_equal(dns_count(w.dns).in_flight, 2);
	dns_cancel(&o[3].slot); /* while it waits */
	dns_world_run(&w);
	assert_int_equal(w.most_sockets, 2);
	assert_string_equal(dns_world_log(&w),
	                    "0 #0 udp MX d0.example\n0 #0 udp MX d1.example\n10 #0 udp MX d2.example\n"
	                    "10 #0 udp MX d4.example\n20 #0 udp MX d5.example\n20 #0 udp MX d6.example\n");
	assert_int_equal(o[3].calls, 0);
	assert_int_equal(o[6].calls, 1);
	dns_world_fini(&w);
}

/* The time of a question begins when it is asked, not when it waits. */
static void waiting_for_a_place_costs_no_time(void **state)
{
	static const struct dns_rule rules[] = {
		{ .name = "d0.example", .does = DNS_IS_SILENT },
		{ .rcode = 3, .delay_ms = 4000 },
	};
	struct dns_options options = { .server_count = 1, .max_in_flight = 1, .timeout_ms = 5000 };
	struct dns_world w;
	struct dns_outcome a = { 0 }, b = { 0 };

	(void)state;
	dns_world_init(&w, rules, ARRAY_LEN(rules), &options);
	find_one(&w, 0, &a);
	find_one(&w, 1, &b);
	dns_world_run(&w);
	assert_int_equal(a.err, ERR_TIMEOUT);
	assert_int_equal(a.done_at, 5000);
	assert_int_equal(b.err, ERR_NOT_FOUND);
	assert_int_equal(b.done_at, 9000);
	dns_world_fini(&w);
}

static void very_many_questions_without_a_server_end_without_recursion(void **state)
{
	struct dns_options options = { .server_count = 0, .max_in_flight = 1 };
	struct dns_world w;
	struct dns_outcome *o = calloc(2000, sizeof(*o));

	(void)state;
	assert_non_null(o);
	dns_world_init(&w, NULL, 0, &options);
	for (unsigned i = 0; i < 2000; i++)
		find_one(&w, i, &o[i]);
	dns_world_run(&w);
	for (unsigned i = 0; i < 2000; i++)
		assert_int_equal(o[i].err, ERR_TEMPORARY);
	dns_world_fini(&w);
	free(o);
}

static void is_found_or_fails(const struct dns_outcome *o, const char *text)
{
	if (o->calls == 0)
		assert_int_equal(o->err, ERR_NOMEM); /* as the lookup began */
	else if (o->err)
		assert_true(o->err == ERR_NOMEM || o->err == ERR_TIMEOUT || o->err == ERR_TEMPORARY);
	else if (o->text[0])
		assert_string_equal(o->text, text);
}

/* The room's own allocations: those inside ldns are not reached. */
static void no_failed_allocation_does_harm(void **state)
{
	static const struct dns_rule rules[] = {
		{ .name = "example.com",
		  .type = "MX",
		  .way = DNS_UDP,
		  .records = "example.com 60 CNAME a.example." },
		{ .name = "a.example", .way = DNS_UDP, .truncated = true },
		{ .name = "a.example", .records = "a.example 60 MX 1 mx.example." },
		{ .name = "mx.example", .type = "A", .records = "mx.example 60 A 198.51.100.1" },
		{ .name = "mx.example", .records = "mx.example 60 AAAA 2001:db8::1" },
	};
	unsigned runs = 0;

	(void)state;
	for (EACH_ALLOC_FAILING) {
		struct dns_outcome mx = { 0 }, both = { 0 }, again = { 0 }, local = { 0 };
		struct dns_world w;
		struct dns_options options;

		dns_world_init_without(&w, rules, ARRAY_LEN(rules));
		options = dns_world_options(&w, 2);
		options.statics = statics;
		options.static_count = ARRAY_LEN(statics);
		enum err err = dns_new(&options, &w.dns);

		assert_true(err == ERR_OK || err == ERR_NOMEM);
		if (!err) {
			dns_world_find_mx(&w, "example.com", &mx);
			dns_world_find(&w, "mx.example", DNS_ANY, &both);
			dns_world_find(&w, "mail.internal.example", DNS_ANY, &local);
			dns_world_run(&w);
			dns_world_find(&w, "mx.example", DNS_ANY, &again);
			err = dns_configure(w.dns, &options);
			assert_true(err == ERR_OK || err == ERR_NOMEM);
			dns_world_run(&w);
			is_found_or_fails(&mx, "1 mx.example of a.example");
			is_found_or_fails(&again, "2001:db8::1 198.51.100.1");
			is_found_or_fails(&local, "127.0.0.7 2001:db8::7");
		}
		dns_world_fini(&w);
		runs++;
	}
	print_message("  %u runs\n", runs);
	assert_in_range(runs, 20, 1000);
}

static void counters_count(void **state)
{
	static const struct dns_rule rules[] = {
		{ .name = "d0.example", .does = DNS_IS_SILENT },
		{ .name = "d1.example", .rcode = 2 },
		{ .rcode = 3, .records = SOA("example", "60", "60") },
	};
	struct dns_world w;
	struct dns_outcome o[3] = { { 0 } };

	(void)state;
	start(&w, rules, ARRAY_LEN(rules));
	for (unsigned i = 0; i < ARRAY_LEN(o); i++)
		find_one(&w, i, &o[i]);
	dns_world_run(&w);
	struct dns_counts c = dns_count(w.dns);

	assert_int_equal(c.queries, 5); /* three times in vain */
	assert_int_equal(c.answers, 2);
	assert_int_equal(c.timeouts, 1);
	assert_int_equal(c.servfails, 1);
	assert_int_equal(c.cache_entries, 1);
	assert_int_equal(c.in_flight, 0);
	dns_world_fini(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mx_hosts_are_what_the_rfcs_say),
		cmocka_unit_test(chains_have_ten_links_at_most),
		cmocka_unit_test(of_very_many_mx_the_most_preferred_are_kept),
		cmocka_unit_test(addresses_of_both_families_are_found),
		cmocka_unit_test(what_is_known_here_is_not_asked_for),
		cmocka_unit_test(mx_of_what_is_known_here),
		cmocka_unit_test(a_static_name_is_enough_without_any_server),
		cmocka_unit_test(what_is_no_name_is_refused_at_once),
		cmocka_unit_test(the_ad_bit_counts_from_those_who_are_trusted),
		cmocka_unit_test(one_insecure_link_makes_a_chain_insecure),
		cmocka_unit_test(an_insecure_link_and_a_secure_end_are_insecure),
		cmocka_unit_test(addresses_are_secure_when_those_of_a_family_are),
		cmocka_unit_test(answers_are_kept_as_long_as_they_say),
		cmocka_unit_test(a_link_shortens_how_long_its_end_is_kept),
		cmocka_unit_test(a_cached_end_of_a_chain_shortens_what_is_kept),
		cmocka_unit_test(the_cache_keeps_to_its_size_and_gives_up_the_least_used),
		cmocka_unit_test(new_servers_begin_with_an_empty_cache),
		cmocka_unit_test(lookups_in_flight_outlive_a_reconfiguration_and_are_not_joined),
		cmocka_unit_test(equal_questions_in_flight_are_asked_once),
		cmocka_unit_test(cancelling_one_leaves_the_others),
		cmocka_unit_test(a_question_nobody_waits_for_is_given_up),
		cmocka_unit_test(cancelled_during_tcp),
		cmocka_unit_test(a_callback_may_cancel_another_that_is_due),
		cmocka_unit_test(a_callback_may_free_the_resolver),
		cmocka_unit_test(a_callback_may_ask_again_and_hears_in_a_later_turn),
		cmocka_unit_test(freeing_the_resolver_forgets_lookups),
		cmocka_unit_test(more_questions_than_the_limit_wait_in_order),
		cmocka_unit_test(waiting_for_a_place_costs_no_time),
		cmocka_unit_test(very_many_questions_without_a_server_end_without_recursion),
		cmocka_unit_test(counters_count),
		cmocka_unit_test(no_failed_allocation_does_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
