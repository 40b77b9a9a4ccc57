#include <sys/socket.h>
#include <sys/un.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "server/activation.h"
#include "support/check.h"

#define PID 4711

static const struct {
	const char *name;
	const char *environment[5];
	unsigned count;
	const char *names;
} environments[] = {
	{ "nothing", { NULL }, 0, "" },
	{ "two", { "LISTEN_PID=4711", "LISTEN_FDS=2" }, 2, "" },
	{ "names", { "LISTEN_FDNAMES=a:b", "LISTEN_FDS=2", "LISTEN_PID=4711" }, 2, "a:b" },
	{ "another's", { "LISTEN_PID=4712", "LISTEN_FDS=2" }, 0, "" },
	{ "no pid", { "LISTEN_FDS=2" }, 0, "" },
	{ "no number", { "LISTEN_PID=4711", "LISTEN_FDS=x" }, 0, "" },
	{ "negative", { "LISTEN_PID=4711", "LISTEN_FDS=-1" }, 0, "" },
	{ "huge", { "LISTEN_PID=4711", "LISTEN_FDS=99999999" }, 1024, "" },
	{ "a longer name", { "LISTEN_PIDS=4711", "LISTEN_FDS=2" }, 0, "" },
	{ "an empty pid", { "LISTEN_PID=", "LISTEN_FDS=2" }, 0, "" },
};

static void test_reading(void **state)
{
	struct activation a;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(environments); i++) {
		activation_read(&a, environments[i].environment, PID);
		CHECK_INT(environments[i].name, a.count, environments[i].count);
		CHECK_TEXT(environments[i].name, a.names, text_from(environments[i].names));
	}
	activation_read(&a, NULL, PID);
	assert_int_equal(a.count, 0);
}

static void test_what_is_not_there(void **state)
{
	static const struct {
		const char *wanted;
		unsigned count;
		const char *names;
		enum err err;
		const char *words;
	} cases[] = {
		{ "3", 0, "", ERR_NOT_FOUND, "none was passed" },
		{ "2", 1, "", ERR_NOT_FOUND, "there is no inherited descriptor 2: there are 1 from fd:3 on" },
		{ "4", 1, "", ERR_NOT_FOUND, "there is no inherited descriptor 4" },
		{ "99999999999", 1, "", ERR_NOT_FOUND, "is called 99999999999" },
		{ "smtp", 1, "web", ERR_NOT_FOUND,
		  "no inherited descriptor is called smtp: there are 1 from fd:3 on, called web" },
		{ "smtp", 1, "", ERR_NOT_FOUND, "no inherited descriptor is called smtp" },
		{ "b", 1, "a:b", ERR_NOT_FOUND, "no inherited descriptor is called b" },
		{ "a", 3, "a:b:a", ERR_EXISTS, "write fd:3 and fd:5" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct activation a = { cases[i].count, text_from(cases[i].names) };
		AUTO(buf_fini) struct buf problem = BUF(2000);
		int fd = -1;

		CHECK_INT(cases[i].wanted, activation_find(&a, text_from(cases[i].wanted), &fd, &problem),
		          cases[i].err);
		CHECK(cases[i].wanted,
		      text_find(buf_text(&problem), text_from(cases[i].words)) < problem.len);
	}
}

static void test_reports(void **state)
{
	char directory[] = "/tmp/postrider-notify-XXXXXX", path[100], variable[120], got[200] = "";
	struct sockaddr_un here = { .sun_family = AF_UNIX };
	const char *environment[] = { variable, "WATCHDOG_USEC=3000000", "WATCHDOG_PID=4711", NULL };
	const char *of_another[] = { variable, "WATCHDOG_USEC=3000000", "WATCHDOG_PID=4712", NULL };
	struct notify n;
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	(void)state;
	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/notify", directory);
	snprintf(variable, sizeof(variable), "NOTIFY_SOCKET=%s", path);
	snprintf(here.sun_path, sizeof(here.sun_path), "%s", path);
	assert_int_equal(bind(fd, (struct sockaddr *)&here, sizeof(here)), 0);
	notify_open(&n, environment, PID);
	assert_int_equal(n.watchdog_ms, 1500);
	notify_say(&n, "READY=1\nSTATUS=%s", "ready");
	assert_int_equal(recv(fd, got, sizeof(got), 0), 20);
	assert_string_equal(got, "READY=1\nSTATUS=ready");
	notify_close(&n);
	notify_say(&n, "STOPPING=1"); /* nobody hears it */
	assert_int_equal(recv(fd, got, sizeof(got), 0), -1);
	notify_open(&n, of_another, PID);
	assert_int_equal(n.watchdog_ms, 0);
	for (unsigned i = 0; i < 10000; i++) /* whoever does not read does not hold us up */
		notify_say(&n, "STATUS=%u", i);
	notify_close(&n);
	close(fd);
	unlink(path);
	rmdir(directory);
	notify_open(&n, (const char *[]){ "NOTIFY_SOCKET=relative", NULL }, PID);
	assert_int_equal(n.fd, -1);
	notify_open(&n, NULL, PID);
	assert_int_equal(n.fd, -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reading),
		cmocka_unit_test(test_what_is_not_there),
		cmocka_unit_test(test_reports),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
