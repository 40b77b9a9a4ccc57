#include <postrider/mail/envelope.h>

#include <stdio.h>

#include <postrider/base/random.h>
#include <postrider/mail/record.h>

#include "support/alloc.h"
#include "support/check.h"

static struct envelope *make(void)
{
	struct envelope *e = envelope_new(1u << 16);

	assert_non_null(e);
	memset(e->id.bytes, 0x5a, ID_BYTES);
	e->received_time = 1767323045678;
	e->body = ENVELOPE_8BIT;
	e->declared_bytes = 12345;
	e->content_bytes = UINT64_MAX;
	assert_int_equal(envelope_set(e, &e->reverse_path, TEXT("ann@example.com")), ERR_OK);
	assert_int_equal(envelope_set(e, &e->helo, TEXT("[192.0.2.1]")), ERR_OK);
	assert_int_equal(envelope_set(e, &e->client, TEXT("192.0.2.1:4711")), ERR_OK);
	assert_int_equal(envelope_set(e, &e->user, TEXT("app")), ERR_OK);
	assert_int_equal(envelope_set(e, &e->listener, TEXT("smtp")), ERR_OK);
	assert_int_equal(envelope_set(e, &e->protocol, TEXT("ESMTPS")), ERR_OK);
	assert_int_equal(envelope_set(e, &e->tls, TEXT("TLSv1.3 TLS_AES_128_GCM_SHA256")), ERR_OK);
	assert_int_equal(envelope_set(e, &e->message_id, TEXT("<1@example.com>")), ERR_OK);
	assert_int_equal(envelope_set(e, &e->subject, TEXT("a\0b\xff")), ERR_OK);
	assert_int_equal(envelope_add_recipient(e, TEXT("bob@example.org"), TEXT("")), ERR_OK);
	assert_int_equal(envelope_add_recipient(e, TEXT("eve@example.org"), TEXT("alias@example.net")),
	                 ERR_OK);
	assert_int_equal(envelope_set_delivery_report(e, ENVELOPE_NOTIFY_SUCCESS | ENVELOPE_NOTIFY_DELAY,
	                                              TEXT("rfc822;Eve+40example.org")),
	                 ERR_OK);
	e->smtputf8 = true;
	e->tls_wish = ENVELOPE_TLS_REQUIRED;
	e->ret = ENVELOPE_RET_HDRS;
	assert_int_equal(envelope_set(e, &e->envid, TEXT("QQ+2B1")), ERR_OK);
	assert_int_equal(envelope_set(e, &e->submitter, TEXT("<>")), ERR_OK);
	assert_int_equal(envelope_set(e, &e->fields, TEXT("X-Stream: bulk\nList-Id\n")), ERR_OK);
	e->has_priority = true;
	e->priority = -3;
	e->release_time = 1767323099000;
	e->by = ENVELOPE_BY_RETURN;
	e->by_time = 1767323199000;
	e->by_trace = true;
	return e;
}

static void check_same(const struct envelope *a, const struct envelope *b)
{
	assert_true(id_eq(a->id, b->id));
	assert_int_equal(a->received_time, b->received_time);
	assert_int_equal(a->body, b->body);
	assert_true(a->declared_bytes == b->declared_bytes && a->content_bytes == b->content_bytes);
	CHECK_TEXT("reverse-path", a->reverse_path, b->reverse_path);
	CHECK_TEXT("helo", a->helo, b->helo);
	CHECK_TEXT("client", a->client, b->client);
	CHECK_TEXT("user", a->user, b->user);
	CHECK_TEXT("listener", a->listener, b->listener);
	CHECK_TEXT("protocol", a->protocol, b->protocol);
	CHECK_TEXT("tls", a->tls, b->tls);
	CHECK_TEXT("message-id", a->message_id, b->message_id);
	CHECK_TEXT("subject", a->subject, b->subject);
	CHECK_TEXT("envid", a->envid, b->envid);
	CHECK_TEXT("submitter", a->submitter, b->submitter);
	CHECK_TEXT("fields", a->fields, b->fields);
	assert_true(a->smtputf8 == b->smtputf8 && a->tls_wish == b->tls_wish && a->ret == b->ret);
	assert_true(a->has_priority == b->has_priority && a->priority == b->priority);
	assert_true(a->release_time == b->release_time);
	assert_true(a->by == b->by && a->by_time == b->by_time && a->by_trace == b->by_trace);
	assert_int_equal(a->recipient_count, b->recipient_count);
	for (size_t i = 0; i < a->recipient_count; i++) {
		CHECK_TEXT("forward-path", a->recipients[i].forward_path, b->recipients[i].forward_path);
		CHECK_TEXT("original path", a->recipients[i].original_path, b->recipients[i].original_path);
		CHECK_TEXT("orcpt", a->recipients[i].orcpt, b->recipients[i].orcpt);
		assert_int_equal(a->recipients[i].notify, b->recipients[i].notify);
	}
}

