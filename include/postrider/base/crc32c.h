/* postrider/base/crc32c.h - CRC-32C (Castagnoli), the checksum of records and body blocks (RFC 3720 appendix
 * B.4). Uses the processor's instruction where there is one. */
#ifndef POSTRIDER_BASE_CRC32C_H
#define POSTRIDER_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Start with crc 0; the result of one call continues in the next. */
uint32_t crc32c(uint32_t crc, const void *bytes, size_t len);

#endif
