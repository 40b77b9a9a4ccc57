/* Both stores behave alike, whatever is done to them; and each for itself. */
#include "support/check.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <postrider/base/random.h>

#include "store.h"
#include "store_memory.h"

#define TABLES 3

static const char *const names[TABLES] = { "one", "two", "three" };
static const struct store_options options = {
	.tables = names, .table_count = TABLES, .max_bytes = 64 << 20, .sync = STORE_SYNC_NEVER
};

struct twins {
	char path[100];
	struct store *stores[2];
	struct queue_memory *memory;
};

static void open_both(struct twins *t)
{
	assert_int_equal(store_lmdb_open(t->path, &options, &t->stores[0]), ERR_OK);
	assert_int_equal(store_memory_open(t->memory, NULL, "", &options, &t->stores[1]), ERR_OK);
}

static void close_both(struct twins *t)
{
	store_close(&t->stores[0]);
	store_close(&t->stores[1]);
}

static int setup(void **state)
{
	struct twins *t = calloc(1, sizeof(*t));
	const char *tmp = getenv("TMPDIR");

	snprintf(t->path, sizeof(t->path), "%.80s/store-XXXXXX", tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(t->path));
	t->memory = queue_memory_new();
	open_both(t);
	*state = t;
	return 0;
}

static int remove_entry(const char *path, const struct stat *s, int kind, struct FTW *where)
{
	(void)s, (void)kind, (void)where;
	return remove(path);
}

