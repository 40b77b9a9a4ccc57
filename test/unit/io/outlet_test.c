#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include <postrider/base/auto.h>
#include <postrider/io/outlet.h>

struct pipe_fixture {
	int reader, writer;
};

static int set_up(void **state)
{
	struct pipe_fixture *f = calloc(1, sizeof(*f));
	int ends[2];

	signal(SIGPIPE, SIG_IGN);
	if (!f || pipe(ends) < 0)
		return -1;
	f->reader = ends[0];
	f->writer = ends[1];
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct pipe_fixture *f = *state;

	close(f->reader);
	close(f->writer);
	free(f);
	return 0;
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void gap_line(void *owner, uint64_t lost, struct buf *line)
{
	*(uint64_t *)owner += lost;
	buf_add_format(line, "lost %llu", (unsigned long long)lost);
}

/* Reads until `line` has come, or to the end. */
static void read_until(int reader, const char *line, struct buf *got)
{
	char some[4096];
	ssize_t n;

	while (text_find(buf_text(got), text_from(line)) == got->len &&
	       (n = read(reader, some, sizeof(some))) > 0)
		buf_add_bytes(got, some, (size_t)n);
}

static void lines_come_out_in_order(void **state)
{
	struct pipe_fixture *f = *state;
	struct io_outlet_options options = { .descriptor = f->writer };
	struct io_outlet *o = NULL;
	AUTO(buf_fini) struct buf got = BUF(1000);

	assert_int_equal(io_outlet_new(&options, &o), ERR_OK);
	assert_true(io_outlet_put(o, TEXT("one")));
	assert_true(io_outlet_put(o, TEXT("")));
	assert_true(io_outlet_put(o, TEXT("three")));
	io_outlet_free(&o, 5000);
	assert_null(o);
	read_until(f->reader, "three\n", &got);
	assert_true(text_eq(buf_text(&got), TEXT("one\n\nthree\n")));
}

static void a_single_line_does_not_wait_for_others(void **state)
{
	struct pipe_fixture *f = *state;
	struct io_outlet_options options = { .descriptor = f->writer, .pause_ms = 60000 };
	struct io_outlet *o = NULL;
	AUTO(buf_fini) struct buf got = BUF(1000);
	int64_t start = now_ms();

	assert_int_equal(io_outlet_new(&options, &o), ERR_OK);
	assert_true(io_outlet_put(o, TEXT("now")));
	read_until(f->reader, "now\n", &got);
	assert_true(now_ms() - start < 10000);
	io_outlet_free(&o, 5000); /* nor does the end wait for the pause */
	assert_true(now_ms() - start < 20000);
}

static void a_stalled_reader_costs_lines_and_hears_how_many(void **state)
{
	struct pipe_fixture *f = *state;
	uint64_t said = 0;
	struct io_outlet_options options = {
		.descriptor = f->writer, .buffer_bytes = 64 << 10, .on_gap = gap_line, .owner = &said
	};
	struct io_outlet *o = NULL;
	AUTO(buf_fini) struct buf got = BUF(10 << 20);
	char line[1001];
	unsigned kept = 0, put = 0;

	memset(line, 'x', sizeof(line));
	assert_int_equal(io_outlet_new(&options, &o), ERR_OK);
	for (put = 0; put < 2000; put++)
		kept += io_outlet_put(o, text_of(line, sizeof(line)));
	uint64_t lost = io_outlet_lost(o);

	assert_int_equal(lost, put - kept);
	assert_in_range(kept, 10, 300); /* the pipe's 64 KiB, ours, and what lies between */
	assert_true(lost >= said); /* equal where the last line fitted again: it told of all before it */
	/* The reader comes back. */
	for (int tries = 0; said < lost && tries < 10000; tries++) {
		char some[4096];
		ssize_t n = read(f->reader, some, sizeof(some));

		assert_true(n > 0);
		buf_add_bytes(&got, some, (size_t)n);
		kept += io_outlet_put(o, TEXT("back"));
	}
	assert_int_equal(said, io_outlet_lost(o));
	io_outlet_put(o, TEXT("end"));
	read_until(f->reader, "end\n", &got);
	io_outlet_free(&o, 5000);
	assert_true(text_find(buf_text(&got), TEXT("\nlost ")) < got.len);
}

static void a_reader_that_never_reads_does_not_hold_up_the_end(void **state)
{
	struct pipe_fixture *f = *state;
	struct io_outlet_options options = { .descriptor = f->writer };
	struct io_outlet *o = NULL;
	char line[1000];

	memset(line, 'x', sizeof(line));
	assert_int_equal(io_outlet_new(&options, &o), ERR_OK);
	for (int i = 0; i < 1000; i++)
		assert_true(io_outlet_put(o, text_of(line, sizeof(line))));
	int64_t start = now_ms();

	io_outlet_free(&o, 50);
	assert_in_range(now_ms() - start, 45, 5000);
	assert_int_equal(fcntl(f->writer, F_GETFL) & O_NONBLOCK, 0);
	/* The thread hangs in write(2) and keeps its descriptor. */
	f->reader = open("/dev/null", O_RDONLY);
	f->writer = open("/dev/null", O_WRONLY);
}

static void a_descriptor_that_others_made_non_blocking_loses_nothing(void **state)
{
	struct pipe_fixture *f = *state;
	struct io_outlet_options options = { .descriptor = f->writer };
	struct io_outlet *o = NULL;
	AUTO(buf_fini) struct buf got = BUF(4 << 20);
	char line[999];

	fcntl(f->writer, F_SETFL, fcntl(f->writer, F_GETFL) | O_NONBLOCK);
	memset(line, 'x', sizeof(line));
	assert_int_equal(io_outlet_new(&options, &o), ERR_OK);
	for (int i = 0; i < 1000; i++)
		assert_true(io_outlet_put(o, text_of(line, sizeof(line))));
	assert_true(io_outlet_put(o, TEXT("end")));
	read_until(f->reader, "end\n", &got);
	assert_int_equal(got.len, 1000 * 1000 + 4);
	io_outlet_free(&o, 5000);
}

static void a_closed_pipe_loses_lines_and_counts_them(void **state)
{
	struct pipe_fixture *f = *state;
	uint64_t said = 0;
	struct io_outlet_options options = { .descriptor = f->writer, .on_gap = gap_line, .owner = &said };
	struct io_outlet *o = NULL;

	close(f->reader);
	f->reader = open("/dev/null", O_RDONLY);
	assert_int_equal(io_outlet_new(&options, &o), ERR_OK);
	assert_true(io_outlet_put(o, TEXT("one")));
	assert_true(io_outlet_put(o, TEXT("two")));
	for (int i = 0; i < 5000 && io_outlet_lost(o) < 2; i++)
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	/* The second put may have found the first already lost, and then the line about that is lost too. */
	assert_in_range(io_outlet_lost(o), 2, 3);
	io_outlet_free(&o, 5000);
	assert_in_range(said, 2, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(lines_come_out_in_order, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_single_line_does_not_wait_for_others, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_stalled_reader_costs_lines_and_hears_how_many, set_up,
		                                tear_down),
		cmocka_unit_test_setup_teardown(a_reader_that_never_reads_does_not_hold_up_the_end, set_up,
		                                tear_down),
		cmocka_unit_test_setup_teardown(a_descriptor_that_others_made_non_blocking_loses_nothing,
		                                set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_closed_pipe_loses_lines_and_counts_them, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
