/* What is counted for reports on TLS, what they look like, and what a restart leaves of it. */
#include "report_book.h"

#include <stdio.h>
#include <zlib.h>

#include <postrider/base/arena.h>
#include <postrider/http/json.h>

#include "internal.h"
#include "report_render.h"
#include "support/alloc.h"
#include "support/check.h"
#include "sts_domain.h"

#define DAY 20779 /* 2026-11-22 */

static struct policy_domain *domain_policy(const char *domain, enum policy_mode mode)
{
	static const struct text mx[] = { LIT("mx1.example.com"), LIT("*.example.net") };
	struct sts_file file = { .mode = mode, .max_age_ms = 86400 * SECOND_MS, .mx = mx, .mx_count = 2 };
	struct policy_domain *d = policy_domain_new(text_from(domain), TEXT("1"), &file);

	assert_non_null(d);
	return d;
}

static struct policy_report note_of(const char *domain, enum policy_failure failure)
{
	struct policy_report n = { .domain = text_from(domain),
		                   .mx = TEXT("mx1.example.com"),
		                   .failure = failure,
		                   .problem = failure ? TEXT("so it was") : TEXT_EMPTY };

	assert_int_equal(ip_parse(TEXT("192.0.2.1"), &n.remote), ERR_OK);
	assert_int_equal(ip_parse(TEXT("2001:db8::25"), &n.local), ERR_OK);
	return n;
}

static struct report_domain *only(const struct report_book *b)
{
	return LIST_FIRST(list_is_empty(&b->open) ? &b->closed : &b->open, struct report_domain, link);
}

static void begin(struct report_book *b)
{
	report_book_init(b, 1);
	report_book_turn(b, DAY);
}

/* "type domain successes/failures (failure xN, ...); ..." */
static void describe(const struct report_domain *d, struct buf *out)
{
	buf_reset(out);
	for (LIST_EACH(it, &d->policies)) {
		const struct report_policy *p = LIST_ITEM(it, const struct report_policy, link);

		buf_add_format(out, "%u %.*s %llu/%llu", p->type, TEXT_ARGS(p->domain),
		               (unsigned long long)p->successes, (unsigned long long)p->failures);
		for (LIST_EACH(at, &p->details)) {
			const struct report_detail *f = LIST_ITEM(at, const struct report_detail, link);

			buf_add_format(out, " %u:%.*s x%llu", f->failure, TEXT_ARGS(f->mx),
			               (unsigned long long)f->count);
		}
		buf_add_string(out, "; ");
	}
}

static void expect_book(const struct report_domain *d, const char *words)
{
	struct buf out = BUF(4096);

	describe(d, &out);
	CHECK_TEXT("counted", buf_text(&out), text_from(words));
	buf_fini(&out);
}

static void sessions_are_counted_by_policy(void **state)
{
	struct policy_domain *sts = domain_policy("example.com", POLICY_MODE_ENFORCE);
	struct policy_domain *same = domain_policy("example.com", POLICY_MODE_ENFORCE);
	struct policy_domain *testing = domain_policy("example.com", POLICY_MODE_TESTING);
	struct report_book b;
	struct policy_report n = note_of("example.com", POLICY_SUCCEEDED);

	(void)state;
	begin(&b);
	report_book_note(&b, &n);
	n.domain = TEXT("Example.COM");
	report_book_note(&b, &n);
	n.policy = sts;
	report_book_note(&b, &n);
	n.policy = same; /* another object that says the same */
	report_book_note(&b, &n);
	n.failure = POLICY_CERTIFICATE_EXPIRED;
	report_book_note(&b, &n);
	report_book_note(&b, &n);
	n.mx = TEXT("mx2.example.com");
	report_book_note(&b, &n);
	n.policy = testing;
	report_book_note(&b, &n);
	assert_int_equal(b.domains, 1);
	expect_book(only(&b),
	            "0 example.com 2/0; 1 Example.COM 2/3 3:mx1.example.com x2 3:mx2.example.com x1; "
	            "1 Example.COM 0/1 3:mx2.example.com x1; ");
	report_book_fini(&b);
	policy_domain_unref(&sts);
	policy_domain_unref(&same);
	policy_domain_unref(&testing);
}

static struct policy_host *host_with_records(void)
{
	struct policy_host *h = calloc(1, sizeof(*h) + 2 * sizeof(h->records[0]));

