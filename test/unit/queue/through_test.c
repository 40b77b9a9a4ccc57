/* Entries that are decided by their settle. */
#include "support/check.h"

#include <postrider/queue.h>

#include "support/queue_rig.h"

static struct rig_mail through(enum queue_mode mode, size_t recipients, int64_t budget_ms)
{
	return (struct rig_mail){
		.content = TEXT("x\r\n"), .mode = mode, .recipients = recipients, .budget_ms = budget_ms
	};
}

static uint64_t commits(struct rig *r)
{
	return r->io.ran[IO_LANE_WRITER];
}

static void a_message_is_announced_without_a_commit(void **state)
{
	struct rig *r = *state;
	struct rig_answer answer = { 0 };
	struct rig_mail mail = through(QUEUE_THROUGH, 1, 0);
	uint64_t before = commits(r);
	struct id id = rig_accept(r, &mail, &answer);

	assert_int_equal(r->fresh, 0);
	fake_io_run(&r->io);
	assert_int_equal(r->fresh, 1);
	assert_int_equal(answer.told, 0);
	assert_int_equal(commits(r), before);
	CHECK_TEXT("content", rig_work(r, id)->message->content, TEXT("x\r\n"));
	rig_settle(r, id, 0, QUEUE_DELIVERED, 0, NULL);
	assert_int_equal(answer.told, 0);
	fake_io_run(&r->io);
	assert_int_equal(answer.told, 1);
	assert_int_equal(answer.err, ERR_OK);
	assert_false(answer.stored);
	assert_int_equal(answer.outcome_count, 1);
	assert_int_equal(answer.verdicts[0], QUEUE_DELIVERED);
	assert_int_equal(commits(r), before);
	assert_int_equal(queue_space(r->queue).messages, 0);
}

static void claims_and_settles_of_it_need_no_commit(void **state)
{
	struct rig *r = *state;
	struct rig_answer answer = { 0 }, claimed = { 0 }, settled = { 0 };
	struct rig_mail mail = through(QUEUE_THROUGH, 2, 0);
	uint64_t before = commits(r);
	struct id id = rig_accept(r, &mail, &answer);
	uint32_t n = 0;

	fake_io_run(&r->io);
	queue_claim(r->queue, id, &n, 1, rig_on_settled, &claimed);
	rig_settle(r, id, 0, QUEUE_DELIVERED, 0, &settled);
	fake_io_run(&r->io);
	assert_int_equal(claimed.told, 1);
	assert_int_equal(settled.told, 1);
	assert_int_equal(settled.err, ERR_OK);
	assert_int_equal(answer.told, 0);
	rig_settle(r, id, 0, QUEUE_BOUNCED, 0, NULL); /* settled before: passed over */
	rig_settle(r, id, 1, QUEUE_DELIVERED, 0, NULL);
	fake_io_run(&r->io);
	assert_int_equal(answer.told, 1);
	assert_int_equal(answer.outcome_count, 2);
	assert_int_equal(answer.verdicts[0], QUEUE_DELIVERED);
	assert_int_equal(commits(r), before);
}

static void what_is_refused_is_told_to_the_client_and_to_nobody_else(void **state)
{
	struct rig *r = *state;
	struct rig_answer answer = { 0 };
	struct rig_mail mail = through(QUEUE_THROUGH, 1, 0);
	struct id id = rig_accept(r, &mail, &answer);

	fake_io_run(&r->io);
	rig_settle_with_notice(r, id, 100, NULL);
	fake_io_run(&r->io);
	assert_int_equal(answer.verdicts[0], QUEUE_BOUNCED);
	assert_false(answer.stored);
	assert_int_equal(queue_space(r->queue).messages, 0);
	assert_int_equal(r->fresh, 1);
}

static void a_refusal_beside_a_delivery_gets_its_report_before_the_answer(void **state)
{
	struct rig *r = *state;
	struct rig_answer answer = { 0 };
	struct rig_mail mail = through(QUEUE_THROUGH, 2, 0);
	struct id id = rig_accept(r, &mail, &answer);

	fake_io_run(&r->io);
	rig_settle_with_notice(r, id, 100, NULL);
	r->io.held[IO_LANE_WRITER] = true;
	rig_settle(r, id, 1, QUEUE_DELIVERED, 0, NULL);
	fake_io_run(&r->io);
	assert_int_equal(answer.told, 0);
	r->io.held[IO_LANE_WRITER] = false;
	fake_io_run(&r->io);
	assert_int_equal(answer.told, 1);
	assert_int_equal(answer.err, ERR_OK);
	assert_int_equal(answer.verdicts[0], QUEUE_BOUNCED);
	assert_int_equal(answer.verdicts[1], QUEUE_DELIVERED);
	assert_int_equal(queue_space(r->queue).messages, 1); /* the report */
	assert_int_equal(r->fresh, 3);
}

