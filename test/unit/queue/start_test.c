/* Starts: what the last stop was, the sweep, one owner, and what stops a start. */
#include "support/check.h"

#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <postrider/queue.h>

#include "support/queue_damage.h"
#include "support/queue_rig.h"

#define MAIL(literal) (&(struct rig_mail){ .content = TEXT(literal) })

/* ---------------------------------------------------------------- what the last stop was */

/* The power fails, and is back. */
static void crash(struct rig *r)
{
	queue_memory_power_off(r->memory);
	fake_disk_power_off(r->disk, 0);
	rig_close(r);
	fake_disk_power_on(r->disk);
	assert_int_equal(rig_open(r), ERR_OK);
}

static void stop_well(struct rig *r)
{
	rig_close(r);
	assert_int_equal(rig_open(r), ERR_OK);
}

static bool is_unknown(struct rig *r, struct id id)
{
	enum err err;
	struct queue_work *w = rig_load(r, id, "d0.example", 0, &err);

	assert_int_equal(err, ERR_OK);
	assert_int_equal(w->recipients[0].state, QUEUE_WAITING);
	bool unknown = w->recipients[0].unknown_outcome;

	queue_work_free(r->queue, &w);
	return unknown;
}

static void a_first_start_was_no_unclean_stop(void **state)
{
	struct rig *r = *state;

	assert_false(queue_was_unclean(r->queue));
	assert_int_equal(queue_newest_time(r->queue), 0);
}

static void the_newest_id_is_known_after_a_crash_too(void **state)
{
	struct rig *r = *state;
	struct id id = rig_accepted(r, MAIL("x"));

	for (unsigned i = 0; i < 5; i++) {
		fake_io_advance(&r->io, 7000);
		id = rig_accepted(r, MAIL("y"));
	}
	assert_int_equal(r->work_count, 6);
	for (unsigned i = 0; i < 6; i++)
		rig_settle(r, r->works[i]->id, 0, QUEUE_DELIVERED, 0, NULL);
	fake_io_run(&r->io);
	assert_int_equal(queue_space(r->queue).messages, 0);
	crash(r);
	assert_true(queue_newest_time(r->queue) >= id_time(id));
	assert_true(queue_newest_time(r->queue) <= id_time(id) + 60000);
}

/* What matters is how the run ended that made the claim, however many came since. */
static void a_claim_is_an_unknown_outcome_only_of_a_run_that_ended_badly(void **state)
{
	struct rig *r = *state;
	struct id well = rig_accepted(r, MAIL("claimed, then a clean stop"));

	stop_well(r);
	assert_false(queue_was_unclean(r->queue));
	struct id badly = rig_accepted(r, MAIL("claimed, then a crash"));
	struct id waiting = rig_accepted(r, MAIL("deferred, then a crash"));

	rig_settle(r, waiting, 0, QUEUE_DEFERRED, FAKE_IO_START_TIME, NULL);
	fake_io_run(&r->io);
	crash(r);
	assert_true(queue_was_unclean(r->queue));
	for (unsigned i = 0; i < 3; i++) {
		assert_false(is_unknown(r, well));
		assert_true(is_unknown(r, badly));
		assert_false(is_unknown(r, waiting));
		if (i < 2)
			stop_well(r);
	}
	assert_false(queue_was_unclean(r->queue));
	/* Claimed again, settled: then the mark is what the settle says. */
	rig_settle(r, badly, 0, QUEUE_DEFERRED, FAKE_IO_START_TIME, NULL);
	fake_io_run(&r->io);
	assert_false(is_unknown(r, badly));
}

static void a_claim_keeps_the_mark_of_an_unknown_outcome(void **state)
{
	struct rig *r = *state;
	struct id id = rig_accepted(r, MAIL("x"));
	uint32_t n = 0;

	crash(r);
	queue_claim(r->queue, id, &n, 1, NULL, NULL);
	fake_io_run(&r->io);
	stop_well(r); /* stopped before the attempt came to anything */
	assert_true(is_unknown(r, id));
}

/* ---------------------------------------------------------------- the sweep */

static void make_file(struct rig *r, const char *name)
{
	struct io_file *f = NULL;
	char path[400];

	snprintf(path, sizeof(path), "%s/bodies/%s", r->path, name);
	assert_int_equal(r->options.disk->ops->open(r->options.disk, path, IO_FILE_CREATE, &f), ERR_OK);
	r->options.disk->ops->close(&f);
}

