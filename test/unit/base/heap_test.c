#include <postrider/base/heap.h>

#include <stdlib.h>

#include <postrider/base/random.h>

#include "support/alloc.h"
#include "support/check.h"

#define COUNT 300

struct job {
	struct heap_item item;
	bool in;
};

static void check_places(const struct heap *h)
{
	for (size_t i = 0; i < h->count; i++)
		assert_int_equal(h->items[i]->place, i + 1);
}

/* What should be first: the smallest key, of those the one that went in first. */
static const struct heap_item *expected_first(const struct job *jobs)
{
	const struct heap_item *first = NULL;

	for (size_t i = 0; i < COUNT; i++) {
		const struct heap_item *item = &jobs[i].item;

		if (jobs[i].in && (!first || item->key < first->key ||
		                   (item->key == first->key && item->order < first->order)))
			first = item;
	}
	return first;
}

static void any_mix_of_pushes_moves_and_removals_keeps_the_order(void **state)
{
	struct heap h;
	struct job jobs[COUNT] = { 0 };
	struct random random;
	uint64_t last_order = 0;

	(void)state;
	heap_init(&h);
	random_init(&random, 1);
	for (int round = 0; round < 20000; round++) {
		struct job *job = &jobs[random_below(&random, COUNT)];
		int64_t key = (int64_t)random_below(&random, 40) - 20;

		if (random_below(&random, 3) == 0) {
			heap_remove(&h, &job->item);
			job->in = false;
		} else {
			assert_int_equal(heap_move(&h, &job->item, key), ERR_OK);
			assert_true(round == 0 || job->item.order > last_order);
			last_order = job->item.order;
			job->in = true;
		}
		assert_int_equal(heap_has(&job->item), job->in);
		assert_ptr_equal(heap_first(&h), expected_first(jobs));
	}
	check_places(&h);
	heap_fini(&h);
}

static void equal_keys_come_out_in_the_order_they_went_in(void **state)
{
	struct heap h = { 0 };
	struct heap_item items[50] = { 0 };

	(void)state;
	for (int i = 0; i < 50; i++)
		assert_int_equal(heap_push(&h, &items[i], 7), ERR_OK);
	for (int i = 0; i < 50; i++) {
		assert_ptr_equal(heap_first(&h), &items[i]);
		heap_remove(&h, &items[i]);
	}
	assert_null(heap_first(&h));
	heap_fini(&h);
}

static void keys_may_be_as_large_as_they_get(void **state)
{
	struct heap h = { 0 };
	struct heap_item low = { 0 }, high = { 0 };

	(void)state;
	assert_int_equal(heap_push(&h, &high, INT64_MAX), ERR_OK);
	assert_int_equal(heap_push(&h, &low, INT64_MIN), ERR_OK);
	assert_ptr_equal(heap_first(&h), &low);
	heap_fini(&h);
}

static void without_memory_the_item_stays_out(void **state)
{
	struct heap h = { 0 };
	struct heap_item item = { 0 };

	(void)state;
	alloc_fail_nth(1);
	assert_int_equal(heap_push(&h, &item, 1), ERR_NOMEM);
	assert_false(heap_has(&item));
	assert_int_equal(heap_push(&h, &item, 1), ERR_OK);
	heap_remove(&h, &item);
	heap_remove(&h, &item);
	heap_fini(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_mix_of_pushes_moves_and_removals_keeps_the_order),
		cmocka_unit_test(equal_keys_come_out_in_the_order_they_went_in),
		cmocka_unit_test(keys_may_be_as_large_as_they_get),
		cmocka_unit_test(without_memory_the_item_stays_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
