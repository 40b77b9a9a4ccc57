#include <postrider/mail/dsn.h>

#include <stdio.h>

#include <postrider/base/random.h>
#include <postrider/mail/header.h>
#include <postrider/smtp/data.h>

#include "support/alloc.h"
#include "support/check.h"

#define ORIGINAL "Received: from x\r\n\tby y\r\nSubject: hello\r\nFrom: ann@example.com\r\n\r\nbody\r\n"

static struct dsn_recipient failed(void)
{
	return (struct dsn_recipient){
		.forward_path = TEXT("bob@example.org"),
		.action = DSN_FAILED,
		.status = TEXT("5.1.1"),
		.reply = TEXT("550 5.1.1 no such user"),
		.from_peer = true,
		.remote_mta = TEXT("mx.example.org"),
		.last_attempt_time = 1767323055678,
	};
}

static struct dsn notice(const struct dsn_recipient *recipients, size_t count)
{
	return (struct dsn){
		.random = 77,
		.now_time = 1767323065678,
		.hostname = TEXT("relay.example.com"),
		.from = TEXT("postmaster@relay.example.com"),
		.to = TEXT("ann@example.com"),
		.arrival_time = 1767323045678,
		.message_id = TEXT("<1@example.com>"),
		.subject = TEXT("hello"),
		.recipients = recipients,
		.recipient_count = count,
		.returned = DSN_RETURN_HEADERS,
		.original = TEXT(ORIGINAL),
		.original_bytes = sizeof(ORIGINAL) - 1,
		.returned_max_bytes = 50000,
	};
}

/* ---------------------------------------------------------------- read back */

#define PARTS_MAX 4

struct parts {
	struct text header;          /* of the notice */
	struct text part[PARTS_MAX]; /* with their headers */
	size_t count;
};

static struct text field(struct text header, const char *name, struct buf *b)
{
	struct header_field f;

	buf_reset(b);
	if (!header_find(header, text_from(name), &f))
		return TEXT("(none)");
	header_unfold_add(b, f.value);
	return buf_text(b);
}

/* A part's body: what follows its header and the blank line. */
static struct text body_of(struct text part)
{
	size_t header = header_section_bytes(part);

	assert_true(text_starts(text_skip(part, header), TEXT("\r\n")));
	return text_skip(part, header + 2);
}

/* By the boundary that the header names, as RFC 2046 says. */
static void take_apart(struct text all, struct parts *out)
{
	char delimiter[100];
	struct buf b = BUF(1000);
	struct text type = field(all, "Content-Type", &b), name = LIT("boundary=\"");
	size_t at = text_find(type, name);

	assert_true(at < type.len);
	struct text boundary = text_skip(type, at + name.len);

	boundary = text_head(boundary, text_find_octet(boundary, '"'));
	snprintf(delimiter, sizeof(delimiter), "\r\n--%.*s", TEXT_ARGS(boundary));
	buf_fini(&b);
	*out = (struct parts){ .header = text_head(all, header_section_bytes(all)) };
	struct text rest = all;

	for (;;) {
		size_t end = text_find(rest, text_from(delimiter));

		assert_true(end < rest.len);
		if (rest.at != all.at) {
			assert_true(out->count < PARTS_MAX);
			out->part[out->count++] = text_head(rest, end);
		}
		rest = text_skip(rest, end + strlen(delimiter));
		if (text_starts(rest, TEXT("--")))
			break;
		assert_true(text_starts(rest, TEXT("\r\n")));
		rest = text_skip(rest, 2);
	}
	CHECK_TEXT("behind the last delimiter", rest, TEXT("--\r\n"));
}

static bool contains(struct text t, const char *string)
{
	return text_find(t, text_from(string)) < t.len;
}

static void build(const struct dsn *d, struct buf *b, struct parts *parts, struct dsn_result *result)
{
	buf_init(b, 1u << 20);
	dsn_add(b, d, result);
	assert_int_equal(buf_err(b), ERR_OK);
	assert_true(data_is_clean(buf_text(b)));
	take_apart(buf_text(b), parts);
}

/* ---------------------------------------------------------------- tests */

