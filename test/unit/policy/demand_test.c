/* What is demanded of a host, of all that has a say. */
#include "internal.h"

#include <stdio.h>

#include "support/check.h"
#include "sts_domain.h"

enum dane { NO_DANE, USABLE, UNUSABLE };

struct says {
	enum config_tls tls;
	enum dane dane;
	enum policy_mode mode;
	bool disallowed; /* the policy of MTA-STS names another host */
	bool requires, optional, wants_dane, mx_secure;
};

static const struct {
	const char *name;
	struct says says;
	enum config_tls tls;
	enum tls_proof proof;
	enum policy_by by;
	bool proves;
	const char *names, *refusal; /* joined; a part of the sentence, NULL: none */
	bool is_permanent;
} rows[] = {
#define NONE CONFIG_TLS_NONE
#define OPPORTUNISTIC CONFIG_TLS_OPPORTUNISTIC
#define REQUIRE CONFIG_TLS_REQUIRE
#define IMPLICIT CONFIG_TLS_IMPLICIT
#define HOST "mx.example.net"
#define ALL_NAMES "base.example.net mx.example.net example.net canonical.example.net"
	{ "nobody says anything",
	  { OPPORTUNISTIC },
	  OPPORTUNISTIC,
	  TLS_PROOF_CONTEXT,
	  POLICY_BY_NOBODY,
	  false,
	  "" },
	{ "the route", { REQUIRE }, REQUIRE, TLS_PROOF_CONTEXT, POLICY_BY_ROUTE, false, "" },
	{ "the route, from the first octet",
	  { IMPLICIT },
	  IMPLICIT,
	  TLS_PROOF_CONTEXT,
	  POLICY_BY_ROUTE,
	  false,
	  "" },
	{ "the route wants none", { NONE }, NONE, TLS_PROOF_CONTEXT, POLICY_BY_NOBODY, false, "" },
	{ "that is its last word",
	  { NONE, USABLE, POLICY_MODE_ENFORCE },
	  NONE,
	  TLS_PROOF_CONTEXT,
	  POLICY_BY_NOBODY,
	  false,
	  "" },
	/* DANE */
	{ "DANE", { OPPORTUNISTIC, USABLE }, REQUIRE, TLS_PROOF_DANE, POLICY_BY_DANE, true, ALL_NAMES },
	{ "DANE and the route",
	  { REQUIRE, USABLE },
	  REQUIRE,
	  TLS_PROOF_DANE,
	  POLICY_BY_DANE,
	  true,
	  ALL_NAMES },
	{ "DANE and TLS from the first octet",
	  { IMPLICIT, USABLE },
	  IMPLICIT,
	  TLS_PROOF_DANE,
	  POLICY_BY_DANE,
	  true,
	  ALL_NAMES },
	{ "records that nobody can use",
	  { OPPORTUNISTIC, UNUSABLE },
	  REQUIRE,
	  TLS_PROOF_NONE,
	  POLICY_BY_DANE,
	  false,
	  "" },
	{ "mail that may go without",
	  { OPPORTUNISTIC, USABLE, .optional = true },
	  OPPORTUNISTIC,
	  TLS_PROOF_CONTEXT,
	  POLICY_BY_NOBODY,
	  false,
	  "" },
	{ "an upstream that is to be proved",
	  { REQUIRE, USABLE, .wants_dane = true },
	  REQUIRE,
	  TLS_PROOF_DANE,
	  POLICY_BY_DANE,
	  true,
	  ALL_NAMES },
	{ "by mail that may go without, too",
	  { REQUIRE, USABLE, .wants_dane = true, .optional = true },
	  REQUIRE,
	  TLS_PROOF_DANE,
	  POLICY_BY_DANE,
	  true,
	  ALL_NAMES },
	{ "an upstream without records",
	  { REQUIRE, .wants_dane = true },
	  REQUIRE,
	  TLS_PROOF_CONTEXT,
	  POLICY_BY_ROUTE,
	  false,
	  "",
	  "the host mx.example.net is to be proved by DANE" },
	{ "an upstream with useless ones",
	  { REQUIRE, UNUSABLE, .wants_dane = true },
	  REQUIRE,
	  TLS_PROOF_NONE,
	  POLICY_BY_DANE,
	  false,
	  "",
	  "no usable TLSA records" },
	/* MTA-STS */
	{ "MTA-STS",
	  { OPPORTUNISTIC, .mode = POLICY_MODE_ENFORCE },
	  REQUIRE,
	  TLS_PROOF_NAMES,
	  POLICY_BY_MTA_STS,
	  true,
	  HOST },
	{ "MTA-STS names another host",
	  { OPPORTUNISTIC, .mode = POLICY_MODE_ENFORCE, .disallowed = true },
	  OPPORTUNISTIC,
	  TLS_PROOF_CONTEXT,
	  POLICY_BY_MTA_STS,
	  false,
	  "",
	  "the MTA-STS policy of example.net does not allow the mail host mx.example.net" },
	{ "MTA-STS is being tested",
	  { OPPORTUNISTIC, .mode = POLICY_MODE_TESTING, .disallowed = true },
	  OPPORTUNISTIC,
	  TLS_PROOF_CONTEXT,
	  POLICY_BY_NOBODY,
	  false,
	  "" },
	{ "MTA-STS says none",
	  { OPPORTUNISTIC, .mode = POLICY_MODE_NONE, .disallowed = true },
	  OPPORTUNISTIC,
	  TLS_PROOF_CONTEXT,
	  POLICY_BY_NOBODY,
	  false,
	  "" },
	{ "DANE goes before it",
	  { OPPORTUNISTIC, USABLE, POLICY_MODE_ENFORCE, .disallowed = true },
	  REQUIRE,
	  TLS_PROOF_DANE,
	  POLICY_BY_DANE,
	  true,
	  ALL_NAMES },
	{ "useless records too",
	  { OPPORTUNISTIC, UNUSABLE, POLICY_MODE_ENFORCE },
	  REQUIRE,
	  TLS_PROOF_NONE,
	  POLICY_BY_DANE,
	  false,
	  "" },
	{ "mail that may go without it",
	  { OPPORTUNISTIC, .mode = POLICY_MODE_ENFORCE, .disallowed = true, .optional = true },
	  OPPORTUNISTIC,
	  TLS_PROOF_CONTEXT,
	  POLICY_BY_NOBODY,
	  false,
	  "" },
	/* REQUIRETLS */
	{ "required, and nobody proves anything",
	  { OPPORTUNISTIC, .requires = true },
	  REQUIRE,
	  TLS_PROOF_CONTEXT,
	  POLICY_BY_MESSAGE,
	  false,
	  "",
	  "the sender demands TLS all the way (REQUIRETLS), and the mail host mx.example.net of example.net",
	  true },
	{ "required, against the route",
	  { NONE, USABLE, .requires = true },
	  REQUIRE,
	  TLS_PROOF_DANE,
	  POLICY_BY_DANE,
	  true,
	  ALL_NAMES },
	{ "required, and DANE",
	  { OPPORTUNISTIC, USABLE, .requires = true },
	  REQUIRE,
	  TLS_PROOF_DANE,
	  POLICY_BY_DANE,
	  true,
	  ALL_NAMES },
	{ "required, and useless records",
	  { OPPORTUNISTIC, UNUSABLE, .requires = true },
	  REQUIRE,
	  TLS_PROOF_NONE,
	  POLICY_BY_DANE,
	  false,
	  "",
	  "cannot prove",
	  true },
	{ "required, useless records, a signed MX",
	  { OPPORTUNISTIC, UNUSABLE, .requires = true, .mx_secure = true },
	  REQUIRE,
	  TLS_PROOF_NAMES,
	  POLICY_BY_MESSAGE,
	  true,
	  HOST },
	{ "required, and MTA-STS",
	  { OPPORTUNISTIC, .mode = POLICY_MODE_ENFORCE, .requires = true },
	  REQUIRE,
	  TLS_PROOF_NAMES,
	  POLICY_BY_MTA_STS,
	  true,
	  HOST },
	{ "required, and MTA-STS is being tested",
	  { OPPORTUNISTIC, .mode = POLICY_MODE_TESTING, .requires = true },
	  REQUIRE,
	  TLS_PROOF_CONTEXT,
	  POLICY_BY_MESSAGE,
	  false,
	  "",
	  "by DANE or by MTA-STS",
	  true },
	{ "required, and MTA-STS names another host",
	  { OPPORTUNISTIC, .mode = POLICY_MODE_ENFORCE, .disallowed = true, .requires = true },
	  OPPORTUNISTIC,
	  TLS_PROOF_CONTEXT,
	  POLICY_BY_MTA_STS,
	  false,
	  "",
	  "does not allow" },
	{ "required, and a signed MX",
	  { OPPORTUNISTIC, .requires = true, .mx_secure = true },
	  REQUIRE,
	  TLS_PROOF_NAMES,
	  POLICY_BY_MESSAGE,
	  true,
	  HOST },
	{ "required goes before optional",
	  { OPPORTUNISTIC, USABLE, .requires = true, .optional = true },
	  REQUIRE,
	  TLS_PROOF_DANE,
	  POLICY_BY_DANE,
	  true,
	  ALL_NAMES },
};

