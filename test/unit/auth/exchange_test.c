/* Dialogues whose outcome does not hang on SCRAM (scram_test.c) or a backend (relay_test.c). */
#include <postrider/auth.h>
#include <postrider/base/base64.h>
#include <postrider/config.h>
#include <postrider/io/io.h>

#include "support/alloc.h"
#include "support/auth_rig.h"
#include "support/check.h"

/* "pencil", cheaply hashed */
#define PENCIL "$5$rounds=1000$saltsalt$1E80wIeNUk6Tw.cvgykgsGLDhE7YCS/mO7gtCEoKze9"
#define PENCIL_SCRAM                                                                                 \
	"{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=," \
	"wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="

#define USERS                                                             \
	"# who may send\n"                                                \
	"ann:" PENCIL "\n"                                                \
	"bob@example.com:" PENCIL_SCRAM ":bob@example.com,.example.net\n" \
	"carl:!" PENCIL "\n"                                              \
	"dora:*:example.org\n"                                            \
	"erik:!*\n"                                                       \
	"J\xc3\xbcrgen:" PENCIL "\n"

static const struct {
	const char *name;
	const char *mechanism;
	struct text says[3]; /* at NULL: nothing more; the first is the initial response */
	enum auth_step_kind kind;
	const char *user; /* that is logged in */
} dialogues[] = {
	{ "PLAIN", "PLAIN", { LIT("\0ann\0pencil") }, AUTH_DONE, "ann" },
	{ "PLAIN in small letters", "plain", { LIT("\0ann\0pencil") }, AUTH_DONE, "ann" },
	{ "PLAIN for oneself", "PLAIN", { LIT("ann\0ann\0pencil") }, AUTH_DONE, "ann" },
	{ "PLAIN with a verifier only",
	  "PLAIN",
	  { LIT("\0bob@example.com\0pencil") },
	  AUTH_DONE,
	  "bob@example.com" },
	{ "PLAIN of a name that is not ASCII",
	  "PLAIN",
	  { LIT("\0J\xc3\xbcrgen\0pencil") },
	  AUTH_DONE,
	  "J\xc3\xbcrgen" },
	{ "PLAIN of the same name, decomposed",
	  "PLAIN",
	  { LIT("\0Ju\xcc\x88rgen\0pencil") },
	  AUTH_DONE,
	  "J\xc3\xbcrgen" },
	{ "PLAIN with a soft hyphen, which is nothing",
	  "PLAIN",
	  { LIT("\0an\xc2\xadn\0pencil") },
	  AUTH_DONE,
	  "ann" },
	{ "PLAIN for somebody else", "PLAIN", { LIT("bob@example.com\0ann\0pencil") }, AUTH_WRONG, NULL },
	{ "PLAIN, wrong password", "PLAIN", { LIT("\0ann\0Pencil") }, AUTH_WRONG, NULL },
	{ "PLAIN, longer password", "PLAIN", { LIT("\0ann\0pencil ") }, AUTH_WRONG, NULL },
	{ "PLAIN, empty password", "PLAIN", { LIT("\0ann\0") }, AUTH_WRONG, NULL },
	{ "PLAIN, wrong password for a verifier",
	  "PLAIN",
	  { LIT("\0bob@example.com\0pen") },
	  AUTH_WRONG,
	  NULL },
	{ "PLAIN, nobody", "PLAIN", { LIT("\0zoe\0pencil") }, AUTH_WRONG, NULL },
	{ "PLAIN, the name in other case", "PLAIN", { LIT("\0Ann\0pencil") }, AUTH_DONE, "ann" },
	{ "PLAIN, an empty name", "PLAIN", { LIT("\0\0pencil") }, AUTH_WRONG, NULL },
	{ "PLAIN, a name with a control character", "PLAIN", { LIT("\0a\nnn\0pencil") }, AUTH_WRONG, NULL },
	{ "PLAIN, a name that is not UTF-8", "PLAIN", { LIT("\0\xff\xfe\0pencil") }, AUTH_WRONG, NULL },
	{ "PLAIN, the hash as the password", "PLAIN", { LIT("\0ann\0" PENCIL) }, AUTH_WRONG, NULL },
	{ "PLAIN, who is shut out", "PLAIN", { LIT("\0carl\0pencil") }, AUTH_WRONG, NULL },
	{ "PLAIN, who has no password", "PLAIN", { LIT("\0dora\0*") }, AUTH_WRONG, NULL },
	{ "PLAIN, who has no password, with anything", "PLAIN", { LIT("\0dora\0pencil") }, AUTH_WRONG, NULL },
	{ "PLAIN with one NUL", "PLAIN", { LIT("ann\0pencil") }, AUTH_MALFORMED, NULL },
	{ "PLAIN with three", "PLAIN", { LIT("\0ann\0pencil\0") }, AUTH_MALFORMED, NULL },
	{ "PLAIN of nothing", "PLAIN", { LIT("") }, AUTH_MALFORMED, NULL },
	{ "LOGIN", "LOGIN", { LIT("ann"), LIT("pencil") }, AUTH_DONE, "ann" },
	{ "LOGIN with a verifier only",
	  "LOGIN",
	  { LIT("bob@example.com"), LIT("pencil") },
	  AUTH_DONE,
	  "bob@example.com" },
	{ "LOGIN, wrong", "LOGIN", { LIT("ann"), LIT("pencils") }, AUTH_WRONG, NULL },
	{ "LOGIN, nobody", "LOGIN", { LIT("zoe"), LIT("pencil") }, AUTH_WRONG, NULL },
	{ "LOGIN, empty password", "LOGIN", { LIT("ann"), LIT("") }, AUTH_WRONG, NULL },
	{ "LOGIN, empty name", "LOGIN", { LIT("") }, AUTH_WRONG, NULL },
	{ "LOGIN, a NUL in the name", "LOGIN", { LIT("ann\0x") }, AUTH_MALFORMED, NULL },
	{ "LOGIN, a NUL in the password", "LOGIN", { LIT("ann"), LIT("pencil\0x") }, AUTH_MALFORMED, NULL },
	{ "EXTERNAL without a certificate", "EXTERNAL", { LIT("") }, AUTH_UNKNOWN_MECHANISM, NULL },
	{ "CRAM-MD5", "CRAM-MD5", { LIT("") }, AUTH_UNKNOWN_MECHANISM, NULL },
	{ "no mechanism's name", "", { LIT("") }, AUTH_UNKNOWN_MECHANISM, NULL },
	{ "a beginning of a name", "PLAI", { LIT("") }, AUTH_UNKNOWN_MECHANISM, NULL },
	{ "OAUTHBEARER without anybody who knows tokens",
	  "OAUTHBEARER",
	  { LIT("n,,\1auth=Bearer x\1\1") },
	  AUTH_UNKNOWN_MECHANISM,
	  NULL },
};

