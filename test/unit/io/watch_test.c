#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <postrider/io/uv.h>
#include <postrider/io/watch.h>

#include "support/streams.h"

static void count(void *owner)
{
	++*(unsigned *)owner;
}

static void touch(const char *directory, const char *name)
{
	char path[200];

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	unlink(path);
}

static void changes_are_heard_until_it_is_closed(void **state)
{
	char directory[] = "/tmp/postrider-watch-XXXXXX";
	struct io *io = NULL;
	struct io_watch *watch = NULL, *other = NULL;
	unsigned heard = 0, unheard = 0;

	(void)state;
	assert_non_null(mkdtemp(directory));
	assert_int_equal(io_uv_new(NULL, &io), ERR_OK);
	assert_int_equal(io_watch_open(io, "/tmp/postrider-nowhere/at-all", count, &heard, &watch),
	                 ERR_NOT_FOUND);
	assert_int_equal(io_watch_open(io, directory, count, &heard, &watch), ERR_OK);
	assert_int_equal(io_watch_open(io, directory, count, &unheard, &other), ERR_OK);
	io_watch_close(&other);
	assert_null(other);
	touch(directory, "a");
	LOOP_UNTIL(io, heard > 0);
	assert_int_equal(unheard, 0);
	io_uv_free(&io); /* an open one goes with its world */
	rmdir(directory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(changes_are_heard_until_it_is_closed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
