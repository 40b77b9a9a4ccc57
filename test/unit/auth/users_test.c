#include "users.h"

#include <postrider/base/arena.h>
#include <postrider/config.h>
#include <postrider/crypto.h>

#include <stdio.h>

#include "support/alloc.h"
#include "support/check.h"

#define SHA256 "$5$rounds=1000$saltsalt$1E80wIeNUk6Tw.cvgykgsGLDhE7YCS/mO7gtCEoKze9"
#define SHA512 \
	"$6$rounds=1000$saltsalt$LAV5VE5Y7w1d73x1mFNspYWUpazfmwv2SoepNXNKJ/otop/Zok96Hr8Q13LEv0DRY/x8v0/crpIjl8NJSAqXV/"
#define BCRYPT "$2y$04$ey14sSnShiVvTPtqUrQB2uEvPrXvV5YnyQobgmSF/zl2cf6or2JAC"
#define YESCRYPT "$y$j75$Q0JM5aKPlcctMqwTU2FZH1$TdWtH31yu9hlXqr3FJDhks35digB1q/5G3mYPbD2nm."
#define KEY "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
#define SCRAM "{SCRAM-SHA-256}4096,AAAAAAAAAAAAAAAAAAAAAA==," KEY "," KEY
#define OTHER_SCRAM "{SCRAM-SHA-256}10000,AAAAAAAA," KEY "," KEY

static enum err parse(const char *content, size_t len, struct users **out, struct buf *problem,
                      struct buf *notice)
{
	char *copy = malloc(len + 1);

	assert_non_null(copy);
	memcpy(copy, content, len);
	return users_parse(TEXT("users"), copy, len, out, problem, notice);
}

static const struct {
	const char *name, *line;
	const char *hash, *scram; /* NULL: none */
	const char *senders;
	bool shut_out;
} good[] = {
	{ "SHA-256", "a:" SHA256, SHA256 },
	{ "SHA-512", "a:" SHA512, SHA512 },
	{ "bcrypt of htpasswd", "a:" BCRYPT, BCRYPT },
	{ "yescrypt", "a:" YESCRYPT, YESCRYPT },
	{ "a verifier", "a:" SCRAM, NULL, "4096,AAAAAAAAAAAAAAAAAAAAAA==," KEY "," KEY },
	{ "both", "a:" YESCRYPT "|" SCRAM, YESCRYPT, "4096,AAAAAAAAAAAAAAAAAAAAAA==," KEY "," KEY },
	{ "both, the other way round", "a:" SCRAM "|" YESCRYPT, YESCRYPT,
	  "4096,AAAAAAAAAAAAAAAAAAAAAA==," KEY "," KEY },
	{ "senders", "a:" SHA256 ":x@a.example,b.example,.c.example,any", SHA256, NULL,
	  "x@a.example,b.example,.c.example,any" },
	{ "senders with spaces", "a:" SHA256 ": x@a.example , b.example ", SHA256, NULL,
	  "x@a.example , b.example" },
	{ "an empty third field", "a:" SHA256 ":", SHA256 },
	{ "no password", "a:*" },
	{ "no password, with senders", "a:*:b.example", NULL, NULL, "b.example" },
	{ "shut out", "a:!" SHA256, SHA256, NULL, NULL, true },
	{ "shut out without a password", "a:!", NULL, NULL, NULL, true },
	{ "shut out, as others write it", "a:!!", NULL, NULL, NULL, true },
	{ "shut out with a star", "a:!*", NULL, NULL, NULL, true },
	{ "Dovecot's name before bcrypt", "a:{BLF-CRYPT}" BCRYPT, BCRYPT },
	{ "Dovecot's name before any", "a:{CRYPT}" YESCRYPT, YESCRYPT },
	{ "Dovecot's name before SHA-512", "a:{SHA512-CRYPT}" SHA512, SHA512 },
	{ "an address as a name", "a@b.example:*" },
	{ "a carriage return", "a:" SHA256 "\r", SHA256 },
};

