/* SCRAM-SHA-256 and -PLUS, played by a client of our own; the arithmetic has RFC 7677's vector in scram_verifier_test.c. */
#include <postrider/auth.h>
#include <postrider/base/base64.h>
#include <postrider/config.h>
#include <postrider/crypto.h>
#include <postrider/io/io.h>

#include "support/alloc.h"
#include "support/auth_rig.h"
#include "support/check.h"

#define PENCIL "$5$rounds=1000$saltsalt$1E80wIeNUk6Tw.cvgykgsGLDhE7YCS/mO7gtCEoKze9"
/* password "pencil", 4096 iterations, a salt of 16 octets */
#define PENCIL_SCRAM                                                                                 \
	"{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=," \
	"wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
#define USERS                                            \
	"user:" PENCIL_SCRAM "\n"                        \
	"both:" PENCIL "|" PENCIL_SCRAM ":a@b.example\n" \
	"a=b,c:" PENCIL_SCRAM "\n"                       \
	"hashed:" PENCIL "\n"                            \
	"shut:!" PENCIL_SCRAM "\n"                       \
	"J\xc3\xbcrgen:" PENCIL_SCRAM "\n"

#define BINDING "0123456789abcdef0123456789abcdef"
#define CLIENT_NONCE "rOprNGfwEbeRWgbNEkqO"

/* What the client says, and may say wrongly. */
struct client {
	const char *mechanism;
	const char *header; /* gs2-header */
	const char *name;   /* as a saslname */
	const char *password;
	const char *binding;      /* behind the header in c= */
	const char *other_header; /* in c=; NULL: the same */
	const char *other_nonce;  /* in r=; NULL: the server's */
	const char *extension;    /* before the proof */
	const char *first_tail;   /* behind the first message */
};

struct heard {
	struct text nonce, salt;
	uint64_t iterations;
};

static void hear_first(const char *row, const struct auth_talk *t, struct heard *h)
{
	struct text rest = buf_text(&t->challenge);
	struct text nonce = text_cut(&rest, ','), salt = text_cut(&rest, ',');

	CHECK(row,
	      text_starts(nonce, TEXT("r=" CLIENT_NONCE)) && nonce.len >= 2 + sizeof(CLIENT_NONCE) - 1 + 18);
	CHECK(row, text_starts(salt, TEXT("s=")) && text_starts(rest, TEXT("i=")));
	h->nonce = text_skip(nonce, 2);
	h->salt = text_skip(salt, 2);
	CHECK_INT(row, text_to_u64(text_skip(rest, 2), UINT32_MAX, &h->iterations), ERR_OK);
}

static struct crypto_sha256 hmac(const struct crypto_sha256 *key, struct text t)
{
	return crypto_hmac_sha256(crypto_sha256_text(key), &t, 1);
}

/* The proof, and the signature that it expects. */
static void prove(const struct client *c, const struct heard *h, struct text message, struct buf *proof,
                  struct buf *signature)
{
	struct buf salt = BUF(128);
	struct crypto_sha256 salted, client_key, stored, server_key, sum;
	struct text piece;

	assert_int_equal(base64_decode(h->salt, &salt), ERR_OK);
	salted = crypto_pbkdf2_sha256(text_from(c->password), buf_text(&salt), (uint32_t)h->iterations);
	client_key = hmac(&salted, TEXT("Client Key"));
	piece = crypto_sha256_text(&client_key);
	stored = crypto_sha256(&piece, 1);
	sum = hmac(&stored, message);
	for (size_t i = 0; i < sizeof(sum.at); i++)
		sum.at[i] ^= client_key.at[i];
	base64_add(proof, crypto_sha256_text(&sum));
	server_key = hmac(&salted, TEXT("Server Key"));
	sum = hmac(&server_key, message);
	base64_add(signature, crypto_sha256_text(&sum));
	buf_fini(&salt);
}

