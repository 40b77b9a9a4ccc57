/* support/alloc.h - lets an allocation of this thread fail (malloc, calloc, realloc called by our code). */
#ifndef TEST_SUPPORT_ALLOC_H
#define TEST_SUPPORT_ALLOC_H

#include <stdbool.h>

/* The nth allocation from now on fails (1: the next), those behind it succeed again. 0: none. */
void alloc_fail_nth(unsigned n);
/* Whether it came to that since the last alloc_fail_nth. */
bool alloc_has_failed(void);

/* Runs the statement that follows again and again, with the first, the second, ... allocation failing, until it needed
 * none of those that failed: for (EACH_ALLOC_FAILING) { ... }. The last run is one in which all succeed. */
#define EACH_ALLOC_FAILING                                 \
	unsigned nth_ = (alloc_fail_nth(1), 1), more_ = 1; \
	more_;                                             \
	more_ = alloc_has_failed(), alloc_fail_nth(more_ ? ++nth_ : 0)

#endif
