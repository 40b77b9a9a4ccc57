/* support/check.h - checks for tests that are tables: they say which row failed. */
#ifndef TEST_SUPPORT_CHECK_H
#define TEST_SUPPORT_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <postrider/base/auto.h>
#include <postrider/base/text.h>

#define CHECK(row, condition)                                          \
	do {                                                           \
		if (!(condition))                                      \
			fail_msg("%s: not so: %s", (row), #condition); \
	} while (0)

#define CHECK_INT(row, actual, expected)                                                                \
	do {                                                                                            \
		long long actual_ = (long long)(actual), expected_ = (long long)(expected);             \
		if (actual_ != expected_)                                                               \
			fail_msg("%s: %s is %lld, should be %lld", (row), #actual, actual_, expected_); \
	} while (0)

#define CHECK_TEXT(row, actual, expected)                                                               \
	do {                                                                                            \
		struct text actual_ = (actual), expected_ = (expected);                                 \
		if (!text_eq(actual_, expected_))                                                       \
			fail_msg("%s: %s is \"%.*s\" (%zu), should be \"%.*s\" (%zu)", (row), #actual,  \
			         TEXT_ARGS(actual_), actual_.len, TEXT_ARGS(expected_), expected_.len); \
	} while (0)

/* A copy that lies alone in a block of its own size, so that the address sanitizer sees one octet too many. To be freed. */
static inline char *alone(struct text t)
{
	char *copy = malloc(t.len ? t.len : 1);

	assert_non_null(copy);
	if (t.len)
		memcpy(copy, t.at, t.len);
	return copy;
}

#endif