static void a_failure_is_reported_in_three_parts(void **state)
{
	struct dsn_recipient r = failed();
	struct dsn d = notice(&r, 1);
	struct buf b, v = BUF(1000);
	struct parts p;
	struct dsn_result result;

	(void)state;
	build(&d, &b, &p, &result);
	CHECK_TEXT("From", field(p.header, "From", &v),
	           TEXT("Mail Delivery System <postmaster@relay.example.com>"));
	CHECK_TEXT("To", field(p.header, "To", &v), TEXT("<ann@example.com>"));
	CHECK_TEXT("Subject", field(p.header, "Subject", &v), TEXT("Undeliverable: hello"));
	CHECK_TEXT("Date", field(p.header, "Date", &v), TEXT("Fri, 2 Jan 2026 03:04:25 +0000"));
	CHECK_TEXT("Message-ID", field(p.header, "Message-ID", &v),
	           TEXT("<00000000000000000000000000@relay.example.com>"));
	CHECK_TEXT("In-Reply-To", field(p.header, "In-Reply-To", &v), TEXT("<1@example.com>"));
	CHECK_TEXT("References", field(p.header, "References", &v), TEXT("<1@example.com>"));
	CHECK_TEXT("Auto-Submitted", field(p.header, "Auto-Submitted", &v), TEXT("auto-replied"));
	CHECK_TEXT("MIME-Version", field(p.header, "MIME-Version", &v), TEXT("1.0"));
	CHECK_TEXT("Return-Path", field(p.header, "Return-Path", &v), TEXT("(none)"));
	assert_true(text_starts(field(p.header, "Content-Type", &v),
	                        TEXT("multipart/report; report-type=delivery-status;")));
	assert_int_equal(p.count, 3);
	CHECK_TEXT("text", field(p.part[0], "Content-Type", &v), TEXT("text/plain; charset=us-ascii"));
	CHECK_TEXT("status", field(p.part[1], "Content-Type", &v), TEXT("message/delivery-status"));
	CHECK_TEXT("headers", field(p.part[2], "Content-Type", &v), TEXT("text/rfc822-headers"));
	CHECK_TEXT("delivery-status", body_of(p.part[1]),
	           TEXT("Reporting-MTA: dns; relay.example.com\r\n"
	                "Arrival-Date: Fri, 2 Jan 2026 03:04:05 +0000\r\n"
	                "\r\n"
	                "Final-Recipient: rfc822; bob@example.org\r\n"
	                "Action: failed\r\n"
	                "Status: 5.1.1\r\n"
	                "Remote-MTA: dns; mx.example.org\r\n"
	                "Diagnostic-Code: smtp; 550 5.1.1 no such user\r\n"
	                "Last-Attempt-Date: Fri, 2 Jan 2026 03:04:15 +0000\r\n"));
	CHECK_TEXT("header", body_of(p.part[2]),
	           TEXT("Received: from x\r\n\tby y\r\nSubject: hello\r\nFrom: ann@example.com\r\n"));
	assert_true(contains(p.part[0], "<bob@example.org>"));
	assert_true(contains(p.part[0], "mx.example.org said: 550 5.1.1 no such user"));
	assert_true(contains(p.part[0], "no further attempt"));
	assert_true(contains(p.part[0], "Subject:     hello"));
	assert_false(result.is_8bit);
	assert_int_equal(result.returned, DSN_RETURN_HEADERS);
	buf_fini(&b);
	buf_fini(&v);
}

