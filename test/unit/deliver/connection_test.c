/* From a target to a connection, in the simulated world: names, hosts, addresses, what is tried next and
 * what is said in the end. */
#include <postrider/sim.h>

#include "support/check.h"
#include "support/deliver_world.h"

#define DIRECT "routes: [{to: any, via: direct}]\n"

/* A server that takes whatever comes, one message after the other. */
#define TAKES                            \
	"S: 220 mx ESMTP\n"              \
	"C: EHLO relay.example\n"        \
	"S: 250-mx\n"                    \
	"S: 250 PIPELINING\n"            \
	"again:\n"                       \
	"C: MAIL FROM:<s@example.org>\n" \
	"S: 250 2.1.0 ok\n"              \
	"C: RCPT TO:*\n"                 \
	"S: 250 2.1.5 ok\n"              \
	"C: DATA\n"                      \
	"S: 354 go\n"                    \
	"D:\n"                           \
	"S: 250 2.0.0 taken\n"           \
	"repeat\n"

#define GREETS(reply) "S: " reply "\n"

static void message_goes_to_the_mx(void **state)
{
	struct deliver_world w = { 0 };
	struct sim_peer *mx;

	(void)state;
	deliver_world_open(&w, DIRECT,
	                   "example.net. 300 MX 10 mx.example.net.\n"
	                   "mx.example.net. 300 A 192.0.2.1\n");
	mx = deliver_world_peer(&w, "192.0.2.1:25", TAKES);
	deliver_world_deliver(&w, "example.net", CONFIG_TLS_NONE, 1,
	                      "a: delivered 250 2.0.0 dot mx.example.net 192.0.2.1:25 ~250 2.0.0 taken\n"
	                      "done\n"
	                      "closed\n");
	CHECK_TEXT("message", sim_peer_message(mx, 0),
	           TEXT("Received: by relay.example\r\nSubject: x\r\n\r\nhello\r\n"));
	assert_int_equal(sim_peer_wrong_lines(mx), 0);
	deliver_world_close(&w);
}

static void connection_carries_many_messages(void **state)
{
	struct deliver_world w = { 0 };
	struct sim_peer *mx;
	struct courier c = { .to_send = 50 };

	(void)state;
	deliver_world_open(&w, DIRECT,
	                   "example.net. 300 MX 10 mx.example.net.\n"
	                   "mx.example.net. 300 A 192.0.2.1\n");
	mx = deliver_world_peer(&w, "192.0.2.1:25", TAKES);
	courier_open(&c, &w, "example.net", CONFIG_TLS_NONE);
	assert_true(sim_run_until(w.sim, &c.closed, 60000));
	assert_int_equal(sim_peer_messages(mx), 50);
	assert_int_equal(sim_peer_connections(mx), 1);
	assert_int_equal(sim_peer_wrong_lines(mx), 0);
	assert_int_equal(observe_counters(w.observe)->delivery_connections, 1);
	assert_int_equal(observe_counters(w.observe)->delivery_connections_reused, 49);
	courier_fini(&c);
	deliver_world_close(&w);
}

/* ---------------------------------------------------------------- names */

/* clang-format off */
static const struct {
	const char *name, *zone, *domain, *expected;
} name_cases[] = {
	{ "no such domain", "", "example.net", "failed: permanent 0 5.1.2 no_such_domain connect ~does not exist\nclosed\n" },
	{ "null MX", "example.net. 300 MX 0 .\n", "example.net", "failed: permanent 0 5.1.10 null_mx ~takes no mail\nclosed\n" },
	{ "SERVFAIL", "example.net. SERVFAIL\n", "example.net", "failed: transient 0 4.4.3 dns ~SERVFAIL\nclosed\n" },
	{ "silence", "example.net. SILENCE\n", "example.net", "failed: transient 0 4.4.3 dns\nclosed\n" },
	{ "neither MX nor address", "example.net. 300 TXT x\n", "example.net", "failed: permanent 0 5.1.2 no_mx ~neither a mail host nor an address\nclosed\n" },
	{ "implicit MX", "example.net. 300 A 192.0.2.1\n", "example.net", "a: delivered example.net 192.0.2.1:25\ndone\nclosed\n" },
	{ "implicit MX behind a CNAME", "example.net. 300 CNAME host.example.net.\nhost.example.net. 300 A 192.0.2.1\n", "example.net", "a: delivered 192.0.2.1:25\ndone\nclosed\n" },
	{ "MX without an address", "example.net. 300 MX 10 mx.example.net.\n", "example.net", "failed: permanent 0 5.4.4 no_mx ~mx.example.net of example.net has no address\nclosed\n" },
	{ "an MX whose target fails is no reason for the A record", "example.net. 300 MX 10 mx.example.net.\nexample.net. 300 A 192.0.2.1\n", "example.net", "failed: permanent 0 5.4.4 no_mx\nclosed\n" },
	{ "one MX without an address, one unknown for now", "example.net. 300 MX 10 mx1.example.net.\nexample.net. 300 MX 20 mx2.example.net.\nmx2.example.net. SERVFAIL\n", "example.net", "failed: transient 0 4.4.3 dns ~no address of mx2.example.net\nclosed\n" },
	{ "next MX when the first has no address", "example.net. 300 MX 10 gone.example.net.\nexample.net. 300 MX 20 mx.example.net.\nmx.example.net. 300 A 192.0.2.1\n", "example.net", "a: delivered mx.example.net\ndone\nclosed\n" },
	{ "we are the best", "example.net. 300 MX 10 relay.example.\nexample.net. 300 MX 20 mx.example.net.\nmx.example.net. 300 A 192.0.2.1\n", "example.net", "failed: permanent 0 5.4.6 no_mx ~would come back to us\nclosed\n" },
	{ "not a name", "", "exa mple", "failed: permanent 0 5.1.2 no_such_domain\nclosed\n" },
	{ "a literal", "", "[192.0.2.1]", "a: delivered [192.0.2.1] 192.0.2.1:25\ndone\nclosed\n" },
	{ "not a literal", "", "[192.0.2.]", "failed: permanent 0 5.1.2\nclosed\n" },
};
/* clang-format on */

