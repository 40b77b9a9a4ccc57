/* The TXT record by which a domain asks for reports. */
#include "report_txt.h"

#include <postrider/base/buf.h>

#include "support/alloc.h"
#include "support/check.h"

#define TEN                                                                                               \
	"mailto:a@x.example,mailto:b@x.example,mailto:c@x.example,mailto:d@x.example,mailto:e@x.example," \
	"mailto:f@x.example,mailto:g@x.example,mailto:h@x.example,mailto:i@x.example,mailto:j@x.example"
#define TEN_ARE                                                                                \
	"<a@x.example> <b@x.example> <c@x.example> <d@x.example> <e@x.example> <f@x.example> " \
	"<g@x.example> <h@x.example> <i@x.example> <j@x.example>"

static const struct {
	const char *name;
	struct text records[3];
	const char *places; /* mailboxes in brackets, URLs as they are; NULL: nobody asks */
} rows[] = {
	{ "mail, as in the RFC",
	  { LIT("v=TLSRPTv1;rua=mailto:reports@example.com") },
	  "<reports@example.com>" },
	{ "https, as in the RFC",
	  { LIT("v=TLSRPTv1; rua=https://reporting.example.com/v1/tlsrpt") },
	  "https://reporting.example.com/v1/tlsrpt" },
	{ "two, with spaces",
	  { LIT("v=TLSRPTv1; rua=mailto:a@x.example , https://x.example/t ;") },
	  "<a@x.example> https://x.example/t" },
	{ "the same twice",
	  { LIT("v=TLSRPTv1; rua=mailto:a@x.example,mailto:a@x.example") },
	  "<a@x.example>" },
	{ "the scheme in capitals", { LIT("v=TLSRPTv1; rua=MAILTO:a@x.example") }, "<a@x.example>" },
	{ "percent-encoding", { LIT("v=TLSRPTv1; rua=mailto:a%2Bb%21@x.example") }, "<a+b!@x.example>" },
	{ "header fields are not taken",
	  { LIT("v=TLSRPTv1; rua=mailto:a@x.example?subject=x&bcc=b@y.example") },
	  "<a@x.example>" },
	{ "an equals sign in a URL",
	  { LIT("v=TLSRPTv1; rua=https://x.example/?a=b") },
	  "https://x.example/?a=b" },
	{ "another scheme beside it",
	  { LIT("v=TLSRPTv1; rua=ftp://x.example/,mailto:a@x.example") },
	  "<a@x.example>" },
	{ "a broken one beside it", { LIT("v=TLSRPTv1; rua=mailto:,mailto:a@x.example") }, "<a@x.example>" },
	{ "an extension", { LIT("v=TLSRPTv1; new=1; rua=mailto:a@x.example; other=2") }, "<a@x.example>" },
	{ "another record beside it",
	  { LIT("v=STSv1; id=1"), LIT("v=TLSRPTv1; rua=mailto:a@x.example") },
	  "<a@x.example>" },
	{ "more than ten", { LIT("v=TLSRPTv1; rua=" TEN ",mailto:k@x.example") }, TEN_ARE },

	{ "none", { LIT("v=spf1 -all") }, NULL },
	{ "two records",
	  { LIT("v=TLSRPTv1; rua=mailto:a@x.example"), LIT("v=TLSRPTv1; rua=mailto:b@x.example") },
	  NULL },
	{ "the version in small letters", { LIT("v=tlsrptv1; rua=mailto:a@x.example") }, NULL },
	{ "no rua", { LIT("v=TLSRPTv1;") }, NULL },
	{ "an empty rua", { LIT("v=TLSRPTv1; rua=") }, NULL },
	{ "no scheme", { LIT("v=TLSRPTv1; rua=a@x.example") }, NULL },
	{ "http", { LIT("v=TLSRPTv1; rua=http://x.example/") }, NULL },
	{ "https at another port", { LIT("v=TLSRPTv1; rua=https://x.example:25/") }, NULL },
	{ "https without a host", { LIT("v=TLSRPTv1; rua=https:///x") }, NULL },
	{ "a password in the URL", { LIT("v=TLSRPTv1; rua=https://a:b@x.example/") }, NULL },
	{ "a line end smuggled in", { LIT("v=TLSRPTv1; rua=mailto:a%0D%0ABcc:%20b@x.example") }, NULL },
	{ "a NUL smuggled in", { LIT("v=TLSRPTv1; rua=mailto:a%00@x.example") }, NULL },
	{ "half of a percent", { LIT("v=TLSRPTv1; rua=mailto:a%2@x.example") }, NULL },
	{ "a percent at the end", { LIT("v=TLSRPTv1; rua=mailto:a@x.example%") }, NULL },
	{ "two addresses in one", { LIT("v=TLSRPTv1; rua=mailto:a@x.example%2Cb@x.example") }, NULL },
	{ "no address", { LIT("v=TLSRPTv1; rua=mailto:postmaster") }, NULL },
	{ "a field that is none", { LIT("v=TLSRPTv1; rua=mailto:a@x.example; x") }, NULL },
};

static enum err parse(const struct text *records, struct buf *out)
{
	size_t count = 0;
	struct report_places places;
	struct arena arena;
	enum err err;

	while (count < 3 && records[count].at)
		count++;
	arena_init(&arena, 256u << 10);
	err = report_txt_parse(records, count, &arena, &places);
	for (size_t i = 0; !err && i < places.count; i++)
		buf_add_format(out, places.items[i].is_mail ? "%s<%.*s>" : "%s%.*s", i ? " " : "",
		               TEXT_ARGS(places.items[i].to));
	arena_fini(&arena);
	return err;
}

static void who_asks_for_reports_is_read_as_the_rfc_says(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct buf places = BUF(4096);

		CHECK_INT(rows[i].name, parse(rows[i].records, &places),
		          rows[i].places ? ERR_OK : ERR_NOT_FOUND);
		CHECK_TEXT(rows[i].name, buf_text(&places), text_from(rows[i].places));
		buf_fini(&places);
	}
}

static void memory_that_runs_out_is_not_taken_for_nobody(void **state)
{
	(void)state;
	for (EACH_ALLOC_FAILING) {
		struct buf places = BUF(4096);
		enum err err = parse(rows[2].records, &places);

		assert_true(err == ERR_OK || err == ERR_NOMEM);
		buf_fini(&places);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_asks_for_reports_is_read_as_the_rfc_says),
		cmocka_unit_test(memory_that_runs_out_is_not_taken_for_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
