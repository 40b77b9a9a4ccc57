/* Dialogues that a backend decides. The backend here is the test's: it says what it is told to say, in a later turn. */
#include <postrider/auth.h>
#include <postrider/base/base64.h>
#include <postrider/config.h>
#include <postrider/crypto.h>
#include <postrider/io/io.h>

#include "internal.h"
#include "support/alloc.h"
#include "support/auth_rig.h"
#include "support/check.h"

#define PENCIL "$5$rounds=1000$saltsalt$1E80wIeNUk6Tw.cvgykgsGLDhE7YCS/mO7gtCEoKze9"
#define USERS "ann:" PENCIL "\nshut:!" PENCIL "\nlimited:*:limited@example.com\n"

/* What it says to the nth message of a dialogue. */
struct says {
	enum auth_verdict verdict;
	const char *octets, *user, *senders;
};

struct fake {
	struct auth_backend backend;
	struct io *io;
	unsigned mechanisms;
	struct says says[3];
	bool refuses; /* begin is an error */
	bool is_silent;
	struct buf heard; /* messages, one behind the other with "|" */
	enum auth_mechanism asked;
	struct buf asked_user, asked_listener;
	unsigned begun, cancelled, open;
	bool is_closed;
};

struct auth_call {
	struct fake *fake;
	struct auth_call **slot;
	auth_result_fn *on_result;
	void *owner;
	unsigned messages;
	struct io_later later;
};

static unsigned mechanisms_of(const struct auth_backend *b)
{
	return CONTAINER_OF(b, struct fake, backend)->mechanisms;
}

static void say(void *owner)
{
	struct auth_call *c = owner;
	const struct says *says = &c->fake->says[c->messages++];
	const struct auth_result result = { .verdict = says->verdict,
		                            .octets = text_from(says->octets),
		                            .user = text_from(says->user),
		                            .senders = { says->senders,
		                                         says->senders ? strlen(says->senders) : 0 },
		                            .why = TEXT("as the test said") };
	auth_result_fn *on_result = c->on_result;
	void *to = c->owner;

	if (says->verdict != AUTH_SAYS_MORE) {
		*c->slot = NULL;
		c->fake->open--;
		free(c);
	}
	on_result(to, &result);
}

static void hear(struct auth_call *c, struct text octets)
{
	buf_add(&c->fake->heard, octets);
	buf_add_octet(&c->fake->heard, '|');
	if (!c->fake->is_silent)
		io_later_run(c->fake->io, &c->later, say, c);
}

static enum err begin(struct auth_backend *b, const struct auth_request *r, struct auth_call **slot)
{
	struct fake *f = CONTAINER_OF(b, struct fake, backend);
	struct auth_call *c;

	c = f->refuses ? NULL : calloc(1, sizeof(*c));
	if (!c)
		return ERR_NOMEM;
	*c = (struct auth_call){ .fake = f, .slot = slot, .on_result = r->on_result, .owner = r->owner };
	*slot = c;
	f->begun++;
	f->open++;
	f->asked = r->mechanism;
	buf_reset(&f->asked_user);
	buf_reset(&f->asked_listener);
	buf_add(&f->asked_user, r->user);
	buf_add(&f->asked_listener, r->listener);
	hear(c, r->initial);
	return ERR_OK;
}

static void cancel(struct auth_call **slot)
{
	struct auth_call *c = *slot;

	*slot = NULL;
	if (!c)
		return;
	io_later_cancel(c->fake->io, &c->later);
	c->fake->cancelled++;
	c->fake->open--;
	free(c);
}

static void close_it(struct auth_backend **b)
{
	CONTAINER_OF(*b, struct fake, backend)->is_closed = true;
	*b = NULL;
}

static const struct auth_backend_ops ops = { mechanisms_of, begin, hear, cancel, close_it };

static void fake_init(struct fake *f, struct auth_rig *r, unsigned mechanisms)
{
	*f = (struct fake){ .backend = { &ops },
		            .io = r->io,
		            .mechanisms = mechanisms,
		            .heard = BUF(16384),
		            .asked_user = BUF(300),
		            .asked_listener = BUF(300) };
	/* before an allocation fails */
	assert_non_null(buf_reserve(&f->heard, 16384));
	assert_non_null(buf_reserve(&f->asked_user, 300));
	assert_non_null(buf_reserve(&f->asked_listener, 300));
}

static void fake_fini(struct fake *f)
{
	assert_int_equal(f->open, 0);
	buf_fini(&f->heard);
	buf_fini(&f->asked_user);
	buf_fini(&f->asked_listener);
}