static void recipients_each_have_their_block(void **state)
{
	struct dsn_recipient r[] = { failed(), failed(), failed() };
	struct dsn d = notice(r, 3);
	struct buf b;
	struct parts p;
	struct dsn_result result;

	(void)state;
	r[0] = (struct dsn_recipient){ .forward_path = TEXT("a@b"),
		                       .action = DSN_DELIVERED,
		                       .status = TEXT("2.0.0") };
	r[1].original_path = TEXT("alias@example.net");
	r[1].from_peer = false;
	r[1].reply = TEXT("no answer within 5 days");
	r[1].status = TEXT("4.4.7");
	r[1].remote_mta = TEXT("");
	r[1].last_attempt_time = 0;
	r[2].action = DSN_DELAYED;
	r[2].status = TEXT("4.2.1");
	r[2].will_retry_until_time = 1767323045678 + INT64_C(432000000);
	r[2].explanation = TEXT("The mailbox is busy.");
	build(&d, &b, &p, &result);
	CHECK_TEXT("delivery-status", body_of(p.part[1]),
	           TEXT("Reporting-MTA: dns; relay.example.com\r\n"
	                "Arrival-Date: Fri, 2 Jan 2026 03:04:05 +0000\r\n"
	                "\r\n"
	                "Final-Recipient: rfc822; a@b\r\n"
	                "Action: delivered\r\n"
	                "Status: 2.0.0\r\n"
	                "\r\n"
	                "Original-Recipient: rfc822; alias@example.net\r\n"
	                "Final-Recipient: rfc822; bob@example.org\r\n"
	                "Action: failed\r\n"
	                "Status: 4.4.7\r\n"
	                "\r\n"
	                "Final-Recipient: rfc822; bob@example.org\r\n"
	                "Action: delayed\r\n"
	                "Status: 4.2.1\r\n"
	                "Remote-MTA: dns; mx.example.org\r\n"
	                "Diagnostic-Code: smtp; 550 5.1.1 no such user\r\n"
	                "Last-Attempt-Date: Fri, 2 Jan 2026 03:04:15 +0000\r\n"
	                "Will-Retry-Until: Wed, 7 Jan 2026 03:04:05 +0000\r\n"));
	size_t at_failed = text_find(p.part[0], TEXT("(you wrote to <alias@example.net>)"));
	size_t at_delayed = text_find(p.part[0], TEXT("The mailbox is busy."));
	size_t at_delivered = text_find(p.part[0], TEXT("was delivered to this recipient"));

	assert_true(at_failed < at_delayed && at_delayed < at_delivered && at_delivered < p.part[0].len);
	assert_true(contains(p.part[0], "reason: no answer within 5 days"));
	assert_true(contains(p.part[0], "attempts go on until Wed, 7 Jan 2026 03:04:05 +0000"));
	buf_fini(&b);
}

static const struct {
	const char *name;
	enum dsn_action action;
	struct text status;
	const char *line, *subject;
} status_cases[] = {
	{ "failed", DSN_FAILED, LIT("5.7.1"), "Status: 5.7.1\r\n", "Undeliverable: hello" },
	{ "failed after days", DSN_FAILED, LIT("4.4.7"), "Status: 4.4.7\r\n", "Undeliverable: hello" },
	{ "failed with a success", DSN_FAILED, LIT("2.0.0"), "Status: 5.0.0\r\n", "Undeliverable: hello" },
	{ "failed without a code", DSN_FAILED, LIT(""), "Status: 5.0.0\r\n", "Undeliverable: hello" },
	{ "failed with nonsense", DSN_FAILED, LIT("5.x\r\nX: y"), "Status: 5.0.0\r\n",
	  "Undeliverable: hello" },
	{ "delayed with a failure", DSN_DELAYED, LIT("5.7.1"), "Status: 4.7.1\r\n", "Delayed: hello" },
	{ "delivered without a code", DSN_DELIVERED, LIT(""), "Status: 2.0.0\r\n", "Delivered: hello" },
	{ "relayed", DSN_RELAYED, LIT("2.1.5"), "Status: 2.1.5\r\nRemote", "Relayed: hello" },
	{ "expanded", DSN_EXPANDED, LIT("2.1.5"), "Status: 2.1.5\r\n", "Delivered: hello" },
};

static void the_status_goes_with_the_action(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(status_cases); i++) {
		struct dsn_recipient r = failed();
		struct dsn d = notice(&r, 1);
		struct buf b, v = BUF(1000);
		struct parts p;
		struct dsn_result result;
		char action[40];

		r.action = status_cases[i].action;
		r.status = status_cases[i].status;
		build(&d, &b, &p, &result);
		snprintf(action, sizeof(action), "Action: %.*s\r\n", TEXT_ARGS(dsn_action_text(r.action)));
		CHECK(status_cases[i].name, contains(p.part[1], status_cases[i].line));
		CHECK(status_cases[i].name, contains(p.part[1], action));
		CHECK_TEXT(status_cases[i].name, field(p.header, "Subject", &v),
		           text_from(status_cases[i].subject));
		buf_fini(&b);
		buf_fini(&v);
	}
}

