/* Commands by the real runner, asked from the real loop. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <postrider/config.h>
#include <postrider/io/uv.h>

#include "server/commands.h"
#include "support/check.h"
#include "support/streams.h"

#define TIME_MS 1500
#define SAID_MAX 20000

struct world {
	struct runner runner;
	struct io *io;
	struct commands *commands;
	struct auth_commands face;
	char directory[64];
};

struct asked {
	struct auth_command *command;
	unsigned done;
	enum err err;
	int exit_code;
	char said[SAID_MAX], complaint[2000];
	size_t said_len;
};

static const struct config *load(const char *const *commands, size_t count)
{
	AUTO(buf_fini) struct buf yaml = BUF(1 << 20);
	struct config_report report;
	const struct config *config = NULL;
	AUTO(buf_fini) struct buf words = BUF(10000);

	buf_add_string(&yaml,
	               "hostname: relay.example\nlisten: [{address: \"127.0.0.1:2525\"}]\nupstreams:\n");
	for (size_t i = 0; i < count; i++)
		buf_add_format(
			&yaml,
			"  u%zu: {hosts: [\"h.example:587\"], tls: require, username: a, auth: xoauth2, oauth2: "
			"{token_command: '%s'}}\n",
			i, commands[i]);
	buf_add_string(&yaml, "  plain: {hosts: [\"h.example:587\"]}\nroutes:\n");
	for (size_t i = 0; i < count; i++)
		buf_add_format(&yaml, "  - {to: d%zu.example, via: u%zu}\n", i, i);
	buf_add_string(&yaml, "  - {to: any, via: plain}\n");
	const struct config_sources sources = { .file = LIT("test.yaml"), .text = buf_text(&yaml) };

	config_report_init(&report);
	if (config_load(&sources, &config, &report)) {
		config_report_print(&report, &words);
		fail_msg("%.*s", TEXT_ARGS(buf_text(&words)));
	}
	config_report_fini(&report);
	return config;
}

static const char *const environment[] = { "POSTRIDER_SECRET=x", "LISTEN_FDS=3",     "HOME=/nowhere",
	                                   "WHERE=here",         "NOTIFY_SOCKET=/x", NULL };

static void begin(struct world *w, const char *const *commands, size_t count)
{
	AUTO(buf_fini) struct buf problem = BUF(1000);
	const struct config *config = load(commands, count);

	*w = (struct world){ .io = NULL };
	snprintf(w->directory, sizeof(w->directory), "/tmp/postrider-runner-XXXXXX");
	assert_non_null(mkdtemp(w->directory));
	assert_int_equal(setenv("IGNORED", "x", 1), 0);
	assert_int_equal(runner_start(config, environment, TIME_MS, &w->runner, &problem), ERR_OK);
	assert_int_equal(w->runner.count, count);
	config_unref(&config);
	assert_int_equal(io_uv_new(&(struct io_uv_options){ 0 }, &w->io), ERR_OK);
	assert_int_equal(commands_new(w->io, &w->runner, &w->commands), ERR_OK);
	w->face = commands_face(w->commands);
}

static void end(struct world *w)
{
	char command[200];

	commands_free(&w->commands);
	io_uv_free(&w->io);
	runner_fini(&w->runner);
	snprintf(command, sizeof(command), "rm -rf %s", w->directory);
	assert_int_equal(system(command), 0);
}

static void on_done(void *owner, enum err err, int exit_code, struct text output, struct text first_error)
{
	struct asked *a = owner;

	a->command = NULL;
	a->done++;
	a->err = err;
	a->exit_code = exit_code;
	assert_true(output.len < SAID_MAX);
	a->said_len = output.len;
	snprintf(a->said, sizeof(a->said), "%.*s", TEXT_ARGS(output));
	snprintf(a->complaint, sizeof(a->complaint), "%.*s", TEXT_ARGS(first_error));
}

static void ask(struct world *w, const char *command, struct asked *a)
{
	*a = (struct asked){ .done = 0 };
	assert_int_equal(w->face.run(w->face.owner, text_from(command), &a->command, on_done, a), ERR_OK);
	assert_int_equal(a->done, 0);
}

static struct asked *answer_to(struct world *w, const char *command)
{
	struct asked *a = calloc(1, sizeof(*a));

	assert_non_null(a);
	ask(w, command, a);
	LOOP_UNTIL(w->io, a->done);
	return a;
}

static bool is_alive(pid_t pid)
{
	return kill(pid, 0) == 0;
}

static const struct {
	const char *name, *command;
	enum err err;
	int exit_code;
	const char *said, *complaint;
} rows[] = {
	{ "a token", "echo token", ERR_OK, 0, "token\n", "" },
	{ "in pieces", "printf a; sleep 0.1; printf b", ERR_OK, 0, "ab", "" },
	{ "nothing", "true", ERR_OK, 0, "", "" },
	{ "an exit code", "echo half; exit 3", ERR_OK, 3, "half\n", "" },
	{ "a complaint", "echo \"no key\" >&2; echo \"second line\" >&2; exit 1", ERR_OK, 1, "", "no key" },
	{ "an empty line first", "printf \"\\n\\nthird\\n\" >&2; exit 1", ERR_OK, 1, "", "third" },
	{ "a signal", "kill -USR1 $$", ERR_OK, 138, "", "" },
	{ "no such program", "/nowhere/program 2>/dev/null", ERR_OK, 127, "", "" },
	{ "standard input is empty", "cat; echo $?", ERR_OK, 0, "0\n", "" },
	{ "the environment", "echo $WHERE-$POSTRIDER_SECRET-$LISTEN_FDS-$NOTIFY_SOCKET-$IGNORED", ERR_OK, 0,
	  "here----\n", "" },
	{ "a home of the user", "test \"$HOME\" != /nowhere && test -n \"$HOME\" && echo yes", ERR_OK, 0,
	  "yes\n", "" },
	{ "no descriptors of ours", "ls /proc/self/fd | wc -l", ERR_OK, 0, "4\n", "" },
	{ "the usual signals", "kill -TERM $$", ERR_OK, 143, "", "" },
	{ "time", "sleep 60", ERR_TIMEOUT, 137, "", "" },
	{ "time, with a child that holds on", "sleep 60 & wait", ERR_TIMEOUT, 137, "", "" },
	{ "too much", "head -c 17000 /dev/zero", ERR_TOO_BIG, 137, "", "" },
	{ "too much for ever", "yes", ERR_TOO_BIG, 137, "", "" },
	{ "complaints for ever", "yes no >&2", ERR_TIMEOUT, 137, "", "no" },
	{ "what runs on is not waited for", "sleep 60 & echo done", ERR_OK, 0, "done\n", "" },
	{ "the most", "head -c 16384 /dev/zero | tr \"\\\\0\" x", ERR_OK, 0, NULL, "" },
};

static void what_commands_say(void **state)
{
	const char *commands[ARRAY_LEN(rows)];
	struct world w;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		commands[i] = rows[i].command;
	begin(&w, commands, ARRAY_LEN(rows));
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct asked *a = answer_to(&w, rows[i].command);
		const char *row = rows[i].name;

		CHECK_INT(row, a->err, rows[i].err);
		if (!a->err || a->exit_code)
			CHECK(row, a->err || a->exit_code == rows[i].exit_code);
		CHECK_TEXT(row, text_from(a->complaint), text_from(rows[i].complaint));
		if (rows[i].said)
			CHECK_TEXT(row, text_from(a->said), text_from(rows[i].said));
		else
			CHECK_INT(row, a->said_len, RUNNER_OUTPUT_MAX);
		free(a);
	}
	end(&w);
}

static void what_it_leaves_running_is_killed(void **state)
{
	static const char *const commands[] = { "sleep 60 & echo $!" };
	struct world w;

	(void)state;
	begin(&w, commands, 1);
	struct asked *a = answer_to(&w, commands[0]);
	pid_t pid = (pid_t)atoi(a->said);

	if (pid <= 1)
		fail_msg("err %d, code %d, said %s, complaint %s", a->err, a->exit_code, a->said,
		         a->complaint);
	LOOP_UNTIL(w.io, !is_alive(pid));
	free(a);
	end(&w);
}

static void others_are_not_run(void **state)
{
	static const char *const commands[] = { "echo a" };
	struct asked a = { .done = 0 };
	struct world w;

	(void)state;
	begin(&w, commands, 1);
	assert_int_equal(w.face.run(w.face.owner, TEXT("echo b"), &a.command, on_done, &a), ERR_DENIED);
	assert_int_equal(w.face.run(w.face.owner, TEXT("echo a "), &a.command, on_done, &a), ERR_DENIED);
	assert_null(a.command);
	end(&w);
}

static void a_cancelled_one_is_killed(void **state)
{
	char command[200];
	const char *const commands[] = { command, "echo $PPID" };
	struct asked a;
	struct stat st;
	struct world w;

	(void)state;
	snprintf(command, sizeof(command), "sleep 0.2; touch /tmp/postrider-runner-%d", (int)getpid());
	begin(&w, commands, 2);
	ask(&w, commands[0], &a);
	loop_for(w.io, 50);
	w.face.cancel(w.face.owner, &a.command);
	assert_null(a.command);
	loop_for(w.io, 500);
	assert_int_equal(a.done, 0);
	assert_int_not_equal(stat(command + strlen("sleep 0.2; touch "), &st), 0);
	free(answer_to(&w, commands[1])); /* and the runner goes on */
	end(&w);
}

