/* The table behind the configuration: each key with its type, default, range, place in struct config and one line of
 * documentation. Binding, printing, the JSON schema, the variables and the reference are read from it. */
#ifndef CONFIG_SCHEMA_PRIVATE_H
#define CONFIG_SCHEMA_PRIVATE_H

#include "load.h"

/* What a scalar is parsed from. On failure a parser calls load_error itself and returns false. */
struct parsing {
	struct load *load;
	const struct key *key;
	struct spot spot;
};

struct type {
	const char *name;     /* "duration" */
	size_t size;          /* of the value in the struct */
	const char *expected; /* for people: "a duration such as 30s, 5m, 4h or 5d" */
	bool (*parse)(struct parsing *p, struct text t, void *place);
	void (*print)(const struct key *key, const void *place, struct buf *out);
	const char *json; /* members of its JSON schema; NULL: made from choices or range */
	bool is_text;     /* may need quotes in YAML */
	bool (*finish)(struct load *load, void *list); /* of a list of them; may be NULL */
};

/* One word of an enum. */
struct choice {
	const char *name;
	unsigned value;
	bool not_built;
};

enum shape {
	SCALAR, /* one value */
	LIST,   /* of scalars; one scalar stands for a list of it */
	TABLE,  /* a struct inside the struct */
	TABLES, /* a list of tables */
	NAMED,  /* a table of tables with names of the user's */
	PAIRS,  /* a table of scalars with keys of the user's */
};

struct pairs {
	size_t size;
	const char *expected;
	const char *json; /* of a value */
	bool (*parse)(struct load *load, const struct entry *entry, void *place);
	void (*print)(const void *place, struct buf *name,
	              struct buf *value);              /* value: as it stands in YAML */
	bool (*finish)(struct load *load, void *list); /* may be NULL */
};

enum key_flag {
	KEY_NEEDED = 1, /* no default: must be written */
	KEY_SECRET = 2,
	KEY_FILES = 8,       /* is done with when the files have been read: never bound */
	KEY_NEVER = 4,       /* a duration that may be `never` */
	KEY_LOGIN_NAME = 16, /* the username of a struct config_login: a secret where it has no shown_name */
};

struct key {
	const char *name;
	enum shape shape;
	const struct type *type;
	const struct table *table;
	const struct pairs *pairs;
	size_t offset;
	const char *standard;         /* the default, as it would be written; NULL: nothing */
	const char *standard_doc;     /* what to say of the default instead; NULL: standard */
	const struct choice *choices; /* up to a NULL name */
	uint64_t min, max;            /* of numbers, durations (ms), sizes */
	unsigned flags;
	size_t has_offset;    /* of a bool that says whether it was written; 0: none */
	size_t any_offset;    /* NAMED: where the entry `any`, which the others inherit from, lies; 0: none */
	const char *variable; /* the short variable without POSTRIDER_ */
	const char *since;    /* the first version that has it; NULL: not built yet */
	const char *doc;
	const char *example; /* in the reference, if it is not the default */
};

struct table {
	const char *name;       /* for messages: "access" */
	const struct key *keys; /* up to a NULL name */
	size_t size;            /* of the struct; TABLES and NAMED */
	size_t place_offset;    /* TABLES and NAMED: of struct config_place */
	size_t name_offset;     /* NAMED: of the name or pattern */
	const struct type *name_type;
	const char *doc;
};

/* Every list of the snapshot begins like this. */
struct any_list {
	void *items;
	size_t count;
};

extern const struct table schema;

const struct key *schema_find(const struct table *table, struct text name);
/* For each key of the table and the tables in it, depth first; path is "listen[].tls". */
typedef void schema_visit_fn(void *owner, const struct key *key, struct text path);
void schema_visit(const struct table *table, schema_visit_fn *visit, void *owner);

/* Whether the key has a place in the struct in this version. */
static inline bool key_is_bound(const struct key *key)
{
	return key->since && !(key->flags & KEY_FILES);
}

/* ---------------------------------------------------------------- types (value.c) */

extern const struct type type_text, type_path, type_bool, type_number, type_port, type_duration, type_size,
	type_share, type_choice, type_endpoint, type_listen_address, type_dns_server, type_ip, type_network,
	type_rate, type_service, type_url, type_keyword, type_mechanism, type_server_name, type_pattern,
	type_mailbox, type_hostname, type_header, type_via, type_upstream_name, type_limit_name,
	type_byte_rate, type_bound, type_provider, type_pin, type_reply_pattern;
extern const struct pairs pairs_hosts, pairs_rewrites, pairs_fingerprints, pairs_header_matches;

/* The value of key as it could be written, without quotes. */
void value_print(const struct key *key, const void *place, struct buf *out);
/* The value of what is not set: a text is empty, all else zero, as the memory came. */
void value_clear(const struct key *key, void *place);
/* Quotes what YAML would take for something else. flow: inside [ ] or { }. */
void value_quote(struct text t, bool flow, struct buf *out);
/* What is expected of the key, for people. */
void value_expected(const struct key *key, struct buf *out);

#endif