static void add_without_proof(const struct client *c, const struct heard *h, struct buf *out)
{
	struct buf binding = BUF(256);

	buf_add_string(&binding, c->other_header ? c->other_header : c->header);
	buf_add_string(&binding, c->binding ? c->binding : "");
	buf_add_string(out, "c=");
	base64_add(out, buf_text(&binding));
	buf_add_string(out, ",r=");
	buf_add(out, c->other_nonce ? text_from(c->other_nonce) : h->nonce);
	buf_add_string(out, c->extension ? c->extension : "");
	buf_fini(&binding);
}

static enum auth_step_kind say_first(const struct client *c, struct auth_talk *t, struct buf *bare)
{
	struct buf first = BUF(16384);
	struct text initial;

	buf_add_format(bare, "n=%s,r=" CLIENT_NONCE "%s", c->name, c->first_tail ? c->first_tail : "");
	buf_add_string(&first, c->header);
	buf_add(&first, buf_text(bare));
	initial = buf_text(&first);
	auth_talk_begin(t, c->mechanism, &initial);
	buf_fini(&first);
	return t->kind;
}

static void make_final(const char *row, const struct client *c, const struct auth_talk *t,
                       const struct buf *bare, struct buf *final, struct buf *signature)
{
	struct buf message = BUF(16384), proof = BUF(64);
	struct heard h;

	hear_first(row, t, &h);
	add_without_proof(c, &h, final);
	buf_add_format(&message, "%.*s,%.*s,%.*s", TEXT_ARGS(buf_text(bare)),
	               TEXT_ARGS(buf_text(&t->challenge)), TEXT_ARGS(buf_text(final)));
	prove(c, &h, buf_text(&message), &proof, signature);
	buf_add_format(final, ",p=%.*s", TEXT_ARGS(buf_text(&proof)));
	buf_fini(&message);
	buf_fini(&proof);
}

static void say_final(const char *row, const struct client *c, struct auth_talk *t, const struct buf *bare)
{
	struct buf final = BUF(16384), signature = BUF(64);

	make_final(row, c, t, bare, &final, &signature);
	auth_talk_say(t, buf_text(&final));
	if (t->kind == AUTH_CHALLENGE) {
		CHECK(row, text_starts(buf_text(&t->challenge), TEXT("v=")));
		CHECK_TEXT(row, text_skip(buf_text(&t->challenge), 2), buf_text(&signature));
	}
	buf_fini(&final);
	buf_fini(&signature);
}

/* All of it; the last line is the client's empty one. */
static enum auth_step_kind play(const char *row, const struct client *c, struct auth_talk *t)
{
	struct buf bare = BUF(16384);

	if (say_first(c, t, &bare) == AUTH_CHALLENGE)
		say_final(row, c, t, &bare);
	if (t->kind == AUTH_CHALLENGE)
		auth_talk_say(t, TEXT_EMPTY);
	buf_fini(&bare);
	return t->kind;
}

#define S256 "SCRAM-SHA-256"
#define PLUS "SCRAM-SHA-256-PLUS"

