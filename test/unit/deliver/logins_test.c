/* What is remembered of logins: who may try, who waits for whom, how long a refusal lasts. */
#include "deliver/logins.h"

#include <stdio.h>

#include <postrider/base/time.h>

#include "support/check.h"

struct world {
	struct logins logins;
	struct config_upstream up, other_up;
	struct config_login login, other_login;
	struct config_way way, other_way, elsewhere;
	int64_t now;
};

struct guest { /* who wants to log in */
	struct login_seat seat;
	int answers;
	enum login_answer last;
};

static void on_answer(struct login_seat *seat, enum login_answer answer)
{
	struct guest *g = CONTAINER_OF(seat, struct guest, seat);

	g->answers++;
	g->last = answer;
}

static void world_open(struct world *w)
{
	*w = (struct world){ .now = 1000 };
	logins_init(&w->logins, 1);
	w->up.name = TEXT("up");
	w->other_up.name = TEXT("other");
	w->login.username = w->other_login.username = TEXT("user");
	w->login.secret = TEXT("first secret");
	w->other_login.secret = TEXT("second secret");
	w->way = (struct config_way){ .upstream = &w->up, .login = &w->login };
	w->other_way = (struct config_way){ .upstream = &w->up, .login = &w->other_login };
	w->elsewhere = (struct config_way){ .upstream = &w->other_up, .login = &w->login };
}

static enum login_answer come(struct world *w, struct guest *g, const struct config_way *way)
{
	g->seat.fn = on_answer;
	return logins_take_seat(&w->logins, way, w->now, &g->seat);
}

static void refuse(struct world *w, struct guest *g)
{
	const struct deliver_result r = { .code = 535,
		                          .enhanced = TEXT("4.7.8"),
		                          .reply = TEXT("535 5.7.8 no") };

	logins_failed(&w->logins, &g->seat, &r, w->now);
}

/* One try that fails. */
static void try_in_vain(struct world *w)
{
	struct guest g = { .answers = 0 };

	assert_int_equal(come(w, &g, &w->way), LOGIN_GO);
	refuse(w, &g);
}

static void succeed(struct world *w, struct guest *g)
{
	logins_succeeded(&w->logins, &g->seat, 0, w->now);
}

static void a_refusal_lasts_longer_each_time(void **state)
{
	static const int64_t minutes[] = { 1, 5, 15, 60, 240, 240 };
	struct world w;
	struct login_refusal refusal;

	(void)state;
	world_open(&w);
	for (size_t i = 0; i < ARRAY_LEN(minutes); i++) {
		struct guest g = { .answers = 0 };

		try_in_vain(&w);
		w.now += minutes[i] * MINUTE_MS - 1;
		assert_int_equal(come(&w, &g, &w.way), LOGIN_REFUSED);
		assert_true(logins_refusal(&w.logins, &w.way, w.now, &refusal));
		assert_int_equal(refusal.until_at, w.now + 1);
		assert_int_equal(refusal.code, 535);
		assert_string_equal(refusal.enhanced, "4.7.8");
		CHECK_TEXT("words", refusal.words, TEXT("535 5.7.8 no"));
		w.now++;
		assert_false(logins_refusal(&w.logins, &w.way, w.now, &refusal));
	}
	logins_fini(&w.logins);
}

static void a_success_begins_anew(void **state)
{
	struct guest g = { .answers = 0 };
	struct world w;

	(void)state;
	world_open(&w);
	try_in_vain(&w);
	w.now += MINUTE_MS;
	try_in_vain(&w);
	w.now += 5 * MINUTE_MS;
	assert_int_equal(come(&w, &g, &w.way), LOGIN_GO);
	succeed(&w, &g);
	try_in_vain(&w);
	w.now += MINUTE_MS;
	assert_int_equal(come(&w, &g, &w.way), LOGIN_GO);
	logins_leave(&w.logins, &g.seat, w.now);
	logins_fini(&w.logins);
}

static void another_secret_or_upstream_is_another_login(void **state)
{
	struct guest a = { .answers = 0 }, b = { .answers = 0 };
	struct world w;

	(void)state;
	world_open(&w);
	try_in_vain(&w);
	assert_int_equal(come(&w, &a, &w.other_way), LOGIN_GO);
	assert_int_equal(come(&w, &b, &w.elsewhere), LOGIN_GO);
	logins_leave(&w.logins, &a.seat, w.now);
	logins_leave(&w.logins, &b.seat, w.now);
	logins_fini(&w.logins);
}

static void what_is_forgiven_may_be_tried(void **state)
{
	struct guest g = { .answers = 0 };
	struct world w;

	(void)state;
	world_open(&w);
	try_in_vain(&w);
	w.now += LOGINS_MOMENT_MS - 1;
	logins_forgive(&w.logins, w.now);
	assert_int_equal(come(&w, &g, &w.way), LOGIN_REFUSED);
	w.now++;
	logins_forgive(&w.logins, w.now);
	assert_int_equal(come(&w, &g, &w.way), LOGIN_GO);
	refuse(&w, &g);
	/* and counts on */
	w.now += 5 * MINUTE_MS - 1;
	assert_int_equal(come(&w, &g, &w.way), LOGIN_REFUSED);
	logins_fini(&w.logins);
}

static void one_finds_out_and_the_others_hear_of_it(void **state)
{
	struct guest first = { .answers = 0 }, others[5];
	struct world w;

	(void)state;
	world_open(&w);
	assert_int_equal(come(&w, &first, &w.way), LOGIN_GO);
	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		others[i] = (struct guest){ .answers = 0 };
		assert_int_equal(come(&w, &others[i], &w.way), LOGIN_WAITS);
	}
	refuse(&w, &first);
	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		assert_int_equal(others[i].answers, 1);
		assert_int_equal(others[i].last, LOGIN_REFUSED);
		assert_null(others[i].seat.record);
	}
	logins_fini(&w.logins);
}

