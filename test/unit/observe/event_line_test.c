#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <postrider/base/auto.h>
#include <postrider/observe/json_text.h>
#include <postrider/observe/observe.h>

static const struct {
	const char *name;
	struct text in;
	struct text out;
} string_cases[] = {
	{ "plain", LIT("250 2.0.0 Ok"), LIT("250 2.0.0 Ok") },
	{ "empty", LIT(""), LIT("") },
	{ "quote and backslash", LIT("a\"b\\c"), LIT("a\\\"b\\\\c") },
	{ "line ends and tab", LIT("a\r\n\tb"), LIT("a\\r\\n\\tb") },
	{ "NUL, other controls, DEL", LIT("\0\x01\x1b\x7f"), LIT("\\u0000\\u0001\\u001b\\u007f") },
	{ "UTF-8 of two, three and four octets", LIT("\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80"),
	  LIT("\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80") },
	{ "the C1 controls, and what is beside them", LIT("\xc2\x80\xc2\x85\xc2\x9b\xc2\x9f\xc2\xa0"),
	  LIT("\\u0080\\u0085\\u009b\\u009f\xc2\xa0") },
	{ "line and paragraph separators", LIT("a\xe2\x80\xa8z\xe2\x80\xa9\xe2\x80\xa7\xe2\x80\xaa"),
	  LIT("a\\u2028z\\u2029\xe2\x80\xa7\xe2\x80\xaa") },
	{ "Latin-1", LIT("M\xfcller"), LIT("M\xef\xbf\xbdller") },
	{ "a lone continuation", LIT("\x80"), LIT("\xef\xbf\xbd") },
	{ "overlong of two octets", LIT("\xc0\xaf"), LIT("\xef\xbf\xbd\xef\xbf\xbd") },
	{ "overlong of three octets", LIT("\xe0\x80\xaf"), LIT("\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd") },
	{ "overlong of four octets", LIT("\xf0\x80\x80\xaf"),
	  LIT("\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd") },
	{ "the last before the surrogates", LIT("\xed\x9f\xbf"), LIT("\xed\x9f\xbf") },
	{ "a surrogate", LIT("\xed\xa0\x80"), LIT("\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd") },
	{ "the last code point", LIT("\xf4\x8f\xbf\xbf"), LIT("\xf4\x8f\xbf\xbf") },
	{ "above U+10FFFF", LIT("\xf4\x90\x80\x80"),
	  LIT("\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd") },
	{ "cut inside a sequence", LIT("a\xe2\x82"), LIT("a\xef\xbf\xbd\xef\xbf\xbd") },
	{ "a sequence broken by ASCII", LIT("\xe2\x82z"), LIT("\xef\xbf\xbd\xef\xbf\xbdz") },
};

static void strings_are_valid_json(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(string_cases); i++) {
		AUTO(buf_fini) struct buf out = BUF(1000), want = BUF(1000);

		observe_add_json_text(&out, string_cases[i].in, 1000);
		buf_add_octet(&want, '"');
		buf_add(&want, string_cases[i].out);
		buf_add_octet(&want, '"');
		assert_int_equal(buf_err(&out), ERR_OK);
		if (!text_eq(buf_text(&out), buf_text(&want)))
			fail_msg("%s: got %.*s", string_cases[i].name, TEXT_ARGS(buf_text(&out)));
	}
}

/* Each octet of ASCII by itself: as it is, or behind a backslash. */
static void only_what_spoils_a_string_is_escaped(void **state)
{
	(void)state;
	for (unsigned c = 0; c < 0x80; c++) {
		AUTO(buf_fini) struct buf out = BUF(100);
		char octet = (char)c;
		bool escaped = c < ' ' || c == '"' || c == '\\' || c == 0x7f;

		observe_add_json_text(&out, text_of(&octet, 1), 1000);
		assert_true(out.len >= 3);
		assert_int_equal(out.at[1], escaped ? '\\' : octet);
		assert_int_equal(out.len > 3, escaped);
	}
}

