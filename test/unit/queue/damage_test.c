/* What is damaged is found, set aside and never sent; everything else goes on. */
#include "support/check.h"

#include <stdio.h>

#include <postrider/mail/record.h>
#include <postrider/queue.h>

#include "internal.h"
#include "support/queue_damage.h"
#include "support/queue_rig.h"

#define MAIL(literal) (&(struct rig_mail){ .content = TEXT(literal) })

static size_t due_rows(struct rig *r, const char *key)
{
	struct queue_row rows[64];

	return rig_scan(r, key, rows, 64, NULL);
}

static void check_still_works(struct rig *r, struct id good)
{
	enum err err;
	struct queue_work *w = rig_load(r, good, "d0.example", 0, &err);

	assert_int_equal(err, ERR_OK);
	queue_work_free(r->queue, &w);
	rig_settle(r, good, 0, QUEUE_DELIVERED, 0, NULL);
	fake_io_run(&r->io);
	rig_accepted(r, MAIL("another"));
}

static void a_damaged_message_is_set_aside(struct rig *r, long at)
{
	struct damage d;
	struct id bad = rig_accepted(r, &(struct rig_mail){ .content = TEXT("bad\r\n"), .recipients = 3 });
	struct id good = rig_accepted(r, MAIL("good\r\n"));
	enum err err;

	damage_begin(&d, r);
	damage_flip(&d, TABLE_MESSAGE, id_key(&bad), at);
	damage_end(&d);
	assert_int_equal(due_rows(r, "d1.example"), 1);
	assert_null(rig_load(r, bad, "d1.example", 1, &err));
	assert_int_equal(err, ERR_DAMAGED);
	assert_int_equal(r->asides, 1);
	/* All its recipients have left what is due. */
	assert_int_equal(due_rows(r, "d0.example"), 1);
	assert_int_equal(due_rows(r, "d1.example"), 0);
	assert_int_equal(due_rows(r, "d2.example"), 0);
	assert_int_equal(queue_space(r->queue).messages, 1);
	assert_null(rig_load(r, bad, "d0.example", 0, &err));
	assert_int_equal(err, ERR_NOT_FOUND);
	check_still_works(r, good);
}

static void a_message_with_a_damaged_envelope_is_set_aside(void **state)
{
	a_damaged_message_is_set_aside(*state, 12);
}

static void a_message_with_a_damaged_body_is_set_aside(void **state)
{
	a_damaged_message_is_set_aside(*state, -2);
}

static void recipients_whose_message_is_lost_are_set_aside(void **state)
{
	struct rig *r = *state;
	struct damage d;
	struct id bad = rig_accepted(r, MAIL("bad\r\n")), good = rig_accepted(r, MAIL("good\r\n"));
	enum err err;

	damage_begin(&d, r);
	damage_remove(&d, TABLE_MESSAGE, id_key(&bad));
	damage_end(&d);
	assert_null(rig_load(r, bad, "d0.example", 0, &err));
	assert_int_equal(err, ERR_DAMAGED);
	assert_int_equal(due_rows(r, "d0.example"), 1);
	check_still_works(r, good);
}

static void a_damaged_recipient_is_set_aside_and_its_fellows_go_on(void **state)
{
	struct rig *r = *state;
	const struct text keys[] = { LIT("same.example"), LIT("same.example"), LIT("same.example") };
	struct damage d;
	struct row_key key;
	const uint32_t ns[] = { 0, 1, 2 };
	enum err err;
	struct id id =
		rig_accepted(r, &(struct rig_mail){ .content = TEXT("x"), .recipients = 3, .keys = keys });

	recipient_key(&key, id, 1);
	damage_begin(&d, r);
	damage_flip(&d, TABLE_RECIPIENT, row_key_text(&key), 3);
	damage_end(&d);
	struct queue_work *w = rig_load_many(r, id, "same.example", ns, 3, &err);

	assert_int_equal(err, ERR_OK);
	assert_int_equal(w->recipient_count, 2);
	queue_work_free(r->queue, &w);
	assert_int_equal(r->asides, 1);
	assert_int_equal(due_rows(r, "same.example"), 2);
	rig_settle(r, id, 0, QUEUE_DELIVERED, 0, NULL);
	rig_settle(r, id, 2, QUEUE_DELIVERED, 0, NULL);
	fake_io_run(&r->io);
	assert_int_equal(queue_space(r->queue).messages, 0);
	assert_int_equal(queue_space(r->queue).recipients, 0);
}

