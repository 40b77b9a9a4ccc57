/* postrider/base/list.h - a doubly linked list through members of its elements; allocates nothing. */
#ifndef POSTRIDER_BASE_LIST_H
#define POSTRIDER_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include <postrider/base/auto.h>

struct list {
	struct list *next;
	struct list *prev;
};

/* The head of a list, and an element that is in no list, both point at themselves. */
static inline void list_init(struct list *l)
{
	l->next = l->prev = l;
}

static inline bool list_is_empty(const struct list *l)
{
	return l->next == l || !l->next;
}

static inline void list_insert_before(struct list *place, struct list *item)
{
	item->prev = place->prev;
	item->next = place;
	place->prev->next = item;
	place->prev = item;
}

static inline void list_append(struct list *head, struct list *item)
{
	list_insert_before(head, item);
}

static inline void list_prepend(struct list *head, struct list *item)
{
	list_insert_before(head->next, item);
}

/* Fine for an item that is in no list, also for a zeroed one. */
static inline void list_remove(struct list *item)
{
	if (!item->next)
		return;
	item->prev->next = item->next;
	item->next->prev = item->prev;
	list_init(item);
}

/* Moves all of `from` behind what `head` has. */
static inline void list_append_all(struct list *head, struct list *from)
{
	if (list_is_empty(from))
		return;
	from->next->prev = head->prev;
	from->prev->next = head;
	head->prev->next = from->next;
	head->prev = from->prev;
	list_init(from);
}

/* The first element taken out, or NULL. */
static inline struct list *list_shift(struct list *head)
{
	struct list *first = head->next;

	if (list_is_empty(head))
		return NULL;
	list_remove(first);
	return first;
}

#define LIST_ITEM(pointer, type, member) CONTAINER_OF(pointer, type, member)
#define LIST_FIRST(head, type, member) (list_is_empty(head) ? NULL : LIST_ITEM((head)->next, type, member))

/* for (LIST_EACH(it, &head)) { struct x *x = LIST_ITEM(it, struct x, link); ... }; the list must not change */
/* clang-format off */
#define LIST_EACH(it, head) struct list *it = (head)->next; it != (head); it = it->next
/* The element at hand may be removed or freed. */
#define LIST_EACH_SAFE(it, head) \
	struct list *it = (head)->next, *it##_next = it->next; it != (head); it = it##_next, it##_next = it->next
/* clang-format on */

#endif
