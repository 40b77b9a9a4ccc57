/* What a server's certificate has to be, by names, pins and TLSA records: one handshake for each row, under TLS 1.3 and 1.2. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include <postrider/io/uv.h>
#include <postrider/tls.h>

#include "support/certificates.h"
#include "support/streams.h"

/* Who is who. The server shows one of its chains. */
enum who {
	ROOT,
	OTHER_ROOT,
	INTERMEDIATE,
	GOOD,
	BELOW_ROOT,
	EXPIRED,
	OTHER_NAME,
	WILD,
	SELF,
	EXPIRED_BELOW_ROOT,
	WHO_COUNT
};

enum chain { LEAF_ONLY, WITH_ROOT, WITH_INTERMEDIATE, WITH_BOTH };

struct heard {
	unsigned times;
	enum err err;
	struct tls_info info;
	char problem[1024];
};

struct world {
	struct ends ends;
	struct certificate all[WHO_COUNT];
	enum tls_version highest;
	struct heard of_server, of_client;
};

static void make(struct world *w, enum who who, const char *name, int ca, bool is_issuer, bool expired)
{
	certificate_make(&w->all[who], &(struct certificate_options){ .name = name,
	                                                              .ca = ca < 0 ? NULL : &w->all[ca],
	                                                              .is_issuer = is_issuer,
	                                                              .expired = expired });
}

static int make_certificates(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	make(w, ROOT, "Root", -1, true, false);
	make(w, OTHER_ROOT, "Other Root", -1, true, false);
	make(w, INTERMEDIATE, "Intermediate", ROOT, true, false);
	make(w, GOOD, "mx.example.net", INTERMEDIATE, false, false);
	make(w, BELOW_ROOT, "mx.example.net", ROOT, false, false);
	make(w, EXPIRED, "mx.example.net", INTERMEDIATE, false, true);
	make(w, OTHER_NAME, "other.example.org", INTERMEDIATE, false, false);
	make(w, WILD, "*.example.net", INTERMEDIATE, false, false);
	make(w, SELF, "mx.example.net", -1, false, false);
	make(w, EXPIRED_BELOW_ROOT, "mx.example.net", ROOT, false, true);
	*state = w;
	return 0;
}

static int free_certificates(void **state)
{
	free(*state);
	return 0;
}

static int set_up(void **state)
{
	struct world *w = *state;

	ends_init(&w->ends);
	memset(&w->of_server, 0, sizeof(w->of_server));
	memset(&w->of_client, 0, sizeof(w->of_client));
	w->highest = TLS_NONE;
	return 0;
}

static int tear_down(void **state)
{
	ends_fini(&((struct world *)*state)->ends);
	return 0;
}

static void on_done(void *owner, enum err err, const struct tls_info *info)
{
	struct heard *h = owner;

	h->times++;
	h->err = err;
	h->info = *info;
	snprintf(h->problem, sizeof(h->problem), "%.*s", TEXT_ARGS(info->problem));
}

static struct tls_context *server_context(struct world *w, enum who who, enum chain chain)
{
	struct buf pem = BUF(4 * CERTIFICATE_PEM_MAX);
	struct tls_server_options o = { .key = certificate_key(&w->all[who]), .highest = w->highest };
	struct tls_context *context = NULL;

	buf_add(&pem, certificate_pem(&w->all[who]));
	if (chain == WITH_INTERMEDIATE || chain == WITH_BOTH)
		buf_add(&pem, certificate_pem(&w->all[INTERMEDIATE]));
	if (chain == WITH_ROOT || chain == WITH_BOTH)
		buf_add(&pem, certificate_pem(&w->all[ROOT]));
	o.certificate = buf_text(&pem);
	assert_int_equal(tls_server_context_new(w->ends.io, &o, &context, NULL), ERR_OK);
	buf_fini(&pem);
	return context;
}

static struct tls_context *client_context(struct world *w, bool verify, enum who ca)
{
	struct tls_client_options o = { .verify = verify, .ca = certificate_pem(&w->all[ca]) };
	struct tls_context *context = NULL;

	assert_int_equal(tls_client_context_new(w->ends.io, &o, &context, NULL), ERR_OK);
	return context;
}

static void close_both(struct world *w)
{
	struct end *ends[] = { &w->ends.client, &w->ends.server };

	for (unsigned i = 0; i < 2; i++) {
		if (ends[i]->stream)
			io_stream_close(ends[i]->stream);
	}
	LOOP_UNTIL(w->ends.io, w->ends.client.closed && w->ends.server.closed);
}

