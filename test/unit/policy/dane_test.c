/* From a mail host to its TLSA records: which names are asked, in which order, and what an answer, an absence or a failure means. */
#include "internal.h"

#include <stdio.h>

#include <postrider/base/time.h>
#include <postrider/sim.h>

#include "support/check.h"

#define SERVER ((struct ip_port){ { IP_V4, { 10, 0, 0, 53 } }, 53 })

struct world {
	struct sim *sim;
	struct sim_names *names;
	struct policy policy;
	struct policy_lookup *slot;
	unsigned calls;
	enum err err;
	struct policy_host *host;
	char problem[512];
};

static void open_world(struct world *w, const char *zone)
{
	static const struct ip_port server = { { IP_V4, { 10, 0, 0, 53 } }, 53 };

	*w = (struct world){ 0 };
	assert_int_equal(sim_new(&(struct sim_options){ .seed = 5 }, &w->sim), ERR_OK);
	assert_int_equal(sim_names_new(w->sim, SERVER, zone, &w->names), ERR_OK);
	w->policy.io = sim_io(w->sim);
	list_init(&w->policy.hosts);
	assert_int_equal(dns_new(&(struct dns_options){ .io = w->policy.io,
	                                                .servers = &server,
	                                                .server_count = 1,
	                                                .trust = DNS_TRUST_ALL },
	                         &w->policy.dns),
	                 ERR_OK);
}

static void close_world(struct world *w)
{
	policy_host_unref(&w->host);
	dane_cancel_all(&w->policy);
	dns_free(&w->policy.dns);
	sim_settle(w->sim, MINUTE_MS);
	sim_names_free(&w->names);
	sim_free(&w->sim);
}

static void on_host(void *owner, enum err err, struct policy_host *host, struct text problem)
{
	struct world *w = owner;

	assert_null(w->slot);
	w->calls++;
	w->err = err;
	w->host = policy_host_ref(host);
	snprintf(w->problem, sizeof(w->problem), "%.*s", TEXT_ARGS(problem));
}

static void find(struct world *w, const char *host, const char *canonical, bool mx_secure,
                 bool address_secure)
{
	w->calls = 0;
	policy_host_unref(&w->host);
	assert_int_equal(policy_find_host(&w->policy, text_from(host), text_from(canonical), 25, mx_secure,
	                                  address_secure, &w->slot, on_host, w),
	                 ERR_OK);
	assert_non_null(w->slot);
	assert_int_equal(w->calls, 0);
	sim_run(w->sim, 30 * SECOND_MS);
	assert_int_equal(w->calls, 1);
}

#define SIGNED "example. SECURE\n"
#define SHA256 "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define SHA512 SHA256 SHA256
#define AT(name, record) "_25._tcp." name " 300 TLSA " record "\n"

static const struct {
	const char *name, *zone, *host, *canonical;
	bool mx_secure, address_secure;
	const char *found; /* "base: usable of all"; NULL: nothing; "!" and words: a failure */
	unsigned queries;
} cases[] = {
	{ "a host with a record", SIGNED AT("mx.example.", "3 1 1 " SHA256), "mx.example", "mx.example", true,
	  true, "mx.example: 1 of 1", 1 },
	{ "its name in any case, with a dot", SIGNED AT("mx.example.", "3 1 1 " SHA256), "MX.Example.", "",
	  true, true, "mx.example: 1 of 1", 1 },
	{ "none", SIGNED, "mx.example", "", true, true, NULL, 1 },
	{ "a record that is not proved", AT("mx.example.", "3 1 1 " SHA256), "mx.example", "", true, true,
	  NULL, 1 },
	{ "the MX was not proved", SIGNED AT("mx.example.", "3 1 1 " SHA256), "mx.example", "", false, true,
	  NULL, 0 },
	{ "the address was not proved", SIGNED AT("mx.example.", "3 1 1 " SHA256), "mx.example", "mx.example",
	  true, false, NULL, 0 },
	{ "an address", SIGNED, "192.0.2.1", "", true, true, NULL, 0 },
	{ "an address literal", SIGNED, "[192.0.2.1]", "", true, true, NULL, 0 },
	{ "the end of a chain first",
	  SIGNED AT("end.example.", "3 1 1 " SHA256) AT("mx.example.", "3 0 1 " SHA256), "mx.example",
	  "end.example", true, true, "end.example: 1 of 1", 1 },
	{ "then its beginning", SIGNED AT("mx.example.", "3 0 1 " SHA256), "mx.example", "end.example", true,
	  true, "mx.example: 1 of 1", 2 },
	{ "not when the end cannot be asked",
	  SIGNED "_25._tcp.end.example. SERVFAIL\n" AT("mx.example.", "3 0 1 " SHA256), "mx.example",
	  "end.example", true, true,
	  "!whether end.example has TLSA records cannot be found out: SERVFAIL from 10.0.0.53:53 for TLSA of "
	  "_25._tcp.end.example",
	  1 },
	{ "a proved alias of what is not",
	  SIGNED "mx.example. 300 CNAME end.test.\n" AT("mx.example.", "3 1 1 " SHA256), "mx.example",
	  "end.test", true, false, "mx.example: 1 of 1", 2 },
	{ "an alias that is not proved",
	  "mx.example. 300 CNAME end.test.\n" AT("mx.example.", "3 1 1 " SHA256), "mx.example", "end.test",
	  true, false, NULL, 1 },
	{ "an alias that cannot be asked", "mx.example. SERVFAIL CNAME\n", "mx.example", "end.test", true,
	  false, "!whether mx.example has", 1 },
	{ "the records by an alias of their own",
	  SIGNED "_25._tcp.mx.example. 300 CNAME all.example.\nall.example. 300 TLSA 3 1 1 " SHA256 "\n",
	  "mx.example", "", true, true, "mx.example: 1 of 1", 1 },
	{ "nobody answers", "_25._tcp.mx.example. SILENCE\n", "mx.example", "", true, true,
	  "!whether mx.example has TLSA records", 1 },
	/* what can be used */
	{ "usages for web browsers",
	  SIGNED AT("mx.example.", "0 0 1 " SHA256) AT("mx.example.", "1 1 1 " SHA256), "mx.example", "",
	  true, true, "mx.example: 0 of 2", 1 },
	{ "one of three",
	  SIGNED AT("mx.example.", "1 1 1 " SHA256) AT("mx.example.", "2 1 1 " SHA256)
	          AT("mx.example.", "3 2 1 " SHA256),
	  "mx.example", "", true, true, "mx.example: 1 of 3", 1 },
	{ "digests of a wrong length",
	  SIGNED AT("mx.example.", "3 1 1 0011") AT("mx.example.", "3 1 2 " SHA256), "mx.example", "", true,
	  true, "mx.example: 0 of 2", 1 },
	{ "a matching that nobody knows", SIGNED AT("mx.example.", "3 1 3 " SHA256), "mx.example", "", true,
	  true, "mx.example: 0 of 1", 1 },
	{ "the stronger digest counts",
	  SIGNED AT("mx.example.", "3 1 1 " SHA256) AT("mx.example.", "3 1 2 " SHA512), "mx.example", "",
	  true, true, "mx.example: 1 of 2", 1 },
	{ "of another kind it does not matter",
	  SIGNED AT("mx.example.", "3 1 1 " SHA256) AT("mx.example.", "2 1 2 " SHA512), "mx.example", "",
	  true, true, "mx.example: 2 of 2", 1 },
	{ "whole ones stay beside digests",
	  SIGNED AT("mx.example.", "3 1 0 0011") AT("mx.example.", "3 1 2 " SHA512), "mx.example", "", true,
	  true, "mx.example: 2 of 2", 1 },
};

