/* Dovecot's lines, read and written. */
#include <stdio.h>

#include "support/check.h"

#include "dovecot_protocol.h"

/* ---------------------------------------------------------------- the greeting */

static const struct {
	const char *name;
	const char *lines; /* with LF between them */
	enum err err;      /* of the last line; those before it are fine */
	bool is_done;
	unsigned mechanisms;
} greetings[] = {
	{ "Dovecot 2.3",
	  "VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nMECH\tLOGIN\tplaintext\nMECH\tSCRAM-SHA-256\tmutual-auth\nSPID\t7222\n"
	  "CUID\t1\nCOOKIE\td65eeae2f48e9baaa57faaef797ffa66\nDONE",
	  ERR_OK, true, AUTH_PLAIN | AUTH_SCRAM_SHA_256 },
	{ "tokens too", "VERSION\t1\t2\nMECH\tXOAUTH2\tplaintext\nMECH\tOAUTHBEARER\tplaintext\nDONE", ERR_OK,
	  true, AUTH_XOAUTH2 | AUTH_OAUTHBEARER },
	{ "what cannot be relayed",
	  "VERSION\t1\t1\nMECH\tDIGEST-MD5\nMECH\tGSSAPI\nMECH\tEXTERNAL\nMECH\tSCRAM-SHA-256-PLUS\nMECH\tANONYMOUS\nDONE",
	  ERR_OK, true, 0 },
	{ "any minor version, words not known", "VERSION\t1\t99\nNEWS\tx\nMECH\tplain\nDONE", ERR_OK, true,
	  AUTH_PLAIN },
	{ "not done yet", "VERSION\t1\t2\nMECH\tPLAIN\tplaintext", ERR_OK, false, AUTH_PLAIN },
	{ "another major version", "VERSION\t2\t0", ERR_UNSUPPORTED, false, 0 },
	{ "no version", "MECH\tPLAIN", ERR_SYNTAX, false, 0 },
	{ "done before anything", "DONE", ERR_SYNTAX, false, 0 },
	{ "an SMTP server", "220 mail.example.org ESMTP\r", ERR_SYNTAX, false, 0 },
	{ "a version that is no number", "VERSION\tone\t2", ERR_SYNTAX, false, 0 },
	{ "an empty line", "", ERR_SYNTAX, false, 0 },
};

static void greetings_are_understood(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(greetings); i++) {
		const char *row = greetings[i].name;
		struct dovecot_handshake h = { 0 };
		struct text rest = text_from(greetings[i].lines);
		struct dovecot_line line;
		enum err err;

		do {
			struct text t = text_cut(&rest, '\n');
			char *bytes = alone(t);

			err = dovecot_read(&h, text_of(bytes, t.len), &line);
			free(bytes);
			if (rest.len)
				CHECK(row, err == ERR_OK && line.kind == DOVECOT_NOTHING);
		} while (rest.len);
		CHECK_INT(row, err, greetings[i].err);
		CHECK_INT(row, h.is_done, greetings[i].is_done);
		CHECK_INT(row, h.mechanisms, greetings[i].mechanisms);
		if (greetings[i].is_done)
			CHECK_INT(row, line.kind, DOVECOT_READY);
	}
}

static void a_greeting_without_an_end_is_too_big(void **state)
{
	struct dovecot_handshake h = { 0 };
	struct dovecot_line line;

	(void)state;
	assert_int_equal(dovecot_read(&h, TEXT("VERSION\t1\t2"), &line), ERR_OK);
	for (unsigned i = 1; i < DOVECOT_HANDSHAKE_LINES_MAX; i++)
		assert_int_equal(dovecot_read(&h, TEXT("MECH\tX"), &line), ERR_OK);
	assert_int_equal(dovecot_read(&h, TEXT("MECH\tX"), &line), ERR_TOO_BIG);
}

/* ---------------------------------------------------------------- about requests */

static const struct {
	struct text line;
	enum err err;
	enum dovecot_kind kind;
	uint32_t id;
	struct text data, user, reason;
	bool temporary;
} answers[] = {
	{ LIT("OK\t1\tuser=alice"), ERR_OK, DOVECOT_OK, 1, LIT(""), LIT("alice"), LIT(""), false },
	{ LIT("OK\t7\tx=y\tuser=alice\tresp=dj0x"), ERR_OK, DOVECOT_OK, 7, LIT("dj0x"), LIT("alice"), LIT(""),
	  false },
	{ LIT("OK\t4294967295"), ERR_OK, DOVECOT_OK, 4294967295u, LIT(""), LIT(""), LIT(""), false },
	{ LIT("FAIL\t2\tuser=alice"), ERR_OK, DOVECOT_FAIL, 2, LIT(""), LIT("alice"), LIT(""), false },
	{ LIT("FAIL\t2\ttemp"), ERR_OK, DOVECOT_FAIL, 2, LIT(""), LIT(""), LIT(""), true },
	{ LIT("FAIL\t2\tuser=a\tcode=temp_fail\treason=the database"), ERR_OK, DOVECOT_FAIL, 2, LIT(""),
	  LIT("a"), LIT("the database"), true },
	{ LIT("FAIL\t2\ttemperature"), ERR_OK, DOVECOT_FAIL, 2, LIT(""), LIT(""), LIT(""), false },
	{ LIT("CONT\t3\tcj1hYmM="), ERR_OK, DOVECOT_CONT, 3, LIT("cj1hYmM="), LIT(""), LIT(""), false },
	{ LIT("CONT\t3\t"), ERR_OK, DOVECOT_CONT, 3, LIT(""), LIT(""), LIT(""), false },
	{ LIT("CONT\t3"), ERR_OK, DOVECOT_CONT, 3, LIT(""), LIT(""), LIT(""), false },
	{ LIT("NOTFOUND\t3"), ERR_OK, DOVECOT_NOTHING },
	{ LIT(""), ERR_OK, DOVECOT_NOTHING },
	{ LIT("OK"), ERR_SYNTAX },
	{ LIT("OK\t"), ERR_SYNTAX },
	{ LIT("OK\tx\tuser=a"), ERR_SYNTAX },
	{ LIT("OK\t-1\tuser=a"), ERR_SYNTAX },
	{ LIT("OK\t4294967296\tuser=a"), ERR_TOO_BIG },
	{ LIT("CONT\t\tdj0x"), ERR_SYNTAX },
};

