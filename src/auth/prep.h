/* auth/prep.h - names and passwords as SASL compares them: SASLprep (RFC 4013) over UTF-8. */
#ifndef AUTH_PREP_H
#define AUTH_PREP_H

#include <postrider/auth/users_file.h>

#define AUTH_NAME_MAX 255 /* octets of a user's name */

/* Wipes what a buf holds and held, then frees it. A buf for secrets gets its room before the first octet (buf_reserve), so
 * that it never leaves a copy behind by moving. */
void secret_fini(struct buf *b);

/* Adds the prepared form: another one only outside ASCII (where it is NFKC, and kinds of spaces become SP). ERR_SYNTAX: not
 * UTF-8, or with characters that it forbids (controls, private use, mixed directions), or nothing is left. ERR_TOO_BIG: over
 * out's maximum. Characters that Unicode 3.2 did not know are let through, as by a "query" of RFC 3454 section 7. */
MUST_USE enum err prep_add(struct text t, struct buf *out);

/* Names are the same whatever the case of their ASCII letters: of those that may stand for others (a Dovecot before LDAP, who
 * types an address) some would else pass by what the users file says of them. For keys: lower-cased, in room. */
struct text prep_fold(struct text name, char room[AUTH_NAME_MAX]);

/* Whether t is a user's name as it stands: 1 to AUTH_NAME_MAX octets, prepared, without ":". */
bool prep_is_name(struct text t);

#endif
