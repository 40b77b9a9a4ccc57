/* postrider/auth/users_file.h - the users file as the commands see it: text in, text out. These functions block (a password is
 * hashed) and touch nothing but their arguments: for commands, not for the loop. */
#ifndef POSTRIDER_AUTH_USERS_FILE_H
#define POSTRIDER_AUTH_USERS_FILE_H

#include <postrider/base/buf.h>

#define AUTH_USERS_FILE_MAX (64u << 20) /* octets */
#define AUTH_PASSWORD_MAX 511           /* octets; crypt(3) takes no more */

/* Borrowed for the call. */
struct auth_users_entry {
	struct text name;
	const char *hash; /* "yescrypt", "bcrypt", ...; NULL: none */
	bool has_scram;   /* a verifier for SCRAM-SHA-256 */
	bool shut_out;
	struct text senders; /* as written; empty: all */
	unsigned line;
};
typedef void auth_users_fn(void *owner, const struct auth_users_entry *entry);

/* Calls each for every user, in the order of the file. ERR_CONFIG: problem says "path:line: error: ..." with the next step for
 * every mistake, and nobody was called. notice: what is legal and odd. */
MUST_USE enum err auth_users_each(struct text path, struct text content, auth_users_fn *each, void *owner,
                                  struct buf *problem, struct buf *notice);

/* Whether the password is that user's: of the hash, and of the verifier. ERR_NOT_FOUND: there is no such user, or none with a
 * password, or he is shut out. ERR_CONFIG as above. */
struct auth_users_fit {
	bool has_hash, hash_fits;
	bool has_scram, scram_fits;
};
MUST_USE enum err auth_users_check(struct text path, struct text content, struct text name,
                                   struct text password, struct auth_users_fit *out, struct buf *problem);

struct auth_users_change {
	struct text name, password;
	bool has_senders;    /* false: those of the line stay */
	struct text senders; /* "a@example.com,example.net"; empty: all */
	void (*random)(void *owner, void *out, size_t len);
	void *owner;
};

/* The content with a line for this user: a yescrypt hash and a verifier for SCRAM-SHA-256. Where there is a line already it
 * is replaced in its place; all other lines stay as they are, also wrong ones. ERR_SYNTAX: problem says what of the change
 * cannot be. */
MUST_USE enum err auth_users_put(struct text content, const struct auth_users_change *change, struct buf *out,
                                 bool *was_there, struct buf *problem);

#endif
