/* The stories of messages: kept in order, trimmed, and in nobody's way. */
#include "support/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <postrider/base/time.h>
#include <postrider/queue/history.h>

#include "support/fake_io.h"
#include "support/queue_rig.h"

struct world {
	struct fake_io io;
	struct rig directory; /* only for a place to be in */
	struct history_options options;
	struct history *history;
	struct id_source ids;
	bool closed;
	char path[260];
	/* what was read */
	char text[4000];
	unsigned lines, stop_after, done;
	enum err err;
};

static int setup(void **state, bool in_memory)
{
	struct world *w = calloc(1, sizeof(*w));

	rig_init(&w->directory, in_memory ? RIG_MEMORY : RIG_LMDB);
	fake_io_init(&w->io);
	snprintf(w->path, sizeof(w->path), "%s/history", w->directory.path);
	w->options = (struct history_options){
		.io = &w->io.base,
		.path = text_from(w->path),
		.keep_ms = 7 * DAY_MS,
		.max_bytes = 4 << 20,
		.in_memory = in_memory,
	};
	id_source_init(&w->ids, 3, 0);
	assert_int_equal(history_open(&w->options, &w->history), ERR_OK);
	*state = w;
	return 0;
}

static int setup_memory(void **state)
{
	return setup(state, true);
}

static int setup_lmdb(void **state)
{
	return setup(state, false);
}

static void on_closed(void *owner)
{
	((struct world *)owner)->closed = true;
}

static void close_it(struct world *w)
{
	w->closed = false;
	history_close(&w->history, on_closed, w);
	fake_io_run(&w->io);
	assert_true(w->closed);
}

static int teardown(void **state)
{
	struct world *w = *state;

	if (w->history)
		close_it(w);
	rig_fini(&w->directory);
	fake_io_fini(&w->io);
	free(w);
	return 0;
}

static struct id make_id(struct world *w)
{
	return id_next(&w->ids, io_now_time(&w->io.base));
}

static void add(struct world *w, struct id id, const char *line)
{
	history_add(w->history, id, io_now_time_us(&w->io.base), text_from(line));
}

static bool note(void *owner, struct id id, struct text line)
{
	struct world *w = owner;
	size_t len = strlen(w->text);

	(void)id;
	if (len + line.len + 2 < sizeof(w->text))
		snprintf(w->text + len, sizeof(w->text) - len, "%.*s|", TEXT_ARGS(line));
	return ++w->lines != w->stop_after;
}

static void end(void *owner, enum err err)
{
	struct world *w = owner;

	w->done++;
	w->err = err;
}

static void read_range(struct world *w, struct id first, struct id last)
{
	w->text[0] = '\0';
	w->lines = w->done = 0;
	history_read(w->history, first, last, note, end, w);
	assert_int_equal(w->done, 0);
	fake_io_run(&w->io);
	assert_int_equal(w->done, 1);
}

static const struct id all_first = { { 0 } };
static const struct id all_last = { { 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
	                              255, 255 } };

static void lines_come_back_in_order_message_by_message(void **state)
{
	struct world *w = *state;
	struct id a = make_id(w), b = make_id(w);

	add(w, a, "a received");
	add(w, b, "b received");
	add(w, a, "a attempt");
	fake_io_advance(&w->io, 5);
	add(w, a, "a delivered");
	read_range(w, a, a);
	assert_int_equal(w->err, ERR_OK);
	assert_string_equal(w->text, "a received|a attempt|a delivered|");
	read_range(w, all_first, all_last);
	assert_string_equal(w->text, "a received|a attempt|a delivered|b received|");
	read_range(w, make_id(w), all_last);
	assert_string_equal(w->text, "");
	assert_int_equal(history_dropped(w->history), 0);
}

static void a_reader_may_end_early(void **state)
{
	struct world *w = *state;
	struct id id = make_id(w);

	for (unsigned i = 0; i < 10; i++)
		add(w, id, "x");
	w->stop_after = 3;
	read_range(w, id, id);
	assert_int_equal(w->lines, 3);
}

static void long_stories_come_in_slices(void **state)
{
	struct world *w = *state;
	struct id id = make_id(w);
	char line[20];

	for (unsigned i = 0; i < 1000; i++) {
		snprintf(line, sizeof(line), "%u", i);
		add(w, id, line);
	}
	read_range(w, id, id);
	assert_int_equal(w->lines, 1000);
	assert_memory_equal(w->text, "0|1|2|3|4|5|6|7|8|9|10|", 23);
}

