/* What replies mean. Texts are as big receivers send them, with names and addresses replaced. */
#include "deliver/judge.h"
#include "support/check.h"

/* clang-format off */
static const struct {
	const char *name;
	enum stage stage;
	int code;
	const char *enhanced;
	struct text text;
	enum deliver_kind kind;
	enum reason reason;
	const char *status;
} cases[] = {
	/* how it ends: by the first digit */
	{ "taken", STAGE_DOT, 250, "2.0.0", LIT("Ok: queued as 4F2"), DELIVER_DELIVERED, REASON_NONE, "2.0.0" },
	{ "taken without a code", STAGE_DOT, 250, "", LIT("spam? policy? whatever"), DELIVER_DELIVERED, REASON_NONE, "2.0.0" },
	{ "unheard of 2xx", STAGE_DOT, 299, "", LIT("x"), DELIVER_DELIVERED, REASON_NONE, "2.0.0" },
	{ "unheard of 4xx", STAGE_RCPT, 499, "", LIT("x"), DELIVER_TRANSIENT, REASON_OTHER, "4.0.0" },
	{ "unheard of 5xx", STAGE_RCPT, 599, "", LIT("x"), DELIVER_PERMANENT, REASON_OTHER, "5.0.0" },
	{ "code and enhanced code differ", STAGE_RCPT, 550, "4.2.2", LIT("full"), DELIVER_PERMANENT, REASON_MAILBOX_FULL, "5.2.2" },
	{ "the other way round", STAGE_RCPT, 450, "5.1.1", LIT("x"), DELIVER_TRANSIENT, REASON_NO_SUCH_USER, "4.1.1" },

	/* RFC 5321 section 4.5.3.1.10 */
	{ "552 to RCPT", STAGE_RCPT, 552, "", LIT("Too many recipients"), DELIVER_TRANSIENT, REASON_RATE_LIMITED, "4.0.0" },
	{ "552 to RCPT without words", STAGE_RCPT, 552, "", LIT("no"), DELIVER_TRANSIENT, REASON_RATE_LIMITED, "4.0.0" },
	{ "552 to RCPT: full", STAGE_RCPT, 552, "5.2.2", LIT("Mailbox full"), DELIVER_TRANSIENT, REASON_MAILBOX_FULL, "4.2.2" },
	{ "552 to RCPT: size", STAGE_RCPT, 552, "5.3.4", LIT("too big for this one"), DELIVER_PERMANENT, REASON_TOO_LARGE, "5.3.4" },
	{ "552 to RCPT: size of a mailbox", STAGE_RCPT, 552, "5.2.3", LIT("x"), DELIVER_PERMANENT, REASON_TOO_LARGE, "5.2.3" },
	{ "552 to the dot", STAGE_DOT, 552, "", LIT("no"), DELIVER_PERMANENT, REASON_TOO_LARGE, "5.0.0" },
	{ "452 to RCPT", STAGE_RCPT, 452, "4.5.3", LIT("Error: too many recipients"), DELIVER_TRANSIENT, REASON_RATE_LIMITED, "4.5.3" },

	/* greylisting */
	{ "postgrey", STAGE_RCPT, 450, "4.2.0", LIT("<a@b.example>: Recipient address rejected: Greylisted, see http://postgrey.example/help"), DELIVER_TRANSIENT, REASON_GREYLISTED, "4.2.0" },
	{ "milter-greylist", STAGE_RCPT, 451, "4.7.1", LIT("Greylisting in action, please come back in 00:05:00"), DELIVER_TRANSIENT, REASON_GREYLISTED, "4.7.1" },
	{ "graylisted", STAGE_RCPT, 451, "", LIT("You have been GRAYLISTED"), DELIVER_TRANSIENT, REASON_GREYLISTED, "4.0.0" },
	{ "a 5xx never is", STAGE_RCPT, 550, "5.7.1", LIT("greylisted for good"), DELIVER_PERMANENT, REASON_POLICY, "5.7.1" },

	/* too fast, too much */
	{ "unusual rate", STAGE_GREETING, 421, "4.7.28", LIT("Our system has detected an unusual rate of unsolicited mail"), DELIVER_TRANSIENT, REASON_RATE_LIMITED, "4.7.28" },
	{ "unusual rate by words", STAGE_DOT, 421, "4.7.0", LIT("[192.0.2.1 15] Our system has detected an unusual rate of\nunsolicited mail"), DELIVER_TRANSIENT, REASON_RATE_LIMITED, "4.7.0" },
	{ "mailbox at a rate", STAGE_RCPT, 450, "4.2.1", LIT("The user you are trying to contact is receiving mail at a rate that prevents"), DELIVER_TRANSIENT, REASON_RATE_LIMITED, "4.2.1" },
	{ "TSS04", STAGE_GREETING, 421, "4.7.0", LIT("[TSS04] Messages from 192.0.2.1 temporarily deferred due to unexpected volume"), DELIVER_TRANSIENT, REASON_RATE_LIMITED, "4.7.0" },
	{ "too many connections", STAGE_GREETING, 421, "", LIT("Too many concurrent SMTP connections"), DELIVER_TRANSIENT, REASON_RATE_LIMITED, "4.0.0" },
	{ "sending rate", STAGE_DOT, 454, "", LIT("Throttling failure: Maximum sending rate exceeded."), DELIVER_TRANSIENT, REASON_RATE_LIMITED, "4.0.0" },
	{ "daily quota", STAGE_DOT, 454, "", LIT("Throttling failure: Daily message quota exceeded."), DELIVER_TRANSIENT, REASON_RATE_LIMITED, "4.0.0" },

	/* the mailbox */
	{ "no such user", STAGE_RCPT, 550, "5.1.1", LIT("The email account that you tried to reach does not exist."), DELIVER_PERMANENT, REASON_NO_SUCH_USER, "5.1.1" },
	{ "no such user, old", STAGE_RCPT, 550, "", LIT("<a@b.example>: User unknown in virtual mailbox table"), DELIVER_PERMANENT, REASON_NO_SUCH_USER, "5.0.0" },
	{ "recipient not found", STAGE_RCPT, 550, "5.1.10", LIT("RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup"), DELIVER_PERMANENT, REASON_NO_SUCH_USER, "5.1.10" },
	{ "the domain takes no mail", STAGE_RCPT, 556, "5.1.10", LIT("nullMX"), DELIVER_PERMANENT, REASON_NULL_MX, "5.1.10" },
	{ "bare 550 to RCPT", STAGE_RCPT, 550, "", LIT("no"), DELIVER_PERMANENT, REASON_NO_SUCH_USER, "5.0.0" },
	{ "busy", STAGE_RCPT, 451, "4.2.1", LIT("Mailbox busy, try again later"), DELIVER_TRANSIENT, REASON_OTHER, "4.2.1" },
	{ "disabled", STAGE_RCPT, 550, "5.2.1", LIT("The email account is disabled"), DELIVER_PERMANENT, REASON_NO_SUCH_USER, "5.2.1" },
	{ "full", STAGE_RCPT, 452, "4.2.2", LIT("The email account that you tried to reach is over quota."), DELIVER_TRANSIENT, REASON_MAILBOX_FULL, "4.2.2" },
	{ "full by words", STAGE_DOT, 550, "", LIT("Quota exceeded (mailbox for user is full)"), DELIVER_PERMANENT, REASON_MAILBOX_FULL, "5.0.0" },
	{ "no such domain", STAGE_RCPT, 550, "5.1.2", LIT("x"), DELIVER_PERMANENT, REASON_NO_SUCH_DOMAIN, "5.1.2" },

	/* us */
	{ "blocked", STAGE_RCPT, 554, "5.7.1", LIT("Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org"), DELIVER_PERMANENT, REASON_BLOCKED, "5.7.1" },
	{ "blocked at the greeting", STAGE_GREETING, 554, "", LIT("mx.b.example"), DELIVER_PERMANENT, REASON_BLOCKED, "5.0.0" },
	{ "reputation", STAGE_GREETING, 421, "", LIT("Your access has been rejected due to the sending MTA's poor reputation"), DELIVER_TRANSIENT, REASON_BLOCKED, "4.0.0" },
	{ "SPF", STAGE_DOT, 550, "5.7.23", LIT("x"), DELIVER_PERMANENT, REASON_POLICY, "5.7.23" },
	{ "DMARC", STAGE_DOT, 550, "5.7.26", LIT("Unauthenticated email from b.example is not accepted due to domain's DMARC policy"), DELIVER_PERMANENT, REASON_POLICY, "5.7.26" },
	{ "relaying denied", STAGE_RCPT, 550, "5.7.1", LIT("Relaying denied"), DELIVER_PERMANENT, REASON_POLICY, "5.7.1" },
	{ "relay access denied", STAGE_RCPT, 554, "", LIT("<a@b.example>: Relay access denied"), DELIVER_PERMANENT, REASON_POLICY, "5.0.0" },
	{ "auth", STAGE_MAIL, 530, "5.7.0", LIT("Authentication required."), DELIVER_PERMANENT, REASON_AUTH, "5.7.0" },
	{ "auth by number", STAGE_MAIL, 530, "", LIT("no"), DELIVER_PERMANENT, REASON_AUTH, "5.0.0" },
	{ "535", STAGE_AUTH, 535, "5.7.8", LIT("Username and Password not accepted"), DELIVER_PERMANENT, REASON_AUTH, "5.7.8" },
	{ "STARTTLS first", STAGE_MAIL, 530, "5.7.0", LIT("Must issue a STARTTLS command first"), DELIVER_PERMANENT, REASON_TLS_POLICY, "5.7.0" },

	/* the message */
	{ "spam", STAGE_DOT, 554, "5.7.1", LIT("Message rejected as spam by content scanning"), DELIVER_PERMANENT, REASON_CONTENT, "5.7.1" },
	{ "virus", STAGE_DOT, 550, "", LIT("This message contains a Virus (Eicar)"), DELIVER_PERMANENT, REASON_CONTENT, "5.0.0" },
	{ "too large", STAGE_MAIL, 552, "5.3.4", LIT("Message size exceeds fixed limit"), DELIVER_PERMANENT, REASON_TOO_LARGE, "5.3.4" },
	{ "too large by words", STAGE_DOT, 554, "", LIT("Message too large"), DELIVER_PERMANENT, REASON_TOO_LARGE, "5.0.0" },

	/* nothing known */
	{ "policy by code", STAGE_DOT, 554, "5.7.1", LIT("no"), DELIVER_PERMANENT, REASON_POLICY, "5.7.1" },
	{ "syntax", STAGE_MAIL, 501, "5.5.4", LIT("what"), DELIVER_PERMANENT, REASON_PROTOCOL, "5.5.4" },
	{ "passing, nothing said", STAGE_DOT, 451, "4.3.0", LIT("Temporary lookup failure"), DELIVER_TRANSIENT, REASON_OTHER, "4.3.0" },
	{ "no words at all", STAGE_DOT, 451, "", LIT(""), DELIVER_TRANSIENT, REASON_OTHER, "4.0.0" },
};
/* clang-format on */

