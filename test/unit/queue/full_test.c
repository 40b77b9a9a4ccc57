/* A disk that fills up, and one that breaks. */
#include "support/check.h"

#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <postrider/queue.h>

#include "fault.h"
#include "support/queue_rig.h"

#define MIB ((size_t)1 << 20)

/* A small disk that the twin's rows are charged to. */
static struct rig *small_disk(uint64_t disk_bytes, uint64_t reserve_bytes)
{
	struct rig *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	rig_init(r, RIG_MEMORY);
	fake_disk_set_size(r->disk, disk_bytes);
	queue_memory_charge_disk(r->memory, true);
	r->options.reserve_bytes = reserve_bytes;
	assert_int_equal(rig_open(r), ERR_OK);
	return r;
}

static void end(struct rig *r)
{
	rig_fini(r);
	free(r);
}

/* Accepts until it is refused; returns how many were taken. */
static size_t fill(struct rig *r, size_t bytes, struct id *ids, size_t max, enum err *refusal)
{
	char *content = rig_octets(bytes, 1);
	size_t count = 0;

	*refusal = ERR_OK;
	while (count < max && !*refusal) {
		struct rig_answer answer = { 0 };

		ids[count] = rig_accept(r, &(struct rig_mail){ .content = text_of(content, bytes) }, &answer);
		fake_io_run(&r->io);
		assert_int_equal(answer.told, 1);
		*refusal = answer.err;
		count += answer.err == ERR_OK;
		rig_drop_works(r);
	}
	free(content);
	return count;
}

static void settle_all(struct rig *r, const struct id *ids, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct rig_answer answer = { 0 };

		rig_settle(r, ids[i], 0, QUEUE_DELIVERED, 0, &answer);
		fake_io_run(&r->io);
		assert_int_equal(answer.err, ERR_OK);
	}
}

static void new_mail_is_refused_in_time_and_taken_again_when_there_is_room(void **state)
{
	struct rig *r = small_disk(24 * MIB, MIB);
	struct id ids[2000];
	enum err refusal;
	size_t count = fill(r, 20000, ids, 2000, &refusal);

	(void)state;
	assert_int_equal(refusal, ERR_FULL);
	assert_true(count > 300);
	/* Small ones may find room a little longer. */
	count += fill(r, 100, ids + count, 2000 - count, &refusal);
	assert_int_equal(refusal, ERR_FULL);
	assert_true(queue_space(r->queue).full);
	assert_false(queue_space(r->queue).failed);
	/* Everything that was taken can be finished. */
	settle_all(r, ids, count);
	assert_int_equal(queue_space(r->queue).messages, 0);
	fake_io_advance(&r->io, 5000);
	assert_false(queue_space(r->queue).full);
	rig_accepted(r, &(struct rig_mail){ .content = TEXT("again") });
	end(r);
}

static void the_limit_counts_rows_files_and_what_is_on_its_way(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));
	struct id ids[100];
	enum err refusal;

	(void)state;
	rig_init(r, RIG_MEMORY);
	r->options.max_bytes = 16 * MIB;
	assert_int_equal(rig_open(r), ERR_OK);
	size_t count = fill(r, MIB, ids, 100, &refusal); /* in files */

	assert_int_equal(refusal, ERR_FULL);
	assert_in_range(count, 12, 15);
	assert_true(queue_space(r->queue).used_bytes <= 16 * MIB);
	settle_all(r, ids, count);
	assert_int_equal(fill(r, MIB, ids, 5, &refusal), 5);
	end(r);
}

static void a_declared_size_that_has_no_room_is_refused_before_it_comes(void **state)
{
	struct rig *r = small_disk(24 * MIB, MIB);
	struct queue_draft *d = NULL;

	(void)state;
	assert_int_equal(queue_draft_open(r->queue, 100 * MIB, NULL, NULL, &d), ERR_FULL);
	assert_null(d);
	/* any number may be declared */
	assert_int_equal(queue_draft_open(r->queue, UINT64_MAX, NULL, NULL, &d), ERR_FULL);
	assert_false(queue_has_room(r->queue, UINT64_MAX));
	assert_false(queue_has_room(r->queue, UINT64_MAX - 1000));
	assert_false(queue_has_room(r->queue, 100 * MIB));
	assert_true(queue_has_room(r->queue, MIB));
	assert_int_equal(queue_draft_open(r->queue, MIB, NULL, NULL, &d), ERR_OK);
	queue_draft_abort(&d);
	fake_io_run(&r->io);
	end(r);
}