static void names_lead_to_hosts_or_to_a_reason(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(name_cases); i++) {
		struct deliver_world w = { 0 };

		print_message("%s\n", name_cases[i].name);
		deliver_world_open(&w, DIRECT, name_cases[i].zone);
		deliver_world_peer(&w, "192.0.2.1:25", TAKES);
		deliver_world_deliver(&w, name_cases[i].domain, CONFIG_TLS_NONE, 1, name_cases[i].expected);
		deliver_world_close(&w);
	}
}

/* ---------------------------------------------------------------- where direct delivery does not go */

static void private_addresses_are_refused_unless_listed(void **state)
{
	static const char zone[] = "example.net. 300 MX 10 mx.example.net.\n"
				   "mx.example.net. 300 A 10.1.2.3\n";
	struct deliver_world w = { 0 };

	(void)state;
	deliver_world_open(&w, DIRECT, zone);
	deliver_world_peer(&w, "10.1.2.3:25", TAKES);
	deliver_world_deliver(
		&w, "example.net", CONFIG_TLS_NONE, 1,
		"failed: permanent 0 5.4.4 policy ~mx.example.net [10.1.2.3] is not used: a private address\n"
		"closed\n");
	deliver_world_configure(&w, DIRECT "direct: {allow_private: [10.1.0.0/16]}\n");
	deliver_world_deliver(&w, "example.net", CONFIG_TLS_NONE, 1,
	                      "a: delivered 10.1.2.3:25\ndone\nclosed\n");
	deliver_world_close(&w);
}

static void private_address_beside_a_public_one_is_passed_over(void **state)
{
	struct deliver_world w = { 0 };

	(void)state;
	deliver_world_open(&w, DIRECT,
	                   "example.net. 300 MX 10 mx.example.net.\n"
	                   "mx.example.net. 300 A 10.1.2.3\n"
	                   "mx.example.net. 300 A 192.0.2.1\n");
	deliver_world_peer(&w, "192.0.2.1:25", TAKES);
	deliver_world_deliver(&w, "example.net", CONFIG_TLS_NONE, 1,
	                      "a: delivered 192.0.2.1:25\ndone\nclosed\n");
	deliver_world_close(&w);
}

static void our_own_address_cuts_the_hosts_behind_it(void **state)
{
	struct deliver_world w = { 0 };

	(void)state;
	deliver_world_open(&w, DIRECT "direct: {source: [198.51.100.9]}\n",
	                   "example.net. 300 MX 10 us.example.net.\n"
	                   "example.net. 300 MX 20 mx.example.net.\n"
	                   "us.example.net. 300 A 198.51.100.9\n"
	                   "mx.example.net. 300 A 192.0.2.1\n");
	deliver_world_peer(&w, "192.0.2.1:25", TAKES);
	deliver_world_deliver(&w, "example.net", CONFIG_TLS_NONE, 1,
	                      "failed: permanent 0 5.4.6 policy ~our own address\n"
	                      "closed\n");
	deliver_world_close(&w);
}

static void addresses_of_this_machine_are_ours(void **state)
{
	static const struct ip own[] = { { IP_V4, { 203, 0, 113, 4 } } };
	struct deliver_world w = { .own = own, .own_count = 1 };

	(void)state;
	deliver_world_open(&w, DIRECT,
	                   "example.net. 300 MX 10 mx.example.net.\n"
	                   "example.net. 300 MX 20 us.example.net.\n"
	                   "example.net. 300 MX 30 third.example.net.\n"
	                   "mx.example.net. 300 A 192.0.2.1\n"
	                   "us.example.net. 300 A 203.0.113.4\n"
	                   "third.example.net. 300 A 192.0.2.3\n");
	deliver_world_peer(&w, "192.0.2.1:25", TAKES);
	deliver_world_peer(&w, "192.0.2.3:25", TAKES);
	deliver_world_deliver(&w, "example.net", CONFIG_TLS_NONE, 1,
	                      "a: delivered 192.0.2.1:25\ndone\nclosed\n");
	/* while that one is away the mail waits: the third is less preferred than we are */
	deliver_world_reach(&w, "192.0.2.1:25", SIM_REFUSED);
	deliver_world_deliver(&w, "example.net", CONFIG_TLS_NONE, 1,
	                      "failed: transient 0 4.4.1 connect 192.0.2.1:25\nclosed\n");
	deliver_world_close(&w);
}

static void loopback_mx_is_passed_over(void **state)
{
	struct deliver_world w = { 0 };

	(void)state;
	deliver_world_open(&w, DIRECT,
	                   "example.net. 300 MX 10 localhost.example.net.\n"
	                   "example.net. 300 MX 20 mx.example.net.\n"
	                   "localhost.example.net. 300 A 127.0.0.1\n"
	                   "mx.example.net. 300 A 192.0.2.1\n");
	deliver_world_peer(&w, "192.0.2.1:25", TAKES);
	deliver_world_deliver(&w, "example.net", CONFIG_TLS_NONE, 1,
	                      "a: delivered 192.0.2.1:25\ndone\nclosed\n");
	deliver_world_close(&w);
}

