/* What the commands say and with which code they end, without a daemon. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <postrider/cli.h>

#include "cli.h"
#include "support/cli_world.h"

static const struct {
	const char *line;
	int code;
	const char *out, *err; /* a part of each; NULL: nothing at all */
} cases[] = {
	{ "", 2, NULL, "Commands:" },
	{ "--help", 0, "Commands:", NULL },
	{ "help", 0, "postrider run --demo", NULL },
	{ "help send", 0, "--subject TEXT", NULL },
	{ "send -h", 0, "--subject TEXT", NULL },
	{ "help retry", 0, "--domain DOMAIN", NULL },
	{ "help nothing", 2, NULL, "no command \"nothing\"" },
	{ "help send send", 2, NULL, "too many words" },
	{ "qeue", 2, NULL, "did you mean `postrider queue`?" },
	{ "relaese", 2, NULL, "did you mean `postrider release`?" },
	{ "vers", 2, NULL, "did you mean `postrider version`?" },
	{ "zebra", 2, NULL, "next: `postrider help` lists the commands" },
	{ "queue --domian x", 2, NULL, "did you mean --domain?" },
	{ "queue --subject x", 2, NULL, "no flag --subject for queue" },
	{ "queue -q", 2, NULL, "no flag -q for queue" },
	{ "queue --domain", 2, NULL, "--domain needs a value" },
	{ "queue --all=yes", 2, NULL, "--all takes no value" },
	{ "queue --older 1h --older 2h", 2, NULL, "--older is given twice" },
	{ "queue --by colour", 2, NULL, "not counted by colour" },
	{ "queue --limit 0", 2, NULL, "--limit 0 is no number" },
	{ "show", 2, NULL, "postrider show ID" },
	{ "show a b", 2, NULL, "too many words" },
	{ "drop", 2, NULL, "nothing is selected" },
	{ "drop -n -y", 2, NULL, "nothing is selected" },
	{ "send", 2, NULL, "whom should it go to?" },
	{ "send -t a@b.example --wait 5", 2, NULL, "no time with a unit" },
	{ "version", 0, "commit ", NULL },
	{ "version --json", 0, "\"libraries\":{", NULL },
	{ "sink --listen nowhere", 2, NULL, "--listen nowhere is no address" },
	{ "sink --fail 5", 2, NULL, "no share" },
	{ "sink --fail 101%", 2, NULL, "no share" },
	{ "sink --starttls", 1, NULL, "--starttls needs --cert" },
	{ "sink --without DSN,HUNKING", 2, NULL, "--without HUNKING" },
	{ "sink --without STARTTLS", 2, NULL, "knows no such extension" },
	{ "run --dir x", 2, NULL, "--dir is for --demo" },
	{ "config --schema", 0, "max_message_size", NULL },
	{ "config --json --set hostname=relay.test", 0,
	  "{\"key\":\"hostname\",\"value\":\"relay.test\",\"origin\":\"--set hostname\"}\n", NULL },
	{ "config --json", 0, "\"key\":\"listen[0].address\"", NULL },
	{ "config --env", 0, "POSTRIDER_UPSTREAM", NULL },
	{ "config --reference", 0, "max_message_size", NULL },
	{ "check -c /nowhere/at/all.yaml", 78, NULL, "/nowhere/at/all.yaml" },
	{ "check -c /nowhere/at/all.yaml --json", 78, "\"ok\":false", NULL },
	{ "users", 2, NULL, "users add|list|check" },
	{ "users remove ann", 2, NULL, "users cannot remove" },
	{ "users add", 2, NULL, "users add needs a name" },
	{ "users list ann", 2, NULL, "users list takes no name" },
	{ "users check ann --senders x", 2, NULL, "--senders is for users add" },
	{ "users list", 78, NULL, "the configuration names no users file" },
	{ "users list --file /nowhere/at/all", 1, NULL, "cannot open /nowhere/at/all" },
	{ "users add ann --file /nowhere/at/all", 2, NULL, "no password" },
	{ "verify /nowhere/at/all", 4, NULL, "no spool" },
};