/* ---------------------------------------------------------------- tables */

#define TOKEN_ERROR "{\"status\":\"invalid_token\",\"schemes\":\"bearer\"}"
#define BEARER(user, token) LIT("n,a=" user ",\1host=mail.example.com\1port=587\1auth=Bearer " token "\1\1")

static const struct {
	const char *name;
	bool token; /* the backend is the checker of tokens, else Dovecot */
	unsigned mechanisms;
	struct says says[3];
	const char *mechanism;
	struct text client[4];
	enum auth_step_kind kind;
	const char *user;
	const char *heard;     /* by the backend */
	const char *challenge; /* the last one that was said; NULL: not looked at */
} dialogues[] = {
	/* Dovecot */
	{ "PLAIN of a user of Dovecot's",
	  false,
	  AUTH_PLAIN,
	  { { AUTH_SAYS_YES, NULL, "zoe" } },
	  "PLAIN",
	  { LIT("\0zoe\0pencil") },
	  AUTH_DONE,
	  "zoe",
	  "\\0zoe\\0pencil|" },
	{ "LOGIN is PLAIN there",
	  false,
	  AUTH_PLAIN,
	  { { AUTH_SAYS_YES, NULL, "zoe" } },
	  "LOGIN",
	  { LIT("zoe"), LIT("pencil") },
	  AUTH_DONE,
	  "zoe",
	  "\\0zoe\\0pencil|" },
	{ "an identity that is said is not handed on",
	  false,
	  AUTH_PLAIN,
	  { { AUTH_SAYS_YES, NULL, "zoe" } },
	  "PLAIN",
	  { LIT("zoe\0zoe\0pencil") },
	  AUTH_DONE,
	  "zoe",
	  "\\0zoe\\0pencil|" },
	{ "another identity is not even asked for",
	  false,
	  AUTH_PLAIN,
	  { { AUTH_SAYS_YES, NULL, "zoe" } },
	  "PLAIN",
	  { LIT("ann\0zoe\0pencil") },
	  AUTH_WRONG,
	  NULL,
	  "" },
	{ "Dovecot has its own spelling",
	  false,
	  AUTH_PLAIN,
	  { { AUTH_SAYS_YES, NULL, "zoe@example.com" } },
	  "PLAIN",
	  { LIT("\0zoe\0pencil") },
	  AUTH_DONE,
	  "zoe@example.com",
	  NULL },
	{ "refused",
	  false,
	  AUTH_PLAIN,
	  { { AUTH_SAYS_NO } },
	  "PLAIN",
	  { LIT("\0zoe\0pencil") },
	  AUTH_WRONG,
	  NULL,
	  NULL },
	{ "later",
	  false,
	  AUTH_PLAIN,
	  { { AUTH_SAYS_LATER } },
	  "PLAIN",
	  { LIT("\0zoe\0pencil") },
	  AUTH_TEMPORARY,
	  NULL,
	  NULL },
	{ "Dovecot wants more than a password",
	  false,
	  AUTH_PLAIN,
	  { { AUTH_SAYS_MORE, "what else?" } },
	  "LOGIN",
	  { LIT("zoe"), LIT("pencil"), LIT("nothing") },
	  AUTH_TEMPORARY,
	  NULL,
	  NULL },
	{ "a user of the file is not asked about",
	  false,
	  AUTH_PLAIN,
	  { { AUTH_SAYS_YES, NULL, "ann" } },
	  "PLAIN",
	  { LIT("\0ann\0wrong") },
	  AUTH_WRONG,
	  NULL,
	  "" },
	{ "a user of the file with the file's password",
	  false,
	  AUTH_PLAIN,
	  { { AUTH_SAYS_NO } },
	  "PLAIN",
	  { LIT("\0ann\0pencil") },
	  AUTH_DONE,
	  "ann",
	  "" },
	{ "who is shut out in the file is so everywhere",
	  false,
	  AUTH_PLAIN,
	  { { AUTH_SAYS_YES, NULL, "shut" } },
	  "PLAIN",
	  { LIT("\0zoe\0pencil") },
	  AUTH_WRONG,
	  NULL,
	  NULL },
	{ "who is shut out is so however he is spelt",
	  false,
	  AUTH_PLAIN,
	  { { AUTH_SAYS_YES, NULL, "SHUT" } },
	  "PLAIN",
	  { LIT("\0zoe\0pencil") },
	  AUTH_WRONG,
	  NULL,
	  NULL },
	{ "a user of the file in capitals is not asked about",
	  false,
	  AUTH_PLAIN,
	  { { AUTH_SAYS_YES, NULL, "ANN" } },
	  "PLAIN",
	  { LIT("\0ANN\0wrong") },
	  AUTH_WRONG,
	  NULL,
	  "" },
	{ "a name that cannot be one",
	  false,
	  AUTH_PLAIN,
	  { { AUTH_SAYS_YES, NULL, "z\noe" } },
	  "PLAIN",
	  { LIT("\0zoe\0pencil") },
	  AUTH_WRONG,
	  NULL,
	  NULL },
	{ "no name",
	  false,
	  AUTH_PLAIN,
	  { { AUTH_SAYS_YES, NULL, "" } },
	  "PLAIN",
	  { LIT("\0zoe\0pencil") },
	  AUTH_WRONG,
	  NULL,
	  NULL },
	{ "SCRAM from its first message on",
	  false,
	  AUTH_SCRAM_SHA_256,
	  { { AUTH_SAYS_MORE, "r=abcdef,s=AAAA,i=4096" }, { AUTH_SAYS_YES, "v=AAAA", "zoe" } },
	  "SCRAM-SHA-256",
	  { LIT("n,,n=zoe,r=abc"), LIT("c=biws,r=abcdef,p=AAAA"), LIT("") },
	  AUTH_DONE,
	  "zoe",
	  "n,,n=zoe,r=abc|c=biws,r=abcdef,p=AAAA|",
	  "v=AAAA" },
	{ "SCRAM, the end as a message of its own",
	  false,
	  AUTH_SCRAM_SHA_256,
	  { { AUTH_SAYS_MORE, "r=abcdef,s=AAAA,i=4096" },
	    { AUTH_SAYS_MORE, "v=AAAA" },
	    { AUTH_SAYS_YES, NULL, "zoe" } },
	  "SCRAM-SHA-256",
	  { LIT("n,,n=zoe,r=abc"), LIT("c=biws,r=abcdef,p=AAAA"), LIT("") },
	  AUTH_DONE,
	  "zoe",
	  "n,,n=zoe,r=abc|c=biws,r=abcdef,p=AAAA||",
	  "v=AAAA" },
	{ "SCRAM, refused",
	  false,
	  AUTH_SCRAM_SHA_256,
	  { { AUTH_SAYS_MORE, "r=abcdef,s=AAAA,i=4096" }, { AUTH_SAYS_NO } },
	  "SCRAM-SHA-256",
	  { LIT("n,,n=zoe,r=abc"), LIT("c=biws,r=abcdef,p=AAAA") },
	  AUTH_WRONG,
	  NULL,
	  NULL },
	{ "SCRAM, something behind the end",
	  false,
	  AUTH_SCRAM_SHA_256,
	  { { AUTH_SAYS_MORE, "r=abcdef,s=AAAA,i=4096" }, { AUTH_SAYS_YES, "v=AAAA", "zoe" } },
	  "SCRAM-SHA-256",
	  { LIT("n,,n=zoe,r=abc"), LIT("c=biws,r=abcdef,p=AAAA"), LIT("x") },
	  AUTH_MALFORMED,
	  NULL,
	  NULL },
	{ "Dovecot's own OAUTHBEARER",
	  false,
	  AUTH_OAUTHBEARER,
	  { { AUTH_SAYS_MORE, TOKEN_ERROR }, { AUTH_SAYS_NO } },
	  "OAUTHBEARER",
	  { BEARER("zoe", "abc"), LIT("\1") },
	  AUTH_WRONG,
	  NULL,
	  "n,a=zoe,\1host=mail.example.com\1port=587\1auth=Bearer abc\1\1|\1|",
	  TOKEN_ERROR },
	/* tokens */
	{ "OAUTHBEARER",
	  true,
	  AUTH_OAUTHBEARER,
	  { { AUTH_SAYS_YES, NULL, "zoe" } },
	  "OAUTHBEARER",
	  { BEARER("zoe", "abc.def-_~+/==") },
	  AUTH_DONE,
	  "zoe",
	  "abc.def-_~+/==|" },
	{ "OAUTHBEARER without a name",
	  true,
	  AUTH_OAUTHBEARER,
	  { { AUTH_SAYS_YES, NULL, "zoe" } },
	  "OAUTHBEARER",
	  { LIT("n,,\1auth=Bearer abc\1\1") },
	  AUTH_DONE,
	  "zoe",
	  "abc|" },
	{ "OAUTHBEARER, y",
	  true,
	  AUTH_OAUTHBEARER,
	  { { AUTH_SAYS_YES, NULL, "zoe" } },
	  "OAUTHBEARER",
	  { LIT("y,,\1auth=bearer   abc\1\1") },
	  AUTH_DONE,
	  "zoe",
	  "abc|" },
	{ "a name with a comma",
	  true,
	  AUTH_OAUTHBEARER,
	  { { AUTH_SAYS_YES, NULL, "z,e" } },
	  "OAUTHBEARER",
	  { BEARER("z=2Ce", "abc") },
	  AUTH_DONE,
	  "z,e",
	  "abc|" },
	{ "the name in other case is the same",
	  true,
	  AUTH_OAUTHBEARER,
	  { { AUTH_SAYS_YES, NULL, "zoe@example.com" } },
	  "OAUTHBEARER",
	  { BEARER("Zoe@Example.com", "abc") },
	  AUTH_DONE,
	  "zoe@example.com",
	  "abc|" },
	{ "refused, with the error and ^A",
	  true,
	  AUTH_OAUTHBEARER,
	  { { AUTH_SAYS_NO } },
	  "OAUTHBEARER",
	  { BEARER("zoe", "abc"), LIT("\1") },
	  AUTH_WRONG,
	  NULL,
	  "abc|",
	  TOKEN_ERROR },
	{ "somebody else's token",
	  true,
	  AUTH_OAUTHBEARER,
	  { { AUTH_SAYS_YES, NULL, "eve" } },
	  "OAUTHBEARER",
	  { BEARER("zoe", "abc"), LIT("\1") },
	  AUTH_WRONG,
	  NULL,
	  "abc|",
	  TOKEN_ERROR },
	{ "later",
	  true,
	  AUTH_OAUTHBEARER,
	  { { AUTH_SAYS_LATER } },
	  "OAUTHBEARER",
	  { BEARER("zoe", "abc") },
	  AUTH_TEMPORARY,
	  NULL,
	  "abc|" },
	{ "XOAUTH2",
	  true,
	  AUTH_XOAUTH2,
	  { { AUTH_SAYS_YES, NULL, "zoe" } },
	  "XOAUTH2",
	  { LIT("user=zoe\1auth=Bearer abc\1\1") },
	  AUTH_DONE,
	  "zoe",
	  "abc|" },
	{ "XOAUTH2, refused, with the error and nothing",
	  true,
	  AUTH_XOAUTH2,
	  { { AUTH_SAYS_NO } },
	  "XOAUTH2",
	  { LIT("user=zoe\1auth=Bearer abc\1\1"), LIT("") },
	  AUTH_WRONG,
	  NULL,
	  "abc|",
	  TOKEN_ERROR },
	{ "a token that is none",
	  true,
	  AUTH_OAUTHBEARER,
	  { { AUTH_SAYS_YES, NULL, "zoe" } },
	  "OAUTHBEARER",
	  { BEARER("zoe", "a b") },
	  AUTH_MALFORMED,
	  NULL,
	  "" },
	{ "a token with a line end",
	  true,
	  AUTH_OAUTHBEARER,
	  { { AUTH_SAYS_YES, NULL, "zoe" } },
	  "OAUTHBEARER",
	  { BEARER("zoe", "a\r\nX: y") },
	  AUTH_MALFORMED,
	  NULL,
	  "" },
	{ "no token",
	  true,
	  AUTH_OAUTHBEARER,
	  { { AUTH_SAYS_YES, NULL, "zoe" } },
	  "OAUTHBEARER",
	  { BEARER("zoe", "") },
	  AUTH_MALFORMED,
	  NULL,
	  "" },
	{ "only padding",
	  true,
	  AUTH_OAUTHBEARER,
	  { { AUTH_SAYS_YES, NULL, "zoe" } },
	  "OAUTHBEARER",
	  { BEARER("zoe", "==") },
	  AUTH_MALFORMED,
	  NULL,
	  "" },
	{ "Basic",
	  true,
	  AUTH_OAUTHBEARER,
	  { { AUTH_SAYS_YES, NULL, "zoe" } },
	  "OAUTHBEARER",
	  { LIT("n,,\1auth=Basic abc\1\1") },
	  AUTH_MALFORMED,
	  NULL,
	  "" },
	{ "two tokens",
	  true,
	  AUTH_OAUTHBEARER,
	  { { AUTH_SAYS_YES, NULL, "zoe" } },
	  "OAUTHBEARER",
	  { LIT("n,,\1auth=Bearer abc\1auth=Bearer def\1\1") },
	  AUTH_MALFORMED,
	  NULL,
	  "" },
	{ "no end",
	  true,
	  AUTH_OAUTHBEARER,
	  { { AUTH_SAYS_YES, NULL, "zoe" } },
	  "OAUTHBEARER",
	  { LIT("n,,\1auth=Bearer abc\1") },
	  AUTH_MALFORMED,
	  NULL,
	  "" },
	{ "no end at all",
	  true,
	  AUTH_OAUTHBEARER,
	  { { AUTH_SAYS_YES, NULL, "zoe" } },
	  "OAUTHBEARER",
	  { LIT("n,,\1auth=Bearer abc") },
	  AUTH_MALFORMED,
	  NULL,
	  "" },
	{ "something behind the end",
	  true,
	  AUTH_OAUTHBEARER,
	  { { AUTH_SAYS_YES, NULL, "zoe" } },
	  "OAUTHBEARER",
	  { LIT("n,,\1auth=Bearer abc\1\1x") },
	  AUTH_MALFORMED,
	  NULL,
	  "" },
	{ "channel binding",
	  true,
	  AUTH_OAUTHBEARER,
	  { { AUTH_SAYS_YES, NULL, "zoe" } },
	  "OAUTHBEARER",
	  { LIT("p=tls-exporter,,\1auth=Bearer abc\1\1") },
	  AUTH_MALFORMED,
	  NULL,
	  "" },
	{ "no header",
	  true,
	  AUTH_OAUTHBEARER,
	  { { AUTH_SAYS_YES, NULL, "zoe" } },
	  "OAUTHBEARER",
	  { LIT("\1auth=Bearer abc\1\1") },
	  AUTH_MALFORMED,
	  NULL,
	  "" },
	{ "nothing",
	  true,
	  AUTH_OAUTHBEARER,
	  { { AUTH_SAYS_YES, NULL, "zoe" } },
	  "OAUTHBEARER",
	  { LIT("") },
	  AUTH_MALFORMED,
	  NULL,
	  "" },
	{ "XOAUTH2 without a user",
	  true,
	  AUTH_XOAUTH2,
	  { { AUTH_SAYS_YES, NULL, "zoe" } },
	  "XOAUTH2",
	  { LIT("auth=Bearer abc\1\1") },
	  AUTH_MALFORMED,
	  NULL,
	  "" },
	{ "XOAUTH2 with a name that cannot be one",
	  true,
	  AUTH_XOAUTH2,
	  { { AUTH_SAYS_YES, NULL, "zoe" } },
	  "XOAUTH2",
	  { LIT("user=z\xff\1auth=Bearer abc\1\1") },
	  AUTH_WRONG,
	  NULL,
	  "" },
};

