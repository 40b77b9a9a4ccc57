/* The way of a message: accepted, announced, claimed, settled; on both stores. */
#include "support/check.h"

#include <postrider/queue.h>

#include "support/queue_rig.h"

#define MAIL(literal) (&(struct rig_mail){ .content = TEXT(literal) })

static size_t due_rows(struct rig *r, const char *key)
{
	struct queue_row rows[64];

	return rig_scan(r, key, rows, 64, NULL);
}

/* ---------------------------------------------------------------- accept */

static void an_accepted_message_is_announced_and_gone_after_its_settle(void **state)
{
	struct rig *r = *state;
	struct rig_answer answer = { 0 };
	struct id id = rig_accepted(r, MAIL("Subject: a\r\n\r\nhello\r\n"));
	struct queue_work *w = rig_work(r, id);

	assert_non_null(w);
	assert_int_equal(w->recipient_count, 1);
	assert_int_equal(w->recipients[0].state, QUEUE_CLAIMED);
	CHECK_TEXT("key", w->key, TEXT("d0.example"));
	CHECK_TEXT("content", w->message->content, TEXT("Subject: a\r\n\r\nhello\r\n"));
	CHECK_TEXT("prepended", w->message->prepended, TEXT("Received: from nowhere\r\n"));
	CHECK_TEXT("path", w->message->envelope->reverse_path, TEXT("sender@example.org"));
	assert_int_equal(w->message->envelope->content_bytes, 21);
	assert_int_equal(queue_space(r->queue).messages, 1);
	rig_settle(r, id, 0, QUEUE_DELIVERED, 0, &answer);
	assert_int_equal(answer.told, 0);
	fake_io_run(&r->io);
	assert_int_equal(answer.told, 1);
	assert_int_equal(answer.err, ERR_OK);
	assert_int_equal(queue_space(r->queue).messages, 0);
	assert_int_equal(queue_space(r->queue).recipients, 0);
	assert_int_equal(due_rows(r, "d0.example"), 0);
}

static void nobody_is_told_before_the_commit(void **state)
{
	struct rig *r = *state;
	struct rig_answer answers[3] = { 0 };

	r->io.held[IO_LANE_WRITER] = true;
	for (unsigned i = 0; i < 3; i++)
		rig_accept(r, MAIL("x\r\n"), &answers[i]);
	fake_io_run(&r->io);
	assert_int_equal(answers[0].told + answers[1].told + answers[2].told, 0);
	assert_int_equal(r->fresh, 0);
	assert_true(fake_io_run_job(&r->io, IO_LANE_WRITER));
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(answers[i].told, 1);
		assert_true(answers[i].stored);
	}
	assert_int_equal(r->fresh, 3);
	r->io.held[IO_LANE_WRITER] = false;
}

static void what_waits_during_a_commit_goes_in_the_next_one_together(void **state)
{
	struct rig *r = *state;
	struct rig_answer first = { 0 }, rest[20] = { 0 };
	uint64_t before;

	r->io.held[IO_LANE_WRITER] = true;
	before = r->io.ran[IO_LANE_WRITER];
	rig_accept(r, MAIL("x\r\n"), &first);
	fake_io_run(&r->io);
	for (unsigned i = 0; i < 20; i++)
		rig_accept(r, MAIL("x\r\n"), &rest[i]);
	fake_io_run(&r->io);
	fake_io_run_job(&r->io, IO_LANE_WRITER);
	assert_int_equal(first.told, 1);
	assert_int_equal(rest[0].told, 0);
	fake_io_run(&r->io);
	fake_io_run_job(&r->io, IO_LANE_WRITER);
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(rest[i].told, 1);
	assert_int_equal(r->io.ran[IO_LANE_WRITER] - before, 2);
	r->io.held[IO_LANE_WRITER] = false;
}