static void commands_end_as_they_should(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct cli_run run = { 0 };

		cli_run(&run, cases[i].line, NULL, false);
		if (run.code != cases[i].code || !strstr(run.out, cases[i].out ? cases[i].out : "") ||
		    !strstr(run.err, cases[i].err ? cases[i].err : "") || (!cases[i].out && *run.out) ||
		    (!cases[i].err && *run.err))
			fail_msg("postrider %s: %d, out: %s, err: %s", cases[i].line, run.code, run.out,
			         run.err);
		cli_run_fini(&run);
	}
}

static void every_command_and_flag_says_what_it_is(void **state)
{
	(void)state;
	for (size_t i = 0; i < cli_verb_count; i++) {
		const struct verb *v = &cli_verbs[i];
		char line[100];
		struct cli_run run = { 0 };

		snprintf(line, sizeof(line), "help %s", v->name);
		cli_run(&run, line, NULL, false);
		assert_int_equal(run.code, 0);
		assert_non_null(strstr(run.out, v->summary));
		for (size_t j = 0; j < v->flag_count; j++)
			assert_non_null(strstr(run.out, v->flags[j].help));
		cli_run_fini(&run);
		/* A letter means one thing within a command. */
		for (size_t j = 0; j < v->flag_count; j++)
			for (size_t k = 0; k < v->flag_count + cli_global_flag_count; k++) {
				const struct flag *other = k < v->flag_count
				                                   ? &v->flags[k]
				                                   : &cli_global_flags[k - v->flag_count];

				if (&v->flags[j] != other && v->flags[j].letter)
					assert_int_not_equal(v->flags[j].letter, other->letter);
			}
	}
}

/* ---------------------------------------------------------------- what was given */

static void parse(struct cli *cli, struct cli_world *world, char **argv)
{
	*cli = (struct cli){ .world = world, .out = stdout, .err = stderr };
	*world = (struct cli_world){ .argv = argv };
	while (argv[world->argc])
		world->argc++;
	assert_int_equal(cli_parse(cli), EXIT_DONE);
}

static void flags_are_understood_in_every_form(void **state)
{
	(void)state;
	char *argv[] = { (char[]){ "postrider" },
		         (char[]){ "-cone.yaml" },
		         (char[]){ "drop" },
		         (char[]){ "01A" },
		         (char[]){ "-ny" },
		         (char[]){ "--to=a@b" },
		         (char[]){ "--to" },
		         (char[]){ "c@d" },
		         (char[]){ "--" },
		         (char[]){ "-odd" },
		         NULL };
	struct cli_world world;
	struct cli cli;
	size_t at = 0;

	parse(&cli, &world, argv);
	assert_string_equal(cli.verb->name, "drop");
	assert_string_equal(cli_value(&cli, "config"), "one.yaml");
	assert_true(cli_has(&cli, "dry-run") && cli_has(&cli, "yes") && !cli_has(&cli, "all"));
	assert_string_equal(cli_next_value(&cli, "to", &at), "a@b");
	assert_string_equal(cli_next_value(&cli, "to", &at), "c@d");
	assert_null(cli_next_value(&cli, "to", &at));
	at = 0;
	assert_string_equal(cli_next_value(&cli, NULL, &at), "01A");
	assert_string_equal(cli_next_value(&cli, NULL, &at), "-odd");
	free(cli.given);
}

static void a_selection_becomes_a_query(void **state)
{
	(void)state;
	char *argv[] = { (char[]){ "postrider" }, (char[]){ "drop" },   (char[]){ "01A" },
		         (char[]){ "--to" },      (char[]){ "a&b@c" },  (char[]){ "--all" },
		         (char[]){ "-n" },        (char[]){ "--json" }, NULL };
	AUTO(buf_fini) struct buf target = BUF(1000);
	struct cli_world world;
	struct cli cli;

	parse(&cli, &world, argv);
	buf_add_string(&target, "/v1/queue/drop");
	assert_true(cli_add_query(&cli, &target));
	assert_true(text_eq(buf_text(&target), TEXT("/v1/queue/drop?id=01A&to=a%26b%40c&all=")));
	free(cli.given);
}

/* ---------------------------------------------------------------- a daemon that is not there */