/* What a record was made of is gone as soon as tls_start_expecting returns. */
static void forget(const struct tls_expectation *expect)
{
	for (size_t i = 0; expect && i < expect->tlsa_count; i++)
		memset((char *)expect->tlsa[i].data.at, 'x', expect->tlsa[i].data.len);
}

/* One handshake with one expectation. */
static void shake_hands(struct world *w, struct tls_context *server, struct tls_context *client,
                        const struct tls_expectation *expect)
{
	memset(&w->of_server, 0, sizeof(w->of_server));
	memset(&w->of_client, 0, sizeof(w->of_client));
	ends_join(&w->ends);
	assert_int_equal(tls_start(w->ends.server.stream, server, TEXT_EMPTY, on_done, &w->of_server),
	                 ERR_OK);
	assert_int_equal(tls_start_expecting(w->ends.client.stream, client, TEXT("mx.example.net"), expect,
	                                     on_done, &w->of_client),
	                 ERR_OK);
	forget(expect);
	LOOP_UNTIL(w->ends.io, w->of_client.times && (w->of_server.times || w->ends.server.closed));
	close_both(w);
	end_fini(&w->ends.client);
	end_fini(&w->ends.server);
	end_init(&w->ends.client, w->ends.io);
	end_init(&w->ends.server, w->ends.io);
}

/* ---------------------------------------------------------------- TLSA records */

#define RECORDS 3

struct record {
	unsigned usage, selector, matching;
	enum who of;
	enum { AS_IS, ONE_BIT_OFF, CUT } spoiled;
};

