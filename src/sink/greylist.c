#include "greylist.h"

#include <stdlib.h>

struct pair {
	struct map_item by_paths;
	struct list by_age;
	int64_t first_at;
	size_t len;
	char paths[]; /* with LF between them: a path has none */
};

void greylist_init(struct greylist *g, uint64_t seed)
{
	map_init(&g->pairs, true, seed);
	list_init(&g->by_age);
}

static void forget(struct greylist *g, struct pair *p)
{
	map_remove(&g->pairs, &p->by_paths);
	list_remove(&p->by_age);
	free(p);
}

void greylist_fini(struct greylist *g)
{
	while (!list_is_empty(&g->by_age))
		forget(g, LIST_ITEM(g->by_age.next, struct pair, by_age));
	map_fini(&g->pairs);
}

static struct pair *new_pair(struct text reverse_path, struct text forward_path)
{
	size_t len = reverse_path.len + 1 + forward_path.len;
	struct pair *p = malloc(sizeof(*p) + len);

	if (!p)
		return NULL;
	*p = (struct pair){ .len = len };
	memcpy(p->paths, reverse_path.at, reverse_path.len);
	p->paths[reverse_path.len] = '\n';
	memcpy(p->paths + reverse_path.len + 1, forward_path.at, forward_path.len);
	return p;
}

/* Takes *p over. */
static void remember(struct greylist *g, struct pair *p, int64_t now_at)
{
	if (g->pairs.count >= GREYLIST_MAX)
		forget(g, LIST_ITEM(g->by_age.next, struct pair, by_age));
	p->first_at = now_at;
	if (map_add(&g->pairs, &p->by_paths, text_of(p->paths, p->len))) {
		free(p);
		return;
	}
	list_append(&g->by_age, &p->by_age);
}

bool greylist_passes(struct greylist *g, struct text reverse_path, struct text forward_path, int64_t now_at,
                     int64_t wait_ms)
{
	struct pair *p = new_pair(reverse_path, forward_path);

	if (!p)
		return true;
	struct map_item *item = map_find(&g->pairs, text_of(p->paths, p->len));

	if (!item) {
		remember(g, p, now_at);
		return false;
	}
	free(p);
	return now_at - CONTAINER_OF(item, struct pair, by_paths)->first_at >= wait_ms;
}
