#include "suggest.h"

#include <postrider/base/auto.h>

#define NAME_MAX_OCTETS 48

static char folded(char c)
{
	return c == '-' ? '_' : ascii_lower(c);
}

unsigned edit_distance(struct text a, struct text b, unsigned limit)
{
	unsigned rows[3][NAME_MAX_OCTETS + 1];
	unsigned *before = rows[0], *last = rows[1], *row = rows[2];

	if (a.len > NAME_MAX_OCTETS || b.len > NAME_MAX_OCTETS || a.len > b.len + limit ||
	    b.len > a.len + limit)
		return limit + 1;
	for (size_t j = 0; j <= b.len; j++)
		last[j] = (unsigned)j;
	for (size_t i = 1; i <= a.len; i++) {
		row[0] = (unsigned)i;
		for (size_t j = 1; j <= b.len; j++) {
			char x = folded(a.at[i - 1]), y = folded(b.at[j - 1]);
			unsigned best = last[j - 1] + (x != y);

			best = MIN(best, MIN(last[j], row[j - 1]) + 1);
			if (i > 1 && j > 1 && x == folded(b.at[j - 2]) && folded(a.at[i - 2]) == y)
				best = MIN(best, before[j - 2] + 1);
			row[j] = best;
		}
		unsigned *free_row = before;

		before = last;
		last = row;
		row = free_row;
	}
	return MIN(last[b.len], limit + 1);
}

struct suggestion suggestion_for(struct text wrong)
{
	/* a third of the letters may be wrong, and three at most: farther away it is a guess */
	unsigned limit = (unsigned)MIN(MAX(wrong.len / 3, 1), 3);

	return (struct suggestion){ .wrong = wrong, .best = TEXT_EMPTY, .distance = limit + 1 };
}

void suggestion_try(struct suggestion *s, struct text name)
{
	unsigned distance = s->distance ? edit_distance(s->wrong, name, s->distance - 1) : 1;

	if (distance < s->distance) {
		s->distance = distance;
		s->best = name;
	}
}
