/* The two ways of crc32c, for the test that holds them against each other. */
#ifndef BASE_CRC32C_H
#define BASE_CRC32C_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

uint32_t crc32c_by_table(uint32_t crc, const void *bytes, size_t len);

bool crc32c_has_instruction(void);
uint32_t crc32c_by_instruction(uint32_t crc, const void *bytes, size_t len); /* only if there is one */

#endif