static const struct {
	const char *name;
	enum who server;
	enum chain chain;
	struct record records[RECORDS];
	const char *names[2]; /* NULL: mx.example.net */
	enum tls_fault fault; /* NONE: it passes */
	const char *problem;
} rows[] = {
	/* usage 3: the certificate itself, and nothing else */
	{ "3 1 1", GOOD, LEAF_ONLY, { { 3, 1, 1, GOOD, 0 } } },
	{ "3 1 2", GOOD, LEAF_ONLY, { { 3, 1, 2, GOOD, 0 } } },
	{ "3 1 0", GOOD, LEAF_ONLY, { { 3, 1, 0, GOOD, 0 } } },
	{ "3 0 1", GOOD, LEAF_ONLY, { { 3, 0, 1, GOOD, 0 } } },
	{ "3 0 2", GOOD, LEAF_ONLY, { { 3, 0, 2, GOOD, 0 } } },
	{ "3 0 0", GOOD, LEAF_ONLY, { { 3, 0, 0, GOOD, 0 } } },
	{ "3 of an expired one", EXPIRED, WITH_BOTH, { { 3, 1, 1, EXPIRED, 0 } } },
	{ "3 of one for another name", OTHER_NAME, LEAF_ONLY, { { 3, 1, 1, OTHER_NAME, 0 } } },
	{ "3 of a self-signed one", SELF, LEAF_ONLY, { { 3, 0, 1, SELF, 0 } } },
	{ "3 1 1 of another key",
	  GOOD,
	  WITH_BOTH,
	  { { 3, 1, 1, SELF, 0 } },
	  { 0 },
	  TLS_FAULT_MISMATCH,
	  "fits no TLSA record (3 1 1 " },
	{ "3 1 1 with one bit wrong",
	  GOOD,
	  WITH_BOTH,
	  { { 3, 1, 1, GOOD, ONE_BIT_OFF } },
	  { 0 },
	  TLS_FAULT_MISMATCH,
	  "3 1 1" },
	{ "3 0 1 with the digest of the key",
	  GOOD,
	  LEAF_ONLY,
	  { { 3, 1, 1, GOOD, ONE_BIT_OFF }, { 3, 0, 2, SELF, 0 } },
	  { 0 },
	  TLS_FAULT_MISMATCH,
	  ", 3 0 2 " },
	{ "3 1 1 cut short",
	  GOOD,
	  LEAF_ONLY,
	  { { 3, 1, 1, GOOD, CUT } },
	  { 0 },
	  TLS_FAULT_MISMATCH,
	  "mx.example.net" },
	{ "3 names an issuer",
	  GOOD,
	  WITH_BOTH,
	  { { 3, 1, 1, ROOT, 0 } },
	  { 0 },
	  TLS_FAULT_MISMATCH,
	  "issued by" },
	{ "one of three fits",
	  GOOD,
	  LEAF_ONLY,
	  { { 3, 1, 1, SELF, 0 }, { 2, 0, 1, OTHER_ROOT, 0 }, { 3, 1, 2, GOOD, 0 } } },
	/* usages that are nothing here */
	{ "0 of the issuer alone",
	  GOOD,
	  WITH_BOTH,
	  { { 0, 0, 1, ROOT, 0 } },
	  { 0 },
	  TLS_FAULT_MISMATCH,
	  "0 0 1" },
	{ "1 of the certificate alone",
	  GOOD,
	  WITH_BOTH,
	  { { 1, 1, 1, GOOD, 0 } },
	  { 0 },
	  TLS_FAULT_MISMATCH,
	  "1 1 1" },
	{ "an unknown selector",
	  GOOD,
	  WITH_BOTH,
	  { { 3, 2, 1, GOOD, 0 } },
	  { 0 },
	  TLS_FAULT_MISMATCH,
	  "3 2 1" },
	{ "an unknown matching",
	  GOOD,
	  WITH_BOTH,
	  { { 3, 1, 3, GOOD, 0 } },
	  { 0 },
	  TLS_FAULT_MISMATCH,
	  "3 1 3" },
	/* usage 2: an issuer, sent along */
	{ "2 0 1 of the root", GOOD, WITH_BOTH, { { 2, 0, 1, ROOT, 0 } } },
	{ "2 0 2 of the root", GOOD, WITH_BOTH, { { 2, 0, 2, ROOT, 0 } } },
	{ "2 1 1 of the root", GOOD, WITH_BOTH, { { 2, 1, 1, ROOT, 0 } } },
	{ "2 1 2 of the root", GOOD, WITH_BOTH, { { 2, 1, 2, ROOT, 0 } } },
	{ "2 1 1 of the intermediate", GOOD, WITH_INTERMEDIATE, { { 2, 1, 1, INTERMEDIATE, 0 } } },
	{ "2 1 1 of the intermediate, the root behind it",
	  GOOD,
	  WITH_BOTH,
	  { { 2, 1, 1, INTERMEDIATE, 0 } } },
	{ "2 0 1 of a root right above", BELOW_ROOT, WITH_ROOT, { { 2, 0, 1, ROOT, 0 } } },
	{ "2 0 1, and the root was not sent",
	  GOOD,
	  WITH_INTERMEDIATE,
	  { { 2, 0, 1, ROOT, 0 } },
	  { 0 },
	  TLS_FAULT_MISMATCH,
	  "fits no TLSA record (2 0 1" },
	{ "2 1 1, and no issuer was sent",
	  BELOW_ROOT,
	  LEAF_ONLY,
	  { { 2, 1, 1, ROOT, 0 } },
	  { 0 },
	  TLS_FAULT_MISMATCH,
	  "2 1 1" },
	{ "2 of a root that signed nothing of it",
	  BELOW_ROOT,
	  WITH_ROOT,
	  { { 2, 1, 1, OTHER_ROOT, 0 } },
	  { 0 },
	  TLS_FAULT_MISMATCH,
	  "2 1 1" },
	{ "2 of one that was sent and signed nothing",
	  BELOW_ROOT,
	  WITH_BOTH,
	  { { 2, 1, 1, INTERMEDIATE, 0 } },
	  { 0 },
	  TLS_FAULT_UNTRUSTED,
	  "names an issuer, but" },
	{ "2 and an expired certificate",
	  EXPIRED,
	  WITH_BOTH,
	  { { 2, 0, 1, ROOT, 0 } },
	  { 0 },
	  TLS_FAULT_DATES,
	  "the certificate has expired" },
	{ "2 and another name",
	  OTHER_NAME,
	  WITH_BOTH,
	  { { 2, 0, 1, ROOT, 0 } },
	  { 0 },
	  TLS_FAULT_NAME,
	  "the certificate is for another name; it is for other.example.org" },
	{ "2 and the second of two names",
	  OTHER_NAME,
	  WITH_BOTH,
	  { { 2, 0, 1, ROOT, 0 } },
	  { "mx.example.net", "other.example.org" } },
	{ "2 and a wildcard", WILD, WITH_BOTH, { { 2, 1, 2, ROOT, 0 } } },
	{ "2 and a wildcard over two labels",
	  WILD,
	  WITH_BOTH,
	  { { 2, 1, 2, ROOT, 0 } },
	  { "a.b.example.net" },
	  TLS_FAULT_NAME,
	  "*.example.net" },
	{ "2 of the certificate itself",
	  SELF,
	  LEAF_ONLY,
	  { { 2, 0, 1, SELF, 0 } },
	  { 0 },
	  TLS_FAULT_MISMATCH,
	  "2 0 1" },
	/* usage 2: an issuer that only the record has */
	{ "2 0 0 of a root that was not sent", GOOD, WITH_INTERMEDIATE, { { 2, 0, 0, ROOT, 0 } } },
	{ "2 0 0 of an issuer right above, not sent", BELOW_ROOT, LEAF_ONLY, { { 2, 0, 0, ROOT, 0 } } },
	{ "2 0 0 of a root that was sent", GOOD, WITH_BOTH, { { 2, 0, 0, ROOT, 0 } } },
	{ "2 0 0 of an intermediate that was not sent", GOOD, LEAF_ONLY, { { 2, 0, 0, INTERMEDIATE, 0 } } },
	{ "2 0 0 of another root",
	  GOOD,
	  WITH_BOTH,
	  { { 2, 0, 0, OTHER_ROOT, 0 } },
	  { 0 },
	  TLS_FAULT_UNTRUSTED,
	  "leads to no known CA" },
	{ "2 0 0, no certificate",
	  GOOD,
	  WITH_BOTH,
	  { { 2, 0, 0, ROOT, CUT } },
	  { 0 },
	  TLS_FAULT_MISMATCH,
	  "2 0 0" },
	{ "2 1 0 of a root that was not sent", GOOD, WITH_INTERMEDIATE, { { 2, 1, 0, ROOT, 0 } } },
	{ "2 1 0 of a key right above, not sent", BELOW_ROOT, LEAF_ONLY, { { 2, 1, 0, ROOT, 0 } } },
	{ "2 1 0 of a root that was sent", GOOD, WITH_BOTH, { { 2, 1, 0, ROOT, 0 } } },
	{ "2 1 0 of another root",
	  GOOD,
	  WITH_INTERMEDIATE,
	  { { 2, 1, 0, OTHER_ROOT, 0 } },
	  { 0 },
	  TLS_FAULT_MISMATCH,
	  "2 1 0" },
	{ "2 1 0 and an expired certificate",
	  EXPIRED,
	  WITH_INTERMEDIATE,
	  { { 2, 1, 0, ROOT, 0 } },
	  { 0 },
	  TLS_FAULT_DATES,
	  "expired" },
	{ "2 1 0, another name right below",
	  BELOW_ROOT,
	  LEAF_ONLY,
	  { { 2, 1, 0, ROOT, 0 } },
	  { "mx.example.org" },
	  TLS_FAULT_NAME,
	  "it is for mx.example.net" },
	{ "2 1 0, an expired certificate right below",
	  EXPIRED_BELOW_ROOT,
	  LEAF_ONLY,
	  { { 2, 1, 0, ROOT, 0 } },
	  { 0 },
	  TLS_FAULT_DATES,
	  "expired" },
	{ "2 1 0, no key",
	  BELOW_ROOT,
	  LEAF_ONLY,
	  { { 2, 1, 0, ROOT, CUT } },
	  { 0 },
	  TLS_FAULT_MISMATCH,
	  "2 1 0" },
};