static void check_found(const struct world *w, size_t i)
{
	char words[128] = "";

	if (cases[i].found && cases[i].found[0] == '!') {
		if (w->err != ERR_TEMPORARY ||
		    strncmp(w->problem, cases[i].found + 1, strlen(cases[i].found + 1)) != 0)
			fail_msg("%s: %d \"%s\"", cases[i].name, (int)w->err, w->problem);
		return;
	}
	if (w->host)
		snprintf(words, sizeof(words), "%.*s: %zu of %zu", TEXT_ARGS(policy_host_base(w->host)),
		         w->host->usable_count, w->host->count);
	if (w->err || strcmp(words, cases[i].found ? cases[i].found : "") != 0)
		fail_msg("%s: %d, %s %s", cases[i].name, (int)w->err, words, w->problem);
	if (w->host)
		assert_int_equal(policy_host_is_usable(w->host), w->host->usable_count > 0);
}

static void names_are_asked_as_they_should_be(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct world w;
		unsigned queries;

		open_world(&w, cases[i].zone);
		find(&w, cases[i].host, cases[i].canonical, cases[i].mx_secure, cases[i].address_secure);
		check_found(&w, i);
		queries = sim_names_queries(w.names);
		if (strstr(cases[i].zone, "SILENCE") ? queries < 1 : queries != cases[i].queries)
			fail_msg("%s: %u questions", cases[i].name, queries);
		close_world(&w);
	}
}

static void a_name_too_long_for_the_prefix_has_none(void **state)
{
	struct world w;
	char label[64], host[260];

	(void)state;
	memset(label, 'a', 60);
	label[60] = '\0';
	snprintf(host, sizeof(host), "%s.%s.%s.%s.example", label, label, label, label);
	open_world(&w, SIGNED);
	find(&w, host, "", true, true);
	assert_int_equal(w.err, ERR_OK);
	assert_null(w.host);
	close_world(&w);
}

static void more_records_than_anybody_needs_are_cut(void **state)
{
	struct buf zone = BUF(65536);
	const struct tls_tlsa *records;
	struct world w;

	(void)state;
	buf_add_string(&zone, SIGNED);
	for (unsigned i = 0; i < 60; i++)
		buf_add_format(&zone, "_25._tcp.mx.example. 300 TLSA 3 1 1 %02x\n", i);
	buf_add_octet(&zone, '\0');
	open_world(&w, zone.at);
	find(&w, "mx.example", "", true, true);
	assert_int_equal(w.err, ERR_OK);
	assert_int_equal(policy_host_records(w.host, &records), TLS_TLSA_MAX);
	close_world(&w);
	buf_fini(&zone);
}

static void a_lookup_can_be_cancelled(void **state)
{
	struct world w;

	(void)state;
	open_world(&w, SIGNED AT("mx.example.", "3 1 1 " SHA256));
	for (int i = 0; i < 3; i++) {
		assert_int_equal(policy_find_host(&w.policy, TEXT("mx.example"), TEXT_EMPTY, 25, true, true,
		                                  &w.slot, on_host, &w),
		                 ERR_OK);
		if (i == 1)
			sim_run(w.sim, 1);
		if (i < 2)
			policy_cancel(&w.slot);
		else
			dane_cancel_all(&w.policy);
		assert_null(w.slot);
	}
	policy_cancel(&w.slot);
	sim_run(w.sim, 30 * SECOND_MS);
	assert_int_equal(w.calls, 0);
	close_world(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_asked_as_they_should_be),
		cmocka_unit_test(a_name_too_long_for_the_prefix_has_none),
		cmocka_unit_test(more_records_than_anybody_needs_are_cut),
		cmocka_unit_test(a_lookup_can_be_cancelled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