static void upstream_may_be_anywhere(void **state)
{
	struct deliver_world w = { 0 };

	(void)state;
	deliver_world_open(
		&w,
		"upstreams: {up: {hosts: [\"10.1.2.3:2525\"], tls: none}}\nroutes: [{to: any, via: up}]\n",
		"");
	deliver_world_peer(&w, "10.1.2.3:2525", TAKES);
	deliver_world_deliver(&w, "upstream up", CONFIG_TLS_NONE, 1,
	                      "a: delivered 10.1.2.3 10.1.2.3:2525\ndone\nclosed\n");
	deliver_world_close(&w);
}

static void upstream_without_an_address_may_have_one_later(void **state)
{
	struct deliver_world w = { 0 };

	(void)state;
	deliver_world_open(
		&w,
		"upstreams: {up: {hosts: [\"up.example:25\"], tls: none}}\nroutes: [{to: any, via: up}]\n",
		"");
	deliver_world_deliver(&w, "upstream up", CONFIG_TLS_NONE, 1,
	                      "failed: transient 0 4.4.4 dns\nclosed\n");
	deliver_world_close(&w);
}

/* ---------------------------------------------------------------- the next address, the next host */

#define TWO_HOSTS                                   \
	"example.net. 300 MX 10 one.example.net.\n" \
	"example.net. 300 MX 20 two.example.net.\n" \
	"one.example.net. 300 A 192.0.2.1\n"        \
	"two.example.net. 300 A 192.0.2.2\n"

/* clang-format off */
static const struct {
	const char *name;
	enum sim_reach reach;
	const char *script;              /* of the first host */
	enum config_tls tls;
} first_host_cases[] = {
	{ "refuses the connection", SIM_REFUSED, NULL, CONFIG_TLS_NONE },
	{ "cannot be reached", SIM_UNREACHABLE, NULL, CONFIG_TLS_NONE },
	{ "does not answer", SIM_SILENT, NULL, CONFIG_TLS_NONE },
	{ "is busy", SIM_REACHABLE, GREETS("421 busy"), CONFIG_TLS_NONE },
	{ "does not want us", SIM_REACHABLE, GREETS("554 go away"), CONFIG_TLS_NONE },
	{ "says nothing", SIM_REACHABLE, "after 400 s\n", CONFIG_TLS_NONE },
	{ "drops", SIM_REACHABLE, "S: drops\n", CONFIG_TLS_NONE },
	{ "speaks something else", SIM_REACHABLE, GREETS("HTTP/1.1 400 Bad Request"), CONFIG_TLS_NONE },
	{ "refuses EHLO for now", SIM_REACHABLE, "S: 220 mx\nC: EHLO *\nS: 451 later\n", CONFIG_TLS_NONE },
	{ "refuses EHLO and HELO", SIM_REACHABLE, "S: 220 mx\nC: EHLO *\nS: 550 no\nC: HELO *\nS: 550 no\n", CONFIG_TLS_NONE },
	{ "always drops at EHLO", SIM_REACHABLE, "S: 220 mx\nC: *\nS: drops\n", CONFIG_TLS_NONE },
};
/* clang-format on */

static void next_host_takes_over_when_the_first(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(first_host_cases); i++) {
		struct deliver_world w = { 0 };

		print_message("%s\n", first_host_cases[i].name);
		deliver_world_open(&w, DIRECT, TWO_HOSTS);
		if (first_host_cases[i].script)
			deliver_world_peer(&w, "192.0.2.1:25", first_host_cases[i].script);
		deliver_world_peer(&w, "192.0.2.2:25", TAKES);
		deliver_world_reach(&w, "192.0.2.1:25", first_host_cases[i].reach);
		deliver_world_deliver(&w, "example.net", first_host_cases[i].tls, 1,
		                      "a: delivered two.example.net 192.0.2.2:25\ndone\nclosed\n");
		deliver_world_close(&w);
	}
}

static void both_families_are_tried_in_turn(void **state)
{
	struct deliver_world w = { 0 };

	(void)state;
	deliver_world_open(&w, DIRECT,
	                   "example.net. 300 MX 10 mx.example.net.\n"
	                   "mx.example.net. 300 A 192.0.2.1\n"
	                   "mx.example.net. 300 AAAA 2001:db8::1\n");
	deliver_world_peer(&w, "[2001:db8::1]:25", TAKES);
	deliver_world_peer(&w, "192.0.2.1:25", TAKES);
	deliver_world_deliver(&w, "example.net", CONFIG_TLS_NONE, 1,
	                      "a: delivered [2001:db8::1]:25\ndone\nclosed\n");
	deliver_world_reach(&w, "[2001:db8::1]:25", SIM_UNREACHABLE);
	deliver_world_deliver(&w, "example.net", CONFIG_TLS_NONE, 1,
	                      "a: delivered 192.0.2.1:25\ndone\nclosed\n");
	deliver_world_close(&w);
}