static void spoil(struct buf *data, int how)
{
	if (how == ONE_BIT_OFF)
		data->at[data->len / 2] ^= 1;
	if (how == CUT)
		buf_cut(data, data->len - 1);
}

static void run_row(struct world *w, size_t i)
{
	struct buf data[RECORDS];
	struct tls_tlsa tlsa[RECORDS];
	struct text names[2] = { TEXT("mx.example.net"), TEXT_EMPTY };
	struct tls_expectation expect = {
		.proof = TLS_PROOF_DANE, .names = names, .name_count = 1, .tlsa = tlsa
	};
	struct tls_context *server = server_context(w, rows[i].server, rows[i].chain);
	struct tls_context *client = client_context(w, i % 2, OTHER_ROOT);

	for (size_t n = 0; n < 2 && rows[i].names[n]; n++) {
		names[n] = text_from(rows[i].names[n]);
		expect.name_count = n + 1;
	}
	for (size_t n = 0; n < RECORDS; n++)
		data[n] = BUF(8192);
	for (; expect.tlsa_count < RECORDS &&
	       (expect.tlsa_count == 0 || rows[i].records[expect.tlsa_count].usage);
	     expect.tlsa_count++) {
		const struct record *r = &rows[i].records[expect.tlsa_count];
		struct buf *octets = &data[expect.tlsa_count];

		certificate_add_tlsa(&w->all[r->of], r->selector, r->matching, octets);
		spoil(octets, (int)r->spoiled);
		tlsa[expect.tlsa_count] = (struct tls_tlsa){ (uint8_t)r->usage, (uint8_t)r->selector,
			                                     (uint8_t)r->matching, buf_text(octets) };
	}
	shake_hands(w, server, client, &expect);
	if (w->of_client.err != (rows[i].fault ? ERR_CERTIFICATE : ERR_OK) ||
	    w->of_client.info.fault != rows[i].fault || w->of_client.info.verified != !rows[i].fault ||
	    w->of_client.info.by != (rows[i].fault ? TLS_BY_NOBODY : TLS_BY_DANE))
		fail_msg("%s: err %d, fault %d, by %d: %s", rows[i].name, (int)w->of_client.err,
		         (int)w->of_client.info.fault, (int)w->of_client.info.by, w->of_client.problem);
	if (rows[i].problem && !strstr(w->of_client.problem, rows[i].problem))
		fail_msg("%s: it says \"%s\"", rows[i].name, w->of_client.problem);
	for (size_t n = 0; n < RECORDS; n++)
		buf_fini(&data[n]);
	tls_context_unref(&client);
	tls_context_unref(&server);
}

