/* Where the octets that matter in mail data stand in a block of 64: one bit each, the lowest for the
 * first. */
#ifndef SMTP_OCTETS64_H
#define SMTP_OCTETS64_H

#include <stdint.h>
#include <string.h>

#if defined(__SSE2__)
#	include <emmintrin.h>
#endif

#define BLOCK_OCTETS 64

struct octets64 {
	uint64_t lf, cr, dot, nul, high;
};

/* What any machine can do; the other must find the same. */
static inline struct octets64 octets64_plainly(const char *at)
{
	struct octets64 found = { 0 };

	for (unsigned i = 0; i < BLOCK_OCTETS; i++) {
		uint64_t bit = UINT64_C(1) << i;
		unsigned char c = (unsigned char)at[i];

		found.lf |= c == '\n' ? bit : 0;
		found.cr |= c == '\r' ? bit : 0;
		found.dot |= c == '.' ? bit : 0;
		found.nul |= c == '\0' ? bit : 0;
		found.high |= c >= 0x80 ? bit : 0;
	}
	return found;
}

#if defined(__SSE2__)

static inline uint64_t sixteen_equal(__m128i octets, char wanted)
{
	return (uint64_t)(unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(octets, _mm_set1_epi8(wanted)));
}

static inline struct octets64 octets64_at(const char *at)
{
	struct octets64 found = { 0 };

	for (unsigned shift = 0; shift < BLOCK_OCTETS; shift += 16) {
		__m128i octets = _mm_loadu_si128((const __m128i *)(const void *)(at + shift));

		found.lf |= sixteen_equal(octets, '\n') << shift;
		found.cr |= sixteen_equal(octets, '\r') << shift;
		found.dot |= sixteen_equal(octets, '.') << shift;
		found.nul |= sixteen_equal(octets, '\0') << shift;
		found.high |= (uint64_t)(unsigned)_mm_movemask_epi8(octets) << shift;
	}
	return found;
}

#else

static inline struct octets64 octets64_at(const char *at)
{
	return octets64_plainly(at);
}

#endif

/* Fewer than 64 octets: those that are not there count as none of these. */
static inline struct octets64 octets64_of(const char *at, size_t len)
{
	char padded[BLOCK_OCTETS];

	if (len >= BLOCK_OCTETS)
		return octets64_at(at);
	memset(padded, 'x', sizeof(padded));
	memcpy(padded, at, len);
	return octets64_at(padded);
}

/* The lowest `count` bits; 64 and more is all. */
static inline uint64_t lowest_bits(size_t count)
{
	return count >= 64 ? UINT64_MAX : (UINT64_C(1) << count) - 1;
}

static inline unsigned lowest_bit(uint64_t mask)
{
	return (unsigned)__builtin_ctzll(mask);
}

#endif