static void where_ipv6_leads_nowhere_ipv4_goes_first_for_a_while(void **state)
{
	static const char zone[] = "one.net. 300 A 192.0.2.1\none.net. 300 AAAA 2001:db8::1\n"
				   "two.net. 300 A 192.0.2.2\ntwo.net. 300 AAAA 2001:db8::2\n";
	struct deliver_world w = { 0 };
	int64_t begun_at;

	(void)state;
	deliver_world_open(&w, DIRECT, zone);
	deliver_world_peer(&w, "192.0.2.1:25", TAKES);
	deliver_world_peer(&w, "192.0.2.2:25", TAKES);
	deliver_world_peer(&w, "[2001:db8::2]:25", TAKES);
	deliver_world_reach(&w, "[2001:db8::1]:25", SIM_SILENT);
	begun_at = io_now_at(sim_io(w.sim));
	deliver_world_deliver(&w, "one.net", CONFIG_TLS_NONE, 1, "a: delivered 192.0.2.1:25\ndone\nclosed\n");
	assert_true(io_now_at(sim_io(w.sim)) - begun_at >= 30000);
	deliver_world_deliver(&w, "two.net", CONFIG_TLS_NONE, 1, "a: delivered 192.0.2.2:25\ndone\nclosed\n");
	sim_run(w.sim, 11 * 60 * 1000);
	deliver_world_deliver(&w, "two.net", CONFIG_TLS_NONE, 1,
	                      "a: delivered [2001:db8::2]:25\ndone\nclosed\n");
	deliver_world_close(&w);
}

static void families_are_those_of_our_sources(void **state)
{
	struct deliver_world w = { 0 };

	(void)state;
	deliver_world_open(&w, DIRECT "direct: {source: [198.51.100.9]}\n",
	                   "one.net. 300 A 192.0.2.1\none.net. 300 AAAA 2001:db8::1\n"
	                   "two.net. 300 AAAA 2001:db8::1\n");
	deliver_world_peer(&w, "192.0.2.1:25", TAKES);
	deliver_world_peer(&w, "[2001:db8::1]:25", TAKES);
	deliver_world_deliver(&w, "one.net", CONFIG_TLS_NONE, 1, "a: delivered 192.0.2.1:25\ndone\nclosed\n");
	deliver_world_deliver(
		&w, "two.net", CONFIG_TLS_NONE, 1,
		"failed: transient 0 4.4.1 connect ~no address of a family that we may use\nclosed\n");
	deliver_world_close(&w);
}

static void no_more_than_eight_addresses_in_one_attempt(void **state)
{
	struct deliver_world w = { 0 };
	struct buf zone = BUF(10000);
	struct courier c = { 0 };
	int64_t begun_at;

	(void)state;
	for (unsigned i = 1; i <= 5; i++) {
		buf_add_format(&zone, "example.net. 300 MX %u mx%u.example.net.\n", i, i);
		for (unsigned k = 1; k <= 4; k++)
			buf_add_format(&zone, "mx%u.example.net. 300 A 192.0.2.%u\n", i, i * 10 + k);
	}
	buf_add_octet(&zone, 0);
	deliver_world_open(&w, DIRECT "direct: {timeouts: {connect: 10s}}\n", zone.at);
	for (unsigned i = 1; i <= 5; i++)
		for (unsigned k = 1; k <= 4; k++)
			assert_int_equal(
				sim_set_reach(w.sim,
			                      (struct ip_port){ ip_from_v4(0xC0000200u + i * 10 + k), 25 },
			                      SIM_SILENT),
				ERR_OK);
	begun_at = io_now_at(sim_io(w.sim));
	courier_open(&c, &w, "example.net", CONFIG_TLS_NONE);
	assert_true(sim_run_until(w.sim, &c.closed, 1000000));
	deliver_world_expect(&w, "failed: transient 0 4.4.1 connect connect\nclosed\n");
	assert_in_range(c.closed_at - begun_at, 80000, 81000);
	courier_fini(&c);
	deliver_world_close(&w);
	buf_fini(&zone);
}

/* ---------------------------------------------------------------- what is said in the end */

/* clang-format off */
static const struct {
	const char *name, *one, *two;    /* scripts; NULL: refused */
	const char *expected;
} telling_cases[] = {
	{ "a reply before silence", GREETS("421 4.3.2 busy"), NULL, "failed: transient 421 4.3.2 one.example.net 192.0.2.1:25 ~421 4.3.2 busy\nclosed\n" },
	{ "wherever it came", NULL, GREETS("421 4.3.2 busy"), "failed: transient 421 4.3.2 two.example.net 192.0.2.2:25\nclosed\n" },
	{ "the preferred of two replies", GREETS("421 one"), GREETS("421 two"), "failed: transient 421 one.example.net ~421 one\nclosed\n" },
	{ "final only if all are", GREETS("554 5.7.1 no"), NULL, "failed: transient 554 4.7.1 policy one.example.net\nclosed\n" },
	{ "and then it is", GREETS("554 5.7.1 no"), GREETS("554 5.7.1 never"), "failed: permanent 554 5.7.1 policy one.example.net\nclosed\n" },
	{ "nobody", NULL, NULL, "failed: transient 0 4.4.1 connect connect one.example.net 192.0.2.1:25\nclosed\n" },
};
/* clang-format on */

static void most_telling_failure_is_reported(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(telling_cases); i++) {
		struct deliver_world w = { 0 };

		print_message("%s\n", telling_cases[i].name);
		deliver_world_open(&w, DIRECT, TWO_HOSTS);
		if (telling_cases[i].one)
			deliver_world_peer(&w, "192.0.2.1:25", telling_cases[i].one);
		if (telling_cases[i].two)
			deliver_world_peer(&w, "192.0.2.2:25", telling_cases[i].two);
		deliver_world_deliver(&w, "example.net", CONFIG_TLS_NONE, 1, telling_cases[i].expected);
		deliver_world_close(&w);
	}
}

/* ---------------------------------------------------------------- memory of hosts */