static void a_deferral_is_told_when_nothing_may_be_stored(void **state)
{
	struct rig *r = *state;
	struct rig_answer answer = { 0 };
	struct rig_mail mail = through(QUEUE_THROUGH, 2, 0);
	struct id id = rig_accept(r, &mail, &answer);

	fake_io_run(&r->io);
	rig_settle(r, id, 0, QUEUE_DEFERRED, 5, NULL);
	rig_settle(r, id, 1, QUEUE_BOUNCED, 0, NULL);
	fake_io_run(&r->io);
	assert_int_equal(answer.told, 1);
	assert_false(answer.stored);
	assert_int_equal(answer.verdicts[0], QUEUE_DEFERRED);
	assert_int_equal(queue_space(r->queue).messages, 0);
}

/* One answer cannot say both: the client must not send the delivered one again. */
static void a_deferral_beside_a_delivery_is_stored_in_either_mode(void **state)
{
	struct rig *r = *state;

	for (unsigned i = 0; i < 2; i++) {
		struct rig_answer answer = { 0 };
		struct rig_mail mail = through(i ? QUEUE_THROUGH : QUEUE_THROUGH_OR_STORE, 2, 0);
		struct queue_row rows[4];
		struct id id = rig_accept(r, &mail, &answer);

		fake_io_run(&r->io);
		rig_settle(r, id, 0, QUEUE_DELIVERED, 0, NULL);
		rig_settle(r, id, 1, QUEUE_DEFERRED, FAKE_IO_START_TIME + 77, NULL);
		r->io.held[IO_LANE_WRITER] = true;
		fake_io_run(&r->io);
		assert_int_equal(answer.told, 0);
		r->io.held[IO_LANE_WRITER] = false;
		fake_io_run(&r->io);
		assert_int_equal(answer.told, 1);
		assert_true(answer.stored);
		assert_int_equal(rig_scan(r, "d0.example", rows, 4, NULL), 0);
		assert_int_equal(rig_scan(r, "d1.example", rows, 4, NULL), 1);
		assert_int_equal(rows[0].due_time, FAKE_IO_START_TIME + 77);
		assert_int_equal(r->last_due_time, FAKE_IO_START_TIME + 77);
		rig_settle(r, id, 1, QUEUE_DELIVERED, 0, NULL);
		fake_io_run(&r->io);
		assert_int_equal(queue_space(r->queue).messages, 0);
	}
}

static void a_deferral_is_stored_where_it_may_be_and_its_fellows_go_on(void **state)
{
	struct rig *r = *state;
	struct rig_answer answer = { 0 }, settled = { 0 };
	struct rig_mail mail = through(QUEUE_THROUGH_OR_STORE, 3, 60000);
	struct queue_row rows[4];
	struct id id = rig_accept(r, &mail, &answer);

	fake_io_run(&r->io);
	assert_int_equal(r->fresh, 3);
	rig_settle(r, id, 1, QUEUE_DEFERRED, FAKE_IO_START_TIME + 77, NULL);
	fake_io_run(&r->io);
	assert_int_equal(answer.told, 1);
	assert_true(answer.stored);
	assert_int_equal(r->fresh, 3); /* those under way are not announced again */
	assert_int_equal(queue_space(r->queue).recipients, 3);
	rig_settle(r, id, 0, QUEUE_DELIVERED, 0, &settled);
	rig_settle(r, id, 2, QUEUE_DELIVERED, 0, NULL);
	fake_io_run(&r->io);
	assert_int_equal(settled.err, ERR_OK);
	assert_int_equal(queue_space(r->queue).recipients, 1);
	assert_int_equal(rig_scan(r, "d1.example", rows, 4, NULL), 1);
	fake_io_advance(&r->io, 100000); /* the budget is of no more concern */
	assert_int_equal(answer.told, 1);
}

/* Settled while the commit that stores it is under way: the settle goes behind it. */
static void a_settle_that_crosses_the_storing_is_not_lost(void **state)
{
	struct rig *r = *state;
	struct rig_answer answer = { 0 }, settled = { 0 };
	struct rig_mail mail = through(QUEUE_THROUGH_OR_STORE, 2, 60000);
	struct id id = rig_accept(r, &mail, &answer);

	fake_io_run(&r->io);
	r->io.held[IO_LANE_WRITER] = true;
	rig_settle(r, id, 0, QUEUE_DEFERRED, FAKE_IO_START_TIME + 77, NULL);
	fake_io_run(&r->io);
	rig_settle(r, id, 1, QUEUE_DELIVERED, 0, &settled);
	r->io.held[IO_LANE_WRITER] = false;
	fake_io_run(&r->io);
	assert_true(answer.stored);
	assert_int_equal(settled.err, ERR_OK);
	assert_int_equal(queue_space(r->queue).recipients, 1);
}