static void answers_are_understood(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
		struct dovecot_handshake h = { .has_version = true, .is_done = true };
		struct dovecot_line line;
		char row[64];
		char *bytes = alone(answers[i].line);

		snprintf(row, sizeof(row), "%.*s", TEXT_ARGS(answers[i].line));
		enum err err = dovecot_read(&h, text_of(bytes, answers[i].line.len), &line);

		CHECK_INT(row, err != ERR_OK, answers[i].err != ERR_OK);
		CHECK_INT(row, line.kind, answers[i].err ? DOVECOT_NOTHING : answers[i].kind);
		if (!err) {
			CHECK_INT(row, line.id, answers[i].id);
			CHECK_TEXT(row, line.data, answers[i].data);
			CHECK_TEXT(row, line.user, answers[i].user);
			CHECK_TEXT(row, line.reason, answers[i].reason);
			CHECK_INT(row, line.temporary, answers[i].temporary);
		}
		free(bytes);
	}
}

static const struct {
	struct text escaped, plain;
	enum err err;
} escapes[] = {
	{ LIT(""), LIT(""), ERR_OK },
	{ LIT("alice"), LIT("alice"), ERR_OK },
	{ LIT("a\001tb\001nc\001rd\0011e\0010"), LIT("a\tb\nc\rd\001e\0"), ERR_OK },
	{ LIT("a\001"), LIT(""), ERR_SYNTAX },
	{ LIT("a\001x"), LIT(""), ERR_SYNTAX },
	{ LIT("a\001\001t"), LIT(""), ERR_SYNTAX },
};

static void escapes_are_undone(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(escapes); i++) {
		struct buf out = BUF(64);
		char *bytes = alone(escapes[i].escaped);

		assert_int_equal(dovecot_unescape(text_of(bytes, escapes[i].escaped.len), &out),
		                 escapes[i].err);
		if (!escapes[i].err)
			CHECK_TEXT("unescaped", buf_text(&out), escapes[i].plain);
		free(bytes);
		buf_fini(&out);
	}
	struct buf small = BUF(3);

	assert_int_equal(dovecot_unescape(TEXT("alice"), &small), ERR_TOO_BIG);
	buf_fini(&small);
}

/* ---------------------------------------------------------------- what we say */

static void requests_are_written(void **state)
{
	struct buf b = BUF(4096);

	(void)state;
	dovecot_write_hello(&b, 4711);
	CHECK_TEXT("hello", buf_text(&b), TEXT("VERSION\t1\t1\nCPID\t4711\n"));
	buf_reset(&b);
	dovecot_write_auth(&b, 3,
	                   &(struct auth_request){ .mechanism = AUTH_PLAIN,
	                                           .has_initial = true,
	                                           .initial = TEXT("\0alice\0secret"),
	                                           .client = ip_from_v4(0xc0000207),
	                                           .tls = true });
	CHECK_TEXT(
		"all of it", buf_text(&b),
		TEXT("AUTH\t3\tPLAIN\tservice=smtp\tnologin\tno-penalty\trip=192.0.2.7\tsecured\tresp=AGFsaWNlAHNlY3JldA==\n"));
	buf_reset(&b);
	dovecot_write_auth(&b, 4, &(struct auth_request){ .mechanism = AUTH_SCRAM_SHA_256 });
	CHECK_TEXT("a Unix client, no first message", buf_text(&b),
	           TEXT("AUTH\t4\tSCRAM-SHA-256\tservice=smtp\tnologin\tno-penalty\n"));
	buf_reset(&b);
	dovecot_write_auth(&b, 5, &(struct auth_request){ .mechanism = AUTH_PLAIN, .has_initial = true });
	CHECK_TEXT("an empty first message", buf_text(&b),
	           TEXT("AUTH\t5\tPLAIN\tservice=smtp\tnologin\tno-penalty\tresp=\n"));
	buf_reset(&b);
	dovecot_write_cont(&b, 6, TEXT("c=biws"));
	dovecot_write_cont(&b, 6, TEXT(""));
	dovecot_write_cancel(&b, 6);
	CHECK_TEXT("going on", buf_text(&b), TEXT("CONT\t6\tYz1iaXdz\nCONT\t6\t\nCANCEL\t6\n"));
	buf_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(greetings_are_understood),
		cmocka_unit_test(a_greeting_without_an_end_is_too_big),
		cmocka_unit_test(answers_are_understood),
		cmocka_unit_test(escapes_are_undone),
		cmocka_unit_test(requests_are_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
