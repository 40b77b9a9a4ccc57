/* auth/password.h - the hashes of crypt(3) that we take, and passwords against them. */
#ifndef AUTH_PASSWORD_H
#define AUTH_PASSWORD_H

#include <postrider/base/buf.h>

#define PASSWORD_HASH_MAX 383 /* characters; CRYPT_OUTPUT_SIZE less its NUL */

/* What a hash is, for people: "yescrypt", "bcrypt", "SHA-512 crypt". NULL: none that we take, and then *why says what it is
 * instead: "an MD5 hash, which is too weak". */
const char *password_hash_kind(struct text hash, const char **why);

/* Whether the password, prepared or as it came, is the hash's. Takes as long as the hash says (milliseconds to seconds), and
 * as much memory (yescrypt 16 MiB): in the CPU lane. ERR_NOMEM: it could not be tried. */
MUST_USE enum err password_fits(struct text hash, struct text password, bool *fits);

/* A yescrypt hash; salt: at least 16 random octets. */
MUST_USE enum err password_hash_add(struct buf *out, struct text password, struct text salt);

#endif
