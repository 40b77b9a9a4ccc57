#include <postrider/mail/submission.h>

#include "support/alloc.h"
#include "support/check.h"

enum { T = 1, S = 2, X = 4 }; /* recipients, sender, X- fields */

static const struct {
	const char *name;
	unsigned wanted;
	struct text section;
	enum err err;
	const char *problem, *sender, *recipients, *header; /* header NULL: as it was; sender NULL: none */
} cases[] = {
	{ "to cc bcc", T, LIT("To: a@a.example\r\nCc: b@b.example\r\nBcc: c@c.example\r\n"), ERR_OK, "", NULL,
	  "a@a.example|b@b.example|c@c.example|", "To: a@a.example\r\nCc: b@b.example\r\n" },
	{ "not asked", 0, LIT("To: a@a.example\r\nBcc: c@c.example\r\n"), ERR_OK, "", NULL, "",
	  "To: a@a.example\r\n" },
	{ "a folded bcc goes whole", T, LIT("bCC: a@a.example,\r\n b@b.example\r\nSubject: x\r\n"), ERR_OK,
	  "", NULL, "a@a.example|b@b.example|", "Subject: x\r\n" },
	{ "each one once", T, LIT("To: a@a.example, A <a@a.example>\r\nCc: a@a.example\r\n"), ERR_OK, "",
	  NULL, "a@a.example|", NULL },
	{ "several To fields", T, LIT("To: a@a.example\r\nTo: b@b.example\r\n"), ERR_OK, "", NULL,
	  "a@a.example|b@b.example|", NULL },
	{ "without a domain", T, LIT("To: root, Bob <bob>\r\n"), ERR_OK, "", NULL,
	  "root@host.example|bob@host.example|", NULL },
	{ "resent only", T,
	  LIT("Resent-To: r@r.example\r\nResent-Bcc: h@h.example\r\nReceived: x\r\nTo: a@a.example\r\nBcc: b@b.example\r\n"),
	  ERR_OK, "", NULL, "r@r.example|h@h.example|",
	  "Resent-To: r@r.example\r\nReceived: x\r\nTo: a@a.example\r\n" },
	{ "the first resent group only", T,
	  LIT("Resent-From: f@f.example\r\nResent-To: r@r.example\r\nReceived: x\r\nResent-To: old@r.example\r\n"
	      "Resent-Bcc: old2@r.example\r\nTo: a@a.example\r\n"),
	  ERR_OK, "", NULL, "r@r.example|",
	  "Resent-From: f@f.example\r\nResent-To: r@r.example\r\nReceived: x\r\nResent-To: old@r.example\r\n"
	  "To: a@a.example\r\n" },
	{ "what is for nobody", T,
	  LIT("Return-Path: <x@x.example>\r\nContent-Length: 7\r\nTo: a@a.example\r\n"), ERR_OK, "", NULL,
	  "a@a.example|", "To: a@a.example\r\n" },
	{ "a group", T, LIT("To: list: a@a.example, b@b.example;\r\n"), ERR_OK, "", NULL,
	  "a@a.example|b@b.example|", NULL },
	{ "nobody", T, LIT("To: undisclosed-recipients:;\r\n"), ERR_OK, "", NULL, "", NULL },
	{ "no section", T, LIT(""), ERR_OK, "", NULL, "", NULL },
	{ "similar names", T,
	  LIT("Apparently-To: a@a.example\r\nReply-To: b@b.example\r\nTo2: c@c.example\r\n"), ERR_OK, "",
	  NULL, "", NULL },
	{ "a sender", T | S, LIT("From: Ann <ann@a.example>, bob@a.example\r\nTo: a@a.example\r\n"), ERR_OK,
	  "", "ann@a.example", "a@a.example|", NULL },
	{ "Sender before From", S, LIT("From: ann@a.example\r\nSender: sec@a.example\r\n"), ERR_OK, "",
	  "sec@a.example", "", NULL },
	{ "who resent it", S, LIT("Resent-From: r@r.example\r\nFrom: ann@a.example\r\n"), ERR_OK, "",
	  "r@r.example", "", NULL },
	{ "no sender", S, LIT("To: a@a.example\r\n"), ERR_OK, "", NULL, "", NULL },
	{ "x fields", T | S | X,
	  LIT("X-Sender: env@a.example\r\nX-Receiver: b@b.example\r\nX-Receiver: c@c.example\r\nFrom: ann@a.example\r\n"
	      "To: a@a.example\r\n"),
	  ERR_OK, "", "env@a.example", "b@b.example|c@c.example|",
	  "From: ann@a.example\r\nTo: a@a.example\r\n" },
	{ "x fields in brackets", T | S | X,
	  LIT("X-Sender: <env@a.example>\r\nX-Receiver: <b@b.example>\r\n"), ERR_OK, "", "env@a.example",
	  "b@b.example|", "" },
	{ "the null sender", T | S | X,
	  LIT("X-Sender: <>\r\nX-Receiver: b@b.example\r\nFrom: a@a.example\r\n"), ERR_OK, "", "",
	  "b@b.example|", "From: a@a.example\r\n" },
	{ "x sender alone", T | S | X, LIT("X-Sender: env@a.example\r\nTo: a@a.example\r\n"), ERR_OK, "",
	  "env@a.example", "a@a.example|", "To: a@a.example\r\n" },
	{ "x fields stay where they mean nothing", T | S,
	  LIT("X-Sender: e@e.example\r\nFrom: a@a.example\r\n"), ERR_OK, "", "a@a.example", "", NULL },
	{ "a bad list", T, LIT("To: a@a.example b@b.example\r\n"), ERR_SYNTAX,
	  "in To: this is no list of addresses", NULL, "", NULL },
	{ "a bad address", T, LIT("Cc: a..b@a.example\r\n"), ERR_SYNTAX,
	  "in Cc: this is no list of addresses", NULL, "", NULL },
	{ "a bad domain", T, LIT("Cc: a@-a.example\r\n"), ERR_SYNTAX,
	  "in Cc: \"a@-a.example\" is no address that mail can go to", NULL, "", NULL },
	{ "a flag", T, LIT("To: -oQ/tmp@a.example\r\n"), ERR_SYNTAX, NULL, NULL, "", NULL },
	{ "a flag in quotes is a mailbox", T, LIT("To: \"-x\"@a.example\r\n"), ERR_OK, "", NULL,
	  "\"-x\"@a.example|", NULL },
	{ "a good sender and a bad recipient", T | S, LIT("From: a@a.example\r\nTo: a b\r\n"), ERR_SYNTAX,
	  "in To: this is no list of addresses", NULL, "", NULL },
	{ "a control", T, LIT("To: a\x07@a.example\r\n"), ERR_SYNTAX, "in To: this is no list of addresses",
	  NULL, "", NULL },
};