static void ids_that_come_out_of_order_are_all_there(void **state)
{
	struct rig *r = *state;
	struct queue_row rows[64];
	const struct text key = TEXT("same.example");
	struct id ids[12];

	for (unsigned i = 0; i < ARRAY_LEN(ids); i++) {
		struct id_source later = r->ids;

		/* Every other one is made from a clock that stands behind. */
		id_source_init(&r->ids, i + 1,
		               FAKE_IO_START_TIME + (i % 2 ? -1000 * (int64_t)i : 5000 * (int64_t)i));
		ids[i] = rig_accept(r, &(struct rig_mail){ .content = TEXT("x"), .keys = &key }, NULL);
		if (i % 3 == 0)
			fake_io_run(&r->io);
		r->ids = later;
	}
	fake_io_run(&r->io);
	assert_int_equal(rig_scan(r, "same.example", rows, 64, NULL), ARRAY_LEN(ids));
	for (unsigned i = 0; i < ARRAY_LEN(ids); i++) {
		enum err err;
		struct queue_work *w = rig_load(r, ids[i], "same.example", 0, &err);

		assert_int_equal(err, ERR_OK);
		queue_work_free(r->queue, &w);
	}
}

static void an_id_that_is_there_already_is_refused_and_harms_nobody(void **state)
{
	struct rig *r = *state;
	struct rig_answer again = { 0 }, other = { 0 };
	struct id_source before = r->ids;
	struct id id = rig_accepted(r, MAIL("the first\r\n"));
	enum err err;
	size_t len;

	r->ids = before;
	rig_accept(r, MAIL("the second\r\n"), &again);
	rig_accept(r, MAIL("another\r\n"), &other);
	fake_io_run(&r->io);
	assert_int_equal(again.err, ERR_EXISTS);
	assert_int_equal(other.err, ERR_OK);
	assert_int_equal(queue_space(r->queue).messages, 2);
	struct queue_work *w = rig_load(r, id, "d0.example", 0, &err);
	char *body = rig_read_body(r, w->message, &len, &err);

	assert_string_equal(body, "Received: from nowhere\r\nthe first\r\n");
	free(body);
	queue_work_free(r->queue, &w);
}

static void a_delivery_key_that_cannot_be_one_is_refused(void **state)
{
	struct rig *r = *state;
	struct rig_answer answer = { 0 };
	const struct text key = TEXT("");

	rig_accept(r, &(struct rig_mail){ .content = TEXT("x"), .keys = &key }, &answer);
	assert_int_equal(answer.told, 0);
	fake_io_run(&r->io);
	assert_int_equal(answer.told, 1);
	assert_int_equal(answer.err, ERR_SYNTAX);
	assert_int_equal(queue_space(r->queue).messages, 0);
}

static void a_forgotten_ticket_is_accepted_all_the_same(void **state)
{
	struct rig *r = *state;
	struct envelope *e = rig_envelope(r, 1);
	struct queue_draft *d = NULL;
	struct rig_answer answer = { 0 };
	const struct text key = TEXT("d0.example");

	assert_int_equal(queue_draft_open(r->queue, 0, NULL, NULL, &d), ERR_OK);
	assert_int_equal(queue_draft_write(d, TEXT("x\r\n")), ERR_OK);
	struct queue_ticket *t = queue_accept(
		r->queue, &d,
		&(struct queue_submission){ .envelope = e, .prepended = TEXT_EMPTY, .keys = &key },
		rig_on_decided, &answer);

	queue_accept_forget(t);
	fake_io_run(&r->io);
	assert_int_equal(answer.told, 0);
	assert_int_equal(queue_space(r->queue).messages, 1);
	assert_int_equal(r->fresh, 1);
	envelope_free(&e);
}

static void an_empty_message_is_a_message(void **state)
{
	struct rig *r = *state;
	enum err err;
	size_t len;
	struct id id = rig_accepted(r, MAIL(""));
	struct queue_work *w = rig_load(r, id, "d0.example", 0, &err);

	assert_int_equal(err, ERR_OK);
	assert_int_equal(w->message->content_bytes, 0);
	char *body = rig_read_body(r, w->message, &len, &err);

	assert_int_equal(err, ERR_OK);
	assert_string_equal(body, "Received: from nowhere\r\n");
	free(body);
	queue_work_free(r->queue, &w);
}

/* ---------------------------------------------------------------- announcing */

