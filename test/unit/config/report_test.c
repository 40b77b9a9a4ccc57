#include "unit/config/world.h"

static void the_first_twenty_errors_are_shown_and_all_are_counted(void **state)
{
	AUTO(buf_fini) struct buf yaml = BUF(10000);
	struct world w;

	(void)state;
	for (unsigned i = 0; i < 25; i++)
		buf_add_format(&yaml, "nonsense%u: 1\n", i);
	buf_add_octet(&yaml, '\0');
	assert_int_equal(world_load_text(&w, yaml.at), ERR_CONFIG);
	assert_int_equal(w.report.error_count, 25);
	assert_int_equal(w.report.count, CONFIG_ERRORS_SHOWN);
	assert_true(text_find(buf_text(&w.said), TEXT("nonsense19")) < w.said.len);
	assert_true(text_find(buf_text(&w.said), TEXT("nonsense20")) == w.said.len);
	assert_true(text_ends(
		buf_text(&w.said),
		TEXT("25 errors, of which the first 20 are shown; nothing was started or changed.\n")));
	world_fini(&w);
}

static void findings_come_in_the_order_of_lines(void **state)
{
	struct world w;

	(void)state;
	assert_int_equal(
		world_load_text(&w, "routes: [{via: nowhere}]\n"          /* found when all is read */
	                            "spool: {durable: false, path: []}\n" /* an error, and a warning later */
	                            "nonsense: 1\n"),                     /* found first */
		ERR_CONFIG);
	assert_int_equal(w.report.count, 4);
	for (unsigned i = 1; i < 4; i++)
		assert_true(w.report.findings[i - 1].place.line <= w.report.findings[i].place.line);
	assert_int_equal(w.report.findings[1].place.column, 18);
	assert_false(w.report.findings[1].is_error);
	assert_int_equal(w.report.findings[2].place.column, 31);
	world_fini(&w);
}

static void a_finding_has_all_its_parts_for_machines(void **state)
{
	struct world w;
	const struct config_finding *f;

	(void)state;
	assert_int_equal(
		world_load_text(&w, "upstreams: {ses: {hosts: h.example:25}}\nroutes: [{via: sess}]\n"),
		ERR_CONFIG);
	f = &w.report.findings[0];
	assert_true(f->is_error);
	CHECK_TEXT("file", f->place.file, TEXT("c.yaml"));
	assert_int_equal(f->place.line, 2);
	assert_int_equal(f->place.column, 16);
	assert_int_equal(f->mark_at, 15);
	assert_int_equal(f->marked, 4);
	CHECK_TEXT("source", f->source, TEXT("routes: [{via: sess}]"));
	CHECK_TEXT("message", f->message,
	           TEXT("this route goes via \"sess\", but there is no upstream \"sess\""));
	CHECK_TEXT("expected", f->expected, TEXT("one of ses, direct, discard, hold, reject"));
	CHECK_TEXT("hint", f->hint, TEXT("did you mean \"ses\"?"));
	CHECK_TEXT("see", f->see.file, TEXT("c.yaml"));
	assert_int_equal(f->see.line, 1);
	world_fini(&w);
}

static void a_long_line_is_shown_around_the_mark(void **state)
{
	AUTO(buf_fini) struct buf yaml = BUF(10000);
	struct world w;

	(void)state;
	buf_add_string(&yaml, "access: {senders: [");
	for (unsigned i = 0; i < 100; i++)
		buf_add_format(&yaml, "d%u.example, ", i);
	buf_add_string(&yaml, "'wr ong', ");
	for (unsigned i = 0; i < 100; i++)
		buf_add_format(&yaml, "e%u.example, ", i);
	buf_add_string(&yaml, "]}\n");
	buf_add_octet(&yaml, '\0');
	assert_int_equal(world_load_text(&w, yaml.at), ERR_CONFIG);
	assert_true(w.report.findings[0].source.len < 120);
	assert_true(text_starts(text_skip(w.report.findings[0].source, w.report.findings[0].mark_at),
	                        TEXT("'wr ong', e0")));
	assert_int_equal(w.report.findings[0].marked, 8);
	assert_true(text_starts(w.report.findings[0].source, TEXT("...")));
	assert_true(text_ends(w.report.findings[0].source, TEXT("...")));
	world_fini(&w);
}

static const struct {
	const char *name;
	const char *yaml;
} secrets[] = {
	{ "a value", "upstreams: {a: {password: swordfish}}\n" },
	{ "a value in quotes", "upstreams: {a: {\"password\" : \"swordfish\"}}\n" },
	{ "on a line of its own", "upstreams:\n  a:\n    password: swordfish\n" },
	{ "a token", "admin:\n  token: swordfish\n" },
	{ "a secret in an unknown table", "webhooks: [{secret: swordfish}]\n" },
	{ "a word with more before it", "upstreams: {a: {smtp_password: swordfish}}\n" },
	{ "before another error", "upstreams: {a: {password: swordfish, tls: 7}}\n" },
	{ "a token that is the name too",
	  "upstreams: {a: {username: swordfish, password: swordfish, tls: 7}}\n" },
	{ "and stands in quotes",
	  "upstreams: {a: {username: 'swordfish', password: 'swordfish', tls: 7}}\n" },
	{ "a login without a scheme", "upstreams: {a: {hosts: [ann:swordfish@h.example:587]}}\n" },
	{ "a URL", "upstreams: {a: {hosts: 'smtp://ann:swordfish@h.example'}}\n" },
};

static void a_secret_is_never_shown(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(secrets); i++) {
		struct world w;

		CHECK_INT(secrets[i].name, world_load_text(&w, secrets[i].yaml), ERR_CONFIG);
		CHECK(secrets[i].name, text_find(buf_text(&w.said), TEXT("fish")) == w.said.len);
		world_fini(&w);
	}
}

static void a_file_does_not_steer_the_terminal(void **state)
{
	struct world w;

	(void)state;
	assert_int_equal(world_load_text(&w, "\"a\\e[2Jb\": 1\nspool: {path: \"\\e]0;x\\a\"}\n"), ERR_CONFIG);
	for (size_t i = 0; i < w.said.len; i++)
		assert_true(w.said.at[i] == '\n' || (unsigned char)w.said.at[i] >= 0x20);
	world_fini(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_twenty_errors_are_shown_and_all_are_counted),
		cmocka_unit_test(findings_come_in_the_order_of_lines),
		cmocka_unit_test(a_finding_has_all_its_parts_for_machines),
		cmocka_unit_test(a_long_line_is_shown_around_the_mark),
		cmocka_unit_test(a_secret_is_never_shown),
		cmocka_unit_test(a_file_does_not_steer_the_terminal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