static void replies_mean_what_the_table_says(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct reply reply = { .code = cases[i].code, .text = cases[i].text };
		struct verdict v;

		strcpy(reply.enhanced, cases[i].enhanced);
		v = judge_reply(&reply, cases[i].stage);
		CHECK_INT(cases[i].name, v.kind, cases[i].kind);
		CHECK_TEXT(cases[i].name, reason_text(v.reason), reason_text(cases[i].reason));
		CHECK_TEXT(cases[i].name, text_from(v.enhanced), text_from(cases[i].status));
	}
}

/* Whatever a peer says has a kind that fits its code and, if it is no success, a reason. */
static void every_code_at_every_stage_has_a_verdict(void **state)
{
	(void)state;
	for (int code = 200; code < 600; code++) {
		for (unsigned stage = STAGE_CONNECT; stage < STAGE_COUNT; stage++) {
			struct reply reply = { .code = code, .text = TEXT("") };
			struct verdict v;

			if (code / 100 == 3)
				continue;
			v = judge_reply(&reply, (enum stage)stage);
			assert_int_equal(v.kind == DELIVER_DELIVERED, code < 300);
			assert_int_equal(v.reason == REASON_NONE, code < 300);
			assert_true(v.kind != DELIVER_PERMANENT || code >= 500);
			assert_true(v.kind != DELIVER_TRANSIENT || code < 500 ||
			            (code == 552 && stage == STAGE_RCPT));
			assert_true(reply_is_enhanced(text_from(v.enhanced)));
		}
	}
}

static void long_text_is_judged_by_its_front(void **state)
{
	static char words[20000];
	struct reply reply = { .code = 451, .text = text_of(words, sizeof(words)) };

	(void)state;
	memset(words, 'x', sizeof(words));
	memcpy(words + 15000, "greylisted", 10);
	assert_int_equal(judge_reply(&reply, STAGE_RCPT).reason, REASON_OTHER);
	memcpy(words + 500, "greylisted", 10);
	assert_int_equal(judge_reply(&reply, STAGE_RCPT).reason, REASON_GREYLISTED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(replies_mean_what_the_table_says),
		cmocka_unit_test(every_code_at_every_stage_has_a_verdict),
		cmocka_unit_test(long_text_is_judged_by_its_front),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
