/* TLSA, TXT and CNAME records: what callers hear of them, what DNSSEC has to do with it, and why a server refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include <postrider/dns.h>

#include "support/dns_world.h"
#include "wire.h"

struct heard {
	struct dns_lookup *slot;
	unsigned calls;
	enum err err;
	char text[2048];
};

static void end(struct heard *h, enum err err, struct buf *words, bool secure, struct text problem)
{
	assert_null(h->slot);
	if (err)
		buf_add_format(words, "%s: %.*s", err_text(err), TEXT_ARGS(problem));
	if (secure)
		buf_add_string(words, " (secure)");
	buf_add_octet(words, '\0');
	assert_true(words->len <= sizeof(h->text));
	memcpy(h->text, words->at, words->len);
	h->err = err;
	h->calls++;
}

static void on_tlsa(void *owner, enum err err, const struct dns_tlsa_list *found, struct text problem)
{
	struct buf words = BUF(2048);

	for (size_t i = 0; found && i < found->count; i++) {
		const struct dns_tlsa *r = &found->records[i];

		buf_add_format(&words, "%s%u %u %u ", i ? ", " : "", r->usage, r->selector, r->matching);
		for (size_t n = 0; n < r->data.len; n++)
			buf_add_format(&words, "%02x", (unsigned char)r->data.at[n]);
	}
	if (found)
		buf_add_format(&words, " at %.*s", TEXT_ARGS(found->canonical));
	end(owner, err, &words, found && found->secure, problem);
	buf_fini(&words);
}

static void on_texts(void *owner, enum err err, const struct dns_text_list *found, struct text problem)
{
	struct buf words = BUF(2048);

	for (size_t i = 0; found && i < found->count; i++)
		buf_add_format(&words, "%s\"%.*s\"", i ? ", " : "", TEXT_ARGS(found->texts[i]));
	end(owner, err, &words, found && found->secure, problem);
	buf_fini(&words);
}

enum kind { TLSA, TXT, ALIAS };

static void find(struct dns_world *w, enum kind kind, const char *name, struct heard *h)
{
	*h = (struct heard){ 0 };
	assert_int_equal(kind == TLSA  ? dns_find_tlsa(w->dns, text_from(name), &h->slot, on_tlsa, h)
	                 : kind == TXT ? dns_find_txt(w->dns, text_from(name), &h->slot, on_texts, h)
	                               : dns_find_alias(w->dns, text_from(name), &h->slot, on_texts, h),
	                 ERR_OK);
	assert_int_equal(h->calls, 0);
}

#define NAME "_25._tcp.mx.example"
#define SOA "--\nexample 60 SOA ns.example. h.example. 1 3600 600 86400 60"

static const struct {
	const char *name;
	enum kind kind;
	struct dns_rule rules[3];
	const char *outcome;
} cases[] = {
	{ "two records as they came",
	  TLSA,
	  { { .records = NAME " 60 TLSA 3 1 1 0a0b\n" NAME " 60 TLSA 2 0 2 ff00ff" } },
	  "3 1 1 0a0b, 2 0 2 ff00ff at " NAME },
	{ "usages and selectors that nobody knows",
	  TLSA,
	  { { .records = NAME " 60 TLSA 9 8 7 01" } },
	  "9 8 7 01 at " NAME },
	{ "proved",
	  TLSA,
	  { { .records = NAME " 60 TLSA 3 1 1 0a", .authentic = true } },
	  "3 1 1 0a at " NAME " (secure)" },
	{ "by an alias, all proved",
	  TLSA,
	  { { .records = NAME " 60 CNAME all.example.\nall.example 60 TLSA 3 1 1 0a", .authentic = true } },
	  "3 1 1 0a at all.example (secure)" },
	{ "an alias whose end is asked for, and is not proved",
	  TLSA,
	  { { .name = NAME, .records = NAME " 60 CNAME all.example.", .authentic = true },
	    { .name = "all.example", .records = "all.example 60 TLSA 3 1 1 0a" } },
	  "3 1 1 0a at all.example" },
	{ "an end that is proved, behind an alias that is not",
	  TLSA,
	  { { .name = NAME, .records = NAME " 60 CNAME all.example." },
	    { .name = "all.example", .records = "all.example 60 TLSA 3 1 1 0a", .authentic = true } },
	  "3 1 1 0a at all.example" },
	{ "none",
	  TLSA,
	  { { .records = SOA } },
	  "no such thing: no record from 192.0.2.1:53 for TLSA of " NAME },
	{ "no such name",
	  TLSA,
	  { { .rcode = 3, .records = SOA } },
	  "no such thing: NXDOMAIN from 192.0.2.1:53 for TLSA of " NAME },
	{ "refused",
	  TLSA,
	  { { .rcode = 2 } },
	  "temporary failure: SERVFAIL from 192.0.2.1:53 for TLSA of " NAME },
	{ "the strings of a text are one",
	  TXT,
	  { { .records = NAME " 60 TXT \"v=STSv1; \" \"id=1\"\n" NAME " 60 TXT \"\"" } },
	  "\"v=STSv1; id=1\", \"\"" },
	{ "no text",
	  TXT,
	  { { .records = SOA, .authentic = true } },
	  "no such thing: no record from 192.0.2.1:53 for TXT of " NAME },
	{ "an alias, one step of it",
	  ALIAS,
	  { { .records = NAME " 60 CNAME Next.Example.\nnext.example 60 CNAME end.example.",
	      .authentic = true } },
	  "\"next.example\" (secure)" },
	{ "no alias",
	  ALIAS,
	  { { .records = SOA } },
	  "no such thing: no record from 192.0.2.1:53 for CNAME of " NAME },
};

static void records_are_told_as_they_are(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct dns_options options = { .server_count = 1, .trust = DNS_TRUST_ALL };
		struct dns_world w;
		struct heard h;

		dns_world_init(&w, cases[i].rules, ARRAY_LEN(cases[i].rules), &options);
		find(&w, cases[i].kind, NAME, &h);
		dns_world_run(&w);
		if (h.calls != 1 || strcmp(h.text, cases[i].outcome) != 0)
			fail_msg("%s: \"%s\"", cases[i].name, h.text);
		dns_world_fini(&w);
	}
}

/* Each type for itself, absences too. */
static void answers_are_kept(void **state)
{
	const struct dns_rule rules[] = {
		{ .type = "TLSA", .records = NAME " 60 TLSA 3 1 1 0a", .authentic = true },
		{ .type = "TXT", .records = SOA }
	};
	struct dns_options options = { .server_count = 1, .trust = DNS_TRUST_ALL };
	struct dns_world w;
	struct heard h;

	(void)state;
	dns_world_init(&w, rules, ARRAY_LEN(rules), &options);
	for (int i = 0; i < 3; i++) {
		find(&w, TLSA, NAME, &h);
		dns_world_run(&w);
		assert_string_equal(h.text, "3 1 1 0a at " NAME " (secure)");
		find(&w, TXT, NAME, &h);
		dns_world_run(&w);
		assert_int_equal(h.err, ERR_NOT_FOUND);
	}
	assert_int_equal(dns_count(w.dns).queries, 2);
	assert_int_equal(dns_count(w.dns).cache_hits, 4);
	dns_world_fini(&w);
}

