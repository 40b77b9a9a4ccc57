/* postrider/base/arena.h - memory that lives and dies together, within a budget.
 * One for each mail transaction: what a peer can make grow is counted here. */
#ifndef POSTRIDER_BASE_ARENA_H
#define POSTRIDER_BASE_ARENA_H

#include <postrider/base/text.h>

struct arena_block;

struct arena {
	struct arena_block *blocks; /* newest first */
	size_t used_bytes;          /* asked for so far */
	size_t budget_bytes;
};

void arena_init(struct arena *a, size_t budget_bytes); /* allocates nothing yet */
void arena_fini(struct arena *a);                      /* frees all; a zeroed arena is fine */
void arena_reset(struct arena *a);                     /* frees all, keeps the budget */

/* Zeroed, aligned for any type. NULL: over the budget, or no memory. */
void *arena_alloc(struct arena *a, size_t bytes);

/* A copy with a final NUL behind it that is not counted. ERR_NOMEM: over the budget, or no memory. */
MUST_USE enum err arena_text(struct arena *a, struct text t, struct text *out);

#endif