static void lines_are_written_together_after_a_second(void **state)
{
	struct world *w = *state;
	uint64_t before = w->io.ran[IO_LANE_DISK];

	for (unsigned i = 0; i < 100; i++)
		add(w, make_id(w), "x");
	fake_io_run(&w->io);
	assert_int_equal(w->io.ran[IO_LANE_DISK], before);
	fake_io_advance(&w->io, 1001);
	assert_int_equal(w->io.ran[IO_LANE_DISK], before + 1);
}

static void what_does_not_fit_in_memory_is_dropped_and_counted(void **state)
{
	struct world *w = *state;
	char *line = calloc(1, 60001);
	unsigned added = 0;

	memset(line, 'x', 60000);
	w->io.held[IO_LANE_DISK] = true;
	while (history_dropped(w->history) == 0) {
		add(w, make_id(w), line);
		assert_true(++added < 200);
	}
	assert_in_range(added, 60, 80);
	w->io.held[IO_LANE_DISK] = false;
	fake_io_run(&w->io);
	add(w, make_id(w), "small");
	assert_int_equal(history_dropped(w->history), 1);
	free(line);
}

static void old_stories_go(void **state)
{
	struct world *w = *state;
	struct id old = make_id(w);

	add(w, old, "old");
	fake_io_advance(&w->io, 8 * DAY_MS);
	struct id new = make_id(w);

	add(w, new, "new");
	fake_io_advance(&w->io, 2000);
	read_range(w, all_first, all_last);
	assert_string_equal(w->text, "new|");
}

static void the_oldest_go_when_there_is_too_much(void **state)
{
	struct world *w = *state;
	char *line = calloc(1, 10001);
	struct id first = make_id(w), id = first;

	memset(line, 'x', 10000);
	add(w, first, line);
	for (unsigned i = 0; i < 1500; i++) {
		id = make_id(w);
		add(w, id, line);
		if (i % 20 == 0)
			fake_io_advance(&w->io, 1100);
	}
	fake_io_advance(&w->io, 1100);
	read_range(w, first, first);
	assert_int_equal(w->lines, 0);
	read_range(w, id, id);
	assert_int_equal(w->lines, 1);
	read_range(w, all_first, all_last);
	assert_in_range(w->lines, 100, 450);
	assert_int_equal(history_dropped(w->history), 0);
	free(line);
}

static void stories_outlive_a_restart(void **state)
{
	struct world *w = *state;
	struct id id = make_id(w);

	add(w, id, "before");
	close_it(w);
	assert_int_equal(history_open(&w->options, &w->history), ERR_OK);
	add(w, id, "after");
	read_range(w, id, id);
	assert_string_equal(w->text, "before|after|");
}

static void a_damaged_history_is_put_aside_and_begun_anew(void **state)
{
	struct world *w = *state;
	struct id id = make_id(w);
	char file[300];

	add(w, id, "before");
	close_it(w);
	snprintf(file, sizeof(file), "%s/data.mdb", w->path);
	FILE *f = fopen(file, "w");

	for (unsigned i = 0; i < 10000; i++)
		fputc('?', f);
	fclose(f);
	assert_int_equal(history_open(&w->options, &w->history), ERR_OK);
	add(w, id, "after");
	read_range(w, id, id);
	assert_string_equal(w->text, "after|");
	snprintf(file, sizeof(file), "%s/data.mdb.damaged", w->path);
	assert_int_equal(access(file, R_OK), 0);
}

static void a_close_answers_nobody_and_writes_what_waits(void **state)
{
	struct world *w = *state;
	struct id id = make_id(w);

	add(w, id, "last");
	w->done = 0;
	history_read(w->history, id, id, note, end, w);
	close_it(w);
	assert_int_equal(w->done, 0);
	assert_int_equal(history_open(&w->options, &w->history), ERR_OK);
	read_range(w, id, id);
	assert_string_equal(w->text, "last|");
}

#define ON_BOTH(test)                                              \
	{ #test " (memory)", test, setup_memory, teardown, NULL }, \
	{                                                          \
#		test " (LMDB)", test, setup_lmdb, teardown, NULL  \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_BOTH(lines_come_back_in_order_message_by_message),
		ON_BOTH(a_reader_may_end_early),
		ON_BOTH(long_stories_come_in_slices),
		ON_BOTH(lines_are_written_together_after_a_second),
		ON_BOTH(what_does_not_fit_in_memory_is_dropped_and_counted),
		ON_BOTH(old_stories_go),
		ON_BOTH(the_oldest_go_when_there_is_too_much),
		cmocka_unit_test_setup_teardown(stories_outlive_a_restart, setup_lmdb, teardown),
		cmocka_unit_test_setup_teardown(a_damaged_history_is_put_aside_and_begun_anew, setup_lmdb,
		                                teardown),
		cmocka_unit_test_setup_teardown(a_close_answers_nobody_and_writes_what_waits, setup_lmdb,
		                                teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
