/* Entries that are decided by their settle. */
#include "support/check.h"

#include <stdio.h>

#include <postrider/queue.h>

#include "fault.h"
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

/* ---------------------------------------------------------------- the client keeps it */

struct keeper {
	struct rig *rig;
	unsigned calls;
	uint32_t settles; /* this recipient is settled from inside: UINT32_MAX none */
	uint32_t unsure;
	char keys[100];
	unsigned told;
	enum err err;
	bool unknown[3];
	enum queue_verdict verdicts[3];
};

static void on_fresh(void *owner, struct queue_work **work)
{
	struct keeper *k = owner;

	k->rig->works[k->rig->work_count++] = *work;
	*work = NULL;
}

static void on_call_off(void *owner, struct id id, struct text key, bool *unsure)
{
	struct keeper *k = owner;

	k->calls++;
	snprintf(k->keys + strlen(k->keys), sizeof(k->keys) - strlen(k->keys), "%.*s ", TEXT_ARGS(key));
	if (k->settles != UINT32_MAX)
		rig_settle(k->rig, id, k->settles, QUEUE_DEFERRED, 5, NULL);
	if (k->unsure != UINT32_MAX)
		unsure[k->unsure] = true;
}

static void on_kept(void *owner, const struct queue_decision *d)
{
	struct keeper *k = owner;

	k->told++;
	k->err = d->err;
	for (size_t i = 0; i < d->outcome_count && i < 3; i++) {
		k->unknown[i] = d->outcomes[i].recipient.unknown_outcome;
		k->verdicts[i] = d->outcomes[i].verdict;
	}
}

static const struct queue_events keeper_events = { .on_fresh = on_fresh, .on_call_off = on_call_off };

static struct id accept_kept(struct keeper *k, enum queue_mode mode, size_t recipients, int64_t budget_ms,
                             struct queue_ticket **ticket)
{
	struct envelope *e = rig_envelope(k->rig, recipients);
	static const struct text keys[] = { LIT("d0.example"), LIT("d1.example"), LIT("d1.example") };
	struct queue_draft *d = NULL;
	struct id id = e->id;

	queue_listen(k->rig->queue, &keeper_events, k);
	assert_int_equal(queue_draft_open_through(k->rig->queue, 0, rig_ignore, NULL, &d), ERR_OK);
	assert_int_equal(queue_draft_write(d, TEXT("x\r\n")), ERR_OK);
	struct queue_ticket *t = queue_accept(k->rig->queue, &d,
	                                      &(struct queue_submission){ .envelope = e,
	                                                                  .prepended = TEXT_EMPTY,
	                                                                  .keys = keys,
	                                                                  .mode = mode,
	                                                                  .budget_ms = budget_ms },
	                                      on_kept, k);

	if (ticket)
		*ticket = t;
	envelope_free(&e);
	return id;
}

/* Once for each key of those that are open; what is settled from inside counts, and the answer says what may arrive. */
static void what_is_open_is_called_off_when_the_budget_ends(void **state)
{
	struct rig *r = *state;
	struct keeper k = { .rig = r, .settles = 1, .unsure = 2 };
	struct rig_answer late = { 0 };
	struct id id = accept_kept(&k, QUEUE_THROUGH, 3, 2000, NULL);

	fake_io_run(&r->io);
	rig_settle(r, id, 0, QUEUE_BOUNCED, 0, NULL);
	fake_io_advance(&r->io, 2001);
	assert_int_equal(k.told, 1);
	assert_int_equal(k.err, ERR_TIMEOUT);
	assert_int_equal(k.calls, 1);
	assert_string_equal(k.keys, "d1.example ");
	assert_int_equal(k.verdicts[0], QUEUE_BOUNCED);
	assert_false(k.unknown[0] || k.unknown[1]);
	assert_true(k.unknown[2]);
	assert_true(queue_has_client(r->queue, id));
	rig_settle_with_notice(r, id, 50,
	                       &late); /* of one that is settled: passed over, and its report with it */
	rig_settle(r, id, 2, QUEUE_DELIVERED, 0, NULL);
	fake_io_run(&r->io);
	assert_int_equal(late.err, ERR_OK);
	assert_false(queue_has_client(r->queue, id));
	assert_int_equal(queue_space(r->queue).messages, 0);
	rig_drop_works(r);
}

