/* What is asked, octet by octet, and what answers mean. */
#include <stdio.h>

#include "support/check.h"

#include "policy_protocol.h"

static void the_question_has_every_attribute(void **state)
{
	struct buf b = BUF(POLICY_QUESTION_MAX);
	const struct policy_question q = {
		.stage = POLICY_AT_RCPT,
		.protocol_name = TEXT("ESMTP"),
		.helo_name = TEXT("printer.example.org"),
		.queue_id = TEXT("01J"),
		.sender = TEXT("scan@example.org"),
		.recipient = TEXT("a@example.net"),
		.client = { ip_from_v4(0xc0000207), 40000 },
		.client_name = TEXT("printer"),
		.server = { ip_from_v4(0x7f000001), 587 },
		.size = 12345,
		.instance = TEXT("1f.2"),
		.sasl_method = TEXT("PLAIN"),
		.sasl_username = TEXT("scan"),
		.ccert_subject = TEXT("CN=printer"),
		.ccert_fingerprint = TEXT("00ffe1"),
		.encryption_protocol = TEXT("TLSv1.3"),
		.encryption_cipher = TEXT("TLS_AES_128_GCM_SHA256"),
	};

	(void)state;
	policy_question_write(&b, &q);
	CHECK_TEXT("the whole question", buf_text(&b),
	           TEXT("request=smtpd_access_policy\n"
	                "protocol_state=RCPT\n"
	                "protocol_name=ESMTP\n"
	                "client_address=192.0.2.7\n"
	                "client_port=40000\n"
	                "client_name=printer\n"
	                "reverse_client_name=printer\n"
	                "server_address=127.0.0.1\n"
	                "server_port=587\n"
	                "helo_name=printer.example.org\n"
	                "queue_id=01J\n"
	                "sender=scan@example.org\n"
	                "recipient=a@example.net\n"
	                "recipient_count=0\n"
	                "size=12345\n"
	                "instance=1f.2\n"
	                "etrn_domain=\n"
	                "stress=\n"
	                "sasl_method=PLAIN\n"
	                "sasl_username=scan\n"
	                "sasl_sender=\n"
	                "ccert_subject=CN=printer\n"
	                "ccert_issuer=\n"
	                "ccert_fingerprint=00:FF:E1\n"
	                "ccert_pubkey_fingerprint=\n"
	                "encryption_protocol=TLSv1.3\n"
	                "encryption_cipher=TLS_AES_128_GCM_SHA256\n"
	                "encryption_keysize=128\n"
	                "policy_context=\n"
	                "\n"));
	buf_fini(&b);
}

static bool has_line(const struct buf *b, const char *line)
{
	AUTO(buf_fini) struct buf wanted = BUF(4096);

	buf_add_format(&wanted, "\n%s\n", line);
	return text_find(buf_text(b), buf_text(&wanted)) < b->len;
}

static void a_unix_client_has_an_address_that_services_understand(void **state)
{
	struct buf b = BUF(POLICY_QUESTION_MAX);

	(void)state;
	policy_question_write(&b,
	                      &(struct policy_question){ .stage = POLICY_AT_END_OF_MESSAGE, .stress = true });
	assert_true(has_line(&b, "protocol_state=END-OF-MESSAGE"));
	assert_true(has_line(&b, "client_address=127.0.0.1"));
	assert_true(has_line(&b, "client_port=0"));
	assert_true(has_line(&b, "client_name=localhost"));
	assert_true(has_line(&b, "stress=yes"));
	buf_reset(&b);
	policy_question_write(&b, &(struct policy_question){ .client = { ip_from_v4(0xc0000201), 1 } });
	assert_true(has_line(&b, "client_name=unknown"));
	buf_fini(&b);
}