/* NUL as \0, so that the table can be read. */
static void check_heard(const char *row, const struct fake *f, const char *expected)
{
	struct buf shown = BUF(16384);

	for (size_t i = 0; i < f->heard.len; i++) {
		if (f->heard.at[i])
			buf_add_octet(&shown, f->heard.at[i]);
		else
			buf_add_string(&shown, "\\0");
	}
	CHECK_TEXT(row, buf_text(&shown), text_from(expected));
	buf_fini(&shown);
}

static void check_dialogue(size_t i)
{
	const char *row = dialogues[i].name, *challenge = dialogues[i].challenge;
	struct auth_rig r;
	struct auth_talk t;
	struct fake f;
	size_t next = 1;

	auth_rig_open(&r, USERS, NULL);
	fake_init(&f, &r, dialogues[i].mechanisms);
	memcpy(f.says, dialogues[i].says, sizeof(f.says));
	*(dialogues[i].token ? &r.auth->token_check : &r.auth->dovecot) = &f.backend;
	auth_talk_init(&t, &r);
	auth_talk_begin(&t, dialogues[i].mechanism, &dialogues[i].client[0]);
	for (; t.kind == AUTH_CHALLENGE && next < 4 && dialogues[i].client[next].at; next++) {
		bool last = next == 3 || !dialogues[i].client[next + 1].at;

		if (challenge && last)
			CHECK_TEXT(row, buf_text(&t.challenge), text_from(challenge));
		auth_talk_say(&t, dialogues[i].client[next]);
	}
	CHECK_INT(row, t.kind, dialogues[i].kind);
	CHECK(row, (t.user != NULL) == (dialogues[i].user != NULL));
	if (t.user)
		CHECK_TEXT(row, auth_user_name(t.user), text_from(dialogues[i].user));
	if (dialogues[i].heard)
		check_heard(row, &f, dialogues[i].heard);
	if (f.begun)
		CHECK_TEXT(row, buf_text(&f.asked_listener), TEXT("apps"));
	auth_talk_fini(&t);
	auth_rig_close(&r);
	CHECK(row, f.is_closed);
	fake_fini(&f);
}

