#include "unit/config/world.h"

static const struct {
	const char *name;
	const char *yaml;
	const char *path; /* the spool's; NULL: refused */
	const char *wrong;
} cases[] = {
	{ "a variable", "spool: {path: '${env:BASE}/spool'}", "/base/spool", NULL },
	{ "twice", "spool: {path: '${env:BASE}${env:BASE}'}", "/base/base", NULL },
	{ "an empty variable", "spool: {path: '/x${env:EMPTY}'}", "/x", NULL },
	{ "a file without its line end", "spool: {path: '/${file:/run/name}/x'}", "/ann/x", NULL },
	{ "a doubled dollar", "spool: {path: '/$${env:BASE}'}", "/${env:BASE}", NULL },
	{ "a dollar alone", "spool: {path: /$x$}", "/$x$", NULL },
	{ "what is put in is not expanded again", "spool: {path: '${env:TRICK}'}", "${env:BASE}", NULL },
	{ "no such variable", "spool: {path: '${env:NONE}'}", NULL, "there is no environment variable NONE" },
	{ "a variable that begins like one", "spool: {path: '${env:BAS}'}", NULL,
	  "there is no environment variable BAS" },
	{ "no such file", "spool: {path: '${file:/none}'}", NULL, "cannot read /none: no such thing" },
	{ "a file that may not be read", "spool: {path: '${file:/run/secret}'}", NULL,
	  "cannot read /run/secret: permission denied" },
	{ "something else", "spool: {path: '${cmd:ls}'}", NULL, "what is ${cmd:ls}?" },
	{ "no name", "spool: {path: '${env:}'}", NULL, "what is ${env:}?" },
	{ "no end", "spool: {path: '${env:BASE'}", NULL, "${ without }" },
	{ "a file with two lines", "spool: {path: '${file:/run/lines}'}", NULL,
	  "path has octets in it that are no text, or is far too long" },
};

static void variables_and_files_are_put_in(void **state)
{
	unsigned wrong = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct world w = { .files = { { "c.yaml", cases[i].yaml },
			                      { "/run/name", "ann\n" },
			                      { "/run/lines", "a\nb\n" },
			                      { "/run/secret", NULL } },
			           .environment = { "BASE=/base", "EMPTY=", "TRICK=${env:BASE}" } };
		enum err err = world_load(&w);
		bool good = cases[i].path ? !err && text_eq(w.config->spool.path, text_from(cases[i].path))
		                          : err == ERR_CONFIG && w.report.error_count == 1 &&
		                                    text_eq(w.report.findings[0].message,
		                                            text_from(cases[i].wrong));

		if (!good)
			print_error("%s: %.*s\n", cases[i].name, TEXT_ARGS(buf_text(&w.said)));
		wrong += !good;
		world_fini(&w);
	}
	assert_int_equal(wrong, 0);
}

/* A password may look like something to put in: what stands in it is not shown. */
static void of_a_secret_nothing_is_said(void **state)
{
	struct world w = { .files = { { "c.yaml", "upstreams: {a: {hosts: a.example:587, username: u}}" } },
		           .environment = { "POSTRIDER__UPSTREAMS__A__PASSWORD=x${swordfish}y" } };

	(void)state;
	assert_int_equal(world_load(&w), ERR_CONFIG);
	assert_true(text_find(buf_text(&w.said), TEXT("what is ${***}?")) < w.said.len);
	assert_true(text_find(buf_text(&w.said), TEXT("swordfish")) == w.said.len);
	world_fini(&w);
}

static void a_number_may_come_from_a_variable(void **state)
{
	struct world w = { .files = { { "c.yaml", "access: {max_hops: '${env:HOPS}'}" } },
		           .environment = { "HOPS=33" } };

	(void)state;
	world_must_load(&w);
	assert_int_equal(w.config->access.max_hops, 33);
	world_fini(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(variables_and_files_are_put_in),
		cmocka_unit_test(of_a_secret_nothing_is_said),
		cmocka_unit_test(a_number_may_come_from_a_variable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