static void one_work_for_each_delivery_key(void **state)
{
	struct rig *r = *state;
	static const struct text keys[] = { LIT("b.example"), LIT("a.example"), LIT("b.example"),
		                            LIT("c.example"), LIT("b.example") };
	static const bool held[] = { false, false, false, true, false };
	struct id id = rig_accepted(
		r, &(struct rig_mail){ .recipients = 5, .keys = keys, .held = held, .content = TEXT("x") });

	assert_int_equal(r->work_count, 2);
	for (unsigned i = 0; i < 2; i++) {
		struct queue_work *w = r->works[i];

		assert_true(id_eq(w->id, id));
		if (text_eq(w->key, TEXT("a.example"))) {
			assert_int_equal(w->recipient_count, 1);
			assert_int_equal(w->recipients[0].n, 1);
		} else {
			CHECK_TEXT("key", w->key, TEXT("b.example"));
			assert_int_equal(w->recipient_count, 3);
			assert_int_equal(w->recipients[0].n, 0);
			assert_int_equal(w->recipients[1].n, 2);
			assert_int_equal(w->recipients[2].n, 4);
		}
	}
	assert_int_equal(queue_space(r->queue).recipients, 5);
	assert_int_equal(queue_space(r->queue).held_recipients, 1);
	assert_int_equal(due_rows(r, "c.example"), 0);
}

static void a_message_for_later_waits_for_its_time_and_is_told_of_once_a_key(void **state)
{
	struct rig *r = *state;
	const struct text keys[] = { LIT("a.example"), LIT("b.example"), LIT("a.example"), LIT("c.example") };
	const bool held[] = { false, false, false, true };
	int64_t release_time = io_now_time(&r->io.base) + 86400000;
	struct queue_row rows[8], start = { 0 };
	int64_t next_due_time = 0;
	struct id id = rig_accepted(r, &(struct rig_mail){ .content = TEXT("x\r\n"),
	                                                   .recipients = 4,
	                                                   .keys = keys,
	                                                   .held = held,
	                                                   .release_time = release_time });
	enum err err;

	assert_int_equal(r->fresh, 0);
	assert_int_equal(r->dues, 2);
	assert_true(r->last_due_time == release_time);
	assert_int_equal(rig_scan_from(r, "a.example", &start, release_time - 1, rows, 8, &next_due_time), 0);
	assert_true(next_due_time == release_time);
	assert_int_equal(rig_scan_from(r, "a.example", &start, release_time, rows, 8, NULL), 2);
	assert_true(rows[0].due_time == release_time);
	struct queue_work *w = rig_load(r, id, "b.example", 1, &err);

	assert_int_equal(err, ERR_OK);
	assert_int_equal(w->recipients[0].state, QUEUE_WAITING);
	assert_false(w->recipients[0].unknown_outcome);
	assert_true(w->message->envelope->release_time == release_time);
	queue_work_free(r->queue, &w);
}

static void a_release_that_is_past_is_at_once(void **state)
{
	struct rig *r = *state;

	rig_accepted(r, &(struct rig_mail){ .content = TEXT("x\r\n"), .release_time = 1 });
	assert_int_equal(r->fresh, 1);
	assert_int_equal(r->dues, 0);
}

static void what_the_scheduler_leaves_waits_without_a_claim(void **state)
{
	struct rig *r = *state;
	enum err err;

	r->leave_fresh = true;
	struct id id = rig_accepted(r, MAIL("x\r\n"));

	assert_int_equal(r->fresh, 1);
	assert_int_equal(due_rows(r, "d0.example"), 1);
	rig_accepted(r, MAIL("y\r\n")); /* the mark is taken back with the next commit */
	struct queue_work *w = rig_load(r, id, "d0.example", 0, &err);

	assert_int_equal(err, ERR_OK);
	assert_int_equal(w->recipients[0].state, QUEUE_WAITING);
	queue_work_free(r->queue, &w);
}

/* ---------------------------------------------------------------- settle */