static struct policy_host *host_of(enum dane dane, struct policy_host *room)
{
	static const struct tls_tlsa record = { 3, 1, 1, LIT("0123456789abcdef0123456789abcdef") };

	if (dane == NO_DANE)
		return NULL;
	*room = (struct policy_host){
		.references = 1, .base = TEXT("base.example.net"), .count = 1, .usable_count = dane == USABLE
	};
	room->records[0] = record;
	return room;
}

/* RFC 7672 section 8.1: where the host's records count, whatever comes of them. */
static bool asks_for_base(const struct says *says)
{
	if (says->dane == NO_DANE || (says->tls == NONE && !says->requires))
		return false;
	return says->requires || says->wants_dane || !says->optional;
}

static void demands_are_joined(void **state)
{
	static const struct text allowed = LIT("*.example.net"), other = LIT("mx.example.org");

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct says *says = &rows[i].says;
		struct policy_host *room = calloc(1, sizeof(*room) + sizeof(room->records[0]));
		struct sts_file file = { .mode = says->mode,
			                 .max_age_ms = 1000,
			                 .mx = says->disallowed ? &other : &allowed,
			                 .mx_count = 1 };
		struct policy_domain *domain = policy_domain_new(TEXT("example.net"), TEXT("1"), &file);
		struct policy_facts facts = { .tls = says->tls,
			                      .requires_tls = says->requires,
			                      .tls_optional = says->optional,
			                      .wants_dane = says->wants_dane,
			                      .mx_secure = says->mx_secure,
			                      .domain = says->mode == POLICY_MODE_NONE && !says->disallowed
			                                        ? NULL
			                                        : domain,
			                      .domain_name = TEXT("example.net"),
			                      .host_name = TEXT("mx.example.net"),
			                      .domain_canonical = TEXT("canonical.example.net") };
		struct policy_demand d;
		struct buf names = BUF(512);

		assert_non_null(domain);
		facts.host = host_of(says->dane, room);
		policy_demand_of(&facts, &d);
		for (size_t n = 0; n < d.expect.name_count; n++)
			buf_add_format(&names, "%s%.*s", n ? " " : "", TEXT_ARGS(d.expect.names[n]));
		if (!rows[i].refusal || rows[i].proof != TLS_PROOF_CONTEXT)
			CHECK_INT(rows[i].name, d.expect.proof, rows[i].proof);
		CHECK_INT(rows[i].name, d.tls, rows[i].tls);
		CHECK_INT(rows[i].name, d.by, rows[i].by);
		CHECK_INT(rows[i].name, d.proves, rows[i].proves);
		CHECK_INT(rows[i].name, d.is_permanent, rows[i].is_permanent);
		CHECK_TEXT(rows[i].name, buf_text(&names), text_from(rows[i].names));
		CHECK_INT(rows[i].name, d.refusal.len > 0, rows[i].refusal != NULL);
		if (rows[i].refusal)
			CHECK(rows[i].name, text_find(d.refusal, text_from(rows[i].refusal)) < d.refusal.len);
		CHECK_TEXT(rows[i].name, d.server_name,
		           asks_for_base(says) ? TEXT("base.example.net") : TEXT("mx.example.net"));
		buf_fini(&names);
		policy_domain_unref(&domain);
		free(room);
	}
}

