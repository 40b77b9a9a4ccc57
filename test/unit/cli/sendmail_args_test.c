#include <postrider/base/auto.h>

#include "cli/sendmail.h"
#include "support/check.h"

#define WORDS 12

static const struct {
	const char *name;
	const char *argv[WORDS];
	const char *problem; /* NULL: it is taken */
	enum sendmail_mode mode;
	bool from_header, ignore_dots;
	const char *from, *full_name, *config, *envid;
	unsigned notify;
	enum envelope_ret ret;
	const char *recipients; /* each with a "|" behind it */
} cases[] = {
	{ "nothing", { "sendmail" }, .recipients = "" },
	{ "a recipient", { "/usr/sbin/sendmail", "a@b" }, .recipients = "a@b|" },
	{ "-t -i", { "sendmail", "-t", "-i" }, .from_header = true, .ignore_dots = true, .recipients = "" },
	{ "together", { "sendmail", "-ti" }, .from_header = true, .ignore_dots = true, .recipients = "" },
	{ "the other way",
	  { "sendmail", "-it", "a@b" },
	  .from_header = true,
	  .ignore_dots = true,
	  .recipients = "a@b|" },
	{ "-oi", { "sendmail", "-oi", "a@b" }, .ignore_dots = true, .recipients = "a@b|" },
	{ "-o i", { "sendmail", "-o", "i", "a@b" }, .ignore_dots = true, .recipients = "a@b|" },
	{ "other -o", { "sendmail", "-oem", "-odb", "-om", "a@b" }, .recipients = "a@b|" },
	{ "-f apart", { "sendmail", "-f", "x@y", "a@b" }, .from = "x@y", .recipients = "a@b|" },
	{ "-f attached", { "sendmail", "-fx@y", "a@b" }, .from = "x@y", .recipients = "a@b|" },
	{ "-f empty", { "sendmail", "-f", "", "a@b" }, .from = "", .recipients = "a@b|" },
	{ "-tf", { "sendmail", "-tf", "x@y" }, .from_header = true, .from = "x@y", .recipients = "" },
	{ "-r", { "sendmail", "-rx@y" }, .from = "x@y", .recipients = "" },
	{ "the last counts", { "sendmail", "-fa@b", "-fc@d" }, .from = "c@d", .recipients = "" },
	{ "-F",
	  { "sendmail", "-F", "Ann B", "-C", "/x" },
	  .full_name = "Ann B",
	  .config = "/x",
	  .recipients = "" },
	{ "flags behind recipients",
	  { "sendmail", "a@b", "-i", "c@d" },
	  .ignore_dots = true,
	  .recipients = "a@b|c@d|" },
	{ "--", { "sendmail", "-i", "--", "-t", "a@b" }, .ignore_dots = true, .recipients = "-t|a@b|" },
	{ "a hyphen alone", { "sendmail", "-" }, .recipients = "-|" },
	{ "-bs", { "sendmail", "-bs" }, .mode = SENDMAIL_SMTP, .recipients = "" },
	{ "-b s", { "sendmail", "-b", "s" }, .mode = SENDMAIL_SMTP, .recipients = "" },
	{ "-bp", { "sendmail", "-bp" }, .mode = SENDMAIL_LIST, .recipients = "" },
	{ "-bm", { "sendmail", "-bs", "-bm" }, .mode = SENDMAIL_DELIVER, .recipients = "" },
	{ "-bi", { "sendmail", "-bi" }, .mode = SENDMAIL_ALIASES, .recipients = "" },
	{ "-I", { "sendmail", "-I" }, .mode = SENDMAIL_ALIASES, .recipients = "" },
	{ "-q", { "sendmail", "-q" }, .mode = SENDMAIL_FLUSH, .recipients = "" },
	{ "-qf", { "sendmail", "-qf" }, .mode = SENDMAIL_FLUSH, .recipients = "" },
	{ "mailq", { "/usr/bin/mailq" }, .mode = SENDMAIL_LIST, .recipients = "" },
	{ "newaliases", { "newaliases" }, .mode = SENDMAIL_ALIASES, .recipients = "" },
	{ "-N",
	  { "sendmail", "-N", "SUCCESS,delay" },
	  .notify = ENVELOPE_NOTIFY_SUCCESS | ENVELOPE_NOTIFY_DELAY,
	  .recipients = "" },
	{ "-N never",
	  { "sendmail", "-Nnever", "-R", "full", "-V", "id" },
	  .notify = ENVELOPE_NOTIFY_NEVER,
	  .ret = ENVELOPE_RET_FULL,
	  .envid = "id",
	  .recipients = "" },
	{ "what means nothing here",
	  { "sendmail", "-v", "-n", "-m", "-U", "-G", "-E", "-d0.1", "-h", "3", "-pTCP", "-Ltag" },
	  .recipients = "" },
	{ "-O",
	  { "sendmail", "-OIgnoreDots=true", "-O", "DeliveryMode=b" },
	  .ignore_dots = true,
	  .recipients = "" },
	{ "an unknown one", { "sendmail", "-Z" }, "there is no such option: -Z" },
	{ "an unknown one behind a known", { "sendmail", "-tZ" }, "there is no such option: -tZ" },
	{ "a word", { "sendmail", "--help" }, "there is no such option: --help" },
	{ "-f without a value", { "sendmail", "-f" }, "a value is missing behind: -f" },
	{ "-bd", { "sendmail", "-bd" }, "the daemon is started with `postrider run`, not with -b: d" },
	{ "-bx", { "sendmail", "-bx" }, "there is no mode -b: x" },
	{ "-q30m",
	  { "sendmail", "-q30m" },
	  "the relay tries again by itself (retry.schedule); plain -q tries all now, not -q: 30m" },
	{ "-N twice",
	  { "sendmail", "-Nnever", "-Ndelay" },
	  "-N takes never, or some of success,failure,delay; not: delay" },
	{ "-N never and more",
	  { "sendmail", "-Nnever,delay" },
	  "-N takes never, or some of success,failure,delay; not: never,delay" },
	{ "-R", { "sendmail", "-Rhead" }, "-R takes full or hdrs, not: head" },
	{ "-B", { "sendmail", "-B", "BINARY" }, "-B takes 7BIT or 8BITMIME, not: BINARY" },
	{ "-V empty", { "sendmail", "-V", "" }, "-V takes an envelope id of 1 to 100 characters, not: " },
};

