/* The two texts of MTA-STS: TXT records and policy files. */
#include "sts_parse.h"

#include <stdio.h>

#include "support/alloc.h"
#include "support/check.h"

/* ---------------------------------------------------------------- TXT */

#define ID32 "0123456789abcdefghijKLMNOPQRSTUV"

static const struct {
	const char *name;
	struct text records[3];
	enum err err;
	const char *id;
} records[] = {
	{ "as in the RFC", { LIT("v=STSv1; id=20160831085700Z;") }, ERR_OK, "20160831085700Z" },
	{ "no semicolon at the end", { LIT("v=STSv1; id=1") }, ERR_OK, "1" },
	{ "no space", { LIT("v=STSv1;id=1") }, ERR_OK, "1" },
	{ "spaces and tabs around semicolons", { LIT("v=STSv1 \t;\t id=1 \t; ") }, ERR_OK, "1" },
	{ "the longest id", { LIT("v=STSv1; id=" ID32) }, ERR_OK, ID32 },
	{ "an extension before the id", { LIT("v=STSv1; a.b-c_d=x!y; id=1") }, ERR_OK, "1" },
	{ "an extension behind it", { LIT("v=STSv1; id=1; x=y;") }, ERR_OK, "1" },
	{ "of two ids the first", { LIT("v=STSv1; id=1; id=2") }, ERR_OK, "1" },
	{ "of two ids the first, whatever the second", { LIT("v=STSv1; id=1; id=!!") }, ERR_OK, "1" },
	{ "other records beside it", { LIT("v=spf1 -all"), LIT("v=STSv1; id=1"), LIT("x") }, ERR_OK, "1" },
	{ "a later version beside it", { LIT("v=STSv2; id=2"), LIT("v=STSv1; id=1") }, ERR_OK, "1" },

	{ "none", { LIT("v=spf1 -all") }, ERR_NOT_FOUND, NULL },
	{ "nothing in it", { LIT(""), LIT(" ") }, ERR_NOT_FOUND, NULL },
	{ "the version in other letters", { LIT("v=stsv1; id=1") }, ERR_NOT_FOUND, NULL },
	{ "the version is not the first", { LIT("id=1; v=STSv1") }, ERR_NOT_FOUND, NULL },
	{ "a space before it", { LIT(" v=STSv1; id=1") }, ERR_NOT_FOUND, NULL },
	{ "a longer version", { LIT("v=STSv10; id=1") }, ERR_NOT_FOUND, NULL },
	{ "two records", { LIT("v=STSv1; id=1"), LIT("v=STSv1; id=1") }, ERR_SYNTAX, NULL },
	{ "two records, one broken", { LIT("v=STSv1; id=1"), LIT("v=STSv1;") }, ERR_SYNTAX, NULL },
	{ "only the version", { LIT("v=STSv1") }, ERR_SYNTAX, NULL },
	{ "no id", { LIT("v=STSv1; x=y") }, ERR_SYNTAX, NULL },
	{ "an empty id", { LIT("v=STSv1; id=;") }, ERR_SYNTAX, NULL },
	{ "an id too long", { LIT("v=STSv1; id=" ID32 "x") }, ERR_SYNTAX, NULL },
	{ "an id with a hyphen", { LIT("v=STSv1; id=2016-08-31") }, ERR_SYNTAX, NULL },
	{ "an id with a space", { LIT("v=STSv1; id=1 2") }, ERR_SYNTAX, NULL },
	{ "a NUL in the id", { LIT("v=STSv1; id=1\0") }, ERR_SYNTAX, NULL },
	{ "a capital name", { LIT("v=STSv1; ID=1") }, ERR_SYNTAX, NULL },
	{ "an empty field between", { LIT("v=STSv1;; id=1") }, ERR_SYNTAX, NULL },
	{ "no equals sign", { LIT("v=STSv1; id") }, ERR_SYNTAX, NULL },
	{ "a space before the equals sign", { LIT("v=STSv1; id =1") }, ERR_SYNTAX, NULL },
	{ "an extension with an equals sign in its value",
	  { LIT("v=STSv1; id=1; x=a=b") },
	  ERR_SYNTAX,
	  NULL },
	{ "an extension beyond ASCII", { LIT("v=STSv1; id=1; x=\xc3\xa4") }, ERR_SYNTAX, NULL },
	{ "a line end", { LIT("v=STSv1; id=1\r\n") }, ERR_SYNTAX, NULL },
};