static void dead_host_costs_its_timeout_once(void **state)
{
	struct deliver_world w = { 0 };
	int64_t begun_at;

	(void)state;
	deliver_world_open(&w, DIRECT, TWO_HOSTS);
	deliver_world_peer(&w, "192.0.2.1:25", TAKES);
	deliver_world_peer(&w, "192.0.2.2:25", TAKES);
	deliver_world_reach(&w, "192.0.2.1:25", SIM_SILENT);
	deliver_world_deliver(&w, "example.net", CONFIG_TLS_NONE, 1,
	                      "a: delivered 192.0.2.2:25\ndone\nclosed\n");
	begun_at = io_now_at(sim_io(w.sim));
	deliver_world_deliver(&w, "example.net", CONFIG_TLS_NONE, 1,
	                      "a: delivered 192.0.2.2:25\ndone\nclosed\n");
	assert_true(io_now_at(sim_io(w.sim)) - begun_at < 1000);
	/* it is looked at again after a while, and healed by its first success */
	deliver_world_reach(&w, "192.0.2.1:25", SIM_REACHABLE);
	sim_run(w.sim, 60000);
	deliver_world_deliver(&w, "example.net", CONFIG_TLS_NONE, 1,
	                      "a: delivered 192.0.2.1:25\ndone\nclosed\n");
	deliver_world_deliver(&w, "example.net", CONFIG_TLS_NONE, 1,
	                      "a: delivered 192.0.2.1:25\ndone\nclosed\n");
	deliver_world_close(&w);
}

static void hosts_that_failed_lately_are_tried_when_nothing_else_is_left(void **state)
{
	struct deliver_world w = { 0 };

	(void)state;
	deliver_world_open(&w, DIRECT, TWO_HOSTS);
	deliver_world_peer(&w, "192.0.2.2:25", TAKES);
	deliver_world_reach(&w, "192.0.2.2:25", SIM_REFUSED);
	deliver_world_deliver(&w, "example.net", CONFIG_TLS_NONE, 1, "failed: transient connect\nclosed\n");
	deliver_world_reach(&w, "192.0.2.2:25", SIM_REACHABLE);
	deliver_world_deliver(&w, "example.net", CONFIG_TLS_NONE, 1,
	                      "a: delivered 192.0.2.2:25\ndone\nclosed\n");
	deliver_world_close(&w);
}

static void next_envelope_joins_the_dot_once_the_host_kept_a_connection(void **state)
{
	struct deliver_world w = { 0 };
	struct sim_peer *mx;
	struct text transcript;

	(void)state;
	deliver_world_open(&w, DIRECT,
	                   "example.net. 300 MX 10 mx.example.net.\n"
	                   "mx.example.net. 300 A 192.0.2.1\n");
	mx = deliver_world_peer(&w, "192.0.2.1:25", TAKES);
	deliver_world_deliver(&w, "example.net", CONFIG_TLS_NONE, 2,
	                      "a: delivered\ndone\na: delivered reused\ndone\nclosed\n");
	/* the second connection joins from its first message on: MAIL stands behind the dot before its
	 * reply does */
	deliver_world_deliver(&w, "example.net", CONFIG_TLS_NONE, 2,
	                      "a: delivered\ndone\na: delivered reused\ndone\nclosed\n");
	transcript = sim_peer_transcript(mx);
	assert_int_equal(sim_peer_messages(mx), 4);
	assert_int_equal(sim_peer_wrong_lines(mx), 0);
	assert_true(text_find(transcript, TEXT("C: connects")) < transcript.len);
	deliver_world_close(&w);
}

/* ---------------------------------------------------------------- EHLO, TLS */

static void host_that_drops_at_ehlo_is_asked_with_helo(void **state)
{
	struct deliver_world w = { 0 };
	struct sim_peer *mx;

	(void)state;
	deliver_world_open(&w, DIRECT,
	                   "example.net. 300 MX 10 mx.example.net.\n"
	                   "mx.example.net. 300 A 192.0.2.1\n");
	mx = deliver_world_peer(&w, "192.0.2.1:25", "S: 220 old\nC: EHLO *\nS: drops\n");
	assert_int_equal(
		sim_peer_add_script(mx, "S: 220 old\nC: HELO relay.example\nS: 250 old\n"
	                                "C: MAIL FROM:<s@example.org>\nS: 250 ok\nC: RCPT TO:*\nS: 250 ok\n"
	                                "C: DATA\nS: 354 go\nD:\nS: 250 taken\n"),
		ERR_OK);
	deliver_world_deliver(&w, "example.net", CONFIG_TLS_NONE, 1, "a: delivered\ndone\nclosed\n");
	assert_int_equal(sim_peer_connections(mx), 2);
	/* and at once the next time */
	deliver_world_deliver(&w, "example.net", CONFIG_TLS_NONE, 1, "a: delivered\ndone\nclosed\n");
	assert_int_equal(sim_peer_connections(mx), 3);
	assert_int_equal(sim_peer_wrong_lines(mx), 0);
	deliver_world_close(&w);
}

#define STARTTLS_SCRIPT           \
	"S: 220 mx\n"             \
	"C: EHLO relay.example\n" \
	"S: 250-mx\n"             \
	"S: 250 STARTTLS\n"       \
	"C: STARTTLS\n"           \
	"S: 220 go\n"             \
	"tls\n"

#define PLAIN_MESSAGE                    \
	"C: EHLO relay.example\n"        \
	"S: 250 mx\n"                    \
	"C: MAIL FROM:<s@example.org>\n" \
	"S: 250 ok\n"                    \
	"C: RCPT TO:*\n"                 \
	"S: 250 ok\n"                    \
	"C: DATA\n"                      \
	"S: 354 go\n"                    \
	"D:\n"                           \
	"S: 250 taken\n"

#define ONE_MX "example.net. 300 MX 10 mx.example.net.\nmx.example.net. 300 A 192.0.2.1\n"

