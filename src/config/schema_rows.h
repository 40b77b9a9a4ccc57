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

extern const struct table schema_listen, schema_access;                 /* schema_listen.c, schema_access.c */
extern const struct table schema_upstream, schema_route, schema_direct; /* schema_out.c */
extern const struct table schema_limit, schema_retry, schema_own_retry, schema_rule,
	schema_tls_reports; /* schema_pace.c */

/* Rows of a struct config_pace at this offset, with the short variables of two of them. What an upstream does not say is as in
 * limits.any. */
#define PACE_NUMBER(key_name, at, member, value, least, most, short_name, what)                         \
	{                                                                                               \
		.name = key_name, .shape = SCALAR, .type = &type_number,                                \
		.offset = (at) + offsetof(struct config_pace, member), .standard = value, .min = least, \
		.max = most, .variable = short_name, .since = FIRST, .doc = what                        \
	}
#define PACE_RATE(key_name, at, member, of_type, sample, short_name, what)                     \
	{                                                                                      \
		.name = key_name, .shape = LIST, .type = of_type,                              \
		.offset = (at) + offsetof(struct config_pace, member), .variable = short_name, \
		.since = FIRST, .example = sample, .doc = what                                 \
	}
#define PACE_ROWS(at, connections_variable, rate_variable)                                                   \
	PACE_NUMBER("connections", at, connections, "20", 1, 10000, connections_variable, "at a time"),      \
		PACE_NUMBER("connections_per_address", at, connections_per_address, "0", 0, 10000, NULL,     \
	                    "at a time to one IP address, whoever has them; 0: no limit"),                   \
		PACE_NUMBER("messages_per_connection", at, messages_per_connection, "100", 1, 1000000, NULL, \
	                    "then a new connection is made"),                                                \
		PACE_NUMBER("recipients_per_connection", at, recipients_per_connection, "0", 0, 1000000,     \
	                    NULL, "then a new connection is made; 0: no limit"),                             \
		PACE_NUMBER("recipients_per_message", at, recipients_per_message, "100", 1, 10000, NULL,     \
	                    "in one mail transaction; more are sent in several"),                            \
		PACE_RATE("rate", at, rate, &type_rate, "[14/s, 50000/d]", rate_variable,                    \
	                  "messages in a time, all windows at once; what is too much waits"),                \
		PACE_RATE("recipient_rate", at, recipient_rate, &type_rate, "1000/h", NULL,                  \
	                  "the same for recipients"),                                                        \
		PACE_RATE("byte_rate", at, byte_rate, &type_byte_rate, "100MB/h", NULL,                      \
	                  "the same for octets"),                                                            \
		{ .name = "adapt",                                                                           \
		  .shape = SCALAR,                                                                           \
		  .type = &type_bool,                                                                        \
		  .offset = (at) + offsetof(struct config_pace, adapt),                                      \
		  .standard = "true",                                                                        \
		  .since = FIRST,                                                                            \
		  .doc = "as many connections as the peer's answers say, up to `connections`" },             \
	{                                                                                                    \
		.name = "rest_share", .shape = SCALAR, .type = &type_share,                                  \
		.offset = (at) + offsetof(struct config_pace, rest_hundredths), .standard = "10%", .min = 0, \
		.max = 9000, .since = FIRST,                                                                 \
		.doc = "how much is kept for other mail while urgent mail goes first"                        \
	}

#endif