static void the_budget_ends_in_the_store_or_with_the_client(void **state)
{
	struct rig *r = *state;
	struct rig_answer stored = { 0 }, refused = { 0 }, late = { 0 };
	struct rig_mail or_store = through(QUEUE_THROUGH_OR_STORE, 1, 2000),
			only = through(QUEUE_THROUGH, 1, 2000);
	struct id ids[2];

	ids[0] = rig_accept(r, &or_store, &stored);
	ids[1] = rig_accept(r, &only, &refused);
	fake_io_advance(&r->io, 1999);
	assert_int_equal(stored.told + refused.told, 0);
	fake_io_advance(&r->io, 2);
	assert_int_equal(stored.told, 1);
	assert_true(stored.stored);
	assert_int_equal(refused.told, 1);
	assert_int_equal(refused.err, ERR_TIMEOUT);
	assert_int_equal(queue_space(r->queue).messages, 1);
	assert_int_equal(r->fresh, 2);
	/* What was under way ends: the stored one is gone, the refused one changes nothing more and brings no
	 * report. */
	rig_settle(r, ids[0], 0, QUEUE_DELIVERED, 0, NULL);
	rig_settle_with_notice(r, ids[1], 100, &late);
	fake_io_run(&r->io);
	assert_int_equal(late.told, 1);
	assert_int_equal(late.err, ERR_OK);
	assert_int_equal(queue_space(r->queue).messages, 0);
	assert_int_equal(r->fresh, 2);
}

static void what_the_scheduler_leaves_is_stored_or_told(void **state)
{
	struct rig *r = *state;
	struct rig_answer stored = { 0 }, told = { 0 };
	struct rig_mail or_store = through(QUEUE_THROUGH_OR_STORE, 1, 2000),
			only = through(QUEUE_THROUGH, 1, 2000);

	r->leave_fresh = true;
	rig_accept(r, &or_store, &stored);
	rig_accept(r, &only, &told);
	fake_io_run(&r->io);
	assert_true(stored.stored);
	assert_int_equal(told.err, ERR_OK);
	assert_false(told.stored);
	assert_int_equal(told.verdicts[0], QUEUE_DEFERRED);
	assert_int_equal(queue_space(r->queue).messages, 1);
}

static void a_message_that_begins_held_is_stored(void **state)
{
	struct rig *r = *state;
	struct rig_answer answer = { 0 };
	struct rig_mail mail = through(QUEUE_THROUGH, 2, 2000);
	static const bool held[] = { false, true };

	mail.held = held;
	rig_accept(r, &mail, &answer);
	fake_io_run(&r->io);
	assert_true(answer.stored);
	assert_int_equal(queue_space(r->queue).held_recipients, 1);
	assert_int_equal(r->fresh, 1);
}

static void a_message_for_later_is_stored(void **state)
{
	struct rig *r = *state;
	struct rig_answer answer = { 0 };
	struct rig_mail mail = through(QUEUE_THROUGH, 2, 2000);

	mail.release_time = io_now_time(&r->io.base) + 3600000;
	rig_accept(r, &mail, &answer);
	fake_io_run(&r->io);
	assert_true(answer.stored);
	assert_int_equal(r->fresh, 0);
	assert_int_equal(r->dues, 2);
	assert_true(r->last_due_time == mail.release_time);
}

static void a_large_body_is_synced_only_when_it_is_stored(void **state)
{
	struct rig *r = *state;
	struct rig_answer told = { 0 }, stored = { 0 };
	char *content = rig_octets(300000, 1);
	struct rig_mail mail = { .content = text_of(content, 300000),
		                 .mode = QUEUE_THROUGH_OR_STORE,
		                 .budget_ms = 2000 };
	size_t len;
	enum err err;
	struct id id = rig_accept(r, &mail, &told);

	fake_io_run(&r->io);
	assert_int_equal(fake_disk_count(r->disk, FAKE_DISK_SYNC), 0);
	assert_int_equal(r->fresh, 1);
	char *body = rig_read_body(r, rig_work(r, id)->message, &len, &err);

	assert_int_equal(err, ERR_OK);
	assert_memory_equal(body + len - 300000, content, 300000);
	free(body);
	rig_settle(r, id, 0, QUEUE_DELIVERED, 0, NULL);
	fake_io_run(&r->io);
	assert_int_equal(told.told, 1);
	rig_drop_works(r);
	assert_int_equal(fake_disk_files(r->disk, "/spool/bodies"), 0);

	id = rig_accept(r, &mail, &stored);
	fake_io_run(&r->io);
	rig_settle(r, id, 0, QUEUE_DEFERRED, 5, NULL);
	fake_io_run(&r->io);
	assert_true(stored.stored);
	assert_int_equal(fake_disk_count(r->disk, FAKE_DISK_SYNC), 1);
	assert_int_equal(fake_disk_files(r->disk, "/spool/bodies"), 1);
	rig_close(r);
	assert_int_equal(rig_open(r), ERR_OK);
	assert_int_equal(queue_space(r->queue).files, 1);
	free(content);
}