static enum auth_step_kind talk(struct auth_talk *t, const char *mechanism, const struct text *says,
                                bool initial)
{
	auth_talk_begin(t, mechanism, initial ? says : NULL);
	for (size_t i = initial ? 1 : 0; i < 3 && says[i].at && t->kind == AUTH_CHALLENGE; i++)
		auth_talk_say(t, says[i]);
	return t->kind;
}

static void check_dialogue(struct auth_rig *r, size_t i, bool initial)
{
	struct auth_talk t;

	auth_talk_init(&t, r);
	CHECK_INT(dialogues[i].name, talk(&t, dialogues[i].mechanism, dialogues[i].says, initial),
	          dialogues[i].kind);
	CHECK(dialogues[i].name, (t.user != NULL) == (dialogues[i].user != NULL));
	if (t.user)
		CHECK_TEXT(dialogues[i].name, auth_user_name(t.user), text_from(dialogues[i].user));
	auth_talk_fini(&t);
}

static void dialogues_end_as_they_should(void **state)
{
	struct auth_rig r;

	(void)state;
	for (int initial = 0; initial < 2; initial++) {
		auth_rig_open(&r, USERS, NULL);
		assert_int_equal(r.new_err, ERR_OK);
		for (size_t i = 0; i < ARRAY_LEN(dialogues); i++)
			check_dialogue(&r, i, initial);
		auth_rig_close(&r);
	}
}

/* ---------------------------------------------------------------- octets of the wire */

#define PLAIN_ANN "AGFubgBwZW5jaWw=" /* \0ann\0pencil */

static const struct {
	const char *name;
	const char *mechanism;
	bool has_initial;
	struct text lines[2];
	enum auth_step_kind kind;
} raw[] = {
	{ "good", "PLAIN", true, { LIT(PLAIN_ANN) }, AUTH_DONE },
	{ "good after an empty challenge", "PLAIN", false, { LIT(PLAIN_ANN) }, AUTH_DONE },
	{ "= as an initial response is empty", "PLAIN", true, { LIT("=") }, AUTH_MALFORMED },
	{ "= as an answer is no base64", "LOGIN", false, { LIT("=") }, AUTH_MALFORMED },
	{ "an empty line is an empty answer", "LOGIN", false, { LIT("") }, AUTH_WRONG },
	{ "an empty initial response", "PLAIN", true, { LIT("") }, AUTH_MALFORMED },
	{ "* gives up", "PLAIN", false, { LIT("*") }, AUTH_CANCELLED },
	{ "* gives up later", "LOGIN", false, { LIT("YW5u"), LIT("*") }, AUTH_CANCELLED },
	{ "* as an initial response is no base64", "PLAIN", true, { LIT("*") }, AUTH_MALFORMED },
	{ "** is no base64", "PLAIN", false, { LIT("**") }, AUTH_MALFORMED },
	{ "without padding", "PLAIN", true, { LIT("AGFubgBwZW5jaWw") }, AUTH_MALFORMED },
	{ "a space in front", "PLAIN", false, { LIT(" " PLAIN_ANN) }, AUTH_MALFORMED },
	{ "a space behind", "PLAIN", true, { LIT(PLAIN_ANN " ") }, AUTH_MALFORMED },
	{ "a line end inside", "PLAIN", true, { LIT("AGFubgBw\r\nZW5jaWw=") }, AUTH_MALFORMED },
	{ "a NUL inside", "PLAIN", true, { LIT("AGFubgBw\0ZW5jaWw=") }, AUTH_MALFORMED },
	{ "two texts behind each other", "PLAIN", true, { LIT("AGFubgBw=ZW5jaWw=") }, AUTH_MALFORMED },
	{ "left-over bits that are not zero", "PLAIN", true, { LIT("AGFubgBwZW5jaWx=") }, AUTH_MALFORMED },
};

static void base64_is_strict(void **state)
{
	struct auth_rig r;

	(void)state;
	auth_rig_open(&r, USERS, NULL);
	for (size_t i = 0; i < ARRAY_LEN(raw); i++) {
		const struct text *line = raw[i].lines;
		struct auth_talk t;

		auth_talk_init(&t, &r);
		auth_talk_begin_raw(&t, raw[i].mechanism, raw[i].has_initial ? line++ : NULL);
		while (t.kind == AUTH_CHALLENGE && line < raw[i].lines + 2 && line->at)
			auth_talk_say_raw(&t, *line++);
		CHECK_INT(raw[i].name, t.kind, raw[i].kind);
		auth_talk_fini(&t);
	}
	auth_rig_close(&r);
}

static enum auth_step_kind say_length(struct auth_rig *r, size_t len)
{
	char *line = malloc(len);
	struct text text = { line, len };
	struct auth_talk t;
	enum auth_step_kind kind;

	assert_non_null(line);
	memset(line, 'A', len);
	auth_talk_init(&t, r);
	kind = auth_talk_begin_raw(&t, "PLAIN", &text);
	auth_talk_fini(&t);
	free(line);
	return kind;
}

static void lines_have_an_end(void **state)
{
	struct auth_rig r;

	(void)state;
	auth_rig_open(&r, USERS, NULL);
	assert_int_equal(say_length(&r, AUTH_LINE_MAX), AUTH_MALFORMED); /* NULs only */
	assert_int_equal(say_length(&r, AUTH_LINE_MAX + 1), AUTH_TOO_LONG);
	assert_int_equal(say_length(&r, AUTH_LINE_MAX + 4), AUTH_TOO_LONG);
	auth_rig_close(&r);
}