static void the_keysize_is_in_the_ciphers_name(void **state)
{
	static const struct {
		struct text cipher;
		const char *line;
	} ciphers[] = {
		{ LIT("TLS1-3-AES-256-GCM-SHA384"), "encryption_keysize=256" },
		{ LIT("TLS-ECDHE-RSA-WITH-AES-128-GCM-SHA256"), "encryption_keysize=128" },
		{ LIT("TLS_AES_256_GCM_SHA384"), "encryption_keysize=256" },
		{ LIT("TLS-ECDHE-ECDSA-WITH-CHACHA20-POLY1305-SHA256"), "encryption_keysize=256" },
		{ LIT("AES"), "encryption_keysize=0" },
		{ LIT(""), "encryption_keysize=0" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(ciphers); i++) {
		struct buf b = BUF(POLICY_QUESTION_MAX);

		policy_question_write(&b,
		                      &(struct policy_question){ .encryption_cipher = ciphers[i].cipher });
		CHECK(ciphers[i].line, has_line(&b, ciphers[i].line));
		buf_fini(&b);
	}
}

static size_t count_lines(struct text t)
{
	size_t count = 0;

	for (size_t i = 0; i < t.len; i++)
		count += t.at[i] == '\n';
	return count;
}

static void no_value_adds_a_line(void **state)
{
	struct buf plain = BUF(POLICY_QUESTION_MAX), evil = BUF(POLICY_QUESTION_MAX),
		   big = BUF(POLICY_QUESTION_MAX);
	static char many[10000];

	(void)state;
	policy_question_write(&plain, &(struct policy_question){ .stage = POLICY_AT_RCPT });
	policy_question_write(&evil,
	                      &(struct policy_question){ .helo_name = TEXT("x\nclient_address=127.0.0.1\n\n"),
	                                                 .sender = TEXT("a\r\nb\0c\x7f@example.org") });
	assert_int_equal(count_lines(buf_text(&evil)), count_lines(buf_text(&plain)));
	assert_true(has_line(&evil, "helo_name=x?client_address=127.0.0.1??"));
	assert_true(has_line(&evil, "sender=a??b?c?@example.org"));

	memset(many, 'a', sizeof(many));
	struct text long_text = text_of(many, sizeof(many));
	policy_question_write(&big, &(struct policy_question){ .helo_name = long_text,
	                                                       .sender = long_text,
	                                                       .recipient = long_text,
	                                                       .sasl_username = long_text,
	                                                       .sasl_method = long_text,
	                                                       .ccert_subject = long_text });
	assert_int_equal(buf_err(&big), ERR_OK);
	assert_true(big.len < 6 * POLICY_VALUE_MAX + 2000);
	buf_fini(&plain);
	buf_fini(&evil);
	buf_fini(&big);
}

/* ---------------------------------------------------------------- finding answers */

static const struct {
	const char *name;
	struct text bytes;
	enum err err;
	struct text action;
	size_t taken;
} find_cases[] = {
	{ "the usual", LIT("action=DUNNO\n\n"), ERR_OK, LIT("DUNNO"), 14 },
	{ "with CR LF", LIT("action=DUNNO\r\n\r\n"), ERR_OK, LIT("DUNNO"), 16 },
	{ "with other attributes", LIT("log=1\naction=OK\nx=y\n\n"), ERR_OK, LIT("OK"), 21 },
	{ "spaces around", LIT("action= REJECT no \n\n"), ERR_OK, LIT("REJECT no"), 20 },
	{ "in capitals", LIT("ACTION=dunno\n\n"), ERR_OK, LIT("dunno"), 14 },
	{ "the first action counts", LIT("action=OK\naction=REJECT\n\n"), ERR_OK, LIT("OK"), 25 },
	{ "an equals sign in the action", LIT("action=PREPEND X: a=b\n\n"), ERR_OK, LIT("PREPEND X: a=b"),
	  23 },
	{ "an empty action", LIT("action=\n\n"), ERR_OK, LIT(""), 9 },
	{ "more behind it", LIT("action=OK\n\naction=REJECT\n\n"), ERR_OK, LIT("OK"), 11 },
	{ "nothing", LIT(""), ERR_MORE, LIT(""), 0 },
	{ "half a line", LIT("action=DUN"), ERR_MORE, LIT(""), 0 },
	{ "no empty line yet", LIT("action=DUNNO\n"), ERR_MORE, LIT(""), 0 },
	{ "no attribute", LIT("DUNNO\n\n"), ERR_SYNTAX, LIT(""), 0 },
	{ "no attribute, seen before the end", LIT("220 mail ESMTP\r\n"), ERR_SYNTAX, LIT(""), 0 },
	{ "no name", LIT("=x\n\n"), ERR_SYNTAX, LIT(""), 0 },
	{ "no action", LIT("x=y\n\n"), ERR_SYNTAX, LIT(""), 0 },
	{ "only the empty line", LIT("\n"), ERR_SYNTAX, LIT(""), 0 },
};

static void answers_are_found(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(find_cases); i++) {
		const char *row = find_cases[i].name;
		char *bytes = alone(find_cases[i].bytes);
		struct text action = TEXT_EMPTY;
		size_t taken = 0;

		CHECK_INT(row, policy_answer_find(text_of(bytes, find_cases[i].bytes.len), &action, &taken),
		          find_cases[i].err);
		CHECK_INT(row, taken, find_cases[i].taken);
		CHECK_TEXT(row, action, find_cases[i].action);
		free(bytes);
	}
}