static void no_daemon_is_said_with_the_paths_and_the_next_step(void **state)
{
	(void)state;
	struct cli_run run = { 0 };

	cli_run(&run, "queue --set admin.socket=/nowhere/admin.sock", NULL, false);
	assert_int_equal(run.code, 3);
	assert_string_equal(run.out, "");
	assert_non_null(strstr(run.err, "/nowhere/admin.sock: no such file"));
	assert_non_null(strstr(run.err, "next: start it with `postrider run`"));
	cli_run_fini(&run);
	cli_run(&run, "health --set spool.path=/nowhere/spool", NULL, false);
	assert_int_equal(run.code, 3);
	assert_non_null(strstr(run.err, "/run/postrider/admin.sock: "));
	assert_non_null(strstr(run.err, "/nowhere/spool/admin.sock: no such file"));
	cli_run_fini(&run);
}

static void a_broken_configuration_does_not_keep_one_from_asking(void **state)
{
	(void)state;
	struct cli_run run = { 0 };

	cli_run(&run, "queue --set no.such.key=1", NULL, false);
	assert_int_equal(run.code, 3);
	assert_non_null(strstr(run.err, "no.such.key"));
	assert_non_null(strstr(run.err, "usual place"));
	cli_run_fini(&run);
}

/* ---------------------------------------------------------------- printing */

static void controls_do_not_reach_the_terminal(void **state)
{
	(void)state;
	size_t len;
	char *printed;
	FILE *out = open_memstream(&printed, &len);
	struct cli cli = { .out = out };

	cli_put(&cli, TEXT("a\x1b[31mb\r\n\x7f\xc2\x9b"
	                   "c\xc3\xbc\0d"));
	fputc('|', out);
	cli_put_cell(&cli,
	             TEXT("gr\xc3\xbc\xc3\x9f"
	                  "e"),
	             7);
	fputc('|', out);
	cli_put_cell(&cli,
	             TEXT("gr\xc3\xbc\xc3\x9f"
	                  "e"),
	             4);
	fputc('|', out);
	cli_put_cell_right(&cli, TEXT("12"), 4);
	fclose(out);
	assert_string_equal(printed, "a?[31mb????c\xc3\xbc?d|gr\xc3\xbc\xc3\x9f"
	                             "e  |gr\xc3\xbc\xe2\x80\xa6|  12");
	free(printed);
}

static const struct {
	int64_t bytes;
	const char *words;
} sizes[] = {
	{ 0, "0 B" },
	{ 999, "999 B" },
	{ 1000, "1.0 KB" },
	{ 18200, "18.2 KB" },
	{ 999949, "999.9 KB" },
	{ 999950, "1.0 MB" },
	{ 25000000, "25.0 MB" },
	{ INT64_C(20000000000), "20.0 GB" },
};

static void sizes_are_short(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		AUTO(buf_fini) struct buf b = BUF(100);

		cli_add_size(&b, sizes[i].bytes);
		if (!text_eq(buf_text(&b), text_from(sizes[i].words)))
			fail_msg("%lld: %.*s", (long long)sizes[i].bytes, TEXT_ARGS(buf_text(&b)));
	}
}

static const struct {
	const char *text;
	int64_t ms;
} times[] = {
	{ "1970-01-01T00:00:00Z", 0 },
	{ "2026-01-02T12:04:05.678901Z", INT64_C(1767355445678) },
	{ "2024-02-29T23:59:59.999Z", INT64_C(1709251199999) },
	{ "2100-03-01T00:00:00.000000Z", INT64_C(4107542400000) },
	{ "yesterday", 0 },
	{ "2026-01-02", 0 },
	{ "", 0 },
};

static void times_read_back(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(times); i++) {
		AUTO(buf_fini) struct buf b = BUF(100);
		AUTO(json_free) struct json *v = NULL;

		buf_add_format(&b, "\"%s\"", times[i].text);
		assert_int_equal(json_parse(buf_text(&b), &v, NULL), ERR_OK);
		if (cli_time(v) != times[i].ms)
			fail_msg("%s: %lld", times[i].text, (long long)cli_time(v));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(commands_end_as_they_should),
		cmocka_unit_test(every_command_and_flag_says_what_it_is),
		cmocka_unit_test(flags_are_understood_in_every_form),
		cmocka_unit_test(a_selection_becomes_a_query),
		cmocka_unit_test(no_daemon_is_said_with_the_paths_and_the_next_step),
		cmocka_unit_test(a_broken_configuration_does_not_keep_one_from_asking),
		cmocka_unit_test(controls_do_not_reach_the_terminal),
		cmocka_unit_test(sizes_are_short),
		cmocka_unit_test(times_read_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