static void good_lines_are_taken_apart(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		struct buf problem = BUF(4096), notice = BUF(4096);
		struct users *u = NULL;
		struct user user;

		CHECK_INT(good[i].name, parse(good[i].line, strlen(good[i].line), &u, &problem, &notice),
		          ERR_OK);
		CHECK_INT(good[i].name, problem.len, 0);
		CHECK_INT(good[i].name, u->count, 1);
		users_get(u, 0, &user);
		CHECK_TEXT(good[i].name, user.hash, text_from(good[i].hash));
		CHECK_TEXT(good[i].name, user.scram, text_from(good[i].scram));
		CHECK_TEXT(good[i].name, user.senders, text_from(good[i].senders));
		CHECK_INT(good[i].name, user.shut_out, good[i].shut_out);
		CHECK_INT(good[i].name, user.line, 1);
		CHECK(good[i].name, users_find(u, user.name, &user));
		users_free(&u);
		buf_fini(&problem);
		buf_fini(&notice);
	}
}

static const struct {
	const char *name;
	struct text line;
	const char *error, *next; /* parts of what is said */
} bad[] = {
	{ "MD5", LIT("ann:$1$saltsalt$wCrc3hcrR95SV83Xh8Z.41"), "ann has an MD5 hash, which is too weak",
	  "postrider users add ann" },
	{ "htpasswd without -B", LIT("ann:$apr1$abcdefgh$UEGvDPE9RNtlLYc4HoG180"),
	  "htpasswd makes one without -B", "postrider users add ann" },
	{ "DES", LIT("ann:rEK1ecacw.7.c"), "DES hash", "postrider users add ann" },
	{ "BSDi's DES", LIT("ann:_J9..rasmBYk8r9AiWNc"), "DES hash", "users add" },
	{ "SHA-1 of LDAP", LIT("ann:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g="), "SHA-1", "users add" },
	{ "salted SHA-1", LIT("ann:{SSHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g="), "SHA-1", "users add" },
	{ "SCRAM-SHA-1", LIT("ann:{SCRAM-SHA-1}4096,AAAA,AAAA,AAAA"), "SCRAM-SHA-1", "users add" },
	{ "a password in clear", LIT("ann:pencil"), "a password in clear", "users add" },
	{ "a password in clear that says so", LIT("ann:{PLAIN}pencil"), "a password in clear", "users add" },
	{ "a kind from elsewhere", LIT("ann:{ARGON2ID}$argon2id$v=19"), "not known here", "users add" },
	{ "NT", LIT("ann:$3$$8846f7eaee8fb117ad06bdd830b7586c"), "NT hash", "users add" },
	{ "a bcrypt that was cut", LIT("ann:$2y$04$ey14sSnShiVvTPtqUrQB2uEvPrXvV5YnyQobgmSF/zl2cf6or2JA"),
	  "not whole", "users add" },
	{ "a bcrypt with more", LIT("ann:" BCRYPT "x"), "not whole", "users add" },
	{ "a yescrypt that was cut", LIT("ann:$y$j75$Q0JM5aKPlcctMqwTU2FZH1$TdWtH31yu9hl"), "not whole",
	  "users add" },
	{ "only the beginning", LIT("ann:$6$"), "not whole", "users add" },
	{ "a cost that is none", LIT("ann:$2y$99$ey14sSnShiVvTPtqUrQB2uEvPrXvV5YnyQobgmSF/zl2cf6or2JAC"),
	  "cost", "users add" },
	{ "a bcrypt of seconds", LIT("ann:$2y$15$ey14sSnShiVvTPtqUrQB2uEvPrXvV5YnyQobgmSF/zl2cf6or2JAC"),
	  "cost", "users add" },
	{ "a SHA-256 of seconds",
	  LIT("ann:$5$rounds=2000001$saltsalt$1E80wIeNUk6Tw.cvgykgsGLDhE7YCS/mO7gtCEoKze9"), "cost",
	  "users add" },
	{ "a yescrypt of seconds",
	  LIT("ann:$y$jFT$Q0JM5aKPlcctMqwTU2FZH1$TdWtH31yu9hlXqr3FJDhks35digB1q/5G3mYPbD2nm."), "cost",
	  "users add" },
	{ "a verifier that is none", LIT("ann:{SCRAM-SHA-256}4096,AAAA"),
	  "wrong verifier for SCRAM-SHA-256: the stored key", "users add" },
	{ "a verifier with few iterations", LIT("ann:{SCRAM-SHA-256}1000,AAAA," KEY "," KEY), "4096",
	  "users add" },
	{ "two hashes", LIT("ann:" SHA256 "|" BCRYPT), "two secrets of one kind", "users add" },
	{ "two verifiers", LIT("ann:" SCRAM "|" SCRAM), "two secrets of one kind", "users add" },
	{ "an empty one beside", LIT("ann:|" SCRAM), "no hash", "users add" },
	{ "nothing", LIT("ann:"), "no hash", "users add" },
	{ "nothing but senders", LIT("ann::a.example"), "no hash", "users add" },
	{ "no colon", LIT("ann"), "no hash", "users add" },
	{ "no name", LIT(":" SHA256), "without a name", "NAME:HASH" },
	{ "a space before the name", LIT("\tann:" SHA256), "cannot be a name", "UTF-8" },
	{ "Latin-1", LIT("J\xfcrgen:" SHA256), "cannot be a name", "composed" },
	{ "four fields", LIT("ann:" SHA256 ":1000:1000"), "more than three fields", "NAME:HASH" },
	{ "a sender that is none", LIT("ann:" SHA256 ":a@b@c"), "\"a@b@c\" is no sender", "example.com" },
	{ "an empty sender", LIT("ann:" SHA256 ":a.example,,b.example"), "\"\" is no sender", "example.com" },
	{ "a star as a sender", LIT("ann:" SHA256 ":*@a.example"), "is no sender", "example.com" },
	{ "a NUL in the hash",
	  LIT("ann:$5$rounds=1000$salt\0alt$1E80wIeNUk6Tw.cvgykgsGLDhE7YCS/mO7gtCEoKze9"), "ann has",
	  "users add" },
	{ "a tab in the hash", LIT("ann:" SHA256 "\t"), "not whole", "users add" },
};

