#include <postrider/observe/histogram.h>

#include <postrider/base/auto.h>

#define STEPS (1u << HISTOGRAM_STEP_BITS)
#define LARGEST ((UINT64_C(1) << HISTOGRAM_BITS) - 1)

/* The first STEPS buckets hold one value each; then each power of two has STEPS buckets of equal width. */
static unsigned bucket_of(uint64_t value)
{
	if (value < STEPS)
		return (unsigned)value;
	unsigned top = 63 - (unsigned)__builtin_clzll(value);
	unsigned shift = top - HISTOGRAM_STEP_BITS;

	return (unsigned)((shift << HISTOGRAM_STEP_BITS) + (value >> shift));
}

/* The largest value that falls into a bucket. */
static uint64_t bucket_end(unsigned bucket)
{
	if (bucket < STEPS)
		return bucket;
	unsigned shift = (bucket >> HISTOGRAM_STEP_BITS) - 1;
	uint64_t step = STEPS + (bucket & (STEPS - 1));

	return ((step + 1) << shift) - 1;
}

void histogram_add(struct histogram *h, int64_t value)
{
	uint64_t v = value < 0 ? 0 : (uint64_t)value;

	h->count++;
	h->sum += v;
	h->max = MAX(h->max, v);
	h->buckets[bucket_of(MIN(v, LARGEST))]++;
}

void histogram_merge(struct histogram *into, const struct histogram *from)
{
	into->count += from->count;
	into->sum += from->sum;
	into->max = MAX(into->max, from->max);
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
		into->buckets[i] += from->buckets[i];
}

uint64_t histogram_quantile(const struct histogram *h, unsigned per_mille)
{
	if (h->count == 0)
		return 0;
	/* Whole and rest apart, so that a large count does not overflow. */
	uint64_t wanted = h->count / 1000 * per_mille + (h->count % 1000 * per_mille + 999) / 1000;
	uint64_t seen = 0;

	wanted = MAX(wanted, 1);
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		seen += h->buckets[i];
		if (seen >= wanted)
			return MIN(bucket_end(i), h->max);
	}
	return h->max;
}

uint64_t histogram_at_most(const struct histogram *h, uint64_t value)
{
	uint64_t seen = 0;

	for (unsigned i = 0; i < HISTOGRAM_BUCKETS && bucket_end(i) <= value; i++)
		seen += h->buckets[i];
	return seen;
}
