/* What the parts of the table share: short forms for rows, and the tables that have a file of their own. */
#ifndef CONFIG_SCHEMA_ROWS_PRIVATE_H
#define CONFIG_SCHEMA_ROWS_PRIVATE_H

#include "schema.h"

#define FIRST "0.1.0"
#define END                  \
	{                    \
		.name = NULL \
	}
#define LATER(key_name, doc_text)                 \
	{                                         \
		.name = key_name, .doc = doc_text \
	}
#define LATER_VARIABLE(key_name, short_name, doc_text)                    \
	{                                                                 \
		.name = key_name, .variable = short_name, .doc = doc_text \
	}

extern const struct table schema_listen, schema_access; /* schema_listen.c, schema_access.c */

#endif
