#include <postrider/base/random.h>

/* The seed is spread over the state by splitmix64, which never makes it all zero. */
void random_init(struct random *r, uint64_t seed)
{
	for (int i = 0; i < 4; i++) {
		uint64_t z = seed += UINT64_C(0x9e3779b97f4a7c15);

		z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
		z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
		r->state[i] = z ^ z >> 31;
	}
}

static uint64_t rotate(uint64_t value, int by)
{
	return value << by | value >> (64 - by);
}

uint64_t random_u64(struct random *r)
{
	uint64_t *s = r->state;
	uint64_t result = rotate(s[1] * 5, 7) * 9;
	uint64_t t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotate(s[3], 45);
	return result;
}

/* The high half of a 128-bit product; the few products that would favour some values are drawn again. */
uint64_t random_below(struct random *r, uint64_t bound)
{
	uint64_t unfair = -bound % bound;

	for (;;) {
		__uint128_t product = (__uint128_t)random_u64(r) * bound;

		if ((uint64_t)product >= unfair)
			return (uint64_t)(product >> 64);
	}
}