static size_t count_of(const struct text *texts, size_t max)
{
	size_t count = 0;

	while (count < max && texts[count].at)
		count++;
	return count;
}

static void txt_records_are_read_as_the_rfc_says(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(records); i++) {
		const char *row = records[i].name, *why = NULL;
		struct text id = TEXT_EMPTY, texts[3];
		size_t count = count_of(records[i].records, 3);
		char *copies[3] = { NULL };

		for (size_t n = 0; n < count; n++) {
			copies[n] = alone(records[i].records[n]);
			texts[n] = text_of(copies[n], records[i].records[n].len);
		}
		CHECK_INT(row, sts_txt_parse(texts, count, &id, &why), records[i].err);
		if (records[i].id)
			CHECK_TEXT(row, id, text_from(records[i].id));
		CHECK(row, (records[i].err == ERR_SYNTAX) == (why != NULL));
		for (size_t n = 0; n < count; n++)
			free(copies[n]);
	}
}

/* ---------------------------------------------------------------- policy files */

#define TAIL "mode: enforce\nmx: mx.example.com\nmax_age: 86400\n"

static const struct {
	const char *name;
	struct text file;
	enum err err;
	enum policy_mode mode;
	long long max_age_s;
	const char *mx; /* with commas */
} files[] = {
	{ "as in the RFC",
	  LIT("version: STSv1\nmode: enforce\nmx: mail.example.com\nmx: *.example.net\nmx: backupmx.example.com\nmax_age: "
	      "604800\n"),
	  ERR_OK, POLICY_MODE_ENFORCE, 604800, "mail.example.com,*.example.net,backupmx.example.com" },
	{ "with CR LF", LIT("version: STSv1\r\nmode: testing\r\nmx: a.example\r\nmax_age: 1\r\n"), ERR_OK,
	  POLICY_MODE_TESTING, 1, "a.example" },
	{ "LF and CR LF mixed", LIT("version: STSv1\r\nmode: testing\nmx: a.example\r\nmax_age: 1"), ERR_OK,
	  POLICY_MODE_TESTING, 1, "a.example" },
	{ "no line end at the end", LIT("version: STSv1\nmode: testing\nmx: a.example\nmax_age: 1"), ERR_OK,
	  POLICY_MODE_TESTING, 1, "a.example" },
	{ "any order", LIT("max_age: 1\nmx: a.example\nmode: testing\nversion: STSv1\n"), ERR_OK,
	  POLICY_MODE_TESTING, 1, "a.example" },
	{ "no space behind the colon", LIT("version:STSv1\nmode:testing\nmx:a.example\nmax_age:1\n"), ERR_OK,
	  POLICY_MODE_TESTING, 1, "a.example" },
	{ "spaces at the end of lines",
	  LIT("version: STSv1 \nmode: \ttesting\t\nmx: a.example \nmax_age: 1  \n"), ERR_OK,
	  POLICY_MODE_TESTING, 1, "a.example" },
	{ "mode none without mx", LIT("version: STSv1\nmode: none\nmax_age: 0\n"), ERR_OK, POLICY_MODE_NONE,
	  0, "" },
	{ "mode none with mx", LIT("version: STSv1\nmode: none\nmx: a.example\nmax_age: 0\n"), ERR_OK,
	  POLICY_MODE_NONE, 0, "a.example" },
	{ "the longest age", LIT("version: STSv1\nmode: none\nmax_age: 31557600\n"), ERR_OK, POLICY_MODE_NONE,
	  31557600, "" },
	{ "zeros in front", LIT("version: STSv1\nmode: none\nmax_age: 0000000001\n"), ERR_OK,
	  POLICY_MODE_NONE, 1, "" },
	{ "unknown keys are passed over", LIT("version: STSv1\nx-new: what: ever\n" TAIL), ERR_OK,
	  POLICY_MODE_ENFORCE, 86400, "mx.example.com" },
	{ "an unknown key beyond ASCII", LIT("version: STSv1\nwords: gr\xc3\xbc\xc3\x9f\n" TAIL), ERR_OK,
	  POLICY_MODE_ENFORCE, 86400, "mx.example.com" },
	{ "of keys that come twice the first counts",
	  LIT("version: STSv1\nmode: testing\nmx: a.example\nmax_age: 1\nversion: STSv2\nmode: x\nmax_age: y\n"),
	  ERR_OK, POLICY_MODE_TESTING, 1, "a.example" },
	{ "empty lines", LIT("\nversion: STSv1\n\n" TAIL "\n \r\n"), ERR_OK, POLICY_MODE_ENFORCE, 86400,
	  "mx.example.com" },
	{ "names in capitals", LIT("version: STSv1\nmode: enforce\nmx: *.EXAMPLE.com\nmax_age: 1\n"), ERR_OK,
	  POLICY_MODE_ENFORCE, 1, "*.example.com" },
	{ "an A-label", LIT("version: STSv1\nmode: enforce\nmx: mx.xn--bcher-kva.example\nmax_age: 1\n"),
	  ERR_OK, POLICY_MODE_ENFORCE, 1, "mx.xn--bcher-kva.example" },

	{ "nothing", LIT(""), ERR_SYNTAX },
	{ "a web page", LIT("<!DOCTYPE html>\n<html></html>\n"), ERR_SYNTAX },
	{ "no version", LIT(TAIL), ERR_SYNTAX },
	{ "another version", LIT("version: STSv2\n" TAIL), ERR_SYNTAX },
	{ "the version in small letters", LIT("version: stsv1\n" TAIL), ERR_SYNTAX },
	{ "no mode", LIT("version: STSv1\nmx: a.example\nmax_age: 1\n"), ERR_SYNTAX },
	{ "no such mode", LIT("version: STSv1\nmode: report\nmx: a.example\nmax_age: 1\n"), ERR_SYNTAX },
	{ "the mode in capitals", LIT("version: STSv1\nmode: Enforce\nmx: a.example\nmax_age: 1\n"),
	  ERR_SYNTAX },
	{ "no mx", LIT("version: STSv1\nmode: enforce\nmax_age: 1\n"), ERR_SYNTAX },
	{ "no max_age", LIT("version: STSv1\nmode: enforce\nmx: a.example\n"), ERR_SYNTAX },
	{ "an age too long", LIT("version: STSv1\nmode: none\nmax_age: 31557601\n"), ERR_SYNTAX },
	{ "an age of eleven digits", LIT("version: STSv1\nmode: none\nmax_age: 00000000001\n"), ERR_SYNTAX },
	{ "a negative age", LIT("version: STSv1\nmode: none\nmax_age: -1\n"), ERR_SYNTAX },
	{ "an age with a unit", LIT("version: STSv1\nmode: none\nmax_age: 1d\n"), ERR_SYNTAX },
	{ "an empty age", LIT("version: STSv1\nmode: none\nmax_age:\n"), ERR_SYNTAX },
	{ "an empty mx", LIT("version: STSv1\nmode: enforce\nmx:\nmax_age: 1\n"), ERR_SYNTAX },
	{ "two mx in one line", LIT("version: STSv1\nmode: enforce\nmx: a.example, b.example\nmax_age: 1\n"),
	  ERR_SYNTAX },
	{ "a star inside", LIT("version: STSv1\nmode: enforce\nmx: mx*.example.com\nmax_age: 1\n"),
	  ERR_SYNTAX },
	{ "two stars", LIT("version: STSv1\nmode: enforce\nmx: *.*.example\nmax_age: 1\n"), ERR_SYNTAX },
	{ "a star alone", LIT("version: STSv1\nmode: enforce\nmx: *\nmax_age: 1\n"), ERR_SYNTAX },
	{ "a star before one label", LIT("version: STSv1\nmode: enforce\nmx: *.com\nmax_age: 1\n"),
	  ERR_SYNTAX },
	{ "an address", LIT("version: STSv1\nmode: enforce\nmx: 192.0.2.1\nmax_age: 1\n"), ERR_SYNTAX },
	{ "an address literal", LIT("version: STSv1\nmode: enforce\nmx: [192.0.2.1]\nmax_age: 1\n"),
	  ERR_SYNTAX },
	{ "a dot at the end of a name", LIT("version: STSv1\nmode: enforce\nmx: a.example.\nmax_age: 1\n"),
	  ERR_SYNTAX },
	{ "a U-label",
	  LIT("version: STSv1\nmode: enforce\nmx: b\xc3\xbc"
	      "cher.example\nmax_age: 1\n"),
	  ERR_SYNTAX },
	{ "a line without a colon", LIT("version: STSv1\nhello\n" TAIL), ERR_SYNTAX },
	{ "a key with a space", LIT("version: STSv1\nnew key: x\n" TAIL), ERR_SYNTAX },
	{ "a space before the key", LIT("version: STSv1\n mode: none\nmax_age: 1\n"), ERR_SYNTAX },
	{ "a control in an unknown key's value",
	  LIT("version: STSv1\nx: a\x01"
	      "b\n" TAIL),
	  ERR_SYNTAX },
	{ "a NUL", LIT("version: STSv1\nx: a\0b\n" TAIL), ERR_SYNTAX },
	{ "Latin-1", LIT("version: STSv1\nx: gr\xfc\xdf\n" TAIL), ERR_SYNTAX },
	{ "a byte order mark", LIT("\xef\xbb\xbfversion: STSv1\n" TAIL), ERR_SYNTAX },
	{ "CR alone between lines", LIT("version: STSv1\rmode: none\rmax_age: 1\r"), ERR_SYNTAX },
};

