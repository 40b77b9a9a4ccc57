/* Dialogues whose outcome does not hang on SCRAM (scram_test.c) or a backend (relay_test.c). */
#include <postrider/auth.h>
#include <postrider/config.h>
#include <postrider/sim.h>

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
	{ "PLAIN, the name in other case", "PLAIN", { LIT("\0Ann\0pencil") }, AUTH_WRONG, NULL },
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dialogues_end_as_they_should),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