/* ---------------------------------------------------------------- what is returned */

static const struct {
	const char *name;
	enum dsn_return asked;
	struct text original;
	size_t missing; /* octets of the message that the caller did not have */
	size_t max;
	enum dsn_return given;
	struct text body;
	bool is_8bit;
} return_cases[] = {
	{ "the whole", DSN_RETURN_FULL, LIT("A: b\r\n\r\nbody\r\n"), 0, 100, DSN_RETURN_FULL,
	  LIT("A: b\r\n\r\nbody\r\n"), false },
	{ "the whole, just so long", DSN_RETURN_FULL, LIT("A: b\r\n\r\nbody\r\n"), 0, 14, DSN_RETURN_FULL,
	  LIT("A: b\r\n\r\nbody\r\n"), false },
	{ "too long for the whole", DSN_RETURN_FULL, LIT("A: b\r\n\r\nbody\r\n"), 0, 13, DSN_RETURN_HEADERS,
	  LIT("A: b\r\n"), false },
	{ "not all there", DSN_RETURN_FULL, LIT("A: b\r\n\r\nbody\r\n"), 1, 100, DSN_RETURN_HEADERS,
	  LIT("A: b\r\n"), false },
	{ "headers", DSN_RETURN_HEADERS, LIT("A: b\r\nC: d\r\n e\r\n\r\nbody\r\n"), 0, 100,
	  DSN_RETURN_HEADERS, LIT("A: b\r\nC: d\r\n e\r\n"), false },
	{ "headers cut at a field", DSN_RETURN_HEADERS, LIT("A: b\r\nC: d\r\n e\r\n\r\nbody\r\n"), 0, 14,
	  DSN_RETURN_HEADERS, LIT("A: b\r\n"), false },
	{ "the last field may not be whole", DSN_RETURN_HEADERS, LIT("A: b\r\nC: d\r\n"), 10, 100,
	  DSN_RETURN_HEADERS, LIT("A: b\r\n"), false },
	{ "a header without a body", DSN_RETURN_HEADERS, LIT("A: b\r\nC: d\r\n"), 0, 100, DSN_RETURN_HEADERS,
	  LIT("A: b\r\nC: d\r\n"), false },
	{ "no header", DSN_RETURN_HEADERS, LIT("hello there\r\n"), 0, 100, DSN_RETURN_NOTHING, LIT(""),
	  false },
	{ "nothing asked", DSN_RETURN_NOTHING, LIT("A: b\r\n\r\n"), 0, 100, DSN_RETURN_NOTHING, LIT(""),
	  false },
	{ "nothing there", DSN_RETURN_FULL, LIT(""), 0, 100, DSN_RETURN_NOTHING, LIT(""), false },
	{ "octets above 127 in the header", DSN_RETURN_HEADERS, LIT("A: caf\xc3\xa9\r\n\r\n"), 0, 100,
	  DSN_RETURN_HEADERS, LIT("A: caf\xc3\xa9\r\n"), true },
	{ "octets above 127 in the body", DSN_RETURN_FULL, LIT("A: b\r\n\r\ncaf\xc3\xa9\r\n"), 0, 100,
	  DSN_RETURN_FULL, LIT("A: b\r\n\r\ncaf\xc3\xa9\r\n"), true },
	{ "octets above 127 in a body that stays away", DSN_RETURN_HEADERS,
	  LIT("A: b\r\n\r\ncaf\xc3\xa9\r\n"), 0, 100, DSN_RETURN_HEADERS, LIT("A: b\r\n"), false },
	{ "bare line ends", DSN_RETURN_FULL, LIT("A: b\n\nc\rd\r\n\re\r\n"), 0, 100, DSN_RETURN_FULL,
	  LIT("A: b\r\n\r\nc\r\nd\r\n\r\ne\r\n"), false },
	{ "a delimiter of ours inside", DSN_RETURN_FULL,
	  LIT("A: b\r\n\r\n--=_00000000000000000000000000.000000000000004d--\r\n"), 0, 100, DSN_RETURN_FULL,
	  LIT("A: b\r\n\r\n--=_00000000000000000000000000.000000000000004d--\r\n"), false },
};