static void add_patterns(struct buf *out, const struct sts_file *file)
{
	for (size_t i = 0; i < file->mx_count; i++)
		buf_add_format(out, "%s%.*s", i ? "," : "", TEXT_ARGS(file->mx[i]));
}

static void policy_files_are_read_as_the_rfc_says(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		const char *row = files[i].name, *why = NULL;
		char *copy = alone(files[i].file);
		struct buf mx = BUF(1024);
		struct sts_file file;
		struct arena arena;

		arena_init(&arena, 2 * STS_FILE_MAX);
		CHECK_INT(row, sts_file_parse(text_of(copy, files[i].file.len), &arena, &file, &why),
		          files[i].err);
		CHECK(row, (files[i].err == ERR_SYNTAX) == (why != NULL));
		if (!files[i].err) {
			add_patterns(&mx, &file);
			CHECK_INT(row, file.mode, files[i].mode);
			CHECK_INT(row, file.max_age_ms, files[i].max_age_s * 1000);
			CHECK_TEXT(row, buf_text(&mx), text_from(files[i].mx));
		}
		buf_fini(&mx);
		arena_fini(&arena);
		free(copy);
	}
}

static struct text file_with_mx(struct buf *b, unsigned count)
{
	buf_add_string(b, "version: STSv1\nmode: enforce\nmax_age: 1\n");
	for (unsigned i = 0; i < count; i++)
		buf_add_format(b, "mx: mx%u.example.com\n", i);
	return buf_text(b);
}