static void challenges_are_what_clients_expect(void **state)
{
	struct auth_rig r;
	struct auth_talk t;

	(void)state;
	auth_rig_open(&r, USERS, NULL);
	auth_talk_init(&t, &r);
	assert_int_equal(auth_talk_begin(&t, "LOGIN", NULL), AUTH_CHALLENGE);
	CHECK_TEXT("first", buf_text(&t.challenge), TEXT("Username:"));
	assert_int_equal(auth_talk_say(&t, TEXT("ann")), AUTH_CHALLENGE);
	CHECK_TEXT("second", buf_text(&t.challenge), TEXT("Password:"));
	auth_cancel(&t.exchange);
	assert_int_equal(auth_talk_begin(&t, "PLAIN", NULL), AUTH_CHALLENGE);
	CHECK_TEXT("empty", buf_text(&t.challenge), TEXT_EMPTY);
	auth_talk_fini(&t);
	auth_rig_close(&r);
}

static void what_the_log_hears_holds_no_password(void **state)
{
	const struct text initial = LIT("\0ann\0hunter2hunter2");
	struct auth_rig r;
	struct auth_talk t;

	(void)state;
	auth_rig_open(&r, USERS, NULL);
	auth_talk_init(&t, &r);
	assert_int_equal(auth_talk_begin(&t, "PLAIN", &initial), AUTH_WRONG);
	CHECK_TEXT("name", buf_text(&t.name), TEXT("ann"));
	assert_true(t.why.len > 0);
	assert_true(text_find(buf_text(&t.why), TEXT("hunter2")) == t.why.len);
	auth_talk_fini(&t);
	auth_rig_close(&r);
}

/* ---------------------------------------------------------------- what is offered */

struct offer {
	const char *name;
	const char *users; /* NULL: no file */
	const char *offered;
	struct {
		bool outside_tls, unix_socket, plaintext, no_auth;
		const char *certificate, *binding;
		struct text only[2];
	} is;
};

static const struct offer offers[] = {
	{ "hashes", "a:" PENCIL "\n", "PLAIN LOGIN" },
	{ "verifiers", "a:" PENCIL_SCRAM "\n", "SCRAM-SHA-256 PLAIN LOGIN" },
	{ "verifiers and a binding",
	  "a:" PENCIL_SCRAM "\n",
	  "SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN",
	  { .binding = "x" } },
	{ "hashes and a binding", "a:" PENCIL "\n", "PLAIN LOGIN", { .binding = "x" } },
	{ "nobody with a password", "a:*\n", "" },
	{ "nobody", "", "" },
	{ "no file", NULL, "" },
	{ "no file, a certificate", NULL, "EXTERNAL", { .certificate = "ann" } },
	{ "a certificate and hashes", "a:" PENCIL "\n", "EXTERNAL PLAIN LOGIN", { .certificate = "ann" } },
	{ "outside TLS, hashes", "a:" PENCIL "\n", "", { .outside_tls = true } },
	{ "outside TLS, verifiers", "a:" PENCIL_SCRAM "\n", "SCRAM-SHA-256", { .outside_tls = true } },
	{ "outside TLS by choice",
	  "a:" PENCIL_SCRAM "\n",
	  "SCRAM-SHA-256 PLAIN LOGIN",
	  { .outside_tls = true, .plaintext = true } },
	{ "a Unix socket", "a:" PENCIL "\n", "PLAIN LOGIN", { .outside_tls = true, .unix_socket = true } },
	{ "auth: none", "a:" PENCIL_SCRAM "\n", "", { .no_auth = true, .certificate = "ann" } },
	{ "only LOGIN", "a:" PENCIL_SCRAM "\n", "LOGIN", { .only = { LIT("LOGIN") } } },
	{ "only what nobody can",
	  "a:" PENCIL "\n",
	  "",
	  { .only = { LIT("SCRAM-SHA-256"), LIT("EXTERNAL") } } },
	{ "two of them",
	  "a:" PENCIL_SCRAM "\n",
	  "SCRAM-SHA-256 PLAIN",
	  { .only = { LIT("PLAIN"), LIT("SCRAM-SHA-256") } } },
};

static void take_offer(struct auth_rig *r, const struct offer *o)
{
	r->peer.tls = !o->is.outside_tls;
	if (o->is.unix_socket)
		r->peer.client.family = IP_NONE;
	r->peer.certificate_user = text_from(o->is.certificate);
	r->peer.channel_binding = text_from(o->is.binding);
	r->listener.auth_plaintext = o->is.plaintext;
	r->listener.auth = o->is.no_auth ? CONFIG_AUTH_NONE : CONFIG_AUTH_REQUIRED;
	r->listener.auth_mechanisms.items = o->is.only;
	r->listener.auth_mechanisms.count = o->is.only[0].at ? (o->is.only[1].at ? 2 : 1) : 0;
}

static void a_mechanism_is_offered_only_if_somebody_can_use_it(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(offers); i++) {
		struct buf words = BUF(200);
		struct auth_rig r;

		auth_rig_open(&r, offers[i].users, NULL);
		take_offer(&r, &offers[i]);
		auth_add_offered(&words, auth_offered(r.auth, &r.peer));
		CHECK_TEXT(offers[i].name, buf_text(&words), text_from(offers[i].offered));
		buf_fini(&words);
		auth_rig_close(&r);
	}
}

static void what_is_not_offered_does_not_work(void **state)
{
	const struct text initial = LIT("\0ann\0pencil");
	struct auth_rig r;
	struct auth_talk t;

	(void)state;
	auth_rig_open(&r, USERS, NULL);
	auth_talk_init(&t, &r);
	r.peer.tls = false;
	assert_int_equal(auth_talk_begin(&t, "PLAIN", &initial), AUTH_NEEDS_TLS);
	assert_int_equal(auth_talk_begin(&t, "LOGIN", NULL), AUTH_NEEDS_TLS);
	assert_int_equal(auth_talk_begin(&t, "XOAUTH2", NULL), AUTH_UNKNOWN_MECHANISM);
	r.peer.tls = true;
	r.listener.auth_mechanisms = (struct config_texts){ &(struct text)LIT("LOGIN"), 1 };
	assert_int_equal(auth_talk_begin(&t, "PLAIN", &initial), AUTH_UNKNOWN_MECHANISM);
	r.peer.tls = false;
	assert_int_equal(auth_talk_begin(&t, "PLAIN", &initial), AUTH_UNKNOWN_MECHANISM);
	r.listener.auth = CONFIG_AUTH_NONE;
	assert_int_equal(auth_talk_begin(&t, "LOGIN", NULL), AUTH_UNKNOWN_MECHANISM);
	auth_talk_fini(&t);
	auth_rig_close(&r);
}

