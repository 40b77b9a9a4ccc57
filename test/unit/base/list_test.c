#include <postrider/base/list.h>

#include "support/check.h"

struct item {
	int number;
	struct list link;
};

static void expect(struct list *head, const char *digits)
{
	size_t at = 0;

	for (LIST_EACH(it, head)) {
		assert_int_equal(LIST_ITEM(it, struct item, link)->number, digits[at] - '0');
		assert_ptr_equal(it->next->prev, it);
		at++;
	}
	assert_int_equal(digits[at], '\0');
}

static void items_keep_their_order(void **state)
{
	struct list head;
	struct item items[] = { { .number = 0 }, { .number = 1 }, { .number = 2 }, { .number = 3 } };

	(void)state;
	list_init(&head);
	assert_true(list_is_empty(&head));
	list_append(&head, &items[1].link);
	list_append(&head, &items[3].link);
	list_prepend(&head, &items[0].link);
	list_insert_before(&items[3].link, &items[2].link);
	expect(&head, "0123");
	list_remove(&items[2].link);
	expect(&head, "013");
	list_remove(&items[2].link);
	expect(&head, "013");
	assert_ptr_equal(LIST_FIRST(&head, struct item, link), &items[0]);
	assert_ptr_equal(list_shift(&head), &items[0].link);
	expect(&head, "13");
}

static void a_zeroed_item_is_in_no_list(void **state)
{
	struct item item = { 0 };
	struct list zeroed = { 0 };

	(void)state;
	list_remove(&item.link);
	assert_true(list_is_empty(&zeroed));
	assert_null(list_shift(&zeroed));
	assert_null(LIST_FIRST(&zeroed, struct item, link));
}

static void lists_join(void **state)
{
	struct list a, b;
	struct item items[] = { { .number = 0 }, { .number = 1 }, { .number = 2 } };

	(void)state;
	list_init(&a);
	list_init(&b);
	list_append_all(&a, &b);
	assert_true(list_is_empty(&a));
	list_append(&a, &items[0].link);
	list_append(&b, &items[1].link);
	list_append(&b, &items[2].link);
	list_append_all(&a, &b);
	expect(&a, "012");
	assert_true(list_is_empty(&b));
}

static void the_item_at_hand_may_leave(void **state)
{
	struct list head;
	struct item items[3] = { 0 };

	(void)state;
	list_init(&head);
	for (int i = 0; i < 3; i++)
		list_append(&head, &items[i].link);
	for (LIST_EACH_SAFE(it, &head))
		list_remove(it);
	assert_true(list_is_empty(&head));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(items_keep_their_order),
		cmocka_unit_test(a_zeroed_item_is_in_no_list),
		cmocka_unit_test(lists_join),
		cmocka_unit_test(the_item_at_hand_may_leave),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