static void an_answer_without_an_end_is_too_big(void **state)
{
	struct buf b = BUF(64u << 10);
	struct text action;
	size_t taken;

	(void)state;
	while (b.len < POLICY_ANSWER_MAX - 4)
		buf_add_string(&b, "x=y\n");
	assert_int_equal(policy_answer_find(buf_text(&b), &action, &taken), ERR_MORE);
	buf_add_string(&b, "x=yz\n\n");
	assert_int_equal(policy_answer_find(buf_text(&b), &action, &taken), ERR_TOO_BIG);
	buf_reset(&b);
	buf_add_string(&b, "action=");
	while (b.len < POLICY_ANSWER_MAX)
		buf_add_octet(&b, 'x');
	assert_int_equal(policy_answer_find(buf_text(&b), &action, &taken), ERR_TOO_BIG);
	buf_fini(&b);
}

/* ---------------------------------------------------------------- what they mean */

#define REFUSED "Refused by a policy service"
#define DEFERRED "Deferred by a policy service, try again later"

static const struct {
	struct text action;
	enum err err;
	enum policy_verdict verdict;
	int code;
	const char *enhanced;
	struct text text; /* of the reply, the field, or the note */
} actions[] = {
	{ LIT("DUNNO"), ERR_OK, POLICY_PASS, 0, "", LIT("") },
	{ LIT("dunno whatever"), ERR_OK, POLICY_PASS, 0, "", LIT("") },
	{ LIT("OK"), ERR_OK, POLICY_PASS, 0, "", LIT("") },
	{ LIT("PERMIT"), ERR_OK, POLICY_PASS, 0, "", LIT("") },
	{ LIT("DEFER_IF_REJECT later"), ERR_OK, POLICY_PASS, 0, "", LIT("") },
	{ LIT("1767225600"), ERR_OK, POLICY_PASS, 0, "", LIT("") },
	{ LIT("250"), ERR_OK, POLICY_PASS, 0, "", LIT("") },
	{ LIT("REJECT"), ERR_OK, POLICY_REFUSE, 554, "5.7.1", LIT(REFUSED) },
	{ LIT("reject go away"), ERR_OK, POLICY_REFUSE, 554, "5.7.1", LIT("go away") },
	{ LIT("REJECT\tgo away"), ERR_OK, POLICY_REFUSE, 554, "5.7.1", LIT("go away") },
	{ LIT("REJECT 5.1.1 no such user"), ERR_OK, POLICY_REFUSE, 554, "5.1.1", LIT("no such user") },
	{ LIT("REJECT 5.1.1"), ERR_OK, POLICY_REFUSE, 554, "5.1.1", LIT(REFUSED) },
	{ LIT("REJECT 4.2.0 of another class"), ERR_OK, POLICY_REFUSE, 554, "5.2.0",
	  LIT("of another class") },
	{ LIT("REJECT 3.2.0 of none"), ERR_OK, POLICY_REFUSE, 554, "5.7.1", LIT("3.2.0 of none") },
	{ LIT("REJECT 5.1234.1 too long"), ERR_OK, POLICY_REFUSE, 554, "5.7.1", LIT("5.1234.1 too long") },
	{ LIT("REJECT 5.999.999 odd"), ERR_OK, POLICY_REFUSE, 554, "5.999.999", LIT("odd") },
	{ LIT("REJECT bad\001 \303\251 text\r"), ERR_OK, POLICY_REFUSE, 554, "5.7.1", LIT("bad? ?? text?") },
	{ LIT("DEFER"), ERR_OK, POLICY_REFUSE, 450, "4.7.1", LIT(DEFERRED) },
	{ LIT("DEFER_IF_PERMIT greylisted"), ERR_OK, POLICY_REFUSE, 450, "4.7.1", LIT("greylisted") },
	{ LIT("DEFER 5.7.0 of another class"), ERR_OK, POLICY_REFUSE, 450, "4.7.0", LIT("of another class") },
	{ LIT("450 4.7.1 greylisted"), ERR_OK, POLICY_REFUSE, 450, "4.7.1", LIT("greylisted") },
	{ LIT("550 no"), ERR_OK, POLICY_REFUSE, 550, "5.7.1", LIT("no") },
	{ LIT("550 4.7.1 no"), ERR_OK, POLICY_REFUSE, 550, "5.7.1", LIT("no") },
	{ LIT("421 4.3.2 come back later"), ERR_OK, POLICY_REFUSE, 421, "4.3.2", LIT("come back later") },
	{ LIT("554"), ERR_OK, POLICY_REFUSE, 554, "5.7.1", LIT(REFUSED) },
	{ LIT("HOLD for the boss"), ERR_OK, POLICY_HOLD, 0, "", LIT("for the boss") },
	{ LIT("DISCARD"), ERR_OK, POLICY_DISCARD, 0, "", LIT("") },
	{ LIT("WARN odd\nclient"), ERR_OK, POLICY_PASS, 0, "", LIT("odd?client") },
	{ LIT("INFO seen"), ERR_OK, POLICY_PASS, 0, "", LIT("seen") },
	{ LIT("PREPEND X-Spam: no"), ERR_OK, POLICY_PREPEND, 0, "", LIT("X-Spam: no") },
	{ LIT("PREPEND X-Spam:no\tnot at all"), ERR_OK, POLICY_PREPEND, 0, "",
	  LIT("X-Spam: no\tnot at all") },
	{ LIT("PREPEND X-Empty:"), ERR_OK, POLICY_PREPEND, 0, "", LIT("X-Empty: ") },
	{ LIT("PREPEND"), ERR_SYNTAX },
	{ LIT("PREPEND X-Spam"), ERR_SYNTAX },
	{ LIT("PREPEND : no name"), ERR_SYNTAX },
	{ LIT("PREPEND X Spam: a space in the name"), ERR_SYNTAX },
	{ LIT("PREPEND X-Spam: no\r"), ERR_SYNTAX },
	{ LIT("PREPEND X-Spam: a\rBcc: b"), ERR_SYNTAX },
	{ LIT("PREPEND X-Spam: a\nBcc: b"), ERR_SYNTAX },
	{ LIT("PREPEND X-Spam: a\0b"), ERR_SYNTAX },
	{ LIT("PREPEND X-Spam: caf\303\251"), ERR_SYNTAX },
	{ LIT("PREPEND X\303\251: a"), ERR_SYNTAX },
	{ LIT(""), ERR_UNSUPPORTED },
	{ LIT("FILTER smtp:[127.0.0.1]:10025"), ERR_UNSUPPORTED },
	{ LIT("REDIRECT a@example.org"), ERR_UNSUPPORTED },
	{ LIT("BCC a@example.org"), ERR_UNSUPPORTED },
	{ LIT("reject_unauth_destination"), ERR_UNSUPPORTED },
	{ LIT("REJECTED"), ERR_UNSUPPORTED },
	{ LIT("250 fine"), ERR_UNSUPPORTED },
	{ LIT("5500 no"), ERR_UNSUPPORTED },
	{ LIT("55 no"), ERR_UNSUPPORTED },
	{ LIT("5x0 no"), ERR_UNSUPPORTED },
};