static void names_of_mechanisms_are_theirs(void **state)
{
	(void)state;
	for (unsigned i = 0; i < AUTH_MECHANISMS; i++) {
		struct buf words = BUF(64);

		auth_add_offered(&words, BIT(i));
		assert_true(words.len > 0);
		CHECK_TEXT("name", buf_text(&words), text_from(auth_mechanism_name(BIT(i))));
		buf_fini(&words);
	}
	assert_string_equal(auth_mechanism_name(0), "");
}

static const struct {
	enum auth_step_kind kind;
	int code;
	const char *enhanced;
} words[] = {
	{ AUTH_DONE, 235, "2.7.0" },       { AUTH_WRONG, 535, "5.7.8" },
	{ AUTH_TEMPORARY, 454, "4.7.0" },  { AUTH_LOCKED, 454, "4.7.0" },
	{ AUTH_MALFORMED, 501, "5.5.2" },  { AUTH_TOO_LONG, 500, "5.5.6" },
	{ AUTH_CANCELLED, 501, "5.7.0" },  { AUTH_UNKNOWN_MECHANISM, 504, "5.5.4" },
	{ AUTH_NEEDS_TLS, 538, "5.7.11" },
};

/* RFC 4954 section 6 */
static void every_end_has_its_reply(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		struct auth_words w = auth_words(words[i].kind);

		CHECK_INT(words[i].enhanced, w.code, words[i].code);
		assert_string_equal(w.enhanced, words[i].enhanced);
		assert_true(strlen(w.text) > 0);
	}
}

/* ---------------------------------------------------------------- certificates */

static const struct {
	const char *name, *certificate;
	struct text says;
	enum auth_step_kind kind;
} externals[] = {
	{ "whoever he is", "printer7", LIT(""), AUTH_DONE },
	{ "himself", "printer7", LIT("printer7"), AUTH_DONE },
	{ "somebody else", "printer7", LIT("ann"), AUTH_WRONG },
	{ "in the file", "dora", LIT(""), AUTH_DONE },
	{ "a name that cannot be one", "printer\n7", LIT(""), AUTH_WRONG },
	{ "shut out in the file", "erik", LIT(""), AUTH_WRONG },
	{ "shut out, with a hash", "carl", LIT(""), AUTH_WRONG },
};

static void external_is_who_the_certificate_says(void **state)
{
	struct auth_rig r;

	(void)state;
	auth_rig_open(&r, USERS, NULL);
	for (size_t i = 0; i < ARRAY_LEN(externals); i++) {
		struct auth_talk t;

		auth_talk_init(&t, &r);
		r.peer.certificate_user = text_from(externals[i].certificate);
		CHECK_INT(externals[i].name, auth_talk_begin(&t, "EXTERNAL", &externals[i].says),
		          externals[i].kind);
		if (t.user)
			CHECK_TEXT(externals[i].name, auth_user_name(t.user), r.peer.certificate_user);
		auth_talk_fini(&t);
	}
	auth_rig_close(&r);
}

/* ---------------------------------------------------------------- senders */

static const struct {
	const char *user, *mailbox;
	bool may;
} senders[] = {
	{ "bob@example.com", "bob@example.com", true },
	{ "bob@example.com", "Bob@Example.COM", true },
	{ "bob@example.com", "ann@example.com", false },
	{ "bob@example.com", "x@mail.example.net", true },
	{ "bob@example.com", "x@example.net", false },
	{ "bob@example.com", "bob@example.com.evil.example", false },
	{ "bob@example.com", "", true },
	{ "ann", "anybody@anywhere.example", true },
	{ "ann", "", true },
};

static void senders_are_those_of_the_file(void **state)
{
	struct auth_rig r;

	(void)state;
	auth_rig_open(&r, USERS, NULL);
	for (size_t i = 0; i < ARRAY_LEN(senders); i++) {
		const struct text none = LIT("");
		struct auth_talk t;

		auth_talk_init(&t, &r);
		r.peer.certificate_user = text_from(senders[i].user);
		assert_int_equal(auth_talk_begin(&t, "EXTERNAL", &none), AUTH_DONE);
		CHECK(senders[i].mailbox,
		      auth_user_may_send(t.user, text_from(senders[i].mailbox)) == senders[i].may);
		auth_talk_fini(&t);
	}
	auth_rig_close(&r);
}

/* ---------------------------------------------------------------- guessing */

static int64_t time_of(struct auth_rig *r, const char *name, const char *password, enum auth_step_kind kind)
{
	int64_t before = io_now_at(r->io);

	assert_int_equal(auth_rig_log_in(r, name, password), kind);
	return io_now_at(r->io) - before;
}

static void failures_take_the_same_time_and_success_none(void **state)
{
	struct auth_rig r;

	(void)state;
	auth_rig_open(&r, USERS, NULL);
	assert_true(time_of(&r, "ann", "pencil", AUTH_DONE) < 100);
	assert_int_equal(time_of(&r, "ann", "wrong", AUTH_WRONG), 1000);
	assert_int_equal(time_of(&r, "zoe", "wrong", AUTH_WRONG), 1000);
	assert_int_equal(time_of(&r, "carl", "pencil", AUTH_WRONG), 1000);
	assert_int_equal(time_of(&r, "dora", "pencil", AUTH_WRONG), 1000);
	/* and the same work: one hash each, the wrong ones being three names */
	assert_int_equal(auth_count(r.auth).hashes, 5);
	auth_rig_close(&r);
}

static void failures_take_longer_and_longer(void **state)
{
	struct auth_rig r;

	(void)state;
	auth_rig_open(&r, USERS, NULL);
	r.listener.per_client.auth_failures = (struct config_rate){ 10, 10 * HOUR_MS };
	assert_int_equal(time_of(&r, "ann", "a", AUTH_WRONG), 1000);
	assert_int_equal(time_of(&r, "bob", "b", AUTH_WRONG), 2000);
	assert_int_equal(time_of(&r, "ann", "c", AUTH_WRONG), 4000);
	assert_int_equal(time_of(&r, "ann", "d", AUTH_WRONG), 8000);
	assert_int_equal(time_of(&r, "ann", "e", AUTH_WRONG), 8000);
	auth_rig_close(&r);
}