static void names_count_once(void **state)
{
	struct policy_host *room = calloc(1, sizeof(*room) + sizeof(room->records[0]));
	struct policy_facts facts = { .tls = OPPORTUNISTIC,
		                      .domain_name = TEXT("Base.Example.net"),
		                      .host_name = TEXT("base.example.net"),
		                      .domain_canonical = TEXT_EMPTY };
	struct policy_demand d;

	(void)state;
	facts.host = host_of(USABLE, room);
	policy_demand_of(&facts, &d);
	assert_int_equal(d.expect.name_count, 1);
	free(room);
}

/* Names of strangers are long: the sentence ends somewhere. */
static void a_long_name_is_cut(void **state)
{
	char name[600];
	struct policy_facts facts = { .tls = OPPORTUNISTIC,
		                      .requires_tls = true,
		                      .host_name = text_of(name, sizeof(name)) };
	struct policy_demand d;

	(void)state;
	memset(name, 'x', sizeof(name));
	policy_demand_of(&facts, &d);
	assert_true(d.refusal.len > 0 && d.refusal.len < sizeof(d.words));
}

static void each_fault_has_its_word_in_reports(void **state)
{
	(void)state;
	assert_int_equal(policy_failure_of(TLS_FAULT_NONE), POLICY_SUCCEEDED);
	assert_int_equal(policy_failure_of(TLS_FAULT_NAME), POLICY_CERTIFICATE_HOST_MISMATCH);
	assert_int_equal(policy_failure_of(TLS_FAULT_DATES), POLICY_CERTIFICATE_EXPIRED);
	assert_int_equal(policy_failure_of(TLS_FAULT_UNTRUSTED), POLICY_CERTIFICATE_NOT_TRUSTED);
	assert_int_equal(policy_failure_of(TLS_FAULT_MISMATCH), POLICY_VALIDATION_FAILURE);
	assert_int_equal(policy_failure_of(TLS_FAULT_HANDSHAKE), POLICY_VALIDATION_FAILURE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(demands_are_joined),
		cmocka_unit_test(names_count_once),
		cmocka_unit_test(a_long_name_is_cut),
		cmocka_unit_test(each_fault_has_its_word_in_reports),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
