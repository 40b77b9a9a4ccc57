/* A small file that is written as a whole: what a crash, a full disk and bad sectors leave of it. */
#include "keep.h"

#include <postrider/base/time.h>
#include <postrider/sim.h>

#include "support/check.h"
#include "support/fake_disk.h"

struct world {
	struct sim *sim;
	struct io_disk *disk; /* NULL: the world's */
	struct observe *observe;
	struct observe_consumer consumer;
	unsigned warnings;
	struct buf said;
	const char *content; /* what fill adds */
	unsigned fills;
	struct keep *keep;
};

static void on_event(void *owner, const struct event *e, int64_t time_us, struct text line)
{
	struct world *w = owner;

	(void)time_us;
	w->warnings += e->kind == EVENT_WARNING;
	buf_add(&w->said, line);
}

static int64_t clock_us(void *clock)
{
	return io_now_time_us(clock);
}

static void fill(void *owner, struct buf *out)
{
	struct world *w = owner;

	w->fills++;
	buf_add_string(out, w->content);
}

static void open_keep(struct world *w)
{
	struct keep_options options = { .io = sim_io(w->sim),
		                        .disk = w->disk ? w->disk : sim_disk(w->sim),
		                        .directory = TEXT("/spool/policy"),
		                        .name = "thing",
		                        .what = "the thing",
		                        .max_bytes = 1000,
		                        .delay_ms = SECOND_MS,
		                        .interval_ms = MINUTE_MS,
		                        .observe = w->observe,
		                        .fill = fill,
		                        .owner = w };

	assert_int_equal(keep_new(&options, &w->keep), ERR_OK);
}

static int set_up(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	w->said = BUF(1 << 20);
	assert_int_equal(sim_new(&(struct sim_options){ .seed = 11 }, &w->sim), ERR_OK);
	assert_int_equal(
		observe_new(&(struct observe_options){ TEXT("x"), clock_us, sim_io(w->sim) }, &w->observe),
		ERR_OK);
	w->consumer = (struct observe_consumer){ .least = LEVEL_DEBUG, .fn = on_event, .owner = w };
	observe_add_consumer(w->observe, &w->consumer);
	open_keep(w);
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;

	keep_free(&w->keep);
	sim_settle(w->sim, HOUR_MS);
	observe_remove_consumer(&w->consumer);
	observe_free(&w->observe);
	sim_free(&w->sim);
	buf_fini(&w->said);
	free(w);
	return 0;
}

static void reopen(struct world *w)
{
	keep_free(&w->keep);
	sim_settle(w->sim, HOUR_MS);
	open_keep(w);
}

/* "": nothing was kept. */
static void expect_kept(struct world *w, const char *content)
{
	struct buf kept = BUF(1000);
	enum err err = keep_read(w->keep, &kept);

	assert_int_equal(err, *content ? ERR_OK : ERR_NOT_FOUND);
	CHECK_TEXT("kept", buf_text(&kept), text_from(content));
	buf_fini(&kept);
}

static void write_now(struct world *w, const char *content)
{
	w->content = content;
	keep_touch(w->keep);
	sim_run(w->sim, 2 * MINUTE_MS);
}

static struct buf file_of(struct world *w, const char *path)
{
	struct io_disk *d = sim_disk(w->sim);
	struct buf out = BUF(1 << 20);
	struct io_file *f;
	uint64_t size;
	size_t got;

	assert_int_equal(d->ops->size(d, path, &size), ERR_OK);
	assert_non_null(buf_reserve(&out, (size_t)size + 1));
	assert_int_equal(d->ops->open(d, path, IO_FILE_READ, &f), ERR_OK);
	assert_int_equal(d->ops->read_at(f, 0, out.at, (size_t)size, &got), ERR_OK);
	d->ops->close(&f);
	buf_grew(&out, got);
	return out;
}