static void as_much_is_returned_as_may_be(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(return_cases); i++) {
		const char *name = return_cases[i].name;
		struct dsn_recipient r = failed();
		struct dsn d = notice(&r, 1);
		struct buf b, v = BUF(1000);
		struct parts p;
		struct dsn_result result;
		const char *encoding = return_cases[i].is_8bit ? "8bit" : "(none)";

		d.original = return_cases[i].original;
		d.original_bytes = d.original.len + return_cases[i].missing;
		d.returned = return_cases[i].asked;
		d.returned_max_bytes = return_cases[i].max;
		build(&d, &b, &p, &result);
		CHECK_INT(name, result.returned, return_cases[i].given);
		CHECK_INT(name, result.is_8bit, return_cases[i].is_8bit);
		CHECK_TEXT(name, field(p.header, "Content-Transfer-Encoding", &v), text_from(encoding));
		CHECK_INT(name, p.count, result.returned == DSN_RETURN_NOTHING ? 2 : 3);
		if (p.count == 3) {
			CHECK_TEXT(name, body_of(p.part[2]), return_cases[i].body);
			CHECK_TEXT(name, field(p.part[2], "Content-Transfer-Encoding", &v),
			           text_from(encoding));
			CHECK_TEXT(name, field(p.part[2], "Content-Type", &v),
			           result.returned == DSN_RETURN_FULL ? TEXT("message/rfc822")
			                                              : TEXT("text/rfc822-headers"));
		}
		buf_fini(&b);
		buf_fini(&v);
	}
}

/* ---------------------------------------------------------------- what the sender gave */

static const struct {
	const char *orcpt, *original_path;
	const char *plain, *global; /* Original-Recipient in a notice of either kind */
} originals[] = {
	{ "", "", "(none)", "(none)" },
	{ "", "bobby@example.com", "rfc822; bobby@example.com", "rfc822; bobby@example.com" },
	{ "rfc822;Bob+2BX@Example.com", "bobby@example.com", "rfc822; Bob+X@Example.com",
	  "rfc822; Bob+X@Example.com" },
	{ "x400;/c+3Dde/o+3Dx", "", "x400; /c=de/o=x", "x400; /c=de/o=x" },
	{ "utf-8;j\\x{F6}rg@example.com", "", "utf-8; j\\x{F6}rg@example.com",
	  "utf-8; j\xc3\xb6rg@example.com" },
	{ "utf-8;b\xc3\xb6"
	  "b@example.com",
	  "", "(none)",
	  "utf-8; b\xc3\xb6"
	  "b@example.com" },
	{ "utf-8;bob@example.com", "", "utf-8; bob@example.com", "utf-8; bob@example.com" },
	{ "no type", "bobby@example.com", "rfc822; bobby@example.com", "rfc822; bobby@example.com" },
	/* a control is no xtext of an address: nothing is told */
	{ "rfc822;a+0D+0AAction:+20delivered", "", "(none)", "(none)" },
};

static void the_original_recipient_is_told_as_it_was_given(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(originals); i++) {
		for (int global = 0; global < 2; global++) {
			struct dsn_recipient r = failed();
			struct dsn d = notice(&r, 1);
			struct buf b, v = BUF(10000);
			struct parts p;
			struct dsn_result result;

			r.orcpt = text_from(originals[i].orcpt);
			r.original_path = text_from(originals[i].original_path);
			if (global)
				d.to = TEXT("\xc3\xa4nne@example.com");
			build(&d, &b, &p, &result);
			struct text status = body_of(p.part[1]);

			status = text_skip(status, text_find(status, TEXT("\r\n\r\n")) + 4);
			CHECK_TEXT(originals[i].orcpt, field(status, "Original-Recipient", &v),
			           text_from(global ? originals[i].global : originals[i].plain));
			assert_int_equal(result.is_8bit, global);
			buf_fini(&b);
			buf_fini(&v);
		}
	}
}

