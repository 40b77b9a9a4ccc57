/* A message on its way in: memory, spool file, budget, and every way to fail. */
#include "support/check.h"

#include <stdio.h>
#include <unistd.h>

#include <postrider/queue.h>

#include "fault.h"
#include "records.h"
#include "support/queue_rig.h"

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)

static size_t body_memory(struct rig *r)
{
	return queue_space(r->queue).body_memory_bytes;
}

static size_t files(struct rig *r)
{
	return fake_disk_files(r->disk, "/spool/bodies");
}

static void check_body(struct rig *r, struct id id, const char *content, size_t len)
{
	enum err err;
	size_t got;
	struct queue_work *w = rig_load(r, id, "d0.example", 0, &err);
	static const char prepended[] = "Received: from nowhere\r\n";

	assert_int_equal(err, ERR_OK);
	assert_int_equal(w->message->content_bytes, len);
	char *body = rig_read_body(r, w->message, &got, &err);

	assert_int_equal(err, ERR_OK);
	assert_int_equal(got, len + strlen(prepended));
	assert_memory_equal(body, prepended, strlen(prepended));
	assert_memory_equal(body + strlen(prepended), content, len);
	free(body);
	queue_work_free(r->queue, &w);
}

/* ---------------------------------------------------------------- where a body goes */

static void bodies_of_every_size_come_back_as_they_went_in(void **state)
{
	static const size_t sizes[] = {
		1,
		4095,
		4096,
		16 * KIB,
		100000,
		128 * KIB - 1,
		128 * KIB,
		128 * KIB + 1,
		BLOCK_DATA_BYTES * 3 - 1,
		BLOCK_DATA_BYTES * 3,
		BLOCK_DATA_BYTES * 3 + 1,
		1000000,
	};
	struct rig *r = *state;

	for (unsigned declared = 0; declared < 2; declared++) {
		for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
			char *content = rig_octets(sizes[i], (unsigned)i);
			struct id id = rig_accepted(
				r, &(struct rig_mail){ .content = text_of(content, sizes[i]),
			                               .declared_bytes = declared ? sizes[i] : 0 });

			check_body(r, id, content, sizes[i]);
			rig_settle(r, id, 0, QUEUE_DELIVERED, 0, NULL);
			free(content);
			rig_drop_works(r);
		}
	}
	fake_io_run(&r->io);
	assert_int_equal(queue_space(r->queue).messages, 0);
	assert_int_equal(queue_space(r->queue).files, 0);
	assert_int_equal(queue_space(r->queue).file_bytes, 0);
	assert_int_equal(body_memory(r), 0);
}

static void a_large_body_goes_to_a_file_and_goes_with_its_message(void **state)
{
	struct rig *r = *state;
	char *content = rig_octets(300000, 1);
	uint64_t before = fake_disk_count(r->disk, FAKE_DISK_SYNC_DIRECTORY);
	struct id id = rig_accepted(r, &(struct rig_mail){ .content = text_of(content, 300000) });

	assert_int_equal(files(r), 1);
	assert_int_equal(queue_space(r->queue).files, 1);
	assert_int_equal(fake_disk_count(r->disk, FAKE_DISK_SYNC), 1);
	assert_int_equal(fake_disk_count(r->disk, FAKE_DISK_SYNC_DIRECTORY) - before, 1);
	assert_int_equal(body_memory(r), 0);
	rig_settle(r, id, 0, QUEUE_DELIVERED, 0, NULL);
	fake_io_run(&r->io);
	assert_int_equal(files(r), 0);
	free(content);
}

static void the_directory_is_synced_once_for_a_group(void **state)
{
	struct rig *r = *state;
	char *content = rig_octets(300000, 1);
	uint64_t before = fake_disk_count(r->disk, FAKE_DISK_SYNC_DIRECTORY);

	r->io.held[IO_LANE_WRITER] = true;
	for (unsigned i = 0; i < 5; i++)
		rig_accept(r, &(struct rig_mail){ .content = text_of(content, 300000) }, NULL);
	fake_io_run(&r->io);
	r->io.held[IO_LANE_WRITER] = false;
	fake_io_run(&r->io);
	assert_int_equal(queue_space(r->queue).messages, 5);
	assert_true(fake_disk_count(r->disk, FAKE_DISK_SYNC_DIRECTORY) - before <= 2);
	free(content);
}

static void nothing_of_a_file_is_synced_when_the_spool_need_not_last(void **state)
{
	struct rig *r = *state;
	char *content = rig_octets(300000, 1);

	rig_close(r);
	r->options.durable = false;
	assert_int_equal(rig_open(r), ERR_OK);
	rig_accepted(r, &(struct rig_mail){ .content = text_of(content, 300000) });
	assert_int_equal(fake_disk_count(r->disk, FAKE_DISK_SYNC), 0);
	free(content);
}

