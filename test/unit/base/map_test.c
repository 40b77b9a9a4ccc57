#include <postrider/base/map.h>

#include <stdio.h>

#include "support/alloc.h"
#include "support/check.h"

#define COUNT 5000

struct entry {
	struct map_item item;
	char key[32];
	bool seen;
};

static struct text key_of(const struct entry *e)
{
	return text_from(e->key);
}

static void what_is_added_is_found_until_it_is_removed(void **state)
{
	static struct entry entries[COUNT];
	struct map m;

	(void)state;
	map_init(&m, false, 12345);
	for (int i = 0; i < COUNT; i++) {
		snprintf(entries[i].key, sizeof(entries[i].key), "host%d.example.com", i);
		assert_null(map_find(&m, key_of(&entries[i])));
		assert_int_equal(map_add(&m, &entries[i].item, key_of(&entries[i])), ERR_OK);
	}
	assert_int_equal(m.count, COUNT);
	for (int i = 0; i < COUNT; i += 2)
		map_remove(&m, &entries[i].item);
	for (int i = 0; i < COUNT; i++)
		assert_ptr_equal(map_find(&m, key_of(&entries[i])), i % 2 ? &entries[i].item : NULL);
	for (struct map_item *it = map_next(&m, NULL); it; it = map_next(&m, it)) {
		struct entry *e = CONTAINER_OF(it, struct entry, item);

		assert_false(e->seen);
		e->seen = true;
	}
	for (int i = 0; i < COUNT; i++)
		assert_int_equal(entries[i].seen, i % 2);
	map_fini(&m);
}

static void all_can_be_removed_on_the_way(void **state)
{
	struct entry entries[100] = { 0 };
	struct map m;
	struct map_item *next;

	(void)state;
	map_init(&m, false, 1);
	for (int i = 0; i < 100; i++) {
		snprintf(entries[i].key, sizeof(entries[i].key), "%d", i);
		assert_int_equal(map_add(&m, &entries[i].item, key_of(&entries[i])), ERR_OK);
	}
	for (struct map_item *it = map_next(&m, NULL); it; it = next) {
		next = map_next(&m, it);
		map_remove(&m, it);
	}
	assert_int_equal(m.count, 0);
	assert_null(map_next(&m, NULL));
	map_fini(&m);
}

/* Each octet in each place of a word, against the fold of one octet. */
static void folding_maps_join_letters_and_nothing_else(void **state)
{
	(void)state;
	for (unsigned place = 0; place < 11; place++) {
		for (unsigned octet = 0; octet < 256; octet++) {
			char stored[] = "AbCdEfGhIjK", asked[] = "aBcDeFgHiJk";
			struct map_item item = { 0 };
			struct map m;

			stored[place] = (char)octet;
			map_init(&m, true, octet);
			assert_int_equal(map_add(&m, &item, text_of(stored, 11)), ERR_OK);
			for (unsigned other = 0; other < 256; other++) {
				bool same = ascii_lower((char)octet) == ascii_lower((char)other);

				asked[place] = (char)other;
				assert_ptr_equal(map_find(&m, text_of(asked, 11)), same ? &item : NULL);
			}
			map_fini(&m);
		}
	}
}

static void keys_differ_by_their_length_too(void **state)
{
	struct map_item item = { 0 };
	struct map m;

	(void)state;
	map_init(&m, false, 1);
	assert_int_equal(map_add(&m, &item, TEXT("a\0")), ERR_OK);
	assert_null(map_find(&m, TEXT("a")));
	assert_null(map_find(&m, TEXT("a\0\0")));
	assert_null(map_find(&m, TEXT("")));
	assert_ptr_equal(map_find(&m, TEXT("a\0")), &item);
	map_fini(&m);
}

/* The longest chain of many keys that differ little, for several seeds. */
static void chains_stay_short_whatever_the_seed(void **state)
{
	static struct entry entries[COUNT];

	(void)state;
	for (uint64_t seed = 0; seed < 8; seed++) {
		struct map m;
		size_t longest = 0;

		map_init(&m, true, seed * UINT64_C(0x123456789abcdef));
		for (int i = 0; i < COUNT; i++) {
			snprintf(entries[i].key, sizeof(entries[i].key), "%08d.%s", i,
			         seed % 2 ? "example" : "");
			assert_int_equal(map_add(&m, &entries[i].item, key_of(&entries[i])), ERR_OK);
		}
		for (size_t i = 0; i < m.bucket_count; i++) {
			size_t length = 0;

			for (struct map_item *it = m.buckets[i]; it; it = it->next)
				length++;
			longest = MAX(longest, length);
		}
		assert_true(longest <= 10);
		map_fini(&m);
	}
}

static void without_memory_nothing_changes(void **state)
{
	struct entry entries[40] = { 0 };
	struct map m;

	(void)state;
	map_init(&m, false, 1);
	for (int i = 0; i < 40; i++) {
		bool grows = m.count == m.bucket_count;

		snprintf(entries[i].key, sizeof(entries[i].key), "%d", i);
		alloc_fail_nth(1);
		if (grows) {
			assert_int_equal(map_add(&m, &entries[i].item, key_of(&entries[i])), ERR_NOMEM);
			assert_null(map_find(&m, key_of(&entries[i])));
		}
		alloc_fail_nth(0);
		assert_int_equal(map_add(&m, &entries[i].item, key_of(&entries[i])), ERR_OK);
		assert_int_equal(m.count, i + 1);
	}
	map_fini(&m);
}

static void an_empty_one_finds_nothing(void **state)
{
	struct map m = { 0 };

	(void)state;
	assert_null(map_find(&m, TEXT("a")));
	assert_null(map_next(&m, NULL));
	map_fini(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_added_is_found_until_it_is_removed),
		cmocka_unit_test(all_can_be_removed_on_the_way),
		cmocka_unit_test(folding_maps_join_letters_and_nothing_else),
		cmocka_unit_test(keys_differ_by_their_length_too),
		cmocka_unit_test(chains_stay_short_whatever_the_seed),
		cmocka_unit_test(without_memory_nothing_changes),
		cmocka_unit_test(an_empty_one_finds_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