static void the_envelope_id_is_decoded(void **state)
{
	struct dsn_recipient r = failed();
	struct dsn d = notice(&r, 1);
	struct buf b, v = BUF(10000);
	struct parts p;
	struct dsn_result result;

	(void)state;
	d.envid = TEXT("QQ+3D31+2B4+0D+0AX-Injected:");
	build(&d, &b, &p, &result);
	CHECK_TEXT("decoded", field(body_of(p.part[1]), "Original-Envelope-Id", &v),
	           TEXT("QQ=31+4 X-Injected:"));
	assert_false(contains(buf_text(&b), "\r\nX-Injected"));
	buf_fini(&b);
	d.envid = TEXT("no+xtext");
	build(&d, &b, &p, &result);
	CHECK_TEXT("no xtext", field(body_of(p.part[1]), "Original-Envelope-Id", &v), TEXT("(none)"));
	buf_fini(&b);
	buf_fini(&v);
}

static const struct {
	const char *name;
	const char *to, *forward_path, *original;
	bool utf8, full, is_8bit;
	const char *type, *status, *returned;
} globals[] = {
	{ "all is ASCII, though SMTPUTF8 was said", "ann@example.com", "bob@example.org", ORIGINAL, true,
	  false, false, "delivery-status", "message/delivery-status", "text/rfc822-headers" },
	{ "a recipient that is not", "ann@example.com", "j\xc3\xb6rg@example.org", ORIGINAL, true, false,
	  true, "global-delivery-status", "message/global-delivery-status", "text/rfc822-headers" },
	{ "the same without SMTPUTF8: nothing of it is told", "ann@example.com", "j\xc3\xb6rg@example.org",
	  ORIGINAL, false, false, false, "delivery-status", "message/delivery-status",
	  "text/rfc822-headers" },
	{ "a sender that is not", "\xc3\xa4nn@example.com", "bob@example.org", ORIGINAL, true, false, true,
	  "global-delivery-status", "message/global-delivery-status", "text/rfc822-headers" },
	{ "a header that is not", "ann@example.com", "bob@example.org", "Subject: \xc3\xb6\r\n\r\nx\r\n",
	  true, false, true, "delivery-status", "message/delivery-status", "message/global-headers" },
	{ "the whole message with such a header", "ann@example.com", "bob@example.org",
	  "Subject: \xc3\xb6\r\n\r\nx\r\n", true, true, true, "delivery-status", "message/delivery-status",
	  "message/global" },
	{ "eight bits in the body only", "ann@example.com", "bob@example.org",
	  "Subject: o\r\n\r\n\xc3\xb6\r\n", true, true, true, "delivery-status", "message/delivery-status",
	  "message/rfc822" },
};

static void types_say_where_more_than_ascii_is(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(globals); i++) {
		struct dsn_recipient r = failed();
		struct dsn d = notice(&r, 1);
		struct buf b, v = BUF(10000);
		struct parts p;
		struct dsn_result result;
		char type[100];

		d.to = text_from(globals[i].to);
		d.utf8 = globals[i].utf8;
		d.original = text_from(globals[i].original);
		d.original_bytes = d.original.len;
		d.returned = globals[i].full ? DSN_RETURN_FULL : DSN_RETURN_HEADERS;
		r.forward_path = text_from(globals[i].forward_path);
		build(&d, &b, &p, &result);
		snprintf(type, sizeof(type), "report-type=%s;", globals[i].type);
		CHECK(globals[i].name, contains(p.header, type));
		CHECK(globals[i].name,
		      text_starts(field(p.part[1], "Content-Type", &v), text_from(globals[i].status)));
		CHECK_TEXT(globals[i].name, field(p.part[2], "Content-Type", &v),
		           text_from(globals[i].returned));
		CHECK_INT(globals[i].name, result.is_8bit, globals[i].is_8bit);
		for (size_t k = 0; k < p.count; k++) {
			bool ascii = true;

			for (size_t n = 0; n < p.part[k].len; n++)
				ascii = ascii && (unsigned char)p.part[k].at[n] < 128;
			/* what is not ASCII says so */
			CHECK(globals[i].name,
			      ascii || text_eq(field(p.part[k], "Content-Transfer-Encoding", &v),
			                       TEXT("8bit")));
		}
		buf_fini(&b);
		buf_fini(&v);
	}
}

