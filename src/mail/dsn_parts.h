/* The pieces of a notice: dsn.c puts them together. */
#ifndef MAIL_DSN_PARTS_H
#define MAIL_DSN_PARTS_H

#include <postrider/mail/dsn.h>

/* Some address is not ASCII, and may be told as it is (RFC 6533). */
bool dsn_is_global(const struct dsn *d);

/* What the notice as a whole says: the gravest of its recipients' actions. */
enum dsn_action dsn_gravest(const struct dsn *d);

void dsn_add_subject(struct buf *b, const struct dsn *d); /* the Subject field */
void dsn_add_explanation(struct buf *b, const struct dsn *d, enum dsn_return returned); /* text for people */
void dsn_add_status(struct buf *b, const struct dsn *d); /* the body of message/delivery-status */

#endif
