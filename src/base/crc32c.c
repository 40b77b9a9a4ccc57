#include <postrider/base/crc32c.h>

#include <assert.h>
#include <string.h>

#include "crc32c.h"
#include "crc32c_table.h"

static uint32_t octet_by_table(uint32_t crc, unsigned char octet)
{
	return crc >> 8 ^ slices[0][(crc ^ octet) & 0xff];
}

/* Eight octets a step: each takes the table that counts the octets still behind it. Read octet by octet, so
 * that the order of octets in a word of the machine does not matter. */
uint32_t crc32c_by_table(uint32_t crc, const void *bytes, size_t len)
{
	const unsigned char *at = bytes;

	crc = ~crc;
	for (; len >= 8; at += 8, len -= 8)
		crc = slices[7][(crc ^ at[0]) & 0xff] ^ slices[6][(crc >> 8 ^ at[1]) & 0xff] ^
		      slices[5][(crc >> 16 ^ at[2]) & 0xff] ^ slices[4][(crc >> 24 ^ at[3]) & 0xff] ^
		      slices[3][at[4]] ^ slices[2][at[5]] ^ slices[1][at[6]] ^ slices[0][at[7]];
	for (; len > 0; at++, len--)
		crc = octet_by_table(crc, *at);
	return ~crc;
}

#if defined(__x86_64__)

bool crc32c_has_instruction(void)
{
	return __builtin_cpu_supports("sse4.2");
}

__attribute__((target("sse4.2"))) uint32_t crc32c_by_instruction(uint32_t crc, const void *bytes, size_t len)
{
	const unsigned char *at = bytes;
	uint64_t wide = (uint32_t)~crc;

	for (; len >= sizeof(uint64_t); at += sizeof(uint64_t), len -= sizeof(uint64_t)) {
		uint64_t word;

		memcpy(&word, at, sizeof(word));
		wide = __builtin_ia32_crc32di(wide, word);
	}
	crc = (uint32_t)wide;
	for (; len > 0; at++, len--)
		crc = __builtin_ia32_crc32qi(crc, *at);
	return ~crc;
}

#else

bool crc32c_has_instruction(void)
{
	return false;
}

uint32_t crc32c_by_instruction(uint32_t crc, const void *bytes, size_t len)
{
	assert(!"there is no such instruction");
	return crc32c_by_table(crc, bytes, len);
}

#endif

uint32_t crc32c(uint32_t crc, const void *bytes, size_t len)
{
	return crc32c_has_instruction() ? crc32c_by_instruction(crc, bytes, len)
	                                : crc32c_by_table(crc, bytes, len);
}
