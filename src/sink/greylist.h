/* greylist.h - who has tried before: pairs of reverse-path and forward-path with the time of their first try. */
#ifndef POSTRIDER_SRC_SINK_GREYLIST_H
#define POSTRIDER_SRC_SINK_GREYLIST_H

#include <postrider/base/list.h>
#include <postrider/base/map.h>

#define GREYLIST_MAX 100000 /* pairs: of more the oldest are forgotten */

struct greylist {
	struct map pairs;
	struct list by_age; /* the oldest first */
};

void greylist_init(struct greylist *g, uint64_t seed);
void greylist_fini(struct greylist *g); /* a zeroed one is fine */

/* True: the pair's first try is wait_ms ago at least, and it was not this one. Without memory nobody is kept waiting. */
bool greylist_passes(struct greylist *g, struct text reverse_path, struct text forward_path, int64_t now_at,
                     int64_t wait_ms);

#endif
