/* What the types share. The types themselves are in schema.h. */
#ifndef CONFIG_VALUE_PRIVATE_H
#define CONFIG_VALUE_PRIVATE_H

#include "schema.h"

/* "max_hops cannot be "x"", with what is expected. */
struct config_finding *value_refuse(struct parsing *p, struct text t);
bool value_refuse_range(struct parsing *p, struct text t); /* false */

bool value_keep(struct parsing *p, struct text t, struct text *place); /* false: no memory */
size_t value_count_digits(struct text t);                              /* at the front */
/* UTF-8 without what controls a terminal or ends a line, so that every value can be shown and written as YAML. */
bool value_is_printable(struct text t);
/* 64 hexadecimal digits into 32 octets, also with colons between the octets as OpenSSL prints them, also behind "sha256:". */
bool value_read_sha256(struct text t, unsigned char *out);

#endif