/* ---------------------------------------------------------------- hostile and unusual words */

static void nothing_a_peer_says_can_add_a_field_or_a_part(void **state)
{
	struct dsn_recipient r = failed();
	struct dsn d = notice(&r, 1);
	struct buf b, v = BUF(10000);
	struct parts p;
	struct dsn_result result;

	(void)state;
	r.reply = TEXT("550 no\r\nAction: delivered\r\n\r\nFinal-Recipient: x\n--=_00000000000000000000000000"
	               ".000000000000004d--\n\r.\r\n\0\x1b[2J caf\xc3\xa9");
	r.remote_mta = TEXT("mx\r\nX-Injected: 1");
	r.forward_path = TEXT("\"a\r\nX-Injected: 2\"@b");
	r.original_path = TEXT("c\nX-Injected: 3@d");
	d.message_id = TEXT("<a\r\nX-Injected: 4@b>");
	d.subject = TEXT("a\r\nX-Injected: 5");
	d.from = TEXT("p\r\nX-Injected: 6@q");
	d.to = TEXT("t\r\nX-Injected: 7@u");
	build(&d, &b, &p, &result);
	assert_int_equal(p.count, 3);
	assert_false(contains(buf_text(&b), "\r\nX-Injected"));
	assert_false(contains(buf_text(&b), "\r\nAction: delivered"));
	CHECK_TEXT("no references", field(p.header, "References", &v), TEXT("(none)"));
	struct text rest = body_of(p.part[1]), status = rest;
	size_t blank_lines = 0;

	while (status.len)
		blank_lines += text_cut(&status, '\n').len == 1;
	assert_int_equal(blank_lines, 1);
	rest = text_skip(rest, text_find(rest, TEXT("\r\n\r\n")) + 4);
	CHECK_TEXT("diagnostic", field(rest, "Diagnostic-Code", &v),
	           TEXT("smtp; 550 no Action: delivered Final-Recipient: x "
	                "--=_00000000000000000000000000.000000000000004d-- . ??[2J caf??"));
	assert_false(result.is_8bit);
	buf_fini(&b);
	buf_fini(&v);
}

static void no_line_is_too_long(void **state)
{
	struct dsn_recipient r = failed();
	struct dsn d = notice(&r, 1);
	static char words[20000];
	struct random random;

	(void)state;
	random_init(&random, 12);
	for (int round = 0; round < 200; round++) {
		struct buf b;
		struct parts p;
		struct dsn_result result;

		for (size_t i = 0; i < sizeof(words); i++)
			words[i] = random_below(&random, 5 + (uint64_t)round * 20) ? (char)random_u64(&random)
			                                                           : ' ';
		r.reply = text_of(words, random_below(&random, sizeof(words)));
		r.explanation = text_of(words, random_below(&random, 2000));
		d.subject = text_of(words + 100, random_below(&random, 2000));
		build(&d, &b, &p, &result);
		for (struct text rest = buf_text(&b); rest.len;)
			assert_true(text_cut(&rest, '\n').len <= 999);
		assert_int_equal(p.count, 3);
		buf_fini(&b);
	}
}

static const struct {
	const char *name;
	struct text subject, field;
} subject_cases[] = {
	{ "none", LIT(""), LIT("Undeliverable") },
	{ "plain", LIT("hello there"), LIT("Undeliverable: hello there") },
	{ "encoded already", LIT("=?utf-8?B?w6k=?= x"), LIT("Undeliverable: =?utf-8?B?w6k=?= x") },
	{ "UTF-8", LIT("caf\xc3\xa9 =_"), LIT("Undeliverable: =?utf-8?Q?caf=C3=A9_=3D=5F?=") },
	{ "no UTF-8", LIT("caf\xe9!"), LIT("Undeliverable: =?utf-8?Q?caf=3F=21?=") },
	{ "a character that was cut", LIT("caf\xc3"), LIT("Undeliverable: =?utf-8?Q?caf=3F?=") },
	{ "overlong UTF-8", LIT("\xc0\xaf"), LIT("Undeliverable: =?utf-8?Q?=3F=3F?=") },
};