	assert_non_null(h);
	h->references = 1;
	h->base = TEXT("mx1.example.com");
	h->count = h->usable_count = 2;
	h->records[0] = (struct tls_tlsa){ 3, 1, 1, TEXT("\x01\xab") };
	h->records[1] = (struct tls_tlsa){ 2, 0, 2, TEXT("\xff") };
	return h;
}

static void hosts_with_tlsa_records_are_policies_of_their_own(void **state)
{
	struct policy_domain *sts = domain_policy("example.com", POLICY_MODE_ENFORCE);
	struct policy_host *host = host_with_records();
	struct report_book b;
	struct policy_report n = note_of("example.com", POLICY_SUCCEEDED);

	(void)state;
	begin(&b);
	n.policy = sts; /* DANE counts before it */
	n.host = host;
	report_book_note(&b, &n);
	n.failure = POLICY_VALIDATION_FAILURE;
	report_book_note(&b, &n);
	expect_book(only(&b), "2 mx1.example.com 1/1 5:mx1.example.com x1; ");
	CHECK_TEXT("lines", LIST_FIRST(&only(&b)->policies, struct report_policy, link)->lines,
	           TEXT("3 1 1 01ab\n2 0 2 ff"));
	report_book_fini(&b);
	policy_domain_unref(&sts);
	free(host);
}

static void fetches_that_fail_are_counted(void **state)
{
	struct report_book b;

	(void)state;
	begin(&b);
	report_book_note_fetch(&b, TEXT("example.com"), POLICY_STS_POLICY_FETCH_ERROR,
	                       TEXT("it answered 404"));
	report_book_note_fetch(&b, TEXT("example.com"), POLICY_STS_POLICY_FETCH_ERROR,
	                       TEXT("it answered 404"));
	report_book_note_fetch(&b, TEXT("example.com"), POLICY_STS_WEBPKI_INVALID, TEXT("expired"));
	expect_book(only(&b), "1 example.com 0/3 9: x2 11: x1; ");
	report_book_fini(&b);
}

static void a_new_day_begins_a_new_page(void **state)
{
	struct report_book b;
	struct policy_report n = note_of("example.com", POLICY_SUCCEEDED);

	(void)state;
	begin(&b);
	report_book_note(&b, &n);
	assert_false(report_book_turn(&b, DAY));
	assert_true(report_book_turn(&b, DAY + 1));
	assert_true(list_is_empty(&b.open));
	report_book_note(&b, &n);
	report_book_note(&b, &n);
	assert_int_equal(b.domains, 2);
	expect_book(LIST_FIRST(&b.closed, struct report_domain, link), "0 example.com 1/0; ");
	expect_book(LIST_FIRST(&b.open, struct report_domain, link), "0 example.com 2/0; ");
	report_book_drop(&b, LIST_FIRST(&b.closed, struct report_domain, link));
	report_book_note(&b, &n);
	expect_book(only(&b), "0 example.com 3/0; ");
	report_book_fini(&b);
}

static void what_does_not_fit_is_counted(void **state)
{
	struct report_book b;
	struct policy_report n = note_of("example.com", POLICY_CERTIFICATE_EXPIRED);
	const struct report_policy *p;
	char words[64];

	(void)state;
	begin(&b);
	for (unsigned i = 0; i < 3 * REPORT_DETAILS_MAX; i++) {
		n.problem = text_of(words, (size_t)snprintf(words, sizeof(words), "reason %u", i));
		assert_true(report_book_note(&b, &n));
	}
	p = LIST_FIRST(&only(&b)->policies, const struct report_policy, link);
	assert_int_equal(p->failures, 3 * REPORT_DETAILS_MAX);
	assert_int_equal(p->detail_count, REPORT_DETAILS_MAX + 1);
	assert_int_equal(LIST_ITEM(p->details.prev, struct report_detail, link)->count,
	                 2 * REPORT_DETAILS_MAX);
	assert_int_equal(LIST_ITEM(p->details.prev, struct report_detail, link)->mx.len, 0);
	report_book_fini(&b);
}