static void after_a_success_they_all_go(void **state)
{
	struct guest first = { .answers = 0 }, others[5], late = { .answers = 0 };
	struct world w;

	(void)state;
	world_open(&w);
	assert_int_equal(come(&w, &first, &w.way), LOGIN_GO);
	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		others[i] = (struct guest){ .answers = 0 };
		assert_int_equal(come(&w, &others[i], &w.way), LOGIN_WAITS);
	}
	succeed(&w, &first);
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		assert_true(others[i].answers == 1 && others[i].last == LOGIN_GO);
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		succeed(&w, &others[i]);
	/* for a while; then one finds out again */
	w.now += LOGINS_CALM_MS - 1;
	assert_int_equal(come(&w, &first, &w.way), LOGIN_GO);
	assert_int_equal(come(&w, &others[0], &w.way), LOGIN_GO);
	w.now++;
	assert_int_equal(come(&w, &late, &w.way), LOGIN_WAITS);
	logins_leave(&w.logins, &first.seat, w.now);
	assert_int_equal(late.answers, 0);
	logins_leave(&w.logins, &others[0].seat, w.now);
	assert_true(late.answers == 1 && late.last == LOGIN_GO);
	logins_leave(&w.logins, &late.seat, w.now);
	logins_fini(&w.logins);
}

/* A cut says nothing of the credential: the next one finds out. */
static void who_leaves_without_a_word_lets_the_next_one_try(void **state)
{
	struct guest a = { .answers = 0 }, b = { .answers = 0 }, c = { .answers = 0 };
	struct world w;

	(void)state;
	world_open(&w);
	assert_int_equal(come(&w, &a, &w.way), LOGIN_GO);
	assert_int_equal(come(&w, &b, &w.way), LOGIN_WAITS);
	assert_int_equal(come(&w, &c, &w.way), LOGIN_WAITS);
	logins_leave(&w.logins, &b.seat, w.now); /* tired of waiting */
	logins_leave(&w.logins, &a.seat, w.now);
	assert_int_equal(b.answers, 0);
	assert_true(c.answers == 1 && c.last == LOGIN_GO);
	logins_leave(&w.logins, &c.seat, w.now);
	logins_leave(&w.logins, &c.seat, w.now); /* fine */
	logins_fini(&w.logins);
}

/* A host that is silent behind AUTH does not hold up those who would go to another one: one every half minute. */
static void who_waits_too_long_goes_as_well(void **state)
{
	struct guest a = { .answers = 0 }, b = { .answers = 0 }, c = { .answers = 0 };
	struct world w;

	(void)state;
	world_open(&w);
	assert_int_equal(come(&w, &a, &w.way), LOGIN_GO);
	assert_false(logins_jump(&a.seat, w.now + LOGINS_PATIENCE_MS)); /* it does not wait */
	assert_int_equal(come(&w, &b, &w.way), LOGIN_WAITS);
	assert_int_equal(come(&w, &c, &w.way), LOGIN_WAITS);
	w.now += LOGINS_PATIENCE_MS - 1;
	assert_false(logins_jump(&b.seat, w.now));
	w.now++;
	assert_true(logins_jump(&b.seat, w.now));
	assert_false(logins_jump(&c.seat, w.now));
	refuse(&w, &b);
	assert_true(b.answers == 0 && c.answers == 1 && c.last == LOGIN_REFUSED);
	logins_leave(&w.logins, &a.seat, w.now);
	logins_fini(&w.logins);
}

static void what_was_passed_over_is_remembered_with_a_success(void **state)
{
	struct guest g = { .answers = 0 };
	struct world w;

	(void)state;
	world_open(&w);
	assert_int_equal(logins_passed(&w.logins, &w.way), 0);
	assert_int_equal(come(&w, &g, &w.way), LOGIN_GO);
	logins_succeeded(&w.logins, &g.seat, 3, w.now);
	assert_int_equal(logins_passed(&w.logins, &w.way), 3);
	try_in_vain(&w);
	assert_int_equal(logins_passed(&w.logins, &w.way), 0);
	logins_fini(&w.logins);
}

static void memory_is_bounded(void **state)
{
	struct world w;
	char names[LOGINS_MAX + 10][8];

	(void)state;
	world_open(&w);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct guest g = { .answers = 0 };

		snprintf(names[i], sizeof(names[i]), "n%zu", i);
		w.login.username = text_from(names[i]);
		assert_int_equal(come(&w, &g, &w.way), LOGIN_GO);
		refuse(&w, &g);
	}
	assert_int_equal(w.logins.by_key.count, LOGINS_MAX);
	w.login.username = text_from(names[0]);
	assert_int_equal(logins_refusal(&w.logins, &w.way, w.now, &(struct login_refusal){ 0 }), false);
	w.login.username = text_from(names[ARRAY_LEN(names) - 1]);
	assert_true(logins_refusal(&w.logins, &w.way, w.now, &(struct login_refusal){ 0 }));
	logins_fini(&w.logins);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_refusal_lasts_longer_each_time),
		cmocka_unit_test(a_success_begins_anew),
		cmocka_unit_test(another_secret_or_upstream_is_another_login),
		cmocka_unit_test(what_is_forgiven_may_be_tried),
		cmocka_unit_test(one_finds_out_and_the_others_hear_of_it),
		cmocka_unit_test(after_a_success_they_all_go),
		cmocka_unit_test(who_leaves_without_a_word_lets_the_next_one_try),
		cmocka_unit_test(who_waits_too_long_goes_as_well),
		cmocka_unit_test(what_was_passed_over_is_remembered_with_a_success),
		cmocka_unit_test(memory_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
