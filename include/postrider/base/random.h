/* postrider/base/random.h - a seeded generator (xoshiro256**), for jitter, shuffles and ids: not for keys.
 * Seeded from the system in the daemon and from the scenario in the simulated world. */
#ifndef POSTRIDER_BASE_RANDOM_H
#define POSTRIDER_BASE_RANDOM_H

#include <stdint.h>

struct random {
	uint64_t state[4];
};

void random_init(struct random *r, uint64_t seed);
uint64_t random_u64(struct random *r);
uint64_t random_below(struct random *r, uint64_t bound); /* 0 .. bound-1, without bias; bound > 0 */

#endif