static void a_long_text_is_cut_behind_a_whole_character(void **state)
{
	(void)state;
	char in[EVENT_TEXT_MAX + 100];
	AUTO(buf_fini) struct buf out = BUF(100000);

	memset(in, 'x', sizeof(in));
	memcpy(in + EVENT_TEXT_MAX - 1, "\xe2\x82\xac", 3);
	observe_add_json_text(&out, text_of(in, sizeof(in)), EVENT_TEXT_MAX);
	assert_int_equal(out.len, 1 + EVENT_TEXT_MAX - 1 + 3 + 3 + 1);
	assert_true(text_ends(buf_text(&out), TEXT("x\xe2\x82\xac\xe2\x80\xa6\"")));
}

static void a_text_of_just_the_limit_is_whole(void **state)
{
	(void)state;
	char in[EVENT_TEXT_MAX];
	AUTO(buf_fini) struct buf out = BUF(100000);

	memset(in, 'x', sizeof(in));
	observe_add_json_text(&out, text_of(in, sizeof(in)), EVENT_TEXT_MAX);
	assert_int_equal(out.len, EVENT_TEXT_MAX + 2);
}

static struct event full_event(void)
{
	struct event e = EVENT(EVENT_ATTEMPT);

	e.level = LEVEL_WARN;
	e.has_id = true;
	memset(e.id.bytes, 0, sizeof(e.id.bytes));
	e.rcpt = 0;
	e.recipients = 2;
	e.message_id = TEXT("<a@b>");
	e.from = TEXT("app@example.com");
	e.to = TEXT("ann@gmail.com");
	e.orig_to = TEXT("postmaster");
	e.size = 18200;
	e.created_time = 1767355445000;
	e.expires_time = 1767355446001;
	e.next_attempt_time = 1767355447000;
	e.attempt = 1;
	e.action = TEXT("retry");
	e.code = 454;
	e.enhanced = TEXT("4.7.0");
	e.response = TEXT("sending rate exceeded");
	e.stage = STAGE_DOT;
	e.reason = REASON_RATE_LIMITED;
	e.rule = TEXT("routes");
	e.at = TEXT("postrider.yaml:35");
	e.route = TEXT("#1");
	e.upstream = TEXT("ses");
	e.mx = TEXT("mx.example.net");
	e.remote = (struct ip_port){ ip_from_v4(0xcb007109), 587 };
	e.local = (struct ip_port){ ip_from_v4(0x7f000001), 40000 };
	e.tls = (struct event_tls){ TEXT("TLSv1.3"), TEXT("TLS1-3-AES-128-GCM-SHA256"), true };
	e.ms = (struct event_ms){ 155, 1, 2, 3, 18, 41, 37, 22, 0 };
	e.client_ip = TEXT("127.0.0.1");
	e.client_helo = TEXT("app");
	e.client_user = TEXT("billing");
	e.client_listener = TEXT("apps");
	e.client_protocol = TEXT("ESMTP");
	e.subject = TEXT("Invoice 4711");
	e.detail = TEXT("x");
	e.dropped = 7;
	return e;
}

static void a_full_event_has_every_member_in_order(void **state)
{
	(void)state;
	struct event e = full_event();
	AUTO(buf_fini) struct buf out = BUF(10000);

	observe_event_line(TEXT("relay.example"), &e, INT64_C(1767355445678901), &out);
	buf_add_octet(&out, '\0');
	assert_int_equal(buf_err(&out), ERR_OK);
	assert_string_equal(
		out.at,
		"{\"time\":\"2026-01-02T12:04:05.678901Z\",\"event\":\"attempt\",\"level\":\"warn\",\"node\":\"relay.example\","
		"\"id\":\"00000000000000000000000000\",\"rcpt\":0,\"recipients\":2,\"message_id\":\"<a@b>\","
		"\"from\":\"app@example.com\",\"to\":\"ann@gmail.com\",\"orig_to\":\"postmaster\",\"size\":18200,"
		"\"created\":\"2026-01-02T12:04:05.000000Z\",\"expires\":\"2026-01-02T12:04:06.001000Z\","
		"\"next_attempt\":\"2026-01-02T12:04:07.000000Z\",\"attempt\":1,\"action\":\"retry\",\"code\":454,"
		"\"enhanced\":\"4.7.0\",\"response\":\"sending rate exceeded\",\"stage\":\"dot\","
		"\"reason\":\"rate_limited\",\"rule\":\"routes\",\"at\":\"postrider.yaml:35\",\"route\":\"#1\","
		"\"upstream\":\"ses\",\"mx\":\"mx.example.net\",\"remote\":\"203.0.113.9:587\",\"local\":\"127.0.0.1:40000\","
		"\"tls\":{\"version\":\"TLSv1.3\",\"cipher\":\"TLS1-3-AES-128-GCM-SHA256\",\"verified\":true},"
		"\"ms\":{\"total\":155,\"wait\":1,\"queue\":2,\"dns\":3,\"connect\":18,\"tls\":41,\"auth\":37,"
		"\"envelope\":22,\"data\":0},"
		"\"client\":{\"ip\":\"127.0.0.1\",\"helo\":\"app\",\"user\":\"billing\",\"listener\":\"apps\","
		"\"protocol\":\"ESMTP\"},\"headers\":{\"Subject\":\"Invoice 4711\"},\"detail\":\"x\",\"dropped\":7}");
}