static void subjects_are_repeated_as_ascii(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(subject_cases); i++) {
		struct dsn_recipient r = failed();
		struct dsn d = notice(&r, 1);
		struct buf b, v = BUF(1000);
		struct parts p;
		struct dsn_result result;

		d.subject = subject_cases[i].subject;
		build(&d, &b, &p, &result);
		CHECK_TEXT(subject_cases[i].name, field(p.header, "Subject", &v), subject_cases[i].field);
		buf_fini(&b);
		buf_fini(&v);
	}
}

static void an_encoded_subject_is_made_of_short_words_of_whole_characters(void **state)
{
	struct dsn_recipient r = failed();
	struct dsn d = notice(&r, 1);
	struct buf b, subject = BUF(1000);
	struct parts p;
	struct dsn_result result;
	struct header_field f;

	(void)state;
	for (int i = 0; i < 60; i++)
		buf_add_string(&subject, "\xe2\x82\xac");
	d.subject = buf_text(&subject);
	build(&d, &b, &p, &result);
	assert_true(header_find(p.header, TEXT("Subject"), &f));
	struct text rest = f.value;
	size_t euros = 0;

	for (size_t at; (at = text_find(rest, TEXT("=?utf-8?Q?"))) < rest.len;) {
		struct text word = text_skip(rest, at + 10);

		word = text_head(word, text_find(word, TEXT("?=")));
		assert_true(word.len + 12 <= 75);
		assert_int_equal(word.len % 9, 0);
		euros += word.len / 9;
		rest = text_skip(rest, at + 10 + word.len);
	}
	assert_int_equal(euros, 60);
	buf_fini(&b);
	buf_fini(&subject);
}

static void what_is_not_known_is_made_up_for(void **state)
{
	struct dsn_recipient r = failed();
	struct dsn d = notice(&r, 1);
	struct buf b, v = BUF(1000);
	struct parts p;
	struct dsn_result result;

	(void)state;
	d.from = TEXT("postmaster");
	r.remote_mta = TEXT("");
	build(&d, &b, &p, &result);
	CHECK_TEXT("From", field(p.header, "From", &v),
	           TEXT("Mail Delivery System <postmaster@relay.example.com>"));
	buf_fini(&b);
	buf_fini(&v);
}

static void memory_may_run_out_anywhere_and_the_size_is_limited(void **state)
{
	struct dsn_recipient r = failed();
	struct dsn d = notice(&r, 1);
	struct dsn_result result;
	size_t len = 0;

	(void)state;
	r.orcpt = TEXT("utf-8;j\\x{F6}rg@example.com");
	d.envid = TEXT("x+2B");
	d.utf8 = true;
	for (EACH_ALLOC_FAILING) {
		struct buf b = BUF(1u << 20);

		dsn_add(&b, &d, &result);
		assert_int_equal(buf_err(&b), alloc_has_failed() ? ERR_NOMEM : ERR_OK);
		len = b.len;
		buf_fini(&b);
	}
	for (size_t max = 0; max < len; max += 7) {
		struct buf b = BUF(max);

		dsn_add(&b, &d, &result);
		assert_int_equal(buf_err(&b), ERR_TOO_BIG);
		buf_fini(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_failure_is_reported_in_three_parts),
		cmocka_unit_test(recipients_each_have_their_block),
		cmocka_unit_test(the_status_goes_with_the_action),
		cmocka_unit_test(as_much_is_returned_as_may_be),
		cmocka_unit_test(the_original_recipient_is_told_as_it_was_given),
		cmocka_unit_test(the_envelope_id_is_decoded),
		cmocka_unit_test(types_say_where_more_than_ascii_is),
		cmocka_unit_test(nothing_a_peer_says_can_add_a_field_or_a_part),
		cmocka_unit_test(no_line_is_too_long),
		cmocka_unit_test(subjects_are_repeated_as_ascii),
		cmocka_unit_test(an_encoded_subject_is_made_of_short_words_of_whole_characters),
		cmocka_unit_test(what_is_not_known_is_made_up_for),
		cmocka_unit_test(memory_may_run_out_anywhere_and_the_size_is_limited),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