static enum err parse(struct text t, size_t *mx_count)
{
	struct sts_file file = { 0 };
	struct arena arena;
	enum err err;

	arena_init(&arena, 2 * STS_FILE_MAX);
	err = sts_file_parse(t, &arena, &file, NULL);
	*mx_count = file.mx_count;
	arena_fini(&arena);
	return err;
}

static void sizes_are_bounded(void **state)
{
	struct buf b = BUF(1u << 20);
	size_t count;

	(void)state;
	assert_int_equal(parse(file_with_mx(&b, STS_MX_MAX), &count), ERR_OK);
	assert_int_equal(count, STS_MX_MAX);
	buf_reset(&b);
	assert_int_equal(parse(file_with_mx(&b, STS_MX_MAX + 1), &count), ERR_SYNTAX);
	buf_reset(&b);
	buf_add_string(&b, "version: STSv1\nmode: none\nmax_age: 1\nx: ");
	while (b.len < STS_FILE_MAX)
		buf_add_octet(&b, 'x');
	assert_int_equal(parse(buf_text(&b), &count), ERR_OK);
	buf_add_octet(&b, 'x');
	assert_int_equal(parse(buf_text(&b), &count), ERR_TOO_BIG);
	buf_reset(&b);
	while (b.len < STS_FILE_MAX) /* nothing but line ends */
		buf_add_octet(&b, '\n');
	assert_int_equal(parse(buf_text(&b), &count), ERR_SYNTAX);
	buf_fini(&b);
}