static void dialogues_end_as_the_backend_says(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(dialogues); i++)
		check_dialogue(i);
}

/* ---------------------------------------------------------------- offers */

static void what_a_backend_has_is_offered(void **state)
{
	struct buf words = BUF(200);
	struct auth_rig r;
	struct fake dovecot, tokens;

	(void)state;
	auth_rig_open(&r, "ann:*\n", NULL);
	fake_init(&dovecot, &r, 0);
	fake_init(&tokens, &r, AUTH_OAUTHBEARER | AUTH_XOAUTH2);
	r.auth->dovecot = &dovecot.backend;
	assert_int_equal(auth_offered(r.auth, &r.peer), 0); /* not connected yet */
	dovecot.mechanisms = AUTH_PLAIN | AUTH_SCRAM_SHA_256;
	auth_add_offered(&words, auth_offered(r.auth, &r.peer));
	CHECK_TEXT("Dovecot", buf_text(&words), TEXT("SCRAM-SHA-256 PLAIN LOGIN"));
	r.auth->token_check = &tokens.backend;
	buf_reset(&words);
	auth_add_offered(&words, auth_offered(r.auth, &r.peer));
	CHECK_TEXT("both", buf_text(&words), TEXT("SCRAM-SHA-256 OAUTHBEARER XOAUTH2 PLAIN LOGIN"));
	r.peer.tls = false;
	buf_reset(&words);
	auth_add_offered(&words, auth_offered(r.auth, &r.peer));
	CHECK_TEXT("outside TLS", buf_text(&words), TEXT("SCRAM-SHA-256"));
	buf_fini(&words);
	auth_rig_close(&r);
	fake_fini(&dovecot);
	fake_fini(&tokens);
}