/* A resolver with a cold cache took 4.1 s: the other server is asked meanwhile, and what comes in the end counts; also when it had
 * to be asked for over TCP. */
static void an_answer_that_takes_its_time_counts(void **state)
{
	static const struct dns_rule late[] = {
		{ .server = 0, .records = NAME " 60 TLSA 3 1 1 0a", .delay_ms = 4100 },
		{ .server = 1, .does = DNS_IS_SILENT }
	};
	static const struct dns_rule large[] = {
		{ .server = 0, .way = DNS_UDP, .truncated = true },
		{ .server = 0, .way = DNS_TCP, .records = NAME " 60 TLSA 3 1 1 0a", .delay_ms = 4100 },
		{ .server = 1, .does = DNS_IS_SILENT }
	};
	struct dns_options options = { .server_count = 2, .timeout_ms = 15000 };
	struct dns_world w;
	struct heard h;

	(void)state;
	for (int i = 0; i < 2; i++) {
		dns_world_init(&w, i ? large : late, i ? ARRAY_LEN(large) : ARRAY_LEN(late), &options);
		find(&w, TLSA, NAME, &h);
		dns_world_run(&w);
		assert_string_equal(h.text, "3 1 1 0a at " NAME);
		dns_world_fini(&w);
	}
}

static void a_lookup_can_be_cancelled(void **state)
{
	const struct dns_rule rules[] = { { .records = NAME " 60 TLSA 3 1 1 0a" } };
	struct dns_world w;
	struct heard h;

	(void)state;
	dns_world_init(&w, rules, ARRAY_LEN(rules), NULL);
	find(&w, TLSA, NAME, &h);
	dns_cancel(&h.slot);
	assert_null(h.slot);
	dns_world_run(&w);
	assert_int_equal(h.calls, 0);
	dns_world_fini(&w);
}