static void many_run_at_once(void **state)
{
	static const char *const commands[] = { "sleep 0.2; echo x" };
	struct asked *all = calloc(RUNNER_AT_ONCE + 3, sizeof(*all));
	unsigned good = 0, busy = 0;
	struct world w;

	(void)state;
	begin(&w, commands, 1);
	for (size_t i = 0; i < RUNNER_AT_ONCE + 3; i++)
		ask(&w, commands[0], &all[i]);
	for (size_t i = 0; i < RUNNER_AT_ONCE + 3; i++) {
		LOOP_UNTIL(w.io, all[i].done);
		good += all[i].err == ERR_OK && strcmp(all[i].said, "x\n") == 0;
		busy += all[i].err == ERR_BUSY;
	}
	assert_int_equal(good, RUNNER_AT_ONCE);
	assert_int_equal(busy, 3);
	free(all);
	end(&w);
}

static void a_runner_that_dies_is_an_error(void **state)
{
	static const char *const commands[] = { "kill -9 $PPID", "sleep 5" };
	struct asked one, two;
	struct world w;

	(void)state;
	begin(&w, commands, 2);
	ask(&w, commands[1], &two);
	ask(&w, commands[0], &one);
	LOOP_UNTIL(w.io, one.done && two.done);
	assert_int_equal(one.err, ERR_CLOSED);
	assert_int_equal(two.err, ERR_CLOSED);
	assert_int_equal(w.face.run(w.face.owner, text_from(commands[0]), &one.command, on_done, &one),
	                 ERR_CLOSED);
	end(&w);
}