/* ---------------------------------------------------------------- memory */

static void two_hundred_megabytes_pass_through_little_memory(void **state)
{
	struct rig *r = *state;
	const size_t all = 200 * MIB, piece = 64 * KIB;
	struct envelope *e = rig_envelope(r, 1);
	struct queue_draft *d = NULL;
	const struct text key = TEXT("d0.example");
	char *content = rig_octets(piece, 5);
	struct rig_answer answer = { 0 };
	size_t most = 0;
	enum err err;

	rig_close(r);
	r->options.durable = false; /* the test is of memory, not of the disk */
	assert_int_equal(rig_open(r), ERR_OK);
	assert_int_equal(queue_draft_open(r->queue, 0, rig_ignore, NULL, &d), ERR_OK);
	for (size_t at = 0; at < all; at += piece) {
		content[0] = (char)(at >> 16);
		assert_int_equal(queue_draft_write(d, text_of(content, piece)), ERR_OK);
		most = MAX(most, body_memory(r));
		if (queue_draft_is_busy(d))
			fake_io_run(&r->io);
		assert_false(queue_draft_is_busy(d));
	}
	queue_accept(r->queue, &d,
	             &(struct queue_submission){ .envelope = e, .prepended = TEXT_EMPTY, .keys = &key },
	             rig_on_decided, &answer);
	fake_io_run(&r->io);
	assert_int_equal(answer.err, ERR_OK);
	assert_true(most <= 320 * KIB);

	/* And out again. */
	struct queue_work *w = rig_work(r, e->id);
	struct body_source *s = NULL;
	struct text span;
	uint64_t got = 0;

	assert_int_equal(queue_message_body(r->queue, w->message, &s), ERR_OK);
	body_source_listen(s, rig_ignore, NULL);
	most = 0;
	for (;;) {
		err = body_source_next(s, &span);
		most = MAX(most, body_memory(r));
		if (err == ERR_MORE) {
			fake_io_run(&r->io);
			continue;
		}
		assert_int_equal(err, ERR_OK);
		if (span.len == 0)
			break;
		for (size_t i = 0; i < span.len; i += 4099) {
			uint64_t at = got + i;

			if (at % piece)
				assert_int_equal(span.at[i], content[at % piece]);
			else
				assert_int_equal(span.at[i], (char)(at >> 16));
		}
		got += span.len;
	}
	assert_true(got == all);
	assert_true(most <= 80 * KIB);
	body_source_release(&s);
	fake_io_run(&r->io);
	free(content);
	envelope_free(&e);
}

static void many_drafts_stay_within_the_budget(void **state)
{
	struct rig *r = *state;
	enum { DRAFTS = 100 };
	struct queue_draft *drafts[DRAFTS] = { NULL };
	size_t written[DRAFTS] = { 0 };
	char *content = rig_octets(8000, 1);
	size_t most = 0;

	rig_close(r);
	r->options.memory_budget_bytes = 4 * MIB;
	assert_int_equal(rig_open(r), ERR_OK);
	for (unsigned i = 0; i < DRAFTS; i++)
		assert_int_equal(queue_draft_open(r->queue, 0, rig_ignore, NULL, &drafts[i]), ERR_OK);
	for (unsigned round = 0; round < 30; round++) {
		for (unsigned i = 0; i < DRAFTS; i++) {
			if (queue_draft_is_busy(drafts[i]))
				continue;
			assert_int_equal(queue_draft_write(drafts[i], text_of(content, 8000)), ERR_OK);
			written[i] += 8000;
			most = MAX(most, body_memory(r));
		}
		fake_io_run(&r->io);
	}
	/* Each may have a small piece that fills and one on its way. */
	assert_true(most <= 4 * MIB + DRAFTS * 2 * 24 * KIB);
	assert_true(files(r) > DRAFTS / 2);
	for (unsigned i = 0; i < DRAFTS; i++) {
		assert_int_equal(queue_draft_bytes(drafts[i]), written[i]);
		queue_draft_abort(&drafts[i]);
	}
	fake_io_run(&r->io);
	assert_int_equal(body_memory(r), 0);
	assert_int_equal(files(r), 0);
	free(content);
}

static void small_messages_are_taken_inline_also_without_budget(void **state)
{
	struct rig *r = *state;
	char *content = rig_octets(40000, 1);

	rig_close(r);
	r->options.memory_budget_bytes = 1;
	assert_int_equal(rig_open(r), ERR_OK);
	rig_accepted(r, &(struct rig_mail){ .content = text_of(content, 15000) });
	assert_int_equal(files(r), 0);
	struct id id = rig_accepted(r, &(struct rig_mail){ .content = text_of(content, 40000) });

	assert_int_equal(files(r), 1);
	check_body(r, id, content, 40000);
	free(content);
}