static void tls_is_recorded(void **state)
{
	struct deliver_world w = { 0 };

	(void)state;
	deliver_world_open(&w, DIRECT, ONE_MX);
	deliver_world_peer(&w, "192.0.2.1:25", STARTTLS_SCRIPT PLAIN_MESSAGE);
	deliver_world_deliver(&w, "example.net", CONFIG_TLS_OPPORTUNISTIC, 1,
	                      "a: delivered TLSv1.3\ndone\nclosed\n");
	assert_int_equal(observe_counters(w.observe)->tls_sessions_out[EVENT_PROOF_NONE - 1], 1);
	deliver_world_close(&w);
}

static void failed_handshake_leads_to_plain_text_on_a_new_connection(void **state)
{
	struct deliver_world w = { .client_tls.handshake_fails = true };
	struct sim_peer *mx;

	(void)state;
	deliver_world_open(&w, DIRECT, ONE_MX);
	mx = deliver_world_peer(&w, "192.0.2.1:25", STARTTLS_SCRIPT);
	assert_int_equal(sim_peer_add_script(mx, "S: 220 mx\n" PLAIN_MESSAGE), ERR_OK);
	deliver_world_deliver(&w, "example.net", CONFIG_TLS_OPPORTUNISTIC, 1,
	                      "a: delivered 192.0.2.1:25\ndone\nclosed\n");
	assert_int_equal(sim_peer_connections(mx), 2);
	/* remembered: the next one does not try */
	deliver_world_deliver(&w, "example.net", CONFIG_TLS_OPPORTUNISTIC, 1,
	                      "a: delivered 192.0.2.1:25\ndone\nclosed\n");
	assert_int_equal(sim_peer_connections(mx), 3);
	assert_int_equal(sim_peer_wrong_lines(mx), 0);
	deliver_world_close(&w);
}

static void demanded_tls_never_becomes_plain_text(void **state)
{
	struct deliver_world w = { .client_tls.handshake_fails = true };
	struct sim_peer *mx;

	(void)state;
	deliver_world_open(&w, DIRECT, ONE_MX);
	mx = deliver_world_peer(&w, "192.0.2.1:25", STARTTLS_SCRIPT);
	deliver_world_deliver(&w, "example.net", CONFIG_TLS_REQUIRE, 1,
	                      "failed: transient 0 4.7.5 tls starttls mx.example.net 192.0.2.1:25\nclosed\n");
	assert_int_equal(sim_peer_connections(mx), 1);
	deliver_world_close(&w);

	w = (struct deliver_world){ 0 };
	deliver_world_open(&w, DIRECT, ONE_MX);
	deliver_world_peer(&w, "192.0.2.1:25", TAKES);
	deliver_world_deliver(&w, "example.net", CONFIG_TLS_REQUIRE, 1,
	                      "failed: transient 0 4.7.4 tls ehlo\nclosed\n");
	deliver_world_close(&w);
}

static void upstream_must_prove_its_name_where_tls_is_demanded(void **state)
{
	static const char yaml[] =
		"upstreams: {up: {hosts: [\"up.example:25\"], tls: require, verify: true}}\n"
		"routes: [{to: any, via: up}]\n";
	static const char lax[] =
		"upstreams: {up: {hosts: [\"up.example:25\"], tls: require, verify: false}}\n"
		"routes: [{to: any, via: up}]\n";
	struct deliver_world w = { .server_tls.certificate_is_bad = true };

	(void)state;
	deliver_world_open(&w, yaml, "up.example. 300 A 192.0.2.1\n");
	deliver_world_peer(&w, "192.0.2.1:25", STARTTLS_SCRIPT PLAIN_MESSAGE);
	deliver_world_deliver(&w, "upstream up", CONFIG_TLS_REQUIRE, 1,
	                      "failed: transient 0 4.7.5 tls starttls up.example ~certificate\nclosed\n");
	deliver_world_configure(&w, lax);
	deliver_world_deliver(&w, "upstream up", CONFIG_TLS_REQUIRE, 1,
	                      "a: delivered TLSv1.3\ndone\nclosed\n");
	deliver_world_close(&w);
}

/* ---------------------------------------------------------------- times */

static void times_of_the_parts_are_measured(void **state)
{
	struct deliver_world w = { .server_tls.delay_ms = 700 };
	struct courier c = { .to_send = 2 };
	const struct event_ms *first = &c.times[0], *second = &c.times[1];

	(void)state;
	deliver_world_open(&w, DIRECT, ONE_MX);
	deliver_world_peer(
		&w, "192.0.2.1:25",
		"after 2 s\nS: 220 mx\nC: EHLO *\nS: 250-mx\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\ntls\n"
		"C: EHLO *\nS: 250 mx\nagain:\nC: MAIL *\nafter 3 s\nS: 250 ok\nC: RCPT *\nS: 250 ok\n"
		"C: DATA\nS: 354 go\nD:\nafter 5 s\nS: 250 taken\nrepeat\n");
	courier_open(&c, &w, "example.net", CONFIG_TLS_OPPORTUNISTIC);
	assert_true(sim_run_until(w.sim, &c.closed, 60000));
	assert_int_equal(c.done, 2);
	assert_in_range(first->dns, 1, 100);
	assert_in_range(first->connect, 2000, 2100);
	assert_in_range(first->tls, 700, 1600);
	assert_in_range(first->envelope, 3000, 3100);
	assert_in_range(first->data, 5000, 5100);
	assert_int_equal(first->total,
	                 first->dns + first->connect + first->tls + first->envelope + first->data);
	assert_int_equal(second->dns, -1);
	assert_int_equal(second->connect, -1);
	assert_int_equal(second->tls, -1);
	assert_in_range(second->envelope, 3000, 3100);
	assert_in_range(second->data, 5000, 5100);
	assert_int_equal(second->total, second->envelope + second->data);
	courier_fini(&c);
	deliver_world_close(&w);
}