static void a_client_that_guesses_is_locked_out_for_a_while(void **state)
{
	struct auth_rig r;

	(void)state;
	auth_rig_open(&r, USERS, NULL);
	r.listener.per_client.auth_failures = (struct config_rate){ 3, 3 * MINUTE_MS };
	for (int i = 0; i < 3; i++)
		assert_int_equal(auth_rig_log_in(&r, i ? "zoe" : "ann", "wrong"), AUTH_WRONG);
	uint64_t hashes = auth_count(r.auth).hashes;

	assert_int_equal(auth_rig_log_in(&r, "ann", "pencil"), AUTH_LOCKED);
	assert_int_equal(auth_rig_log_in(&r, "J\xc3\xbcrgen", "pencil"), AUTH_LOCKED);
	assert_int_equal(auth_count(r.auth).hashes, hashes); /* nothing was compared */
	r.peer.client = ip_from_v4(0xc6336401);
	assert_int_equal(auth_rig_log_in(&r, "ann", "pencil"), AUTH_DONE); /* from elsewhere */
	r.peer.client = ip_from_v4(0xc0000201);
	auth_rig_run(&r, MINUTE_MS);
	assert_int_equal(auth_rig_log_in(&r, "ann", "pencil"), AUTH_DONE);
	assert_int_equal(auth_rig_log_in(&r, "ann", "wrong"), AUTH_WRONG);
	assert_int_equal(auth_rig_log_in(&r, "ann", "pencil"), AUTH_LOCKED);
	assert_int_equal(auth_count(r.auth).locked, 3);
	auth_rig_close(&r);
}

static void a_name_is_locked_for_its_network_only(void **state)
{
	struct auth_rig r;

	(void)state;
	auth_rig_open(&r, USERS, NULL);
	r.listener.per_client.auth_failures = (struct config_rate){ 3, 3 * MINUTE_MS };
	for (unsigned i = 0; i < 3; i++) {
		r.peer.client = ip_from_v4(0xc0000201 + i);
		assert_int_equal(auth_rig_log_in(&r, "ann", "wrong"), AUTH_WRONG);
	}
	r.peer.client = ip_from_v4(0xc00002f0);
	assert_int_equal(auth_rig_log_in(&r, "ann", "pencil"), AUTH_LOCKED);
	assert_int_equal(auth_rig_log_in(&r, "bob@example.com", "pencil"), AUTH_DONE);
	r.peer.client = ip_from_v4(0xc0000301);
	assert_int_equal(auth_rig_log_in(&r, "ann", "pencil"), AUTH_DONE);
	auth_rig_close(&r);
}

#define BURST 40

/* Many connections at once. Returns how many ended in each kind. */
static void burst(struct auth_rig *r, const char *mechanism, struct text says, bool same, unsigned counts[16])
{
	struct auth_talk *talks = calloc(BURST, sizeof(*talks));

	assert_non_null(talks);
	memset(counts, 0, 16 * sizeof(*counts));
	for (unsigned i = 0; i < BURST; i++) {
		struct buf octets = BUF(256), line = BUF(400);
		struct text initial;

		auth_talk_init(&talks[i], r);
		buf_add(&octets, says);
		if (!same)
			buf_add_u64(&octets, i);
		base64_add(&line, buf_text(&octets));
		initial = buf_text(&line);
		assert_int_equal(auth_talk_start(&talks[i], mechanism, &initial), ERR_OK);
		buf_fini(&octets);
		buf_fini(&line);
	}
	for (unsigned i = 0; i < BURST; i++) {
		auth_talk_wait(&talks[i]);
		counts[talks[i].kind]++;
		auth_talk_fini(&talks[i]);
	}
	free(talks);
}

static void a_burst_of_guesses_counts_each(void **state)
{
	unsigned counts[16];
	struct auth_rig r;

	(void)state;
	auth_rig_open(&r, USERS, NULL);
	r.listener.per_client.auth_failures = (struct config_rate){ 5, MINUTE_MS };
	burst(&r, "PLAIN", TEXT("\0ann\0guess"), false, counts);
	assert_int_equal(counts[AUTH_WRONG], 5);
	assert_int_equal(counts[AUTH_LOCKED], BURST - 5);
	assert_int_equal(auth_count(r.auth).hashes, 5);
	auth_rig_close(&r);
}

static void a_burst_of_right_passwords_is_none(void **state)
{
	unsigned counts[16];
	struct auth_rig r;

	(void)state;
	auth_rig_open(&r, USERS, NULL);
	r.listener.per_client.auth_failures = (struct config_rate){ 5, MINUTE_MS };
	burst(&r, "PLAIN", TEXT("\0ann\0pencil"), true, counts);
	assert_int_equal(counts[AUTH_DONE], BURST);
	assert_int_equal(auth_count(r.auth).hashes, 1);
	auth_rig_close(&r);
}

/* ---------------------------------------------------------------- what is remembered */

static void a_right_password_is_hashed_once(void **state)
{
	struct auth_rig r;

	(void)state;
	auth_rig_open(&r, USERS, NULL);
	assert_int_equal(auth_rig_log_in(&r, "ann", "pencil"), AUTH_DONE);
	assert_int_equal(auth_rig_log_in(&r, "ann", "pencil"), AUTH_DONE);
	assert_int_equal(auth_count(r.auth).hashes, 1);
	assert_int_equal(auth_count(r.auth).cache_hits, 1);
	/* of two users with one password each is asked; what is wrong is hashed again */
	assert_int_equal(auth_rig_log_in(&r, "bob@example.com", "pencil"), AUTH_DONE);
	assert_int_equal(auth_rig_log_in(&r, "ann", "wrong"), AUTH_WRONG);
	assert_int_equal(auth_rig_log_in(&r, "ann", "wrong"), AUTH_WRONG);
	assert_int_equal(auth_count(r.auth).hashes, 4);
	auth_rig_run(&r, 16 * MINUTE_MS);
	assert_int_equal(auth_rig_log_in(&r, "ann", "pencil"), AUTH_DONE);
	assert_int_equal(auth_count(r.auth).hashes, 5);
	auth_rig_close(&r);
}