/* A client takes -PLUS when it sees it, and Dovecot's users could not use it. */
static void plus_is_not_offered_beside_dovecots_scram(void **state)
{
	struct auth_rig r;
	struct fake f;

	(void)state;
	auth_rig_open(&r,
	              "ann:{SCRAM-SHA-256}4096,AAAA,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=,"
	              "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
	              NULL);
	r.peer.channel_binding = TEXT("0123456789abcdef");
	assert_true(auth_offered(r.auth, &r.peer) & AUTH_SCRAM_SHA_256_PLUS);
	fake_init(&f, &r, AUTH_PLAIN);
	r.auth->dovecot = &f.backend;
	assert_true(auth_offered(r.auth, &r.peer) & AUTH_SCRAM_SHA_256_PLUS);
	f.mechanisms |= AUTH_SCRAM_SHA_256;
	assert_false(auth_offered(r.auth, &r.peer) & AUTH_SCRAM_SHA_256_PLUS);
	auth_rig_close(&r);
	fake_fini(&f);
}

/* ---------------------------------------------------------------- senders */

static void senders_of_both_hold(void **state)
{
	static const struct {
		const char *user, *senders, *mailbox;
		bool may;
	} cases[] = {
		{ "zoe", NULL, "x@example.org", true },
		{ "zoe", "example.org", "x@example.org", true },
		{ "zoe", "example.org", "x@example.com", false },
		{ "zoe", "", "x@example.org", false },
		{ "zoe", "", "", true },
		{ "limited", NULL, "limited@example.com", true },
		{ "limited", NULL, "x@example.com", false },
		{ "LiMiTeD", NULL, "x@example.com", false },
		{ "limited", "example.com", "limited@example.com", true },
		{ "limited", "example.com", "x@example.com", false },
		{ "limited", "example.org", "limited@example.com", false },
	};
	const struct text says = LIT("n,,\1auth=Bearer abc\1\1");

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct auth_rig r;
		struct auth_talk t;
		struct fake f;

		auth_rig_open(&r, USERS, NULL);
		fake_init(&f, &r, AUTH_OAUTHBEARER);
		f.says[0] = (struct says){ AUTH_SAYS_YES, NULL, cases[i].user, cases[i].senders };
		r.auth->token_check = &f.backend;
		auth_talk_init(&t, &r);
		assert_int_equal(auth_talk_begin(&t, "OAUTHBEARER", &says), AUTH_DONE);
		CHECK(cases[i].mailbox,
		      auth_user_may_send(t.user, text_from(cases[i].mailbox)) == cases[i].may);
		auth_talk_fini(&t);
		auth_rig_close(&r);
		fake_fini(&f);
	}
}