static void damage(struct world *w, const char *path, uint64_t at)
{
	struct io_disk *d = sim_disk(w->sim);
	struct io_file *f;

	assert_int_equal(d->ops->open(d, path, IO_FILE_UPDATE, &f), ERR_OK);
	assert_int_equal(d->ops->write_at(f, at, "#", 1), ERR_OK);
	assert_int_equal(d->ops->sync(f), ERR_OK);
	d->ops->close(&f);
}

static void what_was_written_is_read_again(void **state)
{
	struct world *w = *state;

	expect_kept(w, "");
	write_now(w, "one");
	reopen(w);
	expect_kept(w, "one");
	write_now(w, "two");
	write_now(w, "three");
	reopen(w);
	expect_kept(w, "three");
	assert_int_equal(w->warnings, 0);
}

static void many_changes_are_one_writing(void **state)
{
	struct world *w = *state;

	w->content = "x";
	for (unsigned i = 0; i < 100; i++) {
		keep_touch(w->keep);
		sim_run(w->sim, 5);
	}
	sim_run(w->sim, 2 * SECOND_MS);
	assert_int_equal(w->fills, 1);
	keep_touch(w->keep); /* not before the minute is over */
	sim_run(w->sim, 50 * SECOND_MS);
	assert_int_equal(w->fills, 1);
	sim_run(w->sim, 15 * SECOND_MS);
	assert_int_equal(w->fills, 2);
}

static void the_last_change_is_written_at_the_end(void **state)
{
	struct world *w = *state;

	write_now(w, "one");
	w->content = "two";
	keep_touch(w->keep);
	reopen(w);
	expect_kept(w, "two");
}

static void an_end_while_writing_writes_what_came_since(void **state)
{
	struct world *w = *state;

	w->content = "one";
	keep_touch(w->keep);
	while (w->fills == 0)
		sim_run(w->sim, 1); /* the job is under way now */
	w->content = "two";
	keep_touch(w->keep);
	reopen(w);
	expect_kept(w, "two");
}

/* The disk stops taking anything at each step of writing in turn, then the power is cut. */
static void crash_at(struct world *w, enum fake_disk_act act, unsigned after, unsigned choice, unsigned *ones)
{
	struct fake_disk *disk = fake_disk_new(1 << 20);
	struct buf kept = BUF(1000);

	w->disk = fake_disk_io(disk);
	reopen(w);
	write_now(w, "zero");
	write_now(w, "one");
	fake_disk_fail(disk, act, ERR_IO, after);
	w->content = "two";
	keep_touch(w->keep);
	sim_run(w->sim, 2 * SECOND_MS);
	fake_disk_power_off(disk, choice);
	keep_free(&w->keep);
	sim_settle(w->sim, HOUR_MS);
	fake_disk_power_on(disk);
	fake_disk_fail(disk, act, ERR_OK, 0);
	open_keep(w);
	assert_int_equal(keep_read(w->keep, &kept), ERR_OK);
	*ones += text_eq(buf_text(&kept), TEXT("one"));
	assert_true(text_eq(buf_text(&kept), TEXT("one")) || text_eq(buf_text(&kept), TEXT("two")));
	keep_free(&w->keep);
	w->disk = NULL;
	open_keep(w);
	fake_disk_free(&disk);
	buf_fini(&kept);
}

static void a_crash_leaves_the_one_or_the_other(void **state)
{
	static const enum fake_disk_act acts[] = { FAKE_DISK_CREATE, FAKE_DISK_WRITE, FAKE_DISK_SYNC,
		                                   FAKE_DISK_REMOVE, FAKE_DISK_SYNC_DIRECTORY };
	struct world *w = *state;
	unsigned ones = 0;

	for (size_t i = 0; i < ARRAY_LEN(acts); i++)
		for (unsigned choice = 0; choice < 2; choice++)
			crash_at(w, acts[i], 0, choice, &ones);
	assert_in_range(ones, 1, 9); /* it came to both */
}