static void an_address_has_no_records(void **state)
{
	struct dns_world w;
	struct heard h;

	(void)state;
	dns_world_init(&w, NULL, 0, NULL);
	find(&w, TLSA, "192.0.2.1", &h);
	dns_world_run(&w);
	assert_int_equal(h.err, ERR_NOT_FOUND);
	assert_int_equal(dns_count(w.dns).queries, 0);
	dns_world_fini(&w);
}

/* ---------------------------------------------------------------- why a server refused (RFC 8914) */

#define SERVFAIL_HEADER "\x42\x42\x81\x82\0\1\0\0\0\0\0\1\7example\3com\0\0\x34\0\1"
#define OPT(length) "\0\0\x29\4\xd0\0\0\0\0\0" length

static const struct {
	const char *name;
	struct text octets;
	const char *why;
} reasons[] = {
	{ "known, with words",
	  LIT(SERVFAIL_HEADER OPT("\x0d") "\0\x0f\0\x09\0\x07"
	                                  "expired"),
	  "DNSSEC signature expired: expired" },
	{ "known, without", LIT(SERVFAIL_HEADER OPT("\6") "\0\x0f\0\2\0\6"), "DNSSEC bogus" },
	{ "unknown, with words", LIT(SERVFAIL_HEADER OPT("\x08") "\0\x0f\0\4\1\1hm"), "hm" },
	{ "unknown, without", LIT(SERVFAIL_HEADER OPT("\6") "\0\x0f\0\2\1\1"), "extended error 257" },
	{ "words that are none", LIT(SERVFAIL_HEADER OPT("\x09") "\0\x0f\0\5\0\6\x1b[m"),
	  "DNSSEC bogus: ?[m" },
	{ "behind another option", LIT(SERVFAIL_HEADER OPT("\x0c") "\0\x0a\0\2xx\0\x0f\0\2\0\6"),
	  "DNSSEC bogus" },
	{ "longer than what there is", LIT(SERVFAIL_HEADER OPT("\6") "\0\x0f\0\x50\0\6"), "" },
	{ "shorter than its code", LIT(SERVFAIL_HEADER OPT("\5") "\0\x0f\0\1\0"), "" },
	{ "none", LIT(SERVFAIL_HEADER OPT("\0")), "" },
};

static void a_server_may_say_why(void **state)
{
	struct name name;

	(void)state;
	assert_int_equal(name_from_text(TEXT("example.com"), &name), ERR_OK);
	for (size_t i = 0; i < ARRAY_LEN(reasons); i++) {
		struct wire_question q = { .id = 0x4242, .name = &name, .type = WIRE_TLSA };
		struct wire_reply r;

		assert_int_equal(wire_read(reasons[i].octets, &q, 0, &r), ERR_OK);
		assert_int_equal(r.said, WIRE_SAYS_RCODE);
		assert_int_equal(r.rcode, WIRE_SERVFAIL);
		if (!text_eq(r.why, text_from(reasons[i].why)))
			fail_msg("%s: \"%.*s\"", reasons[i].name, TEXT_ARGS(r.why));
		wire_reply_fini(&r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(records_are_told_as_they_are),
		cmocka_unit_test(answers_are_kept),
		cmocka_unit_test(an_answer_that_takes_its_time_counts),
		cmocka_unit_test(a_lookup_can_be_cancelled),
		cmocka_unit_test(an_address_has_no_records),
		cmocka_unit_test(a_server_may_say_why),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