/* ---------------------------------------------------------------- the end of a connection */

static void abort_while_names_are_looked_up(void **state)
{
	struct deliver_world w = { 0 };
	struct courier c = { .to_send = 1 };

	(void)state;
	deliver_world_open(&w, DIRECT, "example.net. SILENCE\n");
	courier_open(&c, &w, "example.net", CONFIG_TLS_NONE);
	sim_run(w.sim, 100);
	assert_false(c.closed);
	deliver_abort(c.connection);
	assert_false(c.closed);
	sim_run(w.sim, 100);
	assert_true(c.closed && !c.failed);
	deliver_world_expect(&w, "closed\n");
	courier_fini(&c);
	deliver_world_close(&w);
}

static void abort_and_finish_while_connecting(void **state)
{
	(void)state;
	for (unsigned finish = 0; finish < 2; finish++) {
		struct deliver_world w = { 0 };
		struct courier c = { .to_send = 1 };

		deliver_world_open(&w, DIRECT, ONE_MX);
		deliver_world_reach(&w, "192.0.2.1:25", SIM_SILENT);
		courier_open(&c, &w, "example.net", CONFIG_TLS_NONE);
		sim_run(w.sim, 1000);
		assert_false(c.closed);
		if (finish)
			deliver_finish(c.connection);
		else
			deliver_abort(c.connection);
		sim_run(w.sim, 100);
		assert_true(c.closed && !c.failed);
		courier_fini(&c);
		deliver_world_close(&w);
	}
}

static void abort_in_the_middle_of_a_message(void **state)
{
	struct deliver_world w = { 0 };
	struct courier c = { .to_send = 1, .recipients = "a b" };

	(void)state;
	deliver_world_open(&w, DIRECT, ONE_MX);
	deliver_world_peer(&w, "192.0.2.1:25", "S: 220 mx\nC: EHLO *\nS: 250 mx\nC: MAIL *\nafter 500 s\n");
	courier_open(&c, &w, "example.net", CONFIG_TLS_NONE);
	sim_run(w.sim, 1000);
	assert_int_equal(deliver_in_flight(c.connection), 1);
	deliver_abort(c.connection);
	deliver_world_expect(&w, "");
	sim_run(w.sim, 2000);
	deliver_world_expect(&w, "a: transient 0 4.4.2 other mail\nb: transient 0 4.4.2\ndone\nclosed\n");
	courier_fini(&c);
	deliver_world_close(&w);
}

static void message_given_to_a_connection_that_just_ended_is_untouched(void **state)
{
	struct deliver_world w = { 0 };
	struct courier c = { .to_send = 1, .keep_open = true };

	(void)state;
	deliver_world_open(&w, DIRECT, ONE_MX);
	deliver_world_peer(&w, "192.0.2.1:25", TAKES);
	courier_open(&c, &w, "example.net", CONFIG_TLS_NONE);
	sim_run(w.sim, 1000);
	deliver_world_expect(&w, "a: delivered\ndone\n");
	sim_cut(w.sim, (struct ip_port){ ip_from_v4(0xC0000201u), 25 });
	assert_true(deliver_is_ready(c.connection)); /* it does not know yet */
	c.to_send = 2;
	courier_give(&c);
	deliver_world_expect(&w, "");
	sim_run(w.sim, 1000);
	deliver_world_expect(&w, "a: transient 0 4.4.2 untouched reused\ndone\nclosed\n");
	assert_false(c.failed);
	courier_fini(&c);
	deliver_world_close(&w);
}

static void message_given_after_the_end_was_asked_for_is_untouched(void **state)
{
	struct deliver_world w = { 0 };
	struct courier c = { .to_send = 1, .keep_open = true };

	(void)state;
	deliver_world_open(&w, DIRECT, ONE_MX);
	deliver_world_peer(&w, "192.0.2.1:25", TAKES);
	courier_open(&c, &w, "example.net", CONFIG_TLS_NONE);
	sim_run(w.sim, 1000);
	deliver_world_expect(&w, "a: delivered\ndone\n");
	deliver_abort(c.connection);
	courier_give_anyway(&c);
	deliver_world_expect(&w, "");
	sim_run(w.sim, 1000);
	deliver_world_expect(&w, "a: transient 0 4.4.2 untouched\ndone\nclosed\n");
	courier_fini(&c);
	deliver_world_close(&w);
}

static void idle_connection_closes_when_the_peer_does(void **state)
{
	struct deliver_world w = { 0 };
	struct courier c = { .to_send = 1, .keep_open = true };

	(void)state;
	deliver_world_open(&w, DIRECT, ONE_MX);
	deliver_world_peer(&w, "192.0.2.1:25",
	                   "S: 220 mx\n" PLAIN_MESSAGE "after 30 s\nS: 421 idle\nS: drops\n");
	courier_open(&c, &w, "example.net", CONFIG_TLS_NONE);
	sim_run(w.sim, 10000);
	deliver_world_expect(&w, "a: delivered\ndone\n");
	assert_false(c.closed);
	sim_run(w.sim, 40000);
	deliver_world_expect(&w, "closed\n");
	assert_false(c.failed);
	courier_fini(&c);
	deliver_world_close(&w);
}

