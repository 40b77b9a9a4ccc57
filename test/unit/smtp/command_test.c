#include <postrider/smtp/command.h>

#include <stdio.h>

#include "support/check.h"

static const struct {
	const char *name;
	struct text line;
	enum err err;
	enum smtp_verb verb;
	struct text args;
} commands[] = {
	{ "a verb alone", LIT("DATA"), ERR_OK, SMTP_DATA, LIT("") },
	{ "small letters", LIT("data"), ERR_OK, SMTP_DATA, LIT("") },
	{ "white space behind", LIT("QUIT  \t"), ERR_OK, SMTP_QUIT, LIT("") },
	{ "an argument", LIT("EHLO  example.com "), ERR_OK, SMTP_EHLO, LIT("example.com") },
	{ "a tab before it", LIT("EHLO\texample.com"), ERR_OK, SMTP_EHLO, LIT("example.com") },
	{ "inner white space stays", LIT("VRFY a  b"), ERR_OK, SMTP_VRFY, LIT("a  b") },
	{ "MAIL", LIT("mail from:<a@b>"), ERR_OK, SMTP_MAIL, LIT("from:<a@b>") },
	{ "STARTTLS", LIT("StartTLS"), ERR_OK, SMTP_STARTTLS, LIT("") },
	{ "BDAT", LIT("BDAT 0 LAST"), ERR_OK, SMTP_BDAT, LIT("0 LAST") },
	{ "unknown", LIT("WIZ x"), ERR_OK, SMTP_UNKNOWN, LIT("x") },
	{ "a verb that goes on", LIT("DATAX"), ERR_OK, SMTP_UNKNOWN, LIT("") },
	{ "a browser", LIT("GET / HTTP/1.1"), ERR_OK, SMTP_HTTP, LIT("/ HTTP/1.1") },
	{ "a browser that posts", LIT("POST /x HTTP/1.1"), ERR_OK, SMTP_HTTP, LIT("/x HTTP/1.1") },
	{ "get in small letters is no browser", LIT("get x"), ERR_OK, SMTP_UNKNOWN, LIT("x") },
	{ "octets above 127 in an argument", LIT("NOOP \xc3\xa9"), ERR_OK, SMTP_NOOP, LIT("\xc3\xa9") },
	{ "nothing", LIT(""), ERR_SYNTAX, SMTP_UNKNOWN, LIT("") },
	{ "white space before the verb", LIT(" NOOP"), ERR_SYNTAX, SMTP_UNKNOWN, LIT("") },
	{ "a NUL", LIT("NOOP a\0b"), ERR_SYNTAX, SMTP_UNKNOWN, LIT("") },
	{ "CR", LIT("NOOP a\rb"), ERR_SYNTAX, SMTP_UNKNOWN, LIT("") },
	{ "LF", LIT("NOOP a\nMAIL FROM:<>"), ERR_SYNTAX, SMTP_UNKNOWN, LIT("") },
	{ "an escape sequence", LIT("NOOP \x1b[2J"), ERR_SYNTAX, SMTP_UNKNOWN, LIT("") },
	{ "a TLS hello", LIT("\x16\x03\x01\x02"), ERR_SYNTAX, SMTP_UNKNOWN, LIT("") },
};

static void a_line_is_a_verb_and_arguments(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		struct smtp_command c;
		enum err err = smtp_command_parse(commands[i].line, &c);

		CHECK_INT(commands[i].name, err, commands[i].err);
		if (err)
			continue;
		CHECK_INT(commands[i].name, c.verb, commands[i].verb);
		CHECK_TEXT(commands[i].name, c.args, commands[i].args);
	}
}

static void every_verb_is_known_by_its_text(void **state)
{
	(void)state;
	for (int verb = SMTP_UNKNOWN + 1; verb < SMTP_HTTP; verb++) {
		struct smtp_command c;

		assert_int_equal(smtp_command_parse(smtp_verb_text((enum smtp_verb)verb), &c), ERR_OK);
		assert_int_equal(c.verb, verb);
	}
	CHECK_TEXT("unknown", smtp_verb_text(SMTP_UNKNOWN), TEXT(""));
	CHECK_TEXT("outside", smtp_verb_text(SMTP_VERB_COUNT), TEXT(""));
}

/* ---------------------------------------------------------------- MAIL */

