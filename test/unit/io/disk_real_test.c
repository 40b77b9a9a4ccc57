#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <postrider/base/auto.h>
#include <postrider/io/disk.h>

struct world {
	struct io_disk *disk;
	char directory[64], path[96];
	unsigned names;
	bool seen;
};

static int set_up(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	w->disk = io_disk_real();
	snprintf(w->directory, sizeof(w->directory), "disk-XXXXXX");
	assert_non_null(mkdtemp(w->directory));
	snprintf(w->path, sizeof(w->path), "%s/file", w->directory);
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;

	unlink(w->path);
	rmdir(w->directory);
	free(w);
	return 0;
}

static struct io_file *open_one(struct world *w, enum io_file_mode mode)
{
	struct io_file *f = NULL;

	assert_int_equal(w->disk->ops->open(w->disk, w->path, mode, &f), ERR_OK);
	assert_ptr_equal(f->disk, w->disk);
	return f;
}

static void create(struct world *w, const char *content)
{
	struct io_file *f = open_one(w, IO_FILE_CREATE);

	assert_int_equal(w->disk->ops->write_at(f, 0, content, strlen(content)), ERR_OK);
	assert_int_equal(w->disk->ops->sync(f), ERR_OK);
	w->disk->ops->close(&f);
	assert_null(f);
	w->disk->ops->close(&f);
}

static void what_is_written_can_be_read(void **state)
{
	struct world *w = *state;
	char bytes[32];
	size_t got = 99;

	create(w, "hello there");
	struct io_file *f = open_one(w, IO_FILE_READ);

	assert_int_equal(w->disk->ops->read_at(f, 6, bytes, sizeof(bytes), &got), ERR_OK);
	assert_int_equal(got, 5);
	assert_memory_equal(bytes, "there", 5);
	assert_int_equal(w->disk->ops->read_at(f, 100, bytes, sizeof(bytes), &got), ERR_OK);
	assert_int_equal(got, 0);
	w->disk->ops->close(&f);
}

static void what_exists_is_not_created_again(void **state)
{
	struct world *w = *state;
	struct io_file *f = NULL;

	create(w, "x");
	assert_int_equal(w->disk->ops->open(w->disk, w->path, IO_FILE_CREATE, &f), ERR_EXISTS);
	assert_null(f);
}

static void a_new_file_is_for_us_alone(void **state)
{
	struct world *w = *state;
	struct stat now;

	create(w, "x");
	assert_int_equal(stat(w->path, &now), 0);
	assert_int_equal(now.st_mode & 07777, 0600);
}

static void updating_keeps_the_rest(void **state)
{
	struct world *w = *state;
	char bytes[4];
	size_t got;

	create(w, "abcd");
	struct io_file *f = open_one(w, IO_FILE_UPDATE);

	assert_int_equal(w->disk->ops->write_at(f, 1, "XY", 2), ERR_OK);
	assert_int_equal(w->disk->ops->read_at(f, 0, bytes, 4, &got), ERR_OK);
	assert_memory_equal(bytes, "aXYd", 4);
	w->disk->ops->close(&f);
}

static void what_is_not_there_is_not_found(void **state)
{
	struct world *w = *state;
	struct io_file *f = NULL;
	uint64_t bytes = 7;

	assert_int_equal(w->disk->ops->open(w->disk, w->path, IO_FILE_READ, &f), ERR_NOT_FOUND);
	assert_int_equal(w->disk->ops->open(w->disk, w->path, IO_FILE_UPDATE, &f), ERR_NOT_FOUND);
	assert_int_equal(w->disk->ops->remove(w->disk, w->path), ERR_NOT_FOUND);
	assert_int_equal(w->disk->ops->size(w->disk, w->path, &bytes), ERR_NOT_FOUND);
	assert_int_equal(bytes, 7);
	assert_int_equal(w->disk->ops->sync_directory(w->disk, w->path), ERR_NOT_FOUND);
}

