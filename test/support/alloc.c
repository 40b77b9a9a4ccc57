#include "support/alloc.h"

#include <stddef.h>

/* The linker sends our code's calls here (--wrap). A thread of its own is not in the way of a test's. */
static _Thread_local unsigned left;
static _Thread_local bool failed;

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *old, size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *old, size_t bytes);

void alloc_fail_nth(unsigned n)
{
	left = n;
	failed = false;
}

bool alloc_has_failed(void)
{
	return failed;
}

static bool fails_now(void)
{
	if (left == 0 || --left > 0)
		return false;
	failed = true;
	return true;
}

void *__wrap_malloc(size_t bytes)
{
	return fails_now() ? NULL : __real_malloc(bytes);
}

void *__wrap_calloc(size_t count, size_t bytes)
{
	return fails_now() ? NULL : __real_calloc(count, bytes);
}

void *__wrap_realloc(void *old, size_t bytes)
{
	return fails_now() ? NULL : __real_realloc(old, bytes);
}
