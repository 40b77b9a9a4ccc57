/* What a crash leaves of a name that was given to another file. */
#include <postrider/sim.h>

#include "support/check.h"

static void put(struct io_disk *d, const char *path, const char *content)
{
	struct io_file *f = NULL;

	assert_int_equal(d->ops->open(d, path, IO_FILE_CREATE, &f), ERR_OK);
	assert_int_equal(d->ops->write_at(f, 0, content, strlen(content)), ERR_OK);
	assert_int_equal(d->ops->sync(f), ERR_OK);
	d->ops->close(&f);
}

/* '-': it is not there. */
static char first_of(struct io_disk *d, const char *path)
{
	struct io_file *f = NULL;
	char got = '?';
	size_t len = 0;

	if (d->ops->open(d, path, IO_FILE_READ, &f))
		return '-';
	assert_int_equal(d->ops->read_at(f, 0, &got, 1, &len), ERR_OK);
	d->ops->close(&f);
	return got;
}

static struct sim *begin(uint64_t seed)
{
	struct sim *s = NULL;

	assert_int_equal(sim_new(&(struct sim_options){ .seed = seed }, &s), ERR_OK);
	put(sim_disk(s), "/a/file", "1");
	assert_int_equal(sim_disk(s)->ops->sync_directory(sim_disk(s), "/a"), ERR_OK);
	return s;
}

static void a_crash_leaves_the_old_or_the_new(void **state)
{
	unsigned old = 0, new = 0;

	(void)state;
	for (uint64_t seed = 1; seed <= 40; seed++) {
		struct sim *s = begin(seed);
		struct io_disk *d = sim_disk(s);

		put(d, "/a/file.new", "2");
		assert_int_equal(d->ops->rename(d, "/a/file.new", "/a/file"), ERR_OK);
		assert_int_equal(first_of(d, "/a/file"), '2');
		assert_int_equal(first_of(d, "/a/file.new"), '-');
		sim_disk_crash(s);
		char c = first_of(d, "/a/file");

		assert_true(c == '1' || c == '2');
		(*(c == '1' ? &old : &new))++;
		sim_free(&s);
	}
	assert_true(old > 0 && new > 0);
}

static void what_was_synced_stays(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct sim *s = begin(seed);
		struct io_disk *d = sim_disk(s);

		put(d, "/a/file.new", "2");
		assert_int_equal(d->ops->rename(d, "/a/file.new", "/a/file"), ERR_OK);
		assert_int_equal(d->ops->sync_directory(d, "/a"), ERR_OK);
		sim_disk_crash(s);
		assert_int_equal(first_of(d, "/a/file"), '2');
		sim_free(&s);
	}
}

static void one_of_three_is_left(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 40; seed++) {
		struct sim *s = begin(seed);
		struct io_disk *d = sim_disk(s);

		put(d, "/a/file.new", "2");
		assert_int_equal(d->ops->rename(d, "/a/file.new", "/a/file"), ERR_OK);
		put(d, "/a/file.new", "3");
		assert_int_equal(d->ops->rename(d, "/a/file.new", "/a/file"), ERR_OK);
		sim_disk_crash(s);
		char c = first_of(d, "/a/file");

		assert_true(c == '1' || c == '3');
		sim_free(&s);
	}
}

static void what_is_open_is_read_on(void **state)
{
	struct sim *s = begin(1);
	struct io_disk *d = sim_disk(s);
	struct io_file *f = NULL;
	char got = '?';
	size_t len = 0;

	(void)state;
	assert_int_equal(d->ops->open(d, "/a/file", IO_FILE_READ, &f), ERR_OK);
	put(d, "/a/file.new", "2");
	assert_int_equal(d->ops->rename(d, "/a/file.new", "/a/file"), ERR_OK);
	assert_int_equal(d->ops->sync_directory(d, "/a"), ERR_OK);
	assert_int_equal(d->ops->read_at(f, 0, &got, 1, &len), ERR_OK);
	assert_int_equal(got, '1');
	d->ops->close(&f);
	sim_free(&s);
}

static void what_is_not_there_is_not_renamed(void **state)
{
	struct sim *s = begin(1);
	struct io_disk *d = sim_disk(s);

	(void)state;
	assert_int_equal(d->ops->rename(d, "/a/none", "/a/file"), ERR_NOT_FOUND);
	assert_int_equal(first_of(d, "/a/file"), '1');
	sim_disk_fail_after(s, 0, ERR_IO);
	assert_int_equal(d->ops->rename(d, "/a/file", "/a/b"), ERR_IO);
	sim_free(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_crash_leaves_the_old_or_the_new), cmocka_unit_test(what_was_synced_stays),
		cmocka_unit_test(one_of_three_is_left),              cmocka_unit_test(what_is_open_is_read_on),
		cmocka_unit_test(what_is_not_there_is_not_renamed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