static void the_only_recipient_damaged_takes_the_message_with_it(void **state)
{
	struct rig *r = *state;
	struct damage d;
	struct row_key key;
	enum err err;
	struct id id = rig_accepted(r, MAIL("x"));

	recipient_key(&key, id, 0);
	damage_begin(&d, r);
	damage_flip(&d, TABLE_RECIPIENT, row_key_text(&key), 3);
	damage_end(&d);
	assert_null(rig_load(r, id, "d0.example", 0, &err));
	assert_int_equal(err, ERR_DAMAGED);
	assert_int_equal(r->asides, 1);
	assert_int_equal(queue_space(r->queue).messages, 0);
	assert_int_equal(due_rows(r, "d0.example"), 0);
}

/* What an attempt came to is newer than anything a damaged row could say. */
static void a_settle_of_a_damaged_recipient_counts(void **state)
{
	struct rig *r = *state;
	struct damage d;
	struct row_key key;
	struct rig_answer answer = { 0 };
	struct id gone = rig_accepted(r, MAIL("x")), deferred = rig_accepted(r, MAIL("y"));

	damage_begin(&d, r);
	recipient_key(&key, gone, 0);
	damage_flip(&d, TABLE_RECIPIENT, row_key_text(&key), 3);
	recipient_key(&key, deferred, 0);
	damage_flip(&d, TABLE_RECIPIENT, row_key_text(&key), 3);
	damage_end(&d);
	rig_settle(r, gone, 0, QUEUE_DELIVERED, 0, &answer);
	struct queue_outcome o = {
		.verdict = QUEUE_DEFERRED,
		.recipient = { .n = 0, .due_time = FAKE_IO_START_TIME + 5, .key = TEXT("new.example") }
	};

	queue_settle(r->queue,
	             &(struct queue_settlement){ .id = deferred, .outcomes = &o, .outcome_count = 1 }, NULL,
	             NULL);
	fake_io_run(&r->io);
	assert_int_equal(answer.err, ERR_OK);
	assert_int_equal(queue_space(r->queue).messages, 1);
	assert_int_equal(due_rows(r, "d0.example"), 0);
	assert_int_equal(due_rows(r, "new.example"), 1);
}

/* ---------------------------------------------------------------- bodies in files */

static void check_damaged_file(struct rig *r, long at, bool cut)
{
	enum err err;
	size_t len;
	char *content = rig_octets(300000, 1);
	struct id id = rig_accepted(r, &(struct rig_mail){ .content = text_of(content, 300000) });

	damage_file(r, at, cut);
	struct queue_work *w = rig_load(r, id, "d0.example", 0, &err);

	assert_int_equal(err, ERR_OK);
	char *body = rig_read_body(r, w->message, &len, &err);

	assert_int_equal(err, ERR_DAMAGED);
	assert_true(len < 300000);
	assert_memory_equal(body + 24, content, len - 24); /* what was given before is right */
	queue_work_free(r->queue, &w);
	free(body);
	free(content);
	assert_int_equal(r->asides, 1);
	assert_int_equal(queue_space(r->queue).messages, 0);
	assert_int_equal(due_rows(r, "d0.example"), 0);
	/* The evidence stays, also through a sweep. */
	rig_close(r);
	assert_int_equal(rig_open(r), ERR_OK);
	damage_file(r, 0, false);
}

static void a_damaged_file_is_noticed_before_its_block_is_given(void **state)
{
	check_damaged_file(*state, 200000, false);
}

static void a_file_that_lost_its_end_is_noticed(void **state)
{
	check_damaged_file(*state, 250000, true);
}

static void a_file_that_lost_its_last_octet_is_noticed(void **state)
{
	check_damaged_file(*state, 300000 + 5 * 4 - 1, true);
}