static void reload_ends_connections_when_they_are_idle(void **state)
{
	struct deliver_world w = { 0 };
	struct courier idle = { .to_send = 1, .keep_open = true }, opening = { .to_send = 5 };

	(void)state;
	deliver_world_open(&w, DIRECT, ONE_MX);
	deliver_world_peer(&w, "192.0.2.1:25", TAKES);
	courier_open(&idle, &w, "example.net", CONFIG_TLS_NONE);
	sim_run(w.sim, 1000);
	deliver_world_expect(&w, "a: delivered\ndone\n");
	courier_open(&opening, &w, "example.net", CONFIG_TLS_NONE);
	deliver_world_configure(&w, DIRECT);
	assert_false(deliver_is_ready(idle.connection));
	sim_run(w.sim, 5000);
	assert_true(idle.closed && opening.closed);
	assert_int_equal(opening.done, 1); /* it takes what it was opened for, and no more */
	courier_fini(&idle);
	courier_fini(&opening);
	deliver_world_close(&w);
}

static void large_message_arrives_whole(void **state)
{
	struct deliver_world w = { 0 };
	struct courier c = { .to_send = 3, .size = 2000000 };
	struct sim_peer *mx;

	(void)state;
	deliver_world_open(&w, DIRECT, ONE_MX);
	mx = deliver_world_peer(&w, "192.0.2.1:25", TAKES);
	courier_open(&c, &w, "example.net", CONFIG_TLS_NONE);
	assert_true(sim_run_until(w.sim, &c.closed, 600000));
	assert_int_equal(sim_peer_messages(mx), 3);
	for (unsigned i = 0; i < 3; i++)
		CHECK_TEXT("message",
		           text_skip(sim_peer_message(mx, i), strlen("Received: by relay.example\r\n")),
		           courier_content(&c, i));
	assert_int_equal(sim_peer_wrong_lines(mx), 0);
	courier_fini(&c);
	deliver_world_close(&w);
}

/* Long lines that begin with dots: more pieces than one write takes. */
static void message_of_many_pieces_arrives_whole(void **state)
{
	struct deliver_world w = { 0 };
	struct courier c = { .to_send = 2 };
	struct buf text = BUF(1u << 20), expected = BUF(1u << 20);
	struct sim_peer *mx;

	(void)state;
	buf_add_string(&expected, "Received: by relay.example\r\n");
	for (unsigned i = 0; i < 300; i++) {
		char line[701];

		memset(line, 'a' + (int)(i % 26), 700);
		line[700] = 0;
		buf_add_format(&text, ".%s| ", line);
		buf_add_format(&expected, "..%s\r\n", line);
	}
	buf_add_octet(&text, 0);
	/* "|" and the octet behind it are the line end */
	c.text = text.at;
	deliver_world_open(&w, DIRECT, ONE_MX);
	mx = deliver_world_peer(&w, "192.0.2.1:25", TAKES);
	courier_open(&c, &w, "example.net", CONFIG_TLS_NONE);
	assert_true(sim_run_until(w.sim, &c.closed, 600000));
	assert_int_equal(sim_peer_messages(mx), 2);
	for (unsigned i = 0; i < 2; i++)
		CHECK_TEXT("message", sim_peer_message(mx, i), buf_text(&expected));
	courier_fini(&c);
	deliver_world_close(&w);
	buf_fini(&text);
	buf_fini(&expected);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(message_goes_to_the_mx),
		cmocka_unit_test(connection_carries_many_messages),
		cmocka_unit_test(names_lead_to_hosts_or_to_a_reason),
		cmocka_unit_test(private_addresses_are_refused_unless_listed),
		cmocka_unit_test(private_address_beside_a_public_one_is_passed_over),
		cmocka_unit_test(our_own_address_cuts_the_hosts_behind_it),
		cmocka_unit_test(addresses_of_this_machine_are_ours),
		cmocka_unit_test(loopback_mx_is_passed_over),
		cmocka_unit_test(upstream_may_be_anywhere),
		cmocka_unit_test(upstream_without_an_address_may_have_one_later),
		cmocka_unit_test(next_host_takes_over_when_the_first),
		cmocka_unit_test(both_families_are_tried_in_turn),
		cmocka_unit_test(where_ipv6_leads_nowhere_ipv4_goes_first_for_a_while),
		cmocka_unit_test(families_are_those_of_our_sources),
		cmocka_unit_test(times_of_the_parts_are_measured),
		cmocka_unit_test(no_more_than_eight_addresses_in_one_attempt),
		cmocka_unit_test(most_telling_failure_is_reported),
		cmocka_unit_test(dead_host_costs_its_timeout_once),
		cmocka_unit_test(hosts_that_failed_lately_are_tried_when_nothing_else_is_left),
		cmocka_unit_test(next_envelope_joins_the_dot_once_the_host_kept_a_connection),
		cmocka_unit_test(host_that_drops_at_ehlo_is_asked_with_helo),
		cmocka_unit_test(tls_is_recorded),
		cmocka_unit_test(failed_handshake_leads_to_plain_text_on_a_new_connection),
		cmocka_unit_test(demanded_tls_never_becomes_plain_text),
		cmocka_unit_test(upstream_must_prove_its_name_where_tls_is_demanded),
		cmocka_unit_test(abort_while_names_are_looked_up),
		cmocka_unit_test(abort_and_finish_while_connecting),
		cmocka_unit_test(abort_in_the_middle_of_a_message),
		cmocka_unit_test(message_given_to_a_connection_that_just_ended_is_untouched),
		cmocka_unit_test(message_given_after_the_end_was_asked_for_is_untouched),
		cmocka_unit_test(idle_connection_closes_when_the_peer_does),
		cmocka_unit_test(reload_ends_connections_when_they_are_idle),
		cmocka_unit_test(large_message_arrives_whole),
		cmocka_unit_test(message_of_many_pieces_arrives_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