/* ---------------------------------------------------------------- what may go wrong */

static void a_backend_that_cannot_be_asked_is_a_passing_failure(void **state)
{
	const struct text says = LIT("\0zoe\0pencil");
	struct auth_rig r;
	struct auth_talk t;
	struct fake f;

	(void)state;
	auth_rig_open(&r, USERS, NULL);
	fake_init(&f, &r, AUTH_PLAIN);
	f.refuses = true;
	r.auth->dovecot = &f.backend;
	auth_talk_init(&t, &r);
	assert_int_equal(auth_talk_begin(&t, "PLAIN", &says), AUTH_TEMPORARY);
	auth_talk_fini(&t);
	auth_rig_close(&r);
	fake_fini(&f);
}

static void a_client_may_leave_while_the_backend_thinks(void **state)
{
	const struct text line = LIT("AHpvZQBwZW5jaWw="), first = LIT("n,,n=zoe,r=abc");
	struct auth_rig r;
	struct auth_talk t;
	struct fake f;

	(void)state;
	auth_rig_open(&r, USERS, NULL);
	fake_init(&f, &r, AUTH_PLAIN | AUTH_SCRAM_SHA_256);
	f.is_silent = true;
	r.auth->dovecot = &f.backend;
	auth_talk_init(&t, &r);
	assert_int_equal(auth_talk_start(&t, "PLAIN", &line), ERR_OK);
	fake_io_run(&r.world);
	assert_int_equal(f.open, 1);
	auth_cancel(&t.exchange);
	assert_int_equal(f.cancelled, 1);

	f.is_silent = false;
	f.says[0] = (struct says){ AUTH_SAYS_MORE, "r=abcdef,s=AAAA,i=4096" };
	assert_int_equal(auth_talk_begin(&t, "SCRAM-SHA-256", &first), AUTH_CHALLENGE);
	assert_int_equal(auth_talk_say_raw(&t, TEXT("*")), AUTH_CANCELLED);
	assert_int_equal(f.cancelled, 2);
	auth_talk_fini(&t);
	auth_rig_close(&r);
	fake_fini(&f);
}

