/* Every hint, when it is given, and when it is not. */
#include "deliver/hints.h"

#include "support/check.h"

#define ENDPOINT(name)            \
	{                         \
		.host = LIT(name) \
	}

static const struct config_endpoint gmail[] = { ENDPOINT("smtp.gmail.com") };
static const struct config_endpoint workspace[] = { ENDPOINT("smtp-relay.google.com") };
static const struct config_endpoint office[] = { ENDPOINT("smtp.office365.com") };
static const struct config_endpoint outlook[] = { ENDPOINT("SMTP-MAIL.OUTLOOK.COM") };
static const struct config_endpoint yahoo[] = { ENDPOINT("smtp.mail.yahoo.com") };
static const struct config_endpoint icloud[] = { ENDPOINT("smtp.mail.me.com") };
static const struct config_endpoint sendgrid[] = { ENDPOINT("smtp.sendgrid.net") };
static const struct config_endpoint ses[] = { ENDPOINT("email-smtp.eu-central-1.amazonaws.com") };
static const struct config_endpoint corp[] = { ENDPOINT("mx.corp.example"), ENDPOINT("notgmail.com") };

static const struct row {
	const char *name;
	const struct config_endpoint *hosts; /* NULL: direct */
	uint16_t port;
	enum config_tls tls;
	bool logs_in;
	enum deliver_kind kind;
	enum reason reason;
	enum stage stage;
	int code;
	const char *reply, *hint; /* NULL: none */
} rows[] = {
#define LOGS_IN CONFIG_TLS_REQUIRE, true, DELIVER_TRANSIENT, REASON_AUTH, STAGE_AUTH
	{ "Gmail", gmail, 587, LOGS_IN, 535, "535 5.7.8 no",
	  "Gmail takes an app password, or auth: xoauth2" },
	{ "Gmail wants an app password", gmail, 587, LOGS_IN, 534, "534 5.7.9 no", "app password" },
	{ "Workspace", workspace, 587, LOGS_IN, 535, "535 no", "Google Workspace takes an app password" },
	{ "Microsoft 365", office, 587, LOGS_IN, 535, "535 5.7.139 no", "Microsoft 365 takes auth: xoauth2" },
	{ "Outlook, in capitals", outlook, 587, LOGS_IN, 535, "535 no", "Outlook.com takes auth: xoauth2" },
	{ "Yahoo", yahoo, 465, LOGS_IN, 535, "535 no", "Yahoo takes an app password" },
	{ "iCloud", icloud, 587, LOGS_IN, 535, "535 no", "iCloud takes an app password" },
	{ "SendGrid", sendgrid, 587, LOGS_IN, 535, "535 no", "username `apikey`" },
	{ "SES", ses, 587, LOGS_IN, 535, "535 no", "SMTP credentials" },
	{ "somebody else", corp, 587, LOGS_IN, 535, "535 no", NULL },
	{ "Gmail, for now", gmail, 587, LOGS_IN, 454, "454 later", NULL },

	{ "MAIL wants a login", corp, 587, CONFIG_TLS_REQUIRE, false, DELIVER_TRANSIENT, REASON_AUTH,
	  STAGE_MAIL, 530, "530 5.7.0 Authentication required", "username: and password_file:" },
	{ "MAIL wants another login", corp, 587, CONFIG_TLS_REQUIRE, true, DELIVER_PERMANENT, REASON_AUTH,
	  STAGE_MAIL, 530, "530 no", NULL },
	{ "an MX host wants a login", NULL, 25, CONFIG_TLS_OPPORTUNISTIC, false, DELIVER_PERMANENT,
	  REASON_AUTH, STAGE_MAIL, 530, "530 no", NULL },

#define SILENT DELIVER_TRANSIENT, REASON_TIMEOUT, STAGE_GREETING, 0, "silent"
	{ "465 without TLS", corp, 465, CONFIG_TLS_REQUIRE, true, SILENT, "tls: implicit" },
	{ "465 with it", corp, 465, CONFIG_TLS_IMPLICIT, true, SILENT, NULL },
	{ "587 is silent", corp, 587, CONFIG_TLS_REQUIRE, true, SILENT, NULL },

#define UNREACHED DELIVER_TRANSIENT, REASON_CONNECT, STAGE_CONNECT, 0
	{ "25 times out", corp, 25, CONFIG_TLS_NONE, false, UNREACHED, "no connection: time-out",
	  "587 or 2587" },
	{ "25 is refused", corp, 25, CONFIG_TLS_NONE, false, UNREACHED, "no connection: connection refused",
	  NULL },
	{ "587 times out", corp, 587, CONFIG_TLS_NONE, false, UNREACHED, "no connection: time-out", NULL },
	{ "25 of an MX host", NULL, 25, CONFIG_TLS_NONE, false, UNREACHED, "no connection: time-out", NULL },

#define NO_TLS DELIVER_TRANSIENT, REASON_TLS, STAGE_STARTTLS, 0, "the TLS handshake failed"
	{ "implicit on 587", corp, 587, CONFIG_TLS_IMPLICIT, false, NO_TLS, "tls: require" },
	{ "implicit on 465", corp, 465, CONFIG_TLS_IMPLICIT, false, NO_TLS, NULL },
	{ "STARTTLS on 587", corp, 587, CONFIG_TLS_REQUIRE, false, NO_TLS, NULL },

	{ "delivered", gmail, 587, CONFIG_TLS_REQUIRE, true, DELIVER_DELIVERED, REASON_NONE, STAGE_DOT, 250,
	  "250 ok", NULL },
};