/* What is written already must not count a second time as something that is still to come. */
static void a_large_body_needs_its_room_once(void **state)
{
	struct rig *r = small_disk(64 * MIB, MIB);
	const size_t bytes = 40 * MIB;
	char *content = rig_octets(bytes, 1);
	struct rig_answer answer = { 0 };

	(void)state;
	for (unsigned declared = 0; declared < 2; declared++) {
		struct id id = rig_accept(r,
		                          &(struct rig_mail){ .content = text_of(content, bytes),
		                                              .declared_bytes = declared ? bytes : 0 },
		                          &answer);

		fake_io_advance(&r->io, 2000);
		assert_int_equal(answer.err, ERR_OK);
		rig_settle(r, id, 0, QUEUE_DELIVERED, 0, NULL);
		fake_io_advance(&r->io, 2000);
		rig_drop_works(r);
	}
	/* And a second one beside it does not fit. */
	rig_accepted(r, &(struct rig_mail){ .content = text_of(content, bytes) });
	rig_accept(r, &(struct rig_mail){ .content = text_of(content, bytes) }, &answer);
	fake_io_run(&r->io);
	assert_int_equal(answer.err, ERR_FULL);
	assert_int_equal(fake_disk_files(r->disk, "/spool/bodies"), 1);
	free(content);
	end(r);
}

/* Somebody else fills the disk between the look at it and the commit. */
static void a_group_that_finds_no_room_is_taken_apart(void **state)
{
	struct rig *r = small_disk(24 * MIB, 2 * MIB);
	struct id ids[100];
	enum err refusal;
	size_t count = fill(r, 100000, ids, 50, &refusal);
	struct rig_answer accept[2] = { 0 }, settle[3] = { 0 };
	char *content = rig_octets(100000, 2);

	(void)state;
	assert_int_equal(count, 50);
	fake_disk_set_size(r->disk, fake_disk_used(r->disk));
	for (unsigned i = 0; i < 2; i++)
		rig_accept(r, &(struct rig_mail){ .content = text_of(content, 100000) }, &accept[i]);
	for (unsigned i = 0; i < 3; i++)
		rig_settle(r, ids[i], 0, QUEUE_DELIVERED, 0, &settle[i]);
	fake_io_run(&r->io);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(accept[i].told, 1);
		assert_int_equal(accept[i].err, ERR_FULL);
	}
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(settle[i].told, 1);
		assert_int_equal(settle[i].err, ERR_OK);
	}
	assert_int_equal(queue_space(r->queue).messages, 47);
	assert_false(queue_space(r->queue).failed);
	free(content);
	end(r);
}

static void the_reserve_is_given_up_for_settles_and_made_again(void **state)
{
	struct rig *r = small_disk(24 * MIB, 2 * MIB);
	struct id ids[100];
	enum err refusal;
	struct rig_answer answer = { 0 };
	size_t count = fill(r, 100000, ids, 50, &refusal);

	(void)state;
	assert_int_equal(count, 50);
	assert_true(fake_disk_has(r->disk, "/spool/reserve"));
	/* No room at all, and the next commit needs a larger file than there is. */
	fake_disk_set_size(r->disk, fake_disk_used(r->disk));
	struct rig_answer many[50] = { 0 };

	r->io.held[IO_LANE_WRITER] = true;
	for (unsigned i = 0; i < 40; i++)
		rig_settle_with_notice(r, ids[i], 5000, &many[i]);
	r->io.held[IO_LANE_WRITER] = false;
	fake_io_run(&r->io);
	for (unsigned i = 0; i < 40; i++)
		assert_int_equal(many[i].err, ERR_OK);
	assert_false(fake_disk_has(r->disk, "/spool/reserve"));
	rig_settle(r, ids[45], 0, QUEUE_DELIVERED, 0, &answer);
	fake_io_run(&r->io);
	assert_int_equal(answer.err, ERR_OK);
	/* It comes back when there is room again. */
	fake_disk_set_size(r->disk, 100 * MIB);
	fake_io_advance(&r->io, 3000);
	assert_true(fake_disk_has(r->disk, "/spool/reserve"));
	assert_false(queue_space(r->queue).full);
	end(r);
}

