/* postrider/mail/sender.h - whose a message is, when senders share what is scarce.
 *
 * Who logged in; without a login the mailbox of the reverse-path, in which what changes from message to message is left out
 * (VERP: each message of a mailing has another reverse-path). All null reverse-paths together are one sender. */
#ifndef POSTRIDER_MAIL_SENDER_H
#define POSTRIDER_MAIL_SENDER_H

#include <postrider/mail/envelope.h>

/* The same for all messages of one sender, on every machine and in every run: it is stored. Two senders may share one by chance. */
uint64_t sender_hash(const struct envelope *e);

/* Of the local part what names the sender; points into it. Of BATV (prvs=TAG=local) what is tagged; then what stands before the
 * first `+` or `=`, or before a `-` that a digit follows. Never empty unless local_part is. */
struct text sender_name(struct text local_part);

#endif