static void each_hint_has_its_place(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct row *row = &rows[i];
		size_t count = row->hosts == corp ? 2 : 1;
		struct config_upstream up = { .hosts = { row->hosts, row->hosts ? count : 0 } };
		struct config_login login = { .username = TEXT("user") };
		struct hint_place place = { row->hosts ? &up : NULL, row->port, row->tls,
			                    row->logs_in ? &login : NULL };
		AUTO(buf_fini) struct buf words = { 0 };
		struct deliver_result r = {
			.kind = row->kind, .reason = row->reason, .stage = row->stage, .code = row->code
		};
		const char *hint;

		r.reply = text_from(row->reply);
		hint = hint_find(&place, &r);
		CHECK(row->name, (hint != NULL) == (row->hint != NULL));
		hint_add(&words, &place, &r);
		CHECK(row->name, text_starts(r.reply, text_from(row->reply)));
		if (!hint) {
			CHECK_TEXT(row->name, r.reply, text_from(row->reply));
			continue;
		}
		CHECK(row->name, text_find(text_from(hint), text_from(row->hint)) < strlen(hint));
		CHECK(row->name,
		      text_find(r.reply, TEXT(" (hint: ")) < r.reply.len && text_ends(r.reply, TEXT(")")));
	}
}

/* It is kept in memory of a fixed size: the hint must not be what is cut off. */
static void a_long_reply_leaves_room_for_the_hint(void **state)
{
	struct config_upstream up = { .hosts = { gmail, 1 } };
	struct hint_place place = { .upstream = &up };
	AUTO(buf_fini) struct buf words = { 0 };
	struct deliver_result r = {
		.kind = DELIVER_TRANSIENT, .reason = REASON_AUTH, .stage = STAGE_AUTH, .code = 535
	};
	char reply[3000];

	(void)state;
	memset(reply, 'x', sizeof(reply));
	r.reply = text_of(reply, sizeof(reply));
	hint_add(&words, &place, &r);
	assert_true(r.reply.len <= 1024);
	assert_true(text_ends(r.reply, TEXT("auth: xoauth2)")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_hint_has_its_place),
		cmocka_unit_test(a_long_reply_leaves_room_for_the_hint),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
