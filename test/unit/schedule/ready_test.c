#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdlib.h>

#include "../../../src/schedule/ready.h"
#include "../../support/check.h"

#define SENDERS 1000

/* A task of these tests. */
struct mail {
	struct ready_item item;
	uint64_t sender;
	uint64_t cost;
	enum config_class class;
	unsigned number;
	bool here; /* it has been read */
};

struct line {
	struct ready ready;
	struct mail *mails;
	size_t count;
	uint64_t had[SENDERS]; /* cost that went, by sender */
	uint64_t class_had[READY_CLASSES];
};

static void line_open(struct line *l, size_t room)
{
	*l = (struct line){ .mails = calloc(room, sizeof(struct mail)) };
	assert_non_null(l->mails);
	ready_init(&l->ready, 7);
	l->ready.rest_hundredths = 1000;
}

static void line_close(struct line *l)
{
	for (size_t i = 0; i < l->count; i++)
		ready_part(&l->ready, &l->mails[i].item);
	assert_int_equal(l->ready.count, 0);
	ready_fini(&l->ready);
	free(l->mails);
}

static struct mail *add_ranked(struct line *l, uint64_t sender, enum config_class class, uint64_t cost,
                               int64_t rank_at)
{
	struct mail *m = &l->mails[l->count];

	m->sender = sender;
	m->class = class;
	m->cost = cost;
	m->here = true;
	m->number = (unsigned)l->count++;
	m->item.rank_at = rank_at;
	ready_join(&l->ready, &m->item, class, sender);
	ready_add(&l->ready, &m->item, false);
	return m;
}

static struct mail *add(struct line *l, uint64_t sender, enum config_class class, uint64_t cost)
{
	return add_ranked(l, sender, class, cost, (int64_t)l->count);
}

static bool is_here(void *owner, const struct ready_item *item)
{
	(void)owner;
	return CONTAINER_OF(item, const struct mail, item)->here;
}

static struct mail *peek(struct line *l)
{
	struct ready_item *item = ready_next(&l->ready, is_here, NULL);

	return item ? CONTAINER_OF(item, struct mail, item) : NULL;
}

/* The next one goes and is delivered. */
static struct mail *go(struct line *l)
{
	struct mail *m = peek(l);

	if (!m)
		return NULL;
	assert_ptr_equal(peek(l), m); /* asking changes nothing */
	ready_remove(&l->ready, &m->item);
	ready_sent(&l->ready, &m->item, m->cost);
	l->had[m->sender] += m->cost;
	l->class_had[m->class] += m->cost;
	ready_part(&l->ready, &m->item);
	return m;
}

/* ---------------------------------------------------------------- inside a flow */

static void one_sender_goes_in_order(void **state)
{
	struct line l;

	(void)state;
	line_open(&l, 100);
	for (unsigned i = 0; i < 100; i++)
		add(&l, 1, CONFIG_CLASS_NORMAL, 1 + i % 7);
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(go(&l)->number, i);
	assert_null(go(&l));
	line_close(&l);
}

static void rank_orders_inside_a_sender(void **state)
{
	static const int64_t ranks[] = { 50, 10, 50, 10, 99, 0 };
	static const unsigned order[] = { 5, 1, 3, 0, 2, 4 };
	struct line l;

	(void)state;
	line_open(&l, 10);
	for (size_t i = 0; i < ARRAY_LEN(ranks); i++)
		add_ranked(&l, 1, CONFIG_CLASS_NORMAL, 1, ranks[i]);
	for (size_t i = 0; i < ARRAY_LEN(order); i++)
		assert_int_equal(go(&l)->number, order[i]);
	line_close(&l);
}

static void what_comes_back_stands_before_its_equals(void **state)
{
	struct line l;
	struct mail *second;

	(void)state;
	line_open(&l, 10);
	add_ranked(&l, 1, CONFIG_CLASS_NORMAL, 1, 5);
	second = add_ranked(&l, 1, CONFIG_CLASS_NORMAL, 1, 5);
	ready_remove(&l.ready, &second->item);
	ready_add(&l.ready, &second->item, true);
	assert_ptr_equal(go(&l), second);
	line_close(&l);
}