static void check_same(const char *name, const char *actual, const char *expected)
{
	CHECK_INT(name, actual != NULL, expected != NULL);
	if (expected)
		CHECK_TEXT(name, text_from(actual), text_from(expected));
}

static void check(size_t i)
{
	const char *name = cases[i].name;
	char *argv[WORDS + 1] = { NULL };
	int argc = 0;
	AUTO(buf_fini) struct buf problem = BUF(1000), recipients = BUF(1000);
	struct sendmail_args args;

	for (; argc < WORDS && cases[i].argv[argc]; argc++)
		argv[argc] = (char *)cases[i].argv[argc];
	CHECK_INT(name, sendmail_parse(argc, argv, &args, &problem), !cases[i].problem);
	CHECK_TEXT(name, buf_text(&problem), text_from(cases[i].problem));
	if (cases[i].problem)
		return;
	CHECK_INT(name, args.mode, cases[i].mode);
	CHECK_INT(name, args.from_header, cases[i].from_header);
	CHECK_INT(name, args.ignore_dots, cases[i].ignore_dots);
	CHECK_INT(name, args.notify, cases[i].notify);
	CHECK_INT(name, args.ret, cases[i].ret);
	check_same(name, args.from, cases[i].from);
	check_same(name, args.name, cases[i].full_name);
	check_same(name, args.config, cases[i].config);
	check_same(name, args.envid, cases[i].envid);
	for (size_t n = 0; n < args.recipient_count; n++) {
		buf_add_string(&recipients, args.recipients[n]);
		buf_add_octet(&recipients, '|');
	}
	CHECK_TEXT(name, buf_text(&recipients), text_from(cases[i].recipients));
}

static void test_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		check(i);
}

static void test_names(void **state)
{
	static const struct {
		const char *argv[3];
		int at;
	} names[] = {
		{ { "postrider", "run" }, -1 },
		{ { "sendmail", "run" }, 0 },
		{ { "/usr/sbin/sendmail" }, 0 },
		{ { "./mailq" }, 0 },
		{ { "postrider", "sendmail", "-t" }, 1 },
		{ { "postrider", "newaliases" }, 1 },
		{ { "postrider", "-c", "sendmail" }, -1 },
		{ { "postrider" }, -1 },
		{ { "sendmail.old" }, -1 },
		{ { "postrider", "/usr/sbin/sendmail" }, -1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		char *argv[4] = { NULL };
		int argc = 0;

		for (; argc < 3 && names[i].argv[argc]; argc++)
			argv[argc] = (char *)names[i].argv[argc];
		CHECK_INT(names[i].argv[0], sendmail_name_at(argc, argv), names[i].at);
	}
	assert_int_equal(sendmail_name_at(0, (char *[]){ NULL }), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