/* The same password under another salt */
#define PENCIL_AGAIN "$2b$04$abcdefghijklmnopqrstuu/FyAyuZSl3DbPdvio4KrIBdz2k2yhV2"
#define SECRET \
	"$6$rounds=1000$saltsalt$LAV5VE5Y7w1d73x1mFNspYWUpazfmwv2SoepNXNKJ/otop/Zok96Hr8Q13LEv0DRY/x8v0/crpIjl8NJSAqXV/"

static void a_changed_file_is_in_force_at_once(void **state)
{
	struct auth_rig r;

	(void)state;
	auth_rig_open(&r, "ann:" PENCIL "\nbob:" PENCIL "\n", NULL);
	assert_int_equal(auth_rig_log_in(&r, "ann", "pencil"), AUTH_DONE);
	assert_int_equal(auth_rig_log_in(&r, "bob", "pencil"), AUTH_DONE);
	auth_rig_write_users(&r, "ann:" SECRET "\nbob:" PENCIL_AGAIN "\n");
	auth_rig_run(&r, 1500);
	assert_int_equal(r.notices, 1);
	CHECK_TEXT("notice", buf_text(&r.said[AUTH_USERS_TAKEN]), TEXT("/etc/users: read again, 2 users\n"));
	assert_int_equal(auth_rig_log_in(&r, "ann", "pencil"), AUTH_WRONG); /* was remembered */
	assert_int_equal(auth_rig_log_in(&r, "ann", "secret"), AUTH_DONE);
	assert_int_equal(auth_rig_log_in(&r, "bob", "pencil"), AUTH_DONE);
	auth_rig_write_users(&r, "bob:" PENCIL_AGAIN "\n");
	auth_rig_run(&r, 1500);
	assert_int_equal(auth_rig_log_in(&r, "ann", "secret"), AUTH_WRONG); /* is gone */
	auth_rig_close(&r);
}

static void a_file_is_read_only_when_it_changed(void **state)
{
	struct auth_rig r;

	(void)state;
	auth_rig_open(&r, USERS, NULL);
	assert_int_equal(r.reads, 1);
	auth_rig_run(&r, MINUTE_MS);
	assert_int_equal(r.reads, 1);
	auth_rig_write_users(&r, USERS);
	auth_rig_run(&r, MINUTE_MS);
	assert_int_equal(r.reads, 2);
	auth_rig_close(&r);
}

static void a_wrong_file_leaves_the_users_of_before(void **state)
{
	struct auth_rig r;

	(void)state;
	auth_rig_open(&r, "ann:" PENCIL "\n", NULL);
	auth_rig_write_users(&r, "bob:" PENCIL "\nann:$1$saltsalt$wCrc3hcrR95SV83Xh8Z.41\n");
	auth_rig_run(&r, 5000);
	assert_int_equal(r.notices, 1); /* said once */
	CHECK_TEXT(
		"notice", buf_text(&r.said[AUTH_USERS_REFUSED]),
		TEXT("/etc/users:2: error: ann has an MD5 hash, which is too weak\n  next: postrider users add ann\n"
	             "the users of before stay in force\n"));
	assert_int_equal(auth_rig_log_in(&r, "ann", "pencil"), AUTH_DONE);
	assert_int_equal(auth_rig_log_in(&r, "bob", "pencil"), AUTH_WRONG);
	auth_rig_write_users(&r, "bob:" PENCIL "\n");
	auth_rig_run(&r, 1500);
	assert_int_equal(auth_rig_log_in(&r, "bob", "pencil"), AUTH_DONE);
	auth_rig_close(&r);
}

static void a_file_that_goes_away_leaves_the_users_of_before(void **state)
{
	struct auth_rig r;

	(void)state;
	auth_rig_open(&r, "ann:" PENCIL "\n", NULL);
	r.file_err = ERR_NOT_FOUND;
	auth_rig_run(&r, 5000);
	assert_int_equal(r.notices, 1);
	assert_true(text_starts(buf_text(&r.said[AUTH_USERS_REFUSED]),
	                        TEXT("/etc/users: error: the users file cannot be read")));
	assert_int_equal(auth_rig_log_in(&r, "ann", "pencil"), AUTH_DONE);
	r.file_err = ERR_OK; /* the very same file is back */
	auth_rig_run(&r, 1500);
	assert_int_equal(r.notices, 2);
	assert_int_equal(auth_rig_log_in(&r, "ann", "pencil"), AUTH_DONE);
	auth_rig_close(&r);
}

/* Somebody writes in place, and we look in the middle of it. */
static void half_a_file_is_no_mistake_yet(void **state)
{
	struct auth_rig r;

	(void)state;
	auth_rig_open(&r, "ann:" PENCIL "\n", NULL);
	auth_rig_write_users(&r, "ann:" PENCIL "\nbo");
	r.is_being_written = true;
	auth_rig_run(&r, 5000);
	assert_int_equal(r.notices, 0);
	assert_int_equal(auth_rig_log_in(&r, "ann", "pencil"), AUTH_DONE);
	r.is_being_written = false;
	auth_rig_write_users(&r, "ann:" PENCIL "\nbob:" PENCIL "\n");
	auth_rig_run(&r, 1500);
	assert_int_equal(r.notices, 1);
	assert_int_equal(auth_rig_log_in(&r, "bob", "pencil"), AUTH_DONE);
	auth_rig_close(&r);
}

static void a_file_that_is_wrong_and_stays_is_told_of(void **state)
{
	struct auth_rig r;

	(void)state;
	auth_rig_open(&r, "ann:" PENCIL "\n", NULL);
	auth_rig_write_users(&r, "ann:" PENCIL "\nbo");
	r.is_being_written = true;
	auth_rig_run(&r, 3000);
	r.is_being_written = false; /* and that was all of it */
	auth_rig_run(&r, 1500);
	assert_int_equal(r.notices, 1);
	assert_true(text_starts(buf_text(&r.said[AUTH_USERS_REFUSED]), TEXT("/etc/users:2: error: ")));
	auth_rig_close(&r);
}

static void auth_may_go_while_the_file_is_read(void **state)
{
	struct auth_rig r;

	(void)state;
	auth_rig_open(&r, USERS, NULL);
	auth_rig_write_users(&r, USERS);
	r.world.held[IO_LANE_DISK] = true;
	auth_rig_run(&r, 1500);
	auth_rig_close(&r); /* the address sanitizer looks on */
}