static void a_deferred_recipient_waits_with_all_that_is_known(void **state)
{
	struct rig *r = *state;
	struct rig_answer answer = { 0 };
	struct id id = rig_accepted(r, MAIL("x\r\n"));
	struct queue_row rows[4];
	enum err err;
	int64_t due = FAKE_IO_START_TIME + 600000;
	struct queue_outcome o = {
		.verdict = QUEUE_DEFERRED,
		.recipient = { .n = 0,
		               .due_time = due,
		               .attempts = 1,
		               .last_attempt_time = FAKE_IO_START_TIME,
		               .reason = REASON_GREYLISTED,
		               .stage = STAGE_RCPT,
		               .reply = TEXT("450 4.2.0 later"),
		               .remote = TEXT("mx [192.0.2.1]:25"),
		               .key = TEXT("elsewhere.example"),
		               .unknown_outcome = true,
		               .warned = true },
	};

	queue_settle(r->queue, &(struct queue_settlement){ .id = id, .outcomes = &o, .outcome_count = 1 },
	             rig_on_settled, &answer);
	fake_io_run(&r->io);
	assert_int_equal(answer.err, ERR_OK);
	assert_int_equal(r->dues, 1);
	assert_int_equal(r->last_due_time, due);
	assert_int_equal(due_rows(r, "d0.example"), 0);
	assert_int_equal(rig_scan(r, "elsewhere.example", rows, 4, NULL), 1);
	assert_int_equal(rows[0].due_time, due);
	assert_int_not_equal(rows[0].sender, 0);
	struct queue_work *w = rig_load(r, id, "elsewhere.example", 0, &err);

	assert_int_equal(err, ERR_OK);
	const struct queue_recipient *got = &w->recipients[0];

	assert_int_equal(got->state, QUEUE_WAITING);
	assert_int_equal(got->attempts, 1);
	assert_int_equal(got->last_attempt_time, FAKE_IO_START_TIME);
	assert_int_equal(got->reason, REASON_GREYLISTED);
	assert_int_equal(got->stage, STAGE_RCPT);
	CHECK_TEXT("reply", got->reply, TEXT("450 4.2.0 later"));
	CHECK_TEXT("remote", got->remote, TEXT("mx [192.0.2.1]:25"));
	assert_true(got->unknown_outcome && got->warned);
	assert_int_equal(w->sender, rows[0].sender);
	queue_work_free(r->queue, &w);
}

static void a_deferral_without_a_key_stays_under_its_own(void **state)
{
	struct rig *r = *state;
	struct id id = rig_accepted(r, MAIL("x\r\n"));

	rig_settle(r, id, 0, QUEUE_DEFERRED, FAKE_IO_START_TIME + 5, NULL);
	fake_io_run(&r->io);
	assert_int_equal(due_rows(r, "d0.example"), 1);
	assert_int_equal(r->dues, 1);
	assert_int_equal(r->last_due_time, FAKE_IO_START_TIME + 5);
}

static void a_recipient_on_hold_is_not_due_until_it_is_released(void **state)
{
	struct rig *r = *state;
	struct id id = rig_accepted(r, MAIL("x\r\n"));
	enum err err;

	rig_settle(r, id, 0, QUEUE_ON_HOLD, 0, NULL);
	fake_io_run(&r->io);
	assert_int_equal(due_rows(r, "d0.example"), 0);
	assert_int_equal(queue_space(r->queue).held_recipients, 1);
	assert_null(rig_load(r, id, "d0.example", 0, &err));
	assert_int_equal(err, ERR_NOT_FOUND);
	rig_settle(r, id, 0, QUEUE_DEFERRED, FAKE_IO_START_TIME, NULL);
	fake_io_run(&r->io);
	assert_int_equal(due_rows(r, "d0.example"), 1);
	assert_int_equal(queue_space(r->queue).held_recipients, 0);
}

static void the_message_goes_with_its_last_recipient(void **state)
{
	struct rig *r = *state;
	struct id id = rig_accepted(r, &(struct rig_mail){ .recipients = 3, .content = TEXT("x") });

	rig_settle(r, id, 1, QUEUE_BOUNCED, 0, NULL);
	rig_settle(r, id, 0, QUEUE_DELIVERED, 0, NULL);
	fake_io_run(&r->io);
	assert_int_equal(queue_space(r->queue).messages, 1);
	assert_int_equal(queue_space(r->queue).recipients, 1);
	rig_settle(r, id, 2, QUEUE_DROPPED, 0, NULL);
	fake_io_run(&r->io);
	assert_int_equal(queue_space(r->queue).messages, 0);
}

static void an_outcome_for_a_recipient_that_is_gone_is_passed_over(void **state)
{
	struct rig *r = *state;
	struct rig_answer answer = { 0 };
	struct id id = rig_accepted(r, &(struct rig_mail){ .recipients = 2, .content = TEXT("x") });

	rig_settle(r, id, 0, QUEUE_DELIVERED, 0, NULL);
	fake_io_run(&r->io);
	rig_settle(r, id, 0, QUEUE_DEFERRED, 5, &answer);
	fake_io_run(&r->io);
	assert_int_equal(answer.err, ERR_OK);
	assert_int_equal(due_rows(r, "d0.example"), 0);
	assert_int_equal(queue_space(r->queue).recipients, 1);
}

