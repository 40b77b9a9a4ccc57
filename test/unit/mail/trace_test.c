#include <postrider/mail/trace.h>

#include <postrider/mail/header.h>
#include <postrider/smtp/data.h>

#include "support/check.h"

static struct trace plain(void)
{
	return (struct trace){
		.helo = TEXT("app.example.com"),
		.client = ip_from_v4(0xc0000201),
		.hostname = TEXT("relay.example.com"),
		.protocol = TEXT("ESMTP"),
		.received_time = 1767323045678,
	};
}

static void check(const char *name, const struct trace *t, struct text expected)
{
	struct buf b = BUF(10000);

	trace_add_received(&b, t);
	CHECK_TEXT(name, buf_text(&b), expected);
	buf_fini(&b);
}

#define BY "\r\n\tby relay.example.com with ESMTP id 00000000000000000000000000"
#define DATE "; Fri, 2 Jan 2026 03:04:05 +0000\r\n"
#define DATE_BELOW ";\r\n\tFri, 2 Jan 2026 03:04:05 +0000\r\n"

static void received_says_who_and_when(void **state)
{
	struct trace t = plain();

	(void)state;
	check("plain", &t, TEXT("Received: from app.example.com ([192.0.2.1])" BY DATE_BELOW));
	t.client_name = TEXT("app-1.example.com");
	check("a name from the DNS", &t,
	      TEXT("Received: from app.example.com (app-1.example.com [192.0.2.1])" BY DATE_BELOW));
	t = plain();
	t.client = (struct ip){ .family = IP_NONE };
	check("a Unix socket", &t, TEXT("Received: from app.example.com (local)" BY DATE_BELOW));
	t = plain();
	t.helo = TEXT("[IPv6:2001:db8::1]");
	check("a literal", &t, TEXT("Received: from [IPv6:2001:db8::1] ([192.0.2.1])" BY DATE_BELOW));
	t.helo = TEXT("");
	check("no name", &t, TEXT("Received: from unknown ([192.0.2.1])" BY DATE_BELOW));
	t = plain();
	t.forward_path = TEXT("bob@example.org");
	check("a single recipient", &t,
	      TEXT("Received: from app.example.com ([192.0.2.1])" BY "\r\n\tfor <bob@example.org>" DATE));
	t.tls = TEXT("TLSv1.3 TLS_AES_128_GCM_SHA256");
	check("TLS", &t,
	      TEXT("Received: from app.example.com ([192.0.2.1])" BY "\r\n\t(TLSv1.3 TLS_AES_128_GCM_SHA256)"
	           "\r\n\tfor <bob@example.org>" DATE));
}

static void received_says_which_local_user(void **state)
{
	struct trace t = plain();

	(void)state;
	t.helo = t.protocol = TEXT("local");
	t.local_user = TEXT("userid 1000");
	check("a user", &t,
	      TEXT("Received: by relay.example.com (from userid 1000) with local\r\n\tid "
	           "00000000000000000000000000; Fri, 2 Jan 2026 03:04:05 +0000\r\n"));
	t.local_user = TEXT("userid 1) x\r\nBcc: y");
	check("nothing ends the comment", &t,
	      TEXT("Received: by relay.example.com (from userid 1? x??Bcc: y) with local\r\n\tid "
	           "00000000000000000000000000; Fri, 2 Jan 2026 03:04:05 +0000\r\n"));
}

static void what_a_client_says_cannot_end_the_field(void **state)
{
	struct trace t = plain();

	(void)state;
	t.helo = TEXT("a\r\nBcc: x@y\r\n\r\nbody");
	check("line ends", &t, TEXT("Received: from a??Bcc:?x@y????body ([192.0.2.1])" BY DATE_BELOW));
	t.helo = TEXT("a) (b [1]; \\\"<>,\0\x7f\xff");
	check("comments, paths and dates", &t,
	      TEXT("Received: from a???b?[1]?????????? ([192.0.2.1])" BY DATE_BELOW));
	t = plain();
	t.client_name = TEXT("x\ny)");
	check("a name from the DNS", &t,
	      TEXT("Received: from app.example.com (x?y? [192.0.2.1])" BY DATE_BELOW));
	t = plain();
	t.forward_path = TEXT("a\r\n\xff@b");
	check("a path", &t,
	      TEXT("Received: from app.example.com ([192.0.2.1])" BY "\r\n\tfor <a???@b>" DATE));
}

/* Whatever the lengths: one field, no line over 998, and over 78 only where a word is so long. */
static void lines_stay_short(void **state)
{
	char long_name[2000];

	(void)state;
	memset(long_name, 'x', sizeof(long_name));
	for (size_t len = 1; len < 2000; len += len < 100 ? 1 : 131) {
		struct trace t = plain();
		struct buf b = BUF(10000);
		struct header_field field;

		t.helo = text_of(long_name, len);
		t.client_name = text_of(long_name, MIN(len, 255));
		t.forward_path = text_of(long_name, MIN(len, 254));
		t.tls = TEXT(
			"TLSv1.2 TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 and more words of which it may say many");
		trace_add_received(&b, &t);
		struct text rest = buf_text(&b);

		assert_true(data_is_clean(rest));
		assert_true(header_next(&rest, &field) && rest.len == 0);
		for (struct text lines = buf_text(&b); lines.len;) {
			struct text line = text_cut(&lines, '\n');

			assert_true(line.len <= 999);
			if (len < 30)
				assert_true(line.len <= 79);
		}
		buf_fini(&b);
	}
}

static void the_with_keyword_follows_the_session(void **state)
{
	(void)state;
	CHECK_TEXT("HELO", trace_protocol(false, false, false, false), TEXT("SMTP"));
	CHECK_TEXT("EHLO", trace_protocol(true, false, false, false), TEXT("ESMTP"));
	CHECK_TEXT("TLS", trace_protocol(true, true, false, false), TEXT("ESMTPS"));
	CHECK_TEXT("AUTH", trace_protocol(true, false, true, false), TEXT("ESMTPA"));
	CHECK_TEXT("both", trace_protocol(true, true, true, false), TEXT("ESMTPSA"));
	CHECK_TEXT("SMTPUTF8", trace_protocol(true, false, false, true), TEXT("UTF8SMTP"));
	CHECK_TEXT("SMTPUTF8, TLS", trace_protocol(true, true, false, true), TEXT("UTF8SMTPS"));
	CHECK_TEXT("SMTPUTF8, AUTH", trace_protocol(true, false, true, true), TEXT("UTF8SMTPA"));
	CHECK_TEXT("SMTPUTF8, both", trace_protocol(true, true, true, true), TEXT("UTF8SMTPSA"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(received_says_who_and_when),
		cmocka_unit_test(received_says_which_local_user),
		cmocka_unit_test(what_a_client_says_cannot_end_the_field),
		cmocka_unit_test(lines_stay_short),
		cmocka_unit_test(the_with_keyword_follows_the_session),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
