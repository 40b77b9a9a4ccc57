/* postrider/base/heap.h - what comes next: a binary heap of elements ordered by a 64-bit key, smallest first.
 * An element carries its own place, so that it can leave from the middle. Equal keys come out in the order in
 * which they went in. */
#ifndef POSTRIDER_BASE_HEAP_H
#define POSTRIDER_BASE_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <postrider/base/err.h>

struct heap_item {
	int64_t key;
	uint64_t order; /* set by heap_push */
	size_t place;   /* 1-based place in the heap; 0: in none */
};

struct heap {
	struct heap_item **items;
	size_t count;
	size_t room;
	uint64_t next_order;
};

void heap_init(struct heap *h);
void heap_fini(struct heap *h); /* the elements are the caller's; a zeroed heap is fine */

/* The item must be in no heap. ERR_NOMEM: it still is in none. */
MUST_USE enum err heap_push(struct heap *h, struct heap_item *item, int64_t key);
void heap_remove(struct heap *h, struct heap_item *item); /* fine if it is in none */
/* Pushes an item that is in none. */
MUST_USE enum err heap_move(struct heap *h, struct heap_item *item, int64_t key);

static inline bool heap_has(const struct heap_item *item)
{
	return item->place != 0;
}

static inline struct heap_item *heap_first(const struct heap *h)
{
	return h->count ? h->items[0] : NULL;
}

#endif