static void a_notice_enters_with_the_settle_that_caused_it(void **state)
{
	struct rig *r = *state;
	struct rig_answer answer = { 0 };
	struct id id = rig_accepted(r, MAIL("x\r\n"));
	struct envelope *e = rig_envelope(r, 1);
	const struct text key = TEXT("origin.example");
	struct queue_outcome o = { .verdict = QUEUE_BOUNCED, .recipient = { .n = 0 } };
	struct queue_notice notice = { .envelope = e,
		                       .prepended = TEXT("Received: by us\r\n"),
		                       .content = TEXT("Subject: sorry\r\n"),
		                       .keys = &key };

	r->io.held[IO_LANE_WRITER] = true;
	queue_settle(
		r->queue,
		&(struct queue_settlement){
			.id = id, .outcomes = &o, .outcome_count = 1, .notices = &notice, .notice_count = 1 },
		rig_on_settled, &answer);
	fake_io_run(&r->io);
	assert_int_equal(r->fresh, 1);
	fake_io_run_job(&r->io, IO_LANE_WRITER);
	r->io.held[IO_LANE_WRITER] = false;
	assert_int_equal(answer.err, ERR_OK);
	assert_int_equal(r->fresh, 2);
	struct queue_work *w = rig_work(r, e->id);

	assert_non_null(w);
	CHECK_TEXT("content", w->message->content, TEXT("Subject: sorry\r\n"));
	assert_int_equal(queue_space(r->queue).messages, 1);
	envelope_free(&e);
}

/* ---------------------------------------------------------------- settles that wait for company */

static void open_patient(struct rig *r)
{
	rig_close(r);
	r->options.settle_wait_ms = 2;
	assert_int_equal(rig_open(r), ERR_OK);
}

static void a_settle_shares_the_sync_of_new_mail(void **state)
{
	struct rig *r = *state;
	struct rig_answer settled = { 0 }, accepted = { 0 };

	open_patient(r);
	struct id id = rig_accepted(r, MAIL("x"));
	uint64_t before = r->io.ran[IO_LANE_WRITER];

	rig_settle(r, id, 0, QUEUE_DELIVERED, 0, &settled);
	fake_io_run(&r->io);
	assert_int_equal(settled.told, 0);
	rig_accept(r, MAIL("y"), &accepted);
	fake_io_run(&r->io);
	assert_int_equal(settled.told, 1);
	assert_int_equal(accepted.told, 1);
	assert_int_equal(r->io.ran[IO_LANE_WRITER] - before, 1);
}

static void a_settle_without_company_goes_alone_a_moment_later(void **state)
{
	struct rig *r = *state;
	struct rig_answer settled = { 0 };

	open_patient(r);
	struct id id = rig_accepted(r, MAIL("x"));

	rig_settle(r, id, 0, QUEUE_DELIVERED, 0, &settled);
	fake_io_advance(&r->io, 1);
	assert_int_equal(settled.told, 0);
	fake_io_advance(&r->io, 1);
	assert_int_equal(settled.told, 1);
	assert_int_equal(queue_space(r->queue).messages, 0);
	/* Also one that came while a commit was under way. */
	id = rig_accepted(r, MAIL("y"));
	settled.told = 0;
	r->io.held[IO_LANE_WRITER] = true;
	rig_accept(r, MAIL("z"), NULL);
	fake_io_run(&r->io);
	rig_settle(r, id, 0, QUEUE_DELIVERED, 0, &settled);
	r->io.held[IO_LANE_WRITER] = false;
	fake_io_run(&r->io);
	assert_int_equal(settled.told, 0);
	fake_io_advance(&r->io, 3);
	assert_int_equal(settled.told, 1);
}

static void a_settle_that_waits_is_committed_by_the_close(void **state)
{
	struct rig *r = *state;

	open_patient(r);
	struct id id = rig_accepted(r, MAIL("x"));

	rig_settle(r, id, 0, QUEUE_DELIVERED, 0, NULL);
	rig_close(r);
	assert_int_equal(rig_open(r), ERR_OK);
	assert_int_equal(queue_space(r->queue).messages, 0);
}

/* ---------------------------------------------------------------- claims and stops */

