/* "Did you mean": the nearest of a set of names by edit distance. */
#ifndef CONFIG_SUGGEST_PRIVATE_H
#define CONFIG_SUGGEST_PRIVATE_H

#include <postrider/base/text.h>

struct suggestion {
	struct text wrong;
	struct text best;  /* empty: nothing is near enough */
	unsigned distance; /* of best */
};

struct suggestion suggestion_for(struct text wrong);
void suggestion_try(struct suggestion *s, struct text name); /* name must live as long as s */

/* Insertions, deletions, replacements and exchanges of neighbours, without regard to case, `-` and `_` as one;
 * more than limit comes back as limit + 1. */
unsigned edit_distance(struct text a, struct text b, unsigned limit);

#endif
