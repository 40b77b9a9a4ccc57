/* From nodes to the struct, by the schema. */
#ifndef CONFIG_BIND_PRIVATE_H
#define CONFIG_BIND_PRIVATE_H

#include "schema.h"

/* Fills load->snapshot->config from root and notes where each value came from. Errors are in the report. */
void bind_document(struct load *load, const struct node *root);

/* Where the value of a path came from; NULL: the default. */
const struct origin *origin_find(const struct snapshot *snapshot, struct text path);
struct origin *origin_find_format(const struct snapshot *snapshot, const char *format, ...) PRINTF_LIKE(2, 3);

/* What holds at the path `to` is written at the path `from`, if it is written. */
void origin_inherit(struct load *load, struct text from, struct text to);

/* The text of a scalar with ${env:NAME} and ${file:PATH} put in. false: an error was added, which shows nothing of a secret. */
bool expand(struct load *load, const struct node *node, bool is_secret, struct text *out);

/* Adds what a file holds, without a line end behind it. false: an error was added at spot. */
bool expand_file(struct load *load, const struct spot *spot, struct text path, struct buf *out);

#endif