static void a_damaged_file_gives_way_to_the_one_before(void **state)
{
	struct world *w = *state;

	write_now(w, "one");
	write_now(w, "two"); /* generations 1 and 2: places 1 and 0 */
	damage(w, "/spool/policy/thing.0", 25);
	reopen(w);
	expect_kept(w, "one");
	assert_int_equal(w->warnings, 0);
	write_now(w, "three");
	reopen(w);
	expect_kept(w, "three");
}

static void without_a_good_file_the_bad_one_is_set_aside(void **state)
{
	struct world *w = *state;
	struct buf kept = BUF(1000), aside;

	write_now(w, "one");
	damage(w, "/spool/policy/thing.1", 3);
	reopen(w);
	assert_int_equal(keep_read(w->keep, &kept), ERR_DAMAGED);
	assert_int_equal(w->warnings, 1);
	aside = file_of(w, "/spool/policy/thing.damaged");
	assert_true(text_ends(buf_text(&aside), TEXT("one")));
	write_now(w, "two"); /* life goes on */
	reopen(w);
	expect_kept(w, "two");
	buf_fini(&aside);
	buf_fini(&kept);
}

static void every_octet_is_under_the_checksum(void **state)
{
	struct world *w = *state;
	struct buf whole;

	write_now(w, "content");
	whole = file_of(w, "/spool/policy/thing.1");
	for (size_t at = 0; at < whole.len; at++) {
		struct buf kept = BUF(1000);
		struct io_disk *d = sim_disk(w->sim);
		struct io_file *f;

		if (whole.at[at] == '#')
			continue;
		damage(w, "/spool/policy/thing.1", at);
		reopen(w);
		assert_int_equal(keep_read(w->keep, &kept), ERR_DAMAGED);
		assert_int_equal(d->ops->open(d, "/spool/policy/thing.1", IO_FILE_UPDATE, &f), ERR_OK);
		assert_int_equal(d->ops->write_at(f, at, whole.at + at, 1), ERR_OK);
		d->ops->close(&f);
		buf_fini(&kept);
	}
	buf_fini(&whole);
}

static void a_disk_that_fails_is_told_once_and_tried_again(void **state)
{
	struct world *w = *state;

	sim_disk_fail_after(w->sim, 0, ERR_IO);
	w->content = "one";
	keep_touch(w->keep);
	sim_run(w->sim, 10 * MINUTE_MS);
	assert_int_equal(w->warnings, 1);
	assert_true(w->fills > 5);
	sim_disk_fail_after(w->sim, 0, ERR_OK);
	sim_run(w->sim, 2 * MINUTE_MS);
	reopen(w);
	expect_kept(w, "one");
	assert_int_equal(w->warnings, 1);
}

static void too_much_is_not_written_and_what_was_there_stays(void **state)
{
	struct world *w = *state;
	char much[1200];

	memset(much, 'x', sizeof(much) - 1);
	much[sizeof(much) - 1] = '\0';
	write_now(w, "one");
	write_now(w, much);
	assert_int_equal(w->warnings, 1);
	reopen(w);
	expect_kept(w, "one");
}

#define KEEP_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		KEEP_TEST(what_was_written_is_read_again),
		KEEP_TEST(many_changes_are_one_writing),
		KEEP_TEST(the_last_change_is_written_at_the_end),
		KEEP_TEST(an_end_while_writing_writes_what_came_since),
		KEEP_TEST(a_crash_leaves_the_one_or_the_other),
		KEEP_TEST(a_damaged_file_gives_way_to_the_one_before),
		KEEP_TEST(without_a_good_file_the_bad_one_is_set_aside),
		KEEP_TEST(every_octet_is_under_the_checksum),
		KEEP_TEST(a_disk_that_fails_is_told_once_and_tried_again),
		KEEP_TEST(too_much_is_not_written_and_what_was_there_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