static void an_envelope_comes_back_from_its_record(void **state)
{
	struct envelope *e = make(), *back = NULL;
	struct buf b = BUF(10000);

	(void)state;
	envelope_encode(e, &b);
	assert_int_equal(envelope_decode(buf_text(&b), &back), ERR_OK);
	buf_fini(&b);
	check_same(back, e);
	envelope_free(&e);
	envelope_free(&back);
	assert_null(back);
	envelope_free(&back);
}

static void the_null_reverse_path_comes_back_empty(void **state)
{
	struct envelope *e = envelope_new(1000), *back;
	struct buf b = BUF(1000);

	(void)state;
	assert_int_equal(envelope_add_recipient(e, TEXT("postmaster"), TEXT("")), ERR_OK);
	envelope_encode(e, &b);
	assert_int_equal(envelope_decode(buf_text(&b), &back), ERR_OK);
	check_same(back, e);
	envelope_free(&e);
	envelope_free(&back);
	buf_fini(&b);
}

static void many_recipients_come_back_in_order(void **state)
{
	struct envelope *e = envelope_new(1u << 22), *back, *copy;
	struct buf b = BUF(1u << 20);
	char mailbox[32];

	(void)state;
	for (int i = 0; i < 10000; i++) {
		snprintf(mailbox, sizeof(mailbox), "u%d@e", i);
		assert_int_equal(envelope_add_recipient(e, text_from(mailbox), TEXT("")), ERR_OK);
	}
	envelope_encode(e, &b);
	assert_int_equal(envelope_decode(buf_text(&b), &back), ERR_OK);
	assert_int_equal(envelope_copy(back, &copy), ERR_OK);
	envelope_free(&back);
	check_same(copy, e);
	envelope_free(&e);
	envelope_free(&copy);
	buf_fini(&b);
}

static void a_copy_shares_nothing(void **state)
{
	struct envelope *e = make(), *copy;

	(void)state;
	assert_int_equal(envelope_copy(e, &copy), ERR_OK);
	check_same(copy, e);
	assert_ptr_not_equal(copy->helo.at, e->helo.at);
	envelope_free(&e);
	CHECK_TEXT("after the first is gone", copy->recipients[1].original_path, TEXT("alias@example.net"));
	assert_int_equal(envelope_add_recipient(copy, TEXT("more@example.org"), TEXT("")), ERR_OK);
	envelope_free(&copy);
}

static void the_budget_holds(void **state)
{
	struct envelope *e = envelope_new(300);
	struct text kept = TEXT("kept");
	int added = 0;

	(void)state;
	while (envelope_add_recipient(e, TEXT("0123456789@example.org"), TEXT("")) == ERR_OK)
		added++;
	assert_in_range(added, 2, 10);
	assert_int_equal(e->recipient_count, added);
	assert_true(e->arena.used_bytes <= 300);
	char large[400];

	memset(large, 'x', sizeof(large));
	assert_int_equal(envelope_set(e, &kept, text_of(large, sizeof(large))), ERR_NOMEM);
	CHECK_TEXT("untouched", kept, TEXT("kept"));
	envelope_free(&e);
}

static void fields_of_a_later_version_are_passed_over(void **state)
{
	struct envelope *e = make(), *back;
	struct buf b = BUF(10000);

	(void)state;
	envelope_encode(e, &b);
	record_add_text(&b, 900, TEXT("news"));
	assert_int_equal(envelope_decode(buf_text(&b), &back), ERR_OK);
	check_same(back, e);
	b.at[0] = 2;
	struct envelope *untouched = e;

	assert_int_equal(envelope_decode(buf_text(&b), &untouched), ERR_UNSUPPORTED);
	assert_ptr_equal(untouched, e);
	envelope_free(&e);
	envelope_free(&back);
	buf_fini(&b);
}