static const struct {
	const char *name;
	struct client client;
	enum auth_step_kind kind;
	const char *user;
} clients[] = {
	{ "as in RFC 7677", { S256, "n,,", "user", "pencil" }, AUTH_DONE, "user" },
	{ "with channel binding",
	  { PLUS, "p=tls-exporter,,", "user", "pencil", BINDING },
	  AUTH_DONE,
	  "user" },
	{ "in capitals", { S256, "n,,", "USER", "pencil" }, AUTH_DONE, "user" },
	{ "who has a hash as well", { S256, "n,,", "both", "pencil" }, AUTH_DONE, "both" },
	{ "a name with = and ,", { S256, "n,,", "a=3Db=2Cc", "pencil" }, AUTH_DONE, "a=b,c" },
	{ "a name that is not ASCII",
	  { S256, "n,,", "J\xc3\xbcrgen", "pencil" },
	  AUTH_DONE,
	  "J\xc3\xbcrgen" },
	{ "for oneself", { S256, "n,a=user,", "user", "pencil" }, AUTH_DONE, "user" },
	{ "extensions that may be passed over",
	  { S256, "n,,", "user", "pencil", .first_tail = ",x=1", .extension = ",y=2" },
	  AUTH_DONE,
	  "user" },
	{ "another password", { S256, "n,,", "user", "pencils" }, AUTH_WRONG, NULL },
	{ "another password with channel binding",
	  { PLUS, "p=tls-exporter,,", "user", "pencils", BINDING },
	  AUTH_WRONG,
	  NULL },
	{ "nobody", { S256, "n,,", "zoe", "pencil" }, AUTH_WRONG, NULL },
	{ "who has only a hash", { S256, "n,,", "hashed", "pencil" }, AUTH_WRONG, NULL },
	{ "who is shut out", { S256, "n,,", "shut", "pencil" }, AUTH_WRONG, NULL },
	{ "for somebody else", { S256, "n,a=both,", "user", "pencil" }, AUTH_WRONG, NULL },
	{ "the binding of other TLS",
	  { PLUS, "p=tls-exporter,,", "user", "pencil", "another" },
	  AUTH_WRONG,
	  NULL },
	{ "no binding in c=", { PLUS, "p=tls-exporter,,", "user", "pencil" }, AUTH_WRONG, NULL },
	{ "a binding that nobody asked for", { S256, "n,,", "user", "pencil", BINDING }, AUTH_WRONG, NULL },
	{ "another kind of binding",
	  { PLUS, "p=tls-unique,,", "user", "pencil", BINDING },
	  AUTH_WRONG,
	  NULL },
	{ "-PLUS without binding", { PLUS, "n,,", "user", "pencil" }, AUTH_WRONG, NULL },
	{ "binding without -PLUS",
	  { S256, "p=tls-exporter,,", "user", "pencil", BINDING },
	  AUTH_WRONG,
	  NULL },
	{ "a client that was kept from -PLUS", { S256, "y,,", "user", "pencil" }, AUTH_WRONG, NULL },
	{ "another header in c=",
	  { S256, "n,,", "user", "pencil", .other_header = "y,," },
	  AUTH_WRONG,
	  NULL },
	{ "an identity in c= that was not said",
	  { S256, "n,,", "user", "pencil", .other_header = "n,a=both," },
	  AUTH_WRONG,
	  NULL },
	{ "only the client's nonce",
	  { S256, "n,,", "user", "pencil", .other_nonce = CLIENT_NONCE },
	  AUTH_WRONG,
	  NULL },
	{ "an empty nonce", { S256, "n,,", "user", "pencil", .other_nonce = "" }, AUTH_WRONG, NULL },
	{ "a mandatory extension", { S256, "n,,", "user,m=x", "pencil" }, AUTH_MALFORMED, NULL },
	{ "a name with a lonely =", { S256, "n,,", "us=er", "pencil" }, AUTH_MALFORMED, NULL },
	{ "an identity with a lonely =", { S256, "n,a=us=er,", "user", "pencil" }, AUTH_MALFORMED, NULL },
	{ "no header", { S256, "", "user", "pencil" }, AUTH_MALFORMED, NULL },
	{ "half a header", { S256, "n,", "user", "pencil" }, AUTH_MALFORMED, NULL },
	{ "another flag", { S256, "x,,", "user", "pencil" }, AUTH_MALFORMED, NULL },
	{ "an empty name", { S256, "n,,", "", "pencil" }, AUTH_WRONG, NULL },
};

static void open_rig(struct auth_rig *r)
{
	auth_rig_open(r, USERS, NULL);
	assert_int_equal(r->new_err, ERR_OK);
	r->peer.channel_binding = TEXT(BINDING);
}

static void clients_end_as_they_should(void **state)
{
	struct auth_rig r;

	(void)state;
	open_rig(&r);
	for (size_t i = 0; i < ARRAY_LEN(clients); i++) {
		struct auth_talk t;

		auth_talk_init(&t, &r);
		CHECK_INT(clients[i].name, play(clients[i].name, &clients[i].client, &t), clients[i].kind);
		CHECK(clients[i].name, (t.user != NULL) == (clients[i].user != NULL));
		if (t.user)
			CHECK_TEXT(clients[i].name, auth_user_name(t.user), text_from(clients[i].user));
		auth_talk_fini(&t);
	}
	auth_rig_close(&r);
}