static void domains_are_bounded(void **state)
{
	struct report_book b;
	struct policy_report n = note_of("", POLICY_SUCCEEDED);
	char name[64];
	unsigned fitted = 0;

	(void)state;
	begin(&b);
	for (unsigned i = 0; i < REPORT_DOMAINS_MAX + 100; i++) {
		n.domain = text_of(name, (size_t)snprintf(name, sizeof(name), "d%u.example", i));
		fitted += report_book_note(&b, &n);
	}
	assert_true(fitted <= REPORT_DOMAINS_MAX && fitted > 10000);
	assert_int_equal(b.overflow, REPORT_DOMAINS_MAX + 100 - fitted);
	assert_true(b.bytes <= REPORT_BYTES_MAX);
	report_book_fini(&b);
}

static void octets_are_bounded(void **state)
{
	struct report_book b;
	struct policy_report n = note_of("", POLICY_VALIDATION_FAILURE);
	char name[64], reason[REPORT_REASON_MAX + 1];

	(void)state;
	begin(&b);
	for (unsigned i = 0; i < 100000; i++) {
		n.domain = text_of(name, (size_t)snprintf(name, sizeof(name), "d%u.example", i % 5000));
		n.problem = text_of(reason, (size_t)snprintf(reason, sizeof(reason), "%0199u", i));
		report_book_note(&b, &n);
	}
	assert_in_range(b.bytes, REPORT_BYTES_MAX - 4096, REPORT_BYTES_MAX);
	while (!list_is_empty(&b.open))
		report_book_drop(&b, LIST_FIRST(&b.open, struct report_domain, link));
	assert_int_equal(b.bytes, 0);
	assert_int_equal(b.domains, 0);
	report_book_fini(&b);
}

/* ---------------------------------------------------------------- disk */

static void fill(struct report_book *b)
{
	struct policy_domain *sts = domain_policy("example.com", POLICY_MODE_ENFORCE);
	struct policy_report n = note_of("example.com", POLICY_CERTIFICATE_NOT_TRUSTED);

	begin(b);
	report_book_note(b, &n);
	report_book_turn(b, DAY + 1);
	n.policy = sts;
	report_book_note(b, &n);
	n.failure = POLICY_SUCCEEDED;
	n.local = (struct ip){ 0 };
	report_book_note(b, &n);
	n.domain = TEXT("example.org");
	report_book_note(b, &n);
	report_book_note_fetch(b, TEXT("example.org"), POLICY_STS_POLICY_INVALID, TEXT("gr\xc3\xbc\xc3\x9f"));
	policy_domain_unref(&sts);
	LIST_FIRST(&b->closed, struct report_domain, link)->tries = 2;
	LIST_FIRST(&b->closed, struct report_domain, link)->sent = 5;
}

static void a_book_is_written_and_read_again(void **state)
{
	struct report_book b, again;
	struct buf first = BUF(1 << 20), second = BUF(1 << 20);

	(void)state;
	fill(&b);
	report_book_encode(&b, &first);
	assert_int_equal(buf_err(&first), ERR_OK);
	report_book_init(&again, 2);
	assert_int_equal(report_book_decode(&again, buf_text(&first)), ERR_OK);
	report_book_encode(&again, &second);
	CHECK_TEXT("again", buf_text(&second), buf_text(&first));
	assert_int_equal(again.bytes, b.bytes);
	assert_int_equal(again.day, DAY + 1);
	buf_fini(&first);
	buf_fini(&second);
	report_book_fini(&b);
	report_book_fini(&again);
}

static void damage_is_found_and_harms_nothing(void **state)
{
	struct report_book b;
	struct buf whole = BUF(1 << 20);

	(void)state;
	fill(&b);
	report_book_encode(&b, &whole);
	report_book_fini(&b);
	for (size_t at = 0; at < whole.len; at++)
		for (unsigned way = 0; way < 3; way++) {
			char *copy = alone(buf_text(&whole));
			struct text t = text_of(copy, way == 2 ? at : whole.len);
			enum err err;

			if (way < 2)
				copy[at] ^= way ? 0x80 : 0x01;
			report_book_init(&b, 1);
			err = report_book_decode(&b, t);
			assert_true(err == ERR_OK || err == ERR_DAMAGED || err == ERR_UNSUPPORTED);
			report_book_fini(&b);
			free(copy);
		}
	buf_fini(&whole);
}