static void the_null_reverse_path_is_written_as_empty(void **state)
{
	(void)state;
	struct event e = EVENT(EVENT_RECEIVED);
	AUTO(buf_fini) struct buf out = BUF(10000);

	e.from = TEXT_EMPTY;
	observe_event_line(TEXT("n"), &e, 0, &out);
	assert_true(text_ends(buf_text(&out), TEXT("\"node\":\"n\",\"from\":\"\"}")));
}

static void a_line_never_holds_a_line_end(void **state)
{
	(void)state;
	struct event e = full_event();
	AUTO(buf_fini) struct buf out = BUF(10000);

	e.response = TEXT("5.1.1 no\r\n{\"event\":\"delivered\"}\n");
	e.subject = TEXT("a\nb");
	observe_event_line(TEXT("relay.example"), &e, 0, &out);
	assert_int_equal(text_find_octet(buf_text(&out), '\n'), out.len);
	assert_int_equal(text_find_octet(buf_text(&out), '\r'), out.len);
}

static void the_dearest_event_still_fits(void **state)
{
	(void)state;
	static char controls[EVENT_TEXT_MAX * 2];
	struct event e = full_event();
	struct text t = text_of(controls, sizeof(controls));
	AUTO(buf_fini) struct buf out = BUF(1 << 20);

	e.message_id = e.from = e.to = e.orig_to = e.action = e.enhanced = e.response = e.rule = e.at =
		e.route = t;
	e.upstream = e.mx = e.tls.version = e.tls.cipher = e.client_ip = e.client_helo = e.client_user = t;
	e.client_listener = e.client_protocol = e.subject = e.detail = t;
	observe_event_line(t, &e, 0, &out);
	assert_int_equal(buf_err(&out), ERR_OK);
}

static void reasons_read_back_as_written(void **state)
{
	(void)state;
	for (unsigned i = REASON_NONE + 1; i < REASON_COUNT; i++) {
		enum reason back = REASON_NONE;

		assert_true(reason_text((enum reason)i).len > 0);
		assert_int_equal(reason_from_text(reason_text((enum reason)i), &back), ERR_OK);
		assert_int_equal(back, i);
	}
	enum reason untouched = REASON_DNS;

	assert_int_equal(reason_from_text(TEXT(""), &untouched), ERR_NOT_FOUND);
	assert_int_equal(reason_from_text(TEXT("dn"), &untouched), ERR_NOT_FOUND);
	assert_int_equal(untouched, REASON_DNS);
	assert_true(text_eq(reason_text((enum reason)200), TEXT("other")));
	assert_int_equal(stage_text((enum stage)200).len, 0);
	for (unsigned i = STAGE_NONE + 1; i < STAGE_COUNT; i++)
		assert_true(stage_text((enum stage)i).len > 0);
	for (unsigned i = 0; i < EVENT_COUNT; i++)
		assert_true(event_kind_text((enum event_kind)i).len > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(strings_are_valid_json),
		cmocka_unit_test(only_what_spoils_a_string_is_escaped),
		cmocka_unit_test(a_long_text_is_cut_behind_a_whole_character),
		cmocka_unit_test(a_text_of_just_the_limit_is_whole),
		cmocka_unit_test(a_full_event_has_every_member_in_order),
		cmocka_unit_test(the_null_reverse_path_is_written_as_empty),
		cmocka_unit_test(a_line_never_holds_a_line_end),
		cmocka_unit_test(the_dearest_event_still_fits),
		cmocka_unit_test(reasons_read_back_as_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