static void what_was_accepted_is_there_after_a_restart(void **state)
{
	struct rig *r = *state;
	enum err err;
	struct queue_row rows[4];
	size_t len;
	struct id id = rig_accepted(r, &(struct rig_mail){ .content = TEXT("body\r\n"), .recipients = 3 });

	rig_close(r);
	assert_int_equal(rig_open(r), ERR_OK);
	assert_false(queue_was_unclean(r->queue));
	assert_int_equal(queue_space(r->queue).recipients, 3);
	assert_int_equal(rig_scan(r, "d1.example", rows, 4, NULL), 1);
	assert_true(id_eq(rows[0].id, id));
	assert_int_equal(rows[0].n, 1);
	struct queue_work *w = rig_load(r, id, "d1.example", 1, &err);

	assert_int_equal(err, ERR_OK);
	assert_int_equal(w->recipients[0].state, QUEUE_WAITING);
	assert_false(w->recipients[0].unknown_outcome);
	char *all = rig_read_body(r, w->message, &len, &err);

	assert_int_equal(err, ERR_OK);
	assert_string_equal(all, "Received: from nowhere\r\nbody\r\n");
	free(all);
	queue_work_free(r->queue, &w);
}

static void what_waits_at_the_close_is_committed_and_nobody_told(void **state)
{
	struct rig *r = *state;
	struct rig_answer answer = { 0 };

	rig_accept(r, MAIL("x\r\n"), &answer);
	rig_close(r);
	assert_int_equal(answer.told, 0);
	assert_int_equal(rig_open(r), ERR_OK);
	assert_int_equal(queue_space(r->queue).messages, 1);
}

static void the_newest_id_is_known_after_a_restart(void **state)
{
	struct rig *r = *state;
	struct id id = rig_accepted(r, MAIL("x\r\n"));

	rig_settle(r, id, 0, QUEUE_DELIVERED, 0, NULL);
	fake_io_run(&r->io);
	rig_close(r);
	assert_int_equal(rig_open(r), ERR_OK);
	assert_true(queue_newest_time(r->queue) >= id_time(id));
	assert_true(queue_newest_time(r->queue) <= id_time(id) + 60000);
}

static void a_retry_is_claimed_without_anybody_waiting(void **state)
{
	struct rig *r = *state;
	struct rig_answer answer = { 0 };
	struct id id = rig_accepted(r, MAIL("x\r\n"));
	enum err err;
	uint32_t n = 0;

	rig_settle(r, id, 0, QUEUE_DEFERRED, FAKE_IO_START_TIME + 5, NULL);
	fake_io_run(&r->io);
	queue_claim(r->queue, id, &n, 1, rig_on_settled, &answer);
	queue_claim(r->queue, id, &n, 1, NULL, NULL);
	fake_io_run(&r->io);
	assert_int_equal(answer.told, 1);
	assert_int_equal(answer.err, ERR_OK);
	struct queue_work *w = rig_load(r, id, "d0.example", 0, &err);

	assert_int_equal(w->recipients[0].state, QUEUE_CLAIMED);
	assert_int_equal(w->recipients[0].due_time, FAKE_IO_START_TIME + 5);
	queue_work_free(r->queue, &w);
}

/* ---------------------------------------------------------------- what waits */

static void rows_come_in_order_and_in_pieces(void **state)
{
	struct rig *r = *state;
	const struct text key = TEXT("same.example");
	struct queue_row rows[10];
	struct id ids[10];
	int64_t next;

	for (unsigned i = 0; i < 10; i++) {
		ids[i] = rig_accepted(r, &(struct rig_mail){ .content = TEXT("x"), .keys = &key });
		rig_settle(r, ids[i], 0, QUEUE_DEFERRED, FAKE_IO_START_TIME + 1000 * (int64_t)((i * 7) % 10),
		           NULL);
	}
	fake_io_run(&r->io);
	assert_int_equal(rig_scan(r, "same.example", rows, 4, &next), 4);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(rows[i].due_time, FAKE_IO_START_TIME + 1000 * (int64_t)i);
	assert_int_equal(next, FAKE_IO_START_TIME + 4000);
	assert_int_equal(
		rig_scan_from(r, "same.example", &rows[3], FAKE_IO_START_TIME + 6000, rows, 10, &next), 3);
	assert_int_equal(rows[0].due_time, FAKE_IO_START_TIME + 4000);
	assert_int_equal(next, FAKE_IO_START_TIME + 7000);
	assert_int_equal(rig_scan_from(r, "same.example", &rows[2], INT64_MAX, rows, 10, &next), 3);
	assert_int_equal(next, INT64_MAX);
	assert_int_equal(rig_scan(r, "same.exampl", rows, 10, NULL), 0);
	assert_int_equal(rig_scan(r, "same.example.net", rows, 10, NULL), 0);
}