static void a_hurry_ends_the_budget(void **state)
{
	struct rig *r = *state;

	for (unsigned early = 0; early < 2; early++) {
		struct keeper only = { .rig = r, .settles = UINT32_MAX, .unsure = UINT32_MAX },
			      or_store = { .rig = r, .settles = UINT32_MAX, .unsure = UINT32_MAX };
		struct queue_ticket *t;
		struct id id = accept_kept(&only, QUEUE_THROUGH, 1, 60000, &t);

		if (!early)
			fake_io_run(&r->io);
		queue_accept_hurry(t);
		assert_int_equal(only.told, 0); /* never from inside */
		fake_io_run(&r->io);
		assert_int_equal(only.told, 1);
		assert_int_equal(only.err, ERR_CANCELLED);
		rig_settle(r, id, 0, QUEUE_DEFERRED, 5, NULL);
		fake_io_run(&r->io);
		id = accept_kept(&or_store, QUEUE_THROUGH_OR_STORE, 1, 60000, &t);
		if (!early)
			fake_io_run(&r->io);
		queue_accept_hurry(t);
		fake_io_run(&r->io);
		assert_int_equal(or_store.told, 1);
		assert_int_equal(or_store.err, ERR_OK);
		assert_int_equal(queue_space(r->queue).messages, 1);
		rig_settle(r, id, 0, QUEUE_DELIVERED, 0, NULL);
		fake_io_run(&r->io);
		assert_int_equal(queue_space(r->queue).messages, 0);
		rig_drop_works(r);
	}
}

/* The commit that was to store it fails while its other recipient is delivered: nothing of that settle is written, the client
 * hears what is there, and the report goes nowhere. */
static void a_settle_that_crosses_a_commit_that_fails_is_an_outcome(void **state)
{
	struct rig *r = *state;
	struct keeper k = { .rig = r, .settles = UINT32_MAX, .unsure = 2 };
	struct rig_answer settled = { 0 }, reported = { 0 };
	struct id id = accept_kept(&k, QUEUE_THROUGH_OR_STORE, 3, 60000, NULL);

	fake_io_run(&r->io);
	r->io.held[IO_LANE_WRITER] = true;
	queue_memory_fail_commits(r->memory, ERR_FULL, 0);
	rig_settle(r, id, 1, QUEUE_DEFERRED, FAKE_IO_START_TIME + 77, NULL);
	fake_io_run(&r->io);
	assert_false(queue_has_client(r->queue, id)); /* it is on its way to the disk */
	rig_settle_with_notice(r, id, 50, &reported);
	rig_settle(r, id, 2, QUEUE_DELIVERED, 0, &settled);
	fake_io_run(&r->io);
	assert_int_equal(settled.told + reported.told + k.told, 0);
	r->io.held[IO_LANE_WRITER] = false;
	fake_io_run(&r->io);
	assert_int_equal(k.told, 1);
	assert_int_equal(k.err, ERR_FULL);
	assert_int_equal(k.verdicts[0], QUEUE_BOUNCED);
	assert_int_equal(k.verdicts[2], QUEUE_DELIVERED);
	assert_int_equal(settled.err, ERR_OK);
	assert_int_equal(reported.told, 1);
	queue_memory_fail_commits(r->memory, ERR_OK, 0);
	fake_io_run(&r->io);
	assert_int_equal(queue_space(r->queue).messages, 0);
	rig_drop_works(r);
}

static enum err give_room(void *owner, unsigned point)
{
	struct rig *r = owner;

	if (point == FAULT_RESERVE_GIVEN_UP)
		queue_memory_fail_commits(r->memory, ERR_OK, 0);
	return ERR_OK;
}

/* Some are delivered: the rest has as much right to the reserve as a settle. */
static void the_rest_of_a_delivered_message_may_have_the_reserve(void **state)
{
	struct rig *r = *state;

	rig_close(r);
	r->options.reserve_bytes = 1 << 20;
	r->options.fault = give_room;
	r->options.fault_owner = r;
	assert_int_equal(rig_open(r), ERR_OK);
	for (unsigned delivered = 0; delivered < 2; delivered++) {
		struct keeper k = { .rig = r, .settles = UINT32_MAX, .unsure = UINT32_MAX };
		struct id id = accept_kept(&k, QUEUE_THROUGH_OR_STORE, 2, 60000, NULL);

		fake_io_run(&r->io);
		queue_memory_fail_commits(r->memory, ERR_FULL, 0);
		if (delivered)
			rig_settle(r, id, 0, QUEUE_DELIVERED, 0, NULL);
		rig_settle(r, id, 1, QUEUE_DEFERRED, FAKE_IO_START_TIME + 77, NULL);
		fake_io_run(&r->io);
		assert_int_equal(k.told, 1);
		assert_int_equal(k.err, delivered ? ERR_OK : ERR_FULL);
		queue_memory_fail_commits(r->memory, ERR_OK, 0);
		assert_int_equal(queue_space(r->queue).messages, delivered);
		fake_io_advance(&r->io, 5000);
		rig_drop_works(r);
	}
}