static void add_each(struct buf *b, const struct submission *s)
{
	for (size_t i = 0; i < s->recipient_count; i++) {
		buf_add(b, s->recipients[i]);
		buf_add_octet(b, '|');
	}
}

static struct submission_wanted wanted_of(unsigned bits)
{
	return (struct submission_wanted){ .recipients = bits & T,
		                           .sender = bits & S,
		                           .x_fields = bits & X,
		                           .domain = TEXT("host.example") };
}

static void check(size_t i)
{
	const char *name = cases[i].name;
	AUTO(free_memory) char *copy = alone(cases[i].section);
	AUTO(buf_fini) struct buf problem = BUF(1000), recipients = BUF(1000);
	AUTO(submission_fini) struct submission s = { 0 };
	struct submission_wanted wanted = wanted_of(cases[i].wanted);

	CHECK_INT(name, submission_read(text_of(copy, cases[i].section.len), &wanted, &s, &problem),
	          cases[i].err);
	if (cases[i].problem)
		CHECK_TEXT(name, buf_text(&problem), text_from(cases[i].problem));
	if (cases[i].err) {
		CHECK(name, !s.has_sender && !s.sender.at && s.sender.len == 0 && s.recipient_count == 0);
		return;
	}
	add_each(&recipients, &s);
	CHECK_TEXT(name, buf_text(&recipients), text_from(cases[i].recipients));
	CHECK_INT(name, s.has_sender, cases[i].sender != NULL);
	if (cases[i].sender)
		CHECK_TEXT(name, s.sender, text_from(cases[i].sender));
	CHECK_TEXT(name, buf_text(&s.header),
	           cases[i].header ? text_from(cases[i].header) : cases[i].section);
}

static void test_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		check(i);
}

static void test_counts(void **state)
{
	AUTO(buf_fini) struct buf problem = BUF(1000);
	AUTO(submission_fini) struct submission s = { 0 };
	struct submission_wanted wanted = { 0 };

	(void)state;
	assert_int_equal(submission_read(TEXT("date: x\r\nMessage-Id: <a@b>\r\nFrom: a\r\nFROM: b\r\n"),
	                                 &wanted, &s, &problem),
	                 ERR_OK);
	assert_int_equal(s.dates, 1);
	assert_int_equal(s.message_ids, 1);
	assert_int_equal(s.froms, 2);
}

static void test_too_many_recipients(void **state)
{
	AUTO(buf_fini) struct buf section = BUF(1u << 20), problem = BUF(1000);
	AUTO(submission_fini) struct submission s = { 0 };
	struct submission_wanted wanted = wanted_of(T);

	(void)state;
	for (unsigned i = 0; i <= SUBMISSION_RECIPIENTS_MAX; i++)
		buf_add_format(&section, "To: r%u@example.com\r\n", i);
	assert_int_equal(submission_read(buf_text(&section), &wanted, &s, &problem), ERR_TOO_BIG);
	CHECK_TEXT("problem", buf_text(&problem), TEXT("in To: more than 10000 recipients"));
}

static void test_no_memory(void **state)
{
	(void)state;
	for (EACH_ALLOC_FAILING) {
		AUTO(buf_fini) struct buf problem = BUF(1000);
		AUTO(submission_fini) struct submission s = { 0 };
		struct submission_wanted wanted = wanted_of(T | S | X);
		enum err err = submission_read(TEXT("From: a@a.example\r\nTo: root, b@b.example\r\n"),
		                               &wanted, &s, &problem);

		assert_true(err == ERR_NOMEM || (err == ERR_OK && s.recipient_count == 2));
		assert_true(alloc_has_failed() || err == ERR_OK);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_counts),
		cmocka_unit_test(test_too_many_recipients),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
