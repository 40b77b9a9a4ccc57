/* What is shared while a configuration is loaded: the sources, the documents, the snapshot being built, the report. */
#ifndef CONFIG_LOAD_PRIVATE_H
#define CONFIG_LOAD_PRIVATE_H

#include <stdatomic.h>

#include <postrider/base/map.h>
#include <postrider/config.h>

#include "pattern.h"

enum source_kind { SOURCE_FILE, SOURCE_VARIABLE, SOURCE_ARGUMENT, SOURCE_DEFAULT };

/* A text that settings came from. */
struct source {
	enum source_kind kind;
	unsigned order;      /* of reading; findings are sorted by it */
	struct text name;    /* path; variable; "--set"; "default" */
	struct text content; /* of a file; "NAME=value"; "key=value" */
};

/* A place in a source. */
struct spot {
	const struct source *source;
	unsigned line;   /* from 1 */
	unsigned column; /* from 1, in characters */
	unsigned length; /* in characters; 0: to the end of the line */
};

enum node_kind { NODE_SCALAR, NODE_LIST, NODE_TABLE };

/* The settings as they were written, before the schema says what they mean. */
struct node {
	enum node_kind kind;
	bool quoted; /* a scalar in quotes is never "nothing" */
	bool broken; /* an error was added for it already */
	struct spot spot;
	struct text text;           /* of a scalar */
	struct entry *first, *last; /* of a list and a table */
	size_t count;
	struct map keys;             /* of a table with many; in use when keys.count > 0 */
	struct node *next_with_keys; /* all of a load, to be freed */
};

struct entry {
	struct map_item item;
	struct entry *next;
	struct text key; /* of a table */
	struct spot key_spot;
	struct node *value;
};

/* Where an effective value came from, by its path ("listen[0].address"). */
struct origin {
	struct map_item item;
	struct spot spot;          /* while it is loaded */
	struct config_place place; /* afterwards */
	bool bad;                  /* errors were found in it */
	bool inherited;            /* it was written elsewhere, and holds here too */
};

/* The memory behind a struct config. */
struct snapshot {
	struct config config; /* first: config_ref gets from one to the other */
	atomic_uint references;
	struct arena arena;
	struct config_pattern_index *indexes;
	struct map origins;
};

struct load {
	const struct config_sources *sources;
	struct config_report *report;
	struct arena scratch; /* nodes; gone after the load */
	struct snapshot *snapshot;
	unsigned source_count;
	size_t node_count;
	struct node *nodes_with_keys;
	bool incomplete; /* a text could not be read: what refers to it is not checked */
	bool nomem;
};

/* Memory of the snapshot and of the load; NULL sets load->nomem. */
void *load_keep(struct load *load, size_t bytes);
void *load_scratch(struct load *load, size_t bytes);
struct text load_keep_text(struct load *load, struct text t);

struct source *load_source_new(struct load *load, enum source_kind kind, struct text name,
                               struct text content);

/* Text from outside in a message: "%.*s". */
#define SHOWN(t) TEXT_ARGS(text_head(t, 120))

/* Findings. The result takes more sentences by load_detail and the like; NULL (over the limit, no memory) is fine. */
struct config_finding *load_error(struct load *load, const struct spot *spot, const char *format, ...)
	PRINTF_LIKE(3, 4);
struct config_finding *load_warn(struct load *load, const struct spot *spot, const char *format, ...)
	PRINTF_LIKE(3, 4);
void load_detail(struct load *load, struct config_finding *f, const char *format, ...) PRINTF_LIKE(3, 4);
void load_expected(struct load *load, struct config_finding *f, const char *format, ...) PRINTF_LIKE(3, 4);
void load_hint(struct load *load, struct config_finding *f, const char *format, ...) PRINTF_LIKE(3, 4);
void load_see(struct load *load, struct config_finding *f, const struct spot *spot);

struct config_place load_place(struct load *load, const struct spot *spot); /* kept in the snapshot */

#endif