static const struct {
	const char *name;
	struct text first, final;
} broken[] = {
	{ "nothing", LIT(""), LIT("") },
	{ "no nonce", LIT("n,,n=user"), LIT("") },
	{ "an empty nonce", LIT("n,,n=user,r="), LIT("") },
	{ "a nonce with a space", LIT("n,,n=user,r=ab cd"), LIT("") },
	{ "a nonce with a NUL", LIT("n,,n=user,r=ab\0cd"), LIT("") },
	{ "a nonce above ASCII", LIT("n,,n=user,r=ab\xc3\xa4"), LIT("") },
	{ "attributes in another order", LIT("n,,r=abc,n=user"), LIT("") },
	{ "an identity of another kind", LIT("n,b=user,n=user,r=abc"), LIT("") },
	{ "an empty last message", LIT("n,,n=user,r=abc"), LIT("") },
	{ "a last message without a proof", LIT("n,,n=user,r=abc"), LIT("c=biws,r=abc") },
	{ "a proof that is no base64", LIT("n,,n=user,r=abc"), LIT("c=biws,r=abc,p=!") },
	{ "a proof of 31 octets", LIT("n,,n=user,r=abc"),
	  LIT("c=biws,r=abc,p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==") },
	{ "a proof of none", LIT("n,,n=user,r=abc"), LIT("c=biws,r=abc,p=") },
	{ "something behind the proof", LIT("n,,n=user,r=abc"),
	  LIT("c=biws,r=abc,p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=,x=1") },
	{ "nonce and binding exchanged", LIT("n,,n=user,r=abc"),
	  LIT("r=abc,c=biws,p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=") },
	{ "only commas", LIT("n,,n=user,r=abc"), LIT(",,,,") },
};

static void broken_messages_are_malformed(void **state)
{
	struct auth_rig r;

	(void)state;
	open_rig(&r);
	for (size_t i = 0; i < ARRAY_LEN(broken); i++) {
		struct auth_talk t;
		const struct text first = broken[i].first;

		auth_talk_init(&t, &r);
		if (auth_talk_begin(&t, S256, &first) == AUTH_CHALLENGE)
			auth_talk_say(&t, broken[i].final);
		CHECK_INT(broken[i].name, t.kind, AUTH_MALFORMED);
		auth_talk_fini(&t);
	}
	auth_rig_close(&r);
}

/* Without TLS there is no binding and no -PLUS: who could do it and says so is right. */
static void a_client_that_could_bind_is_fine_where_there_is_no_binding(void **state)
{
	const struct client c = { S256, "y,,", "user", "pencil" };
	struct auth_rig r;
	struct auth_talk t;

	(void)state;
	open_rig(&r);
	r.peer.tls = false;
	r.peer.channel_binding = TEXT_EMPTY;
	auth_talk_init(&t, &r);
	assert_int_equal(play("y", &c, &t), AUTH_DONE);
	auth_talk_fini(&t);
	auth_rig_close(&r);
}

static void nonces_never_come_again(void **state)
{
	const struct text first = LIT("n,,n=user,r=abc");
	struct auth_rig r;
	struct auth_talk t[2];

	(void)state;
	open_rig(&r);
	for (int i = 0; i < 2; i++) {
		auth_talk_init(&t[i], &r);
		assert_int_equal(auth_talk_begin(&t[i], S256, &first), AUTH_CHALLENGE);
	}
	assert_false(text_eq(buf_text(&t[0].challenge), buf_text(&t[1].challenge)));
	for (int i = 0; i < 2; i++)
		auth_talk_fini(&t[i]);
	auth_rig_close(&r);
}

/* What stands behind the nonce in the server's first message. */
static void ask_salt(struct auth_rig *r, const char *name, char out[128])
{
	struct auth_talk t;
	struct buf first = BUF(256);
	struct text initial, rest;

	auth_talk_init(&t, r);
	buf_add_format(&first, "n,,n=%s,r=abc", name);
	initial = buf_text(&first);
	assert_int_equal(auth_talk_begin(&t, S256, &initial), AUTH_CHALLENGE);
	rest = buf_text(&t.challenge);
	text_cut(&rest, ',');
	assert_true(rest.len < 127);
	memcpy(out, rest.at, rest.len);
	out[rest.len] = 0;
	buf_fini(&first);
	auth_talk_fini(&t);
}

