#include <postrider/base/err.h>

#include <errno.h>

#include "support/check.h"

static void every_failure_has_a_phrase_of_its_own(void **state)
{
	(void)state;
	for (int i = 0; i < ERR_COUNT; i++) {
		const char *phrase = err_text((enum err)i);

		assert_true(phrase && *phrase);
		for (int k = 0; k < i; k++)
			assert_string_not_equal(phrase, err_text((enum err)k));
	}
	assert_string_equal(err_text((enum err)ERR_COUNT), "unknown failure");
	assert_string_equal(err_text((enum err) - 1), "unknown failure");
}

static const struct {
	const char *name;
	int errno_value;
	enum err err;
} errno_cases[] = {
	{ "success", 0, ERR_OK },
	{ "a full disk", ENOSPC, ERR_FULL },
	{ "a full quota", EDQUOT, ERR_FULL },
	{ "a failed disk is not full", EIO, ERR_IO },
	{ "memory", ENOMEM, ERR_NOMEM },
	{ "no such file", ENOENT, ERR_NOT_FOUND },
	{ "a closed port", ECONNREFUSED, ERR_REFUSED },
	{ "a reset", ECONNRESET, ERR_CLOSED },
	{ "a broken pipe", EPIPE, ERR_CLOSED },
	{ "a silent host", ETIMEDOUT, ERR_TIMEOUT },
	{ "no route", EHOSTUNREACH, ERR_UNREACHABLE },
	{ "no network", ENETUNREACH, ERR_UNREACHABLE },
	{ "permissions", EACCES, ERR_DENIED },
	{ "no descriptor left", EMFILE, ERR_BUSY },
	{ "a port in use", EADDRINUSE, ERR_BUSY },
	{ "no such family", EAFNOSUPPORT, ERR_UNSUPPORTED },
	{ "a path that is too long", ENAMETOOLONG, ERR_TOO_BIG },
	{ "a datagram that is too long", EMSGSIZE, ERR_TOO_BIG },
	{ "a file that is there already", EEXIST, ERR_EXISTS },
	{ "work that was called off", ECANCELED, ERR_CANCELLED },
	{ "something else", ELOOP, ERR_IO },
};

static void errno_becomes_one_of_ours(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(errno_cases); i++)
		CHECK_INT(errno_cases[i].name, err_from_errno(errno_cases[i].errno_value),
		          errno_cases[i].err);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_failure_has_a_phrase_of_its_own),
		cmocka_unit_test(errno_becomes_one_of_ours),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