struct keys {
	unsigned count;
	uint64_t recipients;
	int64_t earliest;
};

static void note_key(void *owner, struct text key, uint64_t recipients, int64_t earliest)
{
	struct keys *k = owner;

	k->count++;
	if (text_eq(key, TEXT("busy.example"))) {
		k->recipients = recipients;
		k->earliest = earliest;
	}
}

static void the_directory_of_keys_knows_count_and_earliest(void **state)
{
	struct rig *r = *state;
	const struct text key = TEXT("busy.example");
	struct keys keys = { 0 };
	struct id id = { { 0 } };

	for (unsigned i = 0; i < 5; i++) {
		id = rig_accepted(r, &(struct rig_mail){ .content = TEXT("x"), .keys = &key });
		rig_settle(r, id, 0, QUEUE_DEFERRED, FAKE_IO_START_TIME + 9000 - 100 * (int64_t)i, NULL);
	}
	rig_accepted(r, MAIL("x"));
	rig_settle(r, id, 0, QUEUE_DELIVERED, 0, NULL);
	fake_io_run(&r->io);
	assert_int_equal(queue_each_key(r->queue, note_key, &keys), ERR_OK);
	assert_int_equal(keys.count, 2);
	assert_int_equal(keys.recipients, 4);
	assert_int_equal(keys.earliest, FAKE_IO_START_TIME + 8700);
}

static void loading_leaves_out_what_is_not_to_be_had(void **state)
{
	struct rig *r = *state;
	static const struct text keys[] = { LIT("a.example"), LIT("a.example"), LIT("b.example"),
		                            LIT("a.example") };
	struct id id =
		rig_accepted(r, &(struct rig_mail){ .recipients = 4, .keys = keys, .content = TEXT("x") });
	const uint32_t ns[] = { 3, 2, 1, 0, 17 };
	enum err err;

	rig_settle(r, id, 0, QUEUE_DELIVERED, 0, NULL);
	rig_settle(r, id, 1, QUEUE_ON_HOLD, 0, NULL);
	fake_io_run(&r->io);
	struct queue_work *w = rig_load_many(r, id, "a.example", ns, ARRAY_LEN(ns), &err);

	assert_int_equal(err, ERR_OK);
	assert_int_equal(w->recipient_count, 1);
	assert_int_equal(w->recipients[0].n, 3);
	assert_int_equal(w->message->envelope->recipient_count, 4);
	queue_work_free(r->queue, &w);
	assert_null(rig_load(r, id, "elsewhere.example", 3, &err));
	assert_int_equal(err, ERR_NOT_FOUND);
}

static void loads_that_wait_together_are_read_together(void **state)
{
	struct rig *r = *state;
	struct id ids[10];
	uint64_t before;

	for (unsigned i = 0; i < 10; i++)
		ids[i] = rig_accepted(r, MAIL("x"));
	before = r->io.ran[IO_LANE_DISK];
	assert_int_equal(rig_load_all(r, ids, 10, "d0.example"), 10);
	assert_int_equal(r->io.ran[IO_LANE_DISK] - before, 2);
}

/* ---------------------------------------------------------------- for people */

struct seen {
	unsigned count, stop_after, recipients, done;
	struct id last;
	enum err err;
};

static bool see(void *owner, const struct queue_entry *entry)
{
	struct seen *s = owner;

	if (s->count > 0)
		assert_true(id_compare(s->last, entry->envelope->id) < 0);
	s->last = entry->envelope->id;
	s->recipients += (unsigned)entry->recipient_count;
	assert_false(entry->damaged);
	return ++s->count != s->stop_after;
}

static void see_end(void *owner, enum err err)
{
	struct seen *s = owner;

	s->done++;
	s->err = err;
}