static const struct {
	const char *name;
	struct text args;
	const char *reverse_path; /* NULL: refused */
	const char *others;       /* "KEY=value KEY " */
	int64_t size;             /* -1: none */
	enum smtp_body body;
	const char *enhanced; /* of the refusal */
} mail_cases[] = {
	{ "the null reverse-path", LIT("FROM:<>"), "", "", -1, SMTP_BODY_NONE, NULL },
	{ "a mailbox", LIT("FROM:<ann@example.com>"), "ann@example.com", "", -1, SMTP_BODY_NONE, NULL },
	{ "small letters", LIT("from:<a@b>"), "a@b", "", -1, SMTP_BODY_NONE, NULL },
	{ "a space behind the colon", LIT("FROM: <a@b>"), "a@b", "", -1, SMTP_BODY_NONE, NULL },
	{ "SIZE", LIT("FROM:<a@b> SIZE=12345"), "a@b", "", 12345, SMTP_BODY_NONE, NULL },
	{ "SIZE of nothing", LIT("FROM:<a@b> size=0"), "a@b", "", 0, SMTP_BODY_NONE, NULL },
	{ "SIZE over 64 bits", LIT("FROM:<a@b> SIZE=99999999999999999999"), "a@b", "", (int64_t)UINT64_MAX,
	  SMTP_BODY_NONE, NULL },
	{ "BODY=7BIT", LIT("FROM:<a@b> BODY=7BIT"), "a@b", "", -1, SMTP_BODY_7BIT, NULL },
	{ "BODY=8BITMIME", LIT("FROM:<a@b> body=8bitmime SIZE=7"), "a@b", "", 7, SMTP_BODY_8BITMIME, NULL },
	{ "BODY=BINARYMIME", LIT("FROM:<a@b> BODY=BINARYMIME"), "a@b", "", -1, SMTP_BODY_BINARYMIME, NULL },
	{ "others", LIT("FROM:<a@b> RET=HDRS SIZE=1 SMTPUTF8 AUTH=<>"), "a@b", "RET=HDRS SMTPUTF8 AUTH=<> ",
	  1, SMTP_BODY_NONE, NULL },
	{ "more white space", LIT("FROM:\t<a@b>  SIZE=1 \t BODY=7BIT  "), "a@b", "", 1, SMTP_BODY_7BIT,
	  NULL },
	{ "sixteen", LIT("FROM:<> A B C D E F G H I J K L M N O P"), "", "A B C D E F G H I J K L M N O P ",
	  -1, SMTP_BODY_NONE, NULL },
	{ "seventeen", LIT("FROM:<> A B C D E F G H I J K L M N O P Q"), NULL, NULL, 0, 0, "5.5.4" },
	{ "no FROM", LIT("<a@b>"), NULL, NULL, 0, 0, "5.5.2" },
	{ "TO", LIT("TO:<a@b>"), NULL, NULL, 0, 0, "5.5.2" },
	{ "nothing", LIT(""), NULL, NULL, 0, 0, "5.5.2" },
	{ "a space before the colon", LIT("FROM :<a@b>"), NULL, NULL, 0, 0, "5.5.2" },
	{ "nothing behind FROM", LIT("FROM:"), NULL, NULL, 0, 0, "5.1.7" },
	{ "no angle brackets", LIT("FROM:a@b"), NULL, NULL, 0, 0, "5.1.7" },
	{ "a local part that is too long",
	  LIT("FROM:<0123456789012345678901234567890123456789012345678901234567890123x@b>"), NULL, NULL, 0, 0,
	  "5.1.7" },
	{ "an unfinished path", LIT("FROM:<a@b"), NULL, NULL, 0, 0, "5.1.7" },
	{ "postmaster alone", LIT("FROM:<postmaster>"), NULL, NULL, 0, 0, "5.1.7" },
	{ "a NUL inside the path", LIT("FROM:<a\0b@c>"), NULL, NULL, 0, 0, "5.1.7" },
	{ "no space before a parameter", LIT("FROM:<a@b>SIZE=1"), NULL, NULL, 0, 0, "5.5.4" },
	{ "SIZE twice", LIT("FROM:<a@b> SIZE=1 size=2"), NULL, NULL, 0, 0, "5.5.4" },
	{ "another twice", LIT("FROM:<a@b> X=1 Y x"), NULL, NULL, 0, 0, "5.5.4" },
	{ "SIZE without a value", LIT("FROM:<a@b> SIZE"), NULL, NULL, 0, 0, "5.5.4" },
	{ "SIZE with an empty value", LIT("FROM:<a@b> SIZE="), NULL, NULL, 0, 0, "5.5.4" },
	{ "a negative SIZE", LIT("FROM:<a@b> SIZE=-1"), NULL, NULL, 0, 0, "5.5.4" },
	{ "SIZE of 21 digits", LIT("FROM:<a@b> SIZE=000000000000000000001"), NULL, NULL, 0, 0, "5.5.4" },
	{ "an unknown BODY", LIT("FROM:<a@b> BODY=9BIT"), NULL, NULL, 0, 0, "5.5.4" },
	{ "BODY without a value", LIT("FROM:<a@b> BODY"), NULL, NULL, 0, 0, "5.5.4" },
	{ "a keyword that begins with a hyphen", LIT("FROM:<a@b> -X"), NULL, NULL, 0, 0, "5.5.4" },
	{ "an empty keyword", LIT("FROM:<a@b> =1"), NULL, NULL, 0, 0, "5.5.4" },
	{ "an equals sign in a value", LIT("FROM:<a@b> X=a=b"), NULL, NULL, 0, 0, "5.5.4" },
	{ "UTF-8 in a value", LIT("FROM:<a@b> X=\xc3\xa9"), "a@b", "X=\xc3\xa9 ", -1, SMTP_BODY_NONE, NULL },
	{ "an octet of no UTF-8 in a value", LIT("FROM:<a@b> X=\xe9"), NULL, NULL, 0, 0, "5.5.4" },
	{ "a line separator in a value", LIT("FROM:<a@b> X=\xe2\x80\xa8"), NULL, NULL, 0, 0, "5.5.4" },
	{ "UTF-8 in a keyword", LIT("FROM:<a@b> \xc3\xa9=1"), NULL, NULL, 0, 0, "5.5.4" },
	{ "a second path", LIT("FROM:<a@b> <c@d>"), NULL, NULL, 0, 0, "5.5.4" },
};

