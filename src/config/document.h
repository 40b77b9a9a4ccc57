/* Settings as trees of nodes: read from YAML, put together from several files, changed by variables and arguments. */
#ifndef CONFIG_DOCUMENT_PRIVATE_H
#define CONFIG_DOCUMENT_PRIVATE_H

#include "load.h"

/* Limits against a file that grows when it is read. */
#define NODE_DEPTH_MAX 24
#define NODE_COUNT_MAX 500000

struct node *node_new(struct load *load, enum node_kind kind,
                      struct spot spot); /* NULL: load->nomem is set */
struct node *node_new_scalar(struct load *load, struct spot spot, struct text t); /* as if in quotes */
/* Puts value at the end; key is empty in a list. */
void node_add(struct load *load, struct node *parent, struct text key, struct spot key_spot,
              struct node *value);
struct entry *node_find(const struct node *table, struct text key);
struct node *node_copy(struct load *load, const struct node *node);

/* A scalar without quotes and without octets: `key:` and nothing behind it. */
bool node_is_nothing(const struct node *node);

/* Reads text, which begins in source's first line at column first_column. NULL: it is not YAML as we take it, and
 * errors were added, or it is empty (no error). */
struct node *yaml_read(struct load *load, const struct source *source, struct text text,
                       unsigned first_column);

/* The file, and at the place of its `include` those, as one table; tables are joined, lists of tables appended. */
struct node *document_read(struct load *load);

#endif