static void check_answer(const char *row, size_t i, const struct policy_answer *a)
{
	CHECK_INT(row, a->verdict, actions[i].verdict);
	CHECK_INT(row, a->reply.code, actions[i].code);
	CHECK_TEXT(row, text_from(a->reply.enhanced), text_from(actions[i].enhanced));
	CHECK_TEXT(row,
	           a->verdict == POLICY_REFUSE    ? a->reply.text
	           : a->verdict == POLICY_PREPEND ? a->field
	                                          : a->note,
	           actions[i].text);
	CHECK(row, !a->failed && a->problem.len == 0);
}

static void actions_become_verdicts(void **state)
{
	struct buf words = BUF(4096);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(actions); i++) {
		char row[128];
		char *bytes = alone(actions[i].action);
		struct policy_answer a;

		snprintf(row, sizeof(row), "row %zu, %.*s", i, TEXT_ARGS(actions[i].action));
		CHECK_INT(row, policy_answer_read(text_of(bytes, actions[i].action.len), &words, &a),
		          actions[i].err);
		free(bytes);
		if (actions[i].err)
			CHECK(row, a.problem.len > 0);
		else
			check_answer(row, i, &a);
	}
	buf_fini(&words);
}

static void a_warning_is_one(void **state)
{
	struct buf words = BUF(4096);
	struct policy_answer a;

	(void)state;
	assert_int_equal(policy_answer_read(TEXT("WARN x"), &words, &a), ERR_OK);
	assert_int_equal(a.level, LEVEL_WARN);
	assert_int_equal(policy_answer_read(TEXT("INFO x"), &words, &a), ERR_OK);
	assert_int_equal(a.level, LEVEL_INFO);
	buf_fini(&words);
}

