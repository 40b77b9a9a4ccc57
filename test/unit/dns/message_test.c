/* The server's side, checked against octets written by hand, and the resolver's own questions read back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <postrider/base/auto.h>
#include <postrider/dns/message.h>

#include "wire.h"

#define QUESTION "\7example\3com\0\0\x0f\0\1"

static const struct text plain_query = LIT("\x12\x34\1\0\0\1\0\0\0\0\0\0" QUESTION);
static const struct text edns_query =
	LIT("\x12\x34\1\x20\0\1\0\0\0\0\0\1" QUESTION "\0\0\x29\x04\xd0\0\0\0\0\0\0");

static void our_questions_are_these_octets(void **state)
{
	struct name name;
	struct wire_query query;
	struct wire_question q = { .id = 0x1234, .name = &name, .type = WIRE_MX };

	(void)state;
	assert_int_equal(name_from_text(TEXT("example.com"), &name), ERR_OK);
	assert_int_equal(wire_build_query(&q, &query), ERR_OK);
	assert_int_equal(query.len, plain_query.len);
	assert_memory_equal(query.at, plain_query.at, query.len);
	q.edns = q.want_authentic = true;
	assert_int_equal(wire_build_query(&q, &query), ERR_OK);
	assert_int_equal(query.len, edns_query.len);
	assert_memory_equal(query.at, edns_query.at, query.len);
}

static void the_longest_name_fits_a_question(void **state)
{
	struct buf text = BUF(300);
	struct name name;
	struct wire_query query;

	(void)state;
	for (unsigned i = 0; i < 126; i++)
		buf_add_string(&text, "a.");
	buf_add_string(&text, "a");
	assert_int_equal(name_from_text(buf_text(&text), &name), ERR_OK);
	assert_int_equal(wire_build_query(&(struct wire_question){ 1, &name, WIRE_A, true, true }, &query),
	                 ERR_OK);
	assert_int_equal(query.len, 12 + 255 + 4 + 11);
	buf_fini(&text);
}

static void a_query_is_read(void **state)
{
	struct dns_message_query q;

	(void)state;
	assert_int_equal(dns_message_read_query(plain_query, &q), ERR_OK);
	assert_int_equal(q.id, 0x1234);
	assert_true(text_eq(dns_message_query_name(&q), TEXT("example.com")));
	assert_int_equal(q.type, 15);
	assert_string_equal(q.type_text, "MX");
	assert_true(q.recursion_desired);
	assert_false(q.edns);
	assert_false(q.authentic_wanted);
	assert_int_equal(q.udp_bytes, 512);
	assert_int_equal(dns_message_read_query(edns_query, &q), ERR_OK);
	assert_true(q.edns);
	assert_true(q.authentic_wanted);
	assert_int_equal(q.udp_bytes, 1232);
}

static void what_is_no_query_is_not_read(void **state)
{
	struct dns_message_query q;

	(void)state;
	assert_int_equal(dns_message_read_query(TEXT("\x12\x34\x81\0\0\1\0\0\0\0\0\0" QUESTION), &q),
	                 ERR_SYNTAX);
	assert_int_equal(dns_message_read_query(TEXT("\x12\x34\1\0\0\0\0\0\0\0\0\0"), &q), ERR_SYNTAX);
	assert_int_equal(dns_message_read_query(TEXT("\x12\x34"), &q), ERR_SYNTAX);
	assert_int_equal(dns_message_read_query(TEXT(""), &q), ERR_SYNTAX);
}

static void a_reply_is_these_octets(void **state)
{
	static const struct dns_record record = { LIT("example.com"), LIT("MX"), 300,
		                                  LIT("10 mx.example.com."), 0 };
	static const struct text expected = LIT("\x12\x34\x81\x80\0\1\0\1\0\0\0\0" QUESTION
	                                        "\xc0\x0c\0\x0f\0\1\0\0\1\x2c\0\7\0\x0a\2mx\xc0\x0c");
	struct buf out = BUF(65535);

	(void)state;
	assert_int_equal(
		dns_message_build_reply(plain_query,
	                                &(struct dns_message_reply){ .records = &record, .count = 1 }, &out),
		ERR_OK);
	assert_int_equal(out.len, expected.len);
	assert_memory_equal(out.at, expected.at, expected.len);
	buf_fini(&out);
}

static void a_reply_over_the_limit_is_truncated_and_empty(void **state)
{
	static const struct dns_record record = { LIT("example.com"), LIT("TXT"), 1, LIT("\"0123456789\""),
		                                  0 };
	struct dns_message_reply reply = { .records = &record, .count = 1, .limit_bytes = 40 };
	static const struct text expected = LIT("\x12\x34\x83\x80\0\1\0\0\0\0\0\0" QUESTION);
	struct buf out = BUF(65535);

	(void)state;
	assert_int_equal(dns_message_build_reply(plain_query, &reply, &out), ERR_OK);
	assert_int_equal(out.len, expected.len);
	assert_memory_equal(out.at, expected.at, expected.len);
	buf_fini(&out);
}

static void a_record_that_is_none_is_refused(void **state)
{
	static const struct dns_record records[] = {
		{ LIT("example.com"), LIT("MX"), 1, LIT("ten mx.example.com."), 0 },
		{ LIT("example.com"), LIT("A"), 1, LIT("192.0.2.300"), 0 },
		{ LIT("example.com"), LIT("NOSUCHTYPE"), 1, LIT("x"), 0 },
	};
	struct buf out = BUF(65535);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(records); i++) {
		struct dns_message_reply reply = { .records = &records[i], .count = 1 };

		assert_int_equal(dns_message_build_reply(plain_query, &reply, &out), ERR_SYNTAX);
		assert_int_equal(out.len, 0);
	}
	buf_fini(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(our_questions_are_these_octets),
		cmocka_unit_test(the_longest_name_fits_a_question),
		cmocka_unit_test(a_query_is_read),
		cmocka_unit_test(what_is_no_query_is_not_read),
		cmocka_unit_test(a_reply_is_these_octets),
		cmocka_unit_test(a_reply_over_the_limit_is_truncated_and_empty),
		cmocka_unit_test(a_record_that_is_none_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