static void a_start_on_a_full_disk_gives_up_the_reserve(void **state)
{
	struct rig *r = small_disk(24 * MIB, 2 * MIB);
	struct id ids[100];
	enum err refusal;
	size_t count = fill(r, 100000, ids, 20, &refusal);

	(void)state;
	assert_int_equal(count, 20);
	rig_close(r);
	fake_disk_set_size(r->disk, fake_disk_used(r->disk));
	/* as LMDB says when it finds no page for the start's own rows */
	queue_memory_fail_commits(r->memory, ERR_IO, 0);
	assert_int_equal(rig_open(r), ERR_IO);
	assert_false(fake_disk_has(r->disk, "/spool/reserve"));
	/* with the room that it made the next start succeeds */
	queue_memory_fail_commits(r->memory, ERR_OK, 0);
	assert_int_equal(rig_open(r), ERR_OK);
	assert_int_equal(queue_space(r->queue).messages, count);
	end(r);
}

/* Its place stays free: what was given up for settles is not there for new mail. */
static void new_mail_does_not_take_the_place_of_a_reserve_that_was_given_up(void **state)
{
	struct rig *r = small_disk(64 * MIB, 12 * MIB);
	struct id ids[700];
	enum err refusal;
	struct rig_answer answer = { 0 };

	(void)state;
	assert_int_equal(fill(r, 1000, ids, 50, &refusal), 50);
	uint64_t reserve = 0;

	assert_int_equal(r->options.disk->ops->size(r->options.disk, "/spool/reserve", &reserve), ERR_OK);
	assert_true(reserve > 6 * MIB - 100000);
	fake_disk_set_size(r->disk, fake_disk_used(r->disk));
	r->io.held[IO_LANE_WRITER] = true;
	for (unsigned i = 0; i < 40; i++)
		rig_settle_with_notice(r, ids[i], 5000, i ? NULL : &answer);
	r->io.held[IO_LANE_WRITER] = false;
	fake_io_run(&r->io);
	assert_int_equal(answer.err, ERR_OK);
	assert_false(fake_disk_has(r->disk, "/spool/reserve"));
	for (unsigned i = 0; i < 5; i++) {
		fake_io_advance(&r->io, 3000);
		uint64_t bytes = 0;

		assert_int_equal(r->options.disk->ops->free_bytes(r->options.disk, "/spool", &bytes), ERR_OK);
		assert_true(bytes > 3 * MIB);
		assert_true(queue_space(r->queue).full);
		rig_accept(r, &(struct rig_mail){ .content = TEXT("x") }, &answer);
		assert_int_equal(answer.err, ERR_FULL);
	}
	end(r);
}

static void without_a_reserve_a_settle_that_does_not_fit_says_so_and_changes_nothing(void **state)
{
	struct rig *r = small_disk(24 * MIB, 0);
	struct id ids[20];
	enum err refusal;
	struct rig_answer answer = { 0 };

	(void)state;
	assert_int_equal(fill(r, 100000, ids, 10, &refusal), 10);
	queue_memory_fail_commits(r->memory, ERR_FULL, 0);
	rig_settle(r, ids[0], 0, QUEUE_DELIVERED, 0, &answer);
	fake_io_run(&r->io);
	assert_int_equal(answer.told, 1);
	assert_int_equal(answer.err, ERR_FULL);
	queue_memory_fail_commits(r->memory, ERR_OK, 0);
	assert_int_equal(queue_space(r->queue).messages, 10);
	assert_false(queue_space(r->queue).failed);
	rig_settle(r, ids[0], 0, QUEUE_DELIVERED, 0, &answer);
	fake_io_run(&r->io);
	assert_int_equal(answer.err, ERR_OK);
	assert_int_equal(queue_space(r->queue).messages, 9);
	end(r);
}