static void certificates_fit_tlsa_records_or_do_not(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		run_row(*state, i);
}

static void so_they_do_under_tls_1_2(void **state)
{
	((struct world *)*state)->highest = TLS_1_2;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		run_row(*state, i);
}

/* ---------------------------------------------------------------- the other proofs */

static void expect_once(struct world *w, enum who server, enum chain chain, bool verify, enum who ca,
                        const struct tls_expectation *expect)
{
	struct tls_context *of_server = server_context(w, server, chain),
			   *of_client = client_context(w, verify, ca);

	shake_hands(w, of_server, of_client, expect);
	tls_context_unref(&of_client);
	tls_context_unref(&of_server);
}

static void names_are_looked_for_and_not_the_one_asked_for(void **state)
{
	static const struct {
		enum who server;
		const char *name;
		enum tls_fault fault;
	} cases[] = {
		{ GOOD, "mx.example.net", TLS_FAULT_NONE },
		{ GOOD, "MX.Example.NET.", TLS_FAULT_NONE },
		{ GOOD, "*.example.net", TLS_FAULT_NONE },
		{ GOOD, "*.net", TLS_FAULT_NAME },
		{ GOOD, "example.net", TLS_FAULT_NAME },
		{ OTHER_NAME, "other.example.org", TLS_FAULT_NONE },
		{ OTHER_NAME, "mx.example.net", TLS_FAULT_NAME },
		{ WILD, "mx.example.net", TLS_FAULT_NONE },
		{ WILD, "*.example.net", TLS_FAULT_NONE },
		{ WILD, "example.net", TLS_FAULT_NAME },
		{ WILD, "a.b.example.net", TLS_FAULT_NAME },
		{ WILD, ".example.net", TLS_FAULT_NAME },
		{ GOOD, "", TLS_FAULT_NAME },
		{ GOOD, "192.0.2.1", TLS_FAULT_NAME },
		{ EXPIRED, "mx.example.net", TLS_FAULT_DATES },
		{ SELF, "mx.example.net", TLS_FAULT_UNTRUSTED },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct world *w = *state;
		struct text name = text_from(cases[i].name);

		for (int verify = 0; verify < 2; verify++) {
			expect_once(w, cases[i].server, WITH_INTERMEDIATE, verify, ROOT,
			            &(struct tls_expectation){
					    .proof = TLS_PROOF_NAMES, .names = &name, .name_count = 1 });
			if (w->of_client.info.fault != cases[i].fault)
				fail_msg("%s, %zu: fault %d: %s", cases[i].name, i,
				         (int)w->of_client.info.fault, w->of_client.problem);
			assert_int_equal(w->of_client.err, cases[i].fault ? ERR_CERTIFICATE : ERR_OK);
			assert_int_equal(w->of_client.info.by, cases[i].fault ? TLS_BY_NOBODY : TLS_BY_CA);
		}
	}
}

