/* postrider/observe/histogram.h - how a quantity is spread, in fixed memory: log-linear buckets, 16 to each power of
 * two, so that a value is known to 6.25 % or better. Values are whole numbers of one unit, which the field's name says. */
#ifndef POSTRIDER_OBSERVE_HISTOGRAM_H
#define POSTRIDER_OBSERVE_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_BITS 40        /* values from 2^40 on count as 2^40 - 1: 12 days in microseconds */
#define HISTOGRAM_STEP_BITS 4
#define HISTOGRAM_BUCKETS ((HISTOGRAM_BITS - HISTOGRAM_STEP_BITS + 1) << HISTOGRAM_STEP_BITS)

/* A zeroed one is empty. */
struct histogram {
	uint64_t count;
	uint64_t sum;                /* of the values as they came */
	uint64_t max;
	uint64_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_add(struct histogram *h, int64_t value);      /* negative counts as 0 */
void histogram_merge(struct histogram *into, const struct histogram *from);

/* The smallest value that at least `per_mille` of 1000 do not pass, as the upper end of its bucket and never above max.
 * 0 for an empty histogram. */
uint64_t histogram_quantile(const struct histogram *h, unsigned per_mille);

/* How many values are at most `value`; exact when value + 1 is a bucket's lower end, else of the buckets wholly below. */
uint64_t histogram_at_most(const struct histogram *h, uint64_t value);

#endif