static void contents_that_are_on_disk_make_room_for_drafts(void **state)
{
	struct rig *r = *state;
	char *content = rig_octets(60000, 1);
	struct id ids[100];
	size_t in_memory = 0, len;
	enum err err;

	rig_close(r);
	r->options.memory_budget_bytes = MIB;
	assert_int_equal(rig_open(r), ERR_OK);
	for (unsigned i = 0; i < 100; i++)
		ids[i] = rig_accepted(r, &(struct rig_mail){ .content = text_of(content, 60000) });
	assert_int_equal(files(r), 0);
	assert_int_equal(r->work_count, 100);
	assert_true(body_memory(r) <= MIB);
	for (unsigned i = 0; i < 100; i++)
		in_memory += rig_work(r, ids[i])->message->content.at != NULL;
	assert_in_range(in_memory, 10, 17);
	assert_null(rig_work(r, ids[0])->message->content.at);
	assert_non_null(rig_work(r, ids[99])->message->content.at);
	/* What was forgotten is read from its row. */
	char *body = rig_read_body(r, rig_work(r, ids[0])->message, &len, &err);

	assert_int_equal(err, ERR_OK);
	assert_memory_equal(body + len - 60000, content, 60000);
	free(body);
	free(content);
}

static void a_content_that_is_being_read_is_not_forgotten(void **state)
{
	struct rig *r = *state;
	char *content = rig_octets(60000, 1);
	struct body_source *s = NULL, *other = NULL;
	struct text span;

	rig_close(r);
	r->options.memory_budget_bytes = 200000;
	assert_int_equal(rig_open(r), ERR_OK);
	struct id id = rig_accepted(r, &(struct rig_mail){ .content = text_of(content, 60000) });
	struct queue_message *m = rig_work(r, id)->message;

	assert_int_equal(queue_message_body(r->queue, m, &s), ERR_OK);
	assert_int_equal(queue_message_body(r->queue, m, &other), ERR_OK);
	body_source_release(&other); /* one of two */
	for (unsigned i = 0; i < 10; i++)
		rig_accepted(r, &(struct rig_mail){ .content = text_of(content, 60000) });
	assert_non_null(m->content.at);
	assert_int_equal(body_source_next(s, &span), ERR_OK);
	assert_int_equal(body_source_next(s, &span), ERR_OK);
	assert_memory_equal(span.at, content, 60000);
	body_source_release(&s);
	for (unsigned i = 0; i < 3; i++)
		rig_accepted(r, &(struct rig_mail){ .content = text_of(content, 60000) });
	assert_null(m->content.at);
	free(content);
}

/* ---------------------------------------------------------------- giving up */

static void an_aborted_draft_leaves_nothing_at_whatever_point(void **state)
{
	struct rig *r = *state;
	char *content = rig_octets(100000, 1);

	for (unsigned steps = 0; steps < 12; steps++) {
		struct queue_draft *d = NULL;

		assert_int_equal(queue_draft_open(r->queue, 0, rig_ignore, NULL, &d), ERR_OK);
		for (unsigned i = 0; i < steps; i++) {
			assert_int_equal(queue_draft_write(d, text_of(content, 50000)), ERR_OK);
			if (i % 3 == 2)
				fake_io_run_job(&r->io, IO_LANE_DISK);
		}
		queue_draft_abort(&d);
		assert_null(d);
		fake_io_run(&r->io);
		assert_int_equal(files(r), 0);
		assert_int_equal(body_memory(r), 0);
	}
	queue_draft_abort(&(struct queue_draft *){ NULL });
	free(content);
}

/* Each act on the disk failing: the message is refused with that error, nothing of it stays, the next is
 * taken. */
static void a_file_that_cannot_be_written_refuses_its_message(void **state)
{
	static const struct {
		const char *name;
		enum fake_disk_act act;
		enum err err;
		unsigned after;
	} rows[] = {
		{ "create", FAKE_DISK_CREATE, ERR_IO, 0 },
		{ "create, full", FAKE_DISK_CREATE, ERR_FULL, 0 },
		{ "first write", FAKE_DISK_WRITE, ERR_IO, 0 },
		{ "a later write, full", FAKE_DISK_WRITE, ERR_FULL, 3 },
		{ "the last write", FAKE_DISK_WRITE, ERR_FULL, 8 },
		{ "sync", FAKE_DISK_SYNC, ERR_FULL, 0 },
	};
	struct rig *r = *state;
	char *content = rig_octets(400000, 1);

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct rig_answer answer = { 0 };

		fake_disk_fail(r->disk, rows[i].act, rows[i].err, rows[i].after);
		rig_accept(r, &(struct rig_mail){ .content = text_of(content, 400000) }, &answer);
		fake_io_run(&r->io);
		fake_disk_fail(r->disk, rows[i].act, ERR_OK, 0);
		CHECK_INT(rows[i].name, answer.told, 1);
		CHECK_INT(rows[i].name, answer.err, rows[i].err);
		CHECK_INT(rows[i].name, files(r), 0);
		CHECK_INT(rows[i].name, body_memory(r), 0);
		rig_accepted(r, &(struct rig_mail){ .content = text_of(content, 400000) });
		CHECK_INT(rows[i].name, files(r), 1);
		rig_settle(r, r->works[r->work_count - 1]->id, 0, QUEUE_DELIVERED, 0, NULL);
		fake_io_run(&r->io);
	}
	free(content);
}