static void without_a_name_nothing_is_proved(void **state)
{
	struct world *w = *state;

	expect_once(w, GOOD, WITH_BOTH, false, ROOT, &(struct tls_expectation){ .proof = TLS_PROOF_NAMES });
	assert_int_equal(w->of_client.err, ERR_CERTIFICATE);
	expect_once(w, GOOD, WITH_BOTH, false, ROOT, &(struct tls_expectation){ .proof = TLS_PROOF_DANE });
	assert_int_equal(w->of_client.err, ERR_CERTIFICATE);
	expect_once(w, GOOD, WITH_BOTH, false, ROOT, &(struct tls_expectation){ .proof = TLS_PROOF_PINS });
	assert_int_equal(w->of_client.err, ERR_CERTIFICATE);
}

static void a_pin_is_of_the_certificate_or_of_its_key(void **state)
{
	static const struct {
		enum who server, pinned;
		unsigned selector;
		bool fits;
	} cases[] = { { EXPIRED, EXPIRED, 0, true },
		      { EXPIRED, EXPIRED, 1, true },
		      { SELF, SELF, 1, true },
		      { GOOD, SELF, 1, false },
		      { GOOD, ROOT, 0, false } };

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct world *w = *state;
		struct buf digest = BUF(32);
		unsigned char pins[2][32] = { { 1, 2, 3 } };

		certificate_add_tlsa(&w->all[cases[i].pinned], cases[i].selector, 1, &digest);
		memcpy(pins[1], digest.at, 32);
		buf_fini(&digest);
		expect_once(w, cases[i].server, WITH_BOTH, i % 2, OTHER_ROOT,
		            &(struct tls_expectation){ .proof = TLS_PROOF_PINS,
		                                       .pins = (const unsigned char(*)[32])pins,
		                                       .pin_count = 2 });
		assert_int_equal(w->of_client.err, cases[i].fits ? ERR_OK : ERR_CERTIFICATE);
		assert_int_equal(w->of_client.info.verified, cases[i].fits);
		assert_int_equal(w->of_client.info.by, cases[i].fits ? TLS_BY_PIN : TLS_BY_NOBODY);
		if (!cases[i].fits)
			assert_non_null(strstr(w->of_client.problem, "the SHA-256 of its key is "));
	}
}

/* Also when the context would verify, and could. */
static void where_no_proof_is_wanted_none_is_called_one(void **state)
{
	struct world *w = *state;
	const struct tls_expectation none = { .proof = TLS_PROOF_NONE };

	expect_once(w, GOOD, WITH_BOTH, true, ROOT, &none);
	assert_int_equal(w->of_client.err, ERR_OK);
	assert_false(w->of_client.info.verified);
	expect_once(w, SELF, LEAF_ONLY, true, ROOT, &none);
	assert_int_equal(w->of_client.err, ERR_OK);
	assert_int_equal(w->of_client.info.by, TLS_BY_NOBODY);
	assert_int_equal(w->of_client.info.fault, TLS_FAULT_UNTRUSTED);
}

static void the_context_decides_where_nothing_is_said(void **state)
{
	struct world *w = *state;

	expect_once(w, GOOD, WITH_BOTH, true, ROOT, NULL);
	assert_int_equal(w->of_client.err, ERR_OK);
	assert_int_equal(w->of_client.info.by, TLS_BY_CA);
	expect_once(w, OTHER_NAME, WITH_BOTH, true, ROOT, NULL);
	assert_int_equal(w->of_client.err, ERR_CERTIFICATE);
	assert_int_equal(w->of_client.info.fault, TLS_FAULT_NAME);
	expect_once(w, OTHER_NAME, WITH_BOTH, false, ROOT, NULL);
	assert_int_equal(w->of_client.err, ERR_OK);
	assert_false(w->of_client.info.verified);
	assert_int_equal(w->of_client.info.fault, TLS_FAULT_NAME);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(certificates_fit_tlsa_records_or_do_not),
		TEST(so_they_do_under_tls_1_2),
		TEST(names_are_looked_for_and_not_the_one_asked_for),
		TEST(without_a_name_nothing_is_proved),
		TEST(a_pin_is_of_the_certificate_or_of_its_key),
		TEST(where_no_proof_is_wanted_none_is_called_one),
		TEST(the_context_decides_where_nothing_is_said),
	};

	return cmocka_run_group_tests(tests, make_certificates, free_certificates);
}
