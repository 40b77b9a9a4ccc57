/* postrider/base/auto.h - cleanup at the end of a scope.
 * AUTO(x_free) struct x *x = NULL; calls x_free(&x) on every way out; x_free takes NULL.
 * return TAKE(x); hands over: the cleanup then sees NULL. */
#ifndef POSTRIDER_BASE_AUTO_H
#define POSTRIDER_BASE_AUTO_H

#include <stddef.h>
#include <stdlib.h>

#define AUTO(free_fn) __attribute__((cleanup(free_fn)))
#define TAKE(pointer)                                   \
	({                                              \
		__typeof__(pointer) taken_ = (pointer); \
		(pointer) = NULL;                       \
		taken_;                                 \
	})

/* AUTO(free_memory) char *p = malloc(n); */
static inline void free_memory(void *pointer_to_pointer)
{
	void **p = pointer_to_pointer;

	free(*p);
	*p = NULL;
}

#define BIT(n) (1u << (n))
#define ARRAY_LEN(array) (sizeof(array) / sizeof((array)[0]))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
/* The struct that holds *pointer as its member. */
#define CONTAINER_OF(pointer, type, member) ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

#endif
