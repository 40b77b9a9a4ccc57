#include "known.h"

#include <postrider/crypto.h>

#include "support/alloc.h"
#include "support/check.h"

static struct crypto_sha256 digest(unsigned n)
{
	const struct text piece = { (const char *)&n, sizeof(n) };

	return crypto_sha256(&piece, 1);
}

static bool has(struct known *k, unsigned n, int64_t now_at)
{
	struct crypto_sha256 d = digest(n);

	return known_has(k, &d, now_at);
}

static void note(struct known *k, unsigned n, int64_t until_at)
{
	struct crypto_sha256 d = digest(n);

	known_note(k, &d, until_at);
}

static void what_was_noted_is_known_until_its_time(void **state)
{
	struct known k;

	(void)state;
	known_init(&k, 10, 1);
	note(&k, 1, 100);
	assert_true(has(&k, 1, 99));
	assert_false(has(&k, 2, 99));
	assert_false(has(&k, 1, 100));
	assert_int_equal(k.map.count, 0); /* and gone */
	known_fini(&k);
}

static void a_second_note_renews(void **state)
{
	struct known k;

	(void)state;
	known_init(&k, 2, 1);
	note(&k, 1, 100);
	note(&k, 2, 100);
	note(&k, 1, 200);
	assert_true(has(&k, 1, 150));
	note(&k, 3, 200); /* 2 is the oldest now */
	assert_true(has(&k, 1, 50));
	assert_false(has(&k, 2, 50));
	known_fini(&k);
}

static void the_oldest_makes_room(void **state)
{
	struct known k;

	(void)state;
	known_init(&k, 3, 1);
	for (unsigned n = 0; n < 10; n++)
		note(&k, n, 100);
	assert_int_equal(k.map.count, 3);
	for (unsigned n = 0; n < 10; n++)
		assert_true(has(&k, n, 0) == (n >= 7));
	known_fini(&k);
}

static void without_memory_it_is_not_known(void **state)
{
	(void)state;
	for (EACH_ALLOC_FAILING) {
		struct known k;

		known_init(&k, 3, 1);
		note(&k, 1, 100);
		assert_true(has(&k, 1, 0) == !alloc_has_failed());
		known_fini(&k);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_noted_is_known_until_its_time),
		cmocka_unit_test(a_second_note_renews),
		cmocka_unit_test(the_oldest_makes_room),
		cmocka_unit_test(without_memory_it_is_not_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
