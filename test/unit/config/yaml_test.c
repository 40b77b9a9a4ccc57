#include "unit/config/world.h"

/* What is not the YAML we take, to the letter. */
static const struct {
	const char *name;
	const char *yaml;
	const char *said;
} bad[] = {
	{ "a tab as indentation",
	  "spool:\n"
	  "\tpath: /x\n",
	  "c.yaml:2:1: error: a tab: YAML is indented with spaces\n"
	  "    2 |  path: /x\n"
	  "      | ^\n"
	  "  hint: replace it by spaces; inside quotes a tab is fine\n"
	  "\n"
	  "1 error; nothing was started or changed.\n" },
	{ "a tab behind a key", "spool: {path:\t/x}\n",
	  "c.yaml:1:14: error: a tab: YAML is indented with spaces\n"
	  "    1 | spool: {path: /x}\n"
	  "      |              ^\n"
	  "  hint: replace it by spaces; inside quotes a tab is fine\n"
	  "\n"
	  "1 error; nothing was started or changed.\n" },
	{ "a key twice",
	  "hostname: a.example\n"
	  "spool: {}\n"
	  "hostname: b.example\n",
	  "c.yaml:3:1: error: \"hostname\" is set twice in this table\n"
	  "    3 | hostname: b.example\n"
	  "      | ^^^^^^^^\n"
	  "  hint: keep one of them (defined at c.yaml:1)\n"
	  "\n"
	  "1 error; nothing was started or changed.\n" },
	{ "an anchor that is not there", "access: {senders: *ours}\n",
	  "c.yaml:1:19: error: *ours names nothing: there is no &ours above\n"
	  "    1 | access: {senders: *ours}\n"
	  "      |                   ^^^^^\n"
	  "  hint: a value that begins with * needs quotes\n"
	  "\n"
	  "1 error; nothing was started or changed.\n" },
	{ "a value inside itself", "access: &a {senders: *a}\n",
	  "c.yaml:1:22: error: *a stands inside what it names\n"
	  "    1 | access: &a {senders: *a}\n"
	  "      |                      ^^\n"
	  "  hint: a value that begins with * needs quotes\n"
	  "\n"
	  "1 error; nothing was started or changed.\n" },
	{ "a star", "access: {senders: *.example.com}\n",
	  "c.yaml:1:20: error: a * or & that names nothing\n"
	  "    1 | access: {senders: *.example.com}\n"
	  "      |                    ^\n"
	  "  hint: a value that begins with * or & needs quotes; subdomains are written .example.com\n"
	  "\n"
	  "1 error; nothing was started or changed.\n" },
	{ "an IPv6 address without quotes",
	  "listen:\n"
	  "  - address: [::1]:25\n",
	  "c.yaml:2:15: error: a value is missing, or begins with what no value can begin with\n"
	  "    2 |   - address: [::1]:25\n"
	  "      |               ^\n"
	  "  hint: an IPv6 address needs quotes: \"::1\", \"[::1]:25\"\n"
	  "\n"
	  "1 error; nothing was started or changed.\n" },
	{ "indentation that fits nowhere",
	  "spool:\n"
	  "    path: /x\n"
	  "  durable: true\n",
	  "c.yaml:3:3: error: this does not fit the lines above it\n"
	  "    3 |   durable: true\n"
	  "      |   ^\n"
	  "  hint: keys of one table stand at the same column\n"
	  "\n"
	  "1 error; nothing was started or changed.\n" },
	{ "a colon inside a value", "hostname: a: b\n",
	  "c.yaml:1:12: error: a \": \" where no key can stand\n"
	  "    1 | hostname: a: b\n"
	  "      |            ^\n"
	  "  hint: the indentation may be off here or in the line above; a value with \": \" in it needs quotes\n"
	  "\n"
	  "1 error; nothing was started or changed.\n" },
	{ "a list that is not closed", "dns: {servers: [127.0.0.1, timeout: 5s}\n",
	  "c.yaml:1:39: error: a list is not closed, or a comma is missing\n"
	  "    1 | dns: {servers: [127.0.0.1, timeout: 5s}\n"
	  "      |                                       ^\n"
	  "\n"
	  "1 error; nothing was started or changed.\n" },
	{ "a quote that is not closed",
	  "hostname: \"a.example\n"
	  "spool: {}\n",
	  "c.yaml:1:11: error: a quote that is not closed\n"
	  "    1 | hostname: \"a.example\n"
	  "      |           ^\n"
	  "\n"
	  "1 error; nothing was started or changed.\n" },
	{ "a tag", "hostname: !!str a.example\n",
	  "c.yaml:1:11: error: the tag tag:yaml.org,2002:str has no use here\n"
	  "    1 | hostname: !!str a.example\n"
	  "      |           ^^^^^^^^^^^^^^^\n"
	  "  hint: remove it: the type of each value is known\n"
	  "\n"
	  "1 error; nothing was started or changed.\n" },
	{ "two documents",
	  "hostname: a.example\n"
	  "---\n"
	  "hostname: b.example\n",
	  "c.yaml:3:1: error: a second document in one file\n"
	  "    3 | hostname: b.example\n"
	  "      | ^\n"
	  "\n"
	  "1 error; nothing was started or changed.\n" },
	{ "a list at the top", "- hostname: a.example\n",
	  "c.yaml:1:1: error: settings are a table\n"
	  "    1 | - hostname: a.example\n"
	  "      | ^^^^^^^^^^^^^^^^^^^^^\n"
	  "  expected: lines of the form \"key: value\"\n"
	  "\n"
	  "1 error; nothing was started or changed.\n" },
	{ "a table as a key", "{a: b}: c\n",
	  "c.yaml:1:1: error: a key must be a single word\n"
	  "    1 | {a: b}: c\n"
	  "      | ^\n"
	  "\n"
	  "1 error; nothing was started or changed.\n" },
	{ "an octet that is not UTF-8",
	  "spool:\n"
	  "  path: /a\xff\n",
	  "c.yaml:2:11: error: this is not YAML: invalid leading UTF-8 octet\n"
	  "    2 |   path: /a\xff\n"
	  "      |           ^\n"
	  "\n"
	  "1 error; nothing was started or changed.\n" },
};