static void a_full_disk_is_no_matter_to_a_draft_that_goes_through(void **state)
{
	struct rig *r = *state;
	struct queue_draft *d = NULL;
	char *content = rig_octets(300000, 1);

	rig_close(r);
	fake_disk_set_size(r->disk, 1000);
	assert_int_equal(rig_open(r), ERR_OK);
	fake_io_advance(&r->io, 2000);
	assert_int_equal(queue_draft_open(r->queue, 0, rig_ignore, NULL, &d), ERR_FULL);
	assert_int_equal(queue_draft_open_through(r->queue, 300000, rig_ignore, NULL, &d), ERR_OK);
	assert_int_equal(queue_draft_write(d, text_of(content, 300000)), ERR_OK);
	assert_int_equal(fake_disk_files(r->disk, "/spool/bodies"), 0);
	assert_int_equal(queue_space(r->queue).body_memory_bytes >= 300000, 1);
	queue_draft_abort(&d);
	assert_int_equal(queue_space(r->queue).body_memory_bytes, 0);
	free(content);
}

/* ---------------------------------------------------------------- the line of the ledger */

static void a_mark_is_on_disk_when_it_is_told(void **state)
{
	struct rig *r = *state;
	struct rig_answer answer = { 0 }, marked = { 0 };
	struct rig_mail mail = { .content = TEXT("x\r\n"), .recipients = 2 };
	struct id id = rig_accept(r, &mail, &answer);
	const uint32_t ns[] = { 0, 1 };
	enum err err;

	fake_io_run(&r->io);
	queue_mark(
		r->queue,
		&(struct queue_mark){
			.id = id, .ns = ns, .count = 1, .remote = TEXT("mx [192.0.2.1]:25"), .time = 4711 },
		rig_on_settled, &marked);
	assert_int_equal(marked.told, 0);
	fake_io_run(&r->io);
	assert_int_equal(marked.told, 1);
	assert_int_equal(marked.err, ERR_OK);
	struct queue_work *w = rig_load(r, id, "d0.example", 0, &err);

	assert_int_equal(err, ERR_OK);
	assert_int_equal(w->recipients[0].state, QUEUE_CLAIMED);
	assert_int_equal(w->recipients[0].attempts, 1);
	assert_int_equal(w->recipients[0].last_attempt_time, 4711);
	CHECK_TEXT("host", w->recipients[0].remote, TEXT("mx [192.0.2.1]:25"));
	queue_work_free(r->queue, &w);
	/* the same attempt on another connection is no other attempt */
	queue_mark(
		r->queue,
		&(struct queue_mark){
			.id = id, .ns = ns, .count = 2, .remote = TEXT("mx [192.0.2.2]:25"), .time = 4712 },
		NULL, NULL);
	fake_io_run(&r->io);
	w = rig_load(r, id, "d0.example", 0, &err);
	assert_int_equal(w->recipients[0].attempts, 1);
	CHECK_TEXT("host", w->recipients[0].remote, TEXT("mx [192.0.2.2]:25"));
	queue_work_free(r->queue, &w);
	rig_drop_works(r);
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
		RIG_MEMORY_ONLY(what_is_open_is_called_off_when_the_budget_ends),
		RIG_MEMORY_ONLY(a_hurry_ends_the_budget),
		RIG_MEMORY_ONLY(a_settle_that_crosses_a_commit_that_fails_is_an_outcome),
		RIG_MEMORY_ONLY(the_rest_of_a_delivered_message_may_have_the_reserve),
		RIG_MEMORY_ONLY(a_full_disk_is_no_matter_to_a_draft_that_goes_through),
		RIG_BOTH(a_mark_is_on_disk_when_it_is_told),
		RIG_MEMORY_ONLY(the_close_ends_entries_in_every_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