static void who_is_not_there_looks_like_somebody(void **state)
{
	char known[128], unknown[128], again[128], other[128], capitals[128];
	struct auth_rig r;

	(void)state;
	open_rig(&r);
	ask_salt(&r, "user", known);
	ask_salt(&r, "zoe", unknown);
	ask_salt(&r, "zoe", again);
	ask_salt(&r, "zora", other);
	ask_salt(&r, "ZOE", capitals);
	assert_string_equal(unknown, capitals);
	ask_salt(&r, "USER", capitals);
	assert_string_equal(known, capitals);
	assert_int_equal(strlen(known), strlen(unknown));
	assert_string_equal(known + strlen(known) - 7, unknown + strlen(unknown) - 7); /* ,i=4096 */
	assert_string_equal(unknown, again);
	assert_string_not_equal(unknown, other);
	auth_rig_close(&r);

	/* the same after a restart, and with another user in the file */
	auth_rig_open(&r, USERS "new:" PENCIL_SCRAM "\n", NULL);
	ask_salt(&r, "zoe", again);
	assert_string_equal(unknown, again);
	auth_rig_close(&r);
}

/* A fresh dialogue with the nth allocation of its second half failing. False: it needed fewer. */
static bool fails_in_the_end(struct auth_rig *r, const struct client *c, unsigned nth)
{
	struct buf bare = BUF(256), final = BUF(1024), line = BUF(2048), signature = BUF(64);
	struct auth_talk t;
	bool failed;

	auth_talk_init(&t, r);
	assert_int_equal(say_first(c, &t, &bare), AUTH_CHALLENGE);
	make_final("no memory", c, &t, &bare, &final, &signature);
	base64_add(&line, buf_text(&final));
	alloc_fail_nth(nth);
	auth_talk_say_raw(&t, buf_text(&line));
	if (t.kind == AUTH_CHALLENGE)
		auth_talk_say_raw(&t, TEXT_EMPTY);
	failed = alloc_has_failed();
	alloc_fail_nth(0);
	assert_true(failed ? t.kind == AUTH_TEMPORARY || t.kind == AUTH_WRONG : t.kind == AUTH_DONE);
	buf_fini(&bare);
	buf_fini(&final);
	buf_fini(&line);
	buf_fini(&signature);
	auth_talk_fini(&t);
	return failed;
}

static bool fails_in_the_beginning(struct auth_rig *r, unsigned nth)
{
	const struct text line = LIT("biwsbj11c2VyLHI9YWJj"); /* n,,n=user,r=abc */
	struct auth_talk t;
	bool failed;

	auth_talk_init(&t, r);
	alloc_fail_nth(nth);
	auth_talk_begin_raw(&t, S256, &line);
	failed = alloc_has_failed();
	alloc_fail_nth(0);
	assert_true(failed ? t.exchange == NULL : t.exchange != NULL);
	auth_talk_fini(&t);
	return failed;
}

static void every_failing_allocation_is_survived(void **state)
{
	const struct client c = { PLUS, "p=tls-exporter,,", "user", "pencil", BINDING };
	struct auth_rig r;
	unsigned nth = 1;

	(void)state;
	open_rig(&r);
	while (fails_in_the_beginning(&r, nth))
		nth++;
	assert_true(nth > 5);
	for (nth = 1; fails_in_the_end(&r, &c, nth);)
		nth++;
	assert_true(nth > 5);
	auth_rig_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(clients_end_as_they_should),
		cmocka_unit_test(broken_messages_are_malformed),
		cmocka_unit_test(a_client_that_could_bind_is_fine_where_there_is_no_binding),
		cmocka_unit_test(nonces_never_come_again),
		cmocka_unit_test(who_is_not_there_looks_like_somebody),
		cmocka_unit_test(every_failing_allocation_is_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