static void a_file_that_is_missing_is_damage(void **state)
{
	struct rig *r = *state;
	enum err err;
	size_t len;
	char *content = rig_octets(300000, 1), path[300];
	struct id id = rig_accepted(r, &(struct rig_mail){ .content = text_of(content, 300000) });
	struct queue_work *w = rig_load(r, id, "d0.example", 0, &err);

	snprintf(path, sizeof(path), "%s/bodies/%s.body", r->path,
	         id_to_text(message_of(w->message)->file).at);
	assert_int_equal(r->options.disk->ops->remove(r->options.disk, path), ERR_OK);
	char *body = rig_read_body(r, w->message, &len, &err);

	assert_int_equal(err, ERR_DAMAGED);
	free(body);
	queue_work_free(r->queue, &w);
	assert_int_equal(queue_space(r->queue).messages, 0);
	free(content);
}

/* ---------------------------------------------------------------- due rows and counts */

static void a_damaged_due_row_is_mended_from_its_recipient(void **state)
{
	struct rig *r = *state;
	struct damage d;
	struct row_key key;
	struct queue_row rows[4];
	struct id id = rig_accepted(r, MAIL("x"));

	due_key(&key, TEXT("d0.example"), FAKE_IO_START_TIME + r->io.at_ms, id, 0);
	rig_scan(r, "d0.example", rows, 4, NULL);
	uint64_t sender = rows[0].sender;

	damage_begin(&d, r);
	damage_flip(&d, TABLE_DUE, row_key_text(&key), 2);
	damage_end(&d);
	assert_int_equal(due_rows(r, "d0.example"), 0); /* found, and mended behind it */
	assert_int_equal(rig_scan(r, "d0.example", rows, 4, NULL), 1);
	assert_true(rows[0].sender == sender);
}

static void a_due_row_that_leads_nowhere_goes(void **state)
{
	struct rig *r = *state;
	struct damage d;
	struct row_key key, recipient;
	struct id id = rig_accepted(r, MAIL("x"));
	struct id good = rig_accepted(r, MAIL("y"));

	due_key(&key, TEXT("d0.example"), FAKE_IO_START_TIME + r->io.at_ms, id, 0);
	recipient_key(&recipient, id, 0);
	damage_begin(&d, r);
	damage_remove(&d, TABLE_RECIPIENT, row_key_text(&recipient));
	damage_end(&d);
	assert_int_equal(due_rows(r, "d0.example"), 1);
	assert_int_equal(due_rows(r, "d0.example"), 1);
	damage_begin(&d, r);
	struct text value;

	assert_int_equal(store_get(d.txn, TABLE_DUE, row_key_text(&key), &value), ERR_NOT_FOUND);
	damage_end(&d);
	check_still_works(r, good);
}

static void count_key(void *owner, struct text key, uint64_t recipients, int64_t earliest)
{
	(void)key, (void)earliest;
	*(uint64_t *)owner += recipients;
}

static void counts_that_do_not_add_up_are_made_anew_at_the_start(void **state)
{
	struct rig *r = *state;
	struct damage d;
	uint64_t sum = 0;

	for (unsigned i = 0; i < 5; i++)
		rig_accepted(r, &(struct rig_mail){ .content = TEXT("x"), .recipients = 3 });
	damage_begin(&d, r);
	damage_flip(&d, TABLE_KEY, TEXT("d0.example"), 2);
	damage_remove(&d, TABLE_KEY, TEXT("d1.example"));
	damage_end(&d);
	assert_int_equal(queue_each_key(r->queue, count_key, &sum), ERR_OK);
	assert_int_equal(sum, 15);
}

static bool see(void *owner, const struct queue_entry *entry)
{
	*(bool *)owner = entry->damaged;
	return true;
}

static void nothing(void *owner, enum err err)
{
	(void)owner;
	assert_int_equal(err, ERR_OK);
}

static void a_damaged_message_is_shown_as_such(void **state)
{
	struct rig *r = *state;
	struct damage d;
	bool damaged = false;
	struct id bad = rig_accepted(r, MAIL("bad\r\n"));

	damage_begin(&d, r);
	damage_flip(&d, TABLE_MESSAGE, id_key(&bad), 12);
	damage_end(&d);
	queue_find(r->queue, bad, bad, see, nothing, &damaged);
	fake_io_run(&r->io);
	assert_true(damaged);
}

/* ---------------------------------------------------------------- later versions */

