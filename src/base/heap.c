#include <postrider/base/heap.h>

#include <stdlib.h>

#define FIRST_ROOM 16

void heap_init(struct heap *h)
{
	*h = (struct heap){ 0 };
}

void heap_fini(struct heap *h)
{
	free(h->items);
	*h = (struct heap){ 0 };
}

static bool is_before(const struct heap_item *a, const struct heap_item *b)
{
	return a->key != b->key ? a->key < b->key : a->order < b->order;
}

static void put(struct heap *h, size_t index, struct heap_item *item)
{
	h->items[index] = item;
	item->place = index + 1;
}

static void sift_up(struct heap *h, size_t index, struct heap_item *item)
{
	while (index > 0) {
		size_t parent = (index - 1) / 2;

		if (!is_before(item, h->items[parent]))
			break;
		put(h, index, h->items[parent]);
		index = parent;
	}
	put(h, index, item);
}

static void sift_down(struct heap *h, size_t index, struct heap_item *item)
{
	for (;;) {
		size_t child = index * 2 + 1;

		if (child >= h->count)
			break;
		if (child + 1 < h->count && is_before(h->items[child + 1], h->items[child]))
			child++;
		if (!is_before(h->items[child], item))
			break;
		put(h, index, h->items[child]);
		index = child;
	}
	put(h, index, item);
}

/* The item stands at index with a key that may fit neither above nor below. */
static void settle(struct heap *h, size_t index, struct heap_item *item)
{
	if (index > 0 && is_before(item, h->items[(index - 1) / 2]))
		sift_up(h, index, item);
	else
		sift_down(h, index, item);
}

enum err heap_push(struct heap *h, struct heap_item *item, int64_t key)
{
	if (h->count == h->room) {
		size_t room = h->room ? h->room * 2 : FIRST_ROOM;
		struct heap_item **items = realloc(h->items, room * sizeof(struct heap_item *));

		if (!items)
			return ERR_NOMEM;
		h->items = items;
		h->room = room;
	}
	item->key = key;
	item->order = h->next_order++;
	sift_up(h, h->count++, item);
	return ERR_OK;
}

void heap_remove(struct heap *h, struct heap_item *item)
{
	if (!heap_has(item))
		return;
	size_t index = item->place - 1;
	struct heap_item *last = h->items[--h->count];

	item->place = 0;
	if (last != item)
		settle(h, index, last);
}

enum err heap_move(struct heap *h, struct heap_item *item, int64_t key)
{
	if (!heap_has(item))
		return heap_push(h, item, key);
	item->key = key;
	item->order = h->next_order++;
	settle(h, item->place - 1, item);
	return ERR_OK;
}