static void memory_that_runs_out_is_no_fault_of_the_file(void **state)
{
	(void)state;
	for (EACH_ALLOC_FAILING) {
		size_t count;
		enum err err = parse(TEXT("version: STSv1\n" TAIL), &count);

		assert_true(err == ERR_OK || err == ERR_NOMEM);
	}
}

/* ---------------------------------------------------------------- small things */

static const struct {
	const char *pattern, *host;
	bool fits;
} fits[] = {
	{ "mx.example.com", "mx.example.com", true },
	{ "mx.example.com", "MX.Example.COM", true },
	{ "mx.example.com", "a.mx.example.com", false },
	{ "mx.example.com", "mx.example.com.evil.example", false },
	{ "mx.example.com", "xmx.example.com", false },
	{ "*.example.com", "mx.example.com", true },
	{ "*.example.com", "MX.EXAMPLE.COM", true },
	{ "*.example.com", "example.com", false },
	{ "*.example.com", "a.b.example.com", false },
	{ "*.example.com", ".example.com", false },
	{ "*.example.com", "mx.example.com.evil.example", false },
	{ "*.example.com", "mxexample.com", false },
	{ "*.example.com", "", false },
};

static void a_star_stands_for_one_label(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(fits); i++) {
		char row[200];

		snprintf(row, sizeof(row), "%s and %s", fits[i].pattern, fits[i].host);
		CHECK_INT(row, sts_mx_fits(text_from(fits[i].pattern), text_from(fits[i].host)),
		          fits[i].fits);
	}
}

static void only_text_plain_is_a_policy(void **state)
{
	static const struct {
		const char *type;
		bool is;
	} rows[] = {
		{ "text/plain", true },
		{ "Text/Plain", true },
		{ "text/plain; charset=utf-8", true },
		{ "text/plain ;charset=us-ascii", true },
		{ " text/plain", true },
		{ "text/html", false },
		{ "text/plainer", false },
		{ "text/plain, text/html", false },
		{ "application/octet-stream", false },
		{ "", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		CHECK_INT(rows[i].type, sts_is_plain_text(text_from(rows[i].type)), rows[i].is);
}

static void names_that_may_be_asked_for_a_policy(void **state)
{
	static const struct {
		const char *name;
		bool is;
	} rows[] = {
		{ "example.com", true },
		{ "a-b.xn--bcher-kva.example", true },
		{ "_x.example.com", true },
		{ "1.example", true },
		{ "localhost", false },
		{ "", false },
		{ ".", false },
		{ "example.com.", false },
		{ ".example.com", false },
		{ "a..b", false },
		{ "-a.example", false },
		{ "a-.example", false },
		{ "[192.0.2.1]", false },
		{ "192.0.2.1", false },
		{ "[IPv6:2001:db8::1]", false },
		{ "a b.example", false },
		{ "exam\xc3\xa4ple.com", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		CHECK_INT(rows[i].name, sts_is_name(text_from(rows[i].name)), rows[i].is);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(txt_records_are_read_as_the_rfc_says),
		cmocka_unit_test(policy_files_are_read_as_the_rfc_says),
		cmocka_unit_test(sizes_are_bounded),
		cmocka_unit_test(memory_that_runs_out_is_no_fault_of_the_file),
		cmocka_unit_test(a_star_stands_for_one_label),
		cmocka_unit_test(only_text_plain_is_a_policy),
		cmocka_unit_test(names_that_may_be_asked_for_a_policy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