/* Whoever stops the relay stops all of its processes: the runner waits for the relay. */
static void it_ends_with_the_relay_and_not_before(void **state)
{
	static const char *const commands[] = {
		"kill -TERM $PPID; kill -INT $PPID; kill -HUP $PPID; echo $PPID",
		"sleep 60 & echo $! >&2; wait"
	};
	struct asked *a;
	struct asked running;
	struct world w;

	(void)state;
	begin(&w, commands, 2);
	free(answer_to(&w, commands[0]));
	a = answer_to(&w, commands[0]);
	pid_t pid = (pid_t)atoi(a->said);

	free(a);
	assert_true(pid > 1 && is_alive(pid));
	ask(&w, commands[1], &running);
	loop_for(w.io, 100);
	end(&w);
	for (unsigned i = 0; i < 1000 && is_alive(pid); i++)
		usleep(10000);
	assert_false(is_alive(pid));
}

static void none_is_forked_for_nothing(void **state)
{
	AUTO(buf_fini) struct buf problem = BUF(1000);
	const struct config *config = load(NULL, 0);
	struct runner r;

	(void)state;
	assert_int_equal(runner_start(config, environment, TIME_MS, &r, &problem), ERR_OK);
	assert_int_equal(r.fd, -1);
	assert_int_equal(r.count, 0);
	config_unref(&config);
	runner_fini(&r);
}

static void another_configuration_may_need_a_restart(void **state)
{
	static const char *const commands[] = { "mail-token --password x", "other-token --password y" };
	AUTO(buf_fini) struct buf problem = BUF(1000);
	const struct config *one = load(commands, 1), *two = load(commands, 2);
	struct world w;

	(void)state;
	begin(&w, commands, 1);
	assert_int_equal(runner_check(&w.runner, one, &problem), ERR_OK);
	assert_int_equal(runner_check(&w.runner, two, &problem), ERR_CONFIG);
	CHECK_TEXT(
		"problem", buf_text(&problem),
		TEXT("token_command other-token was not in the configuration that the relay started with, and it runs only "
	             "those: restart"));
	config_unref(&one);
	config_unref(&two);
	end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_commands_say),
		cmocka_unit_test(what_it_leaves_running_is_killed),
		cmocka_unit_test(others_are_not_run),
		cmocka_unit_test(a_cancelled_one_is_killed),
		cmocka_unit_test(many_run_at_once),
		cmocka_unit_test(a_runner_that_dies_is_an_error),
		cmocka_unit_test(it_ends_with_the_relay_and_not_before),
		cmocka_unit_test(none_is_forked_for_nothing),
		cmocka_unit_test(another_configuration_may_need_a_restart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
