/* Passwords on the real lane, with real threads: what stands on the loop and what in the lane must not meet. */
#include "checks.h"

#include <postrider/crypto.h>
#include <postrider/io/uv.h>

#include <stdio.h>

#include "support/check.h"

#define PENCIL "$5$rounds=1000$saltsalt$1E80wIeNUk6Tw.cvgykgsGLDhE7YCS/mO7gtCEoKze9"
#define SCRAM                                                                                        \
	"{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=," \
	"wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
#define MANY 60

struct question {
	struct check check;
	struct rig *rig;
	enum check_answer answer;
	unsigned answers;
};

struct rig {
	struct io *io;
	struct users *users;
	struct checks *checks;
	struct question questions[MANY];
	unsigned open;
	struct io_timer timer;
};

static int open_rig(void **state)
{
	static const char content[] = "ann:" PENCIL "\nbob:" SCRAM "\nboth:" PENCIL "|" SCRAM "\n";
	struct buf problem = BUF(4096), notice = BUF(4096);
	struct rig *r = calloc(1, sizeof(*r));
	char *copy = strdup(content);

	assert_true(r && copy);
	assert_int_equal(users_parse(TEXT("users"), copy, strlen(content), &r->users, &problem, &notice),
	                 ERR_OK);
	assert_int_equal(io_uv_new(&(struct io_uv_options){ .cpu_threads = 3 }, &r->io), ERR_OK);
	assert_int_equal(checks_new(r->io, 3, &r->checks), ERR_OK);
	buf_fini(&problem);
	buf_fini(&notice);
	*state = r;
	return 0;
}

static int close_rig(void **state)
{
	struct rig *r = *state;

	checks_free(&r->checks);
	io_uv_free(&r->io);
	users_free(&r->users);
	free(r);
	return 0;
}

static void take(struct question *q, enum check_answer answer)
{
	q->answer = answer;
	q->answers++;
	if (--q->rig->open == 0)
		io_uv_stop(q->rig->io);
}

static void on_answer(struct check *check, enum check_answer answer)
{
	take(CONTAINER_OF(check, struct question, check), answer);
}

static void ask(struct rig *r, unsigned n, const char *name, struct text password)
{
	struct question *q = &r->questions[n];
	enum check_answer answer;

	*q = (struct question){ .rig = r, .check = { .fn = on_answer } };
	r->open++;
	answer = checks_ask(r->checks, r->users, text_from(name), password, &q->check);
	if (answer != CHECK_WAITS)
		take(q, answer);
}

static void many_are_checked_beside_the_loop(void **state)
{
	static const char *const names[] = { "ann", "bob", "both", "zoe" };
	struct rig *r = *state;

	for (unsigned i = 0; i < MANY; i++) {
		char wrong[32];

		snprintf(wrong, sizeof(wrong), "guess %u", i);
		ask(r, i, names[i % 4], i % 3 ? text_from(wrong) : TEXT("pencil"));
	}
	io_uv_run(r->io);
	for (unsigned i = 0; i < MANY; i++) {
		assert_int_equal(r->questions[i].answers, 1);
		assert_int_equal(r->questions[i].answer,
		                 i % 3 == 0 && i % 4 != 3 ? CHECK_RIGHT : CHECK_WRONG);
	}
	/* each right password once, whoever asked */
	assert_int_equal(checks_count(r->checks).hashes, MANY / 3 * 2 + 4);
	assert_int_equal(checks_count(r->checks).waiting, 0);
}

static void who_leaves_hears_nothing(void **state)
{
	struct rig *r = *state;

	for (unsigned i = 0; i < MANY; i++) {
		char wrong[32];

		snprintf(wrong, sizeof(wrong), "guess %u", i / 2);
		ask(r, i, "both", text_from(wrong));
	}
	for (unsigned i = 0; i < MANY; i += 2) {
		checks_leave(&r->questions[i].check);
		r->open--;
	}
	io_uv_run(r->io);
	for (unsigned i = 0; i < MANY; i++)
		assert_int_equal(r->questions[i].answers, i % 2);
}

static void on_time(void *owner)
{
	struct rig *r = owner;

	checks_free(&r->checks);
	io_uv_stop(r->io);
}

static void all_may_go_while_they_are_checked(void **state)
{
	struct rig *r = *state;

	for (unsigned i = 0; i < MANY; i++) {
		char wrong[32];

		snprintf(wrong, sizeof(wrong), "guess %u", i);
		ask(r, i, "ann", text_from(wrong));
	}
	assert_int_equal(io_timer_start(r->io, &r->timer, io_now_at(r->io) + 2, on_time, r), ERR_OK);
	io_uv_run(r->io);
	for (unsigned i = 0; i < MANY; i++)
		checks_leave(&r->questions[i].check); /* of nobody any more */
}

static void nothing_can_be_right_where_nobody_is(void **state)
{
	struct rig *r = *state;
	struct check check = { .fn = on_answer };

	assert_int_equal(checks_ask(r->checks, NULL, TEXT("ann"), TEXT("pencil"), &check), CHECK_WRONG);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_rig, close_rig)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(many_are_checked_beside_the_loop),
		TEST(who_leaves_hears_nothing),
		TEST(all_may_go_while_they_are_checked),
		TEST(nothing_can_be_right_where_nobody_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