/* ---------------------------------------------------------------- broken */

static void a_commit_that_fails_with_space_left_is_no_full_disk(void **state)
{
	struct rig *r = *state;
	struct id id = rig_accepted(r, &(struct rig_mail){ .content = TEXT("x") });
	struct rig_answer accept = { 0 }, settle = { 0 }, later = { 0 };
	struct queue_draft *d = NULL;

	queue_memory_fail_commits(r->memory, ERR_IO, 0);
	rig_accept(r, &(struct rig_mail){ .content = TEXT("y") }, &accept);
	rig_settle(r, id, 0, QUEUE_DELIVERED, 0, &settle);
	fake_io_run(&r->io);
	assert_int_equal(accept.err, ERR_IO);
	assert_int_equal(settle.err, ERR_IO);
	assert_true(queue_space(r->queue).failed);
	assert_false(queue_space(r->queue).full);
	/* A sync that failed is never tried again as if it had not. */
	queue_memory_fail_commits(r->memory, ERR_OK, 0);
	assert_int_equal(queue_draft_open(r->queue, 0, NULL, NULL, &d), ERR_IO);
	rig_settle(r, id, 0, QUEUE_DELIVERED, 0, &later);
	fake_io_run(&r->io);
	assert_int_equal(later.err, ERR_IO);
	rig_close(r);
	assert_int_equal(rig_open(r), ERR_OK);
	assert_true(queue_was_unclean(r->queue));
	assert_int_equal(queue_space(r->queue).messages, 1);
}

static void a_directory_that_cannot_be_synced_is_a_failure(void **state)
{
	struct rig *r = *state;
	struct rig_answer answer = { 0 };
	char *content = rig_octets(200000, 1);

	fake_disk_fail(r->disk, FAKE_DISK_SYNC_DIRECTORY, ERR_IO, 0);
	rig_accept(r, &(struct rig_mail){ .content = text_of(content, 200000) }, &answer);
	fake_io_run(&r->io);
	assert_int_equal(answer.err, ERR_IO);
	assert_true(queue_space(r->queue).failed);
	fake_disk_fail(r->disk, FAKE_DISK_SYNC_DIRECTORY, ERR_OK, 0);
	free(content);
}

static enum err fail_there(void *owner, unsigned point)
{
	return point == *(unsigned *)owner ? ERR_IO : ERR_OK;
}

/* Each step of a group failing in turn: everybody in it is told, and nothing of it is there. */
static void a_group_that_fails_at_any_step_leaves_nothing(void **state)
{
	static const unsigned steps[] = { FAULT_GROUP_BEGIN, FAULT_GROUP_APPLIED, FAULT_GROUP_COMMIT };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		struct rig *r = calloc(1, sizeof(*r));
		unsigned step = 0;
		struct rig_answer answers[3] = { 0 };

		rig_init(r, RIG_MEMORY);
		r->options.fault = fail_there;
		r->options.fault_owner = &step;
		assert_int_equal(rig_open(r), ERR_OK);
		step = steps[i];
		for (unsigned j = 0; j < 3; j++)
			rig_accept(r, &(struct rig_mail){ .content = TEXT("x") }, &answers[j]);
		fake_io_run(&r->io);
		for (unsigned j = 0; j < 3; j++)
			assert_int_equal(answers[j].err, ERR_IO);
		assert_int_equal(r->fresh, 0);
		step = 0;
		rig_close(r);
		assert_int_equal(rig_open(r), ERR_OK);
		assert_int_equal(queue_space(r->queue).messages, 0);
		rig_fini(r);
		free(r);
	}
}

/* ---------------------------------------------------------------- LMDB on a small file system */