static int teardown(void **state)
{
	struct twins *t = *state;

	close_both(t);
	queue_memory_free(&t->memory);
	nftw(t->path, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
	free(t);
	return 0;
}

/* ---------------------------------------------------------------- twins */

static void check_rows(enum err a, enum err b, const struct store_row *left, const struct store_row *right)
{
	assert_int_equal(a, b);
	if (a)
		return;
	CHECK_TEXT("key", left->key, right->key);
	CHECK_TEXT("value", left->value, right->value);
}

static void check_all_alike(struct store_txn *txns[2])
{
	struct store_usage usage[2];

	store_usage(txns[0], &usage[0]);
	store_usage(txns[1], &usage[1]);
	for (unsigned table = 0; table < TABLES; table++) {
		struct store_row left = { TEXT_EMPTY, TEXT_EMPTY }, right = { TEXT_EMPTY, TEXT_EMPTY };
		enum err a = store_seek(txns[0], table, TEXT_EMPTY, &left),
			 b = store_seek(txns[1], table, TEXT_EMPTY, &right);

		check_rows(a, b, &left, &right);
		while (!a) {
			a = store_next(txns[0], table, &left);
			b = store_next(txns[1], table, &right);
			check_rows(a, b, &left, &right);
		}
		assert_int_equal(usage[0].rows[table], usage[1].rows[table]);
	}
}

static struct text make_key(struct random *r, char *room)
{
	size_t len = 1 + random_below(r, random_below(r, 20) ? 4 : 500);

	for (size_t i = 0; i < len; i++)
		room[i] = (char)random_below(r, 3);
	return text_of(room, len);
}

static void step_both(struct random *r, struct store_txn *txns[2])
{
	char key_room[512], value_room[9000];
	struct text key = make_key(r, key_room),
		    value = text_of(value_room, random_below(r, random_below(r, 30) ? 60 : 9000));
	unsigned table = (unsigned)random_below(r, TABLES),
		 how = (unsigned)random_below(r, 8) ? STORE_PUT : STORE_NEW;
	struct store_row rows[2];
	struct text got[2];
	enum err errs[2];

	for (size_t i = 0; i < value.len; i++)
		value_room[i] = (char)random_u64(r);
	switch (random_below(r, 6)) {
	case 0:
	case 1:
	case 2:
		assert_int_equal(store_put(txns[0], table, key, value, how),
		                 store_put(txns[1], table, key, value, how));
		break;
	case 3:
		assert_int_equal(store_remove(txns[0], table, key), store_remove(txns[1], table, key));
		break;
	case 4:
		errs[0] = store_get(txns[0], table, key, &got[0]);
		errs[1] = store_get(txns[1], table, key, &got[1]);
		assert_int_equal(errs[0], errs[1]);
		if (!errs[0])
			CHECK_TEXT("get", got[0], got[1]);
		break;
	default:
		errs[0] = store_seek(txns[0], table, key, &rows[0]);
		errs[1] = store_seek(txns[1], table, key, &rows[1]);
		check_rows(errs[0], errs[1], &rows[0], &rows[1]);
		errs[0] = store_last(txns[0], table, &rows[0]);
		errs[1] = store_last(txns[1], table, &rows[1]);
		check_rows(errs[0], errs[1], &rows[0], &rows[1]);
		break;
	}
}

static void both_stores_do_the_same_under_random_operations(void **state)
{
	struct twins *t = *state;
	struct random r;

	random_init(&r, 20260102);
	for (unsigned round = 0; round < 120; round++) {
		struct store_txn *txns[2] = { NULL, NULL };

		assert_int_equal(store_begin(t->stores[0], true, &txns[0]), ERR_OK);
		assert_int_equal(store_begin(t->stores[1], true, &txns[1]), ERR_OK);
		for (unsigned i = 0; i < 60; i++)
			step_both(&r, txns);
		check_all_alike(txns);
		if (random_below(&r, 4)) {
			assert_int_equal(store_commit(&txns[0]), ERR_OK);
			assert_int_equal(store_commit(&txns[1]), ERR_OK);
		}
		store_abort(&txns[0]);
		store_abort(&txns[1]);
		if (random_below(&r, 10) == 0) {
			close_both(t);
			open_both(t);
		}
		assert_int_equal(store_begin(t->stores[0], false, &txns[0]), ERR_OK);
		assert_int_equal(store_begin(t->stores[1], false, &txns[1]), ERR_OK);
		check_all_alike(txns);
		store_abort(&txns[0]);
		store_abort(&txns[1]);
	}
}

static void a_reader_keeps_what_it_began_with(void **state)
{
	struct twins *t = *state;

	for (unsigned i = 0; i < 2; i++) {
		struct store_txn *writer = NULL, *reader = NULL;
		struct text value;

		assert_int_equal(store_begin(t->stores[i], true, &writer), ERR_OK);
		assert_int_equal(store_put(writer, 0, TEXT("a"), TEXT("old"), STORE_PUT), ERR_OK);
		assert_int_equal(store_commit(&writer), ERR_OK);
		assert_int_equal(store_begin(t->stores[i], false, &reader), ERR_OK);
		assert_int_equal(store_begin(t->stores[i], true, &writer), ERR_OK);
		assert_int_equal(store_put(writer, 0, TEXT("a"), TEXT("new"), STORE_PUT), ERR_OK);
		assert_int_equal(store_remove(writer, 0, TEXT("b")), ERR_NOT_FOUND);
		assert_int_equal(store_commit(&writer), ERR_OK);
		assert_int_equal(store_get(reader, 0, TEXT("a"), &value), ERR_OK);
		CHECK_TEXT("the reader's", value, TEXT("old"));
		store_abort(&reader);
		assert_int_equal(store_begin(t->stores[i], false, &reader), ERR_OK);
		assert_int_equal(store_get(reader, 0, TEXT("a"), &value), ERR_OK);
		CHECK_TEXT("the next reader's", value, TEXT("new"));
		store_abort(&reader);
	}
}

static void appending_needs_the_highest_key(void **state)
{
	struct twins *t = *state;

	for (unsigned i = 0; i < 2; i++) {
		struct store_txn *txn = NULL;

		assert_int_equal(store_begin(t->stores[i], true, &txn), ERR_OK);
		assert_int_equal(store_put(txn, 0, TEXT("b"), TEXT("1"), STORE_APPEND), ERR_OK);
		assert_int_equal(store_put(txn, 0, TEXT("a"), TEXT("2"), STORE_APPEND), ERR_EXISTS);
		assert_int_equal(store_put(txn, 0, TEXT("b"), TEXT("2"), STORE_APPEND | STORE_NEW),
		                 ERR_EXISTS);
		assert_int_equal(store_put(txn, 0, TEXT("c"), TEXT("2"), STORE_APPEND | STORE_NEW), ERR_OK);
		store_abort(&txn);
	}
}

static void a_key_that_is_too_long_is_refused(void **state)
{
	struct twins *t = *state;
	char key[STORE_KEY_MAX_BYTES + 1];

	memset(key, 'k', sizeof(key));
	for (unsigned i = 0; i < 2; i++) {
		struct store_txn *txn = NULL;

		assert_int_equal(store_begin(t->stores[i], true, &txn), ERR_OK);
		assert_int_equal(store_put(txn, 0, text_of(key, sizeof(key)), TEXT(""), STORE_PUT),
		                 ERR_TOO_BIG);
		store_abort(&txn);
	}
}

/* ---------------------------------------------------------------- the memory twin's fates */

static void put_one(struct store *s, const char *key, enum err expected)
{
	struct store_txn *txn = NULL;

	assert_int_equal(store_begin(s, true, &txn), ERR_OK);
	assert_int_equal(store_put(txn, 0, text_from(key), TEXT("v"), STORE_PUT), ERR_OK);
	assert_int_equal(store_commit(&txn), expected);
}

static bool has(struct store *s, const char *key)
{
	struct store_txn *txn = NULL;
	struct text value;

	assert_int_equal(store_begin(s, false, &txn), ERR_OK);
	bool there = store_get(txn, 0, text_from(key), &value) == ERR_OK;

	store_abort(&txn);
	return there;
}

static void memory_loses_what_came_after_the_power_failed(void **state)
{
	struct twins *t = *state;

	put_one(t->stores[1], "before", ERR_OK);
	queue_memory_power_off(t->memory);
	put_one(t->stores[1], "after", ERR_OK);
	assert_true(has(t->stores[1], "after"));
	close_both(t);
	open_both(t);
	assert_true(has(t->stores[1], "before"));
	assert_false(has(t->stores[1], "after"));
}

static void memory_fails_the_commits_it_is_told_to(void **state)
{
	struct twins *t = *state;

	queue_memory_fail_commits(t->memory, ERR_IO, 1);
	put_one(t->stores[1], "first", ERR_OK);
	put_one(t->stores[1], "second", ERR_IO);
	put_one(t->stores[1], "third", ERR_IO);
	queue_memory_fail_commits(t->memory, ERR_OK, 0);
	put_one(t->stores[1], "fourth", ERR_OK);
	assert_true(has(t->stores[1], "first"));
	assert_false(has(t->stores[1], "second"));
	assert_false(has(t->stores[1], "third"));
	assert_true(has(t->stores[1], "fourth"));
}

/* ---------------------------------------------------------------- LMDB's fates */

static void two_owners_are_refused(void **state)
{
	struct twins *t = *state;
	struct buf problem = BUF(300);
	struct store_options o = options;
	struct store *second = NULL;

	o.problem = &problem;
	assert_int_equal(store_lmdb_open(t->path, &o, &second), ERR_BUSY);
	assert_true(text_find(buf_text(&problem), TEXT("another process")) < problem.len);
	assert_int_equal(store_memory_open(t->memory, NULL, "", &options, &second), ERR_BUSY);
	buf_fini(&problem);
}

static void put_rows(struct store *s, unsigned table, unsigned count, size_t len)
{
	struct store_txn *txn = NULL;
	char key[16], *value = calloc(1, len);

	assert_int_equal(store_begin(s, true, &txn), ERR_OK);
	for (unsigned i = 0; i < count; i++) {
		snprintf(key, sizeof(key), "%08u", i);
		assert_int_equal(store_put(txn, table, text_from(key), text_of(value, len), STORE_PUT),
		                 ERR_OK);
	}
	assert_int_equal(store_commit(&txn), ERR_OK);
	free(value);
}

static void put_many(struct store *s, unsigned count, size_t len)
{
	put_rows(s, 1, count, len);
}

static void remove_rows(struct store *s, unsigned table, unsigned count)
{
	struct store_txn *txn = NULL;
	char key[16];

	assert_int_equal(store_begin(s, true, &txn), ERR_OK);
	for (unsigned i = 0; i < count; i++) {
		snprintf(key, sizeof(key), "%08u", i);
		assert_int_equal(store_remove(txn, table, text_from(key)), ERR_OK);
	}
	assert_int_equal(store_commit(&txn), ERR_OK);
}

static off_t file_bytes(const char *path)
{
	char file[200];
	struct stat s;

	snprintf(file, sizeof(file), "%s/data.mdb", path);
	assert_int_equal(stat(file, &s), 0);
	return s.st_size;
}

static void read_whole(const char *path, struct buf *octets)
{
	char file[200], piece[4096];
	size_t got;

	snprintf(file, sizeof(file), "%s/data.mdb", path);
	FILE *f = fopen(file, "r");

	assert_non_null(f);
	while ((got = fread(piece, 1, sizeof(piece), f)) > 0)
		buf_add_bytes(octets, piece, got);
	fclose(f);
}

static void write_whole(const char *path, struct text octets)
{
	char file[200];

	snprintf(file, sizeof(file), "%s/data.mdb", path);
	FILE *f = fopen(file, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(octets.at, 1, octets.len, f), octets.len);
	fclose(f);
}

static unsigned count_rows(struct store *s, unsigned table, size_t len)
{
	struct store_txn *txn = NULL;
	struct store_row row;
	unsigned count = 0;

	assert_int_equal(store_begin(s, false, &txn), ERR_OK);
	enum err err = store_seek(txn, table, TEXT_EMPTY, &row);

	for (; !err; err = store_next(txn, table, &row)) {
		assert_int_equal(row.value.len, len);
		count++;
	}
	assert_int_equal(err, ERR_NOT_FOUND);
	store_abort(&txn);
	return count;
}

/* Whatever is missing: it is refused and left as it is, or nothing is missing that is in use. */
static void a_file_that_lost_its_end_is_refused_and_left_as_it_is(void **state)
{
	struct twins *t = *state;
	struct buf whole = BUF(64 << 20);
	unsigned refused = 0;

	/* What is written last lies in front, on pages that are free again: the end of the file is rows alone. */
	put_rows(t->stores[0], 2, 100, 3000);
	put_many(t->stores[0], 200, 3000);
	remove_rows(t->stores[0], 2, 100);
	for (char key[2] = "a"; key[0] <= 'z'; key[0]++)
		put_one(t->stores[0], key, ERR_OK);
	store_close(&t->stores[0]);
	read_whole(t->path, &whole);
	for (size_t pages = 1; pages < whole.len / 4096 - 2; pages++) {
		off_t cut = (off_t)(whole.len - pages * 4096);

		write_whole(t->path, text_head(buf_text(&whole), (size_t)cut));
		enum err err = store_lmdb_open(t->path, &options, &t->stores[0]);

		if (err) {
			assert_int_equal(err, ERR_DAMAGED);
			assert_null(t->stores[0]);
			assert_int_equal(file_bytes(t->path), cut);
			refused++;
		} else {
			assert_int_equal(count_rows(t->stores[0], 1, 3000), 200);
			store_close(&t->stores[0]);
		}
	}
	assert_true(refused > 100);
	buf_fini(&whole);
}

static void change_at_random(struct store *s, struct random *r)
{
	static const char value[9000];
	struct store_txn *txn = NULL;
	bool empty = random_below(r, 2);

	assert_int_equal(store_begin(s, true, &txn), ERR_OK);
	for (unsigned i = 0; i < 200 + (empty ? 100 : 0); i++) {
		char key = i < 200 ? (char)random_below(r, 100) : (char)(i - 200);
		size_t len = random_below(r, 3) ? 500 : (size_t)random_below(r, sizeof(value));
		enum err err = i < 200 && random_below(r, 2)
		                       ? store_put(txn, 1, text_of(&key, 1), text_of(value, len), STORE_PUT)
		                       : store_remove(txn, 1, text_of(&key, 1));

		assert_true(err == ERR_OK || err == ERR_NOT_FOUND);
	}
	assert_int_equal(store_commit(&txn), ERR_OK);
}

static uint64_t needed_bytes(struct store *s)
{
	struct store_txn *txn = NULL;
	struct store_usage usage;

	assert_int_equal(store_begin(s, false, &txn), ERR_OK);
	store_usage(txn, &usage);
	store_abort(&txn);
	return usage.file_bytes;
}

/* LMDB does not write pages that were taken and given back within one transaction. */
static void a_file_whose_last_pages_were_never_written_is_sound(void **state)
{
	struct twins *t = *state;
	struct random r;
	unsigned rounds = 0;
	uint64_t needed;

	random_init(&r, 4);
	put_one(t->stores[0], "a", ERR_OK);
	do {
		change_at_random(t->stores[0], &r);
		needed = needed_bytes(t->stores[0]);
		assert_true(++rounds < 1000);
	} while ((uint64_t)file_bytes(t->path) >= needed);
	store_close(&t->stores[0]);
	assert_int_equal(store_lmdb_open(t->path, &options, &t->stores[0]), ERR_OK);
	assert_int_equal(file_bytes(t->path), needed);
	put_many(t->stores[0], 300, 3000);
	assert_true(has(t->stores[0], "a"));
}

static void a_file_that_is_not_ours_is_refused_and_can_be_put_aside(void **state)
{
	struct twins *t = *state;
	char file[200];

	store_close(&t->stores[0]);
	snprintf(file, sizeof(file), "%s/data.mdb", t->path);
	FILE *f = fopen(file, "w");

	for (unsigned i = 0; i < 20000; i++)
		fputc('x', f);
	fclose(f);
	assert_int_equal(store_lmdb_open(t->path, &options, &t->stores[0]), ERR_DAMAGED);
	assert_int_equal(store_lmdb_put_aside(t->path), ERR_OK);
	assert_int_equal(store_lmdb_open(t->path, &options, &t->stores[0]), ERR_OK);
	put_one(t->stores[0], "anew", ERR_OK);
}

static void a_map_that_is_full_is_full_and_heals(void **state)
{
	struct twins *t = *state;
	struct store_txn *txn = NULL;
	char key[16], value[10000] = { 0 };
	enum err err = ERR_OK;

	assert_int_equal(store_begin(t->stores[0], true, &txn), ERR_OK);
	for (unsigned i = 0; !err; i++) {
		snprintf(key, sizeof(key), "%08u", i);
		err = store_put(txn, 0, text_from(key), text_of(value, sizeof(value)), STORE_PUT);
	}
	assert_int_equal(err, ERR_FULL);
	store_abort(&txn);
	put_one(t->stores[0], "small", ERR_OK);
}

static void another_process_may_read_beside_the_owner(void **state)
{
	struct twins *t = *state;

	put_one(t->stores[0], "seen", ERR_OK);
	pid_t child = fork();

	if (child == 0) {
		struct store_options o = options;
		struct store *reader = NULL;

		o.read_only = true;
		o.max_bytes = 0;
		if (store_lmdb_open(t->path, &o, &reader) || !has(reader, "seen") || has(reader, "unseen"))
			_exit(1);
		store_close(&reader);
		_exit(0);
	}
	int status = 0;

	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	put_one(t->stores[0], "after", ERR_OK);
}

static void address_space_that_is_short_gives_a_smaller_map(void **state)
{
	struct twins *t = *state;
	struct store_options o = options;

	store_close(&t->stores[0]);
	o.max_bytes = UINT64_C(1) << 60;
	assert_int_equal(store_lmdb_open(t->path, &o, &t->stores[0]), ERR_OK);
	assert_true(store_limit_bytes(t->stores[0]) < UINT64_C(1) << 60);
	assert_true(store_limit_bytes(t->stores[0]) >= UINT64_C(1) << 30);
	put_one(t->stores[0], "a", ERR_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(both_stores_do_the_same_under_random_operations, setup,
		                                teardown),
		cmocka_unit_test_setup_teardown(a_reader_keeps_what_it_began_with, setup, teardown),
		cmocka_unit_test_setup_teardown(appending_needs_the_highest_key, setup, teardown),
		cmocka_unit_test_setup_teardown(a_key_that_is_too_long_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(memory_loses_what_came_after_the_power_failed, setup,
		                                teardown),
		cmocka_unit_test_setup_teardown(memory_fails_the_commits_it_is_told_to, setup, teardown),
		cmocka_unit_test_setup_teardown(two_owners_are_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(a_file_that_lost_its_end_is_refused_and_left_as_it_is, setup,
		                                teardown),
		cmocka_unit_test_setup_teardown(a_file_whose_last_pages_were_never_written_is_sound, setup,
		                                teardown),
		cmocka_unit_test_setup_teardown(a_file_that_is_not_ours_is_refused_and_can_be_put_aside,
		                                setup, teardown),
		cmocka_unit_test_setup_teardown(a_map_that_is_full_is_full_and_heals, setup, teardown),
		cmocka_unit_test_setup_teardown(another_process_may_read_beside_the_owner, setup, teardown),
		cmocka_unit_test_setup_teardown(address_space_that_is_short_gives_a_smaller_map, setup,
		                                teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