/* ---------------------------------------------------------------- between senders */

static void senders_take_turns(void **state)
{
	struct line l;

	(void)state;
	line_open(&l, 400);
	for (unsigned s = 0; s < 4; s++)
		for (unsigned i = 0; i < 100; i++)
			add(&l, s, CONFIG_CLASS_NORMAL, 1);
	for (unsigned i = 0; i < 400; i++)
		assert_int_equal(go(&l)->sender, i % 4);
	line_close(&l);
}

static void who_has_few_is_through_after_few_rounds(void **state)
{
	struct line l;

	(void)state;
	line_open(&l, 2000);
	for (unsigned i = 0; i < 1500; i++)
		add(&l, 1, CONFIG_CLASS_NORMAL, 1);
	for (unsigned i = 0; i < 500; i++)
		assert_non_null(go(&l));
	for (unsigned i = 0; i < 10; i++)
		add(&l, 2, CONFIG_CLASS_NORMAL, 1);
	for (unsigned i = 0; i < 20; i++)
		assert_non_null(go(&l));
	assert_int_equal(l.had[2], 10);
	line_close(&l);
}

/* Costs of any size: over the long run everybody has had the same, whatever a message of his costs. */
static void cost_is_shared_and_not_messages(void **state)
{
	static const uint64_t costs[] = { 1, 3, 10, 50 };
	struct line l;

	(void)state;
	line_open(&l, 20000);
	for (unsigned s = 0; s < 4; s++)
		for (uint64_t sum = 0; sum < 5000; sum += costs[s])
			add(&l, s, CONFIG_CLASS_NORMAL, costs[s]);
	for (uint64_t sum = 0; sum < 16000;)
		sum += go(&l)->cost;
	for (unsigned s = 0; s < 4; s++) {
		CHECK("least", l.had[s] >= 3900);
		CHECK("most", l.had[s] <= 4100);
	}
	line_close(&l);
}

/* What one owes is not forgotten when he has nothing ready for a moment, as long as something of his is on its way. */
static void debt_outlives_an_empty_line(void **state)
{
	struct line l;
	struct mail *on_its_way;

	(void)state;
	line_open(&l, 200);
	on_its_way = add(&l, 1, CONFIG_CLASS_NORMAL, 50);
	for (unsigned i = 0; i < 100; i++)
		add(&l, 2, CONFIG_CLASS_NORMAL, 1);
	assert_ptr_equal(peek(&l), on_its_way);
	ready_remove(&l.ready, &on_its_way->item);
	ready_sent(&l.ready, &on_its_way->item, 50);
	add(&l, 1, CONFIG_CLASS_NORMAL, 50);
	for (unsigned i = 0; i < 49; i++)
		assert_int_equal(go(&l)->sender, 2);
	for (unsigned i = 0; i < 3 && l.had[1] == 0; i++)
		assert_non_null(go(&l));
	assert_int_equal(l.had[1], 50);
	line_close(&l);
}

/* Nobody saves up turns: what was lent to others while one had nothing is not had back in a row. */
static void an_idle_share_is_lent_and_given_back_at_once(void **state)
{
	struct line l;

	(void)state;
	line_open(&l, 3000);
	for (unsigned i = 0; i < 1500; i++)
		add(&l, 1, CONFIG_CLASS_NORMAL, 1);
	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(go(&l)->sender, 1);
	for (unsigned i = 0; i < 500; i++)
		add(&l, 2, CONFIG_CLASS_NORMAL, 1);
	for (unsigned i = 0; i < 100; i++)
		assert_non_null(go(&l));
	assert_in_range(l.had[2], 49, 51);
	line_close(&l);
}

/* ---------------------------------------------------------------- between classes */

static void the_urgent_go_first(void **state)
{
	struct line l;
	struct mail *urgent;

	(void)state;
	line_open(&l, 200);
	for (unsigned i = 0; i < 50; i++)
		add(&l, i % 5, CONFIG_CLASS_BULK, 1);
	for (unsigned i = 0; i < 50; i++)
		add(&l, i % 5, CONFIG_CLASS_NORMAL, 1);
	for (unsigned i = 0; i < 20; i++)
		assert_non_null(go(&l));
	urgent = add(&l, 9, CONFIG_CLASS_URGENT, 1);
	assert_ptr_equal(go(&l), urgent);
	line_close(&l);
}