static void a_change_without_memory_leaves_the_users_of_before(void **state)
{
	bool failed = true;

	(void)state;
	for (unsigned nth = 1; failed; nth++) {
		struct auth_rig r;
		bool is_new;

		auth_rig_open(&r, "ann:" PENCIL "\n", NULL);
		auth_rig_write_users(&r, "bob:" PENCIL ":example.com\n");
		alloc_fail_nth(nth);
		auth_rig_run(&r, 1500);
		failed = alloc_has_failed();
		alloc_fail_nth(0);
		is_new = auth_rig_log_in(&r, "bob", "pencil") == AUTH_DONE;
		assert_int_equal(auth_rig_log_in(&r, "ann", "pencil"), is_new ? AUTH_WRONG : AUTH_DONE);
		assert_true(failed || is_new);
		auth_rig_write_users(&r, "bob:" PENCIL ":example.com\n");
		auth_rig_run(&r, 5000);
		assert_int_equal(auth_rig_log_in(&r, "bob", "pencil"), AUTH_DONE);
		auth_rig_close(&r);
	}
}

static void a_start_with_a_wrong_file_fails(void **state)
{
	struct auth_rig r;

	(void)state;
	auth_rig_open(&r, "ann:pencil\n", NULL);
	assert_int_equal(r.new_err, ERR_CONFIG);
	CHECK_TEXT("problem", buf_text(&r.problem),
	           TEXT("/etc/users:1: error: ann has no hash: it looks like a password in clear\n"
	                "  next: postrider users add ann\n"));
	auth_rig_close(&r);
}

static void a_reload_with_a_wrong_file_changes_nothing(void **state)
{
	struct buf problem = BUF(4096);
	struct auth_rig r;

	(void)state;
	auth_rig_open(&r, "ann:" PENCIL "\n", NULL);
	auth_rig_write_users(&r, "ann\n");
	assert_int_equal(auth_configure(r.auth, r.config, &problem), ERR_CONFIG);
	assert_true(text_starts(buf_text(&problem), TEXT("/etc/users:1: error: ")));
	assert_int_equal(auth_rig_log_in(&r, "ann", "pencil"), AUTH_DONE);
	auth_rig_write_users(&r, "bob:" PENCIL "\n");
	assert_int_equal(auth_configure(r.auth, r.config, &problem), ERR_OK);
	assert_int_equal(auth_rig_log_in(&r, "bob", "pencil"), AUTH_DONE);
	buf_fini(&problem);
	auth_rig_close(&r);
}

static void who_reads_the_file_is_looked_at(void **state)
{
	struct auth_rig r;

	(void)state;
	auth_rig_open(&r, "ann:" PENCIL "\n", NULL);
	auth_rig_write_users(&r, "ann:" PENCIL "\n");
	r.mark.mode = 0644;
	auth_rig_run(&r, 1500);
	CHECK_TEXT(
		"readable", buf_text(&r.said[AUTH_USERS_ODD]),
		TEXT("/etc/users: warning: everybody on this machine can read the users file\n  next: chmod 640 /etc/users\n"));
	auth_rig_write_users(&r, "ann:" PENCIL "\n");
	r.mark.mode = 0666;
	auth_rig_run(&r, 1500);
	assert_true(text_find(buf_text(&r.said[AUTH_USERS_ODD]), TEXT("can write")) <
	            r.said[AUTH_USERS_ODD].len);
	auth_rig_close(&r);
}

/* ---------------------------------------------------------------- leaving, and no memory */

static void a_client_may_leave_at_any_time(void **state)
{
	const struct text line = LIT(PLAIN_ANN), wrong = LIT("AGFubgB3cm9uZw==");
	struct auth_rig r;

	(void)state;
	auth_rig_open(&r, USERS, NULL);
	r.listener.per_client.auth_failures = (struct config_rate){ 5, MINUTE_MS };
	for (int64_t after_ms = 0; after_ms < 12; after_ms++) {
		struct auth_talk t;

		auth_talk_init(&t, &r);
		assert_int_equal(auth_talk_start(&t, "PLAIN", after_ms % 2 ? &line : &wrong), ERR_OK);
		auth_rig_run(&r, after_ms);
		auth_cancel(&t.exchange);
		auth_rig_run(&r, after_ms % 3 ? 0 : 5000);
		assert_int_equal(t.steps, t.has_step ? 1 : 0);
		auth_talk_fini(&t);
		auth_rig_run(&r, MINUTE_MS);
	}
	assert_int_equal(auth_rig_log_in(&r, "ann", "pencil"), AUTH_DONE);
	auth_rig_close(&r);
}

static void who_waits_for_the_same_password_waits_on(void **state)
{
	const struct text line = LIT(PLAIN_ANN);
	struct auth_rig r;
	struct auth_talk t[3];

	(void)state;
	auth_rig_open(&r, USERS, NULL);
	r.world.held[IO_LANE_CPU] = true;
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		auth_talk_init(&t[i], &r);
		assert_int_equal(auth_talk_start(&t[i], "PLAIN", &line), ERR_OK);
	}
	fake_io_run(&r.world);
	auth_cancel(&t[0].exchange);
	auth_cancel(&t[2].exchange);
	r.world.held[IO_LANE_CPU] = false;
	auth_talk_wait(&t[1]);
	assert_int_equal(t[1].kind, AUTH_DONE);
	assert_int_equal(t[0].steps + t[2].steps, 0);
	assert_int_equal(auth_count(r.auth).hashes, 1);
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		auth_talk_fini(&t[i]);
	auth_rig_close(&r);
}

/* Two run, and cannot be stopped; the others are not even begun. */
static void passwords_that_nobody_waits_for_are_not_hashed(void **state)
{
	static const char *const lines[] = { "AGFubgBh", "AGFubgBi", "AGFubgBj", "AGFubgBk", "AGFubgBl" };
	struct auth_rig r;
	struct auth_talk t[ARRAY_LEN(lines)];

	(void)state;
	auth_rig_open(&r, USERS, NULL);
	r.world.held[IO_LANE_CPU] = true;
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		const struct text line = text_from(lines[i]);

		auth_talk_init(&t[i], &r);
		assert_int_equal(auth_talk_start(&t[i], "PLAIN", &line), ERR_OK);
	}
	assert_int_equal(auth_count(r.auth).waiting, 3);
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		auth_talk_fini(&t[i]);
	assert_int_equal(auth_count(r.auth).waiting, 0);
	r.world.held[IO_LANE_CPU] = false;
	fake_io_run(&r.world);
	assert_int_equal(auth_count(r.auth).hashes, 2);
	auth_rig_close(&r);
}