static void what_is_not_yaml_is_said_at_its_place(void **state)
{
	unsigned wrong = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct world w;

		CHECK_INT(bad[i].name, world_load_text(&w, bad[i].yaml), ERR_CONFIG);
		wrong += !world_said(&w, bad[i].name, bad[i].said);
		world_fini(&w);
	}
	assert_int_equal(wrong, 0);
}

static void anchors_work(void **state)
{
	struct world w;

	(void)state;
	assert_int_equal(world_load_text(&w, "access: {senders: &ours [example.com], recipients: *ours}\n"),
	                 ERR_OK);
	assert_int_equal(w.config->access.recipients.count, 1);
	assert_true(text_eq(w.config->access.recipients.items[0].text, TEXT("example.com")));
	world_fini(&w);
}

static void tabs_in_quotes_and_comments_are_fine(void **state)
{
	struct world w;

	(void)state;
	assert_int_equal(
		world_load_text(
			&w,
			"#\ta comment\nhostname: a.example #\tanother\nspool: {path: '/it''s'} # it's\t\n"),
		ERR_OK);
	world_fini(&w);
}

static void line_ends_and_marks_of_windows_are_fine(void **state)
{
	struct world w;

	(void)state;
	assert_int_equal(
		world_load_text(&w, "\xef\xbb\xbfhostname: a.example\r\nspool:\r\n  durable: maybe\r\n"),
		ERR_CONFIG);
	assert_true(world_said(&w, "windows",
	                       "c.yaml:3:12: error: durable cannot be \"maybe\"\n"
	                       "    3 |   durable: maybe\n"
	                       "      |            ^^^^^\n"
	                       "  expected: true or false\n"
	                       "\n"
	                       "1 error; nothing was started or changed.\n"));
	world_fini(&w);
}

/* Columns are characters, so that the mark stands below what it means. */
static void columns_count_characters(void **state)
{
	struct world w;

	(void)state;
	assert_int_equal(world_load_text(&w, "spool: {path: /\xc3\xa4\xc3\xb6, durable: 7}\n"), ERR_CONFIG);
	assert_true(world_said(&w, "umlauts",
	                       "c.yaml:1:29: error: durable cannot be \"7\"\n"
	                       "    1 | spool: {path: /\xc3\xa4\xc3\xb6, durable: 7}\n"
	                       "      |                             ^\n"
	                       "  expected: true or false\n"
	                       "\n"
	                       "1 error; nothing was started or changed.\n"));
	world_fini(&w);
}

static void deep_nesting_ends(void **state)
{
	char yaml[2001];
	struct world w;

	(void)state;
	memset(yaml, '[', 2000);
	yaml[2000] = '\0';
	assert_int_equal(world_load_text(&w, yaml), ERR_CONFIG);
	world_fini(&w);
}

/* Nine lists of nine times the one before are 9^9 values, were they all made. */
static void doubling_by_anchors_ends(void **state)
{
	AUTO(buf_fini) struct buf yaml = BUF(10000);
	struct world w;

	(void)state;
	buf_add_string(&yaml, "a: &a [x,x,x,x,x,x,x,x,x]\n");
	for (char c = 'b'; c < 'j'; c++)
		buf_add_format(&yaml, "%c: &%c [*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c]\n", c, c, c - 1, c - 1,
		               c - 1, c - 1, c - 1, c - 1, c - 1, c - 1, c - 1);
	buf_add_octet(&yaml, '\0');
	assert_int_equal(world_load_text(&w, yaml.at), ERR_CONFIG);
	world_fini(&w);
}

static void a_large_table_is_read_in_time(void **state)
{
	AUTO(buf_fini) struct buf yaml = BUF(4u << 20);
	struct world w;

	(void)state;
	buf_add_string(&yaml, "rewrite:\n  recipients:\n");
	for (unsigned i = 0; i < 50000; i++)
		buf_add_format(&yaml, "    user%u@example.com: u%u@example.net\n", i, i);
	buf_add_octet(&yaml, '\0');
	assert_int_equal(world_load_text(&w, yaml.at), ERR_OK);
	const struct config_rewrite_rule *rule =
		config_rewrites_find(&w.config->rewrite.recipients, TEXT("USER49999@example.com"));

	assert_non_null(rule);
	assert_true(text_eq(rule->address, TEXT("u49999@example.net")));
	assert_int_equal(rule->place.line, 50002);
	world_fini(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_not_yaml_is_said_at_its_place),
		cmocka_unit_test(anchors_work),
		cmocka_unit_test(tabs_in_quotes_and_comments_are_fine),
		cmocka_unit_test(line_ends_and_marks_of_windows_are_fine),
		cmocka_unit_test(columns_count_characters),
		cmocka_unit_test(deep_nesting_ends),
		cmocka_unit_test(doubling_by_anchors_ends),
		cmocka_unit_test(a_large_table_is_read_in_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