static void every_message_is_shown_in_the_order_of_its_id(void **state)
{
	struct rig *r = *state;
	struct seen all = { 0 }, some = { .stop_after = 70 };
	struct id hundredth = { { 0 } };

	for (unsigned i = 0; i < 150; i++) {
		struct id id =
			rig_accept(r, &(struct rig_mail){ .recipients = 2, .content = TEXT("x") }, NULL);

		if (i == 99)
			hundredth = id;
	}
	fake_io_run(&r->io);
	queue_each_message(r->queue, (struct id){ { 0 } }, see, see_end, &all);
	fake_io_run(&r->io);
	assert_int_equal(all.count, 150);
	assert_int_equal(all.recipients, 300);
	assert_int_equal(all.done, 1);
	queue_each_message(r->queue, (struct id){ { 0 } }, see, see_end, &some);
	fake_io_run(&r->io);
	assert_int_equal(some.count, 70);
	assert_int_equal(some.done, 1);
	assert_int_equal(some.err, ERR_OK);
	all = (struct seen){ 0 };
	queue_each_message(r->queue, hundredth, see, see_end, &all);
	fake_io_run(&r->io);
	assert_int_equal(all.count, 50);
}

static void a_message_is_found_by_its_prefix(void **state)
{
	struct rig *r = *state;
	struct seen seen = { 0 };
	struct id id = rig_accepted(r, MAIL("x")), first, last;

	fake_io_advance(&r->io, 3600000);
	rig_accepted(r, MAIL("y"));
	assert_int_equal(id_prefix_range(text_head(text_from(id_to_text(id).at), 10), &first, &last), ERR_OK);
	queue_find(r->queue, first, last, see, see_end, &seen);
	fake_io_run(&r->io);
	assert_int_equal(seen.count, 1);
	assert_true(id_eq(seen.last, id));
	seen = (struct seen){ 0 };
	queue_find(r->queue, id, id, see, see_end, &seen);
	fake_io_run(&r->io);
	assert_int_equal(seen.count, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_BOTH(an_accepted_message_is_announced_and_gone_after_its_settle),
		RIG_BOTH(nobody_is_told_before_the_commit),
		RIG_BOTH(what_waits_during_a_commit_goes_in_the_next_one_together),
		RIG_BOTH(ids_that_come_out_of_order_are_all_there),
		RIG_BOTH(an_id_that_is_there_already_is_refused_and_harms_nobody),
		RIG_BOTH(a_delivery_key_that_cannot_be_one_is_refused),
		RIG_BOTH(a_forgotten_ticket_is_accepted_all_the_same),
		RIG_BOTH(an_empty_message_is_a_message),
		RIG_BOTH(one_work_for_each_delivery_key),
		RIG_BOTH(a_message_for_later_waits_for_its_time_and_is_told_of_once_a_key),
		RIG_BOTH(a_release_that_is_past_is_at_once),
		RIG_BOTH(what_the_scheduler_leaves_waits_without_a_claim),
		RIG_BOTH(a_deferred_recipient_waits_with_all_that_is_known),
		RIG_BOTH(a_deferral_without_a_key_stays_under_its_own),
		RIG_BOTH(a_recipient_on_hold_is_not_due_until_it_is_released),
		RIG_BOTH(the_message_goes_with_its_last_recipient),
		RIG_BOTH(an_outcome_for_a_recipient_that_is_gone_is_passed_over),
		RIG_BOTH(a_notice_enters_with_the_settle_that_caused_it),
		RIG_BOTH(a_settle_shares_the_sync_of_new_mail),
		RIG_BOTH(a_settle_without_company_goes_alone_a_moment_later),
		RIG_BOTH(a_settle_that_waits_is_committed_by_the_close),
		RIG_BOTH(what_was_accepted_is_there_after_a_restart),
		RIG_BOTH(what_waits_at_the_close_is_committed_and_nobody_told),
		RIG_BOTH(the_newest_id_is_known_after_a_restart),
		RIG_BOTH(a_retry_is_claimed_without_anybody_waiting),
		RIG_BOTH(rows_come_in_order_and_in_pieces),
		RIG_BOTH(the_directory_of_keys_knows_count_and_earliest),
		RIG_BOTH(loading_leaves_out_what_is_not_to_be_had),
		RIG_BOTH(loads_that_wait_together_are_read_together),
		RIG_BOTH(every_message_is_shown_in_the_order_of_its_id),
		RIG_BOTH(a_message_is_found_by_its_prefix),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