/* One more than may wait, from as many clients, each with a password of its own. */
static void too_many_passwords_at_once_are_put_off(void **state)
{
	enum { MANY = 1024 + 2 + 1 };
	struct auth_talk *t = calloc(MANY, sizeof(*t));
	struct auth_rig r;

	(void)state;
	assert_non_null(t);
	auth_rig_open(&r, USERS, NULL);
	r.listener.per_client.auth_failures = (struct config_rate){ 5, MINUTE_MS };
	r.world.held[IO_LANE_CPU] = true;
	for (unsigned i = 0; i < MANY; i++) {
		struct buf octets = BUF(64), line = BUF(64);
		struct text initial;

		r.peer.client = ip_from_v4(0x0a000000 + (i << 8));
		auth_talk_init(&t[i], &r);
		buf_add_bytes(&octets, "\0ann\0", 5);
		buf_add_u64(&octets, i);
		base64_add(&line, buf_text(&octets));
		initial = buf_text(&line);
		assert_int_equal(auth_talk_start(&t[i], "PLAIN", &initial), ERR_OK);
		buf_fini(&octets);
		buf_fini(&line);
	}
	auth_talk_wait(&t[MANY - 1]);
	assert_int_equal(t[MANY - 1].kind, AUTH_TEMPORARY);
	fake_io_run(&r.world);
	assert_int_equal(t[MANY - 2].steps, 0);
	for (unsigned i = 0; i < MANY; i++)
		auth_talk_fini(&t[i]);
	free(t);
	auth_rig_close(&r);
}

static void auth_may_go_while_passwords_are_hashed(void **state)
{
	const struct text line = LIT(PLAIN_ANN);
	struct auth_rig r;
	struct auth_talk t[5];

	(void)state;
	auth_rig_open(&r, USERS, NULL);
	r.world.held[IO_LANE_CPU] = true;
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		auth_talk_init(&t[i], &r);
		assert_int_equal(auth_talk_start(&t[i], "PLAIN", &line), ERR_OK);
	}
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		auth_talk_fini(&t[i]);
	assert_int_equal(auth_count(r.auth).hashes, 0);
	auth_rig_close(&r); /* the address sanitizer looks on */
}

/* Whatever allocation fails, a wrong password never is right, and a right one hears a passing failure at worst. */
static void try_without_memory(struct auth_rig *r, struct text line, bool right)
{
	unsigned nth = 1;
	bool failed;

	do {
		struct auth_talk t;

		auth_talk_init(&t, r);
		alloc_fail_nth(nth++);
		auth_talk_begin_raw(&t, "PLAIN", &line);
		failed = alloc_has_failed();
		alloc_fail_nth(0);
		if (t.kind == AUTH_DONE)
			assert_true(right && t.user);
		else
			assert_true(t.kind == AUTH_TEMPORARY || (!right && t.kind == AUTH_WRONG));
		auth_talk_fini(&t);
		auth_rig_run(r, 20 * MINUTE_MS); /* forgets the password */
	} while (failed);
	assert_true(nth > 6);
}

static void every_failing_allocation_is_survived(void **state)
{
	struct auth_rig r;

	(void)state;
	auth_rig_open(&r, USERS, NULL);
	r.listener.per_client.auth_failures = (struct config_rate){ 50, MINUTE_MS };
	try_without_memory(&r, TEXT(PLAIN_ANN), true);
	try_without_memory(&r, TEXT("AGFubgB3cm9uZw=="), false);
	try_without_memory(&r, TEXT("AHpvZQB3cm9uZw=="), false);
	auth_rig_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dialogues_end_as_they_should),
		cmocka_unit_test(base64_is_strict),
		cmocka_unit_test(lines_have_an_end),
		cmocka_unit_test(challenges_are_what_clients_expect),
		cmocka_unit_test(what_the_log_hears_holds_no_password),
		cmocka_unit_test(a_mechanism_is_offered_only_if_somebody_can_use_it),
		cmocka_unit_test(what_is_not_offered_does_not_work),
		cmocka_unit_test(names_of_mechanisms_are_theirs),
		cmocka_unit_test(every_end_has_its_reply),
		cmocka_unit_test(external_is_who_the_certificate_says),
		cmocka_unit_test(senders_are_those_of_the_file),
		cmocka_unit_test(failures_take_the_same_time_and_success_none),
		cmocka_unit_test(failures_take_longer_and_longer),
		cmocka_unit_test(a_client_that_guesses_is_locked_out_for_a_while),
		cmocka_unit_test(a_name_is_locked_for_its_network_only),
		cmocka_unit_test(a_burst_of_guesses_counts_each),
		cmocka_unit_test(a_burst_of_right_passwords_is_none),
		cmocka_unit_test(a_right_password_is_hashed_once),
		cmocka_unit_test(a_changed_file_is_in_force_at_once),
		cmocka_unit_test(a_file_is_read_only_when_it_changed),
		cmocka_unit_test(a_wrong_file_leaves_the_users_of_before),
		cmocka_unit_test(a_file_that_goes_away_leaves_the_users_of_before),
		cmocka_unit_test(half_a_file_is_no_mistake_yet),
		cmocka_unit_test(a_file_that_is_wrong_and_stays_is_told_of),
		cmocka_unit_test(auth_may_go_while_the_file_is_read),
		cmocka_unit_test(a_change_without_memory_leaves_the_users_of_before),
		cmocka_unit_test(a_start_with_a_wrong_file_fails),
		cmocka_unit_test(a_reload_with_a_wrong_file_changes_nothing),
		cmocka_unit_test(who_reads_the_file_is_looked_at),
		cmocka_unit_test(a_client_may_leave_at_any_time),
		cmocka_unit_test(who_waits_for_the_same_password_waits_on),
		cmocka_unit_test(passwords_that_nobody_waits_for_are_not_hashed),
		cmocka_unit_test(too_many_passwords_at_once_are_put_off),
		cmocka_unit_test(auth_may_go_while_passwords_are_hashed),
		cmocka_unit_test(every_failing_allocation_is_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