static void allocating_takes_real_blocks(void **state)
{
	struct world *w = *state;
	struct stat now;
	uint64_t bytes = 0;
	struct io_file *f = open_one(w, IO_FILE_CREATE);

	assert_int_equal(w->disk->ops->allocate(f, 0), ERR_OK);
	assert_int_equal(w->disk->ops->allocate(f, 1 << 20), ERR_OK);
	w->disk->ops->close(&f);
	assert_int_equal(stat(w->path, &now), 0);
	assert_true((uint64_t)now.st_blocks * 512 >= 1 << 20);
	assert_int_equal(w->disk->ops->size(w->disk, w->path, &bytes), ERR_OK);
	assert_int_equal(bytes, 1 << 20);
}

static void count(void *owner, struct text name)
{
	struct world *w = owner;

	w->names++;
	w->seen |= text_eq(name, TEXT("file"));
}

static void a_directory_is_listed_without_the_dots(void **state)
{
	struct world *w = *state;

	create(w, "x");
	assert_int_equal(w->disk->ops->list(w->disk, w->directory, count, w), ERR_OK);
	assert_int_equal(w->names, 1);
	assert_true(w->seen);
	assert_int_equal(w->disk->ops->list(w->disk, w->path, count, w), ERR_NOT_FOUND);
}

static void a_directory_may_be_there_already_but_not_as_a_file(void **state)
{
	struct world *w = *state;
	struct stat now;

	assert_int_equal(w->disk->ops->make_directory(w->disk, w->path), ERR_OK);
	assert_int_equal(stat(w->path, &now), 0);
	assert_int_equal(now.st_mode & 07777, 0700);
	assert_int_equal(w->disk->ops->make_directory(w->disk, w->path), ERR_OK);
	assert_int_equal(w->disk->ops->sync_directory(w->disk, w->directory), ERR_OK);
	assert_int_equal(rmdir(w->path), 0);
	create(w, "x");
	assert_int_equal(w->disk->ops->make_directory(w->disk, w->path), ERR_EXISTS);
}

static void removing_removes(void **state)
{
	struct world *w = *state;

	create(w, "x");
	assert_int_equal(w->disk->ops->remove(w->disk, w->path), ERR_OK);
	assert_int_not_equal(access(w->path, F_OK), 0);
}

static void renaming_replaces(void **state)
{
	struct world *w = *state;
	struct io_file *f = NULL;
	char other[104], got[4];
	size_t len = 0;

	snprintf(other, sizeof(other), "%s.new", w->path);
	create(w, "old");
	assert_int_equal(w->disk->ops->open(w->disk, other, IO_FILE_CREATE, &f), ERR_OK);
	assert_int_equal(w->disk->ops->write_at(f, 0, "new", 3), ERR_OK);
	w->disk->ops->close(&f);
	assert_int_equal(w->disk->ops->rename(w->disk, other, w->path), ERR_OK);
	assert_int_equal(w->disk->ops->rename(w->disk, other, w->path), ERR_NOT_FOUND);
	f = open_one(w, IO_FILE_READ);
	assert_int_equal(w->disk->ops->read_at(f, 0, got, sizeof(got), &len), ERR_OK);
	assert_int_equal(len, 3);
	assert_memory_equal(got, "new", 3);
	w->disk->ops->close(&f);
}

static void free_space_is_known(void **state)
{
	struct world *w = *state;
	uint64_t bytes = 0;

	assert_int_equal(w->disk->ops->free_bytes(w->disk, w->directory, &bytes), ERR_OK);
	assert_true(bytes > 0);
}

static void a_full_disk_says_so(void **state)
{
	struct world *w = *state;
	struct io_file *f = NULL;

	if (w->disk->ops->open(w->disk, "/dev/full", IO_FILE_UPDATE, &f))
		skip();
	assert_int_equal(w->disk->ops->write_at(f, 0, "x", 1), ERR_FULL);
	w->disk->ops->close(&f);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_is_written_can_be_read),
		TEST(what_exists_is_not_created_again),
		TEST(a_new_file_is_for_us_alone),
		TEST(updating_keeps_the_rest),
		TEST(what_is_not_there_is_not_found),
		TEST(allocating_takes_real_blocks),
		TEST(a_directory_is_listed_without_the_dots),
		TEST(a_directory_may_be_there_already_but_not_as_a_file),
		TEST(removing_removes),
		TEST(renaming_replaces),
		TEST(free_space_is_known),
		TEST(a_full_disk_says_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
