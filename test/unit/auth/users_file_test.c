#include <postrider/auth/users_file.h>

#include <postrider/base/arena.h>
#include <postrider/config.h>
#include <postrider/crypto.h>

#include "support/alloc.h"
#include "support/check.h"

#define SHA256 "$5$rounds=1000$saltsalt$1E80wIeNUk6Tw.cvgykgsGLDhE7YCS/mO7gtCEoKze9" /* pencil */

static void count_up(void *owner, void *out, size_t len)
{
	unsigned char *next = owner, *at = out;

	for (size_t i = 0; i < len; i++)
		at[i] = (*next)++;
}

struct change {
	const char *name, *password, *senders; /* NULL: as they are */
};

static enum err put(const char *content, const struct change *c, struct buf *out, bool *was_there,
                    struct buf *problem)
{
	unsigned char next = 0;

	return auth_users_put(text_from(content),
	                      &(struct auth_users_change){ .name = text_from(c->name),
	                                                   .password = text_from(c->password),
	                                                   .has_senders = c->senders != NULL,
	                                                   .senders = text_from(c->senders),
	                                                   .random = count_up,
	                                                   .owner = &next },
	                      out, was_there, problem);
}

/* What stands around the new secrets; they are "?" here. */
static const struct {
	const char *name, *before;
	struct change change;
	bool was_there;
	const char *after;
} puts_[] = {
	{ "into nothing", "", { "ann", "x" }, false, "ann:?\n" },
	{ "behind others", "bob:*\n", { "ann", "x" }, false, "bob:*\nann:?\n" },
	{ "behind a line without an end", "bob:*", { "ann", "x" }, false, "bob:*\nann:?\n" },
	{ "with senders",
	  "",
	  { "ann", "x", "a@a.example,.b.example" },
	  false,
	  "ann:?:a@a.example,.b.example\n" },
	{ "in its place",
	  "# who\nann:" SHA256 "\n\nbob:*\n",
	  { "ann", "x" },
	  true,
	  "# who\nann:?\n\nbob:*\n" },
	{ "senders stay", "ann:" SHA256 ":a.example\n", { "ann", "x" }, true, "ann:?:a.example\n" },
	{ "senders are changed",
	  "ann:" SHA256 ":a.example\n",
	  { "ann", "x", "b.example" },
	  true,
	  "ann:?:b.example\n" },
	{ "senders are taken away", "ann:" SHA256 ":a.example\n", { "ann", "x", "" }, true, "ann:?\n" },
	{ "a wrong line is mended", "ann:pencil\nbob:$1$x$y\n", { "ann", "x" }, true, "ann:?\nbob:$1$x$y\n" },
	{ "a line without a hash", "ann\n", { "ann", "x" }, true, "ann:?\n" },
	{ "who was shut out is in again", "ann:!" SHA256 "\n", { "ann", "x" }, true, "ann:?\n" },
	{ "twins become one", "ann:*\nbob:*\nann:*:a.example\n", { "ann", "x" }, true, "ann:?\nbob:*\n" },
	{ "a user is the same in capitals", "ann:*:a.example\n", { "Ann", "x" }, true, "Ann:?:a.example\n" },
	{ "others that begin alike stay", "anna:*\nan:*\n", { "ann", "x" }, false, "anna:*\nan:*\nann:?\n" },
	{ "line ends of another system",
	  "bob:*\r\nann:*:a.example\r\n",
	  { "ann", "x" },
	  true,
	  "bob:*\r\nann:?:a.example\n" },
	{ "a mark of UTF-8",
	  "\xef\xbb\xbf"
	  "ann:*\n",
	  { "ann", "x" },
	  true,
	  "\xef\xbb\xbf"
	  "ann:?\n" },
	{ "a name that is composed first",
	  "J\xc3\xbcrgen:*\n",
	  { "Ju\xcc\x88rgen", "x" },
	  true,
	  "J\xc3\xbcrgen:?\n" },
};

static void check_text(const char *row, struct text actual, struct text expected)
{
	size_t mark = text_find_octet(expected, '?');
	struct text head = text_head(expected, mark), tail = text_skip(expected, mark + 1);

	CHECK_TEXT(row, text_head(actual, head.len), head);
	CHECK_TEXT(row, text_skip(actual, actual.len - MIN(tail.len, actual.len)), tail);
	CHECK(row, text_starts(text_skip(actual, head.len), TEXT("$y$")));
}

static void a_line_is_put_in_and_all_others_stay(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(puts_); i++) {
		struct buf out = BUF(65536), problem = BUF(4096);
		bool was_there = !puts_[i].was_there;

		CHECK_INT(puts_[i].name, put(puts_[i].before, &puts_[i].change, &out, &was_there, &problem),
		          ERR_OK);
		CHECK_INT(puts_[i].name, was_there, puts_[i].was_there);
		check_text(puts_[i].name, buf_text(&out), text_from(puts_[i].after));
		buf_fini(&out);
		buf_fini(&problem);
	}
}

static const struct {
	const char *name;
	struct change change;
	const char *problem;
} refused[] = {
	{ "no name", { "", "x" }, "cannot be a name" },
	{ "a colon", { "a:b", "x" }, "cannot be a name" },
	{ "a comment", { "#ann", "x" }, "cannot be a name" },
	{ "a line end", { "ann\nroot", "x" }, "cannot be a name" },
	{ "no UTF-8", { "\xff", "x" }, "cannot be a name" },
	{ "no password", { "ann", "" }, "a password has 1 to 511 octets" },
	{ "a password with a control character", { "ann", "a\tb" }, "without control characters" },
	{ "a password that is no UTF-8", { "ann", "\xe4" }, "without control characters" },
	{ "a sender that is none", { "ann", "x", "a@b@c" }, "\"a@b@c\" is no sender" },
	{ "a sender with a line end", { "ann", "x", "a.example\nroot:*" }, "is no sender" },
	{ "a sender with a colon", { "ann", "x", "a.example:b" }, "is no sender" },
};