/* Texts as long as an answer may be, and a field at its limit. */
static void lengths_are_bounded(void **state)
{
	struct buf words = BUF(4096), action = BUF(POLICY_ANSWER_MAX);
	static char many[POLICY_ANSWER_MAX];
	struct policy_answer a;

	(void)state;
	memset(many, 'x', sizeof(many));
	buf_add_string(&action, "REJECT ");
	buf_add_bytes(&action, many, 8000);
	assert_int_equal(policy_answer_read(buf_text(&action), &words, &a), ERR_OK);
	assert_int_equal(a.reply.text.len, POLICY_REPLY_TEXT_MAX);
	buf_reset(&action);
	buf_add_string(&action, "WARN ");
	buf_add_bytes(&action, many, 8000);
	assert_int_equal(policy_answer_read(buf_text(&action), &words, &a), ERR_OK);
	assert_int_equal(a.note.len, POLICY_VALUE_MAX);
	for (size_t len = POLICY_FIELD_MAX - 3; len < POLICY_FIELD_MAX + 3; len++) {
		buf_reset(&action);
		buf_add_string(&action, "PREPEND X:");
		buf_add_bytes(&action, many, len - 3);
		enum err err = policy_answer_read(buf_text(&action), &words, &a);

		assert_int_equal(err, len <= POLICY_FIELD_MAX ? ERR_OK : ERR_SYNTAX);
		if (!err)
			assert_int_equal(a.field.len, len);
	}
	buf_reset(&action);
	buf_add_bytes(&action, many, 8000);
	assert_int_equal(policy_answer_read(buf_text(&action), &words, &a), ERR_UNSUPPORTED);
	assert_true(a.problem.len < 200);
	buf_fini(&words);
	buf_fini(&action);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_question_has_every_attribute),
		cmocka_unit_test(a_unix_client_has_an_address_that_services_understand),
		cmocka_unit_test(the_keysize_is_in_the_ciphers_name),
		cmocka_unit_test(no_value_adds_a_line),
		cmocka_unit_test(answers_are_found),
		cmocka_unit_test(an_answer_without_an_end_is_too_big),
		cmocka_unit_test(actions_become_verdicts),
		cmocka_unit_test(a_warning_is_one),
		cmocka_unit_test(lengths_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