static void bad_lines_are_named_with_the_next_step(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct buf problem = BUF(4096), notice = BUF(4096), content = BUF(4096);
		struct users *u = NULL;

		buf_add_string(&content, "# comment\n\nok:" SHA256 "\n");
		buf_add(&content, bad[i].line);
		buf_add_string(&content, "\nfine:" SHA256 "\n");
		CHECK_INT(bad[i].name, parse(content.at, content.len, &u, &problem, &notice), ERR_CONFIG);
		CHECK(bad[i].name, u == NULL);
		CHECK(bad[i].name, text_starts(buf_text(&problem), TEXT("users:4: error: ")));
		if (text_find(buf_text(&problem), text_from(bad[i].error)) == problem.len ||
		    text_find(buf_text(&problem), text_from(bad[i].next)) == problem.len)
			fail_msg("%s: what is said is %.*s", bad[i].name, TEXT_ARGS(buf_text(&problem)));
		buf_fini(&problem);
		buf_fini(&notice);
		buf_fini(&content);
	}
}

static void a_name_has_one_line(void **state)
{
	static const char content[] = "ann:" SHA256 "\nbob:*\nann:" SCRAM "\n";
	struct buf problem = BUF(4096), notice = BUF(4096);
	struct users *u = NULL;

	(void)state;
	assert_int_equal(parse(content, strlen(content), &u, &problem, &notice), ERR_CONFIG);
	assert_true(text_starts(buf_text(&problem),
	                        TEXT("users:3: error: ann is in line 1 already\n  next: keep one")));
	buf_fini(&problem);
	buf_fini(&notice);
}

static void a_name_has_one_line_in_whatever_case(void **state)
{
	static const char content[] = "ann@example.com:" SHA256 "\nAnn@Example.COM:*\n", alone_[] = "Ann:*\n";
	struct buf problem = BUF(4096), notice = BUF(4096);
	struct users *u = NULL;
	struct user user;

	(void)state;
	assert_int_equal(parse(content, strlen(content), &u, &problem, &notice), ERR_CONFIG);
	assert_true(text_starts(buf_text(&problem),
	                        TEXT("users:2: error: Ann@Example.COM is in line 1 already")));
	assert_int_equal(parse(alone_, strlen(alone_), &u, &problem, &notice), ERR_OK);
	assert_true(users_find(u, TEXT("aNN"), &user));
	CHECK_TEXT("as it is spelt there", user.name, TEXT("Ann"));
	users_free(&u);
	buf_fini(&problem);
	buf_fini(&notice);
}

