#include "unit/config/world.h"

static void included_files_are_read_at_their_place_in_order(void **state)
{
	struct world w = {
		.files = { { "/etc/p/main.yaml", "upstreams: {a: {hosts: [a.example:25]}}\n"
		                                 "include: [conf.d/*.yaml, /more.yaml]\n"
		                                 "routes: [{via: a}]\n" },
		           { "/etc/p/conf.d/20.yaml", "routes: [{to: second.example, via: b}]\n" },
		           { "/etc/p/conf.d/10.yaml",
		             "routes: [{to: first.example, via: b}]\nupstreams: {b: {hosts: [b.example:25]}}\n" },
		           { "/more.yaml", "routes: [{to: third.example, via: b}]\nspool:\n" },
		           { "/etc/p/conf.d/30.txt", "not: read\n" } }
	};
	static const char *const to[] = { "first.example", "second.example", "third.example", "any" };

	(void)state;
	world_must_load(&w);
	assert_int_equal(w.config->routes.count, 4);
	for (size_t i = 0; i < 4; i++)
		CHECK_TEXT(to[i], w.config->routes.items[i].to.items[0].text, text_from(to[i]));
	CHECK_TEXT("place", w.config->routes.items[1].place.file, TEXT("/etc/p/conf.d/20.yaml"));
	assert_int_equal(w.config->upstreams.count, 2);
	world_fini(&w);
}

static const struct {
	const char *name;
	struct world_file files[3];
	const char *said;
} bad[] = {
	{ "a value in two files",
	  { { "m.yaml", "include: x.yaml\nhostname: a.example\n" },
	    { "x.yaml", "# x\nhostname: b.example\n" } },
	  "m.yaml:2:1: error: \"hostname\" is set in another file too\n"
	  "    2 | hostname: a.example\n"
	  "      | ^^^^^^^^\n"
	  "  hint: keep one of them (defined at x.yaml:2)\n"
	  "\n"
	  "1 error; nothing was started or changed.\n" },
	{ "a file that is not there",
	  { { "m.yaml", "include: [x.yaml]\n" } },
	  "m.yaml:1:11: error: cannot read x.yaml: no such thing\n"
	  "    1 | include: [x.yaml]\n"
	  "      |           ^^^^^^\n"
	  "\n"
	  "1 error; nothing was started or changed.\n" },
	{ "a file that may not be read",
	  { { "m.yaml", NULL } },
	  "m.yaml: error: cannot read m.yaml: permission denied\n"
	  "  it belongs to root, mode 0600; we are nobody\n"
	  "  hint: chmod 0640 m.yaml\n"
	  "\n"
	  "1 error; nothing was started or changed.\n" },
	{ "an included file that includes",
	  { { "m.yaml", "include: [x.yaml]\n" }, { "x.yaml", "include: [m.yaml]\n" } },
	  "x.yaml:1:1: error: an included file cannot include others\n"
	  "    1 | include: [m.yaml]\n"
	  "      | ^^^^^^^\n"
	  "  hint: list all of them in m.yaml\n"
	  "\n"
	  "1 error; nothing was started or changed.\n" },
	{ "no path",
	  { { "m.yaml", "include: [{a: b}]\n" } },
	  "m.yaml:1:11: error: not the path of a file\n"
	  "    1 | include: [{a: b}]\n"
	  "      |           ^^^^^^^\n"
	  "  expected: include: [conf.d/*.yaml]\n"
	  "\n"
	  "1 error; nothing was started or changed.\n" },
	{ "errors of all files at once, in their order, and none that follow from a broken file",
	  { { "m.yaml", "include: [x.yaml, y.yaml]\nroutes: [{via: there}]\nstop: {drain: 5}\n" },
	    { "x.yaml", "upstreams: {there: {hosts: [\n" },
	    { "y.yaml", "hostnam: a.example\n" } },
	  "m.yaml:3:15: error: drain needs a unit: \"5\"\n"
	  "    3 | stop: {drain: 5}\n"
	  "      |               ^\n"
	  "  expected: a duration such as 30s, 5m, 4h or 5d, from 0s to 1d\n"
	  "  hint: did you mean \"5s\"?\n"
	  "\n"
	  "x.yaml:2:1: error: a value is missing, or begins with what no value can begin with\n"
	  "\n"
	  "y.yaml:1:1: error: unknown key \"hostnam\"\n"
	  "    1 | hostnam: a.example\n"
	  "      | ^^^^^^^\n"
	  "  hint: did you mean \"hostname\"?\n"
	  "\n"
	  "3 errors; nothing was started or changed.\n" },
};

static void trouble_with_files_is_said(void **state)
{
	unsigned wrong = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct world w = { .config = NULL };

		memcpy(w.files, bad[i].files, sizeof(bad[i].files));
		CHECK_INT(bad[i].name, world_load(&w), ERR_CONFIG);
		wrong += !world_said(&w, bad[i].name, bad[i].said);
		world_fini(&w);
	}
	assert_int_equal(wrong, 0);
}

static void a_pattern_that_finds_nothing_is_fine(void **state)
{
	struct world w = { .files = { { "m.yaml", "include: [conf.d/*.yaml]\n" } } };

	(void)state;
	world_must_load(&w);
	world_fini(&w);
}

static enum err load_of(struct config_sources *sources, size_t *errors)
{
	struct config_report report;
	const struct config *config = NULL;

	config_report_init(&report);
	enum err err = config_load(sources, &config, &report);

	*errors = report.error_count;
	config_unref(&config);
	config_report_fini(&report);
	return err;
}

static void only_the_default_file_may_be_missing(void **state)
{
	struct world none = { .config = NULL };
	struct config_sources sources = { .file = TEXT("/none.yaml"),
		                          .read_file = world_read,
		                          .owner = &none };
	size_t errors;

	(void)state;
	assert_int_equal(load_of(&sources, &errors), ERR_CONFIG);
	assert_int_equal(errors, 1);
	sources.file_is_optional = true;
	assert_int_equal(load_of(&sources, &errors), ERR_OK);
	none.files[0] = (struct world_file){ "/none.yaml", NULL };
	assert_int_equal(load_of(&sources, &errors), ERR_CONFIG);
}

static void a_built_in_text_stands_for_the_file(void **state)
{
	struct config_sources sources = { .file = TEXT("demo"), .text = TEXT("hostname: a b\n") };
	size_t errors;

	(void)state;
	assert_int_equal(load_of(&sources, &errors), ERR_CONFIG);
	assert_int_equal(errors, 1);
	sources.text = TEXT("hostname: demo.example\n");
	assert_int_equal(load_of(&sources, &errors), ERR_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(included_files_are_read_at_their_place_in_order),
		cmocka_unit_test(trouble_with_files_is_said),
		cmocka_unit_test(a_pattern_that_finds_nothing_is_fine),
		cmocka_unit_test(only_the_default_file_may_be_missing),
		cmocka_unit_test(a_built_in_text_stands_for_the_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