static void shares_are_kept_for_the_rest(void **state)
{
	static const struct {
		uint64_t rest_hundredths;
		unsigned urgent, normal, bulk; /* of 1000 sends, while all have something */
	} rows[] = {
		{ 1000, 900, 90, 10 }, { 0, 1000, 0, 0 },     { 5000, 500, 250, 250 },
		{ 250, 975, 24, 1 },   { 10000, 0, 0, 1000 }, { 20000, 0, 0, 1000 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct line l;

		line_open(&l, 3600);
		l.ready.rest_hundredths = rows[i].rest_hundredths;
		for (unsigned m = 0; m < 1200; m++) {
			add(&l, 1, CONFIG_CLASS_URGENT, 1);
			add(&l, 2, CONFIG_CLASS_NORMAL, 1);
			add(&l, 3, CONFIG_CLASS_BULK, 1);
		}
		for (unsigned m = 0; m < 1000; m++)
			assert_non_null(go(&l));
		assert_in_range(l.class_had[CONFIG_CLASS_URGENT] + 2, rows[i].urgent, rows[i].urgent + 4);
		assert_in_range(l.class_had[CONFIG_CLASS_NORMAL] + 2, rows[i].normal, rows[i].normal + 4);
		assert_in_range(l.class_had[CONFIG_CLASS_BULK] + 2, rows[i].bulk, rows[i].bulk + 4);
		line_close(&l);
	}
}

/* One urgent message at a time, each as soon as the last has gone: its line is empty at every other moment, and the share is
 * kept all the same. */
static void a_trickle_of_urgent_mail_leaves_the_share_too(void **state)
{
	struct line l;

	(void)state;
	line_open(&l, 4000);
	for (unsigned i = 0; i < 1000; i++)
		add(&l, 1, CONFIG_CLASS_BULK, 1);
	add(&l, 2, CONFIG_CLASS_URGENT, 1);
	for (unsigned i = 0; i < 2000; i++)
		if (go(&l)->class == CONFIG_CLASS_URGENT)
			add(&l, 2, CONFIG_CLASS_URGENT, 1);
	assert_in_range(l.class_had[CONFIG_CLASS_BULK], 195, 205);
	line_close(&l);
}

/* While the others cannot go the urgent do, and what is owed for it does not hold them up for long afterwards. */
static void little_is_owed_to_those_that_could_not_go(void **state)
{
	struct line l;
	unsigned before = 0;

	(void)state;
	line_open(&l, 4000);
	for (unsigned i = 0; i < 1000; i++)
		add(&l, 1, CONFIG_CLASS_NORMAL, 1)->here = false;
	for (unsigned i = 0; i < 1000; i++)
		add(&l, 2, CONFIG_CLASS_URGENT, 1);
	for (unsigned i = 0; i < 900; i++)
		assert_int_equal(go(&l)->class, CONFIG_CLASS_URGENT);
	for (unsigned i = 0; i < 1000; i++)
		l.mails[i].here = true;
	while (go(&l)->class != CONFIG_CLASS_URGENT)
		before++;
	assert_in_range(before, 1, 12);
	line_close(&l);
}

/* ---------------------------------------------------------------- what does not fit */

static void what_is_not_there_is_passed_over_and_keeps_its_turn(void **state)
{
	struct line l;
	struct mail *first;

	(void)state;
	line_open(&l, 20);
	first = add(&l, 1, CONFIG_CLASS_NORMAL, 1);
	first->here = false;
	for (unsigned i = 0; i < 6; i++)
		add(&l, 2 + i % 2, CONFIG_CLASS_NORMAL, 1);
	assert_int_equal(go(&l)->sender, 2);
	assert_int_equal(go(&l)->sender, 3);
	first->here = true;
	assert_ptr_equal(go(&l), first);
	line_close(&l);
}

static void no_search_goes_through_all(void **state)
{
	struct line l;
	struct mail *bulk;

	(void)state;
	line_open(&l, 200);
	for (unsigned i = 0; i < 100; i++)
		add(&l, i, CONFIG_CLASS_NORMAL, 1)->here = false;
	add(&l, 500, CONFIG_CLASS_NORMAL, 1);
	assert_null(peek(&l));
	/* another class has its own front */
	bulk = add(&l, 501, CONFIG_CLASS_BULK, 1);
	assert_ptr_equal(peek(&l), bulk);
	line_close(&l);
}

/* ---------------------------------------------------------------- flows and walks */

static void an_item_changes_its_class(void **state)
{
	struct line l;
	struct mail *m;

	(void)state;
	line_open(&l, 20);
	add(&l, 1, CONFIG_CLASS_NORMAL, 1);
	m = add(&l, 1, CONFIG_CLASS_NORMAL, 1);
	ready_remove(&l.ready, &m->item);
	m->class = CONFIG_CLASS_URGENT;
	ready_join(&l.ready, &m->item, m->class, 1);
	ready_join(&l.ready, &m->item, m->class, 1); /* twice is once */
	ready_add(&l.ready, &m->item, false);
	assert_ptr_equal(go(&l), m);
	assert_int_equal(l.ready.classes[CONFIG_CLASS_URGENT].flows.count, 0);
	assert_int_equal(l.ready.classes[CONFIG_CLASS_NORMAL].flows.count, 1);
	line_close(&l);
}

static void a_walk_goes_round_by_round(void **state)
{
	static const unsigned order[] = { 0, 3, 5, 1, 4, 2 };
	struct line l;
	struct ready_walk walk;
	struct ready_item *item;
	unsigned n = 0;

	(void)state;
	line_open(&l, 20);
	for (unsigned i = 0; i < 6; i++)
		add(&l, i < 3 ? 1 : i < 5 ? 2 : 3, CONFIG_CLASS_BULK, 1);
	ready_walk_begin(&l.ready, CONFIG_CLASS_BULK, &walk);
	while ((item = ready_walk_next(&walk))) {
		assert_int_equal(CONTAINER_OF(item, struct mail, item)->number, order[n++]);
		ready_remove(&l.ready, item);
	}
	assert_int_equal(n, 6);
	ready_walk_begin(&l.ready, CONFIG_CLASS_URGENT, &walk);
	assert_null(ready_walk_next(&walk));
	line_close(&l);
}

static void any_finds_all(void **state)
{
	struct line l;
	unsigned seen = 0;

	(void)state;
	line_open(&l, 200);
	for (unsigned i = 0; i < 200; i++)
		add(&l, i % 7, (enum config_class)(i % READY_CLASSES), 1);
	for (struct ready_item *it = ready_any(&l.ready, NULL), *next; it; it = next) {
		next = ready_any(&l.ready, it);
		seen++;
		if (seen % 3 == 0)
			ready_remove(&l.ready, it);
	}
	assert_int_equal(seen, 200);
	assert_int_equal(l.ready.count, 200 - 66);
	line_close(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_sender_goes_in_order),
		cmocka_unit_test(rank_orders_inside_a_sender),
		cmocka_unit_test(what_comes_back_stands_before_its_equals),
		cmocka_unit_test(senders_take_turns),
		cmocka_unit_test(who_has_few_is_through_after_few_rounds),
		cmocka_unit_test(cost_is_shared_and_not_messages),
		cmocka_unit_test(debt_outlives_an_empty_line),
		cmocka_unit_test(an_idle_share_is_lent_and_given_back_at_once),
		cmocka_unit_test(the_urgent_go_first),
		cmocka_unit_test(shares_are_kept_for_the_rest),
		cmocka_unit_test(a_trickle_of_urgent_mail_leaves_the_share_too),
		cmocka_unit_test(little_is_owed_to_those_that_could_not_go),
		cmocka_unit_test(what_is_not_there_is_passed_over_and_keeps_its_turn),
		cmocka_unit_test(no_search_goes_through_all),
		cmocka_unit_test(an_item_changes_its_class),
		cmocka_unit_test(a_walk_goes_round_by_round),
		cmocka_unit_test(any_finds_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