static void memory_that_runs_out_loses_no_more_than_one_count(void **state)
{
	(void)state;
	for (EACH_ALLOC_FAILING) {
		struct policy_report n = note_of("example.com", POLICY_DANE_REQUIRED);
		struct report_book b;

		begin(&b);
		report_book_note(&b, &n);
		assert_true(b.overflow == 0 || b.overflow == 1);
		report_book_fini(&b);
	}
}

/* ---------------------------------------------------------------- what it looks like */

static const struct report_head head = { .organization = LIT("Example \"Ltd\""),
	                                 .contact = LIT("postmaster@relay.example"),
	                                 .submitter = LIT("relay.example") };

static void a_report_is_the_json_of_the_rfc(void **state)
{
	struct report_book b;
	struct report_domain *d;
	struct buf json = BUF(1 << 20);

	(void)state;
	fill(&b);
	d = LIST_FIRST(&b.open, struct report_domain, link);
	d->nonce = 0x3fa9c1d2;
	report_add_json(&json, d, &head);
	CHECK_TEXT(
		"json", buf_text(&json),
		TEXT("{\"organization-name\":\"Example \\\"Ltd\\\"\",\"date-range\":{\"start-datetime\":"
	             "\"2026-11-23T00:00:00Z\",\"end-datetime\":\"2026-11-23T23:59:59Z\"},\"contact-info\":"
	             "\"postmaster@relay.example\",\"report-id\":\"2026-11-23.3fa9c1d2.example.com@relay.example\","
	             "\"policies\":[{\"policy\":{\"policy-type\":\"sts\",\"policy-string\":[\"version: STSv1\",\"mode: "
	             "enforce\",\"mx: mx1.example.com\",\"mx: *.example.net\",\"max_age: 86400\"],\"policy-domain\":"
	             "\"example.com\",\"mx-host\":[\"mx1.example.com\",\"*.example.net\"]},\"summary\":{"
	             "\"total-successful-session-count\":1,\"total-failure-session-count\":1},\"failure-details\":[{"
	             "\"result-type\":\"certificate-not-trusted\",\"sending-mta-ip\":\"2001:db8::25\","
	             "\"receiving-mx-hostname\":\"mx1.example.com\",\"receiving-ip\":\"192.0.2.1\","
	             "\"failed-session-count\":1,\"failure-reason-code\":\"so it was\"}]}]}"));
	report_book_fini(&b);
	buf_fini(&json);
}

static void every_report_is_json(void **state)
{
	struct report_book b;

	(void)state;
	fill(&b);
	report_book_turn(&b, DAY + 2);
	for (LIST_EACH(it, &b.closed)) {
		struct report_domain *d = LIST_ITEM(it, struct report_domain, link);
		struct buf text = BUF(1 << 20);
		struct json *json = NULL;

		report_add_json(&text, d, &head);
		assert_int_equal(json_parse(buf_text(&text), &json, NULL), ERR_OK);
		assert_int_equal(json_count(json_member(json, "policies")), d->policy_count);
		json_free(&json);
		buf_fini(&text);
	}
	report_book_fini(&b);
}

static void it_is_compressed_and_comes_out_the_same(void **state)
{
	size_t sizes[] = { 0, 1, 1000, 100000 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		char *text = malloc(sizes[i] + 1), *back = calloc(1, sizes[i] + 1);
		struct buf gzip = BUF(1 << 20);
		z_stream z = { 0 };

		for (size_t n = 0; n < sizes[i]; n++)
			text[n] = "{\"report\":"[n * 7 % 10];
		assert_int_equal(report_gzip(text_of(text, sizes[i]), &gzip), ERR_OK);
		assert_true(gzip.len < sizes[i] / 10 + 64);
		z.next_in = (Bytef *)gzip.at;
		z.avail_in = (uInt)gzip.len;
		z.next_out = (Bytef *)back;
		z.avail_out = (uInt)sizes[i] + 1;
		assert_int_equal(inflateInit2(&z, 15 + 16), Z_OK);
		assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
		assert_int_equal(z.total_out, sizes[i]);
		assert_memory_equal(text, back, sizes[i]);
		inflateEnd(&z);
		buf_fini(&gzip);
		free(text);
		free(back);
	}
}