static void what_cannot_be_is_explained(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		struct buf out = BUF(65536), problem = BUF(4096);
		bool was_there;

		CHECK_INT(refused[i].name, put("", &refused[i].change, &out, &was_there, &problem),
		          ERR_SYNTAX);
		CHECK(refused[i].name,
		      text_find(buf_text(&problem), text_from(refused[i].problem)) < problem.len);
		CHECK_INT(refused[i].name, out.len, 0);
		buf_fini(&out);
		buf_fini(&problem);
	}
}

static enum err check_password(struct text content, const char *name, const char *password,
                               struct auth_users_fit *fit)
{
	struct buf problem = BUF(4096);
	enum err err =
		auth_users_check(TEXT("users"), content, text_from(name), text_from(password), fit, &problem);

	buf_fini(&problem);
	return err;
}

static void what_was_put_in_fits(void **state)
{
	struct buf out = BUF(65536), problem = BUF(4096);
	struct auth_users_fit fit;
	bool was_there;

	(void)state;
	assert_int_equal(put("bob:" SHA256 "\ncarl:!" SHA256 "\ndora:*\n",
	                     &(struct change){ "ann", "p\xc3\xa4ss" }, &out, &was_there, &problem),
	                 ERR_OK);
	assert_int_equal(check_password(buf_text(&out), "ann", "p\xc3\xa4ss", &fit), ERR_OK);
	assert_true(fit.has_hash && fit.hash_fits && fit.has_scram && fit.scram_fits);
	assert_int_equal(check_password(buf_text(&out), "ann", "pa\xcc\x88ss", &fit), ERR_OK);
	assert_true(fit.hash_fits && fit.scram_fits);
	assert_int_equal(check_password(buf_text(&out), "ann", "pass", &fit), ERR_OK);
	assert_true(fit.has_hash && !fit.hash_fits && fit.has_scram && !fit.scram_fits);
	assert_int_equal(check_password(buf_text(&out), "bob", "pencil", &fit), ERR_OK);
	assert_true(fit.has_hash && fit.hash_fits && !fit.has_scram);
	assert_int_equal(check_password(buf_text(&out), "carl", "pencil", &fit), ERR_NOT_FOUND);
	assert_int_equal(check_password(buf_text(&out), "dora", "*", &fit), ERR_NOT_FOUND);
	assert_int_equal(check_password(buf_text(&out), "zoe", "x", &fit), ERR_NOT_FOUND);
	assert_int_equal(check_password(TEXT("ann\n"), "ann", "x", &fit), ERR_CONFIG);
	buf_fini(&out);
	buf_fini(&problem);
}

static void add_words(void *owner, const struct auth_users_entry *e)
{
	buf_add_format(owner, "%u %.*s %s%s%s %.*s;", e->line, TEXT_ARGS(e->name), e->hash ? e->hash : "-",
	               e->has_scram ? " scram" : "", e->shut_out ? " out" : "", TEXT_ARGS(e->senders));
}

static void users_are_listed_in_order(void **state)
{
	struct buf out = BUF(65536), words = BUF(4096), problem = BUF(4096), notice = BUF(4096);
	bool was_there;

	(void)state;
	assert_int_equal(put("# x\nbob:" SHA256 ":b.example\ncarl:!" SHA256 "\ndora:*\n",
	                     &(struct change){ "ann", "x" }, &out, &was_there, &problem),
	                 ERR_OK);
	assert_int_equal(auth_users_each(TEXT("users"), buf_text(&out), add_words, &words, &problem, &notice),
	                 ERR_OK);
	CHECK_TEXT(
		"list", buf_text(&words),
		TEXT("2 bob SHA-256 crypt b.example;3 carl SHA-256 crypt out ;4 dora - ;5 ann yescrypt scram ;"));
	assert_true(notice.len > 0); /* bob lacks a verifier */
	buf_reset(&words);
	assert_int_equal(
		auth_users_each(TEXT("users"), TEXT("ok:*\nbad\n"), add_words, &words, &problem, &notice),
		ERR_CONFIG);
	assert_int_equal(words.len, 0);
	buf_fini(&out);
	buf_fini(&words);
	buf_fini(&problem);
	buf_fini(&notice);
}

static void every_failing_allocation_is_said(void **state)
{
	(void)state;
	for (EACH_ALLOC_FAILING) {
		struct buf out = BUF(65536), problem = BUF(4096);
		struct auth_users_fit fit;
		bool was_there;
		enum err err = put("bob:*\n", &(struct change){ "ann", "x", "a.example" }, &out, &was_there,
		                   &problem);

		if (!err)
			err = check_password(TEXT("bob:" SHA256 "\n"), "bob", "pencil", &fit);
		assert_true(err == ERR_OK || err == ERR_NOMEM);
		buf_fini(&out);
		buf_fini(&problem);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_is_put_in_and_all_others_stay),
		cmocka_unit_test(what_cannot_be_is_explained),
		cmocka_unit_test(what_was_put_in_fits),
		cmocka_unit_test(users_are_listed_in_order),
		cmocka_unit_test(every_failing_allocation_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