static bool has_file(struct rig *r, const char *name)
{
	char path[400];
	uint64_t bytes;

	snprintf(path, sizeof(path), "%s/bodies/%s", r->path, name);
	return r->options.disk->ops->size(r->options.disk, path, &bytes) == ERR_OK;
}

static void the_sweep_removes_only_what_is_ours_and_named_by_nobody(void **state)
{
	static const char *const strangers[] = {
		"notes.txt",
		"README",
		".body",
		"01H455VB4PEX5VSKNK084SN02Q",
		"01H455VB4PEX5VSKNK084SN02Q.body.old",
		"01H455VB4PEX5VSKNK084SN02Q.bodY",
		"01h455vb4pex5vsknk084sn02q.body",
		"01H455VB4PEX5VSKNK084SN0.body",
		"I1H455VB4PEX5VSKNK084SN02Q.body",
	};
	struct rig *r = *state;
	char *content = rig_octets(300000, 1);
	struct id id = rig_accepted(r, &(struct rig_mail){ .content = text_of(content, 300000) });
	enum err err;
	size_t len;

	for (size_t i = 0; i < ARRAY_LEN(strangers); i++)
		make_file(r, strangers[i]);
	make_file(r, "01H455VB4PEX5VSKNK084SN02Q.body");
	make_file(r, "01H455VB4PEX5VSKNK084SN02R.body");
	stop_well(r);
	for (size_t i = 0; i < ARRAY_LEN(strangers); i++)
		CHECK(strangers[i], has_file(r, strangers[i]));
	assert_false(has_file(r, "01H455VB4PEX5VSKNK084SN02Q.body"));
	assert_false(has_file(r, "01H455VB4PEX5VSKNK084SN02R.body"));
	struct queue_work *w = rig_load(r, id, "d0.example", 0, &err);
	char *body = rig_read_body(r, w->message, &len, &err);

	assert_int_equal(err, ERR_OK);
	free(body);
	queue_work_free(r->queue, &w);
	free(content);
}

/* Records that name files which are not there are not to be trusted with deleting. */
static void a_sweep_that_misses_a_file_deletes_nothing(void **state)
{
	struct rig *r = *state;
	struct damage d;
	struct text value;
	char *content = rig_octets(300000, 1), room[STORE_KEY_MAX_BYTES], copy[200], name[100];
	struct row_key other = { .len = ID_BYTES };
	struct id file;

	rig_accepted(r, &(struct rig_mail){ .content = text_of(content, 300000) });
	damage_begin(&d, r);
	struct text key = damage_only_key(&d, TABLE_FILE, room);

	assert_true(id_read(key, &file));
	assert_int_equal(store_get(d.txn, TABLE_FILE, key, &value), ERR_OK);
	memcpy(copy, value.at, value.len);
	memcpy(other.bytes, key.at, ID_BYTES);
	other.bytes[7] ^= 1; /* the row's key is damaged: it names another file */
	damage_put(&d, TABLE_FILE, row_key_text(&other), text_of(copy, value.len));
	damage_remove(&d, TABLE_FILE, key);
	damage_end(&d);
	snprintf(name, sizeof(name), "%s.body", id_to_text(file).at);
	assert_true(has_file(r, name));
	free(content);
}

/* ---------------------------------------------------------------- one owner */