/* Tried again a sync may be called done although it is not. */
static void a_sync_that_fails_with_space_left_ends_the_taking_of_mail(void **state)
{
	struct rig *r = *state;
	char *content = rig_octets(400000, 1);
	struct rig_answer answer = { 0 };
	struct queue_draft *d = NULL;

	fake_disk_fail(r->disk, FAKE_DISK_SYNC, ERR_IO, 0);
	rig_accept(r, &(struct rig_mail){ .content = text_of(content, 400000) }, &answer);
	fake_io_run(&r->io);
	fake_disk_fail(r->disk, FAKE_DISK_SYNC, ERR_OK, 0);
	assert_int_equal(answer.err, ERR_IO);
	assert_true(queue_space(r->queue).failed);
	assert_int_equal(queue_draft_open(r->queue, 0, rig_ignore, NULL, &d), ERR_IO);
	free(content);
}

static void a_failed_draft_says_so_again(void **state)
{
	struct rig *r = *state;
	char *content = rig_octets(400000, 1);
	struct queue_draft *d = NULL;

	fake_disk_fail(r->disk, FAKE_DISK_WRITE, ERR_FULL, 0);
	assert_int_equal(queue_draft_open(r->queue, 0, rig_ignore, NULL, &d), ERR_OK);
	assert_int_equal(queue_draft_write(d, text_of(content, 400000)), ERR_OK);
	fake_io_run(&r->io);
	fake_disk_fail(r->disk, FAKE_DISK_WRITE, ERR_OK, 0);
	assert_int_equal(queue_draft_write(d, TEXT("x")), ERR_FULL);
	assert_int_equal(queue_draft_write(d, TEXT("x")), ERR_FULL);
	queue_draft_abort(&d);
	fake_io_run(&r->io);
	assert_int_equal(files(r), 0);
	free(content);
}

static void on_room(void *owner)
{
	++*(unsigned *)owner;
}

static void a_busy_draft_says_when_it_has_room(void **state)
{
	struct rig *r = *state;
	char *content = rig_octets(65536, 1);
	struct queue_draft *d = NULL;
	unsigned rooms = 0, writes = 0;

	r->io.held[IO_LANE_DISK] = true;
	assert_int_equal(queue_draft_open(r->queue, MIB, on_room, &rooms, &d), ERR_OK);
	while (!queue_draft_is_busy(d)) {
		assert_int_equal(queue_draft_write(d, text_of(content, 65536)), ERR_OK);
		assert_true(++writes < 10);
	}
	assert_in_range(writes, 2, 3);
	assert_int_equal(rooms, 0);
	fake_io_run_job(&r->io, IO_LANE_DISK);
	assert_int_equal(rooms, 1);
	assert_false(queue_draft_is_busy(d));
	r->io.held[IO_LANE_DISK] = false;
	queue_draft_abort(&d);
	fake_io_run(&r->io);
	free(content);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_BOTH(bodies_of_every_size_come_back_as_they_went_in),
		RIG_MEMORY_ONLY(a_large_body_goes_to_a_file_and_goes_with_its_message),
		RIG_MEMORY_ONLY(the_directory_is_synced_once_for_a_group),
		RIG_MEMORY_ONLY(nothing_of_a_file_is_synced_when_the_spool_need_not_last),
		RIG_LMDB_ONLY(two_hundred_megabytes_pass_through_little_memory),
		RIG_MEMORY_ONLY(many_drafts_stay_within_the_budget),
		RIG_MEMORY_ONLY(small_messages_are_taken_inline_also_without_budget),
		RIG_MEMORY_ONLY(contents_that_are_on_disk_make_room_for_drafts),
		RIG_MEMORY_ONLY(a_content_that_is_being_read_is_not_forgotten),
		RIG_MEMORY_ONLY(an_aborted_draft_leaves_nothing_at_whatever_point),
		RIG_MEMORY_ONLY(a_file_that_cannot_be_written_refuses_its_message),
		RIG_MEMORY_ONLY(a_sync_that_fails_with_space_left_ends_the_taking_of_mail),
		RIG_MEMORY_ONLY(a_failed_draft_says_so_again),
		RIG_MEMORY_ONLY(a_busy_draft_says_when_it_has_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
