#include <postrider/base/arena.h>

#include <stdalign.h>
#include <stdlib.h>

#include <postrider/base/auto.h>

#define ALIGNMENT alignof(max_align_t)
#define BLOCK_BYTES 4000 /* with malloc's own words below a page */

struct arena_block {
	struct arena_block *next;
	size_t used;
	size_t room;
	alignas(max_align_t) unsigned char bytes[];
};

void arena_init(struct arena *a, size_t budget_bytes)
{
	*a = (struct arena){ .budget_bytes = budget_bytes };
}

void arena_reset(struct arena *a)
{
	while (a->blocks) {
		struct arena_block *block = a->blocks;

		a->blocks = block->next;
		free(block);
	}
	a->used_bytes = 0;
}

void arena_fini(struct arena *a)
{
	arena_reset(a);
	a->budget_bytes = 0;
}

/* A block with room for `bytes`. A thing that fills more than half a block gets one of its own, behind the
 * newest: what is left of the newest stays in use. */
static struct arena_block *add_block(struct arena *a, size_t bytes)
{
	bool own = bytes > BLOCK_BYTES / 2;
	size_t room = own ? bytes : BLOCK_BYTES - sizeof(struct arena_block);
	struct arena_block *block = malloc(sizeof(*block) + room);

	if (!block)
		return NULL;
	block->used = 0;
	block->room = room;
	if (own && a->blocks) {
		block->next = a->blocks->next;
		a->blocks->next = block;
	} else {
		block->next = a->blocks;
		a->blocks = block;
	}
	return block;
}

static void *take(struct arena *a, size_t bytes)
{
	if (bytes > a->budget_bytes - a->used_bytes)
		return NULL;
	size_t rounded = (MAX(bytes, 1) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;

	if (rounded < bytes || rounded > SIZE_MAX - sizeof(struct arena_block))
		return NULL;
	struct arena_block *block = a->blocks;

	if (!block || rounded > block->room - block->used)
		block = add_block(a, rounded);
	if (!block)
		return NULL;
	void *taken = block->bytes + block->used;

	block->used += rounded;
	a->used_bytes += bytes;
	return taken;
}

void *arena_alloc(struct arena *a, size_t bytes)
{
	void *taken = take(a, bytes);

	return taken ? memset(taken, 0, bytes) : NULL;
}

enum err arena_text(struct arena *a, struct text t, struct text *out)
{
	char *copy = t.len < SIZE_MAX ? take(a, t.len + 1) : NULL;

	if (!copy)
		return ERR_NOMEM;
	if (t.len)
		memcpy(copy, t.at, t.len);
	copy[t.len] = '\0';
	*out = text_of(copy, t.len);
	return ERR_OK;
}