/* A field that a later version put into a recipient's record is there still when this one has settled and claimed it. */
static void a_field_of_a_later_version_outlives_settles_and_claims(void **state)
{
	struct rig *r = *state;
	struct damage d;
	struct row_key key;
	struct recipient_row row;
	struct buf b = BUF(1000), later = BUF(100), unknown = BUF(1000);
	struct text value;
	uint32_t n = 0;
	struct id id = rig_accepted(r, MAIL("x"));

	record_add_text(&later, 99, TEXT("NOTIFY=NEVER"));
	recipient_key(&key, id, 0);
	damage_begin(&d, r);
	assert_int_equal(store_get(d.txn, TABLE_RECIPIENT, row_key_text(&key), &value), ERR_OK);
	assert_int_equal(recipient_decode(row_key_text(&key), value, &row, NULL), ERR_OK);
	row.unknown_fields = buf_text(&later);
	recipient_encode(&b, row_key_text(&key), &row);
	damage_put(&d, TABLE_RECIPIENT, row_key_text(&key), buf_text(&b));
	damage_end(&d);
	rig_settle(r, id, 0, QUEUE_DEFERRED, FAKE_IO_START_TIME + 5, NULL);
	fake_io_run(&r->io);
	queue_claim(r->queue, id, &n, 1, NULL, NULL);
	fake_io_run(&r->io);
	damage_begin(&d, r);
	assert_int_equal(store_get(d.txn, TABLE_RECIPIENT, row_key_text(&key), &value), ERR_OK);
	assert_int_equal(recipient_decode(row_key_text(&key), value, &row, &unknown), ERR_OK);
	assert_int_equal(row.public.state, QUEUE_CLAIMED);
	CHECK_TEXT("kept", buf_text(&unknown), buf_text(&later));
	damage_end(&d);
	buf_fini(&b);
	buf_fini(&later);
	buf_fini(&unknown);
}

/* ---------------------------------------------------------------- the queue's own record */

static void a_damaged_record_of_the_queue_itself_stops_the_start(void **state)
{
	struct rig *r = *state;
	struct damage d;

	rig_accepted(r, MAIL("x"));
	damage_begin(&d, r);
	damage_flip(&d, TABLE_META, meta_key, 2);
	damage_end_closed(&d);
	assert_int_equal(rig_open(r), ERR_DAMAGED);
	assert_null(r->queue);
	assert_true(strlen(r->problem) > 0);
}

static void a_spool_of_a_later_version_stops_the_start(void **state)
{
	struct rig *r = *state;
	struct damage d;
	struct buf b = BUF(100);

	buf_add_octet(&b, 9); /* the format */
	record_seal(&b, meta_key);
	damage_begin(&d, r);
	damage_put(&d, TABLE_META, meta_key, buf_text(&b));
	damage_end_closed(&d);
	assert_int_equal(rig_open(r), ERR_UNSUPPORTED);
	buf_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_BOTH(a_message_with_a_damaged_envelope_is_set_aside),
		RIG_BOTH(a_message_with_a_damaged_body_is_set_aside),
		RIG_BOTH(recipients_whose_message_is_lost_are_set_aside),
		RIG_BOTH(a_damaged_recipient_is_set_aside_and_its_fellows_go_on),
		RIG_BOTH(the_only_recipient_damaged_takes_the_message_with_it),
		RIG_BOTH(a_settle_of_a_damaged_recipient_counts),
		RIG_BOTH(a_damaged_file_is_noticed_before_its_block_is_given),
		RIG_BOTH(a_file_that_lost_its_end_is_noticed),
		RIG_BOTH(a_file_that_lost_its_last_octet_is_noticed),
		RIG_BOTH(a_file_that_is_missing_is_damage),
		RIG_BOTH(a_damaged_due_row_is_mended_from_its_recipient),
		RIG_BOTH(a_due_row_that_leads_nowhere_goes),
		RIG_BOTH(counts_that_do_not_add_up_are_made_anew_at_the_start),
		RIG_BOTH(a_damaged_message_is_shown_as_such),
		RIG_BOTH(a_field_of_a_later_version_outlives_settles_and_claims),
		RIG_BOTH(a_damaged_record_of_the_queue_itself_stops_the_start),
		RIG_BOTH(a_spool_of_a_later_version_stops_the_start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