static void many_mistakes_are_not_all_printed(void **state)
{
	struct buf problem = BUF(65536), notice = BUF(4096), content = BUF(65536);
	struct users *u = NULL;

	(void)state;
	for (int i = 0; i < 100; i++)
		buf_add_format(&content, "user%d:password\n", i);
	assert_int_equal(parse(content.at, content.len, &u, &problem, &notice), ERR_CONFIG);
	assert_true(text_find(buf_text(&problem), TEXT("users:20: error")) < problem.len);
	assert_true(text_find(buf_text(&problem), TEXT("users:21: error")) == problem.len);
	assert_true(text_ends(buf_text(&problem), TEXT("users: 80 more\n")));
	buf_fini(&problem);
	buf_fini(&notice);
	buf_fini(&content);
}

static void lines_are_not_endless(void **state)
{
	struct buf problem = BUF(65536), notice = BUF(4096), content = BUF(65536);
	struct users *u = NULL;

	(void)state;
	buf_add_string(&content, "ann:*:");
	while (content.len < USERS_LINE_MAX + 1)
		buf_add_string(&content, "a.example,");
	assert_int_equal(parse(content.at, content.len, &u, &problem, &notice), ERR_CONFIG);
	assert_true(text_starts(buf_text(&problem), TEXT("users:1: error: a line of ")));
	buf_fini(&problem);
	buf_fini(&notice);
	buf_fini(&content);
}