/* Another takes all that is left of the disk. */
static void take_the_rest(const char *directory, char path[300])
{
	static const char zeros[4096];

	snprintf(path, 300, "%.200s/hog", directory);
	FILE *hog = fopen(path, "w");

	assert_non_null(hog);
	while (fwrite(zeros, 1, sizeof(zeros), hog) == sizeof(zeros) && fflush(hog) == 0)
		;
	fclose(hog);
}

static void fill_real_disk(const char *directory)
{
	enum { LATE = 60 };
	struct rig *r = calloc(1, sizeof(*r));
	struct id ids[3000];
	enum err refusal;
	struct rig_answer accepts[LATE] = { 0 }, settle = { 0 };
	char *content = rig_octets(20000, 3), path[300];
	unsigned refused = 0;

	rig_init(r, RIG_LMDB);
	snprintf(r->path, sizeof(r->path), "%.150s/spool", directory);
	r->options.path = text_from(r->path);
	r->options.reserve_bytes = 2 * MIB;
	assert_int_equal(rig_open(r), ERR_OK);
	size_t count = fill(r, 20000, ids, 200, &refusal);

	assert_int_equal(count, 200);
	/* Nobody has looked at the disk since: the commit itself fails. */
	take_the_rest(directory, path);
	for (unsigned i = 0; i < LATE; i++)
		rig_accept(r, &(struct rig_mail){ .content = text_of(content, 20000) }, &accepts[i]);
	rig_settle(r, ids[0], 0, QUEUE_DELIVERED, 0, &settle);
	fake_io_run(&r->io);
	for (unsigned i = 0; i < LATE; i++)
		refused += accepts[i].err == ERR_FULL;
	assert_int_equal(refused, LATE);
	assert_int_equal(settle.err, ERR_OK);
	assert_int_equal(queue_space(r->queue).messages, 199);
	assert_true(queue_space(r->queue).full);
	assert_false(queue_space(r->queue).failed);
	settle_all(r, ids + 1, 150);
	assert_int_equal(unlink(path), 0);
	fake_io_advance(&r->io, 5000);
	assert_false(queue_space(r->queue).full || queue_space(r->queue).failed);
	/* And now to the brim by our own hand. */
	assert_true(fill(r, 20000, ids, 3000, &refusal) > 150);
	assert_int_equal(refusal, ERR_FULL);
	assert_false(queue_space(r->queue).failed);
	rig_close(r);
	free(content);
	rig_fini(r);
	free(r);
}

static void lmdb_on_a_full_disk_refuses_what_is_new_and_finishes_what_it_has(void **state)
{
	char directory[] = "/tmp/postrider-small-XXXXXX";
	int status = 0;

	(void)state;
	assert_non_null(mkdtemp(directory));
	pid_t child = fork();

	if (child == 0) {
		if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
		    mount("small", directory, "tmpfs", 0, "size=24m"))
			_exit(77); /* not ours to do */
		fill_real_disk(directory);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	rmdir(directory);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(new_mail_is_refused_in_time_and_taken_again_when_there_is_room),
		cmocka_unit_test(the_limit_counts_rows_files_and_what_is_on_its_way),
		cmocka_unit_test(a_declared_size_that_has_no_room_is_refused_before_it_comes),
		cmocka_unit_test(a_large_body_needs_its_room_once),
		cmocka_unit_test(a_group_that_finds_no_room_is_taken_apart),
		cmocka_unit_test(the_reserve_is_given_up_for_settles_and_made_again),
		cmocka_unit_test(a_start_on_a_full_disk_gives_up_the_reserve),
		cmocka_unit_test(new_mail_does_not_take_the_place_of_a_reserve_that_was_given_up),
		cmocka_unit_test(without_a_reserve_a_settle_that_does_not_fit_says_so_and_changes_nothing),
		RIG_MEMORY_ONLY(a_commit_that_fails_with_space_left_is_no_full_disk),
		RIG_MEMORY_ONLY(a_directory_that_cannot_be_synced_is_a_failure),
		cmocka_unit_test(a_group_that_fails_at_any_step_leaves_nothing),
		cmocka_unit_test(lmdb_on_a_full_disk_refuses_what_is_new_and_finishes_what_it_has),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
