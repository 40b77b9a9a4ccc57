#include <postrider/base/crc32c.h>

#include <postrider/base/random.h>

#include "crc32c.h"
#include "support/check.h"

/* The vectors of RFC 3720 appendix B.4, and the check value of the catalogues. */
static const struct {
	const char *name;
	unsigned char first;
	int step; /* from one octet to the next */
	size_t len;
	uint32_t crc;
} vectors[] = {
	{ "32 octets of zero", 0, 0, 32, 0x8a9136aa },  { "32 octets of ones", 0xff, 0, 32, 0x62a8ab43 },
	{ "32 rising octets", 0, 1, 32, 0x46dd794e },   { "32 falling octets", 31, -1, 32, 0x113fdb5c },
	{ "the digits 1 to 9", '1', 1, 9, 0xe3069283 }, { "nothing", 0, 0, 0, 0 },
};

static void known_vectors_come_out(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
		unsigned char octets[32];

		for (size_t k = 0; k < vectors[i].len; k++)
			octets[k] = (unsigned char)(vectors[i].first + vectors[i].step * (int)k);
		CHECK_INT(vectors[i].name, crc32c(0, octets, vectors[i].len), vectors[i].crc);
		CHECK_INT(vectors[i].name, crc32c_by_table(0, octets, vectors[i].len), vectors[i].crc);
	}
}

/* One bit after the other, as the definition says. */
static uint32_t slowly(uint32_t crc, const unsigned char *octets, size_t len)
{
	crc = ~crc;
	for (size_t i = 0; i < len; i++) {
		crc ^= octets[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
	}
	return ~crc;
}

static void all_ways_agree_at_any_length_and_alignment(void **state)
{
	unsigned char octets[200];
	struct random random;

	(void)state;
	random_init(&random, 3);
	for (size_t i = 0; i < sizeof(octets); i++)
		octets[i] = (unsigned char)random_u64(&random);
	for (size_t from = 0; from < 9; from++) {
		for (size_t len = 0; from + len <= sizeof(octets); len++) {
			uint32_t before = (uint32_t)random_u64(&random);
			uint32_t expected = slowly(before, octets + from, len);

			assert_int_equal(crc32c_by_table(before, octets + from, len), expected);
			assert_int_equal(crc32c(before, octets + from, len), expected);
			if (crc32c_has_instruction())
				assert_int_equal(crc32c_by_instruction(before, octets + from, len), expected);
		}
	}
}

static void one_call_goes_on_where_the_last_ended(void **state)
{
	const char octets[] = "The quick brown fox jumps over the lazy dog";
	size_t len = sizeof(octets) - 1;

	(void)state;
	for (size_t cut = 0; cut <= len; cut++)
		assert_int_equal(crc32c(crc32c(0, octets, cut), octets + cut, len - cut), 0x22620404);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_vectors_come_out),
		cmocka_unit_test(all_ways_agree_at_any_length_and_alignment),
		cmocka_unit_test(one_call_goes_on_where_the_last_ended),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