static void an_empty_file_and_odd_endings_are_fine(void **state)
{
	static const struct {
		const char *content;
		size_t count;
	} files[] = {
		{ "", 0 },
		{ "\n\n", 0 },
		{ "#", 0 },
		{ "# a:b:c:d\n", 0 },
		{ "  \t\n", 0 },
		{ "a:*", 1 },
		{ "a:*\n", 1 },
		{ "a:*\r\nb:*\r\n", 2 },
		{ "\xef\xbb\xbf"
		  "a:*\n",
		  1 },
		{ "\r\n", 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		struct buf problem = BUF(4096), notice = BUF(4096);
		struct users *u = NULL;
		struct user user;

		CHECK_INT(files[i].content,
		          parse(files[i].content, strlen(files[i].content), &u, &problem, &notice), ERR_OK);
		CHECK_INT(files[i].content, u->count, files[i].count);
		CHECK(files[i].content, users_find(u, TEXT("a"), &user) == (files[i].count > 0));
		CHECK(files[i].content, !users_find(u, TEXT("z"), &user));
		CHECK(files[i].content, !users_find(u, TEXT_EMPTY, &user));
		users_free(&u);
		buf_fini(&problem);
		buf_fini(&notice);
	}
	assert_false(users_find(NULL, TEXT("a"), &(struct user){ 0 }));
}

static void who_lacks_a_verifier_is_noticed(void **state)
{
	static const char content[] = "a:" SCRAM "\nb:*\nc:" SHA256 "\n",
			  alike[] = "a:" SHA256 "\nb:" SHA256 "\n";
	struct buf problem = BUF(4096), notice = BUF(4096);
	struct users *u = NULL;

	(void)state;
	assert_int_equal(parse(content, strlen(content), &u, &problem, &notice), ERR_OK);
	assert_true(text_starts(buf_text(&notice),
	                        TEXT("users:3: warning: c has no verifier for SCRAM-SHA-256")));
	users_free(&u);
	buf_reset(&notice);
	assert_int_equal(parse(alike, strlen(alike), &u, &problem, &notice), ERR_OK);
	assert_int_equal(notice.len, 0);
	users_free(&u);
	buf_fini(&problem);
	buf_fini(&notice);
}

static void what_verifiers_look_like_is_known(void **state)
{
	static const char content[] = "a:" SCRAM "\nb:" OTHER_SCRAM "\nc:" SHA256 "|" SCRAM "\n";
	struct buf problem = BUF(4096), notice = BUF(4096);
	struct users *u = NULL;

	(void)state;
	assert_int_equal(parse(content, strlen(content), &u, &problem, &notice), ERR_OK);
	assert_int_equal(u->with_hash, 1);
	assert_int_equal(u->with_scram, 3);
	assert_int_equal(u->kind_count, 2);
	assert_int_equal(u->kinds[0].iterations, 4096);
	assert_int_equal(u->kinds[0].salt_bytes, 16);
	assert_int_equal(u->kinds[1].iterations, 10000);
	assert_int_equal(u->kinds[1].salt_bytes, 6);
	users_free(&u);
	buf_fini(&problem);
	buf_fini(&notice);
}

static void somebody_with_a_secret_stands_in(void **state)
{
	static const char content[] = "a:*\nb:" SHA256 "\nc:*\nd:" SCRAM "\n", nobody[] = "a:*\nb:!\n";
	struct buf problem = BUF(4096), notice = BUF(4096);
	struct users *u = NULL;
	struct user user;
	unsigned b = 0, d = 0;

	(void)state;
	assert_int_equal(parse(content, strlen(content), &u, &problem, &notice), ERR_OK);
	for (uint64_t i = 0; i < 8; i++) {
		assert_true(users_any_with_secret(u, i, &user));
		b += text_eq(user.name, TEXT("b"));
		d += text_eq(user.name, TEXT("d"));
	}
	assert_int_equal(b, 4);
	assert_int_equal(d, 4);
	assert_true(users_any_with_secret(u, UINT64_MAX, &user));
	users_free(&u);
	assert_int_equal(parse(nobody, strlen(nobody), &u, &problem, &notice), ERR_OK);
	assert_false(users_any_with_secret(u, 1, &user));
	assert_false(users_any_with_secret(NULL, 1, &user));
	users_free(&u);
	buf_fini(&problem);
	buf_fini(&notice);
}

static void a_hundred_thousand_are_found(void **state)
{
	enum { MANY = 100000 };
	struct buf problem = BUF(4096), notice = BUF(4096), content = BUF(32u << 20);
	struct users *u = NULL;
	struct user user;
	char name[32];

	(void)state;
	for (unsigned i = 0; i < MANY; i++)
		buf_add_format(&content, "user%u@example.com:*:user%u@example.com\n", i, i);
	assert_int_equal(parse(content.at, content.len, &u, &problem, &notice), ERR_OK);
	assert_int_equal(u->count, MANY);
	for (unsigned i = 0; i < MANY; i += 97) {
		snprintf(name, sizeof(name), "user%u@example.com", i);
		assert_true(users_find(u, text_from(name), &user));
		assert_int_equal(user.line, i + 1);
		CHECK_TEXT("sender", user.senders, text_from(name));
	}
	assert_false(users_find(u, TEXT("user100000@example.com"), &user));
	users_free(&u);
	buf_fini(&problem);
	buf_fini(&notice);
	buf_fini(&content);
}

static void every_failing_allocation_is_survived(void **state)
{
	static const char content[] = "a:" SHA256 "|" SCRAM ":a.example\nJ\xc3\xbcrgen:*\nc:" SHA256 "\n";

	(void)state;
	for (EACH_ALLOC_FAILING) {
		struct buf problem = BUF(4096), notice = BUF(4096);
		struct users *u = NULL;
		char *copy = strdup(content);
		enum err err = users_parse(TEXT("users"), copy, strlen(content), &u, &problem, &notice);

		assert_true(err == ERR_OK || err == ERR_NOMEM);
		assert_true((u != NULL) == (err == ERR_OK));
		users_free(&u);
		buf_fini(&problem);
		buf_fini(&notice);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_lines_are_taken_apart),
		cmocka_unit_test(bad_lines_are_named_with_the_next_step),
		cmocka_unit_test(a_name_has_one_line),
		cmocka_unit_test(a_name_has_one_line_in_whatever_case),
		cmocka_unit_test(many_mistakes_are_not_all_printed),
		cmocka_unit_test(lines_are_not_endless),
		cmocka_unit_test(an_empty_file_and_odd_endings_are_fine),
		cmocka_unit_test(who_lacks_a_verifier_is_noticed),
		cmocka_unit_test(what_verifiers_look_like_is_known),
		cmocka_unit_test(somebody_with_a_secret_stands_in),
		cmocka_unit_test(a_hundred_thousand_are_found),
		cmocka_unit_test(every_failing_allocation_is_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