static void a_second_daemon_is_refused(void **state)
{
	struct rig *r = *state;
	struct queue *second = NULL;
	struct buf problem = BUF(300);
	struct queue_options o = r->options;
	int status = 0;

	o.problem = &problem;
	assert_int_equal(queue_open(&o, &second), ERR_BUSY);
	assert_null(second);
	assert_true(problem.len > 0);
	buf_fini(&problem);
	pid_t child = fork();

	if (child == 0) {
		o.problem = NULL;
		_exit(queue_open(&o, &second) == ERR_BUSY ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	rig_accepted(r, MAIL("the first one goes on"));
}

static void a_spool_whose_owner_died_is_free(void **state)
{
	struct rig *r = *state;
	int status = 0;

	rig_close(r);
	pid_t child = fork();

	if (child == 0) {
		if (rig_open(r))
			_exit(1);
		_exit(0); /* without a word */
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(rig_open(r), ERR_OK);
	assert_true(queue_was_unclean(r->queue));
}

/* ---------------------------------------------------------------- places */

static void a_place_that_cannot_be_had_is_said(void **state)
{
	struct rig *r = *state;
	char path[300], long_path[2000];
	struct queue *q = NULL;
	struct buf problem = BUF(3000);
	struct queue_options o = r->options;

	o.problem = &problem;
	snprintf(path, sizeof(path), "%s/no/parent", r->path);
	o.path = text_from(path);
	assert_int_equal(queue_open(&o, &q), ERR_NOT_FOUND);
	assert_true(text_find(buf_text(&problem), text_from(path)) < problem.len);
	buf_reset(&problem);
	snprintf(path, sizeof(path), "%s/file", r->path);
	o.path = text_from(path);
	FILE *f = fopen(path, "w");

	fclose(f);
	assert_int_not_equal(queue_open(&o, &q), ERR_OK);
	assert_true(problem.len > 0);
	memset(long_path, 'x', sizeof(long_path));
	o.path = text_of(long_path, sizeof(long_path));
	assert_int_equal(queue_open(&o, &q), ERR_TOO_BIG);
	assert_null(q);
	buf_fini(&problem);
}

static void the_spool_is_readable_by_nobody_else(void **state)
{
	struct rig *r = *state;
	char *content = rig_octets(300000, 1), path[400];
	struct stat s;

	rig_accepted(r, &(struct rig_mail){ .content = text_of(content, 300000) });
	static const char *const places[] = { "", "/bodies", "/queue", "/queue/data.mdb" };

	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		snprintf(path, sizeof(path), "%s%s", r->path, places[i]);
		assert_int_equal(stat(path, &s), 0);
		CHECK_INT(path, s.st_mode & 077, 0);
	}
	free(content);
}

static void the_reserve_is_smaller_on_a_small_disk(void **state)
{
	struct rig *r = *state;
	uint64_t bytes = 0;

	rig_close(r);
	fake_disk_set_size(r->disk, 50 << 20);
	r->options.reserve_bytes = 1 << 30;
	assert_int_equal(rig_open(r), ERR_OK);
	assert_int_equal(r->options.disk->ops->size(r->options.disk, "/spool/reserve", &bytes), ERR_OK);
	assert_in_range(bytes, 4 << 20, 6 << 20);
	rig_accepted(r, MAIL("x"));
	/* It is found again, and not made larger. */
	stop_well(r);
	uint64_t again = 0;

	assert_int_equal(r->options.disk->ops->size(r->options.disk, "/spool/reserve", &again), ERR_OK);
	assert_int_equal(again, bytes);
}

/* ---------------------------------------------------------------- many */

static void count_key(void *owner, struct text key, uint64_t recipients, int64_t earliest)
{
	(void)key, (void)earliest;
	*(uint64_t *)owner += recipients;
}

static void a_start_with_many_messages_reads_none_of_them(void **state)
{
	struct rig *r = *state;
	const struct text keys[] = { LIT("a.example"), LIT("b.example"), LIT("c.example") };
	uint64_t sum = 0;

	rig_close(r);
	r->options.durable = false;
	assert_int_equal(rig_open(r), ERR_OK);
	r->leave_fresh = true;
	for (unsigned i = 0; i < 20000; i++) {
		rig_accept(r, &(struct rig_mail){ .content = TEXT("one of many"), .keys = &keys[i % 3] },
		           NULL);
		if (i % 1000 == 999)
			fake_io_run(&r->io);
	}
	rig_close(r);
	assert_int_equal(rig_open(r), ERR_OK);
	assert_int_equal(queue_space(r->queue).messages, 20000);
	assert_int_equal(queue_space(r->queue).body_memory_bytes, 0);
	assert_int_equal(queue_each_key(r->queue, count_key, &sum), ERR_OK);
	assert_int_equal(sum, 20000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_BOTH(a_first_start_was_no_unclean_stop),
		RIG_MEMORY_ONLY(the_newest_id_is_known_after_a_crash_too),
		RIG_MEMORY_ONLY(a_claim_is_an_unknown_outcome_only_of_a_run_that_ended_badly),
		RIG_MEMORY_ONLY(a_claim_keeps_the_mark_of_an_unknown_outcome),
		RIG_BOTH(the_sweep_removes_only_what_is_ours_and_named_by_nobody),
		RIG_BOTH(a_sweep_that_misses_a_file_deletes_nothing),
		RIG_LMDB_ONLY(a_second_daemon_is_refused),
		RIG_LMDB_ONLY(a_spool_whose_owner_died_is_free),
		RIG_LMDB_ONLY(a_place_that_cannot_be_had_is_said),
		RIG_LMDB_ONLY(the_spool_is_readable_by_nobody_else),
		RIG_MEMORY_ONLY(the_reserve_is_smaller_on_a_small_disk),
		RIG_LMDB_ONLY(a_start_with_many_messages_reads_none_of_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