static const char *params_text(const struct smtp_param *params, size_t count, char *out)
{
	char *at = out;

	*at = '\0';
	for (size_t i = 0; i < count; i++)
		at += sprintf(at, "%.*s%s%.*s ", TEXT_ARGS(params[i].keyword), params[i].has_value ? "=" : "",
		              TEXT_ARGS(params[i].value));
	return out;
}

static void mail_arguments_are_taken_apart(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(mail_cases); i++) {
		const char *name = mail_cases[i].name;
		struct smtp_mail mail;
		struct reply refusal = { 0 };
		char *copy = alone(mail_cases[i].args), params[500];
		enum err err = smtp_mail_parse(text_of(copy, mail_cases[i].args.len), &mail, &refusal);

		CHECK_INT(name, err, mail_cases[i].reverse_path ? ERR_OK : ERR_SYNTAX);
		if (err) {
			CHECK_INT(name, refusal.code, 501);
			CHECK_TEXT(name, text_from(refusal.enhanced), text_from(mail_cases[i].enhanced));
			CHECK(name, refusal.text.len > 0);
		} else {
			CHECK_TEXT(name, mail.reverse_path.mailbox, text_from(mail_cases[i].reverse_path));
			CHECK_TEXT(name, text_from(params_text(mail.others, mail.other_count, params)),
			           text_from(mail_cases[i].others));
			CHECK_INT(name, mail.body, mail_cases[i].body);
			if (mail.has_size)
				CHECK(name, mail.size_bytes == (uint64_t)mail_cases[i].size);
			else
				CHECK_INT(name, mail_cases[i].size, -1);
		}
		free(copy);
	}
}

/* ---------------------------------------------------------------- RCPT */

static const struct {
	const char *name;
	struct text args;
	const char *forward_path, *others, *enhanced;
} rcpt_cases[] = {
	{ "a mailbox", LIT("TO:<ann@example.com>"), "ann@example.com", "", NULL },
	{ "postmaster alone", LIT("to:<Postmaster>"), "Postmaster", "", NULL },
	{ "a source route", LIT("TO:<@a:ann@b>"), "ann@b", "", NULL },
	{ "a space behind the colon", LIT("TO: <a@b>"), "a@b", "", NULL },
	{ "parameters", LIT("TO:<a@b> NOTIFY=NEVER ORCPT=rfc822;a@b"), "a@b",
	  "NOTIFY=NEVER ORCPT=rfc822;a@b ", NULL },
	{ "SIZE is no parameter of RCPT", LIT("TO:<a@b> SIZE=1"), "a@b", "SIZE=1 ", NULL },
	{ "the null path", LIT("TO:<>"), NULL, NULL, "5.1.3" },
	{ "no domain", LIT("TO:<ann>"), NULL, NULL, "5.1.3" },
	{ "two recipients", LIT("TO:<a@b>,<c@d>"), NULL, NULL, "5.5.4" },
	{ "a local part that is too long",
	  LIT("TO:<0123456789012345678901234567890123456789012345678901234567890123x@b>"), NULL, NULL,
	  "5.1.3" },
	{ "FROM", LIT("FROM:<a@b>"), NULL, NULL, "5.5.2" },
	{ "a parameter twice", LIT("TO:<a@b> X X"), NULL, NULL, "5.5.4" },
};

static void rcpt_arguments_are_taken_apart(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rcpt_cases); i++) {
		const char *name = rcpt_cases[i].name;
		struct smtp_rcpt rcpt;
		struct reply refusal = { 0 };
		char params[500];
		enum err err = smtp_rcpt_parse(rcpt_cases[i].args, &rcpt, &refusal);

		CHECK_INT(name, err, rcpt_cases[i].forward_path ? ERR_OK : ERR_SYNTAX);
		if (err) {
			CHECK_INT(name, refusal.code, 501);
			CHECK_TEXT(name, text_from(refusal.enhanced), text_from(rcpt_cases[i].enhanced));
		} else {
			CHECK_TEXT(name, rcpt.forward_path.mailbox, text_from(rcpt_cases[i].forward_path));
			CHECK_TEXT(name, text_from(params_text(rcpt.others, rcpt.other_count, params)),
			           text_from(rcpt_cases[i].others));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_is_a_verb_and_arguments),
		cmocka_unit_test(every_verb_is_known_by_its_text),
		cmocka_unit_test(mail_arguments_are_taken_apart),
		cmocka_unit_test(rcpt_arguments_are_taken_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