static void storing_that_fails_is_told(void **state)
{
	struct rig *r = *state;
	struct rig_answer answer = { 0 };
	struct rig_mail mail = through(QUEUE_THROUGH_OR_STORE, 1, 2000);
	struct id id = rig_accept(r, &mail, &answer);

	fake_io_run(&r->io);
	queue_memory_fail_commits(r->memory, ERR_FULL, 0);
	rig_settle(r, id, 0, QUEUE_DEFERRED, 5, NULL);
	fake_io_run(&r->io);
	assert_int_equal(answer.told, 1);
	assert_int_equal(answer.err, ERR_FULL);
	assert_false(answer.stored);
	queue_memory_fail_commits(r->memory, ERR_OK, 0);
	assert_int_equal(queue_space(r->queue).messages, 0);
}

/* The sanitizers say whether anything of it stays. */
static void the_close_ends_entries_in_every_state(void **state)
{
	struct rig *r = *state;
	char *content = rig_octets(300000, 1);

	for (unsigned steps = 0; steps < 14; steps++) {
		struct rig_answer answers[4] = { 0 };
		struct rig_mail small = through(QUEUE_THROUGH_OR_STORE, 2, 2000),
				only = through(QUEUE_THROUGH, 2, 2000);
		struct rig_mail large = { .content = text_of(content, 300000),
			                  .mode = QUEUE_THROUGH_OR_STORE,
			                  .budget_ms = 2000 };
		struct id ids[3] = { rig_accept(r, &small, &answers[0]), rig_accept(r, &only, &answers[1]),
			             rig_accept(r, &large, &answers[2]) };

		for (unsigned i = 0; i < steps; i++) {
			fake_io_turn(&r->io);
			fake_io_run_job(&r->io, i % 2 ? IO_LANE_DISK : IO_LANE_WRITER);
			if (i == 4) {
				rig_settle(r, ids[0], 0, QUEUE_DEFERRED, 5, NULL);
				rig_settle_with_notice(r, ids[1], 50, NULL);
				rig_settle(r, ids[1], 1, QUEUE_DELIVERED, 0, NULL);
				rig_settle(r, ids[2], 0, QUEUE_DEFERRED, 5, NULL);
			}
		}
		rig_close(r);
		assert_int_equal(rig_open(r), ERR_OK);
	}
	assert_int_equal(fake_disk_files(r->disk, "/spool/bodies"), queue_space(r->queue).files);
	free(content);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_MEMORY_ONLY(a_message_is_announced_without_a_commit),
		RIG_MEMORY_ONLY(claims_and_settles_of_it_need_no_commit),
		RIG_MEMORY_ONLY(what_is_refused_is_told_to_the_client_and_to_nobody_else),
		RIG_MEMORY_ONLY(a_refusal_beside_a_delivery_gets_its_report_before_the_answer),
		RIG_MEMORY_ONLY(a_deferral_is_told_when_nothing_may_be_stored),
		RIG_BOTH(a_deferral_beside_a_delivery_is_stored_in_either_mode),
		RIG_BOTH(a_deferral_is_stored_where_it_may_be_and_its_fellows_go_on),
		RIG_BOTH(a_settle_that_crosses_the_storing_is_not_lost),
		RIG_BOTH(the_budget_ends_in_the_store_or_with_the_client),
		RIG_MEMORY_ONLY(what_the_scheduler_leaves_is_stored_or_told),
		RIG_MEMORY_ONLY(a_message_that_begins_held_is_stored),
		RIG_MEMORY_ONLY(a_message_for_later_is_stored),
		RIG_MEMORY_ONLY(a_large_body_is_synced_only_when_it_is_stored),
		RIG_MEMORY_ONLY(storing_that_fails_is_told),
		RIG_MEMORY_ONLY(the_close_ends_entries_in_every_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