static void guesses_at_a_backend_are_counted(void **state)
{
	const struct text says = LIT("\0zoe\0pencil");
	struct auth_rig r;
	struct auth_talk t;
	struct fake f;

	(void)state;
	auth_rig_open(&r, USERS, NULL);
	r.listener.per_client.auth_failures = (struct config_rate){ 2, HOUR_MS };
	fake_init(&f, &r, AUTH_PLAIN);
	f.says[0].verdict = AUTH_SAYS_NO;
	r.auth->dovecot = &f.backend;
	auth_talk_init(&t, &r);
	for (int i = 0; i < 2; i++)
		assert_int_equal(auth_talk_begin(&t, "PLAIN", &says), AUTH_WRONG);
	assert_int_equal(auth_talk_begin(&t, "PLAIN", &says), AUTH_LOCKED);
	assert_int_equal(f.begun, 2);
	auth_talk_fini(&t);
	auth_rig_close(&r);
	fake_fini(&f);
}

static void refused_tokens_are_counted_before_the_client_says_so(void **state)
{
	const struct text says = LIT("n,,\1auth=Bearer abc\1\1");
	struct auth_rig r;
	struct auth_talk t;
	struct fake f;

	(void)state;
	auth_rig_open(&r, USERS, NULL);
	r.listener.per_client.auth_failures = (struct config_rate){ 2, HOUR_MS };
	fake_init(&f, &r, AUTH_OAUTHBEARER);
	f.says[0].verdict = AUTH_SAYS_NO;
	r.auth->token_check = &f.backend;
	auth_talk_init(&t, &r);
	for (int i = 0; i < 2; i++) {
		int64_t before = r.world.at_ms;

		assert_int_equal(auth_talk_begin(&t, "OAUTHBEARER", &says), AUTH_CHALLENGE);
		assert_int_equal(r.world.at_ms - before, i ? 2000 : 1000);
		auth_cancel(&t.exchange); /* hangs up */
	}
	assert_int_equal(auth_talk_begin(&t, "OAUTHBEARER", &says), AUTH_LOCKED);
	auth_talk_fini(&t);
	auth_rig_close(&r);
	fake_fini(&f);
}