static void what_is_missing_is_damage(void **state)
{
	struct envelope *e;
	struct buf b = BUF(1000);

	(void)state;
	record_begin(&b, 1);
	record_add_text(&b, 1, TEXT("0123456789abcdef"));
	assert_int_equal(envelope_decode(buf_text(&b), &e), ERR_DAMAGED);
	buf_reset(&b);
	record_begin(&b, 1);
	record_add_text(&b, 4, TEXT("\x01\x01x"));
	assert_int_equal(envelope_decode(buf_text(&b), &e), ERR_DAMAGED);
	record_add_text(&b, 1, TEXT("short"));
	assert_int_equal(envelope_decode(buf_text(&b), &e), ERR_DAMAGED);
	buf_reset(&b);
	record_begin(&b, 1);
	record_add_text(&b, 1, TEXT("0123456789abcdef"));
	record_add_text(&b, 4, TEXT("\x02\x01x"));
	assert_int_equal(envelope_decode(buf_text(&b), &e), ERR_DAMAGED);
	buf_reset(&b);
	record_begin(&b, 1);
	record_add_text(&b, 1, TEXT("0123456789abcdef"));
	record_add_text(&b, 4, TEXT("\x01\x01x"));
	record_add_i64(&b, 21, 10);
	assert_int_equal(envelope_decode(buf_text(&b), &e), ERR_DAMAGED);
	buf_fini(&b);
}

/* Any octet changed and any cut: an envelope or an error, and nothing read outside (the sanitizers look). */
static void damage_never_does_harm(void **state)
{
	struct envelope *e = make(), *back;
	struct buf b = BUF(10000);
	struct random random;

	(void)state;
	random_init(&random, 8);
	envelope_encode(e, &b);
	for (int round = 0; round < 20000; round++) {
		size_t len = round % 2 ? b.len : random_below(&random, b.len);
		char *copy = alone(text_of(b.at, len));

		if (len > 0)
			for (uint64_t n = random_below(&random, 3); n > 0; n--)
				copy[random_below(&random, len)] = (char)random_u64(&random);
		enum err err = envelope_decode(text_of(copy, len), &back);

		free(copy);
		if (!err)
			envelope_free(&back);
		else
			assert_true(err == ERR_DAMAGED || err == ERR_UNSUPPORTED);
	}
	envelope_free(&e);
	buf_fini(&b);
}

/* The budget of a decode follows from the record's length: the densest records must fit. */
static void dense_records_can_be_read(void **state)
{
	(void)state;
	for (size_t count = 1; count < 5000; count = count * 2 + 1) {
		struct envelope *e;
		struct buf b = BUF(1u << 20);

		record_begin(&b, 1);
		record_add_text(&b, 1, TEXT("0123456789abcdef"));
		for (size_t i = 0; i < count; i++) {
			record_add_text(&b, 4, TEXT("\x01\x01x"));
			record_add_text(&b, 8, TEXT("h"));
		}
		assert_int_equal(envelope_decode(buf_text(&b), &e), ERR_OK);
		assert_int_equal(e->recipient_count, count);
		envelope_free(&e);
		buf_fini(&b);
	}
}

static void memory_may_run_out_anywhere(void **state)
{
	struct envelope *e = make();
	struct buf b = BUF(10000);

	(void)state;
	envelope_encode(e, &b);
	for (EACH_ALLOC_FAILING) {
		struct envelope *back = NULL, *copy = NULL;
		enum err err = envelope_decode(buf_text(&b), &back);

		if (!err)
			err = envelope_copy(back, &copy);
		assert_int_equal(err, alloc_has_failed() ? ERR_NOMEM : ERR_OK);
		if (!err)
			check_same(copy, e);
		envelope_free(&back);
		envelope_free(&copy);
	}
	envelope_free(&e);
	buf_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_envelope_comes_back_from_its_record),
		cmocka_unit_test(the_null_reverse_path_comes_back_empty),
		cmocka_unit_test(many_recipients_come_back_in_order),
		cmocka_unit_test(a_copy_shares_nothing),
		cmocka_unit_test(the_budget_holds),
		cmocka_unit_test(fields_of_a_later_version_are_passed_over),
		cmocka_unit_test(what_is_missing_is_damage),
		cmocka_unit_test(damage_never_does_harm),
		cmocka_unit_test(dense_records_can_be_read),
		cmocka_unit_test(memory_may_run_out_anywhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
