/* auth/users.h - the users file, read and checked; many users cheaply: the file's text and twelve octets for each.
 *
 *	# a comment; empty lines are passed over
 *	NAME:SECRETS[:SENDER,SENDER...]
 *
 * SECRETS is a hash of crypt(3), or {SCRAM-SHA-256}iterations,salt,stored,server, or both with "|" between them. "*" has no
 * password (a client certificate or a bearer token may still be NAME), "!" before the rest shuts the user out. Dovecot's
 * names before a hash ({CRYPT}, {BLF-CRYPT}, {SHA512-CRYPT} ...) are passed over. A name stands in one line only, in whatever
 * case of its ASCII letters. */
#ifndef AUTH_USERS_H
#define AUTH_USERS_H

#include <postrider/base/buf.h>
#include <postrider/crypto.h>

#include "scram_verifier.h"

#define USERS_FILE_MAX_BYTES (64u << 20)
#define USERS_LINE_MAX 4096

/* One line taken apart; the texts are the table's. */
struct user {
	struct text name;
	struct text hash;  /* at NULL: none */
	struct text scram; /* "iterations,salt,stored,server"; at NULL: none */
	struct text
		secrets; /* the field as written: while it stays the same, so does what is known of its password */
	struct text senders; /* as written; empty: all */
	bool shut_out;
	unsigned line;
};

/* A kind of verifier that is in the file: who is not, seems to have one of these. */
struct users_scram_kind {
	uint32_t iterations;
	unsigned salt_bytes;
};
#define USERS_SCRAM_KINDS 8

struct users_item;

struct users {
	char *content; /* owned */
	size_t len;
	struct users_item *items; /* in the order of the file */
	size_t count;
	uint32_t *slots; /* number of an item + 1; 0: free */
	size_t slot_mask;
	size_t with_hash, with_scram;
	struct users_scram_kind kinds[USERS_SCRAM_KINDS];
	unsigned kind_count;
	struct crypto_sha256
		pretence; /* key for what is told of users that are not there; stays while the first verifier does */
};

/* content is taken over and freed in every case. ERR_CONFIG: problem has "path:line: error: ..." with the next step, at most
 * USERS_PROBLEMS of them; notice takes what is legal and odd. Touches nothing but its arguments: for a lane. */
#define USERS_PROBLEMS 20
MUST_USE enum err users_parse(struct text path, char *content, size_t len, struct users **out,
                              struct buf *problem, struct buf *notice);
void users_free(struct users **u); /* NULL is fine */

/* False: there is no such name, in any case of its ASCII letters. u may be NULL: nobody. */
bool users_find(const struct users *u, struct text name, struct user *out);
void users_get(const struct users *u, size_t number, struct user *out);
/* Somebody with a password, to be hashed for whom is not there: the same one for the same number. False: nobody has. */
bool users_any_with_secret(const struct users *u, uint64_t number, struct user *out);

/* One line as above. ERR_SYNTAX: a text for people goes to problem, the next step to next. */
MUST_USE enum err users_parse_line(struct text line, struct user *out, struct buf *problem, struct buf *next);
/* The same of a line that went through it before. line is not set. */
void users_split_line(struct text line, struct user *out);
/* What the line's senders stand for; patterns may be NULL to only check. ERR_SYNTAX: *bad is the first that is none. */
struct arena;
struct config_patterns;
MUST_USE enum err users_parse_senders(struct text senders, struct arena *arena, struct config_patterns *out,
                                      struct text *bad);

#endif