/* A reload takes the backend away while a guess waits for its ticket, and while a dialogue is at its client. */
static void a_backend_may_be_taken_away(void **state)
{
	const struct text lines[] = { LIT("AHpvZQBwZW5jaWw="), LIT("AHpvZQBwZW5jaWx4") };
	struct auth_rig r;
	struct auth_talk t[2];
	struct fake f;

	(void)state;
	auth_rig_open(&r, USERS, NULL);
	r.listener.per_client.auth_failures = (struct config_rate){ 1, HOUR_MS };
	fake_init(&f, &r, AUTH_PLAIN);
	f.is_silent = true;
	r.auth->dovecot = &f.backend;
	for (int i = 0; i < 2; i++) {
		auth_talk_init(&t[i], &r);
		assert_int_equal(auth_talk_start(&t[i], "PLAIN", &lines[i]), ERR_OK);
	}
	assert_int_equal(f.begun, 1); /* the second waits */
	assert_int_equal(auth_configure(r.auth, r.config, &r.problem), ERR_OK);
	assert_true(f.is_closed);
	auth_cancel(&t[0].exchange); /* the ticket is free */
	auth_talk_wait(&t[1]);
	assert_int_equal(t[1].kind, AUTH_TEMPORARY);
	for (int i = 0; i < 2; i++)
		auth_talk_fini(&t[i]);
	auth_rig_close(&r);
	fake_fini(&f);
}

/* It ends the dialogue while the client has the word, and the client hears so when it speaks. */
static void a_backend_may_end_a_dialogue_at_its_client(void **state)
{
	const struct text first = LIT("n,,n=zoe,r=abc");
	struct auth_rig r;
	struct auth_talk t;
	struct fake f;

	(void)state;
	auth_rig_open(&r, USERS, NULL);
	fake_init(&f, &r, AUTH_SCRAM_SHA_256);
	f.says[0] = (struct says){ AUTH_SAYS_MORE, "r=abcdef,s=AAAA,i=4096" };
	f.says[1] = (struct says){ AUTH_SAYS_LATER };
	r.auth->dovecot = &f.backend;
	auth_talk_init(&t, &r);
	assert_int_equal(auth_talk_begin(&t, "SCRAM-SHA-256", &first), AUTH_CHALLENGE);
	say(t.exchange->call);
	auth_rig_run(&r, 1000);
	assert_int_equal(t.steps, 1);
	assert_int_equal(auth_talk_say(&t, TEXT("c=biws,r=abcdef,p=AAAA")), AUTH_TEMPORARY);
	auth_talk_fini(&t);
	auth_rig_close(&r);
	fake_fini(&f);
}

static bool fails_on_the_way(unsigned nth)
{
	const struct text line = LIT("biwsbj16b2Uscj1hYmM="), final = LIT("Yz1iaXdz"); /* n,,n=zoe,r=abc */
	struct auth_rig r;
	struct auth_talk t;
	struct fake f;
	bool failed;

	auth_rig_open(&r, USERS, NULL);
	fake_init(&f, &r, AUTH_SCRAM_SHA_256);
	f.says[0] = (struct says){ AUTH_SAYS_MORE, "r=abcdef,s=AAAA,i=4096" };
	f.says[1] = (struct says){ AUTH_SAYS_YES, "v=AAAA", "zoe", "example.com" };
	r.auth->dovecot = &f.backend;
	auth_talk_init(&t, &r);
	alloc_fail_nth(nth);
	auth_talk_begin_raw(&t, "SCRAM-SHA-256", &line);
	if (t.kind == AUTH_CHALLENGE)
		auth_talk_say_raw(&t, final);
	if (t.kind == AUTH_CHALLENGE)
		auth_talk_say_raw(&t, TEXT_EMPTY);
	failed = alloc_has_failed();
	alloc_fail_nth(0);
	assert_true(t.kind == AUTH_DONE ? !failed : t.kind == AUTH_TEMPORARY || t.kind == AUTH_WRONG);
	auth_talk_fini(&t);
	auth_rig_close(&r);
	fake_fini(&f);
	return failed;
}

static void every_failing_allocation_is_survived(void **state)
{
	unsigned nth = 1;

	(void)state;
	while (fails_on_the_way(nth))
		nth++;
	assert_true(nth > 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dialogues_end_as_the_backend_says),
		cmocka_unit_test(what_a_backend_has_is_offered),
		cmocka_unit_test(plus_is_not_offered_beside_dovecots_scram),
		cmocka_unit_test(senders_of_both_hold),
		cmocka_unit_test(a_backend_that_cannot_be_asked_is_a_passing_failure),
		cmocka_unit_test(a_client_may_leave_while_the_backend_thinks),
		cmocka_unit_test(guesses_at_a_backend_are_counted),
		cmocka_unit_test(refused_tokens_are_counted_before_the_client_says_so),
		cmocka_unit_test(a_backend_may_be_taken_away),
		cmocka_unit_test(a_backend_may_end_a_dialogue_at_its_client),
		cmocka_unit_test(every_failing_allocation_is_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