static void compressing_needs_room_and_memory(void **state)
{
	struct buf small = BUF(10);

	(void)state;
	assert_int_equal(report_gzip(TEXT("hello"), &small), ERR_TOO_BIG);
	buf_fini(&small);
	for (EACH_ALLOC_FAILING) {
		struct buf gzip = BUF(1 << 20);
		enum err err = report_gzip(TEXT("hello"), &gzip);

		assert_true(err == ERR_OK || err == ERR_NOMEM);
		buf_fini(&gzip);
	}
}

static void the_mail_is_as_the_rfc_says(void **state)
{
	struct report_book b;
	struct buf out = BUF(1 << 20);
	struct report_mail mail = {
		.head = head,
		.to = TEXT("tls@example.com"),
		.now_time = INT64_C(1795478400000),
		.gzip = TEXT("not really gzip, but long enough to need a second line of base64")
	};

	(void)state;
	fill(&b);
	LIST_FIRST(&b.open, struct report_domain, link)->nonce = 0x3fa9c1d2;
	mail.domain = LIST_FIRST(&b.open, struct report_domain, link);
	assert_int_equal(id_from_text(TEXT("01HF000000000000000000000A"), &mail.id), ERR_OK);
	report_add_mail(&out, &mail);
	CHECK_TEXT("mail", buf_text(&out),
	           TEXT("From: <postmaster@relay.example>\r\n"
	                "To: <tls@example.com>\r\n"
	                "Subject: Report Domain: example.com\r\n"
	                " Submitter: relay.example\r\n"
	                " Report-ID: <2026-11-23.3fa9c1d2.example.com@relay.example>\r\n"
	                "TLS-Report-Domain: example.com\r\n"
	                "TLS-Report-Submitter: relay.example\r\n"
	                "Date: Tue, 24 Nov 2026 00:00:00 +0000\r\n"
	                "Message-ID: <01HF000000000000000000000A@relay.example>\r\n"
	                "Auto-Submitted: auto-generated\r\n"
	                "TLS-Required: No\r\n"
	                "MIME-Version: 1.0\r\n"
	                "Content-Language: en\r\n"
	                "Content-Type: multipart/report; report-type=\"tlsrpt\";\r\n"
	                "\tboundary=\"=_01HF000000000000000000000A\"\r\n"
	                "\r\n"
	                "--=_01HF000000000000000000000A\r\n"
	                "Content-Type: text/plain; charset=us-ascii\r\n"
	                "\r\n"
	                "This is an aggregate report on TLS (RFC 8460): how connections from\r\n"
	                "relay.example to the mail hosts of\r\n"
	                "example.com went\r\n"
	                "on 2026-11-23 (UTC). The report is attached.\r\n"
	                "\r\n"
	                "--=_01HF000000000000000000000A\r\n"
	                "Content-Type: application/tlsrpt+gzip\r\n"
	                "Content-Transfer-Encoding: base64\r\n"
	                "Content-Disposition: attachment;\r\n"
	                "\tfilename=\"relay.example!example.com!1795392000!1795478399!3fa9c1d2.json.gz\"\r\n"
	                "\r\n"
	                "bm90IHJlYWxseSBnemlwLCBidXQgbG9uZyBlbm91Z2ggdG8gbmVlZCBhIHNlY29uZCBsaW5lIG9m\r\n"
	                "IGJhc2U2NA==\r\n"
	                "\r\n"
	                "--=_01HF000000000000000000000A--\r\n"));
	report_book_fini(&b);
	buf_fini(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sessions_are_counted_by_policy),
		cmocka_unit_test(hosts_with_tlsa_records_are_policies_of_their_own),
		cmocka_unit_test(fetches_that_fail_are_counted),
		cmocka_unit_test(a_new_day_begins_a_new_page),
		cmocka_unit_test(what_does_not_fit_is_counted),
		cmocka_unit_test(domains_are_bounded),
		cmocka_unit_test(octets_are_bounded),
		cmocka_unit_test(a_book_is_written_and_read_again),
		cmocka_unit_test(damage_is_found_and_harms_nothing),
		cmocka_unit_test(memory_that_runs_out_loses_no_more_than_one_count),
		cmocka_unit_test(a_report_is_the_json_of_the_rfc),
		cmocka_unit_test(every_report_is_json),
		cmocka_unit_test(it_is_compressed_and_comes_out_the_same),
		cmocka_unit_test(compressing_needs_room_and_memory),
		cmocka_unit_test(the_mail_is_as_the_rfc_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
